//! Dormand–Prince 5(4) with dense output (Hairer, Nørsett, Wanner, Solving ODEs I, §II.4–6). Integrates one smooth
//! segment at a time: the caller stops it at every knot of the inputs, so no pulse can hide inside a step.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Options, SimulationError};

const C: [f64; 5] = [1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0];
const A2: [f64; 1] = [1.0 / 5.0];
const A3: [f64; 2] = [3.0 / 40.0, 9.0 / 40.0];
const A4: [f64; 3] = [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0];
const A5: [f64; 4] = [19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0];
const A6: [f64; 5] = [9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0];
/// Of stages 1, 3, 4, 5, 6 (stage 2 has no weight).
const B: [f64; 5] = [35.0 / 384.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0];
/// b − b̂ of stages 1, 3, 4, 5, 6, 7.
const E: [f64; 6] = [71.0 / 57600.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0];
/// Fifth coefficient of the continuous extension, of stages 1, 3, 4, 5, 6, 7.
const D: [f64; 6] = [
    -12_715_105_075.0 / 11_282_082_432.0,
    87_487_479_700.0 / 32_700_410_799.0,
    -10_690_763_975.0 / 1_880_347_072.0,
    701_980_252_875.0 / 199_316_789_632.0,
    -1_453_857_185.0 / 822_651_844.0,
    69_997_945.0 / 29_380_423.0,
];
/// Part of a component's largest value so far that its error may be measured against: a zero crossing is no reason
/// for tiny steps.
const PAST_WEIGHT: f64 = 1e-3;
/// Steps between two looks at the cancel flag.
const CANCEL_STEPS: usize = 256;

/// A right-hand side over flat vectors.
pub(super) trait Field {
    /// dy = f(t, y).
    fn rate(&mut self, t: f64, y: &[f64], dy: &mut [f64]);
}

/// The integrator's memory between segments: stages, step size, counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Dopri5 {
    k: [Vec<f64>; 7],
    stage: Vec<f64>,
    next: Vec<f64>,
    work: Vec<f64>,
    /// Largest |y| so far.
    past: Vec<f64>,
    /// Absolute tolerance of each component.
    atol: Vec<f64>,
    /// Components of one state: 1 value, then its sensitivities.
    width: usize,
    step_s: f64,
    /// k[0] holds f(t, y) of where the last step ended.
    rate_known: bool,
    /// Steps tried.
    pub(super) steps: usize,
    /// Steps tried and refused.
    pub(super) rejected: usize,
}

/// One accepted step, for dense output.
pub(super) struct Step<'a> {
    pub(super) t: f64,
    pub(super) h: f64,
    from: &'a [f64],
    to: &'a [f64],
    k: &'a [Vec<f64>; 7],
}

impl Step<'_> {
    /// y at `t`, which lies inside the step.
    pub(super) fn at(&self, t: f64, y: &mut [f64]) {
        let theta = (t - self.t) / self.h;
        if theta <= 0.0 {
            y.copy_from_slice(self.from);
            return;
        }
        let rest = 1.0 - theta;
        let [k1, _, k3, k4, k5, k6, k7] = self.k;
        for i in 0..y.len() {
            let difference = self.to[i] - self.from[i];
            let spline = self.h * k1[i] - difference;
            let third = difference - self.h * k7[i] - spline;
            let fourth =
                self.h * (D[0] * k1[i] + D[1] * k3[i] + D[2] * k4[i] + D[3] * k5[i] + D[4] * k6[i] + D[5] * k7[i]);
            y[i] = self.from[i] + theta * (difference + rest * (spline + theta * (third + rest * fourth)));
        }
    }
}

impl Dopri5 {
    /// Forgets everything but the memory; `atol` is of each component of y.
    pub(super) fn reset(&mut self, width: usize, atol: impl Iterator<Item = f64>, y: &[f64]) {
        for values in self.k.iter_mut().chain([&mut self.stage, &mut self.next]) {
            values.clear();
            values.resize(y.len(), 0.0);
        }
        self.atol.clear();
        self.atol.extend(atol);
        self.past.clear();
        self.past.extend(y.iter().map(|value| value.abs()));
        self.width = width;
        self.step_s = 0.0;
        self.rate_known = false;
        self.steps = 0;
        self.rejected = 0;
    }

    /// The field has changed (an input jumped): its value at the last point is no longer known.
    pub(super) fn field_changed(&mut self) {
        self.rate_known = false;
    }

