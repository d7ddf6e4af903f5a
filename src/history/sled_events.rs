//! Events in a [`SledStore`](super::sled_store::SledStore), in trees of the block database:
//!
//! ```text
//! events            slots (see `slots.rs`), each written once: those of one twin lie together        number, event
//! event_index       u32 scope, u64 ticks with the sign bit flipped, u64 number                        where its record is
//!                   u32 ids, 16 bytes EventId                                                        ticks and number
//! event_sources     name                                                                             u32 scope
//! event_conditions  u32 scope, the rest of the ConditionId, u16 part                                 the last event
//! ```
//! A scope is what a read asks for: everything, all twins, all connections, one twin. An event stands in the index once under
//! each that tells it, so that none reads past the events of others. Under a twin's number its events stay its own when its
//! name changes; they are told with the new one.
//!
//! The record is written before the index refers to it, and the index of a batch changes in one step: after a crash there is
//! at most a record that nothing refers to, which is lost space. A damaged record is left out and logged once.
//!
//! `cargo bench --bench history -- events 200000 1000`, each a condition's, so far only unoptimised and beside four builds on
//! two cores: 3,200 events/s with a flush per thousand, 1.6 KB each on the disk; the newest 100 of one of 1,000 twins in 6 ms
//! just after opening, in 1 ms then; of all in 4 ms; opened in 0.6 s; 100,000 past retention gone in 11 s.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use sled::{Batch, Db, IVec, Tree};
use tracing::{error, warn};

use super::{
    Direction,
    backup::Copying,
    blocks::Cause,
    event_record::{self, condition, root},
    log::PersistentId,
    record::{self, RecordError},
    rename,
    slots::{Place, Slots},
};
use crate::{
    event::{Event, EventId},
    time::Timestamp,
};

/// Names of the trees, in the order in which a backup copies them: what refers to another comes first.
pub(super) const TREES: [&str; 4] = ["event_conditions", "event_index", "events", "event_sources"];

/// Told by the server.
pub(super) const ALL: PersistentId = 0;
const TWINS: PersistentId = 1;
const CONNECTIONS: PersistentId = 2;
/// Told by nobody else.
const NO_GROUP: PersistentId = 3;
/// Numbers of names begin here.
const SOURCES: PersistentId = 16;
/// Under this stand EventIds.
pub(super) const IDS: PersistentId = PersistentId::MAX;

/// Events put into the index in one step, and taken out of it.
const STEP: usize = 1024;
/// Records that are remembered as logged; the log says when there are more.
const SAID_MAX: usize = 1000;

/// When, and the how manieth.
pub(super) type At = (Timestamp, u64);

/// What the index says of an event: under [`ALL`] all of it, else the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) source: PersistentId,
    pub(super) group: PersistentId,
    pub(super) id: EventId,
}

pub(super) fn key(scope: PersistentId, (time, number): At) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&scope.to_be_bytes());
    key[4..12].copy_from_slice(&(time.ticks() ^ i64::MIN).to_be_bytes());
    key[12..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn id_key(id: EventId) -> [u8; 20] {
    let mut key = [0xff; 20];
    key[4..].copy_from_slice(&id.0);
    key
}

/// Scope and place of a key.
pub(super) fn parse(key: &[u8]) -> Option<(PersistentId, At)> {
    let key: &[u8; 20] = key.try_into().ok()?;
    let scope = PersistentId::from_be_bytes(key[..4].try_into().ok()?);
    let ticks = i64::from_be_bytes(key[4..12].try_into().ok()?) ^ i64::MIN;
    Some((scope, (Timestamp::from_ticks(ticks), u64::from_be_bytes(key[12..].try_into().ok()?))))
}

/// The number of the event that an entry of the index is about.
pub(super) fn number(key: &[u8], bytes: &[u8]) -> Option<u64> {
    let at = if key.starts_with(&IDS.to_be_bytes()) { bytes } else { key };
    Some(u64::from_be_bytes(*at.last_chunk()?))
}

impl Entry {
    const SHORT: usize = Place::BYTES + 4;

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.place.to_bytes().to_vec();
        bytes.extend(self.source.to_le_bytes());
        bytes.extend(self.group.to_le_bytes());
        bytes.extend(self.id.0);
        bytes
    }

    /// What stands under [`ALL`].
    pub(super) fn whole(bytes: &[u8]) -> Option<Self> {
        let (short, rest) = bytes.split_at_checked(Self::SHORT)?;
        let (place, source) = Self::short(short)?;
        let (group, id) = rest.split_at_checked(4)?;
        let group = PersistentId::from_le_bytes(group.try_into().ok()?);
        Some(Self { place, source, group, id: EventId(id.try_into().ok()?) })
    }

    /// What stands under every scope: where, and whose.
    pub(super) fn short(bytes: &[u8]) -> Option<(Place, PersistentId)> {
        let (place, source) = bytes.get(..Self::SHORT)?.split_at_checked(Place::BYTES)?;
        Some((Place::from_bytes(place.try_into().ok()?), PersistentId::from_le_bytes(source.try_into().ok()?)))
    }

    /// Every key under which it stands.
    pub(super) fn keys(&self, at: At) -> [[u8; 20]; 4] {
        [key(ALL, at), key(self.group, at), key(self.source, at), id_key(self.id)]
    }
}

