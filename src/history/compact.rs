//! What goes on in a store's background: small blocks become large ones, what is past retention goes. In bounded steps;
//! each changes blocks in one step and holds up one series for as long as a block takes to encode.

use std::collections::{HashMap, VecDeque};

use tracing::warn;

use super::{
    Compacted, Direction, Summary, block,
    blocks::{Cause, Found},
    head::Head,
    log::PersistentId,
    sled_store::SledStore,
};
use crate::time::Timestamp;

/// What looking at a header costs, in samples.
const HEADER_COST: usize = 16;
/// So many blocks in a row that are as they should be, and the look at a series is broken off till later.
const SOUND_BLOCKS_MAX: usize = 1024;
/// So many blocks are dropped in one step.
const EXPIRE_BLOCKS: usize = 64;

/// Which series have blocks to be merged.
#[derive(Debug)]
pub(super) struct Compaction {
    /// Series to look at.
    queue: VecDeque<usize>,
    series: Vec<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Blocks that start before are as they should be.
    from: i64,
    /// Samples sealed since the last look.
    samples: usize,
    is_queued: bool,
}

impl Progress {
    /// Nobody has looked yet.
    const UNSEEN: Self = Self { from: i64::MIN, samples: 0, is_queued: true };
}

/// Small blocks of a series.
#[derive(Debug, Default)]
struct Group {
    blocks: Vec<Found>,
    samples: usize,
    /// Where the next begins; `None`: more may come and fit.
    next: Option<i64>,
    looked_at: usize,
    /// Up to here nothing is small.
    after: i64,
}

impl Compaction {
    /// All series may have something: nobody has looked yet.
    pub(super) fn all(series: usize) -> Self {
        Self { queue: (0..series).collect(), series: vec![Progress::UNSEEN; series] }
    }

    /// So many series more.
    pub(super) fn add(&mut self, series: usize) {
        self.queue.extend(self.series.len()..self.series.len() + series);
        self.series.resize(self.series.len() + series, Progress::UNSEEN);
    }

    /// A block that begins with `first` has come.
    pub(super) fn sealed(&mut self, index: usize, first: i64, samples: usize, enough: usize) {
        let progress = &mut self.series[index];
        progress.samples += samples;
        progress.from = progress.from.min(first);
        if progress.samples >= enough && !progress.is_queued {
            progress.is_queued = true;
            self.queue.push_back(index);
        }
    }

    /// The next series to look at.
    fn take(&mut self) -> Option<(usize, i64)> {
        let index = self.queue.pop_front()?;
        let progress = &mut self.series[index];
        let from = std::mem::replace(&mut progress.from, i64::MAX);
        (progress.samples, progress.is_queued) = (0, false);
        Some((index, from))
    }

    /// Blocks from `from` on are still to be looked at: now, or when more has come.
    fn put_back(&mut self, index: usize, from: i64, samples: usize, is_now: bool) {
        let progress = &mut self.series[index];
        progress.from = progress.from.min(from);
        progress.samples += samples;
        if is_now && !progress.is_queued {
            progress.is_queued = true;
            self.queue.push_front(index);
        }
    }
}

impl SledStore {
    /// Merges small blocks, looking at about so many samples.
    pub(super) fn compact_some(&self, samples: usize) -> Result<Compacted, Cause> {
        let (mut done, mut left) = (Compacted::default(), samples);
        if self.copying.is_busy() {
            return Ok(done); // when the backup is made
        }
        while left > 0 {
            let Some((index, from)) = self.compaction().take() else { break };
            if let Err(cause) = self.compact_series(index, from, &mut left, &mut done) {
                self.compaction().put_back(index, from, 0, true);
                return Err(cause);
            }
        }
        done.is_more = !self.compaction().queue.is_empty();
        Ok(done)
    }

    /// Goes through a series' blocks from the one at or before `from`, and makes whole ones of small neighbours.
    fn compact_series(&self, index: usize, from: i64, left: &mut usize, done: &mut Compacted) -> Result<(), Cause> {
        let mut start = self.blocks.at_or_before(self.ids[index], from)?.map_or(from, |found| found.first());
        loop {
            let Group { blocks, samples, next, looked_at, after } = self.next_group(index, start)?;
            *left = left.saturating_sub(looked_at * HEADER_COST);
            let Some(next) = next else {
                // The last ones wait for more.
                let first = blocks.first().map_or(after, Found::first);
                self.compaction().put_back(index, first, samples, false);
                return Ok(());
            };
            if blocks.len() > 1 && self.merge_blocks(index, &blocks)? {
                *left = left.saturating_sub(samples);
                done.blocks += blocks.len() as u64;
                done.made += 1;
                done.samples += samples as u64;
            }
            start = next;
            if *left == 0 {
                self.compaction().put_back(index, start, 0, true);
                return Ok(());
            }
        }
    }

