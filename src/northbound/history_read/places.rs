//! Which place a node has in its request. ReadProcessedDetails has one aggregate per node of the request, and the library
//! (0.19) gives each manager its own nodes only, in an order of its own making. But all nodes of a request stand in one
//! vector: their addresses tell their places. What the managers before ours were given is noted until ours is asked.
//!
//! Out of reach: nodes whose continuation point is no longer valid, which no manager is given. Where they are at the beginning
//! or end of a request, its other nodes are told Bad_AggregateListMismatch, unless all want the same aggregate.

use std::{
    collections::VecDeque,
    mem::size_of,
    sync::{Mutex, PoisonError},
};

use opcua::server::node_manager::{HistoryNode, RequestContext};

/// Requests that are under way at one time; an older note is of one that had no node of ours.
const NOTES_MAX: usize = 64;

/// Addresses of other managers' nodes, by request.
#[derive(Default)]
pub(in crate::northbound) struct Places {
    /// With a clone of its context, so that no later request has the same one.
    notes: Mutex<VecDeque<(RequestContext, Vec<usize>)>>,
}

/// All managers get clones of one context.
fn is_same(a: &RequestContext, b: &RequestContext) -> bool {
    std::ptr::eq(&**a, &**b)
}

fn addresses(nodes: &[&mut HistoryNode]) -> Vec<usize> {
    nodes.iter().map(|node| std::ptr::from_ref(&**node).addr()).collect()
}

impl Places {
    /// Notes what another manager was given.
    pub(in crate::northbound) fn note(&self, context: &RequestContext, nodes: &[&mut HistoryNode]) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= NOTES_MAX {
            notes.pop_front();
        }
        notes.push_back((context.clone(), addresses(nodes)));
    }

    /// The place among `asked` of what is asked of each of our nodes; `None`: the request has another number of nodes.
    pub(super) fn of<T: PartialEq>(
        &self,
        context: &RequestContext,
        nodes: &[&mut HistoryNode],
        asked: &[T],
    ) -> Option<Vec<usize>> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let noted: Vec<usize> =
            notes.iter().filter(|(of, _)| is_same(of, context)).flat_map(|(_, addresses)| addresses.clone()).collect();
        notes.retain(|(of, _)| !is_same(of, context));
        let found = places(&addresses(nodes), &noted, asked.len());
        let goes_on = nodes.iter().any(|node| node.continuation_point().is_some());
        let is_one = nodes.len() + noted.len() <= asked.len() && asked.windows(2).all(|pair| pair[0] == pair[1]);
        found.or_else(|| (goes_on && is_one).then(|| vec![0; nodes.len()]))
    }
}

fn places(ours: &[usize], others: &[usize], len: usize) -> Option<Vec<usize>> {
    let all = || ours.iter().chain(others).copied();
    let (first, last) = (all().min()?, all().max()?);
    let place = |address: usize| (address - first) / size_of::<HistoryNode>();
    (place(last) + 1 == len).then(|| ours.iter().map(|address| place(*address)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_places_whatever_their_order() {
        let at = |i: usize| 4096 + i * size_of::<HistoryNode>();
        assert_eq!(places(&[at(2), at(0), at(1)], &[], 3), Some(vec![2, 0, 1]));
        assert_eq!(places(&[at(2), at(1)], &[at(0)], 3), Some(vec![2, 1]));
        assert_eq!(places(&[at(2), at(0)], &[], 3), Some(vec![2, 0]));
        assert_eq!(places(&[at(0), at(1)], &[], 3), None);
        assert_eq!(places(&[at(0), at(1)], &[], 1), None);
    }
}
