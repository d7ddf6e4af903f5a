//! Question: what share of one core do all statistics of 10,000 variables take at 10 Hz at the ingest stage, which every sample passes,
//! and what does a window cost in memory? Windows of two minutes (1,200 samples each: panes and sketches) and of one minute (600: the
//! samples themselves); of two minutes with a control chart of every variable too, and with a correlation matrix of the ten variables of
//! each twin. Baseline: the same samples as texts, of which there are no statistics.
//! Run: `cargo bench --bench statistics [-- VARIABLES SECONDS]`. The budget is 50 % of a core, 12.9 KiB a variable in all
//! (100,000 in 1.2 GiB).
//!
//! Result (2 cores, otherwise idle, 10,000 variables, 20 s): without statistics 1.5 % of a core; windows of two minutes 3.4 %,
//! 0.19 µs a sample, all figures of a variable read in 11 µs, 9,964 bytes a window; of one minute 2.0 %, 53 ns, 12 µs, 9,832 bytes;
//! with charts 3.1 %, 10,156 bytes; with matrices 3.4 %: both within the scatter of 0.4 %. Beside other work 14 %, 9 % and 2.3 %
//! were measured.

#![allow(clippy::unwrap_used)]

use std::{fmt::Write as _, hint::black_box, io, path::Path, sync::Arc, time::Instant};

use uatwin::{
    config,
    ingest::{Ingest, Output},
    sample::{Sample, SeriesId, Value},
    southbound::Event,
    statistics::{Rolling, capability::Baseline},
    time::Timestamp,
    twin::{Facet, TwinState, Twins},
};

const VARIABLES: u32 = 10;
/// Samples a second of each.
const RATE: u32 = 10;
/// Seconds until a window of two minutes is made of panes, and most of it is there.
const BEFORE: u32 = 110;

const CHART: &str = "chart = {}\nreference = { start = \"2023-11-14T20:00:00Z\", end = \"2023-11-14T21:00:00Z\" }\n";
const MATRIX: &str = "correlate = [\"V0\", \"V1\", \"V2\", \"V3\", \"V4\", \"V5\", \"V6\", \"V7\", \"V8\", \"V9\"]\n";
/// Of values that are uniform below 10.49.
const REFERENCE: Baseline = Baseline { mean: 5.24, moving_range: 3.5 };

fn twins(window: &str, more: &str, data_type: &str, count: u32) -> Arc<Twins> {
    let mut text =
        format!("[plc.p]\nendpoint = \"opc.tcp://h:1\"\n[twin_type.T.statistics]\nwindow = \"{window}\"\n{more}");
    for v in 0..VARIABLES {
        let limits = if data_type == "Double" { "limits = { lower = 0, upper = 9 }" } else { "" };
        writeln!(
            text,
            "[twin_type.T.variable.V{v}]\nsource = \"nsu=u;s={{device}}.{v}\"\ndata_type = \"{data_type}\"\n{limits}"
        )
        .unwrap();
    }
    for twin in 0..count.div_ceil(VARIABLES) {
        writeln!(text, "[twin.T{twin}]\ntype = \"T\"\nplc = \"p\"\ndevice = \"{twin}\"").unwrap();
    }
    let no_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    Arc::new(config::parse(&text, "bench", &no_file, &|_| None).unwrap_or_else(|faults| panic!("{faults:?}")).twins)
}

/// Seconds of work for each second of data, and the twins afterwards.
fn run(twins: &Arc<Twins>, value: &dyn Fn(u32) -> Value, seconds: u32) -> (f64, Arc<TwinState>, Timestamp) {
    let at = |tenth: u32| Timestamp::from_unix_s(1.7e9 + f64::from(tenth) / f64::from(RATE));
    let state = Arc::new(TwinState::new(Arc::clone(twins), at(0)));
    let mut ingest = Ingest::new(Arc::clone(&state), 1);
    let (mut output, mut work) = (Output::default(), 0.0);
    for twin in twins.ids() {
        state.write(twin).statistics.iter_mut().flatten().for_each(|rolling| rolling.reference = Some(REFERENCE));
    }
    let tenths = (BEFORE + seconds) * RATE;
    for tenth in 1..=tenths {
        let now = at(tenth);
        let sample = |(i, series): (u32, SeriesId)| {
            (
                series,
                Sample {
                    value: value(tenth.wrapping_mul(2_654_435_761).wrapping_add(i * 97)),
                    ..Sample::good(now, 0.0)
                },
            )
        };
        let all = twins.ids().flat_map(|twin| (0..VARIABLES as usize).map(move |v| (twin, v)));
        let series = all.map(|(twin, v)| twins.series(twin, Facet::Variable(v)));
        let samples: Vec<_> = (0..).zip(series).map(sample).collect();
        let began = Instant::now();
        ingest.on_event(now, Event::Samples { received: now, samples }, &mut output);
        if tenth > BEFORE * RATE {
            work += began.elapsed().as_secs_f64();
        }
        output = Output::default();
    }
    (work / f64::from(seconds), state, at(tenths))
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let (count, seconds) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(20));
    let text: Arc<str> = "text".into();
    let (bare, ..) = run(&twins("2m", "", "String", count), &|_| Value::String(Arc::clone(&text)), seconds);
    println!("{count} variables, {RATE} values a second each, no statistics: {:.1} % of a core", 100.0 * bare);
    for (window, more, what) in
        [("2m", "", ""), ("1m", "", ""), ("2m", CHART, ", charts"), ("2m", MATRIX, ", matrices")]
    {
        let twins = twins(window, more, "Double", count);
        let (whole, state, now) = run(&twins, &|noise| Value::Double(f64::from(noise >> 12) / 1e5), seconds);
        let per_sample = 1e9 * (whole - bare) / f64::from(count * RATE);
        let (began, mut bytes, mut windows) = (Instant::now(), 0, 0u32);
        for twin in twins.ids() {
            for rolling in state.read(twin).statistics.iter().flatten() {
                black_box(Baseline::from(&rolling.summary(now)).control_limits());
                bytes += rolling.bytes() + size_of::<Rolling>();
                windows += 1;
            }
        }
        let reading = began.elapsed().as_secs_f64() / f64::from(windows);
        println!(
            "window {window}{what}: {:.1} % of a core, statistics {:.1} %, {per_sample:.0} ns a sample; all figures read in {:.1} µs; {} bytes a window",
            100.0 * whole,
            100.0 * (whole - bare),
            1e6 * reading,
            bytes / windows as usize,
        );
    }
}
