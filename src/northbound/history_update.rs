//! HistoryUpdate (OPC 10000-11 §6.9): values and annotations of variables, by Engineers. A value that cannot be taken has its
//! own result and keeps no other from being taken; Good is answered only when it is durable.
//!
//! Where the specification leaves a choice:
//! - of a range, start is included and end not; equal ones mean that instant; an end before the start is refused;
//! - an annotation without user or time gets the session's user and the present;
//! - what twins compute (Simulated, Residual, parameters, derived variables) is not edited.

use std::sync::Arc;

use opcua::{
    server::node_manager::{HistoryUpdateDetails, HistoryUpdateNode},
    types::{
        Annotation as UaAnnotation, DataValue, DeleteAtTimeDetails, DeleteRawModifiedDetails, NodeId,
        PerformUpdateType, StatusCode, UpdateDataDetails, UpdateStructureDataDetails, Variant,
    },
};
use tracing::error;

use super::{
    Role,
    address_space::{AddressSpace, Live, Node, Owner, Part, Property},
    audit::{HistoryChange, HistoryUpdated, Trail},
    users::User,
    values::fitting,
};
use crate::{
    history::{Annotation, AnnotationEdit, EditKind, Editor, HistoryError, HistoryStore},
    sample::{Sample, SeriesId, TwinId},
    time::Timestamp,
    twin::DataType,
    ua,
};

/// What a node's update came to.
struct Outcome {
    status: StatusCode,
    /// One per value or time.
    results: Option<Vec<StatusCode>>,
    changed: u64,
}

impl Outcome {
    fn each(results: Vec<StatusCode>) -> Self {
        let changed = results.iter().filter(|result| result.is_good()).count() as u64;
        Self { status: StatusCode::Good, results: Some(results), changed }
    }
}

/// A variable whose history may be changed.
#[derive(Clone, Copy, Debug)]
struct Target {
    series: SeriesId,
    /// What a value must be, and whether an array of it.
    kind: (DataType, bool),
    /// The node is the variable's `Annotations`.
    is_annotations: bool,
}

/// Answers each node in order. The store is written where that may block.
pub(super) async fn update(
    space: &AddressSpace,
    (user, name): (&User, &str),
    nodes: &mut [&mut HistoryUpdateNode],
) -> Result<(), StatusCode> {
    let by = Editor { user: name.into(), at: space.world.clock.now() };
    for node in nodes {
        let details = node.details().clone();
        let target = target(space, user, details.node_id());
        let (store, by, trail) = (Arc::clone(&space.world.history), by.clone(), Trail::of(space));
        let work = tokio::task::spawn_blocking(move || {
            let outcome = target.and_then(|target| change(&*store, &target, &details, &by));
            audit(&trail, &details, &by.user, &outcome);
            outcome
        });
        match work.await.map_err(|_| StatusCode::BadInternalError)? {
            Ok(outcome) => {
                node.set_status(outcome.status);
                node.set_operation_results(outcome.results);
            }
            Err(status) => node.set_status(status),
        }
    }
    Ok(())
}

fn target(space: &AddressSpace, user: &User, id: &NodeId) -> Result<Target, StatusCode> {
    let node = space.visible(user, id).ok_or(StatusCode::BadNodeIdUnknown)?;
    let (owner, live, is_annotations) = match node {
        Node::Part(owner, Part::Live(live)) => (owner, live, false),
        Node::Part(owner, Part::Property(live, Property::Annotations)) => (owner, live, true),
        _ => return Err(StatusCode::BadHistoryOperationUnsupported),
    };
    let (Owner::Twin(t), Live::Variable(v)) = (owner, live) else {
        return Err(StatusCode::BadHistoryOperationUnsupported);
    };
    if !space.historized(TwinId(t), live) {
        return Err(StatusCode::BadHistoryOperationUnsupported);
    }
    let variable = &space.twin_type(owner).variables[v as usize];
    if variable.derived.is_some() && !is_annotations {
        return Err(StatusCode::BadHistoryOperationUnsupported);
    }
    if !user.may(Role::Engineer) {
        return Err(StatusCode::BadUserAccessDenied);
    }
    let kind = (variable.data_type, variable.array);
    Ok(Target { series: space.configured().series(TwinId(t), live.facet()), kind, is_annotations })
}

