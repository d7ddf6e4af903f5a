//! `alarm = { … }` of a variable, and `[twin_type.T.drift]`.

use std::time::Duration;

use super::raw::{Item, Table};
use crate::{
    alarm::{Level, LimitSettings},
    statistics::drift::{Design, Settings},
    twin::{DriftSettings, RefitSettings, TwinModel},
};

/// Severity where none is given: OPC 10000-5 §6.4.2 calls 401 to 600 medium.
const SEVERITY: u16 = 500;

/// Limits of a variable; `is_number`: whether it has values to hold against them.
pub(super) fn limits(item: &Item<'_>, is_number: bool) -> Option<LimitSettings> {
    let table = item.table()?;
    let keys = [("low_low", Level::LowLow), ("low", Level::Low), ("high", Level::High), ("high_high", Level::HighHigh)];
    let limits = keys.map(|(key, _)| table.number(key));
    let deadband = table.get("deadband").and_then(|item| item.number_in(0.0..=f64::MAX)).unwrap_or(0.0);
    let delay = table.get("delay").and_then(|item| item.duration()).unwrap_or(Duration::ZERO);
    let severity = severity(&table);
    table.finish();
    if !is_number {
        item.fault_at_key("only a number has limits to cross", "remove alarm, or change data_type");
        return None;
    }
    if keys.iter().all(|(key, _)| !table.has(key)) {
        table.missing("high", "give at least one of high_high, high, low, low_low");
        return None;
    }
    let given: Vec<(&str, f64)> =
        keys.iter().zip(limits).filter_map(|((key, _), limit)| Some((*key, limit?))).collect();
    if let Some(pair) = given.windows(2).find(|pair| pair[0].1 >= pair[1].1) {
        item.fault(
            format!("{} = {} is not below {} = {}", pair[0].0, pair[0].1, pair[1].0, pair[1].1),
            "limits ascend from low_low to high_high",
        );
        return None;
    }
    (!given.is_empty()).then_some(LimitSettings { limits, deadband, delay, severity })
}

/// Of a type; only where a model says what the device should do.
pub(super) fn drift(item: &Item<'_>, model: Option<&TwinModel>, model_faulty: bool) -> Option<DriftSettings> {
    let table = item.table()?;
    let false_alarms_per_year = table.get("false_alarms_per_year").and_then(|item| item.positive()).unwrap_or(1.0);
    let block = table.get("block").and_then(|item| item.period()).unwrap_or(Duration::from_secs(60));
    let learn = table.get("learn").and_then(|item| item.period()).unwrap_or(60 * block);
    let severity = severity(&table);
    let refit = table.table("refit").and_then(|table| refit(&table, model));
    table.finish();
    if model.is_none() && !model_faulty {
        item.fault_at_key("the type has no model to drift from", "add a model, or remove this");
    }
    let outputs = u32::try_from(model?.outputs.len()).unwrap_or(u32::MAX).max(1);
    let blocks = (learn.as_secs_f64() / block.as_secs_f64()).round();
    let settings = Settings {
        false_alarms_per_year: false_alarms_per_year / f64::from(outputs),
        block_s: block.as_secs_f64(),
        learn_blocks: whole(blocks, 60.0..=10_000.0).unwrap_or_else(|| {
            item.fault(
                format!("{blocks} blocks to learn from"),
                "let learn be 60 to 10,000 times as long as block: a change is lost in less",
            );
            60
        }),
        ..Settings::default()
    };
    let design = Design::new(settings);
    if design.is_none() {
        item.fault(
            format!("there is no test of blocks of {block:?} with {false_alarms_per_year} false alarms a year"),
            "change false_alarms_per_year or block: from one in a thousand years to one in a few blocks",
        );
    }
    Some(DriftSettings { design: design?, false_alarms_per_year, severity, refit })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range")]
fn whole(x: f64, allowed: std::ops::RangeInclusive<f64>) -> Option<u32> {
    allowed.contains(&x).then_some(x as u32)
}

fn severity(table: &Table<'_>) -> u16 {
    let given = table.get("severity").and_then(|item| item.whole(1..=1000));
    given.and_then(|severity| u16::try_from(severity).ok()).unwrap_or(SEVERITY)
}

fn refit(table: &Table<'_>, model: Option<&TwinModel>) -> Option<RefitSettings> {
    let window = table.get("window").and_then(|item| item.period());
    let window = window.or(model.map(|model| model.fit.window));
    let held_out = table.get("held_out").and_then(|item| item.number_in(0.05..=0.9)).unwrap_or(0.25);
    let improve = table.get("improve").and_then(|item| item.number_in(0.0..=1.0)).unwrap_or(0.05);
    let at_most_every = table.get("at_most_every").and_then(|item| item.period());
    table.finish();
    let at_most_every = at_most_every.unwrap_or(Duration::from_secs(24 * 3600));
    Some(RefitSettings { window: window?, held_out, improve, at_most_every })
}
