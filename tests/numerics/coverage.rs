//! How often intervals hold the truth: of any model, on data made from it with noise of a known size.

use std::ops::RangeInclusive;

use uatwin::fit::{Experiment, FitOptions, fit};
use uatwin::model::{Hold, Model};
use uatwin::simulate::{Options, Scenario, Signal, simulate};

use crate::profile::{JUMPS, delayed, delayed_experiment};
use crate::support::{NEVER, Noise, compile, hour, two_bodies};

/// In how many of 200 data sets an interval of 95 % may hold the truth: 190 are expected, standard deviation 3.1.
pub(crate) const PROMISED: RangeInclusive<usize> = 180..=198;
/// Data sets.
pub(crate) const SETS: usize = 200;

/// One parameter's intervals, of [`SETS`] data sets.
#[derive(Debug)]
pub(crate) struct Coverage {
    pub(crate) name: String,
    /// Intervals from standard errors that hold the truth.
    pub(crate) linear: usize,
    /// Profile likelihood intervals that do, where they were asked for.
    pub(crate) profile: Option<usize>,
    /// Mean of (estimate − truth) by the standard error, and its standard deviation: 0 and 1 where all is linear.
    pub(crate) pull: (f64, f64),
}

/// Fits [`SETS`] data sets made by the model under `truth`, each output at the times that `experiment` has for it, with
/// normal noise of `sigmas`, from the model's nominal parameters.
pub(crate) fn coverage(
    model: &Model,
    truth: &[f64],
    sigmas: &[f64],
    experiment: &Experiment,
    options: &FitOptions,
) -> Vec<Coverage> {
    let times: Vec<&[f64]> = experiment.outputs.iter().map(|measured| measured.times.as_slice()).collect();
    let last = times.iter().filter_map(|times| times.last()).copied().fold(0.0, f64::max);
    let scenario = Scenario {
        inputs: &experiment.inputs,
        span: experiment.span.unwrap_or((0.0, last)),
        output_times: &times,
        initial_state: None,
        measured: &[],
    };
    let tight = Options { rtol: 1e-10, atol: 1e-12, ..Options::default() };
    let exact = simulate(model, truth, &scenario, &tight, &NEVER).unwrap().outputs;
    let mut all: Vec<Coverage> = Vec::new();
    let mut pulls: Vec<Vec<f64>> = Vec::new();
    for set in 0..SETS {
        let mut noise = Noise(0x5eed_0000 + set as u64);
        let mut noisy = experiment.clone();
        for ((measured, exact), sigma) in noisy.outputs.iter_mut().zip(&exact).zip(sigmas) {
            measured.values = exact.iter().map(|value| value + sigma * noise.normal()).collect();
        }
        let report = fit(model, &[noisy], options, &NEVER, &|_| {}).unwrap();
        assert!(report.stop.converged(), "set {set}: {}", report.message);
        if all.is_empty() {
            let profiled = |index| report.profiles.iter().any(|profile| profile.parameter == index).then_some(0);
            let one = |(name, &index): (&String, &usize)| Coverage {
                name: name.clone(),
                linear: 0,
                profile: profiled(index),
                pull: (0.0, 0.0),
            };
            all = report.names.iter().zip(&report.free).map(one).collect();
            pulls = vec![Vec::new(); all.len()];
        }
        for (i, &index) in report.free.iter().enumerate() {
            let truth = truth[index];
            all[i].linear += usize::from((report.lower95[i]..=report.upper95[i]).contains(&truth));
            pulls[i].push((report.values[i] - truth) / report.standard_errors[i]);
            if let Some(profile) = report.profiles.iter().find(|profile| profile.parameter == index) {
                let holds = usize::from((profile.lower..=profile.upper).contains(&truth));
                all[i].profile = all[i].profile.map(|count| count + holds);
            }
        }
    }
    for (coverage, pulls) in all.iter_mut().zip(pulls) {
        let mean = pulls.iter().sum::<f64>() / pulls.len() as f64;
        let variance = pulls.iter().map(|pull| (pull - mean).powi(2)).sum::<f64>() / pulls.len() as f64;
        coverage.pull = (mean, variance.sqrt());
    }
    println!("{all:#?}");
    all
}

/// Every linear interval holds the truth as often as promised, and every profile.
pub(crate) fn assert_promised(all: &[Coverage]) {
    for coverage in all {
        assert!(PROMISED.contains(&coverage.linear), "{coverage:?}");
        assert!(coverage.profile.is_none_or(|count| PROMISED.contains(&count)), "{coverage:?}");
    }
}

#[test]
fn intervals_of_two_bodies_hold_the_truth() {
    let (times, power, ambient) = hour(900);
    let mut experiment = crate::support::table(&[&power, &ambient], &vec![0.0; times.len()]);
    experiment.inputs[1].hold = Hold::Linear;
    let model = compile(&two_bodies());
    let all = coverage(&model, &[60.0, 250.0, 2.5, 4.0], &[0.2], &experiment, &FitOptions::default());
    assert_eq!(all.iter().map(|coverage| coverage.name.as_str()).collect::<Vec<_>>(), ["C1", "C2", "k", "h"]);
    assert_promised(&all);
}

#[test]
fn intervals_of_a_first_order_with_dead_time_hold_the_truth() {
    let model = compile(&delayed());
    let times: Vec<f64> = (0..=120).map(f64::from).collect();
    let experiment = delayed_experiment(&JUMPS, &times, vec![0.0; times.len()]);
    let options = FitOptions { starts: 4, profile: vec![2], ..FitOptions::default() };
    // The jumps arrive between samples, then with them: there the cost has a kink at the truth.
    for delay in [3.4, 3.0] {
        let all = coverage(&model, &[2.0, 5.0, delay], &[0.2], &experiment, &options);
        assert_eq!(all.iter().filter(|coverage| coverage.profile.is_some()).count(), 1);
        assert_promised(&all);
    }
}

#[test]
fn a_helper_that_always_holds_the_truth_would_be_noticed() {
    // Standard errors from a σ ten times too large, taken as it is: every interval holds the truth.
    let model = compile(&uatwin::model::ModelSource {
        parameters: vec![crate::support::parameter("a", 0.0, -1e3, 1e3, false)],
        outputs: vec![crate::support::output("y", "a*t", 10.0)],
        ..Default::default()
    });
    let experiment = Experiment { inputs: Vec::<Signal>::new(), ..crate::support::table(&[], &[0.0; 20]) };
    let options = FitOptions { absolute_sigma: true, ..FitOptions::default() };
    let all = coverage(&model, &[3.0], &[1.0], &experiment, &options);
    assert!(!PROMISED.contains(&all[0].linear), "{all:?}");
}
