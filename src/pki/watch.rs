//! Keeps the folder in order while the program runs, and says what an operator should know of it.

use std::{collections::HashSet, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Entry, Place, entries, look};
use crate::time::{Clock, Timestamp};

/// A file that was moved counts after this at the latest.
const EVERY: Duration = Duration::from_secs(2);
/// Looks between two at how long our own certificate is valid: a day.
const LOOKS_A_DAY: u32 = 43_200;
/// An operator has so long to renew: ExpirationLimit.
pub const WARNING: Duration = Duration::from_secs(30 * 86_400);

/// What was told of already.
#[derive(Default)]
struct Told {
    files: HashSet<PathBuf>,
    looks: u32,
}

/// Until told to stop: names what is dropped into `trusted/`, keeps `rejected/` small, tells of each client or PLC that is refused, once,
/// and of our own certificate a month before its end; that end, `expires` is told with every look.
pub async fn watch(
    pki_dir: PathBuf,
    expires: impl Fn(Option<Timestamp>),
    clock: Arc<dyn Clock>,
    stopping: CancellationToken,
) -> &'static str {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Told::default();
    loop {
        tokio::select! {
            _ = every.tick() => (),
            () = stopping.cancelled() => break,
        }
        let dir = pki_dir.clone();
        let looked = tokio::task::spawn_blocking(move || Ok::<_, io::Error>((look(&dir)?, entries(&dir)?)));
        match looked.await {
            Ok(Ok((strange, all))) => {
                let own = all.iter().find(|entry| entry.place == Place::Own);
                expires(own.and_then(|own| Some(own.valid?.1)));
                told.tell(&strange, &all, clock.now());
            }
            Ok(Err(error)) if told.looks.is_multiple_of(LOOKS_A_DAY) => {
                warn!(folder = %pki_dir.display(), %error, "the folder of certificates cannot be read");
            }
            Ok(Err(_)) => {}
            Err(_) => break, // the runtime stops
        }
        told.looks = told.looks.wrapping_add(1);
    }
    "certificates"
}

impl Told {
    fn tell(&mut self, strange: &[PathBuf], all: &[Entry], now: Timestamp) {
        let rejected = || all.iter().filter(|entry| entry.place == Place::Rejected);
        // Who is trusted and refused later is told of again.
        let there: HashSet<&PathBuf> = rejected().map(|entry| &entry.file).chain(strange).collect();
        self.files.retain(|file| there.contains(file));
        for entry in rejected() {
            // What lay there at the start was told of then.
            if self.files.insert(entry.file.clone()) && self.looks > 0 {
                let remedy = format!("uatwin cert trust {}", entry.thumbprint);
                let (name, thumbprint) = (&entry.common_name, &entry.thumbprint);
                warn!(name, thumbprint, remedy, "a certificate is refused: not trusted");
            }
        }
        for file in strange.iter().filter(|file| self.files.insert((*file).clone())) {
            warn!(file = %file.display(), "not a certificate in DER or PEM, not trusted");
        }
        if self.looks.is_multiple_of(LOOKS_A_DAY) {
            all.iter().filter(|entry| entry.place == Place::Own).for_each(|own| warn_of_the_end(own, now));
        }
    }
}

fn warn_of_the_end(own: &Entry, now: Timestamp) {
    let Some((_, end)) = own.valid.filter(|(_, end)| *end < now + WARNING) else { return };
    if end < now {
        warn!(%end, remedy = "uatwin cert renew", "our certificate's time is over: clients may refuse us");
    } else {
        warn!(%end, remedy = "uatwin cert renew", "our certificate's time ends within a month");
    }
}
