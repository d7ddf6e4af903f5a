//! What a node holds now. Configured things are Good since the server started; the rest is read from the live values, a
//! short lock per twin.

use std::{collections::HashMap, fmt::Write};

use opcua::types::{DataValue, ExtensionObject, LocalizedText, Range, UAString, Variant};

use super::{
    AddressSpace, Live, Node, Owner, Part, Property,
    node::{Aggregation, Archive, Link, Rolling, Store},
};
use crate::{
    aggregate::Configuration,
    northbound::{
        signatures::{self, ArgDef},
        units::engineering_units,
    },
    preprocess::describe,
    sample::{SeriesId, StatusCode, TwinId},
    southbound::{LinkState, Plc, PlcId},
    time::Timestamp,
    ua,
};

/// Oldest and newest stored sample of series, fetched from the store before values are asked for (the store may block).
pub(in crate::northbound) type Extents = HashMap<SeriesId, Option<(Timestamp, Timestamp)>>;

/// A value and how good it is.
pub(super) struct Figure {
    pub(super) value: Variant,
    pub(super) status: StatusCode,
}

impl Figure {
    pub(super) fn good(value: impl Into<Variant>) -> Self {
        Self { value: value.into(), status: StatusCode::Good }
    }

    pub(super) fn bad(status: StatusCode) -> Self {
        Self { value: Variant::Empty, status }
    }

    /// Null where the time was not given.
    pub(super) fn time(time: Timestamp) -> Self {
        Self::good(ua::given(time).map_or(Variant::Empty, Variant::from))
    }

    pub(super) fn stamped(self, source: Timestamp, now: Timestamp) -> DataValue {
        DataValue {
            value: Some(self.value),
            status: Some(self.status),
            source_timestamp: ua::given(source),
            server_timestamp: ua::given(now),
            ..DataValue::default()
        }
    }
}

impl AddressSpace {
    /// The value of a variable with both timestamps.
    pub(in crate::northbound) fn value(&self, node: Node, now: Timestamp, extents: &Extents) -> DataValue {
        match node {
            Node::Store(member) => self.store(member).stamped(now, now),
            Node::Link(p, member) => self.link(PlcId(p), member).stamped(now, now),
            Node::Part(Owner::Twin(t), Part::Live(live)) => {
                ua::live_data_value(&self.world.state.sample(TwinId(t), live.facet()), now)
            }
            Node::Part(Owner::Twin(t), Part::ProgramMember(member)) => {
                let program = self.world.state.read(TwinId(t)).program;
                self.program_value(&program, member, now)
            }
            Node::Part(Owner::Twin(t), part) => match self.changing(TwinId(t), part, now) {
                Some(figure) => figure.stamped(now, now),
                None => self.fixed(Owner::Twin(t), part, extents).stamped(self.started, now),
            },
            Node::Part(owner, part) => self.fixed(owner, part, extents).stamped(self.started, now),
            _ => Figure::bad(StatusCode::BadAttributeIdInvalid).stamped(now, now),
        }
    }

    /// The series whose extent the value of a node needs.
    pub(in crate::northbound) fn needs_extent(&self, node: Node) -> Option<SeriesId> {
        match node {
            Node::Part(Owner::Twin(t), Part::Archive(live, Archive::Start | Archive::OnlineStart)) => {
                Some(self.configured().series(TwinId(t), live.facet()))
            }
            _ => None,
        }
    }

    /// Whether the value changes without a sample: what `Publisher::tick` looks at.
    pub(in crate::northbound) fn is_slow(&self, node: Node) -> bool {
        match node {
            Node::Store(_) | Node::Link(..) => true,
            Node::Part(Owner::Twin(_), part) => matches!(
                part,
                Part::Statistic(..)
                    | Part::Rolling(Rolling::StartTime)
                    | Part::Joint(_)
                    | Part::ModelMember(_)
                    | Part::ParameterMember(..)
                    | Part::FitMember(_)
                    | Part::ProgramMember(_)
                    | Part::ResultMember(_)
                    | Part::Link(_)
                    | Part::ConditionField(..)
            ),
            _ => false,
        }
    }

