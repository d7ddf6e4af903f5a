//! What was modified (OPC 10000-11 §6.5.3.3): the values that were inserted, replaced or deleted by hand, each with who did
//! that, when and what. At an instant the last modification comes first; going backward, the first.
//!
//! Where the specification leaves a choice: a record that damage has taken costs no other. In its place comes, at its
//! instant, a null value with Bad_DataLost, and a ModificationInfo without user and time whose type is Update: records that
//! are whole say Insert, Replace or Delete.

use std::ops::Range;

use opcua::types::{HistoryUpdateType, ModificationInfo, ReadRawModifiedDetails, StatusCode, UAString};

use super::{PAGE, raw::Query};
use crate::{
    history::{Direction, HistoryError, HistoryStore, Modification, Modified},
    sample::SeriesId,
    time::Timestamp,
    ua,
};

/// Where a read of modified values goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    query: Query,
    at: Progress,
}

/// Where a read of records goes on that may be several at an instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The instant that was read last, and how many records of it.
    last: Option<(Timestamp, usize)>,
    /// Still to come where the request has no end; `None`: until the end.
    left: Option<u32>,
}

impl Cursor {
    pub(super) fn new(series: SeriesId, details: &ReadRawModifiedDetails) -> Result<Self, StatusCode> {
        if details.return_bounds {
            return Err(StatusCode::BadInvalidArgument); // §6.5.3.3: shall be false
        }
        let query = Query::new(series, details)?;
        Ok(Self { query, at: Progress::begin(&query) })
    }

    pub(super) fn is_of(&self, begin: &Self) -> bool {
        self.query == begin.query
    }

    pub(super) fn page(
        mut self,
        store: &dyn HistoryStore,
        limit: usize,
    ) -> Result<(Vec<Modified>, Option<Self>), HistoryError> {
        let (records, more) = self.at.page(
            (&self.query, limit),
            |times, direction, skip, limit| store.modified(self.query.series(), times, direction, skip, limit),
            |record| record.sample.source_timestamp,
        )?;
        Ok((records, more.then_some(self)))
    }
}

impl Progress {
    pub(super) fn begin(query: &Query) -> Self {
        Self { last: None, left: query.left() }
    }

    /// The next page of `read`, of `limit` at most, and whether there are more.
    pub(super) fn page<T>(
        &mut self,
        (query, limit): (&Query, usize),
        read: impl Fn(Range<Timestamp>, Direction, usize, usize) -> Result<Vec<T>, HistoryError>,
        instant: impl Fn(&T) -> Timestamp,
    ) -> Result<(Vec<T>, bool), HistoryError> {
        let wanted = query.page_len(self.left).min(limit);
        let direction = query.direction();
        let mut times = query.range(query.first());
        let skip = self.last.map_or(0, |(last, count)| {
            match direction {
                Direction::Forward => times.start = last,
                Direction::Backward => times.end = last.next(),
            }
            count
        });
        // One more than fits tells whether there is a next page.
        let mut found = read(times, direction, skip, wanted + 1)?;
        let is_full = found.len() > wanted;
        found.truncate(wanted);
        if let Some(last) = found.last().map(&instant) {
            let same = found.iter().rev().take_while(|record| instant(record) == last).count();
            let before = self.last.filter(|(at, _)| *at == last && same == found.len()).map_or(0, |(_, count)| count);
            self.last = Some((last, before + same));
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u32::try_from(found.len()).unwrap_or(PAGE));
        }
        Ok((found, is_full && self.left != Some(0)))
    }
}

/// As the wire has it.
pub(super) fn info(record: &Modified) -> ModificationInfo {
    ModificationInfo {
        modification_time: ua::date_time(record.at),
        update_type: match record.kind {
            Modification::Insert => HistoryUpdateType::Insert,
            Modification::Replace => HistoryUpdateType::Replace,
            Modification::Delete => HistoryUpdateType::Delete,
            Modification::Lost => HistoryUpdateType::Update,
        },
        user_name: UAString::from(record.user.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::Record as _;

    #[test]
    fn a_lost_record_has_neither_user_nor_time_and_a_type_of_its_own() {
        let at = Timestamp::from_ticks(7);
        let lost = Modified::lost(at);
        let value = ua::data_value(&lost.sample);
        assert_eq!((value.status, value.source_timestamp), (Some(StatusCode::BadDataLost), Some(ua::date_time(at))));
        let info = info(&lost);
        assert!(info.modification_time.is_null() && info.user_name.is_empty(), "{info:?}");
        assert_eq!(info.update_type, HistoryUpdateType::Update);
    }
}
