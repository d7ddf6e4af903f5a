//! A simulated plant as an OPC UA server of its own: what the twins are shown to work on. It shares no equations,
//! solvers or code with them; it could be any PLC. Namespace `urn:uatwin:plant`, string NodeIds.
//!
//! # Devices
//! Below `Objects` there is a folder per device: `Oven1`, `Oven2`, `Tanks1`, `Pump1`. All have
//! - a **set-point** (the input; `HeaterPower`, `PumpSpeed`, `Voltage`): Double, writable within its EURange. A built-in
//!   programme moves it every few minutes, so that history is informative. A write switches `Auto` off and then the
//!   written value holds. What is written, to any node, acts from the next published instant on.
//! - `Auto`: Boolean, writable. True: the programme moves the set-point.
//! - `Ageing`: Double, writable, 0 (new) to 1 (worn).
//! - `Truth.<constant>`: Double, read only. The constants that the physics uses at present, ageing included.
//! - measurements: Double, AnalogItemType with EURange and EngineeringUnits, with an hour of raw history (so has the
//!   set-point). NodeIds are `nsu=urn:uatwin:plant;s=Oven1.Temperature`, `…;s=Oven1.Truth.C1`, and so on.
//!
//! Every published value carries the instant of the publishing grid as its SourceTimestamp (whole multiples of the
//! period since 1601). An input is constant between two instants, and its value at an instant acts from then on; so a
//! model with `hold = "previous"` sees exactly what the plant saw.
//!
//! ## Oven (`Oven1`, `Oven2`)
//! States T1 (heater's body), T2 (chamber), °C; P = `HeaterPower` in W (0 to 2000), Ta = ambient in °C:
//! ```text
//! C1·dT1/dt = P − K12·(T1 − T2)
//! C2·dT2/dt = K12·(T1 − T2) − K2·(T2 − Ta)
//! ```
//! | node | is | noise σ | resolution |
//! |---|---|---|---|
//! | `Temperature` | T2; the main sensor, with faults | 0.2 °C | 0.05 |
//! | `HeaterTemperature` | T1 | 0.5 °C | 0.1 |
//! | `Ambient` | Ta = 20 + 3·sin(2π·t/1 day) + a slow wander (σ 0.3, 600 s) | 0.02 °C | 0.01 |
//!
//! | constant | `Oven1` | `Oven2` | when worn (`Ageing` = a) |
//! |---|---|---|---|
//! | `C1` J/K | 750 | 900 | |
//! | `C2` J/K | 3000 | 4200 | |
//! | `K12` W/K | 15 | 18 | |
//! | `K2` W/K | 10 | 12 | K2·(1 + 0.6·a) |
//!
//! Programme: 0 to 1500 W in steps of 100, held for 120 to 420 s. An hour before start both temperatures are 22 °C.
//!
//! ## Two tanks in cascade (`Tanks1`)
//! States h1, h2 in cm; u = `PumpSpeed` in % (0 to 100):
//! ```text
//! A1·dh1/dt = Kp·u − K1·√h1
//! A2·dh2/dt = K1·√h1 − K2·√h2        both 0 ≤ h ≤ HMax: what comes in above the brim is lost
//! ```
//! | node | is | noise σ | resolution |
//! |---|---|---|---|
//! | `Level1` | h1 | 0.1 cm | 0.02 |
//! | `Level2` | h2; the main sensor, with faults | 0.1 cm | 0.02 |
//! | `Inflow` | Kp·u in cm³/s | 0.5 | 0.1 |
//! | `Overflow1`, `Overflow2` | Boolean: that tank runs over | | |
//!
//! Constants: `A1` 150 cm², `A2` 180 cm², `K1` 20 cm^2.5/s, `K2` 22 cm^2.5/s (when worn K2·(1 − 0.3·a): it clogs),
//! `Kp` 2 cm³/(s·%), `HMax` 60 cm. Programme: 15 to 60 % in steps of 5, held for 90 to 300 s (no overflow when new; above
//! 77 % the upper tank runs over). A model can find K1, K2, A1, A2 if Kp is fixed; all five with u alone only up to a
//! common factor. An hour before start both levels are 5 cm.
//!
//! ## Motor with pump (`Pump1`)
//! States ω (speed, rad/s) and Q (flow, L/s); U = `Voltage` in V (0 to 24):
//! ```text
//! I       = (U − Ke·ω)/R
//! J·dω/dt = Ke·I − B·ω − Kl·ω²
//! Tau·dQ/dt = Kf·ω − Q
//! vibration = 0.5 + 2e-4·ω²·(1 + 3·a)
//! ```
//! | node | is | noise σ | resolution |
//! |---|---|---|---|
//! | `Speed` | ω | 0.1 rad/s | 0.02 |
//! | `Current` | I | 0.02 A | 0.005 |
//! | `Flow` | Q; the main sensor, with faults | 0.02 L/s | 0.005 |
//! | `Vibration` | mm/s RMS | 0.05 mm/s | 0.01 |
//!
//! Constants: `R` 1 Ω, `Ke` 0.2 V·s/rad (= N·m/A), `J` 0.45 kg·m², `B` 0.002 N·m·s/rad (when worn B·(1 + 4·a)), `Kl` 6e-5
//! N·m·s²/rad², `Kf` 0.05 L/rad (when worn Kf·(1 − 0.25·a)), `Tau` 4 s. Programme: 8 to 24 V in steps of 0.5, held for
//! 45 to 150 s. An hour before start it stands still.
//!
//! # Faults
//! The main sensor of each device has now and then a spike (20 to 60 σ), a stretch of BadSensorFailure without a value,
//! and a stretch in which it sticks (the same value, Good); see [`Faults`].
//!
//! # Load
//! With [`PlantOptions::load`] = n there are `Load.00001` to n below `Objects/Load`: [`load_value`] of index and time, at
//! every whole multiple of [`PlantOptions::load_period`], without history.

