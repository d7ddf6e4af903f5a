//! Recorded inputs as functions of time, cut at their knots.

use super::{Signal, SimulationError};
use crate::model::{DeadTime, Hold, Model};

/// An input on one segment: `value + slope · (t − origin)`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Piece {
    pub(super) value: f64,
    pub(super) slope: f64,
    pub(super) origin_s: f64,
}

/// A reader of one input that only moves forward.
#[derive(Clone, Debug)]
struct Cursor {
    /// Samples at or before the present, delay included.
    passed: usize,
    /// The next sample at which something changes.
    change: Option<usize>,
    delay_s: f64,
}

/// All inputs at one moment that only moves forward.
#[derive(Clone, Debug)]
pub(super) struct Knots<'a> {
    signals: &'a [Signal],
    cursors: Vec<Cursor>,
    pub(super) pieces: Vec<Piece>,
    /// Inputs whose dead time is a parameter of this index.
    delay_parameter: Vec<Option<usize>>,
}

impl<'a> Knots<'a> {
    pub(super) fn new(model: &Model, theta: &[f64], signals: &'a [Signal]) -> Result<Self, SimulationError> {
        if signals.len() != model.inputs().len() {
            return Err(SimulationError::Inputs { wanted: model.inputs().len(), given: signals.len() });
        }
        for (input, signal) in signals.iter().enumerate() {
            signal.check(input)?;
        }
        let cursor = |input: usize| Cursor {
            passed: 0,
            change: signals[input].next_change(0),
            delay_s: model.delay_s(input, theta),
        };
        let delay_parameter = model.dead_times().iter().map(|dead_time| match dead_time {
            DeadTime::Number(_) => None,
            DeadTime::Parameter(index) => Some(*index),
        });
        Ok(Self {
            signals,
            cursors: (0..signals.len()).map(cursor).collect(),
            pieces: vec![Piece::default(); signals.len()],
            delay_parameter: delay_parameter.collect(),
        })
    }

    /// Moves to `t`: every piece is the one that holds from `t` on (the limit from the right).
    pub(super) fn move_to(&mut self, t: f64) -> Move {
        let mut moved = Move { jumped: false, bent: false };
        for ((signal, cursor), piece) in self.signals.iter().zip(&mut self.cursors).zip(&mut self.pieces) {
            let before = *piece;
            while signal.times.get(cursor.passed).is_some_and(|time| time + cursor.delay_s <= t) {
                cursor.passed += 1;
            }
            if cursor.change.is_some_and(|index| index < cursor.passed) {
                cursor.change = signal.next_change(cursor.passed);
            }
            *piece = signal.piece(cursor.passed, cursor.delay_s);
            match signal.hold {
                Hold::Previous => moved.jumped |= piece.value != before.value,
                Hold::Linear => moved.bent |= piece.slope != before.slope,
            }
        }
        moved
    }

    /// The first time after the present where an input jumps or bends; infinite: never.
    pub(super) fn next(&self) -> f64 {
        let next = |(signal, cursor): (&Signal, &Cursor)| match cursor.change {
            Some(index) => signal.times[index] + cursor.delay_s,
            None => f64::INFINITY,
        };
        self.signals.iter().zip(&self.cursors).map(next).fold(f64::INFINITY, f64::min)
    }

    /// The parameter that is this input's dead time.
    pub(super) fn delay_parameter(&self, input: usize) -> Option<usize> {
        self.delay_parameter[input]
    }
}

/// What a move to a knot changed.
pub(super) struct Move {
    /// A held input has another value.
    pub(super) jumped: bool,
    /// A linear input has another slope.
    pub(super) bent: bool,
}

impl Signal {
    fn check(&self, input: usize) -> Result<(), SimulationError> {
        if self.times.is_empty() || self.times.len() != self.values.len() {
            return Err(SimulationError::InputEmpty { input });
        }
        let finite = |(time, value): (&f64, &f64)| time.is_finite() && value.is_finite();
        if let Some(index) = self.times.iter().zip(&self.values).position(|pair| !finite(pair)) {
            return Err(SimulationError::InputNotFinite { input, index });
        }
        if let Some(index) = self.times.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(SimulationError::InputOrder { input, index: index + 1 });
        }
        Ok(())
    }

    /// What holds while `passed` samples lie at or before the present. Before the first sample its value holds.
    fn piece(&self, passed: usize, delay_s: f64) -> Piece {
        let index = passed.saturating_sub(1);
        let (value, origin_s) = (self.values[index], self.times[index] + delay_s);
        let slope = match self.hold {
            Hold::Linear if passed > 0 => self.slope(index),
            _ => 0.0,
        };
        Piece { value, slope, origin_s }
    }

    fn slope(&self, index: usize) -> f64 {
        if index + 1 >= self.times.len() {
            return 0.0;
        }
        (self.values[index + 1] - self.values[index]) / (self.times[index + 1] - self.times[index])
    }

    /// The next sample from which on the signal goes on differently: equal values in a row are no knots.
    fn next_change(&self, passed: usize) -> Option<usize> {
        let from = passed.saturating_sub(1);
        match self.hold {
            Hold::Previous => (passed..self.times.len()).find(|&index| self.values[index] != self.values[from]),
            Hold::Linear => {
                let slope = if passed == 0 { 0.0 } else { self.slope(from) };
                (passed..self.times.len()).find(|&index| self.slope(index) != slope)
            }
        }
    }

    /// The value at a time (limit from the right).
    #[must_use]
    pub fn at(&self, time_s: f64) -> f64 {
        let passed = self.times.partition_point(|time| *time <= time_s);
        if self.times.is_empty() {
            return f64::NAN;
        }
        let piece = self.piece(passed, 0.0);
        piece.value + piece.slope * (time_s - piece.origin_s)
    }
}
