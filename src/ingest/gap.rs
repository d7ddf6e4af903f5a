//! Stretches without communication, by series: where their marker stands in history and when backfill may take it out.

use std::{collections::HashMap, time::Duration};

use crate::{sample::SeriesId, time::Timestamp};

/// One gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// SourceTimestamp of the Bad sample that begins it.
    pub(super) marker: Timestamp,
    /// The variable's sampling interval.
    pub(super) sampling: Duration,
}

/// Open gaps, and closed ones that backfill may still fill.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    open: HashMap<SeriesId, Gap>,
    fillable: HashMap<SeriesId, Gap>,
}

/// Backfilled samples that begin this long (or three sampling intervals) after the marker leave no unknown stretch.
const SEAM: Duration = Duration::from_secs(3);

impl Gaps {
    pub(super) fn open(&mut self, series: SeriesId, gap: Gap) {
        self.open.insert(series, gap);
    }

    /// Those of nobody any more are forgotten.
    pub(super) fn retain(&mut self, is_there: impl Fn(SeriesId) -> bool) {
        self.open.retain(|series, _| is_there(*series));
        self.fillable.retain(|series, _| is_there(*series));
    }

    pub(super) fn is_open(&self, series: SeriesId) -> bool {
        self.open.contains_key(&series)
    }

    pub(super) fn get(&self, series: SeriesId) -> Option<Gap> {
        self.open.get(&series).copied()
    }

    /// Live samples flow again; the past may still be filled.
    pub(super) fn live_again(&mut self, series: SeriesId) {
        if let Some(gap) = self.open.remove(&series) {
            self.fillable.insert(series, gap);
        }
    }

    /// The marker, if backfilled samples that begin at `first` join what was before the gap. It is then forgotten. Where
    /// the PLC's own history begins later, the marker stays: what nobody knows reads back Bad.
    pub(super) fn bridged_by(&mut self, series: SeriesId, first: Timestamp) -> Option<Timestamp> {
        let gap = self.open.get(&series).or_else(|| self.fillable.get(&series)).copied()?;
        if first > gap.marker + SEAM.max(3 * gap.sampling) {
            return None;
        }
        self.fillable.remove(&series);
        // Still open: its end is found by the next live sample, which must not write the marker's value anew.
        self.open.remove(&series);
        Some(gap.marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(seconds)
    }

    #[test]
    fn only_a_backfill_that_joins_the_past_takes_the_marker_out() {
        let (series, gap) = (SeriesId(3), Gap { marker: at(100.0), sampling: Duration::from_secs(2) });
        let mut gaps = Gaps::default();
        gaps.open(series, gap);
        gaps.live_again(series);
        assert_eq!(gaps.bridged_by(series, at(106.5)), None, "more than three samples are missing");
        assert_eq!(gaps.bridged_by(series, at(105.5)), Some(at(100.0)));
        assert_eq!(gaps.bridged_by(series, at(105.5)), None, "taken out once");
    }
}
