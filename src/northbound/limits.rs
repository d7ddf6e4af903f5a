//! What clients may take of this server, and what that can cost in memory at worst. Only numbers: who holds to them is said at
//! each.

use std::time::Duration;

/// Bytes of a chunk at most (OPC 10000-6 §6.7.2): the library's buffers.
pub(super) const CHUNK_MAX: usize = 65_535;
/// What a session may leave unanswered: Publish requests wait, `PUBLISH_REQUESTS` of them, and some more may be at work.
pub(super) const REQUESTS_AT_ONCE: usize = PUBLISH_REQUESTS + 56;
/// Publish requests that wait in a session; the oldest is answered Bad_TooManyPublishRequests.
pub(super) const PUBLISH_REQUESTS: usize = 200;

/// `[server.limits]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections, of all clients. By the gate: one without a session makes room, or the new one is told
    /// Bad_TcpServerTooBusy.
    pub connections: usize,
    /// TCP connections of one address; likewise.
    pub connections_per_address: usize,
    /// Sessions. By the library: Bad_TooManySessions.
    pub sessions: usize,
    /// Of those, created and not activated. By the gate: the oldest is closed (OPC 10000-4 §5.7.2).
    pub unactivated_sessions: usize,
    /// Longest time without a request that a session outlives. By the library, which revises what clients ask for.
    pub session_timeout: Duration,
    /// Subscriptions of a session. By the library: Bad_TooManySubscriptions.
    pub subscriptions_per_session: usize,
    /// Monitored items of all clients. Bad_TooManyMonitoredItems.
    pub monitored_items: usize,
    /// Monitored items of a subscription. By the library: Bad_TooManyMonitoredItems.
    pub monitored_items_per_subscription: usize,
    /// Values in an item's queue. By the library, which revises what clients ask for.
    pub queue_size: usize,
    /// Places in the queues of all items. Bad_TooManyMonitoredItems.
    pub queued_values: usize,
    /// Bytes of a request or an answer. By the library: Bad_EncodingLimitsExceeded, Bad_ResponseTooLarge.
    pub message_size: usize,
    /// Elements of an array in a request. By the library: Bad_DecodingError.
    pub array_length: usize,
    /// Bytes of a string or ByteString in a request; likewise.
    pub string_length: usize,
    /// Operations of one request. By the library: Bad_TooManyOperations.
    pub nodes_per_request: usize,
    /// Continuation points of HistoryRead of a session. The oldest goes.
    pub history_continuation_points: usize,
    /// Method calls at work at one time. Bad_ResourceUnavailable.
    pub method_calls: usize,
    /// Fits at work at one time. Bad_ResourceUnavailable.
    pub fits: usize,
}

impl Default for Limits {
    /// The library's are a device's; these are a plant's.
    fn default() -> Self {
        Self {
            connections: 400,
            connections_per_address: 250,
            sessions: 200,
            unactivated_sessions: 50,
            session_timeout: Duration::from_secs(3600),
            subscriptions_per_session: 100,
            monitored_items: 500_000,
            monitored_items_per_subscription: 200_000,
            queue_size: 10_000,
            queued_values: 5_000_000,
            message_size: 16 << 20,
            array_length: 100_000,
            string_length: 1 << 20,
            nodes_per_request: 10_000,
            history_continuation_points: 1_000,
            method_calls: 64,
            fits: 2,
        }
    }
}

/// Bytes of a connection: the gate's two chunks and the library's buffers of one chunk in and one out, sockets in the kernel
/// aside. Measured: 240 KB.
const CONNECTION: usize = 4 * CHUNK_MAX;
/// Bytes of a session: nonces, certificate, name, its tables. Measured: 4 KB.
const SESSION: usize = 8 << 10;
/// Bytes of a subscription without items.
const SUBSCRIPTION: usize = 1 << 10;
/// Bytes of a monitored item in the library's tables and ours, its last value included. Measured: 1.1 KB.
const ITEM: usize = 1_400;
/// Bytes of a queued value, of a number; a longer one holds its own.
const QUEUED: usize = 112;
/// Bytes of a continuation point.
const POINT: usize = 512;

/// What the limits allow clients to take, in bytes, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// Connections and sessions.
    pub connections: usize,
    /// Subscriptions, monitored items and their queues.
    pub items: usize,
    /// One request and one answer of the greatest size in every session, at one time.
    pub messages: usize,
}

impl WorstCase {
    /// Altogether.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.connections.saturating_add(self.items).saturating_add(self.messages)
    }
}

impl Limits {
    /// What they allow at worst. Sums of products that are each below 2⁵³ by the bounds of the config.
    #[must_use]
    pub const fn worst_case(&self) -> WorstCase {
        let points = self.sessions.saturating_mul(self.history_continuation_points).saturating_mul(POINT);
        let sessions = self.sessions.saturating_mul(SESSION);
        let subscriptions = self.sessions.saturating_mul(self.subscriptions_per_session).saturating_mul(SUBSCRIPTION);
        WorstCase {
            connections: self.connections.saturating_mul(CONNECTION).saturating_add(sessions).saturating_add(points),
            items: subscriptions
                .saturating_add(self.monitored_items.saturating_mul(ITEM))
                .saturating_add(self.queued_values.saturating_mul(QUEUED)),
            messages: self.sessions.saturating_mul(self.message_size).saturating_mul(2),
        }
    }

    /// Chunks of a message.
    pub(super) const fn chunks(&self) -> usize {
        // A chunk carries less than it is long; twice is more than enough for any padding and signature.
        2 * self.message_size.div_ceil(CHUNK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_takes_memory_is_in_the_sum() {
        let base = Limits::default();
        let more = |change: fn(&mut Limits)| {
            let mut limits = base.clone();
            change(&mut limits);
            limits.worst_case().total()
        };
        let changes: [fn(&mut Limits); 7] = [
            |l| l.connections *= 2,
            |l| l.sessions *= 2,
            |l| l.subscriptions_per_session *= 2,
            |l| l.monitored_items *= 2,
            |l| l.queued_values *= 2,
            |l| l.message_size *= 2,
            |l| l.history_continuation_points *= 2,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            assert!(more(change) > base.worst_case().total(), "change {i}");
        }
        // 400 connections of 256 KiB; 500,000 items and 5 million places; 200 × 2 × 16 MiB.
        let WorstCase { connections, items, messages } = base.worst_case();
        assert_eq!((connections >> 20, items >> 20, messages >> 20), (199, 1221, 6400));
    }
}
