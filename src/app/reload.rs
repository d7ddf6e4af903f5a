//! The config loaded anew while everything runs: twins, PLCs and users come, change and go; sessions, subscriptions and
//! history stay. One with faults, or one that would take a restart, changes nothing.

use std::{collections::HashSet, sync::Arc};

use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::sources::Sources;
use crate::{
    config::{self, Config, Fault, Fixed},
    event::{Event, EventType, Source},
    jobs::{Change, Jobs},
    northbound::{Configuration, ModelChange, Publisher, ReloadRequest, Reloaded, users::SharedUsers},
    southbound::{PlcId, Plcs},
    time::Clock,
    twin::{Succession, Twin, TwinState, Twins},
};

/// Reads the config anew.
pub type Loader = Box<dyn Fn() -> Result<Config, Vec<Fault>> + Send + Sync>;

/// Requests that may wait; beyond, they are refused.
pub(super) const REQUESTS: usize = 4;

/// Everything that a reload changes.
pub(super) struct Reload {
    pub(super) load: Option<Arc<Loader>>,
    pub(super) fixed: Fixed,
    pub(super) configuration: Arc<Configuration>,
    pub(super) state: Arc<TwinState>,
    pub(super) plcs: Arc<Plcs>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) publisher: Publisher,
    pub(super) users: SharedUsers,
    pub(super) sources: Sources,
    pub(super) clock: Arc<dyn Clock>,
}

impl Reload {
    pub(super) async fn serve(&mut self, request: ReloadRequest, stages: &mut JoinSet<&'static str>) {
        let outcome = self.reload(stages).await;
        match &outcome {
            Ok(changes) => {
                self.configuration.loaded(self.clock.now());
                let changes = if changes.is_empty() { "nothing has changed".to_owned() } else { changes.join("; ") };
                info!(changes, "config loaded anew");
            }
            Err(reasons) => {
                self.configuration.refused(reasons.clone());
                reasons.iter().for_each(|reason| error!("{reason}"));
                error!("config not taken up: everything stays as it was");
            }
        }
        let _ = request.send(outcome); // whoever has gone doesn't undo it
    }

    async fn reload(&mut self, stages: &mut JoinSet<&'static str>) -> Reloaded {
        let Some(load) = self.load.clone() else {
            return Err(vec!["the service was not started from a config file".to_owned()]);
        };
        let loaded = tokio::task::spawn_blocking(move || load()).await.map_err(|panic| vec![panic.to_string()])?;
        let mut config = loaded.map_err(said)?;
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
        let before = self.state.configured();
        self.refuse(&config, &before)?;
        let plcs = Arc::new(self.plcs.succeeded_by(std::mem::take(&mut config.plcs)));
        let succession = before.succeeded_by(config.twins.types.clone(), renumbered(&config.twins, &plcs));
        let changes = changes((&before, &self.plcs), (&succession, &plcs));
        let users = match config.server.users_file.clone() {
            Some(path) => Some(config::load_users(&path, &succession.twins).map_err(said)?.0),
            None => None,
        };
        // Their order, and types that no twin has yet, are shown too.
        let is_shown_alike = succession.twins.is_shown_as(&before) && plcs.ids().eq(self.plcs.ids());
        if !is_shown_alike {
            let change = Change { succession, plcs: Arc::clone(&plcs) };
            self.jobs.succeed(change).await.map_err(|error| vec![error.to_string()])?;
            self.publisher.succeed(Arc::clone(&plcs));
            self.sources.follow(&self.state.configured(), &plcs, stages);
            self.plcs = plcs;
        }
        if let Some(users) = users {
            self.users.replace(users);
        }
        if !changes.is_empty() {
            self.jobs.tell(self.event(&changes)).await;
        }
        Ok(changes.iter().map(ToString::to_string).collect())
    }

    fn refuse(&self, config: &Config, before: &Twins) -> Result<(), Vec<String>> {
        let mut reasons: Vec<String> = self
            .fixed
            .differences(config)
            .into_iter()
            .map(|what| format!("{what} has changed, which takes a restart"))
            .collect();
        let known: HashSet<String> = before.ids().flat_map(|twin| before.names_of(twin)).collect();
        let is_new = |(old, new): &&(String, String)| known.contains(old) && !known.contains(new);
        if let Some((old, new)) = config.renames.iter().find(is_new) {
            reasons.push(format!("`was`: {old} is to be called {new} now, which takes a restart"));
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// OPC 10000-3 §9.32: clients may look again at what has changed.
    fn event(&self, changes: &[ModelChange]) -> Event {
        let message = changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Event::new(EventType::GeneralModelChangeEvent, Source::default(), self.clock.now(), 100, message)
            .with("Changes", ModelChange::field(changes))
    }
}

fn said(faults: Vec<Fault>) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// The config's twins, with their PLCs' numbers in the place of their order.
fn renumbered(twins: &Twins, plcs: &Plcs) -> Vec<Twin> {
    let number = |plc: PlcId| plcs.nth(plc.0 as usize);
    twins.twins.iter().map(|twin| Twin { plc: twin.plc.and_then(number), ..twin.clone() }).collect()
}

fn changes((before, old): (&Twins, &Plcs), (succession, new): (&Succession, &Plcs)) -> Vec<ModelChange> {
    let names = |twins: &Twins| twins.ids().map(|twin| twins.twin(twin).name.clone()).collect::<HashSet<_>>();
    let (was, is) = (names(before), names(&succession.twins));
    let mut changes = Vec::new();
    for twin in &succession.begun {
        let twin = succession.twins.twin(*twin);
        let twin_type = succession.twins.types[twin.type_index].name.clone();
        changes.push(match was.contains(&twin.name) {
            true => ModelChange::TwinChanged(twin.name.clone(), twin_type),
            false => ModelChange::TwinAdded(twin.name.clone(), twin_type),
        });
    }
    let gone = succession.ended.iter().map(|twin| &before.twin(*twin).name).filter(|name| !is.contains(*name));
    changes.extend(gone.map(|name| ModelChange::TwinRemoved(name.clone())));
    let name = |plcs: &Plcs, plc| plcs.get(plc).map_or_else(String::new, |plc| plc.config.name.clone());
    for plc in new.ids().filter(|plc| !old.has(*plc)) {
        let name = name(new, plc);
        changes.push(if old.named(&name).is_some() {
            ModelChange::PlcChanged(name)
        } else {
            ModelChange::PlcAdded(name)
        });
    }
    let gone = old.ids().map(|plc| name(old, plc)).filter(|name| new.named(name).is_none());
    changes.extend(gone.map(ModelChange::PlcRemoved));
    changes
}
