//! What the writer promises of its watermark, whatever the store does.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Direction, HistoryError, HistoryStore, SharedStore,
    memory_store::MemoryStore,
    writer::{HistoryMessage, HistoryWriter, Watermark, WriterState},
};
use crate::{
    event::{Event, EventId, EventType, Source},
    sample::{Sample, SeriesId},
    time::Timestamp,
};

const A: SeriesId = SeriesId(0);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(seconds * 10_000_000)
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_ticks(at.ticks() - 1)
}

fn batch(received: Timestamp, count: i64) -> HistoryMessage {
    let samples = (0..count).map(|i| (A, Sample::good(Timestamp::from_ticks(received.ticks() + i), 1.0))).collect();
    HistoryMessage::Batch { received, samples }
}

/// A store that fails so often first, and counts its flushes.
#[derive(Debug)]
struct Troubled {
    inner: MemoryStore,
    failures: AtomicU32,
    flushes: AtomicU32,
}

fn troubled(failures: u32) -> Arc<Troubled> {
    Arc::new(Troubled { inner: MemoryStore::new(1, 1_000_000), failures: failures.into(), flushes: 0.into() })
}

impl HistoryStore for Troubled {
    fn add_series(&self, _: &[String]) -> Result<(), HistoryError> {
        Err(HistoryError::Unsupported { what: "take in series" })
    }

    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        let left = self.failures.load(Ordering::SeqCst);
        if left == 0 {
            return self.inner.append(samples);
        }
        self.failures.store(left - 1, Ordering::SeqCst);
        Err(HistoryError::DiskFull { free: 1, floor: 2 })
    }

    fn flush(&self) -> Result<(), HistoryError> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        self.inner.read(series, times, direction, limit)
    }

    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError> {
        self.inner.remove(series, times)
    }

    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        self.inner.extent(series)
    }

    fn free_space(&self) -> Option<u64> {
        Some(1)
    }

    fn append_events(&self, events: &[Event]) -> Result<(), HistoryError> {
        match self.failures.load(Ordering::SeqCst) {
            0 => self.inner.append_events(events),
            left => {
                self.failures.store(left - 1, Ordering::SeqCst);
                Err(HistoryError::DiskFull { free: 1, floor: 2 })
            }
        }
    }

    fn events(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Event>, HistoryError> {
        self.inner.events(notifier, times, direction, skip, limit)
    }
}

fn start(store: &Arc<Troubled>) -> (mpsc::Sender<HistoryMessage>, HistoryWriter) {
    let (to_writer, input) = mpsc::channel(64);
    (to_writer, HistoryWriter::start(Arc::clone(store) as SharedStore, input, at(0), None).unwrap())
}

fn flush(to_writer: &mpsc::Sender<HistoryMessage>) -> Watermark {
    let (reply, answer) = oneshot::channel();
    to_writer.blocking_send(HistoryMessage::Flush(reply)).unwrap();
    answer.blocking_recv().unwrap()
}

#[test]
fn a_flush_answers_when_what_was_sent_before_is_durable() {
    let store = troubled(0);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(batch(at(5), 10)).unwrap();
    let watermark = flush(&to_writer);
    // Another batch may have been received in the same instant.
    assert_eq!((watermark.durable_until, watermark.state), (just_before(at(5)), WriterState::Running));
    assert_eq!(store.flushes.load(Ordering::SeqCst), 1);
    drop(to_writer);
    assert_eq!(writer.join().unwrap().samples, 10);
}

#[test]
fn ticks_flush_what_waits_and_move_the_watermark_when_nothing_comes() {
    let store = troubled(0);
    let (to_writer, writer) = start(&store);
    let mut watermark = writer.watermark();
    let mut wait_for = |until: Timestamp| {
        while watermark.borrow_and_update().durable_until != until {
            wait_for_change(&mut watermark);
        }
    };
    to_writer.blocking_send(batch(at(5), 1)).unwrap();
    to_writer.blocking_send(HistoryMessage::Tick(at(6))).unwrap();
    wait_for(just_before(at(6)));
    assert_eq!(store.flushes.load(Ordering::SeqCst), 1, "by the tick, with nobody asking");
    to_writer.blocking_send(HistoryMessage::Tick(at(7))).unwrap();
    wait_for(just_before(at(7)));
    assert_eq!(store.flushes.load(Ordering::SeqCst), 1, "nothing to flush");
    drop(to_writer);
    writer.join().unwrap();
}

fn wait_for_change(watermark: &mut tokio::sync::watch::Receiver<Watermark>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(watermark.changed()).unwrap();
}

