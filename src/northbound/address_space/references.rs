//! What a node refers to. References are numbered, so a continuation point is one number; those to nodes of other managers
//! are complete here (the library loses external references that do not fit on a page).

use opcua::server::node_manager::NodeMetadata;
use opcua::types::{
    BrowseDescriptionResultMask as Mask, ExpandedNodeId, LocalizedText, NodeClass, NodeId, ObjectId, ObjectTypeId,
    QualifiedName, ReferenceDescription, VariableTypeId,
};

use super::{AddressSpace, Folder, Live, Node, Owner, Part, ProgramMember};
use crate::{
    aggregate::Aggregate,
    northbound::{events::FieldKind, ids},
    statistics::Window,
    twin::{ConditionOf, DataType},
};

/// A type of reference that nodes here have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::northbound) enum Kind {
    HasTypeDefinition,
    Organizes,
    HasComponent,
    HasProperty,
    HasSubtype,
    HasInterface,
    HasModellingRule,
    HasHistoricalConfiguration,
    HasNotifier,
    HasEventSource,
    HasCondition,
    HasStatisticComponent,
}

impl Kind {
    pub(in crate::northbound) const ALL: [Self; 12] = [
        Self::HasTypeDefinition,
        Self::Organizes,
        Self::HasComponent,
        Self::HasProperty,
        Self::HasSubtype,
        Self::HasInterface,
        Self::HasModellingRule,
        Self::HasHistoricalConfiguration,
        Self::HasNotifier,
        Self::HasEventSource,
        Self::HasCondition,
        Self::HasStatisticComponent,
    ];
}

/// A node of another manager, with all that a browse tells of it.
#[derive(Clone, Debug)]
pub(in crate::northbound) struct Foreign {
    id: NodeId,
    name: &'static str,
    class: NodeClass,
    type_definition: Option<ObjectTypeId>,
}

/// Where a reference leads.
#[derive(Clone, Debug)]
pub(in crate::northbound) enum Target {
    Node(Node),
    Foreign(Foreign),
}

/// One reference of a node.
#[derive(Clone, Debug)]
pub(in crate::northbound) struct Reference {
    pub(in crate::northbound) kind: Kind,
    pub(in crate::northbound) forward: bool,
    pub(in crate::northbound) target: Target,
}

impl Reference {
    fn to(kind: Kind, node: Node) -> Self {
        Self { kind, forward: true, target: Target::Node(node) }
    }

    fn from(kind: Kind, node: Node) -> Self {
        Self { kind, forward: false, target: Target::Node(node) }
    }
}

/// All references of one node, by number.
pub(in crate::northbound) struct References<'a> {
    space: &'a AddressSpace,
    node: Node,
    /// Type definition, parent and the like.
    head: Vec<Reference>,
}

impl References<'_> {
    /// The i-th reference.
    pub(in crate::northbound) fn get(&self, i: usize) -> Option<Reference> {
        let Some(i) = i.checked_sub(self.head.len()) else { return self.head.get(i).cloned() };
        match self.space.organized(self.node, i) {
            Some(reference) => Some(reference),
            None => {
                let child = self.space.child(self.node, i - self.space.organized_len(self.node))?;
                Some(Reference::to(self.space.kind_of_parent(child), child))
            }
        }
    }

    /// All of them, in order.
    pub(in crate::northbound) fn iter(&self) -> impl Iterator<Item = Reference> + '_ {
        (0..).map_while(|i| self.get(i))
    }
}

