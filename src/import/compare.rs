//! What a config says of a PLC's variables, and what the PLC says: where they differ.

use serde::Serialize;

use crate::{
    config,
    northbound::units,
    preprocess::FilterSpec,
    sample::StatusCode,
    southbound::{
        NodeAddress, PlcId,
        survey::{Facts, Inspected, Shape},
    },
    twin::{DataType, Twins, Variable},
};

/// One difference between a config and a PLC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which twin.
    pub twin: String,
    /// Which of its variables.
    pub variable: String,
    /// Where the config says that it is.
    pub source: String,
    /// What differs: `missing`, `unreadable`, `data_type`, `array`, `writable`, `range`, `unit`, `sampling_interval`.
    pub what: &'static str,
    /// In a sentence.
    pub message: String,
    /// Whether the twin is as the config says all the same: worth knowing, no more.
    pub is_note: bool,
}

/// A variable with a source at the PLC.
#[derive(Clone, Debug)]
pub struct Sourced<'a> {
    /// Of which twin, by index.
    pub twin: usize,
    /// Which variable.
    pub variable: &'a Variable,
    /// Where it is.
    pub address: &'a NodeAddress,
}

/// All variables that come from a PLC.
#[must_use]
pub fn sourced(twins: &Twins, plc: PlcId) -> Vec<Sourced<'_>> {
    let of = twins.twins.iter().enumerate().filter(|(_, twin)| twin.plc == Some(plc));
    of.flat_map(|(index, twin)| {
        let variables = twins.types.get(twin.type_index).map_or(&[][..], |of| of.variables.as_slice());
        variables
            .iter()
            .zip(&twin.sources)
            .filter_map(move |(variable, address)| Some(Sourced { twin: index, variable, address: address.as_ref()? }))
    })
    .collect()
}

/// Where they differ, variable by variable.
#[must_use]
pub fn compare(twins: &Twins, sourced: &[Sourced<'_>], inspected: &[Inspected]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (of, inspected) in sourced.iter().zip(inspected) {
        let mut say = |what: &'static str, message: String| {
            differences.push(Difference {
                twin: twins.twins.get(of.twin).map_or_else(String::new, |twin| twin.name.clone()),
                variable: of.variable.name.clone(),
                source: of.address.to_string(),
                what,
                message,
                is_note: what == "sampling_interval",
            });
        };
        match &inspected.facts {
            Err(status) => say("missing", missing(*status, of.address, &inspected.beside)),
            Ok(facts) => differences_of(of.variable, facts, &mut say),
        }
    }
    differences
}

fn missing(status: StatusCode, address: &NodeAddress, beside: &[String]) -> String {
    let wanted = match address {
        NodeAddress::Id { identifier, .. } => identifier.as_str(),
        NodeAddress::Path(path) => path.last().map_or("", |element| element.name.as_str()),
    };
    let hint = if beside.is_empty() {
        String::new()
    } else {
        format!("; {}", config::did_you_mean(wanted, beside.iter().map(String::as_str)))
    };
    match status {
        StatusCode::BadNodeIdUnknown | StatusCode::BadNoMatch => format!("the PLC has no such node{hint}"),
        status => format!("it cannot be had: {status}{hint}"),
    }
}

