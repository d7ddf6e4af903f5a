//! What a fit found, with honest numbers: where the data say nothing about a parameter, its standard error is NaN and
//! the message names it.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::FitOptions;
use super::diagnosis::{self, Diagnosis, WEIGHT_NAMED};
use super::multistart::Starts;
use super::residual::{Problem, Series};
use super::trust_region::{Outcome, Stop};
use crate::simulate::Trajectory;

/// What one output says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputReport {
    /// The output's name.
    pub name: String,
    /// Samples used.
    pub samples: usize,
    /// Weighted root mean square of y − ŷ, in the output's unit.
    pub rmse: f64,
    /// 1 − Σ(y−ŷ)²/Σ(y−ȳ)².
    pub r_squared: f64,
    /// 100·(1 − ‖y−ŷ‖/‖y−ȳ‖), the NRMSE fit.
    pub fit_percent: f64,
    /// Durbin–Watson statistic of the residuals in their order: about 2 where they are independent.
    pub durbin_watson: f64,
}

/// Where one start began and ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartReport {
    /// Its cost; NaN: it couldn't be simulated.
    pub cost: f64,
    /// θ of the free parameters at its end; at its beginning if it couldn't be simulated.
    pub values: Vec<f64>,
    /// θ of the free parameters at its beginning.
    pub from: Vec<f64>,
    /// Iterations done.
    pub iterations: usize,
    /// Why it ended.
    pub stop: Stop,
}

/// The result of a fit. The vectors `names` … `at_upper` and `covariance` run over the free parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Indices of the free parameters in θ.
    pub free: Vec<usize>,
    /// Their names.
    pub names: Vec<String>,
    /// Their estimates.
    pub values: Vec<f64>,
    /// NaN where the data don't determine the parameter, or it sits at a bound.
    pub standard_errors: Vec<f64>,
    /// Lower end of the 95 % interval by Student's t.
    pub lower95: Vec<f64>,
    /// Upper end.
    pub upper95: Vec<f64>,
    /// Ended at its lower bound.
    pub at_lower: Vec<bool>,
    /// Ended at its upper bound.
    pub at_upper: Vec<bool>,
    /// Row-major p·p.
    pub covariance: Vec<f64>,
    /// Of the column-normalised Jacobian; infinite: not of full rank.
    pub condition_number: f64,
    /// Combinations of parameters about which the data say nothing: names and weights.
    pub null_directions: Vec<Vec<(String, f64)>>,
    /// All of θ: the estimates, and the others as they were.
    pub theta: Vec<f64>,
    /// Σ ρ(((y−ŷ)/σ)²), not halved.
    pub cost: f64,
    /// Cost of the values in force; NaN: they can't be simulated.
    pub cost_before: f64,
    /// The fit is better than the values in force by more than rounding.
    pub improved: bool,
    /// Root mean square of the residuals: in the output's unit, or scaled by σ where there are several outputs.
    pub rmse: f64,
    /// Over all outputs.
    pub r_squared: f64,
    /// Over all outputs.
    pub fit_percent: f64,
    /// Over all outputs.
    pub durbin_watson: f64,
    /// Of each output.
    pub outputs: Vec<OutputReport>,
    /// Samples used.
    pub samples: usize,
    /// Samples less free parameters.
    pub degrees_of_freedom: usize,
    /// Iterations of the start that gave the result.
    pub iterations: usize,
    /// Simulations of all starts.
    pub evaluations: usize,
    /// Why that start ended.
    pub stop: Stop,
    /// Every start, in order; the first is that of the values in force.
    pub starts: Vec<StartReport>,
    /// Which start gave the result.
    pub best_start: usize,
    /// x at the end of the last experiment.
    pub final_state: Vec<f64>,
    /// For people, in the model's names.
    pub message: String,
}

