//! [`FileSpool`]: the spool as files, one per segment.
//!
//! ```text
//! FOLDER/spool/open              the segment that is being written
//! FOLDER/spool/0000000000000042  the segment that ends with checkpoint 42
//! FOLDER/spool/tables-0000000000000040  the tables as of checkpoint 40, and later ones until they change
//! ```
//!
//! A segment is sealed by its last record and a sync, and then gets its name: what has a name is
//! whole. [`record`] has the bytes. The files belong to their owner alone, for they hold rows.

mod record;
mod segment;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use culvert_api::{
    Checkpoint, Error, ErrorKind, Result, SegmentReader, SourceState, Spool, SpoolItem, TableSchema,
};

use segment::{Head, SegmentFile, SegmentWriter};

const OPEN: &str = "open";
const TABLES: &str = "tables-";

/// The spool of one job, in its state folder.
#[derive(Debug)]
pub struct FileSpool {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Bytes of each sealed segment.
    sealed: BTreeMap<u64, u64>,
    /// The checkpoints as of which the tables are kept.
    tables: BTreeSet<u64>,
    /// Where the open segment begins.
    head: Head,
    /// Made with its first item.
    open: Option<SegmentWriter>,
}

impl FileSpool {
    /// Opens the spool in a state folder that the caller holds.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`], [`ErrorKind::Permission`]: the folder cannot be used.
    pub fn open(state_folder: &Path) -> Result<FileSpool> {
        let folder = state_folder.join("spool");
        let (mut sealed, mut tables) = (BTreeMap::new(), BTreeSet::new());
        if folder.exists() {
            for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))? {
                let entry = entry.map_err(|error| failed(&folder, error))?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                if let Some(id) = name.strip_prefix(TABLES).and_then(number) {
                    tables.insert(id);
                }
                if let Some(id) = number(name) {
                    let bytes = entry.metadata().map_err(|error| failed(&folder, error))?.len();
                    sealed.insert(id, bytes);
                }
            }
        }
        let inner = Inner { sealed, tables, head: Head::new((0, None)), open: None };
        Ok(FileSpool { folder, inner: Mutex::new(inner) })
    }

    /// Removes every segment (asked for by the user: start from scratch).
    pub fn reset(state_folder: &Path) -> Result<()> {
        let folder = state_folder.join("spool");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&folder, error)),
            _ => Ok(()),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing half done outlives a panic but the open file, and that has no name yet.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{id:016}"))
    }

    fn remove(&self, inner: &mut Inner, id: u64) -> Result<()> {
        remove(&self.path(id))?;
        inner.sealed.remove(&id);
        Ok(())
    }

    fn tables_path(&self, id: u64) -> PathBuf {
        self.folder.join(format!("{TABLES}{id:016}"))
    }

    fn keep_tables(&self, inner: &mut Inner, id: u64, tables: &[Arc<TableSchema>]) -> Result<()> {
        let (path, new) = (self.tables_path(id), self.folder.join("new"));
        tables::write(&new, tables)?;
        fs::rename(&new, &path).map_err(|error| failed(&path, error))?;
        self.sync_folder()?;
        inner.tables.insert(id);
        Ok(())
    }

    fn sync_folder(&self) -> Result<()> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed(&self.folder, error))
    }

    /// The open segment's file, made where it is missing.
    fn writer<'a>(&self, inner: &'a mut Inner) -> Result<&'a mut SegmentWriter> {
        let open = match inner.open.take() {
            Some(open) => open,
            None => {
                private_folder(&self.folder)?;
                SegmentWriter::create(&self.folder.join(OPEN), &inner.head)?
            }
        };
        Ok(inner.open.insert(open))
    }
}

