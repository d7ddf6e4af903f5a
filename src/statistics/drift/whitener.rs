//! Makes independent standard normal numbers of a stationary sequence whose mean, spread and correlation nobody told: a
//! self-starting scheme (Hawkins, "Self-starting CUSUM charts for location and scale", The Statistician 36, 1987) on the recursive
//! residuals (Brown, Durbin and Evans 1975) of an autoregression. Each number is compared with what all before it foretold;
//! its own error and that of the estimates are in its variance, so that a short reference makes it no larger. What is younger
//! than [`HELD`] numbers is not learned yet: else a change soon after the start would become what is expected before it is found.

use std::collections::VecDeque;

/// Order of the autoregression. Means over blocks of noise that is correlated over less than a block are a moving average of
/// order one; of a slow process under measurement noise, an ARMA(1,1). Four coefficients leave little of either.
const ORDER: usize = 4;
const SIZE: usize = ORDER + 1;
/// Where a number is cut off, in standard deviations: one outlier is no shift, in the test as in the estimates.
pub(super) const BOUND: f64 = 3.0;
/// E min(z², 3²) of a normal z: what cutting off takes from the variance.
const CUT_VARIANCE: f64 = 0.995_004;
/// Numbers that are held back from learning: half an hour of a minute each, in which a change that matters is found.
const HELD: usize = 30;
/// Smallest standard deviation, in units of the numbers' own spread, that they are cut off by.
const SIGMA_MIN: f64 = 0.1;
/// Prior variance of a coefficient: white noise is taken to be likely until the numbers say otherwise.
const PRIOR: f64 = 0.1;
/// Prior variance of the mean, around the first numbers' median: it says nothing.
const PRIOR_MEAN: f64 = 100.0;

/// See the file's head.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Whitener {
    /// The first numbers, until there are `learn` of them.
    first: Vec<f64>,
    learn: usize,
    /// Median and robust spread of the first ones: a unit for what follows.
    unit: Option<(f64, f64)>,
    /// The numbers before, newest first, in that unit, cut off; fewer than [`ORDER`] after a gap.
    lags: Vec<f64>,
    /// Numbers that are not learned yet, oldest first.
    held: VecDeque<Held>,
    /// Smallest and largest number learned: no forecast lies beyond. An autoregression of what was not stationary may be
    /// unstable, and would leave for infinity.
    range: (f64, f64),
    /// Mean and coefficients, least squares so far.
    beta: [f64; SIZE],
    /// Their covariance over the variance of the noise.
    covariance: [[f64; SIZE]; SIZE],
    /// Squares of the recursive residuals: their sum and number.
    squares: f64,
    count: f64,
    rest: Rest,
}

/// A number that is not learned yet.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Held {
    /// What its forecast is made of: 1, and the numbers before it.
    z: [f64; SIZE],
    /// Itself, cut off.
    x: f64,
    /// Whitened, by what was known when it came.
    u: Option<f64>,
}

/// What correlation the autoregression has left over long stretches: the variance of sums over [`STRETCH`] whitened numbers against
/// that of independent ones (Cochrane's variance ratio). Where it is above one, it goes into the numbers' variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Rest {
    sum: f64,
    summed: u32,
    squares: f64,
    stretches: f64,
}

/// Numbers in a stretch.
const STRETCH: u32 = 64;
/// Stretches' worth of belief in independence.
const BELIEF: f64 = 4.0;

impl Rest {
    fn add(&mut self, u: f64) {
        self.sum += u;
        self.summed += 1;
        if self.summed == STRETCH {
            self.squares += self.sum * self.sum / f64::from(STRETCH);
            self.stretches += 1.0;
            (self.sum, self.summed) = (0.0, 0);
        }
    }

    fn factor(&self) -> f64 {
        ((BELIEF + self.squares) / (BELIEF + self.stretches)).max(1.0)
    }
}

impl Whitener {
    pub(super) fn new(learn: usize) -> Self {
        let mut covariance = [[0.0; SIZE]; SIZE];
        for (i, row) in covariance.iter_mut().enumerate() {
            row[i] = if i == 0 { PRIOR_MEAN } else { PRIOR };
        }
        Self {
            first: Vec::new(),
            learn,
            unit: None,
            lags: Vec::with_capacity(ORDER),
            held: VecDeque::new(),
            range: (0.0, 0.0),
            beta: [0.0; SIZE],
            covariance,
            squares: 0.0,
            count: 0.0,
            rest: Rest::default(),
        }
    }

    /// Median of the first numbers; `None` while they are being gathered.
    pub(super) fn centre(&self) -> Option<f64> {
        self.unit.map(|(centre, _)| centre)
    }

    /// Numbers are missing: what comes next has no neighbour.
    pub(super) fn interrupt(&mut self) {
        if self.unit.is_some() {
            self.lags.clear();
        }
    }

