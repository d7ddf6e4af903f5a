//! Arbitrary bytes as block, log record, modification record, annotation and CSV, narrow and wide: an error, never a panic,
//! and never more memory than 16 times the input (and a fixed amount: a block of regular samples is some hundred bytes for
//! half a MiB of columns).
//!
//! How memory is measured: a child process (this test binary itself) may have only so much more writable memory
//! (RLIMIT_DATA, which counts what is allocated and not yet touched too) for each input; asking for more kills it. One
//! child asks for more on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

#[path = "hostile_bytes/by_hand.rs"]
mod by_hand;

use std::{
    env, fs,
    hint::black_box,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output},
    sync::Arc,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uatwin::{
    cli::history::import::{ImportOptions, import},
    history::{
        block,
        columns::Columns,
        log::{self, Replay},
        memory_store::MemoryStore,
    },
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

const KIND: &str = "UATWIN_TEST_HOSTILE_BYTES";
const TIMES: u64 = 16;
/// Columns of 8,192 samples, the batch of an import, a page of faults; and what the allocator takes in one step.
const FIXED: u64 = 2 << 20;

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
    let all = getrlimit(Resource::Data);
    let most = writable_memory() + TIMES * len as u64 + FIXED;
    setrlimit(Resource::Data, Rlimit { current: Some(most), ..all }).unwrap();
    let result = work();
    setrlimit(Resource::Data, all).unwrap();
    result
}

fn value(random: &mut Random, kind: usize) -> Value {
    let bits = random.next();
    match kind {
        0 => Value::Double(f64::from_bits(bits)),
        1 => Value::Double((bits % 1000) as f64 * 0.01),
        2 => Value::Int32(bits as i32),
        3 => Value::UInt64(bits),
        4 => Value::Boolean(bits.is_multiple_of(2)),
        5 => Value::Float(f32::from_bits(bits as u32)),
        6 => Value::String("x".repeat(random.below(40)).into()),
        7 => Value::ByteString(random.bytes((bits % 40) as usize).into()),
        8 => Value::LocalizedText(Arc::new(("en".to_owned(), "y".repeat(random.below(20))))),
        9 => Value::Int16(bits as i16),
        10 => Value::StatusCode(StatusCode::from(bits as u32)),
        _ => Value::Null,
    }
}

fn samples(random: &mut Random) -> Vec<Sample> {
    let (kind, is_mixed, is_regular) = (random.below(12), random.below(4) == 0, random.below(2) == 0);
    let count = [1, 2, 100, 1024, 8192][random.below(5)];
    let mut at = random.next() as i64 >> 2;
    (0..count)
        .map(|_| {
            at += if is_regular { 10_000_000 } else { 1 + (random.next() >> 20) as i64 };
            let kind = if is_mixed { random.below(12) } else { kind };
            let status = if is_regular { 0 } else { random.next() as u32 & 0xc000_0000 };
            Sample {
                source_timestamp: Timestamp::from_ticks(at),
                server_timestamp: Timestamp::from_ticks(if is_regular { at } else { random.next() as i64 }),
                status: StatusCode::from(status),
                value: value(random, kind),
            }
        })
        .collect()
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

/// Makes the checksums right, so that what is behind them is put to the test.
fn with_right_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = bytes.len();
    if bytes[0] == 1 {
        put_crc(&mut bytes, 4, &[0..4, 8..len]);
        return bytes;
    }
    put_crc(&mut bytes, 108, std::slice::from_ref(&(112..len)));
    put_crc(&mut bytes, 4, &[0..4, 8..112]);
    bytes
}

fn hostile_blocks(random: &mut Random) {
    for case in 0..4000 {
        let mut bytes = block::encode(&samples(random).iter().collect::<Columns>(), 7).unwrap();
        assert!(limited(bytes.len(), || block::decode(&bytes).is_ok()), "case {case}: unharmed");
        assert!(block::decode(&with_right_checksums(bytes.clone())).is_ok(), "case {case}: the checksums are right");
        let version = bytes[0];
        if case % 8 == 0 {
            let len = 1 + random.below(2000);
            bytes = random.bytes(len);
        } else {
            mutate(random, &mut bytes);
        }
        bytes[0] = version;
        let bytes = with_right_checksums(bytes);
        limited(bytes.len(), || {
            let _ = black_box(block::header(&bytes));
            let _ = black_box(block::decode(&bytes));
        });
    }
}

fn hostile_records(random: &mut Random) {
    for case in 0..4000 {
        let mut samples = samples(random);
        samples.truncate(1000);
        if case % 4 == 0 {
            samples[0].value = Value::String("z".repeat(random.below(60_000)).into());
        }
        let mut records = Vec::new();
        log::encode(samples.iter().map(|sample| (7, sample)), |record, _| records.push(record));
        let at = random.below(records.len());
        if case % 8 == 1 {
            let len = 6 + random.below(3000);
            records[at] = random.bytes(len);
        } else {
            mutate(random, &mut records[at]);
        }
        for record in &mut records {
            record[0] = 1;
            if let Some(kind) = record.get_mut(1).filter(|kind| **kind == 0 || **kind > 4) {
                *kind = 1 + (random.next() % 4) as u8;
            }
            let len = record.len();
            put_crc(record, 2, &[0..2, 6..len]);
        }
        limited(records.iter().map(Vec::len).sum(), || {
            let mut replay = Replay::default();
            for record in &records {
                // As opening a history does.
                let mut entries = Vec::new();
                let _ = replay.record(record, |entry| entries.push(entry));
                black_box(entries);
            }
        });
    }
}

fn hostile_rows(random: &mut Random) {
    let names = ["T.V".to_owned(), "T.W".to_owned()];
    for case in 0..600 {
        let mut text = b"series,source_timestamp,server_timestamp,status,type,value\n".to_vec();
        for row in 0..random.below(3000) {
            let sample = &samples_of_one(random);
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
        limited(text.len(), || import(&store, &names, &text[..], options, &mut |_| {}).unwrap());
    }
}

fn samples_of_one(random: &mut Random) -> Sample {
    let kind = random.below(12);
    Sample {
        source_timestamp: Timestamp::from_ticks(random.next() as i64),
        server_timestamp: Timestamp::from_ticks(random.next() as i64),
        status: StatusCode::from(random.next() as u32),
        value: value(random, kind),
    }
}

/// Not a test of its own: what the others start.
#[test]
fn child_that_reads_hostile_bytes() {
    let mut random = Random(7);
    match env::var(KIND).as_deref() {
        Ok("blocks") => hostile_blocks(&mut random),
        Ok("records") => hostile_records(&mut random),
        Ok("rows") => hostile_rows(&mut random),
        Ok("by hand") => by_hand::hostile_records(&mut random),
        Ok("wide files") => by_hand::hostile_wide_files(&mut random),
        Ok("greed") => limited(100, || drop(black_box(Vec::<u64>::with_capacity(FIXED as usize / 4)))),
        _ => {}
    }
}

fn child(kind: &str) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_that_reads_hostile_bytes", "--nocapture", "--test-threads=1"])
        .env(KIND, kind)
        // What is freed goes back at once, so that it cannot be used again without being counted.
        .envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "0"), ("MALLOC_TOP_PAD_", "0")])
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
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
fn hostile_wide_csv_does_no_harm() {
    check("wide files");
}

#[test]
fn too_much_memory_would_be_noticed() {
    if env::var_os(KIND).is_none() {
        let Output { status, stderr, .. } = child("greed");
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.signal().is_some() && said.contains("memory allocation of"), "{status}: {said}");
    }
}
