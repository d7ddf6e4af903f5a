//! What twins there are, and how each stands now. The configured part is immutable; the live part has one writer (the
//! ingest stage) and many readers (the server), a short lock per twin between them.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use crate::{
    aggregate,
    alarm::{Condition, ConditionKind, LimitSettings, limit_fields},
    event::{Event, EventType, Source},
    fit::FitReport,
    model::{Expression, Model},
    optimize::{Keep, Move},
    preprocess::FilterSpec,
    program::Program,
    sample::{Sample, SeriesId, StatusCode, TwinId, Value},
    simulate,
    southbound::{NodeAddress, PlcId},
    statistics::{
        Rolling, Settings, Window,
        control::ChartSettings,
        correlation::{Joint, Method},
        drift::Design,
    },
    time::Timestamp,
};

/// The data types a variable may have (OPC 10000-6 §5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the built-in types' own names")]
pub enum DataType {
    Boolean,
    SByte,
    Byte,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float,
    Double,
    String,
    DateTime,
    ByteString,
    LocalizedText,
}

impl DataType {
    /// Every one, with the name it has in a config.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::Boolean, "Boolean"),
        (Self::SByte, "SByte"),
        (Self::Byte, "Byte"),
        (Self::Int16, "Int16"),
        (Self::UInt16, "UInt16"),
        (Self::Int32, "Int32"),
        (Self::UInt32, "UInt32"),
        (Self::Int64, "Int64"),
        (Self::UInt64, "UInt64"),
        (Self::Float, "Float"),
        (Self::Double, "Double"),
        (Self::String, "String"),
        (Self::DateTime, "DateTime"),
        (Self::ByteString, "ByteString"),
        (Self::LocalizedText, "LocalizedText"),
    ];

    /// Whether statistics and models can use it. A Boolean counts as discrete, not as a number.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        !matches!(self, Self::Boolean | Self::String | Self::DateTime | Self::ByteString | Self::LocalizedText)
    }

    /// A number as a value of this type: the nearest it has. `Null` where it has none.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates: the nearest")]
    pub fn nearest(self, x: f64) -> Value {
        let whole = x.round();
        match self {
            Self::SByte => Value::SByte(whole as i8),
            Self::Byte => Value::Byte(whole as u8),
            Self::Int16 => Value::Int16(whole as i16),
            Self::UInt16 => Value::UInt16(whole as u16),
            Self::Int32 => Value::Int32(whole as i32),
            Self::UInt32 => Value::UInt32(whole as u32),
            Self::Int64 => Value::Int64(whole as i64),
            Self::UInt64 => Value::UInt64(whole as u64),
            Self::Float => Value::Float(x as f32),
            Self::Double => Value::Double(x),
            Self::Boolean | Self::String | Self::DateTime | Self::ByteString | Self::LocalizedText => Value::Null,
        }
    }

    /// Whether values between two samples are to be interpolated unless the config says otherwise.
    #[must_use]
    pub const fn is_floating(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }
}

/// One `[twin_type.T.variable.V]`.
#[derive(Clone, Debug)]
pub struct Variable {
    /// BrowseName, and the key in the config.
    pub name: String,
    /// For the node's Description.
    pub description: String,
    /// As the twin shows it (after the preprocessing chain).
    pub data_type: DataType,
    /// Whether a value is a one-dimensional array of that type.
    pub array: bool,
    /// As people write it; empty: none.
    pub unit: String,
    /// EURange.
    pub range: Option<(f64, f64)>,
    /// Specification limits, lower and upper.
    pub limits: Option<(f64, f64)>,
    /// Asked of the PLC.
    pub sampling_interval: Duration,
    /// Filters, in order.
    pub preprocess: Vec<FilterSpec>,
    /// Whether samples are stored.
    pub historize: bool,
    /// Whether a value holds until the next one.
    pub stepped: bool,
    /// How the statuses of its samples weigh in aggregates.
    pub aggregate: aggregate::Configuration,
    /// Whether clients may write it (through to the PLC, where there is one).
    pub writable: bool,
    /// Names of the states of a discrete variable, by value; empty: not discrete.
    pub states: Vec<String>,
    /// Limits whose crossing is an alarm.
    pub alarm: Option<LimitSettings>,
    /// What its statistics are of.
    pub statistics: StatisticsSettings,
}

