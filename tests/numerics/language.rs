//! What expressions mean, and what is said about wrong ones.

use uatwin::fit::{FitOptions, fit};
use uatwin::model::{Expression, Hold, Init, Model, ModelFault, ModelSource};
use uatwin::simulate::{Options, Scenario, simulate_with_sensitivities};

use crate::support::{NEVER, Noise, compile, equation, helper, input, output, parameter, state, table};

fn value(text: &str) -> f64 {
    let expression =
        Expression::parse(text, &["x", "y", "Heater Power"]).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    expression.eval(&[3.0, -2.0, 5.0])
}

#[test]
fn expressions_mean_what_the_documentation_says() {
    let cases = [
        ("-x^2", -9.0),
        ("2^3^2", 512.0),
        ("2^-1", 0.5),
        ("2^-x^2", 2.0_f64.powi(-9)),
        ("-y^2", -4.0),
        ("y^2", 4.0),
        ("1 - 2 - 3", -4.0),
        ("12/3/2", 2.0),
        ("1 + 2*3", 7.0),
        ("+x - -x", 6.0),
        ("1e3 + .5 + 2.", 1002.5),
        ("x > 2 && y < 0", 1.0),
        ("x > 2 && y > 0 || 1 == 1", 1.0),
        ("!(x >= 3)", 0.0),
        ("x != 3", 0.0),
        ("if(x > 2, 10, 20)", 10.0),
        ("if(x < 2, 1/0, 20)", 20.0),
        ("min(x, y, 1)", -2.0),
        ("max(x, y, 1)", 3.0),
        ("clamp(x, 0, 1)", 1.0),
        ("clamp(y, 0, 1)", 0.0),
        ("sign(y)", -1.0),
        ("sign(0)", 0.0),
        ("abs(y)", 2.0),
        ("floor(y/3)", -1.0),
        ("log(exp(x))", 3.0),
        ("log10(1000)", 3.0),
        ("sqrt(x*x)", 3.0),
        ("atan2(0, -1) - pi", 0.0),
        ("pow(x, 3)", 27.0),
        ("`Heater Power` / 2", 2.5),
        ("smooth_abs(x, 4)", 5.0),
        ("smooth_abs(y, 0)", 2.0),
        ("smooth_max(x, 0, 4)", 4.0),
        ("smooth_min(x, 0, 4)", -1.0),
        ("smooth_max(7, 7, x)", 8.5),
        ("smooth_min(0, x, -4)", -1.0),
        ("smooth_min(1e20, 1, 1)", 1.0),
        ("smooth_max(1, -1e20, 1)", 1.0),
        ("smooth_step(0, x)", 0.5),
        ("smooth_step(x - 3, 0)", 0.5),
        ("smooth_step(log(3), -2)", 0.75),
        ("smooth_step(x, 0) + smooth_step(y, 0)", 1.0),
    ];
    for (text, expected) in cases {
        let value = value(text);
        assert!((value - expected).abs() < 1e-12, "{text} = {value}, not {expected}");
    }
    let functions: [(&str, f64); 9] = [
        ("sin(x)", 3.0_f64.sin()),
        ("cos(x)", 3.0_f64.cos()),
        ("tan(x)", 3.0_f64.tan()),
        ("asin(x/4)", 0.75_f64.asin()),
        ("acos(x/4)", 0.75_f64.acos()),
        ("atan(x)", 3.0_f64.atan()),
        ("sinh(x)", 3.0_f64.sinh()),
        ("cosh(x)", 3.0_f64.cosh()),
        ("tanh(x)", 3.0_f64.tanh()),
    ];
    for (text, expected) in functions {
        assert_eq!(value(text), expected, "{text}");
    }
}

/// A function of two numbers and a width, written down once more without the library.
type Reference = fn(f64, f64, f64) -> f64;

/// What the language calls it, the smooth one, the sharp one, and how far the two may be apart.
const SMOOTH: [(&str, Reference, Reference, Reference); 4] = [
    (
        "smooth_abs(a - b, w)",
        |a, b, w| ((a - b).powi(2) + w * w).sqrt(),
        |a, b, _| (a - b).abs(),
        |a, b, w| w * w / (2.0 * (a - b).abs()),
    ),
    (
        "smooth_max(a, b, w)",
        |a, b, w| 0.5 * (a + b + ((a - b).powi(2) + w * w).sqrt()),
        |a, b, _| a.max(b),
        |a, b, w| w * w / (4.0 * (a - b).abs()),
    ),
    (
        "smooth_min(a, b, w)",
        |a, b, w| 0.5 * (a + b - ((a - b).powi(2) + w * w).sqrt()),
        |a, b, _| a.min(b),
        |a, b, w| w * w / (4.0 * (a - b).abs()),
    ),
    (
        "smooth_step(a - b, w)",
        |a, b, w| 0.5 + 0.5 * ((a - b) / w).tanh(),
        |a, b, _| if a > b { 1.0 } else { 0.0 },
        |a, b, w| (-2.0 * (a - b).abs() / w.abs()).exp(),
    ),
];

