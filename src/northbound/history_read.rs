//! HistoryRead of raw values (OPC 10000-11 §6.5.3). A request becomes a [`Query`], a query pages through the store with a
//! [`Cursor`] that is bound to it. Blocking: the caller puts it where that is allowed.

use opcua::{
    server::node_manager::HistoryNode,
    types::{DataValue, NumericRange, ReadRawModifiedDetails, StatusCode, TimestampsToReturn},
};

use super::address_space::{AddressSpace, Node, Owner, Part};
use crate::{
    history::{Direction, HistoryError, HistoryStore},
    sample::{Sample, SeriesId, TwinId},
    time::Timestamp,
    ua,
};

/// Most values in one answer: MaxReturnDataValues.
pub(super) const PAGE: u32 = 10_000;

/// A checked read of one node: where it begins or goes on.
pub(super) fn cursor(
    space: &AddressSpace,
    node: &HistoryNode,
    details: &ReadRawModifiedDetails,
) -> Result<Cursor, StatusCode> {
    let wanted = space.parse(node.node_id()).ok_or(StatusCode::BadNodeIdUnknown)?;
    let Node::Part(Owner::Twin(t), Part::Live(live)) = wanted else {
        return Err(StatusCode::BadHistoryOperationUnsupported);
    };
    if !space.historized(TwinId(t), live) {
        return Err(StatusCode::BadHistoryOperationUnsupported);
    }
    if !node.data_encoding().name.is_null() && node.data_encoding().name.as_ref() != "Default Binary" {
        return Err(StatusCode::BadDataEncodingUnsupported);
    }
    if *node.index_range() != NumericRange::None {
        return Err(StatusCode::BadIndexRangeNoData); // every value is a scalar
    }
    let query = Query::new(space.configured().series(TwinId(t), live.facet()), details)?;
    match node.continuation_point() {
        None => Ok(query.begin()),
        Some(point) => {
            let cursor = point.get::<Cursor>().filter(|cursor| cursor.is_of(&query));
            cursor.copied().ok_or(StatusCode::BadContinuationPointInvalid)
        }
    }
}

/// A checked request for one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    series: SeriesId,
    start: Timestamp,
    end: Timestamp,
    /// 0: as many as fit.
    values_per_node: u32,
    bounds: bool,
}

/// Where a query goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    query: Query,
    stage: Stage,
    /// Values still to come where the request has no end; `None`: until the end.
    left: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    StartBound,
    /// Values from here on (forward), or before here (backward).
    Values(Timestamp),
    EndBound,
}

impl Query {
    /// At least two of start, end and number must be given; what was modified is not kept yet.
    pub(super) fn new(series: SeriesId, details: &ReadRawModifiedDetails) -> Result<Self, StatusCode> {
        if details.is_read_modified {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        }
        let (start, end) = (ua::timestamp(details.start_time), ua::timestamp(details.end_time));
        let given =
            usize::from(!start.is_null()) + usize::from(!end.is_null()) + usize::from(details.num_values_per_node > 0);
        if given < 2 {
            return Err(StatusCode::BadHistoryOperationInvalid);
        }
        Ok(Self { series, start, end, values_per_node: details.num_values_per_node, bounds: details.return_bounds })
    }

    /// Newest first: no start, or a start after the end.
    fn direction(&self) -> Direction {
        if self.start.is_null() || (!self.end.is_null() && self.start > self.end) {
            Direction::Backward
        } else {
            Direction::Forward
        }
    }

    /// Where reading begins.
    fn from(&self) -> Timestamp {
        if self.start.is_null() { self.end } else { self.start }
    }

    /// Where it ends; `None`: after so many values.
    fn to(&self) -> Option<Timestamp> {
        (!self.start.is_null() && !self.end.is_null()).then_some(self.end)
    }

    /// The cursor at its beginning.
    pub(super) fn begin(self) -> Cursor {
        let stage = if self.bounds { Stage::StartBound } else { Stage::Values(self.first()) };
        Cursor { query: self, stage, left: self.to().is_none().then_some(self.values_per_node) }
    }

    /// Start included, going either way.
    fn first(&self) -> Timestamp {
        match self.direction() {
            Direction::Forward => self.from(),
            Direction::Backward => next(self.from()),
        }
    }
}

impl Cursor {
    /// Whether it goes on with this query: a continuation point is good for its own request only.
    pub(super) fn is_of(&self, query: &Query) -> bool {
        self.query == *query
    }

