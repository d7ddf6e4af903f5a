//! Correlation, lags, principal components and the live matrix against numpy and scipy (`tests/golden/correlation`) and against
//! what they are by definition.

use proptest::prelude::*;
use uatwin::{
    statistics::{
        Window,
        correlation::{self, Coefficient, Joint, Method, Principal, Trace, fisher_interval, lagged},
    },
    time::Timestamp,
};

use super::support::{Noise, close, golden};

const ROWS: usize = 120;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_s(1_700_000_000.0 + seconds)
}

fn columns(lines: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..4).map(|column| lines[..ROWS].iter().map(|row| row[column]).collect()).collect()
}

fn trace(values: &[f64]) -> Trace {
    Trace { times: (0..values.len()).map(|i| i as f64).collect(), values: values.to_vec(), stepped: false }
}

/// 1e-7: one column's offset of 1e9 leaves nine digits of its spread.
#[track_caller]
fn matrix_is(found: &[Coefficient], r: &[f64], p: &[f64]) {
    for (found, (r, p)) in found.iter().zip(r.iter().zip(p)) {
        assert!((found.coefficient - r).abs() < 1e-7, "{found:?} instead of {r}");
        assert!((found.p_value - p).abs() < 1e-7 + 1e-5 * p, "{found:?} instead of p = {p}");
        assert_eq!(found.count, ROWS);
    }
}

fn pairs(columns: &[Vec<f64>], of: fn(&Trace, &Trace) -> Coefficient) -> Vec<Coefficient> {
    let all = |a: &Vec<f64>| columns.iter().map(|b| of(&trace(a), &trace(b))).collect::<Vec<_>>();
    columns.iter().flat_map(all).collect()
}

#[test]
fn coefficients_p_values_and_intervals_are_scipys() {
    let lines = golden("correlation/rows.txt");
    let columns = columns(&lines);
    let pearson = pairs(&columns, correlation::pearson);
    matrix_is(&pearson, &lines[ROWS], &lines[ROWS + 1]);
    matrix_is(&pairs(&columns, correlation::spearman), &lines[ROWS + 2], &lines[ROWS + 3]);
    let different = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
    for ((i, j), interval) in different.into_iter().zip(lines[ROWS + 4].chunks(2)) {
        let (low, high) = fisher_interval(&pearson[4 * i + j], 0.95);
        assert!((low - interval[0]).abs() < 1e-7 && (high - interval[1]).abs() < 1e-7, "{low} {high} {interval:?}");
    }
}

