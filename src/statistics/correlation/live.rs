//! The correlation matrix of a twin's variables over a rolling window.
//!
//! Alignment: rows stand on a grid, at whole multiples of a step since 1970. At an instant of the grid a variable has the
//! value on the straight line between its neighbouring samples, if they are at most [`REACH`] steps apart; else, and where it
//! is stepped, the earlier one: what a PLC does not send again has not changed. A row enters only where every value is known
//! and usable: a neighbour that is Bad leaves the row out. An instant is read when a sample is [`REACH`] steps past it; what
//! comes later is not in it.
//!
//! The window is cut into panes as that of [`super::super::Rolling`] is: a row updates means and co-moments of the newest
//! (Welford), a reading merges all of them (Pébay, SAND2008-6212), a pane leaves as a whole, nothing is subtracted. Ranks and lags
//! cannot be merged: they are of the newest [`ROWS_KEPT`] rows in the window.

use std::collections::VecDeque;

use super::{Coefficient, Method, Principal, Unusual, correlate, lagged, ranks};
use crate::{statistics::Window, time::Timestamp};

/// Most variables of a matrix: 60 panes of their co-moments are 73 KB.
pub const COLUMNS_MAX: usize = 16;
/// Newest rows that are kept for ranks and lags.
pub const ROWS_KEPT: usize = 512;
/// Steps over which a value is interpolated, and by which reading waits.
const REACH: i64 = 10;
/// Steps to either side at which lags are looked for.
const LAGS: usize = 20;
/// Panes of a full window.
const PANES: u32 = 60;
/// 1970 in ticks.
const EPOCH: Timestamp = Timestamp::from_ticks(116_444_736_000_000_000);

/// One variable's samples around the instants that are still to be read: of each step the first and the last.
#[derive(Clone, Debug)]
struct Column {
    stepped: bool,
    /// `None`: not usable.
    samples: VecDeque<(Timestamp, Option<f64>)>,
}

#[derive(Clone, Debug)]
struct Pane {
    start: Timestamp,
    count: u64,
    means: Vec<f64>,
    /// Σ (x − mean)(y − mean), lower triangle row by row.
    moments: Vec<f64>,
}

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Joint {
    window: Window,
    step: i64,
    columns: Vec<Column>,
    /// Last instant of the grid that was read, in steps since 1970.
    read: Option<i64>,
    newest: Timestamp,
    panes: VecDeque<Pane>,
    rows: VecDeque<(Timestamp, Vec<f64>)>,
}

/// Correlations of every variable with every other, row-major n·n.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// One for each pair.
    pub elements: Vec<Coefficient>,
    /// First and last row in it.
    pub span: (Timestamp, Timestamp),
}

impl Joint {
    /// An empty window of variables that hold their value (true) or go straight to the next, on a grid of `step_s` seconds
    /// (0.1 ms at least).
    #[must_use]
    pub fn new(window: Window, step_s: f64, stepped: &[bool]) -> Self {
        let step = EPOCH.plus_seconds(step_s).ticks().saturating_sub(EPOCH.ticks()).max(1000);
        let column = |stepped: &bool| Column { stepped: *stepped, samples: VecDeque::new() };
        let columns = stepped.iter().map(column).collect();
        let (panes, rows) = (VecDeque::new(), VecDeque::new());
        Self { window, step, columns, read: None, newest: Timestamp::NULL, panes, rows }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.columns.iter_mut().for_each(|column| column.samples.clear());
        (self.read, self.newest) = (None, Timestamp::NULL);
        self.panes.clear();
        self.rows.clear();
    }

    /// Takes in a column's sample, `None` for one that is not usable. What is not newer than the column's last is left out.
    pub fn add(&mut self, column: usize, at: Timestamp, value: Option<f64>) {
        let step_of = |at: Timestamp| (at.ticks() - EPOCH.ticks()).div_euclid(self.step);
        let Some(of) = self.columns.get_mut(column) else { return };
        if of.samples.back().is_some_and(|(last, _)| at <= *last) {
            return;
        }
        // Cells end at an instant of the grid, which belongs to them: a sample on it is read there.
        let cell = |at: Timestamp| (at.ticks() - EPOCH.ticks() - 1).div_euclid(self.step);
        let n = of.samples.len();
        if n >= 2 && [n - 2, n - 1].iter().all(|i| cell(of.samples[*i].0) == cell(at)) {
            of.samples.pop_back();
        }
        of.samples.push_back((at, value));
        self.newest = self.newest.max(at);
        let due = step_of(self.newest) - REACH;
        let read = self.read.unwrap_or_else(|| step_of(at) - 1);
        // After a long silence, whose held values say little, only the end of it is read.
        let from = (read + 1).max(due - 4 * i64::try_from(ROWS_KEPT).unwrap_or(i64::MAX));
        self.read = Some(read.max(due));
        for instant in from..=due {
            self.read_row(instant);
        }
    }

