//! What the nodes of variables say of themselves: attributes, and the properties that tell what their values mean.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMask, DataValue, EUInformation, EnumValueType,
    ExtensionObject, NodeId, QualifiedName, Range, ReferenceTypeId, Variant,
};

use super::{super::session::attribute, requests::Requests, types::Types};
use crate::{
    sample::{StatusCode, Value},
    southbound::survey::{Facts, Progress, Shape, Unit},
    ua,
};

/// Variables whose values are in memory at a time.
const SLICE: usize = 2_000;
/// Most states that are told.
const STATES_MAX: usize = 1_000;
/// A slower variable is no measurement.
const SAMPLING_MAX_MS: f64 = 86_400_000.0;
/// Asked of each variable, in this order.
const ATTRIBUTES: [AttributeId; 6] = [
    AttributeId::DataType,
    AttributeId::ValueRank,
    AttributeId::UserAccessLevel,
    AttributeId::Description,
    AttributeId::MinimumSamplingInterval,
    AttributeId::Value,
];
/// Of UserAccessLevel (OPC 10000-3 §8.57).
const MAY_READ: u8 = 1;
const MAY_WRITE: u8 = 2;
/// NamespaceUri of UNECE's units (OPC 10000-8 §5.6.3).
const UNECE: &str = "http://www.opcfoundation.org/UA/units/un/cefact";

/// A property that says what values mean (OPC 10000-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Property {
    Range,
    Unit,
    EnumStrings,
    EnumValues,
    FalseState,
    TrueState,
}

impl Property {
    /// By its BrowseName, which is of the standard namespace; some servers forget that.
    pub(super) fn named(name: &QualifiedName) -> Option<Self> {
        Some(match name.name.as_ref() {
            "EURange" => Self::Range,
            "EngineeringUnits" => Self::Unit,
            "EnumStrings" => Self::EnumStrings,
            "EnumValues" => Self::EnumValues,
            "FalseState" => Self::FalseState,
            "TrueState" => Self::TrueState,
            _ => return None,
        })
    }
}

/// A variable's node, and its properties.
pub(super) type Subject = (NodeId, Vec<(Property, NodeId)>);

