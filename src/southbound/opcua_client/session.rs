//! Opening a session with a PLC, and what must be known of its server before anything else is asked.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use opcua::{
    client::{Client, ClientBuilder, IdentityToken, Session, SessionEventLoop},
    crypto::{SecurityPolicy, X509},
    types::{
        AttributeId, ContextOwned, DataValue, EndpointDescription, MessageSecurityMode, NodeId, NumericRange,
        QualifiedName, ReadValueId, TimestampsToReturn, UserTokenType, VariableId, Variant,
    },
};

use tokio::time::timeout;

use crate::{
    pki::{self, Refusal},
    southbound::{Credentials, PlcConfig, SecurityMode, survey::Offer},
    time::{Clock, Timestamp},
    ua,
};

/// For the first answer of a PLC: a host that drops packets would hold us for minutes.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the endpoints that a PLC offers: without security, so that even a small one has them at once.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(3);
/// For any answer after that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// After which a PLC forgets a session that we could not close: soon, some PLCs have few.
const SESSION_TIMEOUT_MS: u32 = 30_000;
/// Operations in one request where the server sets no limit.
const OPERATIONS_MAX: usize = 1_000;

/// The library's transport of a session.
pub(super) type EventLoop = SessionEventLoop<opcua::client::transport::TcpConnector>;

/// What a request may hold (OPC 10000-5 §6.3.11); each 1 to [`OPERATIONS_MAX`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) read: usize,
    pub(super) browse: usize,
    pub(super) translate: usize,
    pub(super) history_read: usize,
    pub(super) monitored_items: usize,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Its certificate is not trusted, or not in order.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for ConnectError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// Prepares a session with the endpoint that the config asks for. Nothing happens on it until the event loop is polled.
pub(super) async fn prepare(
    config: &PlcConfig,
    url: &str,
    application_uri: &str,
    pki_dir: &Path,
    now: Timestamp,
) -> Result<(Arc<Session>, EventLoop), ConnectError> {
    let policy = SecurityPolicy::from_str(&config.security_policy).unwrap_or(SecurityPolicy::Unknown);
    if policy == SecurityPolicy::Unknown {
        return Err(format!("security policy `{}` is unknown", config.security_policy).into());
    }
    let mut client = client(config, policy, application_uri, pki_dir).await?;
    let endpoints = endpoints(&client, url).await?;
    let mut endpoint = choose(endpoints, config, policy, (pki_dir, now))?;
    // What a PLC behind NAT says of itself leads nowhere: the config's address worked just now.
    endpoint.endpoint_url = url.into();
    let identity = match &config.credentials {
        Credentials::Anonymous => IdentityToken::Anonymous,
        Credentials::Password { name, password } => IdentityToken::new_user_name(name, password.as_str()),
    };
    client
        .connect_to_endpoint_directly(endpoint, identity)
        .map_err(|error| format!("preparing a session: {error}").into())
}

async fn endpoints(client: &Client, url: &str) -> Result<Vec<EndpointDescription>, String> {
    timeout(DISCOVERY_TIMEOUT, client.get_server_endpoints_from_url(url))
        .await
        .map_err(|_| "no answer".to_owned())?
        .map_err(|error| format!("asking for endpoints: {error}"))
}

/// What the server at `url` offers to a user with these credentials, and we can use: the best first.
pub(super) async fn offers(config: &PlcConfig, url: &str, pki_dir: &Path) -> Result<Vec<Offer>, String> {
    let client = client(config, SecurityPolicy::None, &config.name, pki_dir).await?;
    let endpoints = endpoints(&client, url).await?;
    let token = token(&config.credentials);
    let mut ranked: Vec<_> = endpoints.iter().filter(|x| takes(x, token)).filter_map(offer).collect();
    ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    if ranked.is_empty() {
        return Err(format!(
            "no endpoint takes a {token:?} user with a security that we know; offered: {}",
            said(&endpoints)
        ));
    }
    Ok(ranked.into_iter().map(|(_, offer)| offer).collect())
}

/// An endpoint by how well it protects: encryption before signatures, newer policies before older ones.
fn offer(endpoint: &EndpointDescription) -> Option<((u8, u8), Offer)> {
    let policy = SecurityPolicy::from_str(endpoint.security_policy_uri.as_ref()).ok()?;
    let of_policy = match policy {
        SecurityPolicy::Aes256Sha256RsaPss => 3,
        SecurityPolicy::Basic256Sha256 => 2,
        SecurityPolicy::Aes128Sha256RsaOaep => 1,
        SecurityPolicy::None => 0,
        _ => return None, // broken, or not known
    };
    let (of_mode, mode) = match endpoint.security_mode {
        MessageSecurityMode::SignAndEncrypt => (2, SecurityMode::SignAndEncrypt),
        MessageSecurityMode::Sign => (1, SecurityMode::Sign),
        MessageSecurityMode::None => (0, SecurityMode::None),
        MessageSecurityMode::Invalid => return None,
    };
    Some(((of_mode, of_policy), Offer { policy: policy.to_str().to_owned(), mode }))
}

