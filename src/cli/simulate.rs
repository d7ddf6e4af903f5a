//! `uatwin simulate`: what a model says under recorded inputs, beside what was measured if it was.

use std::{fmt::Write as _, io::Write as _, path::PathBuf, time::Instant};

use clap::Args;
use serde::Serialize;

use super::{
    data::Recording,
    experiment::{ExperimentArguments, ExperimentError, Loaded, Rows, file_name, simulate_rows, theta, write},
    fit::{
        json::{Named, Output},
        section,
    },
    number::short,
    plot,
    table::aligned,
};
use crate::{
    config::ModelFile,
    fit::{self, Comparison},
};

/// Arguments of the command.
#[derive(Debug, Args)]
pub struct SimulateArguments {
    /// Model and data.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
    /// The data: CSV with a column `time` and a column for each input, and for each output that was measured
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Write time, inputs and simulated outputs as CSV, which `fit` takes as data
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Serialize)]
struct SimulateJson<'a> {
    outputs: Named<&'a str, OutputJson>,
    cost: f64,
    rmse: f64,
    r_squared: f64,
    fit_percent: f64,
    samples: usize,
    rows: usize,
    steps: usize,
    duration_s: f64,
}

#[derive(Serialize)]
struct OutputJson {
    #[serde(flatten)]
    figures: Output,
    min: f64,
    max: f64,
    last: f64,
}

/// Simulates; returns what is to be printed.
///
/// # Errors
/// Faults of the model or the data, and a simulation that does not get to its end.
pub fn run(arguments: &SimulateArguments) -> Result<String, ExperimentError> {
    let began = Instant::now();
    let data = std::slice::from_ref(&arguments.data);
    let Loaded { file, mut recordings } = Loaded::read(&arguments.experiment.model, data)?;
    let recording = recordings.remove(0);
    let theta = theta(&file.model, &arguments.experiment.set)?;
    let trajectory = simulate_rows((&file.model, &file.solver), &|_| Some(theta.clone()), &recording)?;
    let comparison = fit::compare(&file.model, &recording.measured(), &trajectory.outputs);
    if let Some(path) = &arguments.output {
        write_csv(path, &file, &recording, &trajectory.outputs)
            .map_err(|cause| ExperimentError::Write { path: path.clone(), cause })?;
    }
    if let Some(path) = &arguments.experiment.plot {
        let none = vec![Vec::new(); file.model.outputs().len()];
        let title = format!("under the inputs of {}", file_name(&arguments.data));
        let section = section(&file, title, &recording, &trajectory.outputs, &comparison, none);
        write(path, &plot::svg(&file_name(&arguments.experiment.model), &[section]))?;
    }
    let duration_s = began.elapsed().as_secs_f64();
    if arguments.experiment.json {
        return Ok(json(&file, &recording, &trajectory, &comparison, duration_s)?);
    }
    Ok(text(arguments, &file, &recording, &trajectory, &comparison))
}

/// Least, greatest and last value.
fn range(values: &[f64]) -> (f64, f64, f64) {
    let (least, greatest) = values.iter().fold((f64::NAN, f64::NAN), |(a, b), value| (value.min(a), value.max(b)));
    let last = values.iter().rev().copied().find(|value| !value.is_nan());
    (least, greatest, last.unwrap_or(f64::NAN))
}

fn json(
    file: &ModelFile,
    recording: &Recording,
    trajectory: &Rows,
    comparison: &Comparison,
    duration_s: f64,
) -> Result<String, serde_json::Error> {
    let mut outputs = Vec::new();
    for (index, output) in file.model.outputs().iter().enumerate() {
        let (min, max, last) = range(&trajectory.outputs[index]);
        let figures = Output::from(comparison.outputs[index]);
        outputs.push((output.name.as_str(), OutputJson { figures, min, max, last }));
    }
    serde_json::to_string_pretty(&SimulateJson {
        outputs: Named(outputs),
        cost: comparison.cost,
        rmse: comparison.total.rmse,
        r_squared: comparison.total.r_squared,
        fit_percent: comparison.total.fit_percent,
        samples: comparison.total.samples,
        rows: recording.times.len(),
        steps: trajectory.steps,
        duration_s,
    })
}

fn text(
    arguments: &SimulateArguments,
    file: &ModelFile,
    recording: &Recording,
    trajectory: &Rows,
    comparison: &Comparison,
) -> String {
    let (start, end) = recording.span();
    let mut text = format!(
        "{} under the inputs of {}: {} rows over {} s, {} steps\n\n",
        arguments.experiment.model.display(),
        arguments.data.display(),
        recording.times.len(),
        short(end - start, 6),
        trajectory.steps
    );
    let head = ["Output", "Least", "Greatest", "Last", "Unit", "Samples", "RMSE", "R²", "Fit"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (index, output) in file.model.outputs().iter().enumerate() {
        let (least, greatest, last) = range(&trajectory.outputs[index]);
        let figures = comparison.outputs[index];
        rows.push(vec![
            output.name.clone(),
            short(least, 6),
            short(greatest, 6),
            short(last, 6),
            file.output_units[index].clone(),
            figures.samples.to_string(),
            short(figures.rmse, 4),
            short(figures.r_squared, 5),
            if figures.samples > 0 { format!("{} %", short(figures.fit_percent, 4)) } else { short(f64::NAN, 1) },
        ]);
    }
    text.push_str(&aligned(&rows, &[4]));
    if comparison.total.samples > 0 {
        let _ = writeln!(text, "\n  cost {}", short(comparison.cost, 6));
    }
    text.truncate(text.trim_end().len());
    text
}

fn write_csv(
    path: &std::path::Path,
    file: &ModelFile,
    recording: &Recording,
    simulated: &[Vec<f64>],
) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(std::io::BufWriter::new(std::fs::File::create(path)?));
    let (model, mut row) = (&file.model, Vec::new());
    row.push("time".to_owned());
    row.extend(model.inputs().iter().map(|input| input.name.clone()));
    row.extend(model.outputs().iter().map(|output| output.name.clone()));
    csv.write_record(&row)?;
    let mut next = vec![0; model.inputs().len()];
    for (index, time) in recording.times.iter().enumerate() {
        row.clear();
        row.push(recording.kind.text(*time));
        for (signal, next) in recording.inputs.iter().zip(&mut next) {
            while signal.times.get(*next).is_some_and(|sample| sample < time) {
                *next += 1;
            }
            // Where the input has no sample, the cell stays empty.
            let is_here = signal.times.get(*next) == Some(time);
            row.push(if is_here { signal.values[*next].to_string() } else { String::new() });
        }
        // In a gap nothing is simulated.
        let cell = |value: f64| if value.is_nan() { String::new() } else { value.to_string() };
        row.extend(simulated.iter().map(|values| cell(values[index])));
        csv.write_record(&row)?;
    }
    csv.into_inner().map_err(|error| error.into_error())?.flush()
}
