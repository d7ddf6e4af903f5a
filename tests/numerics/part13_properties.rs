//! What holds of Aggregates whatever the data: against a reference that walks through an interval millisecond by
//! millisecond, forwards and backwards, in pieces, shifted and scaled, with and without the store's summaries.

use std::{cell::Cell, convert::Infallible, ops::Range};

use proptest::prelude::*;
use uatwin::{
    aggregate::{Aggregate, Configuration, Request, Source, compute},
    history::{Direction, Summary},
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

use crate::{
    part13::{Memory, results},
    part13_reference::{EPOCH, MS, Naive},
};

const STATUSES: [StatusCode; 3] =
    [StatusCode::Good, StatusCode::UncertainLastUsableValue, StatusCode::BadSensorFailure];

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ticks(EPOCH + ms * MS)
}

fn memory(samples: &[(i64, i32, usize)]) -> Memory {
    let mut samples: Vec<Sample> = samples
        .iter()
        .map(|&(ms, x, kind)| Sample {
            status: STATUSES[kind],
            value: if kind == 2 { Value::Null } else { Value::Double(x.into()) },
            ..Sample::good(at(ms), 0.0)
        })
        .collect();
    samples.sort_by_key(|sample| sample.source_timestamp);
    samples.dedup_by_key(|sample| sample.source_timestamp);
    Memory(samples)
}

/// Mostly Good, at most one sample a millisecond.
fn histories() -> impl Strategy<Value = Memory> {
    let kind = prop_oneof![6 => Just(0_usize), 2 => Just(1), 2 => Just(2)];
    prop::collection::vec((0..60_i64, -3..4_i32, kind), 1..40).prop_map(|samples| memory(&samples))
}

fn configurations() -> impl Strategy<Value = Configuration> {
    (any::<bool>(), 0..=100_u8, 0..=100_u8, any::<bool>()).prop_map(|(treat_uncertain_as_bad, bad, good, sloped)| {
        Configuration {
            treat_uncertain_as_bad,
            percent_data_bad: bad,
            percent_data_good: good.max(100 - bad),
            use_sloped_extrapolation: sloped,
        }
    })
}

fn requests() -> impl Strategy<Value = Request> {
    (-10..70_i64, 1..80_i64, 0..30_i64, configurations(), any::<bool>()).prop_map(
        |(start, width, interval, configuration, stepped)| Request {
            aggregate: Aggregate::Count,
            start: at(start),
            end: at(start + width),
            interval: interval * MS,
            configuration,
            stepped,
            limits: Some((-10.0, 10.0)),
        },
    )
}

/// What the reference knows.
const REFERENCED: [Aggregate; 11] = [
    Aggregate::Count,
    Aggregate::Average,
    Aggregate::Minimum,
    Aggregate::Maximum,
    Aggregate::TimeAverage,
    Aggregate::TimeAverage2,
    Aggregate::Total2,
    Aggregate::DurationGood,
    Aggregate::DurationBad,
    Aggregate::PercentGood,
    Aggregate::PercentBad,
];

fn code(sample: &Sample) -> StatusCode {
    StatusCode::from(sample.status.bits() & 0xFFFF_0000)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}

/// Samples every millisecond in runs of 100 of one status: the next usable one may lie pages away.
fn long_runs() -> impl Strategy<Value = Memory> {
    let kind = prop_oneof![3 => Just(0_usize), 1 => Just(1), 3 => Just(2)];
    (prop::collection::vec(kind, 6), prop::collection::vec(-3..4_i32, 600)).prop_map(|(kinds, xs)| {
        let samples: Vec<_> = (0..).zip(xs).map(|(ms, x)| (ms, x, kinds[usize::try_from(ms / 100).unwrap()])).collect();
        memory(&samples)
    })
}

fn agrees_with_reference(history: &Memory, request: &Request) -> Result<(), TestCaseError> {
    let ms = |time: Timestamp| (time.ticks() - EPOCH) / MS;
    let (start, end, back) = (ms(request.start), ms(request.end), request.start > request.end);
    let width = if request.interval == 0 { i64::MAX / 4 } else { request.interval / MS };
    for (number, sample) in (0_i64..).zip(results(history, request)) {
        let (near, far) = (number * width, (number + 1) * width);
        let (low, high) =
            if back { ((start - far).max(end), start - near) } else { (start + near, (start + far).min(end)) };
        let naive = Naive { samples: &history.0, request, low, high, shift: i64::from(back) };
        let context = format!("{number} {sample:?}\n{request:?}\n{:?}", history.0);
        prop_assert_eq!(sample.source_timestamp, at(if back { high } else { low }), "{}", context);
        match naive.result(request.aggregate) {
            None => prop_assert_eq!(code(&sample), StatusCode::BadNoData, "{}", context),
            Some((_, status)) if status.is_bad() => {
                prop_assert_eq!((code(&sample), &sample.value), (StatusCode::Bad, &Value::Null), "{}", context);
            }
            Some((x, status)) => {
                prop_assert_eq!(code(&sample), status, "{}", context);
                prop_assert!(sample.value.as_f64().is_some_and(|y| close(x, y)), "expected {}: {}", x, context);
            }
        }
    }
    Ok(())
}

