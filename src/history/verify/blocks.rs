//! The blocks, and those that were set aside.

use std::collections::HashMap;

use sled::Tree;

use super::{DAMAGES_MAX, Damage, Place, VerifyProgress, VerifyReport, series_of, span, walk};
use crate::{
    history::{
        block,
        blocks::{Blocks, first_ticks},
        log::PersistentId,
    },
    time::Timestamp,
};

/// Series and first ticks.
const KEY_BYTES: usize = 12;

pub(super) fn check(
    stored: &Blocks,
    names: &HashMap<PersistentId, String>,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(VerifyProgress),
) {
    let place = |id: PersistentId| Place::Block(names.get(&id).cloned());
    let mut previous: Option<(PersistentId, i64)> = None;
    walk(&stored.headers, |pair| {
        let before = |id| previous.filter(|(known, _)| *known == id).map(|(_, last)| last);
        let (key, entry) = match pair {
            Ok(pair) => pair,
            Err((id, cause)) => {
                return report.damage(place(id), (before(id).map(Timestamp::from_ticks), None), &cause);
            }
        };
        report.blocks += 1;
        let Some(id) = series_of(&key).filter(|_| key.len() == KEY_BYTES) else {
            return report.damage(Place::Block(None), (None, None), &"its key is malformed");
        };
        let first = first_ticks(&key);
        let is_entry_whole = block::header(&entry).is_ok();
        let bytes = match stored.found((key, entry)).and_then(|found| stored.bytes(&found)) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(cause) => return report.damage(place(id), span(first, first), &cause),
        };
        let last = match whole_block(first, &bytes) {
            Ok((last, samples)) => {
                report.block_samples += samples;
                if before(id).is_some_and(|before| first <= before) {
                    report.damage(place(id), span(first, last), &"it overlaps the block before it");
                }
                if !is_entry_whole {
                    report.damage(place(id), span(first, last), &"the copy of its header is damaged");
                }
                last
            }
            Err((last, what)) => {
                report.damage(place(id), span(first, last), &what);
                last
            }
        };
        previous = Some((id, last));
        progress(report.progress());
    });
}

/// The blocks that were set aside, with what is wrong with them.
pub(super) fn list_set_aside(tree: &Tree, names: &HashMap<PersistentId, String>, report: &mut VerifyReport) {
    walk(tree, |pair| {
        let (key, bytes) = match pair {
            Ok(pair) => pair,
            Err((_, cause)) => return report.damage(Place::Database("blk"), (None, None), &cause),
        };
        report.set_aside += 1;
        if report.set_aside_blocks.len() == DAMAGES_MAX {
            return;
        }
        let id = series_of(&key).filter(|_| key.len() == KEY_BYTES);
        let (times, what) = match id.map(|_| first_ticks(&key)) {
            None => ((None, None), "its key is malformed".to_owned()),
            Some(first) => match whole_block(first, &bytes) {
                Ok((last, _)) => (span(first, last), "it can be read after all".to_owned()),
                Err((last, what)) => (span(first, last), what),
            },
        };
        let place = Place::Block(id.and_then(|id| names.get(&id).cloned()));
        report.set_aside_blocks.push(Damage { place, times, what });
    });
}

/// The block's last instant and its samples; of a damaged one the last instant that it claims, if that can be so.
fn whole_block(first: i64, bytes: &[u8]) -> Result<(i64, u64), (i64, String)> {
    let claimed = block::header(bytes).map_or(first, |header| header.last.ticks()).max(first);
    match block::decode(bytes) {
        Err(damage) => Err((claimed, damage.to_string())),
        Ok(columns) if columns.first() != Some(first) => {
            Err((claimed, "it begins at another time than its key says".into()))
        }
        Ok(columns) => Ok((columns.last().unwrap_or(first), columns.len() as u64)),
    }
}
