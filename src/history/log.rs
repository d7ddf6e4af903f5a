//! The head log's records: what was appended, in order, until blocks hold it. Pure codec.
//!
//! A record is at most [`RECORD_BYTES_MAX`] long: sled spills large leaves to files of their own,
//! and 16 records of this length are not one (see `slots.rs`). One too long (a long text) is cut into parts.
//!
//! ```text
//! 0  u8  version (2)   1  u8 kind   2  u32 CRC-32 of all other bytes   6  u16 entries that end here   8  body
//! entry: u8 tag | 0x40 status follows | 0x80 server time follows; zigzag series, zigzag ticks (both as differences
//!        to the entry before); [u32 status]; [zigzag server minus source ticks]; the value as in `value_bytes.rs`,
//!        without its tag
//! ```

use super::{
    bytes::{Reader, write_varint, write_zigzag},
    columns::Tag,
    value_bytes::{read_payload, write_value},
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

/// No record is longer.
pub const RECORD_BYTES_MAX: usize = 7 * 1024;
const VERSION: u8 = 2;
/// Of records that are not about samples: a front's, for the store behind it (see `handed_on.rs`). A program that does not know
/// them refuses the log: it would drop what the store behind has not got.
const VERSION_OP: u8 = 3;
const HEADER_BYTES: usize = 8;
const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX - HEADER_BYTES;
/// No entry is shorter: its tag, two differences, and a value.
const ENTRY_BYTES_MIN: usize = 4;

const STATUS_FOLLOWS: u8 = 0x40;
const SERVER_FOLLOWS: u8 = 0x80;
const TAG_MASK: u8 = 0x3f;

/// A series' number on disk, for ever.
pub type PersistentId = u32;

/// Why bytes are not a log record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Shorter than its header.
    #[error("the log record is cut short")]
    Short,
    /// Written by a newer program.
    #[error("log record version {0} is not known")]
    Version(u8),
    /// Bits have changed since it was written.
    #[error("the log record's checksum is wrong")]
    Checksum,
    /// The checksum is right but the content contradicts itself.
    #[error("the log record is malformed")]
    Malformed,
}

/// What a record asks for, when replayed.
#[derive(Clone, Debug, PartialEq)]
pub enum LogEntry {
    /// A sample was appended.
    Sample(PersistentId, Sample),
    /// What was in start..end (ticks) was removed.
    Remove(PersistentId, i64, i64),
    /// Something else happened that the store behind shall know; nothing that a head holds.
    Op(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Entries = 1,
    Remove = 2,
    /// A part of an entries' body, more follow.
    Part = 3,
    LastPart = 4,
}

/// What an entry is encoded relative to.
#[derive(Clone, Copy, Default)]
struct Previous {
    series: PersistentId,
    ticks: i64,
    status: u32,
    server_delta: i64,
}

fn seal(kind: Kind, body: &[u8], entries: usize) -> Vec<u8> {
    seal_as(VERSION, kind, body, entries)
}

fn seal_as(version: u8, kind: Kind, body: &[u8], entries: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + body.len());
    record.extend([version, kind as u8, 0, 0, 0, 0]);
    record.extend(u16::try_from(entries).expect("of 4 bytes each at least, in 7 KiB").to_le_bytes());
    record.extend_from_slice(body);
    let crc = checksum(&record);
    record[2..6].copy_from_slice(&crc.to_le_bytes());
    record
}

fn checksum(record: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&record[..2]);
    crc.update(&record[6..]);
    crc.finalize()
}

/// How many entries [`Replay::record`] will give of this record, at most: a collection of them, allocated for so many, takes
/// no more than 16 times the record.
#[must_use]
pub fn entries(record: &[u8]) -> usize {
    let Some([.., low, high]) = record.get(..HEADER_BYTES) else { return 0 };
    usize::from(u16::from_le_bytes([*low, *high])).min((record.len() - HEADER_BYTES) / ENTRY_BYTES_MIN)
}

