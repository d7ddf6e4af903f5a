//! Methods of a twin: arguments → [`Jobs`](crate::jobs::Jobs) → outputs. What is wrong with a call is said by the StatusCode
//! of the information model's table and, where it is an argument, by InputArgumentResults.

use std::{sync::Arc, time::Duration};

use opcua::{
    server::node_manager::{MethodCall, RequestContext},
    types::{LocalizedText, NodeId, StatusCode, Variant},
};
use tracing::{debug, error, info};

use super::{
    Role, access,
    address_space::{AddressSpace, Method, Node, Owner, Part},
    arguments::Arguments,
    audit::Trail,
    events, ids,
    quota::Quota,
    users::User,
};
use crate::{
    jobs::{CallError, Caller, Goal, Question},
    model::InputSource,
    sample::TwinId,
    twin::TwinType,
    ua,
};

/// Longest wait of `Fit`.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Why a call is not done.
pub(super) enum Refusal {
    Status(StatusCode),
    /// Per argument; Good where nothing is wrong with it.
    Arguments(Vec<StatusCode>),
}

type Outputs = Result<Vec<Variant>, Refusal>;

/// Answers a call where there is room among those at work.
pub(super) async fn call_if_free(
    (space, quota): (&AddressSpace, &Quota),
    context: &RequestContext,
    user: &User,
    asked: &mut MethodCall,
) {
    match quota.call() {
        Some(_place) => call(space, context, user, asked).await,
        None => asked.set_status(StatusCode::BadResourceUnavailable),
    }
}

/// Answers a call on one of our objects; by the instance's MethodId or the type's.
async fn call(space: &AddressSpace, context: &RequestContext, user: &User, call: &mut MethodCall) {
    if let Some(status) = events::call(space, context, user, call).await {
        return call.set_status(status);
    }
    let (twin, method) = match target((space, user), call.object_id(), call.method_id()) {
        Ok(target) => target,
        Err(status) => return call.set_status(status),
    };
    let name = method.def().name;
    if !user.may(access::role_for(method.def().id)) {
        info!(method = name, twin = %space.configured().twin(twin).name, session = context.session_id, roles = ?user.roles, "call refused");
        call.set_status(StatusCode::BadUserAccessDenied);
        return Trail::of(space).called(context.token.0.as_str(), call, name, StatusCode::BadUserAccessDenied).await;
    }
    match call.arguments().len().cmp(&method.def().inputs.len()) {
        std::cmp::Ordering::Less => return call.set_status(StatusCode::BadArgumentsMissing),
        std::cmp::Ordering::Greater => return call.set_status(StatusCode::BadTooManyArguments),
        std::cmp::Ordering::Equal => {}
    }
    let (name_of_user, id) = (context.token.0.as_str(), method.def().id);
    let by = Caller { user: name_of_user, is_engineer: user.may(Role::Engineer) };
    match answer(space, twin, by, method, call.arguments()).await {
        Ok(outputs) => {
            call.set_outputs(outputs);
            call.set_status(StatusCode::Good);
        }
        Err(Refusal::Status(status)) => call.set_status(status),
        Err(Refusal::Arguments(results)) => call.set_argument_error(results),
    }
    if changes_something(id) {
        Trail::of(space).called(name_of_user, call, name, call.status()).await;
    }
}

/// Whether a method does more than compute an answer: that belongs into the audit trail.
const fn changes_something(method: u32) -> bool {
    !matches!(method, ids::METHOD_SIMULATE | ids::METHOD_PREDICT | ids::METHOD_CORRELATE)
}

/// Which method of which twin is meant.
fn target(
    (space, user): (&AddressSpace, &User),
    object: &NodeId,
    method: &NodeId,
) -> Result<(TwinId, Method), StatusCode> {
    let object = space.visible(user, object).ok_or(StatusCode::BadNodeIdUnknown)?;
    let (Node::Owner(owner @ Owner::Twin(t)) | Node::Part(owner @ Owner::Twin(t), _)) = object else {
        return Err(StatusCode::BadMethodInvalid);
    };
    let of_type = |id: u32| Method::with_id(id).ok_or(StatusCode::BadMethodInvalid);
    let wanted = match (space.parse(method), ids::numeric(method)) {
        (Some(Node::Part(_, Part::Method(wanted))), _) => wanted,
        (None, Some(id)) if method.namespace == space.namespaces.types => of_type(id)?,
        (None, Some(ids::IA_RESET_STATISTICS)) if method.namespace == space.namespaces.ia => {
            of_type(ids::METHOD_RESET_STATISTICS)?
        }
        (None, Some(id)) if method.namespace == 0 => of_type(ids::of_program(id).ok_or(StatusCode::BadMethodInvalid)?)?,
        _ => return Err(StatusCode::BadMethodInvalid),
    };
    // The object must have it; an instance's MethodId must be its own.
    let own = Node::Part(owner, Part::Method(wanted));
    let has_it =
        space.parent(own) == Some(object) && (0..).map_while(|i| space.child(object, i)).any(|child| child == own);
    let is_own = method.namespace != space.namespaces.twins || space.parse(method) == Some(own);
    if has_it && is_own { Ok((TwinId(t), wanted)) } else { Err(StatusCode::BadMethodInvalid) }
}

