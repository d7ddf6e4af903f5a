//! Edits in a [`SledStore`]. An edit answers only when it survives a power cut, in this order: what was there
//! goes to the `edits` tree and the block database is flushed and synced; then the change goes to log and head; then the
//! log is flushed and synced. A crash in between leaves at most a record of a modification that did not happen (the value is
//! still in force), never a change without its record. That is why the two syncs are not one: which of two databases reaches
//! the disk first, nobody says.
//!
//! Ingest waits for neither. Edits take turns by a lock of their own; the log's is held only while what is there is looked at
//! a second time and changed. Where a live sample has slipped in meanwhile, what was kept is taken back and the edit begins
//! anew, the last time with the log locked from the start.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{MutexGuard, PoisonError},
};

use sled::Batch;

use super::{
    Direction, HistoryError, HistoryStore,
    behind::Op,
    blocks::Cause,
    edit::{EditKind, Editor, Modification, Modified, Plan, existing},
    head::merge,
    record::Record as _,
    shelf::{Place, Shelf},
    sled_log::Log,
    sled_store::SledStore,
};
use crate::{
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

/// Samples deleted at a time: ingest waits that long.
pub(super) const DELETE_ROUND: usize = 16_384;
/// How often an edit begins anew, because live samples came at its very instants, before it makes them wait.
const ATTEMPTS: u32 = 3;

/// What an edit comes to, by what is there at the moment.
#[derive(Debug)]
pub(super) struct Change<R> {
    pub(super) answer: R,
    /// What is kept. Empty: nothing is changed.
    records: Vec<Modified>,
    act: Act,
}

#[derive(Debug)]
enum Act {
    Write(Vec<(SeriesId, Sample)>),
    /// start..end of each.
    Remove(Vec<(Timestamp, Timestamp)>),
}

/// What the store behind a front has where the front has nothing any more. What the front has comes before it.
pub(super) type Under = BTreeMap<Timestamp, Sample>;

/// Where an edit is, for a test that stops it there. At neither the log is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What was there is kept, and safe.
    Kept,
    /// The change is made, and not yet safe.
    Changed,
}

impl SledStore {
    pub(super) fn edit_samples(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
        under: &Under,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let _turn = self.begin_edit(series)?;
        self.carry_out(series, || self.planned_edit(series, kind, samples, by, under), &mut |_| {})
    }

    pub(super) fn planned_edit(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
        under: &Under,
    ) -> Result<Change<Vec<StatusCode>>, HistoryError> {
        let there = self.existing(series, samples.iter().map(|sample| sample.source_timestamp), under)?;
        let Plan { results, write, records } = Plan::of(kind, samples, by, there);
        let write = write.into_values().map(|sample| (series, sample)).collect();
        Ok(Change { answer: results, records, act: Act::Write(write) })
    }

    pub(super) fn delete_samples(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        by: &Editor,
        under: &Under,
    ) -> Result<u64, HistoryError> {
        let _turn = self.begin_edit(series)?;
        let (mut from, mut deleted) = (times.start, 0);
        loop {
            let round = || self.planned_delete(series, from..times.end, by, under);
            let (count, end) = self.carry_out(series, round, &mut |_| {})?;
            deleted += count as u64;
            from = end;
            if count < DELETE_ROUND {
                return Ok(deleted);
            }
            self.floor.check()?;
        }
    }

    /// Of the first samples in `times`. Answers how many they are, and where the next ones begin.
    pub(super) fn planned_delete(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        by: &Editor,
        under: &Under,
    ) -> Result<Change<(usize, Timestamp)>, HistoryError> {
        let mut page = self.read(series, times.clone(), Direction::Forward, DELETE_ROUND)?;
        if !under.is_empty() && times.start < times.end {
            let below = under.range(times.clone()).take(DELETE_ROUND).map(|(_, sample)| sample.clone()).collect();
            page = merge(below, page);
            page.truncate(DELETE_ROUND);
        }
        let span = page.first().zip(page.last());
        let span = span.map(|(first, last)| (first.source_timestamp, last.source_timestamp.next()));
        let answer = (page.len(), span.map_or(times.end, |(_, end)| end));
        let records = page.into_iter().map(|sample| Modified::by(by, Modification::Delete, sample)).collect();
        Ok(Change { answer, records, act: Act::Remove(span.into_iter().collect()) })
    }

    pub(super) fn delete_samples_at(
        &self,
        series: SeriesId,
        times: &[Timestamp],
        by: &Editor,
        under: &Under,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let _turn = self.begin_edit(series)?;
        self.carry_out(series, || self.planned_delete_at(series, times, by, under), &mut |_| {})
    }

    pub(super) fn planned_delete_at(
        &self,
        series: SeriesId,
        times: &[Timestamp],
        by: &Editor,
        under: &Under,
    ) -> Result<Change<Vec<StatusCode>>, HistoryError> {
        let mut there = self.existing(series, times.iter().copied(), under)?;
        let mut records = Vec::new();
        let results = times.iter().map(|time| match there.remove(time) {
            Some(sample) => {
                records.push(Modified::by(by, Modification::Delete, sample));
                StatusCode::Good
            }
            None => StatusCode::BadNoEntryExists,
        });
        let answer = results.collect();
        let instants = records.iter().map(|record| record.sample.source_timestamp);
        let act = Act::Remove(instants.map(|at| (at, at.next())).collect());
        Ok(Change { answer, records, act })
    }