/// The records for samples; calls `record` with each and with how many samples it completes.
pub fn encode<'a>(
    samples: impl IntoIterator<Item = (PersistentId, &'a Sample)>,
    mut record: impl FnMut(Vec<u8>, usize),
) {
    let mut body = Vec::with_capacity(BODY_BYTES_MAX);
    let mut entry = Vec::with_capacity(64);
    let (mut previous, mut count) = (Previous::default(), 0);
    for (series, sample) in samples {
        entry.clear();
        let mut next = write_entry(&mut entry, previous, series, sample);
        if body.len() + entry.len() > BODY_BYTES_MAX {
            if count > 0 {
                record(seal(Kind::Entries, &body, count), count);
            }
            body.clear();
            count = 0;
            entry.clear();
            next = write_entry(&mut entry, Previous::default(), series, sample);
        }
        if entry.len() > BODY_BYTES_MAX {
            write_parts(&entry, &mut record);
            previous = Previous::default();
        } else {
            body.extend_from_slice(&entry);
            count += 1;
            previous = next;
        }
    }
    if count > 0 {
        record(seal(Kind::Entries, &body, count), count);
    }
}

fn write_parts(entry: &[u8], record: &mut impl FnMut(Vec<u8>, usize)) {
    let mut parts = entry.chunks(BODY_BYTES_MAX).peekable();
    while let Some(part) = parts.next() {
        let (kind, ending) = if parts.peek().is_none() { (Kind::LastPart, 1) } else { (Kind::Part, 0) };
        record(seal(kind, part, ending), ending);
    }
}

/// The record of a removal.
#[must_use]
pub fn encode_remove(series: PersistentId, start: i64, end: i64) -> Vec<u8> {
    let mut body = Vec::with_capacity(24);
    write_varint(&mut body, series.into());
    write_zigzag(&mut body, start);
    write_zigzag(&mut body, end);
    seal(Kind::Remove, &body, 1)
}

/// The records of something that is handed on.
pub(super) fn encode_op(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let last = bytes.len().saturating_sub(1) / BODY_BYTES_MAX;
    (0..=last).map(move |part| {
        let body = &bytes[part * BODY_BYTES_MAX..bytes.len().min((part + 1) * BODY_BYTES_MAX)];
        let (kind, ending) = if part == last { (Kind::LastPart, 1) } else { (Kind::Part, 0) };
        seal_as(VERSION_OP, kind, body, ending)
    })
}

/// Whether a record is that of a removal, without reading it.
pub(super) fn is_remove(record: &[u8]) -> bool {
    record.get(..2) == Some(&[VERSION, Kind::Remove as u8])
}

fn write_entry(out: &mut Vec<u8>, previous: Previous, series: PersistentId, sample: &Sample) -> Previous {
    let ticks = sample.source_timestamp.ticks();
    let status = sample.status.bits();
    let server_delta = sample.server_timestamp.ticks().wrapping_sub(ticks);
    let start = out.len();
    // Its first byte is the tag; the rest goes behind the differences.
    let mut value = std::mem::take(out);
    write_value(&mut value, &sample.value);
    let (mut flags, payload_start) = (value[start], value.len());
    write_zigzag(&mut value, i64::from(series) - i64::from(previous.series));
    write_zigzag(&mut value, ticks.wrapping_sub(previous.ticks));
    if status != previous.status {
        flags |= STATUS_FOLLOWS;
        value.extend(status.to_le_bytes());
    }
    if server_delta != previous.server_delta {
        flags |= SERVER_FOLLOWS;
        write_zigzag(&mut value, server_delta);
    }
    value[start] = flags;
    value[start + 1..].rotate_left(payload_start - start - 1);
    *out = value;
    Previous { series, ticks, status, server_delta }
}

/// Puts the parts of cut records together and reads all.
#[derive(Debug, Default)]
pub struct Replay {
    parts: Vec<u8>,
    /// A part was damaged: what follows of its entry is of no use.
    is_broken: bool,
}

