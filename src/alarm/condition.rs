//! The state of a condition (OPC 10000-9 §5.5, §5.7, §5.8) and what is asked of it. It has no branches: a notification that was
//! not acknowledged before the next one came is taken over by it.

use std::{borrow::Cow, sync::Arc};

use super::limit::Level;
use crate::{
    event::{Event, EventId, EventType, FieldName, Source},
    sample::{StatusCode, Value},
    time::Timestamp,
};

/// EventIds of one activation that may still be acknowledged.
const ANSWERABLE_MAX: usize = 32;

/// What a condition is of.
#[derive(Clone, Debug)]
pub struct ConditionKind {
    /// ExclusiveLevelAlarmType, DriftAlarmType or CertificateExpirationAlarmType.
    pub event_type: EventType,
    /// The string of its NodeId: ConditionId.
    pub id: Arc<str>,
    /// ConditionName.
    pub name: String,
    /// SourceNode: what it belongs to.
    pub source: Source,
    /// InputNode: what is looked at.
    pub input: Arc<str>,
    /// Fields of its type that never change: limits, a rate of false alarms.
    pub fixed: Vec<(FieldName, Value)>,
}

/// Why a condition is active.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// The level of a limit alarm.
    pub level: Option<Level>,
    /// 1 to 1000.
    pub severity: u16,
    /// In a sentence.
    pub message: String,
    /// Fields of its type that tell more.
    pub fields: Vec<(FieldName, Value)>,
}

/// What a client asks of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's methods and their arguments")]
pub enum Ask {
    Enable,
    Disable,
    Acknowledge { event: EventId, comment: Option<String> },
    Confirm { event: EventId, comment: Option<String> },
    AddComment { event: EventId, comment: String },
}

/// A value and when it became so.
#[derive(Clone, Debug, PartialEq)]
struct Since<T> {
    value: T,
    at: Timestamp,
}

impl<T: PartialEq> Since<T> {
    fn set(&mut self, value: T, at: Timestamp) {
        if self.value != value {
            *self = Self { value, at };
        }
    }
}

/// One condition.
#[derive(Clone, Debug)]
pub struct Condition {
    kind: Arc<ConditionKind>,
    enabled: Since<bool>,
    active: Since<bool>,
    level: Since<Option<Level>>,
    acked: Since<bool>,
    confirmed: Since<bool>,
    severity: u16,
    last_severity: Since<u16>,
    quality: Since<StatusCode>,
    comment: Since<String>,
    user: String,
    message: String,
    told: Vec<(FieldName, Value)>,
    answerable: Vec<EventId>,
    /// The newest event of it, what ConditionRefresh sends.
    last: Option<Arc<Event>>,
}

impl Condition {
    /// Enabled, inactive, nothing to acknowledge.
    #[must_use]
    pub fn new(kind: Arc<ConditionKind>, now: Timestamp) -> Self {
        let yes = Since { value: true, at: now };
        Self {
            kind,
            enabled: yes.clone(),
            active: Since { value: false, at: now },
            level: Since { value: None, at: now },
            acked: yes.clone(),
            confirmed: yes,
            severity: 1,
            last_severity: Since { value: 1, at: now },
            quality: Since { value: StatusCode::Good, at: now },
            comment: Since { value: String::new(), at: now },
            user: String::new(),
            message: "Never active".to_owned(),
            told: Vec::new(),
            answerable: Vec::new(),
            last: None,
        }
    }

    /// What it is of.
    #[must_use]
    pub fn kind(&self) -> &ConditionKind {
        &self.kind
    }

