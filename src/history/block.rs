//! A sealed block: samples of one series, compressed, in pages that are read one by one. Pure. The format is for ever:
//! byte 0 is its version.
//!
//! ```text
//! 0   u8  version (2)                      8  i64 first ticks      24 u64 bits of the first value
//! 1   u8  tag | 0x40 last is null | 0x80 first is null
//!                                          16 i64 last ticks       32 u64 bits of the last value
//! 2   u16 samples                          40 Good:      u16 usable, u16 all, f64 min, max, sum
//! 4   u32 CRC-32 of the header's other     68 Uncertain: the same
//!         bytes                            104 u16 pages, u16 zero, u32 CRC-32 of the directory
//! 96  u64 log record: those before it hold nothing of this series that blocks do not (0: not known)
//! 112 directory, of each page: i64 first and i64 last ticks, u32 length, u32 CRC-32, u16 samples
//!     pages: see `page.rs`
//! ```
//! Integers are little-endian. The header answers the questions of whole-block aggregates without decoding, and is kept
//! a second time where it is found without its block. Damage costs the page that it is in.

use std::ops::Range;

use super::{
    Summary,
    columns::{Columns, Tag, bits_of, value_of},
    page,
    summary::ClassSummary,
};
use crate::{sample::Value, time::Timestamp};

/// The version that this code writes.
const VERSION: u8 = 2;
const FIRST_IS_NULL: u8 = 0x80;
const LAST_IS_NULL: u8 = 0x40;
/// Bytes before the directory.
pub const HEADER_BYTES: usize = 112;
const PAGE_ENTRY_BYTES: usize = 26;
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

/// A page as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Ticks of its oldest sample.
    pub first: i64,
    /// Ticks of its newest sample.
    pub last: i64,
    /// Samples.
    pub count: u16,
    crc: u32,
    bytes: Range<usize>,
}

/// A block whose header and directory are whole. Its pages may be damaged.
#[derive(Debug)]
pub struct Block<'a> {
    /// What it says of itself.
    pub header: Header,
    /// Its pages, oldest first.
    pub pages: Vec<Page>,
    bytes: &'a [u8],
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

    /// Of both, one after the other.
    fn joined(mut self, later: Self) -> Result<Self, BlockError> {
        self.count = self.count.checked_add(later.count).ok_or(BlockError::Count)?;
        (self.tag, self.last, self.last_value) = match (self.tag, later.tag) {
            (Tag::Null, tag) | (tag, Tag::Null) => (tag, later.last, later.last_value),
            (tag, same) if tag == same => (tag, later.last, later.last_value),
            _ => (Tag::Any, later.last, None),
        };
        if self.tag == Tag::Any {
            self.first_value = None;
        }
        self.summary.merge(&later.summary);
        self.log_record = self.log_record.max(later.log_record);
        Ok(self)
    }

    fn write(&self, pages: u16, directory: &[u8], out: &mut Vec<u8>) {
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
        out.extend(pages.to_le_bytes());
        out.extend([0; 2]);
        out.extend(crc32fast::hash(directory).to_le_bytes());
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

/// Puts a block together, page by page.
#[derive(Default)]
struct Builder {
    pages: u16,
    directory: Vec<u8>,
    body: Vec<u8>,
}

impl Builder {
    /// Compresses the samples in `indices` into one page.
    fn compress(&mut self, columns: &Columns, indices: Range<usize>) {
        let start = self.body.len();
        let (first, last) = (columns.ticks[indices.start], columns.ticks[indices.end - 1]);
        let count = u16::try_from(indices.len()).expect("a block counted its samples before");
        page::encode(columns, indices, &mut self.body);
        let crc = crc32fast::hash(&self.body[start..]);
        self.enter(first, last, count, crc, self.body.len() - start);
    }

    /// Compresses all, in pages of equal length of at most `page_samples`.
    fn compress_all(&mut self, columns: &Columns, page_samples: usize) {
        let pages = columns.len().div_ceil(page_samples).max(1);
        let each = columns.len().div_ceil(pages).max(1);
        for start in (0..columns.len()).step_by(each) {
            self.compress(columns, start..(start + each).min(columns.len()));
        }
    }

    fn copy(&mut self, page: &Page, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        self.enter(page.first, page.last, page.count, page.crc, bytes.len());
    }

    fn enter(&mut self, first: i64, last: i64, count: u16, crc: u32, len: usize) {
        self.directory.extend(first.to_le_bytes());
        self.directory.extend(last.to_le_bytes());
        let len = u32::try_from(len).expect("a page of at most 8192 bounded values is below 4 GiB");
        self.directory.extend(len.to_le_bytes());
        self.directory.extend(crc.to_le_bytes());
        self.directory.extend(count.to_le_bytes());
        self.pages += 1;
    }

    fn finish(self, header: &Header) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.directory.len() + self.body.len());
        header.write(self.pages, &self.directory, &mut out);
        out.extend(self.directory);
        out.extend(self.body);
        out
    }
}

