//! A series out of history, oldest first, a page at a time; and a condition whose variables are read along with another's samples.

use std::ops::Range;

use crate::{
    history::{Direction, HistoryError, HistoryStore},
    model::Expression,
    sample::{Sample, SeriesId},
    time::Timestamp,
};

/// Samples read at a time.
pub(super) const PAGE: usize = 16_384;

/// Where reading is.
pub(super) struct Past<'a> {
    store: &'a dyn HistoryStore,
    series: SeriesId,
    page: Vec<Sample>,
    at: usize,
    /// What has not been read; `None`: all has.
    rest: Option<Range<Timestamp>>,
}

impl<'a> Past<'a> {
    pub(super) fn new(store: &'a dyn HistoryStore, series: SeriesId, times: Range<Timestamp>) -> Self {
        Self { store, series, page: Vec::new(), at: 0, rest: Some(times) }
    }

    /// From the last sample before `from` on, which holds there, if it is not older than `begun`.
    pub(super) fn holding(
        store: &'a dyn HistoryStore,
        series: SeriesId,
        Range { start: begun, end: from }: Range<Timestamp>,
    ) -> Result<Self, HistoryError> {
        let before = store.read(series, begun..from, Direction::Backward, 1)?;
        let from = before.first().map_or(from, |sample| sample.source_timestamp);
        Ok(Self::new(store, series, from..Timestamp::MAX))
    }

    /// The next sample.
    pub(super) fn peek(&mut self) -> Result<Option<&Sample>, HistoryError> {
        if self.at == self.page.len()
            && let Some(rest) = self.rest.take()
        {
            self.page = self.store.read(self.series, rest.clone(), Direction::Forward, PAGE)?;
            self.at = 0;
            // What is shorter than a page is the last.
            let last = self.page.last().filter(|_| self.page.len() == PAGE);
            self.rest = last.map(|last| last.source_timestamp.next()..rest.end);
        }
        Ok(self.page.get(self.at))
    }

    /// Goes on to the one after.
    pub(super) fn pass(&mut self) {
        self.at = self.page.len().min(self.at + 1);
    }

    /// Takes every sample that is left.
    pub(super) fn each(
        mut self,
        mut take: impl FnMut(&Sample) -> Result<(), HistoryError>,
    ) -> Result<(), HistoryError> {
        while let Some(sample) = self.peek()? {
            take(sample)?;
            self.pass();
        }
        Ok(())
    }
}

/// The earliest of the next samples: when it stands, and in which; of equals the first.
pub(super) fn earliest<'p, 'a: 'p>(
    pasts: impl IntoIterator<Item = &'p mut Past<'a>>,
) -> Result<Option<(Timestamp, usize)>, HistoryError> {
    let mut earliest: Option<(Timestamp, usize)> = None;
    for (i, past) in pasts.into_iter().enumerate() {
        let next = past.peek()?.map(|sample| (sample.source_timestamp, i));
        earliest = earliest.into_iter().chain(next).min();
    }
    Ok(earliest)
}

/// The config's `when` over history: each variable as its latest value at a sample's instant.
pub(super) struct Condition<'a> {
    when: &'a Expression,
    followed: Vec<(usize, Past<'a>)>,
    values: Vec<f64>,
}

impl<'a> Condition<'a> {
    /// From `from` on; what held before is part of it.
    pub(super) fn new(
        store: &'a dyn HistoryStore,
        when: &'a Expression,
        series: &dyn Fn(usize) -> SeriesId,
        from: Timestamp,
    ) -> Result<Self, HistoryError> {
        let used = when.uses().iter().enumerate().filter(|(_, used)| **used);
        let follow = |(variable, _)| Ok((variable, Past::holding(store, series(variable), Timestamp::NULL..from)?));
        let followed = used.map(follow).collect::<Result<_, HistoryError>>()?;
        Ok(Self { when, followed, values: vec![f64::NAN; when.uses().len()] })
    }

    pub(super) fn holds(&mut self, sample: &Sample) -> Result<bool, HistoryError> {
        for (variable, past) in &mut self.followed {
            while let Some(next) = past.peek()?.filter(|next| next.source_timestamp <= sample.source_timestamp) {
                self.values[*variable] = next.usable().unwrap_or(f64::NAN);
                past.pass();
            }
        }
        Ok(self.when.holds(&self.values))
    }
}
