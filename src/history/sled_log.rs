//! What only one thread at a time may do to a [`SledStore`]: append, seal, flush.

use std::collections::VecDeque;

use sled::Db;

use super::{
    behind::Op, blocks::Cause, guards, handed_on, head::Head, log, log::PersistentId, log_trees::LogTrees,
    sled_store::SledStore,
};
use crate::sample::{Sample, SeriesId};

/// So many heads are asked at each append whether they have waited too long: 100,000 within a hundred appends.
const HEADS_PER_APPEND: usize = 1024;

/// The log, and what is to be known of it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) records: LogTrees,
    /// Number of the next record.
    pub(super) next: u64,
    /// What the records before this one hold is in the heads, or was.
    pub(super) complete: u64,
    /// Number and size of the records kept.
    pub(super) kept: VecDeque<(u64, u32)>,
    pub(super) kept_bytes: u64,
    /// Memory of all heads, about.
    pub(super) head_bytes: usize,
    flushes_since_trim: u32,
    /// The head after the last that was asked how long it has waited.
    looked_at: usize,
}

impl Log {
    /// What `db` has; to be replayed.
    pub(super) fn open(db: &Db) -> Result<Self, Cause> {
        Ok(Self {
            records: LogTrees::open(db)?,
            next: 0,
            complete: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            head_bytes: 0,
            flushes_since_trim: 0,
            looked_at: 0,
        })
    }

    pub(super) fn put(&mut self, record: &[u8]) -> Result<(), Cause> {
        self.records.put(self.next, record)?;
        self.keep(self.next, u32::try_from(record.len())?);
        self.next += 1;
        Ok(())
    }

    pub(super) fn keep(&mut self, record: u64, bytes: u32) {
        self.kept.push_back((record, bytes));
        self.kept_bytes += u64::from(bytes);
    }
}

impl SledStore {
    /// Puts a sample into its head, sealing that when it is full.
    pub(super) fn push(&self, log: &mut Log, index: usize, sample: &Sample, record: u64) -> Result<(), Cause> {
        let mut head = self.head_mut(index);
        let before = head.bytes();
        head.push(sample);
        head.oldest_record.get_or_insert(record);
        log.head_bytes = (log.head_bytes + head.bytes()).saturating_sub(before);
        // Heads that start together must not all fill together: the first block of a series is shorter.
        let full = self.options.head_samples_max;
        let shorter = if head.was_sealed { 0 } else { index.wrapping_mul(2_654_435_761) % (full / 2).max(1) };
        if head.len() + shorter >= full { self.seal(log, index, &mut head) } else { Ok(()) }
    }

    pub(super) fn seal(&self, log: &mut Log, index: usize, head: &mut Head) -> Result<(), Cause> {
        if self.copying.is_frozen(index) {
            return Ok(()); // sealed when its blocks are copied
        }
        if !head.removed.is_empty() {
            // What is taken out of the blocks must not be gone before the log knows what came in its place.
            self.flush_log()?;
        }
        self.blocks.seal(self.ids[index], head, log.complete)?;
        if let Some((first, _)) = head.extent() {
            self.compaction().sealed(index, first, head.len(), self.blocks.page);
        }
        log.head_bytes = log.head_bytes.saturating_sub(head.bytes());
        *head = Head::after_seal();
        Ok(())
    }

    pub(super) fn flush_log(&self) -> Result<(), Cause> {
        self.log_db.flush()?;
        Ok(guards::sync(&self.folder)?)
    }

    pub(super) fn flush_blocks(&self) -> Result<(), Cause> {
        self.block_db.flush()?;
        Ok(guards::sync(&self.folder)?)
    }

    /// Seals the largest heads until an eighth of the budget is free again.
    pub(super) fn hold_budget(&self, log: &mut Log) -> Result<(), Cause> {
        if log.head_bytes <= self.options.head_bytes_max {
            return Ok(());
        }
        let mut largest: Vec<(usize, usize)> =
            (0..self.heads.count()).map(|index| (self.head_mut(index).bytes(), index)).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        for (_, index) in largest {
            if log.head_bytes <= self.options.head_bytes_max / 8 * 7 {
                break;
            }
            self.seal(log, index, &mut self.head_mut(index))?;
        }
        Ok(())
    }

    /// Seals some of the heads that have waited longest once the log is nearly full, so that no flush has to seal many.
    fn seal_oldest(&self, log: &mut Log) -> Result<(), Cause> {
        if log.kept_bytes <= self.options.log_bytes_max / 8 * 7 {
            return Ok(());
        }
        let Some(&(oldest_kept, _)) = log.kept.get(log.kept.len() / 8) else { return Ok(()) };
        for _ in 0..HEADS_PER_APPEND.min(self.heads.count()) {
            let index = log.looked_at % self.heads.count();
            log.looked_at = index + 1;
            let mut head = self.head_mut(index);
            if head.oldest_record.is_some_and(|oldest| oldest <= oldest_kept) {
                self.seal(log, index, &mut head)?;
            }
        }
        Ok(())
    }

