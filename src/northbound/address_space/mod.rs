//! The twins' namespace as a function of what is configured: no node of it is stored. `node` says what nodes there are,
//! `structure` where they stand and how they are called, `references` and `attributes` what a client is told, `values` and
//! the files below it what they hold. Never waits, never writes.

mod attributes;
mod conditions;
mod figures;
mod joint;
mod node;
mod program;
mod references;
mod structure;
mod values;
mod visible;

use std::{collections::HashMap, sync::Arc};

use opcua::types::{NodeId, ReferenceTypeId};

pub(super) use attributes::{TELLS_EVENTS, standard};
pub(super) use node::{ConditionMethod, Live, Method, Namespace, Node, Owner, Part, ProgramMember, Property};
pub(super) use references::{Kind, Reference, Target};
pub(super) use values::Extents;

use conditions::ConditionTable;
use node::{Folder, Joint, Rolling, Statistic};

use super::{World, aggregates, events::Clauses, ids, signatures};
use crate::{
    aggregate::{Aggregate, Configuration},
    sample::TwinId,
    southbound::{PlcConfig, PlcId, Plcs},
    statistics::Window,
    time::Timestamp,
    twin::{ConditionOf, DataType, Facet, StatisticsSettings, TwinType, Twins, Variable},
};

/// Indices of the namespaces in this server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Namespaces {
    pub(super) types: u16,
    pub(super) ia: u16,
    pub(super) twins: u16,
    /// There is none after it.
    pub(super) last: u16,
}

/// Everything the twins' namespace is made from.
pub(super) struct AddressSpace {
    pub(super) world: World,
    pub(super) namespaces: Namespaces,
    twins: Arc<Twins>,
    types: Box<[TypeTable]>,
    twin_by_name: HashMap<String, u32>,
    /// Twins that each PLC feeds.
    fed_by: Box<[Vec<u32>]>,
    /// When the server started: SourceTimestamp of what never changes.
    pub(super) started: Timestamp,
    /// What was last worked out of windows.
    summaries: figures::Summaries,
    /// What the AggregateFunctions folders organise.
    aggregates: Box<[NodeId]>,
    /// NodeIds of the reference types, by [`Kind`].
    kinds: Box<[NodeId]>,
    /// Where clauses of those who listen to events.
    pub(super) clauses: Arc<Clauses>,
}

/// What follows from a twin type, worked out once.
struct TypeTable {
    variable_by_name: HashMap<String, u32>,
    variables: Box<[VariableTable]>,
    /// Of the object of the statistics.
    rolling: Box<[Rolling]>,
    /// Of the correlation matrix; none where there is none.
    joint: &'static [Joint],
    /// Variables that have any.
    with_statistics: Box<[u32]>,
    /// Parts of a twin after its variables and before its Connection.
    parts: Box<[Part]>,
    /// In the order of [`TwinType::conditions`].
    conditions: Box<[ConditionTable]>,
    /// Distinct variables that drive the model, and that it explains.
    inputs: Box<[u32]>,
    outputs: Box<[u32]>,
}

struct VariableTable {
    parts: Box<[Part]>,
    /// None where there are none of it.
    statistics: Box<[Statistic]>,
    is_input: bool,
    is_output: bool,
    /// Its limits' condition.
    condition: Option<u32>,
}

impl AddressSpace {
    pub(super) fn new(world: World, namespaces: Namespaces) -> Self {
        let twins = world.state.configured();
        let mut fed_by = vec![Vec::new(); world.plcs.numbers()];
        for id in twins.ids() {
            if let Some(fed) = twins.twin(id).plc.and_then(|plc| fed_by.get_mut(plc.0 as usize)) {
                fed.push(id.0);
            }
        }
        let kinds = Kind::ALL.iter().map(|kind| match kind.standard() {
            Some(id) => id.into(),
            None => NodeId::new(namespaces.ia, ids::IA_HAS_STATISTIC_COMPONENT),
        });
        Self {
            types: twins.types.iter().map(TypeTable::new).collect(),
            twin_by_name: twins.ids().map(|id| (twins.twin(id).name.clone(), id.0)).collect(),
            fed_by: fed_by.into(),
            started: world.clock.now(),
            summaries: figures::Summaries::default(),
            aggregates: Aggregate::ALL
                .iter()
                .map(|aggregate| aggregates::node_id(*aggregate, namespaces.types))
                .collect(),
            kinds: kinds.collect(),
            clauses: Arc::default(),
            twins,
            world,
            namespaces,
        }
    }

    /// The same of what is configured now.
    pub(super) fn succeeded_by(&self, plcs: Arc<Plcs>) -> Self {
        let next = Self::new(World { plcs, ..self.world.clone() }, self.namespaces);
        Self { started: self.started, clauses: Arc::clone(&self.clauses), ..next }
    }

