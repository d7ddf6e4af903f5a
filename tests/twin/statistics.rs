//! Statistics at the ingest stage: what enters, and windows that history fills while samples go on coming.

use std::sync::Arc;

use tokio::sync::oneshot;
use uatwin::{
    history::writer::HistoryMessage,
    ingest::{Collection, Command, Filled, Ingest, Output, Refill, Refilled},
    sample::{Sample, StatusCode, TwinId, Value},
    southbound::Event,
    statistics::{
        Rolling, Summary, Window,
        capability::Baseline,
        correlation::{Joint, Method},
    },
    twin::{Facet, TwinState},
};

use crate::{at, twins};

const CONFIG: &str = r#"
[plc.line1]
endpoint = "opc.tcp://localhost:4841"
security_policy = "None"
[twin_type.Press.variable]
Force = { source = "nsu=urn:plc;s=F", statistics = { when = "Run > 0.5", uncertain = false } }
Run = { source = "nsu=urn:plc;s=R", data_type = "Boolean" }
Lot = { source = "nsu=urn:plc;s=L", data_type = "String" }
Level = { source = "nsu=urn:plc;s=V", statistics = { lot = "Lot" } }
[twin.P1]
type = "Press"
plc = "line1"
"#;
const TWIN: TwinId = TwinId(0);
const FORCE: usize = 0;
const RUN: usize = 1;
const LOT: usize = 2;
const LEVEL: usize = 3;

pub(crate) struct Stage {
    ingest: Ingest,
    pub(crate) state: Arc<TwinState>,
}

impl Stage {
    fn new() -> Self {
        Self::of(CONFIG)
    }

    pub(crate) fn of(config: &str) -> Self {
        let state = Arc::new(TwinState::new(twins(config), at(0.0)));
        let mut stage = Self { ingest: Ingest::new(Arc::clone(&state), 1), state };
        stage.ingest.begin(
            at(0.0),
            &(Box::new(|_| Some(at(-7.0))) as uatwin::ingest::StoredUntil),
            &mut Output::default(),
        );
        stage
    }

    pub(crate) fn set(&mut self, second: f64, variable: usize, value: Value) {
        self.sample(second, variable, Sample { value, ..Sample::good(at(second), 0.0) });
    }

    pub(crate) fn sample(&mut self, second: f64, variable: usize, sample: Sample) {
        let series = self.state.configured().series(TWIN, Facet::Variable(variable));
        let event = Event::Samples { received: at(second), samples: vec![(series, sample)] };
        self.ingest.on_event(at(second), event, &mut Output::default());
    }

    /// Windows that are to be filled by now; the writer is told to store everything first.
    pub(crate) fn due(&mut self, second: f64) -> Vec<Refill> {
        let mut output = Output::default();
        self.ingest.tick(at(second), true, &mut output);
        let flushes = output.history.iter().filter(|message| matches!(message, HistoryMessage::Flush(_))).count();
        assert_eq!(flushes, output.refills.len());
        output.refills.into_iter().flat_map(|refills| refills.of).collect()
    }

    fn fill(&mut self, refill: Refill, lot: Option<&str>, samples: &[(f64, f64)]) {
        self.fill_with(refill, lot, samples, None);
    }

    pub(crate) fn fill_with(
        &mut self,
        refill: Refill,
        lot: Option<&str>,
        samples: &[(f64, f64)],
        reference: Option<Baseline>,
    ) {
        let Collection::Variable(variable) = refill.of else { panic!("{refill:?}") };
        let mut rolling = self.state.configured().type_of(TWIN).variables[variable].rolling();
        rolling.reference = reference;
        samples.iter().for_each(|(second, y)| rolling.add(at(*second), *y));
        let lot = lot.map(|lot| Value::String(lot.into()));
        self.put(refill, Refilled { window: Filled::Rolling(rolling), lot });
    }

    fn put(&mut self, refill: Refill, refilled: Refilled) {
        let refilled = Some(Box::new(refilled));
        self.ingest.on_command(at(0.0), Command::Refilled { refill, refilled }, &mut Output::default());
    }

    pub(crate) fn rolling(&self, variable: usize) -> Rolling {
        self.state.read(TWIN).statistics[variable].clone().unwrap()
    }

    pub(crate) fn reset(&mut self, second: f64) {
        let (reply, _) = oneshot::channel();
        self.ingest.on_command(at(second), Command::ResetStatistics { twin: TWIN, reply }, &mut Output::default());
    }

    fn summary(&self, variable: usize) -> Summary {
        let rolling = self.rolling(variable);
        rolling.summary(rolling.newest())
    }
}

fn of(refills: &[Refill], variable: usize) -> Refill {
    *refills.iter().find(|refill| refill.of == Collection::Variable(variable)).unwrap()
}

#[test]
fn only_what_meets_the_condition_and_is_good_enough_enters() {
    let mut stage = Stage::new();
    stage.set(1.0, FORCE, Value::Double(100.0)); // whether it runs is not known yet
    for (second, runs) in [(10.0, true), (20.0, false), (30.0, true)] {
        stage.set(second, RUN, Value::Boolean(runs));
        stage.set(second + 1.0, FORCE, Value::Double(second));
        stage.set(second + 2.0, FORCE, Value::Double(second));
    }
    let status = StatusCode::UncertainLastUsableValue;
    stage.sample(33.0, FORCE, Sample { status, ..Sample::good(at(33.0), 9e9) });
    let summary = stage.summary(FORCE);
    assert_eq!((summary.count, summary.mean, summary.total), (4, 20.0, 40.0), "the pause is a hole");
}

