//! A store on the disk in front of one that may be away: what comes is safe as soon as it is on the disk, and is handed on as
//! soon as the other can be reached; of the two stores, one history.
//!
//! - Everything goes to the front and nowhere else: samples, edits, events. It acknowledges as it does when it stands alone.
//! - A thread hands on what the front's log has, in its order, and only what survives a power cut. After that the front may
//!   cut its log. While the other is away the log grows, and new data is as quick as ever; where the disk is nearly full,
//!   history pauses as it does without another store.
//! - Of samples the front keeps the newest, whole from an instant on, which moves on when what is older is behind. A read that goes
//!   further back asks both; what the front has comes before what is behind, less what was taken out meanwhile.
//! - Modification records, annotations, documents and events stay at the front as long as retention says, and are read there: they
//!   are few.

mod reads;
mod task;
#[cfg(test)]
mod tests;

use std::{
    ops::{ControlFlow, Range},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, TryLockError},
    thread,
    time::{Duration, Instant},
};

use tracing::{info, warn};

pub use self::task::ForwardingStatus;
use self::task::Task;
use super::{
    BackupProgress, BackupReport, Compacted, Direction, Document, HistoryError, HistoryStore, Summary,
    behind::{Behind, Op},
    edit::{Annotation, AnnotationEdit, EditKind, Editor, Modified},
    sled_store::SledStore,
};
use crate::{
    event::Event,
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

/// How long the newest sample of a series is not asked for again after the store behind did not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A [`HistoryStore`] of two.
#[derive(Debug)]
pub struct ForwardingStore {
    front: Arc<SledStore>,
    behind: Arc<dyn Behind>,
    /// How long samples stay at the front.
    keep: Duration,
    /// Edits read it, letting go writes it: what an edit found behind stays what it is.
    letting_go: RwLock<()>,
    status: Arc<Mutex<ForwardingStatus>>,
    /// When the newest sample of a series was asked for and the store behind did not answer.
    asked_in_vain: Mutex<Option<Instant>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ForwardingStore {
    /// Puts `front`, which was opened as one, before `behind`, and begins to hand on. Both have the same series. Samples older
    /// than `keep` leave the front.
    ///
    /// # Errors
    /// If the front is none, or cannot be made safe.
    pub fn start(front: SledStore, behind: Arc<dyn Behind>, keep: Duration) -> Result<Self, HistoryError> {
        front.as_front().map_err(HistoryError::Flush)?;
        // What an earlier run has written may not be on the disk yet.
        front.flush()?;
        let (front, status) = (Arc::new(front), Arc::default());
        let task = Task::new(Arc::clone(&front), Arc::clone(&behind), Arc::clone(&status));
        let thread = thread::Builder::new().name("forwarding".to_owned()).spawn(move || task.run());
        let thread = thread.map_err(|cause| HistoryError::Flush(cause.into()))?;
        Ok(Self {
            front,
            behind,
            keep,
            letting_go: RwLock::default(),
            status,
            asked_in_vain: Mutex::default(),
            thread: Some(thread),
        })
    }

    /// Without its thread.
    #[cfg(test)]
    fn idle(front: SledStore, behind: Arc<dyn Behind>, keep: Duration) -> Self {
        front.flush().unwrap();
        Self {
            front: front.into(),
            behind,
            keep,
            letting_go: RwLock::default(),
            status: Arc::default(),
            asked_in_vain: Mutex::default(),
            thread: None,
        }
    }

    /// How far the store behind has got.
    #[must_use]
    pub fn status(&self) -> ForwardingStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ForwardingStore {
    /// What is not handed on by now is, after the next start.
    fn drop(&mut self) {
        if let Ok(front) = self.front.as_front() {
            front.stop();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl HistoryStore for ForwardingStore {
    fn add_series(&self, names: &[String]) -> Result<(), HistoryError> {
        self.front.add_series(names)?;
        self.behind.add_series(names)
    }

    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        self.front.append(samples)
    }

    fn flush(&self) -> Result<(), HistoryError> {
        self.front.flush()
    }

    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        self.while_whole(|from| self.read_both(series, times.clone(), direction, limit, from))
    }

    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError> {
        self.front.remove(series, times)
    }

    /// While the store behind is away, from what the front has.
    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        let end = |direction| {
            let found = self.read(series, all.clone(), direction, 1)?;
            Ok::<_, HistoryError>(found.first().map(|sample| sample.source_timestamp))
        };
        let both = || Ok::<_, HistoryError>(end(Direction::Forward)?.zip(end(Direction::Backward)?));
        both().or_else(|failure| self.front.extent(series)?.map_or(Err(failure), |found| Ok(Some(found))))
    }

    fn newest(&self, series: SeriesId) -> Result<Option<Timestamp>, HistoryError> {
        if let Some(newest) = self.front.newest(series)? {
            return Ok(Some(newest));
        }
        // Asked of one series after the other: a server that does not answer must not be waited for each time.
        let mut in_vain = self.asked_in_vain.lock().unwrap_or_else(PoisonError::into_inner);
        if in_vain.is_some_and(|since| since.elapsed() < PATIENCE) {
            return Err(HistoryError::Away("it did not answer a moment ago".into()));
        }
        let ever = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        let found = self.read(series, ever, Direction::Backward, 1);
        *in_vain = found.is_err().then(Instant::now);
        Ok(found?.first().map(|sample| sample.source_timestamp))
    }

    fn summary(&self, series: SeriesId, times: Range<Timestamp>) -> Result<Summary, HistoryError> {
        self.while_whole(|from| self.summary_of_both(series, times.clone(), from))
    }

    fn free_space(&self) -> Option<u64> {
        self.front.free_space()
    }

    fn size_on_disk(&self) -> Option<u64> {
        self.front.size_on_disk()
    }

    fn compact(&self, samples: usize) -> Result<Compacted, HistoryError> {
        self.front.compact(samples)
    }

    fn expire(&self, before: Timestamp) -> Result<u64, HistoryError> {
        let gone = self.front.expire(before)?;
        self.front.hand_on_safely(&[(0, Op::Expire(before))]).map_err(HistoryError::Flush)?;
        Ok(gone)
    }

    fn tidy(&self, now: Timestamp) -> Result<(), HistoryError> {
        let _alone = match self.letting_go.try_write() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        let gone = self.front.let_go(now - self.keep).map_err(HistoryError::Flush)?;
        if gone > 0 {
            info!(samples = gone, "samples left the front, the cluster has them");
        }
        Ok(())
    }

    fn edit(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        let _whole = self.letting_go.read().unwrap_or_else(PoisonError::into_inner);
        let under = self.under_instants(series, samples.iter().map(|sample| sample.source_timestamp))?;
        self.front.edit_samples(series, kind, samples, by, &under)
    }

    fn delete_raw(&self, series: SeriesId, times: Range<Timestamp>, by: &Editor) -> Result<u64, HistoryError> {
        let _whole = self.letting_go.read().unwrap_or_else(PoisonError::into_inner);
        let (mut from, mut deleted) = (times.start, 0);
        loop {
            let (under, until) = self.under_range(series, from..times.end)?;
            deleted += self.front.delete_samples(series, from..until, by, &under)?;
            from = until;
            if from >= times.end {
                return Ok(deleted);
            }
        }
    }

    fn delete_at(&self, series: SeriesId, times: &[Timestamp], by: &Editor) -> Result<Vec<StatusCode>, HistoryError> {
        let _whole = self.letting_go.read().unwrap_or_else(PoisonError::into_inner);
        let under = self.under_instants(series, times.iter().copied())?;
        self.front.delete_samples_at(series, times, by, &under)
    }

    fn modified(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Modified>, HistoryError> {
        self.front.modified(series, times, direction, skip, limit)
    }

    fn delete_modified(&self, series: SeriesId, times: Range<Timestamp>) -> Result<u64, HistoryError> {
        self.front.delete_modified(series, times)
    }

    fn annotate(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.front.annotate(series, kind, annotations)
    }

    fn annotations(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Annotation>, HistoryError> {
        self.front.annotations(series, times, direction, skip, limit)
    }

    fn keep(&self, documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        self.front.keep(documents)
    }

    fn documents(
        &self,
        series: SeriesId,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Document>, HistoryError> {
        self.front.documents(series, direction, skip, limit)
    }

    fn append_events(&self, events: &[Event]) -> Result<(), HistoryError> {
        self.front.append_events(events)
    }

    fn events(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Event>, HistoryError> {
        self.front.events(notifier, times, direction, skip, limit)
    }

    fn conditions(&self) -> Result<Vec<Event>, HistoryError> {
        self.front.conditions()
    }

    /// Of the front: what it has alone is in the copy.
    fn backup(
        &self,
        to: &Path,
        progress: &mut dyn FnMut(BackupProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport, HistoryError> {
        warn!("the backup has what the front keeps; the rest is the cluster's");
        self.front.backup(to, progress)
    }
}
