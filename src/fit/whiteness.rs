//! Whether an output's residuals look like noise: correlation among themselves and with the inputs, outliers.
//! Neighbours are samples of one stretch of one experiment: a missing measurement or a long step ends it.

use nalgebra::DVectorView;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

use super::residual::Problem;
use crate::model::Hold;
use crate::simulate::{Signal, Trajectory};

/// Most lags looked at.
const LAGS_MAX: usize = 20;
/// Samples for each lag.
const SAMPLES_PER_LAG: usize = 5;
/// An outlier is so many robust standard deviations off.
const OUTLIER_SIGMAS: f64 = 3.0;
/// Median absolute deviation to standard deviation, of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// What is left in the residuals y − ŷ (each times the root of its weight). NaN where there are too few to tell.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Whiteness {
    /// Autocorrelation at 1, 2, … samples: min(20, n/5) of them. With several stretches the sums run over pairs within one.
    pub autocorrelation: Vec<f64>,
    /// 1.96/√n: one autocorrelation of noise in twenty is larger.
    pub autocorrelation_bound: f64,
    /// Ljung and Box's Q = n(n+2) Σ r²/m over those lags, m the number of pairs at a lag (n − lag in one stretch).
    pub ljung_box: f64,
    /// Probability of a larger Q if the residuals are noise: χ² with as many degrees of freedom as lags. Not reduced by
    /// the parameters estimated: the reduction is for coefficients of autoregressions, which these aren't.
    pub ljung_box_p: f64,
    /// One for each input of the model.
    pub inputs: Vec<InputCorrelation>,
    /// Residuals further from their median than three robust standard deviations (1.4826 × median absolute deviation).
    pub outliers: usize,
    /// That standard deviation, in the output's unit.
    pub robust_sigma: f64,
}

/// How the residuals go with an input.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct InputCorrelation {
    /// The input's name.
    pub input: String,
    /// The largest correlation (by size) of residuals with the input 0, 1, … samples before them, at the lags of the
    /// autocorrelation; NaN: the input is constant.
    pub correlation: f64,
    /// Samples by which the input leads there.
    pub lag: usize,
    /// If the residuals have nothing to do with the input, the largest correlation is below this in 95 of 100 cases:
    /// z·√(P/n), with P = Σ r_e(k) r_u(k) for correlation in each (Ljung, System Identification, 1999, §16.6) and z for
    /// the largest of so many lags (Bonferroni).
    pub bound: f64,
}

impl InputCorrelation {
    /// The residuals still follow the input.
    #[must_use]
    pub fn is_significant(&self) -> bool {
        self.correlation.abs() > self.bound
    }
}

/// One stretch: residuals and, for each input, its values at the same instants.
struct Stretch {
    residuals: Vec<f64>,
    inputs: Vec<Vec<f64>>,
}

pub(super) fn of(problem: &Problem<'_>, trajectories: &[Trajectory], output: usize) -> Whiteness {
    let sigma = problem.model.outputs()[output].sigma;
    let mut stretches = Vec::new();
    for (experiment, trajectory) in trajectories.iter().enumerate() {
        let series = &problem.series[experiment][output];
        let residual = |i: usize| (series.values[i] - trajectory.outputs[output][i]) * series.scales[i] * sigma;
        for range in series.stretches() {
            let times = &series.times[range.clone()];
            let inputs = &problem.experiments[experiment].inputs;
            stretches.push(Stretch {
                residuals: range.map(residual).collect(),
                inputs: inputs.iter().map(|signal| values_at(signal, times)).collect(),
            });
        }
    }
    let (outliers, robust_sigma) = outliers(stretches.iter().flat_map(|stretch| stretch.residuals.iter().copied()));
    let count: usize = stretches.iter().map(|stretch| stretch.residuals.len()).sum();
    let longest = stretches.iter().map(|stretch| stretch.residuals.len()).max().unwrap_or(0);
    let lags = LAGS_MAX.min(count / SAMPLES_PER_LAG).min(longest.saturating_sub(1));
    standardise(stretches.iter_mut().map(|stretch| &mut stretch.residuals));
    let residuals: Vec<&[f64]> = stretches.iter().map(|stretch| stretch.residuals.as_slice()).collect();
    let autocorrelation: Vec<f64> = (1..=lags).map(|lag| correlation(&residuals, &residuals, lag)).collect();
    let n = count as f64;
    let terms = autocorrelation.iter().zip(1..).map(|(r, lag)| r * r / pairs(&residuals, lag) as f64);
    let ljung_box = if lags > 0 { n * (n + 2.0) * terms.sum::<f64>() } else { f64::NAN };
    let chi_squared = ChiSquared::new(lags as f64).ok().filter(|_| ljung_box.is_finite());
    let ljung_box_p = chi_squared.map_or(f64::NAN, |distribution| distribution.sf(ljung_box));
    let inputs = problem.model.inputs().iter().enumerate().map(|(index, input)| {
        standardise(stretches.iter_mut().filter_map(|stretch| stretch.inputs.get_mut(index)));
        let (correlation, lag, bound) = with_input(&stretches, index, &autocorrelation, n);
        InputCorrelation { input: input.name.clone(), correlation, lag, bound }
    });
    let inputs = inputs.collect();
    let autocorrelation_bound = 1.959_963_984_540_054 / n.sqrt();
    Whiteness { autocorrelation, autocorrelation_bound, ljung_box, ljung_box_p, inputs, outliers, robust_sigma }
}

