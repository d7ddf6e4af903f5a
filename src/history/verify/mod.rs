//! Whether a history on the disk is whole: every block, every record of the log, of modifications, annotations, documents and
//! events is decoded and checked, nothing is replayed, moved or mended. (sled itself may write a snapshot of its own index; no tree
//! is changed.)

mod blocks;
mod events;
mod log;
mod records;

use std::{collections::HashMap, path::Path};

use sled::{Db, IVec, Tree};

use super::{
    Annotation, Document, HistoryError, Modified,
    blocks::{Blocks, Cause, PAGE_SAMPLES},
    guards::{self, FolderLock},
    log::PersistentId,
    log_trees,
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
    /// Modification records, annotations and documents looked at.
    pub by_hand: u64,
    /// Events looked at.
    pub events: u64,
}

/// Where damage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A block of this series. `None`: of a number that has no name.
    Block(Option<String>),
    /// A modification record, an annotation or a document of this series, as [`Record::WHAT`](super::record::Record::WHAT) says;
    /// an event of this twin, or whatever its source's first name is.
    Record(&'static str, Option<String>),
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
    /// Modification records, damaged ones included.
    pub modifications: u64,
    /// Annotations, damaged ones included.
    pub annotations: u64,
    /// Documents, damaged ones included.
    pub documents: u64,
    /// Events, damaged ones included.
    pub events: u64,
    /// Damaged blocks that were set aside earlier, when something had to be written in their place. What they had reads
    /// back Bad_DataLost; no damage that is new, so they are not among `damages`.
    pub set_aside: u64,
    /// The first of them.
    pub set_aside_blocks: Vec<Damage>,
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

    const fn progress(&self) -> VerifyProgress {
        let by_hand = self.modifications + self.annotations + self.documents;
        VerifyProgress { blocks: self.blocks, records: self.records, by_hand, events: self.events }
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
            blocks::check(&stored, &names, &mut report, progress);
            blocks::list_set_aside(&stored.damaged, &names, &mut report);
        }
        if let Some(tree) = tree("edits")? {
            records::check::<Modified>(tree, &names, &mut report, |report| &mut report.modifications, progress);
        }
        if let Some(tree) = tree("annotations")? {
            records::check::<Annotation>(tree, &names, &mut report, |report| &mut report.annotations, progress);
        }
        if let Some(tree) = tree("documents")? {
            records::check::<Document>(tree, &names, &mut report, |report| &mut report.documents, progress);
        }
        events::check(&block_db, &mut report, progress).map_err(fail)?;
        let log_db = guards::open(&folder.join("log"), CACHE_BYTES)?;
        log::check(&log_trees::stored(&log_db).map_err(fail)?, &mut report, progress);
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

type Pair = (IVec, IVec);

/// Every pair of a tree whose keys begin with a series' number. What sled cannot read ends its walk, which goes on with the
/// next series.
fn walk(tree: &Tree, mut take: impl FnMut(Result<Pair, (PersistentId, sled::Error)>)) {
    let mut from: Option<PersistentId> = Some(0);
    while let Some(first) = from.take() {
        let mut series = first;
        for pair in tree.range(first.to_be_bytes()..) {
            match pair {
                Ok((key, value)) => {
                    series = series_of(&key).unwrap_or(series);
                    take(Ok((key, value)));
                }
                Err(cause) => {
                    take(Err((series, cause)));
                    from = series.checked_add(1);
                    break;
                }
            }
        }
    }
}

fn series_of(key: &[u8]) -> Option<PersistentId> {
    key.get(..4)?.try_into().ok().map(PersistentId::from_be_bytes)
}

fn span(first: i64, last: i64) -> (Option<Timestamp>, Option<Timestamp>) {
    (Some(Timestamp::from_ticks(first)), Some(Timestamp::from_ticks(last)))
}
