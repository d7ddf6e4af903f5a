//! The twins' namespace as the library asks for it. Only delegates: what a node is, `address_space` knows.
//!
//! Must be the last manager: it settles the status of nodes that no other knows (stored managers say Good to any NodeId).

use std::sync::{Arc, OnceLock};

use super::{
    Role, World,
    abandoned::Abandoned,
    access::Access,
    address_space::{AddressSpace, Namespaces, Target},
    events::Listeners,
    history_read::{self, Places, Points},
    history_update, ids, methods,
    publish::{Change, Watches, as_notified},
    quota::Quota,
    roles::{self, Identities},
    users::User,
    values, view,
};
use crate::ua;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use opcua::{
    nodes::DefaultTypeTree,
    server::{
        CreateMonitoredItem,
        diagnostics::NamespaceMetadata,
        node_manager::{
            BrowseNode, BrowsePathItem, DynNodeManager, ExternalReferenceRequest, HistoryNode, HistoryUpdateNode,
            MethodCall, MonitoredItemRef, MonitoredItemUpdateRef, NodeManager, NodeManagerBuilder, NodeManagersRef,
            ReadNode, RegisterNodeItem, RequestContext, ServerContext, WriteNode, get_node_metadata,
        },
    },
    types::{
        AttributeId, MonitoringMode, NodeClass, NodeId, ReadAnnotationDataDetails, ReadAtTimeDetails, ReadEventDetails,
        ReadProcessedDetails, ReadRawModifiedDetails, StatusCode, TimestampsToReturn,
    },
};

/// The address space, once the server has numbered its namespaces (another config makes another one), and who may do what.
#[derive(Clone)]
pub(super) struct SharedSpace {
    space: Arc<OnceLock<ArcSwap<AddressSpace>>>,
    access: Arc<Access>,
    places: Arc<Places>,
    points: Arc<Points>,
    listeners: Arc<Listeners>,
    quota: Arc<Quota>,
    abandoned: Arc<Abandoned>,
}

impl SharedSpace {
    pub(super) fn new(access: Arc<Access>, points: Points, quota: Quota) -> Self {
        Self {
            space: Arc::default(),
            access,
            places: Arc::default(),
            points: Arc::new(points),
            listeners: Arc::default(),
            quota: Arc::new(quota),
            abandoned: Arc::default(),
        }
    }

    /// The present one. A request that has begun with it ends with it.
    pub(super) fn get(&self) -> Option<Arc<AddressSpace>> {
        self.space.get().map(ArcSwap::load_full)
    }

    /// From the next request on.
    pub(super) fn replace(&self, space: Arc<AddressSpace>) {
        if let Some(present) = self.space.get() {
            present.store(space);
        }
    }

    /// Of the nodes in processed reads.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Where reads of history go on.
    pub(super) fn points(&self) -> &Arc<Points> {
        &self.points
    }

    /// Who asks.
    pub(super) fn user(&self, context: &RequestContext) -> Arc<User> {
        self.access.user(&context.token)
    }

    /// Who has a role, as far as who asks may know; `None`: no role's node.
    pub(super) fn identities(&self, context: &RequestContext, node: &NodeId) -> Option<Identities> {
        roles::identities(&self.access, &self.user(context), node)
    }

    /// Who listens to events.
    pub(super) fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    /// Whose clients are gone.
    pub(super) fn abandoned(&self) -> &Abandoned {
        &self.abandoned
    }

    /// How much is taken.
    pub(super) fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Whether there is room for another monitored item; it is taken then.
    pub(super) fn admits(&self, context: &RequestContext, item: &CreateMonitoredItem) -> bool {
        self.abandoned.see(context.session_id, &context.subscriptions);
        self.quota.admits(context.session_id, item)
    }

    /// Takes a monitored item on a notifier; what its status is.
    pub(super) fn listen(&self, context: &RequestContext, item: &CreateMonitoredItem, notifier: &str) -> StatusCode {
        // The library does not give its filter's type a name outside, and without one sends nothing and says nothing.
        if !format!("{:?}", item.filter()).starts_with("EventFilter") {
            return StatusCode::BadEventFilterInvalid;
        }
        let user = self.user(context);
        if !user.may(Role::Observer) {
            return StatusCode::BadUserAccessDenied;
        }
        if !self.admits(context, item) {
            return StatusCode::BadTooManyMonitoredItems;
        }
        self.listeners.add(item, (context.session_id, user), notifier.to_owned());
        StatusCode::Good
    }

