//! Every set of parameters that a twin's model has had, and which is in force: who made it, when, why, from what. Kept as
//! documents beside the history of `Model.Revision`, durable before anyone is told, never deleted. A fit's revision holds all
//! that it takes to do the fit again, bit for bit: the data's time and number, first start, free parameters, seed, options; the model itself
//! is the one of the fingerprint.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    fit::FitReport,
    history::{Direction, Document, HistoryError, SharedStore},
    model::Model,
    sample::{SeriesId, TwinId},
    simulate::Options,
    time::Timestamp,
    twin::{Facet, FitState, InForce, LastFit, Twins},
};

/// Documents read at a time.
const PAGE: usize = 16;

/// One set of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// From 1, without gaps.
    pub number: u32,
    /// By whom; empty: by the service itself.
    pub by: String,
    /// Why.
    pub origin: Origin,
    /// The model's [fingerprint](Model::fingerprint), and its equations as they were.
    pub model: (u64, String),
    /// Every parameter of the model, by name.
    pub parameters: Vec<(String, f64)>,
}

/// Where parameters come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Origin {
    /// The config.
    Configured,
    /// The revision before, taken over into a model that has changed.
    Carried,
    /// Somebody gave them.
    Set,
    /// A fit.
    Fitted(Box<Fitted>),
}

/// How a fit came to its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// Ticks of the first and last instant of the data.
    pub times: (i64, i64),
    /// θ of the first start, in the order of the parameters.
    pub from: Vec<f64>,
    /// Starts.
    pub starts: usize,
    /// Of the starts' places.
    pub seed: u64,
    /// Whether σ were taken as known.
    pub absolute_sigma: bool,
    /// Ticks of the ends of every stretch of history that was read.
    #[serde(default)]
    pub windows: Vec<(i64, i64)>,
    /// Which measurements took part; `None`: all.
    #[serde(default)]
    pub when: Option<String>,
    /// What an Uncertain one weighed.
    #[serde(default)]
    pub uncertain: Option<f64>,
    /// Seconds at the end that were held out.
    #[serde(default)]
    pub validate_s: Option<f64>,
    /// How the model was integrated.
    #[serde(default)]
    pub solver: Option<Options>,
    /// The program's version.
    pub program: String,
    /// Ticks of its end.
    pub finished_at: i64,
    /// Seconds that it took.
    pub duration_s: f64,
    /// What it found, written out: a later program may know other figures, and the parameters must not hang on that.
    pub report: ciborium::Value,
}

impl Fitted {
    /// The report as it is kept.
    #[must_use]
    pub fn written(report: &FitReport) -> ciborium::Value {
        ciborium::Value::serialized(report).unwrap_or(ciborium::Value::Null)
    }

    /// What was found, if this program can read it.
    #[must_use]
    pub fn report(&self) -> Option<Arc<FitReport>> {
        self.report.deserialized().ok().map(Arc::new)
    }
}

/// A document: what is new, and what is in force from then on.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Revisions there are with this one.
    revisions: u32,
    revision: Option<Revision>,
    /// Put in force, by whom.
    activated: Option<(u32, String)>,
}

/// Why a revision cannot be put in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevisionError {
    /// None has this number.
    #[error("there is no revision {0}")]
    Unknown(u32),
    /// The model has other parameters now, or other bounds.
    #[error("revision {0} is of a model with other parameters or bounds")]
    OtherModel(u32),
    /// It cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What the next document of a twin needs to know of those before.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    revisions: u32,
    /// The last one's time: a clock may be set back, and their order must stay.
    at: Timestamp,
}

/// What a twin goes on with after a start.
#[derive(Debug)]
pub struct Restored {
    /// Which.
    pub twin: TwinId,
    /// Its parameters.
    pub in_force: InForce,
    /// The fit that found them.
    pub last_fit: LastFit,
    /// Where its model stood last: x at an instant.
    pub stood: Option<(Timestamp, Vec<f64>)>,
}

impl Restored {
    /// Where its model stood, by its number.
    #[must_use]
    pub fn standing(&self) -> Option<(TwinId, (Timestamp, Vec<f64>))> {
        Some((self.twin, self.stood.clone()?))
    }
}

/// The revisions of all twins. Its methods block on the disk.
pub struct Revisions {
    store: SharedStore,
    twins: ArcSwap<Twins>,
    books: Mutex<HashMap<TwinId, Book>>,
}

impl Revisions {
    /// Reads what is in force, and brings the record up to the config: its values are revision 1, and the next one after
    /// they were changed while they are in force; a changed model takes over the values whose names and bounds still fit.
    ///
    /// # Errors
    /// If history cannot be read or written.
    pub fn open(store: SharedStore, twins: Arc<Twins>, now: Timestamp) -> Result<(Self, Vec<Restored>), HistoryError> {
        let revisions = Self { store, twins: ArcSwap::new(Arc::clone(&twins)), books: Mutex::default() };
        let restored = revisions.restore(&twins.ids().collect::<Vec<_>>(), now)?;
        Ok((revisions, restored))
    }

