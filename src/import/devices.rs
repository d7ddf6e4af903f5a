//! Which objects become twins, and which variables each of them has: the rule that the module's head tells.

use super::{
    names::Names,
    sources::{self, Line},
    tree::Tree,
};
use crate::{
    config::NameKind,
    southbound::survey::{Facts, Qualified, Shape},
    twin::DataType,
};

/// An object with more variables is no single device if it has sub-objects.
const DEVICE_VARIABLES_MAX: usize = 1_000;
/// A config's own bound of one twin type.
const TYPE_VARIABLES_MAX: usize = 10_000;

/// An object that becomes a twin.
pub(super) struct Device<'a> {
    /// Its node.
    pub(super) node: usize,
    pub(super) object_type: Option<&'a Qualified>,
    /// With a number from the second on: one object's variables were too many for one twin.
    pub(super) part: usize,
    pub(super) variables: Vec<Member<'a>>,
    /// Variables that cannot be taken: names and why.
    pub(super) left_out: Vec<(String, String)>,
}

/// One variable of a device.
pub(super) struct Member<'a> {
    pub(super) name: String,
    pub(super) node: usize,
    pub(super) data_type: DataType,
    pub(super) facts: &'a Facts,
    /// How a config may say where it is.
    pub(super) line: Line,
}

/// All devices, in the survey's order.
pub(super) fn devices<'a>(tree: &Tree<'a>, root: &[Qualified]) -> Vec<Device<'a>> {
    let mut found = Vec::new();
    let mut open = vec![0];
    while let Some(index) = open.pop() {
        let is_group = index == 0 && tree.nodes[0].id.namespace.is_none() // the Objects folder
            || tree.holds_alike(index)
            || tree.variables_len[index] > DEVICE_VARIABLES_MAX && tree.sub_objects(index).next().is_some();
        let is_folder = tree.object_type(index).is_none()
            && !tree.has_variables(index)
            && (!tree.occurs_again(index) || tree.has_types_below[index]);
        let passes = tree.is_object(index) && (is_group || is_folder);
        let variables = below(tree, index, !passes);
        found.extend(parts(tree, root, index, &variables));
        if passes {
            let at = open.len();
            open.extend(tree.sub_objects(index));
            open[at..].reverse(); // the first one next
        }
    }
    found
}

/// Variables below a node in order, those of sub-objects too if `all`.
fn below(tree: &Tree<'_>, index: usize, all: bool) -> Vec<usize> {
    let mut found = Vec::new();
    let mut open = vec![index];
    while let Some(at) = open.pop() {
        if !tree.is_object(at) {
            found.push(at);
        }
        let enters = |child: &usize| all || !tree.is_object(*child);
        open.extend(tree.children[at].iter().copied().filter(enters).rev());
    }
    found
}

/// One object's variables as a device, or as several.
fn parts<'a>(tree: &Tree<'a>, root: &[Qualified], node: usize, variables: &[usize]) -> Vec<Device<'a>> {
    let part = |(part, variables): (usize, &[usize])| {
        let mut names = Names::new(NameKind::Variable);
        let mut device = Device {
            node,
            object_type: tree.object_type(node),
            part: part + 1,
            variables: Vec::new(),
            left_out: Vec::new(),
        };
        for index in variables {
            let Some(facts) = tree.facts(*index) else { continue };
            let wanted = name_below(tree, node, *index);
            let taken = data_type(facts).and_then(|data_type| {
                sources::line(tree, root, *index).map(|line| (data_type, line)).ok_or_else(|| {
                    "a config can say neither its NodeId nor its browse path (a brace, or a namespace without URI)"
                        .to_owned()
                })
            });
            match taken {
                Ok((data_type, line)) => {
                    let name = names.give(&wanted);
                    device.variables.push(Member { name, node: *index, data_type, facts, line });
                }
                Err(reason) => device.left_out.push((wanted, reason)),
            }
        }
        device
    };
    variables.chunks(TYPE_VARIABLES_MAX).enumerate().map(part).collect()
}

/// BrowseNames from below `top` to a node, joined by `_`.
fn name_below(tree: &Tree<'_>, top: usize, index: usize) -> String {
    let mut names = vec![tree.nodes[index].name.text.as_ref()];
    let mut at = tree.nodes[index].parent;
    while at != top && at != 0 {
        names.push(tree.nodes[at].name.text.as_ref());
        at = tree.nodes[at].parent;
    }
    names.reverse();
    names.join("_")
}

/// As a config has it, or why a variable cannot have it.
fn data_type(facts: &Facts) -> Result<DataType, String> {
    let named = if facts.data_type.is_empty() { "a data type without a name" } else { facts.data_type.as_str() };
    if facts.status.is_bad() {
        return Err(format!("its attributes could not be read: {}", facts.status));
    }
    if !facts.is_readable {
        return Err("it may not be read".to_owned());
    }
    let Some(built_in) = facts.built_in else {
        return Err(format!("{named}: it has no value yet that would tell its type"));
    };
    let Some((data_type, _)) = DataType::ALL.iter().find(|(of, _)| of.built_in() == built_in) else {
        return Err(format!("{named}: uatwin has no variables of this type"));
    };
    match facts.shape {
        Shape::Other => Err(format!("{named}: only scalars and one-dimensional arrays can be variables")),
        Shape::Scalar | Shape::Array => Ok(*data_type),
    }
}
