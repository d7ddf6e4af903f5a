//! History of derived variables, made anew out of that of their inputs: after backfill, and when a sample came late.

use std::{mem, sync::Arc};

use super::{
    Jobs,
    past::{Past, earliest},
};
use crate::{
    history::HistoryError,
    ingest::{Command, Rederive},
    sample::Sample,
    time::Timestamp,
    twin::{Derivation, Facet, Latest},
};

/// Samples handed on at a time.
const SAMPLES_MAX: usize = 16_384;

impl Jobs {
    /// Makes it anew, piece by piece. What cannot be read stays as it is.
    pub(super) async fn rederive(self: &Arc<Self>, rederive: Rederive) {
        let twin = rederive.twin;
        let done = self.blocking(move |jobs| {
            let hand_on = |piece: Rederive, samples: Vec<(usize, Sample)>| {
                let _ = jobs.commands.blocking_send(Command::Derived { piece, samples }); // else it stops
            };
            Ok(jobs.walk(rederive, hand_on))
        });
        if let Ok(Err(error)) = done.await {
            let configured = self.state.configured();
            let twin = &configured.twin(twin).name;
            tracing::warn!(
                twin,
                error = &error as &dyn std::error::Error,
                "history of derived variables could not be made anew"
            );
        }
    }

    /// All inputs' samples in the order of their instants.
    fn walk(
        &self,
        Rederive { twin, times }: Rederive,
        mut hand_on: impl FnMut(Rederive, Vec<(usize, Sample)>),
    ) -> Result<(), HistoryError> {
        let configured = self.state.configured();
        let variables = &configured.type_of(twin).variables;
        let plan = Derivation::new(variables).unwrap_or_default();
        let mut latest = Latest::default();
        let mut inputs = Vec::new();
        for v in plan.roots(variables) {
            let series = configured.series(twin, Facet::Variable(v));
            inputs.push((v, Past::holding(self.history.as_ref(), series, Timestamp::NULL..times.start)?));
        }
        // Before the first instant nothing follows: that was there already.
        for (v, past) in &mut inputs {
            while let Some(sample) = past.peek()?.filter(|sample| sample.source_timestamp < times.start) {
                latest.hold(*v, sample.clone());
                past.pass();
            }
        }
        let (mut begun, mut made) = (times.start, Vec::new());
        while let Some((at, _)) = earliest(inputs.iter_mut().map(|(_, past)| past))?.filter(|(at, _)| *at < times.end) {
            if made.len() >= SAMPLES_MAX {
                hand_on(Rederive { twin, times: mem::replace(&mut begun, at)..at }, mem::take(&mut made));
            }
            let mut changed = Vec::new();
            for (v, past) in &mut inputs {
                if let Some(sample) = past.peek()?.filter(|sample| sample.source_timestamp == at) {
                    changed.push((*v, sample.clone()));
                    past.pass();
                }
            }
            made.extend(latest.follow(&plan, variables, changed, at));
        }
        hand_on(Rederive { twin, times: begun..times.end }, made);
        Ok(())
    }
}
