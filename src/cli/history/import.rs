//! `uatwin history import`: the CSV that export writes, into the store. Every fault has its line; rows without one are
//! stored all the same, and storing a row twice does nothing, so a mended file is simply imported again.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    io::{self, Read},
    rc::Rc,
};

use super::{
    CommandError,
    row::{self, Fields},
};
use crate::{
    history::{HistoryError, HistoryStore},
    sample::{Sample, SeriesId},
};

/// A longer row is taken for a quote that was never closed. It costs no more than twice this of memory.
pub const ROW_BYTES_MAX: u64 = 16 << 20;
/// Faults kept; more are counted.
pub const FAULTS_MAX: usize = 100;
/// Samples, or bytes of long values about, appended together.
const BATCH_SAMPLES: usize = 8192;
const BATCH_BYTES: usize = 1 << 20;
const BATCHES_PER_FLUSH: u32 = 32;

/// A row that is not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportFault {
    /// 1-based, where the row begins.
    pub line: u64,
    /// One of [`row::COLUMNS`]; empty: the row as a whole.
    pub column: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ImportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message } = self;
        if column.is_empty() { write!(f, "{line}: {message}") } else { write!(f, "{line}: {column}: {message}") }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows stored (with a dry run: that would be).
    pub samples: u64,
    /// Rows of series that are not configured, passed over as asked.
    pub skipped: u64,
    /// The first faults.
    pub faults: Vec<ImportFault>,
    /// How many rows have one.
    pub faulty: u64,
}

impl Imported {
    fn fault(&mut self, line: u64, column: &'static str, message: impl Into<String>) {
        self.faulty += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(ImportFault { line, column, message: message.into() });
        }
    }
}

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// Rows of unknown series are passed over instead of being faults.
    pub skip_unknown: bool,
    /// Only check.
    pub dry_run: bool,
}

/// Imports `input`. `names`: the series that `store` was opened with. `progress` is told the bytes read so far.
///
/// # Errors
/// The store, or reading. Faults of the content are in the result.
pub fn import(
    store: &dyn HistoryStore,
    names: &[String],
    input: impl Read,
    options: ImportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, CommandError> {
    let series: HashMap<&str, SeriesId> = names.iter().map(String::as_str).zip((0..).map(SeriesId)).collect();
    let budget = Rc::new(Cell::new(0));
    let limited = Limited { inner: input, budget: Rc::clone(&budget), is_over: Rc::default() };
    let is_over = Rc::clone(&limited.is_over);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(limited);
    let mut imported = Imported::default();
    let mut batch = Batch::default();
    let mut record = csv::ByteRecord::new();
    let mut columns = None;
    loop {
        budget.set(ROW_BYTES_MAX);
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) if is_over.get() => {
                let message = format!("the row is longer than {} MiB: is a quote not closed?", ROW_BYTES_MAX >> 20);
                imported.fault(line, "", message);
                break;
            }
            Err(cause) => return Err(cause.into()),
        }
        // Where the row begins, past empty lines.
        let line = record.position().map_or(line, csv::Position::line);
        let Some(columns) = &columns else {
            match Columns::of(&record) {
                Ok(found) => columns = Some(found),
                Err(message) => {
                    imported.fault(line, "", message);
                    break;
                }
            }
            continue;
        };
        match columns.sample(&record, &series) {
            Ok(Some((series, sample))) => {
                imported.samples += 1;
                if !options.dry_run {
                    batch.push(series, sample, record.as_slice().len());
                    batch.append_if_full(store)?;
                }
            }
            Ok(None) if options.skip_unknown => imported.skipped += 1,
            Ok(None) => {
                let name = String::from_utf8_lossy(record.get(columns.series).unwrap_or_default());
                let name: String = name.chars().take(80).collect();
                imported.fault(line, "series", format!("{name:?} is not a series of this config"));
            }
            Err(fault) => imported.fault(line, fault.column, fault.message),
        }
        progress(reader.position().byte());
    }
    if columns.is_none() && imported.faulty == 0 {
        imported.fault(1, "", "the file is empty: a line with the columns' names must come first");
    }
    batch.append(store)?;
    if !options.dry_run {
        store.flush()?;
    }
    Ok(imported)
}

