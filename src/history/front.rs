//! What a store on the disk must know to stand in front of another one: up to which record of its log the store behind has
//! everything, from which instant on this one has everything itself, and what is between.
//!
//! The log is what is handed on: it has everything that happened, once, in its order, and what is in it and what is in the store
//! cannot come apart. So a front writes no more than a store that stands alone; it just keeps the log longer.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use sled::{Db, Tree};

use super::{blocks::Cause, log::PersistentId};
use crate::time::Timestamp;

const TREE: &str = "front";
const FORWARDED: &str = "forwarded";
const NEEDED: &str = "needed";
const CLAIMED: &str = "claimed";
const WHOLE_FROM: &str = "whole from";
/// Records of which the earliest instant is kept together.
const RECORDS_TOGETHER: u64 = 256;

/// Whether another store stands behind one on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// None. A folder that was a front is refused: it may lack what is old.
    Alone,
    /// One does. A folder that is new is whole from this instant on (if it is given; else nobody knows from when); one that has
    /// history already, and never was a front, is refused: the store behind lacks it.
    Front(Option<Timestamp>),
    /// One will, and has everything that is here.
    BecomesFront,
}

/// start..end (ticks) that was taken out of a series, and by which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Removed {
    record: u64,
    series: PersistentId,
    start: i64,
    end: i64,
}

