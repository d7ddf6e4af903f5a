//! A sample as a row of CSV and back, to the bit. Pure: no files, no clock; a fault is a result with its column.

use std::{fmt::Write as _, sync::Arc};

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::{
    history::columns::{Tag, bits_of},
    sample::{Array, Sample, StatusCode, Value},
    time::Timestamp,
};

/// The columns, in the order in which they are written.
pub const COLUMNS: [&str; 6] = ["series", "source_timestamp", "server_timestamp", "status", "type", "value"];

const TICKS_PER_SECOND: i64 = 10_000_000;
/// Seconds between 1601-01-01 and 1970-01-01.
const UNIX_EPOCH_S: i64 = 11_644_473_600;

/// The types by their names in OPC 10000-6 Table 1.
const TYPES: [(&str, Tag); 17] = [
    ("Null", Tag::Null),
    ("Boolean", Tag::Boolean),
    ("SByte", Tag::SByte),
    ("Byte", Tag::Byte),
    ("Int16", Tag::Int16),
    ("UInt16", Tag::UInt16),
    ("Int32", Tag::Int32),
    ("UInt32", Tag::UInt32),
    ("Int64", Tag::Int64),
    ("UInt64", Tag::UInt64),
    ("Float", Tag::Float),
    ("Double", Tag::Double),
    ("String", Tag::String),
    ("DateTime", Tag::DateTime),
    ("ByteString", Tag::ByteString),
    ("StatusCode", Tag::StatusCode),
    ("LocalizedText", Tag::LocalizedText),
];

/// What a value is: one of OPC UA's built-in types, or an array of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueType {
    pub(super) tag: Tag,
    is_array: bool,
}

impl ValueType {
    /// As it stands in a row: a name, and `[]` behind it for an array.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (name, is_array) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
        let (_, tag) = TYPES.iter().find(|(known, _)| *known == name)?;
        Some(Self { tag: *tag, is_array })
    }

    /// The value that a text says.
    ///
    /// # Errors
    /// That it says none.
    pub fn value(self, text: &str) -> Result<Value, String> {
        let value = if self.is_array { parse_array(self.tag, text) } else { parse_value(self.tag, text) };
        value.ok_or_else(|| {
            let name = TYPES.iter().find(|(_, tag)| *tag == self.tag).map_or("value", |(name, _)| name);
            format!("{} is no {name}{}", quoted(text), if self.is_array { "[]" } else { "" })
        })
    }
}

/// What is wrong with a row, and in which column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// One of [`COLUMNS`].
    pub column: &'static str,
    /// What, and what was expected.
    pub message: String,
}

/// The fields of a row but for its series, as they stand in the file.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// RFC 3339.
    pub source_timestamp: &'a str,
    /// RFC 3339; empty: the server gave none.
    pub server_timestamp: &'a str,
    /// `0x` and 8 digits; empty: Good.
    pub status: &'a str,
    /// One of OPC UA's built-in types.
    pub type_name: &'a str,
    /// As the type has it.
    pub value: &'a str,
}

/// The texts behind [`COLUMNS`], but for the first.
#[must_use]
pub fn texts(sample: &Sample) -> [String; 5] {
    let server = sample.server_timestamp;
    let name = |tag| TYPES.iter().find(|(_, known)| *known == tag).map_or("Null", |(name, _)| name);
    let type_name = match &sample.value {
        Value::Array(array) => Tag::from_byte(array.element_type).map_or("Null", name).to_owned() + "[]",
        value => name(bits_of(value).0).to_owned(),
    };
    [
        time_text(sample.source_timestamp),
        if server.is_null() { String::new() } else { time_text(server) },
        status_text(sample.status),
        type_name,
        value_text(&sample.value),
    ]
}

/// The sample that a row says.
///
/// # Errors
/// The first column that is not as it must be.
pub fn parse(fields: Fields<'_>) -> Result<Sample, RowFault> {
    let fault = |column: &'static str, message: String| RowFault { column, message };
    let source = parse_time(fields.source_timestamp).map_err(|message| fault("source_timestamp", message))?;
    let server = match fields.server_timestamp {
        "" => Timestamp::NULL,
        text => parse_time(text).map_err(|message| fault("server_timestamp", message))?,
    };
    let status = match fields.status {
        "" => StatusCode::Good,
        text => parse_status(text).map_err(|message| fault("status", message))?,
    };
    let value_type = ValueType::named(fields.type_name)
        .ok_or_else(|| fault("type", format!("{} is no type of OPC UA", quoted(fields.type_name))))?;
    let value = value_type.value(fields.value).map_err(|message| fault("value", message))?;
    Ok(Sample { source_timestamp: source, server_timestamp: server, status, value })
}

