//! The gate: takes clients' connections and passes their bytes on to the library's server, which listens for the gate alone. The
//! library accepts whoever comes, for as long as they stay, waits for chunks of up to 4 GiB before anybody has said who they
//! are, and keeps a session that was never activated until its timeout; none of this can be changed from outside. So the gate:
//! - lets in no more connections than `[server.limits]` says, of an address neither; who has no session goes first (`book`);
//! - passes on whole chunks, none longer than was agreed, and no more requests than can be answered;
//! - closes sessions that are not activated when there are too many, or when their connection ends (`wire`: it can, where
//!   nothing is encrypted; else only applications that are trusted can create one).
//!
//! It never changes a byte of what passes, and adds to it only before it closes a connection.

mod book;
mod connection;
mod wire;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use opcua::{
    crypto::{CertificateStore, X509},
    server::ServerInfo,
    types::{StatusCode, VariableId, Variant},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, warn};

use self::book::Book;
use super::Limits;

/// Connections that the system holds until they are taken.
const BACKLOG: u32 = 1024;
/// After the system has refused a connection: it has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a refused client may take to hear of it.
const REFUSING: Duration = Duration::from_millis(100);

/// What connections need to know.
struct Shared {
    /// Where the library listens.
    inner: SocketAddr,
    info: Arc<ServerInfo>,
    pki_dir: PathBuf,
    trust_any_client: bool,
}

impl Shared {
    /// How many sessions the library has.
    fn sessions(&self) -> usize {
        let count = VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount;
        match self.info.diagnostics.get(count).and_then(|found| found.value) {
            Some(Variant::UInt32(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// Whether an application is trusted, as the library will find when it creates a session.
    fn trusts(&self, certificate: &[u8]) -> bool {
        if self.trust_any_client {
            return true;
        }
        let name = X509::from_der(certificate).map(|certificate| CertificateStore::cert_file_name(&certificate));
        name.is_ok_and(|name| self.pki_dir.join(crate::pki::Place::Trusted.folder()).join(name).exists())
    }
}

/// The gate, open once the library's server runs.
pub(super) struct Gate {
    listener: TcpListener,
    book: Arc<Book>,
    shared: Arc<Shared>,
}

/// A listener for the gate alone; what is taken from it sends at once.
pub(super) fn inner_listener() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?; // inherited by what is accepted
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

/// The system gives a process 1,024 file descriptors unless it asks for more. A connection takes three: the client's, and both
/// ends of the one behind it.
fn ask_for_descriptors(connections: usize) {
    const OTHERS: u64 = 512;
    let wanted = 3 * u64::try_from(connections).unwrap_or(u64::MAX / 4) + OTHERS;
    let given = getrlimit(Resource::Nofile);
    if given.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let current = given.maximum.map_or(wanted, |most| most.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..given });
    if raised.is_err() || current < wanted {
        warn!(
            wanted,
            current, "too few file descriptors for server.limits.connections: LimitNOFILE of the service gives more"
        );
    }
}

impl Gate {
    pub(super) fn new(
        listener: TcpListener,
        inner: SocketAddr,
        info: Arc<ServerInfo>,
        limits: Limits,
        (pki_dir, trust_any_client): (PathBuf, bool),
    ) -> Self {
        ask_for_descriptors(limits.connections);
        Self { listener, book: Book::new(limits), shared: Arc::new(Shared { inner, info, pki_dir, trust_any_client }) }
    }

    /// Serves until dropped.
    pub(super) async fn serve(self) {
        self.announce().await;
        let mut guests = JoinSet::new();
        for number in 0.. {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = guests.join_next() => continue,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    warn!(%cause, "no connection can be taken now");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match self.book.enter(number, address.ip(), Instant::now()) {
                Some(entry) => {
                    let shared = Arc::clone(&self.shared);
                    guests.spawn(connection::serve(stream, address, entry, shared));
                }
                None => {
                    debug!(%address, "refused: too many connections");
                    guests.spawn(refuse(stream, StatusCode::BadTcpServerTooBusy, "too many connections"));
                }
            }
        }
    }

    /// The library tells clients of the port on which it listens itself, as soon as it does: it is to tell of ours.
    async fn announce(&self) {
        let port = &self.shared.info.port;
        let outer = self.listener.local_addr().map_or(0, |address| address.port());
        while port.load(std::sync::atomic::Ordering::Relaxed) != self.shared.inner.port() {
            sleep(Duration::from_millis(2)).await;
        }
        port.store(outer, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Says why, and closes.
async fn refuse(mut stream: TcpStream, status: StatusCode, why: &str) {
    let said = async {
        stream.write_all(&wire::error(status.bits(), why)).await?;
        stream.shutdown().await
    };
    let _ = timeout(REFUSING, said).await;
}
