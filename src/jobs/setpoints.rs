//! `OptimizeSetpoints`: which values of the inputs bring an output to a target, and, with Apply, their way to the PLC. What
//! was applied is watched for a while: where a bound breaks, the old values go back.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{CallError, Jobs, prediction};
use crate::{
    event::{Event, EventType, Source},
    ingest::Standing,
    optimize::{self, Keep, Kept, OptimizeError, SetPoints, Task},
    sample::{Sample, StatusCode, TwinId, Value},
    simulate::Signal,
    twin::{Facet, OptimizeSettings, TwinModel},
};

/// Between two looks at what must be kept.
const LOOK: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Index of the output.
    pub output: usize,
    /// What it should read.
    pub target: f64,
    /// When.
    pub horizon: Duration,
}

/// What to set.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Index of each input that may be moved.
    pub inputs: Vec<usize>,
    /// Their values.
    pub values: Vec<f64>,
    /// ŷ at the horizon with them.
    pub predicted: f64,
    /// The objective.
    pub cost: f64,
    /// Whether they are in the PLC now.
    pub applied: bool,
    /// For people.
    pub message: String,
}

/// Twins whose set-points are watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    twins: Mutex<HashSet<TwinId>>,
    stopping: CancellationToken,
}

impl Watched {
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }

    fn twins(&self) -> MutexGuard<'_, HashSet<TwinId>> {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the watch over a twin however it ends.
struct Claim(Arc<Jobs>, TwinId);

impl Claim {
    fn take(jobs: &Arc<Jobs>, twin: TwinId) -> Result<Self, CallError> {
        if !jobs.watched.twins().insert(twin) {
            let message = "what was applied last is still being watched; a dry run is possible meanwhile";
            return Err(CallError::Unavailable(message.into()));
        }
        Ok(Self(Arc::clone(jobs), twin))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.watched.twins().remove(&self.1);
    }
}

/// An input on its way from one value to another.
#[derive(Clone, Debug)]
struct Moved {
    name: String,
    variable: usize,
    old: f64,
    new: f64,
}

impl Jobs {
    /// Set-points for the goal; with `apply` they are written, unless a bound would break.
    ///
    /// # Errors
    /// A model that does not run, an input without a usable value, a watch that still goes on.
    pub async fn optimize(
        self: &Arc<Self>,
        twin: TwinId,
        goal: Goal,
        apply: bool,
        by: &str,
    ) -> Result<Advice, CallError> {
        let spec = self.model(twin)?;
        let settings = self.state.configured().type_of(twin).optimize.clone();
        let settings = settings.ok_or_else(|| CallError::Internal("nothing may be moved".into()))?;
        let claim = if apply { Some(Claim::take(self, twin)?) } else { None };
        let standing = self.standing(twin).await?;
        let inputs = prediction::inputs(&spec, &standing, &[])?;
        let asked = (settings.clone(), spec.clone(), inputs.clone());
        let found = self.blocking(move |jobs| jobs.search(twin, goal, &standing, &asked)).await?;
        let mut advice = advice(&spec, &settings, &inputs, goal, &found);
        let moved = self.moved(twin, &spec, &settings, &inputs, &found);
        if let (Some(claim), true) = (claim, found.broken.is_empty() && !moved.is_empty()) {
            // On a task of its own: a session that closes meanwhile must not leave half of it written, or unwatched.
            let applied = self.tasks.spawn(carry_out(claim, settings, spec, moved, by.to_owned())).await;
            let said = applied.map_err(|panic| CallError::Internal(panic.to_string()))?;
            advice.applied = said.is_ok();
            advice.message = format!("{}; {}", advice.message, said.unwrap_or_else(|said| said));
        }
        Ok(advice)
    }

    /// On a thread that may compute.
    fn search(
        &self,
        twin: TwinId,
        goal: Goal,
        standing: &Standing,
        (settings, spec, inputs): &(OptimizeSettings, TwinModel, Vec<Signal>),
    ) -> Result<SetPoints, CallError> {
        let theta = self.state.read(twin).parameters.to_vec();
        let task = Task {
            model: &spec.model,
            theta: &theta,
            x: &standing.belief.x,
            start_s: standing.at.seconds_since(standing.origin),
            horizon_s: goal.horizon.as_secs_f64(),
            inputs,
            output: goal.output,
            target: goal.target,
            moves: &settings.moves,
            present: &present(settings, inputs),
            keeps: &settings.keeps,
        };
        let found = optimize::set_points(&task, &spec.solver, &AtomicBool::new(false));
        found.map_err(|error| match error {
            OptimizeError::Simulation(error) => CallError::NoData(error.describe(&spec.model)),
            OptimizeError::OutOfReach { input, present } => {
                let by = &settings.moves[input];
                let name = &spec.model.inputs()[by.input].name;
                CallError::NoData(format!(
                    "{name} stands at {present}, more than {} outside {} to {}: bring it there first",
                    by.max_change, by.min, by.max
                ))
            }
        })
    }

