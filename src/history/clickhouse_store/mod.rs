//! History in ClickHouse, for plants whose history is too much for one disk or must not depend on one machine. Tables that
//! anybody may read by SQL (`schema`), numbers and statuses in columns of their own.
//!
//! Nothing is connected until something is asked: a server that is away makes requests fail, not the start. Blocks its
//! caller; never to be called on a tokio worker. What is appended is sent at once: in front of it belongs a store that
//! gathers, keeps what a server that is away cannot take, and acknowledges (`forwarding`).

mod by_hand;
mod events;
mod forward;
mod http;
mod names;
mod rows;
mod samples;
mod schema;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use self::{http::Http, rows::Written};
use super::{
    Direction, Document, HistoryError, HistoryStore, Summary,
    behind::Key,
    blocks::Cause,
    edit::{Annotation, AnnotationEdit, EditKind, Editor, Modified},
};
use crate::{
    event::Event,
    sample::{Sample, SeriesId, StatusCode},
    time::Timestamp,
};

/// Rows counted below a claim: 10^12 records of one front.
const NUMBER_BITS: u32 = 40;
/// From this version on a server knows codecs, syncs inserts when told to, and limits partitions per insert.
const MODERN: u32 = 21;

/// Where, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickHouseOptions {
    /// `http://host:8123` of each server; of one replica each where there are several.
    pub urls: Vec<String>,
    /// A word of letters, digits and `_`. It is made if it is not there.
    pub database: String,
    /// Else the server's `default`.
    pub user: Option<String>,
    /// Theirs.
    pub password: Option<Secret>,
    /// The cluster (as `system.clusters` has it) on whose nodes the tables are replicated.
    pub cluster: Option<String>,
    /// Replicas that must have an insert before it counts.
    pub quorum: Option<u32>,
    /// Old and new names of series that were renamed.
    pub renames: Vec<(String, String)>,
}

/// Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A [`HistoryStore`] in ClickHouse.
#[derive(Debug)]
pub struct ClickHouseStore {
    options: ClickHouseOptions,
    http: Http,
    /// By series; only grows. With each series' ticks per row, as the last read found them.
    names: boxcar::Vec<(String, AtomicI64)>,
    connected: Mutex<Option<Arc<Connected>>>,
    /// Whoever changes what is there by what is there has it.
    turn: Mutex<()>,
}

/// What is known once a server has answered.
#[derive(Debug)]
struct Connected {
    is_modern: bool,
    /// The series' keys, by name.
    keys: Mutex<HashMap<String, Key>>,
    /// Rows of a lower version than the number and before the instant are past retention.
    floors: Mutex<Vec<(Timestamp, u64)>>,
    /// For what comes by no front.
    claimed: Mutex<Option<u64>>,
    next: AtomicU64,
}

