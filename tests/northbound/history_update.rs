//! HistoryUpdate: what each value answers, who may, what is kept of what was there.

use opcua::{client::HistoryUpdateAction, types::*};
use uatwin::{history::HistoryStore, northbound::Role, time::Timestamp, twin::Facet, ua};

use crate::{
    history::{at, numbers, page, raw, values, with_history},
    support::{Client, Fixture, TEMPERATURE},
};

fn value(i: i32, value: impl Into<Variant>) -> DataValue {
    DataValue {
        value: Some(value.into()),
        status: Some(StatusCode::Good),
        source_timestamp: Some(ua::date_time(at(i))),
        ..DataValue::default()
    }
}

fn data(client: &Client, path: &str, kind: PerformUpdateType, values: Vec<DataValue>) -> HistoryUpdateAction {
    let node_id = client.id(path);
    UpdateDataDetails { node_id, perform_insert_replace: kind, update_values: Some(values) }.into()
}

fn annotations(client: &Client, path: &str, kind: PerformUpdateType, values: Vec<DataValue>) -> HistoryUpdateAction {
    let node_id = client.id(path);
    UpdateStructureDataDetails { node_id, perform_insert_replace: kind, update_values: Some(values) }.into()
}

fn range(client: &Client, path: &str, start: Timestamp, end: Timestamp, modified: bool) -> HistoryUpdateAction {
    DeleteRawModifiedDetails {
        node_id: client.id(path),
        is_delete_modified: modified,
        start_time: ua::date_time(start),
        end_time: ua::date_time(end),
    }
    .into()
}

fn times(client: &Client, path: &str, times: &[i32]) -> HistoryUpdateAction {
    let req_times = Some(times.iter().map(|i| ua::date_time(at(*i))).collect());
    DeleteAtTimeDetails { node_id: client.id(path), req_times }.into()
}

fn note(i: i32, message: &str, user: &str, made: i32) -> DataValue {
    let annotation = Annotation {
        message: message.into(),
        user_name: user.into(),
        annotation_time: if made < 0 { DateTime::null() } else { ua::date_time(at(made)) },
    };
    value(i, ExtensionObject::from_message(annotation))
}

async fn update(client: &Client, action: HistoryUpdateAction) -> (StatusCode, Vec<StatusCode>) {
    let result = client.history_update(&[action]).await.unwrap().remove(0);
    (result.status_code, result.operation_results.unwrap_or_default())
}

async fn all(client: &Client) -> Vec<i32> {
    numbers(&values(&page(client, &raw(at(-100), at(100), 0, false), "Heater1.Temperature", ByteString::null()).await))
}

const T: &str = "Heater1.Temperature";

