//! Simulations against exact solutions: global error within 10 × rtol.

use uatwin::model::{Delay, Hold, Init, Model, ModelSource};
use uatwin::simulate::{
    Method, Options, Scenario, Signal, SimulationError, Stepper, Trajectory, advance, advance_over, output, simulate,
};

use crate::support::{NEVER, compile, equation, fixed, input, output as measured, state};

fn run(model: &Model, inputs: &[Signal], times: &[f64]) -> Trajectory {
    let span = (times[0], times[times.len() - 1]);
    let scenario = Scenario { inputs, span, output_times: &[times], initial_state: None, measured: &[] };
    simulate(model, &model.nominal(), &scenario, &Options::default(), &NEVER).unwrap()
}

/// dx/dt = (u − x)/tau.
fn first_order(hold: Hold, tau: f64, init: f64) -> Model {
    compile(&ModelSource {
        states: vec![state("x", Init::Number(init))],
        parameters: vec![fixed("tau", tau)],
        inputs: vec![input("u", hold)],
        equations: vec![equation("x", "(u - x)/tau")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    })
}

fn held(times: &[f64], values: &[f64]) -> Signal {
    Signal { times: times.to_vec(), values: values.to_vec(), hold: Hold::Previous }
}

fn check(trajectory: &Trajectory, times: &[f64], exact: impl Fn(f64) -> f64) {
    let scale = times.iter().map(|t| exact(*t).abs()).fold(0.0, f64::max);
    for (simulated, &t) in trajectory.outputs[0].iter().zip(times) {
        let error = (simulated - exact(t)).abs();
        assert!(error <= 10.0 * 1e-7 * scale, "at {t}: {simulated} instead of {}, error {error:e}", exact(t));
    }
}

#[test]
fn a_first_order_step_response_is_the_exponential() {
    let model = first_order(Hold::Previous, 3.0, 0.5);
    let times: Vec<f64> = (0..400).map(|i| 0.1 * f64::from(i)).collect();
    let trajectory = run(&model, &[held(&[0.0], &[2.0])], &times);
    check(&trajectory, &times, |t| 2.0 - 1.5 * (-t / 3.0).exp());
}

#[test]
fn an_oscillator_keeps_amplitude_and_phase_over_many_periods() {
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(1.0)), state("v", Init::Number(0.0))],
        equations: vec![equation("x", "v"), equation("v", "-x")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    });
    let times: Vec<f64> = (0..=300).map(|i| 0.1 * f64::from(i)).collect();
    check(&run(&model, &[], &times), &times, f64::cos);
}

#[test]
fn a_time_dependent_equation_is_integrated_in_seconds_of_the_caller() {
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        equations: vec![equation("x", "3*t^2")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    });
    let times = [100.0, 100.5, 103.0];
    check(&run(&model, &[], &times), &times, |t| t.powi(3) - 1e6);
}

#[test]
fn a_pulse_shorter_than_any_step_is_never_missed() {
    // 5 s at 1000 within 10,000 quiet seconds; x integrates u, so that x must be 5000 for ever after.
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "u")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    });
    let pulse = held(&[0.0, 7_000.0, 7_005.0], &[0.0, 1_000.0, 0.0]);
    let times = [0.0, 6_999.0, 7_002.5, 7_005.0, 10_000.0];
    let trajectory = run(&model, &[pulse], &times);
    let expected = [0.0, 0.0, 2_500.0, 5_000.0, 5_000.0];
    for (simulated, expected) in trajectory.outputs[0].iter().zip(expected) {
        assert!((simulated - expected).abs() < 1e-8 * 5_000.0, "{simulated} instead of {expected}");
    }
}

#[test]
fn a_held_input_jumps_at_its_sample_and_a_linear_one_bends_there() {
    let (times, values) = ([0.0, 1.0, 2.0], [0.0, 4.0, 1.0]);
    let at: Vec<f64> = (0..=40).map(|i| 0.1 * f64::from(i)).collect();
    let tau = 0.7;
    let step = |t: f64, from: f64, height: f64| if t > from { height * (1.0 - (-(t - from) / tau).exp()) } else { 0.0 };
    let trajectory = run(&first_order(Hold::Previous, tau, 0.0), &[held(&times, &values)], &at);
    check(&trajectory, &at, |t| step(t, 1.0, 4.0) + step(t, 2.0, -3.0));

    // A ramp of slope s from t0 on gives s·((t − t0) − tau·(1 − e^(−(t−t0)/tau))).
    let ramp = |t: f64, from: f64, slope: f64| {
        if t > from { slope * ((t - from) - tau * (1.0 - (-(t - from) / tau).exp())) } else { 0.0 }
    };
    let linear = Signal { times: times.to_vec(), values: values.to_vec(), hold: Hold::Linear };
    let trajectory = run(&first_order(Hold::Linear, tau, 0.0), &[linear], &at);
    check(&trajectory, &at, |t| ramp(t, 0.0, 4.0) + ramp(t, 1.0, -7.0) + ramp(t, 2.0, 3.0));
}

