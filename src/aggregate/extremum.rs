//! Minimum, Maximum, their ActualTime, Range (Part 13 §5.4.3.10 to §5.4.3.14) and the same with simple bounding values
//! (§5.4.3.15 to §5.4.3.19).

use std::ops::Range;

use super::{
    Aggregate, Request, Source,
    bound::difference,
    interval::{CALCULATED, INTERPOLATED, Interval, MULTI_VALUE, RESOLUTION, result},
    raw::{Fold, Tally},
    region::{Collect, Ledger, weighed},
    timeline::{Bound, Grade, Point},
};
use crate::{
    history::{Direction, Summary},
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// Up to how many samples are read rather than summarised when looking for one.
const FEW: u64 = 4096;
/// Into how many parts a stretch is cut when looking for the one with the extreme.
const PARTS: i64 = 8;

/// The extreme so far, the oldest of equals.
#[derive(Clone, Debug)]
struct Best {
    x: f64,
    at: i64,
    value: Value,
    info: u32,
    is_multiple: bool,
}

/// The least and the greatest so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Extremes {
    low: Option<Best>,
    high: Option<Best>,
}

impl Extremes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    #[inline]
    fn see(&mut self, x: f64, at: i64, value: &Value, info: u32) {
        let best = || Best { x, at, value: value.clone(), info, is_multiple: false };
        match &mut self.low {
            Some(low) if x > low.x => {}
            Some(low) if x == low.x => low.is_multiple = true,
            low => *low = Some(best()),
        }
        match &mut self.high {
            Some(high) if x < high.x => {}
            Some(high) if x == high.x => high.is_multiple = true,
            high => *high = Some(best()),
        }
    }

    fn see_bound(&mut self, bound: &Bound) {
        if bound.has_value() {
            self.see(bound.point.x, bound.point.at, &bound.value, bound.info);
        }
    }

    /// Takes in what comes later.
    fn then(self, later: Self) -> Self {
        let pick = |a: Option<Best>, b: Option<Best>, is_better: fn(f64, f64) -> bool| match (a, b) {
            (Some(a), Some(b)) if a.x == b.x => Some(Best { is_multiple: true, ..a }),
            (Some(a), Some(b)) => Some(if is_better(b.x, a.x) { b } else { a }),
            (a, b) => a.or(b),
        };
        Self { low: pick(self.low, later.low, |b, a| b < a), high: pick(self.high, later.high, |b, a| b > a) }
    }
}

impl Collect for Extremes {
    #[inline]
    fn add(&mut self, point: Point, sample: &Sample) {
        if point.grade != Grade::Bad {
            self.see(point.x, point.at, &sample.value, 0);
        }
    }
}

const fn is_actual_time(aggregate: Aggregate) -> bool {
    use Aggregate as A;
    matches!(aggregate, A::MinimumActualTime | A::MaximumActualTime | A::MinimumActualTime2 | A::MaximumActualTime2)
}

const fn is_minimum(aggregate: Aggregate) -> bool {
    use Aggregate as A;
    matches!(aggregate, A::Minimum | A::MinimumActualTime | A::Minimum2 | A::MinimumActualTime2)
}

const fn is_range(aggregate: Aggregate) -> bool {
    matches!(aggregate, Aggregate::Range | Aggregate::Range2)
}

/// Extremes of the Good samples, and how far the Uncertain ones reach.
#[derive(Default)]
pub(super) struct Extremum {
    good: Extremes,
    uncertain: Option<(f64, f64)>,
    tally: Tally,
}

impl Fold for Extremum {
    const BY_SUMMARY: bool = true;

    #[inline]
    fn add(&mut self, request: &Request, sample: &Sample) {
        if let Some(x) = self.tally.good(request, sample) {
            self.good.see(x, sample.source_timestamp.ticks(), &sample.value, 0);
        } else if let Some(x) = sample.usable()
            && sample.status.is_uncertain()
        {
            let (low, high) = self.uncertain.unwrap_or((x, x));
            self.uncertain = Some((low.min(x), high.max(x)));
        }
    }

    fn finish(self, request: &Request, interval: &Interval) -> Sample {
        let aggregate = request.aggregate;
        let (Some(low), Some(high)) = (self.good.low, self.good.high) else { return self.tally.nothing(interval) };
        let is_below = self.uncertain.is_some_and(|(least, _)| least < low.x);
        let is_above = self.uncertain.is_some_and(|(_, greatest)| greatest > high.x);
        // "If Bad values exist then Uncertain_DataSubNormal. If an Uncertain value is less than the minimum Good value,
        // Uncertain_DataSubNormal."
        let is_beaten = match aggregate {
            _ if is_range(aggregate) => is_below || is_above,
            _ if is_minimum(aggregate) => is_below,
            _ => is_above,
        };
        let is_good = self.tally.shares.bad == 0 && !is_beaten;
        let status = if is_good { StatusCode::Good } else { StatusCode::UncertainDataSubNormal };
        if is_range(aggregate) {
            return interval.result(difference(&low.value, &high.value, low.x, high.x), status, CALCULATED);
        }
        let best = if is_minimum(aggregate) { low } else { high };
        let multiple = if best.is_multiple { MULTI_VALUE } else { 0 };
        if is_actual_time(aggregate) {
            return result(best.at, best.value, status, multiple);
        }
        // On the start of the interval the sample itself is the result: raw.
        let calculated = if best.at == interval.start() && is_good { 0 } else { CALCULATED };
        interval.result(best.value, status, calculated | multiple)
    }

