//! Columns of numbers through `pco`. Pure.
//!
//! What reading takes is known and checked beforehand, by [`memory`]: `pco` itself allocates what the bytes ask for, and some
//! twenty can ask for 256 MiB (a dictionary, a window to look back into).

use pco::{
    ChunkConfig, DeltaSpec, FULL_BATCH_N,
    data_types::Number,
    errors::PcoResult,
    wrapped::{FileCompressor, FileDecompressor},
};

use super::{bytes::Bits, page::Encoding};

/// A type of numbers.
pub(super) trait Packed: Number + Default {
    const ENCODING: Encoding;
}

macro_rules! packed {
    ($($number:ty => $encoding:ident,)*) => {
        $(impl Packed for $number {
            const ENCODING: Encoding = Encoding::$encoding;
        })*
    };
}

packed! {
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    f32 => F32, f64 => F64,
}

/// The version of pco's format that [`memory`] knows.
const FORMAT: [u8; 2] = [4, 1];
/// Level 4: measured, level 8 gains 2 % of size and takes twice the time.
const LEVEL: usize = 4;
/// A coder has at most 2^8 states: level 4 makes 2^6, and level 8 2^10. They take 20 bytes each while numbers are read.
const STATES_LOG_MAX: usize = 8;
/// As far back as a block has samples.
const WINDOW_LOG_MAX: usize = 13;

/// Compresses 1 to 8192 numbers.
pub(super) fn pack<T: Packed>(numbers: &[T], delta: DeltaSpec) -> Vec<u8> {
    let config = ChunkConfig::default().with_compression_level(LEVEL).with_delta_spec(delta).with_enable_8_bit(true);
    let pack = || -> PcoResult<Vec<u8>> {
        let file = FileCompressor::default();
        let mut chunk = file.chunk_compressor(numbers, &config)?;
        let out = Vec::with_capacity(FORMAT.len() + chunk.meta_size_hint() + chunk.page_size_hint(0));
        let out = chunk.write_meta(file.write_header(out)?)?;
        chunk.write_page(0, out)
    };
    pack().expect("compressing at most 8192 numbers to memory")
}

/// Exactly `count` numbers, of bytes of which [`memory`] has told what they take.
pub(super) fn unpack<T: Packed>(bytes: &[u8], count: usize) -> Option<Vec<T>> {
    let (file, rest) = FileDecompressor::new(bytes).ok()?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut page = chunk.page_decompressor(rest, count).ok()?;
    let mut numbers = vec![T::default(); count];
    let progress = page.read(&mut numbers).ok()?;
    (progress.finished && page.into_src().is_empty()).then_some(numbers)
}

/// Bytes that [`unpack`] takes for `count` numbers of `width` bytes, besides some 40 KiB that it always takes: the numbers, and
/// a window to look back into. `None`: these bytes are not such as [`pack`] makes, and are not to be read.
///
/// Parses the head of a chunk (pco's `format.md`): u4 mode and its parameter, u4 delta encoding and its parameters; then of
/// each variable that is coded u4 log of its states, u15 bins, and the bins.
pub(super) fn memory(bytes: &[u8], width: usize, count: usize) -> Option<usize> {
    let bits = 8 * width;
    let mut head = Bits::new(bytes.strip_prefix(&FORMAT)?);
    let has_second = match head.take(4)? {
        0 => false,
        // Multiples of a base.
        1 | 2 => {
            head.skip(bits);
            true
        }
        // Floats of fewer bits.
        3 => {
            head.skip(8);
            true
        }
        // 4 is a dictionary, as long as it says.
        _ => return None,
    };
    let mut window = 0;
    match head.take(4)? {
        0 => {}
        1 => _ = head.take(4)?,
        2 => {
            let log = 1 + head.take(5)?;
            // What else could follow is never written: a window that begins filled.
            if log > WINDOW_LOG_MAX || head.take(5)? != 0 {
                return None;
            }
            window = (1 << log).max(FULL_BATCH_N) * 2;
            bins(&mut head, 32)?;
        }
        // 3, a convolution, is never written.
        _ => return None,
    }
    bins(&mut head, bits)?;
    if has_second {
        bins(&mut head, bits)?;
    }
    Some((count + window) * width)
}

/// Passes over the bins of a variable with so many bits, if they are not too many.
fn bins(head: &mut Bits<'_>, bits: usize) -> Option<()> {
    let (states_log, count) = (head.take(4)?, head.take(15)?);
    head.skip(count * (states_log + bits + bits.ilog2() as usize + 1));
    (states_log <= STATES_LOG_MAX && count <= 1 << STATES_LOG_MAX).then_some(())
}

