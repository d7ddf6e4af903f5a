//! Profile likelihood intervals: against R where the model is smooth, against what they promise where it isn't.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use uatwin::fit::{Experiment, FitError, FitOptions, FitReport, Measured, ProfileEnd, fit};
use uatwin::model::{Delay, Hold, Init, Loss, Model, ModelSource};
use uatwin::simulate::Signal;

use crate::support::{NEVER, Noise, close, compile, equation, input, output, parameter, state, table};

const CONCENTRATION: [f64; 8] = [0.048_828_12, 0.195_312_5, 0.390_625, 0.781_25, 1.562_5, 3.125, 6.25, 12.5];
const DENSITY: [f64; 16] =
    [0.017, 0.018, 0.121, 0.124, 0.206, 0.215, 0.377, 0.374, 0.614, 0.609, 1.019, 1.001, 1.334, 1.364, 1.73, 1.71];

/// The first run of R's `DNase`: a logistic curve in the logarithm of the concentration.
fn dnase(bound: f64) -> (Model, Experiment) {
    let model = compile(&ModelSource {
        parameters: vec![
            parameter("Asym", 2.0, 0.0, bound, false),
            parameter("xmid", 1.0, -10.0, 10.0, false),
            parameter("scal", 1.0, 0.01, 10.0, true),
        ],
        inputs: vec![input("x", Hold::Previous)],
        outputs: vec![output("density", "Asym/(1 + exp((xmid - x)/scal))", 1.0)],
        ..ModelSource::default()
    });
    let x: Vec<f64> = CONCENTRATION.iter().flat_map(|conc| [conc.ln(); 2]).collect();
    (model, table(&[&x], &DENSITY))
}

pub(crate) fn dnase_fit(options: &FitOptions) -> FitReport {
    let (model, experiment) = dnase(f64::INFINITY);
    fit(&model, &[experiment], options, &NEVER, &|_| {}).unwrap()
}

/// R 4.2.2: `uniroot` on the deviance of `nls` with the parameter held; MASS's `confint`, which interpolates, agrees to
/// four digits. The intervals are lopsided: Student's t would give 2.1763 to 2.5140 for `Asym`.
#[test]
fn profiles_of_a_smooth_model_are_those_of_r() {
    let cases = [
        (
            0.95,
            [
                (2.193_503_954_58, 2.538_785_296_99),
                (1.321_427_535_61, 1.678_746_028_43),
                (0.974_305_004_99, 1.114_933_108_345),
            ],
        ),
        (
            0.99,
            [
                (2.142_224_559_38, 2.630_915_320_62),
                (1.265_030_126_21, 1.767_819_609_56),
                (0.949_364_749_806, 1.145_879_259_685),
            ],
        ),
    ];
    for (level, ends) in cases {
        let report = dnase_fit(&FitOptions { level, profile: vec![0, 1, 2], ..FitOptions::default() });
        assert_eq!(report.profiles.len(), 3);
        for (profile, (lower, upper)) in report.profiles.iter().zip(ends) {
            close(profile.lower, lower, 1e-5);
            close(profile.upper, upper, 1e-5);
            assert_eq!(
                (profile.lower_end, profile.upper_end, profile.level),
                (ProfileEnd::Crossed, ProfileEnd::Crossed, level)
            );
            assert!(profile.points.is_sorted_by(|a, b| a.0 <= b.0) && profile.points.len() >= 5);
            let lowest = profile.points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
            close(lowest, report.cost, 1e-9);
        }
        assert_eq!(report.level, level);
    }
    let report = dnase_fit(&FitOptions { level: 0.99, ..FitOptions::default() });
    // Student's t with 13 degrees of freedom: 3.012276 and 2.160369.
    close(report.upper[0] - report.values[0], 3.012_275_839 * report.standard_errors[0], 1e-8);
    close(report.upper95[0] - report.values[0], 2.160_368_656 * report.standard_errors[0], 1e-8);
    for (at, expected) in [(1, 0.986_776_172_981), (2, 0.900_836_398_052), (5, 0.906_318_208_403)] {
        close(report.correlation[at], expected, 1e-6);
        close(report.covariance[at], expected * report.standard_errors[at / 3] * report.standard_errors[at % 3], 1e-6);
    }
    close(report.covariance[1], 0.006_273_981_486_76, 1e-6);
}

