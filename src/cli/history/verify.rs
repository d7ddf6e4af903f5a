//! `uatwin history verify`: what is damaged, by series and time, a line each.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, row::time_text};
use crate::history::{
    sled_store::SledStore,
    verify::{Damage, Place, VerifyProgress, VerifyReport},
};

pub(super) fn run(folder: &Path) -> Result<bool, CommandError> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is right"));
    let report = SledStore::verify(folder, &mut |progress| {
        let VerifyProgress { blocks, records, by_hand, events } = progress;
        if (blocks + records + by_hand + events).is_multiple_of(256) {
            bar.set_message(format!(
                "{blocks} blocks, {by_hand} edits, annotations and documents, {events} events, {records} log records"
            ));
            bar.tick();
        }
    })?;
    bar.finish_and_clear();
    say(&report);
    Ok(report.is_whole())
}

pub(super) fn say(report: &VerifyReport) {
    for aside in &report.set_aside_blocks {
        println!("set aside earlier: {}", line(aside));
    }
    for damage in &report.damages {
        println!("damaged: {}", line(damage));
    }
    println!("{}", summary(report));
}

fn line(damage: &Damage) -> String {
    let of = |series: &Option<String>| series.clone().unwrap_or_else(|| "a series without a name".to_owned());
    let place = match &damage.place {
        Place::Block(series) => format!("{}: a block", of(series)),
        Place::Record(what, series) => {
            format!("{}: {} {what}", of(series), if what.starts_with(['a', 'e']) { "an" } else { "a" })
        }
        Place::LogRecord(number) => format!("log record {number}"),
        Place::Database(name) => format!("the database `{name}`"),
    };
    let [from, to] = [damage.times.0, damage.times.1].map(|at| at.map_or_else(|| "…".to_owned(), time_text));
    let times = if from == to { from } else { format!("{from} to {to}") };
    format!("{place}, {times}: {}", damage.what)
}

fn summary(report: &VerifyReport) -> String {
    let VerifyReport { series, blocks, block_samples, records, record_samples, .. } = report;
    let VerifyReport { modifications, annotations, documents, events, set_aside, damaged, .. } = report;
    let mut text = format!(
        "{series} series; {blocks} blocks with {block_samples} samples; {modifications} modification records; \
         {annotations} annotations; {documents} documents; {events} events; {records} log records with {record_samples} samples; "
    );
    if *set_aside > 0 {
        text.push_str(&format!("{set_aside} damaged blocks set aside earlier; "));
    }
    text + &if *damaged == 0 { "no damage".to_owned() } else { format!("{damaged} damaged") }
}
