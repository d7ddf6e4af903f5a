//! One fit, from history to parameters in force.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    CallError, Caller, FitOutcome, Jobs, RunningFit,
    experiment::{Recorded, Split, bounds},
};
use crate::{
    background::in_background,
    fit::{self, Experiment, FitReport},
    ingest::Command,
    program::ProgramState,
    revisions::{Fitted, Origin},
    sample::TwinId,
    time::Timestamp,
    twin::{Activation, FitState, InForce, LastFit, TwinModel},
};

/// How often progress is told at the most: five times a second, in ticks of 100 ns.
const PROGRESS_EVERY_TICKS: u64 = 2_000_000;
/// How often a fit that stands still looks whether it may go on.
const SUSPENDED_LOOK: Duration = Duration::from_millis(50);

/// What a fit that nobody asked for has to prove before it is put in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// The end of the window that is held out.
    pub(super) held_out: Duration,
    /// By which share the mean squared residual there must shrink.
    pub(super) improve: f64,
}

/// How a fit does where data were held out.
#[derive(Clone, Debug, Default)]
struct HeldOut {
    /// By which share the mean squared residual has shrunk; `None`: nothing was held out.
    improvement: Option<f64>,
    /// Why it is not good enough.
    refused: Option<String>,
}

/// A fit that has its slot and its data.
struct FitJob {
    twin: TwinId,
    spec: TwinModel,
    /// In the order of their times, one at least.
    recorded: Vec<Recorded>,
    free: Vec<usize>,
    began: Timestamp,
    by: String,
    /// Whether a better fit is put in force.
    activates: bool,
    guard: Option<Guard>,
    running: RunningFit,
    _slot: OwnedSemaphorePermit,
}

/// Takes the twin's entry out of the running fits however the fit ends.
struct Registered(Arc<Jobs>, TwinId);

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(fit) = self.0.running().remove(&self.1) {
            fit.ended.cancel();
        }
    }
}

impl Jobs {
    /// Registers the fit, reads its data, and sets it to work; the receiver gets the outcome.
    pub(super) async fn start_fit(
        self: &Arc<Self>,
        twin: TwinId,
        times: (Timestamp, Timestamp),
        parameters: Vec<usize>,
        by: Caller<'_>,
        guard: Option<Guard>,
    ) -> Result<oneshot::Receiver<FitOutcome>, CallError> {
        let mut spec = self.model(twin)?;
        if let Some(guard) = guard {
            spec.fit.validate = Some(guard.held_out);
        }
        self.let_end(twin).await;
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let slot = slot.map_err(|_| CallError::Unavailable("all fit slots are taken; try again later".into()))?;
        let fit = RunningFit::default();
        let registered = self.register(twin, fit.clone())?;
        let free = if parameters.is_empty() { spec.model.free() } else { parameters };
        let windows = match times {
            (Timestamp::NULL, Timestamp::NULL) if !spec.fit.windows.is_empty() => spec.fit.windows.clone(),
            times => vec![times],
        };
        let read = move |jobs: Arc<Self>| windows.into_iter().map(|times| Recorded::read(&jobs, twin, times)).collect();
        let recorded: Vec<Recorded> = self.blocking(read).await?;
        let usable: usize = recorded.iter().map(Recorded::samples).sum();
        if usable <= free.len() {
            return Err(CallError::NoData(format!("{usable} usable samples for {} free parameters", free.len())));
        }
        let job = FitJob {
            activates: spec.fit.activate == Activation::IfBetter && (by.is_engineer || spec.fit.operator_may_activate),
            twin,
            spec,
            recorded,
            free,
            began: self.clock.now(),
            by: by.user.to_owned(),
            guard,
            running: fit,
            _slot: slot,
        };
        self.command(Command::LastFit(twin, Box::new(job.last_fit(FitState::Running, "at work", self.clock.now()))))
            .await?;
        let (reply, answer) = oneshot::channel();
        let jobs = Arc::clone(self);
        self.tasks.spawn_blocking(move || {
            let outcome = in_background(|| job.run(&jobs));
            drop(registered);
            let _ = reply.send(outcome); // the caller may have stopped waiting; LastFit has it
        });
        Ok(answer)
    }

    /// Where the twin's fit is telling what came of it: waits until its place is free.
    pub(super) async fn let_end(&self, twin: TwinId) {
        let ending = self.running().get(&twin).filter(|fit| fit.ending.load(Ordering::Acquire)).cloned();
        if let Some(fit) = ending {
            fit.ended.cancelled().await;
        }
    }

