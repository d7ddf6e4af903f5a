//! What HistoryRead costs over OPC UA: the program, run as it is installed, serves a million samples of one variable to
//! one client that reads them page by page, and averages a day of them. Prints values per second and the server's CPU per value. Argument: samples.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use opcua::{
    client::{ClientBuilder, HistoryReadAction, IdentityToken, Session},
    crypto::SecurityPolicy,
    types::{
        AggregateConfiguration, ByteString, DateTime, EndpointDescription, HistoryData, HistoryReadValueId,
        MessageSecurityMode, NodeId, ObjectId, ReadProcessedDetails, ReadRawModifiedDetails, TimestampsToReturn,
        UserTokenPolicy, VariableId, Variant,
    },
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_uatwin");
/// Seconds since 1601 of the first sample.
const START_S: i64 = 13_300_000_000;
const TICKS: i64 = 10_000_000;
const PAGE: u32 = 10_000;
const ROUNDS: usize = 3;

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

/// A day of seconds and more, of a noisy temperature.
fn samples(count: i64) -> String {
    let mut text = String::from("series,source_timestamp,server_timestamp,status,type,value\n");
    for i in 0..count {
        let time = chrono::DateTime::from_timestamp(START_S - 11_644_473_600 + i, 0).expect("in range");
        let at = time.format("%Y-%m-%dT%H:%M:%S.0000000Z");
        let value = 60.0 + 20.0 * (i as f64 * 0.001).sin() + (i.wrapping_mul(2_654_435_761) % 100) as f64 / 1000.0;
        writeln!(text, "A.V,{at},{at},0x00000000,Double,{value:.3}").expect("a String takes it");
    }
    text
}

struct Service(Child);

impl Service {
    fn start(config: &Path) -> Self {
        let child = Command::new(PROGRAM).args(["run", "--config"]).arg(config).stdout(Stdio::null()).spawn();
        Self(child.expect("the program starts"))
    }

    /// CPU time of the process so far, in seconds.
    fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let fields: Vec<f64> =
            stat.rsplit(") ").next().unwrap_or_default().split(' ').filter_map(|field| field.parse().ok()).collect();
        (fields.get(10).unwrap_or(&0.0) + fields.get(11).unwrap_or(&0.0)) / 100.0
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn connect(port: u16, folder: &Path) -> std::sync::Arc<Session> {
    let mut client = ClientBuilder::new()
        .application_name("bench")
        .application_uri("urn:bench")
        .pki_dir(folder.join("client"))
        .create_sample_keypair(false)
        .trust_server_certs(true)
        .session_retry_limit(50)
        .max_array_length(200_000)
        .max_message_size(64 << 20)
        .max_chunk_count(2_000)
        .client()
        .expect("a client");
    let url = format!("opc.tcp://127.0.0.1:{port}");
    let endpoint: EndpointDescription =
        (url.as_str(), SecurityPolicy::None.to_str(), MessageSecurityMode::None, UserTokenPolicy::anonymous()).into();
    let (session, event_loop) =
        client.connect_to_endpoint_directly(endpoint, IdentityToken::Anonymous).expect("an endpoint");
    #[expect(clippy::disallowed_methods, reason = "a client for as long as the process lives")]
    tokio::spawn(event_loop.run());
    assert!(session.wait_for_connection().await, "connected");
    session
}

/// Reads all pages; how many values.
async fn read(session: &Session, node: &NodeId, action: impl Fn() -> HistoryReadAction) -> usize {
    let (mut point, mut seen) = (ByteString::null(), 0);
    loop {
        let wanted =
            HistoryReadValueId { node_id: node.clone(), continuation_point: point, ..HistoryReadValueId::default() };
        let mut results =
            session.history_read(action(), TimestampsToReturn::Source, false, &[wanted]).await.expect("an answer");
        let result = results.remove(0);
        assert!(result.status_code.is_good(), "{}", result.status_code);
        seen += result.history_data.inner_as::<HistoryData>().and_then(|d| d.data_values.as_ref()).map_or(0, Vec::len);
        point = result.continuation_point;
        if point.is_null_or_empty() {
            return seen;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000_i64);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let config = config(folder.path(), port);
    let csv = folder.path().join("samples.csv");
    fs::write(&csv, samples(count)).expect("the samples are written");
    let imported = Command::new(PROGRAM).args(["history", "import", "--config"]).arg(&config).arg(&csv).status();
    assert!(imported.expect("the program starts").success(), "imported");

    let service = Service::start(&config);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let session = connect(port, folder.path()).await;
    let namespaces = session
        .read(&[NodeId::from(VariableId::Server_NamespaceArray).into()], TimestampsToReturn::Neither, 0.0)
        .await
        .expect("the namespaces");
    let Some(Variant::Array(names)) = &namespaces[0].value else { panic!("no namespaces") };
    let twins = names.values.iter().position(|name| *name == Variant::from("urn:uatwin:twins")).expect("twins");
    let node = NodeId::new(u16::try_from(twins).expect("an index"), "A.V");
    let time = |seconds: i64| DateTime::from((START_S + seconds) * TICKS);
    for _ in 0..ROUNDS {
        let (started, cpu) = (Instant::now(), service.cpu_s());
        let seen = read(&session, &node, || {
            HistoryReadAction::ReadRawModifiedDetails(ReadRawModifiedDetails {
                is_read_modified: false,
                start_time: time(0),
                end_time: time(count),
                num_values_per_node: PAGE,
                return_bounds: false,
            })
        })
        .await;
        assert_eq!(seen as i64, count, "every value, once");
        let (taken, cpu) = (started.elapsed().as_secs_f64(), service.cpu_s() - cpu);
        println!(
            "raw        {:.2} M values/s, {:.2} us server CPU per value",
            seen as f64 / taken / 1e6,
            cpu * 1e6 / seen as f64
        );
    }
    for (name, id, interval_s) in [
        ("Average by day", ObjectId::AggregateFunction_Average, 86_400),
        ("TimeAverage by hour", ObjectId::AggregateFunction_TimeAverage, 3_600),
    ] {
        let started = Instant::now();
        let seen = read(&session, &node, || {
            HistoryReadAction::ReadProcessedDetails(ReadProcessedDetails {
                start_time: time(0),
                end_time: time(count),
                processing_interval: f64::from(interval_s) * 1e3,
                aggregate_type: Some(vec![id.into()]),
                aggregate_configuration: AggregateConfiguration {
                    use_server_capabilities_defaults: true,
                    ..AggregateConfiguration::default()
                },
            })
        })
        .await;
        println!("{name}: {seen} values of {count} samples in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    }
}
