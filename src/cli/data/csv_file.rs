//! A CSV file of numbers over time: a first line that names the columns, one of them `time`, and a row per instant. Every
//! fault has its line and column; sizes are bounded, whatever the file holds.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    DataError,
    time::{TimeKind, TimeReader},
};
use crate::config::{Fault, did_you_mean};

/// Longest file.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Longest line: a longer one is no row of numbers.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Most rows.
const ROWS_MAX: usize = 10_000_000;
/// Most numbers read from one file: 400 MB.
const NUMBERS_MAX: usize = 50_000_000;
/// Most faults that are shown; the others are counted.
const FAULTS_MAX: usize = 20;

const DELIMITERS: [u8; 3] = *b",;\t";
/// What stands for a missing value, beside nothing at all; case does not count.
const MISSING: [&str; 5] = ["nan", "na", "n/a", "null", "none"];

/// A file of which the first line was read.
pub(crate) struct CsvFile {
    path: PathBuf,
    reader: BufReader<File>,
    delimiter: u8,
    columns: Vec<String>,
    /// Index of the column `time`.
    time: usize,
    /// Number of the line that was read last, and bytes read so far.
    line: usize,
    bytes: u64,
    faults: Faults,
}

/// What was read: a missing value is NaN.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) kind: TimeKind,
    /// Seconds, strictly increasing.
    pub(crate) times: Vec<f64>,
    /// The wanted columns, in the order in which they were wanted.
    pub(crate) columns: Vec<Vec<f64>>,
}

/// The first faults, and how many more there are.
#[derive(Default)]
struct Faults {
    shown: Vec<Fault>,
    more: usize,
}

