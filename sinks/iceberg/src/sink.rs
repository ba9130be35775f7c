//! The sink as the engine sees it.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Error, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::Options;

use crate::commit::Commits;
use crate::committer::IcebergCommitter;
use crate::error::option;
use crate::io::file_io;
use crate::layout::leaves_rows_behind;
use crate::options::{DataMode, SchemaMode, Settings};
use crate::tables::Tables;
use crate::upkeep::Upkeep;
use crate::writer::IcebergWriter;

/// The plugin's name as users write it.
pub const PLUGIN: &str = "Iceberg";

/// Writes tables of Iceberg.
#[derive(Debug)]
pub struct IcebergSink {
    settings: Arc<Settings>,
}

impl IcebergSink {
    /// Checks the options against each other; connects to nothing. Errors are operator errors.
    pub fn from_options(options: &Options) -> Result<IcebergSink> {
        Ok(IcebergSink { settings: Arc::new(Settings::from_options(options)?) })
    }

    #[cfg(test)]
    pub(crate) fn of(settings: Settings) -> IcebergSink {
        IcebergSink { settings: Arc::new(settings) }
    }

    #[cfg(test)]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn commits(&self, job: &str, sink: &str, writer: u32) -> Commits {
        let settings = &self.settings;
        Commits {
            catalog: Arc::clone(&settings.catalog),
            storage: settings.storage.clone(),
            files: file_io(&settings.storage),
            branch: settings.branch.clone(),
            namespace: settings.commit_namespace.clone(),
            job: job.to_owned(),
            sink: sink.to_owned(),
            writer,
            turn: Arc::default(),
        }
    }
}

#[async_trait]
impl Sink for IcebergSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::ExactlyOnce
    }

    fn shareable(&self) -> Result<()> {
        if self.settings.schema_mode == SchemaMode::Recreate || self.settings.data_mode != DataMode::Append {
            let what = "looks at rows that may be another writer's; several share these tables";
            return Err(option("data_save_mode", what).hint("use APPEND_DATA, and clear the tables by hand"));
        }
        Ok(())
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        let commits = self.commits("check", "check", 0);
        let tool = Tables { settings: Arc::clone(&self.settings), commits, run: String::new() };
        let mut findings = Vec::new();
        for table in tables {
            if leaves_rows_behind(&self.settings, table) {
                let what = "iceberg.table.primary-keys is another key than the source's, and rows before updates do not \
                            arrive (a filter takes them away, or the source does not log them): an update of that key \
                            leaves the old row behind";
                findings.push(Finding::warning(table.id.to_string(), what).hint(
                    "let UPDATE_BEFORE pass, set REPLICA IDENTITY FULL on a PostgreSQL source, or use the source's key",
                ));
            }
            if let Err(error) = tool.check(table).await {
                let finding = Finding::error(table.id.to_string(), error.without_hint());
                findings.push(match error.hint_text() {
                    Some(hint) => finding.hint(hint),
                    None => finding,
                });
            }
        }
        Ok(findings)
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let commits = self.commits(&context.job, &context.sink, context.writer);
        let run = format!("{:016x}", uuid::Uuid::new_v4().as_u64_pair().0);
        let (marker, standing) = commits.take_over(context.epoch, &run).await?;
        let committer = IcebergCommitter {
            commits: commits.clone(),
            progress: Arc::clone(&context.progress),
            journal: standing.journal,
            counted: 0,
            upkeep: Upkeep::new(commits.clone(), Arc::clone(&self.settings)),
        };
        let writer = IcebergWriter::new(Arc::clone(&self.settings), context.clone(), commits, standing.run);
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        let commits = self.commits(job, sink, writer);
        match commits.found().await? {
            None => Ok(None),
            Some((standing, journal)) => commits.marker(&standing, journal.as_ref()).map(Some),
        }
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        self.commits(job, sink, 0).forget().await
    }
}

/// The error of a table that is missing.
pub(crate) fn missing(table: &TableSchema, target: &iceberg::TableIdent) -> Error {
    Error::new(culvert_api::ErrorKind::Schema, "the table is missing in the catalog")
        .context("table", &table.id)
        .context("target", target)
        .hint("make it, or set schema_save_mode = CREATE_SCHEMA_WHEN_NOT_EXIST")
}
