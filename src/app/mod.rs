//! The composition root: makes the queues, starts every task, stops them in the order in which data flows.
//!
//! Stopping cancels only sources and jobs; each later stage ends because its input closes. One grace period over all. A
//! long task that ends by itself stops the process: half a twin shows stale values as live.

mod opening;
mod reload;
mod sources;
mod tasks;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use self::{
    opening::{conditions, control, ensure_writable, open_history, revisions, status},
    reload::Reload,
    sources::{RETIRED, Sources},
    tasks::{attend_drift, follow_users, publish, refill, start_models, tell_expiry, tell_history},
};
use crate::{
    config::{Config, Fixed},
    control::Control,
    history::{
        HistoryError, SharedStore,
        writer::{HistoryWriter, WriterReport},
    },
    ingest::{self, Ingest},
    jobs::Jobs,
    northbound::{Configuration, ReloadRequest, Server, ServerError, World},
    pki,
    revisions::Restored,
    sample::TwinId,
    southbound::{Event, Plcs},
    time::{Clock, Timestamp},
    twin::TwinState,
};
pub use reload::Loader;

/// Bounds of the queues, in messages. An event is a whole notification of a PLC, a history message a whole batch.
const EVENTS: usize = 1024;
const COMMANDS: usize = 64;
const HISTORY: usize = 256;
const CHANGED: usize = 256;
const WARM_STARTS: usize = 1024;
const DRIFT: usize = 16_384;
const REFILLS: usize = 64;
/// How long stopping may take.
const GRACE: Duration = Duration::from_secs(20);

/// Why the service does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// A folder cannot be made or written.
    #[error("cannot write to the folder `{}`", path.display())]
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// What the operating system said.
        #[source]
        cause: std::io::Error,
    },
    /// History.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The OPC UA server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A long task ended by itself.
    #[error("the {0} task ended by itself: stopping, because half a twin would show stale values as live")]
    TaskEnded(&'static str),
    /// Stopping took longer than the grace period.
    #[error("stopping took longer than {GRACE:?}: ended without a last flush")]
    Grace,
}

/// Everything made and bound, nothing running yet but the history writer.
pub struct App {
    state: Arc<TwinState>,
    plcs: Arc<Plcs>,
    server: Server,
    jobs: Arc<Jobs>,
    job_tasks: TaskTracker,
    writer: HistoryWriter,
    history: SharedStore,
    control: Option<Control>,
    stood: HashMap<TwinId, (Timestamp, Vec<f64>)>,
    ingest_channels: ingest::Channels,
    changed: mpsc::Receiver<ingest::Changes>,
    warm_starts: mpsc::Receiver<TwinId>,
    refills: mpsc::Receiver<ingest::Refills>,
    drift: mpsc::Receiver<ingest::DriftChore>,
    events: mpsc::Sender<Event>,
    clock: Arc<dyn Clock>,
    pki_dir: std::path::PathBuf,
    application_uri: String,
    users_file: Option<std::path::PathBuf>,
    configuration: Arc<Configuration>,
    fixed: Fixed,
    load: Option<Arc<Loader>>,
    reloads: mpsc::Receiver<ReloadRequest>,
    reloads_tx: mpsc::Sender<ReloadRequest>,
}

impl App {
    /// Opens history, binds the server's port. Whatever can fail at start fails here, in one sentence.
    ///
    /// # Errors
    /// A folder, the history, the port.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        ensure_writable(&config.data_dir)?;
        let fixed = Fixed::of(&config);
        let twins = Arc::new(config.twins);
        let control = control(&config.history.store, &config.data_dir);
        let store = config.history.store;
        let history = open_history(store, &config.data_dir, &twins, config.renames, clock.now()).await?;
        let (history_tx, history_rx) = mpsc::channel(HISTORY);
        let writer = HistoryWriter::start(Arc::clone(&history), history_rx, clock.now(), config.history.retention)
            .map_err(AppError::Thread)?;

