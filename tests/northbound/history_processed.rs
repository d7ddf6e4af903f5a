//! HistoryRead of processed values: what a request may ask, which aggregate each node gets, pages.

use opcua::types::*;
use uatwin::{
    aggregate::Aggregate,
    history::HistoryStore,
    sample::{Sample, StatusCode},
    time::Timestamp,
    twin::Facet,
    ua,
};

use crate::{
    history::{at, values, with_history},
    support::{Client, TEMPERATURE},
};

const T: &str = "Heater1.Temperature";

fn node(client: &Client, path: &str) -> HistoryReadValueId {
    HistoryReadValueId { node_id: client.id(path), ..HistoryReadValueId::default() }
}

fn defaults() -> AggregateConfiguration {
    AggregateConfiguration { use_server_capabilities_defaults: true, ..AggregateConfiguration::default() }
}

fn details(start: Timestamp, end: Timestamp, interval_ms: f64, aggregates: &[NodeId]) -> ReadProcessedDetails {
    ReadProcessedDetails {
        start_time: ua::date_time(start),
        end_time: ua::date_time(end),
        processing_interval: interval_ms,
        aggregate_type: Some(aggregates.to_vec()),
        aggregate_configuration: defaults(),
    }
}

fn average() -> NodeId {
    ObjectId::AggregateFunction_Average.into()
}

fn count() -> NodeId {
    ObjectId::AggregateFunction_Count.into()
}

async fn read(
    client: &Client,
    details: &ReadProcessedDetails,
    nodes: Vec<HistoryReadValueId>,
) -> Vec<HistoryReadResult> {
    let details = ExtensionObject::from_message(details.clone());
    client.read_history(details, TimestampsToReturn::Source, false, nodes).await
}

async fn status(client: &Client, details: &ReadProcessedDetails, path: &str) -> StatusCode {
    read(client, details, vec![node(client, path)]).await[0].status_code
}

