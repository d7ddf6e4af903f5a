//! From a point of the search to scaled residuals and their Jacobian.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use nalgebra::{DMatrix, DVector};

use super::columns::Columns;
use super::series::{Series, span, usable};
use super::trust_region::triangular;
use super::{ESTIMATES_MAX, Experiment, FitError, FitOptions, JACOBIAN_ENTRIES_MAX, robust};
use crate::model::{Loss, Model};
use crate::simulate::{Options, Scenario, SimulationError, Trajectory, simulate_with_sensitivities};

/// Largest residual and sensitivity, in units of σ: squares and products of larger ones leave the range of numbers.
pub(super) const SIZE_MAX: f64 = 1e100;

/// A checked fit.
pub(super) struct Problem<'a> {
    pub(super) model: &'a Model,
    pub(super) experiments: &'a [Experiment],
    /// For each experiment, each output.
    pub(super) series: Arc<Vec<Vec<Series>>>,
    spans: Vec<(f64, f64)>,
    pub(super) columns: Columns<'a>,
    simulation: &'a Options,
    cancel: &'a AtomicBool,
    pub(super) samples: usize,
}

/// The cost at one point with what a step needs.
#[derive(Clone, Debug)]
pub(super) struct Evaluation {
    /// Σ ρ.
    pub(super) cost: f64,
    /// (ŷ − y)/σ, scaled by the loss so that JᵀR is half the cost's gradient.
    pub(super) residuals: DVector<f64>,
    /// ∂residuals/∂q.
    pub(super) jacobian: DMatrix<f64>,
    pub(super) trajectories: Vec<Trajectory>,
}

impl Evaluation {
    /// With R and Qᵀr in the place of Jacobian and residuals, and without trajectories: all that comparing ends takes,
    /// in room that doesn't grow with the samples.
    pub(super) fn compact(self) -> Self {
        if self.jacobian.ncols() == 0 || !self.is_whole() {
            return self;
        }
        let (jacobian, residuals) = triangular(&self);
        Self { cost: self.cost, residuals, jacobian, trajectories: Vec::new() }
    }

    pub(super) fn is_whole(&self) -> bool {
        !self.trajectories.is_empty()
    }
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        model: &'a Model,
        experiments: &'a [Experiment],
        options: &'a FitOptions,
        cancel: &'a AtomicBool,
    ) -> Result<Self, FitError> {
        let theta = options.theta.clone().unwrap_or_else(|| model.nominal());
        let free = if options.free.is_empty() { model.free() } else { options.free.clone() };
        let local = &options.per_experiment;
        let shared: Vec<usize> = free.iter().copied().filter(|index| !local.contains(index)).collect();
        if shared.is_empty() && local.is_empty() {
            return Err(FitError::NothingFree);
        }
        let base = bases(model, experiments.len(), &theta, options)?;
        check_parameters(model, &shared, local, &base)?;
        check_options(model, options, &shared, local)?;
        let problem =
            Self::with(model, experiments, &options.simulation, Columns::new(model, &shared, local, base), cancel)?;
        problem.check_size()?;
        Ok(problem)
    }

    /// A fit of what `columns` say, of any size; `columns` are trusted.
    pub(super) fn with(
        model: &'a Model,
        experiments: &'a [Experiment],
        simulation: &'a Options,
        columns: Columns<'a>,
        cancel: &'a AtomicBool,
    ) -> Result<Self, FitError> {
        let series: Vec<Vec<Series>> =
            experiments.iter().map(|experiment| usable(model, experiment)).collect::<Result<_, _>>()?;
        let samples = series.iter().flatten().map(|series| series.times.len()).sum();
        if samples == 0 {
            let missing = series.iter().flatten().map(|series| series.missing).sum();
            return Err(FitError::NoMeasurements { missing });
        }
        let spans = experiments.iter().zip(&series).map(|(experiment, series)| span(experiment, series)).collect();
        Ok(Self { model, experiments, series: Arc::new(series), spans, columns, simulation, cancel, samples })
    }

    /// More samples than estimates, and not more than a machine holds.
    pub(super) fn check_size(&self) -> Result<(), FitError> {
        let (samples, parameters) = (self.samples, self.columns.len());
        if parameters > ESTIMATES_MAX {
            return Err(FitError::TooManyEstimates { parameters });
        }
        if samples <= parameters {
            return Err(FitError::TooFewSamples { samples, parameters });
        }
        let most = JACOBIAN_ENTRIES_MAX / parameters.max(1);
        if samples > most {
            return Err(FitError::TooManySamples { samples, most });
        }
        Ok(())
    }

    /// The same fit of other data, which cover the same spans.
    pub(super) fn with_data<'b>(&'b self, experiments: &'b [Experiment], series: Vec<Vec<Series>>) -> Problem<'b> {
        Problem { experiments, ..self.changed(Arc::new(series), self.columns.clone()) }
    }

    /// The same fit with one column held at a value, on the scale of the search.
    pub(super) fn without(&self, column: usize, value: f64) -> Problem<'_> {
        self.changed(Arc::clone(&self.series), self.columns.without(column, value))
    }

    fn changed<'b>(&'b self, series: Arc<Vec<Vec<Series>>>, columns: Columns<'b>) -> Problem<'b> {
        Problem {
            model: self.model,
            experiments: self.experiments,
            samples: series.iter().flatten().map(|series| series.times.len()).sum(),
            series,
            spans: self.spans.clone(),
            columns,
            simulation: self.simulation,
            cancel: self.cancel,
        }
    }

    /// Simulates all experiments and compares.
    pub(super) fn evaluate(&self, q: &[f64]) -> Result<Evaluation, SimulationError> {
        self.evaluate_as(q, |output| self.model.outputs()[output].loss)
    }

    /// As [`Self::evaluate`], with plain squares for every output.
    pub(super) fn evaluate_plain(&self, q: &[f64]) -> Result<Evaluation, SimulationError> {
        self.evaluate_as(q, |_| Loss::Squares)
    }

    fn evaluate_as(&self, q: &[f64], loss: impl Fn(usize) -> Loss) -> Result<Evaluation, SimulationError> {
        let slopes = self.columns.slopes(q);
        let mut evaluation = Evaluation {
            cost: 0.0,
            residuals: DVector::zeros(self.samples),
            jacobian: DMatrix::zeros(self.samples, self.columns.len()),
            trajectories: Vec::with_capacity(self.experiments.len()),
        };
        let mut row = 0;
        for experiment in 0..self.experiments.len() {
            let trajectory = self.simulate(experiment, q)?;
            let (columns, _) = self.columns.lanes(experiment);
            for (output, series) in self.series[experiment].iter().enumerate() {
                let loss = loss(output);
                let simulated = &trajectory.outputs[output];
                let sensitivities = trajectory.sensitivities.get(output).map_or(&[][..], Vec::as_slice);
                for sample in 0..series.times.len() {
                    let scale = series.scales[sample];
                    let residual = (simulated[sample] - series.values[sample]) * scale;
                    let mut largest = residual.abs();
                    let (cost, residual_factor, row_factor) = robust::factors(loss, residual);
                    evaluation.cost += cost;
                    evaluation.residuals[row] = residual * residual_factor;
                    for (lane, &column) in columns.iter().enumerate() {
                        let sensitivity = sensitivities[sample * columns.len() + lane] * slopes[column] * scale;
                        largest = largest.max(sensitivity.abs());
                        evaluation.jacobian[(row, column)] = sensitivity * row_factor;
                    }
                    if largest > SIZE_MAX {
                        return Err(SimulationError::OutputNotFinite { time_s: series.times[sample], output });
                    }
                    row += 1;
                }
            }
            evaluation.trajectories.push(trajectory);
        }
        Ok(evaluation)
    }

    fn simulate(&self, experiment: usize, q: &[f64]) -> Result<Trajectory, SimulationError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SimulationError::Cancelled);
        }
        let series = &self.series[experiment];
        let times: Vec<&[f64]> = series.iter().map(|series| series.times.as_slice()).collect();
        let measured: Vec<Option<f64>> = series.iter().map(|series| series.values.first().copied()).collect();
        let scenario = Scenario {
            inputs: &self.experiments[experiment].inputs,
            span: self.spans[experiment],
            output_times: &times,
            initial_state: None,
            measured: &measured,
        };
        let theta = self.columns.theta(experiment, q);
        let (_, parameters) = self.columns.lanes(experiment);
        simulate_with_sensitivities(self.model, &theta, &scenario, parameters, self.simulation, self.cancel)
    }
}

