//! Whether a twin has moved away from its device: a test on the residual y − ŷ, one at a time, with a stated rate of false
//! alarms. A residual costs some 50 ns; the detector is 5 KB, and can be stored.
//!
//! Residuals are gathered into blocks (of a minute, and of 30 residuals at least), and of each block two figures are taken:
//! the mean ("level") and the correlation of neighbours about it ("whiteness", by Fisher's transformation). Correlation that is
//! shorter than a block is gone from the means, and what the residuals' distribution is hardly matters any more. Each
//! figure is whitened and standardised against all blocks before it since the start or the last [`Drift::reset`] (`whitener`):
//! the first hour is only learned from, and the error of what was learned is part of what later blocks are judged by. The
//! whitened figures, cut off at ±3, enter a two-sided CUSUM each, whose limit is that of independent normal numbers for half the
//! stated rate. Nothing is learned while an alarm stands. A larger spread of the residuals shows too: cut-off
//! figures of both signs take a sum across its limit.
//!
//! Assumed: that the residual is stationary while nothing has changed, over days as over minutes; what comes once a day
//! and was not there in the reference is a change. A change in the first hour is learned, not found; one soon after it is
//! found, for what is younger than half an hour is not learned yet.
//!
//! Measured (tests/numerics/drift.rs, 1 Hz, default settings): false alarms in 1,000 days, 50 twins from their start on, at
//! 12 a year, which is 32.9:
//!
//! | residual | level | whiteness |
//! |---|---|---|
//! | white, normal | 6 | 3 |
//! | AR(1), ρ = 0.5 | 6 | 4 |
//! | AR(1), ρ = 0.9 | 7 | 5 |
//! | Student t, 5 degrees of freedom | 4 | 2 |
//! | normal, rounded to steps of 3σ | 4 | 8 |
//! | AR(1), ρ = 0.9995, under white noise seven times as large | 25 | 3 |
//!
//! At one a year, which is 13.7 in 5,000 days (250 twins, 20 days each): white 6, AR(1) with ρ = 0.9 13.
//!
//! A parameter of the heater `thermal_one_body` (C/k = 1000 s, σ = 0.2 K, power switched every ten minutes) changed by a tenth,
//! at one false alarm a year, four runs each; minutes until the alarm, where the change comes twelve hours after the start,
//! and six minutes after the hour that is only learned from:
//!
//! | change | observer "none" | observer "ekf" | "none", at once | "ekf", at once |
//! |---|---|---|---|---|
//! | C + 10 % | 12 to 18 | 16 to 17 | 9 to 10 | 21 to 22 |
//! | C − 10 % | 11 to 19 | 14 to 15 | 9 to 10 | 20 to 21 |
//! | k + 10 % | 10 to 16 | 9 to 10 | 9 to 10 | 10 |
//! | k − 10 % | 10 to 17 | 10 | 9 to 10 | 9 to 10 |
//!
//! Stated: half an hour. Ten blocks are the least, for none counts more than 3σ.

pub use super::control::Side;

mod whitener;

use super::control::{Cusum, Sum, Sums};
use crate::time::Timestamp;
use whitener::Whitener;

/// How sharp the test is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Alarms that a residual may raise in a year of 365.25 days while nothing has changed.
    pub false_alarms_per_year: f64,
    /// Shortest block, seconds.
    pub block_s: f64,
    /// Fewest residuals in a block.
    pub block_samples: u32,
    /// Blocks that are only learned from, for each part of the test.
    pub learn_blocks: u32,
    /// Half the shift, in standard deviations of a block's figure, that is found fastest.
    pub k: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { false_alarms_per_year: 1.0, block_s: 60.0, block_samples: 30, learn_blocks: 60, k: 0.25 }
    }
}

/// Settings and the limit that follows from them: made once, some 0.1 s, for any number of twins.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Design {
    settings: Settings,
    chart: Cusum,
}

