//! History on the disk: two sled databases, `blk/` of sealed blocks and `log/` of what no durable block holds yet (in
//! one database the dying log records would pin the segments of long-lived blocks: 2.8 times the disk).
//!
//! - Append: log record, then the series' head in memory. A full head, or the largest ones when all heads together
//!   exceed their budget, become blocks.
//! - Flush: the log database is flushed and synced: that is the acknowledgement. Now and then the block database too;
//!   only after that are log records deleted that no head needs. Nothing relies on the order in which two databases
//!   reach the disk, and there are no markers.
//! - Open: the log is replayed into the heads; what blocks hold already is dropped. Everything is idempotent on
//!   (series, SourceTimestamp).
//!
//! Series are known on the disk by name, so a config may reorder, add and drop them. Appending is in `sled_log`.

use std::{
    fs::{self, File},
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard},
};

use sled::{Db, Tree};

use super::{
    BackupProgress, BackupReport, Compacted, Direction, Document, HistoryError, HistoryStore, Summary,
    backup::Copying,
    behind::Op,
    block::SAMPLES_MAX,
    blocks::{Blocks, Cause, PAGE_SAMPLES},
    compact::Compaction,
    edit::{Annotation, AnnotationEdit, EditKind, Editor, Modified},
    front::{Front, Role},
    guards::{self, DiskFloor, FolderLock},
    head::{Head, merge},
    log::PersistentId,
    log_trees,
    names::persistent_ids,
    rename,
    shelf::Shelf,
    sled_edit::Under,
    sled_events::Events,
    sled_log::Log,
    slots::Slots,
};
use crate::{
    event::Event,
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

/// About 150 samples of a Double.
const HEAD_BYTES_MIN: usize = 2400;

/// Log of about as many.
const LOG_BYTES_MIN: u64 = 1600;

/// The sizes that bound a store's memory and disk.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Memory for the heads of all series together; never less than 2,400 bytes per series, or blocks get too small.
    pub head_bytes_max: usize,
    /// A head with this many samples is sealed.
    pub head_samples_max: usize,
    /// Samples per block: what a small read decodes. Smaller ones are merged in the background.
    pub page_samples: usize,
    /// Log kept at most (about), never less than 1,600 bytes per series: heads that would pin more are sealed. Blocks of less
    /// than half a page, which this makes of slow series, are merged later and so written twice.
    pub log_bytes_max: u64,
    /// sled's page cache for blocks. sled takes about three times this.
    pub block_cache_bytes: u64,
    /// sled's page cache for the log, which is read only at start.
    pub log_cache_bytes: u64,
    /// Bytes that must stay free on the disk; `None`: see [`DiskFloor::new`].
    pub free_space_floor: Option<u64>,
    /// Old and new names of series that were renamed: what was stored under the old name goes on under the new one.
    pub renames: Vec<(String, String)>,
    /// The block database is flushed, and the log cut, with every so many flushes.
    pub flushes_per_trim: u32,
    /// Whether another store stands behind this one.
    pub role: Role,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            head_bytes_max: 64 << 20,
            head_samples_max: PAGE_SAMPLES,
            page_samples: PAGE_SAMPLES,
            log_bytes_max: 80 << 20,
            block_cache_bytes: 4 << 20,
            log_cache_bytes: 1 << 20,
            free_space_floor: None,
            renames: Vec::new(),
            flushes_per_trim: 10,
            role: Role::Alone,
        }
    }
}

/// A [`HistoryStore`] on sled.
#[derive(Debug)]
pub struct SledStore {
    pub(super) options: SledOptions,
    /// By series; these and the heads only grow.
    pub(super) ids: boxcar::Vec<PersistentId>,
    pub(super) heads: boxcar::Vec<RwLock<Head>>,
    /// The names of series, and their numbers on the disk.
    pub(super) names: Tree,
    pub(super) blocks: Blocks,
    pub(super) log: Mutex<Log>,
    /// Modification records.
    pub(super) edits: Shelf<Modified>,
    pub(super) annotations: Shelf<Annotation>,
    pub(super) documents: Shelf<Document>,
    pub(super) events: Events,
    /// Edits and annotations take turns.
    pub(super) editing: Mutex<()>,
    /// What a store in front of another must know.
    pub(super) front: Option<Front>,
    pub(super) block_db: Db,
    pub(super) compaction: Mutex<Compaction>,
    pub(super) copying: Copying,
    pub(super) log_db: Db,
    pub(super) folder: File,
    pub(super) floor: DiskFloor,
    _lock: FolderLock,
}

