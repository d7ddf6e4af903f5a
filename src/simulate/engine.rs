//! A model's tapes with their registers, over plain numbers or duals: the right-hand side that the integrator sees.

use super::control::Field;
use super::knots::Piece;
use crate::model::{Jacobian, Model, Number};

/// Where a parameter's derivatives go.
pub(super) type LaneOf<'a> = &'a [Option<usize>];

/// Registers of one model for one kind of number.
#[derive(Clone, Debug, Default)]
pub(super) struct Registers<N> {
    equations: Vec<N>,
    outputs: Vec<N>,
    pieces: Vec<Piece>,
    /// Lane of each input's dead time.
    delay_lanes: Vec<Option<usize>>,
    theta: Vec<f64>,
    /// What an implicit method linearises with; none: none has asked yet.
    linear: Option<(Jacobian, Vec<f64>)>,
}

impl<N: Number> Registers<N> {
    pub(super) fn new(model: &Model) -> Self {
        Self {
            equations: model.equations.registers(),
            outputs: model.outputs.registers(),
            pieces: vec![Piece::default(); model.inputs().len()],
            delay_lanes: vec![None; model.inputs().len()],
            theta: Vec::new(),
            linear: None,
        }
    }
}

/// A model with its registers.
pub(super) struct Engine<'a, N> {
    model: &'a Model,
    registers: &'a mut Registers<N>,
}

impl<'a, N: Number> Engine<'a, N> {
    pub(super) fn new(model: &'a Model, registers: &'a mut Registers<N>) -> Self {
        Self { model, registers }
    }

    /// Sets θ, each with the unit derivative in its lane.
    pub(super) fn set_theta(&mut self, theta: &[f64], lane_of: LaneOf<'_>) {
        let (_, _, first) = self.model.offsets();
        self.registers.theta.clear();
        self.registers.theta.extend_from_slice(theta);
        for (index, &value) in theta.iter().enumerate() {
            let seeded = N::seeded(value, lane_of.get(index).copied().flatten(), 1.0);
            self.registers.equations[first + index] = seeded;
            self.registers.outputs[first + index] = seeded;
        }
    }

    pub(super) fn set_delay_lane(&mut self, input: usize, lane: Option<usize>) {
        self.registers.delay_lanes[input] = lane;
    }

    /// Sets the inputs for the segment that begins.
    pub(super) fn set_pieces(&mut self, pieces: &[Piece]) {
        self.registers.pieces.copy_from_slice(pieces);
        let (_, first, _) = self.model.offsets();
        for (index, piece) in pieces.iter().enumerate() {
            // u(t − d): its derivative to the dead time is −slope.
            let value = N::seeded(piece.value, self.registers.delay_lanes[index], -piece.slope);
            self.registers.equations[first + index] = value;
            self.registers.outputs[first + index] = value;
        }
    }

    #[inline(always)]
    fn set_variables(model: &Model, pieces: &[Piece], delay_lanes: LaneOf<'_>, registers: &mut [N], t: f64, y: &[f64]) {
        registers[0] = N::constant(t);
        let (states, inputs, _) = model.offsets();
        for (register, flat) in registers[states..inputs].iter_mut().zip(y.chunks_exact(N::WIDTH)) {
            *register = N::read(flat);
        }
        for (index, piece) in pieces.iter().enumerate() {
            if piece.slope != 0.0 {
                let value = piece.value + piece.slope * (t - piece.origin_s);
                registers[inputs + index] = N::seeded(value, delay_lanes[index], -piece.slope);
            }
        }
    }

    /// y(t) from a flat state.
    pub(super) fn output(&mut self, t: f64, y: &[f64]) -> impl Iterator<Item = N> {
        let Registers { outputs, pieces, delay_lanes, .. } = &mut *self.registers;
        Self::set_variables(self.model, pieces, delay_lanes, outputs, t, y);
        self.model.outputs.run(&mut self.registers.outputs);
        let registers = &self.registers.outputs;
        self.model.outputs.roots().iter().map(move |&root| registers[root])
    }
}

impl<N: Number> Field for Engine<'_, N> {
    #[inline]
    fn rate(&mut self, t: f64, y: &[f64], dy: &mut [f64]) {
        let model = self.model;
        let Registers { equations, pieces, delay_lanes, .. } = &mut *self.registers;
        Self::set_variables(model, pieces, delay_lanes, equations, t, y);
        model.equations.run(equations);
        for (flat, &root) in dy.chunks_exact_mut(N::WIDTH).zip(model.equations.roots()) {
            equations[root].write(flat);
        }
    }

    fn linearise(&mut self, t: f64, y: &[f64], jacobian: &mut [f64]) {
        let (model, Registers { pieces, theta, linear, .. }) = (self.model, &mut *self.registers);
        let (at, values) = linear.get_or_insert_with(|| (Jacobian::new(model), Vec::new()));
        values.clear();
        values.extend(y.iter().step_by(N::WIDTH));
        let states = values.len();
        values.extend(pieces.iter().map(|piece| piece.value + piece.slope * (t - piece.origin_s)));
        let (x, u) = values.split_at(states);
        at.evaluate_rate(model, theta, x, u, t);
        jacobian.copy_from_slice(&at.rate_by_state);
    }
}
