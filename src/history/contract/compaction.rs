//! Small blocks become large ones, old ones go: reads see no difference.

use super::*;
use crate::{
    history::{Compacted, block},
    sample::StatusCode,
};

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

/// Nobody waits for a look at all blocks of a series, which at the start is one at years of history.
#[test]
fn a_look_at_many_blocks_comes_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    let block = |first: i64, samples: i64| {
        let samples: Vec<Sample> = (first..first + samples).map(|i| good(i, 0.0)).collect();
        store.blocks.replace(store.ids[0], &[], &samples, 0).unwrap();
    };
    (0..2000).for_each(|i| block(i * 32, 32));
    (2000..2004).for_each(|i| block(i * 32, 3));
    block(2004 * 32, 32);
    let first = store.compact(1).unwrap();
    assert!(first.is_more && first.blocks == 0, "{first:?}");
    assert_eq!(compact_all(&store), Compacted { blocks: 4, made: 1, samples: 12, is_more: false });
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

#[test]
fn a_summary_reads_no_block_that_is_whole_in_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &names(), small()).unwrap();
    append(&store, A, (0..304).map(|i| good(i, i as f64)));
    append(&store, B, (0..50).map(|i| Sample::bad(at(i), StatusCode::BadNoData)));
    let summaries = || [A, B].map(|series| store.summary(series, at(7)..at(271)).unwrap());
    let expected = summaries();
    assert_eq!((expected[0].good.sum, expected[1].bad), ((7..271).sum::<i64>() as f64, 43));
    for found in store.blocks.starting_in(store.ids[0], 8, 200) {
        store.blocks.slots.free(found.unwrap().place.unwrap()).unwrap();
    }
    assert_eq!(summaries(), expected);
    assert!(all(&store, A).iter().filter(|sample| sample.status == StatusCode::BadDataLost).count() > 150);
}