    /// What would have to be written.
    fn moved(
        &self,
        twin: TwinId,
        spec: &TwinModel,
        settings: &OptimizeSettings,
        inputs: &[Signal],
        found: &SetPoints,
    ) -> Vec<Moved> {
        let configured = self.state.configured();
        let variables = &configured.type_of(twin).variables;
        let from_to = settings.moves.iter().zip(present(settings, inputs).into_iter().zip(&found.values));
        from_to
            .filter(|(_, (old, new))| old != *new)
            .map(|(by, (old, &new))| {
                let variable = spec.inputs[by.input];
                Moved { name: variables[variable].name.clone(), variable, old, new }
            })
            .collect()
    }

    /// Until something leaves its bounds; says what.
    async fn until_broken(&self, twin: TwinId, spec: &TwinModel, kept: &[Keep]) -> String {
        loop {
            sleep(LOOK).await;
            for keep in kept {
                if let Some(y) = self.look(twin, spec, keep.of).filter(|y| !within(keep, *y)) {
                    return format!(
                        "{} is at {y}, its bounds are {} to {}",
                        name_of(spec, keep.of),
                        keep.min,
                        keep.max
                    );
                }
            }
        }
    }

    /// The value now: of an output what is measured, of a state what the model says. `None`: not known.
    fn look(&self, twin: TwinId, spec: &TwinModel, of: Kept) -> Option<f64> {
        let facet = match of {
            Kept::Output(output) => Facet::Variable(spec.outputs[output]),
            Kept::State(state) => Facet::State(state),
        };
        self.state.sample(twin, facet).usable()
    }

    fn may_write(&self, twin: TwinId, variable: usize) -> bool {
        let configured = self.state.configured();
        let spec = &configured.type_of(twin).variables[variable];
        spec.derived.is_none() && (configured.twin(twin).sources[variable].is_none() || spec.writable)
    }

    /// Writes a number to the PLC, or to an internal variable.
    async fn set(&self, twin: TwinId, variable: usize, value: f64) -> StatusCode {
        let configured = self.state.configured();
        let typed = configured.type_of(twin).variables[variable].data_type.nearest(value);
        if configured.twin(twin).sources[variable].is_some() {
            return self.write_through(twin, variable, typed).await;
        }
        let sample = Sample { value: typed, ..Sample::good(self.clock.now(), value) };
        match self.write_internal(twin, variable, sample).await {
            Ok(()) => StatusCode::Good,
            Err(_) => StatusCode::BadServerHalted,
        }
    }

    /// The old values; what came of each. What the PLC does not take is tried again for as long as `patience` lasts.
    async fn put_back(&self, twin: TwinId, moved: &[Moved], patience: Duration) -> String {
        let mut statuses = vec![StatusCode::BadNoCommunication; moved.len()];
        let (began, stopping) = (Instant::now(), &self.watched.stopping);
        loop {
            for (step, status) in moved.iter().zip(&mut statuses).filter(|(_, status)| !status.is_good()) {
                *status = self.set(twin, step.variable, step.old).await;
            }
            let is_done = statuses.iter().all(StatusCode::is_good);
            if is_done || began.elapsed() >= patience || stopping.is_cancelled() {
                break;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = stopping.cancelled() => {}
            }
        }
        let said = moved.iter().zip(&statuses).map(|(step, status)| format!("{} {} {status}", step.name, step.old));
        said.collect::<Vec<_>>().join(", ")
    }

    async fn tell_setpoints(
        &self,
        twin: TwinId,
        severity: u16,
        message: String,
        moved: &[Moved],
        value: fn(&Moved) -> f64,
        by: &str,
    ) {
        let source = Source::new(&self.name(twin));
        let event = Event::new(EventType::SetpointEvent, source, self.clock.now(), severity, message)
            .with("Names", Value::strings(moved.iter().map(|step| step.name.as_str())))
            .with("Values", Value::doubles(moved.iter().map(value)))
            .with("By", by);
        self.tell(event).await;
    }

    pub(super) fn name(&self, twin: TwinId) -> String {
        self.state.configured().twin(twin).name.clone()
    }
}

