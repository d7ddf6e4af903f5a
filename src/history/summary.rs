//! What a stretch of history amounts to, without its samples. Pure.

use crate::sample::Sample;

/// Samples of one status class (OPC 10000-4 §7.38: the two top bits).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassSummary {
    /// Samples of the class.
    pub count: u64,
    /// Of these, with a finite number as value: what `min`, `max` and `sum` are about.
    pub usable: u64,
    /// Least; 0 if none is usable.
    pub min: f64,
    /// Greatest; 0 if none is usable.
    pub max: f64,
    /// Sum.
    pub sum: f64,
}

/// Samples by status class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// With a Good status.
    pub good: ClassSummary,
    /// With an Uncertain status.
    pub uncertain: ClassSummary,
    /// How many have a Bad status.
    pub bad: u64,
}

impl ClassSummary {
    /// One more sample.
    pub fn add(&mut self, value: Option<f64>) {
        self.count += 1;
        let Some(x) = value.filter(|x| x.is_finite()) else { return };
        (self.min, self.max) = if self.usable == 0 { (x, x) } else { (self.min.min(x), self.max.max(x)) };
        self.usable += 1;
        self.sum += x;
    }

    /// Many more, each with a value.
    pub(super) fn extend<T: Copy>(&mut self, column: &[T], value: impl Fn(T) -> f64) {
        let mut own = *self;
        for &x in column {
            own.add(Some(value(x)));
        }
        *self = own;
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        if other.usable > 0 {
            let is_first = self.usable == 0;
            self.min = if is_first { other.min } else { self.min.min(other.min) };
            self.max = if is_first { other.max } else { self.max.max(other.max) };
        }
        self.count += other.count;
        self.usable += other.usable;
        self.sum += other.sum;
    }
}

impl Summary {
    /// One more sample.
    pub fn add(&mut self, sample: &Sample) {
        if sample.status.is_good() {
            self.good.add(sample.value.as_f64());
        } else if sample.status.is_uncertain() {
            self.uncertain.add(sample.value.as_f64());
        } else {
            self.bad += 1;
        }
    }

    /// Both together.
    pub fn merge(&mut self, other: &Self) {
        self.good.merge(&other.good);
        self.uncertain.merge(&other.uncertain);
        self.bad += other.bad;
    }

    /// All samples, whatever their status.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.good.count + self.uncertain.count + self.bad
    }
}
