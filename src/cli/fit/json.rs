//! The result of a fit as one JSON object. Its keys are a contract: they may grow in number, and keep their meaning. What is
//! not a finite number is null.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Outcome, report::figures_of};
use crate::fit::{Figures, ProfileEnd, ProfileReport, ValidationReport};

/// A map whose keys keep their order.
pub(in crate::cli) struct Named<'a, T>(pub(in crate::cli) Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct FitJson<'a> {
    parameters: Named<'a, Parameter<'a>>,
    outputs: Named<'a, Output>,
    cost: f64,
    rmse: f64,
    r_squared: f64,
    fit_percent: f64,
    samples: usize,
    degrees_of_freedom: usize,
    reduced_chi_square: f64,
    aic: f64,
    aicc: f64,
    bic: f64,
    durbin_watson: f64,
    condition_number: f64,
    null_directions: Vec<Named<'a, f64>>,
    iterations: usize,
    stop: &'a str,
    message: &'a str,
    starts: Vec<Start<'a>>,
    profiles: Named<'a, Profile>,
    validation: Option<ValidationJson<'a>>,
    duration_s: f64,
}

#[derive(Serialize)]
struct Parameter<'a> {
    value: f64,
    standard_error: f64,
    lower95: f64,
    upper95: f64,
    at_bound: bool,
    unit: &'a str,
}

/// Of one output.
#[derive(Serialize)]
pub(in crate::cli) struct Output {
    rmse: f64,
    r_squared: f64,
    fit_percent: f64,
    samples: usize,
}

impl From<Figures> for Output {
    fn from(figures: Figures) -> Self {
        let Figures { samples, rmse, r_squared, fit_percent } = figures;
        Self { rmse, r_squared, fit_percent, samples }
    }
}

/// An interval by profile likelihood; an end that is open is null.
#[derive(Serialize)]
struct Profile {
    level: f64,
    lower: f64,
    upper: f64,
    lower_end: &'static str,
    upper_end: &'static str,
}

#[derive(Serialize)]
struct Start<'a> {
    cost: f64,
    parameters: Named<'a, f64>,
}

#[derive(Serialize)]
struct ValidationJson<'a> {
    rmse: f64,
    r_squared: f64,
    fit_percent: f64,
    samples: usize,
    outputs: Named<'a, Output>,
    /// The initial states that were estimated anew.
    initial: Named<'a, f64>,
    message: &'a str,
}

pub(super) fn text(outcome: &Outcome<'_>) -> Result<String, serde_json::Error> {
    let report = &outcome.report;
    let mut parameters = Vec::new();
    for (i, name) in report.names.iter().enumerate() {
        let parameter = Parameter {
            value: report.values[i],
            standard_error: report.standard_errors[i],
            lower95: report.lower95[i],
            upper95: report.upper95[i],
            at_bound: report.at_lower[i] || report.at_upper[i],
            unit: &outcome.file.model.parameters()[report.free[i]].unit,
        };
        parameters.push((name.as_str(), parameter));
    }
    let mut outputs = Vec::new();
    for output in &report.outputs {
        outputs.push((output.name.as_str(), Output::from(figures_of(output))));
    }
    let mut starts = Vec::new();
    for start in &report.starts {
        let values = report.names.iter().map(String::as_str).zip(start.values.iter().copied());
        starts.push(Start { cost: start.cost, parameters: Named(values.collect()) });
    }
    let mut profiles = Vec::new();
    for ProfileReport { name, level, lower, upper, lower_end, upper_end, .. } in &report.profiles {
        let (lower_end, upper_end) = (end_name(*lower_end), end_name(*upper_end));
        profiles.push((name.as_str(), Profile { level: *level, lower: *lower, upper: *upper, lower_end, upper_end }));
    }
    let mut null_directions = Vec::new();
    for direction in &report.null_directions {
        null_directions.push(Named(direction.iter().map(|(name, weight)| (name.as_str(), *weight)).collect()));
    }
    let json = FitJson {
        parameters: Named(parameters),
        outputs: Named(outputs),
        cost: report.cost,
        rmse: report.rmse,
        r_squared: report.r_squared,
        fit_percent: report.fit_percent,
        samples: report.samples,
        degrees_of_freedom: report.degrees_of_freedom,
        reduced_chi_square: report.reduced_chi_square,
        aic: report.aic,
        aicc: report.aicc,
        bic: report.bic,
        durbin_watson: report.durbin_watson,
        condition_number: report.condition_number,
        null_directions,
        iterations: report.iterations,
        stop: report.stop.text(),
        message: &report.message,
        starts,
        profiles: Named(profiles),
        validation: outcome.validation.as_ref().map(|validation| validation_json(&validation.report)),
        duration_s: outcome.duration_s,
    };
    serde_json::to_string_pretty(&json)
}

fn validation_json(report: &ValidationReport) -> ValidationJson<'_> {
    let outputs = report.outputs.iter().map(|output| (output.name.as_str(), Output::from(figures_of(output))));
    let initial = report.local.iter().map(|estimate| (estimate.name.as_str(), estimate.value));
    ValidationJson {
        rmse: report.rmse,
        r_squared: report.r_squared,
        fit_percent: report.fit_percent,
        samples: report.samples,
        outputs: Named(outputs.collect()),
        initial: Named(initial.collect()),
        message: &report.message,
    }
}

/// What ends an interval.
pub(super) fn end_name(end: ProfileEnd) -> &'static str {
    match end {
        ProfileEnd::Crossed => "crossed",
        ProfileEnd::Bound => "bound",
        ProfileEnd::Open => "open",
        ProfileEnd::Simulation => "simulation",
        ProfileEnd::Unknown => "unknown",
    }
}