    /// Values that change by themselves; `None`: those that don't.
    fn changing(&self, twin: TwinId, part: Part, now: Timestamp) -> Option<Figure> {
        let twin_type = self.configured().type_of(twin);
        Some(match part {
            Part::Statistic(v, statistic) => {
                let live = self.world.state.read(twin);
                super::figures::statistic(&self.summaries, (twin, &live), twin_type, v as usize, statistic, now)
            }
            Part::Joint(member) => super::joint::figure(&self.world.state.read(twin), twin_type, member, now),
            Part::Rolling(Rolling::StartTime) => Figure::time(self.world.state.read(twin).statistics_since),
            Part::ModelMember(member) => super::figures::model(twin_type.model.as_ref(), member),
            Part::ParameterMember(p, member) => super::figures::parameter(
                &self.world.state.read(twin),
                self.configured().twin(twin),
                twin_type.model.as_ref(),
                p as usize,
                member,
            ),
            Part::FitMember(member) => super::figures::last_fit(&self.world.state.read(twin).last_fit, member),
            Part::ConditionField(c, f) => self.condition_value(twin, c, f),
            Part::ResultMember(member) => super::program::result(&self.world.state.read(twin).last_fit, member),
            Part::Link(member) => match self.configured().twin(twin).plc {
                Some(plc) => self.link(plc, member),
                None => Figure::bad(StatusCode::BadNotConnected),
            },
            _ => return None,
        })
    }

    fn fixed(&self, owner: Owner, part: Part, extents: &Extents) -> Figure {
        match part {
            Part::Property(live, property) => self.property(owner, live, property),
            Part::Archive(live, member) => self.archive(owner, live, member, extents),
            Part::Aggregation(live, member) => aggregation(self.aggregation(owner, live), member),
            Part::Rolling(member) => {
                let twin_type = self.twin_type(owner);
                match (member, twin_type.statistics.window) {
                    (Rolling::ResetCondition, _) => super::figures::reset_condition(twin_type, &twin_type.statistics),
                    (_, window) => super::figures::window(window),
                }
            }
            Part::InputArguments(method) => arguments(method.def().inputs),
            Part::OutputArguments(method) => arguments(method.def().outputs),
            Part::ConditionArguments(..) => arguments(signatures::CONDITION_ARGUMENTS),
            // An InstanceDeclaration has no device behind it.
            _ => Figure::good(Variant::Empty),
        }
    }

    fn property(&self, owner: Owner, live: Live, property: Property) -> Figure {
        let variable = self.variable_of(owner, live).map(|v| &self.twin_type(owner).variables[v]);
        let state = |v: usize| {
            let name = variable.and_then(|variable| variable.states.get(v)).map_or("", String::as_str);
            LocalizedText::new("", name)
        };
        match property {
            Property::EuRange | Property::InstrumentRange => match variable.and_then(|variable| variable.range) {
                Some((low, high)) => Figure::good(ExtensionObject::from_message(Range { low, high })),
                None => Figure::bad(StatusCode::BadNoData),
            },
            Property::EngineeringUnits => {
                let unit = match (variable, live) {
                    (Some(variable), _) => variable.unit.as_str(),
                    (None, Live::Parameter(p)) => {
                        let model = self.twin_type(owner).model.as_ref();
                        model.map_or("", |model| model.model.parameters()[p as usize].unit.as_str())
                    }
                    (None, _) => "",
                };
                Figure::good(ExtensionObject::from_message(engineering_units((!unit.is_empty()).then_some(unit))))
            }
            Property::Definition => Figure::good(UAString::from(self.definition(owner, live))),
            Property::TrueState => Figure::good(state(1)),
            Property::FalseState => Figure::good(state(0)),
            // They are its history; now there is none (OPC 10000-11 §5.1.2).
            Property::Annotations => Figure::good(Variant::Empty),
            Property::EnumStrings => {
                let states = variable.map_or(0, |variable| variable.states.len());
                Figure::good((0..states).map(state).collect::<Vec<_>>())
            }
        }
    }