#[test]
fn smooth_functions_go_over_into_the_sharp_ones() {
    for (text, smooth, sharp, apart) in SMOOTH {
        let expression = Expression::parse(text, &["a", "b", "w"]).unwrap();
        for (a, b) in [(3.0, -2.0), (-2.0, 3.0), (0.7, 0.5), (-40.0, -39.9), (1e6, 0.0)] {
            for exponent in 0..12 {
                let w = 10_f64.powi(-exponent);
                let value = expression.eval(&[a, b, w]);
                let rounding = 1e-15 * (a.abs() + b.abs());
                let off = (value - sharp(a, b, w)).abs();
                assert!(off <= apart(a, b, w) + rounding, "{text} at {a}, {b}, {w}: off by {off}");
                assert!((value - smooth(a, b, w)).abs() <= 4.0 * rounding, "{text} at {a}, {b}, {w}: {value}");
            }
            assert_eq!(expression.eval(&[a, b, 0.0]), sharp(a, b, 0.0), "{text} at {a}, {b} without a width");
        }
        assert!(expression.eval(&[f64::NAN, 1.0, 1.0]).is_nan() && expression.eval(&[1.0, 1.0, f64::NAN]).is_nan());
    }
}

/// Differences of order 4 with steps of a thousandth of the width: off by (1e-3)⁴ times a fifth derivative, and by rounding of
/// 1e-16/1e-3.
#[test]
fn smooth_functions_have_exact_derivatives() {
    for (text, smooth, ..) in SMOOTH {
        for (a, b, w) in [(3.0, -2.0, 0.5), (0.0, 0.0, 0.2), (1.0, 1.3, -0.4), (-0.6, -0.9, 0.7), (2.0, 2.0, 3.0)] {
            let model = compile(&ModelSource {
                parameters: [("a", a), ("b", b), ("w", w)].map(|(name, value)| free(name, value)).to_vec(),
                outputs: vec![output("y", text, 1.0)],
                ..ModelSource::default()
            });
            let exact = slopes(&model);
            let h = 1e-3 * w.abs();
            // A width that is negative counts as if it were not.
            let at = |i: usize, by: f64| {
                let mut x = [a, b, w];
                x[i] += by * h;
                smooth(x[0], x[1], x[2].abs())
            };
            for (i, exact) in exact.iter().enumerate() {
                let difference = (at(i, -2.0) - 8.0 * at(i, -1.0) + 8.0 * at(i, 1.0) - at(i, 2.0)) / (12.0 * h);
                assert!((exact - difference).abs() < 1e-9, "{text} at {a}, {b}, {w}: {exact}, {difference}");
            }
        }
    }
    // Far off, where 1 − tanh² and √(x² + w²) − |x| have no digit left; by hand: 2·e^(−2·30), and w²/(2x²)/2.
    let far = |text: &str| {
        let outputs = vec![output("y", text, 1.0)];
        slopes(&compile(&ModelSource { parameters: vec![free("a", 30.0)], outputs, ..ModelSource::default() }))[0]
    };
    let (step, min) = (far("smooth_step(a, 1)"), far("smooth_min(1e8*a, 0, 1)"));
    assert!((step / (2.0 * f64::exp(-60.0)) - 1.0).abs() < 1e-12, "{step}");
    assert!((min / (1e8 * 0.25 / 3e9_f64.powi(2)) - 1.0).abs() < 1e-12, "{min}");
    // Sharp, at the kink: neither side.
    assert_eq!(
        [far("smooth_abs(a - 30, 0)"), far("smooth_step(a - 30, 0)"), far("smooth_max(a, 30, 0)")],
        [0.0, 0.0, 0.5]
    );
}

fn free(name: &str, value: f64) -> uatwin::model::ParameterSource {
    parameter(name, value, f64::NEG_INFINITY, f64::INFINITY, false)
}

/// Of a static model's output to each of its parameters.
fn slopes(model: &Model) -> Vec<f64> {
    let scenario =
        Scenario { inputs: &[], span: (0.0, 0.0), output_times: &[&[0.0]], initial_state: None, measured: &[] };
    let (theta, options) = (model.nominal(), Options::default());
    simulate_with_sensitivities(model, &theta, &scenario, &model.free(), &options, &NEVER)
        .unwrap()
        .sensitivities
        .remove(0)
}

#[test]
fn where_a_smooth_jump_stands_can_be_estimated() {
    let line = |jump: &str| {
        let parameters = vec![parameter("T0", 20.0, 0.0, 60.0, false), free("rise", 1.0)];
        compile(&ModelSource { parameters, outputs: vec![output("y", jump, 0.1)], ..ModelSource::default() })
    };
    let mut noise = Noise(3);
    let values: Vec<f64> =
        (0..60).map(|t| 3.0 / (1.0 + f64::exp(-(f64::from(t) - 31.3))) + 0.1 * noise.normal()).collect();
    let run = |jump: &str| fit(&line(jump), &[table(&[], &values)], &FitOptions::default(), &NEVER, &|_| {}).unwrap();
    let smooth = run("rise*smooth_step(t - T0, 2)");
    assert!((smooth.values[0] - 31.3).abs() < 4.0 * smooth.standard_errors[0], "{:?}", smooth.values);
    assert!(smooth.standard_errors[0] < 0.1 && (smooth.values[1] - 3.0).abs() < 0.1, "{smooth:?}");
    assert!(run("rise*if(t > T0, 1, 0)").standard_errors[0].is_nan(), "a sharp one has no slope");
}

