//! What a damaged event costs: itself, left out and logged once, and nothing else. And what a verification and a backup make
//! of events.

use std::{ops::ControlFlow, path::Path};

use super::{
    Direction, HistoryStore,
    edit_damage_tests::Said,
    event_record,
    record::{self, RecordError},
    sled_events::{ALL, Entry, key, parse},
    sled_store::{SledOptions, SledStore},
    verify::{Place, VerifyProgress},
};
use crate::{
    event::{Event, EventType, Source},
    time::Timestamp,
};

fn open(folder: &Path) -> SledStore {
    let options = SledOptions { free_space_floor: Some(0), ..SledOptions::default() };
    SledStore::open(folder, &["Heater1.Temperature".to_owned()], options).unwrap()
}

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn event(number: u8, source: &str) -> Event {
    let mut event = Event::new(EventType::DriftAlarm, Source::new(source), at(number.into()), 700, "it drifts")
        .with("ConditionId", format!("{source}.DriftAlarm"))
        .with("Text", "x".repeat(9_000));
    event.id.0[15] = number;
    event
}

fn read(store: &SledStore, notifier: &str, direction: Direction) -> Vec<u8> {
    let found = store.events(notifier, at(i64::MIN)..Timestamp::MAX, direction, 0, 99).unwrap();
    found.iter().map(|event| event.id.0[15]).collect()
}

/// Events 5, 6 and 7 of a heater; the key and the entry of 6 in the index of all.
fn with_events(store: &SledStore) -> (sled::IVec, Entry) {
    store.append_events(&[5, 6, 7].map(|number| event(number, "Heater1.Temperature"))).unwrap();
    let mut all = store.events.index.range(key(ALL, (at(6), 0))..key(ALL, (at(7), 0)));
    let (key, bytes) = all.next().unwrap().unwrap();
    (key, Entry::whole(&bytes).unwrap())
}

/// The slot of the record's first part, and its bytes.
fn first_part(store: &SledStore, entry: &Entry) -> ([u8; 4], sled::IVec) {
    let key = entry.place.slot.to_be_bytes();
    (key, store.events.slots.tree.get(key).unwrap().unwrap())
}

#[test]
fn a_damaged_event_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (_, entry) = with_events(&store);
    let (slot, whole) = first_part(&store, &entry);
    let tree = &store.events.slots.tree;
    let mut damages: Vec<Vec<u8>> = [0, 3, 9, 100].map(|len| whole[..len].to_vec()).into();
    for byte in (0..60).chain((60..whole.len()).step_by(997)) {
        let mut damaged = whole.to_vec();
        damaged[byte] ^= 1;
        damages.push(damaged);
    }
    for damaged in damages {
        tree.insert(slot, damaged).unwrap();
        for notifier in ["", "Twins", "Heater1"] {
            assert_eq!(read(&store, notifier, Direction::Forward), [5, 7]);
            assert_eq!(read(&store, notifier, Direction::Backward), [7, 5]);
        }
    }
    tree.remove(slot).unwrap();
    assert_eq!(read(&store, "", Direction::Forward), [5, 7]);
    tree.insert(slot, whole).unwrap();
    assert_eq!(read(&store, "", Direction::Forward), [5, 6, 7]);
    // Another's whole record in its place is not taken for it.
    let other = event_record::write(1, &event(7, "Heater1.Temperature")).unwrap();
    tree.insert(slot, &other[..7 * 1024]).unwrap();
    tree.insert((entry.place.slot + 1).to_be_bytes(), &other[7 * 1024..]).unwrap();
    assert_eq!(read(&store, "", Direction::Forward), [5, 7]);
    // Retention needs no whole record.
    store.expire(at(7)).unwrap();
    assert_eq!((read(&store, "", Direction::Forward), read(&store, "Heater1", Direction::Forward)), (vec![7], vec![7]));
    assert_eq!(tree.get(slot).unwrap(), None, "its room is given back");
}

/// Puts an event in the place of 6 whose type no program knows yet.
fn put_newer(store: &SledStore, entry: &Entry, number: u64) {
    let newer = Event { fields: Vec::new(), ..event(6, "Heater1.Temperature") };
    let mut body = event_record::body(number, &newer).unwrap();
    let name = body.windows(5).position(|part| part == b"Drift").unwrap();
    body[name] = b'X';
    let bytes = record::split(&body).unwrap().concat();
    assert_eq!(event_record::read(&bytes), Err(RecordError::UnknownType));
    store.events.slots.free(super::slots::Place { slot: entry.place.slot + 1, parts: 1 }).unwrap();
    store.events.slots.tree.insert(entry.place.slot.to_be_bytes(), bytes).unwrap();
    let short = Entry { place: super::slots::Place { parts: 1, ..entry.place }, ..*entry };
    for key in &short.keys((at(6), number))[..3] {
        let before = store.events.index.get(key).unwrap().unwrap();
        let mut bytes = before.to_vec();
        bytes[..6].copy_from_slice(&short.place.to_bytes());
        store.events.index.insert(key, bytes).unwrap();
    }
}

