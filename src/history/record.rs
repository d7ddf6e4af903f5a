//! Modification records and annotations as bytes. Pure codec; `shelf.rs` keeps them.
//!
//! ```text
//! part 0:  u8 version (2)   u32 CRC-32 of version and body   u32 length of the body   body, or its beginning
//! others:  the body's next 6 KB
//! ```
//! No value is longer than 7 KB (see `slots.rs`). Everything is little-endian. The instant stands in the key, not here.

use super::{
    bytes::{Reader, write_varint, write_zigzag},
    edit::{Annotation, Modification, Modified},
    value_bytes::{read_value, write_value},
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

const VERSION: u8 = 2;
const HEADER_BYTES: usize = 9;
const PART_BYTES: usize = 6 * 1024;

/// What is kept as records: each at the instant of the value that it is about.
pub trait Record: Sized {
    /// One of them, in a message.
    const WHAT: &'static str;

    /// Its body.
    fn write(&self) -> Vec<u8>;

    /// The inverse of [`write`](Self::write).
    ///
    /// # Errors
    /// [`RecordError::Malformed`].
    fn read(at: Timestamp, body: &[u8]) -> Result<Self, RecordError>;

    /// What stands in the place of one that cannot be read any more.
    fn lost(at: Timestamp) -> Self;
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Shorter than its header.
    #[error("the record is cut short")]
    Short,
    /// Written by a newer program.
    #[error("record version {0} is not known")]
    Version(u8),
    /// Its length says that there is more.
    #[error("a part of the record is missing")]
    MissingPart,
    /// It stands where no record stands.
    #[error("the record's key is malformed")]
    Key,
    /// Bits have changed since it was written.
    #[error("the record's checksum is wrong")]
    Checksum,
    /// The checksum is right but the content contradicts itself.
    #[error("the record is malformed")]
    Malformed,
    /// An event whose type this program does not know: a newer one has written it.
    #[error("the event is of a type that this program does not know")]
    UnknownType,
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[VERSION]);
    crc.update(body);
    crc.finalize()
}

/// The parts of a record, in order; `None` if it is too long for any.
#[must_use]
pub fn split(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut chunks = body.chunks(PART_BYTES);
    let first = chunks.next().unwrap_or_default();
    let mut head = Vec::with_capacity(HEADER_BYTES + first.len());
    head.push(VERSION);
    head.extend(checksum(body).to_le_bytes());
    head.extend(u32::try_from(body.len()).ok()?.to_le_bytes());
    head.extend_from_slice(first);
    let parts: Vec<_> = std::iter::once(head).chain(chunks.map(<[u8]>::to_vec)).collect();
    u16::try_from(parts.len()).is_ok().then_some(parts)
}

/// A record's body, of its first part and of those that `next` gives one after the other. Damage is the inner result;
/// what `next` fails at, the outer.
///
/// # Errors
/// Those of `next`.
pub fn join<P: AsRef<[u8]>, E>(
    head: &[u8],
    mut next: impl FnMut() -> Result<Option<P>, E>,
) -> Result<Result<Vec<u8>, RecordError>, E> {
    let (crc, len, mut body) = match header(head) {
        Ok((crc, len, first)) => (crc, len, first.to_vec()),
        Err(damage) => return Ok(Err(damage)),
    };
    while body.len() < len {
        match next()? {
            Some(part) if !part.as_ref().is_empty() => body.extend_from_slice(part.as_ref()),
            _ => return Ok(Err(RecordError::MissingPart)),
        }
    }
    Ok(if body.len() == len && checksum(&body) == crc { Ok(body) } else { Err(RecordError::Checksum) })
}

/// How many parts the record has of which this is the first.
pub(super) fn parts(head: &[u8]) -> usize {
    header(head).map_or(1, |(_, len, _)| len.div_ceil(PART_BYTES).max(1))
}

fn header(head: &[u8]) -> Result<(u32, usize, &[u8]), RecordError> {
    let mut reader = Reader::new(head);
    let version = reader.byte().ok_or(RecordError::Short)?;
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    let mut number = || reader.bits(4).and_then(|bits| u32::try_from(bits).ok()).ok_or(RecordError::Short);
    let (crc, len) = (number()?, number()?);
    let len = usize::try_from(len).map_err(|_| RecordError::Malformed)?;
    Ok((crc, len, head.get(HEADER_BYTES..).unwrap_or_default()))
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    let len = usize::try_from(reader.varint()?).ok()?;
    std::str::from_utf8(reader.take(len)?).ok()
}

impl Record for Modified {
    const WHAT: &'static str = "modification record";

    fn write(&self) -> Vec<u8> {
        let (sample, mut body) = (&self.sample, Vec::with_capacity(48));
        body.push(self.kind as u8);
        write_zigzag(&mut body, self.at.ticks());
        write_text(&mut body, &self.user);
        body.extend(sample.status.bits().to_le_bytes());
        write_zigzag(&mut body, sample.server_timestamp.ticks().wrapping_sub(sample.source_timestamp.ticks()));
        write_value(&mut body, &sample.value);
        body
    }

    fn read(at: Timestamp, body: &[u8]) -> Result<Self, RecordError> {
        read_modified(at, body).ok_or(RecordError::Malformed)
    }

    fn lost(at: Timestamp) -> Self {
        let sample = Sample::bad(at, StatusCode::BadDataLost);
        Self { sample, kind: Modification::Lost, user: "".into(), at: Timestamp::NULL }
    }
}

fn read_modified(source_timestamp: Timestamp, body: &[u8]) -> Option<Modified> {
    let mut reader = Reader::new(body);
    let kind = match reader.byte()? {
        1 => Modification::Insert,
        2 => Modification::Replace,
        4 => Modification::Delete,
        _ => return None,
    };
    let at = Timestamp::from_ticks(reader.zigzag()?);
    let user = read_text(&mut reader)?.into();
    let status = StatusCode::from(u32::try_from(reader.bits(4)?).ok()?);
    let server_timestamp = Timestamp::from_ticks(source_timestamp.ticks().wrapping_add(reader.zigzag()?));
    let value = read_value(&mut reader)?;
    let sample = Sample { source_timestamp, server_timestamp, status, value };
    reader.is_empty().then_some(Modified { sample, kind, user, at })
}

impl Record for Annotation {
    const WHAT: &'static str = "annotation";

    fn write(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(32 + self.message.len());
        write_zigzag(&mut body, self.time.ticks());
        write_text(&mut body, &self.user);
        write_text(&mut body, &self.message);
        body
    }

    fn read(at: Timestamp, body: &[u8]) -> Result<Self, RecordError> {
        read_annotation(at, body).ok_or(RecordError::Malformed)
    }

    fn lost(at: Timestamp) -> Self {
        Self { at, message: "".into(), user: "".into(), time: Timestamp::NULL, is_lost: true }
    }
}

fn read_annotation(at: Timestamp, body: &[u8]) -> Option<Annotation> {
    let mut reader = Reader::new(body);
    let time = Timestamp::from_ticks(reader.zigzag()?);
    let user = read_text(&mut reader)?.into();
    let message = read_text(&mut reader)?.into();
    reader.is_empty().then_some(Annotation { at, message, user, time, is_lost: false })
}
