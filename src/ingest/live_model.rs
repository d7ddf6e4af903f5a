//! One twin's model beside its device. State x is carried from measurement to measurement under the inputs as they came; ŷ
//! and the residual stand at the measurement's own SourceTimestamp, no better than the worst input: one that has been silent for
//! longer than its `max_gap` is Uncertain, for its last value may be past. Without an observer x
//! runs free; with one each Good measurement corrects it, after ŷ was told: the one-step prediction ŷ(t|t⁻).

use std::{collections::VecDeque, time::Duration};

use crate::{
    model::Model,
    sample::{Sample, StatusCode, TwinId, Value, worse},
    simulate::{self, Belief, Expected, Stepper},
    time::Timestamp,
    twin::{Facet, Observer, TwinModel, Twins},
};

/// Working memory of live models: one for each twin type.
pub(super) struct Tools {
    stepper: Stepper,
    observer: simulate::Observer,
}

impl Tools {
    pub(super) fn new(model: &Model) -> Self {
        Self { stepper: Stepper::new(model), observer: simulate::Observer::new(model) }
    }
}

/// Input changes that may wait for a measurement (or for their dead time); beyond, the oldest is worked off at once.
const KNOTS_MAX: usize = 4096;
/// Longest stretch that is integrated in one go; after a longer silence the model starts anew from history.
const STRETCH_MAX_S: f64 = 3600.0;

/// An input's value from an instant on.
#[derive(Clone, Copy, Debug)]
struct Knot {
    at: Timestamp,
    input: usize,
    value: f64,
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct LiveModel {
    /// x at `at`, empty until every input has had a value; without an observer without its covariance.
    belief: Belief,
    /// Every output as expected at `at` before any measurement of that instant, and whether that is known.
    expected: (Vec<Expected>, bool),
    /// Instant of `belief` and zero of the equations' `t` for it.
    at: Timestamp,
    origin: Timestamp,
    u: Vec<f64>,
    /// Of each input's latest sample.
    statuses: Vec<StatusCode>,
    /// Until when each input was last vouched for.
    vouched: Vec<Timestamp>,
    knots: VecDeque<Knot>,
    /// When each output was last simulated.
    simulated: Vec<Timestamp>,
    period: Duration,
    warm_start: Option<Timestamp>,
}

/// Where a live model stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// x; its covariance is empty without an observer.
    pub belief: Belief,
    /// When.
    pub at: Timestamp,
    /// Zero of the equations' `t`.
    pub origin: Timestamp,
    /// The inputs in effect.
    pub u: Vec<f64>,
    /// Of each input's latest sample.
    pub statuses: Vec<StatusCode>,
    /// Dead time of each input, seconds.
    pub delays_s: Vec<f64>,
    /// Inputs that have come and take effect later: when, which, value; in order.
    pub knots: Vec<(Timestamp, usize, f64)>,
}

impl LiveModel {
    /// `None`: it does not run yet.
    pub(super) fn standing(&self, model: &Model, theta: &[f64]) -> Option<Standing> {
        let runs = !self.at.is_null() && self.u.iter().all(|u| u.is_finite());
        runs.then(|| Standing {
            belief: self.belief.clone(),
            at: self.at,
            origin: self.origin,
            u: self.u.clone(),
            statuses: self.statuses.clone(),
            delays_s: (0..self.u.len()).map(|input| model.delay_s(input, theta)).collect(),
            knots: self.knots.iter().map(|knot| (knot.at, knot.input, knot.value)).collect(),
        })
    }

    /// The twin's model before any sample; `None`: it has none.
    pub(super) fn new(configured: &Twins, twin: TwinId) -> Option<Self> {
        let spec = configured.type_of(twin).model.as_ref()?;
        Some(Self {
            belief: Belief::default(),
            expected: (Vec::new(), false),
            at: Timestamp::NULL,
            origin: Timestamp::NULL,
            u: vec![f64::NAN; spec.inputs.len()],
            statuses: vec![StatusCode::BadWaitingForInitialData; spec.inputs.len()],
            vouched: vec![Timestamp::NULL; spec.inputs.len()],
            knots: VecDeque::new(),
            simulated: vec![Timestamp::NULL; spec.outputs.len()],
            period: spec.period,
            warm_start: None,
        })
    }

    /// Goes on from state `x` at `at`, if that fits the model. How well it is known, nobody said: as badly as if it had
    /// drifted for as long as a fit looks back.
    pub(super) fn restart(&mut self, spec: &TwinModel, at: Timestamp, x: Vec<f64>) {
        if x.iter().all(|x| x.is_finite()) {
            self.belief = match spec.observer {
                Observer::None => Belief { x, p: Vec::new() },
                Observer::Ekf => Belief::after(&spec.model, x, spec.fit.window.as_secs_f64()),
            };
            self.expected.1 = false;
            self.at = at;
            self.origin = at;
            self.knots.retain(|knot| knot.at > at);
        }
    }

