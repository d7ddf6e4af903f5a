//! Set-points: which values of the inputs, held from now on, bring an output to a target. Minimises
//! ((ŷ(t + horizon) − target)/σ)² + Σ cost·|u − u₀| over what may be moved, as far and as fast as it may be moved, while
//! states and outputs keep their bounds all the way. Pure.
//!
//! By linear approximations without derivatives (COBYLA: Powell 1994, in "Advances in Optimization and Numerical Analysis",
//! pp. 51–67), from several starts: a saturating actuator has flat stretches, and a model more than one valley. Whatever any
//! of them looked at and keeps the bounds may be the answer, so that none that breaks one is.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicBool, Ordering},
};

use cobyla::{RhoBeg, StopTols, minimize};

use crate::{
    model::Model,
    simulate::{self, Options, Scenario, Signal, SimulationError},
};

/// Points of the way ahead at which bounds are looked at.
const POINTS: usize = 200;
/// Places looked at before any search, for each input that may move.
const PROBES_PER_MOVE: usize = 64;
/// Searches from the best of them, beside the one from where the inputs stand.
const STARTS: usize = 3;
/// First step of a search, as part of an input's reach.
const FIRST_STEP: f64 = 0.1;
/// Simulations for one start and each input that may move.
const TRIALS_PER_MOVE: usize = 80;
/// Size of the last steps, as part of an input's reach.
const RESOLUTION: f64 = 1e-7;
/// Below this part of the objective nothing is gained.
const GAIN: f64 = 1e-9;
/// Below this part of its σ an output has not been moved.
const EFFECT: f64 = 1e-4;
/// Stands for a simulation that came to nothing.
const NOWHERE: f64 = 1e12;

/// An input that may be moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// Index of the model's input.
    pub input: usize,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Most that it may move at once, either way; infinite: no bound.
    pub max_change: f64,
    /// Of moving it by one unit, against one σ² of the output.
    pub cost: f64,
    /// It takes whole numbers only.
    pub whole: bool,
}

/// What must keep its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// x of this index.
    State(usize),
    /// y of this index.
    Output(usize),
}

/// Bounds that must be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Keep {
    /// By what.
    pub of: Kept,
    /// Least value; −∞: none.
    pub min: f64,
    /// Greatest value; ∞: none.
    pub max: f64,
}

/// What is asked, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The model.
    pub model: &'a Model,
    /// θ in force.
    pub theta: &'a [f64],
    /// x now.
    pub x: &'a [f64],
    /// Now, seconds.
    pub start_s: f64,
    /// How far ahead the target is, seconds, above zero.
    pub horizon_s: f64,
    /// One for each input of the model, as known up to now.
    pub inputs: &'a [Signal],
    /// Index of the output.
    pub output: usize,
    /// What it should read at the horizon.
    pub target: f64,
    /// What may be moved.
    pub moves: &'a [Move],
    /// The value now of each input that may be moved.
    pub present: &'a [f64],
    /// What must be kept.
    pub keeps: &'a [Keep],
}

/// A bound that would break.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// Index of the [`Keep`].
    pub keep: usize,
    /// The farthest beyond it.
    pub value: f64,
}

/// What to set.
#[derive(Clone, Debug, PartialEq)]
pub struct SetPoints {
    /// Of each input that may be moved; as it is now, where no values keep all bounds.
    pub values: Vec<f64>,
    /// ŷ at the horizon with them.
    pub predicted: f64,
    /// The objective.
    pub cost: f64,
    /// Bounds that break whatever is set; empty: `values` keep all.
    pub broken: Vec<Broken>,
    /// ŷ at the horizon if nothing is moved.
    pub unmoved: f64,
    /// Whether any value tried made ŷ at the horizon another.
    pub has_effect: bool,
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// With the inputs as they are, the model has no future.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// An input stands so far outside its bounds that it may not be moved inside.
    #[error("input {input} stands at {present}: its bounds are out of reach of one change")]
    OutOfReach {
        /// Index of the [`Move`].
        input: usize,
        /// Where it stands.
        present: f64,
    },
}

