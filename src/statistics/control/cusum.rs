//! The two-sided tabular CUSUM (Page 1954; Montgomery, Introduction to Statistical Quality Control, §9.1): S⁺ ← max(0, S⁺ + z −
//! k), S⁻ ← max(0, S⁻ − z − k) of standardised samples z, an alarm above h. With a head start ("fast initial response", Lucas
//! and Crosier 1982) both begin above zero, so that a chart that starts out of control says so sooner.

use super::{
    quadrature::{Rule, below, density, expected_steps, nodes},
    root_of_increasing,
};

/// Of a chart of standardised samples, all in standard deviations.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Cusum {
    /// Reference value: half the shift that is to be found fastest.
    pub k: f64,
    /// Decision interval: above it there is an alarm.
    pub h: f64,
    /// Where both sums start, from 0 to h/2; 0 is without a head start, h/2 what Lucas and Crosier propose.
    pub head_start: f64,
}

/// Which way a mean has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Side {
    /// Above its centre.
    Up,
    /// Below.
    Down,
}

/// One side of a running chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sum {
    /// S.
    pub value: f64,
    /// Samples since S was last zero: the shift is estimated to have begun then.
    pub age: u64,
}

/// A running chart: its whole memory.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Sums {
    /// S⁺.
    pub up: Sum,
    /// S⁻.
    pub down: Sum,
}

impl Sum {
    fn add(&mut self, increment: f64) {
        let value = self.value + increment;
        *self = if value > 0.0 { Self { value, age: self.age + 1 } } else { Self::default() };
    }
}

impl Sums {
    /// The chart's start.
    #[must_use]
    pub fn new(chart: &Cusum) -> Self {
        let sum = Sum { value: chart.head_start, age: 0 };
        Self { up: sum, down: sum }
    }

    /// Takes in a standardised sample; the side that is above h afterwards. One that is no number changes nothing.
    pub fn add(&mut self, chart: &Cusum, z: f64) -> Option<Side> {
        if z.is_nan() {
            return None;
        }
        self.up.add(z - chart.k);
        self.down.add(-z - chart.k);
        if self.up.value > chart.h {
            return Some(Side::Up);
        }
        (self.down.value > chart.h).then_some(Side::Down)
    }

    /// The larger sum, and its side.
    #[must_use]
    pub fn larger(&self) -> (Side, Sum) {
        if self.up.value >= self.down.value { (Side::Up, self.up) } else { (Side::Down, self.down) }
    }
}

/// Largest decision interval that a design looks at: beyond that of k = 0.1 and an ARL of 1e9.
const H_MAX: f64 = 200.0;

impl Cusum {
    /// Without a head start.
    #[must_use]
    pub const fn new(k: f64, h: f64) -> Self {
        Self { k, h, head_start: 0.0 }
    }

    /// The chart that raises, without any shift, one alarm in `arl0` independent normal samples on average (`arl0` from 2
    /// to 1e9, k from 0.1 to 3); `None` beyond.
    #[must_use]
    pub fn with_arl0(k: f64, arl0: f64) -> Option<Self> {
        if !(2.0..=1e9).contains(&arl0) || !(0.1..=3.0).contains(&k) {
            return None;
        }
        // Siegmund's approximation gives the start: a one-sided ARL of (e^(2kb) − 2kb − 1)/(2k²), b = h + 1.166.
        let start = (1.0 + 4.0 * k * k * arl0).ln() / (2.0 * k);
        let excess = |h: f64| Self::new(k, h).arl(0.0).ln() - arl0.ln();
        root_of_increasing(excess, 0.0, start.max(0.5), H_MAX).map(|h| Self::new(k, h))
    }

    /// Average number of samples until an alarm of either side, where the samples are independent, of standard deviation
    /// one and of mean `shift` from the first one on. The two sides restart each other only through zero where k > 0 and
    /// the head start is at most h/2, so that they combine as Lucas and Crosier (1982) say: from zero, the rates of their
    /// alarms add up. Infinite where it is beyond 1e15.
    #[must_use]
    pub fn arl(&self, shift: f64) -> f64 {
        let (up, up_ahead) = self.one_sided(shift);
        let (down, down_ahead) = if shift == 0.0 { (up, up_ahead) } else { self.one_sided(-shift) };
        if up.is_infinite() || down.is_infinite() {
            return if up.is_infinite() { down_ahead } else { up_ahead };
        }
        (up_ahead * down + up * down_ahead - up * down) / (up + down)
    }

    /// ARL of the upper sum alone from zero and from the head start: L(z) = 1 + Φ(k − z − δ) L(0) + ∫₀ʰ φ(x + k − z − δ)
    /// L(x) dx (Page 1954), which Brook and Evans' Markov chain (1972) approaches with its number of states.
    fn one_sided(&self, shift: f64) -> (f64, f64) {
        let nodes = nodes(5.0 * self.h);
        let rule = Rule::new(nodes, 0.0, self.h);
        let drift = self.k - shift;
        // Unknown 0 is L(0); unknown i is L at node i − 1.
        let at = |i: usize| if i == 0 { 0.0 } else { rule.nodes[i - 1] };
        let chance = |from: f64, j: usize| match j {
            0 => below(drift - from),
            j => rule.weights[j - 1] * density(rule.nodes[j - 1] + drift - from),
        };
        let Some(steps) = expected_steps(nodes + 1, |i, j| chance(at(i), j)) else {
            return (f64::INFINITY, f64::INFINITY);
        };
        let ahead = 1.0 + steps.iter().enumerate().map(|(j, l)| chance(self.head_start, j) * l).sum::<f64>();
        (steps[0], ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_knows_when_it_was_last_zero() {
        let chart = Cusum::new(0.5, 4.0);
        let mut sums = Sums::new(&chart);
        for z in [3.0, -9.0, 2.0, 2.0] {
            assert_ne!(sums.add(&chart, z), Some(Side::Up));
        }
        assert_eq!(sums.up, Sum { value: 3.0, age: 2 });
        assert_eq!(sums.add(&chart, f64::NAN), None);
        assert_eq!(sums.add(&chart, 2.0), Some(Side::Up));
        assert_eq!(sums.larger(), (Side::Up, Sum { value: 4.5, age: 3 }));
    }

    #[test]
    fn what_has_no_design_gets_none() {
        for (k, arl0) in [(0.5, 1.0), (0.5, f64::NAN), (0.0, 100.0), (0.5, 1e15), (3.0, 100.0)] {
            assert_eq!(Cusum::with_arl0(k, arl0), None, "{k} {arl0}");
        }
    }
}
