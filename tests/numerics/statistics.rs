//! Rolling statistics against NumPy and SciPy (`tests/golden/statistics`), against all of a window's samples worked out from
//! scratch, and percentiles against their stated error.

use std::{collections::HashMap, fs};

use proptest::prelude::*;
use uatwin::{
    statistics::{Rolling, SAMPLES_MAX, Settings, Summary, Window},
    time::Timestamp,
};

/// Of moments: relative, or to the scale that the figure has.
const TOLERANCE: f64 = 1e-12;

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(133_000_000_000_000_000 + ticks)
}

fn rolling(window: Window, stepped: bool) -> Rolling {
    Rolling::new(Settings { window, stepped, numeric: true, states: 0 })
}

/// One case of the reference file.
struct Case {
    name: String,
    stepped: bool,
    samples: Vec<(i64, Option<f64>)>,
    expected: HashMap<String, f64>,
}

fn cases() -> Vec<Case> {
    let text = fs::read_to_string("tests/golden/statistics/reference.txt").unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["case", name, kind] => cases.push(Case {
                name: (*name).into(),
                stepped: *kind == "stepped",
                samples: Vec::new(),
                expected: HashMap::new(),
            }),
            ["=", figure, value] => {
                cases.last_mut().unwrap().expected.insert((*figure).into(), value.parse().unwrap());
            }
            [ticks, value] => {
                let value = (*value != "bad").then(|| value.parse().unwrap());
                cases.last_mut().unwrap().samples.push((ticks.parse().unwrap(), value));
            }
            _ => panic!("{line}"),
        }
    }
    cases
}

/// A figure, and the scale that its error is judged by beside its own size.
fn figure(summary: &Summary, name: &str) -> (f64, f64) {
    let sigma = summary.variance_population.sqrt();
    let seconds = summary.end.seconds_since(summary.start);
    match name {
        "count" => (summary.count as f64, 0.0),
        "mean" => (summary.mean, sigma),
        "variance_population" => (summary.variance_population, 0.0),
        "variance_sample" => (summary.variance_sample, 0.0),
        "minimum" => (summary.minimum, 0.0),
        "maximum" => (summary.maximum, 0.0),
        "total" => (summary.total, sigma * seconds),
        "moving_range" => (summary.moving_range, 0.0),
        "skewness" => (summary.skewness, 1.0),
        "kurtosis" => (summary.kurtosis, 3.0),
        "percentile05" => (summary.percentiles[0], sigma),
        "percentile50" => (summary.percentiles[1], sigma),
        "percentile95" => (summary.percentiles[2], sigma),
        // A slope's own error is that of its terms, σ over the time that they span.
        "slope" => (summary.slope, sigma / seconds),
        // 1e-9: near its tails a p-value follows t by t²/2 times.
        "slope_p_value" => (summary.slope_p_value, 1e3 * summary.slope_p_value),
        _ => panic!("{name}"),
    }
}

#[test]
fn figures_are_those_of_numpy_and_scipy() {
    let cases = cases();
    assert_eq!(cases.len(), 15);
    for case in cases {
        for window in [Window::Duration(1e6), Window::Values(100_000), Window::SinceReset] {
            let mut rolling = rolling(window, case.stepped);
            for (ticks, value) in &case.samples {
                match value {
                    Some(y) => rolling.add(at(*ticks), *y),
                    None => rolling.interrupt(at(*ticks)),
                }
            }
            let summary = rolling.summary(rolling.newest());
            assert_eq!(summary.start, at(case.samples[0].0));
            for (name, expected) in &case.expected {
                let (found, scale) = figure(&summary, name);
                let error = (found - expected).abs();
                let allowed = TOLERANCE * expected.abs().max(scale);
                let both_nan = found.is_nan() && expected.is_nan();
                assert!(both_nan || error <= allowed, "{} {window:?} {name}: {found}, not {expected}", case.name);
            }
            let absent = [("variance_sample", summary.variance_sample), ("skewness", summary.skewness)];
            for (name, found) in absent.iter().filter(|(name, _)| !case.expected.contains_key(*name)) {
                assert!(found.is_nan(), "{} {name}: {found}", case.name);
            }
        }
    }
}

/// A sum to twice the digits (Neumaier).
#[derive(Clone, Copy, Default)]
struct Sum(f64, f64);