#[test]
fn a_condition_holds_only_where_what_it_uses_is_known() {
    let condition = Expression::parse("x > 0 || y != 1", &["x", "y", "z"]).unwrap();
    assert!(condition.holds(&[1.0, 1.0, f64::NAN]), "z isn't used");
    assert!(!condition.holds(&[f64::NAN, 2.0, 0.0]));
    assert!(!condition.holds(&[0.0, 1.0, 0.0]));
    assert_eq!(condition.uses(), [true, true, false]);
    assert!(value("min(x, 0/0)").is_nan() && value("max(0/0, x)").is_nan(), "NaN is not hidden");
}

fn fault(text: &str) -> ModelFault {
    match Expression::parse(text, &["flow", "Ta", "Tb"]) {
        Ok(_) => panic!("{text} was accepted"),
        Err(faults) => faults.into_iter().next().unwrap(),
    }
}

#[test]
fn a_wrong_expression_is_reported_where_it_is_wrong_with_a_remedy() {
    let cases = [
        ("1 + flwo", 4, "did you mean `flow`?"),
        ("ta", 0, "did you mean `Ta`?"),
        ("(flow", 5, "close the parenthesis"),
        ("flow)", 4, "remove it"),
        ("2 flow", 2, "`*`"),
        ("flow ** 2", 5, "`^`"),
        ("flow = 2", 5, "`==`"),
        ("1 < flow < 2", 9, "a < b && b < c"),
        ("flow +", 6, "complete"),
        ("exp", 0, "exp(...)"),
        ("exq(flow)", 0, "`exp`"),
        ("flow(2)", 0, "`*`"),
        ("atan2(flow)", 0, "arguments"),
        ("flow[1]", 4, "( and )"),
        ("1e999", 0, "1.8e308"),
        ("flow # 2", 5, "remove it"),
        ("", 0, "complete"),
        ("`flow", 0, "close it"),
        ("ü + 1", 0, "use a state"),
    ];
    for (text, offset, remedy) in cases {
        let fault = fault(text);
        assert_eq!(fault.offset, Some(offset), "{text}: {fault:?}");
        assert!(fault.remedy.contains(remedy), "{text}: {fault:?}");
    }
}

#[test]
fn every_fault_of_a_model_is_reported_at_once() {
    let source = ModelSource {
        states: vec![
            state("T", Init::Parameter("T9".into())),
            state("t", Init::Number(0.0)),
            state("v", Init::Number(0.0)),
        ],
        parameters: vec![
            parameter("C", 60.0, 100.0, 5.0, false),
            parameter("k", 0.0, 0.0, 1.0, true),
            parameter("T0", 200.0, 0.0, 100.0, false),
        ],
        inputs: vec![input("P", Hold::Previous), input("C", Hold::Previous)],
        lets: vec![helper("a", "b"), helper("b", "a + 1"), helper("good", "k*2")],
        equations: vec![equation("T", "(P - kk*(T - good))/C"), equation("t", "1"), equation("Q", "1")],
        outputs: vec![output("Temperature", "T +", 0.0)],
    };
    let faults = Model::compile(&source).unwrap_err();
    let items: Vec<&str> = faults.iter().map(|fault| fault.item.as_str()).collect();
    for item in [
        "state.T",
        "state.t",
        "state.v",
        "parameter.C",
        "parameter.k",
        "parameter.T0",
        "input.C",
        "let.a",
        "let.b",
        "equation.T",
        "equation.Q",
        "output.Temperature",
    ] {
        assert!(items.contains(&item), "{item} is missing: {faults:#?}");
    }
    let unknown = faults.iter().find(|fault| fault.item == "equation.T").unwrap();
    assert_eq!((unknown.offset, unknown.remedy.as_str()), (Some(5), "did you mean `k`?"), "{unknown:?}");
}

#[test]
fn helpers_may_stand_in_any_order_and_the_text_is_kept() {
    let model = compile(&ModelSource {
        lets: vec![helper("a", "b + 1"), helper("b", "c*2"), helper("c", "3")],
        outputs: vec![output("y", "a", 1.0)],
        states: vec![state("x", Init::Number(0.0))],
        equations: vec![equation("x", "b")],
        ..ModelSource::default()
    });
    assert_eq!(model.equations_text(), "d(x)/dt = b\ny = a\nwhere a = b + 1\nwhere b = c*2\nwhere c = 3");
    assert_eq!(model.operations(), (0, 0), "constants are folded");
}
