//! From θ to scaled residuals and their Jacobian, on the scale on which the search moves (logarithmic where asked).

use std::sync::atomic::{AtomicBool, Ordering};

use nalgebra::{DMatrix, DVector};

use super::{Experiment, FitError, FitOptions, JACOBIAN_ENTRIES_MAX};
use crate::model::{Loss, Model};
use crate::simulate::{Scenario, SimulationError, Trajectory, simulate_with_sensitivities};

/// Smallest factor of a robust residual's Jacobian row: an outlier keeps a trace of curvature.
const ROBUST_SCALE_MIN: f64 = 1e-10;

/// One output's usable samples in one experiment.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) times: Vec<f64>,
    pub(super) values: Vec<f64>,
    /// √weight / σ.
    pub(super) scales: Vec<f64>,
}

/// A checked fit.
pub(super) struct Problem<'a> {
    pub(super) model: &'a Model,
    pub(super) experiments: &'a [Experiment],
    /// For each experiment, each output.
    pub(super) series: Vec<Vec<Series>>,
    spans: Vec<(f64, f64)>,
    pub(super) free: Vec<usize>,
    theta: Vec<f64>,
    options: &'a FitOptions,
    cancel: &'a AtomicBool,
    pub(super) samples: usize,
}

/// The cost at one θ with what a step needs.
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

impl<'a> Problem<'a> {
    pub(super) fn new(
        model: &'a Model,
        experiments: &'a [Experiment],
        options: &'a FitOptions,
        cancel: &'a AtomicBool,
    ) -> Result<Self, FitError> {
        let free = if options.free.is_empty() { model.free() } else { options.free.clone() };
        let theta = options.theta.clone().unwrap_or_else(|| model.nominal());
        check_parameters(model, &free, &theta)?;
        let mut series = Vec::new();
        for experiment in experiments {
            series.push(usable(model, experiment)?);
        }
        let samples = series.iter().flatten().map(|series| series.times.len()).sum();
        if samples <= free.len() {
            return Err(FitError::TooFewSamples { samples, parameters: free.len() });
        }
        let most = JACOBIAN_ENTRIES_MAX / free.len();
        if samples > most {
            return Err(FitError::TooManySamples { samples, most });
        }
        let spans = experiments.iter().zip(&series).map(|(experiment, series)| span(experiment, series)).collect();
        Ok(Self { model, experiments, series, spans, free, theta, options, cancel, samples })
    }

    /// The same fit of other data, which cover the same spans.
    pub(super) fn with_data<'b>(&'b self, experiments: &'b [Experiment], series: Vec<Vec<Series>>) -> Problem<'b> {
        Problem {
            model: self.model,
            experiments,
            samples: series.iter().flatten().map(|series| series.times.len()).sum(),
            series,
            spans: self.spans.clone(),
            free: self.free.clone(),
            theta: self.theta.clone(),
            options: self.options,
            cancel: self.cancel,
        }
    }

    fn is_log(&self, position: usize) -> bool {
        self.model.parameters()[self.free[position]].log
    }

    /// θ in force on the scale of the search.
    pub(super) fn start(&self) -> Vec<f64> {
        (0..self.free.len()).map(|position| self.to_scale(position, self.theta[self.free[position]])).collect()
    }

    pub(super) fn to_scale(&self, position: usize, value: f64) -> f64 {
        if self.is_log(position) { value.ln() } else { value }
    }

    /// Bounds on the scale of the search.
    pub(super) fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        let bound = |position: usize, value: f64| match self.is_log(position) {
            true if value <= 0.0 => f64::NEG_INFINITY,
            true => value.ln(),
            false => value,
        };
        let parameter = |position: usize| &self.model.parameters()[self.free[position]];
        let lower = (0..self.free.len()).map(|position| bound(position, parameter(position).min)).collect();
        let upper = (0..self.free.len()).map(|position| bound(position, parameter(position).max)).collect();
        (lower, upper)
    }

    /// θ at a point of the search. Never outside its bounds, also where exp(ln(max)) rounds up.
    pub(super) fn theta(&self, q: &[f64]) -> Vec<f64> {
        let mut theta = self.theta.clone();
        for (position, (&index, &value)) in self.free.iter().zip(q).enumerate() {
            if value == self.to_scale(position, self.theta[index]) {
                // Where nothing moved, the value in force stands to the last bit: exp(ln(100)) isn't 100.
                continue;
            }
            let parameter = &self.model.parameters()[index];
            let value = if self.is_log(position) { value.exp() } else { value };
            theta[index] = value.clamp(parameter.min, parameter.max);
        }
        theta
    }

    /// dθ/dq of each free parameter.
    pub(super) fn slopes(&self, q: &[f64]) -> Vec<f64> {
        (0..q.len()).map(|position| if self.is_log(position) { q[position].exp() } else { 1.0 }).collect()
    }

    /// Simulates all experiments and compares.
    pub(super) fn evaluate(&self, q: &[f64]) -> Result<Evaluation, SimulationError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(SimulationError::Cancelled);
        }
        let theta = self.theta(q);
        let slopes = self.slopes(q);
        let columns = self.free.len();
        let mut evaluation = Evaluation {
            cost: 0.0,
            residuals: DVector::zeros(self.samples),
            jacobian: DMatrix::zeros(self.samples, columns),
            trajectories: Vec::with_capacity(self.experiments.len()),
        };
        let mut row = 0;
        for ((experiment, series), &span) in self.experiments.iter().zip(&self.series).zip(&self.spans) {
            let times: Vec<&[f64]> = series.iter().map(|series| series.times.as_slice()).collect();
            let measured: Vec<Option<f64>> = series.iter().map(|series| series.values.first().copied()).collect();
            let scenario = Scenario {
                inputs: &experiment.inputs,
                span,
                output_times: &times,
                initial_state: None,
                measured: &measured,
            };
            let trajectory = simulate_with_sensitivities(
                self.model,
                &theta,
                &scenario,
                &self.free,
                &self.options.simulation,
                self.cancel,
            )?;
            for (output, series) in series.iter().enumerate() {
                let loss = self.model.outputs()[output].loss;
                let simulated = &trajectory.outputs[output];
                let sensitivities = &trajectory.sensitivities[output];
                for sample in 0..series.times.len() {
                    let scale = series.scales[sample];
                    let residual = (simulated[sample] - series.values[sample]) * scale;
                    let (cost, residual_factor, row_factor) = robust(loss, residual);
                    evaluation.cost += cost;
                    evaluation.residuals[row] = residual * residual_factor;
                    for column in 0..columns {
                        let sensitivity = sensitivities[sample * columns + column] * slopes[column];
                        evaluation.jacobian[(row, column)] = sensitivity * scale * row_factor;
                    }
                    row += 1;
                }
            }
            evaluation.trajectories.push(trajectory);
        }
        Ok(evaluation)
    }
}

