//! Where nodes stand and how they are called. One description of the tree, [`AddressSpace::child`] and
//! [`AddressSpace::parent`]: a NodeId's string is the path of names from the twin, so parsing walks down and formatting up.

use std::borrow::Cow;

use opcua::types::{Identifier, NodeId};

use super::{
    AddressSpace, Folder, Live, Method, Namespace, Node, Owner, Part, Property,
    node::{
        Aggregation, Archive, ConditionMethod, FitMember, Link, ModelMember, ParameterMember, ProgramMember,
        ResultMember, Store,
    },
};
use crate::{
    northbound::{ids, signatures},
    program::Ask,
    twin::ConditionOf,
};

/// First part of an ObjectType's NodeId.
const TYPE_PREFIX: &str = "type:";
/// First part of a PLC's NodeId.
const PLC_PREFIX: &str = "plc:";

impl AddressSpace {
    /// The node of a NodeId, without allocation.
    pub(in crate::northbound) fn parse(&self, id: &NodeId) -> Option<Node> {
        match &id.identifier {
            Identifier::String(path) if id.namespace == self.namespaces.twins => self.parse_path(path.as_ref()),
            _ => None,
        }
    }

    fn parse_path(&self, path: &str) -> Option<Node> {
        let (root, below) = match path.split_once('.') {
            Some((root, below)) => (root, Some(below)),
            None => (path, None),
        };
        let root = self.root(root)?;
        below.into_iter().flat_map(|below| below.split('.')).try_fold(root, |node, name| self.child_named(node, name))
    }

    fn root(&self, name: &str) -> Option<Node> {
        let index = |i: usize| u32::try_from(i).ok();
        Some(match name {
            "Twins" => Node::Twins,
            "Connections" => Node::Connections,
            "History" => Node::History,
            _ => {
                if let Some(name) = name.strip_prefix(TYPE_PREFIX) {
                    let is_it = |t: &&usize| self.twins.types[**t].name == name;
                    Node::Owner(Owner::Type(index(*self.twins.type_indices().iter().find(is_it)?)?))
                } else if let Some(name) = name.strip_prefix(PLC_PREFIX) {
                    Node::Plc(self.world.plcs.named(name)?.0)
                } else {
                    Node::Owner(Owner::Twin(*self.twin_by_name.get(name)?))
                }
            }
        })
    }

    /// The child of a name, whose NodeId is the parent's with the name behind a dot.
    fn child_named(&self, node: Node, name: &str) -> Option<Node> {
        match node {
            Node::Twins | Node::Connections => return None, // their children's NodeIds begin anew
            Node::Owner(owner) => {
                if let Some(v) = self.table(owner).variable_by_name.get(name) {
                    return Some(Node::Part(owner, Part::Live(Live::Variable(*v))));
                }
            }
            Node::Part(owner, Part::Statistics) => {
                let table = self.table(owner);
                if let Some(v) = table.variable_by_name.get(name) {
                    let has_them = table.variables.get(*v as usize).is_some_and(|v| !v.statistics.is_empty());
                    return has_them.then_some(Node::Part(owner, Part::VariableStatistics(*v)));
                }
            }
            _ => {}
        }
        let skip = if let Node::Owner(owner) = node { self.table(owner).variables.len() } else { 0 };
        (skip..).map_while(|i| self.child(node, i)).find(|child| self.name(*child).1 == name)
    }

    /// A child by BrowseName, wherever it is: what a browse path follows. Twins and PLCs are found by name, not by search.
    pub(in crate::northbound) fn child_by_browse_name(&self, node: Node, name: &str) -> Option<Node> {
        match node {
            Node::Twins => self.twin_by_name.get(name).map(|t| Node::Owner(Owner::Twin(*t))),
            Node::Connections => (0..).map_while(|i| self.child(node, i)).find(|child| self.name(*child).1 == name),
            _ => self.child_named(node, name),
        }
    }

