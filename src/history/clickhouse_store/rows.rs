//! Rows as ClickHouse reads and writes them over HTTP: RowBinary, and for the many samples Native, whose columns a server takes
//! over as they are. Pure.

use crate::{
    history::{
        bytes::{Reader, write_varint},
        tag::{Tag, bits_of, value_of},
        value_bytes::{read_value, write_value},
    },
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// Bytes are not what the query asked for.
#[derive(Debug, thiserror::Error)]
#[error("the server's answer is malformed")]
pub(super) struct Malformed;

/// A query's answer.
#[derive(Debug)]
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Reads row by row until the answer ends.
    pub(super) fn each<T>(&self, mut read: impl FnMut(&mut Row<'_>) -> Option<T>) -> Result<Vec<T>, Malformed> {
        let (mut row, mut all) = (Row(Reader::new(&self.0)), Vec::new());
        while !row.0.is_empty() {
            all.push(read(&mut row).ok_or(Malformed)?);
        }
        Ok(all)
    }

    /// Of an answer of one row.
    pub(super) fn one<T>(&self, read: impl FnMut(&mut Row<'_>) -> Option<T>) -> Result<T, Malformed> {
        self.each(read)?.pop().ok_or(Malformed)
    }
}

/// Takes columns off the front.
pub(super) struct Row<'a>(Reader<'a>);

impl Row<'_> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.0.byte()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.0.bits(4)?).ok()
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.0.bits(8)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        Some(self.u64()?.cast_signed())
    }

    pub(super) fn f64(&mut self) -> Option<f64> {
        Some(f64::from_bits(self.u64()?))
    }

    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.i64().map(Timestamp::from_ticks)
    }

    pub(super) fn bytes(&mut self) -> Option<&[u8]> {
        let len = usize::try_from(self.0.varint()?).ok()?;
        self.0.take(len)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    /// The columns of [`VALUE`].
    pub(super) fn sample(&mut self, at: Timestamp) -> Option<Sample> {
        let (server, status, tag) = (self.time()?, self.u32()?, Tag::from_byte(self.u8()?)?);
        let number = self.f64()?;
        let value = value(tag, number, self.bytes()?)?;
        Some(Sample { source_timestamp: at, server_timestamp: server, status: StatusCode::from(status), value })
    }
}

/// The columns that hold all of a sample but its instant.
pub(super) const VALUE: &str = "server, status, tag, number, value";

/// A value's number and, where type and number do not tell it, its bytes.
fn columns_of(value: &Value, rest: &mut Vec<u8>) -> f64 {
    let number = value.as_f64().unwrap_or(f64::NAN);
    if !is_told(value, number) {
        write_value(rest, value);
    }
    number
}

