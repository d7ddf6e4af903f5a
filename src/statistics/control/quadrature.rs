//! Gauss–Legendre rules, and integral equations of the second kind by Nyström's method: both exact to rounding for the
//! smooth kernels here, with some twenty nodes for each standard deviation that matters.

use nalgebra::{DMatrix, DVector};

/// Nodes and weights.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) nodes: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Rule {
    /// Of `count` nodes on `[low, high]`: the roots of the Legendre polynomial by Newton's method (Press et al., Numerical
    /// Recipes, §4.6).
    pub(super) fn new(count: usize, low: f64, high: f64) -> Self {
        let (middle, half) = (0.5 * (high + low), 0.5 * (high - low));
        let (mut nodes, mut weights) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let n = count as f64;
        for index in 0..count {
            let mut z = (std::f64::consts::PI * (n - index as f64 - 0.25) / (n + 0.5)).cos();
            let mut slope = 1.0;
            // Converges quadratically from this start: five steps reach rounding, ten are plenty.
            for _ in 0..10 {
                let (mut value, mut before) = (1.0, 0.0);
                for degree in 0..count {
                    let j = degree as f64;
                    (value, before) = (((2.0 * j + 1.0) * z * value - j * before) / (j + 1.0), value);
                }
                slope = n * (z * value - before) / (z * z - 1.0);
                z -= value / slope;
            }
            nodes.push(middle + half * z);
            weights.push(2.0 * half / ((1.0 - z * z) * slope * slope));
        }
        Self { nodes, weights }
    }
}

/// L with L(xᵢ) = 1 + Σⱼ kernel(i, j) L(xⱼ); `None` where the matrix is singular to rounding: an ARL of 1e15 and more.
pub(super) fn expected_steps(size: usize, kernel: impl Fn(usize, usize) -> f64) -> Option<Vec<f64>> {
    let matrix = DMatrix::from_fn(size, size, |i, j| f64::from(u8::from(i == j)) - kernel(i, j));
    let steps = matrix.lu().solve(&DVector::from_element(size, 1.0))?;
    // Below one step, or no number: rounding has eaten the determinant.
    steps.iter().all(|l| *l >= 1.0 && l.is_finite()).then(|| steps.as_slice().to_vec())
}

/// How many nodes: `wanted`, and some more; at most 2,024.
pub(super) fn nodes(wanted: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2,000")]
    let more = wanted.ceil().clamp(0.0, 2000.0) as usize;
    24 + more
}

/// Density of the standard normal distribution.
pub(super) fn density(z: f64) -> f64 {
    const ROOT: f64 = 0.398_942_280_401_432_7;
    ROOT * (-0.5 * z * z).exp()
}

/// Its distribution function.
pub(super) fn below(z: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_exact_for_polynomials_of_twice_its_nodes_less_one() {
        let rule = Rule::new(5, -1.0, 3.0);
        for power in 0..10 {
            let sum: f64 = rule.nodes.iter().zip(&rule.weights).map(|(x, w)| w * x.powi(power)).sum();
            let exact = (3.0_f64.powi(power + 1) - (-1.0_f64).powi(power + 1)) / f64::from(power + 1);
            assert!((sum - exact).abs() < 1e-12 * exact.abs().max(1.0), "x^{power}: {sum} instead of {exact}");
        }
        assert!((Rule::new(200, 0.0, 1.0).weights.iter().sum::<f64>() - 1.0).abs() < 1e-13);
    }
}
