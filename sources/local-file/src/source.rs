//! The source as the engine sees it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, Phase, ReaderContext, Result, Source, SourceReader, SourceState,
    SplitEnumerator, TableSchema,
};
use culvert_config::Options;

use crate::enumerator::FileEnumerator;
use crate::options;
use crate::plan::Plan;
use crate::reader::FileReader;
use crate::state::{Place, Progress};
use crate::table::Table;

/// The plugin's name as users write it.
pub const PLUGIN: &str = "LocalFile";

/// Reads files.
#[derive(Debug)]
pub struct LocalFileSource {
    tables: Arc<Vec<Table>>,
    /// Of the attempt: what it reads is decided once.
    plan: Mutex<Option<Arc<Plan>>>,
}

/// Runs what blocks on the disk off the event loop.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(call).await;
    ended
        .map_err(|cause| Error::new(ErrorKind::Internal, "looking for files was given up").caused_by(cause))?
}

impl LocalFileSource {
    /// Checks the options against each other; looks at no file. Errors are operator errors.
    pub fn from_options(options: &Options) -> Result<LocalFileSource> {
        Ok(LocalFileSource { tables: Arc::new(options::tables(options)?), plan: Mutex::new(None) })
    }

    fn kept(&self) -> Option<Arc<Plan>> {
        self.plan.lock().ok()?.clone()
    }

    /// Decides what this attempt reads.
    async fn decide(&self, state: Option<&SourceState>) -> Result<Arc<Plan>> {
        let tables = Arc::clone(&self.tables);
        let progress = state.map(|state| Progress::decode(&state.enumerator)).transpose()?;
        let plan = blocking(move || match progress {
            Some(progress) => Plan::restored(&tables, progress),
            None => Plan::fresh(&tables),
        });
        let plan = Arc::new(plan.await?);
        if let Ok(mut kept) = self.plan.lock() {
            *kept = Some(Arc::clone(&plan));
        }
        Ok(plan)
    }

    /// What this attempt reads.
    async fn plan(&self, state: Option<&SourceState>) -> Result<Arc<Plan>> {
        match self.kept() {
            Some(plan) => Ok(plan),
            None => self.decide(state).await,
        }
    }
}

#[async_trait]
impl Source for LocalFileSource {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn declared_tables(&self) -> Result<Option<Vec<Arc<TableSchema>>>> {
        if self.tables.iter().any(|table| table.declared.is_none() || table.partitions) {
            return Ok(None);
        }
        let schema = |table: &Table| table.shape(None, Vec::new()).map(|shape| shape.schema);
        self.tables.iter().map(schema).collect::<Result<Vec<_>>>().map(Some)
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        let tables = Arc::clone(&self.tables);
        let found = blocking(move || Plan::fresh(&tables)).await;
        Ok(match found {
            Ok(plan) if plan.progress.left.is_empty() => {
                vec![Finding::warning("path", "there is no file to read")]
            }
            Ok(_) => Vec::new(),
            Err(error) => vec![match error.hint_text() {
                Some(hint) => Finding::error("path", error.to_string()).hint(hint),
                None => Finding::error("path", error.to_string()),
            }],
        })
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        let plan = self.decide(state).await?;
        Ok(plan.shapes.iter().map(|shape| Arc::clone(&shape.schema)).collect())
    }

    async fn enumerator(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        context.progress.set_phase(Phase::Snapshot);
        Ok(Box::new(FileEnumerator::new(self.plan(state).await?.progress.clone())))
    }

    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let plan = self.plan(state).await?;
        let at = state.map(|state| Place::decode(&state.reader)).transpose()?.and_then(|place| place.at);
        Ok(Box::new(FileReader::new(plan, at, context.progress)))
    }
}

#[cfg(test)]
mod tests;
