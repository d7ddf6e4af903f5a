//! The thread that hands on.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tracing::{error, info, warn};

use crate::history::{
    HistoryError,
    behind::{Behind, Key, Op, Piece},
    blocks::Cause,
    handed_on,
    log::{LogEntry, PersistentId},
    sled_store::SledStore,
};

/// Records handed on at once: 3.5 MB, some 300,000 samples of a Double.
const RECORDS_MAX: usize = 512;
/// A server wants few large inserts: a second at least between two, unless there is enough for a large one.
const PAUSE: Duration = Duration::from_secs(1);
/// How long nothing is tried after a failure, at first and at last.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How far the store behind has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardingStatus {
    /// It could not be reached when it was last tried.
    pub is_away: bool,
    /// Records of the log that it has not got yet, of up to 7 KB each.
    pub records_waiting: u64,
    /// Samples that were handed on since the start.
    pub samples: u64,
}

#[derive(Debug)]
pub(super) struct Task {
    front: Arc<SledStore>,
    behind: Arc<dyn Behind>,
    status: Arc<Mutex<ForwardingStatus>>,
    known: Known,
}

/// What is not to be found out each time.
#[derive(Debug, Default)]
struct Known {
    /// Of series, by their numbers at the front.
    keys: HashMap<PersistentId, Key>,
    names: HashMap<PersistentId, String>,
    /// What is ready to be handed on.
    next: Option<Batch>,
}

impl Task {
    pub(super) fn new(front: Arc<SledStore>, behind: Arc<dyn Behind>, status: Arc<Mutex<ForwardingStatus>>) -> Self {
        Self { front, behind, status, known: Known::default() }
    }

    pub(super) fn run(mut self) {
        let Ok(front) = self.front.as_front() else { return };
        // A moment longer than a flush takes: to see that there is nothing is cheap.
        const LONGEST: Duration = Duration::from_secs(1);
        let front_of = Arc::clone(&self.front);
        let mut backoff = BACKOFF_FIRST;
        while front.wait(LONGEST, true) {
            let waiting = front_of.as_front().map_or(0, |front| front.safe().saturating_sub(front.forwarded()));
            self.status(|status| status.records_waiting = waiting);
            if waiting == 0 {
                continue;
            }
            let pause = match step(&front_of, &*self.behind, &mut self.known) {
                Ok((records, samples)) => {
                    backoff = BACKOFF_FIRST;
                    self.came_back(samples);
                    if records >= RECORDS_MAX as u64 { Duration::ZERO } else { PAUSE }
                }
                Err(failure) => {
                    self.went_away(&failure);
                    let pause = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    pause
                }
            };
            if !pause.is_zero() && !front.wait(pause, false) {
                break;
            }
        }
    }

    fn status(&self, change: impl FnOnce(&mut ForwardingStatus)) -> ForwardingStatus {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut status);
        *status
    }

    fn came_back(&self, samples: u64) {
        let mut was_away = false;
        let status = self.status(|status| {
            was_away = std::mem::take(&mut status.is_away);
            status.samples += samples;
        });
        if was_away {
            info!(records_waiting = status.records_waiting, "history's cluster is back and gets what waited");
        }
    }

    fn went_away(&self, failure: &HistoryError) {
        let mut was_away = true;
        let status = self.status(|status| was_away = std::mem::replace(&mut status.is_away, true));
        if !was_away {
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            warn!(
                error = %failure,
                cause,
                records_waiting = status.records_waiting,
                "history's cluster is away: what comes waits on the disk"
            );
        }
    }
}

/// What is handed on at once.
#[derive(Debug)]
struct Batch {
    /// Records from this one to before that one.
    records: Range<u64>,
    pieces: Vec<Piece>,
    samples: u64,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.records.end - self.records.start >= RECORDS_MAX as u64
    }
}

