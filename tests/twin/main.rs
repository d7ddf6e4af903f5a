//! A twin from within: the stage that samples pass, what becomes of fits, what outlives a restart.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

mod charts;
mod derived;
mod ingest;
mod jobs;
mod program;
mod revisions;
mod setpoints;
mod statistics;
mod succession;

use std::{io, path::Path, sync::Arc};

use uatwin::{
    config::{self, Config},
    time::Timestamp,
    twin::Twins,
};

/// What a config without faults says.
pub(crate) fn parsed(text: &str) -> Config {
    let no_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let config = config::parse(text, "test.toml", &no_file, &|_| None);
    config.unwrap_or_else(|faults| panic!("{faults:?}"))
}

pub(crate) fn twins(text: &str) -> Arc<Twins> {
    Arc::new(parsed(text).twins)
}

/// Seconds from when the tests begin.
pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_s(1.7e9 + seconds)
}
