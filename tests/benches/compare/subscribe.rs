//! One subscription on all variables. Every value carries the instant at which the source changed, so what did not come is
//! counted, however late the rest is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opcua::{
    core::ResponseMessage,
    types::{
        AttributeId, CreateMonitoredItemsRequest, CreateSubscriptionRequest, DataChangeNotification,
        MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, PublishRequest, PublishResponse, ReadValueId,
        SubscriptionAcknowledgement, TimestampsToReturn, Variant,
    },
};
use serde_json::{Value, json};

use super::{
    Arguments,
    channel::{Channel, encoded},
    node,
    server::Watch,
    tenth_of,
};

const PUBLISHING_MS: f64 = 100.0;
const QUEUE: u32 = 10;
/// What makes a chunk of less than 64 KiB.
const ITEMS: u32 = 500;
/// Publish requests that wait at the server.
const PUBLISHES: usize = 8;
/// First values and what the server does at first; how late a value may be.
const SETTLE: u32 = 30;
const GRACE: u32 = 20;
const TENTHS_OF_DAY: u32 = 864_000;

pub(crate) fn measure(arguments: &Arguments) -> Value {
    let mut channel = Channel::open(arguments.text("url"));
    let (count, hz) = (arguments.number("variables", 10_000), arguments.number("hz", 1));
    let subscription = subscribe(&mut channel, arguments.text("namespace"), count);
    for _ in 0..PUBLISHES {
        publish(&mut channel, None);
    }
    let seconds = u32::try_from(arguments.seconds(10).as_secs()).expect("a short time");
    let begin = ((now() + SETTLE) / 10 + 1) * 10;
    let (mut watch, mut told) = (None::<Watch>, None);
    let mut delivered = 0;
    loop {
        let answer = match channel.receive() {
            ResponseMessage::Publish(answer) => answer,
            other => panic!("no notification: {}", other.response_header().service_result),
        };
        publish(&mut channel, Some((subscription, answer.notification_message.sequence_number)));
        delivered += count_in(&answer, begin..begin + 10 * seconds);
        let at = since(begin, now());
        if watch.is_none() && at >= 0 {
            watch = Some(Watch::start(arguments));
        }
        if let (Some(watch), true) = (&watch, told.is_none() && at >= i64::from(10 * seconds)) {
            told = Some(watch.told(0));
        }
        if at >= i64::from(10 * seconds + GRACE) {
            break;
        }
    }
    let mut told = told.expect("the time went by");
    told["count"] = json!(delivered);
    told["expected"] = json!(u64::from(count) * u64::from(hz) * u64::from(seconds));
    told
}

/// Tenths of a second of this day, by the clock that sources go by.
#[expect(clippy::disallowed_methods, reason = "a bench is a program of its own")]
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (since.as_millis() / 100 % u128::from(TENTHS_OF_DAY)) as u32
}

/// From one tenth of the day to another, past midnight too.
fn since(from: u32, to: u32) -> i64 {
    let apart = (i64::from(to) - i64::from(from)).rem_euclid(TENTHS_OF_DAY.into());
    if apart > i64::from(TENTHS_OF_DAY / 2) { apart - i64::from(TENTHS_OF_DAY) } else { apart }
}

fn subscribe(channel: &mut Channel, namespace: &str, count: u32) -> u32 {
    let namespace = channel.namespace(namespace);
    let request = CreateSubscriptionRequest {
        request_header: channel.header(),
        requested_publishing_interval: PUBLISHING_MS,
        requested_lifetime_count: 6_000,
        requested_max_keep_alive_count: 5,
        max_notifications_per_publish: 0,
        publishing_enabled: true,
        priority: 0,
    };
    let ResponseMessage::CreateSubscription(created) = channel.ask(request) else { panic!("no subscription") };
    let indices: Vec<u32> = (1..=count).collect();
    for indices in indices.chunks(ITEMS as usize) {
        let item = |&index: &u32| MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: node(namespace, index),
                attribute_id: AttributeId::Value as u32,
                ..ReadValueId::default()
            },
            monitoring_mode: MonitoringMode::Reporting,
            // 0: as fast as the server can, which with every peer here means when a value changes, without polling.
            requested_parameters: MonitoringParameters {
                client_handle: index,
                sampling_interval: 0.0,
                queue_size: QUEUE,
                discard_oldest: true,
                ..MonitoringParameters::default()
            },
        };
        let request = CreateMonitoredItemsRequest {
            request_header: channel.header(),
            subscription_id: created.subscription_id,
            timestamps_to_return: TimestampsToReturn::Source,
            items_to_create: Some(indices.iter().map(item).collect()),
        };
        let ResponseMessage::CreateMonitoredItems(answer) = channel.ask(request) else { panic!("no items") };
        let results = answer.results.unwrap_or_default();
        let refused = results.iter().find(|result| result.status_code.is_bad());
        assert!(results.len() == indices.len() && refused.is_none(), "{refused:?}");
    }
    created.subscription_id
}

fn publish(channel: &mut Channel, seen: Option<(u32, u32)>) {
    let acknowledgement =
        |(subscription_id, sequence_number)| SubscriptionAcknowledgement { subscription_id, sequence_number };
    let request = PublishRequest {
        request_header: channel.header(),
        subscription_acknowledgements: seen.map(|seen| vec![acknowledgement(seen)]),
    };
    channel.send(&encoded(&request.into()));
}

/// Values whose instant lies in these tenths of the day.
fn count_in(answer: &PublishResponse, tenths: std::ops::Range<u32>) -> u64 {
    let length = i64::from(tenths.end - tenths.start);
    let mut count = 0;
    for data in answer.notification_message.notification_data.iter().flatten() {
        let Some(changes) = data.inner_as::<DataChangeNotification>() else { continue };
        for item in changes.monitored_items.iter().flatten() {
            let Some(Variant::Double(value)) = item.value.value else { continue };
            let tenth = tenth_of(item.client_handle, value).unwrap_or_else(|| panic!("{item:?}"));
            count += u64::from((0..length).contains(&since(tenths.start, tenth)));
        }
    }
    count
}
