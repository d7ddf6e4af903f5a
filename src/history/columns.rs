//! Samples of one series as compact typed columns, in time order: what a head keeps in memory and a block on disk.
//! 10,000 series keep some hundred samples each in memory, so a sample costs about 20 bytes here and not the 48 of a
//! [`Sample`]. Pure.

use std::ops::Range;

use super::Summary;
pub use super::tag::{Tag, bits_of, value_of};
use crate::{
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// Server timestamps as differences to the source's: mostly one constant.
#[derive(Clone, Debug)]
pub(super) enum ServerDeltas {
    Constant(i64),
    Short(Vec<i32>),
    Long(Vec<i64>),
}

/// Values, without the nulls.
#[derive(Clone, Debug)]
pub(super) enum Values {
    None,
    W1(Tag, Vec<u8>),
    W2(Tag, Vec<u16>),
    W4(Tag, Vec<u32>),
    W8(Tag, Vec<u64>),
    Any(Vec<Value>),
}

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
    pub(super) ticks: Vec<i64>,
    pub(super) server: ServerDeltas,
    pub(super) runs: Vec<Run>,
    pub(super) values: Values,
}

impl Default for Columns {
    fn default() -> Self {
        Self { ticks: Vec::new(), server: ServerDeltas::Constant(0), runs: Vec::new(), values: Values::None }
    }
}

/// Grows by a quarter, not to the double: with 10,000 heads the slack would cost more than the copies.
fn push<T>(column: &mut Vec<T>, item: T) {
    if column.len() == column.capacity() {
        column.reserve_exact((column.len() / 4).max(16));
    }
    column.push(item);
}

impl ServerDeltas {
    fn push(&mut self, delta: i64, len_before: usize) {
        match self {
            Self::Constant(constant) if len_before == 0 => *constant = delta,
            Self::Constant(constant) if *constant == delta => {}
            Self::Constant(constant) => {
                *self = match (i32::try_from(*constant), i32::try_from(delta)) {
                    (Ok(constant), Ok(_)) => Self::Short(vec![constant; len_before]),
                    _ => Self::Long(vec![*constant; len_before]),
                };
                self.push(delta, len_before);
            }
            Self::Short(deltas) => {
                if let Ok(delta) = i32::try_from(delta) {
                    push(deltas, delta);
                } else {
                    *self = Self::Long(deltas.iter().copied().map(i64::from).collect());
                    self.push(delta, len_before);
                }
            }
            Self::Long(deltas) => push(deltas, delta),
        }
    }

    pub(super) fn get(&self, index: usize) -> i64 {
        match self {
            Self::Constant(delta) => *delta,
            Self::Short(deltas) => deltas[index].into(),
            Self::Long(deltas) => deltas[index],
        }
    }
}

impl Values {
    fn new(tag: Tag) -> Self {
        match tag.width() {
            Some(1) => Self::W1(tag, Vec::new()),
            Some(2) => Self::W2(tag, Vec::new()),
            Some(4) => Self::W4(tag, Vec::new()),
            Some(_) => Self::W8(tag, Vec::new()),
            None => Self::Any(Vec::new()),
        }
    }