#[test]
fn an_interval_that_reaches_a_bound_says_so() {
    // The estimate is 2.345: below its bound, at it, or held at it.
    for (bound, estimate) in [(2.4, 2.345_179_297), (2.345_179_297, 2.345_179_297), (2.2, 2.2)] {
        let (model, experiment) = dnase(bound);
        let options = FitOptions { profile: vec![0], ..FitOptions::default() };
        let report = fit(&model, &[experiment], &options, &NEVER, &|_| {}).unwrap();
        close(report.values[0], estimate, 1e-6);
        let profile = &report.profiles[0];
        assert_eq!((profile.upper, profile.upper_end), (bound, ProfileEnd::Bound));
        assert_eq!(profile.lower_end, ProfileEnd::Crossed);
        assert!(report.message.contains("only its bound limits `Asym` above"), "{}", report.message);
        if bound > 2.3 {
            close(profile.lower, 2.193_503_954_58, 1e-4);
        } else {
            assert!(profile.lower < 2.2 && report.standard_errors[0].is_nan(), "{profile:?}");
        }
    }
}

#[test]
fn what_the_data_leave_open_is_open() {
    // Only a·b is determined: each alone may be anything, and c isn't touched by that.
    let model = compile(&ModelSource {
        parameters: vec![
            parameter("a", 1.0, 1e-6, 1e6, true),
            parameter("b", 1.0, 1e-9, f64::INFINITY, true),
            parameter("c", 1.0, -1e3, 1e3, false),
            parameter("idle", 1.0, f64::NEG_INFINITY, f64::INFINITY, false),
        ],
        outputs: vec![output("y", "a*b*t + c", 1.0)],
        ..ModelSource::default()
    });
    let mut noise = Noise(5);
    let values: Vec<f64> = (0..50).map(|t| 6.0 * f64::from(t) + 2.0 + noise.normal()).collect();
    let options = FitOptions { profile: vec![0, 2, 3], ..FitOptions::default() };
    let report = fit(&model, &[table(&[], &values)], &options, &NEVER, &|_| {}).unwrap();
    let [a, c, idle] = report.profiles.as_slice() else { panic!("{:?}", report.profiles) };
    assert_eq!((a.lower, a.upper, a.lower_end, a.upper_end), (1e-6, 1e6, ProfileEnd::Bound, ProfileEnd::Bound));
    assert_eq!((idle.lower, idle.upper), (f64::NEG_INFINITY, f64::INFINITY));
    assert_eq!((idle.lower_end, idle.upper_end), (ProfileEnd::Open, ProfileEnd::Open));
    // A line's intercept: linear, so that the profile is Student's interval, t of 46 degrees of freedom (four estimates).
    assert_eq!((c.lower_end, c.upper_end), (ProfileEnd::Crossed, ProfileEnd::Crossed));
    assert!(report.standard_errors[0].is_nan() && report.standard_errors[3].is_nan());
    close(c.lower, report.lower95[2], 1e-5);
    close(c.upper, report.upper95[2], 1e-5);
    assert!(report.message.contains("the data don't limit `idle` above"), "{}", report.message);
}

