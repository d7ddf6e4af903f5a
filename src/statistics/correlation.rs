//! Pearson correlation of series that were not sampled together.
//!
//! Alignment of a pair: at the instants of the one with fewer samples, the other is read off between its two neighbours
//! (straight line, or the earlier value where it is stepped), never beyond its ends. Series sampled together are thus
//! compared sample by sample.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A series' usable samples in time order: seconds and values.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Ascending.
    pub times: Vec<f64>,
    /// As many.
    pub values: Vec<f64>,
    /// Whether a value holds until the next.
    pub stepped: bool,
}

/// Of one pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pearson {
    /// r; NaN below two pairs or where one of them is constant.
    pub coefficient: f64,
    /// Two-sided, by Student t with n − 2 degrees of freedom; NaN below three pairs.
    pub p_value: f64,
    /// Pairs behind it.
    pub count: usize,
}

/// Correlation of two traces under the alignment rule above.
#[must_use]
pub fn pearson(a: &Trace, b: &Trace) -> Pearson {
    let (coarse, fine) = if a.times.len() <= b.times.len() { (a, b) } else { (b, a) };
    let mut at = 0;
    let pairs: Vec<(f64, f64)> =
        coarse.times.iter().zip(&coarse.values).filter_map(|(t, x)| Some((*x, read_off(fine, *t, &mut at)?))).collect();
    correlate(&pairs)
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
    Some(x + (trace.values[*at + 1] - x) * (t - before) / (after - before))
}

fn correlate(pairs: &[(f64, f64)]) -> Pearson {
    let n = pairs.len() as f64;
    let (mean_x, mean_y) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let coefficient = if xx > 0.0 && yy > 0.0 { (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0) } else { f64::NAN };
    Pearson { coefficient, p_value: p_value(coefficient, pairs.len()), count: pairs.len() }
}

fn p_value(r: f64, n: usize) -> f64 {
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
