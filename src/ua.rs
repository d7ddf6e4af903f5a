//! Between our words and OPC UA's: `Sample` ↔ DataValue, `Value` ↔ Variant, `Timestamp` ↔ DateTime. The only translation,
//! used by both sides of the service; lossless for what [`Value`] can hold.
//!
//! What it cannot hold (matrices, structures, NodeIds, Guids, …) comes in as no value with `Bad_TypeMismatch` unless the
//! source's own status was already Bad. Picoseconds are dropped: a [`Timestamp`] is a whole DateTime.

use std::sync::Arc;

use opcua::types::{
    ByteString, DataTypeId, DataValue, DateTime, LocalizedText, NodeId, UAString, Variant, VariantScalarTypeId,
};

use crate::{
    sample::{Array, Sample, StatusCode, Value, worse},
    time::Timestamp,
};

/// The last second of the year 9999, the end of time. The library has it too, but works it out anew each time.
const END_TICKS: i64 = 2_650_467_743_990_000_000;

/// As the wire has it. The ends of the range are the wire's own: 0 is null, beyond the year 9999 is `MaxValue`.
#[must_use]
pub fn date_time(time: Timestamp) -> DateTime {
    DateTime::from(time.ticks().clamp(0, END_TICKS))
}

/// The same as a number (OPC 10000-6 §5.2.2.5): the end of time and beyond is the largest one.
#[must_use]
pub fn ticks(time: Timestamp) -> i64 {
    if time.ticks() >= END_TICKS { i64::MAX } else { time.ticks().max(0) }
}

/// From the wire.
#[must_use]
pub fn timestamp(time: DateTime) -> Timestamp {
    Timestamp::from_ticks(time.checked_ticks())
}

/// The null DateTime means "not given" and is left out of DataValues.
#[must_use]
pub fn given(time: Timestamp) -> Option<DateTime> {
    (!time.is_null()).then(|| date_time(time))
}

/// A value as a Variant.
#[must_use]
pub fn variant(value: &Value) -> Variant {
    match value {
        Value::Null => Variant::Empty,
        Value::Boolean(x) => Variant::Boolean(*x),
        Value::SByte(x) => Variant::SByte(*x),
        Value::Byte(x) => Variant::Byte(*x),
        Value::Int16(x) => Variant::Int16(*x),
        Value::UInt16(x) => Variant::UInt16(*x),
        Value::Int32(x) => Variant::Int32(*x),
        Value::UInt32(x) => Variant::UInt32(*x),
        Value::Int64(x) => Variant::Int64(*x),
        Value::UInt64(x) => Variant::UInt64(*x),
        Value::Float(x) => Variant::Float(*x),
        Value::Double(x) => Variant::Double(*x),
        Value::String(x) => Variant::String(UAString::from(x.as_ref())),
        Value::DateTime(x) => Variant::DateTime(Box::new(date_time(*x))),
        Value::ByteString(x) => Variant::ByteString(ByteString::from(x.to_vec())),
        Value::LocalizedText(x) => Variant::LocalizedText(Box::new(LocalizedText::new(&x.0, &x.1))),
        Value::StatusCode(x) => Variant::StatusCode(*x),
        Value::Array(x) => array_variant(x),
    }
}

/// An element without a value (a null text) becomes its type's null: an array has no holes (OPC 10000-6 §5.2.2.16).
fn array_variant(array: &Array) -> Variant {
    let Ok(value_type) = VariantScalarTypeId::try_from(u32::from(array.element_type)) else { return Variant::Empty };
    let null = match value_type {
        VariantScalarTypeId::ByteString => Variant::ByteString(ByteString::null()),
        VariantScalarTypeId::LocalizedText => Variant::LocalizedText(Box::new(LocalizedText::null())),
        _ => Variant::String(UAString::null()),
    };
    let element = |value: &Value| match value_type {
        VariantScalarTypeId::Variant => Variant::Variant(Box::new(variant(value))),
        _ if value.is_null() => null.clone(),
        _ => variant(value),
    };
    let elements: Vec<Variant> = array.elements.iter().map(element).collect();
    opcua::types::Array::new(value_type, elements).map_or(Variant::Empty, |array| Variant::Array(Box::new(array)))
}

/// One dimension, and elements that [`Value`] can hold.
fn array(array: &opcua::types::Array) -> Option<Array> {
    if array.dimensions.as_ref().is_some_and(|dimensions| dimensions.len() > 1) {
        return None;
    }
    let element_type = u8::try_from(array.value_type as u32).ok()?;
    self::element_type(element_type)?;
    let elements = array.values.iter().map(value).collect::<Option<Box<[Value]>>>()?;
    Some(Array { element_type, elements })
}