impl Sum {
    fn add(&mut self, x: f64) {
        let sum = self.0 + x;
        self.1 += if self.0.abs() >= x.abs() { (self.0 - sum) + x } else { (x - sum) + self.0 };
        self.0 = sum;
    }

    fn of(terms: impl Iterator<Item = f64>) -> f64 {
        let mut sum = Self::default();
        terms.for_each(|term| sum.add(term));
        sum.0 + sum.1
    }
}

/// A usable sample: ticks, value, whether it joins the one before.
type Entered = (i64, f64, bool);

/// The window worked out from all of its samples, in two passes from its first value.
fn from_scratch(window: &[Entered], stepped: bool) -> Summary {
    let (n, first) = (window.len() as f64, window[0]);
    let differences: Vec<f64> = window.iter().map(|(_, y, _)| y - first.1).collect();
    let mean = Sum::of(differences.iter().copied()) / n;
    let moment = |k: i32| Sum::of(differences.iter().map(|d| (d - mean).powi(k)));
    let seconds: Vec<f64> = window.iter().map(|(ticks, ..)| (ticks - first.0) as f64 / 1e7).collect();
    let time_mean = Sum::of(seconds.iter().copied()) / n;
    let time_m2 = Sum::of(seconds.iter().map(|t| (t - time_mean).powi(2)));
    let time_y = Sum::of(seconds.iter().zip(&differences).map(|(t, d)| (t - time_mean) * (d - mean)));
    let joined: Vec<&[Entered]> = window.windows(2).filter(|pair| pair[1].2).collect();
    let held = |pair: &[Entered]| if stepped { pair[0].1 } else { pair[0].1 + 0.5 * (pair[1].1 - pair[0].1) };
    let (m2, m3, m4) = (moment(2), moment(3), moment(4));
    let mut sorted: Vec<f64> = window.iter().map(|(_, y, _)| *y).collect();
    sorted.sort_by(f64::total_cmp);
    let percentile = |share: f64| {
        let place = share * (n - 1.0);
        let (low, high) = (sorted[place as usize], sorted[(place as usize + 1).min(sorted.len() - 1)]);
        low + place.fract() * (high - low)
    };
    Summary {
        start: at(first.0),
        end: at(window[window.len() - 1].0),
        count: window.len() as u64,
        mean: first.1 + mean,
        variance_population: m2 / n,
        variance_sample: if window.len() > 1 { m2 / (n - 1.0) } else { f64::NAN },
        minimum: sorted[0],
        maximum: sorted[sorted.len() - 1],
        total: Sum::of(joined.iter().map(|pair| held(pair) * ((pair[1].0 - pair[0].0) as f64 / 1e7))),
        percentiles: [0.05, 0.5, 0.95].map(percentile),
        slope: if window.len() > 1 { time_y / time_m2 } else { f64::NAN },
        slope_p_value: f64::NAN,
        skewness: n.sqrt() * m3 / m2.powf(1.5),
        kurtosis: n * m4 / m2.powi(2) - 3.0,
        moving_range: Sum::of(joined.iter().map(|pair| (pair[1].1 - pair[0].1).abs())) / joined.len() as f64,
    }
}

const FIGURES: [&str; 11] = [
    "count",
    "mean",
    "variance_population",
    "variance_sample",
    "minimum",
    "maximum",
    "total",
    "slope",
    "skewness",
    "kurtosis",
    "moving_range",
];
const PERCENTILES: [&str; 3] = ["percentile05", "percentile50", "percentile95"];

/// Every figure of what is in the window by its own stated start, and every percentile of few samples.
fn same_as_from_scratch(summary: &Summary, entered: &[Entered], stepped: bool, tolerance: f64) -> Result<(), String> {
    let window = &entered[entered.partition_point(|(ticks, ..)| at(*ticks) < summary.start)..];
    let expected = from_scratch(window, stepped);
    // What is constant has no shape; of what is nearly so rounding is the shape.
    let has_shape = expected.variance_population.sqrt() > 1e-7 * expected.mean.abs().max(1e-300);
    let few = if window.len() <= SAMPLES_MAX / 2 { &PERCENTILES[..] } else { &[] };
    for name in FIGURES.iter().chain(few) {
        if matches!(*name, "skewness" | "kurtosis") && !has_shape {
            continue;
        }
        let ((found, _), (right, scale)) = (figure(summary, name), figure(&expected, name));
        let both_nan = found.is_nan() && right.is_nan();
        let is_near = (found - right).abs() <= tolerance * right.abs().max(scale);
        if !both_nan && !is_near {
            return Err(format!("{name} of {}: {found}, not {right}", window.len()));
        }
    }
    Ok(())
}

