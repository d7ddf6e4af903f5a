//! Subscriptions, and a test for each work-around of the library's bugs (B3, B7, B8 of async-opcua 0.19).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opcua::{client::DataChangeCallback, types::*};
use uatwin::{sample::Sample, time::Timestamp, twin::Facet, ua};

use crate::support::{Client, Fixture, TEMPERATURE};

type Received = Arc<Mutex<Vec<DataValue>>>;

struct Watched {
    subscription: u32,
    item: u32,
    client_handle: u32,
    received: Received,
}

/// One item without filter, its own subscription of 50 ms.
async fn watch(client: &Client, path: &str, sampling_interval: f64, lifetime: u32) -> Watched {
    let received = Received::default();
    let sink = Arc::clone(&received);
    let callback = DataChangeCallback::new(move |value, _| sink.lock().unwrap().push(value));
    let subscription =
        client.create_subscription(Duration::from_millis(50), lifetime, 3, 0, 0, true, callback).await.unwrap();
    let mut request: MonitoredItemCreateRequest = client.id(path).into();
    request.requested_parameters.sampling_interval = sampling_interval;
    request.requested_parameters.queue_size = 1000;
    request.requested_parameters.discard_oldest = true;
    let items = client.create_monitored_items(subscription, TimestampsToReturn::Both, vec![request]).await.unwrap();
    assert_eq!(items[0].result.status_code, StatusCode::Good);
    let (item, client_handle) = (items[0].result.monitored_item_id, items[0].requested_parameters.client_handle);
    Watched { subscription, item, client_handle, received }
}

