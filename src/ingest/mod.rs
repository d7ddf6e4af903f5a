//! The one stage through which every sample goes: chain → TwinState → statistics → live model → history and subscribers.
//! Sole owner of the chains, the live models and the writing side of [`TwinState`]; time is an argument.
//!
//! Full: awaits (backpressure up to the sources, which drop and count). Ends when its input closes.

mod alarms;
mod command;
mod counting;
mod derive;
mod drift;
mod filters;
mod gap;
mod live_model;
mod succession;
mod task;
mod tell;

pub use command::{Command, ConditionAt, Output};
pub use counting::{Collection, Filled, Refill, Refilled, Refills};
pub use derive::Rederive;
pub use drift::{DriftChore, changed_since};
pub use live_model::Standing;
pub use succession::Successor;
pub use task::{Changes, Channels, run};
pub use tell::with_figures;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    event::EventIds,
    history::writer::HistoryMessage,
    program::ProgramState,
    sample::{Sample, SeriesId, StatusCode, TwinId, Value},
    southbound::{Event, PlcId, Plcs},
    time::Timestamp,
    twin::{Facet, FitState, InForce, TwinState, Twins},
};
use counting::Counting;
use derive::Derive;
use filters::{Filters, Passed};
use gap::{Gap, Gaps};
use live_model::{LiveModel, Tools};

/// What stood in history when the program started.
pub type StoredUntil = Box<dyn Fn(SeriesId) -> Option<Timestamp> + Send>;

/// The stage.
pub struct Ingest {
    state: Arc<TwinState>,
    filters: Filters,
    /// By twin; `None`: no model.
    models: Vec<Option<LiveModel>>,
    /// Working memory of the simulations, by twin type.
    tools: Vec<Option<Tools>>,
    gaps: Gaps,
    derive: Derive,
    counting: Counting,
    /// The sourced variables of each PLC.
    by_plc: Vec<Vec<SeriesId>>,
    /// Where the PLCs are, for what is told of them.
    plcs: Arc<Plcs>,
    /// Whether each PLC was last told to be there.
    is_connected: Vec<Option<bool>>,
    limits: HashMap<SeriesId, alarms::Limits>,
    /// By twin; `None`: not watched.
    drift: Vec<Option<Box<drift::Watched>>>,
    ids: EventIds,
    /// Samples of the step at hand, before they become one history message.
    store: Vec<(SeriesId, Sample)>,
    /// Everything received before this has passed through here: what history may promise, once it is flushed.
    settled: Timestamp,
}

/// A sample is stamped as received a moment before it gets here; the promise stays that far behind.
const IN_FLIGHT: Duration = Duration::from_millis(100);

/// How far back a time must be for the clock to have been set back.
const STEP_BACK: Duration = Duration::from_secs(2);

/// How long after the last backfilled sample a live model is started from history.
const WARM_START_AFTER: Duration = Duration::from_millis(1500);

impl Ingest {
    /// Ready for the first sample.
    #[must_use]
    pub fn new(state: Arc<TwinState>, plcs: usize) -> Self {
        let configured = state.configured();
        let models = configured.ids().map(|id| LiveModel::new(&configured, id)).collect();
        let tools = configured.types.iter().map(|t| t.model.as_ref().map(|spec| Tools::new(&spec.model))).collect();
        Self {
            limits: alarms::limits(&state, configured.ids()),
            drift: configured.ids().map(|twin| drift::watched(&configured, twin)).collect(),
            state,
            filters: Filters::new(&configured),
            models,
            tools,
            gaps: Gaps::default(),
            derive: Derive::new(&configured),
            counting: Counting::new(&configured),
            by_plc: by_plc(&configured, plcs),
            plcs: Arc::default(),
            is_connected: vec![None; plcs],
            ids: EventIds::default(),
            store: Vec::new(),
            settled: Timestamp::NULL,
        }
    }

