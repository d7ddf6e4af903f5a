//! What every [`HistoryStore`] promises, run against each.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Compacted,
    Direction::{self, Backward, Forward},
    HistoryError, HistoryStore, Summary, block,
    memory_store::MemoryStore,
    sled_store::{SledOptions, SledStore},
};
use crate::{
    sample::{Array, Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

const A: SeriesId = SeriesId(0);
const B: SeriesId = SeriesId(1);

fn names() -> Vec<String> {
    vec!["Heater1.Temperature".into(), "Heater1.Power".into(), "Tank1.Level".into()]
}

/// Small sizes, so that few samples go through every stage of a store's life.
fn small() -> SledOptions {
    SledOptions {
        head_samples_max: 8,
        page_samples: 32,
        head_bytes_max: 4096,
        log_bytes_max: 2048,
        flushes_per_trim: 2,
        free_space_floor: Some(0),
        ..SledOptions::default()
    }
}

fn check(promise: impl Fn(&dyn HistoryStore)) {
    promise(&MemoryStore::new(3, usize::MAX));
    for options in [SledOptions::default(), small()] {
        let folder = tempfile::tempdir().unwrap();
        promise(&SledStore::open(folder.path(), &names(), options).unwrap());
    }
}

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn good(ticks: i64, value: f64) -> Sample {
    Sample::good(at(ticks), value)
}

fn append(store: &dyn HistoryStore, series: SeriesId, samples: impl IntoIterator<Item = Sample>) {
    let batch: Vec<_> = samples.into_iter().map(|sample| (series, sample)).collect();
    store.append(&batch).unwrap();
}

fn ticks_of(
    store: &dyn HistoryStore,
    series: SeriesId,
    start: i64,
    end: i64,
    direction: Direction,
    limit: usize,
) -> Vec<i64> {
    let samples = store.read(series, at(start)..at(end), direction, limit).unwrap();
    samples.iter().map(|sample| sample.source_timestamp.ticks()).collect()
}

fn all(store: &dyn HistoryStore, series: SeriesId) -> Vec<Sample> {
    store.read(series, at(i64::MIN)..Timestamp::MAX, Forward, usize::MAX).unwrap()
}

#[test]
fn reads_are_half_open_ordered_and_limited() {
    check(|store| {
        append(store, A, (0..40).map(|i| good(i * 10, i as f64)));
        append(store, B, [good(5, 1.0)]);
        assert_eq!(ticks_of(store, A, 100, 130, Forward, 99), [100, 110, 120]);
        assert_eq!(ticks_of(store, A, 101, 131, Forward, 99), [110, 120, 130]);
        assert_eq!(ticks_of(store, A, 100, 400, Forward, 2), [100, 110]);
        assert_eq!(ticks_of(store, A, 100, 400, Backward, 2), [390, 380]);
        assert_eq!(ticks_of(store, A, 0, 200, Backward, 3), [190, 180, 170]);
        assert_eq!(ticks_of(store, A, 200, 200, Forward, 3), [0; 0]);
        assert_eq!(ticks_of(store, A, 300, 200, Forward, 3), [0; 0]);
        assert_eq!(ticks_of(store, A, 0, 400, Forward, 0), [0; 0]);
        assert_eq!(ticks_of(store, B, 0, 400, Backward, 9), [5]);
    });
}

#[test]
fn the_later_written_sample_wins_at_an_equal_instant() {
    check(|store| {
        append(store, A, (0..30).map(|i| good(i, 1.0)));
        append(store, A, [good(3, 2.0), good(29, 2.0), good(29, 3.0)]);
        let samples = all(store, A);
        assert_eq!(samples.len(), 30);
        assert_eq!((&samples[3].value, &samples[29].value), (&Value::Double(2.0), &Value::Double(3.0)));
        assert_eq!(samples[4].value, Value::Double(1.0));
    });
}

#[test]
fn late_samples_are_read_in_their_place() {
    check(|store| {
        append(store, A, (0..50).map(|i| good(1000 + i, 0.0)));
        append(store, A, (0..50).map(|i| good(2000 + i, 0.0)));
        // Backfill between and before, while live samples go on.
        for i in 0..50 {
            append(store, A, [good(1500 + i, 1.0), good(3000 + i, 0.0), good(10 - i, 2.0)]);
        }
        let ticks = ticks_of(store, A, i64::MIN, i64::MAX, Forward, usize::MAX);
        let expected: Vec<i64> =
            (-39..=10).chain(1000..1050).chain(1500..1550).chain(2000..2050).chain(3000..3050).collect();
        assert_eq!(ticks, expected);
    });
}

#[test]
fn what_is_removed_is_gone_and_may_come_back() {
    check(|store| {
        append(store, A, (0..40).map(|i| good(i, 0.0)));
        store.remove(A, at(10)..at(20)).unwrap();
        assert_eq!(ticks_of(store, A, 5, 25, Forward, 99), [5, 6, 7, 8, 9, 20, 21, 22, 23, 24]);
        assert_eq!(ticks_of(store, A, 5, 25, Backward, 6), [24, 23, 22, 21, 20, 9]);
        append(store, A, [good(15, 7.0)]);
        store.flush().unwrap();
        append(store, A, (40..60).map(|i| good(i, 0.0)));
        assert_eq!(ticks_of(store, A, 5, 25, Forward, 7), [5, 6, 7, 8, 9, 15, 20]);
        store.remove(A, at(i64::MIN)..at(i64::MAX)).unwrap();
        assert_eq!(store.extent(A).unwrap(), None);
    });
}

#[test]
fn extent_is_from_the_oldest_to_the_newest() {
    check(|store| {
        assert_eq!(store.extent(A).unwrap(), None);
        append(store, A, (0..30).map(|i| good(100 + i, 0.0)));
        append(store, A, [good(7, 0.0)]);
        assert_eq!(store.extent(A).unwrap(), Some((at(7), at(129))));
        store.remove(A, at(0)..at(105)).unwrap();
        assert_eq!(store.extent(A).unwrap(), Some((at(105), at(129))));
    });
}

#[test]
fn an_unknown_series_is_refused_whole() {
    check(|store| {
        let result = store.append(&[(A, good(1, 1.0)), (SeriesId(3), good(1, 1.0))]);
        assert!(matches!(result, Err(HistoryError::UnknownSeries { series: SeriesId(3), count: 3 })), "{result:?}");
        assert_eq!(all(store, A), []);
    });
}

fn values() -> Vec<Value> {
    let text = "x".repeat(40_000);
    vec![
        Value::Null,
        Value::Boolean(true),
        Value::SByte(-128),
        Value::Byte(255),
        Value::Int16(i16::MIN),
        Value::UInt16(u16::MAX),
        Value::Int32(i32::MIN),
        Value::UInt32(u32::MAX),
        Value::Int64(i64::MIN),
        Value::UInt64(u64::MAX),
        Value::Float(f32::from_bits(0x7fc0_1234)),
        Value::Double(f64::from_bits(0xfff4_0000_dead_beef)),
        Value::String("grün".into()),
        // Longer than a log record.
        Value::String(text.into()),
        Value::DateTime(at(i64::MAX)),
        Value::ByteString([0, 1, 255].as_slice().into()),
        Value::LocalizedText(std::sync::Arc::new(("de".into(), "Füllstand".into()))),
        Value::StatusCode(StatusCode::from(0xffff_ffff)),
        Value::Array(std::sync::Arc::new(Array { element_type: 12, elements: [].into() })),
        Value::Array(std::sync::Arc::new(Array {
            element_type: 12,
            elements: [Value::String("".into()), Value::String("y".repeat(20_000).into()), Value::Null].into(),
        })),
    ]
}

/// NaN payloads included.
fn assert_same(a: &[Sample], b: &[Sample]) {
    assert_eq!(format!("{:?}", bits(a)), format!("{:?}", bits(b)));
}

/// Timestamps, status, value as bits, value where bits do not tell it.
type Bits<'a> = (i64, i64, u32, (super::columns::Tag, u64), Option<&'a Value>);

fn bits(samples: &[Sample]) -> Vec<Bits<'_>> {
    let whole = |value: &Value| super::columns::bits_of(value).0.width().is_none();
    samples
        .iter()
        .map(|sample| {
            let value = Some(&sample.value).filter(|value| whole(value));
            let (source, server) = (sample.source_timestamp.ticks(), sample.server_timestamp.ticks());
            (source, server, sample.status.bits(), super::columns::bits_of(&sample.value), value)
        })
        .collect()
}