fn change(
    store: &dyn HistoryStore,
    target: &Target,
    details: &HistoryUpdateDetails,
    by: &Editor,
) -> Result<Outcome, StatusCode> {
    match (details, target.is_annotations) {
        (HistoryUpdateDetails::UpdateData(details), false) => update_data(store, target, details, by),
        (HistoryUpdateDetails::DeleteRawModified(details), false) => delete_range(store, target, details, by),
        (HistoryUpdateDetails::DeleteAtTime(details), false) => delete_at(store, target, details, by),
        (HistoryUpdateDetails::UpdateStructureData(details), _) => update_annotations(store, target, details, by),
        _ => Err(StatusCode::BadHistoryOperationUnsupported),
    }
}

fn update_data(
    store: &dyn HistoryStore,
    target: &Target,
    details: &UpdateDataDetails,
    by: &Editor,
) -> Result<Outcome, StatusCode> {
    let kind = match details.perform_insert_replace {
        PerformUpdateType::Insert => EditKind::Insert,
        PerformUpdateType::Replace => EditKind::Replace,
        PerformUpdateType::Update => EditKind::Update,
        PerformUpdateType::Remove => return Err(StatusCode::BadHistoryOperationInvalid),
    };
    let values = given(details.update_values.as_deref())?;
    let checked: Vec<_> = values.iter().map(|value| sample(value, target.kind, by.at)).collect();
    let results = of_those_taken(checked, |samples| store.edit(target.series, kind, samples, by))?;
    Ok(Outcome::each(results))
}

/// A value as it would be stored.
fn sample(given: &DataValue, (data_type, array): (DataType, bool), now: Timestamp) -> Result<Sample, StatusCode> {
    let source_timestamp = given.source_timestamp.map_or(Timestamp::NULL, ua::timestamp);
    check_time(source_timestamp)?;
    let (value, status) = fitting(given, data_type, array)?;
    let server_timestamp = given.server_timestamp.map(ua::timestamp).filter(|time| !time.is_null()).unwrap_or(now);
    Ok(Sample { source_timestamp, server_timestamp, status, value })
}

/// An instant at which a value can stand: one that was given, and before the wire's end of time.
fn check_time(time: Timestamp) -> Result<(), StatusCode> {
    let is_end = ua::date_time(time) == ua::date_time(Timestamp::MAX);
    if time.ticks() <= 0 || is_end { Err(StatusCode::BadInvalidTimestamp) } else { Ok(()) }
}

fn delete_range(
    store: &dyn HistoryStore,
    target: &Target,
    details: &DeleteRawModifiedDetails,
    by: &Editor,
) -> Result<Outcome, StatusCode> {
    let (start, end) = (ua::timestamp(details.start_time), ua::timestamp(details.end_time));
    if start.is_null() || end.is_null() || start > end {
        return Err(StatusCode::BadInvalidTimestampArgument);
    }
    let times = start..end.max(Timestamp::from_ticks(start.ticks().saturating_add(1)));
    let deleted = match details.is_delete_modified {
        true => store.delete_modified(target.series, times),
        false => store.delete_raw(target.series, times, by),
    };
    match deleted.map_err(|cause| failed(&cause))? {
        0 => Err(StatusCode::BadNoData),
        changed => Ok(Outcome { status: StatusCode::Good, results: None, changed }),
    }
}

fn delete_at(
    store: &dyn HistoryStore,
    target: &Target,
    details: &DeleteAtTimeDetails,
    by: &Editor,
) -> Result<Outcome, StatusCode> {
    let times = given(details.req_times.as_deref())?.iter().map(|time| ua::timestamp(*time));
    let checked = times.map(|time| check_time(time).map(|()| time)).collect();
    let results = of_those_taken(checked, |times| store.delete_at(target.series, times, by))?;
    Ok(Outcome::each(results))
}

