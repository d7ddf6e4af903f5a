//! Live figures of a numeric variable over a rolling window. Functions of what is fed in: no clock, no I/O.

pub mod control;
pub mod correlation;
pub mod drift;
mod rolling;

pub use rolling::Rolling;

use crate::time::Timestamp;

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// By time, seconds.
    Duration(f64),
    /// By the number of samples that entered.
    Values(u32),
}

impl Default for Window {
    fn default() -> Self {
        Self::Duration(600.0)
    }
}

/// Moments, extremes and the time integral of the usable samples in `[start, end]`. With no sample every figure but
/// `count` is NaN; the sample variance is NaN below two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Start of what the figures cover.
    pub start: Timestamp,
    /// SourceTimestamp of the newest sample in them.
    pub end: Timestamp,
    /// Samples that entered.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Σ(y − mean)²/N: the σ² of the source text.
    pub variance_population: f64,
    /// Σ(y − mean)²/(N − 1).
    pub variance_sample: f64,
    /// Smallest.
    pub minimum: f64,
    /// Largest.
    pub maximum: f64,
    /// ∫ y dt over the time covered, unit·s: trapezoids between samples, steps for stepped variables.
    pub total: f64,
}
