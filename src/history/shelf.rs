//! Records of a series by instant, beside its blocks in the block database: modification records and annotations.
//!
//! ```text
//! key:   u32 series, u64 ticks with the sign bit flipped, u64 number, u16 part     (all big-endian)
//! ```
//! What stands under it is in `record.rs`.

use std::{
    collections::HashSet,
    marker::PhantomData,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use sled::{Batch, IVec, Tree};
use tracing::error;

use super::{
    Direction,
    blocks::Cause,
    log::PersistentId,
    record::{self, Record, RecordError},
};
use crate::time::Timestamp;

/// Damaged records that are remembered as logged; the log says when there are more.
const SAID_MAX: usize = 1000;

/// Where a record stands: instant and number.
pub(super) type Place = (Timestamp, u64);

/// A record that was found. Damage is its own: others are read all the same.
pub(super) type Found<T> = (Place, Result<T, RecordError>);

/// One tree of records.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    pub(super) tree: Tree,
    /// Keys of damaged records that the log has been told of: not again with every read.
    said: Mutex<HashSet<IVec>>,
    of: PhantomData<fn() -> T>,
}

pub(super) fn key(series: PersistentId, (at, number): Place, part: u16) -> [u8; 22] {
    let mut key = [0; 22];
    key[..4].copy_from_slice(&series.to_be_bytes());
    key[4..12].copy_from_slice(&(at.ticks() ^ i64::MIN).to_be_bytes());
    key[12..20].copy_from_slice(&number.to_be_bytes());
    key[20..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Place and part of a key.
pub(super) fn place(key: &[u8]) -> Option<(Place, u16)> {
    let ticks = i64::from_be_bytes(key.get(4..12)?.try_into().ok()?) ^ i64::MIN;
    let number = u64::from_be_bytes(key.get(12..20)?.try_into().ok()?);
    Some(((Timestamp::from_ticks(ticks), number), u16::from_be_bytes(key.get(20..)?.try_into().ok()?)))
}

impl<T: Record> Shelf<T> {
    pub(super) fn new(tree: Tree) -> Self {
        Self { tree, said: Mutex::default(), of: PhantomData }
    }

    /// Adds a record to a batch.
    pub(super) fn put(batch: &mut Batch, series: PersistentId, at: Place, record: &T) -> Result<(), Cause> {
        let parts = record::split(&record.write()).ok_or("a record is too long")?;
        for (part, bytes) in (0..).zip(parts) {
            batch.insert(&key(series, at, part), bytes);
        }
        Ok(())
    }

    /// At most `limit` records at instants of `times`, in order, without the first `skip`. In the place of a damaged one
    /// stands that it is lost, and the log is told once.
    pub(super) fn read(
        &self,
        series: PersistentId,
        times: Range<Timestamp>,
        direction: Direction,
        (skip, limit): (usize, usize),
    ) -> Result<Vec<T>, Cause> {
        let whole = |found: Result<Found<T>, Cause>| {
            let (at, record) = found?;
            Ok(record.unwrap_or_else(|damage| {
                self.say(&IVec::from(&key(series, at, 0)), &damage);
                T::lost(at.0)
            }))
        };
        self.records(series, times, direction).skip(skip).take(limit).map(whole).collect()
    }

    /// The records at instants of `times`, in order.
    pub(super) fn records(
        &self,
        series: PersistentId,
        times: Range<Timestamp>,
        direction: Direction,
    ) -> impl Iterator<Item = Result<Found<T>, Cause>> + '_ {
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
                    Some((at, 0)) => {
                        if let Some(record) = self.settled(series, at, head).transpose() {
                            return Some(record.map(|record| (at, record)));
                        } // else it has gone meanwhile
                    }
                    Some(_) => {} // comes with its part 0
                    None => self.say(&key, &RecordError::Key),
                }
            }
        })
    }

    /// A record whose first part was `head` a moment ago: only what stays the same is damage, not what changes meanwhile.
    fn settled(
        &self,
        series: PersistentId,
        at: Place,
        mut head: IVec,
    ) -> Result<Option<Result<T, RecordError>>, Cause> {
        loop {
            let record = self.record(series, at, &head)?;
            if record.is_ok() {
                return Ok(Some(record));
            }
            match self.tree.get(key(series, at, 0))? {
                Some(now) if now == head => return Ok(Some(record)),
                Some(now) => head = now,
                None => return Ok(None),
            }
        }
    }

    /// A record whose first part is `head`.
    pub(super) fn record(&self, series: PersistentId, at: Place, head: &[u8]) -> Result<Result<T, RecordError>, Cause> {
        let mut parts = 1..=u16::MAX;
        let next = || parts.next().map_or(Ok(None), |part| self.tree.get(key(series, at, part)));
        Ok(record::join(head, next)?.and_then(|body| T::read(at.0, &body)))
    }

    /// Tells the log of a damaged record, once.
    fn say(&self, key: &IVec, damage: &RecordError) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX || !said.insert(key.clone()) {
            return;
        }
        let at = place(key).map(|((at, _), _)| at.to_string());
        error!(what = T::WHAT, at, %damage, "a record of history is damaged; `history verify` says of which series");
        if said.len() == SAID_MAX {
            error!(what = T::WHAT, "so many records of history are damaged that no more are logged");
        }
    }

    /// Takes out what is recorded at instants of `times`, in steps of bounded size; returns how many records that were.
    pub(super) fn clear(&self, series: PersistentId, times: Range<Timestamp>) -> Result<u64, Cause> {
        const STEP: usize = 4096;
        let range = key(series, (times.start, 0), 0)..key(series, (times.end.max(times.start), 0), 0);
        let mut cleared = 0;
        loop {
            let (mut batch, mut taken) = (Batch::default(), 0);
            for key in self.tree.range(range.clone()).keys() {
                let key = key?;
                let is_first = !matches!(place(&key), Some((_, 1..)));
                if taken >= STEP && is_first {
                    break; // a record goes whole or not at all
                }
                cleared += u64::from(is_first);
                batch.remove(key);
                taken += 1;
            }
            if taken == 0 {
                return Ok(cleared);
            }
            self.tree.apply_batch(batch)?;
        }
    }

    /// Takes out what is recorded of instants before `before`, of all series, configured or not.
    pub(super) fn clear_before(&self, before: Timestamp) -> Result<(), Cause> {
        let mut from: Option<PersistentId> = Some(0);
        while let Some(first) = from {
            let mut keys = self.tree.range(first.to_be_bytes()..).keys();
            let series = keys.find_map(|key| key.map(|key| key.get(..4)?.try_into().ok()).transpose());
            let Some(series) = series.transpose()?.map(PersistentId::from_be_bytes) else { break };
            self.clear(series, Timestamp::from_ticks(i64::MIN)..before)?;
            from = series.checked_add(1);
        }
        Ok(())
    }

    /// Takes one record out.
    pub(super) fn remove(&self, batch: &mut Batch, series: PersistentId, at: Place) -> Result<(), Cause> {
        for key in self.tree.range(key(series, at, 0)..=key(series, at, u16::MAX)).keys() {
            batch.remove(key?);
        }
        Ok(())
    }
}
