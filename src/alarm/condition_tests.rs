//! What a condition promises beyond what clients see of it.

use std::sync::Arc;

use super::{Activity, Ask, Condition, ConditionKind};
use crate::{
    event::{EventId, EventType, Source},
    sample::{StatusCode, Value},
    time::Timestamp,
};

fn kind() -> Arc<ConditionKind> {
    Arc::new(ConditionKind {
        event_type: EventType::DriftAlarm,
        id: "Oven1.DriftAlarm".into(),
        name: "DriftAlarm".into(),
        source: Source::new("Oven1"),
        input: "Oven1.Temperature.Residual".into(),
        fixed: vec![("FalseAlarmsPerYear".into(), Value::Double(1.0))],
    })
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_s(1e9 + seconds)
}

fn active() -> Condition {
    let mut condition = Condition::new(kind(), at(0.0));
    let fields = vec![("ChangedSince".into(), Value::DateTime(at(5.0)))];
    let activity = Activity { level: None, severity: 600, message: "drifts".into(), fields };
    assert!(condition.change(at(10.0), Some(activity)));
    condition
}

#[test]
fn its_newest_event_restores_it_and_what_it_said() {
    let mut condition = active();
    let first = condition.tell(EventId([1; 16]), at(10.0), at(10.0)).id;
    condition.ask(Ask::Acknowledge { event: first, comment: Some("seen".into()) }, "ann", at(11.0)).unwrap();
    let event = condition.tell(EventId([2; 16]), at(11.0), at(11.0));
    let mut restored = Condition::new(kind(), at(100.0));
    restored.restore(Arc::clone(&event));
    let told = |name: &str| restored.standing().field(name).cloned();
    for name in ["ActiveState/Id", "AckedState/Id", "ActiveState/TransitionTime", "Comment", "Retain", "ChangedSince"] {
        assert_eq!(told(name), event.field(name).cloned(), "{name}");
        assert!(told(name).is_some(), "{name}");
    }
    assert_eq!((restored.standing().severity, restored.standing().message.as_str()), (600, "drifts"));
    // The event is still one that can be confirmed.
    restored.ask(Ask::Confirm { event: event.id, comment: None }, "ann", at(101.0)).unwrap();
}

#[test]
fn what_cannot_be_asked_changes_nothing() {
    let mut condition = active();
    let event = condition.tell(EventId([1; 16]), at(10.0), at(10.0)).id;
    let before = condition.fields();
    let confirm = Ask::Confirm { event, comment: None };
    assert_eq!(condition.ask(confirm, "ann", at(11.0)), Err(StatusCode::BadInvalidState));
    let unknown = Ask::Acknowledge { event: EventId([9; 16]), comment: None };
    assert_eq!(condition.ask(unknown, "ann", at(11.0)), Err(StatusCode::BadEventIdUnknown));
    assert_eq!(condition.ask(Ask::Enable, "ann", at(11.0)), Err(StatusCode::BadConditionAlreadyEnabled));
    assert_eq!(condition.fields(), before);
}
