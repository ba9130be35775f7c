//! One process owns a state folder at a time.
//!
//! RocksDB has a lock file too, but only tells that somebody holds it. This one also says who.
//! The kernel gives the lock back when its holder ends, however it ends, so a lock is never left
//! behind; the process id inside is for people and decides nothing.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use culvert_api::{Error, ErrorKind, Result};

/// The lock's file in a state folder.
pub const LOCK_FILE: &str = "lock";

/// More bytes than a process id has.
const PROCESS_ID_BYTES_MAX: u64 = 20;

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
    /// Creates the folder where needed (for its owner alone) and takes it.
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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(folder, holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(folder_error(folder, error)),
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
