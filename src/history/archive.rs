//! A backup's file: the pairs of every tree, in chunks with a checksum each. The format is for ever.
//!
//! ```text
//! 8 bytes "uatwinHB", u8 version (1), then chunks: u32 length of the body, u32 CRC-32 of the body, body
//! body:  u8 1, u8 database (0 blocks, 1 log), u8 length of the tree's name, name, pairs: u32 and u32 lengths, key, value
//!        u8 2, u64 number of pairs: the end
//! ```
//! Integers are little-endian. Reading takes no more memory than a chunk has bytes in the file.

use std::io::{self, Read, Write};

use super::{blocks::Cause, bytes::Reader};

const MAGIC: &[u8; 8] = b"uatwinHB";
const VERSION: u8 = 1;
const PAIRS: u8 = 1;
const END: u8 = 2;
/// A chunk ends with the pair that takes it beyond this.
const CHUNK_BYTES: usize = 1 << 20;

/// The databases of a history, by the names of their folders.
pub(super) const DATABASES: [&str; 2] = ["blk", "log"];

/// Takes pairs of a tree: which database, the tree's name, keys and values.
type TakePairs<'a> = dyn FnMut(usize, &[u8], &[(&[u8], &[u8])]) -> Result<(), Cause> + 'a;

/// Writes pairs.
pub(super) struct ArchiveWriter<W> {
    out: W,
    body: Vec<u8>,
    /// What the body is of.
    of: (usize, Vec<u8>),
    pub(super) pairs: u64,
    pub(super) bytes: u64,
}

impl<W: Write> ArchiveWriter<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        out.write_all(&[VERSION])?;
        Ok(Self { out, body: Vec::new(), of: (0, Vec::new()), pairs: 0, bytes: 9 })
    }

    /// Adds a pair of a tree of `DATABASES[database]`.
    pub(super) fn put(&mut self, database: usize, tree: &[u8], key: &[u8], value: &[u8]) -> Result<(), Cause> {
        if self.body.len() >= CHUNK_BYTES || (self.of.0, &self.of.1[..]) != (database, tree) {
            self.end_chunk()?;
        }
        if self.body.is_empty() {
            self.of = (database, tree.to_vec());
            self.body.extend([PAIRS, u8::try_from(database)?, u8::try_from(tree.len())?]);
            self.body.extend_from_slice(tree);
        }
        self.body.extend(u32::try_from(key.len())?.to_le_bytes());
        self.body.extend(u32::try_from(value.len())?.to_le_bytes());
        self.body.extend_from_slice(key);
        self.body.extend_from_slice(value);
        self.pairs += 1;
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), Cause> {
        if !self.body.is_empty() {
            self.out.write_all(&u32::try_from(self.body.len())?.to_le_bytes())?;
            self.out.write_all(&crc32fast::hash(&self.body).to_le_bytes())?;
            self.out.write_all(&self.body)?;
            self.bytes += self.body.len() as u64 + 8;
            self.body.clear();
        }
        Ok(())
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> Result<(W, u64, u64), Cause> {
        self.end_chunk()?;
        self.body.push(END);
        self.body.extend(self.pairs.to_le_bytes());
        self.end_chunk()?;
        self.out.flush()?;
        Ok((self.out, self.pairs, self.bytes))
    }
}

/// Reads a whole archive; gives each chunk's pairs to `take` as (database, tree, pairs). Returns the number of pairs.
pub(super) fn read(mut input: impl Read, take: &mut TakePairs<'_>) -> Result<u64, Cause> {
    let mut start = [0; 9];
    input.read_exact(&mut start).map_err(|_| "this is no backup of a history")?;
    if &start[..8] != MAGIC {
        return Err("this is no backup of a history".into());
    }
    if start[8] != VERSION {
        return Err(format!("backup version {} is not known", start[8]).into());
    }
    let (mut pairs, mut body) = (0, Vec::new());
    loop {
        let mut head = [0; 8];
        input.read_exact(&mut head).map_err(|_| "the backup is cut short")?;
        let len = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]]));
        body.clear();
        // Grows with what is there, whatever the length says.
        if (&mut input).take(len).read_to_end(&mut body)? as u64 != len {
            return Err("the backup is cut short".into());
        }
        if head[4..] != crc32fast::hash(&body).to_le_bytes() {
            return Err(format!("a checksum of the backup is wrong, after {pairs} of its pairs").into());
        }
        let mut reader = Reader::new(&body);
        match reader.byte() {
            Some(PAIRS) => pairs += chunk(reader, take)?,
            Some(END) => {
                let is_whole = reader.bits(8) == Some(pairs) && reader.is_empty() && input.read(&mut [0])? == 0;
                return if is_whole { Ok(pairs) } else { Err("the backup's end does not fit".into()) };
            }
            _ => return Err("a chunk of the backup is malformed".into()),
        }
    }
}

fn chunk(mut reader: Reader<'_>, take: &mut TakePairs<'_>) -> Result<u64, Cause> {
    const MALFORMED: &str = "a chunk of the backup is malformed";
    let database = usize::from(reader.byte().ok_or(MALFORMED)?);
    let name_len = usize::from(reader.byte().ok_or(MALFORMED)?);
    let tree = reader.take(name_len).filter(|_| database < DATABASES.len()).ok_or(MALFORMED)?;
    let mut pairs = Vec::new();
    while !reader.is_empty() {
        let mut len = || reader.bits(4).and_then(|len| usize::try_from(len).ok()).ok_or(MALFORMED);
        let (key, value) = (len()?, len()?);
        pairs.push((reader.take(key).ok_or(MALFORMED)?, reader.take(value).ok_or(MALFORMED)?));
    }
    take(database, tree, &pairs)?;
    Ok(pairs.len() as u64)
}
