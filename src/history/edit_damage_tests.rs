//! What a damaged modification record or annotation costs: itself, said to be lost, and nothing else.

use std::sync::{Arc, Mutex};

use super::{
    Annotation, AnnotationEdit, Direction, EditKind, Editor, HistoryStore, Modified,
    record::{self, Record as _},
    shelf,
    sled_store::{SledOptions, SledStore},
    verify::{Place, VerifyProgress},
};
use crate::{
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

const A: SeriesId = SeriesId(0);

fn open(folder: &std::path::Path) -> SledStore {
    let names = ["Heater1.Temperature".to_owned(), "Heater1.Power".to_owned()];
    let options = SledOptions { free_space_floor: Some(0), ..SledOptions::default() };
    SledStore::open(folder, &names, options).unwrap()
}

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn good(ticks: i64, value: f64) -> Sample {
    Sample::good(at(ticks), value)
}

/// Modification records and annotations at 5, 6 and 7; of those at 6, the key and bytes of each part.
fn with_records(store: &SledStore) -> [Vec<(sled::IVec, sled::IVec)>; 2] {
    let long = Sample { value: Value::String("x".repeat(9_000).into()), ..good(6, 0.0) };
    store
        .edit(A, EditKind::Insert, &[good(5, 1.0), long, good(7, 3.0)], &Editor { user: "ann".into(), at: at(1) })
        .unwrap();
    let note = |ticks| Annotation {
        at: at(ticks),
        message: "y".repeat(9_000).into(),
        user: "ann".into(),
        time: at(1),
        is_lost: false,
    };
    store.annotate(A, AnnotationEdit::Insert, &[note(5), note(6), note(7)]).unwrap();
    let at_six = |tree: &sled::Tree| {
        let pairs = tree.iter().map(|pair| pair.unwrap());
        pairs.filter(|(key, _)| shelf::place(key).unwrap().0.0 == at(6)).collect::<Vec<_>>()
    };
    [at_six(&store.edits.tree), at_six(&store.annotations.tree)]
}

#[test]
fn a_damaged_record_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let found = with_records(&store);
    let all = at(0)..at(9);
    let modified = |direction| store.modified(A, all.clone(), direction, 0, 9).unwrap();
    let notes = |direction| store.annotations(A, all.clone(), direction, 0, 9).unwrap();
    let whole = (modified(Direction::Forward), notes(Direction::Forward));
    let mut lost = whole.clone();
    (lost.0[1], lost.1[1]) = (Modified::lost(at(6)), Annotation::lost(at(6)));
    assert_eq!(lost.0[1].sample.status, StatusCode::BadDataLost);
    for (tree, parts) in [&store.edits.tree, &store.annotations.tree].into_iter().zip(&found) {
        assert_eq!(parts.len(), 2);
        let mut damages: Vec<(&sled::IVec, Option<Vec<u8>>)> = vec![(&parts[1].0, None)];
        for (key, bytes) in parts {
            for byte in (0..12).chain((12..bytes.len()).step_by(997)) {
                let mut damaged = bytes.to_vec();
                damaged[byte] ^= 1;
                damages.push((key, Some(damaged)));
            }
            damages.extend([0, 3, 9, 100].map(|len| (key, Some(bytes[..len].to_vec()))));
        }
        for (key, damaged) in damages {
            let before = tree.get(key).unwrap().unwrap();
            match &damaged {
                Some(damaged) => drop(tree.insert(key, damaged.as_slice()).unwrap()),
                None => drop(tree.remove(key).unwrap()),
            }
            let is_modified = std::ptr::eq(tree, &store.edits.tree);
            let expected = if is_modified { (&lost.0, &whole.1) } else { (&whole.0, &lost.1) };
            for direction in [Direction::Forward, Direction::Backward] {
                let mut found = (modified(direction), notes(direction));
                if direction == Direction::Backward {
                    found.0.reverse();
                    found.1.reverse();
                }
                assert_eq!((&found.0, &found.1), expected, "{key:?} {:?}", damaged.map(|bytes| bytes.len()));
            }
            tree.insert(key, before).unwrap();
        }
    }
    assert_eq!((modified(Direction::Forward), notes(Direction::Forward)), whole);
    // A page may begin behind it, and the others can be edited.
    store.annotations.tree.insert(&found[1][0].0, &[1]).unwrap();
    assert_eq!(store.annotations(A, all, Direction::Forward, 2, 9).unwrap(), [whole.1[2].clone()]);
    assert_eq!(store.annotate(A, AnnotationEdit::Remove, &whole.1[2..]).unwrap(), [StatusCode::Good]);
    let removed = store.annotate(A, AnnotationEdit::Remove, &whole.1[1..2]).unwrap();
    assert_eq!(removed, [StatusCode::BadNoEntryExists], "which one it was is not known");
}

