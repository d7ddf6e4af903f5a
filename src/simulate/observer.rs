//! The continuous-discrete extended Kalman filter (Jazwinski, Stochastic Processes and Filtering Theory, §8.3): between
//! measurements the mean x and its covariance P follow dx/dt = f, dP/dt = FP + PFᵀ + Q, integrated together with exact
//! Jacobians; at a measurement both are corrected, P in Joseph's form, which keeps it positive. Q is diagonal: the
//! process noise that the model declares for each state.

use std::sync::atomic::AtomicBool;

use super::control::{Field, Run};
use super::solver::Solver;
use super::{Options, SimulationError};
use crate::model::{Hold, Jacobian, Model};

/// What is believed of a model's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Belief {
    /// Mean.
    pub x: Vec<f64>,
    /// Covariance, row-major n·n, symmetric.
    pub p: Vec<f64>,
}

impl Belief {
    /// x, as uncertain as `seconds` of process noise make it.
    #[must_use]
    pub fn after(model: &Model, x: Vec<f64>, seconds: f64) -> Self {
        let n = x.len();
        let mut p = vec![0.0; n * n];
        for (i, state) in model.states().iter().enumerate().take(n) {
            p[i * n + i] = state.noise * seconds;
        }
        Self { x, p }
    }

    /// Whether every number is one.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.x.iter().chain(&self.p).all(|x| x.is_finite())
    }
}

/// Working memory: one for each model on a thread.
#[derive(Clone, Debug)]
pub struct Observer {
    jacobian: Jacobian,
    solver: Solver,
    /// x, then the lower triangle of P.
    flat: Vec<f64>,
    u: Vec<f64>,
    /// K.
    gain: Vec<f64>,
    never: std::sync::Arc<AtomicBool>,
}

/// An output as it is expected before it is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// ŷ.
    pub value: f64,
    /// HPHᵀ: what not knowing x better contributes to its variance.
    pub variance: f64,
}

/// Inputs over a segment: each goes straight from its first to its second value.
struct Moments<'a> {
    model: &'a Model,
    theta: &'a [f64],
    jacobian: &'a mut Jacobian,
    u: &'a mut [f64],
    span: (f64, f64),
    ends: (&'a [f64], &'a [f64]),
}

impl Moments<'_> {
    fn set_inputs(&mut self, t: f64) {
        let part = (t - self.span.0) / (self.span.1 - self.span.0);
        for (i, input) in self.model.inputs().iter().enumerate() {
            let (start, end) = (self.ends.0[i], self.ends.1[i]);
            self.u[i] = if input.hold == Hold::Linear { start + part * (end - start) } else { start };
        }
    }
}

/// Where Pᵢⱼ stands behind x: P is symmetric, and its lower triangle is integrated.
fn place(n: usize, i: usize, j: usize) -> usize {
    let (row, column) = if i < j { (j, i) } else { (i, j) };
    n + row * (row + 1) / 2 + column
}

impl Field for Moments<'_> {
    fn rate(&mut self, t: f64, flat: &[f64], rate: &mut [f64]) {
        let n = self.model.states().len();
        self.set_inputs(t);
        self.jacobian.evaluate_rate(self.model, self.theta, &flat[..n], self.u, t);
        rate[..n].copy_from_slice(&self.jacobian.rate);
        let f = &self.jacobian.rate_by_state;
        for i in 0..n {
            for j in 0..=i {
                let mut sum = if i == j { self.model.states()[i].noise } else { 0.0 };
                for k in 0..n {
                    sum += f[i * n + k] * flat[place(n, k, j)] + flat[place(n, i, k)] * f[j * n + k];
                }
                rate[place(n, i, j)] = sum;
            }
        }
    }

    /// Without what dP/dt owes to x: an implicit method iterates, and x does not depend on P.
    fn linearise(&mut self, t: f64, flat: &[f64], jacobian: &mut [f64]) {
        let n = self.model.states().len();
        self.set_inputs(t);
        self.jacobian.evaluate_rate(self.model, self.theta, &flat[..n], self.u, t);
        let f = &self.jacobian.rate_by_state;
        jacobian.fill(0.0);
        for i in 0..n {
            jacobian[i * flat.len()..][..n].copy_from_slice(&f[i * n..(i + 1) * n]);
            for j in 0..=i {
                let row = &mut jacobian[place(n, i, j) * flat.len()..][..flat.len()];
                for k in 0..n {
                    row[place(n, k, j)] += f[i * n + k];
                    row[place(n, i, k)] += f[j * n + k];
                }
            }
        }
    }
}

