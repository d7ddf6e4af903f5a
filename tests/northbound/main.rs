//! The server as a client sees it: async-opcua's own client against a hand-made world.

#![allow(clippy::unwrap_used, reason = "a test fails by panic, its helpers too")]

mod browse;
mod cost;
mod event_history;
mod forecast;
mod history;
mod history_processed;
mod history_read;
mod history_update;
mod index_range;
mod methods;
mod program;
mod read;
mod start;
mod subscribe;
mod support;

/// Not a test: a server to look at with any client. `cargo test --release --test northbound by_hand -- --ignored`
/// serves for `SECONDS` (60) on `PORT` (48400), with a Temperature that moves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "serves for a person to look at"]
async fn by_hand() {
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let port = u16::try_from(number("PORT", 48400)).unwrap();
    let fixture =
        support::Fixture::start_on(port, &["None", "Basic256Sha256"], Some(uatwin::northbound::Role::Engineer)).await;
    println!("{}", fixture.url);
    for i in 0..number("SECONDS", 60) * 10 {
        fixture.set("Heater1", uatwin::twin::Facet::Variable(0), fixture.good(20.0 + (i as f64 / 50.0).sin()));
        if i % 10 == 0 {
            fixture.publisher.tick(fixture.now());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    fixture.stop().await;
}
