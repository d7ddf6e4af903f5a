//! The numeric NodeIds of what our NodeSets declare: types, members, methods in `urn:uatwin:types`, and the nodes of OPC 10000-200
//! that we refer to. The scheme of the numbers stands in `nodesets/UaTwin.NodeSet2.xml`.

use opcua::types::{Identifier, MethodId, NodeId, ObjectTypeId};

use crate::{event::EventType, program::Ask};

/// The namespace of our types.
pub const TYPES_NAMESPACE: &str = "urn:uatwin:types";
/// The namespace of OPC 10000-200, Industrial Automation.
pub const IA_NAMESPACE: &str = "http://opcfoundation.org/UA/IA/";

/// The number of a numeric NodeId.
pub fn numeric(id: &NodeId) -> Option<u32> {
    match id.identifier {
        Identifier::Numeric(number) => Some(number),
        _ => None,
    }
}

// Types.

/// ObjectType `TwinType`.
pub const TWIN_TYPE: u32 = 1000;
/// ObjectType `TwinStatisticsType`.
pub const TWIN_STATISTICS_TYPE: u32 = 1010;
/// ObjectType `VariableStatisticsType`.
pub const VARIABLE_STATISTICS_TYPE: u32 = 1011;
/// ObjectType `DiscreteStatisticsType`.
pub const DISCRETE_STATISTICS_TYPE: u32 = 1012;
/// ObjectType `TwinModelType`.
pub const TWIN_MODEL_TYPE: u32 = 1020;
/// ObjectType `FitResultType`.
pub const FIT_RESULT_TYPE: u32 = 1021;
/// ObjectType `ConnectionType`.
pub const CONNECTION_TYPE: u32 = 1030;
/// ObjectType `PlcConnectionType`.
pub const PLC_CONNECTION_TYPE: u32 = 1031;
/// ObjectType `HistoryServiceType`.
pub const HISTORY_SERVICE_TYPE: u32 = 1040;

// Types of events.

/// ObjectType `ConnectionEventType`.
pub const CONNECTION_EVENT_TYPE: u32 = 1100;
/// ObjectType `HistoryEventType`.
pub const HISTORY_EVENT_TYPE: u32 = 1101;
/// ObjectType `FitFinishedEventType`.
pub const FIT_FINISHED_EVENT_TYPE: u32 = 1102;
/// ObjectType `RevisionEventType`.
pub const REVISION_EVENT_TYPE: u32 = 1103;
/// ObjectType `RefitEventType`.
pub const REFIT_EVENT_TYPE: u32 = 1104;
/// ObjectType `SetpointEventType`.
pub const SETPOINT_EVENT_TYPE: u32 = 1105;
/// ObjectType `DriftAlarmType`.
pub const DRIFT_ALARM_TYPE: u32 = 1106;