/// What statistics are of: `[twin_type.T.statistics]`, and `statistics` of a variable, which has the type's where it says
/// nothing.
#[derive(Clone, Debug)]
pub struct StatisticsSettings {
    /// How far back they reach.
    pub window: Window,
    /// Whether a sample whose quality is Uncertain counts; a Bad one never does.
    pub uncertain: bool,
    /// Only samples for which this holds; over the variables' names.
    pub when: Option<Expression>,
    /// The variable whose change begins a new collection, by index.
    pub lot: Option<usize>,
    /// The period that control limits come from; `None`: the window.
    pub reference: Option<(Timestamp, Timestamp)>,
    /// Control charts against that period; `None`: none. Only of a numeric variable that has history, and a reference.
    pub chart: Option<ChartSettings>,
}

/// What a twin's live correlation matrix is of: `correlate` of `[twin_type.T.statistics]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelateSettings {
    /// Its rows and columns, by index into the type's variables; two at least.
    pub variables: Vec<usize>,
    /// Step of the grid that samples are aligned to, seconds.
    pub step_s: f64,
    /// Which coefficient.
    pub method: Method,
}

impl CorrelateSettings {
    /// Where a variable stands in it.
    #[must_use]
    pub fn column(&self, variable: usize) -> Option<usize> {
        self.variables.iter().position(|v| *v == variable)
    }
}

impl Default for StatisticsSettings {
    fn default() -> Self {
        Self { window: Window::default(), uncertain: true, when: None, lot: None, reference: None, chart: None }
    }
}

impl StatisticsSettings {
    /// The sample's number, if its quality lets it count.
    #[must_use]
    pub fn usable(&self, sample: &Sample) -> Option<f64> {
        sample.usable().filter(|_| self.uncertain || !sample.status.is_uncertain())
    }
}

impl Variable {
    /// Whether it has states: a Boolean, or an integer whose states have names.
    #[must_use]
    pub fn is_discrete(&self) -> bool {
        self.states_len() > 0
    }

    /// How many states it has; 0: it is not discrete.
    #[must_use]
    pub fn states_len(&self) -> usize {
        match self.data_type {
            _ if self.array => 0,
            DataType::Boolean => 2,
            _ => self.states.len(),
        }
    }

    /// Whether there are statistics of it.
    #[must_use]
    pub fn has_statistics(&self) -> bool {
        self.is_numeric() || self.is_discrete()
    }

    /// Its empty window.
    #[must_use]
    pub fn rolling(&self) -> Rolling {
        Rolling::new(Settings {
            window: self.statistics.window,
            stepped: self.stepped,
            numeric: self.is_numeric(),
            states: self.states_len(),
        })
        .charted(self.statistics.chart)
    }

    /// Whether statistics and models can use it.
    #[must_use]
    pub const fn is_numeric(&self) -> bool {
        self.data_type.is_numeric() && !self.array
    }
}

/// What a fit may and should do, `[twin_type.T.model.fit]`.
#[derive(Clone, Debug)]
pub struct FitSettings {
    /// How far back a fit without times reaches.
    pub window: Duration,
    /// Stretches that it takes instead, in their order; empty: `window`.
    pub windows: Vec<(Timestamp, Timestamp)>,
    /// Only samples for which this holds; over the variables' names.
    pub when: Option<Expression>,
    /// Whether a better fit is put in force by itself.
    pub activate: Activation,
    /// Whether one that an operator asked for is.
    pub operator_may_activate: bool,
    /// The end of the window that is held out: a fit that does worse there than the parameters in force is not put in force.
    pub validate: Option<Duration>,
    /// Starts of the multi-start.
    pub starts: u32,
    /// Of the starts' positions.
    pub seed: u64,
    /// Whether the outputs' σ are known, so that standard errors are not scaled by the reduced χ².
    pub absolute_sigma: bool,
    /// Weight of a measurement whose quality is Uncertain: 1 as a Good one's, 0 is left out.
    pub uncertain: f64,
}

