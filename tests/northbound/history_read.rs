//! HistoryRead beside raw values: at given times, continuation points, index ranges, encodings, mixed requests.

use opcua::{client::HistoryReadAction, types::*};
use uatwin::{
    history::HistoryStore,
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
    twin::Facet,
    ua,
};

use crate::{
    history::{at, numbers, page, raw, values, with_history},
    support::{Client, Fixture, TEMPERATURE},
};

const T: &str = "Heater1.Temperature";

fn node(client: &Client, path: &str) -> HistoryReadValueId {
    HistoryReadValueId { node_id: client.id(path), ..HistoryReadValueId::default() }
}

fn half(i: i32) -> Timestamp {
    at(i).plus_seconds(0.5)
}

fn at_times(times: &[Timestamp], simple: bool) -> HistoryReadAction {
    let req_times = Some(times.iter().map(|time| ua::date_time(*time)).collect());
    HistoryReadAction::ReadAtTimeDetails(ReadAtTimeDetails { req_times, use_simple_bounds: simple })
}

/// Number and status bits of the values at these times.
async fn read_at(client: &Client, path: &str, times: &[Timestamp], simple: bool) -> Vec<(Option<f64>, u32)> {
    let wanted = [node(client, path)];
    let read = client.history_read(at_times(times, simple), TimestampsToReturn::Source, false, &wanted);
    let result = read.await.unwrap().remove(0);
    assert_eq!(result.status_code, StatusCode::Good);
    let found = values(&result);
    let stamps: Vec<_> = found.iter().map(|value| ua::timestamp(value.source_timestamp.unwrap())).collect();
    assert_eq!(stamps, times, "in the order asked");
    let plain = found.iter().map(|value| {
        let number = match value.value {
            Some(Variant::Double(x)) => Some(x),
            Some(Variant::Boolean(x)) => Some(f64::from(u8::from(x))),
            _ => None,
        };
        (number, value.status.unwrap().bits())
    });
    plain.collect()
}

fn good(bits: u32) -> u32 {
    0x0400 | bits
}

