//! The whole path: the plant's load variables in another process, each a twin's variable here, stored and checked value
//! by value at the end.

use std::{error::Error, fmt::Write as _, sync::Arc, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::process::{Process, Scratch, cpu_s, free_port, memory_mib};
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
    let _plant = Process::plant(variables, port, scratch.path())?;
    let text = config_text(variables, port, 0);
    let mut config = config::parse_builtin(&text, "bench.toml").map_err(|faults| format!("{faults:?}"))?;
    config.data_dir = scratch.path().join("data");
    config.server.pki_dir = scratch.path().join("certs");
    let app = App::start(config, Arc::clone(&clock)).await?;
    let history = app.history();
    let stop = CancellationToken::new();
    let running = app.run(stop.clone());
    let observing = async {
        tokio::time::sleep(SETTLE).await;
        let (from, cpu) = (clock.now(), cpu_s(std::process::id()));
        tokio::time::sleep(length).await;
        let figures = (from, clock.now(), cpu_s(std::process::id()) - cpu, memory_mib("VmRSS:"), memory_mib("VmHWM:"));
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

/// All variables of a plant, ten in a twin; what it is called with stands in [`names`].
pub(super) fn config_text(variables: u32, plant_port: u16, own_port: u16) -> String {
    let mut text = format!(
        "[server]\nname = \"bench\"\nendpoint = \"opc.tcp://127.0.0.1:{own_port}\"\n\
         [server.security]\npolicies = [\"None\"]\n\
         [plc.load]\nendpoint = \"opc.tcp://127.0.0.1:{plant_port}\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n\
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

/// The series of a config of [`config_text`], in the order of the plant's variables.
pub(super) fn names(variables: u32) -> impl Iterator<Item = String> {
    (0..variables).map(|index| format!("T{:05}.V{}", index / VARIABLES_PER_TWIN, index % VARIABLES_PER_TWIN))
}
