//! What a subscription brought and the ingest queue has not taken yet. Filled inside the library's publish loop, so it
//! never waits: when full, the oldest samples go, are counted, and the next one of their series says so.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opcua::{
    client::{MonitoredItemMap, OnSubscriptionNotificationCore},
    types::{
        DataChangeNotification, EventNotificationList, NodeId, NotificationMessage, ObjectTypeId,
        StatusChangeNotification, Variant,
    },
};
use tokio::{sync::Notify, time::Instant};

use super::session::Shift;
use crate::{
    sample::{Sample, SeriesId, StatusCode, Value},
    southbound::{SharedLink, Watch},
    time::{Clock, Timestamp},
    ua,
};

/// Samples kept of each watch while the ingest queue is full: 56 B each, ten seconds at 1 Hz.
const PENDING_PER_WATCH: usize = 10;
/// Room for those of all watches of a PLC is never less: 5.6 MB.
const PENDING_MIN: usize = 100_000;
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
    model_changed: Notify,
    missed: Notify,
    pending_max: usize,
}

struct State {
    pending: VecDeque<Batch>,
    pending_len: usize,
    /// Series that lost samples and have not said so yet.
    overflowed: HashSet<SeriesId>,
    traces: Vec<Trace>,
    last_notification: Instant,
    last_data: Instant,
    /// SequenceNumber of the subscription's newest message; 0: none yet.
    sequence: u32,
    /// SequenceNumbers of messages that did not come.
    missing: VecDeque<u32>,
    /// The subscription's end, where the PLC announced one.
    ended: Option<StatusCode>,
}

/// Missing messages that are remembered: a PLC keeps fewer.
const MISSING_MAX: u32 = 64;

/// What is known of one watch's samples.
#[derive(Clone)]
struct Trace {
    series: SeriesId,
    /// SourceTimestamp of the newest sample so far.
    newest: Timestamp,
    /// SourceTimestamp of this subscription's first sample; null: none yet.
    first_live: Timestamp,
    /// The newest value and status of this subscription.
    last: Option<(Value, StatusCode)>,
    /// Samples that came.
    count: u64,
}

impl Inbox {
    pub(super) fn new(watches: &[Watch], link: SharedLink, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::with_room_for(PENDING_MIN.max(watches.len() * PENDING_PER_WATCH), watches, link, clock)
    }

    fn with_room_for(pending_max: usize, watches: &[Watch], link: SharedLink, clock: Arc<dyn Clock>) -> Arc<Self> {
        let trace = |watch: &Watch| Trace {
            series: watch.series,
            newest: watch.stored_until.unwrap_or(Timestamp::NULL),
            first_live: Timestamp::NULL,
            last: None,
            count: 0,
        };
        let state = State {
            pending: VecDeque::new(),
            pending_len: 0,
            overflowed: HashSet::new(),
            traces: watches.iter().map(trace).collect(),
            last_notification: Instant::now(),
            last_data: Instant::now(),
            sequence: 0,
            missing: VecDeque::new(),
            ended: None,
        };
        let (arrived, model_changed, missed) = (Notify::new(), Notify::new(), Notify::new());
        Arc::new(Self { state: Mutex::new(state), link, clock, arrived, model_changed, missed, pending_max })
    }

    /// Goes on from another of which it is the successor: what that one has brought already does not come again.
    pub(super) fn take_over(&self, before: &Self) {
        let known: HashMap<SeriesId, Timestamp> =
            before.lock().traces.iter().map(|trace| (trace.series, trace.newest)).collect();
        let newest = |series: SeriesId| known.get(&series).copied().unwrap_or(Timestamp::NULL);
        let mut state = self.lock();
        for (_, samples) in &mut state.pending {
            // What came last is the present: it may be shown as something else now.
            samples.retain(|(series, sample)| sample.source_timestamp >= newest(*series));
        }
        state.pending_len = state.pending.iter().map(|(_, samples)| samples.len()).sum();
        for trace in &mut state.traces {
            trace.newest = trace.newest.max(newest(trace.series));
        }
    }

