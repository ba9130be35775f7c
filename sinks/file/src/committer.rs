//! Gives staged files their places.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::{Committable, Committer, Error, ErrorKind, JobProgress, Result};

use crate::manifest::Manifest;
use crate::place::{self, Place};
use crate::sink::blocking;

/// Commits the checkpoints of a writer.
pub(crate) struct FileCommitter<P> {
    pub(crate) place: P,
    pub(crate) epoch: u64,
    pub(crate) progress: Arc<JobProgress>,
    /// The checkpoint that was last counted.
    pub(crate) counted: u64,
}

/// What `prepare_commit` hands over: the rows, then the manifest.
pub(crate) fn body<P: Place>(rows: u64, manifest: &Manifest<P::Staged>) -> Result<Vec<u8>> {
    let mut body = rows.to_le_bytes().to_vec();
    body.extend(manifest.encode()?);
    Ok(body)
}

fn open<P: Place>(committable: &Committable) -> Result<(u64, Manifest<P::Staged>)> {
    let broken = || Error::new(ErrorKind::Internal, "a checkpoint of a sink of files was cut off");
    let (rows, manifest) = committable.body.split_first_chunk::<8>().ok_or_else(broken)?;
    Ok((u64::from_le_bytes(*rows), Manifest::decode(manifest)?))
}

#[async_trait]
impl<P: Place> Committer for FileCommitter<P> {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let (rows, manifest) = open::<P>(committable)?;
        let (place, epoch) = (self.place.clone(), self.epoch);
        blocking(move || place::commit(&place, epoch, manifest)).await?;
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            self.progress.rows_committed.fetch_add(rows, Relaxed);
        }
        Ok(())
    }

    async fn abort(&mut self, committable: &Committable) -> Result<()> {
        let (_, manifest) = open::<P>(committable)?;
        let place = self.place.clone();
        blocking(move || place::abort(&place, &manifest)).await
    }
}
