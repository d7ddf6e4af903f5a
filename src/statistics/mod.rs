//! Live figures of a variable over a rolling window. Functions of what is fed in: no clock, no I/O.

pub mod capability;
pub mod control;
pub mod correlation;
pub mod drift;
mod pane;
mod panes;
mod rolling;
mod sketch;
mod states;

pub use panes::{PANES, SAMPLES_MAX};
pub use rolling::{Rolling, Settings};

use crate::time::Timestamp;

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// By time, seconds.
    Duration(f64),
    /// By the number of samples that entered.
    Values(u32),
    /// To the last reset: nothing leaves.
    SinceReset,
}

impl Default for Window {
    fn default() -> Self {
        Self::Duration(600.0)
    }
}

/// Figures of the usable samples in `[start, end]`. With no sample every figure but `count` is NaN; the sample variance is
/// NaN below two samples.
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
    /// The values below which 5, 50 and 95 % lie: between order statistics (type 7, as NumPy) of up to [`SAMPLES_MAX`] samples,
    /// of more to a standard error of 0.93 % of the rank.
    pub percentiles: [f64; 3],
    /// Least squares over SourceTimestamp, unit/s; NaN below two samples.
    pub slope: f64,
    /// Two-sided, of a slope of zero, by Student t with N − 2 degrees of freedom (as `scipy.stats.linregress`); NaN below three, and
    /// where all values are alike.
    pub slope_p_value: f64,
    /// √N·M₃/M₂^1.5, biased (as `scipy.stats.skew`); NaN where all values are alike.
    pub skewness: f64,
    /// N·M₄/M₂² − 3, biased (as `scipy.stats.kurtosis`); NaN where all values are alike.
    pub kurtosis: f64,
    /// Mean of |yᵢ − yᵢ₋₁| of neighbours without a Bad sample between them; NaN without any.
    pub moving_range: f64,
}
