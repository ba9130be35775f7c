//! [`EventLog`]: what happened, in order, and how far each listener has been told.
//!
//! Events get numbers from 1 that are never given twice. The log keeps a bounded number of them and forgets
//! the oldest. A listener's cursor is the number of the last event it has taken; it is written after the
//! listener has taken it, so a crash in between tells an event twice and none not at all.
//!
//! ```text
//! FOLDER/db/   column families `events` (number, big-endian -> JSON in the envelope of crate::format)
//!              and `cursors` (name of the listener -> number, big-endian)
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use culvert_api::{Error, ErrorKind, Result};
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch, WriteOptions};
use serde::{Deserialize, Serialize};

use crate::database::{self, damaged, read_error, write_error};
use crate::format::{decode_entry, encode_entry};
use crate::lock::FolderLock;

const EVENTS: &str = "events";
const CURSORS: &str = "cursors";
/// Old events are forgotten in so many steps for as many as are kept.
const STEPS: u64 = 20;
/// In `cursors`, the newest number ever given: the log may be empty of events and must not begin again.
/// Names of listeners begin with a letter.
const NEWEST: &[u8] = b"\0newest";

/// Events on disk, held by one process until it is dropped.
#[derive(Debug)]
pub struct EventLog {
    folder: PathBuf,
    db: DB,
    newest: AtomicU64,
    /// Events up to this number are forgotten.
    forgotten: AtomicU64,
    kept_max: u64,
    // Last, so that the folder is given back after the database is closed.
    _lock: FolderLock,
}

impl EventLog {
    /// Opens the log in `folder`, which is created for its owner alone where needed; it keeps `kept_max` events
    /// and a twentieth more.
    ///
    /// # Errors
    /// As [`crate::Registry::open`].
    pub fn open(folder: &Path, kept_max: u64) -> Result<EventLog> {
        let lock = FolderLock::take(folder)?;
        let db = database::open_or_create(folder, &[EVENTS, CURSORS], |_| Ok(()))?;
        let log = EventLog {
            folder: folder.to_path_buf(),
            db,
            newest: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            kept_max: kept_max.max(1),
            _lock: lock,
        };
        let newest = log.number(NEWEST)?.unwrap_or(0);
        log.newest.store(newest, SeqCst);
        let mut first = log.db.iterator_cf(log.family(EVENTS)?, IteratorMode::Start);
        let oldest = match first.next() {
            Some(item) => log.as_number(&item.map_err(|error| read_error(&log.folder, error))?.0)?,
            None => newest + 1,
        };
        drop(first);
        log.forgotten.store(oldest.saturating_sub(1), SeqCst);
        Ok(log)
    }

