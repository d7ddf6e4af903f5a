//! The whole path: the plant's load variables in another process, each a twin's variable here, stored and checked value
//! by value at the end.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    config,
    history::Direction,
    plant::load_value,
    sample::SeriesId,
    time::{Clock, Timestamp},
};

const VARIABLES_PER_TWIN: u32 = 10;
/// Time for the session, the subscription and the first values.
const SETTLE: Duration = Duration::from_secs(5);

/// What was measured, after the path had settled.
#[derive(Debug, Serialize)]
pub struct LiveFigures {
    /// Variables at 1 Hz.
    pub variables: u32,
    /// Length of the measurement.
    pub seconds: f64,
    /// Samples found in history for that time.
    pub samples: u64,
    /// Samples that should be there and are not.
    pub missing: u64,
    /// Samples with another value than the PLC gave.
    pub wrong: u64,
    /// CPU time of this process (twins and server, not the PLC) per sample.
    pub cpu_us_per_value: f64,
    /// The same as a share of one core.
    pub cpu_percent: f64,
    /// Resident memory at the end.
    pub rss_mib: f64,
    /// Resident memory at most.
    pub rss_peak_mib: f64,
}

/// Runs plant and twins; needs nothing but this binary.
pub(super) async fn measure(
    variables: u32,
    length: Duration,
    clock: Arc<dyn Clock>,
) -> Result<LiveFigures, Box<dyn Error>> {
    let scratch = Scratch::new("live")?;
    let port = free_port()?;
    let _plant = start_plant(variables, port, scratch.path())?;
    let text = config_text(variables, port);
    let mut config = config::parse_builtin(&text, "bench.toml").map_err(|faults| format!("{faults:?}"))?;
    config.data_dir = scratch.path().join("data");
    config.server.pki_dir = scratch.path().join("certs");
    let app = App::start(config, Arc::clone(&clock)).await?;
    let history = app.history();
    let stop = CancellationToken::new();
    let running = app.run(stop.clone());
    let observing = async {
        tokio::time::sleep(SETTLE).await;
        let (from, cpu) = (clock.now(), cpu_s());
        tokio::time::sleep(length).await;
        let figures = (from, clock.now(), cpu_s() - cpu, memory_mib("VmRSS:"), memory_mib("VmHWM:"));
        tokio::time::sleep(Duration::from_secs(2)).await; // what was on its way arrives
        stop.cancel();
        figures
    };
    let (ended, (from, to, cpu, rss_mib, rss_peak_mib)) = tokio::join!(running, observing);
    ended?;
    let seconds = to.seconds_since(from);
    let expected = whole_seconds(from, to);
    let (mut samples, mut missing, mut wrong) = (0, 0, 0);
    for index in 0..variables {
        let stored = history.read(SeriesId(index), from..to, Direction::Forward, usize::MAX)?;
        samples += stored.len() as u64;
        missing += expected.saturating_sub(stored.len() as u64);
        let right = |s: &&crate::sample::Sample| s.usable() == Some(load_value(index + 1, s.source_timestamp));
        wrong += (stored.len() - stored.iter().filter(right).count()) as u64;
    }
    let cpu_us_per_value = cpu * 1e6 / samples.max(1) as f64;
    let cpu_percent = 100.0 * cpu / seconds;
    Ok(LiveFigures {
        variables,
        seconds,
        samples,
        missing,
        wrong,
        cpu_us_per_value,
        cpu_percent,
        rss_mib,
        rss_peak_mib,
    })
}

/// Whole seconds in `[from, to)`: one sample of each variable stands at each.
fn whole_seconds(from: Timestamp, to: Timestamp) -> u64 {
    let ceil = |at: Timestamp| at.ticks().div_euclid(10_000_000) + i64::from(at.ticks().rem_euclid(10_000_000) != 0);
    u64::try_from(ceil(to) - ceil(from)).unwrap_or(0)
}

fn config_text(variables: u32, port: u16) -> String {
    let mut text = format!(
        "[server]\nname = \"bench\"\nendpoint = \"opc.tcp://127.0.0.1:0\"\n\
         [server.security]\npolicies = [\"None\"]\n\
         [plc.load]\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n\
         publishing_interval = \"200ms\"\n"
    );
    for v in 0..VARIABLES_PER_TWIN.min(variables) {
        let _ = write!(
            text,
            "[twin_type.Load.variable.V{v}]\nsource = \"nsu=urn:uatwin:plant;s=none\"\nsampling_interval = \"1s\"\n"
        );
    }
    for twin in 0..variables.div_ceil(VARIABLES_PER_TWIN) {
        let _ = write!(text, "[twin.T{twin:05}]\ntype = \"Load\"\nplc = \"load\"\ndevice = \"Load\"\n");
        for v in 0..VARIABLES_PER_TWIN.min(variables) {
            let index = (twin * VARIABLES_PER_TWIN + v + 1).min(variables);
            let _ = writeln!(text, "variable.V{v}.source = \"nsu=urn:uatwin:plant;s=Load.{index:05}\"");
        }
    }
    text
}

/// The plant's process, ended with the benchmark.
struct PlantProcess(Child);

impl Drop for PlantProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_plant(variables: u32, port: u16, folder: &Path) -> Result<PlantProcess, Box<dyn Error>> {
    let child = Command::new(std::env::current_exe()?)
        .args(["plant", "--port", &port.to_string(), "--load", &variables.to_string(), "--pki-dir"])
        .arg(folder.join("plant-certs"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(PlantProcess(child))
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// User and system time of this process in seconds (proc(5), fields 14 and 15, in hundredths).
fn cpu_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

/// A line of /proc/self/status that is in kB.
fn memory_mib(line: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status
        .lines()
        .find_map(|l| l.strip_prefix(line))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    found.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// A folder of the benchmark's own, removed at its end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("uatwin-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
