//! Set-points on their way: to the PLC or not at all, and back where something goes wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::task::TaskTracker;
use uatwin::{
    history::{SharedStore, memory_store::MemoryStore},
    ingest::{Ingest, Output},
    jobs::{Advice, CallError, Goal, Jobs},
    revisions::Revisions,
    sample::{Sample, SeriesId, StatusCode, TwinId, Value},
    southbound::{Event, NodeAddress, PlcId, Plcs},
    time::{Clock, Timestamp},
    twin::TwinState,
};

use crate::{at, parsed};

/// T' = (Power + 2·Fan − T)/100; the register of Power counts tenths, that of Fan is what it is.
const CONFIG: &str = r#"
[plc.line]
endpoint = "opc.tcp://127.0.0.1:1"
[twin_type.Heater.variable.Temperature]
source = "nsu=urn:plant;s=Temperature"
[twin_type.Heater.variable.Power]
source = "nsu=urn:plant;s=Power"
preprocess = [{ scale = { factor = 0.1 } }]
WRITABLE
[twin_type.Heater.variable.Fan]
source = "nsu=urn:plant;s=Fan"
data_type = "Int16"
writable = true
[twin_type.Heater.model.state.T]
init = 20
[twin_type.Heater.model.input.Power]
[twin_type.Heater.model.input.Fan]
[twin_type.Heater.model.equation]
T = "(Power + 2*Fan - T)/100"
[twin_type.Heater.model.output.Temperature]
expr = "T"
[twin_type.Heater.optimize]
move.Power = { min = 0, max = 100, max_change = 40 }
move.Fan = { min = 0, max = 20 }
keep.Temperature = { max = 60 }
watch = "2s"
[twin.H1]
type = "Heater"
plc = "line"
device = "x"
"#;
const WRITABLE: &str = "writable = true";
const TWIN: TwinId = TwinId(0);
const TEMPERATURE: usize = 0;
const POWER: usize = 1;
const FAN: usize = 2;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(0.0)
    }
}

/// What the PLC was asked to write, and what it says to whom.
type Written = Arc<Mutex<Vec<(String, Value)>>>;

struct Plant {
    jobs: Arc<Jobs>,
    events: mpsc::Sender<Event>,
    written: Written,
    tasks: TaskTracker,
    _stages: JoinSet<()>,
}

impl Plant {
    /// A PLC that refuses what `refuses` names. The oven stands at 20 °C, Power at 20, Fan at 0.
    async fn new(config: &str, refuses: &'static str) -> Self {
        Self::with(config, move |name, _| name == refuses).await
    }

    /// `refuses` sees the name and how many writes there were before.
    async fn with(config: &str, refuses: impl Fn(&str, usize) -> bool + Send + 'static) -> Self {
        let config = parsed(config);
        let (plcs, twins) = (Arc::new(Plcs::new(config.plcs)), Arc::new(config.twins));
        let store: SharedStore = Arc::new(MemoryStore::new(twins.series_len(), 100));
        let clock: Arc<dyn Clock> = Arc::new(Stopped);
        let (revisions, _) = Revisions::open(Arc::clone(&store), Arc::clone(&twins), clock.now()).unwrap();
        let state = Arc::new(TwinState::new(twins, clock.now()));
        let (commands, mut asked) = mpsc::channel(8);
        let (events, mut came) = mpsc::channel(8);
        let mut ingest = Ingest::new(Arc::clone(&state), 1);
        let mut stages = JoinSet::new();
        stages.spawn(async move {
            loop {
                tokio::select! {
                    biased; // what was measured before a question counts for its answer
                    Some(event) = came.recv() => ingest.on_event(at(0.0), event, &mut Output::default()),
                    Some(command) = asked.recv() => ingest.on_command(at(0.0), command, &mut Output::default()),
                    else => return,
                }
            }
        });
        let (outlet, written) = (Arc::clone(&plcs.get(PlcId(0)).unwrap().outlet), Written::default());
        let (plc, seen) = (outlet, Arc::clone(&written));
        let (is_open, opened) = tokio::sync::oneshot::channel();
        stages.spawn(async move {
            let (_open, mut writes) = plc.open();
            is_open.send(()).unwrap();
            while let Some(write) = writes.recv().await {
                let NodeAddress::Id { identifier, .. } = write.address else { panic!("{:?}", write.address) };
                let name = identifier[2..].to_owned();
                let before = seen.lock().unwrap().len();
                let status = if refuses(&name, before) { StatusCode::BadNotWritable } else { StatusCode::Good };
                seen.lock().unwrap().push((name, write.value));
                write.reply.send(status).unwrap();
            }
        });
        opened.await.unwrap();
        let (past, tasks) = ((revisions, HashMap::new()), TaskTracker::new());
        let jobs = Jobs::new(state, store, past, (commands, plcs), clock, (tasks.clone(), 2));
        let plant = Self { jobs, events, written, tasks, _stages: stages };
        plant.measure(1.0, &[(POWER, 200.0), (FAN, 0.0)]).await;
        plant.measure(2.0, &[(TEMPERATURE, 20.0)]).await;
        plant
    }

    async fn measure(&self, seconds: f64, values: &[(usize, f64)]) {
        let of = |(variable, value): &(usize, f64)| {
            (SeriesId(u32::try_from(*variable).unwrap()), Sample::good(at(seconds), *value))
        };
        let samples = values.iter().map(of).collect();
        self.events.send(Event::Samples { received: at(seconds), samples }).await.unwrap();
    }

