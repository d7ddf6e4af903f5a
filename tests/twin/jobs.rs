//! What becomes of a fit that a client asks for: on record, in force, or neither.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::task::TaskTracker;
use uatwin::{
    history::{SharedStore, memory_store::MemoryStore},
    ingest::{Command, Ingest, Output},
    jobs::{Caller, FitOutcome, Jobs},
    program::Program,
    revisions::{Fitted, Origin, Revisions},
    sample::{Sample, SeriesId, StatusCode, TwinId, Value},
    simulate::Options,
    time::{Clock, Timestamp},
    twin::{Facet, FitState, TwinState, Twins},
};

use crate::{at, twins};

const CONFIG: &str = r#"
[twin_type.Heater.variable.Temperature]
[twin_type.Heater.variable.Power]
[twin_type.Heater.model.state.T]
init = 20
[twin_type.Heater.model.parameter.tau]
value = 100
min = 1
max = 1000
[twin_type.Heater.model.input.Power]
[twin_type.Heater.model.equation]
T = "(Power - T)/tau"
[twin_type.Heater.model.output.Temperature]
expr = "T"
[twin_type.Heater.model.fit]
window = "1h"
FIT
[twin.H1]
type = "Heater"
"#;
pub(crate) const TWIN: TwinId = TwinId(0);
pub(crate) const ENGINEER: Caller<'_> = Caller { user: "ann", is_engineer: true };
const OPERATOR: Caller<'_> = Caller { user: "ben", is_engineer: false };

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(3600.0)
    }
}

/// A tenth of a second later at each look.
#[derive(Default)]
struct Looks(AtomicI64);

impl Clock for Looks {
    fn now(&self) -> Timestamp {
        at(3600.0 + 0.1 * self.0.fetch_add(1, Ordering::Relaxed) as f64)
    }
}

/// An hour at 1 Hz of a heater that is switched every ten minutes; its time constant is 300 s, and `last` in the last
/// quarter of an hour.
fn hour(twins: &Twins, last: f64) -> Vec<(SeriesId, Sample)> {
    let [temperature, power] = [0, 1].map(|v| twins.series(TWIN, Facet::Variable(v)));
    let mut t = 20.0;
    let samples = (0..3600).flat_map(move |second| {
        let heat = if second / 600 % 2 == 0 { 80.0 } else { 30.0 };
        let noise = 0.05 * (f64::from(second) * 12.9898).sin();
        let now = t + noise;
        t = heat + (t - heat) * f64::exp(-1.0 / if second < 2700 { 300.0 } else { last });
        let stamp = at(f64::from(second));
        [(power, Sample::good(stamp, heat)), (temperature, Sample::good(stamp, now))]
    });
    samples.collect()
}

pub(crate) struct Plant {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) state: Arc<TwinState>,
    store: SharedStore,
    /// The twin's program after each of its changes.
    pub(crate) programs: Arc<Mutex<Vec<Program>>>,
    /// Where its live model was told to start.
    starts: tokio::sync::Mutex<mpsc::Receiver<f64>>,
    _stage: JoinSet<()>,
}

/// The runtime waits for what is at work: a test that fails must not.
impl Drop for Plant {
    fn drop(&mut self) {
        self.jobs.cancel_all();
    }
}

impl Plant {
    fn new(fit: &str, last: f64) -> Self {
        Self::of(&CONFIG.replace("FIT", fit), last, |_, _, _| {})
    }

    /// With a clock that goes on, and `fit` in the place of the config's window.
    pub(crate) fn in_time(fit: &str) -> Self {
        let config = CONFIG.replace("window = \"1h\"\nFIT", fit);
        Self::with(&config, 300.0, Arc::new(Looks::default()), |_, _, _| {})
    }

    /// The same, with simulations in steps of milliseconds: a fit of one start takes seconds, one of a thousand goes on until
    /// somebody ends it.
    pub(crate) fn slow(starts: u32) -> Self {
        let swinging = "tau\"\nB = \"cos(10*t)\"\n[twin_type.Heater.model.state.B]\ninit = 0\n[";
        let fit = format!("window = \"2h\"\nstarts = {starts}");
        let config = CONFIG.replace("tau\"\n[", swinging).replace("window = \"1h\"\nFIT", &fit);
        Self::with(&config, 300.0, Arc::new(Looks::default()), |_, _, _| {})
    }

