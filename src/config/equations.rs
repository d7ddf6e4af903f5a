//! `[twin_type.T.model]`, or the file that it names: equations, parameters, fit and the live simulation.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    ModelFile,
    raw::{Item, Table},
};
use crate::{
    model::{
        Delay, EquationSource, Expression, Hold, Init, InputSource, LetSource, Loss, Model, ModelFault, ModelSource,
        OutputSource, ParameterSource, StateSource,
    },
    simulate::{Method, Options},
    time::Timestamp,
    twin::{Activation, FORECAST_POINTS_MAX, FitSettings, Observer, TwinModel, Variable},
};

/// Relative tolerances that an integration can keep: below, rounding is larger; above, its steps mean nothing.
const RTOL_MIN: f64 = 1e-12;
const RTOL_MAX: f64 = 1e-2;
/// Steps that take some minutes.
const STEPS_MAX: i64 = 1_000_000_000;

/// Where each part of the model stands, for the faults that its compiler finds.
type Places<'a> = HashMap<String, Item<'a>>;

/// Reads, compiles and ties to the type's variables. `None`: there were faults.
pub(super) fn model(table: &Table<'_>, variables: &[Variable]) -> Option<TwinModel> {
    let mut places = Places::new();
    let source = source(table, &mut places);
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    let fit = fit(table, &names);
    let solver = solver(table);
    let (period, observer, forecast_horizon) = live(table, &source);
    table.finish();
    // The variables are looked up even where the equations are wrong: every fault at once.
    let inputs: Vec<_> = source
        .inputs
        .iter()
        .map(|input| variable(&input.variable, &places[&format!("input.{}", input.name)], variables))
        .collect();
    let outputs: Vec<_> = source
        .outputs
        .iter()
        .map(|output| variable(&output.name, &places[&format!("output.{}", output.name)], variables))
        .collect();
    let model = compile(&source, table, &places);
    Some(TwinModel {
        model: Arc::new(model?),
        inputs: inputs.into_iter().collect::<Option<_>>()?,
        outputs: outputs.into_iter().collect::<Option<_>>()?,
        solver,
        fit,
        period,
        observer,
        forecast_horizon,
    })
}

/// Reads and compiles a model that belongs to no type; `columns` are names that `fit.when` may use beside the model's own.
/// `None`: there were faults.
pub(super) fn alone(table: &Table<'_>, columns: &[String]) -> Option<ModelFile> {
    let mut places = Places::new();
    let source = source(table, &mut places);
    let inputs = source.inputs.iter().flat_map(|input| [&input.name, &input.variable]);
    let mut names: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for name in columns.iter().chain(inputs).chain(source.outputs.iter().map(|output| &output.name)) {
        if known.insert(name.as_str()) {
            names.push(name.clone());
        }
    }
    let fit = fit(table, &names.iter().map(String::as_str).collect::<Vec<_>>());
    live(table, &source);
    let solver = solver(table);
    table.finish();
    let unit_of = |output: &OutputSource| {
        let table = places.get(&format!("output.{}", output.name)).and_then(Item::table);
        table.and_then(|table| table.text("unit")).unwrap_or_default().to_owned()
    };
    let output_units = source.outputs.iter().map(unit_of).collect();
    let model = compile(&source, table, &places)?;
    Some(ModelFile { model, solver, fit, names, output_units, warnings: Vec::new() })
}

fn source<'a>(table: &Table<'a>, places: &mut Places<'a>) -> ModelSource {
    ModelSource {
        states: entries(table, "state", places, state),
        parameters: entries(table, "parameter", places, parameter),
        inputs: entries(table, "input", places, input),
        lets: expressions(table, "let", places, |name, expr| LetSource { name, expr }),
        equations: expressions(table, "equation", places, |state, expr| EquationSource { state, expr }),
        outputs: entries(table, "output", places, output),
    }
}

