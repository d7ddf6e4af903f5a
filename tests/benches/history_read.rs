//! What HistoryRead costs over OPC UA: the program, run as it is installed, serves one variable at 1 Hz to one client that
//! reads a million values of it page by page, averages each day and time-averages each hour of all. Prints values per
//! second, the time of a whole request with its continuation points, and the server's CPU. Argument: samples (1,000,000;
//! a year is 31536000 and has promises to keep).

#[path = "support/client.rs"]
mod client;
#[path = "support/cpu.rs"]
mod cpu;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use opcua::{
    client::{HistoryReadAction, Session},
    types::{
        AggregateConfiguration, ByteString, DateTime, HistoryData, HistoryReadValueId, NodeId, ObjectId,
        ReadProcessedDetails, ReadRawModifiedDetails, TimestampsToReturn,
    },
};

use uatwin::{
    history::{
        HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId},
    time::Timestamp,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_uatwin");
/// Seconds since 1601 of the first sample.
const START_S: i64 = 13_300_000_000;
const TICKS: i64 = 10_000_000;
const PAGE: u32 = 10_000;
const ROUNDS: usize = 3;
/// Read raw at most.
const RAW_MAX: i64 = 1_000_000;
const YEAR: i64 = 365 * 86_400;

fn config(folder: &Path, port: u16) -> std::path::PathBuf {
    let text = format!(
        "[server]\nname = \"bench\"\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nadvertise = \"127.0.0.1\"\n\
         data_dir = \"data\"\npki_dir = \"pki\"\n[server.security]\npolicies = [\"None\"]\n\
         [twin_type.T.variable.V]\n[twin.A]\ntype = \"T\"\n"
    );
    let path = folder.join("bench.toml");
    fs::write(&path, text).expect("the config is written");
    path
}

/// A noisy temperature, put where the program will look for it: importing a year of it as CSV would take minutes.
fn write_history(folder: &Path, count: i64) {
    const BATCH: i64 = 8192;
    let store = SledStore::open(&folder.join("data/history"), &["A.V".to_owned()], SledOptions::default());
    let store = store.expect("history opens");
    let sample = |i: i64| {
        let noise = (i.wrapping_mul(2_654_435_761) % 100) as f64 / 1000.0;
        let value = 60.0 + 20.0 * (i as f64 * 0.001).sin() + noise;
        Sample::good(Timestamp::from_ticks((START_S + i) * TICKS), (value * 1000.0).round() / 1000.0)
    };
    for first in (0..count).step_by(BATCH as usize) {
        let samples: Vec<_> = (first..count.min(first + BATCH)).map(|i| (SeriesId(0), sample(i))).collect();
        store.append(&samples).expect("append");
        store.compact(2 * samples.len()).expect("compact");
        if first / BATCH % 100 == 0 {
            store.flush().expect("flush");
        }
    }
    while store.compact(1 << 20).expect("compact").is_more {}
    store.flush().expect("flush");
}

struct Service(Child);

impl Service {
    fn start(config: &Path) -> Self {
        let child = Command::new(PROGRAM).args(["run", "--config"]).arg(config).stdout(Stdio::null()).spawn();
        Self(child.expect("the program starts"))
    }

    /// CPU time of the process so far, in seconds.
    fn cpu_s(&self) -> f64 {
        cpu::cpu_s(self.0.id())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads all pages; how many values, and how many pages.
async fn read(session: &Session, node: &NodeId, action: impl Fn() -> HistoryReadAction) -> (usize, usize) {
    let (mut point, mut seen) = (ByteString::null(), 0);
    for pages in 1.. {
        let wanted =
            HistoryReadValueId { node_id: node.clone(), continuation_point: point, ..HistoryReadValueId::default() };
        let mut results =
            session.history_read(action(), TimestampsToReturn::Source, false, &[wanted]).await.expect("an answer");
        let result = results.remove(0);
        assert!(result.status_code.is_good(), "{}", result.status_code);
        seen += result.history_data.inner_as::<HistoryData>().and_then(|d| d.data_values.as_ref()).map_or(0, Vec::len);
        point = result.continuation_point;
        if point.is_null_or_empty() {
            return (seen, pages);
        }
    }
    unreachable!("a request has an end")
}

fn raw(start: DateTime, end: DateTime) -> HistoryReadAction {
    HistoryReadAction::ReadRawModifiedDetails(ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: start,
        end_time: end,
        num_values_per_node: PAGE,
        return_bounds: false,
    })
}

fn processed(aggregate: ObjectId, interval_s: u32, start: DateTime, end: DateTime) -> HistoryReadAction {
    HistoryReadAction::ReadProcessedDetails(ReadProcessedDetails {
        start_time: start,
        end_time: end,
        processing_interval: f64::from(interval_s) * 1e3,
        aggregate_type: Some(vec![aggregate.into()]),
        aggregate_configuration: AggregateConfiguration {
            use_server_capabilities_defaults: true,
            ..AggregateConfiguration::default()
        },
    })
}

/// The variable's node, whatever the index of its namespace is.
async fn variable(session: &Session) -> NodeId {
    NodeId::new(client::namespace(session).await, "A.V")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000_i64);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let config = config(folder.path(), port);
    let started = Instant::now();
    write_history(folder.path(), count);
    println!("{count} samples written in {:.1} s", started.elapsed().as_secs_f64());

    let service = Service::start(&config);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let session = client::connect(port, folder.path()).await;
    let node = variable(&session).await;
    let time = |seconds: i64| DateTime::from((START_S + seconds) * TICKS);
    let raw_count = count.min(RAW_MAX);
    for _ in 0..ROUNDS {
        let (started, cpu) = (Instant::now(), service.cpu_s());
        let (seen, _) = read(&session, &node, || raw(time(0), time(raw_count))).await;
        assert_eq!(seen as i64, raw_count, "every value, once");
        let (taken, cpu) = (started.elapsed().as_secs_f64(), service.cpu_s() - cpu);
        println!(
            "raw        {:.2} M values/s, {:.2} us server CPU per value",
            seen as f64 / taken / 1e6,
            cpu * 1e6 / seen as f64
        );
    }
    for (name, id, interval_s, promised_ms) in [
        ("Average by day", ObjectId::AggregateFunction_Average, 86_400_u32, 50.0),
        ("TimeAverage by hour", ObjectId::AggregateFunction_TimeAverage, 3_600, 2_000.0),
    ] {
        let mut slowest = 0.0_f64;
        for _ in 0..ROUNDS {
            let (started, cpu) = (Instant::now(), service.cpu_s());
            let (seen, pages) = read(&session, &node, || processed(id, interval_s, time(0), time(count))).await;
            assert_eq!(seen as u64, count.unsigned_abs().div_ceil(interval_s.into()), "a value per interval");
            let (ms, cpu_ms) = (started.elapsed().as_secs_f64() * 1e3, (service.cpu_s() - cpu) * 1e3);
            slowest = slowest.max(ms);
            println!(
                "{name}: {seen} values of {count} samples in {ms:.1} ms, {pages} responses, {cpu_ms:.0} ms server CPU"
            );
        }
        if count >= YEAR {
            let verdict = if slowest <= promised_ms { "kept" } else { "NOT KEPT" };
            println!("promise    {name} of a year in at most {promised_ms} ms: {verdict}");
        }
    }
}