/// A Variant as a value; `None`: nothing that [`Value`] can hold. Null strings and the like are `Null`.
#[must_use]
pub fn value(variant: &Variant) -> Option<Value> {
    Some(match variant {
        Variant::Empty => Value::Null,
        Variant::Boolean(x) => Value::Boolean(*x),
        Variant::SByte(x) => Value::SByte(*x),
        Variant::Byte(x) => Value::Byte(*x),
        Variant::Int16(x) => Value::Int16(*x),
        Variant::UInt16(x) => Value::UInt16(*x),
        Variant::Int32(x) => Value::Int32(*x),
        Variant::UInt32(x) => Value::UInt32(*x),
        Variant::Int64(x) => Value::Int64(*x),
        Variant::UInt64(x) => Value::UInt64(*x),
        Variant::Float(x) => Value::Float(*x),
        Variant::Double(x) => Value::Double(*x),
        Variant::String(x) => x.value().as_deref().map_or(Value::Null, |text| Value::String(Arc::from(text))),
        Variant::DateTime(x) => Value::DateTime(timestamp(**x)),
        Variant::ByteString(x) => x.value.as_deref().map_or(Value::Null, |bytes| Value::ByteString(Arc::from(bytes))),
        Variant::LocalizedText(x) if x.text.is_null() && x.locale.is_null() => Value::Null,
        Variant::LocalizedText(x) => {
            Value::LocalizedText(Arc::new((x.locale.as_ref().to_owned(), x.text.as_ref().to_owned())))
        }
        Variant::StatusCode(x) => Value::StatusCode(*x),
        Variant::Array(x) => Value::Array(Arc::new(array(x)?)),
        _ => return None,
    })
}

/// A sample as a DataValue with both timestamps, all 32 bits of its status and, where it is Bad, no value
/// (a stale number under a Bad status would be taken for a measurement; history keeps it).
#[must_use]
pub fn live_data_value(sample: &Sample, server_timestamp: Timestamp) -> DataValue {
    let bad = sample.status.is_bad();
    DataValue {
        value: Some(if bad { Variant::Empty } else { variant(&sample.value) }),
        server_timestamp: given(server_timestamp),
        ..stamped(sample)
    }
}

/// A sample as a DataValue just as it was stored: a Bad one keeps its number.
#[must_use]
pub fn data_value(sample: &Sample) -> DataValue {
    DataValue { value: Some(variant(&sample.value)), ..stamped(sample) }
}

fn stamped(sample: &Sample) -> DataValue {
    DataValue {
        status: Some(sample.status),
        source_timestamp: given(sample.source_timestamp),
        server_timestamp: given(sample.server_timestamp),
        ..DataValue::default()
    }
}

/// A DataValue as a sample. An absent status is Good (OPC 10000-6 §5.2.2.17); where the source gave no time, the
/// server's counts, else `received`.
#[must_use]
pub fn sample(data_value: &DataValue, received: Timestamp) -> Sample {
    let status = data_value.status.unwrap_or(StatusCode::Good);
    let server_timestamp = data_value.server_timestamp.map_or(Timestamp::NULL, timestamp);
    let source_timestamp = [data_value.source_timestamp.map_or(Timestamp::NULL, timestamp), server_timestamp]
        .into_iter()
        .find(|time| !time.is_null())
        .unwrap_or(received);
    let (value, status) = match data_value.value.as_ref().map(value) {
        None => (Value::Null, status),
        Some(Some(value)) => (value, status),
        Some(None) => (Value::Null, worse(status, StatusCode::BadTypeMismatch)),
    };
    Sample { source_timestamp, server_timestamp, status, value }
}