#[tokio::test(flavor = "multi_thread")]
async fn insert_replace_and_update_answer_for_each_value() {
    use StatusCode as S;
    let (fixture, client) = with_history(3).await;
    let insert = data(&client, T, PerformUpdateType::Insert, vec![value(1, 9.0), value(5, 50.0), value(5, 51.0)]);
    assert_eq!(
        update(&client, insert).await,
        (S::Good, vec![S::BadEntryExists, S::GoodEntryInserted, S::BadEntryExists])
    );
    let replace = data(&client, T, PerformUpdateType::Replace, vec![value(1, 10.0), value(6, 9.0)]);
    assert_eq!(update(&client, replace).await, (S::Good, vec![S::GoodEntryReplaced, S::BadNoEntryExists]));
    let either = data(&client, T, PerformUpdateType::Update, vec![value(2, 20.0), value(7, 70.0)]);
    assert_eq!(update(&client, either).await, (S::Good, vec![S::GoodEntryReplaced, S::GoodEntryInserted]));
    assert_eq!(all(&client).await, [0, 10, 20, 50, 70]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_taken_keeps_no_other_from_being_taken() {
    use StatusCode as S;
    let (fixture, client) = with_history(0).await;
    let without_time = DataValue { source_timestamp: None, ..value(1, 1.0) };
    let null_time = DataValue { source_timestamp: Some(DateTime::null()), ..value(1, 1.0) };
    let no_value = DataValue { value: None, ..value(3, 1.0) };
    let bad = DataValue { status: Some(S::BadSensorFailure), ..no_value.clone() };
    let array = value(4, vec![1.0, 2.0]);
    let given = vec![value(1, 1.0), value(2, 1i32), without_time, null_time, no_value, bad, array, value(5, 5.0)];
    let (status, results) = update(&client, data(&client, T, PerformUpdateType::Insert, given)).await;
    let expected = [
        S::GoodEntryInserted,
        S::BadTypeMismatch,
        S::BadInvalidTimestamp,
        S::BadInvalidTimestamp,
        S::BadTypeMismatch,
        S::GoodEntryInserted,
        S::BadTypeMismatch,
        S::GoodEntryInserted,
    ];
    assert_eq!((status, results), (S::Good, expected.to_vec()));
    let stored = values(&page(&client, &raw(at(0), at(9), 0, false), T, ByteString::null()).await);
    assert_eq!(stored.iter().map(|v| v.status.unwrap()).collect::<Vec<_>>(), [S::Good, S::BadSensorFailure, S::Good]);
    // The server's time is when it came in, where the client gave none.
    assert!(stored[0].server_timestamp.unwrap() > stored[0].source_timestamp.unwrap());
    for wrong in [
        data(&client, T, PerformUpdateType::Remove, vec![value(1, 1.0)]),
        data(&client, T, PerformUpdateType::Insert, vec![]),
    ] {
        assert!(update(&client, wrong).await.0.is_bad());
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_times_are_deleted_the_end_excluded() {
    use StatusCode as S;
    let (fixture, client) = with_history(10).await;
    assert_eq!(update(&client, range(&client, T, at(2), at(5), false)).await.0, S::Good);
    assert_eq!(all(&client).await, [0, 1, 5, 6, 7, 8, 9]);
    assert_eq!(update(&client, range(&client, T, at(2), at(5), false)).await.0, S::BadNoData);
    assert_eq!(update(&client, range(&client, T, at(6), at(6), false)).await.0, S::Good);
    let deleted = update(&client, times(&client, T, &[8, 3, 0, 8])).await;
    assert_eq!(deleted, (S::Good, vec![S::Good, S::BadNoEntryExists, S::Good, S::BadNoEntryExists]));
    assert_eq!(all(&client).await, [1, 5, 7, 9]);
    for (start, end) in [(at(5), at(2)), (Timestamp::NULL, at(5)), (at(5), Timestamp::NULL)] {
        assert_eq!(update(&client, range(&client, T, start, end, false)).await.0, S::BadInvalidTimestampArgument);
    }
    assert_eq!(all(&client).await, [1, 5, 7, 9]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_reads_back_as_modified_with_who_and_when() {
    use HistoryUpdateType as H;
    let (fixture, client) = with_history(3).await;
    let before = ua::date_time(fixture.now());
    for (kind, values) in [
        (PerformUpdateType::Replace, vec![value(1, 10.0)]),
        (PerformUpdateType::Update, vec![value(1, 11.0), value(4, 40.0)]),
    ] {
        update(&client, data(&client, T, kind, values)).await;
    }
    update(&client, times(&client, T, &[2])).await;
    let read = async |start, end, limit, point| {
        let details = ReadRawModifiedDetails { is_read_modified: true, ..raw(start, end, limit, false) };
        page(&client, &details, T, point).await
    };
    let kinds = |result: &HistoryReadResult| {
        let data = result.history_data.inner_as::<HistoryModifiedData>().cloned().unwrap_or_default();
        let infos = data.modification_infos.unwrap_or_default();
        assert!(
            infos.iter().all(|info| info.modification_time >= before && info.user_name == "ANONYMOUS"),
            "{infos:?}"
        );
        let kinds = infos.iter().map(|info| info.update_type);
        numbers(&data.data_values.unwrap_or_default()).into_iter().zip(kinds).collect::<Vec<_>>()
    };
    let forward = vec![(10, H::Replace), (1, H::Replace), (2, H::Delete), (40, H::Insert)];
    assert_eq!(kinds(&read(at(0), at(9), 0, ByteString::null()).await), forward);
    let mut backward = forward.clone();
    backward.reverse();
    assert_eq!(kinds(&read(at(9), at(0), 0, ByteString::null()).await), backward);
    // In pages that part the records of one instant, either way.
    for (start, end, expected) in [(at(0), at(9), &forward), (at(9), at(0), &backward)] {
        let (mut found, mut point) = (Vec::new(), ByteString::null());
        for _ in 0..4 {
            let result = read(start, end, 1, point).await;
            found.extend(kinds(&result));
            point = result.continuation_point;
        }
        assert!(point.is_null_or_empty());
        assert_eq!(&found, expected);
    }
    assert_eq!(kinds(&read(at(1), Timestamp::NULL, 2, ByteString::null()).await), forward[..2]);
    let with_bounds = ReadRawModifiedDetails { is_read_modified: true, ..raw(at(0), at(9), 0, true) };
    let refused = page(&client, &with_bounds, T, ByteString::null()).await;
    assert_eq!(refused.status_code, StatusCode::BadInvalidArgument);
    // They can be deleted in their turn.
    assert_eq!(update(&client, range(&client, T, at(1), at(3), true)).await.0, StatusCode::Good);
    assert_eq!(kinds(&read(at(0), at(9), 0, ByteString::null()).await), forward[3..]);
    assert_eq!(update(&client, range(&client, T, at(1), at(3), true)).await.0, StatusCode::BadNoData);
    assert_eq!(all(&client).await, [0, 11, 40]);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_hides_another_says_so() {
    use PerformUpdateType as K;
    let (fixture, client) = with_history(500).await;
    let extra = StatusCode::from(0x0408);
    let marked = async |start, end, bounds| {
        let found = values(&page(&client, &raw(start, end, 0, bounds), T, ByteString::null()).await);
        let marked = found.iter().filter(|value| value.status == Some(extra)).cloned().collect::<Vec<_>>();
        assert!(found.len() > marked.len(), "the others are as they were");
        numbers(&marked)
    };
    assert!(marked(at(0), at(500), false).await.is_empty());
    update(&client, data(&client, T, K::Replace, vec![value(1, 1001.0)])).await;
    update(&client, times(&client, T, &[0, 2, 3])).await;
    update(&client, data(&client, T, K::Insert, vec![value(2, 1002.0), value(900, 900.0)])).await;
    // Replaced, and deleted and inserted anew; not deleted, not only inserted.
    assert_eq!(marked(at(0), at(901), false).await, [1001, 1002]);
    assert_eq!(marked(at(901), at(0), true).await, [1002, 1001]);
    // Many that were deleted between few do not change that.
    update(&client, range(&client, T, at(5), at(495), false)).await;
    assert_eq!(marked(at(0), at(901), false).await, [1001, 1002]);
    // At times too, where the value is a stored one.
    let req_times = Some([1, 2, 3, 4, 900].map(|i| ua::date_time(at(i))).to_vec());
    let details = ReadAtTimeDetails { req_times, use_simple_bounds: false };
    let wanted = HistoryReadValueId { node_id: client.id(T), ..HistoryReadValueId::default() };
    let details = ExtensionObject::from_message(details);
    let found = client.read_history(details, TimestampsToReturn::Both, false, vec![wanted]).await.remove(0);
    let statuses: Vec<u32> = values(&found).iter().map(|value| value.status.unwrap().bits()).collect();
    assert_eq!(statuses, [0x408, 0x408, 0x402, 0x400, 0x400]);
    // A bound that is not there hides nothing, though a value was deleted there.
    update(&client, times(&client, T, &[1, 2])).await;
    let bound = values(&page(&client, &raw(at(0), at(5), 0, true), T, ByteString::null()).await).remove(0);
    assert_eq!(bound.status, Some(StatusCode::BadBoundNotFound));
    // What is forgotten is hidden no longer.
    update(&client, data(&client, T, K::Replace, vec![value(4, 1004.0)])).await;
    assert_eq!(marked(at(0), at(901), false).await, [1004]);
    update(&client, range(&client, T, at(0), at(901), true)).await;
    assert!(marked(at(0), at(901), false).await.is_empty());
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_engineer_changes_history() {
    for role in [Role::Observer, Role::Operator, Role::Engineer] {
        let fixture = Fixture::start_as(role).await;
        let client = fixture.connect().await;
        let is_engineer = role == Role::Engineer;
        let expected = |good| if is_engineer { good } else { StatusCode::BadUserAccessDenied };
        let insert = data(&client, T, PerformUpdateType::Insert, vec![value(1, 1.0)]);
        assert_eq!(update(&client, insert).await.0, expected(StatusCode::Good), "{role:?}");
        assert_eq!(update(&client, times(&client, T, &[1])).await.0, expected(StatusCode::Good), "{role:?}");
        let delete = range(&client, T, at(0), at(9), false);
        assert_eq!(update(&client, delete).await.0, expected(StatusCode::BadNoData), "{role:?}");
        let annotate = annotations(&client, T, PerformUpdateType::Insert, vec![note(1, "a", "", -1)]);
        assert_eq!(update(&client, annotate).await.0, expected(StatusCode::Good), "{role:?}");
        let series = fixture.series("Heater1", Facet::Variable(TEMPERATURE));
        let notes = fixture.store.annotations(series, at(0)..at(9), uatwin::history::Direction::Forward, 0, 9).unwrap();
        assert_eq!(notes.len(), usize::from(is_engineer));
        let bits = async |attribute| match client.read_attribute(&client.id(T), attribute).await.value {
            Some(Variant::Byte(bits)) => bits,
            other => panic!("{other:?}"),
        };
        // HistoryRead 4, HistoryWrite 8 (OPC 10000-3 §8.57).
        assert_eq!(bits(AttributeId::AccessLevel).await & 12, 12);
        assert_eq!(bits(AttributeId::UserAccessLevel).await & 12, if is_engineer { 12 } else { 4 }, "{role:?}");
        fixture.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_of_a_mixed_request_answers_for_itself() {
    use StatusCode as S;
    let (fixture, client) = with_history(1).await;
    let insert = |path: &str| data(&client, path, PerformUpdateType::Insert, vec![value(3, 3.0)]);
    let nobody = UpdateDataDetails {
        node_id: ObjectId::Server.into(),
        perform_insert_replace: PerformUpdateType::Insert,
        update_values: Some(vec![value(3, 3.0)]),
    };
    let actions = [
        insert("Nobody"),
        insert(T),
        insert("Heater1.Counter"),
        nobody.into(),
        insert("Heater1.Temperature.Residual"),
        insert("Heater1.Model.Parameters.C"),
        range(&client, "Heater2.Temperature", at(0), at(9), false),
        insert("Heater2.Temperature"),
    ];
    let results = client.history_update(&actions).await.unwrap();
    let unsupported = S::BadHistoryOperationUnsupported;
    let expected =
        [S::BadNodeIdUnknown, S::Good, unsupported, unsupported, unsupported, unsupported, S::BadNoData, S::Good];
    assert_eq!(results.iter().map(|result| result.status_code).collect::<Vec<_>>(), expected);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn annotations_are_written_and_read_by_time_and_by_range() {
    use StatusCode as S;
    let (fixture, client) = with_history(5).await;
    let path = "Heater1.Temperature.Annotations";
    let given = vec![
        note(1, "a", "ann", 7),
        note(1, "b", "", -1),
        note(3, "c", "ann", 7),
        note(1, "x", "ann", 7),
        value(2, 1.0),
    ];
    let (_, inserted) = update(&client, annotations(&client, path, PerformUpdateType::Insert, given)).await;
    let ok = S::GoodEntryInserted;
    assert_eq!(inserted, [ok, ok, ok, S::BadEntryExists, S::BadTypeMismatch]);
    let (_, replaced) = update(
        &client,
        annotations(&client, T, PerformUpdateType::Replace, vec![note(3, "C", "ann", 7), note(4, "d", "ann", 7)]),
    )
    .await;
    assert_eq!(replaced, [S::GoodEntryReplaced, S::BadNoEntryExists]);
    let message = |value: &Variant| match value {
        Variant::ExtensionObject(object) => {
            let annotation = object.inner_as::<Annotation>().unwrap();
            assert!(!annotation.annotation_time.is_null());
            format!("{}:{}", annotation.user_name, annotation.message)
        }
        other => panic!("{other:?}"),
    };
    let messages = |result: &HistoryReadResult| {
        let each = values(result).into_iter().map(|value| match value.value {
            Some(Variant::Array(several)) => several.values.iter().map(message).collect::<Vec<_>>().join("+"),
            None | Some(Variant::Empty) => value.status.unwrap().to_string(),
            Some(one) => message(&one),
        });
        each.collect::<Vec<_>>()
    };
    // By range: the history of `Annotations`, in pages and backward.
    let forward = page(&client, &raw(at(0), at(9), 0, false), path, ByteString::null()).await;
    assert_eq!(messages(&forward), ["ann:a", "ANONYMOUS:b", "ann:C"]);
    let first = page(&client, &raw(at(9), at(0), 2, false), path, ByteString::null()).await;
    assert_eq!(messages(&first), ["ann:C", "ANONYMOUS:b"]);
    let second = page(&client, &raw(at(9), at(0), 2, false), path, first.continuation_point).await;
    assert_eq!((messages(&second), second.continuation_point.is_null_or_empty()), (vec!["ann:a".to_owned()], true));
    // At times, of either node.
    for path in [T, path] {
        let req_times = Some([3, 2, 1].map(|i| ua::date_time(at(i))).to_vec());
        let details = ExtensionObject::from_message(ReadAnnotationDataDetails { req_times });
        let node = HistoryReadValueId { node_id: client.id(path), ..HistoryReadValueId::default() };
        let found = client.read_history(details, TimestampsToReturn::Both, false, vec![node]).await.remove(0);
        assert_eq!(messages(&found), ["ann:C".to_owned(), S::BadNoData.to_string(), "ann:a+ANONYMOUS:b".to_owned()]);
    }
    let gone =
        annotations(&client, path, PerformUpdateType::Remove, vec![note(1, "", "ann", 7), note(1, "", "ann", 7)]);
    assert_eq!(update(&client, gone).await.1, [S::Good, S::BadNoEntryExists]);
    let left = page(&client, &raw(at(0), at(9), 0, false), path, ByteString::null()).await;
    assert_eq!(messages(&left), ["ANONYMOUS:b", "ann:C"]);
    // They are no values, and the variable's values no annotations.
    let wrong = data(&client, path, PerformUpdateType::Insert, vec![value(1, 1.0)]);
    assert_eq!(update(&client, wrong).await.0, S::BadHistoryOperationUnsupported);
    fixture.stop().await;
}
