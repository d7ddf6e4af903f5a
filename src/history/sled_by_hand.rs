//! What a [`SledStore`] keeps beside its samples: modification records, as `sled_edit.rs` writes them, annotations and
//! documents. All in the block database, so that one flush and sync makes a change durable.

use std::ops::Range;

use sled::Batch;

use super::{
    Direction, HistoryError,
    behind::Op,
    blocks::Cause,
    document::Document,
    edit::{Annotation, AnnotationEdit, Modified, annotation_result},
    shelf::Shelf,
    sled_store::SledStore,
};
use crate::{
    sample::{SeriesId, StatusCode},
    time::Timestamp,
};

impl SledStore {
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
        // Not between an edit's record and its change.
        let _turn = self.turn();
        let clear = || {
            let id = self.ids[series.index()];
            let cleared = self.edits.clear(id, times.clone())?;
            self.flush_blocks()?;
            self.hand_on_safely(&[(id, Op::Forget(times))])?;
            Ok::<_, Cause>(cleared)
        };
        clear().map_err(HistoryError::Flush)
    }

    /// What is past retention goes. That it comes back after a crash does no harm: it goes again.
    pub(super) fn forget_before(&self, before: Timestamp) -> Result<(), Cause> {
        self.edits.clear_before(before)?;
        self.annotations.clear_before(before)?;
        self.events.expire(before, &self.copying)
    }

    pub(super) fn edit_annotations(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let _turn = self.begin_edit(series)?;
        let id = self.ids[series.index()];
        let mut ops = Vec::new();
        let mut edit_one = |annotation: &Annotation| -> Result<StatusCode, Cause> {
            let mut there = None;
            let at = annotation.at;
            for record in self.annotations.records(id, at..at.next(), Direction::Forward) {
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
                ops.push((id, Op::Annotate(number, annotation.clone())));
            } else if let Some((at, number)) = there {
                ops.push((id, Op::Unannotate(at, number)));
            }
            self.annotations.tree.apply_batch(batch)?;
            Ok(result)
        };
        let results = annotations.iter().map(&mut edit_one).collect::<Result<Vec<_>, _>>();
        let make_safe = |results: Vec<StatusCode>| -> Result<Vec<StatusCode>, Cause> {
            if results.iter().any(StatusCode::is_good) {
                self.flush_blocks()?;
                self.hand_on_safely(&ops)?;
            }
            Ok(results)
        };
        results.and_then(make_safe).map_err(|cause| HistoryError::Append { count: annotations.len(), cause })
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

    pub(super) fn keep_documents(&self, documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        documents.iter().try_for_each(|(series, _)| self.known(*series).map(drop))?;
        self.floor.check()?;
        let _turn = self.turn();
        let keep = || -> Result<(), Cause> {
            let mut ops = Vec::with_capacity(documents.len());
            for (series, document) in documents {
                let (mut batch, id) = (Batch::default(), self.ids[series.index()]);
                let place = (document.at, self.block_db.generate_id()?);
                Shelf::put(&mut batch, id, place, document)?;
                self.documents.tree.apply_batch(batch)?;
                ops.push((id, Op::Keep(place.1, document.clone())));
            }
            self.flush_blocks()?;
            self.hand_on_safely(&ops)
        };
        keep().map_err(|cause| HistoryError::Append { count: documents.len(), cause })
    }

    pub(super) fn documents_of(
        &self,
        series: SeriesId,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<Document>, HistoryError> {
        self.known(series)?;
        let ever = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        self.documents.read(self.ids[series.index()], ever, direction, page).map_err(HistoryError::Read)
    }
}
