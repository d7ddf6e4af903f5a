//! What happened: every sample with its status, kept so that an acknowledged one survives a power cut.
//!
//! A store is anything that passes the contract in `tests/` of [`HistoryStore`]; which one, the config says.

mod archive;
pub mod backup;
pub mod behind;
pub mod block;
mod block_values;
mod blocks;
mod bytes;
pub mod columns;
pub mod edit;
pub mod clickhouse_store;
mod compact;
pub mod document;
pub mod event_record;
mod front;
pub mod forwarding;
pub mod guards;
mod handed_on;
mod head;
pub mod log;
pub mod memory_store;
mod rename;
mod names;
mod packed;
mod page;
mod log_trees;
pub mod record;
mod replay;
mod shelf;
mod sled_by_hand;
mod sled_edit;
mod sled_events;
mod sled_front;
mod sled_log;
pub mod sled_store;
mod slots;
mod summary;
mod tag;
mod ticks;
mod tidying;
mod values;
mod value_bytes;
pub mod verify;
mod visit;
pub mod writer;

use std::{ops::Range, sync::Arc, time::Duration};

pub use backup::{BackupProgress, BackupReport};
pub use document::Document;
pub use edit::{Annotation, AnnotationEdit, EditKind, Editor, Modification, Modified};
pub use front::Role;
pub use summary::{ClassSummary, Summary};

