//! A ClickHouse server for tests: on loopback, with ports, settings and a folder of its own, gone with the test process. Debian's
//! `clickhouse-server` or any other that is in the path. Where there is none, tests say so and pass, unless the environment's
//! UATWIN_TEST_CLICKHOUSE says `required`, as `tests/run` does.

#![allow(dead_code, reason = "no test uses all of it")]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// A server that runs while this is there.
pub(crate) struct Server {
    pub(crate) http_port: u16,
    tcp_port: u16,
    folder: PathBuf,
    program: PathBuf,
    /// Waits for the end of its input, then ends the server.
    keeper: Option<(Child, ChildStdin)>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("clickhouse-server")).find(|program| program.is_file())
}

impl Server {
    /// `None`: there is none on this machine.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            let is_required = std::env::var("UATWIN_TEST_CLICKHOUSE").is_ok_and(|value| value == "required");
            assert!(!is_required, "clickhouse-server is required and not in the path");
            eprintln!("SKIPPED: there is no clickhouse-server on this machine");
            return None;
        };
        let folder = tempfile::tempdir().unwrap().keep();
        let mut server = Self { http_port: free_port(), tcp_port: free_port(), folder, program, keeper: None };
        server.write_config();
        server.run();
        Some(server)
    }

    fn write_config(&self) {
        let folder = self.folder.display();
        let (http, tcp) = (self.http_port, self.tcp_port);
        let config = format!(
            "<?xml version=\"1.0\"?><yandex>\
             <logger><level>warning</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>\
             <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>\
             <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><mark_cache_size>67108864</mark_cache_size>\
             <users_config>users.xml</users_config><default_profile>default</default_profile>\
             <default_database>default</default_database></yandex>"
        );
        let users = "<?xml version=\"1.0\"?><yandex><profiles><default></default></profiles><users><default><password></password>\
             <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>\
             <quotas><default></default></quotas></yandex>";
        std::fs::write(self.folder.join("config.xml"), config).unwrap();
        std::fs::write(self.folder.join("users.xml"), users).unwrap();
    }

    /// Starts it (again).
    pub(crate) fn run(&mut self) {
        // Its keeper outlives the test process, however that ends, and cleans up behind it.
        let script = "\"$0\" --config-file=config.xml >out 2>&1 & server=$!; echo $server >pid; read keep; kill -9 $server; wait $server; \
             [ -n \"$keep\" ] || rm -rf \"$1\"";
        let mut keeper = Command::new("sh")
            .args(["-c", script])
            .arg(&self.program)
            .arg(&self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = keeper.stdin.take().unwrap();
        self.keeper = Some((keeper, stdin));
        let began = Instant::now();
        while self.query("SELECT 1").as_deref() != Some("1\n") {
            assert!(began.elapsed() < Duration::from_secs(60), "the server does not answer");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Kills it with SIGKILL; what it has stays.
    pub(crate) fn kill(&mut self) {
        if let Some((mut keeper, mut stdin)) = self.keeper.take() {
            stdin.write_all(b"keep\n").unwrap();
            keeper.wait().unwrap();
        }
    }

    /// Processor time that it has taken, in seconds.
    pub(crate) fn processor_s(&self) -> f64 {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// A query's answer as tab separated text; `None` where there was none, or an error.
    pub(crate) fn query(&self, sql: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port)).ok()?;
        write!(stream, "POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{sql}", sql.len()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut keeper, stdin)) = self.keeper.take() {
            drop(stdin);
            let _ = keeper.wait();
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The test process' own, for tests that do not stop it.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

/// A database that no other test has.
pub(crate) fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
