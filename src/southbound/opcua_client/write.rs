//! Values for the PLC, one after the other, in the type that the PLC's variable has.

use std::convert::Infallible;

use opcua::{
    client::Session,
    types::{AttributeId, DataTypeId, DataValue, NodeId, NumericRange, TimestampsToReturn, Variant, WriteValue},
};
use tokio::sync::mpsc;

use super::{
    resolve::resolve,
    session::{Limits, attribute},
};
use crate::{
    sample::{StatusCode, Value},
    southbound::{NodeAddress, Write},
    ua,
};

/// Serves writes for as long as the session stands. One that fails ends nothing: whether the session lives, the watchdog says.
pub(super) async fn serve(session: &Session, limits: &Limits, mut writes: mpsc::Receiver<Write>) -> Infallible {
    while let Some(Write { address, value, reply }) = writes.recv().await {
        let status = write(session, limits, &address, &value).await.unwrap_or_else(|status| status);
        tracing::info!(?address, ?value, %status, "written to the PLC");
        let _ = reply.send(status); // whoever asked may have gone
    }
    std::future::pending().await
}

/// Writes the value, as the node's own type; what the PLC says to it, or why it was not asked.
async fn write(
    session: &Session,
    limits: &Limits,
    address: &NodeAddress,
    value: &Value,
) -> Result<StatusCode, StatusCode> {
    // Resolved anew: writes are rare, and what a name means may have changed since the session began.
    let resolved = resolve(session, limits, &[address]).await.map_err(|reason| {
        tracing::warn!(?address, reason, "not written");
        StatusCode::BadCommunicationError
    })?;
    let node_id = resolved.into_iter().next().unwrap_or(Err(StatusCode::BadNodeIdUnknown))?;
    let value = fitted(value, data_type(session, &node_id).await?)?;
    let write = WriteValue {
        node_id,
        attribute_id: AttributeId::Value as u32,
        index_range: NumericRange::None,
        // A value and nothing else: many PLCs refuse a status or a timestamp (OPC 10000-4 §5.11.4.2).
        value: DataValue { value: Some(ua::variant(&value)), ..DataValue::default() },
    };
    session.write(&[write]).await?.first().copied().ok_or(StatusCode::BadUnexpectedError)
}

/// The built-in type of the node's value; where it has none yet, of its DataType attribute.
async fn data_type(session: &Session, node: &NodeId) -> Result<DataTypeId, StatusCode> {
    let read = async |of| {
        let answer = session.read(&[attribute(node.clone(), of)], TimestampsToReturn::Neither, 0.0).await?;
        answer.into_iter().next().ok_or(StatusCode::BadUnexpectedError)
    };
    let now = read(AttributeId::Value).await?;
    if let Some(found) = now.value.as_ref().and_then(ua::value).as_ref().and_then(ua::data_type_of) {
        return Ok(found);
    }
    let declared = read(AttributeId::DataType).await?;
    match declared.value {
        Some(Variant::NodeId(id)) => id.as_data_type_id().map_err(|_| StatusCode::BadTypeMismatch),
        _ => Err(declared.status.filter(|status| status.is_bad()).unwrap_or(StatusCode::BadTypeMismatch)),
    }
}

/// The value in another type: a real number with fewer digits where those are what the PLC keeps, the nearest whole one for
/// a register.
fn fitted(value: &Value, data_type: DataTypeId) -> Result<Value, StatusCode> {
    if let Some(same) = ua::convert(value, data_type) {
        return Ok(same);
    }
    let number = value.as_f64().filter(|x| x.is_finite()).ok_or(StatusCode::BadTypeMismatch)?;
    match data_type {
        DataTypeId::Float => {
            #[expect(clippy::cast_possible_truncation, reason = "meant: the PLC keeps no more digits")]
            let narrow = number as f32;
            if narrow.is_finite() { Ok(Value::Float(narrow)) } else { Err(StatusCode::BadOutOfRange) }
        }
        DataTypeId::Boolean | DataTypeId::String | DataTypeId::DateTime | DataTypeId::ByteString => {
            Err(StatusCode::BadTypeMismatch)
        }
        _ => ua::convert(&Value::Double(number.round()), data_type).ok_or(StatusCode::BadOutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_the_plcs_type_or_is_refused() {
        let cases = [
            (Value::Double(63.0), DataTypeId::UInt16, Ok(Value::UInt16(63))),
            (Value::Double(632.699_999_999), DataTypeId::UInt16, Ok(Value::UInt16(633))),
            (Value::Double(63.2), DataTypeId::Float, Ok(Value::Float(63.2))),
            (Value::UInt16(7), DataTypeId::Double, Ok(Value::Double(7.0))),
            (Value::Boolean(true), DataTypeId::Boolean, Ok(Value::Boolean(true))),
            (Value::Double(70_000.0), DataTypeId::UInt16, Err(StatusCode::BadOutOfRange)),
            (Value::Double(-1.0), DataTypeId::Byte, Err(StatusCode::BadOutOfRange)),
            (Value::Double(1e300), DataTypeId::Float, Err(StatusCode::BadOutOfRange)),
            (Value::Double(1.0), DataTypeId::Boolean, Err(StatusCode::BadTypeMismatch)),
            (Value::Double(f64::NAN), DataTypeId::Int16, Err(StatusCode::BadTypeMismatch)),
        ];
        for (value, data_type, expected) in cases {
            assert_eq!(fitted(&value, data_type), expected, "{value:?} as {data_type:?}");
        }
    }
}