impl AddressSpace {
    /// The references of a node.
    pub(in crate::northbound) fn references(&self, node: Node) -> References<'_> {
        References { space: self, node, head: self.head(node) }
    }

    /// What a node of another manager refers to here: the i-th such reference.
    pub(in crate::northbound) fn reference_of_foreign(&self, id: &NodeId, i: usize) -> Option<Reference> {
        if *id == ObjectId::ObjectsFolder {
            let target = match [Node::Twins, Node::Connections, Node::History].get(i) {
                Some(node) => Target::Node(*node),
                None if i == 3 => Target::Foreign(self.configuration()),
                None => return None,
            };
            return Some(Reference { kind: Kind::Organizes, forward: true, target });
        }
        if *id == ObjectId::Server_ServerCapabilities_AggregateFunctions
            || *id == ObjectId::HistoryServerCapabilities_AggregateFunctions
        {
            let target = Foreign {
                id: self.aggregates.get(i)?.clone(),
                name: Aggregate::ALL.get(i)?.name(),
                class: NodeClass::Object,
                type_definition: Some(ObjectTypeId::AggregateFunctionType),
            };
            return Some(Reference { kind: Kind::Organizes, forward: true, target: Target::Foreign(target) });
        }
        if *id == ObjectId::Server && i < 2 {
            let node = if i == 0 { Node::Twins } else { Node::Connections };
            return Some(Reference::to(Kind::HasNotifier, node));
        }
        if *id == self.twin_type_id()
            && let Some(t) = self.twins.type_indices().get(i)
        {
            let owner = Owner::Type(u32::try_from(*t).ok()?);
            return Some(Reference::to(Kind::HasSubtype, Node::Owner(owner)));
        }
        None
    }

    /// The reference from its parent to a child.
    pub(in crate::northbound) fn reference_to_child(&self, child: Node) -> Reference {
        Reference::to(self.kind_of_parent(child), child)
    }

    /// A node of the types' file: there is one in a server.
    fn configuration(&self) -> Foreign {
        Foreign {
            id: NodeId::new(self.namespaces.types, ids::CONFIGURATION),
            name: "Configuration",
            class: NodeClass::Object,
            type_definition: Some(ObjectTypeId::BaseObjectType),
        }
    }

    /// NodeId of TwinType.
    pub(in crate::northbound) fn twin_type_id(&self) -> NodeId {
        NodeId::new(self.namespaces.types, ids::TWIN_TYPE)
    }

    fn head(&self, node: Node) -> Vec<Reference> {
        let mut head = Vec::with_capacity(4);
        let foreign = |kind, forward, target| Reference { kind, forward, target: Target::Foreign(target) };
        if let Some(target) = self.type_definition(node) {
            head.push(Reference { kind: Kind::HasTypeDefinition, forward: true, target });
        }
        head.push(match (self.parent(node), node) {
            (Some(parent), _) => Reference::from(self.kind_of_parent(node), parent),
            (None, Node::Owner(Owner::Type(_))) => {
                foreign(Kind::HasSubtype, false, self.types_type("TwinType", ids::TWIN_TYPE))
            }
            (None, _) => foreign(Kind::Organizes, false, objects_folder()),
        });
        match node {
            Node::Twins | Node::Connections => head.push(foreign(Kind::HasNotifier, false, server())),
            Node::Plc(_) => head.push(Reference::from(Kind::HasEventSource, Node::Connections)),
            Node::Owner(Owner::Twin(_)) => head.push(Reference::from(Kind::HasNotifier, Node::Twins)),
            _ => {}
        }
        let Node::Part(owner, part) = node else { return head };
        match (owner, part) {
            (Owner::Type(_), _) => head.push(foreign(Kind::HasModellingRule, true, mandatory())),
            (Owner::Twin(_), Part::Statistics) => {
                head.push(foreign(Kind::HasInterface, true, self.statistics_interface(owner)))
            }
            (Owner::Twin(t), Part::Connection) => {
                if let Some(plc) = self.twins.twins[t as usize].plc {
                    head.push(Reference::to(Kind::Organizes, Node::Plc(plc.0)));
                }
            }
            (Owner::Twin(_), Part::Live(Live::Variable(v))) => {
                let variable = &self.table(owner).variables[v as usize];
                let folders = [(variable.is_input, Folder::Inputs), (variable.is_output, Folder::Outputs)];
                head.extend(
                    folders
                        .into_iter()
                        .filter(|(is_in, _)| *is_in)
                        .map(|(_, folder)| Reference::from(Kind::Organizes, Node::Part(owner, Part::Folder(folder)))),
                );
                if let Some(c) = variable.condition {
                    head.push(Reference::from(Kind::HasEventSource, Node::Owner(owner)));
                    head.push(Reference::to(Kind::HasCondition, Node::Part(owner, Part::Condition(c))));
                }
            }
            (Owner::Twin(_), Part::Condition(c)) => {
                let source = match self.table(owner).conditions[c as usize].of {
                    ConditionOf::Limits(v) => {
                        Node::Part(owner, Part::Live(Live::Variable(u32::try_from(v).unwrap_or(u32::MAX))))
                    }
                    ConditionOf::Drift => Node::Owner(owner),
                };
                head.push(Reference::from(Kind::HasCondition, source));
            }
            _ => {}
        }
        head
    }

    /// Nodes that a node organizes, or is organized by, without being their parent: as many as there are twins.
    fn organized(&self, node: Node, i: usize) -> Option<Reference> {
        match node {
            Node::Plc(p) => self.fed_by[p as usize]
                .get(i)
                .map(|t| Reference::from(Kind::Organizes, Node::Part(Owner::Twin(*t), Part::Connection))),
            Node::Twins => {
                let twin = self.twins.nth(i)?;
                Some(Reference::to(Kind::HasNotifier, Node::Owner(Owner::Twin(twin.0))))
            }
            Node::Connections => {
                let plc = self.world.plcs.nth(i)?;
                Some(Reference::to(Kind::HasEventSource, Node::Plc(plc.0)))
            }
            // What it watches: a variable of its own, or itself.
            Node::Owner(owner @ Owner::Twin(_)) => {
                (0..).zip(&self.table(owner).conditions).nth(i).map(|(c, condition)| match condition.of {
                    ConditionOf::Limits(v) => {
                        let v = u32::try_from(v).unwrap_or(u32::MAX);
                        Reference::to(Kind::HasEventSource, Node::Part(owner, Part::Live(Live::Variable(v))))
                    }
                    ConditionOf::Drift => Reference::to(Kind::HasCondition, Node::Part(owner, Part::Condition(c))),
                })
            }
            Node::Part(owner, Part::Folder(folder)) => self
                .in_folder(owner, folder)
                .get(i)
                .map(|v| Reference::to(Kind::Organizes, Node::Part(owner, Part::Live(Live::Variable(*v))))),
            _ => None,
        }
    }

    fn organized_len(&self, node: Node) -> usize {
        match node {
            Node::Plc(p) => self.fed_by[p as usize].len(),
            Node::Part(owner, Part::Folder(folder)) => self.in_folder(owner, folder).len(),
            Node::Twins => self.twins.count(),
            Node::Connections => self.world.plcs.count(),
            Node::Owner(owner @ Owner::Twin(_)) => self.table(owner).conditions.len(),
            _ => 0,
        }
    }

    /// Variables that a folder of the model organizes.
    fn in_folder(&self, owner: Owner, folder: Folder) -> &[u32] {
        match folder {
            Folder::Inputs => &self.table(owner).inputs,
            Folder::Outputs => &self.table(owner).outputs,
            Folder::States | Folder::Parameters => &[],
        }
    }

    /// How a node hangs from its parent.
    fn kind_of_parent(&self, node: Node) -> Kind {
        match node {
            Node::Twins | Node::Connections | Node::History | Node::Plc(_) | Node::Owner(_) => Kind::Organizes,
            Node::Part(_, Part::HaConfiguration(_)) => Kind::HasHistoricalConfiguration,
            Node::Part(_, Part::VariableStatistics(_)) => Kind::HasStatisticComponent,
            Node::Part(_, Part::InputArguments(_) | Part::OutputArguments(_) | Part::ConditionArguments(..)) => {
                Kind::HasProperty
            }
            _ if self.member(node).is_some_and(|member| member.property) => Kind::HasProperty,
            _ => Kind::HasComponent,
        }
    }

    /// NodeClass of a node.
    pub(in crate::northbound) fn class(&self, node: Node) -> NodeClass {
        match node {
            Node::Owner(Owner::Type(_)) => NodeClass::ObjectType,
            Node::Part(_, Part::Method(_) | Part::ConditionMethod(..)) => NodeClass::Method,
            _ if self.is_variable(node) => NodeClass::Variable,
            _ => NodeClass::Object,
        }
    }

    /// Whether the node has a value.
    pub(in crate::northbound) fn is_variable(&self, node: Node) -> bool {
        matches!(
            node,
            Node::Part(
                _,
                Part::Live(_) | Part::InputArguments(_) | Part::OutputArguments(_) | Part::ConditionArguments(..)
            )
        ) || self.member(node).is_some()
    }

    fn type_definition(&self, node: Node) -> Option<Target> {
        use VariableTypeId as V;
        let object = |id: ObjectTypeId, name| foreign_type(id.into(), name, NodeClass::ObjectType);
        let variable = |id: V, name| foreign_type(id.into(), name, NodeClass::VariableType);
        Some(Target::Foreign(match node {
            Node::Owner(Owner::Type(_)) | Node::Part(_, Part::Method(_) | Part::ConditionMethod(..)) => return None,
            Node::Part(owner, Part::Condition(c)) => match self.table(owner).conditions[c as usize].of {
                ConditionOf::Limits(_) => object(ObjectTypeId::ExclusiveLevelAlarmType, "ExclusiveLevelAlarmType"),
                ConditionOf::Drift => self.types_type("DriftAlarmType", ids::DRIFT_ALARM_TYPE),
            },
            Node::Part(owner, Part::ConditionField(c, f)) => match self.condition_field(owner, c, f).kind {
                FieldKind::Property => variable(V::PropertyType, "PropertyType"),
                FieldKind::TwoState => variable(V::TwoStateVariableType, "TwoStateVariableType"),
                FieldKind::ConditionVariable => variable(V::ConditionVariableType, "ConditionVariableType"),
                FieldKind::State => variable(V::FiniteStateVariableType, "FiniteStateVariableType"),
                FieldKind::Transition => variable(V::FiniteTransitionVariableType, "FiniteTransitionVariableType"),
                FieldKind::LimitStateMachine => {
                    object(ObjectTypeId::ExclusiveLimitStateMachineType, "ExclusiveLimitStateMachineType")
                }
            },
            Node::Owner(Owner::Twin(t)) => {
                let twin_type = u32::try_from(self.twins.twins[t as usize].type_index).ok()?;
                return Some(Target::Node(Node::Owner(Owner::Type(twin_type))));
            }
            Node::Twins | Node::Connections | Node::Part(_, Part::Folder(_)) => {
                object(ObjectTypeId::FolderType, "FolderType")
            }
            Node::History => self.types_type("HistoryServiceType", ids::HISTORY_SERVICE_TYPE),
            Node::Plc(_) => self.types_type("PlcConnectionType", ids::PLC_CONNECTION_TYPE),
            Node::Part(owner, Part::Live(Live::Variable(v))) => {
                let (id, name) = self.variable_type(owner, v);
                variable(id, name)
            }
            Node::Part(_, Part::Live(Live::Simulated(_) | Live::Residual(_))) => {
                variable(V::BaseAnalogType, "BaseAnalogType")
            }
            Node::Part(_, Part::Live(Live::Parameter(_))) => variable(V::AnalogUnitType, "AnalogUnitType"),
            Node::Part(_, Part::Live(Live::State(_) | Live::Revision)) => {
                variable(V::BaseDataVariableType, "BaseDataVariableType")
            }
            Node::Part(_, Part::HaConfiguration(_)) => {
                object(ObjectTypeId::HistoricalDataConfigurationType, "HistoricalDataConfigurationType")
            }
            Node::Part(_, Part::AggregateConfiguration(_)) => {
                object(ObjectTypeId::AggregateConfigurationType, "AggregateConfigurationType")
            }
            Node::Part(_, Part::InputArguments(_) | Part::OutputArguments(_) | Part::ConditionArguments(..)) => {
                variable(V::PropertyType, "PropertyType")
            }
            Node::Part(_, Part::Statistics) => self.types_type("TwinStatisticsType", ids::TWIN_STATISTICS_TYPE),
            Node::Part(owner, Part::VariableStatistics(v)) if !self.variable(owner, v).is_numeric() => {
                self.types_type("DiscreteStatisticsType", ids::DISCRETE_STATISTICS_TYPE)
            }
            Node::Part(_, Part::VariableStatistics(_)) => {
                self.types_type("VariableStatisticsType", ids::VARIABLE_STATISTICS_TYPE)
            }
            Node::Part(_, Part::Statistic(_, statistic)) if statistic.has_unit() => {
                variable(V::BaseAnalogType, "BaseAnalogType")
            }
            Node::Part(_, Part::Model) => self.types_type("TwinModelType", ids::TWIN_MODEL_TYPE),
            Node::Part(_, Part::LastFit) => self.types_type("FitResultType", ids::FIT_RESULT_TYPE),
            Node::Part(_, Part::FitProgram) => object(ObjectTypeId::ProgramStateMachineType, "ProgramStateMachineType"),
            Node::Part(_, Part::FinalResult) => object(ObjectTypeId::BaseObjectType, "BaseObjectType"),
            Node::Part(_, Part::ProgramMember(ProgramMember::CurrentState)) => {
                variable(V::FiniteStateVariableType, "FiniteStateVariableType")
            }
            Node::Part(_, Part::ProgramMember(ProgramMember::LastTransition)) => {
                variable(V::FiniteTransitionVariableType, "FiniteTransitionVariableType")
            }
            Node::Part(_, Part::Connection) => self.types_type("ConnectionType", ids::CONNECTION_TYPE),
            Node::Store(_) | Node::Link(..) | Node::Part(..) => match self.member(node) {
                Some(member) if member.property => variable(V::PropertyType, "PropertyType"),
                _ => variable(V::BaseDataVariableType, "BaseDataVariableType"),
            },
        }))
    }

    /// The rule of OPC 10000-8 §5.3: what a variable has decides what it is. A number always has a unit, if only C62.
    fn variable_type(&self, owner: Owner, v: u32) -> (VariableTypeId, &'static str) {
        let variable = self.variable(owner, v);
        match (variable.data_type, variable.states.is_empty()) {
            (DataType::Boolean, false) => (VariableTypeId::TwoStateDiscreteType, "TwoStateDiscreteType"),
            (_, false) => (VariableTypeId::MultiStateDiscreteType, "MultiStateDiscreteType"),
            (_, true) if variable.is_numeric() && variable.range.is_some() => {
                (VariableTypeId::AnalogUnitRangeType, "AnalogUnitRangeType")
            }
            (_, true) if variable.is_numeric() => (VariableTypeId::AnalogUnitType, "AnalogUnitType"),
            _ => (VariableTypeId::DataItemType, "DataItemType"),
        }
    }

    fn types_type(&self, name: &'static str, id: u32) -> Foreign {
        foreign_type(NodeId::new(self.namespaces.types, id), name, NodeClass::ObjectType)
    }

    /// A window rolls; what begins with each lot does not (OPC 10000-200 §6.2.2).
    fn statistics_interface(&self, owner: Owner) -> Foreign {
        let (number, name) = match self.twin_type(owner).statistics.window {
            Window::Duration(_) | Window::Values(_) => (ids::IA_ROLLING_STATISTICS, "IRollingStatisticsType"),
            Window::SinceReset => (ids::IA_AGGREGATE_STATISTICS, "IAggregateStatisticsType"),
        };
        foreign_type(NodeId::new(self.namespaces.ia, number), name, NodeClass::ObjectType)
    }

    /// NodeClass of a reference's target.
    pub(in crate::northbound) fn target_class(&self, target: &Target) -> NodeClass {
        match target {
            Target::Node(node) => self.class(*node),
            Target::Foreign(foreign) => foreign.class,
        }
    }

    /// NodeId of a reference's target.
    pub(in crate::northbound) fn target_id(&self, target: &Target) -> NodeId {
        match target {
            Target::Node(node) => self.id(*node),
            Target::Foreign(foreign) => foreign.id.clone(),
        }
    }

    /// Whether a target of ours has this BrowseName; what others' nodes are called, they check themselves.
    pub(in crate::northbound) fn is_named(&self, node: Node, name: &QualifiedName) -> bool {
        let (namespace, text) = self.name(node);
        self.namespace_index(namespace) == name.namespace_index && text == name.name.as_ref()
    }

    /// What a browse tells of a node.
    pub(in crate::northbound) fn metadata(&self, target: &Target) -> NodeMetadata {
        let (browse_name, type_definition) = match target {
            Target::Node(node) => {
                let (namespace, name) = self.name(*node);
                let type_definition = self.type_definition(*node).map(|definition| self.target_id(&definition));
                (QualifiedName::new(self.namespace_index(namespace), name.as_ref()), type_definition)
            }
            Target::Foreign(foreign) => {
                (QualifiedName::new(foreign.id.namespace, foreign.name), foreign.type_definition.map(NodeId::from))
            }
        };
        NodeMetadata {
            node_id: self.target_id(target).into(),
            type_definition: type_definition.map_or_else(ExpandedNodeId::null, ExpandedNodeId::from),
            node_class: self.target_class(target),
            display_name: LocalizedText::new("", browse_name.name.as_ref()),
            browse_name,
        }
    }

    /// A reference as a browse returns it, with what the mask asks for.
    pub(in crate::northbound) fn describe(&self, reference: &Reference, mask: Mask) -> ReferenceDescription {
        let kind = self.kind_id(reference.kind).clone();
        let mut described = self.metadata(&reference.target).into_ref_desc(reference.forward, kind);
        if !mask.contains(Mask::RESULT_MASK_REFERENCE_TYPE) {
            described.reference_type_id = NodeId::null();
        }
        if !mask.contains(Mask::RESULT_MASK_BROWSE_NAME) {
            described.browse_name = QualifiedName::null();
        }
        if !mask.contains(Mask::RESULT_MASK_DISPLAY_NAME) {
            described.display_name = LocalizedText::null();
        }
        if !mask.contains(Mask::RESULT_MASK_NODE_CLASS) {
            described.node_class = NodeClass::Unspecified;
        }
        if !mask.contains(Mask::RESULT_MASK_TYPE_DEFINITION) {
            described.type_definition = ExpandedNodeId::null();
        }
        described
    }
}

fn foreign_type(id: NodeId, name: &'static str, class: NodeClass) -> Foreign {
    Foreign { id, name, class, type_definition: None }
}

fn objects_folder() -> Foreign {
    Foreign {
        id: ObjectId::ObjectsFolder.into(),
        name: "Objects",
        class: NodeClass::Object,
        type_definition: Some(ObjectTypeId::FolderType),
    }
}

fn server() -> Foreign {
    Foreign {
        id: ObjectId::Server.into(),
        name: "Server",
        class: NodeClass::Object,
        type_definition: Some(ObjectTypeId::ServerType),
    }
}

fn mandatory() -> Foreign {
    Foreign {
        id: ObjectId::ModellingRule_Mandatory.into(),
        name: "Mandatory",
        class: NodeClass::Object,
        type_definition: Some(ObjectTypeId::ModellingRuleType),
    }
}
