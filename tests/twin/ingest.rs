//! The stage that every sample passes, driven by hand: what it shows, what it stores, what it simulates.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;
use uatwin::{
    history::writer::HistoryMessage,
    ingest::{Command, Ingest, Output},
    sample::{Sample, SeriesId, StatusCode, TwinId, Value},
    southbound::{Event, PlcId},
    time::Timestamp,
    twin::{Facet, InForce, TwinState},
};

use crate::{at, twins};

const CONFIG: &str = r#"
[plc.line1]
endpoint = "opc.tcp://localhost:4841"
security_policy = "None"

[twin_type.Heater.variable.Temperature]
source = "nsu=urn:plc;s={device}.T"
preprocess = [{ scale = { factor = 0.1 } }]

[twin_type.Heater.variable.Power]
source = "nsu=urn:plc;s={device}.P"

[twin_type.Heater.model.state.T]
init = 20
[twin_type.Heater.model.parameter.tau]
value = 10
min = 1
max = 100
[twin_type.Heater.model.input.Power]
variable = "Power"
[twin_type.Heater.model.equation]
T = "(Power - T)/tau"
[twin_type.Heater.model.output.Temperature]
expr = "T"

[twin.H1]
type = "Heater"
plc = "line1"
device = "H1"
"#;

const TWIN: TwinId = TwinId(0);
const TEMPERATURE: Facet = Facet::Variable(0);
const POWER: Facet = Facet::Variable(1);

struct Stage {
    ingest: Ingest,
    state: Arc<TwinState>,
    stored: Vec<(SeriesId, Sample)>,
    removed: Vec<(SeriesId, Timestamp)>,
}

impl Stage {
    fn new() -> Self {
        Self::after(|_| None)
    }

    fn after(stored_until: impl Fn(SeriesId) -> Option<Timestamp> + Send + 'static) -> Self {
        Self::of(CONFIG, stored_until)
    }

    fn of(config: &str, stored_until: impl Fn(SeriesId) -> Option<Timestamp> + Send + 'static) -> Self {
        let state = Arc::new(TwinState::new(twins(config), at(-1.0)));
        let mut stage = Self { ingest: Ingest::new(Arc::clone(&state), 1), state, stored: vec![], removed: vec![] };
        let mut output = Output::default();
        let stored_until: uatwin::ingest::StoredUntil = Box::new(stored_until);
        stage.ingest.begin(at(0.0), &stored_until, &mut output);
        stage.take(output);
        stage
    }

    fn series(&self, facet: Facet) -> SeriesId {
        self.state.configured().series(TWIN, facet)
    }

    fn event(&mut self, now: f64, event: Event) {
        let mut output = Output::default();
        self.ingest.on_event(at(now), event, &mut output);
        self.take(output);
    }

    fn samples(&mut self, now: f64, samples: Vec<(Facet, Sample)>) {
        let samples = samples.into_iter().map(|(facet, sample)| (self.series(facet), sample)).collect();
        self.event(now, Event::Samples { received: at(now), samples });
    }

    fn lost(&mut self, now: f64) {
        self.event(now, Event::Lost { plc: PlcId(0), at: at(now) });
    }

    fn take(&mut self, output: Output) {
        for message in output.history {
            match message {
                HistoryMessage::Batch { samples, .. } => self.stored.extend(samples),
                HistoryMessage::Remove { series, times, .. } => self.removed.push((series, times.start)),
                HistoryMessage::Events(_) | HistoryMessage::Tick(_) | HistoryMessage::Flush(_) => (),
            }
        }
    }

    fn live(&self, facet: Facet) -> Sample {
        self.state.sample(TWIN, facet)
    }

    fn stored(&self, facet: Facet) -> Vec<Sample> {
        let series = self.series(facet);
        self.stored.iter().filter(|(s, _)| *s == series).map(|(_, sample)| sample.clone()).collect()
    }
}

