//! The OPC UA client that watches one PLC, for ever: connects, subscribes, notices a loss, connects again.
//!
//! Rules: a session is never mended, only made anew, so that namespaces are resolved and items judged at every connect
//! and the time without data is visible; a subscription that brings nothing, or whose nodes have changed, likewise (and where others are to be watched,
//! the one before ends only then); a PLC that cannot be reached disturbs nobody else; nothing here waits inside
//! the library's publish loop.

mod backfill;
mod deaf;
mod inbox;
mod plan;
mod redundancy;
mod resolve;
mod session;
mod subscribe;
pub mod survey;
mod watchdog;
mod write;

use std::{
    path::PathBuf,
    pin::pin,
    sync::{Arc, PoisonError},
    time::Duration,
};

use opcua::{client::Session, types::NodeId};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use session::ConnectError;

use self::{
    backfill::Backfill,
    inbox::Inbox,
    plan::Plan,
    session::{CONNECT_TIMEOUT, Limits},
    subscribe::Subscription,
};
use crate::{
    sample::StatusCode,
    southbound::{Event, LinkState, LinkStatus, NodeAddress, PlcConfig, PlcId, SharedLink, SharedOutlet, Watch},
    time::Clock,
};

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// With an attempt that leads nowhere before and the time to connect, data flows again within 10 s of a PLC's return.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Reasons for which a PLC is not reached that are said, each once: with redundant servers they take turns.
const REASONS_MAX: usize = 8;
/// For a clean end of a session when we stop.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts at nodes that the PLC did not have; where they are many, longer.
const RETRY_ITEMS: Duration = Duration::from_secs(8);
const RETRY_MANY_ITEMS: Duration = Duration::from_secs(60);
const MANY: usize = 100;
/// After the PLC said that its nodes have changed: it says so for each of them.
const CHANGES_SETTLE: Duration = Duration::from_secs(1);
/// Between two subscriptions that were made because the one before was silent, at first; doubled each time.
const DEAF_FIRST: Duration = Duration::from_secs(30);
const DEAF_MAX: Duration = Duration::from_secs(3600);
/// Before a backfill, so that first live samples say where gaps end.
const SETTLE: Duration = Duration::from_millis(500);

/// The source for one PLC.
pub struct OpcUaClient {
    /// Which.
    pub plc: PlcId,
    /// Where and how.
    pub config: PlcConfig,
    /// What is watched; it may change.
    pub watches: tokio::sync::watch::Receiver<Arc<[Watch]>>,
    /// Shown to operators; this is its only writer.
    pub link: SharedLink,
    /// What is written to the PLC comes this way.
    pub outlet: SharedOutlet,
    /// To ingest.
    pub events: mpsc::Sender<Event>,
    /// Ours; the PLC's is compared with it.
    pub clock: Arc<dyn Clock>,
    /// Our client certificate and the servers' (`own`, `private`, `trusted`, `rejected`).
    pub pki_dir: PathBuf,
    /// Ours, as in the certificate there.
    pub application_uri: String,
}

/// How a session ended.
enum End {
    /// We were told to.
    Stopped,
    /// Nobody takes events any more.
    Unwanted,
    /// There was none, or it was lost: why.
    Failed(String),
    /// We go to another server: why.
    Left(String),
}

/// How a subscription ended.
enum Served {
    /// With its session.
    Ended(End),
    /// Its nodes have changed.
    Changed,
    /// Others are to be watched.
    Replanned,
    /// It brings nothing: of what.
    Deaf(String),
}

/// What a session made of the watches.
struct Established {
    limits: Limits,
    subscription: Subscription,
    /// By watch.
    nodes: Vec<Option<NodeId>>,
    /// Watches that cannot be had.
    failed: Vec<(usize, StatusCode)>,
    clock_offset_s: f64,
}

