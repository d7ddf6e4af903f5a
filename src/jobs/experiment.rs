//! What history holds of a twin in a stretch of time, as the numerics want it: seconds from an origin, usable samples only, and
//! a run of its own behind each gap of an input.

use std::{sync::atomic::AtomicBool, time::Duration};

use super::{CallError, Jobs, SAMPLES_MAX};
use crate::{
    fit::{self, Experiment, Measured},
    history::Direction,
    model::{Expression, Model, Start},
    sample::{Sample, TwinId},
    simulate::{self, Scenario, Signal},
    time::Timestamp,
    twin::{Facet, TwinModel},
};

/// One stretch.
pub(super) struct Recorded {
    /// What was asked for, null times resolved.
    pub(super) times: (Timestamp, Timestamp),
    /// Second zero: the first measurement.
    origin: Timestamp,
    /// Instants of each output's measurements that take part.
    stamps: Vec<Vec<Timestamp>>,
    /// The same in seconds, with the inputs: all of it, as if there were no gap.
    whole: Experiment,
    /// The stretches in which every input is known.
    known: Vec<(f64, f64)>,
}

/// The runs of a fit with a held-out end.
pub(super) struct Split {
    pub(super) fitted: Vec<Experiment>,
    pub(super) held_out: Vec<Experiment>,
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
        let counts = |sample: &Sample| sample.usable().is_some() && weight(&spec, sample) > 0.0;
        outputs.iter_mut().for_each(|samples| samples.retain(counts));
        if let Some(when) = &spec.fit.when {
            let condition = Condition::read(jobs, twin, when, times)?;
            outputs.iter_mut().for_each(|samples| condition.keep(samples));
        }
        let theta = jobs.state.read(twin).parameters.to_vec();
        Self::new(&spec, &theta, times, &inputs, &outputs)
    }

    fn new(
        spec: &TwinModel,
        theta: &[f64],
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
        let mut outputs: Vec<Vec<Sample>> = outputs.iter().map(comparable).collect();
        let origin = outputs.iter().filter_map(|samples| samples.first()).map(|sample| sample.source_timestamp).min();
        let origin = origin.ok_or_else(|| CallError::NoData("no usable measurement in this time".into()))?;
        let end = outputs.iter().filter_map(|samples| samples.last()).map(|sample| sample.source_timestamp).max();
        let seconds = |sample: &Sample| sample.source_timestamp.seconds_since(origin);
        let signal = |(samples, input): (&Vec<Sample>, &crate::model::InputSource)| {
            let points = samples.iter().filter_map(|sample| Some((seconds(sample), sample.usable()?)));
            let (times, values) = points.unzip();
            Signal { times, values, hold: input.hold }
        };
        let measured = |samples: &Vec<Sample>| {
            let points = samples.iter().filter_map(|sample| Some((seconds(sample), sample.usable()?)));
            let (times, values): (Vec<_>, Vec<_>) = points.unzip();
            Measured { weights: samples.iter().map(|sample| weight(spec, sample)).collect(), times, values }
        };
        let inputs: Vec<Signal> = inputs.iter().zip(spec.model.inputs()).map(signal).collect();
        let span = (begin.seconds_since(origin), end.unwrap_or(origin).seconds_since(origin));
        let known = fit::known(&spec.model, theta, &inputs, span);
        let is_known = |sample: &Sample| {
            let at = seconds(sample);
            known.get(known.partition_point(|(_, end)| *end < at)).is_some_and(|(begin, _)| *begin <= at)
        };
        outputs.iter_mut().for_each(|samples| samples.retain(is_known));
        if outputs.iter().all(Vec::is_empty) {
            let message = "an input of the model has no usable sample for longer than its max_gap wherever there are measurements";
            return Err(CallError::NoData(message.into()));
        }
        let whole = Experiment { inputs, outputs: outputs.iter().map(measured).collect(), span: None };
        let stamps = outputs.iter().map(|samples| samples.iter().map(|s| s.source_timestamp).collect()).collect();
        Ok(Self { times, origin, stamps, whole, known })
    }

    /// A run for each stretch in which every input is known and more than `least` measurements were made.
    pub(super) fn runs(&self, model: &Model, least: usize) -> Vec<Experiment> {
        if let [_] = self.known.as_slice() {
            return vec![self.whole.clone()];
        }
        let run = |&(begin, end): &(f64, f64)| {
            let outputs: Vec<Measured> = self.whole.outputs.iter().map(|of| within(of, begin, end)).collect();
            let count: usize = outputs.iter().map(|of| of.times.len()).sum();
            let inputs = || fit::inputs_within(model, &self.whole.inputs, (begin, end));
            (count > least).then(|| Experiment { inputs: inputs(), outputs, span: None })
        };
        self.known.iter().filter_map(run).collect()
    }

    /// What of the runs comes before the `last` of the window, and the rest. Of a run that is cut both parts begin at its first
    /// measurement, but for a model that starts where it is measured. `None`: one of the two has no measurement.
    pub(super) fn split(&self, model: &Model, last: Duration, least: usize) -> Option<Split> {
        let cut = self.times.1.seconds_since(self.origin) - last.as_secs_f64();
        let is_measured = model.starts().iter().any(|start| matches!(start, Start::Measured(_)));
        let part = |run: &Experiment, from: f64, to: f64| {
            let outputs: Vec<Measured> = run.outputs.iter().map(|of| within(of, from, to)).collect();
            let first = bounds(if is_measured { &outputs } else { &run.outputs })?.0;
            let span = Some((first, bounds(&outputs)?.1));
            Some(Experiment { inputs: run.inputs.clone(), outputs, span })
        };
        let runs = self.runs(model, least);
        let fitted: Vec<_> = runs.iter().filter_map(|run| part(run, f64::NEG_INFINITY, cut.next_down())).collect();
        let held_out: Vec<_> = runs.iter().filter_map(|run| part(run, cut, f64::INFINITY)).collect();
        (!fitted.is_empty() && !held_out.is_empty()).then_some(Split { fitted, held_out })
    }

    /// Usable measurements in all.
    pub(super) fn samples(&self) -> usize {
        self.stamps.iter().map(Vec::len).sum()
    }

    /// Instants of an output's measurements.
    pub(super) fn output_times(&self, output: usize) -> Vec<Timestamp> {
        self.stamps[output].clone()
    }

    /// ŷ of every output at its measurements' instants; every run starts as the model says.
    pub(super) fn simulate(&self, spec: &TwinModel, theta: &[f64]) -> Result<Vec<Vec<f64>>, CallError> {
        let mut all = vec![Vec::new(); self.whole.outputs.len()];
        for run in self.runs(&spec.model, 0) {
            let start = bounds(&run.outputs).map_or(0.0, |(first, _)| first);
            let simulated = trajectory(spec, theta, &run, start, None)?.outputs;
            all.iter_mut().zip(simulated).for_each(|(all, run)| all.extend(run));
        }
        Ok(all)
    }

    /// x at the last measurement, of one run from the first on: what an input did meanwhile it goes on doing in a gap, as beside
    /// the device.
    pub(super) fn final_state(&self, spec: &TwinModel, theta: &[f64]) -> Result<(Timestamp, Vec<f64>), CallError> {
        self.final_state_since(spec, theta, 0.0)
    }

    /// The same, of a run that starts at `start_s`.
    pub(super) fn final_state_since(
        &self,
        spec: &TwinModel,
        theta: &[f64],
        start_s: f64,
    ) -> Result<(Timestamp, Vec<f64>), CallError> {
        let outputs = self.whole.outputs.iter().map(|of| within(of, start_s, f64::INFINITY)).collect();
        let since = Experiment { inputs: self.whole.inputs.clone(), outputs, span: None };
        Ok((self.end(), trajectory(spec, theta, &since, start_s, None)?.final_state))
    }

    fn end(&self) -> Timestamp {
        self.stamps.iter().filter_map(|stamps| stamps.last()).max().copied().unwrap_or(self.origin)
    }

    /// The same, from x at `at` on, which is not after the first measurement.
    pub(super) fn final_state_from(
        &self,
        spec: &TwinModel,
        theta: &[f64],
        at: Timestamp,
        x: &[f64],
    ) -> Result<(Timestamp, Vec<f64>), CallError> {
        let start = at.seconds_since(self.origin).min(0.0);
        Ok((self.end(), trajectory(spec, theta, &self.whole, start, Some(x))?.final_state))
    }
}

