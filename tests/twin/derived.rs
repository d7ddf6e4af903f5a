//! Derived variables at the ingest stage and in history: what follows, when, and how good it is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use uatwin::{
    history::{Direction, SharedStore, memory_store::MemoryStore, writer::HistoryMessage},
    ingest::{Command, Ingest, Output, Refills, StoredUntil},
    jobs::Jobs,
    revisions::Revisions,
    sample::{Sample, SeriesId, StatusCode, TwinId, Value},
    southbound::{Event, PlcId},
    time::{Clock, Timestamp},
    twin::{Facet, TwinState},
};

use crate::{at, twins};

const CONFIG: &str = r#"
[plc.line1]
endpoint = "opc.tcp://localhost:4841"
security_policy = "None"
[twin_type.Pump.variable]
Twice = { expr = "2*Power", alarm = { high = 100 } }
Power = { expr = "Flow*Pressure/Divisor" }
Flow = { source = "nsu=urn:plc;s=F" }
Pressure = { source = "nsu=urn:plc;s=P", data_type = "Int16" }
Divisor = {}
Runs = { expr = "Flow > 0", data_type = "Boolean" }
Level = { source = "nsu=urn:plc;s=L" }
[twin_type.Pump.model]
input.Power = {}
output.Level.expr = "Power"
[twin.P1]
type = "Pump"
plc = "line1"
"#;
const TWIN: TwinId = TwinId(0);
const TWICE: usize = 0;
const POWER: usize = 1;
const FLOW: usize = 2;
const PRESSURE: usize = 3;
const DIVISOR: usize = 4;
const RUNS: usize = 5;
const LEVEL: usize = 6;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        at(1000.0)
    }
}

struct Stage {
    ingest: Ingest,
    state: Arc<TwinState>,
    store: SharedStore,
    refills: Vec<Refills>,
    /// Names of the conditions that told of a change.
    told: Vec<Value>,
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self::after(|_| None);
        stage.write(0.0, DIVISOR, 10.0);
        stage
    }

    fn after(stored_until: impl Fn(SeriesId) -> Option<Timestamp> + Send + 'static) -> Self {
        let state = Arc::new(TwinState::new(twins(CONFIG), at(-1.0)));
        let store: SharedStore = Arc::new(MemoryStore::new(state.configured().series_len(), 10_000));
        let mut stage =
            Self { ingest: Ingest::new(Arc::clone(&state), 1), state, store, refills: Vec::new(), told: Vec::new() };
        let stored_until: StoredUntil = Box::new(stored_until);
        stage.step(|ingest, output| ingest.begin(at(-0.5), &stored_until, output));
        stage
    }

    fn step(&mut self, step: impl FnOnce(&mut Ingest, &mut Output)) {
        let mut output = Output::default();
        step(&mut self.ingest, &mut output);
        for message in output.history {
            match message {
                HistoryMessage::Batch { samples, .. } => self.store.append(&samples).unwrap(),
                HistoryMessage::Remove { series, times, .. } => self.store.remove(series, times).unwrap(),
                HistoryMessage::Events(_) | HistoryMessage::Tick(_) | HistoryMessage::Flush(_) => (),
            }
        }
        self.refills.extend(output.refills);
        self.told.extend(output.events.iter().filter_map(|event| event.field("ConditionName").cloned()));
    }

    fn series(&self, variable: usize) -> SeriesId {
        self.state.configured().series(TWIN, Facet::Variable(variable))
    }

    fn come(&mut self, now: f64, samples: impl IntoIterator<Item = (usize, Sample)>) {
        let samples = samples.into_iter().map(|(v, sample)| (self.series(v), sample)).collect();
        self.step(|ingest, output| ingest.on_event(at(now), Event::Samples { received: at(now), samples }, output));
    }

    fn write(&mut self, now: f64, variable: usize, value: f64) {
        let command = Command::Write { twin: TWIN, variable, sample: Sample::good(at(now), value) };
        self.step(|ingest, output| ingest.on_command(at(now), command, output));
    }

    fn live(&self, variable: usize) -> Sample {
        self.state.sample(TWIN, Facet::Variable(variable))
    }

    /// Second, value, status of all that is stored.
    fn stored(&self, variable: usize) -> Vec<(f64, Option<f64>, StatusCode)> {
        let all = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        let samples = self.store.read(self.series(variable), all, Direction::Forward, 1000).unwrap();
        let of = |s: &Sample| (s.source_timestamp.seconds_since(at(0.0)), s.value.as_f64(), s.status);
        samples.iter().map(of).collect()
    }

    /// Whatever is due by then is made anew from history; the spans that it is made for.
    async fn make_anew(&mut self, now: f64) -> Vec<(f64, f64)> {
        self.step(|ingest, output| ingest.tick(at(now), true, output));
        let (commands, mut asked) = mpsc::channel(64);
        let (revisions, _) = Revisions::open(Arc::clone(&self.store), self.state.configured(), at(now)).unwrap();
        let past = (revisions, HashMap::new());
        let (state, store) = (Arc::clone(&self.state), Arc::clone(&self.store));
        let jobs = Jobs::new(state, store, past, (commands, Arc::default()), Arc::new(Noon), (TaskTracker::new(), 2));
        let mut spans = Vec::new();
        for refills in std::mem::take(&mut self.refills) {
            let second = |time: Timestamp| time.seconds_since(at(0.0));
            spans.extend(refills.derive.iter().map(|derive| (second(derive.times.start), second(derive.times.end))));
            // The writer's answer is dropped: what came is in the store.
            jobs.refill(refills).await;
        }
        drop(jobs);
        while let Ok(command) = asked.try_recv() {
            self.step(|ingest, output| ingest.on_command(at(now), command, output));
        }
        spans
    }
}