/// Pseudo-random in [0, 1): Weyl's sequence, mixed (SplitMix64).
fn noise(i: u64) -> f64 {
    let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[test]
fn after_ten_million_updates_the_figures_are_those_from_scratch() {
    const UPDATES: u64 = 10_000_000;
    for (window, stepped, keep) in [
        (Window::Duration(600.0), false, 10_000),
        (Window::Duration(36_000.0), true, 500_000),
        (Window::Values(100_000), false, 110_000),
        (Window::Values(500), true, 600),
    ] {
        let mut rolling = rolling(window, stepped);
        let mut entered: Vec<Entered> = Vec::with_capacity(2 * keep);
        let (mut ticks, mut joined) = (0, false);
        for i in 0..UPDATES {
            // 10 Hz, a minute's gap now and then, a Bad stretch in other places; values repeat.
            ticks += 1_000_000 + if i % 9_973 == 0 { 600_000_000 } else { 0 };
            if i % 7_919 < 20 {
                rolling.interrupt(at(ticks));
                joined = false;
                continue;
            }
            let y = 1e9 + (noise(i) * 4096.0).floor() / 256.0 + 3.0 * (i as f64 * 1e-5).sin();
            rolling.add(at(ticks), y);
            if entered.len() == 2 * keep {
                entered.drain(..keep);
            }
            entered.push((ticks, y, joined));
            joined = true;
        }
        let summary = rolling.summary(at(ticks));
        same_as_from_scratch(&summary, &entered, stepped, TOLERANCE)
            .unwrap_or_else(|wrong| panic!("{window:?}: {wrong}"));
        match window {
            Window::Duration(seconds) => {
                let covered = summary.end.seconds_since(summary.start);
                assert!(covered <= seconds && covered >= seconds * 59.0 / 60.0 - 62.0, "{window:?} covers {covered} s");
            }
            Window::Values(values) => {
                assert!(summary.count <= values.into() && summary.count >= u64::from(values) * 59 / 60)
            }
            Window::SinceReset => {}
        }
    }
}

fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![
        (0.5..2000.0f64).prop_map(Window::Duration),
        (2u32..2000).prop_map(Window::Values),
        Just(Window::SinceReset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any sequence of values, gaps and Bad samples, any window: after every hundredth update and at the end.
    #[test]
    fn any_window_is_what_its_samples_say(
        window in any_window(),
        stepped: bool,
        offset in prop_oneof![Just(0.0), Just(1e9), Just(-1e6)],
        scale in prop_oneof![Just(1.0), Just(1e-3), Just(1e3)],
        steps in prop::collection::vec((1i64..50_000_000, prop::option::weighted(0.95, -100i32..100)), 1..2500),
    ) {
        let mut rolling = rolling(window, stepped);
        let (mut ticks, mut joined, mut entered) = (0, false, Vec::new());
        for (i, (step, value)) in steps.iter().enumerate() {
            ticks += step;
            match value {
                Some(y) => {
                    let y = offset + scale * f64::from(*y);
                    rolling.add(at(ticks), y);
                    entered.push((ticks, y, joined));
                    joined = true;
                }
                None => {
                    rolling.interrupt(at(ticks));
                    joined = false;
                }
            }
            if i % 100 != 99 && i + 1 != steps.len() {
                continue;
            }
            let summary = rolling.summary(at(ticks));
            if summary.count > 0 {
                // 1e-11: at 1e9 with a spread of 0.1 what is fed in has itself only six digits; the two ways round differently.
                prop_assert!(same_as_from_scratch(&summary, &entered, stepped, 1e-11).is_ok(), "{:?}",
                    same_as_from_scratch(&summary, &entered, stepped, 1e-11));
            }
            if let Window::Values(values) = window {
                prop_assert!(summary.count <= values.into());
                prop_assert!(summary.count + u64::from(values.div_ceil(60)) >= u64::from(values).min(entered.len() as u64));
            }
        }
    }
}

/// The value at i of n.
type Series = fn(u64, u64) -> f64;

/// What a plant may feed a percentile.
const SERIES: [(&str, Series); 10] = [
    ("uniform", |i, _| noise(i)),
    ("normal", |i, _| (0..12).map(|k| noise(12 * i + k)).sum::<f64>() - 6.0),
    ("ascending", |i, _| i as f64),
    ("descending", |i, _| -(i as f64)),
    ("two points", |i, _| if noise(i) < 0.3 { 0.1 } else { 0.7 }),
    ("heavy tails", |i, _| (std::f64::consts::PI * (noise(i) - 0.5)).tan()),
    ("exponential at 1e9", |i, _| 1e9 - noise(i).max(1e-300).ln()),
    ("drift and noise", |i, n| 10.0 * i as f64 / n as f64 + noise(i)),
    ("periodic", |i, _| (i as f64 * std::f64::consts::TAU / 100.0).sin()),
    ("bursts", |i, _| if i / 500 % 20 == 3 { 1e6 * noise(i) } else { noise(i) }),
];

#[test]
fn percentiles_of_long_windows_keep_their_stated_error() {
    let (mut squares, mut number, mut worst) = (0.0, 0.0, (0.0, String::new()));
    for (name, value) in SERIES {
        for (window, n) in [
            (Window::Values(6_000), 40_000),
            (Window::Values(300_000), 700_000),
            (Window::Duration(3600.0), 90_000),
            (Window::Duration(36_000.0), 800_000),
            (Window::SinceReset, 5_000),
            (Window::SinceReset, 600_000),
        ] {
            let mut rolling = rolling(window, false);
            for i in 0..n {
                rolling.add(at(1_000_000 * i64::try_from(i).unwrap()), value(i, n));
            }
            let summary = rolling.summary(rolling.newest());
            let first = n - summary.count;
            let all: Vec<f64> = (first..n).map(|i| value(i, n)).collect();
            for (share, found) in [0.05, 0.5, 0.95].into_iter().zip(summary.percentiles) {
                // 1.6e-5 of the distance to a pane's first value, which lies within the middle of what is common here.
                let blur = 1.6e-5 * (found - all[0]).abs().max(1e-9 * found.abs());
                let below = all.iter().filter(|y| **y < found - blur).count() as f64 / all.len() as f64;
                let upto = all.iter().filter(|y| **y <= found + blur).count() as f64 / all.len() as f64;
                let error = (below - share).max(share - upto).max(0.0);
                squares += error * error;
                number += 1.0;
                if error > worst.0 {
                    worst = (error, format!("{name}, {window:?} after {n}, {share}: {found}"));
                }
            }
        }
    }
    let rms = f64::sqrt(squares / number);
    println!("rank error of {number} percentiles: {rms:.5} in the mean square, {:.5} at worst ({})", worst.0, worst.1);
    assert!(rms < 0.0093, "{rms}");
    assert!(worst.0 < 4.0 * 0.0093, "{worst:?}");
}

#[test]
fn limits_and_indices_follow_the_window() {
    use uatwin::statistics::capability::{Baseline, D2, indices};
    let mut rolling = rolling(Window::default(), false);
    for (i, y) in [9.8, 10.1, 10.0, 10.3, 9.9, 10.2].into_iter().enumerate() {
        rolling.add(at(10_000_000 * i64::try_from(i).unwrap()), y);
    }
    let summary = rolling.summary(rolling.newest());
    // By hand: moving ranges 0.3, 0.1, 0.3, 0.4, 0.3; their mean 0.28; ȳ = 10.05.
    let baseline = Baseline::from(&summary);
    let sigma = 0.28 / D2;
    assert!((baseline.sigma_within() - sigma).abs() < 1e-12);
    let (lower, upper) = baseline.control_limits();
    assert!((lower - (10.05 - 3.0 * sigma)).abs() < 1e-12 && (upper - (10.05 + 3.0 * sigma)).abs() < 1e-12);
    let within = indices(summary.mean, baseline.sigma_within(), (9.0, 11.0));
    assert!((within.spread - 2.0 / (6.0 * sigma)).abs() < 1e-12);
    assert!((within.centred - 0.95 / (3.0 * sigma)).abs() < 1e-12);
}
