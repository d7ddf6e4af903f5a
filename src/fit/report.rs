//! What a fit found, with honest numbers: where the data say nothing about a parameter, its standard error is NaN and
//! the message names it.

use super::criteria::Criteria;
use super::diagnosis::{self, Diagnosis, WEIGHT_NAMED};
use super::estimate::{Collinear, Estimate, Estimates, estimates, width};
use super::figures::{OutputReport, figures};
use super::multistart::Starts;
use super::profile::ProfileReport;
use super::residual::Problem;
use super::scatter::{Scatter, is_robust};
use super::trust_region::{Outcome, Stop, gradient_norm};
use super::{FitError, FitOptions, message, optima};

/// Below this R² — the residuals scatter more than √2 times as much as the measurements themselves — the linear model
/// around the optimum describes nothing, and standard errors from it would mislead.
const R_SQUARED_MIN: f64 = -1.0;

/// Where one start began and ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StartReport {
    /// Its cost; NaN: it couldn't be simulated.
    pub cost: f64,
    /// The estimates at its end (the shared ones, then the others); at its beginning if it couldn't be simulated.
    pub values: Vec<f64>,
    /// The same at its beginning.
    pub from: Vec<f64>,
    /// Iterations done.
    pub iterations: usize,
    /// Why it ended.
    pub stop: Stop,
}

/// An optimum, and how many starts led to it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OptimumReport {
    /// Of its cheapest start.
    pub cost: f64,
    /// The estimates there: the shared ones, then the others.
    pub values: Vec<f64>,
    /// The starts that ended there, cheapest first.
    pub starts: Vec<usize>,
}

/// The result of a fit. The vectors `names` … `at_upper` run over the parameters that all experiments share.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FitReport {
    /// Indices of the shared parameters in θ.
    pub free: Vec<usize>,
    /// Their names.
    pub names: Vec<String>,
    /// Their estimates.
    pub values: Vec<f64>,
    /// Their values in force before.
    pub initial: Vec<f64>,
    /// NaN where one would mislead, see [`Estimate::standard_error`].
    pub standard_errors: Vec<f64>,
    /// Standard errors by the size of the values.
    pub relative_errors: Vec<f64>,
    /// Lower end of the 95 % interval: by Student's t, or the normal distribution with `absolute_sigma`.
    pub lower95: Vec<f64>,
    /// Upper end.
    pub upper95: Vec<f64>,
    /// The level asked for, of `lower` and `upper`.
    pub level: f64,
    /// As `lower95`, of that level.
    pub lower: Vec<f64>,
    /// Upper end.
    pub upper: Vec<f64>,
    /// Ended at its lower bound.
    pub at_lower: Vec<bool>,
    /// Ended at its upper bound.
    pub at_upper: Vec<bool>,
    /// What was estimated separately in each experiment: the first one's parameters, then the next one's.
    pub local: Vec<Estimate>,
    /// Row-major p·p, over the shared estimates and then the others.
    pub covariance: Vec<f64>,
    /// As `covariance`.
    pub correlation: Vec<f64>,
    /// Pairs of estimates whose correlation is above 0.99 by size.
    pub collinear: Vec<Collinear>,
    /// Of the column-normalised Jacobian; infinite: not of full rank.
    pub condition_number: f64,
    /// Combinations of parameters about which the data say nothing: names and weights.
    pub null_directions: Vec<Vec<(String, f64)>>,
    /// All of θ: the estimates, and the others as they were. Where experiments have their own, the last one's.
    pub theta: Vec<f64>,
    /// Σ ρ(((y−ŷ)/σ)²), not halved.
    pub cost: f64,
    /// Cost of the values in force; NaN: they can't be simulated.
    pub cost_before: f64,
    /// The fit is better than the values in force by more than rounding.
    pub improved: bool,
    /// Cost by degrees of freedom: 1 where σ is right.
    pub reduced_chi_square: f64,
    /// Akaike's criterion by the Gaussian likelihood, −2 ln L + 2k. With σ up to a factor that is estimated: −2 ln L =
    /// n(ln(2π·cost/n) + 1) − Σ ln(weight/σ²), k = p + 1, as R has it; with `absolute_sigma`: −2 ln L = cost + n ln 2π −
    /// Σ ln(weight/σ²), k = p. NaN with a robust loss, which has no Gaussian likelihood.
    pub aic: f64,
    /// AIC + 2k(k+1)/(n−k−1).
    pub aicc: f64,
    /// −2 ln L + k ln n.
    pub bic: f64,
    /// Largest cosine between the residuals and a column of the Jacobian that may move: 0 at a minimum, whatever the units.
    pub gradient_norm: f64,
    /// Root mean square of the residuals: in the output's unit, or scaled by σ where there are several outputs.
    pub rmse: f64,
    /// Mean of y − ŷ, in the same unit.
    pub bias: f64,
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
    /// Samples less estimates.
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
    /// Where the starts that converged ended: the result first, then by cost. Ends far above it are known roughly.
    pub optima: Vec<OptimumReport>,
    /// Profile likelihood intervals of the parameters they were asked for.
    pub profiles: Vec<ProfileReport>,
    /// x at the end of the last experiment.
    pub final_state: Vec<f64>,
    /// For people, in the model's names.
    pub message: String,
}

