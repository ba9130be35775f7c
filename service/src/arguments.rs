//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Look for problems in a job file without touching data.
    Check(CheckOptions),
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
}

/// Options of `culvert run`.
#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) job: JobArguments,
    /// The folder of the job's state; by default one per job name below the user's state folder.
    #[arg(long, value_name = "DIR", env = "CULVERT_STATE")]
    pub(crate) state: Option<PathBuf>,
    /// Forget the job's state and its commit markers, and start over with a new snapshot. Rows that
    /// are at the target stay there.
    #[arg(long)]
    pub(crate) fresh: bool,
}

/// Options of `culvert check`.
#[derive(Args, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) job: JobArguments,
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
    /// For programs: errors, warnings, todo_items, patch_suggestion.
    Json,
}