#[test]
fn a_linear_model_has_the_intervals_of_its_standard_errors() {
    // Also where σ is known (χ² and the normal distribution), and with other levels; then per experiment.
    let model = compile(&ModelSource {
        parameters: ["a", "b"].map(|name| parameter(name, 0.0, -1e3, 1e3, false)).to_vec(),
        outputs: vec![output("y", "a + b*t", 0.7)],
        ..ModelSource::default()
    });
    let mut noise = Noise(6);
    let mut line = |a: f64| -> Vec<f64> { (0..30).map(|t| a + 0.1 * f64::from(t) + noise.normal()).collect() };
    let experiments = [table(&[], &line(1.0)), table(&[], &line(2.0))];
    for absolute_sigma in [false, true] {
        for level in [0.5, 0.9] {
            let options = FitOptions {
                absolute_sigma,
                level,
                per_experiment: vec![0],
                profile: vec![1, 0],
                ..FitOptions::default()
            };
            let report = fit(&model, &experiments, &options, &NEVER, &|_| {}).unwrap();
            assert_eq!(report.profiles.len(), 3);
            close(report.profiles[0].lower, report.lower[0], 1e-5);
            close(report.profiles[0].upper, report.upper[0], 1e-5);
            for (profile, estimate) in report.profiles[1..].iter().zip(&report.local) {
                assert_eq!((profile.experiment, profile.parameter), (estimate.experiment, 0));
                close(profile.lower, estimate.lower, 1e-5);
                close(profile.upper, estimate.upper, 1e-5);
            }
        }
    }
}

#[test]
fn robust_losses_have_profiles_near_their_standard_errors() {
    let mut source = ModelSource {
        parameters: ["a", "b"].map(|name| parameter(name, 0.0, -1e3, 1e3, false)).to_vec(),
        outputs: vec![output("y", "a + b*t", 0.5)],
        ..ModelSource::default()
    };
    source.outputs[0].loss = Loss::SoftL1;
    let mut noise = Noise(8);
    let values: Vec<f64> =
        (0..400).map(|t| 1.0 + 0.01 * f64::from(t) + noise.normal() * if t % 10 == 0 { 20.0 } else { 0.5 }).collect();
    let options = FitOptions { profile: vec![0, 1], ..FitOptions::default() };
    let report = fit(&compile(&source), &[table(&[], &values)], &options, &NEVER, &|_| {}).unwrap();
    for (profile, i) in report.profiles.iter().zip(0..) {
        let width = report.upper95[i] - report.lower95[i];
        // Agreement of two asymptotic forms at 400 samples.
        assert!(((profile.upper - profile.lower) / width - 1.0).abs() < 0.05, "{profile:?}, {width}");
    }
}

/// First order with dead time, an input that jumps: the cost has kinks where a jump passes a sample.
pub(crate) fn delayed() -> ModelSource {
    let mut source = ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        parameters: vec![
            parameter("K", 1.5, 0.1, 100.0, true),
            parameter("tau", 4.0, 0.1, 100.0, true),
            parameter("d", 1.0, 0.0, 20.0, false),
        ],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "(K*u - x)/tau")],
        outputs: vec![output("y", "x", 1.0)],
        ..ModelSource::default()
    };
    source.inputs[0].delay = Delay::Parameter("d".into());
    source
}

/// By the exact solution from jump to jump; `jumps` are times and the levels from then on.
pub(crate) fn delayed_exactly([gain, tau, delay]: [f64; 3], jumps: &[(f64, f64)], times: &[f64]) -> Vec<f64> {
    let value = |t: &f64| {
        let (mut x, mut level, mut since) = (0.0, jumps[0].1, f64::NEG_INFINITY);
        for &(at, next) in &jumps[1..] {
            let at = at + delay;
            if at > *t {
                break;
            }
            // From a start at 0 with the first level there.
            let begin = if since.is_finite() { since } else { jumps[0].0 };
            x = gain * level + (x - gain * level) * (-(at - begin) / tau).exp();
            (since, level) = (at, next);
        }
        let begin = if since.is_finite() { since } else { jumps[0].0 };
        gain * level + (x - gain * level) * (-(t - begin) / tau).exp()
    };
    times.iter().map(value).collect()
}