async fn answer(space: &AddressSpace, twin: TwinId, by: Caller<'_>, method: Method, arguments: &[Variant]) -> Outputs {
    if let Some(ask) = method.program_call() {
        return space.world.jobs.program(twin, ask, by).await.map(|()| Vec::new()).map_err(|error| refusal(error, 0));
    }
    let arguments = Arguments { given: arguments, results: vec![StatusCode::Good; arguments.len()] };
    match method.def().id {
        ids::METHOD_FIT => fit(space, (twin, by), arguments).await,
        ids::METHOD_SIMULATE => simulate(space, twin, arguments).await,
        ids::METHOD_SET_PARAMETERS => set_parameters(space, (twin, by.user), arguments).await,
        ids::METHOD_ACTIVATE_REVISION => activate_revision(space, (twin, by.user), arguments).await,
        ids::METHOD_PREDICT => predict(space, twin, arguments).await,
        ids::METHOD_OPTIMIZE_SETPOINTS => optimize_setpoints(space, (twin, by), arguments).await,
        ids::METHOD_CORRELATE => correlate(space, twin, arguments).await,
        ids::METHOD_CANCEL_FIT => {
            space.world.jobs.cancel_fit(twin);
            Ok(Vec::new())
        }
        ids::METHOD_RESET_STATISTICS => {
            space.world.jobs.reset_statistics(twin).await.map_err(|error| refusal(error, 0))?;
            Ok(Vec::new())
        }
        _ => Err(Refusal::Status(StatusCode::BadNotImplemented)),
    }
}