fn compile(source: &ModelSource, table: &Table<'_>, places: &Places<'_>) -> Option<Model> {
    Model::compile(source).map_err(|faults| faults.iter().for_each(|fault| place(fault, table, places))).ok()
}

/// Reads each named table below `section`.
fn entries<'a, T>(
    table: &Table<'a>,
    section: &'static str,
    places: &mut Places<'a>,
    read: fn(&str, &Table<'a>, &mut Places<'a>) -> T,
) -> Vec<T> {
    let read = |(name, item): (&str, Item<'a>)| {
        let entry = item.table()?;
        places.insert(format!("{section}.{name}"), item);
        let part = read(name, &entry, places);
        entry.finish();
        Some(part)
    };
    table.named(section).into_iter().filter_map(read).collect()
}

/// Reads each `NAME = "expression"` below `section`.
fn expressions<'a, T>(
    table: &Table<'a>,
    section: &'static str,
    places: &mut Places<'a>,
    make: fn(String, String) -> T,
) -> Vec<T> {
    let read = |(name, item): (&str, Item<'a>)| {
        let text = item.text()?;
        places.insert(format!("{section}.{name}"), item);
        Some(make(name.into(), text.into()))
    };
    table.named(section).into_iter().filter_map(read).collect()
}

fn state<'a>(name: &str, table: &Table<'a>, _places: &mut Places<'a>) -> StateSource {
    let init = table.required("init", "add init = a number, or the name of a parameter").and_then(|item| init(&item));
    let noise = table.get("noise").and_then(|item| item.number_in(0.0..=f64::MAX));
    table.text("unit"); // for the reader
    StateSource { name: name.into(), init: init.unwrap_or(Init::Number(0.0)), noise: noise.unwrap_or(0.0) }
}

fn init(item: &Item<'_>) -> Option<Init> {
    if item.is_table() {
        let table = item.table()?;
        let output =
            table.required("measured", "write init = { measured = \"an output\" }").and_then(|item| item.text());
        table.finish();
        return output.map(|output| Init::Measured(output.into()));
    }
    if item.is_text() { item.text().map(|name| Init::Parameter(name.into())) } else { item.number().map(Init::Number) }
}

fn parameter<'a>(name: &str, table: &Table<'a>, _places: &mut Places<'a>) -> ParameterSource {
    let value = table.required("value", "add value = the value before any fit").and_then(|item| item.number());
    let (min, max) = (table.number("min"), table.number("max"));
    let log = table.get("scale").and_then(|item| item.choice(&[("linear", false), ("log", true)]));
    ParameterSource {
        name: name.into(),
        // One that lies inside any bounds: the fault is the missing value, not its place.
        value: value.or(min).or(max).unwrap_or(1.0),
        min: min.unwrap_or(f64::NEG_INFINITY),
        max: max.unwrap_or(f64::INFINITY),
        log: log.unwrap_or(false),
        free: table.flag("free", true),
        per_experiment: table.flag("per_experiment", false),
        unit: table.text("unit").unwrap_or_default().into(),
    }
}

fn input<'a>(name: &str, table: &Table<'a>, places: &mut Places<'a>) -> InputSource {
    let variable = table.get("variable").and_then(|item| {
        let text = item.text()?;
        // A fault of the variable's name is best shown at the name.
        places.insert(format!("input.{name}"), item);
        Some(text)
    });
    table.text("unit"); // for the reader; a twin's variable has one of its own
    let hold =
        table.get("hold").and_then(|item| item.choice(&[("previous", Hold::Previous), ("linear", Hold::Linear)]));
    let delay = table.get("delay").and_then(|item| {
        if item.is_text() {
            item.text().map(|name| Delay::Parameter(name.into()))
        } else {
            item.number().map(Delay::Number)
        }
    });
    InputSource {
        name: name.into(),
        variable: variable.unwrap_or(name).into(),
        hold: hold.unwrap_or_default(),
        delay: delay.unwrap_or(Delay::Number(0.0)),
        max_gap_s: table.get("max_gap").and_then(|item| item.period()).map(|gap| gap.as_secs_f64()),
    }
}

