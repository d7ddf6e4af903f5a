//! Everything below Objects but the standard's own nodes, level by level, with all that a ReferenceDescription has.

use std::collections::HashSet;

use opcua::{
    core::ResponseMessage,
    types::{
        BrowseDescription, BrowseDirection, BrowseNextRequest, BrowseRequest, BrowseResult, BrowseResultMask, NodeId,
        ObjectId, ReferenceTypeId, ViewDescription,
    },
};
use serde_json::Value;

use super::{Arguments, channel::Channel, server::Watch};

/// Nodes in a request, and references of one in an answer.
const NODES: usize = 100;
const REFERENCES: u32 = 1_000;

pub(crate) fn measure(arguments: &Arguments) -> Value {
    let mut channel = Channel::open(arguments.text("url"));
    let until = arguments.seconds(2).as_secs_f64();
    let (watch, mut references) = (Watch::start(arguments), 0);
    // At least once, and a small tree as often as there is time for.
    while references == 0 || watch.seconds() < until {
        references += tree(&mut channel);
    }
    watch.told(references)
}

/// How many references there are.
fn tree(channel: &mut Channel) -> u64 {
    let objects = NodeId::from(ObjectId::ObjectsFolder);
    let (mut seen, mut level, mut count) = (HashSet::from([objects.clone()]), vec![objects], 0);
    while !level.is_empty() {
        let mut below = Vec::new();
        for nodes in level.chunks(NODES) {
            for found in browse(channel, nodes) {
                count += 1;
                if found.namespace != 0 && seen.insert(found.clone()) {
                    below.push(found);
                }
            }
        }
        level = below;
    }
    count
}

/// Whom these nodes refer to, over continuation points.
fn browse(channel: &mut Channel, nodes: &[NodeId]) -> Vec<NodeId> {
    let down = |node: &NodeId| BrowseDescription {
        node_id: node.clone(),
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMask::All as u32,
    };
    let request = BrowseRequest {
        request_header: channel.header(),
        view: ViewDescription::default(),
        requested_max_references_per_node: REFERENCES,
        nodes_to_browse: Some(nodes.iter().map(down).collect()),
    };
    let ResponseMessage::Browse(answer) = channel.ask(request) else { panic!("no references") };
    let (mut found, mut points) = (Vec::new(), Vec::new());
    let mut results = answer.results.unwrap_or_default();
    loop {
        for result in results {
            let BrowseResult { status_code, continuation_point, references } = result;
            assert!(status_code.is_good(), "{status_code}");
            found.extend(references.into_iter().flatten().map(|reference| reference.node_id.node_id));
            points.extend((!continuation_point.is_null_or_empty()).then_some(continuation_point));
        }
        if points.is_empty() {
            return found;
        }
        let request = BrowseNextRequest {
            request_header: channel.header(),
            release_continuation_points: false,
            continuation_points: Some(std::mem::take(&mut points)),
        };
        let ResponseMessage::BrowseNext(answer) = channel.ask(request) else { panic!("no more references") };
        results = answer.results.unwrap_or_default();
    }
}