    /// Does what `plan` says, which is asked at least twice; durable when it returns. The caller has the turn.
    pub(super) fn carry_out<R>(
        &self,
        series: SeriesId,
        plan: impl Fn() -> Result<Change<R>, HistoryError>,
        passed: &mut dyn FnMut(Step),
    ) -> Result<R, HistoryError> {
        let mut change = plan()?;
        for _ in 0..ATTEMPTS {
            if change.records.is_empty() {
                return Ok(change.answer);
            }
            let kept = self.keep_records(series, &change.records)?;
            passed(Step::Kept);
            let log = self.log();
            let now = plan()?;
            if now.keeps_the_same(&change) {
                return self.complete(log, series, now, passed);
            }
            drop(log);
            self.take_back(series, &kept)?;
            change = now;
        }
        let log = self.log();
        let change = plan()?;
        self.keep_records(series, &change.records)?;
        self.complete(log, series, change, passed)
    }

    /// What it changes is kept already.
    fn complete<R>(
        &self,
        mut log: MutexGuard<'_, Log>,
        series: SeriesId,
        change: Change<R>,
        passed: &mut dyn FnMut(Step),
    ) -> Result<R, HistoryError> {
        let count = change.records.len();
        let failed = |cause| HistoryError::Append { count, cause };
        if self.front.is_some() {
            self.hand_on(&mut log, self.ids[series.index()], &Op::Modified(change.records)).map_err(failed)?;
        }
        match change.act {
            Act::Write(samples) => self.append_locked(&mut log, &samples).map_err(failed)?,
            Act::Remove(ranges) => ranges
                .into_iter()
                .try_for_each(|(start, end)| self.remove_locked(&mut log, series.index(), start.ticks(), end.ticks()))
                .map_err(failed)?,
        }
        let next = log.next;
        drop(log);
        passed(Step::Changed);
        self.flush_log().map_err(HistoryError::Flush)?;
        self.is_safe_before(next);
        Ok(change.answer)
    }

    /// Whoever has it is the only one who edits.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.editing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_edit(&self, series: SeriesId) -> Result<MutexGuard<'_, ()>, HistoryError> {
        self.known(series)?;
        self.floor.check()?;
        Ok(self.turn())
    }

    fn existing(
        &self,
        series: SeriesId,
        times: impl Iterator<Item = Timestamp> + Clone,
        under: &Under,
    ) -> Result<Under, HistoryError> {
        let own =
            existing(times.clone(), |start, end, limit| self.read(series, start..end, Direction::Forward, limit))?;
        let below = times.filter_map(|time| under.get_key_value(&time));
        let mut there: Under = below.map(|(time, sample)| (*time, sample.clone())).collect();
        there.extend(own);
        Ok(there)
    }

    /// Durable when it returns where they are.
    fn keep_records(&self, series: SeriesId, records: &[Modified]) -> Result<Vec<Place>, HistoryError> {
        let (mut batch, mut places) = (Batch::default(), Vec::with_capacity(records.len()));
        let mut keep = || -> Result<(), Cause> {
            for record in records {
                // Numbers go down: read forward, the last modification at an instant comes first (§6.5.3.3).
                let place = (record.sample.source_timestamp, u64::MAX - self.block_db.generate_id()?);
                Shelf::put(&mut batch, self.ids[series.index()], place, record)?;
                places.push(place);
            }
            self.edits.tree.apply_batch(std::mem::take(&mut batch))?;
            self.flush_blocks()
        };
        keep().map_err(|cause| HistoryError::Append { count: records.len(), cause })?;
        Ok(places)
    }

    /// In the place of all modification records of a series these, in the order in which they were made: for a copy of a store.
    pub(crate) fn replace_modified(&self, series: SeriesId, records: &[Modified]) -> Result<(), HistoryError> {
        self.clear_modified(series, Timestamp::from_ticks(i64::MIN)..Timestamp::MAX)?;
        let _turn = self.begin_edit(series)?;
        self.keep_records(series, records).map(drop)
    }

    /// They were of a change that is not made. Safe with the next flush: until then they do no more harm than a crash would.
    fn take_back(&self, series: SeriesId, places: &[Place]) -> Result<(), HistoryError> {
        let mut batch = Batch::default();
        let mut take = || -> Result<(), Cause> {
            for place in places {
                self.edits.remove(&mut batch, self.ids[series.index()], *place)?;
            }
            Ok(self.edits.tree.apply_batch(std::mem::take(&mut batch))?)
        };
        take().map_err(|cause| HistoryError::Append { count: places.len(), cause })
    }
}

impl<R> Change<R> {
    /// To the bit: NaN is the same as NaN.
    fn keeps_the_same(&self, other: &Self) -> bool {
        let bytes = |record: &Modified| (record.sample.source_timestamp, record.write());
        self.records.iter().map(bytes).eq(other.records.iter().map(bytes))
    }
}
