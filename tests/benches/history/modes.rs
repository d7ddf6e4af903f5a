//! What a run can be: each answers a question of its own.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use uatwin::time::Timestamp;

use super::{
    historian::{Durable, Historian, Ingested, ingest, scan, small_reads},
    measure::{memory_mib, promise},
    mix::{BATCH, Load, Mix},
    peers,
    store::Ours,
};

/// Tells the process that is to be killed where to write.
pub(crate) const FOLDER: &str = "UATWIN_BENCH_FOLDER";
/// So long a process writes on before it is killed.
const WRITES_ON: Duration = Duration::from_millis(700);

fn print_load(load: &Load) {
    println!("{} series x {} samples = {:.1} M", load.series, load.seconds, load.count() / 1e6);
}

fn ingest_and_print(ours: &mut Ours, load: &Load, most_s: f64) -> Ingested {
    let told = ingest(ours, load, Durable::Second, most_s);
    let (rate, by_cpu) = (told.rate() / 1e6, told.samples / told.cpu_s / 1e6);
    println!("ingest            {rate:.2} M samples/s ({by_cpu:.2} by processor time)");
    if let Some(slowest) = told.tens.iter().copied().min_by(f64::total_cmp) {
        println!("  slowest 10 s    {:.2} M samples/s", slowest / 1e6);
    }
    let compacting = ours.compacting_s() / told.spent_s * 100.0;
    println!("  compacting      {compacting:.0} % of that, flush at most {:.0} ms", told.flush_max_s * 1e3);
    print_memory();
    told
}

fn print_memory() -> u64 {
    let (now, most) = memory_mib();
    println!("memory            {now} MiB, at most {most} MiB");
    most
}

/// All figures of one load, then the same samples in other stores.
pub(crate) fn mixed(load: &Load, peer_samples: u64) {
    const MANY_SERIES: u32 = 100_000;
    print_load(load);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let mut ours = Ours::open(folder.path(), load);
    let rate = ingest_and_print(&mut ours, load, f64::INFINITY).rate();
    println!("scan              {}", scan(&mut ours, load).rate(load.count()));
    let started = Instant::now();
    ours.settle();
    println!("compact the rest  {:.2} s", started.elapsed().as_secs_f64());
    ours.print_size(load);
    println!("scan, compacted   {}", scan(&mut ours, load).rate(load.count()));
    let (median, slow) = small_reads(&mut ours, load);
    println!("100-sample read   p50 {median:.1} us, p99 {slow:.1} us");
    ours.summaries(load.series / 2, load);
    ours.close_and_print_encoded();
    let started = Instant::now();
    let mut ours = Ours::open(folder.path(), load);
    println!("open              {:.2} s", started.elapsed().as_secs_f64());
    println!("scan after open   {}", scan(&mut ours, load).rate(load.count()));
    let most = print_memory();
    if load.series >= MANY_SERIES {
        promise("100,000 series: at least 0.8 M samples/s", rate >= 0.8e6);
        promise("100,000 series: at most 600 MiB of memory", most <= 600);
    }
    drop((ours, folder));
    if peer_samples > 0 {
        peers::compare(load, peer_samples);
    }
}

/// A year of one series at 1 Hz, and of some slow ones, summed up day by day.
pub(crate) fn year(mix: Mix) {
    let load = Load { series: 6, fast: 1, seconds: 365 * 86_400, mix };
    println!("{:.1} M samples, of one series {:.1} M", load.count() / 1e6, load.count_of(0) as f64 / 1e6);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let mut ours = Ours::open(folder.path(), &load);
    ingest_and_print(&mut ours, &load, f64::INFINITY);
    ours.settle();
    ours.print_size(&load);
    let first = ours.summaries(0, &load);
    let again = ours.summaries(0, &load);
    print_memory();
    promise("365 daily summaries of a year in at most 50 ms, the first time", first <= 50.0);
    promise("365 daily summaries of a year in at most 50 ms, again", again <= 50.0);
}

/// For as long as it takes: is the rate of the first seconds that of the last?
pub(crate) fn sustained(series: u32, seconds: f64, mix: Mix) {
    let load = Load::even(series, i64::MAX / 1_000_000_000, mix);
    let folder = tempfile::tempdir().expect("a folder for the run");
    let mut ours = Ours::open(folder.path(), &load);
    let started = Instant::now();
    let told = ingest_and_print(&mut ours, &load, seconds);
    let wall = started.elapsed().as_secs_f64();
    for (ten, rate) in told.tens.iter().enumerate() {
        println!("  from {:>4} s     {:.2} M samples/s", ten * 10, rate / 1e6);
    }
    println!("all {:>5.0} s       {:.2} M samples/s, {:.1} M", told.spent_s, told.rate() / 1e6, told.samples / 1e6);
    println!("  with the making of the samples {wall:.0} s");
    let load = Load { seconds: (told.samples / f64::from(series)) as i64, ..load };
    ours.print_size(&load);
}

/// How long opening takes after the process that wrote so much was killed while it wrote on.
pub(crate) fn open(load: &Load) {
    const MOST_S: f64 = 2.0;
    print_load(load);
    let folder = tempfile::tempdir().expect("a folder for the run");
    ingest_in_a_process_and_kill_it(folder.path());
    let started = Instant::now();
    let mut ours = Ours::open(folder.path(), load);
    let taken = started.elapsed().as_secs_f64();
    println!("open after kill   {taken:.2} s");
    print_memory();
    let seen: usize = (0..load.series).map(|series| ours.read(series, Timestamp::from_ticks(0), usize::MAX)).sum();
    assert!(seen as f64 >= load.count(), "{seen} samples: what was acknowledged is there");
    println!("samples           {:.1} M", seen as f64 / 1e6);
    drop(ours);
    let started = Instant::now();
    drop(Ours::open(folder.path(), load));
    println!("open after close  {:.2} s", started.elapsed().as_secs_f64());
    promise(&format!("open after kill -9 in at most {MOST_S} s"), taken <= MOST_S);
}

fn ingest_in_a_process_and_kill_it(folder: &Path) {
    let mut child = Command::new(env::current_exe().expect("this benchmark"))
        .args(env::args().skip(1))
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this benchmark starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    for line in lines.map_while(Result::ok) {
        if line == "written" {
            std::thread::park_timeout(WRITES_ON);
            child.kill().expect("it still writes");
            break;
        }
        println!("{line}");
    }
    child.wait().expect("it is killed");
}

/// What that process does: writes the load, says so, and writes on.
pub(crate) fn write_until_killed(folder: &Path, load: &Load) -> ! {
    let mut ours = Ours::open(folder, load);
    ingest_and_print(&mut ours, load, f64::INFINITY);
    println!("written");
    let mut flushed = Instant::now();
    for second in load.seconds.. {
        load.samples(second..second + 1).chunks(BATCH).for_each(|batch| ours.append(batch));
        if flushed.elapsed().as_secs_f64() > 0.9 {
            ours.flush();
            flushed = Instant::now();
        }
    }
    unreachable!("nobody waits for the end of time")
}
