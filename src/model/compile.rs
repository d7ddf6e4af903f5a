//! From [`ModelSource`] to [`Model`]: names, bounds, references, expressions. Goes on after a fault, so that all are
//! reported at once.

use std::collections::HashMap;

use super::language::{self, NAME_BYTES_MAX, RESERVED};
use super::lexer;
use super::tape::{Operand, TapeBuilder};
use super::{
    DeadTime, Delay, INPUTS_MAX, Init, LETS_MAX, Model, ModelFault, ModelSource, OUTPUTS_MAX, PARAMETERS_MAX,
    STATES_MAX, Start,
};

pub(super) fn compile(source: &ModelSource) -> Result<Model, Vec<ModelFault>> {
    let mut faults = Vec::new();
    check_sizes(source, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    check_names(source, &mut faults);
    check_numbers(source, &mut faults);
    let starts = resolve_starts(source, &mut faults);
    let dead_times = resolve_delays(source, &mut faults);

    let mut scope = Scope::new(source);
    scope.add_lets(source, &mut faults);
    let equations = equation_texts(source, &mut faults)
        .into_iter()
        .map(|(state, text)| scope.parse(&format!("equation.{state}"), text, &mut faults))
        .collect::<Vec<_>>();
    let outputs = source
        .outputs
        .iter()
        .map(|output| scope.parse(&format!("output.{}", output.name), &output.expr, &mut faults))
        .collect::<Vec<_>>();
    if !faults.is_empty() {
        return Err(faults);
    }
    // In the order of the states, so that the text of a model doesn't depend on the order of its tables.
    let mut source = source.clone();
    source.equations.sort_by_key(|e| source.states.iter().position(|s| s.name == e.state));
    Ok(Model {
        starts,
        dead_times,
        equations: scope.builder.finish(scope.variables, &equations),
        outputs: scope.builder.finish(scope.variables, &outputs),
        source,
    })
}

fn check_sizes(source: &ModelSource, faults: &mut Vec<ModelFault>) {
    let sizes = [
        ("state", source.states.len(), STATES_MAX),
        ("parameter", source.parameters.len(), PARAMETERS_MAX),
        ("input", source.inputs.len(), INPUTS_MAX),
        ("let", source.lets.len(), LETS_MAX),
        ("equation", source.equations.len(), STATES_MAX),
        ("output", source.outputs.len(), OUTPUTS_MAX),
    ];
    for (item, count, most) in sizes {
        if count > most {
            let message = format!("the model has {count} of these, at most {most} are allowed");
            faults.push(ModelFault::new(item, None, message, "make the model smaller"));
        }
    }
    if source.outputs.is_empty() {
        let remedy = "add [output.NAME] with expr, where NAME is the variable it should equal";
        faults.push(ModelFault::new("output", None, "the model has no output", remedy));
    }
}

/// Every name of an expression with the key it was declared at.
fn declared(source: &ModelSource) -> impl Iterator<Item = (&'static str, &str)> {
    let states = source.states.iter().map(|s| ("state", s.name.as_str()));
    let parameters = source.parameters.iter().map(|p| ("parameter", p.name.as_str()));
    let inputs = source.inputs.iter().map(|i| ("input", i.name.as_str()));
    let lets = source.lets.iter().map(|l| ("let", l.name.as_str()));
    states.chain(parameters).chain(inputs).chain(lets)
}

fn check_names(source: &ModelSource, faults: &mut Vec<ModelFault>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (kind, name) in declared(source) {
        let item = format!("{kind}.{}", lexer::shorten(name));
        if name.len() > NAME_BYTES_MAX {
            let message = format!("the name is {} bytes long, at most {NAME_BYTES_MAX} are allowed", name.len());
            faults.push(ModelFault::new(&item, None, message, "shorten it"));
        } else if !lexer::is_name(name) {
            let remedy = "use letters, digits and `_`, beginning with a letter";
            faults.push(ModelFault::new(&item, None, format!("`{name}` can't be used in an expression"), remedy));
        } else if RESERVED.contains(&name) {
            let meaning = if name == "t" { "the time in seconds" } else { "3.14159…" };
            faults.push(ModelFault::new(&item, None, format!("`{name}` already means {meaning}"), "rename it"));
        } else if let Some(first) = seen.insert(name, kind) {
            faults.push(ModelFault::new(&item, None, format!("`{name}` is already a {first}"), "rename one of them"));
        }
    }
    let mut outputs = std::collections::HashSet::new();
    for output in &source.outputs {
        if !outputs.insert(output.name.as_str()) {
            let item = format!("output.{}", lexer::shorten(&output.name));
            faults.push(ModelFault::new(item, None, "this output is there twice", "remove one of them"));
        }
    }
}

fn check_numbers(source: &ModelSource, faults: &mut Vec<ModelFault>) {
    let mut fault = |item: String, message: String, remedy: &str| {
        faults.push(ModelFault::new(item, None, message, remedy));
    };
    for p in &source.parameters {
        let item = || format!("parameter.{}", p.name);
        if !p.value.is_finite() {
            fault(item(), format!("value {} is not a finite number", p.value), "give a number");
        } else if p.min.is_nan() || p.max.is_nan() || p.min >= p.max {
            fault(item(), format!("min {} is not below max {}", p.min, p.max), "exchange or widen the bounds");
        } else if !(p.min..=p.max).contains(&p.value) {
            let message = format!("value {} is outside its bounds {} to {}", p.value, p.min, p.max);
            fault(item(), message, "move the value or the bounds");
        } else if p.log && p.min <= 0.0 && p.min.is_finite() {
            let message = format!("scale \"log\" needs a positive min, not {}", p.min);
            fault(item(), message, "give a positive min or scale = \"linear\"");
        } else if p.log && p.value <= 0.0 {
            fault(item(), format!("scale \"log\" needs a positive value, not {}", p.value), "use scale = \"linear\"");
        }
    }
    for state in &source.states {
        let item = || format!("state.{}", state.name);
        if !(state.noise.is_finite() && state.noise >= 0.0) {
            fault(item(), format!("noise {} is not zero or positive", state.noise), "give the variance per second");
        }
        if matches!(state.init, Init::Number(value) if !value.is_finite()) {
            fault(item(), "init is not a finite number".to_owned(), "give a number or a parameter");
        }
    }
    for input in &source.inputs {
        if matches!(input.delay, Delay::Number(delay) if !(delay.is_finite() && delay >= 0.0)) {
            let message = "delay is not zero or positive".to_owned();
            fault(format!("input.{}", input.name), message, "give seconds or a parameter");
        }
    }
    for input in &source.inputs {
        if input.max_gap_s.is_some_and(|most| !(most.is_finite() && most > 0.0)) {
            fault(format!("input.{}", input.name), "max_gap is not positive".to_owned(), "give a duration");
        }
    }
    for output in &source.outputs {
        if !(output.sigma.is_finite() && output.sigma > 0.0) {
            let message = format!("sigma {} is not positive", output.sigma);
            fault(format!("output.{}", output.name), message, "give the measurement's standard deviation");
        }
    }
}

fn unknown(item: String, kind: &str, name: &str, known: Vec<&str>) -> ModelFault {
    let remedy = match lexer::suggest(name, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("declare it or use one of the {kind}s of this model"),
    };
    ModelFault::new(item, None, format!("there is no {kind} `{}`", lexer::shorten(name)), remedy)
}

fn parameter_names(source: &ModelSource) -> Vec<&str> {
    source.parameters.iter().map(|p| p.name.as_str()).collect()
}

fn resolve_starts(source: &ModelSource, faults: &mut Vec<ModelFault>) -> Vec<Start> {
    let parameters = parameter_names(source);
    let outputs: Vec<&str> = source.outputs.iter().map(|o| o.name.as_str()).collect();
    let mut starts = Vec::new();
    for state in &source.states {
        let (kind, name, known) = match &state.init {
            Init::Number(value) => {
                starts.push(Start::Number(*value));
                continue;
            }
            Init::Parameter(name) => ("parameter", name, &parameters),
            Init::Measured(name) => ("output", name, &outputs),
        };
        match known.iter().position(|k| k == name) {
            Some(index) if kind == "parameter" => starts.push(Start::Parameter(index)),
            Some(index) => starts.push(Start::Measured(index)),
            None => faults.push(unknown(format!("state.{}", state.name), kind, name, known.clone())),
        }
    }
    starts
}

fn resolve_delays(source: &ModelSource, faults: &mut Vec<ModelFault>) -> Vec<DeadTime> {
    let parameters = parameter_names(source);
    let mut delays = Vec::new();
    for input in &source.inputs {
        match &input.delay {
            Delay::Number(delay) => delays.push(DeadTime::Number(*delay)),
            Delay::Parameter(name) => match parameters.iter().position(|p| p == name) {
                Some(index) => delays.push(DeadTime::Parameter(index)),
                None => faults.push(unknown(format!("input.{}", input.name), "parameter", name, parameters.clone())),
            },
        }
    }
    delays
}

/// The right-hand sides in the order of the states.
fn equation_texts<'a>(source: &'a ModelSource, faults: &mut Vec<ModelFault>) -> Vec<(&'a str, &'a str)> {
    let states: Vec<&str> = source.states.iter().map(|s| s.name.as_str()).collect();
    let mut texts: HashMap<&str, &str> = HashMap::new();
    for equation in &source.equations {
        let item = || format!("equation.{}", lexer::shorten(&equation.state));
        if !states.contains(&equation.state.as_str()) {
            faults.push(unknown(item(), "state", &equation.state, states.clone()));
        } else if texts.insert(&equation.state, &equation.expr).is_some() {
            faults.push(ModelFault::new(item(), None, "this state has two equations", "remove one of them"));
        }
    }
    let mut ordered = Vec::new();
    for &state in &states {
        match texts.get(state) {
            Some(text) => ordered.push((state, *text)),
            None => {
                let remedy = format!("add `{state} = \"...\"`, its derivative, to [equation]");
                faults.push(ModelFault::new(format!("state.{state}"), None, "this state has no equation", remedy));
            }
        }
    }
    ordered
}

