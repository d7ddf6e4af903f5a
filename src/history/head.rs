//! The newest samples of one series, in memory until a block holds them. Samples may come in any order: a head is a
//! few ascending runs, of which a later one wins at an equal instant. Pure.

use super::{Direction, columns::Columns};
use crate::sample::Sample;

/// So many runs are kept before they are merged into one.
const RUNS_MAX: usize = 12;

/// What a series has that no block holds yet.
#[derive(Debug, Default)]
pub(super) struct Head {
    runs: Vec<Columns>,
    /// start..end (ticks) of what is to be taken out of the blocks. (Out of `runs` it is taken at once.)
    pub(super) removed: Vec<(i64, i64)>,
    /// The oldest log record that holds something of this head.
    pub(super) oldest_record: Option<u64>,
    /// Whether the series has had a block made since the start.
    pub(super) was_sealed: bool,
    /// Bytes of long values.
    payload: usize,
}

impl Head {
    /// The empty head of a series that has blocks.
    pub(super) fn after_seal() -> Self {
        Self { was_sealed: true, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(Columns::len).sum()
    }

    /// Bytes of memory taken, about.
    pub(super) fn bytes(&self) -> usize {
        self.runs.iter().map(Columns::fixed_bytes).sum::<usize>() + self.payload
    }

    /// The only run, if there is one and nothing to remove.
    pub(super) fn single_run(&self) -> Option<&Columns> {
        match &self.runs[..] {
            [run] if self.removed.is_empty() => Some(run),
            _ => None,
        }
    }

    /// Ticks of the oldest and newest sample.
    pub(super) fn extent(&self) -> Option<(i64, i64)> {
        let first = self.runs.iter().filter_map(Columns::first).min()?;
        Some((first, self.runs.iter().filter_map(Columns::last).max()?))
    }

    /// start..end (ticks) wherever samples of this head are, or something is to be taken out of the blocks: ascending,
    /// and apart from one another. Elsewhere what blocks hold is all there is.
    pub(super) fn touched(&self) -> Vec<(i64, i64)> {
        let runs = self.runs.iter().filter_map(|run| Some((run.first()?, run.last()?.saturating_add(1))));
        let mut ranges: Vec<(i64, i64)> = runs.chain(self.removed.iter().copied()).collect();
        ranges.sort_unstable();
        let mut touched: Vec<(i64, i64)> = Vec::new();
        for (start, end) in ranges {
            match touched.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => touched.push((start, end)),
            }
        }
        touched
    }

    pub(super) fn push(&mut self, sample: &Sample) {
        let ticks = sample.source_timestamp.ticks();
        if let [run] = &mut self.runs[..]
            && run.last().is_some_and(|last| last < ticks)
        {
            self.payload += run.push(sample);
            return;
        }
        let run = if self.runs.iter().any(|run| run.contains(ticks)) { None } else { self.run_before(ticks) };
        let run = match run {
            Some(index) => &mut self.runs[index],
            None => {
                if self.runs.len() == RUNS_MAX {
                    self.merge_runs();
                }
                self.runs.push(Columns::default());
                self.runs.last_mut().expect("a run was just added")
            }
        };
        // A merge may have brought a run that this sample would have continued; a run more does no harm.
        self.payload += run.push(sample);
    }

    /// The run that ends last before `ticks`: live samples go on in their run while backfill goes on in its own.
    fn run_before(&self, ticks: i64) -> Option<usize> {
        let before = self.runs.iter().enumerate().filter_map(|(index, run)| Some((run.last()?, index)));
        before.filter(|&(last, _)| last < ticks).max().map(|(_, index)| index)
    }

    fn merge_runs(&mut self) {
        let merged = self.samples(i64::MIN, i64::MAX, true);
        self.runs = vec![merged.iter().collect()];
    }

    /// Samples in `start..end` (with `end` itself if `last_too`), in order.
    pub(super) fn samples(&self, start: i64, end: i64, last_too: bool) -> Vec<Sample> {
        let mut merged: Vec<Sample> = Vec::new();
        for run in &self.runs {
            let mut indices = run.indices(start, end);
            if last_too {
                indices.end = run.len();
            }
            if indices.is_empty() {
                continue;
            }
            let mut samples = Vec::with_capacity(indices.len());
            run.append_to(indices, &mut samples);
            merged = if merged.is_empty() { samples } else { merge(merged, samples) };
        }
        merged
    }

    /// The first (or last) `limit` samples in `start..end`, in ascending order.
    pub(super) fn samples_limited(&self, start: i64, end: i64, direction: Direction, limit: usize) -> Vec<Sample> {
        if let [run] = &self.runs[..] {
            let mut indices = run.indices(start, end);
            if direction == Direction::Forward {
                indices.end = indices.end.min(indices.start.saturating_add(limit));
            } else {
                indices.start = indices.start.max(indices.end.saturating_sub(limit));
            }
            let mut samples = Vec::with_capacity(indices.len());
            run.append_to(indices, &mut samples);
            return samples;
        }
        let mut samples = self.samples(start, end, false);
        if direction == Direction::Forward {
            samples.truncate(limit);
        } else {
            samples.drain(..samples.len().saturating_sub(limit));
        }
        samples
    }

    /// Only `samples` (ascending) stay. With nothing left, no log record is needed any more.
    pub(super) fn replace_samples(&mut self, samples: &[Sample]) {
        self.runs = if samples.is_empty() { Vec::new() } else { vec![samples.iter().collect()] };
        if self.runs.is_empty() && self.removed.is_empty() {
            self.oldest_record = None;
        }
    }

    /// Takes out what is in `start..end`, here now and in the blocks at the next seal.
    pub(super) fn remove(&mut self, start: i64, end: i64) {
        if self.runs.iter().any(|run| !run.indices(start, end).is_empty()) {
            let mut kept = self.samples(i64::MIN, i64::MAX, true);
            kept.retain(|sample| !(start..end).contains(&sample.source_timestamp.ticks()));
            self.runs = if kept.is_empty() { Vec::new() } else { vec![kept.iter().collect()] };
        }
        self.removed.push((start, end));
    }

    pub(super) fn is_removed(&self, ticks: i64) -> bool {
        self.removed.iter().any(|&(start, end)| (start..end).contains(&ticks))
    }
}

/// Two ascending lists into one; at an equal instant the later written wins.
pub(super) fn merge(earlier: Vec<Sample>, later: Vec<Sample>) -> Vec<Sample> {
    if later.is_empty() {
        return earlier;
    }
    if let (Some(last), Some(first)) = (earlier.last(), later.first())
        && last.source_timestamp < first.source_timestamp
    {
        let mut merged = earlier;
        merged.extend(later);
        return merged;
    }
    let mut merged = Vec::with_capacity(earlier.len() + later.len());
    let mut earlier = earlier.into_iter().peekable();
    for sample in later {
        while let Some(before) = earlier.next_if(|before| before.source_timestamp < sample.source_timestamp) {
            merged.push(before);
        }
        earlier.next_if(|same| same.source_timestamp == sample.source_timestamp);
        merged.push(sample);
    }
    merged.extend(earlier);
    merged
}
