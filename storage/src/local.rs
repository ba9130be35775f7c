//! Files. Everything here may block and does so on a thread that may.

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{ErrorKind as Io, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::Object;

/// The beginning of the names of files that are not whole yet. Readers of lake formats pass over such names.
pub(crate) const UNFINISHED: &str = "_culvert_unfinished_";
/// Entries of folders that are looked at before the first of them is given away.
const LISTED_AT_ONCE: usize = 1000;

static NEXT: AtomicU64 = AtomicU64::new(0);
/// A number of this process alone. Its id is not: containers that share a folder have the same one.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());

/// The path of a location.
pub(crate) fn path(location: &str) -> Result<PathBuf> {
    let path = location.strip_prefix("file:").map_or(location, |rest| match rest.strip_prefix("//") {
        Some(rest) => rest,
        None => rest,
    });
    if path.starts_with('/') && !path.split('/').any(|part| part == "..") {
        return Ok(PathBuf::from(path));
    }
    Err(Error::new(ErrorKind::Config, "this is no location that can be used")
        .context("location", location)
        .hint("write an absolute path, file:///path, s3://bucket/path or s3a://bucket/path"))
}

/// What an error of the file system means.
pub(crate) fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |cause| {
        let (kind, hint) = match cause.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                (ErrorKind::Permission, "grant the job's account the right to write there")
            }
            Io::NotADirectory => (ErrorKind::Config, "correct the path"),
            Io::StorageFull | Io::QuotaExceeded => {
                (ErrorKind::Unavailable, "make room: the job goes on by itself")
            }
            _ => (ErrorKind::Unavailable, "the job tries again by itself"),
        };
        Error::new(kind, "the file system refused").context("path", &path).hint(hint).caused_by(cause)
    }
}

/// Runs what blocks off the event loop.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = tokio::task::spawn_blocking(call).await;
    ended.map_err(|cause| Error::new(ErrorKind::Internal, "work on files was given up").caused_by(cause))?
}

async fn at<T: Send + 'static>(
    location: &str,
    call: impl FnOnce(&Path) -> Result<T> + Send + 'static,
) -> Result<T> {
    let path = path(location)?;
    blocking(move || call(&path)).await
}

/// The answer, or `None` where nothing is.
fn found<T>(path: &Path, result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(cause) if matches!(cause.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
        Err(cause) => Err(failed(path)(cause)),
    }
}

pub(crate) async fn read(location: &str) -> Result<Option<Bytes>> {
    at(location, |path| Ok(found(path, fs::read(path))?.map(Bytes::from))).await
}

pub(crate) async fn read_range(location: &str, range: Range<u64>) -> Result<Bytes> {
    at(location, move |path| {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut file = File::open(path).map_err(failed(path))?;
        file.seek(SeekFrom::Start(range.start)).map_err(failed(path))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(failed(path))?;
        Ok(Bytes::from(bytes))
    })
    .await
}

fn object(path: &Path, metadata: &fs::Metadata) -> Object {
    let since =
        metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    Object {
        location: path.display().to_string(),
        bytes: metadata.len(),
        modified_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
    }
}

pub(crate) async fn head(location: &str) -> Result<Option<Object>> {
    at(location, |path| Ok(found(path, fs::metadata(path))?.map(|metadata| object(path, &metadata)))).await
}

/// A new file beside the place that its bytes are for.
pub(crate) fn unfinished(path: &Path) -> Result<(File, PathBuf)> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make(folder)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{UNFINISHED}{:016x}_{number}", *PROCESS);
    let beside = folder.join(name);
    let file = File::create_new(&beside).map_err(failed(&beside))?;
    Ok((file, beside))
}

/// Gives a synced file its place. False: one is there, and nothing may be written over.
pub(crate) fn place(beside: &Path, path: &Path, over: bool) -> Result<bool> {
    if over {
        fs::rename(beside, path).map_err(failed(path))?;
    } else {
        let linked = fs::hard_link(beside, path);
        fs::remove_file(beside).map_err(failed(beside))?;
        match linked {
            Err(cause) if cause.kind() == Io::AlreadyExists => return Ok(false),
            linked => linked.map_err(failed(path))?,
        }
    }
    sync(path.parent().unwrap_or(Path::new("/")))?;
    Ok(true)
}

pub(crate) async fn write(location: &str, bytes: Bytes, over: bool) -> Result<bool> {
    at(location, move |path| {
        let (mut file, beside) = unfinished(path)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if let Err(cause) = written {
            // Best effort: whoever looks for orphans finds the rest.
            let _ = fs::remove_file(&beside);
            return Err(failed(path)(cause));
        }
        place(&beside, path, over)
    })
    .await
}

pub(crate) async fn delete(location: &str) -> Result<()> {
    at(location, |path| found(path, fs::remove_file(path)).map(drop)).await
}

/// Makes a folder and those above it last.
pub(crate) fn make(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    if above != folder {
        make(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync(above),
        Err(cause) if cause.kind() == Io::AlreadyExists => Ok(()),
        Err(cause) => Err(failed(folder)(cause)),
    }
}

/// Makes the names in a folder last.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed(folder))
}

/// Folders that are to be looked into yet, and files that were seen.
struct Walk {
    folders: Vec<PathBuf>,
    files: Vec<Object>,
}

impl Walk {
    /// Looks into folders until there are files to give away, or none are left.
    fn go_on(&mut self) -> Result<()> {
        while self.files.len() < LISTED_AT_ONCE {
            let Some(folder) = self.folders.pop() else { return Ok(()) };
            let Some(entries) = found(&folder, fs::read_dir(&folder))? else { continue };
            for entry in entries {
                let path = entry.map_err(failed(&folder))?.path();
                // A file that is gone by now was not there.
                let Some(metadata) = found(&path, fs::symlink_metadata(&path))? else { continue };
                if metadata.is_dir() {
                    self.folders.push(path);
                } else {
                    self.files.push(object(&path, &metadata));
                }
            }
        }
        Ok(())
    }
}

pub(crate) async fn list(folder: &str) -> Result<BoxStream<'static, Result<Object>>> {
    let walk = Walk { folders: vec![path(folder)?], files: Vec::new() };
    let stream = stream::try_unfold(walk, |mut walk| async move {
        if walk.files.is_empty() {
            walk = blocking(move || walk.go_on().map(|()| walk)).await?;
        }
        Ok(walk.files.pop().map(|file| (file, walk)))
    });
    Ok(stream.boxed())
}
