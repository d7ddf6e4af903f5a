//! Derived variables beside what they follow from: live, as their inputs change; and their history anew where that of an input was filled or a
//! sample came late.

use std::{collections::HashMap, mem, ops::Range, time::Duration};

use super::{Gap, Ingest, Output};
use crate::{
    history::writer::HistoryMessage,
    sample::{Sample, SeriesId, StatusCode, TwinId},
    time::Timestamp,
    twin::{Derivation, Facet, Latest, Succession, TwinType, Twins},
};

/// History of a twin's derived variables to be made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rederive {
    /// Whose.
    pub twin: TwinId,
    /// Of when.
    pub times: Range<Timestamp>,
}

/// How long after the last change of an input's past what follows is made anew.
const AFTER: Duration = Duration::from_millis(1500);
/// Scheduled further ahead than this: the clock was set back.
const FAR: Duration = Duration::from_secs(10);

/// See the file's head.
pub(super) struct Derive {
    /// By twin type.
    plans: Vec<Derivation>,
    latest: HashMap<TwinId, Latest>,
    /// What has changed since anything was last derived.
    changed: Vec<(TwinId, usize, Sample)>,
    /// From when on a twin's past has changed, and when to look.
    due: HashMap<TwinId, (Timestamp, Timestamp)>,
}

impl Derive {
    pub(super) fn new(configured: &Twins) -> Self {
        Self { plans: plans(&configured.types), latest: HashMap::new(), changed: Vec::new(), due: HashMap::new() }
    }

    /// Another config takes effect.
    pub(super) fn succeed(&mut self, of: &Succession) {
        self.plans.extend(plans(&of.twins.types[self.plans.len()..]));
        for twin in &of.ended {
            self.latest.remove(twin);
            self.due.remove(twin);
        }
        self.changed.retain(|(twin, ..)| of.twins.is_there(*twin));
    }

    /// Whether anything is derived at all.
    pub(super) fn is_any(&self) -> bool {
        self.plans.iter().any(|plan| !plan.is_empty())
    }

    fn is_root(&self, configured: &Twins, twin: TwinId, variable: usize) -> bool {
        let plan = &self.plans[configured.twin(twin).type_index];
        plan.is_root(&configured.type_of(twin).variables, variable)
    }

    /// A variable has another present sample.
    pub(super) fn on_sample(&mut self, configured: &Twins, (twin, variable): (TwinId, usize), sample: &Sample) {
        if self.is_root(configured, twin, variable) {
            self.changed.push((twin, variable, sample.clone()));
        }
    }

    /// A variable's past is another from `from` on.
    pub(super) fn past_changed(
        &mut self,
        configured: &Twins,
        (twin, variable): (TwinId, usize),
        from: Timestamp,
        now: Timestamp,
    ) {
        if !self.is_root(configured, twin, variable) {
            return;
        }
        let (variables, plan) = (&configured.type_of(twin).variables, &self.plans[configured.twin(twin).type_index]);
        if plan.roots(variables).all(|root| variables[root].historize) {
            let (first, due) = self.due.entry(twin).or_insert((from, now));
            (*first, *due) = (from.min(*first), now + AFTER);
        }
    }

    /// What is due. The newest samples stand: they follow from the present.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Rederive> {
        let mut due = Vec::new();
        self.due.retain(|twin, (from, at)| {
            if *at > now && *at <= now + FAR {
                return true;
            }
            let newest = self.latest.get(twin).and_then(Latest::newest).unwrap_or(now);
            if newest > *from {
                due.push(Rederive { twin: *twin, times: *from..newest });
            }
            false
        });
        due.sort_by_key(|rederive| rederive.twin);
        due
    }

    /// Nobody takes these now.
    pub(super) fn put_back(&mut self, given_up: &[Rederive]) {
        for Rederive { twin, times } in given_up {
            let (first, _) = self.due.entry(*twin).or_insert((times.start, Timestamp::NULL));
            *first = times.start.min(*first);
        }
    }
}

