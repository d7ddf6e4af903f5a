//! Bounded trust-region Levenberg–Marquardt on QR and SVD, never on normal equations: JᵀJ has the square of J's
//! condition number and loses NIST's Bennett5 and MGH10. Columns are scaled by the largest norm seen (Moré 1978).

use nalgebra::{DMatrix, DVector};

use super::residual::{Evaluation, Problem};
use crate::simulate::SimulationError;

/// First radius in units of the scaled start. Of 0.1, 0.3, 1, 10 and 100 this one solves most of NIST's problems from
/// their far starts, in the fewest iterations: 100 throws BoxBOD onto a flat, 0.1 doesn't get MGH10 away.
const RADIUS_FACTOR: f64 = 1.0;
/// Relative differences of the cost below this are rounding.
const ROUNDING: f64 = 1e-14;
/// Part of the predicted reduction that a step must achieve to be taken.
const RATIO_MIN: f64 = 1e-4;
/// A cosine between the residuals and a column below this is rounding.
const GRADIENT_MIN: f64 = 1e-15;
/// Shrinks of one region, each to a half or less: more than this many are below any tolerance, or no numbers any more.
const SHRINKS_MAX: usize = 200;
/// Singular values below this part of the largest give no step.
const STEP_RANK_TOLERANCE: f64 = 1e-14;

/// Why a start ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Stop {
    /// No step promises a reduction of the cost that counts.
    Cost,
    /// The steps have become too small to count.
    Step,
    /// The gradient vanishes inside the bounds.
    Gradient,
    /// Every parameter sits at a bound.
    Bounds,
    /// The bound on iterations was reached: not converged.
    Iterations,
    /// The model could not be simulated around the point reached: not converged.
    Simulation,
}

impl Stop {
    /// Whether the parameters are those of a minimum.
    #[must_use]
    pub fn converged(self) -> bool {
        !matches!(self, Self::Iterations | Self::Simulation)
    }

    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Cost => "converged: the cost can't be reduced further",
            Self::Step => "converged: the steps have become too small to count",
            Self::Gradient => "converged: the gradient vanishes",
            Self::Bounds => "converged: every parameter is at a bound",
            Self::Iterations => "not converged: the largest number of iterations was reached",
            Self::Simulation => "not converged: the model can't be simulated near the point reached",
        }
    }
}

/// Where a start ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) q: Vec<f64>,
    pub(super) evaluation: Evaluation,
    pub(super) iterations: usize,
    pub(super) evaluations: usize,
    pub(super) stop: Stop,
    pub(super) cost_at_start: f64,
    /// Standard deviation of each simulated output at the start, over all its samples.
    pub(super) spread_at_start: Vec<f64>,
}

/// When to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerances {
    pub(super) cost: f64,
    pub(super) step: f64,
    pub(super) iterations_max: usize,
}

/// Minimises from `start`. An error is that of the start itself, or a cancellation.
pub(super) fn minimise(
    problem: &Problem<'_>,
    start: Vec<f64>,
    tolerances: &Tolerances,
    progress: &dyn Fn(f64),
) -> Result<Outcome, SimulationError> {
    let (lower, upper) = problem.columns.bounds();
    let evaluation = problem.evaluate(&start)?;
    let mut at = Outcome {
        q: start,
        cost_at_start: evaluation.cost,
        spread_at_start: spreads(&evaluation),
        evaluation,
        iterations: 0,
        evaluations: 1,
        stop: Stop::Iterations,
    };
    if at.q.is_empty() {
        at.stop = Stop::Bounds;
        return Ok(at);
    }
    let mut scale = vec![0.0_f64; at.q.len()];
    let mut radius = f64::NAN;
    while at.iterations < tolerances.iterations_max {
        // Most starts are done after some ten iterations; nobody knows beforehand.
        progress(at.iterations as f64 / (at.iterations as f64 + 5.0));
        let local = Local::new(&at.evaluation, &mut scale);
        if radius.is_nan() {
            let size = norm_scaled(&at.q, &scale);
            radius = if size > 0.0 { RADIUS_FACTOR * size } else { RADIUS_FACTOR };
        }
        let free = local.free(&at.q, &lower, &upper);
        if !free.contains(&true) {
            at.stop = Stop::Bounds;
            return Ok(at);
        }
        if local.gradient(&free) <= GRADIENT_MIN {
            at.stop = Stop::Gradient;
            return Ok(at);
        }
        at.iterations += 1;
        // Shrinks the region until a step is worth taking.
        let mut shrinks = 0;
        loop {
            let (step, is_bent) = local.step(&at.q, &lower, &upper, &free, &scale, radius);
            let length = norm_scaled(&step, &scale);
            let predicted = local.reduction(&step);
            let promises = predicted > tolerances.cost * at.evaluation.cost;
            // Numbers too small for their squares give no step: NaN ends it as well.
            if predicted.is_nan() || (!promises && !is_bent) {
                at.stop = Stop::Cost;
                return Ok(at);
            }
            let size = norm_scaled(&at.q, &scale);
            shrinks += 1;
            if length.is_nan() || length <= tolerances.step * size || shrinks > SHRINKS_MAX {
                at.stop = Stop::Step;
                return Ok(at);
            }
            if !promises {
                // Bent at the bounds a step need not lead down, however far from a minimum; one that stays inside them does.
                radius = 0.1 * length.min(radius);
                continue;
            }
            let q = moved(&at.q, &step, &lower, &upper);
            at.evaluations += 1;
            let evaluation = match problem.evaluate(&q) {
                Ok(evaluation) if evaluation.cost.is_finite() => evaluation,
                Err(SimulationError::Cancelled) => return Err(SimulationError::Cancelled),
                _ => {
                    radius = 0.1 * length;
                    if radius <= 1e-10 * size {
                        at.stop = Stop::Simulation;
                        return Ok(at);
                    }
                    continue;
                }
            };
            let actual = at.evaluation.cost - evaluation.cost;
            let ratio = actual / predicted;
            if ratio < 0.25 {
                radius = shrunk(actual, predicted, at.evaluation.cost, evaluation.cost) * length.min(radius);
            } else if ratio > 0.75 || length < 0.9 * radius {
                radius = radius.max(2.0 * length);
            }
            if ratio > RATIO_MIN {
                at.q = q;
                at.evaluation = evaluation;
                break;
            }
            // Where rounding decides, neither a better point nor a smaller region can be told.
            let rounding = tolerances.cost.max(ROUNDING) * at.evaluation.cost;
            if actual.abs() <= rounding && predicted <= rounding {
                at.stop = Stop::Cost;
                return Ok(at);
            }
        }
    }
    Ok(at)
}

