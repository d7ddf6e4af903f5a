//! A process that writes history until it is stopped dead. It is this test binary itself, as is the one that looks
//! afterwards: so whatever a damaged store does, a panic too, is only a finding.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use uatwin::{
    event::{Event, EventType, Source},
    history::{
        HistoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

use super::{history_look::Verdict, trial::mixed};

/// Tells a child what to do: `write` or `check`, the work, what is safe, the folder.
const TASK: &str = "UATWIN_TEST_HISTORY_TASK";
/// Who waits longer for an acknowledgement stops the writer where it is.
const ACKNOWLEDGEMENT_MAX: Duration = Duration::from_secs(60);

/// What is written, in rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Many series and tiny blocks: seals, budget, forced seals, trims and compaction all happen within a second.
    Small,
    /// Few series that fill their blocks slowly: between two acknowledgements, megabytes go to the log and nowhere else.
    Log,
    /// Few series with hundreds of blocks, whose pages of the database get as large as in a plant after
    /// a week. Every round changes some of them, old ones too.
    Large,
}

/// What is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Safe {
    /// All steps before this one, but for the holes of the old.
    pub(crate) steps: i64,
    /// So many of those holes, in the order of [`Work::hole`].
    pub(crate) holes: i64,
}

/// Every so many steps of what is there from the start, one is missing.
const HOLE_EVERY: i64 = 40;
/// So many are filled in a round.
const HOLES_PER_ROUND: i64 = 4;
/// So many steps at the start of a round come late; in some rounds a gap's marker stands in their place till then.
const LATE: i64 = 5;

impl Work {
    pub(crate) fn series(self) -> u32 {
        match self {
            Self::Small => 40,
            Self::Log | Self::Large => 8,
        }
    }

    fn steps_per_round(self) -> i64 {
        match self {
            Self::Small => 50,
            Self::Log | Self::Large => 512,
        }
    }

    /// Whether the late steps of the round from `step` on are a gap with a marker. Taking one out makes the store sync at
    /// once, so that too many would hide what a cut between two flushes does.
    fn has_marker(self, step: i64) -> bool {
        match self {
            Self::Small => true,
            Self::Log | Self::Large => step / self.steps_per_round() % 100 == 0,
        }
    }

    /// Rounds for an acknowledgement. As in a plant, much may reach the disk between two of them.
    fn rounds_per_flush(self) -> i64 {
        match self {
            Self::Small => 1,
            Self::Log | Self::Large => 16,
        }
    }

    /// Steps that are there from the start.
    pub(crate) fn old_steps(self) -> i64 {
        match self {
            Self::Small | Self::Log => 0,
            Self::Large => 48 * 4096,
        }
    }

    fn options(self) -> SledOptions {
        let large = SledOptions { flushes_per_trim: 3, free_space_floor: Some(0), ..SledOptions::default() };
        match self {
            Self::Small => SledOptions {
                head_samples_max: 32,
                page_samples: 32,
                head_bytes_max: 40_000,
                log_bytes_max: 200_000,
                ..large
            },
            Self::Log => {
                SledOptions { head_samples_max: 20_000, head_bytes_max: 1 << 30, log_bytes_max: 64 << 20, ..large }
            }
            Self::Large => large,
        }
    }

    pub(crate) fn open(self, folder: &Path) -> SledStore {
        let names: Vec<String> = (0..self.series()).map(|series| format!("Device{series}.Value")).collect();
        SledStore::open(folder, &names, self.options()).unwrap()
    }

    pub(crate) fn holes(self) -> i64 {
        self.old_steps() / HOLE_EVERY
    }

    /// Here and there: 389 has no factor in common with the number of holes.
    pub(crate) fn hole(self, nth: i64) -> i64 {
        nth * 389 % self.holes().max(1) * HOLE_EVERY + HOLE_EVERY - 1
    }

    pub(crate) fn is_hole(self, step: i64) -> bool {
        step < self.old_steps() && step % HOLE_EVERY == HOLE_EVERY - 1
    }

    fn samples(self, steps: impl Iterator<Item = i64>) -> Vec<(SeriesId, Sample)> {
        steps.flat_map(|step| (0..self.series()).map(move |id| (SeriesId(id), expected(id, step)))).collect()
    }

