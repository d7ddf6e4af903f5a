//! Several starts: the first at the values in force, the others by a Latin hypercube over the bounds. Deterministic.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::optima::Around;
use super::residual::Problem;
use super::thin;
use super::trust_region::{self, Outcome, Tolerances};
use super::{FitError, FitOptions, STARTS_MAX};
use crate::simulate::SimulationError;

/// How far around its value a parameter without bounds is searched: a decade on a logarithmic scale.
const DECADE: f64 = std::f64::consts::LN_10;

/// Relative reduction of the cost below which a start's basin is clear.
const ROUGH_COST_TOLERANCE: f64 = 1e-4;
/// A rough end that costs this part more than the best can't become the best: what it still promised was below
/// [`ROUGH_COST_TOLERANCE`].
const HOPELESS_EXCESS: f64 = 0.1;

/// Where every start ended; those that couldn't be simulated are `None`. The best is whole, the others are compact.
pub(super) struct Starts {
    pub(super) points: Vec<Vec<f64>>,
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) best: usize,
}

impl Starts {
    pub(super) fn best(&self) -> &Outcome {
        self.outcomes[self.best].as_ref().expect("the best start was chosen among those with an outcome")
    }

    /// The best start went on to another end; a worse one is no news.
    pub(super) fn improve(&mut self, end: Outcome) {
        let best = self.best();
        if end.evaluation.cost < best.evaluation.cost {
            let (iterations, evaluations) = (best.iterations + end.iterations, best.evaluations + end.evaluations);
            let (cost_at_start, spread_at_start) = (best.cost_at_start, best.spread_at_start.clone());
            self.outcomes[self.best] = Some(Outcome { iterations, evaluations, cost_at_start, spread_at_start, ..end });
        }
    }
}

/// When a start has converged.
pub(super) fn tolerances(problem: &Problem<'_>, options: &FitOptions) -> Tolerances {
    let cost = options.cost_tolerance.unwrap_or(if problem.model.states().is_empty() { 1e-18 } else { 1e-12 });
    Tolerances { cost, step: options.step_tolerance, iterations_max: options.iterations_max }
}

pub(super) fn run(
    problem: &Problem<'_>,
    options: &FitOptions,
    progress: &(dyn Fn(f64) + Sync),
) -> Result<Starts, FitError> {
    let count = options.starts.clamp(1, STARTS_MAX);
    let tolerances = tolerances(problem, options);
    let points = points(problem, count, options.seed);
    // The first start to the end; the others only as far as shows where they go.
    let rough = Tolerances { cost: tolerances.cost.max(ROUGH_COST_TOLERANCE), ..tolerances };
    let done = AtomicUsize::new(0);
    let furthest = Furthest::default();
    let tell = |fraction: f64| {
        let starts = done.load(Ordering::Relaxed) as f64 + fraction;
        progress(furthest.past(starts / (count + 1) as f64));
    };
    let data = if count > 1 { thin::thinned(problem) } else { None };
    let coarse = data.as_ref().map(|(experiments, series)| problem.with_data(experiments, series.clone()));
    let one = |index: usize| {
        let outcome = if index == 0 {
            trust_region::minimise(problem, points[0].clone(), &tolerances, &tell)
        } else {
            far(problem, coarse.as_ref(), &points[index], &rough, &tell).map(compact)
        };
        done.fetch_add(1, Ordering::Relaxed);
        outcome
    };
    let mut outcomes = Vec::with_capacity(count);
    let mut failure = None;
    for result in spread(count, options.threads, &one) {
        match result {
            Ok(outcome) => outcomes.push(Some(outcome)),
            Err(SimulationError::Cancelled) => return Err(FitError::Cancelled),
            Err(error) => {
                failure.get_or_insert(error);
                outcomes.push(None);
            }
        }
    }
    polish(problem, &mut outcomes, &tolerances)?;
    let cost = |outcome: &Option<Outcome>| outcome.as_ref().map_or(f64::INFINITY, |outcome| outcome.evaluation.cost);
    let mut best = 0;
    for index in 1..outcomes.len() {
        // Only a clear gain moves the answer away from an earlier start: equal optima keep the values in force nearest.
        if cost(&outcomes[index]) < cost(&outcomes[best]) * (1.0 - 1e-9) {
            best = index;
        }
    }
    let Some(outcome) = &mut outcomes[best] else {
        let cause = failure.unwrap_or(SimulationError::StartUnknown);
        return Err(FitError::simulation(problem.model, cause));
    };
    if !outcome.evaluation.is_whole() {
        outcome.evaluation =
            problem.evaluate(&outcome.q).map_err(|cause| FitError::simulation(problem.model, cause))?;
    }
    Ok(Starts { points, outcomes, best })
}

fn compact(outcome: Outcome) -> Outcome {
    Outcome { evaluation: outcome.evaluation.compact(), ..outcome }
}

