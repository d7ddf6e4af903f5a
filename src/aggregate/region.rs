//! Time-weighted Aggregates: an interval is cut into regions at its samples and at its two bounding values, and each
//! region has a value, a length in ticks and a grade (Part 13 §5.4.3.2.1).

use super::{
    Aggregate, Extent, Request, Source, average, count, extremum,
    extremum::Extremes,
    interval::{Interval, RESOLUTION, Shares, Sum, with_info},
    quality,
    quality::Worst,
    timeline::{Bound, Grade, Needs, Point, Timeline, worse},
};
use crate::sample::Sample;

/// What the regions of one interval add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ledger {
    /// Value × ticks over the regions that have a value.
    pub(super) integral: Sum,
    /// Ticks of these.
    pub(super) covered: i64,
    /// Ticks by grade.
    pub(super) shares: Shares,
    /// Good ticks at zero, and not at zero.
    pub(super) zero: i64,
    pub(super) nonzero: i64,
}

/// One interval's sum in the making.
struct Regions {
    ledger: Ledger,
    stepped: bool,
    treat_uncertain_as_bad: bool,
    from: Point,
}

impl Regions {
    fn new(start: Point, stepped: bool, treat_uncertain_as_bad: bool) -> Self {
        Self { ledger: Ledger::default(), stepped, treat_uncertain_as_bad, from: start }
    }

    /// Closes the region at `to` and opens the next.
    #[inline]
    fn cut(&mut self, to: Point) {
        self.close(to, to.at - self.from.at);
        self.from = to;
    }

    #[inline]
    fn close(&mut self, to: Point, ticks: i64) {
        let (from, ledger) = (self.from, &mut self.ledger);
        if from.grade == Grade::Bad {
            ledger.shares.bad += ticks;
            return;
        }
        // A line needs a usable end; without one the value is held, and the region is Uncertain (§5.4.3.2.2).
        let has_line = !self.stepped && to.grade != Grade::Bad;
        let grade = match (self.stepped, has_line) {
            (true, _) => from.grade,
            (false, true) => worse(from.grade, to.grade),
            (false, false) => Grade::Uncertain,
        };
        let mean = if has_line { from.x + (to.x - from.x) / 2.0 } else { from.x };
        ledger.integral.add(mean * ticks as f64);
        ledger.covered += ticks;
        match grade {
            Grade::Good if from.x == 0.0 => ledger.zero += ticks,
            Grade::Good => ledger.nonzero += ticks,
            _ => {}
        }
        match grade {
            Grade::Good => ledger.shares.good += ticks,
            Grade::Uncertain if !self.treat_uncertain_as_bad => ledger.shares.uncertain += ticks,
            _ => ledger.shares.bad += ticks,
        }
    }

    /// The last region. Beyond the newest sample of the archive nothing is known: the region ends there, after the time
    /// that one sample counts (Annex A: 1 ms).
    fn finish(mut self, end: Point, last: i64) -> Ledger {
        let ticks = end.at - self.from.at;
        let known = if end.at > last { (last - self.from.at).max(0) + RESOLUTION } else { ticks };
        self.close(end, ticks.min(known));
        self.ledger
    }
}

/// The parts of the time-weighted status: Uncertain counts with Good unless it is treated as Bad.
pub(super) const fn weighed(shares: &Shares) -> Shares {
    Shares { good: shares.good + shares.uncertain, uncertain: 0, bad: shares.bad }
}

pub(super) fn compute<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    use Aggregate as A;
    match request.aggregate {
        A::TimeAverage | A::Total => average::interpolated(request, source, intervals, extent),
        A::Minimum2 | A::Maximum2 | A::MinimumActualTime2 | A::MaximumActualTime2 | A::Range2 => walk(
            request,
            source,
            intervals,
            extent,
            Needs::Number,
            Extremes::new,
            |interval, ledger, low, high, found| extremum::with_bounds(request, interval, ledger, low, high, found),
        ),
        A::WorstQuality2 => {
            walk(request, source, intervals, extent, Needs::Status, Worst::default, |interval, _, low, high, worst| {
                quality::with_bounds(interval, low, high, worst)
            })
        }
        A::TimeAverage2 | A::Total2 => {
            walk(request, source, intervals, extent, Needs::Number, Nothing::default, |interval, ledger, _, _, _| {
                average::simple(request, interval, ledger)
            })
        }
        A::DurationInStateZero | A::DurationInStateNonZero => {
            walk(request, source, intervals, extent, Needs::Number, Nothing::default, |interval, ledger, _, _, _| {
                count::duration_in_state(request, interval, ledger)
            })
        }
        _ => walk(request, source, intervals, extent, Needs::Status, Nothing::default, |interval, ledger, _, _, _| {
            quality::duration(request, interval, ledger)
        }),
    }
}

/// What an Aggregate collects from the samples of an interval besides its regions.
pub(super) trait Collect {
    fn add(&mut self, point: Point, sample: &Sample);
}

#[derive(Default)]
struct Nothing;

impl Collect for Nothing {
    #[inline]
    fn add(&mut self, _: Point, _: &Sample) {}
}

/// Walks through the intervals with simple bounding values; `finish` makes a result of what each amounts to.
fn walk<S: Source, C: Collect>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
    needs: Needs,
    collect: impl Fn() -> C,
    finish: impl Fn(&Interval, &Ledger, &Bound, &Bound, C) -> Sample,
) -> Result<Vec<Sample>, S::Error> {
    let Some(first) = intervals.first() else { return Ok(Vec::new()) };
    let mut judging = *request;
    if request.aggregate == Aggregate::WorstQuality2 {
        // §5.4.3.36: "The server shall ignore the TreatUncertainAsBad for this aggregate."
        judging.configuration.treat_uncertain_as_bad = false;
    }
    let mut timeline = Timeline::at(source, &judging, needs, extent, first.low)?;
    let stepped = match request.aggregate {
        Aggregate::TimeAverage2
        | Aggregate::Total2
        | Aggregate::Minimum2
        | Aggregate::Maximum2
        | Aggregate::MinimumActualTime2
        | Aggregate::MaximumActualTime2
        | Aggregate::Range2 => request.stepped,
        // A state and a status hold until the next sample, whatever the value does between.
        _ => true,
    };
    let treat = timeline.rules.treat_uncertain_as_bad;
    let mut low = timeline.simple_bound(first.low)?;
    let mut results = Vec::with_capacity(intervals.len());
    for interval in intervals {
        let (mut regions, mut collected) = (Regions::new(low.point, stepped, treat), collect());
        while let Some((point, sample)) = timeline.pass(interval.high)? {
            // A sample on the lower edge is the bounding value itself.
            if point.at > interval.low {
                regions.cut(point);
                collected.add(point, sample);
            }
        }
        let high = timeline.simple_bound(interval.high)?;
        results.push(if extent.is_outside(interval) {
            interval.no_data()
        } else {
            let ledger = regions.finish(high.point, extent.last);
            let sample = timeline.judge(finish(interval, &ledger, &low, &high, collected));
            Sample { status: with_info(sample.status, extent.partial(interval)), ..sample }
        });
        low = high;
    }
    Ok(results)
}
