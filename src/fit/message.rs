//! What an engineer should know before believing the numbers, in the model's names.

use super::FitOptions;
use super::figures::OutputReport;
use super::profile::ProfileEnd;
use super::report::{FitReport, Optimum};
use super::residual::Problem;

/// Degrees of freedom below which intervals rest on almost nothing.
const FEW_DEGREES: usize = 5;
/// Measurements that vary this many times as much as the model's outputs (or as little) are in another unit.
const ANOTHER_UNIT: f64 = 1e4;
/// Probability of noise below which residuals aren't called noise: one fit in a thousand is called wrong by chance.
const NOT_NOISE: f64 = 1e-3;
/// Pairs named.
const PAIRS_MAX: usize = 3;
/// Remarks of one message.
const REMARKS_MAX: usize = 24;

/// About a fit.
pub(super) fn message(
    problem: &Problem<'_>,
    options: &FitOptions,
    report: &FitReport,
    optimum: &Optimum<'_>,
    meaningful: bool,
) -> String {
    let mut parts = vec![report.stop.text().to_owned()];
    if !report.improved {
        parts.push("the values in force are already the best found".to_owned());
    }
    parts.extend(undetermined(report));
    parts.extend(single(problem, report, optimum));
    parts.extend(pairs(problem, report));
    if report.degrees_of_freedom < FEW_DEGREES {
        parts.push(format!(
            "only {} samples more than estimates: the intervals rest on very little",
            report.degrees_of_freedom
        ));
    }
    if optimum.scatter.variance.is_nan() {
        parts.push("every residual of an output is beyond its loss's threshold: sigma is too small, or a unit is wrong, so there are no standard errors".to_owned());
    } else if !meaningful && report.stop.converged() {
        parts.push("the model describes nothing of the measurements, so there are no standard errors".to_owned());
    }
    if options.absolute_sigma && report.reduced_chi_square > 2.0 {
        parts.push(format!(
            "the residuals scatter {:.2} times as much as sigma says: the standard errors, which rest on sigma, are too small",
            report.reduced_chi_square.sqrt()
        ));
    }
    parts.extend(units(problem, &report.outputs, &optimum.outcome.spread_at_start));
    parts.extend(measurements(problem, &report.outputs, report.r_squared));
    parts.extend(left_over(&report.outputs));
    parts.extend(open_sides(report));
    joined(parts)
}

/// About a validation.
pub(super) fn of_validation(problem: &Problem<'_>, outputs: &[OutputReport], r_squared: f64) -> String {
    let mut parts = measurements(problem, outputs, r_squared);
    parts.extend(left_over(outputs));
    joined(parts)
}

fn joined(mut parts: Vec<String>) -> String {
    let more = parts.len().saturating_sub(REMARKS_MAX);
    if more > 0 {
        parts.truncate(REMARKS_MAX);
        parts.push(format!("and {more} remarks more"));
    }
    parts.join("; ")
}

/// Profiles that don't end by themselves.
fn open_sides(report: &FitReport) -> Vec<String> {
    let mut parts = Vec::new();
    for profile in &report.profiles {
        let name = match profile.experiment {
            Some(experiment) => format!("`{}` of experiment {}", profile.name, experiment + 1),
            None => format!("`{}`", profile.name),
        };
        for (end, side) in [(profile.lower_end, "below"), (profile.upper_end, "above")] {
            match end {
                ProfileEnd::Open => parts.push(format!("the data don't limit {name} {side}")),
                ProfileEnd::Bound => parts.push(format!("only its bound limits {name} {side}")),
                _ => {}
            }
        }
    }
    parts
}

fn undetermined(report: &FitReport) -> Vec<String> {
    let about = |direction: &Vec<(String, f64)>| {
        let names: Vec<String> = direction.iter().map(|(label, _)| quoted(label)).collect();
        match names.as_slice() {
            [name] => format!("the data do not determine {name}: it has no effect on the measured outputs"),
            _ => format!("the data determine only a combination of {}: fix one of them", names.join(", ")),
        }
    };
    report.null_directions.iter().map(about).collect()
}

/// `T0` of experiment 2.
fn quoted(label: &str) -> String {
    match label.split_once(' ') {
        Some((name, rest)) => format!("`{name}` {rest}"),
        None => format!("`{label}`"),
    }
}

