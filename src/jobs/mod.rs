//! What clients ask of a twin: fits, simulations, new parameters, correlation. Fits have bounded slots and run on threads of
//! their own, never on a tokio worker; whatever changes a twin goes through the ingest stage, its only writer.

mod derive;
mod drift;
mod experiment;
mod fit_job;
mod prediction;
mod program;
mod past;
mod refill;
mod setpoints;
mod succession;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    alarm,
    background::in_background,
    event::Event,
    fit::FitReport,
    history::SharedStore,
    ingest::{Command, ConditionAt},
    preprocess::undone,
    revisions::{Origin, RevisionError, Revisions},
    sample::{Sample, StatusCode, TwinId, Value},
    southbound::Plcs,
    statistics::correlation::{self, Trace},
    time::{Clock, Timestamp},
    twin::{Facet, FitState, InForce, TwinModel, TwinState},
};
use experiment::Recorded;
pub use prediction::{Forecast, Prediction, Question};
use setpoints::Watched;
pub use setpoints::{Advice, Goal};
pub use succession::Change;

/// Most points of one answer of `Simulate` or `Predict`.
const POINTS_MAX: usize = 100_000;
/// Most samples that one call reads of one series: an hour at 250 Hz, eleven days at 1 Hz.
const SAMPLES_MAX: usize = 1_000_000;

/// Why a call is refused; nothing was changed. Each is one StatusCode of the information model's table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// `Bad_InvalidArgument`, with the 0-based index of each wrong argument.
    #[error("{message}")]
    InvalidArgument {
        /// Which arguments.
        arguments: Vec<usize>,
        /// What is wrong, in a sentence.
        message: String,
    },
    /// `Bad_NoData`.
    #[error("{0}")]
    NoData(String),
    /// `Bad_ResourceUnavailable`.
    #[error("{0}")]
    Unavailable(String),
    /// `Bad_InvalidState`.
    #[error("{0}")]
    InvalidState(String),
    /// `Bad_ResponseTooLarge`.
    #[error("{0}")]
    TooLarge(String),
    /// `Bad_InternalError`: ours, logged.
    #[error("{0}")]
    Internal(String),
}

/// Who asks for a fit.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The session's user.
    pub user: &'a str,
    /// Whether they may put parameters in force themselves.
    pub is_engineer: bool,
}

/// What `Fit` answers.
#[derive(Clone, Debug)]
pub struct FitOutcome {
    /// `Completed`, `Running`, `Failed`, `Cancelled`.
    pub state: FitState,
    /// In force when the answer was given.
    pub revision: u32,
    /// Figures; `None` while running or when failed.
    pub report: Option<Arc<FitReport>>,
    /// By which share the mean squared residual has shrunk where data were held out.
    pub improvement: Option<f64>,
    /// For people.
    pub message: String,
}

/// Pairwise correlation of aligned samples, row-major n·n.
#[derive(Clone, Debug, PartialEq)]
pub struct Correlation {
    /// Pearson's r.
    pub coefficients: Vec<f64>,
    /// Two-sided, by Student t.
    pub p_values: Vec<f64>,
    /// Pairs behind each.
    pub counts: Vec<u32>,
}

/// The service behind a twin's methods. Null times mean: the configured fit window up to now.
pub struct Jobs {
    state: Arc<TwinState>,
    history: SharedStore,
    revisions: Revisions,
    /// Held from the reading of the parameters in force until others are on record and in force: in what order they came, the
    /// record and the present agree. Of threads that may block.
    changing: Mutex<()>,
    commands: mpsc::Sender<Command>,
    plcs: ArcSwap<Plcs>,
    clock: Arc<dyn Clock>,
    /// Where models stood when the program ended; not under parameters that came in force since.
    stood: Mutex<HashMap<TwinId, (Timestamp, Vec<f64>)>>,
    /// Owned by the composition root, which waits for it.
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
    /// From before its data are read until its outcome stands.
    running: Mutex<HashMap<TwinId, RunningFit>>,
    /// Twins whose set-points were moved a moment ago.
    watched: Watched,
}

/// What others may know of a fit at work.
#[derive(Clone, Debug, Default)]
struct RunningFit {
    cancel: Arc<AtomicBool>,
    /// What came of it is being told: whoever hears of it may begin another at once.
    ending: Arc<AtomicBool>,
    /// Cancelled when what came of it is on its way to the ingest stage.
    ended: CancellationToken,
}