impl Ingest {
    /// What was stored of derived variables in an earlier run is followed by a gap, if something that they follow from comes from a PLC.
    pub(super) fn begin_derived(
        &mut self,
        twins: &[TwinId],
        now: Timestamp,
        stored_until: impl Fn(SeriesId) -> Option<Timestamp>,
    ) {
        if !self.derive.is_any() {
            return;
        }
        let configured = self.state.configured();
        for twin in twins {
            for series in sourced(&configured, *twin, &self.derive.plans[configured.twin(*twin).type_index]) {
                if let Some(last) = stored_until(series) {
                    self.open_gap_after(series, last, now);
                }
            }
        }
    }

    /// What follows from the changes since the last call, taken for those of one instant.
    pub(super) fn derive(&mut self, received: Timestamp, output: &mut Output) {
        if self.derive.changed.is_empty() {
            return;
        }
        let configured = self.state.configured();
        let mut changed = mem::take(&mut self.derive.changed);
        changed.sort_by_key(|(twin, ..)| *twin);
        for of_twin in changed.chunk_by(|a, b| a.0 == b.0) {
            let twin = of_twin[0].0;
            let (twin_type, derive) = (configured.type_of(twin), &mut self.derive);
            let plan = &derive.plans[configured.twin(twin).type_index];
            let of_twin = of_twin.iter().map(|(_, v, sample)| (*v, sample.clone()));
            let latest = derive.latest.entry(twin).or_default();
            for (v, sample) in latest.follow(plan, &twin_type.variables, of_twin, received) {
                self.take_derived(configured.series(twin, Facet::Variable(v)), sample, received, output);
            }
        }
    }

    fn take_derived(&mut self, series: SeriesId, sample: Sample, received: Timestamp, output: &mut Output) {
        let is_open = self.gaps.is_open(series);
        if !sample.status.is_bad() {
            self.close_gap(series, &sample, received);
            self.keep(series, sample.clone());
        } else if !is_open || sample.status != StatusCode::BadNoCommunication {
            if !is_open {
                self.gaps.open(series, Gap { marker: sample.source_timestamp, sampling: self.sampling(series) });
            }
            self.keep(series, sample.clone());
        }
        self.show(series, sample, received, output);
    }

    /// History made anew: in the place of what was there.
    pub(super) fn on_derived(
        &mut self,
        now: Timestamp,
        Rederive { twin, times }: Rederive,
        samples: Vec<(usize, Sample)>,
        output: &mut Output,
    ) {
        let configured = self.state.configured();
        if !configured.is_there(twin) {
            return; // another has its series now
        }
        self.flush_store(output);
        for v in self.derive.plans[configured.twin(twin).type_index].order().to_vec() {
            let series = configured.series(twin, Facet::Variable(v));
            if configured.historized(series) {
                let remove = HistoryMessage::Remove { received: self.settled, series, times: times.clone() };
                output.history.push(remove);
                self.past_changed(series, now);
            }
        }
        for (v, sample) in samples {
            self.keep(configured.series(twin, Facet::Variable(v)), sample);
        }
    }
}

/// By type; the config has refused cycles.
fn plans(types: &[TwinType]) -> Vec<Derivation> {
    types.iter().map(|twin_type| Derivation::new(&twin_type.variables).unwrap_or_default()).collect()
}

/// The derived series of a twin that follow, at some remove, from a PLC's.
fn sourced(configured: &Twins, twin: TwinId, plan: &Derivation) -> Vec<SeriesId> {
    let (of, variables) = (configured.twin(twin), &configured.type_of(twin).variables);
    let mut is_sourced: Vec<bool> = of.sources.iter().map(Option::is_some).collect();
    let mut found = Vec::new();
    for v in plan.order() {
        let inputs = variables[*v].derived.as_ref().map_or(&[][..], |derived| derived.inputs.as_slice());
        is_sourced[*v] = inputs.iter().any(|input| is_sourced[*input]);
        if is_sourced[*v] {
            found.push(configured.series(twin, Facet::Variable(*v)));
        }
    }
    found
}
