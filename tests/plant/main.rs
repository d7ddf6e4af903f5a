//! The plant as a client meets it: a real server on a free port, a real client.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::Path,
    sync::Arc,
    time::Duration,
};

use opcua::{
    client::{ClientBuilder, DataChangeCallback, HistoryReadAction, IdentityToken, Session},
    crypto::SecurityPolicy,
    types::{
        AttributeId, ByteString, DataValue, HistoryData, HistoryReadValueId, MessageSecurityMode,
        MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, QualifiedName,
        ReadRawModifiedDetails, ReadValueId, StatusCode, TimestampsToReturn, UserTokenPolicy, Variant, WriteValue,
    },
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use uatwin::{
    plant::{Faults, OVEN1, Plant, PlantError, PlantOptions, load_value},
    time::{Clock, Timestamp},
};

/// Long enough for a loaded machine; nothing waits this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_s(chrono::Utc::now().timestamp_micros() as f64 * 1e-6)
    }
}

/// A running plant and a client's session on it.
struct Rig {
    session: Arc<Session>,
    namespace: u16,
    run: JoinHandle<Result<(), PlantError>>,
    stop: CancellationToken,
    _guard: DropGuard,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(change: impl FnOnce(&mut PlantOptions)) -> Self {
        Self::start_with(SecurityPolicy::None, MessageSecurityMode::None, change).await
    }

    #[expect(clippy::disallowed_methods, reason = "a test owns its tasks")]
    async fn start_with(
        policy: SecurityPolicy,
        mode: MessageSecurityMode,
        change: impl FnOnce(&mut PlantOptions),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = PlantOptions { port: 0, ..PlantOptions::new(folder.path().join("plant")) };
        change(&mut options);
        let plant = Plant::bind(options).await.unwrap();
        let url = plant.endpoint_url().to_owned();
        let stop = CancellationToken::new();
        let run = tokio::spawn(plant.run(stop.clone(), Arc::new(WallClock)));
        let session = connect(&url, policy, mode, &folder.path().join("client")).await;
        let namespace = session.get_namespace_index(uatwin::plant::NAMESPACE).await.unwrap();
        Self { session, namespace, run, _guard: stop.clone().drop_guard(), stop, _folder: folder }
    }

    fn id(&self, name: &str) -> NodeId {
        NodeId::new(self.namespace, name)
    }

    async fn read(&self, name: &str) -> DataValue {
        let node =
            ReadValueId { node_id: self.id(name), attribute_id: AttributeId::Value as u32, ..Default::default() };
        self.session.read(&[node], TimestampsToReturn::Both, 0.0).await.unwrap().remove(0)
    }

    async fn number(&self, name: &str) -> f64 {
        match self.read(name).await.value {
            Some(Variant::Double(x)) => x,
            other => panic!("{name}: {other:?}"),
        }
    }

    async fn write(&self, name: &str, value: impl Into<Variant>) -> StatusCode {
        let value = DataValue { value: Some(value.into()), ..Default::default() };
        let write =
            WriteValue { node_id: self.id(name), attribute_id: AttributeId::Value as u32, value, ..Default::default() };
        self.session.write(&[write]).await.unwrap().remove(0)
    }

