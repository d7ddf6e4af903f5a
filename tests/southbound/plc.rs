//! A PLC to watch: an OPC UA server of its own with values that a test sets, which can be killed and started again.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use opcua::{
    crypto::SecurityPolicy,
    nodes::VariableBuilder,
    server::{
        ANONYMOUS_USER_TOKEN_ID, ContinuationPoint, CreateMonitoredItem, ServerBuilder, ServerEndpoint, ServerHandle,
        ServerUserToken,
        address_space::AddressSpace,
        diagnostics::NamespaceMetadata,
        node_manager::{
            HistoryNode, ParsedReadValueId, RequestContext, ServerContext, WriteNode,
            memory::{InMemoryNodeManagerBuilder, InMemoryNodeManagerImpl},
        },
    },
    sync::RwLock,
    types::{
        AttributeId, DataTypeId, DataValue, HistoryData, MessageSecurityMode, NodeId, ObjectId, QualifiedName,
        ReadRawModifiedDetails, TimestampsToReturn, VariableTypeId,
    },
};
use tokio::{net::TcpListener, runtime::Runtime};
use uatwin::{
    sample::{Sample, StatusCode},
    ua,
};

pub(crate) const NAMESPACE: &str = "urn:test:plc";
pub(crate) const USER: (&str, &str) = ("twin", "geheim");

/// What outlives a restart: present values and history, by variable name.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) live: BTreeMap<String, Sample>,
    pub(crate) history: HashMap<String, Vec<Sample>>,
}

pub(crate) struct Plc {
    runtime: Option<Runtime>,
    handle: ServerHandle,
    memory: Arc<Mutex<Memory>>,
    pub(crate) port: u16,
    /// Where the library wants to make folders, asked or not.
    _folder: tempfile::TempDir,
}

impl Plc {
    /// Serves `memory` on `port` (0: any free one). `before`: namespaces that come before ours.
    pub(crate) fn start(port: u16, before: &[&str], memory: &Arc<Mutex<Memory>>) -> Self {
        Self::start_secure(port, before, memory, None)
    }

    /// With a PKI folder also Basic256Sha256 and a user with a password, but only one session at a time.
    pub(crate) fn start_secure(port: u16, before: &[&str], memory: &Arc<Mutex<Memory>>, pki: Option<PathBuf>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = {
            let _inside = runtime.enter();
            let listener = bind(port);
            listener.set_nonblocking(true).unwrap();
            TcpListener::from_std(listener).unwrap()
        };
        let port = listener.local_addr().unwrap().port();
        let before: Vec<String> = before.iter().map(|&uri| uri.to_owned()).collect();
        let served = memory.clone();
        let nodes =
            move |context: ServerContext, space: &mut AddressSpace| Nodes::insert(context, space, &before, served);
        let folder = tempfile::tempdir().unwrap();
        let mut builder = ServerBuilder::new()
            .pki_dir(folder.path())
            .application_name("test plc")
            .application_uri("urn:test:plc:application")
            .product_uri("urn:test")
            .host("127.0.0.1")
            .port(port)
            .subscription_poll_interval_ms(20)
            .discovery_urls(vec![format!("opc.tcp://127.0.0.1:{port}/")])
            .add_endpoint("none", ServerEndpoint::new_none("/", &[ANONYMOUS_USER_TOKEN_ID.to_owned()]))
            .with_node_manager(InMemoryNodeManagerBuilder::new(nodes));
        if let Some(pki) = pki {
            builder.limits_mut().max_sessions = 1;
            let users = ["twin".to_owned()];
            let (policy, mode) = (SecurityPolicy::Basic256Sha256, MessageSecurityMode::SignAndEncrypt);
            builder = builder
                .pki_dir(pki)
                .create_sample_keypair(true)
                .certificate_path("own/cert.der")
                .private_key_path("private/private.pem")
                .trust_client_certs(true)
                .add_user_token("twin", ServerUserToken::user_pass(USER.0, USER.1))
                .add_endpoint("secure", ServerEndpoint::new("/", policy, mode, &users));
        }
        let limits = builder.limits_mut();
        limits.subscriptions.min_publishing_interval_ms = 20.0;
        limits.subscriptions.max_monitored_items_per_sub = 100_000;
        limits.subscriptions.max_monitored_item_queue_size = 1_000;
        let (server, handle) = builder.build().unwrap();
        runtime.spawn(server.run_with(listener));
        Self { runtime: Some(runtime), handle, memory: memory.clone(), port, _folder: folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/", self.port)
    }

    /// A new value: kept, and told to whoever is subscribed.
    pub(crate) fn put(&self, name: &str, sample: Sample) {
        {
            let mut memory = self.memory.lock().unwrap();
            memory.live.insert(name.to_owned(), sample.clone());
            memory.history.entry(name.to_owned()).or_default().push(sample.clone());
        }
        let Some(index) = self.handle.get_namespace_index(NAMESPACE) else { return };
        let id = NodeId::new(index, name);
        let value = ua::data_value(&sample);
        self.handle.subscriptions().notify_data_change(std::iter::once((value, &id, AttributeId::Value)));
    }
}

/// As kill -9 does it: nothing is said to anyone, the sockets close.
impl Drop for Plc {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // On a thread of its own: waiting for the sockets to be closed is not allowed inside another runtime.
            std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(10))).join().unwrap();
        }
    }
}

