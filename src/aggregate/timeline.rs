//! The samples of a series as one walk through time: a page at a time, with what came before and what comes next, from
//! which the bounding values of Part 13 §3.1.7 to §3.1.9 follow.

use super::{
    Extent, Request, Source,
    cursor::{Cursor, PAGE_MAX, PAGE_MIN, after},
    interval::{INTERPOLATED, in_type_of},
};
use crate::{
    history::Direction,
    sample::{Sample, StatusCode, Value},
    time::Timestamp,
};

/// What a sample must have to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Only its status is looked at.
    Status,
    /// A value; a number only if it is to be interpolated.
    Value,
    /// A finite number.
    Number,
}

/// Quality of a sample or of a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    Good,
    Uncertain,
    Bad,
}

/// How samples are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) needs: Needs,
    pub(super) treat_uncertain_as_bad: bool,
}

/// A sample as a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) at: i64,
    /// NaN if it is none.
    pub(super) x: f64,
    pub(super) grade: Grade,
}

impl Rules {
    #[inline]
    pub(super) fn grade(&self, sample: &Sample) -> (f64, Grade) {
        let x = sample.value.as_f64();
        let is_usable = match (self.needs, x) {
            (Needs::Status, _) => true,
            (_, Some(x)) => x.is_finite(),
            (Needs::Value, None) => !sample.value.is_null(),
            (Needs::Number, None) => false,
        };
        let grade = if !is_usable || sample.status.is_bad() {
            Grade::Bad
        } else if sample.status.is_good() {
            Grade::Good
        } else if self.treat_uncertain_as_bad {
            Grade::Bad
        } else {
            Grade::Uncertain
        };
        (x.unwrap_or(f64::NAN), grade)
    }

    fn is_wrong_type(&self, sample: &Sample) -> bool {
        let is_value = !sample.value.is_null() && !sample.status.is_bad();
        self.needs == Needs::Number && is_value && sample.value.as_f64().is_none()
    }

    #[inline]
    fn point(&self, sample: &Sample) -> Point {
        let (x, grade) = self.grade(sample);
        Point { at: sample.source_timestamp.ticks(), x, grade }
    }
}

/// A bounding value. Without a value its grade is Bad.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) point: Point,
    pub(super) value: Value,
    /// The status it is reported with; for [`super::Aggregate::WorstQuality2`] without the judgement by rules.
    pub(super) status: StatusCode,
    /// [`INTERPOLATED`] or 0 for raw.
    pub(super) info: u32,
    /// From beyond the last sample.
    pub(super) is_extrapolated: bool,
}

impl Bound {
    fn none(at: i64) -> Self {
        let point = Point { at, x: f64::NAN, grade: Grade::Bad };
        Self { point, value: Value::Null, status: StatusCode::BadNoData, info: 0, is_extrapolated: false }
    }

    fn raw(sample: &Sample, point: Point) -> Self {
        Self { point, value: sample.value.clone(), status: sample.status, info: 0, is_extrapolated: false }
    }

    fn estimate(at: i64, x: f64, value: Value, grade: Grade) -> Self {
        let status = if grade == Grade::Good { StatusCode::Good } else { StatusCode::UncertainDataSubNormal };
        Self { point: Point { at, x, grade }, value, status, info: INTERPOLATED, is_extrapolated: false }
    }

    pub(super) fn has_value(&self) -> bool {
        self.point.grade != Grade::Bad
    }
}

/// What lies before the present place.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// The sample just before, whatever it is.
    last: Option<Point>,
    /// The last usable one; the cursor keeps its value.
    usable: Option<Point>,
    /// The usable one before that.
    older: Option<Point>,
}

/// A walk through the samples of a series, forward, that knows what lies around.
pub(super) struct Timeline<'a, S: Source> {
    cursor: Cursor<'a, S>,
    pub(super) rules: Rules,
    stepped: bool,
    sloped_extrapolation: bool,
    extent: Extent,
    past: Past,
    /// The next usable sample, if it had to be looked for beyond the page.
    ahead: Option<Point>,
    has_wrong_type: bool,
}

