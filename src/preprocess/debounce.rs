//! A state goes on once it has stood for a time; what is shorter does not. The sample that goes on is the one with which the state began, as it
//! was: history says when the state began, subscribers learn of it when it has proven to last.
//!
//! Without a further sample from the source, whose clock times it, the state goes on when our own clock says that it has stood for the time and a
//! second more, which a change back may be under way. The first sample goes on at once, and so does a Bad one, and the first after either a Bad one or
//! a gap: there is no state then that should be held. A late sample does not go on, unless it is Bad.

use std::time::Duration;

use super::{
    Onward, Thinning,
    sequence::{Place, Sequence},
};
use crate::{
    sample::{Sample, Value},
    time::Timestamp,
};

/// How long what the source has sent may be under way.
const TRANSIT: Duration = Duration::from_secs(1);

pub(super) struct Debounce {
    time: Duration,
    standing: Option<Value>,
    /// The sample with which another state began, and when it came.
    begun: Option<(Sample, Timestamp)>,
    sequence: Sequence,
}

impl Debounce {
    pub(super) fn new(time: Duration) -> Self {
        Self { time, standing: None, begun: None, sequence: Sequence::default() }
    }

    fn stand(&mut self, value: Value) {
        self.standing = Some(value);
        self.begun = None;
    }
}

impl Thinning for Debounce {
    fn apply(&mut self, sample: Sample, received: Timestamp, on: &mut Onward<'_>) {
        let is_state = !sample.status.is_bad() && !sample.value.is_null();
        match self.sequence.place(&sample) {
            Place::Late if is_state => return,
            Place::Late => return on(sample),
            Place::First => self.forget(),
            Place::Next | Place::Again => {}
        }
        if !is_state {
            self.forget();
            return on(sample);
        }
        if self.standing.as_ref().is_none_or(|standing| *standing == sample.value) {
            self.stand(sample.value.clone());
            return on(sample);
        }
        match self.begun.take() {
            Some((begun, came)) if begun.value == sample.value => {
                if sample.source_timestamp.saturating_since(begun.source_timestamp) < self.time {
                    self.begun = Some((begun, came));
                    return;
                }
                self.stand(sample.value.clone());
                on(begun);
                on(sample);
            }
            _ => self.begun = Some((sample, received)),
        }
    }

    fn tick(&mut self, now: Timestamp, on: &mut Onward<'_>) {
        let Some((begun, came)) = &mut self.begun else { return };
        *came = now.min(*came); // our clock was set back
        if now.saturating_since(*came) >= self.time.saturating_add(TRANSIT) {
            let begun = begun.clone();
            self.stand(begun.value.clone());
            on(begun);
        }
    }

    fn interrupt(&mut self) {
        self.forget();
        self.sequence.forget();
    }
}

impl Debounce {
    fn forget(&mut self) {
        (self.standing, self.begun) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        preprocess::tests::{at, passed},
        sample::StatusCode,
    };

    fn state(seconds: f64, value: i32) -> Sample {
        Sample { value: Value::Int32(value), ..Sample::good(at(seconds), 0.0) }
    }

    #[test]
    fn a_state_goes_on_from_where_it_began_once_it_has_stood() {
        let mut debounce = Debounce::new(Duration::from_secs(1));
        let chatter = [
            state(0.0, 0),
            state(1.0, 1), // for 0.3 s
            state(1.3, 0),
            state(2.0, 1),
            state(2.5, 2), // a third state begins its own time
            state(3.0, 1),
            state(3.6, 1),
            state(4.0, 1),
            state(4.1, 1),
        ];
        let expected = [state(0.0, 0), state(1.3, 0), state(3.0, 1), state(4.0, 1), state(4.1, 1)];
        assert_eq!(passed(&mut debounce, chatter), expected);
    }

    #[test]
    fn without_a_further_sample_our_own_clock_decides() {
        let mut debounce = Debounce::new(Duration::from_secs(1));
        let mut went_on = passed(&mut debounce, [state(0.0, 0), state(1.0, 1)]);
        let mut tick = |now: f64| debounce.tick(at(now), &mut |sample| went_on.push(sample));
        tick(2.9);
        tick(3.0);
        tick(9.0);
        assert_eq!(went_on, [state(0.0, 0), state(1.0, 1)]);
    }

    #[test]
    fn bad_goes_on_at_once_and_so_does_what_follows() {
        let mut debounce = Debounce::new(Duration::from_secs(5));
        let bad = Sample::bad(at(2.0), StatusCode::BadSensorFailure);
        let samples = [state(0.0, 0), state(1.0, 1), bad.clone(), state(2.5, 1), state(1.0, 0)];
        assert_eq!(passed(&mut debounce, samples), [state(0.0, 0), bad, state(2.5, 1)]);
    }
}
