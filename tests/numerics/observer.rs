//! The observer against what is known of Kalman filters.

use uatwin::{
    model::{Init, Model, ModelSource, StateSource},
    simulate::{Belief, Expected, Observer, Options},
};

use super::support::{Noise, compile, equation, output, parameter, state};

/// States with their process noise and equation; outputs with σ.
fn model(states: &[(&str, f64, &str)], outputs: &[(&str, f64)]) -> Model {
    let noisy = |(name, noise, _): &(&str, f64, &str)| StateSource { noise: *noise, ..state(name, Init::Number(0.0)) };
    compile(&ModelSource {
        states: states.iter().map(noisy).collect(),
        equations: states.iter().map(|(name, _, expr)| equation(name, expr)).collect(),
        outputs: outputs.iter().enumerate().map(|(i, (expr, sigma))| output(&format!("y{i}"), expr, *sigma)).collect(),
        parameters: vec![parameter("k", 0.3, 0.0, 1.0, false)],
        ..ModelSource::default()
    })
}

const THETA: [f64; 1] = [0.3];
const NO_INPUT: (&[f64], f64) = (&[], 0.0);

/// For dx = −k·x dt + noise the filter is known in closed form: x ← φx, p ← φ²p + q(1 − φ²)/(2k), φ = e^(−kh).
#[test]
fn of_a_linear_model_it_is_the_kalman_filter() {
    let (noise, sigma) = (0.04, 0.5);
    let model = model(&[("x", noise, "-k*x")], &[("x", sigma)]);
    let mut observer = Observer::new(&model);
    let mut belief = Belief { x: vec![2.0], p: vec![1.0] };
    let (mut x, mut p) = (2.0, 1.0);
    let mut chance = Noise(7);
    for step in 0..200 {
        let (h, k) = (0.1 + f64::from(step % 7), THETA[0]);
        let phi = f64::exp(-k * h);
        (x, p) = (phi * x, phi * phi * p + noise * (1.0 - phi * phi) / (2.0 * k));
        observer.predict(&model, &THETA, &mut belief, (0.0, h), (&[], &[]), &Options::default()).unwrap();
        let mut expected = [Expected { value: 0.0, variance: 0.0 }];
        observer.expect(&model, &THETA, &belief, NO_INPUT, &mut expected);
        assert!((expected[0].value - x).abs() < 1e-6 && (expected[0].variance - p).abs() < 1e-6 * p, "step {step}");
        let measured = chance.normal() * sigma;
        let gain = p / (p + sigma * sigma);
        (x, p) = (x + gain * (measured - x), (1.0 - gain) * p);
        assert!(observer.correct(&model, &THETA, &mut belief, NO_INPUT, (0, measured)));
        assert!((belief.x[0] - x).abs() < 1e-6 && (belief.p[0] - p).abs() < 1e-6 * p, "step {step}");
    }
}

/// A double integrator from positions alone: the stationary covariance solves the Riccati equation, here
/// FP + PFᵀ + Q = PHᵀHP/R with R = σ²h: for a fine step P₁₁ = √2·q^¼R^¾, P₁₂ = √(qR), P₂₂ = √2·q^¾R^¼.
#[test]
fn its_covariance_goes_to_the_riccati_equations() {
    let (noise, sigma, h) = (0.01, 0.2, 0.01);
    let model = model(&[("x", 0.0, "v"), ("v", noise, "0*k")], &[("x", sigma)]);
    let mut observer = Observer::new(&model);
    let mut belief = Belief { x: vec![0.0, 0.0], p: vec![1.0, 0.0, 0.0, 1.0] };
    for _ in 0..20_000 {
        observer.predict(&model, &THETA, &mut belief, (0.0, h), (&[], &[]), &Options::default()).unwrap();
        observer.correct(&model, &THETA, &mut belief, NO_INPUT, (0, 0.0));
    }
    let r: f64 = sigma * sigma * h;
    let root = std::f64::consts::SQRT_2;
    let known = [root * noise.powf(0.25) * r.powf(0.75), (noise * r).sqrt(), root * noise.powf(0.75) * r.powf(0.25)];
    for (found, known) in [belief.p[0], belief.p[1], belief.p[3]].into_iter().zip(known) {
        assert!((found / known - 1.0).abs() < 0.05, "{:?} is not {known}", belief.p);
    }
    assert_eq!(belief.p[1].to_bits(), belief.p[2].to_bits());
}

/// What it says of its own error is true: the normalised innovations of a nonlinear model are of variance one and white.
#[test]
fn its_innovations_are_as_large_as_it_says() {
    let (noise, sigma, h) = (0.002, 0.05, 0.25);
    let model = model(&[("x", noise, "0.4*sin(x) - k*x^3 + 0.5")], &[("x + 0.1*x^2", sigma)]);
    let mut observer = Observer::new(&model);
    let (mut truth, mut belief) = (0.4_f64, Belief { x: vec![0.0], p: vec![0.5] });
    let mut chance = Noise(11);
    let mut innovations = Vec::new();
    for _ in 0..4000 {
        for _ in 0..100 {
            let dt: f64 = h / 100.0;
            truth += dt * (0.4 * truth.sin() - THETA[0] * truth.powi(3) + 0.5) + (noise * dt).sqrt() * chance.normal();
        }
        observer.predict(&model, &THETA, &mut belief, (0.0, h), (&[], &[]), &Options::default()).unwrap();
        let mut expected = [Expected { value: 0.0, variance: 0.0 }];
        observer.expect(&model, &THETA, &belief, NO_INPUT, &mut expected);
        let measured = truth + 0.1 * truth * truth + sigma * chance.normal();
        innovations.push((measured - expected[0].value) / (expected[0].variance + sigma * sigma).sqrt());
        observer.correct(&model, &THETA, &mut belief, NO_INPUT, (0, measured));
    }
    let kept = &innovations[100..];
    let n = kept.len() as f64;
    let variance = kept.iter().map(|z| z * z).sum::<f64>() / n;
    let lag1 = kept.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n / variance;
    // Standard errors: √(2/n) = 0.023 and 1/√n = 0.016.
    assert!((variance - 1.0).abs() < 0.09 && lag1.abs() < 0.064, "variance {variance}, correlation {lag1}");
}

#[test]
fn a_measurement_that_is_no_number_changes_nothing() {
    let model = model(&[("x", 0.1, "-k*x")], &[("log(x)", 0.1)]);
    let mut observer = Observer::new(&model);
    for (x, measured) in [(1.0, f64::NAN), (-1.0, 0.0)] {
        let mut belief = Belief { x: vec![x], p: vec![1.0] };
        let before = belief.clone();
        assert!(!observer.correct(&model, &THETA, &mut belief, NO_INPUT, (0, measured)));
        assert_eq!(belief, before);
    }
}
