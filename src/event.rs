//! What happened, as clients are told it: events (OPC 10000-5 §6.4), among them those of conditions (OPC 10000-9) and of the
//! audit trail. Plain data, complete in itself: `history` keeps it as it is, `northbound` answers for its fields.

use std::{borrow::Cow, sync::Arc};

use crate::{sample::Value, time::Timestamp};

/// EventId: unique in this server for ever, and unlike any that a client could guess into meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

/// Numbers events: when, and the how manieth since the program started.
#[derive(Debug, Default)]
pub struct EventIds(u64);

impl EventIds {
    /// The next one.
    pub fn next(&mut self, now: Timestamp) -> EventId {
        self.0 += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&now.ticks().to_be_bytes());
        id[8..].copy_from_slice(&self.0.to_be_bytes());
        EventId(id)
    }
}

/// `EventType` with `ALL`, and each one's name.
macro_rules! event_types {
    ($($variant:ident),* $(,)?) => {
        /// The types of events that this server sends; by their BrowseNames, under which history keeps them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names that the standard and the information model give them")]
        pub enum EventType { $($variant),* }

        impl EventType {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// BrowseName.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!(stringify!($variant), "Type")),* }
            }
        }
    };
}

event_types!(
    // Ours.
    ConnectionEvent,
    HistoryEvent,
    FitFinishedEvent,
    RevisionEvent,
    RefitEvent,
    SetpointEvent,
    DriftAlarm,
    // The standard's.
    ExclusiveLevelAlarm,
    CertificateExpirationAlarm,
    ProgramTransitionEvent,
    RefreshStartEvent,
    RefreshEndEvent,
    EventQueueOverflowEvent,
    GeneralModelChangeEvent,
    AuditActivateSessionEvent,
    AuditWriteUpdateEvent,
    AuditUpdateMethodEvent,
    AuditHistoryValueUpdateEvent,
    AuditHistoryRawModifyDeleteEvent,
    AuditHistoryAtTimeDeleteEvent,
    AuditHistoryAnnotationUpdateEvent,
    AuditConditionEnableEvent,
    AuditConditionCommentEvent,
    AuditConditionAcknowledgeEvent,
    AuditConditionConfirmEvent,
);

impl EventType {
    /// By its BrowseName.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether only those may see it who may see the audit trail.
    #[must_use]
    pub fn is_audit(self) -> bool {
        self.name().starts_with("Audit")
    }

    /// Whether it is sent whatever a where clause says: the marks of a refresh, without which nobody knows that it is complete
    /// (OPC 10000-9 §5.5.7), and what tells that others were dropped (OPC 10000-4 §7.22.3).
    #[must_use]
    pub const fn passes_filters(self) -> bool {
        matches!(self, Self::RefreshStartEvent | Self::RefreshEndEvent | Self::EventQueueOverflowEvent)
    }

    /// Whether it tells of a condition's state.
    #[must_use]
    pub const fn is_condition(self) -> bool {
        matches!(self, Self::DriftAlarm | Self::ExclusiveLevelAlarm | Self::CertificateExpirationAlarm)
    }
}

/// Where something happened: the string of a NodeId in the twins' namespace, `Heater1.Temperature` or `plc:line1`; empty for
/// the server itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source(pub Arc<str>);

impl Source {
    /// Of this node.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self(Arc::from(node))
    }

    /// Whether events of this source come by a notifier: the server tells all, `Twins` those of every twin, a twin its own.
    #[must_use]
    pub fn is_told_by(&self, notifier: &str) -> bool {
        match notifier {
            "" => true,
            "Twins" => !matches!(&*self.0, "" | "History" | "Connections") && !self.0.starts_with("plc:"),
            "Connections" => self.0.starts_with("plc:"),
            _ => self.0.strip_prefix(notifier).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        }
    }

    /// SourceName.
    #[must_use]
    pub fn name(&self) -> &str {
        match &*self.0 {
            "" => "Server",
            node => node.strip_prefix("plc:").unwrap_or(node),
        }
    }
}

/// Names of a field's path, joined by `/` where there are several: `ActiveState/Id`.
pub type FieldName = Cow<'static, str>;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// EventId; zero until the stage that sends it has numbered it.
    pub id: EventId,
    /// EventType.
    pub kind: EventType,
    /// SourceNode and SourceName.
    pub source: Source,
    /// Time: when it happened, by the source's clock where it has one.
    pub time: Timestamp,
    /// ReceiveTime: when this server knew.
    pub received: Timestamp,
    /// 1 to 1000.
    pub severity: u16,
    /// Message, in English.
    pub message: String,
    /// What its type adds to BaseEventType. NodeIds stand as the strings of the twins' namespace.
    pub fields: Vec<(FieldName, Value)>,
}

impl Event {
    /// One with no fields of its own yet.
    #[must_use]
    pub fn new(kind: EventType, source: Source, now: Timestamp, severity: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { id: EventId::default(), kind, source, time: now, received: now, severity, message, fields: Vec::new() }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// A field of its type, by the names of its path.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notifier_tells_what_is_below_it() {
        let told = |source: &str| ["", "Twins", "Connections", "Heater1"].map(|n| Source::new(source).is_told_by(n));
        assert_eq!(told(""), [true, false, false, false]);
        assert_eq!(told("History"), [true, false, false, false]);
        assert_eq!(told("plc:line1"), [true, false, true, false]);
        assert_eq!(told("Heater1"), [true, true, false, true]);
        assert_eq!(told("Heater1.Temperature"), [true, true, false, true]);
        assert_eq!(told("Heater10.Temperature"), [true, true, false, false]);
    }

    #[test]
    fn names_lead_back_to_their_types() {
        for kind in EventType::ALL {
            assert_eq!(EventType::from_name(kind.name()), Some(*kind));
        }
        assert_eq!(EventType::ExclusiveLevelAlarm.name(), "ExclusiveLevelAlarmType");
        assert!(EventType::AuditWriteUpdateEvent.is_audit() && !EventType::RevisionEvent.is_audit());
    }

    #[test]
    fn no_two_events_share_an_id() {
        let mut ids = EventIds::default();
        let now = Timestamp::from_unix_s(1e9);
        assert_ne!(ids.next(now), ids.next(now));
    }
}
