//! What belongs to a benchmark for as long as it lasts: folders, processes, what the system says of these.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// This program in another process, ended with the benchmark.
pub(super) struct Process(Child);

impl Process {
    /// Starts it with these arguments; what it says goes nowhere.
    pub(super) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }

    /// A plant of so many load variables.
    pub(super) fn plant(variables: u32, port: u16, folder: &Path) -> std::io::Result<Self> {
        let (port, load, pki) = (port.to_string(), variables.to_string(), folder.join("plant-certs"));
        let options = ["plant", "--port", &port, "--load", &load, "--pki-dir"];
        Self::start(options.iter().map(OsStr::new).chain([pki.as_os_str()]))
    }

    /// Of which [`cpu_s`] tells.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns when somebody listens there, or after ten seconds all the same: who connects then will say what is wrong.
pub(super) async fn until_listening(port: u16) {
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// User and system time of a process in seconds (proc(5), fields 14 and 15, in hundredths).
pub(super) fn cpu_s(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

/// A line of /proc/self/status that is in kB.
pub(super) fn memory_mib(line: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status
        .lines()
        .find_map(|l| l.strip_prefix(line))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok());
    found.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// A folder of the benchmark's own, removed at its end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("uatwin-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
