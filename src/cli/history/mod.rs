//! `uatwin history …`: what an operator does with stored history. The commands work on the data folder that the config
//! names, while the service does not run on it; `backup` also while it does.

mod backup;
mod compact;
mod copy;
pub mod export;
pub mod import;
mod limited;
mod narrow;
pub mod row;
mod verify;
pub mod wide;

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    config::{self, Config, Fault, Store},
    history::{
        HistoryError, HistoryStore, Role,
        clickhouse_store::{ClickHouseOptions, ClickHouseStore},
        forwarding::ForwardingStore,
        sled_store::{SledOptions, SledStore},
    },
    time::Timestamp,
};

const VERIFY_HELP: &str = "\
Decodes and checks all blocks, modification records, annotations and the log; changes nothing. Damage is said a line
each, by series and time, and summed up at the end. Blocks that were found damaged before and set aside, because something
had to be written in their place, are listed and are no reason for exit code 1: what they held reads back Bad_DataLost.";

const COPY_HELP: &str = "\
Samples, modification records, annotations, documents and events, with all that they say. Not while the service runs. An
interrupted copy is begun again: series that are the same already are passed over. At the end the counts are compared (exit code 1:
they differ). Into the cluster: --from data/history --to uatwin.toml --become-front. Back: --from uatwin.toml --to a folder that
is not there yet, once nothing waits for the cluster any more.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum HistoryCommand {
    /// Samples as CSV, to the bit
    Export {
        /// The config file
        #[arg(long)]
        config: PathBuf,
        /// The file to write (default: standard output)
        #[arg(long)]
        output: Option<PathBuf>,
        /// Names of series; `*` stands for any text (default: all, also of twins that are not configured any more)
        #[arg(long, num_args = 1..)]
        series: Vec<String>,
        /// From when (RFC 3339, included)
        #[arg(long, value_parser = row::parse_time)]
        start: Option<Timestamp>,
        /// Until when (RFC 3339, not included)
        #[arg(long, value_parser = row::parse_time)]
        end: Option<Timestamp>,
    },
    /// Store the samples of a CSV file, as export writes it or a wide one; what is stored already does no harm
    #[command(after_help = wide::HELP)]
    Import {
        /// The config file
        #[arg(long)]
        config: PathBuf,
        /// The CSV file
        file: PathBuf,
        /// Pass over rows (of a wide file: columns) of series that the config has not
        #[arg(long)]
        skip_unknown: bool,
        /// Only check
        #[arg(long)]
        dry_run: bool,
        /// The file has a column for each series
        #[arg(long, requires = "time")]
        wide: bool,
        /// The column of a wide file that has the times
        #[arg(long, requires = "wide", value_name = "COLUMN")]
        time: Option<String>,
        /// How a wide file writes times, as in strftime: %d.%m.%Y %H:%M:%S (default: RFC 3339)
        #[arg(long, requires = "wide", value_name = "PATTERN", value_parser = wide::TimeFormat::parse)]
        time_format: Option<wide::TimeFormat>,
        /// A text that a wide file has in the place of a Bad value; may be given more than once
        #[arg(long, requires = "wide", value_name = "TEXT")]
        bad: Vec<String>,
    },
    /// Merge small blocks, as the service does in the background
    Compact {
        /// The config file
        #[arg(long)]
        config: PathBuf,
    },
    /// Everything from a folder into a ClickHouse cluster, or back; what is there already does no harm
    #[command(after_help = COPY_HELP)]
    Copy {
        /// The history folder (data_dir/history), or the config file that names the cluster
        #[arg(long)]
        from: PathBuf,
        /// Likewise, the other of the two
        #[arg(long)]
        to: PathBuf,
        /// The folder stands before the cluster from then on: for [history.store.clickhouse] with its data_dir
        #[arg(long)]
        become_front: bool,
    },
    /// Everything into one file, also while the service runs
    Backup {
        /// The config file
        #[arg(long)]
        config: PathBuf,
        /// The file to write; it must not be there yet
        #[arg(long)]
        to: PathBuf,
    },
    /// A backup in the place of the history, after checking all of it
    Restore {
        /// The config file
        #[arg(long)]
        config: PathBuf,
        /// The backup
        #[arg(long)]
        from: PathBuf,
        /// Also where there is a history already; that is moved aside
        #[arg(long)]
        force: bool,
    },
    /// Look at every block and every record, and say what is damaged (exit code 1)
    #[command(after_help = VERIFY_HELP)]
    Verify {
        /// The config file
        #[arg(long)]
        config: PathBuf,
    },
}

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The config's faults.
    #[error("the config has faults")]
    Config(Vec<Fault>),
    /// The config keeps history in memory.
    #[error("this config keeps its history in memory: there is nothing on the disk")]
    InMemory,
    /// A file that names no cluster.
    #[error("`{}` has no [history.store.clickhouse]", .0.display())]
    NoCluster(PathBuf),
    /// Two folders, or two clusters.
    #[error("give a history folder and a config with a cluster; for two folders there are backup and restore")]
    SameKind,
    /// The service runs.
    #[error("the service has the history in `{}` open: stop it first, or work on a backup", .0.display())]
    InUse(PathBuf),
    /// The store.
    #[error(transparent)]
    History(HistoryError),
    /// The running service says no.
    #[error("the service says: {0}")]
    Service(String),
    /// A pattern means no series.
    #[error("there is no series `{0}`")]
    NoSuchSeries(String),
    /// A file that cannot be opened.
    #[error("reading `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// Where the output goes.
    #[error("writing")]
    Write(#[source] io::Error),
    /// Reading or writing CSV.
    #[error("reading or writing CSV")]
    Csv(#[from] csv::Error),
}

impl From<HistoryError> for CommandError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::InUse { path } => Self::InUse(path),
            error => Self::History(error),
        }
    }
}

