//! A copy of a history while samples go on being stored, and back.
//!
//! Why the copy is consistent, though it is not made at one instant:
//! - Blocks plus the log, replayed over them, are the history: that is how a store opens after a crash. Replaying is
//!   idempotent, so it does no harm that the log says again what blocks hold already.
//! - While it is made the log is not cut (`Copying::is_busy`). Every log record that was needed when it began is still
//!   there when the log is copied, which is after all blocks.
//! - While the blocks of a series are copied they do not change (`Copying::is_frozen`): its head just grows. So what is
//!   copied of a series is what it was at one instant, with the log record up to which its last block says that blocks hold
//!   everything; that record was written before, and all records from there on are in the log's copy.
//! - The log is copied up to the record that was its last, between two batches, after the last block was copied.
//! - Events: the index up to one, and then the records that it refers to and the names of those whose they are; nothing is
//!   taken away meanwhile. A record that the index does not refer to is no more than lost space.
//! - What else there is (names, blocks set aside, old values of edits) is only added to, and comes last: at worst it has the
//!   old value of an edit which the copy of the log has not, as after a crash in the middle of an edit.
//!
//! Append waits only while a group of series is marked, never while bytes are copied.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    ops::{ControlFlow, Range, RangeBounds},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sled::{Db, IVec};

use super::{
    HistoryError,
    archive::{self, ArchiveWriter, DATABASES},
    blocks::{Blocks, Cause, PAGE_SAMPLES, key},
    guards::{self, FolderLock},
    log_trees::{self, LogTrees},
    sled_events,
    sled_store::SledStore,
    slots::Slots,
    verify::VerifyReport,
};

/// Series marked together: marking waits for a flush that is under way.
const GROUP: usize = 64;
const BLOCKS: &[u8] = b"b";
const LOG: &[u8] = b"l";
/// Where blocks are: a copy has them by their time.
const HEADERS: &[u8] = b"s";
const CACHE_BYTES: u64 = 4 << 20;

/// How far a backup or a restore is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupProgress {
    /// Bytes copied.
    pub bytes: u64,
    /// Bytes to copy, about: what the store takes on the disk.
    pub of: u64,
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Blocks, log records and names.
    pub pairs: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What a running backup keeps from happening.
#[derive(Debug, Default)]
pub(super) struct Copying {
    is_busy: AtomicBool,
    frozen: Mutex<Range<usize>>,
}

impl Copying {
    /// Whether the log must not be cut.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::SeqCst)
    }

    /// Whether the blocks of this series must not change. To be asked with the log or the series' head locked, before
    /// changing them.
    pub(super) fn is_frozen(&self, index: usize) -> bool {
        self.is_busy() && self.frozen.lock().unwrap_or_else(PoisonError::into_inner).contains(&index)
    }

    fn set_frozen(&self, series: Range<usize>) {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = series;
    }
}

/// However a backup ends, the store goes on as before.
struct Busy<'a>(&'a Copying);

impl<'a> Busy<'a> {
    fn begin(copying: &'a Copying) -> Result<Self, Cause> {
        match copying.is_busy.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(Self(copying)),
            Err(_) => Err("a backup is being made already".into()),
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set_frozen(0..0);
        self.0.is_busy.store(false, Ordering::SeqCst);
    }
}

type OnProgress<'a> = &'a mut dyn FnMut(BackupProgress) -> ControlFlow<()>;

struct Copy<'a> {
    out: ArchiveWriter<BufWriter<File>>,
    of: u64,
    progress: OnProgress<'a>,
}

impl Copy<'_> {
    fn pairs(
        &mut self,
        database: usize,
        tree: &[u8],
        pairs: impl Iterator<Item = sled::Result<(IVec, IVec)>>,
    ) -> Result<(), Cause> {
        for pair in pairs {
            let (key, value) = pair?;
            self.out.put(database, tree, &key, &value)?;
            if self.out.pairs.is_multiple_of(16) {
                self.report()?;
            }
        }
        Ok(())
    }

    fn report(&mut self) -> Result<(), Cause> {
        let progress = BackupProgress { bytes: self.out.bytes, of: self.of.max(self.out.bytes) };
        if (self.progress)(progress).is_break() { Err("it was stopped".into()) } else { Ok(()) }
    }
}

