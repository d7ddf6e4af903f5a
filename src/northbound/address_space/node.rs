//! What nodes there are. A node is a small `Copy` value: indices of names, never names. Tables say what members a kind of
//! object has; nothing here knows a twin.

use opcua::types::{DataTypeId, MethodId};

use crate::{
    statistics::Window,
    twin::{StatisticsSettings, Variable},
};

/// Whose namespace a BrowseName is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    Standard,
    Types,
    Ia,
    Twins,
}

/// A variable that every object of its kind has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) namespace: Namespace,
    /// By HasProperty and of PropertyType, else by HasComponent and of BaseDataVariableType.
    pub(crate) property: bool,
    pub(crate) data_type: DataTypeId,
    /// −1 scalar, 1 array, 2 matrix.
    pub(crate) rank: i32,
}

/// `enum` of members, `ALL` of them in order, and what each is.
macro_rules! members {
    ($(#[$doc:meta])* $enum:ident: $($variant:ident = $name:literal $namespace:ident $kind:ident $data_type:ident $rank:literal),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $enum { $($variant),* }

        impl $enum {
            #[allow(dead_code, reason = "not every table is walked: some members are there by rule")]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(crate) const fn member(self) -> Member {
                match self {
                    $(Self::$variant => Member {
                        name: $name,
                        namespace: Namespace::$namespace,
                        property: members!(@$kind),
                        data_type: DataTypeId::$data_type,
                        rank: $rank,
                    }),*
                }
            }
        }
    };
    (@property) => { true };
    (@component) => { false };
}

