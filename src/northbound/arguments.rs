//! A call's arguments: what is wrong with each is found, not only the first fault.

use std::time::Duration;

use opcua::types::{DataTypeId, StatusCode, Variant};

use super::methods::{Refusal, parameter};
use crate::{sample::Value, time::Timestamp, twin::TwinType, ua};

/// Longest time that an argument may give: ten years.
const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A call's arguments while they are being checked: every fault is found, not only the first.
pub(super) struct Arguments<'a> {
    pub(super) given: &'a [Variant],
    pub(super) results: Vec<StatusCode>,
}

impl Arguments<'_> {
    pub(super) fn check(self) -> Result<(), Refusal> {
        let wrong = self.results.iter().any(|result| result.is_bad());
        if wrong { Err(Refusal::Arguments(self.results)) } else { Ok(()) }
    }

    pub(super) fn wrong(&mut self, i: usize, status: StatusCode) {
        if let Some(result) = self.results.get_mut(i).filter(|result| result.is_good()) {
            *result = status;
        }
    }

    pub(super) fn get(&self, i: usize) -> &Variant {
        self.given.get(i).unwrap_or(&Variant::Empty)
    }

    /// Start and end; null means "as configured". The end must come after the start.
    pub(super) fn times(&mut self, start: usize, end: usize) -> (Timestamp, Timestamp) {
        let times = (self.time(start), self.time(end));
        if !times.0.is_null() && !times.1.is_null() && times.1 <= times.0 {
            self.wrong(end, StatusCode::BadOutOfRange);
        }
        times
    }

    pub(super) fn time(&mut self, i: usize) -> Timestamp {
        match self.get(i) {
            Variant::DateTime(time) => ua::timestamp(**time),
            Variant::Empty => Timestamp::NULL,
            _ => {
                self.wrong(i, StatusCode::BadTypeMismatch);
                Timestamp::NULL
            }
        }
    }

    pub(super) fn number(&mut self, i: usize) -> f64 {
        match number(self.get(i)) {
            Some(x) => x,
            None => {
                self.wrong(i, StatusCode::BadTypeMismatch);
                0.0
            }
        }
    }

    /// A number that is one.
    pub(super) fn finite(&mut self, i: usize) -> f64 {
        let x = self.number(i);
        if !x.is_finite() {
            self.wrong(i, StatusCode::BadOutOfRange);
        }
        x
    }

    /// True or false; nothing is false.
    pub(super) fn flag(&mut self, i: usize) -> bool {
        match self.get(i) {
            Variant::Boolean(flag) => *flag,
            Variant::Empty => false,
            _ => {
                self.wrong(i, StatusCode::BadTypeMismatch);
                false
            }
        }
    }

    /// Milliseconds; wrong where they are negative, no number, or more than there is time.
    pub(super) fn duration(&mut self, i: usize) -> Duration {
        let duration = Duration::try_from_secs_f64(self.number(i) * 1e-3).ok().filter(|d| *d <= DURATION_MAX);
        if duration.is_none() {
            self.wrong(i, StatusCode::BadOutOfRange);
        }
        duration.unwrap_or_default()
    }

    /// So many finite numbers.
    pub(super) fn numbers(&mut self, i: usize, count: usize) -> Vec<f64> {
        let numbers: Option<Vec<f64>> = elements(self.get(i)).and_then(|all| all.iter().map(number).collect());
        match numbers {
            None => self.wrong(i, StatusCode::BadTypeMismatch),
            Some(numbers) if numbers.len() != count || !numbers.iter().all(|x| x.is_finite()) => {
                self.wrong(i, StatusCode::BadInvalidArgument);
            }
            Some(numbers) => return numbers,
        }
        Vec::new()
    }

    /// One name, as the index that `find` gives.
    pub(super) fn name(&mut self, i: usize, find: impl Fn(&str) -> Option<usize>) -> usize {
        let found = match self.get(i) {
            Variant::String(name) => find(name.as_ref()).ok_or(StatusCode::BadInvalidArgument),
            _ => Err(StatusCode::BadTypeMismatch),
        };
        found.unwrap_or_else(|status| {
            self.wrong(i, status);
            0
        })
    }

    /// Names, each as the index that `find` gives; one unknown or given twice is wrong.
    pub(super) fn names(&mut self, i: usize, find: impl Fn(&str) -> Option<usize>) -> Vec<usize> {
        let mut found = Vec::new();
        let mut status = StatusCode::Good;
        match elements(self.get(i)) {
            None => status = StatusCode::BadTypeMismatch,
            Some(names) => {
                for name in names {
                    match name {
                        Variant::String(name) => match find(name.as_ref()).filter(|at| !found.contains(at)) {
                            Some(at) => found.push(at),
                            None => status = StatusCode::BadInvalidArgument,
                        },
                        _ => status = StatusCode::BadTypeMismatch,
                    }
                }
            }
        }
        self.wrong(i, status);
        found
    }

    /// Parameters and their values: as many of the one as of the other, each within its bounds.
    pub(super) fn pairs(&mut self, names: usize, values: usize, twin_type: &TwinType) -> Vec<(usize, f64)> {
        let found = self.names(names, |name| parameter(twin_type, name));
        let numbers: Option<Vec<f64>> = elements(self.get(values)).and_then(|all| all.iter().map(number).collect());
        let Some(numbers) = numbers else {
            self.wrong(values, StatusCode::BadTypeMismatch);
            return Vec::new();
        };
        if elements(self.get(names)).is_some_and(|names| names.len() != numbers.len()) {
            self.wrong(values, StatusCode::BadInvalidArgument);
        }
        let bounds = |p: usize| twin_type.model.as_ref().map(|model| &model.model.parameters()[p]);
        let inside =
            |(p, x): &(usize, f64)| bounds(*p).is_some_and(|parameter| (parameter.min..=parameter.max).contains(x));
        let pairs: Vec<(usize, f64)> = found.into_iter().zip(numbers).collect();
        if !pairs.iter().all(inside) {
            self.wrong(values, StatusCode::BadOutOfRange);
        }
        pairs
    }
}

/// The elements of an array; nothing and a null array are empty.
fn elements(argument: &Variant) -> Option<&[Variant]> {
    match argument {
        Variant::Empty => Some(&[]),
        Variant::Array(array) => Some(&array.values),
        _ => None,
    }
}

/// A number of any numeric type.
fn number(argument: &Variant) -> Option<f64> {
    match ua::convert(&ua::value(argument)?, DataTypeId::Double)? {
        Value::Double(x) => Some(x),
        _ => None,
    }
}
