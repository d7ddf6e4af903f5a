//! Profile likelihood intervals: the parameter is held along a line, the others are fitted again at each point, and the
//! interval ends where the cost has risen by what the level allows. Right where the model is far from linear in the
//! parameter, where the cost has kinks (dead times), at bounds, and where the data leave a side open
//! (D. M. Bates, D. G. Watts, Nonlinear Regression Analysis, 1988, §6.1).

use std::sync::atomic::{AtomicUsize, Ordering};

use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor};

use super::multistart::{Furthest, Starts, spread, tolerances};
use super::report::Optimum;
use super::residual::Problem;
use super::trust_region::{self, Tolerances};
use super::{FitError, FitOptions};
use crate::simulate::SimulationError;

/// Steps outwards on one side; each at least a third further than the one before.
const STEPS_OUT_MAX: usize = 60;
/// Steps to close in on the crossing.
const STEPS_IN_MAX: usize = 60;
/// How near the threshold an end lies, in √(rise of the cost) by √(rise allowed).
const PRECISION: f64 = 1e-6;
/// A bracket this narrow, by its distance from the estimate, is an end: the cost jumps there.
const BRACKET_MIN: f64 = 1e-9;
/// So many conditional half-widths away without a crossing, the side is open.
const FAR: f64 = 1e8;
/// A point below the minimum by this part of the rise allowed shows that it was none.
const BETTER: f64 = 1e-3;
/// How often a better minimum found on the way is taken for the result.
const ROUNDS_MAX: usize = 4;

/// Why an interval ends where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ProfileEnd {
    /// The cost has risen by what the level allows.
    Crossed,
    /// At the parameter's bound the cost has not risen as much.
    Bound,
    /// The cost doesn't rise as much however far away: the end is infinite.
    Open,
    /// Beyond it the model can't be simulated.
    Simulation,
    /// There is no threshold, as the fit didn't converge or nothing scatters: the end is NaN.
    Unknown,
}

/// A profile likelihood interval.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ProfileReport {
    /// Index of the parameter in θ.
    pub parameter: usize,
    /// The experiment whose own it is; none: shared by all.
    pub experiment: Option<usize>,
    /// The parameter's name.
    pub name: String,
    /// Of the interval.
    pub level: f64,
    /// The cost at its ends: cost·(1 + F/dof) with F of 1 and dof degrees of freedom; with `absolute_sigma` cost + χ²
    /// of 1; for robust losses, cost + F·n/dof·⟨ψ²⟩/⟨ψ′⟩.
    pub threshold: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// What the lower end is.
    pub lower_end: ProfileEnd,
    /// What the upper end is.
    pub upper_end: ProfileEnd,
    /// Values of the parameter, ascending, with the lowest cost that the others reach there.
    pub points: Vec<(f64, f64)>,
}

/// The profiles asked for. Where one passes a better minimum, that becomes the result in `starts`.
pub(super) fn run(
    problem: &Problem<'_>,
    options: &FitOptions,
    starts: &mut Starts,
    progress: &(dyn Fn(f64) + Sync),
) -> Result<Vec<ProfileReport>, FitError> {
    let asked = |column: &usize| options.profile.contains(&problem.columns.list()[*column].parameter);
    let columns: Vec<usize> = (0..problem.columns.len()).filter(asked).collect();
    let furthest = Furthest::default();
    let mut round = 1;
    loop {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let best = Optimum::of(problem, options, starts.best())?;
        let walker = Walker { last_round: round == ROUNDS_MAX, ..Walker::new(problem, options, &best) };
        let done = AtomicUsize::new(0);
        let sides = spread(2 * columns.len(), options.threads, &|job| {
            let side = walker.walk(columns[job / 2], if job % 2 == 0 { -1.0 } else { 1.0 });
            if side.is_ok() {
                let finished = (done.fetch_add(1, Ordering::Relaxed) + 1) as f64 / (2 * columns.len()) as f64;
                progress(furthest.past(finished));
            }
            side
        });
        let sides = sides.into_iter().collect::<Result<Vec<Side>, _>>();
        let sides = sides.map_err(|cause| FitError::simulation(problem.model, cause))?;
        let better = sides.iter().filter_map(|side| side.better.as_ref());
        let better = better.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(q, _)| q.clone());
        let Some(from) = better else {
            let pairs = sides.chunks_exact(2).zip(&columns);
            return Ok(pairs.map(|(pair, &column)| walker.report(column, pair)).collect());
        };
        let outcome = trust_region::minimise(problem, from, &tolerances(problem, options), &|_| {});
        starts.improve(outcome.map_err(|cause| FitError::simulation(problem.model, cause))?);
        round += 1;
    }
}

