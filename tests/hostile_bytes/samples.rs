//! Samples of every kind, and among them those that compress best.

use std::sync::Arc;

use uatwin::{
    sample::{Array, Sample, StatusCode, Value},
    time::Timestamp,
};

use super::Random;

const KINDS: usize = 14;

pub(crate) fn value(random: &mut Random, kind: usize) -> Value {
    let bits = random.next();
    match kind {
        0 => Value::Double(f64::from_bits(bits)),
        1 => Value::Double((bits % 1000) as f64 * 0.01),
        2 => Value::Int32(bits as i32),
        3 => Value::UInt64(bits),
        4 => Value::Boolean(bits.is_multiple_of(2)),
        5 => Value::Float(f32::from_bits(bits as u32)),
        6 => Value::String("x".repeat(random.below(40) / 8).into()),
        7 => Value::ByteString(random.bytes((bits % 40) as usize).into()),
        8 => Value::LocalizedText(Arc::new(("e".repeat(random.below(2)), "y".repeat(random.below(2))))),
        9 => Value::Int16(bits as i16),
        10 => Value::StatusCode(StatusCode::from(bits as u32)),
        11 => array(random, 6),
        12 => Value::SByte((bits % 5) as i8),
        _ => Value::Null,
    }
}

/// Of nulls, single letters or Booleans, or of all.
pub(crate) fn array(random: &mut Random, len_max: usize) -> Value {
    let (kind, len) = (random.below(4), random.below(len_max));
    let element = |random: &mut Random| match if kind == 3 { random.below(4) } else { kind } {
        0 => Value::Null,
        1 => Value::String("x".into()),
        2 => Value::Boolean(true),
        _ => value(random, 8),
    };
    Value::Array(Arc::new(Array { element_type: 12, elements: (0..len).map(|_| element(random)).collect() }))
}

pub(crate) fn one(random: &mut Random) -> Sample {
    let kind = random.below(KINDS);
    Sample {
        source_timestamp: Timestamp::from_ticks(random.next() as i64),
        server_timestamp: Timestamp::from_ticks(random.next() as i64),
        status: StatusCode::from(random.next() as u32),
        value: value(random, kind),
    }
}

/// Of one kind or mixed, on a steady clock or not.
pub(crate) fn wild(random: &mut Random) -> Vec<Sample> {
    let (kind, is_mixed, is_regular) = (random.below(KINDS), random.below(4) == 0, random.below(2) == 0);
    let count = [1, 2, 100, 1024, 8192][random.below(5)];
    let mut at = random.next() as i64 >> 2;
    (0..count)
        .map(|_| {
            at += if is_regular { 10_000_000 } else { 1 + (random.next() >> 20) as i64 };
            let kind = if is_mixed { random.below(KINDS) } else { kind };
            let status = if is_regular { 0 } else { random.next() as u32 & 0xc000_0000 };
            Sample {
                source_timestamp: Timestamp::from_ticks(at),
                server_timestamp: Timestamp::from_ticks(if is_regular { at } else { random.next() as i64 }),
                status: StatusCode::from(status),
                value: value(random, kind),
            }
        })
        .collect()
}

/// In time and in value as regular as can be, but for something: what compresses to almost nothing.
pub(crate) fn regular(random: &mut Random) -> Vec<Sample> {
    let count = [1024, 8192][random.below(2)];
    let (gap, late, change) = (random.below(3 * count), random.below(3 * count), random.below(3 * count));
    let (kind, types, period) = (random.below(8), random.below(5), 2 + random.below(30));
    let texts: Vec<Value> = (0..period).map(|index| Value::String("x".repeat(index / 2).into())).collect();
    let arrays: Vec<Value> = (0..3).map(|_| array(random, 50)).collect();
    let noise: Vec<u64> = (0..period).map(|_| random.next()).collect();
    let number = |number: u64| match types {
        0 => Value::Double(number as f64),
        1 => Value::Int32(number as i32),
        2 => Value::UInt64(number),
        3 => Value::Boolean(number.is_multiple_of(2)),
        _ => Value::UInt16(number as u16),
    };
    let value = |index: usize| match kind {
        0 => number(u64::from(index > change)),
        1 => number(7 * index as u64),
        2 => number((index % period) as u64),
        3 => number(noise[index % period]),
        4 => texts[index % period].clone(),
        5 => arrays[index % 3].clone(),
        6 if index.is_multiple_of(period) => number(5),
        _ => Value::Null,
    };
    (0..count)
        .map(|index| {
            let at = 10_000_000 * (index + usize::from(index > gap)) as i64;
            Sample {
                source_timestamp: Timestamp::from_ticks(at),
                server_timestamp: Timestamp::from_ticks(at + i64::from(index > late)),
                status: StatusCode::Good,
                value: value(index),
            }
        })
        .collect()
}
