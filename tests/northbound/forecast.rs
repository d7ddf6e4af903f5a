//! Raw history of a simulated output beyond now: what the model expects, where the config has it so.

use std::{sync::Arc, time::Duration};

use opcua::types::*;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use uatwin::{
    history::HistoryStore,
    ingest::{Command, Ingest, Output},
    sample::{Sample, SeriesId},
    time::Timestamp,
    twin::{Facet, TwinState},
    ua,
};

use crate::{
    history::{page, raw, values},
    support::{Client, Fixture, twins, world_with},
};

const HEATER_POWER: usize = 1;
const POWER: f64 = 100.0;
const SIMULATED: Facet = Facet::Simulated(0);
/// Uncertain_SimulatedValue; InfoType DataValue, Calculated.
const STATUS: u32 = 0x4209_0000 | 0x0400 | 0x0001;
const POINTS: usize = 20;

/// A heater whose live model stands at `at`, five seconds ago, with 50 °C at 100 W. Three samples of its simulation are stored,
/// the last one where the model stands.
struct Heater {
    fixture: Fixture,
    client: Client,
    commands: mpsc::Sender<Command>,
    at: Timestamp,
    _stage: JoinSet<()>,
}

impl Heater {
    async fn new(horizon: Option<Duration>) -> Self {
        let mut twins = twins();
        twins.types[0].model.as_mut().unwrap().forecast_horizon = horizon;
        let (commands, asked) = mpsc::channel(8);
        let world = world_with(twins, commands.clone());
        let stage = stage(Arc::clone(&world.1), asked);
        let fixture = Fixture::start_with(world).await;
        let at = fixture.now() - Duration::from_secs(5);
        let client = fixture.connect().await;
        let heater = Self { fixture, client, commands, at, _stage: stage };
        heater.write(HEATER_POWER, Sample::good(at - Duration::from_secs(10), POWER)).await;
        let twin = heater.fixture.twin("Heater1");
        heater.commands.send(Command::Restart { twin, at, state: vec![50.0] }).await.unwrap();
        heater.settle().await;
        let series = heater.series();
        let stored: Vec<_> = (-2..=0).map(|i| (series, Sample::good(heater.at(i), 40.0 + f64::from(i)))).collect();
        heater.fixture.store.append(&stored).unwrap();
        heater
    }

    fn at(&self, seconds: i32) -> Timestamp {
        self.at.plus_seconds(f64::from(seconds))
    }

    fn series(&self) -> SeriesId {
        self.fixture.series("Heater1", SIMULATED)
    }

    async fn write(&self, variable: usize, sample: Sample) {
        let twin = self.fixture.twin("Heater1");
        self.commands.send(Command::Write { twin, variable, sample }).await.unwrap();
    }

    /// Waits until what was sent has been done.
    async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Standing { twin: self.fixture.twin("Heater1"), reply }).await.unwrap();
        answer.await.unwrap();
    }

    /// (seconds after where the model stands, value, status), of all pages.
    async fn read(&self, path: &str, details: &ReadRawModifiedDetails) -> Vec<(f64, f64, u32)> {
        self.pages(path, details).await.into_iter().flatten().collect()
    }

    async fn pages(&self, path: &str, details: &ReadRawModifiedDetails) -> Vec<Vec<(f64, f64, u32)>> {
        let (mut pages, mut point) = (Vec::new(), ByteString::null());
        loop {
            let result = page(&self.client, details, path, point).await;
            assert!(result.status_code.is_good(), "{:?}", result.status_code);
            pages.push(values(&result).iter().map(|value| self.plain(value)).collect());
            point = result.continuation_point;
            if point.is_null_or_empty() {
                return pages;
            }
        }
    }

    fn plain(&self, value: &DataValue) -> (f64, f64, u32) {
        let at = ua::timestamp(value.source_timestamp.unwrap()).seconds_since(self.at);
        let x = if let Some(Variant::Double(x)) = value.value { x } else { f64::NAN };
        ((at * 1e6).round() / 1e6, x, value.status().bits())
    }

    /// Stored samples, and the forecast by the exact solution of the heater's equation.
    fn expected(&self) -> Vec<(f64, f64, u32)> {
        let stored = (-2..=0).map(|i| (f64::from(i), 40.0 + f64::from(i), 0));
        let [c, k, ambient] = [55.0, 1.0, 20.0];
        let end = ambient + POWER / k;
        let forecast = |i| {
            let t = f64::from(i);
            (t, end + (50.0 - end) * f64::exp(-t * k / c), STATUS)
        };
        stored.chain((1..=i32::try_from(POINTS).unwrap()).map(forecast)).collect()
    }
}