fn check_options(model: &Model, options: &FitOptions, shared: &[usize], local: &[usize]) -> Result<(), FitError> {
    if !(options.level > 0.0 && options.level < 1.0) {
        return Err(FitError::Argument(format!("the level {} of the intervals is not between 0 and 1", options.level)));
    }
    match options.profile.iter().find(|index| !shared.contains(index) && !local.contains(index)) {
        None => Ok(()),
        Some(&index) => {
            let name = model.parameters().get(index).map_or("?", |parameter| parameter.name.as_str());
            Err(FitError::Argument(format!("parameter `{name}` has no profile, as it is not estimated")))
        }
    }
}

/// θ in force in each experiment.
fn bases(model: &Model, experiments: usize, theta: &[f64], options: &FitOptions) -> Result<Vec<Vec<f64>>, FitError> {
    let argument = |message: String| Err(FitError::Argument(message));
    if theta.len() != model.parameters().len() {
        return argument(format!("the model has {} parameters, {} were given", model.parameters().len(), theta.len()));
    }
    let (local, starts) = (&options.per_experiment, &options.per_experiment_start);
    if !starts.is_empty() && (starts.len() != experiments || starts.iter().any(|start| start.len() != local.len())) {
        return argument(format!(
            "start values of {} parameters in each of {experiments} experiments were expected",
            local.len()
        ));
    }
    let mut bases = vec![theta.to_vec(); experiments];
    for (base, start) in bases.iter_mut().zip(starts) {
        for (&parameter, &value) in local.iter().zip(start) {
            if let Some(entry) = base.get_mut(parameter) {
                *entry = value;
            }
        }
    }
    Ok(bases)
}

fn check_parameters(model: &Model, shared: &[usize], local: &[usize], bases: &[Vec<f64>]) -> Result<(), FitError> {
    let argument = |message: String| Err(FitError::Argument(message));
    let all: Vec<usize> = shared.iter().chain(local).copied().collect();
    for (position, &index) in all.iter().enumerate() {
        let Some(parameter) = model.parameters().get(index) else {
            return argument(format!("there is no parameter {index}"));
        };
        if all[..position].contains(&index) {
            return argument(format!("parameter `{}` is named twice", parameter.name));
        }
        for base in bases {
            let value = base[index];
            if !(parameter.min..=parameter.max).contains(&value) || (parameter.log && value <= 0.0) {
                return argument(format!(
                    "parameter `{}` is {value}, outside its bounds {} to {}",
                    parameter.name, parameter.min, parameter.max
                ));
            }
        }
    }
    Ok(())
}
