//! `culvert plan`: the graph of a job as a picture in text, as a flowchart, or as JSON; or a job from
//! an intent.

mod json;
mod mermaid;
mod text;

use std::sync::Arc;

use culvert_api::{DeliveryContract, Error, TableSchema};
use culvert_config::{Block, JobMode, Report, Role};
use culvert_engine::{FailurePolicy, JobGraph, NodeKind};

use crate::arguments::{JobArguments, PlanFormat, PlanOptions};
use crate::intent;
use crate::job::{self, BuiltJob};
use crate::tables::{Tables, asked, declared, follow};
use crate::terminal::{answer, complain, complains_in_colour};

/// The version of the graph's form in JSON.
const VERSION: u32 = 1;

/// A job as it is shown.
struct Plan {
    job: String,
    mode: &'static str,
    delivery: DeliveryContract,
    nodes: Vec<Shown>,
    /// Whether servers were asked for their tables.
    asked: bool,
}

/// One node.
struct Shown {
    id: String,
    role: Role,
    plugin: String,
    line: Option<u32>,
    /// Of a source, how many readers work side by side. Everything behind it goes one after the other.
    parallelism: u32,
    /// Places of the nodes it reads.
    inputs: Vec<usize>,
    /// Of a sink, what it promises.
    delivery: Option<DeliveryContract>,
    holds: bool,
    /// What leaves it; of a sink, what arrives.
    tables: Tables,
    /// Why that cannot be said.
    error: Option<String>,
}

/// Shows a plan; the exit code: 0 nothing is in the way, 1 something is, 2 it cannot be read.
pub(crate) async fn print(options: PlanOptions) -> u8 {
    let (config, intended) = (options.config, options.intent);
    if let Some(path) = intended {
        if options.format == PlanFormat::Mermaid {
            complain("error: an intent has no graph to draw: plan it with -o FILE, and then plan -c FILE");
            return 2;
        }
        return intent::print(&path, options.output.as_deref(), options.format == PlanFormat::Json);
    }
    // One of the two is there: the command line's rules say so.
    let config = config.unwrap_or_default();
    let arguments = JobArguments { config, variables: options.variables, name: None, properties: Vec::new() };
    let read = job::read(&arguments, options.metadata.metadata.as_deref());
    let job = match read {
        Ok(job) => job,
        Err(problems) => {
            tell(&problems);
            return 2;
        }
    };
    tell(&job.problems);
    let Some(graph) = &job.graph else { return 1 };
    let mut plan = match of_job(&job, graph) {
        Ok(plan) => plan,
        Err(error) => {
            complain(&format!("error: {error}"));
            return 1;
        }
    };
    let mut unable = false;
    if let Err(error) = plan.find_tables(graph, options.connect).await {
        complain(&format!("error: {error}"));
        unable = true;
    }
    answer(&match options.format {
        PlanFormat::Text => text::draw(&plan),
        PlanFormat::Mermaid => mermaid::draw(&plan),
        PlanFormat::Json => json::write(&plan),
    });
    let wrong = !job.is_sound() || plan.nodes.iter().any(|node| node.error.is_some());
    if unable { 2 } else { u8::from(wrong) }
}

/// Tells of the problems of a job file, if there are any.
fn tell(problems: &[culvert_config::Problem]) {
    let mut report = Report::default();
    problems.iter().for_each(|problem| report.add(problem));
    let findings = report.findings_text(complains_in_colour());
    if !findings.is_empty() {
        complain(&findings);
    }
}

/// What the job file alone says.
fn of_job(job: &BuiltJob, graph: &JobGraph) -> Result<Plan, Error> {
    let (env, _) = job.file.settings();
    // A job that was built has a graph of its blocks.
    let blocks = job.file.graph().map(|graph| graph.nodes).unwrap_or_default();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for (node, named) in graph.nodes.iter().zip(&blocks) {
        let block = job.file.blocks(named.role).get(named.block_index);
        let (plugin, delivery) = match &node.kind {
            NodeKind::Source(source) => (source.name().to_owned(), None),
            NodeKind::Transform(transform) => (transform.name().to_owned(), None),
            NodeKind::Sink(sink) => (sink.name().to_owned(), Some(sink.contract())),
        };
        nodes.push(Shown {
            id: node.name.clone(),
            role: named.role,
            plugin,
            line: block.and_then(Block::line),
            parallelism: match named.role {
                Role::Source => block.and_then(parallelism).unwrap_or(env.parallelism),
                _ => 1,
            },
            inputs: node.inputs.clone(),
            delivery,
            holds: node.on_failure == FailurePolicy::Hold,
            tables: None,
            error: None,
        });
    }
    let mode = match env.mode {
        JobMode::Batch => "BATCH",
        JobMode::Streaming => "STREAMING",
    };
    let delivery = weakest(nodes.iter().filter_map(|node| node.delivery));
    Ok(Plan { job: job.name.clone(), mode, delivery, nodes, asked: false })
}

/// The block's own `parallelism`.
fn parallelism(block: &Block) -> Option<u32> {
    block.get("parallelism")?.scalar_text()?.parse().ok()
}

/// A job promises what the weakest of its sinks does.
fn weakest(contracts: impl Iterator<Item = DeliveryContract>) -> DeliveryContract {
    let weight = |contract: &DeliveryContract| match contract {
        DeliveryContract::ExactlyOnce => 2,
        DeliveryContract::EffectivelyOnceByKey => 1,
        DeliveryContract::AtLeastOnce => 0,
    };
    contracts.min_by_key(weight).unwrap_or(DeliveryContract::AtLeastOnce)
}

/// Tables that look alike are one, with how many streams of it there are, as behind a TableMerge.
fn merged(tables: &[Arc<TableSchema>]) -> Vec<(&TableSchema, usize)> {
    let mut merged: Vec<(&TableSchema, usize)> = Vec::new();
    for table in tables {
        match merged.iter_mut().find(|(known, _)| known.is_shaped_like(table)) {
            Some((_, streams)) => *streams += 1,
            None => merged.push((table, 1)),
        }
    }
    merged
}

impl Plan {
    /// Finds the tables on every edge: those the options tell, and with `connect` those of servers.
    async fn find_tables(&mut self, graph: &JobGraph, connect: bool) -> Result<(), Error> {
        self.asked = connect;
        let tables = if connect { asked(graph).await? } else { declared(graph)? };
        for (shown, at) in self.nodes.iter_mut().zip(follow(graph, tables)) {
            shown.tables = at.tables;
            shown.error = at.error.map(|error| match error.hint_text() {
                Some(hint) => format!("{}\n{hint}", error.without_hint()),
                None => error.without_hint(),
            });
        }
        Ok(())
    }
}
