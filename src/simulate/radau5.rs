//! Radau IIA of order 5 (Hairer, Wanner, Solving ODEs II, §IV.8): implicit, for stiff equations. As a method of one step
//! it loses nothing when it begins anew at a knot. The values and their sensitivities are iterated together; both have
//! the same Newton matrix, so that the sensitivities cost right-hand sides and no factors of their own.

use nalgebra::Complex;

use super::SimulationError;
use super::control::{Control, Field, Run, Step};
use super::lu::Factors;

const SQRT_6: f64 = 2.449_489_742_783_178;
const C: [f64; 3] = [(4.0 - SQRT_6) / 10.0, (4.0 + SQRT_6) / 10.0, 1.0];
/// Eigenvalues of A⁻¹: one real, one of a pair.
const REAL: f64 = 3.637_834_252_744_496;
const COMPLEX: Complex<f64> = Complex::new(2.681_082_873_627_752_3, -3.050_430_199_247_410_5);
/// Takes stages to where A⁻¹ is diagonal (in its real form), and back.
const T: [[f64; 3]; 2] = [
    [0.094_438_762_488_975_24, -0.141_255_295_020_954_2, 0.030_029_194_105_147_42],
    [0.250_213_122_965_333_3, 0.204_129_352_293_799_94, -0.382_942_112_757_261_9],
];
const T_INVERSE: [[f64; 3]; 3] = [
    [4.178_718_591_551_904, 0.327_682_820_761_062_37, 0.523_376_445_499_449_5],
    [-4.178_718_591_551_904, -0.327_682_820_761_062_37, 0.476_623_554_500_550_44],
    [0.502_872_634_945_786_8, -2.571_926_949_855_605, 0.596_039_204_828_224_9],
];
/// Of the collocation polynomial: coefficients of θ, θ², θ³ of each stage.
const P: [[f64; 3]; 3] = [
    [(13.0 + 7.0 * SQRT_6) / 3.0, (-23.0 - 22.0 * SQRT_6) / 3.0, (10.0 + 15.0 * SQRT_6) / 3.0],
    [(13.0 - 7.0 * SQRT_6) / 3.0, (-23.0 + 22.0 * SQRT_6) / 3.0, (10.0 - 15.0 * SQRT_6) / 3.0],
    [1.0 / 3.0, -8.0 / 3.0, 10.0 / 3.0],
];
/// Newton iterations of one step.
const ITERATIONS_MAX: usize = 7;
/// A contraction below which the Jacobian serves another step.
const CONTRACTION_GOOD: f64 = 1e-3;
/// The error estimate is of order 3: to keep to rtol it may be 0.1·rtol^(2/3) (as in the authors' program), and here at
/// most this times rtol, since the values inside a step are of order 3, too, with a quarter of its error.
const SLACK_MAX: f64 = 10.0;
/// Where in a step the collocation polynomial may be farthest off, and the weight of its error there: a step whose end
/// may be wrong by slack is wrong by a quarter of that inside.
const WIDEST: f64 = 0.86;
const INSIDE_WEIGHT: f64 = 4.0;
/// Growth of the step that is not worth new factors.
const GROWTH_MIN: f64 = 1.2;

/// The integrator's memory between segments.
#[derive(Clone, Debug, Default)]
pub(super) struct Radau5 {
    /// Y − y of each stage.
    z: [Vec<f64>; 3],
    /// The same where A⁻¹ is diagonal.
    w: [Vec<f64>; 3],
    /// f at each stage.
    k: [Vec<f64>; 3],
    /// f(t, y) of where the last step ended.
    rate: Vec<f64>,
    stage: Vec<f64>,
    next: Vec<f64>,
    error: Vec<f64>,
    pair: Vec<Complex<f64>>,
    jacobian: Vec<f64>,
    real: Factors<f64>,
    complex: Factors<Complex<f64>>,
    /// Step that the factors are of; 0: none.
    factored_s: f64,
    /// Collocation polynomial of this step and of the last one, and the length of that; 0: none.
    coefficients: [Vec<f64>; 3],
    past: [Vec<f64>; 3],
    past_s: f64,
    /// Step and error of the last step (Gustafsson's control); 0: none.
    before: (f64, f64),
    /// θ/(1 − θ) of the last Newton iteration at contraction θ.
    left: f64,
    rate_known: bool,
    /// The step planned is for the field as it is.
    step_known: bool,
    jacobian_known: bool,
    /// The Jacobian is of the point where the next step begins.
    jacobian_here: bool,
}

/// One accepted step.
struct Collocation<'a> {
    t: f64,
    h: f64,
    from: &'a [f64],
    coefficients: &'a [Vec<f64>; 3],
}