/// Whether a value comes back to the bit from its type and its number.
fn is_told(value: &Value, number: f64) -> bool {
    match value {
        Value::Double(_) | Value::Null => true,
        // In a NaN there is more than a number.
        Value::Float(x) => !x.is_nan(),
        Value::Int64(_) | Value::UInt64(_) => bits_of(&of_number(bits_of(value).0, number)) == bits_of(value),
        Value::String(_)
        | Value::ByteString(_)
        | Value::LocalizedText(_)
        | Value::Array(_)
        | Value::DateTime(_)
        | Value::StatusCode(_) => false,
        _ => true,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number that was of this type")]
fn of_number(tag: Tag, x: f64) -> Value {
    match tag {
        Tag::Boolean => Value::Boolean(x != 0.0),
        Tag::SByte => Value::SByte(x as i8),
        Tag::Byte => Value::Byte(x as u8),
        Tag::Int16 => Value::Int16(x as i16),
        Tag::UInt16 => Value::UInt16(x as u16),
        Tag::Int32 => Value::Int32(x as i32),
        Tag::UInt32 => Value::UInt32(x as u32),
        Tag::Int64 => Value::Int64(x as i64),
        Tag::UInt64 => Value::UInt64(x as u64),
        Tag::Float => Value::Float(x as f32),
        _ => value_of(tag, x.to_bits()),
    }
}

fn value(tag: Tag, number: f64, rest: &[u8]) -> Option<Value> {
    if rest.is_empty() {
        return Some(of_number(tag, number));
    }
    let mut reader = Reader::new(rest);
    let value = read_value(&mut reader)?;
    reader.is_empty().then_some(value)
}

/// Rows to be inserted, as RowBinary.
#[derive(Default)]
pub(super) struct Written(pub(super) Vec<u8>);

impl Written {
    pub(super) fn u8(&mut self, x: u8) -> &mut Self {
        self.0.push(x);
        self
    }

    pub(super) fn u16(&mut self, x: u16) -> &mut Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    pub(super) fn u32(&mut self, x: u32) -> &mut Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    pub(super) fn u64(&mut self, x: u64) -> &mut Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    pub(super) fn i64(&mut self, x: i64) -> &mut Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, x: &[u8]) -> &mut Self {
        write_varint(&mut self.0, x.len() as u64);
        self.0.extend_from_slice(x);
        self
    }

    /// The columns of [`VALUE`].
    pub(super) fn sample(&mut self, sample: &Sample) -> &mut Self {
        let mut rest = Vec::new();
        let number = columns_of(&sample.value, &mut rest);
        self.i64(sample.server_timestamp.ticks()).u32(sample.status.bits()).u8(bits_of(&sample.value).0 as u8);
        self.0.extend(number.to_bits().to_le_bytes());
        self.bytes(&rest)
    }
}

/// Samples to be inserted, column by column.
#[derive(Default)]
pub(super) struct Columns {
    rows: u64,
    series: Vec<u8>,
    at: Vec<u8>,
    version: Vec<u8>,
    server: Vec<u8>,
    status: Vec<u8>,
    tag: Vec<u8>,
    number: Vec<u8>,
    value: Vec<u8>,
}

impl Columns {
    /// In the order of [`Columns::to_native`].
    pub(super) const NAMES: &str = "series, at, version, deleted, server, status, tag, number, value";

    pub(super) fn push(&mut self, series: u64, version: u64, sample: &Sample) {
        self.rows += 1;
        self.series.extend(series.to_le_bytes());
        self.at.extend(sample.source_timestamp.ticks().to_le_bytes());
        self.version.extend(version.to_le_bytes());
        self.server.extend(sample.server_timestamp.ticks().to_le_bytes());
        self.status.extend(sample.status.bits().to_le_bytes());
        self.tag.push(bits_of(&sample.value).0 as u8);
        if let Value::Double(x) = sample.value {
            self.number.extend(x.to_bits().to_le_bytes());
            self.value.push(0);
            return;
        }
        let mut rest = Vec::new();
        self.number.extend(columns_of(&sample.value, &mut rest).to_bits().to_le_bytes());
        write_varint(&mut self.value, rest.len() as u64);
        self.value.extend(rest);
    }

    /// One block of the Native format.
    pub(super) fn to_native(&self) -> Vec<u8> {
        let deleted = vec![0; usize::try_from(self.rows).unwrap_or(0)];
        let columns: [(&str, &str, &[u8]); 9] = [
            ("series", "UInt64", &self.series),
            ("at", "Int64", &self.at),
            ("version", "UInt64", &self.version),
            ("deleted", "UInt8", &deleted),
            ("server", "Int64", &self.server),
            ("status", "UInt32", &self.status),
            ("tag", "UInt8", &self.tag),
            ("number", "Float64", &self.number),
            ("value", "String", &self.value),
        ];
        let mut out = Vec::with_capacity(columns.iter().map(|(_, _, bytes)| bytes.len() + 32).sum());
        write_varint(&mut out, columns.len() as u64);
        write_varint(&mut out, self.rows);
        for (name, kind, bytes) in columns {
            for text in [name, kind] {
                write_varint(&mut out, text.len() as u64);
                out.extend(text.as_bytes());
            }
            out.extend_from_slice(bytes);
        }
        out
    }
}
