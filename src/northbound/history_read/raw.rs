//! Raw values (OPC 10000-11 §6.5.3). A request becomes a [`Query`], a query pages through the store with a [`Cursor`] that is
//! bound to it.

use opcua::types::{ReadEventDetails, ReadRawModifiedDetails, StatusCode};

use std::ops::Range;

use super::{PAGE, extra};
use crate::{
    history::{Direction, HistoryError, HistoryStore},
    jobs::Forecast,
    sample::{INFO_TYPE_DATA_VALUE, Sample, SeriesId, Value},
    time::Timestamp,
    ua,
};

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

/// Info bit of a DataValue that was calculated (OPC 10000-4 §7.39.1).
const CALCULATED: u32 = 1;

/// Where a query goes on.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    query: Query,
    /// What comes after what is stored: the same on every page, though time goes on.
    forecast: Option<Forecast>,
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
    /// At least two of start, end and number must be given.
    pub(super) fn new(series: SeriesId, details: &ReadRawModifiedDetails) -> Result<Self, StatusCode> {
        let (start, end) = (ua::timestamp(details.start_time), ua::timestamp(details.end_time));
        let given =
            usize::from(!start.is_null()) + usize::from(!end.is_null()) + usize::from(details.num_values_per_node > 0);
        if given < 2 {
            return Err(StatusCode::BadHistoryOperationInvalid);
        }
        Ok(Self { series, start, end, values_per_node: details.num_values_per_node, bounds: details.return_bounds })
    }

    /// The times of a request for events (§6.5.2), which are those of one for values; its series says nothing.
    pub(super) fn of_events(details: &ReadEventDetails) -> Result<Self, StatusCode> {
        let (start_time, end_time) = (details.start_time, details.end_time);
        let num_values_per_node = details.num_values_per_node;
        let times = ReadRawModifiedDetails { start_time, end_time, num_values_per_node, ..Default::default() };
        Self::new(SeriesId(0), &times)
    }

    /// Newest first: no start, or a start after the end.
    pub(super) fn direction(&self) -> Direction {
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
    pub(super) fn begin(self, forecast: Option<Forecast>) -> Cursor {
        let stage = if self.bounds { Stage::StartBound } else { Stage::Values(self.first()) };
        Cursor { query: self, forecast, stage, left: self.left() }
    }

    pub(super) fn series(&self) -> SeriesId {
        self.series
    }

    /// Values still to come where the request has no end; `None`: until the end.
    pub(super) fn left(&self) -> Option<u32> {
        self.to().is_none().then_some(self.values_per_node)
    }

    /// Values on a page of which `left` are still to come.
    pub(super) fn page_len(&self, left: Option<u32>) -> usize {
        let limits = [self.values_per_node, PAGE, left.unwrap_or(PAGE)].into_iter();
        limits.filter(|n| *n > 0).min().unwrap_or(PAGE) as usize
    }

    /// What is left of the range. The end is excluded (a start equal to it is not).
    pub(super) fn range(&self, from: Timestamp) -> std::ops::Range<Timestamp> {
        match (self.direction(), self.to()) {
            (Direction::Forward, Some(end)) => from..end.max(self.from().next()),
            (Direction::Forward, None) => from..Timestamp::MAX,
            (Direction::Backward, Some(end)) => end.next()..from,
            (Direction::Backward, None) => Timestamp::NULL..from,
        }
    }

    /// Start included, going either way.
    pub(super) fn first(&self) -> Timestamp {
        match self.direction() {
            Direction::Forward => self.from(),
            Direction::Backward => self.from().next(),
        }
    }
}

impl Cursor {
    /// Whether it goes on with this query: a continuation point is good for its own request only.
    pub(super) fn is_of(&self, begin: &Self) -> bool {
        self.query == begin.query
    }

