//! What a fit estimates: a parameter once for all experiments, or one of its own in each. One column of the Jacobian for
//! each, the shared ones first, on the scale on which the search moves (logarithmic where asked).

use crate::model::{Model, ParameterSource};

/// One number to estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Index in θ.
    pub(super) parameter: usize,
    /// The experiment that it belongs to; none: shared by all.
    pub(super) experiment: Option<usize>,
}

/// All that is estimated, and the values that stand where nothing is.
#[derive(Clone, Debug)]
pub(super) struct Columns<'a> {
    model: &'a Model,
    list: Vec<Column>,
    /// θ in force in each experiment.
    base: Vec<Vec<f64>>,
    /// The columns that bear on each experiment, and the same as indices in θ: the lanes of its simulation.
    lanes: Vec<(Vec<usize>, Vec<usize>)>,
}

impl<'a> Columns<'a> {
    /// `base` is θ in force in each experiment, checked by the caller.
    pub(super) fn new(model: &'a Model, shared: &[usize], local: &[usize], base: Vec<Vec<f64>>) -> Self {
        let mut list: Vec<Column> = shared.iter().map(|&parameter| Column { parameter, experiment: None }).collect();
        for experiment in 0..base.len() {
            list.extend(local.iter().map(|&parameter| Column { parameter, experiment: Some(experiment) }));
        }
        Self::of(model, list, base)
    }

    fn of(model: &'a Model, list: Vec<Column>, base: Vec<Vec<f64>>) -> Self {
        let lanes = (0..base.len()).map(|experiment| {
            let bears = |column: &Column| column.experiment.is_none_or(|own| own == experiment);
            let columns: Vec<usize> = (0..list.len()).filter(|&index| bears(&list[index])).collect();
            let parameters = columns.iter().map(|&index| list[index].parameter).collect();
            (columns, parameters)
        });
        let lanes = lanes.collect();
        Self { model, list, base, lanes }
    }

    /// The same with one column held at a value, on the scale of the search.
    pub(super) fn without(&self, held: usize, value: f64) -> Self {
        let column = self.list[held];
        let value = self.value_at(held, value);
        let mut base = self.base.clone();
        for (experiment, theta) in base.iter_mut().enumerate() {
            if column.experiment.is_none_or(|own| own == experiment) {
                theta[column.parameter] = value;
            }
        }
        let mut list = self.list.clone();
        list.remove(held);
        Self::of(self.model, list, base)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn list(&self) -> &[Column] {
        &self.list
    }

    /// The columns that bear on an experiment, and their parameters.
    pub(super) fn lanes(&self, experiment: usize) -> (&[usize], &[usize]) {
        let (columns, parameters) = &self.lanes[experiment];
        (columns, parameters)
    }

    pub(super) fn parameter(&self, column: usize) -> &'a ParameterSource {
        &self.model.parameters()[self.list[column].parameter]
    }

    /// The value in force.
    pub(super) fn initial(&self, column: usize) -> f64 {
        let Column { parameter, experiment } = self.list[column];
        self.base[experiment.unwrap_or(0)][parameter]
    }

    /// For people, to be put in a sentence.
    pub(super) fn quoted(&self, column: usize) -> String {
        let name = &self.parameter(column).name;
        match self.list[column].experiment {
            None => format!("`{name}`"),
            Some(experiment) => format!("`{name}` of experiment {}", experiment + 1),
        }
    }

    /// As [`Self::quoted`], bare.
    pub(super) fn label(&self, column: usize) -> String {
        self.quoted(column).replace('`', "")
    }

    /// The values in force on the scale of the search.
    pub(super) fn start(&self) -> Vec<f64> {
        (0..self.len()).map(|column| self.to_scale(column, self.initial(column))).collect()
    }

    pub(super) fn to_scale(&self, column: usize, value: f64) -> f64 {
        if self.parameter(column).log { value.ln() } else { value }
    }

    /// Where nothing moved, the value in force stands to the last bit, and at a bound the bound: exp(ln(100)) isn't 100.
    pub(super) fn value_at(&self, column: usize, value: f64) -> f64 {
        let initial = self.initial(column);
        if value == self.to_scale(column, initial) {
            return initial;
        }
        let parameter = self.parameter(column);
        if !parameter.log {
            return value.clamp(parameter.min, parameter.max);
        }
        match value {
            _ if value <= parameter.min.ln() => parameter.min,
            _ if value >= parameter.max.ln() => parameter.max,
            _ => value.exp().clamp(parameter.min, parameter.max),
        }
    }

    /// Bounds on the scale of the search.
    pub(super) fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        let bound = |log: bool, value: f64| match log {
            true if value <= 0.0 => f64::NEG_INFINITY,
            true => value.ln(),
            false => value,
        };
        let parameters = || (0..self.len()).map(|column| self.parameter(column));
        let lower = parameters().map(|parameter| bound(parameter.log, parameter.min)).collect();
        let upper = parameters().map(|parameter| bound(parameter.log, parameter.max)).collect();
        (lower, upper)
    }

    /// The value of every column at a point of the search.
    pub(super) fn values(&self, q: &[f64]) -> Vec<f64> {
        q.iter().enumerate().map(|(column, &value)| self.value_at(column, value)).collect()
    }

    /// θ of an experiment at a point of the search.
    pub(super) fn theta(&self, experiment: usize, q: &[f64]) -> Vec<f64> {
        let mut theta = self.base[experiment].clone();
        let (columns, parameters) = self.lanes(experiment);
        for (&column, &parameter) in columns.iter().zip(parameters) {
            theta[parameter] = self.value_at(column, q[column]);
        }
        theta
    }

    /// dθ/dq of each column.
    pub(super) fn slopes(&self, q: &[f64]) -> Vec<f64> {
        (0..q.len()).map(|column| if self.parameter(column).log { q[column].exp() } else { 1.0 }).collect()
    }
}
