//! `[server]`, `[history]` and `[plc.NAME]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Context, HistoryConfig, Store, clickhouse, limits,
    name::{self, Kind},
    raw::{Item, Table},
};
use crate::{
    northbound::{Limits, Role, ServerConfig, users::Users},
    southbound::{Credentials, PlcConfig, SecurityMode},
};

/// OPC 10000-7's policies that are not deprecated, and None.
const POLICIES: [&str; 4] = ["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"];
const POLICIES_DEFAULT: [&str; 3] = ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"];
const PORT: u16 = 4840;

/// What an absent table stands for.
pub(super) fn defaults(context: &Context<'_>) -> (ServerConfig, PathBuf) {
    let server = ServerConfig {
        name: "uatwin".into(),
        application_uri: application_uri(context, None, PORT),
        host: "0.0.0.0".into(),
        port: PORT,
        advertise: None,
        pki_dir: context.path("certs"),
        nodesets: Vec::new(),
        twins_namespace: "urn:uatwin:twins".into(),
        policies: POLICIES_DEFAULT.map(Into::into).into(),
        anonymous: Some(Role::Observer),
        users_file: None,
        users: Users::default(),
        users_on_policy_none: false,
        continuation_point_timeout: Duration::from_secs(600),
        limits: Limits::default(),
        trust_any_client: false,
    };
    (server, context.path("data"))
}

/// The ApplicationUri identifies one installation world-wide (OPC 10000-4 §7.2) and stands in its certificate: so it is
/// made of the host, and of the port where that is not the usual one, and stays as long as those do. Where host names
/// change (containers), `server.application_uri` or `server.advertise` keeps it.
fn application_uri(context: &Context<'_>, advertise: Option<&str>, port: u16) -> String {
    let own = || (context.read)(Path::new("/proc/sys/kernel/hostname")).ok();
    let host = advertise.map(ToOwned::to_owned).or_else(own).unwrap_or_default();
    let host = if host.trim().is_empty() { "localhost" } else { host.trim() };
    if port == PORT { format!("urn:{host}:uatwin") } else { format!("urn:{host}:uatwin:{port}") }
}

/// `[server]`.
pub(super) fn server(context: &Context<'_>, root: &Table<'_>) -> (ServerConfig, PathBuf) {
    let (mut server, mut data_dir) = defaults(context);
    let Some(table) = root.table("server") else { return (server, data_dir) };
    if let Some(name) = table.text("name") {
        server.name = name.into();
    }
    if let Some((host, port)) = table.get("endpoint").and_then(|item| endpoint(&item)) {
        (server.host, server.port) = (host, port);
    }
    server.advertise = table.get("advertise").and_then(|item| host_name(&item));
    server.application_uri = application_uri(context, server.advertise.as_deref(), server.port);
    if let Some(uri) = table.get("application_uri").and_then(|item| uri(&item)) {
        server.application_uri = uri;
    }
    if let Some(uri) = table.get("twins_namespace").and_then(|item| namespace(&item)) {
        server.twins_namespace = uri;
    }
    if server.twins_namespace == server.application_uri {
        table.fault(
            "the namespace of the twins is the server's own",
            "give application_uri and twins_namespace different URIs",
        );
    }
    if let Some(dir) = table.get("data_dir").and_then(|item| path(context, &item)) {
        data_dir = dir;
    }
    if let Some(dir) = table.get("pki_dir").and_then(|item| path(context, &item)) {
        server.pki_dir = dir;
    }
    let nodesets = table.get("nodesets").and_then(|item| item.list()).unwrap_or_default();
    server.nodesets = nodesets.iter().filter_map(|item| path(context, item)).collect();
    if let Some(table) = table.table("security") {
        security(context, &table, &mut server);
    }
    server.limits = limits::limits(&table);
    table.finish();
    (server, data_dir)
}

fn security(context: &Context<'_>, table: &Table<'_>, server: &mut ServerConfig) {
    if let Some(policies) = table.get("policies").and_then(|item| policies(&item)) {
        server.policies = policies;
    }
    let roles = [
        ("off", None),
        ("observer", Some(Role::Observer)),
        ("operator", Some(Role::Operator)),
        ("engineer", Some(Role::Engineer)),
    ];
    let anonymous = table.get("anonymous");
    if let Some(role) = anonymous.as_ref().and_then(|item| item.choice(&roles)) {
        server.anonymous = role;
    }
    server.users_file = table.get("users_file").and_then(|item| path(context, &item));
    if let (None, None, Some(item)) = (server.anonymous, &server.users_file, anonymous) {
        item.warn("anonymous", "nobody can connect", "name a users_file with those who may, or use \"observer\"");
    }
    let on_policy_none = table.get("users_on_policy_none");
    server.users_on_policy_none = on_policy_none.as_ref().and_then(|item| item.flag()).unwrap_or(false);
    let only_none = server.policies.iter().all(|policy| policy == "None");
    if let (true, false, true, Some(item)) =
        (only_none, server.users_on_policy_none, server.users_file.is_some(), table.get("policies"))
    {
        item.warn("policies", "users with a name cannot come by policy None", "add \"Basic256Sha256\"");
    }
    if let (true, Some(item)) = (server.users_on_policy_none, on_policy_none) {
        item.warn(
            "users_on_policy_none",
            "over policy None anybody on the way reads along and can take a session over",
            "use it where the network is trusted, or not at all",
        );
    }
    table.finish();
}

