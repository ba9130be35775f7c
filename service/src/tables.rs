//! The tables on the edges of a job's graph, as far as they are known: from options alone, or asked of the
//! sources.

mod shown;

use std::sync::Arc;

use culvert_api::{Error, Result, TableSchema, Transform};
use culvert_engine::{JobGraph, NodeKind};

pub(crate) use shown::ShownTable;

/// Tables; `None` where only a server knows them.
pub(crate) type Tables = Option<Vec<Arc<TableSchema>>>;

/// What is known at one node.
#[derive(Default)]
pub(crate) struct AtNode {
    /// What leaves it; of a sink, what arrives where all streams have met.
    pub(crate) tables: Tables,
    /// Why that cannot be.
    pub(crate) error: Option<Error>,
}

impl AtNode {
    fn of(result: Result<Vec<Arc<TableSchema>>>) -> AtNode {
        match result {
            Ok(tables) => AtNode { tables: Some(tables), error: None },
            Err(error) => AtNode { tables: None, error: Some(error) },
        }
    }
}

/// What the options of each source tell, in the order of the sources. A source whose declaration cannot be
/// read has been built, so that is an error of its own.
pub(crate) fn declared(graph: &JobGraph) -> Result<Vec<Tables>> {
    let of_one = |(name, source): (String, Arc<dyn culvert_api::Source>)| {
        source.declared_tables().map_err(|error| error.context("source", name))
    };
    graph.sources().into_iter().map(of_one).collect()
}

/// The same, and sources whose options do not tell are asked.
pub(crate) async fn asked(graph: &JobGraph) -> Result<Vec<Tables>> {
    let mut all = declared(graph)?;
    for (tables, (name, source)) in all.iter_mut().zip(graph.sources()) {
        if tables.is_none() {
            let of_one = source.tables(None).await;
            *tables = Some(of_one.map_err(|error| error.context("source", name))?);
        }
    }
    Ok(all)
}

/// Follows the tables of the sources through the graph: what is known at each of its nodes.
pub(crate) fn follow(graph: &JobGraph, sources: Vec<Tables>) -> Vec<AtNode> {
    let sources: Vec<Tables> = (0..).zip(sources).map(|(place, tables)| of_source(place, tables)).collect();
    let known: Vec<Arc<TableSchema>> = sources.iter().flatten().flatten().cloned().collect();
    // A graph that has none has been refused.
    let branches = graph.branches().map(|(_, branches)| branches).unwrap_or_default();
    let mut sources = sources.into_iter();
    let mut nodes: Vec<AtNode> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let entering = entering(&nodes, &node.inputs);
        let here = match (&node.kind, entering) {
            (NodeKind::Source(_), _) => AtNode { tables: sources.next().flatten(), error: None },
            (_, None) => AtNode::default(),
            (NodeKind::Transform(transform), Some(tables)) => AtNode::of(mapped(transform.as_ref(), &tables)),
            (NodeKind::Sink(_), Some(_)) => match branches.iter().find(|branch| branch.name == node.name) {
                Some(branch) => AtNode::of(branch.tables(&known)),
                None => AtNode::default(),
            },
        };
        nodes.push(here);
    }
    nodes
}

/// The tables with the place of their source.
fn of_source(source: u32, tables: Tables) -> Tables {
    let placed = |table: Arc<TableSchema>| Arc::new(TableSchema { source, ..(*table).clone() });
    Some(tables?.into_iter().map(placed).collect())
}

/// The tables that enter a node; `None` where one of its inputs does not tell.
fn entering(nodes: &[AtNode], inputs: &[usize]) -> Tables {
    let mut entering = Vec::new();
    for input in inputs {
        entering.extend(nodes.get(*input)?.tables.clone()?);
    }
    Some(entering)
}

fn mapped(transform: &dyn Transform, entering: &[Arc<TableSchema>]) -> Result<Vec<Arc<TableSchema>>> {
    let mut leaving = Vec::new();
    for table in entering {
        leaving.extend(transform.map_schema(table)?.into_iter().map(Arc::new));
    }
    Ok(leaving)
}
