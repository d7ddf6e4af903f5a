//! The numbering of everything that is stored: twin by twin, facet by facet.

use super::{Twin, TwinType};
use crate::sample::{SeriesId, TwinId};

/// Which of a twin's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Facet {
    /// The measured variable.
    Variable(usize),
    /// ŷ of the model's output, by output.
    Simulated(usize),
    /// y − ŷ, by output.
    Residual(usize),
    /// The parameter in force, by parameter.
    Parameter(usize),
    /// x of the model beside the device, by state.
    State(usize),
    /// Number of the revision in force.
    Revision,
}

/// Everything configured, and the numbering of series: twin by twin its variables, then per output Simulated and
/// Residual, then its parameters, its states, the revision in force.
#[derive(Debug)]
pub struct Twins {
    /// In config order.
    pub types: Vec<TwinType>,
    /// In config order; indexed by [`TwinId`].
    pub twins: Vec<Twin>,
    /// First series of each twin, and one past the last.
    first_series: Vec<u32>,
}

impl Twins {
    /// Numbers the series.
    #[must_use]
    pub fn new(types: Vec<TwinType>, twins: Vec<Twin>) -> Self {
        let mut next = 0u32;
        let mut first_series: Vec<u32> = Vec::with_capacity(twins.len() + 1);
        for twin in &twins {
            first_series.push(next);
            next += u32::try_from(types[twin.type_index].series_len()).unwrap_or(u32::MAX);
        }
        first_series.push(next);
        Self { types, twins, first_series }
    }

    /// All twins' ids.
    pub fn ids(&self) -> impl Iterator<Item = TwinId> + use<> {
        (0..u32::try_from(self.twins.len()).unwrap_or(u32::MAX)).map(TwinId)
    }

    /// The twin.
    #[must_use]
    pub fn twin(&self, twin: TwinId) -> &Twin {
        &self.twins[twin.index()]
    }

    /// The twin's type.
    #[must_use]
    pub fn type_of(&self, twin: TwinId) -> &TwinType {
        &self.types[self.twins[twin.index()].type_index]
    }

    /// How many series there are in all.
    #[must_use]
    pub fn series_len(&self) -> usize {
        self.first_series.last().map_or(0, |n| *n as usize)
    }

    /// The series of a twin's facet.
    #[must_use]
    pub fn series(&self, twin: TwinId, facet: Facet) -> SeriesId {
        let at = self.type_of(twin).facet_index(facet);
        SeriesId(self.first_series[twin.index()] + u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Whose series it is, and which.
    #[must_use]
    pub fn locate(&self, series: SeriesId) -> (TwinId, Facet) {
        let twin = self.first_series.partition_point(|first| *first <= series.0) - 1;
        let id = TwinId(u32::try_from(twin).unwrap_or(u32::MAX));
        (id, self.type_of(id).facet((series.0 - self.first_series[twin]) as usize))
    }

    /// The stable name of every series, by series: what its history is kept under, and its NodeId's string.
    #[must_use]
    pub fn series_names(&self) -> Vec<String> {
        let name = |series| {
            let (twin, facet) = self.locate(SeriesId(series));
            format!("{}.{}", self.twin(twin).name, self.type_of(twin).facet_path(facet))
        };
        (0..u32::try_from(self.series_len()).unwrap_or(u32::MAX)).map(name).collect()
    }

    /// Whether the series is to be stored.
    #[must_use]
    pub fn historized(&self, series: SeriesId) -> bool {
        let (twin, facet) = self.locate(series);
        match facet {
            Facet::Variable(v) => self.type_of(twin).variables[v].historize,
            _ => true,
        }
    }
}

impl TwinType {
    fn outputs_len(&self) -> usize {
        self.model.as_ref().map_or(0, |m| m.outputs.len())
    }

    fn parameters_len(&self) -> usize {
        self.model.as_ref().map_or(0, |m| m.model.parameters().len())
    }

    fn states_len(&self) -> usize {
        self.model.as_ref().map_or(0, |m| m.model.states().len())
    }

    pub(super) fn series_len(&self) -> usize {
        self.facet_index(Facet::Revision) + usize::from(self.model.is_some())
    }

    pub(super) fn facet_index(&self, facet: Facet) -> usize {
        let variables = self.variables.len();
        match facet {
            Facet::Variable(v) => v,
            Facet::Simulated(k) => variables + 2 * k,
            Facet::Residual(k) => variables + 2 * k + 1,
            Facet::Parameter(p) => variables + 2 * self.outputs_len() + p,
            Facet::State(i) => variables + 2 * self.outputs_len() + self.parameters_len() + i,
            Facet::Revision => self.facet_index(Facet::State(self.states_len())),
        }
    }

    pub(super) fn facet(&self, index: usize) -> Facet {
        let variables = self.variables.len();
        let outputs = 2 * self.outputs_len();
        let parameters = outputs + self.parameters_len();
        match index.checked_sub(variables) {
            None => Facet::Variable(index),
            Some(k) if k == parameters + self.states_len() => Facet::Revision,
            Some(k) if k >= parameters => Facet::State(k - parameters),
            Some(k) if k >= outputs => Facet::Parameter(k - outputs),
            Some(k) if k % 2 == 0 => Facet::Simulated(k / 2),
            Some(k) => Facet::Residual(k / 2),
        }
    }

    /// The facet's path below the twin, joined by dots as in NodeIds.
    #[must_use]
    pub fn facet_path(&self, facet: Facet) -> String {
        let output = |k: usize| self.model.as_ref().map_or("", |m| self.variables[m.outputs[k]].name.as_str());
        match facet {
            Facet::Variable(v) => self.variables[v].name.clone(),
            Facet::Simulated(k) => format!("{}.Simulated", output(k)),
            Facet::Residual(k) => format!("{}.Residual", output(k)),
            Facet::Parameter(p) => {
                let name = self.model.as_ref().map_or("", |m| m.model.parameters()[p].name.as_str());
                format!("Model.Parameters.{name}")
            }
            Facet::State(i) => {
                let name = self.model.as_ref().map_or("", |m| m.model.states()[i].name.as_str());
                format!("Model.States.{name}")
            }
            Facet::Revision => "Model.Revision".to_owned(),
        }
    }
}
