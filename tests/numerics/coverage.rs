//! How often intervals hold the truth: of any model, on data made from it with noise of a known size.

use std::ops::RangeInclusive;

use uatwin::fit::{Experiment, FitOptions, FitReport, fit};
use uatwin::model::{Hold, Model};
use uatwin::simulate::{Options, Scenario, Signal, simulate};

use crate::profile::{JUMPS, delayed, delayed_experiment};
use crate::support::{NEVER, Noise, compile, hour, two_bodies};

/// Data sets.
const SETS: usize = 200;
/// In how many of them an interval of 95 % may hold the truth, 90 to 99 %: 190 are expected, standard deviation 3.1.
const PROMISED: RangeInclusive<usize> = 180..=198;
/// Intervals that are checked beside those of a fit, this much narrower: the check must notice.
const NARROWER: f64 = 0.7;
/// Standard errors that no estimate is off.
const FAR_OFF: f64 = 6.0;
/// Threads that data sets are spread over.
const THREADS: usize = 2;

/// What is fitted again and again.
pub(crate) struct Study<'a> {
    pub(crate) model: &'a Model,
    /// θ of a data set.
    pub(crate) truth: &'a (dyn Fn(&mut Noise) -> Vec<f64> + Sync),
    /// Of each output's noise.
    pub(crate) sigmas: &'a [f64],
    /// Inputs, and the times at which each output is measured.
    pub(crate) experiment: &'a Experiment,
    pub(crate) options: &'a FitOptions,
}

/// One parameter's intervals.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    pub(crate) name: String,
    /// Intervals from standard errors that hold the truth.
    pub(crate) linear: usize,
    /// Those that would if they were narrower.
    pub(crate) narrower: usize,
    /// Profile likelihood intervals that do, where they were asked for, and those that would if they were narrower.
    pub(crate) profile: Option<(usize, usize)>,
    /// Mean of (estimate − truth) by the standard error, and its standard deviation: 0 and 1 where all is linear.
    pub(crate) pull: (f64, f64),
    /// The largest by size.
    pub(crate) pull_max: f64,
}

impl Coverage {
    /// The better of its intervals: by profile likelihood where there is one.
    pub(crate) fn best(&self) -> usize {
        self.profile.map_or(self.linear, |(count, _)| count)
    }

    fn best_narrower(&self) -> usize {
        self.profile.map_or(self.narrower, |(_, count)| count)
    }
}

/// What one data set says of one parameter.
struct Found {
    linear: bool,
    narrower: bool,
    profile: Option<(bool, bool)>,
    pull: f64,
}

