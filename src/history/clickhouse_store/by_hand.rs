//! Changes of history by hand, annotations, documents. What was there is kept first; then the change is made: a crash in between
//! leaves a record of a modification that did not happen, never a change without its record.

use std::ops::Range;

use super::{
    ClickHouseStore, Connected, limits, orders,
    rows::{VALUE, Written},
    version,
};
use crate::{
    history::{
        Direction, Document, HistoryError, HistoryStore,
        behind::Key,
        blocks::Cause,
        edit::{
            Annotation, AnnotationEdit, EditKind, Editor, Modification, Modified, Plan, annotation_result, existing,
        },
    },
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

/// Samples deleted at a time.
const DELETE_ROUND: usize = 16_384;

/// By what an annotation or a document is told from others of its instant: what numbered it, and its place in one call.
pub(super) type Id = (u64, u32);

fn modification(kind: u8) -> Modification {
    match kind {
        1 => Modification::Insert,
        2 => Modification::Replace,
        4 => Modification::Delete,
        _ => Modification::Lost,
    }
}

impl ClickHouseStore {
    /// Has the turn, the key of the series, and a version.
    fn change<T>(
        &self,
        series: SeriesId,
        count: usize,
        work: impl FnOnce(&Connected, Key, u64) -> Result<T, Cause>,
    ) -> Result<T, HistoryError> {
        let (name, _) = self.name(series)?;
        let _turn = self.turn();
        let change = |connected: &Connected| {
            let (key, version) = (self.key_of(connected, name)?, self.version(connected)?);
            work(connected, key, version)
        };
        self.reach(change).map_err(|cause| HistoryError::Append { count, cause })
    }

    fn there(
        &self,
        series: SeriesId,
        times: impl Iterator<Item = Timestamp> + Clone,
    ) -> Result<std::collections::BTreeMap<Timestamp, Sample>, HistoryError> {
        existing(times, |start, end, limit| self.read(series, start..end, Direction::Forward, limit))
    }

    pub(super) fn edit_samples(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.change(series, samples.len(), |connected, key, version| {
            let there = self.there(series, samples.iter().map(|sample| sample.source_timestamp))?;
            let plan = Plan::of(kind, samples, by, there);
            self.insert_modified(connected, key, version, &plan.records)?;
            self.insert_samples(connected, plan.write.values().map(|sample| (key, version, sample)).collect())?;
            Ok(plan.results)
        })
    }

    pub(super) fn delete_samples(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        by: &Editor,
    ) -> Result<u64, HistoryError> {
        let (mut from, mut deleted) = (times.start, 0);
        loop {
            let page = self.change(series, 0, |connected, key, version| {
                let page = self.read(series, from..times.end, Direction::Forward, DELETE_ROUND)?;
                let Some((first, last)) = page.first().zip(page.last()) else { return Ok(page) };
                let span = first.source_timestamp..last.source_timestamp.next();
                let records: Vec<_> =
                    page.iter().map(|sample| Modified::by(by, Modification::Delete, sample.clone())).collect();
                self.insert_modified(connected, key, version, &records)?;
                self.remove_samples(connected, key, version, span)?;
                Ok(page)
            })?;
            deleted += page.len() as u64;
            match page.last() {
                Some(last) if page.len() == DELETE_ROUND => from = last.source_timestamp.next(),
                _ => return Ok(deleted),
            }
        }
    }

    pub(super) fn delete_samples_at(
        &self,
        series: SeriesId,
        times: &[Timestamp],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.change(series, times.len(), |connected, key, version| {
            let mut there = self.there(series, times.iter().copied())?;
            let mut records = Vec::new();
            let mut delete_one = |time| match there.remove(time) {
                Some(sample) => {
                    records.push(Modified::by(by, Modification::Delete, sample));
                    StatusCode::Good
                }
                None => StatusCode::BadNoEntryExists,
            };
            let results = times.iter().map(&mut delete_one).collect();
            self.insert_modified(connected, key, version, &records)?;
            for record in &records {
                let at = record.sample.source_timestamp;
                self.remove_samples(connected, key, version, at..at.next())?;
            }
            Ok(results)
        })
    }

    /// In the place of all modification records of a series these, in the order in which they were made: for a copy of a store.
    pub(crate) fn replace_modified(&self, series: SeriesId, records: &[Modified]) -> Result<(), HistoryError> {
        self.delete_modified(series, Timestamp::from_ticks(i64::MIN)..Timestamp::MAX)?;
        self.change(series, records.len(), |connected, key, version| {
            self.insert_modified(connected, key, version, records)
        })
    }

    pub(super) fn insert_modified(
        &self,
        connected: &Connected,
        key: Key,
        version: u64,
        records: &[Modified],
    ) -> Result<(), Cause> {
        let mut rows = Written::default();
        for (place, record) in (0..).zip(records) {
            let at = record.sample.source_timestamp.ticks();
            rows.u64(key).i64(at).u64(version).u32(place).u8(record.kind as u8);
            rows.bytes(record.user.as_bytes()).i64(record.at.ticks()).sample(&record.sample);
        }
        let columns = format!("series, at, version, place, kind, user, edited, {VALUE}");
        self.insert_rows(connected, "modified", &columns, &rows)
    }

    pub(super) fn modified_in(
        &self,
        name: &str,
        times: Range<Timestamp>,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<Modified>, Cause> {
        let connected = self.connect()?;
        let Some(key) = self.known_key(&connected, name).filter(|_| times.start < times.end) else {
            return Ok(Vec::new());
        };
        // Forward the last modification of an instant first (§6.5.3.3).
        let (order, opposite) = orders(direction);
        let sql = format!(
            "SELECT at, kind, user, edited, {VALUE} FROM {} FINAL WHERE series = {key} AND at >= {} AND at < {} AND {} \
             ORDER BY at {order}, version {opposite}, place {opposite} {}",
            self.table("modified"),
            times.start.ticks(),
            times.end.ticks(),
            self.not_forgotten(&connected, key)?,
            limits(page)
        );
        let found = self.rows(&sql)?.each(|row| {
            let at = row.time()?;
            let kind = modification(row.u8()?);
            let (user, edited) = (row.text()?.into(), row.time()?);
            Some(Modified { sample: row.sample(at)?, kind, user, at: edited })
        })?;
        Ok(found)
    }

    /// The condition for modification records that neither retention nor anybody's wish has reached.
    fn not_forgotten(&self, connected: &Connected, key: Key) -> Result<String, Cause> {
        let sql = format!("SELECT start, end, version FROM {} FINAL WHERE series = {key}", self.table("forgotten"));
        let forgotten = self.rows(&sql)?.each(|row| Some((row.i64()?, row.i64()?, row.u64()?)))?;
        Ok(forgotten.iter().fold(connected.within_retention(), |all, (start, end, version)| {
            format!("{all} AND NOT (at >= {start} AND at < {end} AND version < {version})")
        }))
    }

    pub(super) fn forget_modified(&self, name: &str, times: Range<Timestamp>) -> Result<u64, Cause> {
        let _turn = self.turn();
        let connected = self.connect()?;
        let Some(key) = self.known_key(&connected, name).filter(|_| times.start < times.end) else { return Ok(0) };
        let sql = format!(
            "SELECT count() FROM {} FINAL WHERE series = {key} AND at >= {} AND at < {} AND {}",
            self.table("modified"),
            times.start.ticks(),
            times.end.ticks(),
            self.not_forgotten(&connected, key)?
        );
        let count = self.rows(&sql)?.one(|row| row.u64())?;
        if count > 0 {
            self.insert_forgotten(&connected, key, self.version(&connected)?, &times)?;
        }
        Ok(count)
    }

    pub(super) fn insert_forgotten(
        &self,
        connected: &Connected,
        key: Key,
        version: u64,
        times: &Range<Timestamp>,
    ) -> Result<(), Cause> {
        let mut rows = Written::default();
        rows.u64(key).i64(times.start.ticks()).i64(times.end.ticks()).u64(version);
        self.insert_rows(connected, "forgotten", "series, start, end, version", &rows)
    }

    pub(super) fn edit_annotations(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let mut results = Vec::with_capacity(annotations.len());
        for annotation in annotations {
            results.push(self.change(series, 1, |connected, key, version| {
                let (name, _) = self.name(series)?;
                let of_instant = annotation.at..annotation.at.next();
                let there = self.annotations_in(name, of_instant, Direction::Forward, (0, usize::MAX))?;
                let there = there.into_iter().find(|(_, found)| found.is_same(annotation)).map(|(id, _)| id);
                let result = annotation_result(kind, there.is_some());
                if result.is_good() {
                    let id = there.unwrap_or((version, 0));
                    let is_gone = kind == AnnotationEdit::Remove;
                    self.insert_annotation(connected, key, version, id, is_gone, annotation)?;
                }
                Ok(result)
            })?);
        }
        Ok(results)
    }

    pub(super) fn insert_annotation(
        &self,
        connected: &Connected,
        key: Key,
        version: u64,
        id: Id,
        is_gone: bool,
        annotation: &Annotation,
    ) -> Result<(), Cause> {
        let mut rows = Written::default();
        rows.u64(key).i64(annotation.at.ticks()).u64(id.0).u32(id.1).u64(version).u8(is_gone.into());
        rows.bytes(annotation.user.as_bytes()).i64(annotation.time.ticks()).bytes(annotation.message.as_bytes());
        let columns = "series, at, id, place, version, deleted, user, time, message";
        self.insert_rows(connected, "annotations", columns, &rows)
    }

    pub(super) fn annotations_in(
        &self,
        name: &str,
        times: Range<Timestamp>,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<(Id, Annotation)>, Cause> {
        let connected = self.connect()?;
        let Some(key) = self.known_key(&connected, name).filter(|_| times.start < times.end) else {
            return Ok(Vec::new());
        };
        let order = orders(direction).0;
        let sql = format!(
            "SELECT at, id, place, user, time, message FROM {} FINAL WHERE series = {key} AND at >= {} AND at < {} \
             AND deleted = 0 AND {} ORDER BY at {order}, id {order}, place {order} {}",
            self.table("annotations"),
            times.start.ticks(),
            times.end.ticks(),
            connected.within_retention(),
            limits(page)
        );
        let found = self.rows(&sql)?.each(|row| {
            let (at, id) = (row.time()?, (row.u64()?, row.u32()?));
            let (user, time) = (row.text()?.into(), row.time()?);
            Some((id, Annotation { at, message: row.text()?.into(), user, time, is_lost: false }))
        })?;
        Ok(found)
    }

    pub(super) fn keep_documents(&self, documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        documents.iter().try_for_each(|(series, _)| self.name(*series).map(drop))?;
        for (series, document) in documents {
            self.change(*series, documents.len(), |connected, key, version| {
                self.insert_document(connected, key, (version, 0), document)
            })?;
        }
        Ok(())
    }

    pub(super) fn insert_document(
        &self,
        connected: &Connected,
        key: Key,
        id: Id,
        document: &Document,
    ) -> Result<(), Cause> {
        let mut rows = Written::default();
        rows.u64(key).i64(document.at.ticks()).u64(id.0).u32(id.1).bytes(&document.body);
        self.insert_rows(connected, "documents", "series, at, id, place, body", &rows)
    }

    pub(super) fn documents_of(
        &self,
        name: &str,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<Document>, Cause> {
        let connected = self.connect()?;
        let Some(key) = self.known_key(&connected, name) else { return Ok(Vec::new()) };
        let order = orders(direction).0;
        let sql = format!(
            "SELECT at, body FROM {} FINAL WHERE series = {key} ORDER BY at {order}, id {order}, place {order} {}",
            self.table("documents"),
            limits(page)
        );
        let found = self.rows(&sql)?.each(|row| Some(Document::new(row.time()?, row.bytes()?.to_vec())))?;
        Ok(found)
    }

    /// The id of what a front has numbered.
    pub(super) fn id_of(claimed: u64, number: u64) -> Id {
        (version(claimed, number), 0)
    }
}
