//! Real data with the fits that R makes of them: one by one, and together with parameters of their own.

use uatwin::fit::{Experiment, FitOptions, FitReport, Measured, fit};
use uatwin::model::{Hold, Init, Model, ModelSource};
use uatwin::simulate::Signal;

use crate::support::{NEVER, close, compile, equation, fixed, golden, helper, input, output, parameter, state};

/// One subject: dose as an input, hours, concentrations.
fn subject(dose: Option<f64>, rows: &[(f64, f64)]) -> Experiment {
    let (times, values) = rows.iter().copied().unzip();
    let signal = |dose| Signal { times: vec![0.0], values: vec![dose], hold: Hold::Previous };
    Experiment {
        inputs: dose.map(signal).into_iter().collect(),
        outputs: vec![Measured { times, values, weights: vec![] }],
        span: Some((0.0, 25.0)),
    }
}

fn theoph() -> Vec<Experiment> {
    let rows = golden("pharmacokinetics/theoph.txt");
    (1..=12)
        .map(|number| {
            let own: Vec<&Vec<f64>> = rows.iter().filter(|row| row[0] == f64::from(number)).collect();
            let points: Vec<(f64, f64)> = own.iter().map(|row| (row[2], row[3])).collect();
            subject(Some(own[0][1]), &points)
        })
        .collect()
}

fn indometh() -> Vec<Experiment> {
    let rows = golden("pharmacokinetics/indometh.txt");
    (1..=6)
        .map(|number| {
            let own = rows.iter().filter(|row| row[0] == f64::from(number));
            subject(None, &own.map(|row| (row[1], row[2])).collect::<Vec<_>>())
        })
        .collect()
}

/// R's SSfol: elimination, absorption and clearance by their logarithms.
fn first_order() -> Model {
    let free = |name: &str, value: f64| parameter(name, value, -10.0, 10.0, false);
    compile(&ModelSource {
        parameters: vec![free("lKe", -2.5), free("lKa", 0.5), free("lCl", -3.0)],
        inputs: vec![input("Dose", Hold::Previous)],
        lets: vec![helper("ke", "exp(lKe)"), helper("ka", "exp(lKa)")],
        outputs: vec![output("conc", "Dose*ke*ka/exp(lCl)/(ka - ke)*(exp(-ke*t) - exp(-ka*t))", 1.0)],
        ..ModelSource::default()
    })
}

/// The same as the differential equations it solves; the dose is where the gut's state starts.
fn gut_and_blood() -> Model {
    let free = |name: &str, value: f64| parameter(name, value, -10.0, 10.0, false);
    compile(&ModelSource {
        states: vec![state("gut", Init::Parameter("dose".into())), state("blood", Init::Number(0.0))],
        parameters: vec![free("lKe", -2.5), free("lKa", 0.5), free("lCl", -3.0), fixed("dose", 4.0)],
        inputs: vec![input("Dose", Hold::Previous)],
        lets: vec![helper("ke", "exp(lKe)"), helper("ka", "exp(lKa)")],
        equations: vec![equation("gut", "-ka*gut"), equation("blood", "ka*gut - ke*blood")],
        outputs: vec![output("conc", "blood*ke/exp(lCl)", 1.0)],
    })
}

fn biexponential() -> Model {
    let free = |name: &str, value: f64| parameter(name, value, -50.0, 50.0, false);
    compile(&ModelSource {
        parameters: vec![free("A1", 3.0), free("lrc1", 1.0), free("A2", 0.6), free("lrc2", -1.3)],
        outputs: vec![output("conc", "A1*exp(-exp(lrc1)*t) + A2*exp(-exp(lrc2)*t)", 1.0)],
        ..ModelSource::default()
    })
}

fn run(model: &Model, experiments: &[Experiment], options: &FitOptions) -> FitReport {
    let report = fit(model, experiments, options, &NEVER, &|_| {}).unwrap();
    assert!(report.stop.converged() && report.gradient_norm < 1e-4, "{}, {}", report.message, report.gradient_norm);
    report
}

/// A line of R's: subject, estimates, standard errors, residual sum of squares, AIC, AICc, BIC.
fn compare(report: &FitReport, line: &[f64]) {
    let count = report.values.len();
    for i in 0..count {
        close(report.values[i], line[1 + i], 1e-6);
        close(report.standard_errors[i], line[1 + count + i], 1e-5);
        close(report.relative_errors[i], line[1 + count + i] / line[1 + i].abs(), 1e-5);
    }
    let rest = &line[1 + 2 * count..];
    for (value, expected) in [report.cost, report.aic, report.aicc, report.bic].iter().zip(rest) {
        close(*value, *expected, 1e-8);
    }
    assert_eq!(report.degrees_of_freedom, report.samples - count);
    close(report.reduced_chi_square, rest[0] / report.degrees_of_freedom as f64, 1e-8);
}

