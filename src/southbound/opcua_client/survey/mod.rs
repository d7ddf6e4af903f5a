//! A look at a PLC: everything that it has, or what there is at given addresses. One session each, which changes nothing there.

mod facts;
mod inspect;
pub mod rate;
mod requests;
mod types;
mod walk;

pub use inspect::inspect;

use std::{collections::HashMap, path::PathBuf, pin::pin, sync::Arc};

use opcua::{
    client::Session,
    types::{BrowseDescription, BrowseDirection, BrowseResultMask, NodeId, ObjectId, QualifiedName, ReferenceTypeId},
};
use tokio::time::timeout;

use self::{
    requests::Requests,
    types::Types,
    walk::{Step, Walked, walk},
};
use super::{
    DISCONNECT_TIMEOUT, resolve,
    session::{self, CONNECT_TIMEOUT, ConnectError, Limits},
};
use crate::{
    sample::StatusCode,
    southbound::{
        NodeAddress, PlcConfig,
        survey::{Facts, Found, Offer, Progress, Qualified, Survey, What},
    },
    time::Clock,
};

/// Folders between the root and a node that is asked for.
const DEPTH_MAX: usize = 32;

/// How to reach a PLC.
#[derive(Clone)]
pub struct Access {
    /// Where and how; of several endpoints the first that answers.
    pub plc: PlcConfig,
    /// Ours, as in the certificate in `pki_dir`.
    pub application_uri: String,
    /// Our certificate and the trusted ones.
    pub pki_dir: PathBuf,
    /// The time, for certificates.
    pub clock: Arc<dyn Clock>,
}

/// What the server offers to the user of `access`, the best first; its security and mode count nothing here.
///
/// # Errors
/// No answer, or nothing that we could use.
pub async fn offers(access: &Access) -> Result<Vec<Offer>, ConnectError> {
    let url = access.plc.endpoints.first().map_or("", String::as_str);
    Ok(session::offers(&access.plc, url, &access.pki_dir).await?)
}

