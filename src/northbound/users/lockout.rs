//! Wrong passwords make a name wait, longer with each: guessing gets slow, whether the name is a user's or not. Time is an
//! argument.

use std::collections::HashMap;

use crate::time::Timestamp;

/// Wrong passwords that cost nothing.
const FREE: u32 = 2;
const DELAY_MAX_S: f64 = 300.0;
/// A name that was left in peace so long begins anew.
const FORGOTTEN_AFTER_S: f64 = 3_600.0;
/// Names kept. Full: the one goes that waits least; filling the table costs its sender a hash per name.
const NAMES_MAX: usize = 4_096;

/// Names with wrong passwords behind them.
#[derive(Debug, Default)]
pub(in crate::northbound) struct Lockout(HashMap<Box<str>, Failures>);

#[derive(Debug)]
struct Failures {
    count: u32,
    /// Nobody gets in by this name before.
    until: Timestamp,
}

impl Lockout {
    /// Whether the name has to wait, however right the password is.
    pub(in crate::northbound) fn is_locked(&self, name: &str, now: Timestamp) -> bool {
        // A clock that was set back makes nobody wait longer.
        let waits_s = |failures: &Failures| failures.until.seconds_since(now);
        self.0
            .get(name)
            .is_some_and(|failures| (0.0..=DELAY_MAX_S).contains(&waits_s(failures)) && now < failures.until)
    }

    /// A wrong password; how long the name waits for it, in seconds.
    pub(in crate::northbound) fn failed(&mut self, name: &str, now: Timestamp) -> f64 {
        if !self.0.contains_key(name) {
            self.make_room(now);
        }
        let failures = self.0.entry(name.into()).or_insert(Failures { count: 0, until: now });
        if now.seconds_since(failures.until) > FORGOTTEN_AFTER_S {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        // 1 s, 2 s, 4 s … from the third on.
        let doublings = failures.count.saturating_sub(FREE + 1).min(30);
        let delay_s = if failures.count > FREE { f64::from(1_u32 << doublings).min(DELAY_MAX_S) } else { 0.0 };
        failures.until = now.plus_seconds(delay_s);
        delay_s
    }

    /// The right password.
    pub(in crate::northbound) fn succeeded(&mut self, name: &str) {
        self.0.remove(name);
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.0.len() < NAMES_MAX {
            return;
        }
        self.0.retain(|_, failures| now.seconds_since(failures.until) <= FORGOTTEN_AFTER_S);
        if self.0.len() < NAMES_MAX {
            return;
        }
        let least = self.0.iter().min_by_key(|(_, failures)| failures.until).map(|(name, _)| name.clone());
        if let Some(least) = least {
            self.0.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_unix_s(1e9 + seconds)
    }

    #[test]
    fn the_third_wrong_password_makes_a_name_wait_and_each_more_twice_as_long() {
        let mut lockout = Lockout::default();
        let mut now = 0.0;
        for delay_s in [0.0, 0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0] {
            assert!(!lockout.is_locked("ann", at(now)));
            assert_eq!(lockout.failed("ann", at(now)), delay_s);
            assert_eq!(lockout.is_locked("ann", at(now)), delay_s > 0.0);
            assert!(delay_s == 0.0 || lockout.is_locked("ann", at(now + delay_s - 0.1)));
            now += delay_s;
        }
        assert!(!lockout.is_locked("bob", at(0.0)), "one name's failures are no other's");
    }

    #[test]
    fn the_right_password_or_an_hour_in_peace_begins_anew() {
        let mut lockout = Lockout::default();
        for _ in 0..3 {
            lockout.failed("ann", at(0.0));
            lockout.failed("bob", at(0.0));
        }
        lockout.succeeded("ann");
        assert!(!lockout.is_locked("ann", at(0.0)) && lockout.is_locked("bob", at(0.0)));
        assert_eq!(lockout.failed("bob", at(3_602.0)), 0.0);
    }

    #[test]
    fn names_that_are_made_up_fill_no_memory_and_free_nobody_who_waits_longest() {
        let mut lockout = Lockout::default();
        for _ in 0..10 {
            lockout.failed("ann", at(0.0));
        }
        for i in 0..2 * NAMES_MAX {
            lockout.failed(&format!("nobody{i}"), at(0.0));
        }
        assert_eq!(lockout.0.len(), NAMES_MAX);
        assert!(lockout.is_locked("ann", at(1.0)));
    }
}
