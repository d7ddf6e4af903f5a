//! DurationGood to PercentBad (Part 13 §5.4.3.31 to §5.4.3.34), WorstQuality and WorstQuality2 (§5.4.3.35, §5.4.3.36).
//! Their own status is always Good.

use std::ops::Range;

use super::{
    Aggregate, Request, Source,
    count::milliseconds,
    interval::{CALCULATED, Interval, MULTI_VALUE, code},
    raw::Fold,
    region::{Collect, Ledger},
    timeline::{Bound, Point},
};
use crate::{
    history::Summary,
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

pub(super) fn duration(request: &Request, interval: &Interval, ledger: &Ledger) -> Sample {
    let (shares, total) = (&ledger.shares, ledger.shares.total().max(1) as f64);
    let value = match request.aggregate {
        Aggregate::DurationGood => milliseconds(shares.good),
        Aggregate::DurationBad => milliseconds(shares.bad),
        Aggregate::PercentGood => Value::Double(shares.good as f64 / total * 100.0),
        _ => Value::Double(shares.bad as f64 / total * 100.0),
    };
    interval.result(value, StatusCode::Good, CALCULATED)
}

/// The worst status, the first of equals, and how many are as bad. TreatUncertainAsBad has no say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worst {
    worst: Option<StatusCode>,
    count: u64,
}

/// The two top bits: 0 Good, 1 Uncertain, 2 (and the reserved 3) Bad.
fn rank(status: StatusCode) -> u32 {
    (status.bits() >> 30).min(2)
}

impl Worst {
    #[inline]
    fn see(&mut self, status: StatusCode) {
        match self.worst {
            Some(worst) if rank(status) < rank(worst) => {}
            Some(worst) if rank(status) == rank(worst) => self.count += 1,
            _ => *self = Self { worst: Some(status), count: 1 },
        }
    }

    fn result(self, interval: &Interval) -> Sample {
        let Some(worst) = self.worst else { return interval.no_data() };
        let info = if self.count > 1 && !worst.is_good() { MULTI_VALUE } else { 0 };
        interval.result(Value::StatusCode(code(worst)), StatusCode::Good, CALCULATED | info)
    }
}

impl Fold for Worst {
    const BY_SUMMARY: bool = true;

    #[inline]
    fn add(&mut self, _: &Request, sample: &Sample) {
        self.see(sample.status);
    }

    fn finish(self, _: &Request, interval: &Interval) -> Sample {
        self.result(interval)
    }

    fn by_summary<S: Source>(
        _: &Request,
        _: &S,
        interval: &Interval,
        _: Range<Timestamp>,
        summary: &Summary,
    ) -> Result<Option<Sample>, S::Error> {
        let is_good = summary.bad == 0 && summary.uncertain.count == 0;
        Ok(is_good.then(|| Self { worst: Some(StatusCode::Good), count: 1 }.result(interval)))
    }
}

impl Collect for Worst {
    fn add(&mut self, _: Point, sample: &Sample) {
        self.see(sample.status);
    }
}

/// WorstQuality2. The clause asks for the start bound; Annex A counts the end bound too, and so do we.
pub(super) fn with_bounds(interval: &Interval, low: &Bound, high: &Bound, inside: Worst) -> Sample {
    let (start, end) = if interval.is_reverse { (high, low) } else { (low, high) };
    let mut worst = Worst::default();
    worst.see(start.status);
    let (first, count) = (inside.worst, inside.count);
    if let Some(first) = first {
        worst.see(first);
        if worst.worst.is_some_and(|worst| rank(worst) == rank(first)) {
            worst.count += count - 1;
        }
    }
    worst.see(end.status);
    worst.result(interval)
}
