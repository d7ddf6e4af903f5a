//! What the writer does beside writing: putting small blocks together, and dropping what is past retention. Nothing is lost
//! where it fails; it is tried again later. Reads no clock.

use std::time::Duration;

use tracing::{info, warn};

use super::{HistoryError, HistoryStore};
use crate::time::Timestamp;

/// After the store failed.
const PAUSE: Duration = Duration::from_secs(60);
/// How often what is past retention goes.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(3600);

pub(super) struct Tidying {
    retention: Option<Duration>,
    /// When what is past retention goes next.
    expire_next: Timestamp,
    expire_last: Timestamp,
    has_small: bool,
    /// The store is not to be asked again before.
    next: Timestamp,
}

impl Tidying {
    pub(super) fn new(retention: Option<Duration>, started: Timestamp) -> Self {
        // An earlier run may have left something small.
        Self { retention, expire_next: started, expire_last: started, has_small: true, next: started }
    }

    /// Whether the store may have something to compact.
    pub(super) fn has_small(&self) -> bool {
        self.has_small
    }

    /// Looks at about so many samples.
    pub(super) fn compact(&mut self, store: &dyn HistoryStore, now: Timestamp, samples: usize) {
        if samples == 0 || now < self.next {
            self.has_small &= now >= self.next;
            return;
        }
        match store.compact(samples) {
            Ok(done) => self.has_small = done.is_more,
            Err(failure) => self.failed("compact", now, &failure),
        }
    }

    /// Drops what is past retention, now and then.
    pub(super) fn expire(&mut self, store: &dyn HistoryStore, now: Timestamp) {
        if now < self.expire_next || now < self.next {
            return;
        }
        // By the time of the last look: a clock that jumps ahead for a moment must not cost everything.
        let sure = self.expire_last.min(now);
        (self.expire_last, self.expire_next) = (now, now + EXPIRE_INTERVAL);
        if let Err(failure) = store.tidy(sure) {
            self.failed("tidy", now, &failure);
        }
        let Some(retention) = self.retention else { return };
        match store.expire(sure - retention) {
            Ok(0) => {}
            Ok(samples) => info!(samples, "samples past retention are gone"),
            Err(failure) => self.failed("expire", now, &failure),
        }
    }

    fn failed(&mut self, doing: &'static str, now: Timestamp, failure: &HistoryError) {
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        warn!(doing, error = %failure, cause, "history could not be tidied up");
        (self.has_small, self.next) = (false, now + PAUSE);
    }
}
