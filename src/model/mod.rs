//! A twin's model: states x, parameters θ, inputs u, outputs y, as equations that a user wrote.
//! dx/dt = f(x, u, θ, t), y = g(x, u, θ, t); without states it is a static one. Pure: no clock, no I/O.
//!
//! [`ModelSource`] is plain data (the config layer makes it from TOML); [`Model::compile`] checks all of it and reports
//! every fault at once. What a compiled model means numerically stands in `simulate` and `fit`.
//!
#![doc = include_str!("language.md")]

mod compile;
mod dual;
mod expression;
mod jacobian;
mod language;
mod lexer;
mod tape;

pub(crate) use dual::{Dual, Number};
pub use expression::Expression;
pub use jacobian::Jacobian;
pub use language::{DEPTH_MAX, NAME_BYTES_MAX, OPERATIONS_MAX, RESERVED, TEXT_BYTES_MAX};
pub(crate) use tape::Tape;

/// Most states, parameters, inputs, outputs of one model.
pub const STATES_MAX: usize = 32;
/// Most parameters.
pub const PARAMETERS_MAX: usize = 64;
/// Most inputs.
pub const INPUTS_MAX: usize = 64;
/// Most outputs.
pub const OUTPUTS_MAX: usize = 64;
/// Most helpers.
pub const LETS_MAX: usize = 256;

/// What the config says about a model, unchecked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelSource {
    /// x.
    pub states: Vec<StateSource>,
    /// θ.
    pub parameters: Vec<ParameterSource>,
    /// u.
    pub inputs: Vec<InputSource>,
    /// Named helpers, in any order.
    pub lets: Vec<LetSource>,
    /// dx/dt, one for each state.
    pub equations: Vec<EquationSource>,
    /// y.
    pub outputs: Vec<OutputSource>,
}

/// One state.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSource {
    /// Its name in expressions.
    pub name: String,
    /// Its value at the start.
    pub init: Init,
    /// Process noise of the observer, unit²/s.
    pub noise: f64,
}

/// Where a state starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// At a number.
    Number(f64),
    /// At a parameter's value; a free one is estimated.
    Parameter(String),
    /// At the first measured value of an output.
    Measured(String),
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSource {
    /// Its name in expressions.
    pub name: String,
    /// Nominal value.
    pub value: f64,
    /// Lower bound (−∞: none).
    pub min: f64,
    /// Upper bound (∞: none).
    pub max: f64,
    /// Estimated on a logarithmic scale.
    pub log: bool,
    /// Estimated unless a fit names others.
    pub free: bool,
    /// Of a run, not of the device: a fit of several experiments estimates it in each.
    pub per_experiment: bool,
    /// Informational.
    pub unit: String,
}

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSource {
    /// Its name in expressions.
    pub name: String,
    /// The twin's variable that feeds it.
    pub variable: String,
    /// Between its samples.
    pub hold: Hold,
    /// Dead time in seconds.
    pub delay: Delay,
    /// Longest time between samples over which it is known, seconds; none: any.
    pub max_gap_s: Option<f64>,
}

/// What an input does between its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Keeps the last value (zero-order hold).
    #[default]
    Previous,
    /// Goes straight to the next.
    Linear,
}

/// Dead time of an input in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Delay {
    /// A constant.
    Number(f64),
    /// A parameter's value; a free one is estimated.
    Parameter(String),
}

/// A named helper.
#[derive(Clone, Debug, PartialEq)]
pub struct LetSource {
    /// Its name in expressions.
    pub name: String,
    /// What it stands for.
    pub expr: String,
}

/// d(state)/dt.
#[derive(Clone, Debug, PartialEq)]
pub struct EquationSource {
    /// Which state's.
    pub state: String,
    /// The right-hand side.
    pub expr: String,
}

/// One output: what a variable should read.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSource {
    /// The variable's name.
    pub name: String,
    /// What it should read.
    pub expr: String,
    /// Standard deviation of its measurement, in its unit: the weight of its residuals.
    pub sigma: f64,
    /// How residuals count.
    pub loss: Loss,
}