#[test]
fn a_lost_plc_turns_its_series_bad_once_and_the_next_value_turns_them_good() {
    let mut stage = Stage::new();
    stage.samples(1.0, vec![(POWER, Sample::good(at(1.0), 50.0))]);
    stage.lost(5.0);
    stage.lost(7.0);
    assert_eq!(stage.live(POWER), Sample::bad(at(5.0), StatusCode::BadNoCommunication));
    assert_eq!(stage.stored(POWER).len(), 2, "a gap begins with one Bad sample");
    stage.samples(9.0, vec![(POWER, Sample::good(at(8.5), 60.0))]);
    assert_eq!(stage.live(POWER), Sample::good(at(8.5), 60.0));
    assert_eq!(stage.stored(POWER).len(), 3);
}

#[test]
fn a_value_that_has_not_changed_since_before_the_gap_ends_it_when_the_plc_vouched_for_it() {
    let mut stage = Stage::new();
    let unchanged = Sample::good(at(1.0), 50.0);
    stage.samples(1.0, vec![(POWER, unchanged.clone())]);
    stage.lost(5.0);
    let again = Sample { server_timestamp: at(9.0), ..unchanged };
    stage.samples(9.1, vec![(POWER, again.clone())]);
    assert_eq!(stage.live(POWER), again, "live shows the PLC's own SourceTimestamp");
    let stored = stage.stored(POWER);
    assert!(stored.contains(&Sample { source_timestamp: at(9.0), ..again }), "{stored:?}");
}

#[test]
fn what_was_stored_before_a_restart_is_followed_by_a_gap_that_backfill_takes_out() {
    let mut stage = Stage::after(|_| Some(at(-100.0)));
    let marker = at(-100.0) + Duration::from_nanos(100);
    let gap = stage.stored(POWER);
    assert_eq!((gap.len(), gap[0].source_timestamp, gap[0].status), (1, marker, StatusCode::BadNoCommunication));
    stage.samples(1.0, vec![(POWER, Sample::good(at(1.0), 50.0))]);
    let series = stage.series(POWER);
    let missed = (-99..1).map(|s| Sample::good(at(f64::from(s)), 40.0)).collect();
    stage.event(2.0, Event::Backfill { series, samples: missed });
    assert_eq!(stage.removed, [(series, marker)]);
    assert_eq!(stage.stored(POWER).len(), 102);
}

#[test]
fn a_backfill_that_does_not_reach_the_gap_leaves_its_marker() {
    let mut stage = Stage::after(|_| Some(at(-1000.0)));
    let series = stage.series(POWER);
    stage.event(2.0, Event::Backfill { series, samples: vec![Sample::good(at(-10.0), 1.0)] });
    assert!(stage.removed.is_empty());
}

#[test]
fn bad_samples_are_stored_and_shown_but_never_counted() {
    let mut stage = Stage::new();
    let bad = Sample { status: StatusCode::BadSensorFailure, ..Sample::good(at(2.0), 9e9) };
    stage.samples(1.0, vec![(TEMPERATURE, Sample::good(at(1.0), 250.0)), (TEMPERATURE, bad)]);
    stage.samples(3.0, vec![(TEMPERATURE, Sample::good(at(3.0), 350.0))]);
    let live = stage.state.read(TWIN);
    let summary = live.statistics[0].as_ref().unwrap().summary(at(3.0));
    assert_eq!((summary.count, summary.mean, summary.maximum), (2, 30.0, 35.0));
    drop(live);
    assert_eq!(stage.stored(TEMPERATURE)[1].status, StatusCode::BadSensorFailure);
}

