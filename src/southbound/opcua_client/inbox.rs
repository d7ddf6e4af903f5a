//! What a subscription brought and the ingest queue has not taken yet. Filled inside the library's publish loop, so it
//! never waits: when full, the oldest samples go, are counted, and the next one of their series says so.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opcua::{
    client::{MonitoredItemMap, OnSubscriptionNotificationCore},
    types::{DataChangeNotification, NotificationMessage, StatusChangeNotification},
};
use tokio::{sync::Notify, time::Instant};

use super::session::Shift;
use crate::{
    sample::{Sample, SeriesId, StatusCode},
    southbound::{SharedLink, Watch},
    time::{Clock, Timestamp},
    ua,
};

/// Samples kept while the ingest queue is full: 56 B each, 5.6 MB a PLC; ten seconds of 10,000 variables at 1 Hz.
const PENDING_MAX: usize = 100_000;
/// OPC 10000-4 §7.39.1: InfoType DataValue (0x0400) with the Overflow bit (0x0080).
const OVERFLOW: u32 = 0x0480;

/// Samples that came together, and when.
pub(super) type Batch = (Timestamp, Vec<(SeriesId, Sample)>);

/// See the module. One per PLC, for all its sessions.
pub(super) struct Inbox {
    state: Mutex<State>,
    link: SharedLink,
    clock: Arc<dyn Clock>,
    arrived: Notify,
    pending_max: usize,
}

struct State {
    pending: VecDeque<Batch>,
    pending_len: usize,
    /// Series that lost samples and have not said so yet.
    overflowed: HashSet<SeriesId>,
    traces: Vec<Trace>,
    last_notification: Instant,
    /// The subscription's end, where the PLC announced one.
    ended: Option<StatusCode>,
}

/// What is known of one watch's samples.
#[derive(Clone, Copy)]
struct Trace {
    series: SeriesId,
    /// SourceTimestamp of the newest sample so far.
    newest: Timestamp,
    /// SourceTimestamp of this session's first sample; null: none yet.
    first_live: Timestamp,
}

impl Inbox {
    pub(super) fn new(watches: &[Watch], link: SharedLink, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_room_for(PENDING_MAX, watches, link, clock)
    }

    fn with_room_for(pending_max: usize, watches: &[Watch], link: SharedLink, clock: Arc<dyn Clock>) -> Arc<Self> {
        let trace = |watch: &Watch| Trace {
            series: watch.series,
            newest: watch.stored_until.unwrap_or(Timestamp::NULL),
            first_live: Timestamp::NULL,
        };
        let state = State {
            pending: VecDeque::new(),
            pending_len: 0,
            overflowed: HashSet::new(),
            traces: watches.iter().map(trace).collect(),
            last_notification: Instant::now(),
            ended: None,
        };
        Arc::new(Self { state: Mutex::new(state), link, clock, arrived: Notify::new(), pending_max })
    }

    /// A new session begins: nothing of it has come yet.
    pub(super) fn begin_session(&self) {
        let mut state = self.lock();
        state.ended = None;
        state.last_notification = Instant::now();
        state.traces.iter_mut().for_each(|trace| trace.first_live = Timestamp::NULL);
    }

    /// The oldest batch not taken yet.
    pub(super) fn pop(&self) -> Option<Batch> {
        let mut state = self.lock();
        let (received, mut samples) = state.pending.pop_front()?;
        state.pending_len -= samples.len();
        if !state.overflowed.is_empty() {
            for (series, sample) in &mut samples {
                if state.overflowed.remove(series) {
                    sample.status = StatusCode::from(sample.status.bits() | OVERFLOW);
                }
            }
        }
        Some((received, samples))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().pending.is_empty()
    }

    /// Returns when something may have come since the last call.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How long the subscription has been silent: neither data nor a keep-alive.
    pub(super) fn silence(&self) -> Duration {
        self.lock().last_notification.elapsed()
    }

    /// Why the PLC ended the subscription, if it did.
    pub(super) fn ended(&self) -> Option<StatusCode> {
        self.lock().ended
    }

    /// SourceTimestamp of the newest sample that a watch ever got; null: none.
    pub(super) fn newest(&self, watch: usize) -> Timestamp {
        self.lock().traces.get(watch).map_or(Timestamp::NULL, |trace| trace.newest)
    }

    /// SourceTimestamp of the first sample that this session brought for a watch; null: none yet.
    pub(super) fn first_live(&self, watch: usize) -> Timestamp {
        self.lock().traces.get(watch).map_or(Timestamp::NULL, |trace| trace.first_live)
    }

