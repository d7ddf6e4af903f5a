//! The walk from knot to knot that every simulation is.

use std::sync::atomic::AtomicBool;

use super::control::{Field as _, Run, Step};
use super::engine::{Engine, Registers};
use super::knots::{Knots, Piece};
use super::solver::Solver;
use super::{Options, Scenario, SimulationError, Trajectory};
use crate::model::{Model, Number, Start};

pub(super) fn walk<N: Number>(
    model: &Model,
    theta: &[f64],
    scenario: &Scenario<'_>,
    free: &[usize],
    options: &Options,
    cancel: &AtomicBool,
) -> Result<Trajectory, SimulationError> {
    check(model, theta, scenario)?;
    let (start, end) = scenario.span;
    let mut knots = Knots::new(model, theta, scenario.inputs)?;
    let lane_of: Vec<Option<usize>> =
        (0..theta.len()).map(|index| free.iter().position(|&parameter| parameter == index)).collect();
    let mut registers = Registers::new(model);
    let mut engine = Engine::<N>::new(model, &mut registers);
    engine.set_theta(theta, &lane_of);
    for input in 0..model.inputs().len() {
        engine.set_delay_lane(input, knots.delay_parameter(input).and_then(|parameter| lane_of[parameter]));
    }
    let mut y = initial::<N>(model, theta, scenario, &lane_of)?;
    let mut collector = Collector::new(scenario, free.len(), y.len());
    let samples: usize = scenario.inputs.iter().map(|signal| signal.times.len()).sum();
    let run = Run { options, steps_max: options.steps_max.saturating_add(samples), cancel };
    let mut solver = Solver::default();
    solver.reset(N::WIDTH, tolerances::<N>(options, theta, free, y.len()), &y);

    let delays_estimated =
        (0..model.inputs().len()).any(|input| knots.delay_parameter(input).is_some_and(|p| lane_of[p].is_some()));
    let mut t = start;
    knots.move_to(t);
    engine.set_pieces(&knots.pieces);
    while t < end {
        let stop = knots.next().min(end);
        if y.is_empty() {
            collector.collect_static(&mut engine, (t, stop))?;
        } else {
            let mut failed = None;
            solver.integrate(&mut engine, (t, stop), &mut y, &run, &mut |engine, step| {
                if let Err(error) = collector.collect(engine, step) {
                    failed.get_or_insert(error);
                }
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
        t = stop;
        let before = if delays_estimated { knots.pieces.clone() } else { Vec::new() };
        let moved = knots.move_to(t);
        if moved.jumped || moved.bent {
            if moved.jumped && delays_estimated && !y.is_empty() {
                shift_delay_lanes(&mut engine, &knots, &lane_of, &before, t, &mut y);
            }
            engine.set_pieces(&knots.pieces);
            if moved.jumped || delays_estimated {
                solver.field_changed();
            }
        }
    }
    collector.collect_last(&mut engine, end, &y)?;
    let final_state = y.chunks_exact(N::WIDTH).map(|flat| flat[0]).collect();
    let Collector { outputs, sensitivities, .. } = collector;
    let (steps, steps_rejected) = solver.steps();
    let stiff_from_s = solver.implicit_from_s();
    Ok(Trajectory { outputs, sensitivities, final_state, steps, steps_rejected, stiff_from_s })
}

fn check(model: &Model, theta: &[f64], scenario: &Scenario<'_>) -> Result<(), SimulationError> {
    let length = |what, wanted, given| Err(SimulationError::Length { what, wanted, given });
    if theta.len() != model.parameters().len() {
        return length("parameters", model.parameters().len(), theta.len());
    }
    if scenario.output_times.len() != model.outputs().len() {
        return length("outputs", model.outputs().len(), scenario.output_times.len());
    }
    let (start_s, end_s) = scenario.span;
    let inside = |times: &&[f64]| {
        times.first().is_none_or(|first| *first >= start_s)
            && times.last().is_none_or(|last| *last <= end_s)
            && times.windows(2).all(|pair| pair[0] <= pair[1])
            && times.iter().all(|time| time.is_finite())
    };
    let proper = start_s.is_finite() && end_s.is_finite() && start_s <= end_s;
    if !proper || !scenario.output_times.iter().all(inside) {
        return Err(SimulationError::Times { start_s, end_s });
    }
    Ok(())
}

/// Absolute tolerances: a sensitivity's is that of its state per size of the parameter, as CVODES does it.
fn tolerances<'a, N: Number>(
    options: &'a Options,
    theta: &'a [f64],
    free: &'a [usize],
    length: usize,
) -> impl Iterator<Item = f64> + 'a {
    (0..length).map(move |index| match (index % N::WIDTH).checked_sub(1).and_then(|lane| free.get(lane)) {
        Some(&parameter) if theta[parameter] != 0.0 => options.atol / theta[parameter].abs(),
        _ => options.atol,
    })
}

/// The flat state at the start: values, and a unit sensitivity where a state starts at a parameter.
fn initial<N: Number>(
    model: &Model,
    theta: &[f64],
    scenario: &Scenario<'_>,
    lane_of: &[Option<usize>],
) -> Result<Vec<f64>, SimulationError> {
    let states = model.states().len();
    let mut y = vec![0.0; states * N::WIDTH];
    if let Some(x) = scenario.initial_state {
        if x.len() != states {
            return Err(SimulationError::Length { what: "states", wanted: states, given: x.len() });
        }
        for (flat, &value) in y.chunks_exact_mut(N::WIDTH).zip(x) {
            flat[0] = value;
        }
        return Ok(y);
    }
    let measured = |output: usize| scenario.measured.get(output).copied().flatten();
    let x = model.initial_state(theta, &measured).ok_or(SimulationError::StartUnknown)?;
    for ((flat, value), start) in y.chunks_exact_mut(N::WIDTH).zip(x).zip(model.starts()) {
        let lane = match start {
            Start::Parameter(index) => lane_of[*index],
            _ => None,
        };
        N::seeded(value, lane, 1.0).write(flat);
    }
    Ok(y)
}

/// A held input that jumps at τ + d moves its jump with the dead time d: ∂x/∂d gains f(u₋) − f(u₊) there.
fn shift_delay_lanes<N: Number>(
    engine: &mut Engine<'_, N>,
    knots: &Knots<'_>,
    lane_of: &[Option<usize>],
    before: &[Piece],
    t: f64,
    y: &mut [f64],
) {
    let (mut left, mut right) = (vec![0.0; y.len()], vec![0.0; y.len()]);
    for (input, (old, new)) in before.iter().zip(&knots.pieces).enumerate() {
        let lane = knots.delay_parameter(input).and_then(|parameter| lane_of[parameter]);
        let (Some(lane), true) = (lane, old.value != new.value && new.slope == 0.0) else {
            continue;
        };
        let mut pieces = before.to_vec();
        engine.set_pieces(&pieces);
        engine.rate(t, y, &mut left);
        pieces[input] = *new;
        engine.set_pieces(&pieces);
        engine.rate(t, y, &mut right);
        for state in (0..y.len()).step_by(N::WIDTH) {
            y[state + 1 + lane] += left[state] - right[state];
        }
    }
}

/// Fills the outputs in as the walk passes their times.
struct Collector<'a> {
    times: &'a [&'a [f64]],
    /// For each output the index of the next time.
    next: Vec<usize>,
    lanes: usize,
    y: Vec<f64>,
    flat: Vec<f64>,
    outputs: Vec<Vec<f64>>,
    sensitivities: Vec<Vec<f64>>,
}

