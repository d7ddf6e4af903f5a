//! The only writer of history: an own OS thread between ingest and the store, because the PLC must never wait for our
//! disk and a disk never blocks a tokio worker.
//!
//! Time is an argument: messages carry it, nothing here reads a clock. Senders keep their times in order; a step back
//! of the host's clock takes the watermark back with it, so that what it promises stays true.

use std::{ops::Range, sync::Arc, thread, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::{HistoryError, HistoryStore, SharedStore, tidying::Tidying};
use crate::{
    event::Event,
    sample::{Sample, SeriesId},
    time::Timestamp,
};

/// How long a sample may wait for its flush, by the times in the messages.
const FLUSH_INTERVAL: Duration = Duration::from_millis(900);
/// Batches are put together up to this many samples per append: fewer, fuller log records.
const APPEND_SAMPLES_MAX: usize = 8192;
/// Events that are put together at most.
const APPEND_EVENTS_MAX: usize = 1024;
/// How many messages are taken from the channel at once.
const MESSAGES_MAX: usize = 256;
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How many samples a step of compaction looks at while nothing else is to do: about a millisecond.
const COMPACT_SAMPLES: usize = 4096;
/// After the input has closed, a store that fails this often in a row has lost what it was given.
const ATTEMPTS_AT_END: u32 = 6;

/// What the writer is asked to do, in order.
#[derive(Debug)]
pub enum HistoryMessage {
    /// Store samples.
    Batch {
        /// When this process had them: what the watermark counts in.
        received: Timestamp,
        /// The samples.
        samples: Vec<(SeriesId, Sample)>,
    },
    /// Store events; when this process had them, they say themselves.
    Events(Vec<Event>),
    /// Take out what `times` holds: before the batch that backfill puts there.
    Remove {
        /// When this was asked.
        received: Timestamp,
        /// Of which series.
        series: SeriesId,
        /// From (included) to (not included).
        times: Range<Timestamp>,
    },
    /// Nothing more will come that was received before this instant. Sent at least once per second, also (and above
    /// all) when no batch comes: it is what makes the writer flush, and `DurableUntil` move on.
    Tick(Timestamp),
    /// Make everything sent before durable, then answer with the watermark.
    Flush(oneshot::Sender<Watermark>),
}

/// How the writer fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriterState {
    /// Storing.
    #[default]
    Running,
    /// Too little disk space is left: waiting for more; nothing is lost while the senders can wait.
    DiskFull,
    /// The store answers with errors: trying again.
    Failing,
    /// Ended: its input closed and everything is flushed, or it broke.
    Stopped,
}

/// What is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Every sample and event received up to this instant (itself included) survives a power cut.
    pub durable_until: Timestamp,
    /// How the writer fares.
    pub state: WriterState,
    /// Bytes free where the store lives, if it lives on a disk.
    pub free_space: Option<u64>,
}

/// What a writer did in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterReport {
    /// Samples stored and flushed.
    pub samples: u64,
    /// Samples that the store didn't take before the end: lost.
    pub samples_lost: u64,
    /// Events stored and flushed.
    pub events: u64,
    /// Events that the store didn't take before the end: lost.
    pub events_lost: u64,
    /// Bytes that the store now takes on its disk (0 if on none).
    pub bytes: u64,
}

/// The writer's handle: its watermark, and its end.
#[derive(Debug)]
pub struct HistoryWriter {
    watermark: watch::Receiver<Watermark>,
    thread: thread::JoinHandle<WriterReport>,
}

impl HistoryWriter {
    /// Starts the thread. It ends, after a last flush, once every sender of `input` is gone. `started` is the first
    /// `durable_until`. What is older than `retention` is dropped, if that is given.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        store: SharedStore,
        input: mpsc::Receiver<HistoryMessage>,
        started: Timestamp,
        retention: Option<Duration>,
    ) -> std::io::Result<Self> {
        let (publish, watermark) = watch::channel(Watermark {
            durable_until: started,
            state: WriterState::Running,
            free_space: store.free_space(),
        });
        let task = WriterTask {
            store,
            input,
            publish,
            now: started,
            oldest_unflushed: None,
            pending: Vec::new(),
            pending_events: Vec::new(),
            unflushed: 0,
            unflushed_events: 0,
            report: WriterReport::default(),
            tidying: Tidying::new(retention, started),
        };
        let thread = thread::Builder::new().name("history".to_owned()).spawn(move || task.run())?;
        Ok(Self { watermark, thread })
    }

    /// A view of the watermark, for as many readers as wanted.
    #[must_use]
    pub fn watermark(&self) -> watch::Receiver<Watermark> {
        self.watermark.clone()
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end (blocking: from `spawn_blocking`, or after the senders are gone).
    ///
    /// # Errors
    /// If the thread panicked: what it had not yet flushed is lost.
    pub fn join(self) -> thread::Result<WriterReport> {
        self.thread.join()
    }
}

