//! Values at given times (OPC 10000-11 §6.5.5): the stored one, else one between its neighbours, by the rules of the
//! Interpolative aggregate (OPC 10000-13 §5.4.3.4) and its two kinds of bounds (§3.1.8, §3.1.9):
//!
//! - interpolated bounds: the nearest usable neighbours; the result is Uncertain_DataSubNormal where others were passed over;
//! - simple bounds: the nearest neighbours whatever they are; Bad_NoData where the one before is Bad.
//!
//! After the newest sample the value is extrapolated, Uncertain_DataSubNormal (§5.4.3.4); before the oldest there is
//! Bad_NoData. A value that is stored at the time is answered as it is, Bad too. Info bits say Raw or Interpolated.
//!
//! Nothing is found across a gap, whichever bounds are asked for: a Bad sample that says that nobody knows what came after it
//! (Bad_NoCommunication, Bad_DataLost) is passed over by neither. A time inside is Bad_NoData, and before it the last value
//! is extrapolated. Part 13 has interpolated bounds pass over every Bad sample, and our Aggregates do; but a number for a
//! time at which the PLC was not heard is an invention, and every time inside a gap is to read back Bad.

use std::sync::Arc;

use super::{Historian, extra};
use crate::{
    history::{Direction, HistoryError, HistoryStore},
    sample::{INFO_TYPE_DATA_VALUE, Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
    twin::DataType,
    ua,
};

/// Values in one answer: each takes some reads of the store, so this many take about as long as 10,000 raw ones.
const PAGE: usize = 1_000;
const INTERPOLATED: u32 = 0x0002;
/// Neighbours that are looked at together while Bad ones are passed over.
const NEIGHBOURS: usize = 64;

/// Where a read at times goes on.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    rule: Rule,
    times: Arc<[Timestamp]>,
    next: usize,
}

/// How a value comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    series: SeriesId,
    data_type: DataType,
    stepped: bool,
    simple_bounds: bool,
    uncertain_is_bad: bool,
    sloped_extrapolation: bool,
}

impl Cursor {
    pub(super) fn new(historian: &Historian<'_>, times: Arc<[Timestamp]>, simple_bounds: bool) -> Self {
        let data_type = historian.data_type();
        let rule = Rule {
            series: historian.series,
            data_type,
            stepped: historian.stepped() || historian.is_array() || !data_type.is_numeric(),
            simple_bounds,
            uncertain_is_bad: historian.aggregation().treat_uncertain_as_bad,
            sloped_extrapolation: historian.aggregation().use_sloped_extrapolation,
        };
        Self { rule, times, next: 0 }
    }

    pub(super) fn is_of(&self, begin: &Self) -> bool {
        (self.rule, &self.times) == (begin.rule, &begin.times)
    }

    pub(super) fn page(
        mut self,
        store: &dyn HistoryStore,
        limit: usize,
    ) -> Result<(Vec<Sample>, Option<Self>), HistoryError> {
        let end = self.times.len().min(self.next + PAGE.min(limit));
        let times = self.times[self.next..end].iter();
        let samples = times.map(|at| self.rule.value(store, *at)).collect::<Result<_, _>>()?;
        self.next = end;
        Ok((samples, (end < self.times.len()).then_some(self)))
    }
}

