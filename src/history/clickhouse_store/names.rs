//! Connecting: the tables are there, the series have their keys, and it is known how far retention got.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::{
    ClickHouseStore, Connected, MODERN,
    rows::Written,
    schema::{BY_MONTH, TABLES, is_before},
};
use crate::{
    history::{behind::Key, blocks::Cause},
    time::Timestamp,
};

/// The key of a name that is new. Where another series has that already (by a rename, or by chance), the next one.
fn key_for(name: &str, attempt: u32) -> Key {
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    if attempt > 0 {
        hash.update([0]);
        hash.update(attempt.to_le_bytes());
    }
    // 0 says that something is about no series.
    hash.finalize().first_chunk().map_or(1, |first| u64::from_le_bytes(*first).max(1))
}

impl ClickHouseStore {
    /// What was found when a server first answered; asked now if none has yet.
    pub(super) fn connect(&self) -> Result<Arc<Connected>, Cause> {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = &*connected {
            return Ok(Arc::clone(connected));
        }
        let version = self.http.rows("SELECT version()", &[])?.one(|row| row.text())?;
        let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0_u32);
        let is_modern = major >= MODERN;
        self.make_tables(is_modern)?;
        let found = Connected {
            is_modern,
            keys: Mutex::new(self.stored_keys()?),
            floors: Mutex::new(self.stored_floors()?),
            claimed: Mutex::default(),
            next: AtomicU64::new(0),
        };
        self.carry_over(&found)?;
        info!(store = %self.place(), version, "history's cluster answers");
        Ok(Arc::clone(connected.insert(Arc::new(found))))
    }

    fn make_tables(&self, is_modern: bool) -> Result<(), Cause> {
        let database = &self.options.database;
        let cluster = self.options.cluster.as_deref();
        if let Some(cluster) = cluster {
            let shards =
                format!("SELECT toUInt32(uniqExact(shard_num)) FROM system.clusters WHERE cluster = '{cluster}'");
            match self.http.rows(&shards, &[])?.one(|row| row.u32())? {
                0 => return Err(format!("the server knows no cluster `{cluster}`").into()),
                1 => {}
                _ => {
                    return Err(
                        format!("the cluster `{cluster}` has several shards; one with replicas is needed").into()
                    );
                }
            }
        }
        let sql = format!("SELECT name FROM system.tables WHERE database = '{database}'");
        let there: HashSet<String> = self.http.rows(&sql, &[])?.each(|row| row.text())?.into_iter().collect();
        let missing: Vec<_> = TABLES.iter().filter(|table| !there.contains(table.name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let on_cluster = cluster.map_or(String::new(), |cluster| format!(" ON CLUSTER `{cluster}`"));
        self.http.execute(&format!("CREATE DATABASE IF NOT EXISTS `{database}`{on_cluster}"), &[])?;
        missing.iter().try_for_each(|table| self.http.execute(&table.create(database, cluster, is_modern), &[]))
    }

    fn stored_keys(&self) -> Result<HashMap<String, Key>, Cause> {
        let sql = format!("SELECT id, argMax(name, version) FROM {} GROUP BY id", self.table("series"));
        let keys = self.rows(&sql)?.each(|row| {
            let key = row.u64()?;
            Some((row.text()?, key))
        })?;
        Ok(keys.into_iter().collect())
    }

    fn stored_floors(&self) -> Result<Vec<(Timestamp, u64)>, Cause> {
        let sql = format!("SELECT at, version FROM {} WHERE kind = 'floor'", self.table("marks"));
        let mut floors = Vec::new();
        for floor in self.rows(&sql)?.each(|row| Some((row.time()?, row.u64()?)))? {
            add_floor(&mut floors, floor);
        }
        Ok(floors)
    }

    /// Names of all series that there are.
    ///
    /// # Errors
    /// If no server answers.
    pub fn stored_names(&self) -> Result<Vec<String>, Cause> {
        self.reach(|connected| {
            let keys = connected.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let mut names: Vec<String> = keys.keys().cloned().collect();
            names.sort_unstable();
            Ok(names)
        })
    }

    /// As [`rename::carry_over`](crate::history::rename::carry_over) does it on the disk.
    fn carry_over(&self, connected: &Connected) -> Result<(), Cause> {
        for (old, new) in &self.options.renames {
            let mut keys = connected.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(&key) = keys.get(old) else { continue };
            if keys.contains_key(new) {
                warn!(series = %new, was = %old, "both names have a history in the cluster: each stays under its own");
                continue;
            }
            self.name_series(connected, key, new)?;
            keys.remove(old);
            keys.insert(new.clone(), key);
        }
        Ok(())
    }

    fn name_series(&self, connected: &Connected, key: Key, name: &str) -> Result<(), Cause> {
        let mut rows = Written::default();
        rows.u64(key).bytes(name.as_bytes()).u64(self.version(connected)?);
        self.insert_rows(connected, "series", "id, name, version", &rows)
    }

    /// By which the tables know a series. One that is new is taken in.
    pub(super) fn key_of(&self, connected: &Connected, name: &str) -> Result<Key, Cause> {
        let mut keys = connected.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&key) = keys.get(name) {
            return Ok(key);
        }
        let taken: HashSet<Key> = keys.values().copied().collect();
        let key = (0..).map(|attempt| key_for(name, attempt)).find(|key| !taken.contains(key));
        let key = key.ok_or("no series keys are left")?;
        self.name_series(connected, key, name)?;
        keys.insert(name.to_owned(), key);
        Ok(key)
    }

    /// The key of a series that has something; `None`: nothing was ever stored of it.
    pub(super) fn known_key(&self, connected: &Connected, name: &str) -> Option<Key> {
        connected.keys.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// The next claim. Whoever has it writes above all before.
    pub(super) fn claim_next(&self, connected: &Connected) -> Result<u64, Cause> {
        let sql = format!("SELECT max(version) FROM {} WHERE kind = 'claim'", self.table("marks"));
        let claim = self.rows(&sql)?.one(|row| row.u64())? + 1;
        let mut rows = Written::default();
        rows.bytes(b"claim").u64(claim).i64(0);
        self.insert_rows(connected, "marks", "kind, version, at", &rows)?;
        Ok(claim)
    }

    /// Says that what is before is past retention, and drops the months that are so whole. Answers how many samples those had.
    pub(super) fn expire_before(&self, connected: &Connected, before: Timestamp, version: u64) -> Result<u64, Cause> {
        let mut rows = Written::default();
        rows.bytes(b"floor").u64(version).i64(before.ticks());
        self.insert_rows(connected, "marks", "kind, version, at", &rows)?;
        add_floor(&mut connected.floors.lock().unwrap_or_else(PoisonError::into_inner), (before, version));
        let mut gone = 0;
        for table in BY_MONTH {
            for (partition, rows) in self.partitions(table)? {
                if partition.parse().is_ok_and(|partition| is_before(partition, before.ticks())) {
                    let sql = format!("ALTER TABLE {} DROP PARTITION {partition}", self.table(table));
                    self.http.execute(&sql, &[])?;
                    gone += if table == "samples" { rows } else { 0 };
                }
            }
        }
        Ok(gone)
    }

    fn partitions(&self, table: &str) -> Result<Vec<(String, u64)>, Cause> {
        let sql = format!(
            "SELECT partition, toUInt64(sum(rows)) FROM system.parts WHERE active AND database = '{}' AND table = '{table}' \
             GROUP BY partition",
            self.options.database
        );
        Ok(self.rows(&sql)?.each(|row| Some((row.text()?, row.u64()?)))?)
    }
}

/// Those that another covers say nothing.
fn add_floor(floors: &mut Vec<(Timestamp, u64)>, new: (Timestamp, u64)) {
    if floors.iter().any(|floor| floor.0 >= new.0 && floor.1 >= new.1) {
        return;
    }
    floors.retain(|floor| floor.0 > new.0 || floor.1 > new.1);
    floors.push(new);
}