    /// Where a value comes from, in words: source → filters.
    fn definition(&self, owner: Owner, live: Live) -> String {
        let Some(v) = self.variable_of(owner, live) else {
            let what = match live {
                Live::Revision => "number of the parameters in force",
                Live::State(_) => "state of the model in force, beside the device",
                _ => "parameter of the model in force",
            };
            return what.to_owned();
        };
        match live {
            Live::Simulated(_) => return "what the model in force makes of the inputs".to_owned(),
            Live::Residual(_) => return "measured minus simulated".to_owned(),
            Live::Variable(_) | Live::Parameter(_) | Live::State(_) | Live::Revision => {}
        }
        let variable = &self.twin_type(owner).variables[v];
        let mut text = match (owner, &variable.derived) {
            (_, Some(derived)) => format!("= {}", derived.expr.text()),
            (Owner::Type(_), None) => String::new(),
            (Owner::Twin(t), None) => {
                let twin = &self.configured().twins[t as usize];
                let plc = twin.plc.and_then(|plc| self.world.plcs.get(plc)).map(|plc| plc.config.name.as_str());
                match (plc, &twin.sources[v]) {
                    (Some(plc), Some(source)) => format!("{plc}: {source}"),
                    _ => "internal: written by clients".to_owned(),
                }
            }
        };
        let filters = describe(&variable.preprocess);
        if !filters.is_empty() {
            let arrow = if text.is_empty() { "" } else { " → " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{arrow}{filters}");
        }
        text
    }

    fn archive(&self, owner: Owner, live: Live, member: Archive, extents: &Extents) -> Figure {
        match member {
            Archive::Stepped => Figure::good(self.stepped(owner, live)),
            Archive::Definition => Figure::good(UAString::from(self.definition(owner, live))),
            Archive::Start | Archive::OnlineStart => {
                let Owner::Twin(t) = owner else { return Figure::good(Variant::Empty) };
                let series = self.configured().series(TwinId(t), live.facet());
                match extents.get(&series).copied().flatten() {
                    Some((oldest, _)) => Figure::time(oldest),
                    None => Figure::good(Variant::Empty), // nothing stored yet
                }
            }
            Archive::MinInterval => Figure::good(self.recorded_every_ms(owner, live)),
            // No longest interval: what stays as it is is not recorded again.
            Archive::MaxInterval => Figure::good(0.0),
        }
    }

    /// How far apart the recorder's samples are meant to be at least: as the PLC is asked to sample, and what is simulated
    /// stands at the same instants. 0: as they come, which is how clients write and parameters change.
    fn recorded_every_ms(&self, owner: Owner, live: Live) -> f64 {
        let Some(v) = self.variable_of(owner, live) else { return 0.0 };
        let is_sampled = matches!(owner, Owner::Twin(t) if self.configured().twins[t as usize].sources[v].is_some());
        if is_sampled { self.twin_type(owner).variables[v].sampling_interval.as_secs_f64() * 1e3 } else { 0.0 }
    }

    fn link(&self, plc: PlcId, member: Link) -> Figure {
        let Some(Plc { config, link, .. }) = self.world.plcs.get(plc) else {
            return Figure::bad(StatusCode::BadNotConnected);
        };
        let status = link.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match member {
            Link::State => Figure::good(match status.state {
                LinkState::Connecting => "Connecting",
                LinkState::Connected => "Connected",
                LinkState::Lost => "Lost",
            }),
            Link::LastError => Figure::good(status.last_error.as_str()),
            Link::LastDataTime => Figure::time(status.last_data),
            Link::Endpoint => Figure::good(config.endpoints.get(status.endpoint).map_or("", String::as_str)),
            Link::ServiceLevel => Figure::good(status.service_level.map_or(Variant::Empty, Variant::Byte)),
            Link::ClockOffset if status.clock_offset_s.is_nan() => Figure::good(Variant::Empty),
            Link::ClockOffset => Figure::good(status.clock_offset_s * 1e3),
            Link::Reconnects => Figure::good(status.reconnects),
            Link::SamplesReceived => Figure::good(status.samples_received),
            Link::SamplesDropped => Figure::good(status.samples_dropped),
            Link::Overflows => Figure::good(status.overflows),
            Link::MessagesLost => Figure::good(status.messages_lost),
        }
    }

    fn store(&self, member: Store) -> Figure {
        let status = (self.world.history_status)();
        match member {
            Store::DurableUntil => Figure::time(status.durable_until),
            Store::State => Figure::good(status.state.as_str()),
            Store::FreeSpace => Figure::good(status.free_space.map_or(Variant::Empty, Variant::UInt64)),
        }
    }
}

fn aggregation(configuration: Configuration, member: Aggregation) -> Figure {
    match member {
        Aggregation::TreatUncertainAsBad => Figure::good(configuration.treat_uncertain_as_bad),
        Aggregation::PercentDataBad => Figure::good(configuration.percent_data_bad),
        Aggregation::PercentDataGood => Figure::good(configuration.percent_data_good),
        Aggregation::UseSlopedExtrapolation => Figure::good(configuration.use_sloped_extrapolation),
    }
}

fn arguments(arguments: &[ArgDef]) -> Figure {
    Figure::good(
        arguments.iter().map(|argument| ExtensionObject::from_message(argument.to_argument())).collect::<Vec<_>>(),
    )
}