    /// Items whose queues have another length now.
    pub(super) fn resized(&self, items: &[&MonitoredItemUpdateRef]) {
        for item in items.iter().filter(|item| item.status_code().is_good()) {
            let places = usize::try_from(item.update().revised_queue_size).unwrap_or(usize::MAX);
            self.quota.resized(item.handle(), places);
        }
    }

    pub(super) fn set_listening(&self, items: &[&MonitoredItemRef], mode: MonitoringMode) {
        let of_events = items.iter().filter(|item| item.attribute() == AttributeId::EventNotifier);
        of_events.for_each(|item| self.listeners.set_mode(item.handle(), mode));
    }

    pub(super) fn unlisten(&self, items: &[&MonitoredItemRef]) {
        items.iter().for_each(|item| self.quota.give_back(item.handle()));
        let of_events = items.iter().filter(|item| item.attribute() == AttributeId::EventNotifier);
        of_events.for_each(|item| self.listeners.remove(item.handle()));
    }
}

/// Builds [`TwinNodes`] when the namespaces before it have their indices.
pub(super) struct TwinNodesBuilder {
    pub(super) world: World,
    pub(super) namespace: String,
    pub(super) shared: SharedSpace,
    pub(super) watches: Arc<Watches>,
}

impl NodeManagerBuilder for TwinNodesBuilder {
    fn build(self: Box<Self>, context: ServerContext) -> Arc<DynNodeManager> {
        let namespaces = {
            let mut types = context.type_tree.write();
            let map = types.namespaces_mut();
            let (types, ia) = (map.add_namespace(ids::TYPES_NAMESPACE), map.add_namespace(ids::IA_NAMESPACE));
            let twins = map.add_namespace(&self.namespace);
            let last = map.known_namespaces().values().max().copied().unwrap_or(twins);
            Namespaces { types, ia, twins, last }
        };
        let Self { world, namespace, shared, watches } = *self;
        shared.space.get_or_init(|| ArcSwap::from_pointee(AddressSpace::new(world, namespaces)));
        Arc::new(TwinNodes { namespaces, namespace, shared: shared.clone(), watches, managers: OnceLock::new() })
    }
}

struct TwinNodes {
    namespaces: Namespaces,
    namespace: String,
    shared: SharedSpace,
    watches: Arc<Watches>,
    managers: OnceLock<NodeManagersRef>,
}

impl TwinNodes {
    fn space(&self) -> Arc<AddressSpace> {
        self.shared.get().expect("it was made before this manager")
    }
}

#[async_trait]
impl NodeManager for TwinNodes {
    /// Those of a namespace that nobody has, too: else the library leaves them out of what it asks, and a processed read has
    /// one aggregate per node.
    fn owns_node(&self, id: &NodeId) -> bool {
        id.namespace == self.namespaces.twins || id.namespace > self.namespaces.last
    }

    fn name(&self) -> &str {
        "twins"
    }

    /// History of the `Server` object.
    fn owns_server_events(&self) -> bool {
        true
    }

    fn namespaces_for_user(&self, _: &RequestContext) -> Vec<NamespaceMetadata> {
        vec![NamespaceMetadata {
            namespace_uri: self.namespace.clone(),
            namespace_index: self.namespaces.twins,
            is_namespace_subset: Some(false),
            ..NamespaceMetadata::default()
        }]
    }

    async fn init(&self, types: &mut DefaultTypeTree, context: ServerContext) {
        let _ = self.managers.set(context.node_managers);
        self.space()
            .type_ids()
            .for_each(|id| types.add_type_node(&id, &self.space().twin_type_id(), NodeClass::ObjectType));
    }

    async fn resolve_external_references(&self, context: &RequestContext, items: &mut [&mut ExternalReferenceRequest]) {
        let space = self.space();
        let user = self.shared.user(context);
        for item in items {
            if let Some(node) = space.visible(&user, item.node_id()) {
                item.set(space.metadata(&Target::Node(node)));
            }
        }
    }

