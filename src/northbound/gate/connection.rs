//! One connection through the gate: chunk by chunk, in both directions, until either side closes or it has to leave.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opcua::types::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tracing::debug;

use super::{
    Shared,
    book::Entry,
    refuse,
    wire::{self, HEADER, Header, Kind, Place, Said},
};
use crate::northbound::limits::{CHUNK_MAX, REQUESTS_AT_ONCE};

/// How long a client may take to say hello, and to fill a chunk that it has begun to send then.
const HELLO: Duration = Duration::from_secs(5);
/// A Hello holds an endpoint's URL of 4,096 bytes at most (OPC 10000-6 §7.1.2.3).
const HELLO_MAX: usize = 4_096 + 32;
/// How long a connection without security may do without an activated session: who asks for endpoints only is done by then.
const UNSETTLED: Duration = Duration::from_secs(60);
/// How long the library may take to close sessions of a connection that ends.
const CLOSING: Duration = Duration::from_secs(1);
/// How long a client waits for another to make room.
const MAKING_ROOM: Duration = Duration::from_secs(2);
/// A client has one session on its way, some two.
const PENDING_MAX: usize = 4;
/// Of the server's chunks; the library says what it can take, and this is more.
const ANSWER_MAX: usize = 1 << 20;
/// Between reads of the system.
const READ_AHEAD: usize = 8 << 10;

/// What both directions know of a connection.
struct Known {
    entry: Entry,
    shared: Arc<Shared>,
    /// Requests without an answer.
    at_work: AtomicUsize,
    answered: Notify,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    /// Something passed without security: it can be read.
    plain: bool,
    /// Of the last OpenSecureChannel, until it is answered.
    certificate: Vec<u8>,
    settled: bool,
    /// Tokens of sessions that are not activated.
    pending: Vec<Vec<u8>>,
    /// Requests of Activate and Close that are on their way: what is answered Good.
    asked: VecDeque<(u32, Vec<u8>)>,
    /// Of the last chunk that went to the server.
    last: Place,
}

impl Known {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a client until it ends or has to leave.
pub(super) async fn serve(mut stream: TcpStream, address: SocketAddr, entry: Entry, shared: Arc<Shared>) {
    let leave = entry.leave.clone();
    let hello = tokio::select! {
        hello = timeout(HELLO, hello(&mut stream)) => hello.unwrap_or(Err(StatusCode::BadTimeout)),
        () = leave.cancelled() => Err(StatusCode::BadTcpServerTooBusy),
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(status) => {
            debug!(%address, %status, "no hello");
            return refuse(stream, status, "no hello").await;
        }
    };
    let Ok(mut inner) = TcpStream::connect(shared.inner).await else {
        return refuse(stream, StatusCode::BadTcpServerTooBusy, "no connection can be made now").await;
    };
    let _ = (stream.set_nodelay(true), inner.set_nodelay(true));
    if inner.write_all(&hello).await.is_err() {
        return;
    }
    let (from_client, to_client) = stream.into_split();
    let (from_server, mut to_server) = inner.into_split();
    let known =
        Known { entry, shared, at_work: AtomicUsize::new(0), answered: Notify::new(), sessions: Mutex::default() };
    let deadline = Instant::now() + UNSETTLED;
    let mut from_server = BufReader::with_capacity(READ_AHEAD, from_server);
    {
        let mut down = std::pin::pin!(downward(&mut from_server, to_client, &known));
        let why = tokio::select! {
            ended = upward(from_client, &mut to_server, &known) => ended,
            ended = &mut down => ended,
            () = leave.cancelled() => Err(io::Error::other("had to make room")),
            () = unsettled(&known, deadline) => Err(io::Error::other("no session in time")),
        };
        debug!(%address, why = ?why.err(), "connection ended");
    }
    close_sessions(&known, &mut from_server, &mut to_server).await;
}

/// The first chunk, which must be a Hello.
async fn hello(stream: &mut TcpStream) -> Result<Vec<u8>, StatusCode> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).await.map_err(|_| StatusCode::BadConnectionClosed)?;
    let parsed = Header::of(header).filter(|header| header.kind == Kind::Hello);
    let length = parsed.ok_or(StatusCode::BadTcpMessageTypeInvalid)?.length;
    if length > HELLO_MAX {
        return Err(StatusCode::BadTcpMessageTooLarge);
    }
    let mut hello = vec![0; length];
    let (start, rest) = hello.split_at_mut(HEADER);
    start.copy_from_slice(&header);
    stream.read_exact(rest).await.map_err(|_| StatusCode::BadConnectionClosed)?;
    Ok(hello)
}

/// Returns once a connection without security has been without a session for too long.
async fn unsettled(known: &Known, deadline: Instant) {
    sleep_until(deadline).await;
    let may_stay = {
        let sessions = known.sessions();
        sessions.settled || !sessions.plain && !sessions.certificate.is_empty()
    };
    if may_stay {
        std::future::pending::<()>().await;
    }
}

/// The next chunk, in `chunk`; `None` at the end.
async fn next_chunk(
    from: &mut BufReader<OwnedReadHalf>,
    chunk: &mut Vec<u8>,
    length_max: usize,
) -> io::Result<Option<Header>> {
    let mut header = [0; HEADER];
    match from.read_exact(&mut header).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let parsed = Header::of(header).filter(|header| header.length <= length_max);
    let parsed = parsed.ok_or_else(|| io::Error::other("not a chunk, or longer than was agreed"))?;
    chunk.clear();
    // No more than came: a client that announces much and sends little takes little.
    chunk.extend(header);
    let rest = u64::try_from(parsed.length - HEADER).unwrap_or(u64::MAX);
    let read = from.take(rest).read_to_end(chunk).await?;
    if read < parsed.length - HEADER {
        return Ok(None);
    }
    Ok(Some(parsed))
}