    /// Whether it is active.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.active.value
    }

    /// Whether it is enabled.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.enabled.value
    }

    /// The level that it was last active at, while it is.
    #[must_use]
    pub const fn level(&self) -> Option<Level> {
        self.level.value
    }

    /// Retain: whether an operator has to know of it.
    #[must_use]
    pub const fn retain(&self) -> bool {
        self.enabled.value && (self.active.value || !self.acked.value || !self.confirmed.value)
    }

    /// The newest event of it; `None` before the first.
    #[must_use]
    pub const fn last(&self) -> Option<&Arc<Event>> {
        self.last.as_ref()
    }

    /// It becomes active, active otherwise, or normal. Whether there is something to tell.
    pub fn change(&mut self, at: Timestamp, activity: Option<Activity>) -> bool {
        if !self.enabled.value {
            return false;
        }
        let level = activity.as_ref().and_then(|activity| activity.level);
        if activity.is_some() == self.active.value && level == self.level.value {
            return false;
        }
        let is_new = activity.is_some() && (!self.active.value || level.is_some_and(|l| l.is_beyond(self.level.value)));
        self.active.set(activity.is_some(), at);
        self.level.set(level, at);
        if is_new {
            self.acked.set(false, at);
            self.confirmed.set(false, at);
            self.answerable.clear();
        }
        match activity {
            Some(Activity { severity, message, fields, .. }) => {
                self.last_severity.set(self.severity, at);
                (self.severity, self.message, self.told) = (severity, message, fields);
            }
            None => self.message = "Back to normal".to_owned(),
        }
        true
    }

    /// What the next event of it says.
    pub fn say(&mut self, message: String) {
        self.message = message;
    }

    /// The quality of what it looks at changes; the state stays as it is while nothing better is known.
    pub fn set_quality(&mut self, at: Timestamp, quality: StatusCode) -> bool {
        let is_told = self.enabled.value && self.quality.value != quality && self.retain();
        self.quality.set(quality, at);
        is_told
    }

    /// What a client asks; gives what to say of it.
    ///
    /// # Errors
    /// The StatusCodes of OPC 10000-9 §5.5.5 to §5.7.4; nothing is changed then.
    pub fn ask(&mut self, ask: Ask, user: &str, now: Timestamp) -> Result<(), StatusCode> {
        if !self.enabled.value && ask != Ask::Enable {
            let is_disable = ask == Ask::Disable;
            return Err(if is_disable {
                StatusCode::BadConditionAlreadyDisabled
            } else {
                StatusCode::BadConditionDisabled
            });
        }
        match ask {
            Ask::Enable if self.enabled.value => return Err(StatusCode::BadConditionAlreadyEnabled),
            Ask::Enable => self.enabled.set(true, now),
            Ask::Disable => {
                // What it would say is known again when it is enabled: nothing of before is left.
                self.enabled.set(false, now);
                self.active.set(false, now);
                self.level.set(None, now);
                self.acked.set(true, now);
                self.confirmed.set(true, now);
                self.answerable.clear();
            }
            Ask::Acknowledge { event, comment } => {
                self.knows(event)?;
                if self.acked.value {
                    return Err(StatusCode::BadConditionBranchAlreadyAcked);
                }
                self.acked.set(true, now);
                self.note(comment, user, now);
            }
            Ask::Confirm { event, comment } => {
                self.knows(event)?;
                if self.confirmed.value {
                    return Err(StatusCode::BadConditionBranchAlreadyConfirmed);
                }
                if !self.acked.value {
                    return Err(StatusCode::BadInvalidState); // what nobody has seen, nobody has dealt with
                }
                self.confirmed.set(true, now);
                self.note(comment, user, now);
            }
            Ask::AddComment { event, comment } => {
                self.knows(event)?;
                self.note(Some(comment), user, now);
            }
        }
        user.clone_into(&mut self.user);
        Ok(())
    }

    fn knows(&self, event: EventId) -> Result<(), StatusCode> {
        self.answerable.contains(&event).then_some(()).ok_or(StatusCode::BadEventIdUnknown)
    }

    fn note(&mut self, comment: Option<String>, user: &str, now: Timestamp) {
        if let Some(comment) = comment {
            self.comment = Since { value: comment, at: now };
        }
        user.clone_into(&mut self.user);
    }

    /// An event of how it stands that nobody is sent.
    #[must_use]
    pub fn standing(&self) -> Event {
        let mut event = Event::new(
            self.kind.event_type,
            self.kind.source.clone(),
            Timestamp::NULL,
            self.severity,
            self.message.clone(),
        );
        event.fields = self.fields();
        event
    }

    /// The event that tells how it stands; a client that acknowledges gives its id back.
    pub fn tell(&mut self, id: EventId, time: Timestamp, now: Timestamp) -> Arc<Event> {
        let mut event = self.standing();
        (event.id, event.time, event.received) = (id, time, now);
        if self.answerable.len() == ANSWERABLE_MAX {
            self.answerable.remove(0);
        }
        self.answerable.push(id);
        let event = Arc::new(event);
        self.last = Some(Arc::clone(&event));
        event
    }

    /// Every field of its type, as it stands; names as in the standard.
    #[must_use]
    pub fn fields(&self) -> Vec<(FieldName, Value)> {
        let mut fields = Fields(Vec::with_capacity(48));
        fields.put("ConditionId", &*self.kind.id);
        fields.put("ConditionName", self.kind.name.as_str());
        fields.put("ConditionClassId", PROCESS_CONDITION_CLASS);
        fields.text("ConditionClassName", "ProcessConditionClassType");
        fields.put("Retain", self.retain());
        fields.state("EnabledState", ["Disabled", "Enabled"], &self.enabled);
        fields.since("Quality", &self.quality, self.quality.value);
        fields.since("LastSeverity", &self.last_severity, self.last_severity.value);
        fields.since("Comment", &self.comment, Value::english(&self.comment.value));
        fields.put("ClientUserId", self.user.as_str());
        fields.state("AckedState", ["Unacknowledged", "Acknowledged"], &self.acked);
        fields.state("ConfirmedState", ["Unconfirmed", "Confirmed"], &self.confirmed);
        fields.state("ActiveState", ["Inactive", "Active"], &self.active);
        fields.put("InputNode", &*self.kind.input);
        fields.put("SuppressedOrShelved", false);
        if self.kind.event_type == EventType::ExclusiveLevelAlarm {
            fields.limit_state(&self.level);
        }
        fields.0.extend(self.kind.fixed.iter().cloned());
        fields.0.extend(self.told.iter().cloned());
        fields.0
    }

    /// As it stood when this event was sent, by an earlier run of the program.
    pub fn restore(&mut self, event: Arc<Event>) {
        let flag = |name: &str, otherwise: bool| match event.field(name) {
            Some(Value::Boolean(flag)) => *flag,
            _ => otherwise,
        };
        let when = |name: &str| match event.field(name) {
            Some(Value::DateTime(at)) => *at,
            _ => event.time,
        };
        let state = |name: &'static str, otherwise| Since {
            value: flag(&format!("{name}/Id"), otherwise),
            at: when(&format!("{name}/TransitionTime")),
        };
        self.enabled = state("EnabledState", true);
        self.acked = state("AckedState", true);
        self.confirmed = state("ConfirmedState", true);
        self.active = state("ActiveState", false);
        let level = match event.field("LimitState/CurrentState") {
            Some(Value::LocalizedText(text)) if self.active.value => Level::from_name(&text.1),
            _ => None,
        };
        self.level = Since { value: level, at: when("LimitState/LastTransition/TransitionTime") };
        if let Some(Value::LocalizedText(text)) = event.field("Comment") {
            self.comment = Since { value: text.1.clone(), at: when("Comment/SourceTimestamp") };
        }
        if let Some(Value::String(user)) = event.field("ClientUserId") {
            self.user = user.to_string();
        }
        (self.severity, self.message) = (event.severity, event.message.clone());
        let own: Vec<FieldName> = self.fields().into_iter().map(|(name, _)| name).collect();
        self.told = event.fields.iter().filter(|(name, _)| !own.contains(name)).cloned().collect();
        self.answerable = vec![event.id];
        self.last = Some(event);
    }
}