    /// The NodeId of a node.
    pub(in crate::northbound) fn id(&self, node: Node) -> NodeId {
        let mut path = String::with_capacity(48);
        self.write_path(node, &mut path);
        NodeId::new(self.namespaces.twins, path)
    }

    fn write_path(&self, node: Node, path: &mut String) {
        match node {
            Node::Owner(Owner::Type(_)) => path.push_str(TYPE_PREFIX),
            Node::Plc(_) => path.push_str(PLC_PREFIX),
            Node::Twins | Node::Connections | Node::History | Node::Owner(Owner::Twin(_)) => {}
            Node::Store(_) | Node::Link(..) | Node::Part(..) => {
                if let Some(parent) = self.parent(node) {
                    self.write_path(parent, path);
                    path.push('.');
                }
            }
        }
        path.push_str(&self.name(node).1);
    }

    /// BrowseName: whose namespace, and the text.
    pub(in crate::northbound) fn name(&self, node: Node) -> (Namespace, Cow<'_, str>) {
        let owned = |name: &'static str| (Namespace::Types, Cow::Borrowed(name));
        let configured = |name| (Namespace::Twins, Cow::Borrowed(name));
        match node {
            Node::Twins => configured("Twins"),
            Node::Connections => configured("Connections"),
            Node::History => configured("History"),
            Node::Plc(p) => configured(self.plc(p).name.as_str()),
            Node::Owner(Owner::Twin(t)) => configured(self.twins.twins[t as usize].name.as_str()),
            Node::Owner(owner @ Owner::Type(_)) => configured(self.twin_type(owner).name.as_str()),
            Node::Store(_) | Node::Link(..) => {
                (Namespace::Types, Cow::Borrowed(self.member(node).map_or("", |m| m.name)))
            }
            Node::Part(owner, part) => match part {
                Part::Live(Live::Variable(v)) | Part::VariableStatistics(v) => {
                    configured(self.variable(owner, v).name.as_str())
                }
                Part::Live(Live::Simulated(_)) => owned("Simulated"),
                Part::Live(Live::Residual(_)) => owned("Residual"),
                Part::Live(Live::Parameter(p)) => {
                    let model = self.twin_type(owner).model.as_ref();
                    configured(model.map_or("", |model| model.model.parameters()[p as usize].name.as_str()))
                }
                Part::Live(Live::State(i)) => {
                    let model = self.twin_type(owner).model.as_ref();
                    configured(model.map_or("", |model| model.model.states()[i as usize].name.as_str()))
                }
                Part::Live(Live::Revision) => owned("Revision"),
                Part::HaConfiguration(_) => (Namespace::Standard, "HA Configuration".into()),
                Part::AggregateConfiguration(_) => (Namespace::Standard, "AggregateConfiguration".into()),
                Part::InputArguments(_) => (Namespace::Standard, "InputArguments".into()),
                Part::OutputArguments(_) => (Namespace::Standard, "OutputArguments".into()),
                Part::Statistics => owned("Statistics"),
                Part::Model => owned("Model"),
                Part::Folder(folder) => owned(folder.name()),
                Part::LastFit => owned("LastFit"),
                Part::FitProgram => owned("FitProgram"),
                Part::FinalResult => (Namespace::Standard, "FinalResultData".into()),
                Part::Connection => owned("Connection"),
                Part::Method(method) if method.def().id == ids::METHOD_RESET_STATISTICS => {
                    (Namespace::Ia, method.def().name.into())
                }
                Part::Method(method) if method.program_call().is_some() => {
                    (Namespace::Standard, method.def().name.into())
                }
                Part::Method(method) => owned(method.def().name),
                Part::Condition(c) => {
                    let condition = &self.table(owner).conditions[c as usize];
                    let namespace = match condition.of {
                        ConditionOf::Limits(_) => Namespace::Twins,
                        ConditionOf::Drift => Namespace::Types,
                    };
                    (namespace, condition.name.as_str().into())
                }
                Part::ConditionField(c, f) => {
                    let field = self.condition_field(owner, c, f);
                    (field.namespace, field.name().into())
                }
                Part::ConditionMethod(_, method) => (Namespace::Standard, method.name().into()),
                Part::ConditionArguments(..) => (Namespace::Standard, "InputArguments".into()),
                _ => self.member(node).map_or_else(|| owned(""), |member| (member.namespace, member.name.into())),
            },
        }
    }

