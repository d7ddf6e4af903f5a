//! What is watched at a PLC, and what is known of it; another config makes another.

use std::sync::Arc;

use tokio::sync::watch;

use super::{OpcUaClient, backfill::Gaps, inbox::Inbox};
use crate::southbound::Watch;

/// See the file's head.
pub(super) struct Plan {
    pub(super) watches: Arc<[Watch]>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) gaps: Gaps,
    newest: watch::Receiver<Arc<[Watch]>>,
}

impl Plan {
    pub(super) fn new(client: &OpcUaClient) -> Self {
        let mut newest = client.watches.clone();
        let watches = Arc::clone(&newest.borrow_and_update());
        let inbox = Inbox::new(&watches, client.link.clone(), client.clock.clone());
        Self { gaps: Gaps::new(watches.len()), watches, inbox, newest }
    }

    /// Returns when there is another plan; not any more once nobody makes any.
    pub(super) async fn outdated(&self) {
        if self.newest.clone().changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Becomes the newest. What goes on being watched keeps what is known of it.
    pub(super) fn follow(&mut self, client: &OpcUaClient) {
        if !self.newest.has_changed().unwrap_or(false) {
            return;
        }
        let watches = Arc::clone(&self.newest.borrow_and_update());
        let inbox = Inbox::new(&watches, client.link.clone(), client.clock.clone());
        inbox.take_over(&self.inbox);
        self.gaps = self.gaps.of(&self.watches, &watches);
        (self.watches, self.inbox) = (watches, inbox);
    }
}
