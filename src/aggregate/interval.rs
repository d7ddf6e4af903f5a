//! Processing intervals (Part 13 §5.4.2.2), where the archive begins and ends, and the status of a result: the clause
//! §5.4.3.2 in one place.

use std::ops::Range;

use super::{Configuration, Request, Source};
use crate::{
    history::Direction,
    sample::{INFO_TYPE_DATA_VALUE, Sample, StatusCode, Value},
    time::Timestamp,
};

/// The result was calculated (Part 4 §7.39.1: info bits of a DataValue).
pub(super) const CALCULATED: u32 = 1;
/// The result was interpolated.
pub(super) const INTERPOLATED: u32 = 2;
/// The interval is not complete: the same read may later give another result.
pub(super) const PARTIAL: u32 = 4;
/// More than one sample fits the question.
pub(super) const MULTI_VALUE: u32 = 16;

/// The time resolution of the calculations, which a server may choose (§5.4.2.4); 1 ms, as in Annex A. It is how long the
/// last sample of the archive counts, and how far before its end an interval's EffectiveEndTime lies (§3.1.3).
pub(super) const RESOLUTION: i64 = 10_000;

/// One processing interval, edges in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) is_reverse: bool,
    /// Shorter than the ProcessingInterval: what was left of the range.
    pub(super) is_short: bool,
}

/// Times of the oldest and newest sample of the archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The intervals of these numbers, oldest first.
pub(super) fn in_time_order(request: &Request, numbers: Range<u64>) -> Vec<Interval> {
    let (start, end) = (i128::from(request.start.ticks()), i128::from(request.end.ticks()));
    let width = if request.interval > 0 { i128::from(request.interval) } else { (end - start).abs() };
    let is_reverse = request.is_reverse();
    let numbers = numbers.start..numbers.end.min(request.intervals());
    let nth = |number: u64| {
        let (near, far) = (i128::from(number) * width, (i128::from(number) + 1) * width);
        let (low, high) = if is_reverse { (start - far, start - near) } else { (start + near, start + far) };
        let (low, high) = if is_reverse { (low.max(end), high) } else { (low, high.min(end)) };
        let tick = |t: i128| i64::try_from(t).expect("between the start and the end of the request, which fit");
        Interval { low: tick(low), high: tick(high), is_reverse, is_short: high - low < width }
    };
    if is_reverse { numbers.rev().map(nth).collect() } else { numbers.map(nth).collect() }
}

impl Interval {
    /// Where the samples lie: the start of the interval belongs to it, its end does not. Backwards the start is the later
    /// edge, and (low, high] in whole ticks is [low + 1, high + 1).
    pub(super) const fn samples(&self) -> Range<i64> {
        let shift = self.is_reverse as i64;
        self.low + shift..self.high.saturating_add(shift)
    }

    /// [`samples`](Self::samples) as a store takes them, without what lies before the first of the archive.
    pub(super) fn times(&self, extent: Extent) -> Range<Timestamp> {
        let Range { start, end } = self.samples();
        Timestamp::from_ticks(start.max(extent.first))..Timestamp::from_ticks(end)
    }

    /// The time of the interval: its start.
    pub(super) const fn start(&self) -> i64 {
        if self.is_reverse { self.high } else { self.low }
    }

    /// Bad_NoData: what most Aggregates say before the first and after the last sample.
    pub(super) fn no_data(&self) -> Sample {
        self.result(Value::Null, StatusCode::BadNoData, 0)
    }

    /// A result at the time of the interval.
    pub(super) fn result(&self, value: Value, status: StatusCode, info: u32) -> Sample {
        result(self.start(), value, status, info)
    }
}

/// A result; a Bad one has no value.
pub(super) fn result(at: i64, value: Value, status: StatusCode, info: u32) -> Sample {
    let at = Timestamp::from_ticks(at);
    let value = if status.is_bad() { Value::Null } else { value };
    Sample { source_timestamp: at, server_timestamp: at, status: with_info(status, info), value }
}

/// `status` with these info bits as well. Without any it stays as it is: raw.
pub(super) fn with_info(status: StatusCode, info: u32) -> StatusCode {
    if info == 0 { status } else { StatusCode::from(status.bits() | INFO_TYPE_DATA_VALUE | info) }
}

/// The code alone, without info bits.
pub(super) fn code(status: StatusCode) -> StatusCode {
    StatusCode::from(status.bits() & 0xFFFF_0000)
}

