//! What a PLC has at the addresses of a config, and beside them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use opcua::{
    client::Session,
    types::{BrowseDirection, NodeId, ObjectId, ReferenceTypeId},
};
use tokio::time::timeout;

use super::{
    super::{
        resolve,
        session::{ConnectError, Limits},
    },
    Access, facts, first,
    requests::Requests,
    types::Types,
    up_or_down, variables,
    walk::walk,
    with_session,
};
use crate::{
    sample::StatusCode,
    southbound::{
        NodeAddress,
        survey::{Facts, Inspected, Inspection},
    },
};

/// Missing nodes whose neighbours are looked at.
const NEIGHBOURS_MAX: usize = 100;

/// What there is at `addresses`; of one `group` they are beside each other. Others are counted for as long as `count_for`.
///
/// # Errors
/// No session, or one that ended.
pub async fn inspect(
    access: &Access,
    addresses: &[(NodeAddress, usize)],
    count_for: Duration,
) -> Result<Inspection, ConnectError> {
    with_session(access, async |session: Arc<Session>, limits: Limits| {
        let wanted: Vec<&NodeAddress> = addresses.iter().map(|(address, _)| address).collect();
        let resolved = resolve::resolve(&session, &limits, &wanted).await?;
        let (requests, mut types) = (Requests::new(Arc::clone(&session), &limits), Types::default());
        let nodes: Vec<NodeId> = resolved.iter().flatten().cloned().collect();
        let properties = facts::properties(&requests, &nodes).await?;
        let subjects: Vec<_> = nodes.iter().cloned().zip(properties).collect();
        let mut facts = facts::of(&requests, &mut types, &subjects, &|_| ()).await?.into_iter();
        let of = |resolved: &resolve::Resolved| match resolved {
            Err(status) => Err(*status),
            Ok(_) => match facts.next() {
                Some(facts) if !facts.status.is_bad() => Ok(facts),
                facts => Err(facts.map_or(StatusCode::BadUnexpectedError, |facts| facts.status)),
            },
        };
        let facts: Vec<Result<Facts, StatusCode>> = resolved.iter().map(of).collect();
        let mut beside = neighbours(&session, &limits, &requests, addresses, &resolved, &facts).await?;
        let known: HashSet<NodeId> = nodes.into_iter().collect();
        let others = timeout(count_for, count_others(&requests, &mut types, &known)).await;
        let others = others.ok().transpose()?.flatten();
        let addresses = facts
            .into_iter()
            .enumerate()
            .map(|(index, facts)| Inspected { facts, beside: beside.remove(&index).unwrap_or_default() })
            .collect();
        Ok(Inspection { addresses, others })
    })
    .await
}

/// Variables below Objects that are not among `known`; `None`: more than can be held.
async fn count_others(
    requests: &Requests,
    types: &mut Types,
    known: &HashSet<NodeId>,
) -> Result<Option<usize>, String> {
    let first = first(requests, types, &ObjectId::ObjectsFolder.into()).await?;
    let walked = walk(requests, types, first, &|_| ()).await?;
    Ok((!walked.truncated).then(|| variables(&walked).filter(|step| !known.contains(&step.node)).count()))
}

/// What stands beside each address at which there is nothing: names below the same parent for a path, identifiers of the nodes beside
/// another of its group for a NodeId.
async fn neighbours(
    session: &Session,
    limits: &Limits,
    requests: &Requests,
    addresses: &[(NodeAddress, usize)],
    resolved: &[resolve::Resolved],
    facts: &[Result<Facts, StatusCode>],
) -> Result<HashMap<usize, Vec<String>>, String> {
    let mut beside = HashMap::new();
    let missing = facts.iter().enumerate().filter(|(_, facts)| facts.is_err()).map(|(index, _)| index);
    let mut by_group: HashMap<usize, Vec<String>> = HashMap::new();
    for index in missing.take(NEIGHBOURS_MAX) {
        let Some((address, group)) = addresses.get(index) else { continue };
        let names = match address {
            NodeAddress::Path(path) => {
                let Some((_, above)) = path.split_last().filter(|(_, above)| !above.is_empty()) else { continue };
                let parent = NodeAddress::Path(above.to_vec());
                match resolve::resolve(session, limits, &[&parent]).await?.pop() {
                    Some(Ok(parent)) => children(requests, &parent).await?.into_iter().map(|(_, name)| name).collect(),
                    _ => Vec::new(),
                }
            }
            NodeAddress::Id { .. } if by_group.contains_key(group) => by_group[group].clone(),
            NodeAddress::Id { .. } => {
                let mut others = addresses.iter().zip(resolved).zip(facts);
                let other = others.find_map(|(((_, of), node), facts)| match (node, facts) {
                    (Ok(node), Ok(_)) if of == group => Some(node.clone()),
                    _ => None,
                });
                let names = match other {
                    Some(other) => around(requests, &other).await?,
                    None => Vec::new(),
                };
                by_group.insert(*group, names.clone());
                names
            }
        };
        beside.insert(index, names);
    }
    Ok(beside)
}

/// Identifiers of the nodes below the same parent.
async fn around(requests: &Requests, node: &NodeId) -> Result<Vec<String>, String> {
    let up = up_or_down(node, BrowseDirection::Inverse, ReferenceTypeId::HierarchicalReferences);
    let above = requests.browse(&[up]).await?.pop().and_then(Result::ok).unwrap_or_default();
    let Some(parent) = above.into_iter().next() else { return Ok(Vec::new()) };
    let children = children(requests, &parent.node_id.node_id).await?;
    Ok(children.into_iter().map(|(node, _)| node.identifier.to_string()).collect())
}

async fn children(requests: &Requests, node: &NodeId) -> Result<Vec<(NodeId, String)>, String> {
    let down = up_or_down(node, BrowseDirection::Forward, ReferenceTypeId::HierarchicalReferences);
    let below = requests.browse(&[down]).await?.pop().and_then(Result::ok).unwrap_or_default();
    Ok(below.into_iter().map(|found| (found.node_id.node_id, found.browse_name.name.to_string())).collect())
}
