//! Around a manager of the library: everything is delegated, but for values that it leaves empty or hard-codes, and calls
//! that only the instance's manager can answer (they are routed by MethodId, and the type's is not ours).

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use opcua::{
    nodes::DefaultTypeTree,
    server::{
        CreateMonitoredItem,
        diagnostics::NamespaceMetadata,
        node_manager::{
            AddNodeItem, AddReferenceItem, BrowseNode, BrowsePathItem, DeleteNodeItem, DeleteReferenceItem,
            DynNodeManager, ExternalReferenceRequest, HistoryNode, HistoryUpdateNode, MethodCall, MonitoredItemRef,
            MonitoredItemUpdateRef, NodeManager, NodeManagerBuilder, ParsedReadValueId, QueryRequest, ReadNode,
            RegisterNodeItem, RequestContext, ServerContext, WriteNode,
        },
    },
    types::{
        AttributeId, DataValue, ExpandedNodeId, NodeId, NumericRange, ObjectId, ReadAnnotationDataDetails,
        ReadAtTimeDetails, ReadEventDetails, ReadProcessedDetails, ReadRawModifiedDetails, StatusCode,
        TimestampsToReturn, UAString, VariableId, Variant,
    },
};

use super::{
    Limits,
    address_space::TELLS_EVENTS,
    configuration, events, history_read, methods,
    node_manager::SharedSpace,
    range,
    roles::{self, Identities},
};

/// A manager of the library with what it lacks.
pub(super) struct Decorated {
    inner: Arc<DynNodeManager>,
    space: SharedSpace,
    values: HashMap<NodeId, Variant>,
}

/// Builds a [`Decorated`] around what `inner` builds.
pub(super) struct Decorate<B> {
    pub(super) inner: B,
    pub(super) space: SharedSpace,
    pub(super) values: HashMap<NodeId, Variant>,
}

impl<B: NodeManagerBuilder + 'static> NodeManagerBuilder for Decorate<B> {
    fn build(self: Box<Self>, context: ServerContext) -> Arc<DynNodeManager> {
        let Self { inner, space, values } = *self;
        Arc::new(Decorated { inner: Box::new(inner).build(context), space, values })
    }
}

