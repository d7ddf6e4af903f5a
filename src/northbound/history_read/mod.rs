//! HistoryRead (OPC 10000-11 §6.5) of values and events. A request for one node becomes a [`Cursor`], a cursor gives pages and where to go on.
//! Reading the store blocks: that is done where it is allowed, one page per node of a request; it is encoded there too.
//!
//! Where the specification leaves a choice:
//! - a continuation point is good once, for its node and its details only; the session's oldest goes when there are too many;
//! - a read beyond now goes on with the model's forecast only where the config has it so, and both times are given;
//! - a value too short for an IndexRange is null with Bad_IndexRangeNoData, and the rest of the read goes on; where no value
//!   can have such a range (a number has none), the whole read is Bad_IndexRangeNoData;
//! - a processed read has Source timestamps only (OPC 10000-13 §5.4.3.1), others are Bad_TimestampsToReturnInvalid;
//! - DataEncoding: `Default Binary` only; the other standard ones are Bad_DataEncodingUnsupported, others Invalid.

mod annotations;
mod answer;
mod at_time;
mod encoded;
mod events;
mod extra;
mod modified;
mod places;
mod points;
mod processed;
mod raw;

use std::sync::Arc;

use opcua::{
    server::node_manager::{HistoryNode, RequestContext},
    types::{
        DataValue, HistoryEventFieldList, ReadAnnotationDataDetails, ReadAtTimeDetails, ReadProcessedDetails,
        ReadRawModifiedDetails, StatusCode, TimestampsToReturn,
    },
};
use tracing::error;

pub(super) use events::{EVENTS_MAX, events};
pub(super) use places::Places;
pub(super) use points::Points;

use answer::{Answer, Form};

use super::{
    address_space::{AddressSpace, Live, Node, Owner, Part, Property},
    aggregates, range,
    users::User,
};
use crate::{
    aggregate::Configuration,
    background::in_background,
    history::{HistoryError, HistoryStore, Modified},
    jobs::Forecast,
    sample::{Sample, SeriesId, TwinId},
    time::Timestamp,
    twin::DataType,
    ua,
};

/// Most values in one answer: MaxReturnDataValues.
pub(super) const PAGE: u32 = 10_000;

/// Where a checked request for one node begins or goes on. Equal requests have equal cursors at their beginning.
#[derive(Clone, Debug)]
enum Cursor {
    Raw(raw::Cursor),
    Modified(modified::Cursor),
    AtTime(at_time::Cursor),
    Processed(processed::Cursor),
    Annotations(annotations::Cursor),
    Events(events::Cursor),
}

/// What a page holds.
enum Page {
    Samples(Vec<Sample>),
    Modified(Vec<Modified>),
    /// Values as they are to be sent.
    Values(Vec<DataValue>),
    /// Their fields.
    Events(Vec<HistoryEventFieldList>),
}

impl Cursor {
    /// Whether `self` goes on with what `begin` begins: a continuation point is good for its own request only.
    fn is_of(&self, begin: &Self) -> bool {
        match (self, begin) {
            (Self::Raw(a), Self::Raw(b)) => a.is_of(b),
            (Self::Modified(a), Self::Modified(b)) => a.is_of(b),
            (Self::AtTime(a), Self::AtTime(b)) => a.is_of(b),
            (Self::Processed(a), Self::Processed(b)) => a.is_of(b),
            (Self::Annotations(a), Self::Annotations(b)) => a.is_of(b),
            (Self::Events(a), Self::Events(b)) => a.is_of(b),
            _ => false,
        }
    }

