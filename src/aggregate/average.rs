//! Average (Part 13 §5.4.3.5) and the time-weighted TimeAverage, Total (§5.4.3.6, §5.4.3.8: interpolated bounding values)
//! and TimeAverage2, Total2 (§5.4.3.7, §5.4.3.9: simple ones).

use std::ops::Range;

use super::{
    Aggregate, Extent, Request, Source,
    interval::{CALCULATED, Interval, Sum, with_info},
    raw::{Fold, Tally},
    region::{Ledger, weighed},
    timeline::{Bound, Grade, Needs, Point, Timeline, worse},
};
use crate::{
    history::Summary,
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

const TICKS_PER_SECOND: f64 = 1e7;

/// The mean of the Good samples.
#[derive(Default)]
pub(super) struct Average {
    sum: Sum,
    tally: Tally,
}

impl Fold for Average {
    const BY_SUMMARY: bool = true;
    // Table "Average": Partial, not set.
    const PARTIAL: bool = false;

    #[inline]
    fn add(&mut self, request: &Request, sample: &Sample) {
        if let Some(x) = self.tally.good(request, sample) {
            self.sum.add(x);
        }
    }

    fn finish(self, request: &Request, interval: &Interval) -> Sample {
        mean(request, interval, self.sum.get(), &self.tally)
    }

    fn by_summary<S: Source>(
        request: &Request,
        _: &S,
        interval: &Interval,
        _: Range<Timestamp>,
        summary: &Summary,
    ) -> Result<Option<Sample>, S::Error> {
        let tally = Tally::of(request, summary);
        Ok(tally.map(|tally| mean(request, interval, summary.good.sum, &tally)))
    }
}

fn mean(request: &Request, interval: &Interval, sum: f64, tally: &Tally) -> Sample {
    match tally.shares.good {
        0 => tally.nothing(interval),
        count => tally.result(request, interval, Value::Double(sum / count as f64)),
    }
}

/// TimeAverage2 or Total2 of one interval.
pub(super) fn simple(request: &Request, interval: &Interval, ledger: &Ledger) -> Sample {
    if ledger.covered == 0 {
        return interval.no_data();
    }
    let status = weighed(&ledger.shares).status(&request.configuration);
    interval.result(mean_or_total(request.aggregate, ledger.integral.get(), ledger.covered), status, CALCULATED)
}

fn mean_or_total(aggregate: Aggregate, integral: f64, ticks: i64) -> Value {
    Value::Double(match aggregate {
        Aggregate::TimeAverage | Aggregate::TimeAverage2 => integral / ticks as f64,
        _ => integral / TICKS_PER_SECOND,
    })
}

/// One interval between interpolated bounding values: Bad samples are passed over, and leave the result Uncertain.
struct Area {
    integral: Sum,
    ticks: i64,
    is_good: bool,
    stepped: bool,
    from: Option<Point>,
}

impl Area {
    fn new(low: &Bound, stepped: bool) -> Self {
        // No value before: the part of the interval from the first sample on is what is averaged.
        let from = low.has_value().then_some(low.point);
        Self { integral: Sum::default(), ticks: 0, is_good: from.is_some(), stepped, from }
    }

    #[inline]
    fn add(&mut self, to: Point) {
        if to.grade == Grade::Bad {
            self.is_good = false;
            return;
        }
        if let Some(from) = self.from {
            let ticks = to.at - from.at;
            let (mean, grade) = if self.stepped {
                (from.x, from.grade)
            } else {
                (from.x + (to.x - from.x) / 2.0, worse(from.grade, to.grade))
            };
            self.integral.add(mean * ticks as f64);
            self.ticks += ticks;
            self.is_good &= grade == Grade::Good;
        }
        self.from = Some(to);
    }

    fn finish(mut self, request: &Request, interval: &Interval, high: &Bound) -> Sample {
        if self.from.is_some() {
            self.add(high.point);
        }
        self.is_good &= !high.is_extrapolated;
        if self.ticks == 0 {
            return interval.no_data();
        }
        let status = if self.is_good { StatusCode::Good } else { StatusCode::UncertainDataSubNormal };
        interval.result(mean_or_total(request.aggregate, self.integral.get(), self.ticks), status, CALCULATED)
    }
}

pub(super) fn interpolated<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    let Some(first) = intervals.first() else { return Ok(Vec::new()) };
    // §5.4.3.6: TimeAverage "always uses a sloped line". §5.4.3.8 says so of Total too, but Annex A publishes stepped
    // figures for it (historian 3): those are followed.
    let stepped = request.stepped && request.aggregate == Aggregate::Total;
    let drawn = Request { stepped, ..*request };
    let mut timeline = Timeline::at(source, &drawn, Needs::Number, extent, first.low)?;
    let mut low = timeline.interpolated_bound(first.low)?;
    let mut results = Vec::with_capacity(intervals.len());
    for interval in intervals {
        let mut area = Area::new(&low, stepped);
        while let Some((point, _)) = timeline.pass(interval.high)? {
            // A sample on the lower edge is in the bounding value already.
            if point.at > interval.low {
                area.add(point);
            }
        }
        let high = timeline.interpolated_bound(interval.high)?;
        results.push(if extent.is_outside(interval) {
            interval.no_data()
        } else {
            let sample = timeline.judge(area.finish(request, interval, &high));
            Sample { status: with_info(sample.status, extent.partial(interval)), ..sample }
        });
        low = high;
    }
    Ok(results)
}
