//! For each ready-made model: parameters other than the nominal ones, inputs that move it, and what it must then do.

use crate::library_reference::{Inputs, extrapolated, held, linear, linear_2x2, walk};

/// A parameter's value by its name.
type Value<'a> = &'a dyn Fn(&str) -> f64;

pub(crate) struct Case {
    /// The file's name.
    pub(crate) model: &'static str,
    pub(crate) what: &'static str,
    /// Parameters that are not at their nominal values.
    pub(crate) theta: &'static [(&'static str, f64)],
    pub(crate) inputs: fn() -> Inputs,
    pub(crate) times: fn() -> Vec<f64>,
    /// For each time the outputs in the model's order.
    pub(crate) reference: fn(Value<'_>, &Inputs, &[f64]) -> Vec<Vec<f64>>,
    /// Largest error, in units of the largest value of the output.
    pub(crate) tolerance: f64,
    /// Largest relative error of a parameter that is fitted back; 0: not fitted.
    pub(crate) fitted_within: f64,
}

pub(crate) const CASES: &[Case] = &[
    Case {
        model: "first_order_dead_time",
        what: "steps",
        theta: &[("K", 2.5), ("Tau", 12.0), ("L", 3.7), ("Rest", 1.0), ("Y0", -2.0)],
        inputs: steps,
        times: || every(0.5, 160.0),
        reference: first_order,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "second_order_dead_time",
        what: "underdamped",
        theta: &[("K", -3.0), ("T", 4.0), ("Zeta", 0.3), ("L", 2.25), ("Rest", 5.0), ("Y0", 4.0), ("V0", 0.5)],
        inputs: steps,
        times: || every(0.5, 160.0),
        reference: second_order,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "second_order_dead_time",
        what: "overdamped",
        theta: &[("K", 0.7), ("T", 6.0), ("Zeta", 1.8), ("L", 1.3), ("Rest", -1.0), ("Y0", 0.2)],
        inputs: steps,
        times: || every(0.5, 160.0),
        reference: second_order,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "integrator_dead_time",
        what: "steps",
        theta: &[("Ki", -0.2), ("L", 8.5), ("Balance", 0.3), ("Y0", 12.0)],
        inputs: steps,
        times: || every(0.5, 160.0),
        reference: integrator,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "thermal_one_body",
        what: "heater on and off under a moving ambient",
        theta: &[("C", 900.0), ("k", 2.2), ("T0", 35.0)],
        inputs: heating,
        times: || every(5.0, 3600.0),
        reference: one_body,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "thermal_two_bodies",
        what: "heater on and off under a moving ambient",
        theta: &[("C1", 150.0), ("C2", 1200.0), ("K12", 3.0), ("K2", 2.5), ("T10", 60.0), ("T20", 15.0)],
        inputs: heating,
        times: || every(5.0, 3600.0),
        reference: two_bodies,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "tanks_in_cascade",
        what: "both run over and one runs empty",
        theta: &[
            ("A1", 80.0),
            ("A2", 130.0),
            ("K1", 21.0),
            ("K2", 17.0),
            ("Kp", 2.1),
            ("HMax", 30.0),
            ("Phi", 0.7),
            ("H10", 12.0),
            ("H20", 3.0),
        ],
        inputs: || vec![("u", vec![0.0, 60.0, 200.0, 330.0, 420.0], vec![30.0, 90.0, 20.0, 75.0, 0.0])],
        times: || every(2.0, 600.0),
        reference: tanks,
        tolerance: 1e-7,
        fitted_within: 1e-4,
    },
    Case {
        model: "dc_motor",
        what: "linear load",
        theta: &[
            ("R", 0.7),
            ("L", 0.05),
            ("Ke", 0.13),
            ("J", 0.02),
            ("B", 0.004),
            ("Tc", 0.0),
            ("Kl", 0.0),
            ("W0", 20.0),
        ],
        inputs: voltage,
        times: || every(0.02, 12.0),
        reference: linear_motor,
        tolerance: 1e-8,
        fitted_within: 0.0,
    },
    Case {
        model: "dc_motor",
        what: "dry friction and a fan",
        theta: &[("R", 0.7), ("L", 0.05), ("Ke", 0.13), ("J", 0.02), ("B", 0.004), ("Tc", 0.05), ("Kl", 4e-5)],
        inputs: voltage,
        times: || every(0.02, 12.0),
        reference: motor,
        tolerance: 1e-7,
        fitted_within: 1e-4,
    },
    Case {
        model: "centrifugal_pump_curve",
        what: "a walk over flow and speed",
        theta: &[("H0", 42.0), ("H1", 0.03), ("H2", 0.004), ("P0", 2.2), ("P1", 0.12), ("P2", 4e-4)],
        inputs: pump_walk,
        times: || every(1.0, 49.0),
        reference: pump,
        tolerance: 1e-14,
        fitted_within: 1e-8,
    },
    Case {
        model: "heat_exchanger",
        what: "flows stepped through equality, inlets moving",
        theta: &[("UA", 3.0), ("Mh", 30.0), ("Mc", 80.0), ("Th0", 70.0), ("Tc0", 20.0)],
        inputs: exchanger_inputs,
        times: || every(1.0, 300.0),
        reference: exchanger,
        tolerance: 1e-8,
        fitted_within: 1e-5,
    },
    Case {
        model: "valve_with_stiction",
        what: "ramps to and fro",
        theta: &[("Slide", 3.0), ("Jump", 1.5), ("Damp", 0.8), ("X0", 48.0)],
        inputs: demand,
        times: || every(0.5, 60.0),
        reference: valve,
        tolerance: 1e-6,
        fitted_within: 1e-3,
    },
    Case {
        model: "battery_thevenin_2rc",
        what: "pulses and rests over most of the charge",
        theta: &[("Q", 1.1), ("R0", 0.05), ("R1", 0.03), ("Tau1", 12.0), ("R2", 0.02), ("Tau2", 400.0), ("SOC0", 0.95)],
        inputs: pulses,
        times: || every(5.0, 7200.0),
        reference: battery,
        tolerance: 1e-8,
        fitted_within: 1e-4,
    },
];

