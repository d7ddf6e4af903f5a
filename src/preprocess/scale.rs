//! y = factor·x + offset. The result is a Double; a sample without a number passes as it is.

use super::Filter;
use crate::sample::{Sample, Value};

pub(super) struct Scale {
    pub(super) factor: f64,
    pub(super) offset: f64,
}

impl Filter for Scale {
    fn apply(&mut self, sample: Sample) -> Sample {
        match sample.value.as_f64() {
            Some(x) => Sample { value: Value::Double(x.mul_add(self.factor, self.offset)), ..sample },
            None => sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample::StatusCode, time::Timestamp};

    #[test]
    fn scales_integers_and_leaves_bad_null_alone() {
        let mut scale = Scale { factor: 0.1, offset: -1.0 };
        let at = Timestamp::from_ticks(7);
        let raw = Sample { value: Value::UInt16(250), ..Sample::good(at, 0.0) };
        assert_eq!(scale.apply(raw).value, Value::Double(24.0));
        let bad = Sample::bad(at, StatusCode::BadSensorFailure);
        assert_eq!(scale.apply(bad.clone()), bad);
    }
}
