//! `history.retention`, from the config to the disk: the whole service but for its clock.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use uatwin::{
    app::App,
    config,
    history::{Direction, HistoryStore},
    sample::{Sample, SeriesId},
    time::{Clock, Timestamp},
};

const LEVEL: SeriesId = SeriesId(0);
/// Twelve hours, a sample a second.
const SAMPLES: i64 = 43_200;
const RETENTION_S: i64 = 7_200;
/// What goes, goes in whole blocks.
const BLOCK: i64 = 8_192;

/// Begins at the end of the samples.
struct Begins(Instant);

impl Clock for Begins {
    fn now(&self) -> Timestamp {
        at(SAMPLES) + self.0.elapsed()
    }
}

fn at(i: i64) -> Timestamp {
    Timestamp::from_unix_s(1.7e9 + i as f64)
}

fn config(folder: &Path, history: &str) -> config::Config {
    let text = format!(
        "[server]\nendpoint = \"opc.tcp://127.0.0.1:0\"\nadvertise = \"127.0.0.1\"\ndata_dir = \"data\"\npki_dir = \"certs\"\n\
         [server.security]\npolicies = [\"None\"]\n{history}\n\
         [twin_type.Tank.variable.Level]\n[twin.Tank1]\ntype = \"Tank\"\n"
    );
    let path = folder.join("twins.toml");
    fs::write(&path, text).unwrap();
    config::load(&path, &|_| None).unwrap()
}

/// Runs the service until `enough` holds for its history, then stops it in order.
async fn run(config: config::Config, fill: bool, enough: impl Fn(&dyn HistoryStore) -> bool) -> Arc<dyn HistoryStore> {
    let app = App::start(config, Arc::new(Begins(Instant::now()))).await.unwrap();
    let (history, stop) = (app.history(), CancellationToken::new());
    if fill {
        let samples: Vec<_> = (0..SAMPLES).map(|i| (LEVEL, Sample::good(at(i), i as f64))).collect();
        history.append(&samples).unwrap();
    }
    let looking = async {
        let look = async {
            while !enough(&*history) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(60), look).await;
        stop.cancel();
        seen
    };
    let (report, seen) = tokio::join!(app.run(stop.clone()), looking);
    report.unwrap();
    seen.expect("what is past retention goes");
    history
}

fn stored(history: &dyn HistoryStore) -> Vec<i64> {
    let samples = history.read(LEVEL, Timestamp::NULL..Timestamp::MAX, Direction::Forward, usize::MAX).unwrap();
    samples.iter().map(|sample| sample.value.as_f64().unwrap() as i64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_config_says_goes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let all =
        |history: &dyn HistoryStore| history.size_on_disk().is_some() && stored(history).len() == SAMPLES as usize;
    let kept = run(config(folder.path(), ""), true, all).await;
    assert_eq!(stored(&*kept).len() as i64, SAMPLES, "without retention nothing goes");
    drop(kept);

    let oldest_kept = SAMPLES - RETENTION_S;
    let config = config(folder.path(), "[history]\nretention = \"2h\"");
    let gone = |history: &dyn HistoryStore| stored(history)[0] >= oldest_kept - BLOCK;
    let kept = run(config, false, gone).await;
    let stored = stored(&*kept);
    assert!((oldest_kept - BLOCK..=oldest_kept).contains(&stored[0]), "from {} on", stored[0]);
    assert_eq!(stored, (stored[0]..SAMPLES).collect::<Vec<_>>(), "all that is younger is there");
}
