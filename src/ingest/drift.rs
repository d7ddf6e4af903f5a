//! Residuals tested for drift, and the condition that follows from it.

use super::{Ingest, Output};
use crate::{
    alarm::{Activity, Condition},
    sample::{Sample, TwinId, Value},
    statistics::drift::{Drift, Part, Standing, Verdict},
    time::Timestamp,
    twin::{ConditionOf, DriftSettings, TwinType, Twins},
};

/// What the stage asks of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftChore {
    /// Tests that go on from what history holds.
    Learn(TwinId),
    /// A fit on recent data: the device is no longer what the model says.
    Refit(TwinId),
}

/// The tests of one twin.
pub(super) struct Watched {
    /// By output.
    tests: Box<[Drift]>,
    /// Index among the twin's conditions.
    condition: usize,
    settings: DriftSettings,
    /// When a fit was last asked for.
    asked: Option<Timestamp>,
}

/// `None`: not watched.
pub(super) fn watched(configured: &Twins, twin: TwinId) -> Option<Box<Watched>> {
    let twin_type = configured.type_of(twin);
    let (settings, model) = (twin_type.drift?, twin_type.model.as_ref()?);
    let condition = twin_type.conditions().iter().position(|condition| *condition == ConditionOf::Drift)?;
    let tests = model.outputs.iter().map(|_| Drift::new(settings.design)).collect();
    Some(Box::new(Watched { tests, condition, settings, asked: None }))
}

impl Watched {
    /// The output whose test has found a drift, and how that stands.
    fn drifting(&self) -> Option<(usize, Standing)> {
        self.tests.iter().map(Drift::state).enumerate().find(|(_, standing)| standing.is_drifting)
    }

    /// Brings the condition where the tests are; tells whether there is something to tell.
    fn judge(&self, twin_type: &TwinType, condition: &mut Condition, at: Timestamp) -> bool {
        let activity = self.drifting().map(|(output, standing)| activity(twin_type, &self.settings, output, &standing));
        condition.change(at, activity)
    }
}

impl Ingest {
    /// Whether a twin's residuals are tested.
    pub(super) fn watches_drift(&self, twin: TwinId) -> bool {
        self.drift[twin.index()].is_some()
    }

    /// Residuals by output.
    pub(super) fn watch_residuals(
        &mut self,
        twin: TwinId,
        residuals: &[(usize, Sample)],
        now: Timestamp,
        output: &mut Output,
    ) {
        let Some(watched) = &mut self.drift[twin.index()] else { return };
        let configured = self.state.configured();
        for (k, sample) in residuals {
            let at = sample.source_timestamp;
            let verdict = match sample.usable() {
                Some(residual) => watched.tests[*k].add(at, residual),
                None => {
                    watched.tests[*k].interrupt();
                    None
                }
            };
            if let Some(Verdict::Drift(_) | Verdict::Over(_)) = verdict {
                let mut live = self.state.write(twin);
                let condition = &mut live.conditions[watched.condition];
                if watched.judge(configured.type_of(twin), condition, at) {
                    output.events.push(condition.tell(self.ids.next(now), at, now));
                }
            }
        }
    }

    /// Another revision is in force: its residuals are others, and what was found is of the old one.
    pub(super) fn forget_drift(&mut self, twin: TwinId, revision: u32, now: Timestamp, output: &mut Output) {
        let Some(watched) = &mut self.drift[twin.index()] else { return };
        watched.tests.iter_mut().for_each(Drift::reset);
        let mut live = self.state.write(twin);
        let condition = &mut live.conditions[watched.condition];
        if condition.change(now, None) {
            condition.say(format!("Revision {revision} is in force: its residuals are tested anew"));
            output.events.push(condition.tell(self.ids.next(now), now, now));
        }
    }

    /// Tests that have gone through what history holds. An alarm that stood when the program ended stands until another
    /// revision is in force or somebody enables it anew, whatever they find: in blocks cut otherwise a change may be lost.
    pub(super) fn learned(&mut self, twin: TwinId, tests: Box<[Drift]>, now: Timestamp, output: &mut Output) {
        let Some(watched) = &mut self.drift[twin.index()] else { return };
        watched.tests = tests;
        if watched.drifting().is_some() {
            self.look_again_at_drift(twin, now, output);
        }
    }

    /// Says how things are now.
    pub(super) fn look_again_at_drift(&mut self, twin: TwinId, now: Timestamp, output: &mut Output) {
        let Some(watched) = &self.drift[twin.index()] else { return };
        let configured = self.state.configured();
        let mut live = self.state.write(twin);
        let condition = &mut live.conditions[watched.condition];
        if watched.judge(configured.type_of(twin), condition, now) {
            output.events.push(condition.tell(self.ids.next(now), now, now));
        }
    }

    /// All tests are to go on from history: what they had learned went with the last run of the program.
    pub(super) fn relearn(&self, twin: TwinId, output: &mut Output) {
        if self.watches_drift(twin) {
            output.drift.push(DriftChore::Learn(twin));
        }
    }

    /// Once a second: a drift that has stood for longer than a fit reaches back is a fit's to explain.
    pub(super) fn ask_for_fits(&mut self, now: Timestamp, output: &mut Output) {
        for (index, watched) in self.drift.iter_mut().enumerate() {
            let Some(watched) = watched else { continue };
            let Some(refit) = watched.settings.refit else { continue };
            let twin = TwinId(u32::try_from(index).unwrap_or(u32::MAX));
            // From the alarm on: when the change began is an estimate, minutes early now and then, and a fit that saw a little
            // of the old behaviour is biased.
            let since = active_since(&self.state.read(twin).conditions[watched.condition]);
            let has_data = since.is_some_and(|since| now.saturating_since(since) >= refit.window);
            let may_again = watched.asked.is_none_or(|asked| now.saturating_since(asked) >= refit.at_most_every);
            if has_data && may_again {
                watched.asked = Some(now);
                output.drift.push(DriftChore::Refit(twin));
            }
        }
    }
}

/// Since when an alarm stands; `None`: it does not.
fn active_since(condition: &Condition) -> Option<Timestamp> {
    match condition.last().filter(|_| condition.is_active())?.field("ActiveState/TransitionTime") {
        Some(Value::DateTime(at)) => Some(*at),
        _ => None,
    }
}

/// When the change began of which an alarm tells; `None`: it does not stand.
#[must_use]
pub fn changed_since(condition: &Condition) -> Option<Timestamp> {
    match condition.last().filter(|_| condition.is_active())?.field("ChangedSince") {
        Some(Value::DateTime(at)) => Some(*at),
        _ => None,
    }
}

fn activity(twin_type: &TwinType, settings: &DriftSettings, output: usize, standing: &Standing) -> Activity {
    let name = twin_type.model.as_ref().and_then(|model| model.outputs.get(output));
    let name = name.map_or("", |v| twin_type.variables[*v].name.as_str());
    let (test, what) = match standing.part {
        Part::Level => ("Level", "mean"),
        Part::Whiteness => ("Whiteness", "autocorrelation"),
    };
    let message = format!(
        "The residual of {name} is not what it was since {}: its {what} has moved (CUSUM {:.1} above {:.1})",
        standing.since, standing.statistic, standing.limit
    );
    Activity {
        level: None,
        severity: settings.severity,
        message,
        fields: vec![
            ("Output".into(), name.into()),
            ("Test".into(), test.into()),
            ("Statistic".into(), standing.statistic.into()),
            ("Limit".into(), standing.limit.into()),
            ("ChangedSince".into(), standing.since.into()),
        ],
    }
}