#[test]
fn every_type_every_status_bit_and_both_times_come_back_as_they_were() {
    let status = [0, 0xffff_ffff, 0x8031_0000, 0x4000_0480, 0x0000_0c00];
    for (kind, value) in values().into_iter().enumerate() {
        let samples: Vec<Sample> = (0..20)
            .map(|i| Sample {
                source_timestamp: at(i * 1_000_003 + kind as i64),
                server_timestamp: at([0, i * 1_000_003 + 7, i64::MIN, i64::MAX][(i % 4) as usize]),
                status: StatusCode::from(status[(i % 5) as usize]),
                value: if i % 3 == 2 { Value::Null } else { value.clone() },
            })
            .collect();
        check(|store| {
            append(store, A, samples.clone());
            assert_same(&all(store, A), &samples);
        });
    }
}

#[test]
fn a_series_may_change_its_type() {
    check(|store| {
        let samples: Vec<Sample> =
            values().into_iter().enumerate().map(|(i, value)| Sample { value, ..good(i as i64, 0.0) }).collect();
        append(store, A, samples.clone());
        append(store, B, (0..30).map(|i| good(i, 0.5)));
        append(store, B, (30..60).map(|i| Sample { value: Value::Int16(3), ..good(i, 0.0) }));
        assert_same(&all(store, A), &samples);
        assert_eq!(all(store, B)[29].value, Value::Double(0.5));
        assert_eq!(all(store, B)[30].value, Value::Int16(3));
    });
}

