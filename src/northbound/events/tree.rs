//! The types that event filters are checked against. The library (0.19) leaves out a select clause that it does not know, so
//! that every field after it comes one place too early, and it knows no inherited members: here a clause is looked up in the
//! supertypes too, and one that no type has is null in every event, never a shift.

use std::sync::{Arc, LazyLock};

use opcua::{
    nodes::{DefaultTypeTree, NamespaceMap, TypeProperty, TypeTree, TypeTreeNode},
    server::node_manager::{RequestContext, TypeTreeForUser, TypeTreeForUserStatic, TypeTreeReadContext},
    sync::RwLock,
    types::{NodeClass, NodeId, QualifiedName},
};

use crate::northbound::address_space::AddressSpace;

/// What a clause of an unknown field is taken for.
static NO_FIELD: LazyLock<TypeProperty> =
    LazyLock::new(|| TypeProperty { node_id: NodeId::null(), node_class: NodeClass::Variable });
/// What a clause without a path means: the event's, or the condition's, own NodeId.
static ITSELF: LazyLock<TypeProperty> =
    LazyLock::new(|| TypeProperty { node_id: NodeId::null(), node_class: NodeClass::Object });

/// The server's types, with the above.
struct EventTypes<T>(T);

impl<T: TypeTreeReadContext> TypeTree for EventTypes<T> {
    fn is_subtype_of(&self, child: &NodeId, ancestor: &NodeId) -> bool {
        self.0.get().is_subtype_of(child, ancestor)
    }

    fn get_node<'a>(&'a self, node: &NodeId) -> Option<TypeTreeNode<'a>> {
        self.0.get().get_node(node)
    }

    fn get(&self, node: &NodeId) -> Option<NodeClass> {
        self.0.get().get(node)
    }

    fn find_type_prop_by_browse_path(&self, type_id: &NodeId, path: &[QualifiedName]) -> Option<&TypeProperty> {
        if path.is_empty() {
            return Some(&ITSELF);
        }
        let types = self.0.get();
        let lineage = std::iter::successors(Some(type_id), |id| types.get_supertype(id));
        let found = lineage.into_iter().find_map(|id| types.find_type_prop_by_browse_path(id, path));
        found.or(Some(&NO_FIELD))
    }

    fn get_supertype<'a>(&'a self, node: &NodeId) -> Option<&'a NodeId> {
        self.0.get().get_supertype(node)
    }

    fn namespaces(&self) -> &NamespaceMap {
        self.0.get().namespaces()
    }
}

impl<T: TypeTreeReadContext> TypeTreeReadContext for EventTypes<T> {
    fn get(&self) -> &dyn TypeTree {
        self
    }
}

/// Gives every user the same types.
pub(in crate::northbound) struct EventTypesForUser;

impl TypeTreeForUser for EventTypesForUser {
    fn get_type_tree_for_user<'a>(&'a self, context: &'a RequestContext) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(EventTypes(context.type_tree().read()))
    }

    fn get_type_tree_static(&self, context: &RequestContext) -> Arc<dyn TypeTreeForUserStatic> {
        Arc::new(SharedTypes(Arc::clone(&context.type_tree)))
    }
}

/// The same without a request.
pub(in crate::northbound) struct SharedTypes(pub(in crate::northbound) Arc<RwLock<DefaultTypeTree>>);

impl SharedTypes {
    /// Another config: some twin types have gone, others come.
    pub(in crate::northbound) fn follow(&self, before: &AddressSpace, now: &AddressSpace) {
        let mut types = self.0.write();
        before.type_ids().for_each(|id| _ = types.remove(&id));
        now.type_ids().for_each(|id| types.add_type_node(&id, &now.twin_type_id(), NodeClass::ObjectType));
    }
}

impl TypeTreeForUserStatic for SharedTypes {
    fn get_type_tree<'a>(&'a self) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(EventTypes(self.0.read()))
    }
}