/// The value as the given built-in type where no information is lost (an integer where a float is meant, and back where
/// the float is whole and in range), else `None`.
#[must_use]
pub fn convert(value: &Value, data_type: DataTypeId) -> Option<Value> {
    let converted = match data_type {
        DataTypeId::Double => Value::Double(value.as_f64()?),
        DataTypeId::Float => {
            #[expect(clippy::cast_possible_truncation, reason = "what was lost is found below")]
            let narrow = value.as_f64()? as f32;
            Value::Float(narrow)
        }
        DataTypeId::SByte => Value::SByte(whole(value)?.try_into().ok()?),
        DataTypeId::Byte => Value::Byte(whole(value)?.try_into().ok()?),
        DataTypeId::Int16 => Value::Int16(whole(value)?.try_into().ok()?),
        DataTypeId::UInt16 => Value::UInt16(whole(value)?.try_into().ok()?),
        DataTypeId::Int32 => Value::Int32(whole(value)?.try_into().ok()?),
        DataTypeId::UInt32 => Value::UInt32(whole(value)?.try_into().ok()?),
        DataTypeId::Int64 => Value::Int64(whole(value)?.try_into().ok()?),
        DataTypeId::UInt64 => Value::UInt64(whole(value)?.try_into().ok()?),
        _ => return (data_type_of(value) == Some(data_type)).then(|| value.clone()),
    };
    let lossless = match (value, &converted) {
        (Value::Boolean(_), _) => false,
        (Value::Double(x), Value::Float(y)) => x.is_nan() || f64::from(*y) == *x,
        (_, Value::Double(_) | Value::Float(_)) => match whole(value) {
            #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
            Some(n) => converted.as_f64().is_some_and(|x| x as i128 == n),
            None => true,
        },
        _ => true,
    };
    lossless.then_some(converted)
}

/// The whole number behind a value.
fn whole(value: &Value) -> Option<i128> {
    Some(match *value {
        Value::SByte(x) => x.into(),
        Value::Byte(x) => x.into(),
        Value::Int16(x) => x.into(),
        Value::UInt16(x) => x.into(),
        Value::Int32(x) => x.into(),
        Value::UInt32(x) => x.into(),
        Value::Int64(x) => x.into(),
        Value::UInt64(x) => x.into(),
        Value::Float(_) | Value::Double(_) => {
            let x = value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e30)?;
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 1e30, i128 reaches 1.7e38")]
            let n = x as i128;
            n
        }
        _ => return None,
    })
}

/// The built-in type of a value, of an array's elements; `None`: no value.
#[must_use]
pub fn data_type_of(value: &Value) -> Option<DataTypeId> {
    Some(match value {
        Value::Null => return None,
        Value::Boolean(_) => DataTypeId::Boolean,
        Value::SByte(_) => DataTypeId::SByte,
        Value::Byte(_) => DataTypeId::Byte,
        Value::Int16(_) => DataTypeId::Int16,
        Value::UInt16(_) => DataTypeId::UInt16,
        Value::Int32(_) => DataTypeId::Int32,
        Value::UInt32(_) => DataTypeId::UInt32,
        Value::Int64(_) => DataTypeId::Int64,
        Value::UInt64(_) => DataTypeId::UInt64,
        Value::Float(_) => DataTypeId::Float,
        Value::Double(_) => DataTypeId::Double,
        Value::String(_) => DataTypeId::String,
        Value::DateTime(_) => DataTypeId::DateTime,
        Value::ByteString(_) => DataTypeId::ByteString,
        Value::LocalizedText(_) => DataTypeId::LocalizedText,
        Value::StatusCode(_) => DataTypeId::StatusCode,
        Value::Array(array) => return element_type(array.element_type),
    })
}

const fn element_type(id: u8) -> Option<DataTypeId> {
    Some(match id {
        1 => DataTypeId::Boolean,
        2 => DataTypeId::SByte,
        3 => DataTypeId::Byte,
        4 => DataTypeId::Int16,
        5 => DataTypeId::UInt16,
        6 => DataTypeId::Int32,
        7 => DataTypeId::UInt32,
        8 => DataTypeId::Int64,
        9 => DataTypeId::UInt64,
        10 => DataTypeId::Float,
        11 => DataTypeId::Double,
        12 => DataTypeId::String,
        13 => DataTypeId::DateTime,
        15 => DataTypeId::ByteString,
        19 => DataTypeId::StatusCode,
        21 => DataTypeId::LocalizedText,
        _ => return None,
    })
}

