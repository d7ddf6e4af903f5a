//! Whether a history on the disk is whole: every block and every log record is decoded and checked, nothing is
//! replayed, moved or mended. (sled itself may write a snapshot of its own index; no tree is changed.)

use std::{collections::HashMap, path::Path};

use sled::{Db, IVec, Tree};

use super::{
    HistoryError, block,
    blocks::{Blocks, Cause, PAGE_SAMPLES, first_ticks, key, series_of},
    guards::{self, FolderLock},
    log::{LogEntry, PersistentId, Replay},
    records,
    sled_store::SledStore,
    slots::Slots,
};
use crate::time::Timestamp;

/// Damages kept; more are counted.
const DAMAGES_MAX: usize = 1000;
const CACHE_BYTES: u64 = 4 << 20;

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Blocks looked at.
    pub blocks: u64,
    /// Log records looked at.
    pub records: u64,
}

/// Where damage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A block of this series. `None`: of a number that has no name.
    Block(Option<String>),
    /// A record of the log: of any series that was written to at the time.
    LogRecord(u64),
    /// A database as a whole.
    Database(&'static str),
}

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub place: Place,
    /// From when to when samples may be lost, as far as that is known. Of a log record: the SourceTimestamps before and
    /// after it in the log.
    pub times: (Option<Timestamp>, Option<Timestamp>),
    /// What is wrong.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Names that the history knows.
    pub series: u64,
    /// Blocks, damaged ones included.
    pub blocks: u64,
    /// Samples in whole blocks.
    pub block_samples: u64,
    /// Log records, damaged ones included.
    pub records: u64,
    /// Samples in whole log records; blocks may hold them too.
    pub record_samples: u64,
    /// Damaged blocks that were set aside earlier, when something had to be written in their place.
    pub set_aside: u64,
    /// The first damages.
    pub damages: Vec<Damage>,
    /// All damages.
    pub damaged: u64,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.damaged == 0
    }

    fn damage(&mut self, place: Place, times: (Option<Timestamp>, Option<Timestamp>), what: &dyn ToString) {
        self.damaged += 1;
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push(Damage { place, times, what: what.to_string() });
        }
    }
}

impl SledStore {
    /// Looks at everything in `folder`, which no store may have open.
    ///
    /// # Errors
    /// [`HistoryError::InUse`]; [`HistoryError::Open`] if there is no history or nothing of it can be read.
    pub fn verify(folder: &Path, progress: &mut dyn FnMut(VerifyProgress)) -> Result<VerifyReport, HistoryError> {
        let fail = |cause: Cause| HistoryError::Open { path: folder.to_owned(), cause };
        if !exists(folder) {
            return Err(fail("there is no history".into()));
        }
        let _lock = FolderLock::take(folder)?;
        let mut report = VerifyReport::default();
        let block_db = guards::open(&folder.join("blk"), CACHE_BYTES)?;
        let names = series_names(&block_db).map_err(fail)?;
        report.series = names.len() as u64;
        let tree = |name| existing(&block_db, name).map_err(fail);
        if let (Some(slots), Some(headers), Some(damaged)) = (tree("b")?, tree("s")?, tree("damaged")?) {
            let stored = Blocks { slots: Slots::open(slots).map_err(fail)?, headers, damaged, page: PAGE_SAMPLES };
            blocks(&stored, &names, &mut report, progress);
        }
        if let Some(tree) = tree("damaged")? {
            report.set_aside = tree.len() as u64;
        }
        let log_db = guards::open(&folder.join("log"), CACHE_BYTES)?;
        log_records(&records::stored(&log_db).map_err(fail)?, &mut report, progress);
        Ok(report)
    }

