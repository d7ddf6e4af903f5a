//! The same samples into other stores, on the same machine, in the same run.

use std::path::Path;

use serde_json::json;

use super::{
    historian::{Durable, Historian, ingest, scan, small_reads},
    measure::promise,
    mix::Load,
    postgres::Postgres,
    postgres_cluster::{self, Cluster},
    sled_entries::SledEntries,
    sqlite::Sqlite,
    store::Ours,
};

/// sled by entry gets no more: with 2 M samples it takes 7 GB of memory, with half a million 1.7 GB. It gets slower with
/// more, so this favours it.
const SLED_SAMPLES_MAX: u64 = 500_000;
/// Our ingest is promised to be so many times SQLite's.
const TIMES_SQLITE: f64 = 3.0;

struct Figures {
    name: &'static str,
    ingest_per_s: f64,
    bytes: f64,
    scan_per_s: f64,
    read_us: f64,
}

impl Figures {
    fn print(&self, ours: &Self) {
        println!(
            "{:<28}{:>8.2} M/s {:>5.1} x{:>9.2} B/sample {:>5.1} x{:>8.2} M/s {:>5.1} x{:>9.1} us {:>5.1} x",
            self.name,
            self.ingest_per_s / 1e6,
            ours.ingest_per_s / self.ingest_per_s,
            self.bytes,
            self.bytes / ours.bytes,
            self.scan_per_s / 1e6,
            ours.scan_per_s / self.scan_per_s,
            self.read_us,
            self.read_us / ours.read_us,
        );
    }
}

/// Everything of one store. `settle`: what it does when nothing comes in.
fn measure<H: Historian>(
    name: &'static str,
    (load, durable): (&Load, Durable),
    open: impl FnOnce(&Path) -> H,
    settle: impl FnOnce(&mut H),
) -> Figures {
    let folder = tempfile::tempdir().expect("a folder for the store");
    let mut historian = open(folder.path());
    let ingested = ingest(&mut historian, load, durable, f64::INFINITY);
    settle(&mut historian);
    let bytes = historian.bytes(folder.path()) / load.count();
    let scanned = load.count() / scan(&mut historian, load).spent().0;
    let (read_us, _) = small_reads(&mut historian, load);
    Figures { name, ingest_per_s: ingested.rate(), bytes, scan_per_s: scanned, read_us }
}

fn ours(load: &Load) -> Figures {
    measure("uatwin", (load, Durable::Second), |folder| Ours::open(folder, load), Ours::settle)
}

fn sqlite(name: &'static str, load: &Load, durable: Durable) -> Figures {
    measure(name, (load, durable), Sqlite::open, |sqlite| sqlite.checkpoint())
}

/// `None`: it is not installed.
fn postgres(name: &'static str, load: &Load) -> Option<Figures> {
    postgres_cluster::version()?;
    let open = |folder: &Path| Postgres::open(Cluster::start(folder).expect("PostgreSQL is installed"));
    Some(measure(name, (load, Durable::Second), open, Postgres::settle))
}

/// Ours and other databases, a JSON object a line: what `tests/benches/compare/run` makes its table of.
pub(crate) fn tell(load: &Load) {
    let told = [
        (Some(ours(load)), "uatwin".to_owned()),
        (Some(sqlite("SQLite", load, Durable::Second)), format!("SQLite {}", rusqlite::version())),
        (postgres("PostgreSQL", load), postgres_cluster::version().unwrap_or_default()),
    ];
    for (figures, version) in told {
        let Some(Figures { name, ingest_per_s, bytes, scan_per_s, read_us }) = figures else { continue };
        let versions = if name == "uatwin" { json!({}) } else { json!({ name: version }) };
        println!(
            "{}",
            json!({ "name": name, "ingest_per_s": ingest_per_s, "bytes": bytes, "scan_per_s": scan_per_s,
                    "read_us": read_us, "versions": versions })
        );
    }
}

/// The beginning of a load: about so many samples.
fn first(load: &Load, samples: u64) -> Load {
    let seconds = (samples / u64::from(load.series)).clamp(1, load.seconds.unsigned_abs());
    Load { seconds: seconds.cast_signed(), ..*load }
}

/// Measures ours and the others with about so many samples, and says how many times better ours is.
pub(crate) fn compare(load: &Load, samples: u64) {
    let load = first(load, samples);
    println!(
        "\npeers, {:.1} M of these samples    ingest               on disk             scan              100-sample read",
        load.count() / 1e6
    );
    let ours = ours(&load);
    ours.print(&ours);
    let sqlite = [("SQLite, commit per 8192", Durable::Batch), ("SQLite, commit per second", Durable::Second)]
        .map(|(name, durable)| sqlite(name, &load, durable));
    sqlite.iter().for_each(|peer| peer.print(&ours));
    if let Some(postgres) = postgres("PostgreSQL, COPY per second", &load) {
        postgres.print(&ours);
    }
    let few = first(&load, SLED_SAMPLES_MAX);
    measure("sled by entry, 0.5 M at most", (&few, Durable::Second), SledEntries::open, |_| ()).print(&ours);
    let fastest = sqlite.iter().map(|peer| peer.ingest_per_s).fold(0.0, f64::max);
    let times = ours.ingest_per_s / fastest;
    promise(&format!("ingest at least {TIMES_SQLITE} x SQLite's, is {times:.1} x"), times >= TIMES_SQLITE);
}