    /// The past will be worth a start from history at `at`; a later call moves it on.
    pub(super) const fn schedule_warm_start(&mut self, at: Timestamp) {
        self.warm_start = Some(at);
    }

    /// Whether that time has come, or is far off because the clock was set back; true once.
    pub(super) fn warm_start_due(&mut self, now: Timestamp) -> bool {
        const FAR: Duration = Duration::from_secs(10);
        self.warm_start.take_if(|at| *at <= now || *at > now + FAR).is_some()
    }

    /// Takes in a sample of any of the twin's variables; gives the Simulated and Residual samples that follow from it.
    pub(super) fn on_sample(
        &mut self,
        tools: &mut Tools,
        spec: &TwinModel,
        theta: &[f64],
        variable: usize,
        sample: &Sample,
        received: Timestamp,
    ) -> Vec<(Facet, Sample)> {
        let mut produced = Vec::new();
        for input in spec.inputs.iter().enumerate().filter(|(_, v)| **v == variable).map(|(input, _)| input) {
            let turned_bad = sample.status.is_bad() && sample.status != self.statuses[input];
            self.on_input(tools, spec, theta, input, sample);
            if turned_bad {
                // Without its input a simulation must not stand there as if it went on.
                let bad = Sample { server_timestamp: received, ..Sample::bad(sample.source_timestamp, sample.status) };
                let both = |output| [(Facet::Simulated(output), bad.clone()), (Facet::Residual(output), bad.clone())];
                produced.extend((0..spec.outputs.len()).flat_map(both));
                produced.extend((0..spec.model.states().len()).map(|i| (Facet::State(i), bad.clone())));
            }
        }
        let outputs = spec.outputs.iter().enumerate().filter(|(_, v)| **v == variable).map(|(output, _)| output);
        for output in outputs.collect::<Vec<_>>() {
            let at = sample.source_timestamp;
            // Three quarters: a period's jitter must not halve the rate.
            if at.saturating_since(self.simulated[output]) >= self.period.mul_f64(0.75) || sample.status.is_bad() {
                self.simulated[output] = at;
                produced.extend(self.compare(tools, spec, theta, output, sample, received));
            }
        }
        produced
    }

    fn on_input(&mut self, tools: &mut Tools, spec: &TwinModel, theta: &[f64], input: usize, sample: &Sample) {
        self.statuses[input] = sample.status;
        let Some(value) = sample.usable() else { return };
        // Of a value that has not changed a PLC gives the old SourceTimestamp; its ServerTimestamp says that it still stands.
        self.vouched[input] = sample.source_timestamp.max(sample.server_timestamp);
        let at = sample.source_timestamp.plus_seconds(spec.model.delay_s(input, theta));
        if self.u[input].is_nan() {
            self.u[input] = value;
            self.begin(spec, theta, sample.source_timestamp);
        }
        if self.knots.len() == KNOTS_MAX
            && let Some(oldest) = self.knots.front().map(|knot| knot.at)
        {
            let _ = self.advance(tools, spec, theta, oldest); // a failure shows at the next comparison
            self.knots.pop_front();
        }
        let place = self.knots.partition_point(|knot| knot.at <= at);
        self.knots.insert(place, Knot { at, input, value });
    }

    /// All inputs are there: start where the model says a run starts, until history knows better. Where it stood before the
    /// program began, or at the end of a fit, is better already.
    fn begin(&mut self, spec: &TwinModel, theta: &[f64], at: Timestamp) {
        if self.u.iter().any(|u| u.is_nan()) {
            return;
        }
        // A state that starts at a measurement starts at zero until the warm start a moment later.
        if self.at.is_null()
            && let Some(x) = spec.model.initial_state(theta, &|_| Some(0.0))
        {
            self.restart(spec, at, x);
        }
        self.schedule_warm_start(at);
    }

    /// ŷ, the residual, and x at the measurement's instant; then the measurement corrects x.
    fn compare(
        &mut self,
        tools: &mut Tools,
        spec: &TwinModel,
        theta: &[f64],
        output: usize,
        sample: &Sample,
        received: Timestamp,
    ) -> Vec<(Facet, Sample)> {
        let at = sample.source_timestamp;
        let status = self.worst_input(&spec.model, at);
        let stamped = |status: StatusCode, value: Option<f64>| Sample {
            source_timestamp: at,
            server_timestamp: received,
            status,
            value: value.map_or(Value::Null, Value::Double),
        };
        let simulated = match self.simulate(tools, spec, theta, output, at) {
            _ if status.is_bad() => stamped(status, None),
            Ok(y) => stamped(status, Some(y)),
            Err(status) => stamped(status, None),
        };
        let residual_status = worse(simulated.status, sample.status);
        let residual = match (sample.usable(), simulated.usable()) {
            (Some(y), Some(simulated)) => stamped(residual_status, Some(y - simulated)),
            _ if residual_status.is_bad() => stamped(residual_status, None),
            _ => stamped(StatusCode::BadOutOfRange, None), // a Good value that is no finite number
        };
        if let (Observer::Ekf, Some(y)) = (spec.observer, sample.usable())
            && residual_status.is_good()
            && at == self.at
        {
            let point = (self.u.as_slice(), at.seconds_since(self.origin));
            tools.observer.correct(&spec.model, theta, &mut self.belief, point, (output, y));
        }
        let states = self.belief.x.iter().map(|x| stamped(simulated.status, simulated.usable().map(|_| *x)));
        let states: Vec<_> = (0..).map(Facet::State).zip(states).collect();
        [(Facet::Simulated(output), simulated), (Facet::Residual(output), residual)].into_iter().chain(states).collect()
    }

