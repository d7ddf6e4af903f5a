//! The config: TOML in, checked values out, every fault at once with its place and a remedy. Nothing past this module
//! sees an unchecked value. The files: `raw` knows TOML and places, `checked` what refers to what, the others one part
//! of the format each.

mod address;
mod alarm;
mod checked;
mod clickhouse;
mod derived;
mod duration;
mod equations;
mod fault;
mod limits;
mod model_file;
mod name;
mod names_before;
mod optimize;
mod preprocess;
mod raw;
mod server;
mod statistics;
mod users;
mod variable;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

pub use address::address;
pub use fault::{Fault, did_you_mean};
pub use model_file::{ModelFile, load_model, parse_model};
pub use name::{CHARACTERS_MAX as NAME_MAX, Kind as NameKind, fault as name_fault};
pub use users::{is_name as is_user_name, load_users, users_file};

use crate::{
    history::clickhouse_store::ClickHouseOptions,
    northbound::{ServerConfig, users::Users},
    southbound::PlcConfig,
    twin::Twins,
};
use fault::Sink;
use raw::{Document, Source, Table};

/// Longest file: 100,000 twins are some 10 MB.
const BYTES_MAX: u64 = 64 << 20;

/// Everything a service is started with.
#[derive(Debug)]
pub struct Config {
    /// `[server]`.
    pub server: ServerConfig,
    /// Where history is kept.
    pub data_dir: PathBuf,
    /// `[history]`.
    pub history: HistoryConfig,
    /// `[plc.…]`, in config order; indexed by [`PlcId`](crate::southbound::PlcId).
    pub plcs: Vec<PlcConfig>,
    /// `[twin_type.…]` and `[twin.…]`.
    pub twins: Twins,
    /// Old and new names of series: what is stored under an old one goes on under the new one (`was`).
    pub renames: Vec<(String, String)>,
    /// What was accepted but an operator should know.
    pub warnings: Vec<Fault>,
}

/// What cannot change while the service runs.
#[derive(Clone, Debug)]
pub struct Fixed {
    server: ServerConfig,
    data_dir: PathBuf,
    history: HistoryConfig,
}

impl Fixed {
    /// That of a config.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let server = ServerConfig { users: Users::default(), ..config.server.clone() };
        Self { server, data_dir: config.data_dir.clone(), history: config.history.clone() }
    }

    /// The tables in which another config says something else.
    #[must_use]
    pub fn differences(&self, config: &Config) -> Vec<&'static str> {
        let other = Self::of(config);
        let server = self.server == other.server && self.data_dir == other.data_dir;
        let all = [(server, "[server]"), (self.history == other.history, "[history]")];
        all.into_iter().filter(|(is_same, _)| !is_same).map(|(_, what)| what).collect()
    }
}

/// `[history]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    /// Where samples are kept.
    pub store: Store,
    /// What is older goes; `None`: nothing goes.
    pub retention: Option<Duration>,
}

/// Where samples are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// On disk, in `data_dir`.
    Sled,
    /// In memory only: gone at the end.
    Memory,
    /// In ClickHouse, and what is newest on disk before it.
    ClickHouse {
        /// Where.
        options: ClickHouseOptions,
        /// How long samples stay on the disk.
        keep: Duration,
    },
}

/// What the readers of the parts share.
pub(crate) struct Context<'a> {
    base: PathBuf,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    env: &'a dyn Fn(&str) -> Option<String>,
    sink: &'a Sink,
}

impl Context<'_> {
    /// A path as the config gives it, relative to the config's folder.
    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }
}

/// Reads and checks a config file and the files that it names.
///
/// # Errors
/// Every fault, in the order of the file.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Fault>> {
    let text = read(path).map_err(|error| {
        vec![Fault::of_file(path, format!("cannot be read: {error}"), "give the path of a config file")]
    })?;
    let mut config = parse(&text, &path.display().to_string(), &read, env)?;
    config.warnings.extend(config.server.users_file.as_deref().and_then(users::open_to_others));
    Ok(config)
}

/// A text file of bounded length.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {} MiB", BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// Checks a config's text. `file_name` is shown in faults, and its folder is what relative paths are relative to; `read`
/// gives the files that it names (and the host's name), `env` the passwords.
///
/// # Errors
/// Every fault, in the order of the file.
pub fn parse(
    text: &str,
    file_name: &str,
    read: &dyn Fn(&Path) -> io::Result<String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Fault>> {
    let sink = Sink::default();
    let base = Path::new(file_name).parent().map(Path::to_path_buf).unwrap_or_default();
    let config = check(text, file_name, &Context { base, read, env, sink: &sink });
    let faulty = sink.has_faults();
    let (faults, warnings) = sink.into_parts();
    match config {
        Some(config) if !faulty => Ok(Config { warnings, ..config }),
        _ => Err(faults),
    }
}

/// Checks a text that is part of the program: it names no files and no environment.
///
/// # Errors
/// Every fault.
pub fn parse_builtin(text: &str, name: &str) -> Result<Config, Vec<Fault>> {
    let none = |path: &Path| Err(io::Error::new(io::ErrorKind::NotFound, path.display().to_string()));
    parse(text, name, &none, &|_| None)
}

fn check(text: &str, file_name: &str, context: &Context<'_>) -> Option<Config> {
    if text.len() as u64 > BYTES_MAX {
        context.sink.fault(Fault::of_file(
            Path::new(file_name),
            "is too long",
            "share the twins out among several services",
        ));
        return None;
    }
    let document = Document::new(file_name, text);
    let tree = document.parse(context.sink)?;
    let root = Table::root(Source { document: &document, sink: context.sink }, &tree, "");
    let (mut server, data_dir) = server::server(context, &root);
    let history = server::history(context, &root, &mut server);
    let plcs = server::plcs(context, &root);
    let (twins, renames) = checked::twins(context, &root, &plcs);
    if let Some(users) = server.users_file.as_deref().and_then(|path| users::of_config(context, path, &twins)) {
        server.users = users;
    }
    root.finish();
    Some(Config { server, data_dir, history, plcs, twins, renames, warnings: Vec::new() })
}
