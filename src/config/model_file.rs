//! A model in a file of its own, read for the commands that need no twin: the same tables, at the file's root.

use std::path::Path;

use super::{
    Fault, equations,
    fault::Sink,
    raw::{Document, Source, Table},
    read,
};
use crate::{model::Model, simulate::Options, twin::FitSettings};

/// Longest text of a model: some ten times what a model of the largest size needs. A tree of it takes some 80 times its bytes.
pub(super) const MODEL_BYTES_MAX: usize = 512 << 10;

/// Why a text is too long for a model's, and what to do.
pub(super) fn too_long(text: &str) -> Option<(String, &'static str)> {
    let is_long = text.len() > MODEL_BYTES_MAX;
    is_long.then(|| {
        let message = format!("the model is {} bytes long, at most {MODEL_BYTES_MAX} are allowed", text.len());
        (message, "give a model: data stand in files of their own")
    })
}

/// What a model's file says.
#[derive(Debug)]
pub struct ModelFile {
    /// Compiled.
    pub model: Model,
    /// `[solver]`, or its defaults.
    pub solver: Options,
    /// `[fit]`, or its defaults.
    pub fit: FitSettings,
    /// What `fit.when` is an expression of, in the order of its values.
    pub names: Vec<String>,
    /// Unit of each output; empty: not given.
    pub output_units: Vec<String>,
    /// What was accepted but has no effect.
    pub warnings: Vec<Fault>,
}

/// Reads and checks a model's file. `columns` are names of data that its `fit.when` may use beside the model's own inputs
/// and outputs.
///
/// # Errors
/// Every fault, in the order of the file.
pub fn load_model(path: &Path, columns: &[String]) -> Result<ModelFile, Vec<Fault>> {
    let unreadable =
        |error| vec![Fault::of_file(path, format!("cannot be read: {error}"), "give the path of a model's file")];
    parse_model(&read(path).map_err(unreadable)?, &path.display().to_string(), columns)
}

/// As [`load_model`], of a text; `file_name` is shown in faults.
///
/// # Errors
/// Every fault, in the order of the text.
pub fn parse_model(text: &str, file_name: &str, columns: &[String]) -> Result<ModelFile, Vec<Fault>> {
    if let Some((message, remedy)) = too_long(text) {
        return Err(vec![Fault::of_file(Path::new(file_name), message, remedy)]);
    }
    let sink = Sink::default();
    let document = Document::new(file_name, text);
    let model = document.parse(&sink).and_then(|tree| {
        equations::alone(&Table::root(Source { document: &document, sink: &sink }, &tree, ""), columns)
    });
    let faulty = sink.has_faults();
    let (faults, warnings) = sink.into_parts();
    match model {
        Some(model) if !faulty => Ok(ModelFile { warnings, ..model }),
        _ => Err(faults),
    }
}
