//! HistoryRead of events: whose, of which time, which of them, what of each, in which pages, and who may see what.

use std::time::{Duration, Instant};

use opcua::types::*;
use uatwin::{
    event::{Event, EventType, Source},
    history::HistoryStore,
    northbound::Role,
    time::Timestamp,
    ua,
};

use crate::support::{Client, Fixture};

fn at(i: i32) -> Timestamp {
    Timestamp::from_unix_s(1.7e9 + f64::from(i))
}

/// Event `i` of `source`, `i` seconds after the start.
fn event(i: i32, source: &str) -> Event {
    let mut event =
        Event::new(EventType::RevisionEvent, Source::new(source), at(i), 100 + (i % 900) as u16, format!("event {i}"));
    event.id.0[12..].copy_from_slice(&i.to_be_bytes());
    event
}

async fn with_events(events: impl IntoIterator<Item = Event>) -> (Fixture, Client) {
    let fixture = Fixture::start().await;
    fixture.store.append_events(&events.into_iter().collect::<Vec<_>>()).unwrap();
    let client = fixture.connect().await;
    (fixture, client)
}

fn clause(of: ObjectTypeId, path: &str) -> SimpleAttributeOperand {
    SimpleAttributeOperand {
        type_definition_id: of.into(),
        browse_path: Some(path.split('/').map(|name| QualifiedName::new(0, name)).collect()),
        attribute_id: AttributeId::Value as u32,
        index_range: NumericRange::None,
    }
}

fn base(path: &str) -> SimpleAttributeOperand {
    clause(ObjectTypeId::BaseEventType, path)
}

fn filter(select: Vec<SimpleAttributeOperand>, elements: Vec<ContentFilterElement>) -> EventFilter {
    let elements = (!elements.is_empty()).then_some(elements);
    EventFilter { select_clauses: Some(select), where_clause: ContentFilter { elements } }
}

fn details(start: Timestamp, end: Timestamp, number: u32, filter: EventFilter) -> ReadEventDetails {
    let (start_time, end_time) = (ua::date_time(start), ua::date_time(end));
    ReadEventDetails { num_values_per_node: number, start_time, end_time, filter }
}

async fn page(client: &Client, details: &ReadEventDetails, node: &NodeId, point: ByteString) -> HistoryReadResult {
    let node = HistoryReadValueId { node_id: node.clone(), continuation_point: point, ..HistoryReadValueId::default() };
    let details = ExtensionObject::from_message(details.clone());
    client.read_history(details, TimestampsToReturn::Both, false, vec![node]).await.remove(0)
}

fn rows(result: &HistoryReadResult) -> Vec<Vec<Variant>> {
    let events = result.history_data.inner_as::<HistoryEvent>().cloned().unwrap_or_default().events;
    events.unwrap_or_default().into_iter().map(|event| event.event_fields.unwrap_or_default()).collect()
}

/// All pages, and how long each was.
async fn all(client: &Client, details: &ReadEventDetails, node: &NodeId) -> (Vec<Vec<Variant>>, Vec<usize>) {
    let (mut found, mut lengths, mut point) = (Vec::new(), Vec::new(), ByteString::null());
    loop {
        let result = page(client, details, node, point).await;
        assert!(result.status_code.is_good(), "{:?}", result.status_code);
        let own = rows(&result);
        lengths.push(own.len());
        found.extend(own);
        point = result.continuation_point;
        if point.is_null_or_empty() {
            return (found, lengths);
        }
    }
}

/// The numbers in the messages.
fn numbers(rows: &[Vec<Variant>]) -> Vec<i32> {
    let number = |row: &Vec<Variant>| match &row[0] {
        Variant::LocalizedText(text) => text.text.as_ref().rsplit(' ').next().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    };
    rows.iter().map(number).collect()
}

fn message() -> EventFilter {
    filter(vec![base("Message")], Vec::new())
}

async fn read(client: &Client, node: &NodeId, start: i32, end: i32) -> Vec<i32> {
    numbers(&all(client, &details(at(start), at(end), 0, message()), node).await.0)
}

