//! How fast the service's own way into ClickHouse is: messages as ingest sends them, the writer's thread, the store on the disk with
//! its log, what hands on, one server on this machine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use uatwin::{
    history::{
        Role,
        clickhouse_store::{ClickHouseOptions, ClickHouseStore},
        forwarding::ForwardingStore,
        sled_store::{SledOptions, SledStore},
        writer::{HistoryMessage, HistoryWriter},
    },
    time::Timestamp,
};

use super::{
    clickhouse_server::Server,
    measure::{memory_mib, promise},
    mix::{BATCH, Load, START},
};

/// As the service has it.
const CHANNEL: usize = 64;

fn processor_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0.0 };
    fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

pub(crate) fn run(load: &Load) {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let options = ClickHouseOptions {
        urls: vec![server.url()],
        database: "bench".to_owned(),
        user: None,
        password: None,
        cluster: None,
        quorum: None,
        renames: Vec::new(),
    };
    let role = Role::Front(Some(Timestamp::from_ticks(START)));
    let front = SledOptions { free_space_floor: Some(0), role, ..SledOptions::default() };
    let front = SledStore::open(folder.path(), &load.names(), front).expect("history opens");
    let behind = ClickHouseStore::new(options, &load.names()).expect("a thread");
    let keep = Duration::from_secs(7 * 86_400);
    let store = Arc::new(ForwardingStore::start(front, Arc::new(behind), keep).expect("a thread"));
    let (input, messages) = mpsc::channel(CHANNEL);
    let writer =
        HistoryWriter::start(Arc::clone(&store) as _, messages, Timestamp::from_ticks(START), None).expect("a thread");

    let (began, own, theirs) = (Instant::now(), processor_s(), server.processor_s());
    let (mut sent, mut making_s) = (0_u64, 0.0);
    for part in load.parts() {
        let making = Instant::now();
        let samples = load.samples(part);
        making_s += making.elapsed().as_secs_f64();
        for batch in samples.chunks(BATCH) {
            sent += batch.len() as u64;
            let received = Timestamp::from_ticks(START) + began.elapsed();
            input.blocking_send(HistoryMessage::Batch { received, samples: batch.to_vec() }).expect("the writer runs");
        }
    }
    let taken_s = began.elapsed().as_secs_f64();
    while store.status().samples < sent {
        let now = Timestamp::from_ticks(START) + began.elapsed();
        input.blocking_send(HistoryMessage::Tick(now)).expect("the writer runs");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let there_s = began.elapsed().as_secs_f64();
    let (own, theirs) = (processor_s() - own, server.processor_s() - theirs);
    drop(input);
    writer.join().expect("the writer ends");
    let count = server.query("SELECT count() FROM bench.samples FINAL").unwrap_or_default();
    let bytes = server.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'bench'");
    let bytes = bytes.and_then(|bytes| bytes.trim().parse::<f64>().ok()).unwrap_or(f64::NAN);
    let millions = sent as f64 / 1e6;
    println!("samples           {millions:.1} M of {} series", load.names().len());
    println!(
        "taken             {:.2} M samples/s (making them took {making_s:.1} s of {taken_s:.1})",
        millions / taken_s
    );
    println!("in the cluster    {:.2} M samples/s, all {there_s:.1} s after the first was sent", millions / there_s);
    println!("processor time    {:.2} µs a sample of ours, {:.2} of the server's", own / millions, theirs / millions);
    println!("on its disk       {:.1} bytes/sample, not merged yet", bytes / sent as f64);
    println!("memory            {} MiB at most", memory_mib().1);
    promise("each sample is there once", count.trim().parse() == Ok(sent));
    promise("1 M samples/s", millions / there_s >= 1.0);
}
