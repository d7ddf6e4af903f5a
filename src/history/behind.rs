//! What a front keeps and then hands on to a store behind it, and what that store must promise.

use std::ops::Range;

use super::{Annotation, Document, HistoryError, HistoryStore, Modified};
use crate::{event::Event, sample::Sample, time::Timestamp};

/// By which a store behind knows a series.
pub type Key = u64;

/// Something that happened to history besides new samples, in the front's own order.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// What these times held is taken out.
    Remove(Range<Timestamp>),
    /// Modification records, in the order in which they were made.
    Modified(Vec<Modified>),
    /// The modification records of these times are forgotten.
    Forget(Range<Timestamp>),
    /// An annotation as it is now, by the number that the front gave it.
    Annotate(u64, Annotation),
    /// The annotation of an instant with this number is taken away.
    Unannotate(Timestamp, u64),
    /// A document, by the number that the front gave it.
    Keep(u64, Document),
    /// Events.
    Events(Vec<Event>),
    /// What is older is past retention.
    Expire(Timestamp),
}

/// A piece of what is handed on.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Samples with their series and the number of the record that has them, in the front's order.
    Samples(Vec<(Key, u64, Sample)>),
    /// Anything else: the number of its record, the series that it is about (0: none), what.
    Other(u64, Key, Op),
}

/// A store that takes what a front hands on.
///
/// What it is given twice counts once: of two samples at an instant that of the higher number stays, whichever came first, so
/// a front that does not know how far it got begins again earlier.
pub trait Behind: HistoryStore + std::fmt::Debug {
    /// A number above all that were ever claimed here: numbers of a front that claims it are above those of all before it.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn claim(&self) -> Result<u64, HistoryError>;

    /// By which it knows the series of this name; it is taken in if it is new.
    ///
    /// # Errors
    /// If the store cannot be reached.
    fn key(&self, name: &str) -> Result<Key, HistoryError>;

    /// Takes pieces in their order. When it returns, they are safe there.
    ///
    /// # Errors
    /// If the store cannot be reached; some of the pieces may have been taken.
    fn forward(&self, claimed: u64, pieces: &[Piece]) -> Result<(), HistoryError>;
}
