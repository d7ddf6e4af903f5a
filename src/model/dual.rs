//! Vector dual numbers: a value and its derivatives in `L` directions at once, so that one run of a tape gives exact
//! sensitivities. The same [`Number`] trait serves plain `f64`, so there is one meaning of every operation.

/// What a tape can compute with.
pub(crate) trait Number: Copy {
    /// How many `f64` it is: value and lanes.
    const WIDTH: usize;
    /// A number that depends on nothing.
    fn constant(value: f64) -> Self;
    /// A number with a derivative in one lane, if it has that lane.
    fn seeded(value: f64, lane: Option<usize>, slope: f64) -> Self;
    /// From a flat `[value, lane 0, …]`.
    fn read(flat: &[f64]) -> Self;
    /// To a flat `[value, lane 0, …]`.
    fn write(&self, flat: &mut [f64]);
    /// The value without derivatives.
    fn value(self) -> f64;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn pow(self, exponent: Self) -> Self;
    /// A function of one argument: `value` is f(x), `slope` gives f'(x); plain numbers never ask for it.
    fn chain(self, value: f64, slope: impl FnOnce() -> f64) -> Self;
    /// A function of two arguments with its two partial derivatives.
    fn chain2(self, other: Self, value: f64, slopes: impl FnOnce() -> (f64, f64)) -> Self;
}

impl Number for f64 {
    const WIDTH: usize = 1;
    #[inline]
    fn seeded(value: f64, _lane: Option<usize>, _slope: f64) -> Self {
        value
    }
    #[inline]
    fn read(flat: &[f64]) -> Self {
        flat[0]
    }
    #[inline]
    fn write(&self, flat: &mut [f64]) {
        flat[0] = *self;
    }
    #[inline]
    fn constant(value: f64) -> Self {
        value
    }
    #[inline]
    fn value(self) -> f64 {
        self
    }
    #[inline]
    fn add(self, other: Self) -> Self {
        self + other
    }
    #[inline]
    fn sub(self, other: Self) -> Self {
        self - other
    }
    #[inline]
    fn mul(self, other: Self) -> Self {
        self * other
    }
    #[inline]
    fn div(self, other: Self) -> Self {
        self / other
    }
    #[inline]
    fn pow(self, exponent: Self) -> Self {
        self.powf(exponent)
    }
    #[inline]
    fn chain(self, value: f64, _slope: impl FnOnce() -> f64) -> Self {
        value
    }
    #[inline]
    fn chain2(self, _other: Self, value: f64, _slopes: impl FnOnce() -> (f64, f64)) -> Self {
        value
    }
}

/// A value and its derivatives in `L` directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dual<const L: usize> {
    pub(crate) value: f64,
    pub(crate) lanes: [f64; L],
}

impl<const L: usize> Dual<L> {
    #[inline]
    fn is_constant(&self) -> bool {
        self.lanes.iter().all(|&lane| lane == 0.0)
    }
}

/// slope · lane, where an infinite slope (√ at 0) doesn't turn the zero of an unconcerned direction into NaN.
#[inline]
fn scale(slope: f64, lane: f64) -> f64 {
    if lane == 0.0 { 0.0 } else { slope * lane }
}

impl<const L: usize> Number for Dual<L> {
    const WIDTH: usize = 1 + L;
    #[inline]
    fn seeded(value: f64, lane: Option<usize>, slope: f64) -> Self {
        let mut lanes = [0.0; L];
        if let Some(lane) = lane.and_then(|lane| lanes.get_mut(lane)) {
            *lane = slope;
        }
        Self { value, lanes }
    }
    #[inline]
    fn read(flat: &[f64]) -> Self {
        let mut lanes = [0.0; L];
        lanes.copy_from_slice(&flat[1..=L]);
        Self { value: flat[0], lanes }
    }
    #[inline]
    fn write(&self, flat: &mut [f64]) {
        flat[0] = self.value;
        flat[1..=L].copy_from_slice(&self.lanes);
    }
    #[inline]
    fn constant(value: f64) -> Self {
        Self { value, lanes: [0.0; L] }
    }
    #[inline]
    fn value(self) -> f64 {
        self.value
    }
    #[inline]
    fn add(self, other: Self) -> Self {
        let mut lanes = self.lanes;
        for (lane, b) in lanes.iter_mut().zip(other.lanes) {
            *lane += b;
        }
        Self { value: self.value + other.value, lanes }
    }
    #[inline]
    fn sub(self, other: Self) -> Self {
        let mut lanes = self.lanes;
        for (lane, b) in lanes.iter_mut().zip(other.lanes) {
            *lane -= b;
        }
        Self { value: self.value - other.value, lanes }
    }
    #[inline]
    fn mul(self, other: Self) -> Self {
        let mut lanes = self.lanes;
        for (lane, b) in lanes.iter_mut().zip(other.lanes) {
            *lane = *lane * other.value + self.value * b;
        }
        Self { value: self.value * other.value, lanes }
    }
    #[inline]
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let inverse = 1.0 / other.value;
        let mut lanes = self.lanes;
        for (lane, b) in lanes.iter_mut().zip(other.lanes) {
            *lane = (*lane - value * b) * inverse;
        }
        Self { value, lanes }
    }
    fn pow(self, exponent: Self) -> Self {
        let value = self.value.powf(exponent.value);
        if exponent.is_constant() {
            return self.chain(value, || exponent.value * self.value.powf(exponent.value - 1.0));
        }
        self.chain2(exponent, value, || {
            let base_slope = exponent.value * self.value.powf(exponent.value - 1.0);
            // 0^b = 0 for every b > 0: there the logarithm's pole has no weight.
            let exponent_slope = if value == 0.0 { 0.0 } else { value * self.value.ln() };
            (base_slope, exponent_slope)
        })
    }
    #[inline]
    fn chain(self, value: f64, slope: impl FnOnce() -> f64) -> Self {
        let slope = slope();
        let mut lanes = self.lanes;
        if slope.is_finite() {
            lanes.iter_mut().for_each(|lane| *lane *= slope);
        } else {
            lanes.iter_mut().for_each(|lane| *lane = scale(slope, *lane));
        }
        Self { value, lanes }
    }
    #[inline]
    fn chain2(self, other: Self, value: f64, slopes: impl FnOnce() -> (f64, f64)) -> Self {
        let (a, b) = slopes();
        let mut lanes = self.lanes;
        for (lane, other_lane) in lanes.iter_mut().zip(other.lanes) {
            *lane = scale(a, *lane) + scale(b, other_lane);
        }
        Self { value, lanes }
    }
}