/// What a squared scaled residual z = ((y−ŷ)/σ)² costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// z.
    #[default]
    Squares,
    /// z up to one σ, 2√z − 1 above.
    Huber,
    /// 2(√(1+z) − 1).
    SoftL1,
}

/// Something wrong in a model, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFault {
    /// The key it stands at: `equation.T`, `parameter.C`, …
    pub item: String,
    /// Byte in the expression's text; none: the whole item.
    pub offset: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl ModelFault {
    pub(crate) fn new(
        item: impl Into<String>,
        offset: Option<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { item: item.into(), offset, message: message.into(), remedy: remedy.into() }
    }
}

impl std::fmt::Display for ModelFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}, column {}: {}: {}", self.item, offset + 1, self.message, self.remedy),
            None => write!(f, "{}: {}: {}", self.item, self.message, self.remedy),
        }
    }
}

/// Where a compiled model's state starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// At a number.
    Number(f64),
    /// At θ of this index.
    Parameter(usize),
    /// At the first measured value of the output of this index.
    Measured(usize),
}

/// Dead time of a compiled model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeadTime {
    /// Seconds.
    Number(f64),
    /// θ of this index.
    Parameter(usize),
}

/// A checked and compiled model. Cheap to share (`Arc`), never changed.
#[derive(Clone, Debug)]
pub struct Model {
    source: ModelSource,
    starts: Vec<Start>,
    dead_times: Vec<DeadTime>,
    /// dx/dt over the variables `[t, x…, u…, θ…]`.
    pub(crate) equations: Tape,
    /// y over the same variables.
    pub(crate) outputs: Tape,
}

