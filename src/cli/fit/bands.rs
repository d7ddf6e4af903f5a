//! How far the simulation may be off, by what the fit knows of its parameters: J·Σ·Jᵀ along the data.

use std::sync::atomic::AtomicBool;

use super::{Bands, Comparison, ExperimentError, FitReport, Recording, experiment::failed};
use crate::{
    fit::Estimate,
    model::Model,
    simulate::{Options, Scenario, simulate_with_sensitivities},
};

/// Most times at which bands of a picture are computed: more are finer than it is.
const TIMES_MAX: usize = 500;

/// Covariance of the parameters that have one.
#[derive(Clone)]
pub(super) struct Uncertainty {
    /// Their indices in θ.
    free: Vec<usize>,
    /// Row-major.
    covariance: Vec<f64>,
    /// Standard errors in half of the 95 % interval.
    quantile: f64,
}

impl Uncertainty {
    /// Of the parameters that bear on an experiment: the shared ones and its own.
    pub(super) fn of(report: &FitReport, experiment: usize) -> Self {
        let (shared, count) = (report.free.len(), report.free.len() + report.local.len());
        let own = |estimate: &Estimate| estimate.experiment == Some(experiment);
        let bears = |i: &usize| *i < shared || own(&report.local[i - shared]);
        let known: Vec<usize> =
            (0..count).filter(bears).filter(|i| report.covariance[i * count + i].is_finite()).collect();
        let row = |i: &usize| known.iter().map(|j| report.covariance[i * count + j]).collect::<Vec<f64>>();
        let covariance = known.iter().flat_map(row).collect();
        // As the report has it: Student's t, or the normal distribution where σ is known.
        let quantile = known.first().map_or(f64::NAN, |&i| match i.checked_sub(shared).map(|i| &report.local[i]) {
            None => (report.upper95[i] - report.values[i]) / report.standard_errors[i],
            Some(estimate) => (estimate.upper95 - estimate.value) / estimate.standard_error,
        });
        let parameter =
            |&i: &usize| i.checked_sub(shared).map_or_else(|| report.free[i], |i| report.local[i].parameter);
        Self { free: known.iter().map(parameter).collect(), covariance, quantile }
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

/// What a run is simulated with.
pub(super) struct Known {
    pub(super) theta: Vec<f64>,
    pub(super) uncertainty: Uncertainty,
}

/// For each output a band for each run; none where no parameter has a covariance.
pub(super) fn bands(
    (model, solver): (&Model, &Options),
    recording: &Recording,
    runs: &[Option<Known>],
    comparison: &Comparison,
) -> Result<Vec<Vec<Bands>>, ExperimentError> {
    let mut all = vec![Vec::new(); model.outputs().len()];
    for (rows, known) in recording.runs.iter().zip(runs) {
        let Some(Known { theta, uncertainty }) = known else { continue };
        let lanes = uncertainty.free.len();
        if lanes == 0 || !uncertainty.quantile.is_finite() {
            continue;
        }
        let count = rows.len().min((TIMES_MAX * rows.len()).div_ceil(recording.times.len())).max(rows.len().min(2));
        let row = |i: usize| rows.start + i * (rows.len() - 1) / (count - 1).max(1);
        let times: Vec<f64> = (0..count).map(|i| recording.times[row(i)]).collect();
        let output_times = vec![times.as_slice(); model.outputs().len()];
        let (inputs, measured) = (recording.inputs_of(model, rows), recording.first_measured(rows));
        let scenario = Scenario {
            inputs: &inputs,
            span: recording.times_of(rows),
            output_times: &output_times,
            initial_state: None,
            measured: &measured,
        };
        let (free, never) = (&uncertainty.free, AtomicBool::new(false));
        let trajectory = simulate_with_sensitivities(model, theta, &scenario, free, solver, &never);
        let trajectory = trajectory.map_err(|error| failed(model, &error))?;
        for (output, bands) in all.iter_mut().enumerate() {
            let variance = |slopes: &[f64]| {
                let row = |i: usize| (0..lanes).map(|j| uncertainty.covariance[i * lanes + j] * slopes[j]).sum::<f64>();
                // Rounding can take a variance of nothing below zero.
                (0..lanes).map(|i| slopes[i] * row(i)).sum::<f64>().max(0.0)
            };
            let variances: Vec<f64> = trajectory.sensitivities[output].chunks_exact(lanes).map(variance).collect();
            let figures = comparison.outputs[output];
            let noise = if figures.samples > 0 { figures.rmse * figures.rmse } else { 0.0 };
            let half = |noise: f64| variances.iter().map(|v| uncertainty.quantile * (v + noise).sqrt()).collect();
            bands.push(Bands {
                times: times.clone(),
                simulated: trajectory.outputs[output].clone(),
                of_simulation: half(0.0),
                of_measurements: half(noise),
            });
        }
    }
    Ok(all)
}
