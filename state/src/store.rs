//! [`RocksStore`]: the state store on RocksDB.
//!
//! Every write is one atomic batch, in the write-ahead log and synced before the call returns, so
//! that after a crash the store holds every acknowledged write and at most one more, whole.
//!
//! The lock of the folder comes before anything is read, so what is read cannot change underneath.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use culvert_api::{Checkpoint, Error, ErrorKind, Result, StateStore};
use rocksdb::{ColumnFamily, DB, IteratorMode, WriteBatch, WriteOptions};

use crate::database::{self, CHECKPOINTS, META, damaged, read_error, write_error};
use crate::format::{
    JobIdentity, decode_checkpoint, decode_epoch, decode_job, encode_checkpoint, encode_epoch, encode_job,
};
use crate::lock::FolderLock;

/// Most checkpoints a store keeps. The engine keeps those that some sink has not committed yet,
/// two or three in a healthy job; past this number a save forgets the oldest. A sink that far
/// behind has the source state in its own commit marker.
pub const CHECKPOINTS_KEPT_MAX: usize = 64;

const JOB_KEY: &[u8] = b"job";
const EPOCH_KEY: &[u8] = b"epoch";

/// State of one job, held by one process until it is dropped.
#[derive(Debug)]
pub struct RocksStore {
    folder: PathBuf,
    // Writes that read first must not overlap.
    writing: Mutex<()>,
    db: DB,
    // Last, so that the folder is given back after the database is closed.
    _lock: FolderLock,
}

impl RocksStore {
    /// Opens the state of `job` in `folder`, which is created for its owner alone where needed.
    ///
    /// # Errors
    /// - [`ErrorKind::StateLocked`]: another store has the folder open; names folder and holder.
    /// - [`ErrorKind::StateMismatch`]: the folder holds another job's state or a newer format.
    /// - [`ErrorKind::Corrupt`]: the state does not read; says what to do.
    /// - [`ErrorKind::Permission`], [`ErrorKind::Config`], [`ErrorKind::Unavailable`]: the folder
    ///   cannot be used.
    pub fn open(folder: &Path, job: &JobIdentity) -> Result<RocksStore> {
        let store = RocksStore::open_any(folder, job)?;
        let found = store.job()?;
        if found == *job {
            return Ok(store);
        }
        Err(mismatch(folder, &found, job))
    }

    /// Opens the folder whatever job it belongs to, forgets its checkpoints and gives it to
    /// `job`: what a user asks for who wants to start from scratch. The epoch goes on counting.
    ///
    /// # Errors
    /// As [`RocksStore::open`], without the mismatch of jobs.
    pub fn open_reset(folder: &Path, job: &JobIdentity) -> Result<RocksStore> {
        let store = RocksStore::open_any(folder, job)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(store.family(META)?, JOB_KEY, encode_job(job)?);
        store.forget(&mut batch, |_| true)?;
        store.write(batch)?;
        Ok(store)
    }

    /// The job the folder belongs to.
    pub fn job(&self) -> Result<JobIdentity> {
        let record = self.meta(JOB_KEY)?.ok_or_else(|| damaged(&self.folder, "its job is missing"))?;
        decode_job(&record).map_err(|error| self.located(error))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn open_any(folder: &Path, job: &JobIdentity) -> Result<RocksStore> {
        let lock = FolderLock::take(folder)?;
        let db = database::open_or_create(folder, database::STATE, |db| {
            let meta = family(db, folder, META)?;
            let mut batch = WriteBatch::default();
            batch.put_cf(meta, JOB_KEY, encode_job(job)?);
            batch.put_cf(meta, EPOCH_KEY, encode_epoch(0));
            db.write_opt(batch, &synced()).map_err(|error| write_error(folder, error))
        })?;
        Ok(RocksStore { folder: folder.to_path_buf(), writing: Mutex::new(()), db, _lock: lock })
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        family(&self.db, &self.folder, name)
    }

    fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.db.get_cf(self.family(META)?, key).map_err(|error| read_error(&self.folder, error))
    }

    /// The ids of all checkpoints, ascending.
    fn ids(&self) -> Result<Vec<u64>> {
        let mut ids = Vec::new();
        for item in self.db.iterator_cf(self.family(CHECKPOINTS)?, IteratorMode::Start) {
            let (key, _) = item.map_err(|error| read_error(&self.folder, error))?;
            ids.push(self.id(&key)?);
        }
        Ok(ids)
    }

    fn id(&self, key: &[u8]) -> Result<u64> {
        let bytes = key.try_into().map_err(|_| damaged(&self.folder, "a checkpoint's key is not an id"))?;
        Ok(u64::from_be_bytes(bytes))
    }

    /// Adds the deletion of these checkpoints to a batch.
    fn forget(&self, batch: &mut WriteBatch, which: impl Fn(u64) -> bool) -> Result<()> {
        let checkpoints = self.family(CHECKPOINTS)?;
        for id in self.ids()?.into_iter().filter(|id| which(*id)) {
            batch.delete_cf(checkpoints, id.to_be_bytes());
        }
        Ok(())
    }