/// Of what the store behind has not got yet.
#[derive(Debug, Default)]
struct Waiting {
    removed: VecDeque<Removed>,
    /// Of so many records, by the last of them, the earliest SourceTimestamp.
    earliest: VecDeque<(u64, i64)>,
    /// Nobody may wait for more any longer.
    is_stopped: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Front {
    /// In the log database.
    tree: Tree,
    /// The store behind has the records before this one.
    forwarded: AtomicU64,
    /// Those before this one survive a power cut.
    safe: AtomicU64,
    /// Heads need none before this one.
    needed: AtomicU64,
    whole_from: AtomicI64,
    waiting: Mutex<Waiting>,
    more_is_safe: Condvar,
}

fn get(tree: &Tree, key: &str) -> Result<Option<u64>, Cause> {
    let bytes = tree.get(key)?;
    Ok(bytes.map(|bytes| <[u8; 8]>::try_from(&*bytes)).transpose()?.map(u64::from_be_bytes))
}

fn set(tree: &Tree, key: &str, number: u64) -> Result<(), Cause> {
    tree.insert(key, &number.to_be_bytes())?;
    Ok(())
}

impl Front {
    /// `is_empty`: the store has nothing yet.
    pub(super) fn open(db: &Db, role: Role, is_empty: impl Fn() -> Result<bool, Cause>) -> Result<Option<Self>, Cause> {
        let was_front = db.tree_names().iter().any(|name| name == TREE.as_bytes());
        let whole_from = match role {
            Role::Alone if was_front => {
                return Err("it stands before a ClickHouse store, which has what is older: keep [history.store.clickhouse], or \
                            copy all of it into a new folder with `uatwin history copy`"
                    .into());
            }
            Role::Alone => return Ok(None),
            Role::Front(_) if !was_front && !is_empty()? => {
                return Err(
                    "it has history that the ClickHouse store lacks: take it there with `uatwin history copy`, or \
                            give another data_dir"
                        .into(),
                );
            }
            Role::Front(now) => now,
            Role::BecomesFront => Some(Timestamp::from_ticks(i64::MIN)),
        };
        let tree = db.open_tree(TREE)?;
        if let Some(from) = whole_from
            && (role == Role::BecomesFront || get(&tree, WHOLE_FROM)?.is_none())
        {
            set(&tree, WHOLE_FROM, from.ticks().cast_unsigned())?;
        }
        let whole_from = get(&tree, WHOLE_FROM)?.map_or(i64::MAX, u64::cast_signed);
        let number = |key| Ok::<_, Cause>(AtomicU64::new(get(&tree, key)?.unwrap_or(0)));
        Ok(Some(Self {
            forwarded: number(FORWARDED)?,
            safe: AtomicU64::new(0),
            needed: number(NEEDED)?,
            whole_from: AtomicI64::new(whole_from),
            waiting: Mutex::default(),
            more_is_safe: Condvar::new(),
            tree,
        }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::SeqCst)
    }

    pub(super) fn needed(&self) -> u64 {
        self.needed.load(Ordering::SeqCst)
    }

    /// No record may have a lower number: the store behind would take it for one that it has.
    pub(super) fn first_free(&self) -> u64 {
        self.forwarded().max(self.needed())
    }

    /// Replay begins; the oldest record there is has this number.
    pub(super) fn begin(&self, oldest: u64) {
        self.forwarded.fetch_max(oldest, Ordering::SeqCst);
        if self.forwarded() < self.needed() {
            // Of those nothing but removals is read: they may be from any time.
            self.waiting().earliest.push_back((self.needed() - 1, i64::MIN));
        }
    }

    /// What was replayed is handed on after the first flush.
    pub(super) fn is_replayed(&self) {
        self.safe.store(self.forwarded(), Ordering::SeqCst);
    }

    /// Before `needed` heads need no record; what blocks have instead is safe.
    pub(super) fn set_needed(&self, needed: u64) -> Result<(), Cause> {
        self.needed.store(needed, Ordering::SeqCst);
        set(&self.tree, NEEDED, needed)
    }

    pub(super) fn set_safe(&self, record: u64) {
        self.safe.fetch_max(record, Ordering::SeqCst);
        // With the lock: whoever is about to wait must not miss it.
        let _waiting = self.waiting();
        self.more_is_safe.notify_all();
    }

    pub(super) fn safe(&self) -> u64 {
        self.safe.load(Ordering::SeqCst)
    }

    /// The store behind has the records before this one. Not lost with a crash is what was handed on, but that it was.
    pub(super) fn set_forwarded(&self, record: u64) -> Result<(), Cause> {
        set(&self.tree, FORWARDED, record)?;
        self.forwarded.store(record, Ordering::SeqCst);
        let mut waiting = self.waiting();
        while waiting.removed.front().is_some_and(|removed| removed.record < record) {
            waiting.removed.pop_front();
        }
        while waiting.earliest.front().is_some_and(|&(last, _)| last < record) {
            waiting.earliest.pop_front();
        }
        Ok(())
    }

    /// By which number this front is known behind it.
    pub(super) fn claimed(&self) -> Result<Option<u64>, Cause> {
        get(&self.tree, CLAIMED)
    }

    pub(super) fn set_claimed(&self, claim: u64) -> Result<(), Cause> {
        set(&self.tree, CLAIMED, claim)
    }

    /// Samples went to the log, the earliest of them of this instant.
    pub(super) fn appended(&self, records: Range<u64>, earliest: Option<i64>) {
        let (Some(earliest), Some(last)) = (earliest, records.end.checked_sub(1)) else { return };
        let mut waiting = self.waiting();
        match waiting.earliest.back_mut() {
            Some((before, at)) if *before / RECORDS_TOGETHER == last / RECORDS_TOGETHER => {
                (*before, *at) = (last, (*at).min(earliest));
            }
            _ => waiting.earliest.push_back((last, earliest)),
        }
    }

    pub(super) fn removed(&self, record: u64, series: PersistentId, start: i64, end: i64) {
        self.waiting().removed.push_back(Removed { record, series, start, end });
    }

    /// Before the store behind is asked: start..end (ticks) of what it still has of a series and should not.
    pub(super) fn removed_of(&self, series: PersistentId) -> Vec<(i64, i64)> {
        let waiting = self.waiting();
        let of_series = waiting.removed.iter().filter(|removed| removed.series == series);
        of_series.map(|removed| (removed.start, removed.end)).collect()
    }

    /// The earliest SourceTimestamp of what the store behind has not got yet.
    pub(super) fn earliest_waiting(&self) -> Option<i64> {
        self.waiting().earliest.iter().map(|&(_, at)| at).min()
    }

    /// From this instant on the front has everything itself.
    pub(super) fn whole_from(&self) -> Timestamp {
        Timestamp::from_ticks(self.whole_from.load(Ordering::SeqCst))
    }

    /// To be flushed before anything goes.
    pub(super) fn set_whole_from(&self, from: Timestamp) -> Result<(), Cause> {
        set(&self.tree, WHOLE_FROM, from.ticks().cast_unsigned())?;
        self.whole_from.store(from.ticks(), Ordering::SeqCst);
        Ok(())
    }

    /// Waits until more is safe than was forwarded, at most `longest`. False: stop.
    pub(super) fn wait(&self, longest: Duration, is_more_wanted: bool) -> bool {
        let waiting = self.waiting();
        let idle = |waiting: &mut Waiting| !(waiting.is_stopped || is_more_wanted && self.safe() > self.forwarded());
        let (waiting, _) =
            self.more_is_safe.wait_timeout_while(waiting, longest, idle).unwrap_or_else(PoisonError::into_inner);
        !waiting.is_stopped
    }

    pub(super) fn stop(&self) {
        self.waiting().is_stopped = true;
        self.more_is_safe.notify_all();
    }
}
