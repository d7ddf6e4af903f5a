//! How well a fit's parameters do on measurements that they weren't fitted to.

use std::sync::atomic::AtomicBool;

use super::columns::Columns;
use super::estimate::Estimate;
use super::figures::{OutputReport, figures};
use super::report::{self, FitReport};
use super::residual::Problem;
use super::{Experiment, FitError, FitOptions, message, multistart, trust_region};
use crate::model::Model;

/// What the validation says.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationReport {
    /// Root mean square of the residuals: in the output's unit, or scaled by σ where there are several outputs.
    pub rmse: f64,
    /// Mean of y − ŷ, in the same unit.
    pub bias: f64,
    /// Over all outputs; below 0 the model predicts worse than the measurements' mean.
    pub r_squared: f64,
    /// Over all outputs.
    pub fit_percent: f64,
    /// Over all outputs.
    pub durbin_watson: f64,
    /// Of each output.
    pub outputs: Vec<OutputReport>,
    /// Samples used.
    pub samples: usize,
    /// Σ ρ(((y−ŷ)/σ)²).
    pub cost: f64,
    /// What was estimated again in each experiment; empty with `keep_initial`.
    pub local: Vec<Estimate>,
    /// For people, in the model's names.
    pub message: String,
}

/// Judges a fit on other experiments. What belongs to a run and not to the device is estimated again in each of them:
/// what the fit estimated separately in each experiment, and what else of its estimates is of a run (initial states and what
/// the model says, see [`Model::of_a_run`]). `keep_initial` keeps all as it was in the fit (of separate
/// estimates the last experiment's). Of `options`, the starts, bounds on effort, σ and simulation count.
///
/// # Errors
/// What keeps it from being done, as [`super::fit()`].
pub fn validate(
    model: &Model,
    experiments: &[Experiment],
    fitted: &FitReport,
    options: &FitOptions,
    keep_initial: bool,
    cancel: &AtomicBool,
    progress: &(dyn Fn(f64) + Sync),
) -> Result<ValidationReport, FitError> {
    if fitted.theta.len() != model.parameters().len() {
        return Err(FitError::Argument("the fit is of another model".into()));
    }
    let again = if keep_initial { Vec::new() } else { of_a_run(model, fitted) };
    let bases = vec![fitted.theta.clone(); experiments.len()];
    let columns = Columns::new(model, &[], &again, bases);
    let problem = Problem::with(model, experiments, &options.simulation, columns, cancel)?;
    let (outcome, local) = if again.is_empty() {
        let tolerances = multistart::tolerances(&problem, options);
        let outcome = trust_region::minimise(&problem, Vec::new(), &tolerances, &|_| {});
        (outcome.map_err(|cause| FitError::simulation(model, cause))?, Vec::new())
    } else {
        problem.check_size()?;
        let starts = multistart::run(&problem, options, progress)?;
        let report = report::report(&problem, options, &starts, Vec::new())?;
        (starts.best().clone(), report.local)
    };
    progress(1.0);
    let (total, outputs) = figures(&problem, &outcome.evaluation.trajectories);
    Ok(ValidationReport {
        rmse: total.rmse,
        bias: total.bias,
        r_squared: total.r_squared,
        fit_percent: total.fit_percent,
        durbin_watson: total.durbin_watson,
        message: message::of_validation(&problem, &outputs, total.r_squared),
        outputs,
        samples: problem.samples,
        cost: outcome.evaluation.cost,
        local,
    })
}

/// The parameters that were estimated for a run.
fn of_a_run(model: &Model, fitted: &FitReport) -> Vec<usize> {
    let local = |index: &usize| fitted.local.iter().any(|estimate| estimate.parameter == *index);
    let belongs = model.of_a_run(&fitted.free);
    (0..model.parameters().len()).filter(|index| local(index) || belongs.contains(index)).collect()
}
