//! Fits against a known truth made without the library, and what is said where the data say nothing.

use std::sync::atomic::AtomicBool;

use uatwin::fit::{Experiment, FitError, FitOptions, FitReport, Measured, fit};
use uatwin::model::{Hold, Init, Loss, Model, ModelSource};
use uatwin::simulate::Signal;

use crate::support::{
    NEVER, Noise, compile, equation, hour, input, output, parameter, state, two_bodies, two_bodies_rk4,
};

const TRUTH: [f64; 4] = [60.0, 250.0, 2.5, 4.0];

fn thermal(seconds: usize, sigma: f64, seed: u64) -> Experiment {
    let mut noise = Noise(seed);
    let (times, power, ambient) = hour(seconds);
    let values = two_bodies_rk4(&TRUTH, &power, &ambient, 8).iter().map(|y| y + sigma * noise.normal()).collect();
    Experiment {
        inputs: vec![
            Signal { times: times.clone(), values: power, hold: Hold::Previous },
            Signal { times: times.clone(), values: ambient, hold: Hold::Linear },
        ],
        outputs: vec![Measured { times, values, weights: vec![] }],
        span: None,
    }
}

fn run(model: &Model, experiment: &Experiment, options: &FitOptions) -> FitReport {
    fit(model, std::slice::from_ref(experiment), options, &NEVER, &|_| {}).unwrap()
}

#[test]
fn the_truth_lies_in_the_intervals_as_often_as_they_promise() {
    let model = compile(&two_bodies());
    let (mut inside, mut all) = (0, 0);
    for seed in 0..40 {
        let report = run(&model, &thermal(900, 0.2, seed), &FitOptions::default());
        assert!(report.stop.converged() && report.improved, "{}", report.message);
        for (i, truth) in TRUTH.iter().enumerate() {
            all += 1;
            inside += usize::from((report.lower95[i]..=report.upper95[i]).contains(truth));
            let error = (report.values[i] - truth).abs() / report.standard_errors[i];
            assert!(error < 4.5, "{}: {error} standard errors off", report.names[i]);
        }
        assert!((report.rmse / 0.2 - 1.0).abs() < 0.15 && (report.durbin_watson - 2.0).abs() < 0.3, "{report:?}");
    }
    // 160 intervals of 95 %: 152 expected, standard deviation 2.8 (more, as the four of one data set go together).
    assert!((140..=160).contains(&inside), "{inside} of {all}");
}

/// An own Gauss–Newton on Runge–Kutta and central differences, of the normal equations: slow and simple.
fn independent(experiment: &Experiment) -> ([f64; 4], [f64; 4], f64) {
    let (power, ambient) = (&experiment.inputs[0].values, &experiment.inputs[1].values);
    let measured = &experiment.outputs[0].values;
    let simulated = |theta: &[f64; 4]| two_bodies_rk4(theta, power, ambient, 4);
    let mut theta = TRUTH;
    let mut inverse = [[0.0; 4]; 4];
    for _ in 0..8 {
        let now = simulated(&theta);
        let columns: Vec<Vec<f64>> = (0..4)
            .map(|j| {
                let (mut above, mut below) = (theta, theta);
                let h = 1e-4 * theta[j];
                above[j] += h;
                below[j] -= h;
                simulated(&above).iter().zip(simulated(&below)).map(|(a, b)| (a - b) / (2.0 * h)).collect()
            })
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let residuals: Vec<f64> = measured.iter().zip(&now).map(|(y, s)| y - s).collect();
        let mut rows: Vec<Vec<f64>> = (0..4)
            .map(|i| {
                let mut row: Vec<f64> = (0..4).map(|j| dot(&columns[i], &columns[j])).collect();
                row.extend((0..4).map(|j| f64::from(u8::from(i == j))));
                row
            })
            .collect();
        for pivot in 0..4 {
            let by = rows[pivot][pivot];
            rows[pivot].iter_mut().for_each(|value| *value /= by);
            let base = rows[pivot].clone();
            for other in (0..4).filter(|other| *other != pivot) {
                let by = rows[other][pivot];
                rows[other].iter_mut().zip(&base).for_each(|(value, base)| *value -= by * base);
            }
        }
        for i in 0..4 {
            inverse[i].copy_from_slice(&rows[i][4..]);
            theta[i] += (0..4).map(|j| inverse[i][j] * dot(&columns[j], &residuals)).sum::<f64>();
        }
    }
    let cost: f64 = simulated(&theta).iter().zip(measured).map(|(s, y)| (y - s).powi(2)).sum();
    let variance = cost / (measured.len() - 4) as f64;
    (theta, std::array::from_fn(|i| (inverse[i][i] * variance).sqrt()), cost)
}