/// From `start` to the last measurement.
fn trajectory(
    spec: &TwinModel,
    theta: &[f64],
    run: &Experiment,
    start: f64,
    initial_state: Option<&[f64]>,
) -> Result<simulate::Trajectory, CallError> {
    let output_times: Vec<&[f64]> = run.outputs.iter().map(|output| output.times.as_slice()).collect();
    let measured: Vec<Option<f64>> = run.outputs.iter().map(|output| output.values.first().copied()).collect();
    let end = bounds(&run.outputs).map_or(start, |(_, last)| last);
    let scenario = Scenario {
        inputs: &run.inputs,
        span: (start, end),
        output_times: &output_times,
        initial_state,
        measured: &measured,
    };
    simulate::simulate(&spec.model, theta, &scenario, &spec.solver, &AtomicBool::new(false)).map_err(|error| {
        CallError::NoData(format!("the simulation did not get to its end: {}", error.describe(&spec.model)))
    })
}

/// First and last instant at which any was measured.
pub(super) fn bounds(outputs: &[Measured]) -> Option<(f64, f64)> {
    let first = outputs.iter().filter_map(|of| of.times.first().copied()).reduce(f64::min)?;
    let last = outputs.iter().filter_map(|of| of.times.last().copied()).reduce(f64::max)?;
    Some((first, last))
}

/// What was measured from one instant to another, both included.
fn within(of: &Measured, from: f64, to: f64) -> Measured {
    let range = of.times.partition_point(|at| *at < from)..of.times.partition_point(|at| *at <= to);
    Measured {
        times: of.times[range.clone()].to_vec(),
        values: of.values[range.clone()].to_vec(),
        weights: of.weights[range].to_vec(),
    }
}

/// Of a usable measurement.
fn weight(spec: &TwinModel, sample: &Sample) -> f64 {
    if sample.status.is_uncertain() { spec.fit.uncertain } else { 1.0 }
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
        let configured = jobs.state.configured();
        let variables = &configured.type_of(twin).variables;
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
