//! Arbitrary bytes as block, log record, modification record, annotation, event and CSV, narrow and wide: an error, never a panic,
//! and never more memory than 16 times the input and a fixed amount that does not depend on it. Hostile texts as models: an
//! error within 64 MiB.
//!
//! How memory is measured: a child process (this test binary itself) may have only so much more writable memory
//! (RLIMIT_DATA, which counts what is allocated and not yet touched too) for each input; asking for more kills it. One
//! child asks for more on purpose. What takes a page or more is mapped on its own, and what was freed before and is still
//! there is taken out of reach.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

#[path = "hostile_bytes/blocks.rs"]
mod blocks;
#[path = "hostile_bytes/by_hand.rs"]
mod by_hand;
#[path = "hostile_bytes/log_records.rs"]
mod log_records;
#[path = "hostile_bytes/models.rs"]
mod models;
#[path = "hostile_bytes/samples.rs"]
mod samples;

use std::{
    env, fs,
    hint::black_box,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uatwin::{
    cli::history::import::{ImportOptions, import},
    history::memory_store::MemoryStore,
};

const KIND: &str = "UATWIN_TEST_HOSTILE_BYTES";
const TIMES: u64 = 16;
/// What reading a block takes whatever its size: the tables and buffers of the decompressor, and a page that is not full at
/// the end of each allocation. Measured: between 40 and 48 KiB; records take less than 8.
const FIXED: u64 = 64 << 10;
/// An import appends 8,192 samples of 56 bytes at once. Measured: between 256 and 384 KiB, as the file counts too; a file of
/// longer cells takes less than 32.
const FIXED_CSV: u64 = 8192 * 56 + FIXED;
/// From here on glibc maps an allocation on its own.
const PAGE: &str = "4096";

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn writable_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Does `work` with no more memory than an input of `len` bytes may cost.
fn limited<T>(len: usize, work: impl FnOnce() -> T) -> T {
    limited_to(TIMES * len as u64 + FIXED, work)
}

/// Likewise for CSV.
fn limited_csv<T>(len: usize, work: impl FnOnce() -> T) -> T {
    limited_to(TIMES * len as u64 + FIXED_CSV, work)
}

fn limited_to<T>(more: u64, work: impl FnOnce() -> T) -> T {
    let plugs = plugs();
    let all = getrlimit(Resource::Data);
    let most = writable_memory() + more;
    setrlimit(Resource::Data, Rlimit { current: Some(most), ..all }).unwrap();
    let result = work();
    setrlimit(Resource::Data, all).unwrap();
    drop(plugs);
    result
}

/// Takes the holes that freed memory has left, which would be used without being counted: all of a page or more.
fn plugs() -> Vec<Vec<u8>> {
    // Pages of data and stack: quicker to read than `VmData`.
    let pages = || fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(5).unwrap().to_owned();
    let mut plugs = Vec::new();
    let before = pages();
    for size in (12..22).rev().map(|log| 1 << log) {
        loop {
            let plug = Vec::with_capacity(size);
            if pages() != before {
                break;
            }
            plugs.push(plug);
        }
    }
    plugs
}

/// Changes bytes here and there: single ones, numbers at their extremes, pieces doubled, taken out or cut off.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(5) {
        // Often near the start, where the lengths stand.
        let near = if random.below(2) == 0 { 256 } else { usize::MAX };
        let at = random.below(bytes.len().min(near));
        match random.below(8) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next() as u8,
            3 | 4 => {
                let extreme = [0, 0xff, 0x7f, 0x80][random.below(4)];
                let end = (at + [1, 2, 4, 8][random.below(4)]).min(bytes.len());
                bytes[at..end].fill(extreme);
            }
            5 => bytes.truncate(at.max(1)),
            6 => {
                let piece = bytes[at..(at + 64).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let end = (at + 1 + random.below(16)).min(bytes.len());
                if end - at < bytes.len() {
                    bytes.drain(at..end);
                }
            }
        }
    }
}

