//! A world of two types and three twins, a store in memory, a client.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, RwLock},
    time::Duration,
};

use opcua::{
    client::{ClientBuilder, HistoryReadAction, IdentityToken, Session, services::HistoryRead},
    core::ResponseMessage,
    crypto::SecurityPolicy,
    types::*,
};
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uatwin::{
    history::memory_store::MemoryStore,
    ingest::Command,
    jobs::Jobs,
    model::{
        Delay, EquationSource, Hold, Init, InputSource, Loss, Model, ModelSource, OutputSource, ParameterSource,
        StateSource,
    },
    northbound::{HistoryStatus, Publisher, Role, Server, ServerConfig, World},
    optimize::Move,
    preprocess::FilterSpec,
    revisions::Revisions,
    sample::{Sample, SeriesId, TwinId},
    southbound::{
        Credentials, LinkState, LinkStatus, NodeAddress, Plc, PlcConfig, PlcId, Plcs, SecurityMode, SharedOutlet,
    },
    statistics::Window,
    time::{Clock, Timestamp},
    twin::{
        Activation, DataType, Facet, FitSettings, Observer, OptimizeSettings, StatisticsSettings, Twin, TwinModel,
        TwinState, TwinType, Twins, Variable,
    },
};

pub(crate) const TWINS: &str = "urn:uatwin:twins";
pub(crate) const TEMPERATURE: usize = 0;

pub(crate) const COUNTER: usize = 5;

/// The wall clock: the library stamps with it too.
pub(crate) struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ns(chrono::Utc::now().timestamp_nanos_opt().unwrap().into())
    }
}

pub(crate) fn variable(
    name: &str,
    data_type: DataType,
    unit: &str,
    range: Option<(f64, f64)>,
    states: &[&str],
) -> Variable {
    Variable {
        name: name.into(),
        description: format!("{name} of the device"),
        data_type,
        array: false,
        unit: unit.into(),
        range,
        limits: None,
        sampling_interval: Duration::from_millis(100),
        preprocess: Vec::new(),
        historize: true,
        stepped: !data_type.is_floating(),
        aggregate: uatwin::aggregate::Configuration::default(),
        writable: false,
        derived: None,
        states: states.iter().map(|state| (*state).to_owned()).collect(),
        statistics: StatisticsSettings::default(),
        alarm: None,
    }
}

fn model() -> TwinModel {
    let parameter = |name: &str, value, min, max, unit: &str| ParameterSource {
        name: name.into(),
        value,
        min,
        max,
        log: false,
        free: true,
        per_experiment: false,
        unit: unit.into(),
    };
    let source = ModelSource {
        states: vec![StateSource { name: "T".into(), init: Init::Parameter("T0".into()), noise: 0.0 }],
        parameters: vec![
            parameter("C", 60.0, 5.0, 1000.0, "J/K"),
            parameter("k", 1.0, 0.1, 10.0, "W/K"),
            parameter("Ta", 20.0, -20.0, 40.0, "°C"),
            parameter("T0", 22.0, 0.0, 100.0, "°C"),
        ],
        inputs: vec![InputSource {
            name: "P".into(),
            variable: "HeaterPower".into(),
            hold: Hold::Previous,
            delay: Delay::Number(0.0),
            max_gap_s: None,
        }],
        lets: Vec::new(),
        equations: vec![EquationSource { state: "T".into(), expr: "(P - k*(T - Ta))/C".into() }],
        outputs: vec![OutputSource { name: "Temperature".into(), expr: "T".into(), sigma: 0.2, loss: Loss::Squares }],
    };
    TwinModel {
        model: Arc::new(Model::compile(&source).unwrap()),
        inputs: vec![1],
        outputs: vec![0],
        solver: uatwin::simulate::Options::default(),
        fit: FitSettings {
            window: Duration::from_secs(3600),
            windows: Vec::new(),
            when: None,
            activate: Activation::IfBetter,
            operator_may_activate: true,
            validate: None,
            starts: 8,
            seed: 1,
            absolute_sigma: false,
            uncertain: 1.0,
        },
        period: Duration::from_secs(1),
        observer: Observer::None,
        forecast_horizon: None,
    }
}

fn power() -> Move {
    Move { input: 0, min: 0.0, max: 2000.0, max_change: 200.0, cost: 0.0, whole: false }
}

