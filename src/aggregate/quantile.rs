//! Median, Percentile05 and Percentile95 of the Good samples: not in Part 13. Linear between order statistics (type 7 of
//! Hyndman and Fan, as in NumPy and R). The values of one interval are kept: 8 bytes each.

use super::{
    Aggregate, Request,
    interval::Interval,
    raw::{Fold, Tally},
};
use crate::sample::{Sample, Value};

/// The Good values of one interval.
#[derive(Default)]
pub(super) struct Quantile {
    values: Vec<f64>,
    tally: Tally,
}

impl Fold for Quantile {
    #[inline]
    fn add(&mut self, request: &Request, sample: &Sample) {
        if let Some(x) = self.tally.good(request, sample) {
            self.values.push(x);
        }
    }

    fn finish(mut self, request: &Request, interval: &Interval) -> Sample {
        let share = match request.aggregate {
            Aggregate::Percentile05 => 0.05,
            Aggregate::Percentile95 => 0.95,
            _ => 0.5,
        };
        match quantile(&mut self.values, share) {
            Some(x) => self.tally.result(request, interval, Value::Double(x)),
            None => self.tally.nothing(interval),
        }
    }
}

fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    let place = values.len().checked_sub(1)? as f64 * share;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the length")]
    let index = place.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(index, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some((place - place.floor()).mul_add(high - low, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_order_statistics() {
        assert_eq!(quantile(&mut [], 0.5), None);
        assert_eq!(quantile(&mut [7.0], 0.95), Some(7.0));
        assert_eq!(quantile(&mut [4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        // NumPy: percentile([0, 10, …, 100], 95) = 95.
        assert_eq!(quantile(&mut (0..=10).rev().map(|i| f64::from(i) * 10.0).collect::<Vec<_>>(), 0.95), Some(95.0));
    }
}