    async fn browse(&self, context: &RequestContext, nodes: &mut [BrowseNode]) -> Result<(), StatusCode> {
        let space = self.space();
        // A BrowseNext that begins here begins with Bad_NodeIdUnknown, and a stored manager says Good to any NodeId.
        if let Some(managers) = self.managers.get() {
            for out in nodes.iter_mut().filter(|out| !self.owns_node(out.node_id())) {
                let is_known = out.result_len() > 0
                    || out.any_external_refs()
                    || get_node_metadata(context, managers, &[out.node_id().clone()]).await.iter().any(Option::is_some);
                out.set_status(if is_known { StatusCode::Good } else { StatusCode::BadNodeIdUnknown });
            }
        }
        let user = self.shared.user(context);
        let types = context.get_type_tree_for_user();
        for out in nodes {
            match space.visible(&user, out.node_id()) {
                Some(node) => {
                    out.set_status(StatusCode::Good);
                    let references = space.references(node);
                    view::page((&space, &user), out, types.get(), |i| references.get(i));
                }
                None if self.owns_node(out.node_id()) => out.set_status(StatusCode::BadNodeIdUnknown),
                None => {
                    let id = out.node_id().clone();
                    if space.reference_of_foreign(&id, 0).is_some() {
                        let reference = |i| space.reference_of_foreign(&id, i);
                        view::page((&space, &user), out, types.get(), reference);
                    }
                }
            }
        }
        Ok(())
    }

    async fn translate_browse_paths_to_node_ids(
        &self,
        context: &RequestContext,
        items: &mut [&mut BrowsePathItem],
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let user = self.shared.user(context);
        let types = context.get_type_tree_for_user();
        for item in items {
            let start = space.visible(&user, item.node_id());
            if let Some(name) = item.unmatched_browse_name() {
                if !start.is_some_and(|node| space.is_named(node, name)) {
                    continue;
                }
                item.set_browse_name_matched(context.current_node_manager_index);
            }
            let mut from = start;
            for (depth, element) in item.path().iter().enumerate() {
                if from.is_none() && depth > 0 {
                    break; // with another manager, which goes on from there
                }
                let to = view::step((&space, &user), from, item.node_id(), element, types.get());
                let Some(target) = to else { break };
                item.add_element(space.target_id(&target), depth + 1, None);
                from = match target {
                    Target::Node(node) => Some(node),
                    Target::Foreign(_) => None,
                };
            }
        }
        Ok(())
    }

    async fn register_nodes(&self, _: &RequestContext, nodes: &mut [&mut RegisterNodeItem]) -> Result<(), StatusCode> {
        // One that is left out would shift the answer.
        nodes.iter_mut().for_each(|node| node.set_registered(true));
        Ok(())
    }

    async fn read(
        &self,
        context: &RequestContext,
        _: f64,
        stamps: TimestampsToReturn,
        nodes: &mut [&mut ReadNode],
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let user = self.shared.user(context);
        let wanted = nodes.iter().filter_map(|node| space.visible(&user, &node.node().node_id));
        let extents = values::extents(&space, wanted).await;
        let now = ua::given(space.world.clock.now());
        let source = matches!(stamps, TimestampsToReturn::Source | TimestampsToReturn::Both);
        let server = matches!(stamps, TimestampsToReturn::Server | TimestampsToReturn::Both);
        for node in nodes {
            match values::read(&space, &user, node.node(), &extents) {
                Err(status) => node.set_error(status),
                Ok(mut value) => {
                    value.source_timestamp = value.source_timestamp.filter(|_| source);
                    value.server_timestamp = now.filter(|_| server);
                    node.set_result(value);
                }
            }
        }
        Ok(())
    }

    async fn write(&self, context: &RequestContext, nodes: &mut [&mut WriteNode]) -> Result<(), StatusCode> {
        let space = self.space();
        let user = self.shared.user(context);
        for node in nodes {
            let status = values::write(&space, (&user, &context.token.0), node.value()).await;
            node.set_status(status);
        }
        Ok(())
    }

    async fn history_read_raw_modified(
        &self,
        context: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let asker = (context, &*self.shared.user(context));
        history_read::raw_modified(&space, self.shared.points(), asker, details, nodes, stamps).await
    }

