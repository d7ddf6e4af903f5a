//! Continuation points. The library keeps them by session, gives each to the session that got it only, once, and lets go
//! of those that a client releases or whose session ends. It refuses new ones when there are too many; the specification
//! has the oldest go instead (OPC 10000-11 §6.3), so that a client that forgets its own can still read. That is done
//! here: the library is allowed many more than [`POINTS_MAX`], and holds only a handle of what is kept here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use opcua::server::ContinuationPoint;

use super::Cursor;

/// MaxHistoryContinuationPoints: those of a session that can be used at one time. As many as the nodes of one request.
pub(in crate::northbound) const POINTS_MAX: usize = 1_000;

type Slot = Mutex<Option<Cursor>>;

/// The continuation points of all sessions, oldest first.
#[derive(Default)]
pub(in crate::northbound) struct Points {
    by_session: Mutex<HashMap<u32, VecDeque<Weak<Slot>>>>,
}

impl Points {
    /// A point at which a session may go on. Its oldest becomes invalid when it has too many.
    pub(super) fn keep(&self, session: u32, cursor: Cursor) -> ContinuationPoint {
        let slot = Arc::new(Mutex::new(Some(cursor)));
        let mut by_session = self.by_session.lock().unwrap_or_else(PoisonError::into_inner);
        // Used and released points are dropped by the library, those of a closed session too.
        by_session.retain(|_, points| {
            points.retain(|point| point.strong_count() > 0);
            !points.is_empty()
        });
        let points = by_session.entry(session).or_default();
        while points.len() >= POINTS_MAX {
            if let Some(oldest) = points.pop_front().and_then(|oldest| oldest.upgrade()) {
                oldest.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        }
        points.push_back(Arc::downgrade(&slot));
        ContinuationPoint::new(Box::new(slot))
    }

    /// Where a point goes on; `None`: it is not ours, or had to go.
    pub(super) fn take(point: &ContinuationPoint) -> Option<Cursor> {
        point.get::<Arc<Slot>>()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