/// A standard data type's NodeId.
#[must_use]
pub fn data_type_id(data_type: DataTypeId) -> NodeId {
    data_type.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_value() -> Vec<Value> {
        vec![
            Value::Null,
            Value::Boolean(true),
            Value::SByte(i8::MIN),
            Value::Byte(u8::MAX),
            Value::Int16(i16::MIN),
            Value::UInt16(u16::MAX),
            Value::Int32(i32::MIN),
            Value::UInt32(u32::MAX),
            Value::Int64(i64::MIN),
            Value::UInt64(u64::MAX),
            Value::Float(f32::MIN_POSITIVE),
            Value::Double(-0.1),
            Value::String("Ofen ϑ".into()),
            Value::DateTime(Timestamp::from_unix_s(1.5)),
            Value::ByteString([0u8, 255].as_slice().into()),
            Value::LocalizedText(Arc::new(("de".into(), "Grad".into()))),
            Value::StatusCode(StatusCode::BadNoData),
            Value::Array(Arc::new(Array { element_type: 11, elements: [].into() })),
            Value::Array(Arc::new(Array {
                element_type: 11,
                elements: [Value::Double(0.5), Value::Double(-0.0)].into(),
            })),
            Value::Array(Arc::new(Array {
                element_type: 12,
                elements: [Value::Null, Value::String("é".into())].into(),
            })),
        ]
    }

    #[test]
    fn every_value_and_all_status_bits_survive_both_ways() {
        for value in every_value() {
            let given = Sample {
                source_timestamp: Timestamp::from_ticks(133_000_000_000_000_001),
                server_timestamp: Timestamp::from_ticks(133_000_000_000_000_007),
                status: StatusCode::from(0x4054_0580),
                value,
            };
            assert_eq!(sample(&data_value(&given), Timestamp::NULL), given);
        }
    }

    #[test]
    fn bad_live_values_are_null_and_bad_history_is_not() {
        let bad = Sample { status: StatusCode::BadOutOfRange, ..Sample::good(Timestamp::from_ticks(5), 3.0) };
        assert_eq!(live_data_value(&bad, Timestamp::from_ticks(9)).value, Some(Variant::Empty));
        assert_eq!(data_value(&bad).value, Some(Variant::Double(3.0)));
    }

    #[test]
    fn what_we_cannot_hold_is_bad_and_a_worse_reason_is_kept() {
        let matrix =
            opcua::types::Array::new_multi(VariantScalarTypeId::Double, vec![Variant::Double(1.0)], vec![1, 1]);
        let matrix = Variant::Array(Box::new(matrix.unwrap()));
        let matrix = DataValue { value: Some(matrix), ..DataValue::default() };
        let ours = sample(&matrix, Timestamp::from_ticks(3));
        assert_eq!((ours.status, ours.value), (StatusCode::BadTypeMismatch, Value::Null));
        let down = DataValue { status: Some(StatusCode::BadNoCommunication), ..matrix };
        assert_eq!(sample(&down, Timestamp::NULL).status, StatusCode::BadNoCommunication);
    }

    #[test]
    fn a_sample_without_time_takes_the_servers_or_ours() {
        let at = |ticks| Some(date_time(Timestamp::from_ticks(ticks)));
        let value = DataValue { value: Some(Variant::Double(1.0)), ..DataValue::default() };
        assert_eq!(sample(&value, Timestamp::from_ticks(9)).source_timestamp, Timestamp::from_ticks(9));
        let served = DataValue { server_timestamp: at(4), source_timestamp: at(0), ..value };
        assert_eq!(sample(&served, Timestamp::from_ticks(9)).source_timestamp, Timestamp::from_ticks(4));
        assert_eq!(sample(&served, Timestamp::NULL).status, StatusCode::Good);
    }

    #[test]
    fn the_ends_of_time_stay_inside_the_wire() {
        assert_eq!(END_TICKS, DateTime::endtimes_ticks());
        assert_eq!(timestamp(date_time(Timestamp::MAX)), timestamp(DateTime::endtimes()));
        assert_eq!(timestamp(date_time(Timestamp::from_ticks(-5))), Timestamp::NULL);
        assert!(date_time(Timestamp::NULL).is_null());
    }

    #[test]
    fn numbers_convert_only_without_loss() {
        let check = |value: Value, to, expected: Option<Value>| assert_eq!(convert(&value, to), expected, "{value:?}");
        check(Value::Int32(5), DataTypeId::Double, Some(Value::Double(5.0)));
        check(Value::Double(5.0), DataTypeId::UInt32, Some(Value::UInt32(5)));
        check(Value::Double(5.5), DataTypeId::UInt32, None);
        check(Value::Double(-1.0), DataTypeId::UInt32, None);
        check(Value::Int64((1 << 53) + 1), DataTypeId::Double, None);
        check(Value::UInt64(1 << 60), DataTypeId::Double, Some(Value::Double((1u64 << 60) as f64)));
        check(Value::Double(0.1), DataTypeId::Float, None);
        check(Value::Float(0.5), DataTypeId::Double, Some(Value::Double(0.5)));
        check(Value::Boolean(true), DataTypeId::Double, None);
        check(Value::String("5".into()), DataTypeId::Double, None);
        check(Value::String("5".into()), DataTypeId::String, Some(Value::String("5".into())));
        check(Value::Null, DataTypeId::Double, None);
    }
}