    /// The next page of at most `limit` values, and where to go on. Of events it has no more than `len_max` bytes.
    fn page(
        self,
        store: &dyn HistoryStore,
        limit: usize,
        len_max: usize,
    ) -> Result<(Page, Option<Self>), HistoryError> {
        Ok(match self {
            Self::Raw(cursor) => {
                let (samples, next) = cursor.page(store, limit)?;
                (Page::Samples(samples), next.map(Self::Raw))
            }
            Self::Modified(cursor) => {
                let (records, next) = cursor.page(store, limit)?;
                (Page::Modified(records), next.map(Self::Modified))
            }
            Self::AtTime(cursor) => {
                let (samples, next) = cursor.page(store, limit)?;
                (Page::Samples(samples), next.map(Self::AtTime))
            }
            Self::Processed(cursor) => {
                let (samples, next) = cursor.page(store, limit)?;
                (Page::Samples(samples), next.map(Self::Processed))
            }
            Self::Annotations(cursor) => {
                let (values, next) = cursor.page(store, limit)?;
                (Page::Values(values), next.map(Self::Annotations))
            }
            Self::Events(cursor) => {
                let (events, next) = cursor.page(store, (limit, len_max))?;
                (Page::Events(events), next.map(Self::Events))
            }
        })
    }
}

impl Page {
    fn len(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.len(),
            Self::Modified(records) => records.len(),
            Self::Values(values) => values.len(),
            Self::Events(events) => events.len(),
        }
    }
}

/// The history of one node.
#[derive(Clone, Copy)]
struct Historian<'a> {
    space: &'a AddressSpace,
    owner: Owner,
    live: Live,
    series: SeriesId,
    /// The node is the `Annotations` of the live one.
    is_annotations: bool,
}

impl<'a> Historian<'a> {
    fn of((space, user): (&'a AddressSpace, &User), node: &HistoryNode) -> Result<Self, StatusCode> {
        let wanted = space.visible(user, node.node_id()).ok_or(StatusCode::BadNodeIdUnknown)?;
        let (owner @ Owner::Twin(t), live, is_annotations) = (match wanted {
            Node::Part(owner, Part::Live(live)) => (owner, live, false),
            Node::Part(owner, Part::Property(live, Property::Annotations)) => (owner, live, true),
            _ => return Err(StatusCode::BadHistoryOperationUnsupported),
        }) else {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        };
        if !space.historized(TwinId(t), live) {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        }
        check_encoding(node)?;
        let historian =
            Self { space, owner, live, series: space.configured().series(TwinId(t), live.facet()), is_annotations };
        let asked = range::dimensions(node.index_range());
        if asked == 0 || historian.has_dimensions(asked) { Ok(historian) } else { Err(StatusCode::BadIndexRangeNoData) }
    }

    /// What the annotations of the node are not: its values.
    fn values(self) -> Result<Self, StatusCode> {
        if self.is_annotations { Err(StatusCode::BadHistoryOperationUnsupported) } else { Ok(self) }
    }

    fn data_type(&self) -> DataType {
        match self.live {
            Live::Variable(v) => self.space.twin_type(self.owner).variables[v as usize].data_type,
            _ => DataType::Double,
        }
    }

    fn is_array(&self) -> bool {
        matches!(self.live, Live::Variable(v) if self.space.twin_type(self.owner).variables[v as usize].array)
    }

    /// An array has its own, a text its characters.
    fn has_dimensions(&self, asked: usize) -> bool {
        let is_text = matches!(self.data_type(), DataType::String | DataType::ByteString);
        let own = usize::from(self.is_array());
        !self.is_annotations && (asked == own || (is_text && asked == own + 1))
    }

    fn stepped(&self) -> bool {
        self.space.stepped(self.owner, self.live)
    }

    fn aggregation(&self) -> Configuration {
        self.space.aggregation(self.owner, self.live)
    }

    /// Specification limits of the process; those of a variable are its Simulated's too.
    fn limits(&self) -> Option<(f64, f64)> {
        match self.live {
            Live::Variable(_) | Live::Simulated(_) => {
                let v = self.space.variable_of(self.owner, self.live)?;
                self.space.twin_type(self.owner).variables[v].limits
            }
            Live::Residual(_) | Live::Parameter(_) | Live::State(_) | Live::Revision => None,
        }
    }
}

fn check_encoding(node: &HistoryNode) -> Result<(), StatusCode> {
    let encoding = node.data_encoding();
    match (encoding.namespace_index, encoding.name.as_ref()) {
        _ if encoding.name.is_null() => Ok(()),
        (0, "" | "Default Binary") => Ok(()),
        (0, "Default XML" | "Default JSON") => Err(StatusCode::BadDataEncodingUnsupported),
        _ => Err(StatusCode::BadDataEncodingInvalid),
    }
}

/// Raw or modified values, or a node's annotations by range.
pub(super) async fn raw_modified(
    space: &AddressSpace,
    points: &Points,
    (context, user): (&RequestContext, &User),
    details: &ReadRawModifiedDetails,
    nodes: &mut [&mut HistoryNode],
    stamps: TimestampsToReturn,
) -> Result<(), StatusCode> {
    check_stamps(stamps)?;
    let forecasts = forecasts((space, user), details, nodes).await;
    let begin = |i: usize, historian: Historian<'_>| {
        Ok(match (historian.is_annotations, details.is_read_modified) {
            (true, true) => return Err(StatusCode::BadHistoryOperationUnsupported),
            (true, false) => Cursor::Annotations(annotations::Cursor::of_range(historian.series, details)?),
            (false, true) => Cursor::Modified(modified::Cursor::new(historian.series, details)?),
            (false, false) => Cursor::Raw(raw::Query::new(historian.series, details)?.begin(forecasts[i].clone())),
        })
    };
    serve((space, user), points, context, nodes, stamps, begin).await
}

