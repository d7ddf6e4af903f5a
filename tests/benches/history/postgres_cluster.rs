//! A PostgreSQL cluster of the benchmark's own: made in its folder, reached by a socket there, gone at the end.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) const USER: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(60);
/// Who runs it if we are root, as whom it refuses to run.
const SYSTEM_USER: &str = "postgres";
/// As its manual advises for much writing, and no less durable than by default: nothing is sent to standbys, checkpoints are rare.
const SETTINGS: [&str; 8] = [
    "listen_addresses=",
    "shared_buffers=256MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "checkpoint_timeout=30min",
    "synchronous_commit=on",
    "jit=off",
];

pub(crate) struct Cluster {
    server: Child,
    folder: PathBuf,
    programs: PathBuf,
}

impl Cluster {
    /// `None`: PostgreSQL is not installed.
    pub(crate) fn start(parent: &Path) -> Option<Self> {
        let programs = programs()?;
        let folder = parent.join("cluster");
        fs::create_dir(&folder).expect("a folder for the cluster");
        if is_root() {
            fs::set_permissions(parent, Permissions::from_mode(0o711)).expect("the parent is ours");
            let chown = Command::new("chown").arg(SYSTEM_USER).arg(&folder).status();
            assert!(chown.is_ok_and(|status| status.success()), "the folder goes to {SYSTEM_USER}");
        }
        let initdb = command(&programs, "initdb")
            .args(["--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync", "--username", USER, "--pgdata"])
            .arg(&folder)
            .stdout(Stdio::null())
            .status();
        assert!(initdb.is_ok_and(|status| status.success()), "initdb makes a cluster");
        let server = command(&programs, "postgres")
            .arg("-D")
            .arg(&folder)
            .arg("-k")
            .arg(&folder)
            .args(SETTINGS.iter().flat_map(|setting| ["-c", setting]))
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL starts");
        Some(Self { server, folder, programs })
    }

    /// Waits until it takes connections.
    pub(crate) fn connect(&self) -> UnixStream {
        let began = Instant::now();
        let is_ready = || {
            let asked =
                Command::new(self.programs.join("pg_isready")).arg("--quiet").arg("--host").arg(&self.folder).status();
            asked.is_ok_and(|status| status.success())
        };
        while !is_ready() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not take connections");
            #[expect(clippy::disallowed_methods, reason = "a bench without a runtime")]
            thread::sleep(Duration::from_millis(50));
        }
        UnixStream::connect(self.folder.join(".s.PGSQL.5432")).expect("its socket")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stop = command(&self.programs, "pg_ctl")
            .args(["stop", "--mode=immediate", "--silent", "--pgdata"])
            .arg(&self.folder)
            .status();
        if !stop.is_ok_and(|status| status.success()) {
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
    }
}

/// As it tells it.
pub(crate) fn version() -> Option<String> {
    let told = Command::new(programs()?.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    Some(text.trim().replace("postgres (PostgreSQL)", "PostgreSQL"))
}

/// Where Debian puts them, the newest version, or wherever `postgres` is found.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let debian = versions.map(|version| version.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut found: Vec<PathBuf> = debian.filter(|folder| folder.join("initdb").exists()).collect();
    found.sort();
    found.pop().or_else(|| path.into_iter().find(|folder| folder.join("initdb").exists()))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn command(programs: &Path, program: &str) -> Command {
    let program = programs.join(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={SYSTEM_USER}"), "--clear-groups", "--"]).arg(program);
    command
}
