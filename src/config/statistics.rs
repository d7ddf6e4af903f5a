//! `[twin_type.T.statistics]`, and `statistics` of its variables.

use std::cell::RefCell;

use super::{
    equations::condition,
    raw::{Item, Table},
};
use crate::{
    statistics::{
        Window,
        control::{ChartSettings, RuleSet},
        correlation::{COLUMNS_MAX, Method},
    },
    time::Timestamp,
    twin::{CorrelateSettings, StatisticsSettings, Variable},
};

/// Most values of a window.
const VALUES_MAX: i64 = 1_000_000;

/// What a table says; what it does not say is `None`.
#[derive(Clone, Default)]
struct Said {
    window: Option<Window>,
    uncertain: Option<bool>,
    when: Option<crate::model::Expression>,
    lot: Option<usize>,
    reference: Option<(Timestamp, Timestamp)>,
    chart: Option<ChartSettings>,
}

impl Said {
    /// Where this says nothing, `other` counts.
    fn or(self, other: &Self) -> Self {
        Self {
            window: self.window.or(other.window),
            uncertain: self.uncertain.or(other.uncertain),
            when: self.when.or_else(|| other.when.clone()),
            lot: self.lot.or(other.lot),
            reference: self.reference.or(other.reference),
            chart: self.chart.or(other.chart),
        }
    }

    fn settings(self) -> StatisticsSettings {
        // Of a lot everything counts, unless a window is asked for.
        let window = if self.lot.is_some() { Window::SinceReset } else { Window::default() };
        StatisticsSettings {
            window: self.window.unwrap_or(window),
            uncertain: self.uncertain.unwrap_or(true),
            when: self.when,
            lot: self.lot,
            reference: self.reference,
            chart: self.chart,
        }
    }
}

