//! Read and Write over the address space: what the library leaves to a manager of its own (timestamps, index ranges,
//! encodings, access).

use std::sync::Arc;

use opcua::{
    nodes::AccessLevel,
    server::node_manager::{ParsedReadValueId, ParsedWriteValue},
    types::{AttributeId, DataEncoding, DataValue, NumericRange, StatusCode, Variant},
};

use tracing::error;

use super::{
    address_space::{AddressSpace, Extents, Live, Node, Owner, Part, standard},
    audit::Trail,
    range,
    users::User,
};
use crate::{
    sample::{Sample, TwinId, Value},
    twin::DataType,
    ua,
};

/// What the store must be asked for before these nodes can be read.
pub(super) async fn extents(space: &AddressSpace, nodes: impl Iterator<Item = Node>) -> Extents {
    let series: Vec<_> = nodes.filter_map(|node| space.needs_extent(node)).collect();
    if series.is_empty() {
        return Extents::new();
    }
    let store = Arc::clone(&space.world.history);
    let found = tokio::task::spawn_blocking(move || {
        series.into_iter().filter_map(|series| Some((series, store.extent(series).ok()?))).collect()
    });
    found.await.unwrap_or_default()
}

/// One attribute, with both timestamps where it is a value.
pub(super) fn read(
    space: &AddressSpace,
    user: &User,
    wanted: &ParsedReadValueId,
    extents: &Extents,
) -> Result<DataValue, StatusCode> {
    let node = space.visible(user, &wanted.node_id).ok_or(StatusCode::BadNodeIdUnknown)?;
    let is_plain = matches!(wanted.data_encoding, DataEncoding::Binary);
    if wanted.attribute_id != AttributeId::Value {
        let value = space.attribute(user, node, wanted.attribute_id)?;
        if !is_plain {
            return Err(StatusCode::BadDataEncodingInvalid);
        }
        let value = range::part(value, &wanted.index_range)?;
        return Ok(DataValue { value: Some(value), status: Some(StatusCode::Good), ..DataValue::default() });
    }
    if !space.is_variable(node) {
        return Err(StatusCode::BadAttributeIdInvalid);
    }
    if !is_plain {
        return Err(StatusCode::BadDataEncodingUnsupported);
    }
    if !space.user_access_level(user, node).contains(AccessLevel::CURRENT_READ) {
        return Err(StatusCode::BadUserAccessDenied);
    }
    let mut value = space.value(node, space.world.clock.now(), extents);
    value.value = Some(range::part(value.value.unwrap_or_default(), &wanted.index_range)?);
    Ok(value)
}

/// What a monitored item begins with: whole, for the library cuts whatever it is given.
pub(super) fn to_monitor(
    space: &AddressSpace,
    user: &User,
    wanted: &ParsedReadValueId,
    extents: &Extents,
) -> Result<DataValue, StatusCode> {
    let node = space.visible(user, &wanted.node_id).ok_or(StatusCode::BadNodeIdUnknown)?;
    let is_array = wanted.attribute_id == AttributeId::Value && space.data_type(node).1 == 1;
    if !range::is_safe_to_monitor(&wanted.index_range, is_array) {
        return Err(StatusCode::BadIndexRangeNoData);
    }
    read(space, user, &ParsedReadValueId { index_range: NumericRange::None, ..wanted.clone() }, extents)
}

/// A client's write: into an internal variable, or through to the PLC, whose answer it is then.
pub(super) async fn write(space: &AddressSpace, (user, name): (&User, &str), write: &ParsedWriteValue) -> StatusCode {
    let old = match space.parse(&write.node_id) {
        Some(Node::Part(Owner::Twin(t), Part::Live(live))) => space.world.state.sample(TwinId(t), live.facet()).value,
        _ => Value::Null,
    };
    let new = write.value.value.as_ref().and_then(ua::value).unwrap_or_default();
    let status = take(space, user, write).await;
    Trail::of(space).written(name, &write.node_id, (old, new), status).await;
    status
}

async fn take(space: &AddressSpace, user: &User, write: &ParsedWriteValue) -> StatusCode {
    let (twin, variable, sample) = match check_write(space, user, write) {
        Ok(checked) => checked,
        Err(status) => return status,
    };
    if space.configured().twin(twin).sources[variable].is_some() {
        return space.world.jobs.write_through(twin, variable, sample.value).await;
    }
    match space.world.jobs.write_internal(twin, variable, sample).await {
        Ok(()) => StatusCode::Good,
        Err(error) => {
            error!(%error, "a write failed");
            StatusCode::BadInternalError
        }
    }
}

/// What a write is, checked: the twin, its variable and the sample to be.
fn check_write(
    space: &AddressSpace,
    user: &User,
    write: &ParsedWriteValue,
) -> Result<(TwinId, usize, Sample), StatusCode> {
    let node = space.visible(user, &write.node_id).ok_or(StatusCode::BadNodeIdUnknown)?;
    if write.attribute_id != AttributeId::Value {
        space.attribute(user, node, write.attribute_id)?;
        return Err(StatusCode::BadNotWritable);
    }
    if !space.is_variable(node) {
        return Err(StatusCode::BadAttributeIdInvalid);
    }
    let given = &write.value;
    let Node::Part(owner @ Owner::Twin(t), Part::Live(Live::Variable(v))) = node else {
        return Err(StatusCode::BadNotWritable);
    };
    let level = space.access_level(node);
    let more_than_a_value = given.status.is_some_and(|status| status != StatusCode::Good)
        || given.source_timestamp.is_some()
        || given.server_timestamp.is_some();
    if more_than_a_value && !level.contains(AccessLevel::STATUS_WRITE) {
        return Err(StatusCode::BadWriteNotSupported);
    }
    if !level.contains(AccessLevel::CURRENT_WRITE) {
        return Err(StatusCode::BadNotWritable);
    }
    if !space.user_access_level(user, node).contains(AccessLevel::CURRENT_WRITE) {
        return Err(StatusCode::BadUserAccessDenied);
    }
    if write.index_range != NumericRange::None {
        return Err(StatusCode::BadIndexRangeInvalid);
    }
    let variable = &space.twin_type(owner).variables[v as usize];
    let (value, status) = fitting(given, variable.data_type, variable.array)?;
    let now = space.world.clock.now();
    let source_timestamp = given.source_timestamp.map(ua::timestamp).filter(|time| !time.is_null()).unwrap_or(now);
    Ok((TwinId(t), v as usize, Sample { source_timestamp, server_timestamp: now, status, value }))
}

/// Value and status that a client gives, for the present or for history: of the variable's type (an `array` of it or one),
/// and none only where the status is Bad.
pub(super) fn fitting(given: &DataValue, data_type: DataType, array: bool) -> Result<(Value, StatusCode), StatusCode> {
    let value = ua::value(given.value.as_ref().unwrap_or(&Variant::Empty)).ok_or(StatusCode::BadTypeMismatch)?;
    let status = given.status.unwrap_or(StatusCode::Good);
    let fits = match value {
        Value::Null => status.is_bad(),
        _ => ua::data_type_of(&value) == Some(standard(data_type)) && matches!(value, Value::Array(_)) == array,
    };
    if fits { Ok((value, status)) } else { Err(StatusCode::BadTypeMismatch) }
}
