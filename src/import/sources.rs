//! Where a config says that variables are: one template for all twins of a type where that is exact, else a line for each. Every
//! line is read back by the config's own parser before it is used, and must mean the very node.

use super::{devices::Device, tree::Tree};
use crate::{
    config,
    southbound::{NodeAddress, PathElement, survey::Qualified},
};

/// What stands for the twin's `device`.
const DEVICE: &str = "{device}";
/// The standard namespace.
const STANDARD: &str = "http://opcfoundation.org/UA/";

/// `source = …` or `path = …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line(pub(super) String);

impl Line {
    /// The key that it stands under.
    pub(super) fn key(&self) -> &'static str {
        if self.0.starts_with('/') { "path" } else { "source" }
    }
}

/// How a node can be said by itself: its NodeId, else its browse path; `None`: neither.
pub(super) fn line(tree: &Tree<'_>, root: &[Qualified], index: usize) -> Option<Line> {
    let id = &tree.nodes[index].id;
    let source = checked(node_id(id, id.text.as_ref()), &id.address(), "");
    source.or_else(|| {
        let elements = path(tree, root, index)?;
        path_texts(&elements, None).into_iter().find_map(|text| checked(text, &path_address(&elements), ""))
    })
}

/// Only what means that address.
fn checked(text: String, address: &NodeAddress, device: &str) -> Option<Line> {
    (config::address(&text, device).as_ref() == Ok(address)).then_some(Line(text))
}

fn node_id(id: &Qualified, identifier: &str) -> String {
    match &id.namespace {
        // OPC 10000-6 §5.1.12: `;` and `%` of a URI are percent-encoded.
        Some(uri) => format!("nsu={};{identifier}", uri.replace('%', "%25").replace(';', "%3B")),
        None => identifier.to_owned(),
    }
}

/// BrowseNames from the root folder to a node; `None`: not known, or not the only one.
fn path<'a>(tree: &Tree<'a>, root: &'a [Qualified], index: usize) -> Option<Vec<&'a Qualified>> {
    let mut names = Vec::new();
    let mut at = index;
    while at != 0 {
        let node = &tree.nodes[at];
        if node.is_ambiguous {
            return None;
        }
        names.push(&node.name);
        at = node.parent;
    }
    names.reverse();
    (!root.is_empty()).then(|| root.iter().chain(names).collect())
}

fn path_address(path: &[&Qualified]) -> NodeAddress {
    let element = |(depth, name): (usize, &&Qualified)| PathElement {
        namespace: match (&name.namespace, depth) {
            (None, 0) => None, // Objects: whatever is below the root folder is of the standard namespace
            (None, _) => Some(STANDARD.to_owned()),
            (Some(uri), _) => Some(uri.to_string()),
        },
        name: name.text.to_string(),
    };
    NodeAddress::Path(path.iter().enumerate().map(element).collect())
}

/// A path as texts that may mean it, with `{device}` in place of the element at `device`. A URI inside a path ends at the first colon
/// behind which a name stands up to the next slash: where that misleads, colons of URIs are percent-encoded.
fn path_texts(path: &[&Qualified], device: Option<usize>) -> [String; 2] {
    [false, true].map(|encodes| {
        let mut text = String::new();
        for (depth, name) in path.iter().enumerate() {
            text.push('/');
            match &name.namespace {
                None if depth > 0 => text.push_str("0:"),
                None => {}
                Some(uri) => {
                    let uri = uri.replace('%', "%25");
                    let uri = if encodes { uri.replace(':', "%3A") } else { uri };
                    text.push_str(&format!("nsu={uri}:"));
                }
            }
            if device == Some(depth) {
                text.push_str(DEVICE);
            } else {
                text.push_str(&name.text.replace('&', "&&").replace('/', "&/"));
            }
        }
        text
    })
}

/// Where the variables of a type's twins are.
pub(super) struct Sources {
    /// The twins' `device`, where a template needs it.
    pub(super) devices: Option<Vec<String>>,
    /// Of the type, by variable; `None`: each twin says its own.
    pub(super) templates: Vec<Option<Line>>,
}

