//! `uatwin fit`: estimates a model's parameters from a CSV file, and says how far to believe them.

mod bands;
pub(super) mod json;
mod report;

use std::{path::PathBuf, sync::atomic::AtomicBool, time::Instant};

use clap::Args;
use indicatif::ProgressBar;

use bands::{Known, Uncertainty};

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
    fit::{self, Comparison, Experiment, FitError, FitOptions, FitReport, ValidationReport},
    model::Model,
};

/// What `--help` says of the files.
pub const HELP: &str = "\
The data are CSV, parted by comma, semicolon or tab. The first line names the columns: `time`, and those of the model's inputs
and outputs by their names (an input also by its `variable`); others are passed over. `time` is in seconds, or RFC 3339
(2026-01-31T12:00:00Z), and increases from row to row. An empty cell is a missing sample: an input goes on as its `hold` says. The
run begins at the first row at which every input has a value; `t` in the model is `time` (or seconds since the first row).
Several files, and what comes after a gap longer than an input's `max_gap`, are experiments with initial states of their own.
Files may have 256 MiB and 10 million rows. The language of models: rustdoc of uatwin::model; ready-made ones: config/models.
Exit codes: 0 done (also unconverged: `stop` says so), 1 failed, 2 usage, 3 the model has faults.";

/// Arguments of the command.
#[derive(Debug, Args)]
pub struct FitArguments {
    /// Model and data.
    #[command(flatten)]
    pub experiment: ExperimentArguments,
    /// The data: CSV with a column `time` and a column for each input and output; given more than once, the files are fitted
    /// together, each with initial states of its own
    #[arg(long, value_name = "FILE", required = true)]
    pub data: Vec<PathBuf>,
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
    recordings: &'a [Recording],
    parts: Vec<Part>,
    report: FitReport,
    validation: Option<Validation>,
    duration_s: f64,
}

/// How the fitted model does with other data.
struct Validation {
    recording: Recording,
    parts: Vec<Part>,
    report: ValidationReport,
}

/// Where an experiment stands in the data.
struct Part {
    recording: usize,
    run: usize,
}

/// The runs with more measurements than `least`: others say nothing, where so many numbers are estimated of each.
fn experiments(model: &Model, recordings: &[Recording], least: usize) -> (Vec<Part>, Vec<Experiment>) {
    let mut all = Vec::new();
    for (recording, of) in recordings.iter().enumerate() {
        for (run, rows) in of.runs.iter().enumerate() {
            let experiment = of.experiment(model, rows);
            let measured: usize = experiment.outputs.iter().map(|output| output.times.len()).sum();
            if measured > least || (recordings.len() == 1 && of.runs.len() == 1) {
                all.push((Part { recording, run }, experiment));
            }
        }
    }
    all.into_iter().unzip()
}