/// What names mean while the expressions are compiled.
struct Scope<'a> {
    builder: TapeBuilder,
    variables: usize,
    meaning: HashMap<&'a str, Operand>,
    known: Vec<&'a str>,
}

impl<'a> Scope<'a> {
    fn new(source: &'a ModelSource) -> Self {
        let states = source.states.iter().map(|s| s.name.as_str());
        let inputs = source.inputs.iter().map(|i| i.name.as_str());
        let parameters = source.parameters.iter().map(|p| p.name.as_str());
        let names: Vec<&str> = std::iter::once("t").chain(states).chain(inputs).chain(parameters).collect();
        let meaning = names.iter().enumerate().map(|(i, name)| (*name, Operand::Variable(i as u32))).collect();
        let mut known: Vec<&str> = declared(source).map(|(_, name)| name).collect();
        known.extend(RESERVED);
        Self { builder: TapeBuilder::default(), variables: names.len(), meaning, known }
    }

    fn parse(&mut self, item: &str, text: &str, faults: &mut Vec<ModelFault>) -> Operand {
        let meaning = &self.meaning;
        let lookup = |name: &str| meaning.get(name).copied();
        match language::parse(item, text, &self.known, &lookup, &mut self.builder) {
            Ok(operand) => operand,
            Err(found) => {
                faults.extend(found);
                self.builder.constant(f64::NAN)
            }
        }
    }

