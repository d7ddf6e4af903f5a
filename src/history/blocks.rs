//! The sealed blocks of all series in one sled tree, key = series BE | first ticks BE. Blocks of a series never
//! overlap: samples that belong between those of a block are merged into it when their head is sealed.
//!
//! A second tree, `s`, has under the same keys the blocks' headers alone: whoever asks where a block is or what it
//! amounts to need not read it. Both change in one sled transaction, which sled recovers whole or not at all; that the
//! second is complete stands in an entry of its own, without which it is made anew from the blocks.

use std::ops::{ControlFlow, Range};

use sled::{
    IVec, Transactional, Tree,
    transaction::{ConflictableTransactionError, TransactionError},
};
use tracing::{error, info};

use super::{
    Direction, Summary,
    block::{self, Block, BlockError, HEADER_BYTES, Header},
    columns::Columns,
    head::{Head, merge},
    log::PersistentId,
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// How big things get. Other sizes than these are for tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Samples per page, which a small read decodes. Of 128, 512, 1024, 4096 measured: from here on a bigger one gains
    /// little.
    pub(super) page: usize,
    /// Samples per block when compacted.
    pub(super) block: usize,
}

/// See [`Sizes::page`].
pub(super) const PAGE_SAMPLES: usize = 1024;
/// A block with fewer takes in what comes after it, so that slow series don't end in crumbs.
const SMALL: usize = 256;
/// The entry of the headers' tree that says it is complete: before all blocks' keys.
const COMPLETE: &[u8] = &[0];

/// The trees, and where blocks go that cannot be read when something must be merged into them.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) tree: Tree,
    pub(super) headers: Tree,
    pub(super) damaged: Tree,
    pub(super) sizes: Sizes,
}

/// Where a block is, and its header if that is whole.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: IVec,
    pub(super) header: Option<Header>,
}

impl Found {
    pub(super) fn first(&self) -> i64 {
        first_ticks(&self.key)
    }