    /// The next small blocks from `start` that follow one another and fit into one. A block that is half full stays as it
    /// is, and so does a damaged one.
    fn next_group(&self, index: usize, start: i64) -> Result<Group, Cause> {
        let page = self.blocks.page;
        let mut group = Group { after: start, ..Group::default() };
        for found in self.blocks.starting_in(self.ids[index], start, i64::MAX) {
            let found = found?;
            group.looked_at += 1;
            let samples = found.header.as_ref().map_or(page, |header| header.count.into());
            let is_small = samples < page.div_ceil(2);
            if !group.blocks.is_empty() && (!is_small || group.samples + samples > page) {
                group.next = Some(found.first());
                break;
            }
            if is_small {
                group.samples += samples;
                group.blocks.push(found);
            } else {
                group.after = found.first().saturating_add(1);
                if group.looked_at == SOUND_BLOCKS_MAX && group.blocks.is_empty() {
                    group.next = Some(group.after);
                    break;
                }
            }
        }
        Ok(group)
    }

    /// One block in the place of several. Whether it was done: not if they changed since they were looked at, and not if
    /// one is damaged.
    fn merge_blocks(&self, index: usize, group: &[Found]) -> Result<bool, Cause> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(false) };
        // Nobody reads or seals this series meanwhile: a reader between two blocks would miss one or see it twice.
        let _head = self.head_mut(index);
        if self.copying.is_frozen(index) {
            return Ok(false);
        }
        let now = self.blocks.starting_in(self.ids[index], first.first(), last.first());
        let now = now.collect::<sled::Result<Vec<Found>>>()?;
        if !now.iter().map(|found| (&found.key, found.place)).eq(group.iter().map(|found| (&found.key, found.place))) {
            return Ok(false);
        }
        let (mut samples, mut log_record) = (Vec::new(), 0);
        for found in &now {
            let bytes = self.blocks.bytes(found)?.unwrap_or_default();
            match block::decode(&bytes) {
                Ok(columns) => columns.append_to(0..columns.len(), &mut samples),
                Err(damage) => {
                    warn!(first = %Timestamp::from_ticks(found.first()), %damage, "blocks of history are not merged");
                    return Ok(false);
                }
            }
            log_record = log_record.max(found.header.as_ref().map_or(0, |header| header.log_record));
        }
        self.blocks.replace(self.ids[index], &now, &samples, log_record)?;
        Ok(true)
    }

    /// Drops the blocks of all series, configured or not, that end before `before`.
    pub(super) fn drop_before(&self, before: i64) -> Result<u64, Cause> {
        let indices = self.indices();
        let (mut next, mut gone) = (Some(0), 0);
        while let Some(from) = next {
            let Some(id) = self.blocks.first_series(from)? else { break };
            loop {
                let (samples, is_more) = self.drop_some_before(id, indices.get(&id).copied(), before)?;
                gone += samples;
                if !is_more {
                    break;
                }
            }
            next = id.checked_add(1);
        }
        Ok(gone)
    }

    /// The configured series by their numbers on the disk.
    pub(super) fn indices(&self) -> HashMap<PersistentId, usize> {
        self.ids.iter().map(|(index, &id)| (id, index)).collect()
    }

    /// Of one series (at `index`, if it is configured); how many samples went, and whether there are more.
    pub(super) fn drop_some_before(
        &self,
        id: PersistentId,
        index: Option<usize>,
        before: i64,
    ) -> Result<(u64, bool), Cause> {
        // As when merging: no reader is between two blocks.
        let _head = index.map(|index| self.head_mut(index));
        let (old, samples) = self.blocks.ending_before(id, before, EXPIRE_BLOCKS)?;
        self.blocks.commit(&old, &[])?;
        Ok((samples, old.len() == EXPIRE_BLOCKS))
    }

    /// What `start..end` (ticks) amounts to. `head` is the series' own, locked.
    pub(super) fn summary_with(&self, head: &Head, index: usize, start: i64, end: i64) -> Result<Summary, Cause> {
        const PAGE: usize = 65_536;
        let (mut summary, mut from) = (Summary::default(), start);
        for (touched, until) in head.touched() {
            let (mut at, until) = (touched.max(from), until.min(end));
            if at >= until {
                continue;
            }
            summary.merge(&self.blocks.summary(self.ids[index], from, at)?);
            // Where head and blocks overlap, only reading tells what counts.
            while at < until {
                let samples = self.read_with(head, index, (at, until), Direction::Forward, PAGE)?;
                samples.iter().for_each(|sample| summary.add(sample));
                let last = samples.last().filter(|_| samples.len() == PAGE);
                at = last.map_or(until, |last| last.source_timestamp.ticks() + 1);
            }
            from = until;
        }
        if from < end {
            summary.merge(&self.blocks.summary(self.ids[index], from, end)?);
        }
        Ok(summary)
    }
}
