//! HistoryRead of raw values: pages, bounds, direction, what is refused.

use opcua::{client::HistoryReadAction, types::*};
use uatwin::{
    history::HistoryStore,
    sample::{Sample, SeriesId, Value},
    time::Timestamp,
    twin::Facet,
    ua,
};

use crate::support::{Client, Fixture, TEMPERATURE};

/// Sample `i` of the fixture's history: one a second, its value its number.
pub(crate) fn at(i: i32) -> Timestamp {
    Timestamp::from_unix_s(1.7e9 + f64::from(i))
}

pub(crate) async fn with_history(samples: i32) -> (Fixture, Client) {
    let fixture = Fixture::start().await;
    let series = fixture.series("Heater1", Facet::Variable(TEMPERATURE));
    let all: Vec<(SeriesId, Sample)> = (0..samples).map(|i| (series, Sample::good(at(i), f64::from(i)))).collect();
    fixture.store.append(&all).unwrap();
    let client = fixture.connect().await;
    (fixture, client)
}

pub(crate) fn raw(start: Timestamp, end: Timestamp, values: u32, bounds: bool) -> ReadRawModifiedDetails {
    ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: ua::date_time(start),
        end_time: ua::date_time(end),
        num_values_per_node: values,
        return_bounds: bounds,
    }
}

pub(crate) async fn page(
    client: &Client,
    details: &ReadRawModifiedDetails,
    path: &str,
    point: ByteString,
) -> HistoryReadResult {
    let node =
        HistoryReadValueId { node_id: client.id(path), continuation_point: point, ..HistoryReadValueId::default() };
    let action = HistoryReadAction::ReadRawModifiedDetails(details.clone());
    client.history_read(action, TimestampsToReturn::Both, false, &[node]).await.unwrap().remove(0)
}

pub(crate) fn values(result: &HistoryReadResult) -> Vec<DataValue> {
    let data = result.history_data.inner_as::<HistoryData>().cloned().unwrap_or_default();
    data.data_values.unwrap_or_default()
}

/// All pages, and how long each was.
async fn all(client: &Client, details: &ReadRawModifiedDetails) -> (Vec<DataValue>, Vec<usize>) {
    let (mut found, mut lengths, mut point) = (Vec::new(), Vec::new(), ByteString::null());
    loop {
        let result = page(client, details, "Heater1.Temperature", point).await;
        assert!(result.status_code.is_good(), "{:?}", result.status_code);
        let own = values(&result);
        lengths.push(own.len());
        found.extend(own);
        point = result.continuation_point;
        if point.is_null_or_empty() {
            return (found, lengths);
        }
    }
}

