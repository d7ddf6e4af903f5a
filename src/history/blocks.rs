//! The sealed blocks of all series. The tree `s` says where they are: key = series BE | first ticks BE, value = the block's
//! header and its [`Place`] among the [`Slots`]. Whoever asks what a block amounts to need not read it. Blocks of a series
//! never overlap: samples that belong between those of a block are merged into it when their head is sealed.
//!
//! A block is written to its slots first, then `s` refers to it, in one atomic batch with what goes in its place; only
//! then the slots of what went are free. Both trees are in one database, whose log sled recovers up to one point: what
//! `s` refers to is there.

use sled::{Batch, IVec, Tree};

use super::{
    block::{self, HEADER_BYTES, Header},
    columns::Columns,
    head::{Head, merge},
    log::PersistentId,
    slots::{Place, Slots},
};
use crate::sample::Sample;

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Samples per block: what a small read decodes. Of 128, 512, 1024, 4096 measured: from here on a bigger one gains little,
/// and putting full blocks together to bigger ones would write every sample once more.
pub(super) const PAGE_SAMPLES: usize = 1024;
/// The trees, and where blocks go that cannot be read when something must be merged into them.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) slots: Slots,
    pub(super) headers: Tree,
    pub(super) damaged: Tree,
    /// Samples per block. Other than [`PAGE_SAMPLES`] is for tests.
    pub(super) page: usize,
}

/// Where a block is, and its header if that is whole.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: IVec,
    pub(super) place: Option<Place>,
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

pub(super) fn series_of(key: &[u8]) -> PersistentId {
    let mut id = [0; 4];
    id.copy_from_slice(&key[..4]);
    PersistentId::from_be_bytes(id)
}

impl Blocks {
    /// A block with fewer samples takes in what comes after it, so that slow series don't end in crumbs.
    fn small(&self) -> usize {
        self.page / 4
    }

    /// In one step: the blocks at `old` go, blocks of `new` (key, bytes) come.
    pub(super) fn commit(&self, old: &[Found], new: &[([u8; 12], Vec<u8>)]) -> Result<(), Cause> {
        let mut batch = Batch::default();
        for found in old {
            batch.remove(&found.key);
        }
        for (key, bytes) in new {
            let id = series_of(key);
            let last = || Ok(self.at_or_before(id, i64::MAX)?.and_then(|last| last.place));
            let place = self.slots.put(id, bytes, last)?;
            let mut entry = bytes.get(..HEADER_BYTES).unwrap_or(bytes).to_vec();
            entry.extend(place.to_bytes());
            batch.insert(key, entry);
        }
        self.headers.apply_batch(batch)?;
        for found in old {
            if let Some(place) = found.place {
                self.slots.free(place)?;
            }
        }
        Ok(())
    }

    pub(super) fn found(&self, (key, entry): (IVec, IVec)) -> sled::Result<Found> {
        let place = entry.len().checked_sub(Place::BYTES).and_then(|at| entry[at..].try_into().ok());
        let mut found = Found { key, place: place.map(Place::from_bytes), header: block::header(&entry).ok() };
        if found.header.is_none() {
            // The block itself has it too.
            found.header = self.bytes(&found)?.and_then(|bytes| block::header(&bytes).ok());
        }
        Ok(found)
    }

    /// The block as it was written. `None`: it is not where it should be.
    pub(super) fn bytes(&self, found: &Found) -> sled::Result<Option<IVec>> {
        found.place.map_or(Ok(None), |place| self.slots.get(place))
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
    ) -> impl DoubleEndedIterator<Item = sled::Result<Found>> + '_ {
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
            && (self.small()..=self.page).contains(&run.len())
            && let Some((first, last)) = run.first().zip(run.last())
            && self.is_gap(id, first, last)?
        {
            return self.commit(&[], &[(key(id, first), block::encode(run, log_record)?)]);
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
            before.last() < first && before.header.is_some_and(|header| usize::from(header.count) >= self.small())
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
            Some(found) => (found.last(), found.header.as_ref().map_or(self.page, |header| header.count.into())),
        };
        let (taken, old) = if before.is_some() && first <= last {
            (samples.partition_point(|sample| sample.source_timestamp.ticks() <= last), before)
        } else {
            let taken = self.first_after(id, first)?.map_or(samples.len(), count_before);
            (taken, before.filter(|_| count < self.small() && count + taken <= self.page))
        };
        let new = samples[..taken].to_vec();
        let log_record = if taken == samples.len() { log_record } else { 0 };
        match old {
            None => self.replace(id, &[], &new, log_record)?,
            Some(found) => {
                let old = self.take_out(&found)?;
                self.replace(id, &[found], &merge(old, new), log_record)?;
            }
        }
        Ok((taken, samples))
    }

    /// The samples of a block that is about to be rewritten. A damaged one is kept as it is, elsewhere.
    fn take_out(&self, found: &Found) -> Result<Vec<Sample>, Cause> {
        let bytes = self.bytes(found)?;
        if let Some(Ok(columns)) = bytes.as_ref().map(|bytes| block::decode(bytes)) {
            return Ok(columns.to_samples());
        }
        self.damaged.insert(&found.key, bytes.unwrap_or_default())?;
        Ok(super::visit::lost(found).to_samples())
    }

    /// In one step: the blocks `old` go, blocks of `samples` come.
    pub(super) fn replace(
        &self,
        id: PersistentId,
        old: &[Found],
        samples: &[Sample],
        log_record: u64,
    ) -> Result<(), Cause> {
        let chunks = samples.len().div_ceil(self.page).max(1);
        let mut new = Vec::with_capacity(chunks);
        for chunk in samples.chunks(samples.len().div_ceil(chunks).max(1)) {
            let columns: Columns = chunk.iter().collect();
            new.push((key(id, chunk[0].source_timestamp.ticks()), block::encode(&columns, log_record)?));
        }
        self.commit(old, &new)
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
                samples = self.take_out(&found)?;
                samples.retain(|sample| !(start..end).contains(&sample.source_timestamp.ticks()));
            }
            self.replace(id, &[found], &samples, 0)?;
        }
        Ok(())
    }

    /// The blocks that may hold something in `start..end`, in order.
    pub(super) fn touching(&self, id: PersistentId, start: i64, end: i64) -> Result<Vec<Found>, Cause> {
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
        let found = self.headers.range(key(id, i64::MIN)..).next().transpose()?;
        Ok(found.map(|(key, _)| series_of(&key)))
    }

    /// The first `limit` blocks of a series that end before `before`, and how many samples they have.
    pub(super) fn ending_before(
        &self,
        id: PersistentId,
        before: i64,
        limit: usize,
    ) -> Result<(Vec<Found>, u64), Cause> {
        let (mut ending, mut samples) = (Vec::new(), 0);
        for found in self.starting_in(id, i64::MIN, before).take(limit) {
            let found = found?;
            match &found.header {
                Some(header) if header.last.ticks() < before => samples += u64::from(header.count),
                // Where a damaged block ends, only the next one's begin tells.
                None if self.first_after(id, found.first())?.is_some_and(|next| next <= before) => {}
                _ => break,
            }
            ending.push(found);
        }
        Ok((ending, samples))
    }
}
