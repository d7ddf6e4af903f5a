//! `[server.limits]`: one row per key, with what it may be.

use std::ops::RangeInclusive;

use super::raw::Table;
use crate::northbound::Limits;

/// A key, what it may be, where it goes.
type Row = (&'static str, RangeInclusive<i64>, fn(&mut Limits) -> &mut usize);

const ROWS: [Row; 16] = [
    ("connections", 2..=20_000, |l| &mut l.connections),
    ("connections_per_address", 1..=20_000, |l| &mut l.connections_per_address),
    ("sessions", 1..=10_000, |l| &mut l.sessions),
    ("unactivated_sessions", 1..=10_000, |l| &mut l.unactivated_sessions),
    ("subscriptions_per_session", 1..=10_000, |l| &mut l.subscriptions_per_session),
    ("monitored_items", 1..=10_000_000, |l| &mut l.monitored_items),
    ("monitored_items_per_subscription", 1..=10_000_000, |l| &mut l.monitored_items_per_subscription),
    ("queue_size", 1..=100_000, |l| &mut l.queue_size),
    ("queued_values", 1..=1_000_000_000, |l| &mut l.queued_values),
    // OPC 10000-6 §7.1.2.3: a buffer is 8,192 bytes at least.
    ("message_size", 8_192..=256 << 20, |l| &mut l.message_size),
    ("array_length", 1..=10_000_000, |l| &mut l.array_length),
    ("string_length", 256..=256 << 20, |l| &mut l.string_length),
    ("nodes_per_request", 1..=100_000, |l| &mut l.nodes_per_request),
    ("history_continuation_points", 1..=60_000, |l| &mut l.history_continuation_points),
    ("method_calls", 1..=10_000, |l| &mut l.method_calls),
    ("fits", 1..=64, |l| &mut l.fits),
];

/// What an absent key stands for is in [`Limits::default`].
pub(super) fn limits(server: &Table<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(table) = server.table("limits") else { return limits };
    for (key, allowed, place) in ROWS {
        if let Some(number) = table.get(key).and_then(|item| item.whole(allowed)) {
            *place(&mut limits) = usize::try_from(number).unwrap_or(usize::MAX);
        }
    }
    if let Some(timeout) = table.get("session_timeout").and_then(|item| item.period()) {
        limits.session_timeout = timeout;
    }
    if limits.connections <= limits.sessions {
        table.fault(
            format!("{} sessions need more than {} connections", limits.sessions, limits.connections),
            "let connections be above sessions: else there is no room for anybody who comes",
        );
    }
    if limits.unactivated_sessions > limits.sessions && table.has("unactivated_sessions") {
        table.fault(
            format!("{} sessions cannot have {} that are not activated", limits.sessions, limits.unactivated_sessions),
            "give a smaller unactivated_sessions",
        );
    }
    limits.unactivated_sessions = limits.unactivated_sessions.min(limits.sessions);
    table.finish();
    limits
}