mod devices;
mod history;
mod nodes;
mod oven;
mod pump;
mod sensor;
mod server;
mod tanks;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use opcua::{
    crypto::SecurityPolicy,
    server::{
        ANONYMOUS_USER_TOKEN_ID, Server, ServerBuilder, ServerEndpoint, ServerHandle,
        address_space::AddressSpace,
        node_manager::{ServerContext, memory::InMemoryNodeManagerBuilder},
    },
    sync::Mutex,
    types::MessageSecurityMode,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    devices::{Device, Orders, devices},
    history::{HISTORY_S, Ring},
    nodes::Nodes,
    server::{Live, PlantNodes, Shared},
};
pub use self::{oven::OvenTruth, pump::PumpTruth, sensor::Faults, tanks::TanksTruth};
use crate::time::{Clock, Timestamp};

/// The namespace of every node of the plant.
pub const NAMESPACE: &str = "urn:uatwin:plant";

/// The true constants of `Oven1`, when new.
pub const OVEN1: OvenTruth = OvenTruth { c1_j_per_k: 750.0, c2_j_per_k: 3000.0, k12_w_per_k: 15.0, k2_w_per_k: 10.0 };
/// The true constants of `Oven2`, when new.
pub const OVEN2: OvenTruth = OvenTruth { c1_j_per_k: 900.0, c2_j_per_k: 4200.0, k12_w_per_k: 18.0, k2_w_per_k: 12.0 };
/// The true constants of `Tanks1`, when new.
pub const TANKS1: TanksTruth =
    TanksTruth { a1_cm2: 150.0, a2_cm2: 180.0, k1: 20.0, k2: 22.0, kp_cm3_per_s_pct: 2.0, h_max_cm: 60.0 };
/// The true constants of `Pump1`, when new.
pub const PUMP1: PumpTruth =
    PumpTruth { r_ohm: 1.0, ke_vs: 0.2, j_kgm2: 0.45, b_nms: 0.002, kl: 6e-5, kf: 0.05, tau_s: 4.0 };

