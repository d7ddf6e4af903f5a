//! Keeps the folder in order while the program runs, and says what an operator should know of it.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Entry, Place, entries, look};
use crate::time::{Clock, Timestamp};

/// A file that was moved counts after this at the latest.
const EVERY: Duration = Duration::from_secs(2);
/// Looks between two at how long our own certificate is valid: a day.
const LOOKS_A_DAY: u32 = 43_200;
/// An operator has so long to renew.
const WARNING: Duration = Duration::from_secs(30 * 86_400);

/// Until told to stop: names what is dropped into `trusted/`, keeps `rejected/` small, tells of each client that is refused, once,
/// and of our own certificate a month before its end.
pub async fn watch(pki_dir: PathBuf, clock: Arc<dyn Clock>, stopping: CancellationToken) -> &'static str {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What lay there before the start was told of then.
    let mut known: Option<HashSet<String>> = None;
    for looks in 0_u32.. {
        tokio::select! {
            _ = every.tick() => (),
            () = stopping.cancelled() => break,
        }
        let dir = pki_dir.clone();
        let Ok(looked) =
            tokio::task::spawn_blocking(move || Ok::<_, std::io::Error>((look(&dir)?, entries(&dir)?))).await
        else {
            break;
        };
        match looked {
            Ok((rejected, all)) => {
                let known =
                    known.get_or_insert_with(|| rejected.iter().map(|entry| entry.thumbprint.clone()).collect());
                rejected.iter().filter(|entry| known.insert(entry.thumbprint.clone())).for_each(tell);
                if looks % LOOKS_A_DAY == 0 {
                    all.iter()
                        .filter(|entry| entry.place == Place::Own)
                        .for_each(|own| warn_of_the_end(own, clock.now()));
                }
            }
            Err(error) if looks % LOOKS_A_DAY == 0 => {
                warn!(folder = %pki_dir.display(), %error, "the folder of certificates cannot be read");
            }
            Err(_) => {}
        }
    }
    "certificates"
}

fn tell(entry: &Entry) {
    let remedy = format!("uatwin cert trust {}", entry.thumbprint);
    warn!(name = entry.common_name, thumbprint = entry.thumbprint, remedy, "a certificate is refused: not trusted");
}

fn warn_of_the_end(own: &Entry, now: Timestamp) {
    let Some((_, end)) = own.valid.filter(|(_, end)| *end < now + WARNING) else { return };
    if end < now {
        warn!(%end, remedy = "uatwin cert renew", "our certificate's time is over: clients may refuse us");
    } else {
        warn!(%end, remedy = "uatwin cert renew", "our certificate's time ends within a month");
    }
}
