//! What `FitProgram` holds: the state machine as OPC 10000-10 shows it, by the states and transitions of
//! ProgramStateMachineType, and what the last fit found.

use opcua::types::{DataValue, LocalizedText, NodeId, Variant};

use super::{AddressSpace, ProgramMember, node::ResultMember, values::Figure};
use crate::{
    fit::FitReport,
    program::{Program, ProgramState, Transition},
    time::Timestamp,
    twin::{FitState, LastFit},
};

impl AddressSpace {
    /// A member of `FitProgram` as the program stands; the state and the way to it are as old as they are.
    pub(in crate::northbound) fn program_value(
        &self,
        program: &Program,
        member: ProgramMember,
        now: Timestamp,
    ) -> DataValue {
        let since = program.last.map_or(self.started, |(_, at)| at);
        let source = match member {
            ProgramMember::Progress => now,
            ProgramMember::Deletable | ProgramMember::AutoDelete => self.started,
            _ => since,
        };
        figure(program, member).stamped(source, now)
    }
}

/// Null where it tells of a transition and there was none.
fn figure(program: &Program, member: ProgramMember) -> Figure {
    let (state, state_id) = program.state.standard();
    let of_last = |figure: fn(Transition, Timestamp) -> Variant| {
        Figure::good(program.last.map_or(Variant::Empty, |(transition, at)| figure(transition, at)))
    };
    match member {
        ProgramMember::CurrentState => Figure::good(LocalizedText::new("en", state)),
        ProgramMember::StateId => Figure::good(NodeId::new(0, state_id)),
        ProgramMember::StateNumber => Figure::good(state_number(program.state)),
        ProgramMember::LastTransition => of_last(|last, _| LocalizedText::new("en", &last.standard().0).into()),
        ProgramMember::TransitionId => of_last(|last, _| NodeId::new(0, last.standard().2).into()),
        ProgramMember::TransitionNumber => of_last(|last, _| last.standard().1.into()),
        ProgramMember::TransitionTime => program.last.map_or(Figure::good(Variant::Empty), |(_, at)| Figure::time(at)),
        // It is there as long as its twin.
        ProgramMember::Deletable | ProgramMember::AutoDelete => Figure::good(false),
        ProgramMember::RecycleCount => Figure::good(program.recycled),
        ProgramMember::Progress => Figure::good(program.progress),
    }
}

/// StateNumber in the standard (OPC 10000-10 §5.2.3.2).
const fn state_number(state: ProgramState) -> u32 {
    match state {
        ProgramState::Halted => 11,
        ProgramState::Ready => 12,
        ProgramState::Running => 13,
        ProgramState::Suspended => 14,
    }
}

/// A member of `FinalResultData`: null before the first fit; while one is at work, and where none found any, the figures are.
pub(super) fn result(fit: &LastFit, member: ResultMember) -> Figure {
    if fit.state == FitState::None {
        return Figure::good(Variant::Empty);
    }
    let report = fit.report.as_deref();
    let numbers = |of: fn(&FitReport) -> &[f64]| report.map_or(Variant::Empty, |report| of(report).to_vec().into());
    let number = |of: fn(&FitReport) -> f64| report.map_or(Variant::Empty, |report| of(report).into());
    let is_at_work = fit.state == FitState::Running;
    Figure::good(match member {
        ResultMember::State => fit.state.as_str().into(),
        ResultMember::Revision if is_at_work => Variant::Empty,
        ResultMember::Revision => fit.revision.into(),
        ResultMember::Names => report.map_or(Variant::Empty, |report| report.names.clone().into()),
        ResultMember::Values => numbers(|report| &report.values),
        ResultMember::StandardErrors => numbers(|report| &report.standard_errors),
        ResultMember::Lower95 => numbers(|report| &report.lower95),
        ResultMember::Upper95 => numbers(|report| &report.upper95),
        ResultMember::Rmse => number(|report| report.rmse),
        ResultMember::RSquared => number(|report| report.r_squared),
        ResultMember::Iterations => {
            report.map_or(Variant::Empty, |report| u32::try_from(report.iterations).unwrap_or(u32::MAX).into())
        }
        ResultMember::Message => LocalizedText::new("en", &fit.message).into(),
    })
}