    /// Tells of the PLCs too, by their names.
    #[must_use]
    pub fn telling_of(mut self, plcs: Arc<Plcs>) -> Self {
        self.plcs = plcs;
        self
    }

    /// Models go on from where they stood when the program ended: x at an instant.
    pub fn resume(&mut self, stood: impl IntoIterator<Item = (TwinId, (Timestamp, Vec<f64>))>) {
        stood.into_iter().for_each(|(twin, (at, x))| self.restart(twin, at, x));
    }

    /// The first step: what was stored in an earlier run is followed by a gap, and the parameters in force are on record.
    pub fn begin(&mut self, now: Timestamp, stored_until: &StoredUntil, output: &mut Output) {
        self.settle(now);
        for series in self.by_plc.iter().flatten().copied().collect::<Vec<_>>() {
            if let Some(last) = stored_until(series) {
                self.open_gap_after(series, last, now);
            }
        }
        let twins: Vec<TwinId> = self.state.configured().ids().collect();
        self.begin_derived(&twins, now, stored_until);
        let configured = self.state.configured();
        for twin in configured.ids() {
            self.begin_twin(twin, now, |series| stored_until(series).is_some(), output);
        }
        self.flush_store(output);
    }

    /// Parameters are on record, and what history holds is asked for.
    fn begin_twin(&mut self, twin: TwinId, now: Timestamp, is_stored: impl Fn(SeriesId) -> bool, output: &mut Output) {
        self.record_parameters(twin, now, |_| true, output);
        let configured = self.state.configured();
        for (v, variable) in configured.type_of(twin).variables.iter().enumerate() {
            let series = configured.series(twin, Facet::Variable(v));
            if variable.has_statistics() && variable.historize && is_stored(series) {
                self.counting.schedule(&configured, series, now);
            }
        }
        self.relearn(twin, output);
    }

    /// What came from the PLCs.
    pub fn on_event(&mut self, now: Timestamp, event: Event, output: &mut Output) {
        match event {
            Event::Samples { samples, received } => {
                self.on_samples(received, samples, output);
                self.settle(received);
            }
            Event::Lost { plc, at } => {
                self.on_lost(plc, at, output);
                self.tell_connection(plc, at, false, now, output);
            }
            Event::Connected { plc } => self.tell_connection(plc, now, true, now, output),
            Event::ItemFailed { series, at, status } => self.silence(series, at, status, output),
            Event::Backfill { series, samples } => self.on_backfill(now, series, samples, output),
        }
        self.derive(now, output);
        self.flush_store(output);
    }

    /// What a client or a job asks.
    pub fn on_command(&mut self, now: Timestamp, command: Command, output: &mut Output) {
        match command {
            Command::Parameters { twin, in_force, state, by, reply } => {
                self.put_in_force(now, twin, in_force, state, &by, output);
                let _ = reply.send(()); // a caller that has gone doesn't undo it
            }
            Command::Restart { twin, at, state } => {
                self.restart(twin, at, state);
            }
            Command::Standing { twin, reply } => {
                let _ = reply.send(self.standing(twin));
            }
            Command::LastFit(twin, last_fit) => {
                let fit = last_fit.state;
                self.tell_fit(twin, &last_fit, now, output);
                self.state.write(twin).last_fit = *last_fit;
                self.follow(twin, fit, now, output); // last: who sees the program's end finds its result
            }
            Command::Progress(twin, percent) => {
                let program = &mut self.state.write(twin).program;
                if program.state == ProgramState::Running && percent > program.progress {
                    program.progress = percent;
                    output.programs.push((twin, *program));
                }
            }
            Command::Program { twin, ask, reply } => {
                let mut live = self.state.write(twin);
                let before = live.program.state;
                let is_done = live.program.asked(ask).is_some_and(|to| live.program.go(to, now));
                drop(live);
                if is_done {
                    self.tell_program(twin, before, now, output);
                }
                let _ = reply.send(is_done); // a caller that has gone doesn't undo it
            }
            Command::Succeed { successor, reply } => {
                self.succeed(*successor, now, output);
                let _ = reply.send(()); // whoever has gone doesn't undo it
            }
            Command::Write { twin, variable, sample } => {
                let series = self.state.configured().series(twin, Facet::Variable(variable));
                self.on_samples(now, vec![(series, sample)], output);
            }
            Command::Condition { of, ask, user, reply } => {
                let _ = reply.send(self.ask_condition(of, ask, &user, now, output));
            }
            Command::Learned { twin, tests } => self.learned(twin, tests, now, output),
            Command::CertificateExpires(end) => self.watch_certificate(end, now, output),
            Command::Tell(event) => self.tell(*event, now, output),
            Command::ResetStatistics { twin, reply } => {
                self.counting.reset(twin, &mut self.state.write(twin), now);
                let _ = reply.send(()); // a caller that has gone doesn't undo it
            }
            Command::Refilled { refill, refilled } => self.on_refilled(refill, refilled),
            Command::Derived { piece, samples } => self.on_derived(now, piece, samples, output),
        }
        self.flush_store(output);
    }

