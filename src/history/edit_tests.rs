//! What every store promises of edits and annotations.

use super::{
    Annotation, AnnotationEdit, Direction, EditKind, Editor, HistoryStore, Modification,
    memory_store::MemoryStore,
    sled_store::{SledOptions, SledStore},
};
use crate::{
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

const A: SeriesId = SeriesId(0);
const B: SeriesId = SeriesId(1);

fn names() -> Vec<String> {
    vec!["Heater1.Temperature".into(), "Heater1.Power".into()]
}

fn small() -> SledOptions {
    SledOptions { head_samples_max: 8, flushes_per_trim: 2, free_space_floor: Some(0), ..SledOptions::default() }
}

fn check(promise: impl Fn(&dyn HistoryStore)) {
    promise(&MemoryStore::new(2, usize::MAX));
    if let Some(store) = super::contract::clickhouse(&names()) {
        promise(&store);
    }
    let folder = tempfile::tempdir().unwrap();
    promise(&SledStore::open(folder.path(), &names(), small()).unwrap());
}

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn good(ticks: i64, value: f64) -> Sample {
    Sample::good(at(ticks), value)
}

fn by(user: &str, ticks: i64) -> Editor {
    Editor { user: user.into(), at: at(ticks) }
}

fn append(store: &dyn HistoryStore, series: SeriesId, samples: impl IntoIterator<Item = Sample>) {
    let batch: Vec<_> = samples.into_iter().map(|sample| (series, sample)).collect();
    store.append(&batch).unwrap();
}

fn numbers(store: &dyn HistoryStore, series: SeriesId) -> Vec<(i64, f64)> {
    let samples = store.read(series, at(i64::MIN)..Timestamp::MAX, Direction::Forward, usize::MAX).unwrap();
    samples.iter().map(|s| (s.source_timestamp.ticks(), s.value.as_f64().unwrap())).collect()
}

/// Instant, number, what happened, when.
fn records(store: &dyn HistoryStore, direction: Direction) -> Vec<(i64, f64, Modification, i64)> {
    let found = store.modified(A, at(i64::MIN)..Timestamp::MAX, direction, 0, usize::MAX).unwrap();
    let plain = found
        .iter()
        .map(|m| (m.sample.source_timestamp.ticks(), m.sample.value.as_f64().unwrap(), m.kind, m.at.ticks()));
    plain.collect()
}

#[test]
fn each_value_has_its_own_result_and_those_of_one_call_count_in_order() {
    use StatusCode as S;
    check(|store| {
        append(store, A, (0..20).map(|i| good(i * 10, 1.0)));
        let ann = by("ann", 1);
        let insert = store.edit(A, EditKind::Insert, &[good(5, 2.0), good(10, 2.0), good(5, 3.0)], &ann).unwrap();
        assert_eq!(insert, [S::GoodEntryInserted, S::BadEntryExists, S::BadEntryExists]);
        let replace = store.edit(A, EditKind::Replace, &[good(10, 4.0), good(15, 4.0), good(10, 5.0)], &ann).unwrap();
        assert_eq!(replace, [S::GoodEntryReplaced, S::BadNoEntryExists, S::GoodEntryReplaced]);
        let update = store.edit(A, EditKind::Update, &[good(25, 6.0), good(25, 7.0), good(20, 8.0)], &ann).unwrap();
        assert_eq!(update, [S::GoodEntryInserted, S::GoodEntryReplaced, S::GoodEntryReplaced]);
        let expected = [(0, 1.0), (5, 2.0), (10, 5.0), (20, 8.0), (25, 7.0), (30, 1.0)];
        assert_eq!(numbers(store, A)[..6], expected);
        assert_eq!(numbers(store, B), []);
        assert_eq!(store.edit(A, EditKind::Insert, &[], &ann).unwrap(), []);
    });
}

#[test]
fn what_was_there_is_kept_with_who_and_when_the_last_modification_first() {
    use Modification::{Delete, Insert, Replace};
    check(|store| {
        append(store, A, (0..20).map(|i| good(i * 10, 1.0)));
        append(store, B, [good(10, 9.0)]);
        store.edit(A, EditKind::Replace, &[good(10, 2.0)], &by("ann", 1)).unwrap();
        store.edit(A, EditKind::Update, &[good(10, 3.0), good(15, 4.0)], &by("bob", 2)).unwrap();
        assert_eq!(
            store.delete_at(A, &[at(10), at(11), at(10)], &by("cem", 3)).unwrap(),
            [StatusCode::Good, StatusCode::BadNoEntryExists, StatusCode::BadNoEntryExists]
        );
        let forward = [(10, 3.0, Delete, 3), (10, 2.0, Replace, 2), (10, 1.0, Replace, 1), (15, 4.0, Insert, 2)];
        assert_eq!(records(store, Direction::Forward), forward);
        let mut backward = forward;
        backward.reverse();
        assert_eq!(records(store, Direction::Backward), backward);
        let page = store.modified(A, at(10)..at(16), Direction::Forward, 1, 2).unwrap();
        assert_eq!(page.iter().map(|m| m.at.ticks()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(&*page[0].user, "bob");
        assert_eq!(store.modified(A, at(11)..at(15), Direction::Forward, 0, 9).unwrap(), []);
        assert_eq!(store.modified(B, at(0)..at(99), Direction::Forward, 0, 9).unwrap(), []);
        assert_eq!(store.delete_modified(A, at(10)..at(15)).unwrap(), 3);
        assert_eq!(records(store, Direction::Forward), [(15, 4.0, Insert, 2)]);
    });
}

#[test]
fn a_deleted_range_is_gone_and_kept_as_deleted() {
    check(|store| {
        append(store, A, (0..100).map(|i| good(i * 10, i as f64)));
        assert_eq!(store.delete_raw(A, at(100)..at(900), &by("ann", 7)).unwrap(), 80);
        assert_eq!(store.delete_raw(A, at(100)..at(900), &by("ann", 8)).unwrap(), 0);
        assert_eq!(numbers(store, A).len(), 20);
        let kept = records(store, Direction::Forward);
        assert_eq!((kept.len(), kept[0]), (80, (100, 10.0, Modification::Delete, 7)));
        // And a new value may come in its place.
        assert_eq!(
            store.edit(A, EditKind::Insert, &[good(500, 1.5)], &by("ann", 9)).unwrap(),
            [StatusCode::GoodEntryInserted]
        );
        assert!(numbers(store, A).contains(&(500, 1.5)));
    });
}

#[test]
fn annotations_are_told_apart_by_instant_user_and_time() {
    use AnnotationEdit as K;
    use StatusCode as S;
    check(|store| {
        let note = |ticks, user: &str, time, message: &str| Annotation {
            at: at(ticks),
            message: message.into(),
            user: user.into(),
            time: at(time),
            is_lost: false,
        };
        let first =
            [note(10, "ann", 1, "a"), note(10, "bob", 1, "b"), note(20, "ann", 1, "c"), note(10, "ann", 1, "x")];
        let inserted = store.annotate(A, K::Insert, &first).unwrap();
        assert_eq!(inserted, [S::GoodEntryInserted, S::GoodEntryInserted, S::GoodEntryInserted, S::BadEntryExists]);
        let replaced = store.annotate(A, K::Replace, &[note(10, "ann", 1, "A"), note(10, "ann", 2, "y")]).unwrap();
        assert_eq!(replaced, [S::GoodEntryReplaced, S::BadNoEntryExists]);
        let updated = store.annotate(A, K::Update, &[note(20, "ann", 1, "C"), note(30, "ann", 1, "d")]).unwrap();
        assert_eq!(updated, [S::GoodEntryReplaced, S::GoodEntryInserted]);
        let removed = store.annotate(A, K::Remove, &[note(10, "bob", 1, ""), note(10, "bob", 1, "")]).unwrap();
        assert_eq!(removed, [S::Good, S::BadNoEntryExists]);
        let texts = |series, start, end, direction| {
            let found = store.annotations(series, at(start)..at(end), direction, 0, usize::MAX).unwrap();
            found.iter().map(|note| note.message.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(texts(A, 0, 99, Direction::Forward), ["A", "C", "d"]);
        assert_eq!(texts(A, 10, 30, Direction::Backward), ["C", "A"]);
        assert_eq!(texts(B, 0, 99, Direction::Forward), Vec::<String>::new());
    });
}

#[test]
fn edits_survive_closing_and_long_values_come_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let long: std::sync::Arc<str> = "ä".repeat(40_000).into();
    let text = |ticks| Sample { value: Value::String(long.clone()), ..good(ticks, 0.0) };
    let note = Annotation { at: at(5), message: long.clone(), user: "ann".into(), time: at(1), is_lost: false };
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        append(&store, A, [text(5)]);
        store.edit(A, EditKind::Replace, &[good(5, 1.0)], &by("ann", 1)).unwrap();
        store.annotate(A, AnnotationEdit::Insert, std::slice::from_ref(&note)).unwrap();
    }
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    assert_eq!(numbers(&store, A), [(5, 1.0)]);
    for direction in [Direction::Forward, Direction::Backward] {
        let kept = store.modified(A, at(0)..at(9), direction, 0, 9).unwrap();
        assert_eq!((kept.len(), &kept[0].sample), (1, &text(5)));
        assert_eq!(store.annotations(A, at(0)..at(9), direction, 0, 9).unwrap(), std::slice::from_ref(&note));
    }
    // Of what was edited after that, the order stays that of the edits.
    store.edit(A, EditKind::Update, &[good(5, 2.0)], &by("bob", 2)).unwrap();
    let kept = store.modified(A, at(0)..at(9), Direction::Forward, 0, 9).unwrap();
    assert_eq!(kept.iter().map(|m| m.at.ticks()).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(store.delete_modified(A, at(0)..at(9)).unwrap(), 2);
    assert_eq!(store.edits.tree.len(), 0);
}

#[test]
fn what_is_past_retention_takes_its_edits_and_annotations_with_it() {
    check(|store| {
        let note =
            |ticks| Annotation { at: at(ticks), message: "a".into(), user: "ann".into(), time: at(1), is_lost: false };
        for series in [A, B] {
            // Of more records than go in one step.
            let values: Vec<Sample> = (-10..5000).map(|i| good(i, 1.0)).collect();
            store.edit(series, EditKind::Insert, &values, &by("ann", 1)).unwrap();
            store.edit(series, EditKind::Replace, &[good(4899, 2.0), good(4900, 2.0)], &by("ann", 2)).unwrap();
            store.annotate(series, AnnotationEdit::Insert, &[note(-7), note(4899), note(4900), note(4901)]).unwrap();
        }
        store.expire(at(i64::MIN)).unwrap();
        let all = at(i64::MIN)..Timestamp::MAX;
        let forward = Direction::Forward;
        assert_eq!(store.modified(A, all.clone(), forward, 0, usize::MAX).unwrap().len(), 5012);
        store.expire(at(4900)).unwrap();
        for series in [A, B] {
            let modified = store.modified(series, all.clone(), forward, 0, usize::MAX).unwrap();
            let ticks = modified.iter().map(|record| record.sample.source_timestamp.ticks());
            assert!(ticks.eq([4900].into_iter().chain(4900..5000)), "{modified:?}");
            let annotations = store.annotations(series, all.clone(), forward, 0, usize::MAX).unwrap();
            assert_eq!(annotations, [note(4900), note(4901)]);
        }
        store.expire(Timestamp::MAX).unwrap();
        assert_eq!(store.modified(B, all.clone(), forward, 0, usize::MAX).unwrap(), []);
        assert_eq!(store.annotations(B, all, forward, 0, usize::MAX).unwrap(), []);
    });
}

#[test]
fn retention_reaches_series_that_are_not_configured_any_more_and_long_records() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        let long = |ticks| Sample { value: Value::String("x".repeat(14_000).into()), ..good(ticks, 0.0) };
        store.edit(A, EditKind::Insert, &[long(1), long(2)], &by("ann", 1)).unwrap();
        store.edit(B, EditKind::Insert, &[long(1), long(2)], &by("ann", 1)).unwrap();
    }
    let store = SledStore::open(folder.path(), &["Heater1.Power".to_owned()], small()).unwrap();
    // No key of ours; it keeps nothing from going.
    store.edits.tree.insert([0, 0, 1], b"").unwrap();
    store.expire(at(2)).unwrap();
    let parts = store.edits.tree.len();
    assert_eq!(parts, 2 * 3 + 1, "three parts of one record of each");
    assert_eq!(store.modified(A, at(0)..at(9), Direction::Forward, 0, 9).unwrap().len(), 1);
}

#[test]
fn below_the_free_space_floor_nothing_is_edited() {
    let folder = tempfile::tempdir().unwrap();
    let options = SledOptions { free_space_floor: Some(u64::MAX), ..small() };
    let store = SledStore::open(folder.path(), &names(), options).unwrap();
    assert!(store.edit(A, EditKind::Insert, &[good(5, 1.0)], &by("ann", 1)).is_err());
    assert_eq!(numbers(&store, A), []);
}
