//! Events: each once by its EventId, read by time and by whom they come; and of each condition the last.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    ops::Range,
};

use super::{ClickHouseStore, Connected, limits, orders, rows::Written};
use crate::{
    event::{Event, EventId, EventType},
    history::{Direction, blocks::Cause, event_record},
    time::Timestamp,
};

/// Events of which is asked at once whether they are there.
const ASKED: usize = 1000;

fn hex(id: EventId) -> String {
    id.0.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As a literal of SQL.
pub(super) fn quoted(text: &str) -> String {
    let mut sql = String::with_capacity(text.len() + 2);
    sql.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            sql.push('\\');
        }
        sql.push(c);
    }
    sql.push('\'');
    sql
}

/// [`Source::is_told_by`](crate::event::Source::is_told_by), in SQL.
fn told_by(notifier: &str) -> String {
    match notifier {
        "" => "1".into(),
        "Twins" => "source NOT IN ('', 'History', 'Connections') AND substring(source, 1, 4) != 'plc:'".into(),
        "Connections" => "substring(source, 1, 4) = 'plc:'".into(),
        node => {
            let below = format!("{node}.");
            format!("(source = {} OR substring(source, 1, {}) = {})", quoted(node), below.len(), quoted(&below))
        }
    }
}

impl ClickHouseStore {
    /// Those of them whose EventId is not there yet; with `version`, what came by it counts as not there.
    fn new_ones<'a>(&self, version: u64, events: &'a [Event]) -> Result<Vec<(u32, &'a Event)>, Cause> {
        let (mut seen, mut new) = (HashSet::new(), Vec::new());
        for (chunk, of) in (0_u32..).zip(events.chunks(ASKED)) {
            let ids: Vec<String> = of.iter().map(|event| format!("'{}'", hex(event.id))).collect();
            let times = of.iter().map(|event| event.time.ticks());
            let sql = format!(
                "SELECT id FROM {} WHERE at >= {} AND at <= {} AND version != {version} AND id IN ({})",
                self.table("events"),
                times.clone().min().unwrap_or(0),
                times.max().unwrap_or(0),
                ids.join(", ")
            );
            seen.extend(self.rows(&sql)?.each(|row| row.text())?);
            for (place, event) in (chunk * 1000..).zip(of) {
                if seen.insert(hex(event.id)) {
                    new.push((place, event));
                }
            }
        }
        Ok(new)
    }

    pub(super) fn insert_events(&self, connected: &Connected, version: u64, events: &[Event]) -> Result<(), Cause> {
        if events.is_empty() {
            return Ok(());
        }
        let (mut rows, mut last) = (Written::default(), BTreeMap::new());
        for (place, event) in self.new_ones(version, events)? {
            let body = event_record::body(0, event).ok_or("an event is too long")?;
            rows.i64(event.time.ticks()).u64(version).u32(place).bytes(hex(event.id).as_bytes());
            rows.bytes(event.kind.name().as_bytes()).bytes(event.source.0.as_bytes()).i64(event.received.ticks());
            rows.u16(event.severity).bytes(event.message.as_bytes()).bytes(&body);
            if let Some(condition) = event_record::condition(event) {
                last.insert(condition.clone(), body);
            }
        }
        let mut conditions = Written::default();
        for (condition, body) in last {
            conditions.bytes(condition.as_bytes()).u64(version).bytes(&body);
        }
        // First: what the events have is passed over when it is tried again.
        self.insert_rows(connected, "conditions", "condition, version, body", &conditions)?;
        let columns = "at, version, place, id, kind, source, received, severity, message, body";
        self.insert_rows(connected, "events", columns, &rows)
    }

    pub(super) fn events_told_by(
        &self,
        notifier: &str,
        times: Range<Timestamp>,
        direction: Direction,
        page: (usize, usize),
    ) -> Result<Vec<Event>, Cause> {
        if times.start >= times.end || page.1 == 0 {
            return Ok(Vec::new());
        }
        let connected = self.connect()?;
        let order = orders(direction).0;
        // Of a type that only a newer program knows none is asked for: a page must not be short for that.
        let kinds: Vec<String> = EventType::ALL.iter().map(|kind| quoted(kind.name())).collect();
        let sql = format!(
            "SELECT body FROM {} FINAL WHERE at >= {} AND at < {} AND {} AND kind IN ({}) AND {} \
             ORDER BY at {order}, version {order}, place {order} {}",
            self.table("events"),
            times.start.ticks(),
            times.end.ticks(),
            told_by(notifier),
            kinds.join(", "),
            connected.within_retention(),
            limits(page)
        );
        self.bodies(&sql)
    }

    pub(super) fn last_of_conditions(&self) -> Result<Vec<Event>, Cause> {
        self.connect()?;
        self.bodies(&format!("SELECT body FROM {} FINAL", self.table("conditions")))
    }

    fn bodies(&self, sql: &str) -> Result<Vec<Event>, Cause> {
        let read = self.rows(sql)?.each(|row| row.bytes().map(event_record::read_body))?;
        Ok(read.into_iter().filter_map(|read| read.ok().map(|(_, event)| event)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_literal() {
        assert_eq!(quoted(r"O'Neill\'s"), r"'O\'Neill\\\'s'");
        assert!(told_by("x' OR 1").contains(r"source = 'x\' OR 1'"));
        assert!(told_by("Fühler").contains("substring(source, 1, 8) = 'Fühler.'"), "bytes, not letters");
    }
}
