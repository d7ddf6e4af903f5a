//! What of samples that come out of order goes on: those that are older than the newest, and those at its SourceTimestamp. One that is
//! worse than the newest goes on whatever is asked: a source may give a change for the worse the old time.

use super::{
    Onward, Thinning,
    sequence::{Place, Sequence},
};
use crate::{
    sample::{Sample, StatusCode, worse},
    time::Timestamp,
};

pub(super) struct Order {
    keeps_late: bool,
    keeps_duplicates: bool,
    newest: StatusCode,
    sequence: Sequence,
}

impl Order {
    pub(super) fn new(keeps_late: bool, keeps_duplicates: bool) -> Self {
        Self { keeps_late, keeps_duplicates, newest: StatusCode::Good, sequence: Sequence::default() }
    }
}

impl Thinning for Order {
    fn apply(&mut self, sample: Sample, _received: Timestamp, on: &mut Onward<'_>) {
        let is_worse = worse(self.newest, sample.status) != self.newest;
        let goes_on = match self.sequence.place(&sample) {
            Place::First | Place::Next => true,
            Place::Again => self.keeps_duplicates || is_worse,
            Place::Late => {
                if self.keeps_late || is_worse {
                    on(sample);
                }
                return;
            }
        };
        if goes_on {
            self.newest = sample.status;
            on(sample);
        }
    }

    fn interrupt(&mut self) {
        self.sequence.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::tests::{at, passed};

    fn check(keeps_late: bool, keeps_duplicates: bool, expected: &[f64]) {
        let mut order = Order::new(keeps_late, keeps_duplicates);
        let samples = [(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (1.5, 4.0), (3.0, 5.0)].map(|(t, x)| Sample::good(at(t), x));
        let went_on: Vec<_> = passed(&mut order, samples).iter().filter_map(Sample::usable).collect();
        assert_eq!(went_on, expected, "late {keeps_late}, duplicates {keeps_duplicates}");
    }

    #[test]
    fn late_ones_and_duplicates_go_on_as_asked() {
        check(true, true, &[1.0, 2.0, 3.0, 4.0, 5.0]);
        check(false, true, &[1.0, 2.0, 3.0, 5.0]);
        check(true, false, &[1.0, 2.0, 4.0, 5.0]);
        check(false, false, &[1.0, 2.0, 5.0]);
    }

    #[test]
    fn what_is_worse_is_said_whatever_its_time() {
        let mut order = Order::new(false, false);
        let good = Sample::good(at(2.0), 1.0);
        let bad = |t| Sample::bad(at(t), StatusCode::BadSensorFailure);
        let samples = [good.clone(), bad(2.0), bad(2.0), good.clone(), Sample::good(at(3.0), 1.0), bad(1.0)];
        assert_eq!(passed(&mut order, samples), [good, bad(2.0), Sample::good(at(3.0), 1.0), bad(1.0)]);
    }
}