struct WriterTask {
    store: Arc<dyn HistoryStore>,
    input: mpsc::Receiver<HistoryMessage>,
    publish: watch::Sender<Watermark>,
    /// The time of the newest message.
    now: Timestamp,
    /// The time of the oldest message that is not durable yet.
    oldest_unflushed: Option<Timestamp>,
    /// Samples taken from messages and not yet appended.
    pending: Vec<(SeriesId, Sample)>,
    /// Events taken from messages and not yet appended.
    pending_events: Vec<Event>,
    /// Samples appended since the last flush.
    unflushed: u64,
    /// Events appended since the last flush.
    unflushed_events: u64,
    report: WriterReport,
    tidying: Tidying,
}

/// However the thread ends, readers of the watermark see that it did.
impl Drop for WriterTask {
    fn drop(&mut self) {
        self.publish.send_modify(|watermark| watermark.state = WriterState::Stopped);
    }
}

impl WriterTask {
    fn run(mut self) -> WriterReport {
        let mut messages = Vec::with_capacity(MESSAGES_MAX);
        while self.receive(&mut messages) {
            let before = self.unflushed;
            for message in messages.drain(..) {
                self.take(message);
            }
            self.append();
            // At least as fast as new blocks come.
            let appended = usize::try_from(self.unflushed.saturating_sub(before)).unwrap_or(usize::MAX);
            self.tidying.compact(&*self.store, self.now, appended.saturating_mul(2));
            self.tidying.expire(&*self.store, self.now);
            if self.oldest_unflushed.is_some_and(|oldest| self.is_due(oldest)) {
                self.flush();
            } else if self.oldest_unflushed.is_none() {
                self.publish_durable();
            }
        }
        self.append();
        self.flush();
        self.report.bytes = self.store.size_on_disk().unwrap_or(0);
        info!(samples = self.report.samples, events = self.report.events, bytes = self.report.bytes, "history closed");
        self.report
    }