    /// Of a damaged block at least its first.
    pub(super) fn last(&self) -> i64 {
        self.header.as_ref().map_or(self.first(), |header| header.last.ticks())
    }
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

/// What stands in the place of samples that damage has taken.
fn lost(first: i64, last: i64, damage: BlockError) -> Columns {
    error!(first = %Timestamp::from_ticks(first), %damage, "a block of history is damaged");
    let lost = |ticks| Sample::bad(Timestamp::from_ticks(ticks), StatusCode::BadDataLost);
    let samples = if last > first { vec![lost(first), lost(last)] } else { vec![lost(first)] };
    samples.iter().collect()
}

/// Calls `take` with what a block has in `start..end`, page by page: only the pages that are in there are decoded. A
/// damaged page costs its own samples and no others; in their place stands that they are lost.
fn visit_pages(
    (key, bytes): (&[u8], &[u8]),
    (start, end): (i64, i64),
    direction: Direction,
    mut take: impl FnMut(&Columns, Range<usize>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut take = |columns: &Columns| {
        let indices = columns.indices(start, end);
        if indices.is_empty() { ControlFlow::Continue(()) } else { take(columns, indices) }
    };
    let block = match Block::parse(bytes) {
        Ok(block) => block,
        Err(damage) => {
            let first = first_ticks(key);
            let last = block::header(bytes).map_or(first, |header| header.last.ticks());
            return take(&lost(first, last, damage));
        }
    };
    let mut visit = |page: &block::Page| {
        if page.last < start || page.first >= end {
            return ControlFlow::Continue(());
        }
        let columns = block.decode(page).unwrap_or_else(|damage| lost(page.first, page.last, damage));
        take(&columns)
    };
    match direction {
        Direction::Forward => block.pages.iter().try_for_each(&mut visit),
        Direction::Backward => block.pages.iter().rev().try_for_each(&mut visit),
    }
}

fn failed(error: TransactionError<()>) -> Cause {
    match error {
        TransactionError::Abort(()) => "a transaction of history's blocks was given up".into(),
        TransactionError::Storage(cause) => cause.into(),
    }
}

impl Blocks {
    /// Makes the tree of headers anew where it is not complete.
    pub(super) fn complete_headers(&self) -> Result<(), Cause> {
        if self.headers.get(COMPLETE)?.is_some() {
            return Ok(());
        }
        info!("reading the headers of all blocks of history once");
        self.headers.clear()?;
        for item in &self.tree {
            let (key, bytes) = item?;
            self.headers.insert(key, bytes.get(..HEADER_BYTES).unwrap_or(&bytes))?;
        }
        self.headers.insert(COMPLETE, &[])?;
        Ok(())
    }

    /// In one step: the blocks at `old` go, blocks of `new` come.
    pub(super) fn commit(&self, old: &[IVec], new: &[(IVec, IVec)]) -> Result<(), Cause> {
        (&self.tree, &self.headers)
            .transaction(|(blocks, headers)| {
                for key in old {
                    blocks.remove(key)?;
                    headers.remove(key)?;
                }
                for (key, bytes) in new {
                    blocks.insert(key, bytes)?;
                    headers.insert(key, bytes.get(..HEADER_BYTES).unwrap_or(bytes))?;
                }
                Ok::<(), ConflictableTransactionError<()>>(())
            })
            .map_err(failed)
    }

    fn found(&self, (key, header): (IVec, IVec)) -> sled::Result<Found> {
        let header = match block::header(&header) {
            Ok(header) => Some(header),
            // The block itself has it too.
            Err(_) => self.tree.get(&key)?.and_then(|bytes| block::header(&bytes).ok()),
        };
        Ok(Found { key, header })
    }

    /// The block that starts at `ticks` or is the last to start before.
    pub(super) fn at_or_before(&self, id: PersistentId, ticks: i64) -> sled::Result<Option<Found>> {
        let found = self.headers.range(key(id, i64::MIN)..=key(id, ticks)).next_back().transpose()?;
        found.map(|entry| self.found(entry)).transpose()
    }

    /// The blocks that start in `start..=end`, in order.
    pub(super) fn starting_in(
        &self,
        id: PersistentId,
        start: i64,
        end: i64,
    ) -> impl Iterator<Item = sled::Result<Found>> + '_ {
        self.headers.range(key(id, start)..=key(id, end)).map(|entry| self.found(entry?))
    }

    /// The first ticks of the first block that starts after `ticks`.
    fn first_after(&self, id: PersistentId, ticks: i64) -> sled::Result<Option<i64>> {
        let Some(after) = ticks.checked_add(1) else { return Ok(None) };
        let found = self.headers.range(key(id, after)..=key(id, i64::MAX)).next();
        Ok(found.transpose()?.map(|(key, _)| first_ticks(&key)))
    }

    /// Writes what `head` holds, and takes out what it says is removed. `log_record`: the head has everything that the
    /// log's records before it hold of this series; the last block written says so.
    pub(super) fn seal(&self, id: PersistentId, head: &Head, log_record: u64) -> Result<(), Cause> {
        for &(start, end) in &head.removed {
            self.remove(id, start, end)?;
        }
        if let Some(run) = head.single_run()
            && (SMALL..=self.sizes.page).contains(&run.len())
            && let Some((first, last)) = run.first().zip(run.last())
            && self.is_gap(id, first, last)?
        {
            let block = block::encode(run, self.sizes.page, log_record)?;
            return self.commit(&[], &[(IVec::from(&key(id, first)), block.into())]);
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
        Ok(self.at_or_before(id, first)?.is_none_or(|before| {
            before.last() < first && before.header.is_some_and(|header| usize::from(header.count) >= SMALL)
        }))
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
            Some(found) => (found.last(), found.header.as_ref().map_or(self.sizes.page, |header| header.count.into())),
        };
        let (taken, old) = if before.is_some() && first <= last {
            (samples.partition_point(|sample| sample.source_timestamp.ticks() <= last), before)
        } else {
            let taken = self.first_after(id, first)?.map_or(samples.len(), count_before);
            (taken, before.filter(|_| count < SMALL && count + taken <= self.sizes.page))
        };
        let new = samples[..taken].to_vec();
        let log_record = if taken == samples.len() { log_record } else { 0 };
        match old {
            None => self.replace(id, None, &new, log_record)?,
            Some(Found { key, .. }) => {
                let old = self.take_out(&key)?;
                self.replace(id, Some(key), &merge(old, new), log_record)?;
            }
        }
        Ok((taken, samples))
    }

    /// The samples of a block that is about to be rewritten. A damaged one is kept as it is, elsewhere.
    fn take_out(&self, key: &IVec) -> Result<Vec<Sample>, Cause> {
        let Some(bytes) = self.tree.get(key)? else { return Ok(Vec::new()) };
        if let Ok(columns) = block::decode(&bytes) {
            return Ok(columns.to_samples());
        }
        self.damaged.insert(key, &bytes)?;
        let mut samples = Vec::new();
        let _ = visit_pages((key, &bytes), (i64::MIN, i64::MAX), Direction::Forward, |columns, _| {
            columns.append_to(0..columns.len(), &mut samples);
            ControlFlow::Continue(())
        });
        Ok(samples)
    }

    /// In one step: the block at `old` goes, blocks of `samples` come.
    fn replace(&self, id: PersistentId, old: Option<IVec>, samples: &[Sample], log_record: u64) -> Result<(), Cause> {
        let chunks = samples.len().div_ceil(self.sizes.block).max(1);
        let mut new = Vec::with_capacity(chunks);
        for chunk in samples.chunks(samples.len().div_ceil(chunks).max(1)) {
            let columns: Columns = chunk.iter().collect();
            let block = block::encode(&columns, self.sizes.page, log_record)?;
            new.push((IVec::from(&key(id, chunk[0].source_timestamp.ticks())), block.into()));
        }
        self.commit(old.as_slice(), &new)
    }

    /// The log record from which on the log may hold something of this series that blocks do not. By the last block
    /// alone: an earlier one may say more, but too early a record costs only time.
    pub(super) fn covered(&self, id: PersistentId) -> sled::Result<u64> {
        let last = self.at_or_before(id, i64::MAX)?;
        Ok(last.and_then(|found| found.header).map_or(0, |header| header.log_record))
    }

    fn remove(&self, id: PersistentId, start: i64, end: i64) -> Result<(), Cause> {
        for found in self.touching(id, start, end)? {
            let mut samples = Vec::new();
            // A block that goes whole need not be read.
            if !(found.header.is_some() && start <= found.first() && found.last() < end) {
                samples = self.take_out(&found.key)?;
                samples.retain(|sample| !(start..end).contains(&sample.source_timestamp.ticks()));
            }
            self.replace(id, Some(found.key), &samples, 0)?;
        }
        Ok(())
    }

    /// The blocks that may hold something in `start..end`, in order.
    fn touching(&self, id: PersistentId, start: i64, end: i64) -> Result<Vec<Found>, Cause> {
        if start >= end {
            return Ok(Vec::new());
        }
        let before = self.at_or_before(id, start)?.filter(|found| found.last() >= start);
        let mut touching: Vec<Found> = before.into_iter().collect();
        if end - 1 > start {
            for found in self.starting_in(id, start + 1, end - 1) {
                touching.push(found?);
            }
        }
        Ok(touching)
    }

    /// The first series from `id` on that has blocks.
    pub(super) fn first_series(&self, id: PersistentId) -> Result<Option<PersistentId>, Cause> {
        let Some((key, _)) = self.headers.range(key(id, i64::MIN)..).next().transpose()? else { return Ok(None) };
        Ok(Some(PersistentId::from_be_bytes(key[..4].try_into()?)))
    }

    /// The first `limit` blocks of a series that end before `before`, and how many samples they have.
    pub(super) fn ending_before(&self, id: PersistentId, before: i64, limit: usize) -> Result<(Vec<IVec>, u64), Cause> {
        let (mut keys, mut samples) = (Vec::new(), 0);
        for found in self.starting_in(id, i64::MIN, before).take(limit) {
            let found = found?;
            match &found.header {
                Some(header) if header.last.ticks() < before => samples += u64::from(header.count),
                // Where a damaged block ends, only the next one's begin tells.
                None if self.first_after(id, found.first())?.is_some_and(|next| next <= before) => {}
                _ => break,
            }
            keys.push(found.key);
        }
        Ok((keys, samples))
    }

    /// Calls `take` with what the blocks hold in `start..end`, page by page.
    pub(super) fn visit(
        &self,
        id: PersistentId,
        (start, end): (i64, i64),
        direction: Direction,
        mut take: impl FnMut(&Columns, Range<usize>) -> ControlFlow<()>,
    ) -> Result<(), Cause> {
        if start >= end {
            return Ok(());
        }
        let mut visit = |(key, bytes): (IVec, IVec)| visit_pages((&key, &bytes), (start, end), direction, &mut take);
        let before = || self.tree.range(key(id, i64::MIN)..=key(id, start)).next_back().transpose();
        let mut after = self.tree.range(key(id, start.saturating_add(1))..key(id, end.max(start.saturating_add(1))));
        if direction == Direction::Forward {
            if before()?.map(&mut visit).is_some_and(|flow| flow.is_break()) {
                return Ok(());
            }
            for entry in after {
                if visit(entry?).is_break() {
                    break;
                }
            }
        } else {
            while let Some(entry) = after.next_back() {
                if visit(entry?).is_break() {
                    return Ok(());
                }
            }
            let _ = before()?.map(visit);
        }
        Ok(())
    }

    /// The first `limit` samples in `start..end` of which `keep` says yes, in the order of `direction`.
    pub(super) fn read(
        &self,
        id: PersistentId,
        times: (i64, i64),
        direction: Direction,
        limit: usize,
        keep: Option<&dyn Fn(&Sample) -> bool>,
    ) -> Result<Vec<Sample>, Cause> {
        let mut samples = Vec::new();
        self.visit(id, times, direction, |columns, mut indices| {
            let (before, missing) = (samples.len(), limit - samples.len());
            if keep.is_none() {
                match direction {
                    Direction::Forward => indices.end = indices.end.min(indices.start.saturating_add(missing)),
                    Direction::Backward => indices.start = indices.start.max(indices.end.saturating_sub(missing)),
                }
            }
            columns.append_to(indices, &mut samples);
            if direction == Direction::Backward {
                samples[before..].reverse();
            }
            if let Some(keep) = keep {
                let mut index = 0;
                samples.retain(|sample| {
                    index += 1;
                    index <= before || keep(sample)
                });
                samples.truncate(limit);
            }
            if samples.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(samples)
    }

    /// What the blocks hold in `start..end` amounts to: of whole blocks by their headers alone.
    pub(super) fn summary(&self, id: PersistentId, start: i64, end: i64) -> Result<Summary, Cause> {
        let mut summary = Summary::default();
        for found in self.touching(id, start, end)? {
            match &found.header {
                Some(header) if start <= found.first() && header.last.ticks() < end => summary.merge(&header.summary),
                _ => {
                    let Some(bytes) = self.tree.get(&found.key)? else { continue };
                    let _ = visit_pages((&found.key, &bytes), (start, end), Direction::Forward, |columns, indices| {
                        summary.merge(&columns.summary(indices));
                        ControlFlow::Continue(())
                    });
                }
            }
        }
        Ok(summary)
    }

    /// Whether a block holds exactly this sample. `cache` keeps the last page looked into.
    pub(super) fn holds(
        &self,
        id: PersistentId,
        sample: &Sample,
        cache: &mut Option<CachedPage>,
    ) -> Result<bool, Cause> {
        let ticks = sample.source_timestamp.ticks();
        if !cache.as_ref().is_some_and(|cached| cached.times.contains(&ticks)) {
            *cache = self.page_around(id, ticks)?;
        }
        let Some(CachedPage { samples, .. }) = cache else { return Ok(false) };
        let found = samples.binary_search_by_key(&ticks, |held| held.source_timestamp.ticks());
        Ok(found.is_ok_and(|index| is_same(&samples[index], sample)))
    }

    fn page_around(&self, id: PersistentId, ticks: i64) -> Result<Option<CachedPage>, Cause> {
        let Some(found) = self.at_or_before(id, ticks)?.filter(|found| ticks <= found.last()) else { return Ok(None) };
        let Some(bytes) = self.tree.get(&found.key)? else { return Ok(None) };
        let Ok(block) = Block::parse(&bytes) else { return Ok(None) };
        let Some(page) = block.pages.iter().find(|page| (page.first..=page.last).contains(&ticks)) else {
            return Ok(None);
        };
        let Ok(columns) = block.decode(page) else { return Ok(None) };
        Ok(Some(CachedPage { times: page.first..=page.last, samples: columns.to_samples() }))
    }
}

/// A decoded page, from its first to its last sample.
pub(super) struct CachedPage {
    times: std::ops::RangeInclusive<i64>,
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
