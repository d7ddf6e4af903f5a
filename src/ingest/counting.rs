//! Which samples enter a variable's statistics, and when their window is filled from history: at the start, and when samples came
//! late. Whatever comes while history is read is noted, so that it is neither lost nor counted twice.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    history::writer::Watermark,
    sample::{Sample, SeriesId, TwinId, Value},
    statistics::{Rolling, correlation::Joint},
    time::Timestamp,
    twin::{Facet, TwinLive, TwinType, Twins},
};

/// Windows to be filled, once everything stored before they were asked for can be read.
#[derive(Debug)]
pub struct Refills {
    /// Which.
    pub of: Vec<Refill>,
    /// Answers when the writer has stored what came before.
    pub stored: oneshot::Receiver<Watermark>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    /// Whose.
    pub twin: TwinId,
    /// Of which variable.
    pub variable: usize,
    /// Comes back with the answer: one that has been overtaken does not count.
    pub number: u32,
}

/// What history gave.
#[derive(Clone, Debug)]
pub struct Refilled {
    /// The window.
    pub rolling: Rolling,
    /// The lot that it is of, where a lot decides.
    pub lot: Option<Value>,
}

/// What came while history was read.
#[derive(Clone, Copy, Debug)]
enum Noted {
    Value(Timestamp, f64),
    Hole(Timestamp),
}

#[derive(Debug)]
struct Pending {
    number: u32,
    noted: Vec<Noted>,
}

/// More than that while history is read (six minutes at 10 Hz): the window goes on with what came live.
const NOTED_MAX: usize = 4096;
/// Windows filled at a time: of 100,000 at a start, what comes meanwhile of the others is read with the rest.
const PENDING_MAX: usize = 4096;
/// A late sample waits that long for others, and as much longer as the window holds samples to be read: filling takes a tenth of
/// that.
const LATE: Duration = Duration::from_millis(1500);
const LATE_PER_SAMPLE: Duration = Duration::from_micros(10);
/// Scheduled further ahead than this: the clock was set back.
const FAR: Duration = Duration::from_secs(3600);

/// How long after a reference period what it holds is looked for, and again where it held nothing.
const REFERENCE_AFTER: Duration = Duration::from_secs(5);
const REFERENCE_AGAIN: Duration = Duration::from_secs(60);
/// Reference periods asked for in a tick: each is read with its variable's window.
const REFERENCES_MAX: usize = 64;

/// State of the stage that belongs to statistics.
#[derive(Debug)]
pub(super) struct Counting {
    /// By type and variable: the variables whose lot it is.
    lot_of: Vec<Vec<Vec<usize>>>,
    /// The last value of each lot variable.
    lots: HashMap<SeriesId, Value>,
    /// Windows to be filled, and when.
    due: HashMap<SeriesId, Timestamp>,
    pending: HashMap<SeriesId, Pending>,
    number: u32,
    /// Variables whose reference period is not read yet as far as is known, and when to look.
    references: BinaryHeap<Reverse<(Timestamp, SeriesId)>>,
    /// Values of a type's variables, for conditions.
    values: Vec<f64>,
}

impl Counting {
    pub(super) fn new(configured: &Twins) -> Self {
        let of_variable = |twin_type: &TwinType, lot: usize| {
            let of = twin_type.variables.iter().enumerate().filter(|(_, v)| v.has_statistics());
            of.filter(|(_, v)| v.statistics.lot == Some(lot)).map(|(index, _)| index).collect()
        };
        let lot_of = |twin_type: &TwinType| (0..twin_type.variables.len()).map(|v| of_variable(twin_type, v)).collect();
        Self {
            lot_of: configured.types.iter().map(lot_of).collect(),
            lots: HashMap::new(),
            due: HashMap::new(),
            pending: HashMap::new(),
            number: 0,
            references: references(configured),
            values: Vec::new(),
        }
    }

