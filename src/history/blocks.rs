//! The sealed blocks of all series in one sled tree, key = series BE | first ticks BE. Blocks of a series never
//! overlap: samples that belong between those of a block are merged into it when their head is sealed.

use std::ops::ControlFlow;

use sled::{Batch, IVec, Tree};
use tracing::error;

use super::{
    Direction,
    block::{self, BlockError},
    columns::Columns,
    head::{Head, merge},
    log::PersistentId,
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Samples per block. Of 128, 512, 1024, 4096 measured: from here on size and speed gain little.
pub(super) const BLOCK_SAMPLES: usize = 1024;
/// A block with fewer takes in what comes after it, so that slow series don't end in crumbs.
const SMALL: usize = 256;

/// The tree, and where blocks go that cannot be read when something must be merged into them.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) tree: Tree,
    pub(super) damaged: Tree,
}

/// Ticks with the sign flipped sort as bytes.
pub(super) fn key(id: PersistentId, ticks: i64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&id.to_be_bytes());
    key[4..].copy_from_slice(&(ticks.cast_unsigned() ^ 1 << 63).to_be_bytes());
    key
}

pub(super) fn first_ticks(key: &[u8]) -> i64 {
    let mut ticks = [0; 8];
    ticks.copy_from_slice(&key[4..12]);
    (u64::from_be_bytes(ticks) ^ 1 << 63).cast_signed()
}

/// A damaged block costs its own samples and no others; in their place stands that they are lost.
fn or_lost(key: &[u8], bytes: &[u8], samples: Result<Vec<Sample>, BlockError>) -> Vec<Sample> {
    samples.unwrap_or_else(|damage| {
        let first = first_ticks(key);
        error!(first = %Timestamp::from_ticks(first), %damage, "a block of history is damaged");
        let last = block::header(bytes).map_or(first, |header| header.last.ticks());
        let lost = |ticks| Sample::bad(Timestamp::from_ticks(ticks), StatusCode::BadDataLost);
        if last > first { vec![lost(first), lost(last)] } else { vec![lost(first)] }
    })
}

impl Blocks {
    /// The block that starts at `ticks` or is the last to start before.
    fn at_or_before(&self, id: PersistentId, ticks: i64) -> sled::Result<Option<(IVec, IVec)>> {
        let found = self.tree.range(key(id, i64::MIN)..=key(id, ticks)).next_back();
        found.transpose()
    }

    /// The first ticks of the first block that starts after `ticks`.
    fn first_after(&self, id: PersistentId, ticks: i64) -> sled::Result<Option<i64>> {
        let Some(after) = ticks.checked_add(1) else { return Ok(None) };
        let found = self.tree.range(key(id, after)..=key(id, i64::MAX)).next();
        Ok(found.transpose()?.map(|(key, _)| first_ticks(&key)))
    }

    /// Writes what `head` holds, and takes out what it says is removed. `log_record`: the head has everything that the
    /// log's records before it hold of this series; the last block written says so.
    pub(super) fn seal(&self, id: PersistentId, head: &Head, log_record: u64) -> Result<(), Cause> {
        for &(start, end) in &head.removed {
            self.remove(id, start, end)?;
        }
        if let Some(run) = head.single_run()
            && (SMALL..=BLOCK_SAMPLES).contains(&run.len())
            && let Some((first, last)) = run.first().zip(run.last())
            && self.is_gap(id, first, last)?
        {
            self.tree.insert(key(id, first), block::encode(run, log_record)?)?;
            return Ok(());
        }
        let samples = head.samples(i64::MIN, i64::MAX, true);
        let mut rest = &samples[..];
        while let Some(first) = rest.first() {
            let (taken, later) = self.fold_in(id, rest, first.source_timestamp.ticks(), log_record)?;
            debug_assert!(taken > 0, "each step takes the first sample at least");
            rest = &later[taken..];
        }
        Ok(())
    }

    /// Whether `first..=last` touches no block, and the block before is not a small one.
    fn is_gap(&self, id: PersistentId, first: i64, last: i64) -> Result<bool, Cause> {
        if self.first_after(id, first)?.is_some_and(|next| next <= last) {
            return Ok(false);
        }
        Ok(match self.at_or_before(id, first)? {
            None => true,
            Some((_, bytes)) => block::header(&bytes)
                .is_ok_and(|header| header.last.ticks() < first && usize::from(header.count) >= SMALL),
        })
    }

