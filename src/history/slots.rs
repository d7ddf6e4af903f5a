//! Where blocks are kept: a sled tree of small values, each written once.
//!
//! What sled does to large values, and what is done about it here (0.34.7, measured):
//! - A leaf has 8 to 16 keys. Every tenth change of it, and every split, writes the whole leaf again. Blocks under keys of
//!   their series and time were written three times, and kept the disk at twice their size: a segment of sled's file is
//!   given back only when half of it is dead. So slots are numbered, and their keys are made in order and before their
//!   values: leaves split while they are empty, into 8 keys each. Setting the values adds 8 changes to a leaf, and each
//!   stays where it was written: 1.1 times their size.
//! - A leaf of more than 128 KiB goes to a file of its own, which sled never syncs: a power cut may take it with all that
//!   was in it. So no value is longer than [`PART_BYTES`], with which no leaf gets there. A longer block is cut.
//!
//! A leaf's 8 slots are one series', so that reading it reads few leaves. A value that nothing refers to (after a crash
//! between writing it and referring to it) is no more than lost space.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::{Mutex, PoisonError},
};

use sled::{IVec, Tree};

use super::{blocks::Cause, log::PersistentId};

/// No value is longer: 16 of them, a full leaf, stay below 128 KiB.
pub(super) const PART_BYTES: usize = 7 * 1024;
/// Slots that a series takes at a time: a leaf.
const GROUP: u32 = 8;
/// So many keys are made at a time, before the last leaf, which is still to be split, has values.
const RUN: u32 = 512;

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

    fn keys(self) -> impl Iterator<Item = [u8; 4]> {
        (0..u32::from(self.parts)).map(move |part| self.slot.wrapping_add(part).to_be_bytes())
    }
}

/// Who has which slots.
#[derive(Debug)]
struct Taken {
    /// Of each series that wrote: what is left of its group.
    groups: HashMap<PersistentId, Range<u32>>,
    /// Groups from here on are nobody's.
    next: u32,
    /// Slots before this one have keys.
    made: u32,
}

/// The values of all series.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) tree: Tree,
    taken: Mutex<Taken>,
}

fn slot_of(key: &[u8]) -> Result<u32, Cause> {
    Ok(u32::from_be_bytes(key.try_into()?))
}

impl Slots {
    pub(super) fn open(tree: Tree) -> Result<Self, Cause> {
        let made = tree.last()?.map_or(Ok(0), |(key, _)| slot_of(&key).map(|last| last.saturating_add(1)))?;
        let mut next = 0;
        for item in tree.iter().rev() {
            let (key, bytes) = item?;
            if !bytes.is_empty() {
                next = (slot_of(&key)? / GROUP + 1).saturating_mul(GROUP);
                break;
            }
        }
        Ok(Self { tree, taken: Mutex::new(Taken { groups: HashMap::new(), next, made }) })
    }

    /// Writes a block where nothing is yet. `last` gives the place of the series' last block, if it is asked.
    pub(super) fn put(
        &self,
        id: PersistentId,
        bytes: &[u8],
        last: impl FnOnce() -> sled::Result<Option<Place>>,
    ) -> Result<Place, Cause> {
        let parts = u16::try_from(bytes.len().div_ceil(PART_BYTES)).map_err(|_| "a block is too long")?;
        let place = Place { slot: self.take(id, parts.into(), last)?, parts };
        for (key, part) in place.keys().zip(bytes.chunks(PART_BYTES)) {
            self.tree.insert(key, part)?;
        }
        Ok(place)
    }

    /// The block there; `None` if something of it is missing.
    pub(super) fn get(&self, place: Place) -> sled::Result<Option<IVec>> {
        if place.parts == 1 {
            return Ok(self.tree.get(place.slot.to_be_bytes())?.filter(|bytes| !bytes.is_empty()));
        }
        let mut whole = Vec::new();
        for key in place.keys() {
            match self.tree.get(key)? {
                Some(part) if !part.is_empty() => whole.extend_from_slice(&part),
                _ => return Ok(None),
            }
        }
        Ok(Some(whole.into()).filter(|_| place.parts > 0))
    }

    /// Gives the room back, once nothing refers to it.
    pub(super) fn free(&self, place: Place) -> sled::Result<()> {
        place.keys().try_for_each(|key| self.tree.remove(key).map(drop))
    }

    /// The first of `count` slots that follow one another, are empty and have keys.
    fn take(
        &self,
        id: PersistentId,
        count: u32,
        last: impl FnOnce() -> sled::Result<Option<Place>>,
    ) -> Result<u32, Cause> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Taken { groups, next, made } = &mut *taken;
        let group = match groups.entry(id) {
            Entry::Occupied(group) => group.into_mut(),
            Entry::Vacant(unknown) => {
                let rest = last()?.map_or(Ok(0..0), |place| self.rest_of_group(place))?;
                unknown.insert(rest)
            }
        };
        if group.end - group.start < count {
            let size = count.div_ceil(GROUP) * GROUP;
            let end = next.checked_add(size).filter(|end| end.checked_add(2 * RUN).is_some());
            *group = *next..end.ok_or("no room for blocks is left")?;
            *next = group.end;
        }
        while *next + 2 * GROUP > *made {
            for slot in *made..*made + RUN {
                self.tree.insert(slot.to_be_bytes(), &[])?;
            }
            *made += RUN;
        }
        group.start += count;
        Ok(group.start - count)
    }

    /// What is empty behind a block, where groups end: before a start the series went on there.
    fn rest_of_group(&self, place: Place) -> sled::Result<Range<u32>> {
        let start = place.slot.saturating_add(place.parts.into());
        let end = start.div_ceil(GROUP).saturating_mul(GROUP);
        let is_empty = start < end && self.tree.get(start.to_be_bytes())?.is_some_and(|bytes| bytes.is_empty());
        Ok(if is_empty { start..end } else { 0..0 })
    }
}
