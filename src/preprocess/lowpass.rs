//! A low-pass of the first order, exact however unevenly samples come: over dt the share exp(−dt/τ) of what was is left, the rest is the new
//! value. The result is a Double.
//!
//! Status and SourceTimestamp are the sample's own. A Bad sample passes as it is, and the filter begins anew after it, as after a gap: the
//! first value is taken as it comes. A sample that is late has no weight: it shows what the filter holds, Uncertain_SubNormal.

use super::{
    Filter,
    sequence::{Place, Sequence},
};
use crate::{
    sample::{Sample, StatusCode, Value, worse},
    time::Timestamp,
};

pub(super) struct Lowpass {
    tau_s: f64,
    held: Option<(f64, Timestamp)>,
    sequence: Sequence,
}

impl Lowpass {
    pub(super) fn new(tau_s: f64) -> Self {
        Self { tau_s, held: None, sequence: Sequence::default() }
    }
}

impl Filter for Lowpass {
    fn apply(&mut self, sample: Sample) -> Sample {
        let Some(x) = sample.usable() else {
            self.interrupt();
            return sample;
        };
        let place = self.sequence.place(&sample);
        let at = sample.source_timestamp;
        let (y, status) = match (place, self.held) {
            (Place::First, _) | (_, None) => (x, sample.status),
            (Place::Next, Some((y, since))) => {
                let passed = at.seconds_since(since) / self.tau_s;
                // As a weighted mean, not as a difference: that of two large values would be infinite.
                (y * (-passed).exp() - x * (-passed).exp_m1(), sample.status)
            }
            (Place::Again, Some((y, _))) => (y, sample.status),
            (Place::Late, Some((y, _))) => {
                return Sample {
                    value: Value::Double(y),
                    status: worse(sample.status, StatusCode::UncertainSubNormal),
                    ..sample
                };
            }
        };
        self.held = Some((y, at));
        Sample { value: Value::Double(y), status, ..sample }
    }

    fn interrupt(&mut self) {
        self.held = None;
        self.sequence.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tests::at;

    /// After a step from 0 to 1 at t = 0: 1 − exp(−t/τ), at whatever instants one looks.
    #[test]
    fn a_step_is_followed_exactly_at_uneven_instants() {
        let mut lowpass = Lowpass::new(2.0);
        assert_eq!(lowpass.apply(Sample::good(at(0.0), 0.0)).usable(), Some(0.0));
        for t in [0.1, 0.15, 1.0, 1.001, 5.0, 40.0] {
            let y = lowpass.apply(Sample::good(at(t), 1.0)).usable().unwrap();
            // Ticks of 100 ns are 5e-8 of τ; rounding is far below.
            assert!((y - (1.0 - (-t / 2.0).exp())).abs() < 1e-6, "{t}: {y}");
        }
    }

    #[test]
    fn it_begins_anew_after_a_bad_sample_and_a_late_one_has_no_weight() {
        let mut lowpass = Lowpass::new(1.0);
        lowpass.apply(Sample::good(at(0.0), 10.0));
        let late = lowpass.apply(Sample::good(at(-1.0), 99.0));
        assert_eq!((late.usable(), late.status), (Some(10.0), StatusCode::UncertainSubNormal));
        let bad = Sample { status: StatusCode::BadSensorFailure, ..Sample::good(at(1.0), 3.0) };
        assert_eq!(lowpass.apply(bad.clone()), bad);
        assert_eq!(lowpass.apply(Sample::good(at(2.0), 20.0)).usable(), Some(20.0));
        lowpass.interrupt();
        assert_eq!(lowpass.apply(Sample::good(at(2.1), 7.0)).usable(), Some(7.0));
    }

    #[test]
    fn the_largest_values_stay_finite() {
        let mut lowpass = Lowpass::new(1.0);
        lowpass.apply(Sample::good(at(0.0), f64::MAX));
        assert!(lowpass.apply(Sample::good(at(0.5), f64::MIN)).usable().is_some());
    }
}
