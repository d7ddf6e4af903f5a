//! Single promises about Aggregates: types, edges of the archive and of the range, wrong inputs, numerics.

use uatwin::{
    aggregate::{Aggregate, Configuration, Request},
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

use crate::part13::{Memory, results};

const S: i64 = 10_000_000;
const EPOCH: i64 = 133_000_000_000_000_000;
const CALCULATED: u32 = 0x0401;
const PARTIAL: u32 = 0x0404;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ticks(EPOCH + seconds * S)
}

/// One Good sample a second.
fn values(values: impl IntoIterator<Item = Value>) -> Memory {
    let sample = |(second, value)| Sample { value, ..Sample::good(at(second), 0.0) };
    Memory((0..).zip(values).map(sample).collect())
}

fn doubles(xs: &[f64]) -> Memory {
    values(xs.iter().map(|x| Value::Double(*x)))
}

fn texts(xs: &[&str]) -> Memory {
    values(xs.iter().map(|x| Value::String((*x).into())))
}

fn request(aggregate: Aggregate, start: i64, end: i64, interval: i64) -> Request {
    Request {
        aggregate,
        start: at(start),
        end: at(end),
        interval: interval * S,
        configuration: Configuration::default(),
        stepped: false,
        limits: None,
    }
}

/// The only result over the whole of `history` and a second more.
fn whole(aggregate: Aggregate, history: &Memory) -> Sample {
    one(history, &request(aggregate, 0, i64::try_from(history.0.len()).unwrap(), 0))
}

fn one(history: &Memory, request: &Request) -> Sample {
    let mut results = results(history, request);
    assert_eq!(results.len(), 1);
    results.remove(0)
}