pub(crate) fn every(step: f64, end: f64) -> Vec<f64> {
    (0..=(end / step).round() as u32).map(|index| f64::from(index) * step).collect()
}

fn steps() -> Inputs {
    vec![("u", vec![0.0, 10.0, 50.0, 75.0, 110.0], vec![0.25, 1.0, -0.5, 2.0, 0.0])]
}

fn heating() -> Inputs {
    let ambient: Vec<f64> = (0..=12).map(|i| [20.0, 23.5, 22.0, 14.0, 18.0][i % 5]).collect();
    vec![
        ("P", vec![0.0, 400.0, 1500.0, 2300.0, 2900.0], vec![0.0, 250.0, 40.0, 400.0, 0.0]),
        ("Ta", every(300.0, 3600.0), ambient),
    ]
}

fn voltage() -> Inputs {
    vec![("U", vec![0.0, 0.5, 4.0, 7.0, 9.5], vec![0.0, 12.0, 5.0, -8.0, 20.0])]
}

fn pump_walk() -> Inputs {
    let times = every(1.0, 49.0);
    let flow = (0..50).map(|i| f64::from(i * 37 % 50) * 1.6).collect();
    let speed = (0..50).map(|i| [1450.0, 1200.0, 950.0, 1600.0][i % 4]).collect();
    vec![("Q", times.clone(), flow), ("n", times, speed)]
}

fn exchanger_inputs() -> Inputs {
    vec![
        ("Fh", vec![0.0, 60.0, 120.0, 200.0], vec![1.0, 1.0, 0.4, 1.5]),
        ("Fc", vec![0.0, 90.0, 150.0, 250.0], vec![1.0, 0.6, 1.2, 0.0]),
        ("ThIn", vec![0.0, 100.0, 220.0, 300.0], vec![80.0, 90.0, 70.0, 85.0]),
        ("TcIn", vec![0.0, 300.0], vec![15.0, 18.0]),
    ]
}

/// A demand in many small held steps, as a controller gives it.
fn demand() -> Inputs {
    let times = every(0.5, 60.0);
    let ramp = |t: f64| {
        50.0 + if t < 20.0 {
            t
        } else if t < 45.0 {
            20.0 - 1.5 * (t - 20.0)
        } else {
            -17.5 + 2.0 * (t - 45.0)
        }
    };
    let values = times.iter().map(|t| ramp(*t)).collect();
    vec![("u", times, values)]
}

fn pulses() -> Inputs {
    let times = every(300.0, 7200.0);
    let values = (0..times.len()).map(|i| [1.1, 0.0, 0.4, 0.0, 1.6, -0.3][i % 6]).collect();
    vec![("I", times, values)]
}

/// The delayed steps of a held input: when each comes, and how high it is; the first is there from the start.
fn jumps(inputs: &Inputs, delay: f64) -> Vec<(f64, f64)> {
    let (_, times, values) = &inputs[0];
    (1..times.len()).map(|i| (times[i] + delay, values[i] - values[i - 1])).collect()
}