#[derive(Default)]
struct Batch {
    samples: Vec<(SeriesId, Sample)>,
    bytes: usize,
    unflushed: u32,
}

impl Batch {
    fn push(&mut self, series: SeriesId, sample: Sample, bytes: usize) {
        self.samples.push((series, sample));
        self.bytes += bytes;
    }

    fn append_if_full(&mut self, store: &dyn HistoryStore) -> Result<(), HistoryError> {
        if self.samples.len() < BATCH_SAMPLES && self.bytes < BATCH_BYTES { Ok(()) } else { self.append(store) }
    }

    fn append(&mut self, store: &dyn HistoryStore) -> Result<(), HistoryError> {
        if self.samples.is_empty() {
            return Ok(());
        }
        store.append(&self.samples)?;
        self.samples.clear();
        self.bytes = 0;
        self.unflushed += 1;
        if self.unflushed == BATCHES_PER_FLUSH {
            self.unflushed = 0;
            store.flush()?;
        }
        Ok(())
    }
}

/// Where each column stands.
struct Columns {
    series: usize,
    source_timestamp: usize,
    server_timestamp: Option<usize>,
    status: Option<usize>,
    type_name: usize,
    value: usize,
    count: usize,
}

impl Columns {
    fn of(header: &csv::ByteRecord) -> Result<Self, String> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, name) in header.iter().enumerate() {
            // A byte order mark, as spreadsheets write it.
            let name = if place == 0 { name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name) } else { name };
            let Some(known) = row::COLUMNS.iter().find(|known| known.as_bytes() == name) else {
                let name: String = String::from_utf8_lossy(name).chars().take(40).collect();
                return Err(format!("the column {name:?} is not known; there are {}", row::COLUMNS.join(", ")));
            };
            if places.insert(known, place).is_some() {
                return Err(format!("the column {known} is there twice"));
            }
        }
        let required = |name: &str| places.get(name).copied().ok_or_else(|| format!("the column {name} is missing"));
        Ok(Self {
            series: required("series")?,
            source_timestamp: required("source_timestamp")?,
            server_timestamp: places.get("server_timestamp").copied(),
            status: places.get("status").copied(),
            type_name: required("type")?,
            value: required("value")?,
            count: header.len(),
        })
    }

    /// `None`: of a series that isn't known.
    fn sample(
        &self,
        record: &csv::ByteRecord,
        series: &HashMap<&str, SeriesId>,
    ) -> Result<Option<(SeriesId, Sample)>, row::RowFault> {
        if record.len() != self.count {
            let message = format!("{} fields where there are {} columns", record.len(), self.count);
            return Err(row::RowFault { column: "", message });
        }
        let text = |place: Option<usize>, column: &'static str| {
            let bytes = place.and_then(|place| record.get(place)).unwrap_or_default();
            std::str::from_utf8(bytes).map_err(|_| row::RowFault { column, message: "is not UTF-8".to_owned() })
        };
        let Some(&series) = series.get(text(Some(self.series), "series")?) else { return Ok(None) };
        let sample = row::parse(Fields {
            source_timestamp: text(Some(self.source_timestamp), "source_timestamp")?,
            server_timestamp: text(self.server_timestamp, "server_timestamp")?,
            status: text(self.status, "status")?,
            type_name: text(Some(self.type_name), "type")?,
            value: text(Some(self.value), "value")?,
        })?;
        Ok(Some((series, sample)))
    }
}

/// Gives no more bytes than the budget for one row.
struct Limited<R> {
    inner: R,
    budget: Rc<Cell<u64>>,
    is_over: Rc<Cell<bool>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget.get() == 0 {
            self.is_over.set(true);
            return Err(io::Error::other("the row is too long"));
        }
        let read = self.inner.read(buffer)?;
        self.budget.set(self.budget.get().saturating_sub(read as u64));
        Ok(read)
    }
}