/// A start from afar: the way on the coarse data if there are any, its end on all of them.
fn far(
    problem: &Problem<'_>,
    coarse: Option<&Problem<'_>>,
    point: &[f64],
    rough: &Tolerances,
    tell: &dyn Fn(f64),
) -> Result<Outcome, SimulationError> {
    let way = coarse.map(|coarse| trust_region::minimise(coarse, point.to_vec(), rough, &|_| {}));
    let (from, iterations, evaluations) = match way {
        Some(Err(SimulationError::Cancelled)) => return Err(SimulationError::Cancelled),
        Some(Ok(way)) => (way.q, way.iterations, way.evaluations),
        _ => (point.to_vec(), 0, 0),
    };
    let end = match trust_region::minimise(problem, from, rough, tell) {
        Err(error) if iterations > 0 && error != SimulationError::Cancelled => {
            trust_region::minimise(problem, point.to_vec(), rough, tell)?
        }
        other => other?,
    };
    Ok(Outcome { iterations: end.iterations + iterations, evaluations: end.evaluations + evaluations, ..end })
}

/// Progress that never falls, though threads report out of order: in millionths.
#[derive(Default)]
pub(super) struct Furthest(AtomicUsize);

impl Furthest {
    pub(super) fn past(&self, fraction: f64) -> f64 {
        let millionths = (1e6 * fraction) as usize;
        self.0.fetch_max(millionths, Ordering::Relaxed).max(millionths) as f64 / 1e6
    }
}

/// Runs `one` for every index, over at most `threads` threads, and gives the results in order.
pub(super) fn spread<T: Send>(count: usize, threads: usize, one: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let threads = threads.clamp(1, count);
    if threads == 1 {
        return (0..count).map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return results;
            }
            results.push((index, one(index)));
        }
    };
    let mut results: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let finished = workers.into_iter().map(|worker| worker.join().expect("a start doesn't panic"));
        finished.flatten().collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Takes rough ends to the optimum where they could be a better one than the best known; the others stay rough.
fn polish(problem: &Problem<'_>, outcomes: &mut [Option<Outcome>], tolerances: &Tolerances) -> Result<(), FitError> {
    let mut order: Vec<usize> = (0..outcomes.len()).filter(|&index| outcomes[index].is_some()).collect();
    let cost = |outcome: &Option<Outcome>| outcome.as_ref().map_or(f64::INFINITY, |outcome| outcome.evaluation.cost);
    order.sort_by(|&a, &b| cost(&outcomes[a]).total_cmp(&cost(&outcomes[b])));
    let mut best: Option<Outcome> = outcomes[0].clone().map(compact);
    for index in order.into_iter().filter(|&index| index != 0) {
        let Some(rough) = outcomes[index].clone() else { continue };
        let known = best.as_ref().is_some_and(|best| {
            rough.evaluation.cost > best.evaluation.cost * (1.0 + HOPELESS_EXCESS)
                || Around::new(best, problem).has(&rough)
        });
        if known || !rough.stop.converged() {
            continue;
        }
        let polished = match trust_region::minimise(problem, rough.q.clone(), tolerances, &|_| {}).map(compact) {
            Ok(outcome) => Outcome {
                iterations: rough.iterations + outcome.iterations,
                evaluations: rough.evaluations + outcome.evaluations,
                cost_at_start: rough.cost_at_start,
                spread_at_start: rough.spread_at_start.clone(),
                ..outcome
            },
            Err(SimulationError::Cancelled) => return Err(FitError::Cancelled),
            Err(_) => continue,
        };
        if best.as_ref().is_none_or(|best| polished.evaluation.cost < best.evaluation.cost) {
            best = Some(polished.clone());
        }
        outcomes[index] = Some(polished);
    }
    Ok(())
}

/// The starting points on the scale of the search.
fn points(problem: &Problem<'_>, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let first = problem.columns.start();
    let (lower, upper) = problem.columns.bounds();
    let mut random = SplitMix(seed);
    let mut points = vec![first.clone(); count];
    let strata = count - 1;
    for (position, &value) in first.iter().enumerate() {
        let log = problem.columns.parameter(position).log;
        let reach = if log { DECADE } else { 2.0 * value.abs().max(1.0) };
        let low =
            if lower[position].is_finite() { lower[position] } else { (value - reach).min(upper[position] - reach) };
        let high = if upper[position].is_finite() { upper[position] } else { (value + reach).max(low + reach) };
        let mut order: Vec<usize> = (0..strata).collect();
        for index in (1..strata).rev() {
            order.swap(index, (random.next() % (index as u64 + 1)) as usize);
        }
        for (point, stratum) in points[1..].iter_mut().zip(order) {
            let fraction = (stratum as f64 + random.unit()) / strata as f64;
            point[position] = (low + fraction * (high - low)).clamp(lower[position], upper[position]);
        }
    }
    points
}

/// SplitMix64 (Steele, Lea, Flood 2014): a few lines, and the same on every machine for ever.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
