//! What drift asks for: tests that go on from what history holds, and fits on recent data that have to prove themselves.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    CallError, Caller, FitOutcome, Jobs,
    fit_job::Guard,
    past::{PAGE, Past},
};
use crate::{
    event::{Event, EventType, Source},
    history::{Direction, HistoryError},
    ingest::{Command, DriftChore, changed_since, with_figures},
    sample::TwinId,
    statistics::drift::Drift,
    time::Timestamp,
    twin::{DriftSettings, Facet, FitState, RefitSettings},
};

/// How many times the reference a test begins before what it goes on from.
const REFERENCES: f64 = 3.0;
/// Most residuals that one test goes through.
const RESIDUALS_MAX: usize = 1_000_000;
/// How long a fit waits for its turn, and how often it asks.
const PATIENCE: u32 = 60;
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Who fits.
const BY: &str = "drift";

impl Jobs {
    /// Does what the ingest stage asks; a fit goes on by itself.
    pub async fn drift(self: &Arc<Self>, chore: DriftChore) {
        match chore {
            DriftChore::Learn(twin) => match self.blocking(move |jobs| Ok(jobs.learn(twin))).await {
                Ok(Ok(Some(tests))) => {
                    let _ = self.command(Command::Learned { twin, tests }).await; // else it stops
                }
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => warn!(
                    twin = self.name(twin),
                    error = &error as &dyn std::error::Error,
                    "drift is tested from now on only"
                ),
            },
            DriftChore::Refit(twin) => {
                let jobs = Arc::clone(self);
                self.tasks.spawn(async move { jobs.refit(twin).await });
            }
        }
    }

    /// Tests that have seen what is stored of the residuals under the revision in force: with an alarm that stands, from well
    /// before its change on.
    fn learn(&self, twin: TwinId) -> Result<Option<Box<[Drift]>>, HistoryError> {
        let configured = self.state.configured();
        let Some(settings) = configured.type_of(twin).drift else { return Ok(None) };
        let (now, outputs) = (self.clock.now(), configured.type_of(twin).model.as_ref().map_or(0, |m| m.outputs.len()));
        let standing = self.changed_since(twin).unwrap_or(now);
        let reference = settings.design.settings();
        let before = REFERENCES * f64::from(reference.learn_blocks) * reference.block_s;
        let from = standing.plus_seconds(-before).max(self.in_force_since(twin)?.unwrap_or(Timestamp::NULL));
        let test = |k| self.tested(twin, k, from, &settings);
        (0..outputs).map(test).collect::<Result<Box<[Drift]>, _>>().map(Some)
    }

    fn tested(&self, twin: TwinId, k: usize, from: Timestamp, settings: &DriftSettings) -> Result<Drift, HistoryError> {
        let series = self.state.configured().series(twin, Facet::Residual(k));
        let (mut test, mut seen) = (Drift::new(settings.design), 0);
        let mut past = Past::new(self.history.as_ref(), series, from..Timestamp::MAX);
        while let Some(sample) = past.peek()?.filter(|_| seen < RESIDUALS_MAX) {
            match sample.usable() {
                Some(residual) => drop(test.add(sample.source_timestamp, residual)),
                None => test.interrupt(),
            }
            seen += 1;
            past.pass();
        }
        Ok(test)
    }

    /// When the change began of which the twin's alarm tells, if it stands.
    fn changed_since(&self, twin: TwinId) -> Option<Timestamp> {
        let live = self.state.read(twin);
        let drift = live.conditions.iter().find(|condition| condition.kind().event_type == EventType::DriftAlarm)?;
        changed_since(drift)
    }

    /// When the revision in force came into force, as far as events tell.
    fn in_force_since(&self, twin: TwinId) -> Result<Option<Timestamp>, HistoryError> {
        self.newest_event(twin, Timestamp::NULL, EventType::RevisionEvent)
    }

    fn newest_event(&self, twin: TwinId, since: Timestamp, kind: EventType) -> Result<Option<Timestamp>, HistoryError> {
        let times = since..Timestamp::MAX;
        let newest = self.history.events(&self.name(twin), times, Direction::Backward, 0, PAGE)?;
        Ok(newest.iter().find(|event| event.kind == kind).map(|event| event.time))
    }

    /// A fit on recent data, put in force if it does better by the stated share where data were held out; an event tells
    /// what came of it. At most one in the stated time, before a restart too.
    async fn refit(self: Arc<Self>, twin: TwinId) {
        let Some(settings) = self.state.configured().type_of(twin).drift.and_then(|drift| drift.refit) else { return };
        let now = self.clock.now();
        let since = now.plus_seconds(-settings.at_most_every.as_secs_f64());
        let before = self.blocking(move |jobs| Ok(jobs.newest_event(twin, since, EventType::RefitEvent))).await;
        if let Ok(Ok(Some(_))) = before {
            return;
        }
        let revision = self.state.read(twin).revision;
        let outcome = self.guarded_fit(twin, &settings).await;
        let event = self.told(twin, revision, outcome);
        info!(twin = self.name(twin), message = event.message, "refit after drift");
        self.tell(event).await;
    }

    async fn guarded_fit(self: &Arc<Self>, twin: TwinId, settings: &RefitSettings) -> Result<FitOutcome, CallError> {
        let guard = Guard { held_out: settings.window.mul_f64(settings.held_out), improve: settings.improve };
        let mut asked = 0;
        loop {
            let now = self.clock.now();
            let times = (now.plus_seconds(-settings.window.as_secs_f64()), now);
            let by = Caller { user: BY, is_engineer: true };
            match self.start_fit(twin, times, Vec::new(), by, Some(guard)).await {
                Ok(answer) => {
                    return answer.await.map_err(|_| CallError::Internal("the fit ended without an answer".into()));
                }
                // Others are before it.
                Err(CallError::Unavailable(_)) if asked < PATIENCE => {
                    asked += 1;
                    sleep(ASK_EVERY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn told(&self, twin: TwinId, before: u32, outcome: Result<FitOutcome, CallError>) -> Event {
        let source = Source::new(&self.name(twin));
        let event = |accepted: bool, message: String| {
            let severity = if accepted { 300 } else { 500 };
            Event::new(EventType::RefitEvent, source.clone(), self.clock.now(), severity, message)
                .with("IsAccepted", accepted)
        };
        match outcome {
            Ok(outcome) => {
                let accepted = outcome.state == FitState::Completed && outcome.revision != before;
                let event = event(accepted, format!("After drift: {}", outcome.message));
                let event = with_figures(event, outcome.state, outcome.revision, outcome.report.as_deref());
                match outcome.improvement {
                    Some(improvement) => event.with("Improvement", improvement),
                    None => event,
                }
            }
            Err(error) => event(false, format!("After drift, no fit: {error}")),
        }
    }
}
