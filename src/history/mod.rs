//! What happened: every sample with its status, kept so that an acknowledged one survives a power cut.
//!
//! A store is anything that passes the contract in `tests/` of [`HistoryStore`]; which one, the config says.

pub mod block;
mod block_values;
mod blocks;
mod bytes;
pub mod columns;
pub mod guards;
mod head;
pub mod log;
pub mod memory_store;
mod replay;
pub mod sled_store;
mod summary;
pub mod writer;

use std::{ops::Range, sync::Arc, time::Duration};

pub use summary::{ClassSummary, Summary};

use crate::{
    sample::{Sample, SeriesId},
    time::Timestamp,
};

/// Which way a read goes through time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// What a store can fail at. The cause is the `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Opening or recovering the files.
    #[error("opening the history in `{path}`")]
    Open {
        /// The data folder.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Adding samples.
    #[error("appending {count} samples to history")]
    Append {
        /// How many were in the batch.
        count: usize,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Making appended samples durable.
    #[error("making history durable")]
    Flush(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading samples back.
    #[error("reading history")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process (or another store of this one) has the folder open.
    #[error("the history in `{path}` is in use by another process")]
    InUse {
        /// The data folder.
        path: std::path::PathBuf,
    },
    /// Less than the floor is free: nothing of the batch was taken. Appending works again once there is room.
    #[error("history is paused: {free} bytes free, at least {floor} must stay free")]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        floor: u64,
    },
    /// A series that the store was not opened with.
    #[error("series {} is not one of the {count} that this history was opened with", series.0)]
    UnknownSeries {
        /// Which.
        series: SeriesId,
        /// How many there are.
        count: usize,
    },
}

/// Samples by series and SourceTimestamp.
///
/// Ingest is idempotent on (series, SourceTimestamp): a second sample at the same instant replaces the first. Samples
/// may come late and out of order. All methods may be called from any thread; reads see every append that returned.
pub trait HistoryStore: Send + Sync {
    /// Adds samples. They are readable at once and durable after the next [`flush`](Self::flush) that begins later.
    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError>;

    /// Returns when everything appended before the call survives a power cut.
    fn flush(&self) -> Result<(), HistoryError>;

    /// At most `limit` samples of `series` with SourceTimestamp in `times` (start included, end not), in the order of
    /// `direction`. To go on, call again with the range narrowed past the last one returned.
    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError>;

    /// Takes out the samples in `times`: how backfill replaces the marker of a gap by what was missed.
    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError>;

    /// SourceTimestamps of the oldest and newest sample of `series`.
    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError>;

    /// Counts, extremes and sums of the samples in `times` by status class. A store that knows them of whole blocks need
    /// not read those.
    fn summary(&self, series: SeriesId, times: Range<Timestamp>) -> Result<Summary, HistoryError> {
        const PAGE: usize = 65_536;
        let (mut summary, mut from) = (Summary::default(), times.start);
        loop {
            let page = self.read(series, from..times.end, Direction::Forward, PAGE)?;
            page.iter().for_each(|sample| summary.add(sample));
            match page.last() {
                Some(last) if page.len() == PAGE => from = last.source_timestamp + Duration::from_nanos(100),
                _ => return Ok(summary),
            }
        }
    }

    /// Bytes free for more, where the store lives on a disk.
    fn free_space(&self) -> Option<u64>;

    /// Bytes that the store takes on a disk.
    fn size_on_disk(&self) -> Option<u64> {
        None
    }
}

/// A store shared by the writer and every reader.
pub type SharedStore = Arc<dyn HistoryStore>;

#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod writer_tests;
