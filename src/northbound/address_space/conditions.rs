//! The nodes of a condition: one per field of its events (OPC 10000-9 §4.3), and its methods.

use opcua::types::Variant;

use super::{AddressSpace, Owner, Part, node::Member, values::Figure};
use crate::{
    event::{Event, EventType},
    northbound::events::{self, Field, FieldKind},
    sample::TwinId,
    twin::{ConditionOf, TwinType},
};

/// What follows from a condition of a type.
pub(super) struct ConditionTable {
    /// BrowseName.
    pub(super) name: String,
    pub(super) of: ConditionOf,
    fields: Box<[&'static Field]>,
}

impl ConditionTable {
    pub(super) fn new(twin_type: &TwinType, of: ConditionOf) -> Self {
        let event_type = match of {
            ConditionOf::Limits(_) => EventType::ExclusiveLevelAlarm,
            ConditionOf::Drift => EventType::DriftAlarm,
        };
        let is_there = |field: &&Field| match of {
            ConditionOf::Limits(v) => twin_type.variables[v].alarm.is_some_and(|alarm| alarm.has_field(field.path)),
            ConditionOf::Drift => true,
        };
        let fields = events::fields_of_condition(event_type).filter(is_there).collect();
        Self { name: twin_type.condition_path(of), of, fields }
    }
}

impl Field {
    /// As a variable; `None`: it is an object.
    pub(super) fn member(&self) -> Option<Member> {
        (self.kind != FieldKind::LimitStateMachine).then(|| Member {
            name: self.name(),
            namespace: self.namespace,
            property: self.kind == FieldKind::Property,
            data_type: self.data_type,
            rank: self.rank,
        })
    }
}

impl AddressSpace {
    pub(super) fn condition_field(&self, owner: Owner, c: u32, f: u16) -> &'static Field {
        self.table(owner).conditions[c as usize].fields[usize::from(f)]
    }

    /// The fields below the one of this path, or below the condition itself.
    pub(super) fn fields_below(
        &self,
        owner: Owner,
        c: u32,
        path: Option<&'static str>,
    ) -> impl Iterator<Item = Part> + '_ {
        let fields = self.table(owner).conditions[c as usize].fields.iter().zip(0..);
        fields.filter(move |(field, _)| field.parent() == path).map(move |(_, f)| Part::ConditionField(c, f))
    }

    pub(super) fn parent_of_field(&self, owner: Owner, c: u32, f: u16) -> Part {
        let parent = self.condition_field(owner, c, f).parent();
        let fields = &self.table(owner).conditions[c as usize].fields;
        let at = parent.and_then(|parent| fields.iter().position(|field| field.path == parent));
        at.and_then(|at| u16::try_from(at).ok()).map_or(Part::Condition(c), |f| Part::ConditionField(c, f))
    }

    /// As the condition stands; what only an event has is null before the first.
    pub(super) fn condition_value(&self, twin: TwinId, c: u32, f: u16) -> Figure {
        let field = self.condition_field(Owner::Twin(twin.0), c, f);
        let live = self.world.state.read(twin);
        let Some(condition) = live.conditions.get(c as usize) else { return Figure::good(Variant::Empty) };
        match (condition.last(), field.path) {
            (Some(last), "EventId" | "Time" | "ReceiveTime") => {
                Figure::good(events::field_value(self, last, field.path))
            }
            (None, "EventId" | "Time" | "ReceiveTime") => Figure::good(Variant::Empty),
            _ => {
                let now: Event = condition.standing();
                Figure::good(events::field_value(self, &now, field.path))
            }
        }
    }
}