    /// The NodeIds of the twin types.
    pub(super) fn type_ids(&self) -> impl Iterator<Item = NodeId> {
        let owners = self.twins.type_indices().iter().filter_map(|t| u32::try_from(*t).ok());
        owners.map(|t| self.id(Node::Owner(Owner::Type(t))))
    }

    fn type_index(&self, owner: Owner) -> usize {
        match owner {
            Owner::Type(t) => t as usize,
            Owner::Twin(t) => self.twins.twins[t as usize].type_index,
        }
    }

    pub(super) fn twin_type(&self, owner: Owner) -> &TwinType {
        &self.twins.types[self.type_index(owner)]
    }

    fn table(&self, owner: Owner) -> &TypeTable {
        &self.types[self.type_index(owner)]
    }

    /// The variable behind a live node; `None`: part of the model.
    pub(super) fn variable_of(&self, owner: Owner, live: Live) -> Option<usize> {
        match live {
            Live::Variable(v) => Some(v as usize),
            Live::Simulated(k) | Live::Residual(k) => {
                self.twin_type(owner).model.as_ref().and_then(|model| model.outputs.get(k as usize).copied())
            }
            Live::Parameter(_) | Live::State(_) | Live::Revision => None,
        }
    }

    fn variable(&self, owner: Owner, v: u32) -> &Variable {
        &self.twin_type(owner).variables[v as usize]
    }

    /// Whether samples of a twin's live node are stored.
    pub(super) fn historized(&self, twin: TwinId, live: Live) -> bool {
        self.twins.historized(self.twins.series(twin, live.facet()))
    }

    /// Whether a value holds until the next one.
    pub(super) fn stepped(&self, owner: Owner, live: Live) -> bool {
        // A parameter holds until the next revision, as does its number; a state moves.
        let is_held = !matches!(live, Live::State(_));
        self.variable_of(owner, live).map_or(is_held, |v| self.twin_type(owner).variables[v].stepped)
    }

    /// How the statuses of a node's samples weigh in aggregates.
    pub(super) fn aggregation(&self, owner: Owner, live: Live) -> Configuration {
        let variable = self.variable_of(owner, live);
        variable.map_or_else(Configuration::default, |v| self.twin_type(owner).variables[v].aggregate)
    }

    /// Whether clients, not a PLC, give this variable its values.
    pub(super) fn is_internal(&self, twin: TwinId, live: Live) -> bool {
        matches!(live, Live::Variable(v) if self.twins.twin(twin).sources[v as usize].is_none()
            && self.twins.type_of(twin).variables[v as usize].derived.is_none())
    }

    pub(super) fn configured(&self) -> &Twins {
        &self.twins
    }

    fn plc(&self, plc: u32) -> &PlcConfig {
        &self.world.plcs.get(PlcId(plc)).expect("nodes are made of the PLCs that have numbers").config
    }

    /// NodeId of a reference type.
    pub(super) fn kind_id(&self, kind: Kind) -> &NodeId {
        &self.kinds[kind as usize]
    }

    pub(super) fn namespace_index(&self, namespace: Namespace) -> u16 {
        match namespace {
            Namespace::Standard => 0,
            Namespace::Types => self.namespaces.types,
            Namespace::Ia => self.namespaces.ia,
            Namespace::Twins => self.namespaces.twins,
        }
    }
}

impl Live {
    /// As the twins number their series.
    pub(super) const fn facet(self) -> Facet {
        match self {
            Self::Variable(i) => Facet::Variable(i as usize),
            Self::Simulated(i) => Facet::Simulated(i as usize),
            Self::Residual(i) => Facet::Residual(i as usize),
            Self::Parameter(i) => Facet::Parameter(i as usize),
            Self::State(i) => Facet::State(i as usize),
            Self::Revision => Facet::Revision,
        }
    }

    pub(super) fn from_facet(facet: Facet) -> Self {
        let index = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        match facet {
            Facet::Variable(i) => Self::Variable(index(i)),
            Facet::Simulated(i) => Self::Simulated(index(i)),
            Facet::Residual(i) => Self::Residual(index(i)),
            Facet::Parameter(i) => Self::Parameter(index(i)),
            Facet::State(i) => Self::State(index(i)),
            Facet::Revision => Self::Revision,
        }
    }
}

