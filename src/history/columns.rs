//! Samples of one series as compact typed columns, in time order: what a head keeps in memory and a block on disk.
//! 10,000 series keep some hundred samples each in memory, so a sample costs about 20 bytes here at most, on a steady clock
//! and with a held value almost none, and not the 48 of a [`Sample`]. Pure.

use std::ops::Range;

pub use super::tag::{Tag, bits_of, value_of};
use super::{
    Summary,
    ticks::{ServerDeltas, Ticks, at_step},
    values::{Held, Values, held_at},
};
use crate::{
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// So many samples in a row with this status and with, or without, a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) status: u32,
    pub(super) is_null: bool,
    pub(super) count: u32,
}

/// Samples in strictly ascending order of SourceTimestamp.
#[derive(Clone, Debug)]
pub struct Columns {
    pub(super) ticks: Ticks,
    pub(super) server: ServerDeltas,
    pub(super) runs: Vec<Run>,
    pub(super) values: Values,
}

impl Default for Columns {
    fn default() -> Self {
        Self { ticks: Ticks::default(), server: ServerDeltas::Constant(0), runs: Vec::new(), values: Values::default() }
    }
}

impl Columns {
    /// How many samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ticks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ticks of the oldest sample.
    #[must_use]
    pub fn first(&self) -> Option<i64> {
        self.ticks.get(0)
    }

    /// Ticks of the newest sample.
    #[must_use]
    pub fn last(&self) -> Option<i64> {
        self.ticks.last()
    }

    /// Whether there is a sample at `ticks`.
    #[must_use]
    pub fn contains(&self, ticks: i64) -> bool {
        self.ticks.get(self.ticks.indices(ticks, ticks).start) == Some(ticks)
    }

    /// Bytes of memory taken, without what texts hold.
    #[must_use]
    pub fn fixed_bytes(&self) -> usize {
        let runs = self.runs.capacity() * size_of::<Run>();
        self.ticks.bytes() + self.server.bytes() + runs + self.values.bytes()
    }

    /// Adds a sample that is newer than the newest. Returns the bytes that its value holds outside of the columns.
    pub fn push(&mut self, sample: &Sample) -> usize {
        let ticks = sample.source_timestamp.ticks();
        debug_assert!(self.last().is_none_or(|last| last < ticks), "columns are in order");
        let len = self.len();
        self.server.push(sample.server_timestamp.ticks().wrapping_sub(ticks), len);
        self.ticks.push(ticks);
        let (status, is_null) = (sample.status.bits(), sample.value.is_null());
        match self.runs.last_mut() {
            Some(run) if run.status == status && run.is_null == is_null => run.count += 1,
            _ => {
                if self.runs.len() == self.runs.capacity() {
                    self.runs.reserve_exact((self.runs.len() / 2).max(2));
                }
                self.runs.push(Run { status, is_null, count: 1 });
            }
        }
        if is_null {
            return 0;
        }
        self.values.push(&sample.value)
    }

    /// Adds the samples whose index is in `indices` to `out`, in order. A loop per type: a scan spends its time here.
    pub fn append_to(&self, indices: Range<usize>, out: &mut Vec<Sample>) {
        out.reserve(indices.len());
        match &self.ticks {
            &Ticks::Step { first, step, .. } => self.append_at(|at| at_step(first, step, at), indices, out),
            Ticks::Each(ticks) => self.append_at(|at| ticks[at], indices, out),
        }
    }

    fn append_at(&self, ticks: impl Fn(usize) -> i64, indices: Range<usize>, out: &mut Vec<Sample>) {
        let mut rows = Rows { columns: self, ticks, out };
        match &self.values {
            Values::Held(_, held) => rows.held(indices, held),
            Values::W1(Tag::Boolean, column) => rows.each(indices, |at| Value::Boolean(column[at] != 0)),
            Values::W2(Tag::Int16, column) => rows.each(indices, |at| Value::Int16(column[at].cast_signed())),
            Values::W2(Tag::UInt16, column) => rows.each(indices, |at| Value::UInt16(column[at])),
            Values::W4(Tag::Int32, column) => rows.each(indices, |at| Value::Int32(column[at].cast_signed())),
            Values::W4(Tag::UInt32, column) => rows.each(indices, |at| Value::UInt32(column[at])),
            Values::W4(Tag::Float, column) => rows.each(indices, |at| Value::Float(f32::from_bits(column[at]))),
            Values::W8(Tag::Double, column) => rows.each(indices, |at| Value::Double(f64::from_bits(column[at]))),
            values => rows.each(indices, |at| values.get(at)),
        }
    }

    /// Calls `take` with each run, the part of its indices that is in `indices`, and where its values begin.
    fn each_run(&self, indices: Range<usize>, mut take: impl FnMut(&Run, Range<usize>, usize)) {
        let (mut index, mut value_index) = (0, 0);
        for run in &self.runs {
            if index >= indices.end {
                break;
            }
            let run_end = index + run.count as usize;
            let at = index.max(indices.start)..run_end.min(indices.end);
            if at.start < at.end {
                let value_at = value_index + at.start - index;
                take(run, at, value_at);
            }
            if !run.is_null {
                value_index += run.count as usize;
            }
            index = run_end;
        }
    }

