//! From a job file to a job that can run.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use culvert_api::{Boundedness, DeliveryContract, Error, ErrorKind, Sink, Source};
use culvert_config::{
    Block, ENV_OPTIONS, Format, JobFile, JobMode, JobSettings, Options, Problem, ProblemKind, Role,
    Variables, parse_variables, survey, survey_text,
};
use culvert_engine::{
    Branch, FailurePolicy, JobGraph, Node, NodeKind, ReadLimit, Settings, fit, refuse_unfit_targets,
};

use crate::arguments::JobArguments;
use crate::blame::refused;
use crate::connectors::{Build, Plugin, find};
use crate::events::config::{self, Listener};
use crate::for_tables::{for_tables, resolve};
use crate::metadata::named::Named;
use crate::metadata::renewed::{RenewedSink, RenewedSource};
use crate::metadata::{Provider, waiting};
use crate::tables::{AtNode, Tables, declared, follow};

/// A job that was read and built, and what was found on the way.
pub(crate) struct BuiltJob {
    pub(crate) name: String,
    pub(crate) file: JobFile,
    pub(crate) settings: Settings,
    pub(crate) problems: Vec<Problem>,
    /// Who is told of its events.
    pub(crate) listeners: Vec<Listener>,
    /// `None` when a block, a name or an option is wrong. With it there can still be tables that do not fit,
    /// see [`BuiltJob::is_sound`].
    pub(crate) graph: Option<JobGraph>,
}

impl BuiltJob {
    /// Whether nothing that was found keeps the job from running.
    pub(crate) fn is_sound(&self) -> bool {
        !self.problems.iter().any(Problem::is_error)
    }
}

/// Reads the job file; `metadata` is a file with the metadata provider of a job that has none of its own. `Err`: it
/// could not be read or understood as a whole.
pub(crate) fn read(arguments: &JobArguments, metadata: Option<&Path>) -> Result<BuiltJob, Vec<Problem>> {
    let variables = parse_variables(&arguments.variables).map_err(|problem| vec![problem])?;
    let file = survey(&arguments.config, &variables).map_err(|errors| errors.0)?;
    let provider = Provider::of_job(&file, metadata)?;
    built(file, arguments.name.clone(), &arguments.properties, provider.as_ref())
}

/// Reads a job that is kept or was sent as text: from `file` of the jobs folder, else without a file of its
/// own. `provider` is the service's.
pub(crate) fn read_kept(
    text: &str,
    format: Format,
    file: Option<&Path>,
    variables: &[(String, String)],
    name: Option<String>,
    properties: &[String],
    provider: Option<&Arc<Provider>>,
) -> Result<BuiltJob, Vec<Problem>> {
    let read = match file {
        Some(path) => JobFile::parse(text, path, format, &Variables::new(variables).map_err(|it| vec![it])?),
        None => survey_text(text, Path::new("job.conf"), format, variables),
    };
    let file = read.map_err(|errors| errors.0)?;
    let own = file.env.inside("metadata");
    if !own.entries.is_empty() {
        let message = "option 'metadata' of env has no place in a service: it has its own metadata provider";
        let problem = Problem::error(ProblemKind::Conflict, own.place, "metadata", message);
        return Err(vec![problem.hint("remove it; the service's file may have a block 'metadata'")]);
    }
    built(file, name, properties, provider)
}

/// Reads a job file that is not written yet; `path` is for messages.
pub(crate) fn read_text(text: &str, path: &Path) -> Result<BuiltJob, Vec<Problem>> {
    let variables = Variables::new(&[]).map_err(|problem| vec![problem])?;
    let file = JobFile::parse(text, path, Format::Hocon, &variables).map_err(|errors| errors.0)?;
    built(file, None, &[], None)
}

fn built(
    file: JobFile,
    name: Option<String>,
    properties: &[String],
    provider: Option<&Arc<Provider>>,
) -> Result<BuiltJob, Vec<Problem>> {
    let defined = config::defined(properties)?;
    let (env, mut problems) = file.settings();
    let (listeners, found) = listeners(&file);
    problems.extend(found);
    problems.extend(file.errors.iter().chain(&file.warnings).cloned());
    let name = name.or_else(|| env.name.clone()).unwrap_or_else(|| default_name(&file));
    let graph = waiting(|| build(&file, &env, provider, &mut problems));
    let listeners = config::with_defined(listeners, defined);
    Ok(BuiltJob { name, settings: settings(&env), file, problems, listeners, graph })
}

