//! Many questions in few requests: in batches that the server allows, several at a time, smaller ones where it balks. What one node
//! is refused for is that node's answer; only a session that is gone is an error.

use std::{
    collections::VecDeque,
    future::Future,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use opcua::{
    client::Session,
    types::{BrowseDescription, DataValue, ReadValueId, ReferenceDescription, TimestampsToReturn},
};
use tokio::task::JoinSet;

use super::super::session::Limits;
use crate::sample::StatusCode;

/// Requests under way at a time: enough that neither side waits for the other.
const IN_FLIGHT: usize = 4;
/// Asked of one node at a time: a folder of a hundred thousand would be longer than a message may be.
const REFERENCES_AT_A_TIME: u32 = 10_000;
/// References of one node, and rounds of continuation points of one batch: no server keeps us for ever.
const REFERENCES_MAX: usize = 2_000_000;
const ROUNDS_MAX: usize = 1_000_000;

/// One node's answer, or why there is none.
type Answer<A> = Result<A, StatusCode>;
/// A whole batch's answers, or why the request failed.
type Batch<A> = Result<Vec<Answer<A>>, StatusCode>;

/// A session, and what has been learnt of how much it takes.
pub(super) struct Requests {
    session: Arc<Session>,
    browse_len: AtomicUsize,
    read_len: AtomicUsize,
    in_flight: AtomicUsize,
}

impl Requests {
    pub(super) fn new(session: Arc<Session>, limits: &Limits) -> Self {
        Self {
            session,
            browse_len: AtomicUsize::new(limits.browse),
            read_len: AtomicUsize::new(limits.read),
            in_flight: AtomicUsize::new(IN_FLIGHT),
        }
    }

    /// All references of each node, over continuation points.
    pub(super) async fn browse(
        &self,
        questions: &[BrowseDescription],
    ) -> Result<Vec<Answer<Vec<ReferenceDescription>>>, String> {
        self.batched(questions, &self.browse_len, browse).await.map_err(|status| format!("browsing: {status}"))
    }

    /// Attributes.
    pub(super) async fn read(&self, questions: &[ReadValueId]) -> Result<Vec<DataValue>, String> {
        let read = self.batched(questions, &self.read_len, read).await;
        let failed = |status| DataValue { status: Some(status), ..DataValue::default() };
        read.map(|values| values.into_iter().map(|value| value.unwrap_or_else(failed)).collect())
            .map_err(|status| format!("reading: {status}"))
    }

    /// Asks `questions` in batches of at most `len`, which shrinks for good where the server refuses one. Continuation points are
    /// few on some servers: nodes for which there was none left are asked once more, alone, when nothing else is under way.
    async fn batched<Q, A, F>(
        &self,
        questions: &[Q],
        len: &AtomicUsize,
        ask: impl Fn(Arc<Session>, Vec<Q>) -> F,
    ) -> Result<Vec<Answer<A>>, StatusCode>
    where
        Q: Clone,
        A: Send + 'static,
        F: Future<Output = Batch<A>> + Send + 'static,
    {
        let mut answers: Vec<Option<Answer<A>>> = (0..questions.len()).map(|_| None).collect();
        let mut waiting = VecDeque::new();
        waiting.push_back(0..questions.len());
        let mut alone: VecDeque<usize> = VecDeque::new();
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.in_flight.load(Ordering::Relaxed)
                && let Some(range) = next(&mut waiting, len.load(Ordering::Relaxed))
            {
                let batch = ask(Arc::clone(&self.session), questions[range.clone()].to_vec());
                running.spawn(async move { (range, batch.await) });
            }
            match running.join_next().await {
                Some(Ok((range, Ok(batch)))) => {
                    for (index, answer) in range.zip(batch) {
                        match answer {
                            Err(status) if is_about_continuation(status) => alone.push_back(index),
                            answer => answers[index] = Some(answer),
                        }
                    }
                }
                Some(Ok((_, Err(status)))) if is_end(status) => return Err(status),
                Some(Ok((range, Err(status)))) => self.balked(range, status, len, &mut waiting, &mut answers),
                Some(Err(_)) => return Err(StatusCode::BadUnexpectedError), // a panic of the library
                None => break,
            }
        }
        for index in alone {
            let batch = ask(Arc::clone(&self.session), vec![questions[index].clone()]).await;
            answers[index] = Some(match batch {
                Err(status) if is_end(status) => return Err(status),
                Err(status) => Err(status),
                Ok(batch) => batch.into_iter().next().unwrap_or(Err(StatusCode::BadUnexpectedError)),
            });
        }
        Ok(answers.into_iter().map(|answer| answer.unwrap_or(Err(StatusCode::BadUnexpectedError))).collect())
    }

    /// A request that failed as a whole: half as much in each from now on, or only of these nodes, if it is for the length of what they
    /// have to say. Of one node it is that node's answer.
    fn balked<A>(
        &self,
        range: Range<usize>,
        status: StatusCode,
        len: &AtomicUsize,
        waiting: &mut VecDeque<Range<usize>>,
        answers: &mut [Option<Answer<A>>],
    ) {
        if status == StatusCode::BadTimeout {
            self.in_flight.store(1, Ordering::Relaxed); // it is busy enough with one
        }
        let half = range.start + range.len().div_ceil(2);
        if range.len() == 1 {
            answers[range.start] = Some(Err(status));
        } else if is_about_answer(status) {
            waiting.push_front(half..range.end);
            waiting.push_front(range.start..half);
        } else {
            len.fetch_min(range.len().div_ceil(2), Ordering::Relaxed);
            waiting.push_front(range);
        }
    }
}