#[test]
fn a_key_that_is_none_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let [edits, _] = with_records(&store);
    store.edits.tree.insert(&edits[0].0[..15], b"what").unwrap();
    assert_eq!(store.modified(A, at(0)..at(9), Direction::Forward, 0, 9).unwrap().len(), 3);
}

/// What the log is told.
#[derive(Clone, Default)]
pub(super) struct Said(pub(super) Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_damaged_record_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let [edits, notes] = with_records(&store);
    store.edits.tree.insert(&edits[0].0, &edits[0].1[..20]).unwrap();
    store.annotations.tree.remove(&notes[1].0).unwrap();
    let said = Said::default();
    let writer = said.clone();
    let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(log, || {
        for _ in 0..3 {
            store.modified(A, at(0)..at(9), Direction::Forward, 0, 9).unwrap();
            store.annotations(A, at(0)..at(9), Direction::Forward, 0, 9).unwrap();
        }
    });
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("damaged")).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("modification record") && lines[1].contains("annotation"), "{said}");
}

/// Damages what `with_records` has made; what a verification must then say, and where.
fn check_verify(
    harm: impl Fn(&SledStore, &[Vec<(sled::IVec, sled::IVec)>; 2]),
    expected: &[(Place, Option<i64>, &str)],
) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let parts = with_records(&store);
    harm(&store, &parts);
    store.flush().unwrap();
    drop(store);
    let mut last = VerifyProgress::default();
    let report = SledStore::verify(folder.path(), &mut |progress| last = progress).unwrap();
    assert_eq!((last.blocks, last.records), (report.blocks, report.records));
    assert_eq!(last.by_hand, report.modifications + report.annotations);
    let found: Vec<_> = report.damages.iter().map(|d| (d.place.clone(), d.times.0.map(Timestamp::ticks))).collect();
    let places: Vec<_> = expected.iter().map(|(place, at, _)| (place.clone(), *at)).collect();
    assert_eq!((found, report.damaged), (places, expected.len() as u64), "{report:?}");
    for (damage, (_, _, what)) in report.damages.iter().zip(expected) {
        assert!(damage.what.contains(what) && damage.times.0 == damage.times.1, "{what:?}: {damage:?}");
    }
    assert_eq!(SledStore::verify(folder.path(), &mut |_| {}).unwrap(), report, "verifying changes nothing");
}

#[test]
fn verify_says_which_record_is_damaged_and_how() {
    let of = |what| Place::Record(what, Some("Heater1.Temperature".to_owned()));
    let (edit, note) = (of("modification record"), of("annotation"));
    check_verify(|_, _| {}, &[]);
    let flip = |tree: &sled::Tree, (key, bytes): &(sled::IVec, sled::IVec)| {
        let mut damaged = bytes.to_vec();
        damaged[50] ^= 1;
        tree.insert(key, damaged).unwrap();
    };
    check_verify(
        |store, parts| {
            flip(&store.edits.tree, &parts[0][1]);
            flip(&store.annotations.tree, &parts[1][0]);
        },
        &[(edit.clone(), Some(6), "checksum"), (note.clone(), Some(6), "checksum")],
    );
    let missing = |store: &SledStore, parts: &[Vec<(sled::IVec, sled::IVec)>; 2]| {
        store.edits.tree.remove(&parts[0][1].0).unwrap();
        store.annotations.tree.remove(&parts[1][0].0).unwrap();
    };
    check_verify(missing, &[(edit.clone(), Some(6), "missing"), (note.clone(), Some(6), "belongs to no record")]);
    // One part too many, a body that says nothing under a right checksum, and a key that is none.
    check_verify(
        |store, parts| {
            let mut key = parts[1][1].0.to_vec();
            key[21] += 1;
            store.annotations.tree.insert(key, b"more").unwrap();
            let nothing = record::split(b"?").unwrap();
            store.annotations.tree.insert(shelf::key(store.ids[0], (at(8), 0), 0), nothing[0].as_slice()).unwrap();
            store.annotations.tree.insert(&parts[1][1].0[..15], b"").unwrap();
        },
        &[(note.clone(), None, "key"), (note.clone(), Some(6), "belongs to no record"), (note, Some(8), "malformed")],
    );
    // A series that nobody knows.
    check_verify(
        |store, parts| {
            store.edits.tree.insert(shelf::key(77, (at(3), 0), 0), &record::split(&[]).unwrap()[0][..]).unwrap();
            let (_, other) = store.edits.tree.first().unwrap().unwrap();
            store.edits.tree.insert(shelf::key(78, (at(3), 0), 0), other).unwrap();
            assert_eq!(parts[0].len(), 2);
        },
        &[
            (Place::Record("modification record", None), Some(3), "malformed"),
            (Place::Record("modification record", None), Some(3), "no name"),
        ],
    );
}
