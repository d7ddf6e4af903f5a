//! `uatwin user`: who may log on. Writes the users file of a config, whole and at once, for its owner alone; a service that runs
//! takes it up within seconds. A password comes from a prompt, a pipe or the environment, never as an argument.

use std::{
    fs, io,
    io::{BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::{
    config::{self, Fault},
    northbound::users::{PasswordError, PasswordHash, Role, Thumbprint},
};

/// Holds the password where nobody is there to type it.
const VARIABLE: &str = "UATWIN_PASSWORD";
/// Shorter ones are guessed.
const CHARACTERS_MIN: usize = 8;
const CHARACTERS_MAX: usize = 1_024;
const HEAD: &str = "# Users of uatwin. `uatwin user` keeps this file; a running server takes changes up by itself.\n";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for a password unless a certificate is given
    Add(AddArguments),
    /// Show the users, without their secrets
    List {
        /// The config file, whose users_file is meant
        #[arg(long)]
        config: PathBuf,
    },
    /// Remove a user; sessions that stand may do nothing from then on
    Remove {
        /// The user's name
        name: String,
        /// The config file, whose users_file is meant
        #[arg(long)]
        config: PathBuf,
    },
    /// Give a user another password
    Password {
        /// The user's name
        name: String,
        /// The config file, whose users_file is meant
        #[arg(long)]
        config: PathBuf,
    },
}

/// Of `uatwin user add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// The user's name
    pub name: String,
    /// The config file, whose users_file is meant
    #[arg(long)]
    pub config: PathBuf,
    /// Observer, Operator, Engineer, SecurityAdmin or ConfigureAdmin; may be given several times
    #[arg(long = "role", required = true, value_parser = role)]
    pub roles: Vec<&'static str>,
    /// The only twins that the user sees, by name, or the beginning of names with a * behind; may be given several times
    #[arg(long = "twin")]
    pub twins: Vec<String>,
    /// Thumbprint of the user's certificate (SHA-256 or SHA-1), in place of a password
    #[arg(long)]
    pub certificate: Option<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// Of the config or the users file.
    #[error("the users file has faults")]
    Faults(Vec<Fault>),
    /// A name that is there, or is not; a certificate that is none.
    #[error("{0}")]
    Usage(String),
    /// The file, or the terminal.
    #[error("{0}")]
    File(String, #[source] io::Error),
    /// The hash.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

fn role(text: &str) -> Result<&'static str, String> {
    let names = || Role::ALL.map(Role::name);
    let found = names().into_iter().find(|name| *name == text);
    found.ok_or_else(|| config::did_you_mean(text, names()))
}

/// Does it; what is to be printed.
///
/// # Errors
/// See [`UserError`]; the file is then as it was.
pub fn run(command: &UserCommand, env: &dyn Fn(&str) -> Option<String>) -> Result<String, UserError> {
    match command {
        UserCommand::Add(arguments) => add(arguments, env),
        UserCommand::List { config } => list(&users_file(config)?),
        UserCommand::Remove { name, config } => change(&users_file(config)?, |users| match users.remove(name) {
            Some(_) => Ok(format!("{name} is removed")),
            None => Err(unknown(name)),
        }),
        UserCommand::Password { name, config } => {
            let file = users_file(config)?;
            if !open(&file)?.get("user").and_then(Item::as_table_like).is_some_and(|users| users.contains_key(name)) {
                return Err(unknown(name));
            }
            let hash = PasswordHash::make(&new_password(env)?)?;
            change(&file, |users| {
                let user = users.get_mut(name).and_then(Item::as_table_like_mut).ok_or_else(|| unknown(name))?;
                user.insert("password", value(hash));
                Ok(format!("{name} has a new password"))
            })
        }
    }
}

fn users_file(config: &Path) -> Result<PathBuf, UserError> {
    config::users_file(config).map_err(UserError::Faults)
}

fn unknown(name: &str) -> UserError {
    UserError::Usage(format!("there is no user {name:?}"))
}

fn add(arguments: &AddArguments, env: &dyn Fn(&str) -> Option<String>) -> Result<String, UserError> {
    let AddArguments { name, config, roles, twins, certificate } = arguments;
    config::is_user_name(name).map_err(|(message, remedy)| UserError::Usage(format!("{message}; {remedy}")))?;
    let file = users_file(config)?;
    if open(&file)?.get("user").and_then(Item::as_table_like).is_some_and(|users| users.contains_key(name)) {
        return Err(UserError::Usage(format!("there already is a user {name:?}")));
    }
    let mut user = Table::new();
    match certificate {
        Some(text) => {
            let thumbprint = Thumbprint::parse(text);
            let thumbprint = thumbprint.ok_or_else(|| UserError::Usage(format!("{text:?} is no thumbprint")))?;
            user.insert("certificate", value(thumbprint.to_string()));
        }
        None => drop(user.insert("password", value(PasswordHash::make(&new_password(env)?)?))),
    }
    user.insert("roles", value(Array::from_iter(roles.iter().copied())));
    if !twins.is_empty() {
        user.insert("twins", value(Array::from_iter(twins.iter().map(String::as_str))));
    }
    change(&file, |users| {
        users.insert(name, Item::Table(user));
        Ok(format!("{name} is added to {}", file.display()))
    })
}

fn list(file: &Path) -> Result<String, UserError> {
    let document = open(file)?;
    let mut lines = Vec::new();
    for (name, user) in document.get("user").and_then(Item::as_table_like).into_iter().flat_map(|users| users.iter()) {
        let texts = |key: &str| {
            let list = user.get(key).and_then(Item::as_array)?;
            Some(list.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(", "))
        };
        let by = [("password", "password"), ("certificate", "certificate")];
        let by: Vec<_> = by.into_iter().filter(|(key, _)| user.get(key).is_some()).map(|(_, word)| word).collect();
        let roles = texts("roles").filter(|roles| !roles.is_empty()).unwrap_or_else(|| "no role".to_owned());
        let twins = texts("twins").map_or_else(|| "all twins".to_owned(), |twins| format!("twins {twins}"));
        lines.push(format!("{name}: {roles}; {twins}; {}", by.join(" and ")));
    }
    Ok(if lines.is_empty() { "no users".to_owned() } else { lines.join("\n") })
}

/// The file as it is; one that is not there is empty.
fn open(file: &Path) -> Result<DocumentMut, UserError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(UserError::File(format!("reading `{}`", file.display()), error)),
    };
    text.parse().map_err(|error| UserError::Usage(format!("`{}` is not TOML: {error}", file.display())))
}

