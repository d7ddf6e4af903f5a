//! Statistics, model and fit as values. Functions of one twin's present.

use opcua::types::{Array, LocalizedText, Variant, VariantScalarTypeId};

use super::{
    node::{FitMember, ModelMember, ParameterMember, Statistic},
    values::Figure,
};
use crate::{
    fit::{FitReport, OutputReport},
    sample::StatusCode,
    statistics::Summary,
    time::Timestamp,
    twin::{Facet, FitState, LastFit, Twin, TwinLive, TwinModel, TwinType},
};

/// One figure over the rolling window. No better than the variable it is of; a window that a dead PLC has emptied is Bad.
pub(super) fn statistic(
    live: &TwinLive,
    twin_type: &TwinType,
    v: usize,
    statistic: Statistic,
    now: Timestamp,
) -> Figure {
    let Some(rolling) = live.statistics.get(v).and_then(Option::as_ref) else {
        return Figure::bad(StatusCode::BadNoData);
    };
    let of = live.sample(twin_type, Facet::Variable(v)).status;
    let summary = rolling.summary(now);
    let status = match summary.count {
        0 if of.is_bad() || !statistic.is_count() => StatusCode::BadNoData,
        _ if of.is_good() => StatusCode::Good,
        _ => StatusCode::UncertainSubNormal,
    };
    match figure(&summary, statistic) {
        Some(_) if status.is_bad() => Figure::bad(status),
        Some(value) => Figure { value, status },
        None => Figure::bad(StatusCode::BadNoData), // one sample has no sample variance
    }
}

fn figure(summary: &Summary, statistic: Statistic) -> Option<Variant> {
    let x = match statistic {
        Statistic::Count => return Some(Variant::UInt32(u32::try_from(summary.count).unwrap_or(u32::MAX))),
        Statistic::Mean => summary.mean,
        Statistic::VariancePopulation => summary.variance_population,
        Statistic::VarianceSample => summary.variance_sample,
        Statistic::StandardDeviationPopulation => summary.variance_population.sqrt(),
        Statistic::StandardDeviationSample => summary.variance_sample.sqrt(),
        Statistic::Minimum => summary.minimum,
        Statistic::Maximum => summary.maximum,
        Statistic::Total => summary.total,
    };
    if x.is_nan()
        && summary.count > 0
        && !matches!(statistic, Statistic::VarianceSample | Statistic::StandardDeviationSample)
    {
        return None;
    }
    x.is_finite().then_some(Variant::Double(x)).or_else(|| (summary.count == 0).then_some(Variant::Empty))
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
fn matrix(elements: &[f64]) -> Variant {
    let side = elements.len().isqrt();
    let side_u32 = u32::try_from(side).unwrap_or(u32::MAX);
    let values: Vec<Variant> = elements.iter().take(side * side).map(|x| Variant::Double(*x)).collect();
    Array::new_multi(VariantScalarTypeId::Double, values, vec![side_u32, side_u32])
        .map_or(Variant::Empty, |array| Variant::Array(Box::new(array)))
}
