//! A sealed block: samples of one series, compressed. Pure. The format is for ever: byte 0 is its version.
//!
//! ```text
//! 0   u8  version (4)                      8  i64 first ticks      24 u64 bits of the first value
//! 1   u8  tag | 0x40 last is null | 0x80 first is null
//!                                          16 i64 last ticks       32 u64 bits of the last value
//! 2   u16 samples                          40 Good:      u16 usable, u16 all, f64 min, max, sum
//! 4   u32 CRC-32 of the header's other     68 Uncertain: the same
//!         bytes                            104 u32 length and u32 CRC-32 of the columns
//! 96  u64 log record: those before it hold nothing of this series that blocks do not (0: not known)
//! 112 columns: see `page.rs`
//! ```
//! Integers are little-endian. The header answers the questions of whole-block aggregates without decoding, and is kept
//! a second time where it is found without its block. No block takes more than 16 times its bytes in memory when it is
//! decoded: whoever reads one checks that first, whoever makes one sees to it.

use super::{
    Summary,
    columns::{Columns, Tag, bits_of, value_of},
    page,
    summary::ClassSummary,
};
use crate::{sample::Value, time::Timestamp};

/// The version that this code writes.
const VERSION: u8 = 4;
const FIRST_IS_NULL: u8 = 0x80;
const LAST_IS_NULL: u8 = 0x40;
/// Bytes before the columns.
pub const HEADER_BYTES: usize = 112;
/// No block holds more.
pub const SAMPLES_MAX: usize = 8192;

/// Decoding takes at most so many times a block's bytes in memory, besides some 40 KiB that it always takes.
pub(super) const TIMES: usize = 16;

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
    /// Small bytes that would be big in memory, as none that is written is.
    #[error("the block would take more than {TIMES} times its size in memory")]
    Memory,
    /// Not something a block can hold.
    #[error("a block holds 1 to {SAMPLES_MAX} samples")]
    Count,
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
    /// What the samples amount to.
    pub summary: Summary,
    /// What the log holds of this series in records before this one is in blocks; 0 if that isn't known.
    pub log_record: u64,
}

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BlockError> {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).ok_or(BlockError::Short)
}

fn write_class(out: &mut Vec<u8>, class: &ClassSummary) {
    for count in [class.usable, class.count] {
        out.extend(u16::try_from(count).expect("no more than the block's samples").to_le_bytes());
    }
    for x in [class.min, class.max, class.sum] {
        out.extend(x.to_le_bytes());
    }
}

fn read_class(bytes: &[u8], at: usize) -> Result<ClassSummary, BlockError> {
    let float = |at| Ok(f64::from_le_bytes(array(bytes, at)?));
    Ok(ClassSummary {
        usable: u16::from_le_bytes(array(bytes, at)?).into(),
        count: u16::from_le_bytes(array(bytes, at + 2)?).into(),
        min: float(at + 4)?,
        max: float(at + 12)?,
        sum: float(at + 20)?,
    })
}

impl Header {
    fn of(columns: &Columns, log_record: u64) -> Result<Self, BlockError> {
        let count = u16::try_from(columns.len()).map_err(|_| BlockError::Count)?;
        let (Some(first), Some(last)) = (columns.get(0), columns.get(columns.len().wrapping_sub(1))) else {
            return Err(BlockError::Count);
        };
        let tag = columns.values.tag();
        let plain = |value: Value| Some(value).filter(|value| tag.width().is_some() && !value.is_null());
        Ok(Self {
            tag,
            count,
            first: first.source_timestamp,
            last: last.source_timestamp,
            first_value: plain(first.value),
            last_value: plain(last.value),
            summary: columns.summary(0..columns.len()),
            log_record,
        })
    }

