//! Question: what share of one core do 10,000 twins take whose models (two states, two inputs, one output) run beside them at
//! 1 Hz, without an observer and with one? Measured at the ingest stage, which every sample passes: the same samples with
//! the model and without it.
//! Run: `cargo bench --bench live [-- TWINS SECONDS]`. The budget is 15 % of a core.

#![allow(clippy::unwrap_used)]

use std::{fmt::Write as _, io, path::Path, sync::Arc, time::Instant};

use uatwin::{
    config,
    ingest::{Ingest, Output},
    sample::{Sample, SeriesId},
    southbound::Event,
    time::Timestamp,
    twin::{Facet, TwinState, Twins},
};

const VARIABLES: &str = "
[plc.p]
endpoint = \"opc.tcp://h:1\"
[twin_type.Body.variable]
P = { source = \"nsu=u;s={device}.P\", stepped = true }
Ta = { source = \"nsu=u;s={device}.Ta\" }
T = { source = \"nsu=u;s={device}.T\" }
";
const MODEL: &str = "
[twin_type.Body.model.state]
T1 = { init = 22, noise = 0.01 }
T2 = { init = 22, noise = 0.01 }
[twin_type.Body.model.parameter]
C1 = { value = 60 }
C2 = { value = 250 }
k = { value = 2.5 }
h = { value = 4 }
[twin_type.Body.model.input]
P = {}
Ta = { hold = \"linear\" }
[twin_type.Body.model.equation]
T1 = \"(P - k*(T1 - T2))/C1\"
T2 = \"(k*(T1 - T2) - h*(T2 - Ta))/C2\"
[twin_type.Body.model.output.T]
expr = \"T1\"
";

fn twins(model: &str, count: usize) -> Arc<Twins> {
    let mut text = format!("{VARIABLES}{model}");
    for twin in 0..count {
        writeln!(text, "[twin.B{twin}]\ntype = \"Body\"\nplc = \"p\"\ndevice = \"{twin}\"").unwrap();
    }
    let no_file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    Arc::new(config::parse(&text, "bench", &no_file, &|_| None).unwrap_or_else(|faults| panic!("{faults:?}")).twins)
}

/// Seconds of work for each second of data; the first seconds, in which the models begin, are left out.
fn run(model: &str, count: usize, seconds: u32) -> f64 {
    let twins = twins(model, count);
    let at = |second: f64| Timestamp::from_unix_s(1.7e9 + second);
    let state = Arc::new(TwinState::new(Arc::clone(&twins), at(0.0)));
    let mut ingest = Ingest::new(Arc::clone(&state), 1);
    let (mut output, mut work) = (Output::default(), 0.0);
    for second in 0..seconds + 5 {
        let now = at(f64::from(second));
        let values = [300.0, 20.0 + f64::from(second % 60) * 0.01, 22.0 + f64::from(second % 7) * 0.1];
        let samples: Vec<(SeriesId, Sample)> = twins
            .ids()
            .flat_map(|twin| (0..3).map(move |v| (twin, v)))
            .map(|(twin, v)| (twins.series(twin, Facet::Variable(v)), Sample::good(now, values[v])))
            .collect();
        let began = Instant::now();
        ingest.on_event(now, Event::Samples { received: now, samples }, &mut output);
        if second >= 5 {
            work += began.elapsed().as_secs_f64();
        }
        output = Output::default();
    }
    let last = state.read(twins.ids().last().unwrap()).sample(&twins.types[0], Facet::Variable(2)).value.clone();
    assert!(last.as_f64().is_some());
    work / f64::from(seconds)
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u32>().ok());
    let (count, seconds) = (numbers.next().unwrap_or(10_000), numbers.next().unwrap_or(30));
    let bare = run("", count as usize, seconds);
    println!("{count} twins, three values a second each, no model: {:.1} % of a core", 100.0 * bare);
    for observer in ["none", "ekf"] {
        let model = format!("{MODEL}[twin_type.Body.model.live]\nobserver = \"{observer}\"\n");
        let whole = run(&model, count as usize, seconds);
        println!(
            "with a model of two states, observer {observer}: {:.1} % of a core, the model {:.1} %, {:.2} µs a twin and second",
            100.0 * whole,
            100.0 * (whole - bare),
            1e6 * (whole - bare) / f64::from(count)
        );
    }
}
