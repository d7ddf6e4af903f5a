//! A window cut into panes: each sample updates one pane (Welford), a reading merges at most [`PANES`] of them (Chan et al.
//! 1979), and a pane leaves as a whole. Nothing is ever subtracted, so nothing drifts. The window's start is that of its
//! oldest pane: the figures are exact for `[start, end]`, which is at most 1/60 shorter than what the config asks for.

use std::collections::VecDeque;

use super::{Summary, Window};
use crate::time::Timestamp;

/// Panes of a full window.
const PANES: u32 = 60;

#[derive(Clone, Copy, Debug)]
struct Pane {
    start: Timestamp,
    count: u64,
    mean: f64,
    /// Σ(y − mean)².
    m2: f64,
    minimum: f64,
    maximum: f64,
    /// ∫ y dt of the segments that end in this pane.
    total: f64,
}

impl Pane {
    const fn new(start: Timestamp) -> Self {
        Self { start, count: 0, mean: 0.0, m2: 0.0, minimum: f64::INFINITY, maximum: f64::NEG_INFINITY, total: 0.0 }
    }

    fn add(&mut self, y: f64, segment: f64) {
        self.count += 1;
        let delta = y - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (y - self.mean);
        self.minimum = self.minimum.min(y);
        self.maximum = self.maximum.max(y);
        self.total += segment;
    }

    fn merge(&mut self, other: &Self) {
        let (n, m) = (self.count as f64, other.count as f64);
        if other.count == 0 {
            return;
        }
        let delta = other.mean - self.mean;
        self.mean += delta * m / (n + m);
        self.m2 += other.m2 + delta * delta * n * m / (n + m);
        self.count += other.count;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        self.total += other.total;
    }
}

/// Statistics of one variable over its window.
#[derive(Clone, Debug)]
pub struct Rolling {
    window: Window,
    /// Whether a value holds until the next (else trapezoids).
    stepped: bool,
    panes: VecDeque<Pane>,
    /// The newest usable sample, until a Bad one breaks the integral.
    last: Option<(Timestamp, f64)>,
    newest: Timestamp,
}

impl Rolling {
    /// An empty window.
    #[must_use]
    pub const fn new(window: Window, stepped: bool) -> Self {
        Self { window, stepped, panes: VecDeque::new(), last: None, newest: Timestamp::NULL }
    }

    /// Takes in a usable sample. One that is not newer than the last is not counted: the window has passed it.
    pub fn add(&mut self, at: Timestamp, y: f64) {
        if at <= self.newest {
            return;
        }
        self.newest = at;
        let segment = self.last.map_or(0.0, |(before, x)| {
            let held = if self.stepped { x } else { 0.5 * (x + y) };
            held * at.seconds_since(before)
        });
        self.last = Some((at, y));
        if self.needs_pane(at) {
            self.panes.push_back(Pane::new(at));
        }
        if let Some(pane) = self.panes.back_mut() {
            pane.add(y, segment);
        }
        self.expire(at);
    }

    /// A Bad or missing sample: time passes without a value, and the integral has a hole.
    pub const fn interrupt(&mut self) {
        self.last = None;
    }

    /// Forgets everything (ResetStatistics, OPC 10000-200 §6).
    pub fn reset(&mut self) {
        *self = Self::new(self.window, self.stepped);
    }

    /// The figures as of `now`: panes that have left the window by then do not count.
    #[must_use]
    pub fn summary(&self, now: Timestamp) -> Summary {
        let mut live = self.panes.iter().filter(|pane| !self.has_left(pane, now));
        let Some(first) = live.next() else { return empty(now) };
        let mut all = *first;
        live.for_each(|pane| all.merge(pane));
        let n = all.count as f64;
        Summary {
            start: first.start,
            end: self.newest,
            count: all.count,
            mean: all.mean,
            variance_population: all.m2 / n,
            variance_sample: if all.count > 1 { all.m2 / (n - 1.0) } else { f64::NAN },
            minimum: all.minimum,
            maximum: all.maximum,
            total: all.total,
        }
    }

    fn needs_pane(&self, at: Timestamp) -> bool {
        let Some(pane) = self.panes.back() else { return true };
        match self.window {
            Window::Duration(seconds) => at.seconds_since(pane.start) >= seconds / f64::from(PANES),
            Window::Values(values) => pane.count >= u64::from(values.div_ceil(PANES)),
        }
    }

