//! Events: by time and by whom they come, each once, however they came.

use super::*;
use crate::{
    event::{Event, EventId, EventType, Source},
    history::Direction::Backward,
};

fn event(number: u32, ticks: i64, source: &str) -> Event {
    let mut event = Event::new(EventType::RevisionEvent, Source::new(source), at(ticks), 500, format!("no {number}"));
    event.id.0[12..].copy_from_slice(&number.to_be_bytes());
    event
}

fn condition(number: u32, ticks: i64, id: &str) -> Event {
    let source = Source::new(id.rsplit_once('.').unwrap().0);
    let of = |kind| Event { kind, ..event(number, ticks, &source.0) };
    of(EventType::DriftAlarm).with("ConditionId", id).with("ActiveState/Id", number.is_multiple_of(2))
}

fn numbers(events: &[Event]) -> Vec<u32> {
    events.iter().map(|event| u32::from_be_bytes(event.id.0[12..].try_into().unwrap())).collect()
}

fn told(store: &dyn HistoryStore, notifier: &str) -> Vec<u32> {
    numbers(&store.events(notifier, at(i64::MIN)..Timestamp::MAX, Forward, 0, usize::MAX).unwrap())
}

#[test]
fn events_are_read_by_time_and_by_whom_they_come() {
    check(|store| {
        let sources = ["Heater1", "Heater1.Temperature", "Heater10.Power", "plc:line1", "", "History", "Heater1"];
        let events: Vec<_> = (0..).zip(sources).map(|(i, source)| event(i, i64::from(i) * 10, source)).collect();
        // As they come: late ones too.
        store.append_events(&events[3..]).unwrap();
        store.append_events(&events[..3]).unwrap();
        let by = |notifier| told(store, notifier);
        assert_eq!(by(""), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(by("Twins"), [0, 1, 2, 6]);
        assert_eq!(by("Connections"), [3]);
        assert_eq!(by("Heater1"), [0, 1, 6]);
        assert_eq!(by("Heater1.Temperature"), [1]);
        assert_eq!(by("History"), [5]);
        assert_eq!(by("plc:line1"), [3]);
        assert_eq!(by("Tank1"), [0; 0]);
        let read = |start, end, direction, skip, limit| {
            numbers(&store.events("Twins", at(start)..at(end), direction, skip, limit).unwrap())
        };
        assert_eq!(read(10, 60, Forward, 0, 9), [1, 2]);
        assert_eq!(read(10, 61, Forward, 0, 9), [1, 2, 6]);
        assert_eq!(read(0, 61, Forward, 1, 2), [1, 2]);
        assert_eq!(read(0, 61, Backward, 1, 2), [2, 1]);
        assert_eq!(read(61, 0, Forward, 0, 9), [0; 0]);
        assert_eq!(read(0, 61, Forward, 0, 0), [0; 0]);
        assert_eq!(store.events("", at(0)..at(1), Forward, 0, 9).unwrap(), events[..1]);
    });
}

#[test]
fn those_of_one_instant_are_read_as_they_came_each_once() {
    check(|store| {
        let events: Vec<_> = [5, 3, 9, 1, 7].iter().map(|&i| event(i, 100, "Heater1.Power")).collect();
        store.append_events(&events[..3]).unwrap();
        // The writer tries again when it does not know what was taken.
        store.append_events(&events).unwrap();
        store.append_events(&[events[4].clone(), event(2, 99, "Heater1"), event(2, 99, "Heater1")]).unwrap();
        assert_eq!(told(store, "Heater1"), [2, 5, 3, 9, 1, 7]);
        let back = store.events("", at(0)..at(101), Backward, 0, 9).unwrap();
        assert_eq!(numbers(&back), [7, 1, 9, 3, 5, 2]);
        // Going on in the middle of an instant.
        assert_eq!(numbers(&store.events("", at(100)..at(200), Forward, 2, 2).unwrap()), [9, 1]);
        assert_eq!(numbers(&store.events("", at(0)..at(101), Backward, 2, 2).unwrap()), [9, 3]);
    });
}

#[test]
fn every_type_comes_back_with_all_of_its_fields() {
    check(|store| {
        let events: Vec<_> = (0..)
            .zip(EventType::ALL)
            .map(|(i, &kind)| {
                let text = "ä".repeat(i as usize * 700);
                Event { kind, ..event(i, i.into(), "Tank1.Level") }
                    .with("Text", text)
                    .with("Ratio", 0.1)
                    .with("Until", Timestamp::MAX)
            })
            .collect();
        store.append_events(&events).unwrap();
        assert_eq!(store.events("Tank1", at(0)..at(99), Forward, 0, 99).unwrap(), events);
    });
}

#[test]
fn what_is_past_retention_goes_but_for_what_conditions_said_last() {
    check(|store| {
        let alarm = |i: u32| condition(i, i64::from(i), "Heater1.Temperature.DriftAlarm");
        let other = condition(1, 1, "Heater1.Power.DriftAlarm");
        store.append_events(&[condition(9001, -7, "Heater1.Power.DriftAlarm"), other.clone()]).unwrap();
        store.append_events(&(2..3000).map(alarm).collect::<Vec<_>>()).unwrap();
        store.append_events(&[alarm(2500)]).unwrap();
        store.expire(at(i64::MIN)).unwrap();
        assert_eq!(told(store, "Heater1").len(), 3000);
        store.expire(at(2990)).unwrap();
        assert_eq!(told(store, "Heater1"), (2990..3000).collect::<Vec<_>>());
        assert_eq!(told(store, "Twins"), told(store, ""));
        let by_id = |mut events: Vec<Event>| {
            events.sort_by_key(|event| event.id);
            events
        };
        assert_eq!(by_id(store.conditions().unwrap()), [other.clone(), alarm(2999)]);
        store.expire(Timestamp::MAX).unwrap();
        assert_eq!(told(store, ""), [0; 0]);
        assert_eq!(by_id(store.conditions().unwrap()), [other, alarm(2999)]);
        store.append_events(&[alarm(3001)]).unwrap();
        assert_eq!(told(store, ""), [3001]);
    });
}

#[test]
fn a_condition_that_says_less_leaves_nothing_of_what_it_said() {
    check(|store| {
        let long = |i, len| condition(i, i.into(), "Heater1.Power.DriftAlarm").with("Comment", "x".repeat(len));
        for (i, len) in (0..).zip([5, 70_000, 20_000, 20_001, 0]) {
            let event = long(i, len);
            store.append_events(std::slice::from_ref(&event)).unwrap();
            assert_eq!(store.conditions().unwrap(), [event]);
        }
        // Of several in one batch the last.
        store.append_events(&[long(10, 50_000), long(11, 3)]).unwrap();
        assert_eq!(numbers(&store.conditions().unwrap()), [11]);
    });
}

#[test]
fn a_bounded_store_keeps_the_newest() {
    let store = MemoryStore::new(3, 10);
    store.append_events(&(0..25).map(|i| event(i, i.into(), "Heater1")).collect::<Vec<_>>()).unwrap();
    assert_eq!(told(&store, "Heater1"), (15..25).collect::<Vec<_>>());
}

fn open(folder: &std::path::Path, renames: &[(&str, &str)]) -> SledStore {
    let renames = renames.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
    SledStore::open(folder, &names(), SledOptions { renames, ..small() }).unwrap()
}

#[test]
fn events_survive_closing_and_go_on_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    for start in 0..3 {
        let store = open(folder.path(), &[]);
        assert_eq!(told(&store, "Tank1").len(), start as usize * 20);
        let (tanks, heaters) = (start * 100, start * 100 + 50);
        store.append_events(&(tanks..tanks + 20).map(|i| event(i, 7, "Tank1")).collect::<Vec<_>>()).unwrap();
        store.append_events(&(heaters..heaters + 5).map(|i| event(i, 7, "Heater1")).collect::<Vec<_>>()).unwrap();
        store.flush().unwrap();
    }
    let store = open(folder.path(), &[]);
    let expected: Vec<u32> = [0..20, 100..120, 200..220].into_iter().flatten().collect();
    assert_eq!(told(&store, "Tank1"), expected);
    store.append_events(&[event(110, 7, "Tank1")]).unwrap();
    assert_eq!(told(&store, "Tank1"), expected, "it is there already");
}

