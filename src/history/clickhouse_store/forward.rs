//! What a front hands on.

use super::{ClickHouseStore, Connected, version};
use crate::history::{
    Annotation, HistoryError,
    behind::{Behind, Key, Op, Piece},
    blocks::Cause,
};

impl ClickHouseStore {
    fn take(&self, connected: &Connected, claimed: u64, piece: &Piece) -> Result<(), Cause> {
        let (number, key, op) = match piece {
            Piece::Samples(samples) => {
                let rows = samples.iter().map(|(key, number, sample)| (*key, version(claimed, *number), sample));
                return self.insert_samples(connected, rows.collect());
            }
            Piece::Other(number, key, op) => (version(claimed, *number), *key, op),
        };
        match op {
            Op::Remove(times) => self.remove_samples(connected, key, number, times.clone()),
            Op::Modified(records) => self.insert_modified(connected, key, number, records),
            Op::Forget(times) => self.insert_forgotten(connected, key, number, times),
            Op::Annotate(id, annotation) => {
                self.insert_annotation(connected, key, number, Self::id_of(claimed, *id), false, annotation)
            }
            Op::Unannotate(at, id) => {
                let (message, user) = ("".into(), "".into());
                let gone = Annotation { at: *at, message, user, time: *at, is_lost: false };
                self.insert_annotation(connected, key, number, Self::id_of(claimed, *id), true, &gone)
            }
            Op::Keep(id, document) => self.insert_document(connected, key, Self::id_of(claimed, *id), document),
            Op::Events(events) => self.insert_events(connected, number, events),
            Op::Expire(before) => self.expire_before(connected, *before, number).map(drop),
        }
    }
}

impl Behind for ClickHouseStore {
    fn claim(&self) -> Result<u64, HistoryError> {
        self.reach(|connected| self.claim_next(connected)).map_err(HistoryError::Flush)
    }

    fn key(&self, name: &str) -> Result<Key, HistoryError> {
        self.reach(|connected| self.key_of(connected, name)).map_err(HistoryError::Flush)
    }

    fn forward(&self, claimed: u64, pieces: &[Piece]) -> Result<(), HistoryError> {
        let count = pieces.len();
        self.reach(|connected| pieces.iter().try_for_each(|piece| self.take(connected, claimed, piece)))
            .map_err(|cause| HistoryError::Append { count, cause })
    }
}