/// The numbers; a bound that is not there is −1.
pub(crate) fn numbers(values: &[DataValue]) -> Vec<i32> {
    let number = |value: &DataValue| match value.value {
        Some(Variant::Double(x)) => x as i32,
        _ if value.status == Some(StatusCode::BadBoundNotFound) => -1,
        _ => panic!("{value:?}"),
    };
    values.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_thousand_values_come_without_loss_or_double_either_way() {
    let (fixture, client) = with_history(25_000).await;
    let (forward, lengths) = all(&client, &raw(at(0), at(25_000), 0, false)).await;
    assert_eq!(lengths, [10_000, 10_000, 5_000]);
    assert_eq!(numbers(&forward), (0..25_000).collect::<Vec<_>>());
    assert!(forward.iter().enumerate().all(|(i, value)| value.source_timestamp == Some(ua::date_time(at(i as i32)))));
    let (backward, lengths) = all(&client, &raw(at(24_999), at(-1), 3_000, false)).await;
    assert_eq!((lengths.len(), lengths[0]), (9, 3_000));
    assert_eq!(numbers(&backward), (0..25_000).rev().collect::<Vec<_>>());
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_end_number_and_bounds_choose_what_comes() {
    let (fixture, client) = with_history(10).await;
    let half = |i: i32| at(i).plus_seconds(0.5);
    let null = Timestamp::NULL;
    let cases = [
        // the end is not included, the start is
        (raw(at(2), at(5), 0, false), vec![2, 3, 4]),
        (raw(at(5), at(2), 0, false), vec![5, 4, 3]),
        (raw(at(3), at(3), 0, false), vec![3]),
        // without one end: so many values from the other
        (raw(at(7), null, 2, false), vec![7, 8]),
        (raw(at(7), null, 100, false), vec![7, 8, 9]),
        (raw(null, at(7), 3, false), vec![7, 6, 5]),
        // bounds: at the ends themselves, else the next ones outside
        (raw(at(2), at(5), 0, true), vec![2, 3, 4, 5]),
        (raw(half(2), half(4), 0, true), vec![2, 3, 4, 5]),
        (raw(half(4), half(2), 0, true), vec![5, 4, 3, 2]),
        (raw(half(-2), half(0), 0, true), vec![-1, 0, 1]),
        (raw(half(8), half(20), 0, true), vec![8, 9, -1]),
        (raw(half(2), null, 3, true), vec![2, 3, 4]),
        // in pages, bounds too
        (raw(half(2), half(4), 1, true), vec![2, 3, 4, 5]),
        (raw(half(2), half(4), 3, true), vec![2, 3, 4, 5]),
    ];
    for (details, expected) in cases {
        let (found, _) = all(&client, &details).await;
        assert_eq!(numbers(&found), expected, "{details:?}");
    }
    let nothing = page(&client, &raw(at(100), at(200), 0, false), "Heater1.Temperature", ByteString::null()).await;
    assert_eq!((nothing.status_code, values(&nothing).len()), (StatusCode::GoodNoData, 0));
    fixture.stop().await;
}

/// All values of many nodes at once, and how many requests that took.
async fn all_of(client: &Client, path: &str, nodes: usize, details: ReadRawModifiedDetails) -> (Vec<usize>, usize) {
    let (mut counts, mut requests) = (vec![0; nodes], 0);
    let node = |point| HistoryReadValueId {
        node_id: client.id(path),
        continuation_point: point,
        ..HistoryReadValueId::default()
    };
    let mut wanted: Vec<(usize, HistoryReadValueId)> = (0..nodes).map(|i| (i, node(ByteString::null()))).collect();
    while !wanted.is_empty() {
        let (places, asked): (Vec<usize>, Vec<_>) = wanted.drain(..).unzip();
        let action = HistoryReadAction::ReadRawModifiedDetails(details.clone());
        let results = client.history_read(action, TimestampsToReturn::Both, false, &asked).await.unwrap();
        requests += 1;
        for (i, result) in places.into_iter().zip(results) {
            assert_eq!(result.status_code, StatusCode::Good, "node {i}");
            counts[i] += values(&result).len();
            if !result.continuation_point.is_null_or_empty() {
                wanted.push((i, node(result.continuation_point)));
            }
        }
    }
    (counts, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_one_message_comes_in_more_pages() {
    let (fixture, client) = with_history(600).await;
    // 1,000 × 600 × 30 bytes are 18 MB: more than any message may have.
    let (counts, requests) = all_of(&client, "Heater1.Temperature", 1_000, raw(at(0), at(600), 0, false)).await;
    assert_eq!((counts, requests), (vec![600; 1_000], 3));
    // Of texts it is not known beforehand: 400 of 60 kB, 24 MB.
    let series = fixture.series("Heater1", Facet::Variable(6));
    let text: std::sync::Arc<str> = "x".repeat(60_000).into();
    let sample = |i| (series, Sample { value: Value::String(text.clone()), ..Sample::good(at(i), 0.0) });
    fixture.store.append(&(0..400).map(sample).collect::<Vec<_>>()).unwrap();
    let (counts, requests) = all_of(&client, "Heater1.Batch", 1, raw(at(0), at(600), 0, false)).await;
    assert_eq!((counts, requests), (vec![400], 3));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuation_point_is_good_for_its_own_request_only() {
    let (fixture, client) = with_history(10).await;
    let details = raw(at(0), at(10), 4, false);
    let first = page(&client, &details, "Heater1.Temperature", ByteString::null()).await;
    let other = raw(at(0), at(9), 4, false);
    let refused = page(&client, &other, "Heater1.Temperature", first.continuation_point).await;
    assert_eq!(refused.status_code, StatusCode::BadContinuationPointInvalid);
    let first = page(&client, &details, "Heater1.Temperature", ByteString::null()).await;
    let refused = page(&client, &details, "Heater2.Temperature", first.continuation_point).await;
    assert_eq!(refused.status_code, StatusCode::BadContinuationPointInvalid);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_history_says_so() {
    let (fixture, client) = with_history(1).await;
    let details = raw(at(0), at(10), 0, false);
    for (path, expected) in [
        ("Heater1.Counter", StatusCode::BadHistoryOperationUnsupported),
        ("Heater1.Statistics.Temperature.Mean", StatusCode::BadHistoryOperationUnsupported),
        ("Heater1", StatusCode::BadHistoryOperationUnsupported),
        ("Nobody", StatusCode::BadNodeIdUnknown),
        ("Heater1.Model.Parameters.C", StatusCode::GoodNoData),
        ("Heater1.Temperature.Residual", StatusCode::GoodNoData),
    ] {
        assert_eq!(page(&client, &details, path, ByteString::null()).await.status_code, expected, "{path}");
    }
    for details in [raw(at(0), Timestamp::NULL, 0, false), raw(Timestamp::NULL, Timestamp::NULL, 5, false)] {
        let refused = page(&client, &details, "Heater1.Temperature", ByteString::null()).await;
        assert_eq!(refused.status_code, StatusCode::BadHistoryOperationInvalid);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_values_come_as_they_were_stored() {
    let (fixture, client) = with_history(0).await;
    let status = StatusCode::from(StatusCode::BadOutOfRange.bits() | 0x0600);
    let sample = Sample { status, ..Sample::good(at(3), 200.0) };
    fixture.store.append(&[(fixture.series("Heater1", Facet::Variable(TEMPERATURE)), sample)]).unwrap();
    let (found, _) = all(&client, &raw(at(0), at(10), 0, false)).await;
    assert_eq!((found[0].status, found[0].value.clone()), (Some(status), Some(Variant::Double(200.0))));
    let start = client.value("Heater1.Temperature.HA Configuration.StartOfArchive").await.value;
    assert_eq!(start, Some(Variant::from(ua::date_time(at(3)))));
    fixture.stop().await;
}