/// A port that was ours may for a moment be some other test's client's.
fn bind(port: u16) -> std::net::TcpListener {
    for _ in 0..200 {
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("port {port} stays taken");
}

struct Nodes {
    memory: Arc<Mutex<Memory>>,
    namespaces: Vec<NamespaceMetadata>,
}

impl Nodes {
    fn insert(context: ServerContext, space: &mut AddressSpace, before: &[String], memory: Arc<Mutex<Memory>>) -> Self {
        let mut namespaces = Vec::new();
        for uri in before.iter().map(String::as_str).chain([NAMESPACE]) {
            let namespace_index = context.type_tree.write().namespaces_mut().add_namespace(uri);
            space.add_namespace(uri, namespace_index);
            namespaces.push(NamespaceMetadata { namespace_uri: uri.to_owned(), namespace_index, ..Default::default() });
        }
        let index = namespaces.last().unwrap().namespace_index;
        let folder = NodeId::new(index, "Device");
        space.add_folder(&folder, QualifiedName::new(index, "Device"), "Device", &ObjectId::ObjectsFolder.into());
        for (name, sample) in &memory.lock().unwrap().live {
            VariableBuilder::new(
                &NodeId::new(index, name.as_str()),
                QualifiedName::new(index, name.as_str()),
                name.as_str(),
            )
            .data_type(DataTypeId::BaseDataType)
            .value(ua::variant(&sample.value))
            .has_type_definition(VariableTypeId::BaseDataVariableType)
            .history_readable()
            .component_of(folder.clone())
            .insert(space);
        }
        Self { memory, namespaces }
    }
}

#[async_trait]
impl InMemoryNodeManagerImpl for Nodes {
    async fn init(&self, _: &mut AddressSpace, _: ServerContext) {}

    fn name(&self) -> &str {
        "plc"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        self.namespaces.clone()
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps: TimestampsToReturn,
    ) -> Vec<DataValue> {
        let memory = self.memory.lock().unwrap();
        let space = space.read();
        let read = |node: &&ParsedReadValueId| match memory.live.get(&name(&node.node_id)) {
            Some(sample) if space.validate_node_read(context, node).is_ok() => ua::data_value(sample),
            _ => space.read(context, node, max_age, timestamps),
        };
        nodes.iter().map(read).collect()
    }

    /// Everything may be written that has the type it had; `locked` refuses, `mute` does not answer for long.
    async fn write(
        &self,
        _: &RequestContext,
        _: &RwLock<AddressSpace>,
        nodes: &mut [&mut WriteNode],
    ) -> Result<(), StatusCode> {
        for node in nodes {
            let (name, written) = (name(&node.value().node_id), ua::value(node.value().value.value.as_ref().unwrap()));
            if name == "mute" {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            let mut memory = self.memory.lock().unwrap();
            let status = match (memory.live.get_mut(&name), written) {
                (None, _) => StatusCode::BadNodeIdUnknown,
                (Some(_), _) if name == "locked" => StatusCode::BadUserAccessDenied,
                (Some(held), Some(value)) if ua::data_type_of(&held.value) == ua::data_type_of(&value) => {
                    let given = &node.value().value;
                    assert!(given.status.is_none() && given.source_timestamp.is_none(), "{given:?}");
                    held.value = value;
                    StatusCode::Good
                }
                _ => StatusCode::BadTypeMismatch,
            };
            node.set_status(status);
        }
        Ok(())
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        let nodes: Vec<_> = items.iter().map(|item| item.item_to_monitor()).collect();
        let values = self.read_values(context, space, &nodes, 0.0, TimestampsToReturn::Both).await;
        for (value, item) in values.into_iter().zip(items.iter_mut()) {
            if value.status() == StatusCode::BadNodeIdUnknown {
                item.set_status(StatusCode::BadNodeIdUnknown);
                continue;
            }
            item.set_initial_value(value);
            item.set_status(StatusCode::Good);
            item.revise_sampling_interval(1e-9); // else the library shifts SourceTimestamps (its bug B7)
        }
    }

    async fn history_read_raw_modified(
        &self,
        _: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        _: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let memory = self.memory.lock().unwrap();
        let (start, end) = (ua::timestamp(details.start_time), ua::timestamp(details.end_time));
        for node in nodes {
            let begin = node.continuation_point().and_then(|point| point.get::<usize>()).copied().unwrap_or(0);
            let all = memory.history.get(&name(node.node_id())).map(Vec::as_slice).unwrap_or_default();
            let inside: Vec<_> = all.iter().filter(|sample| (start..end).contains(&sample.source_timestamp)).collect();
            // A mean server: never more than 300 at once, whatever the client takes.
            let page = 300.min(details.num_values_per_node as usize);
            let stop = inside.len().min(begin + page);
            let values = inside[begin..stop].iter().map(|sample| ua::data_value(sample)).collect();
            node.set_result(HistoryData { data_values: Some(values) });
            node.set_status(StatusCode::Good);
            if stop < inside.len() {
                node.set_next_continuation_point(Some(ContinuationPoint::new(Box::new(stop))));
            }
        }
        Ok(())
    }
}

fn name(id: &NodeId) -> String {
    match &id.identifier {
        opcua::types::Identifier::String(name) => name.as_ref().to_owned(),
        _ => String::new(),
    }
}
