//! Requests to a ClickHouse server over HTTP, for threads that may wait. Of several servers the first that answers is asked,
//! and asked until it fails: then the next one.

use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use clickhouse::{Client, Compression, error::Error};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{ClickHouseOptions, rows::Rows};
use crate::history::blocks::Cause;

/// A server that does not even answer a greeting within this time is passed over.
const GREETING: Duration = Duration::from_secs(3);
/// No request takes longer: whoever waits for history is told so.
const REQUEST: Duration = Duration::from_secs(60);
/// Bytes given to the connection at once.
const CHUNK: usize = 1 << 20;

/// Servers, and the one in use.
pub(super) struct Http {
    clients: Vec<Client>,
    urls: Vec<String>,
    in_use: AtomicUsize,
    /// Whether the one in use has greeted since the last failure.
    is_greeted: Mutex<bool>,
    /// Taken out when the store is dropped, which may be where nobody may wait.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Whether the bytes go no further than this machine: then pressing them together costs more than it saves.
fn is_local(url: &str) -> bool {
    ["//127.", "//localhost", "//[::1]"].iter().any(|host| url.contains(host))
}

impl Http {
    pub(super) fn new(options: &ClickHouseOptions) -> std::io::Result<Self> {
        let client = |url: &String| {
            let compression = if is_local(url) { Compression::None } else { Compression::Lz4 };
            let mut client = Client::default()
                .with_url(url)
                .with_compression(compression)
                // RowBinary with names and types is younger than what we ask for; our columns are named in every request.
                .with_validation(false)
                // An error in the middle of an answer must not look like its end.
                .with_setting("wait_end_of_query", "1");
            if let Some(user) = &options.user {
                client = client.with_user(user);
            }
            if let Some(password) = &options.password {
                client = client.with_password(&password.0);
            }
            client
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("clickhouse").enable_all().build()?;
        Ok(Self {
            clients: options.urls.iter().map(client).collect(),
            urls: options.urls.clone(),
            in_use: AtomicUsize::new(0),
            is_greeted: Mutex::new(false),
            runtime: Some(runtime),
        })
    }

    /// On a thread that is tokio's own nobody may wait for another runtime: there another thread waits.
    fn ask<T: Send, F>(&self, request: impl Fn(Client) -> F + Sync) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if Handle::try_current().is_err() {
            return self.ask_here(request);
        }
        let asked = thread::scope(|scope| scope.spawn(|| self.ask_here(&request)).join());
        asked.map_err(|_| Cause::from("a request panicked"))?
    }

    /// Asks the server in use, and if it cannot be reached the others. What a server has refused is not asked of another.
    fn ask_here<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let runtime = self.runtime.as_ref().ok_or("the store is closed")?;
        let mut failure: Cause = "no server is configured".into();
        for _ in 0..self.clients.len() {
            let index = self.in_use.load(Ordering::Relaxed) % self.clients.len();
            let asked = runtime.block_on(async {
                self.greet(index).await?;
                let answer = tokio::time::timeout(REQUEST, request(self.clients[index].clone())).await;
                answer.unwrap_or(Err(Error::TimedOut))
            });
            match asked {
                Ok(answer) => return Ok(answer),
                Err(refused @ Error::BadResponse(_)) if !is_passing(&refused) => return Err(refused.into()),
                Err(error) => {
                    failure = format!("{}: {error}{}", self.urls[index], because(&error)).into();
                    self.pass_over(index);
                }
            }
        }
        Err(failure)
    }

    async fn greet(&self, index: usize) -> Result<(), Error> {
        if self.clients.len() == 1 || *self.is_greeted.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(());
        }
        let greeting = self.clients[index].query("SELECT 1").fetch_one::<u8>();
        tokio::time::timeout(GREETING, greeting).await.unwrap_or(Err(Error::TimedOut))?;
        *self.is_greeted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Ok(())
    }

    fn pass_over(&self, index: usize) {
        *self.is_greeted.lock().unwrap_or_else(PoisonError::into_inner) = false;
        let next = (index + 1) % self.clients.len();
        let _ = self.in_use.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A statement without an answer.
    pub(super) fn execute(&self, sql: &str, settings: &[(&str, &str)]) -> Result<(), Cause> {
        self.ask(|client| with(client, settings).query_raw(sql).execute())
    }

    /// A query's rows.
    pub(super) fn rows(&self, sql: &str, settings: &[(&str, &str)]) -> Result<Rows, Cause> {
        self.ask(|client| async move {
            with(client, settings)
                .query_raw(sql)
                .fetch_bytes("RowBinary")?
                .collect()
                .await
                .map(|bytes| Rows::new(bytes.into()))
        })
    }

    /// Rows in the format that `sql` names. When it returns, the server has them.
    pub(super) fn insert(&self, sql: &str, bytes: &[u8], settings: &[(&str, &str)]) -> Result<(), Cause> {
        self.ask(|client| async move {
            let mut insert = with(client, settings).insert_formatted_with(sql);
            for chunk in bytes.chunks(CHUNK) {
                insert.send(chunk.to_vec().into()).await?;
            }
            insert.end().await
        })
    }
}

fn with(client: Client, settings: &[(&str, &str)]) -> Client {
    settings.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
}

/// What a server answers that is about to go, has not come yet, or has lost its companions: another may do it.
fn is_passing(refused: &Error) -> bool {
    // TABLE_IS_READ_ONLY, KEEPER_EXCEPTION (NO_ZOOKEEPER), TOO_LESS_LIVE_REPLICAS, ALL_CONNECTION_TRIES_FAILED,
    // REPLICA_IS_NOT_IN_QUORUM, UNKNOWN_STATUS_OF_INSERT, UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE.
    const CODES: [&str; 8] = ["242", "999", "225", "285", "279", "289", "319", "286"];
    let Error::BadResponse(text) = refused else { return true };
    let Some(code) = text.split_once("Code: ").map(|(_, rest)| rest) else { return !text.contains("DB::Exception") };
    CODES
        .iter()
        .any(|known| code.strip_prefix(known).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())))
}

/// The causes behind an error, for the log's one line.
fn because(error: &Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