#[test]
fn what_comes_while_history_is_read_is_neither_lost_nor_counted_twice() {
    let mut stage = Stage::new();
    stage.set(1.0, LEVEL, Value::Double(1.0));
    let due = stage.due(1.0);
    assert_eq!(due.len(), 3, "a window of each number or Boolean, at the start: {due:?}");
    stage.set(2.0, LEVEL, Value::Double(2.0));
    stage.set(3.0, LEVEL, Value::Double(3.0));
    // History had the first of them already.
    stage.fill(of(&due, LEVEL), None, &[(-9.0, 7.0), (-8.0, 7.0), (1.0, 1.0), (2.0, 2.0)]);
    stage.set(4.0, LEVEL, Value::Double(4.0));
    let summary = stage.summary(LEVEL);
    assert_eq!((summary.count, summary.mean, summary.start), (6, 4.0, at(-9.0)));
    assert_eq!(stage.state.read(TWIN).statistics_since, at(-9.0));
}

#[test]
fn late_samples_are_taken_in_from_history_a_moment_later() {
    let mut stage = Stage::new();
    stage.due(0.0);
    stage.set(5.0, LEVEL, Value::Double(5.0));
    let late = Sample { server_timestamp: at(6.0), ..Sample::good(at(3.0), 3.0) };
    stage.sample(6.0, LEVEL, late);
    assert_eq!(stage.due(6.5), []);
    let due = stage.due(8.0);
    assert_eq!(due.iter().map(|refill| refill.of).collect::<Vec<_>>(), [Collection::Variable(LEVEL)]);
    let series = stage.state.configured().series(TWIN, Facet::Variable(FORCE));
    let backfill = Event::Backfill { series, samples: vec![Sample::good(at(1.0), 1.0)] };
    stage.ingest.on_event(at(9.0), backfill, &mut Output::default());
    assert_eq!(stage.due(11.0).iter().map(|refill| refill.of).collect::<Vec<_>>(), [Collection::Variable(FORCE)]);
}

#[test]
fn a_reset_and_a_new_lot_overtake_what_history_gives() {
    let mut stage = Stage::new();
    let due = stage.due(0.0);
    stage.reset(1.0);
    assert_eq!(stage.state.read(TWIN).statistics_since, at(1.0));
    stage.fill(of(&due, LEVEL), None, &[(-9.0, 7.0)]);
    assert_eq!(stage.summary(LEVEL).count, 0);

    let mut stage = Stage::new();
    let due = stage.due(0.0);
    stage.set(1.0, LOT, Value::String("B".into()));
    stage.fill(of(&due, LEVEL), Some("A"), &[(-9.0, 7.0)]);
    assert_eq!(stage.summary(LEVEL).count, 0, "history is of another lot");
}

#[test]
fn a_lot_begins_with_its_first_sample_and_what_is_older_is_not_of_it() {
    let mut stage = Stage::new();
    let due = stage.due(0.0);
    stage.fill(of(&due, LEVEL), Some("A"), &[(-9.0, 7.0), (-8.0, 7.0)]);
    stage.set(1.0, LOT, Value::String("A".into()));
    stage.set(2.0, LEVEL, Value::Double(7.0));
    assert_eq!(stage.summary(LEVEL).count, 3, "the same lot goes on");
    stage.set(5.0, LOT, Value::String("B".into()));
    stage.set(4.0, LEVEL, Value::Double(100.0));
    stage.set(5.5, LEVEL, Value::Double(1.0));
    let summary = stage.summary(LEVEL);
    assert_eq!((summary.count, summary.mean, summary.start), (1, 1.0, at(5.5)));
}

const JOINT: &str = r#"
[plc.line1]
endpoint = "opc.tcp://localhost:4841"
security_policy = "None"
[twin_type.Press.statistics]
window = "1h"
correlate = ["Force", "Level"]
align = "1s"
[twin_type.Press.variable]
Force = { source = "nsu=urn:plc;s=F", stepped = true }
Level = { source = "nsu=urn:plc;s=V", stepped = true }
[twin.P1]
type = "Press"
plc = "line1"
"#;

/// Force and Level of one second, as the plant sends them.
fn pair(second: i32) -> [f64; 2] {
    [f64::from(second.rem_euclid(7)), f64::from(second.rem_euclid(3))]
}

#[test]
fn a_matrix_out_of_history_goes_on_with_what_came_while_it_was_read_unless_it_is_reset() {
    for is_reset in [false, true] {
        let mut stage = Stage::of(JOINT);
        let refill = *stage.due(0.0).iter().find(|refill| refill.of == Collection::Joint).unwrap();
        let (mut stored, mut all) = (
            Joint::new(Window::Duration(3600.0), 1.0, &[true; 2]),
            Joint::new(Window::Duration(3600.0), 1.0, &[true; 2]),
        );
        for second in -60..60_i32 {
            for (column, value) in pair(second).into_iter().enumerate() {
                all.add(column, at(f64::from(second)), Some(value));
                // History has a few of what comes live already.
                if second < 5 {
                    stored.add(column, at(f64::from(second)), Some(value));
                }
                if second > 0 {
                    stage.set(f64::from(second), column, Value::Double(value));
                }
            }
        }
        if is_reset {
            stage.reset(60.0);
        }
        stage.put(refill, Refilled { window: Filled::Joint(stored), lot: None });
        let said = stage.state.read(TWIN).joint.as_ref().unwrap().matrix(Method::Pearson, at(60.0));
        assert_eq!(said, if is_reset { None } else { all.matrix(Method::Pearson, at(60.0)) });
    }
}
