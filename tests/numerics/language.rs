//! What expressions mean, and what is said about wrong ones.

use uatwin::model::{Expression, Hold, Init, Model, ModelFault, ModelSource};

use crate::support::{compile, equation, helper, input, output, parameter, state};

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