/// Compresses 1 to [`SAMPLES_MAX`] samples, in pages of at most `page_samples`. `log_record`: see [`Header`].
///
/// # Errors
/// If there are none or too many.
pub fn encode(columns: &Columns, page_samples: usize, log_record: u64) -> Result<Vec<u8>, BlockError> {
    if columns.len() > SAMPLES_MAX {
        return Err(BlockError::Count);
    }
    let header = Header::of(columns, log_record)?;
    let mut builder = Builder::default();
    builder.compress_all(columns, page_samples);
    Ok(builder.finish(&header))
}

/// One block of several that follow one another. Pages at least half full are taken as they are, with their checksums
/// (damage stays as plain as it was); shorter neighbours become one.
///
/// # Errors
/// If a block's header or one of its short pages is damaged, or all together are too many samples.
pub fn join(blocks: &[&[u8]], page_samples: usize) -> Result<Vec<u8>, BlockError> {
    let mut builder = Builder::default();
    let mut whole: Option<Header> = None;
    let mut crumbs = Columns::default();
    for bytes in blocks {
        let block = Block::parse(bytes)?;
        for page in &block.pages {
            let count = usize::from(page.count);
            if count >= page_samples.div_ceil(2) {
                builder.compress_all(&std::mem::take(&mut crumbs), page_samples);
                builder.copy(page, &bytes[page.bytes.clone()]);
            } else {
                if crumbs.len() + count > page_samples {
                    builder.compress_all(&std::mem::take(&mut crumbs), page_samples);
                }
                block.decode(page)?.to_samples().iter().for_each(|sample| {
                    crumbs.push(sample);
                });
            }
        }
        whole = Some(match whole {
            None => block.header,
            Some(earlier) => earlier.joined(block.header)?,
        });
    }
    builder.compress_all(&crumbs, page_samples);
    let header = whole.filter(|header| usize::from(header.count) <= SAMPLES_MAX).ok_or(BlockError::Count)?;
    Ok(builder.finish(&header))
}

impl<'a> Block<'a> {
    /// Reads header and directory.
    ///
    /// # Errors
    /// If one of them is damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BlockError> {
        let header = header(bytes)?;
        let pages = usize::from(u16::from_le_bytes(array(bytes, 104)?));
        let start = HEADER_BYTES + pages * PAGE_ENTRY_BYTES;
        let directory = bytes.get(HEADER_BYTES..start).ok_or(BlockError::Short)?;
        if u32::from_le_bytes(array(bytes, 108)?) != crc32fast::hash(directory) {
            return Err(BlockError::Checksum);
        }
        let (mut found, mut next) = (Vec::with_capacity(pages), start);
        for entry in directory.chunks_exact(PAGE_ENTRY_BYTES) {
            let len = u32::from_le_bytes(array(entry, 16)?) as usize;
            found.push(Page {
                first: i64::from_le_bytes(array(entry, 0)?),
                last: i64::from_le_bytes(array(entry, 8)?),
                count: u16::from_le_bytes(array(entry, 24)?),
                crc: u32::from_le_bytes(array(entry, 20)?),
                bytes: next..next.checked_add(len).ok_or(BlockError::Short)?,
            });
            next += len;
        }
        let (first, last) = (found.first().map(|page| page.first), found.last().map(|page| page.last));
        if found.iter().map(|page| usize::from(page.count)).sum::<usize>() != usize::from(header.count)
            || found.iter().any(|page| page.first > page.last || page.count == 0)
            || found.windows(2).any(|pair| pair[0].last >= pair[1].first)
            || first != Some(header.first.ticks())
            || last != Some(header.last.ticks())
        {
            return Err(BlockError::Malformed("directory"));
        }
        Ok(Self { header, pages: found, bytes })
    }

    /// The samples of one of its pages.
    ///
    /// # Errors
    /// If the page is damaged.
    pub fn decode(&self, page: &Page) -> Result<Columns, BlockError> {
        let bytes = self.bytes.get(page.bytes.clone()).ok_or(BlockError::Short)?;
        if crc32fast::hash(bytes) != page.crc {
            return Err(BlockError::Checksum);
        }
        let columns = page::decode(bytes, page.count.into())?;
        let is_as_told = columns.first() == Some(page.first) && columns.last() == Some(page.last);
        if is_as_told && columns.is_sorted() { Ok(columns) } else { Err(BlockError::Malformed("time")) }
    }
}

/// Decompresses a whole block.
///
/// # Errors
/// If the bytes are not exactly what [`encode`] made.
pub fn decode(bytes: &[u8]) -> Result<Columns, BlockError> {
    let block = Block::parse(bytes)?;
    if block.pages.last().is_none_or(|page| page.bytes.end != bytes.len()) {
        return Err(BlockError::Malformed("last"));
    }
    let mut columns = Columns::default();
    for page in &block.pages {
        let page = block.decode(page)?;
        if columns.is_empty() {
            columns = page;
        } else {
            page.to_samples().iter().for_each(|sample| {
                columns.push(sample);
            });
        }
    }
    Ok(columns)
}
