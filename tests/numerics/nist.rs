//! The NIST StRD problems, both starts, models in our language, default options: at least 6 digits in every parameter and
//! standard error, 8 in the sum of squares.

use std::path::PathBuf;

use uatwin::fit::{Experiment, FitOptions, FitReport, Measured, fit};
use uatwin::model::{Hold, ModelSource};
use uatwin::simulate::Signal;

use crate::support::{NEVER, compile, input, output, parameter};

const PROBLEMS: [(&str, &str); 20] = [
    ("BoxBOD", "b1*(1-exp(-b2*x))"),
    ("Chwirut1", "exp(-b1*x)/(b2+b3*x)"),
    ("Chwirut2", "exp(-b1*x)/(b2+b3*x)"),
    ("DanWood", "b1*x^b2"),
    (
        "ENSO",
        "b1 + b2*cos(2*pi*x/12) + b3*sin(2*pi*x/12) + b5*cos(2*pi*x/b4) + b6*sin(2*pi*x/b4) + b8*cos(2*pi*x/b7) + b9*sin(2*pi*x/b7)",
    ),
    ("Gauss1", "b1*exp(-b2*x) + b3*exp(-(x-b4)^2/b5^2) + b6*exp(-(x-b7)^2/b8^2)"),
    ("Gauss2", "b1*exp(-b2*x) + b3*exp(-(x-b4)^2/b5^2) + b6*exp(-(x-b7)^2/b8^2)"),
    ("Kirby2", "(b1 + b2*x + b3*x^2)/(1 + b4*x + b5*x^2)"),
    ("Lanczos1", "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"),
    ("Lanczos2", "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"),
    ("Lanczos3", "b1*exp(-b2*x) + b3*exp(-b4*x) + b5*exp(-b6*x)"),
    ("MGH09", "b1*(x^2+x*b2)/(x^2+x*b3+b4)"),
    ("MGH17", "b1 + b2*exp(-x*b4) + b3*exp(-x*b5)"),
    ("Misra1a", "b1*(1-exp(-b2*x))"),
    ("Misra1b", "b1*(1-(1+b2*x/2)^(-2))"),
    ("Misra1c", "b1*(1-(1+2*b2*x)^(-.5))"),
    ("Misra1d", "b1*b2*x*((1+b2*x)^(-1))"),
    ("Nelson", "b1 - b2*x1*exp(-b3*x2)"),
    ("Rat42", "b1/(1+exp(b2-b3*x))"),
    ("Roszman1", "b1 - b2*x - atan(b3/(x-b4))/pi"),
];

struct Problem {
    starts: [Vec<f64>; 2],
    certified: Vec<f64>,
    errors: Vec<f64>,
    rss: f64,
    rows: Vec<Vec<f64>>,
}

fn load(name: &str) -> Problem {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/nist/{name}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut problem =
        Problem { starts: [vec![], vec![]], certified: vec![], errors: vec![], rss: f64::NAN, rows: vec![] };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let kind = words.next().unwrap();
        let skip = usize::from(kind == "parameter");
        let numbers: Vec<f64> = words.skip(skip).filter_map(|word| word.parse().ok()).collect();
        match kind {
            "parameter" => {
                problem.starts[0].push(numbers[0]);
                problem.starts[1].push(numbers[1]);
                problem.certified.push(numbers[2]);
                problem.errors.push(numbers[3]);
            }
            "rss" => problem.rss = numbers[0],
            "data" => problem.rows.push(numbers),
            _ => {}
        }
    }
    problem
}

fn solve(name: &str, expr: &str, problem: &Problem, start: &[f64]) -> FitReport {
    let names: Vec<&str> = if name == "Nelson" { vec!["x1", "x2"] } else { vec!["x"] };
    let free = |(index, value): (usize, &f64)| {
        parameter(&format!("b{}", index + 1), *value, f64::NEG_INFINITY, f64::INFINITY, false)
    };
    let model = compile(&ModelSource {
        parameters: start.iter().enumerate().map(free).collect(),
        inputs: names.iter().map(|name| input(name, Hold::Previous)).collect(),
        outputs: vec![output("y", expr, 1.0)],
        ..ModelSource::default()
    });
    // The rows are the samples: row i at i seconds.
    let times: Vec<f64> = (0..problem.rows.len()).map(|row| row as f64).collect();
    let column = |column: usize| problem.rows.iter().map(|row| row[column]).collect::<Vec<f64>>();
    let inputs = (0..names.len())
        .map(|input| Signal { times: times.clone(), values: column(input + 1), hold: Hold::Previous })
        .collect();
    // Nelson's model is of log(y).
    let values = if name == "Nelson" { column(0).iter().map(|y| y.ln()).collect() } else { column(0) };
    let outputs = vec![Measured { times, values, weights: vec![] }];
    let experiment = Experiment { inputs, outputs, span: None };
    fit(&model, &[experiment], &FitOptions::default(), &NEVER, &|_| {}).unwrap()
}

/// Correct digits.
fn digits(value: f64, certified: f64) -> f64 {
    let error = ((value - certified) / certified).abs();
    if error.is_nan() { 0.0 } else { -error.max(1e-12).log10() }
}

fn worst(values: &[f64], certified: &[f64]) -> f64 {
    values.iter().zip(certified).map(|(value, certified)| digits(*value, *certified)).fold(f64::INFINITY, f64::min)
}

/// Digits that the certified figures themselves allow: what is asked for is 6, 6 and 8.
#[test]
fn every_problem_reaches_the_certified_figures_from_both_starts() {
    let mut failures = Vec::new();
    for (name, expr) in PROBLEMS {
        let problem = load(name);
        for (which, start) in problem.starts.iter().enumerate() {
            let report = solve(name, expr, &problem, start);
            let parameters = worst(&report.values, &problem.certified);
            let errors = worst(&report.standard_errors, &problem.errors);
            let rss = digits(report.cost, problem.rss);
            let line = format!(
                "{name:9} start {}: parameters {parameters:4.1}, errors {errors:4.1}, rss {rss:4.1}, iterations {:3}, condition {:.1e}, {:?}",
                which + 1,
                report.iterations,
                report.condition_number,
                report.stop
            );
            println!("{line}");
            // Lanczos1's residuals are rounding: its sum of squares is 1e-25.
            let exact = name == "Lanczos1";
            if parameters < 6.0 || (!exact && (errors < 6.0 || rss < 8.0)) {
                failures.push(line);
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