/// Fits; returns what is to be printed.
///
/// # Errors
/// Faults of the model or the data, and a fit that cannot be done. One that does not converge is a result.
pub fn run(arguments: &FitArguments) -> Result<String, ExperimentError> {
    let Loaded { file, recordings } = Loaded::read(&arguments.experiment.model, &arguments.data)?;
    let mut options = options(arguments, &file)?;
    let validating = arguments.validate.as_ref().map(|path| read_data(&file, path)).transpose()?;
    let free = if options.free.is_empty() { file.model.free() } else { options.free.clone() };
    let of_a_run = file.model.of_a_run(&free);
    let (parts, experiments) = experiments(&file.model, &recordings, of_a_run.len());
    if experiments.len() > 1 {
        options.per_experiment = of_a_run;
    }
    let began = Instant::now(); // of the fit: what reading takes says nothing of it
    let report = search(&file.model, &experiments, &options)?;
    drop(experiments);
    let validation = validating.map(|recording| validate(arguments, &file.model, &report, &options, recording));
    let outcome = Outcome {
        arguments,
        file: &file,
        recordings: &recordings,
        parts,
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
        simulation: file.solver,
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

fn search(model: &Model, experiments: &[Experiment], options: &FitOptions) -> Result<FitReport, ExperimentError> {
    let never = AtomicBool::new(false);
    behind_bar("fitting", |progress| fit::fit(model, experiments, options, &never, progress))
}

fn validate(
    arguments: &FitArguments,
    model: &Model,
    fitted: &FitReport,
    options: &FitOptions,
    recording: Recording,
) -> Result<Validation, ExperimentError> {
    let (parts, experiments) = experiments(model, std::slice::from_ref(&recording), 0);
    let (never, keep) = (AtomicBool::new(false), arguments.keep_initial);
    let work =
        |progress: &(dyn Fn(f64) + Sync)| fit::validate(model, &experiments, fitted, options, keep, &never, progress);
    let report = behind_bar("validating", work)?;
    Ok(Validation { recording, parts, report })
}

fn picture(outcome: &Outcome<'_>) -> Result<String, ExperimentError> {
    let Outcome { arguments, file, recordings, report, validation, .. } = outcome;
    let mut drawings = Vec::new();
    for (index, (recording, path)) in recordings.iter().zip(&arguments.data).enumerate() {
        let known = |experiment: usize| Known {
            theta: report.theta_of(experiment),
            uncertainty: Uncertainty::of(report, experiment),
        };
        let title = format!("fitted to {}", file_name(path));
        drawings.push(Drawing::of(file, title, recording, &runs(recording, index, &outcome.parts, &known))?);
    }
    if let (Some(Validation { recording, parts, report: validated }), Some(path)) = (validation, &arguments.validate) {
        let last = Uncertainty::of(report, outcome.parts.len().saturating_sub(1));
        let known = |experiment: usize| {
            let own = validated.local.iter().filter(|estimate| estimate.experiment == Some(experiment));
            let (mut theta, mut again) = (report.theta.clone(), Vec::new());
            for estimate in own {
                theta[estimate.parameter] = estimate.value;
                again.push(estimate.parameter);
            }
            Known { theta, uncertainty: last.without(&again) }
        };
        let title = format!("validated with {}", file_name(path));
        drawings.push(Drawing::of(file, title, recording, &runs(recording, 0, parts, &known))?);
    }
    // The sections only borrow.
    let sections: Vec<Section<'_>> = drawings.iter().map(|drawing| drawing.section(file)).collect();
    Ok(plot::svg(&file_name(&arguments.experiment.model), &sections))
}

/// For each run of a recording what it is simulated with; nothing where it took no part.
fn runs(recording: &Recording, index: usize, parts: &[Part], known: &dyn Fn(usize) -> Known) -> Vec<Option<Known>> {
    let of = |run: usize| parts.iter().position(|part| (part.recording, part.run) == (index, run)).map(known);
    (0..recording.runs.len()).map(of).collect()
}

/// What a section of the picture shows.
struct Drawing<'a> {
    title: String,
    recording: &'a Recording,
    simulated: Vec<Vec<f64>>,
    comparison: Comparison,
    bands: Vec<Vec<Bands>>,
}

impl<'a> Drawing<'a> {
    fn of(
        ModelFile { model, solver, .. }: &ModelFile,
        title: String,
        recording: &'a Recording,
        runs: &[Option<Known>],
    ) -> Result<Self, ExperimentError> {
        let theta_of = |run: usize| runs[run].as_ref().map(|known| known.theta.clone());
        let simulated = simulate_rows((model, solver), &theta_of, recording)?.outputs;
        let comparison = fit::compare(model, &recording.measured(), &simulated);
        let bands = bands::bands((model, solver), recording, runs, &comparison)?;
        Ok(Self { title, recording, simulated, comparison, bands })
    }

    fn section(&self, file: &'a ModelFile) -> Section<'_> {
        section(file, self.title.clone(), self.recording, &self.simulated, &self.comparison, self.bands.clone())
    }
}

/// A panel for each output.
pub(super) fn section<'a>(
    file: &'a ModelFile,
    title: String,
    recording: &'a Recording,
    simulated: &'a [Vec<f64>],
    comparison: &Comparison,
    bands: Vec<Vec<Bands>>,
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