impl ClickHouseStore {
    /// A store of these series; `SeriesId(i)` is `names[i]`. Connects to nothing yet.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(options: ClickHouseOptions, names: &[String]) -> std::io::Result<Self> {
        let names = names.iter().map(|name| (name.clone(), AtomicI64::new(0))).collect();
        let http = Http::new(&options)?;
        Ok(Self { options, http, names, connected: Mutex::default(), turn: Mutex::default() })
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.options.urls.join(","), self.options.database)
    }

    fn name(&self, series: SeriesId) -> Result<&(String, AtomicI64), HistoryError> {
        self.names.get(series.index()).ok_or(HistoryError::UnknownSeries { series, count: self.names.count() })
    }

    /// The table, with its database.
    fn table(&self, name: &str) -> String {
        format!("`{}`.{name}", self.options.database)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every read is asked with.
    fn reading(&self) -> Vec<(&'static str, &'static str)> {
        // Not from a replica that lacks what a quorum has.
        if self.options.quorum.is_some() { vec![("select_sequential_consistency", "1")] } else { Vec::new() }
    }

    fn rows(&self, sql: &str) -> Result<rows::Rows, Cause> {
        self.http.rows(sql, &self.reading())
    }

    /// Rows of one table.
    fn insert(&self, connected: &Connected, into: &str, format: &str, bytes: &[u8]) -> Result<(), Cause> {
        let quorum = self.options.quorum.map(|count| count.to_string());
        let sql = format!("INSERT INTO {into} FORMAT {format}");
        self.http.insert(&sql, bytes, &connected.writing(quorum.as_deref()))
    }

    fn insert_rows(&self, connected: &Connected, table: &str, columns: &str, rows: &Written) -> Result<(), Cause> {
        if rows.0.is_empty() {
            return Ok(());
        }
        self.insert(connected, &format!("{} ({columns})", self.table(table)), "RowBinary", &rows.0)
    }

    /// A version for what comes by no front: above all there are.
    fn version(&self, connected: &Connected) -> Result<u64, Cause> {
        let mut claimed = connected.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let claim = match *claimed {
            Some(claim) => claim,
            None => *claimed.insert(self.claim_next(connected)?),
        };
        Ok(version(claim, connected.next.fetch_add(1, Ordering::SeqCst)))
    }

    /// Runs `work` once connected.
    fn reach<T>(&self, work: impl FnOnce(&Connected) -> Result<T, Cause>) -> Result<T, Cause> {
        work(&*self.connect()?)
    }
}

impl Connected {
    /// What every insert is asked with.
    fn writing<'a>(&self, quorum: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
        let mut settings = Vec::new();
        if self.is_modern {
            settings.push(("max_partitions_per_insert_block", "0"));
        }
        if let Some(quorum) = quorum {
            settings.push(("insert_quorum", quorum));
            if self.is_modern {
                settings.push(("insert_quorum_parallel", "0"));
            }
        }
        settings
    }

    /// The condition for rows that retention has not reached.
    fn within_retention(&self) -> String {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        floors.iter().fold("1".to_owned(), |all, (at, version)| {
            format!("{all} AND NOT (at < {} AND version < {version})", at.ticks())
        })
    }

    fn is_within_retention(&self, at: Timestamp, version: u64) -> bool {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner);
        !floors.iter().any(|&(floor, below)| at < floor && version < below)
    }
}

/// Of a front's record.
fn version(claim: u64, number: u64) -> u64 {
    (claim << NUMBER_BITS) | (number & ((1 << NUMBER_BITS) - 1))
}

/// The words for an order, and its opposite.
fn orders(direction: Direction) -> (&'static str, &'static str) {
    match direction {
        Direction::Forward => ("ASC", "DESC"),
        Direction::Backward => ("DESC", "ASC"),
    }
}

/// What an answer is cut to.
fn limits((skip, limit): (usize, usize)) -> String {
    const MOST: usize = 1 << 40;
    format!("LIMIT {}, {}", skip.min(MOST), limit.min(MOST))
}

impl HistoryStore for ClickHouseStore {
    fn add_series(&self, names: &[String]) -> Result<(), HistoryError> {
        if let Some(name) = names.iter().find(|name| self.names.iter().any(|(_, (known, _))| known == *name)) {
            return Err(HistoryError::Flush(format!("series {name} is open already").into()));
        }
        names.iter().for_each(|name| _ = self.names.push((name.clone(), AtomicI64::new(0))));
        Ok(())
    }

    fn append(&self, samples: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        samples.iter().try_for_each(|&(series, _)| self.name(series).map(drop))?;
        self.append_samples(samples).map_err(|cause| HistoryError::Append { count: samples.len(), cause })
    }

    /// What was inserted is where the server keeps it.
    fn flush(&self) -> Result<(), HistoryError> {
        Ok(())
    }

    fn read(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        let (name, density) = self.name(series)?;
        self.read_samples((name, density), times, direction, limit).map_err(HistoryError::Read)
    }

