//! How fast a server answers: the same values read again and again, everything browsed once. For `uatwin bench`.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use opcua::{
    client::Session,
    types::{AttributeId, BrowseDirection, NodeId, ObjectId, ReferenceTypeId},
};

use super::{
    super::{
        resolve,
        session::{self, ConnectError, Limits},
    },
    Access,
    requests::Requests,
    up_or_down, with_session,
};
use crate::southbound::NodeAddress;

/// What came in which time.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// Values, or references.
    pub count: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
}

/// Reads the values at `addresses` for so long, over and over, `at_once` in a request and several requests under way.
///
/// # Errors
/// No session, one that ended, a node that is not there, a value that is not Good.
pub async fn values(
    access: &Access,
    addresses: &[NodeAddress],
    at_once: usize,
    length: Duration,
) -> Result<Came, ConnectError> {
    with_session(access, async |session: Arc<Session>, limits: Limits| {
        let wanted: Vec<&NodeAddress> = addresses.iter().collect();
        let nodes: Result<Vec<NodeId>, _> = resolve::resolve(&session, &limits, &wanted).await?.into_iter().collect();
        let nodes = nodes.map_err(|status| format!("a node is not there: {status}"))?;
        let limits = Limits { read: limits.read.min(at_once), ..limits };
        let requests = Requests::new(session, &limits);
        let questions: Vec<_> = nodes.into_iter().map(|node| session::attribute(node, AttributeId::Value)).collect();
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < length {
            let answers = requests.read(&questions).await?;
            if let Some(bad) = answers.iter().find(|answer| answer.status.is_some_and(|status| !status.is_good())) {
                return Err(format!("a value is not Good: {bad:?}"));
            }
            count += answers.len() as u64;
        }
        Ok(Came { count, seconds: began.elapsed().as_secs_f64() })
    })
    .await
}

/// Browses everything below Objects, level by level; what is below the standard's own nodes is not followed.
///
/// # Errors
/// No session, one that ended, a node that cannot be browsed.
pub async fn references(access: &Access) -> Result<Came, ConnectError> {
    with_session(access, async |session: Arc<Session>, limits: Limits| {
        let requests = Requests::new(session, &limits);
        let objects = NodeId::from(ObjectId::ObjectsFolder);
        let (mut seen, mut level) = (HashSet::from([objects.clone()]), vec![objects]);
        let (began, mut count) = (Instant::now(), 0);
        while !level.is_empty() {
            let down = |node| up_or_down(node, BrowseDirection::Forward, ReferenceTypeId::HierarchicalReferences);
            let questions: Vec<_> = level.iter().map(down).collect();
            level.clear();
            for answer in requests.browse(&questions).await? {
                let found = answer.map_err(|status| format!("a node cannot be browsed: {status}"))?;
                count += found.len() as u64;
                let own = found.into_iter().map(|reference| reference.node_id.node_id).filter(|id| id.namespace != 0);
                level.extend(own.filter(|node| seen.insert(node.clone())));
            }
        }
        Ok(Came { count, seconds: began.elapsed().as_secs_f64() })
    })
    .await
}