/// Numbers of the first names in sources, both ways.
#[derive(Debug, Default)]
pub(super) struct Sources {
    ids: HashMap<String, PersistentId>,
    names: HashMap<PersistentId, String>,
}

impl Sources {
    pub(super) fn of(tree: &Tree) -> Result<Self, Cause> {
        let mut all = Self::default();
        for item in tree {
            let (name, id) = item?;
            all.insert(&String::from_utf8_lossy(&name), PersistentId::from_be_bytes(id.as_ref().try_into()?));
        }
        Ok(all)
    }

    fn insert(&mut self, name: &str, id: PersistentId) {
        self.ids.insert(name.to_owned(), id);
        self.names.insert(id, name.to_owned());
    }

    pub(super) fn name(&self, id: PersistentId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }
}

/// The events of a store.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) slots: Slots,
    pub(super) index: Tree,
    pub(super) conditions: Tree,
    stored_sources: Tree,
    sources: RwLock<Sources>,
    /// Whoever has it is the only one who adds or takes away.
    changing: Mutex<()>,
    /// Something was added since the last flush began.
    is_unflushed: AtomicBool,
    /// What the log has been told of: not again with every read.
    said: Mutex<HashSet<IVec>>,
}

impl Events {
    /// `renames`: old and new names of series; what they say of twins counts.
    pub(super) fn open(db: &Db, renames: &[(String, String)]) -> Result<Self, Cause> {
        let [conditions, index, events, sources] = TREES;
        let stored_sources = db.open_tree(sources)?;
        let mut twins: Vec<(String, String)> =
            renames.iter().map(|(old, new)| (root(old).to_owned(), root(new).to_owned())).collect();
        twins.retain(|(old, new)| old != new);
        twins.sort_unstable();
        twins.dedup();
        rename::carry_over(&stored_sources, &twins)?;
        Ok(Self {
            slots: Slots::open(db.open_tree(events)?)?,
            index: db.open_tree(index)?,
            conditions: db.open_tree(conditions)?,
            sources: RwLock::new(Sources::of(&stored_sources)?),
            stored_sources,
            changing: Mutex::default(),
            is_unflushed: AtomicBool::new(false),
            said: Mutex::default(),
        })
    }

    pub(super) fn stored_sources(&self) -> &Tree {
        &self.stored_sources
    }

    fn sources(&self) -> std::sync::RwLockReadGuard<'_, Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adding and taking away ends first.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something to be flushed; the caller does, or says that it could not.
    pub(super) fn begin_flush(&self) -> bool {
        self.is_unflushed.swap(false, Ordering::SeqCst)
    }

    pub(super) fn set_unflushed(&self) {
        self.is_unflushed.store(true, Ordering::SeqCst);
    }

    /// Adds events; numbers for them come from `db`.
    pub(super) fn append(&self, db: &Db, events: &[Event]) -> Result<(), Cause> {
        let _turn = self.turn();
        let appended = events.chunks(STEP).try_for_each(|events| self.append_some(db, events));
        // Afterwards: a flush that begins before may miss some of it.
        self.set_unflushed();
        appended
    }

