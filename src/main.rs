//! Arguments → config → telemetry → a command → exit code. The only place that reads the wall clock, signals and the
//! environment.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Parser, Subcommand};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uatwin::{
    cli::{
        bench,
        cert::{self, CertCommand, CertError},
        check,
        data::DataError,
        demo,
        experiment::ExperimentError,
        fit::{self, FitArguments},
        history::{self, CommandError, HistoryCommand},
        import::{self, ImportArguments, ImportError},
        plant, run,
        simulate::{self, SimulateArguments},
        user::{self, UserCommand, UserError},
    },
    config::{self, Fault},
    plant::{Load, PlantOptions},
    telemetry,
    time::{Clock, Timestamp},
};

/// Digital twins as an OPC UA server.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A simulated plant and its twins, nothing else needed
    Demo {
        /// Port of the twins' server (0: any free one)
        #[arg(long, default_value_t = 4840)]
        port: u16,
        /// Port of the simulated plant (0: any free one)
        #[arg(long, default_value_t = 4841)]
        plant_port: u16,
        /// Where history, certificates and the log are kept
        #[arg(long, default_value = "data")]
        data_dir: PathBuf,
        /// Stop after this many seconds
        #[arg(long, value_name = "SECONDS")]
        duration: Option<f64>,
    },
    /// The service: twins of the PLCs that a config file names
    Run {
        /// The config file
        #[arg(long)]
        config: PathBuf,
    },
    /// Check a config file without starting anything
    Check {
        /// The config file
        #[arg(long)]
        config: PathBuf,
        /// Hold it against its PLCs, too: nodes, data types, access, ranges, units
        #[arg(long)]
        online: bool,
        /// Print one JSON object instead of lines
        #[arg(long, requires = "online")]
        json: bool,
    },
    /// Browse a PLC and write a config of twins for what it has
    Import(ImportArguments),
    /// The simulated plant alone
    Plant {
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1")]
        host: String,
        /// Port to listen on (0: any free one)
        #[arg(long, default_value_t = 4841)]
        port: u16,
        /// Where its certificate is kept
        #[arg(long, default_value = "data/plant-certs")]
        pki_dir: PathBuf,
        /// Of programme, noise and faults
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of load variables
        #[arg(long, default_value_t = 0)]
        load: u32,
        /// How often in a second each of them changes
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        load_rate: u32,
        /// In how many groups they do, one after the other
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        load_groups: u32,
    },
    /// Estimate a model's parameters from recorded data
    #[command(after_help = fit::HELP)]
    Fit(FitArguments),
    /// What a model says under recorded inputs
    #[command(after_help = fit::HELP)]
    Simulate(SimulateArguments),
    /// Certificates: who is trusted, who asked to be, and our own
    Cert {
        #[command(subcommand)]
        command: CertCommand,
    },
    /// Stored history: export, import, verify, compact, backup, restore
    History {
        #[command(subcommand)]
        command: HistoryCommand,
    },
    /// Who may log on: add, list, remove, password
    #[command(
        after_help = "A password is asked for; without a terminal it is read from UATWIN_PASSWORD, else from standard input."
    )]
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Measure this machine: the live path, what clients get, history, fit
    Bench {
        /// Measure no more than this (repeatable, or a list)
        #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
        only: Vec<bench::Part>,
        /// Print one JSON object instead of a table
        #[arg(long)]
        json: bool,
        /// Variables of the live path and of the reads
        #[arg(long, default_value_t = 10_000)]
        variables: u32,
        /// Seconds of the live path
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
}

/// 1: failed; 2: usage (clap's, and arguments that do not go with a file); 3: the config has faults.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const CONFIG_FAULTS: u8 = 3;

struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that knows the wall clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ns(i128::try_from(since.as_nanos()).unwrap_or(0))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(execute(arguments.command))
}

