//! How far the simulation may be off, by what the fit knows of its parameters: J·Σ·Jᵀ along the data.

use std::sync::atomic::AtomicBool;

use super::{
    Bands, Comparison, ExperimentError, FitReport, Recording,
    experiment::{failed, scenario},
};
use crate::{
    model::Model,
    simulate::{Options, simulate_with_sensitivities},
};

/// Most times at which a band is computed: more are finer than a picture.
const TIMES_MAX: usize = 500;

/// Covariance of the parameters that have one.
pub(super) struct Uncertainty {
    /// Their indices in θ.
    free: Vec<usize>,
    /// Row-major.
    covariance: Vec<f64>,
    /// Standard errors in half of the 95 % interval.
    quantile: f64,
}

impl Uncertainty {
    pub(super) fn of(report: &FitReport) -> Self {
        let count = report.free.len();
        let known: Vec<usize> = (0..count).filter(|i| report.covariance[i * count + i].is_finite()).collect();
        let row = |i: &usize| known.iter().map(|j| report.covariance[i * count + j]).collect::<Vec<f64>>();
        let covariance = known.iter().flat_map(row).collect();
        // As the report has it: Student's t, or the normal distribution where σ is known.
        let quantile =
            known.first().map_or(f64::NAN, |i| (report.upper95[*i] - report.values[*i]) / report.standard_errors[*i]);
        Self { free: known.iter().map(|i| report.free[*i]).collect(), covariance, quantile }
    }

    /// That of the others.
    pub(super) fn without(&self, parameters: &[usize]) -> Self {
        let kept: Vec<usize> = (0..self.free.len()).filter(|i| !parameters.contains(&self.free[*i])).collect();
        let row = |i: &usize| kept.iter().map(|j| self.covariance[i * self.free.len() + j]).collect::<Vec<f64>>();
        Self {
            free: kept.iter().map(|i| self.free[*i]).collect(),
            covariance: kept.iter().flat_map(row).collect(),
            quantile: self.quantile,
        }
    }
}

/// A band for each output; none where no parameter has a covariance.
pub(super) fn bands(
    model: &Model,
    theta: &[f64],
    recording: &Recording,
    uncertainty: &Uncertainty,
    comparison: &Comparison,
) -> Result<Vec<Option<Bands>>, ExperimentError> {
    let (rows, lanes) = (recording.times.len(), uncertainty.free.len());
    if lanes == 0 || !uncertainty.quantile.is_finite() {
        return Ok(vec![None; model.outputs().len()]);
    }
    let count = rows.min(TIMES_MAX);
    let times: Vec<f64> = (0..count).map(|i| recording.times[i * (rows - 1) / (count - 1).max(1)]).collect();
    let (output_times, measured) = (vec![times.as_slice(); model.outputs().len()], recording.first_measured());
    let scenario = scenario(recording, &output_times, &measured);
    let (free, never) = (&uncertainty.free, AtomicBool::new(false));
    let trajectory = simulate_with_sensitivities(model, theta, &scenario, free, &Options::default(), &never);
    let trajectory = trajectory.map_err(|error| failed(model, &error))?;
    let band = |output: usize| {
        let variance = |slopes: &[f64]| {
            let row = |i: usize| (0..lanes).map(|j| uncertainty.covariance[i * lanes + j] * slopes[j]).sum::<f64>();
            // Rounding can take a variance of nothing below zero.
            (0..lanes).map(|i| slopes[i] * row(i)).sum::<f64>().max(0.0)
        };
        let variances: Vec<f64> = trajectory.sensitivities[output].chunks_exact(lanes).map(variance).collect();
        let figures = comparison.outputs[output];
        let noise = if figures.samples > 0 { figures.rmse * figures.rmse } else { 0.0 };
        let half = |noise: f64| variances.iter().map(|v| uncertainty.quantile * (v + noise).sqrt()).collect();
        Bands {
            times: times.clone(),
            simulated: trajectory.outputs[output].clone(),
            of_simulation: half(0.0),
            of_measurements: half(noise),
        }
    };
    Ok((0..model.outputs().len()).map(|output| Some(band(output))).collect())
}