#[test]
fn a_dynamic_fit_agrees_with_an_independent_one() {
    let experiment = thermal(900, 0.2, 99);
    let report = run(&compile(&two_bodies()), &experiment, &FitOptions::default());
    let (theta, errors, cost) = independent(&experiment);
    for i in 0..4 {
        assert!((report.values[i] / theta[i] - 1.0).abs() < 1e-5, "{} and {}", report.values[i], theta[i]);
        assert!(
            (report.standard_errors[i] / errors[i] - 1.0).abs() < 1e-4,
            "{} and {}",
            report.standard_errors[i],
            errors[i]
        );
    }
    // σ = 0.2 scales the cost.
    assert!((report.cost * 0.04 / cost - 1.0).abs() < 1e-8, "{} and {cost}", report.cost);
}

#[test]
fn every_start_finds_the_same_optimum_and_the_same_seed_the_same_report() {
    let model = compile(&two_bodies());
    let experiment = thermal(900, 0.2, 5);
    let options = FitOptions { starts: 6, seed: 3, ..FitOptions::default() };
    let report = run(&model, &experiment, &options);
    assert_eq!(report.starts.len(), 6);
    assert_eq!(report.starts[0].from, model.nominal());
    let good = report.starts.iter().filter(|start| (start.cost / report.cost - 1.0).abs() < 1e-2).count();
    assert!(good >= 5, "{:?}", report.starts);
    assert_eq!(report, run(&model, &experiment, &options));
    let other = run(&model, &experiment, &FitOptions { seed: 4, ..options.clone() });
    assert_ne!(report.starts[1].from, other.starts[1].from);
    assert_eq!(report, run(&model, &experiment, &FitOptions { threads: 2, ..options }), "threads change nothing");
}

#[test]
fn far_starts_that_take_a_short_cut_end_on_the_whole_data() {
    // Above 1600 samples the way of the far starts is walked on thinned data.
    let report =
        run(&compile(&two_bodies()), &thermal(3600, 0.2, 21), &FitOptions { starts: 5, ..FitOptions::default() });
    for start in &report.starts[1..] {
        assert!((start.cost / report.cost - 1.0).abs() < 1e-3, "{:?}", report.starts);
    }
    assert_eq!(report.starts[0].cost, report.cost, "the first start had found it");
}

/// y = a·b·u + c, where only a·b can be known.
fn product() -> ModelSource {
    let free = |name: &str, value: f64| parameter(name, value, 0.01, 100.0, false);
    ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        parameters: vec![free("a", 2.0), free("b", 3.0), free("c", 1.0), free("idle", 7.0)],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "(a*b*u - x)/c")],
        outputs: vec![output("y", "x", 0.1)],
        ..ModelSource::default()
    }
}

fn exponential(constant: bool) -> Experiment {
    let mut noise = Noise(2);
    let times: Vec<f64> = (0..200).map(|i| 0.1 * f64::from(i)).collect();
    // x' = (10·u − x)/1.5, u = 1 (then 2 from 10 s on): exact.
    let tau = 1.5_f64;
    let step = |t: f64| 10.0 * (1.0 - (-t / tau).exp());
    let values = times
        .iter()
        .map(|t| step(*t) + if *t > 10.0 && !constant { step(*t - 10.0) } else { 0.0 } + 0.1 * noise.normal())
        .collect();
    let later = if constant { 1.0 } else { 2.0 };
    Experiment {
        inputs: vec![Signal { times: vec![0.0, 10.0], values: vec![1.0, later], hold: Hold::Previous }],
        outputs: vec![Measured { times, values, weights: vec![] }],
        span: None,
    }
}

#[test]
fn parameters_that_the_data_do_not_determine_are_named_and_have_no_standard_error() {
    let report = run(&compile(&product()), &exponential(false), &FitOptions::default());
    let error = |name: &str| report.standard_errors[report.names.iter().position(|n| n == name).unwrap()];
    for name in ["a", "b", "idle"] {
        assert!(error(name).is_nan(), "{name}: {}", error(name));
        assert!(report.message.contains(&format!("`{name}`")), "{}", report.message);
    }
    assert!(error("c") > 0.0 && error("c") < 0.1, "{}", error("c"));
    assert!((report.values[2] - 1.5).abs() < 5.0 * error("c"), "{}", report.values[2]);
    assert!((report.values[0] * report.values[1] - 10.0).abs() < 0.1, "{:?}", report.values);
    assert!(report.condition_number.is_infinite());
    let directions: Vec<Vec<&str>> =
        report.null_directions.iter().map(|d| d.iter().map(|(name, _)| name.as_str()).collect()).collect();
    assert_eq!(directions.len(), 2, "{directions:?}");
    assert!(report.lower95[0].is_nan() && report.upper95[0].is_nan() && report.covariance[0].is_nan());
}