    /// The same for those who are new in another config. Until then no revision of whoever had their names may be made.
    ///
    /// # Errors
    /// If history cannot be read or written.
    pub fn succeed(&self, twins: Arc<Twins>, begun: &[TwinId], now: Timestamp) -> Result<Vec<Restored>, HistoryError> {
        let before = self.twins.swap(twins);
        self.restore(begun, now).inspect_err(|_| self.twins.store(before))
    }

    fn restore(&self, of: &[TwinId], now: Timestamp) -> Result<Vec<Restored>, HistoryError> {
        let (mut restored, mut new) = (Vec::new(), Vec::new());
        let twins = self.twins.load_full();
        for twin in of.iter().copied() {
            let Some(model) = self.model(twin) else { continue };
            let model = &*model;
            let (mut book, found) = self.newest(twin)?;
            let configured = &twins.twin(twin).parameters;
            let revision = match found {
                Some(found) if found.still_holds(model, configured) => found,
                before => {
                    let (origin, values) = match &before {
                        Some(before) if before.origin != Origin::Configured => {
                            (Origin::Carried, before.carried(model, configured))
                        }
                        _ => (Origin::Configured, configured.clone()),
                    };
                    let revision = Revision::new(book.revisions + 1, "", origin, model, &values);
                    new.push(self.document(twin, &mut book, now, &Entry::new(&revision, true)));
                    revision
                }
            };
            self.books().insert(twin, book);
            let last_fit = revision.last_fit();
            let stood = self.stood(twin, model)?;
            restored.push(Restored { twin, in_force: revision.in_force(model), last_fit, stood });
        }
        if !new.is_empty() {
            self.store.keep(&new)?;
        }
        Ok(restored)
    }

    /// Keeps a new revision, and that it is in force if it is. Answers its number.
    ///
    /// # Errors
    /// If it cannot be written: then nothing is changed.
    pub fn add(
        &self,
        twin: TwinId,
        now: Timestamp,
        by: &str,
        (origin, values): (Origin, &[f64]),
        is_in_force: bool,
    ) -> Result<u32, HistoryError> {
        let Some(model) = self.model(twin) else { return Ok(0) };
        let mut books = self.books();
        let mut book = books.get(&twin).copied().unwrap_or_default();
        let revision = Revision::new(book.revisions + 1, by, origin, &model, values);
        let document = self.document(twin, &mut book, now, &Entry::new(&revision, is_in_force));
        self.store.keep(&[document])?;
        books.insert(twin, book);
        Ok(revision.number)
    }

    /// Keeps that a revision is in force, and gives it.
    ///
    /// # Errors
    /// See [`RevisionError`]; then nothing is changed.
    pub fn activate(&self, twin: TwinId, now: Timestamp, by: &str, number: u32) -> Result<InForce, RevisionError> {
        let model = self.model(twin).ok_or(RevisionError::Unknown(number))?;
        let mut books = self.books();
        let mut book = books.get(&twin).copied().unwrap_or_default();
        let revision = self.find(twin, number)?.ok_or(RevisionError::Unknown(number))?;
        if !revision.fits(&model) {
            return Err(RevisionError::OtherModel(number));
        }
        let entry = Entry { revisions: book.revisions, revision: None, activated: Some((number, by.to_owned())) };
        let document = self.document(twin, &mut book, now, &entry);
        self.store.keep(&[document])?;
        books.insert(twin, book);
        Ok(revision.in_force(&model))
    }

    /// All of a twin, oldest first.
    ///
    /// # Errors
    /// If history cannot be read.
    pub fn all(&self, twin: TwinId) -> Result<Vec<Revision>, HistoryError> {
        let mut all = Vec::new();
        self.walk(twin, |_, entry| {
            all.extend(entry.and_then(|entry| entry.revision));
            true
        })?;
        all.reverse();
        Ok(all)
    }

    fn stood(&self, twin: TwinId, model: &Model) -> Result<Option<(Timestamp, Vec<f64>)>, HistoryError> {
        let ever = Timestamp::from_ticks(i64::MIN)..Timestamp::MAX;
        let (mut stood, mut x) = (None, Vec::new());
        for state in 0..model.states().len() {
            let series = self.twins.load().series(twin, Facet::State(state));
            let last = self.store.read(series, ever.clone(), Direction::Backward, 1)?;
            let last = last.first().and_then(|last| Some((last.source_timestamp, last.usable()?)));
            // All of one instant, or they are no state.
            let Some((at, value)) = last.filter(|(at, _)| stood.is_none_or(|stood| stood == *at)) else {
                return Ok(None);
            };
            stood = Some(at);
            x.push(value);
        }
        Ok(stood.map(|at| (at, x)))
    }

    fn find(&self, twin: TwinId, number: u32) -> Result<Option<Revision>, HistoryError> {
        let mut found = None;
        self.walk(twin, |_, entry| {
            found = entry.and_then(|entry| entry.revision).filter(|revision| revision.number == number);
            found.is_none()
        })?;
        Ok(found)
    }

