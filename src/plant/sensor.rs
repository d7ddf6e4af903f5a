//! How the plant's sensors see its true values: Gaussian noise, quantisation and, on the main sensor of each device,
//! spikes, bad-quality stretches and a reading that sticks. Pure: seeded, and time is counted in samples.

use crate::{
    sample::{Sample, StatusCode},
    time::Timestamp,
};

/// How often and how long the main sensors fail. Rates are per hour and sensor, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Single samples that are off by 20 to 60 standard deviations of the noise.
    pub spikes_per_h: f64,
    /// Stretches with BadSensorFailure and no value.
    pub bad_per_h: f64,
    /// How long such a stretch lasts.
    pub bad_s: f64,
    /// Stretches in which the reading stays the same, with status Good.
    pub stuck_per_h: f64,
    /// How long such a stretch lasts.
    pub stuck_s: f64,
}

impl Faults {
    /// Sensors that never fail (they keep their noise).
    pub const NONE: Self = Self { spikes_per_h: 0.0, bad_per_h: 0.0, bad_s: 0.0, stuck_per_h: 0.0, stuck_s: 0.0 };
}

/// Rare enough that a fit over one hour works: some 80 of 3,600 samples are touched.
impl Default for Faults {
    fn default() -> Self {
        Self { spikes_per_h: 3.0, bad_per_h: 2.0, bad_s: 5.0, stuck_per_h: 1.0, stuck_s: 20.0 }
    }
}

/// One sensor.
pub(super) struct Sensor {
    sigma: f64,
    quantum: f64,
    faults: Faults,
    random: Random,
    bad_left: u32,
    stuck_left: u32,
    last: f64,
}

impl Sensor {
    /// A sensor with `sigma` of noise, readings in multiples of `quantum` (0: continuous).
    pub(super) fn new(sigma: f64, quantum: f64, faults: Faults, random: Random) -> Self {
        Self { sigma, quantum, faults, random, bad_left: 0, stuck_left: 0, last: f64::NAN }
    }

    /// Reads `truth`, `period_s` after the reading before.
    pub(super) fn read(&mut self, at: Timestamp, period_s: f64, truth: f64) -> Sample {
        let samples = |seconds: f64| (seconds / period_s).ceil().clamp(1.0, 1e6) as u32;
        let per_sample = period_s / 3600.0;
        // Every draw is made every time, so that switching a fault off leaves the noise as it was.
        let noise = self.sigma * self.random.gaussian();
        let spike = self.random.chance(self.faults.spikes_per_h * per_sample);
        let spike_by = (20.0 + 40.0 * self.random.uniform()) * if self.random.chance(0.5) { 1.0 } else { -1.0 };
        let bad = self.random.chance(self.faults.bad_per_h * per_sample);
        let stuck = self.random.chance(self.faults.stuck_per_h * per_sample);

        if self.bad_left == 0 && bad {
            self.bad_left = samples(self.faults.bad_s);
        }
        if self.stuck_left == 0 && stuck && self.last.is_finite() {
            self.stuck_left = samples(self.faults.stuck_s);
        }
        if self.bad_left > 0 {
            self.bad_left -= 1;
            return Sample::bad(at, StatusCode::BadSensorFailure);
        }
        if self.stuck_left > 0 {
            self.stuck_left -= 1;
            return Sample::good(at, self.last);
        }
        let raw = truth + noise + if spike { spike_by * self.sigma } else { 0.0 };
        self.last = if self.quantum > 0.0 { (raw / self.quantum).round() * self.quantum } else { raw };
        Sample::good(at, self.last)
    }
}

/// A small generator of random numbers (xorshift64*): the same seed gives the same plant on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The `stream`-th generator of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        // splitmix64's finaliser: neighbouring seeds and streams come out unrelated, and never as zero.
        let mut z = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((z ^ (z >> 31)).max(1))
    }

    /// Uniform in (0, 1].
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Normal with mean 0 and variance 1 (Box and Muller).
    pub(super) fn gaussian(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() <= probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(faults: Faults, n: usize) -> Vec<Sample> {
        let mut sensor = Sensor::new(0.1, 0.01, faults, Random::new(7, 0));
        (0..n).map(|i| sensor.read(Timestamp::from_ticks(i as i64), 1.0, 50.0)).collect()
    }

    #[test]
    fn noise_has_the_stated_mean_and_spread() {
        let values: Vec<f64> = run(Faults::NONE, 20_000).iter().map(|s| s.usable().unwrap()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 19_999.0;
        // Standard errors: 0.1 / √20000 = 0.0007 of the mean, 0.1 / √40000 = 0.0005 of sigma; quantising adds 0.01²/12.
        assert!((mean - 50.0).abs() < 0.003, "{mean}");
        assert!((variance.sqrt() - 0.1).abs() < 0.002, "{variance}");
    }

    #[test]
    fn faults_come_at_their_rates_and_leave_the_noise_alone() {
        let hours = 100;
        let (clean, faulty) = (run(Faults::NONE, hours * 3600), run(Faults::default(), hours * 3600));
        let bad = faulty.iter().filter(|s| s.status == StatusCode::BadSensorFailure).count();
        // 200 stretches of 5 s; the square root of 200 is 14, so five of them are 7 %... of 1000: 350.
        assert!((650..1350).contains(&bad), "{bad}");
        assert!(faulty.iter().filter(|s| s.status.is_bad()).all(|s| s.value.is_null()));
        let spikes = faulty.iter().filter_map(Sample::usable).filter(|x| (x - 50.0).abs() > 1.5).count();
        assert!((200..400).contains(&spikes), "{spikes}");
        let same = clean.iter().zip(&faulty).filter(|(a, b)| a == b).count();
        assert!(same as f64 > 0.97 * clean.len() as f64, "{same}");
    }
}
