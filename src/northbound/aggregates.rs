//! The AggregateFunction objects: those of Part 13 in the standard's namespace, ours in `urn:uatwin:types`.

use opcua::types::NodeId;

use super::ids;
use crate::aggregate::Aggregate;

/// The object of an Aggregate, given the index of our types' namespace.
pub(super) fn node_id(aggregate: Aggregate, types: u16) -> NodeId {
    let ours = match aggregate {
        Aggregate::Cpk => ids::AGGREGATE_CPK,
        Aggregate::Median => ids::AGGREGATE_MEDIAN,
        Aggregate::Percentile05 => ids::AGGREGATE_PERCENTILE05,
        Aggregate::Percentile95 => ids::AGGREGATE_PERCENTILE95,
        Aggregate::RootMeanSquare => ids::AGGREGATE_ROOT_MEAN_SQUARE,
        _ => 0,
    };
    aggregate.standard_id().map_or_else(|| NodeId::new(types, ours), |id| NodeId::new(0, id))
}

/// The Aggregate of an object.
pub(super) fn of_node(id: &NodeId, types: u16) -> Option<Aggregate> {
    Aggregate::ALL.iter().copied().find(|aggregate| node_id(*aggregate, types) == *id)
}