/// Settings of a type; its variables, each with what it says itself, get theirs.
pub(super) fn of_type(
    table: Option<&Table<'_>>,
    items: &[Option<Item<'_>>],
    variables: &mut [Variable],
) -> (StatisticsSettings, Option<CorrelateSettings>) {
    let (mut correlated, mut chart) = (None, None);
    let designs = Designs::default();
    let of_type = table.map(|table| {
        chart = table.get("chart");
        correlated = correlate(table, variables);
        let said = said(table, variables, &designs);
        table.finish();
        said
    });
    let of_type = of_type.unwrap_or_default();
    let of_variables: Vec<Said> = items
        .iter()
        .zip(&*variables)
        .map(|(item, variable)| {
            item.as_ref().and_then(|item| of_variable(item, variable, variables, &designs)).unwrap_or_default()
        })
        .collect();
    for ((variable, own), item) in variables.iter_mut().zip(of_variables).zip(items) {
        let own_chart = own.chart.and(item.as_ref()).and_then(|item| item.table()?.get("chart"));
        variable.statistics = own.or(&of_type).settings();
        check_chart(variable, own_chart, &mut chart);
    }
    (of_type.settings(), correlated)
}

fn of_variable(item: &Item<'_>, variable: &Variable, variables: &[Variable], designs: &Designs) -> Option<Said> {
    let table = item.table()?;
    let said = said(&table, variables, designs);
    table.finish();
    if !variable.has_statistics() {
        item.fault_at_key("there are no statistics of this variable", "remove it, or make it a number or a Boolean");
    }
    if said.reference.is_some() && !variable.historize {
        item.fault_at_key(
            "a reference period is read from history, which this variable has not",
            "add historize = true",
        );
    }
    Some(said)
}

/// Takes the charts from a variable that can have none. `own` and `of_type`: what asks for them; what a type says of all its
/// variables is meant for those that can have charts, and is a fault once.
fn check_chart(variable: &mut Variable, own: Option<Item<'_>>, of_type: &mut Option<Item<'_>>) {
    let fault = if variable.statistics.chart.is_none() {
        None
    } else if !variable.is_numeric() {
        Some((own, "there are no control charts of what is no number".to_owned(), "remove it"))
    } else if !variable.historize {
        let message = "a chart's reference period is read from history, which this variable has not";
        Some((own, message.to_owned(), "add historize = true"))
    } else if variable.statistics.reference.is_none() {
        let message =
            format!("a chart has its centre and sigma from a reference period, and `{}` has none", variable.name);
        let remedy = "add reference = { start = \"2026-01-01T00:00:00Z\", end = \"2026-01-02T00:00:00Z\" }, a time when all was well";
        Some((own.or_else(|| of_type.take()), message, remedy))
    } else {
        None
    };
    if let Some((item, message, remedy)) = fault {
        variable.statistics.chart = None;
        item.iter().for_each(|item| item.fault_at_key(message.as_str(), remedy));
    }
}

/// What the charts of a type's variables were designed to: each costs some 20 ms, and they are mostly alike.
#[derive(Default)]
struct Designs(RefCell<Vec<([f64; 3], Option<ChartSettings>)>>);

impl Designs {
    fn of(&self, arl: f64, k: f64, lambda: f64) -> Option<ChartSettings> {
        let (mut known, asked) = (self.0.borrow_mut(), [arl, k, lambda]);
        if let Some((_, chart)) = known.iter().find(|(of, _)| *of == asked) {
            return *chart;
        }
        let chart = ChartSettings::new(RuleSet::default(), arl, k, lambda);
        known.push((asked, chart));
        chart
    }
}

/// Run lengths that are taken: from no chart at all to a false alarm in years at 1 Hz.
const ARL: std::ops::RangeInclusive<f64> = 2.0..=1e9;

/// `None`: after faults.
fn chart(item: &Item<'_>, designs: &Designs) -> Option<ChartSettings> {
    let table = item.table()?;
    let words = [("western_electric", RuleSet::WesternElectric), ("nelson", RuleSet::Nelson)];
    let rules = table.get("rules").map_or(Some(RuleSet::default()), |item| item.choice(&words));
    let number = |key, default, allowed| table.get(key).map_or(Some(default), |item| item.number_in(allowed));
    // One false alarm in 370 is Shewhart's; half of σ is for a shift by one σ; Montgomery, §9.2.2: 0.05 ≤ λ ≤ 0.25.
    let (arl, k, lambda) = (number("arl", 370.0, ARL), number("k", 0.5, 0.1..=3.0), number("lambda", 0.2, 0.01..=1.0));
    table.finish();
    let (rules, arl, k, lambda) = (rules?, arl?, k?, lambda?);
    let chart = designs.of(arl, k, lambda).map(|chart| ChartSettings { rules, ..chart });
    if chart.is_none() {
        item.fault(
            format!("no limit gives k = {k} and lambda = {lambda} a false alarm in only {arl} samples"),
            "give a longer arl, or a smaller k",
        );
    }
    chart
}

fn said(table: &Table<'_>, variables: &[Variable], designs: &Designs) -> Said {
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    Said {
        window: window(table),
        uncertain: table.get("uncertain").and_then(|item| item.flag()),
        when: table.get("when").and_then(|item| condition(&item, &names)),
        lot: table.get("lot").and_then(|item| lot(&item, variables)),
        reference: table.get("reference").and_then(|item| reference(&item)),
        chart: table.get("chart").and_then(|item| chart(&item, designs)),
    }
}

fn window(table: &Table<'_>) -> Option<Window> {
    let (window, values) = (table.get("window"), table.get("window_values"));
    if let (Some(_), Some(values)) = (&window, &values) {
        values.fault_at_key("the window already has a duration", "keep one of window and window_values");
    }
    let by_time = window.and_then(|item| item.period()).map(|window| Window::Duration(window.as_secs_f64()));
    let by_values = values.and_then(|item| item.whole(2..=VALUES_MAX));
    by_time.or_else(|| by_values.and_then(|n| u32::try_from(n).ok()).map(Window::Values))
}

fn lot(item: &Item<'_>, variables: &[Variable]) -> Option<usize> {
    let name = item.text()?;
    let found = variables.iter().position(|variable| variable.name == name);
    if found.is_none() {
        item.unknown("there is no variable", name, variables.iter().map(|variable| variable.name.as_str()));
    }
    found
}

fn reference(item: &Item<'_>) -> Option<(Timestamp, Timestamp)> {
    let table = item.table()?;
    let end_of = |key| {
        table.required(key, "write reference = { start = \"2026-01-01T00:00:00Z\", end = \"2026-01-02T00:00:00Z\" }")
    };
    let (start, end) = (end_of("start"), end_of("end"));
    let (start, end) = (start.and_then(|item| item.instant()), end.and_then(|item| item.instant()));
    table.finish();
    let (start, end) = start.zip(end)?;
    if start >= end {
        item.fault("the period does not end after it begins", "exchange its times");
        return None;
    }
    Some((start, end))
}

/// Step of the grid where every variable is sampled as fast as it can be.
const STEP_DEFAULT_S: f64 = 1.0;

/// `correlate`, `align`, `correlate_method`.
fn correlate(table: &Table<'_>, variables: &[Variable]) -> Option<CorrelateSettings> {
    let (item, align, method) = (table.get("correlate"), table.get("align"), table.get("correlate_method"));
    let step_s = align.as_ref().and_then(|item| {
        let step = item.period()?;
        if step.as_millis() == 0 {
            item.fault("a grid finer than a millisecond", "give 1ms or more");
        }
        Some(step.as_secs_f64())
    });
    let words = [("pearson", Method::Pearson), ("spearman", Method::Spearman)];
    let method = method.as_ref().map(|item| (item, item.choice(&words)));
    let Some(item) = item else {
        for item in align.iter().chain(method.iter().map(|(item, _)| *item)) {
            item.fault_at_key("there is no correlation to be made", "add correlate = [\"…\", \"…\"], or remove this");
        }
        return None;
    };
    let columns = columns(&item, variables)?;
    let slowest = columns.iter().map(|v| variables[*v].sampling_interval.as_secs_f64()).fold(0.0, f64::max);
    Some(CorrelateSettings {
        step_s: step_s.unwrap_or(if slowest > 0.0 { slowest } else { STEP_DEFAULT_S }),
        method: method.and_then(|(_, method)| method).unwrap_or_default(),
        variables: columns,
    })
}

/// `None`: after faults.
fn columns(item: &Item<'_>, variables: &[Variable]) -> Option<Vec<usize>> {
    let texts = item.texts()?;
    let mut columns = Vec::with_capacity(texts.len());
    for (name, item) in &texts {
        match variables.iter().position(|variable| variable.name == *name) {
            None => item.unknown("there is no variable", name, variables.iter().map(|v| v.name.as_str())),
            Some(v) if !variables[v].is_numeric() => {
                item.fault(format!("the variable `{name}` is no number"), "use a numeric one");
            }
            Some(v) if columns.contains(&v) => item.fault(format!("`{name}` is already there"), "name each once"),
            Some(v) => columns.push(v),
        }
    }
    if columns.len() < texts.len() {
        return None;
    }
    if !(2..=COLUMNS_MAX).contains(&columns.len()) {
        item.fault(format!("{} variables", columns.len()), format!("name 2 to {COLUMNS_MAX}"));
        return None;
    }
    Some(columns)
}
