//! How much history one process takes and gives, flushed and compacted as the writer would. Arguments, each may be left out:
//!
//! - `[SERIES] [SECONDS] [KIND] [peers=N]`: 10,000 series for 300 seconds at 1 Hz; ingest, bytes per sample on disk, scan,
//!   small reads, summaries, open, memory; then N (2,000,000) of these samples in SQLite, in PostgreSQL and in sled entry
//!   by entry, and how many times better ours is. `100000 100` is the run of many series.
//! - `year [KIND]`: a year of one series at 1 Hz, 365 daily summaries of it.
//! - `open [SERIES] [SECONDS] [KIND]`: opening after kill -9 of a process that wrote so much. `open 10000 10000`: 100 M.
//! - `peers [SERIES] [SECONDS] [KIND]`: only ours, SQLite and PostgreSQL (if it is installed), a JSON object a line.
//! - `events [COUNT] [TWINS]`: 1,000,000 events of 1,000 twins: how fast they are taken and found.
//! - `clickhouse [SERIES] [SECONDS] [KIND]`: by the way of the service, the writer's thread and the store on the disk, into one
//!   ClickHouse server on this machine; until the last sample is there.
//! - `sustained [SERIES] [DURATION_S] [KIND]`: the rate of each ten seconds, for 60 seconds of writing.
//!
//! KIND: plant, server, rare, noisy.

use std::{env, path::Path};

use mix::{Load, Mix};

mod clickhouse;
#[path = "../../support/clickhouse_server.rs"]
#[allow(clippy::unwrap_used, reason = "a bench fails by panic")]
mod clickhouse_server;
mod events;
mod historian;
mod measure;
mod mix;
mod modes;
mod peers;
mod postgres;
mod postgres_cluster;
mod sled_entries;
mod sqlite;
mod store;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<u32>().ok());
    let mix = arguments.iter().find_map(|argument| Mix::named(argument)).unwrap_or(Mix::Plant);
    let peers =
        arguments.iter().find_map(|argument| argument.strip_prefix("peers=")?.parse().ok()).unwrap_or(2_000_000);
    let series = numbers.next().unwrap_or(10_000);
    let mut seconds = |otherwise: u32| i64::from(numbers.next().unwrap_or(otherwise));
    match arguments.first().map(String::as_str) {
        Some("clickhouse") => clickhouse::run(&Load::even(series, seconds(3000), mix)),
        Some("events") => events::run(&arguments),
        Some("peers") => peers::tell(&Load::even(series, seconds(300), mix)),
        Some("year") => modes::year(mix),
        Some("sustained") => modes::sustained(series, seconds(60) as f64, mix),
        Some("open") => {
            let load = Load::even(series, seconds(1000), mix);
            match env::var_os(modes::FOLDER) {
                Some(folder) => modes::write_until_killed(Path::new(&folder), &load),
                None => modes::open(&load),
            }
        }
        _ => modes::mixed(&Load::even(series, seconds(300), mix), peers),
    }
}