/// Everything below `root`, or below the Objects folder.
///
/// # Errors
/// No session, or one that ended.
pub async fn survey(
    access: &Access,
    root: Option<&NodeAddress>,
    told: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Survey, ConnectError> {
    with_session(access, async |session: Arc<Session>, limits: Limits| {
        let root = match root {
            None => ObjectId::ObjectsFolder.into(),
            Some(address) => resolve_one(&session, &limits, address).await?,
        };
        let (requests, mut types) = (Requests::new(Arc::clone(&session), &limits), Types::default());
        let uris = Uris::of(&session).await?;
        let first = first(&requests, &mut types, &root).await?;
        let path = path_to(&requests, &uris, &root).await?;
        let walked = walk(&requests, &mut types, first, told).await?;
        let subjects: Vec<_> = variables(&walked).map(|step| (step.node.clone(), step.properties.clone())).collect();
        let facts = facts::of(&requests, &mut types, &subjects, told).await?;
        Ok(in_words(walked, facts, path, &types, &uris))
    })
    .await
}

/// Does `work` on a session of its own, and ends it.
async fn with_session<T>(
    access: &Access,
    work: impl AsyncFnOnce(Arc<Session>, Limits) -> Result<T, String>,
) -> Result<T, ConnectError> {
    let mut failed = ConnectError::Failed("no endpoint".to_owned());
    for url in &access.plc.endpoints {
        let prepared = session::prepare(&access.plc, url, &access.application_uri, &access.pki_dir, access.clock.now());
        let prepared = timeout(CONNECT_TIMEOUT, prepared).await.map_err(|_| "no answer".to_owned().into());
        match prepared.flatten() {
            Ok((session, event_loop)) => return Ok(driven(session, event_loop, work).await?),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn driven<T>(
    session: Arc<Session>,
    event_loop: session::EventLoop,
    work: impl AsyncFnOnce(Arc<Session>, Limits) -> Result<T, String>,
) -> Result<T, String> {
    session.disable_reconnects(); // the event loop ends with the connection
    let mut event_loop = pin!(event_loop.run());
    let worked = async {
        if !timeout(CONNECT_TIMEOUT, session.wait_for_connection()).await.map_err(|_| "no session within 10 s")? {
            return Err("the session ended at once".to_owned());
        }
        let limits = session::limits(&session).await?;
        work(Arc::clone(&session), limits).await
    };
    let result = tokio::select! {
        status = &mut event_loop => return Err(format!("the connection ended: {status}")),
        result = worked => result,
    };
    let goodbye = async { tokio::join!(session.disconnect(), &mut event_loop) };
    let _ = timeout(DISCONNECT_TIMEOUT, goodbye).await; // else the PLC forgets us by itself
    result
}

async fn resolve_one(session: &Session, limits: &Limits, address: &NodeAddress) -> Result<NodeId, String> {
    match resolve::resolve(session, limits, &[address]).await?.pop() {
        Some(Ok(node)) => Ok(node),
        Some(Err(status)) => Err(format!("there is no such node to begin at: {status}")),
        None => Err("there is no node to begin at".to_owned()),
    }
}

fn is_objects_folder(node: &NodeId) -> bool {
    *node == ObjectId::ObjectsFolder
}

/// The node where it begins, as if it had been come upon.
async fn first(requests: &Requests, types: &mut Types, root: &NodeId) -> Result<Step, String> {
    use opcua::types::{AttributeId, Variant};
    let asked = [AttributeId::BrowseName, AttributeId::NodeClass].map(|asked| session::attribute(root.clone(), asked));
    let answers = requests.read(&asked).await?;
    let value = |place: usize| answers.get(place).and_then(|answer| answer.value.as_ref());
    let Some(Variant::QualifiedName(name)) = value(0) else {
        let status = answers.first().and_then(|answer| answer.status).unwrap_or(StatusCode::BadNodeIdUnknown);
        return Err(format!("there is no such node to begin at: {status}"));
    };
    let is_variable = matches!(value(1), Some(Variant::Int32(2))); // NodeClass, OPC 10000-3 §8.29
    let definition = up_or_down(root, BrowseDirection::Forward, ReferenceTypeId::HasTypeDefinition);
    let object_type = requests.browse(&[definition]).await?.pop().and_then(Result::ok).unwrap_or_default();
    let object_type = object_type.into_iter().next().map_or_else(NodeId::null, |found| found.node_id.node_id);
    types.learn(requests, [&object_type].into_iter()).await?;
    Ok(Step {
        parent: 0,
        node: root.clone(),
        name: (**name).clone(),
        is_variable,
        object_type,
        is_ambiguous: false,
        properties: Vec::new(),
        properties_len: 0,
    })
}

fn up_or_down(node: &NodeId, browse_direction: BrowseDirection, of: ReferenceTypeId) -> BrowseDescription {
    BrowseDescription {
        node_id: node.clone(),
        browse_direction,
        reference_type_id: of.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMask::BrowseName as u32,
    }
}

/// BrowseNames from the root folder to `node`, upwards by the first way there is; empty: there is none.
async fn path_to(requests: &Requests, uris: &Uris, node: &NodeId) -> Result<Vec<Qualified>, String> {
    let mut path = Vec::new();
    let mut at = node.clone();
    for _ in 0..DEPTH_MAX {
        if at == ObjectId::RootFolder {
            path.reverse();
            return Ok(path);
        }
        let name = session::attribute(at.clone(), opcua::types::AttributeId::BrowseName);
        let name = requests.read(&[name]).await?.pop().and_then(|answer| answer.value);
        let Some(opcua::types::Variant::QualifiedName(name)) = name else { break };
        path.push(uris.name(&name));
        let up = up_or_down(&at, BrowseDirection::Inverse, ReferenceTypeId::HierarchicalReferences);
        let above = requests.browse(&[up]).await?.pop().and_then(Result::ok).unwrap_or_default();
        let Some(parent) = above.into_iter().next() else { break };
        at = parent.node_id.node_id;
    }
    Ok(Vec::new())
}

fn variables(walked: &Walked) -> impl Iterator<Item = &Step> {
    walked.steps.iter().filter(|step| step.is_variable)
}

fn in_words(walked: Walked, facts: Vec<Facts>, root: Vec<Qualified>, types: &Types, uris: &Uris) -> Survey {
    let mut facts = facts.into_iter();
    let found = |step: &Step| Found {
        parent: step.parent,
        id: uris.node(&step.node),
        name: uris.name(&step.name),
        is_ambiguous: step.is_ambiguous,
        what: if step.is_variable {
            What::Variable(Box::new(facts.next().unwrap_or_else(|| Facts::unread(StatusCode::BadUnexpectedError))))
        } else {
            let own = !types.is_folder(&step.object_type);
            let name = uris.name(&types.name(&step.object_type));
            What::Object {
                object_type: (own && !name.text.is_empty()).then_some(name),
                properties: step.properties_len,
            }
        },
    };
    let nodes = walked.steps.iter().map(found).collect();
    Survey { root, nodes, left_out: walked.left_out, closed: walked.closed, truncated: walked.truncated }
}

/// Namespace URIs by index.
struct Uris(HashMap<u16, Arc<str>>);

impl Uris {
    async fn of(session: &Session) -> Result<Self, String> {
        let map =
            session.read_namespace_array().await.map_err(|error| format!("reading the NamespaceArray: {error}"))?;
        Ok(Self(map.known_namespaces().iter().map(|(uri, index)| (*index, Arc::from(uri.as_str()))).collect()))
    }

    /// An index without a URI has an empty one: no config can name it.
    fn uri(&self, index: u16) -> Option<Arc<str>> {
        (index != 0).then(|| self.0.get(&index).cloned().unwrap_or_else(|| Arc::from("")))
    }

    fn node(&self, node: &NodeId) -> Qualified {
        Qualified { namespace: self.uri(node.namespace), text: node.identifier.to_string().into() }
    }

    fn name(&self, name: &QualifiedName) -> Qualified {
        Qualified { namespace: self.uri(name.namespace_index), text: name.name.as_ref().into() }
    }
}
