//! An object that is written piece by piece.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use culvert_api::Result;
use object_store::{MultipartUpload, ObjectStoreExt};

use crate::local::{self, blocking};
use crate::{Storage, s3};

/// Bytes of a part of an upload. S3 takes up to 10,000 of them, so this is an object of 80 GB at most.
pub const PART_BYTES: usize = 8 << 20;

/// An object that is not there before [`Upload::finish`]. Left alone, it never is; what it took is found by whoever
/// looks for orphans, or by the rule of the bucket for uploads that were not completed.
pub struct Upload {
    location: String,
    bytes: u64,
    body: Body,
}

enum Body {
    /// Away while a thread that may block works with it.
    File {
        file: Option<File>,
        beside: PathBuf,
        path: PathBuf,
    },
    Object {
        storage: Storage,
        parts: Option<Box<dyn MultipartUpload>>,
        gathered: BytesMut,
    },
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("location", &self.location)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Upload {
    pub(crate) async fn begin(storage: &Storage, location: &str) -> Result<Upload> {
        let body = match storage {
            Storage::Local => {
                let path = local::path(location)?;
                let place = path.clone();
                let (file, beside) = blocking(move || local::unfinished(&place)).await?;
                Body::File { file: Some(file), beside, path }
            }
            Storage::S3(_) => {
                Body::Object { storage: storage.clone(), parts: None, gathered: BytesMut::new() }
            }
        };
        Ok(Upload { location: location.to_owned(), bytes: 0, body })
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len() as u64;
        match &mut self.body {
            Body::File { file, path, .. } => {
                let Some(mut open) = file.take() else { return Err(given_up(&self.location)) };
                let place = path.clone();
                let open = blocking(move || {
                    open.write_all(&bytes).map_err(local::failed(&place))?;
                    Ok(open)
                })
                .await?;
                *file = Some(open);
            }
            Body::Object { storage, parts, gathered } => {
                gathered.extend_from_slice(&bytes);
                while gathered.len() >= PART_BYTES {
                    let part = gathered.split_to(PART_BYTES).freeze();
                    send(storage, &self.location, parts, part).await?;
                }
            }
        }
        Ok(())
    }

    /// Puts the object into its place.
    pub async fn finish(self) -> Result<u64> {
        let Upload { location, bytes, body } = self;
        match body {
            Body::File { file, beside, path } => {
                let Some(file) = file else { return Err(given_up(&location)) };
                blocking(move || {
                    file.sync_all().map_err(local::failed(&path))?;
                    local::place(&beside, &path, true)
                })
                .await?;
            }
            Body::Object { storage, parts: None, gathered } => {
                storage.write(&location, gathered.freeze()).await?
            }
            Body::Object { storage, mut parts, gathered } => {
                if !gathered.is_empty() {
                    send(&storage, &location, &mut parts, gathered.freeze()).await?;
                }
                if let Some(parts) = &mut parts {
                    parts.complete().await.map_err(|cause| s3::failed(&location, cause))?;
                }
            }
        }
        Ok(bytes)
    }

    /// Lets go of what was written.
    pub async fn abort(self) -> Result<()> {
        match self.body {
            Body::File { file, beside, .. } => {
                drop(file);
                blocking(move || fs::remove_file(&beside).map_err(local::failed(&beside))).await
            }
            Body::Object { parts: Some(mut parts), .. } => {
                parts.abort().await.map_err(|cause| s3::failed(&self.location, cause))
            }
            Body::Object { parts: None, .. } => Ok(()),
        }
    }
}

fn given_up(location: &str) -> culvert_api::Error {
    culvert_api::Error::new(culvert_api::ErrorKind::Internal, "an object is written on after a failure")
        .context("location", location)
}

/// Sends a part, and waits for it: one is under way at a time.
async fn send(
    storage: &Storage,
    location: &str,
    parts: &mut Option<Box<dyn MultipartUpload>>,
    part: Bytes,
) -> Result<()> {
    let Storage::S3(buckets) = storage else { return Err(given_up(location)) };
    if parts.is_none() {
        let (client, key) = buckets.resolve(location)?;
        *parts = Some(client.put_multipart(&key).await.map_err(|cause| s3::failed(location, cause))?);
    }
    match parts {
        Some(parts) => parts.put_part(part.into()).await.map_err(|cause| s3::failed(location, cause)),
        None => Err(given_up(location)),
    }
}
