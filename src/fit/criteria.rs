//! What compares fits of different models to the same data.

use super::residual::Problem;

/// Information criteria by the Gaussian likelihood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Criteria {
    pub(super) aic: f64,
    pub(super) aicc: f64,
    pub(super) bic: f64,
}

impl Criteria {
    /// With an estimated scale of σ: −2 ln L = n(ln(2π·cost/n) + 1) − Σ ln w, w = weight/σ², and k = p + 1 (the scale
    /// counts, as in R's `AIC` of `nls`). With σ as it is: −2 ln L = cost + n ln 2π − Σ ln w, and k = p.
    pub(super) fn of(problem: &Problem<'_>, cost: f64, known_sigma: bool) -> Self {
        let n = problem.samples as f64;
        let scales = problem.series.iter().flatten().flat_map(|series| &series.scales);
        let weights: f64 = scales.map(|scale| 2.0 * scale.ln()).sum();
        let (deviance, k) = if known_sigma {
            (cost + n * std::f64::consts::TAU.ln() - weights, problem.columns.len() as f64)
        } else {
            (n * ((std::f64::consts::TAU * cost / n).ln() + 1.0) - weights, problem.columns.len() as f64 + 1.0)
        };
        let aic = deviance + 2.0 * k;
        let rest = n - k - 1.0;
        let aicc = if rest > 0.0 { aic + 2.0 * k * (k + 1.0) / rest } else { f64::NAN };
        Self { aic, aicc, bic: deviance + k * n.ln() }
    }

    /// A robust loss has no Gaussian likelihood.
    pub(super) const NONE: Self = Self { aic: f64::NAN, aicc: f64::NAN, bic: f64::NAN };
}
