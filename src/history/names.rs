//! The numbers by which the disk knows series, by name and for ever.

use sled::Tree;

use super::{blocks::Cause, log::PersistentId};

/// The id of each name, given now if it has none yet.
pub(super) fn persistent_ids(tree: &Tree, names: &[String]) -> Result<Vec<PersistentId>, Cause> {
    let parse = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(PersistentId::from_be_bytes);
    let mut next = 0;
    for id in tree.iter().values() {
        next = next.max(parse(&id?)?.checked_add(1).ok_or("no series numbers are left")?);
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let id = match tree.get(name)? {
            Some(bytes) => parse(&bytes)?,
            None => {
                tree.insert(name.as_str(), &next.to_be_bytes())?;
                next = next.checked_add(1).ok_or("no series numbers are left")?;
                next - 1
            }
        };
        ids.push(id);
    }
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < ids.len() { Err("two series have the same name".into()) } else { Ok(ids) }
}
