//! Edits by hand while the process is killed and the power goes: what was answered Good is there, with what was there before
//! and who changed it; and nothing is ever changed without that. Live samples come meanwhile. The child is this test binary
//! itself.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicI64, Ordering},
    thread,
    time::Duration,
};

use uatwin::{
    history::{
        Direction, EditKind, Editor, HistoryStore, Modification, Modified,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId, Value},
    time::Timestamp,
};

use super::disk::{Mounted, format, stop};

const FOLDER: &str = "UATWIN_TEST_EDIT_KILL_FOLDER";
const CHILD: &str = "history_edit_kill::child_that_edits_history";
const KILLS: usize = 20;
const CUTS: usize = 5;
const IMAGE_BYTES: u64 = 256 << 20;
/// Samples that are there, and safe, before any of them is edited.
const STRETCH: i64 = 60;
const EDITED: SeriesId = SeriesId(0);
const LIVE: SeriesId = SeriesId(1);

fn open(folder: &Path) -> SledStore {
    let names = ["Tank1.Level".to_owned(), "Tank1.Flow".to_owned()];
    let options = SledOptions {
        head_samples_max: 32,
        page_samples: 32,
        log_bytes_max: 20_000,
        flushes_per_trim: 3,
        free_space_floor: Some(0),
        ..SledOptions::default()
    };
    SledStore::open(folder, &names, options).unwrap()
}

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

/// Before edit `i`.
fn before(i: i64) -> Sample {
    Sample::good(at(i * 10), (i + 1) as f64)
}

/// After it: replaced, deleted, or another inserted behind it.
fn edit(store: &SledStore, i: i64) {
    let by = Editor { user: format!("user {i}").into(), at: at(i) };
    let new = |ticks| Sample::good(at(ticks), -(i + 1) as f64);
    let results = match i % 3 {
        0 => store.edit(EDITED, EditKind::Replace, &[new(i * 10)], &by),
        1 => store.delete_at(EDITED, &[at(i * 10)], &by),
        _ => store.edit(EDITED, EditKind::Insert, &[new(i * 10 + 5)], &by),
    };
    assert!(results.unwrap()[0].is_good());
}

/// What is at an instant now, and whether it is recorded that edit `i` changed it.
fn found(store: &SledStore, i: i64) -> (Option<f64>, bool) {
    let ticks = if i % 3 == 2 { i * 10 + 5 } else { i * 10 };
    let here = at(ticks)..at(ticks + 1);
    let sample = store.read(EDITED, here.clone(), Direction::Forward, 9).unwrap().pop();
    let value = sample.map(|sample| match sample.value {
        Value::Double(number) => number,
        other => panic!("{i}: {other:?}"),
    });
    let (kind, number) = match i % 3 {
        0 => (Modification::Replace, i + 1),
        1 => (Modification::Delete, i + 1),
        _ => (Modification::Insert, -(i + 1)),
    };
    let records = store.modified(EDITED, here, Direction::Forward, 0, 99).unwrap();
    let says = |record: &Modified| {
        record.kind == kind
            && record.sample.value == Value::Double(number as f64)
            && *record.user == *format!("user {i}")
            && record.at == at(i)
    };
    assert!(records.iter().all(says), "{i}: {records:?}");
    (value, !records.is_empty())
}

fn is_made(store: &SledStore, i: i64) -> bool {
    match (i % 3, found(store, i)) {
        (0, (value, _)) => value == Some(-(i + 1) as f64),
        // Not there and nothing recorded: not written yet.
        (1, (value, is_recorded)) => value.is_none() && is_recorded,
        (_, (value, _)) => value.is_some(),
    }
}

