//! A disk of its own: a file system in an image file. Needs the right to mount; tests say so if they have none.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

pub(crate) fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Makes an empty file system. The kernel has nothing left to prepare on it later: that would look like writing.
pub(crate) fn format(image: &str, bytes: u64) -> bool {
    fs::File::create(image).unwrap().set_len(bytes).unwrap();
    run("mkfs.ext4", &["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image])
}

/// An image mounted on a folder until it goes out of scope.
pub(crate) struct Mounted<'a>(&'a str);

impl<'a> Mounted<'a> {
    pub(crate) fn new(image: &str, folder: &'a str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        run("mount", &["-o", "loop", image, folder]).then_some(Self(folder))
    }

    /// Writes to the device so far, and those on their way.
    fn writes(&self) -> (u64, u64) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let device = mounts.lines().find_map(|mount| {
            let mut fields = mount.split(' ');
            let device = fields.next()?;
            (fields.next()? == self.0).then_some(device)
        });
        let device = device.and_then(|path| Path::new(path).file_name()?.to_str()).expect("it is mounted");
        // Documentation/block/stat.rst: field 5 write I/Os, 9 in flight.
        let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
        let fields: Vec<u64> = stat.split_whitespace().map(|field| field.parse().unwrap()).collect();
        (fields[4], fields[8])
    }

    /// Copies the image as it is, without what the system has not written yet. If the system writes while it is copied,
    /// the copy is of no one moment, and made again.
    pub(crate) fn copy(&self, image: &str, copy: &str) {
        for _ in 0..50 {
            let before = self.writes();
            assert!(run("cp", &["--sparse=always", image, copy]), "the image is copied");
            if before.1 == 0 && self.writes() == before {
                return;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        panic!("the system writes on and on, though the process is stopped");
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // A store that was just closed lets go of its files a moment later.
        for _ in 0..100 {
            if run("umount", &[self.0]) {
                return;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        println!("{} cannot be unmounted", self.0);
    }
}

/// Another program on the same disk, which has a file of its own synced again and again. The file system then commits
/// which files there are, everyone's, though not what is in them.
pub(crate) struct Neighbour {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbour {
    pub(crate) fn start(path: &Path) -> Self {
        let (is_over, mut file) = (Arc::new(AtomicBool::new(false)), fs::File::create(path).unwrap());
        let until = is_over.clone();
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                file.write_all(b"something").unwrap();
                file.sync_all().unwrap();
                thread::park_timeout(Duration::from_millis(2));
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Stops a process, and returns when none of its threads does anything any more.
pub(crate) fn stop(child: &Child) {
    let id = child.id();
    assert!(run("kill", &["-STOP", &id.to_string()]));
    let is_stopped = |task: fs::DirEntry| {
        // A thread that has ended meanwhile does nothing either.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|state| state.is_empty() || state.starts_with(['T', 'Z', 'X']))
    };
    for _ in 0..10_000 {
        if fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten().all(is_stopped) {
            return;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    panic!("the process does not stop");
}