/// Of each estimate by itself.
fn single(problem: &Problem<'_>, report: &FitReport, optimum: &Optimum<'_>) -> Vec<String> {
    let mut parts = Vec::new();
    let values = problem.columns.values(&optimum.outcome.q);
    let errors = report.standard_errors.iter().chain(report.local.iter().map(|estimate| &estimate.standard_error));
    for (column, (&value, &error)) in values.iter().zip(errors).enumerate() {
        let (parameter, name) = (problem.columns.parameter(column), problem.columns.quoted(column));
        if value <= parameter.min {
            parts.push(format!("{name} ended at its lower bound {}", parameter.min));
        } else if value >= parameter.max {
            parts.push(format!("{name} ended at its upper bound {}", parameter.max));
        } else if optimum.diagnosis.determined[column] && error > value.abs() {
            parts.push(format!("{name} is hardly determined: its standard error is larger than its value"));
        }
    }
    parts
}

fn pairs(problem: &Problem<'_>, report: &FitReport) -> Vec<String> {
    let about = |pair: &super::Collinear| {
        let (first, second) = pair.estimates;
        format!(
            "{} and {} can hardly be told apart (correlation {:.4})",
            problem.columns.quoted(first),
            problem.columns.quoted(second),
            pair.correlation
        )
    };
    let mut pairs: Vec<&super::Collinear> = report.collinear.iter().collect();
    pairs.sort_by(|a, b| b.correlation.abs().total_cmp(&a.correlation.abs()));
    let mut parts: Vec<String> = pairs.iter().take(PAIRS_MAX).map(|pair| about(pair)).collect();
    if pairs.len() > PAIRS_MAX {
        parts.push(format!("so it is with {} more pairs", pairs.len() - PAIRS_MAX));
    }
    parts
}

/// Measurements and outputs of sizes that only different units explain.
fn units(problem: &Problem<'_>, outputs: &[OutputReport], simulated: &[f64]) -> Vec<String> {
    let mut parts = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        let ratio = measured_spread(problem, index) / simulated.get(index).copied().unwrap_or(f64::NAN);
        if ratio.is_finite() && ratio > 0.0 && !(1.0 / ANOTHER_UNIT..=ANOTHER_UNIT).contains(&ratio) {
            parts.push(format!(
                "the measurements of `{}` vary {ratio:.0e} times as much as the model's output did where the fit began: check the units of the output and of the inputs",
                output.name
            ));
        }
    }
    parts
}

fn measured_spread(problem: &Problem<'_>, output: usize) -> f64 {
    let values = || problem.series.iter().flat_map(|experiment| &experiment[output].values);
    let count = values().count() as f64;
    let mean = values().sum::<f64>() / count;
    (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// What is odd about the data.
fn measurements(problem: &Problem<'_>, outputs: &[OutputReport], r_squared: f64) -> Vec<String> {
    let mut parts = Vec::new();
    for (index, input) in problem.model.inputs().iter().enumerate() {
        let values = problem.experiments.iter().filter_map(|experiment| experiment.inputs.get(index));
        let mut values = values.flat_map(|signal| &signal.values);
        if let Some(first) = values.next()
            && values.all(|value| value == first)
        {
            parts.push(format!("the input `{}` is constant", input.name));
        }
    }
    for (index, output) in outputs.iter().enumerate() {
        let mut values = problem.series.iter().flat_map(|experiment| &experiment[index].values);
        match values.next() {
            None => parts.push(format!("the output `{}` has no measurements", output.name)),
            Some(first) if values.all(|value| value == first) => {
                parts.push(format!("the measurements of `{}` are constant", output.name));
            }
            Some(_) => {}
        }
        if output.missing > 0 {
            parts.push(format!(
                "{} of {} measurements of `{}` are no numbers and were left out",
                output.missing,
                output.missing + output.samples,
                output.name
            ));
        }
    }
    if r_squared < 0.0 {
        parts
            .push("the model explains less than the measurements' mean does: check the units of its inputs".to_owned());
    }
    parts
}

/// What the residuals still hold.
fn left_over(outputs: &[OutputReport]) -> Vec<String> {
    let mut parts = Vec::new();
    for output in outputs {
        let whiteness = &output.whiteness;
        if whiteness.ljung_box_p < NOT_NOISE {
            parts.push(format!(
                "the residuals of `{}` are not independent: the standard errors are too small",
                output.name
            ));
        }
        for input in whiteness.inputs.iter().filter(|input| input.is_significant()) {
            parts.push(format!(
                "the residuals of `{}` still follow the input `{}` (correlation {:.2})",
                output.name, input.input, input.correlation
            ));
        }
    }
    parts
}
