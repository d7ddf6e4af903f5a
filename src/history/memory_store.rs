//! History that ends with the process: for tests and for `[history.store.memory]`. Keeps the newest samples of each
//! series up to a bound; never touches a disk.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    Direction, HistoryError, HistoryStore,
    document::Document,
    edit::{Annotation, AnnotationEdit, EditKind, Editor, Modification, Modified, Plan, annotation_result, existing},
    event_record::condition,
};
use crate::{
    event::{Event, EventId},
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

type Series = BTreeMap<Timestamp, Sample>;

/// Of all series, by instant; the last modification of one first. As long as the longest series may be.
#[derive(Debug, Default)]
struct ByHand {
    modified: BTreeMap<(SeriesId, Timestamp, Reverse<u64>), Modified>,
    annotations: BTreeMap<(SeriesId, Timestamp, u64), Annotation>,
    documents: BTreeMap<(SeriesId, Timestamp, u64), Document>,
    next: u64,
}

/// By instant and as they came; and the last of each condition. As many as the longest series has samples.
#[derive(Debug, Default)]
struct Events {
    by_time: BTreeMap<(Timestamp, u64), Event>,
    ids: HashSet<EventId>,
    conditions: BTreeMap<std::sync::Arc<str>, Event>,
    next: u64,
}

/// A [`HistoryStore`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    series: boxcar::Vec<RwLock<Series>>,
    by_hand: Mutex<ByHand>,
    events: Mutex<Events>,
    samples_per_series_max: usize,
}

impl MemoryStore {
    /// For `series` many series; beyond `samples_per_series_max` the oldest samples of a series go.
    #[must_use]
    pub fn new(series: usize, samples_per_series_max: usize) -> Self {
        Self {
            series: (0..series).map(|_| RwLock::default()).collect(),
            by_hand: Mutex::default(),
            events: Mutex::default(),
            samples_per_series_max,
        }
    }

    fn slot(&self, series: SeriesId) -> Result<&RwLock<Series>, HistoryError> {
        self.series.get(series.index()).ok_or(HistoryError::UnknownSeries { series, count: self.series.count() })
    }

    fn reader(&self, series: SeriesId) -> Result<RwLockReadGuard<'_, Series>, HistoryError> {
        Ok(self.slot(series)?.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn writer(&self, series: SeriesId) -> Result<RwLockWriteGuard<'_, Series>, HistoryError> {
        Ok(self.slot(series)?.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn kept_events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_hand(&self) -> MutexGuard<'_, ByHand> {
        self.by_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, series: SeriesId, records: impl IntoIterator<Item = Modified>) {
        let mut by_hand = self.by_hand();
        for record in records {
            let number = by_hand.number();
            by_hand.modified.insert((series, record.sample.source_timestamp, Reverse(number)), record);
            if by_hand.modified.len() > self.samples_per_series_max {
                by_hand.modified.pop_first();
            }
        }
    }
}

impl Events {
    fn add(&mut self, event: &Event, max: usize) {
        if !self.ids.insert(event.id) {
            return;
        }
        self.next += 1;
        self.by_time.insert((event.time, self.next), event.clone());
        if let Some(condition) = condition(event) {
            self.conditions.insert(condition.clone(), event.clone());
        }
        while self.by_time.len() > max
            && let Some((_, gone)) = self.by_time.pop_first()
        {
            self.ids.remove(&gone.id);
        }
        if self.conditions.len() > max {
            self.conditions.pop_first();
        }
    }

    fn expire(&mut self, before: Timestamp) {
        let stays = self.by_time.split_off(&(before, 0));
        for event in std::mem::replace(&mut self.by_time, stays).into_values() {
            self.ids.remove(&event.id);
        }
    }
}

impl ByHand {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A page of what is in order.
fn page<'a, T: Clone + 'a>(
    found: impl DoubleEndedIterator<Item = &'a T>,
    direction: Direction,
    skip: usize,
    limit: usize,
) -> Vec<T> {
    match direction {
        Direction::Forward => found.skip(skip).take(limit).cloned().collect(),
        Direction::Backward => found.rev().skip(skip).take(limit).cloned().collect(),
    }
}

impl HistoryStore for MemoryStore {
    fn add_series(&self, names: &[String]) -> Result<(), HistoryError> {
        names.iter().for_each(|_| _ = self.series.push(RwLock::default()));
        Ok(())
    }

    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        for &(series, _) in samples {
            self.slot(series)?;
        }
        for (series, sample) in samples {
            let mut kept = self.writer(*series)?;
            kept.insert(sample.source_timestamp, sample.clone());
            if kept.len() > self.samples_per_series_max {
                kept.pop_first();
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), HistoryError> {
        Ok(())
    }

    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        if times.start >= times.end {
            return Ok(Vec::new());
        }
        let kept = self.reader(series)?;
        let inside = kept.range(times).map(|(_, sample)| sample.clone());
        Ok(match direction {
            Direction::Forward => inside.take(limit).collect(),
            Direction::Backward => inside.rev().take(limit).collect(),
        })
    }

    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError> {
        self.writer(series)?.retain(|at, _| !times.contains(at));
        Ok(())
    }

    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        let kept = self.reader(series)?;
        Ok(kept.first_key_value().zip(kept.last_key_value()).map(|((&first, _), (&last, _))| (first, last)))
    }

