//! Samples: rows of which the one with the highest version counts.

use std::{
    ops::Range,
    sync::atomic::{AtomicI64, Ordering},
};

use super::{
    ClickHouseStore, Connected, orders,
    rows::{Columns, VALUE},
};
use crate::{
    history::{ClassSummary, Direction, Summary, behind::Key, blocks::Cause},
    sample::{Sample, SeriesId},
    time::Timestamp,
};

/// Rows asked for at a time, at most and at least.
const PAGE_ROWS: usize = 65_536;
const ROWS_MIN: usize = 64;
/// The first window of a series of which nothing is known: an hour.
const WINDOW_FIRST: i64 = 36_000_000_000;
/// A window that held too little is followed by one at most so many times as wide.
const WINDOW_GROWTH: i64 = 32;
/// Instants before (negative: after) which nobody measured: 1800 and 2400. Beyond, a read first asks where anything is.
const MEASURED: Range<i64> = 62_798_112_000_000_000..252_141_552_000_000_000;

/// A row that was read.
struct Stored {
    at: Timestamp,
    version: u64,
    is_deleted: bool,
    sample: Sample,
}

/// The part of a read that is still to be done.
struct Window {
    start: i64,
    end: i64,
    direction: Direction,
}

impl Window {
    /// The next `width` ticks of it.
    fn next(&self, width: i64) -> (i64, i64) {
        match self.direction {
            Direction::Forward => (self.start, self.end.min(self.start.saturating_add(width))),
            Direction::Backward => (self.start.max(self.end.saturating_sub(width)), self.end),
        }
    }

    fn passed(&mut self, (start, end): (i64, i64), last: Option<i64>) {
        match self.direction {
            Direction::Forward => self.start = last.map_or(end, |last| last.saturating_add(1)),
            Direction::Backward => self.end = last.unwrap_or(start),
        }
    }
}

impl ClickHouseStore {
    pub(super) fn append_samples(&self, samples: &[(SeriesId, Sample)]) -> Result<(), Cause> {
        self.reach(|connected| {
            let version = self.version(connected)?;
            let mut keyed = Vec::with_capacity(samples.len());
            for (series, sample) in samples {
                let name = &self.names.get(series.index()).ok_or("an unknown series")?.0;
                keyed.push((self.key_of(connected, name)?, version, sample));
            }
            self.insert_samples(connected, keyed)
        })
    }

    /// With keys and versions, in the order in which they came: a server takes what is in its own order as it is.
    pub(super) fn insert_samples(
        &self,
        connected: &Connected,
        mut samples: Vec<(Key, u64, &Sample)>,
    ) -> Result<(), Cause> {
        if samples.is_empty() {
            return Ok(());
        }
        let place = |&(key, _, sample): &(Key, u64, &Sample)| (key, sample.source_timestamp);
        if !samples.is_sorted_by_key(place) {
            samples.sort_by_key(place); // stable: the later one stays the later one
        }
        let mut columns = Columns::default();
        for (index, row) in samples.iter().enumerate() {
            if samples.get(index + 1).is_none_or(|next| place(next) != place(row)) {
                columns.push(row.0, row.1, row.2);
            }
        }
        let into = format!("{} ({})", self.table("samples"), Columns::NAMES);
        self.insert(connected, &into, "Native", &columns.to_native())
    }

