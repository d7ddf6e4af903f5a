//! HistoryRead raw of everything that the first variables have, page by page over continuation points. The first pages are
//! decoded and checked, of the others the counts.

use std::io::{Cursor, Read};

use opcua::{
    core::ResponseMessage,
    types::{
        BinaryDecodable, ByteString, DateTime, ExtensionObject, HistoryData, HistoryReadRequest, HistoryReadValueId,
        NodeId, ReadRawModifiedDetails, StatusCode, TimestampsToReturn, Variant,
    },
};
use serde_json::Value;

use super::{
    Arguments,
    channel::{CONTEXT, Channel, encoded},
    node,
    server::Watch,
    tenth_of,
};

const PAGE: u32 = 10_000;

pub(crate) fn measure(arguments: &Arguments) -> Value {
    let mut channel = Channel::open(arguments.text("url"));
    let namespace = channel.namespace(arguments.text("namespace"));
    let (variables, samples) = (arguments.number("with_history", 10), arguments.number("samples", 25_000));
    for index in 1..=variables {
        check(&mut channel, index, &node(namespace, index), samples);
    }
    let until = arguments.seconds(3).as_secs_f64();
    let (watch, mut values) = (Watch::start(arguments), 0);
    for index in (1..=variables).cycle() {
        if watch.seconds() >= until {
            break;
        }
        values += whole(&mut channel, &node(namespace, index), samples);
    }
    watch.told(values)
}

fn request(channel: &Channel, node_id: &NodeId, samples: u32, continuation_point: ByteString) -> HistoryReadRequest {
    let start = DateTime::ymd(2026, 1, 1);
    let details = ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: start,
        end_time: start + chrono::Duration::seconds(samples.into()),
        num_values_per_node: PAGE,
        return_bounds: false,
    };
    HistoryReadRequest {
        request_header: channel.header(),
        history_read_details: ExtensionObject::from_message(details),
        timestamps_to_return: TimestampsToReturn::Source,
        release_continuation_points: false,
        nodes_to_read: Some(vec![HistoryReadValueId {
            node_id: node_id.clone(),
            continuation_point,
            ..HistoryReadValueId::default()
        }]),
    }
}

/// The first page, value by value.
fn check(channel: &mut Channel, index: u32, node: &NodeId, samples: u32) {
    let request = request(channel, node, samples, ByteString::null());
    let ResponseMessage::HistoryRead(answer) = channel.ask(request) else { panic!("no history") };
    let result = answer.results.unwrap_or_default().pop().expect("a result");
    let values = result.history_data.inner_as::<HistoryData>().and_then(|data| data.data_values.as_ref());
    let values = values.unwrap_or_else(|| panic!("{node}: {}", result.status_code));
    assert_eq!(values.len(), PAGE.min(samples) as usize, "a full page of {node}");
    for (second, value) in (0..).zip(values) {
        let Some(Variant::Double(x)) = value.value else { panic!("{value:?}") };
        assert_eq!(tenth_of(index, x), Some(second * 10), "{value:?}");
        let at = DateTime::ymd(2026, 1, 1) + chrono::Duration::seconds(second.into());
        assert_eq!(value.source_timestamp, Some(at), "{value:?}");
    }
}

/// All pages; how many values.
fn whole(channel: &mut Channel, node: &NodeId, samples: u32) -> u64 {
    let (mut point, mut seen) = (ByteString::null(), 0);
    loop {
        let request = request(channel, node, samples, point);
        channel.send(&encoded(&request.into()));
        let (header, mut body) = channel.receive_header();
        assert!(header.service_result.is_good(), "{}", header.service_result);
        assert_eq!(number(&mut body), 1, "one node, one result");
        let status = StatusCode::decode(&mut body, &CONTEXT.context()).expect("a status");
        assert!(status.is_good(), "{node}: {status}");
        point = ByteString::decode(&mut body, &CONTEXT.context()).expect("a continuation point");
        seen += u64::from(values(&mut body));
        if point.is_null_or_empty() {
            break;
        }
    }
    // Ours says with one Bad value more where a gap begins: after what was imported nothing came until the service started.
    let excess = seen.checked_sub(samples.into());
    assert!(matches!(excess, Some(0 | 1)), "every value of {node}, once: {seen} of {samples}");
    seen
}

/// How many are in a HistoryData that nobody decodes: type, encoding, length, then the array.
fn values(body: &mut Cursor<&[u8]>) -> u32 {
    NodeId::decode(body, &CONTEXT.context()).expect("a type");
    let mut encoding = [0];
    body.read_exact(&mut encoding).expect("an encoding");
    if encoding[0] == 0 {
        return 0;
    }
    number(body);
    number(body)
}

fn number(body: &mut Cursor<&[u8]>) -> u32 {
    let mut bytes = [0; 4];
    body.read_exact(&mut bytes).expect("a number");
    u32::from_le_bytes(bytes)
}