/// dT/dt = (50 − T)/10 from 20 at t = 1: T = 50 − 30·exp(−(t−1)/10).
#[test]
fn simulated_and_residual_stand_at_the_measurements_own_time_and_follow_the_exact_solution() {
    let mut stage = Stage::new();
    stage.samples(1.0, vec![(POWER, Sample::good(at(1.0), 50.0))]);
    for second in 2..=30 {
        let t = f64::from(second) + 0.25;
        stage.samples(t, vec![(TEMPERATURE, Sample::good(at(t), 300.0))]);
    }
    let simulated = stage.stored(Facet::Simulated(0));
    assert_eq!(simulated.len(), 29);
    for sample in &simulated {
        let t = sample.source_timestamp.seconds_since(at(1.0));
        let exact = 50.0 - 30.0 * (-t / 10.0).exp();
        // 1e-5: relative tolerance 1e-7 per step, a few steps per second, over half a minute.
        assert!((sample.usable().unwrap() - exact).abs() < 1e-5, "{sample:?} {exact}");
    }
    let last = simulated.last().unwrap();
    let residual = stage.live(Facet::Residual(0));
    assert_eq!(residual.source_timestamp, last.source_timestamp);
    assert_eq!(residual.usable(), Some(30.0 - last.usable().unwrap()));
}

#[test]
fn what_is_simulated_is_no_better_than_its_worst_input() {
    let mut stage = Stage::new();
    let uncertain = StatusCode::UncertainLastUsableValue;
    stage.samples(1.0, vec![(POWER, Sample { status: uncertain, ..Sample::good(at(1.0), 50.0) })]);
    stage.samples(2.0, vec![(TEMPERATURE, Sample::good(at(2.0), 300.0))]);
    assert_eq!(stage.live(Facet::Simulated(0)).status, uncertain);
    stage.samples(3.0, vec![(POWER, Sample::bad(at(3.0), StatusCode::BadSensorFailure))]);
    stage.samples(4.0, vec![(TEMPERATURE, Sample::good(at(4.0), 300.0))]);
    let simulated = stage.live(Facet::Simulated(0));
    assert_eq!((simulated.status, simulated.value), (StatusCode::BadSensorFailure, Value::Null));
    stage.lost(5.0);
    assert_eq!(stage.live(Facet::Simulated(0)).status, StatusCode::BadNoCommunication);
    assert_eq!(stage.live(Facet::Residual(0)).status, StatusCode::BadNoCommunication);
}

/// Ten seconds of silence are a lost input only where the model says so: of a set-point they are nothing.
#[test]
fn an_input_that_is_silent_for_longer_than_its_max_gap_makes_what_is_simulated_uncertain() {
    let measured = |seconds: f64| vec![(TEMPERATURE, Sample::good(at(seconds), 300.0))];
    let good_power = |seconds: f64| vec![(POWER, Sample::good(at(seconds), 50.0))];
    let impatient = CONFIG.replace("variable = \"Power\"", "variable = \"Power\"\nmax_gap = \"3s\"");
    for (config, after_silence) in
        [(CONFIG, StatusCode::Good), (impatient.as_str(), StatusCode::UncertainLastUsableValue)]
    {
        let mut stage = Stage::of(config, |_| None);
        stage.samples(1.0, good_power(1.0));
        for (second, expected) in [(2.0, StatusCode::Good), (4.0, StatusCode::Good), (11.0, after_silence)] {
            stage.samples(second, measured(second));
            let (simulated, residual) = (stage.live(Facet::Simulated(0)), stage.live(Facet::Residual(0)));
            assert_eq!((simulated.status, residual.status), (expected, expected), "after {second} s");
            assert!(simulated.usable().is_some() && residual.usable().is_some(), "the last value is held");
            assert_eq!(stage.stored(Facet::Simulated(0)).last(), Some(&simulated));
        }
        stage.samples(11.5, good_power(11.5));
        stage.samples(12.0, measured(12.0));
        assert_eq!(stage.live(Facet::Simulated(0)).status, StatusCode::Good, "it is back");
        // The PLC has nothing new, and says that it still stands.
        let still = Sample { server_timestamp: at(20.0), ..Sample::good(at(11.5), 50.0) };
        stage.samples(20.0, vec![(POWER, still)]);
        stage.samples(21.0, measured(21.0));
        assert_eq!(stage.live(Facet::Simulated(0)).status, StatusCode::Good);
        stage.samples(22.0, vec![(POWER, Sample::bad(at(22.0), StatusCode::BadSensorFailure))]);
        stage.samples(40.0, measured(40.0));
        assert_eq!(stage.live(Facet::Simulated(0)).status, StatusCode::BadSensorFailure, "worse than silent");
    }
}

