//! Stiff equations against exact solutions and published ones: global error within 10 × rtol, sensitivities within 1e-6.

use std::sync::atomic::AtomicBool;

use uatwin::fit::{Experiment, FitOptions, Measured, fit};
use uatwin::model::{Delay, Hold, Init, Model, ModelSource};
use uatwin::simulate::{
    Belief, Method, Observer, Options, Scenario, Signal, SimulationError, Stepper, Trajectory, advance, simulate,
    simulate_with_sensitivities,
};

use crate::sensitivity::{check_with, steps};
use crate::support::{
    NEVER, Noise, close, compile, equation, fixed, golden, helper, hour, input, output, parameter, state, two_bodies,
};

const IMPLICIT: Options = Options { rtol: 1e-7, atol: 1e-12, steps_max: 500_000, method: Method::Radau5 };

fn run(model: &Model, inputs: &[Signal], times: &[f64], options: &Options) -> Result<Trajectory, SimulationError> {
    let all: Vec<&[f64]> = model.outputs().iter().map(|_| times).collect();
    let span = (times[0], times[times.len() - 1]);
    let scenario = Scenario { inputs, span, output_times: &all, initial_state: None, measured: &[] };
    let theta = model.nominal();
    simulate_with_sensitivities(model, &theta, &scenario, &model.free(), options, &NEVER)
}

/// States that start at numbers, their equations, and each as an output.
fn equations(parts: &[(&str, f64, &str)]) -> ModelSource {
    ModelSource {
        states: parts.iter().map(|(name, init, _)| state(name, Init::Number(*init))).collect(),
        equations: parts.iter().map(|(name, _, expr)| equation(name, expr)).collect(),
        outputs: parts.iter().map(|(name, ..)| output(&format!("y{name}"), name, 1.0)).collect(),
        ..ModelSource::default()
    }
}

/// The model's outputs at the end.
fn last(trajectory: &Trajectory) -> Vec<f64> {
    trajectory.outputs.iter().map(|values| values[values.len() - 1]).collect()
}

/// Robertson's reaction. Hairer and Wanner, Solving ODEs II, §IV.1.
fn robertson() -> Model {
    let free = |name: &str, value: f64| parameter(name, value, value / 10.0, value * 10.0, true);
    compile(&ModelSource {
        parameters: vec![free("k1", 0.04), free("k2", 1e4), free("k3", 3e7)],
        ..equations(&[("a", 1.0, "-k1*a + k2*b*c"), ("b", 0.0, "k1*a - k2*b*c - k3*b^2"), ("c", 0.0, "k3*b^2")])
    })
}

#[test]
fn published_end_points_are_reached() {
    // Test Set for IVP Solvers (Mazzia, Magherini, release 2.4): ROBER at 1e11, HIRES, VDPOL (µ = 1000).
    let hires = equations(&[
        ("y1", 1.0, "-1.71*y1 + 0.43*y2 + 8.32*y3 + 0.0007"),
        ("y2", 0.0, "1.71*y1 - 8.75*y2"),
        ("y3", 0.0, "-10.03*y3 + 0.43*y4 + 0.035*y5"),
        ("y4", 0.0, "8.32*y2 + 1.71*y3 - 1.12*y4"),
        ("y5", 0.0, "-1.745*y5 + 0.43*y6 + 0.43*y7"),
        ("y6", 0.0, "-280*y6*y8 + 0.69*y4 + 1.71*y5 - 0.43*y6 + 0.69*y7"),
        ("y7", 0.0, "280*y6*y8 - 1.81*y7"),
        ("y8", 0.0057, "-280*y6*y8 + 1.81*y7"),
    ]);
    let pol = equations(&[("x", 2.0, "v"), ("v", 0.0, "((1 - x^2)*v - x)/1e-6")]);
    let cases: [(&str, Model, f64, &[f64]); 3] = [
        ("ROBER", robertson(), 1e11, &[0.208_334_014_970_125_5e-7, 0.833_336_077_033_471_3e-13, 0.999_999_979_166_505]),
        (
            "HIRES",
            compile(&hires),
            321.8122,
            &[
                0.737_131_257_332_566_8e-3,
                0.144_248_572_631_618_5e-3,
                0.588_872_974_096_757_5e-4,
                0.117_565_134_328_314_9e-2,
                0.238_635_619_883_133_1e-2,
                0.623_896_825_274_279_6e-2,
                0.284_999_839_518_576_9e-2,
                0.285_000_160_481_423_1e-2,
            ],
        ),
        ("VDPOL", compile(&pol), 2.0, &[1.706_167_732_170_483, -0.892_809_701_024_797_5]),
    ];
    for (name, model, end, published) in cases {
        for options in [IMPLICIT, Options::default()] {
            let trajectory = run(&model, &[], &[0.0, end], &options).unwrap();
            assert!(trajectory.stiff_from_s.is_some(), "{name} is stiff");
            for (value, published) in last(&trajectory).iter().zip(published) {
                assert!((value / published - 1.0).abs() < 1e-6, "{name}: {value:e} instead of {published:e}");
            }
        }
    }
}

