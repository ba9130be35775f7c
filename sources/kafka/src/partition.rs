//! One partition as a source: it has one split, which is all of it.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, ReaderContext, Result, Source, SourceReader, SourceState, Split,
    SplitEnumerator, SplitFinished, TableSchema,
};
use serde::{Deserialize, Serialize};

use crate::memory::GroupStore;
use crate::options::Settings;
use crate::reader::PartitionReader;
use crate::source::PLUGIN;

/// Where a partition's reader is; a share's source state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Of the next message to read.
    pub(crate) offset: i64,
}

impl Place {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a place in a topic was not written").caused_by(cause)
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Place> {
        serde_json::from_slice(bytes).map_err(|cause| {
            Error::new(ErrorKind::Corrupt, "the restart point is no place in a topic").caused_by(cause)
        })
    }

    pub(crate) fn state(&self) -> Result<SourceState> {
        Ok(SourceState { enumerator: Vec::new(), reader: self.encode()? })
    }
}

/// A partition.
pub(crate) struct Partition {
    pub(crate) settings: Arc<Settings>,
    pub(crate) group: String,
    /// Where it begins without a state.
    pub(crate) begins: Place,
    pub(crate) store: Arc<GroupStore>,
}

impl Partition {
    /// Where to read on.
    fn place(&self, state: Option<&SourceState>) -> Result<Place> {
        let Some(state) = state else { return Ok(self.begins.clone()) };
        let place = Place::decode(&state.reader)?;
        let ours = &self.begins;
        if (&place.topic, place.partition) == (&ours.topic, ours.partition) {
            return Ok(place);
        }
        let message = format!(
            "the sink holds what job read from {}/{}, and it is to read {}/{}",
            place.topic, place.partition, ours.topic, ours.partition
        );
        Err(Error::new(ErrorKind::StateMismatch, message)
            .hint("give the job another name, or start over with --fresh, which forgets the commit markers"))
    }
}

#[async_trait]
impl Source for Partition {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        self.place(state)?;
        Ok(vec![Arc::clone(self.settings.schema())])
    }

    async fn enumerator(
        &self,
        _context: ReaderContext,
        _state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(Whole))
    }

    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let place = self.place(state)?;
        let reader = PartitionReader::open(&self.settings, &self.group, place, &self.store, context);
        Ok(Box::new(reader.await?))
    }
}

/// The reader has it all from the start.
struct Whole;

#[async_trait]
impl SplitEnumerator for Whole {
    async fn next_splits(&mut self, _wanted: usize) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }

    fn add_splits_back(&mut self, _splits: Vec<Split>) {}

    fn split_finished(&mut self, _finished: SplitFinished) -> Result<()> {
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}