impl Replay {
    /// Whether parts of a cut record were read and the rest not yet.
    #[must_use]
    pub fn is_within(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Reads the next record, in order; its entries go to `take`.
    ///
    /// # Errors
    /// If the record is damaged. Reading may go on with the next.
    pub fn record(&mut self, record: &[u8], take: impl FnMut(LogEntry)) -> Result<(), LogError> {
        let result = self.sound_record(record, take);
        if matches!(result, Err(LogError::Short | LogError::Checksum)) {
            let is_part = [Kind::Part, Kind::LastPart].iter().any(|&kind| record.get(1) == Some(&(kind as u8)));
            // Only the last part is shorter than a whole record.
            self.is_broken = (self.is_broken || self.is_within() || is_part) && record.len() == RECORD_BYTES_MAX;
            self.parts.clear();
        }
        result
    }

    fn sound_record(&mut self, record: &[u8], mut take: impl FnMut(LogEntry)) -> Result<(), LogError> {
        if record.len() < HEADER_BYTES {
            return Err(LogError::Short);
        }
        if record.len() > RECORD_BYTES_MAX {
            return Err(LogError::Malformed);
        }
        if !matches!(record[0], VERSION | VERSION_OP) {
            return Err(LogError::Version(record[0]));
        }
        if record[2..6] != checksum(record).to_le_bytes() {
            return Err(LogError::Checksum);
        }
        let body = &record[HEADER_BYTES..];
        match record[1] {
            kind if kind == Kind::Part as u8 && self.is_broken => Err(LogError::Malformed),
            kind if kind == Kind::LastPart as u8 && std::mem::take(&mut self.is_broken) => Err(LogError::Malformed),
            kind if kind == Kind::Part as u8 => {
                self.parts.extend_from_slice(body);
                Ok(())
            }
            kind if kind == Kind::LastPart as u8 => {
                let mut whole = std::mem::take(&mut self.parts);
                whole.extend_from_slice(body);
                if record[0] == VERSION_OP {
                    take(LogEntry::Op(whole));
                    return Ok(());
                }
                // One entry and nothing else; parts that don't belong together are hardly ever that.
                let mut entry = None;
                read_entries(&whole, 1, &mut |read| entry = Some(read)).ok_or(LogError::Malformed)?;
                entry.map(&mut take).ok_or(LogError::Malformed)
            }
            kind if kind == Kind::Entries as u8 && record[0] == VERSION => {
                (self.parts, self.is_broken) = (Vec::new(), false);
                read_entries(body, entries(record), &mut take).ok_or(LogError::Malformed)
            }
            kind if kind == Kind::Remove as u8 && record[0] == VERSION => {
                read_remove(body, &mut take).ok_or(LogError::Malformed)
            }
            _ => Err(LogError::Malformed),
        }
    }
}

fn read_remove(body: &[u8], take: &mut impl FnMut(LogEntry)) -> Option<()> {
    let mut reader = Reader::new(body);
    let series = PersistentId::try_from(reader.varint()?).ok()?;
    take(LogEntry::Remove(series, reader.zigzag()?, reader.zigzag()?));
    reader.is_empty().then_some(())
}

/// So many entries and nothing else.
fn read_entries(body: &[u8], count: usize, take: &mut impl FnMut(LogEntry)) -> Option<()> {
    let mut reader = Reader::new(body);
    let mut previous = Previous::default();
    for _ in 0..count {
        let flags = reader.byte()?;
        let series = i64::from(previous.series).checked_add(reader.zigzag()?)?;
        previous.series = PersistentId::try_from(series).ok()?;
        previous.ticks = previous.ticks.wrapping_add(reader.zigzag()?);
        if flags & STATUS_FOLLOWS != 0 {
            previous.status = u32::try_from(reader.bits(4)?).ok()?;
        }
        if flags & SERVER_FOLLOWS != 0 {
            previous.server_delta = reader.zigzag()?;
        }
        let value = read_payload(&mut reader, Tag::from_byte(flags & TAG_MASK)?)?;
        take(LogEntry::Sample(
            previous.series,
            Sample {
                source_timestamp: Timestamp::from_ticks(previous.ticks),
                server_timestamp: Timestamp::from_ticks(previous.ticks.wrapping_add(previous.server_delta)),
                status: StatusCode::from(previous.status),
                value,
            },
        ));
    }
    reader.is_empty().then_some(())
}
