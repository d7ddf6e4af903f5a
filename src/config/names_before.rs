//! `was = "OldName"` on a twin or a variable: which series had which name before.

use std::collections::{HashMap, HashSet};

use super::raw::Item;
use crate::{
    sample::SeriesId,
    twin::{Facet, Twins},
};

/// Old names by new ones, of the twins or of a type's variables.
#[derive(Default)]
pub(super) struct NamesBefore(HashMap<String, String>);

impl NamesBefore {
    /// Of the tables of all twins, or of all variables of a type.
    pub(super) fn of(what: &str, entries: &[(&str, Item<'_>)]) -> Self {
        let names: HashSet<&str> = entries.iter().map(|(name, _)| *name).collect();
        let mut before: HashMap<String, String> = HashMap::new();
        let mut claimed: HashMap<&str, &str> = HashMap::new();
        for (name, item) in entries.iter().filter(|(_, item)| item.is_table()) {
            let Some((item, old)) = item.table().and_then(|t| t.get("was")).and_then(|i| i.text().map(|t| (i, t)))
            else {
                continue;
            };
            if names.contains(old) {
                item.fault(
                    format!("there is still a {what} `{old}`: its history is its own"),
                    format!("remove was, or the {what} `{old}`"),
                );
            } else if let Some(other) = claimed.insert(old, name) {
                item.fault(
                    format!("`{other}` has the history of `{old}` already"),
                    "keep was on the one that goes on with it",
                );
            } else {
                before.insert((*name).to_owned(), old.to_owned());
            }
        }
        Self(before)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Old and new name of every series that may have had another one: under the old name of its twin, of its variable, of both.
/// `variables`: by twin type.
pub(super) fn of_series(twins: &Twins, by_twin: &NamesBefore, variables: &[NamesBefore]) -> Vec<(String, String)> {
    if by_twin.0.is_empty() && variables.iter().all(|names| names.0.is_empty()) {
        return Vec::new();
    }
    let mut renames = Vec::new();
    for (series, new) in (0..).map(SeriesId).zip(twins.series_names()) {
        let (id, facet) = twins.locate(series);
        let (twin, of) = (twins.twin(id), twins.type_of(id));
        let variable = match facet {
            Facet::Variable(v) => Some(v),
            Facet::Simulated(k) | Facet::Residual(k) => of.model.as_ref().map(|model| model.outputs[k]),
            Facet::Parameter(_) | Facet::State(_) | Facet::Revision => None,
        };
        let variable = variable.map(|v| of.variables[v].name.as_str());
        let path = of.facet_path(facet);
        let path_before = variable.and_then(|name| {
            let old = variables.get(twin.type_index)?.get(name)?;
            Some(format!("{old}{}", path.strip_prefix(name)?))
        });
        let twin_before = by_twin.get(&twin.name);
        let mut add = |twin: &str, path: &str| renames.push((format!("{twin}.{path}"), new.clone()));
        if let (Some(twin), Some(path)) = (twin_before, &path_before) {
            add(twin, path);
        }
        if let Some(path) = &path_before {
            add(&twin.name, path);
        }
        if let Some(twin) = twin_before {
            add(twin, &path);
        }
    }
    renames
}
