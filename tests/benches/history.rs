//! How much history one process takes and gives: 10,000 series, 300 samples each (five minutes at 1 Hz), flushed and
//! compacted as the writer would. Prints ingest, bytes per sample on disk, scan, small reads, summaries, open, memory.
//! Arguments: series, samples per series, kind of data (plant, server, rare, noisy).

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

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

/// What the values are like.
#[derive(Clone, Copy, PartialEq)]
enum Mix {
    /// As `sample` says.
    Plant,
    /// The same, with server timestamps some milliseconds later.
    Server,
    /// Values that change once in about 100 samples, on a steady clock.
    Rare,
    /// Doubles with a full mantissa and jittering times.
    Noisy,
}

fn mixed(mix: Mix, series: u32, second: i64) -> Sample {
    let plant = sample(series, second);
    let noise = noise(u64::from(series) << 33 ^ second.cast_unsigned());
    match mix {
        Mix::Plant => plant,
        Mix::Server => {
            let late = Duration::from_micros(2000 + noise % 3000);
            Sample { server_timestamp: plant.source_timestamp + late, ..plant }
        }
        Mix::Rare => {
            let at = Timestamp::from_ticks(START + second * SECOND);
            let level = (second / 97 + i64::from(series)) % 5;
            let value = if series.is_multiple_of(2) { Value::Boolean(level > 2) } else { Value::Int32(level as i32) };
            Sample { source_timestamp: at, server_timestamp: at, status: plant.status, value }
        }
        Mix::Noisy => Sample { value: Value::Double(noise as f64 * 1e-19), ..sample(series & !1, second) },
    }
}

/// Bytes that the folder really takes.
fn du(folder: &Path) -> f64 {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder).expect("the run's folder").flatten() {
        let meta = entry.metadata().expect("a file of the run");
        bytes += if meta.is_dir() { du(&entry.path()) } else { meta.blocks() as f64 * 512.0 };
    }
    bytes
}

/// Wall and processor time: on a busy machine the second says more.
struct Watch(Instant, f64);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), cpu_s())
    }

    /// Millions per second, by both.
    fn rate(&self, count: f64) -> String {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu_s() - self.1);
        format!("{:.1} M samples/s ({:.1} by processor time)", count / wall / 1e6, count / cpu / 1e6)
    }
}

/// Processor time of this thread.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) * 1e-9
}

struct Run {
    folder: tempfile::TempDir,
    names: Vec<String>,
    series: u32,
    seconds: u32,
    mix: Mix,
}

impl Run {
    fn total(&self) -> f64 {
        f64::from(self.series) * f64::from(self.seconds)
    }

    fn open(&self) -> SledStore {
        let options = SledOptions { free_space_floor: Some(0), ..SledOptions::default() };
        SledStore::open(self.folder.path(), &self.names, options).expect("history opens")
    }

    /// As the writer does it: batches, a flush every 0.9 s, as much compaction as comes in.
    fn ingest(&self, store: &SledStore) {
        let (mut spent, mut compacting, mut flush_max, mut last_flush) = (0.0, 0.0, 0.0_f64, 0.0);
        let mut cpu = 0.0;
        let (mut slowest, mut minute) = (f64::INFINITY, (0.0, 0.0));
        // Few series come in batches of many seconds.
        let at_once = (8192 / self.series).max(1) as usize;
        for start in (0..i64::from(self.seconds)).step_by(at_once) {
            let seconds = start..(start + at_once as i64).min(self.seconds.into());
            let second = seconds.end - 1;
            let all: Vec<_> = seconds
                .flat_map(|second| (0..self.series).map(move |series| (series, second)))
                .map(|(series, second)| (SeriesId(series), mixed(self.mix, series, second)))
                .collect();
            let (started, cpu_before) = (Instant::now(), cpu_s());
            for batch in all.chunks(8192) {
                store.append(batch).expect("append");
                let started = Instant::now();
                store.compact(2 * batch.len()).expect("compact");
                compacting += started.elapsed().as_secs_f64();
            }
            spent += started.elapsed().as_secs_f64();
            if spent - last_flush > 0.9 || second + 1 == i64::from(self.seconds) {
                let started = Instant::now();
                store.flush().expect("flush");
                let flush = started.elapsed().as_secs_f64();
                (flush_max, spent) = (flush_max.max(flush), spent + flush);
                last_flush = spent;
            }
            cpu += cpu_s() - cpu_before;
            let done = f64::from(self.series) * (second + 1) as f64;
            if spent - minute.0 >= 10.0 {
                slowest = slowest.min((done - minute.1) / (spent - minute.0));
                minute = (spent, done);
            }
        }
        let rate = |seconds| self.total() / seconds / 1e6;
        println!("ingest            {:.2} M samples/s ({:.2} by processor time)", rate(spent), rate(cpu));
        if slowest.is_finite() {
            println!("  slowest 10 s    {:.2} M samples/s", slowest / 1e6);
        }
        println!(
            "  compacting      {:.0} % of that, flush at most {:.0} ms",
            compacting / spent * 100.0,
            flush_max * 1e3
        );
        let (now, most) = memory_mib();
        println!("memory            {now} MiB, at most {most} MiB");
    }