impl<'a, S: Source> Timeline<'a, S> {
    /// Stands at `at`, knowing what came before.
    pub(super) fn at(
        source: &'a S,
        request: &Request,
        needs: Needs,
        extent: Extent,
        at: i64,
    ) -> Result<Self, S::Error> {
        let mut timeline = Self {
            cursor: Cursor::new(source, at.max(extent.first), i64::MAX),
            rules: Rules { needs, treat_uncertain_as_bad: request.configuration.treat_uncertain_as_bad },
            stepped: request.stepped,
            sloped_extrapolation: request.configuration.use_sloped_extrapolation,
            extent,
            past: Past::default(),
            ahead: None,
            has_wrong_type: false,
        };
        timeline.look_back(at)?;
        Ok(timeline)
    }

    /// The value of the last usable sample passed.
    pub(super) fn previous(&self) -> Option<Value> {
        self.past.usable.map(|_| self.cursor.kept())
    }

    /// Passes the next sample if it lies before `end`.
    #[inline]
    pub(super) fn pass(&mut self, end: i64) -> Result<Option<(Point, &Sample)>, S::Error> {
        if self.cursor.pass(end)?.is_none() {
            return Ok(None);
        }
        let index = self.cursor.index - 1;
        let sample = &self.cursor.page[index];
        let point = self.rules.point(sample);
        self.past.last = Some(point);
        if point.grade == Grade::Bad {
            self.has_wrong_type |= self.rules.is_wrong_type(sample);
        } else {
            self.past.older = self.past.usable.replace(point);
            self.cursor.keep = Some(index);
        }
        Ok(Some((point, sample)))
    }

    /// Goes to `at` without looking at what lies between: within the page sample by sample, else by a new look back.
    pub(super) fn skip_to(&mut self, at: i64) -> Result<(), S::Error> {
        if self.cursor.is_near(at) {
            while self.pass(at)?.is_some() {}
            return Ok(());
        }
        self.cursor.jump(at.max(self.extent.first));
        self.ahead = None;
        self.look_back(at)
    }

    /// A Bad result for want of numbers where there are values of another type: Bad_AggregateInvalidInputs (§5.3.2).
    pub(super) fn judge(&self, sample: Sample) -> Sample {
        if self.has_wrong_type && sample.status.is_bad() {
            Sample { status: StatusCode::BadAggregateInvalidInputs, ..sample }
        } else {
            sample
        }
    }

    /// Learns what lies before `at`.
    fn look_back(&mut self, at: i64) -> Result<(), S::Error> {
        self.past = Past::default();
        let (first, mut end) = (Timestamp::from_ticks(self.extent.first), Timestamp::from_ticks(at));
        if end <= first {
            return Ok(());
        }
        let mut limit = 4;
        loop {
            let page = self.cursor.source.read(first..end, Direction::Backward, limit)?;
            for sample in &page {
                let point = self.rules.point(sample);
                self.past.last = self.past.last.or(Some(point));
                if point.grade == Grade::Bad {
                    self.has_wrong_type |= self.rules.is_wrong_type(sample);
                } else if self.past.usable.is_some() {
                    self.past.older = Some(point);
                    return Ok(());
                } else {
                    self.past.usable = Some(point);
                    self.cursor.kept = sample.value.clone();
                }
            }
            let Some(oldest) = page.last().filter(|_| page.len() == limit) else { return Ok(()) };
            if self.past.usable.is_some() && !self.sloped_extrapolation {
                return Ok(());
            }
            end = oldest.source_timestamp;
            limit = (limit * 4).min(4096);
        }
    }

    /// The simple bounding value at `at` (§3.1.9); all samples before `at` must have been passed.
    pub(super) fn simple_bound(&mut self, at: i64) -> Result<Bound, S::Error> {
        let (rules, stepped, last) = (self.rules, self.stepped, self.extent.last);
        let next = self.cursor.peek()?.map(|sample| (rules.point(sample), sample));
        if let Some((point, sample)) = &next
            && point.at == at
        {
            return Ok(Bound::raw(sample, *point));
        }
        let next = next.map(|(point, _)| point);
        let Some(before) = self.past.usable else { return Ok(Bound::none(at)) };
        let value = self.cursor.kept();
        // "If either bounding time is beyond the last data point the Server may return an error": Annex A does.
        if at > last || self.past.last.is_none_or(|last| last.at != before.at) {
            return Ok(Bound::none(at));
        }
        if stepped || before.x.is_nan() {
            return Ok(Bound::estimate(at, before.x, value, before.grade));
        }
        Ok(match next {
            Some(after) if after.grade != Grade::Bad => {
                line(before, after, at, &value, worse(before.grade, after.grade))
            }
            _ => Bound::estimate(at, before.x, value, Grade::Uncertain),
        })
    }