        let (events_tx, events_rx) = mpsc::channel(EVENTS);
        let (commands_tx, commands_rx) = mpsc::channel(COMMANDS);
        let (changed_tx, changed_rx) = mpsc::channel(CHANGED);
        let (warm_tx, warm_rx) = mpsc::channel(WARM_STARTS);
        let (refills_tx, refills_rx) = mpsc::channel(REFILLS);
        let (drift_tx, drift_rx) = mpsc::channel(DRIFT);
        let configuration = Arc::<Configuration>::default();
        configuration.loaded(clock.now());
        let (reloads_tx, reloads) = mpsc::channel(reload::REQUESTS);
        let (revisions, restored) = revisions(Arc::clone(&history), Arc::clone(&twins), clock.now()).await?;
        let stood: HashMap<_, _> = restored.iter().filter_map(Restored::standing).collect();
        let restored = restored.into_iter().map(|twin| (twin.twin, twin.in_force, twin.last_fit));
        let state = Arc::new(TwinState::restored(Arc::clone(&twins), clock.now(), restored));
        state.restore_conditions(conditions(Arc::clone(&history)).await?);
        let plcs = Arc::new(Plcs::new(config.plcs));
        let job_tasks = TaskTracker::new();
        let jobs = Jobs::new(
            Arc::clone(&state),
            Arc::clone(&history),
            (revisions, stood.clone()),
            (commands_tx, Arc::clone(&plcs)),
            Arc::clone(&clock),
            (job_tasks.clone(), config.server.limits.fits),
        );
        let watermark = writer.watermark();
        let world = World {
            state: Arc::clone(&state),
            history: Arc::clone(&history),
            history_status: Arc::new(move || status(*watermark.borrow())),
            jobs: Arc::clone(&jobs),
            plcs: Arc::clone(&plcs),
            configuration: Arc::clone(&configuration),
            reloads: reloads_tx.clone(),
            clock: Arc::clone(&clock),
        };
        let (pki_dir, application_uri) = (config.server.pki_dir.clone(), config.server.application_uri.clone());
        let users_file = config.server.users_file.clone();
        let server = Server::bind(&config.server, world).await?;
        let ingest_channels = ingest::Channels {
            events: events_rx,
            commands: commands_rx,
            history: history_tx,
            changed: changed_tx,
            warm_starts: warm_tx,
            refills: refills_tx,
            drift: drift_tx,
        };
        Ok(Self {
            state,
            plcs,
            configuration,
            fixed,
            load: None,
            reloads,
            reloads_tx,
            server,
            jobs,
            job_tasks,
            writer,
            history,
            control,
            stood,
            ingest_channels,
            changed: changed_rx,
            warm_starts: warm_rx,
            refills: refills_rx,
            drift: drift_rx,
            events: events_tx,
            clock,
            pki_dir,
            application_uri,
            users_file,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        self.server.endpoint_url().to_string()
    }

    /// Live values.
    #[must_use]
    pub fn state(&self) -> Arc<TwinState> {
        Arc::clone(&self.state)
    }

    /// What is stored; readable also after the end.
    #[must_use]
    pub fn history(&self) -> SharedStore {
        Arc::clone(&self.history)
    }

    /// Asks for the config to be loaded anew.
    #[must_use]
    pub fn reloads(&self) -> mpsc::Sender<ReloadRequest> {
        self.reloads_tx.clone()
    }

    /// Where from. Without it a reload is refused.
    #[must_use]
    pub fn reloading_by(mut self, load: Loader) -> Self {
        self.load = Some(Arc::new(load));
        self
    }

    /// Runs until `stop`, then drains in the order of the flow.
    ///
    /// # Errors
    /// A task that ended by itself, or a stop that took too long.
    pub async fn run(self, stop: CancellationToken) -> Result<WriterReport, AppError> {
        let (intake, serving) = (CancellationToken::new(), CancellationToken::new());
        let mut stages: JoinSet<&'static str> = JoinSet::new();
        let mut sources = Sources {
            intake: intake.clone(),
            events: self.events.clone(),
            history: Arc::clone(&self.history),
            clock: Arc::clone(&self.clock),
            pki_dir: self.pki_dir.clone(),
            application_uri: self.application_uri,
            at_work: HashMap::new(),
        };
        sources.follow(&self.state.configured(), &self.plcs, &mut stages);
        if let Some(control) = self.control {
            let (history, stopping) = (Arc::clone(&self.history), intake.clone());
            stages.spawn(async move {
                control.serve(history, stopping).await;
                "control"
            });
        }
        // Without any PLC the input stays open until the stop all the same.
        let (events, stopping) = (self.events, intake.clone());
        stages.spawn(async move {
            stopping.cancelled().await;
            drop(events);
            "intake"
        });

        let mut ingest = Ingest::new(Arc::clone(&self.state), self.plcs.numbers()).telling_of(Arc::clone(&self.plcs));
        ingest.resume(self.stood);
        let (clock, history) = (Arc::clone(&self.clock), Arc::clone(&self.history));
        let stored_until = Box::new(move |series| sources::newest(&history, series));
        let channels = self.ingest_channels;
        stages.spawn(async move {
            ingest::run(ingest, channels, clock, stored_until).await;
            "ingest"
        });
        let expires = tell_expiry(Arc::clone(&self.configuration), Arc::clone(&self.jobs));
        stages.spawn(pki::watch(self.pki_dir, expires, Arc::clone(&self.clock), intake.clone()));
        let publisher = self.server.publisher();
        stages.spawn(publish(self.changed, publisher.clone(), Arc::clone(&self.clock)));
        stages.spawn(start_models(self.warm_starts, Arc::clone(&self.jobs)));
        stages.spawn(refill(self.refills, Arc::clone(&self.jobs)));
        stages.spawn(attend_drift(self.drift, Arc::clone(&self.jobs)));
        let told = (Arc::clone(&self.jobs), Arc::clone(&self.clock), intake.clone());
        stages.spawn(tell_history(self.writer.watermark(), told));
        let users = self.server.users();
        if let Some(path) = self.users_file {
            let users = (path, users.clone(), Arc::clone(&self.state));
            stages.spawn(follow_users(users, intake.clone()));
        }
        let server = tokio::task::JoinSet::from_iter([self.server.run(serving.clone())]);

        let mut reload = Reload {
            load: self.load,
            fixed: self.fixed,
            configuration: self.configuration,
            state: self.state,
            plcs: self.plcs,
            jobs: Arc::clone(&self.jobs),
            publisher,
            users,
            sources,
            clock: self.clock,
        };
        let mut reloads = self.reloads;
        let ended = loop {
            tokio::select! {
                () = stop.cancelled() => break None,
                ended = stages.join_next() => match ended.and_then(Result::ok) {
                    Some(RETIRED) => {}
                    ended => break Some(ended.unwrap_or("panicked")),
                },
                Some(request) = reloads.recv() => reload.serve(request, &mut stages).await,
            }
        };
        info!("stopping: sources first, then what they fed");
        intake.cancel();
        drop(reload);
        self.jobs.cancel_all();
        self.job_tasks.close();
        let drained = timeout(GRACE, drain(stages, server, serving, self.job_tasks, self.writer)).await;
        match (ended, drained) {
            (_, Err(_)) => Err(AppError::Grace),
            (Some(task), Ok(_)) => Err(AppError::TaskEnded(task)),
            (None, Ok(report)) => Ok(report),
        }
    }
}

/// Stages end one after the other as their inputs close; the server goes last, so that clients see the end announced.
async fn drain(
    mut stages: JoinSet<&'static str>,
    mut server: JoinSet<()>,
    serving: CancellationToken,
    jobs: TaskTracker,
    writer: HistoryWriter,
) -> WriterReport {
    while stages.join_next().await.is_some() {}
    jobs.wait().await;
    serving.cancel();
    while server.join_next().await.is_some() {}
    let report = tokio::task::spawn_blocking(move || writer.join()).await;
    report.ok().and_then(Result::ok).unwrap_or_else(|| {
        warn!("the history writer broke; samples received after the last DurableUntil may be lost");
        WriterReport::default()
    })
}
