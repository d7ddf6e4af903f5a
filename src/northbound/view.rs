//! Browse and TranslateBrowsePaths over the address space: filters, pages, one step of a path.

use opcua::{
    nodes::TypeTree,
    server::node_manager::BrowseNode,
    types::{NodeClass, NodeId, RelativePathElement, StatusCode},
};

use super::{
    address_space::{AddressSpace, Kind, Node, Reference, Target},
    users::User,
};

/// Where a browse goes on.
struct Page {
    next: usize,
}

/// The references that a browse asks for, from where it stopped.
pub(super) fn page(
    (space, user): (&AddressSpace, &User),
    out: &mut BrowseNode,
    types: &dyn TypeTree,
    reference: impl Fn(usize) -> Option<Reference>,
) {
    let filter = out.reference_type_id();
    if !filter.is_null() && types.get(filter) != Some(NodeClass::ReferenceType) {
        return out.set_status(StatusCode::BadReferenceTypeIdInvalid);
    }
    let allowed = Kind::ALL.map(|kind| out.allows_reference_type(space.kind_id(kind), types));
    let start = out.continuation_point::<Page>().map_or(0, |page| page.next);
    for i in start.. {
        let Some(reference) = reference(i) else { break };
        let direction = if reference.forward { out.allows_forward() } else { out.allows_inverse() };
        let kind = allowed.get(reference.kind as usize).is_some_and(|allowed| *allowed);
        let is_there = space.is_target_visible(user, &reference.target);
        if !direction || !kind || !is_there || !out.allows_node_class(space.target_class(&reference.target)) {
            continue;
        }
        if out.remaining() == 0 {
            out.set_next_continuation_point(Box::new(Page { next: i }));
            break;
        }
        let described = space.describe(&reference, out.result_mask());
        out.add_unchecked(described);
    }
}

/// One step of a browse path, from one of our nodes or from another manager's (`id`) that refers to ours.
pub(super) fn step(
    (space, user): (&AddressSpace, &User),
    from: Option<Node>,
    id: &NodeId,
    element: &RelativePathElement,
    types: &dyn TypeTree,
) -> Option<Target> {
    let kind = &element.reference_type_id;
    let follows = |reference: &Reference| {
        let own = space.kind_id(reference.kind);
        let of_kind = kind.is_null() || own == kind || (element.include_subtypes && types.is_subtype_of(own, kind));
        reference.forward != element.is_inverse && of_kind
    };
    let named = |reference: &Reference| match &reference.target {
        Target::Node(node) => space.is_named(*node, &element.target_name),
        target @ Target::Foreign(_) => space.metadata(target).browse_name == element.target_name,
    };
    let fits = |reference: &Reference| {
        follows(reference) && named(reference) && space.is_target_visible(user, &reference.target)
    };
    let found = match from {
        // Among ten thousand twins one is found by its name, not by going through all of them.
        Some(node) => {
            let child = space.child_by_browse_name(node, element.target_name.name.as_ref());
            let direct = child.map(|child| space.reference_to_child(child)).filter(fits);
            direct.or_else(|| space.references(node).iter().find(fits))
        }
        None => (0..).map_while(|i| space.reference_of_foreign(id, i)).find(fits),
    };
    found.map(|reference| reference.target)
}