fn output<'a>(name: &str, table: &Table<'a>, places: &mut Places<'a>) -> OutputSource {
    let expr = table.required("expr", "add expr = what the variable should read").and_then(|item| {
        let text = item.text()?;
        places.insert(format!("output.{name}.expr"), item);
        Some(text)
    });
    table.text("unit"); // shown by `uatwin fit`, see `alone`; a twin's variable has one of its own
    let losses = [("squares", Loss::Squares), ("huber", Loss::Huber), ("soft_l1", Loss::SoftL1)];
    OutputSource {
        name: name.into(),
        // Where the expression is missing, a number keeps the compiler from a second fault about it.
        expr: expr.unwrap_or("0").into(),
        sigma: table.get("sigma").and_then(|item| item.positive()).unwrap_or(1.0),
        loss: table.get("loss").and_then(|item| item.choice(&losses)).unwrap_or_default(),
    }
}

/// `[….fit]`.
fn fit(model: &Table<'_>, names: &[&str]) -> FitSettings {
    let mut settings = FitSettings {
        window: Duration::from_secs(3600),
        windows: Vec::new(),
        when: None,
        activate: Activation::IfBetter,
        operator_may_activate: true,
        validate: None,
        starts: 8,
        seed: 1,
        absolute_sigma: false,
        uncertain: 1.0,
    };
    let Some(table) = model.table("fit") else { return settings };
    if let Some(window) = table.get("window").and_then(|item| item.period()) {
        settings.window = window;
    }
    if let Some(item) = table.get("windows") {
        settings.windows = windows(&item);
    }
    settings.when = table.get("when").and_then(|item| condition(&item, names));
    let activations = [("if_better", Activation::IfBetter), ("manual", Activation::Manual)];
    if let Some(activate) = table.get("activate").and_then(|item| item.choice(&activations)) {
        settings.activate = activate;
    }
    if let Some(starts) = table.get("starts").and_then(|item| item.whole(1..=1000)) {
        settings.starts = u32::try_from(starts).unwrap_or(1);
    }
    if let Some(seed) = table.get("seed").and_then(|item| item.whole(0..=i64::MAX)) {
        settings.seed = seed.unsigned_abs();
    }
    settings.absolute_sigma = table.flag("absolute_sigma", false);
    settings.operator_may_activate = table.flag("operator_may_activate", true);
    if let Some(weight) = table.get("uncertain").and_then(|item| item.number_in(0.0..=1.0)) {
        settings.uncertain = weight;
    }
    if let Some(item) = table.get("validate") {
        settings.validate = item.period();
        let window = settings.windows.last().map_or(settings.window, |(start, end)| end.saturating_since(*start));
        if settings.validate.is_some_and(|validate| validate >= window) {
            item.fault("nothing of the window is left to fit", "hold out less than `window`");
        }
    }
    table.finish();
    settings
}

/// Stretches of time, in their order.
fn windows(item: &Item<'_>) -> Vec<(Timestamp, Timestamp)> {
    let mut all: Vec<(Timestamp, Timestamp)> = Vec::new();
    for window in item.list().unwrap_or_default() {
        let Some(ends) = window.list() else { continue };
        let [start, end] = ends.as_slice() else {
            window
                .fault("a window is a start and an end", "write [\"2026-01-01T00:00:00Z\", \"2026-01-01T01:00:00Z\"]");
            continue;
        };
        // Both are read: every fault at once.
        let (start, end) = (start.instant(), end.instant());
        let Some((start, end)) = start.zip(end) else { continue };
        if start >= end {
            window.fault("the window does not end after it begins", "exchange its times");
        } else if all.last().is_some_and(|(_, before)| *before > start) {
            window.fault("the window begins before the one before it ends", "give windows in their order");
        } else {
            all.push((start, end));
        }
    }
    all
}

