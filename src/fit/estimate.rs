//! From the linear model around the optimum to each estimate's standard error and interval.

use nalgebra::DMatrix;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::columns::Columns;
use super::diagnosis::Diagnosis;
use super::scatter::Scatter;

/// Correlation above which two estimates can hardly be told apart.
const COLLINEAR: f64 = 0.99;

/// One number that was estimated.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Estimate {
    /// Index of the parameter in θ.
    pub parameter: usize,
    /// The experiment whose own it is; none: shared by all.
    pub experiment: Option<usize>,
    /// The parameter's name.
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// The value in force before.
    pub initial: f64,
    /// NaN where it would mislead: the data don't determine the parameter, it sits at a bound, the fit didn't converge,
    /// or the model explains nothing (R² < −1).
    pub standard_error: f64,
    /// Standard error by the size of the value.
    pub relative_error: f64,
    /// Lower end of the 95 % interval.
    pub lower95: f64,
    /// Upper end.
    pub upper95: f64,
    /// Lower end of the interval of the level asked for.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Ended at its lower bound.
    pub at_lower: bool,
    /// Ended at its upper bound.
    pub at_upper: bool,
}

/// Two estimates that go together: the data know their combination better than either.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Collinear {
    /// Indices among the estimates: the shared ones, then the others.
    pub estimates: (usize, usize),
    /// Correlation, above 0.99 by size.
    pub correlation: f64,
}

/// Estimates with what connects them.
pub(super) struct Estimates {
    pub(super) list: Vec<Estimate>,
    /// In the parameters' units.
    pub(super) covariance: DMatrix<f64>,
    pub(super) correlation: DMatrix<f64>,
    pub(super) collinear: Vec<Collinear>,
}

/// How wide an interval of a level is, in standard errors: by Student's t, or the normal distribution where σ is known.
#[must_use]
pub fn width(level: f64, degrees_of_freedom: usize, known_sigma: bool) -> f64 {
    let at = 0.5 + 0.5 * level;
    match known_sigma {
        true => Normal::new(0.0, 1.0).map_or(f64::NAN, |normal| normal.inverse_cdf(at)),
        false => StudentsT::new(0.0, 1.0, degrees_of_freedom as f64).map_or(f64::NAN, |t| t.inverse_cdf(at)),
    }
}

/// `meaningful`: standard errors say something.
pub(super) fn estimates(
    columns: &Columns<'_>,
    q: &[f64],
    diagnosis: &Diagnosis,
    scatter: &Scatter<'_>,
    meaningful: bool,
    widths: (f64, f64),
) -> Estimates {
    let slopes = columns.slopes(q);
    let scaled = scatter.covariance(&diagnosis.covariance);
    let covariance = DMatrix::from_fn(q.len(), q.len(), |row, column| {
        if meaningful { scaled[(row, column)] * slopes[row] * slopes[column] } else { f64::NAN }
    });
    let errors: Vec<f64> = (0..q.len()).map(|i| covariance[(i, i)].sqrt()).collect();
    let correlation = DMatrix::from_fn(q.len(), q.len(), |row, column| match row == column {
        true if errors[row].is_finite() => 1.0,
        _ => covariance[(row, column)] / (errors[row] * errors[column]),
    });
    let pairs = (0..q.len()).flat_map(|row| (row + 1..q.len()).map(move |column| (row, column)));
    let collinear = pairs.filter(|&at| correlation[at].abs() > COLLINEAR);
    let collinear: Vec<Collinear> =
        collinear.map(|at| Collinear { estimates: at, correlation: correlation[at] }).collect();
    let values = columns.values(q);
    let list = (0..q.len()).map(|index| {
        let (value, error, parameter) = (values[index], errors[index], columns.parameter(index));
        Estimate {
            parameter: columns.list()[index].parameter,
            experiment: columns.list()[index].experiment,
            name: parameter.name.clone(),
            value,
            initial: columns.initial(index),
            standard_error: error,
            relative_error: error / value.abs(),
            lower95: value - widths.0 * error,
            upper95: value + widths.0 * error,
            lower: value - widths.1 * error,
            upper: value + widths.1 * error,
            at_lower: value <= parameter.min,
            at_upper: value >= parameter.max,
        }
    });
    let list = list.collect();
    Estimates { list, covariance, correlation, collinear }
}
