//! What the server gives a client: the program in a process of its own, with a plant in another, and in this one a client
//! that reads all variables a thousand at a time and then browses everything. CPU is the server's alone.

use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    live::config_text,
    process::{Process, Scratch, cpu_s, free_port, until_listening},
};
use crate::{
    config,
    southbound::{
        NodeAddress,
        opcua_client::survey::{
            Access,
            rate::{self, Came},
        },
    },
    time::Clock,
};

const AT_ONCE: usize = 1_000;
/// Of the measurement; before it, once, to see that every value is there.
const LENGTH: Duration = Duration::from_secs(4);
const ATTEMPTS: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Debug, Serialize)]
pub struct ReadFigures {
    /// Nodes that were read, 1,000 in a request, two requests' answers never far apart.
    pub variables: u32,
    /// Values that one client got in a second.
    pub values_per_s: f64,
    /// Of the server, for each of them.
    pub cpu_us_per_value: f64,
    /// In all that there is below Objects.
    pub references: u64,
    /// References that one client got in a second.
    pub references_per_s: f64,
    /// Of the server, for each of them.
    pub cpu_us_per_reference: f64,
}

/// Runs plant and server; the client is this process.
pub(super) async fn measure(variables: u32, clock: Arc<dyn Clock>) -> Result<ReadFigures, Box<dyn Error>> {
    let scratch = Scratch::new("read")?;
    let (plant_port, port) = (free_port()?, free_port()?);
    let _plant = Process::plant(variables, plant_port, scratch.path())?;
    until_listening(plant_port).await; // else the server would come back for it later and later
    let file = scratch.path().join("bench.toml");
    fs::write(&file, config_text(variables, plant_port, port))?;
    let server = Process::start(["run".as_ref(), "--config".as_ref(), file.as_os_str()])?;
    let access = access(port, scratch.path(), clock)?;
    let nodes = addresses(variables);
    until_fed(&access, &nodes).await?;

    let (values, cpu_of_values) = timed(&server, rate::values(&access, &nodes, AT_ONCE, LENGTH)).await?;
    let (references, cpu_of_references) = timed(&server, rate::references(&access)).await?;
    let each = |cpu: f64, came: Came| cpu * 1e6 / came.count.max(1) as f64;
    Ok(ReadFigures {
        variables,
        values_per_s: values.count as f64 / values.seconds,
        cpu_us_per_value: each(cpu_of_values, values),
        references: references.count,
        references_per_s: references.count as f64 / references.seconds,
        cpu_us_per_reference: each(cpu_of_references, references),
    })
}

/// What came, and the server's CPU time meanwhile.
async fn timed<E: Error + 'static>(
    server: &Process,
    work: impl Future<Output = Result<Came, E>>,
) -> Result<(Came, f64), Box<dyn Error>> {
    let cpu = cpu_s(server.id());
    let came = work.await?;
    Ok((came, cpu_s(server.id()) - cpu))
}

/// Returns when every variable has a value from the plant.
async fn until_fed(access: &Access, nodes: &[NodeAddress]) -> Result<(), Box<dyn Error>> {
    let mut failed = None;
    for _ in 0..ATTEMPTS {
        match rate::values(access, nodes, AT_ONCE, Duration::from_nanos(1)).await {
            Ok(_) => return Ok(()),
            Err(error) => failed = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(failed.map_or_else(|| "the server was not asked".into(), Into::into))
}

/// The server as a client's config names it.
fn access(port: u16, folder: &Path, clock: Arc<dyn Clock>) -> Result<Access, Box<dyn Error>> {
    let text = format!(
        "[server]\nname = \"bench client\"\nendpoint = \"opc.tcp://127.0.0.1:0\"\n\
         [plc.own]\nendpoint = \"opc.tcp://127.0.0.1:{port}\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n"
    );
    let config = config::parse_builtin(&text, "bench-client.toml").map_err(|faults| format!("{faults:?}"))?;
    let plc = config.plcs.into_iter().next().ok_or("the config names no PLC")?;
    let application_uri = config.server.application_uri;
    Ok(Access { plc, application_uri, pki_dir: folder.join("client-certs"), clock })
}

fn addresses(variables: u32) -> Vec<NodeAddress> {
    super::live::names(variables)
        .map(|name| NodeAddress::Id { namespace: Some("urn:uatwin:twins".into()), identifier: format!("s={name}") })
        .collect()
}
