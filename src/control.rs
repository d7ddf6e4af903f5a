//! What an operator on the same machine may ask of the running service: a socket in the data folder, for this user alone.
//!
//! One request per connection, a line of JSON: `{"backup": {"to": "/absolute/path"}}`. Answers, a line each:
//! `{"progress": {"bytes": 1, "of": 2}}` any number of times, then `{"done": {"pairs": 1, "bytes": 2}}` or
//! `{"error": "why"}`. Who hangs up stops what was asked for.

use std::{
    fs, io,
    ops::ControlFlow,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    history::{BackupProgress, BackupReport, SharedStore},
    telemetry,
};

/// A path is at most 4 KiB; quotes and escapes may double it.
const REQUEST_BYTES_MAX: u64 = 16 << 10;
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// Progress that nobody has taken yet; more is not said.
const PROGRESS: usize = 4;

/// Where the socket of the service on this data folder is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// What may be asked.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A backup of the history into a new file on the service's machine.
    Backup {
        /// An absolute path.
        to: PathBuf,
    },
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How far it is.
    Progress {
        /// Done.
        bytes: u64,
        /// Of about so many.
        of: u64,
    },
    /// It is done.
    Done {
        /// Blocks, log records and names.
        pairs: u64,
        /// Bytes of the file.
        bytes: u64,
    },
    /// It failed.
    Error(String),
}

/// The bound socket.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Binds the socket in `data_dir`. Whoever calls has the history in there open: an old socket is nobody's any more.
    ///
    /// # Errors
    /// What the operating system says; a path of more than some 100 bytes is too long for a socket.
    pub fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = socket_path(data_dir);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers one request after the other until `stop`.
    pub async fn serve(self, history: SharedStore, stop: CancellationToken) {
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // No file handles left, mostly: not at once again.
                    Err(error) => {
                        warn!(%error, "a request on the control socket is lost");
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                        }
                    }
                },
            };
            if let Err(error) = answer(stream, &history, &stop).await {
                info!(%error, "a request on the control socket ended early");
            }
        }
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, history: &SharedStore, stop: &CancellationToken) -> io::Result<()> {
    // The folder's permissions may be anything, and the socket's own come a moment after it.
    let peer = stream.peer_cred()?.uid();
    if peer != rustix::process::geteuid().as_raw() && peer != 0 {
        return say(&mut stream, &Answer::Error("this is for the service's own user".to_owned())).await;
    }
    let mut line = String::new();
    let mut request = BufReader::new((&mut stream).take(REQUEST_BYTES_MAX));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        read = timeout(REQUEST_WITHIN, request.read_line(&mut line)) => read.map_err(io::Error::other)??,
    };
    match serde_json::from_str(&line) {
        Ok(Request::Backup { to }) if to.is_absolute() => backup(stream, to, history, stop).await,
        Ok(_) => say(&mut stream, &Answer::Error("the path must be absolute".to_owned())).await,
        Err(error) => say(&mut stream, &Answer::Error(format!("not a request: {error}"))).await,
    }
}

async fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn backup(
    mut stream: UnixStream,
    to: PathBuf,
    history: &SharedStore,
    stop: &CancellationToken,
) -> io::Result<()> {
    info!(to = %to.display(), "backing history up");
    let (progress_tx, mut progress) = mpsc::channel::<BackupProgress>(PROGRESS);
    let (is_stopped, store) = (Arc::new(AtomicBool::new(false)), Arc::clone(history));
    let told = Arc::clone(&is_stopped);
    let work = tokio::task::spawn_blocking(move || {
        store.backup(&to, &mut |progress| {
            // Full: not said; a later one says more.
            let _ = progress_tx.try_send(progress);
            if told.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    let mut result = Ok(());
    loop {
        let progress = tokio::select! {
            () = stop.cancelled(), if !is_stopped.load(Ordering::SeqCst) => {
                is_stopped.store(true, Ordering::SeqCst);
                continue;
            }
            progress = progress.recv() => progress,
        };
        // The sender goes with the work.
        let Some(BackupProgress { bytes, of }) = progress else { break };
        if result.is_ok() {
            result = say(&mut stream, &Answer::Progress { bytes, of }).await;
            if result.is_err() {
                is_stopped.store(true, Ordering::SeqCst);
            }
        }
    }
    let answer = match work.await {
        Ok(Ok(BackupReport { pairs, bytes })) => {
            info!(bytes, "history backed up");
            Answer::Done { pairs, bytes }
        }
        Ok(Err(error)) => Answer::Error(telemetry::chain(&error)),
        Err(panic) => Answer::Error(panic.to_string()),
    };
    if let Answer::Error(error) = &answer {
        warn!(error, "history is not backed up");
    }
    result?;
    say(&mut stream, &answer).await
}
