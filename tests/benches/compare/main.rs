//! Question: what does a server give a client, and what does it cost it, beside other servers of the same nodes? This is
//! the load generator that `tests/benches/compare/run` drives them with; the whole comparison is that command.
//! Arguments: `read | browse | history | subscribe`, then `url=opc.tcp://… pid=N namespace=URI-or-index` and what the
//! measure takes, each with a default. Prints one JSON object.

use std::{collections::HashMap, env, time::Duration};

use opcua::types::NodeId;
use serde_json::{Value, json};

mod browse;
mod channel;
#[path = "../support/cpu.rs"]
mod cpu;
mod history;
#[path = "../support/memory.rs"]
mod memory;
mod read;
mod server;
mod subscribe;

/// Variables of an object: `Load0000.V0` to `Load0000.V9` are the first ten.
const VARIABLES: u32 = 10;

/// `key=value` of the command line.
struct Arguments(HashMap<String, String>);

impl Arguments {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or_else(|| panic!("{key}= is missing"), String::as_str)
    }

    fn number(&self, key: &str, otherwise: u32) -> u32 {
        self.0.get(key).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{key}={text} is no number")))
    }

    fn seconds(&self, otherwise: u32) -> Duration {
        Duration::from_secs(self.number("seconds", otherwise).into())
    }
}

/// The NodeId of a variable, counted from 1.
fn node(namespace: u16, index: u32) -> NodeId {
    let (object, place) = ((index - 1) / VARIABLES, (index - 1) % VARIABLES);
    NodeId::new(namespace, format!("Load{object:04}.V{place}"))
}

/// As `uatwin plant --load` makes it: the tenth of the second of the day in the decimals. `None`: not this variable's.
fn tenth_of(index: u32, value: f64) -> Option<u32> {
    let tenth = ((value - f64::from(index)) * 1e6).round();
    (0.0..864_000.0).contains(&tenth).then_some(tenth as u32)
}

fn main() {
    // A thread that fails ends the measure: the others would wait for it.
    std::panic::set_hook(Box::new(|reason| {
        eprintln!("{reason}");
        std::process::exit(1);
    }));
    let mut words = env::args().skip(1).filter(|word| !word.starts_with('-'));
    let Some(measure) = words.next() else {
        println!("this is a part of tests/benches/compare/run"); // `cargo bench` runs every bench target
        return;
    };
    let arguments = words.filter_map(|word| word.split_once('=').map(|(key, value)| (key.into(), value.into())));
    let arguments = Arguments(arguments.collect());
    let told: Value = match measure.as_str() {
        "read" => read::measure(&arguments),
        "browse" => browse::measure(&arguments),
        "history" => history::measure(&arguments),
        "subscribe" => subscribe::measure(&arguments),
        other => json!({ "error": format!("there is no measure {other}") }),
    };
    println!("{told}");
}
