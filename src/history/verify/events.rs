//! Events: each entry of the index says where its record is and is found under every key under which it should be, each
//! record is whole and says what it should. A record of a type that only a newer program knows is no damage.

use sled::Db;

use super::{Pair, Place, VerifyProgress, VerifyReport, existing, span, walk};
use crate::history::{
    blocks::Cause,
    log::PersistentId,
    record::RecordError,
    sled_events::{self, ALL, Entry, Events, IDS, Sources, key},
};

const EVENT: &str = "event";
const CONDITION: &str = "condition's last event";

pub(super) fn check(db: &Db, report: &mut VerifyReport, progress: &mut dyn FnMut(VerifyProgress)) -> Result<(), Cause> {
    let Some(tree) = existing(db, sled_events::TREES[1])? else { return Ok(()) };
    let events = Events::open(db, &[])?;
    let sources = Sources::of(events.stored_sources())?;
    let place = |what, source: Option<PersistentId>| {
        let name = source.and_then(|source| sources.name(source));
        Place::Record(what, name.map(|name| if name.is_empty() { "Server" } else { name }.to_owned()))
    };
    walk(&tree, |pair| {
        let (key, bytes) = match pair {
            Ok(pair) => pair,
            Err((scope, cause)) => return report.damage(place(EVENT, Some(scope)), (None, None), &cause),
        };
        match key.get(..4) {
            Some([0, 0, 0, 0]) => {
                report.events += 1;
                let source = Entry::short(&bytes).map(|(_, source)| source);
                if let Err(what) = whole(&events, &(key.clone(), bytes), source.and_then(|id| sources.name(id))) {
                    let at = sled_events::parse(&key).map(|(_, (time, _))| time.ticks());
                    report.damage(place(EVENT, source), at.map_or((None, None), |at| span(at, at)), &what);
                }
                progress(report.progress());
            }
            _ => {
                if !refers_to_one(&events, &(key.clone(), bytes)) {
                    let at = sled_events::parse(&key).filter(|(scope, _)| *scope != IDS);
                    let times = at.map_or((None, None), |(_, (time, _))| span(time.ticks(), time.ticks()));
                    report.damage(place(EVENT, at.map(|(scope, _)| scope)), times, &"the index has no such event");
                }
            }
        }
    });
    for item in sled_events::conditions(&events.conditions) {
        let (key, read) = item?;
        if let Err(damage) = read.map(drop).or_else(unless_unknown) {
            let source = key.first_chunk().map(|id| PersistentId::from_be_bytes(*id));
            report.damage(place(CONDITION, source), (None, None), &damage);
        }
    }
    Ok(())
}

fn unless_unknown(damage: RecordError) -> Result<(), RecordError> {
    if damage == RecordError::UnknownType { Ok(()) } else { Err(damage) }
}

/// What is wrong with an entry under [`ALL`], with its other keys, or with its record.
fn whole(events: &Events, (entry_key, bytes): &Pair, source: Option<&str>) -> Result<(), String> {
    let (_, at) = sled_events::parse(entry_key).ok_or("its key is malformed")?;
    let entry = Entry::whole(bytes).ok_or("its entry in the index is malformed")?;
    if source.is_none() {
        return Err("its source has no name".to_owned());
    }
    for other in entry.keys(at) {
        if !events.index.contains_key(other).map_err(|cause| cause.to_string())? {
            return Err("the index does not have it everywhere".to_owned());
        }
    }
    let read = events.stored(at, entry.place).map_err(|cause| cause.to_string())?;
    read.map(drop).or_else(unless_unknown).map_err(|damage| damage.to_string())
}

/// Whether what stands under another scope, or under an EventId, is of an entry under [`ALL`].
fn refers_to_one(events: &Events, (entry_key, bytes): &Pair) -> bool {
    let Some((scope, at)) = sled_events::parse(entry_key) else { return false };
    let all = match scope {
        IDS => sled_events::parse(&[&[0; 4], &bytes[..]].concat()).map(|(_, at)| key(ALL, at)),
        _ => Some(key(ALL, at)),
    };
    let entry = all.and_then(|all| events.index.get(all).ok().flatten()).and_then(|bytes| Entry::whole(&bytes));
    match scope {
        IDS => entry.is_some_and(|entry| entry_key[4..] == entry.id.0),
        _ => entry.is_some_and(|entry| Entry::short(bytes) == Some((entry.place, entry.source))),
    }
}
