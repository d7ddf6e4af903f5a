//! Texts and data that mean harm: an error, quickly, in little memory, and never a crash.

use proptest::prelude::*;
use uatwin::fit::{Experiment, FitError, FitOptions, Measured, fit, validate};
use uatwin::model::{
    Delay, Expression, Hold, Init, LETS_MAX, Loss, Model, ModelSource, PARAMETERS_MAX, STATES_MAX, TEXT_BYTES_MAX,
};
use uatwin::simulate::{Method, Options, Scenario, Signal, SimulationError, simulate};

use crate::support::{NEVER, compile, equation, helper, input, output, parameter, state};

#[test]
fn deep_nesting_and_long_texts_are_errors() {
    let deep = TEXT_BYTES_MAX / 2 - 10;
    let texts = [
        "(".repeat(100_000),
        "(".repeat(deep) + "x" + &")".repeat(deep),
        "-".repeat(TEXT_BYTES_MAX - 1) + "x",
        "!".repeat(TEXT_BYTES_MAX - 1) + "x",
        "sin(".repeat(4_000) + "x",
        "x^".repeat(8_000) + "x",
        "2^-".repeat(5_000) + "x",
        "x+".repeat(1_000_000) + "x",
        "a".repeat(1_000_000),
        "max(".to_owned() + &"x,".repeat(1_000_000) + "x)",
        "9".repeat(10_000),
        "\0".to_owned(),
        "`".repeat(9_999),
        "👾+x".to_owned(),
    ];
    for text in texts {
        let faults = Expression::parse(&text, &["x"]).unwrap_err();
        assert!(!faults.is_empty() && faults.len() <= 20);
        assert!(faults.iter().all(|fault| fault.message.len() < 300), "{:?}", faults[0].message.len());
    }
    let many_unknown = "q+".repeat(5_000) + "q";
    assert_eq!(Expression::parse(&many_unknown, &["x"]).unwrap_err().len(), 20);
}

#[test]
fn models_beyond_the_bounds_are_errors() {
    let name = |i: usize| format!("n{i}");
    let one_output = vec![output("y", "1", 1.0)];
    // Each helper is used twice by the next: 2^200 if texts were copied, 200 operations as they are.
    let mut lets = vec![helper("n0", "t")];
    lets.extend((1..200).map(|i| helper(&name(i), &format!("sin(n{0}) * n{0}", i - 1))));
    let doubling = ModelSource { lets, outputs: vec![output("y", "n199", 1.0)], ..ModelSource::default() };
    assert_eq!(compile(&doubling).operations().1, 2 * 199);

    let sources = [
        ModelSource {
            states: (0..=STATES_MAX).map(|i| state(&name(i), Init::Number(0.0))).collect(),
            outputs: one_output.clone(),
            ..ModelSource::default()
        },
        ModelSource {
            parameters: (0..=PARAMETERS_MAX).map(|i| parameter(&name(i), 0.5, 0.0, 1.0, false)).collect(),
            outputs: one_output.clone(),
            ..ModelSource::default()
        },
        ModelSource {
            lets: (0..=LETS_MAX).map(|i| helper(&name(i), "1")).collect(),
            outputs: one_output.clone(),
            ..ModelSource::default()
        },
        ModelSource {
            // 200 × 80 sines and products are more than OPERATIONS_MAX, in texts that are each short enough.
            lets: (0..200)
                .map(|i| helper(&name(i), &(0..80).map(|j| format!("sin({i}.{j}*t)")).collect::<Vec<_>>().join("+")))
                .collect(),
            outputs: one_output,
            ..ModelSource::default()
        },
        ModelSource {
            parameters: vec![parameter(&"p".repeat(1_000_000), 0.5, 0.0, 1.0, false)],
            outputs: vec![output("y", "1", 1.0)],
            ..ModelSource::default()
        },
        ModelSource::default(),
    ];
    for source in sources {
        let faults = Model::compile(&source).unwrap_err();
        assert!(faults.iter().all(|fault| fault.item.len() < 300 && fault.message.len() < 300), "{}", faults.len());
    }
}

#[test]
fn numbers_that_break_are_errors_with_the_users_names() {
    let cases = [
        ("1/(x - x)", "equation of `x`"),
        ("log(-1 - x^2)", "equation of `x`"),
        ("exp(exp(x + 9))", "equation of `x`"),
    ];
    for (expr, message) in cases {
        let model = compile(&ModelSource {
            states: vec![state("x", Init::Number(0.0))],
            equations: vec![equation("x", expr)],
            outputs: vec![output("y", "x", 1.0)],
            ..ModelSource::default()
        });
        let times = [0.0, 1.0];
        let scenario =
            Scenario { inputs: &[], span: (0.0, 1.0), output_times: &[&times], initial_state: None, measured: &[] };
        let error = simulate(&model, &[], &scenario, &Options::default(), &NEVER).unwrap_err();
        let text = error.describe(&model);
        assert!(text.contains(message) || matches!(error, SimulationError::StepTooSmall { .. }), "{expr}: {text}");
    }
}

