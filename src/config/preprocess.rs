//! `preprocess` of a variable: its filters, in order.

use std::time::Duration;

use super::raw::{Item, Table};
use crate::{
    northbound::units,
    preprocess::{FilterSpec, OutOfRange, Outlier, conversion, quantity},
    twin::DataType,
};

/// Most filters of a variable.
const FILTERS_MAX: usize = 16;
/// Values that Hampel's filter may look at: fewer than 3 have no outlier, and each sample sorts them.
const WINDOW: std::ops::RangeInclusive<i64> = 3..=1001;

/// What filters must know of their variable.
pub(super) struct Kind<'a> {
    pub(super) data_type: DataType,
    pub(super) array: bool,
    pub(super) range: Option<(f64, f64)>,
    pub(super) unit: &'a str,
    pub(super) stepped: bool,
}

impl Kind<'_> {
    const fn is_number(&self) -> bool {
        self.data_type.is_numeric() && !self.array
    }

    /// Whether it is what it is or something else, and never a little more.
    fn is_state(&self) -> bool {
        let is_whole = self.data_type.is_numeric() && !self.data_type.is_floating();
        !self.array && (is_whole || matches!(self.data_type, DataType::Boolean | DataType::String))
    }
}

/// Reads one filter.
type Reader = fn(&Item<'_>, &Table<'_>, &Kind<'_>) -> Option<FilterSpec>;

/// Every filter, by the key that the config names it by.
const FILTERS: [(&str, Reader); 9] = [
    ("scale", scale),
    ("unit", unit),
    ("range", range),
    ("hampel", hampel),
    ("lowpass", lowpass),
    ("deadband", deadband),
    ("debounce", debounce),
    ("resample", resample),
    ("order", order),
];

/// A variable's filters; what is faulty is left out.
pub(super) fn filters(item: &Item<'_>, kind: &Kind<'_>) -> Vec<FilterSpec> {
    let Some(list) = item.list() else { return Vec::new() };
    if list.len() > FILTERS_MAX {
        item.fault(format!("{} filters", list.len()), format!("give at most {FILTERS_MAX}"));
    }
    list.iter().take(FILTERS_MAX).filter_map(|entry| filter(entry, kind)).collect()
}

fn filter(entry: &Item<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let table = entry.table()?;
    let named = table.entries().len();
    if named != 1 {
        entry.fault(
            format!("expected one filter, found {named}"),
            "write each filter in braces of its own: { scale = { factor = 0.1 } }",
        );
        return None;
    }
    let mut found = None;
    for (name, read) in FILTERS {
        if let Some(item) = table.get(name) {
            found = item.table().and_then(|settings| {
                let spec = read(&item, &settings, kind);
                settings.finish();
                spec
            });
        }
    }
    table.finish();
    found
}

/// `None` and a fault, if the variable is no number.
fn number(item: &Item<'_>, kind: &Kind<'_>) -> Option<()> {
    if !kind.is_number() {
        item.fault_at_key("only numbers can be filtered so", "remove it, or change data_type");
    }
    kind.is_number().then_some(())
}

fn scale(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let (factor, offset) = (table.number("factor").unwrap_or(1.0), table.number("offset").unwrap_or(0.0));
    if factor == 0.0 {
        item.fault("factor 0 makes every value the same", "give a factor other than 0");
    }
    number(item, kind)?;
    Some(FilterSpec::Scale { factor, offset })
}

fn range(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let outcomes = [("uncertain", OutOfRange::Uncertain), ("bad", OutOfRange::Bad), ("clamp", OutOfRange::Clamp)];
    let outside = table.get("outside").and_then(|i| i.choice(&outcomes)).unwrap_or(OutOfRange::Uncertain);
    number(item, kind)?;
    let Some((low, high)) = kind.range else {
        item.fault_at_key("the variable has no range to filter by", "add range = [low, high] to the variable");
        return None;
    };
    Some(FilterSpec::Range { low, high, outside })
}

/// From a unit of the same quantity to the variable's.
fn unit(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let given = table.required("from", "write { unit = { from = \"the unit that the PLC sends\" } }");
    number(item, kind)?;
    let (given, to) = (given?, kind.unit);
    let from = given.text()?;
    if to.is_empty() {
        item.fault_at_key("the variable has no unit to convert to", "add unit = \"…\" to the variable");
        return None;
    }
    let Some(code) = units::common_code(from) else {
        given.unknown("there is no unit", from, units::spellings());
        return None;
    };
    let to_code = units::common_code(to).unwrap_or_default();
    let Some((factor, offset)) = conversion(code, to_code) else {
        let (message, remedy) = inconvertible((from, code), (to, to_code));
        given.fault(message, remedy);
        return None;
    };
    Some(FilterSpec::Unit { from: from.into(), to: to.into(), factor, offset })
}

/// Why there is no way from one to the other, and what could be meant.
fn inconvertible((from, code): (&str, &str), (to, to_code): (&str, &str)) -> (String, String) {
    let Some((target, codes)) = quantity(to_code) else {
        let message = format!("no conversion to `{to}` is known here");
        return (message, "use scale = { factor = …, offset = … } instead".to_owned());
    };
    let symbol = |code: &str| units::known().find(|(_, known)| *known == code).map(|(symbol, _)| symbol);
    let others: Vec<&str> = codes.filter(|code| *code != to_code).filter_map(symbol).collect();
    let remedy = format!("convert from {}, or use scale = {{ factor = …, offset = … }}", others.join(", "));
    match quantity(code) {
        Some((source, _)) => (format!("`{from}` is {source}, and the variable's `{to}` {target}"), remedy),
        None => (format!("no conversion of `{from}` is known here, and the variable's `{to}` is {target}"), remedy),
    }
}

fn hampel(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let window = table.get("window").map_or(Some(7), |item| item.whole(WINDOW));
    let sigmas = table.get("sigmas").map_or(Some(3.0), |item| item.positive());
    let least = table.get("least").map_or(Some(0.0), |item| item.number_in(0.0..=f64::MAX));
    let outcomes = [("uncertain", Outlier::Uncertain), ("bad", Outlier::Bad), ("median", Outlier::Median)];
    let outlier = table.get("outlier").map_or(Some(Outlier::Uncertain), |item| item.choice(&outcomes));
    number(item, kind)?;
    let window = usize::try_from(window?).ok()?;
    Some(FilterSpec::Hampel { window, sigmas: sigmas?, least: least?, outlier: outlier? })
}

fn lowpass(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let time_constant = period(table, "time_constant", "write { lowpass = { time_constant = \"5s\" } }");
    number(item, kind)?;
    Some(FilterSpec::Lowpass { time_constant: time_constant? })
}

fn deadband(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let (absolute, percent) = (table.get("absolute"), table.get("percent"));
    let max_interval = table.get("max_interval").map_or(Some(None), |item| item.period().map(Some));
    number(item, kind)?;
    let of_percent = |item: &Item<'_>| {
        let percent = item.number_in(0.0..=100.0)?;
        let Some((low, high)) = kind.range else {
            item.fault_at_key(
                "the variable has no range to take percent of",
                "add range = [low, high] to the variable",
            );
            return None;
        };
        Some((percent / 100.0 * (high - low), Some(percent)))
    };
    let (band, percent) = match (&absolute, &percent) {
        (Some(_), Some(percent)) => {
            percent.fault_at_key("the deadband is already absolute", "keep one of absolute and percent");
            return None;
        }
        (Some(absolute), None) => (absolute.number_in(0.0..=f64::MAX)?, None),
        (None, Some(percent)) => of_percent(percent)?,
        (None, None) => {
            table.missing("absolute", "write { deadband = { absolute = 0.5 } }, or percent = 1 of the range");
            return None;
        }
    };
    Some(FilterSpec::Deadband { band, percent, max_interval: max_interval? })
}

