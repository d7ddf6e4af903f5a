//! One twin's model beside its device: the free run. State x is carried from measurement to measurement under the inputs
//! as they came; ŷ and the residual stand at the measurement's own SourceTimestamp, no better than the worst input.

use std::{collections::VecDeque, time::Duration};

use crate::{
    sample::{Sample, StatusCode, TwinId, Value, worse},
    simulate::{self, Options, Stepper},
    time::Timestamp,
    twin::{Facet, TwinModel, Twins},
};

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
    /// x at `at`; empty until every input has had a value.
    x: Vec<f64>,
    /// Instant of `x` and zero of the equations' `t` for it.
    at: Timestamp,
    origin: Timestamp,
    u: Vec<f64>,
    /// Of each input's latest sample.
    statuses: Vec<StatusCode>,
    knots: VecDeque<Knot>,
    /// When each output was last simulated.
    simulated: Vec<Timestamp>,
    period: Duration,
    warm_start: Option<Timestamp>,
}

impl LiveModel {
    /// The twin's model before any sample; `None`: it has none.
    pub(super) fn new(configured: &Twins, twin: TwinId) -> Option<Self> {
        let spec = configured.type_of(twin).model.as_ref()?;
        Some(Self {
            x: Vec::new(),
            at: Timestamp::NULL,
            origin: Timestamp::NULL,
            u: vec![f64::NAN; spec.inputs.len()],
            statuses: vec![StatusCode::BadWaitingForInitialData; spec.inputs.len()],
            knots: VecDeque::new(),
            simulated: vec![Timestamp::NULL; spec.outputs.len()],
            period: spec.period,
            warm_start: None,
        })
    }