    async fn history_read_processed(
        &self,
        context: &RequestContext,
        details: &ReadProcessedDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let kept = (&**self.shared.points(), self.shared.places());
        let asker = (context, &*self.shared.user(context));
        history_read::processed(&space, kept, asker, details, nodes, stamps).await
    }

    async fn history_read_at_time(
        &self,
        context: &RequestContext,
        details: &ReadAtTimeDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let asker = (context, &*self.shared.user(context));
        history_read::at_time(&space, self.shared.points(), asker, details, nodes, stamps).await
    }

    async fn history_read_events(
        &self,
        context: &RequestContext,
        details: &ReadEventDetails,
        nodes: &mut [&mut HistoryNode],
        _: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let asker = (context, self.shared.user(context));
        history_read::events(&space, self.shared.points(), asker, details, nodes).await
    }

    async fn history_read_annotations(
        &self,
        context: &RequestContext,
        details: &ReadAnnotationDataDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let asker = (context, &*self.shared.user(context));
        history_read::annotation_data(&space, self.shared.points(), asker, details, nodes, stamps).await
    }

    async fn history_update(
        &self,
        context: &RequestContext,
        nodes: &mut [&mut HistoryUpdateNode],
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let user = self.shared.user(context);
        history_update::update(&space, (&user, &context.token.0), nodes).await
    }

    async fn create_monitored_items(
        &self,
        context: &RequestContext,
        items: &mut [&mut CreateMonitoredItem],
    ) -> Result<(), StatusCode> {
        let space = self.space();
        let user = self.shared.user(context);
        let wanted = items.iter().filter_map(|item| space.visible(&user, &item.item_to_monitor().node_id));
        let extents = values::extents(&space, wanted).await;
        for item in items {
            if item.item_to_monitor().attribute_id == AttributeId::EventNotifier {
                let node = space.visible(&user, &item.item_to_monitor().node_id);
                let notifier = node.and_then(|node| space.notifier(node));
                item.set_status(match (node, notifier) {
                    (_, Some(notifier)) => self.shared.listen(context, item, notifier),
                    (Some(_), None) => StatusCode::BadAttributeIdInvalid,
                    (None, None) => StatusCode::BadNodeIdUnknown,
                });
                continue;
            }
            match values::to_monitor(&space, &user, item.item_to_monitor(), &extents) {
                Err(status) => item.set_status(status),
                Ok(_) if !self.shared.admits(context, item) => item.set_status(StatusCode::BadTooManyMonitoredItems),
                Ok(value) => {
                    if item.item_to_monitor().attribute_id == AttributeId::Value {
                        self.watches.add(&self.shared, (context.session_id, &user), item, &value);
                    }
                    item.set_initial_value(as_notified(value));
                    item.set_status(StatusCode::Good);
                }
            }
        }
        Ok(())
    }

    async fn modify_monitored_items(&self, _: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        self.shared.resized(items);
        for item in items.iter().filter(|item| item.attribute() == AttributeId::Value && item.status_code().is_good()) {
            let change = Change::SamplingInterval(item.update().revised_sampling_interval);
            self.watches.update(&self.shared, item.node_id(), item.handle(), change);
        }
    }

    async fn set_monitoring_mode(&self, _: &RequestContext, mode: MonitoringMode, items: &[&MonitoredItemRef]) {
        self.shared.set_listening(items, mode);
        for item in items.iter().filter(|item| item.attribute() == AttributeId::Value) {
            self.watches.update(&self.shared, item.node_id(), item.handle(), Change::Mode(mode));
        }
    }

    async fn delete_monitored_items(&self, _: &RequestContext, items: &[&MonitoredItemRef]) {
        self.shared.unlisten(items);
        for item in items.iter().filter(|item| item.attribute() == AttributeId::Value) {
            self.watches.update(&self.shared, item.node_id(), item.handle(), Change::Delete);
        }
    }

    async fn call(&self, context: &RequestContext, calls: &mut [&mut MethodCall]) -> Result<(), StatusCode> {
        let space = self.space();
        let user = self.shared.user(context);
        for call in calls {
            methods::call_if_free((&space, self.shared.quota()), context, &user, call).await;
        }
        Ok(())
    }
}