/// ProcessConditionClassType (OPC 10000-9 §5.9.4).
const PROCESS_CONDITION_CLASS: &str = "i=11164";

/// Fields as they are put together.
struct Fields(Vec<(FieldName, Value)>);

impl Fields {
    fn put(&mut self, name: impl Into<FieldName>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    fn text(&mut self, name: impl Into<FieldName>, words: &str) {
        self.0.push((name.into(), Value::english(words)));
    }

    /// A ConditionVariableType: with the time of its last change.
    fn since<T>(&mut self, name: &'static str, since: &Since<T>, value: impl Into<Value>) {
        self.put(name, value);
        self.put(format!("{name}/SourceTimestamp"), since.at);
    }

    /// A TwoStateVariableType.
    fn state(&mut self, name: &'static str, [no, yes]: [&str; 2], state: &Since<bool>) {
        self.text(name, if state.value { yes } else { no });
        self.put(format!("{name}/Id"), state.value);
        self.put(format!("{name}/TransitionTime"), state.at);
    }

    /// An ExclusiveLimitStateMachineType (OPC 10000-9 §5.8.19.2); null while it is at no level.
    fn limit_state(&mut self, level: &Since<Option<Level>>) {
        let Some(current) = level.value else { return };
        self.text("LimitState/CurrentState", current.name());
        self.put(
            "LimitState/CurrentState/Id",
            match current {
                Level::HighHigh => "i=9329",
                Level::High => "i=9331",
                Level::Low => "i=9333",
                Level::LowLow => "i=9335",
            },
        );
        self.put("LimitState/LastTransition/TransitionTime", level.at);
    }
}

/// `HighLimit` and the others that are configured.
#[must_use]
pub fn limit_fields(limits: &[Option<f64>; 4]) -> Vec<(FieldName, Value)> {
    let named = Level::ALL.into_iter().zip(limits);
    named
        .filter_map(|(level, limit)| Some((Cow::Owned(format!("{}Limit", level.name())), Value::Double((*limit)?))))
        .collect()
}
