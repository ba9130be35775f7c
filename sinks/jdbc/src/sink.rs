//! The sink as the engine sees it: the front that picks the half by the url.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    CommitMarker, DeliveryContract, Finding, OpenSink, Result, Sink, TableSchema, WriterContext,
};
use culvert_config::{Options, UrlFamily};

use crate::mysql::sink::MySqlSink;
use crate::options;
use crate::postgres::sink::PostgresSink;

/// The plugin's name as users write it.
pub const PLUGIN: &str = "Jdbc";

/// Writes to a SQL database, exactly once. The url decides which.
pub struct JdbcSink {
    half: Box<dyn Sink>,
}

impl JdbcSink {
    /// Checks the options against each other; connects to nothing. Errors are
    /// [`culvert_api::ErrorKind::Config`] and name the option.
    pub fn from_options(options: &Options) -> Result<JdbcSink> {
        let half: Box<dyn Sink> = match options::url(options)?.family() {
            UrlFamily::MySql => Box::new(MySqlSink::from_options(options)?),
            UrlFamily::Postgres => Box::new(PostgresSink::from_options(options)?),
        };
        Ok(JdbcSink { half })
    }
}

impl fmt::Debug for JdbcSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JdbcSink").finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for JdbcSink {
    fn name(&self) -> &str {
        PLUGIN
    }

    fn contract(&self) -> DeliveryContract {
        self.half.contract()
    }

    fn shareable(&self) -> Result<()> {
        self.half.shareable()
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        self.half.check(tables).await
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        self.half.open(context).await
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        self.half.committed(job, sink, writer).await
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        self.half.forget(job, sink).await
    }
}