    /// Once a second: models whose past has just been filled are started from it, and the writer learns that time passes.
    /// `idle`: no event waits, so that everything received a moment ago has passed.
    pub fn tick(&mut self, now: Timestamp, idle: bool, output: &mut Output) {
        if idle {
            self.settle(now);
        }
        let configured = self.state.configured();
        let passed = self.filters.tick(&configured, now);
        self.take(now, passed, output);
        self.flush_store(output);
        self.watch_time(now, output);
        self.ask_for_fits(now, output);
        for (index, model) in self.models.iter_mut().enumerate() {
            if model.as_mut().is_some_and(|model| model.warm_start_due(now)) {
                output.warm_starts.push(TwinId(u32::try_from(index).unwrap_or(u32::MAX)));
            }
        }
        let is_known = |twin: TwinId, variable: usize| {
            let reference = self.state.read(twin).statistics[variable].as_ref().and_then(|rolling| rolling.reference);
            reference.is_some_and(|reference| reference.moving_range.is_finite())
        };
        self.counting.want_references(&self.state.configured(), now, is_known);
        let (refills, derive) = (self.counting.begin(now), self.derive.begin(now));
        if !refills.is_empty() || !derive.is_empty() {
            let (reply, stored) = oneshot::channel();
            output.history.push(HistoryMessage::Flush(reply));
            output.refills.push(Refills { of: refills, derive, stored });
        }
        output.history.push(HistoryMessage::Tick(self.settled));
    }

    /// Nobody takes these: their windows go on with what comes.
    pub fn give_up(&mut self, refills: &Refills) {
        self.counting.give_up(&refills.of);
        self.derive.put_back(&refills.derive);
    }

    fn on_refilled(&mut self, refill: Refill, refilled: Option<Box<Refilled>>) {
        let configured = self.state.configured();
        match refilled {
            Some(refilled) => {
                self.counting.fill(&configured, refill, *refilled, &mut self.state.write(refill.twin));
            }
            None => self.counting.give_up(&[refill]),
        }
    }

    fn on_samples(&mut self, received: Timestamp, samples: Vec<(SeriesId, Sample)>, output: &mut Output) {
        let configured = self.state.configured();
        let mut passed = Vec::with_capacity(samples.len());
        for sample in samples {
            self.filters.apply(&configured, sample, received, &mut passed);
        }
        self.take(received, passed, output);
    }

