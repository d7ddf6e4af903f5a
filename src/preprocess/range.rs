//! A value outside the variable's range is marked, clamped or made Bad; its number stays in history in every case but
//! clamping.

use std::fmt;

use super::Filter;
use crate::sample::{Sample, StatusCode, Value, worse};

/// What becomes of a value outside the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// Kept, Uncertain_EngineeringUnitsExceeded.
    Uncertain,
    /// Kept in history, Bad_OutOfRange: out of statistics and fits.
    Bad,
    /// Set to the nearer bound, Uncertain_EngineeringUnitsExceeded with the limit bits low or high.
    Clamp,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
            Self::Clamp => "clamp",
        })
    }
}

pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) outside: OutOfRange,
}

/// Limit bits of a StatusCode (OPC 10000-4 §7.39.1): InfoType DataValue with Low or High.
const LIMIT_LOW: u32 = 0x0400 | 0x0100;
const LIMIT_HIGH: u32 = 0x0400 | 0x0200;

impl Filter for Range {
    fn apply(&mut self, sample: Sample) -> Sample {
        let Some(x) = sample.value.as_f64() else { return sample };
        if (self.low..=self.high).contains(&x) {
            return sample;
        }
        let exceeded = worse(sample.status, StatusCode::UncertainEngineeringUnitsExceeded);
        match self.outside {
            OutOfRange::Uncertain => Sample { status: exceeded, ..sample },
            OutOfRange::Bad => Sample { status: worse(sample.status, StatusCode::BadOutOfRange), ..sample },
            OutOfRange::Clamp => {
                let (bound, limit) = if x < self.low { (self.low, LIMIT_LOW) } else { (self.high, LIMIT_HIGH) };
                Sample { status: StatusCode::from(exceeded.bits() | limit), value: Value::Double(bound), ..sample }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn check(outside: OutOfRange, x: f64) -> (Option<f64>, StatusCode) {
        let sample = Range { low: 0.0, high: 10.0, outside }.apply(Sample::good(Timestamp::from_ticks(1), x));
        (sample.value.as_f64(), sample.status)
    }

    #[test]
    fn marks_what_lies_outside_and_nothing_else() {
        assert_eq!(check(OutOfRange::Bad, 10.0), (Some(10.0), StatusCode::Good));
        assert_eq!(check(OutOfRange::Uncertain, 11.0), (Some(11.0), StatusCode::UncertainEngineeringUnitsExceeded));
        assert_eq!(check(OutOfRange::Bad, -1.0), (Some(-1.0), StatusCode::BadOutOfRange));
        let (value, status) = check(OutOfRange::Clamp, -1.0);
        assert_eq!(value, Some(0.0));
        assert!(status.is_uncertain() && status.bits() & 0x0300 == 0x0100, "{status:?}");
    }
}