    fn has_left(&self, pane: &Pane, now: Timestamp) -> bool {
        matches!(self.window, Window::Duration(seconds) if now.seconds_since(pane.start) > seconds)
    }

    fn expire(&mut self, now: Timestamp) {
        while self.panes.front().is_some_and(|pane| self.has_left(pane, now)) {
            self.panes.pop_front();
        }
        if let Window::Values(values) = self.window {
            let mut held: u64 = self.panes.iter().map(|pane| pane.count).sum();
            while held > u64::from(values) {
                held -= self.panes.pop_front().map_or(held, |pane| pane.count);
            }
        }
    }
}

fn empty(now: Timestamp) -> Summary {
    Summary {
        start: now,
        end: now,
        count: 0,
        mean: f64::NAN,
        variance_population: f64::NAN,
        variance_sample: f64::NAN,
        minimum: f64::NAN,
        maximum: f64::NAN,
        total: f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(1_000_000.0 + seconds)
    }

    fn two_pass(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }

    #[test]
    fn a_window_of_values_is_exact_up_to_sixty() {
        let mut rolling = Rolling::new(Window::Values(5), false);
        for i in 0..100 {
            rolling.add(at(f64::from(i)), f64::from(i * i));
        }
        let (mean, variance) = two_pass(&[95.0f64, 96.0, 97.0, 98.0, 99.0].map(|i| i * i));
        let summary = rolling.summary(at(99.0));
        assert_eq!(summary.count, 5);
        assert!((summary.mean - mean).abs() < 1e-9 && (summary.variance_population / variance - 1.0).abs() < 1e-12);
        assert_eq!((summary.minimum, summary.maximum), (95.0 * 95.0, 99.0 * 99.0));
    }

    #[test]
    fn figures_are_exact_for_the_stated_start_after_a_million_updates_on_a_large_offset() {
        let value = |i: u32| 1e9 + f64::from(i.wrapping_mul(2_654_435_761) >> 20) / 4096.0;
        let mut rolling = Rolling::new(Window::Duration(600.0), false);
        for i in 0..1_000_000 {
            rolling.add(at(f64::from(i)), value(i));
        }
        let summary = rolling.summary(at(999_999.0));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds")]
        let first = summary.start.seconds_since(at(0.0)) as u32;
        let window: Vec<f64> = (first..1_000_000).map(value).collect();
        let (mean, variance) = two_pass(&window.iter().map(|y| y - 1e9).collect::<Vec<_>>());
        assert_eq!(summary.count as usize, window.len());
        assert!(summary.count >= 590, "at most one pane short: {}", summary.count);
        assert!((summary.mean - 1e9 - mean).abs() < 1e-6);
        // 1e-9: deltas of 1e-7 (the spacing of doubles at 1e9) against a spread of 0.3.
        assert!((summary.variance_population / variance - 1.0).abs() < 1e-6, "{summary:?} {variance}");
    }

    #[test]
    fn the_integral_knows_steps_trapezoids_and_holes() {
        for (stepped, expected) in [(false, 15.0), (true, 10.0)] {
            let mut rolling = Rolling::new(Window::default(), stepped);
            rolling.add(at(0.0), 1.0);
            rolling.add(at(10.0), 2.0);
            rolling.interrupt();
            rolling.add(at(20.0), 5.0);
            assert_eq!(rolling.summary(at(20.0)).total, expected);
        }
    }

    #[test]
    fn an_old_window_empties_and_says_so() {
        let mut rolling = Rolling::new(Window::Duration(60.0), false);
        rolling.add(at(0.0), 1.0);
        assert_eq!(rolling.summary(at(59.0)).count, 1);
        let gone = rolling.summary(at(61.0));
        assert!(gone.count == 0 && gone.mean.is_nan());
    }

    #[test]
    fn what_comes_again_or_late_is_not_counted_twice() {
        let mut rolling = Rolling::new(Window::default(), false);
        rolling.add(at(1.0), 1.0);
        rolling.add(at(1.0), 9.0);
        rolling.add(at(0.5), 9.0);
        assert_eq!(rolling.summary(at(1.0)).count, 1);
    }
}
