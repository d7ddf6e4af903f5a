//! A window of more samples than are kept: at most 60 closed panes and the one in progress, each of as long a stretch (by time
//! or by number) and each with what it says of percentiles.

use std::collections::VecDeque;

use super::{
    Window,
    pane::Pane,
    rolling::Settings,
    sketch::{Buffer, Points},
};
use crate::time::Timestamp;

/// Panes of a full window.
pub const PANES: u32 = 60;
/// Most samples that are kept as they are: as many as take the memory of panes and sketches.
pub const SAMPLES_MAX: usize = 606;
/// The golden ratio's fraction: its multiples fill [0, 1) evenly, whenever one stops.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// One sample, 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Twice the ticks, plus one where nothing interrupts it and the sample before.
    stamp: i64,
    pub(super) y: f64,
}

impl Point {
    pub(super) fn new(at: Timestamp, y: f64, joined: bool) -> Self {
        // Year 16202 is as far as half an i64 goes; what claims to be later is held to be of then.
        Self { stamp: (at.ticks().clamp(i64::MIN / 2, i64::MAX / 2) << 1) | i64::from(joined), y }
    }

    pub(super) const fn at(self) -> Timestamp {
        Timestamp::from_ticks(self.stamp >> 1)
    }

    pub(super) const fn joined(self) -> bool {
        self.stamp & 1 == 1
    }
}

#[derive(Clone, Debug)]
pub(super) struct Panes {
    pub(super) closed: VecDeque<Pane>,
    /// Of each.
    pub(super) points: VecDeque<Points>,
    pub(super) open: Pane,
    pub(super) buffer: Buffer,
    /// Panes closed so far, for offsets.
    number: u32,
    /// Samples per pane where that is what closes one.
    quota: u32,
}

impl Panes {
    /// As if they had been panes from the first sample on. `None`: there is none.
    pub(super) fn of(settings: Settings, samples: &VecDeque<Point>) -> Option<Self> {
        let mut samples = samples.iter();
        let first = samples.next()?;
        let quota = match settings.window {
            Window::Values(values) => values.div_ceil(PANES),
            Window::SinceReset => u32::try_from(SAMPLES_MAX).unwrap_or(PANES) / PANES,
            Window::Duration(_) => u32::MAX,
        };
        let mut panes = Self {
            closed: VecDeque::with_capacity(PANES as usize),
            points: VecDeque::with_capacity(PANES as usize),
            open: Pane::new(first.at(), first.y, first.joined()),
            buffer: Buffer::new(0x9e37_79b9),
            number: 0,
            quota,
        };
        panes.buffer.add(0.0);
        samples.for_each(|sample| panes.add(settings, sample.at(), sample.y, sample.joined()));
        Some(panes)
    }

    pub(super) fn add(&mut self, settings: Settings, at: Timestamp, y: f64, joined: bool) {
        let is_full = match settings.window {
            Window::Duration(seconds) => at.seconds_since(self.open.start) >= seconds / f64::from(PANES),
            Window::Values(_) | Window::SinceReset => self.open.count >= self.quota,
        };
        if is_full {
            self.close(settings, at);
            self.open = Pane::new(at, y, joined);
        } else {
            self.open.add(at, y, joined, settings.stepped);
        }
        self.buffer.add(y - self.open.first);
    }

    /// Closes the open pane; what has left the window at `now` makes room first.
    pub(super) fn close(&mut self, settings: Settings, now: Timestamp) {
        if let Window::Duration(seconds) = settings.window {
            while self.closed.front().is_some_and(|pane| now.seconds_since(pane.start) > seconds) {
                self.drop_oldest();
            }
        }
        if self.closed.len() == PANES as usize {
            self.drop_oldest();
        }
        let offset = self.offset();
        self.closed.push_back(self.open);
        self.points.push_back(self.buffer.close(offset));
        self.buffer.clear();
        if settings.window == Window::SinceReset && self.closed.len() == PANES as usize {
            self.coarsen(settings.stepped);
        }
    }

    pub(super) fn drop_oldest(&mut self) -> Option<Pane> {
        self.points.pop_front();
        self.closed.pop_front()
    }

    pub(super) fn offset(&mut self) -> f64 {
        self.number = self.number.wrapping_add(1);
        (f64::from(self.number) * GOLDEN).fract()
    }

    /// Of two neighbours one, twice as large: where nothing leaves, panes grow with what they hold.
    pub(super) fn coarsen(&mut self, stepped: bool) {
        for _ in 0..self.closed.len() / 2 {
            let offset = self.offset();
            let (Some(earlier), Some(later)) = (self.closed.pop_front(), self.closed.pop_front()) else { return };
            let (Some(points), Some(more)) = (self.points.pop_front(), self.points.pop_front()) else { return };
            self.points.push_back(Points::merged((&earlier, &points), (&later, &more), offset));
            let mut pane = earlier;
            pane.merge(&later, stepped);
            self.closed.push_back(pane);
        }
        self.quota = self.quota.saturating_mul(2);
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.closed.capacity() * size_of::<Pane>() + self.points.capacity() * size_of::<Points>()
    }

    pub(super) fn held(&self) -> u64 {
        self.closed.iter().map(|pane| u64::from(pane.count)).sum::<u64>() + u64::from(self.open.count)
    }
}
