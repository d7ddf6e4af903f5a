//! What damage costs: its own samples, said to be lost, and nothing else; and that it is found.

use sled::IVec;

use super::{
    Direction, HistoryStore,
    blocks::Found,
    log_trees,
    sled_store::{SledOptions, SledStore},
    verify::Place,
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

fn open(folder: &std::path::Path) -> SledStore {
    let options = SledOptions { head_samples_max: 64, free_space_floor: Some(0), ..SledOptions::default() };
    SledStore::open(folder, &names(), options).unwrap()
}

fn write(store: &SledStore, series: SeriesId, ticks: std::ops::Range<i64>) {
    let samples: Vec<_> = ticks.map(|at| (series, Sample::good(Timestamp::from_ticks(at), at as f64 * 0.5))).collect();
    store.append(&samples).unwrap();
    store.flush().unwrap();
}

fn all(store: &SledStore, series: SeriesId) -> Vec<Sample> {
    let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
    store.read(series, all, Direction::Forward, usize::MAX).unwrap()
}

/// A block: where it is and what it is.
type Stored = (Found, IVec);

/// The series' blocks.
fn blocks_of(store: &SledStore, series: SeriesId) -> Vec<Stored> {
    let found = store.blocks.starting_in(store.ids[series.index()], i64::MIN, i64::MAX).map(|found| found.unwrap());
    found.map(|found| (found.clone(), store.blocks.bytes(&found).unwrap().unwrap())).collect()
}

/// The key of a block's only slot.
fn slot(found: &Found) -> [u8; 4] {
    let place = found.place.unwrap();
    assert_eq!(place.parts, 1);
    place.slot.to_be_bytes()
}

fn flip(store: &SledStore, (found, bytes): &Stored, at: usize) {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= 0x10;
    store.blocks.slots.tree.insert(slot(found), damaged).unwrap();
}

/// So that neither its own header nor the copy of it can be read.
fn flip_both_headers(store: &SledStore, block: &Stored, at: usize) {
    flip(store, block, at);
    let mut entry = store.blocks.headers.get(&block.0.key).unwrap().unwrap().to_vec();
    entry[at] ^= 0x10;
    store.blocks.headers.insert(&block.0.key, entry).unwrap();
}

fn is_lost(sample: &Sample) -> bool {
    sample.status == StatusCode::BadDataLost && sample.value.is_null()
}

/// A block in the middle, its samples' first and last ticks, and what is stored in all.
fn with_blocks(folder: &std::path::Path) -> (SledStore, Stored, i64, i64) {
    let store = open(folder);
    write(&store, A, 0..3000);
    write(&store, B, 0..3000);
    let blocks = blocks_of(&store, A);
    assert!(blocks.len() >= 3, "{} blocks", blocks.len());
    let middle = blocks.len() / 2;
    let (first, next) = (blocks[middle].0.first(), blocks[middle + 1].0.first());
    let block = blocks[middle].clone();
    (store, block, first, next - 1)
}

#[test]
fn a_damaged_block_costs_its_own_samples_and_they_read_back_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (store, block, first, last) = with_blocks(folder.path());
    let whole = all(&store, A);
    // Its own header, which has a copy, and anywhere in the columns.
    for at in (0..block.1.len()).step_by(5).chain([block.1.len() - 1]) {
        flip(&store, &block, at);
        let samples = all(&store, A);
        let (lost, kept): (Vec<&Sample>, Vec<&Sample>) = samples.iter().partition(|sample| is_lost(sample));
        let inside = |sample: &&Sample| (first..=last).contains(&sample.source_timestamp.ticks());
        assert!(lost.iter().all(inside), "byte {at}");
        let ticks: Vec<i64> = lost.iter().map(|sample| sample.source_timestamp.ticks()).collect();
        assert_eq!(ticks, (first..=last).collect::<Vec<_>>(), "byte {at}: each of them, never a gap");
        let inner = Timestamp::from_ticks(first + 3)..Timestamp::from_ticks(first + 7);
        let read = store.read(A, inner, Direction::Forward, 3).unwrap();
        assert!(read.len() == 3 && read.iter().all(is_lost), "byte {at}: {read:?}");
        let expected: Vec<&Sample> = whole.iter().filter(|sample| !inside(sample)).collect();
        assert_eq!(kept, expected, "byte {at}");
        let backward = store.read(A, Timestamp::from_ticks(0)..Timestamp::MAX, Direction::Backward, usize::MAX);
        assert!(backward.unwrap().iter().rev().eq(&samples), "byte {at}");
        assert_eq!(all(&store, B).len(), 3000);
    }
    store.blocks.slots.tree.insert(slot(&block.0), &block.1).unwrap();
    assert_eq!(all(&store, A), whole);
}