    /// The interpolated bounding value at `at` (§3.1.8); all samples before `at` must have been passed.
    pub(super) fn interpolated_bound(&mut self, at: i64) -> Result<Bound, S::Error> {
        let rules = self.rules;
        let next = self.cursor.peek()?.map(|sample| (rules.point(sample), sample));
        if let Some((point, sample)) = &next
            && point.at == at
            && point.grade != Grade::Bad
        {
            return Ok(Bound::raw(sample, *point));
        }
        let next = next.map(|(point, _)| point);
        let Some(before) = self.past.usable else { return Ok(Bound::none(at)) };
        let value = self.cursor.kept();
        let is_bad_between =
            self.past.last.is_none_or(|last| last.at != before.at) || next.is_some_and(|next| next.at == at);
        if self.stepped || before.x.is_nan() {
            let is_extrapolated = at > self.extent.last;
            let grade = if is_bad_between || is_extrapolated { Grade::Uncertain } else { before.grade };
            return Ok(Bound { is_extrapolated, ..Bound::estimate(at, before.x, value, grade) });
        }
        if let Some(after) = self.next_usable()? {
            let is_bad_between = is_bad_between || next.is_some_and(|next| next.at != after.at);
            let grade = if is_bad_between { Grade::Uncertain } else { worse(before.grade, after.grade) };
            return Ok(line(before, after, at, &value, grade));
        }
        let held = match self.past.older {
            Some(older) if self.sloped_extrapolation => line(older, before, at, &value, Grade::Uncertain),
            _ => Bound::estimate(at, before.x, value, Grade::Uncertain),
        };
        Ok(Bound { is_extrapolated: true, ..held })
    }

    /// The next usable sample that is a number; may look past the page, and remembers what it found there.
    fn next_usable(&mut self) -> Result<Option<Point>, S::Error> {
        let rules = self.rules;
        let is_usable = |point: &Point| point.grade != Grade::Bad && !point.x.is_nan();
        let rest = self.cursor.page.get(self.cursor.index..).unwrap_or_default();
        if let Some(point) = rest.iter().map(|sample| rules.point(sample)).find(is_usable) {
            return Ok(Some(point));
        }
        let Some(mut from) = self.cursor.next else { return Ok(None) };
        if let Some(point) = self.ahead.filter(|point| point.at >= from) {
            return Ok(Some(point));
        }
        let mut limit = PAGE_MIN;
        loop {
            let times = Timestamp::from_ticks(from)..Timestamp::MAX;
            let page = self.cursor.source.read(times, Direction::Forward, limit)?;
            self.ahead = page.iter().map(|sample| rules.point(sample)).find(is_usable);
            if self.ahead.is_some() {
                return Ok(self.ahead);
            }
            let Some(last) = page.last().filter(|_| page.len() == limit) else { return Ok(None) };
            from = after(last);
            limit = (limit * 2).min(PAGE_MAX);
        }
    }
}

/// The point at `at` on the line through two others, in the type of `like` (§3.1.5).
fn line(a: Point, b: Point, at: i64, like: &Value, grade: Grade) -> Bound {
    let share = (at - a.at) as f64 / (b.at - a.at) as f64;
    let x = share.mul_add(b.x - a.x, a.x);
    Bound::estimate(at, x, in_type_of(like, x), grade)
}

/// The worse of two grades.
pub(super) fn worse(a: Grade, b: Grade) -> Grade {
    match (a, b) {
        (Grade::Bad, _) | (_, Grade::Bad) => Grade::Bad,
        (Grade::Uncertain, _) | (_, Grade::Uncertain) => Grade::Uncertain,
        _ => Grade::Good,
    }
}