#[test]
fn a_second_store_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = SledStore::open(folder.path(), &names(), small()).unwrap();
    let second = SledStore::open(folder.path(), &names(), small());
    assert!(matches!(second, Err(HistoryError::InUse { .. })), "{second:?}");
    drop(first);
    SledStore::open(folder.path(), &names(), small()).unwrap();
}

#[test]
fn series_are_known_by_name_whatever_their_order() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        append(&store, A, (0..30).map(|i| good(i, 1.0)));
        append(&store, B, (0..5).map(|i| good(i, 2.0)));
        store.flush().unwrap();
    }
    {
        // Temperature is not configured for a while; what the log has of it must not go.
        let store = SledStore::open(folder.path(), &["New".into(), "Heater1.Power".into()], small()).unwrap();
        assert_eq!(all(&store, A), []);
        assert_eq!(all(&store, B).len(), 5);
        for i in 0..40 {
            append(&store, A, [good(i, 3.0)]);
            store.flush().unwrap();
        }
    }
    let store =
        SledStore::open(folder.path(), &["Heater1.Power".into(), "Heater1.Temperature".into()], small()).unwrap();
    assert_eq!(all(&store, A), (0..5).map(|i| good(i, 2.0)).collect::<Vec<_>>());
    assert_eq!(all(&store, B), (0..30).map(|i| good(i, 1.0)).collect::<Vec<_>>());
}

#[test]
fn below_the_floor_nothing_is_taken_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        append(&store, A, [good(1, 1.0)]);
        store.flush().unwrap();
    }
    let options = SledOptions { free_space_floor: Some(u64::MAX), ..small() };
    let store = SledStore::open(folder.path(), &names(), options).unwrap();
    let result = store.append(&[(A, good(2, 2.0))]);
    assert!(matches!(result, Err(HistoryError::DiskFull { floor: u64::MAX, .. })), "{result:?}");
    assert_eq!(all(&store, A), [good(1, 1.0)]);
}

#[test]
fn an_interrupted_snapshot_does_not_lock_history() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledStore::open(folder.path(), &names(), small()).unwrap());
    for database in ["blk", "log"] {
        std::fs::write(folder.path().join(database).join("snap.0000000000001234.generating"), b"").unwrap();
    }
    SledStore::open(folder.path(), &names(), small()).unwrap();
}

#[test]
fn slow_series_do_not_pin_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    append(&store, B, [good(1, 1.0)]);
    for i in 0..2000 {
        append(&store, A, [good(i, 1.0)]);
        if i % 50 == 0 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    store.flush().unwrap();
    let kept = store.log().kept_bytes;
    assert!(kept <= 2 * small().log_bytes_max, "{kept} bytes of log kept");
    assert_eq!(all(&store, B), [good(1, 1.0)]);
}

#[test]
fn what_comes_after_a_reopen_with_nothing_left_in_the_log_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SledStore::open(folder.path(), &names(), small()).unwrap();
    let store = open();
    let mut next = 0;
    // Until everything is sealed and the log cut.
    while next < 8 || store.log().head_bytes > 0 {
        append(&store, A, [good(next, 0.0)]);
        next += 1;
    }
    (0..4).for_each(|_| store.flush().unwrap());
    drop(store);
    for _ in 0..3 {
        let store = open();
        append(&store, A, [good(next, 0.0)]);
        store.flush().unwrap();
        next += 1;
        drop(store);
        assert_eq!(all(&open(), A).len() as i64, next);
    }
}

