//! `expr` of variables: what follows from others.

use super::{equations::condition, raw::Item};
use crate::{
    model::Expression,
    twin::{DataType, Derivation, Derived, Variable},
};

/// Most circles that are told of.
const CIRCLES_MAX: usize = 20;

/// Gives each variable that has an expression what it follows from.
pub(super) fn of_type(exprs: &[Option<Item<'_>>], variables: &mut [Variable]) {
    for (v, item) in exprs.iter().enumerate() {
        if let Some(item) = item {
            variables[v].derived = derived(item, &variables[v], variables);
        }
    }
    for _ in 0..CIRCLES_MAX {
        let Err(circle) = Derivation::new(variables) else { return };
        let Some(first) = circle.first().copied() else { return };
        let names: Vec<&str> = circle.iter().chain([&first]).map(|v| variables[*v].name.as_str()).collect();
        let message = match names.as_slice() {
            [name, _] => format!("`{name}` follows from itself"),
            names => format!("variables follow from each other in a circle: {}", names.join(" from ")),
        };
        if let Some(item) = &exprs[first] {
            item.fault(message, "let one of them come from a source, or from other variables");
        }
        variables[first].derived = None;
    }
}

fn derived(item: &Item<'_>, of: &Variable, variables: &[Variable]) -> Option<Derived> {
    if of.array || !(of.data_type.is_numeric() || of.data_type == DataType::Boolean) {
        item.fault_at_key("an expression gives a number", "choose a numeric data_type or Boolean, and no array");
        return None;
    }
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    let parsed = condition(item, &names)?;
    let inputs: Vec<usize> = (0..names.len()).filter(|v| parsed.uses()[*v]).collect();
    if inputs.is_empty() {
        item.fault(
            "it follows from no variable: nothing would ever bring a value",
            "name the variables that it follows from",
        );
        return None;
    }
    let is_number = |v: &&usize| {
        let variable = &variables[**v];
        variable.is_numeric() || (variable.data_type == DataType::Boolean && !variable.array)
    };
    if let Some(other) = inputs.iter().find(|v| !is_number(v)) {
        item.fault(format!("the variable `{}` is no number", names[*other]), "use a numeric one");
        return None;
    }
    // Over its own names alone: of ten thousand variables each would hold room for all.
    let names: Vec<&str> = inputs.iter().map(|v| names[*v]).collect();
    Expression::parse(parsed.text(), &names).ok().map(|expr| Derived { expr, inputs })
}
