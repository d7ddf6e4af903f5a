//! `uatwin import URL`: what a PLC has, as a config that runs as it is.

use std::{
    fs, io,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    config::{self, Config, Fault},
    import::{self, Origin, Written},
    northbound,
    pki::{self, Refusal},
    southbound::{
        SecurityMode,
        opcua_client::{
            ConnectError,
            survey::{self, Access},
        },
        survey::{Offer, Progress, Survey},
    },
    time::Clock,
};

/// Where progress is not drawn it is said, that often.
const SAID_EVERY: Duration = Duration::from_secs(5);
/// The name that a config gets where none is given: it counts for messages, and for where relative paths begin.
const UNNAMED: &str = "uatwin.toml";

/// `uatwin import`'s flags.
#[derive(Args, Clone, Debug)]
pub struct ImportArguments {
    /// The PLC's server: opc.tcp://HOST:PORT
    url: String,
    /// Where to begin: a NodeId, nsu=URI;s=…, or a browse path, /Objects/…; default: the Objects folder
    #[arg(long, value_name = "NODE")]
    root: Option<String>,
    /// The config file to write; default: standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// The PLC's name in the config
    #[arg(long, value_name = "NAME", default_value = "plc1")]
    plc: String,
    /// Default: the best that the PLC offers
    #[arg(long, value_parser = ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"])]
    security_policy: Option<String>,
    /// Default: the best that the PLC offers
    #[arg(long, value_parser = ["None", "Sign", "SignAndEncrypt"])]
    security_mode: Option<String>,
    /// Who we are there; default: nobody
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The environment variable that holds the user's password, now and when the config is run
    #[arg(long, value_name = "NAME", requires = "user")]
    password_env: Option<String>,
    /// A file that holds the user's password, for now
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Our certificate, and whom we trust; default: `certs` beside the config
    #[arg(long, value_name = "FOLDER")]
    pki_dir: Option<PathBuf>,
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Of the arguments.
    #[error("{0}")]
    Usage(String),
    /// The server, its certificate, or the session.
    #[error("{0}")]
    Plc(String),
    /// The file to write, the password, the certificates.
    #[error("{0}")]
    File(String, #[source] io::Error),
    /// The config that was made is not accepted: an error of ours, or too much for one file.
    #[error("what was found does not make a config: {}{}", .0.first().map(ToString::to_string).unwrap_or_default(), more(.0))]
    Faulty(Vec<Fault>),
}

fn more(faults: &[Fault]) -> String {
    match faults.len() {
        0 | 1 => String::new(),
        len => format!(" (and {} faults more)", len - 1),
    }
}

/// Does it. Gives the config where no file was named; what is to be said besides goes to standard error.
///
/// # Errors
/// The PLC, the file.
pub async fn run(
    arguments: &ImportArguments,
    env: &(dyn Fn(&str) -> Option<String> + Sync),
    clock: std::sync::Arc<dyn Clock>,
) -> Result<Option<String>, ImportError> {
    if let Some(output) = arguments.output.as_deref().filter(|output| output.exists() && !arguments.force) {
        return Err(ImportError::Usage(format!("{} is there already; --force writes over it", output.display())));
    }
    let folder = arguments.output.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(ImportError::Usage(format!("there is no folder {}", folder.display())));
    }
    let root = arguments.root.as_deref().map(|root| config::address(root, "")).transpose();
    let root = root.map_err(|(message, remedy)| ImportError::Usage(format!("--root: {message}; {remedy}")))?;
    let mut origin = origin(arguments, clock.now().to_string())?;
    let password = password(arguments)?;
    let env = |name: &str| match (&origin_env(arguments), &password) {
        (Some(variable), Some(password)) if variable == name => Some(password.clone()),
        _ => env(name),
    };
    // The config's own reading judges the arguments, and says who we are and where our certificates lie: as `run` will.
    let frame = parse(arguments, &import::write(&Survey::default(), &origin).text, &env);
    let frame = frame.map_err(|faults| ImportError::Usage(said(&faults)))?;
    let mut access = access(&frame, clock)?;
    let offer = offer(arguments, &access).await?;
    (access.plc.security_policy, access.plc.security_mode) = (offer.policy.clone(), offer.mode);
    (origin.policy, origin.mode) = (offer.policy, offer.mode);
    if origin.policy != "None" {
        prepare_certificate(&frame)?;
    }
    let survey = look(&access, root.as_ref()).await?;
    let written = import::write(&survey, &origin);
    parse(arguments, &written.text, &env).map_err(ImportError::Faulty)?;
    let Some(output) = &arguments.output else {
        eprintln!("{}", summary(&written));
        return Ok(Some(written.text));
    };
    save(output, &written.text, arguments.force)
        .map_err(|cause| ImportError::File(format!("cannot write `{}`", output.display()), cause))?;
    eprintln!("{}: {}", output.display(), summary(&written));
    Ok(None)
}

