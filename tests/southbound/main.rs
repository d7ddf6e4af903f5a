//! What the OPC UA client promises, against a server that can be killed and a network that can go silent.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

mod plc;
mod proxy;

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use opcua::types::DateTime;
use plc::{Memory, NAMESPACE, Plc};
use proxy::Proxy;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uatwin::{
    sample::{Sample, SeriesId, StatusCode, Value},
    southbound::{
        Credentials, Event, LinkState, LinkStatus, NodeAddress, PathElement, PlcConfig, PlcId, SecurityMode,
        SharedLink, SharedOutlet, Watch, opcua_client::OpcUaClient,
    },
    time::{Clock, Timestamp},
    ua,
};

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        ua::timestamp(DateTime::now())
    }
}

fn now() -> Timestamp {
    WallClock.now()
}

/// A running client and what it says.
struct Running {
    events: mpsc::Receiver<Event>,
    /// What came before the connection was told of.
    early: VecDeque<Event>,
    link: SharedLink,
    outlet: SharedOutlet,
    stop: CancellationToken,
    task: JoinSet<()>,
    _pki: tempfile::TempDir,
}

fn config(url: &str) -> PlcConfig {
    PlcConfig {
        name: "line1".to_owned(),
        endpoints: vec![url.to_owned()],
        security_policy: "None".to_owned(),
        security_mode: SecurityMode::None,
        credentials: Credentials::Anonymous,
        publishing_interval: Duration::from_millis(50),
        backfill: None,
    }
}

fn id(name: &str) -> NodeAddress {
    NodeAddress::Id { namespace: Some(NAMESPACE.to_owned()), identifier: format!("s={name}") }
}

fn path(elements: &[(Option<&str>, &str)]) -> NodeAddress {
    let element = |(namespace, name): &(Option<&str>, &str)| PathElement {
        namespace: namespace.map(str::to_owned),
        name: (*name).to_owned(),
    };
    NodeAddress::Path(elements.iter().map(element).collect())
}

/// Watches the addresses as series 0, 1, ….
fn watches(addresses: impl IntoIterator<Item = NodeAddress>) -> Vec<Watch> {
    let watch = |(series, address)| Watch {
        series: SeriesId(series),
        address,
        sampling_interval: Duration::from_millis(10),
        historize: true,
        stored_until: None,
    };
    (0..).zip(addresses).map(watch).collect()
}

fn start(config: PlcConfig, watches: Vec<Watch>) -> Running {
    start_trusting(None, config, watches)
}

/// Trusts the certificate in a file.
fn start_trusting(trusted: Option<&Path>, config: PlcConfig, watches: Vec<Watch>) -> Running {
    let (sender, events) = mpsc::channel(64);
    let (link, outlet) = (SharedLink::new(RwLock::new(LinkStatus::default())), SharedOutlet::default());
    let stop = CancellationToken::new();
    let pki = tempfile::tempdir().unwrap();
    for folder in ["trusted", "rejected"] {
        std::fs::create_dir(pki.path().join(folder)).unwrap();
    }
    if let Some(file) = trusted {
        uatwin::pki::trust(pki.path(), file.to_str().unwrap()).unwrap();
    }
    let client = OpcUaClient {
        plc: PlcId(0),
        config,
        watches: watch::channel(watches.into()).1,
        link: link.clone(),
        outlet: outlet.clone(),
        events: sender,
        clock: Arc::new(WallClock),
        pki_dir: pki.path().to_owned(),
        application_uri: "urn:uatwin:test".to_owned(),
    };
    let mut task = JoinSet::new();
    task.spawn(client.run(stop.clone()));
    Running { events, early: VecDeque::new(), link, outlet, stop, task, _pki: pki }
}

impl Running {
    async fn next(&mut self) -> Event {
        if let Some(event) = self.early.pop_front() {
            return event;
        }
        timeout(Duration::from_secs(60), self.events.recv()).await.expect("an event").expect("the client runs")
    }

    async fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn connected(&mut self) {
        let mut early = VecDeque::new();
        loop {
            match self.next().await {
                Event::Connected { plc: PlcId(0) } => break,
                event @ Event::Samples { .. } => early.push_back(event),
                event => panic!("{event:?}"),
            }
        }
        self.early = early;
    }

    async fn lost(&mut self) {
        self.until(|event| matches!(event, Event::Lost { plc: PlcId(0), .. })).await;
    }

