//! `[twin_type.T.optimize]`: what OptimizeSetpoints may move and must keep.

use std::time::Duration;

use super::raw::{Item, Table};
use crate::{
    model::Model,
    optimize::{Keep, Kept, Move},
    twin::{OptimizeSettings, TwinModel, Variable},
};

/// How long what was applied is watched unless the config says otherwise.
const WATCH: Duration = Duration::from_secs(60);

/// Reads it; every fault is found.
pub(super) fn settings(item: &Item<'_>, spec: &TwinModel, variables: &[Variable]) -> Option<OptimizeSettings> {
    let table = item.table()?;
    let moves = table.named("move").into_iter();
    let moves: Vec<Move> = moves.filter_map(|(name, item)| may_move(name, &item, spec, variables)).collect();
    if !table.has("move") {
        table.missing("move", "name at least one input: move.INPUT = { min = …, max = … }");
    }
    let keeps = table.named("keep").into_iter();
    let keeps = keeps.filter_map(|(name, item)| keep(name, &item, &spec.model)).collect();
    let watch = table.get("watch").and_then(|item| item.period()).unwrap_or(WATCH);
    table.finish();
    Some(OptimizeSettings { moves, keeps, watch })
}

fn may_move(name: &str, item: &Item<'_>, spec: &TwinModel, variables: &[Variable]) -> Option<Move> {
    let table = item.table()?;
    let inputs = spec.model.inputs();
    let (min, max) = (table.number("min"), table.number("max"));
    let max_change = table.get("max_change").and_then(|item| item.positive());
    let cost = table.get("cost").and_then(|item| item.number_in(0.0..=f64::MAX));
    table.finish();
    let Some(input) = inputs.iter().position(|input| input.name == name) else {
        item.unknown_key("the model has no input", name, inputs.iter().map(|input| input.name.as_str()));
        return None;
    };
    let variable = &variables[spec.inputs[input]];
    if !variable.is_numeric() {
        item.fault_at_key(format!("`{}` is no number", variable.name), "only numbers can be moved");
        return None;
    }
    if variable.derived.is_some() {
        item.fault_at_key(format!("`{}` is computed from others", variable.name), "move what it follows from");
        return None;
    }
    let (min, max) = (min.or(variable.range.map(|range| range.0)), max.or(variable.range.map(|range| range.1)));
    let (Some(min), Some(max)) = (min, max) else {
        let remedy = format!("add min and max, or a range to the variable `{}`", variable.name);
        item.fault_at_key("how far it may be moved is not bounded", remedy);
        return None;
    };
    if min > max {
        item.fault(format!("min = {min} is above max = {max}"), "put the smaller one first");
    }
    let whole = !variable.data_type.is_floating();
    Some(Move { input, min, max, max_change: max_change.unwrap_or(f64::INFINITY), cost: cost.unwrap_or(0.0), whole })
}

fn keep(name: &str, item: &Item<'_>, model: &Model) -> Option<Keep> {
    let table = item.table()?;
    let (min, max) = (table.number("min"), table.number("max"));
    if !table.has("min") && !table.has("max") {
        bounds_missing(&table);
    }
    table.finish();
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        item.fault(format!("min = {min} is above max = {max}"), "put the smaller one first");
    }
    let state = || model.states().iter().position(|state| state.name == name).map(Kept::State);
    let Some(of) = state().or_else(|| model.output_index(name).map(Kept::Output)) else {
        let states = model.states().iter().map(|state| state.name.as_str());
        let names = states.chain(model.outputs().iter().map(|output| output.name.as_str()));
        item.unknown_key("the model has no state or output", name, names);
        return None;
    };
    Some(Keep { of, min: min.unwrap_or(f64::NEG_INFINITY), max: max.unwrap_or(f64::INFINITY) })
}

fn bounds_missing(table: &Table<'_>) {
    table.missing("max", "give max, min or both: else there is nothing to keep");
}
