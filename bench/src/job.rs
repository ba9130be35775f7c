//! Jobs as users write them, built from the crates that the program is built from.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use culvert_api::{JobProgress, Sink, Source, Transform};
use culvert_config::{Block, JobMode, OptionDef, Options, Problem, load};
use culvert_engine::{FailurePolicy, Job, JobGraph, Node, NodeKind, Settings};
use culvert_sink_iceberg::IcebergSink;
use culvert_sink_jdbc::JdbcSink;
use culvert_sink_kafka::KafkaSink;
use culvert_source_fake::FakeSource;
use culvert_source_mysql::MySqlSource;
use culvert_source_postgres::PostgresSource;
use culvert_state::{JobIdentity, RocksStore};
use culvert_transform_sql::Sql;
use culvert_transforms::RowKindExtractor;

/// The database that the mirror is in.
pub(crate) const TARGET_DATABASE: &str = "mirror";
/// The name of every job here.
const NAME: &str = "bench";
const STATE_FILE: &str = "job.conf";

/// How a job reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// The whole log up to now.
    Backlog,
    /// The table as it is now, and nothing more.
    Snapshot,
    /// What comes from now on, until it is stopped.
    Latest,
}

/// A job file with these lines in its source and its sink.
pub(crate) fn text(source: &str, sink: &str, checkpoint: Duration) -> String {
    format!(
        "env {{ parallelism = 1, job.mode = \"STREAMING\", checkpoint.interval = {} }}\n\
         source {{ {source} }}\nsink {{ jdbc {{\n{sink}\n  generate_sink_sql = true\n}} }}\n",
        checkpoint.as_millis()
    )
}

/// Builds the job of this text, with its state in a folder, and with this sink instead of its own
/// when one is given.
pub(crate) fn build(text: &str, state: &Path, instead: Option<Arc<dyn Sink>>) -> Result<Job> {
    std::fs::create_dir_all(state)?;
    let path = state.join(STATE_FILE);
    std::fs::write(&path, text)?;
    let file = load(&path, &[])?;
    let (env, _) = file.settings();
    let source = source(file.sources.first().context("the job has a source")?, env.parallelism)?;
    let sink: Arc<dyn Sink> = match instead {
        Some(sink) => sink,
        None => {
            let block = file.sinks.first().context("the job has a sink")?;
            match block.plugin.to_lowercase().as_str() {
                "iceberg" => {
                    Arc::new(IcebergSink::from_options(&options(block, culvert_sink_iceberg::OPTIONS)?)?)
                }
                "kafka" => Arc::new(KafkaSink::from_options(&options(block, culvert_sink_kafka::OPTIONS)?)?),
                _ => Arc::new(JdbcSink::from_options(&options(block, culvert_sink_jdbc::OPTIONS)?)?),
            }
        }
    };
    let identity = JobIdentity { name: NAME.to_owned(), fingerprint: NAME.to_owned() };
    let settings = Settings {
        checkpoint_interval: Duration::from_millis(env.checkpoint_interval_ms),
        // A benchmark that waits and tries again measures the waiting.
        retry_budget: 0,
        ..Settings::default()
    };
    let node = |name: &str, kind, inputs| Node {
        name: name.to_owned(),
        kind,
        inputs,
        on_failure: FailurePolicy::Stop,
    };
    let mut nodes = vec![node("source", NodeKind::Source(source), vec![])];
    for block in &file.transforms {
        let last = nodes.len() - 1;
        nodes.push(node(&block.plugin, NodeKind::Transform(transform(block)?), vec![last]));
    }
    let last = nodes.len() - 1;
    nodes.push(node("sink", NodeKind::Sink(sink), vec![last]));
    Ok(Job {
        name: NAME.to_owned(),
        graph: JobGraph { nodes },
        store: Some(Arc::new(RocksStore::open(&state.join("store"), &identity)?)),
        spool: None,
        settings,
        progress: Arc::new(JobProgress::default()),
    })
}

fn source(block: &Block, parallelism: u32) -> Result<Arc<dyn Source>> {
    match block.plugin.as_str() {
        MySqlSource::NAME => {
            let options = options(block, culvert_source_mysql::OPTIONS)?;
            Ok(Arc::new(MySqlSource::from_options(&options, parallelism)?))
        }
        PostgresSource::NAME => {
            let options = options(block, culvert_source_postgres::OPTIONS)?;
            Ok(Arc::new(PostgresSource::from_options(&options, parallelism)?))
        }
        culvert_source_fake::PLUGIN => {
            let options = options(block, culvert_source_fake::OPTIONS)?;
            Ok(Arc::new(FakeSource::from_options(&options, parallelism, JobMode::Batch)?))
        }
        other => bail!("there is no source {other} here"),
    }
}

fn transform(block: &Block) -> Result<Arc<dyn Transform>> {
    match block.plugin.as_str() {
        RowKindExtractor::PLUGIN => {
            let options = options(block, RowKindExtractor::OPTIONS)?;
            Ok(Arc::new(RowKindExtractor::from_options(&options)?))
        }
        Sql::PLUGIN => Ok(Arc::new(Sql::from_options(&options(block, Sql::OPTIONS)?)?)),
        other => bail!("there is no transform {other} here"),
    }
}

fn options(block: &Block, definitions: &[OptionDef]) -> Result<Options> {
    let (options, problems) = Options::resolve(block, definitions);
    let errors: Vec<String> = problems.iter().filter(|p| p.is_error()).map(Problem::to_string).collect();
    ensure!(errors.is_empty(), "{}", errors.join("; "));
    Ok(options)
}
