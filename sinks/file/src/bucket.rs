//! A bucket of an S3 service: a file is staged as an upload whose parts are sent, and is there once it is completed.
//!
//! ```text
//! prepare N   parts of N sent                          uploads, which nobody sees; their names in .culvert/NAME.uploads/EPOCH
//! commit N    manifest of N put over the one that      .culvert/NAME.json, If-Match   ◄ from here on N holds
//!             was read, and over no other
//!             each upload completed                    out/T_JOB_RUN_WRITER_EPOCH_0.csv, …
//!             manifest put again, as "placed"
//! ```
//!
//! There is no lock. A manifest is only ever put over the one that was read, so of two runs one loses; an older one
//! loses against the epoch it reads then. An answer can be lost behind a put that took effect, and the same put again
//! is refused then: so what counts is what is read back. Completing is asked for again as long as the object is not
//! there. An upload must have its object's name from the beginning, which is why names hold epochs and no checkpoints.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::{Object, Storage, join};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::local::{not_empty, refuse_gone, too_long};
use crate::manifest::{Manifest, Placed};
use crate::names::{HIDDEN, prefix};
use crate::options::SaveMode;
use crate::place::{Place, Root, Seen};
use crate::upload::{Uploads, Writing, wait};

/// Requests that are under way at once.
pub(crate) const REQUESTS_AT_ONCE: usize = 8;

/// Bytes of a key at most, by the service's rules.
const KEY_BYTES_MAX: usize = 1024;

/// The part of a bucket that all tables have in common.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub(crate) storage: Storage,
    pub(crate) bucket: String,
    /// As a path from the bucket on.
    pub(crate) root: std::path::PathBuf,
}

/// What a writer keeps in a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    storage: Storage,
    bucket: String,
    manifest: String,
    uploads: Uploads,
    /// Whether the service was seen to refuse what it must refuse.
    proved: Arc<AtomicBool>,
}

/// An upload whose parts are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// The service's name of it.
    pub(crate) upload: String,
    /// What the service called its parts, in order.
    pub(crate) parts: Vec<String>,
}

/// The location of a path in a bucket. What is empty between two strokes is nothing, as in a folder.
fn location(bucket: &str, path: &Path) -> String {
    let path = path.to_string_lossy();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("s3://{bucket}/{}", parts.join("/"))
}

impl Buckets {
    fn hidden(&self) -> String {
        location(&self.bucket, &self.root.join(HIDDEN))
    }
}

/// All objects below a folder.
async fn list(storage: &Storage, folder: &str) -> Result<Vec<Object>> {
    storage.list(folder).await?.try_collect().await
}

impl Root for Buckets {
    type Place = Bucket;

    const PLUGIN: &'static str = "S3File";

    fn place(&self, job: &str, sink: &str, writer: u32) -> Bucket {
        let name = format!("{}{writer}", prefix(job, sink));
        let beside = join(&self.hidden(), &format!("{name}.uploads"));
        Bucket {
            storage: self.storage.clone(),
            bucket: self.bucket.clone(),
            manifest: join(&self.hidden(), &format!("{name}.json")),
            uploads: Uploads::new(self.storage.clone(), beside),
            proved: Arc::new(AtomicBool::new(false)),
        }
    }

    fn is_there(&self) -> Result<bool> {
        let (storage, folder) = (self.storage.clone(), location(&self.bucket, &self.root));
        wait(async move { Ok(storage.any(&folder).await?.is_some()) })
    }

    fn writers(&self, job: &str, sink: &str) -> Result<Vec<u32>> {
        let (storage, hidden, prefix) = (self.storage.clone(), self.hidden(), prefix(job, sink));
        let objects = wait(async move { list(&storage, &hidden).await })?;
        let writer = |object: &Object| {
            let name = object.location.rsplit('/').next()?.strip_prefix(&prefix)?.strip_suffix(".json")?;
            name.parse::<u32>().ok()
        };
        Ok(objects.iter().filter_map(writer).collect())
    }

    fn clear(&self, folder: &Path, mode: SaveMode) -> Result<()> {
        let (storage, folder) = (self.storage.clone(), location(&self.bucket, folder));
        let hidden = format!("/{HIDDEN}/");
        let first = wait(async move {
            let mut objects = storage.list(&folder).await?;
            while let Some(object) = objects.next().await.transpose()? {
                // An object of the folder's own name marks the folder for programs that know folders.
                if object.location.contains(&hidden) || object.location == folder.trim_end_matches('/') {
                    continue;
                }
                if mode == SaveMode::Refuse {
                    return Ok(Some(object.location));
                }
                storage.delete(&object.location).await?;
            }
            Ok(None)
        })?;
        first.map_or(Ok(()), |object| Err(not_empty(&object)))
    }
}