    fn remove(&self, series: SeriesId, times: Range<Timestamp>) -> Result<(), HistoryError> {
        let (name, _) = self.name(series)?;
        let remove = |connected: &Connected| {
            let (key, version) = (self.key_of(connected, name)?, self.version(connected)?);
            self.remove_samples(connected, key, version, times)
        };
        self.reach(remove).map_err(|cause| HistoryError::Append { count: 0, cause })
    }

    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        let end = |direction| {
            let found = self.read(series, all.clone(), direction, 1)?;
            Ok::<_, HistoryError>(found.first().map(|sample| sample.source_timestamp))
        };
        Ok(end(Direction::Forward)?.zip(end(Direction::Backward)?))
    }

    fn summary(&self, series: SeriesId, times: Range<Timestamp>) -> Result<Summary, HistoryError> {
        let (name, _) = self.name(series)?;
        self.summary_of(name, times).map_err(HistoryError::Read)
    }

    fn free_space(&self) -> Option<u64> {
        None
    }

    fn size_on_disk(&self) -> Option<u64> {
        let sql = format!(
            "SELECT toUInt64(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = '{}'",
            self.options.database
        );
        self.rows(&sql).ok()?.one(|row| row.u64()).ok()
    }

    fn expire(&self, before: Timestamp) -> Result<u64, HistoryError> {
        self.reach(|connected| self.expire_before(connected, before, self.version(connected)?))
            .map_err(HistoryError::Flush)
    }

    fn edit(
        &self,
        series: SeriesId,
        kind: EditKind,
        samples: &[Sample],
        by: &Editor,
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.edit_samples(series, kind, samples, by)
    }

    fn delete_raw(&self, series: SeriesId, times: Range<Timestamp>, by: &Editor) -> Result<u64, HistoryError> {
        self.delete_samples(series, times, by)
    }

    fn delete_at(&self, series: SeriesId, times: &[Timestamp], by: &Editor) -> Result<Vec<StatusCode>, HistoryError> {
        self.delete_samples_at(series, times, by)
    }

    fn modified(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Modified>, HistoryError> {
        let (name, _) = self.name(series)?;
        self.modified_in(name, times, direction, (skip, limit)).map_err(HistoryError::Read)
    }

    fn delete_modified(&self, series: SeriesId, times: Range<Timestamp>) -> Result<u64, HistoryError> {
        let (name, _) = self.name(series)?;
        self.forget_modified(name, times).map_err(HistoryError::Flush)
    }

    fn annotate(
        &self,
        series: SeriesId,
        kind: AnnotationEdit,
        annotations: &[Annotation],
    ) -> Result<Vec<StatusCode>, HistoryError> {
        self.edit_annotations(series, kind, annotations)
    }

    fn annotations(
        &self,
        series: SeriesId,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Annotation>, HistoryError> {
        let (name, _) = self.name(series)?;
        let found = self.annotations_in(name, times, direction, (skip, limit)).map_err(HistoryError::Read)?;
        Ok(found.into_iter().map(|(_, annotation)| annotation).collect())
    }

    fn keep(&self, documents: &[(SeriesId, Document)]) -> Result<(), HistoryError> {
        self.keep_documents(documents)
    }

    fn documents(
        &self,
        series: SeriesId,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Document>, HistoryError> {
        let (name, _) = self.name(series)?;
        self.documents_of(name, direction, (skip, limit)).map_err(HistoryError::Read)
    }

    fn append_events(&self, events: &[Event]) -> Result<(), HistoryError> {
        let append = |connected: &Connected| {
            let _turn = self.turn();
            self.insert_events(connected, self.version(connected)?, events)
        };
        self.reach(append).map_err(|cause| HistoryError::AppendEvents { count: events.len(), cause })
    }

    fn events(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Event>, HistoryError> {
        self.events_told_by(notifier, times, direction, (skip, limit)).map_err(HistoryError::Read)
    }

    fn conditions(&self) -> Result<Vec<Event>, HistoryError> {
        self.last_of_conditions().map_err(HistoryError::Read)
    }
}
