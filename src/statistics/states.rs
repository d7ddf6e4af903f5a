//! How long a discrete variable was in each of its states, over a rolling window. A state holds until the next sample, or
//! until it is not known any more; the one that holds now counts up to now.

use std::collections::VecDeque;

use super::Window;
use crate::time::Timestamp;

/// Panes of a window of few states; of many there are fewer, so that their seconds take no more memory.
const PANES_MAX: usize = 60;
const PANES_MIN: usize = 4;
/// Seconds that all panes hold together.
const SECONDS_MAX: usize = 900;

#[derive(Clone, Debug)]
struct Pane {
    start: Timestamp,
    count: u32,
    seconds: Box<[f64]>,
}

/// Time in state of one variable.
#[derive(Clone, Debug)]
pub(super) struct States {
    window: Window,
    states: usize,
    panes: VecDeque<Pane>,
    /// What holds, and since when it is not yet in a pane.
    holds: Option<(Timestamp, usize)>,
}

impl States {
    pub(super) const fn new(window: Window, states: usize) -> Self {
        Self { window, states, panes: VecDeque::new(), holds: None }
    }

    fn panes_max(&self) -> usize {
        (SECONDS_MAX / self.states.max(1)).clamp(PANES_MIN, PANES_MAX)
    }

    /// Takes in a sample that is newer than the last; `y` is the number of its state.
    pub(super) fn add(&mut self, at: Timestamp, y: f64) {
        self.advance(at);
        if self.needs_pane(at) {
            self.open(at);
        }
        if let Some(pane) = self.panes.back_mut() {
            pane.count = pane.count.saturating_add(1);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be one of few")]
        let state = (y.fract() == 0.0 && y >= 0.0 && y < self.states as f64).then_some(y as usize);
        self.holds = state.map(|state| (at, state));
        self.expire(at);
    }

    /// From `at` on the state is not known.
    pub(super) fn interrupt(&mut self, at: Timestamp) {
        self.advance(at);
        self.holds = None;
    }

    /// Seconds in each state and since when they are counted, and how many samples; `None`: nothing is known.
    pub(super) fn seconds(&self, now: Timestamp) -> Option<(Timestamp, Vec<f64>)> {
        let mut live = self.live(now).peekable();
        let first = live.peek().map(|pane| pane.start);
        let mut seconds = vec![0.0; self.states];
        for pane in live {
            seconds.iter_mut().zip(&pane.seconds).for_each(|(all, of)| *all += of);
        }
        let held = self.holds.map(|(since, state)| (since.max(self.begin(now)), state));
        if let Some((since, state)) = held {
            seconds[state] += now.seconds_since(since).max(0.0);
        }
        Some((first.or_else(|| held.map(|(since, _)| since))?, seconds))
    }

    /// Samples in the window.
    pub(super) fn count(&self, now: Timestamp) -> u64 {
        self.live(now).map(|pane| u64::from(pane.count)).sum()
    }

    fn live(&self, now: Timestamp) -> impl Iterator<Item = &Pane> {
        self.panes.iter().skip_while(move |pane| self.has_left(pane, now))
    }

    /// The earliest instant that a window by time reaches back to.
    fn begin(&self, now: Timestamp) -> Timestamp {
        match self.window {
            Window::Duration(seconds) => now.plus_seconds(-seconds),
            Window::Values(_) | Window::SinceReset => Timestamp::NULL,
        }
    }

    /// Puts the time for which the state has held until `to` into panes.
    fn advance(&mut self, to: Timestamp) {
        let Some((since, state)) = self.holds.filter(|(since, _)| *since < to) else { return };
        let mut from = since.max(self.begin(to));
        if let Window::Duration(seconds) = self.window {
            let span = seconds / self.panes_max() as f64;
            if self.panes.back().is_none_or(|pane| from.seconds_since(pane.start) >= span) {
                self.open(from);
            }
            while let Some(end) =
                self.panes.back().map(|pane| pane.start.plus_seconds(span)).filter(|end| *end < to && *end > from)
            {
                self.credit(state, end.seconds_since(from));
                self.open(end);
                from = end;
            }
        }
        self.credit(state, to.seconds_since(from));
        self.holds = Some((to, state));
        self.expire(to);
    }

    fn credit(&mut self, state: usize, seconds: f64) {
        if let Some(pane) = self.panes.back_mut() {
            pane.seconds[state] += seconds;
        }
    }

    fn open(&mut self, start: Timestamp) {
        self.panes.push_back(Pane { start, count: 0, seconds: vec![0.0; self.states].into() });
    }

    fn needs_pane(&self, at: Timestamp) -> bool {
        let Some(pane) = self.panes.back() else { return true };
        let panes = self.panes_max();
        match self.window {
            Window::Duration(seconds) => at.seconds_since(pane.start) >= seconds / panes as f64,
            Window::Values(values) => pane.count as usize >= (values as usize).div_ceil(panes),
            Window::SinceReset => false,
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
            let mut held: u64 = self.panes.iter().map(|pane| u64::from(pane.count)).sum();
            while held > u64::from(values) {
                held -= self.panes.pop_front().map_or(held, |pane| u64::from(pane.count));
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.panes.capacity() * size_of::<Pane>() + self.panes.len() * self.states * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(1_000_000.0 + seconds)
    }

    #[test]
    fn the_state_that_holds_counts_up_to_now_and_an_unknown_one_does_not() {
        let mut states = States::new(Window::Duration(600.0), 3);
        assert_eq!(states.seconds(at(0.0)), None);
        states.add(at(0.0), 1.0);
        states.add(at(10.0), 2.0);
        states.interrupt(at(15.0));
        states.add(at(20.0), 7.0); // not one of its states
        states.add(at(25.0), 0.0);
        let (start, seconds) = states.seconds(at(26.0)).unwrap();
        assert_eq!((start, seconds), (at(0.0), vec![1.0, 10.0, 5.0]));
        assert_eq!(states.count(at(26.0)), 4);
    }

    #[test]
    fn a_state_without_samples_fills_the_whole_window() {
        let mut states = States::new(Window::Duration(600.0), 2);
        states.add(at(0.0), 0.0);
        states.add(at(7.0), 1.0);
        let (start, seconds) = states.seconds(at(10_007.0)).unwrap();
        assert_eq!((start, seconds), (at(9_407.0), vec![0.0, 600.0]));
        states.add(at(20_000.0), 1.0);
        let (start, seconds) = states.seconds(at(20_000.0)).unwrap();
        assert!(
            start >= at(19_400.0) && (seconds[1] - at(20_000.0).seconds_since(start)).abs() < 1e-6,
            "{start} {seconds:?}"
        );
    }

    #[test]
    fn seconds_add_up_to_the_time_since_the_stated_start() {
        let mut states = States::new(Window::Duration(100.0), 3);
        for i in 0..10_000u32 {
            states.add(at(f64::from(i) * 0.7), f64::from(i.wrapping_mul(2_654_435_761) >> 30) % 3.0);
            let now = at(f64::from(i) * 0.7 + 0.3);
            let (start, seconds) = states.seconds(now).unwrap();
            let all: f64 = seconds.iter().sum();
            assert!((all - now.seconds_since(start)).abs() < 1e-6, "{all} since {start}");
            assert!(now.seconds_since(start) <= 100.0);
        }
        assert!(states.panes.len() <= 62);
    }
}