    /// Takes a new present sample of a variable into its statistics, and begins anew those whose lot it changes.
    pub(super) fn on_sample(
        &mut self,
        configured: &Twins,
        (twin, variable): (TwinId, usize),
        live: &mut TwinLive,
        sample: &Sample,
    ) {
        let twin_type = configured.type_of(twin);
        if !self.lot_of[configured.twin(twin).type_index][variable].is_empty() {
            self.on_lot(configured, (twin, variable), live, sample);
        }
        let settings = &twin_type.variables[variable].statistics;
        let mut counts = settings.usable(sample);
        if let (Some(_), Some(when)) = (counts, &settings.when) {
            self.values.clear();
            self.values.resize(twin_type.variables.len(), f64::NAN);
            for (v, _) in when.uses().iter().enumerate().filter(|(_, used)| **used) {
                let of = if v == variable { sample } else { live.sample(twin_type, Facet::Variable(v)) };
                self.values[v] = of.usable().unwrap_or(f64::NAN);
            }
            counts = counts.filter(|_| when.holds(&self.values));
        }
        let at = sample.source_timestamp;
        let column = twin_type.correlate.as_ref().and_then(|of| of.column(variable));
        if let (Some(joint), Some(column)) = (&mut live.joint, column) {
            joint.add(column, at, counts);
        }
        let Some(rolling) = &mut live.statistics[variable] else { return };
        let noted = match counts {
            Some(y) => {
                rolling.add(at, y);
                Noted::Value(at, y)
            }
            None => {
                rolling.interrupt(at);
                Noted::Hole(at)
            }
        };
        if !self.pending.is_empty() {
            self.note(configured.series(twin, Facet::Variable(variable)), noted);
        }
    }

    /// A lot begins where its variable has another value than before.
    fn on_lot(&mut self, configured: &Twins, (twin, lot): (TwinId, usize), live: &mut TwinLive, sample: &Sample) {
        let series = configured.series(twin, Facet::Variable(lot));
        if sample.status.is_bad() || sample.value.is_null() {
            return;
        }
        match self.lots.insert(series, sample.value.clone()) {
            Some(before) if before != sample.value => {}
            _ => return,
        }
        let (of, at) = (configured.twin(twin), sample.source_timestamp);
        for v in self.lot_of[of.type_index][lot].clone() {
            self.cancel(configured.series(twin, Facet::Variable(v)));
            let Some(rolling) = &mut live.statistics[v] else { continue };
            // By one clock, what was sampled before the lot began is not of it, even if it comes later.
            if of.sources[v].is_some() == of.sources[lot].is_some() { rolling.restart(at) } else { rolling.reset() }
        }
        if configured.type_of(twin).statistics.lot == Some(lot) {
            live.statistics_since = at;
            live.joint.iter_mut().for_each(Joint::reset);
        }
    }

    fn note(&mut self, series: SeriesId, noted: Noted) {
        let Some(pending) = self.pending.get_mut(&series) else { return };
        if pending.noted.len() == NOTED_MAX {
            self.pending.remove(&series);
        } else {
            pending.noted.push(noted);
        }
    }

    /// The window of a series is to be filled from history at `at`, or later if that was said already.
    pub(super) fn schedule(&mut self, configured: &Twins, series: SeriesId, at: Timestamp) {
        let (twin, facet) = configured.locate(series);
        let Facet::Variable(v) = facet else { return };
        let variable = &configured.type_of(twin).variables[v];
        if variable.has_statistics() && variable.historize {
            self.due.insert(series, at);
        }
    }

    /// A late sample: it is in history, from where the window takes it in.
    pub(super) fn came_late(
        &mut self,
        configured: &Twins,
        series: SeriesId,
        received: Timestamp,
        rolling: Option<&Rolling>,
    ) {
        if let Some(rolling) = rolling.filter(|_| !self.due.contains_key(&series)) {
            let samples = u32::try_from(rolling.samples_held()).unwrap_or(u32::MAX);
            self.schedule(configured, series, received + LATE + LATE_PER_SAMPLE.saturating_mul(samples));
        }
    }

    /// What came of a series until now is stored: its past is not to be read again.
    pub(super) fn cancel(&mut self, series: SeriesId) {
        self.due.remove(&series);
        self.pending.remove(&series);
    }

    /// Asks for the windows of those whose reference period is over and has not been read: it is read along.
    pub(super) fn want_references(
        &mut self,
        configured: &Twins,
        now: Timestamp,
        is_known: impl Fn(TwinId, usize) -> bool,
    ) {
        let mut left = REFERENCES_MAX;
        let is_over = |of: &Reverse<(Timestamp, SeriesId)>| of.0.0 <= now;
        while left > 0
            && let Some(Reverse((_, series))) = self.references.peek().copied().filter(is_over)
        {
            self.references.pop();
            let (twin, Facet::Variable(variable)) = configured.locate(series) else { continue };
            if is_known(twin, variable) {
                continue; // for good: neither a reset nor a lot forgets it
            }
            if !self.due.contains_key(&series) && !self.pending.contains_key(&series) {
                self.schedule(configured, series, now);
                left -= 1;
            }
            self.references.push(Reverse((now + REFERENCE_AGAIN, series)));
        }
    }

