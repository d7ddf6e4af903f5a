//! Which samples enter a variable's statistics, and when their window is filled from history: at the start, and when samples came
//! late. Whatever comes while history is read is noted, so that it is neither lost nor counted twice.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Duration,
};

use tokio::sync::oneshot;

use super::Rederive;
use crate::{
    history::writer::Watermark,
    sample::{Sample, SeriesId, TwinId, Value},
    statistics::{Rolling, correlation::Joint},
    time::Timestamp,
    twin::{CorrelateSettings, Facet, Succession, TwinLive, TwinType, Twins},
};

/// Windows to be filled, once everything stored before they were asked for can be read.
#[derive(Debug)]
pub struct Refills {
    /// Which.
    pub of: Vec<Refill>,
    /// Derived variables' history to be made anew, before them.
    pub derive: Vec<Rederive>,
    /// Answers when the writer has stored what came before.
    pub stored: oneshot::Receiver<Watermark>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    /// Whose.
    pub twin: TwinId,
    /// Of what.
    pub of: Collection,
    /// Comes back with the answer: one that has been overtaken does not count.
    pub number: u32,
}

/// What a twin collects in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Collection {
    /// A variable's statistics.
    Variable(usize),
    /// The correlation matrix.
    Joint,
}

/// What history gave.
#[derive(Clone, Debug)]
pub struct Refilled {
    /// The window.
    pub window: Filled,
    /// The lot that it is of, where a lot decides.
    pub lot: Option<Value>,
}

/// A window out of history.
#[derive(Clone, Debug)]
pub enum Filled {
    /// A variable's.
    Rolling(Rolling),
    /// The correlation matrix's.
    Joint(Joint),
}

/// What came while history was read: of a matrix in one of its columns, else in 0; `None`: a hole.
type Noted = (usize, Timestamp, Option<f64>);

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

type Key = (TwinId, Collection);

/// State of the stage that belongs to statistics.
#[derive(Debug)]
pub(super) struct Counting {
    /// By type and variable: the variables whose lot it is.
    lot_of: Vec<Vec<Vec<usize>>>,
    /// The last value of each lot variable.
    lots: HashMap<SeriesId, Value>,
    /// Windows to be filled, and when.
    due: HashMap<Key, Timestamp>,
    pending: HashMap<Key, Pending>,
    number: u32,
    /// Variables whose reference period is not read yet as far as is known, and when to look.
    references: BinaryHeap<Reverse<(Timestamp, SeriesId)>>,
    /// Values of a type's variables, for conditions.
    values: Vec<f64>,
}

