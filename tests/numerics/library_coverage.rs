//! Every ready-made model of `config/models`: how often a fit's intervals hold the truth, over data sets of as many truths. What
//! jumps pass over (a dead time) or what sticks is judged by profile likelihood, all else by standard errors.

use uatwin::fit::{Experiment, FitOptions, Measured};

use crate::coverage::{Study, assert_promised};
use crate::library::{load, names, signals, theta_of};
use crate::library_cases::every;
use crate::library_reference::Inputs;
use crate::support::Noise;

/// A short experiment that determines every parameter.
struct Case {
    model: &'static str,
    /// Truths: the middle of each free parameter, and how far it is drawn from there; of a logarithmic one as a factor e^±.
    truth: &'static [(&'static str, f64, f64)],
    /// Of what is not estimated, what is not as in the file.
    known: &'static [(&'static str, f64)],
    inputs: fn() -> Inputs,
    times: fn() -> Vec<f64>,
    /// Of the noise of each output.
    sigmas: &'static [f64],
    starts: usize,
    profile: &'static [&'static str],
}

/// Six samples `soon` after each other behind each of the instants, and one every `step`.
fn denser_after(instants: &[f64], soon: f64, step: f64, end: f64) -> Vec<f64> {
    let after = instants.iter().flat_map(|at| (1..=6).map(move |i| at + f64::from(i) * soon));
    let mut times: Vec<f64> = every(step, end).into_iter().chain(after.filter(|t| *t < end)).collect();
    times.sort_by(f64::total_cmp);
    times.dedup_by(|b, a| *b - *a < 1e-9);
    times
}

fn held(name: &'static str, times: &[f64], values: &[f64]) -> (&'static str, Vec<f64>, Vec<f64>) {
    (name, times.to_vec(), values.to_vec())
}

fn check(case: &Case) {
    let model = load(case.model).model;
    let free = model.free();
    let index = |name: &str| model.parameter_index(name).unwrap_or_else(|| panic!("no parameter {name}"));
    let drawn: Vec<usize> = case.truth.iter().map(|(name, ..)| index(name)).collect();
    assert!(free.iter().all(|index| drawn.contains(index)) && drawn.len() == free.len(), "{}: {free:?}", case.model);
    let start = theta_of(&model, case.known);
    let truth = |noise: &mut Noise| {
        let mut theta = start.clone();
        for (&index, &(_, middle, reach)) in drawn.iter().zip(case.truth) {
            let by = reach * (2.0 * noise.unit() - 1.0);
            theta[index] = if model.parameters()[index].log { middle * by.exp() } else { middle + by };
        }
        theta
    };
    let times = (case.times)();
    let measured = Measured { values: vec![0.0; times.len()], times, weights: Vec::new() };
    let experiment = Experiment {
        inputs: signals(&model, &(case.inputs)()),
        outputs: vec![measured; model.outputs().len()],
        span: None,
    };
    let profile = case.profile.iter().map(|name| index(name)).collect();
    let theta = Some(start.clone());
    let options = FitOptions { starts: case.starts, theta, profile, ..FitOptions::default() };
    let study = Study { model: &model, truth: &truth, sigmas: case.sigmas, experiment: &experiment, options: &options };
    assert_promised(case.model, &study.coverage());
}

