//! `uatwin bench`: what this machine does with the program's main jobs. Figures are printed, never asserted.

mod fit;
mod history;
mod live;
mod machine;
mod process;
mod read;

use std::{error::Error, fmt::Write as _, sync::Arc, time::Duration};

use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::time::Clock;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// A PLC in another process → twins → history
    Live,
    /// A client's Read and Browse
    Read,
    /// The store alone
    History,
    /// The numerics alone
    Fit,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// In whatever order; empty: everything.
    pub only: Vec<Part>,
    /// Variables of the live path and of the reads.
    pub variables: u32,
    /// Of the live path.
    pub length: Duration,
}

/// Everything measured, as `--json` prints it. What was not asked for is not there.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    /// Of the program.
    pub version: &'static str,
    /// Where it ran.
    pub machine: machine::Machine,
    /// A PLC in another process → twins → history, in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<live::LiveFigures>,
    /// A client in this process, the server in another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<read::ReadFigures>,
    /// The store alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<history::HistoryFigures>,
    /// The numerics alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<fit::FitFigures>,
}

/// Runs benchmarks; returns the table, or one JSON object.
///
/// # Errors
/// If a part cannot run at all.
pub async fn run(json: bool, options: &BenchOptions, clock: Arc<dyn Clock>) -> Result<String, Box<dyn Error>> {
    let bar = ProgressBar::new_spinner(); // draws on a terminal only
    bar.enable_steady_tick(Duration::from_millis(200));
    let &BenchOptions { ref only, variables, length } = options;
    let begins = |part: Part, message: String| {
        let is_wanted = only.is_empty() || only.contains(&part);
        is_wanted.then(|| bar.set_message(message)).is_some()
    };
    let mut report = BenchReport {
        version: env!("CARGO_PKG_VERSION"),
        machine: machine::Machine::this(),
        live: None,
        read: None,
        history: None,
        fit: None,
    };
    // The live path first: its memory is to be its own.
    if begins(Part::Live, format!("live path: {variables} variables at 1 Hz for {length:?}")) {
        report.live = Some(live::measure(variables, length, Arc::clone(&clock)).await?);
    }
    if begins(Part::Read, format!("read and browse: {variables} variables")) {
        report.read = Some(read::measure(variables, clock).await?);
    }
    if begins(Part::History, "history: append, flush, scan".to_owned()) {
        report.history = Some(tokio::task::spawn_blocking(history::measure).await?.map_err(plain)?);
    }
    if begins(Part::Fit, "fit: two-state thermal model, an hour at 1 Hz".to_owned()) {
        report.fit = Some(tokio::task::spawn_blocking(fit::measure).await?.map_err(plain)?);
    }
    bar.finish_and_clear();
    Ok(if json { serde_json::to_string(&report)? } else { table(&report) })
}

fn plain(error: Box<dyn Error + Send + Sync>) -> Box<dyn Error> {
    error
}

fn table(report: &BenchReport) -> String {
    let mut text = format!("uatwin {} on {}\n", report.version, report.machine);
    for (name, value) in rows(report) {
        let _ = writeln!(text, "  {name:<26}{value}");
    }
    text
}

fn rows(report: &BenchReport) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(history) = &report.history {
        rows.extend([
            ("history ingest, durable", format!("{:.2} M samples/s", history.ingest_per_s / 1e6)),
            ("history scan", format!("{:.1} M samples/s", history.scan_per_s / 1e6)),
            ("history on disk", format!("{:.2} B/sample", history.bytes_per_sample)),
        ]);
    }
    if let Some(fit) = &report.fit {
        rows.extend([
            ("fit, 1 start", format!("{:.1} ms", fit.one_start_ms)),
            ("fit, 8 starts", format!("{:.1} ms", fit.eight_starts_ms)),
        ]);
    }
    if let Some(live) = &report.live {
        let stored = format!("{} ({} missing, {} wrong)", live.samples, live.missing, live.wrong);
        let memory = format!("{:.0} MiB at the end, {:.0} MiB at most", live.rss_mib, live.rss_peak_mib);
        rows.extend([
            ("live, variables at 1 Hz", live.variables.to_string()),
            ("live, samples stored", stored),
            ("live, CPU", format!("{:.2} µs/value, {:.1} % of one core", live.cpu_us_per_value, live.cpu_percent)),
            ("live, memory", memory),
        ]);
    }
    if let Some(read) = &report.read {
        let per_s = |rate: f64| format!("{:.2} M/s", rate / 1e6);
        rows.extend([
            ("read, values", format!("{}, CPU {:.2} µs/value", per_s(read.values_per_s), read.cpu_us_per_value)),
            (
                "browse, references",
                format!(
                    "{} of {}, CPU {:.2} µs/reference",
                    per_s(read.references_per_s),
                    read.references,
                    read.cpu_us_per_reference
                ),
            ),
        ]);
    }
    rows
}