    /// Writes as many of the first of `samples` as belong to one block or to one gap between two.
    fn fold_in<'a>(
        &self,
        id: PersistentId,
        samples: &'a [Sample],
        first: i64,
        log_record: u64,
    ) -> Result<(usize, &'a [Sample]), Cause> {
        let count_before = |end: i64| samples.partition_point(|sample| sample.source_timestamp.ticks() < end);
        let before = self.at_or_before(id, first)?;
        let (last, count) = match &before {
            None => (i64::MIN, usize::MAX),
            Some((key, bytes)) => block::header(bytes)
                .map_or((first_ticks(key), BLOCK_SAMPLES), |header| (header.last.ticks(), header.count.into())),
        };
        let (taken, old) = if before.is_some() && first <= last {
            (samples.partition_point(|sample| sample.source_timestamp.ticks() <= last), before)
        } else {
            let taken = self.first_after(id, first)?.map_or(samples.len(), count_before);
            (taken, before.filter(|_| count < SMALL && count + taken <= BLOCK_SAMPLES))
        };
        let new = samples[..taken].to_vec();
        let log_record = if taken == samples.len() { log_record } else { 0 };
        match old {
            None => self.replace(id, None, &new, log_record)?,
            Some((key, bytes)) => {
                self.replace(id, Some(&key), &merge(self.take_out(&key, &bytes)?, new), log_record)?
            }
        }
        Ok((taken, samples))
    }

    /// The samples of a block that is about to be rewritten. A damaged one is kept as it is, elsewhere.
    fn take_out(&self, key: &IVec, bytes: &IVec) -> Result<Vec<Sample>, Cause> {
        let decoded = block::decode(bytes).map(|columns| columns.to_samples());
        if decoded.is_err() {
            self.damaged.insert(key, bytes)?;
        }
        Ok(or_lost(key, bytes, decoded))
    }

    /// In one step: the block at `old` goes, blocks of `samples` come.
    fn replace(&self, id: PersistentId, old: Option<&IVec>, samples: &[Sample], log_record: u64) -> Result<(), Cause> {
        let mut batch = Batch::default();
        if let Some(old) = old {
            batch.remove(old);
        }
        let chunks = samples.len().div_ceil(BLOCK_SAMPLES).max(1);
        for chunk in samples.chunks(samples.len().div_ceil(chunks).max(1)) {
            let columns: Columns = chunk.iter().collect();
            batch.insert(&key(id, chunk[0].source_timestamp.ticks()), block::encode(&columns, log_record)?);
        }
        self.tree.apply_batch(batch)?;
        Ok(())
    }

    /// The log record from which on the log may hold something of this series that blocks do not. By the last block
    /// alone: an earlier one may say more, but too early a record costs only time.
    pub(super) fn covered(&self, id: PersistentId) -> sled::Result<u64> {
        let last = self.at_or_before(id, i64::MAX)?;
        Ok(last.and_then(|(_, bytes)| block::header(&bytes).ok()).map_or(0, |header| header.log_record))
    }

    fn remove(&self, id: PersistentId, start: i64, end: i64) -> Result<(), Cause> {
        let mut touched = Vec::new();
        self.visit(id, start, end, Direction::Forward, |key, bytes| {
            touched.push((key, bytes));
            ControlFlow::Continue(())
        })?;
        for (key, bytes) in touched {
            let mut samples = self.take_out(&key, &bytes)?;
            samples.retain(|sample| !(start..end).contains(&sample.source_timestamp.ticks()));
            self.replace(id, Some(&key), &samples, 0)?;
        }
        Ok(())
    }

    /// Visits the blocks that may hold something in `start..end`.
    fn visit(
        &self,
        id: PersistentId,
        start: i64,
        end: i64,
        direction: Direction,
        mut visit: impl FnMut(IVec, IVec) -> ControlFlow<()>,
    ) -> Result<(), Cause> {
        if start >= end {
            return Ok(());
        }
        let from = match self.at_or_before(id, start)? {
            Some((key, bytes)) if block::header(&bytes).is_ok_and(|header| header.last.ticks() >= start) => key,
            _ => IVec::from(&key(id, start)),
        };
        let mut range = self.tree.range(from..IVec::from(&key(id, end)));
        let mut next = || match direction {
            Direction::Forward => range.next(),
            Direction::Backward => range.next_back(),
        };
        while let Some((key, bytes)) = next().transpose()? {
            if visit(key, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The first (or last) `limit` samples in `start..end` of which `keep` says yes, in ascending order.
    pub(super) fn read(
        &self,
        id: PersistentId,
        (start, end): (i64, i64),
        direction: Direction,
        limit: usize,
        keep: Option<&dyn Fn(&Sample) -> bool>,
    ) -> Result<Vec<Sample>, Cause> {
        let mut parts: Vec<Vec<Sample>> = Vec::new();
        let mut missing = limit;
        self.visit(id, start, end, direction, |key, bytes| {
            let ask = if keep.is_some() { usize::MAX } else { missing };
            let mut samples = or_lost(&key, &bytes, block::decode_range(&bytes, start, end, direction, ask));
            samples.retain(|sample| {
                (start..end).contains(&sample.source_timestamp.ticks()) && keep.is_none_or(|keep| keep(sample))
            });
            missing = missing.saturating_sub(samples.len());
            parts.push(samples);
            if missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if direction == Direction::Backward {
            parts.reverse();
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { parts.concat() })
    }

    /// Whether a block holds exactly this sample. `cache` keeps the last block looked into.
    pub(super) fn holds(
        &self,
        id: PersistentId,
        sample: &Sample,
        cache: &mut Option<CachedBlock>,
    ) -> Result<bool, Cause> {
        let ticks = sample.source_timestamp.ticks();
        if !cache.as_ref().is_some_and(|cached| (cached.first..=cached.before_next).contains(&ticks)) {
            let Some((key, bytes)) = self.at_or_before(id, ticks)? else { return Ok(false) };
            let Ok(columns) = block::decode(&bytes) else { return Ok(false) };
            let first = first_ticks(&key);
            let before_next = self.first_after(id, first)?.map_or(i64::MAX, |next| next - 1);
            *cache = Some(CachedBlock { first, before_next, samples: columns.to_samples() });
        }
        let Some(CachedBlock { samples, .. }) = cache else { return Ok(false) };
        let found = samples.binary_search_by_key(&ticks, |held| held.source_timestamp.ticks());
        Ok(found.is_ok_and(|index| is_same(&samples[index], sample)))
    }
}

/// A decoded block, and how far no other begins.
pub(super) struct CachedBlock {
    first: i64,
    before_next: i64,
    samples: Vec<Sample>,
}

/// Equal to the bit: NaN equals itself.
fn is_same(a: &Sample, b: &Sample) -> bool {
    use super::columns::bits_of;
    a.server_timestamp == b.server_timestamp
        && a.status == b.status
        && bits_of(&a.value) == bits_of(&b.value)
        && (a.value == b.value || bits_of(&a.value).0.width().is_some())
}