members!(
    /// Below a twin's variable, its Simulated and Residual, and a parameter.
    Property:
    EuRange = "EURange" Standard property Range -1,
    EngineeringUnits = "EngineeringUnits" Standard property EUInformation -1,
    InstrumentRange = "InstrumentRange" Standard property Range -1,
    Definition = "Definition" Standard property String -1,
    TrueState = "TrueState" Standard property LocalizedText -1,
    FalseState = "FalseState" Standard property LocalizedText -1,
    EnumStrings = "EnumStrings" Standard property LocalizedText 1,
    Annotations = "Annotations" Standard property Annotation -1,
);
members!(
    /// Below `HA Configuration` (OPC 10000-11 §5.2.2).
    Archive:
    Stepped = "Stepped" Standard property Boolean -1,
    Definition = "Definition" Standard property String -1,
    Start = "StartOfArchive" Standard property UtcTime -1,
    OnlineStart = "StartOfOnlineArchive" Standard property UtcTime -1,
    MinInterval = "MinTimeInterval" Standard property Duration -1,
    MaxInterval = "MaxTimeInterval" Standard property Duration -1,
);
members!(
    /// Below `AggregateConfiguration` (OPC 10000-13 §4.2.1.2).
    Aggregation:
    TreatUncertainAsBad = "TreatUncertainAsBad" Standard property Boolean -1,
    PercentDataBad = "PercentDataBad" Standard property Byte -1,
    PercentDataGood = "PercentDataGood" Standard property Byte -1,
    UseSlopedExtrapolation = "UseSlopedExtrapolation" Standard property Boolean -1,
);
members!(
    /// Of a twin's `Statistics` (OPC 10000-200 §6.2): of the two windows at most one, the condition where there is a lot.
    Rolling:
    StartTime = "StartTime" Ia property DateTime -1,
    WindowDuration = "WindowDuration" Ia property Duration -1,
    WindowNumberOfValues = "WindowNumberOfValues" Ia property UInt32 -1,
    ResetCondition = "ResetCondition" Ia property String -1,
);
members!(
    /// Of a twin's `Statistics`, where there is a correlation matrix.
    Joint:
    Correlation = "Correlation" Types component Double 2,
    CorrelationVariables = "CorrelationVariables" Types component String 1,
    CorrelationCount = "CorrelationCount" Types component UInt32 2,
    CorrelationPValue = "CorrelationPValue" Types component Double 2,
    CorrelationLag = "CorrelationLag" Types component Double 2,
    CorrelationMethod = "CorrelationMethod" Types component String -1,
    HotellingT2 = "HotellingT2" Types component Double -1,
    HotellingT2Limit = "HotellingT2Limit" Types component Double -1,
    Spe = "Spe" Types component Double -1,
    SpeLimit = "SpeLimit" Types component Double -1,
);
members!(
    /// Of one variable's statistics.
    Statistic:
    Mean = "Mean" Types component Double -1,
    VariancePopulation = "VariancePopulation" Types component Double -1,
    VarianceSample = "VarianceSample" Types component Double -1,
    StandardDeviationPopulation = "StandardDeviationPopulation" Types component Double -1,
    StandardDeviationSample = "StandardDeviationSample" Types component Double -1,
    Minimum = "Minimum" Types component Double -1,
    Maximum = "Maximum" Types component Double -1,
    Count = "Count" Types component UInt32 -1,
    Total = "Total" Types component Double -1,
    Percentile05 = "Percentile05" Types component Double -1,
    Percentile50 = "Percentile50" Types component Double -1,
    Percentile95 = "Percentile95" Types component Double -1,
    Slope = "Slope" Types component Double -1,
    SlopePValue = "SlopePValue" Types component Double -1,
    Skewness = "Skewness" Types component Double -1,
    Kurtosis = "Kurtosis" Types component Double -1,
    Cp = "Cp" Types component Double -1,
    Cpk = "Cpk" Types component Double -1,
    Pp = "Pp" Types component Double -1,
    Ppk = "Ppk" Types component Double -1,
    ControlLimitLower = "ControlLimitLower" Types component Double -1,
    ControlLimitUpper = "ControlLimitUpper" Types component Double -1,
    ControlRules = "ControlRules" Types component UInt32 -1,
    ControlRuleNames = "ControlRuleNames" Types component String 1,
    Ewma = "Ewma" Types component Double -1,
    EwmaLimitLower = "EwmaLimitLower" Types component Double -1,
    EwmaLimitUpper = "EwmaLimitUpper" Types component Double -1,
    CusumHigh = "CusumHigh" Types component Double -1,
    CusumLow = "CusumLow" Types component Double -1,
    CusumLimit = "CusumLimit" Types component Double -1,
    InControl = "InControl" Types component Boolean -1,
    ChartAverageRunLength = "ChartAverageRunLength" Types property Double -1,
    TimeInState = "TimeInState" Types component Double 1,
    StartTime = "StartTime" Types component UtcTime -1,
    EndTime = "EndTime" Types component UtcTime -1,
    WindowDuration = "WindowDuration" Types property Duration -1,
    WindowNumberOfValues = "WindowNumberOfValues" Types property UInt32 -1,
    ResetCondition = "ResetCondition" Types property String -1,
);
members!(
    /// Of a twin's `Model`.
    ModelMember:
    Kind = "Kind" Types component String -1,
    Equations = "Equations" Types component String -1,
);
members!(
    /// Of a parameter, besides its properties of AnalogUnitType.
    ParameterMember:
    StandardError = "StandardError" Types component Double -1,
    Lower95 = "Lower95" Types component Double -1,
    Upper95 = "Upper95" Types component Double -1,
    LowerBound = "LowerBound" Types property Double -1,
    UpperBound = "UpperBound" Types property Double -1,
    Nominal = "Nominal" Types property Double -1,
    Free = "Free" Types property Boolean -1,
);
members!(
    /// Of `Model.LastFit`.
    FitMember:
    State = "State" Types component String -1,
    Message = "Message" Types component LocalizedText -1,
    StartTime = "StartTime" Types component UtcTime -1,
    EndTime = "EndTime" Types component UtcTime -1,
    Samples = "Samples" Types component UInt32 -1,
    Rmse = "Rmse" Types component Double -1,
    RSquared = "RSquared" Types component Double -1,
    FitPercent = "FitPercent" Types component Double -1,
    Cost = "Cost" Types component Double -1,
    ConditionNumber = "ConditionNumber" Types component Double -1,
    Iterations = "Iterations" Types component UInt32 -1,
    Duration = "Duration" Types component Duration -1,
    FinishedAt = "FinishedAt" Types component UtcTime -1,
    Covariance = "Covariance" Types component Double 2,
    DurbinWatson = "DurbinWatson" Types component Double -1,
    Names = "Names" Types component String 1,
    Correlation = "Correlation" Types component Double 2,
    ReducedChiSquare = "ReducedChiSquare" Types component Double -1,
    Aic = "Aic" Types component Double -1,
    Bic = "Bic" Types component Double -1,
    Optima = "Optima" Types component Double 1,
    OutputNames = "OutputNames" Types component String 1,
    OutputRmse = "OutputRmse" Types component Double 1,
    OutputRSquared = "OutputRSquared" Types component Double 1,
    OutputFitPercent = "OutputFitPercent" Types component Double 1,
    OutputLjungBoxPValue = "OutputLjungBoxPValue" Types component Double 1,
);
members!(
    /// Of `FitProgram` (OPC 10000-10 §5.2), with the parts of its two state variables (OPC 10000-16 §4.4).
    ProgramMember:
    CurrentState = "CurrentState" Standard component LocalizedText -1,
    StateId = "Id" Standard property NodeId -1,
    StateNumber = "Number" Standard property UInt32 -1,
    LastTransition = "LastTransition" Standard component LocalizedText -1,
    TransitionId = "Id" Standard property NodeId -1,
    TransitionNumber = "Number" Standard property UInt32 -1,
    TransitionTime = "TransitionTime" Standard property UtcTime -1,
    Deletable = "Deletable" Standard property Boolean -1,
    AutoDelete = "AutoDelete" Standard property Boolean -1,
    RecycleCount = "RecycleCount" Standard property Int32 -1,
    Progress = "Progress" Types component Double -1,
);
members!(
    /// Of `FitProgram.FinalResultData`: what `Fit` answers.
    ResultMember:
    State = "State" Types component String -1,
    Revision = "Revision" Types component UInt32 -1,
    Names = "Names" Types component String 1,
    Values = "Values" Types component Double 1,
    StandardErrors = "StandardErrors" Types component Double 1,
    Lower95 = "Lower95" Types component Double 1,
    Upper95 = "Upper95" Types component Double 1,
    Rmse = "Rmse" Types component Double -1,
    RSquared = "RSquared" Types component Double -1,
    Iterations = "Iterations" Types component UInt32 -1,
    Message = "Message" Types component LocalizedText -1,
);
members!(
    /// Of a PLC's object; a twin's `Connection` has the first three.
    Link:
    State = "State" Types component String -1,
    LastError = "LastError" Types component String -1,
    LastDataTime = "LastDataTime" Types component UtcTime -1,
    Endpoint = "Endpoint" Types component String -1,
    ClockOffset = "ClockOffset" Types component Duration -1,
    Reconnects = "Reconnects" Types component UInt32 -1,
    SamplesReceived = "SamplesReceived" Types component UInt64 -1,
    SamplesDropped = "SamplesDropped" Types component UInt64 -1,
    Overflows = "Overflows" Types component UInt64 -1,
    MessagesLost = "MessagesLost" Types component UInt64 -1,
    ServiceLevel = "ServiceLevel" Types component Byte -1,
);
members!(
    /// Of `Objects/History`.
    Store:
    DurableUntil = "DurableUntil" Types component UtcTime -1,
    State = "State" Types component String -1,
    FreeSpace = "FreeSpace" Types component UInt64 -1,
);