    /// `change` sees each sample of temperature (0) or power (1) with its second, and may change or mark it; a null one was
    /// never recorded.
    fn of(config: &str, last: f64, change: impl Fn(u32, f64, &mut Sample)) -> Self {
        Self::with(config, last, Arc::new(Stopped), change)
    }

    fn with(config: &str, last: f64, clock: Arc<dyn Clock>, change: impl Fn(u32, f64, &mut Sample)) -> Self {
        let twins = twins(config);
        let mut samples = hour(&twins, last);
        samples.iter_mut().for_each(|(series, sample)| {
            change(series.0, sample.source_timestamp.seconds_since(at(0.0)), sample);
        });
        samples.retain(|(_, sample)| !sample.value.is_null());
        Self::after(twins, &samples, clock)
    }

    /// The hour, and that the model stood there 100 s before its end, when the program ended.
    fn stood(x: f64) -> Self {
        let twins = twins(&CONFIG.replace("FIT", ""));
        let mut samples = hour(&twins, 300.0);
        samples.push((twins.series(TWIN, Facet::State(0)), Sample::good(at(3500.0), x)));
        Self::after(twins, &samples, Arc::new(Stopped))
    }

    /// A program that starts with these samples in history.
    fn after(twins: Arc<Twins>, samples: &[(SeriesId, Sample)], clock: Arc<dyn Clock>) -> Self {
        let store: SharedStore = Arc::new(MemoryStore::new(twins.series_len(), 10_000));
        store.append(samples).unwrap();
        let (revisions, restored) = Revisions::open(Arc::clone(&store), Arc::clone(&twins), clock.now()).unwrap();
        let state = Arc::new(TwinState::new(twins, clock.now()));
        let (commands, mut asked) = mpsc::channel(8);
        let mut ingest = Ingest::new(Arc::clone(&state), 0);
        let mut stage = JoinSet::new();
        let programs = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&programs);
        let (started, starts) = mpsc::channel(8);
        stage.spawn(async move {
            while let Some(command) = asked.recv().await {
                if let Command::Restart { state, .. } = &command {
                    started.try_send(state[0]).unwrap();
                }
                let mut output = Output::default();
                ingest.on_command(at(3600.0), command, &mut output);
                seen.lock().unwrap().extend(output.programs.into_iter().map(|(_, program)| program));
            }
        });
        let stood = restored.into_iter().filter_map(|twin| Some((twin.twin, twin.stood?))).collect();
        let jobs = Jobs::new(
            Arc::clone(&state),
            Arc::clone(&store),
            (revisions, stood),
            (commands, Arc::default()),
            clock,
            (TaskTracker::new(), 2),
        );
        Self { jobs, state, store, programs, starts: starts.into(), _stage: stage }
    }

    async fn fit(&self, by: Caller<'_>) -> FitOutcome {
        let configured = (Timestamp::NULL, Timestamp::NULL);
        let outcome = self.jobs.fit(TWIN, configured, vec![], Duration::from_secs(60), by).await.unwrap();
        assert_eq!(outcome.state, FitState::Completed, "{}", outcome.message);
        outcome
    }

    /// Where the live model starts now.
    async fn warm_start(&self) -> f64 {
        self.jobs.warm_start(TWIN).await;
        let mut starts = self.starts.lock().await;
        tokio::time::timeout(Duration::from_secs(60), starts.recv()).await.unwrap().unwrap()
    }

    fn tau(&self) -> f64 {
        self.state.read(TWIN).parameters[0]
    }

    fn on_record(&self) -> Vec<uatwin::revisions::Revision> {
        let twins = self.state.configured();
        Revisions::open(Arc::clone(&self.store), twins, at(3600.0)).unwrap().0.all(TWIN).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_better_fit_is_on_record_and_in_force() {
    let plant = Plant::new("", 300.0);
    let outcome = plant.fit(ENGINEER).await;
    assert_eq!(outcome.revision, 2, "{}", outcome.message);
    assert!((plant.tau() - 300.0).abs() < 1.0, "{}", plant.tau());
    let all = plant.on_record();
    let Origin::Fitted(how) = &all[1].origin else { panic!("{:?}", all[1].origin) };
    assert_eq!((all[1].by.as_str(), how.from.as_slice(), how.starts), ("ann", &[100.0][..], 8));
    assert_eq!(how.times, (at(0.0).ticks(), at(3600.0).ticks()));
    // The same again is no better.
    let again = plant.fit(ENGINEER).await;
    assert!(again.revision == 2 && again.message.contains("not better"), "{}", again.message);
    assert_eq!(plant.on_record().len(), 2);
}

/// Of a record, and of nothing else, a config like the one that the fit had.
fn config_of(how: &Fitted) -> String {
    let solver = how.solver.as_ref().unwrap();
    CONFIG.replace(
        "FIT",
        &format!(
            "starts = {}\nseed = {}\nabsolute_sigma = {}\nwhen = \"{}\"\nuncertain = {:?}\nvalidate = \"{}s\"\n[twin_type.Heater.model.solver]\nrtol = {:?}",
            how.starts,
            how.seed,
            how.absolute_sigma,
            how.when.as_ref().unwrap(),
            how.uncertain.unwrap(),
            how.validate_s.unwrap(),
            solver.rtol,
        ),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fit_can_be_done_again_from_its_record_bit_for_bit() {
    let uncertain = |series: u32, second: f64, sample: &mut Sample| {
        if series == 0 && second % 3.0 == 0.0 {
            let value = sample.value.as_f64().unwrap() + 1.0;
            *sample = Sample { status: StatusCode::UncertainSubNormal, ..Sample::good(sample.source_timestamp, value) };
        }
    };
    let settings = "starts = 3\nseed = 7\nabsolute_sigma = true\nwhen = \"Power > 40\"\nuncertain = 0.5\nvalidate = \"15m\"\n[twin_type.Heater.model.solver]\nrtol = 1e-5";
    let plant = Plant::of(&CONFIG.replace("FIT", settings), 300.0, uncertain);
    plant.jobs.set_parameters(TWIN, vec![(0, 150.0)], "ann").await.unwrap();
    let outcome = plant.fit(ENGINEER).await;
    assert_eq!(outcome.revision, 3, "{}", outcome.message);
    let all = plant.on_record();
    let Origin::Fitted(how) = &all[2].origin else { panic!("{:?}", all[2].origin) };
    let again = async |how: &Fitted, times: (i64, i64)| {
        let plant = Plant::of(&config_of(how), 300.0, uncertain);
        let configured = plant.state.configured();
        let model = &configured.type_of(TWIN).model.as_ref().unwrap().model;
        assert_eq!(model.fingerprint(), all[2].model.0);
        plant.jobs.set_parameters(TWIN, vec![(0, how.from[0])], "ben").await.unwrap();
        let times = (Timestamp::from_ticks(times.0), Timestamp::from_ticks(times.1));
        let free = how.report().unwrap().free.clone();
        let found = plant.jobs.fit(TWIN, times, free, Duration::from_secs(60), ENGINEER).await.unwrap();
        let report = found.report.unwrap();
        [report.values[0], report.standard_errors[0], report.cost].map(f64::to_bits)
    };
    let report = how.report().unwrap();
    let bits = [report.values[0], report.standard_errors[0], report.cost].map(f64::to_bits);
    assert_eq!(how.windows.len(), 1);
    assert_eq!(again(how, how.windows[0]).await, bits);
    // Whatever of it is another makes another fit: nothing is on record for show.
    let others = [
        Fitted { when: Some("Power > 0".into()), ..(**how).clone() },
        Fitted { uncertain: Some(1.0), ..(**how).clone() },
        Fitted { validate_s: Some(600.0), ..(**how).clone() },
        Fitted { solver: Some(Options { rtol: 1e-3, ..how.solver.unwrap() }), ..(**how).clone() },
    ];
    for other in others {
        assert_ne!(again(&other, other.windows[0]).await, bits, "{other:?}");
    }
    assert_ne!(again(how, (at(300.0).ticks(), how.windows[0].1)).await, bits);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_worse_where_data_were_held_out_is_not_put_in_force() {
    // What is in force happens to be right for the last quarter.
    let plant = Plant::new("validate = \"15m\"", 100.0);
    let outcome = plant.fit(ENGINEER).await;
    assert!(outcome.message.contains("worse where the data were held out"), "{}", outcome.message);
    assert_eq!((outcome.revision, plant.tau(), plant.on_record().len()), (1, 100.0, 1));
    assert!((outcome.report.unwrap().values[0] - 300.0).abs() < 1.0, "it was fitted to the other three");
    let plant = Plant::new("validate = \"15m\"", 300.0);
    assert_eq!(plant.fit(ENGINEER).await.revision, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_fit_may_not_be_in_force_waits_for_an_engineer() {
    for (fit, by) in [("operator_may_activate = false", OPERATOR), ("activate = \"manual\"", ENGINEER)] {
        let plant = Plant::new(fit, 300.0);
        let outcome = plant.fit(by).await;
        assert!(outcome.revision == 1 && outcome.message.contains("kept as revision 2"), "{}", outcome.message);
        assert_eq!(plant.tau(), 100.0);
        plant.jobs.activate(TWIN, 2, "ann").await.unwrap();
        assert!((plant.tau() - 300.0).abs() < 1.0);
        assert_eq!(plant.state.read(TWIN).revision, 2);
        assert!(plant.state.read(TWIN).basis.is_some(), "with its standard errors");
    }
    let plant = Plant::new("operator_may_activate = false", 300.0);
    assert_eq!(plant.fit(ENGINEER).await.revision, 2, "an engineer's own");
}

/// Nobody recorded the power from 1300 to 2000 s, and at 1800 s it was switched.
fn unrecorded(series: u32, second: f64, sample: &mut Sample) {
    if series == 1 && (1300.5..2000.0).contains(&second) {
        sample.value = Value::Null;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_input_is_not_known_nothing_is_fitted_and_another_run_begins() {
    let config = CONFIG.replace("FIT", "");
    let patient = "[twin_type.Heater.model.input.Power]";
    let impatient = format!("{patient}\nmax_gap = \"30s\"");
    let measured = config.replace("init = 20", "init = { measured = \"Temperature\" }");
    let held = Plant::of(&measured, 300.0, unrecorded);
    held.fit(ENGINEER).await;
    assert!((held.tau() - 300.0).abs() > 5.0, "{}: the wrong power is held over the gap", held.tau());

    let cut = Plant::of(&measured.replace(patient, &impatient), 300.0, unrecorded);
    let outcome = cut.fit(ENGINEER).await;
    assert!((cut.tau() - 300.0).abs() < 1.0, "{}", cut.tau());
    assert_eq!(outcome.report.unwrap().samples, 1301 + 1600);
    let (times, values) = cut.jobs.simulate(TWIN, (at(0.0), at(3600.0)), 0, vec![]).await.unwrap();
    assert_eq!((times.len(), values.len()), (2901, 2901), "nothing is said of the gap");
    assert!(times.contains(&at(1300.0)) && !times.contains(&at(1301.0)) && times.contains(&at(2000.0)));

    // A start that is estimated: one for each run, the last one's in force.
    let started = config
        .replace("init = 20", "init = \"tstart\"")
        .replace("max = 1000\n", "max = 1000\n[twin_type.Heater.model.parameter.tstart]\nvalue = 20\n");
    let cut = Plant::of(&started.replace(patient, &impatient), 300.0, unrecorded);
    let report = cut.fit(ENGINEER).await.report.unwrap();
    assert_eq!((report.names.as_slice(), report.local.len()), (["tau".to_owned()].as_slice(), 2));
    let parameters = cut.state.read(TWIN).parameters.to_vec();
    let behind = cut.jobs.simulate(TWIN, (at(1999.5), at(3600.0)), 0, vec![]).await.unwrap();
    assert!((parameters[0] - 300.0).abs() < 1.0 && parameters[1] == report.local[1].value, "{parameters:?}");
    assert!((report.local[0].value - 20.0).abs() < 0.1 && (behind.1[0] - parameters[1]).abs() < 1e-9);
    // By hand: 71.88 at 600 s, 35.67 at 1200 s, 74.00 at 1800 s, and 200 s on the way from there to 30.
    assert!((parameters[1] - 52.59).abs() < 0.5, "{parameters:?}");
    // With its end held out: both runs are cut as one would be.
    let validated =
        started.replace(patient, &impatient).replace("window = \"1h\"", "window = \"1h\"\nvalidate = \"15m\"");
    let plant = Plant::of(&validated, 300.0, unrecorded);
    let report = plant.fit(ENGINEER).await.report.unwrap();
    assert_eq!((report.samples, report.local.len()), (1301 + 700, 2));
    assert!((plant.tau() - 300.0).abs() < 1.0, "{}", plant.tau());
}

#[tokio::test(flavor = "multi_thread")]
async fn uncertain_measurements_weigh_as_much_as_the_config_says_and_bad_ones_nothing() {
    // From 300 to 600 s the sensor reads 5 K too much and says so; at 700 s it is broken.
    let doubtful = |series: u32, second: f64, sample: &mut Sample| {
        if series == 0 && (300.0..600.0).contains(&second) {
            let value = sample.usable().unwrap() + 5.0;
            (sample.value, sample.status) = (Value::Double(value), StatusCode::UncertainSensorNotAccurate);
        } else if series == 0 && second == 700.0 {
            (sample.value, sample.status) = (Value::Double(9e9), StatusCode::BadSensorFailure);
        }
    };
    let mut off = Vec::new();
    for (fit, samples) in [("", 3599), ("uncertain = 1", 3599), ("uncertain = 0.1", 3599), ("uncertain = 0.0", 3299)] {
        let plant = Plant::of(&CONFIG.replace("FIT", fit), 300.0, doubtful);
        let report = plant.fit(ENGINEER).await.report.unwrap();
        assert_eq!(report.samples, samples, "{fit}");
        off.push((plant.tau() - 300.0).abs());
    }
    assert_eq!(off[0], off[1], "they weigh as Good ones unless the config says otherwise");
    assert!(off[1] > 3.0 * off[2] && off[2] > 2.0 * off[3] && off[3] < 0.5, "{off:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fit_without_times_takes_the_windows_that_the_config_names() {
    // The first quarter of an hour, and the third; in the last the heater is another one.
    let windows = r#"windows = [["2023-11-14T22:13:20Z", "2023-11-14T22:28:20Z"], ["2023-11-14T22:43:20Z", "2023-11-14T23:58:20+01:00"]]"#;
    let config = CONFIG.replace("init = 20", "init = { measured = \"Temperature\" }");
    let plant = Plant::of(&config.replace("FIT", windows), 100.0, |_, _, _| {});
    let outcome = plant.fit(ENGINEER).await;
    assert!((plant.tau() - 300.0).abs() < 1.0, "{}", plant.tau());
    assert_eq!(outcome.report.unwrap().samples, 2 * 901, "both ends belong to a window");
    let Origin::Fitted(how) = &plant.on_record()[1].origin else { panic!() };
    assert_eq!(how.times, (at(0.0).ticks(), at(2700.0).ticks()));
    // Times that the caller gives are taken.
    let asked = (at(2700.0), at(3600.0));
    plant.jobs.fit(TWIN, asked, vec![], Duration::from_secs(60), ENGINEER).await.unwrap();
    assert!((plant.tau() - 100.0).abs() < 1.0, "{}", plant.tau());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_goes_on_from_where_it_stood_but_not_under_other_parameters() {
    let plant = Plant::stood(500.0);
    // 99 s on the way to 30 with a time constant of 100 s: 30 + 470 e^-0.99.
    assert!((plant.warm_start().await - 204.64).abs() < 0.01);
    // What is refused changes nothing.
    plant.jobs.set_parameters(TWIN, vec![(0, 1e9)], "ann").await.unwrap_err();
    assert!((plant.warm_start().await - 204.64).abs() < 0.01);
    plant.jobs.set_parameters(TWIN, vec![(0, 150.0)], "ann").await.unwrap();
    // All of the hour from 20 on: 79.10 at 3000 s, and 599 s on the way from there to 30.
    assert!((plant.warm_start().await - 30.905).abs() < 0.01);
    // Nor under the first ones again: by then it had gone another way.
    plant.jobs.activate(TWIN, 1, "ann").await.unwrap();
    let x = plant.warm_start().await;
    assert!((x - 30.12).abs() < 0.01, "{x}");
}
