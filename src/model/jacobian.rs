//! f and y with their derivatives to the states: what an observer (EKF) linearises with.

use super::dual::Dual;
use super::{Model, Number as _};

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
        let states = x.len();
        let variables =
            || std::iter::once(t).chain(x.iter().copied()).chain(u.iter().copied()).chain(theta.iter().copied());
        for first in (0..states.max(1)).step_by(LANES) {
            for registers in [&mut self.equations, &mut self.outputs] {
                for (register, value) in registers.iter_mut().zip(variables()) {
                    *register = Dual::constant(value);
                }
                for lane in 0..LANES.min(states.saturating_sub(first)) {
                    registers[1 + first + lane].lanes[lane] = 1.0;
                }
            }
            model.equations.run(&mut self.equations);
            model.outputs.run(&mut self.outputs);
            let read = |registers: &[Dual<LANES>], roots: &[usize], values: &mut [f64], slopes: &mut [f64]| {
                for (row, &root) in roots.iter().enumerate() {
                    values[row] = registers[root].value;
                    for lane in 0..LANES.min(states.saturating_sub(first)) {
                        slopes[row * states + first + lane] = registers[root].lanes[lane];
                    }
                }
            };
            read(&self.equations, model.equations.roots(), &mut self.rate, &mut self.rate_by_state);
            read(&self.outputs, model.outputs.roots(), &mut self.output, &mut self.output_by_state);
        }
    }
}
