//! What a variable is: one `[twin_type.T.variable.V]`.

use std::time::Duration;

use super::Derived;
use crate::{
    aggregate,
    alarm::LimitSettings,
    model::Expression,
    preprocess::FilterSpec,
    sample::{Sample, Value},
    statistics::{Rolling, Settings, Window, control::ChartSettings, correlation::Method},
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

    /// The built-in type's number (OPC 10000-6 Table 1).
    #[must_use]
    pub const fn built_in(self) -> u8 {
        match self {
            Self::Boolean => 1,
            Self::SByte => 2,
            Self::Byte => 3,
            Self::Int16 => 4,
            Self::UInt16 => 5,
            Self::Int32 => 6,
            Self::UInt32 => 7,
            Self::Int64 => 8,
            Self::UInt64 => 9,
            Self::Float => 10,
            Self::Double => 11,
            Self::String => 12,
            Self::DateTime => 13,
            Self::ByteString => 15,
            Self::LocalizedText => 21,
        }
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
#[derive(Clone, Debug, PartialEq)]
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
    /// What it follows from; `None`: it has a source, or clients write it.
    pub derived: Option<Derived>,
    /// Names of the states of a discrete variable, by value; empty: not discrete.
    pub states: Vec<String>,
    /// Limits whose crossing is an alarm.
    pub alarm: Option<LimitSettings>,
    /// What its statistics are of.
    pub statistics: StatisticsSettings,
}

/// What statistics are of: `[twin_type.T.statistics]`, and `statistics` of a variable, which has the type's where it says
/// nothing.
#[derive(Clone, Debug, PartialEq)]
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
