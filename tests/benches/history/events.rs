//! Events: taken in batches of a second's, flushed after each; then what is found among them, by time, in a store that has
//! just been opened and once more.

use std::time::Instant;

use uatwin::{
    event::{Event, EventIds, EventType, Source},
    history::{
        Direction, HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    time::Timestamp,
};

const BATCH: u32 = 1_000;

fn event(ids: &mut EventIds, number: u32, twins: u32) -> Event {
    let at = Timestamp::from_unix_s(1.7e9 + f64::from(number) * 0.01);
    // Which twin comes next follows no order.
    let twin = number.wrapping_mul(2_654_435_761) % twins;
    let mut event = Event::new(
        EventType::DriftAlarm,
        Source::new(&format!("Heater{twin}.Temperature")),
        at,
        700,
        "Temperature differs from what its model simulates by more than it did when it was fitted",
    )
    .with("ConditionId", format!("Heater{twin}.Temperature.DriftAlarm"))
    .with("ConditionName", "DriftAlarm")
    .with("ActiveState/Id", number.is_multiple_of(2))
    .with("AckedState/Id", false)
    .with("Retain", true)
    .with("Deviation", f64::from(number) * 0.001)
    .with("Threshold", 4.5);
    event.id = ids.next(at);
    event
}

fn read(store: &SledStore, what: &str, notifier: &str, limit: usize) {
    let all = Timestamp::NULL..Timestamp::MAX;
    for round in ["first", "again"] {
        let started = Instant::now();
        let found = store.events(notifier, all.clone(), Direction::Backward, 0, limit).expect("a read");
        assert!(found.len() == limit || limit > 1_000, "{} of {limit}", found.len());
        println!("{what}, {round}: {} events in {:.2} ms", found.len(), started.elapsed().as_secs_f64() * 1e3);
    }
}

pub(crate) fn run(arguments: &[String]) {
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<u32>().ok());
    let (count, twins) = (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(1_000).max(1));
    let folder = tempfile::tempdir().expect("a folder for the run");
    let open = || SledStore::open(folder.path(), &[], SledOptions::default()).expect("history opens");
    let (store, mut ids, mut flushing) = (open(), EventIds::default(), 0.0);
    let started = Instant::now();
    for first in (0..count).step_by(BATCH as usize) {
        let events: Vec<_> = (first..count.min(first + BATCH)).map(|i| event(&mut ids, i, twins)).collect();
        store.append_events(&events).expect("events are taken");
        let flush = Instant::now();
        store.flush().expect("a flush");
        flushing += flush.elapsed().as_secs_f64();
    }
    let taken = started.elapsed().as_secs_f64();
    println!(
        "{count} events of {twins} twins: {:.0} events/s, {:.0} without flushes; {:.0} bytes each on the disk",
        f64::from(count) / taken,
        f64::from(count) / (taken - flushing),
        store.size_on_disk().unwrap_or(0) as f64 / f64::from(count)
    );
    drop(store);
    let started = Instant::now();
    let store = open();
    println!("opened in {:.2} s", started.elapsed().as_secs_f64());
    read(&store, "the newest 100 of one twin", "Heater7", 100);
    read(&store, "the newest 100 of all", "", 100);
    read(&store, "every one of one twin", "Heater8", 1_000_000);
    let started = Instant::now();
    let conditions = store.conditions().expect("a read").len();
    println!("the last of {conditions} conditions in {:.2} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    store.expire(Timestamp::from_unix_s(1.7e9 + f64::from(count / 2) * 0.01)).expect("half of them go");
    println!("half of them past retention: gone in {:.2} s", started.elapsed().as_secs_f64());
}