    /// Writes a batch, whole and synced.
    fn write(&self, batch: WriteBatch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.db.write_opt(batch, &synced()).map_err(|error| write_error(&self.folder, error))
    }

    fn exclusive(&self) -> MutexGuard<'_, ()> {
        // Nothing is half done when a holder panics: each write is one batch.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds folder and way out to an error of the stored format.
    fn located(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupt => damaged(&self.folder, "a record does not read").caused_by(error),
            _ => error.context("folder", self.folder.display()),
        }
    }
}

impl StateStore for RocksStore {
    fn load(&self) -> Result<Vec<Checkpoint>> {
        let mut checkpoints = Vec::new();
        for item in self.db.iterator_cf(self.family(CHECKPOINTS)?, IteratorMode::Start) {
            let (key, record) = item.map_err(|error| read_error(&self.folder, error))?;
            let id = self.id(&key)?;
            let checkpoint =
                decode_checkpoint(&record).map_err(|error| self.located(error).context("checkpoint", id))?;
            if checkpoint.id != id {
                return Err(damaged(&self.folder, "a checkpoint lies under another id")
                    .context("checkpoint", checkpoint.id)
                    .context("key", id));
            }
            checkpoints.push(checkpoint);
        }
        Ok(checkpoints)
    }

    /// Ids count up: a save below the newest stored id is refused as [`ErrorKind::Internal`], one
    /// of the same id replaces it. Past [`CHECKPOINTS_KEPT_MAX`] the oldest are forgotten in the
    /// same atomic write.
    fn save(&self, checkpoint: &Checkpoint) -> Result<()> {
        let record = encode_checkpoint(checkpoint)?;
        let _writing = self.exclusive();
        let mut kept = self.ids()?;
        let newest = kept.last().copied().unwrap_or(0);
        if checkpoint.id == 0 || checkpoint.id < newest {
            let message = format!("checkpoint {} would be saved after checkpoint {newest}", checkpoint.id);
            return Err(Error::new(ErrorKind::Internal, message).context("folder", self.folder.display()));
        }
        if checkpoint.id != newest {
            kept.push(checkpoint.id);
        }
        let checkpoints = self.family(CHECKPOINTS)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(checkpoints, checkpoint.id.to_be_bytes(), record);
        for id in kept.iter().take(kept.len().saturating_sub(CHECKPOINTS_KEPT_MAX)) {
            tracing::warn!(checkpoint = id, "too many unreleased checkpoints: forgetting the oldest");
            batch.delete_cf(checkpoints, id.to_be_bytes());
        }
        self.write(batch)
    }

    fn prune_below(&self, from: u64) -> Result<()> {
        let _writing = self.exclusive();
        let mut batch = WriteBatch::default();
        self.forget(&mut batch, |id| id < from)?;
        self.write(batch)
    }

    fn prune_above(&self, last: u64) -> Result<()> {
        let _writing = self.exclusive();
        let mut batch = WriteBatch::default();
        self.forget(&mut batch, |id| id > last)?;
        self.write(batch)
    }

    fn next_epoch(&self, above: u64) -> Result<u64> {
        let _writing = self.exclusive();
        let record = self.meta(EPOCH_KEY)?.ok_or_else(|| damaged(&self.folder, "its epoch is missing"))?;
        let stored = decode_epoch(&record).map_err(|error| self.located(error))?;
        let epoch = stored
            .max(above)
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "no epoch is left to take"))?;
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META)?, EPOCH_KEY, encode_epoch(epoch));
        self.write(batch)?;
        Ok(epoch)
    }

    /// Forgets all checkpoints. The job and the epoch stay: a run that is still alive somewhere
    /// must find a larger epoch, also after a reset.
    fn reset(&self) -> Result<()> {
        let _writing = self.exclusive();
        let mut batch = WriteBatch::default();
        self.forget(&mut batch, |_| true)?;
        self.write(batch)
    }
}

fn family<'a>(db: &'a DB, folder: &Path, name: &str) -> Result<&'a ColumnFamily> {
    db.cf_handle(name).ok_or_else(|| damaged(folder, &format!("its part `{name}` is missing")))
}

/// The write-ahead log is on by default; this waits for the disk as well.
fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn mismatch(folder: &Path, found: &JobIdentity, wanted: &JobIdentity) -> Error {
    let folder = folder.display();
    if found.name != wanted.name {
        let message =
            format!("state folder {folder} belongs to job `{}`, not to `{}`", found.name, wanted.name);
        return Error::new(ErrorKind::StateMismatch, message)
            .hint("give this job a state folder of its own, or run it under the name it had");
    }
    let message = format!(
        "job `{}` changed since the state in {folder} was made: its fingerprint is `{}`, the state has `{}`",
        wanted.name, wanted.fingerprint, found.fingerprint
    );
    Error::new(ErrorKind::StateMismatch, message).hint(
        "undo the change in the job file, or give the changed job a new name or state folder: it then starts \
         from its start mode",
    )
}

#[cfg(test)]
mod tests;
