//! Standard deviation and variance of a sample and of a population (Part 13 §5.4.3.37 to §5.4.3.40), and of our own
//! RootMeanSquare and Cpk: all of the Good samples, by Welford's recurrence, so that an offset does not eat the digits.

use super::{
    Aggregate, Request,
    interval::{CALCULATED, Interval},
    raw::{Fold, Tally},
};
use crate::sample::{Sample, StatusCode, Value};

/// Count, mean and sum of squared deviations.
#[derive(Default)]
pub(super) struct Deviation {
    mean: f64,
    squares: f64,
    tally: Tally,
}

impl Fold for Deviation {
    #[inline]
    fn add(&mut self, request: &Request, sample: &Sample) {
        let Some(x) = self.tally.good(request, sample) else { return };
        let deviation = x - self.mean;
        self.mean += deviation / self.tally.shares.good as f64;
        self.squares += deviation * (x - self.mean);
    }

    fn finish(self, request: &Request, interval: &Interval) -> Sample {
        if self.tally.shares.good == 0 {
            return self.tally.nothing(interval);
        }
        let result = match request.aggregate {
            Aggregate::VariancePopulation => Some(self.variance_population()),
            Aggregate::StandardDeviationPopulation => Some(self.variance_population().sqrt()),
            Aggregate::VarianceSample => Some(self.variance_sample()),
            Aggregate::StandardDeviationSample => Some(self.variance_sample().sqrt()),
            Aggregate::RootMeanSquare => Some(self.mean.hypot(self.variance_population().sqrt())),
            _ => self.cpk(request.limits),
        };
        let Some(x) = result.filter(|x| x.is_finite()) else {
            return interval.result(Value::Null, StatusCode::BadAggregateInvalidInputs, 0);
        };
        // "Always Good", says the table; Annex A has Uncertain where a sample was not used.
        let status = if self.tally.is_all_good() { StatusCode::Good } else { StatusCode::UncertainDataSubNormal };
        interval.result(Value::Double(x), status, CALCULATED)
    }
}

impl Deviation {
    fn variance_population(&self) -> f64 {
        self.squares / self.tally.shares.good as f64
    }

    /// 0 for one sample (§5.4.3.37).
    fn variance_sample(&self) -> f64 {
        match self.tally.shares.good {
            ..=1 => 0.0,
            count => self.squares / (count - 1) as f64,
        }
    }

    /// min(upper − mean, mean − lower) / 3σ. Without a limit or without any spread there is none.
    fn cpk(&self, limits: Option<(f64, f64)>) -> Option<f64> {
        let (lower, upper) = limits.filter(|(lower, upper)| lower < upper)?;
        let distance = (upper - self.mean).min(self.mean - lower);
        let sigma = self.variance_sample().sqrt();
        (sigma > 0.0).then(|| distance / (3.0 * sigma))
    }
}
