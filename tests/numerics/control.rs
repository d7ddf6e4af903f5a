//! Control charts against the tables that made them known, once by computation and once by simulation, and the rules against
//! their wording.

use proptest::prelude::*;
use uatwin::statistics::control::{Average, Cusum, Ewma, EwmaLimits, Flags, Rule, Runs, Sums};

use super::support::{Noise, close};

/// Mean shifts of the tables below, in σ.
const SHIFTS: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0];

/// Two-sided charts, k = ½: Lucas and Crosier, "Fast initial response for CUSUM quality-control schemes", Technometrics 24
/// (1982), table 1 (without a head start also in Montgomery, Introduction to Statistical Quality Control, table 9.3).
const CUSUM: [(f64, f64, [f64; 10]); 4] = [
    (4.0, 0.0, [168.0, 74.2, 26.6, 13.3, 8.38, 4.75, 3.34, 2.62, 2.19, 1.71]),
    (5.0, 0.0, [465.0, 139.0, 38.0, 17.0, 10.4, 5.75, 4.01, 3.11, 2.57, 2.01]),
    (4.0, 2.0, [149.0, 62.7, 20.1, 8.97, 5.29, 2.86, 2.01, 1.59, 1.32, 1.07]),
    (5.0, 2.5, [430.0, 122.0, 28.7, 11.2, 6.35, 3.37, 2.36, 1.86, 1.54, 1.16]),
];

/// λ, L: Lucas and Saccucci, "Exponentially weighted moving average control schemes", Technometrics 32 (1990), as in
/// Montgomery, table 9.11; limits asymptotic.
const EWMA: [(f64, f64, [f64; 10]); 5] = [
    (0.40, 3.054, [500.0, 224.0, 71.2, 28.4, 14.3, 5.9, 3.5, 2.5, 2.0, 1.4]),
    (0.25, 2.998, [500.0, 170.0, 48.2, 20.1, 11.1, 5.5, 3.6, 2.7, 2.3, 1.7]),
    (0.20, 2.962, [500.0, 150.0, 41.8, 18.2, 10.5, 5.5, 3.7, 2.9, 2.4, 1.9]),
    (0.10, 2.814, [500.0, 106.0, 31.3, 15.9, 10.3, 6.1, 4.4, 3.4, 2.9, 2.2]),
    (0.05, 2.615, [500.0, 84.1, 28.8, 16.4, 11.4, 7.1, 5.2, 4.2, 3.5, 2.7]),
];

/// Equal to a figure printed with three digits, or (below ten) down to `last_place`.
#[track_caller]
fn as_printed(value: f64, printed: f64, last_place: f64) {
    let unit = if printed >= 100.0 { 1.0 } else { last_place.max(if printed >= 10.0 { 0.1 } else { 0.0 }) };
    assert!((value - printed).abs() <= 0.6 * unit, "{value} instead of {printed}");
}

fn mean_run_length(runs: u32, mut alarm_after: impl FnMut() -> u32) -> f64 {
    (0..runs).map(|_| f64::from(alarm_after())).sum::<f64>() / f64::from(runs)
}

fn simulated_cusum(chart: &Cusum, shift: f64, noise: &mut Noise) -> f64 {
    // So many runs that 2 % are three standard errors: a run length's standard deviation is at most its mean.
    mean_run_length(20_000, || {
        let mut sums = Sums::new(chart);
        (1..).find(|_| sums.add(chart, shift + noise.normal()).is_some()).unwrap()
    })
}

fn simulated_ewma(chart: &Ewma, shift: f64, noise: &mut Noise) -> f64 {
    mean_run_length(20_000, || {
        let mut average = Average::default();
        (1..).find(|_| average.add(chart, shift + noise.normal())).unwrap()
    })
}

#[test]
fn computed_run_lengths_of_cusums_are_the_published_ones() {
    for (h, head_start, printed) in CUSUM {
        let chart = Cusum { head_start, ..Cusum::new(0.5, h) };
        for (shift, printed) in SHIFTS.iter().zip(printed) {
            as_printed(chart.arl(*shift), printed, 0.01);
            close(chart.arl(-shift), chart.arl(*shift), 1e-12);
        }
    }
}

#[test]
fn computed_run_lengths_of_ewmas_are_the_published_ones() {
    for (lambda, width, printed) in EWMA {
        let chart = Ewma { lambda, width, limits: EwmaLimits::Asymptotic };
        for (shift, printed) in SHIFTS.iter().zip(printed) {
            as_printed(chart.arl(*shift), printed, 0.2); // L is rounded, and theirs are a Markov chain's
        }
    }
}

/// A chart of λ = 1 is Shewhart's, whose run lengths are geometric.
#[test]
fn without_memory_an_ewma_is_a_shewhart_chart() {
    let normal = statrs::distribution::Normal::new(0.0, 1.0).unwrap();
    let below = |z| statrs::distribution::ContinuousCDF::cdf(&normal, z);
    for limits in [EwmaLimits::Asymptotic, EwmaLimits::Exact] {
        let chart = Ewma { lambda: 1.0, width: 3.0, limits };
        for shift in SHIFTS {
            close(chart.arl(shift), 1.0 / (1.0 - below(3.0 - shift) + below(-3.0 - shift)), 1e-9);
        }
    }
}