    /// What has passed the filters. Where something is derived, in the order of its instants: what follows stands between them.
    fn take(&mut self, received: Timestamp, mut passed: Passed, output: &mut Output) {
        let is_any_derived = self.derive.is_any();
        if is_any_derived {
            passed.sort_by_key(|(_, sample)| sample.source_timestamp);
        }
        let mut instant = Timestamp::NULL;
        for (series, sample) in passed {
            if is_any_derived && sample.source_timestamp != instant {
                self.derive(received, output);
                instant = sample.source_timestamp;
            }
            self.close_gap(series, &sample, received);
            self.keep(series, sample.clone());
            self.show(series, sample, received, output);
        }
        self.derive(received, output);
    }

    /// A gap begins with one Bad sample; every time inside it reads back Bad.
    fn on_lost(&mut self, plc: PlcId, at: Timestamp, output: &mut Output) {
        for series in self.by_plc.get(plc.0 as usize).cloned().unwrap_or_default() {
            self.silence(series, at, StatusCode::BadNoCommunication, output);
        }
    }

    /// What was stored is followed by a gap.
    fn open_gap_after(&mut self, series: SeriesId, last: Timestamp, now: Timestamp) {
        let marker = last.next();
        self.gaps.open(series, Gap { marker, sampling: self.sampling(series) });
        self.keep(series, Sample { server_timestamp: now, ..Sample::bad(marker, StatusCode::BadNoCommunication) });
    }

    fn silence(&mut self, series: SeriesId, at: Timestamp, status: StatusCode, output: &mut Output) {
        let (twin, facet) = self.state.configured().locate(series);
        let current = self.state.sample(twin, facet);
        if current.status == status && current.value.is_null() {
            return; // said already
        }
        self.filters.interrupt(series);
        // A PLC's clock may be ahead of ours: the change of quality comes after the value it ends.
        let at = at.max(current.source_timestamp + Duration::from_nanos(100));
        let bad = Sample::bad(at, status);
        if !self.gaps.is_open(series) {
            self.gaps.open(series, Gap { marker: at, sampling: self.sampling(series) });
            self.keep(series, bad.clone());
        }
        self.show(series, bad, at, output);
    }

    /// The first sample after a gap. Where the PLC's value is older than the gap (it has not changed since), history gets
    /// it again at the instant at which the PLC vouched for it, its ServerTimestamp: else the gap would never end.
    fn close_gap(&mut self, series: SeriesId, sample: &Sample, received: Timestamp) {
        let Some(gap) = self.gaps.get(series) else { return };
        if sample.source_timestamp <= gap.marker && !sample.status.is_bad() {
            // Our clock may have been set back since the gap began: its end comes after its begin all the same.
            let vouched = if sample.server_timestamp > gap.marker { sample.server_timestamp } else { received };
            let vouched = vouched.max(gap.marker + Duration::from_nanos(100));
            let vouched = Sample { source_timestamp: vouched, ..sample.clone() };
            if let (twin, Facet::Variable(variable)) = self.state.configured().locate(series) {
                let (configured, mut live) = (self.state.configured(), self.state.write(twin));
                self.counting.on_sample(&configured, (twin, variable), &mut live, &vouched);
            }
            self.keep(series, vouched);
        }
        self.gaps.live_again(series);
    }

    fn on_backfill(&mut self, now: Timestamp, series: SeriesId, samples: Vec<Sample>, output: &mut Output) {
        let Some(first) = samples.first().map(|sample| sample.source_timestamp) else { return };
        let mut from = first;
        if let Some(marker) = self.gaps.bridged_by(series, first) {
            from = marker;
            self.flush_store(output);
            let times = marker..marker + Duration::from_nanos(100);
            output.history.push(HistoryMessage::Remove { received: self.settled, series, times });
        }
        let configured = self.state.configured();
        for (series, sample) in self.filters.backfill(&configured, series, samples, now) {
            self.keep(series, sample);
        }
        self.past_changed(series, now);
        if let (twin, Facet::Variable(variable)) = configured.locate(series) {
            self.derive.past_changed(&configured, (twin, variable), from, now);
        }
    }

