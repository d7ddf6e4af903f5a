//! The result of a fit for people.

use std::fmt::Write as _;

use super::{
    Outcome, Part, Validation,
    experiment::file_name,
    json::{end_name, labelled},
};
use crate::{
    cli::{number::short, table::aligned},
    fit::{Figures, FitReport, OutputReport, StartReport},
};

/// Most starts listed.
const STARTS_SHOWN: usize = 12;

pub(super) fn text(outcome: &Outcome<'_>) -> String {
    let Outcome { arguments, recordings, report, .. } = outcome;
    let mut text = String::new();
    let spans = recordings.iter().map(|recording| recording.span());
    let paths: Vec<String> = arguments.data.iter().map(|path| path.display().to_string()).collect();
    let experiments = match outcome.parts.len() {
        0 | 1 => String::new(),
        count => format!(", {count} experiments"),
    };
    let _ = writeln!(
        text,
        "{} fitted to {}: {} measurements in {} rows over {} s{experiments}\n",
        arguments.experiment.model.display(),
        paths.join(", "),
        report.samples,
        recordings.iter().map(|recording| recording.times.len()).sum::<usize>(),
        short(spans.map(|(start, end)| end - start).sum(), 6)
    );
    text.push_str(&parameters(outcome));
    let own = |index: &usize| report.local.iter().any(|estimate| estimate.parameter == *index);
    let kept = (0..report.theta.len()).filter(|index| !report.free.contains(index) && !own(index));
    let kept: Vec<String> = kept.map(|i| named(outcome, i, report.theta[i])).collect();
    if !kept.is_empty() {
        let _ = writeln!(text, "  not estimated: {}", kept.join(", "));
    }
    text.push_str(&of_experiments(outcome));
    text.push('\n');
    text.push_str(&outputs(outcome, &report.outputs));
    let _ = writeln!(
        text,
        "\n  cost {}, {} degrees of freedom, condition number {}, {} iterations, {} s",
        short(report.cost, 6),
        report.degrees_of_freedom,
        short(report.condition_number, 3),
        report.iterations,
        short(outcome.duration_s, 2)
    );
    for sentence in report.message.split("; ") {
        let _ = writeln!(text, "  {sentence}");
    }
    let _ = writeln!(text, "  uncertainties: one standard error, and the 95 % interval");
    text.push_str(&profiles(report));
    text.push_str(&starts(report));
    if let Some(validation) = &outcome.validation {
        text.push_str(&validated(outcome, validation));
    }
    text.truncate(text.trim_end().len());
    text
}

fn named(outcome: &Outcome<'_>, index: usize, value: f64) -> String {
    let parameter = &outcome.file.model.parameters()[index];
    format!("{} = {} {}", parameter.name, short(value, 6), parameter.unit).trim_end().to_owned()
}

