//! `uatwin history …` as an operator uses it: the program itself, beside the running service and without it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use uatwin::{
    history::{
        Annotation, AnnotationEdit, EditKind, Editor, HistoryStore as _,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId},
    time::Timestamp,
};

const CONFIG: &str = r#"
[server]
endpoint = "opc.tcp://127.0.0.1:0"
data_dir = "data"
pki_dir = "certs"
[server.security]
policies = ["None"]
[twin_type.Tank.variable.Level]
[twin_type.Tank.variable.Remark]
data_type = "String"
[twin.Tank1]
type = "Tank"
"#;

const ROWS: &str = "\
series,source_timestamp,server_timestamp,status,type,value
Tank1.Level,2026-01-01T00:00:00.0000000Z,2026-01-01T00:00:00.1000000Z,0x00000000,Double,0.1
Tank1.Level,2026-01-01T00:00:01.0000001Z,,0x80000000,Null,
Tank1.Level,2026-01-01T00:00:02.0000000Z,,0x40000000,Double,-1e300
Tank1.Remark,2026-01-01T00:00:00.0000000Z,,0x00000000,String,\"two
lines, \"\"quoted\"\"\"
";

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("twins.toml");
    fs::write(&config, CONFIG).unwrap();
    (folder, config)
}

fn history(command: &str, config: &Path, more: &[&str]) -> Output {
    let mut uatwin = Command::new(env!("CARGO_BIN_EXE_uatwin"));
    uatwin.args(["history", command, "--config"]).arg(config).args(more).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "expected {words:?}: {said}");
}

#[test]
fn what_is_imported_is_exported_again_to_the_letter() {
    let (folder, config) = place();
    let rows = folder.path().join("rows.csv");
    fs::write(&rows, ROWS).unwrap();
    let rows = rows.to_str().unwrap();
    expect(&history("import", &config, &[rows, "--dry-run"]), 0, "4 samples would be stored");
    assert!(
        history("export", &config, &[]).stdout.split(|&byte| byte == b'\n').count() <= 2,
        "a dry run stores nothing"
    );
    // Twice: a row that is stored already does nothing.
    expect(&history("import", &config, &[rows]), 0, "4 samples stored");
    expect(&history("import", &config, &[rows]), 0, "4 samples stored");
    assert_eq!(String::from_utf8(history("export", &config, &[]).stdout).unwrap(), ROWS);
    let some = history("export", &config, &["--series", "*.Level", "--start", "2026-01-01T00:00:02Z"]);
    assert_eq!(String::from_utf8(some.stdout).unwrap().lines().count(), 2);
    expect(&history("compact", &config, &[]), 0, "merged into");
    expect(&history("export", &config, &["--series", "Tank2.*"]), 1, "no series `Tank2.*`");
    expect(&history("export", &config, &["--start", "yesterday"]), 2, "RFC 3339");
    expect(&history("verify", &config, &[]), 0, "no damage");
    expect(&history("verify", &folder.path().join("none.toml"), &[]), 3, "cannot be read");
}

#[test]
fn every_faulty_row_is_said_with_its_line_and_the_others_are_stored() {
    let (folder, config) = place();
    let rows = folder.path().join("rows.csv");
    let text = "series,source_timestamp,type,value\n\
        Tank1.Remark,2026-01-01T00:00:00Z,String,\"a\nb\"\n\
        Tank1.Level,2026-01-01,Double,1\n\
        Tank1.Level,2026-01-01T00:00:00Z,Double,one\n\
        Tank9.Level,2026-01-01T00:00:00Z,Double,1\n\
        Tank1.Level,2026-01-01T00:00:00Z,Float64,1\n\
        Tank1.Level,2026-01-01T00:00:01Z,Double\n\
        Tank1.Level,2026-01-01T00:00:02Z,Double,2\n";
    fs::write(&rows, text).unwrap();
    let output = history("import", &config, &[rows.to_str().unwrap()]);
    expect(&output, 1, "2 samples stored, 5 rows with faults are not");
    for place in ["csv:4: source_timestamp: ", "csv:5: value: ", "csv:6: series: ", "csv:7: type: ", "csv:8: 3 fields"]
    {
        expect(&output, 1, place);
    }
    let output = history("import", &config, &[rows.to_str().unwrap(), "--skip-unknown"]);
    expect(&output, 1, "1 of unknown series passed over, 4 rows");
}