async fn upward(from: OwnedReadHalf, to: &mut OwnedWriteHalf, known: &Known) -> io::Result<()> {
    let mut from = BufReader::with_capacity(READ_AHEAD, from);
    let (mut chunk, mut is_first) = (Vec::new(), true);
    while let Some(header) = next_chunk(&mut from, &mut chunk, CHUNK_MAX).await? {
        match header.kind {
            Kind::Open => opening(known, &chunk)?,
            Kind::Message => {
                if is_first {
                    asked(known, header, &chunk).await?;
                }
                is_first = header.end != b'C';
                room_for_requests(known, header).await;
                if let (true, Some(place)) = (header.end != b'A', wire::place(&chunk)) {
                    known.sessions().last = place;
                }
            }
            Kind::Hello | Kind::Other => {}
        }
        to.write_all(&chunk).await?;
    }
    Ok(())
}

fn opening(known: &Known, chunk: &[u8]) -> io::Result<()> {
    let (is_plain, certificate) = wire::opened(chunk).ok_or_else(|| io::Error::other("no OpenSecureChannel"))?;
    let mut sessions = known.sessions();
    sessions.plain |= is_plain;
    sessions.certificate = certificate.to_vec();
    Ok(())
}

/// A request begins.
async fn asked(known: &Known, header: Header, chunk: &[u8]) -> io::Result<()> {
    let (plain, settled) = {
        let sessions = known.sessions();
        (sessions.plain, sessions.settled)
    };
    if !plain {
        if !settled {
            make_room(known).await;
        }
        return Ok(());
    }
    if wire::hides(header) {
        return Err(io::Error::other("a first chunk that hides its service"));
    }
    let request = wire::place(chunk).unwrap_or_default().request;
    match wire::request(chunk) {
        Some(Said::Create) => {
            if known.sessions().pending.len() >= PENDING_MAX {
                return Err(io::Error::other("too many sessions that are not activated"));
            }
            make_room(known).await;
        }
        Some(Said::Activate(token) | Said::Close(token)) => {
            let mut sessions = known.sessions();
            if sessions.asked.len() >= REQUESTS_AT_ONCE {
                sessions.asked.pop_front();
            }
            sessions.asked.push_back((request, token));
        }
        _ => {}
    }
    Ok(())
}

/// Has the oldest sessions that are not activated closed, as long as there are too many.
async fn make_room(known: &Known) {
    let all_gone = async {
        while let Some(gone) = known.entry.make_room(known.shared.sessions(), Instant::now()) {
            gone.cancelled().await;
        }
    };
    let _ = timeout(MAKING_ROOM, all_gone).await;
}

/// Waits until no more requests are at work than may be; counts this one. The client's bytes wait in the network meanwhile.
async fn room_for_requests(known: &Known, header: Header) {
    if header.end != b'F' {
        return;
    }
    while known.at_work.load(Ordering::Acquire) >= REQUESTS_AT_ONCE {
        known.answered.notified().await;
    }
    known.at_work.fetch_add(1, Ordering::AcqRel);
}

async fn downward(from: &mut BufReader<OwnedReadHalf>, mut to: OwnedWriteHalf, known: &Known) -> io::Result<()> {
    let (mut chunk, mut is_first) = (Vec::new(), true);
    while let Some(header) = next_chunk(from, &mut chunk, ANSWER_MAX).await? {
        match header.kind {
            Kind::Open => opened(known),
            Kind::Message => {
                if is_first && known.sessions().plain {
                    answered(known, &chunk);
                }
                is_first = header.end != b'C';
                if header.end == b'F' {
                    let _ = known.at_work.try_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1));
                    known.answered.notify_one();
                }
            }
            Kind::Hello | Kind::Other => {}
        }
        to.write_all(&chunk).await?;
    }
    to.shutdown().await
}

/// A secure channel is open: its client has the certificate's key.
fn opened(known: &Known) {
    let mut sessions = known.sessions();
    if !sessions.plain && !sessions.settled && known.shared.trusts(&sessions.certificate) {
        sessions.settled = true;
        known.entry.settle();
    }
}

/// An answer that can be read begins.
fn answered(known: &Known, chunk: &[u8]) {
    let said = wire::answer(chunk);
    let request = wire::place(chunk).unwrap_or_default().request;
    let mut sessions = known.sessions();
    let token = sessions.asked.iter().position(|(of, _)| *of == request).and_then(|at| sessions.asked.remove(at));
    match said {
        Some(Said::Created(token)) => sessions.pending.push(token),
        Some(Said::Activated) => {
            sessions.settled = true;
            known.entry.settle();
            sessions.pending.retain(|pending| token.as_ref().is_none_or(|(_, token)| token != pending));
        }
        _ => return,
    }
    known.entry.has_pending(sessions.pending.len(), Instant::now());
}

/// Closes what the client has left behind that nobody could use: the library would keep it until it times out.
async fn close_sessions(known: &Known, from: &mut BufReader<OwnedReadHalf>, to: &mut OwnedWriteHalf) {
    let (mut last, pending) = {
        let mut sessions = known.sessions();
        (sessions.last, std::mem::take(&mut sessions.pending))
    };
    let closing = async {
        for token in pending {
            to.write_all(&wire::close_session(last, &token)).await?;
            (last.sequence, last.request) = (last.sequence.wrapping_add(1), last.request.wrapping_add(1));
            let mut chunk = Vec::new();
            while let Some(header) = next_chunk(from, &mut chunk, ANSWER_MAX).await? {
                let is_answer = wire::place(&chunk).is_some_and(|place| place.request == last.request);
                if header.kind == Kind::Message && header.end == b'F' && is_answer {
                    break;
                }
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(CLOSING, closing).await;
}