#[test]
fn a_renamed_twin_keeps_its_events_under_its_new_name() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), &[])
        .append_events(&[condition(1, 5, "Heater1.Power.DriftAlarm"), event(2, 6, "Tank1")])
        .unwrap();
    let renames = [("Heater1.Power", "Oven.Power"), ("Heater1.Temperature", "Oven.Temperature"), ("a.B", "a.C")];
    for _ in 0..2 {
        let store = open(folder.path(), &renames);
        assert_eq!(told(&store, "Heater1"), [0; 0]);
        let found = store.events("Oven", at(0)..at(9), Forward, 0, 9).unwrap();
        assert_eq!(&*found[0].source.0, "Oven.Power");
        assert_eq!(store.events("", at(0)..at(6), Forward, 0, 9).unwrap(), found);
        assert_eq!(store.conditions().unwrap(), found);
        assert_eq!(found[0].field("ConditionId"), Some(&"Oven.Power.DriftAlarm".into()));
    }
    let store = open(folder.path(), &renames);
    store.append_events(&[condition(3, 7, "Oven.Power.DriftAlarm"), event(4, 8, "Heater1.Power")]).unwrap();
    assert_eq!((told(&store, "Oven"), told(&store, "Heater1")), (vec![1, 3], vec![4]));
    assert_eq!(numbers(&store.conditions().unwrap()), [3], "the same condition goes on");
}

#[test]
fn below_the_floor_no_event_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let options = SledOptions { free_space_floor: Some(u64::MAX), ..small() };
    let store = SledStore::open(folder.path(), &names(), options).unwrap();
    let result = store.append_events(&[event(1, 1, "Heater1")]);
    assert!(matches!(result, Err(crate::history::HistoryError::DiskFull { .. })), "{result:?}");
    assert_eq!(told(&store, ""), [0; 0]);
    assert_eq!(event(1, 1, "").id, EventId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
}