    fn register(self: &Arc<Self>, twin: TwinId, fit: RunningFit) -> Result<Registered, CallError> {
        let mut running = self.running();
        if running.contains_key(&twin) {
            return Err(CallError::Unavailable("a fit already runs on this twin".into()));
        }
        running.insert(twin, fit);
        Ok(Registered(Arc::clone(self), twin))
    }
}

impl FitJob {
    fn run(self, jobs: &Arc<Jobs>) -> FitOutcome {
        let theta = jobs.state.read(self.twin).parameters.to_vec();
        let per_run = self.spec.model.of_a_run(&self.free);
        let (fitted, held_out) = self.experiments(per_run.len());
        let since = fitted.last().and_then(|run| bounds(&run.outputs)).map_or(0.0, |(first, _)| first);
        let options = fit::FitOptions {
            free: self.free.clone(),
            per_experiment: if fitted.len() > 1 { per_run } else { Vec::new() },
            theta: Some(theta.clone()),
            starts: self.spec.fit.starts as usize,
            seed: self.spec.fit.seed,
            absolute_sigma: self.spec.fit.absolute_sigma,
            simulation: self.spec.solver,
            ..fit::FitOptions::default()
        };
        let mut improvement = None;
        let (state, report, message) = match self.fit(jobs, (&fitted, &held_out), &options) {
            _ if self.running.cancel.load(Ordering::Relaxed) => (FitState::Cancelled, None, "cancelled".to_owned()),
            Ok((report, held_out)) => {
                let report = Arc::new(report);
                improvement = held_out.improvement;
                let message = self.judge(jobs, (theta, since), &report, held_out.refused);
                (FitState::Completed, Some(report), message)
            }
            Err(error) => (FitState::Failed, None, error.to_string()),
        };
        let revision = jobs.state.read(self.twin).revision;
        let mut last_fit = self.last_fit(state, &message, jobs.clock.now());
        (last_fit.revision, last_fit.report) = (revision, report.clone());
        self.running.ending.store(true, Ordering::Release);
        let _ = jobs.commands.blocking_send(Command::LastFit(self.twin, Box::new(last_fit)));
        FitOutcome { state, revision, report, improvement, message }
    }

    /// What is fitted, and what is held out if anything is. A run with no more measurements than are estimated of it alone says
    /// nothing.
    fn experiments(&self, per_run: usize) -> (Vec<Experiment>, Vec<Experiment>) {
        let model = &self.spec.model;
        let Some((last, before)) = self.recorded.split_last() else { return Default::default() };
        let mut fitted: Vec<Experiment> = before.iter().flat_map(|one| one.runs(model, per_run)).collect();
        let split = self.spec.fit.validate.and_then(|part| last.split(model, part, per_run));
        let split = split.unwrap_or_else(|| Split { fitted: last.runs(model, per_run), held_out: Vec::new() });
        fitted.extend(split.fitted);
        (fitted, split.held_out)
    }

    /// From the first window's start to the last one's end.
    fn times(&self) -> (Timestamp, Timestamp) {
        let first = self.recorded.first().map_or(Timestamp::NULL, |recorded| recorded.times.0);
        (first, self.recorded.last().map_or(Timestamp::NULL, |recorded| recorded.times.1))
    }

    /// The fit, and how it does beside the parameters in force on what was held out.
    fn fit(
        &self,
        jobs: &Jobs,
        (fitted, held_out): (&[Experiment], &[Experiment]),
        options: &fit::FitOptions,
    ) -> Result<(FitReport, HeldOut), fit::FitError> {
        let model = &self.spec.model;
        let told = AtomicI64::new(i64::MIN);
        let at_work = |fraction: f64| {
            self.tell(jobs, &told, fraction);
            self.stand_still_while_suspended(jobs);
        };
        let report = fit::fit(model, fitted, options, &self.running.cancel, &at_work)?;
        if held_out.is_empty() {
            return Ok((report, HeldOut::default()));
        }
        let validate = |theta: &[f64]| {
            let of = FitReport { theta: theta.to_vec(), ..report.clone() };
            fit::validate(model, held_out, &of, options, false, &self.running.cancel, &|_| at_work(1.0))
        };
        let before = options.theta.as_deref().unwrap_or(&report.theta);
        let (new, old) = (validate(&report.theta)?, validate(before));
        // What cannot be simulated there at all is not better.
        let Ok(old) = old else { return Ok((report, HeldOut::default())) };
        let improvement = 1.0 - (new.rmse / old.rmse).powi(2);
        let figures = || format!("where the data were held out: Rmse {:.4}, in force {:.4}", new.rmse, old.rmse);
        let refused = match self.guard {
            Some(guard) if improvement < guard.improve => {
                Some(format!("too little better {}; {:.0} % must be gained", figures(), 100.0 * guard.improve))
            }
            None if new.cost > old.cost => Some(format!("worse {}", figures())),
            _ => None,
        };
        Ok((report, HeldOut { improvement: Some(improvement), refused }))
    }

