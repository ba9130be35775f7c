//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use culvert_config::Role;

/// Change streams from MySQL and MariaDB to where they are needed.
#[derive(Debug, Parser)]
#[command(name = "culvert", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job until it ends or is stopped (Ctrl-C or SIGTERM keep the restart point).
    Run(RunOptions),
    /// Run many jobs, always on; see docs/service.md.
    Serve(ServeOptions),
    /// Start a job in the service, and wait for its end.
    Submit(SubmitOptions),
    /// List the service's jobs.
    List(ListOptions),
    /// Show a job.
    Status(OneJob),
    /// Show the figures of a job.
    Metrics(OneJob),
    /// Stop jobs behind a checkpoint, to be restored later; the same as savepoint.
    Pause(JobsArguments),
    /// Stop jobs behind a checkpoint, to be restored later.
    Savepoint(JobsArguments),
    /// Start a job that has ended from its restart point, and wait for its end.
    Restore(RestoreOptions),
    /// Stop jobs for good; their restart points are kept.
    Cancel(JobsArguments),
    /// Show the log of a job.
    Logs(LogsOptions),
    /// List events, or try listeners; see docs/events.md.
    Events(EventsOptions),
    /// Look for problems in a job file without touching data.
    Check(CheckOptions),
    /// Show the graph of a job, or make a job file from an intent.
    Plan(PlanOptions),
    /// List the plugins, or tell everything about one: options, rules, promises, an example.
    Connectors(ConnectorsOptions),
    /// Print the reference of all options, in Markdown.
    Options,
}

/// The job file and its variables.
#[derive(Args, Debug)]
pub(crate) struct JobArguments {
    /// The job file: HOCON, or JSON when it ends in .json.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// A variable for ${name} in the file; may be repeated.
    #[arg(short = 'i', long = "variable", value_name = "NAME=VALUE")]
    pub(crate) variables: Vec<String>,
    /// The job's name; otherwise `job.name`, otherwise the file's name.
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Who is told of the job's events, such as dingtalk.webhook.url=…; may be repeated. Others on this machine
    /// can see the arguments of a program: `event.listeners` in the job file hides its secrets better.
    #[arg(short = 'D', value_name = "TYPE.OPTION=VALUE")]
    pub(crate) properties: Vec<String>,
}

/// Where options come from that a job names by an id.
#[derive(Args, Debug)]
pub(crate) struct MetadataArguments {
    /// A file with a block `metadata`, such as the service's own, for jobs that name datasources by id and have no
    /// such block in `env`; docs/metadata.md.
    #[arg(long, value_name = "FILE", env = "CULVERT_METADATA")]
    pub(crate) metadata: Option<PathBuf>,
}

/// Options of `culvert run`.
#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) job: JobArguments,
    #[command(flatten)]
    pub(crate) metadata: MetadataArguments,
    /// The folder of the job's state; by default one per job name below the user's state folder.
    #[arg(long, value_name = "DIR", env = "CULVERT_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Forget the job's state and its commit markers, and start over with a new snapshot. Rows that
    /// are at the target stay there.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// How to print what the job has done, at its end.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// Options of `culvert serve`.
#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    /// The service's own file, in HOCON or JSON; docs/service.md has its options.
    #[arg(short, long, value_name = "FILE", env = "CULVERT_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of everything the service keeps; otherwise as in its file.
    #[arg(long, value_name = "DIR", env = "CULVERT_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Who is told of the events of all jobs, such as dingtalk.webhook.url=…; may be repeated.
    #[arg(short = 'D', value_name = "TYPE.OPTION=VALUE")]
    pub(crate) properties: Vec<String>,
}

/// Options of `culvert events`.
#[derive(Args, Debug)]
pub(crate) struct EventsOptions {
    #[command(subcommand)]
    pub(crate) what: EventsWhat,
}

/// What to do about events.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsWhat {
    /// List the service's events, the newest first.
    List(EventsListOptions),
    /// Send a sample to every listener of a job file, of the service's file, or of -D.
    Test(EventsTestOptions),
}

