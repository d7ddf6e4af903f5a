//! Between PLC and twin: one chain of filters per variable. Bad and missing samples pass through, marked; they are kept
//! out of statistics and fits, never out of history.
//!
//! A filter is one file and one line in [`FilterSpec`].

mod range;
mod scale;

pub use range::OutOfRange;

use crate::sample::{Sample, Value};

/// A filter as the config selects it.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterSpec {
    /// `{ scale = { factor = 0.1, offset = 0 } }`: y = factor·x + offset.
    Scale {
        /// Multiplies.
        factor: f64,
        /// Added after.
        offset: f64,
    },
    /// `{ range = { outside = "uncertain" } }`: what to do with a value outside the variable's `range`.
    Range {
        /// Smallest good value.
        low: f64,
        /// Largest good value.
        high: f64,
        /// What becomes of the others.
        outside: OutOfRange,
    },
}

/// One filter at work; most have no memory, some do.
pub trait Filter: Send {
    /// The sample as it goes on. SourceTimestamp and the worse of the statuses are kept.
    fn apply(&mut self, sample: Sample) -> Sample;
}

/// A variable's filters in order.
pub struct Chain(Vec<Box<dyn Filter>>);

impl Chain {
    /// Builds the filters that the config lists.
    #[must_use]
    pub fn new(specs: &[FilterSpec]) -> Self {
        Self(
            specs
                .iter()
                .map(|spec| -> Box<dyn Filter> {
                    match *spec {
                        FilterSpec::Scale { factor, offset } => Box::new(scale::Scale { factor, offset }),
                        FilterSpec::Range { low, high, outside } => Box::new(range::Range { low, high, outside }),
                    }
                })
                .collect(),
        )
    }

    /// The sample after all filters.
    pub fn apply(&mut self, sample: Sample) -> Sample {
        self.0.iter_mut().fold(sample, |sample, filter| filter.apply(sample))
    }
}

/// What the PLC's variable must hold for the chain to show `value`: scales are undone; what only judges a value is passed by.
#[must_use]
pub fn undone(specs: &[FilterSpec], value: Value) -> Value {
    specs.iter().rev().fold(value, |value, spec| match (spec, value.as_f64()) {
        (FilterSpec::Scale { factor, offset }, Some(y)) => Value::Double((y - offset) / factor),
        _ => value,
    })
}

/// The chain in words, for the node `Definition`: `scale(×0.1 +0) → range(0…150, outside: uncertain)`.
#[must_use]
pub fn describe(specs: &[FilterSpec]) -> String {
    let words = specs.iter().map(|spec| match spec {
        FilterSpec::Scale { factor, offset } => format!("scale(×{factor} +{offset})"),
        FilterSpec::Range { low, high, outside } => format!("range({low}…{high}, outside: {outside})"),
    });
    words.collect::<Vec<_>>().join(" → ")
}
