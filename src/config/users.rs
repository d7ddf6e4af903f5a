//! The users file: `[user.NAME]`, each with a password's hash or a certificate's thumbprint or both, roles, and the twins that
//! are all the user sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    BYTES_MAX, Context, Fault,
    fault::Sink,
    raw::{Document, Item, Source, Table},
    read,
};
use crate::{
    northbound::users::{PasswordHash, Role, Roles, Thumbprint, User, Users},
    sample::TwinId,
    twin::Twins,
};

/// As everywhere in OPC UA where a name is shown.
const NAME_CHARACTERS_MAX: usize = 64;
/// The library's word for who has no name.
const TAKEN: &str = "ANONYMOUS";
const USERS_MAX: usize = 10_000;

/// Reads a users file, for a server that runs: of these twins.
///
/// # Errors
/// Every fault, in the order of the file.
pub fn load_users(path: &Path, twins: &Twins) -> Result<(Users, Vec<Fault>), Vec<Fault>> {
    let sink = Sink::default();
    let users = match read(path) {
        Ok(text) => parse(&text, path, twins, &sink),
        Err(error) => {
            sink.fault(unreadable(path, &error));
            None
        }
    };
    let faulty = sink.has_faults();
    let (faults, mut warnings) = sink.into_parts();
    warnings.extend(open_to_others(path));
    match users {
        Some(users) if !faulty => Ok((users, warnings)),
        _ => Err(faults),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::of_file(
        path,
        format!("cannot be read: {error}"),
        "make it with: uatwin user add NAME --config FILE --role ROLE",
    )
}

/// A warning where others than its owner may read or write the file: hashes of weak passwords can be broken at leisure.
pub(super) fn open_to_others(path: &Path) -> Option<Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let warning = || {
        let message = format!("others than its owner may open it (mode {:03o})", mode & 0o777);
        Fault::of_file(path, message, "chmod 600 it, as the user that runs uatwin")
    };
    (mode & 0o077 != 0).then(warning)
}

/// The users file of a config that is being checked.
pub(super) fn of_config(context: &Context<'_>, path: &Path, twins: &Twins) -> Option<Users> {
    match (context.read)(path) {
        Ok(text) => parse(&text, path, twins, context.sink),
        Err(error) => {
            context.sink.fault(unreadable(path, &error));
            None
        }
    }
}

fn parse(text: &str, path: &Path, twins: &Twins, sink: &Sink) -> Option<Users> {
    if text.len() as u64 > BYTES_MAX {
        sink.fault(Fault::of_file(path, "is too long", "keep only users in it"));
        return None;
    }
    let file = path.display().to_string();
    let document = Document::new(&file, text);
    let tree = document.parse(sink)?;
    let root = Table::root(Source { document: &document, sink }, &tree, "");
    let by_name: BTreeMap<&str, TwinId> = twins.ids().map(|twin| (twins.twin(twin).name.as_str(), twin)).collect();
    let mut users: Vec<User> = Vec::new();
    for (name, item) in root.named("user") {
        if users.len() == USERS_MAX {
            item.fault_at_key(format!("more than {USERS_MAX} users"), "remove those who are gone");
            break;
        }
        check_name(name, &item);
        let Some(table) = item.table() else { continue };
        let user = user(name, &table, &by_name);
        let same = user
            .certificate
            .as_ref()
            .and_then(|own| users.iter().find(|other| other.certificate.as_ref() == Some(own)));
        if let Some(other) = same {
            item.fault_at_key(
                format!("has the certificate of {:?}", other.name),
                "give each user a certificate of his own",
            );
        }
        users.push(user);
    }
    root.finish();
    Some(Users::new(users))
}

fn check_name(name: &str, item: &Item<'_>) {
    if let Err((message, remedy)) = is_name(name) {
        item.fault_at_key(message, remedy);
    }
}