/// What they say, in their order.
pub(super) async fn of(
    requests: &Requests,
    types: &mut Types,
    subjects: &[Subject],
    told: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Vec<Facts>, String> {
    let mut all = Vec::with_capacity(subjects.len());
    let mut states = HashMap::new();
    for slice in subjects.chunks(SLICE) {
        let questions: Vec<_> =
            slice.iter().flat_map(|(node, _)| ATTRIBUTES.map(|asked| attribute(node.clone(), asked))).collect();
        let answers = requests.read(&questions).await?;
        let meanings: Vec<NodeId> = slice.iter().flat_map(|(_, of)| of.iter().map(|(_, node)| node.clone())).collect();
        let mut meanings = values(requests, &meanings).await?.into_iter();
        let data_types: Vec<NodeId> = answers.chunks(ATTRIBUTES.len()).map(data_type).collect();
        types.learn(requests, data_types.iter()).await?;
        learn_states(requests, types, &data_types, &mut states).await?;
        for (((_, properties), answer), data_type) in slice.iter().zip(answers.chunks(ATTRIBUTES.len())).zip(data_types)
        {
            let mut facts = facts(answer, types, &data_type);
            let of: Vec<_> = properties.iter().map(|(property, _)| *property).zip(meanings.by_ref()).collect();
            meanings_of(&mut facts, &of);
            if facts.states.is_empty()
                && let Some(known) = states.get(&data_type)
            {
                facts.states.clone_from(known);
            }
            all.push(facts);
        }
        told(Progress::Reading { done: all.len(), of: subjects.len() });
    }
    Ok(all)
}

/// The properties of nodes, where nobody has come by them.
pub(super) async fn properties(requests: &Requests, nodes: &[NodeId]) -> Result<Vec<Vec<(Property, NodeId)>>, String> {
    let questions: Vec<_> = nodes.iter().map(properties_of).collect();
    let answers = requests.browse(&questions).await?;
    let known = |references: Vec<opcua::types::ReferenceDescription>| {
        let named = |reference: opcua::types::ReferenceDescription| {
            Some((Property::named(&reference.browse_name)?, reference.node_id.node_id))
        };
        references.into_iter().filter_map(named).collect()
    };
    Ok(answers.into_iter().map(|answer| answer.map_or_else(|_| Vec::new(), known)).collect())
}

fn properties_of(node: &NodeId) -> BrowseDescription {
    BrowseDescription {
        node_id: node.clone(),
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HasProperty.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMask::BrowseName as u32,
    }
}

async fn values(requests: &Requests, nodes: &[NodeId]) -> Result<Vec<DataValue>, String> {
    let questions: Vec<_> = nodes.iter().map(|node| attribute(node.clone(), AttributeId::Value)).collect();
    requests.read(&questions).await
}

/// States of enumerations, which their data types name.
async fn learn_states(
    requests: &Requests,
    types: &Types,
    data_types: &[NodeId],
    states: &mut HashMap<NodeId, Vec<String>>,
) -> Result<(), String> {
    let is_new = |node: &&NodeId| types.is_enumeration(node) && !states.contains_key(*node);
    let new: Vec<NodeId> = data_types.iter().filter(is_new).cloned().collect::<HashSet<_>>().into_iter().collect();
    for (data_type, of) in new.iter().zip(properties(requests, &new).await?) {
        let nodes: Vec<NodeId> = of.iter().map(|(_, node)| node.clone()).collect();
        let told = values(requests, &nodes).await?;
        let mut facts = Facts::unread(StatusCode::Good);
        meanings_of(&mut facts, &of.iter().map(|(property, _)| *property).zip(told).collect::<Vec<_>>());
        states.insert(data_type.clone(), facts.states);
    }
    Ok(())
}

fn data_type(answer: &[DataValue]) -> NodeId {
    match answer.first().and_then(|value| value.value.as_ref()) {
        Some(Variant::NodeId(node)) => (**node).clone(),
        _ => NodeId::null(),
    }
}

fn facts(answer: &[DataValue], types: &Types, data_type: &NodeId) -> Facts {
    let [said_type, rank, access, description, sampling, value] = answer else {
        return Facts::unread(StatusCode::BadUnexpectedError);
    };
    let status = said_type.status.unwrap_or(StatusCode::Good);
    if status.is_bad() {
        return Facts::unread(status);
    }
    let access = match access.value {
        Some(Variant::Byte(bits)) => bits,
        _ => MAY_READ, // a server that does not say will say when it is read
    };
    let refused = value.status.filter(|status| {
        [StatusCode::BadNotReadable, StatusCode::BadUserAccessDenied, StatusCode::BadSecurityModeInsufficient]
            .contains(status)
    });
    let (of_value, shape_of_value) = shown(value);
    Facts {
        // A value in hand says more than a declaration: some servers declare every variable a scalar, or any type.
        built_in: of_value.or_else(|| types.built_in(data_type)),
        data_type: types.name(data_type).name.to_string(),
        shape: shape_of_value.unwrap_or(match rank.value {
            Some(Variant::Int32(-1)) => Shape::Scalar,
            Some(Variant::Int32(1)) => Shape::Array,
            Some(Variant::Int32(_)) => Shape::Other,
            _ => Shape::Scalar,
        }),
        is_readable: access & MAY_READ != 0 && refused.is_none(),
        is_writable: access & MAY_WRITE != 0,
        description: match &description.value {
            Some(Variant::LocalizedText(text)) => text.text.as_ref().to_owned(),
            _ => String::new(),
        },
        sampling_interval: match sampling.value {
            Some(Variant::Double(ms)) if ms > 0.0 && ms <= SAMPLING_MAX_MS => {
                Duration::try_from_secs_f64(ms / 1e3).ok()
            }
            _ => None,
        },
        ..Facts::unread(StatusCode::Good)
    }
}

/// Built-in type and dimensions of a value; `None`: it is null, and says neither.
fn shown(value: &DataValue) -> (Option<u8>, Option<Shape>) {
    let variant = match &value.value {
        None | Some(Variant::Empty) => return (None, None),
        Some(variant) => variant,
    };
    let built_in = match variant {
        Variant::Array(array) => u8::try_from(array.value_type as u32).ok(),
        scalar => scalar.scalar_type_id().and_then(|id| u8::try_from(id as u32).ok()),
    };
    let shape = match variant {
        Variant::Array(array) if array.dimensions.as_ref().is_some_and(|dimensions| dimensions.len() > 1) => {
            Shape::Other
        }
        Variant::Array(_) => Shape::Array,
        _ => Shape::Scalar,
    };
    (built_in, Some(shape))
}

fn meanings_of(facts: &mut Facts, properties: &[(Property, DataValue)]) {
    let mut binary = [None, None];
    for (property, value) in properties {
        let Some(value) = &value.value else { continue };
        match property {
            Property::Range => {
                let range = structure::<Range>(value).map(|range| (range.low, range.high));
                facts.range = range.filter(|(low, high)| low.is_finite() && high.is_finite() && low < high);
            }
            Property::Unit => facts.unit = structure::<EUInformation>(value).map(unit),
            Property::EnumStrings => facts.states = texts(value),
            Property::EnumValues if facts.states.is_empty() => facts.states = numbered(value),
            Property::EnumValues => {}
            Property::FalseState => binary[0] = text(value),
            Property::TrueState => binary[1] = text(value),
        }
    }
    if let [Some(off), Some(on)] = binary {
        facts.states = vec![off, on];
    }
}

fn structure<T: Clone + Send + Sync + 'static>(value: &Variant) -> Option<T> {
    match value {
        Variant::ExtensionObject(object) => object.inner_as::<T>().cloned(),
        _ => None,
    }
}