impl TypeTable {
    fn new(twin_type: &TwinType) -> Self {
        let index = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let model = twin_type.model.as_ref();
        let distinct = |variables: &[usize]| {
            let mut seen: Vec<u32> = variables.iter().copied().map(index).collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        let inputs = model.map_or_else(Vec::new, |model| distinct(&model.inputs));
        let outputs = model.map_or_else(Vec::new, |model| distinct(&model.outputs));
        let conditions = twin_type.conditions();
        let variables = twin_type.variables.iter().enumerate().map(|(v, variable)| VariableTable {
            parts: variable_parts(twin_type, v, variable),
            statistics: statistics(twin_type, variable),
            is_input: inputs.contains(&index(v)),
            is_output: outputs.contains(&index(v)),
            condition: conditions.iter().position(|condition| *condition == ConditionOf::Limits(v)).map(index),
        });
        let numbered = twin_type.variables.iter().enumerate();
        Self {
            variables: variables.collect(),
            rolling: rolling(&twin_type.statistics),
            joint: if twin_type.correlate.is_some() { Joint::ALL } else { &[] },
            with_statistics: numbered.clone().filter(|(_, v)| v.has_statistics()).map(|(v, _)| index(v)).collect(),
            variable_by_name: numbered.map(|(v, variable)| (variable.name.clone(), index(v))).collect(),
            parts: twin_parts(twin_type),
            conditions: conditions.iter().map(|condition| ConditionTable::new(twin_type, *condition)).collect(),
            inputs: inputs.into(),
            outputs: outputs.into(),
        }
    }
}

/// Never both windows; of a lot there is none.
fn rolling(settings: &StatisticsSettings) -> Box<[Rolling]> {
    let window = match settings.window {
        Window::Duration(_) => Some(Rolling::WindowDuration),
        Window::Values(_) => Some(Rolling::WindowNumberOfValues),
        Window::SinceReset => None,
    };
    let condition = settings.lot.map(|_| Rolling::ResetCondition);
    [Rolling::StartTime].into_iter().chain(window).chain(condition).collect()
}

fn statistics(twin_type: &TwinType, variable: &Variable) -> Box<[Statistic]> {
    let has = |statistic: &&Statistic| variable.has_statistics() && statistic.is_of(variable, &twin_type.statistics);
    Statistic::ALL.iter().filter(has).copied().collect()
}

/// A variable's children. The rule of its type definition is in `references`.
fn variable_parts(twin_type: &TwinType, v: usize, variable: &Variable) -> Box<[Part]> {
    let live = Live::Variable(u32::try_from(v).unwrap_or(u32::MAX));
    let mut properties = vec![Property::Definition];
    match (variable.data_type, variable.states.is_empty()) {
        (DataType::Boolean, false) => properties.extend([Property::TrueState, Property::FalseState]),
        (_, false) => properties.push(Property::EnumStrings),
        (_, true) if variable.is_numeric() => {
            properties.push(Property::EngineeringUnits);
            if variable.range.is_some() {
                properties.extend([Property::EuRange, Property::InstrumentRange]);
            }
        }
        _ => {}
    }
    let mut parts: Vec<Part> = properties.into_iter().map(|property| Part::Property(live, property)).collect();
    let output = twin_type.model.as_ref().and_then(|model| model.outputs.iter().position(|output| *output == v));
    if let Some(k) = output.and_then(|k| u32::try_from(k).ok()) {
        parts.extend([Part::Live(Live::Simulated(k)), Part::Live(Live::Residual(k))]);
    }
    if variable.historize {
        parts.extend([Part::Property(live, Property::Annotations), Part::HaConfiguration(live)]);
    }
    parts.into()
}

/// A twin's parts besides its variables and its Connection.
fn twin_parts(twin_type: &TwinType) -> Box<[Part]> {
    let has_model = twin_type.model.is_some();
    let mut parts = vec![Part::Statistics];
    if has_model {
        parts.extend([Part::Model, Part::FitProgram]);
    }
    for m in 0..signatures::METHODS.len() {
        let method = Method(u8::try_from(m).unwrap_or(u8::MAX));
        let has_it = match method.def().id {
            ids::METHOD_RESET_STATISTICS => false,         // of Statistics
            ids::METHOD_RELOAD => false,                   // of Configuration
            _ if method.program_call().is_some() => false, // of FitProgram
            ids::METHOD_CORRELATE => true,
            ids::METHOD_OPTIMIZE_SETPOINTS => twin_type.optimize.is_some(),
            _ => has_model,
        };
        if has_it {
            parts.push(Part::Method(method));
        }
    }
    parts.extend((0..).zip(twin_type.conditions()).map(|(c, _)| Part::Condition(c)));
    parts.into()
}

impl Kind {
    /// Its NodeId in the standard; `None`: IA's HasStatisticComponent.
    const fn standard(self) -> Option<ReferenceTypeId> {
        Some(match self {
            Self::HasTypeDefinition => ReferenceTypeId::HasTypeDefinition,
            Self::Organizes => ReferenceTypeId::Organizes,
            Self::HasComponent => ReferenceTypeId::HasComponent,
            Self::HasProperty => ReferenceTypeId::HasProperty,
            Self::HasSubtype => ReferenceTypeId::HasSubtype,
            Self::HasInterface => ReferenceTypeId::HasInterface,
            Self::HasModellingRule => ReferenceTypeId::HasModellingRule,
            Self::HasHistoricalConfiguration => ReferenceTypeId::HasHistoricalConfiguration,
            Self::HasNotifier => ReferenceTypeId::HasNotifier,
            Self::HasEventSource => ReferenceTypeId::HasEventSource,
            Self::HasCondition => ReferenceTypeId::HasCondition,
            Self::HasStatisticComponent => return None,
        })
    }
}