    pub(super) fn read_samples(
        &self,
        (name, density): (&str, &AtomicI64),
        times: Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, Cause> {
        if times.start >= times.end || limit == 0 {
            return Ok(Vec::new());
        }
        let connected = self.connect()?;
        let Some(key) = self.known_key(&connected, name) else { return Ok(Vec::new()) };
        let mut window = Window { start: times.start.ticks(), end: times.end.ticks(), direction };
        self.begin_at_something(key, &mut window)?;
        let wanted = |found: usize| i64::try_from((limit - found).min(PAGE_ROWS)).unwrap_or(i64::MAX);
        let mut width = match density.load(Ordering::Relaxed) {
            0 => WINDOW_FIRST,
            ticks_per_row => ticks_per_row.saturating_mul(wanted(0).saturating_add(1)),
        };
        let (mut samples, mut ask) = (Vec::new(), limit.clamp(ROWS_MIN, PAGE_ROWS));
        while window.start < window.end && samples.len() < limit {
            let span = window.next(width);
            let rows = self.read_rows(key, span, direction, ask)?;
            let last = rows.last().map(|row| row.at.ticks()).filter(|_| rows.len() == ask);
            let covered = match (last, direction) {
                (None, _) => span.1.saturating_sub(span.0),
                (Some(last), Direction::Forward) => last.saturating_sub(span.0),
                (Some(last), Direction::Backward) => span.1.saturating_sub(last),
            };
            window.passed(span, last);
            let (mut before, found) = (None, samples.len());
            for row in &rows {
                // Its other versions follow it.
                if before.replace(row.at) != Some(row.at)
                    && !row.is_deleted
                    && connected.is_within_retention(row.at, row.version)
                {
                    samples.push(row.sample.clone());
                }
            }
            let most = width.saturating_mul(WINDOW_GROWTH);
            width = match i64::try_from(rows.len()) {
                Ok(rows @ 1..) => {
                    let ticks_per_row = (covered / rows).max(1);
                    density.store(ticks_per_row, Ordering::Relaxed);
                    ticks_per_row.saturating_mul(wanted(samples.len().min(limit - 1)).saturating_add(1)).min(most)
                }
                _ => most,
            };
            if samples.len() == found && last.is_some() {
                // Nothing but what was taken out.
                ask = (ask * 8).min(PAGE_ROWS);
                width = most;
            }
        }
        samples.truncate(limit);
        Ok(samples)
    }

    /// A window that begins in the depth of time, where nothing can be, begins where something is.
    fn begin_at_something(&self, key: Key, window: &mut Window) -> Result<(), Cause> {
        let ends = |function| {
            let sql = format!(
                "SELECT count(), {function}(at) FROM {} WHERE series = {key} AND at >= {} AND at < {}",
                self.table("samples"),
                window.start,
                window.end
            );
            let found = self.rows(&sql)?.one(|row| Some((row.u64()?, row.i64()?)))?;
            Ok::<_, Cause>((found.0 > 0).then_some(found.1))
        };
        match window.direction {
            Direction::Forward if window.start < MEASURED.start => match ends("min")? {
                Some(first) => window.start = first,
                None => window.start = window.end,
            },
            Direction::Backward if window.end > MEASURED.end => match ends("max")? {
                Some(last) => window.end = last.saturating_add(1).min(window.end),
                None => window.end = window.start,
            },
            _ => {}
        }
        Ok(())
    }

    /// Of each instant the highest version first.
    fn read_rows(
        &self,
        key: Key,
        (start, end): (i64, i64),
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Stored>, Cause> {
        let order = orders(direction).0;
        let sql = format!(
            "SELECT at, version, deleted, {VALUE} FROM {} WHERE series = {key} AND at >= {start} AND at < {end} \
             ORDER BY at {order}, version DESC LIMIT {limit}",
            self.table("samples")
        );
        let stored = self.rows(&sql)?.each(|row| {
            let (at, version, deleted) = (row.time()?, row.u64()?, row.u8()?);
            Some(Stored { at, version, is_deleted: deleted != 0, sample: row.sample(at)? })
        })?;
        Ok(stored)
    }

    /// In the place of everything in `times` there is nothing, by this version.
    pub(super) fn remove_samples(
        &self,
        connected: &Connected,
        key: Key,
        version: u64,
        times: Range<Timestamp>,
    ) -> Result<(), Cause> {
        if times.start >= times.end {
            return Ok(());
        }
        let quorum = self.options.quorum.map(|count| count.to_string());
        let mut settings = connected.writing(quorum.as_deref());
        settings.extend(self.reading());
        let table = self.table("samples");
        let sql = format!(
            "INSERT INTO {table} ({}) SELECT series, at, toUInt64({version}), toUInt8(1), toInt64(0), toUInt32(0), toUInt8(0), \
             toFloat64(0), '' FROM {table} WHERE series = {key} AND at >= {} AND at < {} GROUP BY series, at",
            Columns::NAMES,
            times.start.ticks(),
            times.end.ticks()
        );
        self.http.execute(&sql, &settings)
    }

    /// What [`Summary::add`] makes of the samples in `times`, made where they are.
    pub(super) fn summary_of(&self, name: &str, times: Range<Timestamp>) -> Result<Summary, Cause> {
        let mut summary = Summary::default();
        let connected = self.connect()?;
        let Some(key) = self.known_key(&connected, name).filter(|_| times.start < times.end) else {
            return Ok(summary);
        };
        // StatusCode's two top bits: 0 Good, 1 Uncertain, else Bad.
        let sql = format!(
            "SELECT toUInt8(intDiv(status, 1073741824)) AS class, count(), countIf(isFinite(number)), \
             minIf(number, isFinite(number)), maxIf(number, isFinite(number)), sumIf(number, isFinite(number)) \
             FROM {} FINAL WHERE series = {key} AND at >= {} AND at < {} AND deleted = 0 AND {} GROUP BY class",
            self.table("samples"),
            times.start.ticks(),
            times.end.ticks(),
            connected.within_retention()
        );
        let classes = self.rows(&sql)?.each(|row| {
            let class = row.u8()?;
            let (count, usable) = (row.u64()?, row.u64()?);
            let [min, max, sum] = [row.f64()?, row.f64()?, row.f64()?].map(|x| if usable == 0 { 0.0 } else { x });
            Some((class, ClassSummary { count, usable, min, max, sum }))
        })?;
        for (class, found) in classes {
            match class {
                0 => summary.good.merge(&found),
                1 => summary.uncertain.merge(&found),
                _ => summary.bad += found.count,
            }
        }
        Ok(summary)
    }
}
