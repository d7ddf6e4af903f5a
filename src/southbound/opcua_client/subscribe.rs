//! The subscription of a session and its monitored items.

use std::{sync::Arc, time::Duration};

use opcua::{
    client::Session,
    types::{
        AttributeId, ContentFilter, DataChangeFilter, DataChangeTrigger, DeadbandType, EventFilter, ExtensionObject,
        MonitoredItemCreateRequest, MonitoredItemCreateResult, MonitoringMode, MonitoringParameters, NodeId, ObjectId,
        ObjectTypeId, SimpleAttributeOperand, TimestampsToReturn,
    },
};

use super::{
    inbox::{Inbox, Notifications, client_handle},
    session::{Limits, Shift, attribute},
};
use crate::{sample::StatusCode, southbound::Watch};

/// How often an idle subscription should say that it lives.
const KEEP_ALIVE: Duration = Duration::from_millis(700);
/// After which a PLC deletes a subscription whose client is gone.
const LIFETIME: Duration = Duration::from_secs(30);
/// Values in one message, to keep messages below the PLCs' and our own size limits; the rest follows at once.
const NOTIFICATIONS_MAX: u32 = 5_000;
/// A revised SamplingInterval beyond this is no promise.
const SAMPLING_MAX: Duration = Duration::from_secs(600);
/// Stands for "as fast as you can" when a queue is sized: PLC cycles go down to this.
const FASTEST: Duration = Duration::from_millis(1);

/// A subscription as the PLC granted it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    pub(super) id: u32,
    pub(super) publishing_interval: Duration,
    /// Longest silence that means nothing.
    pub(super) keep_alive: Duration,
    /// Longest SamplingInterval that the PLC revised an item's to.
    pub(super) sampling_max: Duration,
}

/// Makes the subscription; its notifications go to `inbox`.
pub(super) async fn subscribe(session: &Session, wanted: Duration, inbox: Arc<Inbox>) -> Result<Subscription, String> {
    let keep_alive_count = intervals(KEEP_ALIVE, wanted);
    let lifetime_count = intervals(LIFETIME, wanted).max(3 * keep_alive_count); // OPC 10000-4 §5.14.2: at least three times
    let id = session
        .create_subscription(
            wanted,
            lifetime_count,
            keep_alive_count,
            NOTIFICATIONS_MAX,
            0,
            true,
            Notifications { inbox, shift: Shift::of(session) },
        )
        .await
        .map_err(|error| format!("making a subscription: {error}"))?;
    let state = session.subscription_state.lock();
    let granted = state.get(id).ok_or("the subscription went at once")?;
    let publishing_interval = granted.publishing_interval();
    let keep_alive = publishing_interval.saturating_mul(granted.max_keep_alive_count());
    Ok(Subscription { id, publishing_interval, keep_alive, sampling_max: Duration::ZERO })
}

fn intervals(span: Duration, interval: Duration) -> u32 {
    let count = span.as_secs_f64() / interval.as_secs_f64().max(1e-3);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; a float cast saturates")]
    let count = count.ceil() as u32;
    count.max(1)
}

/// Client handle of the item that brings events: no watch has it.
const EVENTS: u32 = u32::MAX;

/// Asks to be told when the PLC's nodes change (OPC 10000-3 §9.32). Many PLCs do not tell, and refuse. No where clause: some say that
/// they take one and then send nothing; of the types, the few newest of each interval, we choose ourselves.
pub(super) async fn watch_model(session: &Session, subscription: &Subscription) {
    let filter = EventFilter {
        select_clauses: Some(vec![SimpleAttributeOperand::new_value(ObjectTypeId::BaseEventType, "EventType")]),
        where_clause: ContentFilter::default(),
    };
    let item = MonitoredItemCreateRequest {
        item_to_monitor: attribute(ObjectId::Server.into(), AttributeId::EventNotifier),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: EVENTS,
            sampling_interval: 0.0,
            filter: ExtensionObject::from_message(filter),
            queue_size: 10,
            discard_oldest: true,
        },
    };
    let made = session.create_monitored_items(subscription.id, TimestampsToReturn::Both, vec![item]).await;
    let status = made.map_or_else(
        |error| error.status(),
        |made| made.first().map_or(StatusCode::BadUnexpectedError, |item| item.result.status_code),
    );
    tracing::debug!(%status, "asked to be told of changed nodes");
}