/// Goes on from the first edit that is not made, saying after each how far it is safe. Ends only by being killed.
fn edit_for_ever(folder: &Path) -> ! {
    let store = open(folder);
    let first = (0..).find(|&i| !is_made(&store, i)).unwrap();
    let live = AtomicI64::new(first * 1000);
    thread::scope(|scope| {
        // As ingest does.
        scope.spawn(|| {
            loop {
                let i = live.fetch_add(1, Ordering::SeqCst);
                store.append(&[(LIVE, Sample::good(at(i), 0.0))]).unwrap();
                if i % 16 == 0 {
                    store.flush().unwrap();
                    store.compact(1000).unwrap();
                }
                thread::park_timeout(Duration::from_micros(200));
            }
        });
        for i in first.. {
            if i == first || i % STRETCH == 0 {
                let stretch = i..i - i % STRETCH + STRETCH;
                store.append(&stretch.map(|i| (EDITED, before(i))).collect::<Vec<_>>()).unwrap();
                store.flush().unwrap();
            }
            edit(&store, i);
            let mut stdout = std::io::stdout();
            writeln!(stdout, "safe {}", i + 1).and_then(|()| stdout.flush()).unwrap();
        }
    });
    unreachable!("the edits do not end")
}

/// Not a test of its own: what the parent starts.
#[test]
fn child_that_edits_history() {
    if let Some(folder) = env::var_os(FOLDER) {
        edit_for_ever(Path::new(&folder));
    }
}

/// The edits before `safe` are made. Those behind it are made or not; made, they are recorded.
fn verify(folder: &Path, safe: i64) {
    let report = SledStore::verify(folder, &mut |_| {}).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let store = open(folder);
    for i in 0..safe {
        assert!(is_made(&store, i) && found(&store, i).1, "edit {i} of {safe} was safe: {:?}", found(&store, i));
    }
    for i in safe..safe + 2 * STRETCH {
        let (value, is_recorded) = found(&store, i);
        assert!(is_recorded || !is_made(&store, i), "edit {i} is not recorded: {value:?}");
        let is_written = safe % STRETCH != 0 && i < safe - safe % STRETCH + STRETCH;
        if is_written && i % 3 < 2 {
            assert!(is_recorded || value == Some((i + 1) as f64), "sample {i}, never edited, is {value:?}");
        }
    }
}

/// Lets a child edit until it has said so many times that it is safe, and a bit longer; does `stop` to it, and kills it.
/// Returns how far it is safe.
fn run_and_kill(folder: &Path, edits: usize, longer: Duration, stop: impl FnOnce(&Child)) -> i64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut safe = lines.filter_map(|line| line.ok()?.strip_prefix("safe ")?.parse::<i64>().ok());
    let some = safe.nth(edits).expect("the child edits until it is killed");
    thread::park_timeout(longer);
    stop(&child);
    child.kill().unwrap();
    child.wait().unwrap();
    // To the end of the pipe: what was said before the kill counts.
    safe.last().unwrap_or(some)
}

#[test]
fn no_edit_that_was_answered_is_lost_when_the_process_is_killed() {
    if env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut safe = 0;
    for kill in 0..KILLS {
        let longer = Duration::from_micros((kill * 1_370 % 9_000) as u64);
        safe = safe.max(run_and_kill(folder.path(), kill * 7 % 40, longer, |_| {}));
        verify(folder.path(), safe);
    }
    println!("{KILLS} kills, {safe} edits answered, 0 lost");
}

#[test]
fn no_edit_that_was_answered_is_lost_when_the_power_goes() {
    if env::var_os(FOLDER).is_some() {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let (image, copy, disk, after) = (path("image"), path("copy"), path("disk"), path("after"));
    let Some(mounted) = format(&image, IMAGE_BYTES).then(|| Mounted::new(&image, &disk)).flatten() else {
        println!("skipped: no right to mount an image here, so no power cut was tried");
        return;
    };
    let mut safe = 0;
    for cut in 0..CUTS {
        let longer = Duration::from_micros((cut * 1_370 % 9_000) as u64);
        safe = safe.max(run_and_kill(&Path::new(&disk).join("history"), 3 + cut * 7, longer, |child| {
            stop(child);
            mounted.copy(&image, &copy);
        }));
        let _copy = Mounted::new(&copy, &after).expect("what is left mounts as the image did");
        verify(&Path::new(&after).join("history"), safe);
    }
}