#[test]
fn no_model_is_left_out() {
    let here = include_str!("library_coverage.rs");
    let missing = |name: &String| !here.contains(&format!("        model: \"{name}\",\n"));
    assert_eq!(names().into_iter().filter(missing).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn intervals_of_first_order_dead_time_hold_the_truth() {
    check(&Case {
        model: "first_order_dead_time",
        truth: &[("K", 1.0, 0.3), ("Tau", 20.0, 0.3), ("L", 5.0, 2.0), ("Rest", 0.0, 0.5), ("Y0", 0.0, 0.5)],
        known: &[],
        inputs: || vec![held("u", &[0.0, 10.0, 70.0, 100.0], &[0.0, 1.0, -0.5, 1.5])],
        times: || every(2.0, 160.0),
        sigmas: &[0.03],
        starts: 4,
        profile: &["L"],
    });
}

#[test]
fn intervals_of_second_order_dead_time_hold_the_truth() {
    check(&Case {
        model: "second_order_dead_time",
        truth: &[
            ("K", 1.0, 0.3),
            ("T", 10.0, 0.3),
            ("Zeta", 0.7, 0.3),
            ("L", 2.0, 1.0),
            ("Rest", 0.0, 0.5),
            ("Y0", 0.0, 0.5),
        ],
        known: &[],
        inputs: || vec![held("u", &[0.0, 10.0, 60.0, 100.0], &[0.0, 1.0, -0.5, 1.5])],
        times: || every(1.5, 150.0),
        sigmas: &[0.03],
        starts: 4,
        profile: &["L"],
    });
}

#[test]
fn intervals_of_integrator_dead_time_hold_the_truth() {
    check(&Case {
        model: "integrator_dead_time",
        truth: &[("Ki", 0.01, 0.003), ("L", 5.0, 2.0), ("Balance", 0.0, 0.3), ("Y0", 0.0, 0.5)],
        known: &[],
        inputs: || vec![held("u", &[0.0, 10.0, 40.0, 70.0], &[-1.0, 1.0, -1.0, 1.0])],
        times: || every(1.5, 105.0),
        sigmas: &[0.02],
        starts: 4,
        profile: &["L"],
    });
}

#[test]
fn intervals_of_thermal_one_body_hold_the_truth() {
    check(&Case {
        model: "thermal_one_body",
        truth: &[("C", 5000.0, 0.3), ("k", 5.0, 0.3), ("T0", 20.0, 5.0)],
        known: &[],
        inputs: || {
            vec![
                held("P", &[0.0, 600.0, 2400.0], &[0.0, 300.0, 50.0]),
                held("Ta", &[0.0, 1200.0, 2400.0, 3600.0], &[20.0, 23.0, 19.0, 21.0]),
            ]
        },
        times: || every(30.0, 3600.0),
        sigmas: &[0.2],
        starts: 1,
        profile: &[],
    });
}

#[test]
fn intervals_of_thermal_two_bodies_hold_the_truth() {
    check(&Case {
        model: "thermal_two_bodies",
        truth: &[
            ("C1", 500.0, 0.3),
            ("C2", 2000.0, 0.3),
            ("K12", 10.0, 0.3),
            ("K2", 8.0, 0.3),
            ("T10", 22.0, 3.0),
            ("T20", 22.0, 3.0),
        ],
        known: &[],
        inputs: || {
            vec![
                held("P", &[0.0, 100.0, 700.0, 1000.0], &[0.0, 400.0, 50.0, 300.0]),
                held("Ta", &[0.0, 600.0, 1200.0], &[20.0, 22.0, 19.0]),
            ]
        },
        times: || every(10.0, 1200.0),
        sigmas: &[0.5, 0.2],
        starts: 1,
        profile: &[],
    });
}

#[test]
fn intervals_of_tanks_in_cascade_hold_the_truth() {
    check(&Case {
        model: "tanks_in_cascade",
        truth: &[
            ("A2", 100.0, 0.2),
            ("K1", 15.0, 0.2),
            ("K2", 15.0, 0.2),
            ("Kp", 1.0, 0.2),
            ("H10", 5.0, 2.0),
            ("H20", 5.0, 2.0),
        ],
        known: &[],
        inputs: || vec![held("u", &[0.0, 100.0, 200.0, 300.0], &[70.0, 30.0, 80.0, 40.0])],
        times: || every(4.0, 400.0),
        sigmas: &[0.1, 0.1],
        starts: 1,
        profile: &[],
    });
}

#[test]
fn intervals_of_dc_motor_hold_the_truth() {
    const STEPS: [f64; 5] = [0.0, 1.5, 3.0, 4.5, 6.0];
    check(&Case {
        model: "dc_motor",
        truth: &[
            ("R", 1.0, 0.2),
            ("L", 0.02, 0.2),
            ("Ke", 0.1, 0.2),
            ("J", 0.01, 0.2),
            ("B", 1e-3, 3e-4),
            ("Tc", 0.05, 0.01),
            ("Kl", 1e-5, 3e-6),
        ],
        known: &[],
        inputs: || vec![held("U", &STEPS, &[24.0, 6.0, 16.0, 3.0, -12.0])],
        times: || denser_after(&STEPS, 0.01, 0.08, 8.0),
        sigmas: &[0.05, 0.5],
        starts: 1,
        profile: &[],
    });
}

#[test]
fn intervals_of_centrifugal_pump_curve_hold_the_truth() {
    check(&Case {
        model: "centrifugal_pump_curve",
        truth: &[
            ("H0", 30.0, 0.2),
            ("H1", 0.0, 0.05),
            ("H2", 0.005, 0.001),
            ("P0", 3.0, 0.5),
            ("P1", 0.1, 0.02),
            ("P2", 0.0, 5e-4),
        ],
        known: &[],
        inputs: || {
            let times = every(1.0, 99.0);
            let flow = (0..100).map(|i| f64::from(i * 37 % 50) * 1.6).collect();
            let speed = (0..100).map(|i| [1450.0, 1200.0, 950.0, 1600.0][i % 4]).collect();
            vec![("Q", times.clone(), flow), ("n", times, speed)]
        },
        times: || every(1.0, 99.0),
        sigmas: &[0.2, 0.05],
        starts: 1,
        profile: &[],
    });
}

#[test]
fn intervals_of_heat_exchanger_hold_the_truth() {
    check(&Case {
        model: "heat_exchanger",
        truth: &[("UA", 5.0, 0.3), ("Mh", 50.0, 0.3), ("Mc", 50.0, 0.3), ("Th0", 50.0, 10.0), ("Tc0", 30.0, 10.0)],
        known: &[],
        inputs: || {
            vec![
                held("Fh", &[0.0, 60.0, 120.0, 200.0], &[1.0, 1.0, 0.4, 1.5]),
                held("Fc", &[0.0, 90.0, 150.0, 250.0], &[1.0, 0.6, 1.2, 0.5]),
                held("ThIn", &[0.0, 100.0, 220.0, 300.0], &[80.0, 90.0, 70.0, 85.0]),
                held("TcIn", &[0.0, 300.0], &[15.0, 18.0]),
            ]
        },
        times: || every(3.0, 300.0),
        sigmas: &[0.1, 0.1],
        starts: 1,
        profile: &[],
    });
}

#[test]
fn intervals_of_valve_with_stiction_hold_the_truth() {
    check(&Case {
        model: "valve_with_stiction",
        truth: &[("Slide", 2.0, 0.3), ("Jump", 1.0, 0.3), ("Damp", 0.5, 0.3), ("X0", 50.0, 1.0)],
        // Softer bristles and a heavier stem: a tenth of the steps, and as much friction to find.
        known: &[("T", 1.0), ("Sigma0", 10.0)],
        inputs: || {
            // Up and down in steps of two seconds.
            let ramp = |t: f64| 50.0 + if t < 10.0 { t } else { 10.0 - 1.5 * (t - 10.0) };
            let times = every(2.0, 24.0);
            let values = times.iter().map(|t| ramp(*t)).collect();
            vec![("u", times, values)]
        },
        times: || every(0.25, 25.0),
        sigmas: &[0.1],
        starts: 4,
        profile: &["Slide", "Jump"],
    });
}

#[test]
fn intervals_of_battery_thevenin_2rc_hold_the_truth() {
    const STEPS: [f64; 8] = [0.0, 300.0, 900.0, 1500.0, 1800.0, 2400.0, 3000.0, 3300.0];
    check(&Case {
        model: "battery_thevenin_2rc",
        truth: &[
            ("Q", 0.85, 0.2),
            ("R0", 0.075, 0.2),
            ("R1", 0.047, 0.2),
            ("Tau1", 30.0, 0.2),
            ("R2", 0.05, 0.2),
            ("Tau2", 250.0, 0.2),
            ("SOC0", 0.9, 0.04),
        ],
        known: &[],
        inputs: || vec![held("I", &STEPS, &[0.0, 0.85, 0.0, 1.7, 0.0, 0.85, 0.0, -0.4])],
        times: || denser_after(&STEPS, 5.0, 20.0, 3900.0),
        sigmas: &[0.002],
        starts: 1,
        profile: &[],
    });
}
