//! The encodings of a block's columns. Numbers go through `pco`; texts through a dictionary of the distinct ones. Pure.

use std::{collections::HashMap, sync::Arc};

use pco::{
    ChunkConfig, DeltaSpec,
    data_types::Number,
    standalone::{simple_compress, simple_decompress_into},
};

use super::{
    block::BlockError,
    bytes::{Reader, write_varint},
    columns::{Tag, Values, bits_of, value_of},
    page::write_column,
};
use crate::sample::{Array, Value};

/// How a column's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Encoding {
    /// As they are.
    Raw = 0,
    /// One value for all.
    Constant = 1,
    /// pco of each type.
    I32 = 2,
    I64 = 3,
    U32 = 4,
    U64 = 5,
    F32 = 6,
    F64 = 7,
    /// Distinct values, then indices.
    Dictionary = 8,
    /// The first, then the same difference from each to the next.
    Step = 9,
}

impl Encoding {
    pub(super) fn from_byte(byte: u8) -> Result<Self, BlockError> {
        Ok(match byte {
            0 => Self::Raw,
            1 => Self::Constant,
            2 => Self::I32,
            3 => Self::I64,
            4 => Self::U32,
            5 => Self::U64,
            6 => Self::F32,
            7 => Self::F64,
            8 => Self::Dictionary,
            9 => Self::Step,
            _ => return Err(BlockError::Malformed("encoding")),
        })
    }
}

pub(super) trait Packed: Number + Default {
    const ENCODING: Encoding;
}
impl Packed for i32 {
    const ENCODING: Encoding = Encoding::I32;
}
impl Packed for i64 {
    const ENCODING: Encoding = Encoding::I64;
}
impl Packed for u32 {
    const ENCODING: Encoding = Encoding::U32;
}
impl Packed for u64 {
    const ENCODING: Encoding = Encoding::U64;
}
impl Packed for f32 {
    const ENCODING: Encoding = Encoding::F32;
}
impl Packed for f64 {
    const ENCODING: Encoding = Encoding::F64;
}

/// Level 4: measured, level 8 gains 2 % of size and takes twice the time.
const LEVEL: usize = 4;

fn write_packed<T: Packed>(out: &mut Vec<u8>, numbers: &[T], delta: DeltaSpec) {
    let config = ChunkConfig::default().with_compression_level(LEVEL).with_delta_spec(delta);
    let bytes = simple_compress(numbers, &config).expect("compressing at most 8192 numbers to memory");
    write_column(out, T::ENCODING, &bytes);
}

pub(super) fn write_numbers<T: Packed>(out: &mut Vec<u8>, numbers: &[T]) {
    write_packed(out, numbers, DeltaSpec::Auto);
}

/// Exactly `count` numbers. The buffer is allocated here, by the count that the header bounds.
pub(super) fn read_numbers<T: Packed>(bytes: &[u8], count: usize) -> Option<Vec<T>> {
    let mut numbers = vec![T::default(); count];
    let progress = simple_decompress_into(bytes, &mut numbers).ok()?;
    (progress.n_processed == count && progress.finished).then_some(numbers)
}

/// A steady clock, as most series have, costs 16 bytes and no decoding.
pub(super) fn write_ticks(out: &mut Vec<u8>, ticks: &[i64]) {
    let first = ticks.first().copied().unwrap_or(0);
    let step = ticks.get(1).map_or(0, |second| second.wrapping_sub(first));
    if ticks.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..].copy_from_slice(&step.to_le_bytes());
        write_column(out, Encoding::Step, &bytes);
    } else {
        write_packed(out, ticks, DeltaSpec::TryConsecutive(1));
    }
}

pub(super) fn read_ticks((encoding, bytes): (Encoding, &[u8]), count: usize) -> Result<Vec<i64>, BlockError> {
    const MALFORMED: BlockError = BlockError::Malformed("time");
    match encoding {
        Encoding::I64 => read_numbers(bytes, count).ok_or(MALFORMED),
        Encoding::Step => {
            let bytes: [u8; 16] = bytes.try_into().map_err(|_| MALFORMED)?;
            let (first, step) = bytes.split_at(8);
            let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).map_err(|_| MALFORMED);
            let (first, step) = (number(first)?, number(step)?);
            Ok((0..count as i64).map(|index| first.wrapping_add(step.wrapping_mul(index))).collect())
        }
        _ => Err(MALFORMED),
    }
}

