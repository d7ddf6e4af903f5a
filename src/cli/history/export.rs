//! `uatwin history export`: samples as CSV, a page at a time.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, row};
use crate::{
    history::{Direction, HistoryStore},
    sample::SeriesId,
    time::Timestamp,
};

/// Samples in memory at a time.
const PAGE: usize = 4096;

/// How much was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Series with at least one sample in the time asked for.
    pub series: usize,
    /// Rows.
    pub samples: u64,
}

/// The series that any of `patterns` means: a name, in which `*` stands for any text and `?` for any character.
///
/// # Errors
/// A pattern that means none of them.
pub fn select(names: &[String], patterns: &[String]) -> Result<Vec<SeriesId>, CommandError> {
    for pattern in patterns {
        if !names.iter().any(|name| matches(pattern, name)) {
            return Err(CommandError::NoSuchSeries(pattern.clone()));
        }
    }
    let is_wanted = |name: &String| patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name));
    let wanted = (0..).map(SeriesId).zip(names).filter(|(_, name)| is_wanted(name));
    Ok(wanted.map(|(series, _)| series).collect())
}

/// Steps back only to the last `*`: never more than pattern × name steps.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Writes the samples of `series` in `times` (end not included), series by series, oldest first.
///
/// # Errors
/// The store, or the writer.
pub fn write(
    store: &dyn HistoryStore,
    names: &[String],
    series: &[SeriesId],
    times: &Range<Timestamp>,
    out: impl Write,
    progress: &ProgressBar,
) -> Result<Exported, CommandError> {
    let mut csv = csv::Writer::from_writer(out);
    let mut exported = Exported::default();
    csv.write_record(row::COLUMNS)?;
    for &series in series {
        let name = names.get(series.index()).map_or("", String::as_str);
        let mut from = times.start;
        let before = exported.samples;
        loop {
            let page = store.read(series, from..times.end, Direction::Forward, PAGE)?;
            for sample in &page {
                let [source, server, status, type_name, value] = row::texts(sample);
                csv.write_record([name, &source, &server, &status, &type_name, &value])?;
            }
            exported.samples += page.len() as u64;
            match page.last() {
                Some(last) if page.len() == PAGE => from = last.source_timestamp + Duration::from_nanos(100),
                _ => break,
            }
            progress.set_message(format!("{} samples", exported.samples));
        }
        exported.series += usize::from(exported.samples > before);
        progress.inc(1);
    }
    csv.flush().map_err(CommandError::Write)?;
    Ok(exported)
}

/// Into `output`, which gets its name only when it is whole; else to stdout.
pub(super) fn run(
    store: &dyn HistoryStore,
    names: &[String],
    patterns: &[String],
    times: &Range<Timestamp>,
    output: Option<&Path>,
) -> Result<Exported, CommandError> {
    let series = select(names, patterns)?;
    let bar = ProgressBar::new(series.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} series {msg}").expect("the template is right"));
    let exported = match output {
        None => write(store, names, &series, times, BufWriter::new(io::stdout().lock()), &bar),
        Some(path) => {
            let partial = partial(path);
            let file = File::create(&partial).map_err(CommandError::Write)?;
            let exported = write(store, names, &series, times, BufWriter::new(&file), &bar)?;
            file.sync_all().and_then(|()| fs::rename(&partial, path)).map_err(CommandError::Write)?;
            Ok(exported)
        }
    };
    bar.finish_and_clear();
    exported
}

/// `F.partial`, beside `F`.
pub(super) fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_mean_names() {
        for (pattern, name, expected) in [
            ("Heater1.Temperature", "Heater1.Temperature", true),
            ("Heater1.Temperature", "Heater1.Temperature2", false),
            ("Heater?.*", "Heater1.Temperature", true),
            ("*.Temperature", "Heater1.Temperature.Simulated", false),
            ("*Temp*ture*", "Heater1.Temperature", true),
            ("*", "", true),
            ("?", "", false),
            ("a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
