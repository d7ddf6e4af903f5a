//! The CSV that export writes: a row per sample. Pure.

use std::collections::HashMap;

use super::{
    import::{Imported, Layout, Sink},
    row::{self, Fields},
};
use crate::{
    history::HistoryError,
    sample::{Sample, SeriesId},
};

/// A row per sample.
pub(super) struct Narrow<'a> {
    series: HashMap<&'a str, SeriesId>,
    skip_unknown: bool,
    columns: Option<Columns>,
}

impl<'a> Narrow<'a> {
    pub(super) fn new(names: &'a [String], skip_unknown: bool) -> Self {
        let series = names.iter().map(String::as_str).zip((0..).map(SeriesId)).collect();
        Self { series, skip_unknown, columns: None }
    }
}

impl Layout for Narrow<'_> {
    fn begin(&mut self, _: u64, header: &csv::ByteRecord, _: &mut Imported) -> Result<(), String> {
        self.columns = Some(Columns::of(header)?);
        Ok(())
    }

    fn row(&self, line: u64, row: &csv::ByteRecord, sink: &mut Sink<'_>) -> Result<(), HistoryError> {
        let Some(columns) = &self.columns else { return Ok(()) };
        match columns.sample(row, &self.series) {
            Ok(Some((series, sample))) => sink.sample(series, sample, row.as_slice().len())?,
            Ok(None) if self.skip_unknown => sink.imported.skipped += 1,
            Ok(None) => {
                let name = String::from_utf8_lossy(row.get(columns.series).unwrap_or_default());
                let name: String = name.chars().take(80).collect();
                sink.imported.fault(line, "series", format!("{name:?} is not a series of this config"));
            }
            Err(fault) => sink.imported.fault(line, fault.column, fault.message),
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
