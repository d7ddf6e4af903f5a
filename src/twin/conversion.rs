//! What comes becomes what the variable is said to be: its DataType is what clients were told, whatever the PLC sends.
//!
//! A number becomes the nearest of the type, and is Bad_OutOfRange where that is not it but the end of the type; a Boolean is 0 or 1, and true
//! is any other number than 0; a LocalizedText is its text. What is of another kind (a text for a number, an array for a scalar) becomes
//! no value, Bad_TypeMismatch. A sample without a value stays so.

use std::sync::Arc;

use super::{DataType, Variable};
use crate::sample::{Array, Sample, StatusCode, Value, worse};

impl Variable {
    /// The sample with a value of the variable's type.
    #[must_use]
    pub fn fitted(&self, sample: Sample) -> Sample {
        let is_fitting = match &sample.value {
            Value::Null => true,
            Value::Array(array) => self.array && array.element_type == self.data_type.built_in(),
            value => !self.array && value.built_in() == self.data_type.built_in(),
        };
        if is_fitting {
            return sample;
        }
        let (value, status) = match &sample.value {
            Value::Array(array) if self.array => elements(array, self.data_type),
            value if !self.array => scalar(value, self.data_type),
            _ => MISMATCH,
        };
        Sample { value, status: worse(sample.status, status), ..sample }
    }
}

const MISMATCH: (Value, StatusCode) = (Value::Null, StatusCode::BadTypeMismatch);

fn elements(array: &Array, to: DataType) -> (Value, StatusCode) {
    let mut worst = StatusCode::Good;
    let element = |value: &Value| {
        let (value, status) = scalar(value, to);
        worst = worse(worst, status);
        value
    };
    let elements: Box<[Value]> = array.elements.iter().map(element).collect();
    if worst == StatusCode::BadTypeMismatch {
        return MISMATCH;
    }
    (Value::Array(Arc::new(Array { element_type: to.built_in(), elements })), worst)
}

fn scalar(value: &Value, to: DataType) -> (Value, StatusCode) {
    match (value, to) {
        (Value::LocalizedText(text), DataType::String) => (Value::from(text.1.as_str()), StatusCode::Good),
        (Value::String(text), DataType::LocalizedText) => {
            (Value::LocalizedText(Arc::new((String::new(), text.to_string()))), StatusCode::Good)
        }
        (value, DataType::Boolean) => match value.as_f64() {
            Some(x) => (Value::Boolean(x != 0.0), StatusCode::Good),
            None => MISMATCH,
        },
        (value, to) if to.is_numeric() => number(value, to),
        _ => MISMATCH,
    }
}

/// Integers go to integers without a detour: a Double holds 53 bits of them.
fn number(value: &Value, to: DataType) -> (Value, StatusCode) {
    let whole = match *value {
        Value::Int64(x) => Some(i128::from(x)),
        Value::UInt64(x) => Some(i128::from(x)),
        _ => None,
    };
    let exact = whole.and_then(|x| match to {
        DataType::Int64 => Some(i64::try_from(x).ok().map(Value::Int64)),
        DataType::UInt64 => Some(u64::try_from(x).ok().map(Value::UInt64)),
        _ => None,
    });
    if let Some(Some(exact)) = exact {
        return (exact, StatusCode::Good);
    }
    let Some(x) = value.as_f64() else { return MISMATCH };
    let nearest = to.nearest(x);
    // Half of the last place is rounding; an integer's or a Float's end is further off.
    let is_near = match to {
        _ if exact.is_some() => false, // of those, one holds what the other cannot
        DataType::Double => true,
        DataType::Float => nearest.as_f64().is_some_and(|y| y.is_finite() == x.is_finite()),
        _ => nearest.as_f64().is_some_and(|y| (y - x).abs() <= 0.5),
    };
    (nearest, if is_near { StatusCode::Good } else { StatusCode::BadOutOfRange })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_one_of_the_type() {
        const GOOD: StatusCode = StatusCode::Good;
        for (from, to, expected, status) in [
            (Value::Int32(-7), DataType::Double, Value::Double(-7.0), GOOD),
            (Value::Float(0.5), DataType::Double, Value::Double(0.5), GOOD),
            (Value::Double(2.5), DataType::Int16, Value::Int16(3), GOOD),
            (Value::Double(40_000.0), DataType::Int16, Value::Int16(i16::MAX), StatusCode::BadOutOfRange),
            (Value::Int32(-1), DataType::UInt32, Value::UInt32(0), StatusCode::BadOutOfRange),
            (Value::Double(f64::NAN), DataType::Int32, Value::Int32(0), StatusCode::BadOutOfRange),
            (Value::Double(1e300), DataType::Float, Value::Float(f32::INFINITY), StatusCode::BadOutOfRange),
            (Value::Double(f64::INFINITY), DataType::Float, Value::Float(f32::INFINITY), GOOD),
            (Value::Int64(i64::MAX), DataType::UInt64, Value::UInt64(i64::MAX.unsigned_abs()), GOOD),
            (Value::Boolean(true), DataType::Byte, Value::Byte(1), GOOD),
            (Value::UInt16(2), DataType::Boolean, Value::Boolean(true), GOOD),
            (Value::from("7"), DataType::Double, Value::Null, StatusCode::BadTypeMismatch),
            (Value::english("on"), DataType::String, Value::from("on"), GOOD),
            (Value::doubles([1.0]), DataType::Double, Value::Null, StatusCode::BadTypeMismatch),
        ] {
            assert_eq!(scalar(&from, to), (expected, status), "{from:?} as {to:?}");
        }
    }

    #[test]
    fn an_array_becomes_one_of_the_type_element_by_element() {
        let ints =
            |values: &[i32]| Array { element_type: 6, elements: values.iter().map(|x| Value::Int32(*x)).collect() };
        assert_eq!(elements(&ints(&[1, 2]), DataType::Double), (Value::doubles([1.0, 2.0]), StatusCode::Good));
        assert_eq!(elements(&ints(&[1, 300]), DataType::Byte).1, StatusCode::BadOutOfRange);
        assert_eq!(elements(&ints(&[1]), DataType::String), MISMATCH);
        assert_eq!(elements(&ints(&[]), DataType::Double), (Value::doubles([]), StatusCode::Good));
    }
}
