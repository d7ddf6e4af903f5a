//! Whatever happens to the store behind: of both, one history, and behind nothing is lost or doubled.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{ForwardingStore, task};
use crate::{
    event::{Event, EventType, Source},
    history::{
        Annotation, AnnotationEdit, Direction, Document, EditKind, Editor, HistoryError, HistoryStore, Summary,
        behind::{Behind, Key, Op, Piece},
        front::Role,
        memory_store::MemoryStore,
        sled_store::{SledOptions, SledStore},
    },
    sample::{Sample, SeriesId, StatusCode, Value},
    time::Timestamp,
};

const A: SeriesId = SeriesId(0);

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

fn good(ticks: i64, value: f64) -> Sample {
    Sample::good(at(ticks), value)
}

fn names() -> Vec<String> {
    vec!["Heater1.Temperature".into(), "Heater1.Power".into(), "Tank1.Level".into()]
}

/// A store behind that can be away: wholly, or from the middle of what it is given. Of two samples at one instant it keeps that of
/// the higher number, as it must.
#[derive(Debug)]
struct Fickle {
    store: MemoryStore,
    versions: Mutex<BTreeMap<(Key, Timestamp), u64>>,
    is_away: AtomicBool,
    /// So many pieces are taken, then it goes away.
    pieces_left: AtomicU32,
    modified: Mutex<BTreeMap<(u64, usize), (Key, Timestamp)>>,
    events: Mutex<Vec<Event>>,
    documents: Mutex<BTreeMap<u64, Document>>,
    annotations: Mutex<BTreeMap<u64, Option<Annotation>>>,
}

impl Fickle {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(3, usize::MAX),
            versions: Mutex::default(),
            is_away: AtomicBool::new(false),
            pieces_left: AtomicU32::new(u32::MAX),
            modified: Mutex::default(),
            events: Mutex::default(),
            documents: Mutex::default(),
            annotations: Mutex::default(),
        }
    }

    fn here(&self) -> Result<(), HistoryError> {
        if self.is_away.load(Ordering::SeqCst) { Err(HistoryError::Flush("it is away".into())) } else { Ok(()) }
    }

    fn is_newer(&self, key: Key, time: Timestamp, number: u64) -> bool {
        let mut versions = self.versions.lock().unwrap();
        let version = versions.entry((key, time)).or_insert(number);
        let is_newer = number >= *version;
        *version = number.max(*version);
        is_newer
    }

    fn take(&self, piece: &Piece) -> Result<(), HistoryError> {
        let (number, key, op) = match piece {
            Piece::Samples(samples) => {
                for (key, number, sample) in samples {
                    if self.is_newer(*key, sample.source_timestamp, *number) {
                        self.store.append(&[(SeriesId(*key as u32 - 1), sample.clone())])?;
                    }
                }
                return Ok(());
            }
            Piece::Other(number, key, op) => (*number, *key, op),
        };
        match op {
            Op::Remove(times) => {
                let series = SeriesId(key as u32 - 1);
                for sample in self.store.read(series, times.clone(), Direction::Forward, usize::MAX)? {
                    let time = sample.source_timestamp;
                    if self.is_newer(key, time, number) {
                        self.store.remove(series, time..time.next())?;
                    }
                }
                Ok(())
            }
            Op::Modified(records) => {
                let mut kept = self.modified.lock().unwrap();
                for (place, record) in records.iter().enumerate() {
                    kept.insert((number, place), (key, record.sample.source_timestamp));
                }
                Ok(())
            }
            Op::Events(events) => {
                let mut kept = self.events.lock().unwrap();
                for event in events {
                    if !kept.iter().any(|known| known.id == event.id) {
                        kept.push(event.clone());
                    }
                }
                Ok(())
            }
            Op::Keep(id, document) => {
                self.documents.lock().unwrap().insert(*id, document.clone());
                Ok(())
            }
            Op::Annotate(id, annotation) => {
                self.annotations.lock().unwrap().insert(*id, Some(annotation.clone()));
                Ok(())
            }
            Op::Unannotate(_, id) => {
                self.annotations.lock().unwrap().insert(*id, None);
                Ok(())
            }
            Op::Forget(_) | Op::Expire(_) => Ok(()),
        }
    }
}

/// What a front reads of it, it reads as of any store.
impl HistoryStore for Fickle {
    fn add_series(&self, names: &[String]) -> Result<(), HistoryError> {
        self.store.add_series(names)
    }

    fn append(&self, _: &[(SeriesId, Sample)]) -> Result<(), HistoryError> {
        panic!("nothing goes behind but what is handed on")
    }

    fn flush(&self) -> Result<(), HistoryError> {
        Ok(())
    }