impl SledStore {
    /// See [`HistoryStore::backup`](super::HistoryStore::backup).
    pub(super) fn backup_to(&self, to: &Path, progress: OnProgress<'_>) -> Result<BackupReport, Cause> {
        if to.exists() {
            return Err(format!("`{}` is there already", to.display()).into());
        }
        let busy = Busy::begin(&self.copying)?;
        let partial = beside(to, "partial");
        let out = ArchiveWriter::new(BufWriter::new(File::create(&partial)?))?;
        let [block_db, log_db] = self.databases();
        let of = block_db.size_on_disk()? + log_db.size_on_disk()?;
        let copied = self.copy_all(Copy { out, of, progress });
        drop(busy);
        let (pairs, bytes) = match copied {
            Ok(copied) => copied,
            Err(cause) => {
                // What is there of it is of no use to anybody.
                let _ = fs::remove_file(&partial);
                return Err(cause);
            }
        };
        fs::rename(&partial, to)?;
        sync_folder_of(to)?;
        Ok(BackupReport { pairs, bytes })
    }

    fn copy_all(&self, mut copy: Copy<'_>) -> Result<(u64, u64), Cause> {
        copy.report()?;
        // A cut that is under way ends first.
        drop(self.log());
        drop(self.events.turn());
        self.copy_blocks(&mut copy)?;
        let end = self.log().next;
        let trees = self.log().records.snapshot();
        let is_before =
            |item: &sled::Result<(IVec, IVec)>| item.as_ref().map_or(true, |(key, _)| **key < end.to_be_bytes()[..]);
        copy.pairs(1, LOG, log_trees::iter(&trees).take_while(is_before))?;
        self.copy_events(&mut copy)?;
        let is_copied = |name: &[u8]| {
            [BLOCKS, HEADERS].contains(&name) || sled_events::TREES.iter().any(|known| known.as_bytes() == name)
        };
        for name in self.block_db.tree_names().into_iter().filter(|name| !is_copied(name)) {
            copy.pairs(0, &name, self.block_db.open_tree(&name)?.iter())?;
        }
        copy.report()?;
        let (out, pairs, bytes) = copy.out.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok((pairs, bytes))
    }

    /// Those up to one: what comes meanwhile would be in a part of the index only.
    fn copy_events(&self, copy: &mut Copy<'_>) -> Result<(), Cause> {
        let [conditions, index, rest @ ..] = sled_events::TREES;
        let (last_of_conditions, end) = {
            let _turn = self.events.turn();
            (self.events.conditions.iter().collect::<Vec<_>>(), self.block_db.generate_id()?)
        };
        copy.pairs(0, conditions.as_bytes(), last_of_conditions.into_iter())?;
        let is_before = |item: &sled::Result<(IVec, IVec)>| {
            item.as_ref().map_or(true, |(key, bytes)| sled_events::number(key, bytes).is_none_or(|number| number < end))
        };
        copy.pairs(0, index.as_bytes(), self.events.index.iter().filter(is_before))?;
        for name in rest {
            copy.pairs(0, name.as_bytes(), self.block_db.open_tree(name)?.iter())?;
        }
        Ok(())
    }

    fn copy_blocks(&self, copy: &mut Copy<'_>) -> Result<(), Cause> {
        for group in (0..self.ids.count()).step_by(GROUP) {
            let group = group..(group + GROUP).min(self.ids.count());
            self.copying.set_frozen(group.clone());
            // Whoever began to change blocks before ends first.
            drop(self.log());
            for index in group {
                drop(self.head_mut(index));
                let id = self.ids[index];
                copy.pairs(0, BLOCKS, self.blocks_in(key(id, i64::MIN)..=key(id, i64::MAX)))?;
            }
        }
        self.copying.set_frozen(0..0);
        // Series that are stored and not configured: between the others' numbers. Nothing is added to them.
        let mut ids: Vec<_> = self.ids.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let mut from = Some(0);
        for id in ids {
            if let Some(from) = from.filter(|&from| from < id) {
                copy.pairs(0, BLOCKS, self.blocks_in(key(from, i64::MIN)..key(id, i64::MIN)))?;
            }
            from = id.checked_add(1);
        }
        if let Some(from) = from {
            copy.pairs(0, BLOCKS, self.blocks_in(key(from, i64::MIN)..))?;
        }
        Ok(())
    }