async fn execute(command: Command) -> ExitCode {
    let clock: Arc<dyn Clock> = Arc::new(WallClock);
    match command {
        Command::Demo { port, plant_port, data_dir, duration } => {
            if let Err(code) = log_beside_a_table(&data_dir) {
                return code;
            }
            let duration = duration.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
            let options = demo::DemoOptions { port, plant_port, data_dir, duration };
            match demo::run(options, clock, stop_signal()).await {
                Ok(said) => {
                    println!("{said}");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error),
            }
        }
        Command::Run { config: path } => match config::load(&path, &environment) {
            Ok(config) => {
                log_to_stdout();
                let load = Box::new(move || config::load(&path, &environment));
                finish(run::run(config, (load, hangups()), clock, stop_signal()).await)
            }
            Err(faults) => faulty(&faults),
        },
        Command::Check { config, online: true, json } => match check::online(&config, &environment, clock).await {
            Ok(report) if report.agrees() => say(&report.said(json)),
            Ok(report) => {
                say(&report.said(json));
                ExitCode::from(FAILED)
            }
            Err(faults) => faulty(&faults),
        },
        Command::Import(arguments) => match import::run(&arguments, &environment, clock).await {
            Ok(config) => config.map_or(ExitCode::SUCCESS, |config| say(&config)),
            Err(error @ ImportError::Usage(_)) => {
                fail(&error);
                ExitCode::from(USAGE)
            }
            Err(error) => fail(&error),
        },
        Command::Check { config, .. } => match check::check(&config, &environment) {
            Ok(summary) => {
                println!("{summary}");
                ExitCode::SUCCESS
            }
            Err(faults) => faulty(&faults),
        },
        Command::Plant { host, port, pki_dir, seed, load, load_rate, load_groups } => {
            log_to_stdout();
            let load = Load { variables: load, rate: load_rate, groups: load_groups };
            let options = PlantOptions { host, port, seed, load, ..PlantOptions::new(pki_dir) };
            finish(plant::run(options, clock, stop_signal()).await)
        }
        Command::Fit(arguments) => experiment(fit::run(&arguments)),
        Command::Simulate(arguments) => experiment(simulate::run(&arguments)),
        Command::Cert { command } => match cert::run(&command, clock.now()) {
            Ok(said) => say(&said),
            Err(CertError::Config(faults)) => faulty(&faults),
            Err(error) => fail(&error),
        },
        Command::History { command } => match history::run(&command, &environment) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(FAILED),
            Err(CommandError::Config(faults)) => faulty(&faults),
            Err(error) => fail(&error),
        },
        Command::User { command } => match user::run(&command, &environment) {
            Ok(said) => say(&said),
            Err(UserError::Faults(faults)) => faulty(&faults),
            Err(error @ UserError::Usage(_)) => {
                fail(&error);
                ExitCode::from(USAGE)
            }
            Err(error) => fail(&error),
        },
        Command::Bench { json, only, variables, seconds } => {
            let options = bench::BenchOptions { only, variables, length: Duration::from_secs(seconds) };
            match bench::run(json, &options, clock).await {
                Ok(report) => {
                    println!("{report}");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(error.as_ref()),
            }
        }
    }
}

/// Ctrl-C and SIGTERM stop in order; a second Ctrl-C, at once.
fn stop_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "signals live as long as the process; nobody waits for this task")]
    tokio::spawn(async move {
        let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminate.recv() => (),
        }
        told.cancel();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    stop
}

/// A SIGHUP each, as `systemctl reload` sends it. One that waits stands for all that come meanwhile.
fn hangups() -> mpsc::Receiver<()> {
    let (said, hangups) = mpsc::channel(1);
    #[expect(clippy::disallowed_methods, reason = "signals live as long as the process; nobody waits for this task")]
    tokio::spawn(async move {
        let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else {
            return;
        };
        while hangup.recv().await.is_some() {
            let _ = said.try_send(());
        }
    });
    hangups
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn log_to_stdout() {
    telemetry::to_stdout(environment("UATWIN_LOG").as_deref());
}

/// Where the demo draws its table the log goes to a file beside the data.
fn log_beside_a_table(data_dir: &Path) -> Result<(), ExitCode> {
    use std::io::IsTerminal as _;
    if !std::io::stdout().is_terminal() {
        log_to_stdout();
        return Ok(());
    }
    let made = std::fs::create_dir_all(data_dir)
        .and_then(|()| telemetry::to_file(&data_dir.join("uatwin.log"), environment("UATWIN_LOG").as_deref()));
    made.map_err(|error| {
        eprintln!("uatwin: cannot write to the folder `{}`: {error}", data_dir.display());
        ExitCode::from(FAILED)
    })
}

fn experiment(result: Result<String, ExperimentError>) -> ExitCode {
    match result {
        Ok(said) => say(&said),
        Err(ExperimentError::Model(faults)) => faulty(&faults),
        Err(ExperimentError::Data(DataError::Faults { faults, more })) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            if more > 0 {
                eprintln!("… and {more} faults more");
            }
            ExitCode::from(FAILED)
        }
        Err(error @ ExperimentError::Usage(_)) => {
            fail(&error);
            ExitCode::from(USAGE)
        }
        Err(error) => fail(&error),
    }
}

/// Whoever reads may have had enough before the end.
fn say(text: &str) -> ExitCode {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(&error),
        _ => ExitCode::SUCCESS,
    }
}

fn finish<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("uatwin: {}", telemetry::chain(error));
    ExitCode::from(FAILED)
}

fn faulty(faults: &[Fault]) -> ExitCode {
    for fault in faults {
        eprintln!("{fault}");
    }
    ExitCode::from(CONFIG_FAULTS)
}