/// The largest correlation with an input, where, and its bound.
fn with_input(stretches: &[Stretch], index: usize, autocorrelation: &[f64], n: f64) -> (f64, usize, f64) {
    let residuals: Vec<&[f64]> = stretches.iter().map(|stretch| stretch.residuals.as_slice()).collect();
    let input: Vec<&[f64]> =
        stretches.iter().filter_map(|stretch| stretch.inputs.get(index)).map(Vec::as_slice).collect();
    let mut largest = (f64::NAN, 0);
    if autocorrelation.is_empty() || input.len() != residuals.len() {
        return (f64::NAN, 0, f64::NAN);
    }
    for lag in 0..=autocorrelation.len() {
        let r = correlation(&input, &residuals, lag);
        if r.abs() > largest.0.abs() || largest.0.is_nan() {
            largest = (r, lag);
        }
    }
    let both = autocorrelation.iter().zip(1..).map(|(r, lag)| r * correlation(&input, &input, lag));
    let inflation = (1.0 + 2.0 * both.sum::<f64>()).max(1.0);
    let tests = (autocorrelation.len() + 1) as f64;
    let z = Normal::new(0.0, 1.0).map_or(f64::NAN, |normal| normal.inverse_cdf(1.0 - 0.025 / tests));
    (largest.0, largest.1, z * (inflation / n).sqrt())
}

/// Σ a(t) b(t + lag) over pairs within a stretch, of standardised series.
fn correlation(a: &[&[f64]], b: &[&[f64]], lag: usize) -> f64 {
    let product = |(a, b): (&&[f64], &&[f64])| {
        // nalgebra's dot product keeps several sums at a time.
        let later = b.get(lag..).unwrap_or_default();
        DVectorView::from_slice(a, later.len()).dot(&DVectorView::from_slice(later, later.len()))
    };
    a.iter().zip(b).map(product).sum()
}

fn pairs(stretches: &[&[f64]], lag: usize) -> usize {
    stretches.iter().map(|stretch| stretch.len().saturating_sub(lag)).sum()
}

/// Mean 0 and sum of squares 1 over all; what is only rounding becomes zero first, so that a constant is NaN.
fn standardise<'a>(series: impl Iterator<Item = &'a mut Vec<f64>>) {
    let mut series: Vec<&mut Vec<f64>> = series.collect();
    let values = || series.iter().flat_map(|one| one.iter());
    let mean = values().sum::<f64>() / values().count() as f64;
    let largest = values().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for value in series.iter_mut().flat_map(|one| one.iter_mut()) {
        let centred = *value - mean;
        *value = if centred.abs() <= 1e-13 * largest { 0.0 } else { centred };
    }
    let power = series.iter().flat_map(|one| one.iter()).map(|value| value * value).sum::<f64>().sqrt();
    series.iter_mut().flat_map(|one| one.iter_mut()).for_each(|value| *value /= power);
}

/// As [`Signal::at`], in one pass over ascending times.
fn values_at(signal: &Signal, times: &[f64]) -> Vec<f64> {
    let mut passed = 0;
    let at = |&time: &f64| {
        while signal.times.get(passed).is_some_and(|sample| *sample <= time) {
            passed += 1;
        }
        let before = passed.saturating_sub(1);
        let (Some(value), Some(next)) = (signal.values.get(before), signal.values.get(passed)) else {
            return signal.values.last().copied().unwrap_or(f64::NAN);
        };
        if passed == 0 || signal.hold == Hold::Previous {
            return *value;
        }
        let part = (time - signal.times[before]) / (signal.times[passed] - signal.times[before]);
        value + part * (next - value)
    };
    times.iter().map(at).collect()
}

fn outliers(residuals: impl Iterator<Item = f64>) -> (usize, f64) {
    let mut residuals: Vec<f64> = residuals.collect();
    let Some(median) = median(&mut residuals) else {
        return (0, f64::NAN);
    };
    let mut distances: Vec<f64> = residuals.iter().map(|residual| (residual - median).abs()).collect();
    let sigma = MAD_TO_SIGMA * self::median(&mut distances).unwrap_or(f64::NAN);
    let count = distances.iter().filter(|distance| sigma > 0.0 && **distance > OUTLIER_SIGMAS * sigma).count();
    (count, sigma)
}

/// Reorders.
fn median(values: &mut [f64]) -> Option<f64> {
    let (middle, odd) = (values.len() / 2, !values.len().is_multiple_of(2));
    if values.is_empty() {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if odd {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(0.5 * (lower + upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_read_as_the_simulation_reads_it() {
        let times: Vec<f64> = (-4..40).map(|i| 0.25 * f64::from(i)).collect();
        for hold in [Hold::Previous, Hold::Linear] {
            let signal = Signal { times: vec![0.0, 1.0, 2.5, 7.0], values: vec![3.0, -1.0, 4.0, 2.0], hold };
            let expected: Vec<f64> = times.iter().map(|time| signal.at(*time)).collect();
            let values = values_at(&signal, &times);
            assert!(values.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?} {expected:?}");
        }
        assert!(values_at(&Signal::default(), &[1.0])[0].is_nan());
    }
}
