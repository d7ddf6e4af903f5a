//! Which names a config may give: they become BrowseNames and parts of NodeIds, and stay for ever.

use super::raw::Item;
use crate::twin::LEVEL_ALARM;

/// What a name names; each has names that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the tables' own names")]
pub enum Kind {
    Plc,
    TwinType,
    Twin,
    Variable,
}

/// Folders beside the twins (information model, "Instances").
const TWIN_RESERVED: [&str; 3] = ["Twins", "Connections", "History"];

/// What TwinType declares, and what stands inside `Statistics` beside the variables.
const VARIABLE_RESERVED: [&str; 28] = [
    "Statistics",
    "Model",
    "Connection",
    "Fit",
    "Simulate",
    "Predict",
    "OptimizeSetpoints",
    "ActivateRevision",
    "SetParameters",
    "Correlate",
    "CancelFit",
    "FitProgram",
    "DriftAlarm",
    "WindowDuration",
    "WindowNumberOfValues",
    "StartTime",
    "ResetStatistics",
    "ResetCondition",
    "Correlation",
    "CorrelationVariables",
    "CorrelationCount",
    "CorrelationPValue",
    "CorrelationLag",
    "CorrelationMethod",
    "HotellingT2",
    "HotellingT2Limit",
    "Spe",
    "SpeLimit",
];

/// Longest name. OPC 10000-3 §8.3 allows 512 characters; an operator has to read this one.
pub const CHARACTERS_MAX: usize = 128;

/// Whether the name may be used; else a fault at the key.
pub(super) fn check(kind: Kind, name: &str, item: &Item<'_>) -> bool {
    let fault = fault(kind, name);
    if let Some((message, remedy)) = &fault {
        item.fault_at_key(message, remedy);
    }
    fault.is_none()
}

/// What is wrong with a name, and what to do; `None`: it may be used.
#[must_use]
pub fn fault(kind: Kind, name: &str) -> Option<(String, String)> {
    let what = match kind {
        Kind::Plc => "a PLC",
        Kind::TwinType => "a twin type",
        Kind::Twin => "a twin",
        Kind::Variable => "a variable",
    };
    let reserved: &[&str] = match kind {
        Kind::Twin => &TWIN_RESERVED,
        Kind::Variable => &VARIABLE_RESERVED,
        Kind::Plc | Kind::TwinType => &[],
    };
    let forbidden = name.chars().find(|c| matches!(c, '.' | ':' | '/') || c.is_control());
    Some(if name.trim().is_empty() {
        (format!("{what} needs a name"), "give a name".to_owned())
    } else if name.trim() != name {
        (format!("{name:?} begins or ends with a space"), "remove the space".to_owned())
    } else if let Some(forbidden) = forbidden {
        (
            format!("a name must not contain {forbidden:?}: it joins the parts of NodeIds and paths"),
            "use letters, digits, `_` or `-`".to_owned(),
        )
    } else if name.chars().count() > CHARACTERS_MAX {
        (format!("the name is longer than {CHARACTERS_MAX} characters"), "shorten it".to_owned())
    } else if kind == Kind::Variable && name.ends_with(LEVEL_ALARM) {
        (
            format!("a name that ends in {LEVEL_ALARM} is that of the alarm of another variable"),
            "choose another name".to_owned(),
        )
    } else if reserved.contains(&name) {
        (
            format!("`{name}` is taken: every twin or its server already has a node of that name"),
            "choose another name".to_owned(),
        )
    } else {
        return None;
    })
}