    fn read(
        &self,
        series: SeriesId,
        times: std::ops::Range<Timestamp>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Sample>, HistoryError> {
        self.here()?;
        self.store.read(series, times, direction, limit)
    }

    fn remove(&self, _: SeriesId, _: std::ops::Range<Timestamp>) -> Result<(), HistoryError> {
        panic!("nothing goes behind but what is handed on")
    }

    fn extent(&self, series: SeriesId) -> Result<Option<(Timestamp, Timestamp)>, HistoryError> {
        self.here()?;
        self.store.extent(series)
    }

    fn free_space(&self) -> Option<u64> {
        None
    }
}

impl Behind for Fickle {
    fn claim(&self) -> Result<u64, HistoryError> {
        self.here().map(|()| 1)
    }

    fn key(&self, name: &str) -> Result<Key, HistoryError> {
        self.here()?;
        Ok(names().iter().position(|known| known == name).unwrap() as Key + 1)
    }

    fn forward(&self, _: u64, pieces: &[Piece]) -> Result<(), HistoryError> {
        self.here()?;
        for piece in pieces {
            if self.pieces_left.load(Ordering::SeqCst) == 0 {
                self.is_away.store(true, Ordering::SeqCst);
                return self.here();
            }
            self.pieces_left.fetch_sub(1, Ordering::SeqCst);
            self.take(piece)?;
        }
        Ok(())
    }
}

fn small(now: i64) -> SledOptions {
    SledOptions {
        head_samples_max: 8,
        page_samples: 32,
        head_bytes_max: 4096,
        log_bytes_max: 2048,
        flushes_per_trim: 2,
        free_space_floor: Some(0),
        role: Role::Front(Some(at(now))),
        ..SledOptions::default()
    }
}

/// Both, and the steps of the thread taken by hand.
struct Both {
    store: ForwardingStore,
    behind: Arc<Fickle>,
}

impl Both {
    fn open(folder: &Path, behind: &Arc<Fickle>) -> Self {
        let front = SledStore::open(folder, &names(), small(-1000)).unwrap();
        let store = ForwardingStore::idle(front, Arc::clone(behind) as Arc<dyn Behind>, Duration::from_nanos(100));
        Self { store, behind: Arc::clone(behind) }
    }

    fn step(&self) {
        let _ = task::step_of(&self.store.front, &*self.behind);
    }

    fn hand_on_all(&self) {
        self.behind.is_away.store(false, Ordering::SeqCst);
        self.behind.pieces_left.store(u32::MAX, Ordering::SeqCst);
        self.store.flush().unwrap();
        let front = self.store.front.as_front().unwrap();
        while front.safe() > front.forwarded() {
            task::step_of(&self.store.front, &*self.behind).unwrap();
        }
    }
}

fn all(store: &dyn HistoryStore, series: SeriesId) -> Vec<Sample> {
    store.read(series, at(i64::MIN)..Timestamp::MAX, Direction::Forward, usize::MAX).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u32, i64, u8)>),
    Remove(u32, i64, i64),
    Edit(u32, Vec<i64>, EditKind),
    DeleteRaw(u32, i64, i64),
    DeleteAt(u32, Vec<i64>),
    Flush,
    HandOn,
    LetGo(i64),
    Compact,
    Away(bool),
    BreaksAfter(u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let span = || (0..3_u32, 0..100_i64, 1..40_i64);
    prop_oneof![
        8 => prop::collection::vec((0..3_u32, 0..120_i64, 0..4_u8), 1..20).prop_map(Step::Append),
        4 => span().prop_map(|(series, start, len)| Step::Append((0..len).map(|i| (series, start + i, 0)).collect())),
        2 => span().prop_map(|(series, start, len)| Step::Remove(series, start, start + len)),
        2 => (0..3_u32, prop::collection::vec(0..120_i64, 1..6), 0..3_u8).prop_map(|(series, times, kind)| {
            Step::Edit(series, times, [EditKind::Insert, EditKind::Replace, EditKind::Update][usize::from(kind)])
        }),
        1 => span().prop_map(|(series, start, len)| Step::DeleteRaw(series, start, start + len)),
        1 => (0..3_u32, prop::collection::vec(0..120_i64, 1..6)).prop_map(|(s, times)| Step::DeleteAt(s, times)),
        4 => Just(Step::Flush),
        4 => Just(Step::HandOn),
        3 => (0..120_i64).prop_map(Step::LetGo),
        1 => Just(Step::Compact),
        2 => any::<bool>().prop_map(Step::Away),
        2 => (0..4_u32).prop_map(Step::BreaksAfter),
        2 => Just(Step::Reopen),
    ]
}

