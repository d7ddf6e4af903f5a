//! Question: what does a plant of 100,000 variables cost, from PLC to client? The program as it is installed, a simulated PLC in a
//! process of its own, and this process as the client that is subscribed to everything. Of ten variables of a twin one is modelled;
//! all have history and statistics.
//! Run: `cargo bench --bench scale -- MODE [VARIABLES] [SECONDS]`
//! - `load` (100,000, 60): each at 1 Hz, spread over the second, with moments; then with everything: charts, a matrix, alarms,
//!   capability, drift, an observer; then with moments again while aggregates are read and fits run;
//! - `burst` (10,000, 60): each at 25 Hz, nobody subscribed;
//! - `growth` (100,000, 30): all of the variables at 1 Hz, a tenth at 10 Hz, a hundredth at 100 Hz: as many values a second;
//! - `memory` (100,000, 780): nobody subscribed, until windows are in panes; then a restart with what was stored.
//!
//! Promises: no loss southbound, in history and at the client; at 100,000 at most 60 % of a core with moments and 120 % with everything,
//! 99 % of the values at the client 200 ms after the PLC's SourceTimestamp; burst at most 130 %; memory at most 1.2 GiB; start within 5 s
//! and restart within 10 s; CPU per value within 1.3 × of each other in `growth`.
//!
//! Result (2026-11-28, 2 cores, otherwise idle): `load`, 40 s: moments 52.8 % of a core, 99 % after 167 ms; everything 71.8 %, 190 ms; with 64 fits
//! and 6,400 averaged nodes a second 100.5 %, 192 ms; none lost; open after 2.6 s, all live after 4.6 s. `burst`, 40 s: 83.5 %, none lost. `growth`, 20 s: 2.34, 3.89 and 5.60 µs a value
//! at 1,000, 10,000 and 100,000 variables, not within 1.3 ×; of 1,000 at 100 Hz the client gets a third, the last of each message. Memory and
//! restart are not kept: 1.3 GiB after six minutes, with windows still filling; 13.6 s until open again with 10 M samples.

#![allow(clippy::unwrap_used)]

mod client;
#[path = "../support/cpu.rs"]
mod cpu;
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/client.rs"]
mod peer;
mod plan;
mod process;
mod run;

use plan::{Features, Plan};
use run::{Measured, run};

const WHAT: &str =
    "what                     values/s    CPU %  us/value  PLC %  p50 ms  p99 ms  max ms  lost client/history  RSS MiB";

fn say(name: &str, plan: &Plan, measured: &Measured) {
    let Measured { cpu_s, plc_cpu_s, seconds, stored, history_lost, rss_mib, seen, .. } = measured;
    let values = f64::from(plan.variables) * f64::from(plan.rate) * seconds;
    let client = seen.as_ref().map_or_else(
        || format!("{:>6}  {:>6}  {:>6}  {:>8}", "-", "-", "-", "-"),
        |seen| format!("{:>6.0}  {:>6.0}  {:>6.0}  {:>8}", seen.ms(0.5), seen.ms(0.99), seen.ms(1.0), seen.lost),
    );
    println!(
        "{name:<22}  {:>9.0}  {:>6.1}  {:>8.2}  {:>5.1}  {client}/{history_lost:<8}  {rss_mib:>7.0}  ({stored} stored)",
        values / seconds,
        100.0 * cpu_s / seconds,
        1e6 * cpu_s / values,
        100.0 * plc_cpu_s / seconds,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mode = arguments.next().unwrap_or_else(|| "load".to_owned());
    let mut number = |default: u32| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    println!("{WHAT}");
    match mode.as_str() {
        "load" => {
            let plan = Plan::at_1_hz(number(100_000), number(60));
            for (name, features, is_busy) in [
                ("moments", Features::Moments, false),
                ("everything", Features::Everything, false),
                ("moments, reads, fits", Features::Moments, true),
            ] {
                let plan = Plan { features, is_busy, ..plan.clone() };
                let measured = run(&plan).await;
                say(name, &plan, &measured);
                println!("    {}", measured.told());
            }
        }
        "burst" => {
            let plan = Plan { rate: 25, groups: 4, is_subscribed: false, ..Plan::at_1_hz(number(10_000), number(60)) };
            say("burst", &plan, &run(&plan).await);
        }
        "growth" => {
            let (all, seconds) = (number(100_000), number(30));
            for (fewer, groups) in [(100, 5), (10, 5), (1, 50)] {
                let variables = all / fewer;
                let plan = Plan { rate: fewer, groups, ..Plan::at_1_hz(variables, seconds) };
                say(&format!("{variables} variables"), &plan, &run(&plan).await);
            }
        }
        "memory" => {
            let plan = Plan {
                is_restarted: true,
                is_subscribed: false,
                window: "30m",
                ..Plan::at_1_hz(number(100_000), number(780))
            };
            let measured = run(&plan).await;
            say("memory", &plan, &measured);
            println!("    {}", measured.told());
        }
        other => panic!("`{other}` is none of load, burst, growth, memory"),
    }
}
