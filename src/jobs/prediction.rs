//! `Predict`: from where the live model stands, with the inputs held.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::oneshot;
use tracing::debug;

use super::{CallError, Jobs, POINTS_MAX};
use crate::{
    fit::{self, FitReport},
    history::Direction,
    ingest::{Command, Standing},
    sample::TwinId,
    simulate::{self, Outlook, Signal},
    time::Timestamp,
    twin::{Facet, TwinModel},
};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// How far.
    pub horizon: Duration,
    /// How finely.
    pub step: Duration,
    /// Index of the output.
    pub output: usize,
    /// Inputs (index, value) from now on; the others keep their last value.
    pub inputs: Vec<(usize, f64)>,
}

/// What of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// How sure it is, too.
    Intervals,
    /// ŷ alone, which is cheap.
    Values,
}

/// What history goes on with after what is stored: points in steps, the first after the newest stored sample of then.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Instant of the first point.
    pub first: Timestamp,
    /// From a point to the next.
    pub step: Duration,
    /// ŷ.
    pub values: Arc<[f64]>,
}

impl Forecast {
    /// At most `limit` points in `times`, as the direction goes.
    #[must_use]
    pub fn points(&self, times: Range<Timestamp>, direction: Direction, limit: usize) -> Vec<(Timestamp, f64)> {
        let first = self.first.ticks();
        let step = i64::try_from(self.step.as_nanos() / 100).unwrap_or(i64::MAX).max(1);
        // How many points lie before an instant.
        let before = |at: Timestamp| {
            let passed = at.ticks().saturating_sub(first).max(0);
            usize::try_from(passed.div_euclid(step) + i64::from(passed % step != 0)).unwrap_or(usize::MAX)
        };
        let end = before(times.end).min(self.values.len());
        let range = before(times.start).min(end)..end;
        let point = |i: usize| {
            let ticks = step.saturating_mul(i64::try_from(i).unwrap_or(i64::MAX));
            Some((Timestamp::from_ticks(first.saturating_add(ticks)), *self.values.get(i)?))
        };
        match direction {
            Direction::Forward => range.take(limit).filter_map(point).collect(),
            Direction::Backward => range.rev().take(limit).filter_map(point).collect(),
        }
    }
}

/// An output to come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prediction {
    /// When.
    pub times: Vec<Timestamp>,
    /// ŷ.
    pub values: Vec<f64>,
    /// 95 % of what will be measured lies above; NaN where a parameter matters that no fit could tell.
    pub lower95: Vec<f64>,
    /// And below.
    pub upper95: Vec<f64>,
}

impl Jobs {
    /// What an output will read.
    ///
    /// # Errors
    /// A model that does not run, an input that is neither known nor given, too many points.
    pub async fn predict(self: &Arc<Self>, twin: TwinId, question: Question) -> Result<Prediction, CallError> {
        self.expect(twin, question, Wanted::Intervals).await
    }

    async fn expect(
        self: &Arc<Self>,
        twin: TwinId,
        question: Question,
        wanted: Wanted,
    ) -> Result<Prediction, CallError> {
        let spec = self.model(twin)?;
        let times = points(&question)?;
        let mut standing = self.standing(twin).await?;
        if wanted == Wanted::Values {
            standing.belief.p.clear(); // it then counts as known, and nobody works out how well
        }
        let inputs = inputs(&spec, &standing, &question.inputs)?;
        self.blocking(move |jobs| {
            let (theta, basis) = {
                let live = jobs.state.read(twin);
                (live.parameters.to_vec(), live.basis.clone().filter(|_| wanted == Wanted::Intervals))
            };
            let start_s = standing.at.seconds_since(standing.origin);
            let times_s: Vec<f64> = times.iter().map(|time| start_s + time).collect();
            let free = basis.as_deref().map_or(&[][..], |fit| &fit.free);
            let covariance = basis.as_deref().map_or_else(Vec::new, FitReport::shared_covariance);
            let outlook = Outlook {
                belief: &standing.belief,
                inputs: &inputs,
                start_s,
                times: &times_s,
                output: question.output,
                estimated: (free, &covariance),
                residual_variance: residual_variance(&spec, basis.as_deref(), question.output),
            };
            let never = AtomicBool::new(false);
            let found = simulate::predict(&spec.model, &theta, &outlook, &spec.solver, &never);
            let found = found.map_err(|error| CallError::NoData(error.describe(&spec.model)))?;
            let freedom = basis.as_deref().map(|fit| fit.degrees_of_freedom);
            let wide = fit::width(0.95, freedom.unwrap_or(0), freedom.is_none() || spec.fit.absolute_sigma);
            Ok(Prediction {
                times: times.iter().map(|time| standing.at.plus_seconds(*time)).collect(),
                values: found.iter().map(|(value, _)| *value).collect(),
                lower95: found.iter().map(|(value, deviation)| value - wide * deviation).collect(),
                upper95: found.iter().map(|(value, deviation)| value + wide * deviation).collect(),
            })
        })
        .await
    }

