//! Recorded data for the commands that fit and simulate: a CSV file's columns become a model's inputs and outputs by their
//! names.

mod csv_file;
mod time;

use std::{borrow::Cow, io, ops::Range, path::PathBuf};

pub(super) use csv_file::CsvFile;
use csv_file::Table;
pub(super) use time::TimeKind;

use crate::{
    config::{Fault, ModelFile, did_you_mean},
    fit::{self, Experiment, Measured},
    model::{Expression, InputSource, Model},
    simulate::Signal,
};

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file's faults, the first ones.
    #[error("the data have faults")]
    Faults {
        /// With their places.
        faults: Vec<Fault>,
        /// How many there are beside these.
        more: usize,
    },
    /// The file cannot be read.
    #[error("reading `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

/// A file's data in a model's order.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) kind: TimeKind,
    /// Seconds of every row from the first on at which every input is known.
    pub(crate) times: Vec<f64>,
    /// What each input does; its samples may begin before the rows.
    pub(crate) inputs: Vec<Signal>,
    /// The rows of each stretch in which every input is known; between them are gaps.
    pub(crate) runs: Vec<Range<usize>>,
    /// For each output its value in every row, NaN where it is missing or left out; `None`: it has no column.
    pub(crate) outputs: Vec<Option<Vec<f64>>>,
    /// What a reader of the result should know.
    pub(crate) notes: Vec<String>,
}

impl Recording {
    /// Reads the columns that the model needs. `progress` is told the bytes read so far.
    ///
    /// # Errors
    /// Columns that are missing, and every fault of the rows up to a bound.
    pub(crate) fn read(csv: CsvFile, file: &ModelFile, progress: &dyn Fn(u64)) -> Result<Self, DataError> {
        let columns = Columns::find(&csv, file)?;
        let mut notes = columns.notes(&csv, file);
        let (name, path_fault) = (csv.columns().to_vec(), csv.fault("", "", ""));
        let Table { kind, mut times, columns: values } = csv.read(&columns.wanted, progress)?;
        let first_known = |place: &usize| values[*place].iter().position(|value| !value.is_nan());
        let mut begin = 0;
        for place in &columns.inputs {
            let Some(first) = first_known(place) else {
                let key = name[columns.wanted[*place]].clone();
                let (message, remedy) = ("an input without any value".to_owned(), "give at least one".to_owned());
                return Err(DataError::Faults { faults: vec![Fault { key, message, remedy, ..path_fault }], more: 0 });
            };
            // A run begins when every input is known.
            begin = begin.max(first);
        }
        if begin > 0 {
            notes.push(format!("the first {begin} rows are left out: an input has no value yet"));
        }
        let holds = file.fit.when.as_ref().map(|when| columns.rows_where(when, &values));
        let mut left_out = 0;
        let mut output = |place: &usize| {
            let mut rows = values[*place].clone();
            for (value, _) in rows.iter_mut().zip(holds.iter().flatten()).filter(|(_, holds)| !**holds) {
                left_out += usize::from(!value.is_nan());
                *value = f64::NAN;
            }
            rows.drain(..begin);
            rows
        };
        let outputs = columns.outputs.iter().map(|place| place.as_ref().map(&mut output)).collect();
        if left_out > 0 {
            notes.push(format!("{left_out} measurements are left out by the model's `when`"));
        }
        let signal = |(place, input): (&usize, &InputSource)| {
            let known = times.iter().zip(&values[*place]).filter(|(_, value)| !value.is_nan());
            let (times, values) = known.unzip();
            Signal { times, values, hold: input.hold }
        };
        let inputs = columns.inputs.iter().zip(file.model.inputs()).map(signal).collect();
        times.drain(..begin);
        let mut recording = Self { kind, times, inputs, runs: Vec::new(), outputs, notes };
        recording.cut(&file.model);
        Ok(recording)
    }

