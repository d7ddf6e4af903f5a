//! Events to clients: what each field of one is (`fields`, by `table`), which filters fit (`tree`).

mod delivery;
mod fields;
mod methods;
mod table;
mod tree;

pub(super) use delivery::Listeners;
pub(super) use fields::{Told, field_value};
pub(super) use methods::{call, is_refresh, refresh};
pub(super) use table::{Field, FieldKind, of_condition as fields_of_condition};
pub(super) use tree::{EventTypesForUser, SharedTypes};