    /// Progress is only shown: what finds the stage's queue full is left out.
    fn tell(&self, jobs: &Jobs, told: &AtomicI64, fraction: f64) {
        let now = jobs.clock.now().ticks();
        // A clock set back is no reason to be silent.
        if now.abs_diff(told.load(Ordering::Relaxed)) >= PROGRESS_EVERY_TICKS {
            told.store(now, Ordering::Relaxed);
            let _ = jobs.commands.try_send(Command::Progress(self.twin, 100.0 * fraction));
        }
    }

    /// On the fit's own thread, between two of its iterations; its slot stays taken.
    fn stand_still_while_suspended(&self, jobs: &Jobs) {
        let is_suspended = || jobs.state.read(self.twin).program.state == ProgramState::Suspended;
        while !self.running.cancel.load(Ordering::Relaxed) && is_suspended() {
            std::thread::park_timeout(SUSPENDED_LOOK);
        }
    }

    /// A better fit becomes a revision, and is put in force if the config says so; a worse one is neither.
    fn judge(&self, jobs: &Arc<Jobs>, from: (Vec<f64>, f64), report: &Arc<FitReport>, worse: Option<String>) -> String {
        let decision = match worse {
            _ if !report.improved => "not better than the parameters in force, which stay".to_owned(),
            Some(worse) => format!("not put in force: {worse}"),
            None => match self.keep(jobs, from, report) {
                Ok((revision, true)) => format!("in force as revision {revision}"),
                Ok((revision, false)) => {
                    format!("kept as revision {revision}; an engineer may put it in force by ActivateRevision")
                }
                Err(error) => format!("found, not put in force: {error}"),
            },
        };
        let reason = report.message.trim();
        if reason.is_empty() { decision } else { format!("{decision}; {reason}") }
    }

    /// Answers the new revision, and whether it is in force. What belongs to a run is that of the last one, which began at
    /// `since`.
    fn keep(
        &self,
        jobs: &Arc<Jobs>,
        (from, since): (Vec<f64>, f64),
        report: &Arc<FitReport>,
    ) -> Result<(u32, bool), CallError> {
        let _turn = jobs.turn(self.twin)?;
        let mut theta = jobs.state.read(self.twin).parameters.clone();
        self.free.iter().for_each(|p| theta[*p] = report.theta[*p]);
        let (now, times) = (jobs.clock.now(), self.times());
        let fitted = Fitted {
            times: (times.0.ticks(), times.1.ticks()),
            from,
            starts: self.spec.fit.starts as usize,
            seed: self.spec.fit.seed,
            absolute_sigma: self.spec.fit.absolute_sigma,
            windows: self.recorded.iter().map(|read| (read.times.0.ticks(), read.times.1.ticks())).collect(),
            when: self.spec.fit.when.as_ref().map(|when| when.text().to_owned()),
            uncertain: Some(self.spec.fit.uncertain),
            validate_s: self.spec.fit.validate.map(|last| last.as_secs_f64()),
            solver: Some(self.spec.solver),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            finished_at: now.ticks(),
            duration_s: now.seconds_since(self.began),
            report: Fitted::written(report),
        };
        let what = (Origin::Fitted(Box::new(fitted)), &theta[..]);
        let revision = jobs.revisions.add(self.twin, now, &self.by, what, self.activates).map_err(super::unrecorded)?;
        if self.activates {
            let last = self.recorded.last();
            let state = last.and_then(|last| last.final_state_since(&self.spec, &theta, since).ok());
            let in_force = InForce { revision, values: theta, basis: Some(Arc::clone(report)) };
            jobs.put_in_force(self.twin, in_force, state, &self.by)?;
        }
        Ok((revision, self.activates))
    }

    fn last_fit(&self, state: FitState, message: &str, now: Timestamp) -> LastFit {
        let (start, end) = self.times();
        let finished = state != FitState::Running;
        LastFit {
            state,
            message: message.to_owned(),
            start,
            end,
            finished_at: if finished { now } else { Timestamp::NULL },
            duration_s: now.seconds_since(self.began),
            revision: 0,
            report: None,
        }
    }
}
