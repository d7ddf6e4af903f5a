//! From the PLCs: what is watched, where, and what comes back. A protocol is one file here; today `opcua_client`.
//!
//! A source never waits for us: what the ingest queue cannot take is dropped, oldest first, counted, and the next sample
//! of that series carries the Overflow bit.

pub mod survey;
pub mod opcua_client;
mod plcs;

pub use plcs::{Plc, Plcs};

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

/// A PLC's number: see [`Plcs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlcId(pub u32);

/// Where a value lives in a PLC. Namespaces by URI: their indices may change at every start of the PLC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeAddress {
    /// `nsu=URI;s=…` (or `i=`, `g=`, `b=`); an absent URI is namespace 0.
    Id {
        /// Namespace URI; `None`: the standard namespace.
        namespace: Option<String>,
        /// `s=…`, `i=…`, `g=…` or `b=…`.
        identifier: String,
    },
    /// A browse path from the root folder, `/Objects/Device/Temperature`; an element may be `nsu=URI:Name`, else any
    /// namespace's name matches.
    Path(Vec<PathElement>),
}

/// As a config would name it, but for its escapes and the namespaces of a path.
impl std::fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id { namespace: Some(uri), identifier } => write!(f, "nsu={uri};{identifier}"),
            Self::Id { namespace: None, identifier } => f.write_str(identifier),
            Self::Path(path) => path.iter().try_for_each(|element| write!(f, "/{}", element.name)),
        }
    }
}

/// One step of a browse path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathElement {
    /// Namespace URI the name must have; `None`: any.
    pub namespace: Option<String>,
    /// The BrowseName's text.
    pub name: String,
}

/// Who we are at a PLC.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// A name, and the environment variable that holds the password: never the password itself in a config.
    Password {
        /// User name.
        name: String,
        /// Already read from the environment by the config check.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password(…)", // passwords never reach a log
        })
    }
}

/// Message security of a connection (OPC 10000-4 §7.20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityMode {
    /// Neither signed nor encrypted.
    None,
    /// Signed.
    Sign,
    /// Signed and encrypted.
    SignAndEncrypt,
}

/// One `[plc.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlcConfig {
    /// The table's name.
    pub name: String,
    /// `opc.tcp://host:port`, one at least; of redundant servers (OPC 10000-4 §6.6.2) that with the highest ServiceLevel serves us.
    pub endpoints: Vec<String>,
    /// `None`, `Basic256Sha256`, …
    pub security_policy: String,
    /// Sign, encrypt.
    pub security_mode: SecurityMode,
    /// Who we are there.
    pub credentials: Credentials,
    /// Of our subscriptions.
    pub publishing_interval: Duration,
    /// How far back HistoryRead may fetch what was missed; `None`: not at all.
    pub backfill: Option<Duration>,
}

/// One value to watch at a PLC.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where its samples go.
    pub series: SeriesId,
    /// Where they come from.
    pub address: NodeAddress,
    /// Requested of the PLC; zero: as fast as it can.
    pub sampling_interval: Duration,
    /// Whether missed samples are worth a HistoryRead.
    pub historize: bool,
    /// SourceTimestamp of the newest sample that history held at start: backfill begins after it.
    pub stored_until: Option<Timestamp>,
}

impl Watch {
    /// Whether the PLC is asked for the same, for the same series.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |watch: &Self| (watch.series, watch.sampling_interval, watch.historize);
        of(self) == of(other) && self.address == other.address
    }
}

/// How a connection stands; shown as `State` of the PLC's object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// First attempt, or waiting to try again.
    #[default]
    Connecting,
    /// Session open, subscription alive.
    Connected,
    /// Was connected; the session is lost.
    Lost,
}

