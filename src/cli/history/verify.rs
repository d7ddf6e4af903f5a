//! `uatwin history verify`: what is damaged, by series and time, a line each.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, row::time_text};
use crate::history::{
    sled_store::SledStore,
    verify::{Damage, Place, VerifyReport},
};

pub(super) fn run(folder: &Path) -> Result<bool, CommandError> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is right"));
    let report = SledStore::verify(folder, &mut |progress| {
        if (progress.blocks + progress.records).is_multiple_of(256) {
            bar.set_message(format!("{} blocks, {} log records", progress.blocks, progress.records));
            bar.tick();
        }
    })?;
    bar.finish_and_clear();
    say(&report);
    Ok(report.is_whole())
}

pub(super) fn say(report: &VerifyReport) {
    for damage in &report.damages {
        println!("{}", line(damage));
    }
    println!("{}", summary(report));
}

fn line(damage: &Damage) -> String {
    let place = match &damage.place {
        Place::Block(Some(series)) => format!("{series}: a block"),
        Place::Block(None) => "a series without a name: a block".to_owned(),
        Place::LogRecord(number) => format!("log record {number}"),
        Place::Database(name) => format!("the database `{name}`"),
    };
    let [from, to] = [damage.times.0, damage.times.1].map(|at| at.map_or_else(|| "…".to_owned(), time_text));
    format!("damaged: {place}, {from} to {to}: {}", damage.what)
}

fn summary(report: &VerifyReport) -> String {
    let VerifyReport { series, blocks, block_samples, records, record_samples, set_aside, damaged, .. } = report;
    let mut text = format!(
        "{series} series; {blocks} blocks with {block_samples} samples; {records} log records with {record_samples}; "
    );
    if *set_aside > 0 {
        text.push_str(&format!("{set_aside} damaged blocks set aside earlier; "));
    }
    text + &if *damaged == 0 { "no damage".to_owned() } else { format!("{damaged} damaged") }
}
