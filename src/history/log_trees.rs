//! Where log records are kept: sled trees, one after the other, each dropped whole when none of its records is needed.
//!
//! In one tree, sled wrote every record 13 times (measured: 14 KB each, 64 MiB kept): a leaf anew with each tenth record
//! and each split, and again with what is left of it at each second deletion. Here a tree's keys are made before
//! their values (see [`slots`](super::slots)), and nothing is deleted from it: 2.7 times, a fifth of the processor time.

use std::collections::VecDeque;

use sled::{Db, IVec, Tree};

use super::blocks::Cause;

/// A tree takes no more records once it has so many bytes ...
const TREE_BYTES: u64 = 4 << 20;
/// ... or so many records.
const TREE_RECORDS: u64 = 16_384;
/// So many keys are made at a time.
const RUN: u64 = 64;

/// The records that are kept, by number.
#[derive(Debug)]
pub(super) struct LogTrees {
    db: Db,
    /// With the number of the first record of each, in order. Never none.
    trees: VecDeque<(u64, Tree)>,
    /// Bytes in the last.
    bytes: u64,
    /// Records before this one have keys.
    made: u64,
}

fn name(first: u64) -> String {
    format!("l{first}")
}

impl LogTrees {
    /// What `db` has.
    pub(super) fn open(db: &Db) -> Result<Self, Cause> {
        let mut trees = VecDeque::from(Self::trees(db)?);
        if trees.is_empty() {
            trees.push_back((0, db.open_tree(name(0))?));
        }
        let mut all = Self { db: db.clone(), trees, bytes: 0, made: 0 };
        if let Some(last) = all.last().last()? {
            all.made = number(&last.0)? + 1;
        }
        for record in all.last().iter().values() {
            all.bytes += record?.len() as u64;
        }
        Ok(all)
    }

    fn trees(db: &Db) -> Result<Vec<(u64, Tree)>, Cause> {
        let names = db.tree_names();
        let first = |name: &IVec| std::str::from_utf8(name).ok()?.strip_prefix('l')?.parse::<u64>().ok();
        let mut firsts: Vec<u64> = names.iter().filter_map(first).collect();
        firsts.sort_unstable();
        firsts.into_iter().map(|first| Ok((first, db.open_tree(name(first))?))).collect()
    }

    fn last(&self) -> &Tree {
        &self.trees[self.trees.len() - 1].1
    }

    /// Adds a record, with a number above all others.
    pub(super) fn put(&mut self, number: u64, record: &[u8]) -> Result<(), Cause> {
        let first = self.trees[self.trees.len() - 1].0;
        if self.bytes >= TREE_BYTES || number >= first.saturating_add(TREE_RECORDS) {
            self.trees.push_back((number, self.db.open_tree(name(number))?));
            (self.bytes, self.made) = (0, number);
        }
        while number >= self.made {
            for made in self.made.max(number)..self.made.max(number) + RUN {
                self.last().insert(made.to_be_bytes(), &[])?;
            }
            self.made = self.made.max(number) + RUN;
        }
        self.last().insert(number.to_be_bytes(), record)?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// The trees, for reading while others are written.
    pub(super) fn snapshot(&self) -> Vec<Tree> {
        self.trees.iter().map(|(_, tree)| tree.clone()).collect()
    }

    /// Drops trees that have no record from `needed` on. The last one stays: it keeps the numbers going up, which blocks
    /// refer to.
    pub(super) fn drop_before(&mut self, needed: u64) -> Result<(), Cause> {
        while self.trees.get(1).is_some_and(|&(next, _)| next <= needed) {
            let Some((first, tree)) = self.trees.pop_front() else { break };
            drop(tree);
            self.db.drop_tree(name(first))?;
        }
        Ok(())
    }
}

/// The records of a log database, in order. A log that is not there has none.
pub(super) fn stored(db: &Db) -> Result<Vec<Tree>, Cause> {
    Ok(LogTrees::trees(db)?.into_iter().map(|(_, tree)| tree).collect())
}

/// Records with their numbers; keys without a record are passed over.
pub(super) fn iter(trees: &[Tree]) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> + '_ {
    trees.iter().flat_map(Tree::iter).filter(|item| !matches!(item, Ok((_, record)) if record.is_empty()))
}

/// Records from number `from` on, with their numbers.
pub(super) fn iter_from(trees: &[Tree], from: u64) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> + '_ {
    let records = trees.iter().flat_map(move |tree| tree.range(from.to_be_bytes()..));
    records.filter(|item| !matches!(item, Ok((_, record)) if record.is_empty()))
}

/// A record's number.
pub(super) fn number(key: &[u8]) -> Result<u64, Cause> {
    Ok(u64::from_be_bytes(key.try_into()?))
}
