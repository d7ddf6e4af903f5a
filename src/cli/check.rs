//! `uatwin check --config F`: says every fault of a config without starting anything. With `--online` the config is held against
//! the PLCs, too.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{task::JoinSet, time::timeout};

use super::import::{ImportError, prepare_certificate, refused};
use crate::{
    config::{self, Config, Fault},
    import::{self, Difference},
    southbound::{
        NodeAddress, PlcId,
        opcua_client::survey::{self, Access},
        survey::Inspection,
    },
    time::Clock,
};

/// For one PLC, and for the counting of what else it has.
const PLC_TIMEOUT: Duration = Duration::from_secs(120);
const COUNT_TIMEOUT: Duration = Duration::from_secs(30);

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

/// What a config and its PLCs say of each other.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The config's warnings and counts, in words.
    #[serde(skip)]
    summary: String,
    /// In config order.
    pub plcs: Vec<PlcReport>,
}

/// One PLC.
#[derive(Debug, Serialize)]
pub struct PlcReport {
    /// As the config calls it.
    pub name: String,
    /// Where it is.
    pub endpoint: String,
    /// Why it could not be looked at; `None`: it was.
    pub error: Option<String>,
    /// Variables that come from it.
    pub variables: usize,
    /// Where it differs.
    pub differences: Vec<Difference>,
    /// Variables that it has besides; `None`: not counted.
    pub others: Option<usize>,
}

impl Report {
    /// Whether every PLC was reached and is as the config says.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.plcs.iter().all(|plc| plc.error.is_none() && plc.differences.iter().all(|difference| difference.is_note))
    }

    /// As lines, or as one JSON object.
    #[must_use]
    pub fn said(&self, json: bool) -> String {
        if json {
            return serde_json::to_string_pretty(self).unwrap_or_default();
        }
        let plcs = self.plcs.iter().map(PlcReport::said);
        std::iter::once(self.summary.clone()).chain(plcs).collect::<Vec<_>>().join("\n")
    }
}

impl PlcReport {
    fn said(&self) -> String {
        let head = format!("{} ({})", self.name, self.endpoint);
        if let Some(error) = &self.error {
            return format!("{head}: not looked at: {error}");
        }
        let differ = self.differences.iter().filter(|difference| !difference.is_note).count();
        let others = match self.others {
            Some(others) => format!("{others} other variables there"),
            None => "other variables were not counted in time".to_owned(),
        };
        let mut text = format!("{head}: {} variables, {differ} differences; {others}", self.variables);
        for Difference { twin, variable, source, what, message, is_note } in &self.differences {
            let mark = if *is_note { "note: " } else { "" };
            text.push_str(&format!("\n  {mark}{twin}.{variable}: {what}: {message} ({source})"));
        }
        text
    }
}

/// Holds a config against its PLCs, all at the same time.
///
/// # Errors
/// Every fault of the config.
pub async fn online(
    path: &Path,
    env: &(dyn Fn(&str) -> Option<String> + Sync),
    clock: Arc<dyn Clock>,
) -> Result<Report, Vec<Fault>> {
    let config = config::load(path, env)?;
    let certificate = match config.plcs.iter().any(|plc| plc.security_policy != "None") {
        true => prepare_certificate(&config),
        false => Ok(()),
    };
    let mut looks = JoinSet::new();
    for (index, plc) in config.plcs.iter().enumerate() {
        let access = Access {
            plc: plc.clone(),
            application_uri: config.server.application_uri.clone(),
            pki_dir: config.server.pki_dir.clone(),
            clock: Arc::clone(&clock),
        };
        let sourced = import::sourced(&config.twins, id(index));
        let addresses: Vec<(NodeAddress, usize)> = sourced.iter().map(|of| (of.address.clone(), of.twin)).collect();
        let place = format!("--config {}", path.display());
        let failed = certificate.as_ref().err().map(ImportError::to_string);
        looks.spawn(async move {
            (
                index,
                match failed {
                    Some(error) => Err(error),
                    None => look(&access, &addresses, &place).await,
                },
            )
        });
    }
    let mut looked: Vec<Result<Inspection, String>> = config.plcs.iter().map(|_| Err(String::new())).collect();
    while let Some(done) = looks.join_next().await {
        if let Ok((index, result)) = done {
            looked[index] = result;
        }
    }
    let plcs = looked.into_iter().enumerate().map(|(index, looked)| report(&config, index, looked)).collect();
    Ok(Report { summary: summary(path, &config), plcs })
}

fn id(index: usize) -> PlcId {
    PlcId(u32::try_from(index).unwrap_or(u32::MAX))
}

async fn look(access: &Access, addresses: &[(NodeAddress, usize)], place: &str) -> Result<Inspection, String> {
    match timeout(PLC_TIMEOUT, survey::inspect(access, addresses, COUNT_TIMEOUT)).await {
        Ok(inspected) => inspected.map_err(|error| refused(&error, place)),
        Err(_) => Err(format!("it took longer than {PLC_TIMEOUT:?}")),
    }
}

fn report(config: &Config, index: usize, looked: Result<Inspection, String>) -> PlcReport {
    let plc = &config.plcs[index];
    let sourced = import::sourced(&config.twins, id(index));
    let (error, inspection) = match looked {
        Ok(inspection) => (None, inspection),
        Err(error) => (Some(error), Inspection::default()),
    };
    PlcReport {
        name: plc.name.clone(),
        endpoint: plc.endpoints.join(", "),
        error,
        variables: sourced.len(),
        differences: import::compare(&config.twins, &sourced, &inspection.addresses),
        others: inspection.others,
    }
}