/// The ingest stage, which stores nothing here.
fn stage(state: Arc<TwinState>, mut asked: mpsc::Receiver<Command>) -> JoinSet<()> {
    let mut ingest = Ingest::new(state, 1);
    let mut stage = JoinSet::new();
    stage.spawn(async move {
        while let Some(command) = asked.recv().await {
            ingest.on_command(Timestamp::from_unix_s(1.7e9), command, &mut Output::default());
        }
    });
    stage
}

fn check(found: &[(f64, f64, u32)], expected: &[(f64, f64, u32)]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        // 1e-4: the solver's tolerance of 1e-6, relative, at some 80 °C.
        let is_close = (found.1 - expected.1).abs() < 1e-4 || (found.1.is_nan() && expected.1.is_nan());
        assert!((found.0, found.2) == (expected.0, expected.2) && is_close, "{found:?} {expected:?}");
    }
}

const HORIZON: Option<Duration> = Some(Duration::from_secs(POINTS as u64));
const PATH: &str = "Heater1.Temperature.Simulated";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_followed_by_what_the_model_expects() {
    let heater = Heater::new(HORIZON).await;
    let expected = heater.expected();
    let (start, end) = (heater.at(-100), heater.at(3600));
    check(&heater.read(PATH, &raw(start, end, 0, false)).await, &expected);
    let reversed: Vec<_> = expected.iter().rev().copied().collect();
    check(&heater.read(PATH, &raw(end, start, 0, false)).await, &reversed);
    // The end is excluded, the start is not; either way.
    check(&heater.read(PATH, &raw(heater.at(-1), heater.at(15), 0, false)).await, &expected[1..17]);
    check(&heater.read(PATH, &raw(heater.at(15), heater.at(-1), 0, false)).await, &reversed[5..21]);
    check(&heater.read(PATH, &raw(heater.at(7), heater.at(15), 0, false)).await, &expected[9..17]);
    // Between two points too.
    let between = |i: i32| heater.at(i) + Duration::from_millis(500);
    check(&heater.read(PATH, &raw(between(-1), between(15), 0, false)).await, &expected[2..18]);
    check(&heater.read(PATH, &raw(between(15), between(-1), 0, false)).await, &reversed[5..21]);
    heater.fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_pages_are_of_one_forecast_though_time_goes_on() {
    let heater = Heater::new(HORIZON).await;
    let expected = heater.expected();
    let reversed: Vec<_> = expected.iter().rev().copied().collect();
    let (start, end) = (heater.at(-100), heater.at(3600));
    for (details, whole) in [(raw(start, end, 7, false), &expected), (raw(end, start, 7, false), &reversed)] {
        let pages = heater.pages(PATH, &details).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [7, 7, 7, 2]);
        check(&pages.concat(), whole);
    }
    for (details, whole) in [(raw(start, end, 7, false), &expected), (raw(end, start, 7, false), &reversed)] {
        let first = page(&heater.client, &details, PATH, ByteString::null()).await;
        // Meanwhile the forecast's first seconds have passed, and the model stands elsewhere.
        let passed: Vec<_> = (1..5).map(|i| (heater.series(), Sample::good(between(&heater, i), 0.0))).collect();
        heater.fixture.store.append(&passed).unwrap();
        let twin = heater.fixture.twin("Heater1");
        heater.commands.send(Command::Restart { twin, at: heater.at(4), state: vec![90.0] }).await.unwrap();
        heater.settle().await;
        let (mut found, mut point) = (values(&first), first.continuation_point);
        while !point.is_null_or_empty() {
            let next = page(&heater.client, &details, PATH, point).await;
            found.extend(values(&next));
            point = next.continuation_point;
        }
        let found: Vec<_> = found.iter().map(|value| heater.plain(value)).collect();
        check(&found, whole);
        // Back to where it was.
        let range = heater.at(0).next()..Timestamp::MAX;
        heater.fixture.store.remove(heater.series(), range).unwrap();
        let at = heater.at;
        heater.commands.send(Command::Restart { twin, at, state: vec![50.0] }).await.unwrap();
        heater.settle().await;
    }
    heater.fixture.stop().await;
}

