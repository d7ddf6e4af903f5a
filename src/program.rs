//! The state machine of a program (OPC 10000-10 §4.2.4): whether what runs long is ready, runs, stands still or has ended,
//! and how it came there. Pure: what is behind it, `jobs` knows.

use crate::time::Timestamp;

/// Where a program is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgramState {
    /// It may be started.
    #[default]
    Ready,
    /// It is at work.
    Running,
    /// It stands still and may go on.
    Suspended,
    /// It has ended without success, or was ended; it must be reset before it may be started.
    Halted,
}

impl ProgramState {
    /// BrowseName and number of its NodeId in the standard (OPC 10000-10 §5.2.3.2).
    #[must_use]
    pub const fn standard(self) -> (&'static str, u32) {
        match self {
            Self::Ready => ("Ready", 2400),
            Self::Running => ("Running", 2402),
            Self::Suspended => ("Suspended", 2404),
            Self::Halted => ("Halted", 2406),
        }
    }
}

/// What a client asks of a program: its methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Begin.
    Start,
    /// Stand still.
    Suspend,
    /// Go on.
    Resume,
    /// End without a result.
    Halt,
    /// Be ready again.
    Reset,
}

/// The change from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its two states")]
pub enum Transition {
    HaltedToReady,
    ReadyToRunning,
    RunningToHalted,
    RunningToReady,
    RunningToSuspended,
    SuspendedToRunning,
    SuspendedToHalted,
    SuspendedToReady,
    ReadyToHalted,
}

impl Transition {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::HaltedToReady,
        Self::ReadyToRunning,
        Self::RunningToHalted,
        Self::RunningToReady,
        Self::RunningToSuspended,
        Self::SuspendedToRunning,
        Self::SuspendedToHalted,
        Self::SuspendedToReady,
        Self::ReadyToHalted,
    ];

    /// From which state, to which.
    #[must_use]
    pub const fn ends(self) -> (ProgramState, ProgramState) {
        use ProgramState::{Halted, Ready, Running, Suspended};
        match self {
            Self::HaltedToReady => (Halted, Ready),
            Self::ReadyToRunning => (Ready, Running),
            Self::RunningToHalted => (Running, Halted),
            Self::RunningToReady => (Running, Ready),
            Self::RunningToSuspended => (Running, Suspended),
            Self::SuspendedToRunning => (Suspended, Running),
            Self::SuspendedToHalted => (Suspended, Halted),
            Self::SuspendedToReady => (Suspended, Ready),
            Self::ReadyToHalted => (Ready, Halted),
        }
    }
}

impl Transition {
    /// BrowseName, TransitionNumber and number of its NodeId in the standard (§5.2.3.3).
    #[must_use]
    pub fn standard(self) -> (String, u32, u32) {
        let (from, to) = self.ends();
        let at = self as u32;
        (format!("{}To{}", from.standard().0, to.standard().0), at + 1, 2408 + 2 * at)
    }
}

/// How a program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Program {
    /// Where it is.
    pub state: ProgramState,
    /// How and when it came there; `None`: it has been there since the start of the server.
    pub last: Option<(Transition, Timestamp)>,
    /// How often it became ready again (§5.2.2), since the start of the server.
    pub recycled: i32,
    /// How much of the run is done, 0 to 100; of the last one where none is at work.
    pub progress: f64,
}

impl Program {
    /// Where it would go; `None`: in this state that may not be asked.
    #[must_use]
    pub const fn asked(&self, ask: Ask) -> Option<ProgramState> {
        use ProgramState::{Halted, Ready, Running, Suspended};
        match (ask, self.state) {
            (Ask::Start, Ready) | (Ask::Resume, Suspended) => Some(Running),
            (Ask::Suspend, Running) => Some(Suspended),
            (Ask::Halt, Ready | Running | Suspended) => Some(Halted),
            (Ask::Reset, Halted | Suspended) => Some(Ready),
            _ => None,
        }
    }

    /// Goes to a state, if a transition leads there; tells whether.
    pub fn go(&mut self, to: ProgramState, now: Timestamp) -> bool {
        let Some(transition) = Transition::ALL.into_iter().find(|transition| transition.ends() == (self.state, to))
        else {
            return false;
        };
        self.state = to;
        self.last = Some((transition, now));
        match transition {
            Transition::HaltedToReady | Transition::SuspendedToReady => {
                (self.recycled, self.progress) = (self.recycled.saturating_add(1), 0.0)
            }
            Transition::RunningToReady => (self.recycled, self.progress) = (self.recycled.saturating_add(1), 100.0),
            Transition::ReadyToRunning => self.progress = 0.0,
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProgramState::{Halted, Ready, Running, Suspended};

    const NOW: Timestamp = Timestamp::from_ticks(7);

    #[test]
    fn each_method_leads_where_part_10_says_and_from_nowhere_else() {
        let of = |state| Program { state, ..Program::default() };
        let cases = [
            (Ask::Start, [Some(Running), None, None, None]),
            (Ask::Suspend, [None, Some(Suspended), None, None]),
            (Ask::Resume, [None, None, Some(Running), None]),
            (Ask::Halt, [Some(Halted), Some(Halted), Some(Halted), None]),
            (Ask::Reset, [None, None, Some(Ready), Some(Ready)]),
        ];
        for (ask, expected) in cases {
            assert_eq!([Ready, Running, Suspended, Halted].map(|state| of(state).asked(ask)), expected, "{ask:?}");
        }
    }

    #[test]
    fn it_goes_by_transitions_alone() {
        for from in [Ready, Running, Suspended, Halted] {
            for to in [Ready, Running, Suspended, Halted] {
                let mut program = Program { state: from, ..Program::default() };
                let transition = Transition::ALL.into_iter().find(|transition| transition.ends() == (from, to));
                assert_eq!(program.go(to, NOW), transition.is_some(), "{from:?} {to:?}");
                let expected = transition.map_or((from, None), |transition| (to, Some((transition, NOW))));
                assert_eq!((program.state, program.last), expected);
            }
        }
    }

    #[test]
    fn being_ready_again_is_counted_and_progress_is_that_of_the_run() {
        let mut program = Program::default();
        let mut seen = Vec::new();
        for to in [Running, Ready, Running, Halted, Ready, Running, Suspended, Ready] {
            assert!(program.go(to, NOW), "{to:?}");
            if to == Running {
                program.progress = 40.0;
            }
            seen.push((program.recycled, program.progress));
        }
        assert_eq!(seen, [(0, 40.0), (1, 100.0), (1, 40.0), (1, 40.0), (2, 0.0), (2, 40.0), (2, 40.0), (3, 0.0)]);
    }
}
