//! What others keep beside a series for ever: retention does not reach it.

use super::record::{Record, RecordError};
use crate::time::Timestamp;

/// A text or other bytes, which only their writer understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// When it was kept.
    pub at: Timestamp,
    /// As it was given; empty where it [`is_lost`](Self::is_lost).
    pub body: Vec<u8>,
    /// Damage has taken what it said.
    pub is_lost: bool,
}

impl Document {
    /// One to be kept.
    #[must_use]
    pub const fn new(at: Timestamp, body: Vec<u8>) -> Self {
        Self { at, body, is_lost: false }
    }
}

impl Record for Document {
    const WHAT: &'static str = "document";

    fn write(&self) -> Vec<u8> {
        self.body.clone()
    }

    fn read(at: Timestamp, body: &[u8]) -> Result<Self, RecordError> {
        Ok(Self::new(at, body.to_vec()))
    }

    fn lost(at: Timestamp) -> Self {
        Self { at, body: Vec::new(), is_lost: true }
    }
}