    /// The number of the newest event; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.newest.load(SeqCst)
    }

    /// Writes events behind those that are there; they are on disk when this returns. Called by one thread.
    /// The number of the last one.
    pub fn append<T: Serialize>(&self, events: &[T]) -> Result<u64> {
        let before = self.newest();
        let mut batch = WriteBatch::default();
        let mut number = before;
        for event in events {
            number += 1;
            batch.put_cf(self.family(EVENTS)?, number.to_be_bytes(), encode_entry(event)?);
        }
        batch.put_cf(self.family(CURSORS)?, NEWEST, number.to_be_bytes());
        let forgotten = self.forgotten.load(SeqCst);
        let end = number.saturating_sub(self.kept_max);
        // In steps: RocksDB keeps a mark for every range that was deleted until it rewrites what lies below.
        let forgets = end >= forgotten + (self.kept_max / STEPS).max(1);
        if forgets {
            let range = ((forgotten + 1).to_be_bytes(), (end + 1).to_be_bytes());
            batch.delete_range_cf(self.family(EVENTS)?, range.0, range.1);
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(|error| write_error(&self.folder, error))?;
        self.newest.store(number, SeqCst);
        if forgets {
            self.forgotten.store(end, SeqCst);
        }
        Ok(number)
    }

    /// Up to `limit` events behind the number `after`, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when one does not read.
    pub fn after<T: for<'a> Deserialize<'a>>(&self, after: u64, limit: usize) -> Result<Vec<(u64, T)>> {
        let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
        self.events(&first.to_be_bytes(), Direction::Forward, limit)
    }

    /// Up to `limit` events before the number `before`, the newest first.
    pub fn before<T: for<'a> Deserialize<'a>>(&self, before: u64, limit: usize) -> Result<Vec<(u64, T)>> {
        let Some(last) = before.checked_sub(1) else { return Ok(Vec::new()) };
        self.events(&last.to_be_bytes(), Direction::Reverse, limit)
    }

    fn events<T: for<'a> Deserialize<'a>>(
        &self,
        from: &[u8],
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(u64, T)>> {
        let items = self.db.iterator_cf(self.family(EVENTS)?, IteratorMode::From(from, direction));
        let mut events = Vec::new();
        for item in items.take(limit) {
            let (key, record) = item.map_err(|error| read_error(&self.folder, error))?;
            let number = self.as_number(&key)?;
            let event = decode_entry(&record)
                .map_err(|error| error.context("folder", self.folder.display()).context("event", number))?;
            events.push((number, event));
        }
        Ok(events)
    }

    /// How far a listener has been told; `None` for one that is new.
    pub fn cursor(&self, listener: &str) -> Result<Option<u64>> {
        self.number(listener.as_bytes())
    }

    /// Says how far a listener has been told. Outlives the process at once, and a power cut soon after.
    pub fn set_cursor(&self, listener: &str, number: u64) -> Result<()> {
        self.db
            .put_cf(self.family(CURSORS)?, listener.as_bytes(), number.to_be_bytes())
            .map_err(|error| write_error(&self.folder, error))
    }

    /// Forgets how far a listener has been told.
    pub fn remove_cursor(&self, listener: &str) -> Result<()> {
        self.db
            .delete_cf(self.family(CURSORS)?, listener.as_bytes())
            .map_err(|error| write_error(&self.folder, error))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>> {
        let found = self.db.get_cf(self.family(CURSORS)?, key);
        let found = found.map_err(|error| read_error(&self.folder, error))?;
        found.map(|bytes| self.as_number(&bytes)).transpose()
    }

    fn as_number(&self, bytes: &[u8]) -> Result<u64> {
        <[u8; 8]>::try_from(bytes)
            .map(u64::from_be_bytes)
            .map_err(|_| damaged(&self.folder, "a number of the event log has another length"))
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        self.db.cf_handle(name).ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "the event log lacks a part")
                .context("folder", self.folder.display())
                .context("part", name)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn events_are_there_again_in_order_and_numbers_go_on() {
        let folder = TempDir::new().unwrap();
        let log = EventLog::open(folder.path(), 100).unwrap();
        assert_eq!(log.append(&["a", "b"]).unwrap(), 2);
        log.set_cursor("one", 1).unwrap();
        drop(log);
        let log = EventLog::open(folder.path(), 100).unwrap();
        assert_eq!(log.append(&["c"]).unwrap(), 3);
        assert_eq!(log.after::<String>(1, 10).unwrap(), [(2, "b".to_owned()), (3, "c".to_owned())]);
        assert_eq!(log.before::<String>(3, 1).unwrap(), [(2, "b".to_owned())]);
        assert_eq!((log.cursor("one").unwrap(), log.cursor("other").unwrap()), (Some(1), None));
    }

    #[test]
    fn the_oldest_are_forgotten_past_the_limit() {
        let folder = TempDir::new().unwrap();
        let kept = |log: &EventLog| -> Vec<u64> {
            log.after::<String>(0, 1_000).unwrap().into_iter().map(|(number, _)| number).collect()
        };
        let log = EventLog::open(folder.path(), 3).unwrap();
        for number in 1..=10 {
            assert_eq!(log.append(&[format!("event {number}")]).unwrap(), number);
        }
        assert_eq!(kept(&log), [8, 9, 10]);
        drop(log);
        let log = EventLog::open(folder.path(), 100).unwrap();
        for number in 11..=300 {
            log.append(&[format!("event {number}")]).unwrap();
            let count = kept(&log).len() as u64;
            assert!(count <= 104 && count >= (number - 7).min(100), "{count} at {number}");
        }
    }

    #[test]
    fn an_event_that_is_not_understood_is_an_error() {
        let folder = TempDir::new().unwrap();
        let log = EventLog::open(folder.path(), 3).unwrap();
        log.append(&[7]).unwrap();
        let error = log.after::<String>(0, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("event=1"), "{error}");
    }
}