#[test]
fn what_is_left_out_is_logged_once_and_a_newer_program_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (entry_key, entry) = with_events(&store);
    let said = Said::default();
    let writer = said.clone();
    let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(log, || {
        put_newer(&store, &entry, parse(&entry_key).unwrap().1.1);
        (0..3).for_each(|_| assert_eq!(read(&store, "", Direction::Forward), [5, 7]));
        assert_eq!(read(&store, "", Direction::Backward), [7, 5]);
    });
    let lines = |what: &str| {
        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        said.lines().filter(|line| line.contains(what)).count()
    };
    assert_eq!((lines("newer program"), lines("damaged")), (1, 0));
    store.flush().unwrap();
    drop(store);
    let report = SledStore::verify(folder.path(), &mut |_| {}).unwrap();
    assert!(report.is_whole() && report.events == 3, "{report:?}");
}

fn check_verify(harm: impl Fn(&SledStore, &sled::IVec, &Entry), expected: &[(&'static str, Option<i64>, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (entry_key, entry) = with_events(&store);
    harm(&store, &entry_key, &entry);
    store.flush().unwrap();
    drop(store);
    let mut last = VerifyProgress::default();
    let report = SledStore::verify(folder.path(), &mut |progress| last = progress).unwrap();
    assert_eq!(last.events, report.events);
    let place = |what| Place::Record(what, Some("Heater1".to_owned()));
    let found: Vec<_> = report.damages.iter().map(|d| (d.place.clone(), d.times.0.map(Timestamp::ticks))).collect();
    let places: Vec<_> = expected.iter().map(|(what, at, _)| (place(*what), *at)).collect();
    assert_eq!(found, places, "{report:?}");
    for (damage, (_, _, what)) in report.damages.iter().zip(expected) {
        assert!(damage.what.contains(what), "{what:?}: {damage:?}");
    }
    assert_eq!(SledStore::verify(folder.path(), &mut |_| {}).unwrap(), report, "verifying changes nothing");
}

#[test]
fn verify_says_which_event_is_damaged_and_how() {
    check_verify(|_, _, _| {}, &[]);
    let flip = |store: &SledStore, _: &sled::IVec, entry: &Entry| {
        let (slot, bytes) = first_part(store, entry);
        let mut damaged = bytes.to_vec();
        damaged[70] ^= 1;
        store.events.slots.tree.insert(slot, damaged).unwrap();
    };
    check_verify(flip, &[("event", Some(6), "checksum")]);
    let missing = |store: &SledStore, _: &sled::IVec, entry: &Entry| store.events.slots.free(entry.place).unwrap();
    check_verify(missing, &[("event", Some(6), "missing")]);
    let unindexed = |store: &SledStore, entry_key: &sled::IVec, entry: &Entry| {
        let (_, at) = parse(entry_key).unwrap();
        store.events.index.remove(entry.keys(at)[2]).unwrap();
    };
    check_verify(unindexed, &[("event", Some(6), "everywhere")]);
    let dangling = |store: &SledStore, entry_key: &sled::IVec, entry: &Entry| {
        let (_, (_, number)) = parse(entry_key).unwrap();
        store.events.index.insert(key(entry.source, (at(8), number)), vec![0; 10]).unwrap();
    };
    check_verify(dangling, &[("event", Some(8), "no such event")]);
    let condition = |store: &SledStore, _: &sled::IVec, _: &Entry| {
        let (key, bytes) = store.events.conditions.first().unwrap().unwrap();
        store.events.conditions.insert(key, &bytes[..50]).unwrap();
        assert_eq!(store.conditions().unwrap(), []);
    };
    check_verify(condition, &[("condition's last event", None, "missing")]);
}

#[test]
fn a_backup_holds_events_of_one_instant_though_more_come_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("history"));
    let send = |number: u8| {
        let sources = ["Heater1", "Tank1.Level", "plc:line1"];
        store.append_events(&[event(number, sources[usize::from(number) % sources.len()])]).unwrap();
    };
    (0..100).for_each(send);
    let (file, mut sent) = (folder.path().join("backup"), 100);
    let meanwhile = &mut |_| {
        if sent < 200 {
            send(sent);
            sent += 1;
        }
        // What goes now would leave the copy of the index without its records.
        store.expire(at(50)).unwrap();
        ControlFlow::Continue(())
    };
    store.backup(&file, meanwhile).unwrap();
    assert!(sent > 110, "{sent} sent");
    let copy = folder.path().join("copy");
    let (report, _) = SledStore::restore(&file, &copy, false, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let restored = open(&copy);
    let found = read_all(&restored, "");
    assert!((100..=usize::from(sent)).contains(&found.len()), "{} of {sent}", found.len());
    assert!(found.iter().zip(0..).all(|(found, number)| found.id.0[15] == number), "the first of them, each whole");
    for notifier in ["Heater1", "Tank1", "Twins", "Connections"] {
        let of = |event: &&Event| event.source.is_told_by(notifier);
        assert_eq!(read_all(&restored, notifier), found.iter().filter(of).cloned().collect::<Vec<_>>());
    }
    assert_eq!(restored.conditions().unwrap().len(), 3);
    // And it goes on.
    restored.append_events(&[event(250, "Heater1"), event(5, "Tank1.Level")]).unwrap();
    assert_eq!(read_all(&restored, "").len(), found.len() + 1);
    store.expire(at(50)).unwrap();
    assert_eq!(read_all(&store, "").len(), usize::from(sent) - 50);
}

fn read_all(store: &SledStore, notifier: &str) -> Vec<Event> {
    store.events(notifier, at(i64::MIN)..Timestamp::MAX, Direction::Forward, 0, usize::MAX).unwrap()
}