impl<'a> Collector<'a> {
    fn new(scenario: &Scenario<'a>, lanes: usize, length: usize) -> Self {
        let times = scenario.output_times;
        let room = |lanes: usize| times.iter().map(|times| Vec::with_capacity(times.len() * lanes)).collect();
        Self {
            times,
            next: vec![0; times.len()],
            lanes,
            y: vec![0.0; length],
            flat: Vec::new(),
            outputs: room(1),
            sensitivities: if lanes == 0 { Vec::new() } else { room(lanes) },
        }
    }

    /// The earliest time not yet served.
    fn due(&self) -> f64 {
        let due = |(times, &next): (&&[f64], &usize)| times.get(next).copied().unwrap_or(f64::INFINITY);
        self.times.iter().zip(&self.next).map(due).fold(f64::INFINITY, f64::min)
    }

    fn collect<N: Number>(&mut self, engine: &mut Engine<'_, N>, step: &dyn Step) -> Result<(), SimulationError> {
        let (_, end) = step.span();
        loop {
            let due = self.due();
            if due >= end {
                return Ok(());
            }
            let mut y = std::mem::take(&mut self.y);
            step.at(due, &mut y);
            let done = self.take(engine, due, &y);
            self.y = y;
            done?;
        }
    }

    fn collect_static<N: Number>(
        &mut self,
        engine: &mut Engine<'_, N>,
        (_, stop): (f64, f64),
    ) -> Result<(), SimulationError> {
        while self.due() < stop {
            self.take(engine, self.due(), &[])?;
        }
        Ok(())
    }

    /// What is due at the very end of the span.
    fn collect_last<N: Number>(
        &mut self,
        engine: &mut Engine<'_, N>,
        end: f64,
        y: &[f64],
    ) -> Result<(), SimulationError> {
        while self.due() <= end {
            self.take(engine, self.due(), y)?;
        }
        Ok(())
    }

    fn take<N: Number>(&mut self, engine: &mut Engine<'_, N>, t: f64, y: &[f64]) -> Result<(), SimulationError> {
        self.flat.resize(N::WIDTH, 0.0);
        for (output, number) in engine.output(t, y).enumerate() {
            if self.times[output].get(self.next[output]) != Some(&t) {
                continue;
            }
            self.next[output] += 1;
            number.write(&mut self.flat);
            if !self.flat[..=self.lanes].iter().all(|value| value.is_finite()) {
                return Err(SimulationError::OutputNotFinite { time_s: t, output });
            }
            self.outputs[output].push(self.flat[0]);
            if self.lanes > 0 {
                self.sensitivities[output].extend_from_slice(&self.flat[1..=self.lanes]);
            }
        }
        Ok(())
    }
}
