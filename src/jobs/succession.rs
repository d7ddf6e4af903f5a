//! Another config takes effect: in the order in which nothing is lost and nobody sees half of it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{CallError, Jobs, stopping};
use crate::{
    history::HistoryError,
    ingest::{Command, Successor},
    revisions::Restored,
    sample::{SeriesId, TwinId},
    southbound::Plcs,
    time::Timestamp,
    twin::Succession,
};

/// What a config makes of the one before.
#[derive(Debug)]
pub struct Change {
    /// Of the twins.
    pub succession: Succession,
    /// From then on.
    pub plcs: Arc<Plcs>,
}

/// A cancelled fit looks at its flag in every iteration.
const FITS_END: Duration = Duration::from_secs(10);

impl Jobs {
    /// Ends what runs on twins that go, restores what comes from history, and has the ingest stage take it up.
    ///
    /// # Errors
    /// History cannot be read or written: nothing is changed then, but that those fits have ended.
    pub async fn succeed(self: &Arc<Self>, change: Change) -> Result<(), CallError> {
        self.end_fits(&change.succession.ended).await;
        self.blocking(move |jobs| {
            let _turn = jobs.any_turn();
            let now = jobs.clock.now();
            let Change { succession, plcs } = change;
            jobs.history.add_series(&succession.new_series).map_err(unreadable)?;
            let twins = Arc::new(succession.twins.clone());
            let conditions = jobs.history.conditions().map_err(unreadable)?;
            let stored_until = jobs.stored_until(&succession).map_err(unreadable)?;
            let restored = jobs.revisions.succeed(twins, &succession.begun, now).map_err(unreadable)?;
            let stood = restored.iter().filter_map(Restored::standing);
            jobs.stood.lock().unwrap_or_else(PoisonError::into_inner).extend(stood);
            jobs.plcs.store(Arc::clone(&plcs));
            let successor = Successor { succession, plcs, restored, conditions, stored_until };
            let (reply, answer) = oneshot::channel();
            let command = Command::Succeed { successor: Box::new(successor), reply };
            jobs.commands.blocking_send(command).map_err(|_| stopping())?;
            answer.blocking_recv().map_err(|_| stopping())
        })
        .await
    }

    async fn end_fits(&self, twins: &[TwinId]) {
        let running: Vec<_> = twins.iter().filter_map(|twin| self.running().get(twin).cloned()).collect();
        running.iter().for_each(|fit| fit.cancel.store(true, Ordering::Relaxed));
        for fit in running {
            // One that does not end in time finds no twin to put its parameters in force at.
            let _ = tokio::time::timeout(FITS_END, fit.ended.cancelled()).await;
        }
    }

    /// Of the series of those who are new, where they have any.
    fn stored_until(&self, succession: &Succession) -> Result<HashMap<SeriesId, Timestamp>, HistoryError> {
        let mut found = HashMap::new();
        for series in succession.begun.iter().flat_map(|twin| succession.twins.series_of(*twin)) {
            if let Some(newest) = self.history.newest(*series)? {
                found.insert(*series, newest);
            }
        }
        Ok(found)
    }
}

fn unreadable(error: HistoryError) -> CallError {
    tracing::error!(error = &error as &dyn std::error::Error, "history of the new config's twins");
    CallError::Unavailable(format!("history: {error}"))
}
