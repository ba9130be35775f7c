//! The sink for MySQL and MariaDB.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::Options;
use tokio::sync::Mutex;

use crate::earlier::Earlier;
use crate::mysql::check;
use crate::mysql::committer::JdbcCommitter;
use crate::mysql::connect::Session;
use crate::mysql::marker;
use crate::mysql::options::Settings;
use crate::mysql::witness::Thread;
use crate::mysql::writer::JdbcWriter;
use crate::sink::PLUGIN;

/// Writes to MySQL and MariaDB, exactly once.
#[derive(Debug)]
pub(crate) struct MySqlSink {
    settings: Arc<Settings>,
    earlier: Earlier<Thread>,
}

impl MySqlSink {
    /// Checks the options against each other; connects to nothing. Errors are
    /// [`culvert_api::ErrorKind::Config`] and name the option.
    pub(crate) fn from_options(options: &Options) -> Result<MySqlSink> {
        Ok(MySqlSink { settings: Arc::new(Settings::from_options(options)?), earlier: Earlier::default() })
    }
}

#[async_trait]
impl Sink for MySqlSink {
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
        if let Some(earlier) = self.earlier.replace(context, session.thread()) {
            session.end_earlier(&earlier).await?;
        }
        marker::ensure_table(&mut session, &table).await?;
        let (job, sink) = (context.job.as_str(), context.sink.as_str());
        let marker =
            marker::take_over(&mut session, &table, job, sink, context.writer, context.epoch).await?;
        let server = session.server.clone();
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
        let writer = JdbcWriter::new(self.settings.clone(), context.clone(), session, server);
        Ok(OpenSink { writer: Box::new(writer), committer: Box::new(committer), marker })
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        let table = self.settings.marker_name()?;
        let mut session = Session::open(&self.settings).await?;
        let marker = marker::read(&mut session, &table, (job, sink, writer)).await;
        session.close().await;
        marker
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        let table = self.settings.marker_name()?;
        let mut session = Session::open(&self.settings).await?;
        let done = marker::forget(&mut session, &table, job, sink).await;
        session.close().await;
        done
    }
}