impl Spool for FileSpool {
    fn start(&self, last: (u64, Option<&SourceState>), tables: &[Arc<TableSchema>]) -> Result<()> {
        let mut inner = self.inner();
        inner.open = None;
        inner.head = Head::new(last);
        let later: Vec<u64> = inner.sealed.range(last.0 + 1..).map(|(id, _)| *id).collect();
        for id in later.into_iter().rev() {
            self.remove(&mut inner, id)?;
        }
        for id in inner.tables.split_off(&(last.0 + 1)) {
            remove(&self.tables_path(id))?;
        }
        private_folder(&self.folder)?;
        self.keep_tables(&mut inner, last.0, tables)
    }

    fn append(&self, item: &SpoolItem) -> Result<()> {
        let mut inner = self.inner();
        self.writer(&mut inner)?.append(item)
    }

    fn seal(&self, checkpoint: &Checkpoint, tables: Option<&[Arc<TableSchema>]>) -> Result<()> {
        let mut inner = self.inner();
        if let Some(tables) = tables {
            self.keep_tables(&mut inner, checkpoint.id, tables)?;
        }
        let bytes = self.writer(&mut inner)?.seal(checkpoint)?;
        inner.open = None;
        let path = self.path(checkpoint.id);
        fs::rename(self.folder.join(OPEN), &path).map_err(|error| failed(&path, error))?;
        self.sync_folder()?;
        inner.sealed.insert(checkpoint.id, bytes);
        inner.head = Head::new((checkpoint.id, Some(&checkpoint.source)));
        Ok(())
    }

    fn verify(&self, behind: (u64, Option<&SourceState>), up_to: &Checkpoint) -> Result<()> {
        if behind.0 > up_to.id {
            return Err(mismatch(behind.0, "is later than what the spool has"));
        }
        let mut before = Head::new(behind);
        if behind.0 == up_to.id && before != Head::new((up_to.id, Some(&up_to.source))) {
            return Err(mismatch(up_to.id, "ends with another state than the sink holds"));
        }
        for id in behind.0 + 1..=up_to.id {
            let segment = SegmentFile::open(&self.path(id))?;
            if segment.head() != &before || segment.checkpoint().id != id {
                return Err(mismatch(id, "belongs to another course of the job"));
            }
            before = Head::new((id, Some(&segment.checkpoint().source)));
            if id == up_to.id && segment.checkpoint().source != up_to.source {
                return Err(mismatch(id, "ends with another state than the checkpoint"));
            }
        }
        Ok(())
    }

    fn read(&self, checkpoint: u64) -> Result<Box<dyn SegmentReader>> {
        Ok(Box::new(SegmentFile::open(&self.path(checkpoint))?))
    }

    fn forget(&self, up_to: u64) -> Result<()> {
        let mut inner = self.inner();
        let held: Vec<u64> = inner.sealed.range(..=up_to).map(|(id, _)| *id).collect();
        for id in held {
            self.remove(&mut inner, id)?;
        }
        let older: Vec<u64> = inner.tables.range(..=up_to).rev().skip(1).copied().collect();
        for id in older {
            remove(&self.tables_path(id))?;
            inner.tables.remove(&id);
        }
        Ok(())
    }

    fn tables(&self, checkpoint: u64) -> Result<Vec<Arc<TableSchema>>> {
        match self.inner().tables.range(..=checkpoint).next_back() {
            Some(id) => tables::read(&self.tables_path(*id)),
            None => Err(mismatch(checkpoint, "lacks the tables it begins with")),
        }
    }

    fn bytes(&self) -> u64 {
        self.inner().sealed.values().sum()
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn mismatch(checkpoint: u64, what: &str) -> Error {
    Error::new(ErrorKind::StateMismatch, format!("the spooled segment of checkpoint {checkpoint} {what}"))
}

/// A segment's number, from its file's name.
fn number(name: &str) -> Option<u64> {
    (name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}

fn private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).recursive(true).create(folder) {
        Ok(()) => Ok(()),
        Err(error) => Err(failed(folder, error)),
    }
}

/// What a failure of the file system means: a full disk passes by waiting.
fn failed(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission,
        io::ErrorKind::NotFound => ErrorKind::StateMismatch,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{} cannot be used", path.display())).caused_by(error)
}
