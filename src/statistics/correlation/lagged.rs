//! Which of two series follows the other, and by how much.

use super::{Coefficient, Trace, aligned, correlate};

/// Correlations at lags of both signs.
#[derive(Clone, Debug, PartialEq)]
pub struct Lagged {
    /// Seconds by which the second series follows the first, ascending, and the coefficient there.
    pub lags: Vec<(f64, Coefficient)>,
    /// Place in `lags` of the largest coefficient by size, the nearest to zero of equal ones; `None`: no lag has any.
    pub best: Option<usize>,
    /// Of the best: the probability that one of so many lags shows as large a coefficient by chance (Bonferroni: never too
    /// small), if the pairs of a lag are independent of each other.
    pub p_value: f64,
}

/// Most lags to either side.
const LAGS_MAX: usize = 10_000;

/// Pearson correlation of a(t) with b(t + lag) for every multiple of `step_s` up to `lag_max_s` to both sides (10,000 steps at
/// most), each under the alignment rule of [`super`].
#[must_use]
pub fn lagged(a: &Trace, b: &Trace, lag_max_s: f64, step_s: f64) -> Lagged {
    let steps = (0..=LAGS_MAX).take_while(|i| *i as f64 * step_s <= lag_max_s * (1.0 + 1e-12)).count().max(1) - 1;
    let lag = |i: usize| (i as f64 - steps as f64) * step_s;
    let at = |lag: f64| {
        let (x, y) = aligned(a, b, lag);
        (lag, correlate(&x, &y))
    };
    of((0..=2 * steps).map(|i| at(lag(i))).collect())
}

/// The best of coefficients at ascending lags.
pub(super) fn of(lags: Vec<(f64, Coefficient)>) -> Lagged {
    let size = |at: &usize| {
        let (lag, of) = lags[*at];
        (of.coefficient.abs(), -lag.abs())
    };
    let known = (0..lags.len()).filter(|at| !lags[*at].1.coefficient.is_nan());
    let best = known.max_by(|a, b| size(a).partial_cmp(&size(b)).unwrap_or(std::cmp::Ordering::Equal));
    let p_value = best.map_or(f64::NAN, |best| (lags[best].1.p_value * lags.len() as f64).min(1.0));
    Lagged { lags, best, p_value }
}
