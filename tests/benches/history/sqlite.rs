//! A peer: SQLite, a row per sample, clustered by series and time.

use std::path::Path;

use rusqlite::{Connection, params, types::Value as Cell};
use uatwin::{
    sample::{Sample, SeriesId, Value},
    time::Timestamp,
};

use super::historian::Historian;

pub(crate) struct Sqlite {
    connection: Connection,
    is_in_transaction: bool,
}

impl Sqlite {
    /// WITHOUT ROWID: the table is its own index, and a range of a series lies together. Of the settings that keep a
    /// commit durable the fastest: only this process reads, the log is checkpointed rarely, the cache is as large as what
    /// ours takes of memory.
    pub(crate) fn open(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("history.sqlite")).expect("SQLite opens");
        connection
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 10000; PRAGMA cache_size = -65536;
                 CREATE TABLE history (series INTEGER, t INTEGER, v, status INTEGER, server INTEGER,
                                       PRIMARY KEY (series, t)) WITHOUT ROWID",
            )
            .expect("the schema is SQL");
        Self { connection, is_in_transaction: false }
    }

    /// Everything into the table: nothing left in the log.
    pub(crate) fn checkpoint(&self) {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Double(x) => Cell::Real(*x),
        Value::Boolean(x) => Cell::Integer((*x).into()),
        Value::UInt16(x) => Cell::Integer((*x).into()),
        Value::UInt32(x) => Cell::Integer((*x).into()),
        Value::Int32(x) => Cell::Integer((*x).into()),
        other => unreachable!("no load has a {other:?}"),
    }
}

impl Historian for Sqlite {
    fn append(&mut self, batch: &[(SeriesId, Sample)]) {
        if !self.is_in_transaction {
            self.connection.execute_batch("BEGIN IMMEDIATE").expect("nothing else writes");
            self.is_in_transaction = true;
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO history VALUES (?1, ?2, ?3, ?4, ?5)")
            .expect("the statement is SQL");
        for (series, sample) in batch {
            let (at, server) = (sample.source_timestamp.ticks(), sample.server_timestamp.ticks());
            insert
                .execute(params![series.0, at, cell(&sample.value), sample.status.bits(), server])
                .expect("a row is inserted");
        }
    }

    fn flush(&mut self) {
        if self.is_in_transaction {
            self.connection.execute_batch("COMMIT").expect("it commits");
            self.is_in_transaction = false;
        }
    }

    fn read(&mut self, series: u32, from: Timestamp, limit: usize) -> usize {
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT t, v, status, server FROM history WHERE series = ?1 AND t >= ?2 ORDER BY t LIMIT ?3",
            )
            .expect("the statement is SQL");
        let limit = i64::try_from(limit).unwrap_or(-1);
        let mut rows = select.query(params![series, from.ticks(), limit]).expect("it can be asked");
        let mut found: Vec<(i64, Cell, u32, i64)> = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            let all = || Ok::<_, rusqlite::Error>((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            found.push(all().expect("the row as it was written"));
        }
        found.len()
    }
}