    /// Waits for messages and compacts meanwhile. False once the input has closed.
    fn receive(&mut self, messages: &mut Vec<HistoryMessage>) -> bool {
        while self.tidying.has_small() {
            match self.input.try_recv() {
                Ok(message) => {
                    messages.push(message);
                    while messages.len() < MESSAGES_MAX
                        && let Ok(message) = self.input.try_recv()
                    {
                        messages.push(message);
                    }
                    return true;
                }
                Err(mpsc::error::TryRecvError::Empty) => {
                    self.tidying.compact(&*self.store, self.now, COMPACT_SAMPLES);
                }
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        self.input.blocking_recv_many(messages, MESSAGES_MAX) > 0
    }

    /// A clock that stepped back makes everything due.
    fn is_due(&self, oldest: Timestamp) -> bool {
        self.now < oldest || self.now.saturating_since(oldest) >= FLUSH_INTERVAL
    }

    fn take(&mut self, message: HistoryMessage) {
        match message {
            HistoryMessage::Batch { received, samples } => {
                self.advance(received, true);
                self.pending.extend(samples);
                if self.pending.len() >= APPEND_SAMPLES_MAX {
                    self.append();
                }
            }
            HistoryMessage::Events(events) => {
                events.iter().for_each(|event| self.await_flush(event.received));
                self.pending_events.extend(events);
                if self.pending_events.len() >= APPEND_EVENTS_MAX {
                    self.append_events();
                }
            }
            HistoryMessage::Remove { received, series, times } => {
                self.advance(received, true);
                self.append();
                self.insist("remove", |store| store.remove(series, times.clone()));
            }
            HistoryMessage::Tick(now) => self.advance(now, false),
            HistoryMessage::Flush(reply) => {
                self.append();
                self.flush();
                // Whoever asked may have gone.
                let _ = reply.send(*self.publish.borrow());
            }
        }
    }

    fn advance(&mut self, now: Timestamp, brings_work: bool) {
        self.now = now;
        if brings_work {
            self.await_flush(now);
        }
    }

    /// What was received then is not durable yet. Events come from several stages: that one is a moment before or after the
    /// newest message is no step of the clock.
    fn await_flush(&mut self, received: Timestamp) {
        self.oldest_unflushed.get_or_insert(received.min(self.now));
        let safe = just_before(received);
        if self.publish.borrow().durable_until > safe {
            self.publish.send_modify(|watermark| watermark.durable_until = safe);
        }
    }

    fn append(&mut self) {
        self.append_events();
        if self.pending.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        let count = pending.len() as u64;
        if self.insist("append", |store| store.append(&pending)) {
            self.unflushed += count;
        } else {
            self.report.samples_lost += count;
            error!(samples = count, "history lost samples: the store did not take them before the end");
        }
        pending.clear();
        self.pending = pending;
    }

    fn append_events(&mut self) {
        let events = std::mem::take(&mut self.pending_events);
        let count = events.len() as u64;
        if count == 0 {
            return;
        }
        if self.insist("append events", |store| store.append_events(&events)) {
            self.unflushed_events += count;
        } else {
            self.report.events_lost += count;
            error!(events = count, "history lost events: the store did not take them");
        }
    }

    fn flush(&mut self) {
        if self.oldest_unflushed.is_some() && !self.insist("flush", |store| store.flush()) {
            self.report.samples_lost += self.unflushed;
            self.report.events_lost += self.unflushed_events;
            error!(
                samples = self.unflushed,
                events = self.unflushed_events,
                "history may have lost samples and events: the last flush failed"
            );
        } else {
            self.report.samples += self.unflushed;
            self.report.events += self.unflushed_events;
            self.oldest_unflushed = None;
            self.publish_durable();
        }
        (self.unflushed, self.unflushed_events) = (0, 0);
    }

    /// Another message with the newest time may still come, so only what is before it is promised.
    fn publish_durable(&self) {
        let free_space = self.store.free_space();
        self.publish.send_modify(|watermark| {
            *watermark = Watermark { durable_until: just_before(self.now), state: WriterState::Running, free_space };
        });
    }

    /// Repeats `work` until it succeeds. While the input is open there is no giving up: the channel fills, the senders
    /// wait, and the state says why. Returns false only at the end, when nobody waits for a better time.
    fn insist(&self, doing: &'static str, work: impl Fn(&dyn HistoryStore) -> Result<(), HistoryError>) -> bool {
        let (mut backoff, mut attempts_at_end) = (BACKOFF_FIRST, 0);
        loop {
            let failure = match work(&*self.store) {
                Ok(()) => break,
                Err(HistoryError::UnknownSeries { series, count }) => {
                    error!(series = series.0, count, "a sample for a series that history does not know");
                    return false;
                }
                Err(HistoryError::Unsupported { what }) => {
                    error!(what, "the store cannot do what history is asked");
                    return false;
                }
                Err(failure) => failure,
            };
            let state = match failure {
                HistoryError::DiskFull { .. } => WriterState::DiskFull,
                _ => WriterState::Failing,
            };
            let free_space = self.store.free_space();
            if self.publish.borrow().state != state {
                let cause = std::error::Error::source(&failure).map(ToString::to_string);
                warn!(doing, error = %failure, cause, "history does not take samples, trying again");
            }
            self.publish.send_modify(|watermark| (watermark.state, watermark.free_space) = (state, free_space));
            if self.input.is_closed() {
                attempts_at_end += 1;
                if attempts_at_end == ATTEMPTS_AT_END {
                    return false;
                }
            }
            thread::park_timeout(backoff);
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        if self.publish.borrow().state != WriterState::Running {
            info!(doing, "history takes samples again");
            self.publish.send_modify(|watermark| watermark.state = WriterState::Running);
        }
        true
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_ticks(at.ticks().saturating_sub(1))
}
