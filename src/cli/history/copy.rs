//! `uatwin history copy`: everything from one store to another, as often as it takes: what is there already is passed over or comes
//! to the same. Counts are compared at the end.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::CommandError;
use crate::{
    config::{self, Store},
    history::{
        AnnotationEdit, Direction, HistoryError, HistoryStore, Modified, Role, Summary,
        clickhouse_store::{ClickHouseOptions, ClickHouseStore},
        sled_store::{SledOptions, SledStore},
    },
    sample::SeriesId,
    time::Timestamp,
};

const PAGE: usize = 65_536;
const EVENTS: usize = 1000;

/// Where history is, or shall be.
#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Cluster(ClickHouseOptions),
}

/// A store that can be filled with what another one kept of changes by hand.
trait Target: HistoryStore {
    /// Modification records, in the order in which they were made; those that are there already go first.
    fn take_modified(&self, series: SeriesId, records: &[Modified]) -> Result<(), HistoryError>;
}

impl Target for SledStore {
    fn take_modified(&self, series: SeriesId, records: &[Modified]) -> Result<(), HistoryError> {
        self.replace_modified(series, records)
    }
}

impl Target for ClickHouseStore {
    fn take_modified(&self, series: SeriesId, records: &[Modified]) -> Result<(), HistoryError> {
        self.replace_modified(series, records)
    }
}

/// A folder is a store on the disk; a file is a config that names a cluster.
fn place(text: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Place, CommandError> {
    if !text.is_file() {
        return Ok(Place::Folder(text.to_owned()));
    }
    let config = config::load(text, env).map_err(CommandError::Config)?;
    match config.history.store {
        Store::ClickHouse { options, .. } => {
            Ok(Place::Cluster(ClickHouseOptions { renames: config.renames, ..options }))
        }
        _ => Err(CommandError::NoCluster(text.to_owned())),
    }
}

fn cluster(options: ClickHouseOptions, names: &[String]) -> Result<ClickHouseStore, CommandError> {
    Ok(ClickHouseStore::new(options, names).map_err(|cause| HistoryError::Flush(cause.into()))?)
}

/// `become_front`: from then on the folder stands before the cluster.
pub(super) fn run(
    from: &Path,
    to: &Path,
    become_front: bool,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<bool, CommandError> {
    let options = SledOptions::default;
    match (place(from, env)?, place(to, env)?) {
        (Place::Folder(folder), Place::Cluster(behind)) => {
            let names = SledStore::stored_names(&folder)?;
            let is_whole = {
                let store = SledStore::open(&folder, &names, options())?;
                copy(&store, &cluster(behind, &names)?, &names)?
            };
            if is_whole && become_front {
                let role = Role::BecomesFront;
                SledStore::open(&folder, &names, SledOptions { role, ..options() })?.is_all_behind()?;
                println!("`{}` now stands before the cluster", folder.display());
            }
            Ok(is_whole)
        }
        (Place::Cluster(behind), Place::Folder(folder)) => {
            let names = cluster(behind.clone(), &[])?.stored_names().map_err(HistoryError::Read)?;
            let store = SledStore::open(&folder, &names, options())?;
            copy(&cluster(behind, &names)?, &store, &names)
        }
        _ => Err(CommandError::SameKind),
    }
}

fn copy(from: &dyn HistoryStore, to: &dyn Target, names: &[String]) -> Result<bool, CommandError> {
    let bar = ProgressBar::new(names.len() as u64);
    let template = "{bar:40} {pos} of {len} series, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is right"));
    let (mut is_whole, mut samples, mut others) = (true, 0, 0);
    for (series, name) in (0..).map(SeriesId).zip(names) {
        let copied = copy_series(from, to, series)?;
        samples += copied.samples;
        others += copied.others;
        if !copied.is_whole {
            is_whole = false;
            eprintln!("{name}: the copy differs; was it written to meanwhile?");
        }
        bar.inc(1);
    }
    let (events, missing) = copy_events(from, to)?;
    if missing > 0 {
        is_whole = false;
        eprintln!("{missing} events are missing in the copy");
    }
    bar.finish_and_clear();
    println!(
        "{samples} samples of {} series, {others} modification records, annotations and documents, {events} events: {}",
        names.len(),
        if is_whole { "all there" } else { "NOT all there" }
    );
    Ok(is_whole)
}

/// What was copied of a series, or was there.
struct Copied {
    samples: u64,
    others: u64,
    is_whole: bool,
}

