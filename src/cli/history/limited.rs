//! A CSV file whose rows cannot cost more than a row may: the reader of rows keeps 8 bytes per field, were it a comma alone,
//! and takes a quote that is never closed for one long text. Pure.

use std::io::{self, Read};

/// A longer row is taken for a quote that was never closed. It costs no more than twice this of memory.
const ROW_BYTES_MAX: u64 = 16 << 20;
/// A row with more fields is none.
const FIELDS_MAX: u32 = 100_000;

/// Where in a row reading is, as RFC 4180 has it.
#[derive(Clone, Copy)]
enum Place {
    FieldStart,
    Field,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first of two.
    Quote,
}

/// Ends with an error in a row that is too long; what was before it is given.
pub(super) struct Limited<R> {
    inner: R,
    delimiter: u8,
    place: Place,
    /// Bytes of the row.
    bytes: u64,
    /// Fields of the row that have ended.
    fields: u32,
    /// What was read last.
    chunk: Vec<u8>,
    /// Bytes read, with `chunk`.
    read: u64,
}

impl<R> Limited<R> {
    pub(super) fn new(inner: R, delimiter: u8) -> Self {
        Self { inner, delimiter, place: Place::FieldStart, bytes: 0, fields: 0, chunk: Vec::new(), read: 0 }
    }

    /// What is wrong with the row that was read last.
    pub(super) fn excess(&self) -> Option<String> {
        if self.bytes > ROW_BYTES_MAX {
            Some(format!("the row is longer than {} MiB: is a quote not closed?", ROW_BYTES_MAX >> 20))
        } else if self.fields > FIELDS_MAX {
            Some(format!("the row has more than {FIELDS_MAX} fields"))
        } else {
            None
        }
    }

    /// The byte before an offset into what was read last.
    pub(super) fn byte_before(&self, offset: u64) -> Option<u8> {
        let before = usize::try_from(self.read.checked_sub(offset)?).ok()?;
        self.chunk.get(self.chunk.len().checked_sub(before + 1)?).copied()
    }

    fn step(&mut self, byte: u8) {
        self.bytes += 1;
        self.place = match (self.place, byte) {
            (Place::FieldStart | Place::Quote, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) => Place::Quoted,
            (_, b'\n' | b'\r') => {
                (self.bytes, self.fields) = (0, 0);
                Place::FieldStart
            }
            (_, byte) if byte == self.delimiter => {
                self.fields += 1;
                Place::FieldStart
            }
            _ => Place::Field,
        };
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.excess().is_some() { 0 } else { self.inner.read(buffer)? };
        let mut fits = |byte: &&u8| {
            self.step(**byte);
            self.excess().is_none()
        };
        let count = buffer.iter().take(read).take_while(&mut fits).count();
        if count == 0 && self.excess().is_some() {
            return Err(io::Error::other("the row is too long")); // nothing given would mean that the file ends here
        }
        self.read += count as u64;
        if let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) {
            self.chunk.clear();
            self.chunk.extend_from_slice(chunk);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a text, and whether it ended in an excess.
    fn given(text: &str) -> (usize, bool) {
        let mut limited = Limited::new(text.as_bytes(), b',');
        let mut given = Vec::new();
        let result = limited.read_to_end(&mut given);
        assert_eq!(result.is_err(), limited.excess().is_some());
        (given.len(), result.is_err())
    }

    #[test]
    fn only_a_row_with_too_many_fields_ends_it() {
        let most = ",".repeat(FIELDS_MAX as usize);
        for (text, is_over) in [
            (format!("{most}\n{most}\r\n{most}"), false),
            (format!("{most},\n"), true),
            (format!("\"a\"\"{most}\n{most}\",1\n"), false),
            // A quote that does not open a field says nothing; one that closes it, closes it.
            (format!("a\"{most},\n"), true),
            (format!("\"a\"{most},\n"), true),
            (format!("\"a\"b\"{most},\n"), true),
        ] {
            let (len, excess) = given(&text);
            assert_eq!((excess, len == text.len()), (is_over, !is_over), "{:.9}", text);
        }
        let long = "x".repeat(ROW_BYTES_MAX as usize);
        assert!(!given(&format!("{long}\n{long}\n")).1);
        assert!(given(&format!("a\n\"{long}\n")).1);
    }
}
