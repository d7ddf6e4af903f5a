//! Several experiments with parameters of their own, several optima, and validation on data that weren't fitted to.

use uatwin::fit::{Experiment, FitError, FitOptions, FitReport, Measured, Stop, fit, inputs_within, known, validate};
use uatwin::model::{Hold, Init, Model, ModelSource};
use uatwin::simulate::Signal;

use crate::support::{
    NEVER, Noise, close, compile, equation, helper, input, output, parameter, state, table, two_bodies,
};

/// One body that a heater warms, seen by a sensor with an offset; the start is estimated.
fn oven() -> ModelSource {
    ModelSource {
        states: vec![state("T", Init::Parameter("T0".into()))],
        parameters: vec![
            parameter("C", 100.0, 5.0, 1000.0, true),
            parameter("h", 2.0, 0.05, 20.0, true),
            parameter("T0", 20.0, -50.0, 200.0, false),
            parameter("offset", 0.0, -10.0, 10.0, false),
        ],
        inputs: vec![input("P", Hold::Previous)],
        equations: vec![equation("T", "(P - h*(T - 20))/C")],
        outputs: vec![output("temperature", "T + offset", 0.1)],
        ..ModelSource::default()
    }
}

/// The exact solution: 60 J/K and 1.5 W/K, 100 W from 0 to 200 s and none until 400 s.
fn oven_data(start: f64, offset: f64, seed: u64) -> Experiment {
    let (capacity, loss) = (60.0, 1.5);
    let mut noise = Noise(seed);
    let towards = |level: f64, from: f64, t: f64| level + (from - level) * (-t * loss / capacity).exp();
    let times: Vec<f64> = (0..=200).map(|i| 2.0 * f64::from(i)).collect();
    let hot = 20.0 + 100.0 / loss;
    let body = |t: &f64| match *t <= 200.0 {
        true => towards(hot, start, *t),
        false => towards(20.0, towards(hot, start, 200.0), *t - 200.0),
    };
    let values = times.iter().map(|t| body(t) + offset + 0.1 * noise.normal()).collect();
    Experiment {
        inputs: vec![Signal { times: vec![0.0, 200.0], values: vec![100.0, 0.0], hold: Hold::Previous }],
        outputs: vec![Measured { times, values, weights: vec![] }],
        span: None,
    }
}

fn run(model: &Model, experiments: &[Experiment], options: &FitOptions) -> FitReport {
    fit(model, experiments, options, &NEVER, &|_| {}).unwrap()
}

#[test]
fn each_experiment_has_its_own_start_and_the_device_one_set_of_parameters() {
    let model = compile(&oven());
    let truth = [35.0, 20.0, 80.0];
    let experiments: Vec<Experiment> =
        truth.iter().zip(1..).map(|(start, seed)| oven_data(*start, 0.0, seed)).collect();
    let options = FitOptions { free: vec![0, 1], per_experiment: vec![2], ..FitOptions::default() };
    let report = run(&model, &experiments, &options);
    assert_eq!(
        (report.names.as_slice(), report.free.as_slice()),
        (["C".into(), "h".into()].as_slice(), [0, 1].as_slice())
    );
    for (i, expected) in [60.0, 1.5].into_iter().enumerate() {
        assert!((report.values[i] - expected).abs() < 4.0 * report.standard_errors[i], "{:?}", report.values);
        close(report.values[i], expected, 0.01);
    }
    for (experiment, (estimate, start)) in report.local.iter().zip(truth).enumerate() {
        assert_eq!((estimate.experiment, estimate.name.as_str(), estimate.initial), (Some(experiment), "T0", 20.0));
        assert!((estimate.value - start).abs() < 4.0 * estimate.standard_error && estimate.standard_error < 0.1);
        assert!(estimate.lower95 < estimate.value && estimate.value < estimate.upper95);
        assert_eq!(report.theta_of(experiment)[2], estimate.value);
    }
    assert_eq!(report.theta, report.theta_of(2), "the last experiment's is the one to go on from");
    assert_eq!(report.degrees_of_freedom, 3 * 201 - 5);
    assert!((report.rmse / 0.1 - 1.0).abs() < 0.1);
    // With one start for all, the model can't follow.
    let shared = run(&model, &experiments, &FitOptions { free: vec![0, 1, 2], ..FitOptions::default() });
    assert!(shared.rmse > 10.0 * report.rmse);
    assert_eq!((shared.names.len(), shared.local.len()), (3, 0));
}

