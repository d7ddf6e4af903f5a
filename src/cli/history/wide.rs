//! A wide CSV, as most historians and spreadsheets write it: one column of times, one column per series, a sample per cell.
//! Types are those of the config. `--help` ([`HELP`]) and the README say exactly what is understood; this file does.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Cursor, Read},
};

use chrono::format::{Fixed, Item, Parsed, StrftimeItems};

use super::{
    CommandError,
    import::{self, ImportOptions, Imported, Layout, Sink},
    row::{self, ValueType, quoted},
};
use crate::{
    history::{HistoryError, HistoryStore, columns::Tag},
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
    twin::{DataType, Facet, Twins},
};

/// What `uatwin history import --help` says of it.
pub const HELP: &str = "\
A wide file (--wide) has one column of times, named by --time, and one column per series, named as the series (Tank1.Level).
  Columns are parted by comma, semicolon or tab: by whichever makes the first line have the time's column.
  A time is RFC 3339 (2026-01-31T12:00:00Z), or as --time-format says: then UTC, unless the pattern has an offset (%z).
  A cell is a value of its variable's type in the config, Good; values are written as export writes them. TRUE and FALSE are
  understood too, and where columns are not parted by commas, a decimal comma. Blanks around a cell count only in texts.
  An empty cell is no sample; one that is as --bad says is a Bad sample without a value. Rows without any text are passed over.
  A column that is no series of the config is one fault (or passed over, with --skip-unknown); a time that is none costs its
  row, a value that is none its cell. All else is stored.
A row of either kind may be 16 MiB long and have 100,000 fields.";

/// Of the first line so much is looked at to see what parts its columns.
const HEADER_BYTES: u64 = 512 << 10;
const DELIMITERS: [u8; 3] = *b",;\t";

/// How times are written: a pattern of `strftime`.
#[derive(Clone, Debug)]
pub struct TimeFormat(Vec<Item<'static>>);

impl TimeFormat {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let items = StrftimeItems::new(pattern).parse_to_owned();
        let items = items.map_err(|_| format!("{pattern:?} is no pattern, as %Y-%m-%d %H:%M:%S"))?;
        if items.contains(&Item::Fixed(Fixed::TimezoneName)) {
            return Err("%Z: a zone's name does not say how far it is from UTC; %z does".to_owned());
        }
        Ok(Self(items))
    }

    fn time(&self, text: &str) -> Result<Timestamp, String> {
        let mut parsed = Parsed::new();
        let time = chrono::format::parse(&mut parsed, text, self.0.iter()).and_then(|()| {
            let offset = parsed.offset().unwrap_or(0);
            let local = parsed.to_naive_datetime_with_offset(offset)?.and_utc();
            Ok((local.timestamp() - i64::from(offset), local.timestamp_subsec_nanos()))
        });
        let (seconds, nanoseconds) = time.map_err(|_| format!("{} is no time as --time-format says", quoted(text)))?;
        let at = row::ticks(seconds, nanoseconds).map_err(|finer| format!("{} {finer}", quoted(text)))?;
        at.ok_or_else(|| format!("{} is beyond all times of OPC UA", quoted(text)))
    }
}

/// How a wide file is to be read.
#[derive(Clone, Debug, Default)]
pub struct WideOptions {
    /// The column of times.
    pub time: String,
    /// `None`: RFC 3339.
    pub time_format: Option<TimeFormat>,
    /// Texts that stand for a Bad value.
    pub bad: Vec<String>,
}

/// Name and type of every series.
#[must_use]
pub fn series_of(twins: &Twins) -> Vec<(String, ValueType)> {
    let value_type = |series| {
        let (twin, facet) = twins.locate(series);
        let (data_type, is_array) = match facet {
            Facet::Variable(index) => {
                let variable = &twins.type_of(twin).variables[index];
                (variable.data_type, variable.array)
            }
            Facet::Simulated(_) | Facet::Residual(_) | Facet::Parameter(_) | Facet::State(_) => {
                (DataType::Double, false)
            }
            Facet::Revision => (DataType::UInt32, false),
        };
        let name = DataType::ALL.iter().find(|(known, _)| *known == data_type).map_or("Double", |(_, name)| name);
        ValueType::named(&format!("{name}{}", if is_array { "[]" } else { "" }))
    };
    let named = twins.series_names().into_iter().zip((0..).map(SeriesId));
    named.map(|(name, series)| (name, value_type(series).expect("a row can say every type of the config"))).collect()
}

