//! What blocks and log records promise: everything comes back to the bit, and no bytes whatever do harm.

use proptest::prelude::*;

use super::{
    Summary,
    block::{self, BlockError, HEADER_BYTES, SAMPLES_MAX},
    columns::{Columns, bits_of},
    log::{self, LogEntry, LogError, RECORD_BYTES_MAX, Replay},
    record::{self, RecordError},
};
use crate::{
    sample::{Array, Sample, StatusCode, Value},
    time::Timestamp,
};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i8>().prop_map(Value::SByte),
        any::<u8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Int16),
        any::<u16>().prop_map(Value::UInt16),
        any::<i32>().prop_map(Value::Int32),
        any::<u32>().prop_map(Value::UInt32),
        any::<i64>().prop_map(Value::Int64),
        any::<u64>().prop_map(Value::UInt64),
        // By bits: all NaNs, infinities, subnormals.
        any::<u32>().prop_map(|bits| Value::Float(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::Double(f64::from_bits(bits))),
        any::<i16>().prop_map(|x| Value::Double(f64::from(x) * 0.01)),
        ".{0,12}".prop_map(|text| Value::String(text.into())),
        any::<i64>().prop_map(|ticks| Value::DateTime(Timestamp::from_ticks(ticks))),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| Value::ByteString(bytes.into())),
        any::<u32>().prop_map(|bits| Value::StatusCode(StatusCode::from(bits))),
        ("[a-z]{2}", ".{0,8}").prop_map(|text| Value::LocalizedText(std::sync::Arc::new(text))),
        prop::collection::vec(any::<f64>().prop_map(Value::Double), 0..6)
            .prop_map(|x| Value::Array(std::sync::Arc::new(Array { element_type: 11, elements: x.into() }))),
    ]
}

/// Samples of one type (with nulls) or of all types; regular or wild in time and status; with values that are held or not.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let status = prop_oneof![4 => Just(0_u32), 1 => any::<u32>()];
    let server = prop_oneof![3 => Just(Some(0_i64)), 1 => Just(None), 1 => any::<i64>().prop_map(Some)];
    let step = prop_oneof![4 => Just(10_000_000_i64), 1 => 2..i64::MAX / 300];
    let row = (value(), any::<u64>(), status, server, step, 0..100);
    let rows = prop::collection::vec(row, 1..300);
    let held_percent = prop_oneof![Just(0), Just(50), Just(99)];
    (rows, any::<bool>(), any::<bool>(), held_percent, any::<i64>()).prop_map(
        |(rows, is_mixed, is_steady, held_percent, start)| {
            let kind = rows[0].0.clone();
            let (mut ticks, mut last) = (start.min(0), Value::Null);
            rows.into_iter()
                .map(|(value, bits, status, server, step, percent)| {
                    ticks += if is_steady { 10_000_000 } else { step };
                    let (tag, _) = bits_of(&kind);
                    let own = if tag.width().is_some() { super::columns::value_of(tag, bits) } else { kind.clone() };
                    let server = server.map_or(0, |delta| ticks.wrapping_add(delta));
                    if percent >= held_percent {
                        last = if is_mixed || value.is_null() { value } else { own };
                    }
                    Sample {
                        source_timestamp: Timestamp::from_ticks(ticks),
                        server_timestamp: Timestamp::from_ticks(if is_steady { ticks } else { server }),
                        status: StatusCode::from(status),
                        value: last.clone(),
                    }
                })
                .collect()
        },
    )
}

/// As text, with floats by their bits.
fn exact(samples: &[Sample]) -> Vec<String> {
    let exact = |sample: &Sample| {
        let (tag, bits) = bits_of(&sample.value);
        let long = if tag.width().is_some() { None } else { Some(&sample.value) };
        let (source, server) = (sample.source_timestamp.ticks(), sample.server_timestamp.ticks());
        format!("{source} {server} {:x} {tag:?} {bits:x} {long:?}", sample.status.bits())
    };
    samples.iter().map(exact).collect()
}

fn encode(samples: &[Sample]) -> Vec<u8> {
    block::encode(&samples.iter().collect(), 42).unwrap()
}

