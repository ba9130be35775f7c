//! Hands parts out and remembers which are read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::{JobProgress, Result, Split, SplitEnumerator, SplitFinished};

use crate::state::{EnumeratorState, PartBody, encode};

/// The source's enumerator.
pub(crate) struct JdbcEnumerator {
    items: Vec<String>,
    waiting: VecDeque<(String, PartBody)>,
    handed_out: Vec<(String, PartBody)>,
    progress: Arc<JobProgress>,
}

impl JdbcEnumerator {
    pub(crate) fn new(state: EnumeratorState, progress: Arc<JobProgress>) -> JdbcEnumerator {
        let of = state.parts.first().map_or(0, |(_, part)| part.of);
        progress.chunks_total.store(of, Relaxed);
        progress.chunks_done.store(of.saturating_sub(state.parts.len() as u64), Relaxed);
        JdbcEnumerator { items: state.items, waiting: state.parts.into(), handed_out: Vec::new(), progress }
    }
}

#[async_trait]
impl SplitEnumerator for JdbcEnumerator {
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>> {
        let mut splits = Vec::new();
        while splits.len() < wanted
            && let Some((id, body)) = self.waiting.pop_front()
        {
            splits.push(Split { id: id.clone(), body: encode(&body)? });
            self.handed_out.push((id, body));
        }
        Ok(splits)
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        for split in splits.iter().rev() {
            if let Some(at) = self.handed_out.iter().position(|(id, _)| *id == split.id) {
                self.waiting.push_front(self.handed_out.remove(at));
            }
        }
    }

    fn split_finished(&mut self, finished: SplitFinished) -> Result<()> {
        self.handed_out.retain(|(id, _)| *id != finished.id);
        self.progress.chunks_done.fetch_add(1, Relaxed);
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        let parts = self.handed_out.iter().chain(&self.waiting).cloned().collect();
        encode(&EnumeratorState { items: self.items.clone(), parts })
    }
}
