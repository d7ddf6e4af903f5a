//! Control charts at the ingest stage, against charts that are worked out anew from all samples.

use uatwin::{
    ingest::Collection,
    sample::{Sample, StatusCode, Value},
    statistics::{
        capability::{Baseline, D2},
        control::{Reading, Rule},
    },
};

use crate::{at, statistics::Stage};

/// The period is over when the stage begins; that of `Later` ends 100 s after.
const CONFIG: &str = r#"
[plc.line1]
endpoint = "opc.tcp://localhost:4841"
security_policy = "None"
[twin_type.Press.statistics]
chart = { rules = "nelson", arl = 200, k = 0.4, lambda = 0.1 }
reference = { start = "2023-11-14T20:00:00Z", end = "2023-11-14T21:00:00Z" }
[twin_type.Press.variable]
Force = { source = "nsu=urn:plc;s=F" }
Lot = { source = "nsu=urn:plc;s=L", data_type = "String" }
Level = { source = "nsu=urn:plc;s=V", statistics = { lot = "Lot", chart = {} } }
Later = { source = "nsu=urn:plc;s=A", statistics = { reference = { start = "2023-11-14T21:00:00Z", end = "2023-11-14T22:15:00Z" } } }
[twin.P1]
type = "Press"
plc = "line1"
"#;
const FORCE: usize = 0;
const LOT: usize = 1;
const LEVEL: usize = 2;
const LATER: usize = 3;
const CENTRE: f64 = 50.0;
const SIGMA: f64 = 2.0;
const BASELINE: Baseline = Baseline { mean: CENTRE, moving_range: SIGMA * D2 };

/// Standardised, of which `None` is a hole: what a chart says of the last of them.
struct Naive {
    rules: Vec<u32>,
    ewma: f64,
    cusum: (f64, f64),
}

fn naive(all: &[Option<f64>], k: f64, lambda: f64) -> Naive {
    let joined: Vec<f64> = all.iter().rev().map_while(|z| *z).collect(); // newest first
    let last = |n: usize| joined.get(..n);
    let side = |n: usize, beyond: f64, least: usize| {
        let some = &joined[..n.min(joined.len())];
        [1.0, -1.0]
            .iter()
            .any(|sign| sign * joined[0] > beyond && some.iter().filter(|z| *sign * **z > beyond).count() >= least)
    };
    let steps = |some: &[f64]| some.windows(2).map(|pair| pair[0] - pair[1]).collect::<Vec<_>>();
    let alike = |steps: &[f64]| steps.iter().all(|step| *step > 0.0) || steps.iter().all(|step| *step < 0.0);
    let turning = |steps: &[f64]| steps.windows(2).all(|pair| pair[0] * pair[1] < 0.0);
    let rules = [
        joined[0].abs() > 3.0,
        last(9).is_some_and(|some| some.iter().all(|z| *z > 0.0) || some.iter().all(|z| *z < 0.0)),
        last(6).is_some_and(|some| alike(&steps(some))),
        last(14).is_some_and(|some| turning(&steps(some))),
        side(3, 2.0, 2),
        side(5, 1.0, 4),
        last(15).is_some_and(|some| some.iter().all(|z| z.abs() <= 1.0)),
        last(8).is_some_and(|some| some.iter().all(|z| z.abs() > 1.0)),
    ];
    let values: Vec<f64> = all.iter().flatten().copied().collect();
    let weigh = |sum: f64, (age, z): (usize, &f64)| sum + lambda * (1.0 - lambda).powf(age as f64) * z;
    // S is the largest sum of the last so many, or zero.
    let largest = |sign: f64| {
        let sums = values.iter().rev().scan(0.0, |sum, z| {
            *sum += sign * z - k;
            Some(*sum)
        });
        sums.fold(0.0, f64::max)
    };
    Naive {
        rules: (1..=8).zip(rules).filter(|(_, broken)| *broken).map(|(number, _)| number).collect(),
        ewma: values.iter().rev().enumerate().fold(0.0, weigh),
        cusum: (largest(1.0), largest(-1.0)),
    }
}

fn numbers(reading: &Reading) -> Vec<u32> {
    let mut numbers: Vec<u32> = reading.broken().map(Rule::number).collect();
    numbers.sort_unstable();
    numbers
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} instead of {b}");
}