fn first_order(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let rise = |s: f64| if s > 0.0 { 1.0 - (-s / p("Tau")).exp() } else { 0.0 };
    let from_start = p("Rest") + p("K") * inputs[0].2[0] - p("Y0");
    let answers = |t: f64| jumps(inputs, p("L")).iter().map(|(at, height)| p("K") * height * rise(t - at)).sum::<f64>();
    times.iter().map(|t| vec![p("Y0") + from_start * rise(*t) + answers(*t)]).collect()
}

fn second_order(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let (zeta, w) = (p("Zeta"), 1.0 / p("T"));
    let wd = w * (1.0 - zeta * zeta).abs().sqrt();
    // What is left of a unit displacement, and of a unit speed, after s.
    let (displaced, moving) = (
        |s: f64| {
            let (c, n) = if zeta < 1.0 { ((wd * s).cos(), (wd * s).sin()) } else { ((wd * s).cosh(), (wd * s).sinh()) };
            (-zeta * w * s).exp() * (c + zeta * w / wd * n)
        },
        |s: f64| (-zeta * w * s).exp() * if zeta < 1.0 { (wd * s).sin() } else { (wd * s).sinh() } / wd,
    );
    let rest = p("Rest") + p("K") * inputs[0].2[0];
    let rise = |s: f64| if s > 0.0 { 1.0 - displaced(s) } else { 0.0 };
    let answers = |t: f64| jumps(inputs, p("L")).iter().map(|(at, height)| p("K") * height * rise(t - at)).sum::<f64>();
    times.iter().map(|&t| vec![rest + (p("Y0") - rest) * displaced(t) + p("V0") * moving(t) + answers(t)]).collect()
}

fn integrator(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let answers = |t: f64| jumps(inputs, p("L")).iter().map(|(at, height)| height * (t - at).max(0.0)).sum::<f64>();
    times.iter().map(|t| vec![p("Y0") + p("Ki") * ((inputs[0].2[0] - p("Balance")) * t + answers(*t))]).collect()
}

fn one_body(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let tau = p("C") / p("k");
    walk(inputs, times, &[p("T0")], |x, from, to| {
        let (power, s) = (held(inputs, "P", 0.5 * (from + to)), to - from);
        let (a, b) = (linear(inputs, "Ta", from), linear(inputs, "Ta", to));
        // The temperature it strives for is a + slope·s: the answer to a ramp lags by tau.
        let (aim, slope) = (a + power / p("k"), (b - a) / s);
        x[0] = aim + slope * (s - tau) + (x[0] - aim + slope * tau) * (-s / tau).exp();
    })
}

fn two_bodies(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let (c1, c2, k, h) = (p("C1"), p("C2"), p("K12"), p("K2"));
    walk(inputs, times, &[p("T10"), p("T20")], |x, from, to| {
        let (power, s) = (held(inputs, "P", 0.5 * (from + to)), to - from);
        let (a, b) = (linear(inputs, "Ta", from), linear(inputs, "Ta", to));
        let m = [[-k / c1, k / c1], [k / c2, -(k + h) / c2]];
        *x = linear_2x2(m, [power / c1, h / c2 * a], [0.0, h / c2 * (b - a) / s], [x[0], x[1]], s).to_vec();
    })
}

fn tanks(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let out = |k: f64, h: f64| k * h / (h * h + p("Hs") * p("Hs")).sqrt().sqrt();
    let over = |h: f64| if h > p("HMax") { p("Kw") * (h - p("HMax")).powi(3).sqrt() } else { 0.0 };
    walk(inputs, times, &[p("H10"), p("H20")], |x, from, to| {
        let inflow = p("Kp") * held(inputs, "u", 0.5 * (from + to));
        let rate = |_: f64, h: &[f64]| {
            let (out1, out2) = (out(p("K1"), h[0]), out(p("K2"), h[1]));
            let upper = inflow - out1 - over(h[0]);
            vec![upper / p("A1"), (out1 + p("Phi") * over(h[0]) - out2 - over(h[1])) / p("A2")]
        };
        // Small steps: at the brim the equations have a kink.
        extrapolated(&rate, x, from, to, 0.005);
    })
}

fn linear_motor(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    walk(inputs, times, &[p("I0"), p("W0")], |x, from, to| {
        let u = held(inputs, "U", 0.5 * (from + to));
        let m = [[-p("R") / p("L"), -p("Ke") / p("L")], [p("Ke") / p("J"), -p("B") / p("J")]];
        *x = linear_2x2(m, [u / p("L"), 0.0], [0.0, 0.0], [x[0], x[1]], to - from).to_vec();
    })
}