#[test]
fn components_and_how_unusual_a_row_is_are_numpys() {
    let lines = golden("correlation/rows.txt");
    let columns = columns(&lines);
    let matrix: Vec<f64> = pairs(&columns, correlation::pearson).iter().map(|of| of.coefficient).collect();
    let mut principal = Principal::of(&matrix).unwrap();
    principal.eigenvalues.iter().zip(&lines[ROWS + 5]).for_each(|(found, known)| close(*found, *known, 1e-6));
    let enough = principal.kept;
    let standard = |(column, x): (&Vec<f64>, &f64)| {
        let n = column.len() as f64;
        let mean = column.iter().map(|y| y - column[0]).sum::<f64>() / n;
        let square = column.iter().map(|y| (y - column[0] - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (x - column[0] - mean) / square.sqrt()
    };
    let row: Vec<f64> = columns.iter().zip(&lines[ROWS + 6]).map(standard).collect();
    for (kept, known) in [(1, &lines[ROWS + 7]), (enough, &lines[ROWS + 8])] {
        principal.kept = kept;
        let unusual = principal.unusual(&row, ROWS);
        close(unusual.t2, known[0], 1e-5);
        close(unusual.t2_limit, known[1], 1e-6);
        close(unusual.spe, known[2], 1e-5);
        close(unusual.spe_limit, known[3], 1e-6);
    }
    assert_eq!(Principal::of(&[1.0, f64::NAN, f64::NAN, 1.0]), None);
    assert_eq!(Principal::of(&[1.0]), None);
}

/// About one row in a hundred of usual ones is above each limit.
#[test]
fn limits_hold_what_they_say() {
    let mut noise = Noise(5);
    let mut draw = || {
        let (a, b) = (noise.normal(), noise.normal());
        [a, a + 0.4 * noise.normal(), b, b - a + 0.5 * noise.normal(), 0.3 * b + noise.normal()]
    };
    let reference: Vec<[f64; 5]> = (0..20_000).map(|_| draw()).collect();
    let columns: Vec<Vec<f64>> = (0..5).map(|column| reference.iter().map(|row| row[column]).collect()).collect();
    let matrix: Vec<f64> = pairs(&columns, correlation::pearson).iter().map(|of| of.coefficient).collect();
    let principal = Principal::of(&matrix).unwrap();
    let sigma: Vec<f64> = columns.iter().map(|c| (c.iter().map(|x| x * x).sum::<f64>() / 20_000.0).sqrt()).collect();
    let (mut t2, mut spe) = (0, 0);
    for _ in 0..50_000 {
        let row: Vec<f64> = draw().iter().zip(&sigma).map(|(x, sigma)| x / sigma).collect();
        let unusual = principal.unusual(&row, 20_000);
        t2 += u32::from(unusual.t2 > unusual.t2_limit);
        spe += u32::from(unusual.spe > unusual.spe_limit);
    }
    // 500 ± 22; SPE's limit is an approximation of some per cent.
    assert!((400..600).contains(&t2) && (400..600).contains(&spe), "{t2} {spe}");
}

#[test]
fn a_lag_is_found_with_its_sign() {
    let mut noise = Noise(9);
    let white: Vec<f64> = (0..2000).map(|_| noise.normal()).collect();
    // b is what a was 7 s ago.
    let a = trace(&white);
    let b = Trace { times: a.times.iter().map(|t| t + 7.0).collect(), ..a.clone() };
    for (first, second, lag) in [(&a, &b, 7.0), (&b, &a, -7.0), (&a, &a, 0.0)] {
        let found = lagged(first, second, 20.0, 0.5);
        assert_eq!(found.lags.len(), 81);
        let (at, best) = found.lags[found.best.unwrap()];
        assert_eq!(at, lag);
        assert!((best.coefficient - 1.0).abs() < 1e-12 && found.p_value < 1e-100, "{best:?}");
    }
    // Of unrelated series the best of 41 is not significant more often than it should be.
    let significant = (0..400).filter(|_| {
        let mut series = || trace(&(0..100).map(|_| noise.normal()).collect::<Vec<_>>());
        lagged(&series(), &series(), 20.0, 1.0).p_value < 0.05
    });
    let significant = significant.count();
    assert!(significant <= 30, "{significant} of 400 at 5 %");
    assert_eq!(lagged(&trace(&[1.0; 50]), &a, 5.0, 1.0).best, None);
}

/// Stepped or not, and samples: seconds, and the value of a usable one.
type Series = (bool, Vec<(f64, Option<f64>)>);

/// The rule of the live matrix by its wording, with everything known.
fn value_at(samples: &[(f64, Option<f64>)], stepped: bool, t: f64, step: f64) -> Option<f64> {
    let after = samples.partition_point(|(time, _)| *time <= t);
    let (before, value) = *samples.get(after.checked_sub(1)?)?;
    match samples.get(after) {
        Some((next, following)) if !stepped && before < t && next - before <= 10.0 * step + 1e-9 => {
            Some(value? + (t - before) / (next - before) * ((*following)? - value?))
        }
        _ => value,
    }
}

fn naive_rows(series: &[Series], step: f64, until: f64) -> Vec<(f64, Vec<f64>)> {
    let instants = (0..).map(|i| f64::from(i) * step).take_while(|t| *t <= until + 1e-9);
    let row = |t: f64| {
        let values = series.iter().map(|(stepped, samples)| value_at(samples, *stepped, t, step));
        Some((t, values.collect::<Option<Vec<f64>>>()?))
    };
    instants.filter_map(row).collect()
}

fn live(series: &[Series], window: Window, step: f64) -> (Joint, f64) {
    let stepped: Vec<bool> = series.iter().map(|(stepped, _)| *stepped).collect();
    let mut joint = Joint::new(window, step, &stepped);
    let mut all: Vec<(f64, usize, Option<f64>)> = Vec::new();
    for (column, (_, samples)) in series.iter().enumerate() {
        all.extend(samples.iter().map(|(t, value)| (*t, column, *value)));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.iter().for_each(|(t, column, value)| joint.add(*column, at(*t), *value));
    (joint, all.last().map_or(0.0, |(t, ..)| *t))
}

#[track_caller]
fn equal(found: &Coefficient, known: &Coefficient) {
    assert_eq!(found.count, known.count);
    let (a, b) = (found.coefficient, known.coefficient);
    assert!((a - b).abs() < 1e-6 || (a.is_nan() && b.is_nan()), "{found:?} {known:?}");
}

fn check_live(series: &[Series], step: f64) {
    let (joint, newest) = live(series, Window::Duration(1e6), step);
    let rows = naive_rows(series, step, ((newest / step + 1e-9).floor() - 10.0) * step);
    let Some(matrix) = joint.matrix(Method::Pearson, at(newest)) else {
        assert!(rows.is_empty());
        return;
    };
    let column = |i: usize| trace(&rows.iter().map(|(_, row)| row[i]).collect::<Vec<_>>());
    let n = series.len();
    let first = rows.first().map_or(f64::NAN, |(t, _)| *t);
    assert!((matrix.span.0.seconds_since(at(0.0)) - first).abs() < 1e-6, "{:?} {first}", matrix.span);
    for place in 0..n * n {
        equal(&matrix.elements[place], &correlation::pearson(&column(place / n), &column(place % n)));
    }
    if rows.len() <= correlation::ROWS_KEPT {
        let ranked = joint.matrix(Method::Spearman, at(newest)).unwrap();
        // Where a value is interpolated between equal ones, rounding may tell equal ranks apart: held ones are exact.
        if series.iter().all(|(stepped, _)| *stepped) {
            for place in 0..n * n {
                equal(&ranked.elements[place], &correlation::spearman(&column(place / n), &column(place % n)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Samples at any time, some Bad, long silences, equal values, an offset of 1e9.
    #[test]
    fn the_live_matrix_is_the_wording_of_its_rule(
        columns in prop::collection::vec(
            (any::<bool>(), prop::collection::vec((1_u32..40, -50_i32..50, 0_u8..20), 5..200)), 2..4),
        offset in prop::sample::select(vec![0.0, 1e9]),
        step in prop::sample::select(vec![0.5, 1.0, 2.0]),
    ) {
        let series: Vec<_> = columns.into_iter().map(|(stepped, samples)| {
            let mut t = 0.0;
            let sample = |(gap, y, kind): (u32, i32, u8)| {
                t += f64::from(gap) * if kind == 1 { 1.0 } else { 0.125 };
                (t, (kind != 0).then(|| offset + f64::from(y) / 4.0))
            };
            (stepped, samples.into_iter().map(sample).collect::<Vec<_>>())
        }).collect();
        check_live(&series, step);
    }
}

/// Panes merge to what all rows are, and leave as a whole.
#[test]
fn a_rolling_matrix_is_exact_for_the_span_it_states() {
    let mut noise = Noise(21);
    let mut x = 0.0;
    let mut series = vec![(false, Vec::new()), (true, Vec::new()), (false, Vec::new())];
    for i in 0..50_000 {
        let t = f64::from(i) * 0.5;
        x = 0.99 * x + noise.normal();
        series[0].1.push((t, Some(1e9 + x)));
        series[1].1.push((t, Some((x / 3.0).round())));
        series[2].1.push((t, Some(noise.normal() - 0.2 * x)));
    }
    for (window, rows_min) in [(Window::Duration(600.0), 590), (Window::Values(1000), 983)] {
        let (joint, newest) = live(&series, window, 1.0);
        let matrix = joint.matrix(Method::Pearson, at(newest)).unwrap();
        let start = matrix.span.0.seconds_since(at(0.0));
        let mut rows = naive_rows(&series, 1.0, matrix.span.1.seconds_since(at(0.0)));
        rows.retain(|(t, _)| *t >= start - 1e-6);
        assert!(matrix.elements[0].count >= rows_min, "{:?}", matrix.elements[0]);
        let column = |i: usize| trace(&rows.iter().map(|(_, row)| row[i]).collect::<Vec<_>>());
        for place in 0..9 {
            equal(&matrix.elements[place], &correlation::pearson(&column(place / 3), &column(place % 3)));
        }
        assert!(joint.unusual(at(newest)).unwrap().t2_limit > 6.0);
    }
    let (joint, newest) = live(&series, Window::Duration(60.0), 1.0);
    assert_eq!(joint.matrix(Method::Pearson, at(newest + 200.0)), None, "an old window empties");
}

#[test]
fn the_live_matrix_knows_which_column_follows_which_and_what_is_unusual() {
    let mut noise = Noise(33);
    let mut joint = Joint::new(Window::Duration(400.0), 1.0, &[false, false, true]);
    let white: Vec<f64> = (0..500).map(|_| noise.normal()).collect();
    for t in 10..500_usize {
        joint.add(0, at(t as f64), Some(white[t]));
        joint.add(1, at(t as f64), Some(white[t - 4] + 0.1 * noise.normal()));
        joint.add(2, at(t as f64), Some(white[t] + 0.1 * noise.normal()));
    }
    let lags = joint.lags(at(500.0)).unwrap();
    assert_eq!((lags[1], lags[3], lags[2], lags[0]), (4.0, -4.0, 0.0, 0.0), "{lags:?}");
    let usual = joint.unusual(at(500.0)).unwrap();
    assert!(usual.spe < usual.spe_limit && usual.t2 < usual.t2_limit, "{usual:?}");
    // Columns 0 and 2 part: each within its range, together never seen.
    for t in 500..511_usize {
        joint.add(0, at(t as f64), Some(2.0));
        joint.add(2, at(t as f64), Some(-2.0));
        joint.add(1, at(t as f64), Some(0.0));
    }
    let unusual = joint.unusual(at(510.0)).unwrap();
    assert!(unusual.spe > unusual.spe_limit, "{unusual:?}");
    joint.reset();
    assert_eq!((joint.matrix(Method::Pearson, at(500.0)), joint.lags(at(500.0))), (None, None));
}

/// A gap is not bridged: what stands between a Bad sample and its neighbours is not known.
#[test]
fn nothing_is_read_off_across_a_bad_sample() {
    let nan = f64::NAN;
    let coarse = Trace { times: vec![0.5, 1.5, 2.5, 3.5, 4.5], values: vec![1.0, 2.0, nan, 4.0, 5.0], stepped: false };
    let fine =
        Trace { times: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], values: vec![0.0, 1.0, nan, 3.0, 4.0, 5.0], stepped: false };
    for (fine, count) in [(fine.clone(), 3), (Trace { stepped: true, ..fine }, 4)] {
        let found = correlation::pearson(&coarse, &fine);
        assert!(found.count == count && (found.coefficient - 1.0).abs() < 1e-12, "{found:?}");
        assert_eq!(correlation::spearman(&fine, &coarse).count, found.count);
    }
}

/// What Correlate does over an hour at 250 Hz: a million samples each.
#[test]
fn a_million_samples_each_correlate_in_a_second() {
    let mut noise = Noise(1);
    let mut x = 1e9;
    let mut walk = || {
        x += noise.normal();
        x
    };
    let a = trace(&(0..1_000_000).map(|_| walk()).collect::<Vec<_>>());
    let b = Trace { values: a.values.iter().map(|y| -2.0 * y).collect(), ..a.clone() };
    let began = std::time::Instant::now();
    let found = correlation::pearson(&a, &b);
    assert!((found.coefficient + 1.0).abs() < 1e-9 && found.count == 1_000_000 && found.p_value == 0.0, "{found:?}");
    assert!(began.elapsed().as_secs_f64() < 1.0, "{:?}", began.elapsed());
}
