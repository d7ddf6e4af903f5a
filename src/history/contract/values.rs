//! What is stored comes back to the bit.

use super::*;
use crate::{
    history::columns,
    sample::{Array, StatusCode, Value},
};

fn values() -> Vec<Value> {
    let text = "x".repeat(40_000);
    vec![
        Value::Null,
        Value::Boolean(true),
        Value::SByte(-128),
        Value::Byte(255),
        Value::Int16(i16::MIN),
        Value::UInt16(u16::MAX),
        Value::Int32(i32::MIN),
        Value::UInt32(u32::MAX),
        Value::Int64(i64::MIN),
        Value::UInt64(u64::MAX),
        Value::Float(f32::from_bits(0x7fc0_1234)),
        Value::Double(f64::from_bits(0xfff4_0000_dead_beef)),
        Value::String("grün".into()),
        // Longer than a log record.
        Value::String(text.into()),
        Value::DateTime(at(i64::MAX)),
        Value::ByteString([0, 1, 255].as_slice().into()),
        Value::LocalizedText(std::sync::Arc::new(("de".into(), "Füllstand".into()))),
        Value::StatusCode(StatusCode::from(0xffff_ffff)),
        Value::Array(std::sync::Arc::new(Array { element_type: 12, elements: [].into() })),
        Value::Array(std::sync::Arc::new(Array {
            element_type: 12,
            elements: [Value::String("".into()), Value::String("y".repeat(20_000).into()), Value::Null].into(),
        })),
    ]
}

/// NaN payloads included.
fn assert_same(a: &[Sample], b: &[Sample]) {
    assert_eq!(format!("{:?}", bits(a)), format!("{:?}", bits(b)));
}

/// Timestamps, status, value as bits, value where bits do not tell it.
type Bits<'a> = (i64, i64, u32, (columns::Tag, u64), Option<&'a Value>);

fn bits(samples: &[Sample]) -> Vec<Bits<'_>> {
    let whole = |value: &Value| columns::bits_of(value).0.width().is_none();
    samples
        .iter()
        .map(|sample| {
            let value = Some(&sample.value).filter(|value| whole(value));
            let (source, server) = (sample.source_timestamp.ticks(), sample.server_timestamp.ticks());
            (source, server, sample.status.bits(), columns::bits_of(&sample.value), value)
        })
        .collect()
}

#[test]
fn every_type_every_status_bit_and_both_times_come_back_as_they_were() {
    let status = [0, 0xffff_ffff, 0x8031_0000, 0x4000_0480, 0x0000_0c00];
    for (kind, value) in values().into_iter().enumerate() {
        let samples: Vec<Sample> = (0..20)
            .map(|i| Sample {
                source_timestamp: at(i * 1_000_003 + kind as i64),
                server_timestamp: at([0, i * 1_000_003 + 7, i64::MIN, i64::MAX][(i % 4) as usize]),
                status: StatusCode::from(status[(i % 5) as usize]),
                value: if i % 3 == 2 { Value::Null } else { value.clone() },
            })
            .collect();
        check(|store| {
            append(store, A, samples.clone());
            assert_same(&all(store, A), &samples);
        });
    }
}

#[test]
fn a_series_may_change_its_type() {
    check(|store| {
        let samples: Vec<Sample> =
            values().into_iter().enumerate().map(|(i, value)| Sample { value, ..good(i as i64, 0.0) }).collect();
        append(store, A, samples.clone());
        append(store, B, (0..30).map(|i| good(i, 0.5)));
        append(store, B, (30..60).map(|i| Sample { value: Value::Int16(3), ..good(i, 0.0) }));
        assert_same(&all(store, A), &samples);
        assert_eq!(all(store, B)[29].value, Value::Double(0.5));
        assert_eq!(all(store, B)[30].value, Value::Int16(3));
    });
}