fn with(status: StatusCode, bits: u32) -> u32 {
    status.bits() | 0x0400 | bits
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_time_there_is_the_stored_value_or_one_between_its_neighbours() {
    let (fixture, client) = with_history(5).await;
    let extrapolated = with(StatusCode::UncertainDataSubNormal, 2);
    let none = (None, with(StatusCode::BadNoData, 0));
    let times = [half(3), at(1), half(0), at(1), half(-2), half(10)];
    let expected = vec![
        (Some(3.5), good(2)),
        (Some(1.0), good(0)),
        (Some(0.5), good(2)),
        (Some(1.0), good(0)),
        none,
        (Some(4.0), extrapolated),
    ];
    for simple in [false, true] {
        assert_eq!(read_at(&client, T, &times, simple).await, expected, "simple {simple}");
    }
    // A stepped variable holds its value.
    let running = fixture.series("Heater1", Facet::Variable(2));
    let sample = |i, on| Sample { value: Value::Boolean(on), ..Sample::good(at(i), 0.0) };
    fixture.store.append(&[(running, sample(0, true)), (running, sample(4, false))]).unwrap();
    let held = read_at(&client, "Heater1.Running", &[half(3), at(4)], false).await;
    assert_eq!(held, [(Some(1.0), good(2)), (Some(0.0), good(0))]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_bounds_stop_at_a_bad_neighbour_and_interpolated_ones_pass_over_it() {
    let (fixture, client) = with_history(0).await;
    let series = fixture.series("Heater1", Facet::Variable(TEMPERATURE));
    let bad = |i| Sample::bad(at(i), StatusCode::BadSensorFailure);
    let all = [Sample::good(at(0), 0.0), bad(2), bad(4), Sample::good(at(6), 6.0), bad(8)];
    fixture.store.append(&all.map(|sample| (series, sample))).unwrap();
    let doubtful = with(StatusCode::UncertainDataSubNormal, 2);
    let times = [at(1), at(3), at(5), at(7), at(8), at(9)];
    let interpolated = read_at(&client, T, &times, false).await;
    let stored = (None, with(StatusCode::BadSensorFailure, 0));
    let over = |x| (Some(x), doubtful);
    assert_eq!(interpolated, [over(1.0), over(3.0), over(5.0), over(6.0), stored, over(6.0)]);
    let none = (None, with(StatusCode::BadNoData, 0));
    let simple = read_at(&client, T, &times, true).await;
    // With a Bad one after it, a value is held; with a Bad one before it, there is none.
    assert_eq!(simple, [over(0.0), none, none, over(6.0), stored, none]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_is_found_across_a_gap() {
    let (fixture, client) = with_history(0).await;
    let series = fixture.series("Heater1", Facet::Variable(TEMPERATURE));
    let (lost, damaged) = (StatusCode::from(StatusCode::BadNoCommunication.bits() | 0x0480), StatusCode::BadDataLost);
    let all = [
        Sample::good(at(0), 0.0),
        Sample::good(at(1), 1.0),
        Sample::bad(at(3), lost),
        Sample::good(at(6), 6.0),
        Sample::bad(at(8), damaged),
        Sample::bad(at(10), StatusCode::BadSensorFailure), // the PLC is back, the sensor is not
        Sample::good(at(12), 12.0),
        Sample::bad(at(14), StatusCode::BadNoCommunication),
    ];
    fixture.store.append(&all.map(|sample| (series, sample))).unwrap();
    let held = |x| (Some(x), with(StatusCode::UncertainDataSubNormal, 2));
    let (none, stored) = ((None, with(StatusCode::BadNoData, 0)), |status| (None, with(status, 0)));
    for (time, expected) in [
        (at(2), held(1.0)),
        (at(3), stored(StatusCode::BadNoCommunication)),
        (at(5), none),
        (at(6), (Some(6.0), good(0))),
        (at(7), held(6.0)),
        (at(9), none),
        (at(11), none),
        (at(13), held(12.0)),
        (at(15), none),
        (at(1_000_000), none),
    ] {
        for simple in [false, true] {
            assert_eq!(read_at(&client, T, &[time], simple).await, [expected], "at {time:?}, simple {simple}");
        }
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_times_come_in_pages() {
    let (fixture, client) = with_history(5).await;
    let times: Vec<Timestamp> = (0..2_500).map(|i| at(0).plus_seconds(f64::from(i) / 1_000.0)).collect();
    let (mut found, mut point) = (Vec::new(), ByteString::null());
    loop {
        let wanted = HistoryReadValueId { continuation_point: point, ..node(&client, T) };
        let wanted = [wanted];
        let read = client.history_read(at_times(&times, false), TimestampsToReturn::Both, false, &wanted);
        let result = read.await.unwrap().remove(0);
        found.extend(values(&result));
        point = result.continuation_point;
        if point.is_null_or_empty() {
            break;
        }
    }
    assert_eq!(found.len(), 2_500);
    assert!(found.iter().zip(&times).all(|(value, time)| value.source_timestamp == Some(ua::date_time(*time))));
    for wrong in [vec![], vec![at(0), Timestamp::NULL]] {
        let wanted = [node(&client, T)];
        let read = client.history_read(at_times(&wrong, false), TimestampsToReturn::Both, false, &wanted);
        assert_eq!(read.await.unwrap()[0].status_code, StatusCode::BadInvalidTimestampArgument);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_point_is_refused_when_used_released_or_of_another_session() {
    let (fixture, client) = with_history(10).await;
    let details = raw(at(0), at(10), 4, false);
    let invalid = StatusCode::BadContinuationPointInvalid;
    let begin = async || page(&client, &details, T, ByteString::null()).await.continuation_point;
    // Used: each is good once.
    let point = begin().await;
    let second = page(&client, &details, T, point.clone()).await;
    assert_eq!(numbers(&values(&second)), [4, 5, 6, 7]);
    assert_eq!(page(&client, &details, T, point).await.status_code, invalid);
    // Released.
    let point = begin().await;
    let release = |point: &ByteString| {
        let wanted = HistoryReadValueId { continuation_point: point.clone(), ..node(&client, T) };
        let details = ExtensionObject::from_message(details.clone());
        client.read_history(details, TimestampsToReturn::Both, true, vec![wanted])
    };
    assert_eq!(release(&point).await[0].status_code, StatusCode::Good);
    assert_eq!(page(&client, &details, T, point.clone()).await.status_code, invalid);
    assert_eq!(release(&point).await[0].status_code, invalid);
    // Stolen: another session's, which that one still can use.
    let point = begin().await;
    let other = fixture.connect_other().await;
    assert_eq!(page(&other, &details, T, point.clone()).await.status_code, invalid);
    assert_eq!(numbers(&values(&page(&client, &details, T, point).await)), [4, 5, 6, 7]);
    // Of another kind of read.
    let point = begin().await;
    let wanted = HistoryReadValueId { continuation_point: point, ..node(&client, T) };
    let wanted = [wanted];
    let read = client.history_read(at_times(&[at(0)], false), TimestampsToReturn::Both, false, &wanted);
    assert_eq!(read.await.unwrap()[0].status_code, invalid);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_point_that_is_not_used_expires() {
    let (fixture, client) = with_history(10).await;
    let details = raw(at(0), at(10), 4, false);
    let begin = async || page(&client, &details, T, ByteString::null()).await.continuation_point;
    // The publisher looks after them, at its fifth tick at the latest.
    let pause = |seconds: f64| (0..5).for_each(|_| fixture.publisher.tick(fixture.now().plus_seconds(seconds)));
    let (used, unused) = (begin().await, begin().await);
    pause(500.0);
    assert_eq!(numbers(&values(&page(&client, &details, T, used).await)), [4, 5, 6, 7]);
    pause(601.0);
    let expired = page(&client, &details, T, unused).await;
    assert_eq!(expired.status_code, StatusCode::BadContinuationPointInvalid);
    assert!(!begin().await.is_null_or_empty());
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_continuation_point_goes_when_there_are_too_many() {
    let (fixture, client) = with_history(10).await;
    let details = raw(at(0), at(10), 4, false);
    let max: NodeId = VariableId::Server_ServerCapabilities_MaxHistoryContinuationPoints.into();
    let Some(Variant::UInt16(max)) = client.read_value(&max).await.value else { panic!("no maximum") };
    let mut points = Vec::new();
    for _ in 0..=max {
        let result = page(&client, &details, T, ByteString::null()).await;
        assert_eq!(result.status_code, StatusCode::Good);
        points.push(result.continuation_point);
    }
    let first = page(&client, &details, T, points[0].clone()).await;
    assert_eq!(first.status_code, StatusCode::BadContinuationPointInvalid);
    for i in [1, usize::from(max)] {
        assert_eq!(numbers(&values(&page(&client, &details, T, points[i].clone()).await)), [4, 5, 6, 7], "{i}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encodings_and_timestamps_are_as_asked_or_refused() {
    let (fixture, client) = with_history(3).await;
    let read = async |encoding: QualifiedName, stamps| {
        let wanted = HistoryReadValueId { data_encoding: encoding, ..node(&client, T) };
        let action = HistoryReadAction::ReadRawModifiedDetails(raw(at(0), at(9), 0, false));
        client.history_read(action, stamps, false, &[wanted]).await.unwrap().remove(0)
    };
    use TimestampsToReturn as S;
    for (encoding, expected) in [
        (QualifiedName::null(), StatusCode::Good),
        (QualifiedName::new(0, "Default Binary"), StatusCode::Good),
        (QualifiedName::new(0, "Default XML"), StatusCode::BadDataEncodingUnsupported),
        (QualifiedName::new(0, "Morse"), StatusCode::BadDataEncodingInvalid),
        (QualifiedName::new(1, "Default Binary"), StatusCode::BadDataEncodingInvalid),
    ] {
        assert_eq!(read(encoding.clone(), S::Both).await.status_code, expected, "{encoding:?}");
    }
    for (stamps, source, server) in [(S::Source, true, false), (S::Server, false, true), (S::Both, true, true)] {
        let value = values(&read(QualifiedName::null(), stamps).await).remove(0);
        assert_eq!((value.source_timestamp.is_some(), value.server_timestamp.is_some()), (source, server));
    }
    let refused = read(QualifiedName::null(), S::Neither).await;
    assert_eq!(refused.status_code, StatusCode::BadTimestampsToReturnInvalid);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_of_a_mixed_request_answers_for_itself() {
    use StatusCode as S;
    let (fixture, client) = with_history(3).await;
    let server = HistoryReadValueId { node_id: ObjectId::Server.into(), ..HistoryReadValueId::default() };
    let wanted = vec![
        node(&client, "Heater1.Counter"),
        node(&client, T),
        server,
        node(&client, "Nobody"),
        HistoryReadValueId { continuation_point: ByteString::from(vec![1, 2, 3]), ..node(&client, T) },
        node(&client, "Heater2.Temperature"),
        node(&client, T),
    ];
    let action = HistoryReadAction::ReadRawModifiedDetails(raw(at(0), at(9), 2, false));
    let results = client.history_read(action, TimestampsToReturn::Both, false, &wanted).await.unwrap();
    let unsupported = S::BadHistoryOperationUnsupported;
    let expected = [
        unsupported,
        S::Good,
        unsupported,
        S::BadNodeIdUnknown,
        S::BadContinuationPointInvalid,
        S::GoodNoData,
        S::Good,
    ];
    assert_eq!(results.iter().map(|result| result.status_code).collect::<Vec<_>>(), expected);
    assert_eq!(numbers(&values(&results[6])), [0, 1]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_can_do_with_history() {
    use VariableId as V;
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    for (id, expected) in [
        (V::HistoryServerCapabilities_AccessHistoryDataCapability, true),
        (V::HistoryServerCapabilities_AccessHistoryEventsCapability, true),
        (V::HistoryServerCapabilities_InsertDataCapability, true),
        (V::HistoryServerCapabilities_ReplaceDataCapability, true),
        (V::HistoryServerCapabilities_UpdateDataCapability, true),
        (V::HistoryServerCapabilities_DeleteRawCapability, true),
        (V::HistoryServerCapabilities_DeleteAtTimeCapability, true),
        (V::HistoryServerCapabilities_InsertAnnotationCapability, true),
        (V::HistoryServerCapabilities_ServerTimestampSupported, true),
        (V::HistoryServerCapabilities_InsertEventCapability, false),
    ] {
        assert_eq!(client.read_value(&id.into()).await.value, Some(Variant::Boolean(expected)), "{id:?}");
    }
    fixture.stop().await;
}
