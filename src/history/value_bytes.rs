//! Single values as bytes: in log records, modification records and the dictionaries of blocks. Pure.
//!
//! ```text
//! u8 tag, then by type:  null: u8 0      fixed width: its bits      text, bytes: u32 length, bytes
//!                        localized text: u32 0, both texts          array: u8 element type, u32 count, elements
//! ```
//! A value takes in memory at most 14 times its bytes here, what the allocator adds included, so that what is read never
//! takes more than 16 times what it is read from: a [`Value`] is 24 bytes, the shortest text another 32, the shortest
//! localized text another 144. That is why a null has a payload, and lengths are not as short as they could be.

use std::sync::Arc;

use super::{
    bytes::Reader,
    tag::{Tag, bits_of, value_of},
};
use crate::sample::{Array, Value};

/// No element of an array is shorter.
const ELEMENT_BYTES_MIN: usize = 2;

/// A value of any type: its tag, then what [`read_payload`] reads.
pub(super) fn write_value(out: &mut Vec<u8>, value: &Value) {
    let (tag, bits) = bits_of(value);
    out.push(tag as u8);
    match value {
        Value::Null => out.push(0),
        Value::String(text) => write_bytes(out, text.as_bytes()),
        Value::ByteString(bytes) => write_bytes(out, bytes),
        Value::LocalizedText(text) => {
            out.extend([0; 4]);
            write_bytes(out, text.0.as_bytes());
            write_bytes(out, text.1.as_bytes());
        }
        Value::Array(array) => {
            out.push(array.element_type);
            write_len(out, array.elements.len());
            array.elements.iter().for_each(|element| write_value(out, element));
        }
        _ => out.extend_from_slice(&bits.to_le_bytes()[..tag.width().unwrap_or(0)]),
    }
}

/// The inverse of [`write_value`].
pub(super) fn read_value(reader: &mut Reader<'_>) -> Option<Value> {
    let tag = Tag::from_byte(reader.byte()?)?;
    read_payload(reader, tag)
}

/// What follows the tag.
pub(super) fn read_payload(reader: &mut Reader<'_>, tag: Tag) -> Option<Value> {
    Some(match tag {
        Tag::Null => {
            zeros(reader, 1)?;
            Value::Null
        }
        Tag::String => Value::String(Arc::from(read_text(reader)?)),
        Tag::ByteString => Value::ByteString(Arc::from(read_bytes(reader)?)),
        Tag::LocalizedText => {
            zeros(reader, 4)?;
            let locale = read_text(reader)?.to_owned();
            Value::LocalizedText(Arc::new((locale, read_text(reader)?.to_owned())))
        }
        Tag::Array => Value::Array(Arc::new(read_array(reader)?)),
        Tag::Any => return None,
        _ => value_of(tag, reader.bits(tag.width()?)?),
    })
}

/// The elements say their type again each: what is read stays small beside what it is read from.
fn read_array(reader: &mut Reader<'_>) -> Option<Array> {
    let element_type = reader.byte()?;
    let count = read_len(reader)?;
    let mut elements = reader.room_for(count, ELEMENT_BYTES_MIN)?;
    for _ in 0..count {
        let tag = Tag::from_byte(reader.byte()?).filter(|tag| !matches!(tag, Tag::Array | Tag::Any))?;
        elements.push(read_payload(reader, tag)?);
    }
    Some(Array { element_type, elements: elements.into() })
}

fn zeros(reader: &mut Reader<'_>, count: usize) -> Option<()> {
    reader.take(count)?.iter().all(|&byte| byte == 0).then_some(())
}

fn write_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a value that came through OPC UA is shorter than 4 GiB");
    out.extend(len.to_le_bytes());
}

fn read_len(reader: &mut Reader<'_>) -> Option<usize> {
    usize::try_from(reader.bits(4)?).ok()
}

pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn read_bytes<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = read_len(reader)?;
    reader.take(len)
}

pub(super) fn read_text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    std::str::from_utf8(read_bytes(reader)?).ok()
}