    fn read_row(&mut self, instant: i64) {
        let at = Timestamp::from_ticks(EPOCH.ticks().saturating_add(instant.saturating_mul(self.step)));
        let reach_s = (REACH as f64) * self.step as f64 / 1e7;
        // Every column is read, so that what lies behind is dropped.
        let row: Vec<Option<f64>> = self.columns.iter_mut().map(|column| column.value(at, reach_s)).collect();
        if let Some(row) = row.into_iter().collect::<Option<Vec<f64>>>() {
            self.enter(at, row);
        }
    }

    fn enter(&mut self, at: Timestamp, row: Vec<f64>) {
        let needs_pane = self.panes.back().is_none_or(|pane| match self.window {
            Window::Duration(seconds) => at.seconds_since(pane.start) >= seconds / f64::from(PANES),
            Window::Values(values) => pane.count >= u64::from(values.div_ceil(PANES)),
            Window::SinceReset => false,
        });
        if needs_pane {
            self.panes.push_back(Pane::new(at, row.len()));
        }
        if let Some(pane) = self.panes.back_mut() {
            pane.add(&row);
        }
        self.rows.push_back((at, row));
        if self.rows.len() > ROWS_KEPT {
            self.rows.pop_front();
        }
        while self.panes.front().is_some_and(|pane| self.has_left(pane, at)) {
            self.panes.pop_front();
        }
        if let Window::Values(values) = self.window {
            let mut held: u64 = self.panes.iter().map(|pane| pane.count).sum();
            while held > u64::from(values) {
                held -= self.panes.pop_front().map_or(held, |pane| pane.count);
            }
        }
    }

    fn has_left(&self, pane: &Pane, now: Timestamp) -> bool {
        matches!(self.window, Window::Duration(seconds) if now.seconds_since(pane.start) > seconds)
    }

    /// All of the window, as of `now`; `None`: no row is in it.
    fn merged(&self, now: Timestamp) -> Option<Pane> {
        let mut live = self.panes.iter().filter(|pane| !self.has_left(pane, now));
        let mut all = live.next()?.clone();
        live.for_each(|pane| all.merge(pane));
        Some(all)
    }

    /// The newest rows in the window, by column.
    fn kept(&self, start: Timestamp) -> Vec<Vec<f64>> {
        let rows = || self.rows.iter().filter(|(at, _)| *at >= start);
        (0..self.columns.len()).map(|column| rows().map(|(_, row)| row[column]).collect()).collect()
    }

    /// The matrix as of `now`; `None`: no row is in the window.
    #[must_use]
    pub fn matrix(&self, method: Method, now: Timestamp) -> Option<Matrix> {
        let all = self.merged(now)?;
        let n = self.columns.len();
        let end = self.rows.back()?.0;
        let pairs = || (0..n * n).map(|place| (place / n, place % n));
        if method == Method::Pearson {
            return Some(Matrix {
                elements: pairs().map(|(i, j)| all.coefficient(i, j)).collect(),
                span: (all.start, end),
            });
        }
        let ranked: Vec<Vec<f64>> = self.kept(all.start).iter().map(|values| ranks(values)).collect();
        let elements = pairs().map(|(i, j)| correlate(&ranked[i], &ranked[j])).collect();
        let start = self.rows.iter().map(|(at, _)| *at).find(|at| *at >= all.start)?;
        Some(Matrix { elements, span: (start, end) })
    }

