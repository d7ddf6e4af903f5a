//! Principal components of a correlation matrix, and how unusual a row of values is against them: Hotelling's T² within the
//! components that are kept (values that go together as always, but too far) and SPE, also called Q, outside of them (values
//! that no longer go together). Jackson, A User's Guide to Principal Components (1991), ch. 1 and 2.

use nalgebra::{DMatrix, SymmetricEigen};
use statrs::distribution::{ContinuousCDF, FisherSnedecor, Normal};

/// Components of n variables.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// All n, largest first; their sum is n.
    pub eigenvalues: Vec<f64>,
    /// Of each its direction, as long as there are variables.
    pub directions: Vec<Vec<f64>>,
    /// How many are kept.
    pub kept: usize,
}

/// How unusual a row is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unusual {
    /// Σ t²/λ over the components kept.
    pub t2: f64,
    /// What one usual row in a hundred exceeds, if rows are normal and independent; NaN with too few rows.
    pub t2_limit: f64,
    /// Squared distance from the plane of the components kept, in standard deviations of each variable.
    pub spe: f64,
    /// What one usual row in a hundred exceeds; 0 where the components kept explain everything.
    pub spe_limit: f64,
}

/// Part of the variance that the components kept explain at least, if not all but one of them are needed for it.
const EXPLAINED: f64 = 0.9;
/// Usual rows within the limits.
const CONFIDENCE: f64 = 0.99;
/// Eigenvalues below are rounding: a variable that others determine.
const ZERO: f64 = 1e-10;

impl Principal {
    /// Of a correlation matrix, row-major n·n; `None` where n < 2 or an element is no number (a constant variable).
    #[must_use]
    pub fn of(correlation: &[f64]) -> Option<Self> {
        let n = correlation.len().isqrt();
        if n < 2 || n * n != correlation.len() || correlation.iter().any(|r| !r.is_finite()) {
            return None;
        }
        let eigen = SymmetricEigen::try_new(DMatrix::from_row_slice(n, n, correlation), 1e-15, 1000)?;
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
        let eigenvalues: Vec<f64> = order.iter().map(|at| eigen.eigenvalues[*at].max(0.0)).collect();
        let directions = order.iter().map(|at| eigen.eigenvectors.column(*at).iter().copied().collect()).collect();
        let mut explained = 0.0;
        let enough = eigenvalues.iter().position(|value| {
            explained += value;
            explained >= EXPLAINED * n as f64
        });
        let kept = (enough.unwrap_or(n) + 1).min(n - 1);
        Some(Self { eigenvalues, directions, kept })
    }

    /// Of a row in standard deviations from the means, judged against `rows` rows.
    #[must_use]
    pub fn unusual(&self, row: &[f64], rows: usize) -> Unusual {
        let score = |direction: &Vec<f64>| direction.iter().zip(row).map(|(d, z)| d * z).sum::<f64>();
        let (mut t2, mut spe) = (0.0, row.iter().map(|z| z * z).sum::<f64>());
        for (direction, eigenvalue) in self.directions.iter().zip(&self.eigenvalues).take(self.kept) {
            let t = score(direction);
            t2 += t * t / eigenvalue.max(ZERO);
            spe -= t * t;
        }
        Unusual { t2, t2_limit: self.t2_limit(rows), spe: spe.max(0.0), spe_limit: self.spe_limit() }
    }

    /// Of a row that is not among the m that made the components: a(m² − 1)/(m(m − a)) F(a, m − a).
    fn t2_limit(&self, rows: usize) -> f64 {
        let (a, m) = (self.kept as f64, rows as f64);
        let quantile = FisherSnedecor::new(a, m - a).ok().filter(|_| m > a).map(|f| f.inverse_cdf(CONFIDENCE));
        quantile.map_or(f64::NAN, |f| a * (m * m - 1.0) / (m * (m - a)) * f)
    }

    /// Jackson and Mudholkar, "Control procedures for residuals associated with principal component analysis", Technometrics
    /// 21 (1979): a power of SPE is about normal.
    fn spe_limit(&self) -> f64 {
        let left = &self.eigenvalues[self.kept..];
        let theta = |power: i32| left.iter().map(|value| value.powi(power)).sum::<f64>();
        let (one, two, three) = (theta(1), theta(2), theta(3));
        if one <= ZERO {
            return 0.0;
        }
        let h = 1.0 - 2.0 * one * three / (3.0 * two * two);
        let c = Normal::new(0.0, 1.0).map_or(f64::NAN, |normal| normal.inverse_cdf(CONFIDENCE));
        one * (1.0 + c * (2.0 * two * h * h).sqrt() / one + two * h * (h - 1.0) / (one * one)).powf(1.0 / h)
    }
}
