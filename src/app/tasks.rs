//! The small tasks beside the stages.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::opening::status;
use crate::{
    config, event,
    history::writer::{Watermark, WriterState},
    ingest,
    jobs::Jobs,
    northbound::{Configuration, Publisher, users::SharedUsers},
    sample::{SeriesId, TwinId},
    time::{Clock, Timestamp},
    twin::TwinState,
};

/// Values of one burst are pushed to subscribers together.
const PUBLISH_EVERY: Duration = Duration::from_millis(5);
/// How often the users file is looked at.
const USERS_EVERY: Duration = Duration::from_secs(2);

/// Pushes changed values to subscribers in bursts, and everything derived once a second.
pub(super) async fn publish(
    mut changed: mpsc::Receiver<ingest::Changes>,
    publisher: Publisher,
    clock: Arc<dyn Clock>,
) -> &'static str {
    let mut burst = interval(PUBLISH_EVERY);
    burst.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch: Vec<SeriesId> = Vec::new();
    loop {
        tokio::select! {
            changes = changed.recv() => match changes {
                Some(changes) => {
                    batch.extend(changes.series);
                    changes.programs.iter().for_each(|(twin, program)| publisher.program(*twin, program));
                    if !changes.events.is_empty() {
                        publisher.events(&changes.events);
                    }
                }
                None => return "publish",
            },
            _ = burst.tick(), if !batch.is_empty() || publisher.has_events() => {
                publisher.hand_on_events();
                // Latest value wins: a series that changed twice is pushed once.
                batch.sort_unstable();
                batch.dedup();
                publisher.changed(&batch);
                batch.clear();
            }
            _ = second.tick() => publisher.tick(clock.now()),
        }
    }
}

pub(super) async fn start_models(mut twins: mpsc::Receiver<TwinId>, jobs: Arc<Jobs>) -> &'static str {
    while let Some(twin) = twins.recv().await {
        jobs.warm_start(twin).await;
    }
    "models"
}

pub(super) async fn refill(mut refills: mpsc::Receiver<ingest::Refills>, jobs: Arc<Jobs>) -> &'static str {
    while let Some(refills) = refills.recv().await {
        jobs.refill(refills).await;
    }
    "statistics"
}

pub(super) async fn attend_drift(mut chores: mpsc::Receiver<ingest::DriftChore>, jobs: Arc<Jobs>) -> &'static str {
    while let Some(chore) = chores.recv().await {
        jobs.drift(chore).await;
    }
    "drift"
}

/// An event when history is paused, and when it stores again.
pub(super) async fn tell_history(
    mut watermark: watch::Receiver<Watermark>,
    (jobs, clock, stopping): (Arc<Jobs>, Arc<dyn Clock>, CancellationToken),
) -> &'static str {
    let mut known = watermark.borrow().state;
    loop {
        tokio::select! {
            changed = watermark.changed() => if changed.is_err() { break },
            () = stopping.cancelled() => break,
        }
        let now = *watermark.borrow_and_update();
        if now.state == known {
            continue;
        }
        known = now.state;
        let (severity, message) = match known {
            WriterState::Running => (300, "History stores again".to_owned()),
            WriterState::DiskFull => (900, "History is paused: too little disk space is left; samples wait".to_owned()),
            WriterState::Failing => (900, "History is paused: the store answers with errors; samples wait".to_owned()),
            WriterState::Stopped => break,
        };
        let source = event::Source::new("History");
        let event = event::Event::new(event::EventType::HistoryEvent, source, clock.now(), severity, message);
        jobs.tell(event.with("State", status(now).state)).await;
    }
    stopping.cancelled().await;
    "history state"
}

/// Takes the users file up when it changes. One with faults changes nothing: whoever could log on still can.
pub(super) async fn follow_users(
    (path, users, state): (std::path::PathBuf, SharedUsers, Arc<TwinState>),
    stopping: CancellationToken,
) -> &'static str {
    let mut look = interval(USERS_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        tokio::select! {
            _ = look.tick() => {}
            () = stopping.cancelled() => return "users",
        }
        let (path, twins) = (path.clone(), state.configured());
        let looked = tokio::task::spawn_blocking(move || {
            let found = file_state(&path);
            (known != Some(found)).then(|| (found, config::load_users(&path, &twins)))
        });
        let Ok(Some((found, loaded))) = looked.await else { continue };
        known = Some(found);
        match loaded {
            Ok((loaded, warnings)) => {
                warnings.iter().for_each(|warning| warn!("{warning}"));
                info!(users = loaded.iter().count(), "users file taken up");
                users.replace(loaded);
            }
            Err(faults) => {
                faults.iter().for_each(|fault| error!("{fault}"));
                error!("the users file has faults: the users from before stay");
            }
        }
    }
}

/// What changes when a file is written or replaced: time, length, number. `None`: there is none.
fn file_state(path: &Path) -> Option<(i64, i64, u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    Some((found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}

/// Tells of the end of our certificate: of the one that clients are shown, for another in its place is only after a restart.
pub(super) fn tell_expiry(configuration: Arc<Configuration>, jobs: Arc<Jobs>) -> impl Fn(Option<Timestamp>) {
    let served = OnceLock::new();
    move |end| {
        let Some(end) = end.map(|end| *served.get_or_init(|| end)) else { return };
        configuration.certificate_expires(end);
        jobs.certificate_expires(end);
    }
}
