//! Rows of data as SVG paths, no more of them than the picture has pixels. Pure.

use std::fmt::Write as _;

use super::axis::Axis;

/// A line through all points, broken where some are no numbers. Where several fall on a pixel column, their first, least, greatest and last.
pub(super) fn line(times: &[f64], values: &[f64], x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    let mut draw = |(px, py): (f64, f64), is_apart: bool| {
        let command = if is_apart { 'M' } else { 'L' };
        let _ = write!(path, "{command}{px:.1} {py:.1}");
    };
    for column in columns(times, values, x) {
        let at = |index: usize| (x.place(times[index]), y.place(values[index]));
        let mut points = [column.first, column.least, column.greatest, column.last];
        points.sort_unstable();
        for (index, point) in points.iter().enumerate() {
            if index == 0 || points[index - 1] != *point {
                draw(at(*point), index == 0 && column.is_apart);
            }
        }
    }
    path
}

/// Points on one pixel column that are drawn one by one; more become a stroke from the least to the greatest.
const DOTS_MAX: usize = 4;

/// A dot for each point. Where many fall on a pixel column, a stroke from the least to the greatest.
pub(super) fn dots(times: &[f64], values: &[f64], x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    for column in columns(times, values, x) {
        let at = |index: usize| (x.place(times[index]), y.place(values[index]));
        if column.count <= DOTS_MAX {
            // A stroke of no length with round ends is a dot.
            for index in (column.first..=column.last).filter(|index| values[*index].is_finite()) {
                let (px, py) = at(index);
                let _ = write!(path, "M{px:.1} {py:.1}h0");
            }
        } else {
            let ((px, low), (_, high)) = (at(column.least), at(column.greatest));
            let _ = write!(path, "M{px:.1} {low:.1}V{high:.1}");
        }
    }
    path
}

/// The area between two lines.
pub(super) fn area(times: &[f64], low: &[f64], high: &[f64], x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    let edges = times.iter().zip(high).chain(times.iter().zip(low).rev());
    for (index, (time, value)) in edges.enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        // Far outside the panel is as good as outside, and keeps numbers short.
        let py = y.place(*value).clamp(-1e4, 1e4);
        let _ = write!(path, "{command}{:.1} {py:.1}", x.place(*time));
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

/// The rows that fall on one pixel column, by index.
struct Column {
    count: usize,
    first: usize,
    last: usize,
    least: usize,
    greatest: usize,
    /// The first of all, or after something that is no number.
    is_apart: bool,
}

fn columns(times: &[f64], values: &[f64], x: &Axis) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let (mut pixel, mut is_apart) = (f64::NAN, true);
    for (index, (time, value)) in times.iter().zip(values).enumerate() {
        if !value.is_finite() {
            is_apart = true;
            continue;
        }
        let own = x.place(*time).round();
        match columns.last_mut().filter(|_| own == pixel) {
            Some(column) => {
                column.count += 1;
                column.last = index;
                if *value < values[column.least] {
                    column.least = index;
                }
                if *value > values[column.greatest] {
                    column.greatest = index;
                }
            }
            None => {
                columns.push(Column { count: 1, first: index, last: index, least: index, greatest: index, is_apart });
            }
        }
        (pixel, is_apart) = (own, false);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_points_make_a_small_path_that_keeps_every_extreme() {
        let times: Vec<f64> = (0..1_000_000).map(f64::from).collect();
        let mut values: Vec<f64> = times.iter().map(|t| (t / 1e5).sin()).collect();
        (values[123_456], values[777_777], values[5]) = (7.0, -7.0, f64::NAN);
        let x = Axis { low: 0.0, high: 1e6, from: 0.0, to: 800.0 };
        let y = Axis { low: -10.0, high: 10.0, from: 200.0, to: 0.0 };
        for path in [line(&times, &values, &x, &y), dots(&times, &values, &x, &y)] {
            assert!(path.len() < 60_000, "{}", path.len());
            assert!(path.contains("30.0") && path.contains("170.0") && !path.contains("NaN"));
        }
    }
}