async fn fit(space: &AddressSpace, (twin, by): (TwinId, Caller<'_>), mut arguments: Arguments<'_>) -> Outputs {
    let twin_type = space.configured().type_of(twin);
    let times = arguments.times(0, 1);
    let parameters = arguments.names(2, |name| parameter(twin_type, name));
    let wait = arguments.number(3);
    arguments.check()?;
    // NaN and negative are not waited for.
    let wait = Duration::try_from_secs_f64(wait.max(0.0) * 1e-3).unwrap_or(WAIT_MAX).min(WAIT_MAX);
    let outcome = space.world.jobs.fit(twin, times, parameters, wait, by).await.map_err(|error| refusal(error, 4))?;
    let report = outcome.report.as_deref();
    let numbers =
        |figures: fn(&crate::fit::FitReport) -> &Vec<f64>| doubles(report.map_or(&[][..], |report| figures(report)));
    Ok(vec![
        outcome.state.as_str().into(),
        outcome.revision.into(),
        strings(report.map_or(&[][..], |report| &report.names)),
        numbers(|report| &report.values),
        numbers(|report| &report.standard_errors),
        numbers(|report| &report.lower95),
        numbers(|report| &report.upper95),
        report.map_or(f64::NAN, |report| report.rmse).into(),
        report.map_or(f64::NAN, |report| report.r_squared).into(),
        report.map_or(0, |report| u32::try_from(report.iterations).unwrap_or(u32::MAX)).into(),
        LocalizedText::new("en", &outcome.message).into(),
    ])
}

async fn simulate(space: &AddressSpace, twin: TwinId, mut arguments: Arguments<'_>) -> Outputs {
    let twin_type = space.configured().type_of(twin);
    let times = arguments.times(0, 1);
    let output = arguments.name(2, |name| output(twin_type, name));
    let parameters = arguments.pairs(3, 4, twin_type);
    arguments.check()?;
    let (times, values) =
        space.world.jobs.simulate(twin, times, output, parameters).await.map_err(|error| refusal(error, 5))?;
    let times: Vec<_> = times.into_iter().map(ua::date_time).collect();
    Ok(vec![times.into(), doubles(&values)])
}

async fn predict(space: &AddressSpace, twin: TwinId, mut arguments: Arguments<'_>) -> Outputs {
    let twin_type = space.configured().type_of(twin);
    let (horizon, step) = (arguments.duration(0), arguments.duration(1));
    let output = arguments.name(2, |name| output(twin_type, name));
    let inputs = arguments.names(3, |name| input(twin_type, name));
    let values = arguments.numbers(4, inputs.len());
    arguments.check()?;
    let question = Question { horizon, step, output, inputs: inputs.into_iter().zip(values).collect() };
    let found = space.world.jobs.predict(twin, question).await.map_err(|error| refusal(error, 5))?;
    let times: Vec<_> = found.times.into_iter().map(ua::date_time).collect();
    Ok(vec![times.into(), doubles(&found.values), doubles(&found.lower95), doubles(&found.upper95)])
}

async fn optimize_setpoints(
    space: &AddressSpace,
    (twin, by): (TwinId, Caller<'_>),
    mut arguments: Arguments<'_>,
) -> Outputs {
    let twin_type = space.configured().type_of(twin);
    let output = arguments.name(0, |name| output(twin_type, name));
    let (target, horizon) = (arguments.finite(1), arguments.duration(2));
    if horizon.is_zero() {
        arguments.wrong(2, StatusCode::BadOutOfRange);
    }
    let apply = arguments.flag(3);
    arguments.check()?;
    if apply && !by.is_engineer {
        info!(user = by.user, twin = %space.configured().twin(twin).name, "OptimizeSetpoints with Apply refused");
        return Err(Refusal::Status(StatusCode::BadUserAccessDenied));
    }
    let goal = Goal { output, target, horizon };
    let found = space.world.jobs.optimize(twin, goal, apply, by.user).await.map_err(|error| refusal(error, 4))?;
    let inputs = twin_type.model.as_ref().map_or(&[][..], |model| model.model.inputs());
    let names: Vec<String> = found.inputs.iter().map(|input| inputs[*input].name.clone()).collect();
    Ok(vec![
        strings(&names),
        doubles(&found.values),
        found.predicted.into(),
        found.cost.into(),
        found.applied.into(),
        LocalizedText::new("en", &found.message).into(),
    ])
}

async fn set_parameters(space: &AddressSpace, (twin, by): (TwinId, &str), mut arguments: Arguments<'_>) -> Outputs {
    let twin_type = space.configured().type_of(twin);
    let parameters = arguments.pairs(0, 1, twin_type);
    if parameters.is_empty() {
        arguments.wrong(0, StatusCode::BadInvalidArgument); // nothing to set
    }
    arguments.check()?;
    let revision = space.world.jobs.set_parameters(twin, parameters, by).await.map_err(|error| refusal(error, 2))?;
    Ok(vec![revision.into()])
}

async fn activate_revision(space: &AddressSpace, (twin, by): (TwinId, &str), mut arguments: Arguments<'_>) -> Outputs {
    let number = arguments.number(0);
    let revision = (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32);
    if revision.is_none() {
        arguments.wrong(0, StatusCode::BadInvalidArgument);
    }
    arguments.check()?;
    let revision = revision.unwrap_or_default();
    space.world.jobs.activate(twin, revision, by).await.map_err(|error| refusal(error, 1))?;
    Ok(Vec::new())
}

async fn correlate(space: &AddressSpace, twin: TwinId, mut arguments: Arguments<'_>) -> Outputs {
    let twin_type = space.configured().type_of(twin);
    let times = arguments.times(0, 1);
    let mut variables = arguments.names(2, |name| numeric(twin_type, name));
    arguments.check()?;
    if variables.is_empty() {
        variables = (0..twin_type.variables.len()).filter(|v| twin_type.variables[*v].is_numeric()).collect();
    }
    let names: Vec<String> = variables.iter().map(|v| twin_type.variables[*v].name.clone()).collect();
    let found = space.world.jobs.correlate(twin, times, variables).await.map_err(|error| refusal(error, 3))?;
    Ok(vec![strings(&names), doubles(&found.coefficients), doubles(&found.p_values), found.counts.into()])
}

pub(super) fn parameter(twin_type: &TwinType, name: &str) -> Option<usize> {
    twin_type.model.as_ref()?.model.parameters().iter().position(|parameter| parameter.name == name)
}

fn output(twin_type: &TwinType, name: &str) -> Option<usize> {
    let model = twin_type.model.as_ref()?;
    model.outputs.iter().position(|v| twin_type.variables[*v].name == name)
}

/// By its name in the equations, or by its variable's, as `Model/Inputs` shows it.
fn input(twin_type: &TwinType, name: &str) -> Option<usize> {
    let inputs = twin_type.model.as_ref()?.model.inputs();
    let named = |of: fn(&InputSource) -> &String| inputs.iter().position(|input| of(input) == name);
    named(|input| &input.name).or_else(|| named(|input| &input.variable))
}

fn numeric(twin_type: &TwinType, name: &str) -> Option<usize> {
    twin_type.variables.iter().position(|variable| variable.name == name && variable.is_numeric())
}

/// The StatusCode of the information model's table.
fn refusal(error: CallError, arguments: usize) -> Refusal {
    debug!(%error, "call refused");
    match error {
        CallError::InvalidArgument { arguments: wrong, .. } => {
            let result = |i| if wrong.contains(&i) { StatusCode::BadInvalidArgument } else { StatusCode::Good };
            Refusal::Arguments((0..arguments).map(result).collect())
        }
        CallError::NoData(_) => Refusal::Status(StatusCode::BadNoData),
        CallError::Unavailable(_) => Refusal::Status(StatusCode::BadResourceUnavailable),
        CallError::InvalidState(_) => Refusal::Status(StatusCode::BadInvalidState),
        CallError::TooLarge(_) => Refusal::Status(StatusCode::BadResponseTooLarge),
        CallError::Internal(message) => {
            error!(message, "a call failed");
            Refusal::Status(StatusCode::BadInternalError)
        }
    }
}

fn doubles(values: &[f64]) -> Variant {
    values.to_vec().into()
}

fn strings(values: &[String]) -> Variant {
    values.to_vec().into()
}

/// Ours to answer whoever owns the MethodId: a call on an object of the twins' namespace.
pub(super) fn is_ours(space: &Arc<AddressSpace>, call: &MethodCall) -> bool {
    call.object_id().namespace == space.namespaces.twins
}