    /// Finds the runs, and takes out what was measured between them.
    fn cut(&mut self, model: &Model) {
        let row = |(begin, end): (f64, f64)| {
            self.times.partition_point(|time| *time < begin)..self.times.partition_point(|time| *time <= end)
        };
        let known = fit::known(model, &model.nominal(), &self.inputs, self.span());
        self.runs = known.into_iter().map(row).filter(|rows| !rows.is_empty()).collect();
        let mut left_out = 0;
        for values in self.outputs.iter_mut().flatten() {
            let mut begin = 0;
            for rows in self.runs.iter().cloned().chain(std::iter::once(values.len()..values.len())) {
                for value in values[begin..rows.start].iter_mut().filter(|value| !value.is_nan()) {
                    *value = f64::NAN;
                    left_out += 1;
                }
                begin = rows.end;
            }
        }
        if left_out > 0 {
            self.notes.push(format!(
                "{left_out} measurements are left out: an input has no value for longer than its `max_gap`"
            ));
        }
    }

    /// First and last time.
    pub(crate) fn span(&self) -> (f64, f64) {
        (self.times.first().copied().unwrap_or(0.0), self.times.last().copied().unwrap_or(0.0))
    }

    /// The first measured value of each output in a run.
    pub(crate) fn first_measured(&self, rows: &Range<usize>) -> Vec<Option<f64>> {
        let first = |values: &Vec<f64>| values[rows.clone()].iter().copied().find(|value| !value.is_nan());
        self.outputs.iter().map(|values| values.as_ref().and_then(first)).collect()
    }

    /// What the inputs do in a run.
    pub(crate) fn inputs_of(&self, model: &Model, rows: &Range<usize>) -> Cow<'_, [Signal]> {
        match self.runs.len() {
            0 | 1 => Cow::Borrowed(&self.inputs),
            _ => Cow::Owned(fit::inputs_within(model, &self.inputs, self.times_of(rows))),
        }
    }

    /// First and last time of a run.
    pub(crate) fn times_of(&self, rows: &Range<usize>) -> (f64, f64) {
        (self.times[rows.start], self.times[rows.end - 1])
    }

    /// What was measured in each row; empty: the output has no column.
    pub(crate) fn measured(&self) -> Vec<&[f64]> {
        self.outputs.iter().map(|values| values.as_deref().unwrap_or_default()).collect()
    }

    /// A run as a fit wants it: from its first row to its last measurement.
    pub(crate) fn experiment(&self, model: &Model, rows: &Range<usize>) -> Experiment {
        let measured = |values: &Option<Vec<f64>>| {
            let values = values.as_ref().map_or(&[][..], |values| &values[rows.clone()]);
            let known = self.times[rows.clone()].iter().zip(values).filter(|(_, value)| !value.is_nan());
            let (times, values) = known.map(|(time, value)| (*time, *value)).unzip();
            Measured { times, values, weights: Vec::new() }
        };
        let outputs: Vec<Measured> = self.outputs.iter().map(measured).collect();
        let (start, _) = self.times_of(rows);
        let end = outputs.iter().filter_map(|output| output.times.last().copied()).fold(start, f64::max);
        Experiment { inputs: self.inputs_of(model, rows).into_owned(), outputs, span: Some((start, end)) }
    }
}

/// Where what the model needs stands in the file.
#[derive(Default)]
struct Columns {
    /// Indices of the columns to read.
    wanted: Vec<usize>,
    /// Of each input its place in `wanted`.
    inputs: Vec<usize>,
    /// Of each output.
    outputs: Vec<Option<usize>>,
    /// Of each name of `when`.
    conditions: Vec<Option<usize>>,
}

