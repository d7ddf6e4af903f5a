//! The store alone: 1,000 series × 2,000 samples of a noisy sensor at 1 Hz, a flush every 100,000 samples.

use std::{error::Error, time::Instant};

use serde::Serialize;

use crate::{
    history::{
        Direction, HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId},
    time::Timestamp,
};

const SERIES: u32 = 1_000;
const SAMPLES: u32 = 2_000;
const BATCH: usize = 10_000;
const FLUSH: usize = 100_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct HistoryFigures {
    /// Samples appended and made durable per second.
    pub ingest_per_s: f64,
    /// Samples read back per second.
    pub scan_per_s: f64,
    /// Of the whole folder.
    pub bytes_per_sample: f64,
}

/// A sensor: slow swing, noise, 0.01 resolution.
fn value(series: u32, k: u32) -> f64 {
    let noise = f64::from(series.wrapping_mul(40_503).wrapping_add(k.wrapping_mul(2_654_435_761)) >> 24) / 256.0;
    (100.0 * (50.0 + 10.0 * (f64::from(k) / 300.0).sin() + noise)).round() / 100.0
}

/// Runs in a folder of its own that is removed at the end.
pub(super) fn measure() -> Result<HistoryFigures, Box<dyn Error + Send + Sync>> {
    let folder = super::process::Scratch::new("history")?;
    let names: Vec<String> = (0..SERIES).map(|series| format!("Bench.V{series}")).collect();
    let store = SledStore::open(folder.path(), &names, SledOptions::default())?;
    let total = (SERIES * SAMPLES) as usize;
    let start = Timestamp::from_unix_s(1.7e9);
    let began = Instant::now();
    let mut batch = Vec::with_capacity(BATCH);
    let mut appended = 0;
    for k in 0..SAMPLES {
        for series in 0..SERIES {
            batch.push((SeriesId(series), Sample::good(start.plus_seconds(f64::from(k)), value(series, k))));
        }
        if batch.len() >= BATCH || k + 1 == SAMPLES {
            store.append(&batch)?;
            appended += batch.len();
            batch.clear();
            if appended % FLUSH == 0 {
                store.flush()?;
            }
        }
    }
    store.flush()?;
    let ingest_per_s = total as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut read = 0;
    for series in 0..SERIES {
        read += store.read(SeriesId(series), Timestamp::NULL..Timestamp::MAX, Direction::Forward, usize::MAX)?.len();
    }
    let scan_per_s = read as f64 / began.elapsed().as_secs_f64();
    if read != total {
        return Err(format!("{read} of {total} samples came back").into());
    }
    let bytes_per_sample = store.size_on_disk().unwrap_or(0) as f64 / total as f64;
    Ok(HistoryFigures { ingest_per_s, scan_per_s, bytes_per_sample })
}
