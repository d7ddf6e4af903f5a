//! `uatwin cert …`: who is trusted, who asked to be, and our own certificate.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::table::aligned;
use crate::{
    config::{self, Config, Fault},
    northbound,
    pki::{self, Entry, Place, TrustError},
    time::Timestamp,
};

/// Where the certificates are.
#[derive(Args, Clone, Debug)]
pub struct Folder {
    /// The config file that names their folder
    #[arg(long)]
    config: Option<PathBuf>,
    /// Their folder
    #[arg(long, default_value = "data/certs", conflicts_with = "config")]
    pki_dir: PathBuf,
}

/// What to do with them.
#[derive(Clone, Debug, Subcommand)]
pub enum CertCommand {
    /// Ours, the trusted, and those that were refused, with how to trust them
    List(Folder),
    /// Trust a client or PLC that was refused, or a certificate file; takes effect at once
    Trust {
        /// The beginning of its thumbprint or file name; or a file in DER or PEM
        which: String,
        /// Where
        #[command(flatten)]
        folder: Folder,
    },
    /// Trust a client or PLC no longer; sessions that stand go on
    Reject {
        /// The beginning of its thumbprint or file name
        which: String,
        /// Where
        #[command(flatten)]
        folder: Folder,
    },
    /// Another certificate for the same key and ApplicationUri; takes effect at the next start
    Renew {
        /// The config file
        #[arg(long)]
        config: PathBuf,
    },
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The config.
    #[error("the config has faults")]
    Config(Vec<Fault>),
    /// A certificate that is not there.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The folder.
    #[error("the folder of certificates `{}` cannot be read or written", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

/// Does it; gives what is to be said. `now` tells what is expired.
///
/// # Errors
/// One sentence each.
pub fn run(command: &CertCommand, now: Timestamp) -> Result<String, CertError> {
    let dir = |folder: &Folder| match &folder.config {
        Some(config) => load(config).map(|config| config.server.pki_dir),
        None => Ok(folder.pki_dir.clone()),
    };
    match command {
        CertCommand::List(folder) => {
            let dir = dir(folder)?;
            let entries = pki::entries(&dir).map_err(|cause| CertError::Folder { path: dir.clone(), cause })?;
            Ok(table(&entries, now))
        }
        CertCommand::Trust { which, folder } => {
            let entry = pki::trust(&dir(folder)?, which)?;
            Ok(format!("trusted: {} [{}]", entry.common_name, entry.thumbprint))
        }
        CertCommand::Reject { which, folder } => {
            let entry = pki::reject(&dir(folder)?, which)?;
            Ok(format!("trusted no longer: {} [{}]", entry.common_name, entry.thumbprint))
        }
        CertCommand::Renew { config } => renew(&load(config)?),
    }
}

/// The PLCs' passwords are not asked for: nothing here needs them.
fn load(path: &Path) -> Result<Config, CertError> {
    config::load(path, &|_| Some(String::new())).map_err(CertError::Config)
}

fn renew(config: &Config) -> Result<String, CertError> {
    let server = &config.server;
    let host = northbound::advertised(server);
    pki::renew(&server.pki_dir, &server.name, &server.application_uri, &host)
        .map_err(|cause| CertError::Folder { path: server.pki_dir.clone(), cause })?;
    let own = pki::entries(&server.pki_dir).unwrap_or_default().into_iter().find(|entry| entry.place == Place::Own);
    let thumbprint = own.map_or_else(String::new, |own| own.thumbprint);
    Ok(format!(
        "renewed, with the same key and {}; thumbprint {thumbprint}: restart the service; clients that pin the \
         certificate itself must be given the new one",
        server.application_uri
    ))
}

fn table(entries: &[Entry], now: Timestamp) -> String {
    let row = |entry: &Entry| {
        let valid = entry.valid.map_or_else(|| "?".to_owned(), |(_, end)| day(end));
        vec![
            entry.place.folder().to_owned(),
            entry.common_name.clone(),
            entry.thumbprint.clone(),
            valid,
            remark(entry, now),
        ]
    };
    let heads = ["", "name", "thumbprint", "valid until", ""].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(entries.iter().map(row)).collect();
    aligned(&rows, &[1, 2, 3, 4]).trim_end().to_owned()
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// What keeps it from being accepted, and the one command that helps.
fn remark(entry: &Entry, now: Timestamp) -> String {
    let remedy = match entry.place {
        Place::Own => "uatwin cert renew --config FILE".to_owned(),
        Place::Trusted => "its owner must renew it".to_owned(),
        Place::Rejected => format!("uatwin cert trust {}", entry.thumbprint.get(..12).unwrap_or_default()),
    };
    match (entry.valid, entry.place) {
        (Some((_, end)), _) if end < now => format!("expired: {remedy}"),
        (Some((from, _)), _) if from > now => format!("not valid before {}", day(from)),
        (None, _) => "its time of validity cannot be read".to_owned(),
        (_, Place::Rejected) => format!("not trusted: {remedy}"),
        _ => String::new(),
    }
}