/// The NodeId of a type of events; `types` is the index of our types' namespace.
pub fn event_type(kind: EventType, types: u16) -> NodeId {
    use ObjectTypeId as T;
    let ours = |id| NodeId::new(types, id);
    match kind {
        EventType::ConnectionEvent => ours(CONNECTION_EVENT_TYPE),
        EventType::HistoryEvent => ours(HISTORY_EVENT_TYPE),
        EventType::FitFinishedEvent => ours(FIT_FINISHED_EVENT_TYPE),
        EventType::RevisionEvent => ours(REVISION_EVENT_TYPE),
        EventType::RefitEvent => ours(REFIT_EVENT_TYPE),
        EventType::SetpointEvent => ours(SETPOINT_EVENT_TYPE),
        EventType::DriftAlarm => ours(DRIFT_ALARM_TYPE),
        EventType::ExclusiveLevelAlarm => T::ExclusiveLevelAlarmType.into(),
        EventType::CertificateExpirationAlarm => T::CertificateExpirationAlarmType.into(),
        EventType::ProgramTransitionEvent => T::ProgramTransitionEventType.into(),
        EventType::RefreshStartEvent => T::RefreshStartEventType.into(),
        EventType::RefreshEndEvent => T::RefreshEndEventType.into(),
        EventType::EventQueueOverflowEvent => T::EventQueueOverflowEventType.into(),
        EventType::GeneralModelChangeEvent => T::GeneralModelChangeEventType.into(),
        EventType::AuditActivateSessionEvent => T::AuditActivateSessionEventType.into(),
        EventType::AuditWriteUpdateEvent => T::AuditWriteUpdateEventType.into(),
        EventType::AuditUpdateMethodEvent => T::AuditUpdateMethodEventType.into(),
        EventType::AuditHistoryValueUpdateEvent => T::AuditHistoryValueUpdateEventType.into(),
        EventType::AuditHistoryRawModifyDeleteEvent => T::AuditHistoryRawModifyDeleteEventType.into(),
        EventType::AuditHistoryAtTimeDeleteEvent => T::AuditHistoryAtTimeDeleteEventType.into(),
        EventType::AuditHistoryAnnotationUpdateEvent => T::AuditHistoryAnnotationUpdateEventType.into(),
        EventType::AuditConditionEnableEvent => T::AuditConditionEnableEventType.into(),
        EventType::AuditConditionCommentEvent => T::AuditConditionCommentEventType.into(),
        EventType::AuditConditionAcknowledgeEvent => T::AuditConditionAcknowledgeEventType.into(),
        EventType::AuditConditionConfirmEvent => T::AuditConditionConfirmEventType.into(),
    }
}

// Members of TwinType.

/// `<Variable>` of `TwinType`.
pub const VARIABLE_PLACEHOLDER: u32 = 2000;
/// `Simulated` of `<Variable>`.
pub const VARIABLE_SIMULATED: u32 = 2001;
/// `Residual` of `<Variable>`.
pub const VARIABLE_RESIDUAL: u32 = 2002;
/// `Statistics` of `TwinType`.
pub const TWIN_STATISTICS: u32 = 2010;
/// `Model` of `TwinType`.
pub const TWIN_MODEL: u32 = 2020;
/// `Connection` of `TwinType`.
pub const TWIN_CONNECTION: u32 = 2030;
/// `FitProgram` of `TwinType`.
pub const TWIN_FIT_PROGRAM: u32 = 2040;
/// `AutoDelete` of `FitProgram`.
pub const PROGRAM_AUTO_DELETE: u32 = 2041;
/// `CurrentState` of `FitProgram`.
pub const PROGRAM_CURRENT_STATE: u32 = 2042;
/// `Id` of `CurrentState`.
pub const PROGRAM_STATE_ID: u32 = 2043;
/// `Number` of `CurrentState`.
pub const PROGRAM_STATE_NUMBER: u32 = 2044;
/// `Deletable` of `FitProgram`.
pub const PROGRAM_DELETABLE: u32 = 2045;
/// `FinalResultData` of `FitProgram`.
pub const PROGRAM_FINAL_RESULT_DATA: u32 = 2046;
/// `LastTransition` of `FitProgram`.
pub const PROGRAM_LAST_TRANSITION: u32 = 2047;
/// `Id` of `LastTransition`.
pub const PROGRAM_TRANSITION_ID: u32 = 2048;
/// `Number` of `LastTransition`.
pub const PROGRAM_TRANSITION_NUMBER: u32 = 2049;
/// `TransitionTime` of `LastTransition`.
pub const PROGRAM_TRANSITION_TIME: u32 = 2050;
/// `Progress` of `FitProgram`.
pub const PROGRAM_PROGRESS: u32 = 2051;
/// `RecycleCount` of `FitProgram`.
pub const PROGRAM_RECYCLE_COUNT: u32 = 2052;
/// `Iterations` of `FinalResultData`.
pub const RESULT_ITERATIONS: u32 = 2060;
/// `Lower95` of `FinalResultData`.
pub const RESULT_LOWER95: u32 = 2061;
/// `Message` of `FinalResultData`.
pub const RESULT_MESSAGE: u32 = 2062;
/// `Names` of `FinalResultData`.
pub const RESULT_NAMES: u32 = 2063;
/// `RSquared` of `FinalResultData`.
pub const RESULT_RSQUARED: u32 = 2064;
/// `Revision` of `FinalResultData`.
pub const RESULT_REVISION: u32 = 2065;
/// `Rmse` of `FinalResultData`.
pub const RESULT_RMSE: u32 = 2066;
/// `StandardErrors` of `FinalResultData`.
pub const RESULT_STANDARD_ERRORS: u32 = 2067;
/// `State` of `FinalResultData`.
pub const RESULT_STATE: u32 = 2068;
/// `Upper95` of `FinalResultData`.
pub const RESULT_UPPER95: u32 = 2069;
/// `Values` of `FinalResultData`.
pub const RESULT_VALUES: u32 = 2070;