/// Changes the table of users; comments and order of the rest stay.
fn change(
    file: &Path,
    with: impl FnOnce(&mut dyn toml_edit::TableLike) -> Result<String, UserError>,
) -> Result<String, UserError> {
    let mut document = open(file)?;
    let users = document.entry("user").or_insert_with(|| {
        let mut users = Table::new();
        users.set_implicit(true);
        Item::Table(users)
    });
    let users = users.as_table_like_mut();
    let users = users.ok_or_else(|| UserError::Usage(format!("`user` in `{}` is no table", file.display())))?;
    let said = with(users)?;
    replace(file, &document.to_string())
        .map_err(|error| UserError::File(format!("writing `{}`", file.display()), error))?;
    Ok(said)
}

/// The whole file or none of it, for its owner alone.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = folder.join(format!(".users.{}.tmp", std::process::id()));
    let _ = fs::remove_file(&beside); // of a process of this number that was killed
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        fs::File::open(folder)?.sync_all()
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// From the environment, the terminal (twice) or a pipe.
fn new_password(env: &dyn Fn(&str) -> Option<String>) -> Result<String, UserError> {
    let failed = |error| UserError::File("reading the password".to_owned(), error);
    let password = match env(VARIABLE) {
        Some(password) => password,
        None if io::stdin().is_terminal() => {
            let first = prompt("Password: ").map_err(failed)?;
            if first != prompt("Once more: ").map_err(failed)? {
                return Err(UserError::Usage("the two are not the same".to_owned()));
            }
            first
        }
        None => line().map_err(failed)?,
    };
    match password.chars().count() {
        ..CHARACTERS_MIN => Err(UserError::Usage(format!("a password has at least {CHARACTERS_MIN} characters"))),
        CHARACTERS_MIN..=CHARACTERS_MAX => Ok(password),
        _ => Err(UserError::Usage(format!("a password has at most {CHARACTERS_MAX} characters"))),
    }
}

fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks without showing what is typed.
fn prompt(words: &str) -> io::Result<String> {
    eprint!("{words}");
    let before = tcgetattr(io::stdin())?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
    let line = line();
    tcsetattr(io::stdin(), OptionalActions::Now, &before)?;
    eprintln!();
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let config = "[server.security]\nusers_file = \"users.toml\"\n";
            fs::write(dir.path().join("uatwin.toml"), config).unwrap();
            Self(dir)
        }

        fn config(&self) -> PathBuf {
            self.0.path().join("uatwin.toml")
        }

        fn text(&self) -> String {
            fs::read_to_string(self.0.path().join("users.toml")).unwrap()
        }

        fn add(&self, name: &str, twins: &[&str], certificate: Option<&str>) -> Result<String, UserError> {
            let arguments = AddArguments {
                name: name.into(),
                config: self.config(),
                roles: vec!["Operator"],
                twins: twins.iter().map(|twin| (*twin).to_owned()).collect(),
                certificate: certificate.map(Into::into),
            };
            run(&UserCommand::Add(arguments), &|_| Some("long enough".into()))
        }
    }

    #[test]
    fn users_come_and_go_and_comments_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        folder.add("ann", &["Oven1", "Line*"], None).unwrap();
        let file = folder.0.path().join("users.toml");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, folder.text().replace("[user.ann]", "# our best\n[user.ann]")).unwrap();
        folder.add("bob b.", &[], Some(&"ab:".repeat(32))).unwrap();
        let listed = run(&UserCommand::List { config: folder.config() }, &|_| None).unwrap();
        assert_eq!(listed, "ann: Operator; twins Oven1, Line*; password\nbob b.: Operator; all twins; certificate");

        let before = folder.text();
        let password = UserCommand::Password { name: "ann".into(), config: folder.config() };
        run(&password, &|_| Some("another one".into())).unwrap();
        let after = folder.text();
        assert!(before != after && after.contains("# our best") && !after.contains("another one"), "{after}");

        run(&UserCommand::Remove { name: "bob b.".into(), config: folder.config() }, &|_| None).unwrap();
        assert!(!folder.text().contains("bob"));
        assert!(fs::read_dir(folder.0.path()).unwrap().count() == 2, "no file is left beside");
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_changes_nothing() {
        let folder = Folder::new();
        folder.add("ann", &[], None).unwrap();
        let before = folder.text();
        let short = |name: &str| {
            let command = UserCommand::Password { name: name.into(), config: folder.config() };
            run(&command, &|_| Some("short".into())).unwrap_err().to_string()
        };
        assert_eq!(short("ann"), "a password has at least 8 characters");
        assert_eq!(short("eve"), "there is no user \"eve\"");
        assert_eq!(folder.add("ann", &[], None).unwrap_err().to_string(), "there already is a user \"ann\"");
        assert!(folder.add("anonymous", &[], None).is_err() && folder.add("", &[], None).is_err());
        assert!(folder.add("eve", &[], Some("12:34")).is_err());
        assert_eq!(folder.text(), before);
    }
}