/// The charts are made for so much fewer false alarms than stated: for what is not quite normal or not quite white, and for the
/// first hours, in which what is known of a slow wander is half an hour old.
const MARGIN: f64 = 3.0;
const YEAR_S: f64 = 365.25 * 86_400.0;

impl Design {
    /// The limit at which all parts of the test together raise no more false alarms than stated; `None` where there is none:
    /// a rate of a thousandth to a block in two, k from 0.1 to 3.
    #[must_use]
    pub fn new(settings: Settings) -> Option<Self> {
        // Blocks are never shorter: a slower residual makes fewer of them and fewer false alarms.
        let blocks_per_year = YEAR_S / settings.block_s;
        let arl0 = MARGIN * Part::ALL.len() as f64 * blocks_per_year / settings.false_alarms_per_year;
        Cusum::with_arl0(settings.k, arl0).map(|chart| Self { settings, chart })
    }

    /// What it was made for.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The limit of both parts' sums.
    #[must_use]
    pub const fn limit(&self) -> f64 {
        self.chart.h
    }
}

/// Part of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Part {
    /// The residual's mean.
    Level,
    /// How a residual goes with the one before it.
    Whiteness,
}

impl Part {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Level, Self::Whiteness];
}

/// Where the test stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Whether an alarm stands.
    pub is_drifting: bool,
    /// The part that is nearest to its limit, or whose alarm stands.
    pub part: Part,
    /// Which way it went.
    pub side: Side,
    /// Its sum.
    pub statistic: f64,
    /// The sum's limit.
    pub limit: f64,
    /// End of the last block at which the sum was zero: when the change is estimated to have begun.
    pub since: Timestamp,
    /// Whether a part still only learns.
    pub is_learning: bool,
}

/// What a residual changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The residual is no longer what it was.
    Drift(Standing),
    /// It is again.
    Over(Standing),
}

/// One part's whitened figures and their sums.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Track {
    whitener: Whitener,
    sums: Sums,
    /// Last ends of a block with the sum at zero, up and down.
    zero_at: [Timestamp; 2],
    is_drifting: bool,
}

/// Sums stop here, in limits: the way back is not longer the longer a drift has stood.
const CAP: f64 = 1.25;

impl Track {
    fn new(design: &Design) -> Self {
        Self {
            whitener: Whitener::new(design.settings.learn_blocks as usize),
            sums: Sums::new(&design.chart),
            zero_at: [Timestamp::NULL; 2],
            is_drifting: false,
        }
    }

    /// A block's figure, from `start` to `end`.
    fn add(&mut self, chart: &Cusum, figure: f64, (start, end): (Timestamp, Timestamp), learning: bool) {
        let Some(u) = self.whitener.add(figure, learning) else { return };
        if self.zero_at[0].is_null() {
            self.zero_at = [start; 2];
        }
        self.is_drifting |= self.sums.add(chart, u).is_some();
        for (sum, zero_at) in [&mut self.sums.up, &mut self.sums.down].into_iter().zip(&mut self.zero_at) {
            sum.value = sum.value.min(CAP * chart.h);
            if sum.value == 0.0 {
                *zero_at = end;
            }
        }
        self.is_drifting &= self.larger().1.value > 0.0;
    }

    fn larger(&self) -> (Side, Sum) {
        self.sums.larger()
    }
}

/// The block in the making. Sums are of d, the residuals' distance from its first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Block {
    start: Timestamp,
    first: Option<f64>,
    before: f64,
    count: u32,
    sum: f64,
    squares: f64,
    /// Σ dₜ dₜ₋₁.
    products: f64,
}

/// The detector of one residual.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Drift {
    design: Design,
    newest: Timestamp,
    block: Option<Block>,
    level: Track,
    whiteness: Track,
}

impl Drift {
    /// Before the first residual.
    #[must_use]
    pub fn new(design: Design) -> Self {
        Self {
            design,
            newest: Timestamp::NULL,
            block: None,
            level: Track::new(&design),
            whiteness: Track::new(&design),
        }
    }

