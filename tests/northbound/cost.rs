//! What ten thousand variables cost. Not a test of wall time: prints figures for a person to compare.
//! `cargo test --release --test northbound cost -- --ignored --nocapture`

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opcua::{client::DataChangeCallback, types::*};
use uatwin::{
    sample::{Sample, SeriesId},
    twin::{DataType, StatisticsSettings, Twin, TwinType, Twins},
};

use crate::support::{Fixture, variable, world_of};

const TWINS: usize = 100;
const VARIABLES: usize = 100;

fn many() -> Twins {
    let variables: Vec<_> = (0..VARIABLES)
        .map(|v| variable(&format!("V{v:03}"), DataType::Double, "°C", Some((0.0, 100.0)), &[]))
        .collect();
    let twin = |t| Twin {
        name: format!("T{t:03}"),
        description: String::new(),
        type_index: 0,
        plc: None,
        sources: vec![None; VARIABLES],
        parameters: Vec::new(),
    };
    let twin_type = TwinType {
        optimize: None,
        name: "Many".into(),
        description: String::new(),
        variables,
        model: None,
        statistics: StatisticsSettings::default(),
        correlate: None,
        drift: None,
    };
    Twins::new(vec![twin_type], (0..TWINS).map(twin).collect())
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn ten_thousand_variables_at_one_hertz() {
    let before = resident_kib();
    let fixture = Fixture::start_with(world_of(many())).await;
    println!("started: +{} KiB", resident_kib() - before);
    let client = fixture.connect().await;
    let received = Arc::new(AtomicUsize::new(0));
    let sink = Arc::clone(&received);
    let callback = DataChangeCallback::new(move |_, _| {
        sink.fetch_add(1, Ordering::Relaxed);
    });
    let subscription =
        client.create_subscription(Duration::from_millis(500), 1000, 10, 0, 0, true, callback).await.unwrap();
    let paths = (0..TWINS).flat_map(|t| (0..VARIABLES).map(move |v| format!("T{t:03}.V{v:03}")));
    let items: Vec<MonitoredItemCreateRequest> = paths.map(|path| client.id(&path).into()).collect();
    let start = Instant::now();
    for chunk in items.chunks(5_000) {
        client.create_monitored_items(subscription, TimestampsToReturn::Both, chunk.to_vec()).await.unwrap();
    }
    println!("{} items in {:?}: {} KiB with the client", fixture.publisher.watched(), start.elapsed(), resident_kib());
    let all: Vec<SeriesId> = (0..u32::try_from(TWINS * VARIABLES).unwrap()).map(SeriesId).collect();
    for round in 0..5u32 {
        let twins = fixture.state.configured();
        for series in &all {
            let (twin, facet) = twins.locate(*series);
            let sample = Sample::good(fixture.now(), f64::from(round));
            fixture.state.write(twin).set_sample(twins.type_of(twin), facet, sample);
        }
        let start = Instant::now();
        for batch in all.chunks(1_000) {
            fixture.publisher.changed(batch);
        }
        let pushed = start.elapsed();
        let start = Instant::now();
        fixture.publisher.tick(fixture.now());
        println!("changed: {pushed:?}, tick: {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    println!("received {}", received.load(Ordering::Relaxed));
    fixture.stop().await;
}
