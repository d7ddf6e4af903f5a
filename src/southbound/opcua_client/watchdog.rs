//! Whether a session that looks open still brings data. Returns only to say why not.
//!
//! A PLC that vanished without a word must be known as lost within 2 publishing intervals + 3 s. A loss is declared only
//! after a question that was asked *after* the silence stayed unanswered: a stall of our own process is no loss.

use std::time::Duration;

use opcua::client::Session;
use tokio::time::{Instant, sleep, timeout};

use super::{inbox::Inbox, session::clock_offset_s, subscribe::Subscription};
use crate::time::Clock;

const TICK: Duration = Duration::from_millis(200);
/// Silence beyond two publishing intervals after which the PLC is asked for a sign of life.
const PROBE_AFTER: Duration = Duration::from_millis(800);
/// For that sign. 0.8 + 0.2 + 1.5 s: half a second is left for the news to travel.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How much later than its keep-alive a subscription may be while the session answers.
const SLACK: Duration = Duration::from_secs(2);

/// Watches until the session must be given up. `on_offset` is told the clock offset whenever it was measured.
pub(super) async fn watch(
    session: &Session,
    inbox: &Inbox,
    subscription: &Subscription,
    clock: &dyn Clock,
    on_offset: impl Fn(f64),
) -> String {
    let probe_after = subscription.publishing_interval * 2 + PROBE_AFTER;
    let silence_max = subscription.publishing_interval * 3 + subscription.keep_alive + SLACK;
    let mut answered = Instant::now();
    loop {
        sleep(TICK).await;
        if let Some(status) = inbox.ended() {
            return format!("the PLC ended the subscription: {status}");
        }
        if inbox.silence().min(answered.elapsed()) < probe_after {
            continue;
        }
        let asked = Instant::now();
        match timeout(PROBE_TIMEOUT, clock_offset_s(session, clock)).await {
            Ok(Ok(offset_s)) => {
                answered = Instant::now();
                offset_s.into_iter().for_each(&on_offset);
            }
            Ok(Err(error)) => return error,
            Err(_) if inbox.silence() >= asked.elapsed() => return "the PLC stopped answering".to_owned(),
            Err(_) => {} // busy, but data came
        }
        // Milo #1731, open62541 #7526: the session answers, its subscription never again.
        if inbox.silence() > silence_max {
            return format!("the subscription is silent for {:.1} s", inbox.silence().as_secs_f64());
        }
    }
}