fn differences_of(variable: &Variable, facts: &Facts, say: &mut dyn FnMut(&'static str, String)) {
    if !facts.is_readable {
        say("unreadable", "the PLC does not let this user read it".to_owned());
    }
    let is_array = match facts.shape {
        Shape::Scalar => Some(false),
        Shape::Array => Some(true),
        Shape::Other => None,
    };
    match is_array {
        Some(is_array) if is_array == variable.array => {}
        Some(true) => say("array", "the PLC has an array; add array = true".to_owned()),
        Some(false) => say("array", "the PLC has a scalar; remove array = true".to_owned()),
        None => say("array", "the PLC has more than one dimension there".to_owned()),
    }
    if let Some(message) = data_type(variable, facts) {
        say("data_type", message);
    }
    if variable.writable && !facts.is_writable {
        say("writable", "the config says writable, and the PLC does not let this user write it".to_owned());
    }
    // What a filter makes of the numbers has a range and a unit of its own.
    let is_scaled =
        variable.preprocess.iter().any(|filter| matches!(filter, FilterSpec::Scale { .. } | FilterSpec::Unit { .. }));
    if !is_scaled {
        range(variable, facts, say);
        unit(variable, facts, say);
    }
    if let Some(fastest) = facts
        .sampling_interval
        .filter(|fastest| !variable.sampling_interval.is_zero() && *fastest > variable.sampling_interval)
    {
        let message =
            format!("the PLC samples every {fastest:?} at best, the config asks for {:?}", variable.sampling_interval);
        say("sampling_interval", message);
    }
}

fn range(variable: &Variable, facts: &Facts, say: &mut dyn FnMut(&'static str, String)) {
    if let (Some(ours), Some(theirs)) = (variable.range, facts.range)
        && ours != theirs
    {
        let message = format!("the config says [{:?}, {:?}], the PLC [{:?}, {:?}]", ours.0, ours.1, theirs.0, theirs.1);
        say("range", message);
    }
}

fn unit(variable: &Variable, facts: &Facts, say: &mut dyn FnMut(&'static str, String)) {
    let Some(theirs) = &facts.unit else { return };
    if variable.unit.is_empty() || (theirs.code.is_empty() && theirs.text.is_empty()) {
        return;
    }
    let is_known = units::known().any(|(_, code)| code == theirs.code);
    let same = match units::common_code(&variable.unit) {
        Some(code) if is_known => code == theirs.code,
        Some(code) => units::common_code(&theirs.text) == Some(code),
        None => variable.unit.trim() == theirs.text.trim(),
    };
    if !same {
        let of = if theirs.code.is_empty() { String::new() } else { format!(" ({})", theirs.code) };
        say("unit", format!("the config says {}, the PLC {}{of}", variable.unit, theirs.text));
    }
}

/// What does not fit; `None`: every value that the PLC can send has its place in the variable.
fn data_type(variable: &Variable, facts: &Facts) -> Option<String> {
    let named = |of: DataType| DataType::ALL.iter().find(|(known, _)| *known == of).map_or("?", |(_, name)| *name);
    let ours = variable.data_type;
    let built_in = facts.built_in?;
    let Some((theirs, _)) = DataType::ALL.iter().find(|(of, _)| of.built_in() == built_in) else {
        return Some(format!("the PLC has a {}, which no variable can hold", facts.data_type));
    };
    let is_filtered = !variable.preprocess.is_empty();
    let fits = *theirs == ours
        || holds(ours, *theirs)
        || is_filtered && ours.is_numeric() && (theirs.is_numeric() || *theirs == DataType::Boolean);
    (!fits).then(|| format!("the config says {}, the PLC has {}", named(ours), named(*theirs)))
}

/// Whether every value of `theirs` becomes one of `ours` without a loss (but for a Double's digits of a 64 bit integer, which is
/// what anybody accepts who asks for a Double).
fn holds(ours: DataType, theirs: DataType) -> bool {
    use DataType as D;
    match (ours, theirs) {
        (D::Double, theirs) => theirs.is_numeric() || theirs == D::Boolean,
        (D::Float, D::Boolean | D::SByte | D::Byte | D::Int16 | D::UInt16) => true,
        (D::Int16, D::SByte | D::Byte) | (D::UInt16, D::Byte) => true,
        (D::Int32, D::SByte | D::Byte | D::Int16 | D::UInt16) | (D::UInt32, D::Byte | D::UInt16) => true,
        (D::Int64, D::SByte | D::Byte | D::Int16 | D::UInt16 | D::Int32 | D::UInt32) => true,
        (D::UInt64, D::Byte | D::UInt16 | D::UInt32) => true,
        (D::SByte | D::Byte | D::Int16 | D::UInt16 | D::Int32 | D::UInt32 | D::Int64 | D::UInt64, D::Boolean) => true,
        (D::Boolean, theirs) => theirs.is_numeric(),
        (D::String, D::LocalizedText) | (D::LocalizedText, D::String) => true,
        _ => false,
    }
}
