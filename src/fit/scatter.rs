//! How far the residuals' scatter lets the estimates stray: the covariance from the linear model around the optimum.
//!
//! Plain squares: s²(JᵀJ)⁻¹ with s² the reduced χ², or 1 if σ is taken as it is.
//!
//! Robust losses: Huber's covariance of an M-estimate (P. J. Huber, Robust Statistics, 1981, §7.6, his H1 with the
//! correction κ; `RLM` of statsmodels takes the same): κ²·n/(n−p)·⟨ψ²⟩/⟨ψ′⟩²·(JᵀJ)⁻¹, κ = 1 + p/n·var(ψ′)/⟨ψ′⟩². Where
//! outputs have losses of their own, the means are each output's: H⁻¹SH⁻¹ with H = Σ⟨ψ′⟩JᵀJ and S = Σ⟨ψ²⟩JᵀJ. Residuals
//! decide then, not σ: `absolute_sigma` holds for outputs of plain squares only.

use std::borrow::Cow;

use nalgebra::DMatrix;

use super::residual::Problem;
use super::robust::influence;
use super::trust_region::Outcome;
use crate::model::Loss;
use crate::simulate::SimulationError;

/// The linear model, and how much of its inverse is covariance.
pub(super) struct Scatter<'a> {
    /// JᵀJ is the cost's curvature.
    pub(super) jacobian: Cow<'a, DMatrix<f64>>,
    /// By how much the cost rises one standard deviation away: s², for robust losses n/(n−p)·⟨ψ²⟩/⟨ψ′⟩ (R. M. Schrader,
    /// T. P. Hettmansperger, Biometrika 67 (1980), 93–101). NaN: every residual is beyond the loss's threshold.
    pub(super) variance: f64,
    /// R of the QR factorisation of the rows weighted by ⟨ψ²⟩; none for plain squares.
    robust: Option<DMatrix<f64>>,
}

impl<'a> Scatter<'a> {
    pub(super) fn of(
        problem: &Problem<'_>,
        absolute_sigma: bool,
        outcome: &'a Outcome,
    ) -> Result<Self, SimulationError> {
        let degrees = (problem.samples - outcome.q.len()) as f64;
        if !is_robust(problem) {
            let variance = if absolute_sigma { 1.0 } else { outcome.evaluation.cost / degrees };
            return Ok(Self { jacobian: Cow::Borrowed(&outcome.evaluation.jacobian), variance, robust: None });
        }
        let plain = problem.evaluate_plain(&outcome.q)?;
        let rows = rows_of(problem);
        let outputs = problem.model.outputs();
        let mut means = vec![Means::default(); outputs.len()];
        let mut all = Means::default();
        for (&output, &residual) in rows.iter().zip(plain.residuals.iter()) {
            let influence = influence(outputs[output].loss, residual);
            means[output].add(influence);
            all.add(influence);
        }
        let correction = (1.0 + outcome.q.len() as f64 / all.count * all.variance() / all.slope().powi(2)).powi(2);
        let small = all.count / degrees;
        let known = |output: usize| absolute_sigma && outputs[output].loss == Loss::Squares;
        let square = |output: usize| match known(output) {
            true => 1.0,
            false => correction * small * means[output].square(),
        };
        let weighted = |weight: &dyn Fn(usize) -> f64| {
            DMatrix::from_fn(rows.len(), outcome.q.len(), |row, column| {
                plain.jacobian[(row, column)] * weight(rows[row]).sqrt()
            })
        };
        let decided = means.iter().all(|means| means.count == 0.0 || means.slope() > 0.0);
        Ok(Self {
            jacobian: Cow::Owned(weighted(&|output| means[output].slope())),
            variance: if decided { small * all.square() / all.slope() } else { f64::NAN },
            robust: Some(weighted(&square).qr().r()),
        })
    }

    /// The covariance from (JᵀJ)⁻¹, NaN where that is.
    pub(super) fn covariance(&self, inverse: &DMatrix<f64>) -> DMatrix<f64> {
        let Some(robust) = &self.robust else {
            return inverse * self.variance;
        };
        let known = inverse.map(|value| if value.is_nan() { 0.0 } else { value });
        let half = robust * known;
        let covariance = half.tr_mul(&half);
        covariance
            .zip_map(inverse, |value, known| if known.is_nan() || self.variance.is_nan() { f64::NAN } else { value })
    }
}

/// Whether any output that was measured has a robust loss.
pub(super) fn is_robust(problem: &Problem<'_>) -> bool {
    let measured = |output: usize| problem.series.iter().any(|series| !series[output].times.is_empty());
    let outputs = problem.model.outputs().iter().enumerate();
    outputs.into_iter().any(|(index, output)| output.loss != Loss::Squares && measured(index))
}

/// The output of each row of the Jacobian.
fn rows_of(problem: &Problem<'_>) -> Vec<usize> {
    let outputs = problem.series.iter().flat_map(|outputs| outputs.iter().enumerate());
    outputs.flat_map(|(output, series)| std::iter::repeat_n(output, series.times.len())).collect()
}

/// Sums of ψ², ψ′, ψ′².
#[derive(Clone, Default)]
struct Means {
    count: f64,
    squares: f64,
    slopes: f64,
    slope_squares: f64,
}

impl Means {
    fn add(&mut self, (psi, slope): (f64, f64)) {
        self.count += 1.0;
        self.squares += psi * psi;
        self.slopes += slope;
        self.slope_squares += slope * slope;
    }

    fn square(&self) -> f64 {
        self.squares / self.count
    }

    fn slope(&self) -> f64 {
        self.slopes / self.count
    }

    fn variance(&self) -> f64 {
        self.slope_squares / self.count - self.slope().powi(2)
    }
}