impl Columns {
    fn find(csv: &CsvFile, file: &ModelFile) -> Result<Self, DataError> {
        let mut found = Self::default();
        let mut faults = Vec::new();
        for input in file.model.inputs() {
            let names = names_of(input);
            if let Some(place) = found.take(csv, &names, &mut faults) {
                found.inputs.push(place);
                continue;
            }
            let message = format!("the input has no column of its name, {}", names.join(" or "));
            faults.push(csv.fault(&input.name, message, near(csv, file, &names)));
        }
        for output in file.model.outputs() {
            let place = found.take(csv, &[&output.name], &mut faults);
            found.outputs.push(place);
        }
        for (name, used) in file.fit.when.iter().flat_map(|when| file.names.iter().zip(when.uses())) {
            let input = file.model.inputs().iter().find(|input| input.name == *name || input.variable == *name);
            let names = input.map_or(vec![name.as_str()], names_of);
            let place = if *used { found.take(csv, &names, &mut faults) } else { None };
            if *used && place.is_none() {
                faults.push(csv.fault(
                    name,
                    "the model's `when` uses it, but it has no column",
                    near(csv, file, &names),
                ));
            }
            found.conditions.push(place);
        }
        if faults.is_empty() { Ok(found) } else { Err(DataError::Faults { faults, more: 0 }) }
    }

    /// The place of the first of the names that is a column.
    fn take(&mut self, csv: &CsvFile, names: &[&str], faults: &mut Vec<Fault>) -> Option<usize> {
        let columns = csv.columns();
        let name = names.iter().find(|name| columns.iter().any(|column| column == *name))?;
        if columns.iter().filter(|column| column == name).count() > 1 {
            faults.push(csv.fault(name, "two columns have this name", "rename or remove one of them"));
        }
        let index = columns.iter().position(|column| column == name)?;
        Some(self.wanted.iter().position(|wanted| *wanted == index).unwrap_or_else(|| {
            self.wanted.push(index);
            self.wanted.len() - 1
        }))
    }

    /// Which outputs are not measured, and what might have been meant.
    fn notes(&self, csv: &CsvFile, file: &ModelFile) -> Vec<String> {
        let missing = file.model.outputs().iter().zip(&self.outputs).filter(|(_, place)| place.is_none());
        let note = |name: &str| {
            let remedy = near(csv, file, &[name]);
            let remedy = if remedy.starts_with("did you") { format!("; {remedy}") } else { String::new() };
            format!("the output `{name}` has no column{remedy}")
        };
        missing.map(|(output, _)| note(&output.name)).collect()
    }

    /// In which rows the condition holds, each name read as its latest value.
    fn rows_where(&self, when: &Expression, values: &[Vec<f64>]) -> Vec<bool> {
        let mut known = vec![f64::NAN; self.conditions.len()];
        let rows = 0..values.first().map_or(0, Vec::len);
        let holds = |row: usize| {
            for (known, place) in known.iter_mut().zip(&self.conditions) {
                if let Some(value) = place.map(|place| values[place][row]).filter(|value| !value.is_nan()) {
                    *known = value;
                }
            }
            when.holds(&known)
        };
        rows.map(holds).collect()
    }
}

/// The names under which an input may have a column.
fn names_of(input: &InputSource) -> Vec<&str> {
    if input.variable == input.name { vec![&input.name] } else { vec![&input.name, &input.variable] }
}

/// The column that was probably meant: one that is nothing else of the model's.
fn near(csv: &CsvFile, file: &ModelFile, names: &[&str]) -> String {
    let is_own = |column: &str| {
        file.model.outputs().iter().any(|output| output.name == column)
            || file.model.inputs().iter().any(|input| names_of(input).contains(&column))
    };
    let columns = csv.columns().iter().map(String::as_str);
    let others: Vec<&str> =
        columns.filter(|column| !(column.is_empty() || *column == "time" || is_own(column))).collect();
    let remedies: Vec<String> = names.iter().map(|name| did_you_mean(name, others.iter().copied())).collect();
    let nearest = remedies.iter().find(|remedy| remedy.starts_with("did you mean"));
    nearest.or(remedies.first()).cloned().unwrap_or_default()
}
