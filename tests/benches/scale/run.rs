//! One run: PLC, program, client, and what is left in history.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use opcua::types::DateTime;
use tokio::time::{sleep, timeout};
use uatwin::{
    history::{
        HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::SeriesId,
    time::Timestamp,
};

use crate::{
    client::{self, Seen},
    cpu::cpu_s,
    memory::memory_mib,
    peer::{connect, namespace},
    plan::Plan,
    process::Process,
};

/// After everything has come once: what began together is no longer in step.
const SETTLE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) cpu_s: f64,
    pub(crate) plc_cpu_s: f64,
    pub(crate) rss_mib: f64,
    rss_max_mib: f64,
    pub(crate) seen: Option<Seen>,
    pub(crate) stored: u64,
    pub(crate) history_lost: i64,
    /// From the program's start until a client could connect, and until all variables were live.
    start_s: (f64, f64),
    /// The same of a restart.
    restart_s: Option<(f64, f64)>,
    /// Nodes whose aggregates were read, and fits.
    work: (u32, u32),
}

impl Measured {
    /// What the table has no column for.
    pub(crate) fn told(&self) -> String {
        let (open, live) = self.start_s;
        let mut text =
            format!("open after {open:.1} s, all live after {live:.1} s, {:.0} MiB at most", self.rss_max_mib);
        if let Some((open, live)) = self.restart_s {
            text += &format!("; restarted: open after {open:.1} s, all live after {live:.1} s");
        }
        if self.work != (0, 0) {
            text += &format!("; meanwhile {} nodes averaged, {} fits", self.work.0, self.work.1);
        }
        let bad = self.seen.as_ref().map_or(0, |seen| seen.bad);
        if bad > 0 { text + &format!("; {bad} Bad values at the client") } else { text }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port()
}

async fn listening(port: u16) {
    let listens = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listens).await.unwrap();
}

pub(crate) async fn run(plan: &Plan) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let (port, plc_port) = (free_port(), free_port());
    let plc = start_plc(plan, plc_port, folder.path());
    listening(plc_port).await;
    let config = folder.path().join("scale.toml");
    fs::write(&config, plan.config(port, plc_port)).unwrap();
    let names = plan.names();
    let (service, session, ns, seen, start_s) = start(plan, &config, port, &names).await;
    let count = Mutex::default();
    sleep(SETTLE).await;
    lock(&seen).begin();
    let (from, began) = (DateTime::now().ticks(), Instant::now());
    let (cpu, plc_cpu) = (cpu_s(service.id()), cpu_s(plc.id()));
    let measuring = sleep(Duration::from_secs(plan.seconds.into()));
    if plan.is_busy {
        let other = connect(port, folder.path()).await;
        tokio::select! {
            () = measuring => {}
            () = client::keep_busy(&other, ns, &names, &count) => {}
        }
    } else {
        measuring.await;
    }
    let (to, seconds) = (DateTime::now().ticks(), began.elapsed().as_secs_f64());
    let (cpu_s, plc_cpu_s) = (cpu_s(service.id()) - cpu, cpu_s(plc.id()) - plc_cpu);
    let (rss_mib, rss_max_mib) = (memory_mib(service.id(), "VmRSS:"), memory_mib(service.id(), "VmHWM:"));
    let _ = session.disconnect().await;
    let seen = plan.is_subscribed.then(|| {
        let fresh = Seen::new(0, 1);
        std::mem::replace(&mut *lock(&seen), fresh)
    });
    service.stop();
    let restart_s = if plan.is_restarted {
        let (service, session, _, _, restart_s) = start(plan, &config, port, &names).await;
        let _ = session.disconnect().await;
        service.stop();
        Some(restart_s)
    } else {
        None
    };
    let (stored, history_lost) = in_history(plan, folder.path(), &names, (from, to));
    let work = *count.lock().unwrap();
    Measured { seconds, cpu_s, plc_cpu_s, rss_mib, rss_max_mib, seen, stored, history_lost, start_s, restart_s, work }
}

fn start_plc(plan: &Plan, port: u16, folder: &Path) -> Process {
    let (pki, number) = (folder.join("plc"), |n: u32| n.to_string());
    let arguments = [
        ["--port", &port.to_string()],
        ["--load", &number(plan.variables)],
        ["--load-rate", &number(plan.rate)],
        ["--load-groups", &number(plan.groups)],
        ["--pki-dir", pki.to_str().unwrap()],
    ];
    let arguments: Vec<&str> = std::iter::once("plant").chain(arguments.into_iter().flatten()).collect();
    Process::start(&arguments, &folder.join("plc.log"))
}

/// The program with a client that is subscribed to everything, once every variable has come.
async fn start(
    plan: &Plan,
    config: &Path,
    port: u16,
    names: &[String],
) -> (Process, Arc<opcua::client::Session>, u16, Arc<Mutex<Seen>>, (f64, f64)) {
    let folder = config.parent().unwrap();
    let began = Instant::now();
    let service = Process::start(&["run", "--config", config.to_str().unwrap()], &folder.join("scale.log"));
    listening(port).await;
    let open_s = began.elapsed().as_secs_f64();
    let session = connect(port, folder).await;
    let ns = namespace(&session).await;
    // One in a hundred tells when all are live, where nobody is subscribed to everything.
    let names: Vec<String> = names.iter().step_by(if plan.is_subscribed { 1 } else { 100 }).cloned().collect();
    let seen = client::subscribe(&session, ns, &names, plan.rate).await;
    let all_live = async {
        while lock(&seen).variables() < names.len() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, all_live).await.unwrap();
    let live_s = began.elapsed().as_secs_f64();
    (service, session, ns, seen, (open_s, live_s))
}

/// How many samples of the time of measurement history has, and how many it should have besides.
fn in_history(plan: &Plan, folder: &Path, names: &[String], (from, to): (i64, i64)) -> (u64, i64) {
    let store = SledStore::open(&folder.join("data/history"), names, SledOptions::default()).unwrap();
    let period = 10_000_000 / i64::from(plan.rate);
    // What had been sampled a second before the end has come.
    let times = Timestamp::from_ticks(from)..Timestamp::from_ticks(to - 10_000_000);
    let expected = (times.end.ticks() - times.start.ticks()) / period;
    let (mut stored, mut lost) = (0, 0);
    for series in 0..plan.variables {
        let summary = store.summary(SeriesId(series), times.clone()).unwrap();
        let count = i64::try_from(summary.good.count).unwrap();
        stored += summary.good.count;
        lost += (expected - count).max(0);
    }
    (stored, lost)
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
