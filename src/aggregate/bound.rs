//! Aggregates that look at the edges of an interval only: Interpolative (Part 13 §5.4.3.4), Start, End and Delta
//! (§5.4.3.25 to §5.4.3.27), StartBound, EndBound and DeltaBounds (§5.4.3.28 to §5.4.3.30). What lies between is not read
//! where an interval holds many samples.

use std::ops::Range;

use super::{
    Aggregate, Extent, Request, Source,
    interval::{CALCULATED, Interval, in_type_of, result, with_info},
    raw::{Fold, Tally},
    timeline::{Bound, Needs, Timeline},
};
use crate::{
    history::{Direction, Summary},
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

pub(super) fn compute<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    let Some(first) = intervals.first() else { return Ok(Vec::new()) };
    if request.aggregate == Aggregate::Interpolative {
        return interpolative(request, source, intervals, extent);
    }
    let mut timeline = Timeline::at(source, request, Needs::Value, extent, first.low)?;
    let mut low = timeline.simple_bound(first.low)?;
    let mut results = Vec::with_capacity(intervals.len());
    for interval in intervals {
        timeline.skip_to(interval.high)?;
        let high = timeline.simple_bound(interval.high)?;
        results.push(if extent.is_outside(interval) {
            interval.no_data()
        } else {
            let (start, end) = if interval.is_reverse { (&high, &low) } else { (&low, &high) };
            let sample = match request.aggregate {
                Aggregate::StartBound => bound(interval, start, start.info),
                Aggregate::EndBound => bound(interval, end, CALCULATED),
                _ => delta(interval, start, end),
            };
            Sample { status: with_info(sample.status, extent.partial(interval)), ..sample }
        });
        low = high;
    }
    Ok(results)
}

/// The Partial bit is never set, and after the last sample the value is extrapolated (§5.4.3.4).
fn interpolative<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    let Some(first) = intervals.first() else { return Ok(Vec::new()) };
    let mut timeline = Timeline::at(source, request, Needs::Value, extent, first.start())?;
    intervals
        .iter()
        .map(|interval| {
            timeline.skip_to(interval.start())?;
            let bound = timeline.interpolated_bound(interval.start())?;
            Ok(result(interval.start(), bound.value, bound.status, bound.info))
        })
        .collect()
}

fn bound(interval: &Interval, bound: &Bound, info: u32) -> Sample {
    if bound.has_value() { interval.result(bound.value.clone(), bound.status, info) } else { interval.no_data() }
}

fn delta(interval: &Interval, start: &Bound, end: &Bound) -> Sample {
    if !start.has_value() || !end.has_value() {
        return interval.no_data();
    }
    if start.point.x.is_nan() || end.point.x.is_nan() {
        return interval.result(Value::Null, StatusCode::BadAggregateInvalidInputs, 0);
    }
    let is_good = start.status.is_good() && end.status.is_good();
    let status = if is_good { StatusCode::Good } else { StatusCode::UncertainDataSubNormal };
    interval.result(difference(&start.value, &end.value, start.point.x, end.point.x), status, CALCULATED)
}

/// `end` − `start` in the type of the source. Two 64-bit integers are subtracted as such.
pub(super) fn difference(start: &Value, end: &Value, start_x: f64, end_x: f64) -> Value {
    match (start, end) {
        (Value::Int64(a), Value::Int64(b)) => b.checked_sub(*a).map_or(Value::Double(end_x - start_x), Value::Int64),
        (Value::UInt64(a), Value::UInt64(b)) if b >= a => Value::UInt64(b - a),
        (Value::Boolean(_), _) if end_x < start_x => Value::Double(end_x - start_x),
        _ => in_type_of(start, end_x - start_x),
    }
}

/// Start, End (§5.4.3.25, §5.4.3.26: the sample as it is, Bad ones too) and Delta (§5.4.3.27: Good ones).
#[derive(Default)]
pub(super) struct Ends {
    first: Option<Sample>,
    last: Option<Sample>,
    tally: Tally,
    /// A sample that is not Good lies before `first` or after `last`.
    is_skipped: bool,
    is_skipped_since: bool,
}

impl Ends {
    fn delta(&self, interval: &Interval) -> Sample {
        let (Some(first), Some(last)) = (&self.first, &self.last) else { return self.tally.nothing(interval) };
        let x = |sample: &Sample| sample.value.as_f64().unwrap_or(f64::NAN);
        let is_good = !self.is_skipped && !self.is_skipped_since;
        let status = if is_good { StatusCode::Good } else { StatusCode::UncertainDataSubNormal };
        interval.result(difference(&first.value, &last.value, x(first), x(last)), status, CALCULATED)
    }
}

impl Fold for Ends {
    const BY_SUMMARY: bool = true;

    fn add(&mut self, request: &Request, sample: &Sample) {
        if request.aggregate == Aggregate::Delta && self.tally.good(request, sample).is_none() {
            self.is_skipped |= self.first.is_none();
            self.is_skipped_since = true;
            return;
        }
        self.is_skipped_since = false;
        if self.first.is_none() {
            self.first = Some(sample.clone());
        }
        self.last = Some(sample.clone());
    }

    fn finish(self, request: &Request, interval: &Interval) -> Sample {
        let end = match request.aggregate {
            Aggregate::Start => self.first,
            Aggregate::End => self.last,
            _ => return self.delta(interval),
        };
        match end {
            Some(sample) if sample.status.is_bad() => Sample { value: Value::Null, ..sample },
            Some(sample) => sample,
            None => interval.no_data(),
        }
    }

    /// Looks from both ends until it finds one that counts.
    fn by_summary<S: Source>(
        request: &Request,
        source: &S,
        interval: &Interval,
        times: Range<Timestamp>,
        _: &Summary,
    ) -> Result<Option<Sample>, S::Error> {
        let is_delta = request.aggregate == Aggregate::Delta;
        let mut fold = Self::default();
        if request.aggregate != Aggregate::End {
            (fold.first, fold.is_skipped) = outermost(source, times.clone(), Direction::Forward, is_delta)?;
        }
        if request.aggregate != Aggregate::Start {
            (fold.last, fold.is_skipped_since) = outermost(source, times, Direction::Backward, is_delta)?;
        }
        let is_found = fold.first.is_some() || fold.last.is_some();
        Ok(is_found.then(|| fold.finish(request, interval)))
    }
}

/// The first sample from one side (with `is_delta` the first Good number), and whether others were passed over.
fn outermost<S: Source>(
    source: &S,
    mut times: Range<Timestamp>,
    direction: Direction,
    is_delta: bool,
) -> Result<(Option<Sample>, bool), S::Error> {
    let (mut limit, mut is_skipped) = (4, false);
    loop {
        let page = source.read(times.clone(), direction, limit)?;
        for sample in &page {
            if !is_delta || (sample.status.is_good() && sample.usable().is_some()) {
                return Ok((Some(sample.clone()), is_skipped));
            }
            is_skipped = true;
        }
        let Some(last) = page.last().filter(|_| page.len() == limit) else { return Ok((None, is_skipped)) };
        match direction {
            Direction::Forward => times.start = Timestamp::from_ticks(last.source_timestamp.ticks() + 1),
            Direction::Backward => times.end = last.source_timestamp,
        }
        limit = (limit * 4).min(4096);
    }
}