#[test]
fn a_constant_input_is_said_to_be_constant() {
    let report =
        run(&compile(&product()), &exponential(true), &FitOptions { free: vec![0, 2], ..FitOptions::default() });
    assert!(report.message.contains("the input `u` is constant"), "{}", report.message);
}

#[test]
fn a_parameter_that_ends_at_its_bound_says_so_and_has_no_standard_error() {
    let mut source = product();
    source.parameters[2].max = 1.2;
    let options = FitOptions { free: vec![0, 2], ..FitOptions::default() };
    let report = run(&compile(&source), &exponential(false), &options);
    assert_eq!(
        (report.values[1], report.at_upper.as_slice(), report.at_lower.as_slice()),
        (1.2, [false, true].as_slice(), [false, false].as_slice())
    );
    assert!(report.standard_errors[1].is_nan() && report.standard_errors[0] > 0.0, "{:?}", report.standard_errors);
    assert!(report.message.contains("`c` ended at its upper bound 1.2"), "{}", report.message);
    assert!(report.stop.converged(), "{}", report.message);
}

#[test]
fn a_bound_on_a_logarithmic_scale_is_met_to_the_last_bit() {
    // exp(ln(x)) is a little less or more than x for most of these.
    for max in [1.1, 1.2, 1.3, 1.37, 0.7, 0.9] {
        let mut source = product();
        source.parameters[2] = parameter("c", 0.5, 0.01, max, true);
        let options = FitOptions { free: vec![0, 2], ..FitOptions::default() };
        let report = run(&compile(&source), &exponential(false), &options);
        assert_eq!((report.values[1], report.at_upper[1]), (max, true), "{}", report.message);
        assert!(report.standard_errors[1].is_nan());
    }
}

#[test]
fn values_in_force_that_are_already_the_best_are_not_replaced_by_worse() {
    let model = compile(&two_bodies());
    let experiment = thermal(900, 0.2, 8);
    let first = run(&model, &experiment, &FitOptions::default());
    assert!(first.improved && first.cost < first.cost_before);
    let again =
        run(&model, &experiment, &FitOptions { theta: Some(first.theta.clone()), starts: 3, ..FitOptions::default() });
    assert!(!again.improved && again.cost <= again.cost_before, "{} {}", again.cost, again.cost_before);
}

#[test]
fn robust_losses_keep_outliers_from_the_estimate() {
    let mut experiment = thermal(900, 0.2, 11);
    for i in (10..900).step_by(20) {
        experiment.outputs[0].values[i] += 15.0;
    }
    let fitted = |loss: Loss| {
        let mut source = two_bodies();
        source.outputs[0].loss = loss;
        run(&compile(&source), &experiment, &FitOptions::default())
    };
    let error = |report: &FitReport| {
        report.values.iter().zip(TRUTH).map(|(value, truth)| (value / truth - 1.0).abs()).fold(0.0, f64::max)
    };
    let (squares, huber, soft) = (fitted(Loss::Squares), fitted(Loss::Huber), fitted(Loss::SoftL1));
    assert!(
        error(&huber) < 0.3 * error(&squares) && error(&soft) < 0.3 * error(&squares),
        "{} {} {}",
        error(&squares),
        error(&huber),
        error(&soft)
    );
    // Huber's cost by its definition, from the residuals of an independent simulation.
    let simulated = two_bodies_rk4(&huber.theta, &experiment.inputs[0].values, &experiment.inputs[1].values, 8);
    let cost: f64 = simulated
        .iter()
        .zip(&experiment.outputs[0].values)
        .map(|(s, y)| ((y - s) / 0.2).abs())
        .map(|r| if r <= 1.0 { r * r } else { 2.0 * r - 1.0 })
        .sum();
    assert!((huber.cost / cost - 1.0).abs() < 1e-6, "{} and {cost}", huber.cost);
}

