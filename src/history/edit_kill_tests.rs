//! Edits cut off at any step, and edits at instants at which live samples come meanwhile.

use std::{cell::RefCell, fs, path::Path};

use super::{
    Direction, EditKind, Editor, HistoryStore, Modification,
    sled_edit::{Step, Under},
    sled_store::{SledOptions, SledStore},
};
use crate::{
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

const A: SeriesId = SeriesId(0);

fn open(folder: &Path) -> SledStore {
    let options =
        SledOptions { head_samples_max: 8, flushes_per_trim: 2, free_space_floor: Some(0), ..SledOptions::default() };
    SledStore::open(folder, &["Heater1.Temperature".to_owned()], options).unwrap()
}

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn good(ticks: i64, value: f64) -> Sample {
    Sample::good(at(ticks), value)
}

fn ann() -> Editor {
    Editor { user: "ann".into(), at: at(1) }
}

type Values = Vec<(i64, f64)>;
/// Instant, what was there, what happened to it.
type Records = Vec<(i64, f64, Modification)>;

fn numbers(store: &SledStore) -> Values {
    let samples = store.read(A, at(i64::MIN)..Timestamp::MAX, Direction::Forward, usize::MAX).unwrap();
    samples.iter().map(|s| (s.source_timestamp.ticks(), s.value.as_f64().unwrap())).collect()
}

fn records(store: &SledStore) -> Records {
    let found = store.modified(A, at(i64::MIN)..Timestamp::MAX, Direction::Forward, 0, usize::MAX).unwrap();
    assert!(found.iter().all(|record| &*record.user == "ann" && record.at == at(1)), "{found:?}");
    found.iter().map(|m| (m.sample.source_timestamp.ticks(), m.sample.value.as_f64().unwrap(), m.kind)).collect()
}

/// What a killed process leaves: its files as they are.
fn killed(folder: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let left = tempfile::tempdir().unwrap();
    copy(folder, left.path());
    left
}

type Edit = fn(&SledStore, &mut dyn FnMut(Step));

fn replace(store: &SledStore, passed: &mut dyn FnMut(Step)) {
    let samples: Vec<Sample> = (10..20).map(|i| good(i, 2.0)).collect();
    let results = store
        .carry_out(A, || store.planned_edit(A, EditKind::Replace, &samples, &ann(), &Under::new()), passed)
        .unwrap();
    assert_eq!(results, [StatusCode::GoodEntryReplaced; 10]);
}

fn insert(store: &SledStore, passed: &mut dyn FnMut(Step)) {
    let samples: Vec<Sample> = (100..120).map(|i| good(i, 2.0)).collect();
    store.carry_out(A, || store.planned_edit(A, EditKind::Update, &samples, &ann(), &Under::new()), passed).unwrap();
}

fn delete(store: &SledStore, passed: &mut dyn FnMut(Step)) {
    store.carry_out(A, || store.planned_delete(A, at(10)..at(90), &ann(), &Under::new()), passed).unwrap();
}

/// Of so many instants that the head is sealed in between.
fn delete_at(store: &SledStore, passed: &mut dyn FnMut(Step)) {
    let times: Vec<Timestamp> = (0..100).step_by(2).map(at).collect();
    store.carry_out(A, || store.planned_delete_at(A, &times, &ann(), &Under::new()), passed).unwrap();
}

/// Nothing is promised of an edit as a whole: each value is its own.
fn each_is_one_of(found: &[(i64, f64)], before: &[(i64, f64)], after: &[(i64, f64)]) -> bool {
    let at = |numbers: &[(i64, f64)], ticks| numbers.iter().find(|(at, _)| *at == ticks).map(|(_, number)| *number);
    let ok = |ticks| [at(before, ticks), at(after, ticks)].contains(&at(found, ticks));
    (0..200).all(ok)
}

#[test]
fn an_edit_that_is_cut_off_is_made_or_not_and_never_without_its_record() {
    for (name, edit) in [("replace", replace as Edit), ("insert", insert), ("delete", delete), ("delete at", delete_at)]
    {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.append(&(0..100).map(|i| (A, good(i, 1.0))).collect::<Vec<_>>()).unwrap();
        store.flush().unwrap();
        let before = numbers(&store);
        let mut left = Vec::new();
        edit(&store, &mut |step| left.push((Some(step), killed(folder.path()))));
        left.push((None, killed(folder.path())));
        let (after, kept) = (numbers(&store), records(&store));
        assert!(before != after && !kept.is_empty(), "{name}");
        assert_eq!(
            left.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
            [Some(Step::Kept), Some(Step::Changed), None]
        );
        for (step, left) in left {
            let mut first = None;
            // Opened again and again it stays as it is.
            for _ in 0..3 {
                let store = open(left.path());
                let found = numbers(&store);
                match step {
                    Some(Step::Kept) => assert_eq!(found, before, "{name}"),
                    Some(Step::Changed) => assert!(each_is_one_of(&found, &before, &after), "{name}: {found:?}"),
                    None => assert_eq!(found, after, "{name}"),
                }
                assert_eq!(records(&store), kept, "{name} {step:?}");
                assert_eq!(*first.get_or_insert(found.clone()), found, "{name} {step:?}");
            }
        }
    }
}

/// Edits, and as often as `times` says, a live sample 7.0 comes at instant 10 before the change.
fn with_live_samples(times: usize, edit: impl Fn(&SledStore, &mut dyn FnMut(Step))) -> (Values, Records) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(&[(A, good(9, 1.0)), (A, good(10, 1.0)), (A, good(11, 1.0))]).unwrap();
    let came = RefCell::new(0);
    edit(&store, &mut |step| {
        if step == Step::Kept && *came.borrow() < times {
            *came.borrow_mut() += 1;
            // Ingest does not wait: the log is not locked.
            store.append(&[(A, good(10, 6.0 + *came.borrow() as f64))]).unwrap();
        } else {
            store.append(&[(A, good(50, 0.0))]).unwrap();
        }
    });
    (numbers(&store), records(&store))
}

