//! Commits the checkpoints of a writer.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::{Committable, Committer, Error, ErrorKind, JobProgress, Result};

use crate::commit::Commits;
use crate::journal::Journal;
use crate::upkeep::Upkeep;

/// Commits the checkpoints of a writer.
pub(crate) struct IcebergCommitter {
    pub(crate) commits: Commits,
    pub(crate) progress: Arc<JobProgress>,
    /// The journal of the checkpoint that holds.
    pub(crate) journal: Option<String>,
    /// The checkpoint that was last counted.
    pub(crate) counted: u64,
    pub(crate) upkeep: Upkeep,
}

/// What `prepare_commit` hands over: where the journal is, then the journal.
pub(crate) fn body(location: &str, journal: &Journal) -> Result<Vec<u8>> {
    let mut body = (location.len() as u64).to_le_bytes().to_vec();
    body.extend_from_slice(location.as_bytes());
    body.extend(journal.encode()?);
    Ok(body)
}

fn open(committable: &Committable) -> Result<(String, Journal)> {
    let broken = || Error::new(ErrorKind::Internal, "a checkpoint of the sink Iceberg was cut off");
    let (length, rest) = committable.body.split_first_chunk::<8>().ok_or_else(broken)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| broken())?;
    let (location, journal) = rest.split_at_checked(length).ok_or_else(broken)?;
    let location = std::str::from_utf8(location).map_err(|_| broken())?;
    Ok((location.to_owned(), Journal::decode(journal)?))
}

#[async_trait]
impl Committer for IcebergCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        let (location, journal) = open(committable)?;
        self.commits.commit(&journal, &location).await?;
        // The journal before this one is what a start would have read until now.
        if let Some(before) = self.journal.replace(location.clone()).filter(|before| *before != location) {
            self.commits.remove(vec![before]).await;
        }
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            self.progress.rows_committed.fetch_add(journal.rows, Relaxed);
        }
        self.upkeep.committed(journal.tables.iter().filter_map(|files| files.ident().ok()));
        Ok(())
    }

    async fn abort(&mut self, committable: &Committable) -> Result<()> {
        let (location, journal) = open(committable)?;
        let found = self.commits.found().await?;
        // What was committed before the word came is not taken back.
        let holds = found.is_some_and(|(standing, _)| {
            standing.run == journal.run && standing.checkpoint >= journal.checkpoint
        });
        if !holds {
            self.commits.remove(vec![location]).await;
        }
        Ok(())
    }
}
