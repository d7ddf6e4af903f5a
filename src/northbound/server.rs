//! The server put together: listener, certificates, managers in their order, limits. Owns no task: `run` is awaited by the
//! composition root.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc, time::Duration};

use opcua::{
    crypto::{SecurityPolicy, X509Data},
    server::{
        ServerBuilder, ServerEndpoint, ServerHandle, SubscriptionCache,
        diagnostics::DiagnosticsNodeManagerBuilder,
        node_manager::memory::{CoreNodeManagerBuilder, InMemoryNodeManagerBuilder},
    },
    types::{MessageSecurityMode, ServerState},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::pki;

use super::{
    Limits, Publisher, ServerConfig, World,
    access::{Access, AccessSettings, POLICY_OF_TOKENS},
    audit::Sessions,
    core::{Decorate, server_values},
    decoding::loaders,
    events::{self, EventTypesForUser, SharedTypes},
    gate::{self, Gate},
    history_read::Points,
    limits::PUBLISH_REQUESTS,
    node_manager::{SharedSpace, TwinNodesBuilder},
    nodesets::{NodesetError, Nodesets},
    publish::Watches,
    quota::Quota,
    tokens,
    users::SharedUsers,
};

/// How long clients have to hear of a shutdown.
const GOODBYE: Duration = Duration::from_millis(300);
/// Longest life of a secure channel's token.
const TOKEN_LIFETIME_MAX_MS: u32 = 600_000;
/// How long connections have to close.
const CLOSING: Duration = Duration::from_secs(2);

/// Why the server cannot start: one sentence each, the cause behind it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The port is taken, the address is not ours.
    #[error("listening on {address}")]
    Bind {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The folder of certificates.
    #[error("preparing certificates in `{path}`")]
    Pki {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A NodeSet of ours or the user's.
    #[error(transparent)]
    Nodeset(#[from] NodesetError),
    /// A policy that is none.
    #[error("`{0}` is no security policy that this server knows")]
    Policy(String),
    /// What the library will not have.
    #[error("building the server: {0}")]
    Build(String),
}

/// A server that listens, not yet running.
pub struct Server {
    inner: opcua::server::Server,
    handle: ServerHandle,
    listener: TcpListener,
    gate: Gate,
    url: String,
    publisher: Publisher,
    users: SharedUsers,
}

impl Server {
    /// Takes the port and builds everything that clients will see.
    pub async fn bind(config: &ServerConfig, world: World) -> Result<Self, ServerError> {
        let host = advertised(config);
        // With policy None alone, too: the library complains of a missing one, and our own client uses it at PLCs.
        pki::prepare(&config.pki_dir, &config.name, &config.application_uri, &host)
            .map_err(|cause| ServerError::Pki { path: config.pki_dir.clone(), cause })?;
        let address = format!("{}:{}", bracketed(&config.host), config.port);
        let listener = TcpListener::bind(&address).await;
        let local = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (local, listener) = local.map_err(|cause| ServerError::Bind { address, cause })?;
        let policies = config.policies.iter().map(|name| policy(name)).collect::<Result<Vec<_>, _>>()?;
        let nodesets = Nodesets::load(&config.nodesets)?;
        let namespaces = [super::ids::TYPES_NAMESPACE, super::ids::IA_NAMESPACE].map(|uri| {
            let place = nodesets.namespaces().position(|other| other == uri).unwrap_or(0);
            // 0 is the standard's, 1 the server's own.
            u16::try_from(place + 2).unwrap_or(u16::MAX)
        });
        let sessions = Sessions::new(Arc::clone(&world.jobs), Arc::clone(&world.clock));
        let settings = AccessSettings {
            anonymous: config.anonymous,
            users: SharedUsers::new(config.users.clone()),
            has_users: config.users_file.is_some(),
            users_on_policy_none: config.users_on_policy_none,
            namespaces,
        };
        let access = Arc::new(Access::new(settings, Some(sessions), Arc::clone(&world.clock)));
        let (presented, users) = (Arc::clone(&access.presented), access.users().clone());
        let points = Points::new(config.continuation_point_timeout, &config.limits);
        let shared = SharedSpace::new(Arc::clone(&access), points, Quota::new(&config.limits));
        let watches = Arc::new(Watches::default());
        let url = format!("opc.tcp://{}:{}", bracketed(&host), local.port());

        let core = InMemoryNodeManagerBuilder::new(CoreNodeManagerBuilder);
        let builder = ServerBuilder::new()
            .application_name(&config.name)
            .application_uri(&config.application_uri)
            .product_uri("urn:uatwin")
            .host(bracketed(&host))
            .port(local.port())
            .discovery_urls(vec!["/".to_owned()])
            .pki_dir(&config.pki_dir)
            .certificate_path(pki::OWN_CERTIFICATE)
            .private_key_path(pki::OWN_KEY)
            .create_sample_keypair(false)
            .trust_client_certs(config.trust_any_client)
            .locale_ids(vec!["en".to_owned()])
            .with_authenticator(Arc::clone(&access) as Arc<_>)
            .with_type_tree_getter(Arc::new(EventTypesForUser))
            .without_node_managers()
            .with_node_manager(Decorate { inner: core, space: shared.clone(), values: server_values(&config.limits) })
            .with_node_manager(Decorate {
                inner: DiagnosticsNodeManagerBuilder,
                space: shared.clone(),
                values: HashMap::new(),
            })
            .with_node_manager(Decorate {
                inner: nodesets.into_builder(),
                space: shared.clone(),
                values: HashMap::new(),
            })
            .with_node_manager(TwinNodesBuilder {
                world,
                namespace: config.twins_namespace.clone(),
                shared: shared.clone(),
                watches: Arc::clone(&watches),
            });
        let builder = with_endpoints(with_limits(builder, &config.limits), &policies);
        let (inner, handle) = builder.build().map_err(ServerError::Build)?;
        let inside = |cause| ServerError::Bind { address: "127.0.0.1".to_owned(), cause };
        let inner_listener = gate::inner_listener().map_err(inside)?;
        let behind = inner_listener.local_addr().map_err(inside)?;
        let trust = (config.pki_dir.clone(), config.trust_any_client);
        let gate = Gate::new(listener, behind, Arc::clone(handle.info()), config.limits.clone(), trust);
        *handle.info().type_loaders.write() =
            loaders(events::decode_filter, move |id, stream, context| tokens::decode(&presented, id, stream, context));
        if config.trust_any_client {
            warn!("EVERY client certificate is trusted: for demonstrations only, never in a plant");
        }
        let subscriptions: &Arc<SubscriptionCache> = handle.subscriptions();
        let publisher = Publisher::new(
            shared,
            watches,
            Arc::clone(subscriptions),
            (access, SharedTypes(Arc::clone(&handle.info().type_tree))),
        );
        Ok(Self { inner, handle, listener: inner_listener, gate, url, publisher, users })
    }

    /// What clients are told to connect to.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        &self.url
    }

    /// For the stage that knows what has changed.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Who may come, to be changed while the server runs.
    #[must_use]
    pub fn users(&self) -> SharedUsers {
        self.users.clone()
    }

    /// Serves until `stop`, then says goodbye to the clients and closes their connections; returns in any case within a few
    /// seconds of it.
    pub async fn run(self, stop: CancellationToken) {
        let Self { inner, handle, listener, gate, url, .. } = self;
        info!(%url, "serving");
        let running = async {
            tokio::select! {
                ended = inner.run_with(listener) => ended,
                () = gate.serve() => Ok(()),
            }
        };
        let mut running = std::pin::pin!(running);
        tokio::select! {
            ended = &mut running => return report(ended),
            () = stop.cancelled() => {}
        }
        handle.set_service_level(0);
        handle.set_server_state(ServerState::Shutdown);
        // The server goes on meanwhile: what was just said has to be published.
        if let Ok(ended) = tokio::time::timeout(GOODBYE, &mut running).await {
            return report(ended);
        }
        handle.cancel();
        if tokio::time::timeout(CLOSING, running).await.is_err() {
            warn!("connections did not close in time");
        }
    }
}

fn report(ended: Result<(), String>) {
    match ended {
        Ok(()) => warn!("the server ended by itself"),
        Err(cause) => error!(cause, "the server ended"),
    }
}

/// What clients dial: the configured name, else the address itself where it is one, else this host's name.
#[must_use]
pub fn advertised(config: &ServerConfig) -> String {
    let is_any = config.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified());
    let given = config.advertise.clone();
    given.unwrap_or_else(|| match is_any {
        true => X509Data::computer_hostnames().into_iter().next().unwrap_or_else(|| "localhost".to_owned()),
        false => config.host.clone(),
    })
}

/// An IPv6 address as URLs have it.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

fn policy(name: &str) -> Result<SecurityPolicy, ServerError> {
    match name {
        "None" => Ok(SecurityPolicy::None),
        "Basic256Sha256" => Ok(SecurityPolicy::Basic256Sha256),
        "Aes128_Sha256_RsaOaep" => Ok(SecurityPolicy::Aes128Sha256RsaOaep),
        "Aes256_Sha256_RsaPss" => Ok(SecurityPolicy::Aes256Sha256RsaPss),
        _ => Err(ServerError::Policy(name.to_owned())),
    }
}

fn with_endpoints(builder: ServerBuilder, policies: &[SecurityPolicy]) -> ServerBuilder {
    // The library wants a user id per endpoint; who gets in, `access` decides.
    let users = ["ANONYMOUS".to_owned()];
    policies.iter().fold(builder, |builder, policy| {
        let modes: &[MessageSecurityMode] = match policy {
            SecurityPolicy::None => &[MessageSecurityMode::None],
            _ => &[MessageSecurityMode::SignAndEncrypt, MessageSecurityMode::Sign],
        };
        modes.iter().fold(builder, |builder, mode| {
            let mut endpoint = ServerEndpoint::new("/", *policy, *mode, &users);
            if *policy == SecurityPolicy::None {
                endpoint.password_security_policy = Some(POLICY_OF_TOKENS.to_string());
            }
            builder.add_endpoint(format!("{policy}, {mode}"), endpoint)
        })
    })
}

/// The library's defaults are a device's; this is a plant's server.
fn with_limits(builder: ServerBuilder, given: &Limits) -> ServerBuilder {
    let mut builder = builder
        .max_sessions(given.sessions)
        .max_session_timeout_ms(u64::try_from(given.session_timeout.as_millis()).unwrap_or(u64::MAX))
        .max_secure_channel_token_lifetime_ms(TOKEN_LIFETIME_MAX_MS)
        // Longer than `Fit` may wait: the library aborts a call at its deadline.
        .max_timeout_ms(90_000)
        .subscription_poll_interval_ms(10)
        .max_array_length(given.array_length)
        .max_string_length(given.string_length)
        .max_byte_string_length(given.string_length)
        // In chunks of 64 KiB: 10,000 values of history are 0.3 MiB, 100,000 points of Simulate 1.6.
        .max_message_size(given.message_size)
        .max_chunk_count(given.chunks())
        // Ours are fewer, and the oldest goes (`history_read`); this bounds what a session leaves lying in the library.
        .max_history_continuation_points(100_000)
        .diagnostics_enabled(true);
    let limits = builder.limits_mut();
    let subscriptions = &mut limits.subscriptions;
    subscriptions.max_subscriptions_per_session = given.subscriptions_per_session;
    subscriptions.max_pending_publish_requests = PUBLISH_REQUESTS;
    subscriptions.max_monitored_items_per_sub = given.monitored_items_per_subscription;
    subscriptions.max_monitored_item_queue_size = given.queue_size;
    subscriptions.min_publishing_interval_ms = 20.0;
    subscriptions.min_sampling_interval_ms = 0.0;
    subscriptions.max_queued_notifications = 100;
    // A subscription outlives its session so long: at a publishing interval of a second, an hour.
    subscriptions.max_keep_alive_count = 1_200;
    subscriptions.max_lifetime_count = 3_600;
    let operations = &mut limits.operational;
    operations.max_nodes_per_translate_browse_paths_to_node_ids = given.nodes_per_request;
    operations.max_nodes_per_read = given.nodes_per_request;
    operations.max_nodes_per_write = given.nodes_per_request;
    operations.max_nodes_per_browse = given.nodes_per_request;
    operations.max_references_per_browse_node = 10_000;
    operations.max_monitored_items_per_call = given.nodes_per_request.saturating_mul(2);
    operations.max_subscriptions_per_call = 100;
    operations.max_nodes_per_history_read_data = given.history_continuation_points; // each may go on
    operations.max_nodes_per_history_read_events = given.history_continuation_points;
    operations.max_nodes_per_history_update = given.nodes_per_request.min(1_000);
    builder
}