    /// The book, and the revision in force.
    fn newest(&self, twin: TwinId) -> Result<(Book, Option<Revision>), HistoryError> {
        let (mut book, mut lost, mut wanted, mut found) = (None, 0, None, None);
        self.walk(twin, |at, entry| {
            let Some(entry) = entry else {
                lost += 1; // it may have been a revision: its number is not given again
                return true;
            };
            let book = book.get_or_insert(Book { revisions: entry.revisions + lost, at });
            book.at = book.at.max(at);
            wanted = wanted.or(entry.activated.map(|(number, _)| number));
            found = entry.revision.filter(|revision| Some(revision.number) == wanted);
            found.is_none()
        })?;
        Ok((book.unwrap_or(Book { revisions: lost, at: Timestamp::NULL }), found))
    }

    /// Shows a twin's documents to `look`, newest first, while it says so; `None` is one that cannot be read.
    fn walk(&self, twin: TwinId, mut look: impl FnMut(Timestamp, Option<Entry>) -> bool) -> Result<(), HistoryError> {
        let mut seen = 0;
        loop {
            let page = self.store.documents(self.series(twin), Direction::Backward, seen, PAGE)?;
            for document in &page {
                let entry = ciborium::from_reader(document.body.as_slice());
                let entry = entry.map_err(|error| {
                    warn!(twin = %self.twins.load().twin(twin).name, at = %document.at, %error, "a parameter revision is lost");
                });
                if !look(document.at, entry.ok()) {
                    return Ok(());
                }
            }
            if page.len() < PAGE {
                return Ok(());
            }
            seen += page.len();
        }
    }

    fn document(&self, twin: TwinId, book: &mut Book, now: Timestamp, entry: &Entry) -> (SeriesId, Document) {
        let mut body = Vec::new();
        ciborium::into_writer(entry, &mut body).expect("numbers and texts are written to memory");
        *book = Book { revisions: entry.revisions, at: now.max(book.at.next()) };
        (self.series(twin), Document::new(book.at, body))
    }

    fn series(&self, twin: TwinId) -> SeriesId {
        self.twins.load().series(twin, Facet::Revision)
    }

    fn model(&self, twin: TwinId) -> Option<Arc<Model>> {
        self.twins.load().type_of(twin).model.as_ref().map(|spec| Arc::clone(&spec.model))
    }

    fn books(&self) -> MutexGuard<'_, HashMap<TwinId, Book>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(revision: &Revision, is_in_force: bool) -> Self {
        Self {
            revisions: revision.number,
            activated: is_in_force.then(|| (revision.number, revision.by.clone())),
            revision: Some(revision.clone()),
        }
    }
}

impl Revision {
    fn new(number: u32, by: &str, origin: Origin, model: &Model, values: &[f64]) -> Self {
        let names = model.parameters().iter().map(|parameter| parameter.name.clone());
        Self {
            number,
            by: by.to_owned(),
            origin,
            model: (model.fingerprint(), model.equations_text()),
            parameters: names.zip(values.iter().copied()).collect(),
        }
    }

    /// Whether it goes on being in force under the model and the values of the config.
    fn still_holds(&self, model: &Model, configured: &[f64]) -> bool {
        let is_as_configured = || self.parameters.iter().map(|(_, value)| value).eq(configured);
        self.model.0 == model.fingerprint() && (self.origin != Origin::Configured || is_as_configured())
    }

    /// Whether it has a value within bounds for every parameter, and no other.
    fn fits(&self, model: &Model) -> bool {
        self.parameters.len() == model.parameters().len()
            && self.parameters.iter().zip(model.parameters()).all(|((name, value), parameter)| {
                *name == parameter.name && (parameter.min..=parameter.max).contains(value)
            })
    }

    /// Its values for another model; those of the config where there is none, or none within bounds.
    fn carried(&self, model: &Model, configured: &[f64]) -> Vec<f64> {
        let known = |name: &str| self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        let carried = model.parameters().iter().zip(configured).map(|(parameter, configured)| {
            known(&parameter.name).filter(|x| (parameter.min..=parameter.max).contains(x)).unwrap_or(*configured)
        });
        carried.collect()
    }

    /// How it was found, if it was a fit that did; none otherwise.
    fn last_fit(&self) -> LastFit {
        let Origin::Fitted(fitted) = &self.origin else { return LastFit::default() };
        let Some(report) = fitted.report() else { return LastFit::default() };
        let [start, end, finished_at] = [fitted.times.0, fitted.times.1, fitted.finished_at].map(Timestamp::from_ticks);
        LastFit {
            state: FitState::Completed,
            message: format!("in force as revision {}; {}", self.number, report.message),
            start,
            end,
            finished_at,
            duration_s: fitted.duration_s,
            revision: self.number,
            report: Some(report),
        }
    }

    fn in_force(self, model: &Model) -> InForce {
        let basis = match self.origin {
            // Its numbers are by place: of another model they say nothing.
            Origin::Fitted(fitted) if self.model.0 == model.fingerprint() => fitted.report(),
            _ => None,
        };
        let values = self.parameters.iter().map(|(_, value)| *value).collect();
        InForce { revision: self.number, values, basis }
    }
}