    /// Blocks by series and first instant. One that is not where it should be is copied as empty: that it is lost stays known.
    fn blocks_in<R: RangeBounds<[u8; 12]>>(&self, range: R) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> + '_ {
        self.blocks.headers.range(range).map(|entry| {
            let found = self.blocks.found(entry?)?;
            let bytes = self.blocks.bytes(&found)?.unwrap_or_default();
            Ok((found.key, bytes))
        })
    }

    /// Puts what the backup `from` holds in the place of the history in `folder`, after checking all of it. Where there is
    /// one already that is refused; with `force`, it is moved aside. Returns what is in there now, and where the old history
    /// went.
    ///
    /// # Errors
    /// [`HistoryError::InUse`], [`HistoryError::Restore`]; then nothing has changed.
    pub fn restore(
        from: &Path,
        folder: &Path,
        force: bool,
        progress: OnProgress<'_>,
    ) -> Result<(VerifyReport, Option<PathBuf>), HistoryError> {
        let is_there = folder.join("blk").exists() || folder.join("log").exists();
        if is_there && !force {
            return Err(HistoryError::Restore(format!("there is a history in `{}`", folder.display()).into()));
        }
        let lock = if is_there { Some(FolderLock::take(folder)?) } else { None };
        let staging = beside(folder, "restoring");
        unpack(from, &staging, progress).map_err(HistoryError::Restore)?;
        let report = Self::verify(&staging, &mut |_| {})?;
        let moved = put_in_place(&staging, folder).map_err(|cause| HistoryError::Restore(cause.into()))?;
        drop(lock);
        Ok((report, moved))
    }
}

fn unpack(from: &Path, staging: &Path, progress: OnProgress<'_>) -> Result<(), Cause> {
    let open = || Ok::<_, io::Error>(BufReader::new(File::open(from)?));
    // Twice through the file: nothing is written before all of it is known to be good.
    let of = fs::metadata(from)?.len() * 2;
    let mut bytes = 0;
    let mut report = |pairs: &[(&[u8], &[u8])]| {
        bytes += pairs.iter().map(|(key, value)| (key.len() + value.len() + 8) as u64).sum::<u64>();
        let is_break = progress(BackupProgress { bytes, of }).is_break();
        if is_break { Err(Cause::from("it was stopped")) } else { Ok(()) }
    };
    archive::read(open()?, &mut |_, _, pairs| report(pairs))?;
    if staging.exists() {
        fs::remove_dir_all(staging)?;
    }
    fs::create_dir_all(staging)?;
    let databases: Vec<Db> = DATABASES
        .iter()
        .map(|name| guards::open(&staging.join(name), CACHE_BYTES))
        .collect::<Result<_, HistoryError>>()?;
    let [block_db, log_db] = &databases[..] else { return Err("a history has two databases".into()) };
    let blocks = Blocks {
        slots: Slots::open(block_db.open_tree(BLOCKS)?)?,
        headers: block_db.open_tree(HEADERS)?,
        damaged: block_db.open_tree("damaged")?,
        page: PAGE_SAMPLES,
    };
    let mut log = LogTrees::open(log_db)?;
    archive::read(open()?, &mut |database, name, pairs| {
        for &(key, value) in pairs {
            match (database, name) {
                (0, BLOCKS) => blocks.commit(&[], &[(key.try_into()?, value.to_vec())])?,
                (1, LOG) => log.put(log_trees::number(key)?, value)?,
                _ => drop(databases[database].open_tree(name)?.insert(key, value)?),
            }
        }
        report(pairs)
    })?;
    for database in &databases {
        database.flush()?;
    }
    Ok(guards::sync(&File::open(staging)?)?)
}

/// The old folder, if there is one, goes aside; the new one takes its place.
fn put_in_place(staging: &Path, folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut moved = None;
    if folder.exists() {
        let free = (1..).map(|n| beside(folder, &format!("before-restore-{n}"))).find(|path| !path.exists());
        let aside = free.ok_or_else(|| io::Error::other("no name is free for the old history"))?;
        fs::rename(folder, &aside)?;
        moved = Some(aside);
    }
    fs::rename(staging, folder)?;
    sync_folder_of(folder)?;
    Ok(moved)
}

/// `F.suffix`, beside `F`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// Names in a folder are durable only when the folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