    /// Reads until `right`, which takes a publishing period at most.
    async fn until(&self, name: &str, right: impl Fn(&DataValue) -> bool) -> DataValue {
        let wait = async {
            loop {
                let value = self.read(name).await;
                if right(&value) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{name} never became right"))
    }

    /// A subscription without a filter: client handle (index in `names`) and value, as they come.
    async fn subscribe(&self, names: &[&str], sampling_ms: f64) -> mpsc::Receiver<(u32, DataValue)> {
        let (sender, receiver) = mpsc::channel(10_000);
        let callback = DataChangeCallback::new(move |value, item| {
            sender.try_send((item.client_handle() - 1, value)).ok();
        });
        let period = Duration::from_millis(100);
        let id = self.session.create_subscription(period, 1000, 10, 0, 0, true, callback).await.unwrap();
        let item = |(i, name): (usize, &&str)| MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: self.id(name),
                attribute_id: AttributeId::Value as u32,
                ..Default::default()
            },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                // The client replaces a zero by a handle of its own.
                client_handle: i as u32 + 1,
                sampling_interval: sampling_ms,
                queue_size: 1000,
                discard_oldest: true,
                ..Default::default()
            },
        };
        let items = names.iter().enumerate().map(item).collect();
        let created = self.session.create_monitored_items(id, TimestampsToReturn::Both, items).await.unwrap();
        assert!(created.iter().all(|c| c.result.status_code.is_good()), "{:?}", created[0].result);
        receiver
    }

    /// One HistoryRead; the values and the continuation point.
    async fn history_once(
        &self,
        name: &str,
        details: &ReadRawModifiedDetails,
        point: ByteString,
    ) -> (Vec<DataValue>, ByteString) {
        let node = HistoryReadValueId {
            node_id: self.id(name),
            index_range: Default::default(),
            data_encoding: QualifiedName::null(),
            continuation_point: point,
        };
        let action = HistoryReadAction::ReadRawModifiedDetails(details.clone());
        let mut results = self.session.history_read(action, TimestampsToReturn::Both, false, &[node]).await.unwrap();
        let result = results.remove(0);
        assert!(result.status_code.is_good(), "{}", result.status_code);
        let values = result.history_data.into_inner_as::<HistoryData>().unwrap().data_values.unwrap_or_default();
        (values, result.continuation_point)
    }

    /// Everything, over as many continuation points as it takes.
    async fn history(&self, name: &str, details: &ReadRawModifiedDetails) -> (Vec<DataValue>, usize) {
        let (mut all, mut point, mut calls) = (Vec::new(), ByteString::null(), 0);
        loop {
            let (values, next) = self.history_once(name, details, point).await;
            calls += 1;
            all.extend(values);
            if next.is_null_or_empty() {
                return (all, calls);
            }
            point = next;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test owns its tasks")]
async fn connect(url: &str, policy: SecurityPolicy, mode: MessageSecurityMode, pki: &Path) -> Arc<Session> {
    let mut client = ClientBuilder::new()
        .application_name("plant test")
        .application_uri("urn:plant:test")
        .product_uri("urn:plant:test")
        .pki_dir(pki)
        .create_sample_keypair(true)
        .trust_server_certs(true)
        .verify_server_certs(false)
        .session_retry_limit(3)
        .max_array_length(100_000)
        .client()
        .unwrap();
    let endpoint = (url, policy.to_str(), mode, UserTokenPolicy::anonymous());
    let (session, event_loop) = client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
    tokio::spawn(event_loop.run());
    assert!(timeout(PATIENCE, session.wait_for_connection()).await.unwrap());
    session
}

fn ticks(value: &DataValue) -> i64 {
    value.source_timestamp.unwrap().ticks()
}

fn last_hour(now: Timestamp, values_per_node: u32) -> ReadRawModifiedDetails {
    ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: now.plus_seconds(-3600.0).ticks().into(),
        end_time: now.ticks().into(),
        num_values_per_node: values_per_node,
        return_bounds: false,
    }
}

const SECOND: i64 = 10_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_of_history_is_there_at_once_without_a_loss_or_a_double() {
    let rig = Rig::start(|_| ()).await;
    let now = WallClock.now();
    let (forward, calls) = rig.history("Oven1.Temperature", &last_hour(now, 1000)).await;
    assert_eq!(calls, 4);
    assert!((3599..=3600).contains(&forward.len()), "{}", forward.len());
    assert!(forward.windows(2).all(|w| ticks(&w[1]) - ticks(&w[0]) == SECOND));
    assert!(forward.iter().all(|v| ticks(v) % SECOND == 0 && v.server_timestamp == v.source_timestamp));

    let forward_read = last_hour(now, 700);
    let (start_time, end_time) = (forward_read.end_time, forward_read.start_time);
    let (mut backward, _) =
        rig.history("Oven1.Temperature", &ReadRawModifiedDetails { start_time, end_time, ..forward_read }).await;
    backward.reverse();
    // The one difference: each read leaves out the value at its own end.
    assert_eq!(backward[1..], forward[forward.len() - (backward.len() - 1)..]);

    // The present value is the newest of history.
    let live = rig.read("Oven1.Level").await;
    assert_eq!(live.status(), StatusCode::BadNodeIdUnknown);
    let live = rig.until("Oven1.HeaterPower", |v| ticks(v) > now.ticks()).await;
    let at = Timestamp::from_ticks(ticks(&live));
    let only =
        ReadRawModifiedDetails { start_time: at.ticks().into(), end_time: at.ticks().into(), ..last_hour(at, 0) };
    assert_eq!(rig.history("Oven1.HeaterPower", &only).await.0, [live]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_obeys_the_documented_equations() {
    let rig = Rig::start(|options| options.faults = Faults::NONE).await;
    let read = last_hour(WallClock.now(), 0);
    let mut series = BTreeMap::new();
    for name in ["HeaterPower", "HeaterTemperature", "Temperature", "Ambient"] {
        let values = rig.history(&format!("Oven1.{name}"), &read).await.0;
        series.insert(name, values.iter().map(|v| v.value.as_ref().unwrap().as_f64().unwrap()).collect::<Vec<_>>());
    }
    let n = series.values().map(Vec::len).min().unwrap() as f64;
    let mean =
        |name: &str, f: fn(f64) -> f64| series[name].iter().map(|&x| f(x)).sum::<f64>() / series[name].len() as f64;
    let gain = |name: &str| series[name].last().unwrap() - series[name].first().unwrap();
    // Both balances, integrated over the hour: what flowed in is what was stored. Noise of the end points:
    // √2·0.5 K·750 J/K / 3600 s = 0.15 W and √2·0.2 K·3000 J/K / 3600 s = 0.24 W; of the means it is less.
    let through_w = OVEN1.k12_w_per_k * (mean("HeaterTemperature", |x| x) - mean("Temperature", |x| x));
    let heater_w = mean("HeaterPower", |x| x) - through_w - OVEN1.c1_j_per_k * gain("HeaterTemperature") / n;
    let chamber_w = through_w
        - OVEN1.k2_w_per_k * (mean("Temperature", |x| x) - mean("Ambient", |x| x))
        - OVEN1.c2_j_per_k * gain("Temperature") / n;
    assert!(heater_w.abs() < 2.0 && chamber_w.abs() < 2.0, "{heater_w} {chamber_w}");
    // Informative: the set-point takes many levels.
    let mut levels: Vec<i64> = series["HeaterPower"].iter().map(|x| *x as i64).collect();
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() >= 5, "{levels:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_get_every_instant_with_its_true_timestamp() {
    let rig = Rig::start(|options| options.publish_period = Duration::from_millis(100)).await;
    for sampling_ms in [0.0, 100.0, 250.0] {
        let mut values = rig.subscribe(&["Pump1.Current", "Oven1.Ambient"], sampling_ms).await;
        let mut received = Vec::new();
        while received.len() < 15 {
            let (item, value) = timeout(PATIENCE, values.recv()).await.unwrap().unwrap();
            received.extend((item == 0).then_some(value));
        }
        // Every value at its own time: the same pair is in history.
        for value in &received {
            let at = value.source_timestamp.unwrap();
            let read = ReadRawModifiedDetails { start_time: at, end_time: at, ..last_hour(WallClock.now(), 0) };
            let (kept, _) = rig.history("Pump1.Current", &read).await;
            assert_eq!(kept.first().map(|v| &v.value), Some(&value.value), "sampling {sampling_ms}, {value:?}");
        }
        let span = ticks(received.last().unwrap()) - ticks(&received[0]);
        // Equal readings in a row are not told twice; noise of 4 resolutions makes that rare.
        assert!((14 * SECOND / 10..22 * SECOND / 10).contains(&span), "sampling {sampling_ms}: {span}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_timestamp_rather_than_a_false_one() {
    let rig = Rig::start(|options| options.publish_period = Duration::from_millis(100)).await;
    let mut values = rig.subscribe(&["Pump1.Current"], -1.0).await;
    let mut instants = Vec::new();
    while instants.len() < 5 {
        let (_, value) = timeout(PATIENCE, values.recv()).await.unwrap().unwrap();
        let at = value.server_timestamp.unwrap();
        if let Some(source) = value.source_timestamp {
            assert_eq!(source, at, "{value:?}");
        }
        instants.push(at.ticks());
    }
    assert!(instants.windows(2).all(|w| w[0] < w[1]), "{instants:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_reaches_a_subscriber_without_a_filter_and_has_no_value() {
    let faults = Faults { bad_per_h: 7200.0, bad_s: 0.5, ..Faults::NONE };
    let rig = Rig::start(|options| {
        options.faults = faults;
        options.publish_period = Duration::from_millis(100);
    })
    .await;
    let mut values = rig.subscribe(&["Tanks1.Level2"], 100.0).await;
    let (mut good, mut bad) = (0, 0);
    while good < 3 || bad < 2 {
        let (_, value) = timeout(PATIENCE, values.recv()).await.unwrap().unwrap();
        if value.status().is_good() {
            good += 1;
        } else {
            assert_eq!(value.status(), StatusCode::BadSensorFailure);
            assert!(matches!(value.value, None | Some(Variant::Empty)), "{value:?}");
            bad += 1;
        }
    }
    let value = rig.until("Tanks1.Level2", |v| v.status().is_bad()).await;
    assert_eq!(value.status(), StatusCode::BadSensorFailure);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_written_set_point_holds_until_the_programme_is_switched_on_again() {
    let rig = Rig::start(|options| options.publish_period = Duration::from_millis(100)).await;
    assert_eq!(rig.read("Oven1.Auto").await.value, Some(Variant::Boolean(true)));
    assert_eq!(rig.write("Oven1.HeaterPower", 1234.5).await, StatusCode::Good);
    rig.until("Oven1.HeaterPower", |v| v.value == Some(Variant::Double(1234.5))).await;
    assert_eq!(rig.read("Oven1.Auto").await.value, Some(Variant::Boolean(false)));
    assert_eq!(rig.write("Oven1.Auto", true).await, StatusCode::Good);
    // The programme's levels are hundreds.
    rig.until("Oven1.HeaterPower", |v| v.value != Some(Variant::Double(1234.5))).await;

    assert_eq!(rig.write("Oven1.HeaterPower", 2001.0).await, StatusCode::BadOutOfRange);
    assert_eq!(rig.write("Oven1.HeaterPower", f64::NAN).await, StatusCode::BadOutOfRange);
    assert_eq!(rig.write("Oven1.HeaterPower", "hot").await, StatusCode::BadTypeMismatch);
    assert_eq!(rig.write("Oven1.Ageing", 1.5).await, StatusCode::BadOutOfRange);
    assert!(rig.write("Oven1.Temperature", 20.0).await.is_bad());
    assert!(rig.write("Oven1.Truth.C1", 20.0).await.is_bad());
    assert_eq!(rig.number("Oven1.Truth.C1").await, OVEN1.c1_j_per_k);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ageing_moves_the_truth_the_right_way() {
    let rig = Rig::start(|options| options.publish_period = Duration::from_millis(100)).await;
    for (device, constant, factor) in
        [("Oven1", "K2", 1.6), ("Tanks1", "K2", 0.7), ("Pump1", "Kf", 0.75), ("Pump1", "B", 5.0)]
    {
        let name = format!("{device}.Truth.{constant}");
        assert_eq!(rig.write(&format!("{device}.Ageing"), 0.0).await, StatusCode::Good);
        let is = |right: f64| move |v: &DataValue| matches!(v.value, Some(Variant::Double(x)) if (x / right - 1.0).abs() < 1e-12);
        let new = rig.number(&name).await;
        rig.until(&name, is(new)).await;
        assert_eq!(rig.write(&format!("{device}.Ageing"), 1.0).await, StatusCode::Good);
        rig.until(&name, is(if constant == "B" { 0.002 } else { new } * factor)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_is_what_its_formula_says() {
    for period_ms in [1000, 100] {
        let rig = Rig::start(|options| {
            options.load = 500;
            options.load_period = Duration::from_millis(period_ms);
            options.publish_period = options.load_period;
        })
        .await;
        let names: Vec<String> = (1..=500).map(|i| format!("Load.{i:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut values = rig.subscribe(&names, period_ms as f64).await;
        let (mut seen, mut worth) = (BTreeMap::<i64, usize>::new(), BTreeSet::new());
        while seen.values().filter(|n| **n == 500).count() < 3 {
            let (item, value) = timeout(PATIENCE, values.recv()).await.unwrap().unwrap();
            let at = ticks(&value);
            let Some(Variant::Double(x)) = value.value else { panic!("{value:?}") };
            assert_eq!(x, load_value(item + 1, Timestamp::from_ticks(at)));
            worth.extend((item == 0).then(|| x.to_bits()));
            *seen.entry(at).or_default() += 1;
        }
        assert!(worth.len() >= 3, "every instant has its own value: {worth:?}");
        let whole: Vec<i64> = seen.into_iter().filter(|(_, n)| *n == 500).map(|(at, _)| at).collect();
        let period = i64::try_from(period_ms).unwrap() * SECOND / 1000;
        assert!(whole.iter().all(|at| at % period == 0), "{whole:?}");
        assert!(period_ms < 1000 || whole.windows(2).all(|w| w[1] - w[0] == SECOND), "{whole:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secure_client_is_let_in_and_the_plant_stops_when_told() {
    let rig = Rig::start_with(SecurityPolicy::Basic256Sha256, MessageSecurityMode::SignAndEncrypt, |_| ()).await;
    assert_eq!(rig.number("Oven2.Truth.C1").await, 900.0);
    rig.stop.cancel();
    timeout(PATIENCE, rig.run).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_taken_port_is_an_error_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("plant");
    let options = PlantOptions { port: taken.local_addr().unwrap().port(), ..PlantOptions::new(&pki) };
    let error = Plant::bind(options).await.err().unwrap();
    assert!(matches!(error, PlantError::Listen { .. }), "{error}");
    assert!(!pki.exists());
}

/// Not a test but a way to look at a plant with other clients: `cargo test --release --test plant -- --ignored look`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until interrupted"]
async fn look() {
    let folder = tempfile::tempdir().unwrap();
    let plant = Plant::bind(PlantOptions { load: 100, ..PlantOptions::new(folder.path()) }).await.unwrap();
    plant.run(CancellationToken::new(), Arc::new(WallClock)).await.unwrap();
}
