//! Events as bytes. Pure codec; `sled_events.rs` keeps them, framed and checked as other records are (`record.rs`).
//!
//! ```text
//! body:    u64 number, 16 bytes EventId, i64 time, i64 received, u16 severity, type, source, message, u32 fields, the fields
//! field:   name, value (see `value_bytes.rs`)
//! texts:   u32 length, bytes                                                              (all little-endian)
//! ```
//! A type stands by its name. What is read takes at most 16 times its bytes: a field is 48 bytes in memory and a name of one
//! letter another 32, for 7 bytes here, its value included; that is why lengths are not as short as they could be.

use std::{borrow::Cow, sync::Arc};

use super::{
    bytes::Reader,
    record::{self, RecordError},
    value_bytes::{read_text, read_value, write_bytes, write_value},
};
use crate::{
    event::{Event, EventId, EventType, FieldName, Source},
    sample::Value,
    time::Timestamp,
};

/// No field is shorter: a length, a tag, a payload.
const FIELD_BYTES_MIN: usize = 6;

/// An event and how the store has numbered it, framed; `None` if it is too long for any record.
#[must_use]
pub fn write(number: u64, event: &Event) -> Option<Vec<u8>> {
    Some(record::split(&body(number, event)?)?.concat())
}

pub(super) fn body(number: u64, event: &Event) -> Option<Vec<u8>> {
    let mut body = Vec::with_capacity(128 + event.message.len());
    body.extend(number.to_le_bytes());
    body.extend(event.id.0);
    body.extend(event.time.ticks().to_le_bytes());
    body.extend(event.received.ticks().to_le_bytes());
    body.extend(event.severity.to_le_bytes());
    write_bytes(&mut body, event.kind.name().as_bytes());
    write_bytes(&mut body, event.source.0.as_bytes());
    write_bytes(&mut body, event.message.as_bytes());
    body.extend(u32::try_from(event.fields.len()).ok()?.to_le_bytes());
    for (name, value) in &event.fields {
        write_bytes(&mut body, name.as_bytes());
        write_value(&mut body, value);
    }
    Some(body)
}

/// The inverse of [`write()`].
///
/// # Errors
/// What is damaged; [`RecordError::UnknownType`] of an event that a newer program has written.
pub fn read(bytes: &[u8]) -> Result<(u64, Event), RecordError> {
    let Ok(body) = record::join(bytes, || Ok::<Option<&[u8]>, std::convert::Infallible>(None));
    read_body(&body?)
}

/// The inverse of [`body`].
pub(super) fn read_body(body: &[u8]) -> Result<(u64, Event), RecordError> {
    parse(&mut Reader::new(body)).ok_or(RecordError::Malformed)?
}

fn parse(reader: &mut Reader<'_>) -> Option<Result<(u64, Event), RecordError>> {
    let number = reader.bits(8)?;
    let id = EventId(reader.take(16)?.try_into().ok()?);
    let mut time = || Some(Timestamp::from_ticks(reader.bits(8)?.cast_signed()));
    let (time, received) = (time()?, time()?);
    let severity = u16::try_from(reader.bits(2)?).ok()?;
    let kind = EventType::from_name(read_text(reader)?);
    let source = Source::new(read_text(reader)?);
    let message = read_text(reader)?.to_owned();
    let count = usize::try_from(reader.bits(4)?).ok()?;
    let mut fields: Vec<(FieldName, Value)> = reader.room_for(count, FIELD_BYTES_MIN)?;
    for _ in 0..count {
        let name = read_text(reader)?.to_owned();
        fields.push((Cow::Owned(name), read_value(reader)?));
    }
    let event = |kind| (number, Event { id, kind, source, time, received, severity, message, fields });
    reader.is_empty().then(|| kind.map(event).ok_or(RecordError::UnknownType))
}

/// Which condition's state an event tells.
pub(super) fn condition(event: &Event) -> Option<&Arc<str>> {
    match event.field("ConditionId") {
        Some(Value::String(id)) if event.kind.is_condition() => Some(id),
        _ => None,
    }
}

/// The first name in a node's string: the twin's, or all of it.
pub(super) fn root(node: &str) -> &str {
    node.split_once('.').map_or(node, |(root, _)| root)
}

/// Fields that hold the string of a node.
const NODES: [&str; 4] = ["ConditionId", "InputNode", "UpdatedNode", "MethodId"];

/// As it is told after a twin was renamed: its nodes are the new twin's. Its message says what was true then.
pub(super) fn rename(event: &mut Event, new: &str) {
    let old = root(&event.source.0).to_owned();
    if old == new {
        return;
    }
    let renamed = |node: &str| {
        let rest = node.strip_prefix(&*old).filter(|rest| rest.is_empty() || rest.starts_with('.'))?;
        Some(format!("{new}{rest}"))
    };
    for (name, value) in &mut event.fields {
        if let Value::String(node) = value
            && NODES.contains(&&**name)
            && let Some(node) = renamed(node)
        {
            *value = node.into();
        }
    }
    if let Some(source) = renamed(&event.source.0) {
        event.source = Source::new(&source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let at = Timestamp::from_ticks(-5);
        let mut event = Event::new(EventType::DriftAlarm, Source::new("Heater1.Temperature"), at, 700, "ϑ drifts")
            .with("ConditionId", "Heater1.Temperature.DriftAlarm")
            .with("ActiveState/Id", true)
            .with("Comment", Value::LocalizedText(Arc::new(("en".to_owned(), "x".repeat(9000)))))
            .with("", Value::Null);
        event.id = EventId([7; 16]);
        event.received = Timestamp::MAX;
        event
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        for event in [event(), Event::new(EventType::RefreshEndEvent, Source::default(), Timestamp::NULL, 1, "")] {
            let bytes = write(9, &event).unwrap();
            assert_eq!(read(&bytes), Ok((9, event)));
            for len in 0..bytes.len() {
                assert!(read(&bytes[..len]).is_err(), "cut to {len} bytes");
            }
        }
    }

    #[test]
    fn a_type_of_a_newer_program_is_told_from_damage() {
        let bytes = write(9, &event()).unwrap();
        let mut body = bytes[9..].to_vec();
        let at = body.windows(9).position(|part| part == b"DriftAlar").unwrap();
        body[at] = b'E';
        assert_eq!(read(&record::split(&body).unwrap().concat()), Err(RecordError::UnknownType));
        let mut damaged = bytes;
        damaged[60] ^= 1;
        assert_eq!(read(&damaged), Err(RecordError::Checksum));
    }

    #[test]
    fn a_renamed_twin_takes_the_nodes_of_its_events_with_it_and_no_others() {
        let mut event = event().with("InputNode", "Heater10.Temperature.Residual").with("NewState", "Heater1.x");
        rename(&mut event, "Oven");
        assert_eq!(&*event.source.0, "Oven.Temperature");
        assert_eq!(event.field("ConditionId"), Some(&Value::from("Oven.Temperature.DriftAlarm")));
        assert_eq!(event.field("InputNode"), Some(&Value::from("Heater10.Temperature.Residual")));
        assert_eq!(event.field("NewState"), Some(&Value::from("Heater1.x")), "a text, no node");
    }
}
