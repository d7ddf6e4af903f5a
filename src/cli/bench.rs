//! `uatwin bench`: what this machine does with the program's main jobs. Figures are printed, never asserted.

mod fit;
mod history;
mod live;

use std::{error::Error, fmt::Write as _, sync::Arc, time::Duration};

use indicatif::ProgressBar;
use serde::Serialize;

use crate::time::Clock;

/// Everything measured, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    /// Of the program.
    pub version: &'static str,
    /// Threads the machine offers.
    pub cores: usize,
    /// The store alone.
    pub history: history::HistoryFigures,
    /// The numerics alone.
    pub fit: fit::FitFigures,
    /// A PLC in another process → twins → history, in this one.
    pub live: live::LiveFigures,
}

/// Runs all benchmarks; returns the table, or one JSON object.
///
/// # Errors
/// If a part cannot run at all.
pub async fn run(
    json: bool,
    variables: u32,
    length: Duration,
    clock: Arc<dyn Clock>,
) -> Result<String, Box<dyn Error>> {
    let bar = ProgressBar::new_spinner(); // draws on a terminal only
    bar.enable_steady_tick(Duration::from_millis(200));
    // The live path first: its memory is to be its own.
    bar.set_message(format!("live path: {variables} variables at 1 Hz for {length:?}"));
    let live = live::measure(variables, length, clock).await?;
    bar.set_message("history: append, flush, scan");
    let history = tokio::task::spawn_blocking(history::measure).await?.map_err(|error| -> Box<dyn Error> { error })?;
    bar.set_message("fit: two-state thermal model, an hour at 1 Hz");
    let fit = tokio::task::spawn_blocking(fit::measure).await?.map_err(|error| -> Box<dyn Error> { error })?;
    bar.finish_and_clear();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let report = BenchReport { version: env!("CARGO_PKG_VERSION"), cores, history, fit, live };
    Ok(if json { serde_json::to_string(&report)? } else { table(&report) })
}

fn table(report: &BenchReport) -> String {
    let mut text = format!("uatwin {} on {} cores\n", report.version, report.cores);
    let BenchReport { history, fit, live, .. } = report;
    let rows = [
        ("history ingest, durable", format!("{:.2} M samples/s", history.ingest_per_s / 1e6)),
        ("history scan", format!("{:.1} M samples/s", history.scan_per_s / 1e6)),
        ("history on disk", format!("{:.2} B/sample", history.bytes_per_sample)),
        ("fit, 1 start", format!("{:.1} ms", fit.one_start_ms)),
        ("fit, 8 starts", format!("{:.1} ms", fit.eight_starts_ms)),
        ("live, variables at 1 Hz", live.variables.to_string()),
        ("live, samples stored", format!("{} ({} missing, {} wrong)", live.samples, live.missing, live.wrong)),
        ("live, CPU", format!("{:.2} µs/value, {:.1} % of one core", live.cpu_us_per_value, live.cpu_percent)),
        ("live, memory", format!("{:.0} MiB at the end, {:.0} MiB at most", live.rss_mib, live.rss_peak_mib)),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<26}{value}");
    }
    text
}
