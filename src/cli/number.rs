//! Numbers as people read them. Pure.

/// `digits` significant ones, without trailing zeros; a dash for NaN.
pub(super) fn short(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "–".to_owned();
    }
    if value == 0.0 || value.is_infinite() {
        return if value == 0.0 { "0".to_owned() } else { format!("{value}").replace("inf", "∞") };
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if !(-5..=8).contains(&exponent) {
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    let decimals = usize::try_from(i32::try_from(digits).unwrap_or(1) - 1 - exponent).unwrap_or(0);
    // Of a number with more whole digits than are asked for, the others would be made up by the printing.
    let rounded: f64 = scientific.parse().unwrap_or(value);
    trimmed(&format!("{rounded:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_count_and_no_others() {
        for (value, digits, expected) in [
            (60.123_456, 4, "60.12"),
            (0.000_123_456, 3, "0.000123"),
            (1.5e-9, 3, "1.5e-9"),
            (123_456.0, 3, "123000"),
            (2.5e12, 3, "2.5e12"),
            (-3.0, 6, "-3"),
            (99.999, 3, "100"),
            (0.0, 3, "0"),
            (f64::NAN, 3, "–"),
            (f64::INFINITY, 3, "∞"),
        ] {
            assert_eq!(short(value, digits), expected);
        }
    }
}
