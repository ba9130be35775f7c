//! Files of this machine and objects of an S3 service as one thing: bytes under a location.
//!
//! A location is written as lake formats write it: `/a/b`, `file:///a/b`, `s3://bucket/key`, `s3a://bucket/key`.
//! What is there under a location is whole: a reader finds nothing of an object, or all of it. What is there when a
//! call returns stays through a power cut: on a disk it is synced together with the folder that names it.
//!
//! | file | holds |
//! |---|---|
//! | `local` | files |
//! | `s3` | objects, through the crate `object_store`; what its errors mean |
//! | `upload` | an object that is written piece by piece |
//! | `parts` | the same, completed by whoever knows the pieces, also after a crash |
//!
//! Why files do not go through `object_store` as well: `docs/decisions/0035-storage.md`.

mod local;
mod parts;
mod s3;
mod upload;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

pub use parts::PARTS_MAX;
pub use s3::{Buckets, S3Options};
pub use upload::{PART_BYTES, Upload};

/// Where locations lead.
#[derive(Clone, Debug)]
pub enum Storage {
    /// To files of this machine.
    Local,
    /// To the buckets of an S3 service.
    S3(Arc<Buckets>),
}

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is, as [`Storage::read`] takes it.
    pub location: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: i64,
}

/// What an object was when it was read: a conditional write succeeds only as long as it is still that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(crate) Option<String>);

impl Storage {
    /// The storage that a location belongs to: S3 for the schemes `s3`, `s3a` and `s3n`, which need options.
    pub fn of(location: &str, s3: impl FnOnce() -> Result<S3Options>) -> Result<Storage> {
        if is_s3(location) {
            return Ok(Storage::S3(Arc::new(Buckets::new(s3()?))));
        }
        local::path(location).map(|_| Storage::Local)
    }

    /// What is there; `None` where nothing is.
    pub async fn read(&self, location: &str) -> Result<Option<Bytes>> {
        match self {
            Storage::Local => local::read(location).await,
            Storage::S3(buckets) => Ok(buckets.read(location).await?.map(|(bytes, _)| bytes)),
        }
    }

    /// What is there, with the version for [`Storage::replace`].
    pub async fn read_version(&self, location: &str) -> Result<Option<(Bytes, Version)>> {
        match self {
            Storage::Local => Ok(local::read(location).await?.map(|bytes| (bytes, Version(None)))),
            Storage::S3(buckets) => buckets.read(location).await,
        }
    }

    /// A part of what is there.
    pub async fn read_range(&self, location: &str, range: Range<u64>) -> Result<Bytes> {
        match self {
            Storage::Local => local::read_range(location, range).await,
            Storage::S3(buckets) => buckets.read_range(location, range).await,
        }
    }

    /// Size and time; `None` where nothing is.
    pub async fn head(&self, location: &str) -> Result<Option<Object>> {
        match self {
            Storage::Local => local::head(location).await,
            Storage::S3(buckets) => buckets.head(location).await,
        }
    }

    /// Puts bytes there, over what is there.
    pub async fn write(&self, location: &str, bytes: Bytes) -> Result<()> {
        match self {
            Storage::Local => local::write(location, bytes, true).await.map(drop),
            Storage::S3(buckets) => buckets.write(location, bytes).await,
        }
    }

    /// Puts bytes there if nothing is there: of several who do this, one wins. False: somebody was first, or it was
    /// this very call whose answer was lost and which was made again; who cannot tell from the bytes must make them
    /// tell.
    pub async fn create(&self, location: &str, bytes: Bytes) -> Result<bool> {
        match self {
            Storage::Local => local::write(location, bytes, false).await,
            Storage::S3(buckets) => buckets.create(location, bytes).await,
        }
    }

    /// Puts bytes over what was read as this version. False as for [`Storage::create`]. Objects only: files have no
    /// versions, and who writes them holds a lock.
    pub async fn replace(&self, location: &str, bytes: Bytes, version: &Version) -> Result<bool> {
        match self {
            Storage::Local => Err(Error::new(ErrorKind::Internal, "a file has no version to be replaced by")
                .context("location", location)),
            Storage::S3(buckets) => buckets.replace(location, bytes, version).await,
        }
    }

    /// All that is below a folder, in no order.
    pub async fn list(&self, folder: &str) -> Result<BoxStream<'static, Result<Object>>> {
        match self {
            Storage::Local => local::list(folder).await,
            Storage::S3(buckets) => buckets.list(folder),
        }
    }

    /// The first object below a folder that is asked for; `None` where none is.
    pub async fn any(&self, folder: &str) -> Result<Option<Object>> {
        self.list(folder).await?.next().await.transpose()
    }

    /// Removes what is there. Nothing there is nothing to do.
    pub async fn delete(&self, location: &str) -> Result<()> {
        match self {
            Storage::Local => local::delete(location).await,
            Storage::S3(buckets) => buckets.delete(location).await,
        }
    }

    /// Begins an object that is written piece by piece and is there when it is finished, over what is there.
    pub async fn upload(&self, location: &str) -> Result<Upload> {
        Upload::begin(self, location).await
    }
}

/// Whether a location leads to an S3 service.
pub fn is_s3(location: &str) -> bool {
    ["s3://", "s3a://", "s3n://"].iter().any(|scheme| location.starts_with(scheme))
}

/// A location below a folder.
pub fn join(folder: &str, name: &str) -> String {
    format!("{}/{}", folder.trim_end_matches('/'), name.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