// Members of TwinStatisticsType and VariableStatisticsType.

/// `StartTime` of `TwinStatisticsType`.
pub const STATISTICS_START_TIME: u32 = 3000;
/// `WindowDuration` of `TwinStatisticsType`.
pub const STATISTICS_WINDOW_DURATION: u32 = 3001;
/// `<Variable>` of `TwinStatisticsType`.
pub const STATISTICS_VARIABLE_PLACEHOLDER: u32 = 3010;
/// `Count` of `VariableStatisticsType`.
pub const STATISTIC_COUNT: u32 = 3020;
/// `Maximum` of `VariableStatisticsType`.
pub const STATISTIC_MAXIMUM: u32 = 3021;
/// `Mean` of `VariableStatisticsType`.
pub const STATISTIC_MEAN: u32 = 3022;
/// `Minimum` of `VariableStatisticsType`.
pub const STATISTIC_MINIMUM: u32 = 3023;
/// `StandardDeviationPopulation` of `VariableStatisticsType`.
pub const STATISTIC_STANDARD_DEVIATION_POPULATION: u32 = 3024;
/// `StandardDeviationSample` of `VariableStatisticsType`.
pub const STATISTIC_STANDARD_DEVIATION_SAMPLE: u32 = 3025;
/// `Total` of `VariableStatisticsType`.
pub const STATISTIC_TOTAL: u32 = 3026;
/// `VariancePopulation` of `VariableStatisticsType`.
pub const STATISTIC_VARIANCE_POPULATION: u32 = 3027;
/// `VarianceSample` of `VariableStatisticsType`.
pub const STATISTIC_VARIANCE_SAMPLE: u32 = 3028;
/// `ControlLimitLower` of `VariableStatisticsType`.
pub const STATISTIC_CONTROL_LIMIT_LOWER: u32 = 3029;
/// `ControlLimitUpper` of `VariableStatisticsType`.
pub const STATISTIC_CONTROL_LIMIT_UPPER: u32 = 3030;
/// `Cp` of `VariableStatisticsType`.
pub const STATISTIC_CP: u32 = 3031;
/// `Cpk` of `VariableStatisticsType`.
pub const STATISTIC_CPK: u32 = 3032;
/// `EndTime` of `VariableStatisticsType`.
pub const STATISTIC_END_TIME: u32 = 3033;
/// `Kurtosis` of `VariableStatisticsType`.
pub const STATISTIC_KURTOSIS: u32 = 3034;
/// `Percentile05` of `VariableStatisticsType`.
pub const STATISTIC_PERCENTILE05: u32 = 3035;
/// `Percentile50` of `VariableStatisticsType`.
pub const STATISTIC_PERCENTILE50: u32 = 3036;
/// `Percentile95` of `VariableStatisticsType`.
pub const STATISTIC_PERCENTILE95: u32 = 3037;
/// `Pp` of `VariableStatisticsType`.
pub const STATISTIC_PP: u32 = 3038;
/// `Ppk` of `VariableStatisticsType`.
pub const STATISTIC_PPK: u32 = 3039;
/// `ResetCondition` of `VariableStatisticsType`.
pub const STATISTIC_RESET_CONDITION: u32 = 3040;
/// `Skewness` of `VariableStatisticsType`.
pub const STATISTIC_SKEWNESS: u32 = 3041;
/// `Slope` of `VariableStatisticsType`.
pub const STATISTIC_SLOPE: u32 = 3042;
/// `SlopePValue` of `VariableStatisticsType`.
pub const STATISTIC_SLOPE_P_VALUE: u32 = 3043;
/// `StartTime` of `VariableStatisticsType`.
pub const STATISTIC_START_TIME: u32 = 3044;
/// `TimeInState` of `VariableStatisticsType`.
pub const STATISTIC_TIME_IN_STATE: u32 = 3045;
/// `WindowDuration` of `VariableStatisticsType`.
pub const STATISTIC_WINDOW_DURATION: u32 = 3046;
/// `WindowNumberOfValues` of `VariableStatisticsType`.
pub const STATISTIC_WINDOW_NUMBER_OF_VALUES: u32 = 3047;
/// `ResetCondition` of `TwinStatisticsType`.
pub const STATISTICS_RESET_CONDITION: u32 = 3060;
/// `WindowNumberOfValues` of `TwinStatisticsType`.
pub const STATISTICS_WINDOW_NUMBER_OF_VALUES: u32 = 3061;
/// `<DiscreteVariable>` of `TwinStatisticsType`.
pub const STATISTICS_DISCRETE_PLACEHOLDER: u32 = 3062;
/// `Count` of `DiscreteStatisticsType`.
pub const DISCRETE_COUNT: u32 = 3063;
/// `ResetCondition` of `DiscreteStatisticsType`.
pub const DISCRETE_RESET_CONDITION: u32 = 3064;
/// `StartTime` of `DiscreteStatisticsType`.
pub const DISCRETE_START_TIME: u32 = 3065;
/// `TimeInState` of `DiscreteStatisticsType`.
pub const DISCRETE_TIME_IN_STATE: u32 = 3066;
/// `WindowDuration` of `DiscreteStatisticsType`.
pub const DISCRETE_WINDOW_DURATION: u32 = 3067;
/// `WindowNumberOfValues` of `DiscreteStatisticsType`.
pub const DISCRETE_WINDOW_NUMBER_OF_VALUES: u32 = 3068;
/// `Correlation` of `TwinStatisticsType`.
pub const STATISTICS_CORRELATION: u32 = 3070;
/// `CorrelationCount` of `TwinStatisticsType`.
pub const STATISTICS_CORRELATION_COUNT: u32 = 3071;
/// `CorrelationLag` of `TwinStatisticsType`.
pub const STATISTICS_CORRELATION_LAG: u32 = 3072;
/// `CorrelationMethod` of `TwinStatisticsType`.
pub const STATISTICS_CORRELATION_METHOD: u32 = 3073;
/// `CorrelationPValue` of `TwinStatisticsType`.
pub const STATISTICS_CORRELATION_PVALUE: u32 = 3074;
/// `CorrelationVariables` of `TwinStatisticsType`.
pub const STATISTICS_CORRELATION_VARIABLES: u32 = 3075;
/// `HotellingT2` of `TwinStatisticsType`.
pub const STATISTICS_HOTELLING_T2: u32 = 3076;
/// `HotellingT2Limit` of `TwinStatisticsType`.
pub const STATISTICS_HOTELLING_T2_LIMIT: u32 = 3077;
/// `Spe` of `TwinStatisticsType`.
pub const STATISTICS_SPE: u32 = 3078;
/// `SpeLimit` of `TwinStatisticsType`.
pub const STATISTICS_SPE_LIMIT: u32 = 3079;
/// `ChartAverageRunLength` of `VariableStatisticsType`.
pub const STATISTIC_CHART_AVERAGE_RUN_LENGTH: u32 = 3080;
/// `ControlRuleNames` of `VariableStatisticsType`.
pub const STATISTIC_CONTROL_RULE_NAMES: u32 = 3081;
/// `ControlRules` of `VariableStatisticsType`.
pub const STATISTIC_CONTROL_RULES: u32 = 3082;
/// `CusumHigh` of `VariableStatisticsType`.
pub const STATISTIC_CUSUM_HIGH: u32 = 3083;
/// `CusumLimit` of `VariableStatisticsType`.
pub const STATISTIC_CUSUM_LIMIT: u32 = 3084;
/// `CusumLow` of `VariableStatisticsType`.
pub const STATISTIC_CUSUM_LOW: u32 = 3085;
/// `Ewma` of `VariableStatisticsType`.
pub const STATISTIC_EWMA: u32 = 3086;
/// `EwmaLimitLower` of `VariableStatisticsType`.
pub const STATISTIC_EWMA_LIMIT_LOWER: u32 = 3087;
/// `EwmaLimitUpper` of `VariableStatisticsType`.
pub const STATISTIC_EWMA_LIMIT_UPPER: u32 = 3088;
/// `InControl` of `VariableStatisticsType`.
pub const STATISTIC_IN_CONTROL: u32 = 3089;

