//! Records of a series by instant, beside its blocks in the block database: modification records and annotations.
//!
//! ```text
//! key:   u32 series, u64 ticks with the sign bit flipped, u64 number, u16 part     (all big-endian)
//! ```
//! What stands under it is in `record.rs`.

use std::ops::Range;

use sled::{Batch, Tree};

use super::{Direction, blocks::Cause, log::PersistentId, record};
use crate::time::Timestamp;

/// Where a record stands: instant and number.
pub(super) type Place = (Timestamp, u64);

/// One tree of records.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) tree: Tree,
}

fn key(series: PersistentId, (at, number): Place, part: u16) -> [u8; 22] {
    let mut key = [0; 22];
    key[..4].copy_from_slice(&series.to_be_bytes());
    key[4..12].copy_from_slice(&(at.ticks() ^ i64::MIN).to_be_bytes());
    key[12..20].copy_from_slice(&number.to_be_bytes());
    key[20..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Place and part of a key.
fn place(key: &[u8]) -> Option<(Place, u16)> {
    let ticks = i64::from_be_bytes(key.get(4..12)?.try_into().ok()?) ^ i64::MIN;
    let number = u64::from_be_bytes(key.get(12..20)?.try_into().ok()?);
    Some(((Timestamp::from_ticks(ticks), number), u16::from_be_bytes(key.get(20..)?.try_into().ok()?)))
}

impl Shelf {
    /// Adds a record to a batch.
    pub(super) fn put(batch: &mut Batch, series: PersistentId, at: Place, body: &[u8]) -> Result<(), Cause> {
        let parts = record::split(body).ok_or("a record is too long")?;
        for (part, bytes) in (0..).zip(parts) {
            batch.insert(&key(series, at, part), bytes);
        }
        Ok(())
    }

    /// The records at instants of `times`, with their places, in order. A damaged one is an error of its own.
    pub(super) fn records(
        &self,
        series: PersistentId,
        times: Range<Timestamp>,
        direction: Direction,
    ) -> impl Iterator<Item = Result<(Place, Vec<u8>), Cause>> + '_ {
        let range = key(series, (times.start, 0), 0)..key(series, (times.end.max(times.start), 0), 0);
        let mut found = self.tree.range(range);
        std::iter::from_fn(move || {
            loop {
                let item = match direction {
                    Direction::Forward => found.next()?,
                    Direction::Backward => found.next_back()?,
                };
                let (key, head) = match item {
                    Ok(item) => item,
                    Err(error) => return Some(Err(error.into())),
                };
                match place(&key) {
                    Some((at, 0)) => return Some(self.body(series, at, &head).map(|body| (at, body))),
                    Some(_) => {} // comes with its part 0
                    None => return Some(Err("a record's key is malformed".into())),
                }
            }
        })
    }

    fn body(&self, series: PersistentId, at: Place, head: &[u8]) -> Result<Vec<u8>, Cause> {
        let mut parts = 1..=u16::MAX;
        let next = || parts.next().map_or(Ok(None), |part| self.tree.get(key(series, at, part)));
        Ok(record::join(head, next)??)
    }

    /// Takes out what is recorded at instants of `times`; returns how many records that were.
    pub(super) fn clear(&self, series: PersistentId, times: Range<Timestamp>) -> Result<u64, Cause> {
        const ROUND: usize = 4096;
        let range = key(series, (times.start, 0), 0)..key(series, (times.end.max(times.start), 0), 0);
        let mut cleared = 0;
        loop {
            let mut batch = Batch::default();
            let keys = self.tree.range(range.clone()).keys().take(ROUND).collect::<sled::Result<Vec<_>>>()?;
            if keys.is_empty() {
                return Ok(cleared);
            }
            for key in keys {
                cleared += u64::from(key.ends_with(&[0, 0]));
                batch.remove(key);
            }
            self.tree.apply_batch(batch)?;
        }
    }

    /// Takes one record out.
    pub(super) fn remove(&self, batch: &mut Batch, series: PersistentId, at: Place) -> Result<(), Cause> {
        for key in self.tree.range(key(series, at, 0)..=key(series, at, u16::MAX)).keys() {
            batch.remove(key?);
        }
        Ok(())
    }
}
