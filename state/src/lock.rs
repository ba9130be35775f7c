//! One process owns a state folder at a time.
//!
//! RocksDB has a lock file too, but only tells that somebody holds it. This one also says who.
//! The kernel gives the lock back when its holder ends, however it ends, so a lock is never left
//! behind; the process id inside is for people and decides nothing.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, Result};

/// The lock's file in a state folder.
pub const LOCK_FILE: &str = "lock";

/// More bytes than a process id has.
const PROCESS_ID_BYTES_MAX: u64 = 20;

/// How long a process that was killed may take to let go of its files.
pub(crate) const LET_GO: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Holds a state folder until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file gives the lock back only with its last copy, and a child process has one
        // between its fork and its exec. A failure leaves it to the close.
        let _ = self.file.unlock();
    }
}

impl FolderLock {
    /// Creates the folder where needed (for its owner alone) and takes it. A holder that was killed, and has
    /// not let go of its files yet, is waited for: whoever starts a service again does it at once.
    ///
    /// # Errors
    /// [`ErrorKind::StateLocked`] naming folder and holder when another store has it, also in
    /// this process; [`ErrorKind::Permission`] when the folder cannot be used.
    pub fn take(folder: &Path) -> Result<FolderLock> {
        let refused = |error| folder_error(folder, error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(LOCK_FILE))
            .map_err(refused)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => match holder(&mut file) {
                    Some(id) if is_ending(id) && begun.elapsed() < LET_GO => std::thread::sleep(LOOK_EVERY),
                    holder => return Err(locked(folder, holder)),
                },
                Err(TryLockError::Error(error)) => return Err(folder_error(folder, error)),
            }
        }
        file.set_len(0).map_err(refused)?;
        file.write_all(std::process::id().to_string().as_bytes()).map_err(refused)?;
        Ok(FolderLock { file })
    }
}

/// A folder that is in use.
pub(crate) fn locked(folder: &Path, holder: Option<u32>) -> Error {
    let folder = folder.display();
    let message = match holder {
        Some(id) => format!("state folder {folder} is in use by process {id}"),
        None => format!("state folder {folder} is in use by another process"),
    };
    Error::new(ErrorKind::StateLocked, message)
        .hint("stop that run first, or give this one a state folder of its own")
}

/// Whether a process was killed or is gone. `proc_pid_status(5)`, `proc_pid_stat(5)`: the pending signals are a
/// mask, SIGKILL is its ninth bit; 4 among the flags is the kernel's mark of a process that exits.
fn is_ending(id: u32) -> bool {
    const SIGKILL: u64 = 1 << 8;
    const EXITING: u64 = 4;
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}"));
    let (Ok(status), Ok(stat)) = (read("status"), read("stat")) else {
        // Gone, where there is such a folder at all.
        return Path::new("/proc/self/status").exists();
    };
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let pending = |name: &str| line(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    let is_dead = line("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
    let killed = (pending("SigPnd:") | pending("ShdPnd:")) & SIGKILL != 0;
    // The name, in brackets, may hold spaces; the flags are the seventh word behind it.
    let flags = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    is_dead || killed || flags.is_some_and(|flags| flags & EXITING != 0)
}

/// The holder writes its id directly after it took the lock: there may be none yet.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(PROCESS_ID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What a failure of the file system at a state folder means.
pub(crate) fn folder_error(folder: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, hint) = match error.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            (ErrorKind::Permission, "choose a folder that this user may write to")
        }
        Io::NotADirectory | Io::AlreadyExists => (ErrorKind::Config, "choose a folder, not a file"),
        Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Unavailable, "make room on that disk"),
        _ => (ErrorKind::Unavailable, "look at the disk that holds it"),
    };
    Error::new(kind, format!("state folder {} cannot be used", folder.display())).caused_by(error).hint(hint)
}
