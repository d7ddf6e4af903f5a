//! A sealed block: samples of one series, compressed. Pure. The format is for ever: byte 0 is its version.
//!
//! ```text
//! 0   u8  version (1)                      8  i64 first ticks      24 u64 bits of the first value
//! 1   u8  tag | 0x40 last is null | 0x80 first is null
//!                                          16 i64 last ticks       32 u64 bits of the last value
//! 2   u16 samples                          40 Good:      u16 usable, u16 all, f64 min, max, sum
//! 4   u32 CRC-32 of all other bytes        68 Uncertain: the same
//! 96  u64 log record: those before it hold nothing of this series that blocks do not (0: not known)
//! 104 columns: ticks, server timestamps, statuses, values: u8 encoding, u32 length, bytes each
//! ```
//! Integers are little-endian. The header answers the questions of whole-block aggregates without decoding.

use super::{
    Direction,
    block_values::{self, Encoding},
    columns::{Columns, Run, ServerDeltas, Tag, bits_of, value_of},
};
use crate::{
    sample::{Sample, Value},
    time::Timestamp,
};

/// The version that this code writes.
const VERSION: u8 = 1;
const FIRST_IS_NULL: u8 = 0x80;
const LAST_IS_NULL: u8 = 0x40;
/// Bytes before the columns.
pub const HEADER_BYTES: usize = 104;
/// No block holds more; with that, decoding never asks for more than about half a MiB of fixed width columns.
pub const SAMPLES_MAX: usize = 8192;

/// Why bytes are not a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Fewer bytes than the header, or than a column says it has.
    #[error("the block is cut short")]
    Short,
    /// Written by a newer program.
    #[error("block version {0} is not known")]
    Version(u8),
    /// Bits have changed since it was written.
    #[error("the block's checksum is wrong")]
    Checksum,
    /// The checksum is right but the content contradicts itself.
    #[error("the block's {0} column is malformed")]
    Malformed(&'static str),
    /// Not something a block can hold.
    #[error("a block holds 1 to {SAMPLES_MAX} samples")]
    Count,
}

/// Samples of one status class (OPC 10000-4 §7.38: the two top bits).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassSummary {
    /// Samples of the class.
    pub count: u16,
    /// Of these, with a finite number as value: what `min`, `max` and `sum` are about.
    pub usable: u16,
    /// Least; 0 if none is usable.
    pub min: f64,
    /// Greatest; 0 if none is usable.
    pub max: f64,
    /// Sum.
    pub sum: f64,
}

/// What a block says of itself without being decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The type of the values.
    pub tag: Tag,
    /// Samples.
    pub count: u16,
    /// SourceTimestamp of the oldest.
    pub first: Timestamp,
    /// SourceTimestamp of the newest.
    pub last: Timestamp,
    /// Value of the oldest; `None` if it is null or the block's values are of several types or of varying length.
    pub first_value: Option<Value>,
    /// Value of the newest; likewise.
    pub last_value: Option<Value>,
    /// The samples with a Good status.
    pub good: ClassSummary,
    /// The samples with an Uncertain status. The rest is Bad.
    pub uncertain: ClassSummary,
    /// What the log holds of this series in records before this one is in blocks; 0 if that isn't known.
    pub log_record: u64,
}

impl ClassSummary {
    fn add(&mut self, value: &Value) {
        self.count += 1;
        let Some(x) = value.as_f64().filter(|x| x.is_finite()) else { return };
        (self.min, self.max) = if self.usable == 0 { (x, x) } else { (self.min.min(x), self.max.max(x)) };
        self.usable += 1;
        self.sum += x;
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.usable.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        for x in [self.min, self.max, self.sum] {
            out.extend(x.to_le_bytes());
        }
    }