    /// Goes on from state `x` at `at`, if that fits the model.
    pub(super) fn restart(&mut self, at: Timestamp, x: Vec<f64>) {
        if x.iter().all(|x| x.is_finite()) {
            self.x = x;
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
        stepper: &mut Stepper,
        spec: &TwinModel,
        theta: &[f64],
        variable: usize,
        sample: &Sample,
        received: Timestamp,
    ) -> Vec<(Facet, Sample)> {
        let mut produced = Vec::new();
        for input in spec.inputs.iter().enumerate().filter(|(_, v)| **v == variable).map(|(input, _)| input) {
            let turned_bad = sample.status.is_bad() && sample.status != self.statuses[input];
            self.on_input(stepper, spec, theta, input, sample);
            if turned_bad {
                // Without its input a simulation must not stand there as if it went on.
                let bad = Sample { server_timestamp: received, ..Sample::bad(sample.source_timestamp, sample.status) };
                let both = |output| [(Facet::Simulated(output), bad.clone()), (Facet::Residual(output), bad.clone())];
                produced.extend((0..spec.outputs.len()).flat_map(both));
            }
        }
        let outputs = spec.outputs.iter().enumerate().filter(|(_, v)| **v == variable).map(|(output, _)| output);
        for output in outputs.collect::<Vec<_>>() {
            let at = sample.source_timestamp;
            // Three quarters: a period's jitter must not halve the rate.
            if at.saturating_since(self.simulated[output]) >= self.period.mul_f64(0.75) || sample.status.is_bad() {
                self.simulated[output] = at;
                produced.extend(self.compare(stepper, spec, theta, output, sample, received));
            }
        }
        produced
    }

    fn on_input(&mut self, stepper: &mut Stepper, spec: &TwinModel, theta: &[f64], input: usize, sample: &Sample) {
        self.statuses[input] = sample.status;
        let Some(value) = sample.usable() else { return };
        let at = sample.source_timestamp.plus_seconds(spec.model.delay_s(input, theta));
        if self.u[input].is_nan() {
            self.u[input] = value;
            self.begin(spec, theta, sample.source_timestamp);
        }
        if self.knots.len() == KNOTS_MAX
            && let Some(oldest) = self.knots.front().map(|knot| knot.at)
        {
            let _ = self.advance(stepper, spec, theta, oldest); // a failure shows at the next comparison
            self.knots.pop_front();
        }
        let place = self.knots.partition_point(|knot| knot.at <= at);
        self.knots.insert(place, Knot { at, input, value });
    }

    /// All inputs are there: start where the model says a run starts, until history knows better.
    fn begin(&mut self, spec: &TwinModel, theta: &[f64], at: Timestamp) {
        if self.u.iter().any(|u| u.is_nan()) {
            return;
        }
        // A state that starts at a measurement starts at zero until the warm start a moment later.
        if let Some(x) = spec.model.initial_state(theta, &|_| Some(0.0)) {
            self.restart(at, x);
            self.schedule_warm_start(at);
        }
    }

    fn compare(
        &mut self,
        stepper: &mut Stepper,
        spec: &TwinModel,
        theta: &[f64],
        output: usize,
        sample: &Sample,
        received: Timestamp,
    ) -> [(Facet, Sample); 2] {
        let at = sample.source_timestamp;
        let status = self.statuses.iter().fold(StatusCode::Good, |worst, status| worse(worst, *status));
        let stamped = |status: StatusCode, value: Option<f64>| Sample {
            source_timestamp: at,
            server_timestamp: received,
            status,
            value: value.map_or(Value::Null, Value::Double),
        };
        let simulated = match self.simulate(stepper, spec, theta, output, at) {
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
        [(Facet::Simulated(output), simulated), (Facet::Residual(output), residual)]
    }

    fn simulate(
        &mut self,
        stepper: &mut Stepper,
        spec: &TwinModel,
        theta: &[f64],
        output: usize,
        at: Timestamp,
    ) -> Result<f64, StatusCode> {
        if self.at.is_null() || self.u.iter().any(|u| u.is_nan()) {
            return Err(StatusCode::BadWaitingForInitialData);
        }
        self.advance(stepper, spec, theta, at)?;
        let mut y = vec![0.0; spec.outputs.len()];
        let t = at.seconds_since(self.origin);
        simulate::output(stepper, &spec.model, theta, &self.x, &self.u, t, &mut y)
            .map_err(|_| StatusCode::BadOutOfRange)?;
        Ok(y[output])
    }

    /// Carries x to `to`, stopping at every input change on the way. On failure the model starts anew from history.
    fn advance(
        &mut self,
        stepper: &mut Stepper,
        spec: &TwinModel,
        theta: &[f64],
        to: Timestamp,
    ) -> Result<(), StatusCode> {
        while let Some(knot) = self.knots.front().copied().filter(|knot| knot.at <= to) {
            self.integrate(stepper, spec, theta, knot.at)?;
            self.u[knot.input] = knot.value;
            self.knots.pop_front();
        }
        self.integrate(stepper, spec, theta, to)
    }

    fn integrate(
        &mut self,
        stepper: &mut Stepper,
        spec: &TwinModel,
        theta: &[f64],
        to: Timestamp,
    ) -> Result<(), StatusCode> {
        if to <= self.at {
            return Ok(());
        }
        let (from_s, to_s) = (self.at.seconds_since(self.origin), to.seconds_since(self.origin));
        let run = if to_s - from_s > STRETCH_MAX_S {
            self.schedule_warm_start(to);
            Ok(())
        } else {
            let held = (self.u.as_slice(), self.u.as_slice());
            simulate::advance(stepper, &spec.model, theta, &mut self.x, (from_s, to_s), held, &Options::default())
        };
        self.at = to;
        if run.is_ok() && self.x.iter().all(|x| x.is_finite()) {
            return Ok(());
        }
        self.x = spec.model.initial_state(theta, &|_| Some(0.0)).unwrap_or_default();
        self.schedule_warm_start(to);
        Err(StatusCode::BadOutOfRange)
    }
}