/// Its header and the copy too: then it is not known when it ends, but it takes no other block's samples with it.
#[test]
fn damage_anywhere_in_a_block_is_said_and_spares_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let (store, block, first, last) = with_blocks(folder.path());
    let whole = all(&store, A);
    let entry = store.blocks.headers.get(&block.0.key).unwrap().unwrap();
    for at in 0..super::block::HEADER_BYTES {
        store.blocks.headers.insert(&block.0.key, &entry).unwrap();
        flip_both_headers(&store, &block, at);
        let samples = all(&store, A);
        assert!(samples.is_sorted_by(|a, b| a.source_timestamp < b.source_timestamp), "byte {at}");
        let at_first = samples.iter().find(|sample| sample.source_timestamp.ticks() == first);
        assert!(at_first.is_some_and(is_lost), "byte {at}: {at_first:?}");
        let others = |samples: &[Sample]| -> Vec<Sample> {
            let outside = |sample: &&Sample| !(first..=last).contains(&sample.source_timestamp.ticks());
            samples.iter().filter(outside).cloned().collect()
        };
        assert_eq!(others(&samples), others(&whole), "byte {at}");
    }
}

#[test]
fn what_is_written_over_a_damaged_block_stays_and_the_damaged_bytes_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (store, block, first, last) = with_blocks(folder.path());
    flip(&store, &block, block.1.len() - 1);
    // Late samples in the damaged span, enough to be sealed.
    write(&store, A, first + 1..last);
    write(&store, A, 3000..3400);
    let samples = all(&store, A);
    assert_eq!(samples.iter().filter(|sample| is_lost(sample)).count(), 2, "the span's ends");
    assert_eq!(samples.len(), 3400);
    drop(store);
    let report = SledStore::verify(folder.path(), &mut |_| {}).unwrap();
    assert_eq!((report.damaged, report.set_aside), (0, 1), "{report:?}");
    let aside = &report.set_aside_blocks[0];
    assert_eq!(aside.place, Place::Block(Some("Heater1.Temperature".into())));
    assert_eq!(aside.times, (Some(Timestamp::from_ticks(first)), Some(Timestamp::from_ticks(last))));
    assert!(aside.what.contains("checksum"), "{aside:?}");
}

#[test]
fn verify_says_which_series_and_when() {
    let folder = tempfile::tempdir().unwrap();
    let (store, block, first, last) = with_blocks(folder.path());
    let count = blocks_of(&store, A).len() + blocks_of(&store, B).len();
    drop(store);
    let whole = SledStore::verify(folder.path(), &mut |_| {}).unwrap();
    assert!(whole.is_whole(), "{whole:?}");
    assert_eq!((whole.series, whole.blocks), (2, count as u64));
    let store = open(folder.path());
    // Replaying may have written it again.
    let block = blocks_of(&store, A).into_iter().find(|(found, _)| found.key == block.0.key).unwrap();
    flip(&store, &block, block.1.len() - 1);
    store.flush().unwrap();
    drop(store);
    let mut seen = 0;
    let report = SledStore::verify(folder.path(), &mut |progress| seen = progress.blocks + progress.records).unwrap();
    assert_eq!(seen, report.blocks + report.records);
    assert_eq!((report.damaged, report.damages.len()), (1, 1));
    let damage = &report.damages[0];
    assert_eq!(damage.place, Place::Block(Some("Heater1.Temperature".into())));
    assert_eq!(damage.times, (Some(Timestamp::from_ticks(first)), Some(Timestamp::from_ticks(last))));
    assert_eq!(SledStore::verify(folder.path(), &mut |_| {}).unwrap(), report, "verifying changes nothing");
}