    /// Live samples until one of `series` has the value.
    async fn samples_until(&mut self, series: u32, value: f64) -> Vec<(SeriesId, Sample)> {
        let mut came = Vec::new();
        loop {
            match self.next().await {
                Event::Samples { samples, .. } => came.extend(samples),
                Event::Backfill { series, samples } => came.extend(samples.into_iter().map(|sample| (series, sample))),
                event => panic!("{event:?}"),
            }
            if came.iter().any(|(s, sample)| s.0 == series && sample.value == Value::Double(value)) {
                return came;
            }
        }
    }

    async fn end(mut self) -> LinkStatus {
        self.stop.cancel();
        while timeout(Duration::from_secs(20), self.task.join_next()).await.expect("the client ends").is_some() {}
        self.link.read().unwrap().clone()
    }
}

fn memory(values: impl IntoIterator<Item = (&'static str, Sample)>) -> Arc<Mutex<Memory>> {
    let live = values.into_iter().map(|(name, sample)| (name.to_owned(), sample)).collect();
    Arc::new(Mutex::new(Memory { live, history: HashMap::new() }))
}

fn second(n: f64) -> Timestamp {
    Timestamp::from_unix_s(1.7e9 + n)
}

#[tokio::test]
async fn values_timestamps_and_statuses_arrive_unchanged() {
    let plc = Plc::start(0, &[], &memory([("x", Sample::good(second(0.0), 1.0))]));
    let mut watched = watches([id("x")]);
    watched[0].sampling_interval = Duration::from_millis(1); // so that the PLC's queue holds them all
    let mut client = start(config(&plc.url()), watched);
    client.connected().await;
    client.samples_until(0, 1.0).await;
    let statuses = [0, 0x4000_0000, 0x8000_0000, 0x408F_0000, 0x0096_0000, 0x8009_0400, 0x0000_0780];
    let values = [
        Value::Double(f64::MAX),
        Value::Double(-0.0),
        Value::Float(1.5),
        Value::Int32(-7),
        Value::UInt64(u64::MAX),
        Value::Boolean(true),
        Value::String("Öfen".into()),
        Value::DateTime(second(3.0)),
        Value::ByteString(vec![0, 255].into()),
        Value::Double(2.0), // the same value again, later: a sample like any other
        Value::Double(2.0),
    ];
    let mut sent = Vec::new();
    for (n, value) in (0_i32..).zip(values) {
        for (m, status) in (0_i32..).zip(statuses) {
            let source_timestamp = second(f64::from(n) + f64::from(m) / 1e3 + 1e-7);
            let server_timestamp = second(f64::from(n) + f64::from(m) / 1e3 + 0.5);
            let status = StatusCode::from(status);
            sent.push(Sample { source_timestamp, server_timestamp, status, value: value.clone() });
        }
    }
    let last = Sample::good(second(100.0), 99.0);
    sent.push(last.clone());
    sent.iter().for_each(|sample| plc.put("x", sample.clone()));
    let came: Vec<_> = client.samples_until(0, 99.0).await.into_iter().map(|(_, sample)| sample).collect();
    assert_eq!(came, sent);
    let status = client.end().await;
    assert_eq!((status.samples_received, status.samples_dropped, status.reconnects), (sent.len() as u64 + 1, 0, 0));
    assert!(status.clock_offset_s.abs() < 60.0, "{status:?}");
}

#[tokio::test]
async fn a_plc_that_is_absent_at_start_is_found_when_it_comes() {
    let memory = memory([("x", Sample::good(second(0.0), 1.0))]);
    let port = Plc::start(0, &[], &memory).port; // and gone again
    let mut client = start(config(&format!("opc.tcp://127.0.0.1:{port}/")), watches([id("x")]));
    client.lost().await;
    assert!(!client.link.read().unwrap().last_error.is_empty());
    let _plc = Plc::start(port, &[], &memory);
    client.connected().await;
    client.samples_until(0, 1.0).await;
    assert_eq!(client.end().await.reconnects, 0);
}

#[tokio::test]
async fn a_killed_plc_is_lost_and_found_again_in_another_namespace_order() {
    let memory = memory([("x", Sample::good(second(0.0), 1.0)), ("y", Sample::good(second(0.0), 2.0))]);
    let plc = Plc::start(0, &["urn:other"], &memory);
    let by_path = path(&[(None, "Objects"), (Some(NAMESPACE), "Device"), (Some(NAMESPACE), "y")]);
    let mut client = start(config(&plc.url()), watches([id("x"), by_path]));
    client.connected().await;
    client.samples_until(1, 2.0).await;
    let port = plc.port;
    drop(plc);
    client.lost().await;
    assert_eq!(client.link.read().unwrap().state, LinkState::Lost);
    let plc = Plc::start(port, &["urn:new", "urn:newer", "urn:other"], &memory);
    client.connected().await;
    client.samples_until(1, 2.0).await; // what has not changed is told anew
    plc.put("x", Sample::good(second(1.0), 3.0));
    plc.put("y", Sample::good(second(1.0), 4.0));
    client.samples_until(1, 4.0).await;
    assert_eq!(client.end().await.reconnects, 1);
}

#[tokio::test]
async fn one_bad_node_among_many_stops_none() {
    let names: Vec<String> = (0..50).map(|n| format!("v{n}")).collect();
    let memory = memory([]);
    for name in &names {
        memory.lock().unwrap().live.insert(name.clone(), Sample::good(second(0.0), 1.0));
    }
    let plc = Plc::start(0, &[], &memory);
    let bad = [
        id("nothing"),
        NodeAddress::Id { namespace: Some("urn:nowhere".to_owned()), identifier: "i=1".to_owned() },
        path(&[(None, "Objects"), (None, "Device"), (None, "nothing")]),
        path(&[(None, "Objects"), (Some(NAMESPACE), "Nowhere"), (Some(NAMESPACE), "v1")]),
    ];
    let walked = path(&[(None, "Objects"), (None, "Device"), (None, "v49")]);
    let good = names.iter().map(|name| id(name)).chain([walked]);
    let mut client = start(config(&plc.url()), watches(bad.into_iter().chain(good)));
    client.connected().await;
    let mut failed = Vec::new();
    let mut came = Vec::new();
    while failed.len() + came.len() < 55 {
        match client.next().await {
            Event::ItemFailed { series, status, .. } => failed.push((series.0, status)),
            Event::Samples { samples, .. } => came.extend(samples.iter().map(|(series, _)| series.0)),
            event => panic!("{event:?}"),
        }
    }
    failed.sort_by_key(|(series, _)| *series);
    let (unknown, no_match) = (StatusCode::BadNodeIdUnknown, StatusCode::BadNoMatch);
    assert_eq!(failed, [(0, unknown), (1, unknown), (2, no_match), (3, no_match)]);
    came.sort_unstable();
    assert_eq!(came, (4..55).collect::<Vec<_>>());
    plc.put("v49", Sample::good(second(1.0), 7.0));
    client.samples_until(54, 7.0).await;
    client.end().await;
}

#[tokio::test]
async fn a_link_that_goes_silent_is_lost_and_replaced() {
    let plc = Plc::start(0, &[], &memory([("x", Sample::good(second(0.0), 1.0))]));
    let proxy = Proxy::start(plc.port).await;
    // The server says it is at its own port; the config's port must be kept to, or the proxy would be passed by.
    let mut client = start(config(&proxy.url()), watches([id("x")]));
    client.connected().await;
    client.samples_until(0, 1.0).await;
    proxy.forward(false);
    client.lost().await;
    proxy.forward(true);
    plc.put("x", Sample::good(second(1.0), 2.0));
    client.connected().await;
    client.samples_until(0, 2.0).await;
    plc.put("x", Sample::good(second(2.0), 3.0));
    client.samples_until(0, 3.0).await;
    client.end().await;
}

#[tokio::test]
async fn what_was_missed_is_filled_without_a_loss_or_a_double() {
    let begin = now() - Duration::from_secs(1_000);
    let at = |n: u32| begin + Duration::from_millis(u64::from(n) * 100);
    let sample = |n: u32| Sample::good(at(n), f64::from(n));
    let names = ["a", "b", "c"];
    let memory = memory(names.map(|name| (name, sample(999))));
    for name in names {
        memory.lock().unwrap().history.insert(name.to_owned(), (0..1_000).map(sample).collect());
    }
    let plc = Plc::start(0, &[], &memory);
    let proxy = Proxy::start(plc.port).await;
    let mut watched = watches(names.map(id));
    watched[1].stored_until = Some(at(499)); // the store had half of it
    watched[2].historize = false;
    let mut client = start(PlcConfig { backfill: Some(Duration::from_secs(3_600)), ..config(&proxy.url()) }, watched);
    client.connected().await;
    let mut came: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut live = 999_u32;
    let mut phase = 0;
    // First the past; then 500 samples while the link is dead; then more, live.
    loop {
        match client.next().await {
            Event::Samples { samples, .. } => collect(&mut came, samples),
            Event::Backfill { series, samples } => {
                assert!(samples.len() <= 1_000);
                collect(&mut came, samples.into_iter().map(|sample| (series, sample)));
            }
            Event::Lost { .. } => {
                for _ in 0..500 {
                    live += 1;
                    names.iter().for_each(|name| plc.put(name, sample(live)));
                }
                proxy.forward(true);
            }
            Event::Connected { .. } => {}
            event @ Event::ItemFailed { .. } => panic!("{event:?}"),
        }
        let count = |series: u32| came.get(&series).map_or(0, Vec::len);
        if phase == 0 && count(0) == 1_000 && count(1) == 500 {
            phase = 1;
            live += 1;
            names.iter().for_each(|name| plc.put(name, sample(live)));
        } else if phase == 1 && count(2) == 2 && count(0) == 1_001 {
            phase = 2;
            proxy.forward(false);
        } else if phase == 2 && count(0) == 1_501 && count(1) == 1_001 && count(2) == 3 {
            break;
        }
    }
    for (series, expected) in
        [(0, (0..=1_500).collect::<Vec<_>>()), (1, (500..=1_500).collect()), (2, vec![999, 1_000, 1_500])]
    {
        let got = came.get_mut(&series).unwrap();
        got.sort_unstable();
        assert_eq!(*got, expected, "series {series}");
    }
    client.end().await;
}

fn collect(came: &mut HashMap<u32, Vec<u32>>, samples: impl IntoIterator<Item = (SeriesId, Sample)>) {
    for (series, sample) in samples {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
        came.entry(series.0).or_default().push(sample.usable().unwrap() as u32);
    }
}

#[tokio::test]
async fn security_and_password_work_and_stop_closes_the_session() {
    let pki = tempfile::tempdir().unwrap();
    let memory = memory([("x", Sample::good(second(0.0), 1.0))]);
    let plc = Plc::start_secure(0, &[], &memory, Some(pki.path().to_owned()));
    let secure = PlcConfig {
        security_policy: "Basic256Sha256".to_owned(),
        security_mode: SecurityMode::SignAndEncrypt,
        credentials: Credentials::Password { name: plc::USER.0.to_owned(), password: plc::USER.1.to_owned() },
        ..config(&plc.url())
    };
    let mut client = start(secure.clone(), watches([id("x")]));
    client.lost().await;
    let said = client.end().await.last_error;
    assert!(said.contains("is not trusted; `uatwin cert trust "), "{said}");
    let certificate = pki.path().join("own/cert.der");
    let trusting = |config| start_trusting(Some(&certificate), config, watches([id("x")]));
    let mut client = trusting(secure.clone());
    client.connected().await;
    client.samples_until(0, 1.0).await;
    plc.put("x", Sample::good(second(1.0), 2.0));
    client.samples_until(0, 2.0).await;
    client.end().await;
    // The PLC has room for one session: had the first not been closed, this one would not come at its first attempt.
    let mut client = trusting(secure.clone());
    client.connected().await;
    client.end().await;
    let wrong = Credentials::Password { name: plc::USER.0.to_owned(), password: "falsch".to_owned() };
    let mut client = trusting(PlcConfig { credentials: wrong, ..secure });
    client.lost().await;
    let said = client.end().await.last_error;
    assert!(!said.is_empty() && !said.contains("falsch"), "{said}");
}

/// Not a promise but a figure: run with `--ignored --nocapture`. The client has this thread for itself, so the thread's
/// CPU time is the client's (and that of taking its events).
#[tokio::test]
#[ignore = "a measurement"]
async fn cpu_per_value_of_ten_thousand_at_one_hertz() {
    const VARIABLES: u32 = 10_000;
    const ROUNDS: u32 = 15;
    let names: Vec<String> = (0..VARIABLES).map(|n| format!("v{n}")).collect();
    let memory = memory([]);
    for name in &names {
        memory.lock().unwrap().live.insert(name.clone(), Sample::good(second(0.0), 0.0));
    }
    let plc = Plc::start(0, &[], &memory);
    let mut watched = watches(names.iter().map(|name| id(name)));
    watched.iter_mut().for_each(|watch| watch.sampling_interval = Duration::from_secs(1));
    let begin = std::time::Instant::now();
    let mut client =
        start(PlcConfig { publishing_interval: Duration::from_millis(500), ..config(&plc.url()) }, watched);
    client.connected().await;
    let connected = begin.elapsed();
    let mut came = 0_u32;
    while came < VARIABLES {
        if let Event::Samples { samples, .. } = client.next().await {
            came += u32::try_from(samples.len()).unwrap();
        }
    }
    println!("connected after {connected:?}, all first values after {:?}", begin.elapsed());
    let cpu_ns = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let source = std::thread::Builder::new().spawn(move || {
        let (_keep, beat) = std::sync::mpsc::channel::<()>();
        for round in 1..=ROUNDS {
            names.iter().for_each(|name| plc.put(name, Sample::good(second(f64::from(round)), f64::from(round))));
            let _ = beat.recv_timeout(Duration::from_secs(1));
        }
        plc
    });
    let before = cpu_ns();
    came = 0;
    while came < ROUNDS * VARIABLES {
        if let Event::Samples { samples, .. } = client.next().await {
            came += u32::try_from(samples.len()).unwrap();
        }
    }
    println!("{:.2} us CPU per value over {came} values", (cpu_ns() - before) as f64 / 1e3 / f64::from(came));
    let _plc = source.unwrap().join().unwrap();
    let status = client.end().await;
    assert_eq!((status.samples_dropped, status.reconnects), (0, 0));
}

#[tokio::test]
async fn the_first_values_are_handed_on_while_other_items_are_still_being_made() {
    let names: Vec<String> = (0..30_000).map(|n| format!("v{n}")).collect();
    let memory = memory([]);
    for name in &names {
        memory.lock().unwrap().live.insert(name.clone(), Sample::good(second(0.0), 0.0));
    }
    let plc = Plc::start(0, &[], &memory);
    let mut client = start(config(&plc.url()), watches(names.iter().map(|name| id(name))));
    client.connected().await;
    let early = client.early.iter().map(|event| match event {
        Event::Samples { samples, .. } => samples.len(),
        _ => 0,
    });
    assert!(early.sum::<usize>() > 0, "no value in all the time that it takes");
    assert_eq!(client.end().await.samples_dropped, 0);
}

#[tokio::test]
async fn a_write_goes_to_the_plc_in_its_own_type_and_comes_back_with_its_status() {
    let held = [
        ("double", Value::Double(1.0)),
        ("float", Value::Float(1.0)),
        ("register", Value::UInt16(1)),
        ("flag", Value::Boolean(false)),
        ("locked", Value::Double(1.0)),
    ];
    let held = held.map(|(name, value)| (name, Sample { value, ..Sample::good(second(0.0), 0.0) }));
    let memory = memory(held);
    let plc = Plc::start(0, &["urn:before"], &memory);
    let mut client = start(config(&plc.url()), watches([id("double")]));
    let outlet = client.outlet.clone();
    assert_eq!(outlet.write(id("double"), Value::Double(2.0)).await, StatusCode::BadNoCommunication);
    client.connected().await;
    let cases = [
        (id("double"), Value::Double(2.5), StatusCode::Good, Some(Value::Double(2.5))),
        (
            path(&[(None, "Objects"), (None, "Device"), (None, "float")]),
            Value::Double(0.1),
            StatusCode::Good,
            Some(Value::Float(0.1)),
        ),
        (id("register"), Value::Double(632.7), StatusCode::Good, Some(Value::UInt16(633))),
        (id("register"), Value::Double(-1.0), StatusCode::BadOutOfRange, Some(Value::UInt16(633))),
        (id("flag"), Value::Boolean(true), StatusCode::Good, Some(Value::Boolean(true))),
        (id("flag"), Value::Double(0.0), StatusCode::BadTypeMismatch, Some(Value::Boolean(true))),
        (id("locked"), Value::Double(2.0), StatusCode::BadUserAccessDenied, Some(Value::Double(1.0))),
        (id("absent"), Value::Double(2.0), StatusCode::BadNodeIdUnknown, None),
    ];
    for (address, value, status, held) in cases {
        let asked = format!("{address:?} {value:?}");
        let name = match &address {
            NodeAddress::Id { identifier, .. } => identifier[2..].to_owned(),
            NodeAddress::Path(path) => path.last().unwrap().name.clone(),
        };
        assert_eq!(outlet.write(address, value).await, status, "{asked}");
        assert_eq!(memory.lock().unwrap().live.get(&name).map(|sample| sample.value.clone()), held, "{asked}");
    }
    drop(plc);
    client.lost().await;
    assert_eq!(outlet.write(id("double"), Value::Double(2.0)).await, StatusCode::BadNoCommunication);
    assert_eq!(client.end().await.reconnects, 0);
}

/// Whether the value arrived nobody knows: that is said, and nothing else waits for it.
#[tokio::test]
async fn a_write_whose_plc_goes_away_is_answered() {
    let memory = memory([("mute", Sample::good(second(0.0), 1.0))]);
    let plc = Plc::start(0, &[], &memory);
    let mut client = start(config(&plc.url()), watches([id("mute")]));
    client.connected().await;
    let outlet = client.outlet.clone();
    let (status, ()) = tokio::join!(outlet.write(id("mute"), Value::Double(2.0)), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        drop(plc);
    });
    assert!(status.is_bad(), "{status}");
    client.lost().await;
    client.end().await;
}