    /// Integrates y over a segment on which `field` is smooth; `on_step` sees every accepted step.
    pub(super) fn integrate<F: Field>(
        &mut self,
        field: &mut F,
        (start, end): (f64, f64),
        y: &mut [f64],
        run: &Run<'_>,
        mut on_step: impl FnMut(&mut F, &Step<'_>),
    ) -> Result<(), SimulationError> {
        let mut t = start;
        if !self.rate_known {
            field.rate(t, y, &mut self.k[0]);
            self.rate_known = true;
        }
        if let Some(index) = self.k[0].iter().position(|rate| !rate.is_finite()) {
            return Err(SimulationError::NotFinite { time_s: t, state: index / self.width });
        }
        if self.step_s <= 0.0 {
            self.step_s = self.first_step(y, end - start, run.options.rtol);
        }
        while t < end {
            self.check_bounds(t, run)?;
            let rest = end - t;
            // A step that would leave a sliver takes it along.
            let last = self.step_s >= rest * 0.999;
            let h = if last { rest } else { self.step_s };
            self.stages(field, t, h, y);
            self.steps += 1;
            let error = self.error(y, h, run.options.rtol);
            if error <= 1.0 {
                let t_next = if last { end } else { t + h };
                on_step(field, &Step { t, h, from: y, to: &self.next, k: &self.k });
                y.copy_from_slice(&self.next);
                for (past, value) in self.past.iter_mut().zip(y.iter()) {
                    *past = past.max(value.abs());
                }
                self.k.swap(0, 6);
                t = t_next;
                let grown = h * (0.9 * error.powf(-0.2)).clamp(0.2, 5.0);
                // A step cut short by a knot says nothing against the longer one planned.
                self.step_s = if last { self.step_s.max(grown) } else { grown };
            } else {
                self.rejected += 1;
                self.step_s = if error.is_finite() { h * (0.9 * error.powf(-0.2)).clamp(0.1, 0.9) } else { h * 0.1 };
                if self.step_s <= 16.0 * f64::EPSILON * t.abs().max(rest) {
                    let state = self.next.iter().position(|value| !value.is_finite()).map(|index| index / self.width);
                    return Err(match state {
                        Some(state) => SimulationError::NotFinite { time_s: t, state },
                        None => SimulationError::StepTooSmall { time_s: t },
                    });
                }
            }
        }
        Ok(())
    }

    /// As [`Dopri5::integrate`]; after an error y is as it was.
    pub(super) fn integrate_copy<F: Field>(
        &mut self,
        field: &mut F,
        span: (f64, f64),
        y: &mut [f64],
        run: &Run<'_>,
    ) -> Result<(), SimulationError> {
        let mut work = std::mem::take(&mut self.work);
        work.clear();
        work.extend_from_slice(y);
        let done = self.integrate(field, span, &mut work, run, |_, _| {});
        if done.is_ok() {
            y.copy_from_slice(&work);
        }
        self.work = work;
        done
    }

    fn check_bounds(&self, time_s: f64, run: &Run<'_>) -> Result<(), SimulationError> {
        if self.steps >= run.steps_max {
            return Err(SimulationError::TooManySteps { time_s, steps: self.steps });
        }
        if self.steps.is_multiple_of(CANCEL_STEPS) && run.cancel.load(Ordering::Relaxed) {
            return Err(SimulationError::Cancelled);
        }
        Ok(())
    }

    /// A guess from |y| and |f|; the error control corrects it.
    fn first_step(&self, y: &[f64], span: f64, rtol: f64) -> f64 {
        let mut step = span;
        for ((value, rate), atol) in y.iter().zip(&self.k[0]).zip(&self.atol).step_by(self.width) {
            let scale = value.abs() + atol / rtol;
            if *rate != 0.0 && scale > 0.0 {
                step = step.min(0.1 * scale / rate.abs());
            }
        }
        step.max(span * 1e-6)
    }

    fn stages<F: Field>(&mut self, field: &mut F, t: f64, h: f64, y: &[f64]) {
        let Self { k, stage, next, .. } = self;
        let [k1, k2, k3, k4, k5, k6, k7] = k;
        let n = y.len();
        let (k1, y, stage, next) = (&k1[..n], &y[..n], &mut stage[..n], &mut next[..n]);
        for i in 0..n {
            stage[i] = y[i] + h * (A2[0] * k1[i]);
        }
        field.rate(t + C[0] * h, stage, k2);
        let k2 = &k2[..n];
        for i in 0..n {
            stage[i] = y[i] + h * (A3[0] * k1[i] + A3[1] * k2[i]);
        }
        field.rate(t + C[1] * h, stage, k3);
        let k3 = &k3[..n];
        for i in 0..n {
            stage[i] = y[i] + h * (A4[0] * k1[i] + A4[1] * k2[i] + A4[2] * k3[i]);
        }
        field.rate(t + C[2] * h, stage, k4);
        let k4 = &k4[..n];
        for i in 0..n {
            stage[i] = y[i] + h * (A5[0] * k1[i] + A5[1] * k2[i] + A5[2] * k3[i] + A5[3] * k4[i]);
        }
        field.rate(t + C[3] * h, stage, k5);
        let k5 = &k5[..n];
        for i in 0..n {
            let sum = A6[0] * k1[i] + A6[1] * k2[i] + A6[2] * k3[i] + A6[3] * k4[i] + A6[4] * k5[i];
            stage[i] = y[i] + h * sum;
        }
        field.rate(t + C[4] * h, stage, k6);
        let k6 = &k6[..n];
        for i in 0..n {
            next[i] = y[i] + h * (B[0] * k1[i] + B[1] * k3[i] + B[2] * k4[i] + B[3] * k5[i] + B[4] * k6[i]);
        }
        field.rate(t + h, next, k7);
    }

    /// The scaled error of the step: the larger of the values' and the sensitivities' root mean squares. NaN stays NaN.
    fn error(&self, y: &[f64], h: f64, rtol: f64) -> f64 {
        let [k1, _, k3, k4, k5, k6, k7] = &self.k;
        let (mut of_values, mut of_lanes) = (0.0, 0.0);
        for first in (0..y.len()).step_by(self.width) {
            for i in first..first + self.width {
                let sum = E[0] * k1[i] + E[1] * k3[i] + E[2] * k4[i] + E[3] * k5[i] + E[4] * k6[i] + E[5] * k7[i];
                let size = y[i].abs().max(self.next[i].abs()) + PAST_WEIGHT * self.past[i];
                let scaled = h * sum / (self.atol[i] + rtol * size);
                if i == first { of_values += scaled * scaled } else { of_lanes += scaled * scaled }
            }
        }
        let states = (y.len() / self.width) as f64;
        let lanes = states * (self.width - 1).max(1) as f64;
        let (values, lanes) = ((of_values / states).sqrt(), (of_lanes / lanes).sqrt());
        if values.is_nan() || lanes.is_nan() { f64::NAN } else { values.max(lanes) }
    }
}

/// What bounds a run.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) steps_max: usize,
    pub(super) cancel: &'a AtomicBool,
}
