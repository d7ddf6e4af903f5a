//! What the data say about the parameters: covariance, condition, and the directions about which they say nothing.

use nalgebra::{DMatrix, DVector};

/// A singular value of the column-normalised Jacobian below this part of the largest is a direction that the data
/// don't determine.
pub(super) const RANK_TOLERANCE: f64 = 1e-9;
/// A parameter with at least this weight in such a direction has no standard error.
const WEIGHT_MIN: f64 = 1e-3;
/// A weight below this isn't worth naming.
pub(super) const WEIGHT_NAMED: f64 = 0.05;

/// Of the free parameters on the scale of the search.
pub(super) struct Diagnosis {
    /// (JᵀJ)⁻¹ over the determined parameters, NaN in the rows and columns of the others.
    pub(super) covariance: DMatrix<f64>,
    /// Largest by smallest singular value of the column-normalised Jacobian; infinite: not of full rank.
    pub(super) condition_number: f64,
    /// Unit vectors of the relative effects that cancel each other.
    pub(super) null_directions: Vec<DVector<f64>>,
    /// Determined by the data.
    pub(super) determined: Vec<bool>,
}

/// `held` are at a bound: they count as known.
pub(super) fn diagnose(jacobian: &DMatrix<f64>, held: &[bool]) -> Diagnosis {
    let columns = held.len();
    let mut diagnosis = Diagnosis {
        covariance: DMatrix::from_element(columns, columns, f64::NAN),
        condition_number: 1.0,
        null_directions: Vec::new(),
        determined: held.iter().map(|held| !held).collect(),
    };
    let free: Vec<usize> = (0..columns).filter(|&i| !held[i]).collect();
    if free.is_empty() {
        return diagnosis;
    }
    let r = jacobian.clone().qr().r();
    let norms: Vec<f64> = free.iter().map(|&i| r.column(i).norm()).collect();
    let normalised = DMatrix::from_fn(r.nrows(), free.len(), |row, column| {
        if norms[column] > 0.0 { r[(row, free[column])] / norms[column] } else { 0.0 }
    });
    let svd = normalised.svd(false, true);
    let Some(v_t) = svd.v_t.as_ref() else {
        return diagnosis;
    };
    let sigma = &svd.singular_values;
    let floor = sigma.max() * RANK_TOLERANCE;
    let known: Vec<usize> = (0..sigma.len()).filter(|&i| sigma[i] > floor && sigma[i] > 0.0).collect();
    diagnosis.condition_number = if known.len() == sigma.len() { sigma.max() / sigma.min() } else { f64::INFINITY };
    for direction in (0..sigma.len()).filter(|i| !known.contains(i)) {
        let mut whole = DVector::zeros(columns);
        for (position, &i) in free.iter().enumerate() {
            whole[i] = v_t[(direction, position)];
            if v_t[(direction, position)].abs() >= WEIGHT_MIN {
                diagnosis.determined[i] = false;
            }
        }
        diagnosis.null_directions.push(whole);
    }
    for (row, &i) in free.iter().enumerate() {
        for (column, &j) in free.iter().enumerate() {
            if diagnosis.determined[i] && diagnosis.determined[j] {
                let term = |k: &usize| v_t[(*k, row)] * v_t[(*k, column)] / (sigma[*k] * sigma[*k]);
                diagnosis.covariance[(i, j)] = known.iter().map(term).sum::<f64>() / (norms[row] * norms[column]);
            }
        }
    }
    diagnosis
}