/// How steep the cost still is at an end: the largest cosine between the residuals and the columns that may move, 0 at
/// a minimum and at most 1, whatever the units (MINPACK's gtol).
pub(super) fn gradient_norm(problem: &Problem<'_>, outcome: &Outcome) -> f64 {
    if outcome.q.is_empty() {
        return 0.0;
    }
    let (lower, upper) = problem.columns.bounds();
    let local = Local::new(&outcome.evaluation, &mut vec![0.0; outcome.q.len()]);
    local.gradient(&local.free(&outcome.q, &lower, &upper))
}

/// Standard deviation of each simulated output.
fn spreads(evaluation: &Evaluation) -> Vec<f64> {
    let outputs = evaluation.trajectories.first().map_or(0, |trajectory| trajectory.outputs.len());
    let spread = |output: usize| {
        let values = || evaluation.trajectories.iter().flat_map(|trajectory| &trajectory.outputs[output]);
        let count = values().count() as f64;
        let mean = values().sum::<f64>() / count;
        (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
    };
    (0..outputs).map(spread).collect()
}

/// How much of the step's length the region keeps: by the parabola through cost, slope and new cost, between 0.1 and 0.5.
fn shrunk(actual: f64, predicted: f64, before: f64, after: f64) -> f64 {
    if actual >= 0.0 {
        return 0.5;
    }
    if after > 100.0 * before {
        return 0.1;
    }
    let slope = -predicted;
    (0.5 * slope / (slope + 0.5 * actual)).clamp(0.1, 0.5)
}

fn moved(q: &[f64], step: &[f64], lower: &[f64], upper: &[f64]) -> Vec<f64> {
    (0..q.len()).map(|i| (q[i] + step[i]).clamp(lower[i], upper[i])).collect()
}

fn norm_scaled(values: &[f64], scale: &[f64]) -> f64 {
    values.iter().zip(scale).map(|(value, scale)| (value * scale).powi(2)).sum::<f64>().sqrt()
}

/// The linear model of the residuals around a point: ‖b + R s‖² + rest, R upper triangular.
struct Local {
    r: DMatrix<f64>,
    b: DVector<f64>,
    gradient: DVector<f64>,
    norms: Vec<f64>,
    residual_norm: f64,
}

impl Local {
    fn new(evaluation: &Evaluation, scale: &mut [f64]) -> Self {
        let norms: Vec<f64> = evaluation.jacobian.column_iter().map(|column| column.norm()).collect();
        for (scale, norm) in scale.iter_mut().zip(&norms) {
            *scale = scale.max(*norm);
            if *scale == 0.0 {
                *scale = 1.0;
            }
        }
        let (r, b) = triangular(evaluation);
        let gradient = r.tr_mul(&b);
        Self { r, b, gradient, norms, residual_norm: evaluation.residuals.norm() }
    }

    /// Parameters that may move: not those at a bound that the cost pushes them against.
    fn free(&self, q: &[f64], lower: &[f64], upper: &[f64]) -> Vec<bool> {
        let held =
            |i: usize| (q[i] <= lower[i] && self.gradient[i] >= 0.0) || (q[i] >= upper[i] && self.gradient[i] <= 0.0);
        (0..q.len()).map(|i| !held(i)).collect()
    }

    /// Largest cosine between the residuals and the columns that may move.
    fn gradient(&self, free: &[bool]) -> f64 {
        let cosine = |i: usize| match self.gradient[i] {
            0.0 => 0.0,
            gradient => gradient.abs() / (self.norms[i] * self.residual_norm),
        };
        (0..free.len()).filter(|&i| free[i]).map(cosine).fold(0.0, f64::max)
    }

    /// The reduction of the cost that the linear model promises.
    fn reduction(&self, step: &[f64]) -> f64 {
        let change = &self.r * DVector::from_column_slice(step);
        // ‖b‖² − ‖b + c‖² without the cancellation.
        -change.dot(&(&self.b * 2.0 + &change))
    }

    /// The best step within the radius and the bounds, and whether it met any: those it would cross are met, and the others
    /// solved again.
    fn step(
        &self,
        q: &[f64],
        lower: &[f64],
        upper: &[f64],
        free: &[bool],
        scale: &[f64],
        radius: f64,
    ) -> (Vec<f64>, bool) {
        let mut is_bent = false;
        let mut step = vec![0.0; q.len()];
        let mut free: Vec<usize> = (0..q.len()).filter(|&i| free[i]).collect();
        let mut b = self.b.clone();
        let mut radius = radius;
        while !free.is_empty() {
            let columns = DMatrix::from_fn(self.r.nrows(), free.len(), |row, column| {
                self.r[(row, free[column])] / scale[free[column]]
            });
            let scaled = within_radius(columns, &b, radius);
            for (position, &i) in free.iter().enumerate() {
                step[i] = scaled[position] / scale[i];
            }
            let crosses = |i: usize| q[i] + step[i] < lower[i] || q[i] + step[i] > upper[i];
            let (crossing, rest): (Vec<usize>, Vec<usize>) = free.iter().partition(|&&i| crosses(i));
            if crossing.is_empty() {
                break;
            }
            is_bent = true;
            for &i in &crossing {
                step[i] = (q[i] + step[i]).clamp(lower[i], upper[i]) - q[i];
                b += self.r.column(i) * step[i];
                radius = (radius.powi(2) - (step[i] * scale[i]).powi(2)).max(0.0).sqrt();
            }
            free = rest;
            for &i in &free {
                step[i] = 0.0;
            }
            if radius == 0.0 {
                break;
            }
        }
        (step, is_bent)
    }
}

/// R and Qᵀr of the Jacobian's QR factorisation.
pub(super) fn triangular(evaluation: &Evaluation) -> (DMatrix<f64>, DVector<f64>) {
    let columns = evaluation.jacobian.ncols();
    let qr = evaluation.jacobian.clone().qr();
    let mut b = evaluation.residuals.clone();
    qr.q_tr_mul(&mut b);
    (qr.r(), b.rows(0, columns).into_owned())
}

/// min ‖b + A z‖ with ‖z‖ ≤ radius, by the SVD of A and a root search for the damping λ.
fn within_radius(a: DMatrix<f64>, b: &DVector<f64>, radius: f64) -> DVector<f64> {
    let svd = a.svd(true, true);
    let (Some(u), Some(v_t)) = (svd.u.as_ref(), svd.v_t.as_ref()) else {
        return DVector::zeros(svd.singular_values.len());
    };
    let sigma = &svd.singular_values;
    let c = u.tr_mul(b);
    let floor = sigma.max() * STEP_RANK_TOLERANCE;
    let damped = |lambda: f64| {
        DVector::from_fn(sigma.len(), |i, _| {
            if sigma[i] <= floor { 0.0 } else { -sigma[i] * c[i] / (sigma[i] * sigma[i] + lambda) }
        })
    };
    let undamped = damped(0.0);
    if undamped.norm() <= radius {
        return v_t.tr_mul(&undamped);
    }
    // ‖z(λ)‖ falls; ‖Σc‖/radius is a λ at which it is inside.
    let (mut low, mut high) = (0.0, DVector::from_fn(sigma.len(), |i, _| sigma[i] * c[i]).norm() / radius);
    let mut lambda = high * 1e-3;
    let mut z = undamped;
    for _ in 0..60 {
        z = damped(lambda);
        let length = z.norm();
        if (length - radius).abs() <= 0.01 * radius {
            break;
        }
        if length > radius {
            low = lambda
        } else {
            high = lambda
        }
        // Newton on 1/radius − 1/‖z‖, which is nearly linear in λ.
        let slope: f64 =
            (0..sigma.len()).map(|i| z[i] * z[i] / (sigma[i] * sigma[i] + lambda)).filter(|s| s.is_finite()).sum();
        let newton = lambda + (length / radius - 1.0) * length * length / slope;
        lambda =
            if newton > low && newton < high { newton } else { (low * high).sqrt().max(0.5 * (low + high) * 1e-3) };
        if low == 0.0 && lambda >= high {
            lambda = 0.5 * high;
        }
    }
    v_t.tr_mul(&z)
}