/// An expression over names, as a condition.
pub(super) fn condition(item: &Item<'_>, names: &[&str]) -> Option<Expression> {
    let show = |faults: Vec<ModelFault>| {
        for fault in faults {
            item.fault_inside(fault.offset, &fault.message, &fault.remedy);
        }
    };
    Expression::parse(item.text()?, names).map_err(show).ok()
}

/// `[….solver]`.
fn solver(model: &Table<'_>) -> Options {
    let mut options = Options::default();
    let Some(table) = model.table("solver") else { return options };
    let methods =
        [("auto", Method::Auto), ("dopri5", Method::Dopri5), ("radau5", Method::Radau5), ("bdf", Method::Radau5)];
    if let Some(method) = table.get("method").and_then(|item| item.choice(&methods)) {
        options.method = method;
    }
    if let Some(rtol) = table.get("rtol").and_then(|item| item.number_in(RTOL_MIN..=RTOL_MAX)) {
        options.rtol = rtol;
    }
    if let Some(atol) = table.get("atol").and_then(|item| item.positive()) {
        options.atol = atol;
    }
    if let Some(steps) = table.get("max_steps").and_then(|item| item.whole(1..=STEPS_MAX)) {
        options.steps_max = usize::try_from(steps).unwrap_or(usize::MAX);
    }
    table.finish();
    options
}

/// `[….live]`.
fn live(model: &Table<'_>, source: &ModelSource) -> (Duration, Observer, Option<Duration>) {
    let (mut period, mut observer, mut horizon) = (Duration::from_secs(1), Observer::None, None);
    let Some(table) = model.table("live") else { return (period, observer, horizon) };
    if let Some(wanted) = table.get("period").and_then(|item| item.period()) {
        period = wanted;
    }
    if let Some(item) = table.get("observer") {
        observer = item.choice(&[("none", Observer::None), ("ekf", Observer::Ekf)]).unwrap_or_default();
        if observer == Observer::Ekf && source.states.iter().all(|state| state.noise == 0.0) {
            item.fault(
                "an observer corrects states by their process noise, and no state has any",
                "add noise = its variance per second to a state, or use observer = \"none\"",
            );
        }
    }
    if let Some(item) = table.get("forecast_horizon") {
        horizon = item.period();
        if horizon.is_some_and(|horizon| horizon < period) {
            item.fault("the forecast would have no point", "give at least one `period`");
        } else if horizon.is_some_and(|horizon| horizon > period.saturating_mul(FORECAST_POINTS_MAX)) {
            let remedy = format!("give at most {FORECAST_POINTS_MAX} times the `period`, or a longer `period`");
            item.fault("the forecast would have too many points", remedy);
        }
    }
    table.finish();
    (period, observer, horizon)
}

/// The index of a numeric variable.
fn variable(name: &str, item: &Item<'_>, variables: &[Variable]) -> Option<usize> {
    let found = variables.iter().position(|variable| variable.name == name);
    match found {
        None => item.unknown("there is no variable", name, variables.iter().map(|v| v.name.as_str())),
        Some(index) => {
            let variable = &variables[index];
            let is_flag = variable.data_type == crate::twin::DataType::Boolean && !variable.array;
            if !variable.is_numeric() && !is_flag {
                item.fault(format!("the variable `{name}` is no number"), "use a numeric one");
                return None;
            }
        }
    }
    found
}

/// Shows a fault of the model's compiler where the part stands: `equation.T` inside its expression if it says where.
fn place(fault: &ModelFault, table: &Table<'_>, places: &Places<'_>) {
    let expression = places.get(&format!("{}.expr", fault.item)).filter(|_| fault.offset.is_some());
    let mut item = fault.item.as_str();
    let part = loop {
        match places.get(item) {
            Some(part) => break Some(part),
            None => match item.rsplit_once('.') {
                Some((outer, _)) => item = outer,
                None => break None,
            },
        }
    };
    match expression.or(part) {
        Some(part) => part.fault_inside(fault.offset, &fault.message, &fault.remedy),
        None => table.fault(&fault.message, &fault.remedy),
    }
}