impl SledStore {
    /// Opens or makes the history in `folder` (and nothing else should be in there). `SeriesId(i)` is `names[i]`; data
    /// of names not given stays.
    ///
    /// # Errors
    /// [`HistoryError::InUse`], [`HistoryError::Open`].
    pub fn open(folder: &Path, names: &[String], mut options: SledOptions) -> Result<Self, HistoryError> {
        let fail = |cause: Cause| HistoryError::Open { path: folder.to_owned(), cause };
        fs::create_dir_all(folder).map_err(|cause| fail(cause.into()))?;
        if options.head_samples_max >= PAGE_SAMPLES {
            options.head_bytes_max = options.head_bytes_max.max(names.len() * HEAD_BYTES_MIN);
            options.log_bytes_max = options.log_bytes_max.max(names.len() as u64 * LOG_BYTES_MIN);
        }
        let lock = FolderLock::take(folder)?;
        let database = |name: &str, cache: u64| {
            let path: PathBuf = folder.join(name);
            guards::open(&path, cache)
        };
        let block_db = database("blk", options.block_cache_bytes)?;
        let log_db = database("log", options.log_cache_bytes)?;
        if log_db.tree_names().iter().any(|name| name.as_ref() == b"l") {
            return Err(fail("it was written by a version before the first release".into()));
        }
        let tree = |db: &Db, name: &str| db.open_tree(name).map_err(|cause| fail(cause.into()));
        let blocks = Blocks {
            slots: Slots::open(tree(&block_db, "b")?).map_err(&fail)?,
            headers: tree(&block_db, "s")?,
            damaged: tree(&block_db, "damaged")?,
            page: options.page_samples.clamp(1, SAMPLES_MAX),
        };
        let log = Log::open(&log_db).map_err(&fail)?;
        let is_empty = || -> Result<bool, Cause> {
            Ok(blocks.headers.is_empty() && log_trees::iter(&log.records.snapshot()).next().transpose()?.is_none())
        };
        let front = Front::open(&log_db, options.role, is_empty).map_err(&fail)?;
        let edits = Shelf::new(tree(&block_db, "edits")?);
        let annotations = Shelf::new(tree(&block_db, "annotations")?);
        let documents = Shelf::new(tree(&block_db, "documents")?);
        let events = Events::open(&block_db, &options.renames).map_err(&fail)?;
        let folder_file = File::open(folder).map_err(|cause| fail(cause.into()))?;
        let series = tree(&block_db, "series")?;
        rename::carry_over(&series, &options.renames).map_err(&fail)?;
        let ids = persistent_ids(&series, names).map_err(&fail)?;
        // Before a log record may name a new id, the id must be safe.
        block_db.flush().map_err(|cause| fail(cause.into()))?;
        guards::sync(&folder_file).map_err(|cause| fail(cause.into()))?;
        let floor = DiskFloor::new(folder, options.free_space_floor).map_err(|cause| fail(cause.into()))?;
        let heads = (0..names.len()).map(|_| RwLock::default()).collect();
        let log = Mutex::new(log);
        let store = Self {
            options,
            ids: ids.into_iter().collect(),
            heads,
            names: series,
            blocks,
            log,
            compaction: Mutex::new(Compaction::all(names.len())),
            copying: Copying::default(),
            edits,
            annotations,
            documents,
            events,
            editing: Mutex::default(),
            front,
            block_db,
            log_db,
            folder: folder_file,
            floor,
            _lock: lock,
        };
        store.replay().map_err(fail)?;
        Ok(store)
    }

    fn add(&self, names: &[String]) -> Result<(), Cause> {
        // Compaction's turn: nobody else takes series in meanwhile.
        let mut compaction = self.compaction();
        let ids = persistent_ids(&self.names, names)?;
        if let Some((_, id)) = self.ids.iter().find(|(_, id)| ids.contains(id)) {
            return Err(format!("series {id} is open already").into());
        }
        // Before a log record may name a new id, the id must be safe.
        self.block_db.flush()?;
        guards::sync(&self.folder)?;
        compaction.add(ids.len());
        for id in ids {
            self.ids.push(id);
            self.heads.push(RwLock::default());
        }
        Ok(())
    }

    pub(super) fn compaction(&self) -> MutexGuard<'_, Compaction> {
        self.compaction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn databases(&self) -> [&Db; 2] {
        [&self.block_db, &self.log_db]
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self, series: SeriesId) -> Result<&RwLock<Head>, HistoryError> {
        self.heads.get(series.index()).ok_or(HistoryError::UnknownSeries { series, count: self.heads.count() })
    }