impl Extent {
    /// `None`: there is not one sample. Entries Bad_NoData at the very beginning are marks that there was nothing yet
    /// (Annex A: "First archive entry, Point created"), not samples: nothing reads before `first`.
    pub(super) fn of<S: Source>(source: &S) -> Result<Option<Self>, S::Error> {
        let is_mark = |sample: &&Sample| code(sample.status) == StatusCode::BadNoData;
        let (mut from, mut limit) = (Timestamp::NULL, 1);
        let first = loop {
            let page = source.read(from..Timestamp::MAX, Direction::Forward, limit)?;
            if let Some(sample) = page.iter().find(|sample| !is_mark(sample)) {
                break sample.source_timestamp.ticks();
            }
            let Some(last) = page.last().filter(|_| page.len() == limit) else { return Ok(None) };
            from = Timestamp::from_ticks(last.source_timestamp.ticks() + 1);
            limit = (limit * 4).min(4096);
        };
        let newest = source.read(Timestamp::NULL..Timestamp::MAX, Direction::Backward, 1)?;
        let last = newest.first().map_or(first, |sample| sample.source_timestamp.ticks());
        Ok(Some(Self { first, last: last.max(first) }))
    }

    /// Wholly before the first or after the last sample.
    pub(super) const fn is_outside(&self, interval: &Interval) -> bool {
        let Range { start, end } = interval.samples();
        end <= self.first || start > self.last
    }

    /// [`PARTIAL`] if the interval overlaps the beginning or the end of the archive, or if it was cut short by the
    /// request and there is more beyond (§5.3.3.2).
    pub(super) const fn partial(&self, interval: &Interval) -> u32 {
        let Range { start, end } = interval.samples();
        let overlaps_first = self.first > interval.low && self.first >= start && self.first < end;
        let overlaps_last = self.last < interval.high && self.last >= start && self.last < end;
        let more = if interval.is_reverse { self.first <= interval.low } else { self.last >= interval.high };
        if overlaps_first || overlaps_last || (interval.is_short && more && !self.is_outside(interval)) {
            PARTIAL
        } else {
            0
        }
    }
}

/// How much of an interval is what: ticks for time-weighted Aggregates, samples for the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    pub(super) good: i64,
    pub(super) uncertain: i64,
    pub(super) bad: i64,
}

impl Shares {
    pub(super) const fn total(&self) -> i64 {
        self.good + self.uncertain + self.bad
    }

    /// The status by share (§5.4.3.2.1). The clause asks for Bad first; where a share meets both limits, as 50 % does with
    /// 50/50, Annex A publishes Good (Count, historian 3).
    pub(super) fn status(&self, configuration: &Configuration) -> StatusCode {
        let reaches = |part: i64, percent: u8| i128::from(part) * 100 >= i128::from(percent) * i128::from(self.total());
        let is_good = self.good > 0 && reaches(self.good, configuration.percent_data_good);
        if is_good || self.bad == 0 && self.uncertain == 0 {
            StatusCode::Good
        } else if self.bad > 0 && reaches(self.bad, configuration.percent_data_bad) {
            StatusCode::Bad
        } else {
            StatusCode::UncertainDataSubNormal
        }
    }
}

/// A sum that does not lose small terms next to large ones: what rounding takes is summed beside it (Knuth's two-sum,
/// without a branch).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    #[inline]
    pub(super) fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        let taken = sum - self.sum;
        self.lost += (self.sum - (sum - taken)) + (x - taken);
        self.sum = sum;
    }

    pub(super) fn get(&self) -> f64 {
        // Past the greatest double the correction is NaN, the sum itself is infinite.
        if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

/// `x` in the type of `like`: integers round and must fit, else the Double says more than a wrapped integer.
pub(super) fn in_type_of(like: &Value, x: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked by comparing back")]
    fn integer<T: TryFrom<i128>>(x: f64, make: fn(T) -> Value) -> Value {
        T::try_from(x.round() as i128).map_or(Value::Double(x), make)
    }
    match like {
        Value::Boolean(_) => Value::Boolean(x >= 0.5),
        Value::SByte(_) => integer(x, Value::SByte),
        Value::Byte(_) => integer(x, Value::Byte),
        Value::Int16(_) => integer(x, Value::Int16),
        Value::UInt16(_) => integer(x, Value::UInt16),
        Value::Int32(_) => integer(x, Value::Int32),
        Value::UInt32(_) => integer(x, Value::UInt32),
        Value::Int64(_) => integer(x, Value::Int64),
        Value::UInt64(_) => integer(x, Value::UInt64),
        #[expect(clippy::cast_possible_truncation, reason = "the type of the variable")]
        Value::Float(_) => Value::Float(x as f32),
        _ => Value::Double(x),
    }
}
