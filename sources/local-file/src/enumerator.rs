//! Splits: one per file, in order.

use async_trait::async_trait;
use culvert_api::{Error, ErrorKind, Result, Split, SplitEnumerator, SplitFinished};

use crate::state::{Progress, encode};

/// Hands files out in order; they come back as finished in the same order.
pub(crate) struct FileEnumerator {
    progress: Progress,
    /// How many of those that are left were handed out.
    out: usize,
}

impl FileEnumerator {
    pub(crate) fn new(progress: Progress) -> FileEnumerator {
        FileEnumerator { progress, out: 0 }
    }
}

/// A split's id is its file's number in the run.
pub(crate) fn number(id: &str) -> Result<u64> {
    id.parse().map_err(|_| {
        Error::new(ErrorKind::Internal, "a split that is none of this source").context("split", id)
    })
}

#[async_trait]
impl SplitEnumerator for FileEnumerator {
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>> {
        let mut splits = Vec::new();
        for work in self.progress.left.iter().skip(self.out).take(wanted) {
            let number = self.progress.finished + (self.out + splits.len()) as u64;
            splits.push(Split { id: number.to_string(), body: encode(work)? });
        }
        self.out += splits.len();
        Ok(splits)
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        if !splits.is_empty() {
            self.out = 0;
        }
    }

    fn split_finished(&mut self, finished: SplitFinished) -> Result<()> {
        if number(&finished.id)? != self.progress.finished || self.progress.left.pop_front().is_none() {
            return Err(Error::new(ErrorKind::Internal, "files are finished out of order")
                .context("split", finished.id));
        }
        self.progress.finished += 1;
        self.out = self.out.saturating_sub(1);
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        self.progress.encode()
    }
}