pub(super) fn report(problem: &Problem<'_>, options: &FitOptions, starts: &Starts) -> FitReport {
    let outcome = starts.outcomes[starts.best].as_ref().expect("the best start was chosen among those with an outcome");
    let parameters: Vec<_> = problem.free.iter().map(|&index| &problem.model.parameters()[index]).collect();
    let theta = problem.theta(&outcome.q);
    let values: Vec<f64> = problem.free.iter().map(|&index| theta[index]).collect();
    let at_lower: Vec<bool> = values.iter().zip(&parameters).map(|(value, p)| *value <= p.min).collect();
    let at_upper: Vec<bool> = values.iter().zip(&parameters).map(|(value, p)| *value >= p.max).collect();
    let held: Vec<bool> = at_lower.iter().zip(&at_upper).map(|(lower, upper)| lower | upper).collect();
    let diagnosis = diagnosis::diagnose(&outcome.evaluation, &held);

    let cost = outcome.evaluation.cost;
    let degrees_of_freedom = problem.samples - problem.free.len();
    let variance = if options.absolute_sigma { 1.0 } else { cost / degrees_of_freedom as f64 };
    let slopes = problem.slopes(&outcome.q);
    let count = values.len();
    let covariance: Vec<f64> = (0..count * count)
        .map(|at| diagnosis.covariance[(at / count, at % count)] * slopes[at / count] * slopes[at % count] * variance)
        .collect();
    let standard_errors: Vec<f64> = (0..count).map(|i| covariance[i * count + i].sqrt()).collect();
    let quantile = StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975));
    let lower95 = values.iter().zip(&standard_errors).map(|(value, error)| value - quantile * error).collect();
    let upper95 = values.iter().zip(&standard_errors).map(|(value, error)| value + quantile * error).collect();

    let figures = Figures::of(problem, &outcome.evaluation.trajectories);
    let cost_before = starts.outcomes[0].as_ref().map_or(f64::NAN, |first| first.cost_at_start);
    let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
    let mut report = FitReport {
        null_directions: named(&diagnosis, &names),
        free: problem.free.clone(),
        names,
        values,
        standard_errors,
        lower95,
        upper95,
        at_lower,
        at_upper,
        covariance,
        condition_number: diagnosis.condition_number,
        theta,
        cost,
        cost_before,
        improved: cost_before.is_nan() || cost < cost_before * (1.0 - 1e-9),
        rmse: figures.total.rmse,
        r_squared: figures.total.r_squared,
        fit_percent: figures.total.fit_percent,
        durbin_watson: figures.total.durbin_watson,
        outputs: figures.outputs,
        samples: problem.samples,
        degrees_of_freedom,
        iterations: outcome.iterations,
        evaluations: starts.outcomes.iter().flatten().map(|outcome| outcome.evaluations).sum(),
        stop: outcome.stop,
        starts: start_reports(problem, starts),
        best_start: starts.best,
        final_state: outcome.evaluation.trajectories.last().map(|last| last.final_state.clone()).unwrap_or_default(),
        message: String::new(),
    };
    report.message = message(problem, &report, &diagnosis);
    report
}

fn start_reports(problem: &Problem<'_>, starts: &Starts) -> Vec<StartReport> {
    let free = |q: &[f64]| {
        let theta = problem.theta(q);
        problem.free.iter().map(|&index| theta[index]).collect::<Vec<f64>>()
    };
    let report = |(point, outcome): (&Vec<f64>, &Option<Outcome>)| match outcome {
        Some(outcome) => StartReport {
            cost: outcome.evaluation.cost,
            values: free(&outcome.q),
            from: free(point),
            iterations: outcome.iterations,
            stop: outcome.stop,
        },
        None => StartReport {
            cost: f64::NAN,
            values: free(point),
            from: free(point),
            iterations: 0,
            stop: Stop::Simulation,
        },
    };
    starts.points.iter().zip(&starts.outcomes).map(report).collect()
}

fn named(diagnosis: &Diagnosis, names: &[String]) -> Vec<Vec<(String, f64)>> {
    let direction = |weights: &nalgebra::DVector<f64>| {
        let all = names.iter().zip(weights.iter());
        all.filter(|(_, weight)| weight.abs() >= WEIGHT_NAMED).map(|(name, weight)| (name.clone(), *weight)).collect()
    };
    diagnosis.null_directions.iter().map(direction).collect()
}

