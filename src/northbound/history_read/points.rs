//! Continuation points. The library keeps them by session, gives each to the session that got it only, once, and lets go
//! of those that a client releases or whose session ends. It knows no time, and refuses new ones when there are too many;
//! the specification has the oldest go instead (OPC 10000-11 §6.3), so that a client that forgets its own can still read.
//! Both are done here: the library is allowed many more than ours, and holds only a handle of what is kept here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use opcua::server::ContinuationPoint;

use super::Cursor;
use crate::{northbound::Limits, time::Timestamp};

/// Where to go on, and since when that was kept; boxed, for an empty slot may lie long in the library.
type Slot = Mutex<Option<Box<(Cursor, Timestamp)>>>;

/// The continuation points of all sessions, oldest first.
pub(in crate::northbound) struct Points {
    timeout: Duration,
    /// MaxHistoryContinuationPoints: those of a session that can be used at one time.
    per_session: usize,
    /// Bytes of values in the answer to one request, together: half of MaxMessageSize, and 8 MiB at most.
    pub(super) answer_bytes: usize,
    by_session: Mutex<HashMap<u32, VecDeque<Weak<Slot>>>>,
}

impl Points {
    /// A point that is not used for `timeout` becomes invalid.
    pub(in crate::northbound) fn new(timeout: Duration, limits: &Limits) -> Self {
        let answer_bytes = (limits.message_size / 2).min(8 << 20);
        Self { timeout, per_session: limits.history_continuation_points, answer_bytes, by_session: Mutex::default() }
    }

    /// A point at which a session may go on. Its oldest becomes invalid when it has too many.
    pub(super) fn keep(&self, session: u32, cursor: Cursor, now: Timestamp) -> ContinuationPoint {
        let slot = Arc::new(Mutex::new(Some(Box::new((cursor, now)))));
        let mut by_session = self.by_session.lock().unwrap_or_else(PoisonError::into_inner);
        let points = by_session.entry(session).or_default();
        if points.len() >= self.per_session {
            points.retain(|point| point.strong_count() > 0); // used or released
        }
        while points.len() >= self.per_session {
            if let Some(oldest) = points.pop_front().and_then(|oldest| oldest.upgrade()) {
                empty(&oldest);
            }
        }
        points.push_back(Arc::downgrade(&slot));
        ContinuationPoint::new(Box::new(slot))
    }

    /// Where a point goes on; `None`: it is not ours, or had to go.
    pub(super) fn take(&self, point: &ContinuationPoint, now: Timestamp) -> Option<Cursor> {
        let (cursor, kept) = *empty(point.get::<Arc<Slot>>()?)?;
        self.is_valid(kept, now).then_some(cursor)
    }

    /// Lets go of what was not used for too long. To be called every few seconds.
    pub(in crate::northbound) fn sweep(&self, now: Timestamp) {
        let is_kept = |slot: Arc<Slot>| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take_if(|kept| !self.is_valid(kept.1, now));
            slot.is_some()
        };
        let mut by_session = self.by_session.lock().unwrap_or_else(PoisonError::into_inner);
        by_session.retain(|_, points| {
            // Used and released points are dropped by the library, those of a closed session too.
            points.retain(|point| point.upgrade().is_some_and(is_kept));
            !points.is_empty()
        });
    }

    fn is_valid(&self, kept: Timestamp, now: Timestamp) -> bool {
        now.saturating_since(kept) < self.timeout
    }
}

fn empty(slot: &Slot) -> Option<Box<(Cursor, Timestamp)>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{northbound::history_read::annotations, sample::SeriesId};

    #[test]
    fn what_an_unused_point_holds_is_given_back_without_another_request() {
        let points = Points::new(Duration::from_secs(600), &Limits::default());
        let at = |seconds: f64| Timestamp::from_unix_s(1e9 + seconds);
        let times: Arc<[Timestamp]> = vec![at(0.0); 1_000].into();
        let cursor = || Cursor::Annotations(annotations::Cursor::at_times(SeriesId(0), Arc::clone(&times)));
        let (early, late) = (points.keep(1, cursor(), at(0.0)), points.keep(2, cursor(), at(5.0)));
        points.sweep(at(599.9));
        assert_eq!(Arc::strong_count(&times), 3);
        points.sweep(at(600.0));
        assert_eq!(Arc::strong_count(&times), 2);
        assert_eq!(points.by_session.lock().unwrap().len(), 1, "a session without points is forgotten");
        assert!(points.take(&early, at(600.0)).is_none());
        // Between two sweeps too.
        assert!(points.take(&late, at(605.0)).is_none());
        let again = points.keep(1, cursor(), at(700.0));
        assert!(points.take(&again, at(1299.0)).is_some());
        assert!(points.take(&again, at(1299.0)).is_none(), "good once");
    }
}