/// The one value of all, as bits, where there is one.
fn constant(values: &Values) -> Option<u64> {
    fn same<T: Copy + PartialEq + Into<u64>>(column: &[T]) -> Option<u64> {
        let first = *column.first()?;
        column.iter().all(|&x| x == first).then(|| first.into())
    }
    match values {
        Values::W1(_, column) => same(column),
        Values::W2(_, column) => same(column),
        Values::W4(_, column) => same(column),
        Values::W8(_, column) => same(column),
        Values::None | Values::Any(_) => None,
    }
}

#[expect(clippy::cast_possible_wrap, reason = "signed types keep their bits in unsigned columns")]
pub(super) fn write_values(out: &mut Vec<u8>, values: &Values) {
    if let Some(bits) = constant(values) {
        return write_column(out, Encoding::Constant, &bits.to_le_bytes());
    }
    match values {
        _ if values.len() == 0 => write_column(out, Encoding::Raw, &[]),
        Values::None => write_column(out, Encoding::Raw, &[]),
        Values::W1(Tag::SByte, column) => {
            write_numbers(out, &column.iter().map(|&x| i32::from(x as i8)).collect::<Vec<_>>());
        }
        Values::W1(_, column) => write_numbers(out, &column.iter().map(|&x| u32::from(x)).collect::<Vec<_>>()),
        Values::W2(Tag::Int16, column) => {
            write_numbers(out, &column.iter().map(|&x| i32::from(x as i16)).collect::<Vec<_>>());
        }
        Values::W2(_, column) => write_numbers(out, &column.iter().map(|&x| u32::from(x)).collect::<Vec<_>>()),
        Values::W4(Tag::Float, column) => {
            write_numbers(out, &column.iter().map(|&x| f32::from_bits(x)).collect::<Vec<_>>());
        }
        Values::W4(Tag::Int32, column) => write_numbers(out, &column.iter().map(|&x| x as i32).collect::<Vec<_>>()),
        Values::W4(_, column) => write_numbers(out, column),
        Values::W8(Tag::Double, column) => {
            write_numbers(out, &column.iter().map(|&x| f64::from_bits(x)).collect::<Vec<_>>());
        }
        Values::W8(Tag::UInt64, column) => write_numbers(out, column),
        Values::W8(_, column) => write_numbers(out, &column.iter().map(|&x| x as i64).collect::<Vec<_>>()),
        Values::Any(column) => write_dictionary(out, column),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the inverse of `write_values`; a number too wide for its tag loses bits, never memory"
)]
pub(super) fn read_values((encoding, bytes): (Encoding, &[u8]), tag: Tag, count: usize) -> Result<Values, BlockError> {
    const MALFORMED: BlockError = BlockError::Malformed("value");
    fn numbers<T: Packed>(bytes: &[u8], count: usize) -> Result<Vec<T>, BlockError> {
        read_numbers(bytes, count).ok_or(MALFORMED)
    }
    Ok(match (tag, encoding, tag.width()) {
        (_, Encoding::Raw, _) if count == 0 && bytes.is_empty() => Values::None,
        (_, Encoding::Constant, Some(width)) => {
            let bits = u64::from_le_bytes(bytes.try_into().map_err(|_| MALFORMED)?);
            match width {
                1 => Values::W1(tag, vec![bits as u8; count]),
                2 => Values::W2(tag, vec![bits as u16; count]),
                4 => Values::W4(tag, vec![bits as u32; count]),
                _ => Values::W8(tag, vec![bits; count]),
            }
        }
        (Tag::Any, Encoding::Dictionary, _) => Values::Any(read_dictionary(bytes, count).ok_or(MALFORMED)?),
        (_, Encoding::I32, Some(1)) => {
            Values::W1(tag, numbers::<i32>(bytes, count)?.iter().map(|&x| x as u8).collect())
        }
        (_, Encoding::U32, Some(1)) => {
            Values::W1(tag, numbers::<u32>(bytes, count)?.iter().map(|&x| x as u8).collect())
        }
        (_, Encoding::I32, Some(2)) => {
            Values::W2(tag, numbers::<i32>(bytes, count)?.iter().map(|&x| x as u16).collect())
        }
        (_, Encoding::U32, Some(2)) => {
            Values::W2(tag, numbers::<u32>(bytes, count)?.iter().map(|&x| x as u16).collect())
        }
        (Tag::Float, Encoding::F32, _) => {
            Values::W4(tag, numbers::<f32>(bytes, count)?.iter().map(|x| x.to_bits()).collect())
        }
        (_, Encoding::I32, Some(4)) => {
            Values::W4(tag, numbers::<i32>(bytes, count)?.iter().map(|&x| x as u32).collect())
        }
        (_, Encoding::U32, Some(4)) => Values::W4(tag, numbers(bytes, count)?),
        (Tag::Double, Encoding::F64, _) => {
            Values::W8(tag, numbers::<f64>(bytes, count)?.iter().map(|x| x.to_bits()).collect())
        }
        (_, Encoding::I64, Some(8)) => {
            Values::W8(tag, numbers::<i64>(bytes, count)?.iter().map(|&x| x as u64).collect())
        }
        (_, Encoding::U64, Some(8)) => Values::W8(tag, numbers(bytes, count)?),
        _ => return Err(MALFORMED),
    })
}