    /// The names of every series that has ever been in the history in `folder`, configured or not; none where there is
    /// no history yet.
    ///
    /// # Errors
    /// [`HistoryError::InUse`], [`HistoryError::Open`].
    pub fn stored_names(folder: &Path) -> Result<Vec<String>, HistoryError> {
        if !exists(folder) {
            return Ok(Vec::new());
        }
        let _lock = FolderLock::take(folder)?;
        let names = series_names(&guards::open(&folder.join("blk"), CACHE_BYTES)?)
            .map_err(|cause| HistoryError::Open { path: folder.to_owned(), cause })?;
        let mut names: Vec<String> = names.into_values().collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn exists(folder: &Path) -> bool {
    folder.join("blk").is_dir()
}

/// The tree, if it is there: opening would make it.
fn existing(db: &Db, name: &str) -> Result<Option<Tree>, Cause> {
    let is_there = db.tree_names().iter().any(|known| known.as_ref() == name.as_bytes());
    Ok(if is_there { Some(db.open_tree(name)?) } else { None })
}

fn series_names(block_db: &Db) -> Result<HashMap<PersistentId, String>, Cause> {
    let Some(tree) = existing(block_db, "series")? else { return Ok(HashMap::new()) };
    let pair = |item: sled::Result<(IVec, IVec)>| -> Result<_, Cause> {
        let (name, id) = item?;
        Ok((PersistentId::from_be_bytes(id.as_ref().try_into()?), String::from_utf8_lossy(&name).into_owned()))
    };
    tree.iter().map(pair).collect()
}

fn blocks(
    stored: &Blocks,
    names: &HashMap<PersistentId, String>,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(VerifyProgress),
) {
    let place = |id: PersistentId| Place::Block(names.get(&id).cloned());
    let mut from = Some(0);
    // What sled cannot read ends its walk: go on with the next series.
    while let Some(first_id) = from.take() {
        let mut previous: Option<(PersistentId, i64)> = None;
        for item in stored.headers.range(key(first_id, i64::MIN)..) {
            let (key, entry) = match item {
                Ok(pair) => pair,
                Err(cause) => {
                    let (id, last) = previous.unwrap_or((first_id, i64::MIN));
                    report.damage(place(id), (Some(Timestamp::from_ticks(last)), None), &cause);
                    from = id.checked_add(1);
                    break;
                }
            };
            report.blocks += 1;
            if key.len() != 12 {
                report.damage(Place::Block(None), (None, None), &"its key is malformed");
                continue;
            }
            let (id, first) = (series_of(&key), first_ticks(&key));
            let is_entry_whole = block::header(&entry).is_ok();
            let bytes = match stored.found((key, entry)).and_then(|found| stored.bytes(&found)) {
                Ok(bytes) => bytes.unwrap_or_default(),
                Err(cause) => {
                    report.damage(place(id), span(first, first), &cause);
                    continue;
                }
            };
            let before = previous.filter(|(known, _)| *known == id).map(|(_, last)| last);
            let last = match whole_block(first, &bytes) {
                Ok((last, samples)) => {
                    report.block_samples += samples;
                    if before.is_some_and(|before| first <= before) {
                        report.damage(place(id), span(first, last), &"it overlaps the block before it");
                    }
                    if !is_entry_whole {
                        report.damage(place(id), span(first, last), &"the copy of its header is damaged");
                    }
                    last
                }
                Err((last, what)) => {
                    report.damage(place(id), span(first, last), &what);
                    last
                }
            };
            previous = Some((id, last));
            progress(VerifyProgress { blocks: report.blocks, records: report.records });
        }
    }
}

fn span(first: i64, last: i64) -> (Option<Timestamp>, Option<Timestamp>) {
    (Some(Timestamp::from_ticks(first)), Some(Timestamp::from_ticks(last)))
}

/// The block's last instant and its samples; of a damaged one the last instant that it claims, if that can be so.
fn whole_block(first: i64, bytes: &[u8]) -> Result<(i64, u64), (i64, String)> {
    let claimed = block::header(bytes).map_or(first, |header| header.last.ticks()).max(first);
    match block::decode(bytes) {
        Err(damage) => Err((claimed, damage.to_string())),
        Ok(columns) if columns.first() != Some(first) => {
            Err((claimed, "it begins at another time than its key says".into()))
        }
        Ok(columns) => Ok((columns.last().unwrap_or(first), columns.len() as u64)),
    }
}

fn log_records(trees: &[Tree], report: &mut VerifyReport, progress: &mut dyn FnMut(VerifyProgress)) {
    let mut replay = Replay::default();
    let mut before = None;
    // Damages whose next readable record is still to come.
    let mut open_from = report.damages.len();
    for item in records::iter(trees) {
        let (key, record) = match item {
            Ok(pair) => pair,
            Err(cause) => {
                report.damage(Place::Database("log"), (before, None), &cause);
                return;
            }
        };
        report.records += 1;
        let number = records::number(&key).unwrap_or(u64::MAX);
        let mut times = Vec::new();
        let result = replay.record(&record, |entry| {
            if let LogEntry::Sample(_, sample) = entry {
                times.push(sample.source_timestamp);
            }
        });
        match result {
            Err(damage) => report.damage(Place::LogRecord(number), (before, None), &damage),
            Ok(()) => {
                report.record_samples += times.len() as u64;
                if let (Some(&first), Some(&last)) = (times.first(), times.last()) {
                    report.damages.iter_mut().skip(open_from).for_each(|damage| damage.times.1 = Some(first));
                    open_from = report.damages.len();
                    before = Some(last);
                }
            }
        }
        progress(VerifyProgress { blocks: report.blocks, records: report.records });
    }
}
