//! Another config, taken up while samples flow: those who are as they were go on untouched; the others begin as at a start.

use std::{collections::HashMap, sync::Arc};

use super::{Ingest, LiveModel, Output, Tools, alarms, by_plc, drift};
use crate::{
    event::Event,
    revisions::Restored,
    sample::{SeriesId, TwinId},
    southbound::Plcs,
    time::Timestamp,
    twin::{Facet, Succession, Twins},
};

/// What a config makes of the one before, and what history says of those who are new in it.
#[derive(Debug)]
pub struct Successor {
    /// Of the twins.
    pub succession: Succession,
    /// From now on.
    pub plcs: Arc<Plcs>,
    /// Parameters of those who are new.
    pub restored: Vec<Restored>,
    /// The newest event of each condition.
    pub conditions: Vec<Event>,
    /// SourceTimestamp of the newest sample of their series.
    pub stored_until: HashMap<SeriesId, Timestamp>,
}

impl Ingest {
    pub(super) fn succeed(&mut self, successor: Successor, now: Timestamp, output: &mut Output) {
        let Successor { succession, plcs, restored, conditions, stored_until } = successor;
        self.flush_store(output);
        let before = self.state.configured();
        let goes_on = gone_on(&before, &succession);
        let stood: Vec<_> = restored.iter().filter_map(Restored::standing).collect();
        let restored = restored.into_iter().map(|twin| (twin.twin, twin.in_force, twin.last_fit));
        self.state.succeed(&succession, now, restored, conditions);
        self.take_up(&succession, plcs);
        self.carry_over(&before, &succession, &goes_on, output);
        let after = |series: SeriesId| stored_until.get(&series).copied().filter(|_| !goes_on.contains_key(&series));
        for series in self.by_plc.iter().flatten().copied().collect::<Vec<_>>() {
            if let Some(last) = after(series) {
                self.open_gap_after(series, last, now);
            }
        }
        self.begin_derived(&succession.begun, now, after);
        self.resume(stood);
        for twin in succession.begun {
            self.begin_twin(twin, now, |series| stored_until.contains_key(&series), output);
        }
        self.flush_store(output);
    }

    /// Everything that the stage keeps by number.
    fn take_up(&mut self, succession: &Succession, plcs: Arc<Plcs>) {
        let twins = &succession.twins;
        self.filters.succeed(twins, succession.begun.iter().copied());
        let tools = twins.types[self.tools.len()..].iter();
        self.tools.extend(tools.map(|t| t.model.as_ref().map(|spec| Tools::new(&spec.model))));
        self.models.extend(succession.begun.iter().map(|twin| LiveModel::new(twins, *twin)));
        self.drift.extend(succession.begun.iter().map(|twin| drift::watched(twins, *twin)));
        for twin in &succession.ended {
            (self.models[twin.index()], self.drift[twin.index()]) = (None, None);
            twins.series_of(*twin).iter().for_each(|series| _ = self.limits.remove(series));
        }
        self.limits.extend(alarms::limits(&self.state, succession.begun.iter().copied()));
        self.gaps.retain(|series| twins.is_there(twins.locate(series).0));
        self.derive.succeed(succession);
        self.counting.succeed(succession);
        self.by_plc = by_plc(twins, plcs.numbers());
        self.is_connected.resize(plcs.numbers(), None);
        self.plcs = plcs;
    }

    /// What a variable shows stays until its source says more.
    fn carry_over(
        &mut self,
        before: &Twins,
        succession: &Succession,
        goes_on: &HashMap<SeriesId, TwinId>,
        output: &mut Output,
    ) {
        let twins = &succession.twins;
        for (series, was) in goes_on {
            let ((twin, to), (_, from)) = (twins.locate(*series), before.locate(*series));
            let sample = self.state.read(*was).sample(before.type_of(*was), from).clone();
            self.state.write(twin).set_sample(twins.type_of(twin), to, sample);
            output.changed.push(*series);
        }
    }
}

/// Variables of twins that have changed which come from where they came from, as they were; and whose they were.
fn gone_on(before: &Twins, succession: &Succession) -> HashMap<SeriesId, TwinId> {
    let mut goes_on = HashMap::new();
    for was in &succession.ended {
        for series in before.series_of(*was) {
            let ((is, to), (_, from)) = (succession.twins.locate(*series), before.locate(*series));
            let (Facet::Variable(to), Facet::Variable(from)) = (to, from) else { continue };
            let (old, new) = (before.twin(*was), succession.twins.twin(is));
            let same_source = old.plc == new.plc && old.sources[from] == new.sources[to];
            let (old, new) = (&before.type_of(*was).variables[from], &succession.twins.type_of(is).variables[to]);
            if is != *was
                && same_source
                && (old.data_type, old.array) == (new.data_type, new.array)
                && old.preprocess == new.preprocess
            {
                goes_on.insert(*series, *was);
            }
        }
    }
    goes_on
}
