//! The tables, as every server since 18.16 takes them. Instants are Int64 ticks of 100 ns since 1601 (OPC UA's DateTime).
//!
//! A row is never changed: of the rows with one key the one with the highest `version` counts, and one that is `deleted` says
//! that there is nothing. So what is inserted twice, or late, or on another replica, comes to the same.

/// A mean month of the Gregorian calendar: partition p is about the (p mod 12 + 1)th month of the year 1601 + p / 12.
/// Integers alone: a server's calendar may change with its version, and a row's partition must not.
pub(super) const MONTH_TICKS: i64 = 26_297_460_000_000;

/// Everything that `expire` drops by partitions.
pub(super) const BY_MONTH: [&str; 4] = ["samples", "modified", "annotations", "events"];

pub(super) struct Table {
    pub(super) name: &'static str,
    /// With codecs after `/*` and `*/`, for servers that know them.
    columns: &'static str,
    /// Of a ReplacingMergeTree.
    version: &'static str,
    order: &'static str,
    by_month: bool,
}

/// Numbers that go up with time, and instants.
macro_rules! columns {
    ($($text:literal),* $(,)?) => { concat!($($text),*) };
}

pub(super) const TABLES: [Table; 9] = [
    Table {
        name: "samples",
        columns: columns!(
            "series UInt64, at Int64 /*CODEC(DoubleDelta, ZSTD(1))*/, version UInt64 /*CODEC(DoubleDelta, ZSTD(1))*/, ",
            "deleted UInt8, server Int64 /*CODEC(Delta, ZSTD(1))*/, status UInt32, tag UInt8, ",
            "number Float64 /*CODEC(ZSTD(3))*/, value String /*CODEC(ZSTD(3))*/",
        ),
        version: "version",
        order: "series, at",
        by_month: true,
    },
    Table {
        name: "modified",
        columns: columns!(
            "series UInt64, at Int64, version UInt64, place UInt32, kind UInt8, user String, edited Int64, ",
            "server Int64, status UInt32, tag UInt8, number Float64, value String",
        ),
        version: "",
        order: "series, at, version, place",
        by_month: true,
    },
    Table {
        name: "forgotten",
        columns: "series UInt64, start Int64, end Int64, version UInt64",
        version: "",
        order: "series, start, end, version",
        by_month: false,
    },
    Table {
        name: "annotations",
        columns: columns!(
            "series UInt64, at Int64, id UInt64, place UInt32, version UInt64, deleted UInt8, user String, ",
            "time Int64, message String",
        ),
        version: "version",
        order: "series, at, id, place",
        by_month: true,
    },
    Table {
        name: "documents",
        columns: "series UInt64, at Int64, id UInt64, place UInt32, body String",
        version: "",
        order: "series, at, id, place",
        by_month: false,
    },
    Table {
        name: "events",
        columns: columns!(
            "at Int64, version UInt64, place UInt32, id String, kind String, source String, received Int64, ",
            "severity UInt16, message String, body String",
        ),
        version: "",
        order: "at, version, place",
        by_month: true,
    },
    Table {
        name: "conditions",
        columns: "condition String, version UInt64, body String",
        version: "version",
        order: "condition",
        by_month: false,
    },
    Table {
        name: "series",
        columns: "id UInt64, name String, version UInt64",
        version: "version",
        order: "id",
        by_month: false,
    },
    // What is to be known of the store itself: who claimed it (`claim`), and how far retention got (`floor`).
    Table {
        name: "marks",
        columns: "kind String, version UInt64, at Int64",
        version: "",
        order: "kind, version, at",
        by_month: false,
    },
];

impl Table {
    /// The statement that makes it. `cluster`: on every node of that, replicated. `is_modern`: the server knows codecs, and
    /// can be told to sync what it acknowledges.
    pub(super) fn create(&self, database: &str, cluster: Option<&str>, is_modern: bool) -> String {
        let Self { name, columns, version, order, .. } = *self;
        let columns = if is_modern {
            columns.replace("/*", "").replace("*/", "")
        } else {
            let mut parts = columns.split("/*");
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |all, part| all + part.split_once("*/").map_or("", |(_, rest)| rest))
        };
        let on_cluster = cluster.map_or(String::new(), |cluster| format!(" ON CLUSTER `{cluster}`"));
        let engine = match (cluster, version) {
            (None, version) => format!("ReplacingMergeTree({version})"),
            (Some(_), version) => {
                let version = if version.is_empty() { String::new() } else { format!(", {version}") };
                format!(
                    "ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/{database}/{name}', '{{replica}}'{version})"
                )
            }
        };
        let partition = if self.by_month { format!(" PARTITION BY intDiv(at, {MONTH_TICKS})") } else { String::new() };
        let settings = if is_modern { " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1" } else { "" };
        format!(
            "CREATE TABLE IF NOT EXISTS `{database}`.{name}{on_cluster} ({columns}) ENGINE = {engine}{partition} \
             ORDER BY ({order}){settings}"
        )
    }
}

/// Whether everything in a partition is before `before`. Division rounds towards zero.
pub(super) fn is_before(partition: i64, before: i64) -> bool {
    let end = if partition >= 0 {
        partition.saturating_add(1).saturating_mul(MONTH_TICKS)
    } else {
        partition.saturating_mul(MONTH_TICKS).saturating_add(1)
    };
    end <= before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_gone_when_its_last_instant_is() {
        for at in [-3 * MONTH_TICKS - 1, -MONTH_TICKS, -1, 0, 1, MONTH_TICKS - 1, MONTH_TICKS, 5104 * MONTH_TICKS + 9] {
            let partition = at / MONTH_TICKS;
            assert!(!is_before(partition, at), "{at} itself is not before {at}");
            assert!(is_before(partition, at + 2 * MONTH_TICKS), "{at}");
        }
        assert!(is_before(5104, 5105 * MONTH_TICKS) && !is_before(5104, 5105 * MONTH_TICKS - 1));
        assert!(is_before(-1, 1 - MONTH_TICKS) && !is_before(-1, -MONTH_TICKS));
    }

    #[test]
    fn old_servers_are_asked_for_no_codecs() {
        let [old, new] = [false, true].map(|is_modern| TABLES[0].create("plant", None, is_modern));
        assert!(old.contains("at Int64 , version UInt64 , deleted") && !old.contains("fsync"), "{old}");
        assert!(new.contains("at Int64 CODEC(DoubleDelta, ZSTD(1)), version") && !new.contains('*'), "{new}");
        let replicated = TABLES[1].create("plant", Some("all"), true);
        assert!(
            replicated.contains("ON CLUSTER `all`") && replicated.contains("/{shard}/plant/modified', '{replica}')")
        );
    }
}
