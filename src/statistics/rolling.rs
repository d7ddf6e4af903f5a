//! A rolling window: the samples themselves while they are few, then panes. A sample enters in O(1); a reading merges what
//! there is. A pane leaves as a whole and nothing is ever subtracted, so nothing drifts. The window's start is that of its
//! oldest sample or pane: the figures are exact for `[start, end]`, which is at most 1/60 shorter than what the config asks for.
//!
//! Memory: 16 bytes a sample up to [`SAMPLES_MAX`], then at most 61 panes of 128 bytes, 27 bytes a pane for percentiles and
//! 0.4 KiB for the pane in progress.

use std::collections::VecDeque;

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{
    Summary, Window,
    capability::Baseline,
    control::{Chart, ChartSettings, Reading},
    pane::Pane,
    panes::{Panes, Point, SAMPLES_MAX},
    sketch,
    states::States,
};
use crate::time::Timestamp;

/// Of the percentiles.
const SHARES: [f64; 3] = [0.05, 0.5, 0.95];

/// What a window is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// How far it reaches.
    pub window: Window,
    /// Whether a value holds until the next (else trapezoids).
    pub stepped: bool,
    /// Whether values are numbers: else only states are counted.
    pub numeric: bool,
    /// States of a discrete variable; 0: it is none.
    pub states: usize,
}

#[derive(Clone, Debug)]
enum Held {
    Samples(VecDeque<Point>),
    Panes(Box<Panes>),
}

/// Statistics of one variable over its window.
#[derive(Clone, Debug)]
pub struct Rolling {
    settings: Settings,
    held: Held,
    states: Option<Box<States>>,
    /// Whether nothing has interrupted the newest sample and the next.
    joined: bool,
    newest: Timestamp,
    /// Goes up with every change.
    version: u32,
    /// Of the control limits, `None`: the window itself; and of the charts, `None`: not yet known.
    pub reference: Option<Baseline>,
    /// Control charts of what enters, once there is a reference.
    chart: Option<Box<Chart>>,
}