/// Writes one after the other; what has been written goes back if a later one fails. What was done, or why nothing was.
async fn carry_out(
    claim: Claim,
    settings: OptimizeSettings,
    spec: TwinModel,
    moved: Vec<Moved>,
    by: String,
) -> Result<String, String> {
    let (jobs, twin) = (Arc::clone(&claim.0), claim.1);
    if let Some(fixed) = moved.iter().find(|step| !jobs.may_write(twin, step.variable)) {
        return Err(format!("not applied: {} is not writable (writable = true in its variable)", fixed.name));
    }
    // What is beyond its bound already, the search has judged; the watch is over what is kept now.
    let is_kept = |keep: &&Keep| jobs.look(twin, &spec, keep.of).is_none_or(|y| within(keep, y));
    let kept: Vec<Keep> = settings.keeps.iter().filter(is_kept).cloned().collect();
    let mut said = Vec::new();
    for (done, step) in moved.iter().enumerate() {
        let status = jobs.set(twin, step.variable, step.new).await;
        info!(twin = %jobs.name(twin), by, input = step.name, from = step.old, to = step.new, %status, "set-point written");
        said.push(format!("{} {status}", step.name));
        if !status.is_good() {
            // This one too: its value may have arrived although its answer did not.
            let back = jobs.put_back(twin, &moved[..=done], Duration::ZERO).await;
            return Err(format!("not applied: {}; old values written back: {back}", said.join(", ")));
        }
    }
    let message = format!("written: {}; watched for {:?}", said.join(", "), settings.watch);
    jobs.tell_setpoints(twin, 100, message.clone(), &moved, |step| step.new, &by).await;
    jobs.tasks.spawn(watch(claim, settings.watch, kept, spec, moved));
    Ok(message)
}

/// Looks on until the time is over, or a bound breaks: then the old values go back.
async fn watch(claim: Claim, length: Duration, kept: Vec<Keep>, spec: TwinModel, moved: Vec<Moved>) {
    let (jobs, twin) = (&claim.0, claim.1);
    tokio::select! {
        broken = jobs.until_broken(twin, &spec, &kept) => {
            let back = jobs.put_back(twin, &moved, length).await;
            warn!(twin = %jobs.name(twin), broken, back, "a bound broke: the old set-points went back");
            let message = format!("{broken}: the old set-points went back ({back})");
            jobs.tell_setpoints(twin, 700, message, &moved, |step| step.old, "").await;
        }
        () = sleep(length) => info!(twin = %jobs.name(twin), "the set-points kept all bounds while watched"),
        () = jobs.watched.stopping.cancelled() => {
            warn!(twin = %jobs.name(twin), "the program stops: the set-points applied last are not watched any more");
        }
    }
}

/// The value now of each input that may be moved; one that has come and waits for its dead time counts.
fn present(settings: &OptimizeSettings, inputs: &[Signal]) -> Vec<f64> {
    settings.moves.iter().map(|by| inputs[by.input].values.last().copied().unwrap_or(f64::NAN)).collect()
}

fn within(keep: &Keep, y: f64) -> bool {
    (keep.min..=keep.max).contains(&y)
}

fn name_of(spec: &TwinModel, of: Kept) -> &str {
    match of {
        Kept::State(state) => &spec.model.states()[state].name,
        Kept::Output(output) => &spec.model.outputs()[output].name,
    }
}

fn advice(spec: &TwinModel, settings: &OptimizeSettings, inputs: &[Signal], goal: Goal, found: &SetPoints) -> Advice {
    let output = &spec.model.outputs()[goal.output].name;
    let name = |index: usize| spec.model.inputs()[settings.moves[index].input].name.as_str();
    let message = if !found.broken.is_empty() {
        let broken = found.broken.iter().map(|broken| {
            let keep = &settings.keeps[broken.keep];
            let of = name_of(spec, keep.of);
            let bound =
                if broken.value > keep.max { format!("above {}", keep.max) } else { format!("below {}", keep.min) };
            format!("{of} would go to {:.6}, {bound}", broken.value)
        });
        format!("nothing is moved: whatever is set, {}", broken.collect::<Vec<_>>().join(", "))
    } else if !found.has_effect {
        format!("nothing that may be moved has an effect on {output} within this horizon (a dead time? a saturation?)")
    } else {
        let from_to = present(settings, inputs).into_iter().zip(&found.values).enumerate();
        let moved = from_to.filter(|(_, (old, new))| old != *new);
        let moved: Vec<_> = moved.map(|(i, (old, new))| format!("{} from {old:.6} to {new:.6}", name(i))).collect();
        let moved = if moved.is_empty() { "nothing is to be moved".to_owned() } else { moved.join(", ") };
        format!("{moved}; {output} would reach {:.6}, unmoved {:.6}", found.predicted, found.unmoved)
    };
    Advice {
        inputs: settings.moves.iter().map(|by| by.input).collect(),
        values: found.values.clone(),
        predicted: found.predicted,
        cost: found.cost,
        applied: false,
        message,
    }
}