impl Jobs {
    /// Nothing runs yet. So many fits may be at work at once as there are `fit_slots`.
    #[must_use]
    pub fn new(
        state: Arc<TwinState>,
        history: SharedStore,
        (revisions, stood): (Revisions, HashMap<TwinId, (Timestamp, Vec<f64>)>),
        (commands, plcs): (mpsc::Sender<Command>, Arc<Plcs>),
        clock: Arc<dyn Clock>,
        (tasks, fit_slots): (TaskTracker, usize),
    ) -> Arc<Self> {
        Arc::new(Self {
            state,
            history,
            revisions,
            changing: Mutex::default(),
            commands,
            plcs: ArcSwap::new(plcs),
            clock,
            stood: Mutex::new(stood),
            tasks,
            slots: Arc::new(Semaphore::new(fit_slots)),
            running: Mutex::default(),
            watched: Watched::default(),
        })
    }

    /// Starts a fit of `parameters` (indices; empty: all free ones) and waits at most `wait` for it.
    ///
    /// # Errors
    /// No data, a fit already at work on this twin, no slot.
    pub async fn fit(
        self: &Arc<Self>,
        twin: TwinId,
        times: (Timestamp, Timestamp),
        parameters: Vec<usize>,
        wait: Duration,
        by: Caller<'_>,
    ) -> Result<FitOutcome, CallError> {
        let answer = self.start_fit(twin, times, parameters, by, None).await?;
        match tokio::time::timeout(wait, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(CallError::Internal("the fit ended without an answer".into())),
            Err(_) => Ok(FitOutcome {
                state: FitState::Running,
                revision: self.state.read(twin).revision,
                report: None,
                improvement: None,
                message: "still at work; the result will stand in Model.LastFit".into(),
            }),
        }
    }