    async fn optimize(&self, target: f64, apply: bool) -> Result<Advice, CallError> {
        let goal = Goal { output: 0, target, horizon: Duration::from_secs(100) };
        self.jobs.optimize(TWIN, goal, apply, "ann").await
    }

    fn written(&self) -> Vec<(String, Value)> {
        self.written.lock().unwrap().clone()
    }

    /// Until the watch is over.
    async fn watched(&self) {
        self.tasks.close();
        timeout(Duration::from_secs(30), self.tasks.wait()).await.unwrap();
    }
}

fn config() -> String {
    CONFIG.replace("WRITABLE", WRITABLE)
}

fn power(tenths: f64) -> (String, Value) {
    ("Power".to_owned(), Value::Double(tenths))
}

fn is_power(written: &(String, Value), expected: f64) -> bool {
    written.0 == "Power" && (written.1.as_f64().unwrap() - expected).abs() < 0.1
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let plant = Plant::new(&config(), "").await;
    let found = plant.optimize(40.0, false).await.unwrap();
    assert!((found.predicted - 40.0).abs() < 0.01 && !found.applied, "{found:?}");
    assert_eq!(found.inputs, [0, 1]);
    assert_eq!(plant.written(), []);
}

#[tokio::test]
async fn what_is_applied_reaches_the_plc_as_its_registers_have_it_and_is_watched() {
    let plant = Plant::new(&config(), "").await;
    let found = plant.optimize(40.0, true).await.unwrap();
    assert!(found.applied && found.message.contains("Power Good"), "{found:?}");
    let written = plant.written();
    assert!(is_power(&written[0], found.values[0] / 0.1), "{written:?}");
    for (name, value) in &written[1..] {
        assert_eq!((name.as_str(), value), ("Fan", &Value::Int16(found.values[1] as i16)));
    }
    // One step at a time: max_change would be none if it could be had twice in a second.
    let again = plant.optimize(40.0, true).await;
    assert!(matches!(again, Err(CallError::Unavailable(_))), "{again:?}");
    assert!(plant.optimize(40.0, false).await.is_ok());
    plant.measure(3.0, &[(TEMPERATURE, 59.9)]).await;
    plant.watched().await;
    assert_eq!(plant.written(), written, "nothing broke: nothing goes back");
}

#[tokio::test]
async fn when_a_bound_breaks_the_old_values_go_back() {
    let plant = Plant::new(&config(), "").await;
    assert!(plant.optimize(40.0, true).await.unwrap().applied);
    let count = plant.written().len();
    plant.measure(3.0, &[(TEMPERATURE, 60.5)]).await;
    plant.watched().await;
    let back = plant.written().split_off(count);
    assert_eq!(back.len(), count, "{back:?}");
    assert_eq!(back[0], power(200.0));
}

/// What must go back is tried until the PLC takes it.
#[tokio::test]
async fn a_plc_that_is_gone_when_a_bound_breaks_gets_the_old_values_when_it_is_back() {
    let plant = Plant::with(&config(), |_, before| (2..5).contains(&before)).await;
    // Out of reach of Power alone, so that both are moved.
    assert!(plant.optimize(58.0, true).await.unwrap().applied);
    plant.measure(3.0, &[(TEMPERATURE, 60.5)]).await;
    plant.watched().await;
    let back: Vec<String> = plant.written().split_off(2).into_iter().map(|(name, _)| name).collect();
    assert_eq!(back, ["Power", "Fan", "Power", "Fan", "Power"], "three refused, and Power once more");
}

#[tokio::test]
async fn where_one_write_fails_all_go_back() {
    let plant = Plant::new(&config(), "Fan").await;
    // Out of reach of Power alone, so that both must move.
    let found = plant.optimize(58.0, true).await.unwrap();
    assert!(!found.applied && found.message.contains("Fan BadNotWritable"), "{found:?}");
    let written = plant.written();
    assert_eq!(written[2..], [power(200.0), ("Fan".to_owned(), Value::Int16(0))], "{written:?}");
    assert!(plant.optimize(58.0, true).await.is_ok(), "nothing is watched");
}

#[tokio::test]
async fn nothing_is_written_that_breaks_a_bound_or_is_not_writable() {
    let plant = Plant::new(&config(), "").await;
    let found = plant.optimize(500.0, true).await.unwrap();
    assert!(found.predicted <= 60.0, "{found:?}");
    let plant = Plant::new(&config().replace("max = 60 }", "min = 90 }"), "").await;
    let found = plant.optimize(40.0, true).await.unwrap();
    assert!(!found.applied && found.message.contains("Temperature"), "{found:?}");
    assert_eq!((found.values.as_slice(), plant.written()), (&[20.0, 0.0][..], vec![]));
    let plant = Plant::new(&CONFIG.replace("WRITABLE", ""), "").await;
    let found = plant.optimize(40.0, true).await.unwrap();
    assert!(!found.applied && found.message.contains("Power is not writable"), "{found:?}");
    assert_eq!(plant.written(), []);
}

#[tokio::test]
async fn an_input_without_a_value_is_no_basis() {
    let plant = Plant::new(&config(), "").await;
    let gone = Event::ItemFailed { series: SeriesId(1), at: at(3.0), status: StatusCode::BadNoCommunication };
    plant.events.send(gone).await.unwrap();
    plant.measure(4.0, &[(TEMPERATURE, 20.0)]).await;
    let refused = plant.optimize(40.0, true).await;
    assert!(matches!(&refused, Err(CallError::NoData(why)) if why.contains("Power")), "{refused:?}");
}
