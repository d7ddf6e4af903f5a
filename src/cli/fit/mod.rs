//! `uatwin fit`: estimates a model's parameters from a CSV file, and says how far to believe them.

mod bands;
pub(super) mod json;
mod report;

use std::{path::PathBuf, sync::atomic::AtomicBool, time::Instant};

use clap::Args;
use indicatif::ProgressBar;

use super::{
    data::Recording,
    experiment::{
        self, ExperimentArguments, ExperimentError, Loaded, file_name, parameter, read_data, simulate_rows, style,
        theta, write,
    },
    plot::{self, Bands, Panel, Section},
};
use crate::{
    config::ModelFile,
    fit::{self, Comparison, FitError, FitOptions, FitReport, ValidationReport},
    model::Model,
};

/// What `--help` says of the files.
pub const HELP: &str = "\
The data are CSV, parted by comma, semicolon or tab. The first line names the columns: `time`, and those of the model's inputs
and outputs by their names (an input also by its `variable`); others are passed over. `time` is in seconds, or RFC 3339
(2026-01-31T12:00:00Z), and increases from row to row. An empty cell is a missing sample: an input goes on as its `hold` says. The
run begins at the first row at which every input has a value; `t` in the model is `time` (or seconds since the first row).
Files may have 256 MiB and 10 million rows. The language of models: rustdoc of uatwin::model; ready-made ones: config/models.
Exit codes: 0 done (also unconverged: `stop` says so), 1 failed, 2 usage, 3 the model has faults.";

/// Arguments of the command.
#[derive(Debug, Args)]
pub struct FitArguments {
    /// Model and data.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
    /// Other data, to see how well the fitted model foretells what it was not fitted to
    #[arg(long, value_name = "FILE")]
    pub validate: Option<PathBuf>,
    /// Keep the fitted initial states in the validation instead of estimating them anew
    #[arg(long, requires = "validate")]
    pub keep_initial: bool,
    /// The parameters to estimate (default: those that the model leaves free)
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub parameters: Vec<String>,
    /// How many places the search starts from (default: as the model says, or 8)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub starts: Option<u32>,
    /// Of these places
    #[arg(long)]
    pub seed: Option<u64>,
    /// Parameters whose profile likelihood intervals are wanted: right where the model is far from linear
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub profile: Vec<String>,
}

/// Everything that was found out.
struct Outcome<'a> {
    arguments: &'a FitArguments,
    file: &'a ModelFile,
    recording: &'a Recording,
    report: FitReport,
    validation: Option<Validation>,
    duration_s: f64,
}

/// How the fitted model does with other data.
struct Validation {
    recording: Recording,
    report: ValidationReport,
}

/// Fits; returns what is to be printed.
///
/// # Errors
/// Faults of the model or the data, and a fit that cannot be done. One that does not converge is a result.
pub fn run(arguments: &FitArguments) -> Result<String, ExperimentError> {
    let began = Instant::now();
    let Loaded { file, recording } = Loaded::read(&arguments.experiment.model, &arguments.experiment.data)?;
    let options = options(arguments, &file)?;
    let validating = arguments.validate.as_ref().map(|path| read_data(&file, path)).transpose()?;
    let report = search(&file.model, &recording, &options)?;
    let validation = validating.map(|recording| validate(arguments, &file.model, &report, &options, recording));
    let outcome = Outcome {
        arguments,
        file: &file,
        recording: &recording,
        report,
        validation: validation.transpose()?,
        duration_s: began.elapsed().as_secs_f64(),
    };
    if let Some(path) = &arguments.experiment.plot {
        write(path, &picture(&outcome)?)?;
    }
    if arguments.experiment.json { Ok(json::text(&outcome)?) } else { Ok(report::text(&outcome)) }
}

fn options(arguments: &FitArguments, file: &ModelFile) -> Result<FitOptions, ExperimentError> {
    let indices = |names: &[String]| -> Result<Vec<usize>, ExperimentError> {
        names.iter().map(|name| parameter(&file.model, name.trim())).collect()
    };
    Ok(FitOptions {
        free: indices(&arguments.parameters)?,
        profile: indices(&arguments.profile)?,
        theta: Some(theta(&file.model, &arguments.experiment.set)?),
        starts: arguments.starts.unwrap_or(file.fit.starts) as usize,
        seed: arguments.seed.unwrap_or(file.fit.seed),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        absolute_sigma: file.fit.absolute_sigma,
        ..FitOptions::default()
    })
}

