//! To subscriptions. What is watched stands in a table of our own, because the library (0.19):
//! - B2: never forgets data items of a deleted subscription: we push to the handles that live, not to a node's;
//! - B8: does not tell of expired subscriptions: [`Publisher::tick`] sweeps them out;
//! - B9: keeps expired subscriptions whose client is gone: `abandoned` clears them out;
//! - B3: sees a change of status alone only where the client set a filter: Bad goes out without a value, which differs, and
//!   from one Bad to another mostly too ([`as_notified`]). From Good to Uncertain at an equal value a client without a
//!   filter is not told;
//! - B7: shifts the SourceTimestamp of what comes inside a sampling interval: items are made with an interval of zero, and
//!   where that can't be (−1, or a later ModifyMonitoredItems) the stamp is left out, never false.
//!
//! Nothing here is called with a twin locked; the table's lock is held for a batch.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tracing::debug;

use opcua::{
    server::{
        CreateMonitoredItem, MonitoredItemHandle, SubscriptionCache, SubscriptionState,
        notify::SubscriptionDataNotifier,
    },
    types::{AttributeId, DataValue, MonitoringMode, NodeId, StatusCode, Variant},
};

use super::{
    access::Access,
    address_space::{AddressSpace, Extents, Live, Node, Owner, Part, ProgramMember},
    events::{Listeners, SharedTypes},
    history_read::Points,
    node_manager::SharedSpace,
    users::User,
};
use crate::{
    event::Event,
    program::Program,
    sample::{SeriesId, TwinId},
    southbound::Plcs,
    time::Timestamp,
    ua,
};

/// Values per hold of a session's lock: at 1.5 µs each, 3 ms.
const BATCH: usize = 2_000;
/// Ticks between two sweeps.
const SWEEP_EVERY: u32 = 5;

/// Tells subscribed clients what has changed. Cheap to clone, and to call when nobody watches.
#[derive(Clone)]
pub struct Publisher {
    shared: SharedSpace,
    watches: Arc<Watches>,
    subscriptions: Arc<SubscriptionCache>,
    points: Arc<Points>,
    listeners: Arc<Listeners>,
    types: Arc<SharedTypes>,
    access: Arc<Access>,
    /// Whether events wait for room in a client's queue.
    waiting: Arc<AtomicBool>,
}

/// Who watches what.
#[derive(Default)]
pub(super) struct Watches {
    table: Mutex<Table>,
    /// Of `table`, so that an empty one costs no lock.
    watched: AtomicUsize,
    ticks: AtomicU32,
}

#[derive(Default)]
struct Table {
    live: HashMap<SeriesId, Vec<Watch>>,
    slow: HashMap<Node, Slow>,
    /// Which session each subscription was made in: where the sweep looks for it.
    owners: HashMap<u32, u32>,
    /// As whose each subscription's items were last looked at.
    users: HashMap<u32, Arc<User>>,
}

struct Slow {
    last: Option<DataValue>,
    watches: Vec<Watch>,
}

struct Watch {
    handle: MonitoredItemHandle,
    enabled: bool,
    /// The user may no longer read the node, and was told so.
    denied: bool,
    /// Not pushed to yet: what came between its making and its place in the library's table was lost.
    fresh: bool,
    /// Whether the library passes SourceTimestamps as they are (B7).
    stamped: bool,
    /// SourceTimestamp of the newest value pushed: one from before it would be shifted.
    newest: Timestamp,
}

impl Publisher {
    pub(super) fn new(
        shared: SharedSpace,
        watches: Arc<Watches>,
        subscriptions: Arc<SubscriptionCache>,
        (access, types): (Arc<Access>, SharedTypes),
    ) -> Self {
        let (types, waiting) = (Arc::new(types), Arc::default());
        let (points, listeners) = (Arc::clone(shared.points()), Arc::clone(shared.listeners()));
        Self { shared, watches, subscriptions, points, listeners, types, access, waiting }
    }

    fn space(&self) -> Arc<AddressSpace> {
        self.shared.get().expect("it was made before the publisher")
    }

    /// Another config takes effect for clients. What they watch goes on where it is still there; of what is not, they are
    /// told.
    pub fn succeed(&self, plcs: Arc<Plcs>) {
        let before = self.space();
        let space = Arc::new(before.succeeded_by(plcs));
        self.types.follow(&before, &space);
        let mut table = self.watches.lock(); // nobody makes an item by the one and has it kept by the other
        self.shared.replace(Arc::clone(&space));
        table.succeed((&before, &space), &self.subscriptions);
        self.watches.watched.store(table.count(), Ordering::Relaxed);
    }

    /// Events for those who listen.
    pub fn events(&self, events: &[Arc<Event>]) {
        self.listeners.put(&self.space(), events);
        self.hand_on_events();
    }