/// Looks for the best values.
///
/// # Errors
/// See [`OptimizeError`]; [`SimulationError::Cancelled`] when asked to stop.
pub fn set_points(task: &Task<'_>, options: &Options, cancel: &AtomicBool) -> Result<SetPoints, OptimizeError> {
    let reach = reach(task)?;
    let search = Search::new(task, options, cancel, reach)?;
    for start in search.starts() {
        search.descend(&start);
        if cancel.load(Ordering::Relaxed) {
            return Err(SimulationError::Cancelled.into());
        }
    }
    search.settle();
    Ok(search.answer())
}

/// Where each input may be moved to.
fn reach(task: &Task<'_>) -> Result<Vec<(f64, f64)>, OptimizeError> {
    let of = |(input, (by, &present)): (usize, (&Move, &f64))| {
        let (mut low, mut high) = (by.min.max(present - by.max_change), by.max.min(present + by.max_change));
        if by.whole {
            (low, high) = (low.ceil(), high.floor());
        }
        if low <= high { Ok((low, high)) } else { Err(OptimizeError::OutOfReach { input, present }) }
    };
    task.moves.iter().zip(task.present).enumerate().map(of).collect()
}

/// What comes of some values of the inputs.
#[derive(Clone, Debug)]
struct Trial {
    values: Vec<f64>,
    predicted: f64,
    cost: f64,
    /// By how much each bound is kept, in sizes of the bound; below zero: broken.
    margins: Vec<f64>,
    /// The value of each kept quantity that is nearest to breaking, or farthest beyond.
    extremes: Vec<f64>,
}

impl Trial {
    fn keeps(&self) -> bool {
        self.margins.iter().all(|margin| *margin >= 0.0)
    }

    /// By how much its worst bound is broken.
    fn beyond(&self) -> f64 {
        -self.margins.iter().copied().fold(0.0, f64::min)
    }
}

struct Search<'a> {
    task: &'a Task<'a>,
    /// With its states as outputs.
    shown: Model,
    times: Vec<f64>,
    /// The bounds of each [`Keep`] on the way, less strict than at its end where they are broken already.
    on_the_way: Vec<(f64, f64)>,
    reach: Vec<(f64, f64)>,
    unmoved: Trial,
    options: &'a Options,
    cancel: &'a AtomicBool,
    /// The last one: the objective and every constraint ask for the same.
    last: RefCell<Option<Trial>>,
    best: RefCell<Option<Trial>>,
    /// Of those that break bounds, the one that does least.
    least_bad: RefCell<Option<Trial>>,
    has_effect: RefCell<bool>,
}

impl<'a> Search<'a> {
    fn new(
        task: &'a Task<'a>,
        options: &'a Options,
        cancel: &'a AtomicBool,
        reach: Vec<(f64, f64)>,
    ) -> Result<Self, OptimizeError> {
        let step = task.horizon_s / POINTS as f64;
        let mut times: Vec<f64> = (0..POINTS).map(|point| task.start_s + point as f64 * step).collect();
        times.push(task.start_s + task.horizon_s);
        let mut search = Self {
            task,
            shown: task.model.with_states_shown(),
            times,
            on_the_way: task.keeps.iter().map(|keep| (keep.min, keep.max)).collect(),
            reach,
            unmoved: Trial {
                values: Vec::new(),
                predicted: f64::NAN,
                cost: f64::NAN,
                margins: Vec::new(),
                extremes: Vec::new(),
            },
            options,
            cancel,
            last: RefCell::default(),
            best: RefCell::default(),
            least_bad: RefCell::default(),
            has_effect: RefCell::new(false),
        };
        let courses = search.courses(None)?;
        // What is beyond its bound already must come back by the end, and not go farther before.
        for (bounds, keep) in search.on_the_way.iter_mut().zip(task.keeps) {
            let now = courses[search.task.output_of(keep.of)][0];
            *bounds = (bounds.0.min(now), bounds.1.max(now));
        }
        search.unmoved = search.judge(task.present.to_vec(), &courses);
        let is_allowed = task.present.iter().zip(&search.reach).all(|(u, (low, high))| (*low..=*high).contains(u));
        if is_allowed && search.unmoved.keeps() {
            search.best = RefCell::new(Some(search.unmoved.clone()));
        }
        Ok(search)
    }

