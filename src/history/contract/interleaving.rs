//! Whatever is done in whatever order, a store reads like a map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    history::{Direction::Backward, Summary},
    sample::{StatusCode, Value},
};

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