    fn parse(bytes: &[u8], at: usize) -> Result<Self, BlockError> {
        let float = |at| Ok(f64::from_le_bytes(array(bytes, at)?));
        Ok(Self {
            usable: u16::from_le_bytes(array(bytes, at)?),
            count: u16::from_le_bytes(array(bytes, at + 2)?),
            min: float(at + 4)?,
            max: float(at + 12)?,
            sum: float(at + 20)?,
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BlockError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or(BlockError::Short)
}

/// Compresses 1 to [`SAMPLES_MAX`] samples. `log_record`: see [`Header`].
///
/// # Errors
/// If there are none or too many.
pub fn encode(columns: &Columns, log_record: u64) -> Result<Vec<u8>, BlockError> {
    let count = u16::try_from(columns.len()).map_err(|_| BlockError::Count)?;
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return Err(BlockError::Count) };
    if columns.len() > SAMPLES_MAX {
        return Err(BlockError::Count);
    }
    let (mut good, mut uncertain) = (ClassSummary::default(), ClassSummary::default());
    let (mut first_bits, mut last_bits) = (0, 0);
    let (mut index, mut nulls) = (0, 0);
    columns.for_each(0..columns.len(), |sample| {
        if sample.status.is_good() {
            good.add(&sample.value);
        } else if sample.status.is_uncertain() {
            uncertain.add(&sample.value);
        }
        last_bits = bits_of(&sample.value).1;
        nulls &= !LAST_IS_NULL;
        if sample.value.is_null() {
            nulls |= if index == 0 { FIRST_IS_NULL | LAST_IS_NULL } else { LAST_IS_NULL };
        }
        if index == 0 {
            first_bits = last_bits;
        }
        index += 1;
    });
    let mut out = Vec::with_capacity(HEADER_BYTES + columns.len() * 4);
    out.extend([VERSION, columns.values.tag() as u8 | nulls]);
    out.extend(count.to_le_bytes());
    out.extend([0; 4]);
    out.extend(first.to_le_bytes());
    out.extend(last.to_le_bytes());
    out.extend(first_bits.to_le_bytes());
    out.extend(last_bits.to_le_bytes());
    good.write(&mut out);
    uncertain.write(&mut out);
    out.extend(log_record.to_le_bytes());
    debug_assert_eq!(out.len(), HEADER_BYTES);
    block_values::write_ticks(&mut out, &columns.ticks);
    match &columns.server {
        ServerDeltas::Constant(delta) => write_column(&mut out, Encoding::Constant, &delta.to_le_bytes()),
        ServerDeltas::Short(deltas) => block_values::write_numbers(&mut out, deltas),
        ServerDeltas::Long(deltas) => block_values::write_numbers(&mut out, deltas),
    }
    write_runs(&mut out, &columns.runs);
    block_values::write_values(&mut out, &columns.values);
    let crc = checksum(&out);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    Ok(out)
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..4]);
    crc.update(&bytes[8..]);
    crc.finalize()
}

/// Reads the header of a block. Cheap: neither checks the checksum nor decodes.
///
/// # Errors
/// If the bytes are too few or of an unknown version.
pub fn header(bytes: &[u8]) -> Result<Header, BlockError> {
    if bytes.len() < HEADER_BYTES {
        return Err(BlockError::Short);
    }
    if bytes[0] != VERSION {
        return Err(BlockError::Version(bytes[0]));
    }
    let tag = Tag::from_byte(bytes[1] & !(FIRST_IS_NULL | LAST_IS_NULL)).ok_or(BlockError::Malformed("type"))?;
    let count = u16::from_le_bytes(array(bytes, 2)?);
    if count == 0 || usize::from(count) > SAMPLES_MAX {
        return Err(BlockError::Count);
    }
    let value = |at, null_flag| {
        let value = value_of(tag, u64::from_le_bytes(array(bytes, at)?));
        Ok(Some(value).filter(|value| bytes[1] & null_flag == 0 && !value.is_null()))
    };
    Ok(Header {
        tag,
        count,
        first: Timestamp::from_ticks(i64::from_le_bytes(array(bytes, 8)?)),
        last: Timestamp::from_ticks(i64::from_le_bytes(array(bytes, 16)?)),
        first_value: value(24, FIRST_IS_NULL)?,
        last_value: value(32, LAST_IS_NULL)?,
        good: ClassSummary::parse(bytes, 40)?,
        uncertain: ClassSummary::parse(bytes, 68)?,
        log_record: u64::from_le_bytes(array(bytes, 96)?),
    })
}

