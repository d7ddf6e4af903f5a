//! Edits and annotations in a [`SledStore`]. An edit answers only when it survives a power cut, in this order: what was there
//! goes to the `edits` tree and the block database is flushed and synced; then the change goes to log and head; then the
//! log is flushed and synced. A crash in between leaves at most a record of a modification that did not happen (the value is
//! still in force), never a change without its record. The log's lock is held from the look at what is there to the end of
//! the change, so no live sample slips in between.

use std::{ops::Range, sync::MutexGuard};

use sled::Batch;

use super::{
    Direction, HistoryError, HistoryStore,
    blocks::Cause,
    edit::{
        Annotation, AnnotationEdit, EditKind, Editor, Modification, Modified, Plan, after, annotation_result, existing,
    },
    shelf::Shelf,
    sled_log::Log,
    sled_store::SledStore,
};
use crate::{
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

/// Samples deleted at a time: ingest waits that long.
const DELETE_ROUND: usize = 16_384;

impl SledStore {
    pub(super) fn edit_samples(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let mut log = self.begin_edit(series)?;
        let there = self.existing(series, samples.iter().map(|sample| sample.source_timestamp))?;
        let plan = Plan::of(kind, samples, by, there);
        if plan.write.is_empty() {
            return Ok(plan.results);
        }
        let batch: Vec<_> = plan.write.into_values().map(|sample| (series, sample)).collect();
        self.keep_records(series, &plan.records)
            .and_then(|()| self.append_locked(&mut log, &batch))
            .and_then(|()| self.flush_log())
            .map_err(|cause| HistoryError::Append { count: samples.len(), cause })?;
        Ok(plan.results)
    }

    pub(super) fn delete_samples(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        by: &Editor,
    ) -> Result<u64, HistoryError> {
        let (mut from, mut deleted) = (times.start, 0);
        loop {
            let mut log = self.begin_edit(series)?;
            let page = self.read(series, from..times.end, Direction::Forward, DELETE_ROUND)?;
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            let (start, end) = (first.source_timestamp, after(last.source_timestamp));
            let (count, is_last) = (page.len(), page.len() < DELETE_ROUND);
            let records: Vec<_> =
                page.into_iter().map(|sample| Modified::by(by, Modification::Delete, sample)).collect();
            self.keep_records(series, &records)
                .and_then(|()| self.remove_locked(&mut log, series.index(), start.ticks(), end.ticks()))
                .map_err(|cause| HistoryError::Append { count, cause })?;
            deleted += count as u64;
            from = end;
            if is_last {
                break;
            }
        }
        if deleted > 0 {
            self.flush_log().map_err(HistoryError::Flush)?;
        }
        Ok(deleted)
    }

    pub(super) fn delete_samples_at(
        &self,
        series: SeriesId,
        times: &[Timestamp],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let mut log = self.begin_edit(series)?;
        let mut there = self.existing(series, times.iter().copied())?;
        let mut records = Vec::new();
        let results = times.iter().map(|time| match there.remove(time) {
            Some(sample) => {
                records.push(Modified::by(by, Modification::Delete, sample));
                StatusCode::Good
            }
            None => StatusCode::BadNoEntryExists,
        });
        let results: Vec<_> = results.collect();
        if records.is_empty() {
            return Ok(results);
        }
        let mut change = || -> Result<(), Cause> {
            self.keep_records(series, &records)?;
            for record in &records {
                let at = record.sample.source_timestamp;
                self.remove_locked(&mut log, series.index(), at.ticks(), after(at).ticks())?;
            }
            self.flush_log()
        };
        change().map_err(|cause| HistoryError::Append { count: records.len(), cause })?;
        Ok(results)
    }

    pub(super) fn modified_samples(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<Modified>, HistoryError> {
        self.known(series)?;
        self.edits.read(self.ids[series.index()], times, direction, page).map_err(HistoryError::Read)
    }

    pub(super) fn clear_modified(&self, series: SeriesId, times: Range<Timestamp>) -> Result<u64, HistoryError> {
        self.known(series)?;
        let clear = || {
            let cleared = self.edits.clear(self.ids[series.index()], times)?;
            self.flush_blocks().map(|()| cleared)
        };
        clear().map_err(HistoryError::Flush)
    }

    /// What is past retention goes. That it comes back after a crash does no harm: it goes again.
    pub(super) fn forget_before(&self, before: Timestamp) -> Result<(), Cause> {
        self.edits.clear_before(before)?;
        self.annotations.clear_before(before)
    }

    pub(super) fn edit_annotations(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let _log = self.begin_edit(series)?;
        let id = self.ids[series.index()];
        let edit_one = |annotation: &Annotation| -> Result<StatusCode, Cause> {
            let mut there = None;
            let at = annotation.at;
            for record in self.annotations.records(id, at..after(at), Direction::Forward) {
                let (place, found) = record?;
                if found.is_ok_and(|found| found.is_same(annotation)) {
                    there = Some(place);
                }
            }
            let result = annotation_result(kind, there.is_some());
            if result.is_bad() {
                return Ok(result);
            }
            let mut batch = Batch::default();
            if let Some(place) = there {
                self.annotations.remove(&mut batch, id, place)?;
            }
            if kind != AnnotationEdit::Remove {
                let number = there.map_or_else(|| self.block_db.generate_id(), |(_, number)| Ok(number))?;
                Shelf::put(&mut batch, id, (at, number), annotation)?;
            }
            self.annotations.tree.apply_batch(batch)?;
            Ok(result)
        };
        let edit_all = || -> Result<Vec<StatusCode>, Cause> {
            let results = annotations.iter().map(edit_one).collect::<Result<Vec<_>, _>>()?;
            if results.iter().any(StatusCode::is_good) {
                self.flush_blocks()?;
            }
            Ok(results)
        };
        edit_all().map_err(|cause| HistoryError::Append { count: annotations.len(), cause })
    }

    pub(super) fn annotations_in(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<Annotation>, HistoryError> {
        self.known(series)?;
        self.annotations.read(self.ids[series.index()], times, direction, page).map_err(HistoryError::Read)
    }

    fn begin_edit(&self, series: SeriesId) -> Result<MutexGuard<'_, Log>, HistoryError> {
        self.known(series)?;
        self.floor.check()?;
        Ok(self.log())
    }

    fn existing(
        &self,
        series: SeriesId,
        times: impl Iterator<Item = Timestamp> + Clone,
    ) -> Result<std::collections::BTreeMap<Timestamp, Sample>, HistoryError> {
        existing(times, |start, end, limit| self.read(series, start..end, Direction::Forward, limit))
    }

    /// Durable when it returns.
    fn keep_records(&self, series: SeriesId, records: &[Modified]) -> Result<(), Cause> {
        let mut batch = Batch::default();
        for record in records {
            // Numbers go down: read forward, the last modification at an instant comes first (§6.5.3.3).
            let place = (record.sample.source_timestamp, u64::MAX - self.block_db.generate_id()?);
            Shelf::put(&mut batch, self.ids[series.index()], place, record)?;
        }
        self.edits.tree.apply_batch(batch)?;
        self.flush_blocks()
    }
}