/// ρ(r²), and the factors of the residual and of its Jacobian row that make Gauss–Newton right for ρ (Triggs et al.,
/// Bundle adjustment, §4.3; as SciPy's `least_squares` does).
fn robust(loss: Loss, residual: f64) -> (f64, f64, f64) {
    let z = residual * residual;
    let (cost, first, second) = match loss {
        Loss::Squares => return (z, 1.0, 1.0),
        Loss::Huber if z <= 1.0 => return (z, 1.0, 1.0),
        Loss::Huber => (2.0 * z.sqrt() - 1.0, z.powf(-0.5), -0.5 * z.powf(-1.5)),
        Loss::SoftL1 => {
            let root = (1.0 + z).sqrt();
            (2.0 * (root - 1.0), 1.0 / root, -0.5 / (root * root * root))
        }
    };
    let row = (first + 2.0 * second * z).max(ROBUST_SCALE_MIN).sqrt();
    (cost, first / row, row)
}

fn check_parameters(model: &Model, free: &[usize], theta: &[f64]) -> Result<(), FitError> {
    let argument = |message: String| Err(FitError::Argument(message));
    if free.is_empty() {
        return Err(FitError::NothingFree);
    }
    if theta.len() != model.parameters().len() {
        return argument(format!("the model has {} parameters, {} were given", model.parameters().len(), theta.len()));
    }
    for (position, &index) in free.iter().enumerate() {
        let Some(parameter) = model.parameters().get(index) else {
            return argument(format!("there is no parameter {index}"));
        };
        if free[..position].contains(&index) {
            return argument(format!("parameter `{}` is named twice", parameter.name));
        }
        if !(parameter.min..=parameter.max).contains(&theta[index]) || (parameter.log && theta[index] <= 0.0) {
            return argument(format!(
                "parameter `{}` is {}, outside its bounds {} to {}",
                parameter.name, theta[index], parameter.min, parameter.max
            ));
        }
    }
    Ok(())
}

/// The samples of each output that have a value and a weight.
fn usable(model: &Model, experiment: &Experiment) -> Result<Vec<Series>, FitError> {
    if experiment.outputs.len() != model.outputs().len() {
        let (wanted, given) = (model.outputs().len(), experiment.outputs.len());
        return Err(FitError::Argument(format!("the model has {wanted} outputs, {given} were given")));
    }
    let mut all = Vec::new();
    for (output, measured) in model.outputs().iter().zip(&experiment.outputs) {
        let count = measured.times.len();
        if measured.values.len() != count || !(measured.weights.is_empty() || measured.weights.len() == count) {
            return Err(FitError::Argument(format!(
                "output `{}`: times, values and weights differ in number",
                output.name
            )));
        }
        let mut series = Series::default();
        for sample in 0..count {
            let weight = measured.weights.get(sample).copied().unwrap_or(1.0);
            if measured.values[sample].is_finite() && weight.is_finite() && weight > 0.0 {
                series.times.push(measured.times[sample]);
                series.values.push(measured.values[sample]);
                series.scales.push(weight.sqrt() / output.sigma);
            }
        }
        all.push(series);
    }
    Ok(all)
}

fn span(experiment: &Experiment, series: &[Series]) -> (f64, f64) {
    experiment.span.unwrap_or_else(|| {
        let first = series.iter().filter_map(|series| series.times.first()).copied().fold(f64::INFINITY, f64::min);
        let last = series.iter().filter_map(|series| series.times.last()).copied().fold(f64::NEG_INFINITY, f64::max);
        if first <= last { (first, last) } else { (0.0, 0.0) }
    })
}