/// What the server can do, said truly (the library hard-codes these to "nothing").
pub(super) fn server_values(limits: &Limits) -> HashMap<NodeId, Variant> {
    use VariableId as V;
    let no = [
        V::HistoryServerCapabilities_InsertEventCapability,
        V::HistoryServerCapabilities_ReplaceEventCapability,
        V::HistoryServerCapabilities_UpdateEventCapability,
        V::HistoryServerCapabilities_DeleteEventCapability,
    ];
    let yes = [
        V::Server_Auditing,
        V::HistoryServerCapabilities_AccessHistoryDataCapability,
        V::HistoryServerCapabilities_AccessHistoryEventsCapability,
        V::HistoryServerCapabilities_InsertDataCapability,
        V::HistoryServerCapabilities_ReplaceDataCapability,
        V::HistoryServerCapabilities_UpdateDataCapability,
        V::HistoryServerCapabilities_DeleteRawCapability,
        V::HistoryServerCapabilities_DeleteAtTimeCapability,
        V::HistoryServerCapabilities_InsertAnnotationCapability,
        V::HistoryServerCapabilities_ServerTimestampSupported,
    ];
    // Facets only: a full profile asks for what is not there yet (certificate push, users).
    let profiles = [
        "http://opcfoundation.org/UA-Profile/Server/StandardDataChangeSubscription2022",
        "http://opcfoundation.org/UA-Profile/Server/DataAccess",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalRawData2022",
        "http://opcfoundation.org/UA-Profile/Server/AggregateHistorical2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalDataAtTime2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalModifiedData2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalDataUpdate2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalDataInsert2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalDataReplace2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalDataDelete2022",
        "http://opcfoundation.org/UA-Profile/Server/HistoricalAnnotation2022",
        "http://opcfoundation.org/UA-Profile/Server/Methods2022",
        "http://opcfoundation.org/UA-Profile/Server/StandardEventSubscription2022",
        "http://opcfoundation.org/UA-Profile/Server/BaseHistoricalEvent2022",
        "http://opcfoundation.org/UA-Profile/Server/ACBaseCondition2022",
        "http://opcfoundation.org/UA-Profile/Server/ACAckAlarm2022",
    ];
    let flags = no.map(|id| (id, false)).into_iter().chain(yes.map(|id| (id, true)));
    let mut values = roles::values();
    values.extend(flags.map(|(id, flag)| (NodeId::from(id), Variant::Boolean(flag))));
    let texts = |texts: &[&str]| Variant::from(texts.iter().map(|text| UAString::from(*text)).collect::<Vec<_>>());
    values.extend([
        (V::HistoryServerCapabilities_MaxReturnDataValues.into(), Variant::UInt32(history_read::PAGE)),
        (V::HistoryServerCapabilities_MaxReturnEventValues.into(), Variant::UInt32(history_read::EVENTS_MAX)),
        (V::Server_ServerCapabilities_ServerProfileArray.into(), texts(&profiles)),
        (V::Server_ServerCapabilities_LocaleIdArray.into(), texts(&["en"])),
        (
            V::Server_ServerCapabilities_MaxHistoryContinuationPoints.into(),
            Variant::UInt16(u16::try_from(limits.history_continuation_points).unwrap_or(u16::MAX)),
        ),
    ]);
    let count = |limit: usize| Variant::UInt32(u32::try_from(limit).unwrap_or(u32::MAX));
    let subscriptions = limits.sessions.saturating_mul(limits.subscriptions_per_session);
    values.extend([
        (V::Server_ServerCapabilities_MaxSessions.into(), count(limits.sessions)),
        (V::Server_ServerCapabilities_MaxSubscriptions.into(), count(subscriptions)),
        (V::Server_ServerCapabilities_MaxSubscriptionsPerSession.into(), count(limits.subscriptions_per_session)),
        (V::Server_ServerCapabilities_MaxMonitoredItems.into(), count(limits.monitored_items)),
        (
            V::Server_ServerCapabilities_MaxMonitoredItemsPerSubscription.into(),
            count(limits.monitored_items_per_subscription),
        ),
        (V::Server_ServerCapabilities_MaxMonitoredItemsQueueSize.into(), count(limits.queue_size)),
    ]);
    values
}

impl Decorated {
    fn value(
        &self,
        context: &RequestContext,
        wanted: &ParsedReadValueId,
        range: &NumericRange,
    ) -> Option<Result<DataValue, StatusCode>> {
        let identities = || self.space.identities(context, &wanted.node_id);
        let configuration = || configuration::value(&*self.space.get()?, &self.space.user(context), &wanted.node_id);
        let value = match wanted.attribute_id {
            AttributeId::Value => match (self.values.get(&wanted.node_id), configuration()) {
                (Some(value), _) => value.clone(),
                (None, Some(Ok(value))) => value,
                (None, Some(Err(status))) => return Some(Err(status)),
                (None, None) => match identities()? {
                    Identities::Denied => return Some(Err(StatusCode::BadUserAccessDenied)),
                    Identities::Rules(rules) => rules,
                },
            },
            AttributeId::UserAccessLevel if configuration().is_some_and(|value| value.is_err()) => Variant::Byte(0),
            AttributeId::UserAccessLevel => match identities()? {
                Identities::Denied => Variant::Byte(0),
                Identities::Rules(_) => return None,
            },
            // The standard's NodeSet has no history of its events.
            AttributeId::EventNotifier if wanted.node_id == ObjectId::Server => TELLS_EVENTS.into(),
            _ => return None,
        };
        Some(range::part(value, range).map(DataValue::new_now))
    }
}