    /// Forgets everything: another revision is in force, and its residual is another.
    pub fn reset(&mut self) {
        *self = Self::new(self.design);
    }

    /// Begins again from zero with what it has learned: somebody has seen the alarm.
    pub fn rearm(&mut self) {
        for track in [&mut self.level, &mut self.whiteness] {
            track.sums = Sums::new(&self.design.chart);
            track.zero_at = [self.newest; 2];
            track.is_drifting = false;
        }
    }

    /// A bad or missing residual, or a device that was away: the block in the making is dropped.
    pub fn interrupt(&mut self) {
        self.block = None;
        self.level.whitener.interrupt();
        self.whiteness.whitener.interrupt();
    }

    /// Takes in a usable residual; one that is no finite number, or not newer than the last, does not count.
    pub fn add(&mut self, at: Timestamp, residual: f64) -> Option<Verdict> {
        if !residual.is_finite() || at <= self.newest {
            return None;
        }
        let settings = self.design.settings;
        if !self.newest.is_null() && at.seconds_since(self.newest) > settings.block_s {
            self.interrupt();
        }
        self.newest = at;
        let block = self.block.get_or_insert(Block { start: at, ..Block::default() });
        block.add(residual);
        if block.count < settings.block_samples || at.seconds_since(block.start) < settings.block_s {
            return None;
        }
        let block = self.block.take()?;
        self.judge(&block, at)
    }

    fn judge(&mut self, block: &Block, end: Timestamp) -> Option<Verdict> {
        let was_drifting = self.is_drifting();
        let span = (block.start, end);
        self.level.add(&self.design.chart, block.mean(), span, !was_drifting);
        if let Some(correlation) = block.correlation() {
            self.whiteness.add(&self.design.chart, correlation, span, !was_drifting);
        }
        match (was_drifting, self.is_drifting()) {
            (false, true) => Some(Verdict::Drift(self.state())),
            (true, false) => Some(Verdict::Over(self.state())),
            _ => None,
        }
    }

    fn is_drifting(&self) -> bool {
        self.level.is_drifting || self.whiteness.is_drifting
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> Standing {
        let rank = |track: &Track| (track.is_drifting, track.larger().1.value);
        let is_level = rank(&self.level) >= rank(&self.whiteness);
        let (part, track) = if is_level { (Part::Level, &self.level) } else { (Part::Whiteness, &self.whiteness) };
        let (side, sum) = track.larger();
        Standing {
            is_drifting: self.is_drifting(),
            part,
            side,
            statistic: sum.value,
            limit: self.design.limit(),
            since: track.zero_at[usize::from(side == Side::Down)],
            is_learning: self.level.whitener.centre().is_none() || self.whiteness.whitener.centre().is_none(),
        }
    }
}

impl Block {
    fn add(&mut self, residual: f64) {
        let d = residual - *self.first.get_or_insert(residual);
        if self.count > 0 {
            self.products += self.before * d;
        }
        self.before = d;
        self.count += 1;
        self.sum += d;
        self.squares += d * d;
    }

    fn mean(&self) -> f64 {
        self.first.unwrap_or(0.0) + self.sum / f64::from(self.count)
    }

    /// Correlation of neighbours about the block's mean, by Fisher's transformation; `None` where all are equal.
    fn correlation(&self) -> Option<f64> {
        let n = f64::from(self.count);
        let mean = self.sum / n;
        let variance = self.squares - n * mean * mean;
        // Σ (dₜ − m)(dₜ₋₁ − m), where the first d is zero and the last is `before`.
        let products = self.products - mean * (2.0 * self.sum - self.before) + (n - 1.0) * mean * mean;
        (variance > 1e-12 * self.squares).then(|| (products / variance).clamp(-0.9999, 0.9999).atanh())
    }
}
