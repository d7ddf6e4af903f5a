//! Every ready-made model of `config/models`: against a solution that shares nothing with the library, in a twin, and fitted
//! back from data of known parameters.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use uatwin::config::{self, ModelFile};
use uatwin::fit::{Experiment, FitOptions, Measured, fit};
use uatwin::model::Model;
use uatwin::simulate::{Options, Scenario, Signal, simulate};

use crate::library_cases::{CASES, Case, effectiveness};
use crate::library_reference::Inputs;
use crate::support::NEVER;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/models")
}

pub(crate) fn load(name: &str) -> ModelFile {
    let faults = |faults: Vec<config::Fault>| -> ModelFile {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    config::load_model(&folder().join(name).with_extension("toml"), &[]).unwrap_or_else(faults)
}

/// The names of all models there are.
pub(crate) fn names() -> BTreeSet<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The nominal parameters but for those named.
pub(crate) fn theta_of(model: &Model, other: &[(&str, f64)]) -> Vec<f64> {
    let mut theta = model.nominal();
    for (name, value) in other {
        let index = model.parameter_index(name).unwrap_or_else(|| panic!("no parameter {name}"));
        let parameter = &model.parameters()[index];
        assert!((parameter.min..=parameter.max).contains(value), "{name} = {value} is outside its bounds");
        theta[index] = *value;
    }
    theta
}

pub(crate) fn signals(model: &Model, inputs: &Inputs) -> Vec<Signal> {
    let signal = |input: &uatwin::model::InputSource| {
        let (_, times, values) = inputs.iter().find(|(name, ..)| *name == input.name).unwrap();
        Signal { times: times.clone(), values: values.clone(), hold: input.hold }
    };
    model.inputs().iter().map(signal).collect()
}

/// The outputs at `times`, integrated so finely that only the equations count.
pub(crate) fn simulated(model: &Model, theta: &[f64], inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let scenario = Scenario {
        inputs: &signals(model, inputs),
        span: (times[0], times[times.len() - 1]),
        output_times: &vec![times; model.outputs().len()],
        initial_state: None,
        measured: &[],
    };
    let options = Options { rtol: 1e-10, atol: 1e-13, ..Options::default() };
    simulate(model, theta, &scenario, &options, &NEVER)
        .unwrap_or_else(|error| panic!("{}", error.describe(model)))
        .outputs
}

/// What the reference says of the case, output by output.
fn reference(case: &Case, model: &Model, theta: &[f64]) -> Vec<Vec<f64>> {
    let value = |name: &str| theta[model.parameter_index(name).unwrap()];
    let rows = (case.reference)(&value, &(case.inputs)(), &(case.times)());
    (0..model.outputs().len()).map(|output| rows.iter().map(|row| row[output]).collect()).collect()
}

#[test]
fn every_model_has_a_case_and_every_case_a_model() {
    let tested: BTreeSet<String> = CASES.iter().map(|case| case.model.to_owned()).collect();
    assert_eq!(names(), tested);
    assert!(tested.len() >= 11);
}

#[test]
fn every_model_does_what_the_reference_does() {
    for case in CASES {
        let model = load(case.model).model;
        let theta = theta_of(&model, case.theta);
        let times = (case.times)();
        let simulated = simulated(&model, &theta, &(case.inputs)(), &times);
        for ((output, simulated), exact) in model.outputs().iter().zip(&simulated).zip(reference(case, &model, &theta))
        {
            assert_eq!(simulated.len(), exact.len(), "{} {}", case.model, case.what);
            let scale = exact.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            let error = simulated.iter().zip(&exact).map(|(s, e)| (s - e).abs()).fold(0.0, f64::max);
            println!("{} ({}), {}: error {:.1e} of {scale:.3}", case.model, case.what, output.name, error / scale);
            assert!(
                error <= case.tolerance * scale,
                "{} ({}), {}: off by {error:e} where values reach {scale}",
                case.model,
                case.what,
                output.name
            );
        }
    }
}

/// Without noise the truth is the minimum: the fit must find it from the nominal values, and know every parameter.
#[test]
fn every_model_is_fitted_back_from_the_data_its_comment_asks_for() {
    for case in CASES.iter().filter(|case| case.fitted_within > 0.0) {
        let file = load(case.model);
        let theta = theta_of(&file.model, case.theta);
        let times = (case.times)();
        let exact = reference(case, &file.model, &theta);
        let outputs =
            exact.into_iter().map(|values| Measured { times: times.clone(), values, weights: Vec::new() }).collect();
        let experiment = Experiment { inputs: signals(&file.model, &(case.inputs)()), outputs, span: None };
        // Parameters that a fit does not estimate are known to it.
        let mut start = file.model.nominal();
        (0..start.len())
            .filter(|index| !file.model.free().contains(index))
            .for_each(|index| start[index] = theta[index]);
        let options =
            FitOptions { starts: file.fit.starts as usize, theta: Some(start), threads: 2, ..FitOptions::default() };
        let report = fit(&file.model, &[experiment], &options, &NEVER, &|_| {}).unwrap();
        println!("{} ({}): cost {:.1e}, {}", case.model, case.what, report.cost, report.message);
        for ((name, value), &index) in report.names.iter().zip(&report.values).zip(&report.free) {
            let parameter = &file.model.parameters()[index];
            let size = if parameter.log {
                theta[index].abs()
            } else {
                theta[index].abs().max(parameter.value.abs()).max(1e-3)
            };
            assert!(
                (value - theta[index]).abs() <= case.fitted_within * size,
                "{} ({}), {name}: {value} instead of {}; {}",
                case.model,
                case.what,
                theta[index],
                report.message
            );
        }
        assert!(report.null_directions.is_empty(), "{}: {}", case.model, report.message);
    }
}

#[test]
fn every_model_stands_in_a_twin_by_the_name_of_its_file() {
    for name in names() {
        let model = load(&name).model;
        let variables = model.inputs().iter().map(|input| &input.variable);
        let variables: Vec<String> = variables
            .chain(model.outputs().iter().map(|output| &output.name))
            .map(|variable| format!("[twin_type.X.variable.{variable}]\n"))
            .collect();
        let text =
            format!("{}[twin_type.X]\nmodel = \"models/{name}.toml\"\n[twin.Y]\ntype = \"X\"\n", variables.concat());
        let read = |path: &Path| std::fs::read_to_string(path);
        let file = folder().with_file_name("twins.toml");
        let config = config::parse(&text, &file.display().to_string(), &read, &|_| None);
        let config = config.unwrap_or_else(|faults| panic!("{faults:#?}"));
        assert!(config.warnings.is_empty(), "{name}: {:?}", config.warnings);
        let twin_model = config.twins.types[0].model.as_ref().unwrap();
        assert_eq!(twin_model.inputs.len() + twin_model.outputs.len(), variables.len(), "{name}");
    }
}

#[test]
fn every_model_says_what_it_is_for_and_where_it_comes_from_and_bounds_its_parameters() {
    for name in names() {
        let text = std::fs::read_to_string(folder().join(&name).with_extension("toml")).unwrap();
        for word in ["# For: ", "# Not for: ", "# Data: ", "# Source: "] {
            assert!(text.contains(word), "{name} has no {word:?}");
        }
        for parameter in load(&name).model.parameters() {
            // Starts are spread over the bounds: both, or none and then around the value.
            let (lower, upper) = (parameter.min.is_finite(), parameter.max.is_finite());
            assert!(lower == upper && (lower || !parameter.log), "{name}, {}: bounds", parameter.name);
        }
    }
}

/// Without inflow √H falls linearly (Torricelli), where the root is a root.
#[test]
fn a_tank_runs_empty_as_torricelli_says() {
    let model = load("tanks_in_cascade").model;
    let (k, area, level) = (20.0, 100.0, 49.0_f64);
    let theta = theta_of(&model, &[("K1", k), ("A1", area), ("H10", level), ("Hs", 1e-6)]);
    let times: Vec<f64> = (0..60).map(f64::from).collect();
    let levels = simulated(&model, &theta, &vec![("u", vec![0.0], vec![0.0])], &times);
    for (t, simulated) in times.iter().zip(&levels[0]) {
        let exact = (level.sqrt() - 0.5 * k / area * t).powi(2);
        assert!((simulated - exact).abs() < 1e-7, "{t}: {simulated} {exact}");
    }
}

/// At rest the heat that passes is UA times the logarithmic mean of the temperature differences at the two ends.
#[test]
fn a_heat_exchanger_at_rest_goes_with_the_logarithmic_mean_temperature_difference() {
    let model = load("heat_exchanger").model;
    let theta = theta_of(&model, &[("UA", 6.0), ("Mh", 5.0), ("Mc", 5.0)]);
    for (hot, cold) in [(1.0, 0.4), (0.3, 1.7), (1.0, 1.000_001)] {
        let inputs = vec![
            ("Fh", vec![0.0], vec![hot]),
            ("Fc", vec![0.0], vec![cold]),
            ("ThIn", vec![0.0], vec![90.0]),
            ("TcIn", vec![0.0], vec![10.0]),
        ];
        let outlets = simulated(&model, &theta, &inputs, &[0.0, 400.0]);
        let (th, tc) = (outlets[0][1], outlets[1][1]);
        let (heat, also) = (4.18 * hot * (90.0 - th), 4.18 * cold * (tc - 10.0));
        let (one, other): (f64, f64) = (90.0 - tc, th - 10.0);
        let mean =
            if (one / other - 1.0).abs() < 1e-4 { 0.5 * (one + other) } else { (one - other) / (one / other).ln() };
        assert!((heat - also).abs() < 1e-6 * heat, "{heat} {also}");
        assert!((heat / (6.0 * mean) - 1.0).abs() < 1e-6, "{heat} {mean}");
    }
    // By hand: (1 − e^−0.5)/(1 − 0.5·e^−0.5), and NTU/(1 + NTU).
    assert!((effectiveness(1.0, 0.5) - 0.564_733).abs() < 1e-6 && effectiveness(1.0, 1.0) == 0.5);
}

/// Under a slow ramp the stem waits until the demand has gone ahead by Slide + Jump, then slips; in a steady slide it lags by
/// g(v) + Damp·v.
#[test]
fn a_valve_sticks_slips_and_slides() {
    let model = load("valve_with_stiction").model;
    let theta = theta_of(&model, &[("Slide", 2.0), ("Jump", 3.0), ("Damp", 0.5), ("X0", 50.0)]);
    // 0.2 % a second in steps of a tenth of a second.
    let ramp = |rate: f64, end: f64| {
        let times: Vec<f64> = (0..=(10.0 * end) as u32).map(|i| 0.1 * f64::from(i)).collect();
        let values = times.iter().map(|t| 50.0 + rate * t).collect();
        vec![("u", times, values)]
    };
    let times: Vec<f64> = (0..=300).map(|i| 0.5 * f64::from(i)).collect();
    let position = &simulated(&model, &theta, &ramp(0.2, 150.0), &times)[0];
    // Until u − x = 5 % it only bends its bristles, by less than 5 %/50 and what it creeps just before it breaks away.
    assert!(position[..48].iter().all(|x| (50.0..50.5).contains(x)), "{position:?}");
    let moves: Vec<f64> = position.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (slips, rests) = (moves.iter().filter(|m| **m > 0.5).count(), moves.iter().filter(|m| m.abs() < 0.02).count());
    assert!(slips > 5 && rests > 100, "{slips} slips, {rests} rests");

    let fast = 4.0;
    let times: Vec<f64> = (0..=90).map(|i| 0.1 * f64::from(i)).collect();
    let position = &simulated(&model, &theta, &ramp(fast, 10.0), &times)[0];
    // A demand in steps of 0.4 % runs half a step behind its ramp.
    let lag = 50.0 + fast * 9.0 - position[90];
    let expected = 2.0 + 3.0 * (-(fast / 0.5_f64).powi(2)).exp() + 0.5 * fast;
    assert!((lag - 0.5 * 0.1 * fast - expected).abs() < 0.3, "{lag} {expected}");
}