pub(crate) fn delayed_experiment(jumps: &[(f64, f64)], times: &[f64], values: Vec<f64>) -> Experiment {
    Experiment {
        inputs: vec![Signal {
            times: jumps.iter().map(|jump| jump.0).collect(),
            values: jumps.iter().map(|jump| jump.1).collect(),
            hold: Hold::Previous,
        }],
        outputs: vec![Measured { times: times.to_vec(), values, weights: vec![] }],
        span: Some((0.0, times[times.len() - 1])),
    }
}

pub(crate) const JUMPS: [(f64, f64); 6] =
    [(0.0, 0.0), (10.0, 1.0), (40.0, -0.5), (60.0, 2.0), (65.0, 0.0), (90.0, 1.5)];

fn delayed_data(truth: [f64; 3], sigma: f64, seed: u64) -> Experiment {
    let times: Vec<f64> = (0..=120).map(f64::from).collect();
    let mut noise = Noise(seed);
    let values = delayed_exactly(truth, &JUMPS, &times).iter().map(|y| y + sigma * noise.normal()).collect();
    delayed_experiment(&JUMPS, &times, values)
}

#[test]
fn a_dead_time_has_an_interval_at_whose_ends_the_cost_is_the_threshold() {
    let model = compile(&delayed());
    for (seed, delay) in [(1, 3.4), (2, 3.0), (3, 0.2), (4, 7.9)] {
        let experiment = delayed_data([2.0, 5.0, delay], 0.1, seed);
        let options = FitOptions { starts: 8, profile: vec![2], ..FitOptions::default() };
        let report = fit(&model, std::slice::from_ref(&experiment), &options, &NEVER, &|_| {}).unwrap();
        let profile = &report.profiles[0];
        // F of 1 and 118 degrees of freedom at 95 %: 3.921478.
        close(profile.threshold, report.cost * (1.0 + 3.921_478_18 / 118.0), 1e-7);
        for (end, kind) in [(profile.lower, profile.lower_end), (profile.upper, profile.upper_end)] {
            if kind != ProfileEnd::Crossed {
                assert!(kind == ProfileEnd::Bound && end == 0.0 && delay == 0.2, "{profile:?}");
                continue;
            }
            // Fitted by itself with the dead time held there, from several starts.
            let theta = vec![1.5, 4.0, end];
            let held = FitOptions { free: vec![0, 1], theta: Some(theta), starts: 8, ..FitOptions::default() };
            let held = fit(&model, std::slice::from_ref(&experiment), &held, &NEVER, &|_| {}).unwrap();
            close(held.cost, profile.threshold, 1e-6);
        }
        assert!(profile.lower < report.values[2] && report.values[2] < profile.upper, "{profile:?}");
    }
}

#[test]
fn a_cost_that_jumps_ends_the_interval_at_the_jump() {
    // Without states the delayed input is seen as it is: y sees the jump at 10 s from 13 s on if d ≤ 3, from 14 s if d ≤ 4.
    let mut source = delayed();
    (source.states, source.equations) = (vec![], vec![]);
    source.outputs[0].expr = "K*u".into();
    source.parameters.remove(1);
    let times: Vec<f64> = (0..=120).map(f64::from).collect();
    let mut noise = Noise(31);
    let level = |t: &f64| JUMPS.iter().rev().find(|jump| jump.0 + 3.4 <= *t).map_or(JUMPS[0].1, |jump| jump.1);
    let values = times.iter().map(|t| 2.0 * level(t) + 0.1 * noise.normal()).collect();
    let experiment = delayed_experiment(&JUMPS, &times, values);
    let options = FitOptions { theta: Some(vec![1.5, 3.5]), profile: vec![0, 1], ..FitOptions::default() };
    let report = fit(&compile(&source), &[experiment], &options, &NEVER, &|_| {}).unwrap();
    assert!(report.standard_errors[1].is_nan(), "no slope, no standard error");
    let [gain, delay] = report.profiles.as_slice() else { panic!("{:?}", report.profiles) };
    assert!((delay.lower - 3.0).abs() < 1e-6 && (delay.upper - 4.0).abs() < 1e-6, "{delay:?}");
    assert_eq!((delay.lower_end, delay.upper_end), (ProfileEnd::Crossed, ProfileEnd::Crossed));
    assert!(gain.lower < 2.0 && 2.0 < gain.upper && gain.upper - gain.lower < 0.1, "{gain:?}");
}