    /// Whether [`hand_on_events`](Self::hand_on_events) has something to do.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Gives clients the events that wait, as far as their queues have room.
    pub fn hand_on_events(&self) {
        let is_more = self.listeners.hand_on((&self.space(), &self.access), &self.subscriptions, &*self.types);
        self.waiting.store(is_more, Ordering::Relaxed);
    }

    /// Pushes the present values of these series to those who watch them. To be called with no twin locked.
    pub fn changed(&self, series: &[SeriesId]) {
        if self.watches.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        let space = self.space();
        let now = space.world.clock.now();
        for batch in series.chunks(BATCH) {
            let mut table = self.watches.lock();
            // A series that the library knows opens the door; any handle may pass through it. (One notifier at a time: each
            // holds the library's read lock, which is not to be taken twice.)
            let door = batch.iter().filter(|series| table.live.contains_key(series)).find_map(|series| {
                let id = space.id(live_node(&space, *series));
                self.subscriptions.data_notifier().notify_for(&id, AttributeId::Value).is_some().then_some(id)
            });
            let Some(door) = door else { continue };
            let mut notifier = self.subscriptions.data_notifier();
            let Some(mut open) = notifier.notify_for(&door, AttributeId::Value) else { continue };
            for series in batch {
                let Some(watches) = table.live.get_mut(series) else { continue };
                let value = space.value(live_node(&space, *series), now, &Extents::new());
                push(watches, value, |value, handle| open.data_value_to_item(value, handle));
            }
        }
    }

    /// Pushes what a program shows after a change, to those who watch it: at once, and each change, however soon the next
    /// one comes.
    pub fn program(&self, twin: TwinId, program: &Program) {
        if self.watches.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        let space = self.space();
        let now = space.world.clock.now();
        let mut table = self.watches.lock();
        let mut notifier = self.subscriptions.data_notifier();
        for member in ProgramMember::ALL {
            let node = Node::Part(Owner::Twin(twin.0), Part::ProgramMember(*member));
            let Some(slow) = table.slow.get_mut(&node) else { continue };
            let value = space.program_value(program, *member, now);
            if !slow.has(&value) {
                slow.tell(value, &space.id(node), &mut notifier);
            }
        }
    }

    /// Once a second: pushes what changes without samples and what new items have missed, and forgets the dead,
    /// of subscriptions and of reads that did not go on.
    pub fn tick(&self, now: Timestamp) {
        if self.watches.ticks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.watches.sweep(&self.subscriptions);
            self.listeners.sweep(&self.subscriptions);
            self.points.sweep(now);
            self.shared.quota().sweep(&self.subscriptions);
        }
        let cleared = self.shared.abandoned().sweep(Instant::now());
        if cleared > 0 {
            debug!(cleared, "subscriptions of clients that are gone");
        }
        self.listeners.check_users(&self.access, &self.subscriptions);
        // A refresh puts events in their queues without more ado.
        self.hand_on_events();
        if self.watches.watched.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.watches.check_users(&self.space(), &self.access, &self.subscriptions);
        self.changed(&self.watches.take_fresh());
        let space = self.space();
        let mut table = self.watches.lock();
        let mut notifier = self.subscriptions.data_notifier();
        for (node, slow) in &mut table.slow {
            let value = space.value(*node, now, &Extents::new());
            let fresh = take_fresh(&mut slow.watches);
            // A program's changes come by themselves; here the present would overtake those on their way.
            let is_pushed = matches!(node, Node::Part(_, Part::ProgramMember(_)));
            if fresh || !(is_pushed || slow.has(&value)) {
                slow.tell(value, &space.id(*node), &mut notifier);
            }
        }
    }

    /// How many monitored items are served.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watches.watched.load(Ordering::Relaxed)
    }
}

fn live_node(space: &AddressSpace, series: SeriesId) -> Node {
    let (twin, facet) = space.configured().locate(series);
    Node::Part(Owner::Twin(twin.0), Part::Live(Live::from_facet(facet)))
}

impl Watch {
    const fn is_served(&self) -> bool {
        self.enabled && !self.denied
    }
}

impl Slow {
    /// Whether this value was the last one told.
    fn has(&self, value: &DataValue) -> bool {
        self.last.as_ref().is_some_and(|last| is_same(last, value))
    }

    fn tell(&mut self, value: DataValue, id: &NodeId, notifier: &mut SubscriptionDataNotifier<'_>) {
        if let Some(mut open) = notifier.notify_for(id, AttributeId::Value) {
            self.last = Some(value.clone());
            push(&mut self.watches, value, |value, handle| open.data_value_to_item(value, handle));
        }
    }
}

