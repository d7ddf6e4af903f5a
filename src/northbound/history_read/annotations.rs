//! Annotations: at given times (OPC 10000-11 §6.5.6), or by range as the history of a variable's `Annotations`.
//!
//! Where the specification leaves a choice: at given times there is one value per time, in their order: the annotation, an
//! array where there are several, no value with Bad_NoData where there is none. One that damage has taken costs no other: by
//! range it comes as a null value with Bad_DataLost; at a given time the others of that instant come with
//! Uncertain_DataSubNormal, and where there are no others, Bad_DataLost.

use std::sync::Arc;

use opcua::types::{
    Annotation as UaAnnotation, DataValue, ExtensionObject, ReadRawModifiedDetails, StatusCode, UAString, Variant,
};

use super::{modified::Progress, raw::Query};
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
                let values = found.iter().map(|annotation| match annotation.is_lost {
                    true => no_value(annotation.at, StatusCode::BadDataLost),
                    false => value(annotation.at, object(annotation).into()),
                });
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
    let found = store.annotations(series, at..at.next(), Direction::Forward, 0, PER_INSTANT_MAX)?;
    let whole: Vec<&Annotation> = found.iter().filter(|annotation| !annotation.is_lost).collect();
    let answer = match whole.as_slice() {
        [] if found.is_empty() => return Ok(no_value(at, StatusCode::BadNoData)),
        [] => return Ok(no_value(at, StatusCode::BadDataLost)),
        [one] => value(at, object(one).into()),
        several => value(at, several.iter().map(|one| object(one)).collect::<Vec<_>>().into()),
    };
    let is_all = whole.len() == found.len();
    Ok(if is_all { answer } else { DataValue { status: Some(StatusCode::UncertainDataSubNormal), ..answer } })
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

fn no_value(at: Timestamp, status: StatusCode) -> DataValue {
    DataValue { status: Some(status), ..value(at, Variant::Empty) }
}

#[cfg(test)]
mod tests {
    use opcua::types::VariantScalarTypeId;

    use super::*;
    use crate::history::{AnnotationEdit, memory_store::MemoryStore, record::Record as _};

    const A: SeriesId = SeriesId(0);

    /// At 1 two annotations and a lost one, at 2 one and a lost one, at 3 a lost one.
    fn store() -> MemoryStore {
        let store = MemoryStore::new(1, 9);
        let at = Timestamp::from_ticks;
        let note = |ticks, time| Annotation {
            at: at(ticks),
            message: "a".into(),
            user: "ann".into(),
            time: at(time),
            is_lost: false,
        };
        let lost = |ticks| Annotation::lost(at(ticks));
        let all = [note(1, 1), lost(1), note(1, 2), note(2, 1), lost(2), lost(3)];
        store.annotate(A, AnnotationEdit::Insert, &all).unwrap();
        store
    }

    /// Status and how many annotations.
    fn told(value: &DataValue) -> (StatusCode, usize) {
        let count = match value.value.as_ref().unwrap() {
            Variant::Empty => 0,
            Variant::Array(several) => several.values.len(),
            one => usize::from(one.scalar_type_id() == Some(VariantScalarTypeId::ExtensionObject)),
        };
        (value.status.unwrap(), count)
    }

    #[test]
    fn a_lost_annotation_costs_no_other_of_its_instant() {
        use StatusCode as S;
        let times: Vec<Timestamp> = (0..4).map(Timestamp::from_ticks).collect();
        let (values, more) = Cursor::at_times(A, times.into()).page(&store(), 100).unwrap();
        let expected =
            [(S::BadNoData, 0), (S::UncertainDataSubNormal, 2), (S::UncertainDataSubNormal, 1), (S::BadDataLost, 0)];
        assert_eq!(values.iter().map(told).collect::<Vec<_>>(), expected);
        assert!(more.is_none());
    }

    #[test]
    fn by_range_a_lost_annotation_stands_as_lost_at_its_instant() {
        let range = ReadRawModifiedDetails {
            start_time: ua::date_time(Timestamp::from_ticks(1)),
            end_time: ua::date_time(Timestamp::from_ticks(9)),
            ..ReadRawModifiedDetails::default()
        };
        let (values, _) = Cursor::of_range(A, &range).unwrap().page(&store(), 100).unwrap();
        let ticks = values.iter().map(|value| ua::timestamp(value.source_timestamp.unwrap()).ticks());
        assert_eq!(ticks.collect::<Vec<_>>(), [1, 1, 1, 2, 2, 3]);
        let (lost, good) = ((StatusCode::BadDataLost, 0), (StatusCode::Good, 1));
        assert_eq!(values.iter().map(told).collect::<Vec<_>>(), [good, lost, good, good, lost, lost]);
    }
}
