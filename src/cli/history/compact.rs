//! `uatwin history compact`: what the service does in the background, now and to its end.

use indicatif::{ProgressBar, ProgressStyle};

use super::CommandError;
use crate::history::HistoryStore;

/// Samples looked at between two signs of life.
const STEP: usize = 1 << 18;

pub(super) fn run(store: &dyn HistoryStore) -> Result<bool, CommandError> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is right"));
    let (mut blocks, mut made, mut samples) = (0, 0, 0);
    loop {
        let step = store.compact(STEP)?;
        (blocks, made, samples) = (blocks + step.blocks, made + step.made, samples + step.samples);
        bar.set_message(format!("{blocks} blocks merged"));
        bar.tick();
        if !step.is_more {
            break;
        }
    }
    store.flush()?;
    bar.finish_and_clear();
    println!("{blocks} blocks with {samples} samples merged into {made}");
    Ok(true)
}