    /// What was made of a series' past is made anew.
    fn past_changed(&mut self, series: SeriesId, now: Timestamp) {
        let (twin, _) = self.state.configured().locate(series);
        if let Some(model) = &mut self.models[twin.index()] {
            model.schedule_warm_start(now + WARM_START_AFTER);
        }
        self.counting.schedule(&self.state.configured(), series, now + WARM_START_AFTER);
    }

    /// Live value, statistics and, where the variable is part of it, the model.
    fn show(&mut self, series: SeriesId, sample: Sample, received: Timestamp, output: &mut Output) {
        let configured = self.state.configured();
        let (twin, facet) = configured.locate(series);
        let Facet::Variable(variable) = facet else { return };
        let twin_type = configured.type_of(twin);
        let mut live = self.state.write(twin);
        let current = live.sample(twin_type, facet);
        if sample.source_timestamp < current.source_timestamp && !current.status.is_bad() {
            // What is only late comes with a ServerTimestamp of about now. Where that is old too a clock was set back, and the
            // present must not stand still until it has caught up.
            let server = sample.server_timestamp;
            let is_set_back = !server.is_null() && server + STEP_BACK < current.server_timestamp;
            if !is_set_back {
                // History has it, the present goes on; statistics take it in from there.
                self.counting.came_late(&configured, (twin, variable), received, live.statistics[variable].as_ref());
                self.derive.past_changed(&configured, (twin, variable), sample.source_timestamp, received);
                return;
            }
            self.counting.cancel((twin, Collection::Variable(variable)));
            if let Some(rolling) = &mut live.statistics[variable] {
                rolling.restart(sample.source_timestamp);
            }
            self.counting.forget_joint(twin, &mut live);
        }
        self.derive.on_sample(&configured, (twin, variable), &sample);
        self.counting.on_sample(&configured, (twin, variable), &mut live, &sample);
        live.set_sample(twin_type, facet, sample.clone());
        output.changed.push(series);
        if twin_type.variables[variable].alarm.is_some() {
            drop(live);
            self.watch_limits(series, &sample, received, output);
            live = self.state.write(twin);
        }
        let tools = &mut self.tools[configured.twin(twin).type_index];
        if let (Some(model), Some(spec), Some(tools)) = (&mut self.models[twin.index()], &twin_type.model, tools) {
            let produced = model.on_sample(tools, spec, &live.parameters, variable, &sample, received);
            let mut residuals = Vec::new();
            for (facet, sample) in produced {
                let series = configured.series(twin, facet);
                live.set_sample(twin_type, facet, sample.clone());
                output.changed.push(series);
                if let (Facet::Residual(k), Some(_)) = (facet, &self.drift[twin.index()]) {
                    residuals.push((k, sample.clone()));
                }
                self.store.push((series, sample));
            }
            drop(live);
            self.watch_residuals(twin, &residuals, received, output);
        }
    }

    fn put_in_force(
        &mut self,
        now: Timestamp,
        twin: TwinId,
        in_force: InForce,
        state: Option<(Timestamp, Vec<f64>)>,
        by: &str,
        output: &mut Output,
    ) {
        let values = in_force.values.clone();
        let previous = self.state.read(twin).revision;
        let before = self.state.write(twin).put_in_force(in_force);
        if let Some((at, state)) = state {
            self.restart(twin, at, state);
        }
        self.record_parameters(twin, now, |p| before[p].to_bits() != values[p].to_bits(), output);
        self.tell_revision(twin, (&before, previous), by, now, output);
        let revision = self.state.read(twin).revision;
        self.forget_drift(twin, revision, now, output);
    }

