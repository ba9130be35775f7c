//! The source as the engine sees it.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Finding, ReaderContext, Result, Source, SourceReader, SourceState, SplitEnumerator,
    TableSchema,
};
use culvert_config::{JobMode, Options};

use crate::content::Table;
use crate::enumerator::FakeEnumerator;
use crate::options;
use crate::reader::FakeReader;
use crate::state::{Origin, Place, Progress};

/// The plugin's name as users write it.
pub const PLUGIN: &str = "FakeSource";

/// Makes rows.
#[derive(Debug)]
pub struct FakeSource {
    tables: Arc<Vec<Table>>,
    mode: JobMode,
    seed: Option<u64>,
    /// Of a fresh start: enumerator and reader ask for it one after the other.
    fresh: OnceLock<Origin>,
}

impl FakeSource {
    /// Checks the options against each other. Errors are operator errors.
    ///
    /// Rows are made once for each degree of parallelism. In a job of the mode `STREAMING` the source does
    /// not end behind its last row.
    pub fn from_options(options: &Options, parallelism: u32, mode: JobMode) -> Result<FakeSource> {
        Ok(FakeSource {
            tables: Arc::new(options::tables(options, parallelism)?),
            mode,
            seed: options.is_set("seed").then(|| options.unsigned("seed")),
            fresh: OnceLock::new(),
        })
    }

    fn schemas(&self) -> Vec<Arc<TableSchema>> {
        self.tables.iter().map(|table| Arc::clone(&table.schema)).collect()
    }

    fn progress(&self, state: Option<&SourceState>) -> Result<Progress> {
        match state {
            Some(state) => Progress::restore(state, &self.tables),
            None => {
                let origin = *self.fresh.get_or_init(|| Origin::fresh(self.seed));
                Ok(Progress::start(&self.tables, origin))
            }
        }
    }
}

#[async_trait]
impl Source for FakeSource {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn declared_tables(&self) -> Result<Option<Vec<Arc<TableSchema>>>> {
        Ok(Some(self.schemas()))
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        self.progress(state)?;
        Ok(self.schemas())
    }

    async fn enumerator(
        &self,
        _context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(FakeEnumerator::new(Arc::clone(&self.tables), self.progress(state)?)))
    }

    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let progress = self.progress(state)?;
        let place = state.map(Place::decode).transpose()?.and_then(|place| place.at);
        let ends = self.mode == JobMode::Batch;
        Ok(Box::new(FakeReader::new(Arc::clone(&self.tables), &progress, place, ends, context.progress)))
    }
}

#[cfg(test)]
mod tests;