    fn append_some(&self, db: &Db, events: &[Event]) -> Result<(), Cause> {
        let (mut batch, mut seen, mut last) = (Batch::default(), HashSet::new(), HashMap::new());
        for event in events {
            if !seen.insert(event.id) || self.index.contains_key(id_key(event.id))? {
                continue;
            }
            let (at, source) = ((event.time, db.generate_id()?), self.source(root(&event.source.0))?);
            let bytes = event_record::write(at.1, event).ok_or("an event is too long")?;
            let place = self.slots.put(source, &bytes, || self.last_place(source))?;
            let group = match &event.source {
                of if of.is_told_by("Twins") => TWINS,
                of if of.is_told_by("Connections") => CONNECTIONS,
                _ => NO_GROUP,
            };
            let entry = Entry { place, source, group, id: event.id };
            let bytes = entry.to_bytes();
            let [all, group, source, id] = entry.keys(at);
            batch.insert(&all, &bytes[..]);
            batch.insert(&group, &bytes[..Entry::SHORT]);
            batch.insert(&source, &bytes[..Entry::SHORT]);
            batch.insert(&id, &all[4..]);
            if let Some(condition) = condition(event) {
                last.insert(condition, (at.1, event));
            }
        }
        // First: what the index has is passed over when it is tried again.
        last.into_iter().try_for_each(|(condition, (number, event))| self.set_condition(condition, number, event))?;
        Ok(self.index.apply_batch(batch)?)
    }

    /// The number of a name, given now if it has none yet.
    fn source(&self, name: &str) -> Result<PersistentId, Cause> {
        if let Some(&id) = self.sources().ids.get(name) {
            return Ok(id);
        }
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        let next = sources.names.keys().max().map_or(SOURCES, |last| last.saturating_add(1));
        if next == IDS {
            return Err("no numbers are left for sources of events".into());
        }
        self.stored_sources.insert(name, &next.to_be_bytes())?;
        sources.insert(name, next);
        Ok(next)
    }

    fn last_place(&self, source: PersistentId) -> sled::Result<Option<Place>> {
        let of_source =
            key(source, (Timestamp::from_ticks(i64::MIN), 0))..key(source + 1, (Timestamp::from_ticks(i64::MIN), 0));
        let last = self.index.range(of_source).next_back().transpose()?;
        Ok(last.and_then(|(_, bytes)| Entry::short(&bytes)).map(|(place, _)| place))
    }

    /// The events that come by `notifier`: see [`HistoryStore::events`](super::HistoryStore::events).
    pub(super) fn read(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        (skip, limit): (usize, usize),
    ) -> Result<Vec<Event>, Cause> {
        let scope = match notifier {
            "" => Some(ALL),
            "Twins" => Some(TWINS),
            "Connections" => Some(CONNECTIONS),
            node => self.sources().ids.get(root(node)).copied(),
        };
        let Some(scope) = scope else { return Ok(Vec::new()) };
        let mut found = self.index.range(key(scope, (times.start, 0))..key(scope, (times.end.max(times.start), 0)));
        let next = || match direction {
            Direction::Forward => found.next(),
            Direction::Backward => found.next_back(),
        };
        let told = std::iter::from_fn(next).filter_map(|item| match item {
            Ok((key, entry)) => self.event(&key, &entry).transpose(),
            Err(cause) => Some(Err(cause.into())),
        });
        let told = told.filter(|event| event.as_ref().map_or(true, |event| event.source.is_told_by(notifier)));
        told.skip(skip).take(limit).collect()
    }

    /// The event that an entry of the index refers to; `None`: it is damaged, or has gone meanwhile.
    fn event(&self, key: &IVec, entry: &[u8]) -> Result<Option<Event>, Cause> {
        let (Some((_, at)), Some((place, source))) = (parse(key), Entry::short(entry)) else {
            self.say(key, None, &RecordError::Key);
            return Ok(None);
        };
        match self.stored(at, place)? {
            Ok(mut event) => {
                self.sources().name(source).into_iter().for_each(|name| event_record::rename(&mut event, name));
                Ok(Some(event))
            }
            Err(damage) => {
                if self.index.contains_key(key)? {
                    self.say(key, Some(at), &damage);
                }
                Ok(None)
            }
        }
    }

    /// What is at a place, if it is what should be there.
    pub(super) fn stored(&self, at: At, place: Place) -> Result<Result<Event, RecordError>, Cause> {
        let Some(bytes) = self.slots.get(place)? else { return Ok(Err(RecordError::MissingPart)) };
        let is_it = |(number, event): (u64, Event)| ((event.time, number) == at).then_some(event);
        Ok(event_record::read(&bytes).and_then(|found| is_it(found).ok_or(RecordError::Key)))
    }

