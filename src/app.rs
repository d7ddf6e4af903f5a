//! The composition root: makes the queues, starts every task, stops them in the order in which data flows.
//!
//! Stopping cancels only sources and jobs; each later stage ends because its input closes. One grace period over all. A
//! long task that ends by itself stops the process: half a twin shows stale values as live.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    config::{self, Config, Store},
    control::Control,
    event,
    history::{
        HistoryError, SharedStore,
        memory_store::MemoryStore,
        sled_store::{SledOptions, SledStore},
        writer::{HistoryWriter, Watermark, WriterReport, WriterState},
    },
    ingest::{self, Ingest},
    jobs::Jobs,
    northbound::{HistoryStatus, Publisher, Server, ServerError, World, users::SharedUsers},
    pki,
    revisions::{Restored, Revisions},
    sample::{SeriesId, TwinId},
    southbound::{Event, PlcConfig, PlcId, SharedLink, SharedOutlet, Watch, opcua_client::OpcUaClient},
    time::{Clock, Timestamp},
    twin::{Facet, TwinState, Twins},
};

/// Bounds of the queues, in messages. An event is a whole notification of a PLC, a history message a whole batch.
const EVENTS: usize = 1024;
const COMMANDS: usize = 64;
const HISTORY: usize = 256;
const CHANGED: usize = 256;
const WARM_STARTS: usize = 1024;
const DRIFT: usize = 16_384;
const REFILLS: usize = 64;
/// Values of one burst are pushed to subscribers together.
const PUBLISH_EVERY: Duration = Duration::from_millis(5);
/// Samples per series that a store in memory keeps.
const MEMORY_SAMPLES: usize = 100_000;
/// How often the users file is looked at.
const USERS_EVERY: Duration = Duration::from_secs(2);
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
    links: Arc<[(PlcConfig, SharedLink)]>,
    outlets: Arc<[SharedOutlet]>,
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
}

impl App {
    /// Opens history, binds the server's port. Whatever can fail at start fails here, in one sentence.
    ///
    /// # Errors
    /// A folder, the history, the port.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        ensure_writable(&config.data_dir)?;
        let twins = Arc::new(config.twins);
        let history = open_history(config.history.store, &config.data_dir, &twins, config.renames).await?;
        let control = control(config.history.store, &config.data_dir);
        let (history_tx, history_rx) = mpsc::channel(HISTORY);
        let writer = HistoryWriter::start(Arc::clone(&history), history_rx, clock.now(), config.history.retention)
            .map_err(AppError::Thread)?;

