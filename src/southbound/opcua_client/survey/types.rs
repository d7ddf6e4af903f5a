//! What a type is, by the types that it follows from: each is asked for once.

use std::collections::{HashMap, HashSet};

use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMask, DataTypeId, Identifier, NodeId, ObjectTypeId,
    QualifiedName, ReferenceTypeId, Variant,
};

use super::{super::session::attribute, requests::Requests};

/// Deepest inheritance: a loop of HasSubtype ends too.
const DEPTH_MAX: usize = 64;

/// Names and supertypes, by NodeId.
#[derive(Default)]
pub(super) struct Types(HashMap<NodeId, Type>);

#[derive(Clone, Default)]
struct Type {
    name: QualifiedName,
    supertype: Option<NodeId>,
}

impl Types {
    /// Learns of types, and of all that they follow from.
    pub(super) async fn learn(
        &mut self,
        requests: &Requests,
        types: impl Iterator<Item = &NodeId>,
    ) -> Result<(), String> {
        let mut unknown: HashSet<NodeId> =
            types.filter(|node| !node.is_null() && !self.0.contains_key(*node)).cloned().collect();
        for _ in 0..DEPTH_MAX {
            if unknown.is_empty() {
                break;
            }
            let nodes: Vec<NodeId> = unknown.drain().collect();
            let up: Vec<_> = nodes.iter().map(up_from).collect();
            let names: Vec<_> = nodes.iter().map(|node| attribute(node.clone(), AttributeId::BrowseName)).collect();
            let (ups, names) = (requests.browse(&up).await?, requests.read(&names).await?);
            for ((node, up), name) in nodes.into_iter().zip(ups).zip(names) {
                let supertype = up.ok().and_then(|up| up.into_iter().next()).map(|up| up.node_id.node_id);
                let name = match name.value {
                    Some(Variant::QualifiedName(name)) => *name,
                    _ => QualifiedName::null(),
                };
                self.0.insert(node, Type { name, supertype });
            }
            let above = self.0.values().filter_map(|of| of.supertype.clone());
            unknown = above.filter(|node| !self.0.contains_key(node)).collect();
        }
        Ok(())
    }

    /// Its BrowseName; null: not known.
    pub(super) fn name(&self, of: &NodeId) -> QualifiedName {
        self.0.get(of).map_or_else(QualifiedName::null, |of| of.name.clone())
    }

    /// Itself, and what it follows from, upwards.
    fn line<'a>(&'a self, of: &'a NodeId) -> impl Iterator<Item = &'a NodeId> {
        std::iter::successors(Some(of), |node| self.0.get(*node)?.supertype.as_ref()).take(DEPTH_MAX)
    }

    /// Whether an object of this type only holds others: BaseObjectType, FolderType and what follows from it.
    pub(super) fn is_folder(&self, of: &NodeId) -> bool {
        of.is_null()
            || *of == ObjectTypeId::BaseObjectType
            || self.line(of).any(|node| *node == ObjectTypeId::FolderType)
    }

    /// Whether an object of this type has nothing of the process in it.
    pub(super) fn is_left_out(&self, of: &NodeId) -> bool {
        const LEFT_OUT: [ObjectTypeId; 7] = [
            ObjectTypeId::BaseEventType, // conditions
            ObjectTypeId::FileType,
            ObjectTypeId::FileDirectoryType,
            ObjectTypeId::ProgramStateMachineType,
            ObjectTypeId::HistoricalDataConfigurationType,
            ObjectTypeId::AggregateConfigurationType,
            ObjectTypeId::ServerType,
        ];
        self.line(of).any(|node| LEFT_OUT.iter().any(|id| *node == *id))
    }

    /// The built-in type of values of this data type (OPC 10000-6 Table 1); `None`: any of several, or not known.
    pub(super) fn built_in(&self, of: &NodeId) -> Option<u8> {
        const BASE: u32 = DataTypeId::BaseDataType as u32; // and above it Number, Integer, UInteger, Enumeration
        self.line(of).find_map(|node| match (node.namespace, &node.identifier) {
            (0, Identifier::Numeric(id)) if *id == DataTypeId::Enumeration as u32 => Some(DataTypeId::Int32 as u8),
            (0, Identifier::Numeric(id)) if *id < BASE => u8::try_from(*id).ok(),
            _ => None,
        })
    }

    pub(super) fn is_enumeration(&self, of: &NodeId) -> bool {
        self.line(of).any(|node| *node == DataTypeId::Enumeration)
    }
}

fn up_from(node: &NodeId) -> BrowseDescription {
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: BrowseDirection::Inverse,
        reference_type_id: ReferenceTypeId::HasSubtype.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMask::None as u32,
    }
}