#[test]
fn theophylline_in_twelve_people_is_as_r_fits_it() {
    let model = first_order();
    for (experiment, line) in theoph().into_iter().zip(golden("pharmacokinetics/theoph.nls.txt")) {
        compare(&run(&model, &[experiment], &FitOptions::default()), &line);
    }
}

#[test]
fn theophylline_by_differential_equations_is_the_same() {
    let model = gut_and_blood();
    for (experiment, line) in theoph().into_iter().zip(golden("pharmacokinetics/theoph.nls.txt")) {
        let mut theta = model.nominal();
        theta[3] = experiment.inputs[0].values[0];
        let report = run(&model, &[experiment], &FitOptions { theta: Some(theta), ..FitOptions::default() });
        for i in 0..3 {
            // 1e-7 is the integrator's tolerance.
            close(report.values[i], line[1 + i], 1e-5);
            close(report.standard_errors[i], line[4 + i], 1e-4);
        }
        close(report.cost, line[7], 1e-6);
    }
}

#[test]
fn indometacin_in_six_people_is_as_r_fits_it() {
    // The far starts may swap the exponentials; the result is the first start's, of the same cost.
    let model = biexponential();
    for (experiment, line) in indometh().into_iter().zip(golden("pharmacokinetics/indometh.nls.txt")) {
        compare(&run(&model, &[experiment], &FitOptions::default()), &line);
    }
}

#[test]
fn one_elimination_for_twelve_people_with_their_own_absorption_and_clearance_is_as_r_fits_it() {
    let model = first_order();
    let options = FitOptions { per_experiment: vec![1, 2], ..FitOptions::default() };
    let report = run(&model, &theoph(), &options);
    let lines = golden("pharmacokinetics/theoph.shared.nls.txt");
    assert_eq!((report.names.as_slice(), report.local.len()), (["lKe".to_owned()].as_slice(), 24));
    close(report.values[0], lines[0][0], 1e-6);
    close(report.standard_errors[0], lines[0][1], 1e-5);
    // t of 132 − 25 degrees of freedom.
    close(report.upper95[0] - report.values[0], 1.982_383_397 * lines[0][1], 1e-5);
    for subject in 0..12 {
        for (which, name) in ["lKa", "lCl"].into_iter().enumerate() {
            let estimate = &report.local[2 * subject + which];
            let line = &lines[1 + 12 * which + subject];
            assert_eq!((estimate.name.as_str(), estimate.experiment), (name, Some(subject)));
            close(estimate.value, line[0], 1e-6);
            close(estimate.standard_error, line[1], 1e-5);
            close(estimate.upper95 - estimate.value, 1.982_383_397 * line[1], 1e-5);
            assert_eq!(report.theta_of(subject)[1 + which], estimate.value);
        }
    }
    close(report.cost, lines[25][0], 1e-8);
    for (value, expected) in [report.aic, report.aicc, report.bic].iter().zip(&lines[26]) {
        close(*value, *expected, 1e-8);
    }
    // R's correlations of lKe with lKa and lCl of the first subject, and of those two.
    assert_eq!(report.labels()[..3], ["lKe", "lKa of experiment 1", "lCl of experiment 1"]);
    for (at, expected) in [(1, -0.299_063_442_903), (2, 0.667_929_829_039), (25 + 2, 0.151_150_608_206)] {
        close(report.correlation[at], expected, 1e-5);
    }
}

#[test]
fn parameters_of_each_experiment_alone_are_those_of_separate_fits() {
    // Nothing shared: all is as if each experiment were fitted by itself, but for the pooled scatter.
    let (model, experiments) = (biexponential(), indometh());
    let options = FitOptions { per_experiment: vec![0, 1, 2, 3], threads: 2, starts: 2, ..FitOptions::default() };
    let together = run(&model, &experiments, &options);
    assert!(together.free.is_empty() && together.values.is_empty());
    let mut cost = 0.0;
    for (number, experiment) in experiments.iter().enumerate() {
        let alone = run(&model, std::slice::from_ref(experiment), &FitOptions::default());
        let pooled = (together.reduced_chi_square / alone.reduced_chi_square).sqrt();
        for i in 0..4 {
            let estimate = &together.local[4 * number + i];
            close(estimate.value, alone.values[i], 1e-5);
            close(estimate.standard_error, alone.standard_errors[i] * pooled, 1e-5);
        }
        cost += alone.cost;
    }
    close(together.cost, cost, 1e-9);
    // What belongs to different people has nothing to do with each other.
    let correlation = &together.correlation;
    assert!(correlation[4].abs() < 1e-9 && correlation[2].abs() > 0.1, "{:?}", &correlation[..5]);
}
