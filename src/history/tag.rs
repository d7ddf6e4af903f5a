//! Types of stored values, and values of fixed width as bits. Pure.

use crate::{
    sample::{StatusCode, Value},
    time::Timestamp,
};

/// The type of a column's values, by the built-in type's id (OPC 10000-6 Table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "OPC UA's names")]
pub enum Tag {
    /// No value at all.
    Null = 0,
    Boolean = 1,
    SByte = 2,
    Byte = 3,
    Int16 = 4,
    UInt16 = 5,
    Int32 = 6,
    UInt32 = 7,
    Int64 = 8,
    UInt64 = 9,
    Float = 10,
    Double = 11,
    String = 12,
    DateTime = 13,
    ByteString = 15,
    StatusCode = 19,
    LocalizedText = 21,
    /// Of one dimension.
    Array = 62,
    /// Values of several types, or of varying length: each says what it is.
    Any = 63,
}

impl Tag {
    /// The tag with this byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Null,
            1 => Self::Boolean,
            2 => Self::SByte,
            3 => Self::Byte,
            4 => Self::Int16,
            5 => Self::UInt16,
            6 => Self::Int32,
            7 => Self::UInt32,
            8 => Self::Int64,
            9 => Self::UInt64,
            10 => Self::Float,
            11 => Self::Double,
            12 => Self::String,
            13 => Self::DateTime,
            15 => Self::ByteString,
            19 => Self::StatusCode,
            21 => Self::LocalizedText,
            62 => Self::Array,
            63 => Self::Any,
            _ => return None,
        })
    }

    /// Bytes of a value of fixed width.
    #[must_use]
    pub const fn width(self) -> Option<usize> {
        Some(match self {
            Self::Boolean | Self::SByte | Self::Byte => 1,
            Self::Int16 | Self::UInt16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float | Self::StatusCode => 4,
            Self::Int64 | Self::UInt64 | Self::Double | Self::DateTime => 8,
            _ => return None,
        })
    }
}

/// A value's type, and its bits if it has a fixed width.
#[must_use]
#[expect(clippy::cast_sign_loss, reason = "two's complement bits")]
pub fn bits_of(value: &Value) -> (Tag, u64) {
    match *value {
        Value::Null => (Tag::Null, 0),
        Value::Boolean(x) => (Tag::Boolean, u64::from(x)),
        Value::SByte(x) => (Tag::SByte, u64::from(x as u8)),
        Value::Byte(x) => (Tag::Byte, x.into()),
        Value::Int16(x) => (Tag::Int16, u64::from(x as u16)),
        Value::UInt16(x) => (Tag::UInt16, x.into()),
        Value::Int32(x) => (Tag::Int32, u64::from(x as u32)),
        Value::UInt32(x) => (Tag::UInt32, x.into()),
        Value::Int64(x) => (Tag::Int64, x as u64),
        Value::UInt64(x) => (Tag::UInt64, x),
        Value::Float(x) => (Tag::Float, x.to_bits().into()),
        Value::Double(x) => (Tag::Double, x.to_bits()),
        Value::DateTime(x) => (Tag::DateTime, x.ticks() as u64),
        Value::StatusCode(x) => (Tag::StatusCode, x.bits().into()),
        Value::String(_) => (Tag::String, 0),
        Value::ByteString(_) => (Tag::ByteString, 0),
        Value::LocalizedText(_) => (Tag::LocalizedText, 0),
        Value::Array(_) => (Tag::Array, 0),
    }
}

/// The value of a fixed width type with these bits; `Null` for any other type.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "the inverse of `bits_of`")]
pub fn value_of(tag: Tag, bits: u64) -> Value {
    match tag {
        Tag::Boolean => Value::Boolean(bits != 0),
        Tag::SByte => Value::SByte(bits as i8),
        Tag::Byte => Value::Byte(bits as u8),
        Tag::Int16 => Value::Int16(bits as i16),
        Tag::UInt16 => Value::UInt16(bits as u16),
        Tag::Int32 => Value::Int32(bits as i32),
        Tag::UInt32 => Value::UInt32(bits as u32),
        Tag::Int64 => Value::Int64(bits as i64),
        Tag::UInt64 => Value::UInt64(bits),
        Tag::Float => Value::Float(f32::from_bits(bits as u32)),
        Tag::Double => Value::Double(f64::from_bits(bits)),
        Tag::DateTime => Value::DateTime(Timestamp::from_ticks(bits as i64)),
        Tag::StatusCode => Value::StatusCode(StatusCode::from(bits as u32)),
        Tag::Null | Tag::String | Tag::ByteString | Tag::LocalizedText | Tag::Array | Tag::Any => Value::Null,
    }
}