/// Waits until `done` holds of what came, however long a busy machine takes.
async fn until(received: &Received, done: impl Fn(&[DataValue]) -> bool) -> Vec<DataValue> {
    for _ in 0..1_000 {
        {
            let now = received.lock().unwrap();
            if done(&now) {
                return now.clone();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came; got {:?}", received.lock().unwrap());
}

/// `count` samples 7 ms apart, numbered from `first`; the last one again and again until it is seen.
async fn feed(fixture: &Fixture, received: &Received, first: i32, count: i32) -> (Vec<Timestamp>, Vec<DataValue>) {
    let start = fixture.now();
    let times: Vec<Timestamp> = (0..count).map(|i| start.plus_seconds(0.007 * f64::from(i))).collect();
    for (i, at) in (first..).zip(&times) {
        fixture.set("Heater1", Facet::Variable(TEMPERATURE), Sample::good(*at, f64::from(i)));
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    let last = Some(Variant::Double(f64::from(first + count - 1)));
    (times, until(received, |all| all.iter().any(|value| value.value == last)).await)
}

/// The values from `first` on.
fn since(values: &[DataValue], first: i32) -> Vec<&DataValue> {
    values.iter().filter(|v| matches!(v.value, Some(Variant::Double(x)) if x >= f64::from(first))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_source_timestamp_is_false_at_any_sampling_interval() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    for (sampling_interval, is_stamped) in [(0.0, true), (100.0, true), (250.0, true), (1000.0, true), (-1.0, false)] {
        fixture.set("Heater1", Facet::Variable(TEMPERATURE), fixture.good(-1.0));
        let watched = watch(&client, "Heater1.Temperature", sampling_interval, 1000).await;
        until(&watched.received, |all| !all.is_empty()).await;
        let (times, values) = feed(&fixture, &watched.received, 100, 60).await;
        let values = since(&values, 100);
        assert_eq!(values.len(), 60, "complete at {sampling_interval}");
        for (value, at) in values.iter().zip(&times) {
            let expected = is_stamped.then(|| ua::date_time(*at));
            assert_eq!(value.source_timestamp, expected, "at {sampling_interval}");
            assert!(value.server_timestamp.is_some());
        }
        client.delete_subscription(watched.subscription).await.unwrap();
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_after_modify_monitored_items() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    for (sampling_interval, is_stamped) in [(0.0, true), (250.0, false), (-1.0, false)] {
        fixture.set("Heater1", Facet::Variable(TEMPERATURE), fixture.good(-1.0));
        let watched = watch(&client, "Heater1.Temperature", 100.0, 1000).await;
        until(&watched.received, |all| !all.is_empty()).await;
        let request = MonitoredItemModifyRequest {
            monitored_item_id: watched.item,
            requested_parameters: MonitoringParameters {
                client_handle: watched.client_handle,
                sampling_interval,
                queue_size: 1000,
                discard_oldest: true,
                ..MonitoringParameters::default()
            },
        };
        let results =
            client.modify_monitored_items(watched.subscription, TimestampsToReturn::Both, &[request]).await.unwrap();
        assert_eq!(results[0].status_code, StatusCode::Good);
        let (times, values) = feed(&fixture, &watched.received, 100, 40).await;
        let values = since(&values, 100);
        assert_eq!(values.len(), 40, "complete at {sampling_interval}");
        for (value, at) in values.iter().zip(&times) {
            assert_eq!(value.source_timestamp, is_stamped.then(|| ua::date_time(*at)), "at {sampling_interval}");
        }
        client.delete_subscription(watched.subscription).await.unwrap();
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_sample_is_not_given_the_stamp_of_another() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let now = fixture.now();
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), Sample::good(now, 1.0));
    let watched = watch(&client, "Heater1.Temperature", 100.0, 1000).await;
    until(&watched.received, |all| !all.is_empty()).await;
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), Sample::good(now.plus_seconds(-5.0), 2.0));
    let values = until(&watched.received, |all| all.len() >= 2).await;
    assert_eq!((values[1].value.clone(), values[1].source_timestamp), (Some(Variant::Double(2.0)), None));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_to_bad_reaches_a_client_that_set_no_filter() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let sample = fixture.good(20.0);
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), sample.clone());
    let watched = watch(&client, "Heater1.Temperature", 0.0, 1000).await;
    until(&watched.received, |all| all.len() == 1).await;
    // The same number, frozen: only the status changes.
    let at = fixture.now();
    let frozen = Sample { status: StatusCode::BadNoCommunication, source_timestamp: at, ..sample.clone() };
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), frozen);
    let values = until(&watched.received, |all| all.len() == 2).await;
    assert_eq!(
        (values[1].status, values[1].value.clone()),
        (Some(StatusCode::BadNoCommunication), Some(Variant::Empty))
    );
    assert_eq!(values[1].source_timestamp, Some(ua::date_time(at)));
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), Sample { source_timestamp: fixture.now(), ..sample });
    let values = until(&watched.received, |all| all.len() == 3).await;
    assert_eq!((values[2].status(), values[2].value.clone()), (StatusCode::Good, Some(Variant::Double(20.0))));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plc_that_never_answered_is_told_from_one_that_is_waited_for() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let watched = watch(&client, "Heater1.Temperature", 0.0, 1000).await;
    let values = until(&watched.received, |all| !all.is_empty()).await;
    assert_eq!(values[0].status(), StatusCode::BadWaitingForInitialData);
    let lost = Sample::bad(fixture.now(), StatusCode::BadNoCommunication);
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), lost);
    let values = until(&watched.received, |all| all.len() == 2).await;
    assert_eq!(values[1].status(), StatusCode::BadNoCommunication);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_items_of_a_client_that_crashed_are_forgotten() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let watched = watch(&client, "Heater1.Temperature", 0.0, 10).await;
    watch(&client, "Heater1.Statistics.Temperature.Mean", 0.0, 10).await;
    until(&watched.received, |all| !all.is_empty()).await;
    let living = fixture.connect().await;
    let other = watch(&living, "Heater2.Temperature", 0.0, 1000).await;
    until(&other.received, |all| !all.is_empty()).await;
    assert_eq!(fixture.publisher.watched(), 3);
    client.crash();
    // Lifetime: 10 × 50 ms. The library will not say when it is over.
    for _ in 0..500 {
        fixture.publisher.tick(fixture.now());
        if fixture.publisher.watched() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fixture.publisher.watched(), 1);
    fixture.set("Heater2", Facet::Variable(TEMPERATURE), fixture.good(3.0));
    until(&other.received, |all| all.iter().any(|value| value.value == Some(Variant::Double(3.0)))).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_items_and_subscriptions_are_forgotten_and_disabled_ones_are_quiet() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let watched = watch(&client, "Heater1.Temperature", 0.0, 1000).await;
    until(&watched.received, |all| !all.is_empty()).await;
    let (subscription, item) = (watched.subscription, watched.item);
    client.set_monitoring_mode(subscription, MonitoringMode::Disabled, &[item]).await.unwrap();
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), fixture.good(1.0));
    client.set_monitoring_mode(subscription, MonitoringMode::Reporting, &[item]).await.unwrap();
    fixture.set("Heater1", Facet::Variable(TEMPERATURE), fixture.good(2.0));
    let values = until(&watched.received, |all| all.iter().any(|v| v.value == Some(Variant::Double(2.0)))).await;
    assert!(!values.iter().any(|value| value.value == Some(Variant::Double(1.0))), "{values:?}");
    client.delete_monitored_items(subscription, &[item]).await.unwrap();
    assert_eq!(fixture.publisher.watched(), 0);
    for _ in 0..3 {
        let watched = watch(&client, "Heater1.Temperature", 0.0, 1000).await;
        assert_eq!(fixture.publisher.watched(), 1);
        client.delete_subscription(watched.subscription).await.unwrap();
        assert_eq!(fixture.publisher.watched(), 0);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_pushed_by_the_tick_when_they_have_changed() {
    let fixture = Fixture::start().await;
    let client = fixture.connect().await;
    let count = watch(&client, "Heater1.Statistics.Temperature.Count", 0.0, 1000).await;
    let state = watch(&client, "plc:line1.State", 0.0, 1000).await;
    until(&state.received, |all| !all.is_empty()).await;
    for i in 0..3 {
        fixture.set("Heater1", Facet::Variable(TEMPERATURE), fixture.good(f64::from(i)));
    }
    fixture.publisher.tick(fixture.now());
    fixture.publisher.tick(fixture.now());
    let values = until(&count.received, |all| all.iter().any(|v| v.value == Some(Variant::UInt32(3)))).await;
    assert_eq!(values.len(), 2, "{values:?}");
    fixture.link.write().unwrap().state = uatwin::southbound::LinkState::Lost;
    fixture.publisher.tick(fixture.now());
    let values = until(&state.received, |all| all.len() >= 2).await;
    assert_eq!(values[1].value, Some(Variant::from("Lost")));
    fixture.stop().await;
}
