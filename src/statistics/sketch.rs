//! Percentiles of more values than are kept. A closed pane keeps [`POINTS`] of its values, the one in progress a [`Buffer`]
//! of at most [`BUFFER`]; a reading puts them together by weight.
//!
//! Error of the rank. A pane's points are every ninth of its sorted values, counted from an offset that has nothing to do with
//! them: what they say of the share below a value is off by at most 1/9 and by 1/18 in the mean square, without bias. The
//! buffer (Karnin, Lang and Liberty 2016, four levels over a sampler) adds at most 1/22 in the mean square, and nothing to a pane of
//! up to 80 values. Panes err independently, so a window of 60 has a standard error of at most √(1/18² + 1/22²)/√60 = 0.93 % of
//! the rank, whatever the distribution; as offsets follow the golden ratio, what stays as it is errs by less. Values are kept to
//! 1.6e-5 of their distance from the pane's first.

use super::pane::Pane;

/// Values that a closed pane keeps.
pub(super) const POINTS: usize = 9;
/// Values of the pane in progress.
const BUFFER: usize = 80;
/// Weights of the buffer's values: w, 2w, 4w, 8w.
const LEVELS: usize = 4;

/// A value and how many it stands for.
pub(super) type Weighted = (f64, f64);

/// A closed pane's values less its first, ascending: the upper three bytes of a single each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Points([u8; 3 * POINTS]);

impl Points {
    /// By systematic sampling of what stands for a pane; `offset` in [0, 1).
    fn choose(values: &mut [(f32, f64)], offset: f64) -> Self {
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let all: f64 = values.iter().map(|(_, weight)| weight).sum();
        let mut bytes = [0; 3 * POINTS];
        let (mut at, mut below) = (0, 0.0);
        for (i, kept) in bytes.chunks_exact_mut(3).enumerate() {
            let rank = (i as f64 + offset) / POINTS as f64 * all;
            while at + 1 < values.len() && below + values[at].1 <= rank {
                below += values[at].1;
                at += 1;
            }
            kept.copy_from_slice(&shorten(values.get(at).map_or(0.0, |(value, _)| *value)));
        }
        Self(bytes)
    }

    fn values(&self) -> impl Iterator<Item = f32> {
        self.0.as_chunks::<3>().0.iter().map(|[a, b, c]| f32::from_be_bytes([*a, *b, *c, 0]))
    }

    /// Of two neighbouring panes that become one; `first` is that of the earlier.
    pub(super) fn merged(earlier: (&Pane, &Self), later: (&Pane, &Self), offset: f64) -> Self {
        let first = earlier.0.first;
        let mut values: Vec<(f32, f64)> = [earlier, later]
            .iter()
            .flat_map(|(pane, points)| {
                points.values().map(move |d| (single(f64::from(d) + (pane.first - first)), f64::from(pane.count)))
            })
            .collect();
        Self::choose(&mut values, offset)
    }

    /// What they stand for in a window.
    pub(super) fn weigh<'a>(&'a self, pane: &'a Pane) -> impl Iterator<Item = Weighted> + 'a {
        let weight = f64::from(pane.count) / POINTS as f64;
        self.values().map(move |d| (pane.first + f64::from(d), weight))
    }
}

/// To the nearest single; what is beyond its range is its largest.
#[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
const fn single(x: f64) -> f32 {
    (x as f32).clamp(f32::MIN, f32::MAX)
}

/// To the nearest with 16 binary digits.
const fn shorten(x: f32) -> [u8; 3] {
    let [a, b, c, _] = x.to_bits().saturating_add(0x80).to_be_bytes();
    let [exponent_a, exponent_b, ..] = f32::INFINITY.to_be_bytes();
    // Rounded up to infinity: down again.
    if a & 0x7f == exponent_a && b & 0x80 == exponent_b {
        [x.to_be_bytes()[0], x.to_be_bytes()[1], x.to_be_bytes()[2]]
    } else {
        [a, b, c]
    }
}

/// The values of the pane in progress, less its first.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    /// The heaviest level first.
    values: [f32; BUFFER],
    /// Values of each level.
    lens: [u8; LEVELS],
    /// The lightest level's weight is 2 to this.
    shift: u8,
    /// Of the samples of which the next value is one: how many came, which it will be, and it.
    came: u32,
    chosen: u32,
    next: f32,
    random: u32,
}

impl Buffer {
    pub(super) const fn new(seed: u32) -> Self {
        Self { values: [0.0; BUFFER], lens: [0; LEVELS], shift: 0, came: 0, chosen: 0, next: 0.0, random: seed | 1 }
    }