impl Counting {
    pub(super) fn new(configured: &Twins) -> Self {
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

    /// Another config takes effect: what was to be filled of those who are gone is not.
    pub(super) fn succeed(&mut self, of: &Succession) {
        self.lot_of.extend(of.twins.types[self.lot_of.len()..].iter().map(lot_of));
        self.due.retain(|(twin, _), _| of.twins.is_there(*twin));
        self.pending.retain(|(twin, _), _| of.twins.is_there(*twin));
        self.references = references(&of.twins);
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
            self.note((twin, Collection::Joint), (column, at, counts));
        }
        let Some(rolling) = &mut live.statistics[variable] else { return };
        match counts {
            Some(y) => rolling.add(at, y),
            None => rolling.interrupt(at),
        }
        self.note((twin, Collection::Variable(variable)), (0, at, counts));
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
            self.cancel((twin, Collection::Variable(v)));
            let Some(rolling) = &mut live.statistics[v] else { continue };
            // By one clock, what was sampled before the lot began is not of it, even if it comes later.
            if of.sources[v].is_some() == of.sources[lot].is_some() { rolling.restart(at) } else { rolling.reset() }
        }
        if configured.type_of(twin).statistics.lot == Some(lot) {
            live.statistics_since = at;
            self.forget_joint(twin, live);
        }
    }

    /// The correlation matrix begins anew: what comes is of another lot, or of another time.
    pub(super) fn forget_joint(&mut self, twin: TwinId, live: &mut TwinLive) {
        self.cancel((twin, Collection::Joint));
        live.joint.iter_mut().for_each(Joint::reset);
    }

    fn note(&mut self, key: Key, noted: Noted) {
        if self.pending.is_empty() {
            return;
        }
        let Some(pending) = self.pending.get_mut(&key) else { return };
        if pending.noted.len() == NOTED_MAX {
            self.pending.remove(&key);
        } else {
            pending.noted.push(noted);
        }
    }

    /// What is collected of a series is to be filled from history at `at`, or later if that was said already.
    pub(super) fn schedule(&mut self, configured: &Twins, series: SeriesId, at: Timestamp) {
        let (twin, Facet::Variable(v)) = configured.locate(series) else { return };
        self.schedule_window(configured, (twin, v), at);
        let twin_type = configured.type_of(twin);
        let is_read = |of: &CorrelateSettings| of.variables.iter().all(|v| twin_type.variables[*v].historize);
        if twin_type.correlate.as_ref().is_some_and(|of| of.column(v).is_some() && is_read(of)) {
            self.due.insert((twin, Collection::Joint), at);
        }
    }

    fn schedule_window(&mut self, configured: &Twins, (twin, v): (TwinId, usize), at: Timestamp) {
        let variable = &configured.type_of(twin).variables[v];
        if variable.has_statistics() && variable.historize {
            self.due.insert((twin, Collection::Variable(v)), at);
        }
    }

    /// A late sample: it is in history, from where the window takes it in. Not the matrix, which says that it doesn't wait.
    pub(super) fn came_late(
        &mut self,
        configured: &Twins,
        (twin, variable): (TwinId, usize),
        received: Timestamp,
        rolling: Option<&Rolling>,
    ) {
        let key = (twin, Collection::Variable(variable));
        if let Some(rolling) = rolling.filter(|_| !self.due.contains_key(&key)) {
            let samples = u32::try_from(rolling.samples_held()).unwrap_or(u32::MAX);
            let at = received + LATE + LATE_PER_SAMPLE.saturating_mul(samples);
            self.schedule_window(configured, (twin, variable), at);
        }
    }

    /// What came until now is stored: its past is not to be read again.
    pub(super) fn cancel(&mut self, key: Key) {
        self.due.remove(&key);
        self.pending.remove(&key);
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
            let key = (twin, Collection::Variable(variable));
            if !self.due.contains_key(&key) && !self.pending.contains_key(&key) {
                self.schedule_window(configured, (twin, variable), now);
                left -= 1;
            }
            self.references.push(Reverse((now + REFERENCE_AGAIN, series)));
        }
    }

    /// Windows whose time has come; from now on what comes of them is noted.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Refill> {
        let is_due = |at: Timestamp| at <= now || at > now + FAR;
        let mut due: Vec<Key> = self.due.iter().filter(|(_, at)| is_due(**at)).map(|(key, _)| *key).collect();
        due.sort_unstable();
        due.truncate(PENDING_MAX.saturating_sub(self.pending.len()));
        let begin = |key: Key| {
            self.due.remove(&key);
            self.number = self.number.wrapping_add(1);
            self.pending.insert(key, Pending { number: self.number, noted: Vec::new() });
            Refill { twin: key.0, of: key.1, number: self.number }
        };
        due.into_iter().map(begin).collect()
    }

    /// Nobody will answer these.
    pub(super) fn give_up(&mut self, refills: &[Refill]) {
        for refill in refills {
            self.pending.remove(&(refill.twin, refill.of));
        }
    }

    /// Puts what history gave in the place of the window, and behind it what came meanwhile.
    pub(super) fn fill(&mut self, configured: &Twins, refill: Refill, refilled: Refilled, live: &mut TwinLive) {
        let key = (refill.twin, refill.of);
        if self.pending.get(&key).is_none_or(|pending| pending.number != refill.number) {
            return; // overtaken: by a reset, a lot, another filling
        }
        let Some(pending) = self.pending.remove(&key) else { return };
        let twin_type = configured.type_of(refill.twin);
        let lot = match refill.of {
            Collection::Variable(v) => twin_type.variables[v].statistics.lot,
            Collection::Joint => twin_type.statistics.lot,
        };
        if let (Some(lot), Some(value)) = (lot, refilled.lot) {
            let lot = configured.series(refill.twin, Facet::Variable(lot));
            if *self.lots.entry(lot).or_insert_with(|| value.clone()) != value {
                return; // another lot has begun
            }
        }
        match (refill.of, refilled.window) {
            (Collection::Variable(v), Filled::Rolling(rolling)) => put_window(live, v, rolling, pending.noted),
            (Collection::Joint, Filled::Joint(mut joint)) => {
                pending.noted.into_iter().for_each(|(column, at, value)| joint.add(column, at, value));
                live.joint = Some(joint);
            }
            (Collection::Variable(_), Filled::Joint(_)) | (Collection::Joint, Filled::Rolling(_)) => {}
        }
    }

    /// Begins all of a twin's statistics anew.
    pub(super) fn reset(&mut self, twin: TwinId, live: &mut TwinLive, now: Timestamp) {
        for (v, rolling) in live.statistics.iter_mut().enumerate() {
            let Some(rolling) = rolling else { continue };
            rolling.reset();
            self.cancel((twin, Collection::Variable(v)));
        }
        self.forget_joint(twin, live);
        live.statistics_since = now;
    }
}

/// By variable: the variables whose lot it is.
fn lot_of(twin_type: &TwinType) -> Vec<Vec<usize>> {
    let of_variable = |lot: usize| {
        let of = twin_type.variables.iter().enumerate().filter(|(_, v)| v.has_statistics());
        of.filter(|(_, v)| v.statistics.lot == Some(lot)).map(|(index, _)| index).collect()
    };
    (0..twin_type.variables.len()).map(of_variable).collect()
}

/// A variable's window out of history, with what came while it was read.
fn put_window(live: &mut TwinLive, variable: usize, mut rolling: Rolling, noted: Vec<Noted>) {
    let Some(current) = &mut live.statistics[variable] else { return };
    for (_, at, value) in noted {
        match value {
            Some(y) => rolling.add(at, y),
            None if at > rolling.newest() => rolling.interrupt(at),
            None => {}
        }
    }
    rolling.supersede(current);
    let start = rolling.summary(rolling.newest()).start;
    if !start.is_null() && rolling.newest() > Timestamp::NULL {
        live.statistics_since = live.statistics_since.min(start);
    }
    *current = rolling;
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