fn put_crc(bytes: &mut [u8], at: usize, parts: &[std::ops::Range<usize>]) {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        let Some(part) = bytes.get(part.clone()) else { return };
        crc.update(part);
    }
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&crc.finalize().to_le_bytes());
    }
}

fn hostile_rows(random: &mut Random) {
    let names = ["T.V".to_owned(), "T.W".to_owned()];
    for case in 0..600 {
        let mut text = b"series,source_timestamp,server_timestamp,status,type,value\n".to_vec();
        for row in 0..random.below(3000) {
            let sample = &samples::one(random);
            let [source, server, status, kind, value] = uatwin::cli::history::row::texts(sample);
            let value = value.replace('"', "\"\"");
            text.extend(format!("T.{},{source},{server},{status},{kind},\"{value}\"\n", ["V", "W"][row % 2]).bytes());
        }
        if case % 10 == 0 {
            // Never closed.
            text.push(b'"');
            let len = random.below(3_000_000);
            text.extend(random.bytes(len));
        }
        if case % 10 == 1 {
            // Fields of nothing.
            let len = random.below(3_000_000);
            text.extend(vec![b','; len]);
        }
        (0..random.below(40)).for_each(|_| mutate(random, &mut text));
        let store = MemoryStore::new(2, 16);
        let options = ImportOptions { skip_unknown: case % 2 == 0, dry_run: case % 3 == 0 };
        limited_csv(text.len(), || import(&store, &names, &text[..], options, &mut |_| {}).unwrap());
    }
}

/// Not a test of its own: what the others start.
#[test]
fn child_that_reads_hostile_bytes() {
    let mut random = Random(7);
    match env::var(KIND).as_deref() {
        Ok("blocks") => blocks::hostile_blocks(&mut random),
        Ok("records") => log_records::hostile_records(&mut random),
        Ok("rows") => hostile_rows(&mut random),
        Ok("by hand") => by_hand::hostile_records(&mut random),
        Ok("events") => by_hand::hostile_events(&mut random),
        Ok("wide files") => by_hand::hostile_wide_files(&mut random),
        Ok("small cells") => by_hand::wide_files_of_small_cells(),
        Ok("models") => models::hostile_models(),
        Ok("greed") => greed(),
        _ => {}
    }
}

/// Takes twice what it may, where a hole is big enough for that: what was allocated last stays.
fn greed() {
    let mut most: Vec<Vec<u8>> = (0..100_000).map(|_| Vec::with_capacity(1000)).collect();
    let last = black_box(&mut most).pop();
    most.clear();
    limited(100, || drop(black_box(Vec::<u8>::with_capacity(2 * FIXED as usize))));
    drop(black_box(last));
}

fn child(kind: &str) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_that_reads_hostile_bytes", "--nocapture", "--test-threads=1"])
        .env(KIND, kind)
        // What is freed goes back at once, so that it cannot be used again without being counted.
        .envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "0"), ("MALLOC_TOP_PAD_", "0")])
        .env("MALLOC_MMAP_THRESHOLD_", PAGE)
        .output()
        .unwrap()
}

#[track_caller]
fn check(kind: &str) {
    if env::var_os(KIND).is_some() {
        return;
    }
    let Output { status, stderr, .. } = child(kind);
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
}

#[test]
fn hostile_blocks_do_no_harm() {
    check("blocks");
}

#[test]
fn hostile_log_records_do_no_harm() {
    check("records");
}

#[test]
fn hostile_csv_does_no_harm() {
    check("rows");
}

#[test]
fn hostile_modification_records_and_annotations_do_no_harm() {
    check("by hand");
}

#[test]
fn hostile_events_do_no_harm() {
    check("events");
}

#[test]
fn hostile_wide_csv_does_no_harm() {
    check("wide files");
}

#[test]
fn wide_csv_of_small_cells_does_no_harm() {
    check("small cells");
}

#[test]
fn hostile_models_do_no_harm() {
    check("models");
}

#[test]
fn too_much_memory_would_be_noticed() {
    if env::var_os(KIND).is_none() {
        let Output { status, stderr, .. } = child("greed");
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.signal().is_some() && said.contains("memory allocation of"), "{status}: {said}");
    }
}