    /// Compiles the helpers, each after those it uses: TOML tables have no order.
    fn add_lets(&mut self, source: &'a ModelSource, faults: &mut Vec<ModelFault>) {
        let index_of: HashMap<&str, usize> =
            source.lets.iter().enumerate().map(|(index, helper)| (helper.name.as_str(), index)).collect();
        let mut waiting: Vec<(usize, Vec<usize>)> = source
            .lets
            .iter()
            .enumerate()
            .map(|(index, helper)| {
                let text = helper.expr.get(..language::TEXT_BYTES_MAX).unwrap_or(&helper.expr);
                let used = lexer::names_used(text).into_iter();
                (index, used.filter_map(|name| index_of.get(name).copied()).collect())
            })
            .collect();
        let mut done = vec![false; source.lets.len()];
        while !waiting.is_empty() {
            let (ready, rest): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|(_, needs)| needs.iter().all(|&need| done[need]));
            let stuck = ready.is_empty();
            for (index, _) in if stuck { &rest } else { &ready } {
                let helper = &source.lets[*index];
                let item = format!("let.{}", helper.name);
                let operand = if stuck {
                    let message = format!("`{}` is defined by itself", helper.name);
                    faults.push(ModelFault::new(item, None, message, "break the circle"));
                    self.builder.constant(f64::NAN)
                } else {
                    self.parse(&item, &helper.expr, faults)
                };
                self.meaning.insert(&helper.name, operand);
                done[*index] = true;
            }
            waiting = if stuck { Vec::new() } else { rest };
        }
    }
}