/// When a fitted revision is put in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// When its cost is lower than that of the parameters in force.
    IfBetter,
    /// When somebody says so.
    Manual,
}

/// Most points of a forecast in history: what one answer may hold.
pub const FORECAST_POINTS_MAX: u32 = 10_000;

/// A model and how it runs beside the device.
#[derive(Clone, Debug)]
pub struct TwinModel {
    /// The compiled equations.
    pub model: Arc<Model>,
    /// Variable of each model input, by index into the type's variables.
    pub inputs: Vec<usize>,
    /// Variable of each model output.
    pub outputs: Vec<usize>,
    /// Of its simulations.
    pub solver: simulate::Options,
    /// Fit.
    pub fit: FitSettings,
    /// The live simulation's period.
    pub period: Duration,
    /// What corrects it by what is measured.
    pub observer: Observer,
    /// How far history of a simulated output goes on after now, in steps of `period`; `None`: it ends with what is stored.
    pub forecast_horizon: Option<Duration>,
}

/// What a live simulation makes of measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Observer {
    /// Nothing: it runs free.
    #[default]
    None,
    /// An extended Kalman filter corrects its states.
    Ekf,
}

/// What `OptimizeSetpoints` may move and must keep, `[twin_type.T.optimize]`.
#[derive(Clone, Debug)]
pub struct OptimizeSettings {
    /// Inputs that may be moved; at least one.
    pub moves: Vec<Move>,
    /// States and outputs that keep bounds.
    pub keeps: Vec<Keep>,
    /// How long what was applied is watched: a bound that breaks meanwhile brings the old values back.
    pub watch: Duration,
}

/// `[twin_type.T.drift]`: how the residuals are watched.
#[derive(Clone, Copy, Debug)]
pub struct DriftSettings {
    /// The test, as sharp as the stated rate of false alarms lets it be; for each output.
    pub design: Design,
    /// How often the alarm may come without a cause, on average, from all outputs together.
    pub false_alarms_per_year: f64,
    /// 1 to 1000.
    pub severity: u16,
    /// What is done about it besides.
    pub refit: Option<RefitSettings>,
}

/// A fit that drift asks for.
#[derive(Clone, Copy, Debug)]
pub struct RefitSettings {
    /// How far back it reaches.
    pub window: Duration,
    /// The share of the window, its end, that is held out to judge it by.
    pub held_out: f64,
    /// The share by which the mean squared residual there must shrink, at least.
    pub improve: f64,
    /// The time between two of them, at least.
    pub at_most_every: Duration,
}

/// A condition of a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionOf {
    /// The limits of a variable, by index.
    Limits(usize),
    /// The residuals.
    Drift,
}

/// One `[twin_type.T]`.
#[derive(Clone, Debug)]
pub struct TwinType {
    /// BrowseName of its ObjectType.
    pub name: String,
    /// For its Description.
    pub description: String,
    /// In config order.
    pub variables: Vec<Variable>,
    /// Its simulation.
    pub model: Option<TwinModel>,
    /// Its set-points; `None`: nothing may be moved.
    pub optimize: Option<OptimizeSettings>,
    /// Of its variables' statistics, where they say nothing else.
    pub statistics: StatisticsSettings,
    /// How its residuals are watched; `None`: they are not.
    pub drift: Option<DriftSettings>,
    /// Its correlation matrix; `None`: there is none.
    pub correlate: Option<CorrelateSettings>,
}