#[test]
fn simulated_run_lengths_are_within_five_per_cent_of_the_published_ones() {
    let mut noise = Noise(2024);
    for (h, head_start, printed) in CUSUM {
        let chart = Cusum { head_start, ..Cusum::new(0.5, h) };
        for i in [0, 2, 4, 6] {
            close(simulated_cusum(&chart, SHIFTS[i], &mut noise), printed[i], 0.05);
        }
    }
    for (lambda, width, printed) in EWMA {
        let chart = Ewma { lambda, width, limits: EwmaLimits::Asymptotic };
        for i in [0, 2, 4, 6] {
            close(simulated_ewma(&chart, SHIFTS[i], &mut noise), printed[i], 0.05);
        }
    }
}

/// The exact limits have no table of their own here: what is computed is simulated.
#[test]
fn exact_limits_of_an_ewma_are_computed_as_they_run() {
    let mut noise = Noise(7);
    for (lambda, width) in [(0.05, 2.6), (0.2, 2.5), (0.5, 3.0)] {
        let chart = Ewma { lambda, width, limits: EwmaLimits::Exact };
        for shift in [0.0, 0.5, 1.0, 2.0] {
            close(simulated_ewma(&chart, shift, &mut noise), chart.arl(shift), 0.02);
        }
    }
}

/// Brook and Evans' Markov chain (Biometrika 59, 1972) with `states` of equal width: goes to the ARL as 1/states².
fn brook_evans(k: f64, h: f64, shift: f64, states: usize) -> f64 {
    let normal = statrs::distribution::Normal::new(0.0, 1.0).unwrap();
    let below = |z| statrs::distribution::ContinuousCDF::cdf(&normal, z);
    let width = 2.0 * h / (2.0 * states as f64 - 1.0);
    let chance = |i: usize, j: usize| {
        let ahead = (j as f64 - i as f64) * width + k - shift;
        let low = if j == 0 { 0.0 } else { below(ahead - 0.5 * width) };
        below(ahead + 0.5 * width) - low
    };
    let matrix = nalgebra::DMatrix::from_fn(states, states, |i, j| f64::from(u8::from(i == j)) - chance(i, j));
    matrix.lu().solve(&nalgebra::DVector::from_element(states, 1.0)).unwrap()[0]
}

#[test]
fn the_integral_equation_is_what_the_markov_chain_goes_to() {
    for (k, h, shift) in [(0.5, 4.0, 0.0), (0.5, 5.0, 1.0), (0.25, 8.0, 0.0), (1.0, 2.5, 0.3)] {
        let (coarse, fine) = (100, 200);
        let one_sided = |shift: f64| {
            let (a, b) = (brook_evans(k, h, shift, coarse), brook_evans(k, h, shift, fine));
            b + (b - a) / ((fine as f64 / coarse as f64).powi(2) - 1.0)
        };
        let both = 1.0 / (1.0 / one_sided(shift) + 1.0 / one_sided(-shift));
        close(Cusum::new(k, h).arl(shift), both, 2e-4);
    }
}

#[test]
fn a_design_has_the_run_length_that_was_wanted() {
    for k in [0.1, 0.25, 0.5, 1.0, 2.0] {
        for arl0 in [50.0, 370.0, 1e4, 1e6] {
            let chart = Cusum::with_arl0(k, arl0).unwrap();
            close(chart.arl(0.0), arl0, 1e-6);
        }
    }
    for (lambda, printed) in [(1.0, 3.090), (0.5, 3.071), (0.2, 2.962), (0.1, 2.814), (0.05, 2.615), (0.03, 2.437)] {
        let chart = Ewma::with_arl0(lambda, 500.0, EwmaLimits::Asymptotic).unwrap();
        assert!((chart.width - printed).abs() < 0.0011, "λ = {lambda}: {} instead of {printed}", chart.width);
        let exact = Ewma::with_arl0(lambda, 500.0, EwmaLimits::Exact).unwrap();
        close(exact.arl(0.0), 500.0, 1e-6);
    }
    assert_eq!(Ewma::with_arl0(0.0, 500.0, EwmaLimits::Exact), None);
    // Lucas and Crosier: h = 5.07 and more gives 500.
    close(Cusum::with_arl0(0.5, 500.0).unwrap().h, 5.071, 1e-3);
}

/// Champ and Woodall, "Exact results for Shewhart control charts with supplementary runs rules", Technometrics 29 (1987),
/// table 1, no shift.
#[test]
fn western_electrics_rules_alarm_as_often_as_champ_and_woodall_say() {
    use Rule::{BeyondThreeSigma as One, EightInARow as Four, FourOfFive as Three, TwoOfThree as Two};
    let cases: [(&[Rule], f64); 5] = [
        (&[One], 370.40),
        (&[One, Two], 225.44),
        (&[One, Three], 166.05),
        (&[One, Four], 152.73),
        (&Rule::WESTERN_ELECTRIC, 91.75),
    ];
    let mut noise = Noise(3);
    for (rules, arl) in cases {
        let simulated = mean_run_length(40_000, || {
            let mut runs = Runs::new(10.0, 2.0);
            (1..).find(|_| runs.add(10.0 + 2.0 * noise.normal()).any_of(rules)).unwrap()
        });
        close(simulated, arl, 0.02);
    }
}