/// The heater was switched off while nobody recorded its power: behind the gap is another run.
#[test]
fn what_was_measured_while_an_input_was_not_known_does_not_spoil_a_fit() {
    let mut source = oven();
    source.inputs[0].max_gap_s = Some(10.0);
    let model = compile(&source);
    let mut data = oven_data(35.0, 0.0, 1);
    // Said again every 2 s, but not from 150 to 260 s: nobody knows when it went off.
    let times: Vec<f64> = (0..=200).map(|i| 2.0 * f64::from(i)).filter(|t| !(150.5..260.0).contains(t)).collect();
    let values = times.iter().map(|t| if *t < 200.0 { 100.0 } else { 0.0 }).collect();
    data.inputs[0] = Signal { times, values, hold: Hold::Previous };
    let known = known(&model, &model.nominal(), &data.inputs, (0.0, 400.0));
    assert_eq!(known, [(0.0, 150.0), (260.0, 400.0)]);
    let part = |(begin, end): (f64, f64)| {
        let measured = &data.outputs[0];
        let rows = measured.times.iter().zip(&measured.values).filter(|(t, _)| (begin..=end).contains(*t));
        let (times, values) = rows.map(|(t, value)| (*t, *value)).unzip();
        let outputs = vec![Measured { times, values, weights: vec![] }];
        Experiment { inputs: inputs_within(&model, &data.inputs, (begin, end)), outputs, span: None }
    };
    let options = FitOptions { free: vec![0, 1, 2], ..FitOptions::default() };
    let options = FitOptions { per_experiment: model.of_a_run(&options.free), ..options };
    assert_eq!(options.per_experiment, [2], "the start and nothing else");
    let report = run(&model, &known.into_iter().map(part).collect::<Vec<_>>(), &options);
    for (i, expected) in [60.0, 1.5].into_iter().enumerate() {
        assert!((report.values[i] - expected).abs() < 4.0 * report.standard_errors[i], "{:?}", report.values);
    }
    assert!((report.rmse / 0.1 - 1.0).abs() < 0.1 && (report.local[0].value - 35.0).abs() < 0.3, "{report:?}");
    let all = report.covariance.len().isqrt();
    assert_eq!(report.shared_covariance(), [&report.covariance[..2], &report.covariance[all..all + 2]].concat());
    // Held over the gap the power is wrong in it.
    let held = run(&model, &[data], &FitOptions { per_experiment: vec![], ..options });
    assert!(held.rmse > 10.0 * report.rmse && (held.values[0] - 60.0).abs() > 5.0, "{:?}", held.values);
}

#[test]
fn starts_of_their_own_are_where_the_search_begins() {
    let model = compile(&oven());
    let experiments = [oven_data(35.0, 0.0, 1), oven_data(80.0, 0.0, 2)];
    let options = FitOptions {
        free: vec![0, 1],
        per_experiment: vec![2, 3],
        per_experiment_start: vec![vec![34.0, 0.0], vec![81.0, 0.5]],
        iterations_max: 0,
        ..FitOptions::default()
    };
    let report = run(&model, &experiments, &options);
    assert_eq!(report.starts[0].from, [100.0, 2.0, 34.0, 0.0, 81.0, 0.5]);
    let initial: Vec<f64> = report.local.iter().map(|estimate| estimate.initial).collect();
    assert_eq!(initial, [34.0, 0.0, 81.0, 0.5]);
    for start in [vec![vec![34.0, 0.0]], vec![vec![34.0], vec![81.0]], vec![vec![34.0, 0.0], vec![81.0, 11.0]]] {
        let wrong = FitOptions { per_experiment_start: start, ..options.clone() };
        let wrong = fit(&model, &experiments, &wrong, &NEVER, &|_| {});
        assert!(matches!(wrong, Err(FitError::Argument(_))), "{wrong:?}");
    }
    for per_experiment in [vec![2, 2], vec![9]] {
        let wrong = FitOptions { per_experiment, ..FitOptions::default() };
        let wrong = fit(&model, &experiments, &wrong, &NEVER, &|_| {});
        assert!(matches!(wrong, Err(FitError::Argument(_))), "{wrong:?}");
    }
}

