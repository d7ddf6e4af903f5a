//! What a [`SledStore`] does for the store behind it: hands on what is safe, and lets go of what the other has.

use std::collections::HashMap;

use tracing::error;

use super::{
    HistoryError,
    blocks::Cause,
    front::Front,
    log::{LogEntry, PersistentId, Replay},
    log_trees,
    sled_store::SledStore,
};
use crate::{sample::SeriesId, time::Timestamp};

/// What is handed on at once.
#[derive(Debug, Default)]
pub(super) struct Handful {
    /// With the numbers of their records.
    pub(super) entries: Vec<(u64, LogEntry)>,
    /// The record after the last of them.
    pub(super) end: u64,
}

impl SledStore {
    pub(super) fn as_front(&self) -> Result<&Front, Cause> {
        self.front.as_ref().ok_or_else(|| "the store stands in front of none".into())
    }

    /// The records from `from` on, which are not handed on yet, as far as they are safe: so many, and the rest of a value that
    /// is cut.
    pub(super) fn to_hand_on(&self, from: u64, records_max: usize) -> Result<Handful, Cause> {
        let safe = self.as_front()?.safe();
        // Before this one the trees lose none, and what is safe does not change.
        let trees = self.log().records.snapshot();
        let mut handful = Handful { entries: Vec::new(), end: safe.max(from) };
        let mut replay = Replay::default();
        for (count, item) in log_trees::iter_from(&trees, from).enumerate() {
            let (key, record) = item?;
            let number = log_trees::number(&key)?;
            if number >= safe {
                break;
            }
            if count >= records_max && !replay.is_within() {
                handful.end = number;
                break;
            }
            if let Err(damage) = replay.record(&record, |entry| handful.entries.push((number, entry))) {
                error!(record = number, %damage, "a record of history's log is damaged and not handed on");
            }
        }
        Ok(handful)
    }

    /// Names of series by their numbers on the disk, of those too that are not configured any more.
    pub(super) fn names_by_id(&self) -> Result<HashMap<PersistentId, String>, Cause> {
        let mut names = HashMap::new();
        for item in &self.names {
            let (name, id) = item?;
            let id = PersistentId::from_be_bytes(id.as_ref().try_into()?);
            names.insert(id, String::from_utf8(name.to_vec())?);
        }
        Ok(names)
    }

    pub(super) fn persistent_id(&self, series: SeriesId) -> Result<PersistentId, HistoryError> {
        self.known(series)?;
        Ok(self.ids[series.index()])
    }

    /// Everything that is here is behind too, from now on.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn is_all_behind(&self) -> Result<(), HistoryError> {
        let mark = || {
            let log = self.log();
            self.as_front()?.set_forwarded(log.next)?;
            self.flush_blocks()?;
            self.flush_log()
        };
        mark().map_err(HistoryError::Flush)
    }

    /// Drops what is older, as far as it is behind and whole blocks can go. Whoever reads meanwhile looks at
    /// [`Front::whole_from`] afterwards.
    pub(super) fn let_go(&self, before: Timestamp) -> Result<u64, Cause> {
        let front = self.as_front()?;
        let all_behind = |before: i64| front.earliest_waiting().map_or(before, |earliest| earliest.min(before));
        let before = Timestamp::from_ticks(all_behind(before.ticks()));
        if before <= front.whole_from() {
            return Ok(0);
        }
        front.set_whole_from(before)?;
        self.flush_log()?;
        let indices = self.indices();
        let (mut next, mut gone) = (Some(0), 0);
        while let Some(from) = next {
            let Some(id) = self.blocks.first_series(from)? else { break };
            loop {
                // Late samples may have come, which go to these blocks when their head is sealed: not while this is locked.
                let _log = self.log();
                if all_behind(before.ticks()) < before.ticks() {
                    return Ok(gone);
                }
                let (samples, is_more) = self.drop_some_before(id, indices.get(&id).copied(), before.ticks())?;
                gone += samples;
                if !is_more {
                    break;
                }
            }
            next = id.checked_add(1);
        }
        Ok(gone)
    }
}