/// One `[twin.T]`.
#[derive(Clone, Debug)]
pub struct Twin {
    /// BrowseName, and the first part of all its NodeIds.
    pub name: String,
    /// For its Description.
    pub description: String,
    /// Index into [`Twins::types`].
    pub type_index: usize,
    /// Where its samples come from; `None`: only internal variables.
    pub plc: Option<PlcId>,
    /// Where each variable's samples come from, by variable; `None`: an internal variable.
    pub sources: Vec<Option<NodeAddress>>,
    /// The model's parameters before any fit, by parameter.
    pub parameters: Vec<f64>,
}

/// What the BrowseName of a variable's limits ends in, after the variable's own: no variable may be called so.
pub const LEVEL_ALARM: &str = "LevelAlarm";
/// BrowseName of the residuals' condition below its twin.
pub const DRIFT_ALARM: &str = "DriftAlarm";

/// Which of a twin's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Facet {
    /// The measured variable.
    Variable(usize),
    /// ŷ of the model's output, by output.
    Simulated(usize),
    /// y − ŷ, by output.
    Residual(usize),
    /// The parameter in force, by parameter.
    Parameter(usize),
    /// x of the model beside the device, by state.
    State(usize),
    /// Number of the revision in force.
    Revision,
}

/// Everything configured, and the numbering of series: twin by twin its variables, then per output Simulated and
/// Residual, then its parameters, its states, the revision in force.
#[derive(Debug)]
pub struct Twins {
    /// In config order.
    pub types: Vec<TwinType>,
    /// In config order; indexed by [`TwinId`].
    pub twins: Vec<Twin>,
    /// First series of each twin, and one past the last.
    first_series: Vec<u32>,
}

impl Twins {
    /// Numbers the series.
    #[must_use]
    pub fn new(types: Vec<TwinType>, twins: Vec<Twin>) -> Self {
        let mut next = 0u32;
        let mut first_series: Vec<u32> = Vec::with_capacity(twins.len() + 1);
        for twin in &twins {
            first_series.push(next);
            next += u32::try_from(types[twin.type_index].series_len()).unwrap_or(u32::MAX);
        }
        first_series.push(next);
        Self { types, twins, first_series }
    }

    /// All twins' ids.
    pub fn ids(&self) -> impl Iterator<Item = TwinId> + use<> {
        (0..u32::try_from(self.twins.len()).unwrap_or(u32::MAX)).map(TwinId)
    }

    /// The twin.
    #[must_use]
    pub fn twin(&self, twin: TwinId) -> &Twin {
        &self.twins[twin.index()]
    }

    /// The twin's type.
    #[must_use]
    pub fn type_of(&self, twin: TwinId) -> &TwinType {
        &self.types[self.twins[twin.index()].type_index]
    }

    /// How many series there are in all.
    #[must_use]
    pub fn series_len(&self) -> usize {
        self.first_series.last().map_or(0, |n| *n as usize)
    }

