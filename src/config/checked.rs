//! Twin types and twins: what refers to something by name is looked up here, once.

use std::collections::HashMap;

use super::{
    Context,
    address::Template,
    alarm, derived, equations, model_file,
    name::{self, Kind},
    names_before::{self, NamesBefore},
    optimize,
    raw::{Document, Item, Source, Table},
    statistics, variable,
};
use crate::{
    southbound::{PlcConfig, PlcId},
    twin::{Twin, TwinType, Twins, Variable},
};

/// Series are numbered by u32; 50 million are some 20 GB of live values and heads, more than one service should hold.
const SERIES_MAX: usize = 50_000_000;
/// More belong to several types: a client browses them all at once.
const VARIABLES_MAX: usize = 10_000;

/// A type, and what only its twins need.
struct Draft {
    twin_type: TwinType,
    sources: Vec<Option<Template>>,
    /// Whether the model had faults: then nothing is said about its parameters.
    model_faulty: bool,
    /// Old names of its variables.
    variables_before: NamesBefore,
}

/// `[twin_type.T]` and `[twin.T]`, and the old and new names of series.
pub(super) fn twins(context: &Context<'_>, root: &Table<'_>, plcs: &[PlcConfig]) -> (Twins, Vec<(String, String)>) {
    let mut drafts = Vec::new();
    for (name, item) in root.named("twin_type") {
        name::check(Kind::TwinType, name, &item);
        let Some(table) = item.table() else { continue };
        drafts.push(twin_type(context, name, &table));
        table.finish();
    }
    let lookup = Lookup {
        types: Names::new(drafts.iter().map(|draft| draft.twin_type.name.as_str())),
        plcs: Names::new(plcs.iter().map(|plc| plc.name.as_str())),
        drafts: &drafts,
    };
    let mut twins = Vec::new();
    let mut series = 0usize;
    let entries = root.named("twin");
    let twins_before = NamesBefore::of("twin", &entries);
    for (name, item) in entries {
        name::check(Kind::Twin, name, &item);
        let Some(table) = item.table() else { continue };
        let twin = twin(name, &table, &lookup);
        table.finish();
        let Some(twin) = twin else { continue };
        let of = &drafts[twin.type_index].twin_type;
        series +=
            of.variables.len() + of.model.as_ref().map_or(0, |m| 2 * m.outputs.len() + m.model.parameters().len());
        if series > SERIES_MAX {
            item.fault_at_key(
                format!("up to here there are more than {SERIES_MAX} series"),
                "share the twins out among several services",
            );
            break;
        }
        twins.push(twin);
    }
    let (types, variables_before): (Vec<_>, Vec<_>) =
        drafts.into_iter().map(|draft| (draft.twin_type, draft.variables_before)).unzip();
    let twins = Twins::new(types, twins);
    let renames = names_before::of_series(&twins, &twins_before, &variables_before);
    (twins, renames)
}

fn twin_type(context: &Context<'_>, name: &str, table: &Table<'_>) -> Draft {
    let mut variables = Vec::new();
    let mut sources = Vec::new();
    let (mut of_statistics, mut exprs) = (Vec::new(), Vec::new());
    let entries = table.named("variable");
    let variables_before = NamesBefore::of("variable", &entries);
    for (name, item) in entries {
        if variables.len() == VARIABLES_MAX {
            item.fault_at_key(
                format!("up to here there are more than {VARIABLES_MAX} variables"),
                "make several types of it",
            );
            break;
        }
        name::check(Kind::Variable, name, &item);
        let Some(table) = item.table() else { continue };
        let draft = variable::variable(name, &table);
        variables.push(draft.variable);
        sources.push(draft.source);
        of_statistics.push(draft.statistics);
        exprs.push(draft.expr);
    }
    derived::of_type(&exprs, &mut variables);
    if variables.is_empty() && !table.has("variable") {
        table.missing(
            "variable",
            format!("add [twin_type.{name}.variable.NAME]: a twin without variables shows nothing"),
        );
    }
    let model_item = table.get("model");
    let model = model_item.as_ref().and_then(|item| model(context, item, &variables));
    let model_faulty = model_item.is_some() && model.is_none();
    let (statistics, correlate) =
        statistics::of_type(table.table("statistics").as_ref(), &of_statistics, &mut variables);
    let optimize = table.get("optimize").and_then(|item| match &model {
        Some(spec) => optimize::settings(&item, spec, &variables),
        None if model_faulty => None, // what refers to it cannot be judged
        None => {
            item.fault_at_key(
                "the type has no model to foresee with",
                format!("add [twin_type.{name}.model], or remove this"),
            );
            None
        }
    });
    let drift = table.get("drift").and_then(|item| alarm::drift(&item, model.as_ref(), model_faulty));
    let description = table.description();
    let twin_type =
        TwinType { name: name.into(), description, variables, model, optimize, statistics, correlate, drift };
    Draft { twin_type, sources, model_faulty, variables_before }
}

