//! A job as a graph: which source feeds which transforms and sinks.

use std::sync::Arc;

use culvert_api::{
    DeliveryContract, Error, ErrorKind, Result, Severity, Sink, Source, SpoolItem, TableSchema, Transform,
};

use crate::route::{Path, Step, tables_at};
use crate::sources::{SOURCES_MAX, Sources};

/// Ways from sources to one sink: forks that meet again multiply.
const PATHS_MAX: usize = 1024;

/// What a node does.
#[derive(Clone)]
pub enum NodeKind {
    /// Emits rows.
    Source(Arc<dyn Source>),
    /// Changes rows.
    Transform(Arc<dyn Transform>),
    /// Takes rows in.
    Sink(Arc<dyn Sink>),
}

/// What a sink's failure does to the others of its job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The attempt ends, and starts over where that helps.
    #[default]
    Stop,
    /// The others go on; what the sink lacks is kept until it is there again.
    Hold,
}

/// One node.
#[derive(Clone)]
pub struct Node {
    /// Unique in the job; a sink's name is part of its commit marker.
    pub name: String,
    /// What it does.
    pub kind: NodeKind,
    /// Indices of the nodes whose rows enter here.
    pub inputs: Vec<usize>,
    /// Of a sink, what its failure does.
    pub on_failure: FailurePolicy,
}

/// The nodes of a job; every input stands before the node that reads it.
#[derive(Clone)]
pub struct JobGraph {
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// The ways from the sources to one sink.
#[derive(Clone)]
pub struct Branch {
    /// The sink's name.
    pub name: String,
    /// The ways, at least one.
    pub paths: Vec<Path>,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// What its failure does.
    pub on_failure: FailurePolicy,
}

impl Branch {
    /// Whether rows and marker share an atomic unit there.
    pub fn is_exact(&self) -> bool {
        self.sink.contract() == DeliveryContract::ExactlyOnce
    }

    /// Whether an item comes from a source that is read here.
    pub(crate) fn takes(&self, item: &SpoolItem) -> bool {
        let source = match item {
            SpoolItem::Batch(batch) => Some(batch.schema.source),
            SpoolItem::SchemaChange(change) => change.source(),
        };
        self.paths.iter().any(|path| Some(path.source) == source)
    }

    /// The tables that reach the sink for these of the sources.
    ///
    /// # Errors
    /// What transforms refuse, and [`ErrorKind::Schema`] with both schemas side by side where streams that
    /// meet here do not have the same columns.
    pub fn tables(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Arc<TableSchema>>> {
        tables_at(&self.name, &self.paths, tables)
    }
}

impl JobGraph {
    /// Lowers the graph to its source, which stands for all of them, and one branch per sink. What cannot run
    /// is refused by node name: more ways to a sink than [`PATHS_MAX`], a sink to be held that cannot tell
    /// where it stands.
    pub fn branches(&self) -> Result<(Arc<dyn Source>, Vec<Branch>)> {
        let sources = self.sources();
        let mut branches = Vec::new();
        for node in &self.nodes {
            let NodeKind::Sink(sink) = &node.kind else { continue };
            let mut paths = Vec::new();
            self.ways_to(node, &node.name, &mut Vec::new(), &mut paths)?;
            // Rows of one batch take their ways in the order of the file.
            paths.sort_by_key(|path| path.source);
            let (name, sink) = (node.name.clone(), Arc::clone(sink));
            let branch = Branch { name, paths, sink, on_failure: node.on_failure };
            if branch.on_failure == FailurePolicy::Hold && !branch.is_exact() {
                return Err(unsupported(&branch.name, "holding a sink that is not exactly-once"));
            }
            branches.push(branch);
        }
        if branches.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the job has no sink"));
        }
        match sources.as_slice() {
            [] => Err(Error::new(ErrorKind::Config, "the job has no source")),
            [(_, source)] => Ok((Arc::clone(source), branches)),
            several => {
                if several.len() > SOURCES_MAX {
                    let message = format!("a job of more than {SOURCES_MAX} sources is not supported");
                    return Err(
                        Error::new(ErrorKind::Unsupported, message).hint("part the file into several jobs")
                    );
                }
                if let Some((name, _)) = several.iter().find(|(_, source)| source.group().is_some()) {
                    return Err(unsupported(name, "a source that processes share, beside other sources,")
                        .hint("use a job of its own for it"));
                }
                Ok((Arc::new(Sources::new(sources)), branches))
            }
        }
    }

    /// The sources with their names, in the order of the file; a table's `source` is a place among them.
    pub fn sources(&self) -> Vec<(String, Arc<dyn Source>)> {
        let source = |node: &Node| match &node.kind {
            NodeKind::Source(source) => Some((node.name.clone(), Arc::clone(source))),
            _ => None,
        };
        self.nodes.iter().filter_map(source).collect()
    }

    /// Follows the inputs of a node back to the sources; `steps` lie behind it, in reverse.
    fn ways_to(&self, node: &Node, sink: &str, steps: &mut Vec<Step>, paths: &mut Vec<Path>) -> Result<()> {
        for input in &node.inputs {
            let (at, input) = (*input, self.nodes.get(*input));
            let input = input
                .ok_or_else(|| Error::new(ErrorKind::Internal, "an edge of the job graph leads nowhere"))?;
            match &input.kind {
                NodeKind::Source(_) => {
                    if paths.len() == PATHS_MAX {
                        return Err(unsupported(sink, &format!("more than {PATHS_MAX} ways to one sink")));
                    }
                    let before = self.nodes.iter().take(at);
                    let before = before.filter(|node| matches!(node.kind, NodeKind::Source(_))).count();
                    let source = u32::try_from(before).unwrap_or(u32::MAX);
                    let steps = steps.iter().rev().cloned().collect();
                    paths.push(Path { source, from: input.name.clone(), steps });
                }
                NodeKind::Transform(transform) => {
                    steps.push(Step { node: input.name.clone(), transform: Arc::clone(transform) });
                    // Inputs stand before their readers, so this ends.
                    self.ways_to(input, sink, steps, paths)?;
                    steps.pop();
                }
                NodeKind::Sink(_) => return Err(unsupported(&node.name, "reading from a sink")),
            }
        }
        Ok(())
    }
}

/// Whether these sinks can stand apart after a crash, so that what lies between them has to be kept: see
/// [`culvert_api::spool`].
pub fn needs_spool(branches: &[Branch]) -> bool {
    let exact = branches.iter().filter(|branch| branch.is_exact()).count();
    let held = branches.iter().any(|branch| branch.on_failure == FailurePolicy::Hold);
    exact > 1 || (held && branches.len() > 1)
}

/// A new job whose targets do not fit is refused before anything is written anywhere.
pub async fn refuse_unfit_targets(branches: &[Branch], tables: &[Arc<TableSchema>]) -> Result<()> {
    for branch in branches {
        let mapped = branch.tables(tables)?;
        let findings = branch.sink.check(&mapped).await?;
        let mut errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
        let Some(first) = errors.next() else { continue };
        let message = match first.message.contains(&first.subject) {
            true => first.message,
            false => format!("{}: {}", first.subject, first.message),
        };
        let more = match errors.count() {
            0 => String::new(),
            count => format!(" (and {count} more: run culvert check --connect)"),
        };
        let error = Error::new(ErrorKind::Schema, message + &more).context("sink", &branch.name);
        return Err(match first.hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    Ok(())
}

fn unsupported(node: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported")).context("node", node)
}
