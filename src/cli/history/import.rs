//! `uatwin history import`: rows of CSV into the store. What a row means, a layout says. Every fault has its line and
//! column; what has none is stored all the same, and storing it twice does nothing, so a mended file is simply imported
//! again.

use std::{borrow::Cow, fmt, io::Read};

use super::{CommandError, limited::Limited, narrow::Narrow};
use crate::{
    history::{HistoryError, HistoryStore},
    sample::{Sample, SeriesId},
};

/// Faults kept; more are counted.
pub const FAULTS_MAX: usize = 100;
/// Samples, or bytes of long values about, appended together.
const BATCH_SAMPLES: usize = 8192;
const BATCH_BYTES: usize = 1 << 20;
const BATCHES_PER_FLUSH: u32 = 32;

/// What is not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportFault {
    /// 1-based, where the row begins.
    pub line: u64,
    /// The column's name; empty: the row as a whole.
    pub column: Cow<'static, str>,
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
    /// Samples stored (with a dry run: that would be).
    pub samples: u64,
    /// Rows (of a wide file: columns) of series that are not configured, passed over as asked.
    pub skipped: u64,
    /// The first faults.
    pub faults: Vec<ImportFault>,
    /// How many there are: of a row, or of a wide file's cell.
    pub faulty: u64,
}

impl Imported {
    pub(super) fn fault(&mut self, line: u64, column: impl Into<Cow<'static, str>>, message: impl Into<String>) {
        self.faulty += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(ImportFault { line, column: column.into(), message: message.into() });
        }
    }
}

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// Rows (of a wide file: columns) of unknown series are passed over instead of being faults.
    pub skip_unknown: bool,
    /// Only check.
    pub dry_run: bool,
}

/// How samples stand in a file.
pub(super) trait Layout {
    /// Reads the line with the columns' names.
    ///
    /// # Errors
    /// Why the file cannot be read at all.
    fn begin(&mut self, line: u64, header: &csv::ByteRecord, imported: &mut Imported) -> Result<(), String>;

    /// Hands the row's samples to `sink`, and its faults.
    fn row(&self, line: u64, row: &csv::ByteRecord, sink: &mut Sink<'_>) -> Result<(), HistoryError>;
}

/// Imports `input` as export writes it. `names`: the series that `store` was opened with. `progress` is told the bytes read
/// so far.
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
    rows(store, input, b',', options, &mut Narrow::new(names, options.skip_unknown), progress)
}

/// Imports what `layout` makes of the rows of `input`.
pub(super) fn rows(
    store: &dyn HistoryStore,
    input: impl Read,
    delimiter: u8,
    options: ImportOptions,
    layout: &mut dyn Layout,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, CommandError> {
    let limited = Limited::new(input, delimiter);
    let mut csv = csv::ReaderBuilder::new();
    let mut reader = csv.has_headers(false).flexible(true).delimiter(delimiter).from_reader(limited);
    let mut sink =
        Sink { store: (!options.dry_run).then_some(store), imported: Imported::default(), batch: Batch::default() };
    let mut record = csv::ByteRecord::new();
    let (mut has_header, mut line) = (false, 1);
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(cause) => match reader.get_ref().excess() {
                Some(message) => {
                    sink.imported.fault(line, "", message);
                    break;
                }
                None => return Err(cause.into()),
            },
        }
        // The reader's own line of a row is that of the empty lines before it, and one too few behind a carriage return.
        let position = reader.position();
        let last = reader.get_ref().byte_before(position.byte());
        let inside = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
        line = position.line().saturating_sub(inside + u64::from(last == Some(b'\n')));
        if has_header {
            layout.row(line, &record, &mut sink)?;
            progress(reader.position().byte());
        } else if let Err(message) = layout.begin(line, &record, &mut sink.imported) {
            sink.imported.fault(line, "", message);
            break;
        }
        has_header = true;
        line += 1 + inside;
    }
    if !has_header && sink.imported.faulty == 0 {
        sink.imported.fault(1, "", "the file is empty: a line with the columns' names must come first");
    }
    sink.close()
}

/// Where samples and faults go.
pub(super) struct Sink<'a> {
    /// `None`: a dry run.
    store: Option<&'a dyn HistoryStore>,
    pub(super) imported: Imported,
    batch: Batch,
}

impl Sink<'_> {
    /// `bytes`: what the sample takes in the file.
    pub(super) fn sample(&mut self, series: SeriesId, sample: Sample, bytes: usize) -> Result<(), HistoryError> {
        self.imported.samples += 1;
        let Some(store) = self.store else { return Ok(()) };
        self.batch.push(series, sample, bytes);
        self.batch.append_if_full(store)
    }

    fn close(mut self) -> Result<Imported, CommandError> {
        if let Some(store) = self.store {
            self.batch.append(store)?;
            store.flush()?;
        }
        Ok(self.imported)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::memory_store::MemoryStore;

    #[test]
    fn faults_have_their_line_however_lines_end() {
        let rows = [
            "type,value,series,source_timestamp",
            "",
            "",
            "Double,one,T.V,ticks:1",
            "String,\"a@b\",T.V,ticks:2",
            "Double,two,T.V,ticks:3",
            "",
            "Double,three,T.V,ticks:4",
            "",
        ];
        for end in ["\n", "\r\n"] {
            for (padding, cut) in [(0, 0), (0, end.len()), (8182, 0), (8183, 0), (8184, 0), (20_000, end.len())] {
                let mut text = rows.join(end).replace('@', &format!("{end}{}{end}", "x".repeat(padding)));
                text.truncate(text.len() - cut);
                let names = ["T.V".to_owned()];
                let store = MemoryStore::new(1, 9);
                let said = import(&store, &names, text.as_bytes(), ImportOptions::default(), &mut |_| {}).unwrap();
                let lines: Vec<u64> = said.faults.iter().map(|fault| fault.line).collect();
                assert_eq!((lines, said.samples), (vec![4, 8, 10], 1), "{end:?} {padding} {cut}");
            }
        }
    }
}
