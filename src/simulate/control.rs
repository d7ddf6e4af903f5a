//! What the integrators share: tolerances, the measure of an error, the planned step, and what bounds a run.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Options, SimulationError};

/// Part of a component's largest value so far that its error may be measured against: a zero crossing is no reason
/// for tiny steps.
const PAST_WEIGHT: f64 = 1e-3;
/// The same of stiff equations, in which what decays over many decades is no zero crossing.
pub(super) const PAST_WEIGHT_STIFF: f64 = 1e-6;
/// Part of what is left of a segment that may be small against a step at the time 0.
const REST_WEIGHT: f64 = 1e-10;
/// Steps between two looks at the cancel flag.
const CANCEL_STEPS: usize = 64;

/// A right-hand side over flat vectors: `width` numbers for each component, its value and then its sensitivities.
pub(super) trait Field {
    /// dy = f(t, y).
    fn rate(&mut self, t: f64, y: &[f64], dy: &mut [f64]);

    /// ∂f/∂y of the components' values, row-major n·n.
    fn linearise(&mut self, t: f64, y: &[f64], jacobian: &mut [f64]);
}

/// An accepted step, for dense output.
pub(super) trait Step {
    /// First and last time.
    fn span(&self) -> (f64, f64);

    /// y at `t`, which lies inside the step.
    fn at(&self, t: f64, y: &mut [f64]);
}

/// What bounds a run.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) steps_max: usize,
    pub(super) cancel: &'a AtomicBool,
}

/// Step size, tolerances and counts of one simulation, whichever method integrates.
#[derive(Clone, Debug, Default)]
pub(super) struct Control {
    /// Largest |y| so far.
    past: Vec<f64>,
    pub(super) past_weight: f64,
    /// Absolute tolerance of each number of y.
    atol: Vec<f64>,
    /// Numbers of one component: 1 value, then its sensitivities.
    pub(super) width: usize,
    /// The step that is planned; 0: none yet.
    pub(super) step_s: f64,
    /// Steps tried.
    pub(super) steps: usize,
    /// Steps tried and refused.
    pub(super) rejected: usize,
}

impl Control {
    /// Forgets everything but the memory; `atol` is of each number of y.
    pub(super) fn reset(&mut self, width: usize, atol: impl Iterator<Item = f64>, y: &[f64]) {
        self.atol.clear();
        self.atol.extend(atol);
        self.past.clear();
        self.past.extend(y.iter().map(|value| value.abs()));
        self.width = width;
        self.past_weight = PAST_WEIGHT;
        self.step_s = 0.0;
        self.steps = 0;
        self.rejected = 0;
    }

    /// Remembers where a step led.
    #[inline]
    pub(super) fn reached(&mut self, y: &[f64]) {
        for (past, value) in self.past.iter_mut().zip(y) {
            *past = past.max(value.abs());
        }
    }

    /// The error that a number of size `size` may have.
    #[inline]
    pub(super) fn scale(&self, index: usize, size: f64, rtol: f64) -> f64 {
        self.atol[index] + rtol * (size + self.past_weight * self.past[index])
    }

    /// Of `scaled` errors the larger of the values' and the sensitivities' root mean squares. NaN stays NaN.
    #[inline]
    pub(super) fn norm(&self, length: usize, mut scaled: impl FnMut(usize) -> f64) -> f64 {
        let (mut of_values, mut of_lanes) = (0.0, 0.0);
        let mut first = 0;
        while first < length {
            let value = scaled(first);
            of_values += value * value;
            for i in first + 1..first + self.width {
                let lane = scaled(i);
                of_lanes += lane * lane;
            }
            first += self.width;
        }
        let states = (length / self.width) as f64;
        let lanes = states * (self.width - 1).max(1) as f64;
        let (values, lanes) = ((of_values / states).sqrt(), (of_lanes / lanes).sqrt());
        if values.is_nan() || lanes.is_nan() { f64::NAN } else { values.max(lanes) }
    }

    /// A guess from |y| and |f|; the error control corrects it.
    pub(super) fn first_step(&self, y: &[f64], rate: &[f64], span: f64, rtol: f64) -> f64 {
        let mut step = span;
        for ((value, rate), atol) in y.iter().zip(rate).zip(&self.atol).step_by(self.width) {
            let scale = value.abs() + atol / rtol;
            if *rate != 0.0 && scale > 0.0 {
                step = step.min(0.1 * scale / rate.abs());
            }
        }
        step.max(span * 1e-6)
    }

    /// Before each step.
    pub(super) fn check_bounds(&self, time_s: f64, run: &Run<'_>) -> Result<(), SimulationError> {
        if self.steps >= run.steps_max {
            return Err(SimulationError::TooManySteps { time_s, steps: self.steps });
        }
        if self.steps.is_multiple_of(CANCEL_STEPS) && run.cancel.load(Ordering::Relaxed) {
            return Err(SimulationError::Cancelled);
        }
        Ok(())
    }

    /// After a refused step at `t` that computed `numbers`: an error if the next one would be lost in the rounding of t.
    pub(super) fn check_step<'n>(
        &self,
        time_s: f64,
        rest: f64,
        mut numbers: impl Iterator<Item = (usize, &'n f64)>,
    ) -> Result<(), SimulationError> {
        if self.step_s > 16.0 * f64::EPSILON * time_s.abs().max(REST_WEIGHT * rest) {
            return Ok(());
        }
        Err(match numbers.find(|(_, number)| !number.is_finite()) {
            Some((index, _)) => SimulationError::NotFinite { time_s, state: index / self.width },
            None => SimulationError::StepTooSmall { time_s },
        })
    }

    /// The field must be finite where a segment begins.
    pub(super) fn check_rate(&self, time_s: f64, rate: &[f64]) -> Result<(), SimulationError> {
        match rate.iter().position(|rate| !rate.is_finite()) {
            Some(index) => Err(SimulationError::NotFinite { time_s, state: index / self.width }),
            None => Ok(()),
        }
    }
}
