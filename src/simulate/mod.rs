//! What a model does over time under recorded inputs. Pure: no clock, no I/O; times are seconds from an origin that the
//! caller chose. The integrator stops at every knot of the inputs: a pulse shorter than any step is never missed.

mod control;
mod dopri5;
mod engine;
mod knots;
mod live;
mod lu;
mod observer;
mod predict;
mod radau5;
mod solver;
mod walk;

use std::sync::atomic::AtomicBool;

pub use live::{Stepper, advance, advance_over, output};
pub use observer::{Belief, Expected, Observer};
pub use predict::{Outlook, predict};

use crate::model::{Hold, Model, PARAMETERS_MAX};

/// A recorded input: samples and what it does between them. Before the first sample its value holds, after the last
/// one that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signal {
    /// Seconds, strictly increasing.
    pub times: Vec<f64>,
    /// Values at those times, all finite.
    pub values: Vec<f64>,
    /// Between the samples.
    pub hold: Hold,
}

impl Signal {
    /// Has this value from now on, whatever was to come.
    pub fn hold_from(&mut self, now_s: f64, value: f64) {
        let known = self.times.partition_point(|time| *time < now_s);
        self.times.truncate(known);
        self.values.truncate(known);
        self.times.push(now_s);
        self.values.push(value);
    }
}

/// Accuracy and bounds of a simulation.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// Relative tolerance of each step.
    pub rtol: f64,
    /// Absolute tolerance of each step, in the unit of each state.
    pub atol: f64,
    /// Most steps, on top of one for each sample of the inputs.
    pub steps_max: usize,
    /// What integrates.
    pub method: Method,
}

/// What integrates a model's states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Method {
    /// [`Method::Dopri5`], and once the equations turn out to be stiff [`Method::Radau5`] to the end.
    #[default]
    Auto,
    /// Dormand and Prince, explicit, order 5.
    Dopri5,
    /// Radau IIA, implicit, order 5.
    Radau5,
}

impl Default for Options {
    fn default() -> Self {
        Self { rtol: 1e-7, atol: 1e-12, steps_max: 500_000, method: Method::Auto }
    }
}

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Scenario<'a> {
    /// One for each input of the model.
    pub inputs: &'a [Signal],
    /// First and last time.
    pub span: (f64, f64),
    /// For each output the times at which it is wanted: ascending, inside the span.
    pub output_times: &'a [&'a [f64]],
    /// x at the start; none: as the model says.
    pub initial_state: Option<&'a [f64]>,
    /// The first measured value of each output, for states that start there; may be empty.
    pub measured: &'a [Option<f64>],
}

/// What a simulation gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectory {
    /// For each output its values at the times asked for.
    pub outputs: Vec<Vec<f64>>,
    /// For each output, for each time, ∂y/∂θ of the parameters asked for (row-major); empty if none were.
    pub sensitivities: Vec<Vec<f64>>,
    /// x at the end of the span.
    pub final_state: Vec<f64>,
    /// Steps tried.
    pub steps: usize,
    /// Steps refused: by the error control, or as an implicit method's equations could not be solved.
    pub steps_rejected: usize,
    /// From when on the implicit method integrated; none: never.
    pub stiff_from_s: Option<f64>,
}