impl Bucket {
    /// One conditional write; whether it was let through.
    fn put(&self, bytes: &Bytes, over: &Seen) -> Result<bool> {
        let (storage, manifest) = (self.storage.clone(), self.manifest.clone());
        let (bytes, over) = (bytes.clone(), over.clone());
        wait(async move {
            match over {
                Seen::Object(version) => storage.replace(&manifest, bytes, &version).await,
                Seen::Nothing | Seen::Locked => storage.create(&manifest, bytes).await,
            }
        })
    }

    fn bytes(&self) -> Result<Option<(Bytes, Seen)>> {
        let (storage, manifest) = (self.storage.clone(), self.manifest.clone());
        let found = wait(async move { storage.read_version(&manifest).await })?;
        Ok(found.map(|(bytes, version)| (bytes, Seen::Object(version))))
    }

    /// A service that lets a write through whose condition does not hold would let two runs through. It is asked once, with
    /// the bytes that are there already.
    fn prove(&self, bytes: &Bytes, over: &Seen) -> Result<()> {
        if self.proved.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.put(bytes, over)? {
            return Err(Error::new(ErrorKind::Unsupported, "the S3 service passes over the conditions of writes")
                .context("location", &self.manifest)
                .hint("use a service that honours If-Match and If-None-Match: without them two runs of a job cannot be told apart"));
        }
        self.proved.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Place for Bucket {
    type File = Writing;
    type Staged = Sent;

    /// Each gathers a part of 8 MiB, and one more is under way.
    const LINE_FILES_MAX: usize = 16;

    fn hold(&self) -> Result<Option<std::fs::File>> {
        Ok(None)
    }

    fn read(&self) -> Result<(Option<Manifest<Sent>>, Seen)> {
        match self.bytes()? {
            None => Ok((None, Seen::Nothing)),
            Some((bytes, seen)) => {
                let manifest =
                    Manifest::decode(&bytes).map_err(|error| error.context("object", &self.manifest))?;
                Ok((Some(manifest), seen))
            }
        }
    }

    fn write(&self, manifest: &Manifest<Sent>, over: &Seen) -> Result<Option<Seen>> {
        let bytes = Bytes::from(manifest.encode()?);
        let put = self.put(&bytes, over);
        match self.bytes()? {
            Some((found, seen)) if found == bytes => {
                self.prove(&bytes, over)?;
                Ok(Some(seen))
            }
            _ => put.map(|_| None),
        }
    }

    fn remove(&self) -> Result<()> {
        let (storage, manifest) = (self.storage.clone(), self.manifest.clone());
        wait(async move { storage.delete(&manifest).await })
    }

    fn begin(&self, epoch: u64, _: u64, to: &Path) -> Result<Writing> {
        let object = location(&self.bucket, to);
        let key = object.len().saturating_sub("s3:///".len() + self.bucket.len());
        if key > KEY_BYTES_MAX {
            return Err(too_long(key, KEY_BYTES_MAX).context("object", object));
        }
        Ok(Writing::new(epoch, object))
    }

    fn pass_on(&self, file: &mut Writing) -> Result<()> {
        self.uploads.send_full(file)
    }

    fn end(&self, files: Vec<Writing>) -> Result<Vec<Sent>> {
        self.uploads.send_rest(files)
    }

    /// What was sent is with the service, which is asked when it is completed.
    fn refuse_lost(&self, _: &[Placed<Sent>]) -> Result<()> {
        Ok(())
    }

    fn publish(&self, manifest: &Manifest<Sent>) -> Result<()> {
        let (storage, bucket, files) = (self.storage.clone(), self.bucket.clone(), manifest.files.clone());
        let complete = move |Placed { from, to }: Placed<Sent>| {
            let (storage, to) = (storage.clone(), location(&bucket, &to));
            async move {
                let done = storage.complete_parts(&to, &from.upload, from.parts).await?;
                Ok((!done).then_some(to))
            }
        };
        let completed = stream::iter(files).map(complete).buffer_unordered(REQUESTS_AT_ONCE);
        let completed: Vec<Result<Option<String>>> = wait(async { Ok(completed.collect().await) })?;
        let lost: Vec<String> = completed.into_iter().filter_map(Result::transpose).collect::<Result<_>>()?;
        refuse_gone(&lost, manifest.checkpoint)?;
        self.uploads.forget(&manifest.files);
        Ok(())
    }

    fn discard(&self, files: &[Placed<Sent>]) -> Result<()> {
        let named = files.iter().map(|file| (location(&self.bucket, &file.to), file.from.upload.clone()));
        self.uploads.abort(named.collect())?;
        self.uploads.forget(files);
        Ok(())
    }

    fn clean(&self, manifest: &Manifest<Sent>) -> Result<()> {
        self.uploads.clean(manifest)
    }
}