#[test]
fn a_clock_that_steps_back_takes_the_watermark_back() {
    let store = troubled(0);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(batch(at(50), 1)).unwrap();
    assert_eq!(flush(&to_writer).durable_until, just_before(at(50)));
    to_writer.blocking_send(batch(at(20), 1)).unwrap();
    assert_eq!(flush(&to_writer).durable_until, just_before(at(20)));
    drop(to_writer);
    assert_eq!(writer.join().unwrap().samples, 2);
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_lost() {
    let store = troubled(3);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(batch(at(5), 10)).unwrap();
    let mut watermark = writer.watermark();
    while watermark.borrow_and_update().state != WriterState::DiskFull {
        wait_for_change(&mut watermark);
    }
    assert_eq!(watermark.borrow().durable_until, at(0), "nothing is promised");
    assert_eq!(flush(&to_writer).state, WriterState::Running);
    drop(to_writer);
    let report = writer.join().unwrap();
    assert_eq!((report.samples, report.samples_lost), (10, 0));
    assert_eq!(watermark.borrow().state, WriterState::Stopped);
}

fn events(received: Timestamp, numbers: Range<u8>) -> HistoryMessage {
    let event = |number| {
        let mut event = Event::new(EventType::RevisionEvent, Source::new("Heater1"), received, 500, "revised");
        event.id = EventId([number; 16]);
        event
    };
    HistoryMessage::Events(numbers.map(event).collect())
}

#[test]
fn the_watermark_passes_no_event_that_is_not_durable_whatever_their_order() {
    let store = troubled(0);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(HistoryMessage::Tick(at(50))).unwrap();
    assert_eq!(flush(&to_writer).durable_until, just_before(at(50)));
    let mut watermark = writer.watermark();
    // Of another stage, and later than the tick.
    store.failures.store(2, Ordering::SeqCst);
    to_writer.blocking_send(events(at(40), 0..3)).unwrap();
    while watermark.borrow_and_update().state != WriterState::DiskFull {
        wait_for_change(&mut watermark);
    }
    assert_eq!(watermark.borrow().durable_until, just_before(at(40)));
    assert_eq!(store.flushes.load(Ordering::SeqCst), 0);
    let flushed = flush(&to_writer);
    assert_eq!((flushed.durable_until, flushed.state), (just_before(at(50)), WriterState::Running));
    assert_eq!(store.flushes.load(Ordering::SeqCst), 1);
    // One that is ahead of the last tick waits for the next.
    to_writer.blocking_send(events(at(51), 3..4)).unwrap();
    to_writer.blocking_send(HistoryMessage::Tick(at(52))).unwrap();
    while watermark.borrow_and_update().durable_until != just_before(at(52)) {
        wait_for_change(&mut watermark);
    }
    assert_eq!(store.flushes.load(Ordering::SeqCst), 2);
    drop(to_writer);
    let report = writer.join().unwrap();
    assert_eq!((report.events, report.events_lost, report.samples), (4, 0, 0));
    assert_eq!(store.events("Heater1", at(0)..at(99), Direction::Forward, 0, 99).unwrap().len(), 4);
}

#[test]
fn events_that_the_store_never_takes_are_counted_as_lost() {
    let store = troubled(u32::MAX);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(events(at(5), 0..3)).unwrap();
    drop(to_writer);
    let report = writer.join().unwrap();
    assert_eq!((report.events, report.events_lost), (0, 3));
}

#[test]
fn at_the_end_a_store_that_never_takes_them_costs_the_samples_not_the_end() {
    let store = troubled(u32::MAX);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(batch(at(5), 10)).unwrap();
    drop(to_writer);
    let report = writer.join().unwrap();
    assert_eq!((report.samples, report.samples_lost), (0, 10));
}

#[test]
fn backfill_replaces_a_marker_in_the_order_it_was_sent() {
    let store = troubled(0);
    let (to_writer, writer) = start(&store);
    to_writer.blocking_send(batch(at(5), 3)).unwrap();
    let times = at(5)..at(6);
    to_writer.blocking_send(HistoryMessage::Remove { received: at(7), series: A, times }).unwrap();
    to_writer.blocking_send(batch(at(5), 1)).unwrap();
    drop(to_writer);
    writer.join().unwrap();
    assert_eq!(store.read(A, at(0)..at(99), Direction::Forward, 99).unwrap().len(), 1);
}

#[test]
fn what_is_past_retention_goes_and_a_jump_of_the_clock_costs_nothing() {
    let store = Arc::new(MemoryStore::new(1, 1_000_000));
    let (to_writer, input) = mpsc::channel(64);
    let retention = Some(std::time::Duration::from_secs(7200));
    let writer = HistoryWriter::start(Arc::clone(&store) as SharedStore, input, at(10_000), retention).unwrap();
    let extent = |now: i64| {
        to_writer.blocking_send(HistoryMessage::Tick(at(now))).unwrap();
        // Twice: an answer to the first may come before the tick's other work.
        flush(&to_writer);
        flush(&to_writer);
        store.extent(A).unwrap().map(|(oldest, _)| oldest)
    };
    to_writer.blocking_send(batch(at(10_000), 10)).unwrap();
    assert_eq!(extent(17_199), Some(at(10_000)));
    // A year ahead and back: 10,000 is not past 7,200 s before any time that was true twice in a row.
    assert_eq!(extent(31_536_000), Some(at(10_000)));
    assert_eq!(extent(17_200), Some(at(10_000)));
    assert_eq!(extent(31_536_000 + 3601), None);
    drop(to_writer);
    writer.join().unwrap();
}

/// Set back by an hour: each batch is durable within a second of the new time, and what is promised stays true.
#[test]
fn a_clock_that_steps_back_does_not_keep_the_writer_from_flushing() {
    let store = troubled(0);
    let (to_writer, writer) = start(&store);
    let mut watermark = writer.watermark();
    let mut wait_for = |until: Timestamp| {
        while watermark.borrow_and_update().durable_until != until {
            wait_for_change(&mut watermark);
        }
    };
    to_writer.blocking_send(batch(at(3600), 1)).unwrap();
    to_writer.blocking_send(HistoryMessage::Tick(at(3601))).unwrap();
    wait_for(just_before(at(3601)));
    for second in 1..4 {
        to_writer.blocking_send(batch(at(second * 2), 1)).unwrap();
        to_writer.blocking_send(HistoryMessage::Tick(at(second * 2 + 1))).unwrap();
        wait_for(just_before(at(second * 2 + 1)));
        assert_eq!(store.flushes.load(Ordering::SeqCst), 1 + second as u32);
    }
    drop(to_writer);
    assert_eq!(writer.join().unwrap().samples, 4);
    assert_eq!(store.read(A, at(0)..at(9999), Direction::Forward, 99).unwrap().len(), 4);
}