    /// Of every output that matters its course under these values, or with nothing moved.
    fn courses(&self, values: Option<&[f64]>) -> Result<Vec<Vec<f64>>, SimulationError> {
        let mut inputs = self.task.inputs.to_vec();
        for (by, &value) in self.task.moves.iter().zip(values.unwrap_or_default()) {
            inputs[by.input].hold_from(self.task.start_s, value);
        }
        let mut wanted: Vec<&[f64]> = vec![&[]; self.shown.outputs().len()];
        wanted[self.task.output] = &self.times[POINTS..];
        for keep in self.task.keeps {
            wanted[self.task.output_of(keep.of)] = &self.times;
        }
        let scenario = Scenario {
            inputs: &inputs,
            span: (self.task.start_s, self.times[POINTS]),
            output_times: &wanted,
            initial_state: Some(self.task.x),
            measured: &[],
        };
        Ok(simulate::simulate(&self.shown, self.task.theta, &scenario, self.options, self.cancel)?.outputs)
    }

    fn judge(&self, values: Vec<f64>, courses: &[Vec<f64>]) -> Trial {
        let task = self.task;
        let predicted = courses[task.output].last().copied().unwrap_or(f64::NAN);
        let off = (predicted - task.target) / task.model.outputs()[task.output].sigma;
        let moved = task.moves.iter().zip(&values).zip(task.present);
        let paid: f64 = moved.map(|((by, value), present)| by.cost * (value - present).abs()).sum();
        let (mut margins, mut extremes) = (Vec::new(), Vec::new());
        for (keep, &on_the_way) in task.keeps.iter().zip(&self.on_the_way) {
            let course = &courses[task.output_of(keep.of)];
            let last = course.len() - 1;
            let margin = |(point, &value): (usize, &f64)| {
                let (min, max) = if point == last { (keep.min, keep.max) } else { on_the_way };
                ((value - min).min(max - value), value)
            };
            let tightest = course.iter().enumerate().map(margin).reduce(|a, b| if b.0 < a.0 { b } else { a });
            let (margin, value) = tightest.unwrap_or((0.0, f64::NAN));
            margins.push(margin / size(keep));
            extremes.push(value);
        }
        Trial { values, predicted, cost: off * off + paid, margins, extremes }
    }

    /// What comes of values inside their reach; `None`: the model has no future with them.
    fn try_values(&self, values: Vec<f64>) -> Option<Trial> {
        if let Some(last) = self.last.borrow().as_ref().filter(|last| last.values == values) {
            return Some(last.clone());
        }
        let trial = self.judge(values.clone(), &self.courses(Some(&values)).ok()?);
        if !trial.cost.is_finite() {
            return None;
        }
        *self.last.borrow_mut() = Some(trial.clone());
        let sigma = self.task.model.outputs()[self.task.output].sigma;
        if (trial.predicted - self.unmoved.predicted).abs() > EFFECT * sigma {
            *self.has_effect.borrow_mut() = true;
        }
        let better = |other: &Option<Trial>, by: fn(&Trial) -> f64| other.as_ref().is_none_or(|o| by(&trial) < by(o));
        if trial.keeps() && better(&self.best.borrow(), |trial| trial.cost) {
            *self.best.borrow_mut() = Some(trial.clone());
        } else if !trial.keeps() && better(&self.least_bad.borrow(), Trial::beyond) {
            *self.least_bad.borrow_mut() = Some(trial.clone());
        }
        Some(trial)
    }

    /// Values of a point in the unit cube.
    fn values(&self, z: &[f64]) -> Vec<f64> {
        let of = |((z, (low, high)), by): ((&f64, &(f64, f64)), &Move)| {
            let value = (low + z * (high - low)).clamp(*low, *high);
            if by.whole { value.round() } else { value }
        };
        z.iter().zip(&self.reach).zip(self.task.moves).map(of).collect()
    }