    /// Tells the log of an event that is left out, once.
    fn say(&self, key: &IVec, at: Option<At>, damage: &RecordError) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= SAID_MAX || !said.insert(key.clone()) {
            return;
        }
        let at = at.map(|(time, _)| time.to_string());
        match damage {
            RecordError::UnknownType => warn!(at, "an event of history is left out: a newer program has written it"),
            damage => error!(at, %damage, "an event of history is damaged and left out"),
        }
        if said.len() == SAID_MAX {
            error!("so many events of history are left out that no more are logged");
        }
    }

    /// Takes out the events before `before`, in steps of bounded size. Not while a backup is made: its copy of the index
    /// comes before that of the records.
    pub(super) fn expire(&self, before: Timestamp, copying: &Copying) -> Result<(), Cause> {
        let range = key(ALL, (Timestamp::from_ticks(i64::MIN), 0))..key(ALL, (before, 0));
        loop {
            let _turn = self.turn();
            if copying.is_busy() {
                return Ok(());
            }
            let (mut batch, mut places) = (Batch::default(), Vec::new());
            for item in self.index.range(range.clone()).take(STEP) {
                let (key, bytes) = item?;
                if let Some(((_, at), entry)) = parse(&key).zip(Entry::whole(&bytes)) {
                    entry.keys(at).iter().for_each(|key| batch.remove(key));
                    places.push(Some(entry.place));
                } else {
                    batch.remove(key);
                    places.push(None);
                }
            }
            self.index.apply_batch(batch)?;
            places.iter().flatten().try_for_each(|place| self.slots.free(*place))?;
            if places.len() < STEP {
                return Ok(());
            }
        }
    }

    fn condition_key(&self, condition: &str, part: u16) -> Result<Vec<u8>, Cause> {
        let mut key = self.source(root(condition))?.to_be_bytes().to_vec();
        key.extend(condition[root(condition).len()..].bytes());
        key.extend(part.to_be_bytes());
        Ok(key)
    }

    /// A copy of an event as the last of its condition, in the place of the one before.
    fn set_condition(&self, condition: &str, number: u64, event: &Event) -> Result<(), Cause> {
        let parts = event_record::body(number, event).and_then(|body| record::split(&body));
        let parts = parts.ok_or("an event is too long")?;
        let before = self.conditions.get(self.condition_key(condition, 0)?)?.map_or(0, |head| record::parts(&head));
        let mut batch = Batch::default();
        for part in 0..before.max(parts.len()) {
            let key = self.condition_key(condition, u16::try_from(part)?)?;
            match parts.get(part) {
                Some(bytes) => batch.insert(key, bytes.as_slice()),
                None => batch.remove(key),
            }
        }
        Ok(self.conditions.apply_batch(batch)?)
    }

    /// The last event of each condition.
    pub(super) fn last_of_conditions(&self) -> Result<Vec<Event>, Cause> {
        let mut events = Vec::new();
        for item in conditions(&self.conditions) {
            let (key, read) = item?;
            match read {
                Ok((_, mut event)) => {
                    let source = key.first_chunk().map(|id| PersistentId::from_be_bytes(*id));
                    let sources = self.sources();
                    let name = source.and_then(|id| sources.name(id));
                    name.into_iter().for_each(|name| event_record::rename(&mut event, name));
                    events.push(event);
                }
                Err(damage) => self.say(&key, None, &damage),
            }
        }
        Ok(events)
    }
}

type OfCondition = (IVec, Result<(u64, Event), RecordError>);

/// Each condition's first key, and its event.
pub(super) fn conditions(tree: &Tree) -> impl Iterator<Item = Result<OfCondition, Cause>> + '_ {
    let of_first = |item: sled::Result<(IVec, IVec)>| -> Result<Option<OfCondition>, Cause> {
        let (key, head) = item?;
        let Some((condition, [0, 0])) = key.split_last_chunk() else { return Ok(None) }; // comes with its part 0
        let mut parts = 1..=u16::MAX;
        let next = || parts.next().map_or(Ok(None), |part| tree.get([condition, &part.to_be_bytes()].concat()));
        let read = record::join(&head, next)?.and_then(|body| event_record::read_body(&body));
        Ok(Some((key, read)))
    };
    tree.iter().filter_map(move |item| of_first(item).transpose())
}
