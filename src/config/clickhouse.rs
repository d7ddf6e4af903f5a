//! `[history.store.clickhouse]`.

use std::time::Duration;

use super::{
    Context, Store,
    raw::{Item, Table},
    server,
};
use crate::{
    history::clickhouse_store::{ClickHouseOptions, Secret},
    southbound::Credentials,
};

/// How long samples stay at the front: a week of reads that need no cluster.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
const QUORUM_MAX: i64 = 64;

/// The renames are the config's own; they come later.
pub(super) fn store(context: &Context<'_>, table: &Table<'_>) -> Option<Store> {
    let urls = table.required("urls", "add urls = [\"http://HOST:8123\"]").and_then(|item| urls(&item));
    let database = table.get("database").map_or(Some("uatwin"), |item| word(&item));
    let cluster_item = table.get("cluster");
    let cluster = cluster_item.as_ref().and_then(word);
    let quorum_item = table.get("quorum");
    let quorum = quorum_item.as_ref().and_then(|item| item.whole(2..=QUORUM_MAX));
    if let (Some(item), None) = (&quorum_item, &cluster_item) {
        item.fault("without a cluster there is one copy of everything", "name the cluster, or remove quorum");
    }
    let several = urls.as_ref().is_some_and(|urls| urls.len() > 1);
    if several && cluster_item.is_none() {
        table.fault(
            "several servers hold the same history only as replicas of a cluster",
            "add cluster = \"NAME\", as in the servers' remote_servers, or give one url",
        );
    }
    let keep = table.get("keep").map_or(Some(KEEP), |item| item.period());
    let credentials = table.table("user").map(|user| server::credentials(context, &user));
    table.finish();
    let (user, password) = match credentials {
        Some(Credentials::Password { name, password }) => (Some(name), Some(Secret(password))),
        _ => (None, None),
    };
    let options = ClickHouseOptions {
        urls: urls?,
        database: database?.to_owned(),
        user,
        password,
        cluster: cluster.map(ToOwned::to_owned),
        quorum: quorum.and_then(|count| u32::try_from(count).ok()),
        renames: Vec::new(),
    };
    Some(Store::ClickHouse { options, keep: keep? })
}

fn urls(item: &Item<'_>) -> Option<Vec<String>> {
    let texts = item.texts()?;
    if texts.is_empty() {
        item.fault("no server is named", "write urls = [\"http://HOST:8123\"]");
        return None;
    }
    texts.iter().map(|(text, item)| url(text, item)).collect()
}

fn url(text: &str, item: &Item<'_>) -> Option<String> {
    if text.starts_with("https://") {
        item.fault(
            "this program speaks no TLS to ClickHouse",
            "use http:// in a network of its own, or a proxy on this host that speaks TLS to the server",
        );
        return None;
    }
    let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let port =
        authority.and_then(|authority| authority.rsplit_once(':')).map(|(host, port)| (host, port.parse::<u16>()));
    let good = |c: char| c.is_alphanumeric() || "-._[]:".contains(c);
    match port {
        Some((host, Ok(1..))) if !host.is_empty() && host.chars().all(good) => {
            Some(text.trim_end_matches('/').to_owned())
        }
        _ => {
            item.fault(
                format!("{text:?} is no server's address"),
                "write http://HOST:PORT, as in http://10.0.0.7:8123",
            );
            None
        }
    }
}

/// A name as ClickHouse takes it without quotes.
fn word<'a>(item: &Item<'a>) -> Option<&'a str> {
    let text = item.text()?;
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        item.fault(format!("{text:?} is not a name here"), "use letters, digits and `_`, a letter first");
        return None;
    }
    Some(text)
}