    /// Empty, for the next pane.
    pub(super) const fn clear(&mut self) {
        (self.lens, self.shift, self.came, self.chosen) = ([0; LEVELS], 0, 0, 0);
    }

    /// Marsaglia's xorshift.
    const fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }

    fn len(&self) -> usize {
        self.lens.iter().map(|len| usize::from(*len)).sum()
    }

    /// Takes in y − first.
    pub(super) fn add(&mut self, difference: f64) {
        if self.came == self.chosen {
            self.next = single(difference);
        }
        self.came += 1;
        if self.came < 1 << self.shift {
            return;
        }
        self.came = 0;
        let len = self.len();
        self.values[len] = self.next;
        self.lens[0] += 1;
        while self.len() == BUFFER {
            self.compact();
        }
        // Which of the next group: the upper bits are the better ones.
        self.chosen = if self.shift == 0 { 0 } else { self.random() >> (32 - self.shift) };
    }

    /// Halves the lightest level that is worth it; where only the heaviest is, the sampler takes the lightest's place.
    fn compact(&mut self) {
        let full = (0..LEVELS - 1).find(|level| usize::from(self.lens[*level]) >= BUFFER / LEVELS);
        self.halve(full.unwrap_or(0), full.is_none());
        if full.is_none() && self.shift < 31 {
            self.lens.rotate_left(1);
            self.lens[LEVELS - 1] = 0;
            self.shift += 1;
        }
    }

    /// Every other value of a level goes one up, the odd one stays or (`all`) goes up or out by chance.
    fn halve(&mut self, level: usize, all: bool) {
        let start: usize = self.lens[level + 1..].iter().map(|len| usize::from(*len)).sum();
        let (old, whole) = (usize::from(self.lens[level]), self.len());
        if old == 0 {
            return;
        }
        let coin = (self.random() >> 31) as usize;
        let pairs = old / 2;
        let segment = &mut self.values[start..start + old];
        segment.sort_unstable_by(f32::total_cmp);
        for i in 0..pairs {
            segment[i] = segment[2 * i + coin];
        }
        let odd = old % 2;
        segment[pairs] = segment[old - 1];
        // With `all`, the odd one has been given to the level above (twice its weight) or to nobody.
        let (up, stay) = if all { (pairs + odd * coin, 0) } else { (pairs, odd) };
        self.values.copy_within(start + old..whole, start + up + stay);
        self.lens[level + 1] += u8::try_from(up).unwrap_or(0);
        self.lens[level] = u8::try_from(stay).unwrap_or(0);
    }

    /// Values and weights; of the samples after the last full group nothing.
    fn weighted(&self) -> Vec<(f32, f64)> {
        let mut weighted = Vec::with_capacity(BUFFER + POINTS);
        let mut at = 0;
        for level in (0..LEVELS).rev() {
            let len = usize::from(self.lens[level]);
            let weight = f64::from(1u32 << level) * 2f64.powi(i32::from(self.shift));
            weighted.extend(self.values[at..at + len].iter().map(|value| (*value, weight)));
            at += len;
        }
        weighted
    }

    /// What is kept of the pane when it closes.
    pub(super) fn close(&self, offset: f64) -> Points {
        Points::choose(&mut self.weighted(), offset)
    }

    /// What it stands for in a window.
    pub(super) fn weigh(&self, pane: &Pane) -> Vec<Weighted> {
        let weighted = self.weighted();
        let scale = f64::from(pane.count) / weighted.iter().map(|(_, weight)| weight).sum::<f64>();
        weighted.into_iter().map(|(d, weight)| (pane.first + f64::from(d), weight * scale)).collect()
    }
}

/// The values that stand for `shares` (ascending) of all.
pub(super) fn percentiles<const N: usize>(mut values: Vec<Weighted>, shares: [f64; N]) -> [f64; N] {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let all: f64 = values.iter().map(|(_, weight)| weight).sum();
    let (mut at, mut below) = (0, 0.0);
    shares.map(|share| {
        while at + 1 < values.len() && below + values[at].1 <= share * all {
            below += values[at].1;
            at += 1;
        }
        values.get(at).map_or(f64::NAN, |(value, _)| *value)
    })
}

/// The same of all values: linear between order statistics (type 7 of Hyndman and Fan, as in NumPy and R).
pub(super) fn exact_percentiles<const N: usize>(mut values: Vec<f64>, shares: [f64; N]) -> [f64; N] {
    values.sort_unstable_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return [f64::NAN; N] };
    shares.map(|share| {
        let place = share * last as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in the list")]
        let below = place as usize;
        let (low, high) = (values[below], values[(below + 1).min(last)]);
        low + (place - below as f64) * (high - low)
    })
}
