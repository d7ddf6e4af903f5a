//! The exponentially weighted moving average (Roberts 1959; Montgomery, §9.2): e ← λz + (1 − λ)e of standardised samples z, an
//! alarm where e leaves ±L·σₑ, with σₑ² = λ/(2 − λ)·(1 − (1 − λ)²ᵗ) exact at sample t, or its limit for large t.

use super::{
    quadrature::{Rule, density, expected_steps, nodes},
    root_of_increasing,
};

/// Which variance the limits stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EwmaLimits {
    /// That of the average at each sample: narrow at first, so a chart that starts out of control says so sooner.
    #[default]
    Exact,
    /// Its limit for long runs from the first sample on: the chart of Lucas and Saccucci (1990).
    Asymptotic,
}

/// Of a chart of standardised samples.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Ewma {
    /// λ, the newest sample's weight: above 0, at most 1.
    pub lambda: f64,
    /// L, the limits' distance in standard deviations of the average.
    pub width: f64,
    /// What they stand on.
    pub limits: EwmaLimits,
}

/// A running chart: its whole memory.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Average {
    /// e, in standard deviations of the samples.
    pub value: f64,
    /// (1 − λ)²ᵗ.
    rest: f64,
}

impl Default for Average {
    fn default() -> Self {
        Self { value: 0.0, rest: 1.0 }
    }
}

impl Average {
    /// Takes in a standardised sample; whether the average is outside the limits afterwards. One that is no number
    /// changes nothing.
    pub fn add(&mut self, chart: &Ewma, z: f64) -> bool {
        if z.is_nan() {
            return false;
        }
        self.value += chart.lambda * (z - self.value);
        self.rest *= (1.0 - chart.lambda).powi(2);
        self.value.abs() > self.limit(chart)
    }

    /// Distance of both limits from the centre, as of the newest sample.
    #[must_use]
    pub fn limit(&self, chart: &Ewma) -> f64 {
        chart.limit(match chart.limits {
            EwmaLimits::Exact => self.rest,
            EwmaLimits::Asymptotic => 0.0,
        })
    }
}

/// (1 − λ)²ᵗ below which the exact limits stand at their limit.
const SETTLED: f64 = 1e-14;
/// λ below this has no run length here: its limits settle after 1,500 samples and more.
const LAMBDA_MIN: f64 = 0.01;

impl Ewma {
    /// The chart that raises, without any shift, one alarm in `arl0` independent normal samples on average (`arl0` from 2
    /// to 1e9, λ from 0.01 to 1); `None` beyond.
    #[must_use]
    pub fn with_arl0(lambda: f64, arl0: f64, limits: EwmaLimits) -> Option<Self> {
        if !(2.0..=1e9).contains(&arl0) || !(LAMBDA_MIN..=1.0).contains(&lambda) {
            return None;
        }
        let chart = |width| Self { lambda, width, limits };
        root_of_increasing(|width| chart(width).arl(0.0).ln() - arl0.ln(), 0.01, 2.0, 10.0).map(chart)
    }

    /// Average number of samples until an alarm, where the samples are independent, normal, of standard deviation one and
    /// of mean `shift` from the first one on. Infinite where it is beyond 1e15.
    #[must_use]
    pub fn arl(&self, shift: f64) -> f64 {
        let limit = self.limit(0.0);
        // The kernel is λ wide.
        let nodes = nodes(8.0 * limit / self.lambda);
        let rule = Rule::new(nodes, -limit, limit);
        let onward = |from: f64, to: f64| density((to - from) / self.lambda + from - shift) / self.lambda;
        let settled = expected_steps(nodes, |i, j| rule.weights[j] * onward(rule.nodes[i], rule.nodes[j]));
        let Some(settled) = settled else { return f64::INFINITY };
        let expected = |from: f64| {
            let nodes = rule.nodes.iter().zip(&rule.weights).zip(&settled);
            1.0 + nodes.map(|((to, weight), l)| weight * l * onward(from, *to)).sum::<f64>()
        };
        match self.limits {
            EwmaLimits::Asymptotic => expected(0.0),
            EwmaLimits::Exact => self.arl_while_settling(nodes, &onward, &expected),
        }
    }

    /// ARL = Σ P(no alarm by t): the average's density is carried through the samples until the limits have settled.
    fn arl_while_settling(&self, nodes: usize, onward: &dyn Fn(f64, f64) -> f64, expected: &dyn Fn(f64) -> f64) -> f64 {
        let shrink = (1.0 - self.lambda).powi(2);
        let unit = Rule::new(nodes, -1.0, 1.0);
        // At first all of it stands at zero.
        let mut mass = vec![(0.0, 1.0)];
        let (mut arl, mut rest) = (0.0, 1.0);
        loop {
            arl += mass.iter().map(|(_, mass)| mass).sum::<f64>();
            rest *= shrink;
            let limit = self.limit(rest);
            let moved = |(node, weight): (&f64, &f64)| {
                let to = limit * node;
                (to, limit * weight * mass.iter().map(|(from, mass)| mass * onward(*from, to)).sum::<f64>())
            };
            mass = unit.nodes.iter().zip(&unit.weights).map(moved).collect();
            if rest < SETTLED {
                return arl + mass.iter().map(|(from, mass)| mass * expected(*from)).sum::<f64>();
            }
        }
    }

    fn limit(&self, rest: f64) -> f64 {
        self.width * (self.lambda / (2.0 - self.lambda) * (1.0 - rest)).sqrt()
    }
}