/// Decompresses a block.
///
/// # Errors
/// If the bytes are not exactly what [`encode`] made.
pub fn decode(bytes: &[u8]) -> Result<Columns, BlockError> {
    let header = header(bytes)?;
    if u32::from_le_bytes(array(bytes, 4)?) != checksum(bytes) {
        return Err(BlockError::Checksum);
    }
    let count = usize::from(header.count);
    let mut rest = &bytes[HEADER_BYTES..];
    let ticks = block_values::read_ticks(column(&mut rest)?, count)?;
    if !ticks.is_sorted_by(|a, b| a < b)
        || ticks.first() != Some(&header.first.ticks())
        || ticks.last() != Some(&header.last.ticks())
    {
        return Err(BlockError::Malformed("time"));
    }
    let server = read_server(column(&mut rest)?, count)?;
    let runs = read_runs(column(&mut rest)?, count)?;
    let values_count = runs.iter().filter(|run| !run.is_null).map(|run| run.count as usize).sum();
    let values = block_values::read_values(column(&mut rest)?, header.tag, values_count)?;
    if !rest.is_empty() {
        return Err(BlockError::Malformed("last"));
    }
    Ok(Columns { ticks, server, runs, values })
}

/// The first (or, going backward, the last) `limit` samples of a block in `start..end` (ticks), in ascending order.
///
/// # Errors
/// As [`decode`].
pub fn decode_range(
    bytes: &[u8],
    start: i64,
    end: i64,
    direction: Direction,
    limit: usize,
) -> Result<Vec<Sample>, BlockError> {
    let columns = decode(bytes)?;
    let mut indices = columns.indices(start, end);
    match direction {
        Direction::Forward => indices.end = indices.end.min(indices.start.saturating_add(limit)),
        Direction::Backward => indices.start = indices.start.max(indices.end.saturating_sub(limit)),
    }
    let mut samples = Vec::with_capacity(indices.len());
    columns.for_each(indices, |sample| samples.push(sample));
    Ok(samples)
}

pub(super) fn write_column(out: &mut Vec<u8>, encoding: Encoding, bytes: &[u8]) {
    out.push(encoding as u8);
    let len = u32::try_from(bytes.len()).expect("a column of at most 8192 bounded values is below 4 GiB");
    out.extend(len.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes the next column off `rest`.
fn column<'a>(rest: &mut &'a [u8]) -> Result<(Encoding, &'a [u8]), BlockError> {
    let encoding = Encoding::from_byte(*rest.first().ok_or(BlockError::Short)?)?;
    let len = u32::from_le_bytes(array(rest, 1)?) as usize;
    let body = rest.get(5..).and_then(|body| body.split_at_checked(len)).ok_or(BlockError::Short)?;
    *rest = body.1;
    Ok((encoding, body.0))
}

fn write_runs(out: &mut Vec<u8>, runs: &[Run]) {
    let mut bytes = Vec::with_capacity(runs.len() * 7);
    for run in runs {
        bytes.extend(run.status.to_le_bytes());
        let count = u16::try_from(run.count).expect("a run is not longer than its block");
        bytes.extend((count << 1 | u16::from(run.is_null)).to_le_bytes());
    }
    write_column(out, Encoding::Raw, &bytes);
}

fn read_runs((encoding, bytes): (Encoding, &[u8]), count: usize) -> Result<Vec<Run>, BlockError> {
    const RUN_BYTES: usize = 6;
    const MALFORMED: BlockError = BlockError::Malformed("status");
    if encoding != Encoding::Raw || !bytes.len().is_multiple_of(RUN_BYTES) || bytes.len() / RUN_BYTES > count {
        return Err(MALFORMED);
    }
    let runs: Vec<Run> = bytes
        .chunks_exact(RUN_BYTES)
        .map(|run| {
            let tail = u16::from_le_bytes([run[4], run[5]]);
            let status = u32::from_le_bytes([run[0], run[1], run[2], run[3]]);
            Run { status, is_null: tail & 1 == 1, count: u32::from(tail >> 1) }
        })
        .collect();
    let total: usize = runs.iter().map(|run| run.count as usize).sum();
    if total == count { Ok(runs) } else { Err(MALFORMED) }
}

fn read_server((encoding, bytes): (Encoding, &[u8]), count: usize) -> Result<ServerDeltas, BlockError> {
    const MALFORMED: BlockError = BlockError::Malformed("server time");
    Ok(match encoding {
        Encoding::Constant => ServerDeltas::Constant(i64::from_le_bytes(bytes.try_into().map_err(|_| MALFORMED)?)),
        Encoding::I32 => ServerDeltas::Short(block_values::read_numbers(bytes, count).ok_or(MALFORMED)?),
        Encoding::I64 => ServerDeltas::Long(block_values::read_numbers(bytes, count).ok_or(MALFORMED)?),
        _ => return Err(MALFORMED),
    })
}