    /// Ends the twin's running fit, if any.
    pub fn cancel_fit(&self, twin: TwinId) {
        if let Some(fit) = self.running().get(&twin) {
            fit.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Ends every running fit, and every watch over set-points: the program stops.
    pub fn cancel_all(&self) {
        self.watched.stop();
        self.running().values().for_each(|fit| fit.cancel.store(true, Ordering::Relaxed));
    }

    /// ŷ of `output` at its stored instants, parameters in force but for `parameters` (index, value).
    ///
    /// # Errors
    /// No data, too many points, a simulation that does not get to its end.
    pub async fn simulate(
        self: &Arc<Self>,
        twin: TwinId,
        times: (Timestamp, Timestamp),
        output: usize,
        parameters: Vec<(usize, f64)>,
    ) -> Result<(Vec<Timestamp>, Vec<f64>), CallError> {
        self.blocking(move |jobs| {
            let spec = jobs.model(twin)?;
            let recorded = Recorded::read(&jobs, twin, times)?;
            let at = recorded.output_times(output);
            if at.len() > POINTS_MAX {
                return Err(CallError::TooLarge(format!(
                    "{} points, {POINTS_MAX} at the most: ask for less time",
                    at.len()
                )));
            }
            let mut theta = jobs.state.read(twin).parameters.to_vec();
            parameters.iter().for_each(|(p, value)| theta[*p] = *value);
            let values = recorded.simulate(&spec, &theta)?.swap_remove(output);
            Ok((at, values))
        })
        .await
    }

    /// Puts values in force as a new revision, which is on record when it answers; within bounds or not at all.
    ///
    /// # Errors
    /// A value outside its parameter's bounds.
    pub async fn set_parameters(
        self: &Arc<Self>,
        twin: TwinId,
        parameters: Vec<(usize, f64)>,
        by: &str,
    ) -> Result<u32, CallError> {
        let spec = self.model(twin)?;
        for (index, value) in &parameters {
            let parameter = &spec.model.parameters()[*index];
            if !(parameter.min..=parameter.max).contains(value) {
                let message = format!("{} = {value} is outside {}…{}", parameter.name, parameter.min, parameter.max);
                return Err(CallError::InvalidArgument { arguments: vec![1], message });
            }
        }
        let (by, now) = (by.to_owned(), self.clock.now());
        self.blocking(move |jobs| {
            let _turn = jobs.turn(twin)?;
            let mut values = jobs.state.read(twin).parameters.clone();
            parameters.iter().for_each(|(index, value)| values[*index] = *value);
            let revision = jobs.revisions.add(twin, now, &by, (Origin::Set, &values), true).map_err(unrecorded)?;
            jobs.put_in_force(twin, InForce { revision, values, basis: None }, None, &by)?;
            Ok(revision)
        })
        .await
    }

    /// Puts the values of a revision in force again; that is on record when it answers.
    ///
    /// # Errors
    /// A revision that is not there, or of a model with other parameters.
    pub async fn activate(self: &Arc<Self>, twin: TwinId, revision: u32, by: &str) -> Result<(), CallError> {
        let (by, now) = (by.to_owned(), self.clock.now());
        self.blocking(move |jobs| {
            let _turn = jobs.turn(twin)?;
            let in_force = jobs.revisions.activate(twin, now, &by, revision).map_err(|error| match error {
                RevisionError::History(error) => unrecorded(error),
                wrong => CallError::InvalidArgument { arguments: vec![0], message: wrong.to_string() },
            })?;
            jobs.put_in_force(twin, in_force, None, &by)
        })
        .await
    }

    /// Of a twin that is there: another config may have come meanwhile.
    fn turn(&self, twin: TwinId) -> Result<MutexGuard<'_, ()>, CallError> {
        let turn = self.any_turn();
        match self.state.configured().is_there(twin) {
            true => Ok(turn),
            false => Err(CallError::Unavailable("the config was loaded anew, and the twin is another now".into())),
        }
    }

    fn any_turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On a thread that may block, which has the turn.
    fn put_in_force(
        &self,
        twin: TwinId,
        in_force: InForce,
        state: Option<(Timestamp, Vec<f64>)>,
        by: &str,
    ) -> Result<(), CallError> {
        self.stood.lock().unwrap_or_else(PoisonError::into_inner).remove(&twin);
        let (reply, answer) = oneshot::channel();
        let command = Command::Parameters { twin, in_force, state, by: by.to_owned(), reply };
        self.commands.blocking_send(command).map_err(|_| stopping())?;
        answer.blocking_recv().map_err(|_| stopping())
    }

    /// Correlation of variables (indices) over a range.
    ///
    /// # Errors
    /// No data.
    pub async fn correlate(
        self: &Arc<Self>,
        twin: TwinId,
        times: (Timestamp, Timestamp),
        variables: Vec<usize>,
    ) -> Result<Correlation, CallError> {
        self.blocking(move |jobs| {
            let times = jobs.resolve(twin, times);
            let traces = variables.iter().map(|v| jobs.trace(twin, *v, times)).collect::<Result<Vec<_>, _>>()?;
            if traces.iter().all(|trace| trace.values.iter().all(|value| value.is_nan())) {
                return Err(CallError::NoData("no usable sample of these variables in this time".into()));
            }
            let n = traces.len();
            let half = |i: usize| traces[..=i].iter().map(move |other| (i, other));
            let half = (0..n).flat_map(half).map(|(i, other)| correlation::pearson(other, &traces[i]));
            let half: Vec<_> = half.collect();
            let pair = |(i, j): (usize, usize)| half[i.max(j) * (i.max(j) + 1) / 2 + i.min(j)];
            let pairs: Vec<_> = (0..n * n).map(|place| pair((place / n, place % n))).collect();
            Ok(Correlation {
                coefficients: pairs.iter().map(|p| p.coefficient).collect(),
                p_values: pairs.iter().map(|p| p.p_value).collect(),
                counts: pairs.iter().map(|p| u32::try_from(p.count).unwrap_or(u32::MAX)).collect(),
            })
        })
        .await
    }

    /// What a client asks of a condition.
    ///
    /// # Errors
    /// The StatusCodes of OPC 10000-9; nothing is changed then.
    pub async fn ask_condition(&self, of: ConditionAt, ask: alarm::Ask, user: &str) -> Result<(), StatusCode> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Condition { of, ask, user: user.to_owned(), reply };
        self.commands.send(command).await.map_err(|_| StatusCode::BadServerHalted)?;
        answer.await.unwrap_or(Err(StatusCode::BadServerHalted))
    }

    /// Our own certificate is valid until then. Said again and again: what finds the queue full is left out.
    pub fn certificate_expires(&self, end: Timestamp) {
        let _ = self.commands.try_send(Command::CertificateExpires(end));
    }

    /// Tells of something that happened outside the ingest stage. While the program stops, nobody hears.
    pub async fn tell(&self, event: Event) {
        let _ = self.commands.send(Command::Tell(Box::new(event))).await;
    }

    /// The same, on a thread that may block.
    pub fn tell_blocking(&self, event: Event) {
        let _ = self.commands.blocking_send(Command::Tell(Box::new(event)));
    }