impl FitReport {
    /// θ of one of the experiments.
    #[must_use]
    pub fn theta_of(&self, experiment: usize) -> Vec<f64> {
        let mut theta = self.theta.clone();
        for estimate in self.local.iter().filter(|estimate| estimate.experiment == Some(experiment)) {
            theta[estimate.parameter] = estimate.value;
        }
        theta
    }

    /// The part of `covariance` over the shared estimates: those of `free`.
    #[must_use]
    pub fn shared_covariance(&self) -> Vec<f64> {
        let (shared, all) = (self.free.len(), self.free.len() + self.local.len());
        let row = |row: usize| self.covariance.get(row * all..row * all + shared).unwrap_or_default();
        (0..shared).flat_map(row).copied().collect()
    }

    /// All estimates: the shared ones, then the others; the order of `covariance`, `StartReport::values` and so on.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let own = |estimate: &Estimate| match estimate.experiment {
            Some(experiment) => format!("{} of experiment {}", estimate.name, experiment + 1),
            None => estimate.name.clone(),
        };
        self.names.iter().cloned().chain(self.local.iter().map(own)).collect()
    }
}

/// The best outcome with its linear model.
pub(super) struct Optimum<'a> {
    pub(super) outcome: &'a Outcome,
    pub(super) scatter: Scatter<'a>,
    pub(super) diagnosis: Diagnosis,
}

impl<'a> Optimum<'a> {
    pub(super) fn of(problem: &Problem<'_>, options: &FitOptions, outcome: &'a Outcome) -> Result<Self, FitError> {
        let at_bound = |(column, value): (usize, f64)| {
            let parameter = problem.columns.parameter(column);
            value <= parameter.min || value >= parameter.max
        };
        let held: Vec<bool> = problem.columns.values(&outcome.q).into_iter().enumerate().map(at_bound).collect();
        let scatter = Scatter::of(problem, options.absolute_sigma, outcome)
            .map_err(|cause| FitError::simulation(problem.model, cause))?;
        let diagnosis = diagnosis::diagnose(&scatter.jacobian, &held);
        Ok(Self { outcome, scatter, diagnosis })
    }

    /// σ is what it says: neither the scatter nor its degrees of freedom have a say.
    pub(super) fn knows_sigma(problem: &Problem<'_>, options: &FitOptions) -> bool {
        options.absolute_sigma && !is_robust(problem)
    }
}

