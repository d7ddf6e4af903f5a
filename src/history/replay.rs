//! Opening a history: the log's records go back into the heads.

use std::{
    collections::HashMap,
    ops::Range,
    sync::mpsc::{self, SyncSender},
    thread,
};

use sled::{IVec, Tree};
use tracing::{error, info};

use super::{
    blocks::{Cause, PAGE_SAMPLES},
    front::Front,
    head::Head,
    log::{self, LogEntry, LogError, PersistentId, Replay},
    log_trees,
    sled_log::Log,
    sled_store::SledStore,
};
use crate::sample::Sample;

/// Records decoded before they are needed.
const DECODED_AHEAD: usize = 64;

/// A log record, read.
struct Decoded {
    number: u64,
    bytes: u32,
    /// Cut records count from their first part, so every entry gets the oldest record that can hold it.
    from: u64,
    entries: Vec<LogEntry>,
    is_damaged: bool,
}

/// Reads all records, until nobody wants more or one cannot be read.
///
/// Of what no head needs, and a front keeps for the store behind it, only the removals.
fn decode(trees: &[Tree], needed: u64, send: &SyncSender<Result<Decoded, Cause>>) {
    let (mut replay, mut first_part) = (Replay::default(), None);
    for item in log_trees::iter(trees) {
        if let Ok((key, record)) = &item
            && log_trees::number(key).is_ok_and(|number| number < needed)
            && !log::is_remove(record)
        {
            continue;
        }
        let decoded = item.map_err(Cause::from).and_then(|pair| decode_one(&pair, &mut replay, &mut first_part));
        let is_last = decoded.is_err();
        if send.send(decoded).is_err() || is_last {
            return;
        }
    }
}

fn decode_one(
    (key, record): &(IVec, IVec),
    replay: &mut Replay,
    first_part: &mut Option<u64>,
) -> Result<Decoded, Cause> {
    let number = log_trees::number(key)?;
    let from = *first_part.get_or_insert(number);
    let (mut entries, mut is_damaged) = (Vec::with_capacity(log::entries(record)), false);
    match replay.record(record, |entry| entries.push(entry)) {
        Ok(()) => {}
        Err(newer @ LogError::Version(_)) => return Err(newer.into()),
        Err(damage) => {
            is_damaged = true;
            error!(record = number, %damage, "a record of history's log is damaged");
        }
    }
    if !entries.is_empty() || !replay.is_within() {
        *first_part = None;
    }
    Ok(Decoded { number, bytes: u32::try_from(record.len())?, from, entries, is_damaged })
}

impl SledStore {
    pub(super) fn replay(&self) -> Result<(), Cause> {
        let mut log = self.log();
        let indices: HashMap<PersistentId, usize> = self.ids.iter().map(|(index, &id)| (id, index)).collect();
        let covered = self.ids.iter().map(|(_, &id)| self.blocks.covered(id)).collect::<sled::Result<Vec<_>>>()?;
        // A crash may have taken the log's last records and not the blocks that refer beyond them.
        log.next = covered.iter().copied().max().unwrap_or(0);
        let mut orphans: HashMap<PersistentId, Head> = HashMap::new();
        let (mut samples, mut damaged) = (0_u64, 0_u64);
        let trees = log.records.snapshot();
        let needed = self.front.as_ref().map_or(0, Front::needed);
        if let Some(front) = &self.front {
            log.next = log.next.max(front.first_free());
            let oldest = log_trees::iter(&trees).next().transpose()?;
            front.begin(oldest.map_or(Ok(log.next), |(key, _)| log_trees::number(&key))?);
        }
        // Reading and decoding take as long as filling the heads: at the same time.
        thread::scope(|scope| {
            let (send, decoded) = mpsc::sync_channel(DECODED_AHEAD);
            scope.spawn(move || decode(&trees, needed, &send));
            for decoded in decoded {
                let Decoded { number, bytes, from, entries, is_damaged } = decoded?;
                self.tell_front(from..number + 1, &entries);
                if number < needed {
                    continue;
                }
                log.keep(number, bytes);
                log.next = log.next.max(number + 1);
                damaged += u64::from(is_damaged);
                samples += entries.len() as u64;
                log.complete = from;
                for entry in entries {
                    let (LogEntry::Sample(id, _) | LogEntry::Remove(id, _, _)) = entry else { continue };
                    match indices.get(&id) {
                        Some(&index) if from < covered[index] => {}
                        Some(&index) => self.replay_entry(&mut log, index, entry, from)?,
                        None => self.replay_orphan(&mut orphans, entry)?,
                    }
                }
                log.complete = number + 1;
                if log.head_bytes > self.options.head_bytes_max {
                    self.drop_sealed(&mut log)?;
                    self.hold_budget(&mut log)?;
                }
            }
            Ok::<(), Cause>(())
        })?;
        log.next = log.next.max(needed);
        log.complete = log.next;
        if let Some(front) = &self.front {
            // What was read is on the disk; whether for good, the next flush says.
            front.is_replayed();
        }
        self.drop_sealed(&mut log)?;
        for (id, head) in orphans {
            self.blocks.seal(id, &head, 0)?;
        }
        info!(records = log.kept.len(), entries = samples, damaged, "history opened");
        Ok(())
    }

