//! The fields that our events have beyond BaseEventType's, and that the nodes of a condition show: one table for both. A path
//! stands for its field's nodes too: what has a `/` in it is a child of what stands before it.

use opcua::types::DataTypeId;

use crate::{event::EventType, northbound::address_space::Namespace};

/// What a field's node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::northbound) enum FieldKind {
    /// By HasProperty, of PropertyType.
    Property,
    /// TwoStateVariableType.
    TwoState,
    /// ConditionVariableType.
    ConditionVariable,
    /// FiniteStateVariableType.
    State,
    /// FiniteTransitionVariableType.
    Transition,
    /// An object: has no value.
    LimitStateMachine,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(in crate::northbound) struct Field {
    /// Names of the path, joined by `/`.
    pub(in crate::northbound) path: &'static str,
    pub(in crate::northbound) namespace: Namespace,
    pub(in crate::northbound) kind: FieldKind,
    pub(in crate::northbound) data_type: DataTypeId,
    /// −1 scalar, 1 array.
    pub(in crate::northbound) rank: i32,
}

impl Field {
    /// The path of its parent; `None`: the event or the condition itself.
    pub(in crate::northbound) fn parent(&self) -> Option<&'static str> {
        self.path.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// BrowseName.
    pub(in crate::northbound) fn name(&self) -> &'static str {
        self.path.rsplit_once('/').map_or(self.path, |(_, name)| name)
    }
}

macro_rules! fields {
    ($($path:literal $namespace:ident $kind:ident $data_type:ident $rank:literal),* $(,)?) => {
        &[$(Field {
            path: $path,
            namespace: Namespace::$namespace,
            kind: FieldKind::$kind,
            data_type: DataTypeId::$data_type,
            rank: $rank,
        }),*]
    };
}

/// Of every condition, in the order in which its nodes are browsed.
const CONDITION: &[Field] = fields!(
    "EventId" Standard Property ByteString -1,
    "EventType" Standard Property NodeId -1,
    "SourceNode" Standard Property NodeId -1,
    "SourceName" Standard Property String -1,
    "Time" Standard Property UtcTime -1,
    "ReceiveTime" Standard Property UtcTime -1,
    "Message" Standard Property LocalizedText -1,
    "Severity" Standard Property UInt16 -1,
    "ConditionClassId" Standard Property NodeId -1,
    "ConditionClassName" Standard Property LocalizedText -1,
    "ConditionName" Standard Property String -1,
    "BranchId" Standard Property NodeId -1,
    "Retain" Standard Property Boolean -1,
    "EnabledState" Standard TwoState LocalizedText -1,
    "EnabledState/Id" Standard Property Boolean -1,
    "EnabledState/TransitionTime" Standard Property UtcTime -1,
    "Quality" Standard ConditionVariable StatusCode -1,
    "Quality/SourceTimestamp" Standard Property UtcTime -1,
    "LastSeverity" Standard ConditionVariable UInt16 -1,
    "LastSeverity/SourceTimestamp" Standard Property UtcTime -1,
    "Comment" Standard ConditionVariable LocalizedText -1,
    "Comment/SourceTimestamp" Standard Property UtcTime -1,
    "ClientUserId" Standard Property String -1,
    "AckedState" Standard TwoState LocalizedText -1,
    "AckedState/Id" Standard Property Boolean -1,
    "AckedState/TransitionTime" Standard Property UtcTime -1,
    "ConfirmedState" Standard TwoState LocalizedText -1,
    "ConfirmedState/Id" Standard Property Boolean -1,
    "ConfirmedState/TransitionTime" Standard Property UtcTime -1,
    "ActiveState" Standard TwoState LocalizedText -1,
    "ActiveState/Id" Standard Property Boolean -1,
    "ActiveState/TransitionTime" Standard Property UtcTime -1,
    "InputNode" Standard Property NodeId -1,
    "SuppressedOrShelved" Standard Property Boolean -1,
);

const LEVEL_ALARM: &[Field] = fields!(
    "LimitState" Standard LimitStateMachine BaseDataType -1,
    "LimitState/CurrentState" Standard State LocalizedText -1,
    "LimitState/CurrentState/Id" Standard Property NodeId -1,
    "LimitState/LastTransition" Standard Transition LocalizedText -1,
    "LimitState/LastTransition/Id" Standard Property NodeId -1,
    "LimitState/LastTransition/TransitionTime" Standard Property UtcTime -1,
    "HighHighLimit" Standard Property Double -1,
    "HighLimit" Standard Property Double -1,
    "LowLimit" Standard Property Double -1,
    "LowLowLimit" Standard Property Double -1,
);

