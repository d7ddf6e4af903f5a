//! Breadth first through the objects and variables of a server, each visited once. What describes the server itself, in the standard
//! namespace, and objects that hold nothing of the process are not entered.

use std::collections::{HashMap, HashSet};

use opcua::types::{
    BrowseDescription, BrowseDirection, BrowseResultMask, NodeClass, NodeId, QualifiedName, ReferenceDescription,
    ReferenceTypeId,
};

use super::{facts::Property, requests::Requests, types::Types};
use crate::{sample::StatusCode, southbound::survey::Progress};

/// More nodes are no longer one config; some 300 MB.
pub(super) const NODES_MAX: usize = 1_000_000;
/// Nodes whose references are in memory at a time.
const SLICE: usize = 10_000;

/// A node as it was come upon.
pub(super) struct Step {
    pub(super) parent: usize,
    pub(super) node: NodeId,
    pub(super) name: QualifiedName,
    pub(super) is_variable: bool,
    /// Of an object.
    pub(super) object_type: NodeId,
    pub(super) is_ambiguous: bool,
    /// Of a variable, those that we know what to do with.
    pub(super) properties: Vec<(Property, NodeId)>,
    pub(super) properties_len: usize,
}

/// All of them.
pub(super) struct Walked {
    pub(super) steps: Vec<Step>,
    pub(super) left_out: usize,
    pub(super) closed: Vec<(usize, StatusCode)>,
    pub(super) truncated: bool,
}

/// Everything below `root`.
pub(super) async fn walk(
    requests: &Requests,
    types: &mut Types,
    root: Step,
    told: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Walked, String> {
    let enters_standard = root.node.namespace == 0 && !super::is_objects_folder(&root.node);
    let mut visited = HashSet::from([root.node.clone()]);
    let mut level = vec![0];
    let mut walked = Walked { steps: vec![root], left_out: 0, closed: Vec::new(), truncated: false };
    while !level.is_empty() && !walked.truncated {
        let mut below = Vec::new();
        for slice in level.chunks(SLICE) {
            let questions: Vec<_> = slice.iter().map(|index| down_from(&walked.steps[*index].node)).collect();
            let answers = requests.browse(&questions).await?;
            let references = answers.iter().flatten().flatten();
            types.learn(requests, references.map(|reference| &reference.type_definition.node_id)).await?;
            for (parent, answer) in slice.iter().zip(answers) {
                match answer {
                    Err(status) => walked.closed.push((*parent, status)),
                    Ok(references) => {
                        take(&mut walked, &mut visited, types, *parent, references, enters_standard, &mut below);
                    }
                }
            }
            told(Progress::Browsing { nodes: walked.steps.len() });
        }
        level = below;
    }
    Ok(walked)
}

fn take(
    walked: &mut Walked,
    visited: &mut HashSet<NodeId>,
    types: &Types,
    parent: usize,
    references: Vec<ReferenceDescription>,
    enters_standard: bool,
    below: &mut Vec<usize>,
) {
    let mut named: HashMap<QualifiedName, (NodeId, Option<usize>)> = HashMap::new();
    for reference in references {
        let node = reference.node_id.node_id;
        if reference.node_id.server_index != 0 || node.is_null() {
            continue; // of another server
        }
        if reference.reference_type_id == ReferenceTypeId::HasProperty {
            let step = &mut walked.steps[parent];
            step.properties_len += 1;
            step.properties.extend(Property::named(&reference.browse_name).map(|property| (property, node)));
            continue;
        }
        if node.namespace == 0 && !enters_standard {
            continue;
        }
        let known = named.get(&reference.browse_name).cloned();
        let is_ambiguous = known.as_ref().is_some_and(|(other, _)| *other != node);
        if let (true, Some((_, Some(other)))) = (is_ambiguous, &known) {
            walked.steps[*other].is_ambiguous = true;
        }
        let is_variable = reference.node_class == NodeClass::Variable;
        let is_new = !visited.contains(&node);
        let is_left_out = !is_variable && types.is_left_out(&reference.type_definition.node_id);
        let index = walked.steps.len();
        let is_taken = is_new && !is_left_out;
        if known.is_none() {
            named.insert(reference.browse_name.clone(), (node.clone(), is_taken.then_some(index)));
        }
        walked.left_out += usize::from(is_new && is_left_out);
        if !is_new {
            continue;
        }
        visited.insert(node.clone());
        if is_left_out {
            continue;
        }
        if index >= NODES_MAX {
            walked.truncated = true;
            return;
        }
        walked.steps.push(Step {
            parent,
            node,
            name: reference.browse_name,
            is_variable,
            object_type: reference.type_definition.node_id,
            is_ambiguous,
            properties: Vec::new(),
            properties_len: 0,
        });
        below.push(index);
    }
}

fn down_from(node: &NodeId) -> BrowseDescription {
    let wanted = BrowseResultMask::ReferenceTypeId as u32
        | BrowseResultMask::NodeClass as u32
        | BrowseResultMask::BrowseName as u32
        | BrowseResultMask::TypeDefinition as u32;
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: NodeClass::Object as u32 | NodeClass::Variable as u32,
        result_mask: wanted,
    }
}
