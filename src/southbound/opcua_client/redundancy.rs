//! Redundant servers of one PLC (OPC 10000-4 §6.6.2): each says by its ServiceLevel how well it serves, and the best is ours. A client
//! of non-transparent redundancy in cold failover: one session, with the server that serves best.

use std::{pin::pin, time::Duration};

use opcua::client::Session;
use tokio::time::{sleep, timeout};

use super::{OpcUaClient, session};

/// From here on a server is healthy (OPC 10000-4 Table 106): below, another may serve better.
const HEALTHY: u8 = 200;
/// Between readings of our server's level.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Looks at an unhealthy server between two at the others.
const LOOKS_AT_OTHERS: u32 = 5;
/// For one server to say its level.
const PATIENCE: Duration = Duration::from_secs(2);

/// The endpoint to connect to: of several the one with the highest ServiceLevel, in the config's order. Where none answers, the
/// one after that which was tried last.
pub(super) async fn best(client: &OpcUaClient) -> usize {
    let count = client.config.endpoints.len();
    if count == 1 {
        return 0;
    }
    let levels = levels(client, None).await;
    let best = levels.iter().enumerate().rev().max_by_key(|(_, level)| **level).filter(|(_, level)| level.is_some());
    best.map_or_else(|| client.link(|link| (link.endpoint + 1) % count), |(endpoint, _)| endpoint)
}

/// Shows our server's ServiceLevel; of several servers, returns when another serves better: why we go there.
pub(super) async fn watch(client: &OpcUaClient, session: &Session) -> String {
    let mut looks = 0;
    loop {
        let ours = session::service_level(session).await;
        client.link(|link| link.service_level = ours);
        let is_unwell = ours.is_some_and(|level| level < HEALTHY);
        looks = if is_unwell && client.config.endpoints.len() > 1 { looks + 1 } else { 0 };
        if looks % LOOKS_AT_OTHERS == 1 {
            let here = client.link(|link| link.endpoint);
            let others = levels(client, Some(here)).await;
            let best = others.iter().enumerate().max_by_key(|(_, level)| **level);
            if let Some((other, Some(level))) = best.filter(|(_, level)| **level > ours) {
                let (here, other) = (&client.config.endpoints[here], &client.config.endpoints[other]);
                return format!(
                    "{here} serves at level {}, {other} at {level}: changing over",
                    ours.unwrap_or_default()
                );
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

/// ServiceLevels by endpoint; `None`: no answer, or not asked. A server that answers but does not say is at the least level that
/// serves at all.
async fn levels(client: &OpcUaClient, but: Option<usize>) -> Vec<Option<u8>> {
    let mut levels = Vec::new();
    for endpoint in 0..client.config.endpoints.len() {
        let asked = timeout(PATIENCE, level_at(client, endpoint));
        levels.push(if but == Some(endpoint) { None } else { asked.await.ok().flatten() });
    }
    levels
}

async fn level_at(client: &OpcUaClient, endpoint: usize) -> Option<u8> {
    let (session, event_loop) = client.prepare_at(endpoint).await.ok()?;
    session.disable_reconnects();
    let mut event_loop = pin!(event_loop.run());
    let mut level = None;
    let ask = async {
        if session.wait_for_connection().await {
            level = Some(session::service_level(&session).await.unwrap_or(1));
            let _ = session.disconnect().await; // else the server forgets us by itself
        }
    };
    tokio::select! {
        () = ask => {}
        _ = &mut event_loop => {} // with the goodbye, or before
    }
    level
}
