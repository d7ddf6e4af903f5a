//! kill -9 of a process that writes history, again and again: nothing acknowledged is lost, nothing doubles, nothing
//! is other than it was written. `UATWIN_TEST_KILLS=1000 cargo test --release --test system kill -- --nocapture`

use std::time::Duration;

use super::{
    history_look::look,
    history_writer::{Work, write_until},
    trial::{Chance, Tally, number},
};

/// After so many kills a new history is begun: every look reads all of it.
const KILLS_PER_HISTORY: u64 = 50;

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let kills = number("UATWIN_TEST_KILLS", 30);
    let (mut chance, mut tally) = (Chance::new(), Tally::new("kills"));
    let mut done = 0;
    for work in [Work::Small, Work::Log, Work::Large].into_iter().cycle() {
        if done == kills {
            break;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut safe = work.prepare(folder.path());
        // Few kills are shared out among the kinds of work.
        for _ in 0..KILLS_PER_HISTORY.min(kills.div_ceil(3)).min(kills - done) {
            done += 1;
            let moment = chance.moment(Duration::from_millis(400));
            let progress = write_until(moment, (work, folder.path(), safe), |_| ()).unwrap();
            let new = work.acknowledged(progress.safe) - work.acknowledged(safe);
            safe = progress.safe;
            if !tally.add(work, new, progress.merged, &look(work, folder.path(), safe)) {
                break;
            }
        }
    }
    tally.close();
}