fn ever() -> std::ops::Range<Timestamp> {
    Timestamp::from_ticks(i64::MIN)..Timestamp::MAX
}

/// Two that hold the same say the same, but for the last digits of sums.
fn is_same(a: &Summary, b: &Summary) -> bool {
    let of = |s: &Summary| {
        let class = |c: &crate::history::ClassSummary| (c.count, c.usable, c.min.to_bits(), c.max.to_bits());
        (class(&s.good), class(&s.uncertain), s.bad)
    };
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (a.abs() + b.abs());
    of(a) == of(b) && close(a.good.sum, b.good.sum) && close(a.uncertain.sum, b.uncertain.sum)
}

fn copy_series(from: &dyn HistoryStore, to: &dyn Target, series: SeriesId) -> Result<Copied, HistoryError> {
    let wanted = from.summary(series, ever())?;
    let is_there = |to: &dyn Target| -> Result<bool, HistoryError> {
        Ok(is_same(&to.summary(series, ever())?, &wanted) && to.newest(series)? == from.newest(series)?)
    };
    if !is_there(to)? {
        let mut start = ever().start;
        loop {
            let page = from.read(series, start..Timestamp::MAX, Direction::Forward, PAGE)?;
            let last = page.last().map(|sample| sample.source_timestamp.next());
            let is_last = page.len() < PAGE;
            to.append(&page.into_iter().map(|sample| (series, sample)).collect::<Vec<_>>())?;
            match last {
                Some(next) if !is_last => start = next,
                _ => break,
            }
        }
        to.flush()?;
    }
    // Backward those of one instant come in the order in which they were made.
    let modified = |of: &dyn HistoryStore| of.modified(series, ever(), Direction::Backward, 0, usize::MAX);
    let records = modified(from)?;
    if modified(to)? != records {
        to.take_modified(series, &records)?;
    }
    let annotations = from.annotations(series, ever(), Direction::Forward, 0, usize::MAX)?;
    to.annotate(series, AnnotationEdit::Update, &annotations)?;
    let documents = from.documents(series, Direction::Forward, 0, usize::MAX)?;
    let mut there: HashMap<(Timestamp, Vec<u8>), usize> = HashMap::new();
    for document in to.documents(series, Direction::Forward, 0, usize::MAX)? {
        *there.entry((document.at, document.body)).or_default() += 1;
    }
    let mut missing = documents.clone();
    missing.retain(|document| match there.get_mut(&(document.at, document.body.clone())) {
        Some(left @ 1..) => {
            *left -= 1;
            false
        }
        _ => true,
    });
    to.keep(&missing.into_iter().map(|document| (series, document)).collect::<Vec<_>>())?;
    let others = records.len() + annotations.len() + documents.len();
    let is_whole = is_there(to)?
        && modified(to)? == records
        && to.annotations(series, ever(), Direction::Forward, 0, usize::MAX)?.len() >= annotations.len()
        && to.documents(series, Direction::Forward, 0, usize::MAX)?.len() >= documents.len();
    Ok(Copied { samples: wanted.count(), others: others as u64, is_whole })
}

/// How many there are, and how many of them the copy has not.
fn copy_events(from: &dyn HistoryStore, to: &dyn Target) -> Result<(u64, u64), HistoryError> {
    let (mut start, mut skip, mut count) = (ever().start, 0, 0);
    loop {
        let page = from.events("", start..Timestamp::MAX, Direction::Forward, skip, EVENTS)?;
        let Some(last) = page.last().map(|event| event.time) else { break };
        to.append_events(&page)?;
        count += page.len() as u64;
        let of_last = page.iter().filter(|event| event.time == last).count();
        skip = if last == start { skip + of_last } else { of_last };
        start = last;
    }
    // The last event of a condition may be older than what retention has left.
    to.append_events(&from.conditions()?)?;
    to.flush()?;
    let mut there = 0;
    let (mut start, mut skip) = (ever().start, 0);
    loop {
        let page = to.events("", start..Timestamp::MAX, Direction::Forward, skip, EVENTS)?;
        let Some(last) = page.last().map(|event| event.time) else { break };
        there += page.len() as u64;
        let of_last = page.iter().filter(|event| event.time == last).count();
        skip = if last == start { skip + of_last } else { of_last };
        start = last;
    }
    Ok((count, count.saturating_sub(there)))
}