impl Study<'_> {
    /// Fits data sets made by the model, with normal noise, from the model's nominal parameters.
    pub(crate) fn coverage(&self) -> Vec<Coverage> {
        let of_thread = |thread: usize| -> Vec<(Vec<String>, Vec<Found>)> {
            (thread..SETS).step_by(THREADS).map(|set| self.set(set)).collect()
        };
        let all: Vec<(Vec<String>, Vec<Found>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || of_thread(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let of_parameter = |(i, name): (usize, &String)| {
            let found: Vec<&Found> = all.iter().map(|(_, found)| &found[i]).collect();
            let count = |holds: &dyn Fn(&Found) -> bool| found.iter().filter(|found| holds(found)).count();
            let mean = found.iter().map(|found| found.pull).sum::<f64>() / found.len() as f64;
            let variance = found.iter().map(|found| (found.pull - mean).powi(2)).sum::<f64>() / found.len() as f64;
            Coverage {
                name: name.clone(),
                linear: count(&|found| found.linear),
                narrower: count(&|found| found.narrower),
                profile: found[0].profile.is_some().then(|| {
                    let profile = |found: &Found| found.profile.unwrap_or_default();
                    (count(&|found| profile(found).0), count(&|found| profile(found).1))
                }),
                pull: (mean, variance.sqrt()),
                pull_max: found.iter().map(|found| found.pull.abs()).fold(0.0, f64::max),
            }
        };
        all[0].0.iter().enumerate().map(of_parameter).collect()
    }

    fn set(&self, set: usize) -> (Vec<String>, Vec<Found>) {
        let mut noise = Noise(0x5eed_0000 + set as u64);
        let truth = (self.truth)(&mut noise);
        let times: Vec<&[f64]> = self.experiment.outputs.iter().map(|measured| measured.times.as_slice()).collect();
        let last = times.iter().filter_map(|times| times.last()).copied().fold(0.0, f64::max);
        let scenario = Scenario {
            inputs: &self.experiment.inputs,
            span: self.experiment.span.unwrap_or((0.0, last)),
            output_times: &times,
            initial_state: None,
            measured: &[],
        };
        let tight = Options { rtol: 1e-9, atol: 1e-12, ..Options::default() };
        let exact = simulate(self.model, &truth, &scenario, &tight, &NEVER).unwrap().outputs;
        let mut noisy = self.experiment.clone();
        for ((measured, exact), sigma) in noisy.outputs.iter_mut().zip(&exact).zip(self.sigmas) {
            measured.values = exact.iter().map(|value| value + sigma * noise.normal()).collect();
        }
        let report = fit(self.model, &[noisy], self.options, &NEVER, &|_| {}).unwrap();
        assert!(report.stop.converged(), "set {set}, {truth:?}: {}", report.message);
        let found = (0..report.free.len()).map(|i| found(&report, i, truth[report.free[i]])).collect();
        (report.names, found)
    }
}

fn found(report: &FitReport, i: usize, truth: f64) -> Found {
    let holds = |lower: f64, upper: f64, part: f64| {
        let value = report.values[i];
        (value + part * (lower - value)..=value + part * (upper - value)).contains(&truth)
    };
    let linear = |part: f64| holds(report.lower95[i], report.upper95[i], part);
    let profile = report.profiles.iter().find(|profile| profile.parameter == report.free[i]);
    let of_profile = |part: f64| profile.map(|profile| holds(profile.lower, profile.upper, part));
    Found {
        linear: linear(1.0),
        narrower: linear(NARROWER),
        profile: of_profile(1.0).zip(of_profile(NARROWER)),
        pull: (report.values[i] - truth) / report.standard_errors[i],
    }
}

/// Every interval, by profile likelihood where there is one, holds the truth as often as promised, and would not if it were
/// narrower.
pub(crate) fn assert_promised(what: &str, all: &[Coverage]) {
    for Coverage { name, linear, narrower, profile, pull, pull_max } in all {
        println!(
            "{what} {name}: {linear} of {SETS}, narrower {narrower}; profile {profile:?}; pull {pull:.2?} to {pull_max:.2}"
        );
    }
    for coverage in all {
        // One in a hundred million by chance; a search that ends halfway is further off.
        assert!(coverage.pull_max < FAR_OFF || coverage.profile.is_some(), "{what}: {coverage:?}");
        assert!(PROMISED.contains(&coverage.best()), "{what}: {coverage:?}");
    }
    // 83 % are expected; one parameter of a few may pass by chance, not all of them together.
    let narrower: usize = all.iter().map(Coverage::best_narrower).sum();
    assert!(narrower < all.len() * PROMISED.start(), "{what}: {all:?}");
}

/// Of one truth, once for all data sets.
fn of_one_truth(
    model: &Model,
    truth: &[f64],
    sigmas: &[f64],
    experiment: &Experiment,
    options: &FitOptions,
) -> Vec<Coverage> {
    let truth = |_: &mut Noise| truth.to_vec();
    Study { model, truth: &truth, sigmas, experiment, options }.coverage()
}

#[test]
fn intervals_of_two_bodies_hold_the_truth() {
    let (times, power, ambient) = hour(900);
    let mut experiment = crate::support::table(&[&power, &ambient], &vec![0.0; times.len()]);
    experiment.inputs[1].hold = Hold::Linear;
    let model = compile(&two_bodies());
    let all = of_one_truth(&model, &[60.0, 250.0, 2.5, 4.0], &[0.2], &experiment, &FitOptions::default());
    assert_eq!(all.iter().map(|coverage| coverage.name.as_str()).collect::<Vec<_>>(), ["C1", "C2", "k", "h"]);
    assert_promised("two bodies", &all);
}

#[test]
fn intervals_of_a_first_order_with_dead_time_hold_the_truth() {
    let model = compile(&delayed());
    let times: Vec<f64> = (0..=120).map(f64::from).collect();
    let experiment = delayed_experiment(&JUMPS, &times, vec![0.0; times.len()]);
    let options = FitOptions { starts: 4, profile: vec![2], ..FitOptions::default() };
    // The jumps arrive between samples, then with them: there the cost has a kink at the truth.
    for delay in [3.4, 3.0] {
        let all = of_one_truth(&model, &[2.0, 5.0, delay], &[0.2], &experiment, &options);
        assert_eq!(all.iter().filter(|coverage| coverage.profile.is_some()).count(), 1);
        assert!(all.iter().all(|coverage| PROMISED.contains(&coverage.linear)), "{all:?}");
        assert_promised("first order with dead time", &all);
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
    let all = of_one_truth(&model, &[3.0], &[1.0], &experiment, &options);
    assert!(!PROMISED.contains(&all[0].linear), "{all:?}");
}
