//! The numerics alone: a two-state thermal model, four free parameters, an hour at 1 Hz, two recorded inputs.

use std::{error::Error, sync::atomic::AtomicBool, time::Instant};

use serde::Serialize;

use crate::{
    fit::{self, Experiment, FitOptions, Measured},
    model::{
        Delay, EquationSource, Hold, Init, InputSource, Loss, Model, ModelSource, OutputSource, ParameterSource,
        StateSource,
    },
    simulate::Signal,
};

const SAMPLES: u32 = 3600;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct FitFigures {
    /// From the parameters in force.
    pub one_start_ms: f64,
    /// Multi-start.
    pub eight_starts_ms: f64,
    /// Largest distance of a parameter from the truth, in its standard errors.
    pub worst_standard_errors: f64,
}

const TRUTH: [(&str, f64); 4] = [("C1", 60.0), ("C2", 250.0), ("K", 2.5), ("H", 0.8)];

fn model() -> Result<Model, Box<dyn Error + Send + Sync>> {
    let state = |name: &str| StateSource { name: name.into(), init: Init::Number(20.0), noise: 0.0 };
    let parameter = |(name, truth): (&str, f64)| ParameterSource {
        name: name.into(),
        value: truth * 1.7,
        min: truth / 50.0,
        max: truth * 50.0,
        log: true,
        free: true,
        per_experiment: false,
        unit: String::new(),
    };
    let input = |name: &str| InputSource {
        name: name.into(),
        variable: name.into(),
        hold: Hold::Previous,
        delay: Delay::Number(0.0),
        max_gap_s: None,
    };
    let equation = |state: &str, expr: &str| EquationSource { state: state.into(), expr: expr.into() };
    let source = ModelSource {
        states: vec![state("T1"), state("T2")],
        parameters: TRUTH.into_iter().map(parameter).collect(),
        inputs: vec![input("P"), input("Ta")],
        lets: Vec::new(),
        equations: vec![equation("T1", "(P - K*(T1 - T2))/C1"), equation("T2", "(K*(T1 - T2) - H*(T2 - Ta))/C2")],
        outputs: vec![OutputSource { name: "T1m".into(), expr: "T1".into(), sigma: 0.2, loss: Loss::Squares }],
    };
    Model::compile(&source).map_err(|faults| format!("{faults:?}").into())
}

/// The device itself, by fixed-step Runge–Kutta: nothing of ours but the equations.
fn recorded() -> Experiment {
    let power = |t: u32| if (t / 300).is_multiple_of(2) { 60.0 } else { 15.0 };
    let ambient = |t: u32| 20.0 + 2.0 * (f64::from(t) / 900.0).sin();
    let rate = |t: u32, [a, b]: [f64; 2]| {
        let [c1, c2, k, h] = TRUTH.map(|p| p.1);
        [(power(t) - k * (a - b)) / c1, (k * (a - b) - h * (b - ambient(t))) / c2]
    };
    let (mut x, mut seed, mut values) = ([20.0, 20.0], 1u64, Vec::new());
    for t in 0..SAMPLES {
        let mut noise = 0.0;
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise += (seed >> 11) as f64 / (1u64 << 53) as f64;
        }
        values.push(x[0] + 0.2 * (noise - 6.0)); // Irwin–Hall: σ = 1
        for _ in 0..20 {
            let step = |x: [f64; 2], k: [f64; 2], h: f64| [x[0] + h * k[0], x[1] + h * k[1]];
            let h = 0.05;
            let k1 = rate(t, x);
            let k2 = rate(t, step(x, k1, h / 2.0));
            let k3 = rate(t, step(x, k2, h / 2.0));
            let k4 = rate(t, step(x, k3, h));
            let mean = [0, 1].map(|i| (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]) / 6.0);
            x = step(x, mean, h);
        }
    }
    let times: Vec<f64> = (0..SAMPLES).map(f64::from).collect();
    let signal = |f: &dyn Fn(u32) -> f64| Signal {
        times: times.clone(),
        values: (0..SAMPLES).map(f).collect(),
        hold: Hold::Previous,
    };
    let inputs = vec![signal(&power), signal(&ambient)];
    Experiment { inputs, outputs: vec![Measured { weights: vec![1.0; values.len()], times, values }], span: None }
}

/// Fits twice, from one start and from eight.
pub(super) fn measure() -> Result<FitFigures, Box<dyn Error + Send + Sync>> {
    let (model, experiment) = (model()?, recorded());
    let timed = |starts: usize| {
        let began = Instant::now();
        let options = FitOptions { free: model.free(), starts, ..FitOptions::default() };
        let report = fit::fit(&model, std::slice::from_ref(&experiment), &options, &AtomicBool::new(false), &|_| ());
        report.map(|report| (began.elapsed().as_secs_f64() * 1e3, report))
    };
    let (one_start_ms, report) = timed(1)?;
    let (eight_starts_ms, _) = timed(8)?;
    let distances = report
        .values
        .iter()
        .zip(&report.standard_errors)
        .zip(TRUTH)
        .map(|((v, se), (_, truth))| (v - truth).abs() / se);
    Ok(FitFigures { one_start_ms, eight_starts_ms, worst_standard_errors: distances.fold(0.0, f64::max) })
}