impl OpcUaClient {
    /// Runs until `stop`, then disconnects. Never gives up otherwise (unless nobody takes its events any more).
    pub async fn run(self, stop: CancellationToken) {
        let mut plan = Plan::new(&self);
        let mut backoff = BACKOFF_FIRST;
        let mut lost_said = false;
        let mut reasons_said: Vec<String> = Vec::new();
        self.link(|link| link.clock_offset_s = f64::NAN);
        loop {
            let end = self.session(&mut plan, &stop).await;
            let was_connected = self.link(|link| link.state == LinkState::Connected);
            let (End::Failed(reason) | End::Left(reason)) = end else {
                self.link(|link| link.state = LinkState::Connecting);
                break;
            };
            let mut at = self.clock.now();
            if was_connected {
                at = at - plan.inbox.silence(); // what came last was true until the PLC's last sign of life
                backoff = BACKOFF_FIRST;
                lost_said = false;
                reasons_said.clear();
                self.link(|link| link.state = LinkState::Lost);
                tracing::warn!(plc = %self.config.name, reason, "session lost, connecting anew");
            } else if !reasons_said.contains(&reason) && reasons_said.len() < REASONS_MAX {
                tracing::warn!(plc = %self.config.name, reason, "PLC not reached, trying on");
                reasons_said.push(reason.clone());
            }
            self.link(|link| link.last_error = reason);
            if !lost_said {
                lost_said = true;
                let said =
                    async { self.deliver_rest(&plan.inbox).await && self.say(Event::Lost { plc: self.plc, at }).await };
                tokio::select! {
                    said = said => if !said { break },
                    () = stop.cancelled() => break,
                }
            }
            tokio::select! {
                () = sleep(self.jittered(backoff)) => {}
                () = stop.cancelled() => break,
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One session, from connecting to its end.
    async fn session(&self, plan: &mut Plan, stop: &CancellationToken) -> End {
        let prepared = tokio::select! {
            prepared = self.prepare() => prepared,
            () = stop.cancelled() => return End::Stopped,
        };
        let (session, event_loop) = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => return End::Failed(reason),
        };
        session.disable_reconnects(); // the event loop ends with the connection
        let mut event_loop = pin!(event_loop.run());
        let ended = tokio::select! {
            biased; // what arrived counts before any judgement that nothing did
            status = &mut event_loop => return End::Failed(match status {
                StatusCode::Good => "the connection was closed".to_owned(),
                status => format!("the connection ended: {status}"),
            }),
            () = stop.cancelled() => End::Stopped,
            ended = self.work(&session, plan) => ended,
        };
        if matches!(ended, End::Stopped | End::Left(_)) {
            // The event loop ends when the goodbye is through. What had arrived by then is not lost either.
            let goodbye = async { tokio::join!(session.disconnect(), &mut event_loop) };
            let _ = timeout(DISCONNECT_TIMEOUT, goodbye).await; // else the PLC forgets us by itself
            let _ = timeout(DISCONNECT_TIMEOUT, self.deliver_rest(&plan.inbox)).await;
        }
        ended
    }

    /// A session with the server that serves best.
    async fn prepare(&self) -> Result<(Arc<Session>, session::EventLoop), String> {
        let endpoint = redundancy::best(self).await;
        self.link(|link| link.endpoint = endpoint);
        timeout(CONNECT_TIMEOUT, self.prepare_at(endpoint)).await.map_err(|_| "no answer".to_owned())?
    }

    async fn prepare_at(&self, endpoint: usize) -> Result<(Arc<Session>, session::EventLoop), String> {
        let url = self.config.endpoints.get(endpoint).map_or("", String::as_str);
        session::prepare(&self.config, url, &self.application_uri, &self.pki_dir, self.clock.now())
            .await
            .map_err(|error| error.to_string())
    }

    /// Everything that is done on a session, beside driving it: a subscription, and another where that must be.
    async fn work(&self, session: &Session, plan: &mut Plan) -> End {
        let (mut deaf_again, mut not_before) = (DEAF_FIRST, Instant::now());
        plan.follow(self);
        let mut left: Option<(u32, Arc<Inbox>)> = None;
        loop {
            // Making 100,000 items takes seconds, in which the first of them, or those before, bring more than there is room for.
            let meanwhile = left.as_ref().map_or(&plan.inbox, |(_, before)| before);
            let established = tokio::select! {
                biased;
                established = self.establish(session, plan) => established,
                () = self.deliver(meanwhile) => return End::Unwanted,
            };
            let established = match established {
                Ok(established) => established,
                Err(reason) => return End::Failed(reason),
            };
            if let Some((subscription, inbox)) = left.take()
                && let Err(reason) = self.take_over(session, plan, subscription, &inbox).await
            {
                return End::Failed(reason);
            }
            if !self.say_connected(plan, &established).await {
                return End::Unwanted;
            }
            match self.serve(session, plan, &established, not_before).await {
                Served::Ended(end) => return end,
                Served::Changed => {
                    tracing::info!(plc = %self.config.name, "the PLC's nodes have changed, subscribing anew")
                }
                Served::Replanned => {
                    // What goes on being watched is never without a subscription: the other is made first.
                    left = Some((established.subscription.id, Arc::clone(&plan.inbox)));
                    plan.follow(self);
                    continue;
                }
                Served::Deaf(reason) => {
                    tracing::warn!(plc = %self.config.name, reason, "subscribing anew");
                    self.link(|link| link.last_error = reason);
                    not_before = Instant::now() + deaf_again;
                    deaf_again = (deaf_again * 2).min(DEAF_MAX);
                }
            }
            if let Err(error) = session.delete_subscription(established.subscription.id).await {
                return End::Failed(format!("ending a subscription: {error}"));
            }
        }
    }

    /// Ends the subscription before; what both have brought counts once.
    async fn take_over(&self, session: &Session, plan: &Plan, subscription: u32, before: &Inbox) -> Result<(), String> {
        let ended = session.delete_subscription(subscription).await;
        plan.inbox.take_over(before);
        self.deliver_rest(before).await;
        ended.map(drop).map_err(|error| format!("ending a subscription: {error}"))
    }

    async fn serve(&self, session: &Session, plan: &Plan, established: &Established, not_before: Instant) -> Served {
        let inbox = &plan.inbox;
        let Established { limits, subscription, nodes, .. } = established;
        let (_open, writes) = self.outlet.open();
        let changed = async {
            inbox.model_changed().await;
            sleep(CHANGES_SETTLE).await;
        };
        tokio::select! {
            biased;
            () = self.deliver(inbox) => Served::Ended(End::Unwanted),
            never = write::serve(session, limits, writes) => match never {},
            reason = watchdog::watch(session, inbox, subscription, &*self.clock, |offset_s| {
                self.link(|link| link.clock_offset_s = offset_s);
            }) => Served::Ended(End::Failed(reason)),
            reason = redundancy::watch(self, session) => Served::Ended(End::Left(reason)),
            () = changed => Served::Changed,
            () = plan.outdated() => Served::Replanned,
            never = self.fetch_missed(session, inbox, subscription) => match never {},
            reason = self.retry_items(session, plan, established) => Served::Ended(End::Failed(reason)),
            reason = deaf::watch(session, inbox, subscription, nodes, (limits.read, not_before)) => Served::Deaf(reason),
            () = self.backfill(session, plan, established) => Served::Ended(End::Unwanted),
        }
    }

    /// Asks once more for messages of the subscription that did not come.
    async fn fetch_missed(
        &self,
        session: &Session,
        inbox: &Inbox,
        subscription: &Subscription,
    ) -> std::convert::Infallible {
        let shift = session::Shift::of(session);
        loop {
            let sequence = inbox.missed().await;
            match session.republish(subscription.id, sequence).await {
                Ok(message) => inbox.take(message, &shift),
                Err(error) => {
                    tracing::warn!(plc = %self.config.name, sequence, %error, "a message of the subscription is lost");
                    self.link(|link| link.messages_lost += 1);
                }
            }
        }
    }

    async fn establish(&self, session: &Session, plan: &Plan) -> Result<Established, String> {
        let Plan { watches, inbox, gaps, .. } = plan;
        if !timeout(CONNECT_TIMEOUT, session.wait_for_connection()).await.map_err(|_| "no session within 10 s")? {
            return Err("the session ended at once".to_owned());
        }
        let clock_offset_s = session::clock_offset_s(session, &*self.clock).await?.unwrap_or(f64::NAN);
        let limits = session::limits(session).await?;
        if let Some(reach) = self.config.backfill {
            gaps.open(inbox, session::plc_now(&*self.clock, clock_offset_s) - reach);
        }
        inbox.begin_subscription();
        let mut subscription = subscribe::subscribe(session, self.config.publishing_interval, inbox.clone()).await?;
        subscribe::watch_model(session, &subscription).await;
        let mut nodes = vec![None; watches.len()];
        let all: Vec<usize> = (0..watches.len()).collect();
        let failed = make_items(session, &limits, &mut subscription, watches, &all, &mut nodes).await?;
        Ok(Established { limits, subscription, nodes, failed, clock_offset_s })
    }

    async fn say_connected(&self, plan: &Plan, established: &Established) -> bool {
        let items = established.nodes.iter().flatten().count();
        tracing::info!(
            plc = %self.config.name,
            items,
            failed = established.failed.len(),
            publishing_interval_ms = established.subscription.publishing_interval.as_millis(),
            "session open, subscribed"
        );
        self.link(|link| {
            link.reconnects += u32::from(link.state == LinkState::Lost);
            link.state = LinkState::Connected;
            link.clock_offset_s = established.clock_offset_s;
        });
        self.say(Event::Connected { plc: self.plc }).await && self.say_failed(plan, &established.failed).await
    }

    async fn say_failed(&self, plan: &Plan, failed: &[(usize, StatusCode)]) -> bool {
        let at = self.clock.now();
        for &(watch, status) in failed {
            let watch = &plan.watches[watch];
            tracing::warn!(plc = %self.config.name, address = ?watch.address, %status, "item not to be had, retried later");
            if !self.say(Event::ItemFailed { series: watch.series, at, status }).await {
                return false;
            }
        }
        true
    }

    /// Passes on what comes; returns when nobody takes it any more.
    async fn deliver(&self, inbox: &Inbox) {
        while self.deliver_rest(inbox).await {
            inbox.arrived().await;
        }
    }

    async fn deliver_rest(&self, inbox: &Inbox) -> bool {
        while !inbox.is_empty() {
            let Ok(permit) = self.events.reserve().await else { return false };
            if let Some((received, samples)) = inbox.pop() {
                permit.send(Event::Samples { received, samples });
            }
        }
        true
    }

    /// Tries again what the PLC did not have; returns only when the session does not answer.
    async fn retry_items(&self, session: &Session, plan: &Plan, established: &Established) -> String {
        if established.failed.is_empty() {
            std::future::pending::<()>().await; // 100,000 nodes are not copied for nothing
        }
        let mut failed = established.failed.clone();
        let (mut nodes, mut subscription) = (established.nodes.clone(), established.subscription);
        while !failed.is_empty() {
            sleep(if failed.len() < MANY { RETRY_ITEMS } else { RETRY_MANY_ITEMS }).await;
            let wanted: Vec<usize> = failed.iter().map(|(watch, _)| *watch).collect();
            let made =
                make_items(session, &established.limits, &mut subscription, &plan.watches, &wanted, &mut nodes).await;
            let still = match made {
                Ok(still) => still,
                Err(reason) => return reason,
            };
            let news: Vec<_> = still.iter().filter(|item| !failed.contains(item)).copied().collect();
            if !self.say_failed(plan, &news).await {
                break;
            }
            failed = still;
        }
        std::future::pending().await
    }

    /// Fills gaps once; returns only when nobody takes events any more.
    async fn backfill(&self, session: &Session, plan: &Plan, established: &Established) {
        if self.config.backfill.is_some() {
            sleep(SETTLE.max(established.subscription.publishing_interval * 2)).await;
            let backfill = Backfill {
                session,
                limits: established.limits,
                watches: &plan.watches,
                nodes: &established.nodes,
                inbox: &plan.inbox,
                gaps: &plan.gaps,
                events: &self.events,
                clock: &*self.clock,
                clock_offset_s: established.clock_offset_s,
            };
            match backfill.run().await {
                Ok(samples) => tracing::info!(plc = %self.config.name, samples, "backfill done"),
                Err(reason) => tracing::warn!(plc = %self.config.name, reason, "backfill not finished"),
            }
            if self.events.is_closed() {
                return;
            }
        }
        std::future::pending().await
    }

    async fn say(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    fn link<T>(&self, change: impl FnOnce(&mut LinkStatus) -> T) -> T {
        change(&mut self.link.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Half to all of `backoff`, so that a hundred sources do not all knock at once.
    fn jittered(&self, backoff: Duration) -> Duration {
        let seed = self.clock.now().ticks().unsigned_abs() ^ (u64::from(self.plc.0) << 32);
        let hash = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54; // 10 bits, golden ratio hashing
        backoff.mul_f64(0.5 + hash as f64 / 2_048.0)
    }
}

/// Resolves watches and makes their items; those that cannot be had are returned.
async fn make_items(
    session: &Session,
    limits: &Limits,
    subscription: &mut Subscription,
    watches: &[Watch],
    wanted: &[usize],
    nodes: &mut [Option<NodeId>],
) -> Result<Vec<(usize, StatusCode)>, String> {
    let addresses: Vec<&NodeAddress> = wanted.iter().map(|&watch| &watches[watch].address).collect();
    let mut failed = Vec::new();
    let mut found = Vec::new();
    for (&watch, resolved) in wanted.iter().zip(resolve::resolve(session, limits, &addresses).await?) {
        match resolved {
            Ok(node) => found.push((watch, node)),
            Err(status) => failed.push((watch, status)),
        }
    }
    let statuses = subscribe::create_items(session, limits, subscription, watches, &found).await?;
    for ((watch, node), status) in found.into_iter().zip(statuses) {
        if status.is_bad() {
            failed.push((watch, status));
        } else {
            nodes[watch] = Some(node);
        }
    }
    Ok(failed)
}