#[test]
fn initial_states_are_estimated_or_taken_from_the_measurements() {
    let times: Vec<f64> = (0..50).map(|i| 0.2 * f64::from(i)).collect();
    let values: Vec<f64> = times.iter().map(|t| 7.0 * (-t / 2.0).exp()).collect();
    let mut source = ModelSource {
        states: vec![state("x", Init::Parameter("x0".into()))],
        parameters: vec![parameter("x0", 1.0, 0.0, 100.0, false), parameter("tau", 1.0, 0.1, 100.0, true)],
        equations: vec![equation("x", "-x/tau")],
        outputs: vec![output("y", "x", 1.0), output("unused", "2*x", 1.0)],
        ..ModelSource::default()
    };
    let experiment = Experiment {
        inputs: vec![],
        outputs: vec![Measured { times, values, weights: vec![] }, Measured::default()],
        span: None,
    };
    let report = run(&compile(&source), &experiment, &FitOptions::default());
    assert!((report.values[0] - 7.0).abs() < 1e-5 && (report.values[1] - 2.0).abs() < 1e-5, "{:?}", report.values);
    assert!((report.final_state[0] - 7.0 * (-4.9_f64).exp()).abs() < 1e-5, "{:?}", report.final_state);
    source.states[0].init = Init::Measured("y".into());
    let report = run(&compile(&source), &experiment, &FitOptions { free: vec![1], ..FitOptions::default() });
    assert!((report.values[0] - 2.0).abs() < 1e-5, "{:?}", report.values);
}

#[test]
fn several_outputs_count_by_their_sigma_and_several_experiments_together() {
    let line = |slope: f64, times: &[f64]| times.iter().map(|t| slope * t).collect::<Vec<f64>>();
    let model = compile(&ModelSource {
        parameters: vec![parameter("a", 1.0, -100.0, 100.0, false)],
        outputs: vec![output("y", "a*t", 1.0), output("z", "a*t", 2.0)],
        ..ModelSource::default()
    });
    let measured =
        |slope: f64, times: &[f64]| Measured { times: times.to_vec(), values: line(slope, times), weights: vec![] };
    let experiments = [
        Experiment {
            inputs: vec![],
            outputs: vec![measured(3.0, &[1.0, 2.0]), measured(5.0, &[1.0, 2.0])],
            span: None,
        },
        Experiment { inputs: vec![], outputs: vec![Measured::default(), measured(5.0, &[3.0])], span: None },
    ];
    let report = fit(&model, &experiments, &FitOptions::default(), &NEVER, &|_| {}).unwrap();
    // Weights Σt²/σ²: y has 5, z has 14/4.
    let expected = (5.0 * 3.0 + 3.5 * 5.0) / 8.5;
    assert!((report.values[0] - expected).abs() < 1e-9, "{}", report.values[0]);
    let cost = 5.0 * (3.0 - expected).powi(2) + 3.5 * (5.0 - expected).powi(2);
    assert!((report.cost - cost).abs() < 1e-9 && (report.rmse - (cost / 5.0).sqrt()).abs() < 1e-9, "{report:?}");
    // Standard error by the formula of the weighted mean, and without the reduced χ².
    let error = (cost / 4.0 / 8.5).sqrt();
    assert!((report.standard_errors[0] / error - 1.0).abs() < 1e-9);
    assert!((report.upper95[0] - report.values[0] - 2.776_445_105 * error).abs() < 1e-6, "t of 4 degrees of freedom");
    let absolute = FitOptions { absolute_sigma: true, ..FitOptions::default() };
    let report = fit(&model, &experiments, &absolute, &NEVER, &|_| {}).unwrap();
    assert!((report.standard_errors[0] / 8.5_f64.sqrt().recip() - 1.0).abs() < 1e-9);
}

#[test]
fn inputs_in_units_wrong_by_a_million_give_no_confident_answer() {
    let mut experiment = thermal(900, 0.2, 4);
    experiment.inputs[0].values.iter_mut().for_each(|value| *value *= 1e6);
    let report = run(&compile(&two_bodies()), &experiment, &FitOptions { starts: 3, ..FitOptions::default() });
    assert!(report.message.contains("bound") || report.message.contains("units"), "{}", report.message);
}

#[test]
fn a_cancelled_fit_ends_without_a_result() {
    let cancel = AtomicBool::new(true);
    let model = compile(&two_bodies());
    let result = fit(&model, &[thermal(900, 0.2, 1)], &FitOptions::default(), &cancel, &|_| {});
    assert!(matches!(result, Err(FitError::Cancelled)), "{result:?}");
}
