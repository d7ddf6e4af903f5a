//! What a node is answered: its next page in the form that was asked for, no longer than its share of a message.

use opcua::{
    server::node_manager::HistoryNode,
    types::{
        BinaryEncodable, ContextOwned, DataValue, HistoryData, HistoryEvent, HistoryModifiedData, NumericRange,
        StatusCode, TimestampsToReturn, Variant,
    },
};

use super::{
    Cursor, PAGE, Page,
    encoded::{Encoded, VALUE_LEN},
    modified,
};
use crate::{
    history::{HistoryError, HistoryStore},
    northbound::range,
    ua,
};

/// What of each value is asked for.
pub(super) struct Form {
    pub(super) source: bool,
    pub(super) server: bool,
    range: NumericRange,
}

/// A page that fits, and where it goes on.
pub(super) struct Answer {
    data: Data,
    is_empty: bool,
    next: Option<Cursor>,
}

enum Data {
    Samples(Encoded),
    Modified(HistoryModifiedData),
    Values(HistoryData),
    Events(HistoryEvent),
}

impl Form {
    pub(super) fn new(stamps: TimestampsToReturn, range: NumericRange) -> Self {
        let (source, server) = (stamps != TimestampsToReturn::Server, stamps != TimestampsToReturn::Source);
        Self { source, server, range }
    }

    /// Only the elements of a value that were asked for.
    pub(super) fn value(&self, whole: Variant, status: StatusCode) -> (Variant, StatusCode) {
        match range::part(whole, &self.range) {
            Ok(part) => (part, status),
            Err(status) => (Variant::Empty, status),
        }
    }

    pub(super) fn apply(&self, value: &mut DataValue) {
        value.source_timestamp = value.source_timestamp.filter(|_| self.source);
        value.server_timestamp = value.server_timestamp.filter(|_| self.server);
        let whole = value.value.take().unwrap_or_default();
        let (part, status) = self.value(whole, value.status.unwrap_or(StatusCode::Good));
        (value.value, value.status) = (Some(part), Some(status));
    }
}

impl Answer {
    /// The next page of `cursor` in at most `len_max` bytes; a single value may be longer.
    pub(super) fn new(
        cursor: &Cursor,
        store: &dyn HistoryStore,
        form: &Form,
        len_max: usize,
    ) -> Result<Self, HistoryError> {
        // What will not fit need not be read; how long texts and arrays are is only known then.
        let mut limit = (PAGE as usize).min(len_max / VALUE_LEN).max(1);
        loop {
            let (page, next) = cursor.clone().page(store, limit, len_max)?;
            let (is_empty, is_one) = (page.len() == 0, page.len() == 1);
            let len_max = if is_one { usize::MAX } else { len_max };
            match Data::new(page, form, len_max) {
                Ok(data) => return Ok(Self { data, is_empty, next }),
                Err(fitting) => limit = fitting.max(1),
            }
        }
    }

    /// Puts it into the node, and gives where it goes on. An empty page that goes on is not all: Good_NoData would say so.
    pub(super) fn give(self, node: &mut HistoryNode) -> Option<Cursor> {
        let is_all_of_nothing = self.is_empty && self.next.is_none();
        node.set_status(if is_all_of_nothing { StatusCode::GoodNoData } else { StatusCode::Good });
        match self.data {
            Data::Samples(encoded) => node.set_result(encoded),
            Data::Modified(data) => node.set_result(data),
            Data::Values(data) => node.set_result(data),
            Data::Events(data) => node.set_result(data),
        }
        self.next
    }
}

impl Data {
    /// A page in its form, or how many of it take no more than `len_max` bytes: fewer than it has.
    fn new(page: Page, form: &Form, len_max: usize) -> Result<Self, usize> {
        match page {
            Page::Samples(samples) => Encoded::new(&samples, form, len_max).map(Self::Samples),
            Page::Values(mut values) => {
                values.iter_mut().for_each(|value| form.apply(value));
                let count = values.len();
                fitting(HistoryData { data_values: Some(values) }, count, len_max).map(Self::Values)
            }
            Page::Events(events) => {
                let count = events.len();
                fitting(HistoryEvent { events: Some(events) }, count, len_max).map(Self::Events)
            }
            Page::Modified(records) => {
                let mut values: Vec<DataValue> = records.iter().map(|record| ua::data_value(&record.sample)).collect();
                values.iter_mut().for_each(|value| form.apply(value));
                let infos = records.iter().map(modified::info).collect();
                let data = HistoryModifiedData { data_values: Some(values), modification_infos: Some(infos) };
                fitting(data, records.len(), len_max).map(Self::Modified)
            }
        }
    }
}

fn fitting<T: BinaryEncodable>(data: T, count: usize, len_max: usize) -> Result<T, usize> {
    let len = data.byte_len(&ContextOwned::default().context());
    if len <= len_max { Ok(data) } else { Err(count * len_max / len) }
}
