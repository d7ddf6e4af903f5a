//! The values of a block: held ones each once, others through `pco`. Pure.

use std::collections::HashMap;

use pco::DeltaSpec;

use super::{
    block::{BlockError, TIMES},
    bytes::{Reader, write_varint},
    packed::{Packed, pack, unpack},
    page::{Encoded, Encoding, write_column},
    tag::{Tag, bits_of, value_of},
    value_bytes::{read_value, write_value},
    values::{Held, Values},
};

/// A held value has a length and a place or bits.
const HELD_BYTES_MIN: usize = 2;
const _: () = assert!(size_of::<Held>() <= HELD_BYTES_MIN * TIMES, "what is read is at most so many times as big");
/// A value has a tag and something behind it.
const VALUE_BYTES_MIN: usize = 2;
/// Below this, held values are not worth the time of looking for something shorter.
const HELD_BYTES_FEW: usize = 64;

pub(super) fn write(out: &mut Vec<u8>, values: &Values) {
    match values {
        Values::Held(Tag::Any, held) => write_column(out, Encoding::Dictionary, &dictionary(held)),
        Values::Held(tag, held) => {
            let bytes = held_bytes(*tag, held);
            if bytes.len() > HELD_BYTES_FEW {
                let memory = values.len() * tag.width().unwrap_or(0);
                let (encoding, packed) = pack_values(&values.wide());
                // Its block must be as long as what it takes in memory asks for.
                if packed.len().max(memory / TIMES) < bytes.len() {
                    return write_column(out, encoding, &packed);
                }
            }
            write_column(out, Encoding::Held, &bytes);
        }
        wide => {
            let (encoding, packed) = pack_values(wide);
            write_column(out, encoding, &packed);
        }
    }
}

pub(super) fn read((encoding, bytes): Encoded<'_>, tag: Tag, count: usize) -> Result<Values, BlockError> {
    let values = match encoding {
        Encoding::Held => read_held(bytes, tag, count).map(|held| Values::Held(tag, held)),
        Encoding::Dictionary if tag == Tag::Any => read_dictionary(bytes, count).map(|held| Values::Held(tag, held)),
        _ => unpack_values(encoding, bytes, tag, count),
    };
    values.ok_or(BlockError::Malformed("value"))
}

/// As each type's own numbers: floats compress better as such.
fn pack_values(values: &Values) -> (Encoding, Vec<u8>) {
    fn packed<T: Copy, N: Packed>(column: &[T], number: impl Fn(T) -> N) -> (Encoding, Vec<u8>) {
        let numbers: Vec<N> = column.iter().map(|&bits| number(bits)).collect();
        (N::ENCODING, pack(&numbers, DeltaSpec::Auto))
    }
    match values {
        Values::W1(Tag::SByte, column) => packed(column, u8::cast_signed),
        Values::W1(_, column) => packed(column, |x| x),
        Values::W2(Tag::Int16, column) => packed(column, u16::cast_signed),
        Values::W2(_, column) => packed(column, |x| x),
        Values::W4(Tag::Int32, column) => packed(column, u32::cast_signed),
        Values::W4(Tag::Float, column) => packed(column, f32::from_bits),
        Values::W4(_, column) => packed(column, |x| x),
        Values::W8(Tag::Int64 | Tag::DateTime, column) => packed(column, u64::cast_signed),
        Values::W8(Tag::Double, column) => packed(column, f64::from_bits),
        Values::W8(_, column) => packed(column, |x| x),
        Values::Held(..) => unreachable!("held values have been given each its own place"),
    }
}

