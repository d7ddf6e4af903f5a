//! IndexRange: of arrays and texts, in reads of the present and of history, and in subscriptions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opcua::{
    client::{DataChangeCallback, HistoryReadAction},
    types::*,
};
use uatwin::{
    history::HistoryStore,
    sample::{Array, Sample, Value},
    twin::Facet,
    ua,
};

use crate::{
    history::{at, raw, values, with_history},
    support::{Client, Fixture},
};

const PROFILE: &str = "Bare1.Profile";
const NO_DATA: StatusCode = StatusCode::BadIndexRangeNoData;

fn range(text: &str) -> NumericRange {
    text.parse().unwrap()
}

fn numbers(numbers: &[f64]) -> Value {
    let elements = numbers.iter().map(|x| Value::Double(*x)).collect();
    Value::Array(Arc::new(Array { element_type: 11, elements }))
}

fn texts(texts: &[&str]) -> Value {
    let elements = texts.iter().map(|text| Value::String((*text).into())).collect();
    Value::Array(Arc::new(Array { element_type: 12, elements }))
}

/// Values of `Profile` and `Tags` at 0, 1 and 2, a text in `Batch`; a gap at 3.
async fn with_arrays() -> (Fixture, Client) {
    let (fixture, client) = with_history(3).await;
    let (profile, tags) = (fixture.series("Bare1", Facet::Variable(1)), fixture.series("Bare1", Facet::Variable(2)));
    let batch = fixture.series("Heater1", Facet::Variable(6));
    let sample = |series, i, value| (series, Sample { value, ..Sample::good(at(i), 0.0) });
    let gap = (profile, Sample::bad(at(3), StatusCode::BadNoCommunication));
    let mut all = vec![gap];
    for (i, profile_of, tags_of, batch_of) in [
        (0, numbers(&[0.0, 0.1, 0.2]), texts(&["ab", "cdé"]), "Öfen"),
        (1, numbers(&[1.0]), texts(&[]), "ab"),
        (2, numbers(&[2.0, 2.1]), texts(&["x", "y"]), "xyz"),
    ] {
        all.extend([sample(profile, i, profile_of), sample(tags, i, tags_of)]);
        all.push(sample(batch, i, Value::String(batch_of.into())));
    }
    fixture.store.append(&all).unwrap();
    (fixture, client)
}

type Parts = Vec<(Variant, StatusCode)>;

/// Values with the codes of their statuses; the read's own status where it is not Good.
async fn read(client: &Client, action: HistoryReadAction, path: &str, asked: &str) -> Result<Parts, StatusCode> {
    let wanted =
        HistoryReadValueId { node_id: client.id(path), index_range: range(asked), ..HistoryReadValueId::default() };
    let result = client.history_read(action, TimestampsToReturn::Both, false, &[wanted]).await.unwrap().remove(0);
    let part = |value: &DataValue| {
        let status = StatusCode::from(value.status.unwrap().bits() & !0xffff);
        (value.value.clone().unwrap_or_default(), status)
    };
    if result.status_code.is_good() { Ok(values(&result).iter().map(part).collect()) } else { Err(result.status_code) }
}

fn good(value: impl Into<Variant>) -> (Variant, StatusCode) {
    (value.into(), StatusCode::Good)
}