impl ProgramMember {
    /// What it is part of; `None`: of the program itself.
    pub(crate) const fn part_of(self) -> Option<Self> {
        match self {
            Self::StateId | Self::StateNumber => Some(Self::CurrentState),
            Self::TransitionId | Self::TransitionNumber | Self::TransitionTime => Some(Self::LastTransition),
            _ => None,
        }
    }

    /// Its i-th part; of `None` the program's.
    pub(crate) fn part(of: Option<Self>, i: usize) -> Option<Self> {
        Self::ALL.iter().copied().filter(|member| member.part_of() == of).nth(i)
    }
}

/// A method of a condition (OPC 10000-9 §5.5, §5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConditionMethod {
    Enable,
    Disable,
    AddComment,
    Acknowledge,
    Confirm,
}

impl ConditionMethod {
    pub(crate) const ALL: &[Self] = &[Self::Enable, Self::Disable, Self::AddComment, Self::Acknowledge, Self::Confirm];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Enable => "Enable",
            Self::Disable => "Disable",
            Self::AddComment => "AddComment",
            Self::Acknowledge => "Acknowledge",
            Self::Confirm => "Confirm",
        }
    }

    /// Its declaration in the standard.
    pub(crate) const fn standard(self) -> MethodId {
        match self {
            Self::Enable => MethodId::ConditionType_Enable,
            Self::Disable => MethodId::ConditionType_Disable,
            Self::AddComment => MethodId::ConditionType_AddComment,
            Self::Acknowledge => MethodId::AcknowledgeableConditionType_Acknowledge,
            Self::Confirm => MethodId::AcknowledgeableConditionType_Confirm,
        }
    }

    /// Whether it takes an EventId and a comment; the others take nothing.
    pub(crate) const fn takes_event(self) -> bool {
        !matches!(self, Self::Enable | Self::Disable)
    }
}