/// The rules as they are worded, of all samples so far.
fn worded(samples: &[f64], rule: Rule) -> bool {
    let last = |n: usize| samples.len().checked_sub(n).map(|from| &samples[from..]);
    let newest = samples[samples.len() - 1];
    let side_of = |y: f64| y.signum() * f64::from(u8::from(y != 0.0));
    let of = |wanted: usize, n: usize, beyond: f64| {
        let counts = |side: f64| samples.iter().rev().take(n).filter(|y| side * **y > beyond).count() >= wanted;
        [1.0, -1.0].into_iter().any(|side| side * newest > beyond && counts(side))
    };
    let every = |n: usize, test: &dyn Fn(f64) -> bool| last(n).is_some_and(|all| all.iter().all(|y| test(*y)));
    match rule {
        Rule::BeyondThreeSigma => newest.abs() > 3.0,
        Rule::TwoOfThree => of(2, 3, 2.0),
        Rule::FourOfFive => of(4, 5, 1.0),
        Rule::EightInARow => newest != 0.0 && every(8, &|y| side_of(y) == side_of(newest)),
        Rule::NineInARow => newest != 0.0 && every(9, &|y| side_of(y) == side_of(newest)),
        Rule::SixTrending => last(6).is_some_and(|all| {
            all.windows(2).all(|pair| pair[0] < pair[1]) || all.windows(2).all(|pair| pair[0] > pair[1])
        }),
        Rule::FourteenAlternating => {
            last(14).is_some_and(|all| all.windows(3).all(|w| (w[1] - w[0]) * (w[2] - w[1]) < 0.0))
        }
        Rule::FifteenWithin => every(15, &|y| y.abs() <= 1.0),
        Rule::EightBeyond => every(8, &|y| y.abs() > 1.0),
    }
}

proptest! {
    /// Quarters, so that the centre, the zones' edges and equal neighbours come up; small steps, so that runs do.
    #[test]
    fn rules_flag_what_their_wording_says(steps in prop::collection::vec((-14_i32..=14, 0_u8..4), 1..300)) {
        let mut runs = Runs::new(1e9, 4.0);
        let mut samples: Vec<f64> = Vec::new();
        for (step, kind) in steps {
            let before = samples.last().copied().unwrap_or(0.0);
            let y = match kind {
                0 => f64::from(step) / 4.0,
                1 => before + f64::from(step.rem_euclid(3) - 1) / 4.0,
                2 => -before - f64::from(step.rem_euclid(2)) / 4.0,
                _ => before.signum() * f64::from(step.abs()) / 8.0,
            };
            samples.push(y);
            let flags = runs.add(1e9 + 4.0 * y);
            for rule in Rule::ALL {
                prop_assert_eq!(flags.has(rule), worded(&samples, rule), "{:?} of {:?}", rule, samples);
            }
        }
    }
}

#[test]
fn every_rule_comes_up_and_a_bad_sample_ends_what_was_in_a_row() {
    let patterns: [(Rule, Vec<f64>); 9] = [
        (Rule::BeyondThreeSigma, vec![3.1]),
        (Rule::TwoOfThree, vec![-2.1, 0.0, -2.1]),
        (Rule::FourOfFive, vec![1.1, 1.1, 0.0, 1.1, 1.1]),
        (Rule::EightInARow, vec![0.1; 8]),
        (Rule::NineInARow, vec![-0.1; 9]),
        (Rule::SixTrending, vec![-0.3, -0.2, -0.1, 0.0, 0.1, 0.2]),
        (Rule::FourteenAlternating, (0..14).map(|i| f64::from(i % 2)).collect()),
        (Rule::FifteenWithin, (0..15).map(|i| f64::from(i % 3 - 1)).collect()),
        (Rule::EightBeyond, (0..8).map(|i| 2.2 - 4.4 * f64::from(i % 2)).collect()),
    ];
    for (rule, pattern) in patterns {
        let mut runs = Runs::new(0.0, 1.0);
        let flags: Vec<Flags> = pattern.iter().map(|y| runs.add(*y)).collect();
        let flagged: Vec<bool> = flags.iter().map(|flags| flags.has(rule)).collect();
        let (last, before) = flagged.split_last().unwrap();
        assert!(*last && !before.contains(&true), "{rule:?}: {flagged:?}");
        if pattern.len() > 1 {
            let mut runs = Runs::new(0.0, 1.0);
            pattern[..pattern.len() - 1].iter().for_each(|y| _ = runs.add(*y));
            assert_eq!(runs.add(f64::NAN), Flags::default());
            assert!(!runs.add(*pattern.last().unwrap()).has(rule), "{rule:?}");
        }
    }
    assert_eq!(Runs::new(0.0, 0.0).add(5.0), Flags::default());
}