/// Makes all checksums right as far as there are any, so that what is behind them is put to the test too.
fn with_right_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < HEADER_BYTES {
        return bytes;
    }
    let columns = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes[108..112].copy_from_slice(&columns.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..4]);
    crc.update(&bytes[8..HEADER_BYTES]);
    let crc = crc.finalize();
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_block_gives_back_what_it_was_given(samples in samples()) {
        let decoded = block::decode(&encode(&samples)).unwrap();
        prop_assert_eq!(exact(&decoded.to_samples()), exact(&samples));
    }

    #[test]
    fn a_block_header_agrees_with_the_samples(samples in samples()) {
        let header = block::header(&encode(&samples)).unwrap();
        let usable = |is: fn(&StatusCode) -> bool| {
            let class = samples.iter().filter(move |sample| is(&sample.status));
            class.filter_map(|sample| sample.value.as_f64()).filter(|x| x.is_finite()).collect::<Vec<_>>()
        };
        for (summary, numbers) in
            [(&header.summary.good, usable(StatusCode::is_good)), (&header.summary.uncertain, usable(StatusCode::is_uncertain))]
        {
            prop_assert_eq!(summary.usable as usize, numbers.len());
            prop_assert_eq!(summary.sum.to_bits(), numbers.iter().fold(0.0, |sum: f64, x| sum + x).to_bits());
            if !numbers.is_empty() {
                prop_assert_eq!(summary.min, numbers.iter().copied().fold(f64::INFINITY, f64::min));
                prop_assert_eq!(summary.max, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            }
        }
        prop_assert_eq!(usize::from(header.count), samples.len());
        prop_assert_eq!(header.summary.good.count as usize, samples.iter().filter(|s| s.status.is_good()).count());
        prop_assert_eq!((header.first, header.last), (samples[0].source_timestamp, samples[samples.len() - 1].source_timestamp));
        prop_assert_eq!(header.log_record, 42);
        if header.tag.width().is_some() {
            for (value, sample) in [(header.first_value, &samples[0]), (header.last_value, &samples[samples.len() - 1])] {
                prop_assert_eq!(bits_of(&value.unwrap_or_default()), bits_of(&sample.value));
            }
        }
    }

    #[test]
    fn any_part_of_a_block_is_what_it_was_given(samples in samples(), ends in any::<[prop::sample::Index; 2]>()) {
        let mut ends = ends.map(|end| end.index(samples.len() + 1));
        ends.sort_unstable();
        let part = &samples[ends[0]..ends[1]];
        for columns in [samples.iter().collect::<Columns>(), block::decode(&encode(&samples)).unwrap()] {
            let mut back = Vec::new();
            columns.append_to(ends[0]..ends[1], &mut back);
            prop_assert_eq!(exact(&back), exact(part));
            let mut summary = Summary::default();
            part.iter().for_each(|sample| summary.add(sample));
            prop_assert_eq!(columns.summary(ends[0]..ends[1]), summary);
            let ticks = |index: usize| samples.get(index).map_or(i64::MAX, |sample| sample.source_timestamp.ticks());
            prop_assert_eq!(columns.indices(ticks(ends[0]), ticks(ends[1])), ends[0]..ends[1]);
            for sample in part {
                let at = sample.source_timestamp.ticks();
                prop_assert!(columns.contains(at) && !columns.contains(at + 1));
            }
        }
    }

    #[test]
    fn a_flipped_bit_of_a_block_is_found(samples in samples(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = encode(&samples);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(block::decode(&bytes).is_err());
    }

    #[test]
    fn a_forged_block_does_no_harm(samples in samples(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&samples);
        for (at, byte) in flips {
            let at = at.index(bytes.len() - 1) + 1;
            bytes[at] = byte;
        }
        let _ = block::decode(&with_right_checksums(bytes.clone()));
        bytes.truncate(cut.index(bytes.len()).max(8));
        let _ = block::decode(&with_right_checksums(bytes));
    }

    #[test]
    fn random_bytes_are_no_block_and_no_record(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(block::decode(&bytes).is_err());
        let record = Replay::default().record(&bytes, drop);
        prop_assert!(record.is_err());
        if bytes.len() > HEADER_BYTES {
            bytes[0] = 4;
            let _ = block::decode(&with_right_checksums(bytes.clone()));
        }
        if bytes.len() > 8 {
            (bytes[0], bytes[1]) = (2, bytes[1] % 6);
            let mut crc = crc32fast::Hasher::new();
            crc.update(&bytes[..2]);
            crc.update(&bytes[6..]);
            let crc = crc.finalize();
            bytes[2..6].copy_from_slice(&crc.to_le_bytes());
            let _ = Replay::default().record(&bytes, |_| {});
        }
    }

    #[test]
    fn the_log_gives_back_what_it_was_given(samples in samples(), ids in prop::collection::vec(any::<u32>(), 1..5), long in 0..50_000_usize) {
        let mut samples = samples;
        samples[0].value = Value::String("x".repeat(long).into());
        let named: Vec<_> = samples.iter().enumerate().map(|(i, sample)| (ids[i % ids.len()], sample)).collect();
        let (mut replay, mut back, mut completed) = (Replay::default(), Vec::new(), 0);
        log::encode(named.iter().copied(), |record, count| {
            assert!(record.len() <= RECORD_BYTES_MAX, "{} bytes", record.len());
            completed += count;
            replay.record(&record, |entry| back.push(entry)).unwrap();
            assert_eq!(back.len(), completed);
        });
        let back: Vec<_> = back
            .into_iter()
            .map(|entry| match entry {
                LogEntry::Sample(id, sample) => (id, exact(&[sample])),
                LogEntry::Remove(..) | LogEntry::Op(_) => unreachable!(),
            })
            .collect();
        prop_assert_eq!(back, named.into_iter().map(|(id, sample)| (id, exact(std::slice::from_ref(sample)))).collect::<Vec<_>>());
    }

    #[test]
    fn a_flipped_bit_of_a_record_is_found(samples in samples(), at in any::<prop::sample::Index>(), bit in 0..8) {
        log::encode(samples.iter().map(|sample| (7, sample)), |mut record, _| {
            let at = at.index(record.len());
            record[at] ^= 1_u8 << bit;
            assert!(Replay::default().record(&record, |_| {}).is_err());
        });
    }
}

#[test]
fn other_versions_are_refused() {
    let samples = [Sample::good(Timestamp::from_ticks(7), 0.5)];
    for version in [3, 5] {
        let mut bytes = encode(&samples);
        bytes[0] = version;
        assert_eq!(block::decode(&with_right_checksums(bytes)).err(), Some(BlockError::Version(version)));
    }
    log::encode(samples.iter().map(|sample| (7, sample)), |mut record, _| {
        record[0] = 1;
        assert_eq!(Replay::default().record(&record, |_| {}), Err(LogError::Version(1)));
    });
    let mut record = record::split(&[0; 20]).unwrap().concat();
    record[0] = 1;
    assert_eq!(record::join(&record, || Ok::<Option<Vec<u8>>, ()>(None)), Ok(Err(RecordError::Version(1))));
}

#[test]
fn removals_are_logged() {
    let mut back = Vec::new();
    Replay::default().record(&log::encode_remove(7, -5, i64::MAX), |entry| back.push(entry)).unwrap();
    assert_eq!(back, [LogEntry::Remove(7, -5, i64::MAX)]);
}

#[test]
fn a_block_holds_one_sample_to_the_most_and_no_more() {
    let columns = |count: usize| -> Columns {
        let samples: Vec<_> = (0..count).map(|i| Sample::good(Timestamp::from_ticks(i as i64), 0.5)).collect();
        samples.iter().collect()
    };
    assert_eq!(block::encode(&columns(0), 0), Err(BlockError::Count));
    assert_eq!(block::encode(&columns(SAMPLES_MAX + 1), 0), Err(BlockError::Count));
    for count in [1, SAMPLES_MAX] {
        assert_eq!(block::decode(&block::encode(&columns(count), 0).unwrap()).unwrap().len(), count);
    }
}

/// A format on disk is for ever.
#[test]
fn what_older_releases_wrote_is_still_read() {
    let sample = |ticks: i64, value: Value| Sample {
        source_timestamp: Timestamp::from_ticks(ticks),
        server_timestamp: Timestamp::from_ticks(ticks + 3),
        status: StatusCode::UncertainInitialValue,
        value,
    };
    let samples = [sample(1000, Value::Int16(-3)), sample(2000, Value::Null), sample(3000, Value::String("x".into()))];
    let bytes = |hex: &str| -> Vec<u8> {
        let hex = hex.trim();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let block = block::decode(&bytes(include_str!("../../tests/fixtures/history/block_v4.hex"))).unwrap();
    assert_eq!(block.to_samples(), samples);
    let mut back = Vec::new();
    let record = bytes(include_str!("../../tests/fixtures/history/log_record_v2.hex"));
    Replay::default().record(&record, |entry| back.push(entry)).unwrap();
    assert_eq!(back, samples.map(|sample| LogEntry::Sample(5, sample)));
}
