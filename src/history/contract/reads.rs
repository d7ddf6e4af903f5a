//! What is appended is read in its order, as often as it is wanted.

use super::*;
use crate::{
    history::{Direction::Backward, HistoryError},
    sample::Value,
};

#[test]
fn reads_are_half_open_ordered_and_limited() {
    check(|store| {
        append(store, A, (0..40).map(|i| good(i * 10, i as f64)));
        append(store, B, [good(5, 1.0)]);
        assert_eq!(ticks_of(store, A, 100, 130, Forward, 99), [100, 110, 120]);
        assert_eq!(ticks_of(store, A, 101, 131, Forward, 99), [110, 120, 130]);
        assert_eq!(ticks_of(store, A, 100, 400, Forward, 2), [100, 110]);
        assert_eq!(ticks_of(store, A, 100, 400, Backward, 2), [390, 380]);
        assert_eq!(ticks_of(store, A, 0, 200, Backward, 3), [190, 180, 170]);
        assert_eq!(ticks_of(store, A, 200, 200, Forward, 3), [0; 0]);
        assert_eq!(ticks_of(store, A, 300, 200, Forward, 3), [0; 0]);
        assert_eq!(ticks_of(store, A, 0, 400, Forward, 0), [0; 0]);
        assert_eq!(ticks_of(store, B, 0, 400, Backward, 9), [5]);
    });
}

#[test]
fn the_later_written_sample_wins_at_an_equal_instant() {
    check(|store| {
        append(store, A, (0..30).map(|i| good(i, 1.0)));
        append(store, A, [good(3, 2.0), good(29, 2.0), good(29, 3.0)]);
        let samples = all(store, A);
        assert_eq!(samples.len(), 30);
        assert_eq!((&samples[3].value, &samples[29].value), (&Value::Double(2.0), &Value::Double(3.0)));
        assert_eq!(samples[4].value, Value::Double(1.0));
    });
}

#[test]
fn late_samples_are_read_in_their_place() {
    check(|store| {
        append(store, A, (0..50).map(|i| good(1000 + i, 0.0)));
        append(store, A, (0..50).map(|i| good(2000 + i, 0.0)));
        // Backfill between and before, while live samples go on.
        for i in 0..50 {
            append(store, A, [good(1500 + i, 1.0), good(3000 + i, 0.0), good(10 - i, 2.0)]);
        }
        let ticks = ticks_of(store, A, i64::MIN, i64::MAX, Forward, usize::MAX);
        let expected: Vec<i64> =
            (-39..=10).chain(1000..1050).chain(1500..1550).chain(2000..2050).chain(3000..3050).collect();
        assert_eq!(ticks, expected);
    });
}

#[test]
fn what_is_removed_is_gone_and_may_come_back() {
    check(|store| {
        append(store, A, (0..40).map(|i| good(i, 0.0)));
        store.remove(A, at(10)..at(20)).unwrap();
        assert_eq!(ticks_of(store, A, 5, 25, Forward, 99), [5, 6, 7, 8, 9, 20, 21, 22, 23, 24]);
        assert_eq!(ticks_of(store, A, 5, 25, Backward, 6), [24, 23, 22, 21, 20, 9]);
        append(store, A, [good(15, 7.0)]);
        store.flush().unwrap();
        append(store, A, (40..60).map(|i| good(i, 0.0)));
        assert_eq!(ticks_of(store, A, 5, 25, Forward, 7), [5, 6, 7, 8, 9, 15, 20]);
        store.remove(A, at(i64::MIN)..at(i64::MAX)).unwrap();
        assert_eq!(store.extent(A).unwrap(), None);
    });
}

#[test]
fn extent_is_from_the_oldest_to_the_newest() {
    check(|store| {
        assert_eq!(store.extent(A).unwrap(), None);
        append(store, A, (0..30).map(|i| good(100 + i, 0.0)));
        append(store, A, [good(7, 0.0)]);
        assert_eq!(store.extent(A).unwrap(), Some((at(7), at(129))));
        store.remove(A, at(0)..at(105)).unwrap();
        assert_eq!(store.extent(A).unwrap(), Some((at(105), at(129))));
    });
}

#[test]
fn an_unknown_series_is_refused_whole() {
    check(|store| {
        let result = store.append(&[(A, good(1, 1.0)), (SeriesId(3), good(1, 1.0))]);
        assert!(matches!(result, Err(HistoryError::UnknownSeries { series: SeriesId(3), count: 3 })), "{result:?}");
        assert_eq!(all(store, A), []);
    });
}
