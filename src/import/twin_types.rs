//! Devices of one kind become twins of one type; types and twins get their names.

use std::collections::HashMap;

use super::{
    devices::{Device, Member},
    names::{Names, stem},
    sources::{self, Sources},
    tree::Tree,
};
use crate::{
    config::NameKind,
    northbound::units,
    southbound::survey::{Qualified, Shape},
};

/// A twin type, and its twins.
pub(super) struct TwinType<'a> {
    pub(super) name: String,
    pub(super) object_type: Option<&'a Qualified>,
    /// Twins' names, and what they are of; one at least. By place their variables are the same.
    pub(super) twins: Vec<(String, Device<'a>)>,
    pub(super) sources: Sources,
}

/// What makes two devices twins of one type: ObjectType, and of each variable, by name, its type, unit and states.
type Kind<'a> = (Option<&'a Qualified>, Vec<(String, u8, bool, String, &'a [String])>);

/// Groups devices, in their order. Devices without a variable come back as they are.
pub(super) fn twin_types<'a>(
    tree: &Tree<'a>,
    root: &[Qualified],
    devices: Vec<Device<'a>>,
) -> (Vec<TwinType<'a>>, Vec<Device<'a>>) {
    let (devices, empty): (Vec<_>, Vec<_>) = devices.into_iter().partition(|device| !device.variables.is_empty());
    let mut groups: Vec<Vec<Device<'a>>> = Vec::new();
    let mut known: HashMap<Kind<'a>, usize> = HashMap::new();
    for mut device in devices {
        device.variables.sort_by(|a, b| a.name.cmp(&b.name)); // else the order of a browse would tell devices apart
        let place = *known.entry(kind(&device)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(device);
    }
    let mut twin_names = Names::new(NameKind::Twin);
    let mut type_names = Names::new(NameKind::TwinType);
    let mut types = Vec::new();
    for mut devices in groups {
        in_order_found(&mut devices);
        let sources = sources::sources(tree, root, &devices);
        let twins: Vec<_> =
            devices.into_iter().map(|device| (twin_name(tree, &mut twin_names, &device), device)).collect();
        let object_type = twins.first().and_then(|(_, device)| device.object_type);
        let name = match object_type {
            Some(of) => type_names.give(&of.text),
            None => match stem(twins.iter().map(|(name, _)| name.as_str())) {
                stem if stem.is_empty() => type_names.give("Device"),
                stem => type_names.give(&stem),
            },
        };
        types.push(TwinType { name, object_type, twins, sources });
    }
    (types, empty)
}

fn kind<'a>(device: &Device<'a>) -> Kind<'a> {
    let of = |variable: &Member<'a>| {
        let Member { name, data_type, facts, .. } = variable;
        let is_array = facts.shape == Shape::Array;
        (name.clone(), data_type.built_in(), is_array, unit(variable), facts.states.as_slice())
    };
    (device.object_type, device.variables.iter().map(of).collect())
}

/// All twins of a type list their variables in the order in which the first one's were found.
fn in_order_found(devices: &mut [Device<'_>]) {
    let Some(first) = devices.first() else { return };
    let mut order: Vec<usize> = (0..first.variables.len()).collect();
    order.sort_by_key(|place| first.variables[*place].node);
    let mut ranks = vec![0; order.len()];
    for (rank, place) in order.into_iter().enumerate() {
        ranks[place] = rank;
    }
    for device in devices {
        let variables = std::mem::take(&mut device.variables);
        let mut ranked: Vec<_> = ranks.iter().copied().zip(variables).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        device.variables = ranked.into_iter().map(|(_, variable)| variable).collect();
    }
}

/// The object's own name, with its parent's before it where another twin has that.
fn twin_name(tree: &Tree<'_>, names: &mut Names, device: &Device<'_>) -> String {
    let node = &tree.nodes[device.node];
    let own = match device.part {
        0 | 1 => node.name.text.to_string(),
        part => format!("{}_{part}", node.name.text),
    };
    if names.is_free(&own) || device.node == 0 {
        return names.give(&own);
    }
    names.give(&format!("{}_{own}", tree.nodes[node.parent].name.text))
}

/// The unit as a config has it: of UNECE's what we know, else what the PLC shows; empty: none.
pub(super) fn unit(variable: &Member<'_>) -> String {
    let Some(unit) = &variable.facts.unit else { return String::new() };
    let known = units::known().find(|(_, code)| *code == unit.code).map(|(symbol, _)| symbol);
    let text = known.unwrap_or(unit.text.as_str()).trim();
    if unit.code == "C62" { String::new() } else { text.to_owned() }
}