    /// What the samples in `indices` amount to.
    #[must_use]
    pub fn summary(&self, indices: Range<usize>) -> Summary {
        let mut summary = Summary::default();
        self.each_run(indices, |run, at, value_at| {
            let status = StatusCode::from(run.status);
            let class = if status.is_good() {
                &mut summary.good
            } else if status.is_uncertain() {
                &mut summary.uncertain
            } else {
                summary.bad += at.len() as u64;
                return;
            };
            if run.is_null {
                class.count += at.len() as u64;
                return;
            }
            let values = value_at..value_at + at.len();
            match &self.values {
                Values::Held(_, held) => each_held(held, values, |value, indices| {
                    let x = value.as_f64();
                    indices.for_each(|_| class.add(x));
                }),
                Values::W1(Tag::Boolean, column) => class.extend(&column[values], |x| f64::from(u8::from(x != 0))),
                Values::W2(Tag::UInt16, column) => class.extend(&column[values], f64::from),
                Values::W4(Tag::UInt32, column) => class.extend(&column[values], f64::from),
                Values::W4(Tag::Int32, column) => class.extend(&column[values], |x| f64::from(x.cast_signed())),
                Values::W4(Tag::Float, column) => class.extend(&column[values], |x| f64::from(f32::from_bits(x))),
                Values::W8(Tag::Double, column) => class.extend(&column[values], f64::from_bits),
                column => values.for_each(|at| class.add(column.get(at).as_f64())),
            }
        });
        summary
    }

    /// One sample.
    pub(super) fn get(&self, index: usize) -> Option<Sample> {
        let mut sample = Vec::new();
        self.append_to(index..index.saturating_add(1), &mut sample);
        sample.pop()
    }

    /// Indices of the samples at or after `start` and before `end` (in ticks).
    #[must_use]
    pub fn indices(&self, start: i64, end: i64) -> Range<usize> {
        self.ticks.indices(start, end)
    }

    /// Every sample.
    #[must_use]
    pub fn to_samples(&self) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(self.len());
        self.append_to(0..self.len(), &mut samples);
        samples
    }
}

/// Puts samples together from a run's status, its instants and its values.
struct Rows<'a, T> {
    columns: &'a Columns,
    ticks: T,
    out: &'a mut Vec<Sample>,
}

impl<T: Fn(usize) -> i64> Rows<'_, T> {
    fn each(&mut self, indices: Range<usize>, value: impl Fn(usize) -> Value) {
        self.columns.each_run(indices, |run, at, value_at| {
            let shift = value_at.wrapping_sub(at.start);
            if run.is_null {
                self.extend(run, at, |_| Value::Null);
            } else {
                self.extend(run, at, |at| value(at.wrapping_add(shift)));
            }
        });
    }

    fn held(&mut self, indices: Range<usize>, held: &[Held]) {
        self.columns.each_run(indices, |run, at, value_at| {
            if run.is_null {
                self.extend(run, at, |_| Value::Null);
                return;
            }
            let shift = at.start.wrapping_sub(value_at);
            each_held(held, value_at..value_at + at.len(), |value, values| {
                let at = values.start.wrapping_add(shift)..values.end.wrapping_add(shift);
                self.extend(run, at, |_| value.clone());
            });
        });
    }

    fn extend(&mut self, run: &Run, indices: Range<usize>, value: impl Fn(usize) -> Value) {
        let status = StatusCode::from(run.status);
        let row = |at: usize, delta: i64| {
            let ticks = (self.ticks)(at);
            Sample {
                source_timestamp: Timestamp::from_ticks(ticks),
                server_timestamp: Timestamp::from_ticks(ticks.wrapping_add(delta)),
                status,
                value: value(at),
            }
        };
        match &self.columns.server {
            &ServerDeltas::Constant(delta) => self.out.extend(indices.map(|at| row(at, delta))),
            server => self.out.extend(indices.map(|at| row(at, server.get(at)))),
        }
    }
}

/// Calls `take` with each value and with the part of its indices that is in `indices`.
fn each_held(held: &[Held], indices: Range<usize>, mut take: impl FnMut(&Value, Range<usize>)) {
    let mut start = indices.start;
    for Held { value, end } in &held[held_at(held, start)..] {
        if start >= indices.end {
            break;
        }
        let end = (*end as usize).min(indices.end);
        take(value, start..end);
        start = end;
    }
}

/// From samples in strictly ascending order.
impl<'a> FromIterator<&'a Sample> for Columns {
    fn from_iter<I: IntoIterator<Item = &'a Sample>>(samples: I) -> Self {
        let mut columns = Self::default();
        for sample in samples {
            columns.push(sample);
        }
        columns
    }
}