/// Of twins whose variables, by place, are the same.
pub(super) fn sources(tree: &Tree<'_>, root: &[Qualified], twins: &[Device<'_>]) -> Sources {
    let Some(first) = twins.first() else { return Sources { devices: None, templates: Vec::new() } };
    if twins.len() == 1 {
        let templates = first.variables.iter().map(|variable| Some(variable.line.clone())).collect();
        return Sources { devices: None, templates };
    }
    let candidates = [by_name as fn(&Tree<'_>, &Device<'_>) -> Option<String>, by_node_id, by_prefix];
    let mut best = Sources { devices: None, templates: vec![None; first.variables.len()] };
    for candidate in candidates {
        let devices: Option<Vec<String>> = twins.iter().map(|twin| candidate(tree, twin)).collect();
        let Some(devices) = devices.filter(|devices| devices.iter().all(|device| !device.is_empty())) else { continue };
        let of = |place: usize| {
            template(tree, twins, &devices, place).or_else(|| path_template(tree, root, twins, &devices, place))
        };
        let templates: Vec<Option<Line>> = (0..first.variables.len()).map(of).collect();
        if score(&templates) > score(&best.templates) {
            best = Sources { devices: Some(devices), templates };
        }
    }
    best
}

/// Variables that a template serves, and among them those whose NodeId does.
fn score(templates: &[Option<Line>]) -> (usize, usize) {
    let by_id = templates.iter().flatten().filter(|line| line.key() == "source");
    (templates.iter().flatten().count(), by_id.count())
}

fn by_name(tree: &Tree<'_>, device: &Device<'_>) -> Option<String> {
    Some(tree.nodes[device.node].name.text.to_string())
}

fn by_node_id(tree: &Tree<'_>, device: &Device<'_>) -> Option<String> {
    tree.nodes[device.node].id.text.strip_prefix("s=").map(ToOwned::to_owned)
}

/// What the identifiers of all its variables begin with, up to a character that joins words.
fn by_prefix(tree: &Tree<'_>, device: &Device<'_>) -> Option<String> {
    let mut texts = device.variables.iter().filter_map(|variable| tree.nodes[variable.node].id.text.strip_prefix("s="));
    let first = texts.next()?;
    let common = texts.fold(first.len(), |common, text| {
        let differs = first.bytes().zip(text.bytes()).position(|(a, b)| a != b);
        common.min(differs.unwrap_or_else(|| text.len().min(common)))
    });
    let common = first.get(..common).or_else(|| first.get(..first.floor_char_boundary(common)))?;
    common.rfind(['.', ':', '/', '|', '_', '-']).and_then(|at| common.get(..at)).map(ToOwned::to_owned)
}

/// A NodeId with `{device}` in it that is right for every twin.
fn template(tree: &Tree<'_>, twins: &[Device<'_>], devices: &[String], place: usize) -> Option<Line> {
    let id = |twin: &Device<'_>| Some(&tree.nodes[twin.variables.get(place)?.node].id);
    let (first, device) = (id(twins.first()?)?, devices.first()?);
    let identifier = first.text.strip_prefix("s=")?;
    let ways = [identifier.replace(device, DEVICE), identifier.replacen(device, DEVICE, 1)];
    ways.into_iter().filter(|way| way.contains(DEVICE)).find_map(|way| {
        let text = node_id(first, &format!("s={way}"));
        let fits = |(twin, device): (&Device<'_>, &String)| {
            id(twin).is_some_and(|id| checked(text.clone(), &id.address(), device).is_some())
        };
        twins.iter().zip(devices).all(fits).then(|| Line(text.clone()))
    })
}

/// A browse path with `{device}` for the twins' own objects that is right for every twin.
fn path_template(
    tree: &Tree<'_>,
    root: &[Qualified],
    twins: &[Device<'_>],
    devices: &[String],
    place: usize,
) -> Option<Line> {
    let of = |twin: &Device<'_>| path(tree, root, twin.variables.get(place)?.node);
    let first = twins.first()?;
    let own = path(tree, root, first.node)?.len().checked_sub(1)?;
    path_texts(&of(first)?, Some(own)).into_iter().find_map(|text| {
        let fits = |(twin, device): (&Device<'_>, &String)| {
            of(twin).is_some_and(|path| checked(text.clone(), &path_address(&path), device).is_some())
        };
        twins.iter().zip(devices).all(fits).then(|| Line(text.clone()))
    })
}
