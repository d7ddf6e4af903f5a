//! Predictions against what is known of them.

use uatwin::{
    model::{Hold, Init, Model, ModelSource, StateSource},
    simulate::{Belief, Options, Outlook, Signal, predict},
};

use crate::support::{NEVER, compile, equation, input, output, parameter, state};

const TAU: f64 = 40.0;
const NOISE: f64 = 0.003;

/// dx/dt = (u − x)/tau, measured as gain·x.
fn model() -> Model {
    compile(&ModelSource {
        states: vec![StateSource { noise: NOISE, ..state("x", Init::Number(0.0)) }],
        parameters: vec![parameter("tau", TAU, 1.0, 1000.0, true), parameter("gain", 2.0, 0.0, 10.0, false)],
        inputs: vec![input("u", Hold::Previous)],
        equations: vec![equation("x", "(u - x)/tau")],
        outputs: vec![output("y", "gain*x", 0.5)],
        ..ModelSource::default()
    })
}

fn run(belief: &Belief, estimated: (&[usize], &[f64]), residual_variance: f64) -> Vec<(f64, f64)> {
    // From 10 on: 5 till 40, then 8.
    let inputs = [Signal { times: vec![0.0, 40.0], values: vec![5.0, 8.0], ..Signal::default() }];
    let times = [20.0, 40.0, 70.0, 300.0];
    let outlook =
        Outlook { belief, inputs: &inputs, start_s: 10.0, times: &times, output: 0, estimated, residual_variance };
    predict(&model(), &[TAU, 2.0], &outlook, &Options::default(), &NEVER).unwrap()
}

/// x at the four times.
fn exact(x0: f64, tau: f64) -> [f64; 4] {
    let go = |x: f64, u: f64, seconds: f64| u + (x - u) * f64::exp(-seconds / tau);
    let (at20, at40) = (go(x0, 5.0, 10.0), go(x0, 5.0, 30.0));
    [at20, at40, go(at40, 8.0, 30.0), go(at40, 8.0, 260.0)]
}

#[test]
fn of_a_known_state_and_parameters_only_the_measurement_scatters() {
    let found = run(&Belief { x: vec![1.0], p: vec![] }, (&[], &[]), 0.25);
    for ((value, deviation), x) in found.into_iter().zip(exact(1.0, TAU)) {
        assert!((value - 2.0 * x).abs() < 1e-5 && deviation == 0.5, "{value} {deviation}");
    }
}

#[test]
fn what_is_not_known_of_the_state_fades_and_its_noise_stays() {
    let found = run(&Belief { x: vec![1.0], p: vec![4.0] }, (&[], &[]), 0.0);
    for ((_, deviation), seconds) in found.into_iter().zip([10.0, 30.0, 60.0, 290.0]) {
        let fading = f64::exp(-2.0 * seconds / TAU);
        let variance = 4.0 * fading + NOISE * TAU / 2.0 * (1.0 - fading);
        assert!((deviation - 2.0 * variance.sqrt()).abs() < 1e-5, "{deviation} after {seconds}");
    }
}

#[test]
fn the_covariance_of_the_parameters_comes_through_their_sensitivities() {
    let covariance = [0.5, -0.01, -0.01, 0.002];
    let found = run(&Belief { x: vec![1.0], p: vec![] }, (&[0, 1], &covariance), 0.0);
    let h = 1e-3;
    for (point, (_, deviation)) in found.into_iter().enumerate() {
        let by_tau = 2.0 * (exact(1.0, TAU + h)[point] - exact(1.0, TAU - h)[point]) / (2.0 * h);
        let by_gain = exact(1.0, TAU)[point];
        let variance = by_tau * by_tau * 0.5 - 2.0 * by_tau * by_gain * 0.01 + by_gain * by_gain * 0.002;
        assert!((deviation - variance.sqrt()).abs() < 1e-5, "{deviation} at {point}");
    }
}

#[test]
fn where_a_parameter_matters_that_nobody_knows_there_is_no_interval() {
    let unknown = [f64::NAN];
    assert!(run(&Belief { x: vec![1.0], p: vec![] }, (&[1], &unknown), 0.1).iter().all(|(_, sd)| sd.is_nan()));
    // In equilibrium the time constant does not matter.
    let still = Outlook {
        belief: &Belief { x: vec![5.0], p: vec![] },
        inputs: &[Signal { times: vec![0.0], values: vec![5.0], ..Signal::default() }],
        start_s: 0.0,
        times: &[9.0],
        output: 0,
        estimated: (&[0], &unknown),
        residual_variance: 0.04,
    };
    let found = predict(&model(), &[TAU, 2.0], &still, &Options::default(), &NEVER).unwrap();
    assert!((found[0].1 - 0.2).abs() < 1e-12, "{found:?}");
}