fn between(heater: &Heater, i: i32) -> Timestamp {
    heater.at(i) + Duration::from_millis(300)
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_are_found_in_it() {
    let heater = Heater::new(HORIZON).await;
    let expected = heater.expected();
    let bound = |seconds| (f64::from(seconds), f64::NAN, StatusCode::BadBoundNotFound.bits());
    let bounded = async |start: Timestamp, end: Timestamp| heater.read(PATH, &raw(start, end, 0, true)).await;
    let half = |i: i32| heater.at(i) + Duration::from_millis(500);
    check(&bounded(half(3), half(9)).await, &expected[5..13]);
    let reversed: Vec<_> = expected[5..13].iter().rev().copied().collect();
    check(&bounded(half(9), half(3)).await, &reversed);
    let beyond: Vec<_> = expected.iter().copied().skip(2).chain([bound(60)]).collect();
    check(&bounded(heater.at(0), heater.at(60)).await, &beyond);
    heater.fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_it_who_did_not_ask_for_it() {
    let heater = Heater::new(HORIZON).await;
    let stored = heater.expected()[..3].to_vec();
    let reversed: Vec<_> = stored.iter().rev().copied().collect();
    let (start, end) = (heater.at(-100), heater.at(3600));
    check(&heater.read(PATH, &raw(start, Timestamp::NULL, 100, false)).await, &stored);
    check(&heater.read(PATH, &raw(Timestamp::NULL, end, 100, false)).await, &reversed);
    check(&heater.read(PATH, &raw(start, heater.at(2), 0, false)).await, &stored);
    let modified = ReadRawModifiedDetails { is_read_modified: true, ..raw(start, end, 0, false) };
    let result = page(&heater.client, &modified, PATH, ByteString::null()).await;
    assert_eq!(result.status_code, StatusCode::GoodNoData);
    for other in ["Heater1.Temperature.Residual", "Heater1.Temperature", "Heater1.Model.States.T"] {
        assert_eq!(heater.read(other, &raw(start, end, 0, false)).await, [], "{other}");
    }
    // Heater2's model has had no input yet: nothing can be expected.
    assert_eq!(heater.read("Heater2.Temperature.Simulated", &raw(start, end, 0, false)).await, []);
    // A lost input is not held as if it were known.
    heater.write(HEATER_POWER, Sample::bad(heater.at(1), uatwin::sample::StatusCode::BadNoCommunication)).await;
    heater.settle().await;
    check(&heater.read(PATH, &raw(start, end, 0, false)).await, &stored);
    heater.fixture.stop().await;
    let off = Heater::new(None).await;
    check(&off.read(PATH, &raw(off.at(-100), off.at(3600), 0, false)).await, &stored);
    off.fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_after_the_newest_stored_sample() {
    let heater = Heater::new(HORIZON).await;
    let mut expected = heater.expected();
    // A measurement of another output may have been later than where the model of this read stands.
    heater.fixture.store.append(&[(heater.series(), Sample::good(heater.at(2), 60.0))]).unwrap();
    expected.splice(3..5, [(2.0, 60.0, 0)]);
    check(&heater.read(PATH, &raw(heater.at(-100), heater.at(3600), 0, false)).await, &expected);
    heater.fixture.stop().await;
}