/// Imports `input`. `series`: those that `store` was opened with. `progress` is told the bytes read so far.
///
/// # Errors
/// The store, or reading. Faults of the content are in the result.
pub fn import(
    store: &dyn HistoryStore,
    series: &[(String, ValueType)],
    input: impl Read,
    wide: &WideOptions,
    options: ImportOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, CommandError> {
    let mut input = BufReader::new(input);
    let mut first_line = Vec::new();
    input.by_ref().take(HEADER_BYTES).read_until(b'\n', &mut first_line).map_err(csv::Error::from)?;
    let delimiter = delimiter(&first_line, wide.time.as_bytes());
    let columns = series.iter().zip((0..).map(SeriesId));
    let columns = columns.map(|((name, kind), series)| Column { place: None, name, series, kind: *kind });
    let mut layout = Wide {
        options: wide,
        skip_unknown: options.skip_unknown,
        has_decimal_comma: delimiter != b',',
        series: columns.map(|column| (column.name, column)).collect(),
        time: 0,
        count: 0,
        columns: Vec::new(),
    };
    let input = Cursor::new(first_line).chain(input);
    import::rows(store, input, delimiter, options, &mut layout, progress)
}

/// The one with which the first line has the time's column.
fn delimiter(first_line: &[u8], time: &[u8]) -> u8 {
    let line = without_mark(first_line);
    let unquoted = |field: &[u8]| {
        let field = field.trim_ascii();
        field.strip_prefix(b"\"").and_then(|field| field.strip_suffix(b"\"")).unwrap_or(field).trim_ascii() == time
    };
    let has_time = |delimiter: &u8| line.split(|byte| byte == delimiter).any(unquoted);
    DELIMITERS.into_iter().find(has_time).unwrap_or(b',')
}

/// Without the byte order mark that spreadsheets write.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A series, and its column if there is one.
#[derive(Clone, Copy)]
struct Column<'a> {
    place: Option<usize>,
    name: &'a str,
    series: SeriesId,
    kind: ValueType,
}

struct Wide<'a> {
    options: &'a WideOptions,
    skip_unknown: bool,
    has_decimal_comma: bool,
    series: HashMap<&'a str, Column<'a>>,
    /// Where the times are.
    time: usize,
    /// Columns in all.
    count: usize,
    columns: Vec<Column<'a>>,
}

impl Layout for Wide<'_> {
    fn begin(&mut self, line: u64, header: &csv::ByteRecord, imported: &mut Imported) -> Result<(), String> {
        let mut time = None;
        let mut unknown = |name: &[u8]| match self.skip_unknown {
            true => imported.skipped += 1,
            false => {
                let name: String = String::from_utf8_lossy(name).chars().take(80).collect();
                imported.fault(line, name, "is not a series of this config");
            }
        };
        self.count = header.len();
        for (place, name) in header.iter().enumerate() {
            let name = without_mark(name).trim_ascii();
            if name == self.options.time.as_bytes() {
                if time.replace(place).is_some() {
                    return Err(format!("the column {} is there twice", quoted(&self.options.time)));
                }
                continue;
            }
            match std::str::from_utf8(name).ok().and_then(|name| self.series.get_mut(name)) {
                Some(column) => match column.place.replace(place) {
                    Some(_) => return Err(format!("the column {} is there twice", quoted(column.name))),
                    None => self.columns.push(*column),
                },
                None => unknown(name),
            }
        }
        self.time = time.ok_or_else(|| format!("the column {} is missing", quoted(&self.options.time)))?;
        Ok(())
    }

    fn row(&self, line: u64, row: &csv::ByteRecord, sink: &mut Sink<'_>) -> Result<(), HistoryError> {
        if row.iter().all(|cell| cell.trim_ascii().is_empty()) {
            return Ok(());
        }
        if row.len() != self.count {
            let message = format!("{} fields where there are {} columns", row.len(), self.count);
            sink.imported.fault(line, "", message);
            return Ok(());
        }
        let at = match self.instant(row.get(self.time).unwrap_or_default()) {
            Ok(at) => at,
            Err(message) => {
                sink.imported.fault(line, self.options.time.clone(), message);
                return Ok(());
            }
        };
        for column in &self.columns {
            let cell = column.place.and_then(|place| row.get(place)).unwrap_or_default();
            match self.sample(at, column.kind, cell) {
                Ok(Some(sample)) => sink.sample(column.series, sample, cell.len())?,
                Ok(None) => {}
                Err(message) => sink.imported.fault(line, column.name.to_owned(), message),
            }
        }
        Ok(())
    }
}

impl Wide<'_> {
    fn instant(&self, cell: &[u8]) -> Result<Timestamp, String> {
        let text = std::str::from_utf8(cell).map_err(|_| "is not UTF-8")?.trim_ascii();
        match &self.options.time_format {
            Some(format) => format.time(text),
            None => row::parse_time(text),
        }
    }

    /// `None`: the cell is empty.
    fn sample(&self, at: Timestamp, kind: ValueType, cell: &[u8]) -> Result<Option<Sample>, String> {
        if cell.is_empty() {
            return Ok(None);
        }
        let text = std::str::from_utf8(cell).map_err(|_| "is not UTF-8")?;
        let (value, status) = match self.options.bad.iter().any(|bad| bad == text.trim_ascii()) {
            true => (Some(Value::Null), StatusCode::Bad),
            false => (self.value(kind, text)?, StatusCode::Good),
        };
        let server_timestamp = Timestamp::NULL; // not given
        Ok(value.map(|value| Sample { source_timestamp: at, server_timestamp, status, value }))
    }

    fn value(&self, kind: ValueType, cell: &str) -> Result<Option<Value>, String> {
        if matches!(kind.tag, Tag::String | Tag::LocalizedText) {
            return kind.value(cell).map(Some);
        }
        let text = cell.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let value = match kind.tag {
            Tag::Boolean => kind.value(&text.to_ascii_lowercase()),
            Tag::Float | Tag::Double if self.has_decimal_comma => kind.value(&text.replacen(',', ".", 1)),
            _ => kind.value(text),
        };
        value.map(Some)
    }
}

#[cfg(test)]
#[path = "wide_tests.rs"]
mod tests;