/// Options of `culvert events list`.
#[derive(Args, Debug)]
pub(crate) struct EventsListOptions {
    /// Events of this job alone.
    #[arg(long, value_name = "ID")]
    pub(crate) job: Option<u64>,
    /// Events of this type alone, such as JOB_STATUS or SCHEMA_CHANGE_*.
    #[arg(long = "type", value_name = "TYPE", value_parser = type_word)]
    pub(crate) kind: Option<String>,
    /// Events of this severity or a higher one: info, notice, warning, error.
    #[arg(long, value_parser = ["info", "notice", "warning", "error"])]
    pub(crate) severity: Option<String>,
    /// Events behind this number, the oldest first.
    #[arg(long, value_name = "SEQUENCE")]
    pub(crate) after: Option<u64>,
    /// So many at most.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

/// Options of `culvert events test`.
#[derive(Args, Debug)]
pub(crate) struct EventsTestOptions {
    /// The job file whose listeners to try.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A variable for ${name} in the job file; may be repeated.
    #[arg(short = 'i', long = "variable", value_name = "NAME=VALUE")]
    pub(crate) variables: Vec<String>,
    /// The service's own file, whose listeners to try.
    #[arg(long, value_name = "FILE", env = "CULVERT_CONFIG")]
    pub(crate) service: Option<PathBuf>,
    /// A listener to try, such as dingtalk.webhook.url=…; may be repeated.
    #[arg(short = 'D', value_name = "TYPE.OPTION=VALUE")]
    pub(crate) properties: Vec<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// The type of an event, which goes into a query.
fn type_word(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_' || c == '*');
    if plain { Ok(text.to_ascii_uppercase()) } else { Err("a type is a word such as JOB_STATUS".to_owned()) }
}

/// Which service is asked.
#[derive(Args, Debug)]
pub(crate) struct MasterArguments {
    /// The address of the service, such as http://127.0.0.1:8080; otherwise that of this user's service.
    #[arg(long, value_name = "URL", env = "CULVERT_MASTER")]
    pub(crate) master: Option<String>,
    /// A file with a token; the variable CULVERT_TOKEN counts before it, this user's service needs none.
    #[arg(long, value_name = "FILE", env = "CULVERT_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The certificates to trust, as a PEM file; otherwise those of the web.
    #[arg(long, value_name = "FILE", env = "CULVERT_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The folder of this user's service.
    #[arg(long, value_name = "DIR", env = "CULVERT_DATA")]
    pub(crate) data: Option<PathBuf>,
}

/// Whether to wait for the end of a job.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct FollowOptions {
    /// Do not wait for the job's end.
    #[arg(long = "async")]
    pub(crate) is_async: bool,
    /// Cancel the job when this command is ended by Ctrl-C or SIGTERM; otherwise it goes on.
    #[arg(long)]
    pub(crate) close_job: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// Options of `culvert submit`.
#[derive(Args, Debug)]
pub(crate) struct SubmitOptions {
    #[command(flatten)]
    pub(crate) job: JobArguments,
    /// The job's number; otherwise it gets one.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub(crate) id: Option<u64>,
    /// Forget the restart point of an earlier job of this name, and start over with a new snapshot.
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) follow: FollowOptions,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

/// Options of `culvert list`.
#[derive(Args, Debug)]
pub(crate) struct ListOptions {
    /// Jobs in this state alone, such as RUNNING.
    #[arg(long, value_parser = status_word)]
    pub(crate) status: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

/// The word of a state, which goes into a query.
fn status_word(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    if plain { Ok(text.to_owned()) } else { Err("a state is a word such as RUNNING".to_owned()) }
}

/// Options of `culvert status` and `culvert metrics`.
#[derive(Args, Debug)]
pub(crate) struct OneJob {
    /// The job's number.
    pub(crate) id: u64,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

/// Options of `culvert pause`, `savepoint` and `cancel`.
#[derive(Args, Debug)]
pub(crate) struct JobsArguments {
    /// The jobs' numbers.
    #[arg(required = true)]
    pub(crate) ids: Vec<u64>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

/// Options of `culvert restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreOptions {
    /// The job's number.
    pub(crate) id: u64,
    /// Go on with this job file; otherwise as it was.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A variable for ${name} in the file; may be repeated.
    #[arg(short = 'i', long = "variable", value_name = "NAME=VALUE", requires = "config")]
    pub(crate) variables: Vec<String>,
    /// The job's name; it must stay the same.
    #[arg(short, long, requires = "config")]
    pub(crate) name: Option<String>,
    /// Who is told of the job's events, such as dingtalk.webhook.url=…; may be repeated.
    #[arg(short = 'D', value_name = "TYPE.OPTION=VALUE", requires = "config")]
    pub(crate) properties: Vec<String>,
    #[command(flatten)]
    pub(crate) follow: FollowOptions,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

impl RestoreOptions {
    /// The changed job, where there is one.
    pub(crate) fn job(&self) -> Option<JobArguments> {
        let config = self.config.clone()?;
        Some(JobArguments {
            config,
            variables: self.variables.clone(),
            name: self.name.clone(),
            properties: self.properties.clone(),
        })
    }
}

/// Options of `culvert logs`.
#[derive(Args, Debug)]
pub(crate) struct LogsOptions {
    /// The job's number.
    pub(crate) id: u64,
    /// How many lines from the end.
    #[arg(long, default_value_t = 200)]
    pub(crate) lines: u32,
    /// Go on with new lines until the job has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Human, conflicts_with = "follow")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) master: MasterArguments,
}

/// Options of `culvert check`.
#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) job: JobArguments,
    #[command(flatten)]
    pub(crate) metadata: MetadataArguments,
    /// Also connect to sources and targets, and look at rights, settings, keys and columns.
    #[arg(long)]
    pub(crate) connect: bool,
    /// Unknown keys are errors.
    #[arg(long)]
    pub(crate) strict: bool,
    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// Options of `culvert plan`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).args(["config", "intent"]))]
pub(crate) struct PlanOptions {
    /// The job file whose graph to show.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The intent to make a job file from; docs/intent.md describes its form.
    #[arg(long, value_name = "FILE")]
    pub(crate) intent: Option<PathBuf>,
    /// A variable for ${name} in the job file; may be repeated.
    #[arg(short = 'i', long = "variable", value_name = "NAME=VALUE", conflicts_with = "intent")]
    pub(crate) variables: Vec<String>,
    #[command(flatten)]
    pub(crate) metadata: MetadataArguments,
    /// Also connect to the sources, and show tables and columns at every edge.
    #[arg(long, conflicts_with = "intent")]
    pub(crate) connect: bool,
    /// Where to write the job file of an intent; a file that is there is not replaced.
    #[arg(short, long, value_name = "FILE", requires = "intent")]
    pub(crate) output: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
}

/// Forms of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people.
    #[value(alias = "human")]
    Text,
    /// The graph as a flowchart in Mermaid's language.
    Mermaid,
    /// For programs.
    Json,
}

/// Options of `culvert connectors`.
#[derive(Args, Debug)]
pub(crate) struct ConnectorsOptions {
    /// The plugin's name, in any letter case; all of them without it.
    pub(crate) name: Option<String>,
    /// Only plugins of this part of a job.
    #[arg(long, value_enum)]
    pub(crate) role: Option<PluginRole>,
    /// How to print it; json is described in docs/connectors-json.md.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

/// Parts of a job that plugins are for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PluginRole {
    /// Where rows come from.
    Source,
    /// What happens to them.
    Transform,
    /// Where they go.
    Sink,
}

impl From<PluginRole> for Role {
    fn from(role: PluginRole) -> Role {
        match role {
            PluginRole::Source => Role::Source,
            PluginRole::Transform => Role::Transform,
            PluginRole::Sink => Role::Sink,
        }
    }
}