#[test]
fn an_experiment_simulates_only_its_own_parameters() {
    // 50 experiments with 5 of their own are 250 columns; a simulation has at most 64.
    let names = ["a", "b", "c", "d", "e"];
    let sum = names.iter().enumerate().map(|(i, name)| format!("{name}*t^{i}")).collect::<Vec<_>>().join(" + ");
    let model = compile(&ModelSource {
        parameters: names.iter().map(|name| parameter(name, 0.0, -1e6, 1e6, false)).collect(),
        outputs: vec![output("y", &sum, 1.0)],
        ..ModelSource::default()
    });
    let value = |experiment: usize, t: f64| experiment as f64 + 0.1 * t - 0.01 * t * t;
    let experiment = |number: usize| table(&[], &(0..10).map(|t| value(number, f64::from(t))).collect::<Vec<_>>());
    let experiments: Vec<Experiment> = (0..50).map(experiment).collect();
    let options = FitOptions { per_experiment: vec![0, 1, 2, 3, 4], ..FitOptions::default() };
    let report = run(&model, &experiments, &options);
    assert_eq!(report.local.len(), 250);
    for (number, own) in report.local.chunks_exact(5).enumerate() {
        let expected = [number as f64, 0.1, -0.01, 0.0, 0.0];
        assert!(own.iter().zip(expected).all(|(own, expected)| (own.value - expected).abs() < 1e-6), "{own:?}");
    }
    let many: Vec<Experiment> = (0..52).map(experiment).collect();
    let refused = fit(&model, &many, &options, &NEVER, &|_| {});
    assert!(matches!(refused, Err(FitError::TooManyEstimates { parameters: 260 })), "{refused:?}");
}