/// Works behind a bar that is drawn on a terminal only.
fn behind_bar<T>(
    what: &str,
    work: impl FnOnce(&(dyn Fn(f64) + Sync)) -> Result<T, FitError>,
) -> Result<T, ExperimentError> {
    let bar = ProgressBar::new(1000);
    bar.set_style(style(&format!("{what} {{bar:40}} {{percent}} %, {{elapsed}}")));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction from 0 to 1")]
    let done = work(&|fraction| bar.set_position((fraction * 1000.0) as u64));
    bar.finish_and_clear();
    done.map_err(ExperimentError::Fit)
}

fn search(model: &Model, recording: &Recording, options: &FitOptions) -> Result<FitReport, ExperimentError> {
    let (experiments, never) = ([recording.experiment()], AtomicBool::new(false));
    behind_bar("fitting", |progress| fit::fit(model, &experiments, options, &never, progress))
}

fn validate(
    arguments: &FitArguments,
    model: &Model,
    fitted: &FitReport,
    options: &FitOptions,
    recording: Recording,
) -> Result<Validation, ExperimentError> {
    let (experiments, never, keep) = ([recording.experiment()], AtomicBool::new(false), arguments.keep_initial);
    let work =
        |progress: &(dyn Fn(f64) + Sync)| fit::validate(model, &experiments, fitted, options, keep, &never, progress);
    let report = behind_bar("validating", work)?;
    Ok(Validation { recording, report })
}

fn picture(outcome: &Outcome<'_>) -> Result<String, ExperimentError> {
    let Outcome { arguments, file, recording, report, .. } = outcome;
    let simulated = simulate_rows(&file.model, &report.theta, recording)?.outputs;
    let comparison = fit::compare(&file.model, &recording.measured(), &simulated);
    let uncertainty = bands::Uncertainty::of(report);
    let bands = bands::bands(&file.model, &report.theta, recording, &uncertainty, &comparison)?;
    let fitted = file_name(&arguments.experiment.data);
    let mut sections = vec![section(file, format!("fitted to {fitted}"), recording, &simulated, &comparison, bands)];
    // What outlives the sections, which only borrow.
    let validated = outcome.validation.as_ref().map(|validation| {
        let mut theta = report.theta.clone();
        let again: Vec<usize> = validation.report.local.iter().map(|estimate| estimate.parameter).collect();
        validation.report.local.iter().for_each(|estimate| theta[estimate.parameter] = estimate.value);
        let simulated = simulate_rows(&file.model, &theta, &validation.recording)?.outputs;
        let comparison = fit::compare(&file.model, &validation.recording.measured(), &simulated);
        let uncertainty = uncertainty.without(&again);
        let bands = bands::bands(&file.model, &theta, &validation.recording, &uncertainty, &comparison)?;
        Ok::<_, ExperimentError>((&validation.recording, simulated, comparison, bands))
    });
    let validated = validated.transpose()?;
    if let (Some((recording, simulated, comparison, bands)), Some(path)) = (&validated, &arguments.validate) {
        let title = format!("validated with {}", file_name(path));
        sections.push(section(file, title, recording, simulated, comparison, bands.clone()));
    }
    Ok(plot::svg(&file_name(&arguments.experiment.model), &sections))
}

/// A panel for each output.
pub(super) fn section<'a>(
    file: &'a ModelFile,
    title: String,
    recording: &'a Recording,
    simulated: &'a [Vec<f64>],
    comparison: &Comparison,
    bands: Vec<Option<Bands>>,
) -> Section<'a> {
    let mut panels = Vec::new();
    for (index, (output, bands)) in file.model.outputs().iter().zip(bands).enumerate() {
        panels.push(Panel {
            name: &output.name,
            unit: &file.output_units[index],
            measured: recording.outputs[index].as_deref(),
            simulated: &simulated[index],
            figures: comparison.outputs[index],
            bands,
        });
    }
    Section { title, kind: recording.kind, times: &recording.times, panels }
}
