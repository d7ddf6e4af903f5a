//! `FitProgram`: what a client asks of the program that is the twin's fit. Whether it may be asked, the program's state says,
//! which the ingest stage changes; here is done what the change needs.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::oneshot;

use super::{CallError, Caller, Jobs};
use crate::{
    ingest::Command,
    program::{Ask, ProgramState},
    sample::TwinId,
    time::Timestamp,
};

impl Jobs {
    /// Start begins a fit of all free parameters over the configured window; Suspend, Resume, Halt and Reset act on the
    /// twin's fit whoever began it. Each answers when the program has come to where it leads.
    ///
    /// # Errors
    /// A state in which that may not be asked; of Start also what [`Jobs::fit`] says.
    pub async fn program(self: &Arc<Self>, twin: TwinId, ask: Ask, by: Caller<'_>) -> Result<(), CallError> {
        let state = || self.state.read(twin).program;
        let refused = || CallError::InvalidState(format!("{ask:?}: the program is {:?}", state().state));
        let to = state().asked(ask).ok_or_else(refused)?;
        match ask {
            Ask::Start => {
                self.let_end(twin).await;
                // One whose data are being read is not Running yet.
                if self.running().contains_key(&twin) {
                    return Err(refused());
                }
                let configured = (Timestamp::NULL, Timestamp::NULL);
                self.start_fit(twin, configured, Vec::new(), by, None).await?;
                // The ingest stage takes one after the other: once it has answered this, the program is Running, or was.
                return self.standing_now(twin).await.map(drop);
            }
            // Nothing runs in Halted: what is being read then is for a `Fit` that does not wait for a Reset.
            Ask::Reset if state().state == ProgramState::Halted => {}
            Ask::Halt | Ask::Reset => self.end_fit(twin).await,
            Ask::Suspend | Ask::Resume => {}
        }
        let (reply, answer) = oneshot::channel();
        self.command(Command::Program { twin, ask, reply }).await?;
        let is_done = answer.await.map_err(|_| super::stopping())?;
        // The fit's own end, or another client, may have led there.
        if is_done || state().state == to { Ok(()) } else { Err(refused()) }
    }

    /// Cancels the twin's fit, if there is one, and waits until what came of it is before the ingest stage.
    async fn end_fit(&self, twin: TwinId) {
        let Some(fit) = self.running().get(&twin).cloned() else { return };
        fit.cancel.store(true, Ordering::Relaxed);
        fit.ended.cancelled().await;
    }
}
