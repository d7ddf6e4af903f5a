//! Correlation of series that were not sampled together: Pearson's and Spearman's coefficient, with lags (`lagged`), of many
//! at once and live (`live`), and what a twin's row of values is against all rows before it (`principal`).
//!
//! Alignment of a pair: at the instants of the one with fewer samples, the other is read off between its two neighbours
//! (straight line, or the earlier value where it is stepped), never beyond its ends nor next to what is not usable. Series sampled together are thus
//! compared sample by sample.

mod lagged;
mod live;
mod principal;

pub use lagged::{Lagged, lagged};
pub use live::{COLUMNS_MAX, Joint, Matrix, ROWS_KEPT};
pub use principal::{Principal, Unusual};

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// A series in time order: seconds and values.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Ascending.
    pub times: Vec<f64>,
    /// As many. NaN: not usable; nothing is read off between it and its neighbours.
    pub values: Vec<f64>,
    /// Whether a value holds until the next.
    pub stepped: bool,
}

/// Which coefficient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Of the values: how near to a straight line they lie.
    #[default]
    Pearson,
    /// Of their ranks (equal values share the mean of theirs): how near to rising together, along whatever curve.
    Spearman,
}

impl Method {
    /// As clients see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pearson => "Pearson",
            Self::Spearman => "Spearman",
        }
    }
}

/// Of one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficient {
    /// r; NaN below two pairs or where one of them is constant.
    pub coefficient: f64,
    /// Two-sided, by Student t with n − 2 degrees of freedom; NaN below three pairs.
    pub p_value: f64,
    /// Pairs behind it.
    pub count: usize,
}

/// Correlation of two traces under the alignment rule above.
#[must_use]
pub fn pearson(a: &Trace, b: &Trace) -> Coefficient {
    let (x, y) = aligned(a, b, 0.0);
    correlate(&x, &y)
}

/// The same of their ranks among the aligned pairs.
#[must_use]
pub fn spearman(a: &Trace, b: &Trace) -> Coefficient {
    let (x, y) = aligned(a, b, 0.0);
    correlate(&ranks(&x), &ranks(&y))
}

/// The range that holds the correlation with this confidence (0.95, say) by Fisher's z: atanh r ± z/√(n − 3). NaN below four
/// pairs. Of Spearman's coefficient it is an approximation (Fieller et al. 1957: its variance is some 6 % larger).
#[must_use]
pub fn fisher_interval(of: &Coefficient, confidence: f64) -> (f64, f64) {
    let normal = Normal::new(0.0, 1.0).ok().filter(|_| of.count > 3 && confidence > 0.0 && confidence < 1.0);
    let Some(normal) = normal else { return (f64::NAN, f64::NAN) };
    let half = normal.inverse_cdf(0.5 + 0.5 * confidence) / ((of.count - 3) as f64).sqrt();
    let z = of.coefficient.atanh();
    if z.is_infinite() {
        return (of.coefficient, of.coefficient);
    }
    ((z - half).tanh(), (z + half).tanh())
}

/// Pairs at the instants of the one with fewer samples; the second is read `lag` seconds later than the first.
fn aligned(a: &Trace, b: &Trace, lag: f64) -> (Vec<f64>, Vec<f64>) {
    if a.times.len() > b.times.len() {
        let (y, x) = aligned(b, a, -lag);
        return (x, y);
    }
    let mut at = 0;
    let pairs = a.times.iter().zip(&a.values);
    let pairs = pairs.filter_map(|(t, x)| Some((*x, read_off(b, *t + lag, &mut at)?)));
    pairs.filter(|(x, y)| !x.is_nan() && !y.is_nan()).unzip()
}

/// 1 for the smallest; equal values share the mean of their ranks.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = start as f64 + 0.5 * (tied.len() as f64 + 1.0);
        tied.iter().for_each(|at| ranks[*at] = rank);
        start += tied.len();
    }
    ranks
}

/// The trace's value at `t`; `at` is the cursor of an ascending sequence of calls.
fn read_off(trace: &Trace, t: f64, at: &mut usize) -> Option<f64> {
    while trace.times.get(*at + 1).is_some_and(|next| *next <= t) {
        *at += 1;
    }
    let (before, x) = (*trace.times.get(*at)?, trace.values[*at]);
    if before == t {
        return Some(x);
    }
    let after = *trace.times.get(*at + 1).filter(|_| before < t)?;
    if trace.stepped {
        return Some(x);
    }
    // NaN on either side stays NaN.
    Some(x + (trace.values[*at + 1] - x) * (t - before) / (after - before))
}

/// Of aligned values.
pub(super) fn correlate(x: &[f64], y: &[f64]) -> Coefficient {
    let n = x.len().min(y.len());
    let mean = |values: &[f64]| values.iter().take(n).sum::<f64>() / n as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    // What is left of a constant is rounding of its mean.
    let constant = |power: f64, mean: f64| power <= n as f64 * (4.0 * f64::EPSILON * mean).powi(2);
    Coefficient::of(
        if constant(xx, mean_x) || constant(yy, mean_y) { f64::NAN } else { xy / (xx.sqrt() * yy.sqrt()) },
        n,
    )
}

impl Coefficient {
    fn of(r: f64, count: usize) -> Self {
        let coefficient = r.clamp(-1.0, 1.0);
        Self { coefficient, p_value: p_value(coefficient, count), count }
    }
}

/// Two-sided, of r from n pairs; NaN below three.
pub(super) fn p_value(r: f64, n: usize) -> f64 {
    if n < 3 || r.is_nan() {
        return f64::NAN;
    }
    let freedom = (n - 2) as f64;
    let t = r.abs() * (freedom / (1.0 - r * r)).sqrt();
    if t.is_infinite() {
        return 0.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| 2.0 * student.sf(t))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(points: &[(f64, f64)]) -> Trace {
        Trace {
            times: points.iter().map(|p| p.0).collect(),
            values: points.iter().map(|p| p.1).collect(),
            stepped: false,
        }
    }

    /// Anscombe's first set: r = 0.81642, p = 0.00217 (R's cor.test).
    #[test]
    fn anscombe() {
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let of = |v: [f64; 11]| trace(&v.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect::<Vec<_>>());
        let result = pearson(&of(x), &of(y));
        assert!((result.coefficient - 0.816_420_516).abs() < 1e-9, "{result:?}");
        assert!((result.p_value - 0.002_169_629).abs() < 1e-8, "{result:?}");
        assert_eq!(result.count, 11);
    }

    #[test]
    fn a_finer_trace_is_read_off_between_its_samples_and_never_beyond() {
        let coarse = trace(&[(0.5, 1.0), (1.5, 3.0), (2.5, 5.0), (9.0, 0.0)]);
        let fine = trace(&[(0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (4.0, 8.0)]);
        let result = pearson(&coarse, &fine);
        assert_eq!(result.count, 3);
        assert!((result.coefficient - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_constant_or_a_handful_has_no_figure() {
        let constant = trace(&[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]);
        let ramp = trace(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]);
        assert!(pearson(&constant, &ramp).coefficient.is_nan());
        assert!(pearson(&trace(&[]), &ramp).coefficient.is_nan());
    }
}