impl CsvFile {
    /// Opens the file and reads the names of its columns.
    ///
    /// # Errors
    /// A file that cannot be read, or whose first line names no column `time`.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let read = |cause| DataError::Read { path: path.to_owned(), cause };
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut csv = Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(1 << 16, file),
            delimiter: b',',
            columns: Vec::new(),
            time: 0,
            line: 0,
            bytes: 0,
            faults: Faults::default(),
        };
        if length > FILE_BYTES_MAX {
            return Err(csv.too_large());
        }
        let mut line = String::new();
        if !csv.next_line(&mut line)? {
            return Err(csv.stop(1, "", "the file is empty", "name the columns in the first line, one of them `time`"));
        }
        csv.read_names(line.trim_start_matches('\u{feff}'))?;
        Ok(csv)
    }

    fn read_names(&mut self, line: &str) -> Result<(), DataError> {
        let names = |delimiter: u8| {
            let mut cells = Vec::new();
            // A quote that is not closed gives the names before it.
            let _ = split(line, delimiter, &mut cells);
            cells.into_iter().map(|cell| line[cell].replace("\"\"", "\"")).collect::<Vec<String>>()
        };
        let found = DELIMITERS.iter().map(|&delimiter| (delimiter, names(delimiter)));
        let has_time = |(_, names): &(u8, Vec<String>)| names.iter().any(|name| name == "time");
        // Without `time` the delimiter with the most columns, for the fault to name the nearest.
        let best = found.max_by_key(|found| (has_time(found), found.1.len()));
        let (delimiter, columns) = best.unwrap_or_default();
        let Some(time) = columns.iter().position(|name| name == "time") else {
            let remedy = format!(
                "{}; columns are parted by comma, semicolon or tab",
                did_you_mean("time", columns.iter().map(String::as_str))
            );
            return Err(self.stop(1, "time", "the first line names no column `time`", &remedy));
        };
        (self.delimiter, self.columns, self.time) = (delimiter, columns, time);
        Ok(())
    }

    /// The columns' names, `time` among them.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// A fault of the whole file, which says something about a column of that name.
    pub(crate) fn fault(&self, name: &str, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
        let file = self.path.display().to_string();
        Fault { file, line: 1, column: 1, key: name.into(), message: message.into(), remedy: remedy.into() }
    }

    /// Reads the rows, of the wanted columns only. `progress` is told the bytes read so far.
    ///
    /// # Errors
    /// Every fault of the rows up to a bound.
    pub(crate) fn read(mut self, wanted: &[usize], progress: &dyn Fn(u64)) -> Result<Table, DataError> {
        let mut times = TimeReader::default();
        let mut table = Table { kind: TimeKind::Seconds, times: Vec::new(), columns: vec![Vec::new(); wanted.len()] };
        let (mut line, mut cells) = (String::new(), Vec::new());
        while self.next_line(&mut line)? {
            if line.trim().is_empty() {
                continue;
            }
            if table.times.len() == ROWS_MAX || (table.times.len() + 1) * (1 + wanted.len()) > NUMBERS_MAX {
                let most = ROWS_MAX.min(NUMBERS_MAX / (1 + wanted.len()));
                let message = format!("more than {most} rows");
                return Err(self.stop(self.line, "", &message, "thin the samples out, or give a part of them"));
            }
            self.read_row(&line, &mut cells, wanted, &mut times, &mut table);
            if table.times.len().is_multiple_of(4096) {
                progress(self.bytes);
            }
        }
        table.kind = times.kind();
        if table.times.is_empty() && self.faults.shown.is_empty() {
            return Err(self.stop(self.line, "", "there are no rows", "give a row for each sample"));
        }
        if self.faults.shown.is_empty() { Ok(table) } else { Err(self.end()) }
    }

    fn read_row(
        &mut self,
        line: &str,
        cells: &mut Vec<Range<usize>>,
        wanted: &[usize],
        times: &mut TimeReader,
        table: &mut Table,
    ) {
        if let Err(at) = split(line, self.delimiter, cells) {
            return self.row_fault(line, at, "", "a quote is not closed", "close it in its line");
        }
        if cells.len() != self.columns.len() {
            let message = format!("{} cells, but the first line names {} columns", cells.len(), self.columns.len());
            return self.row_fault(
                line,
                0,
                "",
                &message,
                "give each column its cell; an empty one is a missing sample",
            );
        }
        let time = &cells[self.time];
        match times.read(&line[time.clone()], self.delimiter != b',') {
            Ok(time) => table.times.push(time),
            Err((message, remedy)) => return self.row_fault(line, time.start, "time", &message, remedy),
        }
        for (column, &index) in wanted.iter().enumerate() {
            let cell = &cells[index];
            let number = number(&line[cell.clone()], self.delimiter != b',').unwrap_or_else(|message| {
                let name = self.columns[index].clone();
                self.row_fault(line, cell.start, &name, &message, "give a number; an empty cell is a missing sample");
                f64::NAN
            });
            table.columns[column].push(number);
        }
    }

    /// The next line without its end; `false`: there is none.
    fn next_line(&mut self, line: &mut String) -> Result<bool, DataError> {
        let mut bytes = std::mem::take(line).into_bytes();
        bytes.clear();
        let read = (&mut self.reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes);
        let count = read.map_err(|cause: io::Error| DataError::Read { path: self.path.clone(), cause })? as u64;
        self.line += usize::from(count > 0);
        self.bytes += count;
        if count > LINE_BYTES_MAX {
            return Err(self.stop(self.line, "", "the line is longer than 1 MiB", "end each row with a line break"));
        }
        if self.bytes > FILE_BYTES_MAX {
            return Err(self.too_large());
        }
        if bytes.contains(&0) {
            return Err(self.stop(self.line, "", "this is not text in UTF-8", "save the file as UTF-8"));
        }
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        // A unit sign in another encoding spoils a name at most.
        *line = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(count > 0)
    }

    fn row_fault(&mut self, line: &str, at: usize, key: &str, message: &str, remedy: &str) {
        if self.faults.shown.len() == FAULTS_MAX {
            self.faults.more += 1;
            return;
        }
        let column = 1 + line.get(..at).map_or(0, |before| before.chars().count());
        self.faults.shown.push(Fault { line: self.line, column, ..self.fault(key, message, remedy) });
    }

    /// The faults so far and one that ends the reading.
    fn stop(&mut self, line: usize, key: &str, message: &str, remedy: &str) -> DataError {
        let last = Fault { line, ..self.fault(key, message, remedy) };
        self.faults.shown.push(last);
        self.end()
    }

    fn end(&mut self) -> DataError {
        let Faults { shown, more } = std::mem::take(&mut self.faults);
        DataError::Faults { faults: shown, more }
    }

    fn too_large(&mut self) -> DataError {
        let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        self.stop(0, "", &message, "thin the samples out, or give a part of them")
    }
}

