//! What twins there are: a `[twin_type.T]` with all that it says, a `[twin.T]`.

use std::{sync::Arc, time::Duration};

use super::{CorrelateSettings, Facet, StatisticsSettings, Variable};
use crate::{
    alarm::{ConditionKind, limit_fields},
    event::{EventType, Source},
    model::{Expression, Model},
    optimize::{Keep, Move},
    sample::Value,
    simulate,
    southbound::{NodeAddress, PlcId},
    statistics::{correlation::Joint, drift::Design},
    time::Timestamp,
};

/// What a fit may and should do, `[twin_type.T.model.fit]`.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizeSettings {
    /// Inputs that may be moved; at least one.
    pub moves: Vec<Move>,
    /// States and outputs that keep bounds.
    pub keeps: Vec<Keep>,
    /// How long what was applied is watched: a bound that breaks meanwhile brings the old values back.
    pub watch: Duration,
}

/// `[twin_type.T.drift]`: how the residuals are watched.
#[derive(Clone, Copy, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// BrowseName, and the first part of all its NodeIds.
    pub name: String,
    /// For its Description.
    pub description: String,
    /// Index into [`Twins::types`](super::Twins::types).
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

impl TwinType {
    /// Its empty correlation matrix.
    pub(crate) fn joint(&self) -> Option<Joint> {
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
    pub(super) fn condition_kind(&self, twin: &str, condition: ConditionOf) -> ConditionKind {
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
}
