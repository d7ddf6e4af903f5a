//! The processes that take part, and what the system says of them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_uatwin");

/// Killed when it goes.
pub(crate) struct Process(Child);

impl Process {
    /// The program with these arguments; what it logs goes to a file.
    pub(crate) fn start(arguments: &[&str], log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let error = log.try_clone().unwrap();
        Self(Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).stdout(log).stderr(error).spawn().unwrap())
    }

    /// User and system time so far, seconds (proc(5), fields 14 and 15, in hundredths).
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<f64> = stat.rsplit(") ").next().unwrap().split(' ').filter_map(|x| x.parse().ok()).collect();
        (fields[10] + fields[11]) / 100.0
    }

    /// A line of /proc/PID/status that is in kB, in MiB.
    pub(crate) fn memory_mib(&self, line: &str) -> f64 {
        let status = fs::File::open(format!("/proc/{}/status", self.0.id())).unwrap();
        let found =
            BufReader::new(status).lines().map_while(Result::ok).find_map(|l| Some(l.strip_prefix(line)?.to_owned()));
        found.unwrap().trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// As an operator ends it: everything that came is stored.
    pub(crate) fn stop(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let ended = self.0.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