const DRIFT_ALARM: &[Field] = fields!(
    "Output" Types Property String -1,
    "Test" Types Property String -1,
    "Statistic" Types Property Double -1,
    "Limit" Types Property Double -1,
    "ChangedSince" Types Property UtcTime -1,
    "FalseAlarmsPerYear" Types Property Double -1,
);

/// Those that we fill (OPC 10000-9 §5.8.23).
const CERTIFICATE_ALARM: &[Field] = fields!(
    "ExpirationDate" Standard Property DateTime -1,
    "ExpirationLimit" Standard Property Duration -1,
    "CertificateType" Standard Property NodeId -1,
);

/// Of the other types.
const OTHERS: &[Field] = fields!(
    "Changes" Standard Property ModelChangeStructureDataType 1,
    "State" Types Property String -1,
    "Endpoint" Types Property String -1,
    "LastError" Types Property String -1,
    "Revision" Types Property UInt32 -1,
    "PreviousRevision" Types Property UInt32 -1,
    "Names" Types Property String 1,
    "Values" Types Property Double 1,
    "OldValues" Types Property Double 1,
    "StandardErrors" Types Property Double 1,
    "Rmse" Types Property Double -1,
    "RSquared" Types Property Double -1,
    "By" Types Property String -1,
    "IsAccepted" Types Property Boolean -1,
    "Improvement" Types Property Double -1,
    "ActionTimeStamp" Standard Property UtcTime -1,
    "Status" Standard Property Boolean -1,
    "ServerId" Standard Property String -1,
    "ClientAuditEntryId" Standard Property String -1,
    "ClientUserId" Standard Property String -1,
    "AttributeId" Standard Property UInt32 -1,
    "IndexRange" Standard Property NumericRange -1,
    "OldValue" Standard Property BaseDataType -1,
    "NewValue" Standard Property BaseDataType -1,
    "MethodId" Standard Property NodeId -1,
    "StatusCodeId" Standard Property StatusCode -1,
    "InputArguments" Standard Property BaseDataType 1,
    "UpdatedNode" Standard Property NodeId -1,
    "ParameterDataTypeId" Standard Property NodeId -1,
    "PerformInsertReplace" Standard Property PerformUpdateType -1,
    "SessionId" Standard Property NodeId -1,
    "ConditionEventId" Standard Property ByteString -1,
    "Comment" Standard Property LocalizedText -1,
    "Transition" Standard Transition LocalizedText -1,
    "Transition/Id" Standard Property NodeId -1,
    "Transition/Number" Standard Property UInt32 -1,
    "FromState" Standard State LocalizedText -1,
    "FromState/Id" Standard Property NodeId -1,
    "ToState" Standard State LocalizedText -1,
    "ToState/Id" Standard Property NodeId -1,
    "IntermediateResult" Standard Property BaseDataType 1,
);

/// The fields that the nodes of a condition show.
pub(in crate::northbound) fn of_condition(kind: EventType) -> impl Iterator<Item = &'static Field> {
    let own = match kind {
        EventType::ExclusiveLevelAlarm => LEVEL_ALARM,
        EventType::DriftAlarm => DRIFT_ALARM,
        EventType::CertificateExpirationAlarm => CERTIFICATE_ALARM,
        _ => &[],
    };
    CONDITION.iter().chain(own)
}

/// A field by its path.
pub(super) fn field(path: &str) -> Option<&'static Field> {
    [CONDITION, LEVEL_ALARM, DRIFT_ALARM, CERTIFICATE_ALARM, OTHERS]
        .into_iter()
        .flatten()
        .find(|field| field.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_has_its_parent() {
        for kind in [EventType::ExclusiveLevelAlarm, EventType::DriftAlarm, EventType::CertificateExpirationAlarm] {
            let all: Vec<_> = of_condition(kind).collect();
            for field in &all {
                assert!(field.parent().is_none_or(|parent| all.iter().any(|other| other.path == parent)), "{field:?}");
            }
        }
    }
}