    pub(crate) fn marker(self, step: i64) -> Sample {
        let at = (step - step % self.steps_per_round()) * 10 + 1;
        Sample::bad(Timestamp::from_ticks(at), StatusCode::BadNoData)
    }

    /// Makes what is there from the start: compacted, and on the disk.
    pub(crate) fn prepare(self, folder: &Path) -> Safe {
        let store = self.open(folder);
        for first in (0..self.old_steps()).step_by(1024) {
            store.append(&self.samples((first..first + 1024).filter(|&step| !self.is_hole(step)))).unwrap();
        }
        while store.compact(1 << 20).unwrap().is_more {}
        (0..10).for_each(|_| store.flush().unwrap());
        Safe { steps: self.old_steps(), holes: 0 }
    }

    /// How many samples that is.
    pub(crate) fn acknowledged(self, safe: Safe) -> i64 {
        (safe.steps - self.holes() + safe.holes) * i64::from(self.series())
    }
}

/// An event comes with each of so many steps, from here on.
pub(crate) const EVENT_EVERY: i64 = 10;

/// What the event at `step` must be; some of them are long.
pub(crate) fn expected_event(step: i64) -> Event {
    let (at, series) = (Timestamp::from_ticks(step * 10), step / EVENT_EVERY % 7);
    let source = if series == 6 { "plc:line1".to_owned() } else { format!("Device{series}.Value") };
    let kind = if step % 20 == 0 { EventType::DriftAlarm } else { EventType::RevisionEvent };
    let text = "x".repeat(if step % 370 == 0 { 9000 } else { (mixed(step.cast_unsigned()) % 300) as usize });
    let mut event = Event::new(kind, Source::new(&source), at, 500, text)
        .with("ConditionId", format!("{source}.DriftAlarm"))
        .with("Step", i32::try_from(step).unwrap_or(i32::MAX));
    event.id.0[8..].copy_from_slice(&step.to_be_bytes());
    event
}

/// What the sample of `series` at `step` must be.
pub(crate) fn expected(series: u32, step: i64) -> Sample {
    let at = Timestamp::from_ticks(step * 10);
    // The last bits are noise: such blocks stay large.
    let noise = mixed(u64::from(series) << 40 | step.cast_unsigned());
    let value = f64::from(series) + noise as f64 * 1e-19;
    match series % 4 {
        0 => Sample::good(at, value),
        1 => Sample { value: Value::Int32(step as i32 / 7), ..Sample::good(at, 0.0) },
        2 if step % 13 == 0 => Sample::bad(at, StatusCode::BadNoCommunication),
        2 => Sample { value: Value::Boolean(step % 5 == 0), ..Sample::good(at, 0.0) },
        _ => Sample { server_timestamp: Timestamp::from_ticks(step * 10 + step % 17), ..Sample::good(at, value) },
    }
}

/// Writes on from what is safe, and says after each flush how far it is safe now. Ends only by being killed.
fn write_for_ever(work: Work, folder: &Path, mut safe: Safe) -> ! {
    let store = work.open(folder);
    let round = work.steps_per_round();
    // As a source that reconnects does.
    store.append(&work.samples((safe.steps - round).max(0)..safe.steps)).unwrap();
    let mut stdout = std::io::stdout();
    loop {
        let mut merged = 0;
        for _ in 0..work.rounds_per_flush() {
            merged += write_round(work, &store, safe);
            safe = Safe { steps: safe.steps + round, holes: (safe.holes + HOLES_PER_ROUND).min(work.holes()) };
        }
        store.flush().unwrap();
        writeln!(stdout, "merged {merged}\nsafe {} {}", safe.steps, safe.holes).and_then(|()| stdout.flush()).unwrap();
    }
}

