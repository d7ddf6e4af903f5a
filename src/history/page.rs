//! The columns of a block, one after the other, each u8 encoding, u32 length, bytes. Pure.
//!
//! ```text
//! u8 tag      columns: ticks, server timestamps, statuses, values      zeros
//! ```
//! The zeros make it as long as what reading it takes in memory asks for (see `block.rs`): rarely any.

use pco::DeltaSpec;

use super::{
    block::{BlockError, TIMES, array},
    block_values,
    columns::{Columns, Run, Tag},
    packed::{self, Packed, pack, unpack},
    ticks::{ServerDeltas, Ticks},
};

/// How a column's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Encoding {
    /// Statuses: of each run u32 status, u15 count, and whether the values are null.
    Runs = 0,
    /// One number for all.
    Constant = 1,
    /// pco of each type.
    I32 = 2,
    I64 = 3,
    U32 = 4,
    U64 = 5,
    F32 = 6,
    F64 = 7,
    /// Distinct values, then which is held for how long.
    Dictionary = 8,
    /// The first, then the same difference from each to the next.
    Step = 9,
    /// pco of each type.
    U8 = 10,
    I8 = 11,
    U16 = 12,
    I16 = 13,
    /// Values of one width, each with for how long it is held.
    Held = 14,
}

impl Encoding {
    fn from_byte(byte: u8) -> Result<Self, BlockError> {
        Ok(match byte {
            0 => Self::Runs,
            1 => Self::Constant,
            2 => Self::I32,
            3 => Self::I64,
            4 => Self::U32,
            5 => Self::U64,
            6 => Self::F32,
            7 => Self::F64,
            8 => Self::Dictionary,
            9 => Self::Step,
            10 => Self::U8,
            11 => Self::I8,
            12 => Self::U16,
            13 => Self::I16,
            14 => Self::Held,
            _ => return Err(BlockError::Malformed("encoding")),
        })
    }
}

/// A column.
pub(super) type Encoded<'a> = (Encoding, &'a [u8]);

/// Bytes of memory that reading a column of a block of `count` samples takes.
fn memory_of((encoding, bytes): Encoded<'_>, count: usize) -> Option<usize> {
    let width = match encoding {
        Encoding::Constant | Encoding::Step => return Some(0),
        Encoding::Runs => return Some(bytes.len() / RUN_BYTES * size_of::<Run>()),
        // Nothing in them is shorter than a sixteenth of what it takes (see `block_values.rs`, `value_bytes.rs`).
        Encoding::Held | Encoding::Dictionary => return Some(bytes.len() * TIMES),
        Encoding::U8 | Encoding::I8 => 1,
        Encoding::U16 | Encoding::I16 => 2,
        Encoding::U32 | Encoding::I32 | Encoding::F32 => 4,
        Encoding::U64 | Encoding::I64 | Encoding::F64 => 8,
    };
    packed::memory(bytes, width, count)
}

/// Bytes of memory that [`decode`] takes, at most.
pub(super) fn memory(bytes: &[u8], count: usize) -> Result<usize, BlockError> {
    let (_, columns, _) = split(bytes)?;
    let sum = columns.into_iter().map(|column| memory_of(column, count)).sum::<Option<usize>>();
    sum.ok_or(BlockError::Malformed("packed"))
}

/// Compresses samples (not none).
pub(super) fn encode(columns: &Columns, out: &mut Vec<u8>) {
    out.push(columns.values.tag() as u8);
    write_ticks(out, &columns.ticks);
    match &columns.server {
        ServerDeltas::Constant(delta) => write_column(out, Encoding::Constant, &delta.to_le_bytes()),
        ServerDeltas::Short(deltas) => write_numbers(out, deltas, DeltaSpec::Auto),
        ServerDeltas::Long(deltas) => write_numbers(out, deltas, DeltaSpec::Auto),
    }
    write_runs(out, &columns.runs);
    block_values::write(out, &columns.values);
}

