//! From addresses of a config to NodeIds of this session: namespace URIs to today's indices, browse paths to nodes.

use std::collections::{HashMap, HashSet};

use opcua::{
    client::Session,
    types::{
        BrowseDescription, BrowseDirection, BrowsePath, BrowseResultMask, Identifier, NamespaceMap, NodeId, ObjectId,
        QualifiedName, ReferenceDescription, ReferenceTypeId, RelativePath, RelativePathElement,
    },
};

use super::session::Limits;
use crate::{
    sample::StatusCode,
    southbound::{NodeAddress, PathElement},
};

/// A node of this session, or why there is none.
pub(super) type Resolved = Result<NodeId, StatusCode>;

/// Resolves `addresses`, one result each. An error: the session does not answer.
pub(super) async fn resolve(
    session: &Session,
    limits: &Limits,
    addresses: &[&NodeAddress],
) -> Result<Vec<Resolved>, String> {
    let namespaces =
        session.read_namespace_array().await.map_err(|error| format!("reading the NamespaceArray: {error}"))?;
    let mut resolved: Vec<Resolved> = vec![Err(StatusCode::BadNodeIdUnknown); addresses.len()];
    let mut translated = Vec::new();
    let mut walked = Vec::new();
    for (index, (slot, address)) in resolved.iter_mut().zip(addresses).enumerate() {
        match address {
            NodeAddress::Id { namespace, identifier } => *slot = node_id(namespace.as_deref(), identifier, &namespaces),
            NodeAddress::Path(path) => match qualified(path, &namespaces) {
                Ok(Some(names)) => translated.push((index, names)),
                Ok(None) => walked.push((index, path.as_slice())),
                Err(status) => *slot = Err(status),
            },
        }
    }
    translate(session, limits, translated, &mut resolved).await?;
    walk(session, limits, &namespaces, walked, &mut resolved).await?;
    Ok(resolved)
}

fn node_id(namespace: Option<&str>, identifier: &str, namespaces: &NamespaceMap) -> Resolved {
    let index = namespace_index(namespace, namespaces)?;
    // Not by way of the whole NodeId's text: the library's reading of that stops at a line break, which an identifier may hold.
    let identifier: Identifier = identifier.parse().map_err(|()| StatusCode::BadNodeIdInvalid)?;
    Ok(NodeId { namespace: index, identifier })
}

fn namespace_index(namespace: Option<&str>, namespaces: &NamespaceMap) -> Result<u16, StatusCode> {
    // The PLC does not have the namespace (any more, or yet): then it does not have the node either.
    namespace.map_or(Ok(0), |uri| namespaces.get_index(uri).ok_or(StatusCode::BadNodeIdUnknown))
}

/// The path's names if all their namespaces are known. The root's children (Objects, Types, Views) are of namespace 0.
fn qualified(path: &[PathElement], namespaces: &NamespaceMap) -> Result<Option<Vec<QualifiedName>>, StatusCode> {
    if path.is_empty() {
        return Err(StatusCode::BadNothingToDo);
    }
    let known = |(depth, element): (usize, &PathElement)| depth == 0 || element.namespace.is_some();
    let all_known = path.iter().enumerate().all(known);
    let name = |element: &PathElement| {
        namespace_index(element.namespace.as_deref(), namespaces)
            .map(|index| QualifiedName::new(index, element.name.as_str()))
    };
    let names = path.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    Ok(all_known.then_some(names))
}

async fn translate(
    session: &Session,
    limits: &Limits,
    paths: Vec<(usize, Vec<QualifiedName>)>,
    resolved: &mut [Resolved],
) -> Result<(), String> {
    for chunk in paths.chunks(limits.translate) {
        let requests: Vec<_> = chunk.iter().map(|(_, names)| browse_path(names)).collect();
        let answers = session
            .translate_browse_paths_to_node_ids(&requests)
            .await
            .map_err(|error| format!("translating browse paths: {error}"))?;
        for ((index, _), answer) in chunk.iter().zip(answers) {
            let targets = answer.targets.unwrap_or_default();
            let whole: Vec<_> = targets.iter().filter(|target| target.remaining_path_index == u32::MAX).collect();
            resolved[*index] = match whole.as_slice() {
                _ if answer.status_code.is_bad() => Err(answer.status_code),
                [target] => Ok(target.target_id.node_id.clone()),
                [] => Err(StatusCode::BadNoMatch),
                _ => Err(StatusCode::BadTooManyMatches),
            };
        }
    }
    Ok(())
}