impl Rolling {
    /// An empty window.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            held: Held::Samples(VecDeque::new()),
            states: (settings.states > 0).then(|| Box::new(States::new(settings.window, settings.states))),
            joined: false,
            newest: Timestamp::NULL,
            version: 0,
            reference: None,
            chart: None,
        }
    }

    /// With control charts, against the reference.
    #[must_use]
    pub fn charted(self, chart: Option<ChartSettings>) -> Self {
        Self { chart: chart.map(|settings| Box::new(Chart::new(settings))), ..self }
    }

    /// What it was made for.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// Takes in a usable sample. One that is not newer than the last is not counted: the window has passed it.
    pub fn add(&mut self, at: Timestamp, y: f64) {
        if at <= self.newest {
            return;
        }
        self.version = self.version.wrapping_add(1);
        self.newest = at;
        let joined = std::mem::replace(&mut self.joined, true);
        if let Some(states) = &mut self.states {
            states.add(at, y);
        }
        if !self.settings.numeric {
            return;
        }
        if let (Some(chart), Some(reference)) = (&mut self.chart, &self.reference) {
            chart.add(reference, y);
        }
        match &mut self.held {
            Held::Samples(samples) => {
                if samples.len() == samples.capacity() {
                    samples.reserve_exact((samples.len() / 2).clamp(8, (SAMPLES_MAX + 1 - samples.len()).max(8)));
                }
                samples.push_back(Point::new(at, y, joined));
            }
            Held::Panes(panes) => panes.add(self.settings, at, y, joined),
        }
        self.expire(at);
    }

    /// A Bad or missing sample, or one that does not count: time passes without a value, and the integral has a hole.
    pub fn interrupt(&mut self, at: Timestamp) {
        self.joined = false;
        if let Some(chart) = &mut self.chart {
            chart.interrupt();
        }
        if let Some(states) = &mut self.states {
            self.version = self.version.wrapping_add(1);
            states.interrupt(at);
        }
    }

    /// Forgets everything (ResetStatistics, OPC 10000-200 §6.2.1.2) but how far samples have come.
    pub fn reset(&mut self) {
        self.restart(Timestamp::from_ticks(self.newest.ticks().saturating_add(1)));
    }

    /// Forgets everything; samples before `at` do not count, even if they come later.
    pub fn restart(&mut self, at: Timestamp) {
        let newest = Timestamp::from_ticks(at.ticks().saturating_sub(1));
        let version = self.version.wrapping_add(1);
        let mut chart = self.chart.take();
        chart.iter_mut().for_each(|chart| chart.restart());
        *self = Self { version, newest, reference: self.reference, chart, ..Self::new(self.settings) };
    }

    /// Takes the place of another: what was worked out of that does not hold for this.
    pub const fn supersede(&mut self, other: &Self) {
        self.version = other.version.wrapping_add(1);
    }

    /// SourceTimestamp of the newest sample that was taken in.
    #[must_use]
    pub const fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Another number after every change.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// What its charts say of the newest sample; `None`: there is no chart, no reference or no sample.
    #[must_use]
    pub fn chart(&self) -> Option<Reading> {
        self.chart.as_ref()?.reading()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let held = match &self.held {
            Held::Samples(samples) => samples.capacity() * size_of::<Point>(),
            Held::Panes(panes) => panes.bytes(),
        };
        let charts = self.chart.as_ref().map_or(0, |_| size_of::<Chart>());
        held + charts + self.states.as_ref().map_or(0, |states| size_of::<States>() + states.bytes())
    }

    /// The figures as of `now`: what has left the window by then does not count.
    #[must_use]
    pub fn summary(&self, now: Timestamp) -> Summary {
        let stepped = self.settings.stepped;
        match &self.held {
            Held::Samples(samples) => {
                let mut live = samples.iter().filter(|sample| !self.has_left(sample.at(), now));
                let Some(first) = live.next() else { return self.nothing(now) };
                let mut all = Pane::new(first.at(), first.y, false);
                let mut values = Vec::with_capacity(samples.len());
                values.push(first.y);
                for sample in live {
                    all.add(sample.at(), sample.y, sample.joined(), stepped);
                    values.push(sample.y);
                }
                self.finish(&all, sketch::exact_percentiles(values, SHARES))
            }
            Held::Panes(panes) => {
                let live = |pane: &Pane| !self.has_left(pane.start, now);
                let closed = || panes.closed.iter().zip(&panes.points).filter(|(pane, _)| live(pane));
                let open = live(&panes.open).then_some(&panes.open);
                let mut pieces = closed().map(|(pane, _)| pane).chain(open);
                let Some(first) = pieces.next() else { return self.nothing(now) };
                let mut all = *first;
                pieces.for_each(|pane| all.merge(pane, stepped));
                let mut values: Vec<_> = closed().flat_map(|(pane, points)| points.weigh(pane)).collect();
                if let Some(open) = open {
                    values.extend(panes.buffer.weigh(open));
                }
                let between = |x: f64| x.clamp(all.minimum, all.maximum);
                self.finish(&all, sketch::percentiles(values, SHARES).map(between))
            }
        }
    }

    /// Samples that it is made of, those too that have left since the last was taken in.
    #[must_use]
    pub fn samples_held(&self) -> u64 {
        match &self.held {
            Held::Samples(samples) => samples.len() as u64,
            Held::Panes(panes) => panes.held(),
        }
    }

    /// Until when a summary as of now stays as it is, if nothing changes: the moment at which the oldest leaves.
    #[must_use]
    pub fn unchanged_until(&self, summary: &Summary) -> Timestamp {
        match self.settings.window {
            Window::Duration(seconds) if summary.count > 0 => summary.start.plus_seconds(seconds),
            _ => Timestamp::MAX,
        }
    }

    /// Seconds in each state up to `now`, and since when they are counted; `None`: it is no discrete variable, or nothing is known.
    #[must_use]
    pub fn time_in_state(&self, now: Timestamp) -> Option<(Timestamp, Vec<f64>)> {
        self.states.as_ref()?.seconds(now)
    }

    fn finish(&self, all: &Pane, percentiles: [f64; 3]) -> Summary {
        let (count, figures) = (all.count, all.figures());
        let n = f64::from(count);
        let enough = |least: u32, x: f64| if count >= least { x } else { f64::NAN };
        let slope = enough(2, figures.time_y / figures.time_m2);
        Summary {
            start: all.start,
            end: self.newest,
            count: u64::from(count),
            mean: figures.mean,
            variance_population: figures.m2 / n,
            variance_sample: enough(2, figures.m2 / (n - 1.0)),
            minimum: all.minimum,
            maximum: all.maximum,
            total: figures.total,
            percentiles,
            slope,
            slope_p_value: enough(3, p_value(figures.time_y, figures.time_m2, figures.m2, n - 2.0)),
            skewness: n.sqrt() * figures.m3 / (figures.m2 * figures.m2.sqrt()),
            kurtosis: n * figures.m4 / (figures.m2 * figures.m2) - 3.0,
            moving_range: figures.moving_range,
        }
    }

    fn nothing(&self, now: Timestamp) -> Summary {
        let none = f64::NAN;
        Summary {
            start: now,
            end: now,
            // What is no number is counted by its states.
            count: self.states.as_ref().filter(|_| !self.settings.numeric).map_or(0, |states| states.count(now)),
            mean: none,
            variance_population: none,
            variance_sample: none,
            minimum: none,
            maximum: none,
            total: none,
            percentiles: [none; 3],
            slope: none,
            slope_p_value: none,
            skewness: none,
            kurtosis: none,
            moving_range: none,
        }
    }

    fn has_left(&self, start: Timestamp, now: Timestamp) -> bool {
        matches!(self.settings.window, Window::Duration(seconds) if now.seconds_since(start) > seconds)
    }

    fn expire(&mut self, now: Timestamp) {
        let settings = self.settings;
        let has_left = |start: Timestamp| matches!(settings.window, Window::Duration(seconds) if now.seconds_since(start) > seconds);
        match &mut self.held {
            Held::Samples(samples) => {
                while samples.front().is_some_and(|sample| has_left(sample.at())) {
                    samples.pop_front();
                }
                if let Window::Values(values) = settings.window
                    && samples.len() > values as usize
                {
                    samples.pop_front();
                }
                if samples.len() > SAMPLES_MAX {
                    let samples = std::mem::take(samples);
                    if let Some(panes) = Panes::of(settings, &samples) {
                        self.held = Held::Panes(Box::new(panes));
                        self.expire(now);
                    }
                }
            }
            Held::Panes(panes) => {
                while panes.closed.front().is_some_and(|pane| has_left(pane.start)) {
                    panes.drop_oldest();
                }
                if let Window::Values(values) = settings.window {
                    let mut held = panes.held();
                    while held > u64::from(values) {
                        held -= panes.drop_oldest().map_or(held, |pane| u64::from(pane.count));
                    }
                }
                // After a pause only the newest is left: it is kept as it is again.
                if panes.closed.is_empty() && panes.open.count == 1 {
                    self.held = Held::Samples(VecDeque::from([Point::new(panes.open.start, panes.open.first, false)]));
                }
            }
        }
    }
}