/// Those calls to the front that are meant, and the others.
fn parted<'a, 'b>(
    calls: &'a mut [&'b mut MethodCall],
    is_meant: impl Fn(&MethodCall) -> bool,
) -> (&'a mut [&'b mut MethodCall], &'a mut [&'b mut MethodCall]) {
    let mut meant = 0;
    for i in 0..calls.len() {
        if is_meant(calls[i]) {
            calls.swap(meant, i);
            meant += 1;
        }
    }
    calls.split_at_mut(meant)
}

#[async_trait]
impl NodeManager for Decorated {
    async fn read(
        &self,
        context: &RequestContext,
        max_age: f64,
        stamps: TimestampsToReturn,
        nodes: &mut [&mut ReadNode],
    ) -> Result<(), StatusCode> {
        self.inner.read(context, max_age, stamps, nodes).await?;
        for node in nodes {
            let Some(value) = self.value(context, node.node(), &node.node().index_range) else { continue };
            let mut value = match value {
                Ok(value) => value,
                Err(status) => {
                    node.set_error(status);
                    continue;
                }
            };
            if !matches!(stamps, TimestampsToReturn::Source | TimestampsToReturn::Both) {
                value.source_timestamp = None;
            }
            if !matches!(stamps, TimestampsToReturn::Server | TimestampsToReturn::Both) {
                value.server_timestamp = None;
            }
            node.set_result(value);
        }
        Ok(())
    }

    async fn create_monitored_items(
        &self,
        context: &RequestContext,
        items: &mut [&mut CreateMonitoredItem],
    ) -> Result<(), StatusCode> {
        self.inner.create_monitored_items(context, items).await?;
        for item in items {
            let wanted = item.item_to_monitor();
            if wanted.attribute_id == AttributeId::EventNotifier
                && wanted.node_id == ObjectId::Server
                && item.status_code().is_good()
            {
                let status = self.space.listen(context, item, "");
                item.set_status(status);
                continue;
            }
            if item.status_code().is_good() && !self.space.admits(context, item) {
                item.set_status(StatusCode::BadTooManyMonitoredItems);
                continue;
            }
            // Whole: the library cuts it.
            match self.value(context, item.item_to_monitor(), &NumericRange::None) {
                Some(Ok(value)) => item.set_initial_value(value),
                Some(Err(status)) => item.set_status(status),
                None => {}
            }
        }
        Ok(())
    }

    async fn call(&self, context: &RequestContext, calls: &mut [&mut MethodCall]) -> Result<(), StatusCode> {
        let space = self.space.get().ok_or(StatusCode::BadServerHalted)?;
        let (ours, theirs) = parted(calls, |call| methods::is_ours(&space, call));
        for call in ours {
            let user = self.space.user(context);
            methods::call_if_free((&space, self.space.quota()), context, &user, call).await;
        }
        let (reloads, theirs) = parted(theirs, |call| configuration::is_reload(&space, call));
        for call in reloads {
            configuration::reload(&space, context, &self.space.user(context), call).await;
        }
        let (refreshes, theirs) = parted(theirs, events::is_refresh);
        for call in refreshes {
            let user = self.space.user(context);
            let status = events::refresh(&space, (context, &user), self.space.listeners(), call);
            call.set_status(status);
        }
        if theirs.is_empty() { Ok(()) } else { self.inner.call(context, theirs).await }
    }