    /// Takes in a number and, if `learning`, learns of an older one; gives it whitened, from −3 to 3, once enough is known.
    pub(super) fn add(&mut self, x: f64, learning: bool) -> Option<f64> {
        let Some((centre, scale)) = self.unit else {
            self.gather(x);
            return None;
        };
        let u = self.step((x - centre) / scale, learning);
        if learning {
            self.learn_but(HELD);
        }
        u.map(|u| u / self.rest.factor().sqrt())
    }

    /// The first numbers give the unit and are then learned in their order.
    fn gather(&mut self, x: f64) {
        self.first.push(x);
        if self.first.len() < self.learn {
            return;
        }
        let Some(unit) = unit(&self.first) else {
            // All are equal: a residual that does not move says nothing yet.
            self.first.remove(0);
            return;
        };
        self.unit = Some(unit);
        for x in std::mem::take(&mut self.first) {
            self.step((x - unit.0) / unit.1, true);
            self.learn_but(0);
        }
    }

    /// What the numbers before one say of it.
    fn foretell(&self, z: &[f64; SIZE]) -> Forecast {
        let spread = self.covariance.map(|row| dot(&row, z));
        let leverage = (1.0 + dot(&spread, z)).max(1.0); // as it is but for rounding
        let sigma = if self.count > 1.0 { (self.squares / self.count).sqrt() } else { 1.0 };
        Forecast { expected: dot(&self.beta, z).clamp(self.range.0, self.range.1), leverage, spread, sigma }
    }

    fn step(&mut self, x: f64, learning: bool) -> Option<f64> {
        if self.lags.len() < ORDER {
            self.lags.insert(0, x.clamp(-2.0 * BOUND, 2.0 * BOUND));
            return None;
        }
        let mut z = [1.0; SIZE];
        z[1..].copy_from_slice(&self.lags);
        let forecast = self.foretell(&z);
        let residual = forecast.residual(x);
        let x = forecast.expected + forecast.cut(residual) * forecast.leverage.sqrt();
        let enough = self.count >= SIZE as f64;
        let u = enough.then(|| normal_of_t(residual / forecast.sigma, self.count).clamp(-BOUND, BOUND));
        let u = u.filter(|u| u.is_finite());
        if learning {
            self.held.push_back(Held { z, x, u });
        }
        self.lags.pop();
        self.lags.insert(0, x);
        u
    }

    /// Learns of all numbers but the `held` newest: recursive least squares.
    fn learn_but(&mut self, held: usize) {
        while self.held.len() > held
            && let Some(Held { z, x, u }) = self.held.pop_front()
        {
            let forecast = self.foretell(&z);
            self.learn(&forecast, forecast.cut(forecast.residual(x)));
            u.into_iter().for_each(|u| self.rest.add(u));
            self.range = (self.range.0.min(x), self.range.1.max(x));
        }
    }

    fn learn(&mut self, Forecast { spread, leverage, .. }: &Forecast, residual: f64) {
        for (i, row) in self.covariance.iter_mut().enumerate() {
            self.beta[i] += spread[i] * residual / leverage.sqrt();
            row.iter_mut().zip(spread).for_each(|(element, other)| *element -= spread[i] * other / leverage);
        }
        self.squares += residual * residual / CUT_VARIANCE;
        self.count += 1.0;
    }
}

/// What the numbers before one say of it.
struct Forecast {
    expected: f64,
    /// Variance of the forecast's error over that of the noise.
    leverage: f64,
    /// Covariance times the regressors.
    spread: [f64; SIZE],
    /// Standard deviation of the noise.
    sigma: f64,
}

impl Forecast {
    fn residual(&self, x: f64) -> f64 {
        (x - self.expected) / self.leverage.sqrt()
    }

    fn cut(&self, residual: f64) -> f64 {
        // Numbers that come in steps may begin with equal ones: of these alone nothing else would ever be learned.
        let bound = BOUND * self.sigma.max(SIGMA_MIN);
        residual.clamp(-bound, bound)
    }
}

fn dot(a: &[f64; SIZE], b: &[f64; SIZE]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Median, and 1.4826 times the median distance from it or, where half of them are equal, the standard deviation.
fn unit(values: &[f64]) -> Option<(f64, f64)> {
    let middle = |mut values: Vec<f64>| {
        let at = values.len() / 2;
        *values.select_nth_unstable_by(at, f64::total_cmp).1
    };
    let centre = middle(values.to_vec());
    let distances: Vec<f64> = values.iter().map(|x| (x - centre).abs()).collect();
    let deviation = (distances.iter().map(|d| d * d).sum::<f64>() / values.len() as f64).sqrt();
    let robust = 1.482_602_218_505_602 * middle(distances);
    let scale = if robust > 0.0 { robust } else { deviation };
    (scale > 1e-13 * centre.abs() && scale.is_finite()).then_some((centre, scale))
}

/// The standard normal number that is as improbable as `t` of Student's distribution: Wallace (1959), within 0.02/√ν of
/// exact.
fn normal_of_t(t: f64, freedom: f64) -> f64 {
    t.signum() * (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * (freedom * (t * t / freedom).ln_1p()).sqrt()
}