use crate::{
    event::Event,
    sample::{Sample, SeriesId, StatusCode},
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
    /// Adding events.
    #[error("appending {count} events to history")]
    AppendEvents {
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
    /// The store behind does not answer, and what was asked for is there alone.
    #[error("what is asked for is in history's cluster, which does not answer")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
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
    /// Copying history while it is in use.
    #[error("backing up history")]
    Backup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Putting a backup in its place.
    #[error("restoring history")]
    Restore(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A series that the store was not opened with.
    #[error("series {} is not one of the {count} that this history was opened with", series.0)]
    UnknownSeries {
        /// Which.
        series: SeriesId,
        /// How many there are.
        count: usize,
    },
    /// A store that keeps no edits was asked to.
    #[error("this store cannot {what}")]
    Unsupported {
        /// Do what.
        what: &'static str,
    },
}

/// What a step of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Blocks that went.
    pub blocks: u64,
    /// Blocks that came in their place.
    pub made: u64,
    /// Samples in them.
    pub samples: u64,
    /// Whether another step will find something to look at.
    pub is_more: bool,
}

/// Samples by series and SourceTimestamp.
///
/// Ingest is idempotent on (series, SourceTimestamp): a second sample at the same instant replaces the first. Samples
/// may come late and out of order. All methods may be called from any thread; reads see every append that returned.
pub trait HistoryStore: Send + Sync {
    /// Takes in more series, numbered on from those that it has; what is stored under their names is theirs.
    fn add_series(&self, names: &[String]) -> Result<(), HistoryError>;

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

    /// SourceTimestamp of the newest sample of `series`.
    fn newest(&self, series: SeriesId) -> Result<Option<Timestamp>, HistoryError> {
        Ok(self.extent(series)?.map(|(_, newest)| newest))
    }

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

    /// Changes values by hand (OPC 10000-11 §6.9.2): one result per value, Good only when it survives a power cut. What was
    /// there is kept for [`modified`](Self::modified). Values of one call count in their order.
    fn edit(
        &self,
        _series: SeriesId,
        _kind: EditKind,
        _samples: &[Sample],
        _by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        Err(HistoryError::Unsupported { what: "edit" })
    }

    /// Deletes the samples in `times` (start included, end not), keeping them for [`modified`](Self::modified); durable when
    /// it returns how many there were.
    fn delete_raw(&self, _series: SeriesId, _times: Range<Timestamp>, _by: &Editor) -> Result<u64, HistoryError> {
        Err(HistoryError::Unsupported { what: "delete by hand" })
    }

    /// Deletes the samples at these instants: Good, or Bad_NoEntryExists where there is none (or not any more).
    fn delete_at(
        &self,
        _series: SeriesId,
        _times: &[Timestamp],
        _by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        Err(HistoryError::Unsupported { what: "delete by hand" })
    }

    /// What was inserted, replaced and deleted by hand, by the SourceTimestamp of the values: forward the last modification
    /// of an instant first, backward the first (OPC 10000-11 §6.5.3.3). To go on, narrow `times` to begin (backward: end)
    /// with the last instant returned and `skip` what was returned of it. In the place of a record that damage has taken
    /// stands that it is [`Lost`](Modification::Lost).
    fn modified(
        &self,
        _series: SeriesId,
        _times: Range<Timestamp>,
        _direction: Direction,
        _skip: usize,
        _limit: usize,
    ) -> Result<Vec<Modified>, HistoryError> {
        Ok(Vec::new())
    }

    /// Forgets the modification records in `times`; returns how many there were.
    fn delete_modified(&self, _series: SeriesId, _times: Range<Timestamp>) -> Result<u64, HistoryError> {
        Ok(0)
    }

    /// Adds, replaces and removes annotations (OPC 10000-11 §6.9.3): one result each, Good only when it survives a power cut.
    fn annotate(
        &self,
        _series: SeriesId,
        _kind: AnnotationEdit,
        _annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        Err(HistoryError::Unsupported { what: "annotate" })
    }

    /// The annotations of instants in `times`, those of one instant in the order in which they were made (backward:
    /// reversed); `skip` and `limit` as in [`modified`](Self::modified). In the place of one that damage has taken stands
    /// one that [`is_lost`](Annotation::is_lost).
    fn annotations(
        &self,
        _series: SeriesId,
        _times: Range<Timestamp>,
        _direction: Direction,
        _skip: usize,
        _limit: usize,
    ) -> Result<Vec<Annotation>, HistoryError> {
        Ok(Vec::new())
    }

    /// Keeps documents, each beside its series; durable when it returns. Nothing ever drops them.
    fn keep(&self, _documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        Err(HistoryError::Unsupported { what: "keep documents" })
    }

    /// The documents of a series by their time, those of one instant as they came (backward: reversed); `skip` and `limit`
    /// as in [`modified`](Self::modified). In the place of one that damage has taken stands one that
    /// [`is_lost`](Document::is_lost).
    fn documents(
        &self,
        _series: SeriesId,
        _direction: Direction,
        _skip: usize,
        _limit: usize,
    ) -> Result<Vec<Document>, HistoryError> {
        Ok(Vec::new())
    }

    /// Adds events, each with an EventId of its own: one whose EventId is there already is passed over. They are readable at
    /// once and durable after the next [`flush`](Self::flush) that begins later.
    fn append_events(&self, _events: &[Event]) -> Result<(), HistoryError> {
        Err(HistoryError::Unsupported { what: "keep events" })
    }

    /// At most `limit` events that come by `notifier` ([`Source::is_told_by`](crate::event::Source::is_told_by)) and whose
    /// time is in `times`, in the order of `direction`; those of one instant as they came (backward: reversed). `skip` and
    /// `limit` as in [`modified`](Self::modified). One that damage has taken, or whose type only a newer program knows, is
    /// left out, and the log is told once.
    fn events(
        &self,
        _notifier: &str,
        _times: Range<Timestamp>,
        _direction: Direction,
        _skip: usize,
        _limit: usize,
    ) -> Result<Vec<Event>, HistoryError> {
        Ok(Vec::new())
    }

    /// Of each condition (its `ConditionId`) the event that came last, however long ago: retention does not reach it.
    fn conditions(&self) -> Result<Vec<Event>, HistoryError> {
        Ok(Vec::new())
    }

    /// Puts small pieces together where that makes later reads faster and the disk emptier; reads see no difference.
    /// Looks at about `samples` samples and then returns, so that it can be called again and again between appends.
    fn compact(&self, samples: usize) -> Result<Compacted, HistoryError> {
        let _ = samples;
        Ok(Compacted::default())
    }

    /// Drops what is older than `before` as far as that costs little: whole blocks, so some of it may stay, and what the
    /// log still holds may come back with the next start and goes with the next call. Modification records and annotations
    /// of instants before `before` all go, and so do events, but for each condition's last. Nothing at or after `before` goes. Returns how many samples went.
    fn expire(&self, before: Timestamp) -> Result<u64, HistoryError> {
        let _ = before;
        Ok(0)
    }

    /// Lets go of what is kept here only for a time, where all of it is safe elsewhere: reads see no difference. Called now and
    /// then; nothing is sure to be older than `now`.
    fn tidy(&self, now: Timestamp) -> Result<(), HistoryError> {
        let _ = now;
        Ok(())
    }

    /// Writes everything appended before the call into a file of its own, which must not be there yet, while the store is
    /// in use. `progress` may stop it.
    fn backup(
        &self,
        _to: &std::path::Path,
        _progress: &mut dyn FnMut(BackupProgress) -> std::ops::ControlFlow<()>,
    ) -> Result<BackupReport, HistoryError> {
        Err(HistoryError::Backup("it is not on a disk".into()))
    }
}

/// A store shared by the writer and every reader.
pub type SharedStore = Arc<dyn HistoryStore>;

#[cfg(test)]
mod backup_tests;
#[cfg(test)]
#[path = "../../tests/support/clickhouse_server.rs"]
mod clickhouse_server;
#[cfg(test)]
mod codec_tests;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod edit_damage_tests;
#[cfg(test)]
mod edit_kill_tests;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod event_damage_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod writer_tests;