    /// The program is the fit, whoever began it: it runs with it and ends as it ends.
    fn follow(&mut self, twin: TwinId, fit: FitState, now: Timestamp, output: &mut Output) {
        let state = self.state.read(twin).program.state;
        let is_at_work = matches!(state, ProgramState::Running | ProgramState::Suspended);
        let way: &[ProgramState] = match fit {
            // Nothing leads from Halted to Running: `Fit` needs no Reset.
            FitState::Running if state == ProgramState::Halted => &[ProgramState::Ready, ProgramState::Running],
            FitState::Running => &[ProgramState::Running],
            FitState::Completed if is_at_work => &[ProgramState::Running, ProgramState::Ready],
            FitState::Failed | FitState::Cancelled if is_at_work => &[ProgramState::Halted],
            _ => &[],
        };
        for to in way {
            let before = self.state.read(twin).program.state;
            if self.state.write(twin).program.go(*to, now) {
                self.tell_program(twin, before, now, output);
            }
        }
    }

    fn restart(&mut self, twin: TwinId, at: Timestamp, state: Vec<f64>) {
        let configured = self.state.configured();
        let spec = configured.type_of(twin).model.as_ref();
        if let (Some(model), Some(spec)) = (&mut self.models[twin.index()], spec) {
            model.restart(spec, at, state);
        }
    }

    fn standing(&self, twin: TwinId) -> Option<Standing> {
        let configured = self.state.configured();
        let spec = configured.type_of(twin).model.as_ref()?;
        self.models[twin.index()].as_ref()?.standing(&spec.model, &self.state.read(twin).parameters)
    }

    /// The revision too.
    fn record_parameters(&mut self, twin: TwinId, now: Timestamp, which: impl Fn(usize) -> bool, output: &mut Output) {
        let configured = self.state.configured();
        let twin_type = configured.type_of(twin);
        let mut live = self.state.write(twin);
        if twin_type.model.is_none() {
            return;
        }
        let parameters = (0..live.parameters.len()).filter(|p| which(*p));
        let mut values: Vec<_> = parameters.map(|p| (Facet::Parameter(p), Value::Double(live.parameters[p]))).collect();
        values.push((Facet::Revision, Value::UInt32(live.revision)));
        for (facet, value) in values {
            let sample = Sample { value, ..Sample::good(now, 0.0) };
            let series = configured.series(twin, facet);
            live.set_sample(twin_type, facet, sample.clone());
            output.changed.push(series);
            self.store.push((series, sample));
        }
    }

    fn keep(&mut self, series: SeriesId, sample: Sample) {
        if self.state.configured().historized(series) {
            self.store.push((series, sample));
        }
    }

    /// Sources overtake each other by less than `STEP_BACK`; beyond that the host's clock was set back, and the writer must
    /// learn it: with a time that stands still for as long it would not flush.
    fn settle(&mut self, received: Timestamp) {
        let settled = received - IN_FLIGHT;
        if settled > self.settled || settled + STEP_BACK < self.settled {
            self.settled = settled;
        }
    }

    fn flush_store(&mut self, output: &mut Output) {
        if !self.store.is_empty() {
            output
                .history
                .push(HistoryMessage::Batch { received: self.settled, samples: std::mem::take(&mut self.store) });
        }
    }

    fn sampling(&self, series: SeriesId) -> Duration {
        let configured = self.state.configured();
        match configured.locate(series) {
            (twin, Facet::Variable(v)) => configured.type_of(twin).variables[v].sampling_interval,
            _ => Duration::ZERO,
        }
    }
}

/// The sourced variables of each PLC.
fn by_plc(configured: &Twins, plcs: usize) -> Vec<Vec<SeriesId>> {
    let mut by_plc = vec![Vec::new(); plcs];
    for id in configured.ids() {
        let twin = configured.twin(id);
        let Some(of_plc) = twin.plc.and_then(|plc| by_plc.get_mut(plc.0 as usize)) else { continue };
        let sourced = twin.sources.iter().enumerate().filter(|(_, source)| source.is_some());
        of_plc.extend(sourced.map(|(v, _)| configured.series(id, Facet::Variable(v))));
    }
    by_plc
}