impl Step for Collocation<'_> {
    fn span(&self) -> (f64, f64) {
        (self.t, self.t + self.h)
    }

    fn at(&self, t: f64, y: &mut [f64]) {
        let theta = ((t - self.t) / self.h).max(0.0);
        let [first, second, third] = self.coefficients;
        for i in 0..y.len() {
            y[i] = self.from[i] + theta * (first[i] + theta * (second[i] + theta * third[i]));
        }
    }
}

/// What the estimate may be, in units of rtol.
fn slack(rtol: f64) -> f64 {
    (0.1 * rtol.powf(-1.0 / 3.0)).min(SLACK_MAX)
}

/// What Newton's iteration found.
enum Newton {
    /// Stages that solve, after so many iterations at this rate of convergence.
    Solved {
        iterations: usize,
        contraction: f64,
    },
    Failed,
}

impl Radau5 {
    /// Forgets everything but the memory.
    pub(super) fn reset(&mut self, length: usize, width: usize) {
        let flat =
            self.z.iter_mut().chain(&mut self.w).chain(&mut self.k).chain(&mut self.past).chain(&mut self.coefficients);
        for values in flat.chain([&mut self.rate, &mut self.stage, &mut self.next, &mut self.error]) {
            values.clear();
            values.resize(length, 0.0);
        }
        self.pair.clear();
        self.pair.resize(length, Complex::default());
        let n = length / width;
        self.jacobian.clear();
        self.jacobian.resize(n * n, 0.0);
        self.factored_s = 0.0;
        self.left = 1.0;
        self.jacobian_known = false;
        self.field_changed();
    }

    /// The field has changed (an input jumped): nothing of the last step can be carried on.
    pub(super) fn field_changed(&mut self) {
        self.rate_known = false;
        self.step_known = false;
        self.jacobian_here = false;
        self.past_s = 0.0;
        self.before = (0.0, 0.0);
    }

    /// Integrates y over a segment on which `field` is smooth; `on_step` sees every accepted step.
    pub(super) fn integrate<F: Field>(
        &mut self,
        control: &mut Control,
        field: &mut F,
        (start, end): (f64, f64),
        y: &mut [f64],
        run: &Run<'_>,
        on_step: &mut dyn FnMut(&mut F, &dyn Step),
    ) -> Result<(), SimulationError> {
        let (mut t, rtol) = (start, run.options.rtol);
        self.begin(control, field, (start, end), y, rtol)?;
        let mut refused = false;
        while t < end {
            control.check_bounds(t, run)?;
            let rest = end - t;
            let last = control.step_s >= rest * 0.999;
            let h = if last { rest } else { control.step_s };
            control.steps += 1;
            if !self.prepare(field, t, y, h) {
                self.refuse(control, t, rest, h * 0.5)?;
                continue;
            }
            let (iterations, contraction) = match self.newton(control, field, t, y, h, rtol) {
                Newton::Solved { iterations, contraction } => (iterations, contraction),
                Newton::Failed => {
                    self.left = 1.0;
                    // An old Jacobian is the first suspect.
                    let shorter = if self.jacobian_here { h * 0.5 } else { h };
                    self.jacobian_known = self.jacobian_here;
                    self.refuse(control, t, rest, shorter)?;
                    continue;
                }
            };
            let error = self.error(control, field, (t, h), y, (rtol, refused || self.before.0 == 0.0));
            let safety = 0.9 * (2 * ITERATIONS_MAX + 1) as f64 / (2 * ITERATIONS_MAX + iterations) as f64;
            let t_next = if last { end } else { t + h };
            field.rate(t_next, &self.next, &mut self.k[0]);
            if error <= 1.0 && self.k[0].iter().all(|rate| rate.is_finite()) {
                std::mem::swap(&mut self.rate, &mut self.k[0]);
                on_step(field, &Collocation { t, h, from: y, coefficients: &self.coefficients });
                std::mem::swap(&mut self.past, &mut self.coefficients);
                self.past_s = h;
                y.copy_from_slice(&self.next);
                control.reached(y);
                self.plan(control, h, (error, safety), last, contraction);
                (t, refused) = (t_next, false);
            } else {
                refused = true;
                let factor = if error > 1.0 { (safety * error.powf(-0.25)).clamp(0.05, 0.9) } else { 0.1 };
                self.refuse(control, t, rest, h * factor)?;
            }
        }
        Ok(())
    }

    fn begin<F: Field>(
        &mut self,
        control: &mut Control,
        field: &mut F,
        (start, end): (f64, f64),
        y: &[f64],
        rtol: f64,
    ) -> Result<(), SimulationError> {
        if !self.rate_known {
            field.rate(start, y, &mut self.rate);
            self.rate_known = true;
        }
        control.check_rate(start, &self.rate)?;
        if !self.step_known {
            let first = control.first_step(y, &self.rate, end - start, rtol);
            control.step_s = if control.step_s > 0.0 { control.step_s.min(first) } else { first };
            self.step_known = true;
        }
        Ok(())
    }