// Members of TwinModelType and FitResultType.

/// `Equations` of `TwinModelType`.
pub const MODEL_EQUATIONS: u32 = 4000;
/// `Inputs` of `TwinModelType`.
pub const MODEL_INPUTS: u32 = 4001;
/// `Kind` of `TwinModelType`.
pub const MODEL_KIND: u32 = 4002;
/// `LastFit` of `TwinModelType`.
pub const MODEL_LAST_FIT: u32 = 4003;
/// `Outputs` of `TwinModelType`.
pub const MODEL_OUTPUTS: u32 = 4004;
/// `Parameters` of `TwinModelType`.
pub const MODEL_PARAMETERS: u32 = 4005;
/// `Revision` of `TwinModelType`.
pub const MODEL_REVISION: u32 = 4006;
/// `States` of `TwinModelType`.
pub const MODEL_STATES: u32 = 4007;
/// `<Parameter>` of `Parameters`.
pub const PARAMETER_PLACEHOLDER: u32 = 4010;
/// `EngineeringUnits` of `<Parameter>`.
pub const PARAMETER_ENGINEERING_UNITS: u32 = 4011;
/// `Free` of `<Parameter>`.
pub const PARAMETER_FREE: u32 = 4012;
/// `Lower95` of `<Parameter>`.
pub const PARAMETER_LOWER95: u32 = 4013;
/// `LowerBound` of `<Parameter>`.
pub const PARAMETER_LOWER_BOUND: u32 = 4014;
/// `Nominal` of `<Parameter>`.
pub const PARAMETER_NOMINAL: u32 = 4015;
/// `StandardError` of `<Parameter>`.
pub const PARAMETER_STANDARD_ERROR: u32 = 4016;
/// `Upper95` of `<Parameter>`.
pub const PARAMETER_UPPER95: u32 = 4017;
/// `UpperBound` of `<Parameter>`.
pub const PARAMETER_UPPER_BOUND: u32 = 4018;
/// `<State>` of `States`.
pub const STATE_PLACEHOLDER: u32 = 4020;
/// `ConditionNumber` of `FitResultType`.
pub const FIT_CONDITION_NUMBER: u32 = 4030;
/// `Cost` of `FitResultType`.
pub const FIT_COST: u32 = 4031;
/// `Covariance` of `FitResultType`.
pub const FIT_COVARIANCE: u32 = 4032;
/// `Duration` of `FitResultType`.
pub const FIT_DURATION: u32 = 4033;
/// `DurbinWatson` of `FitResultType`.
pub const FIT_DURBIN_WATSON: u32 = 4034;
/// `EndTime` of `FitResultType`.
pub const FIT_END_TIME: u32 = 4035;
/// `FinishedAt` of `FitResultType`.
pub const FIT_FINISHED_AT: u32 = 4036;
/// `FitPercent` of `FitResultType`.
pub const FIT_PERCENT: u32 = 4037;
/// `Iterations` of `FitResultType`.
pub const FIT_ITERATIONS: u32 = 4038;
/// `Message` of `FitResultType`.
pub const FIT_MESSAGE: u32 = 4039;
/// `RSquared` of `FitResultType`.
pub const FIT_RSQUARED: u32 = 4040;
/// `Rmse` of `FitResultType`.
pub const FIT_RMSE: u32 = 4041;
/// `Samples` of `FitResultType`.
pub const FIT_SAMPLES: u32 = 4042;
/// `StartTime` of `FitResultType`.
pub const FIT_START_TIME: u32 = 4043;
/// `State` of `FitResultType`.
pub const FIT_STATE: u32 = 4044;
/// `Names` of `FitResultType`.
pub const FIT_NAMES: u32 = 4045;
/// `Correlation` of `FitResultType`.
pub const FIT_CORRELATION: u32 = 4046;
/// `ReducedChiSquare` of `FitResultType`.
pub const FIT_REDUCED_CHI_SQUARE: u32 = 4047;
/// `Aic` of `FitResultType`.
pub const FIT_AIC: u32 = 4048;
/// `Bic` of `FitResultType`.
pub const FIT_BIC: u32 = 4049;
/// `Optima` of `FitResultType`.
pub const FIT_OPTIMA: u32 = 4050;
/// `OutputNames` of `FitResultType`.
pub const FIT_OUTPUT_NAMES: u32 = 4051;
/// `OutputRmse` of `FitResultType`.
pub const FIT_OUTPUT_RMSE: u32 = 4052;
/// `OutputRSquared` of `FitResultType`.
pub const FIT_OUTPUT_RSQUARED: u32 = 4053;
/// `OutputFitPercent` of `FitResultType`.
pub const FIT_OUTPUT_FIT_PERCENT: u32 = 4054;
/// `OutputLjungBoxPValue` of `FitResultType`.
pub const FIT_OUTPUT_LJUNG_BOX: u32 = 4055;

