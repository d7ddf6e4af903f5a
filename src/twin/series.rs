//! The numbering of everything that is stored: twin by twin, facet by facet.

use std::collections::HashMap;

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
///
/// A config that is loaded while the service runs makes a successor. In it nobody's number means anybody else: what is as
/// it was keeps its number, what has changed or is new gets one behind all others, and what is gone leaves its own unused. A
/// series is known by its name: it keeps its number however its twin has changed.
#[derive(Clone, Debug)]
pub struct Twins {
    /// Indexed by [`Twin::type_index`]; those of earlier configs too.
    pub types: Vec<TwinType>,
    /// Indexed by [`TwinId`]; those of earlier configs too.
    pub twins: Vec<Twin>,
    /// Those that are there, in config order.
    present: Vec<TwinId>,
    present_types: Vec<usize>,
    /// By twin, whether it is one of `present`.
    is_there: Vec<bool>,
    /// Where each twin's series begin in `series`, and one past the last.
    first_series: Vec<u32>,
    /// Twin by twin, facet by facet.
    series: Vec<SeriesId>,
    /// Whose each series is, and which of its facets.
    owners: Vec<(TwinId, u32)>,
}

/// What a config makes of the one before.
#[derive(Clone, Debug)]
pub struct Succession {
    /// From now on.
    pub twins: Twins,
    /// New, or another than before under the same name.
    pub begun: Vec<TwinId>,
    /// Not there any more, or another now.
    pub ended: Vec<TwinId>,
    /// Names of the series that nobody had before, in the order of their numbers.
    pub new_series: Vec<String>,
}

impl Twins {
    /// Numbers the series.
    #[must_use]
    pub fn new(types: Vec<TwinType>, twins: Vec<Twin>) -> Self {
        let nothing = Self {
            types: Vec::new(),
            twins: Vec::new(),
            present: Vec::new(),
            present_types: Vec::new(),
            is_there: Vec::new(),
            first_series: vec![0],
            series: Vec::new(),
            owners: Vec::new(),
        };
        nothing.succeeded_by(types, twins).twins
    }

    /// Another config takes the place of this one. Its twins' PLCs are numbered as this one's.
    #[must_use]
    pub fn succeeded_by(&self, types: Vec<TwinType>, twins: Vec<Twin>) -> Succession {
        let mut next = self.clone();
        let known: HashMap<&str, usize> =
            self.present_types.iter().map(|t| (self.types[*t].name.as_str(), *t)).collect();
        next.present_types.clear();
        for twin_type in types {
            match known.get(twin_type.name.as_str()) {
                Some(t) if self.types[*t] == twin_type => next.present_types.push(*t),
                _ => {
                    next.present_types.push(next.types.len());
                    next.types.push(twin_type);
                }
            }
        }
        let known: HashMap<&str, TwinId> =
            self.present.iter().map(|twin| (self.twin(*twin).name.as_str(), *twin)).collect();
        let mut numbers: HashMap<String, SeriesId> =
            (0..).map(SeriesId).zip(self.series_names()).map(|(id, name)| (name, id)).collect();
        let (mut begun, mut new_series) = (Vec::new(), Vec::new());
        next.present.clear();
        for twin in twins {
            let twin = Twin { type_index: next.present_types[twin.type_index], ..twin };
            match known.get(twin.name.as_str()) {
                Some(id) if *self.twin(*id) == twin => next.present.push(*id),
                _ => {
                    let id = next.begin(twin, &mut numbers, &mut new_series);
                    next.present.push(id);
                    begun.push(id);
                }
            }
        }
        next.is_there = vec![false; next.twins.len()];
        next.present.iter().for_each(|twin| next.is_there[twin.index()] = true);
        let ended = self.ids().filter(|twin| !next.is_there(*twin)).collect();
        Succession { twins: next, begun, ended, new_series }
    }

    /// Takes in a twin; its series' numbers are those of their names, if these have any.
    fn begin(&mut self, twin: Twin, numbers: &mut HashMap<String, SeriesId>, new: &mut Vec<String>) -> TwinId {
        let id = TwinId(u32::try_from(self.twins.len()).unwrap_or(u32::MAX));
        let twin_type = &self.types[twin.type_index];
        for facet in 0..twin_type.series_len() {
            let name = format!("{}.{}", twin.name, twin_type.facet_path(twin_type.facet(facet)));
            let series = *numbers.entry(name).or_insert_with_key(|name| {
                new.push(name.clone());
                self.owners.push((id, 0));
                SeriesId(u32::try_from(self.owners.len() - 1).unwrap_or(u32::MAX))
            });
            self.owners[series.index()] = (id, u32::try_from(facet).unwrap_or(u32::MAX));
            self.series.push(series);
        }
        self.first_series.push(u32::try_from(self.series.len()).unwrap_or(u32::MAX));
        self.twins.push(twin);
        id
    }

    /// The twins that are there, in config order.
    pub fn ids(&self) -> impl Iterator<Item = TwinId> + use<'_> {
        self.present.iter().copied()
    }

    /// Whether the same twins and types are there, in the same order.
    #[must_use]
    pub fn is_shown_as(&self, other: &Self) -> bool {
        self.present == other.present && self.present_types == other.present_types
    }

    /// Whether the twin is there.
    #[must_use]
    pub fn is_there(&self, twin: TwinId) -> bool {
        self.is_there.get(twin.index()).copied().unwrap_or(false)
    }

    /// How many twins are there.
    #[must_use]
    pub fn count(&self) -> usize {
        self.present.len()
    }

    /// The `i`th twin that is there, in config order.
    #[must_use]
    pub fn nth(&self, i: usize) -> Option<TwinId> {
        self.present.get(i).copied()
    }

    /// The types that are there, by index, in config order.
    #[must_use]
    pub fn type_indices(&self) -> &[usize] {
        &self.present_types
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

    /// How many series have a number.
    #[must_use]
    pub fn series_len(&self) -> usize {
        self.owners.len()
    }

    /// The series of a twin's facet.
    #[must_use]
    pub fn series(&self, twin: TwinId, facet: Facet) -> SeriesId {
        self.series[self.first_series[twin.index()] as usize + self.type_of(twin).facet_index(facet)]
    }

    /// All series of a twin.
    #[must_use]
    pub fn series_of(&self, twin: TwinId) -> &[SeriesId] {
        &self.series[self.first_series[twin.index()] as usize..self.first_series[twin.index() + 1] as usize]
    }

    /// The names of a twin's series, in facet order.
    pub fn names_of(&self, twin: TwinId) -> impl Iterator<Item = String> + use<'_> {
        let (of, twin_type) = (self.twin(twin), self.type_of(twin));
        let path = |facet| twin_type.facet_path(twin_type.facet(facet));
        (0..twin_type.series_len()).map(move |facet| format!("{}.{}", of.name, path(facet)))
    }

    /// Whose series it is, and which; of one that is gone, whose it was.
    #[must_use]
    pub fn locate(&self, series: SeriesId) -> (TwinId, Facet) {
        let (twin, facet) = self.owners[series.index()];
        (twin, self.type_of(twin).facet(facet as usize))
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
