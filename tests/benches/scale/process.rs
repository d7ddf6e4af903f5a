//! The processes that take part, and what the system says of them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_uatwin");

/// Killed when it goes; and where its log is.
pub(crate) struct Process(Child, PathBuf);

impl Process {
    /// The program with these arguments; what it logs goes to a file.
    pub(crate) fn start(arguments: &[&str], log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        let error = file.try_clone().unwrap();
        let child = Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).stdout(file).stderr(error).spawn();
        Self(child.unwrap(), log.to_owned())
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
        let last = |log: String| log.lines().rev().take(20).map(|line| format!("{line}\n")).collect::<String>();
        assert!(ended.success(), "{ended}, newest first:\n{}", last(fs::read_to_string(&self.1).unwrap_or_default()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