// The object Configuration.

/// `Configuration`, below Objects.
pub const CONFIGURATION: u32 = 9100;
/// `LoadedAt` of `Configuration`.
pub const CONFIGURATION_LOADED_AT: u32 = 9101;
/// `Faults` of `Configuration`.
pub const CONFIGURATION_FAULTS: u32 = 9102;
/// `CertificateExpirationDate` of `Configuration`.
pub const CONFIGURATION_CERTIFICATE_EXPIRATION_DATE: u32 = 9103;

// Members of ConnectionType, PlcConnectionType and HistoryServiceType.

/// `LastDataTime` of `ConnectionType`.
pub const CONNECTION_LAST_DATA_TIME: u32 = 5000;
/// `LastError` of `ConnectionType`.
pub const CONNECTION_LAST_ERROR: u32 = 5001;
/// `State` of `ConnectionType`.
pub const CONNECTION_STATE: u32 = 5002;
/// `ClockOffset` of `PlcConnectionType`.
pub const PLC_CLOCK_OFFSET: u32 = 5010;
/// `Endpoint` of `PlcConnectionType`.
pub const PLC_ENDPOINT: u32 = 5011;
/// `Reconnects` of `PlcConnectionType`.
pub const PLC_RECONNECTS: u32 = 5012;
/// `SamplesDropped` of `PlcConnectionType`.
pub const PLC_SAMPLES_DROPPED: u32 = 5013;
/// `SamplesReceived` of `PlcConnectionType`.
pub const PLC_SAMPLES_RECEIVED: u32 = 5014;
/// `Overflows` of `PlcConnectionType`.
pub const PLC_OVERFLOWS: u32 = 5015;
/// `MessagesLost` of `PlcConnectionType`.
pub const PLC_MESSAGES_LOST: u32 = 5016;
/// `ServiceLevel` of `PlcConnectionType`.
pub const PLC_SERVICE_LEVEL: u32 = 5017;
/// `DurableUntil` of `HistoryServiceType`.
pub const HISTORY_DURABLE_UNTIL: u32 = 5020;
/// `FreeSpace` of `HistoryServiceType`.
pub const HISTORY_FREE_SPACE: u32 = 5021;
/// `State` of `HistoryServiceType`.
pub const HISTORY_STATE: u32 = 5022;

