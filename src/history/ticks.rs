//! The timestamps of a series' samples, kept small: a steady clock, as most series have, takes three numbers. Pure.

use std::ops::Range;

/// SourceTimestamps in ticks, ascending.
#[derive(Clone, Debug)]
pub(super) enum Ticks {
    /// The first, and the same step from each to the next.
    Step {
        first: i64,
        step: i64,
        count: usize,
    },
    Each(Vec<i64>),
}

impl Default for Ticks {
    fn default() -> Self {
        Self::Step { first: 0, step: 0, count: 0 }
    }
}

/// `index` is that of one of them: nothing overflows.
pub(super) fn at_step(first: i64, step: i64, index: usize) -> i64 {
    first.wrapping_add(step.wrapping_mul(index as i64))
}

/// Grows by a quarter, not to the double: with 10,000 heads the slack would cost more than the copies.
pub(super) fn push<T>(column: &mut Vec<T>, item: T) {
    if column.len() == column.capacity() {
        column.reserve_exact((column.len() / 4).max(16));
    }
    column.push(item);
}

impl Ticks {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Step { count, .. } => *count,
            Self::Each(ticks) => ticks.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<i64> {
        match self {
            Self::Step { first, step, count } => (index < *count).then(|| at_step(*first, *step, index)),
            Self::Each(ticks) => ticks.get(index).copied(),
        }
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.get(self.len().wrapping_sub(1))
    }

    /// Adds one after the last.
    pub(super) fn push(&mut self, ticks: i64) {
        match self {
            Self::Step { first, count: count @ 0, .. } => (*first, *count) = (ticks, 1),
            Self::Step { first, step, count } => {
                let last = at_step(*first, *step, *count - 1);
                match ticks.checked_sub(last) {
                    Some(next) if *count == 1 || next == *step => (*step, *count) = (next, *count + 1),
                    _ => {
                        let mut each = Vec::with_capacity(*count + 16);
                        each.extend((0..*count).map(|index| at_step(*first, *step, index)));
                        each.push(ticks);
                        *self = Self::Each(each);
                    }
                }
            }
            Self::Each(each) => push(each, ticks),
        }
    }

    /// Indices of those in `start..end`.
    pub(super) fn indices(&self, start: i64, end: i64) -> Range<usize> {
        let from = self.count_before(start);
        from..self.count_before(end).max(from)
    }

    #[expect(clippy::cast_sign_loss, reason = "clamped to 0..=count")]
    fn count_before(&self, end: i64) -> usize {
        match self {
            Self::Step { first, step, count } => {
                let (distance, step) = (i128::from(end) - i128::from(*first), i128::from(*step).max(1));
                ((distance + step - 1) / step).clamp(0, *count as i128) as usize
            }
            Self::Each(ticks) => ticks.partition_point(|&ticks| ticks < end),
        }
    }

    /// Whether they ascend, as they must: asked of what was read.
    pub(super) fn is_sorted(&self) -> bool {
        match self {
            Self::Step { count: 0 | 1, .. } => true,
            Self::Step { first, step, count } => {
                let last = i128::from(*first) + i128::from(*step) * (*count as i128 - 1);
                *step > 0 && last <= i64::MAX.into()
            }
            Self::Each(ticks) => ticks.is_sorted_by(|a, b| a < b),
        }
    }

    /// Bytes of memory outside of itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Step { .. } => 0,
            Self::Each(ticks) => ticks.capacity() * 8,
        }
    }
}

/// Server timestamps as differences to the source's: mostly one constant.
#[derive(Clone, Debug)]
pub(super) enum ServerDeltas {
    Constant(i64),
    Short(Vec<i32>),
    Long(Vec<i64>),
}

impl ServerDeltas {
    pub(super) fn push(&mut self, delta: i64, len_before: usize) {
        match self {
            Self::Constant(constant) if len_before == 0 => *constant = delta,
            Self::Constant(constant) if *constant == delta => {}
            Self::Constant(constant) => {
                *self = match (i32::try_from(*constant), i32::try_from(delta)) {
                    (Ok(constant), Ok(_)) => Self::Short(vec![constant; len_before]),
                    _ => Self::Long(vec![*constant; len_before]),
                };
                self.push(delta, len_before);
            }
            Self::Short(deltas) => {
                if let Ok(delta) = i32::try_from(delta) {
                    push(deltas, delta);
                } else {
                    *self = Self::Long(deltas.iter().copied().map(i64::from).collect());
                    self.push(delta, len_before);
                }
            }
            Self::Long(deltas) => push(deltas, delta),
        }
    }

    pub(super) fn get(&self, index: usize) -> i64 {
        match self {
            Self::Constant(delta) => *delta,
            Self::Short(deltas) => deltas[index].into(),
            Self::Long(deltas) => deltas[index],
        }
    }

    /// Bytes of memory outside of itself.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Constant(_) => 0,
            Self::Short(deltas) => deltas.capacity() * 4,
            Self::Long(deltas) => deltas.capacity() * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ticks: &[i64]) -> Ticks {
        let mut column = Ticks::default();
        ticks.iter().for_each(|&ticks| column.push(ticks));
        column
    }

    /// At the ends of time and in between: a steady clock answers as if each instant stood there.
    #[test]
    fn a_steady_clock_answers_as_its_instants_would() {
        let cases: [(&[i64], bool); 7] = [
            (&[], true),
            (&[5], true),
            (&[i64::MIN, i64::MAX], false),
            (&[i64::MIN, -1, i64::MAX - 1], true),
            (&[-7, 3, 13, 23], true),
            (&[-7, 3, 13, 24, 34], false),
            (&[i64::MAX - 2, i64::MAX - 1, i64::MAX], true),
        ];
        for (ticks, is_steady) in cases {
            let column = of(ticks);
            assert_eq!(matches!(column, Ticks::Step { .. }), is_steady, "{ticks:?}");
            assert_eq!((column.len(), column.last()), (ticks.len(), ticks.last().copied()));
            assert!(column.is_sorted());
            assert_eq!((0..=ticks.len()).map(|i| column.get(i)).collect::<Vec<_>>(), {
                ticks.iter().copied().map(Some).chain([None]).collect::<Vec<_>>()
            });
            let around = |t: &i64| [t.saturating_sub(1), *t, t.saturating_add(1)];
            let bounds: Vec<i64> = ticks.iter().flat_map(around).chain([i64::MIN, 0, i64::MAX]).collect();
            for (&start, &end) in bounds.iter().flat_map(|start| bounds.iter().map(move |end| (start, end))) {
                let from = ticks.partition_point(|&t| t < start);
                let expected = from..ticks.partition_point(|&t| t < end).max(from);
                assert_eq!(column.indices(start, end), expected, "{ticks:?} in {start}..{end}");
            }
        }
    }

    #[test]
    fn steps_that_do_not_ascend_are_noticed() {
        for (first, step, count) in [(0, 0, 2), (0, -1, 2), (i64::MAX - 1, 1, 3), (0, i64::MAX, 8192)] {
            assert!(!Ticks::Step { first, step, count }.is_sorted(), "{first} {step} {count}");
        }
    }
}
