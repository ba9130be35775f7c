//! [`Registry`]: entries by number, each written whole and synced: which jobs a service has.
//!
//! What an entry says is its owner's; here it is JSON in the envelope of [`crate::format`]. A folder belongs
//! to one process, as the state of a job does.

use std::path::{Path, PathBuf};

use culvert_api::{Error, ErrorKind, Result};
use rocksdb::{ColumnFamily, DB, IteratorMode, WriteOptions};
use serde::{Deserialize, Serialize};

use crate::database::{self, damaged, read_error, write_error};
use crate::format::{decode_entry, encode_entry};
use crate::lock::FolderLock;

const ENTRIES: &str = "entries";

/// Numbered entries on disk, held by one process until it is dropped.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    db: DB,
    // Last, so that the folder is given back after the database is closed.
    _lock: FolderLock,
}

impl Registry {
    /// Opens the registry in `folder`, which is created for its owner alone where needed.
    ///
    /// # Errors
    /// As [`crate::RocksStore::open`], without the mismatch of jobs.
    pub fn open(folder: &Path) -> Result<Registry> {
        let lock = FolderLock::take(folder)?;
        let db = database::open_or_create(folder, &[ENTRIES], |_| Ok(()))?;
        Ok(Registry { folder: folder.to_path_buf(), db, _lock: lock })
    }

    /// All entries, by ascending number.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when one does not read; [`ErrorKind::StateMismatch`] when one is of a newer
    /// format.
    pub fn all<T: for<'a> Deserialize<'a>>(&self) -> Result<Vec<(u64, T)>> {
        let mut all = Vec::new();
        for item in self.db.iterator_cf(self.entries()?, IteratorMode::Start) {
            let (key, record) = item.map_err(|error| read_error(&self.folder, error))?;
            let number = <[u8; 8]>::try_from(&*key)
                .map(u64::from_be_bytes)
                .map_err(|_| damaged(&self.folder, "an entry's key is no number"))?;
            let entry = decode_entry(&record)
                .map_err(|error| error.context("folder", self.folder.display()).context("entry", number))?;
            all.push((number, entry));
        }
        Ok(all)
    }

    /// Writes an entry in place of the one of its number. It is on disk when this returns.
    pub fn put<T: Serialize>(&self, number: u64, entry: &T) -> Result<()> {
        let record = encode_entry(entry)?;
        self.db
            .put_cf_opt(self.entries()?, number.to_be_bytes(), record, &synced())
            .map_err(|error| write_error(&self.folder, error))
    }

    /// Forgets an entry.
    pub fn remove(&self, number: u64) -> Result<()> {
        self.db
            .delete_cf_opt(self.entries()?, number.to_be_bytes(), &synced())
            .map_err(|error| write_error(&self.folder, error))
    }

    fn entries(&self) -> Result<&ColumnFamily> {
        self.db.cf_handle(ENTRIES).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the registry lacks its entries")
                .context("folder", self.folder.display())
        })
    }
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tempfile::TempDir;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Entry {
        name: String,
    }

    fn named(name: &str) -> Entry {
        Entry { name: name.to_owned() }
    }

    #[test]
    fn entries_are_there_again_in_the_order_of_their_numbers() {
        let folder = TempDir::new().unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        for (number, name) in [(300, "c"), (2, "a"), (2, "b"), (4, "gone")] {
            registry.put(number, &named(name)).unwrap();
        }
        registry.remove(4).unwrap();
        drop(registry);
        let registry = Registry::open(folder.path()).unwrap();
        assert_eq!(registry.all::<Entry>().unwrap(), [(2, named("b")), (300, named("c"))]);
    }

    #[test]
    fn it_belongs_to_one_process() {
        let folder = TempDir::new().unwrap();
        let _registry = Registry::open(folder.path()).unwrap();
        let second = Registry::open(folder.path()).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::StateLocked);
    }

    #[test]
    fn an_entry_that_is_not_understood_is_an_error() {
        let folder = TempDir::new().unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        registry.put(7, &"no struct").unwrap();
        let error = registry.all::<Entry>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("entry=7"), "{error}");
    }
}
