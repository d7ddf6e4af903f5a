//! A second opinion on the Aggregates that the properties ask: it looks at every millisecond of an interval by itself. Slow,
//! and written from the clauses of OPC 10000-13, not from the code.

use uatwin::{
    aggregate::{Aggregate, Request},
    sample::{Sample, StatusCode},
};

/// Time zero of the histories it knows; samples and intervals lie on whole milliseconds after it.
pub(crate) const EPOCH: i64 = 133_000_000_000_000_000;
/// Ticks of a millisecond.
pub(crate) const MS: i64 = 10_000;

/// One interval as the reference sees it: whole milliseconds.
pub(crate) struct Naive<'a> {
    pub(crate) samples: &'a [Sample],
    pub(crate) request: &'a Request,
    pub(crate) low: i64,
    pub(crate) high: i64,
    /// 1 backwards, where the later edge belongs to the interval and the earlier does not.
    pub(crate) shift: i64,
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
        self.samples.iter().filter(|sample| (self.low + self.shift..self.high + self.shift).contains(&Self::ms(sample)))
    }

    fn good(&self) -> Vec<f64> {
        self.inside().filter(|sample| sample.status.is_good()).map(Self::x).collect()
    }

    fn is_outside(&self) -> bool {
        self.high + self.shift <= Self::ms(&self.samples[0])
            || self.low + self.shift > Self::ms(self.samples.last().unwrap())
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

    /// How many samples lie at `t` or before.
    fn place(&self, t: i64) -> usize {
        self.samples.partition_point(|sample| Self::ms(sample) <= t)
    }

    fn before(&self, t: i64) -> Option<&Sample> {
        self.samples[..self.place(t)].last()
    }

    fn after(&self, t: i64) -> Option<&Sample> {
        self.samples.get(self.place(t))
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
            // Neighbours: no Bad one lies between.
            let is_good = self.place(Self::ms(p)) + 1 == self.place(Self::ms(n))
                && self.grade(p) == Grade::Good
                && self.grade(n) == Grade::Good;
            (Some(Self::x(p) + slope * middle), if is_good { Grade::Good } else { Grade::Uncertain })
        };
        (self.low..self.high).map(cell).collect()
    }

    /// Value and status; `None`: Bad_NoData.
    pub(crate) fn result(&self, aggregate: Aggregate) -> Option<(f64, StatusCode)> {
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
                let is_here = |sample: &&Sample| (self.low..self.high).contains(&Self::ms(sample));
                let first = self.samples.iter().find(is_here).map_or(self.high, Self::ms);
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
