//! The sink for PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::Options;
use culvert_postgres::Backend;
use tokio::sync::Mutex;

use crate::earlier::Earlier;
use crate::postgres::check;
use crate::postgres::committer::JdbcCommitter;
use crate::postgres::connect::Session;
use crate::postgres::marker;
use crate::postgres::options::Settings;
use crate::postgres::writer::JdbcWriter;
use crate::sink::PLUGIN;

/// Writes to PostgreSQL, exactly once.
#[derive(Debug)]
pub(crate) struct PostgresSink {
    settings: Arc<Settings>,
    earlier: Earlier<Backend>,
}

impl PostgresSink {
    /// Checks the options against each other; connects to nothing. Errors are
    /// [`culvert_api::ErrorKind::Config`] and name the option.
    pub(crate) fn from_options(options: &Options) -> Result<PostgresSink> {
        Ok(PostgresSink { settings: Arc::new(Settings::from_options(options)?), earlier: Earlier::default() })
    }
}

#[async_trait]
impl Sink for PostgresSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        DeliveryContract::ExactlyOnce
    }

    fn shareable(&self) -> Result<()> {
        self.settings.shared.shareable()
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        check::run(&self.settings, tables).await
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let table = self.settings.marker_name()?;
        let mut session = Session::open(&self.settings).await?;
        if let Some(earlier) = self.earlier.replace(context, session.backend()) {
            session.end_earlier(&earlier).await;
        }
        marker::ensure_table(&mut session, &table).await?;
        let (job, sink) = (context.job.as_str(), context.sink.as_str());
        let marker =
            marker::take_over(&mut session, &table, job, sink, context.writer, context.epoch).await?;
        let session = Arc::new(Mutex::new(Some(session)));
        let committer = JdbcCommitter {
            session: session.clone(),
            marker_table: table,
            job: context.job.clone(),
            sink: context.sink.clone(),
            writer: context.writer,
            progress: context.progress.clone(),
            counted: 0,
        };
        let writer = JdbcWriter::new(self.settings.clone(), context.clone(), session);
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        let table = self.settings.marker_name()?;
        let mut session = Session::open(&self.settings).await?;
        marker::read(&mut session, &table, (job, sink, writer)).await
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        let table = self.settings.marker_name()?;
        let mut session = Session::open(&self.settings).await?;
        marker::forget(&mut session, &table, job, sink).await
    }
}
