//! Makes independent standard normal numbers of a stationary sequence whose mean, spread and correlation nobody told: a
//! self-starting scheme (Hawkins, "Self-starting CUSUM charts for location and scale", The Statistician 36, 1987) on the recursive
//! residuals (Brown, Durbin and Evans 1975) of an autoregression. Each number is compared with what all before it foretold;
//! its own error and that of the estimates are in its variance, so that a short reference makes it no larger.

/// Order of the autoregression. Means over blocks of noise that is correlated over less than a block are a moving average of
/// order one; of a slow process under measurement noise, an ARMA(1,1). Four coefficients leave little of either.
const ORDER: usize = 4;
const SIZE: usize = ORDER + 1;
/// Where a number is cut off, in standard deviations: one outlier is no shift, in the test as in the estimates.
pub(super) const BOUND: f64 = 3.0;
/// E min(z², 3²) of a normal z: what cutting off takes from the variance.
const CUT_VARIANCE: f64 = 0.995_004;
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
    /// The numbers before, newest first, in that unit; fewer than [`ORDER`] after a gap.
    lags: Vec<f64>,
    /// Mean and coefficients, least squares so far.
    beta: [f64; SIZE],
    /// Their covariance over the variance of the noise.
    covariance: [[f64; SIZE]; SIZE],
    /// Squares of the recursive residuals: their sum and number.
    squares: f64,
    count: f64,
    rest: Rest,
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

    /// Takes in a number and learns of it if `learning`; gives it whitened, from −3 to 3, once enough is known.
    pub(super) fn add(&mut self, x: f64, learning: bool) -> Option<f64> {
        let Some((centre, scale)) = self.unit else {
            self.gather(x);
            return None;
        };
        self.step((x - centre) / scale, learning)
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
        }
    }

    fn step(&mut self, x: f64, learning: bool) -> Option<f64> {
        if self.lags.len() < ORDER {
            self.lags.insert(0, x.clamp(-2.0 * BOUND, 2.0 * BOUND));
            return None;
        }
        let mut z = [1.0; SIZE];
        z[1..].copy_from_slice(&self.lags);
        let spread = self.covariance.map(|row| dot(&row, &z));
        let leverage = 1.0 + dot(&spread, &z);
        let expected = dot(&self.beta, &z);
        let residual = (x - expected) / leverage.sqrt();
        let sigma = if self.count > 1.0 { (self.squares / self.count).sqrt() } else { 1.0 };
        let bounded = residual.clamp(-BOUND * sigma, BOUND * sigma);
        let whitened = (self.count > 1.0).then(|| normal_of_t(residual / sigma, self.count).clamp(-BOUND, BOUND));
        self.lags.pop();
        self.lags.insert(0, expected + bounded * leverage.sqrt());
        if learning {
            self.learn(&spread, leverage, bounded);
        }
        let u = whitened.filter(|u| u.is_finite() && self.count >= SIZE as f64)?;
        if learning {
            self.rest.add(u);
        }
        Some(u / self.rest.factor().sqrt())
    }

    /// Recursive least squares.
    fn learn(&mut self, spread: &[f64; SIZE], leverage: f64, residual: f64) {
        for (i, row) in self.covariance.iter_mut().enumerate() {
            self.beta[i] += spread[i] * residual / leverage.sqrt();
            row.iter_mut().zip(spread).for_each(|(element, other)| *element -= spread[i] * other / leverage);
        }
        self.squares += residual * residual / CUT_VARIANCE;
        self.count += 1.0;
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
