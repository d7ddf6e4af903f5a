//! The columns of a block, one after the other, each u8 encoding, u32 length, bytes. Pure.
//!
//! ```text
//! u8 tag      columns: ticks, server timestamps, statuses, values
//! ```

use super::{
    block::{BlockError, array},
    block_values::{self, Encoding},
    columns::{Columns, Run, ServerDeltas, Tag},
};

/// Compresses samples (not none).
pub(super) fn encode(columns: &Columns, out: &mut Vec<u8>) {
    out.push(columns.values.tag() as u8);
    block_values::write_ticks(out, &columns.ticks);
    match &columns.server {
        ServerDeltas::Constant(delta) => write_column(out, Encoding::Constant, &delta.to_le_bytes()),
        ServerDeltas::Short(deltas) => block_values::write_numbers(out, deltas),
        ServerDeltas::Long(deltas) => block_values::write_numbers(out, deltas),
    }
    write_runs(out, &columns.runs);
    block_values::write_values(out, &columns.values);
}

/// The inverse; the checksum has been checked.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Columns, BlockError> {
    let (&tag, mut rest) = bytes.split_first().ok_or(BlockError::Short)?;
    let tag = Tag::from_byte(tag).ok_or(BlockError::Malformed("type"))?;
    let ticks = block_values::read_ticks(column(&mut rest)?, count)?;
    let server = read_server(column(&mut rest)?, count)?;
    let runs = read_runs(column(&mut rest)?, count)?;
    let values_count = runs.iter().filter(|run| !run.is_null).map(|run| run.count as usize).sum();
    let values = block_values::read_values(column(&mut rest)?, tag, values_count)?;
    if !rest.is_empty() {
        return Err(BlockError::Malformed("last"));
    }
    Ok(Columns { ticks, server, runs, values })
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
