//! Blocks: of all samples, of those that compress best, changed here and there, and made to ask for memory.

use std::{hint::black_box, ops::Range};

use uatwin::{
    history::{
        block::{self, BlockError, HEADER_BYTES},
        columns::Columns,
    },
    sample::{Sample, Value},
    time::Timestamp,
};

use super::{Random, limited, mutate, put_crc, samples};

/// Makes the checksums right, so that what is behind them is put to the test.
fn with_right_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = bytes.len();
    put_crc(&mut bytes, 108, std::slice::from_ref(&(112..len)));
    put_crc(&mut bytes, 4, &[0..4, 8..112]);
    bytes
}

/// Of a length that is right too.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = (bytes.len() - HEADER_BYTES) as u32;
    bytes[104..108].copy_from_slice(&len.to_le_bytes());
    with_right_checksums(bytes)
}

fn encode(samples: &[Sample]) -> Vec<u8> {
    block::encode(&samples.iter().collect::<Columns>(), 7).unwrap()
}

/// Where the four columns of a block are, each with its head of five bytes.
fn columns(bytes: &[u8]) -> [Range<usize>; 4] {
    let mut at = HEADER_BYTES + 1;
    [(); 4].map(|()| {
        let len = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap());
        let column = at..at + 5 + len as usize;
        at = column.end;
        column
    })
}

pub(crate) fn hostile_blocks(random: &mut Random) {
    let (mut padded, mut regular) = (0, 0);
    for case in 0..2000 {
        let is_regular = case % 2 == 0;
        let mut bytes = encode(&if is_regular { samples::regular(random) } else { samples::wild(random) });
        assert!(limited(bytes.len(), || block::decode(&bytes).is_ok()), "case {case}: unharmed");
        assert!(block::decode(&with_right_checksums(bytes.clone())).is_ok(), "case {case}: the checksums are right");
        let end = columns(&bytes)[3].end;
        regular += usize::from(is_regular);
        if end < bytes.len() {
            padded += 1;
            // As short as its columns alone: more in memory than 16 times that.
            let short = sealed(bytes[..end].to_vec());
            assert_eq!(limited(short.len(), || block::decode(&short).err()), Some(BlockError::Memory), "case {case}");
        }
        let version = bytes[0];
        if case % 8 == 1 {
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
    assert!(padded > 100, "{padded} of {regular} regular blocks are longer than their columns");
    greedy_blocks();
}

/// Numbers whose own head asks for much: each in a block that is long enough for the numbers themselves.
fn greedy_blocks() {
    const U64: u8 = 5;
    let samples: Vec<Sample> = (0..1024)
        .map(|at| Sample { value: Value::UInt64(1), ..Sample::good(Timestamp::from_ticks(at), 0.0) })
        .collect();
    let whole = encode(&samples);
    assert!(whole.len() < 200, "{} bytes", whole.len());
    let head = |low_bits_first: &[(u64, usize)]| {
        let (mut bytes, mut at) = (vec![0; 600], 0);
        for &(number, bits) in low_bits_first {
            (0..bits).for_each(|bit| bytes[(at + bit) / 8] |= ((number >> bit & 1) as u8) << ((at + bit) % 8));
            at += bits;
        }
        [vec![4, 1], bytes].concat()
    };
    // One bin each: the window's, of a lower bound of 1, and the numbers'.
    let bins = [(0, 4), (1, 15), (1, 32), (0, 6), (0, 4), (1, 15), (0, 64), (0, 7)];
    let window = |log_less_1| [&[(0, 4), (2, 4), (log_less_1, 5), (0, 5)], &bins[..]].concat();
    let greedy = [
        ("a dictionary of 2^25 numbers", vec![(4, 4), ((1 << 25) - 1, 25)]),
        ("a window of 2^24 numbers", window(23)),
        ("a window of 2^13 numbers", window(12)),
        ("2^14 states", vec![(0, 4), (0, 4), (14, 4), (2, 15), (16_382, 14)]),
        ("2^14 bins", vec![(0, 4), (0, 4), (14, 4), (1 << 14, 15)]),
    ];
    for (what, numbers) in greedy {
        let numbers = head(&numbers);
        let mut bytes = whole[..columns(&whole)[3].start].to_vec();
        bytes.push(U64);
        bytes.extend((numbers.len() as u32).to_le_bytes());
        bytes.extend(numbers);
        let bytes = sealed(bytes);
        assert!(limited(bytes.len(), || block::decode(&bytes).is_err()), "{what}");
    }
}