    /// Seconds by which column j follows column i where they correlate most, row-major n·n, of the rows kept, up to 20 steps to
    /// either side; NaN where there are no two rows.
    #[must_use]
    pub fn lags(&self, now: Timestamp) -> Option<Vec<f64>> {
        let columns = self.kept(self.merged(now)?.start);
        let n = columns.len();
        let step_s = self.step as f64 / 1e7;
        let mut lags = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                let best = best_lag(&columns[i], &columns[j]);
                lags[i * n + j] = best * step_s;
                lags[j * n + i] = -best * step_s;
            }
        }
        Some(lags)
    }

    /// The newest row against the principal components of the window; `None`: too few rows, or a constant variable.
    #[must_use]
    pub fn unusual(&self, now: Timestamp) -> Option<Unusual> {
        let all = self.merged(now)?;
        let n = self.columns.len();
        let matrix: Vec<f64> = (0..n * n).map(|place| all.coefficient(place / n, place % n).coefficient).collect();
        let principal = Principal::of(&matrix)?;
        let (_, row) = self.rows.back()?;
        let freedom = all.count as f64 - 1.0;
        let standard = |i: usize| (row[i] - all.means[i]) / (all.moments[place(i, i)] / freedom).sqrt();
        Some(principal.unusual(&(0..n).map(standard).collect::<Vec<_>>(), usize::try_from(all.count).ok()?))
    }
}

/// Rows by which the second follows the first: correlations of neighbouring rows, as if no row were missing.
fn best_lag(a: &[f64], b: &[f64]) -> f64 {
    let most = LAGS.min(a.len().saturating_sub(3));
    let at = |i: usize| {
        let lag = i as f64 - most as f64;
        let (x, y) = if i < most { (&a[most - i..], b) } else { (a, &b[i - most..]) };
        (lag, correlate(x, y))
    };
    let lagged = lagged::of((0..=2 * most).map(at).collect());
    lagged.best.map_or(f64::NAN, |best| lagged.lags[best].0)
}

impl Column {
    /// Its value at an instant later than all before; forgets what is no longer needed.
    fn value(&mut self, at: Timestamp, reach_s: f64) -> Option<f64> {
        while self.samples.get(1).is_some_and(|(time, _)| *time <= at) {
            self.samples.pop_front();
        }
        let (before, value) = *self.samples.front().filter(|(time, _)| *time <= at)?;
        let value = value?;
        let after = self.samples.get(1).filter(|(time, _)| time.seconds_since(before) <= reach_s);
        match after {
            Some((after, next)) if !self.stepped && before < at => {
                let part = at.seconds_since(before) / after.seconds_since(before);
                Some(value + part * ((*next)? - value))
            }
            _ => Some(value),
        }
    }
}

/// Where the co-moment of two columns stands.
const fn place(i: usize, j: usize) -> usize {
    let (row, column) = if i < j { (j, i) } else { (i, j) };
    row * (row + 1) / 2 + column
}

impl Pane {
    fn new(start: Timestamp, n: usize) -> Self {
        Self { start, count: 0, means: vec![0.0; n], moments: vec![0.0; n * (n + 1) / 2] }
    }

    fn add(&mut self, row: &[f64]) {
        self.count += 1;
        let n = self.count as f64;
        let before = (n - 1.0) / n;
        for (i, x) in row.iter().enumerate() {
            for (j, y) in row.iter().enumerate().take(i + 1) {
                self.moments[place(i, j)] += before * (x - self.means[i]) * (y - self.means[j]);
            }
        }
        self.means.iter_mut().zip(row).for_each(|(mean, x)| *mean += (x - *mean) / n);
    }

    fn merge(&mut self, other: &Self) {
        let (n, m) = (self.count as f64, other.count as f64);
        let delta: Vec<f64> = self.means.iter().zip(&other.means).map(|(a, b)| b - a).collect();
        for i in 0..delta.len() {
            for j in 0..=i {
                self.moments[place(i, j)] += other.moments[place(i, j)] + delta[i] * delta[j] * n * m / (n + m);
            }
        }
        self.means.iter_mut().zip(&delta).for_each(|(mean, delta)| *mean += delta * m / (n + m));
        self.count += other.count;
    }

    fn coefficient(&self, i: usize, j: usize) -> Coefficient {
        let n = self.count as f64;
        let (xx, yy) = (self.moments[place(i, i)], self.moments[place(j, j)]);
        // What is left of a constant is rounding.
        let constant = |power: f64, mean: f64| power <= n * (4.0 * f64::EPSILON * mean).powi(2);
        let r = if constant(xx, self.means[i]) || constant(yy, self.means[j]) {
            f64::NAN
        } else if i == j {
            1.0
        } else {
            self.moments[place(i, j)] / (xx.sqrt() * yy.sqrt())
        };
        Coefficient::of(r, usize::try_from(self.count).unwrap_or(usize::MAX))
    }
}
