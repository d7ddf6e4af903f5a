//! What every [`HistoryStore`] promises, run against each; and what the one on sled does besides.

mod compaction;
mod events;
mod interleaving;
mod opening;
mod reads;
mod values;

use super::{
    Direction::{self, Forward},
    HistoryStore, clickhouse_server,
    clickhouse_store::{ClickHouseOptions, ClickHouseStore},
    memory_store::MemoryStore,
    sled_store::{SledOptions, SledStore},
};
use crate::{
    sample::{Sample, SeriesId},
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

/// A new one, on the test process' own server.
pub(super) fn clickhouse(names: &[String]) -> Option<ClickHouseStore> {
    let server = clickhouse_server::shared()?;
    let options = ClickHouseOptions {
        urls: vec![server.url()],
        database: clickhouse_server::database(),
        user: None,
        password: None,
        cluster: None,
        quorum: None,
        renames: Vec::new(),
    };
    Some(ClickHouseStore::new(options, names).unwrap())
}

fn check(promise: impl Fn(&dyn HistoryStore)) {
    promise(&MemoryStore::new(3, usize::MAX));
    if let Some(store) = clickhouse(&names()) {
        promise(&store);
    }
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
fn series_that_come_later_are_as_good_as_those_from_the_start() {
    let later = vec!["Press1.Force".to_owned(), "Press1.Stroke".to_owned()];
    check(|store| {
        append(store, A, [good(1, 1.0)]);
        assert!(store.append(&[(SeriesId(4), good(1, 0.0))]).is_err(), "not there yet");
        store.add_series(&later).unwrap();
        append(store, SeriesId(4), (0..100).map(|i| good(i, 4.0)));
        append(store, SeriesId(3), [good(7, 3.0)]);
        store.flush().unwrap();
        assert_eq!(store.extent(SeriesId(4)).unwrap(), Some((at(0), at(99))));
        assert_eq!(store.read(SeriesId(3), at(0)..at(9), Forward, 9).unwrap(), [good(7, 3.0)]);
        assert_eq!(store.read(A, at(0)..at(9), Forward, 9).unwrap(), [good(1, 1.0)]);
    });
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SledStore::open(folder.path(), &names(), small()).unwrap();
        store.add_series(&later).unwrap();
        assert!(store.add_series(&names()[..1]).is_err(), "one name, two heads");
        append(&store, SeriesId(4), (0..100).map(|i| good(i, 4.0)));
        store.flush().unwrap();
    }
    let names = [later[1].clone()];
    let store = SledStore::open(folder.path(), &names, small()).unwrap();
    assert_eq!(store.read(A, at(0)..at(1000), Forward, 1000).unwrap().len(), 100, "its name knows it");
}
