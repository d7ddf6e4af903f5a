//! The log: every record is decoded. Its samples tell between which instants something may be lost.

use sled::Tree;

use super::{Place, VerifyProgress, VerifyReport};
use crate::history::{
    log::{LogEntry, Replay},
    log_trees,
};

pub(super) fn check(trees: &[Tree], report: &mut VerifyReport, progress: &mut dyn FnMut(VerifyProgress)) {
    let mut replay = Replay::default();
    let mut before = None;
    // Damages whose next readable record is still to come.
    let mut open_from = report.damages.len();
    for item in log_trees::iter(trees) {
        let (key, record) = match item {
            Ok(pair) => pair,
            Err(cause) => {
                report.damage(Place::Database("log"), (before, None), &cause);
                return;
            }
        };
        report.records += 1;
        let number = log_trees::number(&key).unwrap_or(u64::MAX);
        let mut times = Vec::new();
        let result = replay.record(&record, |entry| {
            if let LogEntry::Sample(_, sample) = entry {
                times.push(sample.source_timestamp);
            }
        });
        match result {
            Err(damage) => report.damage(Place::LogRecord(number), (before, None), &damage),
            Ok(()) => {
                report.record_samples += times.len() as u64;
                if let (Some(&first), Some(&last)) = (times.first(), times.last()) {
                    report.damages.iter_mut().skip(open_from).for_each(|damage| damage.times.1 = Some(first));
                    open_from = report.damages.len();
                    before = Some(last);
                }
            }
        }
        progress(report.progress());
    }
}
