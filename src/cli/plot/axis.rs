//! Ticks that people like to read, and where values stand in a picture. Pure.

/// Values along one side of a panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where they stand in the picture.
    pub(super) from: f64,
    pub(super) to: f64,
}

/// A tick's value and how it is written.
pub(super) type Tick = (f64, String);

impl Axis {
    /// One that shows all the values, with some room beyond them; NaN is none.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let range = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        let (low, high) = values.into_iter().filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), range);
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // A constant gets room by its size, else rounding would fill the panel.
        let least = 1e-9 * low.abs().max(high.abs());
        let room = if high - low > least { 0.06 * (high - low) } else { 0.1 * high.abs().max(1e-300) };
        Self { low: low - room, high: high + room, from, to }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// About `count` ticks at 1, 2 or 5 times a power of ten.
    pub(super) fn ticks(&self, count: f64) -> Vec<Tick> {
        let step = step((self.high - self.low) / count);
        let (first, last) = ((self.low / step).ceil(), (self.high / step).floor());
        if !(first.is_finite() && last.is_finite() && last - first < 100.0) {
            return Vec::new();
        }
        let mut ticks = Vec::new();
        let mut index = first;
        while index <= last {
            ticks.push((index * step, label(index * step, step, self.low.abs().max(self.high.abs()))));
            index += 1.0;
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten, the one that is nearest by ratio.
fn step(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.log10().floor());
    let times = match wanted / power {
        ratio if ratio < 2_f64.sqrt() => 1.0,
        ratio if ratio < 10_f64.sqrt() => 2.0,
        ratio if ratio < 50_f64.sqrt() => 5.0,
        _ => 10.0,
    };
    times * power
}

/// As few digits as tell neighbours apart; of very large and very small ones by the power of ten of the largest.
fn label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step * 1e-6 {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "digits of a label, bounded")]
    let decimals = |step: f64| (-(step * 1.000_001).log10().floor()).clamp(0.0, 17.0) as usize;
    if largest >= 1e6 || step < 1e-4 {
        let power = largest.log10().floor();
        let scale = 10_f64.powf(power);
        return format!("{:.*}e{power}", decimals(step / scale), value / scale).replace('-', "−");
    }
    format!("{value:.*}", decimals(step)).replace('-', "−")
}

/// A stretch of seconds in a unit that keeps its numbers small.
pub(super) struct TimeUnit {
    pub(super) seconds: f64,
    pub(super) name: &'static str,
}

impl TimeUnit {
    pub(super) fn of(span_s: f64) -> Self {
        let units = [(86_400.0, "d", 4.0), (3_600.0, "h", 4.0), (60.0, "min", 8.0), (1.0, "s", 2.0), (1e-3, "ms", 2.0)];
        let fits = |(seconds, _, count): &(f64, &str, f64)| span_s >= seconds * count;
        let (seconds, name, _) = units.into_iter().find(fits).unwrap_or((1e-6, "µs", 0.0));
        Self { seconds, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_told_apart() {
        for (low, high, expected) in [
            (0.0, 10.0, vec!["0", "2", "4", "6", "8", "10"]),
            (-0.31, 0.28, vec!["−0.3", "−0.2", "−0.1", "0", "0.1", "0.2"]),
            (19.93, 20.07, vec!["19.94", "19.96", "19.98", "20.00", "20.02", "20.04", "20.06"]),
            (0.0, 4.2e7, vec!["0", "0.5e7", "1.0e7", "1.5e7", "2.0e7", "2.5e7", "3.0e7", "3.5e7", "4.0e7"]),
            (0.0, 2.1e-6, vec!["0", "0.5e−6", "1.0e−6", "1.5e−6", "2.0e−6"]),
        ] {
            let axis = Axis { low, high, from: 0.0, to: 1.0 };
            let labels: Vec<String> = axis.ticks(6.0).into_iter().map(|(_, label)| label).collect();
            assert_eq!(labels, expected);
        }
    }

    #[test]
    fn an_axis_holds_its_values_whatever_they_are() {
        for values in [vec![], vec![f64::NAN], vec![3.0], vec![0.0, 0.0], vec![-1e300, 1e300], vec![1.0, 1.0 + 1e-15]] {
            let axis = Axis::around(values.iter().copied(), 100.0, 0.0);
            assert!(axis.low < axis.high, "{values:?}: {axis:?}");
            assert!(
                values.iter().filter(|v| v.is_finite()).all(|v| (0.0..=100.0).contains(&axis.place(*v))),
                "{axis:?}"
            );
            assert!(axis.ticks(6.0).len() < 100);
        }
    }
}