    /// The series of a twin's facet.
    #[must_use]
    pub fn series(&self, twin: TwinId, facet: Facet) -> SeriesId {
        let at = self.type_of(twin).facet_index(facet);
        SeriesId(self.first_series[twin.index()] + u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Whose series it is, and which.
    #[must_use]
    pub fn locate(&self, series: SeriesId) -> (TwinId, Facet) {
        let twin = self.first_series.partition_point(|first| *first <= series.0) - 1;
        let id = TwinId(u32::try_from(twin).unwrap_or(u32::MAX));
        (id, self.type_of(id).facet((series.0 - self.first_series[twin]) as usize))
    }

    /// The stable name of every series, by series: what its history is kept under, and its NodeId's string.
    #[must_use]
    pub fn series_names(&self) -> Vec<String> {
        let name = |series| {
            let (twin, facet) = self.locate(SeriesId(series));
            format!("{}.{}", self.twin(twin).name, self.type_of(twin).facet_path(facet))
        };
        (0..u32::try_from(self.series_len()).unwrap_or(u32::MAX)).map(name).collect()
    }

    /// Whether the series is to be stored.
    #[must_use]
    pub fn historized(&self, series: SeriesId) -> bool {
        let (twin, facet) = self.locate(series);
        match facet {
            Facet::Variable(v) => self.type_of(twin).variables[v].historize,
            _ => true,
        }
    }
}

impl TwinType {
    /// Its empty correlation matrix.
    fn joint(&self) -> Option<Joint> {
        let of = self.correlate.as_ref()?;
        let stepped: Vec<bool> = of.variables.iter().map(|v| self.variables[*v].stepped).collect();
        Some(Joint::new(self.statistics.window, of.step_s, &stepped))
    }

    /// The conditions of each of its twins, in order.
    #[must_use]
    pub fn conditions(&self) -> Vec<ConditionOf> {
        let limits = self.variables.iter().enumerate().filter(|(_, variable)| variable.alarm.is_some());
        limits.map(|(v, _)| ConditionOf::Limits(v)).chain(self.drift.map(|_| ConditionOf::Drift)).collect()
    }

    /// BrowseName of a condition, below its twin.
    #[must_use]
    pub fn condition_path(&self, condition: ConditionOf) -> String {
        match condition {
            ConditionOf::Limits(v) => format!("{}{LEVEL_ALARM}", self.variables[v].name),
            ConditionOf::Drift => DRIFT_ALARM.to_owned(),
        }
    }

    /// What a condition of a twin is of.
    fn condition_kind(&self, twin: &str, condition: ConditionOf) -> ConditionKind {
        let id = format!("{twin}.{}", self.condition_path(condition)).into();
        match condition {
            ConditionOf::Limits(v) => {
                let variable = &self.variables[v];
                let input: Arc<str> = format!("{twin}.{}", variable.name).into();
                ConditionKind {
                    event_type: EventType::ExclusiveLevelAlarm,
                    id,
                    name: self.condition_path(condition),
                    source: Source(Arc::clone(&input)),
                    input,
                    fixed: variable.alarm.map_or_else(Vec::new, |alarm| limit_fields(&alarm.limits)),
                }
            }
            ConditionOf::Drift => ConditionKind {
                event_type: EventType::DriftAlarm,
                id,
                name: DRIFT_ALARM.to_owned(),
                source: Source::new(twin),
                input: match &self.model {
                    Some(model) if !model.outputs.is_empty() => {
                        format!("{twin}.{}", self.facet_path(Facet::Residual(0))).into()
                    }
                    _ => twin.into(),
                },
                fixed: self.drift.map_or_else(Vec::new, |drift| {
                    vec![("FalseAlarmsPerYear".into(), Value::Double(drift.false_alarms_per_year))]
                }),
            },
        }
    }

    fn outputs_len(&self) -> usize {
        self.model.as_ref().map_or(0, |m| m.outputs.len())
    }

    fn parameters_len(&self) -> usize {
        self.model.as_ref().map_or(0, |m| m.model.parameters().len())
    }

    fn states_len(&self) -> usize {
        self.model.as_ref().map_or(0, |m| m.model.states().len())
    }

    fn series_len(&self) -> usize {
        self.facet_index(Facet::Revision) + usize::from(self.model.is_some())
    }

    fn facet_index(&self, facet: Facet) -> usize {
        let variables = self.variables.len();
        match facet {
            Facet::Variable(v) => v,
            Facet::Simulated(k) => variables + 2 * k,
            Facet::Residual(k) => variables + 2 * k + 1,
            Facet::Parameter(p) => variables + 2 * self.outputs_len() + p,
            Facet::State(i) => variables + 2 * self.outputs_len() + self.parameters_len() + i,
            Facet::Revision => self.facet_index(Facet::State(self.states_len())),
        }
    }

    fn facet(&self, index: usize) -> Facet {
        let variables = self.variables.len();
        let outputs = 2 * self.outputs_len();
        let parameters = outputs + self.parameters_len();
        match index.checked_sub(variables) {
            None => Facet::Variable(index),
            Some(k) if k == parameters + self.states_len() => Facet::Revision,
            Some(k) if k >= parameters => Facet::State(k - parameters),
            Some(k) if k >= outputs => Facet::Parameter(k - outputs),
            Some(k) if k % 2 == 0 => Facet::Simulated(k / 2),
            Some(k) => Facet::Residual(k / 2),
        }
    }

    /// The facet's path below the twin, joined by dots as in NodeIds.
    #[must_use]
    pub fn facet_path(&self, facet: Facet) -> String {
        let output = |k: usize| self.model.as_ref().map_or("", |m| self.variables[m.outputs[k]].name.as_str());
        match facet {
            Facet::Variable(v) => self.variables[v].name.clone(),
            Facet::Simulated(k) => format!("{}.Simulated", output(k)),
            Facet::Residual(k) => format!("{}.Residual", output(k)),
            Facet::Parameter(p) => {
                let name = self.model.as_ref().map_or("", |m| m.model.parameters()[p].name.as_str());
                format!("Model.Parameters.{name}")
            }
            Facet::State(i) => {
                let name = self.model.as_ref().map_or("", |m| m.model.states()[i].name.as_str());
                format!("Model.States.{name}")
            }
            Facet::Revision => "Model.Revision".to_owned(),
        }
    }
}

/// The parameters in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Their revision.
    pub revision: u32,
    /// By parameter.
    pub values: Box<[f64]>,
    /// The fit that found them.
    pub basis: Option<Arc<FitReport>>,
}

/// How the last fit of a twin stands.
#[derive(Clone, Debug, Default)]
pub struct LastFit {
    /// Where it is.
    pub state: FitState,
    /// What to know about it, in a sentence or two.
    pub message: String,
    /// Start of the data it used.
    pub start: Timestamp,
    /// End of the data it used.
    pub end: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How long it took, seconds.
    pub duration_s: f64,
    /// In force when it ended.
    pub revision: u32,
    /// Its figures, once there are any.
    pub report: Option<Arc<FitReport>>,
}

/// Where a fit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FitState {
    /// There was none.
    #[default]
    None,
    /// At work.
    Running,
    /// Done; whether its parameters are in force, the message says.
    Completed,
    /// Could not be done; the message says why.
    Failed,
    /// Ended by CancelFit or shutdown.
    Cancelled,
}

