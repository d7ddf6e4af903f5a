//! Aggregates that look at the samples of an interval alone. Where an interval holds many, the store's summary of it or a
//! look at its edges replaces the scan.

use std::ops::Range;

use super::{
    Aggregate, Extent, Request, Source,
    average::Average,
    bound::Ends,
    count::{Count, transitions},
    cursor::Cursor,
    deviation::Deviation,
    extremum::Extremum,
    interval::{CALCULATED, Interval, Shares, with_info},
    quality::Worst,
    quantile::Quantile,
};
use crate::{
    history::Summary,
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// From how many samples in an interval on a summary is cheaper than reading them.
const DENSE: u64 = 1024;

/// What is collected from the samples of one interval.
pub(super) trait Fold: Default {
    /// Whether [`by_summary`](Self::by_summary) may succeed.
    const BY_SUMMARY: bool = false;
    /// Whether the Partial bit is ever set.
    const PARTIAL: bool = true;

    fn add(&mut self, request: &Request, sample: &Sample);

    fn finish(self, request: &Request, interval: &Interval) -> Sample;

    /// The result without a scan, if `summary` of the samples in `times` (never empty) determines it.
    fn by_summary<S: Source>(
        _: &Request,
        _: &S,
        _: &Interval,
        _times: Range<Timestamp>,
        _summary: &Summary,
    ) -> Result<Option<Sample>, S::Error> {
        Ok(None)
    }
}

pub(super) fn compute<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    use Aggregate as A;
    match request.aggregate {
        A::Average => fold::<S, Average>(request, source, intervals, extent),
        A::Count => fold::<S, Count>(request, source, intervals, extent),
        A::NumberOfTransitions => transitions(request, source, intervals, extent),
        A::Start | A::End | A::Delta => fold::<S, Ends>(request, source, intervals, extent),
        A::WorstQuality => fold::<S, Worst>(request, source, intervals, extent),
        A::Median | A::Percentile05 | A::Percentile95 => fold::<S, Quantile>(request, source, intervals, extent),
        A::StandardDeviationSample
        | A::StandardDeviationPopulation
        | A::VarianceSample
        | A::VariancePopulation
        | A::RootMeanSquare
        | A::Cpk => fold::<S, Deviation>(request, source, intervals, extent),
        _ => fold::<S, Extremum>(request, source, intervals, extent),
    }
}

fn fold<S: Source, F: Fold>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    let (Some(first), Some(last)) = (intervals.first(), intervals.last()) else { return Ok(Vec::new()) };
    let mut cursor = Cursor::new(source, first.samples().start.max(extent.first), last.samples().end);
    let (mut results, mut is_dense) = (Vec::with_capacity(intervals.len()), true);
    for interval in intervals {
        if extent.is_outside(interval) {
            results.push(interval.no_data());
            continue;
        }
        let end = interval.samples().end;
        let mut result = None;
        if F::BY_SUMMARY && is_dense && !cursor.covers(end) {
            let times = interval.times(extent);
            let summary = source.summary(times.clone())?;
            is_dense = summary.count() >= DENSE;
            if is_dense {
                result = F::by_summary(request, source, interval, times, &summary)?;
            }
        }
        let sample = match result {
            Some(sample) => {
                cursor.jump(end);
                sample
            }
            None => {
                let (mut fold, mut count) = (F::default(), 0);
                while let Some(sample) = cursor.pass(end)? {
                    fold.add(request, sample);
                    count += 1;
                }
                is_dense = count >= DENSE;
                fold.finish(request, interval)
            }
        };
        let info = if F::PARTIAL { extent.partial(interval) } else { 0 };
        results.push(Sample { status: with_info(sample.status, info), ..sample });
    }
    Ok(results)
}

/// How many samples are what. Only Good ones go into the values (Part 13: "all Good Raw data").
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) shares: Shares,
    /// A Good value that is not a number at all.
    has_wrong_type: bool,
}

impl Tally {
    /// Counts `sample`, and gives its number if it is Good.
    #[inline]
    pub(super) fn good(&mut self, request: &Request, sample: &Sample) -> Option<f64> {
        let x = sample.value.as_f64();
        if sample.status.is_good() {
            if let Some(x) = x.filter(|x| x.is_finite()) {
                self.shares.good += 1;
                return Some(x);
            }
            self.has_wrong_type |= x.is_none() && !sample.value.is_null();
            self.shares.bad += 1;
        } else if sample.status.is_uncertain() && !request.configuration.treat_uncertain_as_bad {
            self.shares.uncertain += 1;
        } else {
            self.shares.bad += 1;
        }
        None
    }

    /// The same from a summary; `None` where it does not say enough: values that are no numbers may be of a wrong type.
    pub(super) fn of(request: &Request, summary: &Summary) -> Option<Self> {
        if summary.good.usable < summary.good.count {
            return None;
        }
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (good, uncertain, bad) = (count(summary.good.count), count(summary.uncertain.count), count(summary.bad));
        let shares = if request.configuration.treat_uncertain_as_bad {
            Shares { good, uncertain: 0, bad: bad + uncertain }
        } else {
            Shares { good, uncertain, bad }
        };
        Some(Self { shares, has_wrong_type: false })
    }

    /// A calculated result with the status by share of samples; a Bad one has no info bits (Annex A: Count, historian 1).
    pub(super) fn result(&self, request: &Request, interval: &Interval, value: Value) -> Sample {
        let status = self.shares.status(&request.configuration);
        interval.result(value, status, if status.is_bad() { 0 } else { CALCULATED })
    }

    pub(super) const fn is_all_good(&self) -> bool {
        self.shares.bad == 0 && self.shares.uncertain == 0
    }

    /// The result where no Good number is: Bad_NoData, or Bad_AggregateInvalidInputs if there are values, but none that
    /// the Aggregate applies to (Part 13 §5.3.2).
    pub(super) fn nothing(&self, interval: &Interval) -> Sample {
        let status = if self.has_wrong_type { StatusCode::BadAggregateInvalidInputs } else { StatusCode::BadNoData };
        interval.result(Value::Null, status, 0)
    }
}