/// A value as subscriptions get it. Without a value there are two encodings, none and null, the same to any client but not to
/// the library: which one depends on the status, so that half of the changes from one Bad to another are seen (B3), among
/// them that from Bad_WaitingForInitialData to Bad_NoCommunication.
pub(super) fn as_notified(mut value: DataValue) -> DataValue {
    let status = value.status();
    if status.is_bad() && value.value == Some(Variant::Empty) && status.bits() & 0x0001_0000 == 0 {
        value.value = None;
    }
    value
}

/// Gives a value to all who watch, each with the stamp it may have.
fn push(watches: &mut [Watch], value: DataValue, mut to: impl FnMut(DataValue, &MonitoredItemHandle)) {
    let source = value.source_timestamp.map_or(Timestamp::NULL, ua::timestamp);
    let mut value = Some(as_notified(value));
    let last = watches.iter().rposition(Watch::is_served);
    for (i, watch) in watches.iter_mut().enumerate().filter(|(_, watch)| watch.is_served()) {
        let Some(mut own) = (if Some(i) == last { value.take() } else { value.clone() }) else { continue };
        if !watch.stamped || source < watch.newest {
            own.source_timestamp = None;
        }
        watch.newest = watch.newest.max(source);
        to(own, &watch.handle);
    }
}

/// Whether a client would see no difference: time alone is none, and NaN is NaN.
fn is_same(a: &DataValue, b: &DataValue) -> bool {
    a.status == b.status
        && match (&a.value, &b.value) {
            (Some(Variant::Double(x)), Some(Variant::Double(y))) => x.to_bits() == y.to_bits(),
            (x, y) => x == y,
        }
}

