//! How the plant answers: reads and subscriptions from live values, raw history from the ring, writes into orders.
//! It never computes physics, and it works around the library where that would falsify what a client sees.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    vec,
};

use async_trait::async_trait;
use opcua::{
    server::{
        ContinuationPoint, CreateMonitoredItem, MonitoredItemHandle, SubscriptionCache,
        address_space::AddressSpace,
        diagnostics::NamespaceMetadata,
        node_manager::{
            HistoryNode, MonitoredItemRef, MonitoredItemUpdateRef, ParsedReadValueId, RequestContext, ServerContext,
            WriteNode, memory::InMemoryNodeManagerImpl,
        },
    },
    sync::{Mutex, RwLock},
    types::{
        AttributeId, DataValue, DateTime, HistoryData, NodeId, NumericRange, ReadRawModifiedDetails,
        TimestampsToReturn, Variant,
    },
};

use super::{
    NAMESPACE,
    devices::Orders,
    history::{RawRead, Ring},
    load::{Load, load_value},
    nodes::{Nodes, Point},
};
use crate::{
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// The most values in one answer to HistoryRead; the rest goes to continuation points.
const VALUES_PER_ANSWER_MAX: usize = 10_000;
/// How many load variables are notified under one lock.
const LOAD_BATCH: usize = 5_000;

/// What the physics loop and the server share.
pub(super) struct Shared {
    pub(super) nodes: Nodes,
    pub(super) live: RwLock<Live>,
    pub(super) load: Load,
    /// The newest step of the load.
    load_step: AtomicI64,
    /// One ring per measurement.
    pub(super) history: RwLock<Vec<Ring>>,
    /// Per device: what clients have asked for.
    pub(super) orders: Mutex<Vec<Orders>>,
    /// Monitored items whose SourceTimestamp the library would falsify; see `Shared::notify`.
    untimed: Mutex<HashSet<MonitoredItemHandle>>,
}

/// The present values.
#[derive(Default)]
pub(super) struct Live {
    /// The last published instant.
    pub(super) at: Timestamp,
    /// In the order of `Nodes::measurements`.
    pub(super) measured: Vec<Sample>,
    /// Per device.
    pub(super) truth: Vec<Vec<f64>>,
}

impl Shared {
    pub(super) fn new(nodes: Nodes, load: Load, history: Vec<Ring>, orders: Vec<Orders>) -> Self {
        Self {
            nodes,
            live: RwLock::default(),
            load,
            load_step: AtomicI64::new(0),
            history: RwLock::new(history),
            orders: Mutex::new(orders),
            untimed: Mutex::new(HashSet::new()),
        }
    }

    fn value(&self, point: Point) -> DataValue {
        let live = self.live.read();
        let good = |at: Timestamp, value: Variant| data_value(&Sample::good(at, 0.0), Some(value));
        match point {
            Point::Measured(i) => live.measured.get(i).map_or_else(DataValue::null, |sample| data_value(sample, None)),
            Point::Auto(device) => good(live.at, self.orders.lock().get(device).is_some_and(|o| o.auto).into()),
            Point::Ageing(device) => good(live.at, self.orders.lock().get(device).map_or(0.0, |o| o.ageing).into()),
            Point::Truth(device, i) => {
                good(live.at, live.truth.get(device).and_then(|t| t.get(i)).copied().unwrap_or(f64::NAN).into())
            }
            Point::Load(i) => {
                let at = self.load.changed_at(i, self.load_step.load(Ordering::Relaxed));
                good(at, load_value(i, at).into())
            }
        }
    }

    /// Tells every subscriber of the measurements.
    pub(super) fn notify(&self, subscriptions: &SubscriptionCache) {
        let untimed = self.untimed.lock().clone();
        self.notify_nodes(subscriptions, &untimed, self.nodes.measurements.iter().map(|(id, _)| id));
        self.notify_nodes(subscriptions, &untimed, self.nodes.slow.iter());
    }

    /// From here on the load is what it is at a step.
    pub(super) fn load_to(&self, step: i64) {
        self.load_step.store(step, Ordering::Relaxed);
    }

    /// Tells every subscriber of the load that changes at a step.
    pub(super) fn notify_load(&self, subscriptions: &SubscriptionCache, step: i64) {
        let untimed = self.untimed.lock().clone();
        let mut changing = self.load.changing(step).filter_map(|i| self.nodes.load.get(i as usize - 1)).peekable();
        while changing.peek().is_some() {
            self.notify_nodes(subscriptions, &untimed, changing.by_ref().take(LOAD_BATCH));
        }
    }

    /// The library shifts the SourceTimestamp of a sample that comes within an item's sampling interval. A created item's
    /// interval is revised to nearly nothing, which heals it; an item with the interval -1, or one that was modified,
    /// cannot be healed, so its samples go out without a SourceTimestamp: none is better than a false one.
    fn notify_nodes<'a>(
        &self,
        subscriptions: &SubscriptionCache,
        untimed: &HashSet<MonitoredItemHandle>,
        ids: impl Iterator<Item = &'a NodeId>,
    ) {
        let mut notifier = subscriptions.data_notifier();
        for id in ids {
            let Some(mut batch) = notifier.notify_for(id, AttributeId::Value) else { continue };
            let Some(point) = self.nodes.point(id) else { continue };
            let value = self.value(point);
            for (handle, _) in batch.entries() {
                let mut value = value.clone();
                if untimed.contains(handle) {
                    value.source_timestamp = None;
                }
                batch.data_value_to_item(value, handle);
            }
        }
    }

    fn write(&self, id: &NodeId, value: &DataValue) -> StatusCode {
        let mut orders = self.orders.lock();
        let number = |range: (f64, f64)| match value.value {
            Some(Variant::Double(x)) if (range.0..=range.1).contains(&x) => Ok(x),
            Some(Variant::Double(_)) => Err(StatusCode::BadOutOfRange),
            _ => Err(StatusCode::BadTypeMismatch),
        };
        let written = match self.nodes.point(id) {
            Some(Point::Measured(i)) => {
                self.nodes.measurements.get(i).and_then(|(_, m)| Some((m.device, m.writable?))).map(
                    |(device, range)| {
                        let order = orders.get_mut(device).ok_or(StatusCode::BadNodeIdUnknown)?;
                        order.set_point = number(range)?;
                        order.auto = false;
                        Ok(())
                    },
                )
            }
            Some(Point::Ageing(device)) => orders.get_mut(device).map(|order| {
                order.ageing = number((0.0, 1.0))?;
                Ok(())
            }),
            Some(Point::Auto(device)) => orders.get_mut(device).map(|order| match value.value {
                Some(Variant::Boolean(auto)) => {
                    order.auto = auto;
                    Ok(())
                }
                _ => Err(StatusCode::BadTypeMismatch),
            }),
            _ => None,
        };
        written.unwrap_or(Err(StatusCode::BadNotWritable)).err().unwrap_or(StatusCode::Good)
    }
}

