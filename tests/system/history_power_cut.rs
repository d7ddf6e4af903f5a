//! A power cut: the history lies on a file system in an image file; at any moment the writer is stopped dead, the image is
//! copied as it is, without what the system has not written yet, and the copy is what comes up again. (This loses the
//! page cache; it says nothing about a drive's own volatile cache. A system call that the stop finds going on comes to
//! its end.)
//!
//! `UATWIN_TEST_CUTS=200 cargo test --release --test system power -- --nocapture --include-ignored --test-threads=1`

use std::{fs, path::Path, time::Duration};

use super::{
    disk::{Mounted, Neighbour, format, stop},
    history_look::{Verdict, look},
    history_writer::{Progress, Safe, Work, write_until},
    trial::{Chance, Tally, number},
};

/// After so many cuts a new history is begun: every look reads all of it.
const CUTS_PER_HISTORY: u64 = 20;
const IMAGE_BYTES: u64 = 512 << 20;

/// Names of files and of the folder where images are mounted.
struct Disk {
    /// As prepared.
    fresh: String,
    image: String,
    /// What a cut leaves of the image.
    cut: String,
    folder: String,
}

impl Disk {
    /// With a history prepared for `work`. `None`: there is no right to mount.
    fn new(work: Work, at: &Path) -> Option<(Self, Safe)> {
        let path = |name: &str| at.join(name).to_str().unwrap().to_owned();
        let disk = Self { fresh: path("fresh"), image: path("image"), cut: path("cut"), folder: path("disk") };
        if !format(&disk.fresh, IMAGE_BYTES) {
            return None;
        }
        let mounted = Mounted::new(&disk.fresh, &disk.folder)?;
        let safe = work.prepare(&disk.history());
        drop(mounted);
        Some((disk, safe))
    }

    fn history(&self) -> std::path::PathBuf {
        Path::new(&self.folder).join("history")
    }

    /// Lets a process write on until the power goes, and looks at what came up again. If that is sound, it is the disk
    /// from now on.
    fn cut(&self, work: Work, safe: Safe, chance: &mut Chance) -> (Progress, Verdict) {
        let written = {
            let mounted = Mounted::new(&self.image, &self.folder).expect("it was mounted before");
            let neighbour = chance.one_in(2).then(|| Neighbour::start(&Path::new(&self.folder).join("neighbour")));
            let moment = chance.moment(Duration::from_millis(1200));
            write_until(moment, (work, &self.history(), safe), |child| {
                stop(child);
                drop(neighbour);
                mounted.copy(&self.image, &self.cut);
            })
        };
        match written {
            Err(says) => (Progress { safe, merged: 0 }, Verdict { says, ..Verdict::default() }),
            Ok(progress) => {
                let mounted = Mounted::new(&self.cut, &self.folder).expect("what is left mounts as the image did");
                let verdict = look(work, &self.history(), progress.safe);
                drop(mounted);
                fs::rename(&self.cut, &self.image).unwrap();
                (progress, verdict)
            }
        }
    }
}

fn cut_again_and_again(works: &[Work]) {
    let cuts = number("UATWIN_TEST_CUTS", 10).div_ceil(works.len() as u64);
    let (mut chance, mut tally) = (Chance::new(), Tally::new("power cuts"));
    for &work in works {
        let folder = tempfile::tempdir().unwrap();
        let Some((disk, start)) = Disk::new(work, folder.path()) else {
            println!("skipped: no right to mount an image here, so no power cut was tried");
            return;
        };
        let (mut safe, mut left) = (start, 0);
        for _ in 0..cuts {
            if left == 0 {
                fs::copy(&disk.fresh, &disk.image).unwrap();
                (safe, left) = (start, CUTS_PER_HISTORY);
            }
            let (progress, verdict) = disk.cut(work, safe, &mut chance);
            let new = work.acknowledged(progress.safe) - work.acknowledged(safe);
            let is_sound = tally.add(work, new, progress.merged, &verdict);
            (safe, left) = (progress.safe, if is_sound { left - 1 } else { 0 });
        }
    }
    tally.close();
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    cut_again_and_again(&[Work::Small, Work::Log]);
}

/// Where sled wrote large leaves to files of their own, about half of these cuts damaged what was acknowledged long before.
#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes_while_old_blocks_change() {
    cut_again_and_again(&[Work::Large]);
}
