//! To subscriptions. The library (0.19) takes a queue size of 0 or 1, which most clients ask for, for a queue of one event, so
//! that of two in one publishing interval the first is lost, and all but the last of a refresh. So events wait here, a
//! queue per monitored item, and each is handed on when the item's own queue has been sent. What its user may hear is
//! decided per item too. Filters are the library's.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use opcua::{
    server::{
        CreateMonitoredItem, MonitoredItemHandle, SubscriptionCache,
        node_manager::{TypeTreeForUserStatic, TypeTreeReadContext},
    },
    types::MonitoringMode,
};

use super::Told;
use crate::{
    event::{Event, EventId, EventIds, EventType, Source},
    northbound::{access::Access, address_space::AddressSpace, publish::follow, users::User},
    time::Timestamp,
};

/// Events that wait for one item; the oldest go, and the client is told.
const WAITING_MAX: usize = 10_000;

/// Who listens where.
#[derive(Default)]
pub(in crate::northbound) struct Listeners {
    table: Mutex<Table>,
    /// Items of `table`: without any, an event costs nothing.
    listening: AtomicUsize,
    /// Of what is sent to one client alone, and not kept.
    ids: Mutex<EventIds>,
}

#[derive(Default)]
struct Table {
    items: HashMap<MonitoredItemHandle, Listener>,
    /// Which session each subscription was last seen in.
    sessions: HashMap<u32, u32>,
}

struct Listener {
    /// As [`Source::is_told_by`](crate::event::Source::is_told_by) has it.
    notifier: String,
    /// Whose session it is in; looked up anew before anything is handed on.
    user: Arc<User>,
    is_enabled: bool,
    waiting: VecDeque<Arc<Event>>,
    has_overflowed: bool,
}

impl Listener {
    fn wants(&self, space: &AddressSpace, event: &Event) -> bool {
        self.is_enabled && event.source.is_told_by(&self.notifier) && space.is_told(&self.user, event)
    }