/// The cells of a line, without blanks around them and without quotes: where they stand, which a fault says. (The `csv` crate
/// gives no places, and does not know a quote behind a blank.)
///
/// # Errors
/// The byte of a quote that is not closed.
fn split(line: &str, delimiter: u8, cells: &mut Vec<Range<usize>>) -> Result<(), usize> {
    cells.clear();
    let bytes = line.as_bytes();
    let is_blank = |at: usize| bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t') && *byte != delimiter);
    let next_delimiter = |from: usize| bytes[from..].iter().position(|byte| *byte == delimiter).map(|at| from + at);
    let mut at = 0;
    loop {
        while is_blank(at) {
            at += 1;
        }
        let (cell, end) = if bytes.get(at) == Some(&b'"') {
            let close = closing_quote(bytes, at + 1).ok_or(at)?;
            (at + 1..close, next_delimiter(close + 1))
        } else {
            let end = next_delimiter(at);
            (at..end.unwrap_or(bytes.len()), end)
        };
        let text = &line[cell.clone()];
        let blank_before = text.len() - text.trim_start().len();
        let start = cell.start + if text.trim().is_empty() { 0 } else { blank_before };
        cells.push(start..start + text.trim().len());
        match end {
            Some(end) => at = end + 1,
            None => return Ok(()),
        }
    }
}

/// The first quote that is not one of two.
fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == b'"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// The number a cell holds; NaN: it is missing.
pub(super) fn number(text: &str, decimal_comma: bool) -> Result<f64, String> {
    if text.is_empty() || MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing)) {
        return Ok(f64::NAN);
    }
    let parsed = match text.parse() {
        Err(_) if decimal_comma && text.contains(',') => text.replacen(',', ".", 1).parse(),
        parsed => parsed,
    };
    match parsed {
        Ok(number) if f64::is_finite(number) => Ok(number),
        Ok(_) => Err(format!("{} is not a finite number", shown(text))),
        Err(_) if text.eq_ignore_ascii_case("true") => Ok(1.0),
        Err(_) if text.eq_ignore_ascii_case("false") => Ok(0.0),
        Err(_) => Err(format!("{} is not a number", shown(text))),
    }
}

/// Text from a file, cut short for a message.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str, delimiter: u8) -> Result<Vec<&str>, usize> {
        let mut cells = Vec::new();
        split(line, delimiter, &mut cells)?;
        Ok(cells.into_iter().map(|cell| &line[cell]).collect())
    }

    #[test]
    fn a_line_is_split_at_its_delimiters_but_not_inside_quotes() {
        for (line, delimiter, expected) in [
            ("a,b", b',', vec!["a", "b"]),
            (" a ,\t\"b, c\" , d", b',', vec!["a", "b, c", "d"]),
            ("1,2;\"x\"\"y\";", b';', vec!["1,2", "x\"\"y", ""]),
            ("\t\t", b'\t', vec!["", "", ""]),
            ("é, ü ", b',', vec!["é", "ü"]),
            ("", b',', vec![""]),
        ] {
            assert_eq!(cells(line, delimiter), Ok(expected), "{line:?}");
        }
        assert_eq!(cells("a, \"b,c", b','), Err(3));
    }

    #[test]
    fn a_cell_is_a_number_or_missing_or_wrong() {
        for (text, comma, expected) in [
            ("1.5", false, 1.5),
            ("-1e-3", false, -1e-3),
            ("1,5", true, 1.5),
            ("TRUE", false, 1.0),
            ("false", true, 0.0),
        ] {
            assert_eq!(number(text, comma), Ok(expected), "{text}");
        }
        for text in ["", "NaN", "n/a", "NULL"] {
            assert!(number(text, false).is_ok_and(f64::is_nan), "{text}");
        }
        for text in ["1,5", "1.5 °C", "inf", "--", "1 000"] {
            assert!(number(text, false).is_err(), "{text}");
        }
    }
}