#[test]
fn a_damaged_log_record_costs_what_it_holds_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for at in 0..10 {
        write(&store, B, at * 10..at * 10 + 1);
    }
    let records: Vec<_> = log_trees::iter(&store.log().records.snapshot()).map(|pair| pair.unwrap()).collect();
    assert_eq!(records.len(), 10);
    let mut damaged = records[4].1.to_vec();
    damaged[8] ^= 1;
    store.log().records.snapshot()[0].insert(&records[4].0, damaged).unwrap();
    drop(store);
    let report = SledStore::verify(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(report.damaged, 1);
    assert_eq!(report.damages[0].place, Place::LogRecord(4));
    let at = |ticks| Some(Timestamp::from_ticks(ticks));
    assert_eq!(report.damages[0].times, (at(30), at(50)));
    let store = open(folder.path());
    let ticks: Vec<i64> = all(&store, B).iter().map(|sample| sample.source_timestamp.ticks()).collect();
    assert_eq!(ticks, [0, 10, 20, 30, 50, 60, 70, 80, 90]);
}

/// A long text stands in several records: without one of them nothing is made up of the others.
#[test]
fn a_damaged_part_of_a_long_value_costs_that_value_alone() {
    for part in 0..4 {
        for byte in [1, 9] {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path());
            write(&store, B, 0..1);
            let long = |ticks| Sample {
                value: Value::String("\u{1}".repeat(50_000).into()),
                ..Sample::good(Timestamp::from_ticks(ticks), 0.0)
            };
            store.append(&[(B, long(1))]).unwrap();
            store.append(&[(B, long(2))]).unwrap();
            write(&store, B, 3..4);
            let records: Vec<_> = log_trees::iter(&store.log().records.snapshot()).map(|pair| pair.unwrap()).collect();
            let mut damaged = records[1 + part].1.to_vec();
            damaged[byte] ^= 0x40;
            store.log().records.snapshot()[0].insert(&records[1 + part].0, damaged).unwrap();
            store.flush().unwrap();
            drop(store);
            let samples = all(&open(folder.path()), B);
            let ticks: Vec<i64> = samples.iter().map(|sample| sample.source_timestamp.ticks()).collect();
            assert_eq!(ticks, [0, 2, 3], "part {part}, byte {byte}");
            assert_eq!(samples[1], long(2));
        }
    }
}

/// A place that has nothing in it, or no place at all: as if the block were damaged.
#[test]
fn a_block_that_is_not_where_it_should_be_is_lost_and_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let (store, block, first, last) = with_blocks(folder.path());
    store.blocks.slots.tree.insert(slot(&block.0), &[]).unwrap();
    let lost: Vec<Sample> = all(&store, A).into_iter().filter(is_lost).collect();
    assert_eq!(lost.len() as i64, last - first + 1);
    store.flush().unwrap();
    drop(store);
    let report = SledStore::verify(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(report.damaged, 1, "{report:?}");
    let store = open(folder.path());
    store.blocks.headers.insert(&block.0.key, b"x").unwrap();
    let lost: Vec<Sample> = all(&store, A).into_iter().filter(is_lost).collect();
    assert_eq!(lost.iter().map(|sample| sample.source_timestamp.ticks()).collect::<Vec<_>>(), [first]);
}

#[test]
fn verify_finds_a_damaged_copy_of_a_header() {
    let folder = tempfile::tempdir().unwrap();
    let (store, block, ..) = with_blocks(folder.path());
    let whole = all(&store, A);
    let mut entry = store.blocks.headers.get(&block.0.key).unwrap().unwrap().to_vec();
    entry[50] ^= 1;
    store.blocks.headers.insert(&block.0.key, entry).unwrap();
    assert_eq!(all(&store, A), whole, "the block has it too");
    store.flush().unwrap();
    drop(store);
    let report = SledStore::verify(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(report.damaged, 1);
    assert!(report.damages[0].what.contains("header"), "{report:?}");
}
