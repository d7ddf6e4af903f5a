//! Reading and writing small integers as bytes and bits. Reading beyond the end gives `None`. Pure.

/// LEB128.
pub(super) fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// LEB128 of a signed number, small magnitudes short.
pub(super) fn write_zigzag(out: &mut Vec<u8>, number: i64) {
    write_varint(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Takes numbers off the front of bytes.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// An empty vector for `count` items, if there can be so many: none is shorter than `bytes_min`.
    pub(super) fn room_for<T>(&self, count: usize, bytes_min: usize) -> Option<Vec<T>> {
        (count <= self.rest.len() / bytes_min).then(|| Vec::with_capacity(count))
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// `width` (1 to 8) bytes, little-endian.
    pub(super) fn bits(&mut self, width: usize) -> Option<u64> {
        let mut bits = [0; 8];
        bits.get_mut(..width)?.copy_from_slice(self.take(width)?);
        Some(u64::from_le_bytes(bits))
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn zigzag(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

/// Takes numbers of so many bits off the front of bytes, the low bits first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// `count` (at most 16) bits.
    pub(super) fn take(&mut self, count: usize) -> Option<usize> {
        let (first, end) = (self.at / 8, (self.at + count).div_ceil(8));
        let taken = self.bytes.get(first..end)?;
        let bits = taken.iter().rev().fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let bits = bits >> (self.at % 8) & ((1 << count) - 1);
        self.at += count;
        Some(bits)
    }

    /// Passes over `count` bits, beyond the end too.
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }
}