/// The node manager: delegates to `Shared`.
pub(super) struct PlantNodes {
    pub(super) shared: Arc<Shared>,
    pub(super) namespace_index: u16,
}

/// What is left of a raw read. Samples are copied when the read begins, so that none can age out between two answers.
struct Rest {
    node: NodeId,
    read: RawRead,
    samples: vec::IntoIter<Sample>,
}

#[async_trait]
impl InMemoryNodeManagerImpl for PlantNodes {
    async fn init(&self, _address_space: &mut AddressSpace, _context: ServerContext) {}

    fn name(&self) -> &str {
        "plant"
    }

    fn namespaces(&self) -> Vec<NamespaceMetadata> {
        vec![NamespaceMetadata {
            namespace_uri: NAMESPACE.to_owned(),
            namespace_index: self.namespace_index,
            ..Default::default()
        }]
    }

    async fn read_values(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        nodes: &[&ParsedReadValueId],
        max_age: f64,
        timestamps: TimestampsToReturn,
    ) -> Vec<DataValue> {
        let address_space = address_space.read();
        nodes
            .iter()
            .map(|node| {
                let Some(point) = self.shared.nodes.point(&node.node_id) else {
                    return address_space.read(context, node, max_age, timestamps);
                };
                match address_space.validate_node_read(context, node) {
                    Ok(_) if node.index_range != NumericRange::None => status_only(StatusCode::BadIndexRangeNoData),
                    Ok(_) => with_timestamps(self.shared.value(point), timestamps),
                    Err(status) => status_only(status),
                }
            })
            .collect()
    }

    async fn create_value_monitored_items(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        items: &mut [&mut &mut CreateMonitoredItem],
    ) {
        let to_read: Vec<_> = items.iter().map(|item| item.item_to_monitor()).collect();
        let values = self.read_values(context, address_space, &to_read, 0.0, TimestampsToReturn::Both).await;
        for (value, item) in values.into_iter().zip(items.iter_mut()) {
            let status = value.status();
            if matches!(status, StatusCode::BadNodeIdUnknown | StatusCode::BadAttributeIdInvalid) {
                item.set_status(status);
                continue;
            }
            item.set_initial_value(value);
            item.set_status(StatusCode::Good);
            if item.sampling_interval() < 0.0 {
                self.shared.untimed.lock().insert(item.handle());
            } else {
                // See `Shared::notify_nodes`: below this no sample is ever "too early".
                item.revise_sampling_interval(1e-9);
            }
        }
    }

