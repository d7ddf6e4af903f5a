//! `uatwin check --config F`: says every fault of a config without starting anything.

use std::path::Path;

use crate::config::{self, Config, Fault};

/// The summary of a good config, its warnings included.
///
/// # Errors
/// Every fault, one a line to be printed; the exit code is 3.
pub fn check(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<Fault>> {
    config::load(path, env).map(|config| summary(path, &config))
}

fn summary(path: &Path, config: &Config) -> String {
    let warnings: String = config.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    let variables: usize = config.twins.twins.iter().map(|twin| twin.sources.len()).sum();
    let counts = [
        (config.plcs.len(), "PLC", "PLCs"),
        (config.twins.types.len(), "twin type", "twin types"),
        (config.twins.twins.len(), "twin", "twins"),
        (variables, "variable", "variables"),
        (config.twins.series_len(), "series", "series"),
    ];
    let words = counts.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
    let worst = config.server.limits.worst_case();
    let [all, connections, items, messages] =
        [worst.total(), worst.connections, worst.items, worst.messages].map(|bytes| bytes.div_ceil(1 << 20));
    format!(
        "{warnings}{}: no faults; {}\nthe limits allow clients {all} MiB at worst: {connections} of connections and sessions, {items} of \
         monitored items and their queues, {messages} of messages",
        path.display(),
        words.join(", ")
    )
}
