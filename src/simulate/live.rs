//! The simulation that runs beside a device, one sample at a time, without allocation once its stepper is made.

use std::sync::atomic::AtomicBool;

use super::control::Run;
use super::engine::{Engine, Registers};
use super::knots::{Knots, Piece};
use super::solver::Solver;
use super::{Options, Signal, SimulationError};
use crate::model::{Hold, Model};

/// Working memory of live simulations: one for each model (not for each twin) on a thread.
#[derive(Clone, Debug)]
pub struct Stepper {
    registers: Registers<f64>,
    pieces: Vec<Piece>,
    solver: Solver,
    never: std::sync::Arc<AtomicBool>,
}

impl Stepper {
    /// Working memory for `model`, and only for that.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        Self {
            registers: Registers::new(model),
            pieces: vec![Piece::default(); model.inputs().len()],
            solver: Solver::default(),
            never: std::sync::Arc::default(),
        }
    }
}

/// Takes x from `span.0` to `span.1`. A held input keeps its value of `u_start`; a linear one goes straight from its
/// value in `u_start` to that in `u_end`. Dead times are the caller's: give delayed inputs, or use [`advance_over`].
///
/// # Errors
/// x is then as it was.
pub fn advance(
    stepper: &mut Stepper,
    model: &Model,
    theta: &[f64],
    x: &mut [f64],
    span: (f64, f64),
    (u_start, u_end): (&[f64], &[f64]),
    options: &Options,
) -> Result<(), SimulationError> {
    check(model, theta, x)?;
    if u_start.len() != model.inputs().len() || u_end.len() != u_start.len() {
        return Err(SimulationError::Inputs { wanted: model.inputs().len(), given: u_start.len().min(u_end.len()) });
    }
    if x.is_empty() || span.1 <= span.0 {
        return Ok(());
    }
    for (index, (piece, input)) in stepper.pieces.iter_mut().zip(model.inputs()).enumerate() {
        let slope = match input.hold {
            Hold::Previous => 0.0,
            Hold::Linear => (u_end[index] - u_start[index]) / (span.1 - span.0),
        };
        *piece = Piece { value: u_start[index], slope, origin_s: span.0 };
    }
    let mut engine = Engine::new(model, &mut stepper.registers);
    engine.set_theta(theta, &[]);
    engine.set_pieces(&stepper.pieces);
    let run = Run { options, steps_max: options.steps_max, cancel: &stepper.never };
    stepper.solver.reset(1, std::iter::repeat_n(options.atol, x.len()), x);
    stepper.solver.integrate_copy(&mut engine, span, x, &run)
}

/// As [`advance`], with recorded inputs and their dead times. All of `inputs` is looked through at every call: give the
/// stretch that reaches from the span's start less the longest dead time to its end.
///
/// # Errors
/// x is then as it was.
pub fn advance_over(
    stepper: &mut Stepper,
    model: &Model,
    theta: &[f64],
    x: &mut [f64],
    span: (f64, f64),
    inputs: &[Signal],
    options: &Options,
) -> Result<(), SimulationError> {
    check(model, theta, x)?;
    let mut knots = Knots::new(model, theta, inputs)?;
    let mut engine = Engine::new(model, &mut stepper.registers);
    engine.set_theta(theta, &[]);
    let run = Run { options, steps_max: options.steps_max, cancel: &stepper.never };
    stepper.solver.reset(1, std::iter::repeat_n(options.atol, x.len()), x);
    let before = x.to_vec();
    let mut t = span.0;
    while t < span.1 && !x.is_empty() {
        knots.move_to(t);
        engine.set_pieces(&knots.pieces);
        stepper.solver.field_changed();
        let stop = knots.next().min(span.1);
        if let Err(error) = stepper.solver.integrate(&mut engine, (t, stop), x, &run, &mut |_, _| {}) {
            x.copy_from_slice(&before);
            return Err(error);
        }
        t = stop;
    }
    Ok(())
}

/// y(t) into `y`.
///
/// # Errors
/// An output that is not a finite number, or wrong lengths.
pub fn output(
    stepper: &mut Stepper,
    model: &Model,
    theta: &[f64],
    x: &[f64],
    u: &[f64],
    time_s: f64,
    y: &mut [f64],
) -> Result<(), SimulationError> {
    check(model, theta, x)?;
    if u.len() != model.inputs().len() {
        return Err(SimulationError::Inputs { wanted: model.inputs().len(), given: u.len() });
    }
    if y.len() != model.outputs().len() {
        return Err(SimulationError::Length { what: "outputs", wanted: model.outputs().len(), given: y.len() });
    }
    for (piece, &value) in stepper.pieces.iter_mut().zip(u) {
        *piece = Piece { value, slope: 0.0, origin_s: time_s };
    }
    let mut engine = Engine::new(model, &mut stepper.registers);
    engine.set_theta(theta, &[]);
    engine.set_pieces(&stepper.pieces);
    for (index, value) in engine.output(time_s, x).enumerate() {
        y[index] = value;
    }
    match y.iter().position(|value| !value.is_finite()) {
        Some(output) => Err(SimulationError::OutputNotFinite { time_s, output }),
        None => Ok(()),
    }
}

fn check(model: &Model, theta: &[f64], x: &[f64]) -> Result<(), SimulationError> {
    if theta.len() != model.parameters().len() {
        return Err(SimulationError::Length {
            what: "parameters",
            wanted: model.parameters().len(),
            given: theta.len(),
        });
    }
    if x.len() != model.states().len() {
        return Err(SimulationError::Length { what: "states", wanted: model.states().len(), given: x.len() });
    }
    Ok(())
}