    async fn modify_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemUpdateRef]) {
        self.shared.untimed.lock().extend(items.iter().map(|item| item.handle()));
    }

    async fn delete_monitored_items(&self, _context: &RequestContext, items: &[&MonitoredItemRef]) {
        let mut untimed = self.shared.untimed.lock();
        for item in items {
            untimed.remove(&item.handle());
        }
    }

    async fn history_read_raw_modified(
        &self,
        _context: &RequestContext,
        details: &ReadRawModifiedDetails,
        nodes: &mut [&mut &mut HistoryNode],
        timestamps: TimestampsToReturn,
    ) -> Result<(), StatusCode> {
        if details.is_read_modified {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        }
        // OPC 10000-11 §6.4.2: history without any timestamp would say nothing.
        if !matches!(timestamps, TimestampsToReturn::Source | TimestampsToReturn::Server | TimestampsToReturn::Both) {
            return Err(StatusCode::BadTimestampsToReturnInvalid);
        }
        let read = RawRead {
            start: Timestamp::from_ticks(details.start_time.ticks()),
            end: Timestamp::from_ticks(details.end_time.ticks()),
            values_per_node: details.num_values_per_node,
            return_bounds: details.return_bounds,
        };
        for node in nodes {
            match self.rest_of(node, &read) {
                Ok(rest) => answer(node, rest, timestamps),
                Err(status) => node.set_status(status),
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        context: &RequestContext,
        address_space: &RwLock<AddressSpace>,
        nodes_to_write: &mut [&mut WriteNode],
    ) -> Result<(), StatusCode> {
        let valid = |write: &WriteNode| {
            let mut address_space = address_space.write();
            let type_tree = context.type_tree.read();
            address_space.validate_node_write(context, write.value(), &*type_tree).err()
        };
        for write in nodes_to_write {
            let status = match valid(write) {
                Some(status) => status,
                None if write.value().attribute_id != AttributeId::Value => StatusCode::BadWriteNotSupported,
                None if write.value().index_range != NumericRange::None => StatusCode::BadIndexRangeNoData,
                None => self.shared.write(&write.value().node_id, &write.value().value),
            };
            write.set_status(status);
        }
        let untimed = self.shared.untimed.lock().clone();
        self.shared.notify_nodes(&context.subscriptions, &untimed, self.shared.nodes.slow.iter());
        Ok(())
    }
}

impl PlantNodes {
    /// Goes on where the continuation point says, or begins.
    fn rest_of(&self, node: &HistoryNode, read: &RawRead) -> Result<Rest, StatusCode> {
        if let Some(point) = node.continuation_point() {
            let rest = point.get::<Mutex<Rest>>().ok_or(StatusCode::BadContinuationPointInvalid)?;
            let mut rest = rest.lock();
            if rest.node != *node.node_id() || rest.read != *read {
                return Err(StatusCode::BadContinuationPointInvalid);
            }
            let samples = std::mem::take(&mut rest.samples);
            return Ok(Rest { node: rest.node.clone(), read: rest.read, samples });
        }
        if *node.index_range() != NumericRange::None {
            return Err(StatusCode::BadIndexRangeNoData);
        }
        let Some(Point::Measured(i)) = self.shared.nodes.point(node.node_id()) else {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        };
        let history = self.shared.history.read();
        let samples = history.get(i).ok_or(StatusCode::BadNodeIdUnknown)?.read(read)?.into_iter();
        Ok(Rest { node: node.node_id().clone(), read: *read, samples })
    }
}

/// Answers with as much as was asked for at once, and keeps the rest for the next call.
fn answer(node: &mut HistoryNode, mut rest: Rest, timestamps: TimestampsToReturn) {
    let asked = rest.read.values_per_node as usize;
    let count = if asked == 0 { VALUES_PER_ANSWER_MAX } else { asked.min(VALUES_PER_ANSWER_MAX) };
    let values: Vec<DataValue> = rest
        .samples
        .by_ref()
        .take(count)
        .map(|sample| with_timestamps(data_value(&sample, None), timestamps))
        .collect();
    node.set_status(if values.is_empty() { StatusCode::GoodNoData } else { StatusCode::Good });
    node.set_result(HistoryData { data_values: Some(values) });
    if rest.samples.len() > 0 {
        node.set_next_continuation_point(Some(ContinuationPoint::new(Box::new(Mutex::new(rest)))));
    }
}

/// A sample on the wire; `value` replaces its own. A Bad one carries a null value, which also makes it differ from
/// the value before: the library compares values only (it would not tell a client of a change of status alone).
fn data_value(sample: &Sample, value: Option<Variant>) -> DataValue {
    let own = || match sample.value {
        Value::Double(x) => Variant::Double(x),
        Value::Boolean(x) => Variant::Boolean(x),
        _ => Variant::Empty,
    };
    let time = |at: Timestamp| Some(DateTime::from(at.ticks()));
    DataValue {
        value: Some(value.unwrap_or_else(own)),
        status: Some(sample.status),
        source_timestamp: time(sample.source_timestamp),
        server_timestamp: time(sample.server_timestamp),
        ..Default::default()
    }
}

fn with_timestamps(mut value: DataValue, timestamps: TimestampsToReturn) -> DataValue {
    if !matches!(timestamps, TimestampsToReturn::Source | TimestampsToReturn::Both) {
        value.source_timestamp = None;
    }
    if !matches!(timestamps, TimestampsToReturn::Server | TimestampsToReturn::Both) {
        value.server_timestamp = None;
    }
    value
}

fn status_only(status: StatusCode) -> DataValue {
    DataValue { status: Some(status), ..Default::default() }
}
