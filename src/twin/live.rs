//! How each twin stands now. One writer, the ingest stage, and many readers, a short lock per twin between them.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use arc_swap::ArcSwap;

use super::{Facet, Succession, TwinType, Twins, Variable};
use crate::{
    alarm::{Condition, certificate_kind},
    event::{Event, EventType},
    fit::FitReport,
    program::Program,
    sample::{Sample, StatusCode, TwinId, Value},
    statistics::{Rolling, correlation::Joint},
    time::Timestamp,
};

/// The parameters in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Their revision.
    pub revision: u32,
    /// By parameter.
    pub values: Box<[f64]>,
    /// The fit that found them.
    pub basis: Option<Arc<FitReport>>,
}

/// How the last fit of a twin stands.
#[derive(Clone, Debug, Default)]
pub struct LastFit {
    /// Where it is.
    pub state: FitState,
    /// What to know about it, in a sentence or two.
    pub message: String,
    /// Start of the data it used.
    pub start: Timestamp,
    /// End of the data it used.
    pub end: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// How long it took, seconds.
    pub duration_s: f64,
    /// In force when it ended.
    pub revision: u32,
    /// Its figures, once there are any.
    pub report: Option<Arc<FitReport>>,
}

/// Where a fit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FitState {
    /// There was none.
    #[default]
    None,
    /// At work.
    Running,
    /// Done; whether its parameters are in force, the message says.
    Completed,
    /// Could not be done; the message says why.
    Failed,
    /// Ended by CancelFit or shutdown.
    Cancelled,
}

impl FitState {
    /// As the node and the method show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}

/// One twin's present.
#[derive(Debug)]
pub struct TwinLive {
    /// Latest sample per series of the twin, in facet order.
    samples: Box<[Sample]>,
    /// Per variable; `None`: neither numeric nor discrete.
    pub statistics: Box<[Option<Rolling>]>,
    /// Of those that the matrix is of, in its order.
    pub joint: Option<Joint>,
    /// When their collection began: at the last reset, at the lot's begin, or as far back as history filled them.
    pub statistics_since: Timestamp,
    /// Of the parameters in force; 1 is the config's.
    pub revision: u32,
    /// Parameters in force, by parameter.
    pub parameters: Box<[f64]>,
    /// The report behind the parameters in force, where a fit made them.
    pub basis: Option<Arc<FitReport>>,
    /// The last fit, in force or not.
    pub last_fit: LastFit,
    /// The same as a program (OPC 10000-10), from the start of the server on.
    pub program: Program,
    /// In the order of [`TwinType::conditions`].
    pub conditions: Box<[Condition]>,
}

/// Every twin's present. (Not called "state": that is x.)
#[derive(Debug)]
pub struct TwinState {
    configured: ArcSwap<Twins>,
    /// By twin. What is there stays where it is: readers hold on to it while others come.
    live: boxcar::Vec<RwLock<TwinLive>>,
    /// That our own certificate ends.
    certificate: RwLock<Condition>,
}

impl TwinState {
    /// Before the first sample: Bad_WaitingForInitialData everywhere, parameters as configured.
    #[must_use]
    pub fn new(configured: Arc<Twins>, now: Timestamp) -> Self {
        let live = boxcar::Vec::with_capacity(configured.twins.len());
        configured.ids().for_each(|id| _ = live.push(RwLock::new(TwinLive::new(&configured, id, now))));
        let certificate = RwLock::new(Condition::new(Arc::new(certificate_kind()), now));
        Self { configured: ArcSwap::new(configured), live, certificate }
    }

    /// The same, with the parameters that were in force when the program ended.
    #[must_use]
    pub fn restored(
        configured: Arc<Twins>,
        now: Timestamp,
        restored: impl IntoIterator<Item = (TwinId, InForce, LastFit)>,
    ) -> Self {
        let state = Self::new(configured, now);
        state.restore(restored);
        state
    }

    fn restore(&self, restored: impl IntoIterator<Item = (TwinId, InForce, LastFit)>) {
        for (twin, in_force, last_fit) in restored {
            let mut live = self.write(twin);
            live.put_in_force(in_force);
            live.last_fit = last_fit;
        }
    }

