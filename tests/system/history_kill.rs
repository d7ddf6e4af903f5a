//! kill -9 of a process that writes history, again and again: nothing acknowledged is lost, nothing doubles, nothing
//! is other than it was written. The child is this test binary itself.

use std::{
    env, fmt,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use uatwin::{
    history::{
        Direction, HistoryStore, Summary,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

pub(crate) const FOLDER: &str = "UATWIN_TEST_HISTORY_KILL_FOLDER";
const KILLS: u32 = 25;
const SERIES: u32 = 40;
/// A gap's marker stands at every one of these instants until the round's second half replaces it.
const GAP_EVERY: i64 = 50;

fn names() -> Vec<String> {
    (0..SERIES).map(|series| format!("Device{series}.Value")).collect()
}

fn options() -> SledOptions {
    // Small, so that seals, budget, forced seals, trims and compaction all happen within a second.
    SledOptions {
        head_samples_max: 32,
        page_samples: 32,
        head_bytes_max: 40_000,
        log_bytes_max: 200_000,
        flushes_per_trim: 3,
        free_space_floor: Some(0),
        ..SledOptions::default()
    }
}

/// What the sample of `series` at `step` must be.
fn expected(series: u32, step: i64) -> Sample {
    let at = Timestamp::from_ticks(step * 10);
    let value = step as f64 * 0.01 + f64::from(series);
    match series % 4 {
        0 => Sample::good(at, value),
        1 => Sample { value: Value::Int32(step as i32 / 7), ..Sample::good(at, 0.0) },
        2 if step % 13 == 0 => Sample::bad(at, StatusCode::BadNoCommunication),
        2 => Sample { value: Value::Boolean(step % 5 == 0), ..Sample::good(at, 0.0) },
        _ => Sample { server_timestamp: Timestamp::from_ticks(step * 10 + step % 17), ..Sample::good(at, value) },
    }
}

/// Steps that are written one round late, in place of a marker.
fn is_late(step: i64) -> bool {
    step % GAP_EVERY < 5
}

fn marker(step: i64) -> Sample {
    Sample::bad(Timestamp::from_ticks((step - step % GAP_EVERY) * 10 + 1), StatusCode::BadNoData)
}

/// Writes on from where the history ends, saying after each flush how far it is safe. Ends only by being killed.
fn write_for_ever(folder: &Path) -> ! {
    let store = SledStore::open(folder, &names(), options()).unwrap();
    let newest = (0..SERIES).filter_map(|series| store.extent(SeriesId(series)).unwrap()).map(|(_, last)| last).max();
    // A whole number of gaps back: written again, as a source that reconnects does.
    let newest = newest.map_or(0, |last| last.ticks() / 10);
    let mut step = (newest - newest % GAP_EVERY - GAP_EVERY).max(0);
    let mut stdout = std::io::stdout();
    loop {
        let live: Vec<_> = (step..step + GAP_EVERY)
            .flat_map(|step| (0..SERIES).map(move |series| (SeriesId(series), step)))
            .map(|(series, step)| (series, if is_late(step) { marker(step) } else { expected(series.0, step) }))
            .collect();
        store.append(&live).unwrap();
        if step % (3 * GAP_EVERY) == 0 {
            store.flush().unwrap();
        }
        let merged = store.compact(4 * live.len()).unwrap().blocks;
        for series in (0..SERIES).map(SeriesId) {
            let gap = Timestamp::from_ticks(step * 10)..Timestamp::from_ticks((step + 5) * 10);
            store.remove(series, gap).unwrap();
        }
        let late: Vec<_> = (0..SERIES)
            .flat_map(|series| (step..step + 5).map(move |step| (SeriesId(series), expected(series, step))))
            .collect();
        store.append(&late).unwrap();
        store.flush().unwrap();
        step += GAP_EVERY;
        writeln!(stdout, "merged {merged}\nsafe {step}").and_then(|()| stdout.flush()).unwrap();
    }
}

/// Not a test of its own: what the parent starts.
#[test]
fn child_that_writes_history() {
    if let Some(folder) = env::var_os(FOLDER) {
        write_for_ever(Path::new(&folder));
    }
}

/// Lets a child write until it has acknowledged something and `after` has passed, then kills it. Returns how far it is
/// safe, and how many blocks the child merged.
fn run_and_kill(folder: &Path, after: Duration) -> (i64, u64) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "history_kill::child_that_writes_history", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let (mut safe, mut merged) = (None, 0);
    let mut killed = false;
    // To the end of the pipe: what was said before the kill counts.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap_or_default();
        if let Some(step) = line.strip_prefix("safe ") {
            safe = Some(step.parse::<i64>().unwrap());
        }
        merged += line.strip_prefix("merged ").map_or(0, |blocks| blocks.parse::<u64>().unwrap());
        if safe.is_some() && !killed && started.elapsed() >= after {
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed, "the child ended by itself: {status}");
    (safe.expect("something was acknowledged"), merged)
}

pub(crate) fn verify(folder: &Path, safe: i64) {
    let store = SledStore::open(folder, &names(), options()).unwrap();
    let all = Timestamp::from_ticks(0)..Timestamp::MAX;
    for series in 0..SERIES {
        let samples = store.read(SeriesId(series), all.clone(), Direction::Forward, usize::MAX).unwrap();
        let (before, after): (Vec<_>, Vec<_>) =
            samples.iter().partition(|sample| sample.source_timestamp.ticks() < safe * 10);
        assert_eq!(before.len() as i64, safe, "series {series}: {}", Brief(&before, series));
        for (step, sample) in before.iter().enumerate() {
            assert_eq!(**sample, expected(series, step as i64), "series {series}");
        }
        assert!(after.is_sorted_by_key(|sample| sample.source_timestamp));
        let mut summary = Summary::default();
        samples.iter().for_each(|sample| summary.add(sample));
        let told = store.summary(SeriesId(series), all.clone()).unwrap();
        assert_eq!((told.good.usable, told.bad), (summary.good.usable, summary.bad), "series {series}");
        for sample in after {
            // Not acknowledged: there or not, but never something else.
            let step = sample.source_timestamp.ticks() / 10;
            let is_known = *sample == expected(series, step) || *sample == marker(step);
            assert!(is_known, "series {series} holds {sample:?}");
        }
    }
}

/// The first sample that is not as expected, for the message of a failure.
struct Brief<'a>(&'a [&'a Sample], u32);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = self.0.iter().enumerate().find(|&(step, &sample)| *sample != expected(self.1, step as i64));
        write!(f, "first difference {wrong:?}")
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut most, mut all_merged) = (0, 0);
    for kill in 0..KILLS {
        let (safe, merged) = run_and_kill(folder.path(), Duration::from_millis(u64::from(60 + kill * 37 % 250)));
        most = most.max(safe);
        all_merged += merged;
        verify(folder.path(), most);
    }
    assert!(all_merged > 0, "no block was merged in {KILLS} runs: nothing is said of compaction");
    println!("{KILLS} kills, {all_merged} blocks merged, {} samples acknowledged, 0 lost", most * i64::from(SERIES));
}
