//! Windows of statistics out of history: after a start, and when samples came late. And their reset, which is put on record so
//! that what came before does not come back with the next start.

use std::{ops::Range, sync::Arc};

use tokio::sync::oneshot;

use super::{
    CallError, Jobs,
    past::{Condition, PAGE, Past, earliest},
    stopping,
};
use crate::{
    history::{Direction, Document, HistoryError, HistoryStore},
    ingest::{Collection, Command, Filled, Refill, Refilled, Refills},
    sample::{Sample, SeriesId, TwinId, Value},
    statistics::{Rolling, Settings, Window, capability::Baseline, correlation::Joint},
    time::Timestamp,
    twin::{CorrelateSettings, Facet, StatisticsSettings},
};

/// Windows filled by one piece of work.
const WINDOWS: usize = 64;
/// Most samples that are gone through for one window: of a longer one the oldest are left out, and StartTime says so.
const SAMPLES_MAX: usize = 20_000_000;
/// What a document of ours says first, and the version of the format: a reset, at the document's time.
const RESET: &[u8] = b"statistics reset\x01";

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
        for derive in refills.derive {
            self.rederive(derive).await;
        }
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
                let refilled = refilled.ok().flatten().map(Box::new);
                let _ = self.command(Command::Refilled { refill, refilled }).await; // else it stops
            }
        }
    }

    fn window(&self, Refill { twin, of, .. }: Refill) -> Result<Option<Refilled>, HistoryError> {
        let configured = self.state.configured();
        let twin_type = configured.type_of(twin);
        let lot = match of {
            Collection::Variable(v) => twin_type.variables[v].statistics.lot,
            Collection::Joint => twin_type.statistics.lot,
        };
        let store = self.history.as_ref();
        let lot = lot.map(|lot| lot_of(store, self.series_of(twin, lot))).transpose()?.flatten();
        let begun = lot.as_ref().map_or(Timestamp::NULL, |(since, _)| *since);
        let begun = begun.max(reset_of(store, self.series_of(twin, 0))?);
        let window = match of {
            Collection::Variable(v) => Some(Filled::Rolling(self.rolling(twin, v, begun)?)),
            Collection::Joint => self.joint(twin, begun)?.map(Filled::Joint),
        };
        Ok(window.map(|window| Refilled { window, lot: lot.map(|(_, value)| value) }))
    }

    fn series_of(&self, twin: TwinId, variable: usize) -> SeriesId {
        self.state.configured().series(twin, Facet::Variable(variable))
    }

    fn rolling(&self, twin: TwinId, v: usize, begun: Timestamp) -> Result<Rolling, HistoryError> {
        let configured = self.state.configured();
        let variable = &configured.type_of(twin).variables[v];
        let settings = &variable.statistics;
        let mut rolling = variable.rolling();
        if let Some((start, end)) = settings.reference {
            // A period that is not over is not read: its figures would stay those of its beginning.
            let known = self.state.read(twin).statistics[v].as_ref().and_then(|rolling| rolling.reference);
            rolling.reference = match known {
                Some(known) if known.moving_range.is_finite() => Some(known),
                _ if self.clock.now() <= end => None,
                _ => Some(self.baseline(twin, v, start..end.next())?),
            };
        }
        let from = first_of(self.history.as_ref(), self.series_of(twin, v), settings, begun..self.clock.now())?;
        self.enter(twin, v, from..Timestamp::MAX, &mut rolling)?;
        Ok(rolling)
    }

    /// Stored samples of a variable by the rules of live ones.
    fn enter(&self, twin: TwinId, v: usize, times: Range<Timestamp>, to: &mut Rolling) -> Result<(), HistoryError> {
        let configured = self.state.configured();
        let settings = &configured.type_of(twin).variables[v].statistics;
        let store = self.history.as_ref();
        let mut condition = self.condition(twin, settings, times.start)?;
        Past::new(store, self.series_of(twin, v), times).each(|sample| {
            match counts(settings, condition.as_mut(), sample)? {
                Some(y) => to.add(sample.source_timestamp, y),
                None => to.interrupt(sample.source_timestamp),
            }
            Ok(())
        })
    }

    fn condition<'a>(
        &'a self,
        twin: TwinId,
        settings: &'a StatisticsSettings,
        from: Timestamp,
    ) -> Result<Option<Condition<'a>>, HistoryError> {
        let series = |v: usize| self.series_of(twin, v);
        settings.when.as_ref().map(|when| Condition::new(self.history.as_ref(), when, &series, from)).transpose()
    }

    /// The correlation matrix: samples of all its columns in the order of their instants, as they came; `None`: there is none.
    fn joint(&self, twin: TwinId, begun: Timestamp) -> Result<Option<Joint>, HistoryError> {
        let configured = self.state.configured();
        let twin_type = configured.type_of(twin);
        let (Some(mut joint), Some(of)) = (twin_type.joint(), &twin_type.correlate) else { return Ok(None) };
        let from = self.joint_from(twin, of, begun)?;
        let store = self.history.as_ref();
        let mut columns = Vec::with_capacity(of.variables.len());
        for v in &of.variables {
            let settings = &twin_type.variables[*v].statistics;
            let past = Past::holding(store, self.series_of(twin, *v), begun..from)?;
            columns.push((past, settings, self.condition(twin, settings, from)?));
        }
        while let Some((at, column)) = earliest(columns.iter_mut().map(|(past, ..)| past))? {
            let (past, settings, condition) = &mut columns[column];
            if let Some(sample) = past.peek()? {
                joint.add(column, at, counts(settings, condition.as_mut(), sample)?);
            }
            past.pass();
        }
        Ok(Some(joint))
    }

    /// Where the matrix's window begins; of one that counts rows, as if no row were missing.
    fn joint_from(&self, twin: TwinId, of: &CorrelateSettings, begun: Timestamp) -> Result<Timestamp, HistoryError> {
        let store = self.history.as_ref();
        let seconds = match self.state.configured().type_of(twin).statistics.window {
            Window::Duration(seconds) => seconds,
            Window::Values(rows) => f64::from(rows) * of.step_s,
            Window::SinceReset => {
                let most = SAMPLES_MAX / of.variables.len();
                let mut firsts =
                    of.variables.iter().map(|v| back(store, self.series_of(twin, *v), begun, most, &|_| true));
                return firsts.try_fold(begun, |from, first| Ok(from.max(first?)));
            }
        };
        let mut newest = Timestamp::NULL;
        for v in &of.variables {
            newest = newest.max(store.newest(self.series_of(twin, *v))?.unwrap_or(Timestamp::NULL));
        }
        Ok(newest.min(self.clock.now()).plus_seconds(-seconds).max(begun))
    }

    /// Of a reference period: its samples by the same rules as the window's.
    fn baseline(&self, twin: TwinId, variable: usize, times: Range<Timestamp>) -> Result<Baseline, HistoryError> {
        let settings = self.state.configured().type_of(twin).variables[variable].rolling().settings();
        let mut all = Rolling::new(Settings { window: Window::SinceReset, ..settings });
        let end = times.end;
        self.enter(twin, variable, times, &mut all)?;
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

/// Where a window begins that ends now, or with the newest sample if the PLC's clock is behind; not before its collection did.
fn first_of(
    store: &dyn HistoryStore,
    series: SeriesId,
    settings: &StatisticsSettings,
    Range { start: begun, end: now }: Range<Timestamp>,
) -> Result<Timestamp, HistoryError> {
    match settings.window {
        Window::Duration(seconds) => {
            let newest = store.newest(series)?.map_or(now, |newest| newest.min(now));
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
