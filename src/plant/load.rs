//! The load: variables that only count, for benchmarks, and when each of them changes.

use crate::time::Timestamp;

const SECOND_TICKS: i64 = 10_000_000;

/// How many variables change how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many there are.
    pub variables: u32,
    /// Samples of each in a second.
    pub rate: u32,
    /// In how many groups they change, one after the other, evenly over the time between two samples.
    pub groups: u32,
}

impl Load {
    /// So many variables that all change at every whole second.
    #[must_use]
    pub const fn of(variables: u32) -> Self {
        Self { variables, rate: 1, groups: 1 }
    }

    /// Instants of a second at which some group changes.
    fn steps_per_s(&self) -> i64 {
        i64::from(self.rate.max(1)) * i64::from(self.groups.max(1))
    }

    /// The newest step at or before `now`; steps count from 1601 on.
    pub(super) fn step(&self, now: Timestamp) -> i64 {
        let (second, rest) = (now.ticks().div_euclid(SECOND_TICKS), now.ticks().rem_euclid(SECOND_TICKS));
        let steps = self.steps_per_s();
        // The last one of the second whose instant, rounded down, is not after `rest`.
        second * steps + ((rest + 1) * steps - 1) / SECOND_TICKS
    }

    /// When a step is.
    #[must_use]
    pub fn instant(&self, step: i64) -> Timestamp {
        let steps = self.steps_per_s();
        Timestamp::from_ticks(step.div_euclid(steps) * SECOND_TICKS + step.rem_euclid(steps) * SECOND_TICKS / steps)
    }

    /// The variables, counted from 1, that change at a step.
    pub(super) fn changing(&self, step: i64) -> impl Iterator<Item = u32> + use<> {
        let groups = self.groups.max(1);
        let group = u32::try_from(step.rem_euclid(i64::from(groups))).unwrap_or(0);
        (group + 1..=self.variables).step_by(groups as usize)
    }

    /// The last instant at which a variable, counted from 1, changed, when `step` is the newest.
    pub(super) fn changed_at(&self, index: u32, step: i64) -> Timestamp {
        let groups = i64::from(self.groups.max(1));
        let group = i64::from(index.saturating_sub(1)) % groups;
        self.instant(step - (step - group).rem_euclid(groups))
    }
}

/// What the `index`-th load variable (from 1) is worth at an instant: the index, and the second of the day as the
/// fifth and earlier decimals. 17 at 01:00:00 UTC is 17.036.
#[must_use]
pub fn load_value(index: u32, at: Timestamp) -> f64 {
    let second_of_day = at.ticks().rem_euclid(86_400 * SECOND_TICKS) as f64 / SECOND_TICKS as f64;
    (f64::from(index) * 1e5 + second_of_day) / 1e5
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_step_holds_until_the_next_one_and_each_variable_changes_at_its_rate(
            ticks in 0..200_000 * SECOND_TICKS, rate in 1..50_u32, groups in 1..20_u32
        ) {
            let load = Load { variables: 50, rate, groups };
            let now = Timestamp::from_ticks(ticks);
            let step = load.step(now);
            prop_assert!(load.instant(step) <= now && now < load.instant(step + 1));
            for index in 1..=50 {
                let changes = |step: &i64| load.changing(*step).any(|i| i == index);
                let own: Vec<i64> = (step - 2 * i64::from(groups) + 1..=step).filter(changes).collect();
                prop_assert_eq!(own.len(), 2);
                prop_assert_eq!(load.changed_at(index, step), load.instant(own[1]));
            }
        }
    }
}
