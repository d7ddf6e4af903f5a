//! Windows of statistics out of history: after a start, and when samples came late. And their reset, which is put on record so
//! that what came before does not come back with the next start.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{CallError, Jobs, stopping};
use crate::{
    history::{Direction, Document, HistoryError, HistoryStore},
    ingest::{Command, Refill, Refilled, Refills},
    model::Expression,
    sample::{Sample, SeriesId, TwinId, Value},
    statistics::{Rolling, Settings, Window, capability::Baseline},
    time::Timestamp,
    twin::{Facet, StatisticsSettings},
};

/// Windows filled by one piece of work.
const WINDOWS: usize = 64;
/// Samples read at a time.
const PAGE: usize = 16_384;
/// Most samples that are gone through for one window: of a longer one the oldest are left out, and StartTime says so.
const SAMPLES_MAX: usize = 20_000_000;
/// What a document of ours says first, and the version of the format: a reset, at the document's time.
const RESET: &[u8] = b"statistics reset\x01";
/// One tick.
const TICK: Duration = Duration::from_nanos(100);

impl Jobs {
    /// Empties the windows of a twin's statistics, for good: that is on record when it answers.
    ///
    /// # Errors
    /// Only while the program stops.
    pub async fn reset_statistics(self: &Arc<Self>, twin: TwinId) -> Result<(), CallError> {
        let series = self.state.configured().series(twin, Facet::Variable(0));
        let document = Document::new(self.clock.now(), RESET.to_vec());
        let kept = self.blocking(move |jobs| Ok(jobs.history.keep(&[(series, document)]))).await?;
        if let Err(error) = kept {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a reset of statistics will not outlive the program"
            );
        }
        let (reply, done) = oneshot::channel();
        self.command(Command::ResetStatistics { twin, reply }).await?;
        done.await.map_err(|_| stopping())
    }

    /// Fills windows from history, one after the other.
    pub async fn refill(self: &Arc<Self>, refills: Refills) {
        let _ = refills.stored.await; // a writer that has ended has stored what it could
        for some in refills.of.chunks(WINDOWS) {
            let some = some.to_vec();
            let filled = self.blocking(move |jobs| {
                Ok(some.into_iter().map(|refill| (refill, jobs.window(refill))).collect::<Vec<_>>())
            });
            for (refill, refilled) in filled.await.unwrap_or_default() {
                let refilled = refilled.map_err(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a window could not be filled from history"
                    );
                });
                let refilled = refilled.ok().map(Box::new);
                let _ = self.command(Command::Refilled { refill, refilled }).await; // else it stops
            }
        }
    }

    fn window(&self, refill: Refill) -> Result<Refilled, HistoryError> {
        let (twin, configured) = (refill.twin, self.state.configured());
        let series = |v: usize| configured.series(twin, Facet::Variable(v));
        let variable = &configured.type_of(twin).variables[refill.variable];
        let settings = &variable.statistics;
        let (store, own) = (self.history.as_ref(), series(refill.variable));
        let mut rolling = variable.rolling();
        let lot = settings.lot.map(|lot| lot_of(store, series(lot))).transpose()?.flatten();
        let begun = lot.as_ref().map_or(Timestamp::NULL, |(since, _)| *since);
        if let Some((start, end)) = settings.reference {
            // A period that is not over is not read: its figures would stay those of its beginning.
            let known =
                self.state.read(twin).statistics[refill.variable].as_ref().and_then(|rolling| rolling.reference);
            rolling.reference = match known {
                Some(known) if known.moving_range.is_finite() => Some(known),
                _ if self.clock.now() <= end => None,
                _ => Some(self.baseline(twin, refill.variable, start..end + TICK)?),
            };
        }
        let begun = begun.max(reset_of(store, series(0))?);
        let from = first_of(store, own, settings, begun..self.clock.now())?;
        let mut condition = settings.when.as_ref().map(|when| Condition::new(store, when, &series, from));
        each(store, own, from..Timestamp::MAX, &mut |sample| {
            match counts(settings, condition.as_mut(), sample)? {
                Some(y) => rolling.add(sample.source_timestamp, y),
                None => rolling.interrupt(sample.source_timestamp),
            }
            Ok(())
        })?;
        Ok(Refilled { rolling, lot: lot.map(|(_, value)| value) })
    }

    /// Of a reference period: its samples by the same rules as the window's.
    fn baseline(&self, twin: TwinId, variable: usize, times: Range<Timestamp>) -> Result<Baseline, HistoryError> {
        let configured = self.state.configured();
        let series = |v: usize| configured.series(twin, Facet::Variable(v));
        let variable_of = &configured.type_of(twin).variables[variable];
        let settings = &variable_of.statistics;
        let mut all = Rolling::new(Settings { window: Window::SinceReset, ..variable_of.rolling().settings() });
        let store = self.history.as_ref();
        let mut condition = settings.when.as_ref().map(|when| Condition::new(store, when, &series, times.start));
        let end = times.end;
        each(store, series(variable), times, &mut |sample| {
            match counts(settings, condition.as_mut(), sample)? {
                Some(y) => all.add(sample.source_timestamp, y),
                None => all.interrupt(sample.source_timestamp),
            }
            Ok(())
        })?;
        Ok(Baseline::from(&all.summary(end)))
    }
}