    /// As [`read`](HistoryStore::read). `head` is the series' own, locked.
    pub(super) fn read_with(
        &self,
        head: &Head,
        index: usize,
        (mut start, mut end): (i64, i64),
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, Cause> {
        if start >= end || limit == 0 {
            return Ok(Vec::new());
        }
        let newest = head.samples_limited(start, end, direction, limit);
        if newest.len() == limit {
            // Blocks matter only as far as the head's samples go.
            match direction {
                Direction::Forward => end = newest[limit - 1].source_timestamp.ticks(),
                Direction::Backward => start = newest[0].source_timestamp.ticks(),
            }
        }
        let stays = |sample: &Sample| !head.is_removed(sample.source_timestamp.ticks());
        let keep: Option<&dyn Fn(&Sample) -> bool> = if head.removed.is_empty() { None } else { Some(&stays) };
        let older = self.blocks.read(self.ids[index], (start, end), direction, limit, keep)?;
        if newest.is_empty() {
            return Ok(older);
        }
        let mut samples = older;
        if direction == Direction::Backward {
            samples.reverse();
        }
        samples = merge(samples, newest);
        if direction == Direction::Backward {
            samples.reverse();
        }
        samples.truncate(limit);
        Ok(samples)
    }

    pub(super) fn head_mut(&self, index: usize) -> RwLockWriteGuard<'_, Head> {
        self.heads[index].write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HistoryStore for SledStore {
    fn add_series(&self, names: &[String]) -> Result<(), HistoryError> {
        if names.is_empty() {
            return Ok(());
        }
        self.floor.check()?;
        self.add(names).map_err(HistoryError::Flush)
    }

    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        for &(series, _) in samples {
            self.known(series)?;
        }
        self.floor.check()?;
        self.append_locked(&mut self.log(), samples)
            .map_err(|cause| HistoryError::Append { count: samples.len(), cause })
    }

    fn flush(&self) -> Result<(), HistoryError> {
        self.flush_locked(&mut self.log()).map_err(HistoryError::Flush)
    }

    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        // Held to the end: while a head is read, it is not sealed, so no sample is seen twice or not at all.
        let head = self.known(series)?.read().unwrap_or_else(PoisonError::into_inner);
        let times = (times.start.ticks(), times.end.ticks());
        self.read_with(&head, series.index(), times, direction, limit).map_err(HistoryError::Read)
    }

    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError> {
        self.known(series)?;
        let (start, end) = (times.start.ticks(), times.end.ticks());
        if start >= end {
            return Ok(());
        }
        self.remove_locked(&mut self.log(), series.index(), start, end)
            .map_err(|cause| HistoryError::Append { count: 0, cause })
    }

    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        let end = |direction| {
            let found = self.read(series, all.clone(), direction, 1)?;
            Ok(found.first().map(|sample| sample.source_timestamp))
        };
        Ok(end(Direction::Forward)?.zip(end(Direction::Backward)?))
    }

    fn summary(&self, series: SeriesId, times: Range<Timestamp>) -> Result<Summary, HistoryError> {
        let head = self.known(series)?.read().unwrap_or_else(PoisonError::into_inner);
        self.summary_with(&head, series.index(), times.start.ticks(), times.end.ticks()).map_err(HistoryError::Read)
    }

    fn compact(&self, samples: usize) -> Result<Compacted, HistoryError> {
        // It takes room before it gives room.
        if self.floor.check().is_err() {
            return Ok(Compacted::default());
        }
        self.compact_some(samples).map_err(HistoryError::Flush)
    }

    fn expire(&self, before: Timestamp) -> Result<u64, HistoryError> {
        let drop_all = || self.drop_before(before.ticks()).and_then(|gone| self.forget_before(before).map(|()| gone));
        drop_all().map_err(HistoryError::Flush)
    }

    fn free_space(&self) -> Option<u64> {
        self.floor.free()
    }

    fn size_on_disk(&self) -> Option<u64> {
        Some(self.block_db.size_on_disk().ok()? + self.log_db.size_on_disk().ok()?)
    }

    fn edit(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.edit_samples(series, kind, samples, by, &Under::new())
    }

    fn delete_raw(&self, series: SeriesId, times: Range<Timestamp>, by: &Editor) -> Result<u64, HistoryError> {
        self.delete_samples(series, times, by, &Under::new())
    }

    fn delete_at(&self, series: SeriesId, times: &[Timestamp], by: &Editor) -> Result<Vec<StatusCode>, HistoryError> {
        self.delete_samples_at(series, times, by, &Under::new())
    }

    fn modified(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Modified>, HistoryError> {
        self.modified_samples(series, times, direction, (skip, limit))
    }

    fn delete_modified(&self, series: SeriesId, times: Range<Timestamp>) -> Result<u64, HistoryError> {
        self.clear_modified(series, times)
    }

    fn annotate(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.edit_annotations(series, kind, annotations)
    }

    fn annotations(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Annotation>, HistoryError> {
        self.annotations_in(series, times, direction, (skip, limit))
    }

    fn keep(&self, documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        self.keep_documents(documents)
    }

    fn documents(
        &self,
        series: SeriesId,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Document>, HistoryError> {
        self.documents_of(series, direction, (skip, limit))
    }

    fn append_events(&self, events: &[Event]) -> Result<(), HistoryError> {
        self.floor.check()?;
        let append = || {
            if self.front.is_some() {
                // First: what the store behind is not told of, this one must not have.
                self.hand_on(&mut self.log(), 0, &Op::Events(events.to_vec()))?;
            }
            self.events.append(&self.block_db, events)
        };
        append().map_err(|cause| HistoryError::AppendEvents { count: events.len(), cause })
    }

    fn events(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Event>, HistoryError> {
        self.events.read(notifier, times, direction, (skip, limit)).map_err(HistoryError::Read)
    }

    fn conditions(&self) -> Result<Vec<Event>, HistoryError> {
        self.events.last_of_conditions().map_err(HistoryError::Read)
    }

    fn backup(
        &self,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport, HistoryError> {
        self.backup_to(to, progress).map_err(HistoryError::Backup)
    }
}