    /// The quality of what is simulated at an instant.
    fn worst_input(&self, model: &Model, at: Timestamp) -> StatusCode {
        let of = |(input, status): (usize, &StatusCode)| {
            let silent_s = at.seconds_since(self.vouched[input]);
            let is_silent = model.inputs()[input].max_gap_s.is_some_and(|most| silent_s > most);
            // OPC 10000-8 §6.3.3: whatever was updating the value has stopped doing so.
            if is_silent { worse(*status, StatusCode::UncertainLastUsableValue) } else { *status }
        };
        self.statuses.iter().enumerate().map(of).fold(StatusCode::Good, worse)
    }

    fn simulate(
        &mut self,
        tools: &mut Tools,
        spec: &TwinModel,
        theta: &[f64],
        output: usize,
        at: Timestamp,
    ) -> Result<f64, StatusCode> {
        if self.at.is_null() || self.u.iter().any(|u| u.is_nan()) {
            return Err(StatusCode::BadWaitingForInitialData);
        }
        self.advance(tools, spec, theta, at)?;
        let y = match spec.observer {
            // Two outputs of one instant: what the first said is not in what the second is told.
            Observer::Ekf if at == self.at => self.expect(tools, spec, theta)[output].value,
            _ => {
                let mut y = vec![0.0; spec.outputs.len()];
                let t = at.seconds_since(self.origin);
                simulate::output(&mut tools.stepper, &spec.model, theta, &self.belief.x, &self.u, t, &mut y)
                    .map_err(|_| StatusCode::BadOutOfRange)?;
                y[output]
            }
        };
        if y.is_finite() { Ok(y) } else { Err(StatusCode::BadOutOfRange) }
    }

    fn expect(&mut self, tools: &mut Tools, spec: &TwinModel, theta: &[f64]) -> &[Expected] {
        let (expected, is_known) = &mut self.expected;
        if !*is_known {
            expected.resize(spec.outputs.len(), Expected::default());
            let point = (self.u.as_slice(), self.at.seconds_since(self.origin));
            tools.observer.expect(&spec.model, theta, &self.belief, point, expected);
            *is_known = true;
        }
        expected
    }

    /// Carries x to `to`, stopping at every input change on the way. On failure the model starts anew from history.
    fn advance(&mut self, tools: &mut Tools, spec: &TwinModel, theta: &[f64], to: Timestamp) -> Result<(), StatusCode> {
        while let Some(knot) = self.knots.front().copied().filter(|knot| knot.at <= to) {
            self.integrate(tools, spec, theta, knot.at)?;
            self.u[knot.input] = knot.value;
            self.expected.1 = false;
            self.knots.pop_front();
        }
        self.integrate(tools, spec, theta, to)
    }

    fn integrate(
        &mut self,
        tools: &mut Tools,
        spec: &TwinModel,
        theta: &[f64],
        to: Timestamp,
    ) -> Result<(), StatusCode> {
        if to <= self.at {
            return Ok(());
        }
        let span = (self.at.seconds_since(self.origin), to.seconds_since(self.origin));
        let held = (self.u.as_slice(), self.u.as_slice());
        let (model, options) = (&spec.model, &spec.solver);
        let run = if span.1 - span.0 > STRETCH_MAX_S {
            self.schedule_warm_start(to);
            Ok(())
        } else {
            match spec.observer {
                Observer::None => {
                    simulate::advance(&mut tools.stepper, model, theta, &mut self.belief.x, span, held, options)
                }
                Observer::Ekf => tools.observer.predict(model, theta, &mut self.belief, span, held, options),
            }
        };
        self.at = to;
        self.expected.1 = false;
        if run.is_ok() && self.belief.is_finite() {
            return Ok(());
        }
        if let Some(x) = model.initial_state(theta, &|_| Some(0.0)) {
            self.restart(spec, to, x);
        }
        self.schedule_warm_start(to);
        Err(StatusCode::BadOutOfRange)
    }
}
