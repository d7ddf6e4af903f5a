//! A stretch of samples as what can be merged of it: moments to the fourth order, extremes, integral, moving range and the
//! moments in time behind a slope. Samples update it one by one, panes merge exactly; nothing is ever subtracted.
//!
//! Moments are those of y − first: the difference of near doubles loses nothing, so an offset of 1e9 costs no digit.
//! Updates and merges after Welford 1962, Chan et al. 1979, Pébay 2008 (SAND2008-6212, eqs. 1.4 to 2.1).

use crate::time::Timestamp;

/// 128 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pane {
    /// Of the first sample.
    pub(super) start: Timestamp,
    /// Of the last.
    end: Timestamp,
    pub(super) first: f64,
    last: f64,
    /// Of y − first, as the next three.
    mean: f64,
    /// Σ(y − mean)², and so on.
    m2: f64,
    m3: f64,
    m4: f64,
    pub(super) minimum: f64,
    pub(super) maximum: f64,
    /// ∫ y dt between samples of this pane.
    total: f64,
    /// Σ|yᵢ − yᵢ₋₁| of neighbours in this pane.
    moving_range: f64,
    /// Of seconds since `start`.
    time_mean: f64,
    time_m2: f64,
    /// Σ(t − t̄)(y − ȳ).
    time_y: f64,
    pub(super) count: u32,
    /// Twice the number of neighbours, plus one where the first sample has one in the pane before.
    pairs_and_joined: u32,
}

/// What a pane, or many merged, says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) mean: f64,
    pub(super) m2: f64,
    pub(super) m3: f64,
    pub(super) m4: f64,
    pub(super) total: f64,
    /// Mean of |yᵢ − yᵢ₋₁|; NaN without neighbours.
    pub(super) moving_range: f64,
    pub(super) time_m2: f64,
    pub(super) time_y: f64,
}

impl Pane {
    /// A pane of one sample. `joined`: no interruption lies between it and the sample before.
    pub(super) const fn new(at: Timestamp, y: f64, joined: bool) -> Self {
        Self {
            start: at,
            end: at,
            first: y,
            last: y,
            mean: 0.0,
            m2: 0.0,
            m3: 0.0,
            m4: 0.0,
            minimum: y,
            maximum: y,
            total: 0.0,
            moving_range: 0.0,
            time_mean: 0.0,
            time_m2: 0.0,
            time_y: 0.0,
            count: 1,
            pairs_and_joined: joined as u32,
        }
    }

    /// Takes in the next sample.
    pub(super) fn add(&mut self, at: Timestamp, y: f64, joined: bool, stepped: bool) {
        if joined {
            self.join(at, y, stepped);
        }
        (self.end, self.last) = (at, y);
        let before = f64::from(self.count);
        self.count = self.count.saturating_add(1);
        let n = f64::from(self.count);
        let delta = (y - self.first) - self.mean;
        let share = delta / n;
        let square = share * share;
        let step = delta * share * before;
        self.mean += share;
        self.m4 += step * square * (n * n - 3.0 * n + 3.0) + 6.0 * square * self.m2 - 4.0 * share * self.m3;
        self.m3 += step * share * (n - 2.0) - 3.0 * share * self.m2;
        self.m2 += step;
        let seconds = at.seconds_since(self.start) - self.time_mean;
        self.time_mean += seconds / n;
        self.time_m2 += seconds * seconds * (before / n);
        self.time_y += seconds * delta * (before / n);
        self.minimum = self.minimum.min(y);
        self.maximum = self.maximum.max(y);
    }

    /// Takes in the pane that follows.
    pub(super) fn merge(&mut self, next: &Self, stepped: bool) {
        if next.pairs_and_joined & 1 == 1 {
            self.join(next.start, next.first, stepped);
        }
        self.total += next.total;
        self.moving_range += next.moving_range;
        self.pairs_and_joined += next.pairs_and_joined & !1;
        let (n, m) = (f64::from(self.count), f64::from(next.count));
        let all = n + m;
        let (of_self, of_next) = (n / all, m / all);
        let delta = (next.first - self.first) + (next.mean - self.mean);
        let square = delta * delta;
        let cross = n * of_next; // nm/(n + m)
        self.m4 += next.m4
            + square * square * cross * (of_self * of_self - of_self * of_next + of_next * of_next)
            + 6.0 * square * (of_self * of_self * next.m2 + of_next * of_next * self.m2)
            + 4.0 * delta * (of_self * next.m3 - of_next * self.m3);
        self.m3 += next.m3
            + square * delta * cross * (of_self - of_next)
            + 3.0 * delta * (of_self * next.m2 - of_next * self.m2);
        self.m2 += next.m2 + square * cross;
        self.mean += delta * of_next;
        let seconds = next.start.seconds_since(self.start) + (next.time_mean - self.time_mean);
        self.time_m2 += next.time_m2 + seconds * seconds * cross;
        self.time_y += next.time_y + seconds * delta * cross;
        self.time_mean += seconds * of_next;
        self.count = self.count.saturating_add(next.count);
        self.minimum = self.minimum.min(next.minimum);
        self.maximum = self.maximum.max(next.maximum);
        (self.end, self.last) = (next.end, next.last);
    }

    /// The segment from the last sample to the next.
    fn join(&mut self, at: Timestamp, y: f64, stepped: bool) {
        // The mean as a difference: the sum of two large values may overflow where their mean does not.
        let held = if stepped { self.last } else { self.last + 0.5 * (y - self.last) };
        self.total += held * at.seconds_since(self.end);
        self.moving_range += (y - self.last).abs();
        self.pairs_and_joined = self.pairs_and_joined.saturating_add(2);
    }

    pub(super) fn figures(&self) -> Figures {
        let pairs = self.pairs_and_joined >> 1;
        Figures {
            mean: self.first + self.mean,
            m2: self.m2,
            m3: self.m3,
            m4: self.m4,
            total: self.total,
            moving_range: if pairs == 0 { f64::NAN } else { self.moving_range / f64::from(pairs) },
            time_m2: self.time_m2,
            time_y: self.time_y,
        }
    }
}