/// Two-sided, of r = 0; NaN where all values are alike.
fn p_value(xy: f64, xx: f64, yy: f64, freedom: f64) -> f64 {
    let r = (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0);
    let t = r.abs() * (freedom / ((1.0 - r) * (1.0 + r))).sqrt();
    if t.is_infinite() {
        return 0.0;
    }
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| if t.is_nan() { t } else { 2.0 * student.sf(t) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(1_000_000.0 + seconds)
    }

    fn rolling(window: Window, stepped: bool) -> Rolling {
        Rolling::new(Settings { window, stepped, numeric: true, states: 0 })
    }

    #[test]
    fn the_integral_knows_steps_trapezoids_and_holes() {
        for (stepped, expected) in [(false, 15.0), (true, 10.0)] {
            let mut rolling = rolling(Window::default(), stepped);
            rolling.add(at(0.0), 1.0);
            rolling.add(at(10.0), 2.0);
            rolling.interrupt(at(15.0));
            rolling.add(at(20.0), 5.0);
            let summary = rolling.summary(at(20.0));
            assert_eq!((summary.total, summary.moving_range), (expected, 1.0));
        }
    }

    #[test]
    fn an_old_window_empties_and_says_so() {
        let mut rolling = rolling(Window::Duration(60.0), false);
        rolling.add(at(0.0), 1.0);
        assert_eq!(rolling.summary(at(59.0)).count, 1);
        let gone = rolling.summary(at(61.0));
        assert!(gone.count == 0 && gone.mean.is_nan());
    }

    #[test]
    fn what_comes_again_or_late_is_not_counted_twice() {
        let mut rolling = rolling(Window::default(), false);
        rolling.add(at(1.0), 1.0);
        rolling.add(at(1.0), 9.0);
        rolling.add(at(0.5), 9.0);
        assert_eq!(rolling.summary(at(1.0)).count, 1);
        rolling.reset();
        rolling.add(at(0.7), 9.0);
        assert_eq!(rolling.summary(at(1.0)).count, 0);
        rolling.restart(at(0.6));
        rolling.add(at(0.5), 9.0);
        rolling.add(at(0.6), 9.0);
        assert_eq!(rolling.summary(at(1.0)).count, 1);
    }

    #[test]
    fn a_window_takes_no_more_memory_than_it_says() {
        assert_eq!((size_of::<Pane>(), size_of::<Point>()), (128, 16));
        for window in [Window::Duration(600.0), Window::Values(20_000), Window::SinceReset] {
            let mut rolling = rolling(window, false);
            for i in 0..100_000 {
                rolling.add(at(f64::from(i) * 0.1), f64::from(i % 17));
                assert!(rolling.bytes() <= 60 * 128 + 2048 + 128, "{window:?} after {i}: {}", rolling.bytes());
            }
        }
    }
}
