//! Subscriptions of clients that are gone. The library (0.19, B9) keeps an expired subscription until its last message is sent, and
//! where nobody publishes any more, for ever: some 98 KiB and a look every 10 ms each. It drops a session's subscriptions once
//! there are none; so an empty set, of a session that has ended in order, takes the place of the abandoned one, which is ours then.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opcua::{
    server::{SessionSubscriptions, SubscriptionCache, SubscriptionState},
    sync::Mutex as Locked,
};

/// Empty sets that are kept: so many can be cleared in a sweep.
const SPARE_MAX: usize = 64;
/// A session counts as gone that long after its time is over.
const GONE_AFTER: Duration = Duration::from_secs(10);

type Set = Arc<Locked<SessionSubscriptions>>;

/// See the file's head.
#[derive(Default)]
pub(super) struct Abandoned(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    /// By session.
    known: HashMap<u32, Set>,
    /// Empty, and nobody's but ours.
    spare: Vec<Set>,
}

impl Abandoned {
    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session has a subscription.
    pub(super) fn see(&self, session: u32, subscriptions: &SubscriptionCache) {
        let mut sets = self.lock();
        if !sets.known.contains_key(&session)
            && let Some(set) = subscriptions.get_session_subscriptions(session)
        {
            sets.known.insert(session, set);
        }
    }

    /// Clears what is abandoned; how many subscriptions that were.
    pub(super) fn sweep(&self, now: Instant) -> usize {
        let Sets { known, spare } = &mut *self.lock();
        let mut cleared = 0;
        known.retain(|_, set| {
            if Arc::strong_count(set) == 1 {
                // The library has let it go.
                if spare.len() < SPARE_MAX && set.lock().subscription_ids().is_empty() {
                    spare.push(Arc::clone(set));
                }
                return false;
            }
            let mut abandoned = set.lock();
            if is_abandoned(&abandoned, now)
                && let Some(empty) = spare.pop()
            {
                cleared += abandoned.subscription_ids().len();
                mem::swap(&mut *abandoned, &mut *empty.lock());
            }
            true
        });
        cleared
    }
}

fn is_abandoned(set: &SessionSubscriptions, now: Instant) -> bool {
    let ids = set.subscription_ids();
    let is_over = |id: &u32| set.get(*id).is_none_or(|found| found.state() == SubscriptionState::Closed);
    !ids.is_empty() && ids.iter().all(is_over) && set.session().read().deadline() + GONE_AFTER < now
}
