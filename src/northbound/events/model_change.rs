//! GeneralModelChangeEvents (OPC 10000-3 §9.32): which nodes are new, gone, or others now. Kept as texts, told as
//! ModelChangeStructureDataTypes; whoever is confined to some twins is told of these alone.

use std::{borrow::Cow, fmt};

use opcua::types::{ExtensionObject, ModelChangeStructureDataType, NodeId, ObjectTypeId, Variant};

use super::fields::node_id;
use crate::{
    event::{Event, EventType},
    northbound::{address_space::AddressSpace, users::User},
    sample::Value,
};

/// One change; twins with their types' names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ModelChange {
    TwinAdded(String, String),
    TwinChanged(String, String),
    TwinRemoved(String),
    PlcAdded(String),
    PlcChanged(String),
    PlcRemoved(String),
}

impl fmt::Display for ModelChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwinAdded(twin, twin_type) => write!(f, "twin {twin} ({twin_type}) added"),
            Self::TwinChanged(twin, twin_type) => write!(f, "twin {twin} ({twin_type}) changed"),
            Self::TwinRemoved(twin) => write!(f, "twin {twin} removed"),
            Self::PlcAdded(plc) => write!(f, "PLC {plc} added"),
            Self::PlcChanged(plc) => write!(f, "PLC {plc} changed"),
            Self::PlcRemoved(plc) => write!(f, "PLC {plc} removed"),
        }
    }
}

// OPC 10000-5 §12.17.
const NODE_ADDED: u8 = 1;
const NODE_DELETED: u8 = 2;
const REFERENCE_ADDED: u8 = 4;
const REFERENCE_DELETED: u8 = 8;
const CHANGED: u8 = REFERENCE_ADDED | REFERENCE_DELETED;

/// Never part of a name.
const BETWEEN: char = '\t';

impl ModelChange {
    /// The field `Changes`: first the folders, whose references have changed.
    #[must_use]
    pub fn field(changes: &[Self]) -> Value {
        let written = |verb: u8, node: &str, of: &str| format!("{verb}{BETWEEN}{node}{BETWEEN}{of}");
        let is_plc = |change: &&Self| matches!(change, Self::PlcAdded(_) | Self::PlcChanged(_) | Self::PlcRemoved(_));
        let folders = [
            ("Twins", changes.iter().any(|change| !is_plc(&change))),
            ("Connections", changes.iter().any(|change| is_plc(&change))),
        ];
        let folders =
            folders.iter().filter(|(_, has_changed)| *has_changed).map(|(folder, _)| written(CHANGED, folder, ""));
        let nodes = changes.iter().map(|change| match change {
            Self::TwinAdded(twin, of) => written(NODE_ADDED, twin, &format!("type:{of}")),
            Self::TwinChanged(twin, of) => written(CHANGED, twin, &format!("type:{of}")),
            Self::TwinRemoved(twin) => written(NODE_DELETED, twin, ""),
            Self::PlcAdded(plc) => written(NODE_ADDED, &format!("plc:{plc}"), ""),
            Self::PlcChanged(plc) => written(CHANGED, &format!("plc:{plc}"), ""),
            Self::PlcRemoved(plc) => written(NODE_DELETED, &format!("plc:{plc}"), ""),
        });
        let written: Vec<String> = folders.chain(nodes).collect();
        Value::strings(written.iter().map(String::as_str))
    }
}

/// An event as a user may see it.
pub(in crate::northbound) fn as_seen_by<'a>(space: &AddressSpace, user: &User, event: &'a Event) -> Cow<'a, Event> {
    if event.kind != EventType::GeneralModelChangeEvent || user.twins.is_none() {
        return Cow::Borrowed(event);
    }
    let is_shown = |change: &str| {
        let node = change.split(BETWEEN).nth(1).unwrap_or_default();
        matches!(node, "Twins" | "Connections") || space.visible(user, &node_id(space, node)).is_some()
    };
    let changes: Vec<&str> = texts(event).filter(|change| is_shown(change)).collect();
    let changes = Value::strings(changes);
    let mut seen = event.clone();
    seen.message = "The configuration has changed".into();
    seen.fields.retain(|(name, _)| name != "Changes");
    Cow::Owned(seen.with("Changes", changes))
}

fn texts(event: &Event) -> impl Iterator<Item = &str> {
    let texts = match event.field("Changes") {
        Some(Value::Array(texts)) => &texts.elements[..],
        _ => &[],
    };
    texts.iter().filter_map(|text| if let Value::String(text) = text { Some(&**text) } else { None })
}

/// The field as clients get it.
pub(super) fn changes(space: &AddressSpace, event: &Event) -> Variant {
    let change = |text: &str| {
        let mut parts = text.split(BETWEEN);
        let verb = parts.next().and_then(|verb| verb.parse().ok()).unwrap_or_default();
        let (affected, of) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let affected_type = match affected {
            "Twins" | "Connections" => ObjectTypeId::FolderType.into(),
            _ if of.is_empty() => NodeId::null(),
            _ => node_id(space, of),
        };
        ExtensionObject::from_message(ModelChangeStructureDataType {
            affected: node_id(space, affected),
            affected_type,
            verb,
        })
    };
    let changes: Vec<Variant> = texts(event).map(|text| Variant::from(change(text))).collect();
    (opcua::types::VariantScalarTypeId::ExtensionObject, changes).into()
}
