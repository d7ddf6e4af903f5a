//! ExtraData (OPC 10000-4 §7.39.1): the info bit of a stored value that hides another one of its instant, that is, of one
//! that was replaced by hand, or deleted and inserted anew. What it hides, a read of modified values gives
//! (OPC 10000-11 §6.5.3.3); a value that was only inserted hides nothing.

use std::collections::HashSet;

use tracing::warn;

use crate::{
    history::{Direction, HistoryError, HistoryStore, Modification},
    sample::{INFO_TYPE_DATA_VALUE, Sample, SeriesId, StatusCode},
    time::Timestamp,
};

const EXTRA_DATA: u32 = 0x0008;
/// Records of one instant that tell: of two in a row, one is no insert.
const TELLING: usize = 2;
/// Records that are looked through at once, for each value.
const RECORDS_PER_VALUE: usize = 4;

/// Marks those of a page's values that hide another. Where the records cannot be read, the values still can.
pub(super) fn mark(store: &dyn HistoryStore, series: SeriesId, samples: &mut [Sample]) {
    let hiding = match hiding(store, series, samples) {
        Ok(hiding) if hiding.is_empty() => return,
        Ok(hiding) => hiding,
        Err(error) => return warn!(%error, "what was modified in history could not be read"),
    };
    // What bounds a range without being stored is no value that could hide one.
    let stored = samples.iter_mut().filter(|sample| sample.status != StatusCode::BadBoundNotFound);
    for sample in stored.filter(|sample| hiding.contains(&sample.source_timestamp)) {
        sample.status = StatusCode::from(sample.status.bits() | INFO_TYPE_DATA_VALUE | EXTRA_DATA);
    }
}

/// Instants of values that hide others.
fn hiding(store: &dyn HistoryStore, series: SeriesId, samples: &[Sample]) -> Result<HashSet<Timestamp>, HistoryError> {
    let times = || samples.iter().map(|sample| sample.source_timestamp);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(HashSet::new()) };
    let enough = RECORDS_PER_VALUE * samples.len() + 64;
    let read = |from, to, limit| -> Result<Vec<(Timestamp, Modification)>, HistoryError> {
        let records = store.modified(series, from..to, Direction::Forward, 0, limit)?;
        Ok(records.into_iter().map(|record| (record.sample.source_timestamp, record.kind)).collect())
    };
    let mut records = read(first, last.next(), enough)?;
    if records.len() == enough {
        // Many were deleted between them: one by one that is less to read.
        records.clear();
        for time in times() {
            records.extend(read(time, time.next(), TELLING)?);
        }
    }
    Ok(records.into_iter().filter(|(_, kind)| *kind != Modification::Insert).map(|(time, _)| time).collect())
}
