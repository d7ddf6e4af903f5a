//! What holds for every filter, whatever comes: no panic, nothing Good out of Bad, judging filters keep every sample and its time, memory is bounded.

use std::{collections::HashSet, time::Duration};

use proptest::prelude::*;

use super::{Chain, FilterSpec, OutOfRange, Outlier, Stage, stage};
use crate::{
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

fn specs() -> impl Strategy<Value = FilterSpec> {
    let span = || prop_oneof![Just(1), 1u64..100, Just(u64::MAX)].prop_map(Duration::from_millis);
    let number = || prop_oneof![Just(1e-300), Just(1e300), 1e-3..1e3];
    let outside = prop_oneof![Just(OutOfRange::Uncertain), Just(OutOfRange::Bad), Just(OutOfRange::Clamp)];
    let outlier = prop_oneof![Just(Outlier::Uncertain), Just(Outlier::Bad), Just(Outlier::Median)];
    prop_oneof![
        (number(), -1e3..1e3).prop_map(|(factor, offset)| FilterSpec::Scale { factor, offset }),
        outside.prop_map(|outside| FilterSpec::Range { low: -10.0, high: 10.0, outside }),
        (3usize..20, number(), outlier).prop_map(|(window, sigmas, outlier)| FilterSpec::Hampel {
            window,
            sigmas,
            least: 0.0,
            outlier
        }),
        span().prop_map(|time_constant| FilterSpec::Lowpass { time_constant }),
        (number(), proptest::option::of(span())).prop_map(|(band, max_interval)| FilterSpec::Deadband {
            band,
            percent: None,
            max_interval
        }),
        span().prop_map(|time| FilterSpec::Debounce { time }),
        (span(), any::<bool>()).prop_map(|(step, linear)| FilterSpec::Resample { step, linear }),
        (any::<bool>(), any::<bool>()).prop_map(|(late, duplicates)| FilterSpec::Order { late, duplicates }),
    ]
}

/// Times that mostly go on, and now and then anything.
fn times() -> impl Strategy<Value = i64> {
    const NOW: i64 = 133_000_000_000_000_000;
    prop_oneof![8 => (0i64..1_000_000).prop_map(|t| NOW + t * 1_000), 1 => any::<i64>(), 1 => Just(0), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![
        4 => any::<f64>().prop_map(Value::Double),
        4 => (-3i32..3).prop_map(Value::Int32),
        1 => any::<bool>().prop_map(Value::Boolean),
        1 => any::<f32>().prop_map(Value::Float),
        1 => any::<u64>().prop_map(Value::UInt64),
        1 => Just(Value::Null),
        1 => "[a-z]{0,3}".prop_map(Value::from),
        1 => Just(Value::doubles([1.0, f64::NAN])),
    ];
    let status = prop_oneof![
        4 => Just(StatusCode::Good),
        1 => Just(StatusCode::UncertainSensorNotAccurate),
        1 => Just(StatusCode::BadSensorFailure),
        1 => any::<u32>().prop_map(StatusCode::from),
    ];
    let sample = (times(), times(), status, value).prop_map(|(at, server, status, value)| Sample {
        source_timestamp: Timestamp::from_ticks(at),
        server_timestamp: Timestamp::from_ticks(server),
        status,
        value,
    });
    // In order for the greater part: else nothing is ever next.
    (proptest::collection::vec(sample, 1..60), any::<bool>()).prop_map(|(mut samples, sorted)| {
        if sorted {
            samples.sort_by_key(|sample| sample.source_timestamp);
        }
        samples
    })
}

/// 0 Good, 1 Uncertain, 2 Bad.
fn rank(status: StatusCode) -> u8 {
    if status.is_bad() { 2 } else { u8::from(!status.is_good()) }
}

proptest! {
    /// A filter that judges gives one sample for one, at its time, no better than it was.
    #[test]
    fn judging_filters_keep_samples_and_never_better_them(spec in specs(), samples in samples()) {
        let Stage::Judging(mut filter) = stage(&spec) else { return Ok(()) };
        for sample in samples {
            let after = filter.apply(sample.clone());
            prop_assert_eq!(after.source_timestamp, sample.source_timestamp);
            prop_assert_eq!(after.server_timestamp, sample.server_timestamp);
            prop_assert!(rank(after.status) >= rank(sample.status), "{:?} of {:?}", after, sample);
            if sample.status.is_bad() && !matches!(spec, FilterSpec::Scale { .. } | FilterSpec::Range { .. }) {
                prop_assert_eq!(format!("{after:?}"), format!("{sample:?}"));
            }
        }
    }

    /// Whatever the chain and whatever comes, in whatever order: no panic; what goes on as Good stands at the instant of a Good sample, or was made by
    /// resampling once there was one; and one sample brings no more than the filters' bounds allow.
    #[test]
    fn nothing_good_comes_of_bad(specs in proptest::collection::vec(specs(), 1..5), samples in samples()) {
        let resamplings = specs.iter().filter(|spec| matches!(spec, FilterSpec::Resample { .. })).count();
        prop_assume!(resamplings <= 1); // each may make ten thousand of one
        let mut chain = Chain::new(&specs);
        let (mut good, mut received) = (HashSet::new(), Timestamp::from_ticks(0));
        for (i, sample) in samples.into_iter().enumerate() {
            if sample.status.is_good() {
                good.insert(sample.source_timestamp);
            }
            received = received.max(sample.server_timestamp);
            let mut went_on = Vec::new();
            chain.apply(sample, received, &mut |sample| went_on.push(sample));
            if i % 5 == 4 {
                chain.tick(received, &mut |sample| went_on.push(sample));
            }
            if i % 11 == 10 {
                chain.interrupt();
            }
            prop_assert!(went_on.len() <= 2 * 10_003);
            for after in went_on.iter().filter(|after| after.status.is_good()) {
                let is_known = good.contains(&after.source_timestamp) || (resamplings == 1 && !good.is_empty());
                prop_assert!(is_known, "{:?}: nothing as good has come", after);
            }
        }
    }

    /// Of samples that are all Bad all go on as Bad, but those that thinning drops for being late.
    #[test]
    fn bad_stays_bad(specs in proptest::collection::vec(specs(), 1..5), samples in samples()) {
        let mut chain = Chain::new(&specs);
        for sample in samples {
            let sample = Sample { status: StatusCode::BadSensorFailure, ..sample };
            chain.apply(sample, Timestamp::MAX, &mut |after| assert!(after.status.is_bad(), "{after:?}"));
        }
    }
}
