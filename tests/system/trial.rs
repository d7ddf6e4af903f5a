//! Rounds of the tests that stop a process dead: how many, at which moments, what came of them.

use std::{env, fmt, time::Duration};

use super::{
    history_look::Verdict,
    history_writer::{Moment, Work},
};

/// A number from the environment.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// Bits in which nothing of `x` is to be seen.
pub(crate) fn mixed(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Moments by chance. The same seed gives the same moments, though not the same place in the writer's work.
pub(crate) struct Chance(u64);

impl Chance {
    /// Seeded by `UATWIN_TEST_SEED`.
    pub(crate) fn new() -> Self {
        Self(number("UATWIN_TEST_SEED", 1))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Any moment from the start of the process on, or from an acknowledgement on, or just when something was acknowledged.
    pub(crate) fn moment(&mut self, most: Duration) -> Moment {
        let acknowledgements = [0, 1, 1, 1 + self.below(20)][self.below(4) as usize];
        let is_at_once = acknowledgements > 1;
        let then = Duration::from_micros(if is_at_once { 0 } else { self.below(most.as_micros() as u64) });
        Moment { acknowledgements, then }
    }
}

/// What came of all rounds.
#[derive(Default)]
pub(crate) struct Tally {
    /// What a round is called: kills, power cuts.
    what: &'static str,
    rounds: u64,
    /// Samples acknowledged, of all histories together.
    acknowledged: i64,
    lost: i64,
    wrong: i64,
    /// Rounds with findings.
    unsound: u64,
    merged: u64,
}

impl Tally {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, ..Self::default() }
    }

    /// Counts a round. Whether all is well.
    pub(crate) fn add(&mut self, work: Work, acknowledged: i64, merged: u64, verdict: &Verdict) -> bool {
        self.rounds += 1;
        self.acknowledged += acknowledged;
        self.merged += merged;
        self.lost += verdict.lost;
        self.wrong += verdict.wrong;
        if !verdict.is_sound() {
            self.unsound += 1;
            println!(
                "{work:?}, round {}: {} lost, {} wrong: {}",
                self.rounds, verdict.lost, verdict.wrong, verdict.says
            );
        }
        if self.rounds.is_multiple_of(10) {
            println!("{self}");
        }
        verdict.is_sound()
    }

    /// The closing line.
    ///
    /// # Panics
    /// If a round was not sound, or no block was merged: then nothing is said of compaction.
    pub(crate) fn close(self) {
        println!("{self}");
        assert!(self.unsound == 0, "{self}");
        assert!(self.merged > 0 || self.rounds == 0, "no block was merged: nothing is said of compaction");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, rounds, acknowledged, lost, wrong, unsound, merged } = self;
        write!(f, "{rounds} {what}, {acknowledged} samples acknowledged, {lost} lost, {wrong} wrong")?;
        write!(f, ", {merged} blocks merged in between, {unsound} {what} with findings")
    }
}
