//! A disk that fills up, really: the history lies on a small file system. Needs the right to mount; says so if it has
//! none.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use uatwin::{
    history::{
        Direction, HistoryError, HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId},
    time::Timestamp,
};

use super::disk::{Mounted, format};

const FULL_FOLDER: &str = "UATWIN_TEST_HISTORY_FULL_FOLDER";
const MIB: u64 = 1 << 20;
const IMAGE_BYTES: u64 = 64 * MIB;
/// A file that is in the way until room is made.
const BALLAST_BYTES: usize = 16 << 20;
const SERIES: u32 = 50;

fn open(folder: &Path, floor: u64) -> Result<SledStore, HistoryError> {
    let names: Vec<String> = (0..SERIES).map(|series| format!("Device{series}.Value")).collect();
    let options = SledOptions {
        head_samples_max: 100,
        head_bytes_max: 400_000,
        log_bytes_max: 1 << 20,
        free_space_floor: Some(floor),
        ..SledOptions::default()
    };
    SledStore::open(folder, &names, options)
}

/// Full mantissas: nothing of it is compressed away.
fn sample(series: u32, step: i64) -> Sample {
    let bits = (u64::from(series) << 32 | step.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Sample::good(Timestamp::from_ticks(step * 1000 + (bits >> 60) as i64), (bits >> 11) as f64)
}

/// Writes steps from `from` until the store refuses. Returns how far it is acknowledged, and the refusal.
fn fill(store: &SledStore, from: i64) -> (i64, HistoryError) {
    let mut safe = from;
    loop {
        let steps = safe..safe + 400;
        let batch: Vec<_> =
            steps.flat_map(|step| (0..SERIES).map(move |series| (SeriesId(series), sample(series, step)))).collect();
        let written = store.append(&batch).and_then(|()| store.compact(batch.len())).and_then(|_| store.flush());
        match written {
            Ok(()) => safe += 400,
            Err(refusal) => return (safe, refusal),
        }
    }
}

/// Everything acknowledged is there as it was written.
fn verify(store: &SledStore, safe: i64) {
    let acknowledged = Timestamp::from_ticks(i64::MIN)..Timestamp::from_ticks(safe * 1000);
    for series in 0..SERIES {
        let samples = store.read(SeriesId(series), acknowledged.clone(), Direction::Forward, usize::MAX).unwrap();
        assert_eq!(samples.len() as i64, safe, "series {series}");
        assert!(samples.iter().zip(0..).all(|(held, step)| *held == sample(series, step)), "series {series}");
    }
}

/// Runs `work` with a folder on a disk of its own, and the path of the ballast on it.
fn on_a_small_disk(work: impl FnOnce(&Path, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (image, disk) = (path("image"), path("disk"));
    let mounted = format(&image, IMAGE_BYTES).then(|| Mounted::new(&image, &disk)).flatten();
    let Some(_mounted) = mounted else {
        println!("skipped: no right to mount an image here, so no disk was filled");
        return;
    };
    let ballast = Path::new(&disk).join("ballast");
    fs::write(&ballast, vec![1; BALLAST_BYTES]).unwrap();
    work(&Path::new(&disk).join("history"), &ballast);
}

#[test]
fn at_the_floor_history_pauses_and_goes_on_by_itself_once_there_is_room() {
    on_a_small_disk(|folder, ballast| {
        let store = open(folder, 20 * MIB).unwrap();
        let (safe, refusal) = fill(&store, 0);
        assert!(matches!(refusal, HistoryError::DiskFull { .. }), "{refusal:?}");
        store.flush().unwrap();
        verify(&store, safe);
        fs::remove_file(ballast).unwrap();
        let (later, refusal) = fill(&store, safe);
        assert!(later > safe, "{refusal:?}");
        assert!(matches!(refusal, HistoryError::DiskFull { .. }), "{refusal:?}");
        drop(store);
        verify(&open(folder, 20 * MIB).unwrap(), later);
        println!("paused at {safe} steps and at {later}, 0 acknowledged samples lost");
    });
}

/// Not a test of its own: fills the disk to the last byte, says how far it came, and waits to be killed. (After a full
/// disk sled 0.34.7 never comes back from closing.)
#[test]
fn child_that_fills_a_disk() {
    let Some(folder) = env::var_os(FULL_FOLDER) else { return };
    let (safe, refusal) = match open(Path::new(&folder), 0) {
        Ok(store) => {
            let filled = fill(&store, 0);
            std::mem::forget(store);
            filled
        }
        Err(refusal) => (0, refusal),
    };
    println!("full after {safe} steps: {refusal:?}");
    loop {
        std::thread::park();
    }
}

/// Runs such a child until the disk is full. Returns how far it is acknowledged.
fn fill_and_kill(folder: &Path) -> i64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "history_disk_full::child_that_fills_a_disk", "--nocapture", "--test-threads=1"])
        .env(FULL_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find_map(|line| Some(line.split_once("full after ")?.1.to_owned()));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = said.expect("the child says how far it came");
    said.split(' ').next().and_then(|safe| safe.parse().ok()).expect("a number of steps")
}

/// Without the floor sled itself meets the full disk.
#[test]
fn a_disk_full_to_the_last_byte_costs_nothing_acknowledged_once_there_is_room() {
    on_a_small_disk(|folder, ballast| {
        let safe = fill_and_kill(folder);
        assert!(safe > 0);
        // On the full disk it cannot start. That must not make things worse.
        fill_and_kill(folder);
        fs::remove_file(ballast).unwrap();
        let store = open(folder, 0).unwrap();
        verify(&store, safe);
        store.append(&[(SeriesId(0), sample(0, safe))]).unwrap();
        store.flush().unwrap();
        println!("{safe} steps on a full disk, 0 acknowledged samples lost");
    });
}