struct Walker<'a> {
    problem: &'a Problem<'a>,
    options: &'a FitOptions,
    best: &'a Optimum<'a>,
    /// By how much the cost may rise; NaN: nothing says.
    rise: f64,
    tolerances: Tolerances,
    /// Minima that are better still are passed by.
    last_round: bool,
}

/// What was found on one side.
struct Side {
    /// On the scale of the search.
    end: f64,
    kind: ProfileEnd,
    points: Vec<(f64, f64)>,
    better: Option<(Vec<f64>, f64)>,
}

/// A point of the line where the others were fitted: z is √(rise/rise allowed), infinite where that can't be simulated.
#[derive(Clone)]
struct Point {
    at: f64,
    z: f64,
    others: Vec<f64>,
}

impl<'a> Walker<'a> {
    fn new(problem: &'a Problem<'a>, options: &'a FitOptions, best: &'a Optimum<'a>) -> Self {
        let degrees = (problem.samples - problem.columns.len()) as f64;
        let quantile = if Optimum::knows_sigma(problem, options) {
            ChiSquared::new(1.0).map_or(f64::NAN, |chi| chi.inverse_cdf(options.level))
        } else {
            FisherSnedecor::new(1.0, degrees).map_or(f64::NAN, |f| f.inverse_cdf(options.level))
        };
        let outcome = best.outcome;
        let rise = if outcome.stop.converged() { quantile * best.scatter.variance } else { f64::NAN };
        let mut tolerances = tolerances(problem, options);
        let cost = PRECISION * rise / outcome.evaluation.cost;
        tolerances.cost = tolerances.cost.max(if cost.is_finite() { cost } else { 0.0 });
        Self { problem, options, best, rise, tolerances, last_round: false }
    }

    /// Finds the interval's end on one side: the first crossing between two points looked at. A rise and fall between
    /// them isn't seen; the points are at most half-widths apart.
    fn walk(&self, column: usize, direction: f64) -> Result<Side, SimulationError> {
        let outcome = self.best.outcome;
        let mut others = outcome.q.clone();
        let centre = others.remove(column);
        let mut side = Side { end: f64::NAN, kind: ProfileEnd::Unknown, points: Vec::new(), better: None };
        if self.rise.is_nan() || self.rise <= 0.0 {
            return Ok(side);
        }
        let (lower, upper) = self.problem.columns.bounds();
        let bound = if direction < 0.0 { lower[column] } else { upper[column] };
        let (first, conditional) = self.first_steps(column);
        let mut inner = Point { at: centre, z: 0.0, others };
        let mut step = first;
        let mut outer = None;
        for _ in 0..STEPS_OUT_MAX {
            if inner.at == bound {
                (side.end, side.kind) = (bound, ProfileEnd::Bound);
                return Ok(side);
            }
            if (inner.at - centre).abs() > FAR * conditional {
                break;
            }
            let reach = centre + direction * step;
            let at = if direction < 0.0 { reach.max(bound) } else { reach.min(bound) };
            let point = self.point(column, at, &inner, &mut side)?;
            if side.better.is_some() {
                return Ok(side);
            }
            if point.z >= 1.0 {
                outer = Some(point);
                break;
            }
            // As if z were proportional to the distance, and a little further.
            step = (at - centre).abs() * (1.05 / point.z).clamp(1.3, 3.0);
            inner = point;
        }
        let Some(outer) = outer else {
            (side.end, side.kind) = (direction * f64::INFINITY, ProfileEnd::Open);
            return Ok(side);
        };
        self.close_in(column, centre, inner, outer, &mut side)?;
        Ok(side)
    }

