//! Durations as people write them: `100ms`, `1.5s`, `10m`, `1h`, `1d`, `2w`, `3y`.

use std::time::Duration;

/// Seconds in each unit. A year is 365 days: retention and windows need no calendar.
const UNITS: [(&str, f64); 8] = [
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
    ("y", 31_536_000.0),
];

/// Longer than any plant's life.
const SECONDS_MAX: f64 = 1000.0 * 31_536_000.0;

/// The duration, or what is wrong and what to do.
pub(super) fn parse(text: &str) -> Result<Duration, (String, &'static str)> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let known = "give a number and a unit: ms, s, m (minutes), h, d, w or y, as in \"10m\"";
    let Ok(number) = number.parse::<f64>() else { return Err((format!("{text:?} is not a duration"), known)) };
    if unit.is_empty() {
        return Err((format!("{text:?} has no unit"), known));
    }
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err((format!("{unit:?} is not a unit of time"), known));
    };
    let seconds = number * seconds;
    if seconds > SECONDS_MAX {
        return Err((format!("{text:?} is too long"), "give at most 1000y"));
    }
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_number_and_a_unit() {
        for (text, expected) in [
            ("100ms", Some(0.1)),
            ("1s", Some(1.0)),
            ("1.5 h", Some(5400.0)),
            ("10m", Some(600.0)),
            ("2w", Some(1_209_600.0)),
            ("3y", Some(94_608_000.0)),
            ("0s", Some(0.0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1 fortnight", None),
            ("1e3s", None),
            ("1001y", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(parse(text).ok().map(|d| d.as_secs_f64()), expected, "{text}");
        }
    }
}