fn server() -> NodeId {
    ObjectId::Server.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn start_end_and_number_choose_what_comes() {
    let (fixture, client) = with_events((0..10).map(|i| event(i, "Heater1"))).await;
    let null = Timestamp::NULL;
    let cases = [
        (at(2), at(5), 0, vec![2, 3, 4]),
        (at(5), at(2), 0, vec![5, 4, 3]),
        (at(3), at(3), 0, vec![3]),
        (at(7), null, 2, vec![7, 8]),
        (at(7), null, 100, vec![7, 8, 9]),
        (null, at(7), 3, vec![7, 6, 5]),
        (at(1), at(8), 3, vec![1, 2, 3, 4, 5, 6, 7]),
        (at(20), at(30), 0, vec![]),
    ];
    for (start, end, number, expected) in cases {
        let details = details(start, end, number, message());
        let (found, lengths) = all(&client, &details, &client.id("Heater1")).await;
        assert_eq!(numbers(&found), expected, "{details:?}");
        let most = if number == 0 { 1_000 } else { number as usize };
        assert!(lengths.iter().all(|length| *length <= most), "{lengths:?}");
        let is_whole = start.is_null() || end.is_null() || number == 0;
        assert!(!is_whole || lengths.len() == 1, "so many, and no more: {lengths:?}");
    }
    let empty = page(&client, &details(at(20), at(30), 0, message()), &client.id("Heater1"), ByteString::null()).await;
    assert_eq!(empty.status_code, StatusCode::GoodNoData);
    for (start, end, number) in [(at(1), null, 0), (null, at(1), 0), (null, null, 5)] {
        let details = details(start, end, number, message());
        let refused = page(&client, &details, &client.id("Heater1"), ByteString::null()).await;
        assert_eq!(refused.status_code, StatusCode::BadHistoryOperationInvalid);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_notifier_tells_its_own_and_nothing_else_has_events() {
    let sources = ["Heater1", "Heater1.Temperature", "Heater2.Mode", "plc:line1", "", "Heater1"];
    let (fixture, client) = with_events((0..).zip(sources).map(|(i, source)| event(i, source))).await;
    assert_eq!(read(&client, &server(), 0, 9).await, [0, 1, 2, 3, 4, 5]);
    for (node, expected) in
        [("Twins", vec![0, 1, 2, 5]), ("Connections", vec![3]), ("Heater1", vec![0, 1, 5]), ("Heater2", vec![2])]
    {
        assert_eq!(read(&client, &client.id(node), 0, 9).await, expected, "{node}");
    }
    let details = details(at(0), at(9), 0, message());
    for (node, expected) in [
        (client.id("Heater1.Temperature"), StatusCode::BadHistoryOperationUnsupported),
        (client.id("History"), StatusCode::BadHistoryOperationUnsupported),
        (client.id("Heater1.Model"), StatusCode::BadHistoryOperationUnsupported),
        (client.id("Nobody"), StatusCode::BadNodeIdUnknown),
        (ObjectId::ObjectsFolder.into(), StatusCode::BadHistoryOperationUnsupported),
    ] {
        let result = page(&client, &details, &node, ByteString::null()).await;
        assert_eq!(result.status_code, expected, "{node}");
    }
    // What reads values has no events, and the other way round.
    let values = crate::history::raw(at(0), at(9), 0, false);
    let values = crate::history::page(&client, &values, "Heater1", ByteString::null()).await;
    assert_eq!(values.status_code, StatusCode::BadHistoryOperationUnsupported);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_chooses_events_and_fields_and_an_unknown_field_shifts_none() {
    let alarm = |i| {
        let event = Event { kind: EventType::DriftAlarm, ..event(i, "Heater1.Temperature") };
        event.with("ConditionId", "Heater1.Temperature.DriftAlarm").with("ConditionName", "DriftAlarm")
    };
    let (fixture, client) = with_events((0..6).map(|i| if i < 3 { event(i, "Heater1") } else { alarm(i) })).await;
    let select = vec![
        base("Message"),
        base("NoSuchField"),
        base("Severity"),
        clause(ObjectTypeId::ConditionType, "NoSuchField"),
        clause(ObjectTypeId::ConditionType, "ConditionName"),
        base("SourceName"),
        base("Time"),
    ];
    let severity = |operator, number: u16| {
        ContentFilterElement::from((
            operator,
            vec![Operand::SimpleAttributeOperand(base("Severity")), Operand::literal(number)],
        ))
    };
    let heater = client.id("Heater1");
    let wanted = details(at(0), at(9), 0, filter(select.clone(), vec![severity(FilterOperator::GreaterThan, 101)]));
    let (found, _) = all(&client, &wanted, &heater).await;
    assert_eq!(numbers(&found), [2, 3, 4, 5]);
    let rest = |row: &[Variant]| row[1..].to_vec();
    let text = |text: &str| Variant::from(UAString::from(text));
    let (null, time) = (Variant::Empty, |i| Variant::from(ua::date_time(at(i))));
    assert_eq!(rest(&found[0]), [null.clone(), 102_u16.into(), null.clone(), null.clone(), text("Heater1"), time(2)]);
    let name = text("Heater1.Temperature");
    assert_eq!(rest(&found[1]), [null.clone(), 103_u16.into(), null, text("DriftAlarm"), name, time(3)]);
    let of_type = |id: NodeId| ContentFilterElement::from((FilterOperator::OfType, vec![Operand::literal(id)]));
    let conditions = filter(vec![base("Message")], vec![of_type(ObjectTypeId::ConditionType.into())]);
    let (found, _) = all(&client, &details(at(0), at(9), 2, conditions), &server()).await;
    assert_eq!(numbers(&found), [3, 4, 5]);
    // The condition itself.
    let mut itself = clause(ObjectTypeId::ConditionType, "");
    (itself.browse_path, itself.attribute_id) = (Some(Vec::new()), AttributeId::NodeId as u32);
    let wanted =
        details(at(0), at(9), 0, filter(vec![base("Message"), itself], vec![severity(FilterOperator::Equals, 104)]));
    let (found, _) = all(&client, &wanted, &heater).await;
    assert_eq!(found[0][1], Variant::from(client.id("Heater1.Temperature.DriftAlarm")));

    let and = |a, b| ContentFilterElement::from((FilterOperator::And, vec![Operand::element(a), Operand::element(b)]));
    // Each element is worked out once, however often it is referred to.
    let doubling = (1..60).map(|next| and(next, next)).chain([severity(FilterOperator::GreaterThan, 1)]).collect();
    let (found, _) = all(&client, &details(at(0), at(9), 0, filter(vec![base("Message")], doubling)), &heater).await;
    assert_eq!(numbers(&found), [0, 1, 2, 3, 4, 5]);
    for invalid in [
        filter(Vec::new(), Vec::new()),
        filter(select.clone(), vec![ContentFilterElement::from((FilterOperator::Equals, vec![Operand::literal(1)]))]),
        filter(select, vec![and(0, 0)]),
    ] {
        let result = page(&client, &details(at(0), at(9), 0, invalid), &heater, ByteString::null()).await;
        assert_eq!(result.status_code, StatusCode::BadEventFilterInvalid);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_lose_nor_double_though_many_came_at_one_instant() {
    let many = |i: i32| {
        let mut event = event(i, if i % 2 == 0 { "Heater1" } else { "Heater2.Mode" });
        event.time = at(i / 700);
        event
    };
    let (fixture, client) = with_events((0..5_000).map(many)).await;
    let expected: Vec<i32> = (0..5_000).collect();
    let (found, lengths) = all(&client, &details(at(0), at(99), 0, message()), &server()).await;
    assert_eq!((numbers(&found), lengths), (expected.clone(), vec![1_000; 5]));
    let (found, lengths) = all(&client, &details(at(99), at(-1), 333, message()), &client.id("Twins")).await;
    assert!(numbers(&found).iter().eq(expected.iter().rev()));
    assert_eq!(lengths[..15], [333; 15]);
    let (found, _) = all(&client, &details(at(0), at(99), 7, message()), &client.id("Heater1")).await;
    assert!(numbers(&found).iter().eq(expected.iter().filter(|i| *i % 2 == 0)));
    // A point is good once, and for what it was given for.
    let heater = client.id("Heater1");
    let wanted = details(at(0), at(99), 7, message());
    let first = page(&client, &wanted, &heater, ByteString::null()).await;
    let other = details(at(0), at(99), 7, filter(vec![base("Time")], Vec::new()));
    let refused = page(&client, &other, &heater, first.continuation_point).await;
    assert_eq!(refused.status_code, StatusCode::BadContinuationPointInvalid);
    let first = page(&client, &wanted, &heater, ByteString::null()).await;
    let second = page(&client, &wanted, &heater, first.continuation_point.clone()).await;
    assert_eq!(numbers(&rows(&second)), [14, 16, 18, 20, 22, 24, 26]);
    let again = page(&client, &wanted, &heater, first.continuation_point).await;
    assert_eq!(again.status_code, StatusCode::BadContinuationPointInvalid);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_fits_into_a_message() {
    let long = |i| Event { message: format!("{} {i}", "x".repeat(60_000)), ..event(i, "Heater1") };
    let (fixture, client) = with_events((0..300).map(long)).await;
    let wanted = details(at(0), at(999), 0, message());
    let (found, lengths) = all(&client, &wanted, &client.id("Heater1")).await;
    assert_eq!(numbers(&found), (0..300).collect::<Vec<_>>());
    // 8 MiB each.
    assert_eq!(lengths, [139, 139, 22]);
    // Several nodes share them.
    let node = |path: &str| HistoryReadValueId { node_id: client.id(path), ..HistoryReadValueId::default() };
    let nodes = vec![node("Heater1"), node("Twins"), node("Heater2")];
    let wanted = ExtensionObject::from_message(wanted);
    let results = client.read_history(wanted, TimestampsToReturn::Both, false, nodes).await;
    let lengths: Vec<_> = results.iter().map(|result| rows(result).len()).collect();
    assert_eq!(lengths, [46, 46, 0]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fits_nothing_keeps_nobody_waiting() {
    let (fixture, client) = with_events((0..100_000).map(|i| event(i, "Heater1"))).await;
    let like = Operand::literal("%nothing like this%");
    let element = ContentFilterElement::from((
        FilterOperator::Like,
        vec![Operand::SimpleAttributeOperand(base("Message")), like],
    ));
    let wanted = details(at(-1), at(100_001), 0, filter(vec![base("Message")], vec![element]));
    let mut point = ByteString::null();
    let mut pages = 0;
    loop {
        let began = Instant::now();
        let result = page(&client, &wanted, &server(), point).await;
        let taken = began.elapsed();
        assert!(taken < Duration::from_secs(10), "a page took {taken:?}");
        assert_eq!(rows(&result).len(), 0);
        pages += 1;
        if result.continuation_point.is_null_or_empty() {
            assert_eq!(result.status_code, StatusCode::GoodNoData);
            break;
        }
        assert_eq!(result.status_code, StatusCode::Good, "there may be more");
        point = result.continuation_point;
    }
    println!("{pages} pages");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_for_those_who_may_see_it() {
    for (role, expected) in
        [(Role::Observer, vec![0, 2]), (Role::Operator, vec![0, 2]), (Role::Engineer, vec![0, 1, 2])]
    {
        let fixture = Fixture::start_as(role).await;
        let audit = Event { kind: EventType::AuditWriteUpdateEvent, ..event(1, "Heater1.Temperature") };
        fixture.store.append_events(&[event(0, "Heater1"), audit, event(2, "Heater1")]).unwrap();
        let client = fixture.connect().await;
        for node in [server(), client.id("Twins"), client.id("Heater1")] {
            assert_eq!(read(&client, &node, 0, 9).await, expected, "{role:?}: {node}");
        }
        fixture.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_capabilities_say_what_there_is() {
    let (fixture, client) = with_events([]).await;
    let mut nodes = vec![(server(), 5), (ObjectId::ObjectsFolder.into(), 0)];
    nodes.extend(
        [("Twins", 5), ("Connections", 5), ("Heater1", 5), ("Heater2", 5), ("History", 0), ("Heater1.Model", 0)]
            .map(|(path, bits)| (client.id(path), bits)),
    );
    for (node, bits) in nodes {
        let value = client.read_attribute(&node, AttributeId::EventNotifier).await;
        assert_eq!(value.value, Some(Variant::Byte(bits)), "{node}");
    }
    let value = async |id: VariableId| client.read_value(&id.into()).await.value.unwrap();
    assert_eq!(value(VariableId::HistoryServerCapabilities_AccessHistoryEventsCapability).await, true.into());
    assert_eq!(value(VariableId::HistoryServerCapabilities_MaxReturnEventValues).await, 1_000_u32.into());
    let limit = VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadEvents;
    assert_eq!(value(limit).await, 1_000_u32.into());
    fixture.stop().await;
}