impl Observer {
    /// Working memory for `model`, and only for that.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let n = model.states().len();
        Self {
            jacobian: Jacobian::new(model),
            solver: Solver::default(),
            flat: Vec::with_capacity(n + n * (n + 1) / 2),
            u: vec![0.0; model.inputs().len()],
            gain: vec![0.0; n],
            never: std::sync::Arc::default(),
        }
    }

    /// Takes the belief from `span.0` to `span.1` (seconds), inputs as in [`advance`](super::advance).
    ///
    /// # Errors
    /// The belief is then as it was.
    pub fn predict(
        &mut self,
        model: &Model,
        theta: &[f64],
        belief: &mut Belief,
        span: (f64, f64),
        ends: (&[f64], &[f64]),
        options: &Options,
    ) -> Result<(), SimulationError> {
        if span.1 <= span.0 || belief.x.is_empty() {
            return Ok(());
        }
        let n = belief.x.len();
        self.flat.clear();
        self.flat.extend_from_slice(&belief.x);
        for i in 0..n {
            self.flat.extend_from_slice(&belief.p[i * n..=i * n + i]);
        }
        self.solver.reset(1, std::iter::repeat_n(options.atol, self.flat.len()), &self.flat);
        let run = Run { options, steps_max: options.steps_max, cancel: &self.never };
        let mut moments = Moments { model, theta, jacobian: &mut self.jacobian, u: &mut self.u, span, ends };
        self.solver.integrate(&mut moments, span, &mut self.flat, &run, &mut |_, _| {})?;
        belief.x.copy_from_slice(&self.flat[..n]);
        for (index, p) in belief.p.iter_mut().enumerate() {
            *p = self.flat[place(n, index / n, index % n)];
        }
        Ok(())
    }

    /// What each output should read now.
    pub fn expect(
        &mut self,
        model: &Model,
        theta: &[f64],
        belief: &Belief,
        (u, time_s): (&[f64], f64),
        expected: &mut [Expected],
    ) {
        let n = belief.x.len();
        self.jacobian.evaluate(model, theta, &belief.x, u, time_s);
        for (output, expected) in expected.iter_mut().enumerate() {
            let h = &self.jacobian.output_by_state[output * n..(output + 1) * n];
            let row = |i: usize| (0..n).map(|j| belief.p[i * n + j] * h[j]).sum::<f64>();
            let variance = (0..n).map(|i| h[i] * row(i)).sum::<f64>();
            *expected = Expected { value: self.jacobian.output[output], variance };
        }
    }

    /// Corrects the belief by what `output` reads now, whose standard deviation is the model's σ. Whether it did: a
    /// measurement that cannot be compared changes nothing.
    pub fn correct(
        &mut self,
        model: &Model,
        theta: &[f64],
        belief: &mut Belief,
        (u, time_s): (&[f64], f64),
        (output, measured): (usize, f64),
    ) -> bool {
        let n = belief.x.len();
        self.jacobian.evaluate(model, theta, &belief.x, u, time_s);
        let h = &self.jacobian.output_by_state[output * n..(output + 1) * n];
        let noise = model.outputs()[output].sigma.powi(2);
        for i in 0..n {
            self.gain[i] = (0..n).map(|j| belief.p[i * n + j] * h[j]).sum();
        }
        let variance = noise + h.iter().zip(&self.gain).map(|(h, ph)| h * ph).sum::<f64>();
        let innovation = measured - self.jacobian.output[output];
        if !(innovation.is_finite() && variance.is_finite() && variance > 0.0) {
            return false;
        }
        self.gain.iter_mut().for_each(|gain| *gain /= variance);
        for (x, gain) in belief.x.iter_mut().zip(&self.gain) {
            *x += gain * innovation;
        }
        self.flat.clear();
        self.flat.extend_from_slice(h);
        joseph(&mut belief.p, &self.gain, &self.flat, noise);
        true
    }
}

/// P ← (I − KH)P(I − KH)ᵀ + KRKᵀ of one scalar measurement.
fn joseph(p: &mut [f64], gain: &[f64], h: &[f64], noise: f64) {
    let n = gain.len();
    // (I − KH)P: each column loses K times what H sees of it.
    for j in 0..n {
        let seen: f64 = (0..n).map(|k| h[k] * p[k * n + j]).sum();
        (0..n).for_each(|i| p[i * n + j] -= gain[i] * seen);
    }
    for i in 0..n {
        let seen: f64 = (0..n).map(|k| h[k] * p[i * n + k]).sum();
        (0..n).for_each(|j| p[i * n + j] += gain[j] * (noise * gain[i] - seen));
    }
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (p[i * n + j] + p[j * n + i]);
            (p[i * n + j], p[j * n + i]) = (mean, mean);
        }
    }
}
