//! Bulk Read of all variables, so many a request, by so many sessions at a time. Each has one request under way. The first
//! answers are decoded and checked, of the others the header and the count.

use std::{io::Read, sync::Barrier, thread, time::Duration};

use opcua::{
    core::ResponseMessage,
    types::{DataValue, Variant},
};
use serde_json::Value;

use super::{
    Arguments,
    channel::{Channel, Encoded, encoded, read},
    node,
    server::Watch,
    tenth_of,
};

pub(crate) fn measure(arguments: &Arguments) -> Value {
    let sessions = arguments.number("sessions", 2);
    let (ready, until) = (Barrier::new(sessions as usize + 1), arguments.seconds(3));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..sessions)
            .map(|session| {
                let ready = &ready;
                scope.spawn(move || read_until(arguments, session, ready, until))
            })
            .collect();
        ready.wait();
        let watch = Watch::start(arguments);
        let values = readers.into_iter().map(|reader| reader.join().expect("a reader")).sum();
        watch.told(values)
    })
}

/// How many values were read in that time.
fn read_until(arguments: &Arguments, session: u32, ready: &Barrier, until: Duration) -> u64 {
    let mut channel = Channel::open(arguments.text("url"));
    let (count, at_once) = (arguments.number("variables", 10_000), arguments.number("at_once", 1_000));
    let requests = requests(&mut channel, arguments.text("namespace"), count, at_once);
    ready.wait();
    let (watch, mut values) = (Watch::start(arguments), 0);
    // Sessions begin at different nodes: else one would only find what another has just had in the caches.
    for request in requests.iter().cycle().skip(session as usize * requests.len() / 2) {
        if watch.seconds() >= until.as_secs_f64() {
            break;
        }
        channel.send(request);
        let (header, mut body) = channel.receive_header();
        assert!(header.service_result.is_good(), "{}", header.service_result);
        let mut length = [0; 4];
        body.read_exact(&mut length).expect("an array of values");
        assert_eq!(u32::from_le_bytes(length), at_once, "a value for each node");
        values += u64::from(at_once);
    }
    values
}

/// All variables, each request tried once and its answer checked value by value.
fn requests(channel: &mut Channel, namespace: &str, count: u32, at_once: u32) -> Vec<Encoded> {
    let namespace = channel.namespace(namespace);
    let mut requests = Vec::new();
    for first in (1..=count / at_once * at_once).step_by(at_once as usize) {
        let nodes = (first..first + at_once).map(|index| node(namespace, index)).collect();
        let request = encoded(&read(channel.header(), nodes).into());
        channel.send(&request);
        let ResponseMessage::Read(answer) = channel.receive() else { panic!("no values") };
        let values = answer.results.unwrap_or_default();
        assert_eq!(values.len(), at_once as usize, "a value for each node");
        values.iter().zip(first..).for_each(|(value, index)| check(value, index));
        requests.push(request);
    }
    requests
}

fn check(value: &DataValue, index: u32) {
    let is_right = matches!(value.value, Some(Variant::Double(x)) if tenth_of(index, x).is_some());
    let is_good = value.status.is_none_or(|status| status.is_good());
    assert!(is_right && is_good && value.source_timestamp.is_some(), "{index}: {value:?}");
}
