//! Where blocks are kept: a sled tree of small values, each written once.
//!
//! What sled does to large values, and what is done about it here (0.34.7, measured):
//! - A leaf has 8 to 16 keys. Every tenth change of it, and every split, writes the whole leaf again. Blocks that were
//!   inserted by their time were written three times, and kept the disk at twice their size: a segment of sled's file is
//!   given back only when half of it is dead. So keys are made first, many at once and without values: leaves split while
//!   they are empty. Setting the values later adds at most 8 changes to most leaves, each of which stays as it was written.
//! - A leaf of more than 128 KiB goes to a file of its own, which sled never syncs: a power cut may take it with all that
//!   was in it. So no value is longer than [`PART_BYTES`], with which no leaf gets there. A longer block is cut.
//!
//! A value that nothing refers to (after a crash between writing it and referring to it) is no more than lost space.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use sled::{IVec, Tree};

use super::{blocks::Cause, log::PersistentId};

/// No value is longer: 16 of them, a full leaf, stay below 128 KiB.
pub(super) const PART_BYTES: usize = 7 * 1024;
/// So many keys are made at a time: few for a series with few blocks.
const RUN_MIN: u32 = 8;
const RUN_MAX: u32 = 64;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first of its slots.
    pub(super) slot: u32,
    /// How many it takes.
    pub(super) parts: u16,
}

impl Place {
    pub(super) const BYTES: usize = 6;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.slot.to_le_bytes());
        bytes[4..].copy_from_slice(&self.parts.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f] = bytes;
        Self { slot: u32::from_le_bytes([a, b, c, d]), parts: u16::from_le_bytes([e, f]) }
    }

    fn keys(self, id: PersistentId) -> impl Iterator<Item = [u8; 8]> {
        (0..u32::from(self.parts)).map(move |part| key(id, self.slot.wrapping_add(part)))
    }
}

/// A series' slots.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// The next to be filled.
    next: u32,
    /// Those before have keys.
    made: u32,
}

/// The values of all series.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) tree: Tree,
    runs: Mutex<HashMap<PersistentId, Run>>,
}

fn key(id: PersistentId, slot: u32) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&id.to_be_bytes());
    key[4..].copy_from_slice(&slot.to_be_bytes());
    key
}

impl Slots {
    pub(super) fn new(tree: Tree) -> Self {
        Self { tree, runs: Mutex::default() }
    }

    /// Writes a block where nothing is yet.
    pub(super) fn put(&self, id: PersistentId, bytes: &[u8]) -> Result<Place, Cause> {
        let parts = u16::try_from(bytes.len().div_ceil(PART_BYTES)).map_err(|_| "a block is too long")?;
        let place = Place { slot: self.take(id, parts.into())?, parts };
        for (key, part) in place.keys(id).zip(bytes.chunks(PART_BYTES)) {
            self.tree.insert(key, part)?;
        }
        Ok(place)
    }

    /// The block there; `None` if something of it is missing.
    pub(super) fn get(&self, id: PersistentId, place: Place) -> sled::Result<Option<IVec>> {
        if place.parts == 1 {
            return Ok(self.tree.get(key(id, place.slot))?.filter(|bytes| !bytes.is_empty()));
        }
        let mut whole = Vec::new();
        for key in place.keys(id) {
            match self.tree.get(key)? {
                Some(part) if !part.is_empty() => whole.extend_from_slice(&part),
                _ => return Ok(None),
            }
        }
        Ok(Some(whole.into()).filter(|_| place.parts > 0))
    }

    /// Gives the room back, once nothing refers to it.
    pub(super) fn free(&self, id: PersistentId, place: Place) -> sled::Result<()> {
        place.keys(id).try_for_each(|key| self.tree.remove(key).map(drop))
    }

    /// The first of `count` slots that are empty and have keys.
    fn take(&self, id: PersistentId, count: u32) -> Result<u32, Cause> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = match runs.entry(id) {
            Entry::Occupied(run) => run.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.find(id)?),
        };
        let end = run.next.checked_add(count).ok_or("no room for blocks is left in a series")?;
        // Keys come while the last leaf is still empty: then its splits write nothing.
        while end.saturating_add((run.made / 4).min(16)) > run.made {
            let more = run.made.clamp(RUN_MIN, RUN_MAX);
            for slot in run.made..run.made.saturating_add(more) {
                self.tree.insert(key(id, slot), &[])?;
            }
            run.made = run.made.saturating_add(more);
        }
        Ok(std::mem::replace(&mut run.next, end))
    }

    /// What a series has: its last keys have no value yet.
    fn find(&self, id: PersistentId) -> Result<Run, Cause> {
        let mut run = Run::default();
        for item in self.tree.scan_prefix(id.to_be_bytes()).rev() {
            let (key, bytes) = item?;
            let slot = u32::from_be_bytes(key[4..].try_into()?);
            run.made = run.made.max(slot.saturating_add(1));
            if !bytes.is_empty() {
                run.next = slot.saturating_add(1);
                break;
            }
        }
        Ok(run)
    }
}