const fn token(credentials: &Credentials) -> UserTokenType {
    match credentials {
        Credentials::Anonymous => UserTokenType::Anonymous,
        Credentials::Password { .. } => UserTokenType::UserName,
    }
}

fn takes(endpoint: &EndpointDescription, token: UserTokenType) -> bool {
    endpoint.user_identity_tokens.iter().flatten().any(|offered| offered.token_type == token)
}

/// What is offered, for people.
fn said(endpoints: &[EndpointDescription]) -> String {
    let one = |x: &EndpointDescription| {
        let policy = SecurityPolicy::from_str(x.security_policy_uri.as_ref());
        format!("{} {:?}", policy.map_or("?", |policy| policy.to_str()), x.security_mode)
    };
    endpoints.iter().map(one).collect::<Vec<_>>().join(", ")
}

async fn client(
    config: &PlcConfig,
    policy: SecurityPolicy,
    application_uri: &str,
    pki_dir: &Path,
) -> Result<Client, String> {
    // One certificate serves all PLCs: the first source that needs it makes it, the others wait.
    static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one_at_a_time = MAKING.lock().await;
    let builder = ClientBuilder::new()
        .application_name("uatwin")
        // The one in the certificate, which servers compare (OPC 10000-4 §6.1.3: Bad_CertificateUriInvalid).
        .application_uri(application_uri)
        .product_uri("urn:uatwin")
        .session_name(format!("uatwin {}", config.name))
        .pki_dir(pki_dir)
        .create_sample_keypair(policy != SecurityPolicy::None)
        // Judged before the session is opened (`pki::judge`), with words; here only whether it is in `trusted/`.
        .trust_server_certs(false)
        .verify_server_certs(false)
        // Sessions are made anew by the supervisor, never mended by the library: after its own reconnect it sends no
        // Publish any more (its bug B1), keeps node ids of a namespace order that may have changed, and hides the
        // errors of items that it makes again.
        .session_retry_limit(0)
        .recreate_subscriptions(false)
        .session_timeout(SESSION_TIMEOUT_MS)
        .request_timeout(REQUEST_TIMEOUT)
        // Whether the link lives, the watchdog decides: this one would close a working session of a server whose
        // State is not Running.
        .keep_alive_interval(Duration::from_secs(5))
        .max_failed_keep_alive_count(0)
        .min_publish_interval(Duration::from_millis(10))
        // A PLC's clock may be hours off; without this the library would renew the channel at every request, or never.
        // What it does to timestamps for it, `Shift` undoes.
        .ignore_clock_skew(true)
        .max_message_size(16 << 20)
        .max_chunk_count(1 << 10)
        .max_array_length(1 << 18)
        .max_string_length(1 << 20)
        .max_byte_string_length(1 << 20);
    tokio::task::spawn_blocking(move || Client::new(builder.into_config()))
        .await
        .map_err(|error| format!("making the client certificate: {error}"))
}

fn choose(
    endpoints: Vec<EndpointDescription>,
    config: &PlcConfig,
    policy: SecurityPolicy,
    (pki_dir, now): (&Path, Timestamp),
) -> Result<EndpointDescription, ConnectError> {
    let mode = match config.security_mode {
        SecurityMode::None => MessageSecurityMode::None,
        SecurityMode::Sign => MessageSecurityMode::Sign,
        SecurityMode::SignAndEncrypt => MessageSecurityMode::SignAndEncrypt,
    };
    let token = token(&config.credentials);
    let offered = said(&endpoints);
    let mut fitting: Vec<_> = endpoints
        .into_iter()
        .filter(|x| x.security_mode == mode && x.security_policy_uri.as_ref() == policy.to_uri())
        .collect();
    fitting.sort_by_key(|endpoint| !takes(endpoint, token));
    let mut endpoint = fitting
        .into_iter()
        .next()
        .ok_or_else(|| format!("no endpoint with {} {:?}; offered: {offered}", policy.to_str(), mode))?;
    if !takes(&endpoint, token) {
        return Err(format!("the endpoint does not take a {token:?} user").into());
    }
    if policy != SecurityPolicy::None {
        let certificate = X509::from_byte_string(&endpoint.server_certificate)
            .map_err(|error| format!("the PLC's certificate cannot be read: {error}"))?;
        let uri = endpoint.server.application_uri.as_ref();
        pki::judge(pki_dir, &certificate, policy, uri, now)?;
    } else if config.credentials == Credentials::Anonymous {
        endpoint.server_certificate = Default::default(); // nothing needs it, and a faulty one would refuse the link
    }
    Ok(endpoint)
}

