//! Clocks, sizes, and how figures are told.

use std::{os::unix::fs::MetadataExt, path::Path, time::Instant};

/// Wall and processor time: on a busy machine the second says more.
pub(crate) struct Watch(Instant, f64);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(Instant::now(), cpu_s())
    }

    /// Seconds so far, by both.
    pub(crate) fn spent(&self) -> (f64, f64) {
        (self.0.elapsed().as_secs_f64(), cpu_s() - self.1)
    }

    /// Millions per second, by both.
    pub(crate) fn rate(&self, count: f64) -> String {
        let (wall, cpu) = self.spent();
        format!("{:.1} M samples/s ({:.1} by processor time)", count / wall / 1e6, count / cpu / 1e6)
    }
}

/// Processor time of this thread.
pub(crate) fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) * 1e-9
}

/// (now, most) in MiB, where the system tells.
pub(crate) fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    (field("VmRSS:").unwrap_or(0) / 1024, field("VmHWM:").unwrap_or(0) / 1024)
}

/// Bytes that the folder really takes.
pub(crate) fn du(folder: &Path) -> f64 {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        bytes += if meta.is_dir() { du(&entry.path()) } else { meta.blocks() as f64 * 512.0 };
    }
    bytes
}

/// Below which so much of `times` lies.
pub(crate) fn quantile(times: &mut [f64], part: f64) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

/// Says whether this run keeps what is promised.
pub(crate) fn promise(what: &str, is_kept: bool) {
    println!("promise           {what}: {}", if is_kept { "kept" } else { "NOT KEPT" });
}