/// Why a simulation has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The equations give no number.
    #[error("state {state} is not a finite number after t = {time_s} s")]
    NotFinite {
        /// Where.
        time_s: f64,
        /// Index of the first such state.
        state: usize,
    },
    /// An output's expression gives no number.
    #[error("output {output} is not a finite number at t = {time_s} s")]
    OutputNotFinite {
        /// Where.
        time_s: f64,
        /// Index of the output.
        output: usize,
    },
    /// The equations vary too fast for any step.
    #[error("no step is small enough at t = {time_s} s: the equations have a pole there")]
    StepTooSmall {
        /// Where.
        time_s: f64,
    },
    /// The bound on steps was reached.
    #[error(
        "{steps} steps were not enough, the last ended at t = {time_s} s: the equations vary too fast for the tolerances"
    )]
    TooManySteps {
        /// Where.
        time_s: f64,
        /// Steps tried.
        steps: usize,
    },
    /// Asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Not one signal for each input.
    #[error("the model has {wanted} inputs, {given} were given")]
    Inputs {
        /// Inputs of the model.
        wanted: usize,
        /// Signals given.
        given: usize,
    },
    /// An input without samples, or with unequal numbers of times and values.
    #[error("input {input} has no samples")]
    InputEmpty {
        /// Index of the input.
        input: usize,
    },
    /// An input with a value that is no number.
    #[error("sample {index} of input {input} is not a finite number")]
    InputNotFinite {
        /// Index of the input.
        input: usize,
        /// Index of the sample.
        index: usize,
    },
    /// An input whose times don't increase.
    #[error("sample {index} of input {input} is not later than the one before")]
    InputOrder {
        /// Index of the input.
        input: usize,
        /// Index of the sample.
        index: usize,
    },
    /// The span is empty or not finite, or output times are not ascending inside it.
    #[error("the times asked for are not ascending inside the span from {start_s} s to {end_s} s")]
    Times {
        /// Start of the span.
        start_s: f64,
        /// End of the span.
        end_s: f64,
    },
    /// θ or x of another length than the model's.
    #[error("the model has {wanted} {what}, {given} were given")]
    Length {
        /// Of what.
        what: &'static str,
        /// The model's.
        wanted: usize,
        /// Given.
        given: usize,
    },
    /// A state starts at the first measured value of an output that has none.
    #[error("a state starts at a measured value, but there is none")]
    StartUnknown,
}

impl SimulationError {
    /// The message with the model's own names.
    #[must_use]
    pub fn describe(&self, model: &Model) -> String {
        let state = |index: usize| model.states().get(index).map_or("?", |state| state.name.as_str());
        let input = |index: usize| model.inputs().get(index).map_or("?", |input| input.name.as_str());
        let output = |index: usize| model.outputs().get(index).map_or("?", |output| output.name.as_str());
        match self {
            Self::NotFinite { time_s, state: index } => {
                format!("the equation of `{}` gives no finite number after t = {time_s} s", state(*index))
            }
            Self::OutputNotFinite { time_s, output: index } => {
                format!("the output `{}` is not a finite number at t = {time_s} s", output(*index))
            }
            Self::InputEmpty { input: index } => format!("the input `{}` has no samples", input(*index)),
            Self::InputNotFinite { input: index, index: sample } => {
                format!("sample {sample} of the input `{}` is not a finite number", input(*index))
            }
            Self::InputOrder { input: index, index: sample } => {
                format!("sample {sample} of the input `{}` is not later than the one before", input(*index))
            }
            other => other.to_string(),
        }
    }
}

/// Simulates.
///
/// # Errors
/// What keeps the model from having a trajectory, see [`SimulationError`].
pub fn simulate(
    model: &Model,
    theta: &[f64],
    scenario: &Scenario<'_>,
    options: &Options,
    cancel: &AtomicBool,
) -> Result<Trajectory, SimulationError> {
    walk::walk::<f64>(model, theta, scenario, &[], options, cancel)
}

/// Simulates with exact sensitivities of the outputs to the parameters of the indices `free`.
///
/// # Errors
/// As [`simulate`].
pub fn simulate_with_sensitivities(
    model: &Model,
    theta: &[f64],
    scenario: &Scenario<'_>,
    free: &[usize],
    options: &Options,
    cancel: &AtomicBool,
) -> Result<Trajectory, SimulationError> {
    use crate::model::Dual;
    // The number of lanes is known to the compiler, so that the loops over them are unrolled; above 8 it is rounded up.
    macro_rules! with_lanes {
        ($($lanes:literal),*) => {
            match free.len() {
                0 => walk::walk::<f64>(model, theta, scenario, free, options, cancel),
                $(count if count <= $lanes => walk::walk::<Dual<$lanes>>(model, theta, scenario, free, options, cancel),)*
                given => Err(SimulationError::Length { what: "parameters at most", wanted: PARAMETERS_MAX, given }),
            }
        };
    }
    with_lanes!(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64)
}