/// What of a stored sample enters, by the rules of live ones.
fn counts(
    settings: &StatisticsSettings,
    condition: Option<&mut Condition<'_>>,
    sample: &Sample,
) -> Result<Option<f64>, HistoryError> {
    match (settings.usable(sample), condition) {
        (Some(y), Some(condition)) => Ok(condition.holds(sample)?.then_some(y)),
        (y, _) => Ok(y),
    }
}

/// Every stored sample in `times`, in order.
fn each(
    store: &dyn HistoryStore,
    series: SeriesId,
    times: Range<Timestamp>,
    take: &mut dyn FnMut(&Sample) -> Result<(), HistoryError>,
) -> Result<(), HistoryError> {
    let mut from = times.start;
    loop {
        let page = store.read(series, from..times.end, Direction::Forward, PAGE)?;
        page.iter().try_for_each(&mut *take)?;
        match page.last() {
            Some(last) if page.len() == PAGE => from = last.source_timestamp + TICK,
            _ => return Ok(()),
        }
    }
}

/// Where a window begins that ends now, or with the newest sample if the PLC's clock is behind; not before its collection did.
fn first_of(
    store: &dyn HistoryStore,
    series: SeriesId,
    settings: &StatisticsSettings,
    Range { start: begun, end: now }: Range<Timestamp>,
) -> Result<Timestamp, HistoryError> {
    match settings.window {
        Window::Duration(seconds) => {
            let newest = store.extent(series)?.map_or(now, |(_, newest)| newest.min(now));
            Ok(newest.plus_seconds(-seconds).max(begun))
        }
        Window::Values(values) => {
            // Of a condition one value in four is taken to meet it; where fewer do, the window begins later.
            let wanted = values as usize * if settings.when.is_some() { 4 } else { 1 };
            back(store, series, begun, wanted, &|sample| settings.usable(sample).is_some())
        }
        Window::SinceReset => back(store, series, begun, SAMPLES_MAX, &|_| true),
    }
}

/// The instant of the `wanted`th last sample that is one of those asked for, or of the first from `begun` on.
fn back(
    store: &dyn HistoryStore,
    series: SeriesId,
    begun: Timestamp,
    wanted: usize,
    is_one: &dyn Fn(&Sample) -> bool,
) -> Result<Timestamp, HistoryError> {
    let (mut end, mut left, mut seen) = (Timestamp::MAX, wanted, 0);
    loop {
        let page = store.read(series, begun..end, Direction::Backward, PAGE)?;
        for sample in &page {
            left -= usize::from(is_one(sample));
            if left == 0 {
                return Ok(sample.source_timestamp);
            }
        }
        seen += page.len();
        match page.last() {
            Some(oldest) if page.len() == PAGE && seen < SAMPLES_MAX => end = oldest.source_timestamp,
            _ => return Ok(page.last().map_or(begun, |oldest| oldest.source_timestamp)),
        }
    }
}

