//! Annotations: at given times (OPC 10000-11 §6.5.6), or by range as the history of a variable's `Annotations`.
//!
//! Where the specification leaves a choice: at given times there is one value per time, in their order: the annotation, an
//! array where there are several, no value with Bad_NoData where there is none.

use std::sync::Arc;

use opcua::types::{
    Annotation as UaAnnotation, DataValue, ExtensionObject, ReadRawModifiedDetails, StatusCode, UAString, Variant,
};

use super::{
    modified::Progress,
    raw::{self, Query},
};
use crate::{
    history::{Annotation, Direction, HistoryError, HistoryStore},
    sample::SeriesId,
    time::Timestamp,
    ua,
};

/// Annotations of one instant that are answered at most.
const PER_INSTANT_MAX: usize = 1_000;

/// Where a read of annotations goes on.
#[derive(Clone, Debug)]
pub(super) enum Cursor {
    Range { query: Query, at: Progress },
    Times { series: SeriesId, times: Arc<[Timestamp]>, next: usize },
}

impl Cursor {
    pub(super) fn of_range(series: SeriesId, details: &ReadRawModifiedDetails) -> Result<Self, StatusCode> {
        let query = Query::new(series, details)?;
        Ok(Self::Range { query, at: Progress::begin(&query) })
    }

    pub(super) fn at_times(series: SeriesId, times: Arc<[Timestamp]>) -> Self {
        Self::Times { series, times, next: 0 }
    }

    pub(super) fn is_of(&self, begin: &Self) -> bool {
        match (self, begin) {
            (Self::Range { query, .. }, Self::Range { query: begin, .. }) => query == begin,
            (Self::Times { series, times, .. }, Self::Times { series: begin_series, times: begin_times, .. }) => {
                series == begin_series && times == begin_times
            }
            _ => false,
        }
    }

    pub(super) fn page(
        self,
        store: &dyn HistoryStore,
        limit: usize,
    ) -> Result<(Vec<DataValue>, Option<Self>), HistoryError> {
        match self {
            Self::Range { query, mut at } => {
                let (found, more) = at.page(
                    (&query, limit),
                    |times, direction, skip, limit| store.annotations(query.series(), times, direction, skip, limit),
                    |annotation| annotation.at,
                )?;
                let values = found.iter().map(|annotation| value(annotation.at, object(annotation).into()));
                Ok((values.collect(), more.then_some(Self::Range { query, at })))
            }
            Self::Times { series, times, next } => {
                let end = times.len().min(next + limit);
                let values = times[next..end].iter().map(|at| at_time(store, series, *at)).collect::<Result<_, _>>()?;
                let more = end < times.len();
                Ok((values, more.then_some(Self::Times { series, times, next: end })))
            }
        }
    }
}

fn at_time(store: &dyn HistoryStore, series: SeriesId, at: Timestamp) -> Result<DataValue, HistoryError> {
    let found = store.annotations(series, at..raw::next(at), Direction::Forward, 0, PER_INSTANT_MAX)?;
    Ok(match found.as_slice() {
        [] => DataValue { status: Some(StatusCode::BadNoData), ..value(at, Variant::Empty) },
        [one] => value(at, object(one).into()),
        several => value(at, several.iter().map(object).collect::<Vec<_>>().into()),
    })
}

fn object(annotation: &Annotation) -> ExtensionObject {
    ExtensionObject::from_message(UaAnnotation {
        message: UAString::from(annotation.message.as_ref()),
        user_name: UAString::from(annotation.user.as_ref()),
        annotation_time: ua::date_time(annotation.time),
    })
}

fn value(at: Timestamp, value: Variant) -> DataValue {
    DataValue {
        value: Some(value),
        status: Some(StatusCode::Good),
        source_timestamp: ua::given(at),
        server_timestamp: ua::given(at),
        ..DataValue::default()
    }
}
