//! Names that a config takes, from names that a PLC gives: as near as can be, and each once.

use std::collections::HashSet;

use crate::config::{self, NameKind};

/// Names of one table.
pub(super) struct Names {
    kind: NameKind,
    taken: HashSet<String>,
}

impl Names {
    pub(super) fn new(kind: NameKind) -> Self {
        Self { kind, taken: HashSet::new() }
    }

    /// The name itself where that can be, else one like it.
    pub(super) fn give(&mut self, wanted: &str) -> String {
        let name = valid(self.kind, wanted);
        let numbered = (2_usize..).map(|number| valid(self.kind, &suffixed(&name, &format!("_{number}"))));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.taken.contains(name));
        let free = free.unwrap_or(name); // there is always a number left
        self.taken.insert(free.clone());
        free
    }

    pub(super) fn is_free(&self, wanted: &str) -> bool {
        !self.taken.contains(&valid(self.kind, wanted))
    }
}

/// The nearest name that the config takes.
pub(super) fn valid(kind: NameKind, wanted: &str) -> String {
    let plain = |c: char| if matches!(c, '.' | ':' | '/') || c.is_control() { '_' } else { c };
    let replaced: String = wanted.trim().chars().map(plain).collect();
    let name = suffixed(replaced.trim(), "");
    let name = if name.is_empty() { "_".to_owned() } else { name };
    if config::name_fault(kind, &name).is_none() { name } else { suffixed(&name, "_") }
}

/// With a suffix, and no longer than a name may be.
fn suffixed(name: &str, suffix: &str) -> String {
    let room = config::NAME_MAX.saturating_sub(suffix.chars().count());
    let cut: String = name.chars().take(room).collect();
    format!("{}{suffix}", cut.trim())
}

/// What the names of several devices begin with, without what tells them apart: `Heater` of Heater1 and Heater2.
pub(super) fn stem<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let Some(first) = names.next() else { return String::new() };
    let mut common: &str = first;
    for name in names {
        let end = common.char_indices().zip(name.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        let end = end.unwrap_or_else(|| common.len().min(name.len()));
        common = &common[..end];
    }
    let trimmed = |text: &str| text.trim_end_matches(|c: char| !c.is_alphabetic()).to_owned();
    match trimmed(common) {
        stem if !stem.is_empty() => stem,
        _ => trimmed(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_stays_near_to_what_it_was() {
        for (kind, wanted, name) in [
            (NameKind::Variable, "Temperature", "Temperature"),
            (NameKind::Variable, "a.b:c/d", "a_b_c_d"),
            (NameKind::Variable, "Fit", "Fit_"),
            (NameKind::Variable, "HighLevelAlarm", "HighLevelAlarm_"),
            (NameKind::Twin, "Fit", "Fit"),
            (NameKind::Twin, "Twins", "Twins_"),
            (NameKind::Variable, " \n ", "_"),
            (NameKind::Variable, "日本 語", "日本 語"),
        ] {
            assert_eq!(valid(kind, wanted), name, "{wanted:?}");
        }
    }

    #[test]
    fn a_stem_is_what_devices_have_in_common() {
        for (names, expected) in [
            (vec!["Heater1", "Heater2"], "Heater"),
            (vec!["Tank 01", "Tank 02"], "Tank"),
            (vec!["P10", "P11"], "P"),
            (vec!["Ofen-ä", "Ofen-ö"], "Ofen"),
            (vec!["Alpha7", "Beta"], "Alpha"),
            (vec!["1", "2"], ""),
        ] {
            assert_eq!(stem(names.iter().copied()), expected, "{names:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_that_the_config_takes_and_each_is_given_once(wanted in proptest::collection::vec(".{0,140}|Fit|Fit_|\\PC*LevelAlarm", 1..20)) {
            for kind in [NameKind::Plc, NameKind::TwinType, NameKind::Twin, NameKind::Variable] {
                let mut names = Names::new(kind);
                let given: Vec<String> = wanted.iter().map(|name| names.give(name)).collect();
                for name in &given {
                    prop_assert_eq!(config::name_fault(kind, name), None);
                }
                prop_assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
            }
        }
    }
}