pub(crate) fn twins() -> Twins {
    let mut temperature = variable("Temperature", DataType::Double, "°C", Some((0.0, 150.0)), &[]);
    temperature.limits = Some((0.0, 10.0));
    temperature.aggregate.percent_data_good = 50;
    temperature.aggregate.percent_data_bad = 60;
    temperature.preprocess = vec![FilterSpec::Scale { factor: 0.1, offset: 0.0 }];
    let mut counter = variable("Counter", DataType::UInt32, "", None, &[]);
    counter.historize = false;
    let heater = TwinType {
        name: "Heater".into(),
        description: "An oven".into(),
        variables: vec![
            temperature,
            Variable { writable: true, ..variable("HeaterPower", DataType::Double, "W", None, &[]) },
            variable("Running", DataType::Boolean, "", None, &["Off", "On"]),
            variable("Mode", DataType::Int32, "", None, &["Idle", "Heat", "Cool"]),
            variable("Setpoint", DataType::Double, "°C", Some((0.0, 150.0)), &[]),
            counter,
            variable("Batch", DataType::String, "", None, &[]),
        ],
        model: Some(model()),
        optimize: Some(OptimizeSettings { moves: vec![power()], keeps: Vec::new(), watch: Duration::from_secs(1) }),
        statistics: StatisticsSettings::default(),
        correlate: None,
        drift: None,
    };
    let hundred = StatisticsSettings { window: Window::Values(100), ..StatisticsSettings::default() };
    let bare = TwinType {
        name: "Bare".into(),
        description: String::new(),
        variables: vec![
            Variable { statistics: hundred.clone(), ..variable("Level", DataType::Float, "m", None, &[]) },
            Variable { array: true, stepped: true, ..variable("Profile", DataType::Double, "m", None, &[]) },
            Variable { array: true, ..variable("Tags", DataType::String, "", None, &[]) },
        ],
        model: None,
        optimize: None,
        statistics: hundred.clone(),
        correlate: None,
        drift: None,
    };
    let address = |name: &str, v: &str| {
        Some(NodeAddress::Id { namespace: Some("urn:plant".into()), identifier: format!("s={name}.{v}") })
    };
    let heater_twin = |name: &str| Twin {
        name: name.into(),
        description: format!("The twin of {name}"),
        type_index: 0,
        plc: Some(PlcId(0)),
        sources: heater
            .variables
            .iter()
            .map(|v| if v.name == "Setpoint" { None } else { address(name, &v.name) })
            .collect(),
        parameters: vec![55.0, 1.0, 20.0, 22.0],
    };
    let list = vec![
        heater_twin("Heater1"),
        heater_twin("Heater2"),
        Twin {
            name: "Bare1".into(),
            description: String::new(),
            type_index: 1,
            plc: None,
            sources: vec![None; 3],
            parameters: Vec::new(),
        },
    ];
    Twins::new(vec![heater, bare], list)
}

/// A world, and what the tests change in it.
pub(crate) type Parts = (World, Arc<TwinState>, Arc<MemoryStore>, Arc<RwLock<LinkStatus>>);

/// The world of [`twins`].
pub(crate) fn world() -> Parts {
    world_of(twins())
}

/// The same of any twins on one PLC.
pub(crate) fn world_of(twins: Twins) -> Parts {
    // Nobody takes what jobs ask of the ingest stage: they find it stopping.
    world_with(twins, tokio::sync::mpsc::channel(1).0)
}

/// The same, with somebody who does.
pub(crate) fn world_with(twins: Twins, commands: tokio::sync::mpsc::Sender<Command>) -> Parts {
    let clock = Arc::new(WallClock);
    let state = Arc::new(TwinState::new(Arc::new(twins), clock.now()));
    let store = Arc::new(MemoryStore::new(state.configured().series_len(), 100_000));
    let link = Arc::new(RwLock::new(LinkStatus { state: LinkState::Connected, ..LinkStatus::default() }));
    let plc = PlcConfig {
        name: "line1".into(),
        endpoints: vec!["opc.tcp://plc.example:4840".into()],
        security_policy: "None".into(),
        security_mode: SecurityMode::None,
        credentials: Credentials::Anonymous,
        publishing_interval: Duration::from_millis(100),
        backfill: None,
    };
    let plcs = Arc::new(Plcs::of(vec![Plc { config: plc, link: Arc::clone(&link), outlet: SharedOutlet::default() }]));
    let world = World {
        state: Arc::clone(&state),
        history: Arc::clone(&store) as _,
        history_status: Arc::new(|| HistoryStatus {
            durable_until: Timestamp::from_unix_s(1e9),
            state: "Running".into(),
            free_space: Some(1 << 30),
        }),
        jobs: Jobs::new(
            Arc::clone(&state),
            Arc::clone(&store) as _,
            (Revisions::open(Arc::clone(&store) as _, state.configured(), clock.now()).unwrap().0, HashMap::new()),
            (commands, Arc::clone(&plcs)),
            Arc::clone(&clock) as _,
            (TaskTracker::new(), 2),
        ),
        plcs,
        configuration: Arc::default(),
        reloads: tokio::sync::mpsc::channel(1).0,
        clock,
    };
    (world, state, store, link)
}

