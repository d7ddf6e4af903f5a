//! Solutions that share nothing with the library: exact ones of linear equations, and extrapolated midpoint steps of order
//! 14 for the others.

/// What a model's inputs do: name, times, values. The model says how they go on between them.
pub(crate) type Inputs = Vec<(&'static str, Vec<f64>, Vec<f64>)>;

/// The value of a held input; before its first sample that.
pub(crate) fn held(inputs: &Inputs, name: &str, t: f64) -> f64 {
    let (_, times, values) = inputs.iter().find(|(known, ..)| *known == name).unwrap();
    values[times.partition_point(|time| *time <= t).saturating_sub(1)]
}

/// The value of a linear input; beyond its ends those.
pub(crate) fn linear(inputs: &Inputs, name: &str, t: f64) -> f64 {
    let (_, times, values) = inputs.iter().find(|(known, ..)| *known == name).unwrap();
    match times.partition_point(|time| *time <= t) {
        0 => values[0],
        after if after == times.len() => values[after - 1],
        after => {
            let part = (t - times[after - 1]) / (times[after] - times[after - 1]);
            values[after - 1] + part * (values[after] - values[after - 1])
        }
    }
}

/// Every time at which an input may jump or bend, and every time in `times`, ascending.
fn stops(inputs: &Inputs, times: &[f64]) -> Vec<f64> {
    let (start, end) = (times[0], times[times.len() - 1]);
    let knots = inputs.iter().flat_map(|(_, times, _)| times.iter().copied());
    let mut all: Vec<f64> = knots.filter(|t| (start..=end).contains(t)).chain(times.iter().copied()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// Walks from stop to stop; `advance(x, from, to)` takes x over a stretch on which no input has a knot inside. x at `times`.
pub(crate) fn walk(
    inputs: &Inputs,
    times: &[f64],
    x: &[f64],
    mut advance: impl FnMut(&mut Vec<f64>, f64, f64),
) -> Vec<Vec<f64>> {
    let mut x = x.to_vec();
    let mut at_times = Vec::new();
    let stops = stops(inputs, times);
    for (index, &stop) in stops.iter().enumerate() {
        if index > 0 {
            advance(&mut x, stops[index - 1], stop);
        }
        if times.contains(&stop) {
            at_times.push(x.clone());
        }
    }
    at_times
}

/// Sub-steps of each column of the extrapolation.
const COLUMNS: [usize; 7] = [2, 4, 6, 8, 10, 12, 14];

/// Gragg's modified midpoint rule, extrapolated to step 0 (Hairer, Nørsett, Wanner, Solving ODEs I, §II.9), in steps of at
/// most `step`. `rate(t, x)`; inputs inside are read at the middle of a stretch or linearly, so that knots do not show.
pub(crate) fn extrapolated(rate: &dyn Fn(f64, &[f64]) -> Vec<f64>, x: &mut Vec<f64>, from: f64, to: f64, step: f64) {
    let count = ((to - from) / step).ceil().max(1.0) as usize;
    let length = (to - from) / count as f64;
    for index in 0..count {
        let t = from + index as f64 * length;
        let mut table: Vec<Vec<f64>> = Vec::new();
        for (row, &parts) in COLUMNS.iter().enumerate() {
            let mut next = vec![midpoint(rate, x, t, length, parts)];
            for column in 0..row {
                let ratio = (parts as f64 / COLUMNS[row - column - 1] as f64).powi(2) - 1.0;
                let (finer, coarser) = (&next[column], &table[column]);
                next.push(finer.iter().zip(coarser).map(|(f, c)| f + (f - c) / ratio).collect());
            }
            table = next;
        }
        *x = table.pop().unwrap();
    }
}

fn midpoint(rate: &dyn Fn(f64, &[f64]) -> Vec<f64>, x: &[f64], t: f64, length: f64, parts: usize) -> Vec<f64> {
    let h = length / parts as f64;
    let moved = |from: &[f64], by: f64, slope: &[f64]| from.iter().zip(slope).map(|(x, r)| x + by * r).collect();
    let mut before = x.to_vec();
    let mut now: Vec<f64> = moved(x, h, &rate(t, x));
    for part in 1..parts {
        let next = moved(&before, 2.0 * h, &rate(t + part as f64 * h, &now));
        before = std::mem::replace(&mut now, next);
    }
    let end: Vec<f64> = moved(&before, h, &rate(t + length, &now));
    now.iter().zip(end).map(|(a, b)| 0.5 * (a + b)).collect()
}

/// x(s) of x' = m·x + f0 + f1·s from x(0): exact, for a matrix with two different real eigenvalues.
pub(crate) fn linear_2x2(m: [[f64; 2]; 2], f0: [f64; 2], f1: [f64; 2], x: [f64; 2], s: f64) -> [f64; 2] {
    let determinant = m[0][0] * m[1][1] - m[0][1] * m[1][0];
    let solve = |r: [f64; 2]| {
        [(m[1][1] * r[0] - m[0][1] * r[1]) / determinant, (m[0][0] * r[1] - m[1][0] * r[0]) / determinant]
    };
    // A particular solution p0 + p1·s, and Sylvester's formula for the rest.
    let p1 = solve([-f1[0], -f1[1]]);
    let p0 = solve([p1[0] - f0[0], p1[1] - f0[1]]);
    let (half, root) = (0.5 * (m[0][0] + m[1][1]), (0.25 * (m[0][0] - m[1][1]).powi(2) + m[0][1] * m[1][0]).sqrt());
    let (a, b) = (half + root, half - root);
    let (grown_a, grown_b) = ((a * s).exp() / (a - b), (b * s).exp() / (b - a));
    let rest = [x[0] - p0[0], x[1] - p0[1]];
    let part = |row: usize| {
        let times = |shift: f64| m[row][0] * rest[0] + m[row][1] * rest[1] - shift * rest[row];
        p0[row] + p1[row] * s + grown_a * times(b) + grown_b * times(a)
    };
    [part(0), part(1)]
}

#[test]
fn the_references_agree_where_both_can_be_had() {
    // x'' + 3x' + 2x = 4 + s as a system: eigenvalues −1 and −2.
    let (m, f0, f1) = ([[0.0, 1.0], [-2.0, -3.0]], [0.0, 4.0], [0.0, 1.0]);
    let rate = |t: f64, x: &[f64]| vec![x[1], -2.0 * x[0] - 3.0 * x[1] + 4.0 + t];
    let mut x = vec![0.5, -1.0];
    extrapolated(&rate, &mut x, 0.0, 3.0, 0.25);
    let exact = linear_2x2(m, f0, f1, [0.5, -1.0], 3.0);
    // By hand: x = 5/4 + s/2 + a·e^(−s) + b·e^(−2s), a = −3, b = 9/4.
    let by_hand = 1.25 + 1.5 - 3.0 * (-3.0_f64).exp() + 2.25 * (-6.0_f64).exp();
    assert!((exact[0] - by_hand).abs() < 1e-13, "{exact:?} {by_hand}");
    assert!((x[0] - exact[0]).abs() < 1e-13 && (x[1] - exact[1]).abs() < 1e-13, "{x:?} {exact:?}");
}