/// What follows after now, of each node: where the config has it, for a read of a simulated output with both times given and
/// one of them after now. A read that goes on has it already.
async fn forecasts(
    (space, user): (&AddressSpace, &User),
    details: &ReadRawModifiedDetails,
    nodes: &[&mut HistoryNode],
) -> Vec<Option<Forecast>> {
    let mut forecasts = vec![None; nodes.len()];
    let (start, end) = (ua::timestamp(details.start_time), ua::timestamp(details.end_time));
    let is_given = !details.is_read_modified && !start.is_null() && !end.is_null();
    if !is_given || start.max(end) <= space.world.clock.now() {
        return forecasts;
    }
    for (forecast, node) in forecasts.iter_mut().zip(nodes).filter(|(_, node)| node.continuation_point().is_none()) {
        let historian = Historian::of((space, user), node).and_then(Historian::values);
        if let Ok(Historian { owner: Owner::Twin(t), live: Live::Simulated(output), .. }) = historian {
            *forecast = space.world.jobs.forecast(TwinId(t), output as usize).await;
        }
    }
    forecasts
}

/// Aggregates: one per node of the request.
pub(super) async fn processed(
    space: &AddressSpace,
    (points, places): (&Points, &Places),
    (context, user): (&RequestContext, &User),
    details: &ReadProcessedDetails,
    nodes: &mut [&mut HistoryNode],
    stamps: TimestampsToReturn,
) -> Result<(), StatusCode> {
    if stamps != TimestampsToReturn::Source {
        return Err(StatusCode::BadTimestampsToReturnInvalid);
    }
    let wanted = processed::Wanted::new(details)?;
    let types = space.namespaces.types;
    let asked = details.aggregate_type.as_deref().unwrap_or_default();
    let places = places.of(context, nodes, asked).ok_or(StatusCode::BadAggregateListMismatch)?;
    let asked: Vec<_> = places.iter().map(|place| aggregates::of_node(&asked[*place], types)).collect();
    let begin = |i: usize, historian: Historian<'_>| {
        let aggregate = asked[i].ok_or(StatusCode::BadAggregateNotSupported)?;
        Ok(Cursor::Processed(wanted.cursor(&historian.values()?, aggregate)))
    };
    serve((space, user), points, context, nodes, stamps, begin).await
}

/// Values at given times.
pub(super) async fn at_time(
    space: &AddressSpace,
    points: &Points,
    (context, user): (&RequestContext, &User),
    details: &ReadAtTimeDetails,
    nodes: &mut [&mut HistoryNode],
    stamps: TimestampsToReturn,
) -> Result<(), StatusCode> {
    check_stamps(stamps)?;
    let times = times(details.req_times.as_deref())?;
    let begin = |_: usize, historian: Historian<'_>| {
        let historian = historian.values()?;
        Ok(Cursor::AtTime(at_time::Cursor::new(&historian, Arc::clone(&times), details.use_simple_bounds)))
    };
    serve((space, user), points, context, nodes, stamps, begin).await
}

