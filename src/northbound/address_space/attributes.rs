//! Every attribute but Value.

use opcua::{
    nodes::AccessLevel,
    types::{AttributeId, DataTypeId, LocalizedText, NodeClass, NodeId, QualifiedName, StatusCode, Variant},
};

use super::{AddressSpace, Live, Node, Owner, Part, Property};
use crate::{
    northbound::{
        Role, access,
        users::{Roles, User},
    },
    sample::TwinId,
    twin::DataType,
};

/// EventNotifier of what tells events and keeps them: SubscribeToEvents, HistoryRead (OPC 10000-3 §8.59).
pub(in crate::northbound) const TELLS_EVENTS: u8 = 0b101;

impl AddressSpace {
    /// An attribute as the user sees it.
    pub(in crate::northbound) fn attribute(
        &self,
        user: &User,
        node: Node,
        attribute: AttributeId,
    ) -> Result<Variant, StatusCode> {
        use AttributeId as A;
        let class = self.class(node);
        Ok(match (attribute, class) {
            (A::NodeId, _) => self.id(node).into(),
            (A::NodeClass, _) => Variant::Int32(class as i32),
            (A::BrowseName, _) => {
                let (namespace, name) = self.name(node);
                QualifiedName::new(self.namespace_index(namespace), name.as_ref()).into()
            }
            (A::DisplayName, _) => LocalizedText::new("", &self.name(node).1).into(),
            (A::Description, _) => LocalizedText::new("", self.description(node)).into(),
            (A::WriteMask | A::UserWriteMask, _) => Variant::UInt32(0),
            (A::EventNotifier, NodeClass::Object) => {
                Variant::Byte(if self.notifier(node).is_some() { TELLS_EVENTS } else { 0 })
            }
            (A::IsAbstract, NodeClass::ObjectType) => Variant::Boolean(false),
            (A::Executable, NodeClass::Method) => Variant::Boolean(self.is_executable(node)),
            (A::UserExecutable, NodeClass::Method) => {
                Variant::Boolean(self.is_executable(node) && self.may_call(user, node))
            }
            (A::DataType, NodeClass::Variable) => self.data_type(node).0.into(),
            (A::ValueRank, NodeClass::Variable) => Variant::Int32(self.data_type(node).1),
            (A::ArrayDimensions, NodeClass::Variable) => self.dimensions(node)?,
            (A::AccessLevel, NodeClass::Variable) => Variant::Byte(self.access_level(node).bits()),
            (A::AccessLevelEx, NodeClass::Variable) => Variant::UInt32(self.access_level(node).bits().into()),
            (A::UserAccessLevel, NodeClass::Variable) => Variant::Byte(self.user_access_level(user, node).bits()),
            (A::MinimumSamplingInterval, NodeClass::Variable) => {
                // 0: as the source gives them. 1000: looked at once a second. −1: never changes.
                Variant::Double(match node {
                    Node::Part(Owner::Twin(_), Part::Live(_)) => 0.0,
                    _ if self.is_slow(node) => 1000.0,
                    _ => -1.0,
                })
            }
            (A::Historizing, NodeClass::Variable) => {
                let is_live = matches!(node, Node::Part(_, Part::Live(_)));
                Variant::Boolean(is_live && self.access_level(node).contains(AccessLevel::HISTORY_READ))
            }
            (A::RolePermissions, _) => self.role_permissions(node, Roles::from_iter(Role::ALL)),
            (A::UserRolePermissions, _) => self.role_permissions(node, user.roles),
            // No certificate, signature or encryption is asked for beyond the endpoint's own.
            (A::AccessRestrictions, _) => Variant::UInt16(0),
            _ => return Err(StatusCode::BadAttributeIdInvalid),
        })
    }

    /// What events come by a node, in the words of [`Source::is_told_by`](crate::event::Source::is_told_by); `None`: none.
    pub(in crate::northbound) fn notifier(&self, node: Node) -> Option<&str> {
        match node {
            Node::Twins => Some("Twins"),
            Node::Connections => Some("Connections"),
            Node::Owner(Owner::Twin(t)) => Some(&self.twins.twins[t as usize].name),
            _ => None,
        }
    }

    /// Whether a call would find what it needs: of a program's methods its state decides (OPC 10000-16 §4.4.2).
    fn is_executable(&self, node: Node) -> bool {
        match node {
            Node::Part(Owner::Twin(t), Part::Method(method)) => {
                let asks = |ask| self.world.state.read(TwinId(t)).program.asked(ask).is_some();
                method.program_call().is_none_or(asks)
            }
            _ => true,
        }
    }

    pub(in crate::northbound) fn may_call(&self, user: &User, node: Node) -> bool {
        match node {
            Node::Part(_, Part::Method(method)) => user.may(access::role_for(method.def().id)),
            Node::Part(_, Part::ConditionMethod(_, method)) => user.may(access::role_for_condition(method)),
            _ => false,
        }
    }