    /// The next page, and where to go on.
    pub(super) fn page(mut self, store: &dyn HistoryStore) -> Result<(Vec<Sample>, Option<Self>), HistoryError> {
        let query = self.query;
        let wanted = [query.values_per_node, PAGE, self.left.unwrap_or(PAGE)]
            .into_iter()
            .filter(|n| *n > 0)
            .min()
            .unwrap_or(PAGE);
        let wanted = wanted as usize;
        let mut samples: Vec<Sample> = Vec::new();
        if self.stage == Stage::StartBound {
            let bound = self.start_bound(store)?;
            self.stage = Stage::Values(query.first());
            samples.extend(bound);
        }
        if let Stage::Values(from) = self.stage {
            let room = wanted.saturating_sub(samples.len());
            // One more than fits tells whether there is a next page.
            let mut found = store.read(query.series, self.range(from), query.direction(), room + 1)?;
            let is_full = found.len() > room;
            found.truncate(room);
            if let Some(last) = found.last() {
                let after = last.source_timestamp;
                self.stage = Stage::Values(match query.direction() {
                    Direction::Forward => next(after),
                    Direction::Backward => after,
                });
            }
            samples.append(&mut found);
            if !is_full {
                self.stage = Stage::EndBound;
            }
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u32::try_from(samples.len()).unwrap_or(u32::MAX));
            let more = *left > 0 && self.stage != Stage::EndBound;
            return Ok((samples, more.then_some(self)));
        }
        if self.stage != Stage::EndBound {
            return Ok((samples, Some(self)));
        }
        if !query.bounds {
            return Ok((samples, None));
        }
        if samples.len() == wanted {
            return Ok((samples, Some(self)));
        }
        samples.extend(self.end_bound(store)?);
        Ok((samples, None))
    }

    /// What is left of the range. The end is excluded (a start equal to it is not).
    fn range(&self, from: Timestamp) -> std::ops::Range<Timestamp> {
        match (self.query.direction(), self.query.to()) {
            (Direction::Forward, Some(end)) => from..end.max(next(self.query.from())),
            (Direction::Forward, None) => from..Timestamp::MAX,
            (Direction::Backward, Some(end)) => next(end)..from,
            (Direction::Backward, None) => Timestamp::NULL..from,
        }
    }

    /// The value before the start where none is at it.
    fn start_bound(&self, store: &dyn HistoryStore) -> Result<Option<Sample>, HistoryError> {
        let (series, at) = (self.query.series, self.query.from());
        if !store.read(series, at..next(at), Direction::Forward, 1)?.is_empty() {
            return Ok(None); // it is the first value
        }
        let outside = match self.query.direction() {
            Direction::Forward => store.read(series, Timestamp::NULL..at, Direction::Backward, 1)?,
            Direction::Backward => store.read(series, at..Timestamp::MAX, Direction::Forward, 1)?,
        };
        Ok(Some(outside.into_iter().next().unwrap_or_else(|| Sample::bad(at, StatusCode::BadBoundNotFound))))
    }

    /// The value at the end, or the next one beyond it.
    fn end_bound(&self, store: &dyn HistoryStore) -> Result<Option<Sample>, HistoryError> {
        let Some(at) = self.query.to() else { return Ok(None) };
        if at == self.query.from() {
            return Ok(None);
        }
        let series = self.query.series;
        let outside = match self.query.direction() {
            Direction::Forward => store.read(series, at..Timestamp::MAX, Direction::Forward, 1)?,
            Direction::Backward => store.read(series, Timestamp::NULL..next(at), Direction::Backward, 1)?,
        };
        Ok(Some(outside.into_iter().next().unwrap_or_else(|| Sample::bad(at, StatusCode::BadBoundNotFound))))
    }
}

fn next(time: Timestamp) -> Timestamp {
    Timestamp::from_ticks(time.ticks().saturating_add(1))
}

/// Stored samples as a client asked for them: as stored, a Bad one with its number.
pub(super) fn data_values(samples: &[Sample], stamps: TimestampsToReturn) -> Vec<DataValue> {
    let (source, server) = (stamps != TimestampsToReturn::Server, stamps != TimestampsToReturn::Source);
    let mut values: Vec<DataValue> = samples.iter().map(ua::data_value).collect();
    for value in &mut values {
        value.source_timestamp = value.source_timestamp.filter(|_| source);
        value.server_timestamp = value.server_timestamp.filter(|_| server);
    }
    values
}
