//! What residuals cost, and what the loss makes of their influence. r is a residual in units of σ, z = r².

use crate::model::Loss;

/// Smallest factor of a robust residual's Jacobian row: an outlier keeps a trace of curvature.
const ROW_FACTOR_MIN: f64 = 1e-10;

/// ρ(z) and its first two derivatives to z.
fn rho(loss: Loss, z: f64) -> (f64, f64, f64) {
    match loss {
        Loss::Squares => (z, 1.0, 0.0),
        Loss::Huber if z <= 1.0 => (z, 1.0, 0.0),
        Loss::Huber => (2.0 * z.sqrt() - 1.0, z.powf(-0.5), -0.5 * z.powf(-1.5)),
        Loss::SoftL1 => {
            let root = (1.0 + z).sqrt();
            (2.0 * (root - 1.0), 1.0 / root, -0.5 / (root * root * root))
        }
    }
}

/// ρ(z), and the factors of the residual and of its Jacobian row that make Gauss–Newton right for ρ (Triggs et al.,
/// Bundle adjustment, §4.3; as SciPy's `least_squares` does).
pub(super) fn factors(loss: Loss, r: f64) -> (f64, f64, f64) {
    let z = r * r;
    let (cost, first, second) = rho(loss, z);
    if first == 1.0 && second == 0.0 {
        return (cost, 1.0, 1.0);
    }
    let row = (first + 2.0 * second * z).max(ROW_FACTOR_MIN).sqrt();
    (cost, first / row, row)
}

/// ψ(r) = ½ dρ/dr and ψ′(r), as M-estimation has them: r and 1 for plain squares.
pub(super) fn influence(loss: Loss, r: f64) -> (f64, f64) {
    let z = r * r;
    let (_, first, second) = rho(loss, z);
    // Huber's ψ′ is 0 beyond its threshold, not rounding.
    let slope = if loss == Loss::Huber && z > 1.0 { 0.0 } else { first + 2.0 * z * second };
    (r * first, slope)
}