fn policies(item: &Item<'_>) -> Option<Vec<String>> {
    let list = item.texts()?;
    if list.is_empty() {
        item.fault("no client could connect", format!("list some of {}", POLICIES.join(", ")));
    }
    let mut policies: Vec<String> = Vec::new();
    for (text, item) in list {
        if policies.iter().any(|known| known == text) {
            item.fault(format!("{text} is listed twice"), "remove one of them");
        } else if policy(&item).is_some() {
            policies.push(text.into());
        }
    }
    Some(policies)
}

fn policy<'a>(item: &Item<'a>) -> Option<&'a str> {
    let text = item.text()?;
    if matches!(text, "Basic128Rsa15" | "Basic256") {
        item.fault(format!("{text} is broken and no longer part of OPC UA"), "use Basic256Sha256");
        return None;
    }
    item.choice(&POLICIES.map(|policy| (policy, ()))).map(|()| text)
}

/// `opc.tcp://host:port`.
fn endpoint(item: &Item<'_>) -> Option<(String, u16)> {
    let text = item.text()?;
    let parsed = split_endpoint(text).filter(|(_, _, path)| matches!(*path, "" | "/"));
    if parsed.is_none() {
        item.fault(format!("{text:?} is not an endpoint"), "write opc.tcp://HOST:PORT, as in opc.tcp://0.0.0.0:4840");
    }
    parsed.map(|(host, port, _)| (host.to_owned(), port))
}

/// Host, port and path (with its slash).
fn split_endpoint(text: &str) -> Option<(&str, u16, &str)> {
    let rest = text.strip_prefix("opc.tcp://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']')?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some("4840"))?)
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "4840")),
    };
    let in_v6 = authority.starts_with('[');
    let good = |c: char| c.is_alphanumeric() || "-._".contains(c) || (in_v6 && ":%".contains(c));
    if host.is_empty() || !host.chars().all(good) || port.starts_with('+') {
        return None;
    }
    Some((host, port.parse().ok()?, path))
}

fn host_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
    if text.is_empty() || !text.chars().all(good) {
        item.fault(
            format!("{text:?} is not a host name"),
            "give only the name or address that clients reach this host by, as in line1.plant.example",
        );
        return None;
    }
    Some(text.into())
}

fn uri(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let good = text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if !good || text.chars().any(char::is_whitespace) {
        item.fault(format!("{text:?} is not a URI"), "write it as urn:company:line1:twins");
        return None;
    }
    Some(text.into())
}

fn namespace(item: &Item<'_>) -> Option<String> {
    let text = uri(item)?;
    if matches!(text.as_str(), "http://opcfoundation.org/UA/" | "urn:uatwin:types") {
        item.fault(format!("{text} is already a namespace of its own"), "choose a URI of your own");
        return None;
    }
    Some(text)
}

fn path(context: &Context<'_>, item: &Item<'_>) -> Option<PathBuf> {
    let text = item.text()?;
    if text.is_empty() || text.contains('\0') {
        item.fault("not a path", "give a path, relative to the folder of this file or absolute");
        return None;
    }
    Some(context.path(text))
}

/// `[history]`: how it is kept, and read.
pub(super) fn history(context: &Context<'_>, root: &Table<'_>, server: &mut ServerConfig) -> HistoryConfig {
    let mut config = HistoryConfig { store: Store::Sled, retention: None };
    let Some(table) = root.table("history") else { return config };
    if let Some(item) = table.get("retention") {
        config.retention = item.period();
    }
    if let Some(timeout) = table.get("continuation_point_timeout").and_then(|item| item.period()) {
        server.continuation_point_timeout = timeout;
    }
    if let Some(store) = table.table("store") {
        let mut chosen = None;
        for key in ["sled", "memory", "clickhouse"] {
            let Some(item) = store.get(key) else { continue };
            let options = item.table();
            if let Some(first) = chosen.replace(key) {
                item.fault_at_key(format!("the history is already kept in {first}"), "keep one of them");
            }
            let Some(options) = options else { continue };
            match key {
                "clickhouse" => config.store = clickhouse::store(context, &options).unwrap_or(Store::Sled),
                _ => {
                    options.finish();
                    config.store = if key == "sled" { Store::Sled } else { Store::Memory };
                }
            }
        }
        store.finish();
    }
    table.finish();
    config
}

/// `[plc.NAME]`, in the order of the file.
pub(super) fn plcs(context: &Context<'_>, root: &Table<'_>) -> Vec<PlcConfig> {
    let mut plcs = Vec::new();
    for (name, item) in root.named("plc") {
        name::check(Kind::Plc, name, &item);
        let Some(table) = item.table() else { continue };
        plcs.push(plc(context, name, &table));
        table.finish();
    }
    plcs
}