/// Steps of compaction until nothing more is found.
fn compact_all(store: &dyn HistoryStore) -> Compacted {
    let mut all = Compacted::default();
    loop {
        let step = store.compact(50).unwrap();
        all.blocks += step.blocks;
        all.made += step.made;
        all.samples += step.samples;
        if !step.is_more {
            return all;
        }
    }
}

/// Samples per block, of all series.
fn blocks_of(store: &SledStore) -> Vec<usize> {
    let headers = store.blocks.headers.iter().values();
    headers.map(|entry| block::header(&entry.unwrap()).unwrap().count.into()).collect()
}

#[test]
fn small_blocks_become_large_ones() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SledStore::open(folder.path(), &names(), small()).unwrap();
    let store = open();
    append(&store, A, (0..300).map(|i| good(i, i as f64)));
    let expected = all(&store, A);
    let before = blocks_of(&store);
    let done = compact_all(&store);
    let after = blocks_of(&store);
    assert!(after.len() as u64 == before.len() as u64 - done.blocks + done.made, "{before:?} {after:?} {done:?}");
    // All but the last ones are at least half full.
    assert!(after[..after.len() - 4].iter().all(|&count| count >= 16), "{after:?}");
    assert_eq!(all(&store, A), expected);
    assert_eq!(compact_all(&store), Compacted::default());
    // What has come since a start is found without looking at everything, and what was before at the start.
    append(&store, A, (300..400).map(|i| good(i, i as f64)));
    assert!(compact_all(&store).blocks > 4);
    append(&store, A, (400..500).map(|i| good(i, i as f64)));
    store.flush().unwrap();
    drop(store);
    let store = open();
    assert!(compact_all(&store).blocks > 4);
    assert_eq!(all(&store, A).len(), 500);
}

/// A series that is slow, or one of many, is sealed a few samples at a time.
#[test]
fn crumbs_become_pages_before_there_is_a_whole_block() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = SledOptions { head_samples_max: 300, page_samples: 1024, ..small() };
    let options = SledOptions { head_bytes_max: 1 << 20, log_bytes_max: 1 << 20, ..sizes };
    let store = SledStore::open(folder.path(), &names(), options).unwrap();
    for i in 0..60 {
        append(&store, A, (i * 100..(i + 1) * 100).map(|i| good(i, i as f64)));
        store.compact(50).unwrap();
    }
    let after = blocks_of(&store);
    assert!(after.len() <= 10, "not 20 blocks of 300: {after:?}");
    assert_eq!(ticks_of(&store, A, 0, 9999, Forward, usize::MAX), (0..6000).collect::<Vec<_>>());
}

#[test]
fn a_damaged_block_stays_a_damaged_block() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    append(&store, A, (0..100).map(|i| good(i, i as f64)));
    let slots = &store.blocks.slots.tree;
    let (key, bytes) = slots.iter().filter(|item| !item.as_ref().unwrap().1.is_empty()).nth(3).unwrap().unwrap();
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    slots.insert(&key, bytes).unwrap();
    let before = all(&store, A);
    let lost = before.iter().filter(|sample| sample.status == StatusCode::BadDataLost).count();
    assert_eq!((lost, before.len()), (8, 100), "as many as there were");
    compact_all(&store);
    assert_eq!(all(&store, A), before);
}