fn motor(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    walk(inputs, times, &[p("I0"), p("W0")], |x, from, to| {
        let u = held(inputs, "U", 0.5 * (from + to));
        let rate = |_: f64, x: &[f64]| {
            let (i, w) = (x[0], x[1]);
            let dry = p("Tc") * (1.0 - 2.0 / (1.0 + (2.0 * w / p("Ws")).exp()));
            let load = dry + p("B") * w + p("Kl") * w * w * if w < 0.0 { -1.0 } else { 1.0 };
            vec![(u - p("R") * i - p("Ke") * w) / p("L"), (p("Ke") * i - load) / p("J")]
        };
        extrapolated(&rate, x, from, to, 0.002);
    })
}

/// The curves at nominal speed, moved along the parabola of similar operating points.
fn pump(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let row = |&t: &f64| {
        let s = held(inputs, "n", t) / p("n0");
        let q = held(inputs, "Q", t) / s;
        let head = p("H0") + q * (p("H1") - p("H2") * q);
        let power = p("P0") + q * (p("P1") - p("P2") * q);
        vec![s * s * head, s * s * s * power]
    };
    times.iter().map(row).collect()
}

/// Heat that passes in counter-flow by the textbook's effectiveness.
pub(crate) fn effectiveness(ntu: f64, r: f64) -> f64 {
    if r == 1.0 {
        return ntu / (1.0 + ntu);
    }
    let e = (-ntu * (1.0 - r)).exp();
    (1.0 - e) / (1.0 - r * e)
}

fn exchanger(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    walk(inputs, times, &[p("Th0"), p("Tc0")], |x, from, to| {
        let middle = 0.5 * (from + to);
        let hot = held(inputs, "Fh", middle) * p("cph");
        let cold = held(inputs, "Fc", middle) * p("cpc");
        let (least, most) = (hot.min(cold), hot.max(cold));
        let per_degree = if least > 0.0 { effectiveness(p("UA") / least, least / most) * least } else { 0.0 };
        let rate = |t: f64, x: &[f64]| {
            let (warm, cool) = (linear(inputs, "ThIn", t), linear(inputs, "TcIn", t));
            let passes = per_degree * (warm - cool);
            vec![(hot * (warm - x[0]) - passes) / p("Mh"), (cold * (cool - x[1]) + passes) / p("Mc")]
        };
        extrapolated(&rate, x, from, to, 1.0);
    })
}

fn valve(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let rows = walk(inputs, times, &[p("X0"), 0.0, p("Z0")], |x, from, to| {
        let u = held(inputs, "u", 0.5 * (from + to));
        let rate = |_: f64, x: &[f64]| {
            let (v, z) = (x[1], x[2]);
            let level = p("Slide") + p("Jump") * (-v * v / (p("Vs") * p("Vs"))).exp();
            let bends = v * (1.0 - p("Sigma0") * z * v.signum() / level);
            let friction = p("Sigma0") * z + p("Sigma1") * bends + p("Damp") * v;
            vec![v, (u - x[0] - friction) / (p("T") * p("T")), bends]
        };
        extrapolated(&rate, x, from, to, 5e-4);
    });
    rows.into_iter().map(|x| vec![x[0]]).collect()
}

fn battery(p: Value<'_>, inputs: &Inputs, times: &[f64]) -> Vec<Vec<f64>> {
    let states = walk(inputs, times, &[p("SOC0"), 0.0, 0.0], |x, from, to| {
        let (current, s) = (held(inputs, "I", 0.5 * (from + to)), to - from);
        x[0] -= current * s / (3600.0 * p("Q"));
        for (pair, (r, tau)) in [("R1", "Tau1"), ("R2", "Tau2")].into_iter().enumerate() {
            let aim = p(r) * current;
            x[1 + pair] = aim + (x[1 + pair] - aim) * (-s / p(tau)).exp();
        }
    });
    let voltage = |(t, x): (&f64, Vec<f64>)| {
        let soc = x[0].clamp(0.0, 1.0);
        let curve = p("E0") + soc * (p("E1") + soc * (p("E2") + soc * p("E3"))) - p("Ee") / (p("Ke") * soc).exp();
        vec![curve - p("R0") * held(inputs, "I", *t) - x[1] - x[2]]
    };
    times.iter().zip(states).map(voltage).collect()
}
