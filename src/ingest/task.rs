//! The stage as a task: takes events and commands as they come, hands on what they produce.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{MissedTickBehavior, interval},
};

use super::{Command, DriftChore, Ingest, Output, Refills, StoredUntil};
use crate::{
    event::Event,
    history::writer::HistoryMessage,
    program::Program,
    sample::{SeriesId, TwinId},
    southbound,
    time::Clock,
};

/// What subscribers are to learn.
#[derive(Debug, Default)]
pub struct Changes {
    /// Series with another live value.
    pub series: Vec<SeriesId>,
    /// Programs after each of their changes, in order: of these none may be passed over.
    pub programs: Vec<(TwinId, Program)>,
    /// What happened, in order.
    pub events: Vec<Arc<Event>>,
}

/// The stage's queues; every one has a bound.
pub struct Channels {
    /// From the sources. Its end ends the stage.
    pub events: mpsc::Receiver<southbound::Event>,
    /// From jobs and clients.
    pub commands: mpsc::Receiver<Command>,
    /// To the writer. Full: the stage waits, and with it the sources' queue.
    pub history: mpsc::Sender<HistoryMessage>,
    /// To the publisher. Full: the stage waits; the publisher never does more than copy and push.
    pub changed: mpsc::Sender<Changes>,
    /// To the jobs. Full: dropped, a model then goes on from where it is.
    pub warm_starts: mpsc::Sender<TwinId>,
    /// To the jobs. Full: dropped, the windows then go on with what comes.
    pub refills: mpsc::Sender<Refills>,
    /// To the jobs. Full: dropped; a test then knows what comes only, a fit is asked for again.
    pub drift: mpsc::Sender<DriftChore>,
}

/// Events taken per turn before anything else gets a look in.
const EVENTS_MAX: usize = 64;

/// Runs until `events` closes and everything in it is handed on.
pub async fn run(mut ingest: Ingest, mut channels: Channels, clock: Arc<dyn Clock>, stored_until: StoredUntil) {
    let mut output = Output::default();
    ingest.begin(clock.now(), &stored_until, &mut output);
    drop(stored_until);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        if hand_on(&channels, &mut output).await.is_err() {
            return; // the writer has gone: app sees it end and says so
        }
        for refills in output.refills.drain(..) {
            if let Err(TrySendError::Full(refills) | TrySendError::Closed(refills)) = channels.refills.try_send(refills)
            {
                ingest.give_up(&refills);
            }
        }
        tokio::select! {
            taken = channels.events.recv_many(&mut events, EVENTS_MAX) => {
                if taken == 0 {
                    break;
                }
                for event in events.drain(..) {
                    ingest.on_event(clock.now(), event, &mut output);
                }
            }
            Some(command) = channels.commands.recv() => ingest.on_command(clock.now(), command, &mut output),
            _ = second.tick() => ingest.tick(clock.now(), channels.events.is_empty(), &mut output),
        }
    }
    let _ = hand_on(&channels, &mut output).await;
}

async fn hand_on(channels: &Channels, output: &mut Output) -> Result<(), mpsc::error::SendError<HistoryMessage>> {
    for message in output.history.drain(..) {
        channels.history.send(message).await?;
    }
    if !output.events.is_empty() {
        let events = output.events.iter().map(|event| (**event).clone()).collect();
        channels.history.send(HistoryMessage::Events(events)).await?;
    }
    if !output.changed.is_empty() || !output.programs.is_empty() || !output.events.is_empty() {
        let (series, programs) = (std::mem::take(&mut output.changed), std::mem::take(&mut output.programs));
        let events = std::mem::take(&mut output.events);
        // A publisher that has ended is noticed by app; the samples are safe in history.
        let _ = channels.changed.send(Changes { series, programs, events }).await;
    }
    for twin in output.warm_starts.drain(..) {
        let _ = channels.warm_starts.try_send(twin);
    }
    for chore in output.drift.drain(..) {
        let _ = channels.drift.try_send(chore);
    }
    Ok(())
}