/// Writes what comes after `safe`, and how many blocks went into others meanwhile.
fn write_round(work: Work, store: &SledStore, safe: Safe) -> u64 {
    let (gap, end) = (safe.steps..safe.steps + LATE, safe.steps + work.steps_per_round());
    let mut live = work.samples(gap.end..end);
    if work.has_marker(gap.start) {
        live.extend((0..work.series()).map(|series| (SeriesId(series), work.marker(gap.start))));
    }
    store.append(&live).unwrap();
    if work == Work::Small && safe.steps % (3 * work.steps_per_round()) == 0 {
        store.flush().unwrap();
    }
    // Some twice: the writer tries again when it does not know what was taken.
    let events: Vec<_> = (safe.steps..end).filter(|step| step % EVENT_EVERY == 0).map(expected_event).collect();
    store.append_events(&events).unwrap();
    store.append_events(&events[events.len() / 2..]).unwrap();
    let merged = store.compact(4 * live.len()).unwrap().blocks;
    for series in (0..work.series()).filter(|_| work.has_marker(gap.start)).map(SeriesId) {
        let gap = Timestamp::from_ticks(gap.start * 10)..Timestamp::from_ticks(gap.end * 10);
        store.remove(series, gap).unwrap();
    }
    let holes = safe.holes..(safe.holes + HOLES_PER_ROUND).min(work.holes());
    store.append(&work.samples(gap.chain(holes.map(|nth| work.hole(nth))))).unwrap();
    merged
}

/// Not a test of its own: what the parent starts.
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let parts: Vec<&str> = task.splitn(5, ' ').collect();
    let [what, work, steps, holes, folder] = parts[..] else { panic!("no task: {task}") };
    let work = [Work::Small, Work::Log, Work::Large].into_iter().find(|known| format!("{known:?}") == work).unwrap();
    let safe = Safe { steps: steps.parse().unwrap(), holes: holes.parse().unwrap() };
    println!(); // the test's name stands before
    if what == "write" {
        write_for_ever(work, Path::new(folder), safe);
    }
    println!("{}", Verdict::of(work, Path::new(folder), safe).line());
}

/// This binary, with a task.
pub(crate) fn start(what: &str, work: Work, folder: &Path, safe: Safe) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "history_writer::child", "--nocapture", "--test-threads=1"])
        .env(TASK, format!("{what} {work:?} {} {} {}", safe.steps, safe.holes, folder.display()))
        .stdout(Stdio::piped());
    command
}

/// When the writing process is stopped: so many acknowledgements after its start, and then so long, whatever it is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) acknowledgements: u64,
    pub(crate) then: Duration,
}

/// What a writing process came to.
pub(crate) struct Progress {
    pub(crate) safe: Safe,
    /// Blocks that went into others.
    pub(crate) merged: u64,
}

/// Lets a process write until `moment`, does `stop` to it, and kills it. An error: the process has ended by itself.
pub(crate) fn write_until(
    moment: Moment,
    (work, folder, safe): (Work, &Path, Safe),
    stop: impl FnOnce(&mut Child),
) -> Result<Progress, String> {
    let mut child = start("write", work, folder, safe).spawn().unwrap();
    let (send, lines) = mpsc::sync_channel(1000);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reading = thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut progress = Progress { safe, merged: 0 };
    let mut awaited = moment.acknowledgements;
    let mut deadline = Instant::now() + if awaited > 0 { ACKNOWLEDGEMENT_MAX } else { moment.then };
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if progress.take(&line) && awaited > 0 => {
                awaited -= 1;
                deadline = Instant::now() + if awaited > 0 { ACKNOWLEDGEMENT_MAX } else { moment.then };
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return Err(format!("the writer ended: {}", child.wait().unwrap())),
        }
    }
    stop(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    // To the end of the pipe: what was said before the end counts.
    lines.iter().for_each(|line| {
        progress.take(&line);
    });
    let _ = reading.join();
    Ok(progress)
}

impl Progress {
    /// Whether the line is an acknowledgement.
    fn take(&mut self, line: &str) -> bool {
        let number = |text: &str| text.parse().ok();
        if let Some(merged) = line.strip_prefix("merged ") {
            self.merged += merged.parse::<u64>().unwrap_or(0);
        }
        let safe = line.strip_prefix("safe ").and_then(|safe| safe.split_once(' '));
        let safe = safe.and_then(|(steps, holes)| Some(Safe { steps: number(steps)?, holes: number(holes)? }));
        self.safe = safe.unwrap_or(self.safe);
        safe.is_some()
    }
}
