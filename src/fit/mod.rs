//! Fits a model to measurements: min over θ of Σ ρ(((y − ŷ(θ, u))/σ)²) within bounds. Pure: no clock, no I/O; the same
//! inputs and seed give the same result. What a fit finds out is a [`FitReport`], an unconverged one too; only what
//! can't be begun is an error.

mod columns;
mod criteria;
mod diagnosis;
mod estimate;
mod figures;
mod known;
mod message;
mod multistart;
mod optima;
mod profile;
mod report;
mod residual;
mod robust;
mod scatter;
mod series;
mod thin;
mod trust_region;
mod validate;
mod whiteness;

use std::sync::atomic::AtomicBool;

pub use estimate::{Collinear, Estimate, width};
pub use figures::{Comparison, Figures, OutputReport, compare};
pub use known::{inputs_within, known};
pub use profile::{ProfileEnd, ProfileReport};
pub use report::{FitReport, OptimumReport, StartReport};
pub use trust_region::Stop;
pub use validate::{ValidationReport, validate};
pub use whiteness::{InputCorrelation, Whiteness};

use crate::model::Model;
use crate::simulate::{Options, Signal, SimulationError};
use residual::Problem;

/// Most starts of one fit.
pub const STARTS_MAX: usize = 1_000;
/// Most numbers that one fit estimates, those of all its experiments together.
pub const ESTIMATES_MAX: usize = 256;
/// Most entries (samples × estimates) of a fit's Jacobian. Each thread holds three at a time, 3 × 128 MB, whatever the
/// number of starts.
pub const JACOBIAN_ENTRIES_MAX: usize = 16_000_000;

/// Part of the progress that stands for the fit itself where profiles are asked for.
const SHARE_BEFORE_PROFILES: f64 = 0.4;

/// What was measured in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// One for each input of the model.
    pub inputs: Vec<Signal>,
    /// One for each output of the model, in its order; an output that wasn't measured is empty.
    pub outputs: Vec<Measured>,
    /// First and last time; none: those of the measurements.
    pub span: Option<(f64, f64)>,
}

/// What was measured of one output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Seconds, ascending.
    pub times: Vec<f64>,
    /// Values; NaN is a missing one.
    pub values: Vec<f64>,
    /// Weight of each squared residual (0: not used); empty: all 1.
    pub weights: Vec<f64>,
}

/// How to fit.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    /// Indices of the parameters to estimate; empty: the model's free ones.
    pub free: Vec<usize>,
    /// Indices of parameters that are estimated separately in each experiment, free or not: initial states, an offset.
    pub per_experiment: Vec<usize>,
    /// Their values in force, for each experiment in the order of `per_experiment`; empty: as in `theta`.
    pub per_experiment_start: Vec<Vec<f64>>,
    /// θ in force: the first start, and the values of the parameters that aren't estimated; none: the nominal ones.
    pub theta: Option<Vec<f64>>,
    /// Starts: the first at θ in force, the others spread over the bounds by a Latin hypercube.
    pub starts: usize,
    /// Of the Latin hypercube.
    pub seed: u64,
    /// Threads that the starts are spread over; the result is the same with any number.
    pub threads: usize,
    /// Most iterations of each start.
    pub iterations_max: usize,
    /// σ are standard deviations as they are: standard errors aren't scaled by the reduced χ². Without effect on
    /// outputs with a robust loss.
    pub absolute_sigma: bool,
    /// Of the intervals, between 0 and 1.
    pub level: f64,
    /// Indices of estimated parameters whose profile likelihood intervals are wanted.
    pub profile: Vec<usize>,
    /// Relative reduction of the cost below which a start has converged; none: 1e-18 for a static model, 1e-12 for one
    /// with states, whose cost carries the integrator's error.
    pub cost_tolerance: Option<f64>,
    /// Relative step below which a start has converged.
    pub step_tolerance: f64,
    /// Of the simulations.
    pub simulation: Options,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            free: Vec::new(),
            per_experiment: Vec::new(),
            per_experiment_start: Vec::new(),
            theta: None,
            starts: 1,
            seed: 1,
            threads: 1,
            iterations_max: 1_000,
            absolute_sigma: false,
            level: 0.95,
            profile: Vec::new(),
            cost_tolerance: None,
            step_tolerance: 1e-12,
            simulation: Options::default(),
        }
    }
}

/// Why a fit can't be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// Nothing to estimate.
    #[error("no parameter is free")]
    NothingFree,
    /// An index, length or start value that doesn't fit the model.
    #[error("{0}")]
    Argument(String),
    /// No measurement is a number.
    #[error("there is nothing to fit to: {}", nothing(*.missing))]
    NoMeasurements {
        /// Measurements that are no numbers.
        missing: usize,
    },
    /// Not more samples than estimates.
    #[error("{samples} samples are too few to estimate {parameters} parameters: take a longer time or estimate fewer")]
    TooFewSamples {
        /// Samples with a weight.
        samples: usize,
        /// Numbers to estimate.
        parameters: usize,
    },
    /// More estimates than a fit makes.
    #[error("{parameters} estimates are more than a fit makes ({most}): take fewer experiments at a time", most = ESTIMATES_MAX)]
    TooManyEstimates {
        /// Numbers to estimate.
        parameters: usize,
    },
    /// More samples than a fit takes.
    #[error("{samples} samples are more than a fit takes ({most}): shorten the window or thin it out")]
    TooManySamples {
        /// Samples with a weight.
        samples: usize,
        /// With as many estimates.
        most: usize,
    },
    /// No start could be simulated.
    #[error("the model can't be simulated with the parameters in force: {message}")]
    Simulation {
        /// In the model's names.
        message: String,
        /// The first start's failure.
        #[source]
        cause: SimulationError,
    },
    /// Asked to stop before there was a result.
    #[error("cancelled")]
    Cancelled,
}

impl FitError {
    fn simulation(model: &Model, cause: SimulationError) -> Self {
        match cause {
            SimulationError::Cancelled => Self::Cancelled,
            cause => Self::Simulation { message: cause.describe(model), cause },
        }
    }
}

fn nothing(missing: usize) -> String {
    match missing {
        0 => "no output of the model was measured".to_owned(),
        missing => format!("all {missing} measurements are bad or missing"),
    }
}

/// Fits.
///
/// `progress` is told a fraction from 0 to 1 that never falls, from any of the threads. A set `cancel` ends the fit at once, without a result.
///
/// # Errors
/// What keeps the fit from being done, see [`FitError`].
pub fn fit(
    model: &Model,
    experiments: &[Experiment],
    options: &FitOptions,
    cancel: &AtomicBool,
    progress: &(dyn Fn(f64) + Sync),
) -> Result<FitReport, FitError> {
    let problem = Problem::new(model, experiments, options, cancel)?;
    let share = if options.profile.is_empty() { 1.0 } else { SHARE_BEFORE_PROFILES };
    let mut starts = multistart::run(&problem, options, &|fraction| progress(share * fraction))?;
    let profiles = profile::run(&problem, options, &mut starts, &|part| progress(share + (1.0 - share) * part))?;
    let report = report::report(&problem, options, &starts, profiles)?;
    progress(1.0);
    Ok(report)
}