/// How long connections may take to close after the stop before they are cut.
const DRAIN: Duration = Duration::from_secs(2);
/// A clock that goes back by more than this begins another history; by less, the plant waits.
const CLOCK_BACK_S: f64 = 10.0;
/// `publish_period` is a multiple of this, in ticks: the integration step.
const STEP_TICKS: i64 = 1_000_000;

/// How to run a plant.
#[derive(Clone, Debug)]
pub struct PlantOptions {
    /// The address to listen on.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The host that clients are told; `None`: `host`, or "localhost" if that stands for every address.
    pub advertise: Option<String>,
    /// How often values are published: a multiple of 100 ms.
    pub publish_period: Duration,
    /// The seed of programme, noise and faults.
    pub seed: u64,
    /// How often the main sensors fail.
    pub faults: Faults,
    /// Where the server's certificate and key are kept; made at the first start.
    pub pki_dir: PathBuf,
    /// The number of load variables, for benchmarks.
    pub load: u32,
    /// How often the load changes: a multiple of `publish_period`.
    pub load_period: Duration,
}

impl PlantOptions {
    /// The defaults: loopback, port 4841, one second, seed 1, the usual faults, no load, which would change once a second.
    #[must_use]
    pub fn new(pki_dir: impl Into<PathBuf>) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 4841,
            advertise: None,
            publish_period: Duration::from_secs(1),
            seed: 1,
            faults: Faults::default(),
            pki_dir: pki_dir.into(),
            load: 0,
            load_period: Duration::from_secs(1),
        }
    }
}

/// Why a plant could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlantError {
    /// The address cannot be listened on: the port is taken, or the host is none of this machine's.
    #[error("the plant cannot listen on {host}:{port}")]
    Listen {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// The folder for the certificate cannot be made.
    #[error("the plant cannot use the folder {} for its certificate", folder.display())]
    Pki {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// The period is none of 100 ms, 200 ms, …
    #[error("the publishing period {0:?} is not a multiple of 100 ms")]
    Period(Duration),
    /// The load cannot change between two publications.
    #[error("the load's period {0:?} is not a multiple of the publishing period")]
    LoadPeriod(Duration),
    /// The OPC UA server could not be made or ended with an error.
    #[error("the plant's OPC UA server failed: {0}")]
    Server(String),
}

/// A plant that listens but does not answer yet.
pub struct Plant {
    listener: TcpListener,
    address: SocketAddr,
    endpoint_url: String,
    server: Server,
    handle: ServerHandle,
    engine: Engine,
}

impl Plant {
    /// Takes the port first, then makes everything else. Connections wait until `run`.
    pub async fn bind(options: PlantOptions) -> Result<Self, PlantError> {
        let period_ticks = i64::try_from(options.publish_period.as_nanos() / 100).unwrap_or(0);
        if period_ticks == 0 || period_ticks % STEP_TICKS != 0 {
            return Err(PlantError::Period(options.publish_period));
        }
        let load_period_ticks = i64::try_from(options.load_period.as_nanos() / 100).unwrap_or(0);
        if options.load > 0 && (load_period_ticks == 0 || load_period_ticks % period_ticks != 0) {
            return Err(PlantError::LoadPeriod(options.load_period));
        }
        let load_period_ticks = load_period_ticks.max(STEP_TICKS);
        let listen = |cause| PlantError::Listen { host: options.host.clone(), port: options.port, cause };
        let listener = TcpListener::bind((options.host.as_str(), options.port)).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        std::fs::create_dir_all(&options.pki_dir)
            .map_err(|cause| PlantError::Pki { folder: options.pki_dir.clone(), cause })?;

        let advertise = match &options.advertise {
            Some(host) => host.clone(),
            None if address.ip().is_unspecified() => "localhost".to_owned(),
            None => options.host.clone(),
        };
        let devices = devices(options.seed, options.faults);
        let (shared, server, handle) = build_server(&options, &advertise, address.port(), &devices)?;
        let engine = Engine { devices, shared, period_ticks, load_period_ticks, at: Timestamp::NULL };
        let endpoint_url = format!("opc.tcp://{advertise}:{}/", address.port());
        Ok(Self { listener, address, endpoint_url, server, handle, engine })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for clients.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        &self.endpoint_url
    }

    /// Makes the last hour, then publishes and answers until `stop`.
    pub async fn run(self, stop: CancellationToken, clock: Arc<dyn Clock>) -> Result<(), PlantError> {
        let Self { listener, endpoint_url, server, handle, mut engine, .. } = self;
        engine.make_history(clock.now());
        info!(url = %endpoint_url, "plant ready");
        let mut serving = std::pin::pin!(server.run_with(listener));
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = engine.publish(&handle, clock.as_ref()) => None,
            () = stop.cancelled() => None,
        };
        if let Some(ended) = ended {
            return ended.map_err(PlantError::Server);
        }
        // The library's loop goes on until its connections are gone, however long that takes.
        handle.cancel();
        match tokio::time::timeout(DRAIN, serving).await {
            Ok(ended) => ended.map_err(PlantError::Server),
            Err(_) => {
                warn!("plant's connections did not close in time, cutting them");
                Ok(())
            }
        }
    }
}