impl Link {
    /// What ConnectionType has: a twin's `Connection`.
    pub(crate) const OF_TWIN: &[Self] = &[Self::State, Self::LastError, Self::LastDataTime];
}

/// A method, by its place in [`super::super::signatures::METHODS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Method(pub(crate) u8);

/// Folders of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Folder {
    States,
    Inputs,
    Outputs,
    Parameters,
}

impl Folder {
    pub(crate) const ALL: &[Self] = &[Self::States, Self::Inputs, Self::Outputs, Self::Parameters];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::States => "States",
            Self::Inputs => "Inputs",
            Self::Outputs => "Outputs",
            Self::Parameters => "Parameters",
        }
    }
}

/// A node with samples: [`crate::twin::Facet`] in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Live {
    Variable(u32),
    Simulated(u32),
    Residual(u32),
    Parameter(u32),
    State(u32),
    Revision,
}

/// A node below a twin, or below its type as InstanceDeclaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Live(Live),
    Property(Live, Property),
    HaConfiguration(Live),
    Archive(Live, Archive),
    AggregateConfiguration(Live),
    Aggregation(Live, Aggregation),
    ParameterMember(u32, ParameterMember),
    Statistics,
    Rolling(Rolling),
    Joint(Joint),
    VariableStatistics(u32),
    Statistic(u32, Statistic),
    Model,
    ModelMember(ModelMember),
    Folder(Folder),
    LastFit,
    FitMember(FitMember),
    FitProgram,
    ProgramMember(ProgramMember),
    FinalResult,
    ResultMember(ResultMember),
    Method(Method),
    InputArguments(Method),
    OutputArguments(Method),
    Connection,
    Link(Link),
    /// By its place among the type's conditions.
    Condition(u32),
    /// By its place among the fields of such conditions.
    ConditionField(u32, u16),
    ConditionMethod(u32, ConditionMethod),
    ConditionArguments(u32, ConditionMethod),
}

/// What a [`Part`] is part of: a twin, or a twin type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Type(u32),
    Twin(u32),
}

/// Any node of the twins' namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Twins,
    Connections,
    History,
    Store(Store),
    Plc(u32),
    Link(u32, Link),
    Owner(Owner),
    Part(Owner, Part),
}

impl Statistic {
    /// What is there though the window is empty.
    pub(crate) const fn is_count(self) -> bool {
        matches!(self, Self::Count)
    }

    /// What is there only where control charts are.
    pub(crate) const fn is_charted(self) -> bool {
        matches!(
            self,
            Self::ControlRules
                | Self::ControlRuleNames
                | Self::Ewma
                | Self::EwmaLimitLower
                | Self::EwmaLimitUpper
                | Self::CusumHigh
                | Self::CusumLow
                | Self::CusumLimit
                | Self::InControl
                | Self::ChartAverageRunLength
        )
    }

    /// Whether it is in the variable's unit, or in one made of that.
    pub(crate) const fn has_unit(self) -> bool {
        !matches!(
            self,
            Self::Count
                | Self::SlopePValue
                | Self::Skewness
                | Self::Kurtosis
                | Self::Cp
                | Self::Cpk
                | Self::Pp
                | Self::Ppk
                | Self::ControlRules
                | Self::ControlRuleNames
                | Self::CusumHigh
                | Self::CusumLow
                | Self::CusumLimit
                | Self::InControl
                | Self::ChartAverageRunLength
                | Self::TimeInState
                | Self::StartTime
                | Self::EndTime
                | Self::WindowDuration
                | Self::WindowNumberOfValues
                | Self::ResetCondition
        )
    }

    /// Whether a variable of this type has it.
    pub(crate) fn is_of(self, variable: &Variable, of_type: &StatisticsSettings) -> bool {
        let own = &variable.statistics;
        let is_wide = variable.limits.is_some_and(|(lower, upper)| lower.is_finite() && upper.is_finite());
        let has_own_window = own.window != of_type.window;
        match self {
            Self::Count | Self::StartTime => true,
            Self::TimeInState => variable.is_discrete(),
            Self::WindowDuration => has_own_window && matches!(own.window, Window::Duration(_)),
            Self::WindowNumberOfValues => has_own_window && matches!(own.window, Window::Values(_)),
            Self::ResetCondition => own.lot.is_some() && own.lot != of_type.lot,
            _ if !variable.is_numeric() => false,
            _ if self.is_charted() => own.chart.is_some(),
            Self::Cp | Self::Pp => is_wide,
            Self::Cpk | Self::Ppk => variable.limits.is_some(),
            _ => true,
        }
    }
}