impl FitState {
    /// As the node and the method show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// One twin's present.
#[derive(Debug)]
pub struct TwinLive {
    /// Latest sample per series of the twin, in facet order.
    samples: Box<[Sample]>,
    /// Per variable; `None`: neither numeric nor discrete.
    pub statistics: Box<[Option<Rolling>]>,
    /// Of those that the matrix is of, in its order.
    pub joint: Option<Joint>,
    /// When their collection began: at the last reset, at the lot's begin, or as far back as history filled them.
    pub statistics_since: Timestamp,
    /// Of the parameters in force; 1 is the config's.
    pub revision: u32,
    /// Parameters in force, by parameter.
    pub parameters: Box<[f64]>,
    /// The report behind the parameters in force, where a fit made them.
    pub basis: Option<Arc<FitReport>>,
    /// The last fit, in force or not.
    pub last_fit: LastFit,
    /// The same as a program (OPC 10000-10), from the start of the server on.
    pub program: Program,
    /// In the order of [`TwinType::conditions`].
    pub conditions: Box<[Condition]>,
}

/// Every twin's present. (Not called "state": that is x.)
#[derive(Debug)]
pub struct TwinState {
    configured: Arc<Twins>,
    live: Box<[RwLock<TwinLive>]>,
}

impl TwinState {
    /// Before the first sample: Bad_WaitingForInitialData everywhere, parameters as configured.
    #[must_use]
    pub fn new(configured: Arc<Twins>, now: Timestamp) -> Self {
        let live = configured.ids().map(|id| RwLock::new(TwinLive::new(&configured, id, now))).collect();
        Self { configured, live }
    }

