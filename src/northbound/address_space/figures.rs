//! Statistics, model and fit as values. Functions of one twin's present.

use std::sync::{Mutex, PoisonError};

use opcua::types::{Array, LocalizedText, Variant, VariantScalarTypeId};

use super::{
    node::{FitMember, ModelMember, ParameterMember, Statistic},
    values::Figure,
};
use crate::{
    fit::{FitReport, OutputReport},
    sample::{StatusCode, TwinId},
    statistics::{
        Rolling, Summary, Window,
        capability::{self, Baseline},
        control::Reading,
    },
    time::Timestamp,
    twin::{Facet, FitState, LastFit, StatisticsSettings, Twin, TwinLive, TwinModel, TwinType, Variable},
    ua,
};

/// Slots of the cache: as many variables as one look at a twin touches.
const SLOTS: usize = 64;

/// What was last worked out of windows: the figures of one variable are read one after the other.
pub(super) struct Summaries([Mutex<Option<Cached>>; SLOTS]);

#[derive(Clone, Copy)]
struct Cached {
    of: (TwinId, usize),
    version: u32,
    /// As of which instant, and until when it stays so.
    holds: (Timestamp, Timestamp),
    summary: Summary,
}

impl Default for Summaries {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Summaries {
    fn of(&self, of: (TwinId, usize), rolling: &Rolling, now: Timestamp) -> Summary {
        let slot = &self.0[of.0.index().wrapping_mul(31).wrapping_add(of.1) % SLOTS];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*slot
            && cached.of == of
            && cached.version == rolling.version()
            && (cached.holds.0..=cached.holds.1).contains(&now)
        {
            return cached.summary;
        }
        let summary = rolling.summary(now);
        let holds = (now, rolling.unchanged_until(&summary));
        *slot = (summary.count > 0).then_some(Cached { of, version: rolling.version(), holds, summary });
        summary
    }
}

/// One figure over the window. No better than the variable it is of; a window that a dead PLC has emptied is Bad.
pub(super) fn statistic(
    summaries: &Summaries,
    (twin, live): (TwinId, &TwinLive),
    twin_type: &TwinType,
    v: usize,
    statistic: Statistic,
    now: Timestamp,
) -> Figure {
    let Some(rolling) = live.statistics.get(v).and_then(Option::as_ref) else {
        return Figure::bad(StatusCode::BadNoData);
    };
    let variable = &twin_type.variables[v];
    match statistic {
        Statistic::WindowDuration | Statistic::WindowNumberOfValues => return window(variable.statistics.window),
        Statistic::ResetCondition => return reset_condition(twin_type, &variable.statistics),
        Statistic::ChartAverageRunLength => {
            let chart = variable.statistics.chart.map(|chart| Variant::Double(chart.arl0));
            return Figure::good(chart.unwrap_or(Variant::Empty));
        }
        _ => {}
    }
    let of = live.sample(twin_type, Facet::Variable(v)).status;
    let summary = summaries.of((twin, v), rolling, now);
    let in_states = || rolling.time_in_state(now);
    let (is_empty, value) = match statistic {
        Statistic::TimeInState => {
            let seconds = in_states().map(|(_, seconds)| Variant::from(seconds));
            (seconds.is_none(), seconds)
        }
        Statistic::StartTime if !variable.is_numeric() => {
            let start = in_states().map(|(start, _)| start);
            (start.is_none(), start.and_then(ua::given).map(Variant::from))
        }
        _ if statistic.is_charted() => {
            (summary.count == 0, rolling.chart().and_then(|chart| charted(&chart, statistic)))
        }
        _ => (summary.count == 0, figure(&summary, rolling, variable, statistic)),
    };
    let status = match is_empty {
        true if of.is_bad() || !statistic.is_count() => StatusCode::BadNoData,
        _ if of.is_good() => StatusCode::Good,
        _ => StatusCode::UncertainSubNormal,
    };
    match value {
        Some(value) if !status.is_bad() => Figure { value, status },
        _ => Figure::bad(StatusCode::BadNoData), // one sample has no sample variance
    }
}

/// How far back statistics reach.
pub(super) fn window(window: Window) -> Figure {
    match window {
        Window::Duration(seconds) => Figure::good(seconds * 1e3),
        Window::Values(values) => Figure::good(values),
        Window::SinceReset => Figure::good(Variant::Empty),
    }
}

/// What resets statistics without a client, in words (OPC 10000-200 §6.2.2).
pub(super) fn reset_condition(twin_type: &TwinType, settings: &StatisticsSettings) -> Figure {
    let lot = settings.lot.and_then(|lot| twin_type.variables.get(lot)).map_or("", |lot| lot.name.as_str());
    Figure::good(format!("CHANGE OF {lot}"))
}

/// `None`: there is no such figure.
fn figure(summary: &Summary, rolling: &Rolling, variable: &Variable, statistic: Statistic) -> Option<Variant> {
    let capability = |sigma: f64| {
        let limits = variable.limits.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        capability::indices(summary.mean, sigma, limits)
    };
    let window = Baseline::from(summary);
    let control_limits = || match variable.statistics.reference {
        Some(_) => rolling.reference.map_or((f64::NAN, f64::NAN), |reference| reference.control_limits()),
        None => window.control_limits(),
    };
    let x = match statistic {
        Statistic::Count => return Some(Variant::UInt32(u32::try_from(summary.count).unwrap_or(u32::MAX))),
        Statistic::StartTime => return ua::given(summary.start).map(Variant::from),
        Statistic::EndTime => return ua::given(summary.end).map(Variant::from),
        Statistic::Mean => summary.mean,
        Statistic::VariancePopulation => summary.variance_population,
        Statistic::VarianceSample => summary.variance_sample,
        Statistic::StandardDeviationPopulation => summary.variance_population.sqrt(),
        Statistic::StandardDeviationSample => summary.variance_sample.sqrt(),
        Statistic::Minimum => summary.minimum,
        Statistic::Maximum => summary.maximum,
        Statistic::Total => summary.total,
        Statistic::Percentile05 => summary.percentiles[0],
        Statistic::Percentile50 => summary.percentiles[1],
        Statistic::Percentile95 => summary.percentiles[2],
        Statistic::Slope => summary.slope,
        Statistic::SlopePValue => summary.slope_p_value,
        Statistic::Skewness => summary.skewness,
        Statistic::Kurtosis => summary.kurtosis,
        Statistic::Cp => capability(window.sigma_within()).spread,
        Statistic::Cpk => capability(window.sigma_within()).centred,
        Statistic::Pp => capability(summary.variance_sample.sqrt()).spread,
        Statistic::Ppk => capability(summary.variance_sample.sqrt()).centred,
        Statistic::ControlLimitLower => control_limits().0,
        Statistic::ControlLimitUpper => control_limits().1,
        _ => return None, // not of the summary
    };
    x.is_finite().then_some(Variant::Double(x))
}

/// What a control chart says of the newest sample. Rules by Nelson's numbers: bit i − 1 is rule i.
fn charted(chart: &Reading, statistic: Statistic) -> Option<Variant> {
    let x = match statistic {
        Statistic::ControlRules => {
            return Some(Variant::UInt32(chart.broken().fold(0, |bits, rule| bits | 1 << (rule.number() - 1))));
        }
        Statistic::ControlRuleNames => {
            return Some(chart.broken().map(|rule| rule.name().to_owned()).collect::<Vec<_>>().into());
        }
        Statistic::InControl => return Some(Variant::Boolean(chart.in_control())),
        Statistic::Ewma => chart.ewma,
        Statistic::EwmaLimitLower => chart.ewma_limits.0,
        Statistic::EwmaLimitUpper => chart.ewma_limits.1,
        Statistic::CusumHigh => chart.cusum.0,
        Statistic::CusumLow => chart.cusum.1,
        Statistic::CusumLimit => chart.cusum_limit,
        _ => return None, // not of the charts
    };
    x.is_finite().then_some(Variant::Double(x))
}

/// A member of `Model`.
pub(super) fn model(model: Option<&TwinModel>, member: ModelMember) -> Figure {
    match member {
        ModelMember::Kind => Figure::good("Equations"),
        ModelMember::Equations => Figure::good(model.map(|model| model.model.equations_text()).unwrap_or_default()),
    }
}

/// A member of a parameter. What only a fit can tell is null where the value in force comes from none.
pub(super) fn parameter(
    live: &TwinLive,
    twin: &Twin,
    model: Option<&TwinModel>,
    p: usize,
    member: ParameterMember,
) -> Figure {
    let Some(definition) = model.and_then(|model| model.model.parameters().get(p)) else {
        return Figure::bad(StatusCode::BadNoData);
    };
    let fitted = |figures: fn(&FitReport) -> &[f64]| {
        let report = live.basis.as_deref()?;
        let at = report.free.iter().position(|free| *free == p)?;
        figures(report).get(at).copied()
    };
    let known = |x: Option<f64>| Figure::good(x.map_or(Variant::Empty, Variant::Double));
    match member {
        ParameterMember::StandardError => known(fitted(|report| &report.standard_errors)),
        ParameterMember::Lower95 => known(fitted(|report| &report.lower95)),
        ParameterMember::Upper95 => known(fitted(|report| &report.upper95)),
        ParameterMember::LowerBound => Figure::good(definition.min),
        ParameterMember::UpperBound => Figure::good(definition.max),
        ParameterMember::Nominal => known(twin.parameters.get(p).copied()),
        ParameterMember::Free => Figure::good(definition.free),
    }
}

/// A member of `LastFit`: null before the first one, and its figures null while they are being made.
pub(super) fn last_fit(fit: &LastFit, member: FitMember) -> Figure {
    if fit.state == FitState::None {
        return Figure::good(Variant::Empty);
    }
    let report = fit.report.as_deref();
    let number = |x: fn(&FitReport) -> f64| report.map_or(Variant::Empty, |report| Variant::Double(x(report)));
    let count = |n: usize| Variant::UInt32(u32::try_from(n).unwrap_or(u32::MAX));
    Figure::good(match member {
        FitMember::State => Variant::from(fit.state.as_str()),
        FitMember::Message => LocalizedText::new("en", &fit.message).into(),
        FitMember::StartTime => return Figure::time(fit.start),
        FitMember::EndTime => return Figure::time(fit.end),
        FitMember::FinishedAt => return Figure::time(fit.finished_at),
        FitMember::Duration => Variant::Double(fit.duration_s * 1e3),
        FitMember::Samples => report.map_or(Variant::Empty, |report| count(report.samples)),
        FitMember::Iterations => report
            .map_or(Variant::Empty, |report| Variant::UInt32(u32::try_from(report.iterations).unwrap_or(u32::MAX))),
        FitMember::Rmse => number(|report| report.rmse),
        FitMember::RSquared => number(|report| report.r_squared),
        FitMember::FitPercent => number(|report| report.fit_percent),
        FitMember::Cost => number(|report| report.cost),
        FitMember::ConditionNumber => number(|report| report.condition_number),
        FitMember::DurbinWatson => number(|report| report.durbin_watson),
        FitMember::Covariance => report.map_or(Variant::Empty, |report| matrix(&report.covariance)),
        FitMember::Correlation => report.map_or(Variant::Empty, |report| matrix(&report.correlation)),
        FitMember::Names => report.map_or(Variant::Empty, |report| estimate_names(report).into()),
        FitMember::ReducedChiSquare => number(|report| report.reduced_chi_square),
        FitMember::Aic => number(|report| report.aic),
        FitMember::Bic => number(|report| report.bic),
        FitMember::Optima => each(report, |report| report.optima.iter().map(|optimum| optimum.cost).collect()),
        FitMember::OutputNames => report.map_or(Variant::Empty, |report| {
            report.outputs.iter().map(|output| output.name.clone()).collect::<Vec<_>>().into()
        }),
        FitMember::OutputRmse => of_outputs(report, |output| output.rmse),
        FitMember::OutputRSquared => of_outputs(report, |output| output.r_squared),
        FitMember::OutputFitPercent => of_outputs(report, |output| output.fit_percent),
        FitMember::OutputLjungBoxPValue => of_outputs(report, |output| output.whiteness.ljung_box_p),
    })
}

fn each(report: Option<&FitReport>, figures: fn(&FitReport) -> Vec<f64>) -> Variant {
    report.map_or(Variant::Empty, |report| figures(report).into())
}

fn of_outputs(report: Option<&FitReport>, figure: fn(&OutputReport) -> f64) -> Variant {
    report.map_or(Variant::Empty, |report| report.outputs.iter().map(figure).collect::<Vec<_>>().into())
}

/// In the order of the covariance: what all runs share, then what each has of its own, with the number of its run from 1.
fn estimate_names(report: &FitReport) -> Vec<String> {
    let own = report.local.iter().map(|estimate| match estimate.experiment {
        Some(run) => format!("{} ({})", estimate.name, run + 1),
        None => estimate.name.clone(),
    });
    report.names.iter().cloned().chain(own).collect()
}

/// A square matrix, row by row.
pub(super) fn matrix(elements: &[f64]) -> Variant {
    let side = elements.len().isqrt();
    let side_u32 = u32::try_from(side).unwrap_or(u32::MAX);
    let values: Vec<Variant> = elements.iter().take(side * side).map(|x| Variant::Double(*x)).collect();
    Array::new_multi(VariantScalarTypeId::Double, values, vec![side_u32, side_u32])
        .map_or(Variant::Empty, |array| Variant::Array(Box::new(array)))
}
