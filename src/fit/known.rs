//! Where an input has no sample for longer than its `max_gap`, it is not known: what is measured there takes no part, and what
//! comes after it is another experiment.

use crate::model::{DeadTime, Model};
use crate::simulate::Signal;

/// Times far from their origin are rounded; no input is sampled so fast that this counts.
const ROUNDING_S: f64 = 1e-6;

/// The stretches of `span` in which every input is known under θ, in order. The first begins where every input has a sample. A
/// stretch ends at the last sample before a gap and goes on at the next, which comes later by the input's dead time.
#[must_use]
pub fn known(model: &Model, theta: &[f64], inputs: &[Signal], span: (f64, f64)) -> Vec<(f64, f64)> {
    let mut gaps: Vec<(f64, f64)> = Vec::new();
    for (input, signal) in inputs.iter().enumerate() {
        let Some(most) = model.inputs()[input].max_gap_s else { continue };
        let delay = model.delay_s(input, theta);
        let next = signal.times.iter().skip(1).map(|next| (*next, *next + delay));
        // What comes after the last sample nobody knows: that gap has lasted until the data end.
        for (last, (next, goes_on)) in signal.times.iter().zip(next.chain([(span.1, f64::INFINITY)])) {
            if next - last > most + ROUNDING_S {
                gaps.push((*last, goes_on));
            }
        }
    }
    gaps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut from = inputs.iter().filter_map(|signal| signal.times.first().copied()).fold(span.0, f64::max);
    let mut known = Vec::new();
    for (begin, end) in gaps {
        if begin >= from {
            known.push((from, begin.min(span.1)));
        }
        from = from.max(end);
    }
    if from <= span.1 {
        known.push((from, span.1));
    }
    known
}

/// What the inputs do in a stretch in which they are known: as far back as a dead time reaches, but not across a gap, and up to
/// the first sample after it.
#[must_use]
pub fn inputs_within(model: &Model, inputs: &[Signal], (start, end): (f64, f64)) -> Vec<Signal> {
    let within = |(input, signal): (usize, &Signal)| {
        let last_until = |time: f64| signal.times.partition_point(|at| *at <= time).saturating_sub(1);
        let after_gap = model.inputs()[input].max_gap_s.and_then(|most| {
            (1..=last_until(start)).rev().find(|&i| signal.times[i] - signal.times[i - 1] > most + ROUNDING_S)
        });
        let reach = match model.dead_times()[input] {
            DeadTime::Number(delay) => delay,
            DeadTime::Parameter(index) => model.parameters()[index].max.max(0.0),
        };
        let first = last_until(start - reach).max(after_gap.unwrap_or(0));
        let past = (last_until(end) + 2).min(signal.times.len());
        Signal {
            times: signal.times[first..past].to_vec(),
            values: signal.values[first..past].to_vec(),
            hold: signal.hold,
        }
    };
    inputs.iter().enumerate().map(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Delay, Hold, InputSource, ModelSource, OutputSource};

    /// Two inputs, of which the first may be silent for `max_gap_s` and has a dead time.
    fn model(max_gap_s: Option<f64>, delay: f64) -> Model {
        let input = |name: &str, max_gap_s: Option<f64>, delay: f64| InputSource {
            name: name.into(),
            variable: name.into(),
            hold: Hold::Previous,
            delay: Delay::Number(delay),
            max_gap_s,
        };
        let output = OutputSource { name: "y".into(), expr: "u + v".into(), sigma: 1.0, loss: Default::default() };
        let inputs = vec![input("u", max_gap_s, delay), input("v", None, 0.0)];
        Model::compile(&ModelSource { inputs, outputs: vec![output], ..ModelSource::default() }).unwrap()
    }

    fn signal(times: &[f64]) -> Signal {
        Signal { times: times.to_vec(), values: times.to_vec(), hold: Hold::Previous }
    }

    #[test]
    fn stretches_end_before_a_gap_and_go_on_a_dead_time_after_it() {
        let inputs = [signal(&[0.0, 2.0, 4.0, 12.0, 14.0, 30.0]), signal(&[1.0])];
        let known = |max_gap, delay, end| known(&model(max_gap, delay), &[], &inputs, (-5.0, end));
        assert_eq!(known(None, 0.0, 40.0), [(1.0, 40.0)], "known as long as nobody says how often it comes");
        assert_eq!(known(Some(20.0), 0.0, 40.0), [(1.0, 40.0)]);
        assert_eq!(known(Some(10.0), 0.0, 40.0), [(1.0, 14.0), (30.0, 40.0)]);
        assert_eq!(known(Some(10.0), 3.0, 41.0), [(1.0, 14.0)], "silent ever since 30 s");
        assert_eq!(known(Some(2.0), 3.0, 31.0), [(1.0, 4.0)]);
        assert_eq!(known(Some(2.0), 1.0, 31.0), [(1.0, 4.0), (13.0, 14.0), (31.0, 31.0)]);
        assert_eq!(known(Some(1.0), 0.0, 31.0), [(2.0, 2.0), (4.0, 4.0), (12.0, 12.0), (14.0, 14.0), (30.0, 31.0)]);
    }

    #[test]
    fn what_inputs_did_before_a_gap_does_not_reach_into_the_stretch_after_it() {
        let inputs = [signal(&[0.0, 2.0, 4.0, 12.0, 14.0, 16.0]), signal(&[1.0, 3.0, 5.0, 13.0, 20.0, 40.0])];
        let within = |delay, span| inputs_within(&model(Some(5.0), delay), &inputs, span);
        assert_eq!(within(0.0, (12.0, 15.0)), [signal(&[12.0, 14.0, 16.0]), signal(&[5.0, 13.0, 20.0])]);
        assert_eq!(within(6.0, (18.0, 18.0)), [signal(&[12.0, 14.0, 16.0]), signal(&[13.0, 20.0])]);
        assert_eq!(within(1.5, (4.0, 4.0)), [signal(&[2.0, 4.0, 12.0]), signal(&[3.0, 5.0])]);
        assert_eq!(within(0.0, (0.0, 90.0)), inputs);
    }
}
