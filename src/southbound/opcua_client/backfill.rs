//! What was missed while there was no session, read from the PLC's own history. Live data flows meanwhile: this runs
//! beside it, one request at a time, so that a small PLC is not overrun.

use std::{collections::HashMap, sync::Mutex, sync::PoisonError, time::Duration};

use opcua::{
    client::{HistoryReadAction, Session},
    types::{
        AttributeId, ByteString, HistoryData, HistoryReadResult, HistoryReadValueId, NodeId, NumericRange,
        QualifiedName, ReadRawModifiedDetails, TimestampsToReturn, Variant,
    },
};
use tokio::sync::mpsc;

use super::{
    inbox::Inbox,
    session::{Limits, Shift, attribute},
};
use crate::{
    sample::{Sample, SeriesId, StatusCode},
    southbound::{Event, Watch},
    time::{Clock, Timestamp},
    ua,
};

/// Values of one node in one answer, and so samples in one event.
const VALUES_MAX: u32 = 1_000;
/// Nodes in one request: 10,000 values are 0.3 MB, and a PLC is deaf while it answers.
const NODES_MAX: usize = 10;
/// Answers without a value but with a continuation point, after which the server is taken to be turning in a circle.
const EMPTY_ANSWERS_MAX: u32 = 100;
/// AccessLevel bit HistoryRead (OPC 10000-3 §8.57).
const HISTORY_READ: u8 = 0x04;
const TICK: Duration = Duration::from_nanos(100);

/// Per watch, from when on samples are missing; null: nothing is. Outlives sessions, so that a backfill that was cut
/// short goes on in the next.
pub(super) struct Gaps(Mutex<Vec<Timestamp>>);

impl Gaps {
    pub(super) fn new(watches: usize) -> Self {
        Self(Mutex::new(vec![Timestamp::NULL; watches]))
    }

    /// The same of other watches.
    pub(super) fn of(&self, before: &[Watch], watches: &[Watch]) -> Self {
        let known: HashMap<SeriesId, Timestamp> =
            before.iter().map(|watch| watch.series).zip(self.lock().iter().copied()).collect();
        let from = |watch: &Watch| known.get(&watch.series).copied().unwrap_or(Timestamp::NULL);
        Self(Mutex::new(watches.iter().map(from).collect()))
    }

    /// A session begins, or begins anew: what came last is where the gap starts, `oldest` at the earliest.
    pub(super) fn open(&self, inbox: &Inbox, oldest: Timestamp) {
        for (watch, from) in self.lock().iter_mut().enumerate() {
            if from.is_null() {
                let newest = inbox.newest(watch);
                *from = if newest.is_null() { oldest } else { newest + TICK };
            }
            *from = (*from).max(oldest);
        }
    }

    fn from(&self, watch: usize) -> Timestamp {
        self.lock().get(watch).copied().unwrap_or(Timestamp::NULL)
    }

    fn set(&self, watch: usize, from: Timestamp) {
        if let Some(slot) = self.lock().get_mut(watch) {
            *slot = from;
        }
    }

    fn close(&self, watch: usize) {
        self.set(watch, Timestamp::NULL);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a backfill works with.
pub(super) struct Backfill<'a> {
    pub(super) session: &'a Session,
    pub(super) limits: Limits,
    pub(super) watches: &'a [Watch],
    /// By watch; `None`: not resolved.
    pub(super) nodes: &'a [Option<NodeId>],
    pub(super) inbox: &'a Inbox,
    pub(super) gaps: &'a Gaps,
    pub(super) events: &'a mpsc::Sender<Event>,
    pub(super) clock: &'a dyn Clock,
    pub(super) clock_offset_s: f64,
}

#[derive(Clone)]
struct Gap {
    watch: usize,
    series: SeriesId,
    node: NodeId,
    from: Timestamp,
    to: Timestamp,
}

impl Backfill<'_> {
    /// Fills every gap that the PLC's history can fill; the samples sent.
    pub(super) async fn run(&self) -> Result<u64, String> {
        let gaps = self.gaps_with_history().await?;
        let mut sent = 0;
        for chunk in gaps.chunks(NODES_MAX.min(self.limits.history_read)) {
            let mut open = chunk.to_vec();
            while !open.is_empty() {
                sent += self.fill(&open).await?;
                open = self.cut_short(open);
            }
        }
        Ok(sent)
    }

    async fn gaps_with_history(&self) -> Result<Vec<Gap>, String> {
        let now = super::session::plc_now(self.clock, self.clock_offset_s);
        let mut gaps = Vec::new();
        for (watch, (config, node)) in self.watches.iter().zip(self.nodes).enumerate() {
            let (Some(node), true) = (node, config.historize) else { continue };
            let (from, first_live) = (self.gaps.from(watch), self.inbox.first_live(watch));
            // The session's first sample is the end of the gap: a value that has not changed since is not missed.
            let to = if first_live.is_null() { now + TICK } else { first_live };
            if !from.is_null() && from < to {
                gaps.push(Gap { watch, series: config.series, node: node.clone(), from, to });
            } else {
                self.gaps.close(watch);
            }
        }
        let mut with_history = Vec::new();
        let mut gaps = gaps.into_iter();
        loop {
            let chunk: Vec<_> = gaps.by_ref().take(self.limits.read).collect();
            if chunk.is_empty() {
                break;
            }
            let asked: Vec<_> = chunk.iter().map(|gap| attribute(gap.node.clone(), AttributeId::AccessLevel)).collect();
            let levels = self
                .session
                .read(&asked, TimestampsToReturn::Neither, 0.0)
                .await
                .map_err(|error| format!("reading access levels: {error}"))?;
            for (gap, level) in chunk.into_iter().zip(levels) {
                match level.value {
                    Some(Variant::Byte(level)) if level & HISTORY_READ != 0 => with_history.push(gap),
                    _ => self.gaps.close(gap.watch), // the PLC keeps nothing of it
                }
            }
        }
        with_history.sort_by_key(|gap| gap.from); // neighbours share a request, and so a start
        Ok(with_history)
    }