    /// Where it stands, then the best of many places.
    fn starts(&self) -> Vec<Vec<f64>> {
        let present = |(u, (low, high)): (&f64, &(f64, f64))| {
            if high > low { ((u - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
        };
        let mut starts = vec![self.task.present.iter().zip(&self.reach).map(present).collect()];
        let probed = self.probes().filter_map(|z| {
            let trial = self.try_values(self.values(&z))?;
            Some((trial.beyond(), trial.cost, z))
        });
        let mut probed: Vec<_> = probed.collect();
        probed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        starts.extend(probed.into_iter().take(STARTS).map(|(_, _, z)| z));
        starts
    }

    /// Points of the unit cube, spread evenly and the same each time: Roberts' additive recurrence, which in one dimension
    /// steps by the golden ratio (its number is the root of x^(d+1) = x + 1).
    fn probes(&self) -> impl Iterator<Item = Vec<f64>> {
        let d = self.task.moves.len();
        let root = (0..32).fold(2.0_f64, |x, _| (1.0 + x).powf(1.0 / (d as f64 + 1.0)));
        let steps: Vec<f64> = (1..=d).map(|axis| root.powf(-(axis as f64))).collect();
        (0..PROBES_PER_MOVE * d)
            .map(move |point| steps.iter().map(|step| (0.5 + point as f64 * step).fract()).collect())
    }

    fn descend(&self, start: &[f64]) {
        let bounds = vec![(0.0, 1.0); start.len()];
        let scale = self.unmoved.cost.max(1.0);
        let stopped = || self.cancel.load(Ordering::Relaxed);
        let trial = |z: &[f64]| if stopped() { None } else { self.try_values(self.values(z)) };
        let objective = |z: &[f64], _: &mut ()| trial(z).map_or(NOWHERE, |trial| trial.cost / scale);
        let margins: Vec<_> = (0..self.task.keeps.len())
            .map(|keep| {
                let trial = &trial;
                move |z: &[f64], _: &mut ()| trial(z).map_or(-NOWHERE, |trial| trial.margins[keep].clamp(-1e6, 1e6))
            })
            .collect();
        let tolerances = StopTols { xtol_abs: vec![RESOLUTION; start.len()], ..StopTols::default() };
        let trials = TRIALS_PER_MOVE * start.len();
        // However it ends, what it found is in `best`.
        let _ = minimize(objective, start, &bounds, &margins, (), trials, RhoBeg::All(FIRST_STEP), Some(tolerances));
    }

    /// An input whose move gains nothing stays where it is.
    fn settle(&self) {
        for (index, &present) in self.task.present.iter().enumerate() {
            let Some(best) = self.best.borrow().clone() else { return };
            let (low, high) = self.reach[index];
            if best.values[index] == present || !(low..=high).contains(&present) {
                continue;
            }
            let mut values = best.values.clone();
            values[index] = present;
            if let Some(trial) = self.try_values(values)
                && trial.keeps()
                && trial.cost <= best.cost + GAIN * self.unmoved.cost
            {
                *self.best.borrow_mut() = Some(trial);
            }
        }
    }

    fn answer(self) -> SetPoints {
        let (unmoved, has_effect) = (self.unmoved, self.has_effect.into_inner());
        let (broken, trial) = match self.best.into_inner() {
            Some(best) => (Vec::new(), best),
            None => {
                let least_bad = self.least_bad.into_inner().unwrap_or_else(|| unmoved.clone());
                let broken = least_bad.margins.iter().zip(least_bad.extremes).enumerate();
                let broken = broken.filter(|(_, (margin, _))| **margin < 0.0);
                (broken.map(|(keep, (_, value))| Broken { keep, value }).collect(), unmoved.clone())
            }
        };
        let Trial { values, predicted, cost, .. } = trial;
        SetPoints { values, predicted, cost, broken, unmoved: unmoved.predicted, has_effect }
    }
}

impl Task<'_> {
    /// Its index among the outputs and the states behind them.
    fn output_of(&self, kept: Kept) -> usize {
        match kept {
            Kept::Output(output) => output,
            Kept::State(state) => self.model.outputs().len() + state,
        }
    }
}

/// One bound is worth as much as another, whatever its unit.
fn size(keep: &Keep) -> f64 {
    let width = keep.max - keep.min;
    let bound = if keep.max.is_finite() { keep.max.abs() } else { keep.min.abs() };
    let size = if width.is_finite() { width } else { bound };
    if size.is_finite() && size > 0.0 { size } else { 1.0 }
}