/// The inverse; the checksum has been checked, and [`memory`].
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Columns, BlockError> {
    let (tag, [ticks, server, runs, values], rest) = split(bytes)?;
    let ticks = read_ticks(ticks, count)?;
    let server = read_server(server, count)?;
    let runs = read_runs(runs, count)?;
    let values_count = runs.iter().filter(|run| !run.is_null).map(|run| run.count as usize).sum();
    let values = block_values::read(values, tag, values_count)?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(BlockError::Malformed("last"));
    }
    Ok(Columns { ticks, server, runs, values })
}

/// The tag, the columns, and what comes after them.
fn split(bytes: &[u8]) -> Result<(Tag, [Encoded<'_>; 4], &[u8]), BlockError> {
    let (&tag, mut rest) = bytes.split_first().ok_or(BlockError::Short)?;
    let tag = Tag::from_byte(tag).ok_or(BlockError::Malformed("type"))?;
    let mut column = || -> Result<Encoded<'_>, BlockError> {
        let encoding = Encoding::from_byte(*rest.first().ok_or(BlockError::Short)?)?;
        let len = u32::from_le_bytes(array(rest, 1)?) as usize;
        let body = rest.get(5..).and_then(|body| body.split_at_checked(len)).ok_or(BlockError::Short)?;
        rest = body.1;
        Ok((encoding, body.0))
    };
    Ok((tag, [column()?, column()?, column()?, column()?], rest))
}

pub(super) fn write_column(out: &mut Vec<u8>, encoding: Encoding, bytes: &[u8]) {
    out.push(encoding as u8);
    let len = u32::try_from(bytes.len()).expect("a column of at most 8192 bounded values is below 4 GiB");
    out.extend(len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn write_numbers<T: Packed>(out: &mut Vec<u8>, numbers: &[T], delta: DeltaSpec) {
    write_column(out, T::ENCODING, &pack(numbers, delta));
}

fn write_ticks(out: &mut Vec<u8>, ticks: &Ticks) {
    match ticks {
        Ticks::Step { first, step, .. } => {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&first.to_le_bytes());
            bytes[8..].copy_from_slice(&step.to_le_bytes());
            write_column(out, Encoding::Step, &bytes);
        }
        Ticks::Each(ticks) => write_numbers(out, ticks, DeltaSpec::TryConsecutive(1)),
    }
}

fn read_ticks((encoding, bytes): Encoded<'_>, count: usize) -> Result<Ticks, BlockError> {
    const MALFORMED: BlockError = BlockError::Malformed("time");
    match encoding {
        Encoding::I64 => Ok(Ticks::Each(unpack(bytes, count).ok_or(MALFORMED)?)),
        Encoding::Step if bytes.len() == 16 => Ok(Ticks::Step {
            first: i64::from_le_bytes(array(bytes, 0)?),
            step: i64::from_le_bytes(array(bytes, 8)?),
            count,
        }),
        _ => Err(MALFORMED),
    }
}

fn read_server((encoding, bytes): Encoded<'_>, count: usize) -> Result<ServerDeltas, BlockError> {
    const MALFORMED: BlockError = BlockError::Malformed("server time");
    Ok(match encoding {
        Encoding::Constant => ServerDeltas::Constant(i64::from_le_bytes(bytes.try_into().map_err(|_| MALFORMED)?)),
        Encoding::I32 => ServerDeltas::Short(unpack(bytes, count).ok_or(MALFORMED)?),
        Encoding::I64 => ServerDeltas::Long(unpack(bytes, count).ok_or(MALFORMED)?),
        _ => return Err(MALFORMED),
    })
}

const RUN_BYTES: usize = 6;

fn write_runs(out: &mut Vec<u8>, runs: &[Run]) {
    let mut bytes = Vec::with_capacity(runs.len() * RUN_BYTES);
    for run in runs {
        bytes.extend(run.status.to_le_bytes());
        let count = u16::try_from(run.count).expect("a run is not longer than its block");
        bytes.extend((count << 1 | u16::from(run.is_null)).to_le_bytes());
    }
    write_column(out, Encoding::Runs, &bytes);
}

fn read_runs((encoding, bytes): Encoded<'_>, count: usize) -> Result<Vec<Run>, BlockError> {
    const MALFORMED: BlockError = BlockError::Malformed("status");
    if encoding != Encoding::Runs || !bytes.len().is_multiple_of(RUN_BYTES) {
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