fn plc(context: &Context<'_>, name: &str, table: &Table<'_>) -> PlcConfig {
    let endpoints = plc_endpoints(table);
    let (security_policy, security_mode) = message_security(table);
    if security_mode == SecurityMode::None && table.has("user") {
        table.warn("password", "the password may be sent unencrypted", "add security_policy = \"Basic256Sha256\"");
    }
    PlcConfig {
        name: name.into(),
        endpoints,
        security_policy,
        security_mode,
        credentials: table.table("user").map_or(Credentials::Anonymous, |user| credentials(context, &user)),
        publishing_interval: table
            .get("publishing_interval")
            .and_then(|i| i.period())
            .unwrap_or(Duration::from_millis(500)),
        backfill: table.get("backfill").and_then(|item| item.period()),
    }
}

/// `endpoint`, or `endpoints` of redundant servers; one at least, empty where there was a fault.
fn plc_endpoints(table: &Table<'_>) -> Vec<String> {
    let one = |item: &Item<'_>| {
        let text = item.text()?;
        if split_endpoint(text).is_none_or(|(_, port, _)| port == 0) {
            item.fault(
                format!("{text:?} is not an endpoint"),
                "write opc.tcp://HOST:PORT, as in opc.tcp://10.0.0.5:4840",
            );
        }
        Some(text.to_owned())
    };
    let Some(several) = table.get("endpoints") else {
        let endpoint = table.required("endpoint", "add endpoint = \"opc.tcp://HOST:4840\"");
        return vec![endpoint.as_ref().and_then(one).unwrap_or_default()];
    };
    if let Some(item) = table.get("endpoint") {
        item.fault("`endpoints` names the servers already", "put it into `endpoints`, or remove `endpoints`");
    }
    let items = several.list().unwrap_or_default();
    let endpoints: Vec<String> = items.iter().filter_map(one).collect();
    match endpoints.iter().enumerate().find(|(i, endpoint)| endpoints[..*i].contains(endpoint)) {
        Some((_, twice)) => several.fault(format!("{twice:?} is named twice"), "remove one of them"),
        None if endpoints.is_empty() => {
            several.fault("no server is named", "write endpoints = [\"opc.tcp://HOST:4840\", \"…\"]");
        }
        None => {}
    }
    if endpoints.is_empty() { vec![String::new()] } else { endpoints }
}

/// What only one key says, the other follows: a policy encrypts unless told otherwise, a mode wants a policy.
fn message_security(table: &Table<'_>) -> (String, SecurityMode) {
    let policy_item = table.get("security_policy");
    let mode_item = table.get("security_mode");
    let modes =
        [("None", SecurityMode::None), ("Sign", SecurityMode::Sign), ("SignAndEncrypt", SecurityMode::SignAndEncrypt)];
    let policy = policy_item.as_ref().and_then(policy);
    let mode = mode_item.as_ref().and_then(|item| item.choice(&modes));
    match (policy, mode) {
        (None, None) => {
            if policy_item.is_none() && mode_item.is_none() {
                let (message, remedy) = (
                    "this PLC is read without security",
                    "add security_policy = \"Basic256Sha256\"; \"None\" says that it is meant",
                );
                table.warn("security_policy", message, remedy);
            }
            ("None".into(), SecurityMode::None)
        }
        (None, Some(SecurityMode::None)) | (Some("None"), None) => ("None".into(), SecurityMode::None),
        (None, Some(mode)) => ("Basic256Sha256".into(), mode),
        (Some(policy), None) => (policy.into(), SecurityMode::SignAndEncrypt),
        (Some(policy), Some(mode)) => {
            if (policy == "None") != (mode == SecurityMode::None)
                && let Some(item) = mode_item
            {
                item.fault("the mode does not go with the policy", "use None for both or for neither");
            }
            (policy.into(), mode)
        }
    }
}

pub(super) fn credentials(context: &Context<'_>, user: &Table<'_>) -> Credentials {
    let credentials =
        user.required("password", "write user.password = { name = \"…\", env = \"…\" }").and_then(|item| {
            let table = item.table()?;
            let name = table.required("name", "add the user's name").and_then(|item| item.text());
            let variable =
                table.required("env", "add env = \"NAME\": the environment variable that holds the password");
            let password = variable.and_then(|item| password(context, &item));
            table.finish();
            Some(Credentials::Password { name: name?.into(), password: password? })
        });
    user.finish();
    credentials.unwrap_or(Credentials::Anonymous)
}

fn password(context: &Context<'_>, item: &Item<'_>) -> Option<String> {
    let variable = item.text()?;
    // An environment's names hold neither `=` nor NUL, and are not empty: the system's call would panic on them.
    let legal = !variable.is_empty() && !variable.contains(['=', '\0']);
    let password = legal.then(|| (context.env)(variable)).flatten();
    if password.is_none() {
        item.fault(
            format!("the environment variable {variable:?} is not set"),
            "set it to the password before starting",
        );
    }
    password
}