fn good(second: f64, x: f64) -> Sample {
    Sample::good(at(second), x)
}

const GOOD: StatusCode = StatusCode::Good;

/// As a PLC's notification brings them: the samples of one item after those of another.
#[test]
fn what_changes_at_one_instant_gives_one_sample_of_what_follows_in_the_order_of_instants() {
    let mut stage = Stage::new();
    let flow = (1..=3).map(|t| (FLOW, good(f64::from(t), f64::from(t))));
    let pressure = (1..=3).map(|t| (PRESSURE, Sample { value: Value::Int16(10 * t), ..good(f64::from(t), 0.0) }));
    stage.come(3.5, flow.chain(pressure));
    assert_eq!(stage.stored(POWER), [(1.0, Some(1.0), GOOD), (2.0, Some(4.0), GOOD), (3.0, Some(9.0), GOOD)]);
    assert_eq!(stage.stored(TWICE), [(1.0, Some(2.0), GOOD), (2.0, Some(8.0), GOOD), (3.0, Some(18.0), GOOD)]);
    assert_eq!(stage.live(TWICE), Sample::good(at(3.0), 18.0));
    assert_eq!(stage.live(RUNS).value, Value::Boolean(true));
    let live = stage.state.read(TWIN);
    assert_eq!(live.statistics[POWER].as_ref().unwrap().summary(at(3.0)).count, 3, "it has statistics");
}

#[test]
fn it_stands_at_the_newest_of_its_inputs_times_and_follows_a_write_of_a_client() {
    let mut stage = Stage::new();
    stage.come(1.0, [(FLOW, good(1.0, 6.0))]);
    assert_eq!(stage.live(POWER).status, StatusCode::BadWaitingForInitialData, "an input has had no sample");
    stage.come(2.0, [(PRESSURE, good(2.0, 5.0))]);
    assert_eq!(stage.live(POWER), good(2.0, 3.0));
    stage.write(9.0, DIVISOR, 3.0);
    assert_eq!(stage.live(POWER), good(9.0, 10.0));
    stage.come(9.1, [(FLOW, good(8.0, 9.0))]);
    assert_eq!(stage.live(POWER), good(9.0, 15.0), "the flow of 8 is new, the divisor of 9 newer");
    assert_eq!(stage.stored(POWER).last(), Some(&(9.0, Some(15.0), GOOD)), "and takes the place of what stood there");
}

#[test]
fn it_is_as_good_as_the_worst_of_its_inputs() {
    let mut stage = Stage::new();
    stage.come(1.0, [(FLOW, good(1.0, 6.0)), (PRESSURE, good(1.0, 5.0))]);
    let high = StatusCode::from(StatusCode::UncertainSensorNotAccurate.bits() | 0x600);
    stage.come(2.0, [(FLOW, Sample { status: high, ..good(2.0, 6.0) })]);
    assert_eq!(stage.live(POWER).status, StatusCode::UncertainSensorNotAccurate, "the limit bits are the flow's own");
    let bad = |t| Sample { status: StatusCode::BadSensorFailure, ..good(t, 99.0) };
    stage.come(3.0, [(PRESSURE, bad(3.0)), (FLOW, good(3.0, 6.0))]);
    stage.come(4.0, [(PRESSURE, bad(4.0)), (FLOW, good(4.0, 6.0))]);
    assert_eq!(stage.live(TWICE), Sample::bad(at(3.0), StatusCode::BadSensorFailure), "said once");
    assert!(stage.live(RUNS).status.is_good(), "what does not follow from the pressure stays good");
    stage.come(5.0, [(PRESSURE, good(5.0, 5.0))]);
    assert_eq!(stage.live(TWICE), good(5.0, 6.0));
    assert_eq!(stage.stored(POWER).iter().map(|(t, ..)| *t).collect::<Vec<_>>(), [1.0, 2.0, 3.0, 5.0]);
    stage.write(6.0, DIVISOR, 0.0);
    assert_eq!(stage.live(POWER), Sample::bad(at(6.0), StatusCode::BadOutOfRange), "a division by zero");
}

