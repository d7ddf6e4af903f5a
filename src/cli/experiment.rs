//! What `uatwin fit` and `uatwin simulate` share: a model's file and data files by their paths, what can go wrong, bars.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::data::{CsvFile, DataError, Recording};
use crate::{
    config::{self, Fault, ModelFile, did_you_mean},
    fit::FitError,
    model::Model,
    simulate::{self, Options, Scenario, SimulationError},
};

/// Arguments of both commands.
#[derive(Debug, Args)]
pub struct ExperimentArguments {
    /// The model's file: the tables of `[twin_type.X.model]` at its root
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// A parameter's value in place of the file's; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub set: Vec<(String, f64)>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Draw data, simulation and residuals as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, as in C=55")?;
    let value: f64 = value.trim().parse().map_err(|_| format!("{value:?} is not a number"))?;
    if value.is_finite() { Ok((name.trim().to_owned(), value)) } else { Err("give a finite number".to_owned()) }
}

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// The model's faults.
    #[error("the model has faults")]
    Model(Vec<Fault>),
    /// Arguments that do not go with the model.
    #[error("{0}")]
    Usage(String),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A fit that cannot be done.
    #[error("fitting")]
    Fit(#[source] FitError),
    /// A simulation that does not get to its end.
    #[error("simulating: {0}")]
    Simulation(String),
    /// A file that cannot be written.
    #[error("writing `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// A result that JSON cannot say.
    #[error("writing JSON")]
    Json(#[from] serde_json::Error),
}

/// A model and what was recorded for it, of each file of data.
pub(super) struct Loaded {
    pub(super) file: ModelFile,
    pub(super) recordings: Vec<Recording>,
}

impl Loaded {
    /// Reads the model first: its faults count more than those of the data.
    pub(super) fn read(model: &Path, data: &[PathBuf]) -> Result<Self, ExperimentError> {
        let files: Vec<_> = data.iter().map(|path| CsvFile::open(path)).collect();
        let columns: Vec<String> = files.iter().flatten().flat_map(CsvFile::columns).cloned().collect();
        let file = config::load_model(model, &columns).map_err(ExperimentError::Model)?;
        for warning in &file.warnings {
            eprintln!("warning: {warning}");
        }
        let recordings = files.into_iter().zip(data).map(|(csv, path)| read(csv?, &file, path));
        let recordings = recordings.collect::<Result<_, _>>()?;
        Ok(Self { file, recordings })
    }
}

/// Reads data for a model that was read before.
pub(super) fn read_data(file: &ModelFile, data: &Path) -> Result<Recording, ExperimentError> {
    read(CsvFile::open(data)?, file, data)
}

fn read(csv: CsvFile, file: &ModelFile, path: &Path) -> Result<Recording, ExperimentError> {
    let bar = ProgressBar::new(path.metadata().map_or(0, |metadata| metadata.len())); // draws on a terminal only
    bar.set_style(style("reading {bar:40} {bytes}/{total_bytes}"));
    let recording = Recording::read(csv, file, &|bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let recording = recording?;
    for note in &recording.notes {
        eprintln!("{}: {note}", path.display());
    }
    Ok(recording)
}

pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is right")
}

/// The nominal parameters, but for those that were set.
pub(super) fn theta(model: &Model, settings: &[(String, f64)]) -> Result<Vec<f64>, ExperimentError> {
    let mut theta = model.nominal();
    for (name, value) in settings {
        theta[parameter(model, name)?] = *value;
    }
    Ok(theta)
}

/// The index of a parameter that the user named.
pub(super) fn parameter(model: &Model, name: &str) -> Result<usize, ExperimentError> {
    model.parameter_index(name).ok_or_else(|| {
        let known = model.parameters().iter().map(|parameter| parameter.name.as_str());
        ExperimentError::Usage(format!("the model has no parameter `{name}`; {}", did_you_mean(name, known)))
    })
}

/// What a model says in every row.
pub(super) struct Rows {
    /// For each output; NaN in rows of no run.
    pub(super) outputs: Vec<Vec<f64>>,
    pub(super) steps: usize,
}

/// Simulates the rows of each run, from where the model starts under its θ; without one the run is passed over.
pub(super) fn simulate_rows(
    (model, solver): (&Model, &Options),
    theta_of: &dyn Fn(usize) -> Option<Vec<f64>>,
    recording: &Recording,
) -> Result<Rows, ExperimentError> {
    let mut all = Rows { outputs: vec![vec![f64::NAN; recording.times.len()]; model.outputs().len()], steps: 0 };
    for (run, rows) in recording.runs.iter().enumerate() {
        let Some(theta) = theta_of(run) else { continue };
        let times = vec![&recording.times[rows.clone()]; model.outputs().len()];
        let (inputs, measured) = (recording.inputs_of(model, rows), recording.first_measured(rows));
        let scenario = Scenario {
            inputs: &inputs,
            span: recording.times_of(rows),
            output_times: &times,
            initial_state: None,
            measured: &measured,
        };
        let done = simulate::simulate(model, &theta, &scenario, solver, &AtomicBool::new(false));
        let done = done.map_err(|error| failed(model, &error))?;
        for (all, run) in all.outputs.iter_mut().zip(done.outputs) {
            all[rows.clone()].copy_from_slice(&run);
        }
        all.steps += done.steps;
    }
    Ok(all)
}

pub(super) fn failed(model: &Model, error: &SimulationError) -> ExperimentError {
    ExperimentError::Simulation(error.describe(model))
}

/// The file's name for a heading.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), ExperimentError> {
    std::fs::write(path, text).map_err(|cause| ExperimentError::Write { path: path.to_owned(), cause })
}
