//! What is said, and what is not, where data or model allow no answer: in the user's names, without a misleading number.

use uatwin::fit::{Experiment, FitError, FitOptions, FitReport, Measured, fit};
use uatwin::model::{Hold, Init, Loss, Model, ModelSource};
use uatwin::simulate::Signal;

use crate::support::{NEVER, Noise, compile, equation, input, output, parameter, state, table};

/// A heated body with gain and time constant; true 0.5 K/W and 50 s, 100 W on and off.
fn body(loss: Loss, bounded: bool) -> Model {
    let free = |name: &str, value: f64| match bounded {
        true => parameter(name, value, 0.01 * value, 100.0 * value, true),
        false => parameter(name, value, f64::NEG_INFINITY, f64::INFINITY, false),
    };
    let mut source = ModelSource {
        states: vec![state("T", Init::Number(0.0))],
        parameters: vec![free("gain", 1.0), free("tau", 30.0)],
        inputs: vec![input("power", Hold::Previous)],
        equations: vec![equation("T", "(gain*power - T)/tau")],
        outputs: vec![output("temperature", "T", 0.5)],
        ..ModelSource::default()
    };
    source.outputs[0].loss = loss;
    compile(&source)
}

fn measured() -> Experiment {
    let mut noise = Noise(21);
    let times: Vec<f64> = (0..200).map(f64::from).collect();
    let warm = |t: f64| 50.0 * (1.0 - (-t / 50.0).exp());
    let exact = |t: f64| if t <= 100.0 { warm(t) } else { warm(100.0) * (-(t - 100.0) / 50.0).exp() };
    let values = times.iter().map(|t| exact(*t) + 0.5 * noise.normal()).collect();
    Experiment {
        inputs: vec![Signal { times: vec![0.0, 100.0], values: vec![100.0, 0.0], hold: Hold::Previous }],
        outputs: vec![Measured { times, values, weights: vec![] }],
        span: None,
    }
}

fn run(model: &Model, experiment: &Experiment, options: &FitOptions) -> Result<FitReport, FitError> {
    fit(model, std::slice::from_ref(experiment), options, &NEVER, &|_| {})
}

fn all_nan(report: &FitReport) -> bool {
    let vectors = [
        &report.standard_errors,
        &report.relative_errors,
        &report.lower95,
        &report.upper95,
        &report.lower,
        &report.covariance,
    ];
    vectors.iter().all(|vector| vector.iter().all(|value| value.is_nan()))
}

#[test]
fn good_data_are_not_complained_about() {
    let report =
        run(&body(Loss::Squares, true), &measured(), &FitOptions { starts: 4, ..FitOptions::default() }).unwrap();
    assert_eq!(report.message, report.stop.text());
    assert!(!all_nan(&report) && report.relative_errors.iter().all(|error| *error < 0.01));
}

#[test]
fn units_wrong_by_a_million_are_named_and_no_error_bar_is_given() {
    for starts in [1, 4] {
        for (in_input, factor) in [(true, 1e6), (true, 1e-6), (false, 1e6), (false, 1e-6)] {
            for loss in [Loss::Squares, Loss::Huber, Loss::SoftL1] {
                let mut experiment = measured();
                let values =
                    if in_input { &mut experiment.inputs[0].values } else { &mut experiment.outputs[0].values };
                values.iter_mut().for_each(|value| *value *= factor);
                let report =
                    run(&body(loss, true), &experiment, &FitOptions { starts, ..FitOptions::default() }).unwrap();
                let case = format!(
                    "{in_input} {factor} {loss:?}: {:?} ± {:?}, R² {}, {}",
                    report.values, report.standard_errors, report.r_squared, report.message
                );
                assert!(report.message.contains("check the units"), "{case}");
                // The gain can't be right, and has no error bar; where the model describes nothing, nothing has.
                assert!(report.standard_errors[0].is_nan(), "{case}");
                assert!(report.r_squared >= 0.0 || all_nan(&report), "{case}");
            }
        }
    }
}

#[test]
fn units_wrong_by_a_million_are_named_also_where_a_parameter_makes_up_for_them() {
    // Nothing bounds the gain: the fit is perfect and its numbers are right for the data as they are.
    let mut experiment = measured();
    experiment.inputs[0].values.iter_mut().for_each(|value| *value *= 1e-6);
    let report = run(&body(Loss::Squares, false), &experiment, &FitOptions::default()).unwrap();
    assert!((report.values[0] / 0.5e6 - 1.0).abs() < 0.01 && report.r_squared > 0.99, "{}", report.message);
    assert!(
        report.message.contains("the measurements of `temperature` vary") && report.message.contains("check the units")
    );
}

#[test]
fn missing_measurements_are_counted_and_all_missing_is_an_error() {
    let mut experiment = measured();
    experiment.outputs[0].values[10..40].fill(f64::NAN);
    experiment.outputs[0].values[50] = f64::INFINITY;
    let report = run(&body(Loss::Squares, true), &experiment, &FitOptions::default()).unwrap();
    assert!(
        report.message.contains("31 of 200 measurements of `temperature` are no numbers and were left out"),
        "{}",
        report.message
    );
    assert_eq!((report.outputs[0].missing, report.outputs[0].samples, report.samples), (31, 169, 169));
    // A weight of 0 is a wish, not a fault.
    experiment.outputs[0].weights = [vec![0.0; 100], vec![1.0; 100]].concat();
    experiment.outputs[0].weights[150] = -1.0;
    let report = run(&body(Loss::Squares, true), &experiment, &FitOptions::default()).unwrap();
    assert_eq!((report.outputs[0].missing, report.samples), (1, 99));
    experiment.outputs[0].weights = vec![];
    experiment.outputs[0].values.fill(f64::NAN);
    let nothing = run(&body(Loss::Squares, true), &experiment, &FitOptions::default());
    assert!(matches!(nothing, Err(FitError::NoMeasurements { missing: 200 })), "{nothing:?}");
    assert!(nothing.unwrap_err().to_string().contains("all 200 measurements are bad or missing"));
    experiment.outputs[0] = Measured::default();
    let nothing = run(&body(Loss::Squares, true), &experiment, &FitOptions::default()).unwrap_err();
    assert!(nothing.to_string().contains("no output of the model was measured"), "{nothing}");
    // An input that is no number is named.
    let mut experiment = measured();
    experiment.inputs[0].values[1] = f64::NAN;
    let wrong = run(&body(Loss::Squares, true), &experiment, &FitOptions::default()).unwrap_err();
    assert!(wrong.to_string().contains("sample 1 of the input `power` is not a finite number"), "{wrong}");
}