fn x(sample: &Sample) -> f64 {
    sample.value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn the_catalogue_has_the_37_of_the_standard_by_their_node_ids_and_five_of_ours() {
    let standard: Vec<_> = Aggregate::ALL.iter().filter_map(|a| Some((a.name(), a.standard_id()?))).collect();
    assert_eq!((standard.len(), Aggregate::ALL.len()), (37, 42));
    for (name, id) in standard {
        let object = opcua::types::ObjectId::try_from(id).map(|object| format!("{object:?}"));
        assert_eq!(object, Ok(format!("AggregateFunction_{name}")));
    }
}

#[test]
fn configuration_defaults_and_limits_are_those_of_the_standard() {
    let standard = Configuration::default();
    assert!(standard.is_valid() && standard.treat_uncertain_as_bad && !standard.use_sloped_extrapolation);
    assert_eq!((standard.percent_data_bad, standard.percent_data_good), (100, 100));
    for (bad, good, is_valid) in [(0, 100, true), (50, 50, true), (50, 49, false), (101, 0, false), (0, 101, false)] {
        let configuration = Configuration { percent_data_bad: bad, percent_data_good: good, ..standard };
        assert_eq!(configuration.is_valid(), is_valid, "{bad} {good}");
    }
}

#[test]
fn a_range_is_cut_into_intervals_and_a_last_short_one_either_way() {
    for (start, end, interval, count) in
        [(0, 10, 0, 1), (0, 10, 5, 2), (0, 11, 5, 3), (0, 3, 5, 1), (4, 4, 5, 0), (4, 4, 0, 0)]
    {
        assert_eq!(request(Aggregate::Count, start, end, interval).intervals(), count);
        assert_eq!(request(Aggregate::Count, end, start, interval).intervals(), count);
    }
    let history = doubles(&[1.0; 20]);
    let counts = |start, end| -> Vec<(i64, f64)> {
        let results = results(&history, &request(Aggregate::Count, start, end, 4));
        results.iter().map(|r| ((r.source_timestamp.ticks() - EPOCH) / S, x(r))).collect()
    };
    assert_eq!(counts(2, 12), [(2, 4.0), (6, 4.0), (10, 2.0)]);
    // Backwards: (8, 12], (4, 8], (2, 4].
    assert_eq!(counts(12, 2), [(12, 4.0), (8, 4.0), (4, 2.0)]);
}

#[test]
fn partial_is_said_of_the_edges_of_the_archive_and_of_a_short_interval_with_data_beyond() {
    let history = doubles(&[1.0; 20]);
    let partial = |start, end, interval| -> Vec<bool> {
        let results = results(&history, &request(Aggregate::Count, start, end, interval));
        results.iter().map(|result| result.status.bits() & PARTIAL == PARTIAL).collect()
    };
    assert_eq!(partial(-2, 22, 8), [true, false, true]);
    assert_eq!(partial(0, 10, 4), [false, false, true]);
    assert_eq!(partial(10, 0, 4), [false, false, true]);
    assert_eq!(partial(4, 12, 4), [false, false]);
}

#[test]
fn before_and_after_the_archive_and_in_an_empty_one_there_is_no_data() {
    let history = doubles(&[1.0, 2.0, 3.0]);
    for &aggregate in Aggregate::ALL {
        let before = one(&history, &request(aggregate, -20, -10, 0));
        assert_eq!((before.status, &before.value), (StatusCode::BadNoData, &Value::Null), "{aggregate:?}");
        assert_eq!(one(&Memory::default(), &request(aggregate, 0, 10, 0)).status, StatusCode::BadNoData);
        let after = one(&history, &request(aggregate, 10, 20, 0));
        if aggregate == Aggregate::Interpolative {
            assert_eq!(after.status.bits(), StatusCode::UncertainDataSubNormal.bits() | 0x0402);
            assert_eq!(x(&after), 3.0);
        } else {
            assert_eq!(after.status, StatusCode::BadNoData, "{aggregate:?}");
        }
    }
}

#[test]
fn results_have_the_types_of_the_standard() {
    use Aggregate as A;
    let history = values([3, 1, 2].map(Value::Int16));
    for &aggregate in A::ALL {
        let request = Request { limits: Some((0.0, 9.0)), ..request(aggregate, 0, 2, 0) };
        let value = one(&history, &request).value;
        let is_right = match aggregate {
            A::Count | A::NumberOfTransitions | A::AnnotationCount => matches!(value, Value::Int32(_)),
            A::WorstQuality | A::WorstQuality2 => matches!(value, Value::StatusCode(_)),
            A::Interpolative | A::Start | A::End | A::Delta | A::StartBound | A::EndBound | A::DeltaBounds => {
                matches!(value, Value::Int16(_))
            }
            A::Minimum | A::Maximum | A::Range | A::Minimum2 | A::Maximum2 | A::Range2 => {
                matches!(value, Value::Int16(_))
            }
            A::MinimumActualTime | A::MaximumActualTime => matches!(value, Value::Int16(_)),
            A::MinimumActualTime2 | A::MaximumActualTime2 => matches!(value, Value::Int16(_)),
            _ => matches!(value, Value::Double(_)),
        };
        assert!(is_right, "{aggregate:?} {value:?}");
    }
}

#[test]
fn differences_are_exact_and_do_not_wrap() {
    let delta = |history: Memory| whole(Aggregate::Delta, &history).value;
    assert_eq!(delta(values([7, 3].map(Value::UInt16))), Value::Double(-4.0));
    assert_eq!(delta(values([3, 7].map(Value::UInt16))), Value::UInt16(4));
    assert_eq!(delta(values([1 << 60, (1 << 60) + 1].map(Value::Int64))), Value::Int64(1));
    assert_eq!(delta(values([u64::MAX - 1, u64::MAX].map(Value::UInt64))), Value::UInt64(1));
    assert_eq!(whole(Aggregate::Range, &values([-100, 100].map(Value::SByte))).value, Value::Double(200.0));
}

#[test]
fn text_has_counts_statuses_and_ends_but_no_mean() {
    use Aggregate as A;
    let history = texts(&["a", "a", "b", "b"]);
    for aggregate in [
        A::Average,
        A::TimeAverage,
        A::TimeAverage2,
        A::Total,
        A::Total2,
        A::Minimum,
        A::Range,
        A::Maximum2,
        A::Delta,
        A::DurationInStateZero,
        A::VarianceSample,
        A::Median,
        A::RootMeanSquare,
    ] {
        let result = one(&history, &request(aggregate, 0, 3, 0));
        assert_eq!(result.status.bits() & 0xFFFF_0000, StatusCode::BadAggregateInvalidInputs.bits(), "{aggregate:?}");
        assert_eq!(result.value, Value::Null);
    }
    assert_eq!(whole(A::Count, &history).value, Value::Int32(4));
    assert_eq!(whole(A::NumberOfTransitions, &history).value, Value::Int32(2));
    assert_eq!(whole(A::End, &history).value, Value::String("b".into()));
    assert_eq!(one(&history, &request(A::DurationGood, 0, 3, 0)).value, Value::Double(3000.0));
    let half = Request { start: Timestamp::from_ticks(EPOCH + S / 2), ..request(A::Interpolative, 0, 3, 0) };
    assert_eq!(one(&history, &half).value, Value::String("a".into()));
}

#[test]
fn booleans_count_as_zero_and_one() {
    use Aggregate as A;
    let history = values([true, false, false, true, true].map(Value::Boolean));
    let stepped = |aggregate| one(&history, &Request { stepped: true, ..request(aggregate, 0, 4, 0) });
    assert_eq!(x(&stepped(A::DurationInStateNonZero)), 2000.0);
    assert_eq!(x(&stepped(A::DurationInStateZero)), 2000.0);
    assert_eq!(x(&stepped(A::TimeAverage2)), 0.5);
    assert_eq!(stepped(A::Minimum).value, Value::Boolean(false));
    assert_eq!(stepped(A::NumberOfTransitions).value, Value::Int32(3));
}

#[test]
fn nan_and_infinity_count_as_bad_and_never_come_out() {
    let history = doubles(&[1.0, f64::NAN, 3.0, f64::INFINITY, 5.0]);
    for &aggregate in Aggregate::ALL {
        let result = one(&history, &Request { limits: Some((0.0, 9.0)), ..request(aggregate, 0, 5, 0) });
        if let Value::Double(x) = result.value {
            assert!(
                x.is_finite() || matches!(aggregate, Aggregate::Start | Aggregate::End),
                "{aggregate:?} {result:?}"
            );
        }
    }
    let average = whole(Aggregate::Average, &history);
    assert_eq!((x(&average), average.status.bits()), (3.0, StatusCode::UncertainDataSubNormal.bits() | CALCULATED));
}

#[test]
fn an_offset_does_not_eat_the_spread() {
    // 1e9 + {0, 1, 2, …, 999}: σ² of a population is (n² − 1)/12 exactly.
    let xs: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i * 7919 % 1000)).collect();
    let variance = x(&whole(Aggregate::VariancePopulation, &doubles(&xs)));
    // 1e-9 relative: Welford at a condition number of 1e9 / 289 keeps 16 − 6.5 digits.
    assert!((variance / 83_333.25 - 1.0).abs() < 1e-9, "{variance}");
    let mean = x(&whole(Aggregate::Average, &doubles(&xs)));
    assert!((mean - (1e9 + 499.5)).abs() < 1e-6, "{mean}");
}

