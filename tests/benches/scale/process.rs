//! The processes that take part.

use std::{
    fs,
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

    /// By which the system tells of it.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
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
