//! Hampel's identifier over the newest values: one that is further from their median than `sigmas` times their scatter (1.4826 times the
//! median absolute deviation, which estimates σ of a normal distribution) is an outlier. It looks back only: nothing waits for what
//! comes later, and a step of the signal is taken for outliers until half of the window is beyond it.
//!
//! An outlier is marked, made Bad or replaced by the median, never dropped. Its raw value enters the window: a median bears it.
//! SourceTimestamps are kept.

use std::{collections::VecDeque, fmt};

use super::{
    Filter,
    sequence::{Place, Sequence},
};
use crate::sample::{Sample, StatusCode, Value, worse};

/// What becomes of an outlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlier {
    /// Kept, Uncertain_SensorNotAccurate.
    Uncertain,
    /// Kept in history, Bad_OutOfRange: out of statistics and fits.
    Bad,
    /// The median stands in its place, Uncertain_SubstituteValue.
    Median,
}

impl fmt::Display for Outlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
            Self::Median => "median",
        })
    }
}

/// σ of a normal distribution over its median absolute deviation: 1/Φ⁻¹(3/4).
const SIGMA_PER_MAD: f64 = 1.482_602_218_505_602;

pub(super) struct Hampel {
    /// Values looked at, the newest included.
    window: usize,
    sigmas: f64,
    /// A deviation no larger than this is none: of a signal that stands still the scatter is 0.
    least: f64,
    outlier: Outlier,
    newest: VecDeque<f64>,
    sorted: Vec<f64>,
    sequence: Sequence,
}

impl Hampel {
    pub(super) fn new(window: usize, sigmas: f64, least: f64, outlier: Outlier) -> Self {
        let (newest, sorted) = (VecDeque::with_capacity(window), Vec::with_capacity(window));
        Self { window, sigmas, least, outlier, newest, sorted, sequence: Sequence::default() }
    }

    /// The median of the window if `x` is an outlier in it. Until the window is full nothing is.
    fn judge(&mut self, x: f64) -> Option<f64> {
        if self.newest.len() < self.window {
            return None;
        }
        self.sorted.clear();
        self.sorted.extend(&self.newest);
        let centre = median(&mut self.sorted)?;
        self.sorted.iter_mut().for_each(|y| *y = (*y - centre).abs());
        let scatter = SIGMA_PER_MAD * median(&mut self.sorted)?;
        ((x - centre).abs() > (self.sigmas * scatter).max(self.least)).then_some(centre)
    }
}

impl Filter for Hampel {
    fn apply(&mut self, sample: Sample) -> Sample {
        let Some(x) = sample.usable() else { return sample };
        match self.sequence.place(&sample) {
            Place::First => self.newest.clear(),
            Place::Next => {}
            // Judged by what is there; what is there already is not counted twice.
            Place::Again | Place::Late => return self.marked(sample, x),
        }
        if self.newest.len() == self.window {
            self.newest.pop_front();
        }
        self.newest.push_back(x);
        self.marked(sample, x)
    }

    fn interrupt(&mut self) {
        self.newest.clear();
        self.sequence.forget();
    }
}

impl Hampel {
    fn marked(&mut self, sample: Sample, x: f64) -> Sample {
        let Some(median) = self.judge(x) else { return sample };
        let marked = |status| worse(sample.status, status);
        match self.outlier {
            Outlier::Uncertain => Sample { status: marked(StatusCode::UncertainSensorNotAccurate), ..sample },
            Outlier::Bad => Sample { status: marked(StatusCode::BadOutOfRange), ..sample },
            Outlier::Median => {
                let status = marked(StatusCode::UncertainSubstituteValue);
                Sample { status, value: Value::Double(median), ..sample }
            }
        }
    }
}

/// Changes the order of the values. `None`: there are none.
fn median(values: &mut [f64]) -> Option<f64> {
    let len = values.len();
    let (below, upper, _) = (len > 0).then(|| values.select_nth_unstable_by(len / 2, f64::total_cmp))?;
    let upper = *upper;
    if len % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(lower / 2.0 + upper / 2.0) // the sum of two large ones would be infinite
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tests::at;

    fn run(mut hampel: Hampel, values: &[f64]) -> Vec<(f64, StatusCode)> {
        let samples = (0..).zip(values).map(|(t, x)| hampel.apply(Sample::good(at(f64::from(t)), *x)));
        samples.map(|sample| (sample.value.as_f64().unwrap(), sample.status)).collect()
    }

    #[test]
    fn a_spike_is_marked_and_nothing_else() {
        let values = [1.0, 2.0, 1.5, 1.0, 2.0, 90.0, 1.5, 1.0];
        let said = run(Hampel::new(5, 3.0, 0.0, Outlier::Uncertain), &values);
        for (i, (x, status)) in said.into_iter().enumerate() {
            let expected = if i == 5 { StatusCode::UncertainSensorNotAccurate } else { StatusCode::Good };
            assert_eq!((x, status), (values[i], expected), "{i}");
        }
        // Of 2, 1.5, 1, 2, 90 the median is 2.
        assert_eq!(
            run(Hampel::new(5, 3.0, 0.0, Outlier::Median), &values)[5],
            (2.0, StatusCode::UncertainSubstituteValue)
        );
        assert_eq!(run(Hampel::new(5, 3.0, 0.0, Outlier::Bad), &values)[5], (90.0, StatusCode::BadOutOfRange));
    }

    #[test]
    fn a_step_is_believed_once_half_of_the_window_is_beyond_it() {
        let values = [0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0];
        let statuses: Vec<bool> =
            run(Hampel::new(5, 3.0, 0.0, Outlier::Uncertain), &values).iter().map(|s| s.1.is_good()).collect();
        assert_eq!(statuses, [true, true, true, true, false, false, true, true]);
    }

    #[test]
    fn of_a_signal_that_stands_still_the_least_deviation_counts() {
        let values = [7.0, 7.0, 7.0, 7.0, 7.1, 7.3];
        let statuses: Vec<bool> =
            run(Hampel::new(3, 3.0, 0.2, Outlier::Uncertain), &values).iter().map(|s| s.1.is_good()).collect();
        // At the end 7, 7.1, 7.3: the scatter is 0.148, and 0.2 is within three of it.
        assert_eq!(statuses, [true; 6]);
        assert!(run(Hampel::new(3, 3.0, 0.0, Outlier::Uncertain), &values)[4].1.is_uncertain());
    }

    #[test]
    fn bad_samples_and_late_ones_stay_out_of_the_window() {
        let mut hampel = Hampel::new(3, 3.0, 0.0, Outlier::Uncertain);
        for t in 0..3 {
            hampel.apply(Sample::good(at(f64::from(t)), f64::from(t)));
        }
        let bad = Sample { status: StatusCode::BadSensorFailure, ..Sample::good(at(3.0), 1e9) };
        assert_eq!(hampel.apply(bad.clone()), bad);
        assert!(hampel.apply(Sample::good(at(1.5), 1e9)).status.is_uncertain(), "a late one is judged");
        assert_eq!(hampel.newest, [0.0, 1.0, 2.0]);
    }

    #[test]
    fn medians() {
        for (mut values, expected) in
            [(vec![3.0], 3.0), (vec![2.0, 1.0], 1.5), (vec![5.0, 1.0, 3.0], 3.0), (vec![4.0, 1.0, 3.0, 2.0], 2.5)]
        {
            assert_eq!(median(&mut values), Some(expected));
        }
        assert_eq!(median(&mut [f64::MAX, f64::MAX]), Some(f64::MAX));
        assert_eq!(median(&mut []), None);
    }
}