#[test]
fn capability_root_mean_square_and_quantiles_are_those_of_the_textbooks() {
    let history = doubles(&[9.0, 10.0, 11.0]);
    let cpk = |limits| one(&history, &Request { limits, ..request(Aggregate::Cpk, 0, 3, 0) });
    // Mean 10, σ 1: min(16 − 10, 10 − 1) / 3 = 2.
    assert_eq!(x(&cpk(Some((1.0, 16.0)))), 2.0);
    assert_eq!(x(&cpk(Some((7.0, f64::INFINITY)))), 1.0);
    for limits in [None, Some((5.0, 5.0)), Some((f64::NEG_INFINITY, f64::INFINITY)), Some((f64::NAN, 1.0))] {
        assert_eq!(cpk(limits).status.bits() & 0xFFFF_0000, StatusCode::BadAggregateInvalidInputs.bits());
    }
    assert!((x(&whole(Aggregate::RootMeanSquare, &doubles(&[3.0, -4.0, 3.0, 4.0]))) - 12.5_f64.sqrt()).abs() < 1e-15);
    assert_eq!(x(&whole(Aggregate::Median, &doubles(&[5.0, 1.0, 2.0, 4.0]))), 3.0);
    let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
    assert_eq!(x(&whole(Aggregate::Percentile05, &doubles(&hundred))), 5.0);
    assert_eq!(x(&whole(Aggregate::Percentile95, &doubles(&hundred))), 95.0);
}

#[test]
fn backwards_the_start_is_the_later_edge() {
    use Aggregate as A;
    let history = doubles(&[0.0, 10.0, 20.0, 30.0, 40.0]);
    let back = |aggregate| one(&history, &request(aggregate, 3, 1, 0));
    assert_eq!(x(&back(A::StartBound)), 30.0);
    assert_eq!(x(&back(A::EndBound)), 10.0);
    assert_eq!(x(&back(A::DeltaBounds)), -20.0);
    // Delta and Start go by time whichever way the read goes: earliest and latest of (1, 3].
    assert_eq!((x(&back(A::Start)), x(&back(A::Delta))), (20.0, 10.0));
    assert_eq!((x(&back(A::Interpolative)), back(A::Interpolative).source_timestamp), (30.0, at(3)));
    // The least is reached just inside the end: 1 ms after the earlier edge.
    let least = back(A::MinimumActualTime2);
    assert_eq!((x(&least), least.source_timestamp.ticks()), (10.0, EPOCH + S + 10_000));
}

#[test]
fn a_mark_of_no_data_is_ignored_where_the_archive_begins_and_bad_elsewhere() {
    let mut history = doubles(&[1.0, 1.0, 1.0, 1.0]);
    for place in [0, 2] {
        history.0[place] = Sample::bad(at(i64::try_from(place).unwrap()), StatusCode::BadNoData);
    }
    assert_eq!(x(&one(&history, &request(Aggregate::DurationBad, 1, 3, 0))), 1000.0);
    assert_eq!(whole(Aggregate::Start, &history).source_timestamp, at(1));
    let count = one(&history, &request(Aggregate::Count, 1, 4, 0));
    assert_eq!((x(&count), count.status.is_uncertain()), (2.0, true));
}