#[test]
fn the_sensitivities_of_a_reaction_are_right_over_twelve_decades() {
    let reference = golden("stiff/robertson.txt");
    let times: Vec<f64> = std::iter::once(0.0).chain(reference.iter().map(|row| row[0])).collect();
    let model = robertson();
    for options in [IMPLICIT, Options::default()] {
        let found = run(&model, &[], &times, &options).unwrap();
        for (point, row) in reference.iter().enumerate() {
            // At 1e11 s less than a millionth is left of what the errors are measured against.
            let tolerance = if row[0] > 1e8 { 1e-4 } else { 1e-6 };
            for state in 0..3 {
                close(found.outputs[state][point + 1], row[1 + state], 1e-6);
                for lane in 0..3 {
                    let value = found.sensitivities[state][(point + 1) * 3 + lane];
                    close(value, row[4 + 3 * state + lane], tolerance);
                }
            }
        }
    }
}

/// A fast part of 0.1 ms that follows u, and a slow one of 20 s that follows it.
fn cascade() -> ModelSource {
    ModelSource {
        parameters: vec![parameter("fast", 1e-4, 1e-6, 1.0, true), parameter("slow", 20.0, 0.1, 1e3, true)],
        inputs: vec![input("u", Hold::Previous)],
        ..equations(&[("x", 0.0, "(u - x)/fast"), ("z", 0.0, "(x - z)/slow")])
    }
}

/// The exact solution of the cascade under a held input.
fn cascade_exact(signal: &Signal, at: f64) -> [f64; 2] {
    let (fast, slow) = (1e-4, 20.0);
    let (mut x, mut z) = (0.0, 0.0);
    for (index, (&from, &u)) in signal.times.iter().zip(&signal.values).enumerate() {
        let to = signal.times.get(index + 1).copied().unwrap_or(f64::INFINITY).min(at);
        if to <= from {
            break;
        }
        let (of_fast, of_slow) = ((-(to - from) / fast).exp(), (-(to - from) / slow).exp());
        let carried = (x - u) * fast / (fast - slow);
        z = u + carried * of_fast + (z - u - carried) * of_slow;
        x = u + (x - u) * of_fast;
    }
    [x, z]
}

#[test]
fn a_stiff_cascade_follows_its_recorded_input_and_misses_no_pulse() {
    let signal = Signal {
        times: vec![0.0, 10.0, 40.0, 40.002, 300.0, 300.5, 301.0],
        values: vec![1.0, 4.0, 1e5, 4.0, -2.0, 3.0, 0.5],
        hold: Hold::Previous,
    };
    let model = compile(&cascade());
    let mut times: Vec<f64> = (0..=400).map(f64::from).collect();
    times.extend([10.00001, 10.0002, 40.0003, 40.001, 40.002, 40.0021, 300.2, 300.7]);
    times.sort_by(f64::total_cmp);
    for options in [IMPLICIT, Options::default()] {
        let found = run(&model, std::slice::from_ref(&signal), &times, &options).unwrap();
        for (point, &t) in times.iter().enumerate() {
            let exact = cascade_exact(&signal, t);
            for state in 0..2 {
                // Against what the state has been: the pulse passes 1e5.
                let size = if t > 40.0 { [1e5, 10.0][state] } else { 4.0 };
                let error = (found.outputs[state][point] - exact[state]).abs();
                assert!(
                    error <= 10.0 * 1e-7 * size,
                    "at {t}: {} instead of {}",
                    found.outputs[state][point],
                    exact[state]
                );
            }
        }
    }
}