    /// Seals the heads that would keep more log than is wanted: slow series.
    fn hold_log(&self, log: &mut Log) -> Result<(), Cause> {
        if log.kept_bytes <= self.options.log_bytes_max {
            return Ok(());
        }
        let mut too_much = log.kept_bytes - self.options.log_bytes_max / 4 * 3;
        let Some(&(oldest_kept, _)) = log.kept.iter().find(|&&(_, bytes)| {
            too_much = too_much.saturating_sub(bytes.into());
            too_much == 0
        }) else {
            return Ok(());
        };
        for index in 0..self.heads.count() {
            let mut head = self.head_mut(index);
            if head.oldest_record.is_some_and(|oldest| oldest <= oldest_kept) {
                self.seal(log, index, &mut head)?;
            }
        }
        Ok(())
    }

    /// Lets go of the records that no head needs. Only after everything that was sealed is on the disk.
    fn trim(&self, log: &mut Log) -> Result<(), Cause> {
        if self.copying.is_busy() {
            return Ok(());
        }
        let needed = (0..self.heads.count()).filter_map(|index| self.head_mut(index).oldest_record).min();
        let needed = needed.unwrap_or(log.next);
        while let Some(&(record, bytes)) = log.kept.front()
            && record < needed
        {
            log.kept_bytes = log.kept_bytes.saturating_sub(bytes.into());
            log.kept.pop_front();
        }
        let Some(front) = &self.front else { return log.records.drop_before(needed) };
        front.set_needed(needed)?;
        log.records.drop_before(needed.min(front.forwarded()))
    }

    pub(super) fn append_locked(&self, log: &mut Log, samples: &[(SeriesId, Sample)]) -> Result<(), Cause> {
        let first = log.next;
        let named = samples.iter().map(|(series, sample)| (self.ids[series.index()], sample));
        let mut put = Ok(());
        log::encode(named, |record, _| {
            if put.is_ok() {
                put = log.put(&record);
            }
        });
        put?;
        if let Some(front) = &self.front {
            front.appended(first..log.next, samples.iter().map(|(_, sample)| sample.source_timestamp.ticks()).min());
        }
        for (series, sample) in samples {
            self.push(log, series.index(), sample, first)?;
        }
        log.complete = log.next;
        self.hold_budget(log)?;
        self.seal_oldest(log)
    }

    pub(super) fn remove_locked(&self, log: &mut Log, index: usize, start: i64, end: i64) -> Result<(), Cause> {
        let record = log.next;
        log.put(&log::encode_remove(self.ids[index], start, end))?;
        if let Some(front) = &self.front {
            front.removed(record, self.ids[index], start, end);
        }
        self.take_out(log, index, start, end, record);
        log.complete = log.next;
        let mut head = self.head_mut(index);
        if head.removed.len() >= 16 { self.seal(log, index, &mut head) } else { Ok(()) }
    }

    pub(super) fn take_out(&self, log: &mut Log, index: usize, start: i64, end: i64, record: u64) {
        let mut head = self.head_mut(index);
        let before = head.bytes();
        head.remove(start, end);
        head.oldest_record.get_or_insert(record);
        log.head_bytes = (log.head_bytes + head.bytes()).saturating_sub(before);
    }

    pub(super) fn flush_locked(&self, log: &mut Log) -> Result<(), Cause> {
        let has_events = self.events.begin_flush();
        let flushed = self.flush_databases(log, has_events);
        if has_events && flushed.is_err() {
            self.events.set_unflushed();
        }
        flushed
    }

    /// The log; the blocks too when it is time, or when they have something that the log has not.
    fn flush_databases(&self, log: &mut Log, has_events: bool) -> Result<(), Cause> {
        log.flushes_since_trim += 1;
        if log.flushes_since_trim < self.options.flushes_per_trim && log.kept_bytes <= self.options.log_bytes_max {
            if has_events {
                self.block_db.flush()?;
            }
            self.flush_log()?;
            self.is_safe_before(log.next);
            return Ok(());
        }
        self.hold_log(log)?;
        self.block_db.flush()?;
        self.flush_log()?;
        self.is_safe_before(log.next);
        log.flushes_since_trim = 0;
        self.trim(log)
    }

    /// The log's records before this one survive a power cut.
    pub(super) fn is_safe_before(&self, record: u64) {
        if let Some(front) = &self.front {
            front.set_safe(record);
        }
    }

    /// Writes to the log what the store behind shall know. It is handed on once it is safe: after the next flush.
    pub(super) fn hand_on(&self, log: &mut Log, series: PersistentId, op: &Op) -> Result<(), Cause> {
        if self.front.is_none() {
            return Ok(());
        }
        let bytes = handed_on::write(series, op).ok_or("it is too long to be handed on")?;
        log::encode_op(&bytes).try_for_each(|record| log.put(&record))?;
        log.complete = log.next;
        Ok(())
    }

    /// As [`hand_on`](Self::hand_on), for several, and safe when it returns.
    pub(super) fn hand_on_safely(&self, ops: &[(PersistentId, Op)]) -> Result<(), Cause> {
        if self.front.is_none() || ops.is_empty() {
            return Ok(());
        }
        let next = {
            let mut log = self.log();
            ops.iter().try_for_each(|(series, op)| self.hand_on(&mut log, *series, op))?;
            log.next
        };
        self.flush_log()?;
        self.is_safe_before(next);
        Ok(())
    }
}