// AggregateFunctions.

/// AggregateFunction `Cpk`.
pub const AGGREGATE_CPK: u32 = 6000;
/// AggregateFunction `Median`.
pub const AGGREGATE_MEDIAN: u32 = 6001;
/// AggregateFunction `Percentile05`.
pub const AGGREGATE_PERCENTILE05: u32 = 6002;
/// AggregateFunction `Percentile95`.
pub const AGGREGATE_PERCENTILE95: u32 = 6003;
/// AggregateFunction `RootMeanSquare`.
pub const AGGREGATE_ROOT_MEAN_SQUARE: u32 = 6004;

// Methods: InputArguments are at `+ 1`, OutputArguments at `+ 2`.

/// `CancelFit` of `TwinType`.
pub const METHOD_CANCEL_FIT: u32 = 7000;
/// `Correlate` of `TwinType`.
pub const METHOD_CORRELATE: u32 = 7010;
/// `Fit` of `TwinType`.
pub const METHOD_FIT: u32 = 7020;
/// `SetParameters` of `TwinType`.
pub const METHOD_SET_PARAMETERS: u32 = 7030;
/// `Simulate` of `TwinType`.
pub const METHOD_SIMULATE: u32 = 7040;
/// `ActivateRevision` of `TwinType`.
pub const METHOD_ACTIVATE_REVISION: u32 = 7050;
/// `Predict` of `TwinType`.
pub const METHOD_PREDICT: u32 = 7060;
/// `OptimizeSetpoints` of `TwinType`.
pub const METHOD_OPTIMIZE_SETPOINTS: u32 = 7070;
/// `ResetStatistics` of `TwinStatisticsType`.
pub const METHOD_RESET_STATISTICS: u32 = 7100;
/// `Reload` of `Configuration`.
pub const METHOD_RELOAD: u32 = 7110;
/// `Halt` of `FitProgram`.
pub const METHOD_PROGRAM_HALT: u32 = 7200;
/// `Reset` of `FitProgram`.
pub const METHOD_PROGRAM_RESET: u32 = 7210;
/// `Resume` of `FitProgram`.
pub const METHOD_PROGRAM_RESUME: u32 = 7220;
/// `Start` of `FitProgram`.
pub const METHOD_PROGRAM_START: u32 = 7230;
/// `Suspend` of `FitProgram`.
pub const METHOD_PROGRAM_SUSPEND: u32 = 7240;