#[test]
fn what_one_experiment_does_not_determine_is_named_with_it() {
    // The second experiment has no measurement: its start is anything, the rest is as without it.
    let model = compile(&oven());
    let mut empty = oven_data(80.0, 0.0, 2);
    empty.outputs[0] = Measured::default();
    let options = FitOptions { free: vec![0, 1], per_experiment: vec![2], starts: 3, ..FitOptions::default() };
    let report = run(&model, &[oven_data(35.0, 0.0, 1), empty], &options);
    assert!(report.local[1].standard_error.is_nan() && report.local[0].standard_error < 0.1);
    assert!(report.message.contains("the data do not determine `T0` of experiment 2"), "{}", report.message);
    assert_eq!(report.null_directions, [[("T0 of experiment 2".to_owned(), report.null_directions[0][0].1)]]);
    // Start and offset of an experiment go together only through how fast it cools: the pair is named.
    let options = FitOptions { free: vec![0, 1], per_experiment: vec![2, 3], ..FitOptions::default() };
    let report = run(&model, &[oven_data(35.0, 0.0, 1), oven_data(80.0, 0.0, 2)], &options);
    assert_eq!(
        report.labels()[2..],
        ["T0", "offset", "T0", "offset"]
            .iter()
            .zip([1, 1, 2, 2])
            .map(|(name, n)| format!("{name} of experiment {n}"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn any_number_of_threads_gives_the_same_report() {
    let model = compile(&oven());
    let experiments = [oven_data(35.0, 1.0, 1), oven_data(80.0, -1.0, 2), oven_data(20.0, 0.0, 3)];
    let run = |threads: usize| {
        let options = FitOptions {
            free: vec![0, 1],
            per_experiment: vec![2, 3],
            profile: vec![1, 2],
            starts: 8,
            threads,
            ..FitOptions::default()
        };
        let report = run(&model, &experiments, &options);
        let other = [oven_data(50.0, 0.5, 4)];
        let validation = validate(&model, &other, &report, &options, false, &NEVER, &|_| {}).unwrap();
        (report, validation)
    };
    let one = run(1);
    assert_eq!(one.0.profiles.len(), 4);
    for threads in [2, 5, 64] {
        // Where an experiment has no gap, nothing is NaN; the debug form tells NaN from NaN.
        assert_eq!(format!("{one:?}"), format!("{:?}", run(threads)));
    }
}

#[test]
fn starts_that_end_at_different_optima_are_counted() {
    // Two exponentials: swapped, they are another optimum of the same cost.
    let free = |name: &str, value: f64, max: f64| parameter(name, value, 0.01, max, true);
    let model = compile(&ModelSource {
        parameters: vec![free("a", 3.0, 20.0), free("k", 2.0, 20.0), free("b", 1.0, 20.0), free("m", 0.3, 20.0)],
        outputs: vec![output("y", "a*exp(-k*t/10) + b*exp(-m*t/10)", 1.0)],
        ..ModelSource::default()
    });
    let mut noise = Noise(12);
    let values: Vec<f64> = (0..60)
        .map(f64::from)
        .map(|t| 4.0 * (-0.3 * t).exp() + 2.0 * (-0.02 * t).exp() + 0.02 * noise.normal())
        .collect();
    let options = FitOptions { starts: 12, ..FitOptions::default() };
    let report = run(&model, &[table(&[], &values)], &options);
    let converged = report.starts.iter().filter(|start| start.stop.converged()).count();
    assert_eq!(report.optima.iter().map(|optimum| optimum.starts.len()).sum::<usize>(), converged);
    let (first, second) = (&report.optima[0], &report.optima[1]);
    assert_eq!((first.cost, first.values.as_slice()), (report.cost, report.values.as_slice()));
    assert_eq!(first.starts[0], report.best_start);
    close(second.cost, first.cost, 1e-3);
    for (i, swapped) in [2, 3, 0, 1].into_iter().enumerate() {
        close(second.values[i], first.values[swapped], 0.05);
    }
    let ends = |optimum: &uatwin::fit::OptimumReport| {
        optimum.starts.iter().all(|start| report.starts[*start].stop.converged())
    };
    assert!(report.optima.iter().all(ends));
    // A model with one optimum has one; one that the data leave open, too, wherever the starts end.
    let alone = run(
        &compile(&oven()),
        &[oven_data(35.0, 0.0, 1)],
        &FitOptions { free: vec![0, 1, 2], starts: 8, ..FitOptions::default() },
    );
    assert_eq!((alone.optima.len(), alone.optima[0].starts.len()), (1, 8), "{:?}", alone.optima);
    let mut open = oven();
    open.lets = vec![helper("both", "C*h")];
    open.equations[0].expr = "(P - both*(T - 20))/60".into();
    let open = run(
        &compile(&open),
        &[oven_data(35.0, 0.0, 1)],
        &FitOptions { free: vec![0, 1, 2], starts: 8, ..FitOptions::default() },
    );
    assert_eq!((open.null_directions.len(), open.optima.len()), (1, 1), "{:?}", open.optima);
}

#[test]
fn validation_judges_on_other_data_and_estimates_only_what_belongs_to_a_run() {
    let model = compile(&oven());
    let options = FitOptions { free: vec![0, 1, 2], ..FitOptions::default() };
    let fitted = run(&model, &[oven_data(35.0, 0.0, 1)], &options);
    let others = [oven_data(60.0, 0.0, 5), oven_data(25.0, 0.0, 6)];
    let mut fractions = std::sync::Mutex::new(Vec::new());
    let validation =
        validate(&model, &others, &fitted, &options, false, &NEVER, &|part| fractions.lock().unwrap().push(part))
            .unwrap();
    assert_eq!(fractions.get_mut().unwrap().last(), Some(&1.0));
    assert_eq!(validation.samples, 402);
    // Noise of 0.1 and what the fit is off by: nothing else is left.
    assert!((validation.rmse / 0.1 - 1.0).abs() < 0.1 && validation.r_squared > 0.999, "{validation:?}");
    let starts: Vec<(&str, Option<usize>)> =
        validation.local.iter().map(|estimate| (estimate.name.as_str(), estimate.experiment)).collect();
    assert_eq!(starts, [("T0", Some(0)), ("T0", Some(1))]);
    assert!((validation.local[0].value - 60.0).abs() < 0.2 && (validation.local[1].value - 25.0).abs() < 0.2);
    // As they were: both runs begin at 35 °C in the simulation. The figures by their definitions.
    let kept = validate(&model, &others, &fitted, &options, true, &NEVER, &|_| {}).unwrap();
    let (mut residuals, mut deviations, mut sum) = (0.0, 0.0, 0.0);
    for experiment in &others {
        let measured = &experiment.outputs[0];
        let mean = measured.values.iter().sum::<f64>() / 201.0;
        let (capacity, loss, start) = (fitted.values[0], fitted.values[1], fitted.values[2]);
        let towards = |level: f64, from: f64, t: f64| level + (from - level) * (-t * loss / capacity).exp();
        for (t, value) in measured.times.iter().zip(&measured.values) {
            let hot = 20.0 + 100.0 / loss;
            let simulated = match *t <= 200.0 {
                true => towards(hot, start, *t),
                false => towards(20.0, towards(hot, start, 200.0), *t - 200.0),
            };
            residuals += (value - simulated).powi(2);
            deviations += (value - mean).powi(2);
            sum += value - simulated;
        }
    }
    close(kept.rmse, (residuals / 402.0).sqrt(), 1e-6);
    close(kept.bias, sum / 402.0, 1e-5);
    close(kept.r_squared, 1.0 - residuals / deviations, 1e-6);
    close(kept.fit_percent, 100.0 * (1.0 - (residuals / deviations).sqrt()), 1e-6);
    close(kept.cost, residuals / 0.01, 1e-6);
    assert!(kept.local.is_empty() && kept.rmse > 10.0 * validation.rmse);
    assert_eq!(kept.outputs.len(), 1);
    close(kept.outputs[0].rmse, kept.rmse, 1e-12);
}

#[test]
fn validation_estimates_again_what_the_fit_had_for_each_experiment() {
    let model = compile(&oven());
    let options = FitOptions { free: vec![0, 1], per_experiment: vec![2, 3], ..FitOptions::default() };
    let fitted = run(&model, &[oven_data(35.0, 1.0, 1), oven_data(80.0, -1.0, 2)], &options);
    let other = [oven_data(50.0, 4.0, 7)];
    let validation = validate(&model, &other, &fitted, &options, false, &NEVER, &|_| {}).unwrap();
    assert!((validation.local[0].value - 50.0).abs() < 0.5 && (validation.local[1].value - 4.0).abs() < 0.5);
    assert!((validation.rmse / 0.1 - 1.0).abs() < 0.15);
    let kept = validate(&model, &other, &fitted, &options, true, &NEVER, &|_| {}).unwrap();
    assert!(kept.bias > 1.0, "the last experiment's offset was −1, this one's is 4");
}

#[test]
fn a_start_that_is_also_a_parameter_of_the_device_is_not_estimated_again() {
    // T0 is the ambient temperature as well: on other data that would be a fit, not a validation.
    let mut source = oven();
    source.equations[0].expr = "(P - h*(T - T0))/C".into();
    let model = compile(&source);
    assert!(
        !model.is_initial_state(2) && compile(&oven()).is_initial_state(2) && !compile(&oven()).is_initial_state(0)
    );
    let options = FitOptions { free: vec![0, 1, 2], ..FitOptions::default() };
    let fitted = run(&model, &[oven_data(20.0, 0.0, 1)], &options);
    let validation = validate(&model, &[oven_data(20.0, 0.0, 2)], &fitted, &options, false, &NEVER, &|_| {}).unwrap();
    assert!(validation.local.is_empty());
    close(validation.rmse, 0.1, 0.15);
}

#[test]
fn a_validation_that_can_not_be_is_an_error() {
    let model = compile(&oven());
    let options = FitOptions { free: vec![0, 1, 2], ..FitOptions::default() };
    let fitted = run(&model, &[oven_data(35.0, 0.0, 1)], &options);
    let judge = |experiments: &[Experiment]| validate(&model, experiments, &fitted, &options, false, &NEVER, &|_| {});
    assert!(matches!(judge(&[]), Err(FitError::NoMeasurements { missing: 0 })));
    let mut one = oven_data(35.0, 0.0, 2);
    one.outputs[0].values[1..].fill(f64::NAN);
    assert!(matches!(judge(&[one.clone()]), Err(FitError::TooFewSamples { samples: 1, parameters: 1 })));
    // Nothing is estimated where initial states are kept: one sample can be judged.
    assert_eq!(validate(&model, &[one], &fitted, &options, true, &NEVER, &|_| {}).unwrap().samples, 1);
    let other = validate(
        &compile(&two_bodies()),
        &[],
        &FitReport { theta: vec![1.0], ..fitted.clone() },
        &options,
        false,
        &NEVER,
        &|_| {},
    );
    assert!(matches!(other, Err(FitError::Argument(_))));
    let cancelled = validate(&model, &[oven_data(35.0, 0.0, 2)], &fitted, &options, true, &true.into(), &|_| {});
    assert!(matches!(cancelled, Err(FitError::Cancelled)), "{cancelled:?}");
    assert_eq!(fitted.stop, Stop::Cost);
}
