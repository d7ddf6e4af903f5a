//! The result of a fit for people.

use std::fmt::Write as _;

use super::{Outcome, Validation};
use crate::{
    cli::{figures::Figures, number::short, table::aligned},
    fit::{FitReport, OutputReport, StartReport},
};

/// Costs that differ by less are one optimum.
const SAME_COST: f64 = 1e-3;
/// Most starts listed.
const STARTS_SHOWN: usize = 12;

pub(super) fn text(outcome: &Outcome<'_>) -> String {
    let Outcome { arguments, recording, report, .. } = outcome;
    let mut text = String::new();
    let (start, end) = recording.span();
    let _ = writeln!(
        text,
        "{} fitted to {}: {} measurements in {} rows over {} s\n",
        arguments.experiment.model.display(),
        arguments.experiment.data.display(),
        report.samples,
        recording.times.len(),
        short(end - start, 6)
    );
    text.push_str(&parameters(outcome));
    let kept = (0..report.theta.len()).filter(|index| !report.free.contains(index));
    let kept: Vec<String> = kept.map(|i| named(outcome, i, report.theta[i])).collect();
    if !kept.is_empty() {
        let _ = writeln!(text, "  not estimated: {}", kept.join(", "));
    }
    text.push('\n');
    let fitted = report.outputs.iter().map(|output| {
        let OutputReport { samples, rmse, r_squared, fit_percent, .. } = *output;
        (Figures { samples, rmse, r_squared, fit_percent }, short(output.durbin_watson, 3))
    });
    text.push_str(&outputs(outcome, "Output", fitted));
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
    let _ = writeln!(text, "  uncertainties: one standard error, and the 95 % interval by Student's t");
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
    for (i, name) in report.names.iter().enumerate() {
        let parameter = &outcome.file.model.parameters()[report.free[i]];
        let (value, error) = (report.values[i], report.standard_errors[i]);
        let percent = 100.0 * error / value.abs();
        let bound = match (report.at_lower[i], report.at_upper[i]) {
            (true, _) => format!("at its lower bound {}", short(parameter.min, 6)),
            (_, true) => format!("at its upper bound {}", short(parameter.max, 6)),
            _ if error.is_nan() => "not determined by the data".to_owned(),
            _ => String::new(),
        };
        rows.push(vec![
            name.clone(),
            short(value, 6),
            short(error, 2),
            if percent.is_finite() { format!("{} %", short(percent, 2)) } else { String::new() },
            short(report.lower95[i], 6),
            short(report.upper95[i], 6),
            parameter.unit.clone(),
            bound,
        ]);
    }
    aligned(&rows, &[6, 7])
}

/// Of each output the figures and a last column.
fn outputs(outcome: &Outcome<'_>, title: &str, figures: impl Iterator<Item = (Figures, String)>) -> String {
    let mut rows = vec![["Samples", "RMSE", "", "R²", "Fit", ""].map(str::to_owned).to_vec()];
    rows[0].insert(0, title.to_owned());
    let mut has_last = false;
    for ((output, unit), (figures, last)) in
        outcome.file.model.outputs().iter().zip(&outcome.file.output_units).zip(figures)
    {
        has_last |= !last.is_empty();
        rows.push(vec![
            output.name.clone(),
            figures.samples.to_string(),
            short(figures.rmse, 4),
            unit.clone(),
            short(figures.r_squared, 5),
            format!("{} %", short(figures.fit_percent, 4)),
            last,
        ]);
    }
    if has_last {
        rows[0][6] = "Durbin–Watson".to_owned();
    }
    aligned(&rows, &[3])
}

fn starts(report: &FitReport) -> String {
    if report.starts.len() < 2 {
        return String::new();
    }
    let mut order: Vec<(usize, &StartReport)> = report.starts.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
    let is_best = |start: &StartReport| start.cost <= report.cost * (1.0 + SAME_COST);
    let same = report.starts.iter().filter(|start| is_best(start)).count();
    let mut text = format!("\n  {same} of {} starts ended at the best optimum\n", report.starts.len());
    if same == report.starts.len() {
        return text;
    }
    let mut rows = vec![vec!["Start".to_owned(), "Cost".to_owned()]];
    rows[0].extend(report.names.iter().cloned());
    for (index, start) in order.iter().take(STARTS_SHOWN) {
        let cost = if start.cost.is_nan() { "cannot be simulated".to_owned() } else { short(start.cost, 6) };
        let mut row = vec![(index + 1).to_string(), cost];
        row.extend(start.values.iter().map(|value| short(*value, 4)));
        rows.push(row);
    }
    text.push_str(&aligned(&rows, &[]));
    text
}

fn validated(outcome: &Outcome<'_>, validation: &Validation) -> String {
    let path = outcome.arguments.validate.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut text = format!("\nvalidated with {path}\n\n");
    text.push_str(&outputs(
        outcome,
        "Output",
        validation.comparison.outputs.iter().map(|figures| (*figures, String::new())),
    ));
    let initial: Vec<String> =
        validation.initial.iter().map(|index| named(outcome, *index, validation.theta[*index])).collect();
    if !initial.is_empty() {
        let _ = writeln!(text, "  estimated anew, as they belong to the data: {}", initial.join(", "));
    }
    text
}
