//! The client: subscribed to every variable, it looks at each value's SourceTimestamp for how late it is and whether one before it is
//! missing.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opcua::{
    client::{HistoryReadAction, MonitoredItemMap, OnSubscriptionNotificationCore, Session},
    types::{
        AggregateConfiguration, AttributeId, CallMethodRequest, DataChangeNotification, DateTime, HistoryReadValueId,
        MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, NotificationMessage, ObjectId,
        ReadProcessedDetails, ReadValueId, TimestampsToReturn, Variant,
    },
};

const ITEMS_PER_REQUEST: usize = 10_000;
const TICKS_PER_S: i64 = 10_000_000;
/// Of the histogram of delays: a tenth of a millisecond each, ten seconds in all.
const BUCKETS: usize = 100_000;

/// What came, since the last [`begin`](Seen::begin).
pub(crate) struct Seen {
    newest: Vec<i64>,
    period: i64,
    delays: Vec<u32>,
    pub(crate) values: u64,
    pub(crate) lost: i64,
    pub(crate) bad: u64,
}

impl Seen {
    pub(crate) fn new(variables: u32, rate: u32) -> Self {
        let period = TICKS_PER_S / i64::from(rate);
        Self { newest: vec![0; variables as usize], period, delays: vec![0; BUCKETS], values: 0, lost: 0, bad: 0 }
    }

    /// From here on it counts; what each variable had last is still known.
    pub(crate) fn begin(&mut self) {
        self.delays.fill(0);
        (self.values, self.lost, self.bad) = (0, 0, 0);
    }

    /// How many variables have had a value.
    pub(crate) fn variables(&self) -> usize {
        self.newest.iter().filter(|at| **at != 0).count()
    }

    /// A quantile of the delays.
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.values as f64).ceil() as u64;
        let mut below = 0;
        let bucket = self.delays.iter().position(|count| {
            below += u64::from(*count);
            below >= rank
        });
        bucket.unwrap_or(BUCKETS) as f64 / 10.0
    }

    fn take(&mut self, data: &DataChangeNotification) {
        let now = DateTime::now().ticks();
        for item in data.monitored_items.iter().flatten() {
            let index = item.client_handle as usize - 1;
            let at = item.value.source_timestamp.map_or(0, |at| at.ticks());
            if item.value.status().is_bad() || at == 0 {
                self.bad += 1;
                continue;
            }
            let before = std::mem::replace(&mut self.newest[index], at);
            if before != 0 && at > before {
                self.lost += (at - before) / self.period - 1;
            }
            let bucket = usize::try_from((now - at) / 1_000).unwrap_or(0).min(BUCKETS - 1);
            self.delays[bucket] += 1;
            self.values += 1;
        }
    }
}

struct Notifications(Arc<Mutex<Seen>>);

impl OnSubscriptionNotificationCore for Notifications {
    fn on_subscription_notification(&mut self, notification: NotificationMessage, _: MonitoredItemMap<'_>) {
        let mut seen = self.0.lock().unwrap();
        for object in notification.notification_data.iter().flatten() {
            if let Some(data) = object.inner_as::<DataChangeNotification>() {
                seen.take(data);
            }
        }
    }
}

pub(crate) async fn subscribe(session: &Session, ns: u16, names: &[String], rate: u32) -> Arc<Mutex<Seen>> {
    let seen = Arc::new(Mutex::new(Seen::new(u32::try_from(names.len()).unwrap(), rate)));
    let notifications = Notifications(Arc::clone(&seen));
    let id = session
        .create_subscription(Duration::from_millis(100), 3_000, 10, 10_000, 0, true, notifications)
        .await
        .unwrap();
    let item = |(index, name): (usize, &String)| MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId {
            node_id: NodeId::new(ns, name.as_str()),
            attribute_id: AttributeId::Value as u32,
            ..ReadValueId::default()
        },
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: u32::try_from(index + 1).unwrap(),
            sampling_interval: 0.0,
            queue_size: (rate / 2).max(10), // of a publishing interval, five times
            discard_oldest: true,
            ..MonitoringParameters::default()
        },
    };
    let items: Vec<_> = names.iter().enumerate().map(item).collect();
    for chunk in items.chunks(ITEMS_PER_REQUEST) {
        let made = session.create_monitored_items(id, TimestampsToReturn::Source, chunk.to_vec()).await.unwrap();
        assert!(made.iter().all(|item| item.result.status_code.is_good()));
    }
    seen
}

/// Reads averages of the last minutes of a hundred variables and has a twin fitted, again and again; how often each.
pub(crate) async fn keep_busy(session: &Session, ns: u16, names: &[String], count: &Mutex<(u32, u32)>) {
    for turn in 0.. {
        let now = DateTime::now();
        let nodes = names.iter().cycle().skip(turn * 1_000 % names.len()).take(100);
        let wanted: Vec<_> = nodes
            .map(|name| HistoryReadValueId { node_id: NodeId::new(ns, name.as_str()), ..HistoryReadValueId::default() })
            .collect();
        let action = HistoryReadAction::ReadProcessedDetails(ReadProcessedDetails {
            start_time: DateTime::from(now.ticks() - 600 * TICKS_PER_S),
            end_time: now,
            processing_interval: 10_000.0,
            aggregate_type: Some(vec![ObjectId::AggregateFunction_TimeAverage.into(); wanted.len()]),
            aggregate_configuration: AggregateConfiguration {
                use_server_capabilities_defaults: true,
                ..AggregateConfiguration::default()
            },
        });
        let read = session.history_read(action, TimestampsToReturn::Source, false, &wanted).await.unwrap();
        assert!(read.iter().all(|node| node.status_code.is_good()));
        count.lock().unwrap().0 += 100;
        let twin = names[turn * 10 % names.len()].split('.').next().unwrap();
        let null = || Variant::from(DateTime::null());
        let none = Variant::from(Vec::<String>::new());
        let request: CallMethodRequest = (
            NodeId::new(ns, twin),
            NodeId::new(ns, format!("{twin}.Fit")),
            Some(vec![null(), null(), none, Variant::Double(30_000.0)]),
        )
            .into();
        let fitted = session.call_one(request).await.unwrap();
        count.lock().unwrap().1 += u32::from(fitted.status_code.is_good());
    }
}
