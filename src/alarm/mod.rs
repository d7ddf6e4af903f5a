//! Alarms: a limit that is crossed, a residual that drifts, as conditions (OPC 10000-9). Pure: when something changes, the
//! stage that knows says so, and sends the event that a condition makes of itself.

mod certificate;
mod condition;
#[cfg(test)]
mod condition_tests;
mod limit;

pub use certificate::{CERTIFICATE_CONDITION, certificate_activity, certificate_kind};
pub use condition::{Activity, Ask, Condition, ConditionKind, limit_fields};
pub use limit::{Level, LimitSettings, LimitWatch};