impl CommandError {
    /// Whether whoever reads the output has had enough.
    fn is_broken_pipe(&self) -> bool {
        let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
        match self {
            Self::Write(cause) => broken(cause),
            Self::Csv(cause) => matches!(cause.kind(), csv::ErrorKind::Io(cause) if broken(cause)),
            _ => false,
        }
    }
}

/// Runs one; says on stdout (an export to stdout: on stderr) what it did. `false`: it did its work, and found what should
/// not be.
///
/// # Errors
/// See [`CommandError`].
pub fn run(command: &HistoryCommand, env: &dyn Fn(&str) -> Option<String>) -> Result<bool, CommandError> {
    match command {
        HistoryCommand::Export { config, output, series, start, end } => {
            let (store, names) = open(&load(config, env)?)?;
            let times = start.unwrap_or(Timestamp::from_ticks(i64::MIN))..end.unwrap_or(Timestamp::MAX);
            match export::run(&*store, &names, series, &times, output.as_deref()) {
                Err(error) if error.is_broken_pipe() => {}
                exported => {
                    let exported = exported?;
                    eprintln!("{} samples of {} series", exported.samples, exported.series);
                }
            }
            Ok(true)
        }
        HistoryCommand::Import { config, file, skip_unknown, dry_run, wide: _, time, time_format, bad } => {
            let config = load(config, env)?;
            let options = import::ImportOptions { skip_unknown: *skip_unknown, dry_run: *dry_run };
            let (time_format, bad) = (time_format.clone(), bad.clone());
            let wide = time.clone().map(|time| wide::WideOptions { time, time_format, bad });
            run_import(&config, file, wide.as_ref(), options)
        }
        HistoryCommand::Compact { config } => compact::run(&*open(&load(config, env)?)?.0),
        HistoryCommand::Copy { from, to, become_front } => copy::run(from, to, *become_front, env),
        HistoryCommand::Backup { config, to } => backup::backup(&load(config, env)?, to),
        HistoryCommand::Restore { config, from, force } => backup::restore(&folder(&load(config, env)?)?, from, *force),
        HistoryCommand::Verify { config } => verify::run(&folder(&load(config, env)?)?),
    }
}

fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, CommandError> {
    config::load(path, env).map_err(CommandError::Config)
}

fn folder(config: &Config) -> Result<PathBuf, CommandError> {
    match config.history.store {
        Store::Sled | Store::ClickHouse { .. } => Ok(config.data_dir.join("history")),
        Store::Memory => Err(CommandError::InMemory),
    }
}

/// The store of a config with these series, as the service opens it.
fn open_with(config: &Config, names: &[String]) -> Result<Box<dyn HistoryStore>, CommandError> {
    let options = SledOptions { renames: config.renames.clone(), ..SledOptions::default() };
    let Store::ClickHouse { options: behind, keep } = &config.history.store else {
        return Ok(Box::new(SledStore::open(&folder(config)?, names, options)?));
    };
    let front = SledStore::open(&folder(config)?, names, SledOptions { role: Role::Front(None), ..options })?;
    let behind = ClickHouseOptions { renames: config.renames.clone(), ..behind.clone() };
    let behind = ClickHouseStore::new(behind, names).map_err(|cause| HistoryError::Flush(cause.into()))?;
    Ok(Box::new(ForwardingStore::start(front, Arc::new(behind), *keep)?))
}

/// The store, and the name of each series: the config's, and then those that are only stored.
fn open(config: &Config) -> Result<(Box<dyn HistoryStore>, Vec<String>), CommandError> {
    let folder = folder(config)?;
    let mut names = config.twins.series_names();
    let mut known: HashSet<String> = names.iter().cloned().collect();
    let stored = SledStore::stored_names(&folder)?;
    // An old name whose history goes on under the new one is no series of its own.
    known.extend(config.renames.iter().filter(|(_, new)| !stored.contains(new)).map(|(old, _)| old.clone()));
    names.extend(stored.into_iter().filter(|name| !known.contains(name)));
    let store = open_with(config, &names)?;
    Ok((store, names))
}

fn run_import(
    config: &Config,
    file: &Path,
    wide: Option<&wide::WideOptions>,
    options: import::ImportOptions,
) -> Result<bool, CommandError> {
    let read = |cause| CommandError::Read { path: file.to_owned(), cause };
    let input = File::open(file).map_err(read)?;
    let bar = ProgressBar::new(input.metadata().map_err(read)?.len());
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left").expect("the template is right"),
    );
    let names = config.twins.series_names();
    let store = open_with(config, &names)?;
    let mut row = 0_u32;
    let mut progress = |bytes| {
        row = row.wrapping_add(1);
        if row.is_multiple_of(1024) {
            bar.set_position(bytes);
        }
    };
    let imported = match wide {
        None => import::import(&*store, &names, BufReader::new(input), options, &mut progress)?,
        Some(wide) => wide::import(&*store, &wide::series_of(&config.twins), input, wide, options, &mut progress)?,
    };
    bar.finish_and_clear();
    for fault in &imported.faults {
        eprintln!("{}:{fault}", file.display());
    }
    if imported.faulty > imported.faults.len() as u64 {
        eprintln!("… {} faults in all", imported.faulty);
    }
    let done = if options.dry_run { "would be stored" } else { "stored" };
    let mut said = format!("{} samples {done}", imported.samples);
    if imported.skipped > 0 {
        let columns = if wide.is_some() { "columns " } else { "" };
        said.push_str(&format!(", {} {columns}of unknown series passed over", imported.skipped));
    }
    if imported.faulty > 0 {
        let what = if wide.is_some() { "faults: what has one is not" } else { "rows with faults are not" };
        said.push_str(&format!(", {} {what}", imported.faulty));
    }
    println!("{said}");
    Ok(imported.faulty == 0)
}