/// What the `index`-th load variable (from 1) is worth at an instant: the index, and the second of the day as the
/// fifth and earlier decimals, its tenth as the sixth. 17 at 01:00:00 UTC is 17.036.
#[must_use]
pub fn load_value(index: u32, at: Timestamp) -> f64 {
    let tenth_of_day = at.ticks().div_euclid(STEP_TICKS).rem_euclid(864_000);
    (f64::from(index) * 1e6 + tenth_of_day as f64) / 1e6
}

/// The physics: carries all devices from instant to instant.
struct Engine {
    devices: Vec<Device>,
    shared: Arc<Shared>,
    period_ticks: i64,
    load_period_ticks: i64,
    at: Timestamp,
}

impl Engine {
    /// Runs through the hour before `now`.
    fn make_history(&mut self, now: Timestamp) {
        self.at = self.on_grid(now).plus_seconds(-HISTORY_S - self.period_ticks as f64 * 1e-7);
        while self.due() <= now {
            self.next();
        }
    }

    /// Publishes for ever.
    async fn publish(&mut self, handle: &ServerHandle, clock: &dyn Clock) {
        loop {
            tokio::time::sleep(self.due().saturating_since(clock.now())).await;
            let now = clock.now();
            if !(-CLOCK_BACK_S..HISTORY_S).contains(&now.seconds_since(self.at)) {
                warn!("the clock jumped, the plant begins its history again from there");
                self.at = self.on_grid(now);
                self.shared.history.write().iter_mut().for_each(|ring| *ring = Ring::default());
            }
            while self.due() <= now {
                let load_moved = self.next();
                self.shared.notify(handle.subscriptions(), load_moved);
            }
        }
    }

    fn on_grid(&self, at: Timestamp) -> Timestamp {
        Timestamp::from_ticks(at.ticks().div_euclid(self.period_ticks) * self.period_ticks)
    }

    fn due(&self) -> Timestamp {
        Timestamp::from_ticks(self.at.ticks() + self.period_ticks)
    }

    /// Moves on to the next instant; true if the load changed.
    fn next(&mut self) -> bool {
        self.at = self.due();
        let period_s = self.period_ticks as f64 * 1e-7;
        let orders = self.shared.orders.lock().clone();
        let step = |(device, orders): (&mut Device, &Orders)| device.advance(self.at, period_s, orders);
        let measured: Vec<_> = self.devices.iter_mut().zip(&orders).flat_map(step).collect();
        for (ring, sample) in self.shared.history.write().iter_mut().zip(&measured) {
            ring.push(sample.clone());
        }
        let truth =
            self.devices.iter().zip(&orders).map(|(device, orders)| device.physics.truth(orders.ageing)).collect();
        let load_at =
            Timestamp::from_ticks(self.at.ticks().div_euclid(self.load_period_ticks) * self.load_period_ticks);
        let mut live = self.shared.live.write();
        let load_moved = load_at != live.load_at;
        *live = Live { at: self.at, load_at, measured, truth };
        load_moved
    }
}