#[test]
fn a_stiff_state_is_right_inside_long_steps_too() {
    // It follows the time at once, so that the end of any step is right, however long.
    let model = compile(&equations(&[("x", 0.0, "-1e9*(x - cos(t))")]));
    let times: Vec<f64> = (1..=500).map(|i| 0.1 * f64::from(i)).collect();
    for options in [IMPLICIT, Options::default()] {
        let from_rest: Vec<f64> = std::iter::once(0.0).chain(times.iter().copied()).collect();
        let found = run(&model, &[], &from_rest, &options).unwrap();
        for (value, &t) in found.outputs[0][1..].iter().zip(&times) {
            assert!((value - t.cos()).abs() < 1e-6, "at {t}: {value} instead of {}", t.cos());
        }
        assert!(found.stiff_from_s.is_some());
    }
}

/// `x` follows the inputs in a millisecond, `z` follows it in seconds; one input has a dead time.
fn followers(output_expr: &str, delayed: Option<usize>) -> Model {
    let free = |name: &str, value: f64| parameter(name, value, value / 100.0, value * 100.0, false);
    let mut source = ModelSource {
        states: vec![state("x", Init::Parameter("x0".into())), state("z", Init::Number(0.2))],
        parameters: vec![free("x0", 1.5), free("slow", 3.0), free("n", 1.3)],
        inputs: vec![input("u", Hold::Previous), input("v", Hold::Linear)],
        lets: vec![helper("flow", "(1 + x^2)^(n/2)")],
        equations: vec![equation("x", "(u*v - x^3 - x)/fast"), equation("z", "(flow - z*z)/slow")],
        outputs: vec![output("y", output_expr, 1.0)],
    };
    match delayed {
        Some(delayed) => {
            source.parameters.extend([fixed("fast", 1e-3), free("d", 0.35)]);
            source.inputs[delayed].delay = Delay::Parameter("d".into());
        }
        None => source.parameters.push(free("fast", 1e-3)),
    }
    compile(&source)
}

#[test]
fn sensitivities_of_what_is_fast_are_right_where_it_moves() {
    let mut times: Vec<f64> =
        (0..19).flat_map(|i| [0.0, 2e-4, 1e-3, 3e-3, 0.4].map(|after| f64::from(i) + after)).collect();
    times.push(19.0);
    for method in [Method::Radau5, Method::Auto] {
        let options = Options { method, ..Options::default() };
        check_with(&followers("x + 0.3*z", None), &steps(), &times, 1e-3, &options);
    }
}

#[test]
fn sensitivities_to_a_dead_time_are_right_with_the_implicit_method() {
    let times: Vec<f64> = (0..=36).map(|i| 0.5 * f64::from(i) + 0.1).collect();
    for method in [Method::Radau5, Method::Auto] {
        for delayed in 0..2 {
            let options = Options { method, ..Options::default() };
            check_with(&followers("z + 0.1*tanh(x)", Some(delayed)), &steps(), &times, 1e-3, &options);
        }
    }
}

#[test]
fn only_what_is_stiff_is_integrated_implicitly() {
    let (times, power, ambient) = hour(3600);
    let inputs = [
        Signal { times: times.clone(), values: power, hold: Hold::Previous },
        Signal { times: times.clone(), values: ambient, hold: Hold::Linear },
    ];
    let explicit = Options { method: Method::Dopri5, ..Options::default() };
    let bodies = compile(&two_bodies());
    let found = run(&bodies, &inputs, &times, &Options::default()).unwrap();
    assert_eq!(found, run(&bodies, &inputs, &times, &explicit).unwrap());
    assert_eq!(found.stiff_from_s, None);

    let signal = Signal { times: vec![0.0, 1.0], values: vec![1.0, 3.0], hold: Hold::Previous };
    let at: Vec<f64> = (0..=10).map(f64::from).collect();
    let model = compile(&cascade());
    let found = run(&model, std::slice::from_ref(&signal), &at, &Options::default()).unwrap();
    assert!(found.stiff_from_s.is_some_and(|from| from > 0.0 && from < 0.6), "{:?}", found.stiff_from_s);
    let by_hand = run(&model, &[signal], &at, &explicit).unwrap();
    assert_eq!(by_hand.stiff_from_s, None);
    assert!(by_hand.steps > 20 * found.steps, "{} and {} steps", by_hand.steps, found.steps);
}

