//! What an output will read, and how sure that is. Three things make it unsure, and none is left out: x is not known
//! better than the belief says, and drifts; θ is not known better than the data said (first order, by exact
//! sensitivities); and what is measured scatters about what is simulated.

use std::sync::atomic::AtomicBool;

use super::{Belief, Expected, Observer, Options, Scenario, Signal, SimulationError, simulate_with_sensitivities};
use crate::model::{Hold, Model};

/// What a prediction starts from, and what it is told.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    /// x now; with an empty covariance it counts as known.
    pub belief: &'a Belief,
    /// One for each input of the model, without its dead time.
    pub inputs: &'a [Signal],
    /// Seconds of `belief`.
    pub start_s: f64,
    /// Seconds at which the output is wanted: after the start, ascending.
    pub times: &'a [f64],
    /// Index of the output.
    pub output: usize,
    /// Indices of the parameters that were estimated, and their covariance, row-major; NaN where it is not known.
    pub estimated: (&'a [usize], &'a [f64]),
    /// Variance of a measurement about a simulation that is right.
    pub residual_variance: f64,
}

/// The output at the times asked for, and the standard deviation of what will be measured there; NaN where a parameter
/// matters of which nobody knows how well it is known.
///
/// # Errors
/// As [`simulate`](super::simulate).
pub fn predict(
    model: &Model,
    theta: &[f64],
    outlook: &Outlook<'_>,
    options: &Options,
    cancel: &AtomicBool,
) -> Result<Vec<(f64, f64)>, SimulationError> {
    let Some(&end) = outlook.times.last() else { return Ok(Vec::new()) };
    let mut output_times: Vec<&[f64]> = vec![&[]; model.outputs().len()];
    output_times[outlook.output] = outlook.times;
    let scenario = Scenario {
        inputs: outlook.inputs,
        span: (outlook.start_s, end),
        output_times: &output_times,
        initial_state: Some(&outlook.belief.x),
        measured: &[],
    };
    let (free, covariance) = outlook.estimated;
    let run = simulate_with_sensitivities(model, theta, &scenario, free, options, cancel)?;
    let by_state = state_variances(model, theta, outlook, options)?;
    let of_parameters = |point: usize| {
        let slopes = run.sensitivities.get(outlook.output).map_or(&[][..], |all| &all[point * free.len()..]);
        let mut variance = 0.0;
        for i in (0..free.len()).filter(|&i| slopes[i] != 0.0) {
            for j in (0..free.len()).filter(|&j| slopes[j] != 0.0) {
                variance += slopes[i] * covariance[i * free.len() + j] * slopes[j];
            }
        }
        variance
    };
    let values = run.outputs[outlook.output].iter().enumerate();
    Ok(values
        .map(|(point, &value)| {
            let variance = by_state[point] + of_parameters(point) + outlook.residual_variance;
            (value, if variance < 0.0 { 0.0 } else { variance.sqrt() })
        })
        .collect())
}

/// HPHᵀ at each time, P carried there from the belief.
fn state_variances(
    model: &Model,
    theta: &[f64],
    outlook: &Outlook<'_>,
    options: &Options,
) -> Result<Vec<f64>, SimulationError> {
    if outlook.belief.p.is_empty() {
        return Ok(vec![0.0; outlook.times.len()]);
    }
    let (mut observer, mut belief) = (Observer::new(model), outlook.belief.clone());
    let mut knots: Vec<f64> = outlook.times.to_vec();
    for (input, signal) in outlook.inputs.iter().enumerate() {
        let delay = model.delay_s(input, theta);
        knots.extend(signal.times.iter().map(|time| time + delay).filter(|time| *time > outlook.start_s));
    }
    knots.sort_unstable_by(f64::total_cmp);
    let mut expected = vec![Expected::default(); model.outputs().len()];
    let mut variances = Vec::with_capacity(outlook.times.len());
    let mut at = outlook.start_s;
    for knot in knots {
        if variances.len() == outlook.times.len() {
            break;
        }
        let (from, to) = (inputs_at(model, theta, outlook.inputs, at), inputs_at(model, theta, outlook.inputs, knot));
        observer.predict(model, theta, &mut belief, (at, knot), (&from, &to), options)?;
        at = knot;
        while outlook.times.get(variances.len()) == Some(&at) {
            observer.expect(model, theta, &belief, (&to, at), &mut expected);
            variances.push(expected[outlook.output].variance);
        }
    }
    Ok(variances)
}

/// u(t), dead times included; from a knot on, its value.
fn inputs_at(model: &Model, theta: &[f64], inputs: &[Signal], time_s: f64) -> Vec<f64> {
    let at = |(input, signal): (usize, &Signal)| {
        let t = time_s - model.delay_s(input, theta);
        let passed = signal.times.partition_point(|time| *time <= t);
        let before = passed.saturating_sub(1);
        let (Some(&value), Some(&from)) = (signal.values.get(before), signal.times.get(before)) else {
            return f64::NAN;
        };
        match (signal.hold, signal.times.get(passed).filter(|_| passed > 0)) {
            (Hold::Linear, Some(&to)) => value + (signal.values[passed] - value) * (t - from) / (to - from),
            _ => value,
        }
    };
    inputs.iter().enumerate().map(at).collect()
}