fn unit(unit: EUInformation) -> Unit {
    // The common code's characters are the bytes of the UnitId, most significant first.
    let bytes = unit.unit_id.to_be_bytes().into_iter().filter(|byte| *byte != 0);
    let code: String = bytes.map(char::from).filter(char::is_ascii_alphanumeric).collect();
    let is_unece = unit.unit_id > 0 && unit.namespace_uri.as_ref() == UNECE;
    Unit { code: if is_unece { code } else { String::new() }, text: unit.display_name.text.as_ref().to_owned() }
}

fn text(value: &Variant) -> Option<String> {
    match value {
        Variant::LocalizedText(text) => Some(text.text.as_ref().to_owned()),
        Variant::String(text) => Some(text.as_ref().to_owned()),
        _ => None,
    }
}

fn texts(value: &Variant) -> Vec<String> {
    match ua::value(value) {
        Some(Value::Array(array)) if array.elements.len() <= STATES_MAX => array
            .elements
            .iter()
            .map(|element| match element {
                Value::LocalizedText(text) => text.1.clone(),
                Value::String(text) => text.to_string(),
                _ => String::new(),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// EnumValues as names by value, where they are numbered from 0 on without a gap.
fn numbered(value: &Variant) -> Vec<String> {
    let Variant::Array(array) = value else { return Vec::new() };
    let one = |element: &Variant| {
        let Variant::ExtensionObject(object) = element else { return None };
        let of: &EnumValueType = ExtensionObject::inner_as(object)?;
        Some((of.value, of.display_name.text.as_ref().to_owned()))
    };
    let mut named: Vec<(i64, String)> = array.values.iter().filter_map(one).take(STATES_MAX + 1).collect();
    named.sort();
    let is_gapless = named.iter().zip(0..).all(|((value, _), place)| *value == place);
    if is_gapless && named.len() <= STATES_MAX { named.into_iter().map(|(_, name)| name).collect() } else { Vec::new() }
}
