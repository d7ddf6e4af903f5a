//! One history of two stores.

use std::{collections::BTreeMap, ops::Range};

use super::ForwardingStore;
use crate::{
    history::{
        Direction, HistoryError, HistoryStore, Summary,
        edit::existing,
        head::merge,
        sled_edit::{DELETE_ROUND, Under},
    },
    sample::{Sample, SeriesId},
    time::Timestamp,
};

/// Samples read at a time.
const PAGE: usize = 65_536;

impl ForwardingStore {
    /// Reads with the instant from which on the front is whole; again, where that has moved on meanwhile.
    pub(super) fn while_whole<T>(
        &self,
        read: impl Fn(Timestamp) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let front = self.front.as_front().map_err(HistoryError::Read)?;
        loop {
            let from = front.whole_from();
            let found = read(from);
            if front.whole_from() == from {
                return found;
            }
        }
    }

    pub(super) fn read_both(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
        whole_from: Timestamp,
    ) -> Result<Vec<Sample>, HistoryError> {
        if times.start >= whole_from || times.start >= times.end {
            return self.front.read(series, times, direction, limit);
        }
        let old = times.start..times.end.min(whole_from);
        let new = whole_from..times.end.max(whole_from);
        match direction {
            Direction::Forward => {
                let mut samples = self.merged(series, old, direction, limit)?;
                if samples.len() < limit {
                    samples.extend(self.front.read(series, new, direction, limit - samples.len())?);
                }
                Ok(samples)
            }
            Direction::Backward => {
                let mut samples = self.front.read(series, new, direction, limit)?;
                if samples.len() < limit {
                    samples.extend(self.merged(series, old, direction, limit - samples.len())?);
                }
                Ok(samples)
            }
        }
    }

    /// Where the front may lack something: both, each as far as the other has been read too.
    fn merged(
        &self,
        series: SeriesId,
        mut times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        let mut samples = Vec::new();
        while samples.len() < limit && times.start < times.end {
            let page = (limit - samples.len()).min(PAGE);
            let old = self.behind_less_removed(series, times.clone(), direction, page)?;
            let own = self.front.read(series, times.clone(), direction, page)?;
            let last = |found: &[Sample], is_full: bool| found.last().filter(|_| is_full).map(|s| s.source_timestamp);
            let ends = [last(&own, own.len() == page), old.last];
            let own_first = |mut own: Vec<Sample>, mut old: Vec<Sample>| match direction {
                Direction::Forward => merge(old, own),
                Direction::Backward => {
                    own.reverse();
                    old.reverse();
                    let mut both = merge(old, own);
                    both.reverse();
                    both
                }
            };
            let both = own_first(own, old.samples);
            match direction {
                Direction::Forward => {
                    let end = ends.into_iter().flatten().min();
                    let until = end.map_or(times.end, Timestamp::next);
                    samples.extend(both.into_iter().take_while(|sample| sample.source_timestamp < until));
                    times.start = until;
                }
                Direction::Backward => {
                    let from = ends.into_iter().flatten().max().unwrap_or(times.start);
                    samples.extend(both.into_iter().take_while(|sample| sample.source_timestamp >= from));
                    times.end = from;
                }
            }
        }
        samples.truncate(limit);
        Ok(samples)
    }

    fn behind_less_removed(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        page: usize,
    ) -> Result<Page, HistoryError> {
        // First: what is removed there while it is read is not in `removed` any more afterwards.
        let removed = self.removed_of(series)?;
        let mut samples = self.behind.read(series, times, direction, page).map_err(away)?;
        let last = samples.last().filter(|_| samples.len() == page).map(|sample| sample.source_timestamp);
        samples.retain(|sample| !is_in(&removed, sample.source_timestamp));
        Ok(Page { samples, last })
    }

    fn removed_of(&self, series: SeriesId) -> Result<Vec<(i64, i64)>, HistoryError> {
        let id = self.front.persistent_id(series)?;
        Ok(self.front.as_front().map_err(HistoryError::Read)?.removed_of(id))
    }

    pub(super) fn summary_of_both(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        whole_from: Timestamp,
    ) -> Result<Summary, HistoryError> {
        if times.start >= whole_from || times.start >= times.end {
            return self.front.summary(series, times);
        }
        let old_end = times.end.min(whole_from);
        let mut summary = self.front.summary(series, old_end..times.end)?;
        // Where the front has nothing and nothing was taken out, what is behind is all there is.
        let of_front = self.front.read(series, times.start..old_end, Direction::Forward, 1)?;
        let first = of_front.first().map_or(old_end, |sample| sample.source_timestamp);
        let touched = self.removed_of(series)?.into_iter().map(|(start, _)| Timestamp::from_ticks(start));
        let touched = touched.fold(first, Timestamp::min).max(times.start);
        if times.start < touched {
            summary.merge(&self.behind.summary(series, times.start..touched).map_err(away)?);
        }
        let mut from = touched;
        while from < old_end {
            let page = self.merged(series, from..old_end, Direction::Forward, PAGE)?;
            page.iter().for_each(|sample| summary.add(sample));
            from = page.last().filter(|_| page.len() == PAGE).map_or(old_end, |last| last.source_timestamp.next());
        }
        Ok(summary)
    }

    /// What is behind at those of these instants at which the front may lack something.
    pub(super) fn under_instants(
        &self,
        series: SeriesId,
        times: impl Iterator<Item = Timestamp>,
    ) -> Result<Under, HistoryError> {
        let whole_from = self.front.as_front().map_err(HistoryError::Read)?.whole_from();
        let old: Vec<Timestamp> = times.filter(|time| *time < whole_from).collect();
        if old.is_empty() {
            return Ok(BTreeMap::new());
        }
        let removed = self.removed_of(series)?;
        let mut under = existing(old.iter().copied(), |start, end, limit| {
            self.behind.read(series, start..end, Direction::Forward, limit).map_err(away)
        })?;
        under.retain(|at, _| !is_in(&removed, *at));
        Ok(under)
    }

    /// What is behind in the first part of `times`, and how far that part goes.
    pub(super) fn under_range(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
    ) -> Result<(Under, Timestamp), HistoryError> {
        let whole_from = self.front.as_front().map_err(HistoryError::Read)?.whole_from();
        if times.start >= whole_from || times.start >= times.end {
            return Ok((BTreeMap::new(), times.end.max(times.start)));
        }
        let old = times.start..times.end.min(whole_from);
        let page = self.behind_less_removed(series, old, Direction::Forward, DELETE_ROUND)?;
        let until = page.last.map_or(times.end, Timestamp::next);
        Ok((page.samples.into_iter().map(|sample| (sample.source_timestamp, sample)).collect(), until))
    }
}

fn away(failure: HistoryError) -> HistoryError {
    match failure {
        unknown @ HistoryError::UnknownSeries { .. } => unknown,
        failure => HistoryError::Away(failure.into()),
    }
}

/// Samples of the store behind, and where they end if there are more.
struct Page {
    samples: Vec<Sample>,
    last: Option<Timestamp>,
}

fn is_in(removed: &[(i64, i64)], at: Timestamp) -> bool {
    removed.iter().any(|&(start, end)| (start..end).contains(&at.ticks()))
}
