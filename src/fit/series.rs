//! What of the measurements takes part in a fit.

use super::residual::SIZE_MAX;
use super::{Experiment, FitError, Measured};
use crate::model::{Model, OutputSource};

/// A step longer than so many usual ones is a gap: the residuals on both sides of it are no neighbours.
const GAP_STEPS: f64 = 5.0;

/// One output's usable samples in one experiment.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    pub(super) times: Vec<f64>,
    pub(super) values: Vec<f64>,
    /// √weight / σ.
    pub(super) scales: Vec<f64>,
    /// Index of the first sample of each stretch without a gap.
    pub(super) stretches: Vec<usize>,
    /// Measurements that are no number (or beyond any use), or whose weight is none.
    pub(super) missing: usize,
}

impl Series {
    /// The samples of each stretch.
    pub(super) fn stretches(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let ends = self.stretches.iter().skip(1).copied().chain([self.times.len()]);
        self.stretches.iter().copied().zip(ends).map(|(first, end)| first..end)
    }

    fn of(output: &OutputSource, measured: &Measured) -> Result<Self, FitError> {
        let count = measured.times.len();
        if measured.values.len() != count || !(measured.weights.is_empty() || measured.weights.len() == count) {
            return Err(FitError::Argument(format!(
                "output `{}`: times, values and weights differ in number",
                output.name
            )));
        }
        let gap = GAP_STEPS * usual_step(&measured.times);
        let mut series = Self::default();
        let mut cut = true;
        for sample in 0..count {
            let weight = measured.weights.get(sample).copied().unwrap_or(1.0);
            let (time, value) = (measured.times[sample], measured.values[sample]);
            if weight == 0.0 {
                cut = true;
                continue;
            }
            let scale = weight.sqrt() / output.sigma;
            let sizes = [value, scale, value * scale];
            if weight < 0.0 || !sizes.iter().all(|size| size.abs() <= SIZE_MAX) {
                series.missing += 1;
                cut = true;
                continue;
            }
            if cut || series.times.last().is_some_and(|last| time - last > gap) {
                series.stretches.push(series.times.len());
                cut = false;
            }
            series.times.push(time);
            series.values.push(value);
            series.scales.push(scale);
        }
        Ok(series)
    }
}

/// The samples of each output that have a value and a weight.
pub(super) fn usable(model: &Model, experiment: &Experiment) -> Result<Vec<Series>, FitError> {
    if experiment.outputs.len() != model.outputs().len() {
        let (wanted, given) = (model.outputs().len(), experiment.outputs.len());
        return Err(FitError::Argument(format!("the model has {wanted} outputs, {given} were given")));
    }
    model.outputs().iter().zip(&experiment.outputs).map(|(output, measured)| Series::of(output, measured)).collect()
}

/// First and last time of a simulation.
pub(super) fn span(experiment: &Experiment, series: &[Series]) -> (f64, f64) {
    experiment.span.unwrap_or_else(|| {
        let first = series.iter().filter_map(|series| series.times.first()).copied().fold(f64::INFINITY, f64::min);
        let last = series.iter().filter_map(|series| series.times.last()).copied().fold(f64::NEG_INFINITY, f64::max);
        if first <= last { (first, last) } else { (0.0, 0.0) }
    })
}

/// The median step; infinite without one.
fn usual_step(times: &[f64]) -> f64 {
    let mut steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if steps.is_empty() {
        return f64::INFINITY;
    }
    let middle = steps.len() / 2;
    let (_, median, _) = steps.select_nth_unstable_by(middle, f64::total_cmp);
    *median
}
