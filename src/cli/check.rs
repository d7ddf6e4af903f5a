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
    format!("{warnings}{}: no faults; {}", path.display(), words.join(", "))
}
