//! Changes of history by hand, and annotations (OPC 10000-11 §6.9): what a store must answer for each value, and what it
//! keeps of the value that was there before. Pure; the stores do the keeping.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

/// PerformUpdateType, for values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// Only where there is no value yet.
    Insert,
    /// Only where there is one.
    Replace,
    /// Either.
    Update,
}

/// Who changes history, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    /// As the session knows them.
    pub user: Arc<str>,
    /// When they did it.
    pub at: Timestamp,
}

/// HistoryUpdateType: what happened to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Modification {
    /// It was inserted; the record holds the new value.
    Insert = 1,
    /// Another took its place; the record holds the old one.
    Replace = 2,
    /// Nobody knows any more: the record is damaged. Its value reads Bad_DataLost, its user is empty, its time null.
    Lost = 0,
    /// It was deleted; the record holds it.
    Delete = 4,
}

/// One modification record (OPC 10000-11 §6.5.3.3). An update is recorded as what it did: as an insert or a replace, for
/// the clause says which value a record of those holds, and says nothing of updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Modified {
    /// The value that was inserted, replaced or deleted.
    pub sample: Sample,
    /// Which of it.
    pub kind: Modification,
    /// By whom.
    pub user: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// A remark on the value at an instant. Unique by `at`, `user` and `time` together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// SourceTimestamp of what it is about.
    pub at: Timestamp,
    /// The remark.
    pub message: Arc<str>,
    /// Whose.
    pub user: Arc<str>,
    /// When it was made.
    pub time: Timestamp,
    /// Only `at` is known of it any more: what was stored is damaged.
    pub is_lost: bool,
}

/// PerformUpdateType, for annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationEdit {
    /// Only a new one.
    Insert,
    /// Only one that is there.
    Replace,
    /// Either.
    Update,
    /// Takes it away.
    Remove,
}

impl Annotation {
    /// Whether both are the same one, whatever they say.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        !self.is_lost && (self.at, &self.user, self.time) == (other.at, &other.user, other.time)
    }
}

/// What an edit comes to, before anything is changed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// One per value asked for.
    pub(super) results: Vec<StatusCode>,
    /// What history shall hold at these instants.
    pub(super) write: BTreeMap<Timestamp, Sample>,
    /// What shall be kept, in the order in which it happened.
    pub(super) records: Vec<Modified>,
}

impl Plan {
    /// `existing` holds what history has at the instants of `samples`. Values of one call count in their order: a second
    /// one at the same instant finds the first.
    pub(super) fn of(
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
        mut existing: BTreeMap<Timestamp, Sample>,
    ) -> Self {
        let mut plan = Self::default();
        for sample in samples {
            let old = existing.get(&sample.source_timestamp);
            let result = match (kind, old) {
                (EditKind::Insert, Some(_)) => StatusCode::BadEntryExists,
                (EditKind::Replace, None) => StatusCode::BadNoEntryExists,
                (_, Some(_)) => StatusCode::GoodEntryReplaced,
                (_, None) => StatusCode::GoodEntryInserted,
            };
            if result.is_good() {
                let record = match old {
                    Some(old) => Modified::by(by, Modification::Replace, old.clone()),
                    None => Modified::by(by, Modification::Insert, sample.clone()),
                };
                plan.records.push(record);
                existing.insert(sample.source_timestamp, sample.clone());
                plan.write.insert(sample.source_timestamp, sample.clone());
            }
            plan.results.push(result);
        }
        plan
    }
}

impl Modified {
    pub(super) fn by(editor: &Editor, kind: Modification, sample: Sample) -> Self {
        Self { sample, kind, user: Arc::clone(&editor.user), at: editor.at }
    }
}

/// What history holds at some instants, by `read(start, end, limit)`.
pub(super) fn existing<E>(
    times: impl Iterator<Item = Timestamp> + Clone,
    mut read: impl FnMut(Timestamp, Timestamp, usize) -> Result<Vec<Sample>, E>,
) -> Result<BTreeMap<Timestamp, Sample>, E> {
    let (Some(first), Some(last)) = (times.clone().min(), times.clone().max()) else { return Ok(BTreeMap::new()) };
    // Instants that lie close together are read at once; where more lies between them than that saves, one by one.
    let enough = 4 * times.clone().count() + 64;
    let all = read(first, last.next(), enough)?;
    if all.len() < enough {
        return Ok(all.into_iter().map(|sample| (sample.source_timestamp, sample)).collect());
    }
    let mut found = BTreeMap::new();
    for time in times {
        found.extend(read(time, time.next(), 1)?.into_iter().map(|sample| (sample.source_timestamp, sample)));
    }
    Ok(found)
}

/// What an annotation's edit answers, given whether it is there.
pub(super) fn annotation_result(kind: AnnotationEdit, is_there: bool) -> StatusCode {
    use AnnotationEdit as K;
    match (kind, is_there) {
        (K::Insert, true) => StatusCode::BadEntryExists,
        (K::Replace | K::Remove, false) => StatusCode::BadNoEntryExists,
        (K::Insert | K::Update, false) => StatusCode::GoodEntryInserted,
        (K::Replace | K::Update, true) => StatusCode::GoodEntryReplaced,
        (K::Remove, true) => StatusCode::Good,
    }
}
