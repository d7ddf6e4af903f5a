//! Reading forward through the samples of a series, a page at a time.

use super::Source;
use crate::{
    history::Direction,
    sample::{Sample, Value},
    time::Timestamp,
};

/// How many samples are read at a time: few at first, as a read may want only these.
pub(super) const PAGE_MIN: usize = 64;
pub(super) const PAGE_MAX: usize = 8192;

/// The samples from a place on, oldest first, a page at a time.
pub(super) struct Cursor<'a, S: Source> {
    pub(super) source: &'a S,
    pub(super) page: Vec<Sample>,
    pub(super) index: usize,
    limit: usize,
    /// Where the next page begins; `None`: there is none.
    pub(super) next: Option<i64>,
    end: i64,
    /// The sample on the page whose value [`kept`](Self::kept) gives, also when the page is turned: cheaper than a copy
    /// of the value of every sample.
    pub(super) keep: Option<usize>,
    pub(super) kept: Value,
}

impl<'a, S: Source> Cursor<'a, S> {
    pub(super) fn new(source: &'a S, from: i64, end: i64) -> Self {
        Self {
            source,
            page: Vec::new(),
            index: 0,
            limit: PAGE_MIN,
            next: Some(from),
            end,
            keep: None,
            kept: Value::Null,
        }
    }

    /// The next sample, not passed yet.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Option<&Sample>, S::Error> {
        if self.index >= self.page.len() {
            self.turn()?;
        }
        Ok(self.page.get(self.index))
    }

    /// Passes the next sample if it lies before `end`.
    #[inline]
    pub(super) fn pass(&mut self, end: i64) -> Result<Option<&Sample>, S::Error> {
        let is_before = self.peek()?.is_some_and(|sample| sample.source_timestamp.ticks() < end);
        self.index += usize::from(is_before);
        Ok(if is_before { self.page.get(self.index - 1) } else { None })
    }

    /// Whether all samples before `end` are on the present page.
    pub(super) fn covers(&self, end: i64) -> bool {
        self.next.is_none() || self.page.last().is_some_and(|last| last.source_timestamp.ticks() >= end)
    }

    /// Whether walking to `at` is cheaper than looking it up, judged by the density of the present page.
    pub(super) fn is_near(&self, at: i64) -> bool {
        const STEPS: i64 = 256;
        let (Some(first), Some(last)) = (self.page.first(), self.page.last()) else { return self.next.is_none() };
        let (first, last) = (first.source_timestamp.ticks(), last.source_timestamp.ticks());
        let spacing = (last - first) / i64::try_from(self.page.len()).unwrap_or(i64::MAX);
        self.covers(at) || (at - last) / STEPS <= spacing
    }

    /// Goes to `at`, which the page does not cover.
    pub(super) fn jump(&mut self, at: i64) {
        *self = Self::new(self.source, at, self.end);
    }

    pub(super) fn kept(&self) -> Value {
        self.keep
            .and_then(|index| self.page.get(index))
            .map_or_else(|| self.kept.clone(), |sample| sample.value.clone())
    }

    fn turn(&mut self) -> Result<(), S::Error> {
        let Some(from) = self.next.filter(|from| *from < self.end) else { return Ok(()) };
        let times = Timestamp::from_ticks(from)..Timestamp::from_ticks(self.end);
        self.kept = self.kept();
        self.keep = None;
        self.page = self.source.read(times, Direction::Forward, self.limit)?;
        self.index = 0;
        self.next = self.page.last().filter(|_| self.page.len() == self.limit).map(after);
        self.limit = (self.limit * 2).min(PAGE_MAX);
        Ok(())
    }
}

/// The tick after a sample.
pub(super) fn after(sample: &Sample) -> i64 {
    sample.source_timestamp.ticks().saturating_add(1)
}