#[test]
fn a_wide_file_is_imported_by_its_columns_and_comes_out_narrow() {
    let (folder, config) = place();
    let path = folder.path().join("wide.csv");
    let wide = path.to_str().unwrap();
    fs::write(wide, "Zeit;Tank1.Level;Tank1.Remark\r\n01.01.2026 00:00:00;0,1;\"a;b\"\r\n01.01.2026 00:00:01;n/a;\r\n")
        .unwrap();
    let how = [wide, "--wide", "--time", "Zeit", "--time-format", "%d.%m.%Y %H:%M:%S", "--bad", "n/a"];
    expect(&history("import", &config, &[&how[..], &["--dry-run"]].concat()), 0, "3 samples would be stored");
    expect(&history("import", &config, &how), 0, "3 samples stored");
    let expected = "series,source_timestamp,server_timestamp,status,type,value\n\
        Tank1.Level,2026-01-01T00:00:00.0000000Z,,0x00000000,Double,0.1\n\
        Tank1.Level,2026-01-01T00:00:01.0000000Z,,0x80000000,Null,\n\
        Tank1.Remark,2026-01-01T00:00:00.0000000Z,,0x00000000,String,a;b\n";
    assert_eq!(String::from_utf8(history("export", &config, &[]).stdout).unwrap(), expected);
    fs::write(wide, "Zeit;Tank1.Level;Tank9.Level\r\n01.01.2026 00:00:02;0,1;1\r\n2.1.26;1;1\r\n").unwrap();
    let output = history("import", &config, &how);
    expect(&output, 1, "1 samples stored, 2 faults: what has one is not");
    expect(&output, 1, "csv:1: Tank9.Level: is not a series of this config");
    expect(&output, 1, "csv:3: Zeit: \"2.1.26\" is no time as --time-format says");
    let output = history("import", &config, &[&how[..], &["--skip-unknown"]].concat());
    expect(&output, 1, "1 samples stored, 1 columns of unknown series passed over, 1 faults");
    expect(&history("import", &config, &[wide, "--wide"]), 2, "--time");
    expect(&history("import", &config, &[wide, "--time", "Zeit"]), 2, "--wide");
    expect(&history("import", &config, &["--help"]), 0, "An empty cell is no sample");
}

/// Killed when a test ends before it was stopped.
struct Service(Child);

impl Service {
    fn start(config: &Path) -> Self {
        let mut uatwin = Command::new(env!("CARGO_BIN_EXE_uatwin"));
        let child = uatwin.args(["run", "--config"]).arg(config).stdout(Stdio::null()).spawn().unwrap();
        let mut service = Self(child);
        // Bound before anything else: from then on requests wait.
        let socket = config.with_file_name("data").join("control.sock");
        while !socket.exists() {
            assert!(service.0.try_wait().unwrap().is_none(), "the service ended");
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        service
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_running_service_makes_a_backup_and_the_other_commands_say_that_it_runs() {
    let (folder, config) = place();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("rows.csv"), ROWS).unwrap();
    expect(&history("import", &config, &[&path("rows.csv")]), 0, "4 samples stored");
    let service = Service::start(&config);
    for (command, more) in [("export", vec![]), ("verify", vec![]), ("import", vec![path("rows.csv")])] {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        expect(&history(command, &config, &more), 1, "stop it first");
    }
    expect(&history("backup", &config, &["--to", &path("one")]), 0, "bytes");
    expect(&history("backup", &config, &["--to", &path("one")]), 1, "there already");
    expect(&history("restore", &config, &["--from", &path("one"), "--force"]), 1, "stop it first");
    service.stop();
    expect(&history("backup", &config, &["--to", &path("two")]), 0, "bytes");
    expect(&history("restore", &config, &["--from", &path("one")]), 1, "there is a history");
    fs::remove_dir_all(folder.path().join("data/history")).unwrap();
    for backup in ["one", "two"] {
        expect(&history("restore", &config, &["--from", &path(backup), "--force"]), 0, "no damage");
        assert_eq!(String::from_utf8(history("export", &config, &[]).stdout).unwrap(), ROWS);
    }
}

/// Flips a bit of the last value of a tree.
fn flip(folder: &Path, tree: &str) {
    // sled lets go of its files a moment after their last user.
    let database = (0..100).find_map(|_| {
        let opened = sled::open(folder.join("blk")).ok();
        if opened.is_none() {
            thread::park_timeout(Duration::from_millis(30));
        }
        opened
    });
    let database = database.expect("nobody else has it open");
    let tree = database.open_tree(tree).unwrap();
    let (key, bytes) = tree.last().unwrap().unwrap();
    let mut damaged = bytes.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    tree.insert(key, damaged).unwrap();
    database.flush().unwrap();
}

#[test]
fn damage_by_hand_is_said_by_series_and_time_and_summed_up() {
    let (folder, config) = place();
    let data = folder.path().join("data/history");
    let at = Timestamp::from_unix_ns(1_767_225_600_000_000_000);
    {
        let store = SledStore::open(&data, &["Tank1.Level".to_owned()], SledOptions::default()).unwrap();
        let by = Editor { user: "ann".into(), at };
        store.edit(SeriesId(0), EditKind::Insert, &[Sample::good(at, 1.0)], &by).unwrap();
        let note = Annotation { at, message: "?".into(), user: "ann".into(), time: at, is_lost: false };
        store.annotate(SeriesId(0), AnnotationEdit::Insert, &[note]).unwrap();
    }
    expect(&history("verify", &config, &[]), 0, "1 modification records; 1 annotations;");
    flip(&data, "edits");
    flip(&data, "annotations");
    let output = history("verify", &config, &[]);
    for what in ["a modification record", "an annotation"] {
        let line =
            format!("damaged: Tank1.Level: {what}, 2026-01-01T00:00:00.0000000Z: the record's checksum is wrong");
        expect(&output, 1, &line);
    }
    expect(&output, 1, "1 log records with 1 samples; 2 damaged");
}
