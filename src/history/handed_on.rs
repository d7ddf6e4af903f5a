//! What a front hands on besides samples, as bytes in its log. Pure.
//!
//! ```text
//! u8 kind, u32 series (0 where it is about none), then by kind:
//! 1 modified: u32 count, each: i64 instant, record     2 forget: i64 start, i64 end       3 annotate: u64 number, i64 instant, record
//! 4 unannotate: i64 instant, u64 number                5 document: u64 number, i64 instant, record
//! 6 events: u32 count, each: record                    7 expire: i64 before
//! record: u32 length, bytes as in `record.rs`, `event_record.rs`                                       (all little-endian)
//! ```

use super::{
    Annotation, Document, Modified,
    behind::Op,
    bytes::Reader,
    event_record,
    log::PersistentId,
    record::{Record, RecordError},
    value_bytes::write_bytes,
};
use crate::{event::Event, time::Timestamp};

/// No record is shorter than its length.
const RECORD_BYTES_MIN: usize = 4;

/// `None`: it is too long for any record.
pub(super) fn write(series: PersistentId, op: &Op) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    let kind = match op {
        Op::Remove(_) => return None, // has a record of its own
        Op::Modified(_) => 1,
        Op::Forget(_) => 2,
        Op::Annotate(..) => 3,
        Op::Unannotate(..) => 4,
        Op::Keep(..) => 5,
        Op::Events(_) => 6,
        Op::Expire(_) => 7,
    };
    out.push(kind);
    out.extend(series.to_le_bytes());
    match op {
        Op::Remove(_) => {}
        Op::Modified(records) => {
            out.extend(u32::try_from(records.len()).ok()?.to_le_bytes());
            for record in records {
                write_time(&mut out, record.sample.source_timestamp);
                write_bytes(&mut out, &record.write());
            }
        }
        Op::Forget(times) => {
            write_time(&mut out, times.start);
            write_time(&mut out, times.end);
        }
        Op::Annotate(number, annotation) => {
            out.extend(number.to_le_bytes());
            write_time(&mut out, annotation.at);
            write_bytes(&mut out, &annotation.write());
        }
        Op::Unannotate(at, number) => {
            write_time(&mut out, *at);
            out.extend(number.to_le_bytes());
        }
        Op::Keep(number, document) => {
            out.extend(number.to_le_bytes());
            write_time(&mut out, document.at);
            write_bytes(&mut out, &document.write());
        }
        Op::Events(events) => {
            out.extend(u32::try_from(events.len()).ok()?.to_le_bytes());
            for event in events {
                write_bytes(&mut out, &event_record::body(0, event)?);
            }
        }
        Op::Expire(before) => write_time(&mut out, *before),
    }
    Some(out)
}

fn write_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend(time.ticks().to_le_bytes());
}

/// The inverse of [`write()`]. Events of types that only a newer program knows are left out.
pub(super) fn read(bytes: &[u8]) -> Option<(PersistentId, Op)> {
    let mut reader = Reader::new(bytes);
    let reader = &mut reader;
    let kind = reader.byte()?;
    let series = PersistentId::try_from(reader.bits(4)?).ok()?;
    let op = match kind {
        1 => Op::Modified(list(reader, read_at::<Modified>)?),
        2 => Op::Forget(time(reader)?..time(reader)?),
        3 => {
            let number = reader.bits(8)?;
            Op::Annotate(number, read_at::<Annotation>(reader)?)
        }
        4 => {
            let at = time(reader)?;
            Op::Unannotate(at, reader.bits(8)?)
        }
        5 => {
            let number = reader.bits(8)?;
            Op::Keep(number, read_at::<Document>(reader)?)
        }
        6 => Op::Events(list(reader, read_event)?.into_iter().flatten().collect()),
        7 => Op::Expire(time(reader)?),
        _ => return None,
    };
    reader.is_empty().then_some((series, op))
}

fn list<T>(reader: &mut Reader<'_>, mut read: impl FnMut(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::try_from(reader.bits(4)?).ok()?;
    // Not all at once: what is read must not take more than its bytes let expect.
    reader.room_for::<u8>(count, RECORD_BYTES_MIN)?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(read(reader)?);
    }
    Some(all)
}

fn time(reader: &mut Reader<'_>) -> Option<Timestamp> {
    Some(Timestamp::from_ticks(reader.bits(8)?.cast_signed()))
}

fn record<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = usize::try_from(reader.bits(4)?).ok()?;
    reader.take(len)
}

fn read_at<T: Record>(reader: &mut Reader<'_>) -> Option<T> {
    let at = time(reader)?;
    T::read(at, record(reader)?).ok()
}

fn read_event(reader: &mut Reader<'_>) -> Option<Option<Event>> {
    match event_record::read_body(record(reader)?) {
        Ok((_, event)) => Some(Some(event)),
        Err(RecordError::UnknownType) => Some(None),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{EventType, Source},
        history::edit::{Editor, Modification},
        sample::{Sample, Value},
    };

    #[test]
    fn everything_that_is_handed_on_comes_back_as_it_was() {
        let at = Timestamp::from_ticks;
        let long = Sample { value: Value::String("ü".repeat(20_000).into()), ..Sample::good(at(-5), 0.0) };
        let by = Editor { user: "ann".into(), at: at(9) };
        let record = |sample| Modified::by(&by, Modification::Replace, sample);
        let note = Annotation { at: at(7), message: "m".into(), user: "bob".into(), time: at(8), is_lost: false };
        let ops = [
            Op::Modified(vec![record(long), record(Sample::good(at(3), 1.5))]),
            Op::Forget(at(i64::MIN)..at(i64::MAX)),
            Op::Annotate(7, note),
            Op::Unannotate(at(7), u64::MAX),
            Op::Keep(8, Document::new(at(1), vec![0, 255])),
            Op::Events(vec![Event::new(EventType::RevisionEvent, Source::new("Tank1"), at(4), 9, "x")]),
            Op::Expire(at(-1)),
        ];
        for op in ops {
            let bytes = write(77, &op).unwrap();
            assert_eq!(read(&bytes), Some((77, op)));
            for len in 0..bytes.len() {
                assert_eq!(read(&bytes[..len]), None, "cut to {len}");
            }
        }
    }
}