    fn write(&self, columns: &[u8], out: &mut Vec<u8>) {
        let null = |value: &Option<Value>, flag| if value.is_none() { flag } else { 0 };
        let nulls = null(&self.first_value, FIRST_IS_NULL) | null(&self.last_value, LAST_IS_NULL);
        out.extend([VERSION, self.tag as u8 | nulls]);
        out.extend(self.count.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.first.ticks().to_le_bytes());
        out.extend(self.last.ticks().to_le_bytes());
        for value in [&self.first_value, &self.last_value] {
            out.extend(value.as_ref().map_or(0, |value| bits_of(value).1).to_le_bytes());
        }
        write_class(out, &self.summary.good);
        write_class(out, &self.summary.uncertain);
        out.extend(self.log_record.to_le_bytes());
        let len = u32::try_from(columns.len()).expect("at most 8192 bounded values are below 4 GiB");
        out.extend(len.to_le_bytes());
        out.extend(crc32fast::hash(columns).to_le_bytes());
        debug_assert_eq!(out.len(), HEADER_BYTES);
        let crc = checksum(out);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

fn checksum(header: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..4]);
    crc.update(&header[8..HEADER_BYTES]);
    crc.finalize()
}

/// Reads the header of a block, or a copy of it alone. Decodes nothing.
///
/// # Errors
/// If it is damaged or of an unknown version.
pub fn header(bytes: &[u8]) -> Result<Header, BlockError> {
    if bytes.len() < HEADER_BYTES {
        return Err(BlockError::Short);
    }
    if bytes[0] != VERSION {
        return Err(BlockError::Version(bytes[0]));
    }
    if u32::from_le_bytes(array(bytes, 4)?) != checksum(bytes) {
        return Err(BlockError::Checksum);
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
    let (good, uncertain) = (read_class(bytes, 40)?, read_class(bytes, 68)?);
    let others = good.count + uncertain.count;
    Ok(Header {
        tag,
        count,
        first: Timestamp::from_ticks(i64::from_le_bytes(array(bytes, 8)?)),
        last: Timestamp::from_ticks(i64::from_le_bytes(array(bytes, 16)?)),
        first_value: value(24, FIRST_IS_NULL)?,
        last_value: value(32, LAST_IS_NULL)?,
        summary: Summary {
            good,
            uncertain,
            bad: u64::from(count).checked_sub(others).ok_or(BlockError::Malformed("status"))?,
        },
        log_record: u64::from_le_bytes(array(bytes, 96)?),
    })
}

/// Compresses 1 to [`SAMPLES_MAX`] samples. `log_record`: see [`Header`].
///
/// # Errors
/// If there are none or too many.
pub fn encode(columns: &Columns, log_record: u64) -> Result<Vec<u8>, BlockError> {
    if columns.len() > SAMPLES_MAX {
        return Err(BlockError::Count);
    }
    let header = Header::of(columns, log_record)?;
    let mut body = Vec::with_capacity(columns.len() * 4);
    page::encode(columns, &mut body);
    // Seldom: values in a pattern that compresses to almost nothing.
    let len_min = page::memory(&body, columns.len())?.div_ceil(TIMES).saturating_sub(HEADER_BYTES);
    body.resize(body.len().max(len_min), 0);
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    header.write(&body, &mut out);
    out.extend(body);
    Ok(out)
}

/// Decompresses a block.
///
/// # Errors
/// If the bytes are not exactly what [`encode`] made.
pub fn decode(bytes: &[u8]) -> Result<Columns, BlockError> {
    let header = header(bytes)?;
    let body = &bytes[HEADER_BYTES..];
    let len = u32::from_le_bytes(array(bytes, 104)?) as usize;
    if body.len() != len {
        return Err(if body.len() < len { BlockError::Short } else { BlockError::Malformed("last") });
    }
    if crc32fast::hash(body) != u32::from_le_bytes(array(bytes, 108)?) {
        return Err(BlockError::Checksum);
    }
    if page::memory(body, header.count.into())? > TIMES * bytes.len() {
        return Err(BlockError::Memory);
    }
    let columns = page::decode(body, header.count.into())?;
    let ends = (columns.first(), columns.last());
    let is_as_told = ends == (Some(header.first.ticks()), Some(header.last.ticks()));
    if is_as_told && columns.ticks.is_sorted() { Ok(columns) } else { Err(BlockError::Malformed("time")) }
}