    /// What an output's simulation will read after what is stored of it, for as long as the config says; the inputs are held.
    /// `None`: it says nothing, or the model cannot tell at present.
    pub async fn forecast(self: &Arc<Self>, twin: TwinId, output: usize) -> Option<Forecast> {
        let spec = self.model(twin).ok()?;
        let (horizon, step) = (spec.forecast_horizon?, spec.period);
        let series = self.state.configured().series(twin, Facet::Simulated(output));
        let question = Question { horizon, step, output, inputs: Vec::new() };
        let found = self.expect(twin, question, Wanted::Values).await;
        let found = found.inspect_err(|error| debug!(%error, "no forecast")).ok()?;
        let stored = self.blocking(move |jobs| Ok(jobs.history.newest(series))).await.ok()?;
        // Where that is not known, the two could overlap.
        let newest = stored.ok()?.unwrap_or(Timestamp::NULL);
        let skipped = found.times.partition_point(|time| *time <= newest);
        Some(Forecast { first: *found.times.get(skipped)?, step, values: found.values.get(skipped..)?.into() })
    }

    /// Where the twin's live model stands.
    pub(super) async fn standing(&self, twin: TwinId) -> Result<Standing, CallError> {
        let standing = self.standing_now(twin).await?;
        standing.ok_or_else(|| CallError::NoData("the model does not run yet: an input has had no value".into()))
    }

    /// The same; `None` while it does not run.
    pub(super) async fn standing_now(&self, twin: TwinId) -> Result<Option<Standing>, CallError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Standing { twin, reply }).await?;
        answer.await.map_err(|_| super::stopping())
    }
}

/// Seconds from now.
fn points(question: &Question) -> Result<Vec<f64>, CallError> {
    let wrong = |argument: usize, message: &str| {
        Err(CallError::InvalidArgument { arguments: vec![argument], message: message.to_owned() })
    };
    let (horizon, step) = (question.horizon.as_secs_f64(), question.step.as_secs_f64());
    if step <= 0.0 {
        return wrong(1, "Step must be above zero");
    }
    if horizon < step {
        return wrong(0, "Horizon must not be shorter than Step");
    }
    // A horizon of whole steps has its last point, whatever rounding says.
    let count = (horizon / step * (1.0 + 1e-12)).floor();
    if count > POINTS_MAX as f64 {
        return Err(CallError::TooLarge(format!("{count} points, {POINTS_MAX} at the most: ask for a larger Step")));
    }
    Ok((1..=count as usize).map(|point| point as f64 * step).collect())
}

/// The inputs as they are known to come, then as given. What has come already and waits for its dead time is in it.
pub(super) fn inputs(spec: &TwinModel, standing: &Standing, given: &[(usize, f64)]) -> Result<Vec<Signal>, CallError> {
    let seconds = |at: Timestamp| at.seconds_since(standing.origin);
    let mut signals = Vec::with_capacity(spec.inputs.len());
    for (index, input) in spec.model.inputs().iter().enumerate() {
        let given = given.iter().find(|(of, _)| *of == index).map(|(_, value)| *value);
        if standing.statuses[index].is_bad() && given.is_none() {
            return Err(CallError::NoData(format!("the input `{}` has no usable value now: give one", input.name)));
        }
        // The live model keeps the instants at which a value takes effect; a signal those at which it came.
        let delay = standing.delays_s[index];
        let mut signal = Signal { hold: input.hold, ..Signal::default() };
        let mut push = |time: f64, value: f64| match signal.times.last() {
            Some(&last) if time <= last => *signal.values.last_mut().expect("as many as times") = value,
            _ => {
                signal.times.push(time);
                signal.values.push(value);
            }
        };
        push(seconds(standing.at) - delay, standing.u[index]);
        for (at, _, value) in standing.knots.iter().filter(|(_, of, _)| *of == index) {
            push(seconds(*at) - delay, *value);
        }
        if let Some(value) = given {
            signal.hold_from(seconds(standing.at), value);
        }
        signals.push(signal);
    }
    Ok(signals)
}

/// As the fit found it; as the config says where there was none.
fn residual_variance(spec: &TwinModel, basis: Option<&FitReport>, output: usize) -> f64 {
    let found = basis.and_then(|fit| fit.outputs.get(output)).map(|output| output.rmse).filter(|rmse| rmse.is_finite());
    found.unwrap_or(spec.model.outputs()[output].sigma).powi(2)
}
