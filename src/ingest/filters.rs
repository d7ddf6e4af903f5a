//! The chains of all series. What is backfilled passes chains of its own, which begin anew at each gap: a memory of the present is none of the
//! past's.

use std::{collections::HashMap, time::Duration};

use crate::{
    preprocess::{Chain, FilterSpec},
    sample::{Sample, SeriesId, TwinId},
    time::Timestamp,
    twin::{Facet, Twins, Variable},
};

/// A gap is filled once nothing more has come for so long; then its chain is let go.
const FILLED_AFTER: Duration = Duration::from_secs(60);

/// See the file's head.
pub(super) struct Filters {
    /// By series; `None` where a series has no filters.
    chains: Vec<Option<Chain>>,
    /// Those in which time passes.
    timed: Vec<SeriesId>,
    /// Of gaps that are being filled, and when that was last so.
    backfills: HashMap<SeriesId, (Chain, Timestamp)>,
}

/// What goes on, in order.
pub(super) type Passed = Vec<(SeriesId, Sample)>;

impl Filters {
    pub(super) fn new(configured: &Twins) -> Self {
        let mut filters = Self { chains: Vec::new(), timed: Vec::new(), backfills: HashMap::new() };
        filters.succeed(configured, configured.ids());
        filters
    }

    /// Another config takes effect: the chains of these twins begin anew.
    pub(super) fn succeed(&mut self, configured: &Twins, twins: impl IntoIterator<Item = TwinId>) {
        self.chains.resize_with(configured.series_len(), || None);
        for series in twins.into_iter().flat_map(|twin| configured.series_of(twin)) {
            let specs = specs(configured, *series);
            self.chains[series.index()] = (!specs.is_empty()).then(|| Chain::new(specs));
            self.backfills.remove(series);
        }
        let present = configured.ids().flat_map(|twin| configured.series_of(twin).iter().copied());
        let is_timed = |series: &SeriesId| specs(configured, *series).iter().any(|spec| spec.needs_time());
        self.timed = present.filter(is_timed).collect();
    }

    /// What goes on because a sample came.
    pub(super) fn apply(
        &mut self,
        configured: &Twins,
        (series, sample): (SeriesId, Sample),
        received: Timestamp,
        passed: &mut Passed,
    ) {
        let mut on = onward(configured, series, passed);
        match &mut self.chains[series.index()] {
            Some(chain) => chain.apply(sample, received, &mut on),
            None => on(sample),
        }
    }

    /// What goes on of samples that fill a gap.
    pub(super) fn backfill(
        &mut self,
        configured: &Twins,
        series: SeriesId,
        samples: Vec<Sample>,
        now: Timestamp,
    ) -> Passed {
        let mut passed = Vec::with_capacity(samples.len());
        if self.chains[series.index()].is_none() {
            samples.into_iter().for_each(onward(configured, series, &mut passed));
            return passed;
        }
        let specs = specs(configured, series);
        let (chain, last) = self.backfills.entry(series).or_insert_with(|| (Chain::new(specs), now));
        *last = now;
        for sample in samples {
            chain.apply(sample, now, &mut onward(configured, series, &mut passed));
        }
        passed
    }

    /// The series' source is silent: what comes next does not go on from what came, neither live nor out of another gap.
    pub(super) fn interrupt(&mut self, series: SeriesId) {
        if let Some(chain) = &mut self.chains[series.index()] {
            chain.interrupt();
            self.backfills.remove(&series);
        }
    }

    /// What goes on because time has passed.
    pub(super) fn tick(&mut self, configured: &Twins, now: Timestamp) -> Passed {
        let is_open = |last: Timestamp| now.saturating_since(last) < FILLED_AFTER && last <= now + FILLED_AFTER;
        self.backfills.retain(|_, (_, last)| is_open(*last));
        let mut passed = Vec::new();
        for series in &self.timed {
            if let Some(chain) = &mut self.chains[series.index()] {
                chain.tick(now, &mut onward(configured, *series, &mut passed));
            }
        }
        passed
    }
}

/// Takes what a chain lets go on, as the variable's type has it.
fn onward<'a>(configured: &'a Twins, series: SeriesId, passed: &'a mut Passed) -> impl FnMut(Sample) + 'a {
    let variable = variable(configured, series);
    move |sample| {
        let sample = match variable {
            Some(variable) => variable.fitted(sample),
            None => sample,
        };
        passed.push((series, sample));
    }
}

fn specs(configured: &Twins, series: SeriesId) -> &[FilterSpec] {
    variable(configured, series).map_or(&[][..], |variable| variable.preprocess.as_slice())
}

fn variable(configured: &Twins, series: SeriesId) -> Option<&Variable> {
    match configured.locate(series) {
        (twin, Facet::Variable(v)) => Some(&configured.type_of(twin).variables[v]),
        _ => None,
    }
}