    fn put(&mut self, event: Arc<Event>) {
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.has_overflowed = true;
        }
        self.waiting.push_back(event);
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers an event that is not kept.
    pub(in crate::northbound) fn number(&self, now: Timestamp) -> EventId {
        let mut id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now);
        id.0[8] |= 0x80; // not one of those that the ingest stage numbers
        id
    }

    /// A new item on the EventNotifier of a node.
    pub(in crate::northbound) fn add(
        &self,
        item: &CreateMonitoredItem,
        (session, user): (u32, Arc<User>),
        notifier: String,
    ) {
        let is_enabled = item.monitoring_mode() != MonitoringMode::Disabled;
        let listener = Listener { notifier, user, is_enabled, waiting: VecDeque::new(), has_overflowed: false };
        let mut table = self.lock();
        table.items.insert(item.handle(), listener);
        table.sessions.insert(item.handle().subscription_id, session);
        self.listening.store(table.items.len(), Ordering::Relaxed);
    }

    pub(in crate::northbound) fn remove(&self, item: MonitoredItemHandle) {
        let mut table = self.lock();
        table.items.remove(&item);
        self.listening.store(table.items.len(), Ordering::Relaxed);
    }

    pub(in crate::northbound) fn set_mode(&self, item: MonitoredItemHandle, mode: MonitoringMode) {
        if let Some(listener) = self.lock().items.get_mut(&item) {
            listener.is_enabled = mode != MonitoringMode::Disabled;
            if !listener.is_enabled {
                listener.waiting.clear();
            }
        }
    }

    /// Events for all who listen.
    pub(in crate::northbound) fn put(&self, space: &AddressSpace, events: &[Arc<Event>]) {
        if self.listening.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut table = self.lock();
        for listener in table.items.values_mut() {
            for event in events {
                if listener.wants(space, event) {
                    listener.put(Arc::clone(event));
                }
            }
        }
    }

    /// What a refresh sends: to the items of one subscription, or to one of them. Between the two ends each gets what it would
    /// have got of `conditions`. False: there is no such item.
    pub(in crate::northbound) fn refresh(
        &self,
        space: &AddressSpace,
        (subscription, item): (u32, Option<u32>),
        [start, end]: [&Arc<Event>; 2],
        conditions: &[Arc<Event>],
    ) -> bool {
        let mut table = self.lock();
        let mut found = false;
        let meant = |handle: &MonitoredItemHandle| {
            handle.subscription_id == subscription && item.is_none_or(|item| item == handle.monitored_item_id)
        };
        for (_, listener) in table.items.iter_mut().filter(|(handle, _)| meant(handle)) {
            found = true;
            let own: Vec<_> = conditions.iter().filter(|event| listener.wants(space, event)).cloned().collect();
            let all = std::iter::once(Arc::clone(start)).chain(own).chain([Arc::clone(end)]);
            all.for_each(|event| listener.put(event));
        }
        found
    }

    /// The session that a subscription with event items belongs to.
    pub(in crate::northbound) fn session_of(&self, subscription: u32) -> Option<u32> {
        self.lock().sessions.get(&subscription).copied()
    }

    /// Hands on what waits, as far as the items' own queues have room; tells whether something still waits.
    pub(in crate::northbound) fn hand_on(
        &self,
        (space, access): (&AddressSpace, &Access),
        subscriptions: &SubscriptionCache,
        types: &dyn TypeTreeForUserStatic,
    ) -> bool {
        if self.listening.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut table = self.lock();
        let Table { items, sessions } = &mut *table;
        let mut is_more = false;
        for (handle, listener) in items.iter_mut().filter(|(_, listener)| !listener.waiting.is_empty()) {
            let Some(session) = sessions.get(&handle.subscription_id) else { continue };
            let Some(all) = subscriptions.get_session_subscriptions(*session) else { continue };
            let mut all = all.lock();
            // The session may have been activated by somebody else since, or the user have lost a role.
            let token = all.session().read().user_token().cloned();
            let user = token.map_or_else(|| access.nobody(), |token| access.user(&token));
            if user != listener.user {
                listener.user = user;
                let Listener { user, waiting, .. } = &mut *listener;
                waiting.retain(|event| space.is_told(user, event));
            }
            let Some(subscription) = all.get_mut(handle.subscription_id) else { continue };
            let room = match subscription.get(&handle.monitored_item_id) {
                Some(item) if item.has_notifications() => 0,
                Some(item) => item.queue_size().max(1),
                None => continue,
            };
            let types: Box<dyn TypeTreeReadContext + '_> = types.get_type_tree();
            for _ in 0..room {
                let lost = std::mem::take(&mut listener.has_overflowed);
                let Some(event) = listener.waiting.front() else { break };
                let overflow = lost.then(|| self.overflow(space.world.clock.now()));
                let event = super::as_seen_by(space, &listener.user, event);
                let told = Told::new(space, overflow.as_ref().unwrap_or(&event), types.get());
                subscription.notify_event(&handle.monitored_item_id, &told, types.get());
                if !lost {
                    listener.waiting.pop_front();
                }
            }
            is_more |= !listener.waiting.is_empty();
        }
        is_more
    }

    fn overflow(&self, now: Timestamp) -> Event {
        let message =
            "Events came faster than they were fetched: the oldest that waited were dropped; history has them";
        let event = Event::new(EventType::EventQueueOverflowEvent, Source::default(), now, 500, message);
        Event { id: self.number(now), ..event }
    }

    /// Looks up whose session each item is in.
    pub(in crate::northbound) fn check_users(&self, access: &Access, subscriptions: &SubscriptionCache) {
        let mut table = self.lock();
        let Table { items, sessions } = &mut *table;
        for (handle, listener) in items {
            if let Some(session) = sessions.get(&handle.subscription_id) {
                listener.user = access.user_of_session(subscriptions, *session);
            }
        }
    }

    /// Forgets the items of subscriptions that are gone.
    pub(in crate::northbound) fn sweep(&self, subscriptions: &SubscriptionCache) {
        let mut table = self.lock();
        let Table { items, sessions } = &mut *table;
        follow(sessions, subscriptions);
        items.retain(|handle, _| sessions.contains_key(&handle.subscription_id));
        self.listening.store(items.len(), Ordering::Relaxed);
    }
}
