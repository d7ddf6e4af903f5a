//! What history holds of a twin in a stretch of time, as the numerics want it: seconds from an origin, usable samples only.

use std::{sync::atomic::AtomicBool, time::Duration};

use super::{CallError, Jobs, SAMPLES_MAX};
use crate::{
    fit::{Experiment, Measured},
    history::Direction,
    model::{Expression, Model, Start},
    sample::{Sample, TwinId},
    simulate::{self, Options, Scenario, Signal},
    time::Timestamp,
    twin::{Facet, TwinModel},
};

/// One stretch.
pub(super) struct Recorded {
    /// What was asked for, null times resolved.
    pub(super) times: (Timestamp, Timestamp),
    /// Second zero: the first measurement.
    origin: Timestamp,
    /// Instants of each output's measurements.
    stamps: Vec<Vec<Timestamp>>,
    /// The same in seconds, with the inputs.
    pub(super) experiment: Experiment,
}

impl Recorded {
    /// Reads inputs and outputs of the twin's model.
    pub(super) fn read(jobs: &Jobs, twin: TwinId, times: (Timestamp, Timestamp)) -> Result<Self, CallError> {
        let spec = jobs.model(twin)?;
        let times = jobs.resolve(twin, times);
        if times.1 <= times.0 {
            return Err(CallError::InvalidArgument {
                arguments: vec![0, 1],
                message: "EndTime is not after StartTime".into(),
            });
        }
        let of = |variable: usize| read(jobs, twin, Facet::Variable(variable), times);
        let inputs =
            spec.inputs.iter().map(|v| with_value_before(jobs, twin, *v, times)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs = spec.outputs.iter().map(|v| of(*v)).collect::<Result<Vec<_>, _>>()?;
        outputs.iter_mut().for_each(|samples| samples.retain(|sample| sample.usable().is_some()));
        if let Some(when) = &spec.fit.when {
            let condition = Condition::read(jobs, twin, when, times)?;
            outputs.iter_mut().for_each(|samples| condition.keep(samples));
        }
        Self::new(&spec, times, &inputs, &outputs)
    }

    fn new(
        spec: &TwinModel,
        times: (Timestamp, Timestamp),
        inputs: &[Vec<Sample>],
        outputs: &[Vec<Sample>],
    ) -> Result<Self, CallError> {
        // A run begins when every input is known; measurements before that cannot be compared.
        let known = inputs.iter().map(|samples| first_usable(samples)).collect::<Option<Vec<_>>>();
        let known =
            known.ok_or_else(|| CallError::NoData("an input of the model has no usable sample in this time".into()))?;
        let begin = known.into_iter().max().unwrap_or(times.0).max(times.0);
        let comparable = |samples: &Vec<Sample>| -> Vec<Sample> {
            samples.iter().filter(|sample| sample.source_timestamp >= begin).cloned().collect()
        };
        let outputs: Vec<Vec<Sample>> = outputs.iter().map(comparable).collect();
        let origin = outputs.iter().filter_map(|samples| samples.first()).map(|sample| sample.source_timestamp).min();
        let origin = origin.ok_or_else(|| CallError::NoData("no usable measurement in this time".into()))?;
        let seconds = |sample: &Sample| sample.source_timestamp.seconds_since(origin);
        let signal = |(samples, input): (&Vec<Sample>, &crate::model::InputSource)| {
            let points = samples.iter().filter_map(|sample| Some((seconds(sample), sample.usable()?)));
            let (times, values) = points.unzip();
            Signal { times, values, hold: input.hold }
        };
        let measured = |samples: &Vec<Sample>| {
            let points = samples.iter().filter_map(|sample| Some((seconds(sample), sample.usable()?)));
            let (times, values): (Vec<_>, Vec<_>) = points.unzip();
            Measured { weights: vec![1.0; times.len()], times, values }
        };
        let experiment = Experiment {
            inputs: inputs.iter().zip(spec.model.inputs()).map(signal).collect(),
            outputs: outputs.iter().map(measured).collect(),
            span: None,
        };
        let stamps = outputs.iter().map(|samples| samples.iter().map(|s| s.source_timestamp).collect()).collect();
        Ok(Self { times, origin, stamps, experiment })
    }

    /// What comes before the `last` of the window, and the rest. Both runs begin at the window's first measurement, but for a
    /// model that starts where it is measured. `None`: one of the two has none.
    pub(super) fn split(&self, model: &Model, last: Duration) -> Option<(Experiment, Experiment)> {
        let cut = self.times.1.seconds_since(self.origin) - last.as_secs_f64();
        let part = |is_held_out: bool| {
            let outputs = self.experiment.outputs.iter().map(|of| {
                let kept = |at: &&f64| (**at >= cut) == is_held_out;
                let first = if is_held_out { of.times.partition_point(|at| *at < cut) } else { 0 };
                let count = of.times.iter().filter(kept).count();
                let range = first..first + count;
                Measured {
                    times: of.times[range.clone()].to_vec(),
                    values: of.values[range.clone()].to_vec(),
                    weights: of.weights[range].to_vec(),
                }
            });
            let outputs: Vec<Measured> = outputs.collect();
            let end = outputs.iter().filter_map(|of| of.times.last().copied()).reduce(f64::max)?;
            let first = outputs.iter().filter_map(|of| of.times.first().copied()).reduce(f64::min)?;
            let is_measured = model.starts().iter().any(|start| matches!(start, Start::Measured(_)));
            let span = Some((if is_measured { first } else { 0.0 }, end));
            Some(Experiment { inputs: self.experiment.inputs.clone(), outputs, span })
        };
        part(false).zip(part(true))
    }

    /// Usable measurements in all.
    pub(super) fn samples(&self) -> usize {
        self.stamps.iter().map(Vec::len).sum()
    }

    /// Instants of an output's measurements.
    pub(super) fn output_times(&self, output: usize) -> Vec<Timestamp> {
        self.stamps[output].clone()
    }

    /// ŷ of every output at its measurements' instants.
    pub(super) fn simulate(&self, model: &Model, theta: &[f64]) -> Result<Vec<Vec<f64>>, CallError> {
        Ok(self.trajectory(model, theta, None)?.outputs)
    }

    /// x at the last measurement.
    pub(super) fn final_state(&self, model: &Model, theta: &[f64]) -> Result<(Timestamp, Vec<f64>), CallError> {
        let end = self.stamps.iter().filter_map(|stamps| stamps.last()).max().copied().unwrap_or(self.origin);
        Ok((end, self.trajectory(model, theta, None)?.final_state))
    }

    /// The same, from x at `at` on, which is not after the first measurement.
    pub(super) fn final_state_from(
        &self,
        model: &Model,
        theta: &[f64],
        at: Timestamp,
        x: &[f64],
    ) -> Result<(Timestamp, Vec<f64>), CallError> {
        let end = self.stamps.iter().filter_map(|stamps| stamps.last()).max().copied().unwrap_or(self.origin);
        Ok((end, self.trajectory(model, theta, Some((at, x)))?.final_state))
    }

    fn trajectory(
        &self,
        model: &Model,
        theta: &[f64],
        from: Option<(Timestamp, &[f64])>,
    ) -> Result<simulate::Trajectory, CallError> {
        let outputs = &self.experiment.outputs;
        let output_times: Vec<&[f64]> = outputs.iter().map(|output| output.times.as_slice()).collect();
        let measured: Vec<Option<f64>> = outputs.iter().map(|output| output.values.first().copied()).collect();
        let end = output_times.iter().filter_map(|times| times.last().copied()).fold(0.0, f64::max);
        let scenario = Scenario {
            inputs: &self.experiment.inputs,
            span: (from.map_or(0.0, |(at, _)| at.seconds_since(self.origin).min(0.0)), end),
            output_times: &output_times,
            initial_state: from.map(|(_, x)| x),
            measured: &measured,
        };
        simulate::simulate(model, theta, &scenario, &Options::default(), &AtomicBool::new(false)).map_err(|error| {
            CallError::NoData(format!("the simulation did not get to its end: {}", error.describe(model)))
        })
    }
}

/// Every stored sample of a twin's series in `[start, end]`.
pub(super) fn read(
    jobs: &Jobs,
    twin: TwinId,
    facet: Facet,
    (start, end): (Timestamp, Timestamp),
) -> Result<Vec<Sample>, CallError> {
    let series = jobs.state.configured().series(twin, facet);
    let past_end = Timestamp::from_ticks(end.ticks().saturating_add(1));
    let samples = jobs.history.read(series, start..past_end, Direction::Forward, SAMPLES_MAX + 1);
    let samples = samples.map_err(|error| {
        tracing::error!(%error, "a job could not read history");
        CallError::Internal("history cannot be read; the log says why".into())
    })?;
    if samples.len() > SAMPLES_MAX {
        return Err(CallError::TooLarge(format!("more than {SAMPLES_MAX} samples of one variable: ask for less time")));
    }
    Ok(samples)
}

/// The same, led by the last sample before the start: what an input holds until its next.
fn with_value_before(
    jobs: &Jobs,
    twin: TwinId,
    variable: usize,
    times: (Timestamp, Timestamp),
) -> Result<Vec<Sample>, CallError> {
    let series = jobs.state.configured().series(twin, Facet::Variable(variable));
    let before = jobs.history.read(series, Timestamp::NULL..times.0, Direction::Backward, 1);
    let mut samples = before.map_err(|error| CallError::Internal(error.to_string()))?;
    samples.extend(read(jobs, twin, Facet::Variable(variable), times)?);
    Ok(samples)
}

fn first_usable(samples: &[Sample]) -> Option<Timestamp> {
    samples.iter().find(|sample| sample.usable().is_some()).map(|sample| sample.source_timestamp)
}

/// The config's `when`: which measurements take part.
struct Condition<'a> {
    when: &'a Expression,
    /// Of every variable of the type that is a number.
    variables: Vec<Vec<Sample>>,
}

impl<'a> Condition<'a> {
    fn read(jobs: &Jobs, twin: TwinId, when: &'a Expression, times: (Timestamp, Timestamp)) -> Result<Self, CallError> {
        let variables = &jobs.state.configured().type_of(twin).variables;
        let read =
            |v: usize| if variables[v].historize { with_value_before(jobs, twin, v, times) } else { Ok(Vec::new()) };
        Ok(Self { when, variables: (0..variables.len()).map(read).collect::<Result<_, _>>()? })
    }

    /// Keeps the samples at whose instants the condition holds, each variable read as its latest value there.
    fn keep(&self, samples: &mut Vec<Sample>) {
        let mut at = vec![0; self.variables.len()];
        let mut values = vec![f64::NAN; self.variables.len()];
        samples.retain(|sample| {
            for (v, variable) in self.variables.iter().enumerate() {
                while let Some(next) =
                    variable.get(at[v]).filter(|next| next.source_timestamp <= sample.source_timestamp)
                {
                    values[v] = next.usable().unwrap_or(f64::NAN);
                    at[v] += 1;
                }
            }
            self.when.holds(&values) // false where a variable that it uses is not known
        });
    }
}