#[test]
fn a_lost_plc_takes_what_follows_with_it_and_brings_it_back() {
    let mut stage = Stage::new();
    let unchanged = [(FLOW, good(1.0, 6.0)), (PRESSURE, good(1.0, 5.0))];
    stage.come(1.0, unchanged.clone());
    stage.step(|ingest, output| ingest.on_event(at(5.0), Event::Lost { plc: PlcId(0), at: at(5.0) }, output));
    let lost = StatusCode::BadNoCommunication;
    assert_eq!((stage.live(POWER).status, stage.live(TWICE).status), (lost, lost));
    let vouched = unchanged.map(|(v, sample)| (v, Sample { server_timestamp: at(9.0), ..sample }));
    stage.come(9.1, vouched);
    assert_eq!((stage.live(POWER).source_timestamp, stage.live(POWER).usable()), (at(1.0), Some(3.0)));
    let stored = stage.stored(POWER);
    assert_eq!(stored.len(), 3, "{stored:?}");
    assert_eq!(
        (stored[1].2, stored[2]),
        (lost, (9.0, Some(3.0), GOOD)),
        "the gap ends when the PLC vouched for its values"
    );
}

#[tokio::test]
async fn a_late_sample_changes_what_followed_then_and_not_the_present() {
    let mut stage = Stage::new();
    for t in 1..=5 {
        stage.come(f64::from(t), [(FLOW, good(f64::from(t), f64::from(t))), (PRESSURE, good(f64::from(t), 10.0))]);
    }
    stage.come(5.2, [(FLOW, Sample { server_timestamp: at(5.2), ..good(2.5, 100.0) })]);
    assert_eq!(stage.live(POWER), good(5.0, 5.0));
    assert_eq!(stage.stored(POWER).len(), 5);
    assert_eq!(stage.make_anew(6.0).await, [(0.0, 0.0); 0], "it waits for others");
    assert_eq!(stage.make_anew(7.0).await, [(2.5, 5.0)]);
    let stored: Vec<_> = stage.stored(TWICE).iter().filter_map(|(t, x, _)| Some((*t, (*x)?))).collect();
    assert_eq!(stored, [(1.0, 2.0), (2.0, 4.0), (2.5, 200.0), (3.0, 6.0), (4.0, 8.0), (5.0, 10.0)]);
}

#[tokio::test]
async fn what_is_backfilled_is_derived_from() {
    let series = |v: u32| SeriesId(v);
    let stored = [FLOW, PRESSURE, POWER, TWICE].map(|v| series(u32::try_from(v).unwrap()));
    let mut stage = Stage::after(move |series| stored.contains(&series).then(|| at(0.0)));
    assert_eq!(stage.stored(POWER).len(), 1, "what was stored before is followed by a gap");
    stage.write(1.0, DIVISOR, 10.0);
    let divisor = vec![(stage.series(DIVISOR), good(-5.0, 10.0))];
    stage.store.append(&divisor).unwrap();
    stage.come(100.0, [(FLOW, good(100.0, 1.0)), (PRESSURE, good(100.0, 10.0))]);
    for (v, x) in [(FLOW, 3.0), (PRESSURE, 20.0)] {
        let samples = (1..100).map(|t| good(f64::from(t), x)).collect();
        let event = Event::Backfill { series: stage.series(v), samples };
        stage.step(|ingest, output| ingest.on_event(at(101.0), event, output));
    }
    let marker = Duration::from_nanos(100).as_secs_f64();
    assert_eq!(stage.make_anew(103.0).await, [(marker, 100.0)]);
    let stored = stage.stored(POWER);
    assert_eq!(stored.len(), 100, "{stored:?}");
    assert!(stored[..99].iter().zip(1..).all(|(s, t)| *s == (f64::from(t), Some(6.0), GOOD)), "{stored:?}");
    assert_eq!(stored[99], (100.0, Some(1.0), GOOD), "the present stands");
}

#[test]
fn it_has_alarms_and_feeds_a_model() {
    let mut stage = Stage::new();
    stage.come(1.0, [(FLOW, good(1.0, 6.0)), (PRESSURE, good(1.0, 5.0))]);
    stage.come(2.0, [(LEVEL, good(2.0, 10.0))]);
    let residual = stage.state.sample(TWIN, Facet::Residual(0));
    assert_eq!((residual.source_timestamp, residual.usable()), (at(2.0), Some(7.0)), "10 measured, 3 by the model");
    assert!(stage.told.is_empty());
    stage.come(3.0, [(FLOW, good(3.0, 600.0))]);
    assert_eq!(stage.told, [Value::from("TwiceLevelAlarm")], "600 is above 100");
}
