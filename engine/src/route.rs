//! The ways of rows from the sources to one sink: through transforms, and together where streams meet.
//!
//! Each way is a path: a source and the transforms behind it. A batch goes along every path of its source.
//! Where a transform gives several tables, the way forks; where tables of one id come from several paths,
//! sources or tables, their streams *meet*, and the sink sees one table (see [`meet`]).

mod conform;
mod meet;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use culvert_api::{ChangeBatch, Error, ErrorKind, Result, SchemaChange, TableId, TableSchema, Transform};

use meet::{Meeting, Strictness};

/// A transform in its place.
#[derive(Clone)]
pub struct Step {
    /// The node's name in the graph.
    pub node: String,
    /// What it does.
    pub transform: Arc<dyn Transform>,
}

/// A way from a source to a sink.
#[derive(Clone)]
pub struct Path {
    /// The source's place among the job's sources.
    pub source: u32,
    /// The source's name in the graph.
    pub from: String,
    /// What lies between, in order.
    pub steps: Vec<Step>,
}

impl Path {
    /// The path in words: `orders → only_new`.
    pub(crate) fn describe(&self) -> String {
        let mut words = self.from.clone();
        for step in &self.steps {
            words.push_str(" → ");
            words.push_str(&step.node);
        }
        words
    }
}

/// How rows of one table in one shape go on.
enum Way {
    /// To the sink.
    Out,
    /// Through a transform, with a way for each table that leaves it.
    Through { outputs: Vec<Arc<TableSchema>>, next: Vec<Way> },
}

/// Which stream: a path, and the table at its begin.
type StreamId = (usize, TableId);

/// One table on one path.
struct Stream {
    input: Arc<TableSchema>,
    way: Way,
    /// The tables that reach the sink, in order.
    leaves: Vec<Arc<TableSchema>>,
}

/// What the sink has to do.
#[derive(Debug)]
pub(crate) enum Routed {
    /// Take rows in.
    Batch(ChangeBatch),
    /// Follow a change of shape first.
    Change(SchemaChange),
}

/// The ways to one sink, with what is known of the tables on them.
pub(crate) struct Router {
    sink: String,
    paths: Vec<Path>,
    streams: HashMap<StreamId, Stream>,
    meetings: HashMap<TableId, Meeting>,
    /// Rows that transforms turned away since they were asked for, by the transform's name in the graph.
    rejected: Vec<(String, u64)>,
}

/// The tables a sink sees for these of the sources, in order of their first appearance. On the way to a first
/// start, streams that meet have to agree in every column.
///
/// # Errors
/// Operator errors of the transforms, and [`ErrorKind::Schema`] with both schemas side by side where streams
/// that meet do not fit.
pub(crate) fn tables_at(
    sink: &str,
    paths: &[Path],
    tables: &[Arc<TableSchema>],
) -> Result<Vec<Arc<TableSchema>>> {
    let mut router = Router::new(sink, paths);
    router.enter(tables, Strictness::Alike)
}

impl Router {
    pub(crate) fn new(sink: &str, paths: &[Path]) -> Router {
        Router {
            sink: sink.to_owned(),
            paths: paths.to_vec(),
            streams: HashMap::new(),
            meetings: HashMap::new(),
            rejected: Vec::new(),
        }
    }

    /// Takes the tables of the sources in; the tables that the sink sees. A restored job may stand between
    /// two streams' changes of shape, so columns may be missing on one side.
    pub(crate) fn begin(&mut self, tables: &[Arc<TableSchema>]) -> Result<Vec<Arc<TableSchema>>> {
        self.enter(tables, Strictness::ColumnsMayLack)
    }

    fn enter(
        &mut self,
        tables: &[Arc<TableSchema>],
        strictness: Strictness,
    ) -> Result<Vec<Arc<TableSchema>>> {
        let mut order: Vec<TableId> = Vec::new();
        for table in tables {
            for path in self.paths_of(table.source) {
                let leaves = self.follow(path, table)?;
                order.extend(leaves.into_iter().map(|leaf| leaf.id.clone()));
            }
        }
        let mut seen = Vec::with_capacity(order.len());
        for id in order {
            if seen.iter().any(|table: &Arc<TableSchema>| table.id == id) {
                continue;
            }
            if let Some(meeting) = self.meetings.get_mut(&id) {
                seen.push(meeting.settle(&self.sink, &self.paths, strictness)?);
            }
        }
        Ok(seen)
    }

    fn paths_of(&self, source: u32) -> Vec<usize> {
        (0..self.paths.len()).filter(|at| self.paths[*at].source == source).collect()
    }

    /// Finds the way of a table along a path, and adds it to the meetings at its ends.
    fn follow(&mut self, path: usize, table: &Arc<TableSchema>) -> Result<Vec<Arc<TableSchema>>> {
        let stream = Stream::of(&self.paths[path], table)?;
        let leaves = stream.leaves.clone();
        self.put(path, stream);
        Ok(leaves)
    }