/// The filter's own numbers are tested where it is; here, that it is asked at the right moments.
#[test]
fn an_observer_corrects_the_state_after_the_prediction_was_told() {
    let observed = CONFIG
        .replace("[twin_type.Heater.model.parameter.tau]", "noise = 0.1\n[twin_type.Heater.model.parameter.tau]")
        .replace("[twin.H1]", "[twin_type.Heater.model.live]\nobserver = \"ekf\"\n[twin.H1]");
    let mut stage = Stage::of(&observed, |_| None);
    stage.samples(0.0, vec![(POWER, Sample::good(at(0.0), 50.0))]);
    let measured = |seconds: f64, kelvin: f64| vec![(TEMPERATURE, Sample::good(at(seconds), kelvin * 10.0))];
    stage.samples(1.0, measured(1.0, 45.0));
    let free = 50.0 - 30.0 * f64::exp(-0.1);
    let simulated = stage.live(Facet::Simulated(0)).usable().unwrap();
    assert!((simulated - free).abs() < 1e-6, "{simulated}: the measurement is not in its own prediction");
    let corrected = stage.live(Facet::State(0)).usable().unwrap();
    assert!((44.0..45.0).contains(&corrected), "{corrected}: it is in the state, which was hardly known");
    stage.samples(2.0, measured(2.0, 45.5));
    let predicted = stage.live(Facet::Simulated(0)).usable().unwrap();
    assert!((predicted - (50.0 - (50.0 - corrected) * f64::exp(-0.1))).abs() < 1e-6, "{predicted}");
    let uncertain = StatusCode::UncertainLastUsableValue;
    let sample = Sample { status: uncertain, ..Sample::good(at(3.0), 9000.0) };
    stage.samples(3.0, vec![(TEMPERATURE, sample)]);
    let state = stage.live(Facet::State(0)).usable().unwrap();
    assert!((45.0..50.0).contains(&state), "{state}: only Good measurements count");
}

#[test]
fn a_lost_plc_leaves_no_simulation_that_looks_alive() {
    let mut stage = Stage::new();
    stage.samples(1.0, vec![(POWER, Sample::good(at(1.0), 50.0))]);
    stage.samples(2.0, vec![(TEMPERATURE, Sample::good(at(2.0), 300.0))]);
    assert!(stage.live(Facet::Simulated(0)).status.is_good());
    stage.lost(3.0);
    assert_eq!(stage.live(Facet::Simulated(0)).status, StatusCode::BadNoCommunication);
    assert_eq!(stage.live(Facet::Residual(0)).status, StatusCode::BadNoCommunication);
}

#[test]
fn parameters_in_force_are_a_revision_and_a_sample() {
    let mut stage = Stage::new();
    assert_eq!(stage.stored(Facet::Parameter(0)), [Sample::good(at(0.0), 10.0)]);
    let (reply, mut answer) = oneshot::channel();
    let in_force = InForce { revision: 2, values: Box::new([12.0]), basis: None };
    let command = Command::Parameters { twin: TWIN, in_force, state: None, by: "ann".to_owned(), reply };
    let mut output = Output::default();
    stage.ingest.on_command(at(60.0), command, &mut output);
    stage.take(output);
    assert_eq!(answer.try_recv(), Ok(()));
    assert_eq!((stage.state.read(TWIN).revision, stage.state.read(TWIN).parameters.as_ref()), (2, &[12.0][..]));
    let revisions: Vec<_> = stage.stored(Facet::Revision).into_iter().map(|sample| sample.value).collect();
    assert_eq!(revisions, [Value::UInt32(1), Value::UInt32(2)]);
    assert_eq!(stage.stored(Facet::Parameter(0)).last(), Some(&Sample::good(at(60.0), 12.0)));
}

