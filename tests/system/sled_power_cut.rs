//! Power cuts of sled alone, as our guards open it: values are rewritten here and there, so that it frees what it has written
//! and writes over it, with more of that between two syncs than a history does.
//!
//! `UATWIN_TEST_CUTS=200 cargo test --release --test system sled_keeps -- --nocapture`

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use uatwin::history::guards;

use super::{
    disk::{Mounted, format, stop},
    trial::{Chance, mixed, number},
};

/// Tells the child: the last generation that is safe, the folder.
const TASK: &str = "UATWIN_TEST_SLED_TASK";
const IMAGE_BYTES: u64 = 512 << 20;
/// At first; one more comes with each tenth write.
const KEYS: u64 = 2000;
const VALUE_BYTES: usize = 3000;
/// Some 30 MB: sled writes them by itself, and uses again what they free.
/// Then it is begun anew: the disk is small.
const GENERATIONS_MAX: u64 = 200_000;
const WRITES_PER_SYNC: u64 = 10_000;

fn key(generation: u64) -> [u8; 8] {
    (mixed(generation.wrapping_mul(0x9e37_79b9_7f4a_7c15)) % (KEYS + generation / 10)).to_be_bytes()
}

fn value(generation: u64) -> Vec<u8> {
    let mut value = generation.to_be_bytes().to_vec();
    value.extend((0..VALUE_BYTES / 8).flat_map(|at| mixed(generation << 10 | at as u64).to_be_bytes()));
    value
}

fn open(folder: &Path) -> sled::Db {
    guards::open(folder, 4 << 20).unwrap()
}

/// Rewrites values until it is stopped dead; says after each sync which generation is safe.
fn rewrite_for_ever(folder: &Path, safe: u64) -> ! {
    let (db, file) = (open(folder), fs::File::open(folder).unwrap());
    let mut stdout = std::io::stdout();
    for generation in safe + 1.. {
        db.insert(key(generation), value(generation)).unwrap();
        if generation % WRITES_PER_SYNC == 0 {
            db.flush().unwrap();
            guards::sync(&file).unwrap();
            writeln!(stdout, "safe {generation}").and_then(|()| stdout.flush()).unwrap();
        }
    }
    unreachable!("there is always a next generation")
}

/// Not a test of its own: what the parent starts.
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let (safe, folder) = task.split_once(' ').unwrap();
    println!();
    rewrite_for_ever(Path::new(folder), safe.parse().unwrap());
}

/// Lets the child write for some syncs and then for `then`; stops it, and makes `cut` as a power cut leaves the disk.
fn write_and_cut(mounted: &Mounted<'_>, folder: &Path, safe: u64, (image, cut): (&str, &str), then: Duration) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "sled_power_cut::child", "--nocapture", "--test-threads=1"])
        .env(TASK, format!("{safe} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut safe_of = || lines.find_map(|line| line.strip_prefix("safe ")?.parse::<u64>().ok());
    let first = safe_of().expect("the writer gets as far as its first sync");
    let end = Instant::now() + then;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
    stop(&child);
    mounted.copy(image, cut);
    child.kill().unwrap();
    child.wait().unwrap();
    std::iter::from_fn(safe_of).last().unwrap_or(first)
}

/// What is there of what must be there: keys that are older than acknowledged, absent or with other bytes.
fn findings(folder: &Path, safe: u64) -> Vec<String> {
    let db = open(folder);
    let mut last = HashMap::new();
    for generation in (1..=safe).rev() {
        last.entry(key(generation)).or_insert(generation);
    }
    let mut found = Vec::new();
    for (key, acknowledged) in last {
        match db.get(key) {
            Ok(Some(bytes)) => {
                let generation = u64::from_be_bytes(bytes[..8].try_into().unwrap());
                if generation < acknowledged || *bytes != value(generation) {
                    found.push(format!("{key:?}: generation {generation}, acknowledged {acknowledged}"));
                }
            }
            other => found.push(format!("{key:?}: {other:?}, acknowledged {acknowledged}")),
        }
    }
    found
}

#[test]
fn sled_keeps_what_was_synced_though_it_writes_over_what_it_has_freed() {
    let at = tempfile::tempdir().unwrap();
    let path = |name: &str| at.path().join(name).to_str().unwrap().to_owned();
    let (image, cut, disk) = (path("image"), path("cut"), path("disk"));
    let mounted = format(&image, IMAGE_BYTES).then(|| Mounted::new(&image, &disk)).flatten();
    let Some(mut mounted) = mounted else {
        println!("skipped: no right to mount an image here, so no power cut was tried");
        return;
    };
    let folder = Path::new(&disk).join("db");
    let (mut chance, mut safe, mut unsound) = (Chance::new(), 0, 0);
    let cuts = number("UATWIN_TEST_CUTS", 10);
    for round in 0..cuts {
        let then = chance.moment(Duration::from_millis(1500)).then;
        safe = write_and_cut(&mounted, &folder, safe, (&image, &cut), then);
        drop(mounted);
        fs::rename(&cut, &image).unwrap();
        mounted = Mounted::new(&image, &disk).expect("what is left mounts as the image did");
        let found = std::panic::catch_unwind(|| findings(&folder, safe));
        let found = found.unwrap_or_else(|_| vec!["it cannot be opened".to_owned()]);
        if let Some(first) = found.first() {
            println!("cut {round}: {} findings, the first: {first}", found.len());
            unsound += 1;
        }
        if !found.is_empty() || safe > GENERATIONS_MAX {
            fs::remove_dir_all(&folder).unwrap();
            safe = 0;
        }
    }
    assert!(unsound == 0, "{unsound} of {cuts} power cuts with findings");
}
