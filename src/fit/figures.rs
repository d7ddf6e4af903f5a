//! How well simulated outputs meet the measured ones: sums over residuals, of one output and of all.

use super::residual::Problem;
use super::robust;
use super::series::Series;
use super::whiteness::{self, Whiteness};
use crate::model::{Model, OutputSource};
use crate::simulate::Trajectory;

/// What one output says.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OutputReport {
    /// The output's name.
    pub name: String,
    /// Samples used.
    pub samples: usize,
    /// Measurements left out because they, or their weights, are no numbers.
    pub missing: usize,
    /// Weighted root mean square of y − ŷ, in the output's unit.
    pub rmse: f64,
    /// Weighted mean of y − ŷ, in the output's unit.
    pub bias: f64,
    /// 1 − Σ(y−ŷ)²/Σ(y−ȳ)².
    pub r_squared: f64,
    /// 100·(1 − ‖y−ŷ‖/‖y−ȳ‖), the NRMSE fit.
    pub fit_percent: f64,
    /// Durbin–Watson statistic of the residuals in their order: about 2 where they are independent.
    pub durbin_watson: f64,
    /// Whether what is left over looks like noise.
    pub whiteness: Whiteness,
}

/// How a simulation that was not fitted meets what was measured: of one output, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Measurements compared.
    pub samples: usize,
    /// As in [`OutputReport`]; of several outputs together scaled by their σ.
    pub rmse: f64,
    /// As in [`OutputReport`].
    pub r_squared: f64,
    /// As in [`OutputReport`].
    pub fit_percent: f64,
}

/// Of every output, of all together, and Σ ρ(((y−ŷ)/σ)²).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Of each output of the model.
    pub outputs: Vec<Figures>,
    /// Of all.
    pub total: Figures,
    /// What a fit makes least.
    pub cost: f64,
}

/// Compares row by row, for each output of the model; a NaN is no measurement, an output without any is empty.
#[must_use]
pub fn compare(model: &Model, measured: &[&[f64]], simulated: &[Vec<f64>]) -> Comparison {
    let of = |((output, measured), simulated): ((&OutputSource, &&[f64]), &Vec<f64>)| {
        let pairs = measured.iter().zip(simulated).filter(|(measured, _)| !measured.is_nan());
        let (values, simulated): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let scales = vec![1.0 / output.sigma; values.len()];
        let residuals = values.iter().zip(&simulated).map(|(value, simulated)| (simulated - value) / output.sigma);
        let cost = residuals.map(|residual| robust::factors(output.loss, residual).0).sum::<f64>();
        (sums_of(&Series { values, scales, ..Series::default() }, &simulated, output.sigma), cost)
    };
    let (all, costs): (Vec<Sums>, Vec<f64>) = model.outputs().iter().zip(measured).zip(simulated).map(of).unzip();
    let several = all.iter().filter(|sums| sums.samples > 0).count() > 1;
    let mut total = Sums::default();
    for (sums, output) in all.iter().zip(model.outputs()) {
        total.add(sums, unit(output, several));
    }
    Comparison { outputs: all.iter().map(Sums::figures).collect(), total: total.figures(), cost: costs.iter().sum() }
}

/// Of several outputs each counts by its σ.
fn unit(output: &OutputSource, several: bool) -> f64 {
    if several { output.sigma } else { 1.0 }
}

/// Of all outputs together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Total {
    pub(super) rmse: f64,
    pub(super) bias: f64,
    pub(super) r_squared: f64,
    pub(super) fit_percent: f64,
    pub(super) durbin_watson: f64,
}

/// The figures of all outputs and of each.
pub(super) fn figures(problem: &Problem<'_>, trajectories: &[Trajectory]) -> (Total, Vec<OutputReport>) {
    let outputs = problem.model.outputs();
    let mut all = Sums::default();
    let mut reports = Vec::new();
    let used = |output: usize| problem.series.iter().any(|experiment| !experiment[output].times.is_empty());
    let several = (0..outputs.len()).filter(|&output| used(output)).count() > 1;
    for (index, output) in outputs.iter().enumerate() {
        let mut sums = Sums::default();
        for (experiment, trajectory) in problem.series.iter().zip(trajectories) {
            sums.add(&sums_of(&experiment[index], &trajectory.outputs[index], output.sigma), 1.0);
        }
        let total = sums.total();
        reports.push(OutputReport {
            name: output.name.clone(),
            samples: sums.samples,
            missing: problem.series.iter().map(|experiment| experiment[index].missing).sum(),
            rmse: total.rmse,
            bias: total.bias,
            r_squared: total.r_squared,
            fit_percent: total.fit_percent,
            durbin_watson: total.durbin_watson,
            whiteness: whiteness::of(problem, trajectories, index),
        });
        all.add(&sums, unit(output, several));
    }
    (all.total(), reports)
}

#[derive(Default)]
struct Sums {
    samples: usize,
    weights: f64,
    /// Σ w (y − ŷ).
    bias: f64,
    /// Σ w (y − ŷ)².
    residuals: f64,
    /// Σ w (y − ȳ)².
    deviations: f64,
    /// Σ of squared differences of successive residuals.
    differences: f64,
}

impl Sums {
    /// `unit` is what the other's residuals are counted in.
    fn add(&mut self, other: &Self, unit: f64) {
        self.samples += other.samples;
        self.weights += other.weights;
        self.bias += other.bias / unit;
        self.residuals += other.residuals / (unit * unit);
        self.deviations += other.deviations / (unit * unit);
        self.differences += other.differences / (unit * unit);
    }

    fn figures(&self) -> Figures {
        let Total { rmse, r_squared, fit_percent, .. } = self.total();
        Figures { samples: self.samples, rmse, r_squared, fit_percent }
    }

    fn total(&self) -> Total {
        let ratio = self.residuals / self.deviations;
        Total {
            rmse: (self.residuals / self.weights).sqrt(),
            bias: self.bias / self.weights,
            r_squared: 1.0 - ratio,
            fit_percent: 100.0 * (1.0 - ratio.sqrt()),
            durbin_watson: self.differences / self.residuals,
        }
    }
}

fn sums_of(series: &Series, simulated: &[f64], sigma: f64) -> Sums {
    let weights: Vec<f64> = series.scales.iter().map(|scale| (scale * sigma).powi(2)).collect();
    let weight: f64 = weights.iter().sum();
    let mean = weights.iter().zip(&series.values).map(|(weight, value)| weight * value).sum::<f64>() / weight;
    let mut sums = Sums { samples: series.values.len(), weights: weight, ..Sums::default() };
    let mut previous = None;
    for ((value, simulated), weight) in series.values.iter().zip(simulated).zip(&weights) {
        let residual = (value - simulated) * weight.sqrt();
        sums.bias += (value - simulated) * weight;
        sums.residuals += residual * residual;
        sums.deviations += weight * (value - mean).powi(2);
        if let Some(previous) = previous {
            sums.differences += f64::powi(residual - previous, 2);
        }
        previous = Some(residual);
    }
    sums
}
