//! Records of the head log.

use std::hint::black_box;

use uatwin::{
    history::log::{self, Replay},
    sample::{Sample, Value},
};

use super::{Random, limited, mutate, put_crc, samples};

/// Short ones and long ones, cut into parts; nulls in a row, of which an entry is as short as can be.
fn some_samples(random: &mut Random, case: usize) -> Vec<Sample> {
    let mut samples = if case.is_multiple_of(2) { samples::regular(random) } else { samples::wild(random) };
    samples.truncate(3000);
    match case % 8 {
        0 => samples[0].value = Value::String("z".repeat(random.below(60_000)).into()),
        4 => samples[0].value = samples::array(random, 30_000),
        6 => samples.iter_mut().for_each(|sample| sample.value = Value::Null),
        _ => {}
    }
    samples
}

/// As opening a history does.
fn read(records: &[Vec<u8>]) -> usize {
    let (mut replay, mut read) = (Replay::default(), 0);
    for record in records {
        let mut entries = Vec::with_capacity(log::entries(record));
        let _ = replay.record(record, |entry| entries.push(entry));
        read += black_box(entries).len();
    }
    read
}

pub(crate) fn hostile_records(random: &mut Random) {
    for case in 0..2000 {
        let samples = some_samples(random, case);
        let mut records = Vec::new();
        log::encode(samples.iter().map(|sample| (7, sample)), |record, _| records.push(record));
        let len = records.iter().map(Vec::len).sum();
        assert_eq!(limited(len, || read(&records)), samples.len(), "case {case}: unharmed");
        // One alone: what the others may take does not hide what it takes.
        let one = vec![records[0].clone()];
        limited(one[0].len(), || read(&one));
        let at = random.below(records.len());
        if case % 8 == 1 {
            let len = 8 + random.below(3000);
            records[at] = random.bytes(len);
        } else {
            mutate(random, &mut records[at]);
        }
        for record in &mut records {
            record[0] = 2;
            if let Some(kind) = record.get_mut(1).filter(|kind| **kind == 0 || **kind > 4) {
                *kind = 1 + (random.next() % 4) as u8;
            }
            let len = record.len();
            put_crc(record, 2, &[0..2, 6..len]);
        }
        limited(records.iter().map(Vec::len).sum(), || read(&records));
    }
}
