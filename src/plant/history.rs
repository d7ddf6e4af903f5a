//! The last hour of every measurement, and the raw reads over it (OPC 10000-11 §6.5.3). Pure: no clock, no I/O.

use std::collections::VecDeque;

use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

/// How far back the plant remembers.
pub(super) const HISTORY_S: f64 = 3600.0;

/// The samples of one measurement, oldest first, timestamps strictly increasing.
#[derive(Default)]
pub(super) struct Ring(VecDeque<Sample>);

/// A raw read, as asked (OPC 10000-11 §6.5.3.2); a null time is "not given".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RawRead {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// 0: no limit.
    pub(super) values_per_node: u32,
    pub(super) return_bounds: bool,
}

impl Ring {
    /// Appends a sample and forgets what is older than an hour before it.
    pub(super) fn push(&mut self, sample: Sample) {
        assert!(self.0.back().is_none_or(|last| last.source_timestamp < sample.source_timestamp), "history must grow");
        let oldest = sample.source_timestamp.plus_seconds(-HISTORY_S);
        self.0.push_back(sample);
        while self.0.front().is_some_and(|first| first.source_timestamp < oldest) {
            self.0.pop_front();
        }
    }

    /// The samples that a raw read asks for, in its order; `Err` if the three limits say too little.
    pub(super) fn read(&self, read: &RawRead) -> Result<Vec<Sample>, StatusCode> {
        let RawRead { start, end, values_per_node, return_bounds } = *read;
        let limit = if values_per_node == 0 { usize::MAX } else { values_per_node as usize };
        match (start.is_null(), end.is_null()) {
            // At least two of start, end and number must be given.
            (true, true) => Err(StatusCode::BadHistoryOperationInvalid),
            (_, true) | (true, _) if values_per_node == 0 => Err(StatusCode::BadHistoryOperationInvalid),
            (false, true) => Ok(self.forward(start, Timestamp::MAX, return_bounds, false, limit)),
            (true, false) => Ok(self.backward(end, Timestamp::NULL, return_bounds, false, limit)),
            (false, false) if start <= end => Ok(self.forward(start, end, return_bounds, true, usize::MAX)),
            (false, false) => Ok(self.backward(start, end, return_bounds, true, usize::MAX)),
        }
    }

    /// From `start` on, up to but without `end`; with bounds also the value at or before `start` and at or after `end`.
    fn forward(&self, start: Timestamp, end: Timestamp, bounds: bool, end_bound: bool, limit: usize) -> Vec<Sample> {
        let first = self.0.partition_point(|s| s.source_timestamp < start);
        // Start equal to end means that one instant.
        let after = self.0.partition_point(|s| s.source_timestamp < end || (start == end && s.source_timestamp == end));
        let mut samples = Vec::new();
        if bounds && self.0.get(first).is_none_or(|s| s.source_timestamp > start) {
            samples.push(first.checked_sub(1).and_then(|i| self.0.get(i)).cloned().unwrap_or_else(|| no_bound(start)));
        }
        samples.extend(self.0.range(first..after).take(limit.saturating_sub(samples.len())).cloned());
        let at_end = samples.last().is_some_and(|s| s.source_timestamp == end);
        if bounds && end_bound && !at_end {
            samples.push(self.0.get(after).cloned().unwrap_or_else(|| no_bound(end)));
        }
        samples
    }

    /// From `start` back, down to but without `end`; bounds likewise.
    fn backward(&self, start: Timestamp, end: Timestamp, bounds: bool, end_bound: bool, limit: usize) -> Vec<Sample> {
        let after = self.0.partition_point(|s| s.source_timestamp <= start);
        let first = self.0.partition_point(|s| s.source_timestamp <= end);
        let mut samples = Vec::new();
        if bounds && after.checked_sub(1).and_then(|i| self.0.get(i)).is_none_or(|s| s.source_timestamp < start) {
            samples.push(self.0.get(after).cloned().unwrap_or_else(|| no_bound(start)));
        }
        samples.extend(self.0.range(first..after).rev().take(limit.saturating_sub(samples.len())).cloned());
        if bounds && end_bound {
            samples.push(first.checked_sub(1).and_then(|i| self.0.get(i)).cloned().unwrap_or_else(|| no_bound(end)));
        }
        samples
    }
}

/// What stands for a bounding value that does not exist (OPC 10000-11 §6.5.3.2).
fn no_bound(at: Timestamp) -> Sample {
    Sample::bad(at, StatusCode::BadBoundNotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 600_000_000;
    /// 5:00 in a year that does not matter.
    const FIVE: i64 = 1000 * 60 * MINUTE;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_ticks(FIVE + minutes * MINUTE)
    }

    /// The example of OPC 10000-11 §6.5.3.2: values at 5:00, 5:02, 5:03, 5:05 and 5:06.
    fn check(start: Option<i64>, end: Option<i64>, values_per_node: u32, return_bounds: bool, expected: &[i64]) {
        let mut ring = Ring::default();
        for minute in [0, 2, 3, 5, 6] {
            ring.push(Sample::good(at(minute), 0.0));
        }
        let time = |minutes: Option<i64>| minutes.map_or(Timestamp::NULL, at);
        let read = RawRead { start: time(start), end: time(end), values_per_node, return_bounds };
        let found = ring.read(&read).unwrap();
        let minutes: Vec<i64> = found.iter().map(|s| (s.source_timestamp.ticks() - FIVE) / MINUTE).collect();
        assert_eq!(minutes, expected, "{read:?}");
    }

    #[test]
    fn raw_reads_follow_the_table_of_part_11() {
        check(Some(0), Some(5), 0, true, &[0, 2, 3, 5]);
        check(Some(0), Some(5), 0, false, &[0, 2, 3]);
        check(Some(1), Some(4), 0, true, &[0, 2, 3, 5]);
        check(Some(1), Some(4), 0, false, &[2, 3]);
        check(Some(5), Some(0), 0, true, &[5, 3, 2, 0]);
        check(Some(5), Some(0), 0, false, &[5, 3, 2]);
        check(Some(4), Some(1), 0, true, &[5, 3, 2, 0]);
        check(Some(4), Some(1), 0, false, &[3, 2]);
        check(Some(0), None, 3, false, &[0, 2, 3]);
        check(None, Some(6), 3, false, &[6, 5, 3]);
        check(Some(1), None, 3, true, &[0, 2, 3]);
        check(Some(0), Some(0), 0, false, &[0]);
        check(Some(0), Some(0), 0, true, &[0]);
        check(Some(1), Some(1), 0, true, &[0, 2]);
        check(Some(1), Some(1), 0, false, &[]);
        // Before the first and after the last value there is no bound: its place is taken, with Bad_BoundNotFound.
        check(Some(-1), Some(8), 0, true, &[-1, 0, 2, 3, 5, 6, 8]);
    }

    #[test]
    fn one_limit_alone_is_refused() {
        let read = |start, end| RawRead { start, end, values_per_node: 0, return_bounds: false };
        for read in [read(at(0), Timestamp::NULL), read(Timestamp::NULL, at(0)), read(Timestamp::NULL, Timestamp::NULL)]
        {
            assert_eq!(Ring::default().read(&read), Err(StatusCode::BadHistoryOperationInvalid));
        }
    }

    #[test]
    fn the_ring_forgets_after_an_hour() {
        let mut ring = Ring::default();
        for second in 0..4000_i64 {
            ring.push(Sample::good(Timestamp::from_ticks(second * 10_000_000 + 1), 0.0));
        }
        assert_eq!(ring.0.len(), 3601);
    }
}