fn turned(request: Request, back: bool) -> Request {
    let (start, end) = if back { (request.end, request.start) } else { (request.start, request.end) };
    Request { start, end, ..request }
}

proptest! {
    #[test]
    fn aggregates_agree_with_a_walk_in_milliseconds(
        history in histories(), request in requests(), back in any::<bool>(),
    ) {
        for aggregate in REFERENCED {
            agrees_with_reference(&history, &Request { aggregate, ..turned(request, back) })?;
        }
    }

    #[test]
    fn a_read_in_pieces_gives_the_same(history in histories(), request in requests(), cut in 0..20_u64, back in any::<bool>()) {
        for &aggregate in Aggregate::ALL {
            let request = Request { aggregate, ..turned(request, back) };
            let (Ok(mut pieces), Ok(rest)) = (
                compute(&request, &history, 0..cut.min(request.intervals())),
                compute(&request, &history, cut.min(request.intervals())..u64::MAX),
            );
            pieces.extend(rest);
            prop_assert_eq!(pieces, results(&history, &request), "{:?}", aggregate);
        }
    }

    #[test]
    fn backwards_gives_the_same_values_newest_first(history in histories(), request in requests(), count in 1..8_i64) {
        use Aggregate as A;
        // Edges between samples: none changes sides. Those left out look at one edge, or name a time, by direction.
        let by_edge = [
            A::Interpolative, A::StartBound, A::EndBound, A::DeltaBounds, A::MinimumActualTime2, A::MaximumActualTime2,
            A::WorstQuality2,
        ];
        let width = request.interval.max(MS);
        let start = Timestamp::from_ticks(request.start.ticks() + MS / 2);
        let end = Timestamp::from_ticks(start.ticks() + count * width);
        for &aggregate in A::ALL.iter().filter(|aggregate| !by_edge.contains(aggregate)) {
            let forward = Request { aggregate, start, end, interval: width, ..request };
            let mut backward = results(&history, &Request { start: end, end: start, ..forward });
            backward.reverse();
            for (f, b) in results(&history, &forward).iter().zip(&backward) {
                prop_assert_eq!((&f.value, code(f)), (&b.value, code(b)), "{:?} {:?}", forward, history.0);
                let own_time = matches!(aggregate, A::Start | A::End | A::MinimumActualTime | A::MaximumActualTime);
                let shift = if own_time && !code(f).is_bad() || f.source_timestamp == b.source_timestamp { 0 } else { width };
                prop_assert_eq!(f.source_timestamp.ticks() + shift, b.source_timestamp.ticks());
            }
        }
    }

    #[test]
    fn a_shift_in_time_and_a_power_of_two_change_nothing_else(
        history in histories(), request in requests(), ticks in -1_000_000_007_i64..1_000_000_007, power in -20..20_i32,
    ) {
        use Aggregate as A;
        let (shift, scale) = (|t: Timestamp| Timestamp::from_ticks(t.ticks() + ticks), f64::from(power).exp2());
        let moved = Memory(history.0.iter().map(|sample| Sample {
            source_timestamp: shift(sample.source_timestamp),
            value: sample.value.as_f64().map_or(Value::Null, |x| Value::Double(x * scale)),
            ..sample.clone()
        }).collect());
        for &aggregate in A::ALL {
            let request = Request { aggregate, limits: Some((-10.0, 10.0)), ..request };
            let limits = Some((-10.0 * scale, 10.0 * scale));
            let there = Request { start: shift(request.start), end: shift(request.end), limits, ..request };
            let factor = match aggregate {
                A::VariancePopulation | A::VarianceSample => scale * scale,
                A::Count | A::AnnotationCount | A::NumberOfTransitions | A::Cpk | A::PercentGood | A::PercentBad
                | A::DurationGood | A::DurationBad | A::DurationInStateZero | A::DurationInStateNonZero => 1.0,
                _ => scale,
            };
            for (here, there) in results(&history, &request).iter().zip(&results(&moved, &there)) {
                prop_assert_eq!(shift(here.source_timestamp), there.source_timestamp);
                prop_assert_eq!(here.status, there.status);
                match (here.value.as_f64(), there.value.as_f64()) {
                    (Some(x), Some(y)) => prop_assert!(close(x, y / factor), "{:?} {} {}", aggregate, x, y / factor),
                    _ => prop_assert_eq!(&here.value, &there.value),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn pages_and_long_runs_of_bad_samples_change_nothing(
        history in long_runs(), request in requests(), back in any::<bool>(),
    ) {
        let stretch = |t: Timestamp| Timestamp::from_ticks(EPOCH + (t.ticks() - EPOCH) * 9);
        let (start, end) = (stretch(request.start), stretch(request.end));
        for aggregate in [Aggregate::TimeAverage, Aggregate::TimeAverage2] {
            agrees_with_reference(&history, &turned(Request { aggregate, start, end, ..request }, back))?;
        }
    }
}

/// Counts what is read, and can deny its summaries.
struct Watched {
    memory: Memory,
    has_summaries: bool,
    read: Cell<usize>,
}

impl Source for Watched {
    type Error = Infallible;

    fn read(&self, times: Range<Timestamp>, direction: Direction, limit: usize) -> Result<Vec<Sample>, Infallible> {
        let samples = self.memory.read(times, direction, limit)?;
        self.read.set(self.read.get() + samples.len());
        Ok(samples)
    }

    fn summary(&self, times: Range<Timestamp>) -> Result<Summary, Infallible> {
        // "Nothing there" makes every interval look sparse: it is then scanned.
        if self.has_summaries { self.memory.summary(times) } else { Ok(Summary::default()) }
    }

    fn annotations(&self, times: Range<Timestamp>) -> Result<u64, Infallible> {
        self.memory.annotations(times)
    }
}

/// 20,000 samples, one a millisecond, with stretches of other statuses and of NaN.
fn dense(kind: fn(i64) -> usize) -> Memory {
    let samples: Vec<(i64, i32, usize)> =
        (0..20_000).map(|ms| (ms, i32::try_from(ms * 7919 % 1009).unwrap(), kind(ms))).collect();
    memory(&samples)
}

fn of_dense(aggregate: Aggregate) -> Request {
    Request {
        aggregate,
        start: at(-500),
        end: at(21_000),
        interval: 4000 * MS,
        configuration: Configuration { treat_uncertain_as_bad: false, ..Configuration::default() },
        stepped: false,
        limits: Some((0.0, 1000.0)),
    }
}

#[test]
fn summaries_give_what_a_scan_gives() {
    let kinds: [fn(i64) -> usize; 3] = [
        |_| 0,
        |ms| usize::from(ms % 1000 == 17),
        |ms| if (9000..9100).contains(&ms) { 2 } else { usize::from(ms % 777 == 0) },
    ];
    for (kind, treat_uncertain_as_bad) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        for &aggregate in Aggregate::ALL {
            let mut request = of_dense(aggregate);
            request.configuration.treat_uncertain_as_bad = treat_uncertain_as_bad;
            let answer = |has_summaries| {
                let source = Watched { memory: dense(kind), has_summaries, read: Cell::new(0) };
                let Ok(results) = compute(&request, &source, 0..request.intervals());
                results
            };
            for (by_summary, by_scan) in answer(true).iter().zip(&answer(false)) {
                assert_eq!(by_summary.status, by_scan.status, "{aggregate:?}");
                assert_eq!(by_summary.source_timestamp, by_scan.source_timestamp, "{aggregate:?}");
                match (by_summary.value.as_f64(), by_scan.value.as_f64()) {
                    (Some(a), Some(b)) => assert!(close(a, b), "{aggregate:?} {a} {b}"),
                    _ => assert_eq!(by_summary.value, by_scan.value, "{aggregate:?}"),
                }
            }
        }
    }
}

#[test]
fn dense_intervals_are_not_scanned_where_the_summary_or_the_edges_say_enough() {
    use Aggregate as A;
    for aggregate in
        [A::Average, A::Count, A::WorstQuality, A::Start, A::End, A::Delta, A::Interpolative, A::DeltaBounds]
    {
        let source = Watched { memory: dense(|_| 0), has_summaries: true, read: Cell::new(0) };
        let Ok(_) = compute(&of_dense(aggregate), &source, 0..6);
        assert!(source.read.get() < 2000, "{aggregate:?} read {} of 20,000", source.read.get());
    }
}
