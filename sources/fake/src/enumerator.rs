//! Splits, one table after the other.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{Error, ErrorKind, Result, Split, SplitEnumerator, SplitFinished};

use crate::content::Table;
use crate::state::Progress;

/// Hands splits out in order; they come back as finished in the same order.
pub(crate) struct FakeEnumerator {
    tables: Arc<Vec<Table>>,
    progress: Progress,
    /// The next split to hand out.
    next: usize,
}

impl FakeEnumerator {
    pub(crate) fn new(tables: Arc<Vec<Table>>, progress: Progress) -> FakeEnumerator {
        let next = progress.finished;
        FakeEnumerator { tables, progress, next }
    }

    fn count(&self) -> usize {
        self.tables.iter().map(|table| table.splits.len()).sum()
    }
}

/// A split's id is its number, counted over all tables.
pub(crate) fn number(id: &str) -> Result<usize> {
    id.parse().map_err(|_| {
        Error::new(ErrorKind::Internal, "a split that is none of this source").context("split", id)
    })
}

#[async_trait]
impl SplitEnumerator for FakeEnumerator {
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>> {
        let end = self.next.saturating_add(wanted).min(self.count());
        let splits =
            (self.next..end).map(|number| Split { id: number.to_string(), body: Vec::new() }).collect();
        self.next = end;
        Ok(splits)
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        if !splits.is_empty() {
            self.next = self.progress.finished;
        }
    }

    fn split_finished(&mut self, finished: SplitFinished) -> Result<()> {
        if number(&finished.id)? != self.progress.finished {
            return Err(Error::new(ErrorKind::Internal, "splits are finished out of order")
                .context("split", finished.id));
        }
        self.progress.finished += 1;
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        self.progress.encode()
    }
}
