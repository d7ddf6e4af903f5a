//! Question: how long does `Fit` compute for an hour at 1 Hz of the two-body thermal model, four free parameters, with
//! one start and with eight?
//! Run: `cargo bench --bench fit`. The budget through OPC UA is 250 ms with eight starts.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use uatwin::fit::{Experiment, FitOptions, Measured, fit};
use uatwin::model::Hold;
use uatwin::simulate::Signal;

#[path = "../numerics/support.rs"]
#[allow(dead_code)]
mod support;
use support::{NEVER, Noise, compile, hour, two_bodies, two_bodies_rk4};

const TRUTH: [f64; 4] = [60.0, 250.0, 2.5, 4.0];

fn main() {
    let model = compile(&two_bodies());
    for (name, noisy) in [("power in steps, smooth ambient", false), ("noise on every input sample", true)] {
        let mut noise = Noise(7);
        let (times, mut power, mut ambient) = hour(3600);
        if noisy {
            power.iter_mut().for_each(|value| *value += noise.normal());
            ambient.iter_mut().for_each(|value| *value += 0.05 * noise.normal());
        }
        let values = two_bodies_rk4(&TRUTH, &power, &ambient, 4).iter().map(|y| y + 0.2 * noise.normal()).collect();
        let experiment = Experiment {
            inputs: vec![
                Signal { times: times.clone(), values: power, hold: Hold::Previous },
                Signal { times: times.clone(), values: ambient, hold: Hold::Linear },
            ],
            outputs: vec![Measured { times, values, weights: vec![] }],
            span: None,
        };
        for (starts, threads) in [(1, 1), (8, 1), (8, 2)] {
            let options = FitOptions { starts, threads, ..FitOptions::default() };
            let mut fastest = f64::INFINITY;
            let mut report = None;
            for _ in 0..5 {
                let began = Instant::now();
                report = Some(fit(&model, std::slice::from_ref(&experiment), &options, &NEVER, &|_| {}).unwrap());
                fastest = fastest.min(began.elapsed().as_secs_f64());
            }
            let report = report.unwrap();
            println!(
                "{name}, {starts} starts, {threads} threads: {:.1} ms ({} simulations); cost {:.6}, {:?} ± {:?}, {:?}",
                1e3 * fastest,
                report.evaluations,
                report.cost,
                report.values,
                report.standard_errors,
                report.stop
            );
        }
    }
}
