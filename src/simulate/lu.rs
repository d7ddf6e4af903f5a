//! μI − J and its solutions for many right-hand sides at once: Gaussian elimination with partial pivoting, for real and
//! complex μ. Small and dense: a model has at most 32 states.

use nalgebra::ComplexField;

/// The factors of μI − J.
#[derive(Clone, Debug, Default)]
pub(super) struct Factors<T> {
    n: usize,
    /// L below the diagonal, U above it, and the inverses of U's diagonal on it; row-major.
    entries: Vec<T>,
    /// The row that took each row's place.
    pivots: Vec<usize>,
}

impl<T: ComplexField<RealField = f64> + Copy> Factors<T> {
    /// Factors μI − J, J row-major n·n. Whether there is a solution.
    pub(super) fn factor(&mut self, n: usize, shift: T, jacobian: &[f64]) -> bool {
        self.n = n;
        self.entries.clear();
        self.entries.extend(jacobian.iter().map(|&entry| T::from_real(-entry)));
        self.pivots.clear();
        for i in 0..n {
            self.entries[i * n + i] += shift;
        }
        for column in 0..n {
            let size = |row: usize| self.entries[row * n + column].norm1();
            let pivot = (column..n).fold(column, |best, row| if size(row) > size(best) { row } else { best });
            let largest = size(pivot);
            // NaN, too, is no pivot.
            if !(largest > 0.0 && largest.is_finite()) {
                return false;
            }
            self.pivots.push(pivot);
            if pivot != column {
                for k in 0..n {
                    self.entries.swap(pivot * n + k, column * n + k);
                }
            }
            let inverse = T::one() / self.entries[column * n + column];
            self.entries[column * n + column] = inverse;
            let (above, below) = self.entries.split_at_mut((column + 1) * n);
            let of_pivot = &above[column * n..];
            for row in below.chunks_exact_mut(n) {
                let factor = row[column] * inverse;
                row[column] = factor;
                for (entry, &by) in row[column + 1..].iter_mut().zip(&of_pivot[column + 1..]) {
                    *entry -= factor * by;
                }
            }
        }
        true
    }

    /// Solves in place; `rows` holds `width` numbers for each of the n rows, one of each right-hand side.
    pub(super) fn solve(&self, rows: &mut [T], width: usize) {
        let n = self.n;
        for (row, &pivot) in self.pivots.iter().enumerate().filter(|&(row, &pivot)| row != pivot) {
            for k in 0..width {
                rows.swap(row * width + k, pivot * width + k);
            }
        }
        let subtract = |from: &mut [T], by: &[T], factor: T| {
            for (value, &by) in from.iter_mut().zip(by) {
                *value -= factor * by;
            }
        };
        for i in 1..n {
            let (solved, rest) = rows.split_at_mut(i * width);
            for j in 0..i {
                subtract(&mut rest[..width], &solved[j * width..(j + 1) * width], self.entries[i * n + j]);
            }
        }
        for i in (0..n).rev() {
            let (rest, solved) = rows.split_at_mut((i + 1) * width);
            let own = &mut rest[i * width..];
            for j in i + 1..n {
                let at = (j - i - 1) * width;
                subtract(own, &solved[at..at + width], self.entries[i * n + j]);
            }
            let inverse = self.entries[i * n + i];
            own.iter_mut().for_each(|value| *value *= inverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::Complex;

    use super::Factors;

    #[test]
    fn solutions_solve_with_rows_that_must_be_exchanged() {
        let (n, width) = (4, 3);
        // Row 0 has no pivot of its own.
        let jacobian: Vec<f64> =
            (0..16).map(|i| if i == 0 { 2.0 } else { f64::from((i * 7 + 3) % 11) - 4.0 }).collect();
        let shift = Complex::new(2.0, 0.0);
        for shift in [shift, Complex::new(2.0, 5.0)] {
            let right: Vec<_> = (0..n * width).map(|i| Complex::new(i as f64, 1.0 - i as f64)).collect();
            let (mut factors, mut x) = (Factors::default(), right.clone());
            assert!(factors.factor(n, shift, &jacobian));
            factors.solve(&mut x, width);
            for row in 0..n {
                for k in 0..width {
                    let product = |j: usize| x[j * width + k] * jacobian[row * n + j];
                    let sum = x[row * width + k] * shift - (0..n).map(product).sum::<Complex<f64>>();
                    assert!((sum - right[row * width + k]).norm() < 1e-12, "{row}, {k}: {sum}");
                }
            }
        }
    }

    #[test]
    fn a_singular_matrix_and_one_that_is_no_number_have_no_factors() {
        assert!(!Factors::default().factor(2, 1.0, &[1.0, 0.0, 0.0, 5.0]));
        assert!(!Factors::default().factor(2, 1.0, &[f64::NAN, 0.0, 0.0, 5.0]));
    }
}