/// Distinct values in order of appearance (varint count, then each), then one varint index per value.
fn write_dictionary(out: &mut Vec<u8>, values: &[Value]) {
    let mut known: HashMap<Vec<u8>, u64> = HashMap::new();
    let (mut entries, mut indices) = (Vec::new(), Vec::new());
    for value in values {
        let mut entry = Vec::new();
        write_value(&mut entry, value);
        let next = known.len() as u64;
        let index = *known.entry(entry).or_insert_with_key(|entry| {
            entries.extend_from_slice(entry);
            next
        });
        write_varint(&mut indices, index);
    }
    let mut bytes = Vec::with_capacity(entries.len() + indices.len() + 4);
    write_varint(&mut bytes, known.len() as u64);
    bytes.extend(entries);
    bytes.extend(indices);
    write_column(out, Encoding::Dictionary, &bytes);
}

fn read_dictionary(bytes: &[u8], count: usize) -> Option<Vec<Value>> {
    let mut reader = Reader::new(bytes);
    let distinct = usize::try_from(reader.varint()?).ok().filter(|&distinct| distinct <= count)?;
    let known = (0..distinct).map(|_| read_value(&mut reader)).collect::<Option<Vec<_>>>()?;
    let values =
        (0..count).map(|_| known.get(usize::try_from(reader.varint()?).ok()?).cloned()).collect::<Option<Vec<_>>>()?;
    reader.is_empty().then_some(values)
}

/// A value of any type: its tag, then its bits at their width, or its length and bytes.
pub(super) fn write_value(out: &mut Vec<u8>, value: &Value) {
    let (tag, bits) = bits_of(value);
    out.push(tag as u8);
    match value {
        Value::String(text) => write_bytes(out, text.as_bytes()),
        Value::ByteString(bytes) => write_bytes(out, bytes),
        Value::LocalizedText(text) => {
            write_bytes(out, text.0.as_bytes());
            write_bytes(out, text.1.as_bytes());
        }
        Value::Array(array) => {
            out.push(array.element_type);
            write_varint(out, array.elements.len() as u64);
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

pub(super) fn read_payload(reader: &mut Reader<'_>, tag: Tag) -> Option<Value> {
    Some(match tag {
        Tag::Null => Value::Null,
        Tag::String => Value::String(Arc::from(read_text(reader)?)),
        Tag::ByteString => Value::ByteString(Arc::from(read_bytes(reader)?)),
        Tag::LocalizedText => {
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
    let mut elements = Vec::new();
    for _ in 0..reader.varint()? {
        let tag = Tag::from_byte(reader.byte()?).filter(|tag| !matches!(tag, Tag::Array | Tag::Any))?;
        elements.push(read_payload(reader, tag)?);
    }
    Some(Array { element_type, elements: elements.into() })
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn read_bytes<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = usize::try_from(reader.varint()?).ok()?;
    reader.take(len)
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    std::str::from_utf8(read_bytes(reader)?).ok()
}