    /// Secant steps on z, which is nearly linear, and bisection where they don't shorten the bracket.
    fn close_in(
        &self,
        column: usize,
        centre: f64,
        mut inner: Point,
        mut outer: Point,
        side: &mut Side,
    ) -> Result<(), SimulationError> {
        side.kind = ProfileEnd::Crossed;
        let mut bisect = false;
        for _ in 0..STEPS_IN_MAX {
            let width = (outer.at - inner.at).abs();
            if outer.z - 1.0 <= PRECISION {
                side.end = outer.at;
                return Ok(());
            }
            if 1.0 - inner.z <= PRECISION || width <= BRACKET_MIN * (outer.at - centre).abs() {
                break;
            }
            let part = if outer.z.is_finite() && !bisect { (1.0 - inner.z) / (outer.z - inner.z) } else { 0.5 };
            let at = inner.at + part * (outer.at - inner.at);
            if at == inner.at || at == outer.at {
                break;
            }
            let point = self.point(column, at, &inner, side)?;
            if side.better.is_some() {
                return Ok(());
            }
            if point.z >= 1.0 {
                outer = point
            } else {
                inner = point
            }
            bisect = (outer.at - inner.at).abs() > 0.5 * width;
        }
        side.end = inner.at;
        if outer.z.is_infinite() {
            side.kind = ProfileEnd::Simulation;
        }
        Ok(())
    }

    /// The half-width by the linear model, and that with the others held.
    fn first_steps(&self, column: usize) -> (f64, f64) {
        let Optimum { outcome, scatter, diagnosis } = self.best;
        let size = outcome.q[column].abs().max(1.0);
        let conditional = self.rise.sqrt() / scatter.jacobian.column(column).norm();
        let conditional = if conditional.is_finite() { conditional } else { 0.01 * size };
        let variance = scatter.covariance(&diagnosis.covariance)[(column, column)];
        let linear = (variance * self.rise / scatter.variance).sqrt();
        (if linear.is_finite() && linear > 0.0 { linear } else { conditional }, conditional)
    }

    /// Fits the others with the column held, from where they are at a neighbour.
    fn point(&self, column: usize, at: f64, near: &Point, side: &mut Side) -> Result<Point, SimulationError> {
        let problem = self.problem.without(column, at);
        match trust_region::minimise(&problem, near.others.clone(), &self.tolerances, &|_| {}) {
            Ok(end) => {
                let minimum = self.best.outcome.evaluation.cost;
                let rise = end.evaluation.cost - minimum;
                side.points.push((at, end.evaluation.cost));
                if rise < -BETTER * self.rise && !self.last_round {
                    let mut q = end.q.clone();
                    q.insert(column, at);
                    side.better = Some((q, end.evaluation.cost));
                }
                Ok(Point { at, z: (rise.max(0.0) / self.rise).sqrt(), others: end.q })
            }
            Err(SimulationError::Cancelled) => Err(SimulationError::Cancelled),
            Err(_) => Ok(Point { at, z: f64::INFINITY, others: near.others.clone() }),
        }
    }

    fn report(&self, column: usize, sides: &[Side]) -> ProfileReport {
        let columns = &self.problem.columns;
        let value = |at: f64| if at.is_finite() { columns.value_at(column, at) } else { at };
        let outcome = self.best.outcome;
        let mut points: Vec<(f64, f64)> = sides.iter().flat_map(|side| side.points.iter().copied()).collect();
        points.push((outcome.q[column], outcome.evaluation.cost));
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        ProfileReport {
            parameter: columns.list()[column].parameter,
            experiment: columns.list()[column].experiment,
            name: columns.parameter(column).name.clone(),
            level: self.options.level,
            threshold: outcome.evaluation.cost + self.rise,
            lower: value(sides[0].end),
            upper: value(sides[1].end),
            lower_end: sides[0].kind,
            upper_end: sides[1].kind,
            points: points.into_iter().map(|(at, cost)| (columns.value_at(column, at), cost)).collect(),
        }
    }
}