#[test]
fn an_output_that_uses_a_held_input_reads_the_new_value_at_the_knot() {
    let model = compile(&ModelSource {
        inputs: vec![input("u", Hold::Previous)],
        outputs: vec![measured("y", "2*u", 1.0)],
        ..ModelSource::default()
    });
    let trajectory = run(&model, &[held(&[0.0, 1.0, 2.0], &[1.0, 2.0, 3.0])], &[0.0, 0.999, 1.0, 1.5, 2.0]);
    assert_eq!(trajectory.outputs[0], [2.0, 2.0, 4.0, 4.0, 6.0]);
}

#[test]
fn a_dead_time_shifts_the_input() {
    let mut source = ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "u")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    };
    source.inputs[0].delay = Delay::Number(2.5);
    let trajectory = run(&compile(&source), &[held(&[0.0, 1.0], &[0.0, 1.0])], &[0.0, 3.5, 4.5, 6.0]);
    for (simulated, expected) in trajectory.outputs[0].iter().zip([0.0, 0.0, 1.0, 2.5]) {
        assert!((simulated - expected).abs() < 1e-12, "{simulated} instead of {expected}");
    }
}

#[test]
fn a_live_simulation_goes_where_the_recorded_one_goes() {
    let model = first_order(Hold::Previous, 3.0, 0.0);
    let theta = model.nominal();
    let signal = held(&[0.0, 1.0, 2.0, 3.0], &[1.0, 3.0, -2.0, 0.5]);
    let (mut stepper, options) = (Stepper::new(&model), Options::default());
    let (mut stepped, mut whole, mut y) = ([0.0], [0.0], [0.0]);
    for second in 0..4 {
        let u = [signal.values[second]];
        let span = (second as f64, second as f64 + 1.0);
        advance(&mut stepper, &model, &theta, &mut stepped, span, (&u, &u), &options).unwrap();
    }
    output(&mut stepper, &model, &theta, &stepped, &[0.5], 4.0, &mut y).unwrap();
    let span = (0.0, 4.0);
    advance_over(&mut stepper, &model, &theta, &mut whole, span, std::slice::from_ref(&signal), &options).unwrap();
    let exact = signal.values.iter().fold(0.0, |x, u| u + (x - u) * (-1.0_f64 / 3.0).exp());
    assert!((y[0] - exact).abs() < 1e-6 && (whole[0] - exact).abs() < 1e-6, "{y:?}, {whole:?}, {exact}");
}

#[test]
fn a_failed_live_step_leaves_the_state_as_it_was() {
    let model = first_order(Hold::Previous, 3.0, 0.0);
    let mut x = [1.25];
    let u = [f64::NAN];
    let result =
        advance(&mut Stepper::new(&model), &model, &model.nominal(), &mut x, (0.0, 1.0), (&u, &u), &Options::default());
    assert!(matches!(result, Err(SimulationError::NotFinite { .. })), "{result:?}");
    assert_eq!(x, [1.25]);
}

#[test]
fn a_solution_that_blows_up_is_an_error_with_its_time() {
    // x = 1/(1 − t) has a pole at t = 1.
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(1.0))],
        equations: vec![equation("x", "x^2")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    });
    let times = [0.0, 2.0];
    let scenario =
        Scenario { inputs: &[], span: (0.0, 2.0), output_times: &[&times], initial_state: None, measured: &[] };
    let error = simulate(&model, &[], &scenario, &Options::default(), &NEVER).unwrap_err();
    let time = match error {
        SimulationError::NotFinite { time_s, .. } | SimulationError::StepTooSmall { time_s } => time_s,
        other => panic!("{other}"),
    };
    assert!((time - 1.0).abs() < 1e-3, "{time}");
}

#[test]
fn an_explicit_method_ends_a_stiff_model_at_the_bound_on_steps() {
    let model = compile(&ModelSource {
        states: vec![state("x", Init::Number(0.0))],
        equations: vec![equation("x", "-1e9*(x - cos(t))")],
        outputs: vec![measured("y", "x", 1.0)],
        ..ModelSource::default()
    });
    let times = [0.0, 1e4];
    let scenario =
        Scenario { inputs: &[], span: (0.0, 1e4), output_times: &[&times], initial_state: None, measured: &[] };
    let options = Options { steps_max: 20_000, method: Method::Dopri5, ..Options::default() };
    let result = simulate(&model, &[], &scenario, &options, &NEVER);
    assert!(matches!(result, Err(SimulationError::TooManySteps { steps: 20_000, .. })), "{result:?}");
}