    /// Windows whose time has come; from now on what comes of them is noted.
    pub(super) fn begin(&mut self, configured: &Arc<Twins>, now: Timestamp) -> Vec<Refill> {
        let is_due = |at: Timestamp| at <= now || at > now + FAR;
        let mut series: Vec<SeriesId> =
            self.due.iter().filter(|(_, at)| is_due(**at)).map(|(series, _)| *series).collect();
        series.sort_unstable();
        series.truncate(PENDING_MAX.saturating_sub(self.pending.len()));
        let begin = |series: SeriesId| {
            self.due.remove(&series);
            self.number = self.number.wrapping_add(1);
            self.pending.insert(series, Pending { number: self.number, noted: Vec::new() });
            match configured.locate(series) {
                (twin, Facet::Variable(variable)) => Some(Refill { twin, variable, number: self.number }),
                _ => None,
            }
        };
        series.into_iter().filter_map(begin).collect()
    }

    /// Nobody will answer these.
    pub(super) fn give_up(&mut self, configured: &Twins, refills: &[Refill]) {
        for refill in refills {
            self.pending.remove(&configured.series(refill.twin, Facet::Variable(refill.variable)));
        }
    }

    /// Puts what history gave in the place of the window, and behind it what came meanwhile.
    pub(super) fn fill(&mut self, configured: &Twins, refill: Refill, refilled: Refilled, live: &mut TwinLive) {
        let series = configured.series(refill.twin, Facet::Variable(refill.variable));
        if self.pending.get(&series).is_none_or(|pending| pending.number != refill.number) {
            return; // overtaken: by a reset, a lot, another filling
        }
        let Some(pending) = self.pending.remove(&series) else { return };
        let twin_type = configured.type_of(refill.twin);
        let settings = &twin_type.variables[refill.variable].statistics;
        if let (Some(lot), Some(value)) = (settings.lot, refilled.lot) {
            let lot = configured.series(refill.twin, Facet::Variable(lot));
            if *self.lots.entry(lot).or_insert_with(|| value.clone()) != value {
                return; // another lot has begun
            }
        }
        let Some(current) = &mut live.statistics[refill.variable] else { return };
        let mut rolling = refilled.rolling;
        for noted in pending.noted {
            match noted {
                Noted::Value(at, y) => rolling.add(at, y),
                Noted::Hole(at) if at > rolling.newest() => rolling.interrupt(at),
                Noted::Hole(_) => {}
            }
        }
        rolling.supersede(current);
        let start = rolling.summary(rolling.newest()).start;
        if !start.is_null() && rolling.newest() > Timestamp::NULL {
            live.statistics_since = live.statistics_since.min(start);
        }
        *current = rolling;
    }

    /// Begins all of a twin's statistics anew.
    pub(super) fn reset(&mut self, configured: &Twins, twin: TwinId, live: &mut TwinLive, now: Timestamp) {
        for (v, rolling) in live.statistics.iter_mut().enumerate() {
            let Some(rolling) = rolling else { continue };
            rolling.reset();
            self.cancel(configured.series(twin, Facet::Variable(v)));
        }
        live.joint.iter_mut().for_each(Joint::reset);
        live.statistics_since = now;
    }
}

/// When the reference period of each variable that has one can be read.
fn references(configured: &Twins) -> BinaryHeap<Reverse<(Timestamp, SeriesId)>> {
    let of_twin = |twin: TwinId| {
        let variables = configured.type_of(twin).variables.iter().enumerate();
        variables.filter(|(_, variable)| variable.is_numeric() && variable.historize).filter_map(
            move |(v, variable)| {
                let (_, end) = variable.statistics.reference?;
                Some(Reverse((end + REFERENCE_AFTER, configured.series(twin, Facet::Variable(v)))))
            },
        )
    };
    configured.ids().flat_map(of_twin).collect()
}