/// The next batch of what waits.
fn next(waiting: &mut VecDeque<Range<usize>>, len: usize) -> Option<Range<usize>> {
    let range = waiting.pop_front().filter(|range| !range.is_empty())?;
    let end = range.end.min(range.start + len.max(1));
    if end < range.end {
        waiting.push_front(end..range.end);
    }
    Some(range.start..end)
}

fn is_about_continuation(status: StatusCode) -> bool {
    [StatusCode::BadNoContinuationPoints, StatusCode::BadContinuationPointInvalid].contains(&status)
}

/// Whether what these nodes have to say is too long for one message.
fn is_about_answer(status: StatusCode) -> bool {
    [StatusCode::BadResponseTooLarge, StatusCode::BadEncodingLimitsExceeded, StatusCode::BadTcpMessageTooLarge]
        .contains(&status)
}

/// Whether the session is gone: nothing more will be answered.
fn is_end(status: StatusCode) -> bool {
    [
        StatusCode::BadConnectionClosed,
        StatusCode::BadNotConnected,
        StatusCode::BadServerNotConnected,
        StatusCode::BadSecureChannelClosed,
        StatusCode::BadSecureChannelIdInvalid,
        StatusCode::BadSessionIdInvalid,
        StatusCode::BadSessionClosed,
        StatusCode::BadShutdown,
        StatusCode::BadServerHalted,
    ]
    .contains(&status)
}

async fn read(session: Arc<Session>, questions: Vec<ReadValueId>) -> Batch<DataValue> {
    let answers = session.read(&questions, TimestampsToReturn::Neither, 0.0).await.map_err(|error| error.status())?;
    Ok(answers.into_iter().map(Ok).collect())
}

async fn browse(session: Arc<Session>, questions: Vec<BrowseDescription>) -> Batch<Vec<ReferenceDescription>> {
    let results = session.browse(&questions, REFERENCES_AT_A_TIME, None).await.map_err(|error| error.status())?;
    let mut answers: Vec<Answer<Vec<ReferenceDescription>>> = Vec::with_capacity(results.len());
    let mut open = Vec::new();
    for result in results {
        if !result.continuation_point.is_null_or_empty() {
            open.push((answers.len(), result.continuation_point));
        }
        answers.push(match result.status_code {
            status if status.is_bad() => Err(status),
            _ => Ok(result.references.unwrap_or_default()),
        });
    }
    for _ in 0..ROUNDS_MAX {
        if open.is_empty() {
            break;
        }
        let (of, points): (Vec<_>, Vec<_>) = open.drain(..).unzip();
        let results = session.browse_next(false, &points).await.map_err(|error| error.status())?;
        for (index, result) in of.into_iter().zip(results) {
            if result.status_code.is_bad() {
                answers[index] = Err(result.status_code);
            } else if let Ok(answer) = &mut answers[index] {
                answer.extend(result.references.unwrap_or_default());
                if !result.continuation_point.is_null_or_empty() && answer.len() < REFERENCES_MAX {
                    open.push((index, result.continuation_point));
                }
            }
        }
    }
    Ok(answers)
}
