//! Exact sensitivities against differences of high precision: within 1e-6 of the largest.

use uatwin::model::{Delay, Hold, Init, Jacobian, Model, ModelSource};
use uatwin::simulate::{Options, Scenario, Signal, simulate, simulate_with_sensitivities};

use crate::support::{NEVER, compile, equation, helper, input, output, parameter, state};

/// Fourth-order central differences of tightly integrated runs: error ~ (1e-3)⁴ relative.
fn check(model: &Model, inputs: &[Signal], times: &[f64], step: f64) {
    check_with(model, inputs, times, step, &Options::default());
}

/// The same with a method of integration, which the differences use, too.
pub(crate) fn check_with(model: &Model, inputs: &[Signal], times: &[f64], step: f64, options: &Options) {
    let theta = model.nominal();
    let scenario = Scenario {
        inputs,
        span: (times[0], times[times.len() - 1]),
        output_times: &[times],
        initial_state: None,
        measured: &[],
    };
    let free = model.free();
    let exact = simulate_with_sensitivities(model, &theta, &scenario, &free, options, &NEVER).unwrap();
    let tight = Options { rtol: 1e-12, atol: 1e-14, ..*options };
    for (lane, &index) in free.iter().enumerate() {
        let h = step * theta[index].abs().max(1e-3);
        let at = |by: f64| {
            let mut theta = theta.clone();
            theta[index] += by * h;
            simulate(model, &theta, &scenario, &tight, &NEVER).unwrap().outputs.remove(0)
        };
        let (two_below, below, above, two_above) = (at(-2.0), at(-1.0), at(1.0), at(2.0));
        let difference = |i: usize| (two_below[i] - 8.0 * below[i] + 8.0 * above[i] - two_above[i]) / (12.0 * h);
        let largest = (0..times.len()).map(|i| difference(i).abs()).fold(0.0, f64::max);
        assert!(largest > 0.0, "parameter {index} has no effect: the case shows nothing");
        #[allow(clippy::needless_range_loop)]
        for i in 0..times.len() {
            let sensitivity = exact.sensitivities[0][i * free.len() + lane];
            let error = (sensitivity - difference(i)).abs() / largest;
            assert!(error < 1e-6, "parameter {index} at {}: {sensitivity} instead of {}", times[i], difference(i));
        }
    }
}

pub(crate) fn steps() -> Vec<Signal> {
    let times: Vec<f64> = (0..20).map(f64::from).collect();
    let values = times.iter().map(|t| [1.0, 4.0, 0.0, 2.5][*t as usize % 4]).collect();
    let slow = times.iter().map(|t| 1.0 + (0.3 * t).sin()).collect();
    vec![
        Signal { times: times.clone(), values, hold: Hold::Previous },
        Signal { times, values: slow, hold: Hold::Linear },
    ]
}

#[test]
fn sensitivities_are_those_of_a_nonlinear_model_with_inputs_and_initial_states() {
    let free = |name: &str, value: f64| parameter(name, value, 0.01, 100.0, false);
    let model = compile(&ModelSource {
        states: vec![state("a", Init::Parameter("a0".into())), state("b", Init::Number(0.2))],
        parameters: vec![free("a0", 1.5), free("k", 0.4), free("n", 1.7), free("m", 0.8), free("c", 3.0)],
        inputs: vec![input("u", Hold::Previous), input("v", Hold::Linear)],
        lets: vec![helper("rate", "k*a^n/(m + a)")],
        equations: vec![equation("a", "u - rate"), equation("b", "rate*v - sqrt(b + c)*tanh(b)")],
        outputs: vec![output("y", "log(1 + a)*c + exp(-b)*sin(n*b)", 1.0)],
    });
    let times: Vec<f64> = (0..=38).map(|i| 0.5 * f64::from(i)).collect();
    check(&model, &steps(), &times, 1e-3);
}

#[test]
fn sensitivities_to_an_estimated_dead_time_are_right_on_held_and_linear_inputs() {
    for input_of in 0..2 {
        let mut source = ModelSource {
            states: vec![state("x", Init::Number(0.0))],
            parameters: vec![parameter("tau", 2.0, 0.1, 10.0, false), parameter("d", 0.35, 0.0, 5.0, false)],
            inputs: vec![input("u", Hold::Previous), input("v", Hold::Linear)],
            equations: vec![equation("x", "(u*v - x)/tau")],
            outputs: vec![output("y", "x", 1.0)],
            ..ModelSource::default()
        };
        source.inputs[input_of].delay = Delay::Parameter("d".into());
        // No time of output meets a knot while the dead time is varied.
        let times: Vec<f64> = (0..=36).map(|i| 0.5 * f64::from(i) + 0.1).collect();
        check(&compile(&source), &steps(), &times, 1e-4);
    }
}

#[test]
fn many_parameters_have_the_same_sensitivities_as_few() {
    // 20 lanes are rounded up to 24: each must be the one it would be alone.
    let names: Vec<String> = (0..20).map(|i| format!("p{i}")).collect();
    let sum = names.iter().enumerate().map(|(i, name)| format!("{name}*cos({i}*t)")).collect::<Vec<_>>().join(" + ");
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        parameters: names.iter().map(|name| parameter(name, 1.0, -10.0, 10.0, false)).collect(),
        equations: vec![equation("x", &format!("{sum} - x"))],
        outputs: vec![output("y", "x", 1.0)],
        ..ModelSource::default()
    });
    let times = [0.0, 0.5, 1.0, 2.0];
    check(&model, &[], &times, 1e-3);
}

#[test]
fn jacobians_are_exact() {
    let model = compile(&ModelSource {
        states: (0..5).map(|i| state(&format!("x{i}"), Init::Number(0.0))).collect(),
        inputs: vec![input("u", Hold::Previous)],
        equations: (0..5).map(|i| equation(&format!("x{i}"), &format!("u*x{i}*x{} + x0^2", (i + 1) % 5))).collect(),
        outputs: vec![output("y", "x4^3 + x1", 1.0)],
        ..ModelSource::default()
    });
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    let mut jacobian = Jacobian::new(&model);
    jacobian.evaluate(&model, &[], &x, &[0.5], 0.0);
    for row in 0..5 {
        let next = (row + 1) % 5;
        assert_eq!(jacobian.rate[row], 0.5 * x[row] * x[next] + 1.0);
        for column in 0..5 {
            let mut expected = 0.0;
            expected += if column == row { 0.5 * x[next] } else { 0.0 };
            expected += if column == next { 0.5 * x[row] } else { 0.0 };
            expected += if column == 0 { 2.0 * x[0] } else { 0.0 };
            assert_eq!(jacobian.rate_by_state[row * 5 + column], expected, "{row}, {column}");
        }
    }
    assert_eq!(jacobian.output, [127.0]);
    assert_eq!(jacobian.output_by_state, [0.0, 1.0, 0.0, 0.0, 75.0]);
}