fn sample(ticks: i64, kind: u8, nonce: usize) -> Sample {
    let plain = good(ticks, nonce as f64);
    match kind {
        0 | 1 => plain,
        2 => Sample::bad(at(ticks), StatusCode::BadNoCommunication),
        _ => Sample { value: Value::String(format!("n{nonce}").into()), ..plain },
    }
}

/// What both say against what a map says.
fn compare(both: &Both, model: &MemoryStore, limit: usize) -> Result<(), TestCaseError> {
    for series in (0..3).map(SeriesId) {
        prop_assert_eq!(all(&both.store, series), all(model, series));
        for direction in [Direction::Forward, Direction::Backward] {
            let read = |store: &dyn HistoryStore| store.read(series, at(20)..at(90), direction, limit).unwrap();
            prop_assert_eq!(read(&both.store), read(model));
        }
        for (start, end) in [(i64::MIN, i64::MAX), (20, 90), (limit as i64, 60)] {
            let mut expected = Summary::default();
            let inside = model.read(series, at(start)..at(end), Direction::Forward, usize::MAX).unwrap();
            inside.iter().for_each(|sample| expected.add(sample));
            prop_assert_eq!(both.store.summary(series, at(start)..at(end)).unwrap(), expected);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn both_read_like_one_map_and_behind_comes_the_same(
        steps in prop::collection::vec(step(), 1..40),
        limit in 1..40_usize,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let behind = Arc::new(Fickle::new());
        let mut both = Both::open(folder.path(), &behind);
        let model = MemoryStore::new(3, usize::MAX);
        let by = Editor { user: "ann".into(), at: at(1) };
        let mut nonce = 0;
        for step in steps {
            let is_away = behind.is_away.load(Ordering::SeqCst);
            match step {
                Step::Append(samples) => {
                    let batch: Vec<_> = samples
                        .into_iter()
                        .map(|(series, ticks, kind)| {
                            nonce += 1;
                            (SeriesId(series), sample(ticks, kind, nonce))
                        })
                        .collect();
                    both.store.append(&batch).unwrap();
                    model.append(&batch).unwrap();
                }
                Step::Remove(series, start, end) => {
                    both.store.remove(SeriesId(series), at(start)..at(end)).unwrap();
                    model.remove(SeriesId(series), at(start)..at(end)).unwrap();
                }
                Step::Edit(series, times, kind) => {
                    nonce += 1;
                    let values: Vec<_> = times.iter().map(|ticks| good(*ticks, nonce as f64)).collect();
                    // While it is away, an edit of what may be there fails, and changes nothing.
                    if let Ok(results) = both.store.edit(SeriesId(series), kind, &values, &by) {
                        prop_assert_eq!(results, model.edit(SeriesId(series), kind, &values, &by).unwrap());
                    } else {
                        prop_assert!(is_away);
                    }
                }
                Step::DeleteRaw(series, start, end) => {
                    if let Ok(count) = both.store.delete_raw(SeriesId(series), at(start)..at(end), &by) {
                        prop_assert_eq!(count, model.delete_raw(SeriesId(series), at(start)..at(end), &by).unwrap());
                    } else {
                        prop_assert!(is_away);
                    }
                }
                Step::DeleteAt(series, times) => {
                    let times: Vec<_> = times.into_iter().map(at).collect();
                    if let Ok(results) = both.store.delete_at(SeriesId(series), &times, &by) {
                        prop_assert_eq!(results, model.delete_at(SeriesId(series), &times, &by).unwrap());
                    } else {
                        prop_assert!(is_away);
                    }
                }
                Step::Flush => both.store.flush().unwrap(),
                Step::HandOn => both.step(),
                Step::LetGo(before) => both.store.tidy(at(before + 1)).unwrap(),
                Step::Compact => drop(both.store.compact(100).unwrap()),
                Step::Away(is_away) => {
                    behind.pieces_left.store(u32::MAX, Ordering::SeqCst);
                    behind.is_away.store(is_away, Ordering::SeqCst);
                }
                Step::BreaksAfter(pieces) => {
                    behind.pieces_left.store(pieces, Ordering::SeqCst);
                    behind.is_away.store(false, Ordering::SeqCst);
                }
                Step::Reopen => {
                    both.store.flush().unwrap();
                    drop(both);
                    both = Both::open(folder.path(), &behind);
                }
            }
            if !behind.is_away.load(Ordering::SeqCst) {
                compare(&both, &model, limit)?;
            }
        }
        both.hand_on_all();
        compare(&both, &model, limit)?;
        for series in (0..3).map(SeriesId) {
            prop_assert_eq!(all(&behind.store, series), all(&model, series));
            let ever = at(i64::MIN)..Timestamp::MAX;
            let kept = model.modified(series, ever, Direction::Forward, 0, usize::MAX).unwrap().len();
            let key = Key::from(series.0) + 1;
            let handed_on = behind.modified.lock().unwrap().values().filter(|(of, _)| *of == key).count();
            prop_assert_eq!(handed_on, kept);
        }
    }
}

#[test]
fn what_is_no_sample_comes_behind_too_once() {
    let folder = tempfile::tempdir().unwrap();
    let behind = Arc::new(Fickle::new());
    behind.is_away.store(true, Ordering::SeqCst);
    let note = Annotation { at: at(5), message: "m".into(), user: "ann".into(), time: at(1), is_lost: false };
    let mut event = Event::new(EventType::RevisionEvent, Source::new("Tank1"), at(3), 9, "long ".repeat(5000));
    event.id.0 = [7; 16];
    {
        let both = Both::open(folder.path(), &behind);
        both.store.annotate(A, AnnotationEdit::Insert, std::slice::from_ref(&note)).unwrap();
        both.store.keep(&[(A, Document::new(at(2), vec![1, 2]))]).unwrap();
        both.store.append_events(std::slice::from_ref(&event)).unwrap();
        both.store.flush().unwrap();
        both.step();
    }
    let both = Both::open(folder.path(), &behind);
    behind.is_away.store(false, Ordering::SeqCst);
    behind.pieces_left.store(2, Ordering::SeqCst);
    both.step();
    both.hand_on_all();
    assert_eq!(*behind.events.lock().unwrap(), [event]);
    assert_eq!(behind.documents.lock().unwrap().values().collect::<Vec<_>>(), [&Document::new(at(2), vec![1, 2])]);
    assert_eq!(behind.annotations.lock().unwrap().values().collect::<Vec<_>>(), [&Some(note.clone())]);
    both.store.annotate(A, AnnotationEdit::Remove, &[note]).unwrap();
    both.hand_on_all();
    assert_eq!(behind.annotations.lock().unwrap().values().collect::<Vec<_>>(), [&None]);
}

#[test]
fn while_it_is_away_the_log_grows_and_is_cut_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let behind = Arc::new(Fickle::new());
    behind.is_away.store(true, Ordering::SeqCst);
    let both = Both::open(folder.path(), &behind);
    let trees = || both.store.front.log().records.snapshot().len();
    let mut next = 0;
    while trees() < 4 {
        let text = |i| Sample { value: Value::String("x".repeat(5000).into()), ..good(i, 0.0) };
        both.store.append(&(next..next + 100).map(|i| (A, text(i))).collect::<Vec<_>>()).unwrap();
        both.store.flush().unwrap();
        next += 100;
    }
    both.hand_on_all();
    both.store.flush().unwrap();
    both.store.flush().unwrap();
    assert!(trees() <= 2, "{} trees", trees());
    assert_eq!(all(&behind.store, A).len() as i64, next);
}

#[test]
fn a_folder_changes_its_role_only_with_everything_where_it_belongs() {
    let folder = tempfile::tempdir().unwrap();
    let open = |role| SledStore::open(folder.path(), &names(), SledOptions { role, ..small(0) });
    let refused = |role| matches!(open(role), Err(HistoryError::Open { .. }));
    {
        let alone = open(Role::Alone).unwrap();
        alone.append(&[(A, good(5, 1.0))]).unwrap();
        alone.flush().unwrap();
    }
    assert!(refused(Role::Front(Some(at(0)))), "the store behind lacks what it has");
    {
        let front = open(Role::BecomesFront).unwrap();
        front.is_all_behind().unwrap();
    }
    {
        let front = open(Role::Front(Some(at(100)))).unwrap();
        assert_eq!(front.as_front().unwrap().whole_from(), at(i64::MIN));
        assert_eq!(front.to_hand_on(front.as_front().unwrap().forwarded(), 9).unwrap().entries, []);
    }
    assert!(refused(Role::Alone), "it may lack what is behind");
    assert_eq!(all(&open(Role::Front(None)).unwrap(), A).len(), 1);
}

/// The thread itself, with a store behind that comes and goes.
#[test]
fn the_thread_hands_on_whenever_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let behind = Arc::new(Fickle::new());
    behind.is_away.store(true, Ordering::SeqCst);
    let front = SledStore::open(folder.path(), &names(), small(0)).unwrap();
    let store = ForwardingStore::start(front, Arc::clone(&behind) as Arc<dyn Behind>, Duration::from_secs(1)).unwrap();
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    store.append(&[(A, good(1, 1.0))]).unwrap();
    store.flush().unwrap();
    eventually("it says that it is away", &|| store.status().is_away);
    assert!(store.status().records_waiting > 0);
    behind.is_away.store(false, Ordering::SeqCst);
    eventually("it is back", &|| all(&behind.store, A) == [good(1, 1.0)] && !store.status().is_away);
    eventually("nothing waits", &|| store.status().records_waiting == 0);
}
