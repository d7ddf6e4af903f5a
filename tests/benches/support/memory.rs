//! Memory of a process under measurement.

/// A line of /proc/PID/status that is in kB, in MiB; NaN: there is no such process.
pub(crate) fn memory_mib(pid: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.trim().trim_end_matches(" kB").parse::<f64>().ok());
    found.map_or(f64::NAN, |kib| kib / 1024.0)
}
