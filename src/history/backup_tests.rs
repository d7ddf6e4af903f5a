//! What a backup promises: the history as it was at one instant, whatever happened while it was made.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use super::{
    Direction, HistoryError, HistoryStore,
    sled_store::{SledOptions, SledStore},
};
use crate::{
    sample::{Sample, SeriesId},
    time::Timestamp,
};

const SERIES: u32 = 70; // more than are marked at once

fn names() -> Vec<String> {
    (0..SERIES).map(|series| format!("Device{series}.Value")).collect()
}

fn open(folder: &Path) -> SledStore {
    let options = SledOptions {
        head_samples_max: 8,
        head_bytes_max: 40_000,
        log_bytes_max: 20_000,
        flushes_per_trim: 2,
        free_space_floor: Some(0),
        ..SledOptions::default()
    };
    SledStore::open(folder, &names(), options).unwrap()
}

type Model = Vec<BTreeMap<i64, Sample>>;

fn all(store: &SledStore) -> Model {
    let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
    (0..SERIES)
        .map(|series| {
            let samples = store.read(SeriesId(series), all.clone(), Direction::Forward, usize::MAX).unwrap();
            samples.into_iter().map(|sample| (sample.source_timestamp.ticks(), sample)).collect()
        })
        .collect()
}

/// Live samples, late ones into old blocks, others in their place, a removal: in the store and in the model.
fn live_on(store: &SledStore, model: &mut Model, round: i64) {
    let at = Timestamp::from_ticks;
    let now = 10_000 + round * 10;
    let mut batch = Vec::new();
    for series in 0..SERIES {
        let value = |k: i64| (round * 1000 + k) as f64;
        batch.extend((0..5).map(|k| (SeriesId(series), Sample::good(at(now + k), value(k)))));
        // Late: between the old samples, which stand at even ticks; and one in the place of an old one.
        let late = (round * 37 + i64::from(series) * 11) % 600;
        batch.push((SeriesId(series), Sample::good(at(late * 2 + 1), value(8))));
        batch.push((SeriesId(series), Sample::good(at(late * 2), value(9))));
    }
    store.append(&batch).unwrap();
    for (series, sample) in batch {
        model[series.index()].insert(sample.source_timestamp.ticks(), sample);
    }
    let series = u32::try_from(round).unwrap() * 7 % SERIES;
    let start = round * 13 % 1000;
    store.remove(SeriesId(series), at(start)..at(start + 20)).unwrap();
    model[series as usize].retain(|ticks, _| !(start..start + 20).contains(ticks));
    store.flush().unwrap();
}

fn fill(store: &SledStore) -> Model {
    for chunk in 0..10 {
        for series in 0..SERIES {
            let ticks = (chunk * 60..(chunk + 1) * 60).map(|k| k * 2);
            let samples: Vec<_> =
                ticks.map(|t| (SeriesId(series), Sample::good(Timestamp::from_ticks(t), t as f64))).collect();
            store.append(&samples).unwrap();
        }
        store.flush().unwrap();
    }
    all(store)
}

fn go_on(_: super::BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_backup_is_the_history_of_one_instant_though_it_goes_on_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("history"));
    let mut model = fill(&store);
    let (mut instants, mut round) = (vec![model.clone()], 0);
    let file = folder.path().join("backup");
    store
        .backup(&file, &mut |_| {
            live_on(&store, &mut model, round);
            instants.push(model.clone());
            round += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(round > 10, "the history went on {round} times");
    assert!(!store.copying.is_busy());
    assert!(all(&store) == model, "the store itself is as it should be");
    let copy = folder.path().join("copy");
    let (report, moved) = SledStore::restore(&file, &copy, false, &mut go_on).unwrap();
    assert!(report.is_whole() && moved.is_none(), "{report:?}");
    let restored = all(&open(&copy));
    let instant = instants.iter().position(|instant| *instant == restored);
    assert!(instant.is_some_and(|instant| instant > 0), "of which instant of {}? {instant:?}", instants.len());
    // The store goes on after it, and its log is cut again.
    (round..round + 20).for_each(|round| live_on(&store, &mut model, round));
    assert!(all(&store) == model);
    assert!(store.log().kept_bytes < 100_000, "{}", store.log().kept_bytes);
}

#[test]
fn a_backup_holds_series_that_are_not_configured_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let model = fill(&open(&history));
    let few = |folder: &Path| SledStore::open(folder, &names()[3..5], SledOptions::default()).unwrap();
    let file = folder.path().join("backup");
    few(&history).backup(&file, &mut go_on).unwrap();
    let copy = folder.path().join("copy");
    SledStore::restore(&file, &copy, false, &mut go_on).unwrap();
    assert!(all(&open(&copy)) == model);
}

#[test]
fn a_stopped_backup_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("history"));
    fill(&store);
    let file = folder.path().join("backup");
    let mut calls = 0;
    let stopped = store.backup(&file, &mut |_| {
        calls += 1;
        if calls == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(HistoryError::Backup(_))), "{stopped:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["history"]);
    store.backup(&file, &mut go_on).unwrap();
    let again = store.backup(&file, &mut go_on);
    assert!(matches!(again, Err(HistoryError::Backup(_))), "a file that is there is not written over: {again:?}");
}

#[test]
fn a_damaged_backup_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let store = open(&history);
    let model = fill(&store);
    let file = folder.path().join("backup");
    store.backup(&file, &mut go_on).unwrap();
    drop(store);
    let whole = std::fs::read(&file).unwrap();
    let damaged = folder.path().join("damaged");
    let (step, last) = ((whole.len() / 12).max(1), whole.len() - 1);
    for at in (0..20).chain((0..whole.len()).step_by(step)).chain([last]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        for bytes in [&bytes[..], &whole[..at]] {
            std::fs::write(&damaged, bytes).unwrap();
            let result = SledStore::restore(&damaged, &history, true, &mut go_on);
            assert!(matches!(result, Err(HistoryError::Restore(_))), "byte {at}: {result:?}");
        }
    }
    assert!(all(&open(&history)) == model);
}

#[test]
fn a_history_that_is_there_is_replaced_only_when_told_and_then_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let store = open(&history);
    let before = fill(&store);
    let file = folder.path().join("backup");
    store.backup(&file, &mut go_on).unwrap();
    let mut after = before.clone();
    live_on(&store, &mut after, 1);
    let in_use = SledStore::restore(&file, &history, true, &mut go_on);
    assert!(matches!(in_use, Err(HistoryError::InUse { .. })), "{in_use:?}");
    drop(store);
    let refused = SledStore::restore(&file, &history, false, &mut go_on);
    assert!(matches!(refused, Err(HistoryError::Restore(_))), "{refused:?}");
    let (_, moved) = SledStore::restore(&file, &history, true, &mut go_on).unwrap();
    assert!(all(&open(&history)) == before);
    assert!(all(&open(&moved.unwrap())) == after);
}
