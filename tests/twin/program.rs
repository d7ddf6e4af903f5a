//! The twin's fit as a program: what leads from where to where, and that it is the fit, whoever began it.

use std::time::Duration;

use uatwin::{
    jobs::CallError,
    program::{Ask, Program, ProgramState, Transition},
    time::Timestamp,
    twin::FitState,
};

use crate::jobs::{ENGINEER, Plant, TWIN};
use ProgramState::{Halted, Ready, Running, Suspended};

impl Plant {
    async fn ask(&self, ask: Ask) -> Result<(), CallError> {
        self.jobs.program(TWIN, ask, ENGINEER).await
    }

    async fn refuses(&self, ask: Ask) {
        let before = self.program().state;
        let answer = self.ask(ask).await;
        assert!(matches!(answer, Err(CallError::InvalidState(_))), "{ask:?} in {before:?}: {answer:?}");
        assert_eq!(self.program().state, before);
    }

    fn program(&self) -> Program {
        self.state.read(TWIN).program
    }

    fn fit_state(&self) -> FitState {
        self.state.read(TWIN).last_fit.state
    }

    /// Waits for a state, however long a busy machine takes.
    async fn until(&self, state: ProgramState) {
        for _ in 0..6_000 {
            if self.program().state == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {state:?}: {:?}; {}", self.program(), self.state.read(TWIN).last_fit.message);
    }

    fn transitions(&self) -> Vec<Transition> {
        let mut all: Vec<_> = self.programs.lock().unwrap().iter().filter_map(|program| program.last).collect();
        all.dedup();
        all.into_iter().map(|(transition, _)| transition).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_runs_the_fit_and_success_leads_to_ready() {
    let plant = Plant::in_time("window = \"2h\"\nstarts = 20");
    assert_eq!(plant.program(), Program::default());
    plant.ask(Ask::Start).await.unwrap();
    assert_eq!(plant.transitions()[0], Transition::ReadyToRunning, "before it answers");
    plant.until(Ready).await;
    assert_eq!(plant.transitions(), [Transition::ReadyToRunning, Transition::RunningToReady]);
    let seen: Vec<f64> = plant.programs.lock().unwrap().iter().map(|program| program.progress).collect();
    assert!(seen.is_sorted() && seen[0] == 0.0 && *seen.last().unwrap() == 100.0, "{seen:?}");
    assert!(seen.iter().any(|progress| (1.0..99.0).contains(progress)), "{seen:?}");
    let live = plant.state.read(TWIN);
    assert_eq!((live.program.recycled, live.last_fit.state, live.last_fit.revision), (1, FitState::Completed, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_the_fit_whoever_began_it() {
    let plant = Plant::slow(1000);
    let configured = (Timestamp::NULL, Timestamp::NULL);
    let fit = || plant.jobs.fit(TWIN, configured, vec![], Duration::ZERO, ENGINEER);
    assert_eq!(fit().await.unwrap().state, FitState::Running);
    plant.until(Running).await;
    plant.refuses(Ask::Start).await;
    plant.refuses(Ask::Resume).await;
    plant.refuses(Ask::Reset).await;
    plant.jobs.cancel_fit(TWIN);
    plant.until(Halted).await;
    assert_eq!(plant.fit_state(), FitState::Cancelled);
    // `Fit` needs no Reset; the program passes by Ready.
    assert_eq!(fit().await.unwrap().state, FitState::Running);
    plant.until(Running).await;
    plant.ask(Ask::Halt).await.unwrap();
    use Transition::{HaltedToReady, ReadyToRunning, RunningToHalted};
    let expected = [ReadyToRunning, RunningToHalted, HaltedToReady, ReadyToRunning, RunningToHalted];
    assert_eq!(plant.transitions(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn halt_answers_when_it_has_halted_and_reset_makes_ready() {
    let plant = Plant::slow(1000);
    plant.ask(Ask::Start).await.unwrap();
    assert_eq!(plant.program().state, Running);
    plant.ask(Ask::Halt).await.unwrap();
    assert_eq!((plant.program().state, plant.fit_state()), (Halted, FitState::Cancelled));
    assert_eq!(plant.state.read(TWIN).revision, 1, "nothing came of it");
    for ask in [Ask::Halt, Ask::Start, Ask::Suspend, Ask::Resume] {
        plant.refuses(ask).await;
    }
    plant.ask(Ask::Reset).await.unwrap();
    assert_eq!((plant.program().state, plant.program().recycled, plant.program().progress), (Ready, 1, 0.0));
    for ask in [Ask::Reset, Ask::Suspend, Ask::Resume] {
        plant.refuses(ask).await;
    }
    plant.ask(Ask::Halt).await.unwrap();
    assert_eq!(plant.program().last.unwrap().0, Transition::ReadyToHalted);
    plant.ask(Ask::Reset).await.unwrap();
    plant.ask(Ask::Start).await.unwrap(); // the slot was given back
    plant.until(Running).await;
    plant.ask(Ask::Halt).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_fit_stands_still_until_it_may_go_on() {
    let plant = Plant::slow(10);
    plant.ask(Ask::Start).await.unwrap();
    assert_eq!(plant.program().state, Running);
    plant.ask(Ask::Suspend).await.unwrap();
    assert_eq!(plant.program().state, Suspended);
    for ask in [Ask::Start, Ask::Suspend] {
        plant.refuses(ask).await;
    }
    let unanswered = plant.jobs.fit(TWIN, (Timestamp::NULL, Timestamp::NULL), vec![], Duration::ZERO, ENGINEER).await;
    assert!(matches!(unanswered, Err(CallError::Unavailable(_))), "{unanswered:?}");
    // It would have been over long ago.
    let reference = Plant::slow(10);
    for _ in 0..2 {
        reference.ask(Ask::Start).await.unwrap();
        reference.until(Ready).await;
    }
    assert_eq!((plant.program().state, plant.fit_state()), (Suspended, FitState::Running));
    plant.ask(Ask::Resume).await.unwrap();
    plant.until(Ready).await;
    assert_eq!(plant.fit_state(), FitState::Completed);
    use Transition::{ReadyToRunning, RunningToReady, RunningToSuspended, SuspendedToRunning};
    assert_eq!(plant.transitions(), [ReadyToRunning, RunningToSuspended, SuspendedToRunning, RunningToReady]);
    let found = |plant: &Plant| plant.state.read(TWIN).parameters[0];
    assert_eq!(found(&plant).to_bits(), found(&reference).to_bits(), "nothing of it was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_fit_can_be_ended() {
    for (ask, end) in [(Ask::Halt, Halted), (Ask::Reset, Ready)] {
        let plant = Plant::slow(1000);
        plant.ask(Ask::Start).await.unwrap();
        plant.ask(Ask::Suspend).await.unwrap();
        plant.ask(ask).await.unwrap();
        assert_eq!((plant.program().state, plant.fit_state()), (end, FitState::Cancelled), "{ask:?}");
    }
    let plant = Plant::slow(1000);
    plant.ask(Ask::Start).await.unwrap();
    assert_eq!(plant.program().state, Running);
    plant.ask(Ask::Suspend).await.unwrap();
    plant.jobs.cancel_all(); // the program stops
    plant.until(Halted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_begin_leaves_it_ready() {
    // One sample is not more than the parameter it is for.
    let plant = Plant::in_time("window = \"1s\"");
    let answer = plant.ask(Ask::Start).await;
    assert!(matches!(answer, Err(CallError::NoData(_))), "{answer:?}");
    assert_eq!(plant.program(), Program::default());
    assert_eq!(plant.fit_state(), FitState::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_starts_at_once_one_begins() {
    let plant = Plant::slow(1000);
    let (a, b) = tokio::join!(plant.ask(Ask::Start), plant.ask(Ask::Start));
    assert_eq!([&a, &b].iter().filter(|answer| answer.is_ok()).count(), 1, "{a:?} {b:?}");
    plant.until(Running).await;
    plant.ask(Ask::Halt).await.unwrap();
}