/// Whether there were new ones; they are no longer.
fn take_fresh(watches: &mut [Watch]) -> bool {
    let mut any = false;
    for watch in watches {
        any |= std::mem::take(&mut watch.fresh);
    }
    any
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a new item of a node whose value may change; revises its sampling interval (B7).
    pub(super) fn add(
        &self,
        shared: &SharedSpace,
        (session, user): (u32, &Arc<User>),
        item: &mut CreateMonitoredItem,
        initial: &DataValue,
    ) {
        // Zero lets everything pass; a negative one means the publishing interval and cannot be revised.
        let stamped = item.sampling_interval() >= 0.0;
        if item.sampling_interval() > 0.0 {
            item.revise_sampling_interval(1e-9);
        }
        let watch = Watch {
            handle: item.handle(),
            enabled: item.monitoring_mode() != MonitoringMode::Disabled,
            denied: false,
            fresh: true,
            stamped,
            newest: initial.source_timestamp.map_or(Timestamp::NULL, ua::timestamp),
        };
        let mut table = self.lock();
        // The one that the table is of: another config may have come during the request.
        let Some(space) = shared.get() else { return };
        let Some(node) = space.parse(&item.item_to_monitor().node_id) else { return };
        match node {
            Node::Part(Owner::Twin(t), Part::Live(live)) => {
                let series = space.configured().series(TwinId(t), live.facet());
                table.live.entry(series).or_default().push(watch);
            }
            _ if space.is_slow(node) => {
                table.slow.entry(node).or_insert(Slow { last: None, watches: Vec::new() }).watches.push(watch);
            }
            _ => return, // never changes
        }
        table.owners.insert(item.handle().subscription_id, session);
        table.users.entry(item.handle().subscription_id).or_insert_with(|| Arc::clone(user));
        self.watched.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes the watches of one item.
    pub(super) fn update(&self, shared: &SharedSpace, id: &NodeId, handle: MonitoredItemHandle, change: Change) {
        let mut table = self.lock();
        let Some(space) = shared.get() else { return };
        let Some(node) = space.parse(id) else { return };
        let list = match node {
            Node::Part(Owner::Twin(t), Part::Live(live)) => {
                table.live.get_mut(&space.configured().series(TwinId(t), live.facet()))
            }
            _ => table.slow.get_mut(&node).map(|slow| &mut slow.watches),
        };
        let Some(list) = list else { return };
        match change {
            Change::Delete => {
                let before = list.len();
                list.retain(|watch| watch.handle != handle);
                self.watched.fetch_sub(before - list.len(), Ordering::Relaxed);
            }
            Change::Mode(mode) => list.iter_mut().filter(|watch| watch.handle == handle).for_each(|watch| {
                watch.fresh = !watch.enabled;
                watch.enabled = mode != MonitoringMode::Disabled;
            }),
            Change::SamplingInterval(interval) => {
                // Only zero passes stamps unshifted, and the library has just undone our revision.
                list.iter_mut()
                    .filter(|watch| watch.handle == handle)
                    .for_each(|watch| watch.stamped = interval == 0.0);
            }
        }
    }

    /// Looks at the items of subscriptions whose user is another now, or may something else (OPC 10000-4 §5.7.3): one that
    /// may no longer be read tells so, once, and then nothing.
    fn check_users(&self, space: &AddressSpace, access: &Access, subscriptions: &SubscriptionCache) {
        let mut table = self.lock();
        let Table { live, slow, owners, users } = &mut *table;
        let mut changed = HashMap::new();
        for (subscription, session) in owners.iter() {
            let user = access.user_of_session(subscriptions, *session);
            if users.get(subscription) != Some(&user) {
                users.insert(*subscription, Arc::clone(&user));
                changed.insert(*subscription, user);
            }
        }
        if changed.is_empty() {
            return;
        }
        let mut notifier = subscriptions.data_notifier();
        let all = live.iter_mut().map(|(series, watches)| (live_node(space, *series), watches));
        for (node, watches) in all.chain(slow.iter_mut().map(|(node, slow)| (*node, &mut slow.watches))) {
            for watch in watches {
                let Some(user) = changed.get(&watch.handle.subscription_id) else { continue };
                let denied = !space.is_visible(user, node);
                if denied == watch.denied {
                    continue;
                }
                (watch.denied, watch.fresh) = (denied, !denied);
                if let Some(mut open) = notifier.notify_for(&space.id(node), AttributeId::Value).filter(|_| denied) {
                    open.data_value_to_item(
                        DataValue::new_now_status(Variant::Empty, StatusCode::BadUserAccessDenied),
                        &watch.handle,
                    );
                }
            }
        }
    }

    fn take_fresh(&self) -> Vec<SeriesId> {
        let mut table = self.lock();
        table.live.iter_mut().filter_map(|(series, watches)| take_fresh(watches).then_some(*series)).collect()
    }

    /// Forgets the items of subscriptions that are gone (B8).
    fn sweep(&self, subscriptions: &SubscriptionCache) {
        let mut table = self.lock();
        let Table { live, slow, owners, users } = &mut *table;
        follow(owners, subscriptions);
        users.retain(|subscription, _| owners.contains_key(subscription));
        live.retain(|_, watches| {
            watches.retain(|watch| owners.contains_key(&watch.handle.subscription_id));
            !watches.is_empty()
        });
        slow.retain(|_, slow| {
            slow.watches.retain(|watch| owners.contains_key(&watch.handle.subscription_id));
            !slow.watches.is_empty()
        });
        let left = table.count();
        self.watched.store(left, Ordering::Relaxed);
    }
}

impl Table {
    fn count(&self) -> usize {
        let slow = self.slow.values().map(|slow| slow.watches.len());
        self.live.values().map(Vec::len).chain(slow).sum()
    }

    /// Series keep their numbers, other nodes' are found again by their NodeIds.
    fn succeed(&mut self, (before, space): (&AddressSpace, &AddressSpace), subscriptions: &SubscriptionCache) {
        let mut notifier = subscriptions.data_notifier();
        let mut forget = |id: &NodeId, watches: &[Watch]| {
            if let Some(mut open) = notifier.notify_for(id, AttributeId::Value) {
                let gone = || DataValue::new_now_status(Variant::Empty, StatusCode::BadNodeIdUnknown);
                watches
                    .iter()
                    .filter(|watch| watch.is_served())
                    .for_each(|w| open.data_value_to_item(as_notified(gone()), &w.handle));
            }
        };
        self.live.retain(|series, watches| {
            let is_there = space.configured().is_there(space.configured().locate(*series).0);
            if is_there {
                watches.iter_mut().for_each(|watch| watch.fresh = true);
            } else {
                forget(&before.id(live_node(before, *series)), watches);
            }
            is_there
        });
        for (node, slow) in std::mem::take(&mut self.slow) {
            let id = before.id(node);
            match space.parse(&id) {
                Some(node) => _ = self.slow.insert(node, slow),
                None => forget(&id, &slow.watches),
            }
        }
    }
}

/// Brings the sessions of subscriptions up to date, and forgets subscriptions that are gone (B8).
pub(super) fn follow(sessions: &mut HashMap<u32, u32>, subscriptions: &SubscriptionCache) {
    // Sessions are numbered in order: a transferred subscription is in a later one.
    let last = sessions.values().copied().max().unwrap_or(0).saturating_add(256);
    sessions.retain(|subscription, session| {
        let is_there = |session: &u32| {
            subscriptions.get_session_subscriptions(*session).is_some_and(|all| {
                all.lock().get(*subscription).is_some_and(|found| found.state() != SubscriptionState::Closed)
            })
        };
        let found = if is_there(session) { Some(*session) } else { (*session..last).find(is_there) };
        found.map(|found| *session = found).is_some()
    });
}

/// What became of a monitored item.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Delete,
    Mode(MonitoringMode),
    SamplingInterval(f64),
}