    /// A new Jacobian and new factors where they are needed; whether the matrices can be factored.
    fn prepare<F: Field>(&mut self, field: &mut F, t: f64, y: &[f64], h: f64) -> bool {
        if !self.jacobian_known {
            field.linearise(t, y, &mut self.jacobian);
            // An infinite slope (√ at 0) is left to the iteration: it needs no exact Jacobian.
            self.jacobian.iter_mut().filter(|entry| !entry.is_finite()).for_each(|entry| *entry = 0.0);
            self.jacobian_known = true;
            self.jacobian_here = true;
            self.factored_s = 0.0;
        }
        if self.factored_s == h {
            return true;
        }
        let n = self.jacobian.len().isqrt();
        let done = self.real.factor(n, REAL / h, &self.jacobian) && self.complex.factor(n, COMPLEX / h, &self.jacobian);
        self.factored_s = if done { h } else { 0.0 };
        done
    }

    fn refuse(&self, control: &mut Control, t: f64, rest: f64, step_s: f64) -> Result<(), SimulationError> {
        control.rejected += 1;
        control.step_s = step_s;
        let numbers = self.k.iter().chain([&self.stage, &self.next]);
        control.check_step(t, rest, numbers.flat_map(|values| values.iter().enumerate()))
    }

    /// Simplified Newton iteration for the stages.
    fn newton<F: Field>(&mut self, control: &Control, field: &mut F, t: f64, y: &[f64], h: f64, rtol: f64) -> Newton {
        self.predict(h);
        // The iteration's error is a small part of the step's.
        let rtol_of_step = rtol * slack(rtol);
        let tolerance = slack(rtol) * (10.0 * f64::EPSILON / rtol_of_step).max(rtol_of_step.sqrt().min(0.03));
        let (mut before, mut contraction) = (0.0, 0.0);
        self.left = self.left.max(f64::EPSILON).powf(0.8);
        for iteration in 1..=ITERATIONS_MAX {
            for ((z, k), c) in self.z.iter().zip(&mut self.k).zip(C) {
                for ((stage, y), z) in self.stage.iter_mut().zip(y).zip(z) {
                    *stage = y + z;
                }
                field.rate(t + c * h, &self.stage, k);
            }
            let change = self.correct(control, y, h, rtol);
            if !change.is_finite() {
                return Newton::Failed;
            }
            if iteration > 1 {
                contraction = change / before;
                self.left = if contraction < 1.0 { contraction / (1.0 - contraction) } else { f64::INFINITY };
                let at_best = contraction.min(1.0).powi((ITERATIONS_MAX - iteration) as i32) * self.left * change;
                // The first correction of the values is news to their sensitivities.
                let is_fair = iteration > 2 || control.width == 1;
                if change > 0.0 && is_fair && at_best > tolerance {
                    return Newton::Failed;
                }
            }
            if change == 0.0 || self.left * change < tolerance {
                for ((next, y), z) in self.next.iter_mut().zip(y).zip(&self.z[2]) {
                    *next = y + z;
                }
                return Newton::Solved { iterations: iteration, contraction };
            }
            before = change;
        }
        Newton::Failed
    }

    /// Where the last step's polynomial leads.
    fn predict(&mut self, h: f64) {
        if self.past_s == 0.0 {
            self.z.iter_mut().chain(&mut self.w).for_each(|stage| stage.fill(0.0));
            return;
        }
        let ratio = h / self.past_s;
        for i in 0..self.next.len() {
            let [first, second, third] = [0, 1, 2].map(|power| self.past[power][i]);
            let end = first + second + third;
            let z = C.map(|c| {
                let theta = 1.0 + c * ratio;
                theta * (first + theta * (second + theta * third)) - end
            });
            for (stage, z) in self.z.iter_mut().zip(z) {
                stage[i] = z;
            }
            for (w, row) in self.w.iter_mut().zip(T_INVERSE) {
                w[i] = row[0] * z[0] + row[1] * z[1] + row[2] * z[2];
            }
        }
    }