fn update_annotations(
    store: &dyn HistoryStore,
    target: &Target,
    details: &UpdateStructureDataDetails,
    by: &Editor,
) -> Result<Outcome, StatusCode> {
    let kind = match details.perform_insert_replace {
        PerformUpdateType::Insert => AnnotationEdit::Insert,
        PerformUpdateType::Replace => AnnotationEdit::Replace,
        PerformUpdateType::Update => AnnotationEdit::Update,
        PerformUpdateType::Remove => AnnotationEdit::Remove,
    };
    let checked = given(details.update_values.as_deref())?.iter().map(|value| annotation(value, by)).collect();
    let results = of_those_taken(checked, |annotations| store.annotate(target.series, kind, annotations))?;
    Ok(Outcome::each(results))
}

fn annotation(given: &DataValue, by: &Editor) -> Result<Annotation, StatusCode> {
    let at = given.source_timestamp.map_or(Timestamp::NULL, ua::timestamp);
    check_time(at)?;
    let Some(Variant::ExtensionObject(object)) = &given.value else { return Err(StatusCode::BadTypeMismatch) };
    let said = object.inner_as::<UaAnnotation>().ok_or(StatusCode::BadTypeMismatch)?;
    let user = match said.user_name.as_ref() {
        "" => Arc::clone(&by.user),
        user => user.into(),
    };
    let time = Some(ua::timestamp(said.annotation_time)).filter(|time| !time.is_null()).unwrap_or(by.at);
    Ok(Annotation { at, message: said.message.as_ref().into(), user, time, is_lost: false })
}

fn given<T>(list: Option<&[T]>) -> Result<&[T], StatusCode> {
    list.filter(|list| !list.is_empty()).ok_or(StatusCode::BadNothingToDo)
}

/// Hands what could be taken to the store; each thing keeps its place among the results.
fn of_those_taken<T>(
    checked: Vec<Result<T, StatusCode>>,
    edit: impl FnOnce(&[T]) -> Result<Vec<StatusCode>, HistoryError>,
) -> Result<Vec<StatusCode>, StatusCode> {
    let mut results: Vec<StatusCode> =
        checked.iter().map(|one| one.as_ref().map_or_else(|status| *status, |_| StatusCode::Good)).collect();
    let taken: Vec<T> = checked.into_iter().flatten().collect();
    let mut stored = edit(&taken).map_err(|cause| failed(&cause))?.into_iter();
    for result in results.iter_mut().filter(|result| result.is_good()) {
        *result = stored.next().unwrap_or(StatusCode::BadInternalError);
    }
    Ok(results)
}

fn failed(cause: &HistoryError) -> StatusCode {
    error!(%cause, "history could not be changed");
    match cause {
        HistoryError::DiskFull { .. } => StatusCode::BadResourceUnavailable,
        HistoryError::Unsupported { .. } => StatusCode::BadHistoryOperationUnsupported,
        // The history is defined, and its source cannot be reached (OPC 10000-4 §7.38).
        HistoryError::Away(_) => StatusCode::BadNoCommunication,
        _ => StatusCode::BadInternalError,
    }
}

fn audit(trail: &Trail, details: &HistoryUpdateDetails, user: &str, outcome: &Result<Outcome, StatusCode>) {
    let kind = match details {
        HistoryUpdateDetails::UpdateData(details) => match details.perform_insert_replace {
            PerformUpdateType::Insert => HistoryChange::Insert,
            PerformUpdateType::Replace => HistoryChange::Replace,
            PerformUpdateType::Update => HistoryChange::Update,
            PerformUpdateType::Remove => HistoryChange::Remove,
        },
        HistoryUpdateDetails::UpdateStructureData(_) => HistoryChange::Annotations,
        HistoryUpdateDetails::DeleteRawModified(details) if details.is_delete_modified => HistoryChange::DeleteModified,
        HistoryUpdateDetails::DeleteRawModified(_) => HistoryChange::DeleteRange,
        HistoryUpdateDetails::DeleteAtTime(_) => HistoryChange::DeleteAtTimes,
        HistoryUpdateDetails::UpdateEvent(_) | HistoryUpdateDetails::DeleteEvent(_) => HistoryChange::Events,
    };
    let (status, changed, asked) = match outcome {
        Ok(outcome) => (outcome.status, outcome.changed, outcome.results.as_ref().map_or(0, Vec::len) as u64),
        Err(status) => (*status, 0, 0),
    };
    let refused = asked.saturating_sub(changed);
    trail.history_updated(&HistoryUpdated { kind, node: details.node_id(), user, status, changed, refused });
}
