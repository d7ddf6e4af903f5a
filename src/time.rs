//! The one time type. 100 ns ticks since 1601-01-01 UTC, as on the wire (OPC 10000-6 §5.2.2.5): lossless both ways,
//! and sorts as big-endian bytes. Nothing here reads a clock; [`Clock`] is handed in by `main.rs`.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};

const TICKS_PER_SECOND: i64 = 10_000_000;
/// Seconds between 1601-01-01 and 1970-01-01.
const UNIX_EPOCH_S: i64 = 11_644_473_600;

/// An instant, in ticks of 100 ns since 1601-01-01 UTC. Zero is OPC UA's null DateTime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The next instant that can be told from this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::from_ticks(self.ticks().saturating_add(1))
    }

    /// 1601-01-01: OPC UA's null DateTime, "not given".
    pub const NULL: Self = Self(0);
    /// Later than every sample.
    pub const MAX: Self = Self(i64::MAX);

    /// From ticks of 100 ns since 1601.
    #[must_use]
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Ticks of 100 ns since 1601.
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// From seconds since 1970, to the nearest tick; out of range saturates.
    #[must_use]
    pub fn from_unix_s(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        let ticks = (seconds * TICKS_PER_SECOND as f64).round() as i64;
        Self(ticks.saturating_add(UNIX_EPOCH_S * TICKS_PER_SECOND))
    }

    /// From whole nanoseconds since 1970, rounded down to a tick.
    #[must_use]
    pub fn from_unix_ns(nanoseconds: i128) -> Self {
        let ticks = i64::try_from(nanoseconds.div_euclid(100)).unwrap_or(i64::MAX);
        Self(ticks.saturating_add(UNIX_EPOCH_S * TICKS_PER_SECOND))
    }

    /// Whether the instant was given at all (OPC 10000-4: the null DateTime means "not specified").
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Seconds from `earlier` to `self`, negative if `self` comes first.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / TICKS_PER_SECOND as f64
    }

    /// `self` moved by `seconds` (to the nearest tick; out of range saturates).
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        let ticks = (seconds * TICKS_PER_SECOND as f64).round() as i64;
        Self(self.0.saturating_add(ticks))
    }

    /// Time from `earlier` to `self`; zero if `self` comes first.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let ticks = u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0);
        Duration::from_nanos(ticks.saturating_mul(100))
    }
}

fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(ticks(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(ticks(duration)))
    }
}

/// RFC 3339 in UTC, to the microsecond.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(TICKS_PER_SECOND) - UNIX_EPOCH_S;
        let nanoseconds = u32::try_from(self.0.rem_euclid(TICKS_PER_SECOND) * 100).unwrap_or(0);
        match DateTime::<Utc>::from_timestamp(seconds, nanoseconds) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "{} ticks", self.0),
        }
    }
}

/// Where a task learns the time. The wall clock's implementation is in `main.rs`; tests bring their own.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_epoch_and_display() {
        assert_eq!(Timestamp::from_unix_s(0.0).ticks(), 116_444_736_000_000_000);
        assert_eq!(Timestamp::from_unix_s(1.5).to_string(), "1970-01-01T00:00:01.500000Z");
        assert_eq!(Timestamp::from_unix_ns(-1), Timestamp::from_ticks(116_444_735_999_999_999));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::NULL.saturating_since(Timestamp::MAX), Duration::ZERO);
    }
}
