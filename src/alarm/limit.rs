//! Exclusive level limits (OPC 10000-9 §5.8.20.3) with deadband and delay. A value is at one level at most, the outermost it
//! has reached.

use std::time::Duration;

use crate::time::Timestamp;

/// Where a value is that is not where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the standard's names")]
pub enum Level {
    LowLow,
    Low,
    High,
    HighHigh,
}

impl Level {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::LowLow, Self::Low, Self::High, Self::HighHigh];

    /// As the standard's state is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LowLow => "LowLow",
            Self::Low => "Low",
            Self::High => "High",
            Self::HighHigh => "HighHigh",
        }
    }

    /// By its state's name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    const fn is_above(self) -> bool {
        matches!(self, Self::High | Self::HighHigh)
    }

    /// Whether it lies further out than `other`, or on the other side.
    #[must_use]
    pub fn is_beyond(self, other: Option<Self>) -> bool {
        other.is_none_or(|other| match (self.is_above(), other.is_above()) {
            (true, true) => self > other,
            (false, false) => self < other,
            _ => true,
        })
    }
}

/// `alarm = { … }` of a variable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitSettings {
    /// By [`Level`]; NaN-free, ascending where given; at least one.
    pub limits: [Option<f64>; 4],
    /// How far back a value must come before it has left a level.
    pub deadband: f64,
    /// How long a level must hold before it counts.
    pub delay: Duration,
    /// 1 to 1000.
    pub severity: u16,
}

impl LimitSettings {
    /// The limit of a level.
    #[must_use]
    pub const fn of(&self, level: Level) -> Option<f64> {
        self.limits[level as usize]
    }

    /// Whether conditions of these limits have such a field: a limit that is not given has none.
    #[must_use]
    pub fn has_field(&self, path: &str) -> bool {
        let level = path.strip_suffix("Limit").and_then(Level::from_name);
        level.is_none_or(|level| self.of(level).is_some())
    }

    /// The level of a value that comes from `current`: it leaves that only past the deadband.
    fn level(&self, y: f64, current: Option<Level>) -> Option<Level> {
        let reached = |level: Level, slack: f64| {
            self.of(level).is_some_and(|limit| if level.is_above() { y > limit - slack } else { y < limit + slack })
        };
        let outermost = [Level::HighHigh, Level::LowLow, Level::High, Level::Low];
        let raw = outermost.into_iter().find(|level| reached(*level, 0.0));
        let held = outermost.into_iter().find(|level| {
            let slack =
                if current.is_some_and(|current| !level.is_beyond(Some(current))) { self.deadband } else { 0.0 };
            level.is_above() == current.is_some_and(Level::is_above) && reached(*level, slack)
        });
        match (raw, held) {
            (Some(raw), Some(held)) if raw.is_beyond(Some(held)) => Some(raw),
            (raw, held) => held.or(raw),
        }
    }
}

/// One variable's level, as it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimitWatch {
    level: Option<Level>,
    /// Further out than `level`: since when by the source's clock, and by ours.
    waiting: Option<(Level, Timestamp, Timestamp)>,
}

impl LimitWatch {
    /// One that goes on from where it was.
    #[must_use]
    pub const fn at(level: Option<Level>) -> Self {
        Self { level, waiting: None }
    }

    /// A usable value of `at`, received at `now`. Gives the level where it changed.
    pub fn on_value(
        &mut self,
        settings: &LimitSettings,
        y: f64,
        at: Timestamp,
        now: Timestamp,
    ) -> Option<Option<Level>> {
        let level = settings.level(y, self.level);
        let outward = level.filter(|level| level.is_beyond(self.level));
        let Some(outward) = outward.filter(|_| !settings.delay.is_zero()) else {
            self.waiting = None;
            return self.go(level);
        };
        let since = self.waiting.map_or((at, now), |(_, since, received)| (since, received));
        self.waiting = Some((outward, since.0, since.1));
        if at.saturating_since(since.0) >= settings.delay {
            return self.go(Some(outward));
        }
        // From one side to the other: it has left the old level at once, the new one has to hold first.
        let has_crossed = self.level.is_some_and(|level| level.is_above() != outward.is_above());
        if has_crossed { self.go(None) } else { None }
    }