impl Rule {
    fn value(&self, store: &dyn HistoryStore, at: Timestamp) -> Result<Sample, HistoryError> {
        let mut stored = store.read(self.series, at..at.next(), Direction::Forward, 1)?;
        if let Some(sample) = stored.first_mut() {
            sample.status = with_bits(sample.status, 0);
            extra::mark(store, self.series, &mut stored);
        }
        if let Some(stored) = stored.pop() {
            return Ok(stored);
        }
        let (before, passed_before) = self.neighbour(store, at, Direction::Backward)?;
        let Some(before) = before.filter(|before| !before.status.is_bad()) else {
            return Ok(Sample::bad(at, with_bits(StatusCode::BadNoData, 0)));
        };
        let (after, passed_after) = self.neighbour(store, at, Direction::Forward)?;
        let after = after.filter(|after| !after.status.is_bad());
        let doubtful = passed_before || before.status.is_uncertain();
        let (value, doubtful) = match (after, self.stepped) {
            (Some(_), true) => (Some(before.value.clone()), doubtful),
            (Some(after), false) => {
                (self.between(&before, &after, at), doubtful || passed_after || after.status.is_uncertain())
            }
            (None, _) => (self.beyond(store, &before, at)?, true),
        };
        let status = if doubtful { StatusCode::UncertainDataSubNormal } else { StatusCode::Good };
        Ok(match value {
            Some(value) => {
                Sample { source_timestamp: at, server_timestamp: at, status: with_bits(status, INTERPOLATED), value }
            }
            None => Sample::bad(at, with_bits(StatusCode::BadNoData, 0)),
        })
    }

    /// The bound on one side, and whether others were passed over to find it.
    fn neighbour(
        &self,
        store: &dyn HistoryStore,
        at: Timestamp,
        direction: Direction,
    ) -> Result<(Option<Sample>, bool), HistoryError> {
        let (mut start, mut end) = match direction {
            Direction::Backward => (Timestamp::from_ticks(i64::MIN), at),
            Direction::Forward => (at, Timestamp::MAX),
        };
        let mut passed = false;
        for limit in [1].into_iter().chain(std::iter::repeat(NEIGHBOURS)) {
            let found = store.read(self.series, start..end, direction, limit)?;
            let Some(last) = found.last().map(|last| last.source_timestamp) else { return Ok((None, passed)) };
            for sample in found {
                if self.simple_bounds || self.is_usable(&sample) || begins_gap(&sample) {
                    return Ok((Some(sample), passed));
                }
                passed = true;
            }
            match direction {
                Direction::Backward => end = last,
                Direction::Forward => start = last.next(),
            }
        }
        Ok((None, passed))
    }

    fn is_usable(&self, sample: &Sample) -> bool {
        !(sample.status.is_bad() || (self.uncertain_is_bad && sample.status.is_uncertain()))
    }

    /// On the line through two samples.
    fn between(&self, a: &Sample, b: &Sample, at: Timestamp) -> Option<Value> {
        let (x, y) = (a.value.as_f64()?, b.value.as_f64()?);
        let part = at.seconds_since(a.source_timestamp) / b.source_timestamp.seconds_since(a.source_timestamp);
        self.number(x + (y - x) * part)
    }

    /// After the last sample: its value, or on the line through the last two.
    fn beyond(&self, store: &dyn HistoryStore, last: &Sample, at: Timestamp) -> Result<Option<Value>, HistoryError> {
        if self.stepped || !self.sloped_extrapolation {
            return Ok(Some(last.value.clone()));
        }
        let (before, _) = self.neighbour(store, last.source_timestamp, Direction::Backward)?;
        Ok(match before.filter(|before| self.is_usable(before)) {
            Some(before) => self.between(&before, last, at),
            None => Some(last.value.clone()),
        })
    }

    /// In the variable's type; integers are rounded.
    fn number(&self, x: f64) -> Option<Value> {
        let x = if self.data_type.is_floating() { x } else { x.round() };
        match self.data_type {
            #[expect(clippy::cast_possible_truncation, reason = "the nearest Float is what is asked for")]
            DataType::Float => Some(Value::Float(x as f32)),
            data_type => ua::convert(&Value::Double(x), super::super::address_space::standard(data_type)),
        }
    }
}

fn begins_gap(sample: &Sample) -> bool {
    // Without their info bits.
    let code = sample.status.bits() & 0xffff_0000;
    [StatusCode::BadNoCommunication, StatusCode::BadDataLost].iter().any(|gap| gap.bits() == code)
}

fn with_bits(status: StatusCode, bits: u32) -> StatusCode {
    // What was in the info bits spoke of the sample as it came from its source.
    StatusCode::from((status.bits() & !0x3ff) | INFO_TYPE_DATA_VALUE | bits)
}
