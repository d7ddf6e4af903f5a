//! A supervisor for each PLC, as many as the config has.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    history::SharedStore,
    sample::SeriesId,
    southbound::{Event, Plc, PlcId, Plcs, Watch, opcua_client::OpcUaClient},
    time::{Clock, Timestamp},
    twin::{Facet, Twins},
};

/// How a supervisor ends whose PLC is not configured any more.
pub(super) const RETIRED: &str = "retired";

/// The supervisors at work.
pub(super) struct Sources {
    pub(super) intake: CancellationToken,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) history: SharedStore,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pki_dir: PathBuf,
    pub(super) application_uri: String,
    pub(super) at_work: HashMap<PlcId, Source>,
}

pub(super) struct Source {
    retire: CancellationToken,
    watches: watch::Sender<Arc<[Watch]>>,
}

impl Sources {
    /// Starts those that are new, tells those that stay what is to be watched, ends those that are gone.
    pub(super) fn follow(&mut self, twins: &Twins, plcs: &Plcs, stages: &mut JoinSet<&'static str>) {
        self.at_work.retain(|plc, source| {
            let stays = plcs.has(*plc);
            if !stays {
                source.retire.cancel();
            }
            stays
        });
        let mut watches = watches(twins, plcs.numbers());
        for id in plcs.ids() {
            let (Some(plc), watches) = (plcs.get(id), std::mem::take(&mut watches[id.0 as usize])) else { continue };
            match self.at_work.get(&id) {
                Some(source) => source.follow(watches, &self.history),
                None => _ = self.at_work.insert(id, self.start(id, plc, watches, stages)),
            }
        }
    }

    fn start(&self, id: PlcId, plc: &Plc, mut watches: Vec<Watch>, stages: &mut JoinSet<&'static str>) -> Source {
        watches.iter_mut().for_each(|watch| watch.stored_until = newest(&self.history, watch.series));
        let (sender, watches) = watch::channel(watches.into());
        let retire = self.intake.child_token();
        let source = OpcUaClient {
            plc: id,
            config: plc.config.clone(),
            watches,
            link: Arc::clone(&plc.link),
            outlet: Arc::clone(&plc.outlet),
            events: self.events.clone(),
            clock: Arc::clone(&self.clock),
            pki_dir: self.pki_dir.clone(),
            application_uri: self.application_uri.clone(),
        };
        let stop = retire.clone();
        stages.spawn(async move {
            source.run(stop.clone()).await;
            if stop.is_cancelled() { RETIRED } else { "southbound" }
        });
        Source { retire, watches: sender }
    }
}

impl Source {
    /// History is asked of what is new alone: a config with 100,000 variables may get one more.
    fn follow(&self, mut watches: Vec<Watch>, history: &SharedStore) {
        let present = Arc::clone(&self.watches.borrow());
        if present.len() == watches.len() && present.iter().zip(&watches).all(|(a, b)| a.is_same(b)) {
            return;
        }
        let known: HashSet<SeriesId> = present.iter().map(|watch| watch.series).collect();
        let new = watches.iter_mut().filter(|watch| !known.contains(&watch.series));
        new.for_each(|watch| watch.stored_until = newest(history, watch.series));
        self.watches.send_replace(watches.into());
    }
}

/// What each PLC is asked to watch.
fn watches(twins: &Twins, plcs: usize) -> Vec<Vec<Watch>> {
    let mut watches: Vec<Vec<Watch>> = vec![Vec::new(); plcs];
    for id in twins.ids() {
        let twin = twins.twin(id);
        let Some(plc) = twin.plc else { continue };
        for (v, address) in twin.sources.iter().enumerate().filter_map(|(v, source)| Some((v, source.clone()?))) {
            let (series, variable) = (twins.series(id, Facet::Variable(v)), &twins.type_of(id).variables[v]);
            watches[plc.0 as usize].push(Watch {
                series,
                address,
                sampling_interval: variable.sampling_interval,
                historize: variable.historize,
                stored_until: None,
            });
        }
    }
    watches
}

pub(super) fn newest(history: &SharedStore, series: SeriesId) -> Option<Timestamp> {
    match history.newest(series) {
        Ok(newest) => newest,
        Err(error) => {
            warn!(%error, "the end of a series' history is not known");
            None
        }
    }
}
