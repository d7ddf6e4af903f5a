//! Conditions as samples, time and clients move them.

use std::collections::HashMap;

use super::{ConditionAt, Ingest, Output};
use crate::{
    alarm::{Activity, Ask, Condition, Level, LimitSettings, LimitWatch, certificate_activity},
    sample::{Sample, SeriesId, StatusCode, TwinId},
    time::Timestamp,
    twin::{ConditionOf, Facet, TwinState, Variable},
};

/// The limits of one variable.
#[derive(Debug)]
pub(super) struct Limits {
    /// Index among the twin's conditions.
    condition: usize,
    watch: LimitWatch,
}

/// What is watched of these twins, from where each condition stands.
pub(super) fn limits(state: &TwinState, twins: impl IntoIterator<Item = TwinId>) -> HashMap<SeriesId, Limits> {
    let configured = state.configured();
    let mut limits = HashMap::new();
    for twin in twins {
        for (condition, of) in configured.type_of(twin).conditions().into_iter().enumerate() {
            if let ConditionOf::Limits(v) = of {
                let watch = LimitWatch::at(state.read(twin).conditions[condition].level());
                limits.insert(configured.series(twin, Facet::Variable(v)), Limits { condition, watch });
            }
        }
    }
    limits
}

impl Ingest {
    /// A sample of a variable with limits.
    pub(super) fn watch_limits(&mut self, series: SeriesId, sample: &Sample, now: Timestamp, output: &mut Output) {
        let Some(limits) = self.limits.get_mut(&series) else { return };
        let configured = self.state.configured();
        let (twin, Facet::Variable(v)) = configured.locate(series) else { return };
        let variable = &configured.type_of(twin).variables[v];
        let Some(settings) = &variable.alarm else { return };
        let mut live = self.state.write(twin);
        let condition = &mut live.conditions[limits.condition];
        let at = sample.source_timestamp;
        let mut is_told = condition.set_quality(at, sample.status);
        match sample.usable() {
            None => limits.watch.interrupt(),
            Some(y) => {
                if let Some(level) = limits.watch.on_value(settings, y, at, now) {
                    is_told |= condition.change(at, activity(variable, settings, level, y));
                }
            }
        }
        if is_told {
            output.events.push(condition.tell(self.ids.next(now), at, now));
        }
    }

    /// Time passes: what has held for long enough without a new sample counts.
    pub(super) fn watch_time(&mut self, now: Timestamp, output: &mut Output) {
        let configured = self.state.configured();
        for (series, limits) in &mut self.limits {
            let (twin, Facet::Variable(v)) = configured.locate(*series) else { continue };
            let variable = &configured.type_of(twin).variables[v];
            let Some(settings) = &variable.alarm else { continue };
            let Some(level) = limits.watch.on_time(settings, now) else { continue };
            let mut live = self.state.write(twin);
            let value = live.sample(configured.type_of(twin), Facet::Variable(v)).usable();
            let condition = &mut live.conditions[limits.condition];
            if condition.change(now, activity(variable, settings, level, value.unwrap_or(f64::NAN))) {
                output.events.push(condition.tell(self.ids.next(now), now, now));
            }
        }
    }

    /// What a client asks of a condition.
    pub(super) fn ask_condition(
        &mut self,
        of: ConditionAt,
        ask: Ask,
        user: &str,
        now: Timestamp,
        output: &mut Output,
    ) -> Result<(), StatusCode> {
        let is_enable = ask == Ask::Enable;
        let asked = |condition: &mut Condition| {
            condition.ask(ask, user, now)?;
            output.events.push(condition.tell(self.ids.next(now), now, now));
            Ok(())
        };
        match of {
            // How things are, the next look says.
            None => return asked(&mut self.state.write_certificate()),
            Some((twin, index)) => {
                asked(self.state.write(twin).conditions.get_mut(index).ok_or(StatusCode::BadNodeIdUnknown)?)?;
                if is_enable {
                    self.look_again(twin, index, now, output);
                }
            }
        }
        Ok(())
    }

    /// Our own certificate may end soon.
    pub(super) fn watch_certificate(&mut self, end: Timestamp, now: Timestamp, output: &mut Output) {
        let mut condition = self.state.write_certificate();
        if condition.change(now, certificate_activity(end, now)) {
            output.events.push(condition.tell(self.ids.next(now), now, now));
        }
    }

    /// A condition that is enabled says how things are now.
    fn look_again(&mut self, twin: TwinId, index: usize, now: Timestamp, output: &mut Output) {
        let configured = self.state.configured();
        let v = match configured.type_of(twin).conditions().get(index) {
            Some(ConditionOf::Limits(v)) => *v,
            Some(ConditionOf::Drift) => return self.look_again_at_drift(twin, now, output),
            None => return,
        };
        let series = configured.series(twin, Facet::Variable(v));
        if let Some(limits) = self.limits.get_mut(&series) {
            limits.watch = LimitWatch::default();
        }
        let sample = self.state.sample(twin, Facet::Variable(v));
        self.watch_limits(series, &sample, now, output);
    }
}

fn activity(variable: &Variable, settings: &LimitSettings, level: Option<Level>, y: f64) -> Option<Activity> {
    let level = level?;
    let (side, limit) = match level {
        Level::HighHigh | Level::High => ("above", settings.of(level)),
        Level::LowLow | Level::Low => ("below", settings.of(level)),
    };
    let (unit, limit) = (&variable.unit, limit.unwrap_or(f64::NAN));
    let space = if unit.is_empty() { "" } else { " " };
    let message = format!("{} = {y}{space}{unit} is {side} {limit}{space}{unit} ({})", variable.name, level.name());
    Some(Activity { level: Some(level), severity: settings.severity, message, fields: Vec::new() })
}