fn browse_path(names: &[QualifiedName]) -> BrowsePath {
    let element = |name: &QualifiedName| RelativePathElement {
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        is_inverse: false,
        include_subtypes: true,
        target_name: name.clone(),
    };
    BrowsePath {
        starting_node: ObjectId::RootFolder.into(),
        relative_path: RelativePath { elements: Some(names.iter().map(element).collect()) },
    }
}

/// Steps down all paths together, one browse per distinct node and level.
async fn walk(
    session: &Session,
    limits: &Limits,
    namespaces: &NamespaceMap,
    paths: Vec<(usize, &[PathElement])>,
    resolved: &mut [Resolved],
) -> Result<(), String> {
    for (index, _) in &paths {
        resolved[*index] = Ok(ObjectId::RootFolder.into());
    }
    for depth in 0.. {
        let going: Vec<_> = paths
            .iter()
            .filter_map(|(index, path)| Some((*index, path.get(depth)?, resolved[*index].as_ref().ok()?.clone())))
            .collect();
        if going.is_empty() {
            break;
        }
        let parents: HashSet<NodeId> = going.iter().map(|(_, _, node)| node.clone()).collect();
        let children = children(session, limits, parents.into_iter().collect()).await?;
        for (index, element, node) in going {
            resolved[index] = match children.get(&node) {
                Some(Ok(by_name)) => child(element, by_name, namespaces),
                Some(Err(status)) => Err(*status),
                None => Err(StatusCode::BadNoMatch),
            };
        }
    }
    Ok(())
}

type ByName = HashMap<String, Vec<(u16, NodeId)>>;

fn child(element: &PathElement, by_name: &ByName, namespaces: &NamespaceMap) -> Resolved {
    let wanted = element.namespace.as_deref().map(|uri| namespace_index(Some(uri), namespaces)).transpose()?;
    let named = by_name.get(&element.name).map_or(&[][..], Vec::as_slice);
    let matching: Vec<_> = named.iter().filter(|(index, _)| wanted.is_none_or(|wanted| wanted == *index)).collect();
    match matching.as_slice() {
        [] => Err(StatusCode::BadNoMatch),
        [(_, node)] => Ok(node.clone()),
        _ => Err(StatusCode::BadTooManyMatches),
    }
}

async fn children(
    session: &Session,
    limits: &Limits,
    parents: Vec<NodeId>,
) -> Result<HashMap<NodeId, Result<ByName, StatusCode>>, String> {
    let failed = |error| format!("browsing: {error}");
    let mut found = HashMap::new();
    for chunk in parents.chunks(limits.browse) {
        let requests: Vec<_> = chunk.iter().map(down_from).collect();
        let answers = session.browse(&requests, 0, None).await.map_err(failed)?;
        for (parent, answer) in chunk.iter().zip(answers) {
            if answer.status_code.is_bad() {
                found.insert(parent.clone(), Err(answer.status_code));
                continue;
            }
            let mut by_name = ByName::new();
            collect(answer.references, &mut by_name);
            let mut rest = answer.continuation_point;
            while !rest.is_null_or_empty() {
                let answer = session.browse_next(false, &[rest]).await.map_err(failed)?.into_iter().next();
                let Some(answer) = answer else { break };
                collect(answer.references, &mut by_name);
                rest = answer.continuation_point;
            }
            found.insert(parent.clone(), Ok(by_name));
        }
    }
    Ok(found)
}

fn down_from(node: &NodeId) -> BrowseDescription {
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMask::BrowseName as u32,
    }
}

fn collect(references: Option<Vec<ReferenceDescription>>, by_name: &mut ByName) {
    for reference in references.into_iter().flatten() {
        let nodes = by_name.entry(reference.browse_name.name.as_ref().to_owned()).or_default();
        // Two references to one node (Organizes and HasComponent) are still one child.
        let entry = (reference.browse_name.namespace_index, reference.node_id.node_id);
        if !nodes.contains(&entry) {
            nodes.push(entry);
        }
    }
}
