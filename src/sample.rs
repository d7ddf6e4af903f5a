//! A measured value as every stage sees it: what, when, how good. The compact form of OPC UA's DataValue
//! (OPC 10000-4 §7.11); `ua.rs` is the only translation between the two.

use std::sync::Arc;

pub use opcua::types::StatusCode;

use crate::time::Timestamp;

/// One series of samples: a variable of a twin, its simulation, its residual or a parameter. Dense, in config order;
/// names and NodeIds are looked up at the edges only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// One twin. Dense, in config order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TwinId(pub u32);

impl SeriesId {
    /// As an index into dense arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TwinId {
    /// As an index into dense arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A scalar of an OPC UA built-in type (OPC 10000-6 §5.1.2), an array of them, or nothing. Enumerations are `Int32`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// No value: what comes with most Bad statuses.
    #[default]
    Null,
    /// True or false.
    Boolean(bool),
    /// 8-bit signed.
    SByte(i8),
    /// 8-bit unsigned.
    Byte(u8),
    /// 16-bit signed.
    Int16(i16),
    /// 16-bit unsigned.
    UInt16(u16),
    /// 32-bit signed; also enumerations.
    Int32(i32),
    /// 32-bit unsigned.
    UInt32(u32),
    /// 64-bit signed.
    Int64(i64),
    /// 64-bit unsigned.
    UInt64(u64),
    /// IEEE 754 single.
    Float(f32),
    /// IEEE 754 double.
    Double(f64),
    /// UTF-8 text.
    String(Arc<str>),
    /// A DateTime value (not a sample's own timestamp).
    DateTime(Timestamp),
    /// Bytes.
    ByteString(Arc<[u8]>),
    /// Locale and text.
    LocalizedText(Arc<(String, String)>),
    /// A StatusCode as a value.
    StatusCode(StatusCode),
    /// A one-dimensional array of scalars of one type.
    Array(Arc<Array>),
}

/// What a [`Value::Array`] holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The built-in type of the elements (OPC 10000-6 Table 1): an empty array has one too.
    pub element_type: u8,
    /// All of that type.
    pub elements: Box<[Value]>,
}

impl Value {
    /// The number behind a numeric or Boolean value (Boolean: 0 or 1, as OPC 10000-13 counts states), else `None`.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "64-bit integers beyond 2^53 round, as Part 13 expects of Double results"
    )]
    pub fn as_f64(&self) -> Option<f64> {
        Some(match *self {
            Self::Boolean(x) => f64::from(u8::from(x)),
            Self::SByte(x) => x.into(),
            Self::Byte(x) => x.into(),
            Self::Int16(x) => x.into(),
            Self::UInt16(x) => x.into(),
            Self::Int32(x) => x.into(),
            Self::UInt32(x) => x.into(),
            Self::Int64(x) => x as f64,
            Self::UInt64(x) => x as f64,
            Self::Float(x) => x.into(),
            Self::Double(x) => x,
            _ => return None,
        })
    }

    /// The built-in type's number (OPC 10000-6 Table 1); 0: there is no value. Of an array it is that of its elements.
    #[must_use]
    pub fn built_in(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::SByte(_) => 2,
            Self::Byte(_) => 3,
            Self::Int16(_) => 4,
            Self::UInt16(_) => 5,
            Self::Int32(_) => 6,
            Self::UInt32(_) => 7,
            Self::Int64(_) => 8,
            Self::UInt64(_) => 9,
            Self::Float(_) => 10,
            Self::Double(_) => 11,
            Self::String(_) => 12,
            Self::DateTime(_) => 13,
            Self::ByteString(_) => 15,
            Self::StatusCode(_) => 19,
            Self::LocalizedText(_) => 21,
            Self::Array(array) => array.element_type,
        }
    }

    /// English words.
    #[must_use]
    pub fn english(words: &str) -> Self {
        Self::LocalizedText(Arc::new(("en".to_owned(), words.to_owned())))
    }

    /// An array of Doubles.
    #[must_use]
    pub fn doubles(values: impl IntoIterator<Item = f64>) -> Self {
        let elements = values.into_iter().map(Self::Double).collect();
        Self::Array(Arc::new(Array { element_type: 11, elements }))
    }

    /// An array of Strings.
    #[must_use]
    pub fn strings<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let elements = texts.into_iter().map(Self::from).collect();
        Self::Array(Arc::new(Array { element_type: 12, elements }))
    }

    /// Whether there is no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// A Rust value as a [`Value`].
macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

value_from!(bool => Boolean, u16 => UInt16, u32 => UInt32, i32 => Int32, f64 => Double, &str => String, String => String,
    Timestamp => DateTime, StatusCode => StatusCode);

/// One sample of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When the source took it.
    pub source_timestamp: Timestamp,
    /// When the server that gave it to us had it; null where it said nothing.
    pub server_timestamp: Timestamp,
    /// All 32 bits, as received.
    pub status: StatusCode,
    /// What.
    pub value: Value,
}

impl Sample {
    /// A Good Double, server time equal to source time.
    #[must_use]
    pub fn good(at: Timestamp, value: f64) -> Self {
        Self { source_timestamp: at, server_timestamp: at, status: StatusCode::Good, value: Value::Double(value) }
    }

    /// No value, for the reason that `status` gives.
    #[must_use]
    pub fn bad(at: Timestamp, status: StatusCode) -> Self {
        Self { source_timestamp: at, server_timestamp: at, status, value: Value::Null }
    }

    /// The number that statistics, models and fits may use: finite, numeric and not Bad.
    #[must_use]
    pub fn usable(&self) -> Option<f64> {
        self.value.as_f64().filter(|x| x.is_finite() && !self.status.is_bad())
    }
}

/// InfoType DataValue (OPC 10000-4 §7.39.1): says that the info bits below it mean something.
pub const INFO_TYPE_DATA_VALUE: u32 = 0x0400;

/// The worse of two statuses: Bad before Uncertain before Good; of two alike the first.
#[must_use]
pub fn worse(a: StatusCode, b: StatusCode) -> StatusCode {
    let rank = |s: StatusCode| if s.is_bad() { 2 } else { u8::from(s.is_uncertain()) };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_and_non_finite_samples_are_not_usable() {
        let at = Timestamp::from_ticks(1);
        assert_eq!(Sample::good(at, 2.5).usable(), Some(2.5));
        assert_eq!(Sample::good(at, f64::NAN).usable(), None);
        let stale = Sample { status: StatusCode::BadNoCommunication, ..Sample::good(at, 2.5) };
        assert_eq!(stale.usable(), None);
        let uncertain = Sample { status: StatusCode::UncertainLastUsableValue, ..Sample::good(at, 2.5) };
        assert_eq!(uncertain.usable(), Some(2.5));
    }

    #[test]
    fn the_worst_status_wins_and_the_first_of_equals() {
        assert_eq!(worse(StatusCode::Good, StatusCode::UncertainInitialValue), StatusCode::UncertainInitialValue);
        assert_eq!(worse(StatusCode::BadOutOfRange, StatusCode::BadNoCommunication), StatusCode::BadOutOfRange);
    }
}
