//! What is measured of any store: the same samples in the same order, as durable, read back in the same places.

use std::{path::Path, time::Instant};

use uatwin::{
    sample::{Sample, SeriesId},
    time::Timestamp,
};

use super::{
    measure::{Watch, cpu_s, du, quantile},
    mix::{BATCH, Load, SECOND, START, noise},
};

const SMALL_READS: u64 = 20_000;
const SMALL: usize = 100;

/// A store under measurement. Anything that fails ends the benchmark.
pub(crate) trait Historian {
    /// Takes samples; a second one at an instant replaces the first.
    fn append(&mut self, batch: &[(SeriesId, Sample)]);

    /// Returns when everything appended survives a power cut.
    fn flush(&mut self);

    /// Reads samples of a series from `from` on, at most `limit`; how many there were.
    fn read(&mut self, series: u32, from: Timestamp, limit: usize) -> usize;

    /// What it takes of the disk, once it has settled.
    fn bytes(&mut self, folder: &Path) -> f64 {
        du(folder)
    }
}

/// When what was appended is made durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Durable {
    /// With each batch.
    Batch,
    /// About once a second, as the service does.
    Second,
}

/// What taking in has cost, without what making the samples has.
#[derive(Debug, Default)]
pub(crate) struct Ingested {
    pub(crate) samples: f64,
    pub(crate) spent_s: f64,
    pub(crate) cpu_s: f64,
    pub(crate) flush_max_s: f64,
    /// Samples per second in each ten seconds.
    pub(crate) tens: Vec<f64>,
}

impl Ingested {
    /// Samples per second.
    pub(crate) fn rate(&self) -> f64 {
        self.samples / self.spent_s
    }
}

/// Writes a load, the last of it durably, or for as long as `most_s`.
pub(crate) fn ingest(historian: &mut dyn Historian, load: &Load, durable: Durable, most_s: f64) -> Ingested {
    const SECOND_S: f64 = 0.9;
    let (mut told, mut last_flush, mut ten) = (Ingested::default(), 0.0, (0.0, 0.0));
    for part in load.parts() {
        let is_last = part.end == load.seconds;
        let samples = load.samples(part);
        for batch in samples.chunks(BATCH) {
            let (started, cpu) = (Instant::now(), cpu_s());
            historian.append(batch);
            told.spent_s += started.elapsed().as_secs_f64();
            if matches!(durable, Durable::Batch) || told.spent_s - last_flush > SECOND_S {
                flush(historian, &mut told);
                last_flush = told.spent_s;
            }
            told.cpu_s += cpu_s() - cpu;
            told.samples += batch.len() as f64;
            if told.spent_s - ten.0 >= 10.0 {
                told.tens.push((told.samples - ten.1) / (told.spent_s - ten.0));
                ten = (told.spent_s, told.samples);
            }
        }
        if is_last || told.spent_s >= most_s {
            break;
        }
    }
    let cpu = cpu_s();
    flush(historian, &mut told);
    told.cpu_s += cpu_s() - cpu;
    told
}

fn flush(historian: &mut dyn Historian, told: &mut Ingested) {
    let started = Instant::now();
    historian.flush();
    let taken = started.elapsed().as_secs_f64();
    (told.spent_s, told.flush_max_s) = (told.spent_s + taken, told.flush_max_s.max(taken));
}

/// Reads every sample, once, series by series.
pub(crate) fn scan(historian: &mut dyn Historian, load: &Load) -> Watch {
    let watch = Watch::start();
    for series in 0..load.series {
        let seen = historian.read(series, Timestamp::from_ticks(0), usize::MAX);
        assert_eq!(seen, load.count_of(series), "every sample of a series is read, once");
    }
    watch
}

/// Microseconds that reads of 100 samples take, here and there: median and the 99th of 100.
pub(crate) fn small_reads(historian: &mut dyn Historian, load: &Load) -> (f64, f64) {
    let mut times: Vec<f64> = (0..SMALL_READS)
        .map(|read| {
            let pick = noise(read);
            let from = START + (pick % load.seconds.unsigned_abs()) as i64 * SECOND;
            let series = (pick >> 32) as u32 % load.series;
            let started = Instant::now();
            historian.read(series, Timestamp::from_ticks(from), SMALL);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    (quantile(&mut times, 0.5), quantile(&mut times, 0.99))
}
