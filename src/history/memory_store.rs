//! History that ends with the process: for tests and for `[history.store.memory]`. Keeps the newest samples of each
//! series up to a bound; never touches a disk.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{Direction, HistoryError, HistoryStore};
use crate::{
    sample::{Sample, SeriesId},
    time::Timestamp,
};

type Series = BTreeMap<Timestamp, Sample>;

/// A [`HistoryStore`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    series: Vec<RwLock<Series>>,
    samples_per_series_max: usize,
}

impl MemoryStore {
    /// For `series` many series; beyond `samples_per_series_max` the oldest samples of a series go.
    #[must_use]
    pub fn new(series: usize, samples_per_series_max: usize) -> Self {
        Self { series: (0..series).map(|_| RwLock::default()).collect(), samples_per_series_max }
    }

    fn slot(&self, series: SeriesId) -> Result<&RwLock<Series>, HistoryError> {
        self.series.get(series.index()).ok_or(HistoryError::UnknownSeries { series, count: self.series.len() })
    }

    fn reader(&self, series: SeriesId) -> Result<RwLockReadGuard<'_, Series>, HistoryError> {
        Ok(self.slot(series)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn writer(&self, series: SeriesId) -> Result<RwLockWriteGuard<'_, Series>, HistoryError> {
        Ok(self.slot(series)?.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HistoryStore for MemoryStore {
    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        for &(series, _) in samples {
            self.slot(series)?;
        }
        for (series, sample) in samples {
            let mut kept = self.writer(*series)?;
            kept.insert(sample.source_timestamp, sample.clone());
            if kept.len() > self.samples_per_series_max {
                kept.pop_first();
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), HistoryError> {
        Ok(())
    }

    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        if times.start >= times.end {
            return Ok(Vec::new());
        }
        let kept = self.reader(series)?;
        let inside = kept.range(times).map(|(_, sample)| sample.clone());
        Ok(match direction {
            Direction::Forward => inside.take(limit).collect(),
            Direction::Backward => inside.rev().take(limit).collect(),
        })
    }

    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError> {
        self.writer(series)?.retain(|at, _| !times.contains(at));
        Ok(())
    }

    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        let kept = self.reader(series)?;
        Ok(kept.first_key_value().zip(kept.last_key_value()).map(|((&first, _), (&last, _))| (first, last)))
    }

    fn free_space(&self) -> Option<u64> {
        None
    }
}
