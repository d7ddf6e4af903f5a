//! How much history one process takes and gives: 10,000 series, 300 samples each (five minutes at 1 Hz), flushed as
//! often as the writer would. Prints ingest, bytes per sample on disk, scan, small reads, memory. Arguments: series,
//! samples per series.

use std::time::Instant;

use uatwin::{
    history::{
        Direction, HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

const SECOND: i64 = 10_000_000;
const START: i64 = 133_000_000_000_000_000;

/// Five kinds in equal parts: a temperature in steps of 0.01, a 15-bit ADC, a counter, a Boolean that changes rarely,
/// a Double with a full mantissa. Half of the series jitter by up to 0.5 ms on a grid of 1 µs. 0.1 % bad runs.
fn sample(series: u32, second: i64) -> Sample {
    let noise = noise(u64::from(series) << 32 | second.cast_unsigned());
    let jitter = if series.is_multiple_of(2) { (noise >> 40) as i64 % 1000 * 10 - 5000 } else { 0 };
    let at = Timestamp::from_ticks(START + second * SECOND + jitter);
    let wave = (second as f64 * 0.01 + f64::from(series)).sin();
    let value = match series % 5 {
        0 => Value::Double(((60.0 + 20.0 * wave) * 100.0).round() / 100.0 + (noise % 3) as f64 / 100.0),
        1 => Value::UInt16((16_000.0 + 9_000.0 * wave) as u16 + (noise % 16) as u16),
        2 => Value::UInt32((second * 7 + i64::from(series)) as u32),
        3 => Value::Boolean((second / 97 + i64::from(series)) % 2 == 0),
        _ => Value::Double(wave + noise as f64 * 1e-22),
    };
    let status = if (second / 20 + i64::from(series)) % 1000 == 0 {
        StatusCode::UncertainLastUsableValue
    } else {
        StatusCode::Good
    };
    Sample { source_timestamp: at, server_timestamp: at, status, value }
}

fn noise(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// (now, most) in MiB, where the system tells.
fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    (field("VmRSS:").unwrap_or(0) / 1024, field("VmHWM:").unwrap_or(0) / 1024)
}

fn main() {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let series = numbers.first().copied().unwrap_or(10_000);
    let seconds = numbers.get(1).copied().unwrap_or(300);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let names: Vec<String> = (0..series).map(|series| format!("Device{series}.Value")).collect();
    let options = SledOptions { free_space_floor: Some(0), ..SledOptions::default() };
    let open = || SledStore::open(folder.path(), &names, options.clone()).expect("history opens");
    let total = f64::from(series) * f64::from(seconds);

    let store = open();
    let (mut spent, mut flush_max, mut last_flush) = (0.0, 0.0_f64, 0.0);
    for second in 0..i64::from(seconds) {
        let all: Vec<_> = (0..series).map(|series| (SeriesId(series), sample(series, second))).collect();
        let started = Instant::now();
        for batch in all.chunks(8192) {
            store.append(batch).expect("append");
        }
        spent += started.elapsed().as_secs_f64();
        if spent - last_flush > 0.9 || second + 1 == i64::from(seconds) {
            let started = Instant::now();
            store.flush().expect("flush");
            let flush = started.elapsed().as_secs_f64();
            (flush_max, spent) = (flush_max.max(flush), spent + flush);
            last_flush = spent;
        }
    }
    let bytes = store.size_on_disk().unwrap_or(0) as f64;
    let (now, most) = memory_mib();
    println!("{series} series x {seconds} samples = {:.1} M", total / 1e6);
    println!("ingest            {:.2} M samples/s, flush at most {:.0} ms", total / spent / 1e6, flush_max * 1e3);
    println!("on disk           {:.1} bytes/sample", bytes / total);
    println!("memory            {now} MiB, at most {most} MiB");

    let all = Timestamp::from_ticks(0)..Timestamp::MAX;
    let scan = |store: &SledStore, what: &str| {
        let started = Instant::now();
        let mut seen = 0;
        for series in 0..series {
            let samples = store.read(SeriesId(series), all.clone(), Direction::Forward, usize::MAX).expect("read");
            seen += samples.len();
        }
        assert_eq!(seen as f64, total, "every sample is read, once");
        println!("{what} {:.1} M samples/s", total / started.elapsed().as_secs_f64() / 1e6);
    };
    scan(&store, "scan             ");
    let started = Instant::now();
    let reads = 20_000_u32;
    for read in 0..reads {
        let pick = noise(read.into());
        let from = START + (pick % u64::from(seconds)) as i64 / 2 * SECOND;
        let range = Timestamp::from_ticks(from)..Timestamp::MAX;
        let series = SeriesId((pick >> 32) as u32 % series);
        store.read(series, range, Direction::Forward, 100).expect("read");
    }
    println!("100-sample read   {:.1} us mean", started.elapsed().as_secs_f64() * 1e6 / f64::from(reads));
    drop(store);
    let started = Instant::now();
    let store = open();
    println!("open              {:.2} s", started.elapsed().as_secs_f64());
    scan(&store, "scan after open  ");
    let (now, most) = memory_mib();
    println!("memory            {now} MiB, at most {most} MiB");
}