    /// The next page, and where to go on.
    pub(super) fn page(
        self,
        store: &dyn HistoryStore,
        limit: usize,
    ) -> Result<(Vec<Sample>, Option<Self>), HistoryError> {
        let series = self.query.series;
        let (mut samples, next) = self.samples(store, limit)?;
        extra::mark(store, series, &mut samples);
        Ok((samples, next))
    }

    fn samples(mut self, store: &dyn HistoryStore, limit: usize) -> Result<(Vec<Sample>, Option<Self>), HistoryError> {
        let query = self.query;
        let wanted = query.page_len(self.left).min(limit);
        let mut samples: Vec<Sample> = Vec::new();
        if self.stage == Stage::StartBound {
            let bound = self.start_bound(store)?;
            self.stage = Stage::Values(query.first());
            samples.extend(bound);
        }
        if let Stage::Values(from) = self.stage {
            let room = wanted.saturating_sub(samples.len());
            // One more than fits tells whether there is a next page.
            let mut found = self.read(store, query.range(from), query.direction(), room + 1)?;
            let is_full = found.len() > room;
            found.truncate(room);
            if let Some(last) = found.last() {
                let after = last.source_timestamp;
                self.stage = Stage::Values(match query.direction() {
                    Direction::Forward => after.next(),
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

    /// What is stored, and after it what is expected.
    fn read(
        &self,
        store: &dyn HistoryStore,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        let series = self.query.series;
        let Some(forecast) = &self.forecast else { return store.read(series, times, direction, limit) };
        // What has been stored since in the place of the forecast is for another read.
        let stored = times.start..times.end.min(forecast.first);
        let stored = |limit| match stored.is_empty() || limit == 0 {
            true => Ok(Vec::new()),
            false => store.read(series, stored, direction, limit),
        };
        let expected = |limit| forecast.points(times, direction, limit).into_iter().map(simulated);
        Ok(match direction {
            Direction::Forward => {
                let mut samples = stored(limit)?;
                samples.extend(expected(limit - samples.len()));
                samples
            }
            Direction::Backward => {
                let mut samples: Vec<Sample> = expected(limit).collect();
                samples.extend(stored(limit - samples.len())?);
                samples
            }
        })
    }

    /// The value before the start where none is at it.
    fn start_bound(&self, store: &dyn HistoryStore) -> Result<Option<Sample>, HistoryError> {
        let at = self.query.from();
        if !self.read(store, at..at.next(), Direction::Forward, 1)?.is_empty() {
            return Ok(None); // it is the first value
        }
        let outside = match self.query.direction() {
            Direction::Forward => self.read(store, Timestamp::NULL..at, Direction::Backward, 1)?,
            Direction::Backward => self.read(store, at..Timestamp::MAX, Direction::Forward, 1)?,
        };
        Ok(Some(outside.into_iter().next().unwrap_or_else(|| Sample::bad(at, StatusCode::BadBoundNotFound))))
    }

    /// The value at the end, or the next one beyond it.
    fn end_bound(&self, store: &dyn HistoryStore) -> Result<Option<Sample>, HistoryError> {
        let Some(at) = self.query.to() else { return Ok(None) };
        if at == self.query.from() {
            return Ok(None);
        }
        let outside = match self.query.direction() {
            Direction::Forward => self.read(store, at..Timestamp::MAX, Direction::Forward, 1)?,
            Direction::Backward => self.read(store, Timestamp::NULL..at.next(), Direction::Backward, 1)?,
        };
        Ok(Some(outside.into_iter().next().unwrap_or_else(|| Sample::bad(at, StatusCode::BadBoundNotFound))))
    }
}

/// A point of a forecast as a sample: no PLC and no clock stamped it.
fn simulated((at, value): (Timestamp, f64)) -> Sample {
    let status = StatusCode::from(StatusCode::UncertainSimulatedValue.bits() | INFO_TYPE_DATA_VALUE | CALCULATED);
    Sample { source_timestamp: at, server_timestamp: at, status, value: Value::Double(value) }
}
