//! Processed values (OPC 10000-11 §6.5.4): one Aggregate per node, computed by [`crate::aggregate`]. Here: what a request
//! may ask, and pages of intervals.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use opcua::types::{AggregateConfiguration, ReadProcessedDetails, StatusCode};

use super::Historian;
use crate::{
    aggregate::{self, Aggregate, Configuration, Request},
    history::{Direction, HistoryError, HistoryStore, Summary},
    sample::{Sample, SeriesId},
    time::Timestamp,
    ua,
};

const TICKS_PER_MS: f64 = 10_000.0;
/// When this long was spent on a page, it is answered as far as it is.
const PAGE_TIME: Duration = Duration::from_millis(500);
/// Intervals computed at once, at first; then more and more.
const ROUND: u64 = 16;

/// Where a processed read goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    series: SeriesId,
    request: Request,
    next: u64,
}

/// What is the same for all nodes of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    start: Timestamp,
    end: Timestamp,
    interval: i64,
    /// `None`: the node's own.
    configuration: Option<Configuration>,
}

impl Wanted {
    pub(super) fn new(details: &ReadProcessedDetails) -> Result<Self, StatusCode> {
        let (start, end) = (ua::timestamp(details.start_time), ua::timestamp(details.end_time));
        let interval = details.processing_interval;
        if start.is_null() || end.is_null() || start == end || !interval.is_finite() || interval < 0.0 {
            return Err(StatusCode::BadInvalidArgument);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        let ticks = (interval * TICKS_PER_MS).round() as i64;
        // Shorter than a tick is no interval, and 0 would be the whole range.
        let interval = if interval > 0.0 { ticks.max(1) } else { 0 };
        Ok(Self { start, end, interval, configuration: configuration(&details.aggregate_configuration)? })
    }

    pub(super) fn cursor(&self, historian: &Historian<'_>, aggregate: Aggregate) -> Cursor {
        let request = Request {
            aggregate,
            start: self.start,
            end: self.end,
            interval: self.interval,
            configuration: self.configuration.unwrap_or_else(|| historian.aggregation()),
            stepped: historian.stepped(),
            limits: historian.limits(),
        };
        Cursor { series: historian.series, request, next: 0 }
    }
}

/// UseServerCapabilitiesDefaults means the node's own HA Configuration.
fn configuration(given: &AggregateConfiguration) -> Result<Option<Configuration>, StatusCode> {
    if given.use_server_capabilities_defaults {
        return Ok(None);
    }
    let configuration = Configuration {
        treat_uncertain_as_bad: given.treat_uncertain_as_bad,
        percent_data_bad: given.percent_data_bad,
        percent_data_good: given.percent_data_good,
        use_sloped_extrapolation: given.use_sloped_extrapolation,
    };
    if configuration.is_valid() { Ok(Some(configuration)) } else { Err(StatusCode::BadAggregateInvalidInputs) }
}

impl Cursor {
    pub(super) fn is_of(&self, begin: &Self) -> bool {
        (self.series, &self.request) == (begin.series, &begin.request)
    }

    pub(super) fn page(
        mut self,
        store: &dyn HistoryStore,
        limit: usize,
    ) -> Result<(Vec<Sample>, Option<Self>), HistoryError> {
        let (all, began) = (self.request.intervals(), Instant::now());
        let page_end = all.min(self.next + limit as u64);
        let series = Series { store, series: self.series };
        let (mut samples, mut round) = (Vec::new(), ROUND);
        while self.next < page_end && began.elapsed() < PAGE_TIME {
            let end = page_end.min(self.next + round);
            samples.append(&mut aggregate::compute(&self.request, &series, self.next..end)?);
            self.next = end;
            round *= 4;
        }
        Ok((samples, (self.next < all).then_some(self)))
    }
}

/// A series of the store, as the Aggregates read it.
struct Series<'a> {
    store: &'a dyn HistoryStore,
    series: SeriesId,
}

impl aggregate::Source for Series<'_> {
    type Error = HistoryError;

    fn read(&self, times: Range<Timestamp>, direction: Direction, limit: usize) -> Result<Vec<Sample>, HistoryError> {
        self.store.read(self.series, times, direction, limit)
    }

    fn summary(&self, times: Range<Timestamp>) -> Result<Summary, HistoryError> {
        self.store.summary(self.series, times)
    }

    fn annotations(&self, times: Range<Timestamp>) -> Result<u64, HistoryError> {
        let found = self.store.annotations(self.series, times, Direction::Forward, 0, usize::MAX)?;
        Ok(found.len() as u64)
    }
}
