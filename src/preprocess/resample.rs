//! Samples on a grid: the instants that are whole multiples of the step since 1601-01-01 (and so of every day, for steps that divide it). Each
//! comes once a sample at or after it is there.
//!
//! `previous`: the value and the status of the last sample at or before the instant. `linear`: on the line between the samples around it, no better
//! than either; after a Bad sample the instants are as Bad, and before one they hold the last value, Uncertain_LastUsableValue. A sample that
//! stands on the grid is what it is. A late sample does not go on. Across a silence of more than [`INSTANTS_MAX`] steps, and across a gap, nothing is made
//! up: there history reads the same without it.

use std::time::Duration;

use super::{
    Onward, Thinning,
    sequence::{Place, Sequence},
};
use crate::{
    sample::{Sample, StatusCode, Value, worse},
    time::Timestamp,
};

/// Most instants between two samples.
pub(super) const INSTANTS_MAX: i64 = 10_000;
/// The code of a StatusCode, without the info bits, which are of one sample's own (OPC 10000-4 §7.39).
const CODE: u32 = 0xFFFF_0000;

pub(super) struct Resample {
    step_ticks: i64,
    is_linear: bool,
    last: Option<Sample>,
    sequence: Sequence,
}

impl Resample {
    pub(super) fn new(step: Duration, is_linear: bool) -> Self {
        let step_ticks = i64::try_from(step.as_nanos() / 100).unwrap_or(i64::MAX).max(1);
        Self { step_ticks, is_linear, last: None, sequence: Sequence::default() }
    }

    /// The sample at an instant between `last` and `next`.
    fn between(&self, last: &Sample, next: &Sample, at: Timestamp) -> Sample {
        let made = |status: StatusCode, value: Value| Sample {
            source_timestamp: at,
            server_timestamp: next.server_timestamp,
            status: StatusCode::from(status.bits() & CODE),
            value,
        };
        match (last.usable(), next.usable()) {
            _ if !self.is_linear => made(last.status, last.value.clone()),
            (Some(a), Some(b)) => {
                let whole = next.source_timestamp.seconds_since(last.source_timestamp);
                let share = at.seconds_since(last.source_timestamp) / whole;
                // As a weighted mean, not as a difference: that of two large values would be infinite.
                made(worse(last.status, next.status), Value::Double(a * (1.0 - share) + b * share))
            }
            (Some(_), None) => made(worse(last.status, StatusCode::UncertainLastUsableValue), last.value.clone()),
            (None, _) => made(last.status, last.value.clone()),
        }
    }
}

impl Thinning for Resample {
    fn apply(&mut self, sample: Sample, _received: Timestamp, on: &mut Onward<'_>) {
        match self.sequence.place(&sample) {
            Place::Late => return,
            Place::First => self.last = None,
            Place::Next | Place::Again => {}
        }
        let now = sample.source_timestamp.ticks();
        if let Some(last) = self.last.take() {
            let first = last.source_timestamp.ticks().div_euclid(self.step_ticks) + 1;
            let end = now.div_euclid(self.step_ticks) + i64::from(now.rem_euclid(self.step_ticks) != 0);
            if end.saturating_sub(first) <= INSTANTS_MAX {
                for instant in first..end {
                    on(self.between(&last, &sample, Timestamp::from_ticks(instant.saturating_mul(self.step_ticks))));
                }
            }
        }
        self.last = Some(sample.clone());
        if now.rem_euclid(self.step_ticks) == 0 {
            on(sample);
        }
    }

    fn interrupt(&mut self) {
        self.last = None;
        self.sequence.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tests::{at, passed};

    fn run(is_linear: bool, samples: impl IntoIterator<Item = Sample>) -> Vec<(f64, Option<f64>, StatusCode)> {
        let mut resample = Resample::new(Duration::from_secs(1), is_linear);
        let of = |s: &Sample| (s.source_timestamp.seconds_since(at(0.0)), s.value.as_f64(), s.status);
        passed(&mut resample, samples).iter().map(of).collect()
    }

    #[test]
    fn values_stand_on_the_grid_on_the_line_or_held() {
        let samples = || [(0.5, 5.0), (1.5, 15.0), (4.0, 40.0), (4.5, 0.0)].map(|(t, x)| Sample::good(at(t), x));
        let good = |t: f64, x: f64| (t, Some(x), StatusCode::Good);
        assert_eq!(run(true, samples()), [good(1.0, 10.0), good(2.0, 20.0), good(3.0, 30.0), good(4.0, 40.0)]);
        assert_eq!(run(false, samples()), [good(1.0, 5.0), good(2.0, 15.0), good(3.0, 15.0), good(4.0, 40.0)]);
    }

    #[test]
    fn no_instant_is_better_than_what_it_is_made_of() {
        let uncertain = StatusCode::UncertainSensorNotAccurate;
        let samples = [
            Sample::good(at(0.5), 1.0),
            Sample { status: StatusCode::from(uncertain.bits() | 0x600), ..Sample::good(at(1.5), 1.0) },
            Sample::bad(at(2.5), StatusCode::BadSensorFailure),
            Sample::good(at(3.5), 1.0),
            Sample::good(at(4.5), 1.0),
        ];
        let statuses: Vec<_> = run(true, samples).iter().map(|(.., status)| *status).collect();
        assert_eq!(statuses, [uncertain, uncertain, StatusCode::BadSensorFailure, StatusCode::Good]);
        let then_bad = [Sample::good(at(0.5), 1.0), Sample::bad(at(1.5), StatusCode::BadSensorFailure)];
        assert_eq!(run(true, then_bad), [(1.0, Some(1.0), StatusCode::UncertainLastUsableValue)]);
    }

    #[test]
    fn a_long_silence_is_not_filled_and_late_samples_do_not_go_on() {
        let late = Sample { server_timestamp: at(1e6), ..Sample::good(at(5.0), 9.0) };
        let samples = [Sample::good(at(0.0), 1.0), Sample::good(at(1e6), 2.0), late];
        assert_eq!(run(true, samples).iter().map(|s| s.0).collect::<Vec<_>>(), [0.0, 1e6]);
    }
}
