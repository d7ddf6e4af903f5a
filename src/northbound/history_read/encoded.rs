//! A page of samples as it goes on the wire: HistoryData (OPC 10000-11 §6.6.2) of DataValues (OPC 10000-6 §5.2.2.17).
//! Made where the store is read, straight from the samples: the server's workers only copy bytes, and how long an answer
//! becomes is known while it is made. What a value is encoded as, the library knows.

use std::{io::Write, sync::LazyLock};

use opcua::{
    server::node_manager::HistoryResult,
    types::{
        BinaryDecodable, BinaryEncodable, Context, ContextOwned, DataTypeId, EncodingResult, HistoryData, MessageInfo,
        ObjectId, StatusCode, UaNullable,
        xml::{XmlEncodable, XmlStreamWriter, XmlType},
    },
};

use super::answer::Form;
use crate::{sample::Sample, time::Timestamp, ua};

const HAS_VALUE: u8 = 0x01;
const HAS_STATUS: u8 = 0x02;
const HAS_SOURCE_TIMESTAMP: u8 = 0x04;
const HAS_SERVER_TIMESTAMP: u8 = 0x08;
/// Of a DataValue of a number with both timestamps: what room is made for.
pub(super) const VALUE_LEN: usize = 30;

/// Scalars and arrays of the standard's types need no namespaces.
static CONTEXT: LazyLock<ContextOwned> = LazyLock::new(ContextOwned::default);

/// The body of a HistoryData.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Encoded(Vec<u8>);

impl Encoded {
    /// The samples, or how many of them take no more than `len_max` bytes.
    pub(super) fn new(samples: &[Sample], form: &Form, len_max: usize) -> Result<Self, usize> {
        let context = CONTEXT.context();
        let mut bytes = Vec::with_capacity(len_max.min(4 + samples.len() * VALUE_LEN));
        bytes.extend(i32::try_from(samples.len()).unwrap_or(i32::MAX).to_le_bytes());
        for (i, sample) in samples.iter().enumerate() {
            push(&mut bytes, sample, form, &context);
            if bytes.len() > len_max {
                return Err(i);
            }
        }
        Ok(Self(bytes))
    }
}

fn push(bytes: &mut Vec<u8>, sample: &Sample, form: &Form, context: &Context<'_>) {
    let begin = bytes.len();
    bytes.push(0); // the mask, when it is known
    let (value, status) = form.value(ua::variant(&sample.value), sample.status);
    let mut mask = HAS_VALUE | HAS_STATUS;
    let status = match BinaryEncodable::encode(&value, bytes, context) {
        Ok(()) => status,
        Err(_) => {
            bytes.truncate(begin + 1);
            bytes.push(0); // no value
            StatusCode::BadEncodingError
        }
    };
    bytes.extend(status.bits().to_le_bytes());
    let mut stamp = |time: Timestamp, is_asked: bool, flag| {
        if is_asked && !time.is_null() {
            mask |= flag;
            bytes.extend(ua::ticks(time).to_le_bytes());
        }
    };
    stamp(sample.source_timestamp, form.source, HAS_SOURCE_TIMESTAMP);
    stamp(sample.server_timestamp, form.server, HAS_SERVER_TIMESTAMP);
    bytes[begin] = mask;
}

impl HistoryResult for Encoded {}

impl BinaryEncodable for Encoded {
    fn byte_len(&self, _: &Context<'_>) -> usize {
        self.0.len()
    }

    fn encode<S: Write + ?Sized>(&self, stream: &mut S, _: &Context<'_>) -> EncodingResult<()> {
        Ok(stream.write_all(&self.0)?)
    }
}

impl MessageInfo for Encoded {
    fn type_id(&self) -> ObjectId {
        ObjectId::HistoryData_Encoding_DefaultBinary
    }

    fn json_type_id(&self) -> ObjectId {
        ObjectId::HistoryData_Encoding_DefaultJson
    }

    fn xml_type_id(&self) -> ObjectId {
        ObjectId::HistoryData_Encoding_DefaultXml
    }

    fn data_type_id(&self) -> DataTypeId {
        DataTypeId::HistoryData
    }
}

impl UaNullable for Encoded {}

impl XmlType for Encoded {
    const TAG: &'static str = HistoryData::TAG;
}

impl XmlEncodable for Encoded {
    fn encode(&self, writer: &mut XmlStreamWriter<&mut dyn Write>, context: &Context<'_>) -> EncodingResult<()> {
        XmlEncodable::encode(&HistoryData::decode(&mut self.0.as_slice(), context)?, writer, context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opcua::types::{NumericRange, TimestampsToReturn};

    use super::*;
    use crate::sample::{Array, Value};

    fn samples() -> Vec<Sample> {
        let values = [
            Value::Null,
            Value::Boolean(true),
            Value::Int16(-2),
            Value::UInt64(u64::MAX),
            Value::Float(0.5),
            Value::Double(f64::NAN),
            Value::String("ϑ".into()),
            Value::DateTime(Timestamp::from_unix_s(1.5)),
            Value::LocalizedText(Arc::new(("de".into(), "Grad".into()))),
            Value::Array(Arc::new(Array { element_type: 11, elements: [Value::Double(0.5)].into() })),
        ];
        let times = [0, 1, 133_000_000_000_000_001, 2_650_467_743_990_000_000, i64::MAX].map(Timestamp::from_ticks);
        let sample = |(i, value)| Sample {
            source_timestamp: times[i % times.len()],
            server_timestamp: times[(i + 1) % times.len()],
            status: StatusCode::from(0x4054_0580 + u32::try_from(i).unwrap()),
            value,
        };
        values.into_iter().enumerate().map(sample).collect()
    }

    #[test]
    fn it_is_what_the_library_would_have_encoded() {
        let (samples, context) = (samples(), CONTEXT.context());
        use TimestampsToReturn as S;
        for stamps in [S::Source, S::Server, S::Both] {
            let form = Form::new(stamps, NumericRange::None);
            let Encoded(bytes) = Encoded::new(&samples, &form, usize::MAX).unwrap();
            let mut data_values: Vec<_> = samples.iter().map(ua::data_value).collect();
            data_values.iter_mut().for_each(|value| form.apply(value));
            let theirs = HistoryData { data_values: Some(data_values) };
            let ours = HistoryData::decode(&mut bytes.as_slice(), &context).unwrap();
            // NaN is not equal to itself, its text is.
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            assert_eq!(bytes.len(), theirs.byte_len(&context));
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let (form, samples) = (
            Form::new(TimestampsToReturn::Source, NumericRange::None),
            vec![Sample::good(Timestamp::from_ticks(5), 1.0); 9],
        );
        let len = |count: usize| 4 + count * (VALUE_LEN - 8);
        assert_eq!(Encoded::new(&samples, &form, len(9)).unwrap().0.len(), len(9));
        assert_eq!(Encoded::new(&samples, &form, len(9) - 1), Err(8));
        assert_eq!(Encoded::new(&samples, &form, 5), Err(0));
    }
}