/// An attribute of a node.
pub(super) fn attribute(node_id: NodeId, attribute: AttributeId) -> ReadValueId {
    ReadValueId {
        node_id,
        attribute_id: attribute as u32,
        index_range: NumericRange::None,
        data_encoding: QualifiedName::null(),
    }
}

/// The PLC's time minus ours, in seconds; `None` where it does not say. An error: no answer.
pub(super) async fn clock_offset_s(session: &Session, clock: &dyn Clock) -> Result<Option<f64>, String> {
    let asked = clock.now();
    let mut answer = session
        .read(
            &[attribute(VariableId::Server_ServerStatus_CurrentTime.into(), AttributeId::Value)],
            TimestampsToReturn::Both,
            0.0,
        )
        .await
        .map_err(|error| format!("reading the PLC's time: {error}"))?;
    let answered = clock.now();
    Shift::of(session).undo(answer.iter_mut());
    Ok(match answer.first().and_then(|value| value.value.as_ref()) {
        Some(Variant::DateTime(time)) => {
            let half_way_s = answered.seconds_since(asked) / 2.0;
            Some(ua::timestamp(**time).seconds_since(asked.plus_seconds(half_way_s)))
        }
        _ => None,
    })
}

/// The server's ServiceLevel (OPC 10000-5 §6.3.1, OPC 10000-4 §6.6.2.4.2); `None`: it does not say, or does not answer.
pub(super) async fn service_level(session: &Session) -> Option<u8> {
    let level = attribute(VariableId::Server_ServiceLevel.into(), AttributeId::Value);
    let answer = session.read(&[level], TimestampsToReturn::Neither, 0.0).await.ok()?;
    match answer.first()?.value {
        Some(Variant::Byte(level)) => Some(level),
        _ => None,
    }
}

/// What the server allows in one request.
pub(super) async fn limits(session: &Session) -> Result<Limits, String> {
    use VariableId as V;
    let nodes = [
        V::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        V::Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        V::Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds,
        V::Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData,
        V::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
    ];
    let mut limits = [OPERATIONS_MAX; 5];
    for (limit, node) in limits.iter_mut().zip(nodes) {
        // One at a time: MaxNodesPerRead itself may be 1.
        let answer = session
            .read(&[attribute(node.into(), AttributeId::Value)], TimestampsToReturn::Neither, 0.0)
            .await
            .map_err(|error| format!("reading the server's limits: {error}"))?;
        if let Some(Variant::UInt32(said @ 1..)) = answer.first().and_then(|value| value.value.as_ref()) {
            *limit = OPERATIONS_MAX.min(usize::try_from(*said).unwrap_or(OPERATIONS_MAX));
        }
    }
    let [read, browse, translate, history_read, monitored_items] = limits;
    Ok(Limits { read, browse, translate, history_read, monitored_items })
}

/// The library, told to bear with a wrong clock, moves every DateTime that it decodes by the difference of the clocks
/// (SourceTimestamps excepted). Values, timestamps and statuses must arrive unchanged: this moves them back. (Between
/// decoding and here the difference may have been measured anew, at most once per channel renewal: drift, no more.)
#[derive(Clone)]
pub(super) struct Shift(Arc<opcua::sync::RwLock<ContextOwned>>);

impl Shift {
    pub(super) fn of(session: &Session) -> Self {
        Self(session.context())
    }

    pub(super) fn undo<'a>(&self, values: impl Iterator<Item = &'a mut DataValue>) {
        let shift = self.0.read().options().client_offset;
        for value in values {
            if let Some(time) = &mut value.server_timestamp {
                *time = *time + shift;
            }
            if let Some(Variant::DateTime(time)) = &mut value.value {
                **time = **time + shift;
            }
        }
    }
}

/// The PLC's present time, by what is known of its clock.
pub(super) fn plc_now(clock: &dyn Clock, offset_s: f64) -> Timestamp {
    clock.now().plus_seconds(if offset_s.is_finite() { offset_s } else { 0.0 })
}