    fn tell_front(&self, records: Range<u64>, entries: &[LogEntry]) {
        let Some(front) = self.front.as_ref().filter(|front| front.forwarded() < records.end) else { return };
        let times = entries.iter().filter_map(|entry| match entry {
            LogEntry::Sample(_, sample) => Some(sample.source_timestamp.ticks()),
            _ => None,
        });
        front.appended(records.clone(), times.min());
        for entry in entries {
            if let LogEntry::Remove(id, start, end) = *entry {
                front.removed(records.end - 1, id, start, end);
            }
        }
    }

    fn replay_entry(&self, log: &mut Log, index: usize, entry: LogEntry, record: u64) -> Result<(), Cause> {
        match entry {
            LogEntry::Sample(_, sample) => self.push(log, index, &sample, record)?,
            LogEntry::Remove(_, start, end) => self.take_out(log, index, start, end, record),
            LogEntry::Op(_) => {}
        }
        Ok(())
    }

    /// A series that is not configured any more: its data stays.
    fn replay_orphan(&self, orphans: &mut HashMap<PersistentId, Head>, entry: LogEntry) -> Result<(), Cause> {
        match entry {
            LogEntry::Sample(id, sample) => {
                let head = orphans.entry(id).or_default();
                head.push(&sample);
                if head.len() >= PAGE_SAMPLES {
                    self.blocks.seal(id, &std::mem::take(head), 0)?;
                }
            }
            LogEntry::Remove(id, start, end) => orphans.entry(id).or_default().remove(start, end),
            LogEntry::Op(_) => {}
        }
        Ok(())
    }

    /// Takes out of the heads what blocks hold already: the log is cut only now and then.
    fn drop_sealed(&self, log: &mut Log) -> Result<(), Cause> {
        for index in 0..self.heads.count() {
            let mut head = self.head_mut(index);
            let Some((first, _)) = head.extent() else { continue };
            // Most heads begin after the last block: nothing of them is in any.
            let newest = self.blocks.at_or_before(self.ids[index], i64::MAX)?;
            if newest.is_none_or(|newest| newest.last() < first) {
                continue;
            }
            let before = head.bytes();
            let mut cache = None;
            let mut missing: Vec<Sample> = Vec::new();
            for sample in head.samples(i64::MIN, i64::MAX, true) {
                // What a removal still has to pass over stays in the head, or it would be lost with it.
                let is_safe = !head.is_removed(sample.source_timestamp.ticks());
                if !(is_safe && self.blocks.holds(self.ids[index], &sample, &mut cache)?) {
                    missing.push(sample);
                }
            }
            if missing.len() < head.len() {
                head.replace_samples(&missing);
                log.head_bytes = (log.head_bytes + head.bytes()).saturating_sub(before);
            }
        }
        Ok(())
    }
}
