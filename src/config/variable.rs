//! `[twin_type.T.variable.V]`: one measured or internal variable.

use std::time::Duration;

use super::{
    address::Template,
    alarm, preprocess,
    raw::{Item, Table},
};
use crate::{
    aggregate,
    twin::{DataType, StatisticsSettings, Variable},
};

/// A variable, and where its samples come from, `{device}` still open.
pub(super) struct Draft<'a> {
    pub(super) variable: Variable,
    pub(super) source: Option<Template>,
    /// What it follows from; read once all variables are known.
    pub(super) expr: Option<Item<'a>>,
    /// What it says of its statistics; read once all variables are known.
    pub(super) statistics: Option<Item<'a>>,
}

/// Reads one variable; what is faulty has its default.
pub(super) fn variable<'a>(name: &str, table: &Table<'a>) -> Draft<'a> {
    let source = source(table);
    let data_type = table.get("data_type").and_then(|item| item.choice(&DataType::ALL.map(|(t, name)| (name, t))));
    let data_type = data_type.unwrap_or(DataType::Double);
    let array = table.flag("array", false);
    let range = table.get("range").and_then(|item| range(&item));
    let unit = table.text("unit").unwrap_or_default();
    let stepped = table.flag("stepped", array || !data_type.is_floating());
    let kind = preprocess::Kind { data_type, array, range, unit, stepped };
    let variable = Variable {
        name: name.into(),
        description: table.description(),
        data_type,
        array,
        unit: unit.into(),
        range,
        limits: table.get("limits").and_then(|item| limits(&item)),
        sampling_interval: table.get("sampling_interval").and_then(|i| i.duration()).unwrap_or(Duration::from_secs(1)),
        preprocess: table.get("preprocess").map_or_else(Vec::new, |item| preprocess::filters(&item, &kind)),
        historize: table.flag("historize", true),
        stepped,
        aggregate: table.get("aggregate").map_or_else(Default::default, |item| aggregate(&item)),
        writable: table.flag("writable", false),
        derived: None,
        states: table.get("states").map_or_else(Vec::new, |item| states(&item, data_type, array)),
        alarm: table.get("alarm").and_then(|item| alarm::limits(&item, data_type.is_numeric() && !array)),
        statistics: StatisticsSettings::default(),
    };
    let expr = expr(table, source.is_some(), &variable);
    let statistics = table.get("statistics");
    let _ = table.get("was"); // see `names_before`
    table.finish();
    Draft { variable, source, expr, statistics }
}

/// `expr`, in place of a source.
fn expr<'a>(table: &Table<'a>, has_source: bool, variable: &Variable) -> Option<Item<'a>> {
    let item = table.get("expr")?;
    if has_source {
        item.fault_at_key("the variable already has a source", "keep one of source, path and expr");
    }
    if variable.writable {
        item.fault_at_key("what is computed cannot be written", "remove writable = true");
    }
    if !variable.preprocess.is_empty() {
        item.fault_at_key("a computed variable has no filters of its own", "filter the variables that it follows from");
    }
    Some(item)
}

/// `source` or `path`, of a type's variable or of a twin's.
pub(super) fn source(table: &Table<'_>) -> Option<Template> {
    let (source, path) = (table.get("source"), table.get("path"));
    if let (Some(_), Some(path)) = (&source, &path) {
        path.fault_at_key("the variable already has a source", "keep one of source and path");
    }
    let parse = |item: Item<'_>, parse: fn(&str) -> Result<Template, (String, String)>| {
        parse(item.text()?).map_err(|(message, remedy)| item.fault(message, remedy)).ok()
    };
    match (source, path) {
        (Some(item), _) => parse(item, Template::node_id),
        (None, Some(item)) => parse(item, Template::path),
        (None, None) => None,
    }
}

fn range(item: &Item<'_>) -> Option<(f64, f64)> {
    let list = item.list()?;
    let [low, high] = list.as_slice() else {
        item.fault(format!("expected 2 numbers, found {}", list.len()), "write range = [low, high]");
        return None;
    };
    ordered(item, low.number()?, high.number()?)
}

fn ordered(item: &Item<'_>, low: f64, high: f64) -> Option<(f64, f64)> {
    if low >= high {
        item.fault(format!("{low} is not below {high}"), "put the smaller one first");
        return None;
    }
    Some((low, high))
}

/// Specification limits: one of them may be absent.
fn limits(item: &Item<'_>) -> Option<(f64, f64)> {
    let table = item.table()?;
    let (lower, upper) = (table.number("lower"), table.number("upper"));
    table.finish();
    if lower.is_none() && upper.is_none() && !table.has("lower") && !table.has("upper") {
        table.missing("lower", "write limits = { lower = …, upper = … }");
    }
    ordered(item, lower.unwrap_or(f64::NEG_INFINITY), upper.unwrap_or(f64::INFINITY))
}

/// AggregateConfiguration: what is not given is as Part 13 §4.2.1.2 has it.
fn aggregate(item: &Item<'_>) -> aggregate::Configuration {
    let Some(table) = item.table() else { return aggregate::Configuration::default() };
    let default = aggregate::Configuration::default();
    let percent = |key, default: u8| {
        let given = table.get(key).and_then(|item| item.whole(0..=100));
        given.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(default)
    };
    let configuration = aggregate::Configuration {
        treat_uncertain_as_bad: table.flag("treat_uncertain_as_bad", default.treat_uncertain_as_bad),
        percent_data_bad: percent("percent_data_bad", default.percent_data_bad),
        percent_data_good: percent("percent_data_good", default.percent_data_good),
        use_sloped_extrapolation: table.flag("use_sloped_extrapolation", default.use_sloped_extrapolation),
    };
    table.finish();
    if !configuration.is_valid() {
        item.fault(
            format!(
                "percent_data_good = {} is below 100 - percent_data_bad = {}",
                configuration.percent_data_good,
                100 - configuration.percent_data_bad
            ),
            "raise one of the two: between them no share of good data may be left without a status",
        );
    }
    configuration
}

fn states(item: &Item<'_>, data_type: DataType, array: bool) -> Vec<String> {
    let states: Vec<String> = item.texts().unwrap_or_default().into_iter().map(|(text, _)| text.into()).collect();
    match data_type {
        DataType::Boolean if !array && states.len() != 2 => item.fault(
            format!("a Boolean has 2 states, not {}", states.len()),
            "name those of false and true, in this order",
        ),
        DataType::Boolean if !array => {}
        _ if array || !data_type.is_numeric() || data_type.is_floating() => {
            item.fault("only a Boolean or an integer has states", "change data_type, or remove states")
        }
        _ if states.is_empty() => item.fault("no state is named", "name each value's state, from 0 on"),
        _ => {}
    }
    states
}
