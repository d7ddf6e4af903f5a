//! What is wrong in a config, where, and what to do. All faults are collected; none stops the reading of the rest.

use std::{
    cell::{Cell, RefCell},
    fmt,
    path::Path,
};

/// Most faults kept of one config: nobody mends more in one go, and a hostile file must fill neither memory nor time.
const FAULTS_MAX: usize = 1_000;
/// Most names that are tried for a suggestion.
const CANDIDATES_MAX: usize = 2_000;

/// One fault, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name as it was given.
    pub file: String,
    /// 1-based; 0: the file as a whole.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    /// Where in the config, `twin_type.Heater.variable.Temperature.range`; empty: not at a key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// Of a file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>, remedy: &str) -> Self {
        let file = file.display().to_string();
        Self { file, line: 0, column: 0, key: String::new(), message: message.into(), remedy: remedy.into() }
    }
}

/// `file:line:column: key: message; remedy`, as editors and CI take it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// Where faults and warnings gather while a config is read.
#[derive(Default)]
pub(super) struct Sink {
    faults: RefCell<Vec<Fault>>,
    /// Faults that were not kept.
    more: Cell<usize>,
    /// By kind: the first place, and how many there were.
    warnings: RefCell<Vec<(&'static str, Fault, usize)>>,
}

impl Sink {
    pub(super) fn fault(&self, fault: Fault) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        } else {
            self.more.set(self.more.get() + 1);
        }
    }

    /// One warning per kind, however often it occurs.
    pub(super) fn warn(&self, kind: &'static str, warning: Fault) {
        let mut warnings = self.warnings.borrow_mut();
        match warnings.iter_mut().find(|(known, _, _)| *known == kind) {
            Some((_, _, count)) => *count += 1,
            None => warnings.push((kind, warning, 1)),
        }
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// Whether more faults would only be counted: then a remedy need not be looked for.
    pub(super) fn is_full(&self) -> bool {
        self.faults.borrow().len() >= FAULTS_MAX
    }

    /// Faults in the order of the files' lines, and the warnings.
    pub(super) fn into_parts(self) -> (Vec<Fault>, Vec<Fault>) {
        let mut faults = self.faults.into_inner();
        faults.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        faults.dedup();
        if let (more @ 1.., Some(last)) = (self.more.get(), faults.last_mut()) {
            last.remedy.push_str(&format!(" (and {more} faults more)"));
        }
        let with_count = |(_, mut warning, count): (&str, Fault, usize)| {
            if count > 1 {
                warning.message.push_str(&format!(" (here and {} times more)", count - 1));
            }
            warning
        };
        (faults, self.warnings.into_inner().into_iter().map(with_count).collect())
    }
}

/// The known name that was probably meant.
fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may differ: `Temprature` finds `Temperature`, `x` does not find `y`.
    let allowed = (wrong.chars().count() / 3).clamp(1, 3);
    let near = known.into_iter().filter_map(|name| Some((distance(wrong, name, allowed)?, name)));
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
        .filter(|name| wrong.chars().count() > 1 || name.eq_ignore_ascii_case(wrong))
}

/// Edits (insert, delete, replace, swap of neighbours; case counts nothing) between two names, if at most `allowed`.
fn distance(a: &str, b: &str, allowed: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    if a.len().abs_diff(b.len()) > allowed || a.len() > 128 {
        return None;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().filter(|edits| *edits <= allowed)
}

/// `did you mean …?`, else what there is.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = known.into_iter().take(CANDIDATES_MAX).collect();
    if let Some(name) = nearest(wrong, names.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    if names.is_empty() {
        return "there is none".into();
    }
    let more = names.len().saturating_sub(12);
    names.truncate(12);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there is {}{rest}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["range", "unit", "sampling_interval", "Temperature"];
        for (wrong, right) in [
            ("rnage", Some("range")),
            ("Range", Some("range")),
            ("samplinginterval", Some("sampling_interval")),
            ("temprature", Some("Temperature")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wrong, known), right, "{wrong}");
        }
    }
}