        let (events_tx, events_rx) = mpsc::channel(EVENTS);
        let (commands_tx, commands_rx) = mpsc::channel(COMMANDS);
        let (changed_tx, changed_rx) = mpsc::channel(CHANGED);
        let (warm_tx, warm_rx) = mpsc::channel(WARM_STARTS);
        let (refills_tx, refills_rx) = mpsc::channel(REFILLS);
        let (drift_tx, drift_rx) = mpsc::channel(DRIFT);
        let (revisions, restored) = revisions(Arc::clone(&history), Arc::clone(&twins), clock.now()).await?;
        let stood: HashMap<_, _> = restored.iter().filter_map(|twin| Some((twin.twin, twin.stood.clone()?))).collect();
        let restored = restored.into_iter().map(|twin| (twin.twin, twin.in_force, twin.last_fit));
        let state = Arc::new(TwinState::restored(Arc::clone(&twins), clock.now(), restored));
        state.restore_conditions(conditions(Arc::clone(&history)).await?);
        let links: Arc<[_]> = config.plcs.into_iter().map(|plc| (plc, SharedLink::default())).collect();
        let outlets: Arc<[_]> = links.iter().map(|_| SharedOutlet::default()).collect();
        let job_tasks = TaskTracker::new();
        let jobs = Jobs::new(
            Arc::clone(&state),
            Arc::clone(&history),
            (revisions, stood.clone()),
            (commands_tx, Arc::clone(&outlets)),
            Arc::clone(&clock),
            job_tasks.clone(),
        );
        jobs.limit_fits(config.server.limits.fits);
        let watermark = writer.watermark();
        let world = World {
            state: Arc::clone(&state),
            history: Arc::clone(&history),
            history_status: Arc::new(move || status(*watermark.borrow())),
            jobs: Arc::clone(&jobs),
            plcs: Arc::clone(&links),
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
            links,
            outlets,
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

    /// Runs until `stop`, then drains in the order of the flow.
    ///
    /// # Errors
    /// A task that ended by itself, or a stop that took too long.
    pub async fn run(self, stop: CancellationToken) -> Result<WriterReport, AppError> {
        let (intake, serving) = (CancellationToken::new(), CancellationToken::new());
        let mut stages: JoinSet<&'static str> = JoinSet::new();
        let watches = watches(self.state.configured(), self.links.len(), &self.history);
        let plcs = self.links.iter().zip(self.outlets.iter()).zip(watches);
        for (index, (((plc, link), outlet), watches)) in plcs.enumerate() {
            let source = OpcUaClient {
                plc: PlcId(u32::try_from(index).unwrap_or(u32::MAX)),
                config: plc.clone(),
                watches,
                link: Arc::clone(link),
                outlet: Arc::clone(outlet),
                events: self.events.clone(),
                clock: Arc::clone(&self.clock),
                pki_dir: self.pki_dir.clone(),
                application_uri: self.application_uri.clone(),
            };
            let intake = intake.clone();
            stages.spawn(async move {
                source.run(intake).await;
                "southbound"
            });
        }
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

        let mut ingest = Ingest::new(Arc::clone(&self.state), self.links.len()).telling_of(Arc::clone(&self.links));
        ingest.resume(self.stood);
        let (clock, history) = (Arc::clone(&self.clock), Arc::clone(&self.history));
        let stored_until = Box::new(move |series| newest(&history, series));
        let channels = self.ingest_channels;
        stages.spawn(async move {
            ingest::run(ingest, channels, clock, stored_until).await;
            "ingest"
        });
        stages.spawn(pki::watch(self.pki_dir, Arc::clone(&self.clock), intake.clone()));
        let publisher = self.server.publisher();
        stages.spawn(publish(self.changed, publisher, Arc::clone(&self.clock)));
        stages.spawn(start_models(self.warm_starts, Arc::clone(&self.jobs)));
        stages.spawn(refill(self.refills, Arc::clone(&self.jobs)));
        stages.spawn(attend_drift(self.drift, Arc::clone(&self.jobs)));
        let told = (Arc::clone(&self.jobs), Arc::clone(&self.clock), intake.clone());
        stages.spawn(tell_history(self.writer.watermark(), told));
        if let Some(path) = self.users_file {
            let users = (path, self.server.users(), Arc::clone(self.state.configured()));
            stages.spawn(follow_users(users, intake.clone()));
        }
        let server = tokio::task::JoinSet::from_iter([self.server.run(serving.clone())]);

        let ended = tokio::select! {
            () = stop.cancelled() => None,
            ended = stages.join_next() => Some(ended.and_then(Result::ok).unwrap_or("panicked")),
        };
        info!("stopping: sources first, then what they fed");
        intake.cancel();
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

/// Pushes changed values to subscribers in bursts, and everything derived once a second.
async fn publish(
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

async fn start_models(mut twins: mpsc::Receiver<TwinId>, jobs: Arc<Jobs>) -> &'static str {
    while let Some(twin) = twins.recv().await {
        jobs.warm_start(twin).await;
    }
    "models"
}

async fn refill(mut refills: mpsc::Receiver<ingest::Refills>, jobs: Arc<Jobs>) -> &'static str {
    while let Some(refills) = refills.recv().await {
        jobs.refill(refills).await;
    }
    "statistics"
}

async fn attend_drift(mut chores: mpsc::Receiver<ingest::DriftChore>, jobs: Arc<Jobs>) -> &'static str {
    while let Some(chore) = chores.recv().await {
        jobs.drift(chore).await;
    }
    "drift"
}

/// An event when history is paused, and when it stores again.
async fn tell_history(
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
async fn follow_users(
    (path, users, twins): (std::path::PathBuf, SharedUsers, Arc<Twins>),
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
        let (path, twins) = (path.clone(), Arc::clone(&twins));
        let looked = tokio::task::spawn_blocking(move || {
            let state = file_state(&path);
            (known != Some(state)).then(|| (state, config::load_users(&path, &twins)))
        });
        let Ok(Some((state, loaded))) = looked.await else { continue };
        known = Some(state);
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

/// The newest event of each condition.
async fn conditions(history: SharedStore) -> Result<Vec<event::Event>, AppError> {
    let read = tokio::task::spawn_blocking(move || history.conditions()).await;
    Ok(read.unwrap_or_else(|_| Ok(Vec::new()))?)
}

/// What each PLC is asked to watch.
fn watches(twins: &Twins, plcs: usize, history: &SharedStore) -> Vec<Vec<Watch>> {
    let mut watches: Vec<Vec<Watch>> = vec![Vec::new(); plcs];
    for id in twins.ids() {
        let twin = twins.twin(id);
        let Some(plc) = twin.plc else { continue };
        for (v, address) in twin.sources.iter().enumerate().filter_map(|(v, source)| Some((v, source.clone()?))) {
            let (series, variable) = (twins.series(id, Facet::Variable(v)), &twins.type_of(id).variables[v]);
            watches[plc.0 as usize].push(Watch {
                series,
                address,
                sampling_interval: variable.sampling_interval,
                historize: variable.historize,
                stored_until: newest(history, series),
            });
        }
    }
    watches
}

fn newest(history: &SharedStore, series: SeriesId) -> Option<Timestamp> {
    match history.extent(series) {
        Ok(extent) => extent.map(|(_, newest)| newest),
        Err(error) => {
            warn!(%error, "the end of a series' history is not known");
            None
        }
    }
}

async fn open_history(
    store: Store,
    data_dir: &Path,
    twins: &Twins,
    renames: Vec<(String, String)>,
) -> Result<SharedStore, AppError> {
    if store == Store::Memory {
        return Ok(Arc::new(MemoryStore::new(twins.series_len(), MEMORY_SAMPLES)));
    }
    let (folder, names) = (data_dir.join("history"), twins.series_names());
    let options = SledOptions { renames, ..SledOptions::default() };
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&folder, &names, options)).await;
    let store = opened.map_err(|panic| AppError::Thread(std::io::Error::other(panic)))??;
    Ok(Arc::new(store))
}

async fn revisions(
    history: SharedStore,
    twins: Arc<Twins>,
    now: Timestamp,
) -> Result<(Revisions, Vec<Restored>), AppError> {
    let opened = tokio::task::spawn_blocking(move || Revisions::open(history, twins, now)).await;
    Ok(opened.map_err(|panic| AppError::Thread(std::io::Error::other(panic)))??)
}

/// For `uatwin history backup`. The twins do without it.
fn control(store: Store, data_dir: &Path) -> Option<Control> {
    if store == Store::Memory {
        return None;
    }
    let bound = Control::bind(data_dir);
    bound.map_err(|error| warn!(%error, "no control socket: there are no backups while the service runs")).ok()
}

/// Fails early and clearly where nothing can be stored.
fn ensure_writable(path: &Path) -> Result<(), AppError> {
    let folder = |cause| AppError::Folder { path: path.to_owned(), cause };
    std::fs::create_dir_all(path).map_err(folder)?;
    let probe = path.join(".writable");
    std::fs::write(&probe, []).map_err(folder)?;
    std::fs::remove_file(&probe).map_err(folder)
}

fn status(watermark: Watermark) -> HistoryStatus {
    HistoryStatus {
        durable_until: watermark.durable_until,
        state: format!("{:?}", watermark.state),
        free_space: watermark.free_space,
    }
}
