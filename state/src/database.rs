//! How RocksDB is opened, and what its errors mean.
//!
//! A database is made in `db.new` and renamed to `db` when it is complete, so that `db` either
//! holds a whole store or is not there. RocksDB itself would take a folder that lost its
//! `CURRENT` file for a new one and start empty.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use culvert_api::{Error, ErrorKind, Result};
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, LogLevel, Options};

use crate::lock::{LET_GO, LOOK_EVERY, folder_error, locked};

/// Column family of the job's identity and epoch.
pub const META: &str = "meta";
/// Column family of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";

/// The column families of a job's state, next to RocksDB's own `default`.
pub(crate) const STATE: &[&str] = &[META, CHECKPOINTS];

/// The whole budget is small because a store holds a few records that are written in turn.
/// RocksDB takes a tenth more than this of the disk for its log in advance.
const WRITE_BUFFER_BYTES: usize = 1 << 20;
const BLOCK_CACHE_BYTES: usize = 8 << 20;
const WAL_BYTES_MAX: u64 = 16 << 20;
const MANIFEST_BYTES_MAX: usize = 1 << 20;
const INFO_LOG_BYTES_MAX: usize = 1 << 20;
const INFO_LOGS_KEPT: usize = 2;
const OPEN_FILES_MAX: i32 = 64;
const BACKGROUND_JOBS: i32 = 2;

/// Where the database of a state folder lies.
pub fn database_path(folder: &Path) -> PathBuf {
    folder.join("db")
}

/// Opens the database of a folder, which has exactly these column families; when there is none yet, makes
/// one that `fill` has filled.
pub(crate) fn open_or_create(
    folder: &Path,
    families: &[&str],
    fill: impl FnOnce(&DB) -> Result<()>,
) -> Result<DB> {
    let path = database_path(folder);
    if !path.exists() {
        create(folder, &path, families, fill)?;
    }
    let current = path.join("CURRENT");
    if !current.exists() {
        return Err(damaged(folder, &format!("{} is missing", current.display())));
    }
    let options = options();
    let found = DB::list_cf(&options, &path).map_err(|error| open_error(folder, error))?;
    let is_known = |name: &str| name == "default" || families.contains(&name);
    if let Some(unknown) = found.iter().find(|name| !is_known(name)) {
        let message = format!("state folder {} has a part `{unknown}` of a newer format", folder.display());
        return Err(Error::new(ErrorKind::StateMismatch, message)
            .hint("run the version of the program that wrote it, or a newer one"));
    }
    if let Some(lost) = families.iter().find(|name| !found.iter().any(|have| have == *name)) {
        return Err(damaged(folder, &format!("its part `{lost}` is missing")));
    }
    open_when_let_go(&options, &path, families).map_err(|error| open_error(folder, error))
}

/// Opens a database whose folder is this process's. Of a holder that was killed the kernel closes one file after
/// the other, so RocksDB's own lock may be held a little longer than the folder's.
fn open_when_let_go(
    options: &Options,
    path: &Path,
    families: &[&str],
) -> std::result::Result<DB, rocksdb::Error> {
    let begun = Instant::now();
    loop {
        match open(options, path, families) {
            Err(error) if is_lock(&error) && begun.elapsed() < LET_GO => std::thread::sleep(LOOK_EVERY),
            opened => return opened,
        }
    }
}

/// RocksDB tells it in words only.
fn is_lock(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::IOError && error.to_string().contains("lock")
}

fn create(folder: &Path, path: &Path, families: &[&str], fill: impl FnOnce(&DB) -> Result<()>) -> Result<()> {
    let unfinished = folder.join("db.new");
    let refused = |error| folder_error(folder, error);
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(refused)?;
    }
    let mut options = options();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = open(&options, &unfinished, families).map_err(|error| open_error(folder, error))?;
    fill(&db)?;
    db.flush_wal(true).map_err(|error| write_error(folder, error))?;
    drop(db);
    let synced = File::open(&unfinished).and_then(|folder| folder.sync_all());
    synced.map_err(refused)?;
    std::fs::rename(&unfinished, path).map_err(refused)?;
    // The name must survive a power cut too, and so must the folder's own name.
    for place in [Some(folder), folder.parent()].into_iter().flatten() {
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        File::open(place).and_then(|folder| folder.sync_all()).map_err(refused)?;
    }
    Ok(())
}

fn open(options: &Options, path: &Path, families: &[&str]) -> std::result::Result<DB, rocksdb::Error> {
    let families = ["default"].iter().chain(families);
    let families = families.map(|name| ColumnFamilyDescriptor::new(*name, options.clone()));
    DB::open_cf_descriptors(options, path, families)
}

fn options() -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(INFO_LOGS_KEPT);
    options.set_max_log_file_size(INFO_LOG_BYTES_MAX);
    options.set_paranoid_checks(true);
    // A torn last record is a save that was never acknowledged. Anything else that does not read
    // is damage: the default mode would silently forget acknowledged records behind it.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

/// What an error of a read means.
pub(crate) fn read_error(folder: &Path, error: rocksdb::Error) -> Error {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => damaged(folder, "a record does not read").caused_by(error),
        _ => unavailable(folder, error),
    }
}

/// What an error of a write means. Whether the write took effect is open.
pub(crate) fn write_error(folder: &Path, error: rocksdb::Error) -> Error {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => damaged(folder, "a write was refused").caused_by(error),
        _ => unavailable(folder, error),
    }
}

fn open_error(folder: &Path, error: rocksdb::Error) -> Error {
    use rocksdb::ErrorKind as Rocks;
    // RocksDB tells these apart in words only.
    let text = error.to_string();
    match error.kind() {
        Rocks::IOError if is_lock(&error) => locked(folder, None),
        Rocks::IOError if text.contains("Permission denied") => {
            Error::new(ErrorKind::Permission, format!("state folder {} cannot be used", folder.display()))
                .caused_by(error)
                .hint("choose a folder that this user may write to")
        }
        Rocks::IOError if text.contains("No such file") => {
            damaged(folder, "a file is missing").caused_by(error)
        }
        Rocks::Corruption | Rocks::InvalidArgument | Rocks::NotFound | Rocks::NotSupported => {
            damaged(folder, "it does not open").caused_by(error)
        }
        _ => unavailable(folder, error),
    }
}

fn unavailable(folder: &Path, error: rocksdb::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("state folder {} cannot be read or written", folder.display()))
        .caused_by(error)
        .hint("look at the disk that holds it: is it full, gone or read-only?")
}

/// State that cannot be trusted, with the way out.
pub(crate) fn damaged(folder: &Path, how: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the state in {} is damaged: {how}", folder.display())).hint(
        "move that folder away and start again: the restart point is then rebuilt from the commit markers \
         in the targets",
    )
}
