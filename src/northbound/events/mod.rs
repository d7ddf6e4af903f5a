//! Events to clients: which filters they may be asked by (`tree`, `filter`, `where_clause`), what each field of one is
//! (`fields`, by `table`), how they reach subscriptions (`delivery`), and what is asked of conditions (`methods`).

mod delivery;
mod fields;
mod filter;
mod like;
mod methods;
mod model_change;
mod table;
mod tree;
mod where_clause;

pub(super) use delivery::Listeners;
pub(super) use fields::{Told, field_value};
pub(super) use filter::{Clauses, decode as decode_filter};
pub(super) use methods::{call, is_refresh, refresh};
pub use model_change::ModelChange;
pub(super) use model_change::as_seen_by;
pub(super) use table::{Field, FieldKind, of_condition as fields_of_condition};
pub(super) use tree::{EventTypesForUser, SharedTypes};
pub(super) use where_clause::Where;
