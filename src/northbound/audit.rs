//! The audit trail (OPC 10000-4 §6.5): who changed what, and who tried. Each entry is a log event of target `audit`, and an
//! OPC UA event to those who may see it; history keeps it.

use std::sync::{Arc, Mutex, PoisonError};

use opcua::{
    server::{ServerEndpoint, node_manager::MethodCall},
    types::{Identifier, NodeId, StatusCode, Variant},
};
use tracing::{debug, info};

use super::{
    access::NAME_MAX,
    address_space::{AddressSpace, ConditionMethod},
};
use crate::{
    event::{Event, EventType, Source},
    jobs::Jobs,
    sample::{Array, Value},
    time::{Clock, Timestamp},
    ua,
};

/// What is refused may be an attack; the rest is routine.
fn severity(status: StatusCode) -> u16 {
    if status.is_good() { 100 } else { 400 }
}

/// Built-in type of what may be of any (OPC 10000-6 Table 1).
const VARIANT: u8 = 24;

/// One HistoryUpdate of one node.
#[derive(Debug)]
pub(super) struct HistoryUpdated<'a> {
    pub(super) kind: HistoryChange,
    pub(super) node: &'a NodeId,
    pub(super) user: &'a str,
    pub(super) status: StatusCode,
    /// Values that were changed, and that were not.
    pub(super) changed: u64,
    pub(super) refused: u64,
}

/// What is done to history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistoryChange {
    Insert,
    Replace,
    Update,
    Remove,
    Annotations,
    DeleteModified,
    DeleteRange,
    DeleteAtTimes,
    Events,
}

impl HistoryChange {
    const fn words(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Replace => "replace",
            Self::Update => "update",
            Self::Remove => "remove",
            Self::Annotations => "annotations",
            Self::DeleteModified => "delete modified",
            Self::DeleteRange => "delete range",
            Self::DeleteAtTimes => "delete at times",
            Self::Events => "events",
        }
    }

    const fn event_type(self) -> EventType {
        match self {
            Self::Annotations => EventType::AuditHistoryAnnotationUpdateEvent,
            Self::DeleteModified | Self::DeleteRange => EventType::AuditHistoryRawModifyDeleteEvent,
            Self::DeleteAtTimes => EventType::AuditHistoryAtTimeDeleteEvent,
            _ => EventType::AuditHistoryValueUpdateEvent,
        }
    }
}

/// Where entries go; cheap to clone.
#[derive(Clone)]
pub(super) struct Trail {
    jobs: Arc<Jobs>,
    clock: Arc<dyn Clock>,
    /// Index of the twins' namespace.
    twins: u16,
}

impl Trail {
    pub(super) fn of(space: &AddressSpace) -> Self {
        let world = &space.world;
        Self { jobs: Arc::clone(&world.jobs), clock: Arc::clone(&world.clock), twins: space.namespaces.twins }
    }

    /// What every entry has.
    fn entry(&self, kind: EventType, node: &NodeId, (user, status): (&str, StatusCode), message: String) -> Event {
        let now = self.clock.now();
        Event::new(kind, Source::new(&self.text(node)), now, severity(status), message)
            .with("ActionTimeStamp", now)
            .with("Status", status.is_good())
            .with("ClientUserId", user)
    }

    /// A NodeId as events keep it.
    fn text(&self, node: &NodeId) -> String {
        match &node.identifier {
            Identifier::String(path) if node.namespace == self.twins => path.as_ref().to_owned(),
            _ => node.to_string(),
        }
    }

    /// Refused ones too: who tried is part of the trail. On a thread that may block.
    pub(super) fn history_updated(&self, what: &HistoryUpdated<'_>) {
        let HistoryUpdated { kind, node, user, status, changed, refused } = what;
        info!(target: "audit", kind = kind.words(), %node, user, %status, changed, refused, "history updated");
        let message = format!("History, {}: {changed} changed, {refused} not; {status}", kind.words());
        // OPC 10000-5 §6.4.3: whether the action was performed. The service is Good with every value refused.
        let done = if *changed == 0 && *refused > 0 { StatusCode::Bad } else { *status };
        let event = self.entry(kind.event_type(), node, (user, done), message).with("UpdatedNode", self.text(node));
        self.jobs.tell_blocking(event);
    }

    /// One value written by a client.
    pub(super) async fn written(&self, user: &str, node: &NodeId, (old, new): (Value, Value), status: StatusCode) {
        match status.is_good() {
            true => debug!(target: "audit", %node, user, ?new, "written"),
            false => info!(target: "audit", %node, user, %status, ?new, "not written"),
        }
        let message = format!("{} was written by {user}: {status}", self.text(node));
        let event = self
            .entry(EventType::AuditWriteUpdateEvent, node, (user, status), message)
            .with("AttributeId", 13_u32)
            .with("OldValue", old)
            .with("NewValue", new);
        self.jobs.tell(event).await;
    }

