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

use crate::part13::{Memory, results};

const MS: i64 = 10_000;
const EPOCH: i64 = 133_000_000_000_000_000;
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

/// One interval as the reference sees it: whole milliseconds.
struct Naive<'a> {
    samples: &'a [Sample],
    request: &'a Request,
    low: i64,
    high: i64,
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Grade {
    Good,
    Uncertain,
    Bad,
}

impl Naive<'_> {
    fn grade(&self, sample: &Sample) -> Grade {
        if sample.status.is_bad() || (sample.status.is_uncertain() && self.request.configuration.treat_uncertain_as_bad)
        {
            Grade::Bad
        } else if sample.status.is_uncertain() {
            Grade::Uncertain
        } else {
            Grade::Good
        }
    }

    fn ms(sample: &Sample) -> i64 {
        (sample.source_timestamp.ticks() - EPOCH) / MS
    }

    fn x(sample: &Sample) -> f64 {
        sample.value.as_f64().unwrap()
    }

    fn inside(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| (self.low..self.high).contains(&Self::ms(sample)))
    }

    fn good(&self) -> Vec<f64> {
        self.inside().filter(|sample| sample.status.is_good()).map(Self::x).collect()
    }

    fn is_outside(&self) -> bool {
        self.high <= Self::ms(&self.samples[0]) || self.low > Self::ms(self.samples.last().unwrap())
    }

    fn status(&self, good: f64, bad: f64, total: f64) -> StatusCode {
        let configuration = &self.request.configuration;
        if good == total || (good > 0.0 && good / total * 100.0 >= f64::from(configuration.percent_data_good) - 1e-9) {
            StatusCode::Good
        } else if bad > 0.0 && bad / total * 100.0 >= f64::from(configuration.percent_data_bad) - 1e-9 {
            StatusCode::Bad
        } else {
            StatusCode::UncertainDataSubNormal
        }
    }

    fn counted_status(&self) -> StatusCode {
        let all: Vec<Grade> = self.inside().map(|sample| self.grade(sample)).collect();
        let count = |grade| all.iter().filter(|g| **g == grade).count() as f64;
        self.status(count(Grade::Good), count(Grade::Bad), all.len() as f64)
    }

    fn before(&self, t: i64) -> Option<&Sample> {
        self.samples.iter().rev().find(|sample| Self::ms(sample) <= t)
    }

    fn after(&self, t: i64) -> Option<&Sample> {
        self.samples.iter().find(|sample| Self::ms(sample) > t)
    }

    /// Value and grade of each known millisecond with simple bounding values.
    fn cells(&self, stepped: bool) -> Vec<(Option<f64>, Grade)> {
        // The newest sample of the archive counts for one resolution, 1 ms.
        let known = self.high.min(Self::ms(self.samples.last().unwrap()) + 1);
        let cell = |t: i64| {
            let Some(p) = self.before(t).filter(|p| self.grade(p) != Grade::Bad) else { return (None, Grade::Bad) };
            let (p_ms, p_x, p_grade) = (Self::ms(p), Self::x(p), self.grade(p));
            if stepped {
                return (Some(p_x), p_grade);
            }
            match self.after(t) {
                Some(n) if self.grade(n) != Grade::Bad => {
                    let slope = (Self::x(n) - p_x) / (Self::ms(n) - p_ms) as f64;
                    let grade = if self.grade(n) > p_grade { self.grade(n) } else { p_grade };
                    (Some(p_x + slope * (t as f64 + 0.5 - p_ms as f64)), grade)
                }
                _ => (Some(p_x), Grade::Uncertain),
            }
        };
        (self.low..known).map(cell).collect()
    }

    fn timed_status(&self, cells: &[(Option<f64>, Grade)]) -> StatusCode {
        let bad = |grade: Grade| {
            grade == Grade::Bad || (grade == Grade::Uncertain && self.request.configuration.treat_uncertain_as_bad)
        };
        let bad = cells.iter().filter(|cell| bad(cell.1)).count() as f64;
        self.status(cells.len() as f64 - bad, bad, cells.len() as f64)
    }

    /// Value and grade of each millisecond between usable samples, Bad ones passed over.
    fn interpolated_cells(&self) -> Vec<(Option<f64>, Grade)> {
        let usable: Vec<&Sample> = self.samples.iter().filter(|sample| self.grade(sample) != Grade::Bad).collect();
        let cell = |t: i64| {
            let next = usable.partition_point(|sample| Self::ms(sample) <= t);
            let Some(p) = next.checked_sub(1).map(|i| usable[i]) else { return (None, Grade::Bad) };
            let middle = t as f64 + 0.5 - Self::ms(p) as f64;
            let Some(n) = usable.get(next) else {
                let older = next.checked_sub(2).map(|i| usable[i]);
                let slope = older
                    .filter(|_| self.request.configuration.use_sloped_extrapolation)
                    .map_or(0.0, |o| (Self::x(p) - Self::x(o)) / (Self::ms(p) - Self::ms(o)) as f64);
                return (Some(Self::x(p) + slope * middle), Grade::Uncertain);
            };
            let slope = (Self::x(n) - Self::x(p)) / (Self::ms(n) - Self::ms(p)) as f64;
            let is_between = |sample: &Sample| Self::ms(sample) > Self::ms(p) && Self::ms(sample) < Self::ms(n);
            let is_good =
                !self.samples.iter().any(is_between) && self.grade(p) == Grade::Good && self.grade(n) == Grade::Good;
            (Some(Self::x(p) + slope * middle), if is_good { Grade::Good } else { Grade::Uncertain })
        };
        (self.low..self.high).map(cell).collect()
    }

    /// Value and status; `None`: Bad_NoData.
    fn result(&self, aggregate: Aggregate) -> Option<(f64, StatusCode)> {
        use Aggregate as A;
        let uncertain_if =
            |is_uncertain| if is_uncertain { StatusCode::UncertainDataSubNormal } else { StatusCode::Good };
        let (good, is_minimum) = (self.good(), aggregate == A::Minimum);
        if self.is_outside() {
            return None;
        }
        match aggregate {
            A::Count => Some((good.len() as f64, self.counted_status())),
            A::Average if good.is_empty() => None,
            A::Average => Some((good.iter().sum::<f64>() / good.len() as f64, self.counted_status())),
            A::Minimum | A::Maximum => {
                let best = good.into_iter().reduce(|a, b| if (b < a) == is_minimum { b } else { a })?;
                let spoils = |sample: &Sample| match self.grade(sample) {
                    Grade::Good => false,
                    Grade::Bad => true,
                    Grade::Uncertain => Self::x(sample) != best && (Self::x(sample) < best) == is_minimum,
                };
                Some((best, uncertain_if(self.inside().any(spoils))))
            }
            A::TimeAverage2 | A::Total2 => {
                let cells = self.cells(self.request.stepped);
                let values: Vec<f64> = cells.iter().filter_map(|cell| cell.0).collect();
                let sum: f64 = values.iter().sum();
                let value = if aggregate == A::Total2 { sum / 1000.0 } else { sum / values.len() as f64 };
                (!values.is_empty()).then(|| (value, self.timed_status(&cells)))
            }
            A::TimeAverage => {
                let cells = self.interpolated_cells();
                let values: Vec<f64> = cells.iter().filter_map(|cell| cell.0).collect();
                let status = uncertain_if(cells.iter().any(|cell| cell.1 != Grade::Good));
                (!values.is_empty()).then(|| (values.iter().sum::<f64>() / values.len() as f64, status))
            }
            _ => {
                // A status holds until the next sample; before the first one inside, that of the start bound holds.
                let (cells, sloped) = (self.cells(true), self.cells(self.request.stepped));
                let first = self.inside().next().map_or(self.high, Self::ms);
                let grade = |i: usize| if self.low + (i as i64) < first { sloped[i].1 } else { cells[i].1 };
                let grades: Vec<Grade> = (0..cells.len()).map(grade).collect();
                let is_bad = |grade: &Grade| {
                    *grade == Grade::Bad
                        || (*grade == Grade::Uncertain && self.request.configuration.treat_uncertain_as_bad)
                };
                let good = grades.iter().filter(|grade| **grade == Grade::Good).count() as f64;
                let bad = grades.iter().filter(|grade| is_bad(grade)).count() as f64;
                let value = match aggregate {
                    A::DurationGood => good,
                    A::DurationBad => bad,
                    A::PercentGood => good / grades.len() as f64 * 100.0,
                    _ => bad / grades.len() as f64 * 100.0,
                };
                Some((value, StatusCode::Good))
            }
        }
    }
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

proptest! {
    #[test]
    fn aggregates_agree_with_a_walk_in_milliseconds(history in histories(), request in requests()) {
        for aggregate in REFERENCED {
            let request = Request { aggregate, ..request };
            let width = if request.interval == 0 { i64::MAX / 4 } else { request.interval / MS };
            for (number, sample) in (0_i64..).zip(results(&history, &request)) {
                let ms = |time: Timestamp| (time.ticks() - EPOCH) / MS;
                let low = ms(request.start) + number * width;
                let naive = Naive {
                    samples: &history.0, request: &request, low, high: (low + width).min(ms(request.end)),
                };
                let context = format!("{aggregate:?} {number} {sample:?}\n{request:?}\n{:?}", history.0);
                prop_assert_eq!(sample.source_timestamp, at(low), "{}", context);
                match naive.result(aggregate) {
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
        }
    }

    #[test]
    fn a_read_in_pieces_gives_the_same(history in histories(), request in requests(), cut in 0..20_u64, back in any::<bool>()) {
        for &aggregate in Aggregate::ALL {
            let (start, end) = if back { (request.end, request.start) } else { (request.start, request.end) };
            let request = Request { aggregate, start, end, ..request };
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
