//! A peer: sled with an entry per sample, as one would begin.

use std::{fs::File, path::Path};

use sled::{Batch, Db};
use uatwin::{
    history::guards,
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

use super::historian::Historian;

/// As much of memory as ours takes.
const CACHE_BYTES: u64 = 64 << 20;

pub(crate) struct SledEntries {
    database: Db,
    folder: File,
}

impl SledEntries {
    pub(crate) fn open(folder: &Path) -> Self {
        let database = guards::open(&folder.join("entries"), CACHE_BYTES).expect("sled opens");
        Self { database, folder: File::open(folder).expect("the folder is there") }
    }
}

fn key(series: u32, at: Timestamp) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&series.to_be_bytes());
    key[4..].copy_from_slice(&(at.ticks() ^ i64::MIN).to_be_bytes());
    key
}

/// Type, status, server timestamp, value.
fn entry(sample: &Sample) -> [u8; 21] {
    let (tag, bits) = match &sample.value {
        Value::Double(x) => (1, x.to_bits()),
        Value::Boolean(x) => (2, u64::from(*x)),
        Value::UInt16(x) => (3, u64::from(*x)),
        Value::UInt32(x) => (4, u64::from(*x)),
        Value::Int32(x) => (5, u64::from(x.cast_unsigned())),
        other => unreachable!("no load has a {other:?}"),
    };
    let mut entry = [0; 21];
    entry[0] = tag;
    entry[1..5].copy_from_slice(&sample.status.bits().to_le_bytes());
    entry[5..13].copy_from_slice(&sample.server_timestamp.ticks().to_le_bytes());
    entry[13..].copy_from_slice(&bits.to_le_bytes());
    entry
}

fn sample(key: &[u8], entry: &[u8]) -> Option<Sample> {
    let bits = u64::from_le_bytes(entry.get(13..)?.try_into().ok()?);
    let value = match entry.first()? {
        1 => Value::Double(f64::from_bits(bits)),
        2 => Value::Boolean(bits != 0),
        3 => Value::UInt16(bits as u16),
        4 => Value::UInt32(bits as u32),
        _ => Value::Int32(bits as i32),
    };
    Some(Sample {
        source_timestamp: Timestamp::from_ticks(i64::from_be_bytes(key.get(4..)?.try_into().ok()?) ^ i64::MIN),
        server_timestamp: Timestamp::from_ticks(i64::from_le_bytes(entry.get(5..13)?.try_into().ok()?)),
        status: StatusCode::from(u32::from_le_bytes(entry.get(1..5)?.try_into().ok()?)),
        value,
    })
}

impl Historian for SledEntries {
    fn append(&mut self, samples: &[(SeriesId, Sample)]) {
        let mut batch = Batch::default();
        for (series, sample) in samples {
            batch.insert(&key(series.0, sample.source_timestamp), &entry(sample));
        }
        self.database.apply_batch(batch).expect("a batch is taken");
    }

    fn flush(&mut self) {
        self.database.flush().expect("it flushes");
        guards::sync(&self.folder).expect("it syncs");
    }

    fn read(&mut self, series: u32, from: Timestamp, limit: usize) -> usize {
        let range = key(series, from)..=key(series, Timestamp::from_ticks(i64::MAX));
        let found: Vec<Sample> = self
            .database
            .range(range)
            .take(limit)
            .map(|item| {
                let (key, entry) = item.expect("an entry");
                sample(&key, &entry).expect("the entry as it was written")
            })
            .collect();
        found.len()
    }
}
