//! One of several sources: its enumerator and its reader, a step at a time.

use std::collections::HashMap;
use std::sync::Arc;

use culvert_api::failpoint::pass;
use culvert_api::{
    Error, ErrorKind, JobProgress, ReaderContext, Result, SchemaChange, Source, SourceEvent, SourceReader,
    SourceState, SplitEnumerator, TableId, TableSchema,
};
use tracing::warn;

use super::SOURCES_MAX;

/// A source at work.
pub(super) struct Feed {
    /// Its place among the sources.
    pub(super) at: usize,
    name: String,
    enumerator: Box<dyn SplitEnumerator>,
    reader: Box<dyn SourceReader>,
    labels: Labels,
    progress: Arc<JobProgress>,
}

/// What a step came to.
pub(super) enum Step {
    /// Something to pass on, never a barrier.
    Event(SourceEvent),
    /// It has reached a barrier.
    Barrier { state: SourceState, position: String },
}

impl Feed {
    pub(super) async fn open(
        at: usize,
        name: &str,
        source: &dyn Source,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Feed> {
        let named = |error: Error| error.context("source", name);
        let progress = Arc::clone(&context.progress);
        let enumerator = source.enumerator(context.clone(), state).await.map_err(named)?;
        let reader = source.reader(context, state).await.map_err(named)?;
        Ok(Feed { at, name: name.to_owned(), enumerator, reader, labels: Labels::of(at)?, progress })
    }

    /// One step: tells the source what it may forget and that a barrier is wanted, hands it splits, and
    /// waits for what comes next.
    pub(super) async fn step(mut self, barrier: bool, forget: Option<SourceState>) -> (Feed, Result<Step>) {
        let step = self.work(barrier, forget).await;
        (self, step)
    }

    async fn work(&mut self, barrier: bool, forget: Option<SourceState>) -> Result<Step> {
        if let Some(state) = forget {
            self.reader.checkpoint_complete(&state).await?;
        }
        if barrier {
            self.reader.request_barrier();
        }
        let wanted = self.reader.splits_wanted();
        if wanted > 0 {
            let waiting = self.progress.waits("planning splits of source", &self.name);
            let splits = self.enumerator.next_splits(wanted).await?;
            drop(waiting);
            if !splits.is_empty() {
                pass("engine.enumerate.before")?;
                self.reader.add_splits(splits)?;
                pass("engine.enumerate.after")?;
            }
        }
        let waiting = self.progress.waits("reading from source", &self.name);
        let event = self.reader.next().await?;
        drop(waiting);
        Ok(match event {
            SourceEvent::Barrier { reader, position } => {
                let enumerator = self.enumerator.snapshot_state()?;
                Step::Barrier { state: SourceState { enumerator, reader }, position }
            }
            SourceEvent::SplitFinished(finished) => {
                self.enumerator.split_finished(finished.clone())?;
                Step::Event(SourceEvent::SplitFinished(finished))
            }
            SourceEvent::Batch(mut batch) => {
                batch.schema = self.labels.table(&batch.schema);
                Step::Event(SourceEvent::Batch(batch))
            }
            SourceEvent::SchemaChange(change) => {
                let mut label =
                    |table: Option<Arc<TableSchema>>| table.map(|table| self.labels.table(&table));
                let before = label(change.before);
                let after = label(change.after);
                let statement = change.statement;
                Step::Event(SourceEvent::SchemaChange(SchemaChange { before, after, statement }))
            }
            event @ (SourceEvent::Idle | SourceEvent::End) => Step::Event(event),
        })
    }

    pub(super) async fn close(mut self, forget: Option<SourceState>) {
        if let Some(state) = forget
            && let Err(error) = self.reader.checkpoint_complete(&state).await
        {
            warn!(source = self.name, "the source was not told what it may forget: {error}");
        }
        self.reader.close().await;
    }
}

/// Writes into schemas which source they come from. Each table's newest one is kept, so that the same schema
/// gives the same answer.
pub(super) struct Labels {
    source: u32,
    known: HashMap<TableId, (Arc<TableSchema>, Arc<TableSchema>)>,
}

impl Labels {
    /// # Errors
    /// [`ErrorKind::Unsupported`] past [`SOURCES_MAX`].
    pub(super) fn of(at: usize) -> Result<Labels> {
        match u32::try_from(at) {
            Ok(source) if at < SOURCES_MAX => Ok(Labels { source, known: HashMap::new() }),
            _ => {
                let message = format!("a job of more than {SOURCES_MAX} sources is not supported");
                Err(Error::new(ErrorKind::Unsupported, message).hint("part the file into several jobs"))
            }
        }
    }

    pub(super) fn table(&mut self, table: &Arc<TableSchema>) -> Arc<TableSchema> {
        if table.source == self.source {
            return Arc::clone(table);
        }
        if let Some((plain, labelled)) = self.known.get(&table.id)
            && Arc::ptr_eq(plain, table)
        {
            return Arc::clone(labelled);
        }
        let labelled = Arc::new(TableSchema { source: self.source, ..(**table).clone() });
        self.known.insert(table.id.clone(), (Arc::clone(table), Arc::clone(&labelled)));
        labelled
    }
}
