//! What must be found again: who changed history. A log event of target `audit` today; as AuditHistory events of OPC UA
//! (OPC 10000-4 §6.5, OPC 10000-11 §5.6) they are delivered with the issue on events, from here.

use opcua::types::{NodeId, StatusCode};
use tracing::info;

/// One HistoryUpdate of one node.
#[derive(Debug)]
pub(super) struct HistoryUpdated<'a> {
    /// `insert`, `delete range`, …
    pub(super) kind: &'static str,
    pub(super) node: &'a NodeId,
    pub(super) user: &'a str,
    pub(super) status: StatusCode,
    /// Values that were changed, and that were not.
    pub(super) changed: u64,
    pub(super) refused: u64,
}

/// Refused ones too: who tried is part of the trail.
pub(super) fn history_updated(event: &HistoryUpdated<'_>) {
    let HistoryUpdated { kind, node, user, status, changed, refused } = event;
    info!(target: "audit", kind, %node, user, %status, changed, refused, "history updated");
}
