//! The result of a fit as one JSON object. Its keys are a contract: they may grow in number, and keep their meaning. What is
//! not a finite number is null.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{Outcome, Part, Validation, experiment::file_name, report::figures_of};
use crate::fit::{Figures, ProfileEnd, ProfileReport};

/// A map whose keys keep their order.
pub(in crate::cli) struct Named<N, T>(pub(in crate::cli) Vec<(N, T)>);

impl<N: Serialize, T: Serialize> Serialize for Named<N, T> {
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
    /// Of the device: what all experiments share.
    parameters: Named<&'a str, Parameter<'a>>,
    experiments: Vec<ExperimentJson<'a>>,
    outputs: Named<&'a str, Output>,
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
    null_directions: Vec<Named<&'a str, f64>>,
    iterations: usize,
    stop: &'a str,
    message: &'a str,
    starts: Vec<Start<'a>>,
    profiles: Named<String, Profile>,
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

/// A run: a file, or what of it lies between two gaps.
#[derive(Serialize)]
struct ExperimentJson<'a> {
    data: String,
    /// First and last time, as `time` has them in the file.
    start: String,
    end: String,
    samples: usize,
    /// What it has of its own; empty where there is but one.
    parameters: Named<&'a str, Parameter<'a>>,
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
    parameters: Named<&'a str, f64>,
}

#[derive(Serialize)]
struct ValidationJson<'a> {
    rmse: f64,
    r_squared: f64,
    fit_percent: f64,
    samples: usize,
    outputs: Named<&'a str, Output>,
    /// The initial states that were estimated anew.
    initial: Named<String, f64>,
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
    for ProfileReport { name, experiment, level, lower, upper, lower_end, upper_end, .. } in &report.profiles {
        let (lower_end, upper_end) = (end_name(*lower_end), end_name(*upper_end));
        let name = labelled(name, *experiment);
        profiles.push((name, Profile { level: *level, lower: *lower, upper: *upper, lower_end, upper_end }));
    }
    let mut null_directions = Vec::new();
    for direction in &report.null_directions {
        null_directions.push(Named(direction.iter().map(|(name, weight)| (name.as_str(), *weight)).collect()));
    }
    let json = FitJson {
        parameters: Named(parameters),
        experiments: experiments(outcome),
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
        validation: outcome.validation.as_ref().map(validation_json),
        duration_s: outcome.duration_s,
    };
    serde_json::to_string_pretty(&json)
}

fn experiments<'a>(outcome: &'a Outcome<'_>) -> Vec<ExperimentJson<'a>> {
    let of = |(experiment, Part { recording, run }): (usize, &Part)| {
        let data = &outcome.recordings[*recording];
        let rows = &data.runs[*run];
        let (start, end) = data.times_of(rows);
        let own = outcome.report.local.iter().filter(|estimate| estimate.experiment == Some(experiment));
        let own = own.map(|estimate| {
            let parameter = Parameter {
                value: estimate.value,
                standard_error: estimate.standard_error,
                lower95: estimate.lower95,
                upper95: estimate.upper95,
                at_bound: estimate.at_lower || estimate.at_upper,
                unit: &outcome.file.model.parameters()[estimate.parameter].unit,
            };
            (estimate.name.as_str(), parameter)
        });
        let measured = data.outputs.iter().flatten().map(|values| &values[rows.clone()]);
        ExperimentJson {
            data: file_name(&outcome.arguments.data[*recording]),
            start: data.kind.text(start),
            end: data.kind.text(end),
            samples: measured.flatten().filter(|value| !value.is_nan()).count(),
            parameters: Named(own.collect()),
        }
    };
    outcome.parts.iter().enumerate().map(of).collect()
}

/// Of what an experiment has of its own: with its number.
pub(super) fn labelled(name: &str, experiment: Option<usize>) -> String {
    experiment.map_or_else(|| name.to_owned(), |experiment| format!("{name} of experiment {}", experiment + 1))
}

fn validation_json(Validation { report, parts, .. }: &Validation) -> ValidationJson<'_> {
    let outputs = report.outputs.iter().map(|output| (output.name.as_str(), Output::from(figures_of(output))));
    let several = parts.len() > 1;
    let label = |name: &str, experiment: Option<usize>| labelled(name, experiment.filter(|_| several));
    let initial = report.local.iter().map(|estimate| (label(&estimate.name, estimate.experiment), estimate.value));
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
