//! Which of the starts' ends are one optimum.

use nalgebra::{DMatrix, DVector};

use super::multistart::Starts;
use super::residual::Problem;
use super::trust_region::{Outcome, triangular};

/// Cost by which two ends of one optimum may differ, in units of the reduced χ².
const SAME_WIDTH: f64 = 0.5;
/// Ends that weren't polished lie off their optimum by more: a part of the cost.
const ROUGH_EXCESS: f64 = 2e-3;
/// Ends of this relative difference in cost are one where the data leave a direction open.
const EQUAL_COST: f64 = 1e-6;

/// The linear model around an end, for comparing others with it.
pub(super) struct Around<'a> {
    centre: &'a Outcome,
    r: DMatrix<f64>,
    b: DVector<f64>,
    width: f64,
}

impl<'a> Around<'a> {
    pub(super) fn new(centre: &'a Outcome, problem: &Problem<'_>) -> Self {
        let (r, b) = triangular(&centre.evaluation);
        let width = SAME_WIDTH * centre.evaluation.cost / (problem.samples - centre.q.len()) as f64;
        Self { centre, r, b, width }
    }

    /// Whether another end lies so near, by the linear model, that both are one optimum: the model puts it within a
    /// part of the cost's statistical width, and no lower.
    pub(super) fn has(&self, other: &Outcome) -> bool {
        self.within(other, self.width)
    }

    /// The same for ends that weren't polished.
    fn has_roughly(&self, other: &Outcome) -> bool {
        self.within(other, self.width.max(ROUGH_EXCESS * self.centre.evaluation.cost))
    }

    fn within(&self, other: &Outcome, width: f64) -> bool {
        let distance = DVector::from_fn(self.centre.q.len(), |i, _| other.q[i] - self.centre.q[i]);
        let change = &self.r * &distance;
        let rise = change.norm_squared() + 2.0 * self.b.dot(&change);
        rise.abs() <= width && (other.evaluation.cost - self.centre.evaluation.cost - rise).abs() <= width
    }
}

/// Starts that ended at one optimum: the cheapest first. `open` says that the data leave a direction open, so that ends
/// of equal cost are one wherever they lie. Starts that didn't converge are in none.
pub(super) fn group(problem: &Problem<'_>, starts: &Starts, open: bool) -> Vec<Vec<usize>> {
    let outcome = |index: &usize| starts.outcomes[*index].as_ref();
    let converged = |index: &usize| outcome(index).is_some_and(|outcome| outcome.stop.converged());
    let cost = |index: &usize| outcome(index).map_or(f64::INFINITY, |outcome| outcome.evaluation.cost);
    let mut order: Vec<usize> = (0..starts.outcomes.len()).filter(converged).collect();
    // The result leads its optimum, also where another end is cheaper by rounding.
    order.sort_by(|a, b| (*a != starts.best).cmp(&(*b != starts.best)).then(cost(a).total_cmp(&cost(b))));
    let mut groups: Vec<(Around<'_>, Vec<usize>)> = Vec::new();
    for index in order {
        let Some(end) = outcome(&index) else { continue };
        let equal = |centre: &Outcome| {
            open && (end.evaluation.cost - centre.evaluation.cost).abs() <= EQUAL_COST * centre.evaluation.cost
        };
        match groups.iter_mut().find(|(around, _)| around.has_roughly(end) || equal(around.centre)) {
            Some((_, members)) => members.push(index),
            None => groups.push((Around::new(end, problem), vec![index])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}