/// The server, and what it shares with the engine. Makes key and certificate if there are none.
fn build_server(
    options: &PlantOptions,
    advertise: &str,
    port: u16,
    devices: &[Device],
) -> Result<(Arc<Shared>, Server, ServerHandle), PlantError> {
    // The library wants the nodes made within its builder's callback; the shared state comes out the same way.
    let made: Arc<Mutex<Option<Arc<Shared>>>> = Arc::default();
    let (out, load) = (Arc::clone(&made), options.load);
    let orders: Vec<_> = devices.iter().map(Device::first_orders).collect();
    let descriptions: Vec<_> = devices::devices(options.seed, options.faults);
    let nodes = move |context: ServerContext, address_space: &mut AddressSpace| {
        let namespace_index = context.type_tree.write().namespaces_mut().add_namespace(NAMESPACE);
        address_space.add_namespace(NAMESPACE, namespace_index);
        let nodes = Nodes::insert(address_space, namespace_index, &descriptions, load);
        let history = nodes.measurements.iter().map(|_| Ring::default()).collect();
        let shared = Arc::new(Shared::new(nodes, Live::default(), history, orders));
        *out.lock() = Some(Arc::clone(&shared));
        PlantNodes { shared, namespace_index }
    };
    let anonymous = [ANONYMOUS_USER_TOKEN_ID.to_owned()];
    let endpoint = |policy, mode| ServerEndpoint::new("/", policy, mode, &anonymous);
    let mut builder = ServerBuilder::new()
        .application_name("uatwin plant")
        .application_uri(format!("urn:{advertise}:uatwin:plant"))
        .product_uri("urn:uatwin")
        .host(advertise)
        .port(port)
        .pki_dir(&options.pki_dir)
        .create_sample_keypair(true)
        .certificate_path("own/cert.der")
        .private_key_path("private/private.pem")
        .trust_client_certs(true)
        .check_cert_time(false)
        .discovery_urls(vec![format!("opc.tcp://{advertise}:{port}/")])
        .add_endpoint("none", endpoint(SecurityPolicy::None, MessageSecurityMode::None))
        .add_endpoint("secure", endpoint(SecurityPolicy::Basic256Sha256, MessageSecurityMode::SignAndEncrypt))
        .with_node_manager(InMemoryNodeManagerBuilder::new(nodes));
    raise_limits(&mut builder);
    let (server, handle) = builder.build().map_err(PlantError::Server)?;
    let shared = made.lock().take().expect("the library calls every node manager's builder once");
    Ok((shared, server, handle))
}

/// The library's defaults are for a small device: 20 sessions, 1,000 items, queues of 10, messages of 320 kB.
fn raise_limits(builder: &mut ServerBuilder) {
    let limits = builder.limits_mut();
    limits.max_sessions = 200;
    limits.max_array_length = 100_000;
    limits.max_message_size = 16 << 20;
    limits.max_chunk_count = 1000;
    limits.max_history_continuation_points = 1000;
    limits.subscriptions.max_subscriptions_per_session = 100;
    limits.subscriptions.max_monitored_items_per_sub = 200_000;
    limits.subscriptions.max_monitored_item_queue_size = 10_000;
    limits.subscriptions.max_pending_publish_requests = 100;
    // 5,000 values of 30 bytes are 150 kB. A client whose arrays may have 1,000 elements only must ask for less.
    limits.subscriptions.max_notifications_per_publish = 5_000;
    limits.subscriptions.max_queued_notifications = 1000;
    limits.operational.max_monitored_items_per_call = 10_000;
    limits.operational.max_references_per_browse_node = 10_000;
}