    /// Time passes without a value: what was sent on change still holds.
    pub fn on_time(&mut self, settings: &LimitSettings, now: Timestamp) -> Option<Option<Level>> {
        let (level, _, received) = self.waiting?;
        (now.saturating_since(received) >= settings.delay).then(|| self.go(Some(level))).flatten()
    }

    /// Nothing usable: what was waiting starts anew.
    pub const fn interrupt(&mut self) {
        self.waiting = None;
    }

    fn go(&mut self, level: Option<Level>) -> Option<Option<Level>> {
        if level.is_some_and(|level| level.is_beyond(self.level)) {
            self.waiting = None;
        }
        (level != self.level).then(|| {
            self.level = level;
            level
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(deadband: f64, delay_s: u64) -> LimitSettings {
        let limits = [Some(0.0), Some(10.0), Some(90.0), Some(100.0)];
        LimitSettings { limits, deadband, delay: Duration::from_secs(delay_s), severity: 500 }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(1e9 + seconds)
    }

    /// The levels after each value, one a second.
    fn levels(settings: &LimitSettings, values: &[f64]) -> Vec<Option<Level>> {
        let mut watch = LimitWatch::default();
        let mut level = None;
        let each = values.iter().zip(0..).map(|(y, s)| {
            if let Some(changed) = watch.on_value(settings, *y, at(f64::from(s)), at(f64::from(s))) {
                assert_ne!(changed, level, "what is said to change does");
                level = changed;
            }
            level
        });
        each.collect()
    }

    #[test]
    fn a_value_is_at_the_outermost_level_it_has_reached() {
        use Level::{High, HighHigh, Low, LowLow};
        let found =
            levels(&settings(0.0, 0), &[50.0, 90.0, 90.1, 101.0, 95.0, 50.0, 9.0, -1.0, 5.0, 101.0, -1.0, 10.0]);
        let expected = [None, None, Some(High), Some(HighHigh), Some(High), None, Some(Low), Some(LowLow), Some(Low)];
        assert_eq!(found[..9], expected);
        assert_eq!(found[9..], [Some(HighHigh), Some(LowLow), None]);
    }

    #[test]
    fn a_level_is_left_past_the_deadband_only() {
        use Level::{High, HighHigh, Low};
        let found = levels(&settings(2.0, 0), &[91.0, 89.0, 88.5, 88.0, 89.0, 101.0, 98.5, 98.0, 9.0, 11.9, 12.0]);
        let high = Some(High);
        let expected = [high, high, high, None, None, Some(HighHigh), Some(HighHigh), high, Some(Low), Some(Low), None];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_level_counts_once_it_has_held_for_the_delay() {
        use Level::{High, HighHigh};
        // Back in between: it starts anew. Further out meanwhile: it goes where it is.
        let found = levels(&settings(0.0, 3), &[91.0, 91.0, 50.0, 91.0, 92.0, 101.0, 102.0, 50.0]);
        assert_eq!(found, [None, None, None, None, None, None, Some(HighHigh), None]);
        // From one side to the other by way of neither.
        let found = levels(&settings(0.0, 2), &[91.0, 91.0, 91.0, 5.0, 5.0, 5.0]);
        assert_eq!(found, [None, None, Some(High), None, None, Some(Level::Low)]);
        // From High to HighHigh too.
        let found = levels(&settings(0.0, 2), &[91.0, 91.0, 91.0, 101.0, 101.0, 101.0]);
        assert_eq!(found, [None, None, Some(High), Some(High), Some(High), Some(HighHigh)]);
    }

    #[test]
    fn a_value_that_is_sent_on_change_counts_as_time_passes() {
        let mut watch = LimitWatch::default();
        let settings = settings(0.0, 5);
        assert_eq!(watch.on_value(&settings, 95.0, at(0.0), at(1.0)), None);
        assert_eq!(watch.on_time(&settings, at(5.9)), None);
        assert_eq!(watch.on_time(&settings, at(6.0)), Some(Some(Level::High)));
        assert_eq!(watch.on_time(&settings, at(7.0)), None, "said once");
        watch.interrupt();
        assert_eq!(watch.on_time(&settings, at(60.0)), None);
    }
}
