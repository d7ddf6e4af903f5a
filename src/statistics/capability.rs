//! What a process can do within its specification, and within itself: capability and performance indices and the limits of
//! a Shewhart chart of individuals (AIAG SPC, 2nd edition, chapters III and IV; ISO 22514-2; ISO 7870-2).

use super::Summary;

/// d₂ of ranges of two: the mean of |yᵢ − yᵢ₋₁| of a normal distribution over its σ (AIAG SPC, appendix E).
pub const D2: f64 = 1.128;

/// What a chart of individuals is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// ȳ.
    pub mean: f64,
    /// Mean of |yᵢ − yᵢ₋₁|; NaN without neighbours.
    pub moving_range: f64,
}

impl Baseline {
    /// σ as neighbours show it, without what drifts: MR̄/d₂.
    #[must_use]
    pub fn sigma_within(&self) -> f64 {
        self.moving_range / D2
    }

    /// Control limits, lower and upper: ȳ ∓ 3·MR̄/d₂.
    #[must_use]
    pub fn control_limits(&self) -> (f64, f64) {
        let reach = 3.0 * self.sigma_within();
        (self.mean - reach, self.mean + reach)
    }
}

impl From<&Summary> for Baseline {
    fn from(summary: &Summary) -> Self {
        Self { mean: summary.mean, moving_range: summary.moving_range }
    }
}

/// Two indices by one σ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Indices {
    /// (USL − LSL)/6σ: Cp or Pp; NaN with one limit only, or where σ is none.
    pub spread: f64,
    /// The distance from the mean to the nearer limit over 3σ: Cpk or Ppk; NaN where σ is none.
    pub centred: f64,
}

/// Indices of a mean and a σ within limits, lower and upper; one of them may be infinite. With σ = 0 there is no figure.
#[must_use]
pub fn indices(mean: f64, sigma: f64, (lower, upper): (f64, f64)) -> Indices {
    if sigma.is_nan() || sigma <= 0.0 {
        return Indices { spread: f64::NAN, centred: f64::NAN };
    }
    let width = upper - lower;
    Indices {
        spread: if width.is_finite() { width / (6.0 * sigma) } else { f64::NAN },
        centred: (upper - mean).min(mean - lower) / (3.0 * sigma),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: ȳ = 10, MR̄ = 1.128, so σ = 1; limits 7 and 15.
    #[test]
    fn indices_and_limits_by_hand() {
        let baseline = Baseline { mean: 10.0, moving_range: D2 };
        assert_eq!(baseline.control_limits(), (7.0, 13.0));
        let both = indices(10.0, baseline.sigma_within(), (7.0, 15.0));
        assert!((both.spread - 8.0 / 6.0).abs() < 1e-15 && (both.centred - 1.0).abs() < 1e-15, "{both:?}");
        let one = indices(10.0, 1.0, (f64::NEG_INFINITY, 16.0));
        assert!(one.spread.is_nan() && one.centred == 2.0, "{one:?}");
        assert!(indices(10.0, 0.0, (7.0, 15.0)).centred.is_nan());
    }
}
