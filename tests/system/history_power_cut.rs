//! A power cut: the history lies on a file system in an image file; right after an acknowledgement the image is
//! copied as it is, without what the system has not written yet, and the copy is opened. (This loses the page cache;
//! it says nothing about a drive's own volatile cache.) Needs the right to mount; says so if it has none.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use super::history_kill::{FOLDER, verify};

const CUTS: usize = 5;
const IMAGE_BYTES: u64 = 96 << 20;

pub(crate) fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// An image mounted on a folder until it goes out of scope.
pub(crate) struct Mounted<'a>(&'a str);

impl<'a> Mounted<'a> {
    pub(crate) fn new(image: &str, folder: &'a str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        run("mount", &["-o", "loop", image, folder]).then_some(Self(folder))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        run("umount", &[self.0]);
    }
}

/// Lets a child acknowledge so many times, stops it dead, copies the image, kills it. Returns what is safe.
fn cut((variable, child): (&str, &str), folder: &str, acknowledgements: usize, image: &str, copy: &str) -> i64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(variable, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let safe = lines
        .filter_map(|line| line.ok()?.strip_prefix("safe ")?.parse::<i64>().ok())
        .nth(acknowledgements)
        .expect("the child writes until it is killed");
    assert!(run("kill", &["-STOP", &child.id().to_string()]));
    fs::copy(image, copy).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    safe
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_goes() {
    if env::var_os(FOLDER).is_none() {
        power_cuts((FOLDER, "history_kill::child_that_writes_history"), &verify);
    }
}

/// Cuts the power of a child (the variable that says where it shall write, and its name) and has the copies verified.
pub(crate) fn power_cuts(child: (&str, &str), verify: &dyn Fn(&Path, i64)) {
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let (image, copy, disk, after) = (path("image"), path("copy"), path("disk"), path("after"));
    fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
    let mounted = run("mkfs.ext4", &["-q", &image]).then(|| Mounted::new(&image, &disk)).flatten();
    let Some(_mounted) = mounted else {
        println!("skipped: no right to mount an image here, so no power cut was tried");
        return;
    };
    let history = Path::new(&disk).join("history");
    let mut most = 0;
    for round in 0..CUTS {
        let safe = cut(child, history.to_str().unwrap(), 3 + round * 7, &image, &copy);
        most = most.max(safe);
        let _copy = Mounted::new(&copy, &after).expect("the copy mounts as the image did");
        verify(&Path::new(&after).join("history"), most);
    }
    println!("{CUTS} power cuts, 0 acknowledged samples lost");
}