#[test]
fn a_late_sample_is_stored_and_does_not_turn_the_present_back() {
    let mut stage = Stage::new();
    stage.samples(2.0, vec![(POWER, Sample::good(at(2.0), 2.0)), (POWER, Sample::good(at(1.0), 1.0))]);
    assert_eq!(stage.live(POWER).usable(), Some(2.0));
    assert_eq!(stage.stored(POWER).len(), 2);
}

#[test]
fn history_is_promised_only_up_to_what_has_passed() {
    let mut stage = Stage::new();
    stage.samples(1.0, vec![(POWER, Sample::good(at(1.0), 2.0))]);
    let mut promised = |idle| {
        let mut output = Output::default();
        stage.ingest.tick(at(9.0), idle, &mut output);
        match output.history.as_slice() {
            [HistoryMessage::Tick(until)] => *until,
            other => panic!("{other:?}"),
        }
    };
    assert!(promised(false) <= at(1.0), "events still wait: what they hold may have been received before");
    let idle = promised(true);
    assert!(at(8.0) < idle && idle < at(9.0), "{idle}");
}

#[test]
fn every_series_is_found_again_from_its_number() {
    let stage = Stage::new();
    let twins = stage.state.configured();
    let names = twins.series_names();
    assert_eq!(
        names,
        [
            "H1.Temperature",
            "H1.Power",
            "H1.Temperature.Simulated",
            "H1.Temperature.Residual",
            "H1.Model.Parameters.tau",
            "H1.Model.States.T",
            "H1.Model.Revision"
        ]
    );
    for series in 0..5 {
        let (twin, facet) = twins.locate(SeriesId(series));
        assert_eq!(twins.series(twin, facet), SeriesId(series));
    }
}

/// An hour back in the middle: what the writer is told makes it flush on, everything is stored once, the present goes on.
#[test]
fn a_host_clock_that_steps_back_holds_nothing_up() {
    let mut stage = Stage::new();
    let mut times = Vec::new();
    for (now, value) in [(3600.0, 1.0), (3601.0, 2.0), (1.0, 3.0), (2.0, 4.0), (3.0, 5.0)] {
        let series = stage.series(POWER);
        // The PLC is this host: its clock steps with ours.
        let sample = Sample::good(at(now), value);
        let mut output = Output::default();
        stage.ingest.on_event(
            at(now),
            Event::Samples { received: at(now), samples: vec![(series, sample.clone())] },
            &mut output,
        );
        stage.ingest.tick(at(now), true, &mut output);
        times.extend(output.history.iter().filter_map(|message| match message {
            HistoryMessage::Tick(at) => Some(*at),
            _ => None,
        }));
        stage.take(output);
        assert_eq!(stage.live(POWER), sample, "the present goes on");
    }
    let promised: Vec<Timestamp> = [3600.0, 3601.0, 1.0, 2.0, 3.0].map(|now| at(now - 0.1)).to_vec();
    assert_eq!(times, promised, "time goes on for the writer");
    assert_eq!(stage.stored(POWER).len(), 5, "stored once each");
    // Late is not set back: the server says that it has it now.
    stage.samples(4.0, vec![(POWER, Sample { server_timestamp: at(4.0), ..Sample::good(at(2.5), 9.0) })]);
    assert_eq!(stage.live(POWER), Sample::good(at(3.0), 5.0));
    assert_eq!(stage.stored(POWER).len(), 6);
}

#[test]
fn a_gap_ends_after_it_began_whatever_the_clock_does_meanwhile() {
    let mut stage = Stage::new();
    let unchanged = Sample { server_timestamp: Timestamp::NULL, ..Sample::good(at(3600.0), 50.0) };
    stage.samples(3600.0, vec![(POWER, unchanged.clone())]);
    stage.lost(3605.0);
    stage.samples(9.0, vec![(POWER, unchanged)]);
    let marker = stage.stored(POWER).into_iter().find(|sample| sample.status.is_bad()).unwrap();
    let end =
        stage.stored(POWER).into_iter().filter(|sample| !sample.status.is_bad()).map(|s| s.source_timestamp).max();
    assert!(end > Some(marker.source_timestamp), "{:?}", stage.stored(POWER));
}