    /// What a variable that every object of its kind has is; `None`: another node.
    pub(super) fn member(&self, node: Node) -> Option<super::node::Member> {
        Some(match node {
            Node::Store(member) => member.member(),
            Node::Link(_, member) | Node::Part(_, Part::Link(member)) => member.member(),
            Node::Part(owner, part) => match part {
                Part::Property(_, member) => member.member(),
                Part::Archive(_, member) => member.member(),
                Part::Aggregation(_, member) => member.member(),
                Part::ParameterMember(_, member) => member.member(),
                Part::Rolling(member) => member.member(),
                Part::Joint(member) => member.member(),
                Part::Statistic(_, member) => member.member(),
                Part::ModelMember(member) => member.member(),
                Part::FitMember(member) => member.member(),
                Part::ProgramMember(member) => member.member(),
                Part::ResultMember(member) => member.member(),
                Part::ConditionField(c, f) => return self.condition_field(owner, c, f).member(),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The node it hangs from; `None`: a standard node (Objects, TwinType).
    pub(in crate::northbound) fn parent(&self, node: Node) -> Option<Node> {
        Some(match node {
            Node::Twins | Node::Connections | Node::History | Node::Owner(Owner::Type(_)) => return None,
            Node::Store(_) => Node::History,
            Node::Plc(_) => Node::Connections,
            Node::Link(p, _) => Node::Plc(p),
            Node::Owner(Owner::Twin(_)) => Node::Twins,
            Node::Part(owner, part) => match part {
                Part::Live(Live::Variable(_))
                | Part::Statistics
                | Part::Model
                | Part::FitProgram
                | Part::Connection => Node::Owner(owner),
                Part::Live(live @ (Live::Simulated(_) | Live::Residual(_))) => {
                    let v = self.variable_of(owner, live).and_then(|v| u32::try_from(v).ok()).unwrap_or(u32::MAX);
                    Node::Part(owner, Part::Live(Live::Variable(v)))
                }
                Part::Live(Live::Parameter(_)) => Node::Part(owner, Part::Folder(Folder::Parameters)),
                Part::Live(Live::State(_)) => Node::Part(owner, Part::Folder(Folder::States)),
                Part::Live(Live::Revision) => Node::Part(owner, Part::Model),
                Part::Property(live, _) | Part::HaConfiguration(live) => Node::Part(owner, Part::Live(live)),
                Part::Archive(live, _) | Part::AggregateConfiguration(live) => {
                    Node::Part(owner, Part::HaConfiguration(live))
                }
                Part::Aggregation(live, _) => Node::Part(owner, Part::AggregateConfiguration(live)),
                Part::ParameterMember(p, _) => Node::Part(owner, Part::Live(Live::Parameter(p))),
                Part::Rolling(_) | Part::Joint(_) | Part::VariableStatistics(_) => Node::Part(owner, Part::Statistics),
                Part::Statistic(v, _) => Node::Part(owner, Part::VariableStatistics(v)),
                Part::ModelMember(_) | Part::Folder(_) | Part::LastFit => Node::Part(owner, Part::Model),
                Part::FitMember(_) => Node::Part(owner, Part::LastFit),
                Part::ProgramMember(member) => {
                    Node::Part(owner, member.part_of().map_or(Part::FitProgram, Part::ProgramMember))
                }
                Part::FinalResult => Node::Part(owner, Part::FitProgram),
                Part::ResultMember(_) => Node::Part(owner, Part::FinalResult),
                Part::Method(method) if method.program_call().is_some() => Node::Part(owner, Part::FitProgram),
                Part::Method(method) if method.def().id == ids::METHOD_RESET_STATISTICS => {
                    Node::Part(owner, Part::Statistics)
                }
                Part::Method(_) => Node::Owner(owner),
                Part::InputArguments(method) | Part::OutputArguments(method) => Node::Part(owner, Part::Method(method)),
                Part::Link(_) => Node::Part(owner, Part::Connection),
                Part::Condition(_) => Node::Owner(owner),
                Part::ConditionField(c, f) => Node::Part(owner, self.parent_of_field(owner, c, f)),
                Part::ConditionMethod(c, _) => Node::Part(owner, Part::Condition(c)),
                Part::ConditionArguments(c, method) => Node::Part(owner, Part::ConditionMethod(c, method)),
            },
        })
    }

    /// The i-th child.
    pub(in crate::northbound) fn child(&self, node: Node, i: usize) -> Option<Node> {
        match node {
            Node::Twins => self.twins.nth(i).map(|twin| Node::Owner(Owner::Twin(twin.0))),
            Node::Connections => self.world.plcs.nth(i).map(|plc| Node::Plc(plc.0)),
            Node::History => Store::ALL.get(i).map(|member| Node::Store(*member)),
            Node::Plc(p) => Link::ALL.get(i).map(|member| Node::Link(p, *member)),
            Node::Store(_) | Node::Link(..) => None,
            Node::Owner(owner) => self.part_of_owner(owner, i).map(|part| Node::Part(owner, part)),
            Node::Part(owner, part) => self.part_of_part(owner, part, i).map(|part| Node::Part(owner, part)),
        }
    }

    fn part_of_owner(&self, owner: Owner, i: usize) -> Option<Part> {
        let table = self.table(owner);
        let Some(i) = i.checked_sub(table.variables.len()) else {
            return u32::try_from(i).ok().map(|v| Part::Live(Live::Variable(v)));
        };
        match owner {
            // The rest is declared by TwinType and inherited.
            Owner::Type(_) => None,
            Owner::Twin(t) if i == table.parts.len() => {
                self.twins.twins[t as usize].plc.is_some().then_some(Part::Connection)
            }
            Owner::Twin(_) => table.parts.get(i).copied(),
        }
    }

    fn part_of_part(&self, owner: Owner, part: Part, i: usize) -> Option<Part> {
        let table = self.table(owner);
        match part {
            Part::Live(Live::Variable(v)) => {
                let shown = |part: &&Part| match owner {
                    Owner::Twin(_) => true,
                    Owner::Type(_) => {
                        !matches!(part, Part::HaConfiguration(_) | Part::Property(_, Property::Annotations))
                    }
                };
                table.variables.get(v as usize)?.parts.iter().filter(shown).nth(i).copied()
            }
            Part::Live(live @ (Live::Simulated(_) | Live::Residual(_))) => match (i, owner) {
                (0, _) => Some(Part::Property(live, Property::EngineeringUnits)),
                (1, Owner::Twin(_)) => Some(Part::HaConfiguration(live)),
                _ => None,
            },
            Part::Live(live @ Live::Parameter(p)) => match i {
                0 => Some(Part::Property(live, Property::EngineeringUnits)),
                1 => Some(Part::HaConfiguration(live)),
                _ => ParameterMember::ALL.get(i - 2).map(|member| Part::ParameterMember(p, *member)),
            },
            Part::Live(live @ (Live::State(_) | Live::Revision)) => (i == 0).then_some(Part::HaConfiguration(live)),
            Part::HaConfiguration(live) => match Archive::ALL.get(i) {
                Some(member) => Some(Part::Archive(live, *member)),
                None => (i == Archive::ALL.len()).then_some(Part::AggregateConfiguration(live)),
            },
            Part::AggregateConfiguration(live) => {
                Aggregation::ALL.get(i).map(|member| Part::Aggregation(live, *member))
            }
            Part::Statistics => match i.checked_sub(table.rolling.len()) {
                None => table.rolling.get(i).map(|member| Part::Rolling(*member)),
                Some(0) => Method::with_id(ids::METHOD_RESET_STATISTICS).map(Part::Method),
                Some(i) => match table.joint.get(i - 1) {
                    Some(member) => Some(Part::Joint(*member)),
                    None => {
                        let v = table.with_statistics.get(i - 1 - table.joint.len());
                        v.map(|v| Part::VariableStatistics(*v))
                    }
                },
            },
            Part::VariableStatistics(v) => {
                table.variables.get(v as usize)?.statistics.get(i).map(|member| Part::Statistic(v, *member))
            }
            Part::Model => match (i, ModelMember::ALL.len()) {
                (i, members) if i < members => ModelMember::ALL.get(i).map(|member| Part::ModelMember(*member)),
                (i, members) if i == members => Some(Part::Live(Live::Revision)),
                (i, members) if i == members + 1 => Some(Part::LastFit),
                (i, members) => Folder::ALL.get(i - members - 2).map(|folder| Part::Folder(*folder)),
            },
            Part::Folder(Folder::Parameters) => {
                let parameters = self.twin_type(owner).model.as_ref().map_or(0, |m| m.model.parameters().len());
                (i < parameters).then(|| u32::try_from(i).ok()).flatten().map(|p| Part::Live(Live::Parameter(p)))
            }
            Part::Folder(Folder::States) => {
                let states = self.twin_type(owner).model.as_ref().map_or(0, |m| m.model.states().len());
                (i < states).then(|| u32::try_from(i).ok()).flatten().map(|i| Part::Live(Live::State(i)))
            }
            Part::LastFit => FitMember::ALL.get(i).map(|member| Part::FitMember(*member)),
            Part::FitProgram => {
                let members = (0..).map_while(|i| ProgramMember::part(None, i)).map(Part::ProgramMember);
                let methods =
                    ids::PROGRAM_METHODS.iter().filter_map(|(_, id, _)| Method::with_id(*id)).map(Part::Method);
                members.chain([Part::FinalResult]).chain(methods).nth(i)
            }
            Part::ProgramMember(member) => ProgramMember::part(Some(member), i).map(Part::ProgramMember),
            Part::FinalResult => ResultMember::ALL.get(i).map(|member| Part::ResultMember(*member)),
            Part::Method(method) => {
                let input = (!method.def().inputs.is_empty()).then_some(Part::InputArguments(method));
                let output = (!method.def().outputs.is_empty()).then_some(Part::OutputArguments(method));
                input.into_iter().chain(output).nth(i)
            }
            Part::Connection => Link::OF_TWIN.get(i).map(|member| Part::Link(*member)),
            Part::Condition(c) => {
                let fields = self.fields_below(owner, c, None);
                let methods = ConditionMethod::ALL.iter().map(|method| Part::ConditionMethod(c, *method));
                fields.chain(methods).nth(i)
            }
            Part::ConditionField(c, f) => {
                self.fields_below(owner, c, Some(self.condition_field(owner, c, f).path)).nth(i)
            }
            Part::ConditionMethod(c, method) => {
                (i == 0 && method.takes_event()).then_some(Part::ConditionArguments(c, method))
            }
            _ => None,
        }
    }
}

impl Method {
    /// Its signature.
    pub(in crate::northbound) fn def(self) -> &'static signatures::MethodDef {
        &signatures::METHODS[usize::from(self.0)]
    }

    /// What it asks of the twin's program; `None`: it is none of the program's methods.
    pub(in crate::northbound) fn program_call(self) -> Option<Ask> {
        ids::PROGRAM_METHODS.iter().find(|(_, id, _)| *id == self.def().id).map(|(_, _, ask)| *ask)
    }

    /// The method that TwinType (or TwinStatisticsType) declares with this number.
    pub(in crate::northbound) fn with_id(id: u32) -> Option<Self> {
        let at = signatures::METHODS.iter().position(|method| method.id == id)?;
        u8::try_from(at).ok().map(Self)
    }
}