#[test]
fn too_little_data_is_an_error_and_few_are_said_to_be_few() {
    let model = body(Loss::Squares, true);
    let first = |count: usize| {
        let mut experiment = measured();
        let output = &mut experiment.outputs[0];
        let stride = 190 / count;
        output.times = output.times.iter().copied().skip(5).step_by(stride).take(count).collect();
        output.values = output.values.iter().copied().skip(5).step_by(stride).take(count).collect();
        run(&model, &experiment, &FitOptions::default())
    };
    for count in [1, 2] {
        let error = first(count).unwrap_err();
        assert!(matches!(error, FitError::TooFewSamples { samples, parameters: 2 } if samples == count));
        assert!(error.to_string().contains("take a longer time"), "{error}");
    }
    let report = first(4).unwrap();
    assert!(report.message.contains("only 2 samples more than estimates"), "{}", report.message);
    assert!(report.outputs[0].whiteness.autocorrelation.is_empty() && report.outputs[0].whiteness.ljung_box_p.is_nan());
    assert!(report.aicc.is_nan(), "n − k − 1 is 0");
    assert!(!first(40).unwrap().message.contains("samples more than"));
}

#[test]
fn a_fit_that_did_not_converge_gives_no_error_bars() {
    let options = FitOptions { iterations_max: 1, profile: vec![0], ..FitOptions::default() };
    let report = run(&body(Loss::Squares, true), &measured(), &options).unwrap();
    assert!(report.message.contains("not converged") && all_nan(&report), "{report:?}");
    assert!(report.profiles[0].lower.is_nan() && report.profiles[0].upper.is_nan());
    assert!(report.gradient_norm > 1e-3 && report.optima.is_empty());
}

#[test]
fn an_input_that_never_changes_and_a_measurement_that_never_does_are_named() {
    let mut experiment = measured();
    experiment.inputs[0].values = vec![0.0, 0.0];
    let report = run(&body(Loss::Squares, true), &experiment, &FitOptions::default()).unwrap();
    assert!(report.message.contains("the input `power` is constant"), "{}", report.message);
    assert!(
        report.message.contains("only a combination of") || report.message.contains("no effect"),
        "{}",
        report.message
    );
    assert!(all_nan(&report), "without power nothing depends on gain and time constant: {report:?}");
    let mut experiment = measured();
    experiment.outputs[0].values.fill(20.0);
    let report = run(&body(Loss::Squares, true), &experiment, &FitOptions::default()).unwrap();
    assert!(report.message.contains("the measurements of `temperature` are constant"), "{}", report.message);
    assert!(all_nan(&report));
    let whiteness = &report.outputs[0].whiteness;
    assert!(whiteness.inputs[0].correlation.abs() <= 1.0);
}

#[test]
fn parameters_that_can_hardly_be_told_apart_are_named() {
    // A line far from its origin: intercept and slope.
    let model = compile(&ModelSource {
        parameters: ["intercept", "slope"].map(|name| parameter(name, 0.0, -1e6, 1e6, false)).to_vec(),
        inputs: vec![input("x", Hold::Previous)],
        outputs: vec![output("y", "intercept + slope*x", 1.0)],
        ..ModelSource::default()
    });
    let mut noise = Noise(4);
    let x: Vec<f64> = (0..50).map(|i| 1000.0 + f64::from(i)).collect();
    let y: Vec<f64> = x.iter().map(|x| 3.0 + 0.5 * x + noise.normal()).collect();
    let report = run(&model, &table(&[&x], &y), &FitOptions::default()).unwrap();
    // −x̄/√(mean of x²) = −1024.5/√(1024.5² + 208.25).
    let expected = -1024.5 / (1024.5_f64.powi(2) + 208.25).sqrt();
    assert_eq!((report.collinear.len(), report.collinear[0].estimates), (1, (0, 1)));
    assert!((report.collinear[0].correlation - expected).abs() < 1e-9);
    assert!(
        report.message.contains("`intercept` and `slope` can hardly be told apart (correlation -0.9999)"),
        "{}",
        report.message
    );
    let near: Vec<f64> = (0..50).map(f64::from).collect();
    assert!(run(&model, &table(&[&near], &y), &FitOptions::default()).unwrap().collinear.is_empty());
}

#[test]
fn outliers_are_counted() {
    let mut experiment = measured();
    for i in [20, 60, 61, 140] {
        experiment.outputs[0].values[i] += 30.0;
    }
    let report = run(&body(Loss::Huber, true), &experiment, &FitOptions::default()).unwrap();
    // Of 196 normal residuals 0.5 are further than 3 σ off.
    assert!((4..=6).contains(&report.outputs[0].whiteness.outliers), "{:?}", report.outputs[0].whiteness);
    assert!((report.outputs[0].whiteness.robust_sigma / 0.5 - 1.0).abs() < 0.2);
}
