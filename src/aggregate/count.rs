//! Count (Part 13 §5.4.3.21), AnnotationCount (§5.4.3.20), NumberOfTransitions (§5.4.3.24), DurationInStateZero and
//! DurationInStateNonZero (§5.4.3.22, §5.4.3.23).

use std::ops::Range;

use super::{
    Aggregate, Extent, Request, Source,
    interval::{CALCULATED, Interval, Shares, with_info},
    raw::{Fold, Tally},
    region::{Ledger, weighed},
    timeline::{Grade, Needs, Timeline},
};
use crate::{
    history::Summary,
    sample::{Sample, Value},
    time::Timestamp,
};

const TICKS_PER_MS: f64 = 1e4;

/// Number of Good samples, of whatever type.
#[derive(Default)]
pub(super) struct Count {
    shares: Shares,
}

impl Fold for Count {
    const BY_SUMMARY: bool = true;

    #[inline]
    fn add(&mut self, request: &Request, sample: &Sample) {
        if sample.status.is_good() {
            self.shares.good += 1;
        } else if sample.status.is_uncertain() && !request.configuration.treat_uncertain_as_bad {
            self.shares.uncertain += 1;
        } else {
            self.shares.bad += 1;
        }
    }

    fn finish(self, request: &Request, interval: &Interval) -> Sample {
        counted(request, interval, self.shares.good, &self.shares)
    }

    fn by_summary<S: Source>(
        request: &Request,
        _: &S,
        interval: &Interval,
        _: Range<Timestamp>,
        summary: &Summary,
    ) -> Result<Option<Sample>, S::Error> {
        let mut summary = *summary;
        summary.good.usable = summary.good.count;
        let tally = Tally::of(request, &summary);
        Ok(tally.map(|tally| counted(request, interval, tally.shares.good, &tally.shares)))
    }
}

/// A count with the status by share of samples. A Bad one has no info bits (Annex A, historian 1).
fn counted(request: &Request, interval: &Interval, count: i64, shares: &Shares) -> Sample {
    let status = shares.status(&request.configuration);
    interval.result(int32(count), status, if status.is_bad() { 0 } else { CALCULATED })
}

/// Part 13 has Int32; what does not fit saturates.
fn int32(count: i64) -> Value {
    Value::Int32(i32::try_from(count).unwrap_or(i32::MAX))
}

/// Good wherever there is data: an annotation need not have a sample.
pub(super) fn annotations<S: Source>(
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    let annotations = |interval: &Interval| {
        if extent.is_outside(interval) {
            return Ok(interval.no_data());
        }
        let Range { start, end } = interval.samples();
        let count = source.annotations(Timestamp::from_ticks(start)..Timestamp::from_ticks(end))?;
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(interval.result(int32(count), crate::sample::StatusCode::Good, CALCULATED | extent.partial(interval)))
    };
    intervals.iter().map(annotations).collect()
}

/// Changes from one usable sample to the next; the first of all is a change too.
pub(super) fn transitions<S: Source>(
    request: &Request,
    source: &S,
    intervals: &[Interval],
    extent: Extent,
) -> Result<Vec<Sample>, S::Error> {
    let Some(first) = intervals.first() else { return Ok(Vec::new()) };
    let mut timeline = Timeline::at(source, request, Needs::Value, extent, first.samples().start)?;
    let mut previous = timeline.previous();
    let mut results = Vec::with_capacity(intervals.len());
    for interval in intervals {
        let (mut shares, mut count) = (Shares::default(), 0);
        while let Some((point, sample)) = timeline.pass(interval.samples().end)? {
            match point.grade {
                Grade::Good => shares.good += 1,
                Grade::Uncertain => shares.uncertain += 1,
                Grade::Bad => shares.bad += 1,
            }
            if point.grade != Grade::Bad && previous.as_ref() != Some(&sample.value) {
                count += 1;
                previous = Some(sample.value.clone());
            }
        }
        results.push(if extent.is_outside(interval) {
            interval.no_data()
        } else {
            let sample = counted(request, interval, count, &shares);
            Sample { status: with_info(sample.status, extent.partial(interval)), ..sample }
        });
    }
    Ok(results)
}

pub(super) fn duration_in_state(request: &Request, interval: &Interval, ledger: &Ledger) -> Sample {
    let ticks = if request.aggregate == Aggregate::DurationInStateZero { ledger.zero } else { ledger.nonzero };
    let status = weighed(&ledger.shares).status(&request.configuration);
    interval.result(milliseconds(ticks), status, CALCULATED)
}

/// OPC UA's Duration: milliseconds as a Double.
pub(super) fn milliseconds(ticks: i64) -> Value {
    Value::Double(ticks as f64 / TICKS_PER_MS)
}
