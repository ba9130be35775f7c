//! What is kept of a job on disk, and what is derived from its definition.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use culvert_api::Error;
use culvert_config::{JobFile, JobMode, Problem, Role, Value, is_secret_key, mask_secrets, parse_variables};
use serde::{Deserialize, Serialize};

use crate::daemon::model::{Definition, JobStatus, Refusal, Vertex};
use crate::events::config::refuse_programs;
use crate::job::{self, BuiltJob};
use crate::metadata::Provider;

/// One job, as it is written to the registry at every change of its state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    /// Its name. The state folder and the markers at the sinks belong to it.
    pub(crate) name: String,
    /// What it is.
    pub(crate) definition: Definition,
    /// What it was before the last change, until that has proven itself by a checkpoint.
    #[serde(default)]
    pub(crate) before: Option<Definition>,
    /// The file of the jobs folder it comes from.
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// Its state when this was written.
    pub(crate) status: JobStatus,
    /// Why.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Who asked for the last change of its state.
    pub(crate) asked_by: String,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// When it was started last.
    #[serde(default)]
    pub(crate) started_ms: Option<u64>,
    /// When it ended.
    #[serde(default)]
    pub(crate) ended_ms: Option<u64>,
    /// Its last start had a restart point of an earlier one.
    #[serde(default)]
    pub(crate) restored: bool,
}

impl JobRecord {
    /// Whether a new process is to start it.
    pub(crate) fn is_wanted(&self) -> bool {
        match self.status {
            JobStatus::Pending
            | JobStatus::Scheduled
            | JobStatus::Running
            | JobStatus::Stalled
            | JobStatus::Degraded => true,
            // Somebody wanted it to end, and the process ended first.
            JobStatus::DoingSavepoint | JobStatus::Canceling => false,
            JobStatus::SavepointDone | JobStatus::Canceled | JobStatus::Failed | JobStatus::Finished => false,
        }
    }
}

/// What a definition says about its job, for people. No secret is in it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) mode: &'static str,
    pub(crate) delivery: &'static str,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) graph: Vec<Vertex>,
    /// What must stay the same for its restart point to fit.
    pub(crate) fingerprint: String,
}

/// A definition that was read and has no mistakes.
pub(crate) struct Sound {
    pub(crate) job: BuiltJob,
    pub(crate) described: Described,
}

/// Reads a definition; refused with every mistake in it. What it names by an id is asked for, and not kept.
pub(crate) fn read(
    definition: &Definition,
    file: Option<&str>,
    provider: Option<&Arc<Provider>>,
) -> Result<Sound, Refusal> {
    let refused = |problem: Problem| Refusal::Invalid(vec![problem]);
    let variables = parse_variables(&definition.variables).map_err(refused)?;
    let (format, name) = (definition.format.into(), definition.name.clone());
    let (path, properties) = (file.map(Path::new), &definition.properties);
    let job = job::read_kept(&definition.text, format, path, &variables, name, properties, provider)
        .map_err(Refusal::Invalid)?;
    refuse_programs(&job.listeners).map_err(refused)?;
    let described = match &job.graph {
        Some(graph) if job.is_sound() => Described {
            mode: mode(&job.file),
            delivery: job::delivery(graph),
            env: env(&job.file),
            graph: vertices(&job.file),
            fingerprint: job::fingerprint(graph)?,
        },
        // Warnings as well: a key that nobody knows is often why another is missing.
        _ => return Err(Refusal::Invalid(job.problems)),
    };
    Ok(Sound { job, described })
}

fn mode(file: &JobFile) -> &'static str {
    match file.settings().0.mode {
        JobMode::Batch => "BATCH",
        JobMode::Streaming => "STREAMING",
    }
}

fn env(file: &JobFile) -> BTreeMap<String, String> {
    let shown = |leaf: &culvert_config::Leaf<'_>| match leaf.value {
        _ if is_secret_key(&leaf.path) => "******".to_owned(),
        Value::Null => String::new(),
        // A list or an empty block; `Debug` hides what is secret in it.
        value => value.scalar_text().map_or_else(|| format!("{value:?}"), mask_secrets),
    };
    file.env.leaves().iter().map(|leaf| (leaf.path.clone(), shown(leaf))).collect()
}

/// The graph of a job whose blocks make one.
fn vertices(file: &JobFile) -> Vec<Vertex> {
    let nodes = file.graph().map(|graph| graph.nodes).unwrap_or_default();
    let number = |place: usize| u32::try_from(place + 1).unwrap_or(u32::MAX);
    let vertex = |(place, node): (usize, &culvert_config::Node)| Vertex {
        id: number(place),
        role: match node.role {
            Role::Source => "source",
            Role::Transform => "transform",
            _ => "sink",
        },
        plugin: file.blocks(node.role).get(node.block_index).map_or("", |block| &block.plugin).to_owned(),
        inputs: node.inputs.iter().map(|input| number(*input)).collect(),
    };
    nodes.iter().enumerate().map(vertex).collect()
}

/// What an error says when a job ends with it.
pub(crate) fn reason_of(error: &Error) -> String {
    mask_secrets(&error.to_string())
}