/// The listeners of the job file, and what is wrong with them.
fn listeners(file: &JobFile) -> (Vec<Listener>, Vec<Problem>) {
    const NAME: &str = "event.listeners";
    // What is wrong with `env` itself is told by its settings.
    let (env, _) = Options::resolve(&file.env, ENV_OPTIONS);
    config::read(NAME, env.objects(NAME), env.place(NAME))
}

/// The name of a job that neither its file nor its user gives one: the file's.
pub(crate) fn name_of_file(arguments: &JobArguments) -> Option<String> {
    if arguments.name.is_some() {
        return arguments.name.clone();
    }
    let variables = parse_variables(&arguments.variables).ok()?;
    // A file that is not understood here is judged by whoever runs it.
    let file = survey(&arguments.config, &variables).ok()?;
    match file.settings().0.name {
        Some(_) => None,
        None => Some(default_name(&file)),
    }
}

/// The job file's own name, without folder and ending.
fn default_name(file: &JobFile) -> String {
    file.path.file_stem().map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The limits on reading, as the job file has them now: rows and bytes in a second.
pub(crate) fn read_limits(arguments: &JobArguments) -> Result<(u64, u64), Vec<Problem>> {
    let variables = parse_variables(&arguments.variables).map_err(|problem| vec![problem])?;
    let file = culvert_config::load(&arguments.config, &variables).map_err(|errors| errors.0)?;
    let (env, mut problems) = file.settings();
    problems.retain(Problem::is_error);
    if problems.is_empty() { Ok((env.rows_per_second_max, env.bytes_per_second_max)) } else { Err(problems) }
}

fn settings(env: &JobSettings) -> Settings {
    let millis = Duration::from_millis;
    let defaults = Settings::default();
    let flush_after_idle = match env.flush_interval_ms {
        0 => defaults.flush_after_idle,
        set => millis(set),
    };
    Settings {
        flush_after_idle,
        read_limit: ReadLimit::new(env.rows_per_second_max, env.bytes_per_second_max),
        checkpoint_interval: millis(env.checkpoint_interval_ms),
        checkpoint_min_pause: millis(env.checkpoint_min_pause_ms),
        checkpoint_warn_after: millis(env.checkpoint_timeout_ms.max(1)),
        retry_budget: env.retry_times,
        retry_initial: millis(env.retry_interval_ms.max(1)),
        spool_bytes_max: env.spool_bytes_max,
        lag_over: Some(millis(env.lag_threshold_ms)).filter(|limit| !limit.is_zero()),
        slot_retention_over: Some(env.slot_retention_threshold).filter(|limit| *limit > 0),
        stall_after: millis(env.stall_timeout_ms.max(100)),
        ..defaults
    }
}

fn build(
    file: &JobFile,
    env: &JobSettings,
    provider: Option<&Arc<Provider>>,
    problems: &mut Vec<Problem>,
) -> Option<JobGraph> {
    let graph = match file.graph() {
        _ if !file.errors.is_empty() => {
            check_options(file, provider, problems);
            return None;
        }
        Ok(graph) => graph,
        Err(found) => {
            problems.extend(found);
            check_options(file, provider, problems);
            return None;
        }
    };
    problems.extend(graph.warnings);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    let mut built: Vec<&Block> = Vec::with_capacity(graph.nodes.len());
    for node in graph.nodes {
        let blocks = match node.role {
            Role::Source => &file.sources,
            Role::Transform => &file.transforms,
            _ => &file.sinks,
        };
        let Some(block) = blocks.get(node.block_index) else { continue };
        let plugin = match find(block) {
            Ok(plugin) => plugin,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let (named, laid) = match laid(block, plugin, provider) {
            Ok(laid) => laid,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        let (options, found) = resolve(&laid, plugin);
        let failed = found.iter().any(Problem::is_error);
        problems.extend(match &named {
            Some(named) => named.explained(found),
            None => found,
        });
        if failed {
            continue;
        }
        let kind = made(&laid, plugin, &options, env).map(|kind| match named {
            Some(named) => renewed(named, laid.into_owned(), plugin, env, kind),
            None => kind,
        });
        match kind {
            Ok(kind) => {
                if let NodeKind::Source(source) = &kind
                    && env.mode == JobMode::Batch
                    && source.boundedness() == Boundedness::Unbounded
                {
                    problems.push(batch_mode(block, plugin.name));
                }
                let on_failure = match options.enum_value("failure.policy") {
                    "hold" => FailurePolicy::Hold,
                    _ => FailurePolicy::Stop,
                };
                if on_failure == FailurePolicy::Hold
                    && let Some(problem) = unfit_to_hold(block, plugin.name, &kind)
                {
                    problems.push(problem);
                }
                built.push(block);
                nodes.push(Node { name: node.id, kind, inputs: node.inputs, on_failure });
            }
            Err(error) => problems.push(refused(block, &error)),
        }
    }
    if problems.iter().any(Problem::is_error) {
        return None;
    }
    let graph = JobGraph { nodes };
    let lowered = graph.branches().and_then(|(source, branches)| fit(source.as_ref(), &branches));
    if let Err(error) = lowered {
        problems.push(refused(&file.env, &error));
        return None;
    }
    match declared(&graph) {
        Ok(tables) => problems.extend(unfit(&graph, &built, tables)),
        Err(error) => problems.extend(built.first().map(|block| refused(block, &error))),
    }
    Some(graph)
}

/// What a block names at the metadata provider, and the block with what that gives.
fn laid<'b>(
    block: &'b Block,
    plugin: &Plugin,
    provider: Option<&Arc<Provider>>,
) -> Result<(Option<Named>, Cow<'b, Block>), Vec<Problem>> {
    Ok(match Named::of(block, plugin, provider).map_err(|problem| vec![problem])? {
        None => (None, Cow::Borrowed(block)),
        Some(named) => {
            let laid = named.laid()?;
            (Some(named), Cow::Owned(laid))
        }
    })
}

/// Builds the plugin of a block whose options have no mistakes.
fn made(block: &Block, plugin: &Plugin, options: &Options, env: &JobSettings) -> Result<NodeKind, Error> {
    match plugin.build {
        Build::Source(build) => build(options, &of_source(env, options)).map(NodeKind::Source),
        Build::Transform(build) => for_tables(block, plugin, options, build).map(NodeKind::Transform),
        Build::Sink(build) => build(options).map(NodeKind::Sink),
    }
}

/// The same, asking for its options again at every attempt.
fn renewed(
    named: Named,
    laid: Block,
    plugin: &'static Plugin,
    env: &JobSettings,
    kind: NodeKind,
) -> NodeKind {
    let env = env.clone();
    let again = move |block: &Block| {
        let (options, found) = resolve(block, plugin);
        match found.iter().find(|problem| problem.is_error()) {
            Some(problem) => Err(Error::new(ErrorKind::Config, problem.to_string())),
            None => made(block, plugin, &options, &env),
        }
    };
    let other = || Error::new(ErrorKind::Internal, "a plugin became another one");
    match kind {
        NodeKind::Source(source) => {
            let make = move |block: &Block| match again(block)? {
                NodeKind::Source(source) => Ok(source),
                NodeKind::Transform(_) | NodeKind::Sink(_) => Err(other()),
            };
            NodeKind::Source(Arc::new(RenewedSource::new(named, laid, source, Box::new(make))))
        }
        NodeKind::Sink(sink) => {
            let make = move |block: &Block| match again(block)? {
                NodeKind::Sink(sink) => Ok(sink),
                NodeKind::Source(_) | NodeKind::Transform(_) => Err(other()),
            };
            NodeKind::Sink(Arc::new(RenewedSink::new(named, laid, sink, Box::new(make))))
        }
        transform @ NodeKind::Transform(_) => transform,
    }
}

/// The settings of the job as a source is to take them: its own `parallelism` counts.
fn of_source(env: &JobSettings, options: &Options) -> JobSettings {
    let own = options.opt_int("parallelism").and_then(|own| u32::try_from(own).ok());
    JobSettings { parallelism: own.unwrap_or(env.parallelism), ..env.clone() }
}

/// The nodes that these tables of the sources do not fit; `blocks` are those of the nodes.
fn unfit(graph: &JobGraph, blocks: &[&Block], tables: Vec<Tables>) -> Vec<Problem> {
    let nodes = follow(graph, tables).into_iter().zip(&graph.nodes).zip(blocks);
    let problem = |((at, node), block): ((AtNode, &Node), &&Block)| {
        let problem = refused(block, &at.error?);
        // What a sink is asked about here is only whether the streams that meet there fit.
        Some(match node.kind {
            NodeKind::Sink(_) => problem
                .known_as("Transform/Sink don't support processing data with two different structures."),
            _ => problem,
        })
    };
    nodes.filter_map(problem).collect()
}

/// The nodes of a job that was built which these tables do not fit.
pub(crate) fn unfit_tables(job: &BuiltJob, graph: &JobGraph, tables: Vec<Tables>) -> Vec<Problem> {
    // A job that was built has a graph of its blocks, in the same order.
    let nodes = job.file.graph().map(|named| named.nodes).unwrap_or_default();
    let block = |node: &culvert_config::Node| job.file.blocks(node.role).get(node.block_index);
    let blocks: Vec<&Block> = nodes.iter().filter_map(block).collect();
    unfit(graph, &blocks, tables)
}

/// Looks at the options of a job whose blocks make no graph.
fn check_options(file: &JobFile, provider: Option<&Arc<Provider>>, problems: &mut Vec<Problem>) {
    for block in file.sources.iter().chain(&file.transforms).chain(&file.sinks) {
        match find(block) {
            Ok(plugin) => {
                let block = match laid(block, plugin, provider) {
                    Ok((_, laid)) => laid,
                    Err(found) => {
                        problems.extend(found);
                        continue;
                    }
                };
                let (options, found) = Options::resolve(&block, plugin.options);
                problems.extend(found);
                problems.extend(options.check(plugin.rules));
            }
            Err(problem) => problems.push(problem),
        }
    }
}

fn batch_mode(block: &Block, plugin: &str) -> Problem {
    Problem::error(
        ProblemKind::Conflict,
        block.place.clone(),
        "job.mode",
        format!("'{plugin}' goes on until it is stopped, and the job's mode is BATCH (the default)"),
    )
    .hint("set env { job.mode = \"STREAMING\" }, or a stop.mode in the source")
    .known_as(format!("'{plugin}' source don't support off-line job."))
}

/// Only a sink that can tell where it stands can be held while others go on.
fn unfit_to_hold(block: &Block, plugin: &str, kind: &NodeKind) -> Option<Problem> {
    let (what, hint) = match kind {
        NodeKind::Sink(sink) if sink.contract() == DeliveryContract::ExactlyOnce => return None,
        NodeKind::Sink(_) => (
            format!(
                "'{plugin}' is not exactly-once here, and could not tell where to go on after it was held"
            ),
            "remove the option, or make the sink exactly-once",
        ),
        _ => (format!("'{plugin}' is no sink, and only a sink can be held"), "set the option in a sink"),
    };
    let place = block.place_of("failure.policy");
    let problem = Problem::error(ProblemKind::Conflict, place, "failure.policy", what);
    Some(problem.hint(hint))
}

/// The job's source and sinks, for checks.
pub(crate) fn ends(graph: &JobGraph) -> Result<(Arc<dyn Source>, Vec<Branch>), Error> {
    graph.branches()
}

/// What must stay the same for a restart point to fit: the plugins, not their options, so that a
/// job may move to another server of its group or take in more tables.
pub(crate) fn fingerprint(graph: &JobGraph) -> Result<String, Error> {
    let (source, branches) = graph.branches()?;
    let sinks: Vec<String> =
        branches.iter().map(|branch| format!("{}={}", branch.name, branch.sink.name())).collect();
    if sinks.is_empty() {
        return Err(Error::new(ErrorKind::Config, "the job has no sink"));
    }
    Ok(format!("{} -> {}", source.name(), sinks.join(", ")))
}

/// Looks at source and targets without writing; the first thing that keeps the job from starting.
pub(crate) async fn refuse_unfit(graph: &JobGraph) -> Result<(), Error> {
    let (source, branches) = graph.branches()?;
    refuse_unfit_targets(&branches, &source.tables(None).await?).await
}

/// A sink and its name in the graph.
pub(crate) type NamedSink = (String, Arc<dyn Sink>);

/// Sinks by name.
pub(crate) fn sinks(graph: &JobGraph) -> Result<Vec<NamedSink>, Error> {
    let (_, branches) = graph.branches()?;
    Ok(branches.into_iter().map(|branch| (branch.name, branch.sink)).collect())
}

/// The weakest promise among the job's sinks.
pub(crate) fn delivery(graph: &JobGraph) -> &'static str {
    let sinks = sinks(graph).unwrap_or_default();
    let all = |wanted: DeliveryContract| sinks.iter().all(|(_, sink)| sink.contract() == wanted);
    if all(DeliveryContract::ExactlyOnce) {
        "exactly-once"
    } else if sinks.iter().any(|(_, sink)| sink.contract() == DeliveryContract::AtLeastOnce) {
        "at-least-once"
    } else {
        "effectively-once by key"
    }
}
