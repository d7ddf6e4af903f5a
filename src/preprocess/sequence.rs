//! How a sample stands in time to those before it: what every filter with a memory asks first. A filter never takes a late sample into
//! its memory, and begins anew where the source's clock was set back.

use std::{cmp::Ordering, time::Duration};

use crate::{sample::Sample, time::Timestamp};

/// Where a sample belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is nothing before it: it is the first, or the first after the source's clock was set back.
    First,
    /// After all others.
    Next,
    /// At the newest one's SourceTimestamp.
    Again,
    /// Before the newest one.
    Late,
}

/// How far back a ServerTimestamp must be for the clock to have been set back: of a sample that is only late it is about now.
const STEP_BACK: Duration = Duration::from_secs(2);

/// The newest sample's times.
#[derive(Debug, Default)]
pub(super) struct Sequence(Option<(Timestamp, Timestamp)>);

impl Sequence {
    /// Where the sample belongs; from then on it counts.
    pub(super) fn place(&mut self, sample: &Sample) -> Place {
        let (at, server) = (sample.source_timestamp, sample.server_timestamp);
        let Some((newest, newest_server)) = self.0 else {
            self.0 = Some((at, server));
            return Place::First;
        };
        match at.cmp(&newest) {
            Ordering::Greater => {
                self.0 = Some((at, server));
                Place::Next
            }
            Ordering::Equal => {
                self.0 = Some((at, server.max(newest_server)));
                Place::Again
            }
            Ordering::Less if !server.is_null() && server + STEP_BACK < newest_server => {
                self.0 = Some((at, server));
                Place::First
            }
            Ordering::Less => Place::Late,
        }
    }

    /// Nothing was before what comes next.
    pub(super) const fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_sample_is_told_from_a_clock_that_was_set_back() {
        let mut sequence = Sequence::default();
        let mut place = |at: i64, server: i64| {
            let [at, server] = [at, server].map(|s| Timestamp::from_ticks(s * 10_000_000));
            sequence.place(&Sample { server_timestamp: server, ..Sample::good(at, 0.0) })
        };
        assert_eq!(place(100, 100), Place::First);
        assert_eq!(place(101, 101), Place::Next);
        assert_eq!(place(101, 101), Place::Again);
        assert_eq!(place(90, 102), Place::Late, "its ServerTimestamp is of now");
        assert_eq!(place(90, 0), Place::Late, "nobody says that the clock was set back");
        assert_eq!(place(40, 40), Place::First);
        assert_eq!(place(41, 41), Place::Next);
    }
}