/// Annotations at given times, of a variable or of its `Annotations`.
pub(super) async fn annotation_data(
    space: &AddressSpace,
    points: &Points,
    (context, user): (&RequestContext, &User),
    details: &ReadAnnotationDataDetails,
    nodes: &mut [&mut HistoryNode],
    stamps: TimestampsToReturn,
) -> Result<(), StatusCode> {
    check_stamps(stamps)?;
    let times = times(details.req_times.as_deref())?;
    let begin = |_: usize, historian: Historian<'_>| {
        Ok(Cursor::Annotations(annotations::Cursor::at_times(historian.series, Arc::clone(&times))))
    };
    serve((space, user), points, context, nodes, stamps, begin).await
}

fn check_stamps(stamps: TimestampsToReturn) -> Result<(), StatusCode> {
    match stamps {
        TimestampsToReturn::Neither | TimestampsToReturn::Invalid => Err(StatusCode::BadTimestampsToReturnInvalid),
        _ => Ok(()),
    }
}

/// The times of a request: at least one, and none of them "not given".
fn times(given: Option<&[opcua::types::DateTime]>) -> Result<Arc<[Timestamp]>, StatusCode> {
    let times: Arc<[Timestamp]> = given.unwrap_or_default().iter().map(|time| ua::timestamp(*time)).collect();
    if times.is_empty() || times.iter().any(|time| time.is_null()) {
        return Err(StatusCode::BadInvalidTimestampArgument);
    }
    Ok(times)
}

/// Answers each node that has a history of values.
async fn serve(
    (space, user): (&AddressSpace, &User),
    points: &Points,
    context: &RequestContext,
    nodes: &mut [&mut HistoryNode],
    stamps: TimestampsToReturn,
    begin: impl Fn(usize, Historian<'_>) -> Result<Cursor, StatusCode>,
) -> Result<(), StatusCode> {
    let begin = |i: usize, node: &HistoryNode| begin(i, Historian::of((space, user), node)?);
    serve_nodes(space, points, context, nodes, stamps, begin).await
}

/// Answers each node: what it may be asked, its next page, where it goes on.
async fn serve_nodes(
    space: &AddressSpace,
    points: &Points,
    context: &RequestContext,
    nodes: &mut [&mut HistoryNode],
    stamps: TimestampsToReturn,
    begin: impl Fn(usize, &HistoryNode) -> Result<Cursor, StatusCode>,
) -> Result<(), StatusCode> {
    let now = space.world.clock.now();
    let cursors: Vec<Result<Cursor, StatusCode>> = nodes
        .iter()
        .enumerate()
        .map(|(i, node)| {
            let begin = begin(i, node)?;
            match node.continuation_point() {
                None => Ok(begin),
                Some(point) => {
                    let cursor = points.take(point, now).filter(|cursor| cursor.is_of(&begin));
                    cursor.ok_or(StatusCode::BadContinuationPointInvalid)
                }
            }
        })
        .collect();
    let (store, bytes_max) = (Arc::clone(&space.world.history), points.answer_bytes / nodes.len().max(1));
    let forms: Vec<_> = nodes.iter().map(|node| Form::new(stamps, node.index_range().clone())).collect();
    let answers = tokio::task::spawn_blocking(move || -> Vec<_> {
        let asked = cursors.into_iter().zip(forms);
        let read = |(cursor, form): (Result<Cursor, _>, _)| Ok(Answer::new(&cursor?, &*store, &form, bytes_max));
        in_background(|| asked.map(read).collect())
    });
    let answers = answers.await.map_err(|_| StatusCode::BadInternalError)?;
    for (node, answer) in nodes.iter_mut().zip(answers) {
        match answer {
            Err(status) => node.set_status(status),
            Ok(Err(cause)) => {
                error!(%cause, node = %node.node_id(), "history could not be read");
                let is_away = matches!(cause, HistoryError::Away(_));
                node.set_status(if is_away { StatusCode::BadNoCommunication } else { StatusCode::BadInternalError });
            }
            Ok(Ok(answer)) => {
                let next = answer.give(node);
                node.set_next_continuation_point(next.map(|cursor| points.keep(context.session_id, cursor, now)));
            }
        }
    }
    Ok(())
}
