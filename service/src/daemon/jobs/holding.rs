//! What a running job holds: what its sinks have committed, which tables pass its edges.

use std::sync::Arc;

use culvert_api::{JobProgress, TableSchema};
use culvert_config::mask_secrets;
use culvert_engine::JobGraph;

use super::Jobs;
use crate::daemon::model::{CheckpointInfo, Committed, JobId, SinkHolding, VertexTables};
use crate::tables::{AtNode, ShownTable, follow};

/// Columns of the tables behind one vertex that are told of; the first table is told of with all it has.
const COLUMNS_TOLD_MAX: usize = 5_000;

impl Jobs {
    /// What a job has committed; nothing of one that does not run.
    pub(crate) fn committed(&self, id: JobId) -> Committed {
        let entries = self.entries();
        let running = entries.get(&id).and_then(|entry| entry.running.as_ref());
        running.map_or_else(Committed::default, |running| committed(&running.progress))
    }

    /// The tables behind every vertex of a job; of one that does not run, none of any vertex. `None`: there is no
    /// such job. Follows the tables through the graph, so it is not for an event loop.
    pub(crate) fn edges(&self, id: JobId) -> Option<Vec<VertexTables>> {
        let running = self.entries().get(&id)?.running.clone();
        let known = running.and_then(|running| Some((running.graph()?, running.progress.tables.all())));
        Some(known.map_or_else(Vec::new, |(graph, tables)| edges(&graph, tables.as_deref())))
    }
}

fn committed(progress: &JobProgress) -> Committed {
    let last_checkpoint = progress.last_checkpoint().map(|last| CheckpointInfo {
        id: last.id,
        ago_ms: last.ended.elapsed().as_millis() as u64,
        took_ms: last.took.as_millis() as u64,
        bytes: last.bytes as u64,
    });
    let of_one = |(sink, holding): (String, culvert_api::Holding)| SinkHolding {
        sink,
        committed: holding.committed,
        behind: holding.saved.saturating_sub(holding.committed.unwrap_or(0)),
        state: holding.taking.word(),
    };
    Committed { last_checkpoint, sinks: progress.sinks.all().into_iter().map(of_one).collect() }
}

/// What follows from the tables that leave the sources now.
fn edges(graph: &JobGraph, tables: Option<&[Arc<TableSchema>]>) -> Vec<VertexTables> {
    let of_source = |place: usize| {
        let all = tables?.iter();
        Some(all.filter(|table| table.source as usize == place).cloned().collect())
    };
    let sources = (0..graph.sources().len()).map(of_source).collect();
    (1..).zip(follow(graph, sources)).map(|(vertex, node)| shown(vertex, node)).collect()
}

fn shown(vertex: u32, node: AtNode) -> VertexTables {
    let error = node.error.map(|error| mask_secrets(&error.to_string()));
    let Some(all) = node.tables else { return VertexTables { vertex, tables: None, left_out: 0, error } };
    let mut told: Vec<ShownTable> = Vec::new();
    let mut columns = 0;
    for table in &all {
        columns += table.columns.len();
        if columns > COLUMNS_TOLD_MAX && !told.is_empty() {
            break;
        }
        told.push(ShownTable::of(table));
    }
    let left_out = all.len() - told.len();
    VertexTables { vertex, tables: Some(told), left_out, error }
}