    fn push(&self, notification: DataChangeNotification) {
        let received = self.clock.now();
        let items = notification.monitored_items.unwrap_or_default();
        let mut samples = Vec::with_capacity(items.len());
        let dropped;
        {
            let mut state = self.lock();
            for item in &items {
                // A handle that we never gave: a faulty server, nothing of ours.
                let Some(trace) = trace_of(item.client_handle, &mut state.traces) else { continue };
                let sample = ua::sample(&item.value, received);
                trace.newest = trace.newest.max(sample.source_timestamp);
                if trace.first_live.is_null() {
                    trace.first_live = sample.source_timestamp;
                }
                samples.push((trace.series, sample));
            }
            dropped = self.make_room(&mut state, samples.len());
            let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
            link.samples_received += samples.len() as u64;
            link.samples_dropped += dropped;
            link.last_data = received;
            drop(link);
            state.pending_len += samples.len();
            state.pending.push_back((received, samples));
        }
        if dropped > 0 {
            tracing::error!(dropped, "samples dropped: the ingest queue is full");
        }
    }

    // Full: the oldest go. The PLC must never wait for our disk.
    fn make_room(&self, state: &mut State, wanted: usize) -> u64 {
        let mut dropped = 0;
        while state.pending_len + wanted > self.pending_max {
            let Some((_, samples)) = state.pending.pop_front() else { break };
            state.pending_len -= samples.len();
            dropped += samples.len() as u64;
            state.overflowed.extend(samples.iter().map(|(series, _)| *series));
        }
        dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // samples are whole, whoever panicked
    }
}

/// Client handles are watch indices plus one: the library takes 0 for "choose one".
pub(super) fn client_handle(watch: usize) -> u32 {
    u32::try_from(watch + 1).expect("config allows fewer watches than u32 counts")
}

fn trace_of(client_handle: u32, traces: &mut [Trace]) -> Option<&mut Trace> {
    traces.get_mut(usize::try_from(client_handle).ok()?.checked_sub(1)?)
}

/// The library's end of an inbox: takes a whole notification at once, not value by value.
pub(super) struct Notifications {
    pub(super) inbox: Arc<Inbox>,
    pub(super) shift: Shift,
}

impl OnSubscriptionNotificationCore for Notifications {
    fn on_subscription_notification(&mut self, notification: NotificationMessage, _: MonitoredItemMap<'_>) {
        self.inbox.lock().last_notification = Instant::now(); // a keep-alive comes here too, with nothing in it
        for object in notification.notification_data.into_iter().flatten() {
            if object.inner_is::<DataChangeNotification>() {
                if let Some(mut data) = object.into_inner_as::<DataChangeNotification>() {
                    self.shift.undo(data.monitored_items.iter_mut().flatten().map(|item| &mut item.value));
                    self.inbox.push(*data);
                }
            } else if let Some(change) = object.inner_as::<StatusChangeNotification>() {
                self.inbox.lock().ended = Some(change.status);
            }
        }
        self.inbox.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::southbound::{LinkStatus, NodeAddress};
    use opcua::types::{DataValue, MonitoredItemNotification};
    use std::sync::RwLock;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_s(1e9)
        }
    }

    fn watch(series: u32) -> Watch {
        Watch {
            series: SeriesId(series),
            address: NodeAddress::Path(Vec::new()),
            sampling_interval: Duration::ZERO,
            historize: true,
            stored_until: None,
        }
    }

    fn change(handles: &[u32], value: f64) -> DataChangeNotification {
        let at = ua::date_time(Timestamp::from_unix_s(value));
        let item =
            |handle: &u32| MonitoredItemNotification { client_handle: *handle, value: DataValue::new_at(value, at) };
        DataChangeNotification { monitored_items: Some(handles.iter().map(item).collect()), diagnostic_infos: None }
    }

    #[test]
    fn a_full_inbox_drops_the_oldest_and_the_next_of_their_series_say_so() {
        let link = SharedLink::new(RwLock::new(LinkStatus::default()));
        let inbox = Inbox::with_room_for(3, &[watch(7), watch(8)], link.clone(), Arc::new(Noon));
        inbox.push(change(&[1], 1.0));
        inbox.push(change(&[2], 2.0));
        inbox.push(change(&[1, 2], 3.0)); // one too many: the first goes
        let came: Vec<_> = std::iter::from_fn(|| inbox.pop()).flat_map(|(_, samples)| samples).collect();
        let seen: Vec<_> = came.iter().map(|(s, x)| (s.0, x.usable(), x.status.bits())).collect();
        assert_eq!(seen, [(8, Some(2.0), 0), (7, Some(3.0), OVERFLOW), (8, Some(3.0), 0)]);
        let status = link.read().unwrap().clone();
        assert_eq!((status.samples_received, status.samples_dropped), (4, 1));
        assert_eq!(inbox.first_live(0), Timestamp::from_unix_s(1.0));
        assert_eq!(inbox.newest(0), Timestamp::from_unix_s(3.0));
    }

    #[test]
    fn handles_that_we_never_gave_are_nobodys() {
        let link = SharedLink::new(RwLock::new(LinkStatus::default()));
        let inbox = Inbox::with_room_for(3, &[watch(7)], link, Arc::new(Noon));
        inbox.push(change(&[0, 2, u32::MAX], 1.0));
        assert!(inbox.pop().is_some_and(|(_, samples)| samples.is_empty()));
    }
}