/// Whether somebody may be called so; else what is wrong, and a remedy.
///
/// # Errors
/// Empty, too long, with control characters or spaces around it, taken.
pub fn is_name(name: &str) -> Result<(), (String, &'static str)> {
    if name.trim().is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        return Err((format!("{name:?} is no name of a user"), "use letters, digits, and spaces only between them"));
    }
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err((format!("the name is longer than {NAME_CHARACTERS_MAX} characters"), "shorten it"));
    }
    if name.eq_ignore_ascii_case(TAKEN) {
        return Err((
            "this is what users without a name are called".to_owned(),
            "what they may do, [server.security] anonymous says",
        ));
    }
    Ok(())
}

fn user(name: &str, table: &Table<'_>, by_name: &BTreeMap<&str, TwinId>) -> User {
    let password = table.get("password").and_then(|item| password(&item));
    let certificate = table.get("certificate").and_then(|item| certificate(&item));
    if !table.has("password") && !table.has("certificate") {
        table.fault(
            "neither password nor certificate: nobody can be this user",
            "set one with: uatwin user password NAME",
        );
    }
    let roles = table
        .required("roles", "add roles = [\"Observer\"], or [] for none")
        .map_or_else(Roles::default, |item| roles(&item));
    let twins = table.get("twins").map(|item| known_twins(&item, by_name));
    table.finish();
    User { twins, password, certificate, ..User::new(name, roles) }
}

fn password(item: &Item<'_>) -> Option<PasswordHash> {
    let parsed = PasswordHash::parse(item.text()?);
    // Never the text itself: it may be a password.
    parsed.map_err(|error| item.fault(error.to_string(), "set it with: uatwin user password NAME")).ok()
}

fn certificate(item: &Item<'_>) -> Option<Thumbprint> {
    let text = item.text()?;
    let parsed = Thumbprint::parse(text);
    if parsed.is_none() {
        item.fault(
            format!("{text:?} is no thumbprint"),
            "give the 64 digits of: openssl x509 -in FILE -noout -fingerprint -sha256; or the 40 of its SHA-1",
        );
    }
    parsed
}

fn roles(item: &Item<'_>) -> Roles {
    let known = Role::ALL.map(|role| (role.name(), role));
    item.list().unwrap_or_default().iter().filter_map(|item| item.choice(&known)).collect()
}

/// Names, or beginnings of names with a `*` behind.
fn known_twins(item: &Item<'_>, by_name: &BTreeMap<&str, TwinId>) -> BTreeSet<TwinId> {
    let mut known = BTreeSet::new();
    for (text, item) in item.texts().unwrap_or_default() {
        match (text.strip_suffix('*'), by_name.get(text)) {
            (Some(beginning), _) => {
                let found = by_name.iter().filter(|(name, _)| name.starts_with(beginning)).map(|(_, twin)| *twin);
                let found: Vec<_> = found.collect();
                if found.is_empty() {
                    item.warn("twins", format!("no twin's name begins with {beginning:?}"), "nobody sees any by it");
                }
                known.extend(found);
            }
            (None, Some(twin)) => drop(known.insert(*twin)),
            (None, None) => item.unknown("there is no twin", text, by_name.keys().copied()),
        }
    }
    known
}

/// Where a config says that its users stand, without a look at the rest of it.
///
/// # Errors
/// The config cannot be read, or names no users file.
pub fn users_file(path: &Path) -> Result<std::path::PathBuf, Vec<Fault>> {
    let text = read(path).map_err(|error| {
        vec![Fault::of_file(path, format!("cannot be read: {error}"), "give the path of a config file")]
    })?;
    let (file, sink) = (path.display().to_string(), Sink::default());
    let document = Document::new(&file, &text);
    if let Some(tree) = document.parse(&sink) {
        let root = Table::root(Source { document: &document, sink: &sink }, &tree, "");
        let security = root.table("server").and_then(|server| server.table("security"));
        if let Some(name) = security.and_then(|security| security.text("users_file")) {
            return Ok(path.parent().unwrap_or(Path::new("")).join(name));
        }
        sink.fault(Fault::of_file(path, "names no users file", "add users_file = \"users.toml\" to [server.security]"));
    }
    Err(sink.into_parts().0)
}