/// Text from a file, cut short for a message.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// RFC 3339 in UTC to the tick; a time outside the years 0 to 9999 as `ticks:N`.
#[must_use]
pub fn time_text(at: Timestamp) -> String {
    let seconds = at.ticks().div_euclid(TICKS_PER_SECOND) - UNIX_EPOCH_S;
    let fraction = at.ticks().rem_euclid(TICKS_PER_SECOND);
    match DateTime::<Utc>::from_timestamp(seconds, 0).filter(|time| (0..=9999).contains(&time.year())) {
        None => format!("ticks:{}", at.ticks()),
        Some(t) => {
            let (year, month, day) = (t.year(), t.month(), t.day());
            let (hour, minute, second) = (t.hour(), t.minute(), t.second());
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:07}Z")
        }
    }
}

/// The inverse of [`time_text`]; any RFC 3339 time not finer than a tick of 100 ns.
///
/// # Errors
/// What is wrong with it.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Some(ticks) = text.strip_prefix("ticks:") {
        let ticks = ticks.parse().map_err(|_| format!("{} is no number of ticks", quoted(text)))?;
        return Ok(Timestamp::from_ticks(ticks));
    }
    let wrong = || format!("{} is no RFC 3339 time, as 2026-01-31T12:00:00.0000000Z", quoted(text));
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?;
    match ticks(time.timestamp(), time.timestamp_subsec_nanos()) {
        Ok(at) => at.ok_or_else(wrong),
        Err(finer) => Err(format!("{} {finer}", quoted(text))),
    }
}

/// The instant so long after 1970; `None`: beyond all of them.
///
/// # Errors
/// That no instant is so fine.
pub(super) fn ticks(seconds: i64, nanoseconds: u32) -> Result<Option<Timestamp>, &'static str> {
    if !nanoseconds.is_multiple_of(100) {
        return Err("is finer than the 100 ns of OPC UA");
    }
    let seconds = seconds.checked_add(UNIX_EPOCH_S).and_then(|seconds| seconds.checked_mul(TICKS_PER_SECOND));
    let ticks = seconds.and_then(|ticks| ticks.checked_add(i64::from(nanoseconds / 100)));
    Ok(ticks.map(Timestamp::from_ticks))
}

fn status_text(status: StatusCode) -> String {
    format!("0x{:08X}", status.bits())
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 8);
    let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let bits = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    bits.map(StatusCode::from).ok_or_else(|| format!("{} is no status, as 0x80000000", quoted(text)))
}

/// Floats at their shortest that reads back the same; a NaN that isn't the usual one with its bits.
fn value_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Boolean(x) => x.to_string(),
        Value::SByte(x) => x.to_string(),
        Value::Byte(x) => x.to_string(),
        Value::Int16(x) => x.to_string(),
        Value::UInt16(x) => x.to_string(),
        Value::Int32(x) => x.to_string(),
        Value::UInt32(x) => x.to_string(),
        Value::Int64(x) => x.to_string(),
        Value::UInt64(x) => x.to_string(),
        Value::Float(x) if x.is_nan() && x.to_bits() != f32::NAN.to_bits() => format!("NaN:{:08x}", x.to_bits()),
        Value::Float(x) => format!("{x:?}"),
        Value::Double(x) if x.is_nan() && x.to_bits() != f64::NAN.to_bits() => format!("NaN:{:016x}", x.to_bits()),
        Value::Double(x) => format!("{x:?}"),
        Value::String(text) => text.to_string(),
        Value::DateTime(at) => time_text(*at),
        Value::ByteString(bytes) => hex(bytes),
        Value::LocalizedText(text) => {
            format!("{};{}", text.0.replace('\\', "\\\\").replace(';', "\\;"), text.1)
        }
        Value::StatusCode(status) => status_text(*status),
        Value::Array(array) => {
            let texts: Vec<Option<String>> =
                array.elements.iter().map(|element| (!element.is_null()).then(|| value_text(element))).collect();
            serde_json::Value::from(texts).to_string()
        }
    }
}

/// A JSON array of texts, each an element as it would stand alone; null: an element without a value.
fn parse_array(tag: Tag, text: &str) -> Option<Value> {
    let texts: Vec<Option<String>> = serde_json::from_str(text).ok()?;
    let element = |text: Option<String>| text.map_or(Some(Value::Null), |text| parse_value(tag, &text));
    let elements = texts.into_iter().map(element).collect::<Option<Box<[Value]>>>()?;
    Some(Value::Array(Arc::new(Array { element_type: tag as u8, elements })))
}

