//! Series for a second opinion on Aggregates, made by proptest: another stack computes on them what the service does
//! (`tests/interop/test_history_processed.py`). Written as CSV: milliseconds, value, status.

use std::{env, fmt::Write as _, fs, ops::Range, path::PathBuf};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use uatwin::sample::StatusCode;

const SAMPLES: Range<usize> = 200..10_001;
/// The first case has as many samples as there may be.
const SAMPLES_MAX: usize = SAMPLES.end - 1;

/// Samples that have something in common.
#[derive(Clone, Debug)]
struct Stretch {
    status: StatusCode,
    gaps_ms: Vec<i64>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A level, then a step to the next stretch.
    Level(i32),
    Ramp {
        from: i32,
        by: i32,
    },
    /// Up and down by as much.
    Noise {
        around: i32,
        by: i32,
    },
}

impl Shape {
    fn value(self, nth: i32) -> i32 {
        match self {
            Self::Level(level) => level,
            Self::Ramp { from, by } => from + by * nth,
            Self::Noise { around, by } => around + by * (nth * nth % 7 - 3),
        }
    }
}

fn stretches() -> impl Strategy<Value = Stretch> {
    let level = -1000..1000_i32;
    let shape = prop_oneof![
        2 => level.clone().prop_map(Shape::Level),
        1 => (level.clone(), -20..20_i32).prop_map(|(from, by)| Shape::Ramp { from, by }),
        3 => (level, 1..100_i32).prop_map(|(around, by)| Shape::Noise { around, by }),
    ];
    // On a grid, late by some, or any time.
    let gap = prop_oneof![6 => Just(1000_i64), 2 => Just(500), 2 => 1..5000_i64];
    let good = (Just(StatusCode::Good), prop::collection::vec(gap.clone(), 1..120));
    let bad = (Just(StatusCode::BadSensorFailure), prop::collection::vec(gap.clone(), 1..10));
    let uncertain = (Just(StatusCode::UncertainLastUsableValue), prop::collection::vec(gap, 1..10));
    (prop_oneof![6 => good, 1 => bad, 1 => uncertain], shape).prop_map(|((status, gaps_ms), shape)| Stretch {
        status,
        gaps_ms,
        shape,
    })
}

/// A case: samples at rising times, and how many of them an interval has on average.
fn cases(samples: impl Strategy<Value = usize>) -> impl Strategy<Value = (Vec<(i64, i32, StatusCode)>, usize)> {
    let stretches = prop::collection::vec(stretches(), SAMPLES_MAX / 20);
    (samples, stretches, 5..60_usize).prop_map(|(count, stretches, per_interval)| {
        let mut at_ms = 0;
        let samples = stretches.iter().cycle().flat_map(|stretch| {
            (0..).zip(&stretch.gaps_ms).map(|(nth, gap_ms)| (*gap_ms, stretch.shape.value(nth), stretch.status))
        });
        let samples = samples.take(count).map(|(gap_ms, value, status)| {
            at_ms += gap_ms;
            (at_ms, value, status)
        });
        (samples.collect(), per_interval)
    })
}

fn csv(samples: &[(i64, i32, StatusCode)], per_interval: usize) -> String {
    let span_ms = samples.last().map_or(0, |last| last.0);
    let mut interval_ms = span_ms * per_interval as i64 / samples.len() as i64;
    if per_interval.is_multiple_of(2) {
        // Many samples then lie just where an interval begins.
        interval_ms = interval_ms.div_euclid(1000).max(1) * 1000;
    }
    let mut text = format!("interval_ms,{interval_ms}\nms,value,status\n");
    for (at_ms, value, status) in samples {
        writeln!(text, "{at_ms},{value},{}", status.bits()).unwrap();
    }
    text
}

/// Not a test of its own: writes the cases of `UATWIN_ORACLE_SEED` to `UATWIN_ORACLE_FOLDER`.
#[test]
#[ignore = "writes files for another test"]
fn writes_series_for_a_second_opinion() {
    let folder = PathBuf::from(env::var_os("UATWIN_ORACLE_FOLDER").expect("a folder to write to"));
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok()).expect("a number");
    let (seed, count) = (number("UATWIN_ORACLE_SEED"), number("UATWIN_ORACLE_CASES"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for case in 0..count {
        let samples = if case == 0 { Just(SAMPLES_MAX).boxed() } else { SAMPLES.boxed() };
        let (samples, per_interval) = cases(samples).new_tree(&mut runner).unwrap().current();
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "no instant twice");
        fs::write(folder.join(format!("{case}.csv")), csv(&samples, per_interval)).unwrap();
    }
}