    /// The same, with the parameters that were in force when the program ended.
    #[must_use]
    pub fn restored(
        configured: Arc<Twins>,
        now: Timestamp,
        restored: impl IntoIterator<Item = (TwinId, InForce, LastFit)>,
    ) -> Self {
        let state = Self::new(configured, now);
        for (twin, in_force, last_fit) in restored {
            let mut live = state.write(twin);
            live.put_in_force(in_force);
            live.last_fit = last_fit;
        }
        state
    }

    /// Conditions as they stood when the program ended, by the newest event of each. Those of other ids are not there any more.
    pub fn restore_conditions(&self, newest: impl IntoIterator<Item = Event>) {
        let by_id = |event: Event| match event.field("ConditionId") {
            Some(Value::String(id)) => Some((Arc::clone(id), event)),
            _ => None,
        };
        let mut newest: HashMap<_, _> = newest.into_iter().filter_map(by_id).collect();
        if newest.is_empty() {
            return;
        }
        for twin in self.configured.ids() {
            for condition in &mut self.write(twin).conditions {
                if let Some(event) = newest.remove(&condition.kind().id) {
                    condition.restore(Arc::new(event));
                }
            }
        }
    }

    /// What is configured.
    #[must_use]
    pub const fn configured(&self) -> &Arc<Twins> {
        &self.configured
    }

    /// For readers; keep it short.
    ///
    /// # Panics
    /// Never: a writer that panicked leaves values that are still values, so poison is ignored.
    pub fn read(&self, twin: TwinId) -> RwLockReadGuard<'_, TwinLive> {
        self.live[twin.index()].read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// For the ingest stage alone.
    pub fn write(&self, twin: TwinId) -> RwLockWriteGuard<'_, TwinLive> {
        self.live[twin.index()].write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The latest sample of a series.
    #[must_use]
    pub fn sample(&self, twin: TwinId, facet: Facet) -> Sample {
        self.read(twin).samples[self.configured.type_of(twin).facet_index(facet)].clone()
    }
}

impl TwinLive {
    fn new(configured: &Twins, id: TwinId, now: Timestamp) -> Self {
        let (twin, twin_type) = (configured.twin(id), configured.type_of(id));
        let waiting = Sample::bad(now, StatusCode::BadWaitingForInitialData);
        let mut samples = vec![waiting; twin_type.series_len()];
        for (p, value) in twin.parameters.iter().enumerate() {
            samples[twin_type.facet_index(Facet::Parameter(p))] =
                Sample { value: Value::Double(*value), ..Sample::good(now, *value) };
        }
        let rolling = |v: &Variable| v.has_statistics().then(|| v.rolling());
        Self {
            samples: samples.into(),
            statistics: twin_type.variables.iter().map(rolling).collect(),
            joint: twin_type.joint(),
            statistics_since: now,
            revision: 1,
            parameters: twin.parameters.clone().into(),
            basis: None,
            last_fit: LastFit::default(),
            program: Program::default(),
            conditions: twin_type
                .conditions()
                .into_iter()
                .map(|condition| Condition::new(Arc::new(twin_type.condition_kind(&twin.name, condition)), now))
                .collect(),
        }
    }

    /// The parameters from now on; gives those before.
    pub fn put_in_force(&mut self, InForce { revision, values, basis }: InForce) -> Box<[f64]> {
        self.revision = revision;
        self.basis = basis;
        std::mem::replace(&mut self.parameters, values)
    }

    /// The latest sample of a facet.
    #[must_use]
    pub fn sample(&self, twin_type: &TwinType, facet: Facet) -> &Sample {
        &self.samples[twin_type.facet_index(facet)]
    }

    /// Replaces it.
    pub fn set_sample(&mut self, twin_type: &TwinType, facet: Facet, sample: Sample) {
        self.samples[twin_type.facet_index(facet)] = sample;
    }
}