#[cfg(test)]
mod tests {
    use pco::metadata::DeltaEncoding;

    use super::*;

    /// Of every kind that the compressor chooses among; what they take is as pco's own reader has it.
    #[test]
    fn numbers_come_back_in_the_memory_that_was_told() {
        let noise = |i: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let repeated: Vec<u64> = (0..8192).map(|i| noise(i % 60)).collect();
        let steps: Vec<f64> = (0..1024).map(|i| (noise(i) % 1000) as f64 * 0.01).collect();
        let coarse: Vec<f64> = (0..1024).map(|i| f64::from(noise(i) as f32)).collect();
        let tens: Vec<i32> = (0..1024).map(|i| (noise(i) % 100_000) as i32 * 10).collect();
        let small: Vec<u8> = (0..1024).map(|i| (noise(i) % 7) as u8).collect();
        fn check<T: Packed + PartialEq + std::fmt::Debug>(numbers: &[T], delta: DeltaSpec, mode: &str, encoding: &str) {
            let (bytes, count) = (pack(numbers, delta), numbers.len());
            let (file, rest) = FileDecompressor::new(&bytes[..]).unwrap();
            let (chunk, _) = file.chunk_decompressor::<T, _>(rest).unwrap();
            let (chosen, delta) = (format!("{:?}", chunk.meta().mode), &chunk.meta().delta_encoding);
            assert!(chosen.starts_with(mode) && format!("{delta:?}").starts_with(encoding), "{chosen} {delta:?}");
            let window = match delta {
                DeltaEncoding::Lookback { config, .. } => (1 << config.window_n_log).max(FULL_BATCH_N) * 2,
                _ => 0,
            };
            assert_eq!(memory(&bytes, size_of::<T>(), count), Some((count + window) * size_of::<T>()));
            assert_eq!(unpack::<T>(&bytes, count).as_deref(), Some(numbers));
            for end in 0..bytes.len() {
                assert_eq!(unpack::<T>(&bytes[..end], count), None, "the first {end} bytes");
            }
            assert_eq!(unpack::<T>(&[bytes, vec![0]].concat(), count), None, "a byte more");
        }
        check(&repeated, DeltaSpec::TryLookback, "Classic", "Lookback");
        check(&repeated[..50], DeltaSpec::TryLookback, "IntMult", "Lookback");
        check(&steps, DeltaSpec::NoOp, "FloatMult", "NoOp");
        check(&coarse, DeltaSpec::NoOp, "FloatQuant", "NoOp");
        check(&tens, DeltaSpec::NoOp, "IntMult", "NoOp");
        check(&small, DeltaSpec::NoOp, "Classic", "NoOp");
        check(&[1_i64, 2, 3, 5, 6, 7], DeltaSpec::TryConsecutive(1), "Classic", "Consecutive");
        check(&[f32::INFINITY, -0.5], DeltaSpec::Auto, "Classic", "NoOp");
    }

    /// What asks for much memory and is never written: refused, however it goes on.
    #[test]
    fn greedy_numbers_are_refused() {
        let bytes = |low_bits_first: &[(u64, u32)]| {
            let (mut all, mut at) = (0_u128, 0);
            for &(number, bits) in low_bits_first {
                all |= u128::from(number) << at;
                at += bits;
            }
            [&FORMAT[..], &all.to_le_bytes(), &[0; 4000]].concat()
        };
        let no_bins = (0, 4 + 15);
        assert_eq!(memory(&bytes(&[(0, 4), (0, 4), no_bins]), 8, 10), Some(80), "this one is not");
        let greedy: [(&str, &[(u64, u32)]); 6] = [
            ("a dictionary of 2^25 numbers", &[(4, 4), ((1 << 25) - 1, 25)]),
            ("a window of 2^24", &[(0, 4), (2, 4), (23, 5), (0, 5), no_bins, no_bins]),
            ("a window that begins with 2^13", &[(0, 4), (2, 4), (12, 5), (12, 4), (0, 1), no_bins, no_bins]),
            ("a convolution", &[(0, 4), (3, 4), (0, 5), (0, 64), (31, 5)]),
            ("2^14 states", &[(0, 4), (0, 4), (14, 4), (2, 15)]),
            ("2^14 bins", &[(0, 4), (0, 4), (8, 4), (1 << 14, 15)]),
        ];
        for (what, head) in greedy {
            assert_eq!(memory(&bytes(head), 8, 10), None, "{what}");
        }
        let mut older = bytes(&[(0, 4), (0, 4), no_bins]);
        older[0] = 2;
        assert_eq!(memory(&older, 8, 10), None, "an older format has its fields elsewhere");
    }
}