/// Since when the lot has had its present value; `None`: it never had any.
fn lot_of(store: &dyn HistoryStore, series: SeriesId) -> Result<Option<(Timestamp, Value)>, HistoryError> {
    let (mut end, mut lot, mut seen): (_, Option<(Timestamp, Value)>, _) = (Timestamp::MAX, None, 0);
    loop {
        let page = store.read(series, Timestamp::NULL..end, Direction::Backward, PAGE)?;
        for sample in page.iter().filter(|sample| !sample.status.is_bad() && !sample.value.is_null()) {
            match &mut lot {
                Some((_, value)) if *value != sample.value => return Ok(lot),
                Some((since, _)) => *since = sample.source_timestamp,
                None => lot = Some((sample.source_timestamp, sample.value.clone())),
            }
        }
        seen += page.len();
        match page.last() {
            Some(oldest) if page.len() == PAGE && seen < SAMPLES_MAX => end = oldest.source_timestamp,
            _ => return Ok(lot),
        }
    }
}

/// When the twin's statistics were last reset.
fn reset_of(store: &dyn HistoryStore, series: SeriesId) -> Result<Timestamp, HistoryError> {
    let last = store.documents(series, Direction::Backward, 0, 1)?;
    Ok(last.first().filter(|document| document.body == RESET).map_or(Timestamp::NULL, |document| document.at))
}

/// The config's `when` over history: each variable as its latest value at the sample's instant.
struct Condition<'a> {
    store: &'a dyn HistoryStore,
    when: &'a Expression,
    followed: Vec<Followed>,
    values: Vec<f64>,
}

/// One variable that is read along.
struct Followed {
    variable: usize,
    series: SeriesId,
    page: Vec<Sample>,
    at: usize,
    from: Timestamp,
}

impl<'a> Condition<'a> {
    fn new(
        store: &'a dyn HistoryStore,
        when: &'a Expression,
        series: &dyn Fn(usize) -> SeriesId,
        from: Timestamp,
    ) -> Self {
        let used = when.uses().iter().enumerate().filter(|(_, used)| **used);
        // What held before the first sample is part of what is read.
        let begin = |series| {
            let before = store.read(series, Timestamp::NULL..from, Direction::Backward, 1);
            before.ok().and_then(|before| before.first().map(|sample| sample.source_timestamp)).unwrap_or(from)
        };
        let follow = |(variable, _)| {
            let series = series(variable);
            Followed { variable, series, page: Vec::new(), at: 0, from: begin(series) }
        };
        Self { store, when, followed: used.map(follow).collect(), values: vec![f64::NAN; when.uses().len()] }
    }

    fn holds(&mut self, sample: &Sample) -> Result<bool, HistoryError> {
        for followed in &mut self.followed {
            while let Some(next) = followed.next_until(self.store, sample.source_timestamp)? {
                self.values[followed.variable] = next;
            }
        }
        Ok(self.when.holds(&self.values))
    }
}

impl Followed {
    /// The next value that is not later than `until`; NaN where it is not usable.
    fn next_until(&mut self, store: &dyn HistoryStore, until: Timestamp) -> Result<Option<f64>, HistoryError> {
        if self.at == self.page.len() && self.from <= until {
            self.page = store.read(self.series, self.from..Timestamp::MAX, Direction::Forward, PAGE)?;
            self.at = 0;
            // What is shorter than a page is the last.
            self.from = match self.page.last() {
                Some(last) if self.page.len() == PAGE => last.source_timestamp + TICK,
                _ => Timestamp::MAX,
            };
        }
        let next = self.page.get(self.at).filter(|next| next.source_timestamp <= until);
        self.at += usize::from(next.is_some());
        Ok(next.map(|sample| sample.usable().unwrap_or(f64::NAN)))
    }
}
