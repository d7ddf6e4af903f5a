//! The server under measurement as the system sees it.

use std::{fs, time::Instant};

use serde_json::{Value, json};

use super::Arguments;

/// Wall time and the server's processor time since a moment.
pub(crate) struct Watch {
    pid: u32,
    began: Instant,
    cpu_s: f64,
}

impl Watch {
    pub(crate) fn start(arguments: &Arguments) -> Self {
        let pid = arguments.number("pid", 0);
        Self { pid, began: Instant::now(), cpu_s: cpu_s(pid) }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// So many came in that time.
    pub(crate) fn told(&self, count: u64) -> Value {
        json!({
            "count": count,
            "seconds": self.seconds(),
            "cpu_s": cpu_s(self.pid) - self.cpu_s,
            "rss_mib": rss_mib(self.pid),
        })
    }
}

/// User and system time of a process (proc(5), fields 14 and 15, in hundredths).
fn cpu_s(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

fn rss_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}