#[test]
fn wrong_data_are_errors_and_not_results() {
    let model = compile(&ModelSource {
        parameters: vec![parameter("a", 1.0, 0.0, 10.0, false), parameter("b", 1.0, 0.0, 10.0, false)],
        inputs: vec![input("u", Hold::Previous)],
        outputs: vec![output("y", "a*u + b", 1.0)],
        ..ModelSource::default()
    });
    let times: Vec<f64> = (0..10).map(f64::from).collect();
    let good = Experiment {
        inputs: vec![Signal { times: times.clone(), values: times.clone(), hold: Hold::Previous }],
        outputs: vec![Measured { times: times.clone(), values: times.clone(), weights: vec![] }],
        span: None,
    };
    let run = |change: &dyn Fn(&mut Experiment), options: FitOptions| {
        let mut experiment = good.clone();
        change(&mut experiment);
        fit(&model, &[experiment], &options, &NEVER, &|_| {})
    };
    let plain = FitOptions::default();
    assert!(run(&|_| {}, plain.clone()).is_ok());
    let nan = run(&|e| e.outputs[0].values.fill(f64::NAN), plain.clone());
    assert!(matches!(nan, Err(FitError::NoMeasurements { missing: 10 })), "{nan:?}");
    assert!(nan.unwrap_err().to_string().contains("all 10 measurements are bad or missing"));
    let few = run(&|e| e.outputs[0].weights = [1.0, 1.0].into_iter().chain([0.0; 8]).collect(), plain.clone());
    assert!(matches!(few, Err(FitError::TooFewSamples { samples: 2, parameters: 2 })), "{few:?}");
    let bad_input = run(&|e| e.inputs[0].values[3] = f64::NAN, plain.clone());
    assert!(
        matches!(&bad_input, Err(FitError::Simulation { message, .. }) if message.contains("`u`")),
        "{bad_input:?}"
    );
    let no_input = run(&|e| e.inputs[0] = Signal::default(), plain.clone());
    assert!(matches!(&no_input, Err(FitError::Simulation { .. })), "{no_input:?}");
    let disorder = run(&|e| e.outputs[0].times.swap(2, 3), plain.clone());
    assert!(matches!(&disorder, Err(FitError::Simulation { .. })), "{disorder:?}");
    let twice = run(&|_| {}, FitOptions { free: vec![0, 0], ..plain.clone() });
    assert!(matches!(twice, Err(FitError::Argument(_))), "{twice:?}");
    let outside = run(&|_| {}, FitOptions { theta: Some(vec![11.0, 1.0]), ..plain });
    assert!(matches!(outside, Err(FitError::Argument(_))), "{outside:?}");
}

/// Sizes from nothing to the end of the numbers.
fn size() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => Just(1.0),
        1 => (-320..308_i32).prop_map(|exponent| 10_f64.powi(exponent)),
        1 => prop_oneof![Just(0.0), Just(f64::MAX), Just(-1.0), Just(5e-324)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing panics, hangs, or gives an interval that isn't one.
    #[test]
    fn data_of_any_size_are_fitted_or_refused(
        (y, u, one, sigma, weight) in (size(), size(), size(), size(), size()),
        (gain, tau, delay) in (size(), size(), size()),
        (loss, bounded, log, absolute_sigma) in (0..3_usize, any::<bool>(), any::<bool>(), any::<bool>()),
        count in 3..40_usize,
        method in prop_oneof![Just(Method::Auto), Just(Method::Radau5)],
    ) {
        let bounds = |value: f64| if bounded { (value / 2.0, value * 2.0) } else { (f64::NEG_INFINITY, f64::INFINITY) };
        let free = |name: &str, value: f64| {
            let (lower, upper) = bounds(value);
            parameter(name, value, if log { lower.max(f64::MIN_POSITIVE) } else { lower }, upper, log)
        };
        let mut source = ModelSource {
            states: vec![state("x", Init::Parameter("x0".into()))],
            parameters: vec![free("gain", gain), free("tau", tau), parameter("d", delay, 0.0, f64::MAX, false), parameter("x0", 0.0, -1.0, 1.0, false)],
            inputs: vec![input("u", Hold::Previous)],
            equations: vec![equation("x", "(gain*u - x)/tau")],
            outputs: vec![output("y", "x", sigma)],
            ..ModelSource::default()
        };
        source.outputs[0].loss = [Loss::Squares, Loss::Huber, Loss::SoftL1][loss];
        source.inputs[0].delay = Delay::Parameter("d".into());
        let Ok(model) = Model::compile(&source) else { return Ok(()) };
        let times: Vec<f64> = (0..count).map(|i| i as f64).collect();
        let mut values: Vec<f64> = times.iter().map(|t| y * t.sin()).collect();
        values[count / 2] = one;
        let mut weights = vec![1.0; count];
        weights[1] = weight;
        let experiment = Experiment {
            inputs: vec![Signal { times: vec![0.0, 5.0, 9.0], values: vec![0.0, u, 1.0], hold: Hold::Previous }],
            outputs: vec![Measured { times, values, weights }],
            span: None,
        };
        let options = FitOptions {
            per_experiment: vec![3],
            starts: 3,
            profile: vec![0, 2],
            absolute_sigma,
            iterations_max: 50,
            simulation: Options { steps_max: 2_000, method, ..Options::default() },
            ..FitOptions::default()
        };
        let experiments = [experiment.clone(), experiment];
        let Ok(report) = fit(&model, &experiments, &options, &NEVER, &|_| {}) else { return Ok(()) };
        for (i, value) in report.values.iter().enumerate() {
            prop_assert!(value.is_finite());
            prop_assert!(report.lower95[i].is_nan() || (report.lower95[i] <= *value && *value <= report.upper95[i]));
        }
        for profile in &report.profiles {
            let value = report.values[profile.parameter];
            prop_assert!(profile.lower.is_nan() || profile.lower <= value, "{:?}", profile);
            prop_assert!(profile.upper.is_nan() || profile.upper >= value, "{:?}", profile);
        }
        let _ = validate(&model, &experiments[..1], &report, &options, false, &NEVER, &|_| {});
    }
}
