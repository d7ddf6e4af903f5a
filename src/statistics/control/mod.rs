//! Control charts of individuals: Western Electric's and Nelson's runs rules, the EWMA and the tabular CUSUM, the last two
//! with their average run lengths (ARL) for independent normal samples. A sample costs O(1) and no memory; a design (limit
//! for a wanted ARL) from some milliseconds to a second, once.

mod chart;
mod cusum;
mod ewma;
mod quadrature;
mod runs;

pub use chart::{Chart, ChartSettings, Reading, RuleSet};
pub use cusum::{Cusum, Side, Sum, Sums};
pub use ewma::{Average, Ewma, EwmaLimits};
pub use runs::{Flags, Rule, Runs};

/// The root of an increasing, nearly straight `f` between `low` and `high` (moved up until it holds the root), to 1e-10 of
/// it, by false position (Illinois); `None` where there is none from `low` to `highest`.
fn root_of_increasing(f: impl Fn(f64) -> f64, low: f64, high: f64, highest: f64) -> Option<f64> {
    let mut low = (low, f(low));
    let mut high = (high, f(high));
    while high.1 < 0.0 && high.0 < highest {
        low = high;
        let further = (1.5 * high.0).min(highest);
        high = (further, f(further));
    }
    if !(low.1 <= 0.0 && high.1 >= 0.0) {
        return None;
    }
    // Each step gains some digits; sixty are more than any f here has needed.
    for _ in 0..60 {
        if high.0 - low.0 <= 1e-10 * high.0 || high.1 == 0.0 || low.1 == 0.0 {
            break;
        }
        let secant = high.0 - high.1 * (high.0 - low.0) / (high.1 - low.1);
        let between = if secant > low.0 && secant < high.0 { secant } else { 0.5 * (low.0 + high.0) };
        let value = f(between);
        if value < 0.0 {
            low = (between, value);
            high.1 *= 0.5;
        } else {
            high = (between, value);
            low.1 *= 0.5;
        }
        if value.abs() < 1e-11 {
            return Some(between);
        }
    }
    Some(if low.1.abs() < high.1 { low.0 } else { high.0 })
}