    /// A new subscription begins: nothing of it has come yet.
    pub(super) fn begin_subscription(&self) {
        let mut state = self.lock();
        state.ended = None;
        state.last_notification = Instant::now();
        state.last_data = Instant::now();
        state.sequence = 0;
        state.missing.clear();
        for trace in &mut state.traces {
            (trace.first_live, trace.last) = (Timestamp::NULL, None);
        }
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

    /// How long no data have come.
    pub(super) fn silence_of_data(&self) -> Duration {
        self.lock().last_data.elapsed()
    }

    /// Returns when the PLC's nodes have changed since the last call.
    pub(super) async fn model_changed(&self) {
        self.model_changed.notified().await;
    }

    /// SequenceNumber of a message that did not come, as soon as one is known.
    pub(super) async fn missed(&self) -> u32 {
        loop {
            if let Some(sequence) = self.lock().missing.pop_front() {
                return sequence;
            }
            self.missed.notified().await;
        }
    }

    /// Value and status that came last for a watch, and how many came; `None`: nothing yet.
    pub(super) fn last(&self, watch: usize) -> Option<(Value, StatusCode, u64)> {
        let state = self.lock();
        let trace = state.traces.get(watch)?;
        let (value, status) = trace.last.clone()?;
        Some((value, status, trace.count))
    }

    /// Watches whose last sample is Bad, from the `from`th watch on, `most` at most.
    pub(super) fn bad_ones(&self, from: usize, most: usize) -> Vec<usize> {
        let state = self.lock();
        let is_bad = |(_, trace): &(usize, &Trace)| trace.last.as_ref().is_some_and(|(_, status)| status.is_bad());
        state.traces.iter().enumerate().skip(from).filter(is_bad).map(|(watch, _)| watch).take(most).collect()
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
        let (dropped, mut overflows);
        {
            let mut state = self.lock();
            state.last_data = Instant::now();
            overflows = 0;
            for item in &items {
                // A handle that we never gave: a faulty server, nothing of ours.
                let Some(trace) = trace_of(item.client_handle, &mut state.traces) else { continue };
                let sample = ua::sample(&item.value, received);
                trace.newest = trace.newest.max(sample.source_timestamp);
                if trace.first_live.is_null() {
                    trace.first_live = sample.source_timestamp;
                }
                trace.last = Some((sample.value.clone(), sample.status));
                trace.count += 1;
                overflows += u64::from(sample.status.bits() & OVERFLOW == OVERFLOW);
                samples.push((trace.series, sample));
            }
            dropped = self.make_room(&mut state, samples.len());
            let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
            link.samples_received += samples.len() as u64;
            link.samples_dropped += dropped;
            link.overflows += overflows;
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
        self.inbox.number(&notification);
        self.inbox.take(notification, &self.shift);
    }
}

impl Inbox {
    /// A message of the subscription: data, what it says of itself, or nothing (a keep-alive).
    pub(super) fn take(&self, notification: NotificationMessage, shift: &Shift) {
        self.lock().last_notification = Instant::now();
        for object in notification.notification_data.into_iter().flatten() {
            if object.inner_is::<DataChangeNotification>() {
                if let Some(mut data) = object.into_inner_as::<DataChangeNotification>() {
                    shift.undo(data.monitored_items.iter_mut().flatten().map(|item| &mut item.value));
                    self.push(*data);
                }
            } else if let Some(change) = object.inner_as::<StatusChangeNotification>() {
                self.lock().ended = Some(change.status);
            } else if object.inner_as::<EventNotificationList>().is_some_and(is_model_change) {
                self.model_changed.notify_one();
            }
        }
        self.arrived.notify_one();
    }

    /// Whether messages are missing before this one. Numbers go up by one, and from the largest to 1; a keep-alive has that of
    /// the message that comes next (OPC 10000-4 §5.14.1.1, §7.26).
    fn number(&self, notification: &NotificationMessage) {
        let number = notification.sequence_number;
        let has_data = notification.notification_data.as_ref().is_some_and(|data| !data.is_empty());
        let mut state = self.lock();
        if state.sequence == 0 {
            state.sequence = if has_data { number } else { before(number) };
            return;
        }
        let mut expected = after(state.sequence);
        // Further back than that: a server that counts in its own way.
        if number.wrapping_sub(expected) <= MISSING_MAX {
            while expected != number {
                state.missing.push_back(expected);
                expected = after(expected);
            }
        }
        state.sequence = if has_data { number } else { before(number) };
        if !state.missing.is_empty() {
            self.missed.notify_one();
        }
    }
}

/// Whether one of the events has the type asked for, as its first field: servers that know no where clause send others too.
fn is_model_change(events: &EventNotificationList) -> bool {
    let types = [ObjectTypeId::BaseModelChangeEventType, ObjectTypeId::GeneralModelChangeEventType].map(NodeId::from);
    let is_one = |field: &Variant| matches!(field, Variant::NodeId(event_type) if types.contains(event_type));
    let events = events.events.iter().flatten();
    events.filter_map(|event| event.event_fields.as_ref()?.first()).any(is_one)
}

const fn after(sequence: u32) -> u32 {
    if sequence == u32::MAX { 1 } else { sequence + 1 }
}

const fn before(sequence: u32) -> u32 {
    if sequence <= 1 { u32::MAX } else { sequence - 1 }
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
    fn a_successor_brings_nothing_again_that_came_before() {
        let link = SharedLink::new(RwLock::new(LinkStatus::default()));
        let before = Inbox::with_room_for(9, &[watch(7), watch(8)], link.clone(), Arc::new(Noon));
        let inbox = Inbox::with_room_for(9, &[watch(8), watch(9)], link, Arc::new(Noon));
        before.push(change(&[1, 2], 2.0));
        inbox.push(change(&[1, 2], 1.0)); // of series 8 it came before, of 9 not
        inbox.push(change(&[1], 2.0)); // the present: it may be shown as something else now
        inbox.push(change(&[1], 3.0));
        inbox.take_over(&before);
        let came: Vec<_> = std::iter::from_fn(|| inbox.pop()).flat_map(|(_, samples)| samples).collect();
        let seen: Vec<_> = came.iter().map(|(series, sample)| (series.0, sample.usable())).collect();
        assert_eq!(seen, [(9, Some(1.0)), (8, Some(2.0)), (8, Some(3.0))]);
        assert_eq!(inbox.newest(1), Timestamp::from_unix_s(1.0));
    }

    fn message(sequence_number: u32, has_data: bool) -> NotificationMessage {
        let data = || vec![opcua::types::ExtensionObject::from_message(change(&[1], 1.0))];
        let notification_data = has_data.then(data);
        NotificationMessage { sequence_number, publish_time: ua::date_time(Timestamp::NULL), notification_data }
    }

    #[test]
    fn messages_that_did_not_come_are_known_by_their_numbers() {
        let link = SharedLink::new(RwLock::new(LinkStatus::default()));
        let inbox = Inbox::with_room_for(3, &[watch(7)], link, Arc::new(Noon));
        let missing = |messages: &[(u32, bool)]| {
            inbox.begin_subscription();
            messages.iter().for_each(|(sequence, has_data)| inbox.number(&message(*sequence, *has_data)));
            inbox.lock().missing.iter().copied().collect::<Vec<_>>()
        };
        assert_eq!(missing(&[(1, true), (2, true), (3, false), (3, false), (3, true)]), [0; 0]);
        assert_eq!(missing(&[(1, false), (1, true), (2, true)]), [0; 0]);
        assert_eq!(missing(&[(1, true), (4, true), (5, true), (7, false), (7, true)]), [2, 3, 6]);
        assert_eq!(missing(&[(u32::MAX - 1, true), (2, true)]), [u32::MAX, 1]);
        assert_eq!(missing(&[(u32::MAX, true), (1, false), (1, true)]), [0; 0]);
        assert_eq!(missing(&[(5, true), (3, true), (1_000_000, true)]), [0; 0], "it counts in its own way");
    }

    #[test]
    fn handles_that_we_never_gave_are_nobodys() {
        let link = SharedLink::new(RwLock::new(LinkStatus::default()));
        let inbox = Inbox::with_room_for(3, &[watch(7)], link, Arc::new(Noon));
        inbox.push(change(&[0, 2, u32::MAX], 1.0));
        assert!(inbox.pop().is_some_and(|(_, samples)| samples.is_empty()));
    }
}