/// The tables in place, or in the file that stands in their place.
fn model(context: &Context<'_>, item: &Item<'_>, variables: &[Variable]) -> Option<crate::twin::TwinModel> {
    if !item.is_text() {
        return equations::model(&item.table()?, variables);
    }
    let relative = item.text()?;
    let path = context.path(relative);
    let text = match (context.read)(&path) {
        Ok(text) => text,
        Err(error) => {
            item.fault(
                format!("cannot read {}: {error}", path.display()),
                "give a file, relative to the folder of this one",
            );
            return None;
        }
    };
    if let Some((message, remedy)) = model_file::too_long(&text) {
        item.fault(format!("{}: {message}", path.display()), remedy);
        return None;
    }
    let file = path.display().to_string();
    let document = Document::new(&file, &text);
    let tree = document.parse(context.sink)?;
    equations::model(&Table::root(Source { document: &document, sink: context.sink }, &tree, ""), variables)
}

/// What twins refer to.
struct Lookup<'a> {
    types: Names<'a>,
    plcs: Names<'a>,
    drafts: &'a [Draft],
}

/// Names in config order, and their places.
struct Names<'a>(Vec<&'a str>, HashMap<&'a str, usize>);

impl<'a> Names<'a> {
    fn new(names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let places = names.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        Self(names, places)
    }
}

fn names(variables: &[Variable]) -> impl Iterator<Item = &str> {
    variables.iter().map(|variable| variable.name.as_str())
}

/// The index behind a name that the item gives.
fn named(item: &Item<'_>, what: &str, Names(order, places): &Names<'_>) -> Option<usize> {
    let name = item.text()?;
    let found = places.get(name).copied();
    if found.is_none() {
        item.unknown(what, name, order.iter().copied());
    }
    found
}

fn twin(name: &str, table: &Table<'_>, lookup: &Lookup<'_>) -> Option<Twin> {
    // Everything is taken before anything is given up: every fault at once.
    let description = table.description();
    let type_index = table
        .required("type", "add type = \"a twin type\"")
        .and_then(|item| named(&item, "there is no twin type", &lookup.types));
    let plc_item = table.get("plc");
    let plc = plc_item.as_ref().and_then(|item| named(item, "there is no PLC", &lookup.plcs));
    let device = table.get("device");
    let (overrides, parameters) = (table.get("variable"), table.get("parameter"));
    let _ = table.get("was"); // see `names_before`
    let draft = &lookup.drafts[type_index?];
    let mut templates: Vec<Option<Template>> = draft.sources.clone();
    if let Some(item) = overrides {
        override_sources(&item, &draft.twin_type.variables, &mut templates);
    }
    let sources = addresses(table, device.as_ref(), &templates);
    if plc_item.is_none() && sources.iter().any(Option::is_some) {
        table.missing("plc", "add plc = \"a PLC\": the type's variables have sources");
    }
    Some(Twin {
        name: name.into(),
        description,
        type_index: type_index?,
        plc: plc.and_then(|index| u32::try_from(index).ok()).map(PlcId),
        sources,
        parameters: override_parameters(parameters.as_ref(), draft),
    })
}

/// `variable.V.source` and `variable.V.path`.
fn override_sources(item: &Item<'_>, variables: &[Variable], templates: &mut [Option<Template>]) {
    let Some(table) = item.table() else { return };
    for (name, item) in table.entries() {
        let Some(place) = variables.iter().position(|variable| variable.name == name) else {
            item.unknown_key("the type has no variable", name, names(variables));
            continue;
        };
        let Some(table) = item.table() else { continue };
        if let Some(source) = variable::source(&table) {
            if variables[place].derived.is_some() {
                item.fault_at_key("the type computes this variable", "remove it, or the type's expr");
            } else {
                templates[place] = Some(source);
            }
        }
        table.finish();
    }
}

fn addresses(
    table: &Table<'_>,
    device: Option<&Item<'_>>,
    templates: &[Option<Template>],
) -> Vec<Option<crate::southbound::NodeAddress>> {
    let text = device.and_then(Item::text);
    if device.is_none() && templates.iter().flatten().any(Template::needs_device) {
        table.missing("device", "add device = \"…\": the type's sources contain {device}");
        return vec![None; templates.len()];
    }
    let address = |template: &Option<Template>| {
        let wrong = |(message, remedy): (String, String)| match device {
            Some(item) => item.fault(message, remedy),
            None => table.fault(message, remedy),
        };
        template.as_ref()?.of(text.unwrap_or_default()).map_err(wrong).ok()
    };
    templates.iter().map(address).collect()
}

/// The type's parameter values with the twin's own.
fn override_parameters(item: Option<&Item<'_>>, draft: &Draft) -> Vec<f64> {
    let known = draft.twin_type.model.as_ref().map_or(&[][..], |m| m.model.parameters());
    let mut values: Vec<f64> = known.iter().map(|parameter| parameter.value).collect();
    for (name, item) in item.and_then(Item::table).map_or_else(Vec::new, |table| table.entries()) {
        let Some(value) = item.number() else { continue };
        match known.iter().position(|parameter| parameter.name == name) {
            Some(place) => {
                let (min, max) = (known[place].min, known[place].max);
                if (min..=max).contains(&value) {
                    values[place] = value;
                } else {
                    item.fault(
                        format!("{value} is outside the type's bounds"),
                        format!("give a value from {min} to {max}"),
                    );
                }
            }
            None if draft.model_faulty => {}
            None => {
                let names = known.iter().map(|parameter| parameter.name.as_str());
                item.unknown_key("the type's model has no parameter", name, names);
            }
        }
    }
    values
}
