//! A job as a graph: which source feeds which transforms and sinks.

use std::sync::Arc;

use culvert_api::{
    DeliveryContract, Error, ErrorKind, Result, Severity, Sink, Source, TableSchema, Transform,
};

/// What a node does.
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
pub struct JobGraph {
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// The way from the source to one sink.
#[derive(Clone)]
pub struct Branch {
    /// The sink's name.
    pub name: String,
    /// The transforms in order.
    pub transforms: Vec<Arc<dyn Transform>>,
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

    /// The schema that reaches the sink for a schema of the source.
    pub fn map_schema(&self, schema: &Arc<TableSchema>) -> Result<Arc<TableSchema>> {
        let mut schema = Arc::clone(schema);
        for transform in &self.transforms {
            schema = Arc::new(transform.map_schema(&schema)?);
        }
        Ok(schema)
    }

    /// [`Branch::map_schema`] of each.
    pub fn map_schemas(&self, schemas: &[Arc<TableSchema>]) -> Result<Vec<Arc<TableSchema>>> {
        schemas.iter().map(|schema| self.map_schema(schema)).collect()
    }
}

impl JobGraph {
    /// Lowers the graph to its source and one branch per sink. What this version cannot run is
    /// refused by node name: several sources, several inputs to one node, a sink to be held that
    /// cannot tell where it stands.
    pub fn branches(&self) -> Result<(Arc<dyn Source>, Vec<Branch>)> {
        let mut source = None;
        let mut branches = Vec::new();
        for node in &self.nodes {
            match &node.kind {
                NodeKind::Source(one) => {
                    if source.replace(Arc::clone(one)).is_some() {
                        return Err(unsupported(&node.name, "a second source in one job"));
                    }
                }
                NodeKind::Transform(_) => {}
                NodeKind::Sink(sink) => {
                    let transforms = self.way_to(node)?;
                    let (name, sink) = (node.name.clone(), Arc::clone(sink));
                    let branch = Branch { name, transforms, sink, on_failure: node.on_failure };
                    if branch.on_failure == FailurePolicy::Hold && !branch.is_exact() {
                        return Err(unsupported(&branch.name, "holding a sink that is not exactly-once"));
                    }
                    branches.push(branch);
                }
            }
        }
        match source {
            Some(source) if !branches.is_empty() => Ok((source, branches)),
            Some(_) => Err(Error::new(ErrorKind::Config, "the job has no sink")),
            None => Err(Error::new(ErrorKind::Config, "the job has no source")),
        }
    }

    fn way_to(&self, sink: &Node) -> Result<Vec<Arc<dyn Transform>>> {
        let mut transforms = Vec::new();
        let mut node = sink;
        // Inputs stand before their readers, so this ends.
        loop {
            let [input] = node.inputs.as_slice() else {
                return Err(unsupported(&node.name, "a node without exactly one input"));
            };
            node = self
                .nodes
                .get(*input)
                .ok_or_else(|| Error::new(ErrorKind::Internal, "an edge of the job graph leads nowhere"))?;
            match &node.kind {
                NodeKind::Source(_) => break,
                NodeKind::Transform(transform) => transforms.push(Arc::clone(transform)),
                NodeKind::Sink(_) => return Err(unsupported(&node.name, "reading from a sink")),
            }
        }
        transforms.reverse();
        Ok(transforms)
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
        let mapped = branch.map_schemas(tables)?;
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
    Error::new(ErrorKind::Unsupported, format!("{what} is not supported yet")).context("node", node)
}