fn numbers(result: &HistoryReadResult) -> Vec<f64> {
    let number = |value: DataValue| match value.value {
        Some(Variant::Double(x)) => x,
        Some(Variant::Int32(x)) => x.into(),
        Some(Variant::UInt32(x)) => x.into(),
        _ => f64::NAN,
    };
    values(result).into_iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_comes_by_interval_whole_or_backward() {
    let (fixture, client) = with_history(10).await;
    for (start, end, interval, expected) in [
        (0, 9, 3000.0, vec![1.0, 4.0, 7.0]),
        (0, 9, 0.0, vec![4.0]),
        // The last interval may be shorter.
        (0, 8, 3000.0, vec![1.0, 4.0, 6.5]),
    ] {
        let result =
            read(&client, &details(at(start), at(end), interval, &[average()]), vec![node(&client, T)]).await.remove(0);
        assert_eq!((result.status_code, numbers(&result)), (StatusCode::Good, expected));
        let first = values(&result).remove(0);
        assert_eq!((first.source_timestamp, first.server_timestamp), (Some(ua::date_time(at(start))), None));
        // Calculated, with InfoType DataValue.
        assert_eq!(first.status.unwrap().bits(), 0x0401);
    }
    // Backward an interval includes its later end.
    let result = read(&client, &details(at(9), at(0), 3000.0, &[average()]), vec![node(&client, T)]).await.remove(0);
    assert_eq!(numbers(&result), [8.0, 5.0, 2.0]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_aggregate_of_the_folders_is_answered() {
    let (fixture, client) = with_history(10).await;
    let folder: NodeId = ObjectId::HistoryServerCapabilities_AggregateFunctions.into();
    let functions: Vec<NodeId> = client
        .references(&folder, 0)
        .await
        .into_iter()
        .filter(|r| r.is_forward && r.reference_type_id == ReferenceTypeId::Organizes)
        .map(|r| r.node_id.node_id)
        .collect();
    assert_eq!(functions.len(), Aggregate::ALL.len());
    let nodes = functions.iter().map(|_| node(&client, T)).collect();
    let results = read(&client, &details(at(0), at(9), 0.0, &functions), nodes).await;
    for (result, function) in results.iter().zip(&functions) {
        assert_eq!((result.status_code, values(result).len()), (StatusCode::Good, 1), "{function}");
    }
    let of = |wanted: Aggregate| {
        let i = Aggregate::ALL.iter().position(|aggregate| *aggregate == wanted).unwrap();
        numbers(&results[i])[0]
    };
    assert_eq!((of(Aggregate::Count), of(Aggregate::Maximum), of(Aggregate::Median)), (9.0, 8.0, 4.0));
    // Mean 4, the nearer limit 0, σ of 0..8 (n − 1) √7.5.
    assert!((of(Aggregate::Cpk) - 4.0 / (3.0 * 7.5f64.sqrt())).abs() < 1e-9, "{}", of(Aggregate::Cpk));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_its_reason() {
    use StatusCode as S;
    let (fixture, client) = with_history(10).await;
    let good = details(at(0), at(9), 1000.0, &[average()]);
    let with = |change: &dyn Fn(&mut ReadProcessedDetails)| {
        let mut details = good.clone();
        change(&mut details);
        details
    };
    let configured = |bad, good| AggregateConfiguration {
        use_server_capabilities_defaults: false,
        treat_uncertain_as_bad: true,
        percent_data_bad: bad,
        percent_data_good: good,
        use_sloped_extrapolation: false,
    };
    let null = DateTime::null();
    for (details, expected) in [
        (good.clone(), S::Good),
        (with(&|d| d.end_time = d.start_time), S::BadInvalidArgument),
        (with(&|d| d.start_time = null), S::BadInvalidArgument),
        (with(&|d| d.end_time = null), S::BadInvalidArgument),
        (with(&|d| d.processing_interval = -1.0), S::BadInvalidArgument),
        (with(&|d| d.processing_interval = f64::NAN), S::BadInvalidArgument),
        (with(&|d| d.aggregate_type = Some(vec![ObjectId::Server.into()])), S::BadAggregateNotSupported),
        (with(&|d| d.aggregate_type = None), S::BadAggregateListMismatch),
        (with(&|d| d.aggregate_type = Some(vec![])), S::BadAggregateListMismatch),
        (with(&|d| d.aggregate_type = Some(vec![average(), average()])), S::BadAggregateListMismatch),
        (with(&|d| d.aggregate_configuration = configured(101, 100)), S::BadAggregateInvalidInputs),
        (with(&|d| d.aggregate_configuration = configured(60, 39)), S::BadAggregateInvalidInputs),
        (with(&|d| d.aggregate_configuration = configured(60, 40)), S::Good),
    ] {
        assert_eq!(status(&client, &details, T).await, expected, "{details:?}");
    }
    for stamps in [TimestampsToReturn::Server, TimestampsToReturn::Both, TimestampsToReturn::Neither] {
        let object = ExtensionObject::from_message(good.clone());
        let results = client.read_history(object, stamps, false, vec![node(&client, T)]).await;
        assert_eq!(results[0].status_code, S::BadTimestampsToReturnInvalid, "{stamps:?}");
    }
    for path in ["Heater1.Counter", "Heater1", "Heater1.Temperature.Annotations"] {
        assert_eq!(status(&client, &good, path).await, S::BadHistoryOperationUnsupported, "{path}");
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_gets_its_own_aggregate_whoever_has_the_others() {
    use StatusCode as S;
    let (fixture, client) = with_history(10).await;
    let foreign = |id: NodeId| HistoryReadValueId { node_id: id, ..HistoryReadValueId::default() };
    let server = || foreign(ObjectId::Server.into());
    let of_types = || foreign(NodeId::new(client.types, 1000));
    let t = || node(&client, T);
    let (average, count) = (average(), count());
    let maximum: NodeId = ObjectId::AggregateFunction_Maximum.into();
    let is = |result: &HistoryReadResult, x: f64| assert_eq!((result.status_code, numbers(result)), (S::Good, vec![x]));
    let over = |aggregates: &[&NodeId]| {
        let aggregates: Vec<NodeId> = aggregates.iter().map(|id| (*id).clone()).collect();
        details(at(0), at(9), 0.0, &aggregates)
    };
    let results = read(&client, &over(&[&average, &count, &maximum]), vec![t(), t(), t()]).await;
    is(&results[0], 4.0);
    is(&results[1], 9.0);
    is(&results[2], 8.0);
    // The library mixes the order up when others have nodes in the request.
    let mixed = over(&[&count, &average, &count, &maximum, &average, &count]);
    let results = read(&client, &mixed, vec![server(), t(), t(), t(), of_types(), server()]).await;
    assert!(results[0].status_code.is_bad() && results[4].status_code.is_bad() && results[5].status_code.is_bad());
    is(&results[1], 4.0);
    is(&results[2], 9.0);
    is(&results[3], 8.0);
    let short = over(&[&count, &average]);
    let results = read(&client, &short, vec![server(), t(), t()]).await;
    assert_eq!(results[1].status_code, S::BadAggregateListMismatch);
    // A node of a namespace that nobody has, wherever it is.
    let nobody = || foreign(NodeId::new(999, 1));
    let results = read(&client, &mixed, vec![nobody(), t(), t(), t(), nobody(), nobody()]).await;
    let statuses = [0, 4, 5].map(|i: usize| results[i].status_code);
    assert_eq!(statuses, [S::BadNodeIdUnknown; 3]);
    is(&results[1], 4.0);
    is(&results[2], 9.0);
    is(&results[3], 8.0);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_is_used_up_keeps_no_other_node_from_going_on() {
    let (fixture, client) = with_history(10).await;
    let wanted = |n| details(at(0), at(10), 0.5, &vec![ObjectId::AggregateFunction_Interpolative.into(); n]);
    let nodes = |points: &[ByteString]| {
        let node = |point: &ByteString| HistoryReadValueId { continuation_point: point.clone(), ..node(&client, T) };
        points.iter().map(node).collect::<Vec<_>>()
    };
    let begin = async || -> Vec<ByteString> {
        let begun =
            read(&client, &wanted(3), nodes(&[ByteString::null(), ByteString::null(), ByteString::null()])).await;
        begun.into_iter().map(|result| result.continuation_point).collect()
    };
    for used in 0..3 {
        let points = begin().await;
        assert_eq!(read(&client, &wanted(1), nodes(&points[used..=used])).await[0].status_code, StatusCode::Good);
        let results = read(&client, &wanted(3), nodes(&points)).await;
        for (i, result) in results.iter().enumerate() {
            let expected = if i == used { StatusCode::BadContinuationPointInvalid } else { StatusCode::Good };
            assert_eq!(result.status_code, expected, "node {i}, used {used}");
        }
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_intervals_than_a_page_come_in_pages() {
    let (fixture, client) = with_history(10).await;
    let wanted = details(at(0), at(10), 0.5, &[ObjectId::AggregateFunction_Interpolative.into()]);
    let (mut found, mut point) = (Vec::new(), ByteString::null());
    loop {
        let nodes = vec![HistoryReadValueId { continuation_point: point, ..node(&client, T) }];
        let result = read(&client, &wanted, nodes).await.remove(0);
        assert_eq!(result.status_code, StatusCode::Good);
        found.extend(values(&result));
        point = result.continuation_point;
        if point.is_null_or_empty() {
            break;
        }
    }
    assert_eq!(found.len(), 20_000);
    let start = at(0).ticks();
    assert!(
        found
            .iter()
            .zip(0..)
            .all(|(value, i)| ua::timestamp(value.source_timestamp.unwrap()).ticks() == start + i * 5_000)
    );
    // A point of one aggregate is none of another's.
    let first = read(&client, &wanted, vec![node(&client, T)]).await.remove(0);
    let other = ReadProcessedDetails { aggregate_type: Some(vec![average()]), ..wanted };
    let nodes = vec![HistoryReadValueId { continuation_point: first.continuation_point, ..node(&client, T) }];
    assert_eq!(read(&client, &other, nodes).await[0].status_code, StatusCode::BadContinuationPointInvalid);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_defaults_are_the_nodes_own() {
    let (fixture, client) = with_history(0).await;
    let bad = |i| Sample::bad(at(i), StatusCode::BadSensorFailure);
    for twin in ["Heater1", "Bare1"] {
        let facet = if twin == "Bare1" { Facet::Variable(0) } else { Facet::Variable(TEMPERATURE) };
        let series = fixture.series(twin, facet);
        let all = [0, 1, 2, 4].map(|i| Sample::good(at(i), 1.0)).into_iter().chain([bad(3)]);
        let all: Vec<_> = all.map(|sample| (series, sample)).collect();
        fixture.store.append(&all).unwrap();
    }
    // Two of four seconds are Good, none is surely so before the Bad sample. Temperature is Good from 50 % on, Level (Part 13's defaults) from 100 %.
    let time_average: NodeId = ObjectId::AggregateFunction_TimeAverage2.into();
    let wanted = details(at(0), at(4), 0.0, &[time_average.clone(), time_average]);
    let results = read(&client, &wanted, vec![node(&client, T), node(&client, "Bare1.Level")]).await;
    let statuses: Vec<_> = results.iter().map(|result| values(result)[0].status.unwrap()).collect();
    assert!(statuses[0].is_good() && statuses[1].is_uncertain(), "{statuses:?}");
    let own = client.value("Heater1.Temperature.HA Configuration.AggregateConfiguration.PercentDataGood").await;
    assert_eq!(own.value, Some(Variant::Byte(50)));
    let plain = client.value("Bare1.Level.HA Configuration.AggregateConfiguration.PercentDataGood").await;
    assert_eq!(plain.value, Some(Variant::Byte(100)));
    fixture.stop().await;
}
