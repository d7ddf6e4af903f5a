//! Modification records and annotations: each key says a known series and an instant and comes after the one before, each
//! record is whole and says what it should, and no part is without its record.

use std::collections::HashMap;

use sled::{IVec, Tree};

use super::{Place, VerifyProgress, VerifyReport, series_of, walk};
use crate::history::{
    log::PersistentId,
    record::{self, Record},
    shelf::{self, Shelf},
};

/// The record that was looked at last.
struct Last {
    series: PersistentId,
    place: shelf::Place,
    /// How many parts it has.
    parts: usize,
}

/// Calls `count` with every record.
pub(super) fn check<T: Record>(
    tree: Tree,
    names: &HashMap<PersistentId, String>,
    report: &mut VerifyReport,
    count: fn(&mut VerifyReport) -> &mut u64,
    progress: &mut dyn FnMut(VerifyProgress),
) {
    let shelf = Shelf::<T>::new(tree);
    let (mut last, mut key_before): (Option<Last>, Option<IVec>) = (None, None);
    walk(&shelf.tree, |pair| {
        let place = |series: Option<PersistentId>| {
            Place::Record(T::WHAT, series.and_then(|series| names.get(&series).cloned()))
        };
        let (key, bytes) = match pair {
            Ok(pair) => pair,
            Err((series, cause)) => {
                let from = last.as_ref().filter(|last| last.series == series).map(|last| last.place.0);
                return report.damage(place(Some(series)), (from, None), &cause);
            }
        };
        let id = series_of(&key);
        let Some((series, (at, part))) = id.zip(shelf::place(&key)) else {
            return report.damage(place(id), (None, None), &"its key is malformed");
        };
        let is_behind = key_before.replace(key.clone()).is_some_and(|before| key <= before);
        let mut damage = |what: &str| report.damage(place(id), (Some(at.0), Some(at.0)), &what);
        if is_behind {
            damage("its key is not behind the one before");
        }
        let is_known_place = last.as_ref().is_some_and(|last| (last.series, last.place) == (series, at));
        if part > 0 {
            let parts = last.as_ref().filter(|_| is_known_place).map_or(0, |last| last.parts);
            if usize::from(part) >= parts {
                damage("a part of it belongs to no record");
                // Its other parts say nothing new.
                last = Some(Last { series, place: at, parts: usize::MAX });
            }
            return;
        }
        let read = shelf.record(series, at, &bytes);
        match &read {
            Ok(Ok(_)) if !names.contains_key(&series) => damage("its series has no name"),
            Ok(Ok(_)) => {}
            Ok(Err(what)) => damage(&what.to_string()),
            Err(cause) => damage(&cause.to_string()),
        }
        // How many parts a damaged one has nobody knows.
        let parts = if matches!(read, Ok(Ok(_))) { record::parts(&bytes) } else { usize::MAX };
        last = Some(Last { series, place: at, parts });
        *count(report) += 1;
        progress(report.progress());
    });
}
