//! What a config says and what is said about a faulty one.

mod faults;
mod language;
mod meaning;
mod size;
mod users;

use std::{io, path::Path};

use uatwin::config::{self, Config, Fault};

/// Parses `text` as `plant/twins.toml`; `files` are what it may name, by path.
pub(crate) fn parse_with(text: &str, files: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
    let read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let env = |name: &str| (name == "LINE1_PASSWORD").then(|| "secret".to_owned());
    config::parse(text, "plant/twins.toml", &read, &env)
}

pub(crate) fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    parse_with(text, &[])
}

/// The faults, as printed; none for a good config.
pub(crate) fn faults_of(text: &str, files: &[(&str, &str)]) -> Vec<String> {
    parse_with(text, files).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

pub(crate) const EXAMPLE: &str = include_str!("../../config/example.toml");
pub(crate) const MINIMAL: &str = include_str!("../../config/minimal.toml");
pub(crate) const DEMO: &str = include_str!("../../config/demo.toml");
