//! Several sources as one: their events in one stream, their barriers aligned, their states in one.
//!
//! Each source works in a task of its own and knows nothing of the others. A barrier is asked for at all of
//! them; who has reached its own waits until every other has. So a checkpoint holds a place of every source,
//! and the marker of every sink names all of them.

mod feed;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Condition, Error, ErrorKind, Finding, Needs, ReaderContext, Result, Source, SourceEvent,
    SourceReader, SourceState, Split, SplitEnumerator, SplitFinished, TableSchema,
};
use tokio::task::JoinSet;
use tracing::warn;

use feed::{Feed, Labels, Step};

/// The sources of a job, each with its name in the graph.
pub(crate) struct Sources {
    sources: Vec<(String, Arc<dyn Source>)>,
    /// Their plugins.
    name: String,
}

impl Sources {
    pub(crate) fn new(sources: Vec<(String, Arc<dyn Source>)>) -> Sources {
        let plugins: Vec<&str> = sources.iter().map(|(_, source)| source.name()).collect();
        Sources { name: plugins.join(", "), sources }
    }

    /// The state of each, in order.
    fn states(&self, state: Option<&SourceState>) -> Result<Vec<Option<SourceState>>> {
        let Some(state) = state else { return Ok(vec![None; self.sources.len()]) };
        let names = self.sources.iter().map(|(name, _)| name.as_str());
        state::split(state, names).map(|states| states.into_iter().map(Some).collect())
    }
}

#[async_trait]
impl Source for Sources {
    fn name(&self) -> &str {
        &self.name
    }

    fn boundedness(&self) -> Boundedness {
        let all = self.sources.iter().all(|(_, source)| source.boundedness() == Boundedness::Bounded);
        if all { Boundedness::Bounded } else { Boundedness::Unbounded }
    }

    fn declared_tables(&self) -> Result<Option<Vec<Arc<TableSchema>>>> {
        let mut all = Vec::new();
        for (at, (_, source)) in self.sources.iter().enumerate() {
            let Some(tables) = source.declared_tables()? else { return Ok(None) };
            let mut labels = Labels::of(at)?;
            all.extend(tables.iter().map(|table| labels.table(table)));
        }
        Ok(Some(all))
    }

    fn push_down(&self, needs: Arc<dyn Needs>) {
        for (at, (_, source)) in self.sources.iter().enumerate() {
            if let Ok(at) = u32::try_from(at) {
                source.push_down(Arc::new(OfOne { at, needs: Arc::clone(&needs) }));
            }
        }
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for (name, source) in &self.sources {
            let of_one = source.check().await.map_err(|error| error.context("source", name))?;
            findings.extend(of_one);
        }
        Ok(findings)
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        let mut all = Vec::new();
        for (at, ((name, source), state)) in self.sources.iter().zip(self.states(state)?).enumerate() {
            let tables =
                source.tables(state.as_ref()).await.map_err(|error| error.context("source", name))?;
            let mut labels = Labels::of(at)?;
            all.extend(tables.iter().map(|table| labels.table(table)));
        }
        Ok(all)
    }

    async fn enumerator(
        &self,
        _context: ReaderContext,
        _state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        Ok(Box::new(InTheReader))
    }

    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let mut feeds = Vec::with_capacity(self.sources.len());
        for (at, ((name, source), state)) in self.sources.iter().zip(self.states(state)?).enumerate() {
            let opening = context.progress.waits("opening source", name);
            // What a source leaves at its server under the job's name, a replication slot, is not shared.
            let own = ReaderContext {
                job: format!("{}.{name}", context.job),
                source: name.clone(),
                ..context.clone()
            };
            let feed = Feed::open(at, name, source.as_ref(), own, state.as_ref()).await?;
            drop(opening);
            feeds.push(Place::Here(feed));
        }
        Ok(Box::new(Reader {
            names: self.sources.iter().map(|(name, _)| name.clone()).collect(),
            barriers: vec![None; feeds.len()],
            ended: vec![false; feeds.len()],
            forget: vec![None; feeds.len()],
            feeds,
            steps: JoinSet::new(),
            aligning: false,
            behind_barrier: 0,
            ready: VecDeque::new(),
            told_end: false,
        }))
    }
}

/// What is needed of one of the sources, which does not know its place among them.
struct OfOne {
    at: u32,
    needs: Arc<dyn Needs>,
}

impl Needs for OfOne {
    fn columns(&self, table: &TableSchema) -> Option<Vec<usize>> {
        self.needs.columns(&self.seen(table))
    }

    fn condition(&self, table: &TableSchema) -> Option<Condition> {
        self.needs.condition(&self.seen(table))
    }

    fn log_condition(&self, table: &TableSchema) -> Option<Condition> {
        self.needs.log_condition(&self.seen(table))
    }
}

impl OfOne {
    /// The table as the engine knows it.
    fn seen(&self, table: &TableSchema) -> TableSchema {
        TableSchema { source: self.at, ..table.clone() }
    }
}

/// Each source's splits go from its own enumerator to its own reader, inside of [`Reader`].
struct InTheReader;

