//! `uatwin demo`: a plant and its twins in one process, on loopback. On a terminal a small live table, else the log.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    app::{App, AppError},
    config::{self, Config, Fault},
    plant::{Plant, PlantError, PlantOptions},
    sample::Sample,
    time::Clock,
    twin::{Facet, TwinState},
};

/// The demo's config, part of the program.
const CONFIG: &str = include_str!("../../config/demo.toml");

/// `uatwin demo`'s flags.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Of the twins' server; 0: any free one.
    pub port: u16,
    /// Of the plant's server; 0: any free one.
    pub plant_port: u16,
    /// History, certificates, log.
    pub data_dir: PathBuf,
    /// Stop after this long; `None`: when told to.
    pub duration: Option<Duration>,
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The plant.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// The twins.
    #[error(transparent)]
    App(#[from] AppError),
    /// The built-in config; a test keeps this from happening.
    #[error("the demo's own config is faulty: {0:?}")]
    Config(Vec<Fault>),
}

/// The demo's config under the flags, its plant at `plant_url`.
///
/// # Errors
/// Only if the built-in text is wrong.
pub fn demo_config(options: &DemoOptions, plant_url: &str) -> Result<Config, DemoError> {
    let mut config = config::parse_builtin(CONFIG, "demo.toml").map_err(DemoError::Config)?;
    config.server.port = options.port;
    config.server.pki_dir = options.data_dir.join("certs");
    config.server.trust_any_client = true;
    config.data_dir.clone_from(&options.data_dir);
    for plc in &mut config.plcs {
        plc.endpoints = vec![plant_url.to_owned()];
    }
    Ok(config)
}

/// Runs until `stop` or the flag's duration is over; returns the sentence that says what was stored.
///
/// # Errors
/// A taken port, an unwritable folder.
pub async fn run(options: DemoOptions, clock: Arc<dyn Clock>, stop: CancellationToken) -> Result<String, DemoError> {
    let plant_options =
        PlantOptions { port: options.plant_port, ..PlantOptions::new(options.data_dir.join("plant-certs")) };
    let plant = Plant::bind(plant_options).await?;
    let config = demo_config(&options, plant.endpoint_url())?;
    let plant_stop = CancellationToken::new();
    let (plant_clock, stop_plant) = (Arc::clone(&clock), plant_stop.clone());
    let mut plants = tokio::task::JoinSet::from_iter([async move { plant.run(stop_plant, plant_clock).await }]);

    let app = App::start(config, Arc::clone(&clock)).await?;
    let (url, state) = (app.endpoint_url(), app.state());
    info!(twins = state.configured().count(), "connect any OPC UA client, with security or without");
    let end = options.duration.map(|duration| Instant::now() + duration);
    let watching = watch(&state, &url, end, stop.clone());
    let (report, ()) = tokio::join!(app.run(stop.clone()), watching);
    plant_stop.cancel();
    while let Some(ended) = plants.join_next().await {
        ended.unwrap_or(Ok(()))?;
    }
    let report = report?;
    Ok(format!(
        "stopped: {} samples stored in {}, all of them durable ({} lost); start again and they are there",
        report.samples,
        options.data_dir.join("history").display(),
        report.samples_lost
    ))
}

/// Shows the table where there is a terminal, and stops everything when the time is over.
async fn watch(state: &TwinState, url: &str, end: Option<Instant>, stop: CancellationToken) {
    let terminal = std::io::stdout().is_terminal();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = second.tick() => (),
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            stop.cancel();
            return;
        }
        if terminal {
            let text = table(state, url);
            let mut out = std::io::stdout().lock();
            // Back to the table's first line, and clear from there.
            let _ = write!(out, "{}\x1b[J{text}", if drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() });
            let _ = out.flush();
            drawn = text.lines().count();
        }
    }
}

/// Measured, simulated, residual and quality of every modelled variable.
fn table(state: &TwinState, url: &str) -> String {
    let mut text = format!("uatwin demo · {url}\n\n");
    let _ = writeln!(text, "{:<28}{:>12}{:>12}{:>12}   quality", "twin.variable", "measured", "simulated", "residual");
    let configured = state.configured();
    for id in configured.ids() {
        let (twin, twin_type) = (configured.twin(id), configured.type_of(id));
        let Some(model) = &twin_type.model else { continue };
        let live = state.read(id);
        for (k, v) in model.outputs.iter().enumerate() {
            let measured = live.sample(twin_type, Facet::Variable(*v));
            let name = format!("{}.{}", twin.name, twin_type.variables[*v].name);
            let simulated = number(live.sample(twin_type, Facet::Simulated(k)));
            let residual = number(live.sample(twin_type, Facet::Residual(k)));
            let _ =
                writeln!(text, "{name:<28}{:>12}{simulated:>12}{residual:>12}   {}", number(measured), measured.status);
        }
    }
    let _ = write!(
        text,
        "\nTry: browse Objects/Twins in any OPC UA client · call Fit on a twin · write Ageing = 1 at the plant, call Fit \
         again\nand see its parameter move · Ctrl-C stops and says what was stored\n"
    );
    text
}

fn number(sample: &Sample) -> String {
    sample.value.as_f64().map_or_else(|| "–".to_owned(), |x| format!("{x:.3}"))
}