/// A DC motor: the winding settles in 0.1 ms, the rotor in 3 s. Current and speed are measured.
fn motor() -> ModelSource {
    let free = |name: &str, value: f64| parameter(name, value, value / 20.0, value * 20.0, true);
    ModelSource {
        states: vec![state("I", Init::Number(0.0)), state("w", Init::Number(0.0))],
        parameters: vec![free("R", 2.0), free("K", 0.1), free("J", 0.005), free("b", 0.004), fixed("L", 1e-4)],
        inputs: vec![input("U", Hold::Previous)],
        equations: vec![equation("I", "(U - R*I - K*w)/L"), equation("w", "(K*I - b*w)/J")],
        outputs: vec![output("current", "I", 0.02), output("speed", "w", 0.2)],
        ..ModelSource::default()
    }
}

/// e^(A·h) of a 2×2 matrix: Taylor's series of a small part of h, squared back.
fn exponential(a: [[f64; 2]; 2], h: f64) -> [[f64; 2]; 2] {
    let product = |a: [[f64; 2]; 2], b: [[f64; 2]; 2]| {
        let entry = |i: usize, j: usize| a[i][0] * b[0][j] + a[i][1] * b[1][j];
        [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]]
    };
    let halvings =
        (h * a.iter().flatten().fold(0.0_f64, |most, entry| most.max(entry.abs()))).log2().max(0.0) as i32 + 4;
    let part = a.map(|row| row.map(|entry| entry * h / 2_f64.powi(halvings)));
    let (mut sum, mut term) = ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]);
    for order in 1..20 {
        term = product(term, part).map(|row| row.map(|entry| entry / f64::from(order)));
        (0..2).for_each(|i| (0..2).for_each(|j| sum[i][j] += term[i][j]));
    }
    (0..halvings).fold(sum, |power, _| product(power, power))
}

#[test]
fn a_fit_of_a_motor_with_its_winding_finds_the_parameters() {
    let [r, k, j, b, l] = [1.0, 0.05, 0.01, 0.002, 1e-4];
    let step = exponential([[-r / l, -k / l], [k / j, -b / j]], 0.1);
    let (mut noise, mut x) = (Noise(3), [0.0, 0.0]);
    let (mut times, mut voltage, mut current, mut speed) = (vec![], vec![], vec![], vec![]);
    for sample in 0..400 {
        let u = [12.0, 0.0, 6.0, 3.0, 9.0][sample / 25 % 5];
        times.push(0.1 * sample as f64);
        voltage.push(u);
        current.push(x[0] + 0.02 * noise.normal());
        speed.push(x[1] + 0.2 * noise.normal());
        // Where it settles under u, and e^(A·h) of the way from there.
        let settled = [u * b / (r * b + k * k), u * k / (r * b + k * k)];
        let off = [x[0] - settled[0], x[1] - settled[1]];
        x = [0, 1].map(|i| settled[i] + step[i][0] * off[0] + step[i][1] * off[1]);
    }
    let measured = |values| Measured { times: times.clone(), values, weights: vec![] };
    let experiment = Experiment {
        inputs: vec![Signal { times: times.clone(), values: voltage, hold: Hold::Previous }],
        outputs: vec![measured(current), measured(speed)],
        span: None,
    };
    let model = compile(&motor());
    let report =
        fit(&model, &[experiment], &FitOptions { starts: 2, ..FitOptions::default() }, &NEVER, &|_| {}).unwrap();
    for ((value, error), truth) in report.values.iter().zip(&report.standard_errors).zip([r, k, j, b]) {
        assert!((value - truth).abs() < 4.0 * error && *error < 0.02 * truth, "{value} ± {error} instead of {truth}");
    }
}

#[test]
fn what_cannot_be_integrated_is_an_error() {
    let cases = [
        ("1/(x - x)", "equation of `x`"),
        ("log(-1 - x^2)", "equation of `x`"),
        ("exp(exp(x + 9))", ""),
        ("1 + x^2", ""),
        ("sqrt(1 - x) + 1e6", "equation of `x`"),
        ("if(x < 0.5, 1, 0/0)", "equation of `x`"),
        ("1e3*x + 1", ""),
    ];
    for (expr, message) in cases {
        let model = compile(&equations(&[("x", 0.0, expr)]));
        let error = run(&model, &[], &[0.0, 100.0], &IMPLICIT).unwrap_err();
        let is_known = matches!(error, SimulationError::NotFinite { .. } | SimulationError::StepTooSmall { .. });
        assert!(is_known && error.describe(&model).contains(message), "{expr}: {}", error.describe(&model));
    }
    let model = compile(&equations(&[("x", 0.0, "cos(1e3*t) - 1e6*x")]));
    let few = Options { steps_max: 1_000, ..IMPLICIT };
    let error = run(&model, &[], &[0.0, 1e3], &few).unwrap_err();
    assert!(matches!(error, SimulationError::TooManySteps { steps: 1_000, .. }), "{error}");
}

