//! Aggregates: what HistoryRead answers as *processed* history (OPC 10000-13 v1.05). Functions of the samples that a
//! [`Source`] gives: no clock, no I/O of its own, each sample read once, memory bounded by a page (the quantiles: by one
//! interval). Where the clause and the published figures of Annex A differ, `tests/golden/part13/README.md` says which
//! one is followed, and why.

mod average;
mod bound;
mod catalogue;
mod count;
mod cursor;
mod deviation;
mod extremum;
mod interval;
mod quality;
mod quantile;
mod raw;
mod region;
mod timeline;

use std::ops::Range;

pub use catalogue::Aggregate;

use crate::{
    history::{Direction, Summary},
    sample::Sample,
    time::Timestamp,
};
use interval::{Extent, Interval};

/// How statuses weigh (Part 13 §4.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Uncertain samples count as Bad.
    pub treat_uncertain_as_bad: bool,
    /// From this share of Bad on (percent) the result is Bad.
    pub percent_data_bad: u8,
    /// From this share of Good on (percent) the result is Good.
    pub percent_data_good: u8,
    /// After the last sample the value goes on along the last slope, instead of being held.
    pub use_sloped_extrapolation: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            treat_uncertain_as_bad: true,
            percent_data_bad: 100,
            percent_data_good: 100,
            use_sloped_extrapolation: false,
        }
    }
}

impl Configuration {
    /// Whether every share of Good data has a status (§4.2.1.2); if not, the read is Bad_AggregateInvalidInputs.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.percent_data_bad <= 100
            && self.percent_data_good <= 100
            && self.percent_data_good >= 100 - self.percent_data_bad
    }
}

/// One Aggregate over one time range of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Which.
    pub aggregate: Aggregate,
    /// Where the answer begins. Later than `end`: time runs backwards.
    pub start: Timestamp,
    /// Where it ends, itself excluded.
    pub end: Timestamp,
    /// ProcessingInterval in ticks of 100 ns; 0: the whole range as one.
    pub interval: i64,
    /// How statuses weigh.
    pub configuration: Configuration,
    /// Whether the variable keeps its value between samples (Part 11's Stepped).
    pub stepped: bool,
    /// Lower and upper limit of the process, for [`Aggregate::Cpk`]; either may be infinite.
    pub limits: Option<(f64, f64)>,
}

impl Request {
    /// How many intervals the answer has (§5.4.2.2); the last one may be shorter.
    #[must_use]
    pub const fn intervals(&self) -> u64 {
        let range = self.end.ticks().abs_diff(self.start.ticks());
        match self.interval {
            ..=0 => (range > 0) as u64,
            width => range.div_ceil(width.unsigned_abs()),
        }
    }

    /// Whether time runs backwards: the interval then includes its later end and excludes its earlier one.
    const fn is_reverse(&self) -> bool {
        self.start.ticks() > self.end.ticks()
    }
}

/// History as the Aggregates read it: one series of a store.
pub trait Source {
    /// What reading can fail at.
    type Error;

    /// At most `limit` samples with SourceTimestamp in `times` (start included, end not), in the order of `direction`.
    fn read(&self, times: Range<Timestamp>, direction: Direction, limit: usize) -> Result<Vec<Sample>, Self::Error>;

    /// Counts, extremes and sums of the samples in `times`.
    fn summary(&self, times: Range<Timestamp>) -> Result<Summary, Self::Error>;

    /// How many annotations lie in `times`.
    fn annotations(&self, times: Range<Timestamp>) -> Result<u64, Self::Error>;
}

/// The results of `intervals` (by number, 0 to [`Request::intervals`]) in the order of the request. A result carries the
/// time of its interval as both timestamps, except where the Aggregate is defined to carry another.
pub fn compute<S: Source>(request: &Request, source: &S, intervals: Range<u64>) -> Result<Vec<Sample>, S::Error> {
    let intervals = interval::in_time_order(request, intervals);
    if intervals.is_empty() {
        return Ok(Vec::new());
    }
    let mut results = match Extent::of(source)? {
        Some(extent) => compute_inside(request, source, &intervals, extent)?,
        None => intervals.iter().map(Interval::no_data).collect(),
    };
    if request.is_reverse() {
        results.reverse();
    }
    Ok(results)
}

fn compute_inside<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    use Aggregate as A;
    match request.aggregate {
        A::AnnotationCount => count::annotations(source, intervals, extent),
        A::Interpolative | A::StartBound | A::EndBound | A::DeltaBounds => {
            bound::compute(request, source, intervals, extent)
        }
        A::TimeAverage
        | A::TimeAverage2
        | A::Total
        | A::Total2
        | A::Minimum2
        | A::Maximum2
        | A::MinimumActualTime2
        | A::MaximumActualTime2
        | A::Range2
        | A::DurationInStateZero
        | A::DurationInStateNonZero
        | A::DurationGood
        | A::DurationBad
        | A::PercentGood
        | A::PercentBad
        | A::WorstQuality2 => region::compute(request, source, intervals, extent),
        _ => raw::compute(request, source, intervals, extent),
    }
}