    fn compact(&self, store: &SledStore) {
        let started = Instant::now();
        let mut merged = 0;
        loop {
            let done = store.compact(1 << 20).expect("compact");
            merged += done.samples;
            if !done.is_more {
                break;
            }
        }
        println!("compact the rest  {:.2} s, {:.1} M samples", started.elapsed().as_secs_f64(), merged as f64 / 1e6);
        (0..20).for_each(|_| store.flush().expect("flush"));
        let [all, blocks, log] = ["", "blk", "log"].map(|part| du(&self.folder.path().join(part)) / self.total());
        println!("on disk (du)      {all:.2} bytes/sample: blocks {blocks:.2}, log {log:.2}");
    }

    /// What blocks are without what sled needs around them.
    fn encoded(&self) {
        // sled lets go of its files a moment after the store is dropped.
        std::thread::park_timeout(Duration::from_millis(500));
        let database = sled::open(self.folder.path().join("blk")).expect("the run's blocks");
        let tree = |name: &str| database.open_tree(name).expect("the run's blocks");
        let bytes: usize = tree("b").iter().flatten().map(|(key, block)| key.len() + block.len()).sum();
        let (mut bytes, mut samples, mut blocks) = (bytes, 0.0, 0);
        for (key, entry) in tree("s").iter().flatten() {
            bytes += key.len() + entry.len();
            samples += f64::from(uatwin::history::block::header(&entry).expect("a whole header").count);
            blocks += 1;
        }
        println!(
            "encoded           {:.2} bytes/sample, {:.0} per block",
            bytes as f64 / samples,
            samples / f64::from(blocks)
        );
    }

    fn scan(&self, store: &SledStore, what: &str) {
        let all = Timestamp::from_ticks(0)..Timestamp::MAX;
        let watch = Watch::start();
        let mut seen = 0;
        for series in 0..self.series {
            let samples = store.read(SeriesId(series), all.clone(), Direction::Forward, usize::MAX).expect("read");
            seen += samples.len();
        }
        assert_eq!(seen as f64, self.total(), "every sample is read, once");
        println!("{what} {}", watch.rate(self.total()));
    }

    fn small_reads(&self, store: &SledStore) {
        let mut times: Vec<f64> = (0..20_000_u32)
            .map(|read| {
                let pick = noise(read.into());
                let from = START + (pick % u64::from(self.seconds)) as i64 * SECOND;
                let range = Timestamp::from_ticks(from)..Timestamp::MAX;
                let series = SeriesId((pick >> 32) as u32 % self.series);
                let started = Instant::now();
                store.read(series, range, Direction::Forward, 100).expect("read");
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| times[(times.len() as f64 * part) as usize];
        println!("100-sample read   p50 {:.1} us, p99 {:.1} us", at(0.5), at(0.99));
    }

    /// The time of a series in 365 parts, summed up one by one.
    fn summaries(&self, store: &SledStore) {
        let part = i64::from(self.seconds) * SECOND / 365;
        let series = SeriesId(self.series / 2);
        let watch = Watch::start();
        let mut count = 0;
        for day in 0..366 {
            let start = START - SECOND / 2 + day * part;
            let range = Timestamp::from_ticks(start)..Timestamp::from_ticks(start + part);
            count += store.summary(series, range).expect("summary").count();
        }
        assert_eq!(count, u64::from(self.seconds), "every sample is in one part");
        let (wall, cpu) = (watch.0.elapsed().as_secs_f64() * 1e3, (cpu_s() - watch.1) * 1e3);
        println!(
            "365 summaries     {wall:.1} ms ({cpu:.1} of processor time) for {:.1} M samples of one series",
            f64::from(self.seconds) / 1e6
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let number = |at: usize| arguments.get(at).and_then(|argument| argument.parse().ok());
    let (series, seconds) = (number(0).unwrap_or(10_000), number(1).unwrap_or(300));
    let mix = match arguments.get(2).map(String::as_str) {
        Some("server") => Mix::Server,
        Some("rare") => Mix::Rare,
        Some("noisy") => Mix::Noisy,
        _ => Mix::Plant,
    };
    let names: Vec<String> = (0..series).map(|series| format!("Device{series}.Value")).collect();
    let folder = tempfile::tempdir().expect("a folder for the run");
    let run = Run { folder, names, series, seconds, mix };
    println!("{series} series x {seconds} samples = {:.1} M", run.total() / 1e6);
    let store = run.open();
    run.ingest(&store);
    run.scan(&store, "scan             ");
    run.compact(&store);
    run.scan(&store, "scan, compacted  ");
    run.small_reads(&store);
    run.summaries(&store);
    drop(store);
    run.encoded();
    let started = Instant::now();
    let store = run.open();
    println!("open              {:.2} s", started.elapsed().as_secs_f64());
    run.scan(&store, "scan after open  ");
    let (now, most) = memory_mib();
    println!("memory            {now} MiB, at most {most} MiB");
}
