//! What clients ask of conditions (OPC 10000-9 §5.5, §5.7): by the instance's MethodId or the standard's.

use std::sync::Arc;

use opcua::{
    server::node_manager::{MethodCall, RequestContext},
    types::{MethodId, NodeId, ObjectTypeId, StatusCode, Variant},
};

use super::{Listeners, fields::node_id};
use crate::{
    alarm::{Ask, CERTIFICATE_CONDITION},
    event::{Event, EventId, EventType, Source},
    northbound::{
        Role, access,
        address_space::{AddressSpace, ConditionMethod, Node, Owner, Part},
        audit::Trail,
        users::User,
    },
    sample::TwinId,
};

/// Answers a call on a condition; `None`: the object is none.
pub(in crate::northbound) async fn call(
    space: &AddressSpace,
    context: &RequestContext,
    user: &User,
    call: &MethodCall,
) -> Option<StatusCode> {
    let node = space.visible(user, call.object_id());
    let of = match node {
        Some(Node::Part(Owner::Twin(t), Part::Condition(c))) => Some((TwinId(t), c as usize)),
        _ if *call.object_id() == node_id(space, CERTIFICATE_CONDITION) => None,
        _ => return None,
    };
    let method = match space.parse(call.method_id()) {
        Some(method @ Node::Part(_, Part::ConditionMethod(_, own))) if space.parent(method) == node => Some(own),
        _ => ConditionMethod::ALL.iter().copied().find(|method| is(call, method.standard())),
    };
    let Some(method) = method else { return Some(StatusCode::BadMethodInvalid) };
    let name = context.token.0.as_str();
    let status = if !user.may(access::role_for_condition(method)) {
        StatusCode::BadUserAccessDenied
    } else {
        match ask(method, call.arguments()) {
            Ok(ask) => {
                let answer = space.world.jobs.ask_condition(of, ask, name).await;
                answer.err().unwrap_or(StatusCode::Good)
            }
            Err(status) => status,
        }
    };
    Trail::of(space).condition_asked(name, call, method, status).await;
    Some(status)
}

/// The arguments of a call as what is asked.
fn ask(method: ConditionMethod, arguments: &[Variant]) -> Result<Ask, StatusCode> {
    match method {
        ConditionMethod::Enable | ConditionMethod::Disable if !arguments.is_empty() => {
            return Err(StatusCode::BadTooManyArguments);
        }
        ConditionMethod::Enable => return Ok(Ask::Enable),
        ConditionMethod::Disable => return Ok(Ask::Disable),
        _ => {}
    }
    let [event, comment] = arguments else {
        let is_less = arguments.len() < 2;
        return Err(if is_less { StatusCode::BadArgumentsMissing } else { StatusCode::BadTooManyArguments });
    };
    let event = event_id(event)?;
    // A null comment leaves the old one (§5.7.3); an empty one takes it away.
    let comment = match comment {
        Variant::Empty => None,
        Variant::LocalizedText(text) if text.text.is_null() && text.locale.is_null() => None,
        Variant::LocalizedText(text) => Some(text.text.as_ref().to_owned()),
        Variant::String(text) => Some(text.as_ref().to_owned()),
        _ => return Err(StatusCode::BadInvalidArgument),
    };
    Ok(match method {
        ConditionMethod::Acknowledge => Ask::Acknowledge { event, comment },
        ConditionMethod::Confirm => Ask::Confirm { event, comment },
        _ => Ask::AddComment { event, comment: comment.unwrap_or_default() },
    })
}

/// An EventId that cannot be one of ours is one that nobody knows.
pub(in crate::northbound) fn event_id(argument: &Variant) -> Result<EventId, StatusCode> {
    let Variant::ByteString(bytes) = argument else { return Err(StatusCode::BadInvalidArgument) };
    let bytes = bytes.value.as_deref().unwrap_or_default();
    bytes.try_into().map(EventId).map_err(|_| StatusCode::BadEventIdUnknown)
}

/// Whether a call is ConditionRefresh or ConditionRefresh2; they belong to the type (§5.5.7).
pub(in crate::northbound) fn is_refresh(call: &MethodCall) -> bool {
    *call.object_id() == ObjectTypeId::ConditionType
        && (is(call, MethodId::ConditionType_ConditionRefresh) || is(call, MethodId::ConditionType_ConditionRefresh2))
}

fn is(call: &MethodCall, method: MethodId) -> bool {
    *call.method_id() == NodeId::from(method)
}

/// Sends the present state of every condition that matters, between two marks, to the items of one subscription.
pub(in crate::northbound) fn refresh(
    space: &AddressSpace,
    (context, user): (&RequestContext, &User),
    listeners: &Listeners,
    call: &MethodCall,
) -> StatusCode {
    if !user.may(Role::Observer) {
        return StatusCode::BadUserAccessDenied;
    }
    let takes = if is(call, MethodId::ConditionType_ConditionRefresh) { 1 } else { 2 };
    match call.arguments().len().cmp(&takes) {
        std::cmp::Ordering::Less => return StatusCode::BadArgumentsMissing,
        std::cmp::Ordering::Greater => return StatusCode::BadTooManyArguments,
        std::cmp::Ordering::Equal => {}
    }
    let numbers: Option<Vec<u32>> = call
        .arguments()
        .iter()
        .map(|argument| match argument {
            Variant::UInt32(number) => Some(*number),
            _ => None,
        })
        .collect();
    let Some(numbers) = numbers else { return StatusCode::BadInvalidArgument };
    let (subscription, item) = (numbers[0], numbers.get(1).copied());
    let own = context.subscriptions.get_session_subscriptions(context.session_id);
    if !own.is_some_and(|all| all.lock().contains(subscription)) {
        let is_anothers = listeners.session_of(subscription).is_some_and(|session| session != context.session_id);
        return if is_anothers { StatusCode::BadUserAccessDenied } else { StatusCode::BadSubscriptionIdInvalid };
    }
    let now = space.world.clock.now();
    let mark = |kind, words: &str| {
        let mut event = Event::new(kind, Source::default(), now, 100, words);
        event.id = listeners.number(now);
        Arc::new(event)
    };
    let start = mark(EventType::RefreshStartEvent, "The refresh of conditions begins");
    let end = mark(EventType::RefreshEndEvent, "The refresh of conditions is complete");
    let own = space.world.state.read_certificate();
    let own = Some(own).filter(|condition| condition.retain()).and_then(|condition| condition.last().cloned());
    let conditions: Vec<Arc<Event>> = space
        .configured()
        .ids()
        .filter(|twin| user.knows(*twin))
        .flat_map(|twin| {
            let live = space.world.state.read(twin);
            let retained = live.conditions.iter().filter(|condition| condition.retain());
            retained.filter_map(|condition| condition.last().cloned()).collect::<Vec<_>>()
        })
        .chain(own)
        .collect();
    let found = listeners.refresh(space, (subscription, item), [&start, &end], &conditions);
    if found || item.is_none() { StatusCode::Good } else { StatusCode::BadMonitoredItemIdInvalid }
}
