//! Looks whether everything acknowledged is there as it was written, in a process of its own.

use std::{collections::HashSet, fmt, path::Path, process::Stdio};

use uatwin::{
    event::Event,
    history::{Direction, HistoryStore, Summary},
    sample::{Sample, SeriesId},
    time::Timestamp,
};

use super::history_writer::{EVENT_EVERY, Safe, Work, expected, expected_event, start};

/// Differences told one by one; more are counted.
const TOLD_MAX: usize = 3;
/// Characters kept of what a failing process says.
const SAID_MAX: usize = 800;

/// What a look at a history has found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledged samples that are there, as they were written.
    pub(crate) found: i64,
    pub(crate) lost: i64,
    /// Other than written, or never written.
    pub(crate) wrong: i64,
    /// The first differences; or that the history cannot be read.
    pub(crate) says: String,
}

impl Verdict {
    fn differs(&mut self, what: fmt::Arguments<'_>) {
        if self.says.matches(';').count() < TOLD_MAX {
            self.says += &format!("{what}; ");
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.says.is_empty()
    }

    /// As one process tells it to the other.
    pub(crate) fn line(&self) -> String {
        format!("verdict {} {} {} {}", self.found, self.lost, self.wrong, self.says)
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("verdict ")?.splitn(4, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (found, lost, wrong) = (number()?, number()?, number()?);
        Some(Self { found, lost, wrong, says: parts.next()?.to_owned() })
    }

    /// Opens the history and compares all of it.
    pub(crate) fn of(work: Work, folder: &Path, safe: Safe) -> Self {
        let store = work.open(folder);
        let mut verdict = Self::default();
        let filled: HashSet<i64> = (0..safe.holes).map(|nth| work.hole(nth)).collect();
        for series in 0..work.series() {
            let all = Timestamp::from_ticks(0)..Timestamp::MAX;
            let held = store.read(SeriesId(series), all.clone(), Direction::Forward, usize::MAX).unwrap();
            verdict.compare(work, series, &held, safe.steps, &filled);
            let mut summary = Summary::default();
            held.iter().for_each(|sample| summary.add(sample));
            let told = store.summary(SeriesId(series), all).unwrap();
            if (told.good.usable, told.bad) != (summary.good.usable, summary.bad) {
                verdict.wrong += 1;
                verdict.differs(format_args!(
                    "series {series} is summed up as {} good and {} bad",
                    told.good.count, told.bad
                ));
            }
        }
        verdict.compare_events(work, &store, safe.steps);
        verdict
    }

    /// Every acknowledged event is there once under each that tells it, those of a history's start aside; none is another.
    fn compare_events(&mut self, work: Work, store: &dyn HistoryStore, steps: i64) {
        let told = |notifier: &str| {
            let all = Timestamp::from_ticks(0)..Timestamp::MAX;
            store.events(notifier, all, Direction::Forward, 0, usize::MAX).unwrap()
        };
        let held = told("");
        let at = |event: &Event| event.time.ticks() / 10;
        let mut before = -1;
        for event in &held {
            if *event != expected_event(at(event)) || at(event) <= before {
                self.wrong += 1;
                self.differs(format_args!("an event that was never sent, or twice: {}", event.time.ticks()));
            }
            before = at(event);
        }
        let wanted = (work.old_steps()..steps).filter(|step| step % EVENT_EVERY == 0);
        let there: HashSet<i64> = held.iter().map(at).collect();
        for step in wanted.filter(|step| !there.contains(step)) {
            self.lost += 1;
            self.differs(format_args!("the event at step {step} is lost"));
        }
        let mut count = 0;
        for notifier in ["Device0", "Device1", "Device2", "Device3", "Device4", "Device5", "Connections"] {
            let of_one = told(notifier);
            count += of_one.len();
            if !of_one.iter().eq(held.iter().filter(|event| event.source.is_told_by(notifier))) {
                self.wrong += 1;
                self.differs(format_args!("{notifier} tells other events than the server"));
            }
        }
        if count != held.len() {
            self.wrong += 1;
            self.differs(format_args!("{count} of {} events are told by somebody", held.len()));
        }
        for event in store.conditions().unwrap() {
            // What is not acknowledged may be there without being in the index.
            let is_same = |held: &&Event| (held.kind, &held.source) == (event.kind, &event.source);
            let is_last = held.iter().rfind(is_same).is_none_or(|held| held.time <= event.time);
            if event != expected_event(at(&event)) || !is_last {
                self.wrong += 1;
                self.differs(format_args!("{} said something else last", event.source.0));
            }
        }
    }

    fn compare(&mut self, work: Work, series: u32, held: &[Sample], steps: i64, filled: &HashSet<i64>) {
        let mut held = held.iter().peekable();
        for step in 0..steps {
            let wanted = expected(series, step);
            while let Some(other) = held.next_if(|held| held.source_timestamp < wanted.source_timestamp) {
                self.wrong += 1;
                self.differs(format_args!("series {series} holds {other:?}"));
            }
            let is_acknowledged = !work.is_hole(step) || filled.contains(&step);
            match held.next_if(|held| held.source_timestamp == wanted.source_timestamp) {
                Some(found) if *found == wanted => self.found += i64::from(is_acknowledged),
                Some(other) => {
                    self.wrong += 1;
                    self.differs(format_args!("series {series}, step {step}: {other:?}, not {wanted:?}"));
                }
                None if is_acknowledged => {
                    self.lost += 1;
                    self.differs(format_args!("series {series} has lost step {step}"));
                }
                None => {}
            }
        }
        let mut before = Timestamp::from_ticks(i64::MIN);
        for sample in held {
            // Not acknowledged: there or not, but once, and never something else.
            let step = sample.source_timestamp.ticks() / 10;
            let is_known = *sample == expected(series, step) || *sample == work.marker(step);
            if !is_known || sample.source_timestamp <= before {
                self.wrong += 1;
                self.differs(format_args!("series {series} holds {sample:?}"));
            }
            before = sample.source_timestamp;
        }
    }
}

/// Looks, in a process of its own.
pub(crate) fn look(work: Work, folder: &Path, safe: Safe) -> Verdict {
    let output = start("check", work, folder, safe).env("RUST_BACKTRACE", "0").stderr(Stdio::piped()).output().unwrap();
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let failed: String = failed.chars().filter(|&c| c != '\n').take(SAID_MAX).collect();
    told.lines().find_map(Verdict::from_line).unwrap_or_else(|| Verdict {
        lost: work.acknowledged(safe),
        says: format!("nothing can be read ({}): {failed}", output.status),
        ..Verdict::default()
    })
}
