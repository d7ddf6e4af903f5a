//! Reading blocks.

use std::ops::{ControlFlow, Range, RangeInclusive};

use tracing::error;

use super::{
    Direction, Summary,
    block::{self, BlockError},
    blocks::{Blocks, Cause, Found},
    columns::Columns,
    log::PersistentId,
    values,
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

/// What stands in the place of the samples of a damaged block: as many as there were, in equal distances from its first to its
/// last, so that a read of any part of its time says that something is missing. If even its header is lost, one at its first.
pub(super) fn lost(found: &Found) -> Columns {
    let (first, last) = (found.first(), found.last());
    let span = i128::from(last) - i128::from(first);
    // As many distinct instants as there were samples, if what the header says can be.
    let steps = found.header.as_ref().map_or(0, |header| i128::from(header.count) - 1).clamp(0, span.max(0));
    let at = |step: i128| first.saturating_add(i64::try_from(span * step / steps.max(1)).unwrap_or(0));
    let samples: Vec<Sample> =
        (0..=steps).map(|step| Sample::bad(Timestamp::from_ticks(at(step)), StatusCode::BadDataLost)).collect();
    samples.iter().collect()
}

/// A decoded block, from its first to its last sample.
pub(super) struct CachedBlock {
    times: RangeInclusive<i64>,
    samples: Vec<Sample>,
}

impl Blocks {
    /// What a block holds, or that it is lost: damage costs a block's own samples and no others.
    fn columns(&self, found: &Found) -> sled::Result<Columns> {
        let decoded = match self.bytes(found)? {
            Some(bytes) => block::decode(&bytes),
            None => Err(BlockError::Short),
        };
        Ok(decoded.unwrap_or_else(|damage| {
            error!(first = %Timestamp::from_ticks(found.first()), %damage, "a block of history is damaged");
            lost(found)
        }))
    }

    /// Calls `take` with what the blocks hold in `start..end`, block by block.
    pub(super) fn visit(
        &self,
        id: PersistentId,
        (start, end): (i64, i64),
        direction: Direction,
        mut take: impl FnMut(&Columns, Range<usize>) -> ControlFlow<()>,
    ) -> Result<(), Cause> {
        if start >= end {
            return Ok(());
        }
        let mut visit = |found: &Found| -> sled::Result<ControlFlow<()>> {
            if found.header.is_some() && found.last() < start {
                return Ok(ControlFlow::Continue(()));
            }
            let columns = self.columns(found)?;
            let indices = columns.indices(start, end);
            Ok(if indices.is_empty() { ControlFlow::Continue(()) } else { take(&columns, indices) })
        };
        let before = || self.at_or_before(id, start);
        let after = self.starting_in(id, start.saturating_add(1), end - 1);
        if direction == Direction::Forward {
            if let Some(found) = before()?
                && visit(&found)?.is_break()
            {
                return Ok(());
            }
            for found in after {
                if visit(&found?)?.is_break() {
                    break;
                }
            }
        } else {
            for found in after.rev() {
                if visit(&found?)?.is_break() {
                    return Ok(());
                }
            }
            if let Some(found) = before()? {
                let _ = visit(&found)?;
            }
        }
        Ok(())
    }

    /// The first `limit` samples in `start..end` of which `keep` says yes, in the order of `direction`.
    pub(super) fn read(
        &self,
        id: PersistentId,
        times: (i64, i64),
        direction: Direction,
        limit: usize,
        keep: Option<&dyn Fn(&Sample) -> bool>,
    ) -> Result<Vec<Sample>, Cause> {
        let mut samples = Vec::new();
        self.visit(id, times, direction, |columns, mut indices| {
            let (before, missing) = (samples.len(), limit - samples.len());
            if keep.is_none() {
                match direction {
                    Direction::Forward => indices.end = indices.end.min(indices.start.saturating_add(missing)),
                    Direction::Backward => indices.start = indices.start.max(indices.end.saturating_sub(missing)),
                }
            }
            columns.append_to(indices, &mut samples);
            if direction == Direction::Backward {
                samples[before..].reverse();
            }
            if let Some(keep) = keep {
                let mut index = 0;
                samples.retain(|sample| {
                    index += 1;
                    index <= before || keep(sample)
                });
                samples.truncate(limit);
            }
            if samples.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(samples)
    }

    /// What the blocks hold in `start..end` amounts to: of whole blocks by their headers alone.
    pub(super) fn summary(&self, id: PersistentId, start: i64, end: i64) -> Result<Summary, Cause> {
        let mut summary = Summary::default();
        for found in self.touching(id, start, end)? {
            match &found.header {
                Some(header) if start <= found.first() && header.last.ticks() < end => summary.merge(&header.summary),
                _ => {
                    let columns = self.columns(&found)?;
                    summary.merge(&columns.summary(columns.indices(start, end)));
                }
            }
        }
        Ok(summary)
    }

    /// Whether a block holds exactly this sample. `cache` keeps the last block looked into.
    pub(super) fn holds(
        &self,
        id: PersistentId,
        sample: &Sample,
        cache: &mut Option<CachedBlock>,
    ) -> Result<bool, Cause> {
        let ticks = sample.source_timestamp.ticks();
        if !cache.as_ref().is_some_and(|cached| cached.times.contains(&ticks)) {
            *cache = self.block_around(id, ticks)?;
        }
        let Some(CachedBlock { samples, .. }) = cache else { return Ok(false) };
        let found = samples.binary_search_by_key(&ticks, |held| held.source_timestamp.ticks());
        Ok(found.is_ok_and(|index| is_same(&samples[index], sample)))
    }

    fn block_around(&self, id: PersistentId, ticks: i64) -> Result<Option<CachedBlock>, Cause> {
        let Some(found) = self.at_or_before(id, ticks)?.filter(|found| ticks <= found.last()) else { return Ok(None) };
        let Some(bytes) = self.bytes(&found)? else { return Ok(None) };
        let Ok(columns) = block::decode(&bytes) else { return Ok(None) };
        Ok(Some(CachedBlock { times: found.first()..=found.last(), samples: columns.to_samples() }))
    }
}

fn is_same(a: &Sample, b: &Sample) -> bool {
    a.server_timestamp == b.server_timestamp && a.status == b.status && values::is_same(&a.value, &b.value)
}