    fn put(&mut self, path: usize, stream: Stream) {
        let id: StreamId = (path, stream.input.id.clone());
        let leaves = stream.leaves.clone();
        let old = self.streams.insert(id.clone(), stream).map(|old| old.leaves).unwrap_or_default();
        for leaf in &old {
            if let Some(meeting) = self.meetings.get_mut(&leaf.id) {
                meeting.part(&id);
            }
        }
        for leaf in &leaves {
            self.meetings.entry(leaf.id.clone()).or_default().join(&id, leaf);
        }
        self.end_meetings(&old);
    }

    fn remove(&mut self, id: &StreamId) {
        let Some(old) = self.streams.remove(id) else { return };
        for leaf in &old.leaves {
            if let Some(meeting) = self.meetings.get_mut(&leaf.id) {
                meeting.part(id);
            }
        }
        self.end_meetings(&old.leaves);
    }

    fn end_meetings(&mut self, leaves: &[Arc<TableSchema>]) {
        for leaf in leaves {
            if self.meetings.get(&leaf.id).is_some_and(Meeting::is_over) {
                self.meetings.remove(&leaf.id);
            }
        }
    }

    /// What becomes of a batch at the sink, in order.
    pub(crate) fn batch(&mut self, batch: ChangeBatch) -> Result<Vec<Routed>> {
        let mut routed = Vec::new();
        let paths = self.paths_of(batch.schema.source);
        let Some((last, others)) = paths.split_last() else { return Ok(routed) };
        for path in others {
            self.batch_on(*path, batch.clone(), &mut routed)?;
        }
        self.batch_on(*last, batch, &mut routed)?;
        Ok(routed)
    }

    fn batch_on(&mut self, path: usize, batch: ChangeBatch, routed: &mut Vec<Routed>) -> Result<()> {
        let id: StreamId = (path, batch.schema.id.clone());
        let known = self.streams.get(&id).is_some_and(|stream| {
            Arc::ptr_eq(&stream.input, &batch.schema) || *stream.input == *batch.schema
        });
        if !known {
            self.unannounced(path, &batch.schema, routed)?;
        }
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        let mut out = Vec::new();
        run(&self.paths[path].steps, &stream.way, batch, &mut out, &mut self.rejected)?;
        for batch in out {
            let Some(meeting) = self.meetings.get(&batch.schema.id) else {
                return Err(Error::new(ErrorKind::Internal, "rows of a table that nobody announced")
                    .context("table", &batch.schema.id));
            };
            routed.push(Routed::Batch(meeting.conform(batch)?));
        }
        Ok(())
    }

    /// Rows that transforms turned away since the last call.
    pub(crate) fn take_rejected(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.rejected)
    }

    fn known_leaves(&self, id: &StreamId) -> Vec<Arc<TableSchema>> {
        self.streams.get(id).map(|stream| stream.leaves.clone()).unwrap_or_default()
    }

    /// Rows show a shape that no change announced. For a stream of its own they are enough; where it meets
    /// others, the sink is told first what that changes.
    fn unannounced(&mut self, path: usize, table: &Arc<TableSchema>, routed: &mut Vec<Routed>) -> Result<()> {
        let old = self.known_leaves(&(path, table.id.clone()));
        let new = self.follow(path, table)?;
        for id in ids_of(&old, &new) {
            let before = self.meetings.get(&id).and_then(Meeting::known);
            let (Some(before), Some(after)) = (before, self.settled(&id)?) else { continue };
            let shared = self.meetings.get(&id).is_some_and(Meeting::is_shared);
            if shared && !before.is_shaped_like(&after) {
                let (before, after, statement) = (Some(before), Some(after), String::new());
                routed.push(Routed::Change(SchemaChange { before, after, statement }));
            }
        }
        Ok(())
    }

    /// What a change of a source table's shape means at the sink.
    pub(crate) fn change(&mut self, change: &SchemaChange) -> Result<Vec<Routed>> {
        let Some(source) = change.source() else { return Ok(Vec::new()) };
        let mut routed = Vec::new();
        for path in self.paths_of(source) {
            self.change_on(path, change, &mut routed)?;
        }
        Ok(routed)
    }

    fn change_on(&mut self, path: usize, change: &SchemaChange, routed: &mut Vec<Routed>) -> Result<()> {
        let new = change.after.as_ref().map(|after| Stream::of(&self.paths[path], after)).transpose()?;
        // What the sink knew, whether or not rows of the table were seen before.
        let old_id = change.before.as_ref().map(|before| (path, before.id.clone()));
        if let (Some(before), Some(id)) = (&change.before, &old_id)
            && !self.streams.contains_key(id)
        {
            for leaf in self.follow(path, before)? {
                self.settled(&leaf.id)?;
            }
        }
        let old_leaves = old_id.as_ref().map(|id| self.known_leaves(id)).unwrap_or_default();
        let new_leaves = new.as_ref().map(|stream| stream.leaves.clone()).unwrap_or_default();
        let ids = ids_of(&old_leaves, &new_leaves);
        let was: Vec<_> = ids.iter().map(|id| self.meetings.get(id).and_then(Meeting::known)).collect();
        // A statement may change what no schema shows: nothing but a transform keeps it from the sink.
        let plain = is_plain(&change.before, &old_leaves) && is_plain(&change.after, &new_leaves);
        let stays =
            change.before.as_ref().map(|before| &before.id) == change.after.as_ref().map(|after| &after.id);
        if let Some(id) = old_id.filter(|_| !stays) {
            self.remove(&id);
        }
        if let Some(stream) = new {
            self.put(path, stream);
        }
        let now = ids.iter().map(|id| self.settled(id)).collect::<Result<Vec<_>>>()?;
        let statement = || change.statement.clone();
        if let ([Some(before), None], [None, Some(after)]) = (was.as_slice(), now.as_slice()) {
            // The table has another name now, and no other stream has to do with either.
            let (before, after) = (Some(Arc::clone(before)), Some(Arc::clone(after)));
            routed.push(Routed::Change(SchemaChange { before, after, statement: statement() }));
            return Ok(());
        }
        for ((id, before), after) in ids.iter().zip(was).zip(now) {
            let alike = match (&before, &after) {
                (Some(before), Some(after)) => before.is_shaped_like(after),
                (None, None) => true,
                _ => false,
            };
            let alone = self.meetings.get(id).is_some_and(|meeting| !meeting.is_shared());
            if !alike || (plain && alone) {
                routed.push(Routed::Change(SchemaChange { before, after, statement: statement() }));
            }
        }
        Ok(())
    }

    /// The table of a meeting as of its streams now; `None` when there is none any more.
    fn settled(&mut self, id: &TableId) -> Result<Option<Arc<TableSchema>>> {
        let Some(meeting) = self.meetings.get_mut(id) else { return Ok(None) };
        meeting.settle(&self.sink, &self.paths, Strictness::ColumnsMayLack).map(Some)
    }
}