    /// What the config says of it; empty for what follows from a type.
    fn description(&self, node: Node) -> &str {
        match node {
            Node::Twins => "The digital twins, one per device.",
            Node::Connections => "The controllers that feed the twins.",
            Node::History => "The store of every twin's history.",
            Node::Plc(p) => &self.plc(p).endpoints[0],
            Node::Owner(Owner::Twin(t)) => &self.twins.twins[t as usize].description,
            Node::Owner(owner @ Owner::Type(_)) => &self.twin_type(owner).description,
            Node::Part(owner, Part::Live(Live::Variable(v))) => &self.variable(owner, v).description,
            Node::Part(owner, Part::VariableStatistics(v)) => &self.variable(owner, v).description,
            _ => "",
        }
    }

    /// DataType and ValueRank.
    pub(in crate::northbound) fn data_type(&self, node: Node) -> (NodeId, i32) {
        let (data_type, rank) = match node {
            Node::Part(owner, Part::Live(Live::Variable(v))) => {
                let variable = self.variable(owner, v);
                (standard(variable.data_type), if variable.array { 1 } else { -1 })
            }
            Node::Part(_, Part::Live(Live::Revision)) => (DataTypeId::UInt32, -1),
            Node::Part(_, Part::InputArguments(_) | Part::OutputArguments(_) | Part::ConditionArguments(..)) => {
                (DataTypeId::Argument, 1)
            }
            _ => self.member(node).map_or((DataTypeId::Double, -1), |member| (member.data_type, member.rank)),
        };
        (data_type.into(), rank)
    }

    fn dimensions(&self, node: Node) -> Result<Variant, StatusCode> {
        let length = |n: usize| u32::try_from(n).unwrap_or(0);
        let dimensions = match (node, self.data_type(node).1) {
            (Node::Part(_, Part::InputArguments(method)), _) => vec![length(method.def().inputs.len())],
            (Node::Part(_, Part::OutputArguments(method)), _) => vec![length(method.def().outputs.len())],
            (Node::Part(_, Part::ConditionArguments(..)), _) => vec![2],
            (_, 1) => vec![0],
            (_, 2) => vec![0, 0],
            _ => return Err(StatusCode::BadAttributeIdInvalid),
        };
        Ok(dimensions.into())
    }

    /// What is true of the node whoever asks.
    pub(in crate::northbound) fn access_level(&self, node: Node) -> AccessLevel {
        let mut level = AccessLevel::CURRENT_READ;
        let (t, live) = match node {
            Node::Part(Owner::Twin(_), Part::Property(_, Property::Annotations)) => {
                return level | AccessLevel::HISTORY_READ | AccessLevel::HISTORY_WRITE;
            }
            Node::Part(Owner::Twin(t), Part::Live(live)) => (t, live),
            _ => return level,
        };
        if self.historized(TwinId(t), live) {
            level |= AccessLevel::HISTORY_READ;
            if matches!(live, Live::Variable(v) if self.variable(Owner::Twin(t), v).derived.is_none()) {
                level |= AccessLevel::HISTORY_WRITE;
            }
        }
        if self.is_internal(TwinId(t), live) {
            level |= AccessLevel::CURRENT_WRITE | AccessLevel::STATUS_WRITE | AccessLevel::TIMESTAMP_WRITE;
        } else if matches!(live, Live::Variable(v) if self.variable(Owner::Twin(t), v).writable) {
            level |= AccessLevel::CURRENT_WRITE;
        }
        level
    }

    /// What of it the user may do.
    pub(in crate::northbound) fn user_access_level(&self, user: &User, node: Node) -> AccessLevel {
        let live = AccessLevel::CURRENT_WRITE | AccessLevel::STATUS_WRITE | AccessLevel::TIMESTAMP_WRITE;
        let grants = [
            (Role::Observer, AccessLevel::CURRENT_READ | AccessLevel::HISTORY_READ),
            (Role::Operator, live),
            (Role::Engineer, AccessLevel::HISTORY_WRITE),
        ];
        let granted = grants.into_iter().filter(|(role, _)| user.may(*role));
        self.access_level(node) & granted.fold(AccessLevel::empty(), |all, (_, level)| all | level)
    }
}

/// The standard data type of a config's.
pub(in crate::northbound) fn standard(data_type: DataType) -> DataTypeId {
    match data_type {
        DataType::Boolean => DataTypeId::Boolean,
        DataType::SByte => DataTypeId::SByte,
        DataType::Byte => DataTypeId::Byte,
        DataType::Int16 => DataTypeId::Int16,
        DataType::UInt16 => DataTypeId::UInt16,
        DataType::Int32 => DataTypeId::Int32,
        DataType::UInt32 => DataTypeId::UInt32,
        DataType::Int64 => DataTypeId::Int64,
        DataType::UInt64 => DataTypeId::UInt64,
        DataType::Float => DataTypeId::Float,
        DataType::Double => DataTypeId::Double,
        DataType::String => DataTypeId::String,
        DataType::DateTime => DataTypeId::DateTime,
        DataType::ByteString => DataTypeId::ByteString,
        DataType::LocalizedText => DataTypeId::LocalizedText,
    }
}