fn parse_value(tag: Tag, text: &str) -> Option<Value> {
    Some(match tag {
        Tag::Null => text.is_empty().then_some(Value::Null)?,
        Tag::Boolean => Value::Boolean(match text {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return None,
        }),
        Tag::SByte => Value::SByte(text.parse().ok()?),
        Tag::Byte => Value::Byte(text.parse().ok()?),
        Tag::Int16 => Value::Int16(text.parse().ok()?),
        Tag::UInt16 => Value::UInt16(text.parse().ok()?),
        Tag::Int32 => Value::Int32(text.parse().ok()?),
        Tag::UInt32 => Value::UInt32(text.parse().ok()?),
        Tag::Int64 => Value::Int64(text.parse().ok()?),
        Tag::UInt64 => Value::UInt64(text.parse().ok()?),
        Tag::Float => Value::Float(match text.strip_prefix("NaN:") {
            Some(bits) => Some(f32::from_bits(u32::from_str_radix(bits, 16).ok()?)).filter(|x| x.is_nan())?,
            None => text.parse().ok()?,
        }),
        Tag::Double => Value::Double(match text.strip_prefix("NaN:") {
            Some(bits) => Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)).filter(|x| x.is_nan())?,
            None => text.parse().ok()?,
        }),
        Tag::String => Value::String(text.into()),
        Tag::DateTime => Value::DateTime(parse_time(text).ok()?),
        Tag::ByteString => Value::ByteString(parse_hex(text)?.into()),
        Tag::LocalizedText => Value::LocalizedText(Arc::new(parse_localized(text)?)),
        Tag::StatusCode => Value::StatusCode(parse_status(text).ok()?),
        Tag::Array | Tag::Any => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// `locale;text`; in a locale `\` stands before `;` and `\`.
fn parse_localized(text: &str) -> Option<(String, String)> {
    let mut locale = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            ';' => return Some((locale, text[at + 1..].to_owned())),
            '\\' => locale.push(characters.next()?.1),
            _ => locale.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Boolean),
            any::<i8>().prop_map(Value::SByte),
            any::<u16>().prop_map(Value::UInt16),
            any::<i64>().prop_map(Value::Int64),
            any::<u64>().prop_map(Value::UInt64),
            any::<u32>().prop_map(|bits| Value::Float(f32::from_bits(bits))),
            any::<u64>().prop_map(|bits| Value::Double(f64::from_bits(bits))),
            any::<u32>().prop_map(|bits| Value::Double(f64::from_bits(0x7ff0_0000_0000_0000 | u64::from(bits)))),
            ".{0,12}".prop_map(|text| Value::String(text.into())),
            any::<i64>().prop_map(|ticks| Value::DateTime(Timestamp::from_ticks(ticks))),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| Value::ByteString(bytes.into())),
            any::<u32>().prop_map(|bits| Value::StatusCode(StatusCode::from(bits))),
            ("[a;\\\\-]{0,6}", ".{0,8}").prop_map(|text| Value::LocalizedText(Arc::new(text))),
            prop::collection::vec(prop::option::of(".{0,6}"), 0..5).prop_map(|texts| {
                let elements =
                    texts.into_iter().map(|text| text.map_or(Value::Null, |text| Value::String(text.into())));
                Value::Array(Arc::new(Array { element_type: Tag::String as u8, elements: elements.collect() }))
            }),
        ]
    }

    fn read_back(sample: &Sample) -> Sample {
        let [source, server, status, type_name, value] = texts(sample);
        parse(Fields {
            source_timestamp: &source,
            server_timestamp: &server,
            status: &status,
            type_name: &type_name,
            value: &value,
        })
        .unwrap()
    }

    proptest! {
        #[test]
        fn a_row_says_the_sample_to_the_bit(source in any::<i64>(), server in any::<i64>(), status in any::<u32>(), value in values()) {
            let at = Timestamp::from_ticks;
            let sample = Sample { source_timestamp: at(source), server_timestamp: at(server), status: status.into(), value };
            let back = read_back(&sample);
            prop_assert_eq!(bits_of(&back.value), bits_of(&sample.value));
            let same = back == sample || sample.value.as_f64().is_some_and(f64::is_nan);
            prop_assert!(same, "{sample:?} came back as {back:?}");
        }
    }

    #[test]
    fn times_are_written_to_the_tick() {
        let at = Timestamp::from_unix_ns(1_700_000_000_123_456_700);
        assert_eq!(time_text(at), "2023-11-14T22:13:20.1234567Z");
        assert_eq!(parse_time("2023-11-14T23:13:20.1234567+01:00"), Ok(at));
        assert!(parse_time("2023-11-14T22:13:20.12345678Z").unwrap_err().contains("finer"));
        assert!(parse_time("yesterday").unwrap_err().contains("RFC 3339"));
        assert_eq!(time_text(Timestamp::MAX), format!("ticks:{}", i64::MAX));
    }
}
