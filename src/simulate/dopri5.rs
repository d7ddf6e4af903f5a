//! Dormand–Prince 5(4) with dense output (Hairer, Nørsett, Wanner, Solving ODEs I, §II.4–6). Integrates one smooth
//! segment at a time: the caller stops it at every knot of the inputs, so no pulse can hide inside a step.

use super::SimulationError;
use super::control::{Control, Field, Run, Step};

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
/// h·|λ| above which a step is at the edge of the method's stability (Hairer, Wanner, Solving ODEs II, §IV.2).
const STIFF_EDGE: f64 = 3.25;

/// Most by which a step grows.
const GROWTH_MAX: f64 = 5.0;

/// By how much a step may grow that had this scaled error.
fn growth(error: f64) -> f64 {
    (0.9 * error.powf(-0.2)).clamp(0.2, GROWTH_MAX)
}

/// The integrator's memory between segments.
#[derive(Clone, Debug, Default)]
pub(super) struct Dopri5 {
    k: [Vec<f64>; 7],
    stage: Vec<f64>,
    next: Vec<f64>,
    scaled: Vec<f64>,
    /// k[0] holds f(t, y) of where the last step ended.
    rate_known: bool,
}

/// Where an integration ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// At the end of the segment.
    Reached,
    /// Before it, at this time: another method should go on.
    Stiff(f64),
}

/// One accepted step.
struct Spline<'a> {
    t: f64,
    h: f64,
    from: &'a [f64],
    to: &'a [f64],
    k: &'a [Vec<f64>; 7],
}

impl Step for Spline<'_> {
    fn span(&self) -> (f64, f64) {
        (self.t, self.t + self.h)
    }

    fn at(&self, t: f64, y: &mut [f64]) {
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
    /// Forgets everything but the memory.
    pub(super) fn reset(&mut self, length: usize) {
        for values in self.k.iter_mut().chain([&mut self.stage, &mut self.next, &mut self.scaled]) {
            values.clear();
            values.resize(length, 0.0);
        }
        self.rate_known = false;
    }

    /// The field has changed (an input jumped): its value at the last point is no longer known.
    pub(super) fn field_changed(&mut self) {
        self.rate_known = false;
    }

    /// Integrates y over a segment on which `field` is smooth; `on_step` sees every accepted step. With `watch` it ends
    /// early where the equations turn out to be stiff.
    pub(super) fn integrate<F: Field>(
        &mut self,
        control: &mut Control,
        field: &mut F,
        (start, end): (f64, f64),
        y: &mut [f64],
        (run, mut watch): (&Run<'_>, Option<Watch>),
        on_step: &mut dyn FnMut(&mut F, &dyn Step),
    ) -> Result<End, SimulationError> {
        let (mut t, rtol) = (start, run.options.rtol);
        if !self.rate_known {
            field.rate(t, y, &mut self.k[0]);
            self.rate_known = true;
        }
        control.check_rate(t, &self.k[0])?;
        if control.step_s <= 0.0 {
            control.step_s = control.first_step(y, &self.k[0], end - start, rtol);
        }
        while t < end {
            control.check_bounds(t, run)?;
            let rest = end - t;
            // A step that would leave a sliver takes it along.
            let last = control.step_s >= rest * 0.999;
            let h = if last { rest } else { control.step_s };
            self.stages(field, t, h, y);
            control.steps += 1;
            let error = self.error(control, y, h, rtol);
            if error <= 1.0 {
                let t_next = if last { end } else { t + h };
                on_step(field, &Spline { t, h, from: y, to: &self.next, k: &self.k });
                let stiff = watch.as_mut().is_some_and(|watch| watch.sees(|| self.edge(control, h, rtol)));
                y.copy_from_slice(&self.next);
                control.reached(y);
                self.k.swap(0, 6);
                t = t_next;
                // A step cut short by a knot says nothing against the longer one planned; and where that is longer than any
                // growth, the power is not worth its time.
                if !last {
                    control.step_s = h * growth(error);
                } else if control.step_s < GROWTH_MAX * h {
                    control.step_s = control.step_s.max(h * growth(error));
                }
                if stiff && t < end {
                    return Ok(End::Stiff(t));
                }
            } else {
                control.rejected += 1;
                control.step_s = if error.is_finite() { h * (0.9 * error.powf(-0.2)).clamp(0.1, 0.9) } else { h * 0.1 };
                control.check_step(t, rest, self.next.iter().enumerate())?;
            }
        }
        Ok(End::Reached)
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

    /// The scaled error of the step.
    fn error(&mut self, control: &Control, y: &[f64], h: f64, rtol: f64) -> f64 {
        let [k1, _, k3, k4, k5, k6, k7] = &self.k;
        let n = y.len();
        let (k1, k3, k4, k5, k6, k7) = (&k1[..n], &k3[..n], &k4[..n], &k5[..n], &k6[..n], &k7[..n]);
        let (scaled, next) = (&mut self.scaled[..n], &self.next[..n]);
        for i in 0..n {
            let sum = E[0] * k1[i] + E[1] * k3[i] + E[2] * k4[i] + E[3] * k5[i] + E[4] * k6[i] + E[5] * k7[i];
            scaled[i] = h * sum / control.scale(i, y[i].abs().max(next[i].abs()), rtol);
        }
        control.norm(n, |i| scaled[i])
    }

    /// h·|λ| of the fastest component, from the two evaluations at the step's end. In units of the tolerances, as the
    /// component that limits the step may be a small one.
    fn edge(&self, control: &Control, h: f64, rtol: f64) -> f64 {
        let (mut of_rates, mut of_values) = (0.0, 0.0);
        for i in (0..self.next.len()).step_by(control.width) {
            let scale = control.scale(i, self.next[i].abs(), rtol);
            let (rate, value) = (self.k[6][i] - self.k[5][i], self.next[i] - self.stage[i]);
            of_rates += (rate / scale).powi(2);
            of_values += (value / scale).powi(2);
        }
        if of_values > 0.0 { h * (of_rates / of_values).sqrt() } else { 0.0 }
    }
}

/// Counts the steps of one segment that stability and not accuracy limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    steps: usize,
    at_edge: usize,
    inside: usize,
}

impl Watch {
    /// The authors look for 15 steps at the edge after every 1,000. Here a segment is stiff with 75 after the first 50,
    /// which cost nothing: where inputs jump often, an implicit method pays from some 150 steps between two knots on.
    const UNSEEN: usize = 50;
    const AT_EDGE: usize = 75;
    /// As many others in a row begin the count anew.
    const INSIDE: usize = 6;

    fn sees(&mut self, edge: impl FnOnce() -> f64) -> bool {
        self.steps += 1;
        if self.steps <= Self::UNSEEN {
            return false;
        }
        if edge() > STIFF_EDGE {
            self.at_edge += 1;
            self.inside = 0;
        } else {
            self.inside += 1;
            if self.inside == Self::INSIDE {
                self.at_edge = 0;
            }
        }
        self.at_edge >= Self::AT_EDGE
    }
}
