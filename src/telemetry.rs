//! Where events go that people should read: one line each, fields and all, to standard output or a file.

use std::{
    fs::File,
    io::{self, IsTerminal as _},
    path::Path,
    sync::Mutex,
};

use tracing_subscriber::{EnvFilter, fmt};

/// Used unless `UATWIN_LOG` says otherwise. The library's own chatter about every connection is not for operators; what its client
/// says of a PLC that is not there, at every attempt, `southbound` says once.
const DEFAULT_FILTER: &str =
    "info,opcua=warn,opcua_server=warn,opcua_client=off,opcua_core=warn,opcua_crypto=warn,sled=warn";

/// Logs to standard output.
pub fn to_stdout(filter: Option<&str>) {
    let colours = io::stdout().is_terminal();
    fmt().with_env_filter(parse(filter)).with_target(false).with_ansi(colours).init();
}

/// Logs to a file, appending: when the terminal shows something else.
///
/// # Errors
/// If the file cannot be opened.
pub fn to_file(path: &Path, filter: Option<&str>) -> io::Result<()> {
    let file = File::options().create(true).append(true).open(path)?;
    fmt().with_env_filter(parse(filter)).with_target(false).with_ansi(false).with_writer(Mutex::new(file)).init();
    Ok(())
}

fn parse(filter: Option<&str>) -> EnvFilter {
    EnvFilter::new(filter.unwrap_or(DEFAULT_FILTER))
}

/// An error with its causes, outermost first, joined by colons: what one line of a log or a terminal shows.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