    /// Another config: those who are new begin as they would at a start; those who are gone give back their windows.
    pub fn succeed(
        &self,
        succession: &Succession,
        now: Timestamp,
        restored: impl IntoIterator<Item = (TwinId, InForce, LastFit)>,
        conditions: impl IntoIterator<Item = Event>,
    ) {
        for twin in &succession.begun {
            self.live.push(RwLock::new(TwinLive::new(&succession.twins, *twin, now)));
        }
        self.restore(restored);
        self.restore_conditions_of(&succession.begun, conditions);
        self.configured.store(Arc::new(succession.twins.clone()));
        for twin in &succession.ended {
            let mut live = self.write(*twin);
            live.statistics.fill_with(|| None);
            live.joint = None;
        }
    }

    /// Conditions as they stood when the program ended, by the newest event of each. Those of other ids are not there any more.
    pub fn restore_conditions(&self, newest: impl IntoIterator<Item = Event>) {
        let (own, newest): (Vec<_>, Vec<_>) =
            newest.into_iter().partition(|event| event.kind == EventType::CertificateExpirationAlarm);
        if let Some(event) = own.into_iter().next() {
            self.write_certificate().restore(Arc::new(event));
        }
        let twins: Vec<TwinId> = self.configured().ids().collect();
        self.restore_conditions_of(&twins, newest);
    }

    fn restore_conditions_of(&self, twins: &[TwinId], newest: impl IntoIterator<Item = Event>) {
        let by_id = |event: Event| match event.field("ConditionId") {
            Some(Value::String(id)) => Some((Arc::clone(id), event)),
            _ => None,
        };
        let mut newest: HashMap<_, _> = newest.into_iter().filter_map(by_id).collect();
        if newest.is_empty() {
            return;
        }
        for twin in twins {
            for condition in &mut self.write(*twin).conditions {
                if let Some(event) = newest.remove(&condition.kind().id) {
                    condition.restore(Arc::new(event));
                }
            }
        }
    }

    /// What is configured now.
    #[must_use]
    pub fn configured(&self) -> Arc<Twins> {
        self.configured.load_full()
    }

    /// For readers; keep it short.
    ///
    /// # Panics
    /// Never: a writer that panicked leaves values that are still values, so poison is ignored.
    pub fn read(&self, twin: TwinId) -> RwLockReadGuard<'_, TwinLive> {
        self.live[twin.index()].read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// For the ingest stage alone.
    pub fn write(&self, twin: TwinId) -> RwLockWriteGuard<'_, TwinLive> {
        self.live[twin.index()].write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The condition of our own certificate, for readers.
    pub fn read_certificate(&self) -> RwLockReadGuard<'_, Condition> {
        self.certificate.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// For the ingest stage alone.
    pub fn write_certificate(&self) -> RwLockWriteGuard<'_, Condition> {
        self.certificate.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The latest sample of a series.
    #[must_use]
    pub fn sample(&self, twin: TwinId, facet: Facet) -> Sample {
        self.read(twin).samples[self.configured.load().type_of(twin).facet_index(facet)].clone()
    }
}

impl TwinLive {
    fn new(configured: &Twins, id: TwinId, now: Timestamp) -> Self {
        let (twin, twin_type) = (configured.twin(id), configured.type_of(id));
        let waiting = Sample::bad(now, StatusCode::BadWaitingForInitialData);
        let mut samples = vec![waiting; twin_type.series_len()];
        for (p, value) in twin.parameters.iter().enumerate() {
            samples[twin_type.facet_index(Facet::Parameter(p))] =
                Sample { value: Value::Double(*value), ..Sample::good(now, *value) };
        }
        let rolling = |v: &Variable| v.has_statistics().then(|| v.rolling());
        Self {
            samples: samples.into(),
            statistics: twin_type.variables.iter().map(rolling).collect(),
            joint: twin_type.joint(),
            statistics_since: now,
            revision: 1,
            parameters: twin.parameters.clone().into(),
            basis: None,
            last_fit: LastFit::default(),
            program: Program::default(),
            conditions: twin_type
                .conditions()
                .into_iter()
                .map(|condition| Condition::new(Arc::new(twin_type.condition_kind(&twin.name, condition)), now))
                .collect(),
        }
    }

    /// The parameters from now on; gives those before.
    pub fn put_in_force(&mut self, InForce { revision, values, basis }: InForce) -> Box<[f64]> {
        self.revision = revision;
        self.basis = basis;
        std::mem::replace(&mut self.parameters, values)
    }

    /// The latest sample of a facet.
    #[must_use]
    pub fn sample(&self, twin_type: &TwinType, facet: Facet) -> &Sample {
        &self.samples[twin_type.facet_index(facet)]
    }

    /// Replaces it.
    pub fn set_sample(&mut self, twin_type: &TwinType, facet: Facet, sample: Sample) {
        self.samples[twin_type.facet_index(facet)] = sample;
    }
}
