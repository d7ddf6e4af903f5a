//! To the world: the OPC UA server. Nodes that follow from a rule are computed, not stored (`address_space`); types come
//! from `nodesets/`.

mod abandoned;
mod access;
mod address_space;
mod aggregates;
mod arguments;
mod audit;
mod configuration;
mod core;
mod decoding;
mod events;
mod gate;
mod history_read;
mod history_update;
pub mod ids;
mod limits;
mod methods;
mod node_manager;
pub mod nodesets;
mod publish;
mod quota;
mod range;
mod roles;
mod server;
pub mod signatures;
mod tokens;
pub mod units;
pub mod users;
mod values;
mod view;

pub use configuration::{Configuration, ReloadRequest, Reloaded};
pub use events::ModelChange;
pub use limits::{Limits, WorstCase};
pub use publish::Publisher;
pub use server::{Server, ServerError, advertised};
pub use users::Role;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    history::SharedStore,
    jobs::Jobs,
    southbound::Plcs,
    time::{Clock, Timestamp},
    twin::TwinState,
};

/// `[server]` and `[server.security]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// ApplicationName.
    pub name: String,
    /// ApplicationUri, in the certificate too.
    pub application_uri: String,
    /// Address to bind.
    pub host: String,
    /// Port to bind; 0: any free one.
    pub port: u16,
    /// Host name that clients are told; `None`: this host's name, or `host` where that is a concrete address.
    pub advertise: Option<String>,
    /// Certificates and keys; made at first start.
    pub pki_dir: PathBuf,
    /// Companion NodeSets of the user's own.
    pub nodesets: Vec<PathBuf>,
    /// Namespace of the instances.
    pub twins_namespace: String,
    /// `None`, `Basic256Sha256`, …
    pub policies: Vec<String>,
    /// What a user without a name may do; `None`: not even connect.
    pub anonymous: Option<Role>,
    /// Where users with a name stand; it may change while the server runs.
    pub users_file: Option<PathBuf>,
    /// What stands there.
    pub users: users::Users,
    /// Whether users with a name may come by policy None too, where anybody on the way can take their session over.
    pub users_on_policy_none: bool,
    /// After which a read of history that did not go on no longer can.
    pub continuation_point_timeout: Duration,
    /// How much clients may take.
    pub limits: Limits,
    /// Every client certificate is taken as trusted. For the demo only.
    pub trust_any_client: bool,
}

/// How history stands, for `Objects/History`.
#[derive(Clone, Debug, Default)]
pub struct HistoryStatus {
    /// Every sample received before it survives a power cut.
    pub durable_until: Timestamp,
    /// `Running`, `Paused: …`, in words.
    pub state: String,
    /// Bytes.
    pub free_space: Option<u64>,
}

/// What the server shows and calls.
#[derive(Clone)]
pub struct World {
    /// Live values and what is configured.
    pub state: Arc<TwinState>,
    /// For HistoryRead.
    pub history: SharedStore,
    /// How history stands.
    pub history_status: Arc<dyn Fn() -> HistoryStatus + Send + Sync>,
    /// Behind the methods.
    pub jobs: Arc<Jobs>,
    /// Every PLC.
    pub plcs: Arc<Plcs>,
    /// What is known of the config.
    pub configuration: Arc<Configuration>,
    /// Whoever may, asks here for the config to be loaded anew.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}
