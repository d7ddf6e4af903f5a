//! How much all clients together may take: monitored items and the places in their queues, method calls at work. The library
//! counts items by subscription only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opcua::server::{CreateMonitoredItem, MonitoredItemHandle, SubscriptionCache};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Limits, publish::follow};

/// What is taken, and how much may be.
pub(super) struct Quota {
    items_max: usize,
    places_max: usize,
    taken: Mutex<Taken>,
    calls: Arc<Semaphore>,
}

#[derive(Default)]
struct Taken {
    /// By subscription: the places in each item's queue.
    queues: HashMap<u32, HashMap<u32, usize>>,
    items: usize,
    places: usize,
    /// Which session each subscription is in, for [`follow`].
    owners: HashMap<u32, u32>,
}

impl Quota {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            items_max: limits.monitored_items,
            places_max: limits.queued_values,
            taken: Mutex::default(),
            calls: Arc::new(Semaphore::new(limits.method_calls)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for a new item of a session; it is taken then.
    pub(super) fn admits(&self, session: u32, item: &CreateMonitoredItem) -> bool {
        self.takes(session, item.handle(), item.queue_size())
    }

    fn takes(&self, session: u32, handle: MonitoredItemHandle, places: usize) -> bool {
        let mut taken = self.lock();
        if taken.items >= self.items_max || taken.places.saturating_add(places) > self.places_max {
            return false;
        }
        taken.items += 1;
        taken.places += places;
        taken.owners.insert(handle.subscription_id, session);
        taken.queues.entry(handle.subscription_id).or_default().insert(handle.monitored_item_id, places);
        true
    }

    /// An item's queue has another length. It has been made already: what is over the limit here is taken from the next ones.
    pub(super) fn resized(&self, handle: MonitoredItemHandle, places: usize) {
        let taken = &mut *self.lock();
        let queue = taken.queues.get_mut(&handle.subscription_id).and_then(|of| of.get_mut(&handle.monitored_item_id));
        if let Some(before) = queue {
            taken.places = taken.places - *before + places;
            *before = places;
        }
    }

    /// An item is gone.
    pub(super) fn give_back(&self, handle: MonitoredItemHandle) {
        let taken = &mut *self.lock();
        let queues = taken.queues.get_mut(&handle.subscription_id);
        if let Some(places) = queues.and_then(|queues| queues.remove(&handle.monitored_item_id)) {
            taken.items -= 1;
            taken.places -= places;
        }
    }

    /// Gives back what subscriptions had that are gone: the library does not tell of those that expire (B8).
    pub(super) fn sweep(&self, subscriptions: &SubscriptionCache) {
        let taken = &mut *self.lock();
        follow(&mut taken.owners, subscriptions);
        taken.keep_owned();
    }

    /// A place among the calls at work; `None`: there is none.
    pub(super) fn call(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }
}

impl Taken {
    fn keep_owned(&mut self) {
        let owners = &self.owners;
        self.queues.retain(|subscription, _| owners.contains_key(subscription));
        self.items = self.queues.values().map(HashMap::len).sum();
        self.places = self.queues.values().flat_map(HashMap::values).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_places_are_bounded_and_given_back() {
        let limits = Limits { monitored_items: 3, queued_values: 20, method_calls: 1, ..Limits::default() };
        let quota = Quota::new(&limits);
        let handle = |subscription_id, monitored_item_id| MonitoredItemHandle { subscription_id, monitored_item_id };
        assert!(quota.takes(1, handle(1, 1), 10) && quota.takes(1, handle(1, 2), 5));
        assert!(!quota.takes(2, handle(2, 3), 6), "too many places");
        assert!(quota.takes(2, handle(2, 3), 5));
        assert!(!quota.takes(2, handle(2, 4), 0), "too many items");
        quota.resized(handle(1, 1), 1);
        quota.give_back(handle(1, 2));
        quota.give_back(handle(1, 2));
        assert!(quota.takes(2, handle(2, 4), 14), "1 + 5 + 14 places of 20, 3 items of 3");
        quota.lock().owners.remove(&2);
        quota.lock().keep_owned();
        {
            let taken = quota.lock();
            assert_eq!((taken.items, taken.places), (1, 1));
        }
        let call = quota.call();
        assert!(call.is_some() && quota.call().is_none());
        drop(call);
        assert!(quota.call().is_some());
    }
}