#[async_trait]
impl SplitEnumerator for InTheReader {
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

/// Where a source's enumerator and reader are.
enum Place {
    /// Waiting for the next step.
    Here(Feed),
    /// In a task, at its step.
    Away,
}

/// A source has reached a barrier: its state there, and the position for people.
type Reached = (SourceState, String);

struct Reader {
    names: Vec<String>,
    feeds: Vec<Place>,
    /// The steps under way.
    steps: JoinSet<(Feed, Result<Step>)>,
    /// A barrier is under way: these have reached theirs, and wait.
    aligning: bool,
    barriers: Vec<Option<Reached>>,
    ended: Vec<bool>,
    told_end: bool,
    /// What each source may forget, to be told before its next step.
    forget: Vec<Option<SourceState>>,
    /// Bits of the sources whose first step behind a barrier is not done. A change of shape has to follow its
    /// barrier directly, so rows wait until every source has said what comes first.
    behind_barrier: u64,
    /// What waits to be returned.
    ready: VecDeque<SourceEvent>,
}

/// Sources that one job can have: a bit each.
pub(crate) const SOURCES_MAX: usize = 64;

impl Reader {
    /// Sends off every source that has something to do.
    fn send_off(&mut self) {
        for at in 0..self.feeds.len() {
            let parked = self.barriers[at].is_some()
                || (self.ended[at] && !self.aligning)
                || (self.behind_barrier != 0 && self.behind_barrier & (1 << at) == 0);
            if parked || matches!(self.feeds[at], Place::Away) {
                continue;
            }
            if let Place::Here(feed) = std::mem::replace(&mut self.feeds[at], Place::Away) {
                let (barrier, forget) = (self.aligning, self.forget[at].take());
                self.steps.spawn(feed.step(barrier, forget));
            }
        }
    }

    /// Takes a source back from its step.
    async fn take_back(&mut self) -> Result<Option<(usize, Step)>> {
        let Some(ended) = self.steps.join_next().await else { return Ok(None) };
        let (feed, step) = ended.map_err(|panic| {
            Error::new(ErrorKind::Internal, "the task of a source panicked").caused_by(panic)
        })?;
        let at = feed.at;
        let name = &self.names[at];
        self.feeds[at] = Place::Here(feed);
        let step = step.map_err(|error| error.context("source", name))?;
        Ok(Some((at, step)))
    }

    /// Every source has reached its barrier.
    fn aligned(&mut self) -> Result<SourceEvent> {
        let mut states = Vec::with_capacity(self.names.len());
        let mut positions = Vec::with_capacity(self.names.len());
        for (name, reached) in self.names.iter().zip(&mut self.barriers) {
            let Some((state, position)) = reached.take() else {
                return Err(Error::new(ErrorKind::Internal, "a barrier that a source has not reached"));
            };
            states.push((name.as_str(), state));
            positions.push(format!("{name}: {position}"));
        }
        self.aligning = false;
        self.behind_barrier =
            (0..self.feeds.len()).filter(|at| !self.ended[*at]).fold(0, |bits, at| bits | (1 << at));
        Ok(SourceEvent::Barrier { reader: state::join(&states)?, position: positions.join("; ") })
    }

    /// What a source's step came to, in the order in which the engine has to hear of it.
    fn hear(&mut self, at: usize, step: Step) -> Result<Option<SourceEvent>> {
        let first = self.behind_barrier & (1 << at) != 0;
        let event = match step {
            Step::Barrier { state, position } => {
                // It may have come without having been asked for: the others are asked now.
                self.barriers[at] = Some((state, position));
                self.behind_barrier &= !(1 << at);
                self.aligning = true;
                return if self.barriers.iter().all(Option::is_some) {
                    self.aligned().map(Some)
                } else {
                    Ok(None)
                };
            }
            Step::Event(event @ SourceEvent::SchemaChange(_)) => return Ok(Some(event)),
            Step::Event(SourceEvent::End) => {
                self.ended[at] = true;
                SourceEvent::Idle
            }
            Step::Event(event) => event,
        };
        self.behind_barrier &= !(1 << at);
        if self.ended.iter().all(|ended| *ended) && !std::mem::replace(&mut self.told_end, true) {
            self.ready.push_back(SourceEvent::End);
        }
        if first || self.behind_barrier != 0 {
            // Others may still have a change of shape to tell.
            if !matches!(event, SourceEvent::Idle) {
                self.ready.push_back(event);
            }
            return Ok(None);
        }
        Ok(Some(event))
    }
}

#[async_trait]
impl SourceReader for Reader {
    fn splits_wanted(&self) -> usize {
        0
    }

    fn add_splits(&mut self, _splits: Vec<Split>) -> Result<()> {
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        loop {
            if self.behind_barrier == 0
                && let Some(event) = self.ready.pop_front()
            {
                return Ok(event);
            }
            self.send_off();
            let Some((at, step)) = self.take_back().await? else {
                // All have ended, and nobody asked for a barrier.
                return Ok(SourceEvent::Idle);
            };
            if let Some(event) = self.hear(at, step)? {
                return Ok(event);
            }
        }
    }

    fn request_barrier(&mut self) {
        self.aligning = true;
    }

    async fn checkpoint_complete(&mut self, state: &SourceState) -> Result<()> {
        let states = state::split(state, self.names.iter().map(String::as_str))?;
        for (waiting, state) in self.forget.iter_mut().zip(states) {
            *waiting = Some(state);
        }
        Ok(())
    }

    async fn close(&mut self) {
        // A step is never dropped half-way.
        while !self.steps.is_empty() {
            if let Err(error) = self.take_back().await {
                warn!("while the sources are closed: {error}");
            }
        }
        for (place, forget) in self.feeds.iter_mut().zip(&mut self.forget) {
            if let Place::Here(feed) = std::mem::replace(place, Place::Away) {
                feed.close(forget.take()).await;
            }
        }
    }
}
