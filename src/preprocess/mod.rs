//! Between PLC and twin: one chain of filters per variable. Bad and missing samples pass through, marked; they are kept
//! out of statistics and fits, never out of history.
//!
//! A [`Filter`] cannot drop a sample: it gives one for one. Only a [`Thinning`] one can, which is there because the user asked for fewer.
//! Neither makes a Good sample out of a Bad one. Every filter's file says what becomes of status and timestamp, and of samples that come late.
//!
//! A filter is one file and one line in [`FilterSpec`].

mod deadband;
mod debounce;
mod hampel;
mod lowpass;
mod order;
mod range;
mod resample;
mod scale;
mod sequence;
mod spec;
mod unit;

#[cfg(test)]
mod properties;

pub use hampel::Outlier;
pub use range::OutOfRange;
pub use spec::{FilterSpec, describe, undone};
pub use unit::{conversion, quantity};

use crate::{sample::Sample, time::Timestamp};

/// A filter that judges or changes samples, one for one.
pub trait Filter: Send {
    /// The sample as it goes on. SourceTimestamp and the worse of the statuses are kept.
    fn apply(&mut self, sample: Sample) -> Sample;

    /// What comes next does not go on from what came: the source was silent in between.
    fn interrupt(&mut self) {}
}

/// Where samples go on to.
pub type Onward<'a> = dyn FnMut(Sample) + 'a;

/// A filter that lets fewer samples, or others, go on.
pub trait Thinning: Send {
    /// What goes on because this sample came, at `received`.
    fn apply(&mut self, sample: Sample, received: Timestamp, on: &mut Onward<'_>);

    /// What goes on because time has passed.
    fn tick(&mut self, _now: Timestamp, _on: &mut Onward<'_>) {}

    /// What comes next does not go on from what came: the source was silent in between.
    fn interrupt(&mut self);
}

/// A filter at work.
enum Stage {
    Judging(Box<dyn Filter>),
    Thinning(Box<dyn Thinning>),
}

/// A variable's filters in order.
pub struct Chain(Vec<Stage>);

impl Chain {
    /// Builds the filters that the config lists.
    #[must_use]
    pub fn new(specs: &[FilterSpec]) -> Self {
        Self(specs.iter().map(stage).collect())
    }

    /// Takes in a sample; gives what goes on after all filters, in order.
    pub fn apply(&mut self, sample: Sample, received: Timestamp, on: &mut Onward<'_>) {
        feed(&mut self.0, sample, received, on);
    }

    /// Time has passed; gives what goes on because of that.
    pub fn tick(&mut self, now: Timestamp, on: &mut Onward<'_>) {
        for first in 0..self.0.len() {
            let (before, after) = self.0.split_at_mut(first + 1);
            if let Some(Stage::Thinning(filter)) = before.last_mut() {
                filter.tick(now, &mut |sample| feed(after, sample, now, on));
            }
        }
    }

    /// What comes next does not go on from what came: the source was silent in between.
    pub fn interrupt(&mut self) {
        for stage in &mut self.0 {
            match stage {
                Stage::Judging(filter) => filter.interrupt(),
                Stage::Thinning(filter) => filter.interrupt(),
            }
        }
    }
}

/// One sample through the filters that are left. As deep as there are filters: the config bounds them.
fn feed(stages: &mut [Stage], sample: Sample, received: Timestamp, on: &mut Onward<'_>) {
    match stages.split_first_mut() {
        None => on(sample),
        Some((Stage::Judging(filter), rest)) => feed(rest, filter.apply(sample), received, on),
        Some((Stage::Thinning(filter), rest)) => {
            filter.apply(sample, received, &mut |sample| feed(rest, sample, received, on));
        }
    }
}

fn stage(spec: &FilterSpec) -> Stage {
    match *spec {
        FilterSpec::Scale { factor, offset } | FilterSpec::Unit { factor, offset, .. } => {
            Stage::Judging(Box::new(scale::Scale { factor, offset }))
        }
        FilterSpec::Range { low, high, outside } => Stage::Judging(Box::new(range::Range { low, high, outside })),
        FilterSpec::Hampel { window, sigmas, least, outlier } => {
            Stage::Judging(Box::new(hampel::Hampel::new(window, sigmas, least, outlier)))
        }
        FilterSpec::Lowpass { time_constant } => {
            Stage::Judging(Box::new(lowpass::Lowpass::new(time_constant.as_secs_f64())))
        }
        FilterSpec::Deadband { band, max_interval, .. } => {
            Stage::Thinning(Box::new(deadband::Deadband::new(band, max_interval)))
        }
        FilterSpec::Debounce { time } => Stage::Thinning(Box::new(debounce::Debounce::new(time))),
        FilterSpec::Resample { step, linear } => Stage::Thinning(Box::new(resample::Resample::new(step, linear))),
        FilterSpec::Order { late, duplicates } => Stage::Thinning(Box::new(order::Order::new(late, duplicates))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Seconds from when the tests begin.
    pub(super) fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(1.7e9 + seconds)
    }

    /// What goes on of samples that are received when they are sampled.
    pub(super) fn passed(filter: &mut dyn Thinning, samples: impl IntoIterator<Item = Sample>) -> Vec<Sample> {
        let mut went_on = Vec::new();
        for sample in samples {
            let received = sample.source_timestamp;
            filter.apply(sample, received, &mut |sample| went_on.push(sample));
        }
        went_on
    }

    #[test]
    fn a_chain_works_in_its_order_and_time_passes_through_what_follows() {
        let specs = [
            FilterSpec::Debounce { time: Duration::from_secs(1) },
            FilterSpec::Scale { factor: 10.0, offset: 0.0 },
            FilterSpec::Range { low: 0.0, high: 15.0, outside: OutOfRange::Uncertain },
        ];
        let mut chain = Chain::new(&specs);
        let mut went_on = Vec::new();
        for (t, x) in [(0.0, 1.0), (1.0, 2.0)] {
            chain.apply(Sample::good(at(t), x), at(t), &mut |sample| went_on.push(sample));
        }
        assert_eq!(went_on, [Sample::good(at(0.0), 10.0)]);
        chain.tick(at(9.0), &mut |sample| went_on.push(sample));
        let last = went_on.pop().unwrap();
        assert_eq!((last.source_timestamp, last.usable()), (at(1.0), Some(20.0)));
        assert!(last.status.is_uncertain());
    }
}