    pub(super) fn tag(&self) -> Tag {
        match self {
            Self::None => Tag::Null,
            Self::W1(tag, _) | Self::W2(tag, _) | Self::W4(tag, _) | Self::W8(tag, _) => *tag,
            Self::Any(_) => Tag::Any,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::W1(_, column) => column.len(),
            Self::W2(_, column) => column.len(),
            Self::W4(_, column) => column.len(),
            Self::W8(_, column) => column.len(),
            Self::Any(column) => column.len(),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the tag's width holds the bits")]
    fn push(&mut self, value: &Value) {
        let (tag, bits) = bits_of(value);
        if matches!(self, Self::None) {
            *self = Self::new(tag);
        }
        match self {
            Self::W1(own, column) if *own == tag => push(column, bits as u8),
            Self::W2(own, column) if *own == tag => push(column, bits as u16),
            Self::W4(own, column) if *own == tag => push(column, bits as u32),
            Self::W8(own, column) if *own == tag => push(column, bits),
            Self::Any(column) => push(column, value.clone()),
            _ => {
                let mut column: Vec<Value> = (0..self.len()).map(|index| self.get(index)).collect();
                column.push(value.clone());
                *self = Self::Any(column);
            }
        }
    }

    pub(super) fn get(&self, index: usize) -> Value {
        match self {
            Self::None => Value::Null,
            Self::W1(tag, column) => value_of(*tag, column[index].into()),
            Self::W2(tag, column) => value_of(*tag, column[index].into()),
            Self::W4(tag, column) => value_of(*tag, column[index].into()),
            Self::W8(tag, column) => value_of(*tag, column[index]),
            Self::Any(column) => column[index].clone(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::W1(_, column) => column.capacity(),
            Self::W2(_, column) => column.capacity() * 2,
            Self::W4(_, column) => column.capacity() * 4,
            Self::W8(_, column) => column.capacity() * 8,
            Self::Any(column) => column.capacity() * size_of::<Value>(),
        }
    }
}

/// What a value holds outside of itself.
fn payload_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 16,
        Value::ByteString(bytes) => bytes.len() + 16,
        Value::LocalizedText(text) => text.0.len() + text.1.len() + 64,
        Value::Array(array) => 40 + array.elements.iter().map(|x| size_of::<Value>() + payload_bytes(x)).sum::<usize>(),
        _ => 0,
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
        self.ticks.is_empty()
    }

    /// Ticks of the oldest sample.
    #[must_use]
    pub fn first(&self) -> Option<i64> {
        self.ticks.first().copied()
    }

    /// Ticks of the newest sample.
    #[must_use]
    pub fn last(&self) -> Option<i64> {
        self.ticks.last().copied()
    }

    /// Whether there is a sample at `ticks`.
    #[must_use]
    pub fn contains(&self, ticks: i64) -> bool {
        self.ticks.binary_search(&ticks).is_ok()
    }

    /// Bytes of memory taken, without what texts hold.
    #[must_use]
    pub fn fixed_bytes(&self) -> usize {
        let server = match &self.server {
            ServerDeltas::Constant(_) => 0,
            ServerDeltas::Short(deltas) => deltas.capacity() * 4,
            ServerDeltas::Long(deltas) => deltas.capacity() * 8,
        };
        self.ticks.capacity() * 8 + server + self.runs.capacity() * size_of::<Run>() + self.values.bytes()
    }

    /// Adds a sample that is newer than the newest. Returns the bytes that its value holds outside of the columns.
    pub fn push(&mut self, sample: &Sample) -> usize {
        let ticks = sample.source_timestamp.ticks();
        debug_assert!(self.last().is_none_or(|last| last < ticks), "columns are in order");
        let len = self.len();
        self.server.push(sample.server_timestamp.ticks().wrapping_sub(ticks), len);
        push(&mut self.ticks, ticks);
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
        self.values.push(&sample.value);
        if matches!(self.values, Values::Any(_)) { payload_bytes(&sample.value) } else { 0 }
    }

    /// Adds the samples whose index is in `indices` to `out`, in order. A loop per type: a scan spends its time here.
    pub fn append_to(&self, indices: Range<usize>, out: &mut Vec<Sample>) {
        out.reserve(indices.len());
        match &self.values {
            Values::W1(Tag::Boolean, column) => self.rows(indices, out, |at| Value::Boolean(column[at] != 0)),
            Values::W2(Tag::Int16, column) => self.rows(indices, out, |at| Value::Int16(column[at].cast_signed())),
            Values::W2(Tag::UInt16, column) => self.rows(indices, out, |at| Value::UInt16(column[at])),
            Values::W4(Tag::Int32, column) => self.rows(indices, out, |at| Value::Int32(column[at].cast_signed())),
            Values::W4(Tag::UInt32, column) => self.rows(indices, out, |at| Value::UInt32(column[at])),
            Values::W4(Tag::Float, column) => self.rows(indices, out, |at| Value::Float(f32::from_bits(column[at]))),
            Values::W8(Tag::Double, column) => self.rows(indices, out, |at| Value::Double(f64::from_bits(column[at]))),
            values => self.rows(indices, out, |at| values.get(at)),
        }
    }

    fn rows(&self, indices: Range<usize>, out: &mut Vec<Sample>, value: impl Fn(usize) -> Value) {
        self.each_run(indices, |run, at, value_at| {
            let status = StatusCode::from(run.status);
            let row = |at: usize, delta: i64, value: Value| Sample {
                source_timestamp: Timestamp::from_ticks(self.ticks[at]),
                server_timestamp: Timestamp::from_ticks(self.ticks[at].wrapping_add(delta)),
                status,
                value,
            };
            let shift = value_at.wrapping_sub(at.start);
            match (&self.server, run.is_null) {
                (&ServerDeltas::Constant(delta), false) => {
                    out.extend(at.map(|at| row(at, delta, value(at.wrapping_add(shift)))));
                }
                (server, false) => out.extend(at.map(|at| row(at, server.get(at), value(at.wrapping_add(shift))))),
                (server, true) => out.extend(at.map(|at| row(at, server.get(at), Value::Null))),
            }
        });
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
        self.append_to(index..index + 1, &mut sample);
        sample.pop()
    }

    /// Indices of the samples at or after `start` and before `end` (in ticks).
    #[must_use]
    pub fn indices(&self, start: i64, end: i64) -> Range<usize> {
        let from = self.ticks.partition_point(|&ticks| ticks < start);
        from..self.ticks.partition_point(|&ticks| ticks < end).max(from)
    }

    /// Whether the ticks ascend, as they must: asked of what was read.
    pub(super) fn is_sorted(&self) -> bool {
        self.ticks.is_sorted_by(|a, b| a < b)
    }

    /// Every sample.
    #[must_use]
    pub fn to_samples(&self) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(self.len());
        self.append_to(0..self.len(), &mut samples);
        samples
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