fn debounce(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let time = period(table, "time", "write { debounce = { time = \"500ms\" } }");
    if !kind.is_state() {
        let remedy = "use lowpass or hampel for what is measured";
        item.fault_at_key("only a Boolean, an integer or a String has a state that can stand", remedy);
        return None;
    }
    Some(FilterSpec::Debounce { time: time? })
}

fn resample(item: &Item<'_>, table: &Table<'_>, kind: &Kind<'_>) -> Option<FilterSpec> {
    let step = table.required("step", "write { resample = { step = \"1s\" } }");
    let methods = [("linear", true), ("previous", false)];
    let default = kind.is_number() && !kind.stepped;
    let linear = table.get("method").map_or(Some(default), |item| item.choice(&methods));
    if linear == Some(true) {
        number(item, kind)?;
    }
    let item = step?;
    let step = item.period()?;
    if step < Duration::from_millis(1) {
        item.fault("a grid finer than a millisecond", "give 1ms or more");
        return None;
    }
    Some(FilterSpec::Resample { step, linear: linear? })
}

fn order(_: &Item<'_>, table: &Table<'_>, _: &Kind<'_>) -> Option<FilterSpec> {
    let words = [("keep", true), ("drop", false)];
    let said = |key| table.get(key).map_or(Some(true), |item: Item<'_>| item.choice(&words));
    let (late, duplicates) = (said("late"), said("duplicates"));
    Some(FilterSpec::Order { late: late?, duplicates: duplicates? })
}

fn period(table: &Table<'_>, key: &'static str, remedy: &str) -> Option<Duration> {
    table.required(key, remedy).and_then(|item| item.period())
}
