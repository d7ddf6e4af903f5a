//! What the stage tells of: events, as what they tell of comes to pass. Every one gets its number here.

use std::sync::Arc;

use super::{Ingest, Output};
use crate::{
    event::{Event, EventType, Source},
    fit::FitReport,
    program::{Program, ProgramState},
    sample::{TwinId, Value},
    southbound::{Plc, PlcId},
    time::Timestamp,
    twin::{FitState, LastFit},
};

/// Severities (OPC 10000-5 §6.4.2): what is as it should be, what may want a look, what an operator has to know.
const ROUTINE: u16 = 100;
const NOTABLE: u16 = 300;
const SERIOUS: u16 = 700;

impl Ingest {
    /// An event goes out.
    pub(super) fn tell(&mut self, mut event: Event, now: Timestamp, output: &mut Output) {
        event.id = self.ids.next(now);
        output.events.push(Arc::new(event));
    }

    pub(super) fn tell_connection(
        &mut self,
        plc: PlcId,
        at: Timestamp,
        is_there: bool,
        now: Timestamp,
        output: &mut Output,
    ) {
        let Some(Plc { config, link, .. }) = self.plcs.get(plc) else { return };
        let known = self.is_connected[plc.0 as usize].replace(is_there);
        if known == Some(is_there) {
            return;
        }
        let link = link.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (endpoint, error) = (&config.endpoints[link.endpoint], link.last_error);
        let (state, severity, error) =
            if is_there { ("Connected", NOTABLE, String::new()) } else { ("Lost", SERIOUS, error) };
        let message = match (is_there, known) {
            (true, _) => format!("{} is connected", config.name),
            (false, None) => format!("{} cannot be reached: {error}", config.name),
            (false, Some(_)) => format!("The connection to {} is lost: {error}", config.name),
        };
        let source = Source::new(&format!("plc:{}", config.name));
        let mut event = Event::new(EventType::ConnectionEvent, source, at, severity, message)
            .with("State", state)
            .with("Endpoint", endpoint.as_str())
            .with("LastError", error);
        event.received = now;
        self.tell(event, now, output);
    }

    /// A fit that has ended.
    pub(super) fn tell_fit(&mut self, twin: TwinId, fit: &LastFit, now: Timestamp, output: &mut Output) {
        let severity = match fit.state {
            FitState::Completed => ROUTINE,
            FitState::Failed | FitState::Cancelled => NOTABLE,
            FitState::None | FitState::Running => return,
        };
        let source = Source::new(&self.state.configured().twin(twin).name);
        let event = Event::new(EventType::FitFinishedEvent, source, fit.finished_at, severity, fit.message.clone());
        let event = with_figures(event, fit.state, fit.revision, fit.report.as_deref());
        self.tell(event, now, output);
    }

    /// Parameters in force from now on: those that are others than before.
    pub(super) fn tell_revision(
        &mut self,
        twin: TwinId,
        (before, previous): (&[f64], u32),
        by: &str,
        now: Timestamp,
        output: &mut Output,
    ) {
        let configured = self.state.configured();
        let (name, model) = (&configured.twin(twin).name, configured.type_of(twin).model.as_ref());
        let (values, revision) = {
            let live = self.state.read(twin);
            (live.parameters.clone(), live.revision)
        };
        let changed = || (0..values.len()).filter(|p| before[*p].to_bits() != values[*p].to_bits());
        let names = changed().filter_map(|p| model?.model.parameters().get(p)).map(|parameter| parameter.name.as_str());
        let message = format!("Revision {revision} of {name} is in force");
        let event = Event::new(EventType::RevisionEvent, Source::new(name), now, ROUTINE, message)
            .with("Revision", revision)
            .with("PreviousRevision", previous)
            .with("Names", Value::strings(names))
            .with("OldValues", Value::doubles(changed().map(|p| before[p])))
            .with("Values", Value::doubles(changed().map(|p| values[p])))
            .with("By", by);
        self.tell(event, now, output);
    }

    /// A program after one of its changes: to those who watch it, and where it is in another state, by an event.
    pub(super) fn tell_program(&mut self, twin: TwinId, before: ProgramState, now: Timestamp, output: &mut Output) {
        let program: Program = self.state.read(twin).program;
        output.programs.push((twin, program));
        let Some((transition, at)) = program.last.filter(|_| program.state != before) else { return };
        let name = format!("{}.FitProgram", self.state.configured().twin(twin).name);
        let [(from, from_id), (to, to_id)] = [transition.ends().0, transition.ends().1].map(ProgramState::standard);
        let (label, number, id) = transition.standard();
        let message = format!("{name} has gone from {from} to {to}");
        let event = Event::new(EventType::ProgramTransitionEvent, Source::new(&name), at, ROUTINE, message)
            .with("Transition", Value::english(&label))
            .with("Transition/Id", format!("i={id}"))
            .with("Transition/Number", number)
            .with("FromState", Value::english(from))
            .with("FromState/Id", format!("i={from_id}"))
            .with("ToState", Value::english(to))
            .with("ToState/Id", format!("i={to_id}"));
        self.tell(event, now, output);
    }
}

/// The figures of a fit as fields.
#[must_use]
pub fn with_figures(event: Event, state: FitState, revision: u32, report: Option<&FitReport>) -> Event {
    let event = event.with("State", state.as_str()).with("Revision", revision);
    let Some(report) = report else { return event };
    event
        .with("Names", Value::strings(report.names.iter().map(String::as_str)))
        .with("Values", Value::doubles(report.values.iter().copied()))
        .with("StandardErrors", Value::doubles(report.standard_errors.iter().copied()))
        .with("Rmse", report.rmse)
        .with("RSquared", report.r_squared)
}
