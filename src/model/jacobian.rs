//! f and y with their derivatives to the states: what an observer (EKF) linearises with.

use super::dual::Dual;
use super::{Model, Number as _, Tape};

/// Lanes of one pass; a model with more states takes several.
const LANES: usize = 4;

/// Values and exact derivatives to x at one point. Keeps its registers: one per thread and model.
#[derive(Clone, Debug)]
pub struct Jacobian {
    equations: Vec<Dual<LANES>>,
    outputs: Vec<Dual<LANES>>,
    /// dx/dt.
    pub rate: Vec<f64>,
    /// ∂(dx/dt)/∂x, row-major n·n.
    pub rate_by_state: Vec<f64>,
    /// y.
    pub output: Vec<f64>,
    /// ∂y/∂x, row-major m·n.
    pub output_by_state: Vec<f64>,
}

impl Jacobian {
    /// Room for `model`.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let (states, outputs) = (model.states().len(), model.outputs().len());
        Self {
            equations: model.equations.registers(),
            outputs: model.outputs.registers(),
            rate: vec![0.0; states],
            rate_by_state: vec![0.0; states * states],
            output: vec![0.0; outputs],
            output_by_state: vec![0.0; outputs * states],
        }
    }

    /// Evaluates at (t, x, u, θ).
    pub fn evaluate(&mut self, model: &Model, theta: &[f64], x: &[f64], u: &[f64], t: f64) {
        self.evaluate_rate(model, theta, x, u, t);
        let values = (&mut self.output[..], &mut self.output_by_state[..]);
        derive(&model.outputs, &mut self.outputs, (t, x, u, theta), values);
    }

    /// Evaluates dx/dt and its derivatives, and leaves y as it was.
    pub fn evaluate_rate(&mut self, model: &Model, theta: &[f64], x: &[f64], u: &[f64], t: f64) {
        let values = (&mut self.rate[..], &mut self.rate_by_state[..]);
        derive(&model.equations, &mut self.equations, (t, x, u, theta), values);
    }
}

/// Runs a tape as often as it takes to have a lane for each state.
fn derive(
    tape: &Tape,
    registers: &mut [Dual<LANES>],
    (t, x, u, theta): (f64, &[f64], &[f64], &[f64]),
    (values, slopes): (&mut [f64], &mut [f64]),
) {
    let states = x.len();
    for first in (0..states.max(1)).step_by(LANES) {
        let lanes = LANES.min(states.saturating_sub(first));
        let variables = std::iter::once(&t).chain(x).chain(u).chain(theta);
        for (register, &value) in registers.iter_mut().zip(variables) {
            *register = Dual::constant(value);
        }
        for lane in 0..lanes {
            registers[1 + first + lane].lanes[lane] = 1.0;
        }
        tape.run(registers);
        for (row, &root) in tape.roots().iter().enumerate() {
            values[row] = registers[root].value;
            for lane in 0..lanes {
                slopes[row * states + first + lane] = registers[root].lanes[lane];
            }
        }
    }
}
