//! A coarser copy of a fit's data: where a far start leads shows in an eighth of the samples for an eighth of the time.
//! Only the way is walked on it; every result is one of the whole data.

use super::residual::Problem;
use super::series::Series;
use super::{Experiment, Measured};
use crate::model::Hold;
use crate::simulate::Signal;

/// One sample for so many.
const STRIDE: usize = 8;
/// Data with fewer samples are fast enough as they are.
const SAMPLES_MIN: usize = 1_600;

/// The experiments and series thinned out; none where it isn't worth it.
pub(super) fn thinned(problem: &Problem<'_>) -> Option<(Vec<Experiment>, Vec<Vec<Series>>)> {
    let columns = problem.columns.len();
    if problem.samples < SAMPLES_MIN.max(4 * STRIDE * columns) || problem.model.states().is_empty() {
        return None;
    }
    let experiments = problem.experiments.iter().map(|experiment| Experiment {
        inputs: experiment.inputs.iter().map(coarse).collect(),
        outputs: vec![Measured::default(); experiment.outputs.len()],
        span: None,
    });
    let series = problem.series.iter().map(|outputs| outputs.iter().map(sparse).collect());
    Some((experiments.collect(), series.collect()))
}

fn sparse(series: &Series) -> Series {
    let every = |values: &[f64]| values.iter().copied().step_by(STRIDE).collect::<Vec<f64>>();
    let scale = (STRIDE as f64).sqrt();
    Series {
        times: every(&series.times),
        values: every(&series.values),
        scales: every(&series.scales).into_iter().map(|one| one * scale).collect(),
        ..Series::default()
    }
}

/// A held signal keeps its integral over each stretch; of a linear one every so many samples are kept.
fn coarse(signal: &Signal) -> Signal {
    let count = signal.times.len();
    if count < SAMPLES_MIN / STRIDE || signal.values.len() != count {
        return signal.clone();
    }
    let mean = |first: usize| {
        let end = (first + STRIDE).min(count - 1);
        let span = signal.times[end] - signal.times[first];
        let area: f64 = (first..end).map(|i| signal.values[i] * (signal.times[i + 1] - signal.times[i])).sum();
        if span > 0.0 { area / span } else { signal.values[first] }
    };
    let values = (0..count).step_by(STRIDE).map(|first| match signal.hold {
        Hold::Previous => mean(first),
        Hold::Linear => signal.values[first],
    });
    Signal {
        times: signal.times.iter().copied().step_by(STRIDE).collect(),
        values: values.collect(),
        hold: signal.hold,
    }
}