#[test]
fn what_is_past_retention_goes_block_by_block() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    append(&store, A, (0..200).map(|i| good(i, 0.0)));
    append(&store, B, [good(3, 0.0)]);
    let size = blocks_of(&store).len();
    assert_eq!(store.expire(at(0)).unwrap(), 0);
    let gone = store.expire(at(100)).unwrap();
    assert!((90..=100).contains(&gone), "{gone} went");
    let left: Vec<i64> = (gone as i64..200).collect();
    assert_eq!(ticks_of(&store, A, i64::MIN, i64::MAX, Forward, usize::MAX), left);
    assert!(blocks_of(&store).len() < size);
    assert_eq!(store.summary(A, at(0)..at(300)).unwrap().count(), 200 - gone);
    // Of what no block holds yet nothing goes.
    assert_eq!(all(&store, B), [good(3, 0.0)]);
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u32, i64, u8)>),
    Remove(u32, i64, i64),
    Flush,
    Compact(usize),
    Expire(i64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((0..3_u32, 0..120_i64, 0..6_u8), 1..20).prop_map(Step::Append),
        4 => (0..3_u32, 0..100_i64, 1..30_i64).prop_map(|(series, start, len)| {
            Step::Append((0..len).map(|i| (series, start + i, 0)).collect())
        }),
        2 => (0..3_u32, 0..100_i64, 1..40_i64).prop_map(|(series, start, len)| Step::Remove(series, start, start + len)),
        2 => Just(Step::Flush),
        2 => (0..200_usize).prop_map(Step::Compact),
        1 => (0..100_i64).prop_map(Step::Expire),
        1 => Just(Step::Reopen),
    ]
}

fn sample(ticks: i64, kind: u8, nonce: usize) -> Sample {
    let plain = good(ticks, nonce as f64);
    match kind {
        0..=2 => plain,
        3 => Sample::bad(at(ticks), StatusCode::BadNoCommunication),
        4 => Sample { value: Value::Int32(nonce as i32), server_timestamp: at(nonce as i64), ..plain },
        _ => Sample { value: Value::String(format!("n{nonce}").into()), ..plain },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_reads_like_a_map(steps in prop::collection::vec(step(), 1..40), limit in 1..40_usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SledStore::open(folder.path(), &names(), small()).unwrap();
        let mut model: Vec<BTreeMap<i64, Sample>> = vec![BTreeMap::new(); 3];
        // What is before may be gone, and may be back after a start.
        let mut expired = i64::MIN;
        let mut nonce = 0;
        for step in steps {
            match step {
                Step::Append(samples) => {
                    let batch: Vec<_> = samples
                        .into_iter()
                        .map(|(series, ticks, kind)| {
                            nonce += 1;
                            (SeriesId(series), sample(ticks, kind, nonce))
                        })
                        .collect();
                    store.append(&batch).unwrap();
                    for (series, sample) in batch {
                        model[series.index()].insert(sample.source_timestamp.ticks(), sample);
                    }
                }
                Step::Remove(series, start, end) => {
                    store.remove(SeriesId(series), at(start)..at(end)).unwrap();
                    model[series as usize].retain(|ticks, _| !(start..end).contains(ticks));
                }
                Step::Flush => store.flush().unwrap(),
                Step::Compact(samples) => drop(store.compact(samples).unwrap()),
                Step::Expire(before) => {
                    store.expire(at(before)).unwrap();
                    expired = expired.max(before);
                }
                Step::Reopen => {
                    store.flush().unwrap();
                    drop(store);
                    store = SledStore::open(folder.path(), &names(), small()).unwrap();
                }
            }
            for (series, model) in model.iter().enumerate() {
                let series = SeriesId(series as u32);
                let samples = all(&store, series);
                let (old, expected) = samples.split_at(samples.partition_point(|x| x.source_timestamp < at(expired)));
                prop_assert_eq!(expected, model.range(expired..).map(|(_, sample)| sample.clone()).collect::<Vec<_>>());
                prop_assert!(old.iter().all(|sample| model.get(&sample.source_timestamp.ticks()) == Some(sample)));
                let here: BTreeMap<i64, Sample> =
                    samples.into_iter().map(|sample| (sample.source_timestamp.ticks(), sample)).collect();
                let some = store.read(series, at(20)..at(90), Backward, limit).unwrap();
                let expected: Vec<&Sample> = here.range(20..90).rev().take(limit).map(|(_, sample)| sample).collect();
                prop_assert_eq!(some.iter().collect::<Vec<_>>(), expected);
                let some = store.read(series, at(20)..at(90), Forward, limit).unwrap();
                let expected: Vec<&Sample> = here.range(20..90).take(limit).map(|(_, sample)| sample).collect();
                prop_assert_eq!(some.iter().collect::<Vec<_>>(), expected);
                for (start, end) in [(i64::MIN, i64::MAX), (20, 90), (limit as i64, 60), (60, 60)] {
                    let mut expected = Summary::default();
                    here.iter().filter(|(ticks, _)| (start..end).contains(ticks)).for_each(|(_, x)| expected.add(x));
                    prop_assert_eq!(store.summary(series, at(start)..at(end)).unwrap(), expected);
                }
            }
        }
    }
}