/// Sums over residuals, of one output or of all.
#[derive(Default)]
struct Sums {
    samples: usize,
    weights: f64,
    residuals: f64,
    deviations: f64,
    differences: f64,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.weights += other.weights;
        self.residuals += other.residuals;
        self.deviations += other.deviations;
        self.differences += other.differences;
    }

    fn output(&self, name: &str) -> OutputReport {
        let ratio = self.residuals / self.deviations;
        OutputReport {
            name: name.to_owned(),
            samples: self.samples,
            rmse: (self.residuals / self.weights).sqrt(),
            r_squared: 1.0 - ratio,
            fit_percent: 100.0 * (1.0 - ratio.sqrt()),
            durbin_watson: self.differences / self.residuals,
        }
    }
}

struct Figures {
    total: OutputReport,
    outputs: Vec<OutputReport>,
}

impl Figures {
    fn of(problem: &Problem<'_>, trajectories: &[Trajectory]) -> Self {
        let outputs = problem.model.outputs();
        let mut total = Sums::default();
        let mut reports = Vec::new();
        let used = |output: usize| problem.series.iter().any(|experiment| !experiment[output].times.is_empty());
        let several = (0..outputs.len()).filter(|&output| used(output)).count() > 1;
        for (index, output) in outputs.iter().enumerate() {
            let mut sums = Sums::default();
            for (experiment, trajectory) in problem.series.iter().zip(trajectories) {
                sums.add(&sums_of(&experiment[index], &trajectory.outputs[index], output.sigma));
            }
            reports.push(sums.output(&output.name));
            // Of several outputs each counts by its σ.
            let by = if several { output.sigma * output.sigma } else { 1.0 };
            total.add(&Sums {
                residuals: sums.residuals / by,
                deviations: sums.deviations / by,
                differences: sums.differences / by,
                ..sums
            });
        }
        Self { total: total.output("total"), outputs: reports }
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
        sums.residuals += residual * residual;
        sums.deviations += weight * (value - mean).powi(2);
        if let Some(previous) = previous {
            sums.differences += f64::powi(residual - previous, 2);
        }
        previous = Some(residual);
    }
    sums
}

/// What an engineer should know before believing the numbers.
fn message(problem: &Problem<'_>, report: &FitReport, diagnosis: &Diagnosis) -> String {
    let mut parts = vec![report.stop.text().to_owned()];
    if !report.improved {
        parts.push("the values in force are already the best found".to_owned());
    }
    for direction in &report.null_directions {
        let names: Vec<String> = direction.iter().map(|(name, _)| format!("`{name}`")).collect();
        parts.push(match names.as_slice() {
            [name] => format!("the data do not determine {name}: it has no effect on the measured outputs"),
            _ => format!("the data determine only a combination of {}: fix one of them", names.join(", ")),
        });
    }
    for (i, name) in report.names.iter().enumerate() {
        let parameter = &problem.model.parameters()[report.free[i]];
        if report.at_lower[i] {
            parts.push(format!("`{name}` ended at its lower bound {}", parameter.min));
        } else if report.at_upper[i] {
            parts.push(format!("`{name}` ended at its upper bound {}", parameter.max));
        } else if diagnosis.determined[i] && report.standard_errors[i] > report.values[i].abs() {
            parts.push(format!("`{name}` is hardly determined: its standard error is larger than its value"));
        }
    }
    parts.extend(constant_signals(problem));
    if report.r_squared < 0.0 {
        parts
            .push("the model explains less than the measurements' mean does: check the units of its inputs".to_owned());
    }
    parts.join("; ")
}

fn constant_signals(problem: &Problem<'_>) -> Vec<String> {
    let mut parts = Vec::new();
    for (index, input) in problem.model.inputs().iter().enumerate() {
        let mut values = problem.experiments.iter().flat_map(|experiment| &experiment.inputs[index].values);
        if let Some(first) = values.next()
            && values.all(|value| value == first)
        {
            parts.push(format!("the input `{}` is constant", input.name));
        }
    }
    for (index, output) in problem.model.outputs().iter().enumerate() {
        let mut values = problem.series.iter().flat_map(|experiment| &experiment[index].values);
        match values.next() {
            None => parts.push(format!("the output `{}` has no measurements", output.name)),
            Some(first) if values.all(|value| value == first) => {
                parts.push(format!("the measurements of `{}` are constant", output.name));
            }
            Some(_) => {}
        }
    }
    parts
}
