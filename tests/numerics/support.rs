//! Models and sources in a line each.

use std::sync::atomic::AtomicBool;

use uatwin::fit::{Experiment, Measured};
use uatwin::model::{
    Delay, EquationSource, Hold, Init, InputSource, LetSource, Loss, Model, ModelSource, OutputSource, ParameterSource,
    StateSource,
};
use uatwin::simulate::Signal;

pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

pub(crate) fn parameter(name: &str, value: f64, min: f64, max: f64, log: bool) -> ParameterSource {
    ParameterSource { name: name.into(), value, min, max, log, free: true, per_experiment: false, unit: String::new() }
}

pub(crate) fn fixed(name: &str, value: f64) -> ParameterSource {
    ParameterSource { free: false, ..parameter(name, value, f64::NEG_INFINITY, f64::INFINITY, false) }
}

pub(crate) fn state(name: &str, init: Init) -> StateSource {
    StateSource { name: name.into(), init, noise: 0.0 }
}

pub(crate) fn input(name: &str, hold: Hold) -> InputSource {
    InputSource { name: name.into(), variable: name.into(), hold, delay: Delay::Number(0.0), max_gap_s: None }
}

pub(crate) fn helper(name: &str, expr: &str) -> LetSource {
    LetSource { name: name.into(), expr: expr.into() }
}

pub(crate) fn equation(state: &str, expr: &str) -> EquationSource {
    EquationSource { state: state.into(), expr: expr.into() }
}

pub(crate) fn output(name: &str, expr: &str, sigma: f64) -> OutputSource {
    OutputSource { name: name.into(), expr: expr.into(), sigma, loss: Loss::Squares }
}

pub(crate) fn compile(source: &ModelSource) -> Model {
    match Model::compile(source) {
        Ok(model) => model,
        Err(faults) => panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// A table as an experiment: row i at i seconds, so that a static model sees its columns as inputs.
pub(crate) fn table(inputs: &[&[f64]], output: &[f64]) -> Experiment {
    let times: Vec<f64> = (0..output.len()).map(|row| row as f64).collect();
    let signal = |values: &&[f64]| Signal { times: times.clone(), values: values.to_vec(), hold: Hold::Previous };
    Experiment {
        inputs: inputs.iter().map(signal).collect(),
        outputs: vec![Measured { times: times.clone(), values: output.to_vec(), weights: vec![] }],
        span: None,
    }
}

/// Of a file in `tests/golden`, the lines that aren't comments as numbers; words that are none are left out.
pub(crate) fn golden(path: &str) -> Vec<Vec<f64>> {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path);
    let text = std::fs::read_to_string(path).unwrap();
    let numbers = |line: &str| line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(numbers).collect()
}

/// Relative difference within a tolerance.
#[track_caller]
pub(crate) fn close(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance * expected.abs(), "{value} instead of {expected}");
}

/// Two bodies: a heater warms C1, which warms C2, which loses heat to the surroundings. T1 is measured.
pub(crate) fn two_bodies() -> ModelSource {
    ModelSource {
        states: vec![state("T1", Init::Number(22.0)), state("T2", Init::Number(22.0))],
        parameters: vec![
            parameter("C1", 100.0, 5.0, 1000.0, true),
            parameter("C2", 400.0, 20.0, 5000.0, true),
            parameter("k", 1.0, 0.05, 20.0, true),
            parameter("h", 2.0, 0.05, 20.0, true),
        ],
        inputs: vec![input("P", Hold::Previous), input("Ta", Hold::Linear)],
        lets: vec![helper("flow", "k*(T1 - T2)")],
        equations: vec![equation("T1", "(P - flow)/C1"), equation("T2", "(flow - h*(T2 - Ta))/C2")],
        outputs: vec![output("T1m", "T1", 0.2)],
    }
}

/// Normal noise: SplitMix64 and Box–Muller.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// The measured temperature of the two bodies by classical Runge–Kutta with `fine` steps a second: shares nothing with
/// the library. θ = [C1, C2, k, h]; power and ambient are given once a second, power held, ambient linear.
pub(crate) fn two_bodies_rk4(theta: &[f64], power: &[f64], ambient: &[f64], fine: usize) -> Vec<f64> {
    let &[c1, c2, k, h] = theta else { panic!("four parameters") };
    let mut x = [22.0, 22.0];
    let mut all = vec![x[0]];
    for second in 0..power.len() - 1 {
        let step = 1.0 / fine as f64;
        let rate = |part: f64, x: [f64; 2]| {
            let outside = ambient[second] + part * (ambient[second + 1] - ambient[second]);
            let flow = k * (x[0] - x[1]);
            [(power[second] - flow) / c1, (flow - h * (x[1] - outside)) / c2]
        };
        for part in 0..fine {
            let t = part as f64 * step;
            let add = |a: [f64; 2], b: [f64; 2], by: f64| [a[0] + by * b[0], a[1] + by * b[1]];
            let k1 = rate(t, x);
            let k2 = rate(t + 0.5 * step, add(x, k1, 0.5 * step));
            let k3 = rate(t + 0.5 * step, add(x, k2, 0.5 * step));
            let k4 = rate(t + step, add(x, k3, step));
            for i in 0..2 {
                x[i] += step / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
            }
        }
        all.push(x[0]);
    }
    all
}

/// An hour at 1 Hz: a heater switched between levels, an ambient that drifts.
pub(crate) fn hour(seconds: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let times: Vec<f64> = (0..=seconds).map(|second| second as f64).collect();
    let power = times.iter().map(|t| [300.0, 0.0, 150.0, 450.0, 60.0][(t / 173.0) as usize % 5]).collect();
    let ambient = times.iter().map(|t| 20.0 + 3.0 * (t / 900.0).sin()).collect();
    (times, power, ambient)
}