    /// One correction of z and w; its size in units of the tolerance.
    fn correct(&mut self, control: &Control, y: &[f64], h: f64, rtol: f64) -> f64 {
        let Self { z, w, k, error: single, pair, real, complex, .. } = self;
        let (real_shift, complex_shift) = (REAL / h, COMPLEX / h);
        for i in 0..y.len() {
            let sum = |row: [f64; 3]| row[0] * k[0][i] + row[1] * k[1][i] + row[2] * k[2][i];
            single[i] = sum(T_INVERSE[0]) - real_shift * w[0][i];
            pair[i] =
                Complex::new(sum(T_INVERSE[1]), sum(T_INVERSE[2])) - complex_shift * Complex::new(w[1][i], w[2][i]);
        }
        real.solve(single, control.width);
        complex.solve(pair, control.width);
        for i in 0..y.len() {
            w[0][i] += single[i];
            w[1][i] += pair[i].re;
            w[2][i] += pair[i].im;
            for (z, row) in z.iter_mut().zip(T) {
                z[i] = row[0] * w[0][i] + row[1] * w[1][i] + row[2] * w[2][i];
            }
            z[2][i] = w[0][i] + w[1][i];
        }
        control.norm(y.len(), |i| {
            let scale = control.scale(i, y[i].abs(), rtol);
            // Scaled first: the square of a large number is none.
            ((single[i] / scale).powi(2) + (pair[i] / scale).norm_sqr()).sqrt() / 3_f64.sqrt()
        })
    }

    /// The scaled error of the step: of its end, and of the values inside it.
    fn error<F: Field>(
        &mut self,
        control: &Control,
        field: &mut F,
        (t, h): (f64, f64),
        y: &[f64],
        (rtol, twice): (f64, bool),
    ) -> f64 {
        self.polynomial();
        let mut at_end = self.defect(control, h, y, rtol, 0.0);
        if at_end > 1.0 && twice {
            // Where the stiff part has not decayed at the start, the first estimate is far too large.
            for ((stage, y), error) in self.stage.iter_mut().zip(y).zip(&self.error) {
                *stage = y + error;
            }
            field.rate(t, &self.stage, &mut self.k[0]);
            self.k[0].swap_with_slice(&mut self.rate);
            at_end = self.defect(control, h, y, rtol, 0.0);
            self.k[0].swap_with_slice(&mut self.rate);
        }
        if at_end > 1.0 {
            return at_end;
        }
        // A stiff state that follows the time is right at the end of the longest step, but not inside it.
        let at = Collocation { t, h, from: y, coefficients: &self.coefficients };
        at.at(t + WIDEST * h, &mut self.stage);
        field.rate(t + WIDEST * h, &self.stage, &mut self.k[0]);
        self.k[0].swap_with_slice(&mut self.rate);
        let inside = self.defect(control, h, y, rtol, WIDEST);
        self.k[0].swap_with_slice(&mut self.rate);
        if inside.is_nan() { inside } else { at_end.max(INSIDE_WEIGHT * inside) }
    }

    /// The difference at θ between `rate` and the slope of the collocation polynomial, filtered by the Newton matrix (what
    /// is stiff has decayed and counts for little) and scaled.
    fn defect(&mut self, control: &Control, h: f64, y: &[f64], rtol: f64, theta: f64) -> f64 {
        let Self { rate, next, error, real, coefficients: [first, second, third], .. } = self;
        for i in 0..y.len() {
            error[i] = rate[i] - (first[i] + theta * (2.0 * second[i] + theta * 3.0 * third[i])) / h;
        }
        real.solve(error, control.width);
        let scaled = |i: usize| error[i] / control.scale(i, y[i].abs().max(next[i].abs()), rtol);
        control.norm(y.len(), scaled) / slack(rtol)
    }

    /// The collocation polynomial of the step just made.
    fn polynomial(&mut self) {
        for i in 0..self.next.len() {
            let z = [0, 1, 2].map(|stage| self.z[stage][i]);
            for (power, coefficients) in self.coefficients.iter_mut().enumerate() {
                coefficients[i] = P[0][power] * z[0] + P[1][power] * z[1] + P[2][power] * z[2];
            }
        }
    }

    /// The next step (Gustafsson's predictive control), and whether it needs a new Jacobian.
    fn plan(&mut self, control: &mut Control, h: f64, (error, safety): (f64, f64), last: bool, contraction: f64) {
        let error = error.max(1e-10);
        let mut factor = error.powf(-0.25);
        let (h_before, error_before) = self.before;
        if h_before > 0.0 {
            factor *= (h / h_before * (error_before / error).powf(0.25)).min(1.0);
        }
        self.before = (h, error);
        let factor = (safety * factor).clamp(0.2, 10.0);
        self.jacobian_here = false;
        self.jacobian_known = contraction <= CONTRACTION_GOOD;
        let grown = if self.jacobian_known && (1.0..GROWTH_MIN).contains(&factor) { h } else { h * factor };
        // A step cut short by a knot says nothing against the longer one planned.
        control.step_s = if last { control.step_s.max(grown) } else { grown };
    }
}