/// Makes monitored items for watches by index; the status of each.
pub(super) async fn create_items(
    session: &Session,
    limits: &Limits,
    subscription: &mut Subscription,
    watches: &[Watch],
    nodes: &[(usize, NodeId)],
) -> Result<Vec<StatusCode>, String> {
    let mut statuses = Vec::with_capacity(nodes.len());
    for chunk in nodes.chunks(limits.monitored_items) {
        let mut created = create(session, subscription, watches, chunk, Some(every_sample())).await?;
        // Small servers know no filter at all.
        let plain: Vec<usize> =
            (0..chunk.len()).filter(|&i| created.get(i).copied().is_some_and(is_about_filter)).collect();
        if !plain.is_empty() {
            let again: Vec<_> = plain.iter().map(|&i| chunk[i].clone()).collect();
            for (i, status) in plain.into_iter().zip(create(session, subscription, watches, &again, None).await?) {
                created[i] = status;
            }
        }
        created.resize(chunk.len(), StatusCode::BadUnexpectedError);
        statuses.append(&mut created);
    }
    Ok(statuses)
}

async fn create(
    session: &Session,
    subscription: &mut Subscription,
    watches: &[Watch],
    nodes: &[(usize, NodeId)],
    filter: Option<DataChangeFilter>,
) -> Result<Vec<StatusCode>, String> {
    let request = |(watch, node): &(usize, NodeId)| {
        let sampling = watches.get(*watch).map_or(Duration::ZERO, |watch| watch.sampling_interval);
        MonitoredItemCreateRequest {
            item_to_monitor: attribute(node.clone(), AttributeId::Value),
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: client_handle(*watch),
                sampling_interval: sampling.as_secs_f64() * 1e3, // 0: as fast as it can
                filter: filter.clone().map_or_else(ExtensionObject::null, ExtensionObject::from_message),
                queue_size: queue_size(sampling, subscription.publishing_interval),
                discard_oldest: true,
            },
        }
    };
    let created = session
        .create_monitored_items(subscription.id, TimestampsToReturn::Both, nodes.iter().map(request).collect())
        .await
        .map_err(|error| format!("making monitored items: {error}"))?;
    let mut status = |item: MonitoredItemCreateResult| {
        let revised = Duration::try_from_secs_f64(item.revised_sampling_interval / 1e3).unwrap_or_default();
        if item.status_code.is_good() {
            subscription.sampling_max = subscription.sampling_max.max(revised.min(SAMPLING_MAX));
        }
        item.status_code
    };
    Ok(created.into_iter().map(|item| status(item.result)).collect())
}

/// Room for two publishing intervals: one Publish may come late without a loss.
fn queue_size(sampling: Duration, publishing: Duration) -> u32 {
    intervals(publishing * 2, if sampling.is_zero() { FASTEST } else { sampling }).max(10)
}

/// Trigger StatusValueTimestamp: a sample that says "still the same" is a measurement too. Without it history could not
/// tell a steady value from a stuck one, and a fit would lack the samples that a constant stretch is made of. An
/// explicit filter also makes servers report changes of status only (a library default reports values alone).
fn every_sample() -> DataChangeFilter {
    DataChangeFilter {
        trigger: DataChangeTrigger::StatusValueTimestamp,
        deadband_type: DeadbandType::None as u32,
        deadband_value: 0.0,
    }
}

fn is_about_filter(status: StatusCode) -> bool {
    [
        StatusCode::BadFilterNotAllowed,
        StatusCode::BadMonitoredItemFilterInvalid,
        StatusCode::BadMonitoredItemFilterUnsupported,
    ]
    .contains(&status)
}
