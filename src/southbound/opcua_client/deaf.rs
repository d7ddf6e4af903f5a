//! Whether the subscription brings what the PLC has: it may be silent for a part of its items, or for all, while keep-alives
//! come and the session answers (findings of several clients: "looks healthy, data never resume"). Values that a Read gives are
//! compared with what came last; what differs, and has not come three publishing intervals later either, never will.

use std::time::Duration;

use opcua::{
    client::Session,
    types::{AttributeId, NodeId, TimestampsToReturn},
};
use tokio::time::{Instant, sleep};

use super::{inbox::Inbox, session::attribute, subscribe::Subscription};
use crate::{sample::Value, time::Timestamp, ua};

/// Nodes in one look.
const AT_ONCE: usize = 20;
/// Between looks, at least.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Returns when the subscription must be made anew: why. `reads`: nodes that one Read may hold. `not_before`: it was made anew
/// for this a moment ago, and that did not help.
pub(super) async fn watch(
    session: &Session,
    inbox: &Inbox,
    subscription: &Subscription,
    nodes: &[Option<NodeId>],
    (reads, not_before): (usize, Instant),
) -> String {
    let patience =
        (subscription.publishing_interval * 3).max(subscription.sampling_max * 2) + Duration::from_millis(500);
    let mut from = 0;
    loop {
        sleep(LOOK_EVERY.max(patience)).await;
        if Instant::now() < not_before {
            continue;
        }
        let asked = candidates(inbox, nodes, &mut from, AT_ONCE.min(reads), patience);
        let suspects = differing(session, inbox, nodes, &asked).await;
        if suspects.is_empty() {
            continue;
        }
        sleep(patience).await;
        let silent: Vec<usize> = suspects
            .into_iter()
            .filter(|(watch, came)| came_for(inbox, *watch) == *came)
            .map(|(watch, _)| watch)
            .collect();
        if let Some((watch, _)) = differing(session, inbox, nodes, &silent).await.first() {
            let node = nodes.get(*watch).and_then(Option::as_ref).map_or_else(String::new, ToString::to_string);
            return format!("the subscription brings nothing of {node}, whose value has changed");
        }
    }
}

/// Watches to look at: those that are Bad; where nothing at all comes, the next ones in turn.
fn candidates(
    inbox: &Inbox,
    nodes: &[Option<NodeId>],
    from: &mut usize,
    most: usize,
    patience: Duration,
) -> Vec<usize> {
    let mut asked = inbox.bad_ones(*from, most);
    if inbox.silence_of_data() > patience {
        asked.extend((*from..nodes.len()).take(most));
    }
    asked.sort_unstable();
    asked.dedup();
    asked.truncate(most);
    *from = asked.last().map_or(0, |last| (last + 1) % nodes.len().max(1));
    asked.retain(|watch| nodes.get(*watch).is_some_and(Option::is_some));
    asked
}

/// Those whose value is not what came last, and how many samples of them had come.
async fn differing(session: &Session, inbox: &Inbox, nodes: &[Option<NodeId>], asked: &[usize]) -> Vec<(usize, u64)> {
    let node = |watch: &usize| nodes.get(*watch).and_then(Clone::clone).map(|node| (*watch, node));
    let asked: Vec<(usize, NodeId)> = asked.iter().filter_map(node).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let came: Vec<u64> = asked.iter().map(|(watch, _)| came_for(inbox, *watch)).collect();
    let reads: Vec<_> = asked.iter().map(|(_, node)| attribute(node.clone(), AttributeId::Value)).collect();
    // Whether the PLC answers at all, the watchdog judges.
    let Ok(answers) = session.read(&reads, TimestampsToReturn::Neither, 0.0).await else { return Vec::new() };
    let differs = |((watch, _), answer): (&(usize, NodeId), _)| {
        let now = ua::sample(answer, Timestamp::NULL);
        match inbox.last(*watch) {
            Some((value, status, _)) => !same(&now.value, &value) || now.status.is_bad() != status.is_bad(),
            None => !now.status.is_bad(),
        }
    };
    let all = asked.iter().zip(&answers).zip(came);
    all.filter(|(pair, _)| differs(*pair)).map(|(((watch, _), _), came)| (*watch, came)).collect()
}

fn came_for(inbox: &Inbox, watch: usize) -> u64 {
    inbox.last(watch).map_or(0, |(.., count)| count)
}

/// Equal, and not a number as much as another that isn't.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}
