//! What a filter is told: as the config selects it, in words, and undone for what is written to the PLC.

use std::{fmt, sync::Arc, time::Duration};

use super::{OutOfRange, Outlier};
use crate::sample::Value;

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
    /// `{ unit = { from = "degF" } }`: from that unit to the variable's.
    Unit {
        /// As the config names it.
        from: Arc<str>,
        /// As the config names the variable's.
        to: Arc<str>,
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
    /// `{ hampel = { window = 7, sigmas = 3 } }`: what to do with an outlier.
    Hampel {
        /// Values looked at.
        window: usize,
        /// How many of their scatter an outlier is off, at least.
        sigmas: f64,
        /// How far an outlier is off, at least.
        least: f64,
        /// What becomes of it.
        outlier: Outlier,
    },
    /// `{ lowpass = { time_constant = "5s" } }`.
    Lowpass {
        /// τ.
        time_constant: Duration,
    },
    /// `{ deadband = { absolute = 0.5 } }` or `{ deadband = { percent = 1 } }`.
    Deadband {
        /// What a value may move without being told, in the variable's unit.
        band: f64,
        /// The same in percent of the range, if it was given so.
        percent: Option<f64>,
        /// After that time it is told anyway.
        max_interval: Option<Duration>,
    },
    /// `{ debounce = { time = "500ms" } }`.
    Debounce {
        /// How long a state must stand.
        time: Duration,
    },
    /// `{ resample = { step = "1s", method = "linear" } }`.
    Resample {
        /// Between two instants of the grid.
        step: Duration,
        /// On the line between samples; else the previous one holds.
        linear: bool,
    },
    /// `{ order = { late = "keep", duplicates = "drop" } }`.
    Order {
        /// Whether those older than the newest go on.
        late: bool,
        /// Whether a second one at the same SourceTimestamp goes on.
        duplicates: bool,
    },
}

impl FilterSpec {
    /// Whether something may go on because time has passed.
    #[must_use]
    pub const fn needs_time(&self) -> bool {
        matches!(self, Self::Debounce { .. })
    }
}

/// What the PLC's variable must hold for the chain to show `value`: scales and units are undone; what only judges a value, or smooths or thins
/// them, is passed by.
#[must_use]
pub fn undone(specs: &[FilterSpec], value: Value) -> Value {
    specs.iter().rev().fold(value, |value, spec| match (spec, value.as_f64()) {
        (FilterSpec::Scale { factor, offset } | FilterSpec::Unit { factor, offset, .. }, Some(y)) => {
            Value::Double((y - offset) / factor)
        }
        _ => value,
    })
}

/// The chain in words, for the node `Definition`: `scale(×0.1 +0) → range(0…150, outside: uncertain)`.
#[must_use]
pub fn describe(specs: &[FilterSpec]) -> String {
    specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ")
}

impl fmt::Display for FilterSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = |keeps: bool| if keeps { "keep" } else { "drop" };
        match self {
            Self::Scale { factor, offset } => write!(f, "scale(×{factor} +{offset})"),
            Self::Unit { from, to, .. } => write!(f, "unit({from} to {to})"),
            Self::Range { low, high, outside } => write!(f, "range({low}…{high}, outside: {outside})"),
            Self::Hampel { window, sigmas, least, outlier } => {
                write!(f, "hampel(window: {window}, sigmas: {sigmas}, least: {least}, outlier: {outlier})")
            }
            Self::Lowpass { time_constant } => write!(f, "lowpass(time_constant: {time_constant:?})"),
            Self::Deadband { band, percent, max_interval } => {
                match percent {
                    Some(percent) => write!(f, "deadband({percent} %")?,
                    None => write!(f, "deadband({band}")?,
                }
                max_interval.map_or(Ok(()), |most| write!(f, ", max_interval: {most:?}"))?;
                f.write_str(")")
            }
            Self::Debounce { time } => write!(f, "debounce({time:?})"),
            Self::Resample { step, linear } => {
                write!(f, "resample({step:?}, {})", if *linear { "linear" } else { "previous" })
            }
            Self::Order { late, duplicates } => {
                write!(f, "order(late: {}, duplicates: {})", kept(*late), kept(*duplicates))
            }
        }
    }
}
