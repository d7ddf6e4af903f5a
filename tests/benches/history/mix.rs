//! What is written: samples as a plant makes them, from nothing but series and second, so that every store gets the same.

use std::{ops::Range, time::Duration};

use uatwin::{
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

pub(crate) const SECOND: i64 = 10_000_000;
pub(crate) const START: i64 = 133_000_000_000_000_000;
/// Samples that are appended at once.
pub(crate) const BATCH: usize = 8192;
/// A slow series has one sample in so many seconds.
const SLOW: i64 = 60;

/// What the values are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mix {
    /// As `plant` says.
    Plant,
    /// The same, with server timestamps some milliseconds later.
    Server,
    /// Values that change once in about 100 samples, on a steady clock.
    Rare,
    /// Doubles with a full mantissa and jittering times.
    Noisy,
}

impl Mix {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Plant, Self::Server, Self::Rare, Self::Noisy]
            .into_iter()
            .find(|mix| format!("{mix:?}").eq_ignore_ascii_case(name))
    }

    fn sample(self, series: u32, second: i64) -> Sample {
        let plant = plant(series, second);
        let noise = noise(u64::from(series) << 33 ^ second.cast_unsigned());
        match self {
            Self::Plant => plant,
            Self::Server => {
                let late = Duration::from_micros(2000 + noise % 3000);
                Sample { server_timestamp: plant.source_timestamp + late, ..plant }
            }
            Self::Rare => {
                let at = Timestamp::from_ticks(START + second * SECOND);
                let level = (second / 97 + i64::from(series)) % 5;
                let value =
                    if series.is_multiple_of(2) { Value::Boolean(level > 2) } else { Value::Int32(level as i32) };
                Sample { source_timestamp: at, server_timestamp: at, status: plant.status, value }
            }
            Self::Noisy => Sample { value: Value::Double(noise as f64 * 1e-19), ..self::plant(series & !1, second) },
        }
    }
}

/// Five kinds in equal parts: a temperature in steps of 0.01, a 15-bit ADC, a counter, a Boolean that changes rarely,
/// a Double with a full mantissa. Half of the series jitter by up to 0.5 ms on a grid of 1 µs. 0.1 % bad runs.
fn plant(series: u32, second: i64) -> Sample {
    let noise = noise(u64::from(series) << 32 | second.cast_unsigned());
    let jitter = if series.is_multiple_of(2) { (noise >> 40) as i64 % 1000 * 10 - 5000 } else { 0 };
    let at = Timestamp::from_ticks(START + second * SECOND + jitter);
    let wave = (second as f64 * 0.01 + f64::from(series)).sin();
    let value = match series % 5 {
        0 => Value::Double(((60.0 + 20.0 * wave) * 100.0).round() / 100.0 + (noise % 3) as f64 / 100.0),
        1 => Value::UInt16((16_000.0 + 9_000.0 * wave) as u16 + (noise % 16) as u16),
        2 => Value::UInt32((second * 7 + i64::from(series)) as u32),
        3 => Value::Boolean((second / 97 + i64::from(series)) % 2 == 0),
        _ => Value::Double(wave + noise as f64 * 1e-22),
    };
    let status = if (second / 20 + i64::from(series)) % 1000 == 0 {
        StatusCode::UncertainLastUsableValue
    } else {
        StatusCode::Good
    };
    Sample { source_timestamp: at, server_timestamp: at, status, value }
}

pub(crate) fn noise(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// So many series for so long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) series: u32,
    /// The first series, which have a sample each second. The others have one a minute.
    pub(crate) fast: u32,
    pub(crate) seconds: i64,
    pub(crate) mix: Mix,
}

impl Load {
    pub(crate) fn even(series: u32, seconds: i64, mix: Mix) -> Self {
        Self { series, fast: series, seconds, mix }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.series).map(|series| format!("Device{series}.Value")).collect()
    }

    /// Samples.
    pub(crate) fn count(&self) -> f64 {
        (0..self.series).map(|series| self.count_of(series) as f64).sum()
    }

    pub(crate) fn count_of(&self, series: u32) -> usize {
        let seconds = usize::try_from(self.seconds).expect("a load has a length");
        if series < self.fast { seconds } else { seconds.div_ceil(SLOW as usize) }
    }

    /// All that comes in `seconds`, in the order of time.
    pub(crate) fn samples(&self, seconds: Range<i64>) -> Vec<(SeriesId, Sample)> {
        let is_due = |series: u32, second: i64| series < self.fast || second % SLOW == 0;
        seconds
            .flat_map(|second| (0..self.series).map(move |series| (series, second)))
            .filter(|&(series, second)| is_due(series, second))
            .map(|(series, second)| (SeriesId(series), self.mix.sample(series, second)))
            .collect()
    }

    /// Parts of the time that make about one batch each; of many series one second makes several.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Range<i64>> + use<> {
        let (at_once, end) = ((BATCH as i64 / i64::from(self.series)).max(1), self.seconds);
        (0..end).step_by(at_once as usize).map(move |start| start..(start + at_once).min(end))
    }
}