#[tokio::test(flavor = "multi_thread")]
async fn history_gives_the_part_that_each_value_has() {
    let (fixture, client) = with_arrays().await;
    let gap = (Variant::Empty, StatusCode::BadNoCommunication);
    let none = (Variant::Empty, NO_DATA);
    let cases = [
        (PROFILE, "1:2", vec![good(vec![0.1, 0.2]), none.clone(), good(vec![2.1]), gap.clone()]),
        (PROFILE, "0", vec![good(vec![0.0]), good(vec![1.0]), good(vec![2.0]), gap]),
        ("Bare1.Tags", "1", vec![good(vec!["cdé"]), none.clone(), good(vec!["y"])]),
        ("Bare1.Tags", "0:1,2", vec![good(vec![UAString::null(), "é".into()]), none.clone(), none.clone()]),
        ("Heater1.Batch", "2:3", vec![good("en"), none, good("z")]),
        ("Heater1.Batch", "0", vec![good("Ö"), good("a"), good("x")]),
    ];
    let req_times = Some((0..4).map(|i| ua::date_time(at(i))).collect::<Vec<_>>());
    for (path, asked, expected) in cases {
        let raw = HistoryReadAction::ReadRawModifiedDetails(raw(at(0), at(9), 0, false));
        assert_eq!(read(&client, raw, path, asked).await, Ok(expected.clone()), "{path} {asked}");
        let times = req_times.clone().map(|times| times[..expected.len()].to_vec());
        let at_time = ReadAtTimeDetails { req_times: times, use_simple_bounds: true };
        let at_time = HistoryReadAction::ReadAtTimeDetails(at_time);
        assert_eq!(read(&client, at_time, path, asked).await, Ok(expected), "{path} {asked} at times");
    }
    for (path, asked) in [
        ("Heater1.Temperature", "0"), // a number has no elements
        ("Heater1.Temperature", "0:3"),
        (PROFILE, "0,0"),
        ("Bare1.Tags", "0,0,0"),
        ("Heater1.Batch", "0,0"),
    ] {
        let raw = HistoryReadAction::ReadRawModifiedDetails(raw(at(0), at(9), 0, false));
        assert_eq!(read(&client, raw, path, asked).await, Err(NO_DATA), "{path} {asked}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_present_gives_the_same_parts() {
    let (fixture, client) = with_arrays().await;
    let now = |value| Sample { value, ..fixture.good(0.0) };
    fixture.set("Bare1", Facet::Variable(1), now(numbers(&[0.0, 0.1, 0.2])));
    fixture.set("Heater1", Facet::Variable(6), now(Value::String("Öfen".into())));
    for (path, asked, expected) in [
        (PROFILE, "1:5", good(vec![0.1, 0.2])),
        (PROFILE, "3", (Variant::Empty, NO_DATA)),
        ("Heater1.Batch", "0", good("Ö")),
        ("Heater1.Temperature", "0", (Variant::Empty, StatusCode::BadWaitingForInitialData)),
        ("Heater1.Mode.EnumStrings", "1:2", good(["Heat", "Cool"].map(LocalizedText::from).to_vec())),
    ] {
        let wanted = ReadValueId {
            node_id: client.id(path),
            attribute_id: AttributeId::Value as u32,
            index_range: range(asked),
            ..ReadValueId::default()
        };
        let found = client.read(&[wanted], TimestampsToReturn::Both, 0.0).await.unwrap().remove(0);
        assert_eq!((found.value.clone().unwrap_or_default(), found.status()), expected, "{path} {asked}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_gives_elements_and_refuses_characters() {
    let (fixture, client) = with_arrays().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let callback = DataChangeCallback::new(move |value: DataValue, _| sink.lock().unwrap().push(value.value));
    let subscription =
        client.create_subscription(Duration::from_millis(50), 1000, 10, 0, 0, true, callback).await.unwrap();
    let now = |value| Sample { value, ..fixture.good(0.0) };
    fixture.set("Bare1", Facet::Variable(1), now(numbers(&[0.0, 0.1, 0.2])));
    let items = [(PROFILE, "1:2"), ("Heater1.Batch", "0"), ("Bare1.Tags", "0,0"), ("Heater1.Temperature", "0")];
    let request = |(path, asked): (&str, &str)| {
        let mut request: MonitoredItemCreateRequest = client.id(path).into();
        request.item_to_monitor.index_range = range(asked);
        request
    };
    let created = client.create_monitored_items(subscription, TimestampsToReturn::Both, items.map(request).to_vec());
    let statuses: Vec<StatusCode> = created.await.unwrap().iter().map(|item| item.result.status_code).collect();
    assert_eq!(statuses, [StatusCode::Good, NO_DATA, NO_DATA, NO_DATA]);
    let until = async |count: usize| {
        let seen_so_many = async {
            while seen.lock().unwrap().len() < count {
                fixture.publisher.tick(fixture.now());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen_so_many).await.unwrap();
    };
    until(1).await;
    // Inside a character the library would panic, here, in whoever publishes.
    fixture.set("Heater1", Facet::Variable(6), now(Value::String("Öfen".into())));
    fixture.set("Bare1", Facet::Variable(1), now(numbers(&[1.0, 1.1, 1.2])));
    until(2).await;
    let expected = [vec![0.1, 0.2], vec![1.1, 1.2]].map(|part| Some(Variant::from(part)));
    assert_eq!(*seen.lock().unwrap(), expected);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_is_none_is_refused_whole() {
    let (fixture, client) = with_arrays().await;
    let wanted = HistoryReadValueId {
        node_id: client.id(PROFILE),
        index_range: NumericRange::Range(2, 1),
        ..HistoryReadValueId::default()
    };
    let action = HistoryReadAction::ReadRawModifiedDetails(raw(at(0), at(9), 0, false));
    let refused = client.history_read(action, TimestampsToReturn::Both, false, &[wanted]).await;
    // The library cannot read such a request at all. The session goes on.
    assert_eq!(refused.unwrap_err().status(), StatusCode::BadDecodingError);
    assert_eq!(client.value("Bare1.Level").await.status(), StatusCode::BadWaitingForInitialData);
    fixture.stop().await;
}