/// Nearly normal, of σ = 1: twelve uniform ones of a linear congruential generator.
fn noise(state: &mut u64) -> f64 {
    let mut uniform = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

fn filled(stage: &mut Stage, variable: usize, samples: &[(f64, f64)]) {
    let refill = *stage.due(0.0).iter().find(|refill| refill.of == Collection::Variable(variable)).unwrap();
    stage.fill_with(refill, None, samples, Some(BASELINE));
}

#[test]
fn a_shift_of_two_sigma_breaks_the_rules_that_a_naive_chart_says_it_breaks() {
    let mut stage = Stage::of(CONFIG);
    let mut state = 3;
    let stored: Vec<(f64, f64)> =
        (-40..0).map(|second| (f64::from(second), CENTRE + SIGMA * noise(&mut state))).collect();
    filled(&mut stage, FORCE, &stored);
    let mut all: Vec<Option<f64>> = stored.iter().map(|(_, y)| Some((y - CENTRE) / SIGMA)).collect();
    let (mut broken, mut first) = (Vec::new(), None);
    let chart = stage.state.configured().types[0].variables[FORCE].statistics.chart.unwrap();
    for i in 0..400_u32 {
        let second = f64::from(i) + 1.0;
        if i % 97 == 60 {
            stage.sample(second, FORCE, Sample::bad(at(second), StatusCode::BadSensorFailure));
            all.push(None);
            continue;
        }
        let y = CENTRE + SIGMA * (noise(&mut state) + if i < 300 { 0.0 } else { 2.0 });
        stage.set(second, FORCE, Value::Double(y));
        all.push(Some((y - CENTRE) / SIGMA));
        let (reading, right) = (stage.rolling(FORCE).chart().unwrap(), naive(&all, 0.4, 0.1));
        assert_eq!(numbers(&reading), right.rules, "sample {i}");
        close(reading.ewma, CENTRE + SIGMA * right.ewma);
        close(reading.cusum.0, right.cusum.0);
        close(reading.cusum.1, right.cusum.1);
        let reach = chart.ewma.width * (0.1_f64 / 1.9).sqrt();
        close(reading.ewma_limits.1, CENTRE + SIGMA * reach);
        let quiet =
            right.rules.is_empty() && right.ewma.abs() <= reach && right.cusum.0.max(right.cusum.1) <= chart.cusum.h;
        assert_eq!(reading.in_control(), quiet, "sample {i}");
        if i >= 300 {
            broken.extend(right.rules);
            first =
                first.or((reading.ewma > reading.ewma_limits.1 && reading.cusum.0 > reading.cusum_limit).then_some(i));
        }
    }
    // The literature's run lengths for such a shift are three to four samples.
    assert!(first.is_some_and(|first| first < 310), "{first:?}");
    for rule in [1, 2, 5, 6, 8] {
        assert!(broken.contains(&rule), "rule {rule} of {broken:?}");
    }
}

#[test]
fn charts_begin_anew_with_a_reset_and_with_a_lot_and_keep_their_reference() {
    let mut stage = Stage::of(CONFIG);
    let due = stage.due(0.0);
    for variable in [FORCE, LEVEL] {
        let refill = *due.iter().find(|refill| refill.of == Collection::Variable(variable)).unwrap();
        stage.fill_with(refill, Some("A"), &[(-2.0, CENTRE + 9.0 * SIGMA)], Some(BASELINE));
    }
    assert_eq!(numbers(&stage.rolling(FORCE).chart().unwrap()), [1]);
    stage.reset(1.0);
    assert_eq!(stage.rolling(FORCE).chart(), None);
    stage.set(2.0, FORCE, Value::Double(CENTRE + SIGMA));
    close(stage.rolling(FORCE).chart().unwrap().ewma, CENTRE + 0.1 * SIGMA);

    stage.set(3.0, LOT, Value::String("A".into()));
    stage.set(4.0, LEVEL, Value::Double(CENTRE + SIGMA));
    close(stage.rolling(LEVEL).chart().unwrap().cusum.0, 0.5);
    stage.set(5.0, LOT, Value::String("B".into()));
    assert_eq!(stage.rolling(LEVEL).chart(), None);
    stage.set(6.0, LEVEL, Value::Double(CENTRE + 2.0 * SIGMA));
    close(stage.rolling(LEVEL).chart().unwrap().cusum.0, 1.5);
}

#[test]
fn a_reference_period_is_read_once_it_is_over_and_until_it_holds_something() {
    let mut stage = Stage::of(CONFIG);
    let due = stage.due(0.0);
    for refill in &due {
        stage.fill_with(*refill, None, &[], (refill.of != Collection::Variable(LATER)).then_some(BASELINE));
    }
    stage.set(1.0, LATER, Value::Double(CENTRE));
    assert_eq!(stage.rolling(LATER).chart(), None);
    assert_eq!(stage.due(100.0), [], "five seconds for what comes late");
    let only = |due: Vec<uatwin::ingest::Refill>| {
        assert_eq!(due.iter().map(|refill| refill.of).collect::<Vec<_>>(), [Collection::Variable(LATER)]);
        due[0]
    };
    let refill = only(stage.due(105.0));
    stage.fill_with(refill, None, &[(1.0, CENTRE)], Some(Baseline { mean: f64::NAN, moving_range: f64::NAN }));
    assert_eq!(stage.due(160.0), []);
    let refill = only(stage.due(165.0));
    stage.fill_with(refill, None, &[(1.0, CENTRE), (2.0, CENTRE + 4.0 * SIGMA)], Some(BASELINE));
    assert_eq!(numbers(&stage.rolling(LATER).chart().unwrap()), [1], "the window is charted from its beginning");
    assert_eq!(stage.due(226.0), [], "known for good");
}
