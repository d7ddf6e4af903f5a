//! The server under measurement as the system sees it.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Arguments, cpu::cpu_s, memory::memory_mib};

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
            "rss_mib": memory_mib(self.pid, "VmRSS:"),
        })
    }
}