#[test]
fn a_live_sample_that_slips_in_is_what_is_kept() {
    use Modification::{Delete, Replace};
    let update = |samples: Vec<Sample>| {
        move |store: &SledStore, passed: &mut dyn FnMut(Step)| {
            store
                .carry_out(A, || store.planned_edit(A, EditKind::Replace, &samples, &ann(), &Under::new()), passed)
                .unwrap();
        }
    };
    for times in [0, 1, 2, 5] {
        let (values, kept) = with_live_samples(times, update(vec![good(9, 3.0), good(10, 3.0)]));
        // After three attempts the log is locked: a fourth sample finds no gap.
        let last = [1.0, 7.0, 8.0, 9.0][times.min(3)];
        assert_eq!(values[..3], [(9, 3.0), (10, 3.0), (11, 1.0)]);
        assert_eq!(kept, [(9, 1.0, Replace), (10, last, Replace)], "{times} samples");
        let (values, kept) = with_live_samples(times, |store, passed| {
            let (count, _) =
                store.carry_out(A, || store.planned_delete(A, at(10)..at(12), &ann(), &Under::new()), passed).unwrap();
            assert_eq!(count, 2);
        });
        assert_eq!(values[0], (9, 1.0));
        assert_eq!(kept, [(10, last, Delete), (11, 1.0, Delete)], "{times} samples");
    }
}

#[test]
fn an_insert_where_a_live_sample_slips_in_finds_it_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut live = |step| {
        if step == Step::Kept {
            store.append(&[(A, good(10, 7.0))]).unwrap();
        }
    };
    let samples = [good(10, 3.0)];
    let results = store
        .carry_out(A, || store.planned_edit(A, EditKind::Insert, &samples, &ann(), &Under::new()), &mut live)
        .unwrap();
    assert_eq!(results, [StatusCode::BadEntryExists]);
    assert_eq!((numbers(&store), records(&store)), (vec![(10, 7.0)], vec![]));
}