/// The methods of a program: the standard's (of ProgramStateMachineType), ours, what they ask.
pub const PROGRAM_METHODS: [(MethodId, u32, Ask); 5] = [
    (MethodId::ProgramStateMachineType_Start, METHOD_PROGRAM_START, Ask::Start),
    (MethodId::ProgramStateMachineType_Suspend, METHOD_PROGRAM_SUSPEND, Ask::Suspend),
    (MethodId::ProgramStateMachineType_Resume, METHOD_PROGRAM_RESUME, Ask::Resume),
    (MethodId::ProgramStateMachineType_Halt, METHOD_PROGRAM_HALT, Ask::Halt),
    (MethodId::ProgramStateMachineType_Reset, METHOD_PROGRAM_RESET, Ask::Reset),
];

/// Our method for one of ProgramStateMachineType, by its number in the standard.
pub fn of_program(standard: u32) -> Option<u32> {
    PROGRAM_METHODS.iter().find(|(method, ..)| *method as u32 == standard).map(|(_, ours, _)| *ours)
}

// Of OPC 10000-200, in its own namespace.

/// ObjectType `IStatisticsType`.
pub const IA_STATISTICS: u32 = 1011;
/// ObjectType `IAggregateStatisticsType`.
pub const IA_AGGREGATE_STATISTICS: u32 = 1012;
/// ObjectType `IRollingStatisticsType`.
pub const IA_ROLLING_STATISTICS: u32 = 1013;
/// ReferenceType `HasStatisticComponent`.
pub const IA_HAS_STATISTIC_COMPONENT: u32 = 4002;
/// Variable `StartTime`.
pub const IA_START_TIME: u32 = 6046;
/// Variable `ResetCondition`.
pub const IA_RESET_CONDITION: u32 = 6047;
/// Variable `WindowDuration`.
pub const IA_WINDOW_DURATION: u32 = 6048;
/// Variable `WindowNumberOfValues`.
pub const IA_WINDOW_NUMBER_OF_VALUES: u32 = 6049;
/// Method `ResetStatistics`.
pub const IA_RESET_STATISTICS: u32 = 7001;

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