/// A model is what it was compiled from.
impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Model {
    /// Checks and compiles.
    ///
    /// # Errors
    /// Every fault of the source.
    pub fn compile(source: &ModelSource) -> Result<Self, Vec<ModelFault>> {
        compile::compile(source)
    }

    /// The states, in the order of x.
    #[must_use]
    pub fn states(&self) -> &[StateSource] {
        &self.source.states
    }

    /// The parameters, in the order of θ.
    #[must_use]
    pub fn parameters(&self) -> &[ParameterSource] {
        &self.source.parameters
    }

    /// The inputs, in the order of u.
    #[must_use]
    pub fn inputs(&self) -> &[InputSource] {
        &self.source.inputs
    }

    /// The outputs, in the order of y.
    #[must_use]
    pub fn outputs(&self) -> &[OutputSource] {
        &self.source.outputs
    }

    /// Where each state starts.
    #[must_use]
    pub fn starts(&self) -> &[Start] {
        &self.starts
    }

    /// Each input's dead time.
    #[must_use]
    pub fn dead_times(&self) -> &[DeadTime] {
        &self.dead_times
    }

    /// Each input's dead time in seconds under θ, never negative.
    #[must_use]
    pub fn delay_s(&self, input: usize, theta: &[f64]) -> f64 {
        match self.dead_times[input] {
            DeadTime::Number(delay) => delay,
            DeadTime::Parameter(index) => theta[index].max(0.0),
        }
    }

    /// The nominal θ.
    #[must_use]
    pub fn nominal(&self) -> Vec<f64> {
        self.source.parameters.iter().map(|parameter| parameter.value).collect()
    }

    /// The indices of the parameters that a fit estimates when it names none.
    #[must_use]
    pub fn free(&self) -> Vec<usize> {
        (0..self.source.parameters.len()).filter(|&index| self.source.parameters[index].free).collect()
    }

    /// The index of a parameter in θ.
    #[must_use]
    pub fn parameter_index(&self, name: &str) -> Option<usize> {
        self.source.parameters.iter().position(|parameter| parameter.name == name)
    }

    /// Whether a parameter is where states start and nothing else: its value belongs to a run, not to the device.
    #[must_use]
    pub fn is_initial_state(&self, parameter: usize) -> bool {
        let (_, _, first) = self.offsets();
        self.starts.contains(&Start::Parameter(parameter))
            && !self.dead_times.contains(&DeadTime::Parameter(parameter))
            && !self.equations.reads(first + parameter)
            && !self.outputs.reads(first + parameter)
    }

    /// Of these parameters, those that belong to a run and not to the device: initial states, and what the source says.
    #[must_use]
    pub fn of_a_run(&self, parameters: &[usize]) -> Vec<usize> {
        let belongs = |index: &usize| self.source.parameters[*index].per_experiment || self.is_initial_state(*index);
        parameters.iter().copied().filter(belongs).collect()
    }

    /// The index of an output in y.
    #[must_use]
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.source.outputs.iter().position(|output| output.name == name)
    }

    /// x at the start under θ; `measured` gives the first measured value of an output. None: such a value is missing.
    #[must_use]
    pub fn initial_state(&self, theta: &[f64], measured: &dyn Fn(usize) -> Option<f64>) -> Option<Vec<f64>> {
        let start = |start: &Start| match *start {
            Start::Number(value) => Some(value),
            Start::Parameter(index) => theta.get(index).copied(),
            Start::Measured(output) => measured(output),
        };
        self.starts.iter().map(start).collect()
    }

    /// The equations as a reader wants them: `d(T)/dt = …`, `Temperature = …`, one a line.
    #[must_use]
    pub fn equations_text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for equation in &self.source.equations {
            let _ = writeln!(text, "d({})/dt = {}", equation.state, equation.expr);
        }
        for output in &self.source.outputs {
            let _ = writeln!(text, "{} = {}", output.name, output.expr);
        }
        for helper in &self.source.lets {
            let _ = writeln!(text, "where {} = {}", helper.name, helper.expr);
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// A number for all that a fit or a simulation depends on, the same on every machine: FNV-1a of the model written out.
    /// What a model may have beyond what follows is appended where it is not as by default, so that a later program finds
    /// the same number.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut text = self.equations_text();
        for p in &self.source.parameters {
            text += &format!("\n{} {:?} {:?} {} {}", p.name, p.min, p.max, p.log, p.free);
        }
        for s in &self.source.states {
            text += &format!("\n{} {:?}", s.name, s.init);
        }
        for i in &self.source.inputs {
            text += &format!("\n{} {} {:?} {:?}", i.name, i.variable, i.hold, i.delay);
        }
        for o in &self.source.outputs {
            text += &format!("\n{} {:?} {:?}", o.name, o.sigma, o.loss);
        }
        for p in self.source.parameters.iter().filter(|p| p.per_experiment) {
            text += &format!("\n{} per experiment", p.name);
        }
        for (input, most) in self.source.inputs.iter().filter_map(|i| Some((i, i.max_gap_s?))) {
            text += &format!("\n{} {most:?}", input.name);
        }
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Operations of one evaluation of dx/dt and of y: what a run costs.
    #[must_use]
    pub fn operations(&self) -> (usize, usize) {
        (self.equations.len(), self.outputs.len())
    }

    /// The same model with each state as a further output, behind its own.
    #[must_use]
    pub(crate) fn with_states_shown(&self) -> Self {
        let mut shown = self.clone();
        let (first, _, _) = self.offsets();
        for (index, state) in self.source.states.iter().enumerate() {
            shown.outputs.add_root(first + index);
            let (name, expr) = (state.name.clone(), state.name.clone());
            shown.source.outputs.push(OutputSource { name, expr, sigma: 1.0, loss: Loss::Squares });
        }
        shown
    }

    /// First variable of x, of u and of θ on the tapes (t is variable 0).
    pub(crate) fn offsets(&self) -> (usize, usize, usize) {
        let inputs = 1 + self.source.states.len();
        (1, inputs, inputs + self.source.inputs.len())
    }
}
