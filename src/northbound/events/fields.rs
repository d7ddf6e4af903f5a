//! An event as the library asks for it: its fields by the paths of select and where clauses (OPC 10000-4 §7.4.4.5).

use opcua::{
    nodes::{Event as UaEvent, TypeTree},
    types::{
        AttributeId, DateTime, LocalizedText, NodeId, NumericRange, ObjectTypeId, QualifiedName, Variant,
        event_field::EventField,
    },
};

use super::{
    model_change, table,
    where_clause::{Asked, Field},
};
use crate::{
    event::{Event, Source},
    northbound::{
        address_space::{AddressSpace, Namespace},
        ids, range,
    },
    sample::Value,
    ua,
};

/// An event with what its names mean in this server.
pub(in crate::northbound) struct Told<'a> {
    space: &'a AddressSpace,
    event: &'a Event,
    types: &'a dyn TypeTree,
    kind: NodeId,
    time: DateTime,
}

impl<'a> Told<'a> {
    pub(in crate::northbound) fn new(space: &'a AddressSpace, event: &'a Event, types: &'a dyn TypeTree) -> Self {
        Self {
            space,
            event,
            types,
            kind: ids::event_type(event.kind, space.namespaces.types),
            time: ua::date_time(event.time),
        }
    }

    /// Null where the event has no such field.
    fn value(&self, path: &[QualifiedName]) -> Variant {
        let [first, rest @ ..] = path else { return Variant::Empty };
        let mut name = first.name.to_string();
        for next in rest {
            name = format!("{name}/{}", next.name);
        }
        let namespace = table::field(&name).map_or(Namespace::Standard, |field| field.namespace);
        if path.iter().any(|element| element.namespace_index != self.space.namespace_index(namespace)) {
            return Variant::Empty;
        }
        field_value(self.space, self.event, &name)
    }
}

/// A field of an event by the names of its path.
pub(in crate::northbound) fn field_value(space: &AddressSpace, event: &Event, name: &str) -> Variant {
    match name {
        "EventId" => Variant::ByteString(event.id.0.to_vec().into()),
        "EventType" => ids::event_type(event.kind, space.namespaces.types).into(),
        "SourceNode" => source_node(space, &event.source).into(),
        "SourceName" => event.source.name().into(),
        "Time" => ua::date_time(event.time).into(),
        "ReceiveTime" => ua::date_time(event.received).into(),
        "Changes" => model_change::changes(space, event),
        "Message" => LocalizedText::new("en", &event.message).into(),
        "Severity" => event.severity.into(),
        // No condition here has branches; no event else has the field.
        "BranchId" if event.kind.is_condition() => NodeId::null().into(),
        _ => event.field(name).map_or(Variant::Empty, |value| variant(space, name, value)),
    }
}

/// A field's value; a text stands for a NodeId where the table says so.
fn variant(space: &AddressSpace, name: &str, value: &Value) -> Variant {
    let is_node = name == "ConditionId"
        || table::field(name).is_some_and(|field| field.data_type == opcua::types::DataTypeId::NodeId);
    match value {
        Value::String(text) if is_node => node_id(space, text).into(),
        value => ua::variant(value),
    }
}

/// A NodeId as events keep it: in full, or the string of one in the twins' namespace.
pub(in crate::northbound) fn node_id(space: &AddressSpace, text: &str) -> NodeId {
    let is_full = text.starts_with("i=") || text.starts_with("ns=");
    match text.parse::<NodeId>() {
        Ok(id) if is_full => id,
        _ if text.is_empty() => NodeId::null(),
        _ => NodeId::new(space.namespaces.twins, text),
    }
}

/// The node behind a source.
pub(in crate::northbound) fn source_node(space: &AddressSpace, source: &Source) -> NodeId {
    match &*source.0 {
        "" => opcua::types::ObjectId::Server.into(),
        text => node_id(space, text),
    }
}

impl EventField for Told<'_> {
    fn get_value(&self, attribute: AttributeId, index_range: &NumericRange, path: &[QualifiedName]) -> Variant {
        if let [name] = path
            && let Some(clause) = self.space.clauses.of(name.name.as_ref())
        {
            return (self.event.kind.passes_filters() || clause.wants(self)).into();
        }
        match (attribute, path) {
            // ConditionId is the NodeId attribute of the condition itself (OPC 10000-9 §5.5.2).
            (AttributeId::NodeId, []) => field_value(self.space, self.event, "ConditionId"),
            (AttributeId::Value, _) => range::part(self.value(path), index_range).unwrap_or(Variant::Empty),
            _ => Variant::Empty,
        }
    }
}

impl Asked for Told<'_> {
    fn field(&self, field: &Field) -> Variant {
        self.get_field(&field.of_type, field.attribute, &field.range, &field.path)
    }

    fn is_of_type(&self, of_type: &NodeId) -> bool {
        self.types.is_subtype_of(&self.kind, of_type)
    }
}

impl UaEvent for Told<'_> {
    fn get_field(
        &self,
        type_definition: &NodeId,
        attribute: AttributeId,
        index_range: &NumericRange,
        path: &[QualifiedName],
    ) -> Variant {
        // A clause of BaseEventType means whatever has the path, one of another type events of that alone.
        let is_meant =
            *type_definition == ObjectTypeId::BaseEventType || self.types.is_subtype_of(&self.kind, type_definition);
        if is_meant { self.get_value(attribute, index_range, path) } else { Variant::Empty }
    }

    fn time(&self) -> &DateTime {
        &self.time
    }

    fn event_type_id(&self) -> &NodeId {
        &self.kind
    }
}