    fn expire(&self, before: Timestamp) -> Result<u64, HistoryError> {
        let mut gone = 0;
        for (_, series) in &self.series {
            let mut kept = series.write().unwrap_or_else(PoisonError::into_inner);
            let stays = kept.split_off(&before);
            gone += std::mem::replace(&mut *kept, stays).len() as u64;
        }
        let mut by_hand = self.by_hand();
        by_hand.modified.retain(|(_, at, _), _| *at >= before);
        by_hand.annotations.retain(|(_, at, _), _| *at >= before);
        drop(by_hand);
        self.kept_events().expire(before);
        Ok(gone)
    }

    fn free_space(&self) -> Option<u64> {
        None
    }

    fn edit(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let mut kept = self.writer(series)?;
        let times = samples.iter().map(|sample| sample.source_timestamp);
        let there = existing(times, |start, end, limit| {
            Ok::<_, HistoryError>(kept.range(start..end).map(|(_, sample)| sample.clone()).take(limit).collect())
        })?;
        let plan = Plan::of(kind, samples, by, there);
        self.keep(series, plan.records);
        kept.extend(plan.write);
        while kept.len() > self.samples_per_series_max {
            kept.pop_first();
        }
        Ok(plan.results)
    }

    fn delete_raw(&self, series: SeriesId, times: Range<Timestamp>, by: &Editor) -> Result<u64, HistoryError> {
        let mut kept = self.writer(series)?;
        let before = kept.len();
        let (gone, stays) = std::mem::take(&mut *kept).into_iter().partition(|(at, _)| times.contains(at));
        *kept = stays;
        let gone: Series = gone;
        self.keep(series, gone.into_values().map(|sample| Modified::by(by, Modification::Delete, sample)));
        Ok((before - kept.len()) as u64)
    }

    fn delete_at(&self, series: SeriesId, times: &[Timestamp], by: &Editor) -> Result<Vec<StatusCode>, HistoryError> {
        let mut kept = self.writer(series)?;
        Ok(times
            .iter()
            .map(|at| match kept.remove(at) {
                Some(sample) => {
                    self.keep(series, [Modified::by(by, Modification::Delete, sample)]);
                    StatusCode::Good
                }
                None => StatusCode::BadNoEntryExists,
            })
            .collect())
    }

    fn modified(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Modified>, HistoryError> {
        self.slot(series)?;
        let end = times.end.max(times.start);
        let range = (series, times.start, Reverse(u64::MAX))..(series, end, Reverse(u64::MAX));
        Ok(page(self.by_hand().modified.range(range).map(|(_, record)| record), direction, skip, limit))
    }

    fn delete_modified(&self, series: SeriesId, times: Range<Timestamp>) -> Result<u64, HistoryError> {
        self.slot(series)?;
        let records = &mut self.by_hand().modified;
        let before = records.len();
        records.retain(|(of, at, _), _| *of != series || !times.contains(at));
        Ok((before - records.len()) as u64)
    }

    fn annotate(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.slot(series)?;
        let mut by_hand = self.by_hand();
        let mut edit_one = |annotation: &Annotation| {
            let of_instant = (series, annotation.at, 0)..(series, annotation.at.next(), 0);
            let mut there = by_hand.annotations.range(of_instant);
            let there = there.find(|(_, found)| found.is_same(annotation)).map(|(key, _)| *key);
            let result = annotation_result(kind, there.is_some());
            if result.is_good() && kind == AnnotationEdit::Remove {
                there.and_then(|key| by_hand.annotations.remove(&key));
            } else if result.is_good() {
                let number = there.map_or_else(|| by_hand.number(), |(_, _, number)| number);
                by_hand.annotations.insert((series, annotation.at, number), annotation.clone());
                if by_hand.annotations.len() > self.samples_per_series_max {
                    by_hand.annotations.pop_first();
                }
            }
            result
        };
        Ok(annotations.iter().map(&mut edit_one).collect())
    }

    fn annotations(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Annotation>, HistoryError> {
        self.slot(series)?;
        let range = (series, times.start, 0)..(series, times.end.max(times.start), 0);
        Ok(page(self.by_hand().annotations.range(range).map(|(_, found)| found), direction, skip, limit))
    }

    fn keep(&self, documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        documents.iter().try_for_each(|(series, _)| self.slot(*series).map(drop))?;
        let mut by_hand = self.by_hand();
        for (series, document) in documents {
            let number = by_hand.number();
            by_hand.documents.insert((*series, document.at, number), document.clone());
        }
        Ok(())
    }

    fn documents(
        &self,
        series: SeriesId,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Document>, HistoryError> {
        self.slot(series)?;
        let of_series = (series, Timestamp::from_ticks(i64::MIN), 0)..=(series, Timestamp::MAX, u64::MAX);
        Ok(page(self.by_hand().documents.range(of_series).map(|(_, found)| found), direction, skip, limit))
    }

    fn append_events(&self, events: &[Event]) -> Result<(), HistoryError> {
        let mut kept = self.kept_events();
        events.iter().for_each(|event| kept.add(event, self.samples_per_series_max));
        Ok(())
    }

    fn events(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Event>, HistoryError> {
        let kept = self.kept_events();
        let within = kept.by_time.range((times.start, 0)..(times.end.max(times.start), 0)).map(|(_, event)| event);
        Ok(page(within.filter(|event| event.source.is_told_by(notifier)), direction, skip, limit))
    }

    fn conditions(&self) -> Result<Vec<Event>, HistoryError> {
        Ok(self.kept_events().conditions.values().cloned().collect())
    }
}
