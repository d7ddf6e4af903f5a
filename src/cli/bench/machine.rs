//! Where figures come from: the same program on another machine has others.

use std::{fmt, fs};

use serde::Serialize;

/// Of what the system tells, what matters to figures.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Threads it offers.
    pub cores: usize,
    /// Of all of it.
    pub memory_gib: f64,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    pub(super) fn this() -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.unwrap_or(f64::NAN) / 1_048_576.0,
            kernel: kernel.trim().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {:.0} GiB, Linux {}", self.cpu, self.cores, self.memory_gib, self.kernel)
    }
}
