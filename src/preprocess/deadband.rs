//! What has moved by no more than the deadband since the last sample that went on does not go on (OPC 10000-4 §7.22.2: |last − x| ≤ band).
//! What is said of the quality always does: every Bad sample, every other status, every value that is no finite number; and so does the first sample, one
//! after `longest`, and a late one, which says nothing of the present.
//!
//! Status and SourceTimestamp are the sample's own.

use std::time::Duration;

use super::{
    Onward, Thinning,
    sequence::{Place, Sequence},
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

pub(super) struct Deadband {
    band: f64,
    /// After that much time a sample goes on whatever its value: a steady value can be told from a dead one.
    longest: Option<Duration>,
    last: Option<(f64, StatusCode, Timestamp)>,
    sequence: Sequence,
}

impl Deadband {
    pub(super) fn new(band: f64, longest: Option<Duration>) -> Self {
        Self { band, longest, last: None, sequence: Sequence::default() }
    }

    fn is_within(&self, sample: &Sample) -> bool {
        let (Some(x), Some((last, status, at))) = (sample.usable(), self.last) else { return false };
        let is_due = self.longest.is_some_and(|most| sample.source_timestamp.saturating_since(at) >= most);
        status == sample.status && (x - last).abs() <= self.band && !is_due
    }
}

impl Thinning for Deadband {
    fn apply(&mut self, sample: Sample, _received: Timestamp, on: &mut Onward<'_>) {
        match self.sequence.place(&sample) {
            Place::Late => return on(sample),
            Place::First => self.last = None,
            Place::Next | Place::Again => {}
        }
        if !self.is_within(&sample) {
            self.last = sample.usable().map(|x| (x, sample.status, sample.source_timestamp));
            on(sample);
        }
    }

    fn interrupt(&mut self) {
        self.last = None;
        self.sequence.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tests::{at, passed};

    #[test]
    fn only_what_has_moved_by_more_than_the_band_goes_on() {
        let mut deadband = Deadband::new(0.5, None);
        let samples = [1.0, 1.5, 1.25, 1.75, 1.5, 1.0, 1.25];
        let samples = (0..).zip(samples).map(|(t, x)| Sample::good(at(f64::from(t)), x));
        let went_on: Vec<_> = passed(&mut deadband, samples).iter().filter_map(Sample::usable).collect();
        // 1.5 is half from 1: no more than the band.
        assert_eq!(went_on, [1.0, 1.75, 1.0]);
    }

    #[test]
    fn what_is_said_of_the_quality_goes_on() {
        let mut deadband = Deadband::new(0.5, Some(Duration::from_secs(10)));
        let uncertain = StatusCode::UncertainSensorNotAccurate;
        let samples = [
            Sample::good(at(0.0), 1.0),
            Sample { status: uncertain, ..Sample::good(at(1.0), 1.0) },
            Sample { status: uncertain, ..Sample::good(at(2.0), 1.0) }, // stays
            Sample::bad(at(3.0), StatusCode::BadSensorFailure),
            Sample::bad(at(4.0), StatusCode::BadSensorFailure),
            Sample::good(at(5.0), 1.0),
            Sample::good(at(14.9), 1.0), // stays
            Sample::good(at(15.0), 1.0),
            Sample::good(at(15.1), f64::NAN),
            Sample { server_timestamp: at(15.2), ..Sample::good(at(7.0), 1.0) }, // late
        ];
        let went_on: Vec<_> = passed(&mut deadband, samples).iter().map(|s| s.source_timestamp).collect();
        assert_eq!(went_on, [0.0, 1.0, 3.0, 4.0, 5.0, 15.0, 15.1, 7.0].map(at));
    }

    #[test]
    fn the_first_after_an_interruption_goes_on() {
        let mut deadband = Deadband::new(0.5, None);
        assert_eq!(passed(&mut deadband, [Sample::good(at(0.0), 1.0)]).len(), 1);
        deadband.interrupt();
        assert_eq!(passed(&mut deadband, [Sample::good(at(1.0), 1.0), Sample::good(at(2.0), 1.0)]).len(), 1);
    }
}