/// Hands on once, and makes what follows ready meanwhile: how many records, and how many samples they had.
fn step(store: &SledStore, behind: &dyn Behind, known: &mut Known) -> Result<(u64, u64), HistoryError> {
    let front = store.as_front().map_err(HistoryError::Read)?;
    let claimed = match front.claimed().map_err(HistoryError::Read)? {
        Some(claimed) => claimed,
        None => {
            let claimed = behind.claim()?;
            front.set_claimed(claimed).map_err(HistoryError::Flush)?;
            claimed
        }
    };
    let batch = match known.next.take() {
        Some(batch) if batch.records.start == front.forwarded() => batch,
        _ => known.batch(store, behind, front.forwarded())?,
    };
    let (sent, next) = thread::scope(|scope| {
        let sending = scope.spawn(|| behind.forward(claimed, &batch.pieces));
        // Where this fails it is made again, and says so, when it is its turn.
        let next = batch.is_full().then(|| known.batch(store, behind, batch.records.end).ok()).flatten();
        (sending.join(), next)
    });
    sent.map_err(|_| HistoryError::Flush("handing on panicked".into()))??;
    front.set_forwarded(batch.records.end).map_err(HistoryError::Flush)?;
    known.next = next.filter(|next| !next.records.is_empty());
    Ok((batch.records.end - batch.records.start, batch.samples))
}

impl Known {
    fn batch(&mut self, store: &SledStore, behind: &dyn Behind, from: u64) -> Result<Batch, HistoryError> {
        let handful = store.to_hand_on(from, RECORDS_MAX).map_err(HistoryError::Read)?;
        let mut pieces = Vec::new();
        for (number, entry) in handful.entries {
            add(&mut pieces, number, entry, &mut |id| key(store, behind, &mut self.keys, &mut self.names, id))?;
        }
        let count = |piece: &Piece| if let Piece::Samples(samples) = piece { samples.len() as u64 } else { 0 };
        let samples = pieces.iter().map(count).sum();
        Ok(Batch { records: from..handful.end.max(from), pieces, samples })
    }
}

fn key(
    store: &SledStore,
    behind: &dyn Behind,
    keys: &mut HashMap<PersistentId, Key>,
    names: &mut HashMap<PersistentId, String>,
    id: PersistentId,
) -> Result<Key, HistoryError> {
    if let Some(&key) = keys.get(&id) {
        return Ok(key);
    }
    if !names.contains_key(&id) {
        *names = store.names_by_id().map_err(HistoryError::Read)?;
    }
    let unknown = || HistoryError::Read(Cause::from(format!("no series has the number {id}")));
    let key = behind.key(names.get(&id).ok_or_else(unknown)?)?;
    keys.insert(id, key);
    Ok(key)
}

/// Puts an entry of the log to the pieces.
fn add(
    pieces: &mut Vec<Piece>,
    number: u64,
    entry: LogEntry,
    key: &mut impl FnMut(PersistentId) -> Result<Key, HistoryError>,
) -> Result<(), HistoryError> {
    match entry {
        LogEntry::Sample(id, sample) => {
            let row = (key(id)?, number, sample);
            match pieces.last_mut() {
                Some(Piece::Samples(samples)) => samples.push(row),
                _ => pieces.push(Piece::Samples(vec![row])),
            }
        }
        LogEntry::Remove(id, start, end) => {
            let times = crate::time::Timestamp::from_ticks(start)..crate::time::Timestamp::from_ticks(end);
            pieces.push(Piece::Other(number, key(id)?, Op::Remove(times)));
        }
        LogEntry::Op(bytes) => match handed_on::read(&bytes) {
            Some((id, op)) => {
                let of = if matches!(op, Op::Events(_) | Op::Expire(_)) { 0 } else { key(id)? };
                pieces.push(Piece::Other(number, of, op));
            }
            None => error!(record = number, "a record of history's log is malformed and not handed on"),
        },
    }
    Ok(())
}

/// [`step`], without anything known from before.
#[cfg(test)]
pub(super) fn step_of(store: &SledStore, behind: &dyn Behind) -> Result<(u64, u64), HistoryError> {
    step(store, behind, &mut Known::default())
}