    /// One call of a method that changes something, or was refused.
    pub(super) async fn called(&self, user: &str, call: &MethodCall, name: &str, status: StatusCode) {
        let message = format!("{name} of {} was called by {user}: {status}", self.text(call.object_id()));
        let event = self.entry(EventType::AuditUpdateMethodEvent, call.object_id(), (user, status), message);
        self.jobs.tell(self.with_call(event, call, status)).await;
    }

    /// What was asked of a condition.
    pub(super) async fn condition_asked(
        &self,
        user: &str,
        call: &MethodCall,
        method: ConditionMethod,
        status: StatusCode,
    ) {
        let kind = match method {
            ConditionMethod::Enable | ConditionMethod::Disable => EventType::AuditConditionEnableEvent,
            ConditionMethod::AddComment => EventType::AuditConditionCommentEvent,
            ConditionMethod::Acknowledge => EventType::AuditConditionAcknowledgeEvent,
            ConditionMethod::Confirm => EventType::AuditConditionConfirmEvent,
        };
        let message = format!("{} of {} by {user}: {status}", method.name(), self.text(call.object_id()));
        let mut event = self.entry(kind, call.object_id(), (user, status), message);
        if let [event_id, comment] = call.arguments() {
            event.fields.push(("ConditionEventId".into(), ua::value(event_id).unwrap_or_default()));
            event.fields.push(("Comment".into(), ua::value(comment).unwrap_or_default()));
        }
        self.jobs.tell(self.with_call(event, call, status)).await;
    }

    fn with_call(&self, event: Event, call: &MethodCall, status: StatusCode) -> Event {
        let elements = call.arguments().iter().map(argument).collect();
        event
            .with("MethodId", self.text(call.method_id()))
            .with("StatusCodeId", status)
            .with("InputArguments", Value::Array(Arc::new(Array { element_type: VARIANT, elements })))
    }
}

/// Refusals that are told of in a second. More are counted: who may not come must not fill the disk either.
const REFUSALS_MAX: u32 = 5;

/// Who came, and who was not let in. The library asks who a user is when a session is activated; of the session itself it
/// tells nothing.
pub(super) struct Sessions {
    pub(super) jobs: Arc<Jobs>,
    pub(super) clock: Arc<dyn Clock>,
    /// Since when, how many refusals were told of, and how many were not.
    refusals: Mutex<(Timestamp, u32, u32)>,
}

impl Sessions {
    pub(super) fn new(jobs: Arc<Jobs>, clock: Arc<dyn Clock>) -> Self {
        Self { jobs, clock, refusals: Mutex::default() }
    }

    /// How many refusals went untold before this one; `None`: this one does too.
    fn untold(&self, now: Timestamp) -> Option<u32> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, told, untold) = &mut *refusals;
        if !(0.0..1.0).contains(&now.seconds_since(*since)) {
            (*since, *told) = (now, 0);
        }
        if *told == REFUSALS_MAX {
            *untold = untold.saturating_add(1);
            return None;
        }
        *told += 1;
        Some(std::mem::take(untold))
    }

    pub(super) async fn activated(&self, user: &str, endpoint: &ServerEndpoint, refused: Option<&str>) {
        let now = self.clock.now();
        let untold = match refused.map(|_| self.untold(now)) {
            Some(None) => return,
            Some(Some(untold)) => untold,
            None => 0,
        };
        // Anybody may call himself anything: a name is no place for line breaks.
        let user: String = user.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        let (policy, mode) = (&endpoint.security_policy, &endpoint.security_mode);
        let status = if refused.is_some() { StatusCode::BadIdentityTokenRejected } else { StatusCode::Good };
        let message = match refused {
            None => {
                info!(target: "audit", user, policy, mode, "session activated");
                format!("{user} activated a session with {policy}, {mode}")
            }
            Some(why) => {
                info!(target: "audit", user, policy, mode, why, untold, "session refused");
                let more = if untold > 0 { format!("; {untold} more refusals before it") } else { String::new() };
                format!("{user} was refused a session with {policy}, {mode}: {why}{more}")
            }
        };
        let event = Event::new(EventType::AuditActivateSessionEvent, Source::default(), now, severity(status), message)
            .with("ActionTimeStamp", now)
            .with("Status", status.is_good())
            .with("ClientUserId", user.as_str());
        self.jobs.tell(event).await;
    }
}

/// An argument as it is kept; of an array, which cannot stand in another, its text.
fn argument(argument: &Variant) -> Value {
    match ua::value(argument) {
        Some(Value::Array(array)) => {
            let words: Vec<String> = array.elements.iter().map(|element| ua::variant(element).to_string()).collect();
            format!("[{}]", words.join(", ")).into()
        }
        Some(value) => value,
        None => argument.to_string().into(),
    }
}