    fn owns_node(&self, id: &NodeId) -> bool {
        self.inner.owns_node(id)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn owns_server_events(&self) -> bool {
        self.inner.owns_server_events()
    }

    fn handle_new_node(&self, parent: &ExpandedNodeId) -> bool {
        self.inner.handle_new_node(parent)
    }

    fn namespaces_for_user(&self, context: &RequestContext) -> Vec<NamespaceMetadata> {
        self.inner.namespaces_for_user(context)
    }

    async fn init(&self, types: &mut DefaultTypeTree, context: ServerContext) {
        self.inner.init(types, context).await;
    }

    async fn resolve_external_references(&self, c: &RequestContext, items: &mut [&mut ExternalReferenceRequest]) {
        self.inner.resolve_external_references(c, items).await;
    }

    async fn write(&self, c: &RequestContext, nodes: &mut [&mut WriteNode]) -> Result<(), StatusCode> {
        self.inner.write(c, nodes).await
    }

    async fn browse(&self, c: &RequestContext, nodes: &mut [BrowseNode]) -> Result<(), StatusCode> {
        self.inner.browse(c, nodes).await
    }

    async fn translate_browse_paths_to_node_ids(
        &self,
        c: &RequestContext,
        nodes: &mut [&mut BrowsePathItem],
    ) -> Result<(), StatusCode> {
        self.inner.translate_browse_paths_to_node_ids(c, nodes).await
    }

    async fn register_nodes(&self, c: &RequestContext, nodes: &mut [&mut RegisterNodeItem]) -> Result<(), StatusCode> {
        self.inner.register_nodes(c, nodes).await
    }

    async fn unregister_nodes(&self, c: &RequestContext, nodes: &[&NodeId]) -> Result<(), StatusCode> {
        self.inner.unregister_nodes(c, nodes).await
    }

    async fn history_read_raw_modified(
        &self,
        c: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.inner.history_read_raw_modified(c, details, nodes, stamps).await
    }

    async fn history_read_processed(
        &self,
        c: &RequestContext,
        details: &ReadProcessedDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.space.places().note(c, nodes);
        self.inner.history_read_processed(c, details, nodes, stamps).await
    }

    async fn history_read_at_time(
        &self,
        c: &RequestContext,
        details: &ReadAtTimeDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.inner.history_read_at_time(c, details, nodes, stamps).await
    }

    async fn history_read_events(
        &self,
        c: &RequestContext,
        details: &ReadEventDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.inner.history_read_events(c, details, nodes, stamps).await
    }

    async fn history_read_annotations(
        &self,
        c: &RequestContext,
        details: &ReadAnnotationDataDetails,
        nodes: &mut [&mut HistoryNode],
        stamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        self.inner.history_read_annotations(c, details, nodes, stamps).await
    }

    async fn history_update(&self, c: &RequestContext, nodes: &mut [&mut HistoryUpdateNode]) -> Result<(), StatusCode> {
        self.inner.history_update(c, nodes).await
    }

    async fn modify_monitored_items(&self, c: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        self.space.resized(items);
        self.inner.modify_monitored_items(c, items).await;
    }

    async fn set_monitoring_mode(
        &self,
        c: &RequestContext,
        mode: opcua::types::MonitoringMode,
        items: &[&MonitoredItemRef],
    ) {
        self.space.set_listening(items, mode);
        self.inner.set_monitoring_mode(c, mode, items).await;
    }

    async fn delete_monitored_items(&self, c: &RequestContext, items: &[&MonitoredItemRef]) {
        self.space.unlisten(items);
        self.inner.delete_monitored_items(c, items).await;
    }

    async fn query(&self, c: &RequestContext, request: &mut QueryRequest) -> Result<(), StatusCode> {
        self.inner.query(c, request).await
    }

    async fn add_nodes(&self, c: &RequestContext, nodes: &mut [&mut AddNodeItem]) -> Result<(), StatusCode> {
        self.inner.add_nodes(c, nodes).await
    }

    async fn add_references(&self, c: &RequestContext, items: &mut [&mut AddReferenceItem]) -> Result<(), StatusCode> {
        self.inner.add_references(c, items).await
    }

    async fn delete_nodes(&self, c: &RequestContext, nodes: &mut [&mut DeleteNodeItem]) -> Result<(), StatusCode> {
        self.inner.delete_nodes(c, nodes).await
    }

    async fn delete_node_references(&self, c: &RequestContext, nodes: &[&DeleteNodeItem]) {
        self.inner.delete_node_references(c, nodes).await;
    }

    async fn delete_references(
        &self,
        c: &RequestContext,
        items: &mut [&mut DeleteReferenceItem],
    ) -> Result<(), StatusCode> {
        self.inner.delete_references(c, items).await
    }
}
