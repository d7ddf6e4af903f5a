//! What the stage is asked, and what it hands on.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{DriftChore, Rederive, Refill, Refilled, Refills, Standing, Successor};
use crate::{
    alarm::Ask as ConditionAsk,
    event::Event,
    history::writer::HistoryMessage,
    program::{Ask, Program},
    sample::{Sample, SeriesId, StatusCode, TwinId},
    statistics::drift::Drift,
    time::Timestamp,
    twin::{InForce, LastFit},
};

/// A twin's condition, by its place among the type's; `None`: that of our own certificate.
pub type ConditionAt = Option<(TwinId, usize)>;

/// What others ask of the stage, besides samples.
#[derive(Debug)]
pub enum Command {
    /// Put parameters in force, which are on record; answers when they are.
    Parameters {
        /// Whose.
        twin: TwinId,
        /// What.
        in_force: InForce,
        /// Where the model stands under them, if that was simulated: state x at an instant.
        state: Option<(Timestamp, Vec<f64>)>,
        /// Who asked for it.
        by: String,
        /// Told that it is done.
        reply: oneshot::Sender<()>,
    },
    /// The live model goes on from here.
    Restart {
        /// Whose.
        twin: TwinId,
        /// Instant of `state`.
        at: Timestamp,
        /// x.
        state: Vec<f64>,
    },
    /// Where the live model stands; answers `None` while it does not run.
    Standing {
        /// Whose.
        twin: TwinId,
        /// Gets it.
        reply: oneshot::Sender<Option<Standing>>,
    },
    /// How the twin's last fit stands; its program follows.
    LastFit(TwinId, Box<LastFit>),
    /// How much of the running fit is done, percent.
    Progress(TwinId, f64),
    /// What a client asks of the twin's program, where nothing runs that would have to be ended first; answers whether the
    /// program's state allows it.
    Program {
        /// Whose.
        twin: TwinId,
        /// What.
        ask: Ask,
        /// Told whether it is done.
        reply: oneshot::Sender<bool>,
    },
    /// Another config takes effect.
    Succeed {
        /// What it makes of the one before.
        successor: Box<Successor>,
        /// Told that it has.
        reply: oneshot::Sender<()>,
    },
    /// A client wrote an internal variable.
    Write {
        /// Whose.
        twin: TwinId,
        /// Which.
        variable: usize,
        /// What.
        sample: Sample,
    },
    /// What a client asks of a condition.
    Condition {
        /// Which.
        of: ConditionAt,
        /// What.
        ask: ConditionAsk,
        /// Who.
        user: String,
        /// Told what came of it.
        reply: oneshot::Sender<Result<(), StatusCode>>,
    },
    /// Tests for drift that have gone through what history holds.
    Learned {
        /// Whose.
        twin: TwinId,
        /// By output.
        tests: Box<[Drift]>,
    },
    /// Until when our own certificate is valid.
    CertificateExpires(Timestamp),
    /// Something to tell that happened elsewhere.
    Tell(Box<Event>),
    /// Empty the windows of a twin's statistics.
    ResetStatistics {
        /// Whose.
        twin: TwinId,
        /// Told that it is done.
        reply: oneshot::Sender<()>,
    },
    /// What history gave of a window that [`Output::refills`] asked for; `None`: it could not be read.
    Refilled {
        /// Which.
        refill: Refill,
        /// The window.
        refilled: Option<Box<Refilled>>,
    },
    /// History of derived variables that [`Output::refills`] asked for, or a piece of it.
    Derived {
        /// Whose, and of when.
        piece: Rederive,
        /// By variable, in order.
        samples: Vec<(usize, Sample)>,
    },
}

/// What a step of the stage produced.
#[derive(Debug, Default)]
pub struct Output {
    /// For the history writer, in order.
    pub history: Vec<HistoryMessage>,
    /// Series whose live value changed.
    pub changed: Vec<SeriesId>,
    /// Programs after each of their changes, in order.
    pub programs: Vec<(TwinId, Program)>,
    /// What happened, in order; to be kept and to be told.
    pub events: Vec<Arc<Event>>,
    /// Twins whose live model should be started from history.
    pub warm_starts: Vec<TwinId>,
    /// Windows that should be filled from history.
    pub refills: Vec<Refills>,
    /// What drift asks for.
    pub drift: Vec<DriftChore>,
}
