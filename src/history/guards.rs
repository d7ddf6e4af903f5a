//! What sled 0.34.7 needs around it to keep what it promised. Measured: without these, a power cut loses everything.
//!
//! - [`sync`]: its `flush` is no barrier on Linux (`blobs/` never synced).
//! - [`open`]: what it writes by itself is no safer (`sync_file_range`, and it writes over what that replaces); an interrupted
//!   snapshot (`snap.*.generating`) makes it unopenable; damage can panic.
//! - [`DiskFloor`]: on a full disk it cannot open again, so it must never see one.
//! - [`FolderLock`]: one process per folder, said clearly.
//!
//! The fourth guard, no value above 7 KB, is in `slots.rs` and `log.rs`.

use std::{
    error::Error,
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Once,
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock, statvfs, syncfs};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tracing::warn;

use super::HistoryError;

type Cause = Box<dyn Error + Send + Sync>;

/// How long the last instance in this process may take to let go of its files: 3 s.
const LOCKED_ATTEMPTS: u32 = 150;
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Returns when everything written to the file system of `folder` is on the disk.
///
/// # Errors
/// If the system says that something could not be written.
pub fn sync(folder: &File) -> io::Result<()> {
    Ok(syncfs(folder)?)
}

/// Makes sled's own syncs whole ones: a system call filter tells this process that there is no `sync_file_range`, and then
/// sled calls `fsync`. It writes over what it has freed once it holds what took its place for safe; with `sync_file_range`
/// that may stand where the file system does not know the file to reach yet. Of 40 power cuts between two of our syncs 22
/// lost what was synced long before; with this none of 80 (tests/system/sled_power_cut.rs).
fn make_syncs_whole() -> Result<(), Cause> {
    let absent = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let rules = [(libc::SYS_sync_file_range, Vec::new())].into();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, absent, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter_all_threads(&program)?)
}

/// Held while a store is open.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks the folder for this process.
    ///
    /// # Errors
    /// [`HistoryError::InUse`] if another has it, [`HistoryError::Open`] if its lock file cannot be written.
    pub fn take(folder: &Path) -> Result<Self, HistoryError> {
        let open = |cause: io::Error| HistoryError::Open { path: folder.to_owned(), cause: cause.into() };
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(open)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(HistoryError::InUse { path: folder.to_owned() }),
            Err(cause) => Err(open(cause.into())),
        }
    }
}

/// How much must stay free on the disk.
#[derive(Debug)]
pub struct DiskFloor {
    folder: PathBuf,
    floor: u64,
}

impl DiskFloor {
    /// `floor` bytes; by default 1 % of the file system, at least 256 MiB and at most 2 GiB. 256 MiB is what sled can
    /// still write of what it took before: a head budget of 32 MiB sealed at its write amplification (about 3) and a
    /// round of its 512 KiB segments; 2 GiB, for 1 % of a large array would stop ingest for no reason.
    ///
    /// # Errors
    /// If the file system cannot be asked.
    pub fn new(folder: &Path, floor: Option<u64>) -> io::Result<Self> {
        const MIB: u64 = 1 << 20;
        let size = statvfs(folder).map(|stat| stat.f_blocks.saturating_mul(stat.f_frsize))?;
        let floor = floor.unwrap_or((size / 100).clamp(256 * MIB, 2048 * MIB));
        Ok(Self { folder: folder.to_owned(), floor })
    }

    /// Bytes that a user without privileges can still write.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        statvfs(&self.folder).ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Whether there is room to take more.
    ///
    /// # Errors
    /// [`HistoryError::DiskFull`].
    pub fn check(&self) -> Result<(), HistoryError> {
        match self.free() {
            Some(free) if free < self.floor => Err(HistoryError::DiskFull { free, floor: self.floor }),
            _ => Ok(()),
        }
    }
}

/// Opens one sled database: takes away interrupted snapshots, and if that isn't enough moves all snapshots aside and
/// lets sled read its whole log instead.
///
/// # Errors
/// [`HistoryError::Open`].
pub fn open(folder: &Path, cache_bytes: u64) -> Result<sled::Db, HistoryError> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(cause) = make_syncs_whole() {
            warn!(cause = %cause, "the system lets no filter of system calls be set: a power cut may cost old history");
        }
    });
    let fail = |cause| HistoryError::Open { path: folder.to_owned(), cause };
    remove_interrupted_snapshots(folder).map_err(|cause| fail(cause.into()))?;
    match open_patiently(folder, cache_bytes) {
        Ok(db) => Ok(db),
        Err(OpenFailure::Other(cause)) => Err(fail(cause)),
        Err(OpenFailure::Damaged(cause)) => {
            let moved = set_snapshots_aside(folder).map_err(|cause| fail(cause.into()))?;
            if moved == 0 {
                return Err(fail(cause));
            }
            warn!(folder = %folder.display(), moved, cause = %cause, "history's snapshot is damaged, reading its whole log");
            open_once(folder, cache_bytes).map_err(|failure| fail(failure.into_cause()))
        }
    }
}

enum OpenFailure {
    /// Another snapshot may help.
    Damaged(Cause),
    Other(Cause),
}

impl OpenFailure {
    fn into_cause(self) -> Cause {
        let (Self::Damaged(cause) | Self::Other(cause)) = self;
        cause
    }
}

/// sled lets go of its file a moment after its last handle is dropped, on a thread of its own. That it is locked can mean
/// nothing else here: [`FolderLock`] has kept other processes out already.
fn open_patiently(folder: &Path, cache_bytes: u64) -> Result<sled::Db, OpenFailure> {
    for _ in 0..LOCKED_ATTEMPTS {
        match open_once(folder, cache_bytes) {
            Err(OpenFailure::Other(cause)) if cause.to_string().contains("could not acquire lock") => {
                thread::park_timeout(LOCKED_PAUSE);
            }
            opened => return opened,
        }
    }
    open_once(folder, cache_bytes)
}

fn open_once(folder: &Path, cache_bytes: u64) -> Result<sled::Db, OpenFailure> {
    // No flushing thread of sled's own: only flushes that end in a sync count.
    let config = || sled::Config::default().path(folder).cache_capacity(cache_bytes).flush_every_ms(None);
    match catch_unwind(AssertUnwindSafe(|| config().open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(cause @ (sled::Error::Corruption { .. } | sled::Error::ReportableBug(_)))) => {
            Err(OpenFailure::Damaged(cause.into()))
        }
        Ok(Err(cause)) => Err(OpenFailure::Other(cause.into())),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(OpenFailure::Damaged(format!("sled panicked: {said}").into()))
        }
    }
}

fn snapshots(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(absent) if absent.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove_interrupted_snapshots(folder: &Path) -> io::Result<()> {
    for snapshot in snapshots(folder)? {
        if snapshot.extension().is_some_and(|extension| extension == "generating") {
            warn!(file = %snapshot.display(), "removing an interrupted snapshot");
            fs::remove_file(snapshot)?;
        }
    }
    Ok(())
}

/// Keeps them, under another name, for whoever wants to find out why.
fn set_snapshots_aside(folder: &Path) -> io::Result<usize> {
    let found = snapshots(folder)?;
    let aside = folder.join("damaged");
    if !found.is_empty() {
        fs::create_dir_all(&aside)?;
    }
    for snapshot in &found {
        if let Some(name) = snapshot.file_name() {
            fs::rename(snapshot, aside.join(name))?;
        }
    }
    Ok(found.len())
}