fn parameters(outcome: &Outcome<'_>) -> String {
    let report = &outcome.report;
    let head = ["Parameter", "Value", "± Error", "", "Lower", "Upper", "Unit", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (i, &index) in report.free.iter().enumerate() {
        let (value, interval) = ((report.values[i], report.standard_errors[i]), (report.lower95[i], report.upper95[i]));
        rows.push(estimate(outcome, index, value, interval, (report.at_lower[i], report.at_upper[i])));
    }
    aligned(&rows, &[6, 7])
}

/// A row of the table.
fn estimate(
    outcome: &Outcome<'_>,
    index: usize,
    (value, error): (f64, f64),
    (lower, upper): (f64, f64),
    at: (bool, bool),
) -> Vec<String> {
    let parameter = &outcome.file.model.parameters()[index];
    let percent = 100.0 * error / value.abs();
    let bound = match at {
        (true, _) => format!("at its lower bound {}", short(parameter.min, 6)),
        (_, true) => format!("at its upper bound {}", short(parameter.max, 6)),
        _ if error.is_nan() => "no standard error, see below".to_owned(),
        _ => String::new(),
    };
    vec![
        parameter.name.clone(),
        short(value, 6),
        short(error, 2),
        if percent.is_finite() { format!("{} %", short(percent, 2)) } else { String::new() },
        short(lower, 6),
        short(upper, 6),
        parameter.unit.clone(),
        bound,
    ]
}

/// What each experiment has of its own.
fn of_experiments(outcome: &Outcome<'_>) -> String {
    if outcome.report.local.is_empty() {
        return String::new();
    }
    let head = ["Experiment", "Data", "From", "Parameter", "Value", "± Error", "", "Lower", "Upper", "Unit", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for own in &outcome.report.local {
        let experiment = own.experiment.unwrap_or(0);
        let Part { recording, run } = outcome.parts[experiment];
        let data = &outcome.recordings[recording];
        let from = data.kind.text(data.times_of(&data.runs[run]).0);
        let mut row = vec![(experiment + 1).to_string(), file_name(&outcome.arguments.data[recording]), from];
        let (value, interval) = ((own.value, own.standard_error), (own.lower95, own.upper95));
        row.extend(estimate(outcome, own.parameter, value, interval, (own.at_lower, own.at_upper)));
        rows.push(row);
    }
    format!("\n{}", aligned(&rows, &[1, 3, 9, 10]))
}

/// What the figures of both commands have in common.
pub(super) fn figures_of(output: &OutputReport) -> Figures {
    let OutputReport { samples, rmse, r_squared, fit_percent, .. } = *output;
    Figures { samples, rmse, r_squared, fit_percent }
}

fn outputs(outcome: &Outcome<'_>, reports: &[OutputReport]) -> String {
    let head = ["Output", "Samples", "RMSE", "", "R²", "Fit", "Bias", "Durbin–Watson", "Ljung–Box p", "Outliers"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (report, unit) in reports.iter().zip(&outcome.file.output_units) {
        let Figures { samples, rmse, r_squared, fit_percent } = figures_of(report);
        rows.push(vec![
            report.name.clone(),
            samples.to_string(),
            short(rmse, 4),
            unit.clone(),
            short(r_squared, 5),
            format!("{} %", short(fit_percent, 4)),
            short(report.bias, 2),
            short(report.durbin_watson, 3),
            short(report.whiteness.ljung_box_p, 2),
            report.whiteness.outliers.to_string(),
        ]);
    }
    aligned(&rows, &[3])
}

fn profiles(report: &FitReport) -> String {
    if report.profiles.is_empty() {
        return String::new();
    }
    let head = ["Profile", "Level", "Lower", "Upper", "Ends"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for profile in &report.profiles {
        rows.push(vec![
            labelled(&profile.name, profile.experiment),
            format!("{} %", short(100.0 * profile.level, 4)),
            short(profile.lower, 6),
            short(profile.upper, 6),
            format!("{}, {}", end_name(profile.lower_end), end_name(profile.upper_end)),
        ]);
    }
    format!("\n{}", aligned(&rows, &[4]))
}

fn starts(report: &FitReport) -> String {
    if report.starts.len() < 2 {
        return String::new();
    }
    let mut order: Vec<(usize, &StartReport)> = report.starts.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
    let same = report.optima.first().map_or(0, |best| best.starts.len());
    let mut text = format!("\n  {same} of {} starts ended at the best optimum\n", report.starts.len());
    if same == report.starts.len() {
        return text;
    }
    let mut rows = vec![vec!["Start".to_owned(), "Cost".to_owned()]];
    rows[0].extend(report.names.iter().cloned());
    for (index, start) in order.iter().take(STARTS_SHOWN) {
        let cost = if start.cost.is_nan() { "cannot be simulated".to_owned() } else { short(start.cost, 6) };
        let mut row = vec![(index + 1).to_string(), cost];
        row.extend(start.values.iter().take(report.names.len()).map(|value| short(*value, 4)));
        rows.push(row);
    }
    text.push_str(&aligned(&rows, &[]));
    text
}

fn validated(outcome: &Outcome<'_>, validation: &Validation) -> String {
    let path = outcome.arguments.validate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut text = format!("\nvalidated with {path}\n\n");
    let report = &validation.report;
    text.push_str(&outputs(outcome, &report.outputs));
    let several = validation.parts.len() > 1;
    let again = report.local.iter().map(|estimate| {
        let value = named(outcome, estimate.parameter, estimate.value);
        match estimate.experiment.filter(|_| several) {
            Some(experiment) => format!("{value} in experiment {}", experiment + 1),
            None => value,
        }
    });
    let again: Vec<String> = again.collect();
    if !again.is_empty() {
        let _ = writeln!(text, "  estimated anew, as they belong to the data: {}", again.join(", "));
    }
    for sentence in report.message.split("; ").filter(|sentence| !sentence.is_empty()) {
        let _ = writeln!(text, "  {sentence}");
    }
    text
}
