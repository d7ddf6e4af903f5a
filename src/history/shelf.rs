//! Records of a series by instant, beside its blocks in the block database: modification records and annotations.
//!
//! ```text
//! key:   u32 series, u64 ticks with the sign bit flipped, u64 number, u16 part     (all big-endian)
//! part 0:  u8 version (1)   u32 CRC-32 of version and body   u32 length of the body   body, or its beginning
//! others:  the body's next 13 KB
//! ```
//! No record is longer than 14 KB (see `guards.rs`): a long body is cut into parts. Everything is little-endian in values.

use std::ops::Range;

use sled::{Batch, Tree};

use super::{
    Direction,
    block_values::{read_value, write_value},
    blocks::Cause,
    bytes::{Reader, write_varint, write_zigzag},
    edit::{Annotation, Modification, Modified},
    log::PersistentId,
};
use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 9;
const PART_BYTES: usize = 13 * 1024;

/// Where a record stands: instant and number.
pub(super) type Place = (Timestamp, u64);

/// One tree of records.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) tree: Tree,
}

fn key(series: PersistentId, (at, number): Place, part: u16) -> [u8; 22] {
    let mut key = [0; 22];
    key[..4].copy_from_slice(&series.to_be_bytes());
    key[4..12].copy_from_slice(&(at.ticks() ^ i64::MIN).to_be_bytes());
    key[12..20].copy_from_slice(&number.to_be_bytes());
    key[20..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Place and part of a key.
fn place(key: &[u8]) -> Option<(Place, u16)> {
    let ticks = i64::from_be_bytes(key.get(4..12)?.try_into().ok()?) ^ i64::MIN;
    let number = u64::from_be_bytes(key.get(12..20)?.try_into().ok()?);
    Some(((Timestamp::from_ticks(ticks), number), u16::from_be_bytes(key.get(20..)?.try_into().ok()?)))
}

fn checksum(body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[VERSION]);
    crc.update(body);
    crc.finalize()
}

impl Shelf {
    /// Adds a record to a batch.
    pub(super) fn put(batch: &mut Batch, series: PersistentId, at: Place, body: &[u8]) -> Result<(), Cause> {
        let mut head = Vec::with_capacity(HEADER_BYTES + body.len().min(PART_BYTES));
        head.push(VERSION);
        head.extend(checksum(body).to_le_bytes());
        head.extend(u32::try_from(body.len())?.to_le_bytes());
        let mut chunks = body.chunks(PART_BYTES);
        head.extend_from_slice(chunks.next().unwrap_or_default());
        batch.insert(&key(series, at, 0), head);
        for (part, chunk) in (1..).zip(chunks) {
            batch.insert(&key(series, at, u16::try_from(part)?), chunk);
        }
        Ok(())
    }

    /// The records at instants of `times`, with their places, in order. A damaged one is an error of its own.
    pub(super) fn records(
        &self,
        series: PersistentId,
        times: Range<Timestamp>,
        direction: Direction,
    ) -> impl Iterator<Item = Result<(Place, Vec<u8>), Cause>> + '_ {
        let range = key(series, (times.start, 0), 0)..key(series, (times.end.max(times.start), 0), 0);
        let mut found = self.tree.range(range);
        std::iter::from_fn(move || {
            loop {
                let item = match direction {
                    Direction::Forward => found.next()?,
                    Direction::Backward => found.next_back()?,
                };
                let (key, head) = match item {
                    Ok(item) => item,
                    Err(error) => return Some(Err(error.into())),
                };
                match place(&key) {
                    Some((at, 0)) => return Some(self.body(series, at, &head).map(|body| (at, body))),
                    Some(_) => {} // comes with its part 0
                    None => return Some(Err("a record's key is malformed".into())),
                }
            }
        })
    }

    fn body(&self, series: PersistentId, at: Place, head: &[u8]) -> Result<Vec<u8>, Cause> {
        let (header, first) = head.split_at_checked(HEADER_BYTES).ok_or("a record is cut short")?;
        if header[0] != VERSION {
            return Err(format!("record version {} is not known", header[0]).into());
        }
        let crc = u32::from_le_bytes(header[1..5].try_into()?);
        let len = usize::try_from(u32::from_le_bytes(header[5..9].try_into()?))?;
        let mut body = first.to_vec();
        for part in 1..=u16::MAX {
            if body.len() >= len {
                break;
            }
            body.extend_from_slice(&self.tree.get(key(series, at, part))?.ok_or("a record's part is missing")?);
        }
        if body.len() != len || checksum(&body) != crc {
            return Err("a record's checksum is wrong".into());
        }
        Ok(body)
    }

    /// Takes out what is recorded at instants of `times`; returns how many records that were.
    pub(super) fn clear(&self, series: PersistentId, times: Range<Timestamp>) -> Result<u64, Cause> {
        const ROUND: usize = 4096;
        let range = key(series, (times.start, 0), 0)..key(series, (times.end.max(times.start), 0), 0);
        let mut cleared = 0;
        loop {
            let mut batch = Batch::default();
            let keys = self.tree.range(range.clone()).keys().take(ROUND).collect::<sled::Result<Vec<_>>>()?;
            if keys.is_empty() {
                return Ok(cleared);
            }
            for key in keys {
                cleared += u64::from(key.ends_with(&[0, 0]));
                batch.remove(key);
            }
            self.tree.apply_batch(batch)?;
        }
    }

    /// Takes one record out.
    pub(super) fn remove(&self, batch: &mut Batch, series: PersistentId, at: Place) -> Result<(), Cause> {
        for key in self.tree.range(key(series, at, 0)..=key(series, at, u16::MAX)).keys() {
            batch.remove(key?);
        }
        Ok(())
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Option<&'a str> {
    let len = usize::try_from(reader.varint()?).ok()?;
    std::str::from_utf8(reader.take(len)?).ok()
}

/// A modification record; its sample's instant is in its key.
pub(super) fn write_modified(modified: &Modified) -> Vec<u8> {
    let (sample, mut body) = (&modified.sample, Vec::with_capacity(48));
    body.push(modified.kind as u8);
    write_zigzag(&mut body, modified.at.ticks());
    write_text(&mut body, &modified.user);
    body.extend(sample.status.bits().to_le_bytes());
    write_zigzag(&mut body, sample.server_timestamp.ticks().wrapping_sub(sample.source_timestamp.ticks()));
    write_value(&mut body, &sample.value);
    body
}

/// The inverse of [`write_modified`].
pub(super) fn read_modified(source_timestamp: Timestamp, body: &[u8]) -> Option<Modified> {
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

/// An annotation; its instant is in its key.
pub(super) fn write_annotation(annotation: &Annotation) -> Vec<u8> {
    let mut body = Vec::with_capacity(32 + annotation.message.len());
    write_zigzag(&mut body, annotation.time.ticks());
    write_text(&mut body, &annotation.user);
    write_text(&mut body, &annotation.message);
    body
}

/// The inverse of [`write_annotation`].
pub(super) fn read_annotation(at: Timestamp, body: &[u8]) -> Option<Annotation> {
    let mut reader = Reader::new(body);
    let time = Timestamp::from_ticks(reader.zigzag()?);
    let user = read_text(&mut reader)?.into();
    let message = read_text(&mut reader)?.into();
    reader.is_empty().then_some(Annotation { at, message, user, time })
}
