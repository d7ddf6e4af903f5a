//! Events (OPC 10000-11 §6.5.2) of the server, of all twins or connections, or of one twin: those of a time, filtered, each
//! with the fields that were asked for.
//!
//! Where the specification leaves a choice:
//! - the time is Time, not ReceiveTime; the end is excluded, as for values;
//! - what of the audit trail a user may not see is left out, as if it had not happened;
//! - a page is answered as far as it is when it took long: it may hold no event and still go on;
//! - a field that an event does not have is null; a filter without select clauses is Bad_EventFilterInvalid.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use opcua::{
    nodes::Event as _,
    server::node_manager::{HistoryNode, RequestContext, TypeTreeForUserStatic},
    types::{
        AttributeId, BinaryEncodable, ContextOwned, EventFilter, HistoryEventFieldList, ObjectId, ReadEventDetails,
        SimpleAttributeOperand, StatusCode, TimestampsToReturn,
    },
};

use super::{Cursor as AnyCursor, Points, check_encoding, raw::Query, serve_nodes};
use crate::{
    event::Event,
    history::{Direction, HistoryError, HistoryStore},
    northbound::{
        Role,
        address_space::AddressSpace,
        events::{SharedTypes, Told, Where, as_seen_by},
        users::User,
    },
    time::Timestamp,
};

/// Most events in one answer: MaxReturnEventValues.
pub(in crate::northbound) const EVENTS_MAX: u32 = 1_000;
/// Events read at once: in a few milliseconds.
const ROUND: usize = 256;
/// When all nodes of a request together took so long, it is answered as far as it is.
const REQUEST_TIME: Duration = Duration::from_millis(500);

/// What is the same for all nodes of a request.
pub(super) struct Wanted {
    space: Arc<AddressSpace>,
    types: SharedTypes,
    filter: EventFilter,
    condition: Where,
    query: Query,
    user: Arc<User>,
    /// For a page.
    time: Duration,
}

/// Where a read of events goes on.
#[derive(Clone)]
pub(super) struct Cursor {
    wanted: Arc<Wanted>,
    notifier: Arc<str>,
    /// The instant that was read last, and how many events of it, whether they fitted the filter or not.
    last: Option<(Timestamp, usize)>,
    /// Still to come where the request has no end; `None`: until the end.
    left: Option<u32>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("notifier", &self.notifier).field("last", &self.last).finish_non_exhaustive()
    }
}

/// Answers each node with events.
pub(in crate::northbound) async fn events(
    space: &Arc<AddressSpace>,
    points: &Points,
    (context, user): (&RequestContext, Arc<User>),
    details: &ReadEventDetails,
    nodes: &mut [&mut HistoryNode],
) -> Result<(), StatusCode> {
    let time = REQUEST_TIME / u32::try_from(nodes.len().max(1)).unwrap_or(u32::MAX);
    let wanted = Arc::new(Wanted::new(space, context, details, (Arc::clone(&user), time))?);
    let begin = |_: usize, node: &HistoryNode| {
        let notifier = if *node.node_id() == ObjectId::Server {
            if user.may(Role::Observer) { "" } else { return Err(StatusCode::BadUserAccessDenied) }
        } else {
            let node = space.visible(&user, node.node_id()).ok_or(StatusCode::BadNodeIdUnknown)?;
            space.notifier(node).ok_or(StatusCode::BadHistoryOperationUnsupported)?
        };
        check_encoding(node)?;
        let (wanted, left) = (Arc::clone(&wanted), wanted.query.left());
        Ok(AnyCursor::Events(Cursor { wanted, notifier: notifier.into(), last: None, left }))
    };
    // No field of ours is a DataValue with timestamps to choose from.
    serve_nodes(space, points, context, nodes, TimestampsToReturn::Both, begin).await
}