fn origin(arguments: &ImportArguments, at: String) -> Result<Origin, ImportError> {
    let pki_dir = arguments.pki_dir.as_ref().map(std::path::absolute).transpose();
    let pki_dir = pki_dir.map_err(|cause| ImportError::File("--pki-dir is no folder".to_owned(), cause))?;
    if arguments.user.is_some() && arguments.password_env.is_none() && arguments.password_file.is_none() {
        return Err(ImportError::Usage("--user needs --password-env or --password-file".to_owned()));
    }
    Ok(Origin {
        url: arguments.url.clone(),
        plc: arguments.plc.clone(),
        policy: "None".to_owned(),
        mode: SecurityMode::None,
        user: arguments.user.clone().zip(origin_env(arguments)),
        at,
        root: arguments.root.clone(),
        port: port(&arguments.url),
        pki_dir: pki_dir.map(|dir| dir.display().to_string()),
    })
}

/// The variable that the config reads the password from.
fn origin_env(arguments: &ImportArguments) -> Option<String> {
    let of_name = || {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        arguments.plc.chars().map(letter).collect::<String>() + "_PASSWORD"
    };
    arguments.user.as_ref().map(|_| arguments.password_env.clone().unwrap_or_else(of_name))
}

/// What a file holds, without the line break at its end.
fn password(arguments: &ImportArguments) -> Result<Option<String>, ImportError> {
    let Some(file) = &arguments.password_file else { return Ok(None) };
    let text = fs::read_to_string(file)
        .map_err(|cause| ImportError::File(format!("cannot read the password in `{}`", file.display()), cause))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The usual port, unless a PLC on this very host has it.
fn port(url: &str) -> u16 {
    let is_here = ["opc.tcp://localhost", "opc.tcp://127.", "opc.tcp://[::1]"].iter().any(|host| url.starts_with(host));
    let has_port = |port: &str| url.trim_end_matches('/').ends_with(port) || url.contains(&format!("{port}/"));
    if is_here && (has_port(":4840") || url.matches(':').count() == 1) { 4841 } else { 4840 }
}

fn parse(arguments: &ImportArguments, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Fault>> {
    let file = arguments.output.as_deref().unwrap_or(Path::new(UNNAMED));
    config::parse(text, &file.display().to_string(), &|path| fs::read_to_string(path), env)
}

fn said(faults: &[Fault]) -> String {
    let fault = |fault: &Fault| format!("{}; {}", fault.message, fault.remedy);
    faults.iter().map(fault).collect::<Vec<_>>().join("\n")
}

fn access(frame: &Config, clock: std::sync::Arc<dyn Clock>) -> Result<Access, ImportError> {
    let plc = frame.plcs.first().cloned().ok_or_else(|| ImportError::Usage("no PLC is named".to_owned()))?;
    let (application_uri, pki_dir) = (frame.server.application_uri.clone(), frame.server.pki_dir.clone());
    Ok(Access { plc, application_uri, pki_dir, clock })
}

/// The best that the PLC offers of what was asked for.
async fn offer(arguments: &ImportArguments, access: &Access) -> Result<Offer, ImportError> {
    let offers = survey::offers(access).await.map_err(|error| ImportError::Plc(error.to_string()))?;
    let mode = arguments.security_mode.as_deref().map(|mode| match mode {
        "Sign" => SecurityMode::Sign,
        "SignAndEncrypt" => SecurityMode::SignAndEncrypt,
        _ => SecurityMode::None,
    });
    let is_wanted = |offer: &&Offer| {
        arguments.security_policy.as_ref().is_none_or(|policy| *policy == offer.policy)
            && mode.is_none_or(|mode| mode == offer.mode)
    };
    let Some(offer) = offers.iter().find(is_wanted) else {
        let offered: Vec<String> = offers.iter().map(|offer| format!("{} {:?}", offer.policy, offer.mode)).collect();
        return Err(ImportError::Usage(format!("the PLC does not offer that; it offers {}", offered.join(", "))));
    };
    eprintln!("{}: policy {}, mode {:?}", arguments.url, offer.policy, offer.mode);
    Ok(offer.clone())
}

/// Our certificate, as the service would make it.
pub(super) fn prepare_certificate(config: &Config) -> Result<(), ImportError> {
    let server = &config.server;
    let host = northbound::advertised(server);
    pki::prepare(&server.pki_dir, &server.name, &server.application_uri, &host).map_err(|cause| {
        ImportError::File(format!("the folder of certificates `{}` cannot be written", server.pki_dir.display()), cause)
    })
}

async fn look(access: &Access, root: Option<&crate::southbound::NodeAddress>) -> Result<Survey, ImportError> {
    let teller = Teller::new();
    let surveyed = survey::survey(access, root, &|progress| teller.tell(progress)).await;
    teller.bar.finish_and_clear();
    surveyed.map_err(|error| {
        let pki_dir = access.pki_dir.display();
        let is_secure = access.plc.security_policy != "None";
        ImportError::Plc(match error {
            ConnectError::Failed(reason) if is_secure && !teller.began.load(Ordering::Relaxed) => {
                format!("{reason}; if the PLC does not trust us yet, let it trust {pki_dir}/{}", pki::OWN_CERTIFICATE)
            }
            error => refused(&error, &format!("--pki-dir {pki_dir}")),
        })
    })
}

/// An error, with the one command that helps where a certificate is not trusted.
pub(super) fn refused(error: &ConnectError, place: &str) -> String {
    match error {
        ConnectError::Refused(Refusal::Untrusted { name, thumbprint }) => {
            format!(
                "the PLC's certificate {name} [{thumbprint}] is not trusted: uatwin cert trust {thumbprint} {place}"
            )
        }
        error => error.to_string(),
    }
}

/// A bar on a terminal, else a line now and then.
struct Teller {
    bar: ProgressBar,
    last: Mutex<Instant>,
    began: AtomicBool,
}

impl Teller {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        bar.set_style(ProgressStyle::with_template("{spinner} {msg} {wide_bar}").expect("the template is right"));
        Self { bar, last: Mutex::new(Instant::now()), began: AtomicBool::new(false) }
    }

    fn tell(&self, progress: Progress) {
        self.began.store(true, Ordering::Relaxed);
        let text = match progress {
            Progress::Browsing { nodes } => format!("browsing: {nodes} nodes"),
            Progress::Reading { done, of } => {
                self.bar.set_length(of as u64);
                self.bar.set_position(done as u64);
                format!("reading: {done} of {of} variables")
            }
        };
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !io::stderr().is_terminal() && last.elapsed() >= SAID_EVERY {
            *last = Instant::now();
            eprintln!("{text}");
        }
        self.bar.set_message(text);
        self.bar.tick();
    }
}

fn summary(written: &Written) -> String {
    let Written { nodes, variables, taken, types, twins, .. } = written;
    format!("{nodes} nodes, {variables} variables, {taken} of them in {types} twin types and {twins} twins")
}

/// Whole or not at all.
fn save(output: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = output.with_file_name(name);
    fs::write(&partial, text)?;
    if output.exists() && !force {
        fs::remove_file(&partial)?; // it came while the PLC was browsed
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(&partial, output)
}