    fn by_summary<S: Source>(
        request: &Request,
        source: &S,
        interval: &Interval,
        times: Range<Timestamp>,
        summary: &Summary,
    ) -> Result<Option<Sample>, S::Error> {
        let (good, uncertain) = (&summary.good, &summary.uncertain);
        let Some(tally) = Tally::of(request, summary).filter(|_| good.usable > 0) else { return Ok(None) };
        let mut fold = Self { tally, ..Self::default() };
        fold.uncertain = (uncertain.usable > 0).then_some((uncertain.min, uncertain.max));
        let mut find = |x: f64, is_minimum: bool| {
            let mut found = Vec::new();
            locate(source, times.start.ticks()..times.end.ticks(), x, is_minimum, &mut found)?;
            for sample in &found {
                fold.good.see(x, sample.source_timestamp.ticks(), &sample.value, 0);
            }
            Ok(!found.is_empty())
        };
        let aggregate = request.aggregate;
        let is_found = (!is_range(aggregate) && !is_minimum(aggregate) || find(good.min, true)?)
            && (is_minimum(aggregate) || find(good.max, false)?);
        Ok(is_found.then(|| fold.finish(request, interval)))
    }
}

/// The first two Good samples with this least or greatest value. Only stretches whose summary has it are looked into.
fn locate<S: Source>(
    source: &S,
    times: Range<i64>,
    x: f64,
    is_minimum: bool,
    found: &mut Vec<Sample>,
) -> Result<(), S::Error> {
    let stretch = Timestamp::from_ticks(times.start)..Timestamp::from_ticks(times.end);
    let summary = source.summary(stretch.clone())?;
    let extreme = if is_minimum { summary.good.min } else { summary.good.max };
    if summary.good.usable == 0 || extreme != x {
        return Ok(());
    }
    if summary.count() <= FEW || times.end - times.start < PARTS {
        let samples =
            source.read(stretch, Direction::Forward, usize::try_from(summary.count()).unwrap_or(usize::MAX))?;
        let matching = samples.into_iter().filter(|sample| sample.status.is_good() && sample.value.as_f64() == Some(x));
        found.extend(matching.take(2 - found.len()));
        return Ok(());
    }
    let width = (times.end - times.start) / PARTS + 1;
    let mut start = times.start;
    while start < times.end && found.len() < 2 {
        let end = start.saturating_add(width).min(times.end);
        locate(source, start..end, x, is_minimum, found)?;
        start = end;
    }
    Ok(())
}

/// Minimum2 to Range2: the samples inside and the simple bounding values.
pub(super) fn with_bounds(
    request: &Request,
    interval: &Interval,
    ledger: &Ledger,
    low: &Bound,
    high: &Bound,
    inside: Extremes,
) -> Sample {
    let aggregate = request.aggregate;
    let (mut before, mut after) = (Extremes::default(), Extremes::default());
    before.see_bound(low);
    // With steps nothing leads up to the later bound; a sample there counts where it is the start of the interval.
    if !request.stepped || (interval.is_reverse && high.info == 0) {
        after.see_bound(high);
    }
    let extremes = before.then(inside).then(after);
    let (Some(least), Some(greatest)) = (extremes.low, extremes.high) else { return interval.no_data() };
    let status = weighed(&ledger.shares).status(&request.configuration);
    if is_range(aggregate) {
        let range = difference(&least.value, &greatest.value, least.x, greatest.x);
        return interval.result(range, status, CALCULATED);
    }
    let best = if is_minimum(aggregate) { least } else { greatest };
    let multiple = if best.is_multiple { MULTI_VALUE } else { 0 };
    if !is_actual_time(aggregate) {
        let calculated = if best.info == 0 && best.at != interval.start() { CALCULATED } else { best.info };
        return interval.result(best.value, status, calculated | multiple);
    }
    // The end is not in the interval: what is reached there is reached at the EffectiveEndTime (§5.4.3.17).
    let width = interval.high - interval.low;
    let (at, info) = match best.at {
        at if at == interval.high && !interval.is_reverse => (at - RESOLUTION.min(width), INTERPOLATED),
        at if at == interval.low && interval.is_reverse => (at + RESOLUTION.min(width), INTERPOLATED),
        at => (at, best.info),
    };
    result(at, best.value, status, info | multiple)
}