impl Stream {
    fn of(path: &Path, table: &Arc<TableSchema>) -> Result<Stream> {
        let mut leaves = Vec::new();
        let way = plan(&path.steps, table, &mut leaves)?;
        Ok(Stream { input: Arc::clone(table), way, leaves })
    }
}

/// The tables of both, each once, in order.
fn ids_of(old: &[Arc<TableSchema>], new: &[Arc<TableSchema>]) -> Vec<TableId> {
    let mut ids: Vec<TableId> = Vec::new();
    for leaf in old.iter().chain(new) {
        if !ids.contains(&leaf.id) {
            ids.push(leaf.id.clone());
        }
    }
    ids
}

/// Whether a table leaves its path as it entered.
fn is_plain(table: &Option<Arc<TableSchema>>, leaves: &[Arc<TableSchema>]) -> bool {
    match (table, leaves) {
        (Some(table), [leaf]) => Arc::ptr_eq(table, leaf) || table.is_shaped_like(leaf),
        (None, []) => true,
        _ => false,
    }
}

/// The way of a table through these steps; adds the tables at its ends.
fn plan(steps: &[Step], table: &Arc<TableSchema>, leaves: &mut Vec<Arc<TableSchema>>) -> Result<Way> {
    let Some((step, rest)) = steps.split_first() else {
        leaves.push(Arc::clone(table));
        return Ok(Way::Out);
    };
    let named = |error: Error| error.context("transform", &step.node);
    let outputs: Vec<Arc<TableSchema>> =
        step.transform.map_schema(table).map_err(named)?.into_iter().map(Arc::new).collect();
    let next = outputs.iter().map(|output| plan(rest, output, leaves)).collect::<Result<Vec<Way>>>()?;
    Ok(Way::Through { outputs, next })
}

/// Takes rows along their way.
fn run(
    steps: &[Step],
    way: &Way,
    batch: ChangeBatch,
    out: &mut Vec<ChangeBatch>,
    rejected: &mut Vec<(String, u64)>,
) -> Result<()> {
    let (Way::Through { outputs, next }, Some((step, rest))) = (way, steps.split_first()) else {
        out.push(batch);
        return Ok(());
    };
    let named = |error: Error| error.context("transform", &step.node);
    let mut turned_away = 0;
    let left = step.transform.apply_counted(batch, outputs, &mut turned_away).map_err(named)?;
    if turned_away > 0 {
        rejected.push((step.node.clone(), turned_away));
    }
    for batch in left {
        let at = outputs.iter().position(|output| Arc::ptr_eq(output, &batch.schema)).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a transform put rows out under a schema that is not its own")
                .context("transform", &step.node)
        })?;
        run(rest, &next[at], batch, out, rejected)?;
    }
    Ok(())
}