#[test]
fn slopes_that_are_infinite_or_none_do_not_stop_the_implicit_method() {
    // √ has an infinite slope where it starts; x is (1 + t/2)² − 1 … and a Jacobian of zeros is as good as any.
    let model = compile(&equations(&[("x", 0.0, "1 + sqrt(abs(x))*0"), ("z", 0.0, "2")]));
    let found = run(&model, &[], &[0.0, 3.0], &IMPLICIT).unwrap();
    assert!((last(&found)[0] - 3.0).abs() < 1e-9 && (last(&found)[1] - 6.0).abs() < 1e-9, "{:?}", last(&found));
}

#[test]
fn a_stiff_simulation_ends_when_it_is_cancelled() {
    let model = compile(&equations(&[("x", 0.0, "1e6*(cos(1e3*t) - x)")]));
    let cancel = AtomicBool::new(false);
    let endless = Options { steps_max: usize::MAX, ..IMPLICIT };
    let times = [0.0, 1e12];
    let scenario =
        Scenario { inputs: &[], span: (0.0, 1e12), output_times: &[&times], initial_state: None, measured: &[] };
    let result = std::thread::scope(|scope| {
        let run = scope.spawn(|| simulate(&model, &[], &scenario, &endless, &cancel));
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        run.join().unwrap()
    });
    assert_eq!(result, Err(SimulationError::Cancelled));
}

#[test]
fn a_live_simulation_of_a_stiff_model_goes_where_the_exact_solution_goes() {
    let model = compile(&cascade());
    let signal = Signal {
        times: (0..60).map(f64::from).collect(),
        values: (0..60).map(|i| f64::from(i * 7 % 5)).collect(),
        hold: Hold::Previous,
    };
    let mut x = [0.0, 0.0];
    let mut stepper = Stepper::new(&model);
    for (second, u) in signal.values.iter().enumerate() {
        let span = (second as f64, second as f64 + 1.0);
        // An explicit method takes 3,000 steps a second.
        let options = Options { steps_max: 600, ..Options::default() };
        advance(&mut stepper, &model, &model.nominal(), &mut x, span, (&[*u], &[*u]), &options).unwrap();
        let exact = cascade_exact(&signal, span.1);
        assert!((0..2).all(|i| (x[i] - exact[i]).abs() < 4e-6), "{x:?} instead of {exact:?}");
    }
}

#[test]
fn an_observer_of_a_stiff_model_knows_how_uncertain_it_is() {
    let mut source = cascade();
    source.states[0].noise = 2.0;
    source.states[1].noise = 0.3;
    let model = compile(&source);
    let mut observer = Observer::new(&model);
    let mut belief = Belief { x: vec![0.0, 0.0], p: vec![1.0, 0.0, 0.0, 1.0] };
    let options = Options { steps_max: 600, ..Options::default() };
    observer.predict(&model, &model.nominal(), &mut belief, (0.0, 5.0), (&[1.0], &[1.0]), &options).unwrap();
    // FP + PFᵀ + Q = dP/dt of x is settled; z has 0.3 W/s and what x leaves to it.
    let (fast, slow, t) = (1e-4_f64, 20.0_f64, 5.0_f64);
    let of_x = 2.0 * fast / 2.0;
    close(belief.p[0], of_x, 1e-6);
    // dPxz/dt = −(1/fast + 1/slow) Pxz + Pxx/slow.
    let cross = of_x / slow / (1.0 / fast + 1.0 / slow);
    close(belief.p[1], cross, 1e-6);
    assert_eq!(belief.p[1], belief.p[2]);
    // dPzz/dt = −2 Pzz/slow + 2 Pxz/slow + 0.3; the start's Pxx = 1 is gone before it weighs (1e-4 of it).
    let settled = slow / 2.0 * 0.3 + cross;
    let expected = settled + (1.0 - settled) * (-2.0 * t / slow).exp();
    close(belief.p[3], expected, 1e-6);
}