#[test]
fn a_profile_that_passes_a_better_minimum_makes_it_the_result() {
    // Started beyond a kink's trough, one start stays there; the profile of the dead time walks out of it.
    let model = compile(&delayed());
    let mut improved = 0;
    for seed in 0..20 {
        let experiment = delayed_data([2.0, 0.4, 3.4], 0.3, 100 + seed);
        let plain = FitOptions { theta: Some(vec![1.5, 4.0, 6.5]), ..FitOptions::default() };
        let profiled = FitOptions { profile: vec![2], ..plain.clone() };
        let before = fit(&model, std::slice::from_ref(&experiment), &plain, &NEVER, &|_| {}).unwrap();
        let after = fit(&model, std::slice::from_ref(&experiment), &profiled, &NEVER, &|_| {}).unwrap();
        assert!(after.cost <= before.cost * (1.0 + 1e-12));
        let lowest = after.profiles[0].points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        assert!(lowest >= after.cost * (1.0 - 1e-4), "{lowest} below {}", after.cost);
        improved += usize::from(after.cost < before.cost * (1.0 - 1e-6));
    }
    assert!(improved > 0, "no case shows it");
}

#[test]
fn profiles_are_the_same_for_any_number_of_threads_and_progress_never_falls() {
    let model = compile(&delayed());
    let experiment = delayed_data([2.0, 5.0, 3.4], 0.1, 9);
    let run = |threads: usize| {
        let fractions = Mutex::new(Vec::new());
        let options = FitOptions { starts: 8, threads, profile: vec![0, 1, 2], ..FitOptions::default() };
        let report = fit(&model, std::slice::from_ref(&experiment), &options, &NEVER, &|fraction| {
            fractions.lock().unwrap().push(fraction);
        });
        let fractions = fractions.into_inner().unwrap();
        assert!(fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)) && fractions.last() == Some(&1.0));
        if threads == 1 {
            assert!(fractions.is_sorted(), "{fractions:?}");
            assert!(fractions.iter().filter(|fraction| (0.41..0.99).contains(*fraction)).count() >= 3, "{fractions:?}");
        }
        report.unwrap()
    };
    let one = run(1);
    for threads in [2, 3, 16] {
        assert_eq!(one, run(threads));
    }
}

#[test]
fn a_cancelled_profile_ends_without_a_result() {
    let model = compile(&delayed());
    let experiment = delayed_data([2.0, 5.0, 3.4], 0.1, 9);
    let options = FitOptions { profile: vec![0, 1, 2], ..FitOptions::default() };
    let (cancel, told) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Cancelled once the fit itself is done and the first side has been walked.
    let result = fit(&model, &[experiment], &options, &cancel, &|fraction| {
        if fraction > 0.4 {
            told.fetch_add(1, Ordering::Relaxed);
            cancel.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(result, Err(FitError::Cancelled)), "{result:?}");
    assert!(told.load(Ordering::Relaxed) < 6, "the sides that were left were not walked");
}

#[test]
fn a_profile_of_what_is_not_estimated_is_an_error() {
    let (model, experiment) = dnase(f64::INFINITY);
    let run = |options: FitOptions| fit(&model, std::slice::from_ref(&experiment), &options, &NEVER, &|_| {});
    let wrong = run(FitOptions { free: vec![0, 1], profile: vec![2], ..FitOptions::default() });
    assert!(matches!(&wrong, Err(FitError::Argument(message)) if message.contains("`scal`")), "{wrong:?}");
    for level in [0.0, 1.0, -1.0, f64::NAN, 95.0] {
        let wrong = run(FitOptions { level, ..FitOptions::default() });
        assert!(matches!(&wrong, Err(FitError::Argument(_))), "{wrong:?}");
    }
}