/// A running server and what it shows.
pub(crate) struct Fixture {
    pub(crate) url: String,
    pub(crate) publisher: Publisher,
    pub(crate) state: Arc<TwinState>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) link: Arc<RwLock<LinkStatus>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    pub(crate) dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_on(0, &["None"], Some(Role::Engineer)).await
    }

    pub(crate) async fn start_as(role: Role) -> Self {
        Self::start_on(0, &["None"], Some(role)).await
    }

    pub(crate) async fn start_with(world: Parts) -> Self {
        Self::start_world(world, 0, &["None"], Some(Role::Engineer)).await
    }

    pub(crate) async fn start_on(port: u16, policies: &[&str], role: Option<Role>) -> Self {
        Self::start_world(world(), port, policies, role).await
    }

    async fn start_world(world: Parts, port: u16, policies: &[&str], role: Option<Role>) -> Self {
        let (world, state, store, link) = world;
        let dir = tempfile::tempdir().unwrap();
        let server = Server::bind(&config(port, policies, role, dir.path().join("pki")), world).await.unwrap();
        let (url, publisher, stop) = (server.endpoint_url().to_owned(), server.publisher(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(stop.clone()));
        Self { url, publisher, state, store, link, stop, tasks, dir }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    pub(crate) fn now(&self) -> Timestamp {
        WallClock.now()
    }

    pub(crate) fn good(&self, x: f64) -> Sample {
        Sample::good(self.now(), x)
    }

    pub(crate) fn twin(&self, name: &str) -> TwinId {
        let all = self.state.configured();
        all.ids().find(|id| all.twin(*id).name == name).unwrap()
    }

    pub(crate) fn series(&self, twin: &str, facet: Facet) -> SeriesId {
        self.state.configured().series(self.twin(twin), facet)
    }

    /// What the ingest stage does with a sample: live value, statistics, publish.
    pub(crate) fn set(&self, twin: &str, facet: Facet, sample: Sample) {
        let id = self.twin(twin);
        let configured = self.state.configured();
        let twin_type = configured.type_of(id);
        {
            let mut live = self.state.write(id);
            if let (Facet::Variable(v), Some(x)) = (facet, sample.usable())
                && let Some(rolling) = live.statistics[v].as_mut()
            {
                rolling.add(sample.source_timestamp, x);
            }
            live.set_sample(twin_type, facet, sample);
        }
        self.publisher.changed(&[self.series(twin, facet)]);
    }

    /// A second client.
    pub(crate) async fn connect_other(&self) -> Client {
        Client::connect(&self.url, self.dir.path().join("other")).await
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(&self.url, self.dir.path().join("client")).await
    }
}

pub(crate) fn config(port: u16, policies: &[&str], role: Option<Role>, pki_dir: PathBuf) -> ServerConfig {
    ServerConfig {
        name: "uatwin test".into(),
        application_uri: "urn:uatwin:test".into(),
        host: "127.0.0.1".into(),
        port,
        advertise: None,
        pki_dir,
        nodesets: Vec::new(),
        twins_namespace: TWINS.into(),
        policies: policies.iter().map(|policy| (*policy).to_owned()).collect(),
        anonymous: role,
        users_file: None,
        users: Default::default(),
        users_on_policy_none: false,
        continuation_point_timeout: Duration::from_secs(600),
        limits: uatwin::northbound::Limits::default(),
        trust_any_client: true,
    }
}

/// A session with its event loop.
pub(crate) struct Client {
    pub(crate) session: Arc<Session>,
    pub(crate) twins: u16,
    pub(crate) types: u16,
    pub(crate) ia: u16,
    tasks: JoinSet<()>,
}

impl std::ops::Deref for Client {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Client {
    pub(crate) async fn connect(url: &str, pki_dir: PathBuf) -> Self {
        let mut client = ClientBuilder::new()
            .application_name("northbound test")
            .application_uri("urn:northbound-test")
            .pki_dir(pki_dir)
            .create_sample_keypair(false)
            .trust_server_certs(true)
            .session_retry_limit(0)
            .max_array_length(200_000)
            .max_message_size(64 << 20)
            .max_chunk_count(2_000)
            .client()
            .unwrap();
        let endpoint: EndpointDescription =
            (url, SecurityPolicy::None.to_str(), MessageSecurityMode::None, UserTokenPolicy::anonymous()).into();
        let (session, event_loop) = client.connect_to_endpoint_directly(endpoint, IdentityToken::Anonymous).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            event_loop.run().await;
        });
        assert!(tokio::time::timeout(Duration::from_secs(20), session.wait_for_connection()).await.unwrap());
        let mut client = Self { session, twins: 0, types: 0, ia: 0, tasks };
        let namespaces: NodeId = VariableId::Server_NamespaceArray.into();
        let Some(Variant::Array(names)) = client.read_value(&namespaces).await.value else { panic!("no namespaces") };
        let index = |uri: &str| {
            let at = names.values.iter().position(|name| *name == Variant::from(uri));
            u16::try_from(at.unwrap_or_else(|| panic!("{uri} is not in {names:?}"))).unwrap()
        };
        (client.twins, client.types, client.ia) =
            (index(TWINS), index("urn:uatwin:types"), index("http://opcfoundation.org/UA/IA/"));
        client
    }

    /// Cuts the connection as a crash does.
    pub(crate) fn crash(mut self) {
        self.tasks.abort_all();
    }

    /// HistoryRead of any kind, of any nodes.
    pub(crate) async fn read_history(
        &self,
        details: ExtensionObject,
        stamps: TimestampsToReturn,
        release: bool,
        nodes: Vec<HistoryReadValueId>,
    ) -> Vec<HistoryReadResult> {
        let request = HistoryReadRequest {
            request_header: HistoryRead::new(
                HistoryReadAction::ReadAtTimeDetails(ReadAtTimeDetails::default()),
                &self.session,
            )
            .header()
            .clone(),
            history_read_details: details,
            timestamps_to_return: stamps,
            release_continuation_points: release,
            nodes_to_read: Some(nodes),
        };
        match self.session.channel().send(request, Duration::from_secs(20)).await.unwrap() {
            ResponseMessage::HistoryRead(response) if response.response_header.service_result.is_good() => {
                response.results.unwrap_or_default()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn id(&self, path: &str) -> NodeId {
        NodeId::new(self.twins, path)
    }

    pub(crate) async fn read_attribute(&self, node: &NodeId, attribute: AttributeId) -> DataValue {
        let wanted = ReadValueId { node_id: node.clone(), attribute_id: attribute as u32, ..ReadValueId::default() };
        self.read(&[wanted], TimestampsToReturn::Both, 0.0).await.unwrap().remove(0)
    }

    pub(crate) async fn read_value(&self, node: &NodeId) -> DataValue {
        self.read_attribute(node, AttributeId::Value).await
    }

    pub(crate) async fn value(&self, path: &str) -> DataValue {
        self.read_value(&self.id(path)).await
    }

    /// All references of a node, by pages of `max`.
    pub(crate) async fn references(&self, node: &NodeId, max: u32) -> Vec<ReferenceDescription> {
        let wanted = BrowseDescription {
            node_id: node.clone(),
            browse_direction: BrowseDirection::Both,
            reference_type_id: NodeId::null(),
            include_subtypes: true,
            node_class_mask: 0,
            result_mask: BrowseDescriptionResultMask::all().bits(),
        };
        let mut page = self.browse(&[wanted], max, None).await.unwrap().remove(0);
        let mut all = Vec::new();
        loop {
            assert_eq!(page.status_code, StatusCode::Good, "{node}");
            let references = page.references.unwrap_or_default();
            assert!(max == 0 || references.len() <= max as usize, "{node}");
            all.extend(references);
            if page.continuation_point.is_null_or_empty() {
                return all;
            }
            page = self.browse_next(false, &[page.continuation_point]).await.unwrap().remove(0);
        }
    }
}