    /// A client's write to an internal variable: becomes its next sample.
    ///
    /// # Errors
    /// Only while the program stops.
    pub async fn write_internal(&self, twin: TwinId, variable: usize, sample: Sample) -> Result<(), CallError> {
        self.command(Command::Write { twin, variable, sample }).await
    }

    /// A client's write to a variable of a PLC, as the twin shows it: goes there, and comes back as its next sample if the PLC
    /// takes it. The PLC's answer; `Bad_NotWritable` for what has no source.
    pub async fn write_through(&self, twin: TwinId, variable: usize, value: Value) -> StatusCode {
        let configured = self.state.configured();
        let (of, spec) = (configured.twin(twin), &configured.type_of(twin).variables[variable]);
        let outlet = of.plc.and_then(|plc| Some(Arc::clone(&self.plcs.load().get(plc)?.outlet)));
        match (outlet, of.sources[variable].clone()) {
            (Some(outlet), Some(address)) => outlet.write(address, undone(&spec.preprocess, value)).await,
            _ => StatusCode::BadNotWritable,
        }
    }

    /// Starts a live model from what history holds: from where it stood when the program ended, if that is not longer ago
    /// than a fit looks back, else from a run over the fit window.
    pub async fn warm_start(self: &Arc<Self>, twin: TwinId) {
        let run = self.blocking(move |jobs| {
            let spec = jobs.model(twin)?;
            let theta = jobs.state.read(twin).parameters.to_vec();
            let (window, _) = jobs.resolve(twin, (Timestamp::NULL, Timestamp::NULL));
            let stood = jobs.stood.lock().unwrap_or_else(PoisonError::into_inner).get(&twin).cloned();
            if let Some((at, x)) = stood.filter(|(at, _)| *at > window) {
                let since = Recorded::read(&jobs, twin, (at, Timestamp::NULL));
                // Nothing measured since: there it stands.
                return since.map_or(Ok((at, x.clone())), |since| since.final_state_from(&spec, &theta, at, &x));
            }
            Recorded::read(&jobs, twin, (Timestamp::NULL, Timestamp::NULL))?.final_state(&spec, &theta)
        });
        match run.await {
            Ok((at, state)) => {
                let _ = self.command(Command::Restart { twin, at, state }).await;
            }
            Err(reason) => {
                tracing::debug!(twin = %self.state.configured().twin(twin).name, %reason, "no start from history")
            }
        }
    }

    fn model(&self, twin: TwinId) -> Result<TwinModel, CallError> {
        let spec = self.state.configured().type_of(twin).model.clone();
        spec.ok_or_else(|| CallError::Internal("the twin has no model".into()))
    }

    /// Null times become the configured window up to now.
    fn resolve(&self, twin: TwinId, (start, end): (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
        let end = if end.is_null() { self.clock.now() } else { end };
        let window =
            self.state.configured().type_of(twin).model.as_ref().map_or(Duration::from_secs(3600), |m| m.fit.window);
        (if start.is_null() { end - window } else { start }, end)
    }

    fn trace(&self, twin: TwinId, variable: usize, times: (Timestamp, Timestamp)) -> Result<Trace, CallError> {
        let samples = experiment::read(self, twin, Facet::Variable(variable), times)?;
        // What is not usable stands there as a hole: nothing is read off across it.
        let point = |s: &Sample| (s.source_timestamp.seconds_since(times.0), s.usable().unwrap_or(f64::NAN));
        let (times, values) = samples.iter().map(point).unzip();
        Ok(Trace { times, values, stepped: self.state.configured().type_of(twin).variables[variable].stepped })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<TwinId, RunningFit>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn command(&self, command: Command) -> Result<(), CallError> {
        self.commands.send(command).await.map_err(|_| stopping())
    }

    /// Work that reads history or computes: on a thread of its own.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, CallError> {
        let jobs = Arc::clone(self);
        let done = self.tasks.spawn_blocking(move || in_background(|| work(jobs))).await;
        done.unwrap_or_else(|panic| {
            tracing::error!(%panic, "a job broke");
            Err(CallError::Internal("the job broke; the log says how".into()))
        })
    }
}

/// History cannot be written: nothing was changed.
fn unrecorded(error: crate::history::HistoryError) -> CallError {
    tracing::error!(error = &error as &dyn std::error::Error, "a parameter revision could not be kept");
    CallError::Unavailable("the revision could not be written to disk; the log says why".into())
}

fn stopping() -> CallError {
    CallError::Unavailable("the server is stopping".into())
}