    /// The gaps that are still open after their last answer: some servers cut at NumValuesPerNode without a continuation
    /// point (asyncua's do). Each goes on behind what came, so this ends.
    fn cut_short(&self, gaps: Vec<Gap>) -> Vec<Gap> {
        let rest = gaps.into_iter().filter_map(|gap| {
            let from = self.gaps.from(gap.watch);
            (gap.from < from && from < gap.to).then_some(Gap { from, ..gap })
        });
        rest.collect()
    }

    async fn fill(&self, gaps: &[Gap]) -> Result<u64, String> {
        let mut open: Vec<(&Gap, ByteString)> = gaps.iter().map(|gap| (gap, ByteString::null())).collect();
        let mut timestamps = TimestampsToReturn::Both;
        let mut empty_answers = 0;
        let mut sent = 0;
        while !open.is_empty() {
            let answers = self.ask(gaps, &open, timestamps, false).await?;
            if timestamps == TimestampsToReturn::Both
                && answers.iter().any(|answer| answer.status_code == StatusCode::BadTimestampNotSupported)
            {
                timestamps = TimestampsToReturn::Source; // some historians keep no ServerTimestamp
                continue;
            }
            let mut rest = Vec::new();
            let mut came = 0;
            for ((gap, _), answer) in open.into_iter().zip(answers) {
                if answer.status_code.is_bad() {
                    tracing::debug!(series = gap.series.0, status = %answer.status_code, "no backfill");
                    if is_final(answer.status_code) {
                        self.gaps.close(gap.watch);
                    }
                    continue;
                }
                let next = answer.continuation_point.clone();
                let (given, taken) = self.send(gap, answer).await?;
                came += taken;
                if !next.is_null_or_empty() {
                    rest.push((gap, next));
                } else if given < VALUES_MAX as usize {
                    self.gaps.close(gap.watch);
                }
            }
            sent += came;
            empty_answers = if came == 0 { empty_answers + 1 } else { 0 };
            if empty_answers > EMPTY_ANSWERS_MAX {
                self.ask(gaps, &rest, timestamps, true).await?;
                return Err("the PLC's history gives continuation points without values".to_owned());
            }
            open = rest;
        }
        Ok(sent)
    }

    // The details of every request for a chunk are the same: some servers insist (Industrial-IoT #2537).
    async fn ask(
        &self,
        gaps: &[Gap],
        open: &[(&Gap, ByteString)],
        timestamps: TimestampsToReturn,
        release: bool,
    ) -> Result<Vec<HistoryReadResult>, String> {
        let details = ReadRawModifiedDetails {
            is_read_modified: false,
            start_time: ua::date_time(gaps.iter().map(|gap| gap.from).min().unwrap_or_default()),
            end_time: ua::date_time(gaps.iter().map(|gap| gap.to).max().unwrap_or_default()),
            num_values_per_node: VALUES_MAX,
            return_bounds: false,
        };
        let node = |(gap, continuation_point): &(&Gap, ByteString)| HistoryReadValueId {
            node_id: gap.node.clone(),
            index_range: NumericRange::None,
            data_encoding: QualifiedName::null(),
            continuation_point: continuation_point.clone(),
        };
        let nodes: Vec<_> = open.iter().map(node).collect();
        self.session
            .history_read(HistoryReadAction::ReadRawModifiedDetails(details), timestamps, release, &nodes)
            .await
            .map_err(|error| format!("reading the PLC's history: {error}"))
    }

    /// How many values the answer had, and how many of them the gap took.
    async fn send(&self, gap: &Gap, answer: HistoryReadResult) -> Result<(usize, u64), String> {
        let received = self.clock.now();
        let Some(mut history) = answer.history_data.into_inner_as::<HistoryData>() else { return Ok((0, 0)) };
        let given = history.data_values.as_ref().map_or(0, Vec::len);
        Shift::of(self.session).undo(history.data_values.iter_mut().flatten());
        let samples: Vec<Sample> = history
            .data_values
            .into_iter()
            .flatten()
            .map(|value| ua::sample(&value, received))
            // A request spans the gaps of all its nodes; this one's end is where live data begins.
            .filter(|sample| (gap.from..gap.to).contains(&sample.source_timestamp))
            .collect();
        let Some(last) = samples.last().map(|sample| sample.source_timestamp) else { return Ok((given, 0)) };
        let count = samples.len() as u64;
        // Waiting is right here: this is history, the PLC keeps it.
        let event = Event::Backfill { series: gap.series, samples };
        self.events.send(event).await.map_err(|_| "nobody takes samples any more".to_owned())?;
        self.gaps.set(gap.watch, last + TICK);
        Ok((given, count))
    }
}

/// Whether asking again later is in vain.
fn is_final(status: StatusCode) -> bool {
    [
        StatusCode::BadHistoryOperationUnsupported,
        StatusCode::BadHistoryOperationInvalid,
        StatusCode::BadServiceUnsupported,
        StatusCode::BadNotSupported,
        StatusCode::BadNotImplemented,
        StatusCode::BadUserAccessDenied,
        StatusCode::BadNotReadable,
    ]
    .contains(&status)
}