pub(super) fn report(
    problem: &Problem<'_>,
    options: &FitOptions,
    starts: &Starts,
    profiles: Vec<ProfileReport>,
) -> Result<FitReport, FitError> {
    let outcome = starts.best();
    let optimum = Optimum::of(problem, options, outcome)?;
    let cost = outcome.evaluation.cost;
    let degrees_of_freedom = problem.samples - problem.columns.len();
    let (total, outputs) = figures(problem, &outcome.evaluation.trajectories);
    let known_sigma = Optimum::knows_sigma(problem, options);
    let widths = |level| width(level, degrees_of_freedom, known_sigma);
    let nothing_explained = total.r_squared < R_SQUARED_MIN;
    let meaningful = outcome.stop.converged() && !nothing_explained;
    let Estimates { list, covariance, correlation, collinear } = estimates(
        &problem.columns,
        &outcome.q,
        &optimum.diagnosis,
        &optimum.scatter,
        meaningful,
        (widths(0.95), widths(options.level)),
    );
    let criteria = if is_robust(problem) { Criteria::NONE } else { Criteria::of(problem, cost, known_sigma) };
    let cost_before = starts.outcomes[0].as_ref().map_or(f64::NAN, |first| first.cost_at_start);
    let (shared, local): (Vec<Estimate>, Vec<Estimate>) =
        list.into_iter().partition(|estimate| estimate.experiment.is_none());
    let numbers = |figure: fn(&Estimate) -> f64| shared.iter().map(figure).collect::<Vec<f64>>();
    let last = problem.experiments.len() - 1;
    let mut report = FitReport {
        free: shared.iter().map(|estimate| estimate.parameter).collect(),
        names: shared.iter().map(|estimate| estimate.name.clone()).collect(),
        values: numbers(|estimate| estimate.value),
        initial: numbers(|estimate| estimate.initial),
        standard_errors: numbers(|estimate| estimate.standard_error),
        relative_errors: numbers(|estimate| estimate.relative_error),
        lower95: numbers(|estimate| estimate.lower95),
        upper95: numbers(|estimate| estimate.upper95),
        level: options.level,
        lower: numbers(|estimate| estimate.lower),
        upper: numbers(|estimate| estimate.upper),
        at_lower: shared.iter().map(|estimate| estimate.at_lower).collect(),
        at_upper: shared.iter().map(|estimate| estimate.at_upper).collect(),
        local,
        covariance: covariance.transpose().as_slice().to_vec(),
        correlation: correlation.transpose().as_slice().to_vec(),
        collinear,
        condition_number: optimum.diagnosis.condition_number,
        null_directions: named(&optimum.diagnosis, problem),
        theta: problem.columns.theta(last, &outcome.q),
        cost,
        cost_before,
        improved: cost_before.is_nan() || cost < cost_before * (1.0 - 1e-9),
        reduced_chi_square: cost / degrees_of_freedom as f64,
        aic: criteria.aic,
        aicc: criteria.aicc,
        bic: criteria.bic,
        gradient_norm: gradient_norm(problem, outcome),
        rmse: total.rmse,
        bias: total.bias,
        r_squared: total.r_squared,
        fit_percent: total.fit_percent,
        durbin_watson: total.durbin_watson,
        outputs,
        samples: problem.samples,
        degrees_of_freedom,
        iterations: outcome.iterations,
        evaluations: starts.outcomes.iter().flatten().map(|outcome| outcome.evaluations).sum(),
        stop: outcome.stop,
        starts: start_reports(problem, starts),
        best_start: starts.best,
        optima: optimum_reports(problem, starts, !optimum.diagnosis.null_directions.is_empty()),
        profiles,
        final_state: outcome.evaluation.trajectories.last().map(|last| last.final_state.clone()).unwrap_or_default(),
        message: String::new(),
    };
    report.message = message::message(problem, options, &report, &optimum, meaningful);
    Ok(report)
}

fn start_reports(problem: &Problem<'_>, starts: &Starts) -> Vec<StartReport> {
    let report = |(point, outcome): (&Vec<f64>, &Option<Outcome>)| match outcome {
        Some(outcome) => StartReport {
            cost: outcome.evaluation.cost,
            values: problem.columns.values(&outcome.q),
            from: problem.columns.values(point),
            iterations: outcome.iterations,
            stop: outcome.stop,
        },
        None => StartReport {
            cost: f64::NAN,
            values: problem.columns.values(point),
            from: problem.columns.values(point),
            iterations: 0,
            stop: Stop::Simulation,
        },
    };
    starts.points.iter().zip(&starts.outcomes).map(report).collect()
}

fn optimum_reports(problem: &Problem<'_>, starts: &Starts, open: bool) -> Vec<OptimumReport> {
    let report = |members: Vec<usize>| {
        let first = members.first().and_then(|&index| starts.outcomes[index].as_ref())?;
        Some(OptimumReport { cost: first.evaluation.cost, values: problem.columns.values(&first.q), starts: members })
    };
    optima::group(problem, starts, open).into_iter().filter_map(report).collect()
}

fn named(diagnosis: &Diagnosis, problem: &Problem<'_>) -> Vec<Vec<(String, f64)>> {
    let direction = |weights: &nalgebra::DVector<f64>| {
        let all = weights.iter().enumerate().filter(|(_, weight)| weight.abs() >= WEIGHT_NAMED);
        all.map(|(column, weight)| (problem.columns.label(column), *weight)).collect()
    };
    diagnosis.null_directions.iter().map(direction).collect()
}