/// The inverse of [`pack_values`]. Numbers become bits where they are: the same width, no second column.
fn unpack_values(encoding: Encoding, bytes: &[u8], tag: Tag, count: usize) -> Option<Values> {
    fn unpacked<N: Packed, T>(bytes: &[u8], count: usize, bits: impl Fn(N) -> T) -> Option<Vec<T>> {
        Some(unpack::<N>(bytes, count)?.into_iter().map(bits).collect())
    }
    Some(match (tag, encoding) {
        (Tag::SByte, Encoding::I8) => Values::W1(tag, unpacked(bytes, count, i8::cast_unsigned)?),
        (Tag::Boolean | Tag::Byte, Encoding::U8) => Values::W1(tag, unpack(bytes, count)?),
        (Tag::Int16, Encoding::I16) => Values::W2(tag, unpacked(bytes, count, i16::cast_unsigned)?),
        (Tag::UInt16, Encoding::U16) => Values::W2(tag, unpack(bytes, count)?),
        (Tag::Int32, Encoding::I32) => Values::W4(tag, unpacked(bytes, count, i32::cast_unsigned)?),
        (Tag::Float, Encoding::F32) => Values::W4(tag, unpacked(bytes, count, f32::to_bits)?),
        (Tag::UInt32 | Tag::StatusCode, Encoding::U32) => Values::W4(tag, unpack(bytes, count)?),
        (Tag::Int64 | Tag::DateTime, Encoding::I64) => Values::W8(tag, unpacked(bytes, count, i64::cast_unsigned)?),
        (Tag::Double, Encoding::F64) => Values::W8(tag, unpacked(bytes, count, f64::to_bits)?),
        (Tag::UInt64, Encoding::U64) => Values::W8(tag, unpack(bytes, count)?),
        _ => return None,
    })
}

/// Varint how many; of each varint for how many samples, and its bits. (No value at all: none.)
fn held_bytes(tag: Tag, held: &[Held]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_varint(&mut bytes, held.len() as u64);
    let mut start = 0;
    for Held { value, end } in held {
        write_varint(&mut bytes, u64::from(end - start));
        bytes.extend_from_slice(&bits_of(value).1.to_le_bytes()[..tag.width().unwrap_or(0)]);
        start = *end;
    }
    bytes
}

fn read_held(bytes: &[u8], tag: Tag, count: usize) -> Option<Vec<Held>> {
    let mut reader = Reader::new(bytes);
    let runs = usize::try_from(reader.varint()?).ok()?;
    let mut held = reader.room_for(runs, HELD_BYTES_MIN)?;
    let mut end = 0;
    for _ in 0..runs {
        end = end_of_run(&mut reader, end, count)?;
        held.push(Held { value: value_of(tag, reader.bits(tag.width()?)?), end });
    }
    (reader.is_empty() && end as usize == count).then_some(held)
}

/// Where the run ends that begins at `start`.
fn end_of_run(reader: &mut Reader<'_>, start: u32, count: usize) -> Option<u32> {
    let len = u32::try_from(reader.varint()?).ok().filter(|&len| len > 0)?;
    start.checked_add(len).filter(|&end| end as usize <= count)
}

/// Distinct values in order of appearance (varint how many, then each); varint how many are held, and of each varint which
/// and varint for how many samples.
fn dictionary(held: &[Held]) -> Vec<u8> {
    let mut known: HashMap<Vec<u8>, u64> = HashMap::new();
    let (mut entries, mut runs, mut start) = (Vec::new(), Vec::new(), 0);
    for Held { value, end } in held {
        let mut entry = Vec::new();
        write_value(&mut entry, value);
        let next = known.len() as u64;
        let index = *known.entry(entry).or_insert_with_key(|entry| {
            entries.extend_from_slice(entry);
            next
        });
        write_varint(&mut runs, index);
        write_varint(&mut runs, u64::from(end - start));
        start = *end;
    }
    let mut bytes = Vec::with_capacity(entries.len() + runs.len() + 6);
    write_varint(&mut bytes, known.len() as u64);
    bytes.extend(entries);
    write_varint(&mut bytes, held.len() as u64);
    bytes.extend(runs);
    bytes
}

fn read_dictionary(bytes: &[u8], count: usize) -> Option<Vec<Held>> {
    let mut reader = Reader::new(bytes);
    let distinct = usize::try_from(reader.varint()?).ok()?;
    let mut known = reader.room_for(distinct, VALUE_BYTES_MIN)?;
    for _ in 0..distinct {
        known.push(read_value(&mut reader)?);
    }
    let runs = usize::try_from(reader.varint()?).ok()?;
    let mut held = reader.room_for(runs, HELD_BYTES_MIN)?;
    let mut end = 0;
    for _ in 0..runs {
        let value = known.get(usize::try_from(reader.varint()?).ok()?)?.clone();
        end = end_of_run(&mut reader, end, count)?;
        held.push(Held { value, end });
    }
    (reader.is_empty() && end as usize == count).then_some(held)
}