impl Wanted {
    fn new(
        space: &Arc<AddressSpace>,
        context: &RequestContext,
        details: &ReadEventDetails,
        (user, time): (Arc<User>, Duration),
    ) -> Result<Self, StatusCode> {
        let query = Query::of_events(details)?;
        let filter = details.filter.clone();
        let condition = Where::parse(&filter.where_clause).ok_or(StatusCode::BadEventFilterInvalid)?;
        if filter.select_clauses.as_ref().is_none_or(Vec::is_empty) {
            return Err(StatusCode::BadEventFilterInvalid);
        }
        let types = SharedTypes(Arc::clone(&context.type_tree));
        Ok(Self { space: Arc::clone(space), types, filter, condition, query, user, time })
    }

    /// The fields that are asked for of an event that fits.
    fn fields(&self, event: &Event) -> Option<HistoryEventFieldList> {
        if !self.space.is_told(&self.user, event) {
            return None;
        }
        let types = self.types.get_type_tree();
        let event = as_seen_by(&self.space, &self.user, event);
        let told = Told::new(&self.space, &event, types.get());
        let field = |clause: &SimpleAttributeOperand| {
            let attribute = AttributeId::from_u32(clause.attribute_id).ok()?;
            let path = clause.browse_path.as_deref().unwrap_or_default();
            Some(told.get_field(&clause.type_definition_id, attribute, &clause.index_range, path))
        };
        self.condition.wants(&told).then(|| {
            let clauses = self.filter.select_clauses.iter().flatten();
            HistoryEventFieldList {
                event_fields: Some(clauses.map(|clause| field(clause).unwrap_or_default()).collect()),
            }
        })
    }
}

impl Cursor {
    pub(super) fn is_of(&self, begin: &Self) -> bool {
        let (a, b) = (&self.wanted, &begin.wanted);
        self.notifier == begin.notifier && a.query == b.query && a.filter == b.filter && a.user == b.user
    }

    /// The next page, of at most `limit` events in `len_max` bytes (one may be longer), and where it goes on.
    pub(super) fn page(
        mut self,
        store: &dyn HistoryStore,
        (limit, len_max): (usize, usize),
    ) -> Result<(Vec<HistoryEventFieldList>, Option<Self>), HistoryError> {
        let (began, context) = (Instant::now(), ContextOwned::default());
        let wanted = self.wanted.query.page_len(self.left).min(limit).min(EVENTS_MAX as usize);
        let (mut told, mut len) = (Vec::new(), size_of::<i32>());
        loop {
            let found = self.read(store)?;
            for event in &found {
                if let Some(fields) = self.wanted.fields(event) {
                    len += fields.byte_len(&context.context());
                    // One that fits no more tells that there is a next page.
                    if told.len() == wanted || (len > len_max && !told.is_empty()) {
                        self.left = self.left.map(|left| left.saturating_sub(count(&told)));
                        return Ok((told, Some(self)));
                    }
                    told.push(fields);
                    if self.left.is_some_and(|left| count(&told) == left) {
                        return Ok((told, None));
                    }
                }
                self.pass(event.time);
            }
            if found.len() < ROUND {
                return Ok((told, None));
            }
            if began.elapsed() >= self.wanted.time {
                self.left = self.left.map(|left| left.saturating_sub(count(&told)));
                return Ok((told, Some(self)));
            }
        }
    }

    /// The next events, whether they fit or not.
    fn read(&self, store: &dyn HistoryStore) -> Result<Vec<Event>, HistoryError> {
        let query = &self.wanted.query;
        let (direction, mut times) = (query.direction(), query.range(query.first()));
        let skip = self.last.map_or(0, |(last, count)| {
            match direction {
                Direction::Forward => times.start = last,
                Direction::Backward => times.end = last.next(),
            }
            count
        });
        store.events(&self.notifier, times, direction, skip, ROUND)
    }

    /// An event at this instant was read.
    fn pass(&mut self, at: Timestamp) {
        let before = self.last.filter(|(last, _)| *last == at).map_or(0, |(_, count)| count);
        self.last = Some((at, before + 1));
    }
}

fn count(told: &[HistoryEventFieldList]) -> u32 {
    u32::try_from(told.len()).unwrap_or(u32::MAX)
}