/// What an operator sees of a connection. One writer (the source), many readers.
#[derive(Clone, Debug, Default)]
pub struct LinkStatus {
    /// How it stands.
    pub state: LinkState,
    /// Which of the endpoints is in use, or tried.
    pub endpoint: usize,
    /// Of the server there (OPC 10000-5 §6.3.1), 0 to 255; `None`: it does not say.
    pub service_level: Option<u8>,
    /// What went wrong last, in a sentence; empty: nothing yet.
    pub last_error: String,
    /// When the last sample came.
    pub last_data: Timestamp,
    /// The PLC's clock minus ours, seconds; NaN: unknown.
    pub clock_offset_s: f64,
    /// Sessions made anew since start.
    pub reconnects: u32,
    /// Samples that came.
    pub samples_received: u64,
    /// Samples that the ingest queue could not take.
    pub samples_dropped: u64,
    /// Samples that say (Overflow bit) that the PLC's queue had to drop others before them.
    pub overflows: u64,
    /// Messages of a subscription that never came and that the PLC had no copy of any more.
    pub messages_lost: u64,
}

/// A connection's status, shared.
pub type SharedLink = Arc<std::sync::RwLock<LinkStatus>>;

/// What a source tells the ingest stage, in order per PLC.
#[derive(Debug)]
pub enum Event {
    /// Live samples, in the order they came.
    Samples {
        /// When they reached us.
        received: Timestamp,
        /// What came.
        samples: Vec<(SeriesId, Sample)>,
    },
    /// The PLC cannot be reached (or never could): its series are without communication from `at` on.
    Lost {
        /// Which.
        plc: PlcId,
        /// Since when.
        at: Timestamp,
    },
    /// A session is open and the subscription made. Values follow as `Samples`.
    Connected {
        /// Which.
        plc: PlcId,
    },
    /// Samples that were missed, read from the PLC's own history: older than anything live since the reconnect.
    Backfill {
        /// Of what.
        series: SeriesId,
        /// Oldest first; the gap they fill lies within their extent.
        samples: Vec<Sample>,
    },
    /// One value cannot be had (BadNodeIdUnknown, …) although the session stands.
    ItemFailed {
        /// Of what.
        series: SeriesId,
        /// Since when.
        at: Timestamp,
        /// Why.
        status: StatusCode,
    },
}

/// A value on its way to a PLC.
#[derive(Debug)]
pub struct Write {
    /// Whereto.
    pub address: NodeAddress,
    /// What, as the PLC's variable has it: before any preprocessing.
    pub value: Value,
    /// What the PLC said to it.
    pub reply: oneshot::Sender<StatusCode>,
}

/// Writes that may wait for one PLC.
const WRITES: usize = 64;

/// The way to a PLC: open while a session stands.
#[derive(Debug, Default)]
pub struct Outlet(Mutex<Option<mpsc::Sender<Write>>>);

/// An outlet, shared.
pub type SharedOutlet = Arc<Outlet>;

/// Open until it is dropped.
#[derive(Debug)]
pub struct Open<'a>(&'a Outlet);

impl Outlet {
    /// Writes, and says what the PLC said. `Bad_NoCommunication`: there is no session, nothing was sent.
    /// `Bad_ConnectionClosed`: it ended before an answer came; the value may have arrived.
    pub async fn write(&self, address: NodeAddress, value: Value) -> StatusCode {
        let Some(writes) = self.way().clone() else { return StatusCode::BadNoCommunication };
        let (reply, answer) = oneshot::channel();
        match writes.try_send(Write { address, value, reply }) {
            Ok(()) => answer.await.unwrap_or(StatusCode::BadConnectionClosed),
            Err(mpsc::error::TrySendError::Full(_)) => StatusCode::BadResourceUnavailable,
            Err(mpsc::error::TrySendError::Closed(_)) => StatusCode::BadNoCommunication,
        }
    }

    /// For the source: what is written while it holds the guard comes to the receiver.
    pub fn open(&self) -> (Open<'_>, mpsc::Receiver<Write>) {
        let (sender, receiver) = mpsc::channel(WRITES);
        *self.way() = Some(sender);
        (Open(self), receiver)
    }

    fn way(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        *self.0.way() = None;
    }
}
