//! Gives staged files their places.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::failpoint::pass;
use culvert_api::{Committable, Committer, Error, ErrorKind, JobProgress, Result};

use crate::folder::{Folder, at};
use crate::manifest::Manifest;
use crate::sink::blocking;

/// Commits the checkpoints of a writer.
pub(crate) struct LocalFileCommitter {
    pub(crate) folder: Folder,
    pub(crate) epoch: u64,
    pub(crate) progress: Arc<JobProgress>,
    /// The checkpoint that was last counted.
    pub(crate) counted: u64,
}

/// What `prepare_commit` hands over: the rows, then the manifest.
pub(crate) fn body(rows: u64, manifest: &Manifest) -> Result<Vec<u8>> {
    let mut body = rows.to_le_bytes().to_vec();
    body.extend(manifest.encode()?);
    Ok(body)
}

fn open(committable: &Committable) -> Result<(u64, Manifest)> {
    let broken = || Error::new(ErrorKind::Internal, "a checkpoint of the sink LocalFile was cut off");
    let (rows, manifest) = committable.body.split_first_chunk::<8>().ok_or_else(broken)?;
    Ok((u64::from_le_bytes(*rows), Manifest::decode(manifest)?))
}

/// Another run works on this sink.
pub(crate) fn fenced(job: &str, sink: &str, found: u64) -> Error {
    let message = format!("another run of job {job} has taken over sink {sink}");
    Error::new(ErrorKind::Fenced, message).context("epoch", found)
}

/// The manifest on disk must be of this epoch.
pub(crate) fn owned(folder: &Folder, epoch: u64, (job, sink): (&str, &str)) -> Result<Manifest> {
    match folder.read()? {
        Some(found) if found.epoch == epoch => Ok(found),
        Some(found) => Err(fenced(job, sink, found.epoch)),
        None => Err(Error::new(ErrorKind::LogGone, "the manifest of the sink LocalFile is gone")
            .hint("restore the hidden folder .culvert; with --fresh the job starts over, and adds its rows to what is there")),
    }
}

fn commit(folder: &Folder, epoch: u64, mut manifest: Manifest) -> Result<()> {
    let _held = folder.lock()?;
    let mut found = owned(folder, epoch, (&manifest.job, &manifest.sink))?;
    if found.checkpoint >= manifest.checkpoint {
        return folder.place(&mut found);
    }
    pass("local_file.marker.before")?;
    folder.write(&manifest)?;
    pass("local_file.marker.after")?;
    folder.place(&mut manifest)?;
    pass("local_file.placed.after")
}

#[async_trait]
impl Committer for LocalFileCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let (rows, manifest) = open(committable)?;
        let (folder, epoch) = (self.folder.clone(), self.epoch);
        blocking(move || commit(&folder, epoch, manifest)).await?;
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            self.progress.rows_committed.fetch_add(rows, Relaxed);
        }
        Ok(())
    }

    async fn abort(&mut self, committable: &Committable) -> Result<()> {
        let (_, manifest) = open(committable)?;
        let folder = self.folder.clone();
        blocking(move || {
            let _held = folder.lock()?;
            // What was committed before the word came is not taken back.
            if folder.read()?.is_some_and(|found| found.checkpoint >= manifest.checkpoint) {
                return Ok(());
            }
            for file in &manifest.files {
                match std::fs::remove_file(&file.from) {
                    Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                        return Err(at(&file.from)(cause));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }
}
